/*
 * bench.h - what the files of the benchmarks share
 *
 * A case is one thing to measure: a limit of the machine (limits.c, bare_ring.c and a part of
 * copies.c, no library involved), a workload of the library (workloads.c, many.c, advanced.c,
 * copies.c) or of what else there is for the purpose (compare.c). The harness runs the body of a
 * case in two or more pinned processes at once; each run gives one sample, nanoseconds per
 * operation. The workloads of a limit follow it in the list and all run in turn, round by round,
 * so that a workload meets its limit under the same conditions. A workload may be the limit of
 * another one.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_BENCH_H
#define HQQ_BENCH_H

#include "histogram.h"
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BENCH_LINE 64
#define BENCH_SLOTS 1024            /* of every ring measured, unless its case says otherwise, ... */
#define BENCH_RING_BYTES (4u << 20) /* ... but fewer where their payloads would be more than this */
#define BENCH_LARGEST 65536
#define BENCH_AREA_BYTES (5u << 20)
#define BENCH_MAX_CASES 256
#define BENCH_MAX_SIDES 8
#define BENCH_STEP 64 /* fits every batch */
#define BENCH_MAX_ROUNDS 1000

/* For code that is to be made anew for each size and each way, with these as constants. */
#define BENCH_INLINE static inline __attribute__((always_inline))

/* ---- cases ----------------------------------------------------------------------------------- */

struct pair;
typedef int bench_body(struct pair *pair);

enum bench_unit {
	BENCH_TIME, /* shown as nanoseconds; a ratio is better when lower */
	BENCH_RATE, /* shown as millions per second; a ratio is better when higher */
	BENCH_IDLE  /* not a time, but a share of a CPU in percent, of one process; better when lower */
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
	size_t slots;     /* of the link; 0 for bench_slots() */
	size_t buffer;    /* bytes of each of its buffers; 0 for size */
	bool spins;       /* makes no sense with both processes on one CPU */
	bool latency;     /* the body has each operation of a second part timed, see struct watch */
	uint64_t step;    /* operations of a run are a multiple of it */
	uint64_t most;    /* operations of a run; 0 for as many as it takes to reach its length */
	unsigned writers; /* processes, 1 and 1 unless the case says otherwise; writers come first */
	unsigned readers;
	const void *peer; /* for compare.c */
	const char *apart; /* how a peer works, to be told where it is faster; or NULL */

	/* In the parent, before the processes of a run start, and after they ended; may be NULL. */
	bench_body *prepare;
	bench_body *dispose;
};

/* One run of a case. */
struct bench_sample {
	double ns;      /* per operation */
	double line_ns; /* round trip of a cache line, mean of before and after */
	double cpu[2];  /* CPUs used by writers and by readers, or by side 0 and side 1; 1 is a whole one */
	double fair;    /* of several writers: the time of the first to end, as a share of the last one's */
	unsigned state; /* enum bench_state */
	bool disturbed; /* one of the processes lost its CPU meanwhile */
	unsigned round;
};

/* How long single operations took: of the undisturbed runs, and of the others. */
struct bench_latency {
	struct histogram clean;
	struct histogram disturbed;
};

