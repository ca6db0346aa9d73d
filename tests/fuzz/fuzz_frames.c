/*
 * fuzz_frames.c - an Advanced handle whose peer is made of bytes
 *
 * An input: how the handle is opened and whether the peer negotiates in order first; then steps. A
 * step is a packet of the peer, written straight into the ring, or a call of the handle, or a look of
 * the peer at what the handle sent, which must keep the rules of the protocol whatever was said to it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "fuzz.h"
#include "packet.h"
#include <hqq.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 64
#define COUNT 8
#define SIZE 512 /* with COUNT whole pages, so that the last buffer ends at the guard page */
#define CALLS 4
#define REQUESTS 4
#define MESSAGE_MAX 4096 /* the largest message of the handle */
#define VERSION_1_0 UINT64_C(0x100)

const char fuzz_name[] = "fuzz_frames";

struct scene {
	struct fuzz_memory memory;
	struct hqq_geometry geometry;
	hqq_advanced *handle;
	hqq_standard *other; /* beside the peer of bytes; may be NULL */
	hqq_context context;
	int mode; /* of the handle */
	uint64_t calls[CALLS];
	struct hqq_message requests[REQUESTS];
	uint64_t connection;
	struct fuzz_input *input;
};

/* ---- the peer ---- */

static struct hqq_ring_header *ring_of(const struct scene *scene, int direction)
{
	return (void *)(scene->memory.base + scene->geometry.ring_offset[direction]);
}

static struct hqq_element *element_of(const struct scene *scene, int direction, uint64_t position)
{
	return (struct hqq_element *)(void *)(ring_of(scene, direction) + 1) + position % COUNT;
}

/* Publishes a packet if the ring has room. */
static void put(const struct scene *scene, const uint64_t words[HQQ_PACKET_WORDS], const void *payload,
                size_t size)
{
	const int direction = 1 - scene->mode;
	struct hqq_ring_header *ring = ring_of(scene, direction);
	const uint64_t position = atomic_load(&ring->write_cursor);
	struct hqq_element *element = element_of(scene, direction, position);

	if (atomic_load(&element->sequence) != position)
		return;
	if (size)
		memcpy(scene->memory.base + scene->geometry.buffers_offset[direction] +
		               position % COUNT * SIZE,
		       payload, size);
	for (unsigned i = 0; i < HQQ_PACKET_WORDS; i++)
		hqq_packet_set(element, i, words[i]);
	atomic_store(&ring->write_cursor, position + 1);
	atomic_store(&element->sequence, position + 1);
}

static void put_control(const struct scene *scene, uint64_t opcode, uint64_t a, uint64_t b, uint64_t c)
{
	const uint64_t words[HQQ_PACKET_WORDS] = {opcode, a, b, c};

	put(scene, words, NULL, 0);
}

/* Numbers that name the same things again and again; anything at all now and then. */
static uint64_t small(struct fuzz_input *input)
{
	const uint64_t number = fuzz_number(input);

	return number < 0xf0 ? number % 6 : number;
}

/* A chunk, told by few bytes, so that well-made ones are no rarity. */
static void put_chunk(struct scene *scene)
{
	struct fuzz_input *input = scene->input;
	const uint64_t shape = fuzz_byte(input);
	uint64_t words[HQQ_PACKET_WORDS] = {HQQ_OP_CONN_COPY};
	uint8_t payload[UINT8_MAX];
	size_t size;

	words[1] = small(input);
	words[2] = small(input);
	words[6] = fuzz_byte(input); /* flags */
	if (shape & 1) {             /* whole, in one chunk */
		words[3] = words[5] = (shape >> 1) * 4;
	} else if (shape & 2) { /* number shape >> 5 of a message of 3 1/2 chunks */
		words[3] = 3 * SIZE + SIZE / 2;
		words[4] = SIZE * (shape >> 5 & 3);
		words[5] = (shape >> 5 & 3) == 3 ? SIZE / 2 : SIZE;
	} else {
		words[3] = fuzz_number(input) * (shape & 4 ? SIZE : 1);
		words[4] = fuzz_number(input) * (shape & 8 ? SIZE : 1);
		words[5] = fuzz_number(input) * (shape & 32 ? 8 : 1);
	}
	if (shape & 16 || words[6] & (HQQ_FLAG_REQUEST | HQQ_FLAG_RESPONSE))
		words[7] = fuzz_number(input);
	size = fuzz_bytes(input, payload, (size_t)(shape >> 3));
	put(scene, words, payload, size);
}

static void put_raw(struct scene *scene)
{
	uint64_t words[HQQ_PACKET_WORDS];
	uint8_t payload[UINT8_MAX];
	size_t size;

	for (unsigned i = 0; i < HQQ_PACKET_WORDS; i++)
		words[i] = fuzz_number(scene->input);
	size = fuzz_bytes(scene->input, payload, fuzz_byte(scene->input));
	put(scene, words, payload, size);
}

