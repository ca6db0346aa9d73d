/*
 * report.c - the table on the terminal
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "bench.h"

/* A state gets a table of its own when a third of what could be measured was measured in it. */
#define STATE_SHARE 3

/* Messages of so many bytes are counted one by one, not in millions. */
#define HUGE (1u << 20)

static void print_value(char text[48], const struct bench_case *bench, double ns)
{
	if (bench->unit == BENCH_IDLE)
		snprintf(text, 48, "%.3f %%", ns);
	else if (bench->unit == BENCH_TIME)
		snprintf(text, 48, "%.*f ns", ns < 100 ? 1 : 0, ns);
	else if (bench->size >= HUGE)
		snprintf(text, 48, "%.1f /s %5.1f GB/s", 1e9 / ns, (double)bench->size / ns);
	else if (bench->size >= 1024)
		snprintf(text, 48, "%.2f M/s %5.1f GB/s", 1000 / ns, (double)bench->size / ns);
	else
		snprintf(text, 48, "%.2f M/s", 1000 / ns);
}

static void print_figure(FILE *out, const struct bench_series *series, const struct bench_figure *figure)
{
	const struct bench_case *bench = &series->bench;
	const struct bench_middle *ns = &figure->ns;
	char text[48];

	print_value(text, bench, ns->median);
	fprintf(out, "  %-28s %22s  +-%3.0f%%", bench->name, text,
		ns->median > 0 ? (ns->high - ns->low) / 2 / ns->median * 100 : 0);
	if (figure->ratio.runs)
		fprintf(out, "  %6.2f x %-20s", figure->ratio.median, bench->limit);
	else
		fprintf(out, "  %29s", "");
	if (figure->cpu[0] + figure->cpu[1] > 0)
		fprintf(out, "  %4.0f%% %4.0f%%", figure->cpu[0] * 100, figure->cpu[1] * 100);
	else
		fprintf(out, "  %11s", "");
	fprintf(out, " %4u%s\n", ns->runs, figure->disturbed ? " disturbed" : "");
}

static void print_latency(FILE *out, const struct bench_list *list, unsigned state)
{
	bool any = false;

	for (unsigned i = 0; i < list->count; i++) {
		struct bench_figure figure = bench_figure_of(list, &list->series[i], state);

		if (!figure.ns.runs || !figure.trips)
			continue;
		if (!any)
			fprintf(out, "\n  %-28s %10s %10s %10s %10s %12s\n", "single operations, ns", "p50",
				"p99", "p99.9", "p99.99", "longest");
		any = true;
		fprintf(out, "  %-28s %10.0f %10.0f %10.0f %10.0f %12.0f\n", list->series[i].bench.name,
			(double)figure.p50, (double)figure.p99, (double)figure.p99_9, (double)figure.p99_99,
			(double)figure.most);
	}
}

/* How long the first of several writers took, as a share of what the last one did. */
static void print_fairness(FILE *out, const struct bench_list *list, unsigned state)
{
	bool any = false;

	for (unsigned i = 0; i < list->count; i++) {
		struct bench_figure figure = bench_figure_of(list, &list->series[i], state);

		if (!figure.ns.runs || list->series[i].bench.writers < 2)
			continue;
		fprintf(out, "%s %s %.2f",
			any ? "," : "\n  fairness among writers, 1 is perfect:", list->series[i].bench.name,
			figure.fair);
		any = true;
	}
	if (any)
		putc('\n', out);
}

/* They were set for two CPUs. */
static void print_goals(FILE *out, const struct bench_list *list, unsigned state)
{
	if (state == STATE_ONE_CPU)
		return;
	fputs("\n", out);
	for (unsigned i = 0; i < bench_goal_count; i++) {
		const struct bench_goal *goal = &bench_goals[i];
		double figure;

		if (!bench_goal_figure(list, goal, state, &figure))
			continue;
		fprintf(out, "  goal: %s %s %g%s%s: %.4g, %s\n", goal->name,
			goal->above ? ">=" : "<=", goal->value, goal->reference ? " x " : "",
			goal->reference ? goal->reference : "", figure,
			bench_goal_reached(goal, figure) ? "reached" : "NOT reached");
		if (goal->note && !bench_goal_reached(goal, figure))
			fprintf(out, "        (%s)\n", goal->note);
	}
}

static void print_state(FILE *out, const struct bench_list *list, unsigned state)
{
	fprintf(out, "\n%s: %s", bench_state_names[state], bench_state_words[state]);
	if (state != STATE_ONE_CPU)
		fprintf(out, ", %.0f ns for the round trip of a cache line", bench_line_in(list, state));
	fprintf(out, "\n  %-28s %22s  %6s  %-29s  %11s %4s\n", "median of runs", "", "spread",
		"ratio to its limit", "CPU of both", "runs");
	for (unsigned i = 0; i < list->count; i++) {
		struct bench_figure figure = bench_figure_of(list, &list->series[i], state);

		if (figure.ns.runs)
			print_figure(out, &list->series[i], &figure);
	}
	print_latency(out, list, state);
	print_fairness(out, list, state);
	print_goals(out, list, state);
}

void report_table(FILE *out, const struct bench_list *list, const struct bench_config *config)
{
	unsigned total = 0;
	unsigned mixed = 0;

	for (unsigned state = 0; state < STATE_COUNT; state++)
		total += bench_samples_in(list, state);
	for (unsigned i = 0; i < list->count; i++)
		mixed += list->series[i].mixed;
	fprintf(out, "%u samples of %u cases, %u more dropped since the machine changed meanwhile\n", total,
		list->count, mixed);
	if (config->quick)
		fprintf(out, "a quick look: too few and too short runs to rely on\n");
	for (unsigned state = 0; state < STATE_COUNT; state++) {
		unsigned samples = bench_samples_in(list, state);

		if (samples * STATE_SHARE >= total && samples)
			print_state(out, list, state);
		else if (samples)
			fprintf(out, "\n%s: %s, only %u samples: not shown\n", bench_state_names[state],
				bench_state_words[state], samples);
	}
	for (unsigned i = 0; i < list->count; i++) {
		if (list->series[i].failure[0])
			fprintf(out, "FAILED %s: %s\n", list->series[i].bench.name, list->series[i].failure);
	}
}
