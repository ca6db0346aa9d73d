/*
 * hqq.c - libhqq itself, used like all the others
 *
 * The Standard link for messages, the Advanced one for large messages and calls.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "peers/peer.h"
#include <hqq.h>
#include <stdlib.h>

/* As in copies.c. */
#define LARGE_BUFFERS 16
#define LARGE_BUFFER_BYTES (64u << 10)

struct manner {
	uint32_t wait;
	uint64_t flags;
};

static const struct manner plain = {HQQ_WAIT_ADAPTIVE, 0};
static const struct manner spinning = {HQQ_WAIT_SPIN, 0};
static const struct manner blocking = {HQQ_WAIT_BLOCK, 0};
static const struct manner single = {HQQ_WAIT_ADAPTIVE, HQQ_SINGLE_WRITER | HQQ_SINGLE_READER};

static int fail(struct peer_end *end, const char *what, ssize_t error)
{
	return peer_fail_text(end, what, error < 0 ? hqq_strerror((int)error) : "a short count");
}

static struct hqq_options options_of(const struct peer_end *end)
{
	const struct manner *manner = peer_of(end)->how;
	struct hqq_options options = HQQ_OPTIONS_INIT;

	options.wait = manner->wait;
	options.flags = manner->flags | HQQ_PREFAULT;
	options.role = end->way == 0 ? HQQ_ROLE_PRIMARY : HQQ_ROLE_SECONDARY;
	return options;
}

/* ---- the Standard link ----------------------------------------------------------------------- */

/* out: the link. */
static int open_link(struct peer_end *end)
{
	const struct hqq_options options = options_of(end);
	size_t slots = bench_slots(end->size);
	hqq_standard *link = NULL;
	int error = 0;

	if (end->pair->side == 0)
		error = hqq_standard_create(&link, end->pair->segment, slots, end->size, 0600, &options);
	if (error < 0)
		return fail(end, "hqq_standard_create", error);
	pair_meet(end->pair);
	if (end->pair->side != 0)
		error = hqq_standard_open(&link, end->pair->segment, slots, end->size, &options);
	end->out = link;
	return error < 0 ? fail(end, "hqq_standard_open", error) : 0;
}

static void close_link(struct peer_end *end)
{
	hqq_standard_close(end->out);
}

static int send_message(struct peer_end *end, const void *message, size_t size)
{
	ssize_t sent = hqq_standard_write(end->out, message, size);

	return sent == (ssize_t)size ? 0 : fail(end, "hqq_standard_write", sent);
}

static int receive_message(struct peer_end *end, void *message, size_t size)
{
	ssize_t received = hqq_standard_read(end->out, message, size);

	return received == (ssize_t)size ? 0 : fail(end, "hqq_standard_read", received);
}

#define STANDARD .open = open_link, .close = close_link, .send = send_message, .receive = receive_message

const struct peer peer_hqq = {
	.name = "hqq",
	.can = PEER_STREAM | PEER_TRIP | PEER_MANY,
	.how = &plain,
	.version = hqq_version_string,
	STANDARD,
};

const struct peer peer_hqq_spin = {
	.name = "hqq-spin",
	.can = PEER_STREAM | PEER_TRIP,
	.how = &spinning,
	STANDARD,
};

const struct peer peer_hqq_single = {
	.name = "hqq-single",
	.can = PEER_STREAM | PEER_TRIP,
	.how = &single,
	STANDARD,
};

const struct peer peer_hqq_block = {
	.name = "hqq-block",
	.can = PEER_STREAM | PEER_TRIP,
	.how = &blocking,
	STANDARD,
};

/* ---- the Advanced link ----------------------------------------------------------------------- */

struct advanced {
	hqq_advanced *link;
	struct hqq_message request; /* that is to be answered */
	uint64_t call;
};

