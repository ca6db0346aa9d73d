/*
 * bench.h - what `hqq bench` measures between two processes
 *
 * Each case is a function that both processes run at once with the same count; the time of the
 * first one counts, from when both are there until it has seen the last of count operations done.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_BENCH_H
#define HQQ_TOOLS_BENCH_H

#include <hqq.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_SMALL 64
#define BENCH_LARGE ((size_t)1 << 20)
#define BENCH_IN_FLIGHT 64
#define BENCH_LINE 64

/* Words that both processes write to, each on a cache line of its own. */
struct bench_area {
	_Alignas(BENCH_LINE) _Atomic uint64_t meeting[2]; /* how often each side came to meet the other */
	_Alignas(BENCH_LINE) _Atomic uint64_t ball;
	_Alignas(BENCH_LINE) unsigned char end;
};

/* What one of the two processes has. */
struct bench_side {
	int side; /* 0 or 1 */
	struct bench_area *area;
	hqq_standard *standard;
	hqq_advanced *calls, *copies;
	int standard_fd, calls_fd, copies_fd; /* of side 0; a handle itself does not survive fork(2) */
	unsigned char *in, *out;              /* BENCH_LARGE bytes each */
	int peer;                             /* process, in side 0 */
};

enum bench_unit {
	BENCH_NS,   /* nanoseconds for one operation */
	BENCH_RATE, /* operations a second */
	BENCH_BYTES /* bytes a second */
};

struct bench_case {
	const char *name;  /* for programs */
	const char *title; /* for people */
	enum bench_unit unit;
	size_t bytes;       /* of an operation */
	const char *beside; /* the name of what it is compared with, or NULL */
	int (*run)(struct bench_side *side, uint64_t count); /* 0, or an error of the library */
};

extern const struct bench_case bench_cases[];
extern const unsigned bench_case_count;

/* Waits until both are here; false when the other side is gone. */
bool bench_meet(struct bench_side *side);

/* Links for all cases: made by side 0, opened by descriptor by side 1; then both negotiate. */
int bench_make_links(struct bench_side *side);
int bench_open_links(struct bench_side *side, const struct bench_side *maker);
int bench_negotiate(struct bench_side *side);
void bench_close_links(struct bench_side *side);

#endif /* HQQ_TOOLS_BENCH_H */
