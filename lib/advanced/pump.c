/*
 * advanced/pump.c - takes one frame out of the ring and hands it on
 *
 * For the thread that drives (dispatch.c). Whether the next frame may be taken is decided before it is
 * claimed, since it stays in the ring if not, and its sender waits.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/advanced.h"

/* The first chunk of a data message that is too large to be assembled. */
static bool is_oversize(const struct hqq_advanced *a, const struct hqq_frame *frame)
{
	return !frame->key.kind && (frame->flags & HQQ_FLAG_BEGIN) && frame->total > a->max_message_size;
}

/* Nobody waits for frames, and the queue that the next one goes to is full. Under the lock. */
static bool is_held_back(const struct hqq_advanced *a, unsigned opcode, const struct hqq_frame *frame)
{
	if (a->wanted || a->calls.count)
		return false;
	if (opcode == HQQ_OP_STANDARD_COPY)
		return hqq_inbox_is_full(&a->inbox, HQQ_INBOX_STANDARD);
	if (opcode != HQQ_OP_CONN_COPY || frame->key.kind == HQQ_FLAG_RESPONSE)
		return false;
	if (is_oversize(a, frame)) /* only a stream can take it, and one may be asked for yet */
		return !a->stream;
	return hqq_inbox_is_full(&a->inbox, frame->key.kind ? HQQ_INBOX_REQUESTS : HQQ_INBOX_MESSAGES);
}

/* Does what others asked of the assembly, which only the dispatcher touches. Under the lock. */
static void tidy_assembly(struct hqq_advanced *a)
{
	if (!a->assembly_is_stale && !a->has_discard)
		return;
	if (a->assembly_is_stale)
		hqq_assembly_clear(&a->assembly);
	if (a->has_discard) {
		struct hqq_partial *partial = hqq_assembly_find(&a->assembly, &a->discard);

		if (partial)
			hqq_assembly_discard(&a->assembly, partial);
	}
	a->assembly_is_stale = a->has_discard = false;
	hqq_dispatch_note(a);
}

/* May this thread take the next frame? Looked at before it is claimed; we are the only reader. */
static enum hqq_pumped look_ahead(struct hqq_advanced *a, const struct hqq_waiter *self, unsigned opcode,
                                  const struct hqq_frame *frame)
{
	const bool is_copy = opcode == HQQ_OP_CONN_COPY;
	enum hqq_pumped result = HQQ_PUMP_TOOK;

	/* relaxed: what it may miss was done by a thread that comes to the lock after us */
	if (HQQ_LIKELY(!atomic_load_explicit(&a->careful, memory_order_relaxed) &&
	               !(is_copy && is_oversize(a, frame))))
		return HQQ_PUMP_TOOK;
	hqq_adv_lock(a);
	tidy_assembly(a);
	if (is_held_back(a, opcode, frame)) {
		result = HQQ_PUMP_HELD;
	} else if (is_copy && a->stream && a->stream->owner != self && hqq_deliver_is_for_stream(a, frame)) {
		a->preferred = a->stream->owner;
		result = HQQ_PUMP_FOREIGN;
	}
	hqq_adv_unlock(a);
	return result;
}

/* Hands on a control packet. */
static void control(struct hqq_advanced *a, unsigned opcode, const uint64_t words[4], uint64_t position)
{
	hqq_adv_lock(a);
	if ((int64_t)(position - a->first_position) < 0 && (opcode == HQQ_OP_PROTO_ACK || opcode == HQQ_OP_ERROR))
		opcode = HQQ_OP_STANDARD_TOMBSTONE;
	switch (opcode) {
	case HQQ_OP_ERROR:
		if (words[1] == 0)
			hqq_negotiate_refused(a);
		else
			hqq_connection_failed(a, words[1], words[2]);
		break;
	case HQQ_OP_CONN_CREATE:
		hqq_connection_created(a, words[1]);
		break;
	case HQQ_OP_CONN_ACCEPT:
		hqq_connection_accepted(a, words[1]);
		break;
	case HQQ_OP_CONN_CLOSE:
		hqq_connection_closed(a, words[1]);
		break;
	case HQQ_OP_PROTO_NEGOTIATE:
		hqq_negotiate_asked(a, words[1], words[2], words[3]);
		break;
	case HQQ_OP_PROTO_ACK:
		hqq_negotiate_answered(a, words[1], words[2], words[3]);
		break;
	case HQQ_OP_STANDARD_TOMBSTONE:
		break;
	default:
		hqq_adv_count(a, HQQ_ADV_REFUSED, 1);
	}
	hqq_adv_unlock(a);
}

