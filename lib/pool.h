/*
 * pool.h - memory for handles that stays theirs for good
 *
 * A handle's memory is never freed nor used for anything else, so a call on a handle that was
 * closed finds a shut gate there instead of somebody else's bytes. It is used again for the next
 * handle of the kind: a process keeps as much as it ever had open at once.
 *
 * Lock-free, so that a child of fork() can use it whatever other threads were doing.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_POOL_H
#define HQQ_LIB_POOL_H

#include "atomics.h"
#include <stddef.h>

struct hqq_pool_node;

struct hqq_pool {
	size_t object_size;
	struct hqq_pool_node *_Atomic nodes;
};

/* An object, all zero when its memory is new and as it was given back when it is not; NULL without memory. */
void *hqq_pool_take(struct hqq_pool *pool);
void hqq_pool_give(void *object);

#endif /* HQQ_LIB_POOL_H */
