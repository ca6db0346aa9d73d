/*
 * standard/batch.c - several messages for one claim
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "standard/message.h"
#include <string.h>

/* What is wrong with a message to be written, or 0. */
static int defect(const struct iovec *message, size_t buffer_size)
{
	if (message->iov_len == 0)
		return HQQ_ERR_INVALID_SIZE;
	if (message->iov_len > buffer_size)
		return HQQ_ERR_BUFFER_OVERFLOW;
	return message->iov_base ? 0 : HQQ_ERR_INVALID_OP;
}

/* How many messages from the first on may be written, at most as many as one claim takes. */
static uint32_t sound_prefix(const struct iovec *messages, size_t count, size_t buffer_size)
{
	uint32_t n = 0;

	while (n < count && n < HQQ_CLAIM_MAX && defect(&messages[n], buffer_size) == 0)
		n++;
	return n;
}

/*
 * A part of a run is filled first, then published at once, and read first, then released at once:
 * whoever waits on the other side then finds it whole, and does not take away the lines next to the
 * slot in hand again and again. Parts are short, for a reader that polls not to wait long for the first
 * message, and not for the copy of one that makes a part longer than PART_BYTES.
 */
#define PART_SLOTS 32
#define PART_BYTES 16384

/*
 * Slots that a reader claims at once. A claim looks at all of them, and lines that were not fetched
 * ahead come one after the other; a writer finds its slots released long ago.
 */
#define READ_RUN 6

/* Fills a claimed position. */
static void fill(const struct hqq_ring *ring, uint64_t position, uint64_t copy_id, const struct iovec *message)
{
	memcpy(hqq_ring_buffer(ring, position), message->iov_base, message->iov_len);
	hqq_packet_set_standard(hqq_ring_element(ring, position), HQQ_OP_STANDARD_COPY, copy_id,
	                        hqq_ring_slot(ring, position), message->iov_len);
}

/*
 * Fills and publishes claimed positions, then wakes readers once for all of them. Not inlined: beside the
 * variables of the claim its own do not all find registers, which cost a quarter of the rate.
 */
static HQQ_NOINLINE void write_run(hqq_standard *handle, struct hqq_seat *seat, uint64_t position,
                                   const struct iovec *messages, uint32_t count)
{
	const struct hqq_ring *ring = hqq_link_ring(&handle->link, HQQ_CLAIM_WRITE);
	const uint64_t copy_id = hqq_link_copy_ids(&handle->link, count);
	uint64_t bytes = 0;

	for (uint32_t done = 0, i = 0; done < count;) {
		const uint32_t end = count - done < PART_SLOTS ? count : done + PART_SLOTS;
		const uint64_t enough = bytes + PART_BYTES;

		for (; i < end && (i == done || bytes + messages[i].iov_len <= enough); i++) {
			fill(ring, position + i, copy_id + i, &messages[i]);
			hqq_link_fetch_ahead(&handle->link, seat, HQQ_CLAIM_WRITE, position + i, HQQ_STANDARD_AHEAD,
			                     messages[i].iov_len);
			bytes += messages[i].iov_len;
		}
		for (; done < i; done++)
			hqq_ring_publish(ring, position + done);
	}
	hqq_link_ring_bell(&handle->link, seat, HQQ_CLAIM_WRITE, count);
	hqq_count(&seat->counters[HQQ_COUNT_SENT_MESSAGES], count);
	hqq_count(&seat->counters[HQQ_COUNT_SENT_BYTES], bytes);
}

static ssize_t write_batch_seated(hqq_standard *handle, struct hqq_seat **seat, const struct iovec *messages,
                                  size_t count)
{
	const struct hqq_ring *ring = hqq_link_ring(&handle->link, HQQ_CLAIM_WRITE);
	size_t done = 0;

	for (;;) {
		uint32_t sound = sound_prefix(messages + done, count - done, ring->buffer_size);
		uint64_t position = 0;
		int n;

		if (sound == 0)
			return done || !count ? (ssize_t)done : defect(messages, ring->buffer_size);
		if (done == 0)
			n = hqq_standard_claim_run(handle, seat, HQQ_CLAIM_WRITE, sound, &position);
		else /* what there is room for without waiting */
			n = (int)hqq_ring_claim_run(ring, (*seat)->lane, HQQ_CLAIM_WRITE, handle->link.alone_writing,
			                            sound, NULL, NULL, &position);
		if (n <= 0)
			return done ? (ssize_t)done : n;
		write_run(handle, *seat, position, messages + done, (uint32_t)n);
		done += (size_t)n;
	}
}

ssize_t hqq_standard_write_batch(hqq_standard *handle, struct iovec *messages, size_t count)
{
	struct hqq_seat *seat = NULL;
	ssize_t rc = hqq_link_enter(hqq_standard_link(handle), &seat);

	if (rc)
		return rc;
	rc = !messages && count ? HQQ_ERR_INVALID_OP : write_batch_seated(handle, &seat, messages, count);
	hqq_link_leave(seat);
	return rc;
}

/* A run of slots whose messages fit the vectors, one each; what is no message takes no vector. */
struct read_run {
	const struct iovec *messages;
	size_t count;
	size_t used;
};

