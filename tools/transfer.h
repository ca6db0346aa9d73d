/*
 * transfer.h - what `hqq send` and `hqq recv` share: joining a link, the peer, the end
 *
 * The stream is cut into messages of at most one buffer. A sender closes it with a mark: a
 * tombstone, which every reader skips, whose reason says whether all was sent. While it sends it
 * holds a lock that promises the mark, so that a receiver does not take a sender that died for
 * one that was done. Senders that promise nothing (other programs) are done when they close.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_TRANSFER_H
#define HQQ_TOOLS_TRANSFER_H

#include "common.h"
#include "inspect.h"
#include "watch.h"

/* Reasons of the tombstone that ends a stream: "hqq end" and "hqq cut" in ASCII. */
#define MARK_END UINT64_C(0x68717120656e64)
#define MARK_CUT UINT64_C(0x68717120637574)

struct transfer {
	bool receiving;

	/* from the command line */
	const char *name;
	const char *file; /* NULL: a standard stream */
	uint64_t count, size;
	mode_t mode;
	uint32_t role;
	bool open_only, verbose;
	uint64_t limit; /* bytes */
	uint64_t total; /* bytes expected, 0 = unknown */

	/* the link; what is below link is set before it and constant from then on */
	int segment_fd; /* an open file description of our own */
	int direction;  /* the ring that carries the stream */
	int peer_mode;
	_Atomic bool created;
	bool peer_before;       /* the peer was there when we came */
	bool leftover;          /* or rather, nothing of it but its messages */
	uint64_t joined_before; /* endpoints of its side, ever, when we came */
	uint64_t cursor_before; /* of the peer */
	uint64_t read_before;   /* the readers' cursor */
	struct hqq_geometry geometry;
	hqq_standard *link;

	_Atomic bool promised; /* some sender was to end with a mark */
	int file_fd;
	char message[512]; /* why it failed, printed at the end */
	struct watch watch;
};

/* Reads the command line: -1 to go on, else the exit code (transfer_options.c). */
int transfer_options(struct transfer *transfer, int argc, char **argv);

/* Starts the watch and joins the link, made or opened. STATUS_OK, or the exit code. */
int transfer_begin(struct transfer *transfer);

/* Closes everything that begin opened, and says what happened; returns the final exit code. */
int transfer_end(struct transfer *transfer, int status);

/* The ring that carries the stream, from outside: its cursors, or one of its slots. */
bool transfer_ring(const struct transfer *transfer, struct ring_info *ring);
bool transfer_element(const struct transfer *transfer, uint64_t position, struct hqq_element *element);

/* Whether somebody is at the other end. May be called by any thread. */
enum peer_state transfer_peer(const struct transfer *transfer);

/* Notes whether a sender promises a mark. May be called by any thread. */
void transfer_note_promise(struct transfer *transfer);

/*
 * On a segment that was used before, the library says PEER_GONE as long as nobody has come for us.
 * true, after a nap, when that is so and the call should be tried again.
 */
bool transfer_too_early(const struct transfer *transfer);

/* Notes why a call of the library failed, or what stopped it; returns the exit code. */
int transfer_failed(struct transfer *transfer, const char *what, int error);

/* Notes that a file could not be read or written; returns the exit code. */
int transfer_file_failed(struct transfer *transfer, int error);

#endif /* HQQ_TOOLS_TRANSFER_H */
