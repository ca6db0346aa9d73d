/*
 * standard/message.h - the way of every message through a Standard link
 *
 * What each call runs through is inline here, what happens now and then is in message.c. A call
 * that finds its slot ready prepares nothing for a wait.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_STANDARD_MESSAGE_H
#define HQQ_LIB_STANDARD_MESSAGE_H

#include "standard/standard.h"

#define HQQ_STANDARD_AHEAD 9 /* for hqq_link_fetch_ahead(): a call takes some 10 ns, a line ten times that */

/* As hqq_link_wait(), for one kind of claim, within the handle's deadline. */
HQQ_COLD int hqq_standard_wait(hqq_standard *handle, struct hqq_seat **seat, enum hqq_claim_kind kind);

/* The same, for a message to claim or for a tail. */
HQQ_COLD int hqq_standard_wait_for_bytes(hqq_standard *handle, struct hqq_seat **seat);

/* Between packets that are no message, of which so many came in a row: 0 to go on, or why not. */
HQQ_COLD int hqq_standard_skip(hqq_standard *handle, unsigned skips);

/* Counts a packet that is no message; a tombstone is none either, but as it should be. */
HQQ_COLD void hqq_standard_refuse(struct hqq_seat *seat, unsigned opcode);

/* Claims the next message, skipping and releasing what is none; its size, or an error. */
ssize_t hqq_standard_claim_message(hqq_standard *handle, struct hqq_seat **seat, uint64_t *position);

/* A claimed slot that holds no message becomes a tombstone for the readers. */
HQQ_COLD void hqq_standard_bury(hqq_standard *handle, struct hqq_seat *seat, uint64_t position, uint64_t copy_id,
                                uint64_t code);

/* Claims 1..max positions, waiting for the first; how many, or an error. */
static inline int hqq_standard_claim_run(hqq_standard *handle, struct hqq_seat **seat, enum hqq_claim_kind kind,
                                         uint32_t max, uint64_t *position)
{
	const struct hqq_ring *ring = hqq_link_ring(&handle->link, kind);
	const bool alone = kind == HQQ_CLAIM_WRITE ? handle->link.alone_writing : handle->link.alone_reading;

	for (;;) {
		uint32_t count = hqq_ring_claim_run(ring, (*seat)->lane, kind, alone, max, NULL, NULL, position);
		int rc;

		if (HQQ_LIKELY(count != 0))
			return (int)count;
		rc = hqq_standard_wait(handle, seat, kind);
		if (rc)
			return rc;
	}
}

/* A claimed slot's packet, checked. Its size, or 0 when it holds no message for us (counted, to be released). */
static inline HQQ_HOT size_t hqq_standard_examine(hqq_standard *handle, struct hqq_seat *seat, uint64_t position)
{
	const struct hqq_ring *ring = hqq_link_ring(&handle->link, HQQ_CLAIM_READ);
	const struct hqq_element *element = hqq_ring_element(ring, position);
	const unsigned opcode = hqq_packet_opcode(element);
	const uint64_t size = hqq_packet_get(element, HQQ_WORD_SIZE);

	if (HQQ_LIKELY(opcode == HQQ_OP_STANDARD_COPY && size - 1 < ring->buffer_size)) /* 1..buffer_size */
		return (size_t)size;
	hqq_standard_refuse(seat, opcode);
	return 0;
}

/* Fills in the packet of a written slot, publishes it and counts. */
static inline HQQ_HOT void hqq_standard_publish(hqq_standard *handle, struct hqq_seat *seat, uint64_t position,
                                                uint64_t copy_id, size_t size)
{
	const struct hqq_ring *ring = hqq_link_ring(&handle->link, HQQ_CLAIM_WRITE);

	hqq_packet_set_standard(hqq_ring_element(ring, position), HQQ_OP_STANDARD_COPY, copy_id,
	                        hqq_ring_slot(ring, position), size);
	hqq_link_finish_slot(&handle->link, seat, HQQ_CLAIM_WRITE, position);
	hqq_count(&seat->counters[HQQ_COUNT_SENT_MESSAGES], 1);
	hqq_count(&seat->counters[HQQ_COUNT_SENT_BYTES], size);
	hqq_link_fetch_ahead(&handle->link, seat, HQQ_CLAIM_WRITE, position, HQQ_STANDARD_AHEAD, size);
}

/* Publishes a written slot of 1..buffer_size bytes; anything else leaves a tombstone and is an error. */
int hqq_standard_publish_checked(hqq_standard *handle, struct hqq_seat *seat, uint64_t position, uint64_t copy_id,
                                 size_t size);

/* Releases a read slot, whose bytes the caller has touched, and counts the message. */
static inline HQQ_HOT void hqq_standard_finish_read(hqq_standard *handle, struct hqq_seat *seat, uint64_t position,
                                                    size_t size)
{
	hqq_link_finish_slot(&handle->link, seat, HQQ_CLAIM_READ, position);
	hqq_count(&seat->counters[HQQ_COUNT_RECEIVED_MESSAGES], 1);
	hqq_count(&seat->counters[HQQ_COUNT_RECEIVED_BYTES], size);
	hqq_link_fetch_ahead(&handle->link, seat, HQQ_CLAIM_READ, position, HQQ_STANDARD_AHEAD, size);
}

#endif /* HQQ_LIB_STANDARD_MESSAGE_H */
