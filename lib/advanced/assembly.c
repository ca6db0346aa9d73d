/*
 * advanced/assembly.c - from chunks to messages
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/assembly.h"
#include <stdlib.h>
#include <string.h>

void hqq_assembly_init(struct hqq_assembly *assembly, const struct hqq_ring *ring, uint64_t max_message_size,
                       uint64_t budget)
{
	memset(assembly, 0, sizeof(*assembly));
	assembly->ring = ring;
	assembly->max_message_size = max_message_size;
	assembly->budget = budget;
}

struct hqq_partial *hqq_assembly_find(struct hqq_assembly *assembly, const struct hqq_key *key)
{
	return (struct hqq_partial *)(void *)hqq_table_find(&assembly->table, key);
}

void hqq_partial_free(struct hqq_partial *partial)
{
	if (partial)
		free(partial->bytes);
	free(partial);
}

void hqq_assembly_remove(struct hqq_assembly *assembly, struct hqq_partial *partial)
{
	hqq_table_remove(&assembly->table, &partial->node);
	assembly->bytes -= partial->capacity;
}

/* Drops those of one connection; NULL: all. */
static void drop(struct hqq_assembly *assembly, const uint64_t *connection_id)
{
	for (unsigned i = 0; i < HQQ_TABLE_BUCKETS; i++) {
		struct hqq_node *next;

		for (struct hqq_node *node = assembly->table.buckets[i]; node; node = next) {
			struct hqq_partial *partial = (struct hqq_partial *)(void *)node;

			next = node->next;
			if (connection_id && node->key.connection_id != *connection_id)
				continue;
			hqq_assembly_remove(assembly, partial);
			hqq_partial_free(partial);
		}
	}
}

void hqq_assembly_clear(struct hqq_assembly *assembly)
{
	drop(assembly, NULL);
}

void hqq_assembly_drop_connection(struct hqq_assembly *assembly, uint64_t connection_id)
{
	drop(assembly, &connection_id);
}

/* Makes room for size more bytes; false when memory or the budget will not have it. */
static bool grow(struct hqq_assembly *assembly, struct hqq_partial *partial, uint64_t size)
{
	uint64_t needed = partial->received + size, capacity = partial->capacity;
	unsigned char *bytes;

	if (needed <= capacity)
		return true;
	capacity *= 2;
	if (capacity < needed)
		capacity = needed;
	if (capacity > partial->first.total)
		capacity = partial->first.total; /* needed is no more than that */
	if (capacity - partial->capacity > assembly->budget - assembly->bytes || capacity > SIZE_MAX)
		return false;
	bytes = realloc(partial->bytes, (size_t)capacity);
	if (!bytes)
		return false;
	assembly->bytes += capacity - partial->capacity;
	partial->bytes = bytes;
	partial->capacity = (size_t)capacity;
	return true;
}

static struct hqq_partial *begin(struct hqq_assembly *assembly, const struct hqq_frame *frame, bool as_stream)
{
	struct hqq_partial *partial;

	if (assembly->table.count == HQQ_PARTIALS_MAX)
		return NULL;
	partial = calloc(1, sizeof(*partial));
	if (!partial)
		return NULL;
	partial->first = *frame;
	partial->state = as_stream ? HQQ_PARTIAL_STREAMED : HQQ_PARTIAL_KEPT;
	partial->node.key = frame->key;
	hqq_table_insert(&assembly->table, &partial->node);
	return partial;
}

/* What a later frame must share with the first, and where it must continue. */
static bool continues(const struct hqq_partial *partial, const struct hqq_frame *frame)
{
	return frame->total == partial->first.total && frame->offset == partial->received;
}

bool hqq_assembly_advance(struct hqq_partial *partial, const struct hqq_frame *frame)
{
	partial->received += frame->size;
	return partial->received == partial->first.total;
}

void hqq_assembly_discard(struct hqq_assembly *assembly, struct hqq_partial *partial)
{
	assembly->bytes -= partial->capacity;
	free(partial->bytes);
	partial->bytes = NULL;
	partial->capacity = 0;
	partial->state = HQQ_PARTIAL_DISCARDED;
}

