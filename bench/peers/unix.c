/*
 * unix.c - a pair of sockets of the family AF_UNIX
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "peers/peer.h"
#include <errno.h>
#include <sys/socket.h>

static const int stream_type = SOCK_STREAM;
static const int seqpacket_type = SOCK_SEQPACKET;

static int prepare_sockets(struct peer_end *end)
{
	const int *type = peer_of(end)->how;

	if (socketpair(AF_UNIX, *type | SOCK_CLOEXEC, 0, end->fds) < 0)
		return peer_fail(end, "socketpair", -errno);
	return 0;
}

static int send_message(struct peer_end *end, const void *message, size_t size)
{
	const unsigned char *bytes = message;

	for (size_t done = 0; done < size;) {
		ssize_t count = send(end->fds[end->way], bytes + done, size - done, MSG_NOSIGNAL);

		if (count < 0)
			return peer_fail(end, "send", -errno);
		done += (size_t)count;
	}
	return 0;
}

static int receive_message(struct peer_end *end, void *message, size_t size)
{
	unsigned char *bytes = message;

	for (size_t done = 0; done < size;) {
		ssize_t count = recv(end->fds[end->way], bytes + done, size - done, 0);

		if (count <= 0)
			return peer_fail(end, "recv", count < 0 ? -errno : -ECONNRESET);
		done += (size_t)count;
	}
	return 0;
}

const struct peer peer_unix_stream = {
	.name = "unix-stream",
	.can = PEER_STREAM | PEER_TRIP | PEER_LARGE,
	.how = &stream_type,
	.prepare = prepare_sockets,
	.dispose = peer_close_fds,
	.send = send_message,
	.receive = receive_message,
};

const struct peer peer_unix_seqpacket = {
	.name = "unix-seqpacket",
	.can = PEER_STREAM | PEER_TRIP | PEER_MANY,
	.how = &seqpacket_type,
	.prepare = prepare_sockets,
	.dispose = peer_close_fds,
	.send = send_message,
	.receive = receive_message,
};
