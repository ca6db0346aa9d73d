/*
 * pair.c - a segment with both sides open in this process; see pair.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pair.h"
#include "support.h"

#include <string.h>

void pair_open(struct pair *pair, size_t count, size_t size)
{
	const struct timespec passed = { 0, 0 };
	const char *name = test_name("pair");
	int i;

	memset(pair, 0, sizeof(*pair));
	MUST_EQ(hqq_standard_create(&pair->side[0], name, count, size, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&pair->side[1], name, count, size, NULL), 0);
	for (i = 0; i < 2; i++)
		MUST_EQ(hqq_standard_set_deadline(pair->side[i], &passed), 0);
	pair->raw = test_map_name(name, &pair->length);
	model_init(&pair->model, count, size);
	MUST_EQ(pair->length, pair->model.at.total);
}

void pair_close(struct pair *pair)
{
	MUST_EQ(hqq_standard_close(pair->side[1]), 0);
	MUST_EQ(hqq_standard_close(pair->side[0]), 0);
	test_unmap(pair->raw, pair->length);
	model_free(&pair->model);
}
