/*
 * meet.h - how `hqq call` and `serve`, `push` and `pull` find each other on an Advanced link
 *
 * Who comes first makes the segment, the other opens it; an Advanced link has one endpoint on each
 * side. call and push ask for the negotiation, serve and pull wait to be asked. Two of one part
 * would wait for each other for ever, so each part holds a lock (hold.h) while it is on a segment:
 * a second one that asks waits for its turn, a second one that answers is refused. Who opened a
 * segment leaves it when its maker is gone, as nobody will come there again.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_MEET_H
#define HQQ_TOOLS_MEET_H

#include "common.h"
#include "watch.h"
#include <hqq.h>

struct meeting {
	/* what the subcommand is */
	bool asks;        /* it asks for the negotiation, and does not wait for it */
	const char *peer; /* who is to be at the other end */
	uint64_t feature; /* what it cannot do without */
	bool serves;      /* it outlives its peers */

	/* from the command line (meet_options.c) */
	const char *name;
	char **operands; /* behind the name */
	int operand_count;
	uint64_t count, size;
	mode_t mode;
	uint64_t max_size; /* of a message */
	uint64_t repeat;
	bool open_only, verbose, echo, checksum;

	/* the link */
	hqq_advanced *link;
	hqq_context context; /* for every wait on the link; a stop cancels it */
	_Atomic bool created;
	char message[512]; /* why it failed, printed at the end */
	struct watch watch;

	/* shared with the watch's thread, under the lock */
	pthread_mutex_t lock;
	int segment_fd; /* an open file description of our own */
	int peer_mode;
	bool looking; /* for a peer that can come */
	bool lost;    /* nobody can come; the wait for one was cancelled */
	bool met;     /* somebody came, once */
	bool removed; /* what we made has lost its name */
};

/* The letters of the options that a subcommand has, and what stands behind the name. */
struct meet_usage {
	const char *options;
	const char *operands;
	const char *purpose;
	int operands_min, operands_max;
};

/* Reads the command line: -1 to go on, else the exit code. */
int meet_options(struct meeting *meeting, const struct meet_usage *usage, int argc, char **argv);

/* Starts the watch, joins the link and negotiates. STATUS_OK, or the final exit code. */
int meet_begin(struct meeting *meeting);

/* The same without the watch, once a peer has gone: for those who serve. */
int meet_next(struct meeting *meeting);

/* Closes everything that begin opened, and says what happened; returns the final exit code. */
int meet_end(struct meeting *meeting, int status);

/* Notes why a call of the library failed, or what stopped it; returns the exit code. */
int meet_failed(struct meeting *meeting, const char *what, int error);

/* Notes a failure of another kind; returns the exit code. */
int meet_fail(struct meeting *meeting, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif /* HQQ_TOOLS_MEET_H */
