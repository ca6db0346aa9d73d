/*
 * advanced/stream.c - messages that are never whole in memory
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/advanced.h"
#include "lend.h"
#include <errno.h>

void hqq_stream_end(struct hqq_advanced *a, const uint64_t *connection_id, int error)
{
	struct hqq_stream *stream = a->stream;

	if (!stream || !stream->bound || stream->done ||
	    (connection_id && stream->key.connection_id != *connection_id))
		return;
	stream->done = true;
	stream->rc = error;
}

/* The stream is at its end, or another message came whole before one could begin. */
static bool is_over(struct hqq_advanced *a, void *argument)
{
	const struct hqq_stream *stream = argument;

	return stream->done || (!stream->bound && hqq_inbox_has_data(&a->inbox));
}

/* Hands over a message that came whole, as it would have come in chunks. */
static int replay(struct hqq_message *message, size_t buffer_size, hqq_chunk_fn *function, void *argument)
{
	const size_t total = message->payload_size;
	struct hqq_message head = *message;
	size_t offset = 0;
	int rc;

	head.payload = NULL;
	head.payload_size = 0;
	do {
		const size_t left = total - offset, size = left < buffer_size ? left : buffer_size;
		const void *data = total ? (const unsigned char *)message->payload + offset : NULL;

		rc = function(&head, total, offset, data, size, argument);
		offset += size;
	} while (rc >= 0 && offset < total);
	hqq_message_clear(message);
	return rc < 0 ? rc : 0;
}

/* Waits for a message and hands it over by chunks. 1: there is a whole one in *message instead. */
static int receive_stream(struct hqq_advanced *a, struct hqq_seat **seat, hqq_context *context,
                          struct hqq_stream *stream, struct hqq_message *message)
{
	struct hqq_waiter waiter = {.is_done = is_over, .argument = stream, .stream = stream};
	int rc = 0;

	stream->owner = &waiter;
	stream->thread = pthread_self();
	hqq_adv_lock(a);
	if (a->stream)
		rc = -EBUSY;
	else
		a->stream = stream;
	hqq_dispatch_note(a);
	if (rc) {
		hqq_adv_unlock(a);
		return rc;
	}
	rc = hqq_dispatch_wait(a, seat, context, &waiter);
	if (stream->done) {
		rc = stream->rc;
	} else if (stream->bound) { /* cut short: the rest of the message is swallowed */
		a->has_discard = true;
		a->discard = stream->key;
	} else if (rc == 0) {
		rc = hqq_inbox_take_data(&a->inbox, message);
	}
	a->stream = NULL;
	hqq_dispatch_note(a);
	if (a->preferred == &waiter)
		a->preferred = NULL;
	hqq_dispatch_wake_all(a);
	hqq_adv_unlock(a);
	return rc;
}

int hqq_advanced_receive_stream(hqq_advanced *a, hqq_context *context, hqq_chunk_fn *function, void *argument)
{
	struct hqq_stream stream = {.function = function, .argument = argument};
	struct hqq_message message;
	struct hqq_seat *seat = NULL;
	size_t buffer_size;
	int rc = function ? hqq_adv_enter(a, context, &seat, HQQ_FEATURE_LARGE_COPY) : HQQ_ERR_INVALID_OP;

	if (rc)
		return rc;
	buffer_size = a->link.geometry.buffer_size;
	rc = receive_stream(a, &seat, context, &stream, &message);
	hqq_event_update(&a->event);
	hqq_link_leave(seat);
	/* a whole one outside of any call, so that the function may call what it likes */
	return rc == 1 ? replay(&message, buffer_size, function, argument) : rc;
}

