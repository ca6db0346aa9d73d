/*
 * pair.h - the processes of one run, as the harness sees them
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_BENCH_PAIR_H
#define HQQ_BENCH_PAIR_H

#include "bench.h"
#include <signal.h>
#include <stdatomic.h>

/* What the processes of a run leave behind; zero when it starts. */
struct pair_control {
	_Alignas(BENCH_LINE) _Atomic uint32_t arrived;
	_Alignas(BENCH_LINE) double ns;
	double before; /* round trip of a line */
	double after;
	double cpu[BENCH_MAX_SIDES];
	double fair;
	_Atomic bool disturbed;
	char failure[160];
	struct histogram latency;
};

/* One run of pair->bench; 0, or -1 with the reason in control->failure. */
int pair_run(struct pair *pair, const struct bench_config *config);

/* A signal asked to stop: no more runs, but a report of those that there are. */
bool pair_interrupted(void);

/* What is waited for while a run lasts; to be blocked all the time. */
void pair_awaited_signals(sigset_t *set);

#endif /* HQQ_BENCH_PAIR_H */
