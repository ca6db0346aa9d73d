/*
 * adv_foreign.c - a second endpoint of the Advanced protocol, for tests; see adv_foreign.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_foreign.h"

#include <stdlib.h>
#include <string.h>

#define KIND (ADV_REQUEST | ADV_RESPONSE)

static int broken(struct adv_foreign *peer, const char *why)
{
	peer->why = why;
	return ADV_BROKEN;
}

void adv_start(struct adv_foreign *peer)
{
	struct foreign link = peer->link;

	memset(peer, 0, sizeof(*peer));
	peer->link = link;
}

void adv_close(struct adv_foreign *peer)
{
	unsigned int i;

	for (i = 0; i < ADV_PARTIALS; i++) {
		if (peer->partials[i].used)
			free(peer->partials[i].bytes);
	}
	foreign_close(&peer->link);
	memset(peer, 0, sizeof(*peer));
}

/* ---- raw packets ------------------------------------------------------------------------------- */

int adv_send_raw(struct adv_foreign *peer, const uint64_t word[FOREIGN_WORDS], const void *data, size_t length,
                 uint64_t timeout_ns)
{
	return foreign_send_packet(&peer->link, word, data, length, timeout_ns);
}

int adv_send_control(struct adv_foreign *peer, uint64_t opcode, uint64_t op0, uint64_t op1, uint64_t op2)
{
	const uint64_t word[FOREIGN_WORDS] = { opcode, op0, op1, op2, 0, 0, 0, 0 };

	return adv_send_raw(peer, word, NULL, 0, 0);
}

int adv_take(struct adv_foreign *peer, struct adv_packet *packet, uint64_t timeout_ns)
{
	struct foreign_slot slot;
	int result;

	if (peer->link.layout.size > ADV_BUFFER_MAX)
		return FOREIGN_LENGTH;
	result = foreign_reserve_read(&peer->link, &slot, timeout_ns);
	if (result != FOREIGN_OK)
		return result;
	foreign_packet(&slot, packet->word);
	memcpy(packet->buffer, slot.buffer, (size_t)peer->link.layout.size);
	foreign_release(&peer->link, &slot);
	return ADV_OK;
}

/* ---- negotiation ------------------------------------------------------------------------------- */

/* The operands from this one on are unused and so zero. */
static bool rest_is_zero(const struct adv_packet *packet, unsigned int from)
{
	for (; from < FOREIGN_WORDS; from++) {
		if (packet->word[from] != 0)
			return false;
	}
	return true;
}

int adv_negotiate(struct adv_foreign *peer, uint64_t features, uint64_t timeout_ns)
{
	struct adv_packet packet;
	int result = adv_send_control(peer, ADV_OP_NEGOTIATE, ADV_VERSION, features, ADV_CAPABILITIES);

	if (result == ADV_OK)
		result = adv_take(peer, &packet, timeout_ns);
	if (result != ADV_OK)
		return result;
	if (packet.word[0] == ADV_OP_ERROR && packet.word[1] == 0) {
		peer->code = packet.word[2];
		return ADV_REJECTED;
	}
	if (packet.word[0] != ADV_OP_ACK)
		return broken(peer, "neither ACK nor ERROR");
	if (packet.word[1] >> 8 != 1 || (packet.word[1] & 0xff) > 0)
		return broken(peer, "the version of the ACK");
	if ((packet.word[2] & ~features) != 0)
		return broken(peer, "a feature that was not asked for");
	if ((packet.word[3] & ~(uint64_t)ADV_CAPABILITIES) != 0)
		return broken(peer, "an unknown capability");
	if (!rest_is_zero(&packet, 4))
		return broken(peer, "operands of the ACK");
	peer->features = packet.word[2];
	peer->capabilities = packet.word[3];
	return ADV_OK;
}

