/*
 * advanced_glib.c - the server of advanced_server.c in a GLib main loop
 *
 *	advanced_glib NAME
 *
 * As advanced_epoll.c: the link's descriptor is a source of the main loop, and what it announces
 * is taken with a deadline that has passed. SIGINT and SIGTERM end the loop.
 *
 * SPDX-License-Identifier: MIT
 */
#include <glib-unix.h>
#include <glib.h>
#include <hqq.h>
#include <stdio.h>

enum {
	METHOD_UPPER = 1,
	METHOD_SUM = 2
};

struct server {
	hqq_advanced *link;
	GMainLoop *loop;
	guint clients;
	int rc;
};

static int answer(hqq_advanced *link, const struct hqq_message *request)
{
	const gsize size = request->payload_size;
	g_autofree gchar *upper = NULL;
	guint64 sum = 0;

	switch (request->method_id) {
	case METHOD_UPPER:
		upper = g_ascii_strup(size ? request->payload : "", (gssize)size);
		return hqq_advanced_respond(link, NULL, request, 0, upper, size);
	case METHOD_SUM:
		if (size % sizeof(sum))
			return hqq_advanced_respond_error(link, NULL, request, 1, "not numbers", 11);
		for (gsize i = 0; i < size / sizeof(sum); i++)
			sum += ((const guint64 *)request->payload)[i];
		return hqq_advanced_respond(link, NULL, request, 0, &sum, sizeof(sum));
	default:
		return hqq_advanced_respond_error(link, NULL, request, 0, NULL, 0);
	}
}

/* Takes what is there and answers it; why it could not go on. */
static int take_all(struct server *server)
{
	struct hqq_message message;
	hqq_context now = HQQ_CONTEXT_INIT;
	int rc = 0;

	hqq_context_set_timeout(&now, 0);
	if (hqq_advanced_protocol_state(server->link) != HQQ_PROTOCOL_NEGOTIATED) {
		rc = hqq_advanced_wait_negotiation(server->link, &now);
		server->clients += rc == 0;
	}
	while (rc == 0 && (rc = hqq_advanced_receive(server->link, &now, &message)) == 0) {
		if (hqq_message_is_request(&message))
			rc = answer(server->link, &message);
		hqq_message_clear(&message);
	}
	return rc;
}

static gboolean on_link(gint fd, GIOCondition condition, gpointer argument)
{
	struct server *server = argument;
	int rc = take_all(server);

	(void)fd;
	(void)condition;
	if (rc == HQQ_ERR_TIMEOUT || rc == HQQ_ERR_PEER_GONE)
		return G_SOURCE_CONTINUE;
	server->rc = rc;
	g_main_loop_quit(server->loop);
	return G_SOURCE_REMOVE;
}

static gboolean on_signal(gpointer argument)
{
	const struct server *server = argument;

	g_main_loop_quit(server->loop);
	return G_SOURCE_CONTINUE;
}

static int serve(struct server *server)
{
	int fd = hqq_advanced_event_fd(server->link);

	if (fd < 0)
		return fd;
	server->loop = g_main_loop_new(NULL, FALSE);
	g_unix_fd_add(fd, G_IO_IN, on_link, server);
	g_unix_signal_add(SIGINT, on_signal, server);
	g_unix_signal_add(SIGTERM, on_signal, server);
	g_main_loop_run(server->loop);
	g_main_loop_unref(server->loop);
	return server->rc;
}

int main(int argc, char **argv)
{
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	struct server server = {.clients = 0};
	int rc;

	if (argc != 2)
		return fprintf(stderr, "usage: advanced_glib NAME\n"), 2;
	options.dispatcher = HQQ_DISPATCH_MANUAL;
	options.link.flags = HQQ_REPLACE_STALE;
	rc = hqq_advanced_create(&server.link, argv[1], 64, 4096, 0600, &options);
	if (rc == 0) {
		rc = serve(&server);
		hqq_advanced_close(server.link);
	}
	if (rc)
		return fprintf(stderr, "%s: %s\n", argv[1], hqq_strerror(rc)), 1;
	printf("%u clients served\n", server.clients);
	return 0;
}
