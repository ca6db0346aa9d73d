/*
 * bench.h - what the files of the benchmarks share
 *
 * A case is one thing to measure: a limit of the machine (limits.c, bare_ring.c and a part of
 * copies.c, no library involved) or a workload of the library (workloads.c, advanced.c, copies.c).
 * The harness runs the body of a case in two pinned processes at once; each run gives one sample,
 * nanoseconds per operation. The workloads of a limit follow it in the list and all run in turn,
 * round by round, so that a workload meets its limit under the same conditions. A workload may be
 * the limit of another one.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_BENCH_H
#define HQQ_BENCH_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BENCH_LINE 64
#define BENCH_SLOTS 1024 /* of every ring measured, the library's and the bare ones */
#define BENCH_LARGEST 4096
#define BENCH_AREA_BYTES (5u << 20)
#define BENCH_MAX_CASES 128
#define BENCH_STEP 64 /* fits every batch */
#define BENCH_MAX_ROUNDS 1000

/* For code that is to be made anew for each size and each way, with these as constants. */
#define BENCH_INLINE static inline __attribute__((always_inline))

/* ---- cases ----------------------------------------------------------------------------------- */

struct pair;
typedef int bench_body(struct pair *pair);

enum bench_unit {
	BENCH_TIME, /* shown as nanoseconds; a ratio is better when lower */
	BENCH_RATE  /* shown as millions per second; a ratio is better when higher */
};

struct bench_case {
	char name[40];
	char limit[40]; /* the case that this one is compared with; empty for a limit */
	enum bench_unit unit;
	size_t size; /* payload bytes of a message, 0 where there is none */
	bench_body *body;
	unsigned variant; /* for the body */
	uint32_t wait;    /* enum hqq_wait */
	uint64_t flags;   /* of struct hqq_options */
	bool spins;       /* makes no sense with both processes on one CPU */
	uint64_t step;    /* operations of a run are a multiple of it */
	double target;    /* the ratio to reach, 0 where none is set */
};

/* One run of a case. */
struct bench_sample {
	double ns;      /* per operation */
	double line_ns; /* round trip of a cache line, mean of before and after */
	unsigned state; /* enum bench_state */
	bool disturbed; /* one of the processes lost its CPU meanwhile */
	unsigned round;
};

struct bench_series {
	struct bench_case bench;
	struct bench_sample *samples; /* BENCH_MAX_ROUNDS */
	unsigned count;
	unsigned mixed;      /* runs dropped: the machine changed its state meanwhile */
	uint64_t operations; /* of the next run */
	char failure[160];   /* why this case could not be measured; empty when it could */
};

struct bench_list {
	struct bench_series series[BENCH_MAX_CASES];
	unsigned count;
};

/* What is measured: each program has one of its own, all else they share. */
struct bench_program {
	const char *name;
	const char *title;
	void (*add_cases)(struct bench_list *list);
};

extern const struct bench_program bench_program;

/*
 * Adds a case, called NAME/SIZE, or NAME when size is 0: a limit at the end of the list when limit
 * is NULL, else behind the limit LIMIT/SIZE and what is there to be compared with it already.
 * Sizes of whole MiB are written as 16M. The caller fills in the rest.
 */
struct bench_case *bench_add(struct bench_list *list, const char *name, size_t size, const char *limit);

void bench_add_limits(struct bench_list *list);
void bench_add_bare_rings(struct bench_list *list);

/* The Standard link at work: all of it, or only what a call of the Advanced link is compared with. */
void bench_add_workloads(struct bench_list *list);
void bench_add_round_trips(struct bench_list *list, size_t size);

extern const size_t bench_sizes[];
extern const unsigned bench_size_count;

/* ---- the machine ----------------------------------------------------------------------------- */

/* How near the two CPUs are to each other, judged by the round trip of one cache line. */
enum bench_state { STATE_SMT, STATE_NEAR, STATE_FAR, STATE_ONE_CPU, STATE_COUNT };

struct bench_config {
	double seconds;  /* for all rounds together */
	uint64_t run_ns; /* the length aimed at for one run */
	unsigned least_rounds;
	int cpu[2];
	bool one_cpu; /* both processes share a CPU */
	bool quick;
	bool list;
	const char *only;
	const char *json;
};

/* Two CPUs that this process may use: different cores of one package where there are such. */
int bench_choose_cpus(struct bench_config *config);

/* Measures every case of the list, round by round, until the time is used up; -EINTR by a signal. */
int bench_run(struct bench_list *list, const struct bench_config *config);

/* ---- inside a run ---------------------------------------------------------------------------- */

struct pair {
	const struct bench_case *bench;
	int side; /* 0 or 1 */
	bool one_cpu;
	uint64_t count;      /* operations to time; a multiple of the case's step */
	uint64_t warm;       /* operations before these, not timed; likewise */
	unsigned char *area; /* shared by both, page-aligned, BENCH_AREA_BYTES, contents unknown */
	const char *segment; /* a name for a segment of this run alone */
	struct pair_control *control;
};

/* Returns once both sides are here. */
void pair_meet(struct pair *pair);

/* The result of the run, called on one side. */
void pair_result(struct pair *pair, double ns_per_operation);

/* Says why a run is void; returns -1 for the body to return. */
int pair_fail(struct pair *pair, const char *what, const char *why);

static inline uint64_t bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* Tells the processor that this is a polling loop. */
static inline void bench_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield");
#endif
}

/* Between two looks; with both processes on one CPU the other one must run. */
static inline void bench_look_again(bool one_cpu)
{
	if (one_cpu)
		sched_yield();
	else
		bench_pause();
}

/*
 * Payloads: the number of the message in the first word of each cache line, so that writer and
 * reader touch every line and a torn or stale one is noticed.
 */
BENCH_INLINE void bench_stamp(void *payload, size_t size, uint64_t number)
{
	unsigned char *bytes = payload;

	for (size_t at = 0; at < size; at += BENCH_LINE)
		memcpy(bytes + at, &number, sizeof(number));
}

BENCH_INLINE bool bench_stamped(const void *payload, size_t size, uint64_t number)
{
	const unsigned char *bytes = payload;
	uint64_t difference = 0;

	for (size_t at = 0; at < size; at += BENCH_LINE) {
		uint64_t word;

		memcpy(&word, bytes + at, sizeof(word));
		difference |= word ^ number;
	}
	return difference == 0;
}

/* ---- figures --------------------------------------------------------------------------------- */

struct bench_figure {
	unsigned runs;    /* that count */
	bool disturbed;   /* too few undisturbed ones, so the others count as well */
	double median;    /* ns per operation */
	double low, high; /* quartiles */
	unsigned ratio_runs;
	double ratio; /* to the limit, median of the ratios of each round; in the sense of the unit */
	double ratio_low, ratio_high;
};

struct bench_figure bench_figure_of(const struct bench_list *list, const struct bench_series *series,
				    unsigned state);
const struct bench_series *bench_find(const struct bench_list *list, const char *name);

void report_table(FILE *out, const struct bench_list *list, const struct bench_config *config);
int report_json(const char *file, const struct bench_list *list, const struct bench_config *config);

#endif /* HQQ_BENCH_H */
