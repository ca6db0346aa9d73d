/*
 * standard/tail.c - what a short read left of a message
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "standard/standard.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int hqq_tail_init(struct hqq_tail *tail, size_t room)
{
	/* all of it now, so that no read allocates; untouched pages cost nothing */
	tail->bytes = malloc(room);
	if (!tail->bytes)
		return -ENOMEM;
	pthread_mutex_init(&tail->lock, NULL);
	tail->offset = 0;
	atomic_store_explicit(&tail->length, 0, memory_order_relaxed);
	return 0;
}

void hqq_tail_destroy(struct hqq_tail *tail)
{
	pthread_mutex_destroy(&tail->lock);
	free(tail->bytes);
	tail->bytes = NULL;
	atomic_store_explicit(&tail->length, 0, memory_order_relaxed);
}

size_t hqq_tail_take(struct hqq_tail *tail, void *buffer, size_t length)
{
	size_t n;

	pthread_mutex_lock(&tail->lock);
	n = atomic_load_explicit(&tail->length, memory_order_relaxed);
	if (n > length) {
		atomic_store_explicit(&tail->length, n - length, memory_order_release);
		n = length;
	} else {
		atomic_store_explicit(&tail->length, 0, memory_order_release);
	}
	memcpy(buffer, tail->bytes + tail->offset, n);
	tail->offset += n;
	pthread_mutex_unlock(&tail->lock);
	return n;
}

void hqq_tail_keep(struct hqq_tail *tail, const void *rest, size_t length)
{
	memcpy(tail->bytes, rest, length);
	tail->offset = 0;
	/* release pairs with hqq_tail_is_empty() */
	atomic_store_explicit(&tail->length, length, memory_order_release);
}
