/*
 * advanced/frame.h - CONN_COPY packets: encoded, decoded and checked
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_ADVANCED_FRAME_H
#define HQQ_LIB_ADVANCED_FRAME_H

#include "packet.h"
#include <hqq/advanced.h>

/* Which message a frame belongs to. */
struct hqq_key {
	uint64_t connection_id;
	uint64_t message_id;
	uint64_t kind; /* HQQ_FLAG_REQUEST, HQQ_FLAG_RESPONSE or 0 for data */
};

#define HQQ_KIND_FLAGS (HQQ_FLAG_REQUEST | HQQ_FLAG_RESPONSE)

struct hqq_frame {
	struct hqq_key key;
	uint64_t total;
	uint64_t offset;
	uint64_t size;
	uint64_t flags;
	uint64_t number; /* method id or status */
};

static inline bool hqq_key_equal(const struct hqq_key *a, const struct hqq_key *b)
{
	return a->connection_id == b->connection_id && a->message_id == b->message_id && a->kind == b->kind;
}

/* Reads each word once. */
void hqq_frame_read(struct hqq_frame *frame, const struct hqq_element *element);
void hqq_frame_write(struct hqq_element *element, const struct hqq_frame *frame);

/*
 * Everything that can be said of a frame without knowing the earlier ones of its message. false:
 * refused.
 */
bool hqq_frame_is_sound(const struct hqq_frame *frame, size_t buffer_size);

static inline bool hqq_frame_is_whole(const struct hqq_frame *frame)
{
	return (frame->flags & (HQQ_FLAG_BEGIN | HQQ_FLAG_END | HQQ_FLAG_ABORT)) == (HQQ_FLAG_BEGIN | HQQ_FLAG_END);
}

#endif /* HQQ_LIB_ADVANCED_FRAME_H */