/* The rules for a chunk, once more. */
static void must_be_chunk(const struct hqq_element *element)
{
	const uint64_t id = hqq_packet_get(element, 2), total = hqq_packet_get(element, 3);
	const uint64_t offset = hqq_packet_get(element, 4), size = hqq_packet_get(element, 5);
	const uint64_t flags = hqq_packet_get(element, 6), kind = flags & ~UINT64_C(3);

	FUZZ_MUST(id && offset % SIZE == 0);
	if (flags & HQQ_FLAG_ABORT) {
		FUZZ_MUST(!total && !offset && !size && !(flags & 3));
		return;
	}
	FUZZ_MUST(kind == 0 || kind == HQQ_FLAG_REQUEST || kind == HQQ_FLAG_RESPONSE ||
	          kind == (HQQ_FLAG_RESPONSE | HQQ_FLAG_ERROR));
	FUZZ_MUST(total <= MESSAGE_MAX + SIZE && offset <= total && size <= SIZE && size <= total - offset);
	FUZZ_MUST(!(flags & HQQ_FLAG_BEGIN) == (offset != 0));
	FUZZ_MUST(!(flags & HQQ_FLAG_END) == (offset + size != total));
	FUZZ_MUST(size == SIZE || flags & HQQ_FLAG_END);
	FUZZ_MUST(offset == 0 || hqq_packet_get(element, 7) == 0);
}

static void must_be_sound(const struct hqq_element *element)
{
	switch (hqq_packet_opcode(element)) {
	case HQQ_OP_CONN_COPY:
		must_be_chunk(element);
		break;
	case HQQ_OP_STANDARD_COPY:
		FUZZ_MUST(hqq_packet_get(element, HQQ_WORD_SIZE) - 1 < SIZE);
		break;
	case HQQ_OP_PROTO_NEGOTIATE:
		FUZZ_MUST(hqq_packet_get(element, 1) == VERSION_1_0);
		FUZZ_MUST(hqq_packet_get(element, 2) < 4);
		break;
	case HQQ_OP_PROTO_ACK:
		FUZZ_MUST(hqq_packet_get(element, 1) == VERSION_1_0);
		FUZZ_MUST(hqq_packet_get(element, 2) < 4 && hqq_packet_get(element, 3) < 8);
		break;
	default:
		FUZZ_MUST(hqq_packet_opcode(element) <= HQQ_OP_PROTO_ACK ||
		          hqq_packet_opcode(element) == HQQ_OP_STANDARD_TOMBSTONE);
	}
}

/* Takes what the handle sent. */
static void take(const struct scene *scene)
{
	struct hqq_ring_header *ring = ring_of(scene, scene->mode);

	for (unsigned i = 0; i < COUNT; i++) {
		const uint64_t position = atomic_load(&ring->read_cursor);
		struct hqq_element *element = element_of(scene, scene->mode, position);

		if (atomic_load(&element->sequence) != position + 1)
			return;
		must_be_sound(element);
		atomic_store(&ring->read_cursor, position + 1);
		atomic_store(&element->sequence, position + COUNT);
	}
}

/* An endpoint of the library comes to the other side, and does nothing there, or leaves it. */
static void come_or_go(struct scene *scene)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;

	if (scene->other) {
		FUZZ_MUST(hqq_standard_close(scene->other) == 0);
		scene->other = NULL;
		return;
	}
	options.role = scene->mode == HQQ_MODE_PRIMARY ? HQQ_ROLE_SECONDARY : HQQ_ROLE_PRIMARY;
	FUZZ_MUST(hqq_standard_attach(&scene->other, scene->memory.base, scene->memory.length, COUNT, SIZE,
	                              &options) == 0);
}

/* ---- the handle ---- */

static unsigned char *bytes_of(struct scene *scene, size_t *length)
{
	unsigned char *bytes;

	*length = (size_t)(fuzz_byte(scene->input) * (MESSAGE_MAX + SIZE) / UINT8_MAX);
	bytes = malloc(*length ? *length : 1);
	FUZZ_MUST(bytes);
	memset(bytes, 'b', *length);
	return bytes;
}

static int chunk(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
                 size_t length, void *argument)
{
	const struct scene *scene = argument;

	FUZZ_MUST(hqq_message_is_data(head) && length <= SIZE && offset <= total && length <= total - offset);
	FUZZ_MUST(!length || data);
	return length && *(const unsigned char *)data == 0xee && scene ? HQQ_ERR_CANCELED : 0;
}

static ssize_t fill(uint64_t offset, void *data, size_t capacity, void *argument)
{
	const struct scene *scene = argument;

	FUZZ_MUST(capacity <= SIZE && scene);
	memset(data, 'f', capacity);
	return offset > 4 * SIZE ? 0 : (ssize_t)(capacity / 2 + 1);
}

