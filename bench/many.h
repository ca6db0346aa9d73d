/*
 * many.h - several writers and several readers of one queue
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_BENCH_MANY_H
#define HQQ_BENCH_MANY_H

#include "bench.h"

#define MANY_LEAST 16 /* bytes of a message */

/* The end of the area of a run belongs to many_run(). */
#define MANY_STATE_BYTES 4096

/* What a writer and a reader do; 0, or -1 when the run is void. */
struct many_way {
	int (*send)(void *end, const void *message, size_t size);
	int (*receive)(void *end, void *message, size_t size);
};

/*
 * The body of a case once its queue is open: the first sides write, the others read. What a reader
 * gets from one writer must be in order, and all of them together everything, once. The result is
 * the time per message, and how fair the queue was to its writers. Calls pair_begin() and
 * pair_end().
 */
int many_run(struct pair *pair, const struct many_way *way, void *end);

/* The name of such a case: mpmc-WRITERSxREADERS.SUFFIX, or without suffix when that is NULL. */
void many_name(char name[40], unsigned writers, unsigned readers, const char *suffix);

#endif /* HQQ_BENCH_MANY_H */
