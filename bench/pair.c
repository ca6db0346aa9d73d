/*
 * pair.c - the processes of one run
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pair.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCHDOG_SECONDS 30 /* for one run */

#define DISTURBED_ABOVE 0.02 /* the share of a run for which a process waited for its CPU */

#define TRIP_BLOCKS 31
#define TRIP_ROUNDS 100

#define LOOKS_BEFORE_YIELD 10000
#define NAP_NS 50000

static bool interrupted;

bool pair_interrupted(void)
{
	return interrupted;
}

/* ---- inside a run ---------------------------------------------------------------------------- */

/* Counts arrivals; the process that completes a multiple of all waits for none. */
void pair_meet(struct pair *pair)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};
	_Atomic uint32_t *arrived = &pair->control->arrived;
	uint32_t mine = atomic_fetch_add_explicit(arrived, 1, memory_order_acq_rel);
	uint32_t all = (mine / pair->sides + 1) * pair->sides;

	for (unsigned looks = 0; atomic_load_explicit(arrived, memory_order_acquire) < all; looks++) {
		if (pair->sides > 2)
			nanosleep(&nap, NULL); /* the first two may be at their line round trips */
		else if (pair->one_cpu || looks > LOOKS_BEFORE_YIELD)
			sched_yield();
		else
			bench_pause();
	}
}

/* Of all threads of this process, ns. */
static uint64_t cpu_time(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * UINT64_C(1000000000) +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

void pair_begin(struct pair *pair)
{
	pair_meet(pair);
	pair->began_cpu = cpu_time();
	pair->began = bench_now();
}

void pair_end(struct pair *pair)
{
	double used = (double)(cpu_time() - pair->began_cpu);

	pair->control->cpu[pair->side] = used / (double)(bench_now() - pair->began + 1);
}

double pair_cpu(const struct pair *pair)
{
	return pair->control->cpu[pair->side];
}

void pair_result(struct pair *pair, double ns_per_operation)
{
	pair->control->ns = ns_per_operation;
}

void pair_fairness(struct pair *pair, double fairness)
{
	pair->control->fair = fairness;
}

int pair_fail(struct pair *pair, const char *what, const char *why)
{
	snprintf(pair->control->failure, sizeof(pair->control->failure), "%s: %s", what, why);
	return -1;
}

void watch_mark(struct watch *watch, uint64_t number)
{
	struct pair *pair = watch->pair;
	uint64_t now = bench_now();

	if (number == pair->warm) {
		watch->start = now;
		watch->next = pair->warm + pair->count;
		return;
	}
	if (number == pair->warm + pair->count)
		pair_result(pair, (double)(now - watch->start) / (double)pair->count);
	else
		histogram_add(&pair->control->latency, now - watch->last);
	watch->last = now;
	watch->next = number + 1;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

/*
 * Round trip of one line between sides 0 and 1, ns: the median of a few short blocks, each with a
 * line in another page, so that neither losing the CPU in one of them nor an odd place in memory
 * makes a difference. Other sides only wait.
 */
static double line_trip(struct pair *pair)
{
	size_t step = BENCH_AREA_BYTES / TRIP_BLOCKS / BENCH_LINE * BENCH_LINE;
	double blocks[TRIP_BLOCKS];

	if (pair->side == 0) {
		for (size_t block = 0; block < TRIP_BLOCKS; block++)
			memset(pair->area + block * step, 0, BENCH_LINE);
	}
	pair_meet(pair);
	if (pair->side > 1)
		return 0;
	for (size_t block = 0; block < TRIP_BLOCKS; block++) {
		_Atomic uint64_t *line = (_Atomic uint64_t *)(void *)(pair->area + block * step);
		uint64_t start = bench_now();

		for (uint64_t n = 0; n < TRIP_ROUNDS; n++) {
			if (pair->side == 0)
				atomic_store_explicit(line, 2 * n + 1, memory_order_release);
			while (atomic_load_explicit(line, memory_order_acquire) !=
			       2 * n + (pair->side ? 1 : 2))
				bench_pause();
			if (pair->side == 1)
				atomic_store_explicit(line, 2 * n + 2, memory_order_release);
		}
		blocks[block] = (double)(bench_now() - start) / TRIP_ROUNDS;
	}
	qsort(blocks, TRIP_BLOCKS, sizeof(blocks[0]), compare_doubles);
	return blocks[TRIP_BLOCKS / 2];
}

/* How long this process was ready to run and did not, ns; 0 where the kernel does not tell. */
static uint64_t time_lost(void)
{
	unsigned long long lost = 0;
	FILE *file = fopen("/proc/self/schedstat", "re");

	if (!file)
		return 0;
	if (fscanf(file, "%*u %llu", &lost) != 1)
		lost = 0;
	fclose(file);
	return lost;
}

static int run_side(struct pair *pair)
{
	struct pair_control *control = pair->control;
	double before = pair->one_cpu ? 0 : line_trip(pair);
	uint64_t lost = time_lost();
	uint64_t start = bench_now();

	pair_meet(pair);
	int result = pair->bench->body(pair);
	if (result < 0)
		return result;
	if ((double)(time_lost() - lost) > DISTURBED_ABOVE * (double)(bench_now() - start))
		atomic_store_explicit(&control->disturbed, true, memory_order_relaxed);
	pair_meet(pair);
	double after = pair->one_cpu ? 0 : line_trip(pair);
	if (pair->side == 0) {
		control->before = before;
		control->after = after;
	}
	return 0;
}

/* ---- their lives ----------------------------------------------------------------------------- */

static int pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0;
}

static pid_t start_side(const struct pair *shared, const struct bench_config *config, unsigned side)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	struct pair pair = *shared;

	pair.side = side;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	int error = pin(config->cpu[side % config->cpus]);
	if (error < 0) {
		pair_fail(&pair, "pinning", strerror(-error));
		_exit(1);
	}
	_exit(run_side(&pair) < 0);
}

