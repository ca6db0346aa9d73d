/*
 * report.c - from samples to figures, a table and JSON
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "bench.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/utsname.h>

/* So many undisturbed samples are enough to leave the disturbed ones out. */
#define ENOUGH 5

/* A state gets a table of its own when a third of what could be measured was measured in it. */
#define STATE_SHARE 3

/* Messages of so many bytes are counted one by one, not in millions. */
#define HUGE (1u << 20)

static const char *const state_names[STATE_COUNT] = {"smt", "near", "far", "one-cpu"};
static const char *const state_words[STATE_COUNT] = {"two threads of one core", "two cores near each other",
						     "two cores far from each other",
						     "both processes on one CPU"};

/* ---- figures --------------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Quantile of sorted values, between neighbours. */
static double quantile(const double *values, unsigned count, double at)
{
	double place = at * (double)(count - 1);
	unsigned below = (unsigned)place;
	double above = below + 1 < count ? values[below + 1] : values[below];

	return values[below] + (above - values[below]) * (place - (double)below);
}

static void quartiles(double *values, unsigned count, double *low, double *median, double *high)
{
	qsort(values, count, sizeof(values[0]), compare_doubles);
	*low = quantile(values, count, 0.25);
	*median = quantile(values, count, 0.5);
	*high = quantile(values, count, 0.75);
}

/* Are disturbed samples to count? Only where there are too few others. */
static bool accepts_disturbed(const struct bench_series *series, unsigned state)
{
	unsigned clean = 0;

	for (unsigned i = 0; i < series->count; i++)
		clean += series->samples[i].state == state && !series->samples[i].disturbed;
	return clean < ENOUGH;
}

static const struct bench_sample *sample_of_round(const struct bench_series *series, unsigned state,
						  unsigned round)
{
	for (unsigned i = 0; i < series->count; i++) {
		const struct bench_sample *sample = &series->samples[i];

		if (sample->round == round && sample->state == state)
			return sample;
	}
	return NULL;
}

static void ratios_of(struct bench_figure *figure, const struct bench_series *series,
		      const struct bench_series *limit, unsigned state, double *values)
{
	bool disturbed = figure->disturbed;
	bool limit_disturbed = accepts_disturbed(limit, state);

	for (unsigned i = 0; i < series->count; i++) {
		const struct bench_sample *sample = &series->samples[i];

		if (sample->state != state || (sample->disturbed && !disturbed))
			continue;
		const struct bench_sample *other = sample_of_round(limit, state, sample->round);
		if (!other || (other->disturbed && !limit_disturbed))
			continue;
		values[figure->ratio_runs++] =
			series->bench.unit == BENCH_TIME ? sample->ns / other->ns : other->ns / sample->ns;
	}
	if (figure->ratio_runs)
		quartiles(values, figure->ratio_runs, &figure->ratio_low, &figure->ratio,
			  &figure->ratio_high);
}

struct bench_figure bench_figure_of(const struct bench_list *list, const struct bench_series *series,
				    unsigned state)
{
	const struct bench_series *limit = bench_find(list, series->bench.limit);
	struct bench_figure figure = {.disturbed = accepts_disturbed(series, state)};
	double values[BENCH_MAX_ROUNDS];
	bool any_disturbed = false;

	for (unsigned i = 0; i < series->count; i++) {
		const struct bench_sample *sample = &series->samples[i];

		if (sample->state != state || (sample->disturbed && !figure.disturbed))
			continue;
		any_disturbed |= sample->disturbed;
		values[figure.runs++] = sample->ns;
	}
	if (!figure.runs)
		return figure;
	quartiles(values, figure.runs, &figure.low, &figure.median, &figure.high);
	if (limit)
		ratios_of(&figure, series, limit, state, values);
	figure.disturbed = any_disturbed;
	return figure;
}

const struct bench_series *bench_find(const struct bench_list *list, const char *name)
{
	for (unsigned i = 0; i < list->count; i++) {
		if (strcmp(list->series[i].bench.name, name) == 0)
			return &list->series[i];
	}
	return NULL;
}