/* Keeps requests, to answer them later; nothing else. */
static void receive(struct scene *scene)
{
	struct hqq_message message;
	const unsigned i = fuzz_byte(scene->input) % REQUESTS;

	if (hqq_advanced_receive(scene->handle, &scene->context, &message))
		return;
	FUZZ_MUST(message.payload_size <= MESSAGE_MAX && (!message.payload_size || message.payload));
	FUZZ_MUST(message.message_id);
	if (!hqq_message_is_request(&message)) {
		hqq_message_clear(&message);
		return;
	}
	hqq_message_clear(&scene->requests[i]);
	scene->requests[i] = message;
}

static void respond(struct scene *scene)
{
	const struct hqq_message *request = &scene->requests[fuzz_byte(scene->input) % REQUESTS];
	size_t length;
	unsigned char *bytes = bytes_of(scene, &length);

	if (length & 1)
		hqq_advanced_respond(scene->handle, &scene->context, request, small(scene->input), bytes,
		                     length);
	else
		hqq_advanced_respond_error(scene->handle, &scene->context, request, small(scene->input),
		                           bytes, length);
	free(bytes);
}

static void call(struct scene *scene, uint8_t how)
{
	const unsigned i = how % CALLS;
	struct hqq_message response;
	size_t length;
	unsigned char *bytes = bytes_of(scene, &length);
	int rc = HQQ_ERR_INVALID_OP;

	memset(&response, 0, sizeof(response));
	switch (how >> 2 & 3) {
	case 0:
		hqq_advanced_call_start(scene->handle, &scene->context, scene->connection, 7, bytes, length,
		                        &scene->calls[i]);
		break;
	case 1:
		rc = hqq_advanced_call_wait(scene->handle, &scene->context, scene->calls[i], &response);
		break;
	case 2:
		hqq_advanced_call_cancel(scene->handle, scene->calls[i]);
		break;
	default:
		rc = hqq_advanced_call(scene->handle, &scene->context, 7, bytes, length, &response);
	}
	if (rc == 0 || rc == HQQ_ERR_RESPONSE) {
		FUZZ_MUST(hqq_message_is_response(&response) && response.payload_size <= MESSAGE_MAX);
		FUZZ_MUST((rc == 0 && how >> 2 & 1) ||
		          hqq_message_is_error(&response) == (rc == HQQ_ERR_RESPONSE));
		hqq_message_clear(&response);
	}
	free(bytes);
}

static int handle_request(hqq_advanced *handle, const struct hqq_message *request, void *argument)
{
	struct scene *scene = argument;
	const uint8_t how = fuzz_byte(scene->input);

	FUZZ_MUST(hqq_message_is_request(request) && request->payload_size <= MESSAGE_MAX);
	return how & 1 ? -(int)how
	               : hqq_advanced_respond(handle, &scene->context, request, 0, request->payload,
	                                      request->payload_size);
}

static void serve(struct scene *scene)
{
	const struct hqq_method methods[] = {{1, handle_request, scene}, {7, handle_request, scene}};

	FUZZ_MUST(hqq_advanced_serve(scene->handle, &scene->context, methods, 2) < 0);
}

static void send(struct scene *scene, uint8_t how)
{
	uint64_t id;
	size_t length;
	unsigned char *bytes = bytes_of(scene, &length);

	if (how & 1)
		hqq_advanced_send_large(scene->handle, &scene->context, scene->connection, bytes, length,
		                        &id);
	else if (how & 2)
		hqq_advanced_send_stream(scene->handle, &scene->context, scene->connection, length, fill,
		                         scene);
	else
		hqq_advanced_write(scene->handle, &scene->context, bytes, length);
	free(bytes);
}

static void connect(struct scene *scene, uint8_t how)
{
	switch (how & 3) {
	case 0:
		FUZZ_MUST(hqq_advanced_listen(scene->handle) <= 0);
		break;
	case 1:
		hqq_advanced_accept(scene->handle, &scene->context, &scene->connection);
		break;
	case 2:
		hqq_advanced_dial(scene->handle, &scene->context, &scene->connection);
		break;
	default:
		hqq_advanced_hangup(scene->handle, &scene->context, scene->connection, how >> 2);
		scene->connection = how & 128 ? 0 : scene->connection;
	}
}

static void negotiate(struct scene *scene, uint8_t how)
{
	const struct hqq_version version = {HQQ_ADVANCED_VERSION_MAJOR, HQQ_ADVANCED_VERSION_MINOR};

	if (how & 1)
		hqq_advanced_wait_negotiation(scene->handle, &scene->context);
	else
		hqq_advanced_negotiate(scene->handle, &scene->context, version, how >> 1 & 3);
}

