/*
 * standard/zerocopy.c - a caller's function over the bytes in the ring
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "lend.h"
#include "standard/message.h"

ssize_t hqq_standard_read_zero_copy(hqq_standard *handle, hqq_read_fn *function, void *argument)
{
	const struct hqq_ring *ring;
	struct hqq_seat *seat = NULL;
	struct hqq_loan loan;
	uint64_t position = 0;
	ssize_t size, rc = hqq_link_enter(hqq_standard_link(handle), &seat);

	if (rc)
		return rc;
	ring = hqq_link_ring(&handle->link, HQQ_CLAIM_READ);
	size = function ? hqq_standard_claim_message(handle, &seat, &position) : HQQ_ERR_INVALID_OP;
	rc = size;
	if (HQQ_LIKELY(size > 0)) {
		hqq_lend(&handle->link, seat, HQQ_CLAIM_READ, position, &loan);
		rc = function(hqq_ring_buffer(ring, position), (size_t)size, argument);
		if (HQQ_UNLIKELY(hqq_lend_is_forked(&handle->link, seat, &loan)))
			return HQQ_ERR_FORKED;
		seat = hqq_lend_back(&handle->link, seat, &loan);
		hqq_ring_touch(ring, hqq_ring_buffer(ring, position), (size_t)size);
		hqq_standard_finish_read(handle, seat, position, (size_t)size);
		if (rc >= 0)
			rc = size;
	}
	hqq_event_update(&handle->event);
	hqq_link_leave(seat);
	return rc;
}

ssize_t hqq_standard_write_zero_copy(hqq_standard *handle, hqq_write_fn *function, void *argument)
{
	const struct hqq_ring *ring;
	struct hqq_seat *seat = NULL;
	struct hqq_loan loan;
	uint64_t position = 0, copy_id;
	ssize_t rc = hqq_link_enter(hqq_standard_link(handle), &seat);

	if (rc)
		return rc;
	ring = hqq_link_ring(&handle->link, HQQ_CLAIM_WRITE);
	rc = function ? hqq_standard_claim_run(handle, &seat, HQQ_CLAIM_WRITE, 1, &position) : HQQ_ERR_INVALID_OP;
	if (HQQ_LIKELY(rc > 0)) {
		copy_id = hqq_link_copy_id(&handle->link);
		hqq_lend(&handle->link, seat, HQQ_CLAIM_WRITE, position, &loan);
		rc = function(hqq_ring_buffer(ring, position), ring->buffer_size, argument);
		if (HQQ_UNLIKELY(hqq_lend_is_forked(&handle->link, seat, &loan)))
			return HQQ_ERR_FORKED;
		seat = hqq_lend_back(&handle->link, seat, &loan);
		if (HQQ_UNLIKELY(rc < 0)) {
			hqq_standard_bury(handle, seat, position, copy_id,
			                  hqq_error_to_code(rc > INT32_MIN ? (int)rc : HQQ_ERR_INVALID_OP));
		} else {
			const int error = hqq_standard_publish_checked(handle, seat, position, copy_id, (size_t)rc);

			rc = error ? error : rc;
		}
	}
	hqq_link_leave(seat);
	return rc;
}
