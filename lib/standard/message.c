/*
 * standard/message.c - what does not happen to every message of a Standard link: waits, skips, tombstones
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "standard/message.h"

#define SKIPS_PER_CHECK 256 /* between looks at deadline and gate */

static struct hqq_patience patience_of(hqq_standard *handle, enum hqq_claim_kind kind)
{
	struct hqq_patience patience = {
		.deadline = kind == HQQ_CLAIM_WRITE ? &handle->write_deadline : &handle->read_deadline,
		.peer_eof = handle->link.peer_eof,
	};

	return patience;
}

int hqq_standard_wait(hqq_standard *handle, struct hqq_seat **seat, enum hqq_claim_kind kind)
{
	const struct hqq_patience patience = patience_of(handle, kind);

	return hqq_link_wait(&handle->link, seat, kind, &patience);
}

int hqq_standard_wait_for_bytes(hqq_standard *handle, struct hqq_seat **seat)
{
	struct hqq_patience patience = patience_of(handle, HQQ_CLAIM_READ);

	patience.beside = &handle->tail.length;
	return hqq_link_wait(&handle->link, seat, HQQ_CLAIM_READ, &patience);
}

int hqq_standard_skip(hqq_standard *handle, unsigned skips)
{
	const struct hqq_patience patience = patience_of(handle, HQQ_CLAIM_READ);
	const int rc = skips % SKIPS_PER_CHECK == 0 ? hqq_link_check(&handle->link, &patience) : 0;

	/* a deadline that has passed allows one attempt, and a lap of tombstones may lie before the message */
	return rc == HQQ_ERR_TIMEOUT && skips <= handle->link.geometry.buffer_count ? 0 : rc;
}

void hqq_standard_refuse(struct hqq_seat *seat, unsigned opcode)
{
	if (opcode != HQQ_OP_STANDARD_TOMBSTONE)
		hqq_count(&seat->counters[HQQ_COUNT_REFUSED], 1);
}

ssize_t hqq_standard_claim_message(hqq_standard *handle, struct hqq_seat **seat, uint64_t *position)
{
	for (unsigned skips = 1;; skips++) {
		int rc = hqq_standard_claim_run(handle, seat, HQQ_CLAIM_READ, 1, position);
		size_t size;

		if (rc < 0)
			return rc;
		size = hqq_standard_examine(handle, *seat, *position);
		if (HQQ_LIKELY(size != 0))
			return (ssize_t)size;
		hqq_link_finish_slot(&handle->link, *seat, HQQ_CLAIM_READ, *position);
		rc = hqq_standard_skip(handle, skips);
		if (rc)
			return rc;
	}
}

void hqq_standard_bury(hqq_standard *handle, struct hqq_seat *seat, uint64_t position, uint64_t copy_id, uint64_t code)
{
	const struct hqq_ring *ring = hqq_link_ring(&handle->link, HQQ_CLAIM_WRITE);

	hqq_packet_set_standard(hqq_ring_element(ring, position), HQQ_OP_STANDARD_TOMBSTONE, copy_id,
	                        hqq_ring_slot(ring, position), code);
	hqq_link_finish_slot(&handle->link, seat, HQQ_CLAIM_WRITE, position);
	hqq_count(&seat->counters[HQQ_COUNT_TOMBSTONES], 1);
}

int hqq_standard_publish_checked(hqq_standard *handle, struct hqq_seat *seat, uint64_t position, uint64_t copy_id,
                                 size_t size)
{
	const int rc = size == 0                                      ? HQQ_ERR_INVALID_SIZE
	               : size > handle->link.geometry.buffer_size ? HQQ_ERR_BUFFER_OVERFLOW
	                                                              : 0;

	if (HQQ_UNLIKELY(rc != 0))
		hqq_standard_bury(handle, seat, position, copy_id, hqq_error_to_code(rc));
	else
		hqq_standard_publish(handle, seat, position, copy_id, size);
	return rc;
}
