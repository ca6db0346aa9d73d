/*
 * figures.c - from samples to figures
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "bench.h"
#include <stdlib.h>

/* So many undisturbed samples are enough to leave the disturbed ones out. */
#define ENOUGH 5

const char *const bench_state_names[STATE_COUNT] = {"near", "far", "one-cpu"};
const char *const bench_state_words[STATE_COUNT] = {"two cores near each other", "two cores far from each other",
						    "all processes on one CPU"};

/* ---- middles --------------------------------------------------------------------------------- */

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

static struct bench_middle middle_of(double *values, unsigned count)
{
	struct bench_middle middle = {.runs = count};

	if (!count)
		return middle;
	qsort(values, count, sizeof(values[0]), compare_doubles);
	middle.low = quantile(values, count, 0.25);
	middle.median = quantile(values, count, 0.5);
	middle.high = quantile(values, count, 0.75);
	return middle;
}

/* ---- which samples --------------------------------------------------------------------------- */

/* Are disturbed samples to count? Only where there are too few others. */
static bool accepts_disturbed(const struct bench_series *series, unsigned state)
{
	unsigned clean = 0;

	for (unsigned i = 0; i < series->count; i++)
		clean += series->samples[i].state == state && !series->samples[i].disturbed;
	return clean < ENOUGH;
}

static bool counts(const struct bench_sample *sample, unsigned state, bool disturbed)
{
	return sample->state == state && (!sample->disturbed || disturbed);
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

struct bench_middle bench_ratio_of(const struct bench_series *series, const struct bench_series *reference,
				   unsigned state)
{
	bool disturbed = accepts_disturbed(series, state);
	bool reference_disturbed = accepts_disturbed(reference, state);
	double values[BENCH_MAX_ROUNDS];
	unsigned count = 0;

	for (unsigned i = 0; i < series->count; i++) {
		const struct bench_sample *sample = &series->samples[i];

		if (!counts(sample, state, disturbed))
			continue;
		const struct bench_sample *other = sample_of_round(reference, state, sample->round);
		if (!other || (other->disturbed && !reference_disturbed))
			continue;
		values[count++] =
			series->bench.unit == BENCH_RATE ? other->ns / sample->ns : sample->ns / other->ns;
	}
	return middle_of(values, count);
}

/* ---- figures --------------------------------------------------------------------------------- */

static void latency_of(struct bench_figure *figure, const struct bench_latency *latency)
{
	struct histogram trips = latency->clean;

	if (figure->disturbed)
		histogram_merge(&trips, &latency->disturbed);
	figure->trips = trips.count;
	figure->p50 = histogram_quantile(&trips, 0.5);
	figure->p99 = histogram_quantile(&trips, 0.99);
	figure->p99_9 = histogram_quantile(&trips, 0.999);
	figure->p99_99 = histogram_quantile(&trips, 0.9999);
	figure->most = trips.most;
}

struct bench_figure bench_figure_of(const struct bench_list *list, const struct bench_series *series,
				    unsigned state)
{
	const struct bench_series *limit = bench_find(list, series->bench.limit);
	struct bench_figure figure = {.disturbed = false};
	bool accepts = accepts_disturbed(series, state);
	double values[4][BENCH_MAX_ROUNDS];
	unsigned count = 0;

	for (unsigned i = 0; i < series->count; i++) {
		const struct bench_sample *sample = &series->samples[i];

		if (!counts(sample, state, accepts))
			continue;
		figure.disturbed |= sample->disturbed;
		values[0][count] = sample->ns;
		values[1][count] = sample->cpu[0];
		values[2][count] = sample->cpu[1];
		values[3][count++] = sample->fair;
	}
	figure.ns = middle_of(values[0], count);
	figure.cpu[0] = middle_of(values[1], count).median;
	figure.cpu[1] = middle_of(values[2], count).median;
	figure.fair = middle_of(values[3], count).median;
	if (count && limit)
		figure.ratio = bench_ratio_of(series, limit, state);
	if (count && series->latency)
		latency_of(&figure, &series->latency[state]);
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

bool bench_goal_figure(const struct bench_list *list, const struct bench_goal *goal, unsigned state,
		       double *figure)
{
	const struct bench_series *series = bench_find(list, goal->name);
	const struct bench_series *reference = goal->reference ? bench_find(list, goal->reference) : NULL;
	struct bench_middle middle;

	if (!series || (goal->reference && !reference))
		return false;
	if (reference) {
		middle = bench_ratio_of(series, reference, state);
		*figure = middle.median;
	} else {
		middle = bench_figure_of(list, series, state).ns;
		*figure = series->bench.unit == BENCH_RATE ? 1e9 / middle.median : middle.median;
	}
	return middle.runs != 0;
}

bool bench_goal_reached(const struct bench_goal *goal, double figure)
{
	return goal->above ? figure >= goal->value : figure <= goal->value;
}

unsigned bench_samples_in(const struct bench_list *list, unsigned state)
{
	unsigned samples = 0;

	for (unsigned i = 0; i < list->count; i++) {
		for (unsigned j = 0; j < list->series[i].count; j++)
			samples += list->series[i].samples[j].state == state;
	}
	return samples;
}

double bench_line_in(const struct bench_list *list, unsigned state)
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
