/*
 * progress.c - the line on standard error that tells how far a transfer is
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "common.h"
#include "progress.h"
#include <inttypes.h>
#include <unistd.h>

#define REDRAW_NS (250 * NS_PER_MS) /* on a terminal */
#define LINE_NS NS_PER_SECOND       /* elsewhere, one line each */
#define PATIENCE_NS NS_PER_SECOND   /* shorter transfers show nothing */
#define SMOOTHING 0.3               /* weight of the newest rate */

void progress_init(struct progress *progress, const char *name, enum progress_wish wish, uint64_t total)
{
	*progress = (struct progress){.name = name, .wish = wish};
	progress->total = total;
	progress->terminal = isatty(STDERR_FILENO) == 1;
	if (wish == PROGRESS_AUTO && !progress->terminal)
		progress->wish = PROGRESS_NEVER;
}

static double seconds(uint64_t nanoseconds)
{
	return (double)nanoseconds / (double)NS_PER_SECOND;
}

static void print_line(struct progress *progress, uint64_t bytes, double rate, bool last)
{
	const uint64_t total = progress->total;
	struct human done = human_bytes(bytes), all = human_bytes(total);
	struct human speed = human_bytes((uint64_t)rate);

	fprintf(stderr, "%s", progress->terminal ? "\r\033[K" : "");
	print_safely(stderr, progress->name, 0);
	fprintf(stderr, ": %s", done.text);
	if (total) {
		double part = (double)bytes / (double)total;

		fprintf(stderr, " of %s  %3.0f%%", all.text, part < 1 ? part * 100 : 100.0);
	}
	fprintf(stderr, "  %s/s", speed.text);
	if (!last && total > bytes && rate >= 1) {
		uint64_t left = (uint64_t)((double)(total - bytes) / rate) + 1;

		fprintf(stderr, "  %" PRIu64 ":%02" PRIu64 " left", left / 60, left % 60);
	}
	fputs(progress->terminal && !last ? "" : "\n", stderr);
	fflush(stderr);
	progress->shown = true;
}

void progress_tick(struct progress *progress, uint64_t bytes, uint64_t started)
{
	uint64_t now = monotonic_ns(), since = progress->printed ? progress->printed : started;
	double latest;

	if (progress->wish == PROGRESS_NEVER || !started || since >= now)
		return;
	if (now - started < PATIENCE_NS && progress->wish == PROGRESS_AUTO)
		return;
	if (now - since < (progress->terminal ? REDRAW_NS : LINE_NS))
		return;
	latest = (double)(bytes - progress->printed_bytes) / seconds(now - since);
	progress->rate = progress->printed ? SMOOTHING * latest + (1 - SMOOTHING) * progress->rate : latest;
	progress->printed = now;
	progress->printed_bytes = bytes;
	print_line(progress, bytes, progress->rate, false);
}

void progress_finish(struct progress *progress, uint64_t bytes, uint64_t elapsed)
{
	if (progress->wish == PROGRESS_ALWAYS || progress->shown)
		print_line(progress, bytes, elapsed ? (double)bytes / seconds(elapsed) : 0, true);
}
