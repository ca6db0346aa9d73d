/*
 * advanced/send.c - messages cut into frames, and packets that the dispatcher posts
 *
 * Who sends waits for room and dispatches meanwhile: when both sides send large messages to each
 * other, each takes in what the other sends. What the dispatcher itself has to say it posts: it
 * goes out at once or with the next room, and never makes the dispatcher wait.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/advanced.h"
#include <stdlib.h>
#include <string.h>

#define CHUNKS_PER_CLAIM 8
#define AHEAD 3           /* for hqq_link_fetch_ahead(): the next frame is not sent within 50 ns */
#define OUTGOING_MAX 4096 /* posted and not sent yet; more are dropped and counted */

static bool has_room(struct hqq_advanced *a, void *argument)
{
	(void)argument;
	return hqq_ring_is_ready(hqq_link_ring(&a->link, HQQ_CLAIM_WRITE), HQQ_CLAIM_WRITE);
}

/* Something posted is still waiting, after an attempt to send it. */
static bool has_posted(struct hqq_advanced *a, struct hqq_seat *seat)
{
	bool sent;

	if (HQQ_LIKELY(!atomic_load_explicit(&a->outgoing_count, memory_order_relaxed)))
		return false;
	hqq_adv_lock(a);
	sent = hqq_send_flush(a, seat);
	hqq_adv_unlock(a);
	return !sent;
}

int hqq_send_claim(struct hqq_advanced *a, struct hqq_seat **seat, hqq_context *context, uint32_t max,
                   uint64_t *position)
{
	struct hqq_waiter waiter = {.is_done = has_room, .wants_room = true};

	for (unsigned tries = 0;; tries++) {
		uint32_t count = 0;
		int rc;

		if (!has_posted(a, *seat)) /* what was posted goes first */
			count = hqq_ring_claim_run(hqq_link_ring(&a->link, HQQ_CLAIM_WRITE), (*seat)->lane,
			                           HQQ_CLAIM_WRITE, false, max, NULL, NULL, position);
		if (count)
			return (int)count;
		hqq_adv_lock(a);
		rc = hqq_dispatch_wait(a, seat, context, &waiter);
		hqq_adv_unlock(a);
		if (rc == 0 && tries) /* there was room, and somebody else had it */
			rc = hqq_link_check(&a->link, &(struct hqq_patience){.context = context});
		if (rc)
			return rc;
	}
}

/* Fills and publishes the next chunk in a claimed slot. */
static void send_chunk(struct hqq_advanced *a, struct hqq_seat *seat, uint64_t position, struct hqq_frame *frame,
                       uint64_t kind_flags, const unsigned char *data)
{
	const struct hqq_ring *ring = hqq_link_ring(&a->link, HQQ_CLAIM_WRITE);
	const uint64_t left = frame->total - frame->offset;

	frame->size = left < ring->buffer_size ? left : ring->buffer_size;
	frame->flags = kind_flags | (frame->offset == 0 ? HQQ_FLAG_BEGIN : 0) |
	               (frame->size == left ? HQQ_FLAG_END : 0);
	if (frame->size)
		memcpy(hqq_ring_buffer(ring, position), data + frame->offset, (size_t)frame->size);
	hqq_frame_write(hqq_ring_element(ring, position), frame);
	hqq_link_finish_slot(&a->link, seat, HQQ_CLAIM_WRITE, position);
	hqq_link_fetch_ahead(&a->link, seat, HQQ_CLAIM_WRITE, position, AHEAD, (size_t)frame->size);
	frame->offset += frame->size;
	frame->number = 0; /* travels on the first chunk only */
}

/* Gives claimed slots up. */
static void bury(struct hqq_advanced *a, struct hqq_seat *seat, uint64_t position, unsigned count)
{
	const struct hqq_ring *ring = hqq_link_ring(&a->link, HQQ_CLAIM_WRITE);

	for (; count; count--, position++) {
		hqq_packet_set_standard(hqq_ring_element(ring, position), HQQ_OP_STANDARD_TOMBSTONE,
		                        hqq_link_copy_id(&a->link), hqq_ring_slot(ring, position),
		                        hqq_error_to_code(HQQ_ERR_INVALID_OP));
		hqq_link_finish_slot(&a->link, seat, HQQ_CLAIM_WRITE, position);
	}
}

int hqq_send_message(struct hqq_advanced *a, struct hqq_seat **seat, hqq_context *context, struct hqq_frame *frame,
                     const void *data, uint64_t session)
{
	const size_t buffer_size = a->link.geometry.buffer_size;
	const uint64_t kind_flags = frame->flags;
	bool begun = false;

	frame->offset = 0;
	do {
		uint64_t chunks = (frame->total - frame->offset + buffer_size - 1) / buffer_size, position = 0;
		int rc = hqq_send_claim(a, seat, context,
		                        chunks < 1                  ? 1
		                        : chunks < CHUNKS_PER_CLAIM ? (uint32_t)chunks
		                                                    : CHUNKS_PER_CLAIM,
		                        &position);

		if (rc > 0) {
			const unsigned claimed = (unsigned)rc;

			if (atomic_load_explicit(&a->session, memory_order_relaxed) != session)
				rc = HQQ_ERR_PEER_GONE;
			else if (begun && hqq_send_check_connection(a, frame->key.connection_id,
			                                            frame->key.kind == HQQ_FLAG_RESPONSE))
				rc = HQQ_ERR_CONN_NOT_FOUND;
			if (rc < 0) /* it is for nobody any more */
				bury(a, *seat, position, claimed);
		}
		if (rc < 0) {
			if (begun)
				hqq_send_abort(a, *seat, &frame->key, session);
			return rc;
		}
		for (int i = 0; i < rc; i++)
			send_chunk(a, *seat, position + (unsigned)i, frame, kind_flags, data);
		begun = true;
	} while (frame->offset < frame->total);
	return 0;
}

