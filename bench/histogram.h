/*
 * histogram.h - how long each of many operations took
 *
 * Counts in buckets whose width grows with the value, so that every figure read from it is at most
 * 1/32 above what went in. Fixed size, no memory of its own: it may lie in memory that processes
 * share, written by one of them at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_BENCH_HISTOGRAM_H
#define HQQ_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS 32   /* buckets per power of two */
#define HISTOGRAM_DOUBLES 36 /* powers of two: up to 2^40, 18 minutes in nanoseconds; more counts as that */
#define HISTOGRAM_BUCKETS (HISTOGRAM_STEPS * HISTOGRAM_DOUBLES)

struct histogram {
	uint64_t count;
	uint64_t most; /* the largest value, as it was */
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* The bucket of a value: exact below 2 * HISTOGRAM_STEPS. */
static inline unsigned histogram_bucket(uint64_t value)
{
	unsigned shift = 0;

	if (value >= 2 * HISTOGRAM_STEPS)
		shift = 58 - (unsigned)__builtin_clzll(value);
	unsigned bucket = shift * HISTOGRAM_STEPS + (unsigned)(value >> shift);
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->buckets[histogram_bucket(value)]++;
	histogram->count++;
	if (value > histogram->most)
		histogram->most = value;
}

/* Adds what another one has counted. */
void histogram_merge(struct histogram *histogram, const struct histogram *other);

/* The value that a share (0 .. 1) of all values does not exceed; 0 when there are none. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

#endif /* HQQ_BENCH_HISTOGRAM_H */
