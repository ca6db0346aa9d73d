/*
 * advanced/deliver.c - what becomes of a CONN_COPY frame, and of a Standard payload
 *
 * Runs in whoever dispatches, with the slot claimed. A frame is read once, checked, then used.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/advanced.h"
#include "lend.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_negotiated(const struct hqq_advanced *a, uint64_t kind)
{
	const uint64_t needed = kind ? HQQ_FEATURE_REQUEST_RESPONSE : HQQ_FEATURE_LARGE_COPY;

	return hqq_adv_state(a) == HQQ_PROTOCOL_NEGOTIATED &&
	       (atomic_load_explicit(&a->negotiation.features, memory_order_relaxed) & needed);
}

/* Tells a caller on the other side that its request will not be served. Under the lock. */
static void refuse_request(struct hqq_advanced *a, const struct hqq_key *key, int error)
{
	const struct hqq_frame frame = {
		.key = {key->connection_id, key->message_id, HQQ_FLAG_RESPONSE},
		.flags = HQQ_FLAG_BEGIN | HQQ_FLAG_END | HQQ_FLAG_RESPONSE | HQQ_FLAG_ERROR,
		.number = hqq_error_to_code(error),
	};

	hqq_send_post_frame(a, &frame);
}

/*
 * A message that will not come: whoever waits for it, here or there, is told. answer: the other
 * side's caller has not been told yet.
 */
static void give_up(struct hqq_advanced *a, const struct hqq_key *key, int error, bool answer)
{
	hqq_adv_lock(a);
	if (key->kind == HQQ_FLAG_RESPONSE) {
		struct hqq_pending *pending = hqq_calls_find(a, key->connection_id, key->message_id);

		if (pending && !pending->done)
			hqq_calls_complete(a, pending, error, NULL);
	} else if (key->kind == HQQ_FLAG_REQUEST && key->message_id && answer) {
		refuse_request(a, key, error == -ENOMEM ? HQQ_ERR_BUFFER_OVERFLOW : error);
	}
	if (a->stream && a->stream->bound && hqq_key_equal(&a->stream->key, key)) {
		a->stream->done = true;
		a->stream->rc = error;
	}
	hqq_adv_unlock(a);
}

static void count_received(struct hqq_advanced *a, const struct hqq_key *key, uint64_t bytes)
{
	if (key->kind == HQQ_FLAG_REQUEST) {
		hqq_adv_count_alone(a, HQQ_ADV_REQUESTS_RECEIVED, 1);
	} else if (key->kind == HQQ_FLAG_RESPONSE) {
		hqq_adv_count_alone(a, HQQ_ADV_RESPONSES_RECEIVED, 1);
	} else {
		hqq_adv_count_alone(a, HQQ_ADV_LARGE_RECEIVED, 1);
		hqq_adv_count_alone(a, HQQ_ADV_LARGE_RECEIVED_BYTES, bytes);
	}
}

static void fill_head(struct hqq_message *message, const struct hqq_frame *first)
{
	memset(message, 0, sizeof(*message));
	message->connection_id = first->key.connection_id;
	message->message_id = first->key.message_id;
	message->method_id = first->key.kind == HQQ_FLAG_REQUEST ? first->number : 0;
	message->status = first->key.kind == HQQ_FLAG_RESPONSE ? first->number : 0;
	message->flags = (first->flags & (HQQ_KIND_FLAGS | HQQ_FLAG_ERROR)) | HQQ_FLAG_BEGIN | HQQ_FLAG_END;
}

/* Under the lock. */
static bool put(struct hqq_advanced *a, enum hqq_inbox_kind kind, const struct hqq_message *message)
{
	const bool taken = hqq_inbox_put(&a->inbox, kind, message);

	if (hqq_inbox_is_full(&a->inbox, kind))
		hqq_dispatch_note(a);
	return taken;
}

/* To its caller, or into the inbox; drops it where there is no room. Takes the payload over. */
static void deliver(struct hqq_advanced *a, const struct hqq_key *key, struct hqq_message *message)
{
	const enum hqq_inbox_kind kind = key->kind == HQQ_FLAG_REQUEST ? HQQ_INBOX_REQUESTS : HQQ_INBOX_MESSAGES;
	struct hqq_pending *pending = NULL;
	bool taken = true;

	hqq_adv_lock(a);
	if (key->kind == HQQ_FLAG_REQUEST)
		message->opaque[HQQ_MESSAGE_SESSION] = a->frame_session + 1;
	if (key->kind == HQQ_FLAG_RESPONSE)
		pending = hqq_calls_find(a, key->connection_id, key->message_id);
	if (pending && !pending->done)
		hqq_calls_complete(a, pending, 0, message);
	else
		taken = put(a, kind, message);
	hqq_adv_unlock(a);
	if (taken) {
		count_received(a, key, message->payload_size);
		return;
	}
	hqq_adv_count(a, HQQ_ADV_DROPPED, 1);
	hqq_message_clear(message);
	give_up(a, key, HQQ_ERR_BUFFER_OVERFLOW, true);
}

