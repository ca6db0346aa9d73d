/*
 * histogram.c - how long each of many operations took
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "histogram.h"

_Static_assert(HISTOGRAM_STEPS == 32, "histogram_bucket() shifts by 63 - 5 at most");

void histogram_merge(struct histogram *histogram, const struct histogram *other)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		histogram->buckets[i] += other->buckets[i];
	histogram->count += other->count;
	if (other->most > histogram->most)
		histogram->most = other->most;
}

/* The largest value of a bucket. */
static uint64_t top(unsigned bucket)
{
	unsigned shift = bucket < 2 * HISTOGRAM_STEPS ? 0 : bucket / HISTOGRAM_STEPS - 1;
	uint64_t first = bucket - (uint64_t)shift * HISTOGRAM_STEPS;

	return ((first + 1) << shift) - 1;
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
	double wanted = share * (double)histogram->count;
	uint64_t below = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS && histogram->count; i++) {
		below += histogram->buckets[i];
		if (below && (double)below >= wanted)
			return top(i) < histogram->most ? top(i) : histogram->most;
	}
	return histogram->most;
}
