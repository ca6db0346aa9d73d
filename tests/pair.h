/*
 * pair.h - a segment with both sides open in this process, its raw memory and its model
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_PAIR_H
#define HQQ_TESTS_PAIR_H

#include "model.h"

#include <hqq.h>

/* Side s writes ring s: side 0 is the primary. */
struct pair {
	hqq_standard *side[2];
	unsigned char *raw;
	size_t length;
	struct model model;
	uint64_t copy_id[2]; /* for the test's own count */
};

/*
 * A named segment. The handles' deadlines are in the past, so that every call makes one attempt
 * and a test that would have to wait sees TIMEOUT.
 */
void pair_open(struct pair *pair, size_t count, size_t size);
void pair_close(struct pair *pair);

#endif /* HQQ_TESTS_PAIR_H */