/* The common case: a message of one frame, without the detour over the assembly. */
static void deliver_single(struct hqq_advanced *a, const struct hqq_frame *frame, void *data)
{
	struct hqq_message message;

	fill_head(&message, frame);
	if (frame->size) {
		message.payload = malloc((size_t)frame->size);
		if (!message.payload) {
			hqq_adv_count(a, HQQ_ADV_DROPPED, 1);
			give_up(a, &frame->key, -ENOMEM, true);
			return;
		}
		hqq_ring_take(hqq_link_ring(&a->link, HQQ_CLAIM_READ), message.payload, data, (size_t)frame->size);
		message.payload_size = (size_t)frame->size;
	}
	deliver(a, &frame->key, &message);
}

static void deliver_partial(struct hqq_advanced *a, struct hqq_partial *partial)
{
	struct hqq_message message;

	fill_head(&message, &partial->first);
	message.payload = partial->bytes;
	message.payload_size = (size_t)partial->received;
	partial->bytes = NULL;
	deliver(a, &partial->first.key, &message);
}

static void deliver_abort(struct hqq_advanced *a, const struct hqq_partial *partial)
{
	const struct hqq_key *key = &partial->first.key;
	struct hqq_message message;

	hqq_adv_count(a, HQQ_ADV_ABORTED, 1);
	if (partial->state == HQQ_PARTIAL_DISCARDED)
		return;
	if (partial->state == HQQ_PARTIAL_STREAMED || key->kind == HQQ_FLAG_RESPONSE) {
		give_up(a, key, HQQ_ERR_ABORTED, false);
		return;
	}
	fill_head(&message, &partial->first);
	message.flags = key->kind | HQQ_FLAG_ABORT;
	hqq_adv_lock(a);
	if (!put(a, HQQ_INBOX_MESSAGES, &message))
		hqq_adv_count(a, HQQ_ADV_DROPPED, 1);
	hqq_adv_unlock(a);
}

/* A data message that begins now goes to the stream that waits for one, if that is our own. */
static bool bind_stream(struct hqq_advanced *a, const struct hqq_waiter *self, const struct hqq_frame *frame)
{
	struct hqq_stream *stream = self->stream;
	bool binds;

	if (!stream || frame->key.kind || !(frame->flags & HQQ_FLAG_BEGIN) || (frame->flags & HQQ_FLAG_ABORT))
		return false;
	hqq_adv_lock(a);
	binds = !stream->bound;
	if (binds) {
		stream->bound = true;
		stream->key = frame->key;
		fill_head(&stream->head, frame);
	}
	hqq_adv_unlock(a);
	return binds;
}

bool hqq_deliver_is_for_stream(const struct hqq_advanced *a, const struct hqq_frame *frame)
{
	if (a->stream->bound)
		return !a->stream->done && hqq_key_equal(&a->stream->key, &frame->key);
	return !frame->key.kind && (frame->flags & HQQ_FLAG_BEGIN);
}

/* Runs the stream's function over the chunk in its slot. */
static int run_stream_function(struct hqq_advanced *a, struct hqq_seat **seat, uint64_t position,
                               const struct hqq_frame *frame)
{
	const struct hqq_ring *ring = hqq_link_ring(&a->link, HQQ_CLAIM_READ);
	struct hqq_stream *stream = a->stream;
	struct hqq_loan loan;
	int rc;

	hqq_adv_lock(a);
	a->in_callback = true;
	hqq_adv_unlock(a);
	hqq_lend(&a->link, *seat, HQQ_CLAIM_READ, position, &loan);
	rc = stream->function(&stream->head, frame->total, frame->offset, hqq_ring_buffer(ring, position),
	                      (size_t)frame->size, stream->argument);
	*seat = hqq_lend_back(&a->link, *seat, &loan);
	hqq_ring_touch(ring, hqq_ring_buffer(ring, position), frame->size);
	hqq_adv_lock(a);
	a->in_callback = false;
	hqq_adv_unlock(a);
	return rc;
}

/* The stream of this message is still there and is ours. */
static bool is_own_stream(struct hqq_advanced *a, const struct hqq_waiter *self, const struct hqq_frame *frame)
{
	const struct hqq_stream *stream = self->stream;
	bool own;

	if (!stream)
		return false;
	hqq_adv_lock(a);
	own = stream->bound && !stream->done && hqq_key_equal(&stream->key, &frame->key);
	hqq_adv_unlock(a);
	return own;
}

static void deliver_to_stream(struct hqq_advanced *a, struct hqq_seat **seat, uint64_t position,
                              const struct hqq_frame *frame, const struct hqq_waiter *self,
                              struct hqq_partial *partial)
{
	const bool own = is_own_stream(a, self, frame);
	const int rc = own ? run_stream_function(a, seat, position, frame) : HQQ_ERR_ABORTED;
	const bool last = hqq_assembly_advance(partial, frame);

