/*
 * advanced/calls.c - requests that wait for their responses
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/advanced.h"
#include <errno.h>
#include <stdlib.h>

struct hqq_pending *hqq_calls_find(struct hqq_advanced *a, uint64_t connection_id, uint64_t message_id)
{
	const struct hqq_key key = {connection_id, message_id, HQQ_FLAG_RESPONSE};

	return (struct hqq_pending *)(void *)hqq_table_find(&a->calls, &key);
}

void hqq_calls_complete(struct hqq_advanced *a, struct hqq_pending *pending, int rc, struct hqq_message *response)
{
	(void)a;
	pending->rc = rc;
	pending->done = true;
	if (response)
		pending->response = *response;
}

void hqq_calls_fail(struct hqq_advanced *a, const uint64_t *connection_id, int error)
{
	for (unsigned bucket = 0; bucket < HQQ_TABLE_BUCKETS; bucket++) {
		for (struct hqq_node *node = a->calls.buckets[bucket]; node; node = node->next) {
			struct hqq_pending *pending = (struct hqq_pending *)(void *)node;

			if (!pending->done && (!connection_id || node->key.connection_id == *connection_id))
				hqq_calls_complete(a, pending, error, NULL);
		}
	}
}

/* Takes a call out of the table; what it owns beyond the struct is the caller's. Under the lock. */
static void retire(struct hqq_advanced *a, struct hqq_pending *pending)
{
	hqq_table_remove(&a->calls, &pending->node);
}

void hqq_calls_free(struct hqq_advanced *a)
{
	for (unsigned bucket = 0; bucket < HQQ_TABLE_BUCKETS; bucket++) {
		while (a->calls.buckets[bucket]) {
			struct hqq_pending *pending = (struct hqq_pending *)(void *)a->calls.buckets[bucket];

			retire(a, pending);
			if (!pending->on_heap) /* of a thread of the parent, if we are a forked child */
				continue;
			hqq_message_clear(&pending->response);
			free(pending);
		}
	}
}

static bool is_answered(struct hqq_advanced *a, void *argument)
{
	(void)a;
	return ((const struct hqq_pending *)argument)->done;
}

/* Puts the call into the table, so that no answer is missed, and sends the request. */
static int send_request(struct hqq_advanced *a, struct hqq_seat **seat, hqq_context *context,
                        struct hqq_pending *pending, uint64_t connection_id, uint64_t method_id, const void *request,
                        size_t length)
{
	struct hqq_frame frame = {.key = {connection_id, hqq_adv_message_id(a), HQQ_FLAG_REQUEST},
	                          .total = length,
	                          .flags = HQQ_FLAG_REQUEST,
	                          .number = method_id};
	uint64_t session;
	int rc = 0;

	pending->node.key = (struct hqq_key){connection_id, frame.key.message_id, HQQ_FLAG_RESPONSE};
	if (!request && length)
		return HQQ_ERR_INVALID_OP;
	if (length > a->max_message_size)
		return HQQ_ERR_BUFFER_OVERFLOW;
	hqq_adv_lock(a);
	session = atomic_load_explicit(&a->session, memory_order_relaxed);
	if (hqq_adv_state(a) != HQQ_PROTOCOL_NEGOTIATED) /* it ended since we came in */
		rc = HQQ_ERR_PEER_GONE;
	else if (hqq_connection_is_closed(a, connection_id, false))
		rc = HQQ_ERR_CONN_NOT_FOUND;
	else
		hqq_table_insert(&a->calls, &pending->node);
	hqq_adv_unlock(a);
	if (rc)
		return rc;
	rc = hqq_send_message(a, seat, context, &frame, request, session);
	if (rc) {
		hqq_adv_lock(a);
		retire(a, pending);
		hqq_adv_unlock(a);
		hqq_message_clear(&pending->response);
	} else {
		hqq_adv_count(a, HQQ_ADV_REQUESTS_SENT, 1);
	}
	return rc;
}

/* Waits for the response and takes the call out of the table. An answer that is there wins over an error. */
static int await_response(struct hqq_advanced *a, struct hqq_seat **seat, hqq_context *context,
                          struct hqq_pending *pending)
{
	struct hqq_waiter waiter = {.is_done = is_answered, .argument = pending};
	int rc;

	hqq_adv_lock(a);
	rc = hqq_dispatch_wait(a, seat, context, &waiter);
	if (pending->done)
		rc = pending->rc;
	retire(a, pending);
	hqq_adv_unlock(a);
	return rc;
}

/* Hands the response to the caller, or frees it when nobody wants it. */
static void give(struct hqq_message *response, struct hqq_message *to)
{
	if (to)
		*to = *response;
	else
		hqq_message_clear(response);
}

