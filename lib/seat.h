/*
 * seat.h - which thread uses which lane of a handle, and who is inside a call
 *
 * A handle has a seat per lane. A thread keeps the first free one it gets (found again by one TLS
 * lookup, no locked operation); when all of these are kept, the rest of the threads take turns on
 * the shared seats, one call at a time.
 *
 * Promised:
 *   A. A seat, hence its lane and its counters, is used by one thread at a time.
 *   B. After hqq_seats_are_empty() returned true on a handle whose gate was shut before, no thread
 *      is inside a call on it, nor will be (the callers look at the gate after they sat down: store
 *      seat, fence, load gate against store gate, fence, load seats; see fence.h).
 *   C. A thread that ends gives its seats back. Seats live in memory that is never freed (pool.h), and
 *      a thread keeps its seat when the handle is closed and the memory serves the next one: so even
 *      a call that races with close and open (which no program should let happen) has a seat alone.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_SEAT_H
#define HQQ_LIB_SEAT_H

#include "extension.h"
#include "haste.h"

enum hqq_counter {
	HQQ_COUNT_SENT_MESSAGES,
	HQQ_COUNT_SENT_BYTES,
	HQQ_COUNT_RECEIVED_MESSAGES,
	HQQ_COUNT_RECEIVED_BYTES,
	HQQ_COUNT_TOMBSTONES,
	HQQ_COUNT_FULL_WAITS,
	HQQ_COUNT_EMPTY_WAITS,
	HQQ_COUNT_SLEEPS,
	HQQ_COUNT_WAKES,
	HQQ_COUNT_REFUSED,
	HQQ_COUNTERS
};

#define HQQ_KEPT_SEATS 4 /* the others are shared */

struct hqq_seats;

struct hqq_seat {
	_Alignas(2 * HQQ_CACHE_LINE) _Atomic uintptr_t owner; /* a thread, 0 = free */
	_Atomic uint32_t depth;                               /* calls that its owner is inside */
	bool shared;
	struct hqq_seats *seats;
	_Atomic uint64_t *lane;
	_Atomic uint64_t counters[HQQ_COUNTERS];
	uint64_t answers[2]; /* messages in the other direction when it last waited: for writing, for reading */
	struct {
		uint64_t messages, bytes;
	} measured[2];          /* all so far, when their length was last of interest: written, read */
	struct hqq_haste haste; /* of its owner as a reader */
	uint64_t clear[2];   /* hqq_ring_fetch_ahead(): for writing, for reading */
	struct hqq_element *lent; /* by a call of the owner, and named by the lane alone (lend.h); or NULL */
	uint64_t lent_tag;        /* what is to name it when the lane is needed */
};

struct hqq_seats {
	_Atomic uint64_t generation; /* counts the handles that this memory was */
	int pid;                     /* of the process that used it last */
	_Atomic uint64_t outside; /* low half: calls that stepped out; high half: how often that was done */
	struct hqq_seat seat[HQQ_LANES];
};

/* What a thread remembers: the seats it keeps, the last used first. */
#define HQQ_SEAT_MEMORY 4

/* A call of this thread that stepped out, on its stack. */
struct hqq_outside {
	struct hqq_seats *seats;
	struct hqq_outside *outer;
};

struct hqq_seat_memory {
	struct {
		struct hqq_seats *seats;
		struct hqq_seat *seat;
	} kept[HQQ_SEAT_MEMORY];
	struct hqq_outside *outside; /* the innermost */
};

extern _Thread_local struct hqq_seat_memory hqq_seat_memory __attribute__((tls_model("initial-exec")));

/*
 * For a handle that is about to open in process pid, whose lanes these are. Seats that were taken
 * in the parent of this process, before the fork, are free.
 */
void hqq_seats_init(struct hqq_seats *seats, _Atomic uint64_t lanes[HQQ_LANES], int pid);

/* A number for the calling thread; a later thread may have it again once this one has ended. */
static inline uintptr_t hqq_seat_self(void)
{
	return (uintptr_t)&hqq_seat_memory;
}

/* The caller owns this seat: in a child of fork() another thread may have got what it remembers. */
static inline bool hqq_seat_is_mine(const struct hqq_seat *seat)
{
	return atomic_load_explicit(&seat->owner, memory_order_relaxed) == hqq_seat_self();
}

/* The seat that this thread keeps; NULL if it keeps none here, or has used two other handles since. */
static inline struct hqq_seat *hqq_seat_kept(const struct hqq_seats *seats)
{
	const struct hqq_seat_memory *memory = &hqq_seat_memory;
	struct hqq_seat *seat = NULL;

	if (HQQ_LIKELY(memory->kept[0].seats == seats))
		seat = memory->kept[0].seat;
	else if (HQQ_LIKELY(memory->kept[1].seats == seats)) /* for who goes from one link to another */
		seat = memory->kept[1].seat;
	return HQQ_LIKELY(seat && hqq_seat_is_mine(seat)) ? seat : NULL;
}

/* The same, or a seat that is free, taking turns with others if need be. */
struct hqq_seat *hqq_seat_find(struct hqq_seats *seats);

/* Sits down on one's seat. */
static inline void hqq_seat_take(struct hqq_seat *seat)
{
	/* relaxed: the caller's light fence orders it before the look at the gate (B) */
	atomic_store_explicit(&seat->depth, atomic_load_explicit(&seat->depth, memory_order_relaxed) + 1,
	                      memory_order_relaxed);
}

static inline void hqq_seat_leave(struct hqq_seat *seat)
{
	const bool shared = seat->shared;

	/* release: what the call did comes before "nobody is inside" */
	atomic_store_explicit(&seat->depth, atomic_load_explicit(&seat->depth, memory_order_relaxed) - 1,
	                      memory_order_release);
	if (HQQ_UNLIKELY(shared))
		atomic_store_explicit(&seat->owner, 0, memory_order_release);
}

/*
 * Around a sleep or a caller's callback: gives a shared seat to others meanwhile. The call counts
 * as inside all the time. hqq_seat_step_in() may return another seat.
 */
void hqq_seat_step_out(struct hqq_seat *seat, struct hqq_outside *outside);
struct hqq_seat *hqq_seat_step_in(struct hqq_seat *seat, struct hqq_outside *outside);

/*
 * Instead of stepping in, where a callback came back in a child of fork(): the call is none of ours.
 * reused: the memory is another handle's by now.
 */
void hqq_seat_drop(struct hqq_seat *seat, struct hqq_outside *outside, bool reused);

/* Gives the slot that is lent its tag: a call within the one that lent it needs the lane. */
HQQ_COLD void hqq_seat_tag_lent(struct hqq_seat *seat);

/* Nobody is inside a call. */
bool hqq_seats_are_empty(struct hqq_seats *seats);

/* The calling thread is inside a call (so it must not wait for the seats to empty). */
bool hqq_seats_hold_me(struct hqq_seats *seats);

uint64_t hqq_seats_sum(const struct hqq_seats *seats, enum hqq_counter counter);

#endif /* HQQ_LIB_SEAT_H */
