/*
 * standard.c - bench/standard: the Standard link, and exchanges, copies and rings without it
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "bench.h"

static void add_cases(struct bench_list *list)
{
	bench_add_limits(list);
	bench_add_bare_rings(list);
	bench_add_workloads(list);
	bench_add_many(list);
}

const struct bench_program bench_program = {
	.name = "standard",
	.title = "Standard link",
	.add_cases = add_cases,
};
