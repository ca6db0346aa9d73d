/*
 * advanced/assembly.h - from chunks to messages
 *
 * Used by whoever dispatches, one thread at a time. Owes its callers: memory for a message grows
 * with the bytes that arrived, never with what its first chunk claims; all unfinished messages
 * together stay within the budget; what is wrong with one of them costs that one alone.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_ADVANCED_ASSEMBLY_H
#define HQQ_LIB_ADVANCED_ASSEMBLY_H

#include "advanced/table.h"
#include "ring.h"

#define HQQ_PARTIALS_MAX 2048 /* unfinished messages at once */

enum hqq_partial_state {
	HQQ_PARTIAL_KEPT,     /* assembled in memory */
	HQQ_PARTIAL_STREAMED, /* handed to a stream's owner chunk by chunk */
	HQQ_PARTIAL_DISCARDED /* given up; the rest of it is swallowed */
};

struct hqq_partial {
	struct hqq_node node;
	struct hqq_frame first; /* its first frame */
	uint64_t received;
	unsigned char *bytes;
	size_t capacity;
	enum hqq_partial_state state;
};

struct hqq_assembly {
	struct hqq_table table;
	const struct hqq_ring *ring; /* whose buffers the frames lie in */
	uint64_t bytes;  /* capacities of all partials */
	uint64_t budget; /* what they may come to */
	uint64_t max_message_size;
};

/* What became of a frame. */
enum hqq_assembled {
	HQQ_ASSEMBLED_PART,    /* one more piece, or one of a message given up: nothing to do */
	HQQ_ASSEMBLED_WHOLE,   /* *partial is complete and taken out of the table */
	HQQ_ASSEMBLED_STREAM,  /* a piece of a streamed message, *partial; see hqq_assembly_advance() */
	HQQ_ASSEMBLED_ABORTED, /* the sender gave up *partial, which is taken out of the table */
	HQQ_ASSEMBLED_STRAY,   /* an abort of no message that is known */
	HQQ_ASSEMBLED_REFUSED, /* it breaks the protocol; the message is given up, its rest swallowed */
	HQQ_ASSEMBLED_DROPPED  /* no memory or no room for the message; likewise */
};

/* Of frames whose bytes lie in the buffers of this ring. */
void hqq_assembly_init(struct hqq_assembly *assembly, const struct hqq_ring *ring, uint64_t max_message_size,
                       uint64_t budget);

/*
 * Takes a sound frame with its bytes. as_stream: a data message that begins here goes to a stream
 * and may be of any size. A *partial that was taken out belongs to the caller: hqq_partial_free().
 */
enum hqq_assembled hqq_assembly_add(struct hqq_assembly *assembly, const struct hqq_frame *frame, void *data,
                                    bool as_stream, struct hqq_partial **partial);

/* Gives a message up: what comes of it until its END, an ABORT or a new BEGIN is swallowed. */
void hqq_assembly_discard(struct hqq_assembly *assembly, struct hqq_partial *partial);

/* Begins a message that is given up from the start, so that its rest is swallowed. */
void hqq_assembly_reject(struct hqq_assembly *assembly, const struct hqq_frame *frame);

struct hqq_partial *hqq_assembly_find(struct hqq_assembly *assembly, const struct hqq_key *key);

/* Counts a chunk of a streamed message as handed over; true when that was the last. */
bool hqq_assembly_advance(struct hqq_partial *partial, const struct hqq_frame *frame);

void hqq_assembly_remove(struct hqq_assembly *assembly, struct hqq_partial *partial);
void hqq_partial_free(struct hqq_partial *partial);

/* Drops all, or those of one connection. */
void hqq_assembly_clear(struct hqq_assembly *assembly);
void hqq_assembly_drop_connection(struct hqq_assembly *assembly, uint64_t connection_id);

#endif /* HQQ_LIB_ADVANCED_ASSEMBLY_H */