static bool fits_vectors(const struct hqq_ring *ring, uint64_t position, uint32_t index, void *argument)
{
	const struct hqq_element *element = hqq_ring_element(ring, position);
	struct read_run *run = argument;

	if (index == 0)
		run->used = 0;
	if (hqq_packet_opcode(element) != HQQ_OP_STANDARD_COPY)
		return true;
	if (run->used == run->count || hqq_packet_get(element, HQQ_WORD_SIZE) > run->messages[run->used].iov_len)
		return false;
	run->used++;
	return true;
}

/* Copies the message of a claimed position, if there is a vector for it; false when nothing was copied. */
static bool take(hqq_standard *handle, struct hqq_seat *seat, uint64_t position, struct iovec *vector)
{
	const struct hqq_ring *ring = hqq_link_ring(&handle->link, HQQ_CLAIM_READ);
	const size_t size = hqq_standard_examine(handle, seat, position);

	/* a packet may have changed since it was seen to fit, by a hand that breaks the protocol */
	if (!size || !vector || size > vector->iov_len)
		return false;
	hqq_ring_take(ring, vector->iov_base, hqq_ring_buffer(ring, position), size);
	vector->iov_len = size;
	return true;
}

/* Copies and releases claimed positions; returns how many were messages. The caller rings the bell. */
static size_t read_run(hqq_standard *handle, struct hqq_seat *seat, uint64_t position, uint32_t slots,
                       struct iovec *messages, size_t count)
{
	const struct hqq_ring *ring = hqq_link_ring(&handle->link, HQQ_CLAIM_READ);
	uint64_t bytes = 0;
	size_t n = 0;

	for (uint32_t done = 0, i = 0; done < slots;) {
		const uint64_t enough = bytes + PART_BYTES;

		for (; i < slots && bytes < enough; i++) {
			struct iovec *vector = n < count ? &messages[n] : NULL;

			/* a branch that is foretold: the next vector must not wait until this packet has come */
			if (HQQ_LIKELY(take(handle, seat, position + i, vector))) {
				bytes += vector->iov_len;
				n++;
			}
			hqq_link_fetch_ahead(&handle->link, seat, HQQ_CLAIM_READ, position + i, HQQ_STANDARD_AHEAD,
			                     vector ? vector->iov_len : 0);
		}
		for (; done < i; done++)
			hqq_ring_release(ring, position + done);
	}
	hqq_count(&seat->counters[HQQ_COUNT_RECEIVED_MESSAGES], n);
	hqq_count(&seat->counters[HQQ_COUNT_RECEIVED_BYTES], bytes);
	return n;
}

/* Takes what is there without waiting and fits. */
static size_t read_ready(hqq_standard *handle, struct hqq_seat *seat, struct iovec *messages, size_t count)
{
	const struct hqq_ring *ring = hqq_link_ring(&handle->link, HQQ_CLAIM_READ);
	uint32_t released = 0;
	size_t done = 0;

	while (done < count && hqq_tail_is_empty(&handle->tail)) {
		const size_t before = done;
		struct read_run run = {messages + done, count - done, 0};
		uint32_t max = count - done < READ_RUN ? (uint32_t)(count - done) : READ_RUN;
		uint64_t position = 0;
		const uint32_t slots = hqq_ring_claim_run(ring, seat->lane, HQQ_CLAIM_READ, handle->link.alone_reading,
		                                          max, fits_vectors, &run, &position);

		if (!slots)
			break;
		done += read_run(handle, seat, position, slots, messages + done, count - done);
		released += slots;
		/* after a run without a message the caller goes on, who knows of a deadline */
		if (done == before || hqq_link_check(&handle->link, &(struct hqq_patience){.peer_eof = false}))
			break;
	}
	if (released) /* once: a writer that slept finds room for more than a run */
		hqq_link_ring_bell(&handle->link, seat, HQQ_CLAIM_READ, released);
	return done;
}

static ssize_t read_batch_seated(hqq_standard *handle, struct hqq_seat **seat, struct iovec *messages, size_t count)
{
	size_t done = read_ready(handle, *seat, messages, count);
	ssize_t first;

	if (done || !count)
		return (ssize_t)done;
	/* a tail, a message longer than its vector, or nothing there yet */
	first = hqq_standard_read_seated(handle, seat, messages[0].iov_base, messages[0].iov_len);
	if (first < 0)
		return first;
	messages[0].iov_len = (size_t)first;
	return 1 + (ssize_t)read_ready(handle, *seat, messages + 1, count - 1);
}

ssize_t hqq_standard_read_batch(hqq_standard *handle, struct iovec *messages, size_t count)
{
	struct hqq_seat *seat = NULL;
	ssize_t rc = hqq_link_enter(hqq_standard_link(handle), &seat);

	if (rc)
		return rc;
	if (!messages && count)
		rc = HQQ_ERR_INVALID_OP;
	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (!messages[i].iov_base)
			rc = HQQ_ERR_INVALID_OP;
		else if (!messages[i].iov_len)
			rc = HQQ_ERR_INVALID_SIZE;
	}
	if (rc == 0)
		rc = read_batch_seated(handle, &seat, messages, count);
	hqq_event_update(&handle->event);
	hqq_link_leave(seat);
	return rc;
}
