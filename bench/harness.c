/*
 * harness.c - runs a case in two pinned processes and judges whether the run counts
 *
 * On a virtual machine the distance between two CPUs changes while it runs: the host moves them
 * about. So each pair of processes measures the round trip of one cache line before and after the
 * body of its case; a run whose two readings disagree is dropped, and samples of different states
 * are never put together. What is compared is interleaved, and a ratio is taken between runs of
 * the same round, then the median of the ratios.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "bench.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCHDOG_SECONDS 30 /* for one run */

/* A line round trip below the first is that of two threads of one core, above the second that of
 * two cores with no cache in common. */
#define SMT_BELOW_NS 70.0
#define FAR_ABOVE_NS 250.0
#define STEADY_WITHIN 1.5 /* two readings further apart than this factor are two states */

#define DISTURBED_ABOVE 0.02 /* the share of a run for which a process waited for its CPU */

#define WARM_MAX (2 * BENCH_SLOTS) /* operations: a ring filled twice; a multiple of every step */

#define TRIP_BLOCKS 31
#define TRIP_ROUNDS 100

struct pair_control {
	_Alignas(BENCH_LINE) _Atomic uint32_t arrived;
	_Alignas(BENCH_LINE) double ns;
	double before;
	double after;
	_Atomic bool disturbed;
	char failure[160];
};

static bool interrupted; /* by a signal: no more runs, but a report of those that there are */

/* ---- inside a run ---------------------------------------------------------------------------- */

/* Counts arrivals; the process that finds an even number of them after its own waits for none. */
void pair_meet(struct pair *pair)
{
	_Atomic uint32_t *arrived = &pair->control->arrived;
	uint32_t mine = atomic_fetch_add_explicit(arrived, 1, memory_order_acq_rel);
	uint32_t both = (mine | 1) + 1;

	for (unsigned looks = 0; atomic_load_explicit(arrived, memory_order_acquire) < both; looks++) {
		if (pair->one_cpu || looks > 10000)
			sched_yield();
		else
			bench_pause();
	}
}

void pair_result(struct pair *pair, double ns_per_operation)
{
	pair->control->ns = ns_per_operation;
}

int pair_fail(struct pair *pair, const char *what, const char *why)
{
	snprintf(pair->control->failure, sizeof(pair->control->failure), "%s: %s", what, why);
	return -1;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

/*
 * Round trip of one line, ns: the median of a few short blocks, each with a line in another page,
 * so that neither losing the CPU in one of them nor an odd place in memory makes a difference.
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

/* ---- a pair of processes --------------------------------------------------------------------- */

static int pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) < 0 ? -errno : 0;
}

static pid_t start_side(const struct pair *shared, const struct bench_config *config, int side)
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
	int error = pin(config->cpu[side]);
	if (error < 0) {
		pair_fail(&pair, "pinning", strerror(-error));
		_exit(1);
	}
	_exit(run_side(&pair) < 0);
}

static void end_both(pid_t pids[2])
{
	for (unsigned i = 0; i < 2; i++) {
		if (pids[i] <= 0)
			continue;
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
		pids[i] = 0;
	}
}

/* What the harness waits for while a run lasts; blocked all the time. */
static void awaited_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
}

/* Reaps those that ended; false when one of them failed. */
static bool reap(pid_t pids[2])
{
	bool good = true;

	for (unsigned i = 0; i < 2; i++) {
		int status;

		if (pids[i] <= 0 || waitpid(pids[i], &status, WNOHANG) != pids[i])
			continue;
		pids[i] = 0;
		good = good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	}
	return good;
}

/* Waits for both; when one fails, or time is up, or the user is tired of it, the other one ends too. */
static int join_sides(pid_t pids[2], struct pair_control *control)
{
	const struct timespec watchdog = {.tv_sec = WATCHDOG_SECONDS};
	const char *reason = NULL;
	sigset_t set;

	awaited_signals(&set);
	while (!reason && (pids[0] > 0 || pids[1] > 0)) {
		int signal = 0;

		if (!reap(pids))
			reason = "a process failed";
		else if (pids[0] > 0 || pids[1] > 0)
			signal = sigtimedwait(&set, NULL, &watchdog);
		if (signal < 0 && errno == EAGAIN)
			reason = "no end in sight";
		if (signal > 0 && signal != SIGCHLD) {
			interrupted = true;
			reason = "interrupted";
		}
	}
	end_both(pids);
	if (reason && !control->failure[0])
		snprintf(control->failure, sizeof(control->failure), "%s", reason);
	return reason ? -1 : 0;
}