	if (last) {
		hqq_assembly_remove(&a->assembly, partial);
		hqq_partial_free(partial);
	} else if (rc < 0) {
		hqq_assembly_discard(&a->assembly, partial);
	}
	if (!own)
		return;
	if (last)
		count_received(a, &frame->key, frame->total);
	if (last || rc < 0) {
		hqq_adv_lock(a);
		a->stream->rc = rc < 0 ? rc : 0;
		a->stream->done = true;
		hqq_adv_unlock(a);
	}
}

/* A frame that breaks the protocol by itself: it costs the message it names. */
static void refuse_unsound(struct hqq_advanced *a, const struct hqq_frame *frame)
{
	struct hqq_partial *partial = hqq_assembly_find(&a->assembly, &frame->key);
	const bool told = partial && partial->state == HQQ_PARTIAL_DISCARDED;

	if (partial && (frame->flags & (HQQ_FLAG_END | HQQ_FLAG_ABORT))) { /* nothing more of it will come */
		hqq_assembly_remove(&a->assembly, partial);
		hqq_partial_free(partial);
	} else if (partial && !told)
		hqq_assembly_discard(&a->assembly, partial);
	else if (!partial && !(frame->flags & HQQ_FLAG_ABORT))
		hqq_assembly_reject(&a->assembly, frame);
	hqq_adv_count(a, HQQ_ADV_REFUSED, 1);
	give_up(a, &frame->key, HQQ_ERR_CORRUPT, !told && !(frame->flags & HQQ_FLAG_ABORT));
}

void hqq_deliver_frame(struct hqq_advanced *a, struct hqq_seat **seat, uint64_t position,
                       const struct hqq_frame *frame, const struct hqq_waiter *self)
{
	const struct hqq_ring *ring = hqq_link_ring(&a->link, HQQ_CLAIM_READ);
	void *data = hqq_ring_buffer(ring, position);
	struct hqq_partial *partial = NULL;
	bool as_stream;

	a->frame_session = atomic_load_explicit(&a->session, memory_order_relaxed); /* before the look at the state */
	if (!is_negotiated(a, frame->key.kind)) {
		hqq_adv_count(a, HQQ_ADV_REFUSED, 1);
		return;
	}
	if (!hqq_frame_is_sound(frame, ring->buffer_size)) {
		refuse_unsound(a, frame);
		return;
	}
	/* relaxed: the dispatcher, who sets it, also asks */
	atomic_store_explicit(&a->session_used, true, memory_order_relaxed);
	as_stream = bind_stream(a, self, frame);
	if (!as_stream && hqq_frame_is_whole(frame) && frame->total <= a->max_message_size &&
	    !hqq_assembly_find(&a->assembly, &frame->key)) {
		deliver_single(a, frame, data);
		return;
	}
	switch (hqq_assembly_add(&a->assembly, frame, data, as_stream, &partial)) {
	case HQQ_ASSEMBLED_PART:
		break;
	case HQQ_ASSEMBLED_STREAM:
		deliver_to_stream(a, seat, position, frame, self, partial);
		break;
	case HQQ_ASSEMBLED_WHOLE:
		deliver_partial(a, partial);
		hqq_partial_free(partial);
		break;
	case HQQ_ASSEMBLED_ABORTED:
		deliver_abort(a, partial);
		hqq_partial_free(partial);
		break;
	case HQQ_ASSEMBLED_STRAY:
		hqq_adv_count(a, HQQ_ADV_REFUSED, 1);
		give_up(a, &frame->key, HQQ_ERR_ABORTED, false);
		break;
	case HQQ_ASSEMBLED_REFUSED:
		hqq_adv_count(a, HQQ_ADV_REFUSED, 1);
		give_up(a, &frame->key, HQQ_ERR_CORRUPT, true);
		break;
	case HQQ_ASSEMBLED_DROPPED:
		hqq_adv_count(a, HQQ_ADV_DROPPED, 1);
		give_up(a, &frame->key, -ENOMEM, true);
		break;
	}
}

void hqq_deliver_standard(struct hqq_advanced *a, void *data, uint64_t size)
{
	struct hqq_message message;
	bool taken = false;

	if (size == 0 || size > a->link.geometry.buffer_size) {
		hqq_adv_count(a, HQQ_ADV_REFUSED, 1);
		return;
	}
	memset(&message, 0, sizeof(message));
	message.payload = malloc((size_t)size);
	message.payload_size = (size_t)size;
	if (message.payload) {
		hqq_ring_take(hqq_link_ring(&a->link, HQQ_CLAIM_READ), message.payload, data, (size_t)size);
		hqq_adv_lock(a);
		taken = put(a, HQQ_INBOX_STANDARD, &message);
		hqq_adv_unlock(a);
	}
	if (!taken) {
		hqq_adv_count(a, HQQ_ADV_DROPPED, 1);
		hqq_message_clear(&message);
	}
}