static void end_all(pid_t pids[BENCH_MAX_SIDES])
{
	for (unsigned i = 0; i < BENCH_MAX_SIDES; i++) {
		if (pids[i] <= 0)
			continue;
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
		pids[i] = 0;
	}
}

void pair_awaited_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
}

static bool any_left(const pid_t pids[BENCH_MAX_SIDES])
{
	for (unsigned i = 0; i < BENCH_MAX_SIDES; i++) {
		if (pids[i] > 0)
			return true;
	}
	return false;
}

/* Reaps those that ended; false when one of them failed. */
static bool reap(pid_t pids[BENCH_MAX_SIDES])
{
	bool good = true;

	for (unsigned i = 0; i < BENCH_MAX_SIDES; i++) {
		int status;

		if (pids[i] <= 0 || waitpid(pids[i], &status, WNOHANG) != pids[i])
			continue;
		pids[i] = 0;
		good = good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	}
	return good;
}

/* Waits for all; when one fails, or time is up, or the user is tired of it, the others end too. */
static int join_sides(pid_t pids[BENCH_MAX_SIDES], struct pair_control *control)
{
	const struct timespec watchdog = {.tv_sec = WATCHDOG_SECONDS};
	const char *reason = NULL;
	sigset_t set;

	pair_awaited_signals(&set);
	while (!reason && any_left(pids)) {
		int signal = 0;

		if (!reap(pids))
			reason = "a process failed";
		else if (any_left(pids))
			signal = sigtimedwait(&set, NULL, &watchdog);
		if (signal < 0 && errno == EAGAIN)
			reason = "no end in sight";
		if (signal > 0 && signal != SIGCHLD) {
			interrupted = true;
			reason = "interrupted";
		}
	}
	end_all(pids);
	if (reason && !control->failure[0])
		snprintf(control->failure, sizeof(control->failure), "%s", reason);
	return reason ? -1 : 0;
}

int pair_run(struct pair *pair, const struct bench_config *config)
{
	struct pair_control *control = pair->control;
	pid_t pids[BENCH_MAX_SIDES] = {0};
	int result = 0;

	memset(control, 0, sizeof(*control));
	pair->sides = pair->bench->writers + pair->bench->readers;
	pair->crowded = pair->sides > config->cpus;
	pair->prepared = NULL;
	if (pair->bench->prepare && pair->bench->prepare(pair) < 0)
		return -1;
	for (unsigned side = 0; side < pair->sides && result == 0; side++) {
		pids[side] = start_side(pair, config, side);
		if (pids[side] < 0) {
			pair_fail(pair, "fork", strerror(errno));
			end_all(pids);
			result = -1;
		}
	}
	if (result == 0)
		result = join_sides(pids, control);
	if (pair->bench->dispose)
		pair->bench->dispose(pair);
	shm_unlink(pair->segment); /* there only if its maker was killed */
	return result;
}
