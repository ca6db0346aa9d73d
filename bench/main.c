/*
 * main.c - how fast is a kind of link, and how far from what the machine allows
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "bench.h"
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>

#define QUICK_LARGEST (32u << 20) /* bytes of a message */

static const char usage_text[] =
	"  --seconds S    measure for so long (default 60)\n"
	"  --run MS       length of one run (default 10); short ones find gaps on a busy machine\n"
	"  --quick        a look of a few seconds, too short to rely on\n"
	"  --only NAME    only cases whose name contains NAME, or matches it as a pattern,\n"
	"                 and the limits that they are compared with\n"
	"  --rounds N     run each case N times at least (default 5)\n"
	"  --cpus A,B...  the CPUs to use, the first two for what needs two\n"
	"  --json FILE    write the figures as JSON too; - for standard output, without the table\n"
	"  --list         say what can be measured\n"
	"  --help         this text\n";

/* Says something on standard error, in the name of the program. */
__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s: ", bench_program.name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	putc('\n', stderr);
}

static void print_usage(FILE *out)
{
	fprintf(out,
		"usage: %s [options]\n"
		"Measures the %s between pinned processes, and the limits of this machine.\n"
		"\n%s",
		bench_program.name, bench_program.title, usage_text);
}

/* ---- the list -------------------------------------------------------------------------------- */

static void name_of(char name[40], const char *stem, size_t size)
{
	if (size && size % (1u << 20) == 0)
		snprintf(name, 40, "%s/%zuM", stem, size >> 20);
	else if (size)
		snprintf(name, 40, "%s/%zu", stem, size);
	else
		snprintf(name, 40, "%s", stem);
}

struct bench_case *bench_add(struct bench_list *list, const char *name, size_t size, const char *limit)
{
	struct bench_case bench = {.size = size, .step = BENCH_STEP, .writers = 1, .readers = 1};
	unsigned at = list->count;

	if (list->count == BENCH_MAX_CASES) {
		complain("BENCH_MAX_CASES is too small");
		exit(2);
	}
	name_of(bench.name, name, size);
	if (limit) {
		name_of(bench.limit, limit, size);
		for (unsigned i = 0; i < list->count; i++) {
			const struct bench_case *other = &list->series[i].bench;

			if (strcmp(other->name, bench.limit) == 0 || strcmp(other->limit, bench.limit) == 0)
				at = i + 1;
		}
	}
	memmove(&list->series[at + 1], &list->series[at], (list->count - at) * sizeof(list->series[0]));
	list->series[at] = (struct bench_series){.bench = bench};
	list->count++;
	return &list->series[at].bench;
}

static bool asked_for(const struct bench_case *bench, const char *only)
{
	return strstr(bench->name, only) || fnmatch(only, bench->name, 0) == 0;
}

static bool needed(const struct bench_list *list, const struct bench_case *bench, const char *only)
{
	if (!only || asked_for(bench, only))
		return true;
	for (unsigned i = 0; i < list->count; i++) {
		const struct bench_case *other = &list->series[i].bench;

		if (strcmp(other->limit, bench->name) == 0 && asked_for(other, only))
			return true;
	}
	return false;
}

/* Leaves the cases that were asked for and can be measured here. */
static void select_cases(struct bench_list *list, const struct bench_config *config)
{
	const struct bench_list all = *list;

	list->count = 0;
	for (unsigned i = 0; i < all.count; i++) {
		const struct bench_case *bench = &all.series[i].bench;

		if (!needed(&all, bench, config->only))
			continue;
		if (config->one_cpu && bench->spins)
			complain("%s left out, it needs two CPUs", bench->name);
		else if (config->quick && !config->only && bench->size > QUICK_LARGEST)
			complain("%s left out, it is too long for a quick look", bench->name);
		else
			list->series[list->count++] = all.series[i];
	}
}

/* ---- arguments ------------------------------------------------------------------------------- */

static int bad_usage(const char *what, const char *value)
{
	complain("%s: %s", what, value);
	print_usage(stderr);
	return 2;
}

/* A number above 0. */
static bool parse_number(const char *text, double most, double *number)
{
	char *end;

	*number = strtod(text, &end);
	return end != text && !*end && *number > 0 && *number <= most;
}

static bool parse_cpus(const char *text, struct bench_config *config)
{
	config->cpus = 0;
	for (;; text++) {
		char *end;
		long cpu = strtol(text, &end, 10);

		if (end == text || cpu < 0 || cpu >= CPU_SETSIZE || config->cpus == BENCH_MAX_SIDES)
			return false;
		config->cpu[config->cpus++] = (int)cpu;
		text = end;
		if (!*text)
			return config->cpus >= 2;
		if (*text != ',')
			return false;
	}
}