static bool post(struct hqq_advanced *a, const uint64_t words[HQQ_PACKET_WORDS])
{
	struct hqq_outgoing *packet = a->outgoing_count < OUTGOING_MAX ? malloc(sizeof(*packet)) : NULL;

	if (!packet) {
		hqq_adv_count(a, HQQ_ADV_DROPPED, 1);
		return false;
	}
	packet->next = NULL;
	memcpy(packet->words, words, sizeof(packet->words));
	*a->outgoing_end = packet;
	a->outgoing_end = &packet->next;
	a->outgoing_count++;
	hqq_dispatch_alarm(a); /* unless it can be sent at once, the driver waits for room from now on */
	return true;
}

bool hqq_send_post(struct hqq_advanced *a, enum hqq_opcode opcode, uint64_t word_1, uint64_t word_2, uint64_t word_3)
{
	const uint64_t words[HQQ_PACKET_WORDS] = {opcode, word_1, word_2, word_3};

	return post(a, words);
}

void hqq_send_post_frame(struct hqq_advanced *a, const struct hqq_frame *frame)
{
	const uint64_t words[HQQ_PACKET_WORDS] = {
		HQQ_OP_CONN_COPY, frame->key.connection_id, frame->key.message_id, frame->total,
		frame->offset,    frame->size,              frame->flags,          frame->number,
	};

	post(a, words);
}

bool hqq_send_flush(struct hqq_advanced *a, struct hqq_seat *seat)
{
	const struct hqq_ring *ring = hqq_link_ring(&a->link, HQQ_CLAIM_WRITE);

	while (a->outgoing) {
		struct hqq_outgoing *packet = a->outgoing;
		struct hqq_element *element;
		uint64_t position = 0;

		if (!hqq_ring_claim(ring, seat->lane, HQQ_CLAIM_WRITE, false, &position)) {
			hqq_dispatch_rely_on_thread(a);
			return false;
		}
		element = hqq_ring_element(ring, position);
		for (unsigned word = 0; word < HQQ_PACKET_WORDS; word++)
			hqq_packet_set(element, word, packet->words[word]);
		hqq_link_finish_slot(&a->link, seat, HQQ_CLAIM_WRITE, position);
		a->outgoing = packet->next;
		if (!a->outgoing)
			a->outgoing_end = &a->outgoing;
		a->outgoing_count--;
		free(packet);
	}
	return true;
}

void hqq_send_abort(struct hqq_advanced *a, struct hqq_seat *seat, const struct hqq_key *key, uint64_t session)
{
	const struct hqq_frame frame = {.key = *key, .flags = key->kind | HQQ_FLAG_ABORT};

	hqq_adv_lock(a);
	if (atomic_load_explicit(&a->session, memory_order_relaxed) == session) { /* whose ids these are */
		hqq_send_post_frame(a, &frame);
		hqq_send_flush(a, seat);
	}
	hqq_adv_unlock(a);
}

void hqq_send_free(struct hqq_advanced *a)
{
	while (a->outgoing) {
		struct hqq_outgoing *packet = a->outgoing;

		a->outgoing = packet->next;
		free(packet);
	}
	a->outgoing_end = &a->outgoing;
	a->outgoing_count = 0;
}

int hqq_advanced_send_large(hqq_advanced *a, hqq_context *context, uint64_t connection_id, const void *data,
                            size_t length, uint64_t *message_id)
{
	struct hqq_frame frame = {.key.connection_id = connection_id, .total = length};
	struct hqq_seat *seat = NULL;
	int rc = hqq_adv_enter(a, context, &seat, HQQ_FEATURE_LARGE_COPY);
	uint64_t session;

	if (rc)
		return rc;
	session = atomic_load_explicit(&a->session, memory_order_relaxed);
	if (!data && length)
		rc = HQQ_ERR_INVALID_OP;
	else if (length > a->max_message_size)
		rc = HQQ_ERR_BUFFER_OVERFLOW;
	else
		rc = hqq_send_check_connection(a, connection_id, false);
	if (rc == 0) {
		frame.key.message_id = hqq_adv_message_id(a);
		rc = hqq_send_message(a, &seat, context, &frame, data, session);
	}
	if (rc == 0) {
		hqq_adv_count(a, HQQ_ADV_LARGE_SENT, 1);
		hqq_adv_count(a, HQQ_ADV_LARGE_SENT_BYTES, length);
	}
	hqq_link_leave(seat);
	if (rc == 0 && message_id)
		*message_id = frame.key.message_id;
	return rc;
}

int hqq_send_check_connection(struct hqq_advanced *a, uint64_t connection_id, bool for_answer)
{
	bool closed;

	if (!connection_id)
		return 0;
	hqq_adv_lock(a);
	closed = hqq_connection_is_closed(a, connection_id, for_answer);
	hqq_adv_unlock(a);
	return closed ? HQQ_ERR_CONN_NOT_FOUND : 0;
}
