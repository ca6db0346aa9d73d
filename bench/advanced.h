/*
 * advanced.h - what the benchmarks of the Advanced link share
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_BENCH_ADVANCED_H
#define HQQ_BENCH_ADVANCED_H

#include "bench.h"
#include <hqq.h>

/*
 * A negotiated link between both sides: side 0 makes the segment and asks, side 1 answers. Returns
 * 0, or -1 when the run is void.
 */
int advanced_open(struct pair *pair, hqq_advanced **link, size_t buffer_count, size_t buffer_size);

/* Once both sides are done. */
int advanced_close(struct pair *pair, hqq_advanced *link);

/* The run is void: what failed with this error, or a count that is not an error. */
int advanced_error(struct pair *pair, const char *what, int error);

/* Messages of 1 MiB and more: copies without the library, and the library's. */
void bench_add_copies(struct bench_list *list);

#endif /* HQQ_BENCH_ADVANCED_H */
