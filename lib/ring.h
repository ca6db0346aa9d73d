/*
 * ring.h - claim, publish, release: the lock-free part
 *
 * Promised:
 *   A. A position is claimed by exactly one caller, and positions are claimed in order.
 *   B. What an owner wrote into slot and buffer before hqq_ring_publish() is seen by whoever
 *      claims that position for reading; likewise a writer never overwrites what a reader still
 *      reads before hqq_ring_release().
 *   C. At every instant, a claimed and unfinished position is named by the lane of its owner, or
 *      by a tag in the slot: whoever finds the owner dead can finish the position (recover.c).
 *   D. No call loops without bound, whatever the words of the segment say.
 *
 * Any number of threads and processes may run any of these beside each other on one ring, with
 * these exceptions: one lane serves one thread at a time; claims with alone == true must be the
 * only ones of their kind on the ring; publish and release are for the owner of the position.
 *
 * A and B come from the sequence words (PROTOCOL.md); C from the order lane, cursor, tag, next
 * lane, and at the end of a reservation lane, tag, sequence: each store is a release, and recovery
 * reads them with acquire, the lanes before and after the tag.
 * A lane that names a finished position means nothing, so an owner never has to clear it; a lane
 * that names a position which its thread did not get would hold up recovery, so giving up clears it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_RING_H
#define HQQ_LIB_RING_H

#include "claim.h"
#include "packet.h"
#include <string.h>

/* Lost races for a cursor after which a claim reports "not now"; the caller's wait is interruptible. */
#define HQQ_RING_TRIES 1024

#define HQQ_GATHER_FIRST 2   /* slots more than one, the least that hqq_ring_gather() is content with */
#define HQQ_GATHER_PAUSES 16 /* and one for each slot, in which twice as many must come */

/* Our private view of one direction: geometry comes from here, never from the segment. */
struct hqq_ring {
	_Atomic uint64_t *read_cursor;
	_Atomic uint64_t *write_cursor;
	struct hqq_element *elements;
	unsigned char *buffers;
	uint64_t mask;
	size_t buffer_size;
	size_t touched; /* a reader writes back to the lines of messages up to so many bytes: hqq_ring_touch() */
};

#define HQQ_TOUCH_BYTES 4096               /* of a message, in any ring */
#define HQQ_TOUCH_RING_BYTES (1024 * 1024) /* of a ring's buffers, about what a second-level cache holds */
#define HQQ_TOUCH_PIECE (16 * 1024)        /* is copied and touched before the next one */

static inline void hqq_ring_init(struct hqq_ring *ring, void *base, const struct hqq_geometry *g, int direction)
{
	struct hqq_ring_header *header = (struct hqq_ring_header *)(void *)((char *)base + g->ring_offset[direction]);

	ring->read_cursor = &header->read_cursor;
	ring->write_cursor = &header->write_cursor;
	ring->elements = (struct hqq_element *)(void *)(header + 1);
	ring->buffers = (unsigned char *)base + g->buffers_offset[direction];
	ring->mask = g->buffer_count - 1;
	ring->buffer_size = g->buffer_size;
	ring->touched = ring->buffer_size;
	if (ring->touched > HQQ_TOUCH_BYTES && ring->touched > HQQ_TOUCH_RING_BYTES / g->buffer_count)
		ring->touched = HQQ_TOUCH_BYTES;
}

static inline uint64_t hqq_ring_slot(const struct hqq_ring *ring, uint64_t position)
{
	return position & ring->mask;
}

static inline struct hqq_element *hqq_ring_element(const struct hqq_ring *ring, uint64_t position)
{
	return &ring->elements[hqq_ring_slot(ring, position)];
}

static inline void *hqq_ring_buffer(const struct hqq_ring *ring, uint64_t position)
{
	return ring->buffers + hqq_ring_slot(ring, position) * ring->buffer_size;
}

static inline _Atomic uint64_t *hqq_ring_cursor(const struct hqq_ring *ring, enum hqq_claim_kind kind)
{
	return kind == HQQ_CLAIM_WRITE ? ring->write_cursor : ring->read_cursor;
}

