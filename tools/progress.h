/*
 * progress.h - the line on standard error that tells how far a transfer is
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_PROGRESS_H
#define HQQ_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum progress_wish {
	PROGRESS_AUTO, /* on a terminal, once the transfer has taken a second */
	PROGRESS_ALWAYS,
	PROGRESS_NEVER
};

struct progress {
	const char *name;
	enum progress_wish wish;
	bool terminal;
	bool shown;
	_Atomic uint64_t total; /* 0 = unknown; the transfer may learn it later */
	uint64_t printed; /* when the line was last printed, 0 = never */
	uint64_t printed_bytes;
	double rate; /* bytes a second, smoothed */
};

void progress_init(struct progress *progress, const char *name, enum progress_wish wish, uint64_t total);

/* Called now and then from one thread; started is when the first byte moved, 0 = not yet. */
void progress_tick(struct progress *progress, uint64_t bytes, uint64_t started);

/* The last line, when there was one before or it was asked for. */
void progress_finish(struct progress *progress, uint64_t bytes, uint64_t elapsed);

#endif /* HQQ_TOOLS_PROGRESS_H */
