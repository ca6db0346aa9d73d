/*
 * advanced/inbox.c - messages that wait for the program to take them
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/inbox.h"
#include <stdlib.h>
#include <string.h>

#define SPARES_MAX 64

void hqq_inbox_init(struct hqq_inbox *inbox, size_t limit, uint64_t overflow_limit)
{
	memset(inbox, 0, sizeof(*inbox));
	inbox->limit = limit;
	inbox->overflow_limit = overflow_limit;
	for (int kind = 0; kind < HQQ_INBOX_KINDS; kind++)
		inbox->queues[kind].end = &inbox->queues[kind].first;
}

static struct hqq_inbox_item *new_item(struct hqq_inbox *inbox)
{
	struct hqq_inbox_item *item = inbox->spare;

	if (!item)
		return malloc(sizeof(*item));
	inbox->spare = item->next;
	inbox->spares--;
	return item;
}

static void give_back(struct hqq_inbox *inbox, struct hqq_inbox_item *item)
{
	if (inbox->spares == SPARES_MAX) {
		free(item);
		return;
	}
	item->next = inbox->spare;
	inbox->spare = item;
	inbox->spares++;
}

bool hqq_inbox_put(struct hqq_inbox *inbox, enum hqq_inbox_kind kind, const struct hqq_message *message)
{
	struct hqq_inbox_queue *queue = &inbox->queues[kind];
	const bool over = hqq_inbox_is_full(inbox, kind);
	/* an empty message takes memory, too */
	const uint64_t cost = message->payload_size + sizeof(struct hqq_inbox_item);
	struct hqq_inbox_item *item;

	if (over && cost > inbox->overflow_limit - inbox->bytes)
		return false;
	item = new_item(inbox);
	if (!item)
		return false;
	item->next = NULL;
	item->order = inbox->order++;
	item->message = *message;
	item->message.opaque[HQQ_MESSAGE_COST] = over ? cost : 0; /* what to give back when it is taken */
	item->offset = 0;
	*queue->end = item;
	queue->end = &item->next;
	queue->count++;
	if (over)
		inbox->bytes += cost;
	return true;
}

/* Unlinks the item at this place of a queue and gives it back; its message goes to the caller. */
static void pop(struct hqq_inbox *inbox, enum hqq_inbox_kind kind, struct hqq_inbox_item **link,
                struct hqq_message *message)
{
	struct hqq_inbox_queue *queue = &inbox->queues[kind];
	struct hqq_inbox_item *item = *link;

	*link = item->next;
	if (!*link)
		queue->end = link;
	queue->count--;
	inbox->bytes -= item->message.opaque[HQQ_MESSAGE_COST];
	*message = item->message;
	message->opaque[HQQ_MESSAGE_COST] = 0;
	give_back(inbox, item);
}

bool hqq_inbox_take(struct hqq_inbox *inbox, enum hqq_inbox_kind kind, struct hqq_message *message)
{
	if (hqq_inbox_is_empty(inbox, kind))
		return false;
	pop(inbox, kind, &inbox->queues[kind].first, message);
	return true;
}

bool hqq_inbox_take_any(struct hqq_inbox *inbox, struct hqq_message *message)
{
	const struct hqq_inbox_item *request = inbox->queues[HQQ_INBOX_REQUESTS].first;
	const struct hqq_inbox_item *other = inbox->queues[HQQ_INBOX_MESSAGES].first;

	return hqq_inbox_take(inbox,
	                      request && (!other || request->order < other->order) ? HQQ_INBOX_REQUESTS
	                                                                           : HQQ_INBOX_MESSAGES,
	                      message);
}

/* Where the oldest data message hangs, or the end of the queue. */
static struct hqq_inbox_item *const *find_data(const struct hqq_inbox *inbox)
{
	struct hqq_inbox_item *const *link = &inbox->queues[HQQ_INBOX_MESSAGES].first;

	while (*link && !hqq_message_is_data(&(*link)->message))
		link = &(*link)->next;
	return link;
}

bool hqq_inbox_has_data(const struct hqq_inbox *inbox)
{
	return *find_data(inbox) != NULL;
}

bool hqq_inbox_take_data(struct hqq_inbox *inbox, struct hqq_message *message)
{
	struct hqq_inbox_item **link = (struct hqq_inbox_item **)find_data(inbox);

	if (!*link)
		return false;
	pop(inbox, HQQ_INBOX_MESSAGES, link, message);
	return true;
}

size_t hqq_inbox_read(struct hqq_inbox *inbox, void *buffer, size_t length)
{
	struct hqq_inbox_item *item = inbox->queues[HQQ_INBOX_STANDARD].first;
	size_t left;

	if (!item)
		return 0;
	left = item->message.payload_size - item->offset;
	if (length > left)
		length = left;
	memcpy(buffer, (const unsigned char *)item->message.payload + item->offset, length);
	item->offset += length;
	if (item->offset == item->message.payload_size) {
		struct hqq_message message;

		pop(inbox, HQQ_INBOX_STANDARD, &inbox->queues[HQQ_INBOX_STANDARD].first, &message);
		hqq_message_clear(&message);
	}
	return length;
}

void hqq_inbox_clear(struct hqq_inbox *inbox)
{
	for (int kind = 0; kind < HQQ_INBOX_KINDS; kind++) {
		struct hqq_message message;

		while (hqq_inbox_take(inbox, (enum hqq_inbox_kind)kind, &message))
			hqq_message_clear(&message);
	}
	while (inbox->spare)
		free(new_item(inbox));
}
