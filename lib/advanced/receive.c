/*
 * advanced/receive.c - taking messages, and Standard payloads beside them
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/advanced.h"
#include <string.h>

/* What a thread waits for: something in one of these queues. */
struct wish {
	bool requests, messages, standard;
};

static bool is_granted(struct hqq_advanced *a, void *argument)
{
	const struct wish *wish = argument;

	return (wish->requests && !hqq_inbox_is_empty(&a->inbox, HQQ_INBOX_REQUESTS)) ||
	       (wish->messages && !hqq_inbox_is_empty(&a->inbox, HQQ_INBOX_MESSAGES)) ||
	       (wish->standard && !hqq_inbox_is_empty(&a->inbox, HQQ_INBOX_STANDARD));
}

/*
 * Goes into a call that takes from the inbox, and takes the lock: what arrived before a session ended is
 * still there to be taken after it.
 */
static int enter(struct hqq_advanced *a, hqq_context *context, struct hqq_seat **seat, struct wish *wish)
{
	int rc = hqq_link_enter(a ? &a->link : NULL, seat);
	bool granted;

	if (rc)
		return rc;
	hqq_adv_lock(a);
	/* what the peer sent before it went is still in the ring */
	granted = is_granted(a, wish) ||
	          (hqq_adv_state(a) == HQQ_PROTOCOL_NEGOTIATED &&
	           hqq_ring_is_ready(hqq_link_ring(&a->link, HQQ_CLAIM_READ), HQQ_CLAIM_READ));
	if (granted && !hqq_context_canceled(context))
		return 0;
	hqq_adv_unlock(a);
	hqq_link_leave(*seat);
	*seat = NULL;
	rc = hqq_adv_enter(a, context, seat, 0);
	if (rc == 0)
		hqq_adv_lock(a);
	return rc;
}

/* After something was taken: a full queue may have room again. Under the lock. */
static void note_room(struct hqq_advanced *a)
{
	if (atomic_load_explicit(&a->careful, memory_order_relaxed))
		hqq_dispatch_note(a);
}

/* Under the lock. */
static int receive(struct hqq_advanced *a, struct hqq_seat **seat, hqq_context *context, struct wish *wish,
                   struct hqq_message *message)
{
	struct hqq_waiter waiter = {.is_done = is_granted, .argument = wish};
	int rc = hqq_dispatch_wait(a, seat, context, &waiter);

	if (rc)
		return rc;
	if (wish->messages)
		hqq_inbox_take_any(&a->inbox, message);
	else
		hqq_inbox_take(&a->inbox, HQQ_INBOX_REQUESTS, message);
	note_room(a);
	return 0;
}

int hqq_receive_request(struct hqq_advanced *a, struct hqq_seat **seat, hqq_context *context,
                        struct hqq_message *message)
{
	struct wish wish = {.requests = true};
	int rc;

	hqq_adv_lock(a);
	rc = receive(a, seat, context, &wish, message);
	hqq_adv_unlock(a);
	return rc;
}

int hqq_advanced_receive(hqq_advanced *a, hqq_context *context, struct hqq_message *message)
{
	struct wish wish = {.requests = true, .messages = true};
	struct hqq_seat *seat = NULL;
	int rc = message ? enter(a, context, &seat, &wish) : HQQ_ERR_INVALID_OP;

	if (rc)
		return rc;
	rc = receive(a, &seat, context, &wish, message);
	hqq_adv_unlock(a);
	hqq_event_update(&a->event);
	hqq_link_leave(seat);
	return rc;
}

ssize_t hqq_advanced_read(hqq_advanced *a, hqq_context *context, void *buffer, size_t length)
{
	struct wish wish = {.standard = true};
	struct hqq_waiter waiter = {.is_done = is_granted, .argument = &wish};
	struct hqq_seat *seat = NULL;
	ssize_t rc = enter(a, context, &seat, &wish);
	size_t n = 0;

	if (rc)
		return rc;
	if (!buffer && length)
		rc = HQQ_ERR_INVALID_OP;
	if (rc == 0 && length)
		rc = hqq_dispatch_wait(a, &seat, context, &waiter);
	if (rc == 0 && length) {
		n = hqq_inbox_read(&a->inbox, buffer, length);
		note_room(a);
	}
	hqq_adv_unlock(a);
	hqq_event_update(&a->event);
	hqq_link_leave(seat);
	return rc ? rc : (ssize_t)n;
}

ssize_t hqq_advanced_write(hqq_advanced *a, hqq_context *context, const void *buffer, size_t length)
{
	struct hqq_seat *seat = NULL;
	ssize_t rc = hqq_adv_enter(a, context, &seat, 0);
	uint64_t position = 0;

	if (rc)
		return rc;
	if (length > a->link.geometry.buffer_size)
		rc = HQQ_ERR_BUFFER_OVERFLOW;
	else if (!buffer && length)
		rc = HQQ_ERR_INVALID_OP;
	else if (length)
		rc = hqq_send_claim(a, &seat, context, 1, &position);
	if (rc > 0) {
		const struct hqq_ring *ring = hqq_link_ring(&a->link, HQQ_CLAIM_WRITE);

		memcpy(hqq_ring_buffer(ring, position), buffer, length);
		hqq_packet_set_standard(hqq_ring_element(ring, position), HQQ_OP_STANDARD_COPY,
		                        hqq_link_copy_id(&a->link), hqq_ring_slot(ring, position), length);
		hqq_link_finish_slot(&a->link, seat, HQQ_CLAIM_WRITE, position);
		rc = (ssize_t)length;
	}
	hqq_link_leave(seat);
	return rc;
}