int adv_wait_negotiation(struct adv_foreign *peer, uint64_t timeout_ns)
{
	struct adv_packet packet;
	int result = adv_take(peer, &packet, timeout_ns);

	if (result != ADV_OK)
		return result;
	if (packet.word[0] != ADV_OP_NEGOTIATE || !rest_is_zero(&packet, 4))
		return broken(peer, "no PROTO_NEGOTIATE");
	if (packet.word[1] >> 8 != 1) {
		peer->code = ADV_INVALID_OP;
		adv_send_control(peer, ADV_OP_ERROR, 0, ADV_INVALID_OP, 0);
		return ADV_REJECTED;
	}
	peer->features = packet.word[2] & ADV_FEATURES;
	peer->capabilities = packet.word[3] & ADV_CAPABILITIES;
	return adv_send_control(peer, ADV_OP_ACK, ADV_VERSION, peer->features, peer->capabilities);
}

/* ---- sending messages -------------------------------------------------------------------------- */

int adv_send_chunk(struct adv_foreign *peer, const struct adv_chunk *chunk, const void *data,
                   uint64_t timeout_ns)
{
	const uint64_t word[FOREIGN_WORDS] = { ADV_OP_COPY,   chunk->connection, chunk->id,    chunk->total,
		                               chunk->offset, chunk->size,       chunk->flags, chunk->number };
	const unsigned char *bytes = data;

	return adv_send_raw(peer, word, bytes == NULL ? NULL : bytes + chunk->offset,
	                    bytes == NULL ? 0 : (size_t)chunk->size, timeout_ns);
}

void adv_cut(const struct adv_foreign *peer, struct adv_chunk *chunk, uint64_t kind, uint64_t number,
             uint64_t offset)
{
	const uint64_t left = chunk->total - offset, most = peer->link.layout.size;

	chunk->offset = offset;
	chunk->size = left < most ? left : most;
	chunk->flags = kind;
	chunk->number = 0;
	if (offset == 0) {
		chunk->flags |= ADV_BEGIN;
		chunk->number = number;
	}
	if (chunk->size == left)
		chunk->flags |= ADV_END;
}

uint64_t adv_next_id(struct adv_foreign *peer)
{
	return ++peer->message_ids;
}

int adv_send_message(struct adv_foreign *peer, uint64_t connection, uint64_t id, uint64_t kind,
                     uint64_t number, const void *data, size_t length, uint64_t timeout_ns)
{
	struct adv_chunk chunk = { .connection = connection, .id = id, .total = length };
	uint64_t offset = 0;
	int result;

	do {
		adv_cut(peer, &chunk, kind, number, offset);
		result = adv_send_chunk(peer, &chunk, length == 0 ? NULL : data, timeout_ns);
		offset += chunk.size;
	} while (result == ADV_OK && offset < length);
	return result;
}

int adv_send_abort(struct adv_foreign *peer, uint64_t connection, uint64_t id, uint64_t kind)
{
	const struct adv_chunk chunk = { .connection = connection, .id = id, .flags = kind | ADV_ABORT };

	return adv_send_chunk(peer, &chunk, NULL, 0);
}

/* ---- receiving --------------------------------------------------------------------------------- */

static struct adv_partial *find(struct adv_foreign *peer, const struct adv_chunk *chunk)
{
	struct adv_partial *partial;
	unsigned int i;

	for (i = 0; i < ADV_PARTIALS; i++) {
		partial = &peer->partials[i];
		if (partial->used && partial->connection == chunk->connection && partial->id == chunk->id &&
		    (partial->flags & KIND) == (chunk->flags & KIND))
			return partial;
	}
	return NULL;
}

static struct adv_partial *find_free(struct adv_foreign *peer)
{
	unsigned int i;

	for (i = 0; i < ADV_PARTIALS; i++) {
		if (!peer->partials[i].used)
			return &peer->partials[i];
	}
	return NULL;
}

