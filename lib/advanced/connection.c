/*
 * advanced/connection.c - logical streams: dial, listen, accept, hangup
 *
 * The primary dials odd ids, the secondary even ones, so both may dial at once. A message may
 * travel on any id, dialled or not; only one that was closed is refused, and fails its calls.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/advanced.h"
#include <errno.h>
#include <stdlib.h>

#define CONNECTIONS_MAX 16384 /* known at once; more are refused */
#define BACKLOG_MAX 1024      /* accepted on the wire and not yet by the program */

static struct hqq_connection *find(struct hqq_advanced *a, uint64_t id)
{
	const struct hqq_key key = {.connection_id = id};

	return (struct hqq_connection *)(void *)hqq_table_find(&a->connections, &key);
}

static struct hqq_connection *add(struct hqq_advanced *a, uint64_t id, enum hqq_connection_state state)
{
	struct hqq_connection *connection =
		a->connections.count < CONNECTIONS_MAX ? calloc(1, sizeof(*connection)) : NULL;

	if (!connection)
		return NULL;
	connection->node.key.connection_id = id;
	connection->state = state;
	hqq_table_insert(&a->connections, &connection->node);
	return connection;
}

/* Takes a connection out of the queue for accept. */
static void unqueue(struct hqq_advanced *a, struct hqq_connection *connection)
{
	struct hqq_connection **link = &a->waiting;

	while (*link && *link != connection)
		link = &(*link)->next_waiting;
	if (!*link)
		return;
	*link = connection->next_waiting;
	if (!*link)
		a->waiting_end = link;
	a->waiting_count--;
}

static void forget(struct hqq_advanced *a, struct hqq_connection *connection)
{
	if (connection->state == HQQ_CONNECTION_WAITING)
		unqueue(a, connection);
	hqq_table_remove(&a->connections, &connection->node);
	free(connection);
}

/* Of the ids that the program knows and that are no more, the last ones. */
static void remember_ended(struct hqq_advanced *a, uint64_t id)
{
	a->ended[a->ended_count++ % HQQ_ENDED_IDS] = id;
}

static uint64_t first_id(const struct hqq_advanced *a)
{
	return a->link.mode == HQQ_MODE_PRIMARY ? 1 : 2;
}

static void refuse(struct hqq_advanced *a, uint64_t id, int error)
{
	hqq_send_post(a, HQQ_OP_ERROR, id, hqq_error_to_code(error), 0);
}

static void enqueue_waiting(struct hqq_advanced *a, struct hqq_connection *connection)
{
	connection->next_waiting = NULL;
	*a->waiting_end = connection;
	a->waiting_end = &connection->next_waiting;
	a->waiting_count++;
}

void hqq_connection_created(struct hqq_advanced *a, uint64_t id)
{
	struct hqq_connection *connection = find(a, id);

	if (hqq_adv_state(a) != HQQ_PROTOCOL_NEGOTIATED || id == 0) {
		hqq_adv_count(a, HQQ_ADV_REFUSED, 1);
		return;
	}
	if (!a->listening) {
		refuse(a, id, HQQ_ERR_CONN_NOT_FOUND);
		return;
	}
	if (connection && connection->state == HQQ_CONNECTION_CLOSED) { /* dialled anew */
		forget(a, connection);
		connection = NULL;
	}
	if (connection) { /* an id that is in use */
		hqq_adv_count(a, HQQ_ADV_REFUSED, 1);
		refuse(a, id, HQQ_ERR_INVALID_OP);
		return;
	}
	connection = a->waiting_count < BACKLOG_MAX ? add(a, id, HQQ_CONNECTION_WAITING) : NULL;
	if (!connection) {
		hqq_adv_count(a, HQQ_ADV_DROPPED, 1);
		refuse(a, id, HQQ_ERR_BUFFER_OVERFLOW);
		return;
	}
	enqueue_waiting(a, connection);
	hqq_send_post(a, HQQ_OP_CONN_ACCEPT, id, 0, 0);
}

void hqq_connection_accepted(struct hqq_advanced *a, uint64_t id)
{
	struct hqq_connection *connection = find(a, id);

	if (connection && connection->state == HQQ_CONNECTION_DIALING)
		connection->state = HQQ_CONNECTION_OPEN;
	else
		hqq_adv_count(a, HQQ_ADV_REFUSED, 1);
}

