/*
 * pipe.c - two pipes, one for each way
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "peers/peer.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PIPE_BYTES (1 << 20) /* what anybody may ask for, unless the administrator says otherwise */

static int prepare_pipes(struct peer_end *end)
{
	for (int way = 0; way < 2; way++) {
		if (pipe2(end->fds + 2 * way, O_CLOEXEC) < 0)
			return peer_fail(end, "pipe2", -errno);
		fcntl(end->fds[2 * way], F_SETPIPE_SZ, PIPE_BYTES); /* or the size that it has */
	}
	return 0;
}

static int send_bytes(struct peer_end *end, const void *message, size_t size)
{
	const unsigned char *bytes = message;

	for (size_t done = 0; done < size;) {
		ssize_t count = write(end->fds[2 * end->way + 1], bytes + done, size - done);

		if (count < 0)
			return peer_fail(end, "write", -errno);
		done += (size_t)count;
	}
	return 0;
}

static int receive_bytes(struct peer_end *end, void *message, size_t size)
{
	unsigned char *bytes = message;

	for (size_t done = 0; done < size;) {
		ssize_t count = read(end->fds[2 * (1 - end->way)], bytes + done, size - done);

		if (count <= 0)
			return peer_fail(end, "read", count < 0 ? -errno : -EPIPE);
		done += (size_t)count;
	}
	return 0;
}

/* Several of them keep messages whole up to PIPE_BUF bytes. */
const struct peer peer_pipe = {
	.name = "pipe",
	.can = PEER_STREAM | PEER_TRIP | PEER_MANY | PEER_LARGE,
	.prepare = prepare_pipes,
	.dispose = peer_close_fds,
	.send = send_bytes,
	.receive = receive_bytes,
};