/* What a frame may not be, whatever came before it; NULL when all is well. */
static const char *fault_of(const struct adv_foreign *peer, const struct adv_chunk *chunk)
{
	if ((chunk->flags & ~(uint64_t)63) != 0)
		return "unknown flags";
	if ((chunk->flags & KIND) == KIND)
		return "REQUEST with RESPONSE";
	if ((chunk->flags & ADV_ERROR) != 0 && (chunk->flags & ADV_RESPONSE) == 0)
		return "ERROR without RESPONSE";
	if (chunk->id == 0)
		return "message id 0";
	if ((chunk->flags & ADV_ABORT) != 0)
		return chunk->total != 0 || chunk->offset != 0 || chunk->size != 0 ? "an ABORT with a size" : NULL;
	if (chunk->size > peer->link.layout.size)
		return "size > B";
	if (chunk->offset > chunk->total || chunk->size > chunk->total - chunk->offset)
		return "a chunk beyond the total";
	if (chunk->total == 0 && (chunk->flags & ADV_WHOLE) != ADV_WHOLE)
		return "an empty message in pieces";
	if (chunk->total != 0 && chunk->size == 0)
		return "an empty chunk";
	if (((chunk->flags & ADV_BEGIN) != 0) != (chunk->offset == 0))
		return "BEGIN not at offset 0";
	if ((chunk->flags & ADV_BEGIN) == 0 && chunk->number != 0)
		return "method or status on a later chunk";
	if (((chunk->flags & ADV_END) != 0) != (chunk->offset + chunk->size == chunk->total))
		return "END not on the last chunk";
	/* senders cut whole buffers */
	if ((chunk->flags & ADV_END) == 0 && chunk->size != peer->link.layout.size)
		return "a short chunk";
	return NULL;
}

static int finish(struct adv_partial *partial, struct adv_event *event)
{
	event->kind = ADV_GOT_MESSAGE;
	event->connection = partial->connection;
	event->id = partial->id;
	event->flags = partial->flags | ADV_WHOLE;
	event->number = partial->number;
	event->bytes = partial->bytes;
	event->length = (size_t)partial->total;
	partial->used = false;
	return ADV_OK;
}

static int begin(struct adv_foreign *peer, const struct adv_chunk *chunk, struct adv_partial **made)
{
	struct adv_partial *partial = find_free(peer);

	if (*made != NULL)
		return broken(peer, "begun twice");
	if (partial == NULL)
		return broken(peer, "more messages at once than the test can hold");
	partial->bytes = malloc(chunk->total == 0 ? 1 : (size_t)chunk->total);
	if (partial->bytes == NULL)
		return broken(peer, "no memory");
	partial->used = true;
	partial->connection = chunk->connection;
	partial->id = chunk->id;
	partial->flags = chunk->flags;
	partial->number = chunk->number;
	partial->total = chunk->total;
	partial->received = 0;
	*made = partial;
	return ADV_OK;
}

static int abort_partial(struct adv_partial *partial, const struct adv_chunk *chunk, struct adv_event *event)
{
	event->kind = ADV_GOT_ABORT;
	event->connection = chunk->connection;
	event->id = chunk->id;
	event->flags = chunk->flags;
	event->number = chunk->number;
	if (partial != NULL) {
		free(partial->bytes);
		partial->used = false;
	}
	return ADV_OK;
}

/* 1: one more piece, no event yet. */
static int take_copy(struct adv_foreign *peer, const struct adv_packet *packet, struct adv_event *event)
{
	const uint64_t *word = packet->word;
	const struct adv_chunk chunk = { word[1], word[2], word[3], word[4], word[5], word[6], word[7] };
	struct adv_partial *partial = find(peer, &chunk);
	const char *fault = fault_of(peer, &chunk);
	int result;

	if (fault != NULL)
		return broken(peer, fault);
	if ((chunk.flags & ADV_ABORT) != 0)
		return abort_partial(partial, &chunk, event);
	if ((chunk.flags & ADV_BEGIN) != 0) {
		result = begin(peer, &chunk, &partial);
		if (result != ADV_OK)
			return result;
	} else if (partial == NULL) {
		return broken(peer, "a chunk without BEGIN");
	}
	if (chunk.offset != partial->received)
		return broken(peer, "a gap or overlap");
	if (chunk.total != partial->total)
		return broken(peer, "a total that changes");
	memcpy(partial->bytes + chunk.offset, packet->buffer, (size_t)chunk.size);
	partial->received += chunk.size;
	return partial->received == partial->total ? finish(partial, event) : 1;
}

