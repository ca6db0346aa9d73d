/*
 * advanced/serve.c - answering requests
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/advanced.h"

/* Strikes a request off the list of those that a handler has yet to answer. Under the lock. */
static void strike(struct hqq_advanced *a, uint64_t connection_id, uint64_t message_id)
{
	for (struct hqq_served **link = &a->served; *link; link = &(*link)->outer) {
		struct hqq_served *served = *link;

		if (served->connection_id == connection_id && served->message_id == message_id) {
			*link = served->outer;
			/* last: from here on the struct may be gone. Release pairs with handle() */
			atomic_store_explicit(&served->answered, 1, memory_order_release);
			return;
		}
	}
}

/* The response may go out: its connection is still there, and the request counts as answered. */
static int begin_response(struct hqq_advanced *a, const struct hqq_message *request)
{
	int rc = 0;

	hqq_adv_lock(a);
	if (hqq_connection_is_closed(a, request->connection_id))
		rc = HQQ_ERR_CONN_NOT_FOUND;
	else
		strike(a, request->connection_id, request->message_id);
	hqq_adv_unlock(a);
	return rc;
}

static int respond(hqq_advanced *a, hqq_context *context, const struct hqq_message *request, uint64_t status,
                   const void *body, size_t length, bool is_error)
{
	struct hqq_frame frame = {.flags = HQQ_FLAG_RESPONSE | (is_error ? HQQ_FLAG_ERROR : 0), .number = status};
	struct hqq_seat *seat = NULL;
	int rc = hqq_message_is_request(request) ? hqq_adv_enter(a, &seat, HQQ_FEATURE_REQUEST_RESPONSE)
	                                         : HQQ_ERR_INVALID_OP;

	if (rc)
		return rc;
	frame.key = (struct hqq_key){request->connection_id, request->message_id, HQQ_FLAG_RESPONSE};
	frame.total = length;
	if (!body && length)
		rc = HQQ_ERR_INVALID_OP;
	else if (length > a->max_message_size)
		rc = HQQ_ERR_BUFFER_OVERFLOW;
	else
		rc = begin_response(a, request);
	if (rc == 0)
		rc = hqq_send_message(a, &seat, context, &frame, body);
	if (rc == 0)
		hqq_adv_count(a, HQQ_ADV_RESPONSES_SENT, 1);
	hqq_link_leave(seat);
	return rc;
}

int hqq_advanced_respond(hqq_advanced *a, hqq_context *context, const struct hqq_message *request, uint64_t status,
                         const void *body, size_t length)
{
	return respond(a, context, request, status, body, length, false);
}

int hqq_advanced_respond_error(hqq_advanced *a, hqq_context *context, const struct hqq_message *request,
                               uint64_t status, const void *body, size_t length)
{
	return respond(a, context, request, status ? status : hqq_error_to_code(HQQ_ERR_INVALID_OP), body, length, true);
}

static const struct hqq_method *find(const struct hqq_method *methods, size_t count, uint64_t id)
{
	for (size_t i = 0; i < count; i++) {
		if (methods[i].id == id)
			return &methods[i];
	}
	return NULL;
}

/* Runs the handler; a request that it leaves unanswered is answered with an error. */
static int handle(hqq_advanced *a, hqq_context *context, const struct hqq_method *method,
                  const struct hqq_message *request)
{
	struct hqq_served served = {.connection_id = request->connection_id, .message_id = request->message_id};
	int rc = HQQ_ERR_INVALID_OP;

	hqq_adv_lock(a);
	served.outer = a->served;
	a->served = &served;
	hqq_adv_unlock(a);
	if (method)
		rc = method->handle(a, request, method->argument);
	/* acquire pairs with strike(): the list lets go of our struct before it says so */
	if (atomic_load_explicit(&served.answered, memory_order_acquire))
		return 0;
	rc = hqq_advanced_respond_error(a, context, request, hqq_error_to_code(rc), NULL, 0);
	hqq_adv_lock(a); /* whatever became of the answer, the struct ends here */
	strike(a, request->connection_id, request->message_id);
	hqq_adv_unlock(a);
	return rc;
}

int hqq_advanced_serve(hqq_advanced *a, hqq_context *context, const struct hqq_method *methods, size_t count)
{
	int rc = methods || !count ? 0 : HQQ_ERR_INVALID_OP;

	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = methods[i].handle ? 0 : HQQ_ERR_INVALID_OP;
	while (rc == 0) {
		struct hqq_message request;
		struct hqq_seat *seat = NULL;

		rc = hqq_adv_enter(a, &seat, HQQ_FEATURE_REQUEST_RESPONSE);
		if (rc)
			break;
		rc = hqq_receive_request(a, &seat, context, &request);
		hqq_event_update(&a->event);
		hqq_link_leave(seat);
		if (rc)
			break;
		/* outside of any call: the handler may call whatever it likes */
		rc = handle(a, context, find(methods, count, request.method_id), &request);
		hqq_message_clear(&request);
		if (rc == HQQ_ERR_CONN_NOT_FOUND) /* that caller hung up; the others are still there */
			rc = 0;
	}
	return rc;
}
