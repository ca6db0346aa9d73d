/*
 * lend.c - what does not happen to every slot that is lent
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "lend.h"

bool hqq_lend_look(struct hqq_link *link, uint64_t joined)
{
	const bool lone = hqq_endpoint_is_lone(&link->endpoint, link->mode);

	atomic_store_explicit(&link->side, joined << 1 | lone, memory_order_relaxed);
	return lone;
}

void hqq_lend_untag(struct hqq_link *link, struct hqq_seat *seat, const struct hqq_loan *loan)
{
	const struct hqq_ring *ring = hqq_link_ring(link, loan->kind);

	if (seat->lent) /* of a function that was left without returning */
		hqq_seat_tag_lent(seat);
	hqq_ring_take_over(seat->lane, loan->kind, loan->position);
	if (loan->kind == HQQ_CLAIM_READ) /* a writer's packet has its own words once it is published */
		hqq_packet_set(hqq_ring_element(ring, loan->position), HQQ_WORD_TAG, loan->word);
}
