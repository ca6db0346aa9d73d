/*
 * watch.h - a thread beside a transfer: signals, time limits and the progress line
 *
 * The transfer itself then has no handler, no timer and no clock on its path. Whatever ends it
 * early is noted here first, then interrupts the link or cancels the context of what waits on it,
 * and ends any blocking system call.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_WATCH_H
#define HQQ_TOOLS_WATCH_H

#include "common.h"
#include "progress.h"
#include <hqq.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum stop_reason {
	STOP_NONE = 0,
	STOP_SIGNAL,
	STOP_NOBODY, /* no peer came in time */
	STOP_IDLE,   /* the peer stood still for too long */
	STOP_PEER    /* there is no peer, and the library cannot know it */
};

enum peer_state {
	PEER_NONE, /* nobody yet */
	PEER_HERE,
	PEER_LEFT,
	PEER_NEVER /* nobody, and nobody can come any more */
};

/* What the transfer is waiting for; only waits for the peer count for the time limits. */
enum watch_phase {
	PHASE_FILE = 0,
	PHASE_PEER
};

struct watch {
	/* set before the start */
	uint64_t wait_ns;                        /* for a peer to appear, 0 = no limit */
	uint64_t timeout_ns;                     /* for the peer to do something, 0 = no limit */
	enum peer_state (*peer)(void *argument); /* called now and then */
	void (*last_words)(void *argument);      /* a second signal came: leave nothing behind */
	void *argument;
	hqq_context *context; /* cancelled by a stop; may be NULL */
	struct progress progress;

	/* written by the transfer, read by the watch */
	_Atomic(hqq_standard *) link;
	_Atomic uint64_t bytes, messages;
	_Atomic uint64_t pulses;   /* signs of life of the peer, other than messages */
	_Atomic uint64_t first_ns; /* when the first message moved */
	_Atomic int phase;

	/* by the transfer: a segment may get its name now, and whether it is ours is noted after that */
	_Atomic bool making;

	/* written by the watch, read by the transfer */
	_Atomic int reason, signal;

	/* the watch's own */
	pthread_t thread, transfer;
	sigset_t signals, previous;
	_Atomic bool quit;
	bool came;
	uint64_t started, moved, checked, beats;
};

/* 0 or -errno. From here to watch_let_signals() the caller's thread receives no signal. */
int watch_start(struct watch *watch);
void watch_stop(struct watch *watch);

/* After watch_stop(), once what a signal must not leave behind is gone: one that came since may end us. */
void watch_let_signals(struct watch *watch);

/* From here on a stop interrupts this link, also when it came before. NULL: no link any more. */
void watch_link(struct watch *watch, hqq_standard *link);

/*
 * The exit code of what was stopped, or of what failed with this error; the text for the user is
 * stored. peer: who is at the other end.
 */
int watch_verdict(const struct watch *watch, const char *peer, const char *what, int error, char *text,
                  size_t size);

static inline bool watch_stopped(const struct watch *watch)
{
	return atomic_load_explicit(&watch->reason, memory_order_acquire) != STOP_NONE;
}

static inline void watch_phase(struct watch *watch, enum watch_phase phase)
{
	atomic_store_explicit(&watch->phase, phase, memory_order_relaxed);
}

/* One message more; only the transfer's thread counts. */
static inline void watch_count(struct watch *watch, uint64_t bytes)
{
	uint64_t messages = atomic_load_explicit(&watch->messages, memory_order_relaxed);

	if (!messages)
		atomic_store_explicit(&watch->first_ns, monotonic_ns(), memory_order_relaxed);
	bytes += atomic_load_explicit(&watch->bytes, memory_order_relaxed);
	atomic_store_explicit(&watch->messages, messages + 1, memory_order_relaxed);
	atomic_store_explicit(&watch->bytes, bytes, memory_order_relaxed);
}

static inline void watch_pulse(struct watch *watch)
{
	atomic_fetch_add_explicit(&watch->pulses, 1, memory_order_relaxed);
}

#endif /* HQQ_TOOLS_WATCH_H */
