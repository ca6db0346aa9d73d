/*
 * advanced/frame.c - CONN_COPY packets
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/frame.h"

enum {
	WORD_CONNECTION = 1,
	WORD_MESSAGE,
	WORD_TOTAL,
	WORD_OFFSET,
	WORD_SIZE,
	WORD_FLAGS,
	WORD_NUMBER
};

#define KNOWN_FLAGS \
	(HQQ_FLAG_BEGIN | HQQ_FLAG_END | HQQ_FLAG_ABORT | HQQ_FLAG_REQUEST | HQQ_FLAG_RESPONSE | HQQ_FLAG_ERROR)

void hqq_frame_read(struct hqq_frame *frame, const struct hqq_element *element)
{
	frame->key.connection_id = hqq_packet_get(element, WORD_CONNECTION);
	frame->key.message_id = hqq_packet_get(element, WORD_MESSAGE);
	frame->total = hqq_packet_get(element, WORD_TOTAL);
	frame->offset = hqq_packet_get(element, WORD_OFFSET);
	frame->size = hqq_packet_get(element, WORD_SIZE);
	frame->flags = hqq_packet_get(element, WORD_FLAGS);
	frame->number = hqq_packet_get(element, WORD_NUMBER);
	frame->key.kind = frame->flags & HQQ_KIND_FLAGS;
}

void hqq_frame_write(struct hqq_element *element, const struct hqq_frame *frame)
{
	hqq_packet_set(element, HQQ_WORD_OPCODE, HQQ_OP_CONN_COPY);
	hqq_packet_set(element, WORD_CONNECTION, frame->key.connection_id);
	hqq_packet_set(element, WORD_MESSAGE, frame->key.message_id);
	hqq_packet_set(element, WORD_TOTAL, frame->total);
	hqq_packet_set(element, WORD_OFFSET, frame->offset);
	hqq_packet_set(element, WORD_SIZE, frame->size);
	hqq_packet_set(element, WORD_FLAGS, frame->flags);
	hqq_packet_set(element, WORD_NUMBER, frame->number);
}

bool hqq_frame_is_sound(const struct hqq_frame *frame, size_t buffer_size)
{
	const uint64_t flags = frame->flags;
	const bool begins = flags & HQQ_FLAG_BEGIN, ends = flags & HQQ_FLAG_END;

	if ((flags & ~KNOWN_FLAGS) || (flags & HQQ_KIND_FLAGS) == HQQ_KIND_FLAGS ||
	    ((flags & HQQ_FLAG_ERROR) && !(flags & HQQ_FLAG_RESPONSE)) || frame->key.message_id == 0)
		return false;
	if (flags & HQQ_FLAG_ABORT)
		return frame->total == 0 && frame->offset == 0 && frame->size == 0;
	if (frame->size > buffer_size || frame->offset > frame->total || frame->size > frame->total - frame->offset)
		return false;
	if (frame->total == 0)
		return begins && ends; /* offset and size are 0 by the line above */
	if (frame->size == 0 || begins != (frame->offset == 0))
		return false;
	if (!begins && frame->number)
		return false;
	return ends == (frame->offset + frame->size == frame->total);
}
