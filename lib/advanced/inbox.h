/*
 * advanced/inbox.h - messages that wait for the program to take them
 *
 * Three queues: requests (for receive and serve), other messages (for receive) and Standard
 * payloads (for read). Each holds a number of messages; while somebody waits for what may lie
 * behind a full queue, more are taken in, up to a number of bytes. All under the link's lock.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_ADVANCED_INBOX_H
#define HQQ_LIB_ADVANCED_INBOX_H

#include <hqq/advanced.h>

/* What the library keeps in the opaque words of a received message. */
enum {
	HQQ_MESSAGE_COST,    /* in the inbox: see inbox.c */
	HQQ_MESSAGE_SESSION  /* of a request: the session it came in, plus one */
};

enum hqq_inbox_kind {
	HQQ_INBOX_REQUESTS,
	HQQ_INBOX_MESSAGES,
	HQQ_INBOX_STANDARD,
	HQQ_INBOX_KINDS
};

struct hqq_inbox_item {
	struct hqq_inbox_item *next;
	uint64_t order; /* of arrival, over all queues */
	struct hqq_message message;
	size_t offset;  /* of a Standard payload: what was read of it */
};

struct hqq_inbox_queue {
	struct hqq_inbox_item *first, **end;
	size_t count;
};

struct hqq_inbox {
	struct hqq_inbox_queue queues[HQQ_INBOX_KINDS];
	size_t limit;            /* messages per queue */
	uint64_t bytes;          /* payloads of all queues that are over their limit */
	uint64_t overflow_limit; /* what that may come to */
	uint64_t order;
	struct hqq_inbox_item *spare; /* items to be used again */
	unsigned spares;
};

void hqq_inbox_init(struct hqq_inbox *inbox, size_t limit, uint64_t overflow_limit);
void hqq_inbox_clear(struct hqq_inbox *inbox);

static inline bool hqq_inbox_is_full(const struct hqq_inbox *inbox, enum hqq_inbox_kind kind)
{
	return inbox->queues[kind].count >= inbox->limit;
}

static inline bool hqq_inbox_is_empty(const struct hqq_inbox *inbox, enum hqq_inbox_kind kind)
{
	return !inbox->queues[kind].first;
}

/* Takes the message over, payload and all; false, and nothing is taken, for want of room or memory. */
bool hqq_inbox_put(struct hqq_inbox *inbox, enum hqq_inbox_kind kind, const struct hqq_message *message);

/* Hands the oldest message of a queue to the caller; false when there is none. */
bool hqq_inbox_take(struct hqq_inbox *inbox, enum hqq_inbox_kind kind, struct hqq_message *message);

/* The oldest of requests and other messages. */
bool hqq_inbox_take_any(struct hqq_inbox *inbox, struct hqq_message *message);

/* The oldest data message among the others. */
bool hqq_inbox_has_data(const struct hqq_inbox *inbox);
bool hqq_inbox_take_data(struct hqq_inbox *inbox, struct hqq_message *message);

/* Reads of the oldest Standard payload; 0 when there is none. */
size_t hqq_inbox_read(struct hqq_inbox *inbox, void *buffer, size_t length);

#endif /* HQQ_LIB_ADVANCED_INBOX_H */
