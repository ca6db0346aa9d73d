/*
 * advanced/serve.c - answering requests
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/advanced.h"

/* Takes an entry off the list of requests that handlers have yet to answer. Under the lock. */
static void unlist(struct hqq_advanced *a, struct hqq_served *served)
{
	struct hqq_served *inner = atomic_load_explicit(&a->served, memory_order_relaxed);

	if (inner == served) {
		atomic_store_explicit(&a->served, served->outer, memory_order_relaxed);
		return;
	}
	while (inner && inner->outer != served)
		inner = inner->outer;
	if (inner)
		inner->outer = served->outer;
}

/* The request was answered: its handler need not be answered for. Under the lock. */
static void strike(struct hqq_advanced *a, uint64_t connection_id, uint64_t message_id)
{
	struct hqq_served *served = atomic_load_explicit(&a->served, memory_order_relaxed);

	while (served && (served->connection_id != connection_id || served->message_id != message_id))
		served = served->outer;
	if (!served)
		return;
	unlist(a, served);
	/* last: from here on the struct may be gone. Release pairs with handle() */
	atomic_store_explicit(&served->answered, 1, memory_order_release);
}

/* Some handler has a request to answer. Relaxed: whoever answers it has it from the handler, and that had it listed. */
static bool is_serving(const struct hqq_advanced *a)
{
	return atomic_load_explicit(&a->served, memory_order_relaxed) != NULL;
}

/* The request came in a session that is over: whoever has its ids now is somebody else. */
static bool is_stale(struct hqq_advanced *a, const struct hqq_message *request)
{
	const uint64_t session = request->opaque[HQQ_MESSAGE_SESSION];

	return session && session != atomic_load_explicit(&a->session, memory_order_relaxed) + 1;
}

static int respond(hqq_advanced *a, hqq_context *context, const struct hqq_message *request, uint64_t status,
                   const void *body, size_t length, bool is_error)
{
	struct hqq_frame frame = {.flags = HQQ_FLAG_RESPONSE | (is_error ? HQQ_FLAG_ERROR : 0), .number = status};
	struct hqq_seat *seat = NULL;
	uint64_t session;
	int rc = hqq_message_is_request(request) ? hqq_adv_enter(a, context, &seat, HQQ_FEATURE_REQUEST_RESPONSE)
	                                         : HQQ_ERR_INVALID_OP;

	if (rc)
		return rc;
	session = atomic_load_explicit(&a->session, memory_order_relaxed); /* before is_stale() */
	frame.key = (struct hqq_key){request->connection_id, request->message_id, HQQ_FLAG_RESPONSE};
	frame.total = length;
	if (!body && length)
		rc = HQQ_ERR_INVALID_OP;
	else if (is_stale(a, request))
		rc = HQQ_ERR_PEER_GONE;
	else if (length > a->max_message_size)
		rc = HQQ_ERR_BUFFER_OVERFLOW;
	else
		rc = hqq_send_check_connection(a, request->connection_id, true);
	if (rc == 0) {
		rc = hqq_send_message(a, &seat, context, &frame, body, session);
		/* cut short counts as answered, too: the caller was sent an abort */
		if ((rc == 0 || frame.offset > 0) && is_serving(a)) {
			hqq_adv_lock(a);
			strike(a, request->connection_id, request->message_id);
			hqq_adv_unlock(a);
		}
	}
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

/* Goes into the handle that serve was called on: not into what its memory became after a close. */
static int enter_again(struct hqq_advanced *a, struct hqq_seat **seat, uint64_t generation)
{
	int rc = hqq_link_enter(&a->link, seat);

	if (rc == 0 && atomic_load_explicit(&a->link.seats.generation, memory_order_relaxed) != generation) {
		hqq_link_leave(*seat);
		rc = HQQ_ERR_CLOSED;
	}
	return rc == HQQ_ERR_INVALID_OP ? HQQ_ERR_CLOSED : rc;
}

/* Runs the handler; a request that it leaves unanswered is answered with an error. */
static int handle(hqq_advanced *a, hqq_context *context, const struct hqq_method *method,
                  const struct hqq_message *request, uint64_t generation)
{
	struct hqq_served served = {.connection_id = request->connection_id, .message_id = request->message_id};
	hqq_context at_once = HQQ_CONTEXT_INIT; /* once serve was cancelled: the caller hears of it if there is room */
	struct hqq_seat *seat = NULL;
	int answer = HQQ_ERR_INVALID_OP, rc = enter_again(a, &seat, generation);

	if (rc)
		return rc;
	hqq_adv_lock(a);
	served.outer = atomic_load_explicit(&a->served, memory_order_relaxed);
	atomic_store_explicit(&a->served, &served, memory_order_relaxed);
	hqq_adv_unlock(a);
	hqq_link_leave(seat);
	/* outside of any call: the handler may call whatever it likes, close included */
	if (method)
		answer = method->handle(a, request, method->argument);
	/* acquire pairs with strike(): the list lets go of our struct before it says so */
	if (atomic_load_explicit(&served.answered, memory_order_acquire))
		return 0;
	rc = enter_again(a, &seat, generation);
	if (rc) /* closed, and the list with it */
		return rc;
	hqq_context_set_timeout(&at_once, 0);
	rc = hqq_advanced_respond_error(a, hqq_context_canceled(context) ? &at_once : context, request,
	                                hqq_error_to_code(answer), NULL, 0);
	hqq_adv_lock(a); /* whatever became of the answer, the struct ends here */
	unlist(a, &served);
	hqq_adv_unlock(a);
	hqq_link_leave(seat);
	return rc;
}

/* Waits for the next request. */
static int next_request(hqq_advanced *a, hqq_context *context, uint64_t generation, struct hqq_message *request)
{
	struct hqq_seat *seat = NULL;
	int rc = enter_again(a, &seat, generation);

	if (rc)
		return rc;
	do {
		rc = hqq_receive_request(a, &seat, context, request);
		if (rc || !is_stale(a, request))
			break;
		hqq_message_clear(request);
	} while (true);
	hqq_event_update(&a->event);
	hqq_link_leave(seat);
	return rc;
}

int hqq_advanced_serve(hqq_advanced *a, hqq_context *context, const struct hqq_method *methods, size_t count)
{
	struct hqq_seat *seat = NULL;
	uint64_t generation = 0;
	int rc = methods || !count ? 0 : HQQ_ERR_INVALID_OP;

	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = methods[i].handle ? 0 : HQQ_ERR_INVALID_OP;
	if (rc == 0)
		rc = hqq_adv_enter(a, context, &seat, HQQ_FEATURE_REQUEST_RESPONSE);
	if (rc == 0) {
		generation = atomic_load_explicit(&a->link.seats.generation, memory_order_relaxed);
		hqq_link_leave(seat);
	}
	while (rc == 0) {
		struct hqq_message request;

		rc = next_request(a, context, generation, &request);
		if (rc)
			break;
		rc = handle(a, context, find(methods, count, request.method_id), &request, generation);
		hqq_message_clear(&request);
		if (rc == HQQ_ERR_CONN_NOT_FOUND) /* that caller hung up; the others are still there */
			rc = 0;
	}
	return rc;
}
