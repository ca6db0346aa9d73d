/*
 * standard/message.c - the packets of the Standard link: messages, tombstones and what is neither
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "standard/standard.h"

size_t hqq_standard_examine(hqq_standard *handle, struct hqq_seat *seat, uint64_t position)
{
	const struct hqq_ring *ring = hqq_link_ring(&handle->link, HQQ_CLAIM_READ);
	const struct hqq_element *element = hqq_ring_element(ring, position);
	const unsigned opcode = hqq_packet_opcode(element);
	const uint64_t size = hqq_packet_get(element, HQQ_WORD_SIZE);

	if (HQQ_LIKELY(opcode == HQQ_OP_STANDARD_COPY && size - 1 < ring->buffer_size)) /* 1..buffer_size */
		return (size_t)size;
	if (opcode != HQQ_OP_STANDARD_TOMBSTONE)
		hqq_count(&seat->counters[HQQ_COUNT_REFUSED], 1);
	return 0;
}

ssize_t hqq_standard_claim_message(hqq_standard *handle, struct hqq_seat **seat, uint64_t *position)
{
	const struct hqq_patience patience = hqq_standard_read_patience(handle);

	for (unsigned skips = 1;; skips++) {
		int rc = hqq_link_claim(&handle->link, seat, HQQ_CLAIM_READ, &patience, position);
		size_t size;

		if (rc < 0)
			return rc;
		size = hqq_standard_examine(handle, *seat, *position);
		if (HQQ_LIKELY(size != 0))
			return (ssize_t)size;
		hqq_link_finish_slot(&handle->link, *seat, HQQ_CLAIM_READ, *position);
		rc = skips % HQQ_SKIPS_PER_CHECK == 0 ? hqq_link_check(&handle->link, &patience) : 0;
		if (rc)
			return rc;
	}
}

/* For a seat that writes and writes: where it also reads, the next message is for the peer to send. */
static void fetch_ahead(hqq_standard *handle, struct hqq_seat *seat, uint64_t position)
{
	const uint64_t received =
		atomic_load_explicit(&seat->counters[HQQ_COUNT_RECEIVED_MESSAGES], memory_order_relaxed);

	if (handle->link.alone_writing) /* claims are plain stores there, and wait for nothing */
		return;
	if (received == seat->received)
		hqq_ring_fetch_ahead(hqq_link_ring(&handle->link, HQQ_CLAIM_WRITE), position);
	seat->received = received;
}

void hqq_standard_publish(hqq_standard *handle, struct hqq_seat *seat, uint64_t position, uint64_t copy_id, size_t size)
{
	const struct hqq_ring *ring = hqq_link_ring(&handle->link, HQQ_CLAIM_WRITE);

	hqq_packet_set_standard(hqq_ring_element(ring, position), HQQ_OP_STANDARD_COPY, copy_id,
	                        hqq_ring_slot(ring, position), size);
	hqq_link_finish_slot(&handle->link, seat, HQQ_CLAIM_WRITE, position);
	hqq_count(&seat->counters[HQQ_COUNT_SENT_MESSAGES], 1);
	hqq_count(&seat->counters[HQQ_COUNT_SENT_BYTES], size);
	fetch_ahead(handle, seat, position);
}

void hqq_standard_bury(hqq_standard *handle, struct hqq_seat *seat, uint64_t position, uint64_t copy_id, uint64_t code)
{
	const struct hqq_ring *ring = hqq_link_ring(&handle->link, HQQ_CLAIM_WRITE);

	hqq_packet_set_standard(hqq_ring_element(ring, position), HQQ_OP_STANDARD_TOMBSTONE, copy_id,
	                        hqq_ring_slot(ring, position), code);
	hqq_link_finish_slot(&handle->link, seat, HQQ_CLAIM_WRITE, position);
	hqq_count(&seat->counters[HQQ_COUNT_TOMBSTONES], 1);
}

void hqq_standard_finish_read(hqq_standard *handle, struct hqq_seat *seat, uint64_t position, size_t size)
{
	hqq_link_finish_slot(&handle->link, seat, HQQ_CLAIM_READ, position);
	hqq_count(&seat->counters[HQQ_COUNT_RECEIVED_MESSAGES], 1);
	hqq_count(&seat->counters[HQQ_COUNT_RECEIVED_BYTES], size);
}