/* One run; 0, or -1 with the reason in control->failure. */
static int run_pair(struct pair *pair, const struct bench_config *config)
{
	struct pair_control *control = pair->control;
	pid_t pids[2] = {0, 0};

	memset(control, 0, sizeof(*control));
	for (int side = 0; side < 2; side++) {
		pids[side] = start_side(pair, config, side);
		if (pids[side] < 0) {
			snprintf(control->failure, sizeof(control->failure), "fork: %s", strerror(errno));
			end_both(pids);
			return -1;
		}
	}
	int result = join_sides(pids, control);
	shm_unlink(pair->segment); /* there only if its maker was killed */
	return result;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static enum bench_state state_of(double line_ns)
{
	if (line_ns < SMT_BELOW_NS)
		return STATE_SMT;
	return line_ns > FAR_ABOVE_NS ? STATE_FAR : STATE_NEAR;
}

static void keep_sample(struct bench_series *series, const struct pair_control *control, unsigned round,
			bool one_cpu)
{
	struct bench_sample *sample = &series->samples[series->count];
	bool rising = control->before < control->after;
	double low = rising ? control->before : control->after;
	double high = rising ? control->after : control->before;

	if (!one_cpu && (high > low * STEADY_WITHIN || state_of(low) != state_of(high))) {
		series->mixed++;
		return;
	}
	sample->ns = control->ns;
	sample->line_ns = (low + high) / 2;
	sample->state = one_cpu ? STATE_ONE_CPU : state_of(sample->line_ns);
	sample->disturbed = !one_cpu && control->disturbed;
	sample->round = round;
	series->count++;
}

/* A multiple of the step for a run of about the length asked for. */
static uint64_t operations_for(uint64_t run_ns, double ns_per_operation, uint64_t step)
{
	double wanted = (double)run_ns / (ns_per_operation > 0.1 ? ns_per_operation : 0.1);
	uint64_t operations = wanted < 1e7 ? (uint64_t)wanted : 10000000;

	return (operations + step) / step * step;
}

/* Half of the run: that fills the rings, and the memory of large messages is in use again by then. */
static uint64_t warm_operations(uint64_t operations, uint64_t step)
{
	uint64_t half = (operations / 2 + step - 1) / step * step;

	if (half < step)
		return step;
	return half < WARM_MAX ? half : WARM_MAX;
}

/* One run; false when there is no sample, for the reason that is noted if it is the case's own. */
static bool run_once(struct bench_series *series, struct pair *pair, const struct bench_config *config)
{
	pair->count = series->operations;
	pair->warm = warm_operations(series->operations, series->bench.step);
	if (run_pair(pair, config) == 0)
		return true;
	if (!interrupted)
		memcpy(series->failure, pair->control->failure, sizeof(series->failure));
	return false;
}

static void run_case(struct bench_series *series, struct pair *pair, const struct bench_config *config,
		     unsigned round)
{
	pair->bench = &series->bench;
	if (!series->operations)
		series->operations = series->bench.step;
	/* Before the first sample, up to two runs that only find out how long an operation takes. */
	for (unsigned trials = round == 0 ? 2 : 0;; trials--) {
		if (!run_once(series, pair, config))
			return;
		if (!trials || pair->control->ns * (double)series->operations > (double)config->run_ns)
			break;
		series->operations = operations_for(trials > 1 ? config->run_ns / 4 : config->run_ns,
						    pair->control->ns, series->bench.step);
	}
	keep_sample(series, pair->control, round, pair->one_cpu);
	series->operations = operations_for(config->run_ns, pair->control->ns, series->bench.step);
}

int bench_run(struct bench_list *list, const struct bench_config *config)
{
	size_t control_size = (sizeof(struct pair_control) + 4095) / 4096 * 4096;
	unsigned char *memory = mmap(NULL, control_size + BENCH_AREA_BYTES, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	char segment[64];
	sigset_t set;

	if (memory == MAP_FAILED)
		return -errno;
	awaited_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	snprintf(segment, sizeof(segment), "hqq-bench.%ld", (long)getpid());

	struct pair pair = {
		.one_cpu = config->one_cpu,
		.area = memory + control_size,
		.segment = segment,
		.control = (struct pair_control *)(void *)memory,
	};
	uint64_t start = bench_now();
	for (unsigned round = 0; !interrupted && round < BENCH_MAX_ROUNDS; round++) {
		if (round >= config->least_rounds && (double)(bench_now() - start) > config->seconds * 1e9)
			break;
		for (unsigned i = 0; !interrupted && i < list->count; i++) {
			/* Every second round backwards, so that nobody always runs after the same one. */
			struct bench_series *series = &list->series[round % 2 ? list->count - 1 - i : i];

			if (!series->failure[0])
				run_case(series, &pair, config, round);
		}
	}
	munmap(memory, control_size + BENCH_AREA_BYTES);
	return interrupted ? -EINTR : 0;
}

/* ---- CPUs ------------------------------------------------------------------------------------ */

static long topology(int cpu, const char *what)
{
	char path[96];
	long value = -1;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, what);
	FILE *file = fopen(path, "re");
	if (!file)
		return -1;
	if (fscanf(file, "%ld", &value) != 1)
		value = -1;
	fclose(file);
	return value;
}

int bench_choose_cpus(struct bench_config *config)
{
	cpu_set_t set;
	int first = -1;
	int second = -1;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return -errno;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET((size_t)cpu, &set))
			continue;
		if (first < 0) {
			first = cpu;
		} else if (second < 0) {
			second = cpu;
		} else if (topology(second, "core_id") == topology(first, "core_id") &&
			   topology(cpu, "core_id") != topology(first, "core_id") &&
			   topology(cpu, "physical_package_id") == topology(first, "physical_package_id")) {
			second = cpu;
		}
	}
	config->cpu[0] = first;
	config->cpu[1] = second < 0 ? first : second;
	return 0;
}
