/*
 * advanced/table.h - things found by their key: unfinished messages, calls, connections
 *
 * A hash table of nodes that live inside the things themselves; it allocates nothing. Not
 * thread-safe.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_ADVANCED_TABLE_H
#define HQQ_LIB_ADVANCED_TABLE_H

#include "advanced/frame.h"

#define HQQ_TABLE_BUCKETS 256

struct hqq_node { /* the first member of a thing */
	struct hqq_node *next;
	struct hqq_key key;
};

struct hqq_table {
	struct hqq_node *buckets[HQQ_TABLE_BUCKETS];
	unsigned count;
};

static inline struct hqq_node **hqq_table_bucket(struct hqq_table *table, const struct hqq_key *key)
{
	/* multiplicative hashing; the odd constant is 2^64 over the golden ratio */
	uint64_t mixed = key->message_id * 4 + key->kind / HQQ_FLAG_REQUEST + (key->connection_id << 32);

	return &table->buckets[(mixed * UINT64_C(0x9e3779b97f4a7c15) >> 56) % HQQ_TABLE_BUCKETS];
}

static inline struct hqq_node *hqq_table_find(struct hqq_table *table, const struct hqq_key *key)
{
	struct hqq_node *node = *hqq_table_bucket(table, key);

	while (node && !hqq_key_equal(&node->key, key))
		node = node->next;
	return node;
}

static inline void hqq_table_insert(struct hqq_table *table, struct hqq_node *node)
{
	struct hqq_node **bucket = hqq_table_bucket(table, &node->key);

	node->next = *bucket;
	*bucket = node;
	table->count++;
}

/* The node must be in the table. */
static inline void hqq_table_remove(struct hqq_table *table, struct hqq_node *node)
{
	struct hqq_node **link = hqq_table_bucket(table, &node->key);

	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
	table->count--;
}

/* Any node from bucket *index on, for walks: advances *index; NULL at the end. */
static inline struct hqq_node *hqq_table_first(const struct hqq_table *table, unsigned *index)
{
	for (; *index < HQQ_TABLE_BUCKETS; (*index)++) {
		if (table->buckets[*index])
			return table->buckets[*index];
	}
	return NULL;
}

#endif /* HQQ_LIB_ADVANCED_TABLE_H */