/* The sequence word that lets a position be claimed. */
static inline uint64_t hqq_ring_turn(enum hqq_claim_kind kind, uint64_t position)
{
	return kind == HQQ_CLAIM_WRITE ? position : position + 1;
}

/*
 * This position may be claimed now. Acquire pairs with the release store in publish (a reader then
 * sees the message) or in release (a writer then overwrites only what is no longer read).
 */
static inline bool hqq_ring_is_turn(const struct hqq_ring *ring, enum hqq_claim_kind kind, uint64_t position)
{
	const struct hqq_element *element = hqq_ring_element(ring, position);

	return atomic_load_explicit(&element->sequence, memory_order_acquire) == hqq_ring_turn(kind, position);
}

/* A claim of this kind would probably succeed. */
static inline bool hqq_ring_is_ready(const struct hqq_ring *ring, enum hqq_claim_kind kind)
{
	const _Atomic uint64_t *cursor = hqq_ring_cursor(ring, kind);
	uint64_t position = atomic_load_explicit(cursor, memory_order_relaxed);

	for (unsigned tries = 0; tries < HQQ_RING_TRIES; tries++) {
		uint64_t now;

		if (hqq_ring_is_turn(ring, kind, position))
			return true;
		/* "no" of a position that another has claimed meanwhile says nothing of the next one */
		now = atomic_load_explicit(cursor, memory_order_relaxed);
		if (now == position)
			return false;
		position = now;
	}
	return true; /* it moves all the time */
}

/*
 * Leaves the ring alone for moments, as long as the other side goes on finishing slots, until about
 * so many can be claimed. Who takes every slot as soon as it is there reads and writes the lines
 * that the other one works on, and both are slower than in runs. A message in the ring unless, if any, is
 * worth more than that. False: no more slots came meanwhile than would have come anyway.
 */
static inline bool hqq_ring_gather(const struct hqq_ring *ring, enum hqq_claim_kind kind, uint32_t wanted,
                                   const struct hqq_ring *unless)
{
	const uint64_t position = atomic_load_explicit(hqq_ring_cursor(ring, kind), memory_order_relaxed);
	uint64_t next;

	for (next = HQQ_GATHER_FIRST; next < wanted && next < ring->mask; next *= 2) {
		for (unsigned pauses = 0; !hqq_ring_is_turn(ring, kind, position + next); pauses++) {
			if (pauses == HQQ_GATHER_PAUSES + next || (unless && hqq_ring_is_ready(unless, HQQ_CLAIM_READ)))
				return next > HQQ_GATHER_FIRST;
			hqq_pause();
		}
	}
	return true;
}

/*
 * Claims the next position and, when a run of them is free, up to max (at most HQQ_CLAIM_MAX).
 * Returns how many, 0 when the ring is full (or empty) or its next slot is not finished.
 *
 * fits, if any, is asked with the caller's argument whether a position may join the run, from
 * index 0 upwards and again from 0 after a lost race. For reads it may look at the packet: no honest
 * endpoint changes that before the claim if the claim succeeds.
 */
typedef bool hqq_ring_fits_fn(const struct hqq_ring *ring, uint64_t position, uint32_t index, void *argument);

