/*
 * standard/copy.c - reading into and writing from a caller's buffer
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "standard/message.h"
#include <string.h>

/* Nothing at the head of the ring but a message that is longer than the reader's buffer stops the claim. */
static inline bool fits_buffer(const struct hqq_ring *ring, uint64_t position, uint32_t index, void *length)
{
	const struct hqq_element *element = hqq_ring_element(ring, position);
	uint64_t size;

	(void)index;
	if (HQQ_LIKELY(*(const size_t *)length >= ring->buffer_size))
		return true; /* without a look at the packet, for which the claim would have to wait */
	size = hqq_packet_get(element, HQQ_WORD_SIZE);
	/* what is larger than a buffer is no message, and will be refused */
	return size <= *(const size_t *)length || size > ring->buffer_size ||
	       hqq_packet_opcode(element) != HQQ_OP_STANDARD_COPY;
}

/* Copies a claimed message, or as much of it as there is room for; 0 when the slot holds none. */
static inline HQQ_HOT size_t copy_out(hqq_standard *handle, struct hqq_seat *seat, uint64_t position, void *buffer,
                                      size_t length, bool keep_rest)
{
	const struct hqq_ring *ring = hqq_link_ring(&handle->link, HQQ_CLAIM_READ);
	unsigned char *data = hqq_ring_buffer(ring, position);
	const size_t size = hqq_standard_examine(handle, seat, position);

	if (HQQ_UNLIKELY(size == 0)) {
		hqq_link_finish_slot(&handle->link, seat, HQQ_CLAIM_READ, position);
		return 0;
	}
	if (HQQ_LIKELY(size <= length)) {
		length = size;
		hqq_ring_take(ring, buffer, data, size);
	} else {
		memcpy(buffer, data, length);
		if (keep_rest)
			hqq_tail_keep(&handle->tail, data + length, size - length);
		hqq_ring_touch(ring, data, size);
	}
	hqq_standard_finish_read(handle, seat, position, size);
	return length;
}

/*
 * Takes a message that is longer than the buffer. Under the lock of the tail from claim to keep, so
 * that no two threads leave one; 0 when there is a tail or no message after all. The tail is for
 * whoever reads next: threads that wait already are told of it.
 */
static size_t read_short(hqq_standard *handle, struct hqq_seat *seat, void *buffer, size_t length)
{
	size_t n = 0;
	uint64_t position = 0;
	bool kept;

	pthread_mutex_lock(&handle->tail.lock);
	if (hqq_tail_is_empty(&handle->tail) &&
	    hqq_ring_claim(hqq_link_ring(&handle->link, HQQ_CLAIM_READ), seat->lane, HQQ_CLAIM_READ,
	                   handle->link.alone_reading, &position))
		n = copy_out(handle, seat, position, buffer, length, true);
	kept = n && !hqq_tail_is_empty(&handle->tail);
	pthread_mutex_unlock(&handle->tail.lock);
	if (kept)
		hqq_bell_wake_endpoint(hqq_link_bell(&handle->link, HQQ_CLAIM_READ), handle->link.endpoint.index);
	return n;
}

/* Instead of a message, for which this thread may have been woken alone. */
static size_t take_tail(hqq_standard *handle, void *buffer, size_t length)
{
	const size_t n = hqq_tail_take(&handle->tail, buffer, length);

	hqq_link_pass_on(&handle->link, HQQ_CLAIM_READ, 0);
	return n;
}

/* What nearly every read finds: no tail, and a message that fits. False when nothing was claimed. */
static inline HQQ_HOT bool read_whole(hqq_standard *handle, struct hqq_seat *seat, void *buffer, size_t length,
                                      size_t *n)
{
	uint64_t position = 0;

	if (HQQ_UNLIKELY(!hqq_tail_is_empty(&handle->tail) ||
	                 !hqq_ring_claim_run(hqq_link_ring(&handle->link, HQQ_CLAIM_READ), seat->lane, HQQ_CLAIM_READ,
	                                     handle->link.alone_reading, 1, fits_buffer, &length, &position)))
		return false;
	*n = copy_out(handle, seat, position, buffer, length, false);
	return true;
}

/* One attempt, without waiting. 1: *n bytes were read, 0: nothing to read, -1: something was skipped, go on. */
static int try_read(hqq_standard *handle, struct hqq_seat *seat, void *buffer, size_t length, size_t *n)
{
	const struct hqq_ring *ring = hqq_link_ring(&handle->link, HQQ_CLAIM_READ);

	if (HQQ_UNLIKELY(!hqq_tail_is_empty(&handle->tail)))
		*n = take_tail(handle, buffer, length);
	else if (!read_whole(handle, seat, buffer, length, n)) {
		if (length >= ring->buffer_size || !hqq_ring_is_ready(ring, HQQ_CLAIM_READ))
			return 0;
		*n = read_short(handle, seat, buffer, length);
	}
	return *n ? 1 : -1;
}

ssize_t hqq_standard_read_seated(hqq_standard *handle, struct hqq_seat **seat, void *buffer, size_t length)
{
	for (unsigned skips = 1;;) {
		size_t n = 0;
		int rc = try_read(handle, *seat, buffer, length, &n);

		if (HQQ_LIKELY(rc > 0))
			return (ssize_t)n;
		if (rc == 0)
			rc = hqq_standard_wait_for_bytes(handle, seat);
		else
			rc = hqq_standard_skip(handle, skips++);
		if (rc)
			return rc;
	}
}

ssize_t hqq_standard_read(hqq_standard *handle, void *buffer, size_t length)
{
	struct hqq_seat *seat = NULL;
	ssize_t rc = hqq_link_enter(hqq_standard_link(handle), &seat);
	size_t n = 0;

	if (HQQ_UNLIKELY(rc != 0))
		return rc;
	if (HQQ_UNLIKELY(length == 0 || !buffer))
		rc = length ? HQQ_ERR_INVALID_OP : 0;
	else if (HQQ_LIKELY(read_whole(handle, seat, buffer, length, &n) && n))
		rc = (ssize_t)n;
	else
		rc = hqq_standard_read_seated(handle, &seat, buffer, length);
	hqq_event_update(&handle->event);
	hqq_link_leave(seat);
	return rc;
}

ssize_t hqq_standard_write(hqq_standard *handle, const void *buffer, size_t length)
{
	const struct hqq_ring *ring;
	struct hqq_seat *seat = NULL;
	uint64_t position = 0, copy_id;
	ssize_t rc = hqq_link_enter(hqq_standard_link(handle), &seat);

	if (HQQ_UNLIKELY(rc != 0))
		return rc;
	ring = hqq_link_ring(&handle->link, HQQ_CLAIM_WRITE);
	if (HQQ_UNLIKELY(length == 0 || !buffer || length > ring->buffer_size)) {
		rc = length == 0 ? 0 : !buffer ? HQQ_ERR_INVALID_OP : HQQ_ERR_BUFFER_OVERFLOW;
	} else {
		rc = hqq_standard_claim_run(handle, &seat, HQQ_CLAIM_WRITE, 1, &position);
		if (HQQ_LIKELY(rc > 0)) {
			copy_id = hqq_link_copy_id(&handle->link);
			memcpy(hqq_ring_buffer(ring, position), buffer, length);
			hqq_standard_publish(handle, seat, position, copy_id, length);
			rc = (ssize_t)length;
		}
	}
	hqq_link_leave(seat);
	return rc;
}
