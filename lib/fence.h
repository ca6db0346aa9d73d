/*
 * fence.h - a store-load barrier whose cost falls on the side that sleeps
 *
 * Two parties each store one word and then load the other's: a publisher stores a sequence word
 * and loads the sleepers' marks, a sleeper stores its mark and loads the sequence word. At least
 * one of them must see the other's store, or a wake-up is lost. That takes a full barrier between
 * store and load on both sides; membarrier(2) lets one side issue it for both:
 *
 *   publisher   store X; hqq_fence_light(); load Y
 *   sleeper     store Y; hqq_fence_heavy(); load X
 *
 * Promise: where both calls return true/are made with light == true, the pair behaves as if both
 * sides had executed a full barrier. MEMBARRIER_CMD_GLOBAL_EXPEDITED reaches the threads of every
 * process that registered, so the light side must have registered before it relies on it.
 *
 * Close against calls in other threads (seat.c) uses the same pair within one process.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_FENCE_H
#define HQQ_LIB_FENCE_H

#include "atomics.h"
#include <stdbool.h>

/* Registers this process for the light side; false where the kernel has no membarrier for us. */
bool hqq_fence_register(void);

/* light: what hqq_fence_register() returned in this process. */
static inline void hqq_fence_light(bool light)
{
	if (HQQ_LIKELY(light))
		atomic_signal_fence(memory_order_seq_cst); /* pairs with hqq_fence_heavy(): it interrupts us */
	else
		atomic_thread_fence(memory_order_seq_cst);
}

/*
 * The heavy side. false: only this thread got a barrier, so publishers that rely on the light
 * fence may be missed, and the caller must bound its sleep.
 */
bool hqq_fence_heavy(void);

#endif /* HQQ_LIB_FENCE_H */