/* 0 to go on, 1 when all is said, 2 for wrong usage. */
static int parse(int argc, char **argv, struct bench_config *config)
{
	static const struct option options[] = {
		{"seconds", required_argument, NULL, 's'}, {"run", required_argument, NULL, 'r'},
		{"quick", no_argument, NULL, 'q'},         {"only", required_argument, NULL, 'o'},
		{"cpus", required_argument, NULL, 'c'},    {"json", required_argument, NULL, 'j'},
		{"list", no_argument, NULL, 'l'},          {"help", no_argument, NULL, 'h'},
		{"rounds", required_argument, NULL, 'n'},  {NULL, 0, NULL, 0},
	};
	double number;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			if (!parse_number(optarg, 86400, &config->seconds))
				return bad_usage("not a number of seconds", optarg);
			break;
		case 'r':
			if (!parse_number(optarg, 1000, &number) || number < 0.1)
				return bad_usage("not a number of milliseconds", optarg);
			config->run_ns = (uint64_t)(number * 1e6);
			break;
		case 'n':
			if (!parse_number(optarg, BENCH_MAX_ROUNDS, &number) || number < 1)
				return bad_usage("not a number of rounds", optarg);
			config->least_rounds = (unsigned)number;
			break;
		case 'q':
			config->quick = true;
			break;
		case 'o':
			config->only = optarg;
			break;
		case 'c':
			if (!parse_cpus(optarg, config))
				return bad_usage("not two CPUs or more", optarg);
			break;
		case 'j':
			config->json = optarg;
			break;
		case 'l':
			config->list = true;
			break;
		case 'h':
			print_usage(stdout);
			return 1;
		default:
			print_usage(stderr);
			return 2;
		}
	}
	return optind < argc ? bad_usage("unexpected argument", argv[optind]) : 0;
}

static void list_cases(const struct bench_list *list)
{
	for (unsigned i = 0; i < list->count; i++) {
		const struct bench_case *bench = &list->series[i].bench;

		printf("%-28s %s%s\n", bench->name, bench->limit[0] ? "against " : "limit", bench->limit);
	}
}

/* ---- main ------------------------------------------------------------------------------------ */

static void free_results(struct bench_list *list)
{
	for (unsigned i = 0; i < list->count; i++) {
		free(list->series[i].samples);
		free(list->series[i].latency);
	}
}

static int allocate_results(struct bench_list *list)
{
	for (unsigned i = 0; i < list->count; i++) {
		struct bench_series *series = &list->series[i];

		series->samples = calloc(BENCH_MAX_ROUNDS, sizeof(*series->samples));
		if (series->bench.latency)
			series->latency = calloc(STATE_COUNT, sizeof(*series->latency));
		if (!series->samples || (series->bench.latency && !series->latency))
			return -ENOMEM;
	}
	return 0;
}

/* The exit code: 0, 1 when a case could not be measured, 2 for anything else. */
static int report(const struct bench_list *list, const struct bench_config *config, int error)
{
	int failed = error == -EINTR ? 2 : 0;

	if (error == -EINTR)
		complain("interrupted, this is what there is");
	if (!config->json || strcmp(config->json, "-") != 0)
		report_table(stdout, list, config);
	if (config->json && (error = report_json(config->json, list, config)) < 0) {
		complain("%s: %s", config->json, strerror(-error));
		failed = 2;
	}
	for (unsigned i = 0; i < list->count; i++) {
		if (list->series[i].failure[0] && !failed)
			failed = 1;
	}
	return failed;
}

static int run(struct bench_list *list, const struct bench_config *config)
{
	int result = 2;
	int error = allocate_results(list);

	if (error == 0)
		error = bench_run(list, config);
	if (error < 0 && error != -EINTR)
		complain("%s", strerror(-error));
	else
		result = report(list, config, error);
	free_results(list);
	return result;
}

static int measure(struct bench_list *list, const struct bench_config *config)
{
	FILE *heading = config->json && strcmp(config->json, "-") == 0 ? stderr : stdout;

	if (config->one_cpu)
		complain("only one CPU: what follows are context switches more than messages");
	fprintf(heading, "hqq, %s: processes on CPUs %d and %d, %u cases, runs of %g ms, %g s\n",
		bench_program.title, config->cpu[0], config->cpu[config->cpus > 1], list->count,
		(double)config->run_ns / 1e6, config->seconds);
	fflush(heading);
	return run(list, config);
}

/* What the command line left open. */
static void complete(struct bench_config *config)
{
	config->one_cpu = config->cpus < 2 || config->cpu[0] == config->cpu[1];
	if (!config->run_ns)
		config->run_ns = config->quick ? 4000000 : 10000000;
	if (!config->least_rounds)
		config->least_rounds = config->quick ? 3 : 5;
	if (config->seconds <= 0)
		config->seconds = config->quick ? 3 : 60;
}

int main(int argc, char **argv)
{
	static struct bench_list list;
	struct bench_config config = {.seconds = 0};
	int result = parse(argc, argv, &config);

	if (result)
		return result == 1 ? 0 : result;
	if (!config.cpus && bench_choose_cpus(&config) < 0) {
		complain("sched_getaffinity: %s", strerror(errno));
		return 2;
	}
	complete(&config);
	bench_program.add_cases(&list);
	select_cases(&list, &config);
	if (!list.count)
		result = bad_usage("no such case", config.only ? config.only : "");
	else if (config.list)
		list_cases(&list);
	else
		result = measure(&list, &config);
	if (bench_program.end)
		bench_program.end();
	return result;
}