static int take_standard(struct adv_foreign *peer, const struct adv_packet *packet, struct adv_event *event)
{
	const uint64_t length = packet->word[3];

	if (length == 0 || length > peer->link.layout.size || !rest_is_zero(packet, 4))
		return broken(peer, "a bad STANDARD_COPY");
	event->kind = ADV_GOT_STANDARD;
	event->id = packet->word[1];
	event->bytes = malloc((size_t)length);
	if (event->bytes == NULL)
		return broken(peer, "no memory");
	memcpy(event->bytes, packet->buffer, (size_t)length);
	event->length = (size_t)length;
	return ADV_OK;
}

static int answer_create(struct adv_foreign *peer, uint64_t id)
{
	if (!peer->listening)
		return adv_send_control(peer, ADV_OP_ERROR, id, ADV_CONN_NOT_FOUND, 0);
	return adv_send_control(peer, ADV_OP_ACCEPT, id, 0, 0);
}

/* A packet that is an event in itself, with a connection id and one number more. */
static int take_control(struct adv_foreign *peer, const struct adv_packet *packet, struct adv_event *event,
                        enum adv_kind kind)
{
	if (!rest_is_zero(packet, 3))
		return broken(peer, "operands that must be zero");
	event->kind = kind;
	event->connection = packet->word[1];
	event->number = packet->word[2];
	if (kind != ADV_GOT_CREATE)
		return ADV_OK;
	if (event->connection == 0 || event->number != 0)
		return broken(peer, "a bad CONN_CREATE");
	if (answer_create(peer, event->connection) != FOREIGN_OK)
		return broken(peer, "no room for the answer");
	return peer->listening ? ADV_OK : 1;
}

int adv_receive(struct adv_foreign *peer, struct adv_event *event, uint64_t timeout_ns)
{
	struct adv_packet packet;
	int result;

	do {
		memset(event, 0, sizeof(*event));
		result = adv_take(peer, &packet, timeout_ns);
		if (result != ADV_OK)
			return result;
		switch (packet.word[0]) {
		case ADV_OP_COPY:
			result = take_copy(peer, &packet, event);
			break;
		case FOREIGN_COPY:
			result = take_standard(peer, &packet, event);
			break;
		case FOREIGN_TOMBSTONE:
			result = 1;
			break;
		case ADV_OP_ERROR:
			result = take_control(peer, &packet, event, ADV_GOT_ERROR);
			break;
		case ADV_OP_CREATE:
			result = take_control(peer, &packet, event, ADV_GOT_CREATE);
			break;
		case ADV_OP_ACCEPT:
			result = take_control(peer, &packet, event, ADV_GOT_ACCEPT);
			break;
		case ADV_OP_CLOSE:
			result = take_control(peer, &packet, event, ADV_GOT_CLOSE);
			break;
		case ADV_OP_NEGOTIATE:
			event->kind = ADV_GOT_NEGOTIATE;
			event->number = packet.word[2];
			return ADV_OK;
		default:
			return broken(peer, "an opcode that is not for a negotiated link");
		}
	} while (result == 1);
	return result;
}

int adv_dial(struct adv_foreign *peer, uint64_t *connection, uint64_t timeout_ns)
{
	const uint64_t id = ++peer->dialled;
	struct adv_event event;
	int result = adv_send_control(peer, ADV_OP_CREATE, id, 0, 0);

	if (result == ADV_OK)
		result = adv_receive(peer, &event, timeout_ns);
	if (result != ADV_OK)
		return result;
	free(event.bytes);
	if (event.connection != id)
		return broken(peer, "an answer to another dial");
	if (event.kind == ADV_GOT_ERROR) {
		peer->code = event.number;
		return ADV_REJECTED;
	}
	if (event.kind != ADV_GOT_ACCEPT)
		return broken(peer, "no answer to the dial");
	*connection = id;
	return ADV_OK;
}