int hqq_advanced_call_on(hqq_advanced *a, hqq_context *context, uint64_t connection_id, uint64_t method_id,
                         const void *request, size_t length, struct hqq_message *response)
{
	struct hqq_pending pending = {.done = false};
	struct hqq_seat *seat = NULL;
	int rc = hqq_adv_enter(a, context, &seat, HQQ_FEATURE_REQUEST_RESPONSE);

	if (rc)
		return rc;
	rc = send_request(a, &seat, context, &pending, connection_id, method_id, request, length);
	if (rc == 0)
		rc = await_response(a, &seat, context, &pending);
	if (rc == 0)
		give(&pending.response, response);
	hqq_link_leave(seat);
	return rc;
}

int hqq_advanced_call(hqq_advanced *a, hqq_context *context, uint64_t method_id, const void *request, size_t length,
                      struct hqq_message *response)
{
	struct hqq_message message;
	int rc = hqq_advanced_call_on(a, context, 0, method_id, request, length, &message);

	if (rc)
		return rc;
	rc = hqq_message_is_error(&message) ? HQQ_ERR_RESPONSE : 0;
	give(&message, response);
	return rc;
}

int hqq_advanced_call_start(hqq_advanced *a, hqq_context *context, uint64_t connection_id, uint64_t method_id,
                            const void *request, size_t length, uint64_t *call_id)
{
	struct hqq_pending *pending;
	struct hqq_seat *seat = NULL;
	int rc = call_id ? hqq_adv_enter(a, context, &seat, HQQ_FEATURE_REQUEST_RESPONSE) : HQQ_ERR_INVALID_OP;

	if (rc)
		return rc;
	pending = calloc(1, sizeof(*pending));
	if (pending) {
		pending->on_heap = true;
		rc = send_request(a, &seat, context, pending, connection_id, method_id, request, length);
	} else {
		rc = -ENOMEM;
	}
	if (rc) {
		free(pending);
	} else {
		*call_id = pending->node.key.message_id;
		/* from here on it may be waited for, and freed: release, for what we did with it */
		atomic_store_explicit(&pending->started, true, memory_order_release);
	}
	hqq_link_leave(seat);
	return rc;
}

/* Makes a started call the caller's. Under the lock. */
static bool claim(struct hqq_pending *pending)
{
	/* acquire pairs with the release in call_start, which sets it without the lock */
	if (!atomic_load_explicit(&pending->started, memory_order_acquire))
		return false;
	atomic_store_explicit(&pending->started, false, memory_order_relaxed);
	return true;
}

/*
 * The started call of that id, now the caller's: another call_wait or call_cancel does not find it.
 * NULL when there is none. Under the lock.
 */
static struct hqq_pending *take_started(struct hqq_advanced *a, uint64_t call_id)
{
	struct hqq_pending *on_link = hqq_calls_find(a, 0, call_id); /* most are on the link itself */

	if (on_link && claim(on_link))
		return on_link;
	for (unsigned bucket = 0; bucket < HQQ_TABLE_BUCKETS; bucket++) {
		for (struct hqq_node *node = a->calls.buckets[bucket]; node; node = node->next) {
			struct hqq_pending *pending = (struct hqq_pending *)(void *)node;

			if (node->key.message_id == call_id && claim(pending))
				return pending;
		}
	}
	return NULL;
}

/* Ends a started call if it is answered; else it may be waited for again. Under the lock. */
static bool conclude(struct hqq_advanced *a, struct hqq_pending *pending)
{
	if (pending->done)
		retire(a, pending);
	else
		atomic_store_explicit(&pending->started, true, memory_order_relaxed);
	return pending->done;
}

int hqq_advanced_call_wait(hqq_advanced *a, hqq_context *context, uint64_t call_id, struct hqq_message *response)
{
	struct hqq_waiter waiter = {.is_done = is_answered};
	struct hqq_pending *pending;
	struct hqq_seat *seat = NULL;
	bool done = false;
	int rc = hqq_link_enter(a ? &a->link : NULL, &seat); /* also after the session: it tells the outcome */

	if (rc)
		return rc;
	hqq_adv_lock(a);
	pending = take_started(a, call_id);
	waiter.argument = pending;
	rc = pending ? hqq_dispatch_wait(a, &seat, context, &waiter) : HQQ_ERR_INVALID_OP;
	done = pending && conclude(a, pending);
	hqq_adv_unlock(a);
	if (done) {
		rc = pending->rc;
		if (rc == 0)
			give(&pending->response, response);
		free(pending);
	}
	hqq_link_leave(seat);
	return rc;
}

int hqq_advanced_call_cancel(hqq_advanced *a, uint64_t call_id)
{
	struct hqq_pending *pending;
	struct hqq_seat *seat = NULL;
	int rc = hqq_link_enter(a ? &a->link : NULL, &seat);

	if (rc)
		return rc;
	hqq_adv_lock(a);
	pending = take_started(a, call_id);
	if (pending)
		retire(a, pending);
	hqq_adv_unlock(a);
	if (pending) {
		hqq_message_clear(&pending->response);
		free(pending);
	}
	hqq_link_leave(seat);
	return pending ? 0 : HQQ_ERR_INVALID_OP;
}
