/*
 * advanced/assembly.c - from chunks to messages
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/assembly.h"
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY (256 * 1024) /* bytes, unless the message is shorter */

void hqq_assembly_init(struct hqq_assembly *assembly, uint64_t max_message_size, uint64_t budget)
{
	memset(assembly, 0, sizeof(*assembly));
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
	capacity = capacity ? capacity * 2 : FIRST_CAPACITY;
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

static enum hqq_assembled end_with(struct hqq_assembly *assembly, struct hqq_partial *partial,
                                   enum hqq_assembled result)
{
	if (partial)
		hqq_assembly_remove(assembly, partial);
	return result;
}

static enum hqq_assembled add_to(struct hqq_assembly *assembly, struct hqq_partial *partial,
                                 const struct hqq_frame *frame, const void *data)
{
	switch (partial->state) {
	case HQQ_PARTIAL_STREAMED:
		return HQQ_ASSEMBLED_STREAM;
	case HQQ_PARTIAL_DISCARDED:
		if (!hqq_assembly_advance(partial, frame))
			return HQQ_ASSEMBLED_PART;
		hqq_assembly_remove(assembly, partial);
		hqq_partial_free(partial);
		return HQQ_ASSEMBLED_PART;
	case HQQ_PARTIAL_KEPT:
		break;
	}
	if (!grow(assembly, partial, frame->size))
		return end_with(assembly, partial, HQQ_ASSEMBLED_DROPPED);
	if (frame->size)
		memcpy(partial->bytes + partial->received, data, (size_t)frame->size);
	if (!hqq_assembly_advance(partial, frame))
		return HQQ_ASSEMBLED_PART;
	return end_with(assembly, partial, HQQ_ASSEMBLED_WHOLE);
}

enum hqq_assembled hqq_assembly_add(struct hqq_assembly *assembly, const struct hqq_frame *frame, const void *data,
                                    bool as_stream, struct hqq_partial **partial)
{
	*partial = hqq_assembly_find(assembly, &frame->key);
	if (frame->flags & HQQ_FLAG_ABORT)
		return end_with(assembly, *partial, *partial ? HQQ_ASSEMBLED_ABORTED : HQQ_ASSEMBLED_REFUSED);
	if (frame->flags & HQQ_FLAG_BEGIN) {
		if (*partial) /* begun twice */
			return end_with(assembly, *partial, HQQ_ASSEMBLED_REFUSED);
		if (!as_stream && frame->total > assembly->max_message_size)
			return HQQ_ASSEMBLED_REFUSED;
		*partial = begin(assembly, frame, as_stream);
		if (!*partial)
			return HQQ_ASSEMBLED_DROPPED;
	} else if (!*partial || !continues(*partial, frame)) {
		return end_with(assembly, *partial, HQQ_ASSEMBLED_REFUSED);
	}
	return add_to(assembly, *partial, frame, data);
}
