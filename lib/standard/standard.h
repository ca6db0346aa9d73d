/*
 * standard/standard.h - what the units of the Standard link share
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_STANDARD_H
#define HQQ_LIB_STANDARD_H

#include "event.h"
#include "link.h"
#include <hqq/standard.h>
#include <pthread.h>

/* The part of a message that a short read left; bytes beyond the lock are its own. */
struct hqq_tail {
	pthread_mutex_t lock;    /* held for copying, never while waiting */
	_Atomic size_t length;   /* bytes left; changed under the lock only */
	size_t offset;
	unsigned char *bytes;    /* room for one buffer */
};

struct hqq_standard {
	struct hqq_link link; /* first: a pooled handle is found by either address */
	_Atomic uint64_t read_deadline;
	_Atomic uint64_t write_deadline;
	struct hqq_tail tail;
	hqq_event_slot event;
};

/* The link of a caller's handle; NULL stays NULL, which entering refuses. */
static inline struct hqq_link *hqq_standard_link(hqq_standard *handle)
{
	return handle ? &handle->link : NULL;
}

/* tail.c */
int hqq_tail_init(struct hqq_tail *tail, size_t room);
void hqq_tail_destroy(struct hqq_tail *tail);

static inline bool hqq_tail_is_empty(const struct hqq_tail *tail)
{
	/* acquire pairs with the release in hqq_tail_keep(): bytes and offset */
	return atomic_load_explicit(&tail->length, memory_order_acquire) == 0;
}

/* Takes up to length bytes of the tail; 0 when there is none. Takes the lock. */
size_t hqq_tail_take(struct hqq_tail *tail, void *buffer, size_t length);

/* Keeps the rest of a message; the tail is empty and the lock held. */
void hqq_tail_keep(struct hqq_tail *tail, const void *rest, size_t length);

/* copy.c: reads into a buffer inside a call; see hqq_standard_read() */
ssize_t hqq_standard_read_seated(hqq_standard *handle, struct hqq_seat **seat, void *buffer, size_t length);

#endif /* HQQ_LIB_STANDARD_H */
