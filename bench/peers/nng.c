/*
 * nng.c - nng over ipc: the protocol pair, or req and rep for calls
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "peers/peer.h"
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdlib.h>

#define BUFFERED 128 /* messages that wait in each socket */

typedef int open_function(nng_socket *socket);

struct protocol {
	open_function *open[2];
	bool buffers;
};

static const struct protocol pair_protocol = {{nng_pair0_open, nng_pair0_open}, true};
static const struct protocol call_protocol = {{nng_req0_open, nng_rep0_open}, false};

static int fail(struct peer_end *end, const char *what, int error)
{
	return peer_fail_text(end, what, nng_strerror(error));
}

/* out: the socket. Side 1 listens, as the one who serves. */
static int open_socket(struct peer_end *end)
{
	const struct protocol *protocol = peer_of(end)->how;
	nng_socket *socket = malloc(sizeof(*socket));
	int error;

	end->out = socket;
	if (!socket)
		return peer_fail_text(end, "malloc", "out of memory");
	snprintf(end->address, sizeof(end->address), "abstract://%s", end->pair->segment);
	error = protocol->open[end->way](socket);
	if (!error && protocol->buffers)
		error = nng_socket_set_int(*socket, NNG_OPT_SENDBUF, BUFFERED);
	if (!error && protocol->buffers)
		error = nng_socket_set_int(*socket, NNG_OPT_RECVBUF, BUFFERED);
	if (!error)
		error = nng_socket_set_size(*socket, NNG_OPT_RECVMAXSZ, 0);
	if (!error && end->way == 1)
		error = nng_listen(*socket, end->address, NULL, 0);
	if (error)
		return fail(end, "nng_listen", error);
	pair_meet(end->pair);
	if (end->way == 0)
		error = nng_dial(*socket, end->address, NULL, 0);
	return error ? fail(end, "nng_dial", error) : 0;
}

static void close_socket(struct peer_end *end)
{
	nng_socket *socket = end->out;

	nng_close(*socket);
	free(socket);
}

static int send_message(struct peer_end *end, const void *message, size_t size)
{
	nng_socket *socket = end->out;
	int error = nng_send(*socket, (void *)(uintptr_t)message, size, 0); /* copies */

	return error ? fail(end, "nng_send", error) : 0;
}

static int receive_message(struct peer_end *end, void *message, size_t size)
{
	nng_socket *socket = end->out;
	int error = nng_recv(*socket, message, &size, 0);

	return error ? fail(end, "nng_recv", error) : 0;
}

const struct peer peer_nng = {
	.name = "nng",
	.can = PEER_STREAM | PEER_TRIP | PEER_LARGE,
	.how = &pair_protocol,
	.version = nng_version,
	.open = open_socket,
	.close = close_socket,
	.send = send_message,
	.receive = receive_message,
};

const struct peer peer_nng_call = {
	.name = "nng",
	.can = PEER_CALL,
	.how = &call_protocol,
	.open = open_socket,
	.close = close_socket,
	.send = send_message,
	.receive = receive_message,
};