void hqq_connection_failed(struct hqq_advanced *a, uint64_t id, uint64_t code)
{
	struct hqq_connection *connection = find(a, id);

	if (connection && connection->state == HQQ_CONNECTION_DIALING) {
		connection->state = HQQ_CONNECTION_REFUSED;
		connection->rc = hqq_error_from_code(code);
	} else {
		hqq_adv_count(a, HQQ_ADV_REFUSED, 1);
	}
}

void hqq_connection_closed(struct hqq_advanced *a, uint64_t id)
{
	struct hqq_connection *connection = find(a, id);

	if (!connection) {
		hqq_adv_count(a, HQQ_ADV_REFUSED, 1);
		return;
	}
	if (connection->state == HQQ_CONNECTION_DIALING) {
		connection->state = HQQ_CONNECTION_REFUSED;
		connection->rc = HQQ_ERR_CONN_NOT_FOUND;
	} else if (connection->state == HQQ_CONNECTION_WAITING) {
		forget(a, connection);
		remember_ended(a, id); /* requests may have come on it */
	} else {
		connection->state = HQQ_CONNECTION_CLOSED;
	}
	hqq_calls_fail(a, &id, HQQ_ERR_CONN_NOT_FOUND);
	hqq_stream_end(a, &id, HQQ_ERR_CONN_NOT_FOUND);
	hqq_assembly_drop_connection(&a->assembly, id); /* we are the dispatcher */
}

static bool has_ended_lately(const struct hqq_advanced *a, uint64_t id)
{
	for (unsigned i = 0; i < HQQ_ENDED_IDS && i < a->ended_count; i++) {
		if (a->ended[i] == id)
			return true;
	}
	return false;
}

/* In this session or an earlier one. Ours are dialled one after the other, those of a peer as it likes. */
static bool was_dialed(const struct hqq_advanced *a, uint64_t id)
{
	return id % 2 == first_id(a) % 2 && id < first_id(a) + 2 * a->dialed;
}

bool hqq_connection_is_closed(struct hqq_advanced *a, uint64_t id, bool for_answer)
{
	const struct hqq_connection *connection = id ? find(a, id) : NULL;

	if (!id)
		return false;
	if (connection)
		return connection->state == HQQ_CONNECTION_CLOSED;
	return has_ended_lately(a, id) || (!for_answer && was_dialed(a, id));
}

void hqq_connections_end(struct hqq_advanced *a, int error)
{
	/* a dial under way finds its refusal and forgets it; the others go now */
	for (unsigned bucket = 0; bucket < HQQ_TABLE_BUCKETS; bucket++) {
		struct hqq_node *next;

		for (struct hqq_node *node = a->connections.buckets[bucket]; node; node = next) {
			struct hqq_connection *connection = (struct hqq_connection *)(void *)node;

			next = node->next;
			if (!connection->awaited || !error) {
				forget(a, connection);
			} else if (connection->state != HQQ_CONNECTION_REFUSED) {
				connection->state = HQQ_CONNECTION_REFUSED;
				connection->rc = error;
			}
		}
	}
}

int hqq_advanced_listen(hqq_advanced *a)
{
	struct hqq_seat *seat = NULL;
	int rc = hqq_adv_enter(a, NULL, &seat, 0);

	if (rc)
		return rc;
	hqq_adv_lock(a);
	a->listening = true;
	/* who dials us wants an answer though nobody here may be waiting for anything */
	if (a->dispatcher == HQQ_DISPATCH_AUTO)
		rc = hqq_dispatch_start_thread(a);
	hqq_adv_unlock(a);
	hqq_link_leave(seat);
	return rc;
}

static bool has_waiting(struct hqq_advanced *a, void *argument)
{
	(void)argument;
	return a->waiting != NULL;
}

