/*
 * sdbus.c - D-Bus from process to process without a daemon, by sd-bus over a pair of sockets
 *
 * Streams are signals, calls are method calls with their returns.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "peers/peer.h"
#include <errno.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>

#define OBJECT "/org/example/Bench"
#define INTERFACE "org.example.Bench"

static int prepare_sockets(struct peer_end *end)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end->fds) < 0)
		return peer_fail(end, "socketpair", -errno);
	return 0;
}

/* out: the bus, in: the call that is to be answered. Side 1 is the server. */
static int open_bus(struct peer_end *end)
{
	sd_bus *bus = NULL;
	sd_id128_t id = SD_ID128_NULL;
	int error = sd_bus_new(&bus);

	if (error >= 0)
		error = sd_bus_set_fd(bus, end->fds[end->way], end->fds[end->way]);
	if (error >= 0)
		error = sd_bus_set_anonymous(bus, 1);
	if (error >= 0)
		error = sd_bus_set_trusted(bus, 1);
	if (error >= 0 && end->way == 1)
		error = sd_id128_randomize(&id);
	if (error >= 0 && end->way == 1)
		error = sd_bus_set_server(bus, 1, id);
	if (error >= 0)
		error = sd_bus_start(bus);
	end->out = bus;
	return error < 0 ? peer_fail(end, "sd_bus_start", error) : 0;
}

static void close_bus(struct peer_end *end)
{
	sd_bus_message_unref(end->in);
	sd_bus_flush_close_unref(end->out);
}

/* The message for this turn: an answer where one is due, else a call or a signal. */
static int new_message(struct peer_end *end, sd_bus_message **message)
{
	bool calls = end->pair->bench->latency;

	if (end->in) {
		int error = sd_bus_message_new_method_return(end->in, message);

		end->in = sd_bus_message_unref(end->in);
		return error;
	}
	return calls ? sd_bus_message_new_method_call(end->out, message, NULL, OBJECT, INTERFACE, "Echo")
		     : sd_bus_message_new_signal(end->out, message, OBJECT, INTERFACE, "Datum");
}

static int send_message(struct peer_end *end, const void *payload, size_t size)
{
	sd_bus_message *message = NULL;
	int error = new_message(end, &message);
	uint64_t cookie; /* who does not want it, wants no answer */

	if (error >= 0)
		error = sd_bus_message_append_array(message, 'y', payload, size);
	if (error >= 0)
		error = sd_bus_send(end->out, message, &cookie);
	if (error >= 0)
		error = sd_bus_flush(end->out);
	sd_bus_message_unref(message);
	return error < 0 ? peer_fail(end, "sd_bus_send", error) : 0;
}

static int receive_message(struct peer_end *end, void *payload, size_t size)
{
	sd_bus_message *message = NULL;
	const void *bytes;
	size_t length;
	int error;

	while ((error = sd_bus_process(end->out, &message)) >= 0 && !message) {
		if (error == 0 && (error = sd_bus_wait(end->out, UINT64_MAX)) < 0)
			break;
	}
	if (error >= 0)
		error = sd_bus_message_read_array(message, 'y', &bytes, &length);
	if (error >= 0 && length == size)
		memcpy(payload, bytes, size);
	else if (error >= 0)
		error = -EBADMSG;
	if (error >= 0 && sd_bus_message_is_method_call(message, NULL, NULL) > 0)
		end->in = message;
	else
		sd_bus_message_unref(message);
	return error < 0 ? peer_fail(end, "sd_bus_process", error) : 0;
}

const struct peer peer_sdbus = {
	.name = "d-bus",
	.can = PEER_STREAM | PEER_CALL | PEER_LARGE,
	.prepare = prepare_sockets,
	.dispose = peer_close_fds,
	.open = open_bus,
	.close = close_bus,
	.send = send_message,
	.receive = receive_message,
};