static int open_advanced(struct peer_end *end)
{
	const bool calls = peer_of(end)->can & PEER_CALL;
	const size_t slots = calls ? BENCH_SLOTS : LARGE_BUFFERS;
	const size_t slot_size = calls ? end->size : LARGE_BUFFER_BYTES;
	const struct hqq_version version = {HQQ_ADVANCED_VERSION_MAJOR, HQQ_ADVANCED_VERSION_MINOR};
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	struct advanced *advanced = calloc(1, sizeof(*advanced));
	int error = 0;

	end->out = advanced;
	if (!advanced)
		return peer_fail_text(end, "calloc", "out of memory");
	options.link = options_of(end);
	if (end->pair->side == 0)
		error = hqq_advanced_create(&advanced->link, end->pair->segment, slots, slot_size, 0600,
					    &options);
	if (error < 0)
		return fail(end, "hqq_advanced_create", error);
	pair_meet(end->pair);
	if (end->pair->side != 0)
		error = hqq_advanced_open(&advanced->link, end->pair->segment, slots, slot_size, &options);
	if (error < 0)
		return fail(end, "hqq_advanced_open", error);
	if (end->pair->side == 0)
		error = hqq_advanced_negotiate(advanced->link, NULL, version,
					       HQQ_FEATURE_LARGE_COPY | HQQ_FEATURE_REQUEST_RESPONSE);
	else
		error = hqq_advanced_wait_negotiation(advanced->link, NULL);
	return error < 0 ? fail(end, "negotiation", error) : 0;
}

static void close_advanced(struct peer_end *end)
{
	struct advanced *advanced = end->out;

	hqq_advanced_close(advanced->link);
	free(advanced);
}

static int send_large(struct peer_end *end, const void *message, size_t size)
{
	struct advanced *advanced = end->out;
	int error = hqq_advanced_send_large(advanced->link, NULL, 0, message, size, NULL);

	return error < 0 ? fail(end, "hqq_advanced_send_large", error) : 0;
}

/* Into memory of the message's own, from where it is copied, as everybody else has it in theirs. */
static int take(struct peer_end *end, struct hqq_message *from, void *message, size_t size)
{
	if (from->payload_size != size)
		return peer_fail_text(end, "receiving", "a message of another size");
	memcpy(message, from->payload, size);
	return 0;
}

/* Where a message that comes in chunks is put together: in the memory that it is wanted in. */
struct place {
	unsigned char *bytes;
	size_t size;
};

static int put(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data, size_t length,
	       void *argument)
{
	struct place *place = argument;

	(void)head;
	if (total != place->size)
		return -1;
	memcpy(place->bytes + offset, data, length);
	return 0;
}

static int receive_large(struct peer_end *end, void *message, size_t size)
{
	struct advanced *advanced = end->out;
	struct place place = {message, size};
	int error = hqq_advanced_receive_stream(advanced->link, NULL, put, &place);

	return error < 0 ? fail(end, "hqq_advanced_receive_stream", error) : 0;
}

static int send_call(struct peer_end *end, const void *message, size_t size)
{
	struct advanced *advanced = end->out;
	int error;

	if (end->way == 0) {
		error = hqq_advanced_call_start(advanced->link, NULL, 0, 1, message, size, &advanced->call);
		return error < 0 ? fail(end, "hqq_advanced_call_start", error) : 0;
	}
	error = hqq_advanced_respond(advanced->link, NULL, &advanced->request, 0, message, size);
	hqq_message_clear(&advanced->request);
	return error < 0 ? fail(end, "hqq_advanced_respond", error) : 0;
}

static int receive_call(struct peer_end *end, void *message, size_t size)
{
	struct advanced *advanced = end->out;
	struct hqq_message response;
	int error;

	if (end->way == 1) {
		error = hqq_advanced_receive(advanced->link, NULL, &advanced->request);
		return error < 0 ? fail(end, "hqq_advanced_receive", error)
				 : take(end, &advanced->request, message, size);
	}
	error = hqq_advanced_call_wait(advanced->link, NULL, advanced->call, &response);
	if (error < 0)
		return fail(end, "hqq_advanced_call_wait", error);
	error = take(end, &response, message, size);
	hqq_message_clear(&response);
	return error;
}

const struct peer peer_hqq_large = {
	.name = "hqq",
	.can = PEER_LARGE,
	.how = &plain,
	.open = open_advanced,
	.close = close_advanced,
	.send = send_large,
	.receive = receive_large,
};

const struct peer peer_hqq_call = {
	.name = "hqq",
	.can = PEER_CALL,
	.how = &plain,
	.open = open_advanced,
	.close = close_advanced,
	.send = send_call,
	.receive = receive_call,
};