int hqq_advanced_accept(hqq_advanced *a, hqq_context *context, uint64_t *connection_id)
{
	struct hqq_waiter waiter = {.is_done = has_waiting};
	struct hqq_seat *seat = NULL;
	int rc = connection_id ? hqq_adv_enter(a, context, &seat, 0) : HQQ_ERR_INVALID_OP;

	if (rc)
		return rc;
	hqq_adv_lock(a);
	rc = a->listening ? hqq_dispatch_wait(a, &seat, context, &waiter) : HQQ_ERR_INVALID_OP;
	if (rc == 0) {
		struct hqq_connection *connection = a->waiting;

		unqueue(a, connection);
		connection->state = HQQ_CONNECTION_OPEN;
		*connection_id = connection->node.key.connection_id;
	}
	hqq_adv_unlock(a);
	hqq_event_update(&a->event);
	hqq_link_leave(seat);
	return rc;
}

static bool is_answered(struct hqq_advanced *a, void *argument)
{
	(void)a;
	return ((const struct hqq_connection *)argument)->state != HQQ_CONNECTION_DIALING;
}

/* The next id of our side that is not in use. */
static uint64_t next_id(struct hqq_advanced *a)
{
	uint64_t id;

	do {
		id = first_id(a) + 2 * a->dialed++;
	} while (find(a, id));
	return id;
}

int hqq_advanced_dial(hqq_advanced *a, hqq_context *context, uint64_t *connection_id)
{
	struct hqq_waiter waiter = {.is_done = is_answered};
	struct hqq_connection *connection;
	struct hqq_seat *seat = NULL;
	int rc = connection_id ? hqq_adv_enter(a, context, &seat, 0) : HQQ_ERR_INVALID_OP;

	if (rc)
		return rc;
	hqq_adv_lock(a);
	if (hqq_adv_state(a) != HQQ_PROTOCOL_NEGOTIATED) { /* it ended since we came in */
		hqq_adv_unlock(a);
		hqq_link_leave(seat);
		return HQQ_ERR_PEER_GONE;
	}
	connection = add(a, next_id(a), HQQ_CONNECTION_DIALING);
	if (connection && !hqq_send_post(a, HQQ_OP_CONN_CREATE, connection->node.key.connection_id, 0, 0)) {
		forget(a, connection);
		connection = NULL;
	}
	hqq_send_flush(a, seat);
	waiter.argument = connection;
	if (connection)
		connection->awaited = true;
	rc = connection ? hqq_dispatch_wait(a, &seat, context, &waiter) : -ENOMEM;
	if (connection) {
		connection->awaited = false;
		if (connection->state == HQQ_CONNECTION_REFUSED)
			rc = connection->rc;
		if (rc) { /* given up: if the peer accepts yet, it is told */
			if (connection->state == HQQ_CONNECTION_DIALING)
				hqq_send_post(a, HQQ_OP_CONN_CLOSE, connection->node.key.connection_id, 0, 0);
			forget(a, connection);
		} else {
			*connection_id = connection->node.key.connection_id;
		}
		hqq_send_flush(a, seat);
	}
	hqq_adv_unlock(a);
	hqq_link_leave(seat);
	return rc;
}

int hqq_advanced_hangup(hqq_advanced *a, hqq_context *context, uint64_t connection_id, uint64_t reason)
{
	struct hqq_connection *connection;
	struct hqq_seat *seat = NULL;
	int rc = hqq_adv_enter(a, NULL, &seat, 0);

	(void)context; /* the packet goes out with the next room in the ring; nothing waits for it */
	if (rc)
		return rc;
	hqq_adv_lock(a);
	connection = connection_id ? find(a, connection_id) : NULL;
	if (!connection || connection->awaited) {
		rc = HQQ_ERR_CONN_NOT_FOUND;
	} else {
		if (connection->state != HQQ_CONNECTION_CLOSED)
			hqq_send_post(a, HQQ_OP_CONN_CLOSE, connection_id, reason, 0);
		forget(a, connection);
		remember_ended(a, connection_id);
		hqq_calls_fail(a, &connection_id, HQQ_ERR_CONN_NOT_FOUND);
		hqq_stream_end(a, &connection_id, HQQ_ERR_CONN_NOT_FOUND);
		hqq_send_flush(a, seat);
		hqq_dispatch_wake(a);
	}
	hqq_adv_unlock(a);
	hqq_event_update(&a->event);
	hqq_link_leave(seat);
	return rc;
}