/* Lets the caller fill a claimed slot to the brim; 0, or why it is given up. */
static int fill(struct hqq_advanced *a, struct hqq_seat **seat, uint64_t position, const struct hqq_frame *frame,
                hqq_fill_fn *function, void *argument)
{
	const struct hqq_ring *ring = hqq_link_ring(&a->link, HQQ_CLAIM_WRITE);
	unsigned char *data = hqq_ring_buffer(ring, position);
	struct hqq_loan loan;
	uint64_t filled = 0;
	int rc = 0;

	hqq_lend(&a->link, *seat, HQQ_CLAIM_WRITE, position, &loan);
	while (rc == 0 && filled < frame->size) {
		ssize_t n = function(frame->offset + filled, data + filled, (size_t)(frame->size - filled), argument);

		if (n <= 0)
			rc = n < 0 && n >= INT32_MIN ? (int)n : HQQ_ERR_ABORTED;
		else if ((uint64_t)n > frame->size - filled)
			rc = HQQ_ERR_BUFFER_OVERFLOW;
		else
			filled += (uint64_t)n;
	}
	*seat = hqq_lend_back(&a->link, *seat, &loan);
	return rc;
}

/* Sends the next chunk of a stream. */
static int send_next(struct hqq_advanced *a, struct hqq_seat **seat, hqq_context *context, struct hqq_frame *frame,
                     hqq_fill_fn *function, void *argument)
{
	const struct hqq_ring *ring = hqq_link_ring(&a->link, HQQ_CLAIM_WRITE);
	const uint64_t left = frame->total - frame->offset;
	uint64_t position = 0;
	int rc = hqq_send_claim(a, seat, context, 1, &position);

	if (rc < 0)
		return rc;
	frame->size = left < ring->buffer_size ? left : ring->buffer_size;
	frame->flags = (frame->offset == 0 ? HQQ_FLAG_BEGIN : 0) | (frame->size == left ? HQQ_FLAG_END : 0);
	rc = fill(a, seat, position, frame, function, argument);
	if (rc == 0)
		hqq_frame_write(hqq_ring_element(ring, position), frame);
	else
		hqq_packet_set_standard(hqq_ring_element(ring, position), HQQ_OP_STANDARD_TOMBSTONE,
		                        hqq_link_copy_id(&a->link), hqq_ring_slot(ring, position),
		                        hqq_error_to_code(rc));
	hqq_link_finish_slot(&a->link, *seat, HQQ_CLAIM_WRITE, position);
	frame->offset += frame->size;
	return rc;
}

int hqq_advanced_send_stream(hqq_advanced *a, hqq_context *context, uint64_t connection_id, uint64_t total,
                             hqq_fill_fn *function, void *argument)
{
	struct hqq_frame frame = {.key.connection_id = connection_id, .total = total};
	struct hqq_seat *seat = NULL;
	uint64_t session;
	bool begun = false;
	int rc = function || !total ? hqq_adv_enter(a, context, &seat, HQQ_FEATURE_LARGE_COPY) : HQQ_ERR_INVALID_OP;

	if (rc)
		return rc;
	session = atomic_load_explicit(&a->session, memory_order_relaxed);
	rc = hqq_send_check_connection(a, connection_id, false);
	if (rc == 0)
		frame.key.message_id = hqq_adv_message_id(a);
	while (rc == 0) {
		rc = send_next(a, &seat, context, &frame, function, argument);
		begun = begun || rc == 0;
		if (rc == 0 && atomic_load_explicit(&a->session, memory_order_relaxed) != session)
			rc = HQQ_ERR_PEER_GONE;
		if (rc == 0 && frame.offset == total)
			break;
		if (rc == 0) /* the rest would be for nobody */
			rc = hqq_send_check_connection(a, connection_id, false);
		if (rc && begun)
			hqq_send_abort(a, seat, &frame.key, session);
	}
	if (rc == 0) {
		hqq_adv_count(a, HQQ_ADV_LARGE_SENT, 1);
		hqq_adv_count(a, HQQ_ADV_LARGE_SENT_BYTES, total);
	}
	hqq_link_leave(seat);
	return rc;
}