static inline uint32_t hqq_ring_claim_run(const struct hqq_ring *ring, _Atomic uint64_t *lane,
                                          enum hqq_claim_kind kind, bool alone, uint32_t max, hqq_ring_fits_fn *fits,
                                          void *argument, uint64_t *position)
{
	_Atomic uint64_t *cursor = hqq_ring_cursor(ring, kind);
	uint64_t p = atomic_load_explicit(cursor, memory_order_relaxed);
	uint32_t count;

	for (unsigned tries = 0; tries < HQQ_RING_TRIES; tries++) {
		if (HQQ_UNLIKELY(!hqq_ring_is_turn(ring, kind, p))) {
			uint64_t now = atomic_load_explicit(cursor, memory_order_relaxed);

			if (now == p)
				break;
			p = now;
			continue;
		}
		if (fits && !fits(ring, p, 0, argument))
			break;
		for (count = 1; count < max && count <= ring->mask; count++) {
			if (!hqq_ring_is_turn(ring, kind, p + count) || (fits && !fits(ring, p + count, count, argument)))
				break;
		}
		/* release: a recoverer that sees our reuse of the lane sees how the last position ended */
		atomic_store_explicit(lane, hqq_claim_word(kind, p, count), memory_order_release);
		*position = p;
		if (alone) { /* release, as below; nobody else moves this cursor */
			atomic_store_explicit(cursor, p + count, memory_order_release);
			return count;
		}
		/* release: a recoverer that acquires the moved cursor sees the lane that names p */
		if (HQQ_LIKELY(atomic_compare_exchange_strong_explicit(cursor, &p, p + count, memory_order_release,
		                                                       memory_order_relaxed)))
			return count;
	}
	atomic_store_explicit(lane, 0, memory_order_release); /* we want nothing: see C */
	return 0;
}

static inline bool hqq_ring_claim(const struct hqq_ring *ring, _Atomic uint64_t *lane, enum hqq_claim_kind kind,
                                  bool alone, uint64_t *position)
{
	return hqq_ring_claim_run(ring, lane, kind, alone, 1, NULL, NULL, position) != 0;
}

#define HQQ_FETCH_STRETCH 32 /* slots that one look clears */
#define HQQ_FETCH_BYTES 1024 /* of a payload; processors see by themselves where a longer one goes on */

/*
 * Fetches the lines of the slot that lies so far ahead of position, for its turn to cost no wait: the
 * lines of several slots are on their way at the same time then, instead of one slot's after the
 * other's. ahead is worth the time that the lines take to come, in slots. Only where the other side is
 * through with the slot: lines that both want at once move more often, not less. *clear, the caller's
 * from call to call, is the first position of which that is not known; a look far ahead clears a
 * stretch. Where messages come one by one, that look is all that a reader does here; the slots of a
 * writer are free, and it fetches them. size, of the message in hand, is a guess at the next one's.
 */
static inline HQQ_HOT void hqq_ring_fetch_ahead(const struct hqq_ring *ring, enum hqq_claim_kind kind,
                                                uint64_t position, uint32_t ahead, size_t size, uint64_t *clear)
{
	const uint64_t next = position + ahead;
	const unsigned char *element, *data;

	if (*clear - next - 1 >= HQQ_FETCH_STRETCH) { /* next is not within the stretch before *clear */
		const uint64_t far = next + HQQ_FETCH_STRETCH;

		if (ring->mask < UINT64_C(2) * (ahead + HQQ_FETCH_STRETCH) || !hqq_ring_is_turn(ring, kind, far))
			return;
		*clear = far;
	}
	element = (const unsigned char *)hqq_ring_element(ring, next);
	hqq_fetch_to_write(element); /* which a reader releases */
	hqq_fetch_to_write(element + sizeof(struct hqq_element) - 1);
	data = hqq_ring_buffer(ring, next);
	if (size > ring->buffer_size)
		size = ring->buffer_size;
	for (size_t i = 0; i < size && i < HQQ_FETCH_BYTES; i += HQQ_CACHE_LINE) {
		if (kind == HQQ_CLAIM_WRITE || size <= ring->touched) /* which a reader touches */
			hqq_fetch_to_write(data + i);
		else
			__builtin_prefetch(data + i);
	}
}

/* Hands a written slot to the readers: release pairs with hqq_ring_is_turn() of a reader. */
static inline void hqq_ring_publish(const struct hqq_ring *ring, uint64_t position)
{
	atomic_store_explicit(&hqq_ring_element(ring, position)->sequence, position + 1, memory_order_release);
}