static enum hqq_assembled swallow(struct hqq_assembly *assembly, struct hqq_partial *partial,
                                  const struct hqq_frame *frame)
{
	if (frame->flags & HQQ_FLAG_END) {
		hqq_assembly_remove(assembly, partial);
		hqq_partial_free(partial);
	}
	return HQQ_ASSEMBLED_PART;
}

/* Gives the message up, at this frame of it. */
static enum hqq_assembled give_up(struct hqq_assembly *assembly, struct hqq_partial *partial,
                                  const struct hqq_frame *frame, enum hqq_assembled result)
{
	hqq_assembly_discard(assembly, partial);
	swallow(assembly, partial, frame);
	return result;
}

void hqq_assembly_reject(struct hqq_assembly *assembly, const struct hqq_frame *frame)
{
	struct hqq_partial *partial = begin(assembly, frame, false);

	if (partial)
		give_up(assembly, partial, frame, HQQ_ASSEMBLED_REFUSED);
}

static enum hqq_assembled add_to(struct hqq_assembly *assembly, struct hqq_partial *partial,
                                 const struct hqq_frame *frame, void *data)
{
	if (partial->state == HQQ_PARTIAL_STREAMED)
		return HQQ_ASSEMBLED_STREAM;
	if (!grow(assembly, partial, frame->size))
		return give_up(assembly, partial, frame, HQQ_ASSEMBLED_DROPPED);
	if (frame->size)
		hqq_ring_take(assembly->ring, partial->bytes + partial->received, data, (size_t)frame->size);
	if (!hqq_assembly_advance(partial, frame))
		return HQQ_ASSEMBLED_PART;
	hqq_assembly_remove(assembly, partial);
	return HQQ_ASSEMBLED_WHOLE;
}

/* A frame that begins a message; an unfinished one of the same key costs both. */
static enum hqq_assembled add_first(struct hqq_assembly *assembly, const struct hqq_frame *frame, void *data,
                                    bool as_stream, struct hqq_partial **partial)
{
	if (*partial && (*partial)->state != HQQ_PARTIAL_DISCARDED)
		return give_up(assembly, *partial, frame, HQQ_ASSEMBLED_REFUSED);
	if (*partial) { /* the rest of that one is not to come any more */
		hqq_assembly_remove(assembly, *partial);
		hqq_partial_free(*partial);
	}
	*partial = begin(assembly, frame, as_stream);
	if (!*partial)
		return HQQ_ASSEMBLED_DROPPED;
	if (!as_stream && frame->total > assembly->max_message_size)
		return give_up(assembly, *partial, frame, HQQ_ASSEMBLED_REFUSED);
	return add_to(assembly, *partial, frame, data);
}

enum hqq_assembled hqq_assembly_add(struct hqq_assembly *assembly, const struct hqq_frame *frame, void *data,
                                    bool as_stream, struct hqq_partial **partial)
{
	*partial = hqq_assembly_find(assembly, &frame->key);
	if (frame->flags & HQQ_FLAG_ABORT) {
		if (*partial)
			hqq_assembly_remove(assembly, *partial);
		return *partial ? HQQ_ASSEMBLED_ABORTED : HQQ_ASSEMBLED_STRAY;
	}
	if (frame->flags & HQQ_FLAG_BEGIN)
		return add_first(assembly, frame, data, as_stream, partial);
	if (!*partial) { /* it never began: remembered, so that this is said once */
		*partial = begin(assembly, frame, false);
		return *partial ? give_up(assembly, *partial, frame, HQQ_ASSEMBLED_REFUSED) : HQQ_ASSEMBLED_DROPPED;
	}
	if ((*partial)->state == HQQ_PARTIAL_DISCARDED)
		return swallow(assembly, *partial, frame);
	if (!continues(*partial, frame))
		return give_up(assembly, *partial, frame, HQQ_ASSEMBLED_REFUSED);
	return add_to(assembly, *partial, frame, data);
}
