/*
 * wait.h - bells: how a sleeper is woken, without a lost wake-up
 *
 * The pattern is store X / load Y against store Y / load X. X is the sequence word of a slot, Y the
 * bell's marks:
 *
 *   publisher   publish the slot; light fence; load marks       hqq_bell_ring()
 *   sleeper     store its mark; heavy fence; look at the slot   hqq_bell_mark(), then the look
 *
 * One of the two sees the other (fence.h). If it is the publisher it takes the mark away, counts
 * the bell up and wakes; a sleeper that has not reached the kernel yet finds the bell changed and
 * does not sleep. Without it a message would lie in the ring while its reader sleeps.
 *
 * A mark is a bit per endpoint, not a count: one that a dead sleeper left costs one wake-up, then
 * it is gone. A ring wakes one endpoint per message; whoever wakes up and leaves something to be
 * taken passes the ring on (link_wait.c).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_WAIT_H
#define HQQ_LIB_WAIT_H

#include "extension.h"
#include "fence.h"

/* Wakes up to count endpoints that sleep at the bell; returns how many were asleep. */
HQQ_COLD unsigned hqq_bell_wake(struct hqq_bell *bell, unsigned count);

/* To be called after every publish (data) and release (space). */
static inline unsigned hqq_bell_ring(struct hqq_bell *bell, bool light, unsigned count)
{
	hqq_fence_light(light);
	if (HQQ_LIKELY(!atomic_load_explicit(&bell->marks, memory_order_relaxed)))
		return 0;
	return hqq_bell_wake(bell, count);
}

/*
 * Announces that a thread of the endpoint is about to sleep. Returns the value to sleep on;
 * *exact is false where wakers may miss the mark and the sleep must be short.
 */
uint32_t hqq_bell_mark(struct hqq_bell *bell, unsigned endpoint, bool *exact);

/* The bits of the futex that stand for an endpoint. */
static inline uint32_t hqq_bell_bits(unsigned endpoint)
{
	return UINT32_C(1) << (endpoint % 32);
}

/* Wakes all threads of one endpoint, sleeping or about to, to look at what the caller just stored. */
void hqq_bell_wake_endpoint(struct hqq_bell *bell, unsigned endpoint);

/* Wakes everybody. */
void hqq_bell_wake_all(struct hqq_bell *bell);

/* Removes the mark of an endpoint that left or died. */
void hqq_bell_unmark(struct hqq_bell *bell, unsigned endpoint);

#endif /* HQQ_LIB_WAIT_H */