enum hqq_pumped hqq_pump_one(struct hqq_advanced *a, struct hqq_seat **seat, const struct hqq_waiter *self)
{
	const struct hqq_ring *ring = hqq_link_ring(&a->link, HQQ_CLAIM_READ);
	uint64_t position = atomic_load_explicit(ring->read_cursor, memory_order_relaxed), words[4];
	const struct hqq_element *element = hqq_ring_element(ring, position);
	struct hqq_frame frame;
	enum hqq_pumped ahead;

	if (!hqq_ring_is_turn(ring, HQQ_CLAIM_READ, position))
		return HQQ_PUMP_EMPTY;
	/* read once: what is decided on is what is delivered, whatever the peer does meanwhile */
	for (unsigned word = 0; word < 4; word++)
		words[word] = hqq_packet_get(element, word);
	words[0] &= 0xff;
	if (words[0] == HQQ_OP_CONN_COPY)
		hqq_frame_read(&frame, element);
	ahead = look_ahead(a, self, (unsigned)words[0], &frame);
	if (ahead != HQQ_PUMP_TOOK)
		return ahead;
	if (!hqq_ring_claim(ring, (*seat)->lane, HQQ_CLAIM_READ, false, &position))
		return HQQ_PUMP_EMPTY;
	if (words[0] == HQQ_OP_CONN_COPY) {
		hqq_deliver_frame(a, seat, position, &frame, self);
	} else if (words[0] == HQQ_OP_STANDARD_COPY) {
		hqq_deliver_standard(a, hqq_ring_buffer(ring, position), words[HQQ_WORD_SIZE]);
	} else {
		control(a, (unsigned)words[0], words, position);
	}
	hqq_link_finish_slot(&a->link, *seat, HQQ_CLAIM_READ, position);
	return HQQ_PUMP_TOOK;
}

bool hqq_pump_may_take_ahead(struct hqq_advanced *a)
{
	const struct hqq_ring *ring = hqq_link_ring(&a->link, HQQ_CLAIM_READ);
	const uint64_t position = atomic_load_explicit(ring->read_cursor, memory_order_relaxed);
	const struct hqq_element *element = hqq_ring_element(ring, position);
	struct hqq_frame frame;

	if (!hqq_ring_is_turn(ring, HQQ_CLAIM_READ, position) || hqq_packet_opcode(element) != HQQ_OP_CONN_COPY ||
	    atomic_load_explicit(&a->careful, memory_order_relaxed))
		return false;
	hqq_frame_read(&frame, element);
	return frame.key.kind != 0;
}

bool hqq_pump_is_held(struct hqq_advanced *a)
{
	const struct hqq_ring *ring = hqq_link_ring(&a->link, HQQ_CLAIM_READ);
	const uint64_t position = atomic_load_explicit(ring->read_cursor, memory_order_relaxed);
	const struct hqq_element *element = hqq_ring_element(ring, position);
	struct hqq_frame frame;

	if (!hqq_ring_is_turn(ring, HQQ_CLAIM_READ, position))
		return false;
	hqq_frame_read(&frame, element); /* whatever it is */
	return is_held_back(a, hqq_packet_opcode(element), &frame);
}
