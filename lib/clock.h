/*
 * clock.h - time, as nanoseconds of CLOCK_MONOTONIC
 *
 * A deadline is such a number; 0 means none. Deadlines are absolute, so that a call made of
 * several waits spends one of them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_CLOCK_H
#define HQQ_LIB_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define HQQ_NO_DEADLINE UINT64_C(0)
#define HQQ_NS_PER_SEC UINT64_C(1000000000)
#define HQQ_NS_PER_MS UINT64_C(1000000)
#define HQQ_NS_PER_US UINT64_C(1000)

static inline uint64_t hqq_clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts); /* vDSO: no system call where there is one */
	return (uint64_t)ts.tv_sec * HQQ_NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static inline struct timespec hqq_clock_timespec(uint64_t ns)
{
	struct timespec ts;

	ts.tv_sec = (time_t)(ns / HQQ_NS_PER_SEC);
	ts.tv_nsec = (long)(ns % HQQ_NS_PER_SEC);
	return ts;
}

/* A caller's timespec as a deadline; times before the epoch of the clock are long past, hence 1. */
static inline uint64_t hqq_clock_deadline(const struct timespec *ts)
{
	if (!ts)
		return HQQ_NO_DEADLINE;
	if (ts->tv_sec < 0)
		return 1;
	if ((uint64_t)ts->tv_sec >= UINT64_MAX / HQQ_NS_PER_SEC)
		return UINT64_MAX;
	uint64_t ns = (uint64_t)ts->tv_sec * HQQ_NS_PER_SEC + (uint64_t)ts->tv_nsec;
	return ns ? ns : 1;
}

/* now + ns, saturating, never "none". */
static inline uint64_t hqq_clock_after(uint64_t ns)
{
	uint64_t at;

	return __builtin_add_overflow(hqq_clock_now(), ns, &at) ? UINT64_MAX : at;
}

static inline bool hqq_clock_passed(uint64_t deadline, uint64_t now)
{
	return deadline != HQQ_NO_DEADLINE && now >= deadline;
}

/* The earlier of two deadlines, either of which may be none. */
static inline uint64_t hqq_clock_earlier(uint64_t a, uint64_t b)
{
	if (a == HQQ_NO_DEADLINE)
		return b;
	if (b == HQQ_NO_DEADLINE)
		return a;
	return a < b ? a : b;
}

/* A caller's timespec is usable: NULL, or with nanoseconds in range. */
static inline bool hqq_clock_valid(const struct timespec *ts)
{
	return !ts || (ts->tv_nsec >= 0 && ts->tv_nsec < (long)HQQ_NS_PER_SEC);
}

#endif /* HQQ_LIB_CLOCK_H */