static unsigned samples_in(const struct bench_list *list, unsigned state)
{
	unsigned samples = 0;

	for (unsigned i = 0; i < list->count; i++) {
		for (unsigned j = 0; j < list->series[i].count; j++)
			samples += list->series[i].samples[j].state == state;
	}
	return samples;
}

static double line_in(const struct bench_list *list, unsigned state)
{
	double sum = 0;
	unsigned samples = 0;

	for (unsigned i = 0; i < list->count; i++) {
		for (unsigned j = 0; j < list->series[i].count; j++) {
			if (list->series[i].samples[j].state != state)
				continue;
			sum += list->series[i].samples[j].line_ns;
			samples++;
		}
	}
	return samples ? sum / samples : 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

static bool reached(const struct bench_case *bench, double ratio)
{
	return bench->unit == BENCH_TIME ? ratio <= bench->target : ratio >= bench->target;
}

static void print_figure(FILE *out, const struct bench_series *series, const struct bench_figure *figure)
{
	const struct bench_case *bench = &series->bench;
	char text[48] = "";
	double spread = (figure->high - figure->low) / 2 / figure->median * 100;

	if (bench->unit == BENCH_TIME)
		snprintf(text, sizeof(text), "%.*f ns", figure->median < 100 ? 1 : 0, figure->median);
	else if (bench->size >= HUGE)
		snprintf(text, sizeof(text), "%.1f /s %5.1f GB/s", 1e9 / figure->median,
			 (double)bench->size / figure->median);
	else if (bench->size >= 1024)
		snprintf(text, sizeof(text), "%.2f M/s %5.1f GB/s", 1000 / figure->median,
			 (double)bench->size / figure->median);
	else
		snprintf(text, sizeof(text), "%.2f M/s", 1000 / figure->median);
	fprintf(out, "  %-26s %22s  +-%3.0f%%", bench->name, text, spread);
	if (figure->ratio_runs)
		fprintf(out, "  %5.2f x %-23s", figure->ratio, bench->limit);
	else
		fprintf(out, "  %31s", "");
	fprintf(out, " %3u runs%s\n", figure->runs, figure->disturbed ? ", disturbed" : "");
}

static void print_state(FILE *out, const struct bench_list *list, unsigned state)
{
	fprintf(out, "\n%s: %s", state_names[state], state_words[state]);
	if (state != STATE_ONE_CPU)
		fprintf(out, ", %.0f ns for the round trip of a cache line", line_in(list, state));
	fprintf(out, "\n  %-26s %22s  %6s  %-31s %8s\n", "median of runs", "", "spread", "ratio to its limit",
		"");
	for (unsigned i = 0; i < list->count; i++) {
		struct bench_figure figure = bench_figure_of(list, &list->series[i], state);

		if (figure.runs)
			print_figure(out, &list->series[i], &figure);
	}
	for (unsigned i = 0; i < list->count; i++) {
		const struct bench_case *bench = &list->series[i].bench;
		struct bench_figure figure = bench_figure_of(list, &list->series[i], state);

		if (bench->target <= 0 || !figure.ratio_runs || state == STATE_ONE_CPU) /* set for two CPUs */
			continue;
		fprintf(out, "  target: %s %s %.2f x %s: %.2f, %s%s\n", bench->name,
			bench->unit == BENCH_TIME ? "<=" : ">=", bench->target, bench->limit, figure.ratio,
			reached(bench, figure.ratio) ? "reached" : "NOT reached",
			figure.disturbed ? " (disturbed)" : "");
	}
}

void report_table(FILE *out, const struct bench_list *list, const struct bench_config *config)
{
	unsigned total = 0;
	unsigned mixed = 0;

	for (unsigned state = 0; state < STATE_COUNT; state++)
		total += samples_in(list, state);
	for (unsigned i = 0; i < list->count; i++)
		mixed += list->series[i].mixed;
	fprintf(out, "%u samples of %u cases, %u more dropped since the machine changed meanwhile\n", total,
		list->count, mixed);
	if (config->quick)
		fprintf(out, "a quick look: too few and too short runs to rely on\n");
	for (unsigned state = 0; state < STATE_COUNT; state++) {
		unsigned samples = samples_in(list, state);

		if (samples * STATE_SHARE >= total && samples)
			print_state(out, list, state);
		else if (samples)
			fprintf(out, "\n%s: %s, only %u samples: not shown\n", state_names[state],
				state_words[state], samples);
	}
	for (unsigned i = 0; i < list->count; i++) {
		if (list->series[i].failure[0])
			fprintf(out, "FAILED %s: %s\n", list->series[i].bench.name, list->series[i].failure);
	}
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* Text of our own and of strerror(): quotes and backslashes are all that needs care. */
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

static void json_state(FILE *out, const struct bench_series *series, const struct bench_figure *figure,
		       unsigned state)
{
	const struct bench_case *bench = &series->bench;

	fprintf(out, "\n        {\"state\": \"%s\", \"runs\": %u, \"disturbed\": %s", state_names[state],
		figure->runs, figure->disturbed ? "true" : "false");
	fprintf(out, ", \"ns\": %.3f, \"ns_low\": %.3f, \"ns_high\": %.3f", figure->median, figure->low,
		figure->high);
	if (bench->unit == BENCH_RATE)
		fprintf(out, ", \"per_second\": %.0f", 1e9 / figure->median);
	if (figure->ratio_runs) {
		fprintf(out, ", \"ratio\": %.4f, \"ratio_low\": %.4f, \"ratio_high\": %.4f", figure->ratio,
			figure->ratio_low, figure->ratio_high);
		if (bench->target > 0 && state != STATE_ONE_CPU)
			fprintf(out, ", \"target\": %.2f, \"reached\": %s", bench->target,
				reached(bench, figure->ratio) ? "true" : "false");
	}
	putc('}', out);
}

static void json_series(FILE *out, const struct bench_list *list, const struct bench_series *series)
{
	const struct bench_case *bench = &series->bench;
	const char *separator = "";

	fprintf(out, "\n    {\"name\": ");
	json_string(out, bench->name);
	fprintf(out, ", \"size\": %zu, \"unit\": \"%s\"", bench->size,
		bench->unit == BENCH_TIME ? "ns" : "per_second");
	if (bench->limit[0]) {
		fprintf(out, ", \"limit\": ");
		json_string(out, bench->limit);
	}
	if (series->failure[0]) {
		fprintf(out, ", \"failure\": ");
		json_string(out, series->failure);
	}
	fprintf(out, ", \"dropped\": %u,\n      \"states\": [", series->mixed);
	for (unsigned state = 0; state < STATE_COUNT; state++) {
		struct bench_figure figure = bench_figure_of(list, series, state);

		if (!figure.runs)
			continue;
		fputs(separator, out);
		json_state(out, series, &figure, state);
		separator = ",";
	}
	fprintf(out, "]}");
}

static void json_all(FILE *out, const struct bench_list *list, const struct bench_config *config)
{
	struct utsname system;

	uname(&system);
	fprintf(out, "{\n  \"machine\": ");
	json_string(out, system.machine);
	fprintf(out, ", \"kernel\": ");
	json_string(out, system.release);
	fprintf(out, ", \"cpus\": [%d, %d], \"quick\": %s,\n", config->cpu[0], config->cpu[1],
		config->quick ? "true" : "false");
	fprintf(out, "  \"run_ns\": %" PRIu64 ", \"slots\": %d,\n", config->run_ns, BENCH_SLOTS);
	fprintf(out, "  \"lines\": {");
	const char *separator = "";
	for (unsigned state = 0; state < STATE_ONE_CPU; state++) {
		unsigned samples = samples_in(list, state);

		if (!samples)
			continue;
		fprintf(out, "%s\"%s\": {\"samples\": %u, \"round_trip_ns\": %.1f}", separator,
			state_names[state], samples, line_in(list, state));
		separator = ", ";
	}
	fprintf(out, "},\n  \"cases\": [");
	for (unsigned i = 0; i < list->count; i++) {
		if (i)
			putc(',', out);
		json_series(out, list, &list->series[i]);
	}
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
