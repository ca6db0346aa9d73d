/*
 * harness.c - runs all cases in turn and judges which runs count
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

#include "pair.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A line round trip above this is that of two cores with no cache in common. Two threads of one core are
 * not told from two cores that share a cache: some of those are as fast. */
#define FAR_ABOVE_NS 250.0
#define STEADY_WITHIN 1.5 /* two readings further apart than this factor are two states */

#define WARM_MAX (2 * BENCH_SLOTS) /* operations: a ring filled twice; a multiple of every step */

/* ---- samples --------------------------------------------------------------------------------- */

static enum bench_state state_of(double line_ns)
{
	return line_ns > FAR_ABOVE_NS ? STATE_FAR : STATE_NEAR;
}

static void keep_sample(struct bench_series *series, const struct pair *pair, unsigned round)
{
	const struct pair_control *control = pair->control;
	struct bench_sample *sample = &series->samples[series->count];
	bool rising = control->before < control->after;
	double low = rising ? control->before : control->after;
	double high = rising ? control->after : control->before;

	if (!pair->one_cpu && high > low * STEADY_WITHIN) {
		series->mixed++;
		return;
	}
	*sample = (struct bench_sample){.ns = control->ns, .line_ns = (low + high) / 2, .round = round};
	sample->state = pair->one_cpu ? STATE_ONE_CPU : state_of(sample->line_ns);
	sample->disturbed = !pair->crowded && control->disturbed;
	sample->fair = control->fair;
	for (unsigned side = 0; side < pair->sides; side++)
		sample->cpu[side >= series->bench.writers] += control->cpu[side];
	if (series->latency) {
		struct bench_latency *latency = &series->latency[sample->state];

		histogram_merge(sample->disturbed ? &latency->disturbed : &latency->clean, &control->latency);
	}
	series->count++;
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* A multiple of the step for a run of about the length asked for. */
static uint64_t operations_for(uint64_t run_ns, double ns_per_operation, const struct bench_case *bench)
{
	double wanted = (double)run_ns / (ns_per_operation > 0.1 ? ns_per_operation : 0.1);
	uint64_t operations = wanted < 1e7 ? (uint64_t)wanted : 10000000;

	operations = (operations + bench->step) / bench->step * bench->step;
	return bench->most && operations > bench->most ? bench->most : operations;
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
	if (pair_run(pair, config) == 0)
		return true;
	if (!pair_interrupted())
		memcpy(series->failure, pair->control->failure, sizeof(series->failure));
	return false;
}

static void run_case(struct bench_series *series, struct pair *pair, const struct bench_config *config,
		     unsigned round)
{
	const struct bench_case *bench = &series->bench;

	pair->bench = bench;
	if (!series->operations)
		series->operations = bench->step;
	/* Before the first sample, up to two runs that only find out how long an operation takes. */
	for (unsigned trials = round == 0 && bench->most != bench->step ? 2 : 0;; trials--) {
		if (!run_once(series, pair, config))
			return;
		if (!trials || pair->control->ns * (double)series->operations > (double)config->run_ns)
			break;
		series->operations = operations_for(trials > 1 ? config->run_ns / 4 : config->run_ns,
						    pair->control->ns, bench);
	}
	keep_sample(series, pair, round);
	series->operations = operations_for(config->run_ns, pair->control->ns, bench);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void run_rounds(struct bench_list *list, struct pair *pair, const struct bench_config *config)
{
	uint64_t start = bench_now();

	for (unsigned round = 0; !pair_interrupted() && round < BENCH_MAX_ROUNDS; round++) {
		if (round >= config->least_rounds && (double)(bench_now() - start) > config->seconds * 1e9)
			break;
		for (unsigned i = 0; !pair_interrupted() && i < list->count; i++) {
			/* Every second round backwards, so that nobody always runs after the same one. */
			struct bench_series *series = &list->series[round % 2 ? list->count - 1 - i : i];

			if (!series->failure[0])
				run_case(series, pair, config, round);
		}
	}
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
	pair_awaited_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	snprintf(segment, sizeof(segment), "hqq-bench.%ld", (long)getpid());

	struct pair pair = {
		.one_cpu = config->one_cpu,
		.area = memory + control_size,
		.segment = segment,
		.control = (struct pair_control *)(void *)memory,
	};
	run_rounds(list, &pair, config);
	munmap(memory, control_size + BENCH_AREA_BYTES);
	return pair_interrupted() ? -EINTR : 0;
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

static bool good_second(int cpu, int first)
{
	return topology(cpu, "core_id") != topology(first, "core_id") &&
	       topology(cpu, "physical_package_id") == topology(first, "physical_package_id");
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
		if (first < 0)
			first = cpu;
		else if (second < 0 || (!good_second(second, first) && good_second(cpu, first)))
			second = cpu;
	}
	config->cpus = 0;
	config->cpu[config->cpus++] = first;
	if (second >= 0)
		config->cpu[config->cpus++] = second;
	for (int cpu = 0; cpu < CPU_SETSIZE && config->cpus < BENCH_MAX_SIDES; cpu++) {
		if (CPU_ISSET((size_t)cpu, &set) && cpu != first && cpu != second)
			config->cpu[config->cpus++] = cpu;
	}
	return 0;
}