struct bench_series {
	struct bench_case bench;
	struct bench_sample *samples;  /* BENCH_MAX_ROUNDS */
	struct bench_latency *latency; /* STATE_COUNT, or NULL when the case has none */
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
	void (*versions)(FILE *out); /* of what it uses besides libhqq, members of a JSON object; or NULL */
	void (*end)(void);           /* when all is measured; or NULL */
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
void bench_add_many(struct bench_list *list);

extern const size_t bench_sizes[];
extern const unsigned bench_size_count;

/* Slots of a ring with payloads of this size. */
static inline size_t bench_slots(size_t size)
{
	return size * BENCH_SLOTS > BENCH_RING_BYTES ? BENCH_RING_BYTES / size : BENCH_SLOTS;
}

/* ---- what is to be reached ------------------------------------------------------------------- */

struct bench_goal {
	const char *name;      /* of a case */
	const char *reference; /* the case that it is compared with, or NULL for a figure of its own */
	double value;          /* of the ratio, or in the unit of the case: ns, operations/s, percent */
	bool above;            /* to be reached or exceeded, else not to be exceeded */
	const char *note;      /* to be told where it is not reached; or NULL */
};

extern const struct bench_goal bench_goals[];
extern const unsigned bench_goal_count;

/* ---- the machine ----------------------------------------------------------------------------- */

/* How near the two CPUs are to each other, judged by the round trip of one cache line. */
enum bench_state { STATE_NEAR, STATE_FAR, STATE_ONE_CPU, STATE_COUNT };

struct bench_config {
	double seconds;  /* for all rounds together */
	uint64_t run_ns; /* the length aimed at for one run */
	unsigned least_rounds;
	int cpu[BENCH_MAX_SIDES]; /* side n runs on cpu[n % cpus] */
	unsigned cpus;
	bool one_cpu; /* all processes share a CPU */
	bool quick;
	bool list;
	const char *only;
	const char *json;
};

/*
 * CPUs that this process may use. The first two are different cores of one package where there
 * are such.
 */
int bench_choose_cpus(struct bench_config *config);

/* Measures every case of the list, round by round, until the time is used up; -EINTR by a signal. */
int bench_run(struct bench_list *list, const struct bench_config *config);

/* ---- inside a run ---------------------------------------------------------------------------- */

/* Two processes, or some more in cases with several writers or readers. */
struct pair {
	const struct bench_case *bench;
	unsigned sides;
	unsigned side;       /* 0 .. sides - 1 */
	bool one_cpu;        /* for all sides */
	bool crowded;        /* there are more sides than CPUs: who waits must let others run */
	uint64_t count;      /* operations to time; a multiple of the case's step */
	uint64_t warm;       /* operations before these, not timed; likewise */
	unsigned char *area; /* shared by all, page-aligned, BENCH_AREA_BYTES, contents unknown */
	const char *segment; /* a name for a segment of this run alone */
	void *prepared;      /* for prepare, body and dispose of the case */
	uint64_t began_cpu, began;
	struct pair_control *control;
};

/* Returns once all sides are here. */
void pair_meet(struct pair *pair);

/* The same when all is set up: from here to pair_end() the CPU time of this side is counted. */
void pair_begin(struct pair *pair);
void pair_end(struct pair *pair);

/* What was counted, in CPUs. */
double pair_cpu(const struct pair *pair);

/* The result of the run, called on one side. */
void pair_result(struct pair *pair, double ns_per_operation);
void pair_fairness(struct pair *pair, double fairness);

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

/* Between two looks; with fewer CPUs than processes another one must run. */
static inline void bench_look_again(bool crowded)
{
	if (crowded)
		sched_yield();
	else
		bench_pause();
}

/*
 * Times the operations of a run on the side that starts them: watch_tick() before each one with its
 * number, and after the last one. A run has warm ones, those that its result is the mean of, and,
 * where the case asks for latency, the same number again, each of which goes into the histogram:
 * reading the clock every time would be seen in the mean.
 */
struct watch {
	struct pair *pair;
	uint64_t next; /* the number of the tick that is of interest */
	uint64_t start, last;
};

static inline struct watch watch_of(struct pair *pair)
{
	return (struct watch){.pair = pair, .next = pair->warm};
}

void watch_mark(struct watch *watch, uint64_t number);

BENCH_INLINE void watch_tick(struct watch *watch, uint64_t number)
{
	if (number == watch->next)
		watch_mark(watch, number);
}

/* All operations of a run. */
static inline uint64_t pair_total(const struct pair *pair)
{
	return pair->warm + pair->count + (pair->bench->latency ? pair->count : 0);
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

/* Median and quartiles of so many runs. */
struct bench_middle {
	unsigned runs;
	double median, low, high;
};

struct bench_figure {
	struct bench_middle ns;    /* per operation */
	struct bench_middle ratio; /* to the limit, of the ratios of each round; in the sense of the unit */
	bool disturbed;            /* too few undisturbed runs, so the others count as well */
	double cpu[2];             /* medians */
	double fair;
	uint64_t trips; /* single operations that were timed, and how long they took, ns */
	uint64_t p50, p99, p99_9, p99_99, most;
};

struct bench_figure bench_figure_of(const struct bench_list *list, const struct bench_series *series,
				    unsigned state);
const struct bench_series *bench_find(const struct bench_list *list, const char *name);

/* The ratio of two cases in a state, of the rounds in which both were measured. */
struct bench_middle bench_ratio_of(const struct bench_series *series, const struct bench_series *reference,
				   unsigned state);

/* The figure of a goal in a state; false when it was not measured. */
bool bench_goal_figure(const struct bench_list *list, const struct bench_goal *goal, unsigned state,
		       double *figure);
bool bench_goal_reached(const struct bench_goal *goal, double figure);

unsigned bench_samples_in(const struct bench_list *list, unsigned state);
double bench_line_in(const struct bench_list *list, unsigned state);

extern const char *const bench_state_names[STATE_COUNT];
extern const char *const bench_state_words[STATE_COUNT];

void report_table(FILE *out, const struct bench_list *list, const struct bench_config *config);
int report_json(const char *file, const struct bench_list *list, const struct bench_config *config);

#endif /* HQQ_BENCH_H */
