/*
 * mq.c - POSIX message queues, one for each way
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "peers/peer.h"
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>

#define MESSAGES 10 /* what everybody may have */
#define LARGEST 8192

static int prepare_queues(struct peer_end *end)
{
	struct mq_attr attributes = {.mq_maxmsg = MESSAGES, .mq_msgsize = (long)end->size};

	for (int way = 0; way < 2; way++) {
		snprintf(end->address, sizeof(end->address), "/%s.%d", end->pair->segment, way);
		end->fds[way] = mq_open(end->address, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
		if (end->fds[way] < 0)
			return peer_fail(end, "mq_open", -errno);
		mq_unlink(end->address);
	}
	return 0;
}

static void close_queues(struct peer_end *end)
{
	for (unsigned i = 0; i < 2; i++) {
		if (end->fds[i] >= 0)
			mq_close(end->fds[i]);
	}
}

static int send_message(struct peer_end *end, const void *message, size_t size)
{
	if (mq_send(end->fds[end->way], message, size, 0) < 0)
		return peer_fail(end, "mq_send", -errno);
	return 0;
}

static int receive_message(struct peer_end *end, void *message, size_t size)
{
	ssize_t count = mq_receive(end->fds[1 - end->way], message, size, NULL);

	if (count != (ssize_t)size)
		return peer_fail(end, "mq_receive", count < 0 ? -errno : -EBADMSG);
	return 0;
}

static const char *no_queues(void)
{
	mqd_t queue = mq_open("/hqq-bench-none", O_RDONLY);

	return queue == (mqd_t)-1 && errno == ENOSYS ? "the kernel has no message queues" : NULL;
}

const struct peer peer_mq = {
	.name = "posix-mq",
	.can = PEER_STREAM | PEER_TRIP | PEER_MANY,
	.largest = LARGEST,
	.missing = no_queues,
	.prepare = prepare_queues,
	.dispose = close_queues,
	.send = send_message,
	.receive = receive_message,
};
