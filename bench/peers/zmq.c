/*
 * zmq.c - ZeroMQ over ipc: two sockets of type PAIR, or REQ and REP for calls
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "peers/peer.h"
#include <zmq.h>

static const int pair_types[2] = {ZMQ_PAIR, ZMQ_PAIR};
static const int call_types[2] = {ZMQ_REQ, ZMQ_REP};

static int fail(struct peer_end *end, const char *what)
{
	return peer_fail_text(end, what, zmq_strerror(zmq_errno()));
}

/* in: the context, out: the socket. Side 1 binds, as the one who serves. */
static int open_socket(struct peer_end *end)
{
	const int *types = peer_of(end)->how;

	snprintf(end->address, sizeof(end->address), "ipc://@%s", end->pair->segment);
	end->in = zmq_ctx_new();
	end->out = end->in ? zmq_socket(end->in, types[end->way]) : NULL;
	if (!end->out)
		return fail(end, "zmq_socket");
	if (end->way == 1 && zmq_bind(end->out, end->address) < 0)
		return fail(end, "zmq_bind");
	pair_meet(end->pair);
	if (end->way == 0 && zmq_connect(end->out, end->address) < 0)
		return fail(end, "zmq_connect");
	return 0;
}

static void close_socket(struct peer_end *end)
{
	zmq_close(end->out);
	zmq_ctx_term(end->in);
}

static int send_message(struct peer_end *end, const void *message, size_t size)
{
	return zmq_send(end->out, message, size, 0) == (int)size ? 0 : fail(end, "zmq_send");
}

static int receive_message(struct peer_end *end, void *message, size_t size)
{
	return zmq_recv(end->out, message, size, 0) == (int)size ? 0 : fail(end, "zmq_recv");
}

static const char *version(void)
{
	static char text[32];
	int major, minor, patch;

	zmq_version(&major, &minor, &patch);
	snprintf(text, sizeof(text), "%d.%d.%d", major, minor, patch);
	return text;
}

const struct peer peer_zmq = {
	.name = "zmq",
	.can = PEER_STREAM | PEER_TRIP | PEER_LARGE,
	.how = pair_types,
	.version = version,
	.open = open_socket,
	.close = close_socket,
	.send = send_message,
	.receive = receive_message,
};

const struct peer peer_zmq_call = {
	.name = "zmq",
	.can = PEER_CALL,
	.how = call_types,
	.open = open_socket,
	.close = close_socket,
	.send = send_message,
	.receive = receive_message,
};
