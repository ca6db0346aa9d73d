/*
 * wait.c - bells
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "futex.h"
#include "wait.h"

#define ALL_ENDPOINTS UINT32_MAX

unsigned hqq_bell_wake(struct hqq_bell *bell, unsigned count)
{
	unsigned woken = 0;

	/* one look per possible mark bounds the loop, whoever else sets marks meanwhile */
	for (unsigned looks = 0; looks < 64 && woken < count; looks++) {
		uint64_t marks = atomic_load_explicit(&bell->marks, memory_order_relaxed);
		unsigned endpoint;

		if (!marks)
			break;
		endpoint = (unsigned)__builtin_ctzll(marks);
		/* acq_rel: of several publishers one takes the mark, and it stands before the count below */
		marks = atomic_fetch_and_explicit(&bell->marks, ~(UINT64_C(1) << endpoint), memory_order_acq_rel);
		if (!(marks >> endpoint & 1))
			continue;
		/* release pairs with the acquire in hqq_bell_mark() */
		atomic_fetch_add_explicit(&bell->rung, 1, memory_order_release);
		if (hqq_futex_wake(&bell->rung, hqq_bell_bits(endpoint)) > 0)
			woken++;
	}
	return woken;
}

uint32_t hqq_bell_mark(struct hqq_bell *bell, unsigned endpoint, bool *exact)
{
	uint32_t rung = atomic_load_explicit(&bell->rung, memory_order_acquire);

	atomic_fetch_or_explicit(&bell->marks, UINT64_C(1) << endpoint, memory_order_seq_cst);
	*exact = hqq_fence_heavy(); /* between the mark and the caller's next look at the ring */
	return rung;
}

void hqq_bell_wake_endpoint(struct hqq_bell *bell, unsigned endpoint)
{
	/* store (by the caller) / load marks against store mark / load: see wait.h, both sides in full */
	atomic_thread_fence(memory_order_seq_cst);
	if (!(atomic_load_explicit(&bell->marks, memory_order_relaxed) >> endpoint & 1))
		return;
	hqq_bell_unmark(bell, endpoint); /* who sleeps on marks anew; a mark that stayed would cost the next call a wake */
	atomic_fetch_add_explicit(&bell->rung, 1, memory_order_release);
	hqq_futex_wake(&bell->rung, hqq_bell_bits(endpoint));
}

void hqq_bell_wake_all(struct hqq_bell *bell)
{
	atomic_fetch_add_explicit(&bell->rung, 1, memory_order_seq_cst);
	hqq_futex_wake(&bell->rung, ALL_ENDPOINTS);
}

void hqq_bell_unmark(struct hqq_bell *bell, unsigned endpoint)
{
	atomic_fetch_and_explicit(&bell->marks, ~(UINT64_C(1) << endpoint), memory_order_relaxed);
}