/*
 * For the owner of a read slot that is through with bytes of its buffer, before the release: writes to each
 * of their lines what is there. A line that its reader only looked at stays in both caches, and its
 * writer's next store has to wait until the reader's copy is gone, whether or not the line was fetched
 * ahead. A line that the reader wrote moves as a whole, and ahead of time. Long messages of a ring that is
 * larger than the reader's own cache are better left alone: most of their lines have left it by the time
 * the writer is back, and copies of 16 KiB were slower by a quarter when they were touched.
 *
 * Processors that know the state "owned": writing a 64-byte message took 39 ns before and takes 15 ns so;
 * chunks of 64 KiB, read in place, went at 31 GB/s instead of 12.
 */
static inline HQQ_HOT void hqq_ring_touch(const struct hqq_ring *ring, void *data, uint64_t size)
{
	volatile unsigned char *bytes = data;

	if (size > ring->touched)
		return;
	for (size_t i = 0; i < size; i += HQQ_CACHE_LINE)
		bytes[i] = bytes[i];
	if (HQQ_UNLIKELY((uintptr_t)data % HQQ_CACHE_LINE != 0 && size != 0)) /* the line of its end */
		bytes[size - 1] = bytes[size - 1];
}

/* hqq_ring_take() of a message of several pieces. */
void hqq_ring_take_long(const struct hqq_ring *ring, void *to, void *data, size_t size);

/* Copies bytes of a read slot's buffer, and touches them. */
static inline HQQ_HOT void hqq_ring_take(const struct hqq_ring *ring, void *to, void *data, size_t size)
{
	if (HQQ_UNLIKELY(size > HQQ_TOUCH_PIECE)) {
		hqq_ring_take_long(ring, to, data, size);
		return;
	}
	memcpy(to, data, size);
	hqq_ring_touch(ring, data, size);
}

/*
 * Hands a read slot back to the writers: release pairs with hqq_ring_is_turn() of a writer. This writes the
 * lines of the packet, but for the first one where the sequence word of the slot before does not lie in it:
 * that one is touched.
 */
static inline void hqq_ring_release(const struct hqq_ring *ring, uint64_t position)
{
	struct hqq_element *element = hqq_ring_element(ring, position);

	if ((uintptr_t)element % HQQ_CACHE_LINE == 0)
		hqq_packet_set(element, HQQ_WORD_OPCODE, hqq_packet_get(element, HQQ_WORD_OPCODE));
	atomic_store_explicit(&element->sequence, position + ring->mask + 1, memory_order_release);
}

/*
 * Marks a claimed slot as reserved by an endpoint, so that the lane may name something else. Word 7
 * of the packet is free for it: a writer has not filled the packet yet, a reader has copied what it
 * needs and restores the word, both after hqq_ring_take_over(). Release: the slot is tagged before
 * the lane moves on.
 */
static inline void hqq_ring_tag(const struct hqq_ring *ring, uint64_t position, uint64_t tag)
{
	struct hqq_element *element = hqq_ring_element(ring, position);

	atomic_store_explicit(&element->packet[HQQ_WORD_TAG], htole64(tag), memory_order_release);
}

/*
 * Names a tagged position in a lane again, before the tag is overwritten. The fence: whoever sees the
 * tag gone sees the lane.
 */
static inline void hqq_ring_take_over(_Atomic uint64_t *lane, enum hqq_claim_kind kind, uint64_t position)
{
	atomic_store_explicit(lane, hqq_claim_word(kind, position, 1), memory_order_release);
	atomic_thread_fence(memory_order_release);
}

/* Messages between the cursors, claimed ones not counted. */
static inline uint64_t hqq_ring_depth(const struct hqq_ring *ring)
{
	/* read cursor first: it never passes the write cursor, so the difference is not negative */
	uint64_t r = atomic_load_explicit(ring->read_cursor, memory_order_acquire);
	uint64_t w = atomic_load_explicit(ring->write_cursor, memory_order_relaxed);
	uint64_t depth = w - r;

	return depth <= ring->mask + 1 ? depth : (int64_t)depth < 0 ? 0 : ring->mask + 1;
}

#endif /* HQQ_LIB_RING_H */