static void ask(struct scene *scene)
{
	struct hqq_advanced_stats stats;
	const int state = hqq_advanced_protocol_state(scene->handle);

	FUZZ_MUST(hqq_advanced_stats(scene->handle, &stats) == 0);
	FUZZ_MUST(state >= HQQ_PROTOCOL_NONE && state <= HQQ_PROTOCOL_FAILED);
	FUZZ_MUST(hqq_advanced_negotiated_features(scene->handle) < 4);
	FUZZ_MUST(hqq_advanced_negotiated_capabilities(scene->handle) < 8);
}

static void read_payload(struct scene *scene)
{
	const size_t length = 2u * fuzz_byte(scene->input);
	unsigned char *bytes = malloc(length ? length : 1);

	FUZZ_MUST(bytes);
	FUZZ_MUST(hqq_advanced_read(scene->handle, &scene->context, bytes, length) <= (ssize_t)length);
	free(bytes);
}

static void step(struct scene *scene)
{
	const uint8_t what = fuzz_byte(scene->input), how = what >> 4;

	switch (what & 15) {
	case 0:
	case 1:
	case 2:
	case 3:
		put_chunk(scene);
		break;
	case 4:
		put_raw(scene);
		break;
	case 5:
		put_control(scene, how % 7, small(scene->input), small(scene->input), small(scene->input));
		break;
	case 6:
		take(scene);
		break;
	case 7:
		FUZZ_MUST(hqq_advanced_dispatch(scene->handle, &scene->context) <= STEPS_MAX);
		break;
	case 8:
		receive(scene);
		break;
	case 9:
		respond(scene);
		break;
	case 10:
		call(scene, how);
		break;
	case 11:
		send(scene, how);
		break;
	case 12:
		connect(scene, fuzz_byte(scene->input));
		break;
	case 13:
		if (how & 1)
			hqq_advanced_receive_stream(scene->handle, &scene->context, chunk, scene);
		else
			serve(scene);
		break;
	case 14:
		if (how == 15)
			come_or_go(scene);
		else if (how == 14) /* as in calls.c: a thread that watches the ring */
			FUZZ_MUST(fuzz_byte(scene->input) % 8 || hqq_advanced_event_fd(scene->handle) >= 0);
		else if (how > 7)
			ask(scene);
		else
			read_payload(scene);
		break;
	default:
		negotiate(scene, how);
	}
}

static void open_handle(struct scene *scene)
{
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	const uint8_t bits = fuzz_byte(scene->input);
	struct hqq_superblock *super = (void *)scene->memory.base;

	options.dispatcher = HQQ_DISPATCH_MANUAL;
	options.max_message_size = bits & 1 ? MESSAGE_MAX : 3 * SIZE;
	options.incoming_queue_size = 1u << (bits >> 1 & 3);
	options.max_assembly_bytes = bits & 8 ? 0 : 2048;
	FUZZ_MUST(hqq_advanced_attach(&scene->handle, scene->memory.base, scene->memory.length, COUNT, SIZE,
	                              &options) == 0);
	if (bits & 16) { /* the other side, then */
		FUZZ_MUST(hqq_advanced_close(scene->handle) == 0);
		FUZZ_MUST(atomic_load(&super->state) == HQQ_STATE_READY);
		FUZZ_MUST(hqq_advanced_attach(&scene->handle, scene->memory.base, scene->memory.length, COUNT,
		                              SIZE, &options) == 0);
	}
	scene->mode = hqq_advanced_mode(scene->handle);
	if (!(bits & 32))
		return;
	/* both in order: answered before it is asked, or asked */
	put_control(scene, bits & 64 ? HQQ_OP_PROTO_ACK : HQQ_OP_PROTO_NEGOTIATE, VERSION_1_0, 3, 7);
	negotiate(scene, bits & 64 ? 6 : 1);
	FUZZ_MUST(hqq_advanced_protocol_state(scene->handle) == HQQ_PROTOCOL_NEGOTIATED);
}

void fuzz_one(struct fuzz_input *input)
{
	struct scene scene;

	memset(&scene, 0, sizeof(scene));
	scene.input = input;
	hqq_context_set_deadline(&scene.context, &fuzz_passed);
	FUZZ_MUST(hqq_geometry_init(&scene.geometry, COUNT, SIZE) == 0);
	fuzz_map(&scene.memory, scene.geometry.layout_size / hqq_page_size());
	open_handle(&scene);
	for (unsigned i = 0; i < STEPS_MAX && input->left; i++)
		step(&scene);
	take(&scene);
	FUZZ_MUST(hqq_advanced_close(scene.handle) == 0);
	FUZZ_MUST(!scene.other || hqq_standard_close(scene.other) == 0);
	for (unsigned i = 0; i < REQUESTS; i++)
		hqq_message_clear(&scene.requests[i]);
	fuzz_unmap(&scene.memory);
}
