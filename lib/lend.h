/*
 * lend.h - a claimed slot in the hands of a caller's function
 *
 * The function may take long and may use the handle itself. Until it does, nobody but the thread's lane
 * names the slot, as in a call that copies: the slot's lines stay where they are, for the other side may
 * be polling them. The first call that the function makes needs the lane, and gives the slot its tag
 * before anything else (hqq_seat_tag_lent(), seat.h).
 *
 * The slot is tagged at once where that does not do: a lane on a shared seat serves other threads
 * meanwhile; and where others are on our side, one may have died with the same position in its lane, and
 * who repairs waits for the lanes of the living to move on.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_LEND_H
#define HQQ_LIB_LEND_H

#include "link.h"

/* A claimed slot that is out, on the stack of the call. */
struct hqq_loan {
	enum hqq_claim_kind kind;
	uint64_t position;
	uint64_t word; /* of the packet, where the tag goes */
	uint64_t generation;
	struct hqq_outside outside;
};

HQQ_COLD bool hqq_lend_look(struct hqq_link *link, uint64_t joined);

/*
 * Nobody else is on our side, so nobody else's lane names what is ours. Who joins later finds the cursor
 * moved; so it is enough to look again when somebody has joined.
 */
static inline bool hqq_lend_is_lone(struct hqq_link *link)
{
	/* acquire: hqq_lend_look() finds all those that are counted */
	const uint64_t joined = atomic_load_explicit(&link->extension->joined[link->mode], memory_order_acquire);
	const uint64_t side = atomic_load_explicit(&link->side, memory_order_relaxed);

	return HQQ_LIKELY(side >> 1 == joined) ? side & 1 : hqq_lend_look(link, joined);
}

/* Before the function is called: steps out of the seat. */
static inline void hqq_lend(struct hqq_link *link, struct hqq_seat *seat, enum hqq_claim_kind kind, uint64_t position,
                            struct hqq_loan *loan)
{
	const struct hqq_ring *ring = hqq_link_ring(link, kind);
	const uint64_t tag = hqq_claim_tag(kind, link->endpoint.index, position);
	struct hqq_element *element = hqq_ring_element(ring, position);

	loan->kind = kind;
	loan->position = position;
	loan->word = hqq_packet_get(element, HQQ_WORD_TAG);
	loan->generation = atomic_load_explicit(&link->seats.generation, memory_order_relaxed);
	if (HQQ_UNLIKELY(seat->shared || !hqq_lend_is_lone(link))) {
		hqq_ring_tag(ring, position, tag);
	} else {
		seat->lent = element;
		seat->lent_tag = tag;
	}
	hqq_seat_step_out(seat, &loan->outside);
}

/* The slot was tagged meanwhile: names it in the lane again, and puts a reader's word back. */
HQQ_COLD void hqq_lend_untag(struct hqq_link *link, struct hqq_seat *seat, const struct hqq_loan *loan);

/* Once it has come back: steps in again; from here on the slot is ours to finish. */
static inline struct hqq_seat *hqq_lend_back(struct hqq_link *link, struct hqq_seat *seat, struct hqq_loan *loan)
{
	seat = hqq_seat_step_in(seat, &loan->outside);
	if (HQQ_LIKELY(seat->lent == hqq_ring_element(hqq_link_ring(link, loan->kind), loan->position)))
		seat->lent = NULL;
	else
		hqq_lend_untag(link, seat, loan);
	return seat;
}

/* Instead, where it came back in a child of fork(): the slot is the parent's, the handle maybe gone. */
static inline bool hqq_lend_is_forked(struct hqq_link *link, struct hqq_seat *seat, struct hqq_loan *loan)
{
	const enum hqq_gate_state state = hqq_gate_state(&link->gate);
	const bool reused = loan->generation != atomic_load_explicit(&link->seats.generation, memory_order_relaxed);

	if (HQQ_LIKELY(!reused && state != HQQ_GATE_FORKED && state != HQQ_GATE_CLOSED))
		return false; /* in the process of the call, nobody gets through with closing it meanwhile */
	hqq_seat_drop(seat, &loan->outside, reused);
	return true;
}

#endif /* HQQ_LIB_LEND_H */
