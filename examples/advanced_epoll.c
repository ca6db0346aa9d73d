/*
 * advanced_epoll.c - the server of advanced_server.c inside an event loop, with no thread of its own
 *
 *	advanced_epoll NAME
 *
 * hqq_advanced_event_fd() gives a descriptor that is readable while something waits on the link.
 * Then everything is asked for with a deadline that has passed: such a call takes what is there
 * and never waits, so that the loop may look after other descriptors, too.
 *
 * SPDX-License-Identifier: MIT
 */
#include <ctype.h>
#include <hqq.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
	METHOD_UPPER = 1,
	METHOD_SUM = 2
};

static int answer(hqq_advanced *link, const struct hqq_message *request)
{
	unsigned char *text = request->payload;
	uint64_t sum = 0;

	switch (request->method_id) {
	case METHOD_UPPER:
		for (size_t i = 0; i < request->payload_size; i++)
			text[i] = (unsigned char)toupper(text[i]);
		return hqq_advanced_respond(link, NULL, request, 0, text, request->payload_size);
	case METHOD_SUM:
		if (request->payload_size % sizeof(sum))
			return hqq_advanced_respond_error(link, NULL, request, 1, "not numbers", 11);
		for (size_t i = 0; i < request->payload_size / sizeof(sum); i++)
			sum += ((const uint64_t *)request->payload)[i];
		return hqq_advanced_respond(link, NULL, request, 0, &sum, sizeof(sum));
	default:
		return hqq_advanced_respond_error(link, NULL, request, 0, NULL, 0);
	}
}

/* Takes what is there. 0 as long as the link can be used. */
static int on_link(hqq_advanced *link)
{
	struct hqq_message message;
	hqq_context now = HQQ_CONTEXT_INIT;
	int rc = 0;

	hqq_context_set_timeout(&now, 0);
	/* the first frame of a client, and of the next one when it has gone */
	if (hqq_advanced_protocol_state(link) != HQQ_PROTOCOL_NEGOTIATED)
		rc = hqq_advanced_wait_negotiation(link, &now);
	while (rc == 0 && (rc = hqq_advanced_receive(link, &now, &message)) == 0) {
		if (hqq_message_is_request(&message))
			rc = answer(link, &message);
		hqq_message_clear(&message);
	}
	return rc == HQQ_ERR_TIMEOUT || rc == HQQ_ERR_PEER_GONE ? 0 : rc;
}

/* SIGINT and SIGTERM become something to be read. */
static int open_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

static int run(hqq_advanced *link)
{
	const int link_fd = hqq_advanced_event_fd(link), signal_fd = open_signals();
	const int loop = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};
	int rc = link_fd < 0 ? link_fd : 0;

	event.data.fd = link_fd;
	epoll_ctl(loop, EPOLL_CTL_ADD, link_fd, &event);
	event.data.fd = signal_fd;
	epoll_ctl(loop, EPOLL_CTL_ADD, signal_fd, &event);
	while (rc == 0) {
		if (epoll_wait(loop, &event, 1, -1) < 1)
			continue;
		if (event.data.fd == signal_fd)
			break;
		rc = on_link(link);
	}
	close(loop);
	close(signal_fd); /* link_fd belongs to the link */
	return rc;
}

int main(int argc, char **argv)
{
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	hqq_advanced *link;
	int rc;

	if (argc != 2)
		return fprintf(stderr, "usage: advanced_epoll NAME\n"), 2;
	options.dispatcher = HQQ_DISPATCH_MANUAL;
	options.link.flags = HQQ_REPLACE_STALE;
	rc = hqq_advanced_create(&link, argv[1], 64, 4096, 0600, &options);
	if (rc == 0) {
		rc = run(link);
		hqq_advanced_close(link);
	}
	if (rc)
		fprintf(stderr, "%s: %s\n", argv[1], hqq_strerror(rc));
	return rc != 0;
}
