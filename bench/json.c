/*
 * json.c - all figures for other programs, bench/page among them
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "bench.h"
#include <errno.h>
#include <hqq.h>
#include <inttypes.h>
#include <sys/utsname.h>

/* Text of our own, of the system and of strerror(): quotes and backslashes are all that needs care. */
static void json_string(FILE *out, const char *text)
{
	putc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putc('\\', out);
		if ((unsigned char)*text >= ' ')
			putc(*text, out);
	}
	putc('"', out);
}

static void json_middle(FILE *out, const char *name, const struct bench_middle *middle)
{
	fprintf(out, ", \"%s\": %.4f, \"%s_low\": %.4f, \"%s_high\": %.4f", name, middle->median, name,
		middle->low, name, middle->high);
}

static void json_state(FILE *out, const struct bench_series *series, const struct bench_figure *figure,
		       unsigned state)
{
	const struct bench_case *bench = &series->bench;

	fprintf(out, "\n        {\"state\": \"%s\", \"runs\": %u, \"disturbed\": %s",
		bench_state_names[state], figure->ns.runs, figure->disturbed ? "true" : "false");
	json_middle(out, bench->unit == BENCH_IDLE ? "percent" : "ns", &figure->ns);
	if (bench->unit == BENCH_RATE)
		fprintf(out, ", \"per_second\": %.0f", 1e9 / figure->ns.median);
	if (figure->ratio.runs)
		json_middle(out, "ratio", &figure->ratio);
	fprintf(out, ", \"cpu\": [%.4f, %.4f]", figure->cpu[0], figure->cpu[1]);
	if (bench->writers > 1)
		fprintf(out, ", \"fairness\": %.4f", figure->fair);
	if (figure->trips)
		fprintf(out,
			",\n         \"latency\": {\"count\": %" PRIu64 ", \"p50\": %" PRIu64
			", \"p99\": %" PRIu64 ", \"p99_9\": %" PRIu64 ", \"p99_99\": %" PRIu64
			", \"max\": %" PRIu64 "}",
			figure->trips, figure->p50, figure->p99, figure->p99_9, figure->p99_99, figure->most);
	putc('}', out);
}

static void json_series(FILE *out, const struct bench_list *list, const struct bench_series *series)
{
	static const char *const units[] = {"ns", "per_second", "percent"};
	const struct bench_case *bench = &series->bench;
	const char *separator = "";

	fprintf(out, "\n    {\"name\": ");
	json_string(out, bench->name);
	fprintf(out, ", \"size\": %zu, \"unit\": \"%s\", \"writers\": %u, \"readers\": %u", bench->size,
		units[bench->unit], bench->writers, bench->readers);
	if (bench->limit[0]) {
		fprintf(out, ", \"limit\": ");
		json_string(out, bench->limit);
	}
	if (bench->apart) {
		fprintf(out, ", \"apart\": ");
		json_string(out, bench->apart);
	}
	if (series->failure[0]) {
		fprintf(out, ", \"failure\": ");
		json_string(out, series->failure);
	}
	fprintf(out, ", \"dropped\": %u,\n      \"states\": [", series->mixed);
	for (unsigned state = 0; state < STATE_COUNT; state++) {
		struct bench_figure figure = bench_figure_of(list, series, state);

		if (!figure.ns.runs)
			continue;
		fputs(separator, out);
		json_state(out, series, &figure, state);
		separator = ",";
	}
	fprintf(out, "]}");
}

static void json_goals(FILE *out, const struct bench_list *list)
{
	const char *separator = "";

	for (unsigned state = 0; state < STATE_ONE_CPU; state++) {
		for (unsigned i = 0; i < bench_goal_count; i++) {
			const struct bench_goal *goal = &bench_goals[i];
			double figure;

			if (!bench_goal_figure(list, goal, state, &figure))
				continue;
			fprintf(out, "%s\n    {\"state\": \"%s\", \"name\": \"%s\", ", separator,
				bench_state_names[state], goal->name);
			if (goal->reference)
				fprintf(out, "\"reference\": \"%s\", ", goal->reference);
			if (goal->note)
				fprintf(out, "\"note\": \"%s\", ", goal->note);
			fprintf(out, "\"%s\": %g, \"figure\": %.4f, \"reached\": %s}",
				goal->above ? "at_least" : "at_most", goal->value, figure,
				bench_goal_reached(goal, figure) ? "true" : "false");
			separator = ",";
		}
	}
}

/* The name of the processor; other architectures tell it elsewhere, or not at all. */
static void processor_name(char *name, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(name, size, "unknown");
	while (file && fgets(line, sizeof(line), file)) {
		const char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) != 0 || !colon)
			continue;
		snprintf(name, size, "%s", colon + 2);
		break;
	}
	if (file)
		fclose(file);
}

static void json_machine(FILE *out, const struct bench_config *config)
{
	struct utsname system;
	char processor[256];

	uname(&system);
	processor_name(processor, sizeof(processor));
	fprintf(out, "  \"program\": ");
	json_string(out, bench_program.name);
	fprintf(out, ", \"version\": ");
	json_string(out, hqq_version_string());
	fprintf(out, ", \"compiler\": ");
	json_string(out, __VERSION__);
	fprintf(out, ",\n  \"machine\": ");
	json_string(out, system.machine);
	fprintf(out, ", \"kernel\": ");
	json_string(out, system.release);
	fprintf(out, ", \"processor\": ");
	json_string(out, processor);
	fprintf(out, ", \"cpus\": [");
	for (unsigned i = 0; i < config->cpus; i++)
		fprintf(out, "%s%d", i ? ", " : "", config->cpu[i]);
	fprintf(out, "], \"quick\": %s,\n", config->quick ? "true" : "false");
	fprintf(out, "  \"run_ns\": %" PRIu64 ", \"slots\": %d,\n", config->run_ns, BENCH_SLOTS);
}

static void json_all(FILE *out, const struct bench_list *list, const struct bench_config *config)
{
	const char *separator = "";

	fprintf(out, "{\n");
	json_machine(out, config);
	fprintf(out, "  \"lines\": {");
	for (unsigned state = 0; state < STATE_ONE_CPU; state++) {
		unsigned samples = bench_samples_in(list, state);

		if (!samples)
			continue;
		fprintf(out, "%s\"%s\": {\"samples\": %u, \"round_trip_ns\": %.1f}", separator,
			bench_state_names[state], samples, bench_line_in(list, state));
		separator = ", ";
	}
	if (bench_program.versions) {
		fprintf(out, "},\n  \"peers\": {");
		bench_program.versions(out);
	}
	fprintf(out, "},\n  \"cases\": [");
	for (unsigned i = 0; i < list->count; i++) {
		if (i)
			putc(',', out);
		json_series(out, list, &list->series[i]);
	}
	fprintf(out, "\n  ],\n  \"goals\": [");
	json_goals(out, list);
	fprintf(out, "\n  ]\n}\n");
}

int report_json(const char *file, const struct bench_list *list, const struct bench_config *config)
{
	if (strcmp(file, "-") == 0) {
		json_all(stdout, list, config);
		return fflush(stdout) ? -errno : 0;
	}
	FILE *out = fopen(file, "we");
	if (!out)
		return -errno;
	json_all(out, list, config);
	bool failed = ferror(out);
	return fclose(out) || failed ? -EIO : 0;
}
