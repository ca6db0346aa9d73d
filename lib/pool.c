/*
 * pool.c - a list of nodes that only grows
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pool.h"
#include <stdlib.h>
#include <string.h>

struct hqq_pool_node {
	struct hqq_pool_node *next; /* constant once the node is listed */
	_Atomic uint32_t taken;
	_Alignas(2 * HQQ_CACHE_LINE) unsigned char object[];
};

static struct hqq_pool_node *take_listed(struct hqq_pool *pool)
{
	/* acquire pairs with the release in take_new(): next is set */
	struct hqq_pool_node *node = atomic_load_explicit(&pool->nodes, memory_order_acquire);

	for (; node; node = node->next) {
		/* acquire pairs with the release in hqq_pool_give(): the object as it was left */
		if (!atomic_load_explicit(&node->taken, memory_order_relaxed) &&
		    !atomic_exchange_explicit(&node->taken, 1, memory_order_acquire))
			return node;
	}
	return NULL;
}

static struct hqq_pool_node *take_new(struct hqq_pool *pool)
{
	const size_t alignment = _Alignof(struct hqq_pool_node);
	const size_t size = (sizeof(struct hqq_pool_node) + pool->object_size + alignment - 1) & ~(alignment - 1);
	struct hqq_pool_node *node = aligned_alloc(alignment, size);

	if (!node)
		return NULL;
	memset(node, 0, size);
	atomic_store_explicit(&node->taken, 1, memory_order_relaxed);
	node->next = atomic_load_explicit(&pool->nodes, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&pool->nodes, &node->next, node, memory_order_release,
	                                              memory_order_relaxed))
		;
	return node;
}

void *hqq_pool_take(struct hqq_pool *pool)
{
	struct hqq_pool_node *node = take_listed(pool);

	if (!node)
		node = take_new(pool);
	return node ? node->object : NULL;
}

void hqq_pool_give(void *object)
{
	struct hqq_pool_node *node =
		(struct hqq_pool_node *)(void *)((unsigned char *)object - offsetof(struct hqq_pool_node, object));

	atomic_store_explicit(&node->taken, 0, memory_order_release);
}
