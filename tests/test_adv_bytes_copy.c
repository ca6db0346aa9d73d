/*
 * test_adv_bytes_copy.c - messages, requests and responses on an Advanced link, packet by packet
 *
 * What the library sends is compared word by word with the tables of the wire protocol; what an
 * independent peer sends by those tables, the library must hand over. Each test runs with the
 * library on either side of the segment and in either part of the negotiation.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_rig.h"

#include <string.h>

#define COUNT 8
#define SIZE 16

#define NUMBER_OF(array) (int)(sizeof(array) / sizeof((array)[0]))

static uint64_t send_data(struct rig *rig, uint64_t connection, const void *data, size_t length)
{
	uint64_t id = 0;

	MUST_EQ(hqq_advanced_send_large(rig->handle, &rig->now, connection, data, length, &id), 0);
	return id;
}

static uint64_t start_call(struct rig *rig, uint64_t connection, uint64_t method, const void *data,
                           size_t length)
{
	uint64_t id = 0;

	MUST_EQ(hqq_advanced_call_start(rig->handle, &rig->now, connection, method, data, length, &id), 0);
	return id;
}

static int wait_call(struct rig *rig, uint64_t id, struct hqq_message *response)
{
	return hqq_advanced_call_wait(rig->handle, &rig->now, id, response);
}

static void receive(struct rig *rig, struct hqq_message *message)
{
	MUST_EQ(hqq_advanced_receive(rig->handle, &rig->now, message), 0);
}

/* ---- what the library sends -------------------------------------------------------------------- */

/* The example of the protocol's description: 38 bytes on connection 5 through buffers of 16. */
START_TEST(recorded_large_copy_is_sent)
{
	unsigned char data[38], got[SIZE];
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	test_fill(data, sizeof(data), 1);
	MUST_EQ(send_data(&rig, 5, data, sizeof(data)), 1);
	RIG_SEES(&rig, got, 4, 5, 1, 38, 0, 16, 1, 0);
	MUST(memcmp(got, data, 16) == 0);
	RIG_SEES(&rig, got, 4, 5, 1, 38, 16, 16, 0, 0);
	MUST(memcmp(got, data + 16, 16) == 0);
	RIG_SEES(&rig, got, 4, 5, 1, 38, 32, 6, 2, 0);
	MUST(memcmp(got, data + 32, 6) == 0);
	rig_close(&rig);
}
END_TEST

START_TEST(recorded_large_copy_is_received)
{
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	rig_sends(&rig, 5, 1, 0, 0, 38);
	RIG_RECEIVES(&rig, 5, 1, 0, 0, 38);
	MUST_EQ(rig_stats(&rig).large_messages_received, 1);
	MUST_EQ(rig_stats(&rig).large_bytes_received, 38);
	rig_close(&rig);
}
END_TEST

/* One packet as it lies in memory. */
START_TEST(frame_as_bytes)
{
	static const unsigned char frame[64] = { [0] = 4, [8] = 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,
		                                 [16] = 1, [24] = 5, [40] = 5, [48] = 11,
		                                 [56] = 0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe };
	const unsigned char *element;
	struct rig rig;
	int ring;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	start_call(&rig, UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210), "hello", 5);
	ring = 1 - rig.peer.link.direction;
	/* slot 1: the negotiation took the first */
	element = rig.peer.link.base + rig.peer.link.layout.ring[ring] + 256 + 72;
	MUST(memcmp(element, frame, sizeof(frame)) == 0);
	MUST_EQ(foreign_word(element, 64), 2);
	MUST(memcmp(rig.peer.link.base + rig.peer.link.layout.buffers[ring] + SIZE, "hello", 5) == 0);
	RIG_SEES(&rig, NULL, 4, UINT64_C(0x0123456789abcdef), 1, 5, 0, 5, 11, UINT64_C(0xfedcba9876543210));
	rig_close(&rig);
}
END_TEST

START_TEST(request_names_its_method_once)
{
	unsigned char data[40], got[SIZE];
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	test_fill(data, sizeof(data), 2);
	MUST_EQ(start_call(&rig, 0, 7, data, 5), 1);
	RIG_SEES(&rig, got, 4, 0, 1, 5, 0, 5, 11, 7);
	MUST(memcmp(got, data, 5) == 0);
	MUST_EQ(start_call(&rig, 9, UINT64_MAX, data, 40), 2);
	RIG_SEES(&rig, NULL, 4, 9, 2, 40, 0, 16, 9, UINT64_MAX);
	RIG_SEES(&rig, NULL, 4, 9, 2, 40, 16, 16, 8, 0);
	RIG_SEES(&rig, NULL, 4, 9, 2, 40, 32, 8, 10, 0);
	/* exactly two buffers: no empty third */
	MUST_EQ(start_call(&rig, 0, 0, data, 32), 3);
	RIG_SEES(&rig, NULL, 4, 0, 3, 32, 0, 16, 9, 0);
	RIG_SEES(&rig, NULL, 4, 0, 3, 32, 16, 16, 10, 0);
	rig_close(&rig);
}
END_TEST

START_TEST(response_carries_the_ids_of_its_request)
{
	unsigned char data[40], got[SIZE];
	struct hqq_message request;
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	test_fill(data, sizeof(data), 3);
	rig_sends(&rig, 6, 1234567, ADV_REQUEST, 8, 38);
	receive(&rig, &request);
	MUST_EQ(request.connection_id, 6);
	MUST_EQ(request.message_id, 1234567);
	MUST_EQ(request.method_id, 8);
	MUST_EQ(hqq_advanced_respond(rig.handle, &rig.now, &request, 21, data, 40), 0);
	RIG_SEES(&rig, got, 4, 6, 1234567, 40, 0, 16, 17, 21);
	MUST(memcmp(got, data, 16) == 0);
	RIG_SEES(&rig, got, 4, 6, 1234567, 40, 16, 16, 16, 0);
	MUST(memcmp(got, data + 16, 16) == 0);
	RIG_SEES(&rig, got, 4, 6, 1234567, 40, 32, 8, 18, 0);
	MUST(memcmp(got, data + 32, 8) == 0);
	hqq_message_clear(&request);
	rig_sends(&rig, 0, UINT64_MAX, ADV_REQUEST, 8, 0);
	receive(&rig, &request);
	MUST_EQ(hqq_advanced_respond(rig.handle, &rig.now, &request, 0, "yes", 3), 0);
	RIG_SEES(&rig, got, 4, 0, UINT64_MAX, 3, 0, 3, 19, 0);
	hqq_message_clear(&request);
	rig_close(&rig);
}
END_TEST

START_TEST(error_response_has_a_status)
{
	struct hqq_message request;
	unsigned char data[20];
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	test_fill(data, sizeof(data), 4);
	rig_sends(&rig, 0, 50, ADV_REQUEST, 8, 5);
	receive(&rig, &request);
	MUST_EQ(hqq_advanced_respond_error(rig.handle, &rig.now, &request, 21, "no", 2), 0);
	RIG_SEES(&rig, NULL, 4, 0, 50, 2, 0, 2, 51, 21);
	MUST_EQ(hqq_advanced_respond_error(rig.handle, &rig.now, &request, 22, data, 20), 0);
	RIG_SEES(&rig, NULL, 4, 0, 50, 20, 0, 16, 49, 22);
	RIG_SEES(&rig, NULL, 4, 0, 50, 20, 16, 4, 50, 0);
	/* status 0 is no error's */
	MUST_EQ(hqq_advanced_respond_error(rig.handle, &rig.now, &request, 0, NULL, 0), 0);
	RIG_SEES(&rig, NULL, 4, 0, 50, 0, 0, 0, 51, 6);
	hqq_message_clear(&request);
	rig_close(&rig);
}
END_TEST

START_TEST(ids_count_all_that_is_not_a_response)
{
	struct hqq_message request;
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	MUST_EQ(send_data(&rig, 0, "a", 1), 1);
	MUST_EQ(start_call(&rig, 0, 5, "b", 1), 2);
	MUST_EQ(start_call(&rig, 3, 5, "c", 1), 3);
	rig_sends(&rig, 0, 99, ADV_REQUEST, 8, 5);
	receive(&rig, &request);
	MUST_EQ(hqq_advanced_respond(rig.handle, &rig.now, &request, 0, NULL, 0), 0);
	hqq_message_clear(&request);
	MUST_EQ(hqq_advanced_write(rig.handle, &rig.now, "d", 1), 1);
	MUST_EQ(send_data(&rig, 7, "e", 1), 4);
	RIG_SEES(&rig, NULL, 4, 0, 1, 1, 0, 1, 3);
	RIG_SEES(&rig, NULL, 4, 0, 2, 1, 0, 1, 11, 5);
	RIG_SEES(&rig, NULL, 4, 3, 3, 1, 0, 1, 11, 5);
	RIG_SEES(&rig, NULL, 4, 0, 99, 0, 0, 0, 19);
	/* copy ids are counted apart; the slot is a mirror of the ring's */
	RIG_SEES(&rig, NULL, 0xff, 1, 5, 1);
	RIG_SEES(&rig, NULL, 4, 7, 4, 1, 0, 1, 3);
	rig_close(&rig);
}
END_TEST

START_TEST(empty_messages)
{
	struct hqq_message message;
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	MUST_EQ(send_data(&rig, 4, NULL, 0), 1);
	RIG_SEES(&rig, NULL, 4, 4, 1, 0, 0, 0, 3, 0);
	MUST_EQ(start_call(&rig, 0, 12, NULL, 0), 2);
	RIG_SEES(&rig, NULL, 4, 0, 2, 0, 0, 0, 11, 12);
	rig_sends(&rig, 0, 2, ADV_RESPONSE, 13, 0);
	MUST_EQ(wait_call(&rig, 2, &message), 0);
	MUST_EQ(message.status, 13);
	MUST_EQ(message.payload_size, 0);
	hqq_message_clear(&message);
	rig_sends(&rig, 4, 1, 0, 0, 0);
	RIG_RECEIVES(&rig, 4, 1, 0, 0, 0);
	rig_sends(&rig, 0, 1, ADV_REQUEST, 14, 0);
	receive(&rig, &message);
	MUST_EQ(message.method_id, 14);
	MUST_EQ(message.payload_size, 0);
	MUST_EQ(hqq_advanced_respond(rig.handle, &rig.now, &message, 15, NULL, 0), 0);
	RIG_SEES(&rig, NULL, 4, 0, 1, 0, 0, 0, 19, 15);
	hqq_message_clear(&message);
	rig_close(&rig);
}
END_TEST

/* ---- every length, both directions ------------------------------------------------------------- */

/* _i: way, then kind. All that begins goes round the ring many times. */
static const uint64_t kinds[] = { 0, ADV_REQUEST, ADV_RESPONSE, ADV_RESPONSE | ADV_ERROR };

#define KINDS NUMBER_OF(kinds)

static void expect_response(struct rig *rig, uint64_t connection, uint64_t id, uint64_t kind, size_t length)
{
	struct hqq_message message;

	rig_sends(rig, connection, id, kind, length + 1, length);
	MUST_EQ(wait_call(rig, id, &message), 0);
	MUST_EQ(message.status, length + 1);
	MUST_EQ(message.flags, kind | ADV_WHOLE);
	MUST_EQ(message.connection_id, connection);
	MUST_EQ(message.message_id, id);
	MUST_EQ(message.payload_size, length);
	MUST_EQ(test_verify(message.payload, length, id), -1);
	hqq_message_clear(&message);
}

START_TEST(every_length_is_received)
{
	const uint64_t kind = kinds[_i / RIG_WAYS];
	struct rig rig;
	uint64_t length, id;

	rig_start(&rig, _i % RIG_WAYS, COUNT, SIZE, NULL);
	for (length = 0; length <= 6 * SIZE + 1; length++) {
		if ((kind & ADV_RESPONSE) != 0) {
			id = start_call(&rig, length % 3, 4, "x", 1);
			rig_gets(&rig, length % 3, id, ADV_WHOLE | ADV_REQUEST, 4, "x", 1);
			expect_response(&rig, length % 3, id, kind, (size_t)length);
		} else {
			id = adv_next_id(&rig.peer);
			rig_sends(&rig, length % 3, id, kind, kind == 0 ? 0 : length, length);
			RIG_RECEIVES(&rig, length % 3, id, kind, kind == 0 ? 0 : length, length);
		}
	}
	MUST_EQ(rig_stats(&rig).refused, 0);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

static uint64_t send_kind(struct rig *rig, uint64_t kind, const void *data, size_t length)
{
	struct hqq_message request;
	int rc;

	if (kind == 0)
		return send_data(rig, 2, data, length);
	if (kind == ADV_REQUEST)
		return start_call(rig, 2, length, data, length);
	rig_sends(rig, 2, adv_next_id(&rig->peer), ADV_REQUEST, 1, 1);
	receive(rig, &request);
	if (kind == ADV_RESPONSE)
		rc = hqq_advanced_respond(rig->handle, &rig->now, &request, length, data, length);
	else
		rc = hqq_advanced_respond_error(rig->handle, &rig->now, &request, length, data, length);
	MUST_EQ(rc, 0);
	hqq_message_clear(&request);
	return rig->peer.message_ids;
}

START_TEST(every_length_is_sent)
{
	const uint64_t kind = kinds[_i / RIG_WAYS];
	unsigned char data[6 * SIZE + 2];
	uint64_t length, number, id;
	struct rig rig;

	rig_start(&rig, _i % RIG_WAYS, COUNT, SIZE, NULL);
	for (length = 0; length < sizeof(data); length++) {
		test_fill(data, sizeof(data), length);
		id = send_kind(&rig, kind, data, (size_t)length);
		number = kind == 0 ? 0 : length == 0 && (kind & ADV_ERROR) != 0 ? ADV_INVALID_OP : length;
		rig_gets(&rig, 2, id, kind | ADV_WHOLE, number, data, (size_t)length);
	}
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* ---- chunks ------------------------------------------------------------------------------------ */

#define WOVEN 6

/* Keys that differ in one part each. The chunks of all of them come in turn. */
START_TEST(chunks_of_several_messages_in_turn)
{
	static const struct {
		uint64_t connection, id, kind, number, total;
	} woven[WOVEN] = {
		{ 0, 1, 0, 0, 40 },         { 0, 1, ADV_REQUEST, 3, 33 },  { 0, 1, ADV_RESPONSE, 4, 48 },
		{ 0, 2, 0, 0, 17 },         { 5, 1, 0, 0, 47 },            { 5, 1, ADV_REQUEST, 9, 35 },
	};
	static const int order_of_arrival[WOVEN] = { 3, 0, 1, 2, 4, 5 }; /* the one with two chunks ends first */
	struct rig rig;
	unsigned int chunk;
	int i, which;

	rig_start(&rig, _i, 32, SIZE, NULL);
	for (chunk = 0; chunk < 3; chunk++) {
		for (i = 0; i < WOVEN; i++) {
			if (chunk * SIZE < woven[i].total)
				rig_sends_part(&rig, woven[i].connection, woven[i].id, woven[i].kind,
				               woven[i].number, woven[i].total, chunk);
		}
	}
	for (i = 0; i < WOVEN; i++) {
		which = order_of_arrival[i];
		RIG_RECEIVES(&rig, woven[which].connection, woven[which].id, woven[which].kind,
		             woven[which].number, woven[which].total);
	}
	MUST_EQ(rig_stats(&rig).refused, 0);
	RIG_RECEIVES_NOTHING(&rig);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* Nothing says that a sender must fill each buffer. */
START_TEST(chunks_of_odd_sizes)
{
	static const uint64_t sizes[] = { 1, 16, 3, 15, 2, 1 };
	struct adv_chunk chunk = { .connection = 3, .id = 8, .total = 38, .flags = ADV_BEGIN };
	unsigned char data[38];
	struct rig rig;
	int i;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	test_fill(data, sizeof(data), 8);
	for (i = 0; i < NUMBER_OF(sizes); i++) {
		chunk.size = sizes[i];
		if (chunk.offset + chunk.size == chunk.total)
			chunk.flags = ADV_END;
		MUST_EQ(adv_send_chunk(&rig.peer, &chunk, data, 0), ADV_OK);
		chunk.offset += chunk.size;
		chunk.flags = 0;
	}
	RIG_RECEIVES(&rig, 3, 8, 0, 0, 38);
	rig_close(&rig);
}
END_TEST

START_TEST(other_packets_in_between)
{
	const uint64_t tombstone[FOREIGN_WORDS] = { 0xfe, 1, 0, 6 };
	unsigned char text[8];
	struct rig rig;
	unsigned int chunk;

	rig_start(&rig, _i, 32, SIZE, NULL);
	for (chunk = 0; chunk < 3; chunk++) {
		rig_says(&rig, tombstone);
		rig_sends_part(&rig, 1, 1, 0, 0, 40, chunk);
		MUST_EQ(foreign_write(&rig.peer.link, "between", 7, 0), FOREIGN_OK);
		RIG_SAYS(&rig, 0x30 + chunk, 1, 1, 40);
		RIG_SAYS(&rig, 0, 9, 5); /* an ERROR for nothing */
	}
	RIG_RECEIVES(&rig, 1, 1, 0, 0, 40);
	for (chunk = 0; chunk < 3; chunk++) {
		MUST_EQ(hqq_advanced_read(rig.handle, &rig.now, text, sizeof(text)), 7);
		MUST(memcmp(text, "between", 7) == 0);
	}
	rig_pump(&rig); /* what came behind the last payload */
	MUST_EQ(rig_stats(&rig).refused, 6);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(unknown_opcodes_are_skipped)
{
	uint64_t opcode;
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	for (opcode = 7; opcode <= 0xfd; opcode++) {
		RIG_SAYS(&rig, opcode, 0, 1, 5, 0, 5, 3, 0);
		MUST_EQ(rig_pump(&rig), 1);
	}
	MUST_EQ(rig_stats(&rig).refused, 0xfd - 7 + 1);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(upper_bits_of_the_opcode_are_masked)
{
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	RIG_SAYS(&rig, UINT64_C(0xabcdef0123456704), 2, 3, 0, 0, 0, 3, 0);
	RIG_RECEIVES(&rig, 2, 3, 0, 0, 0);
	MUST_EQ(rig_stats(&rig).refused, 0);
	rig_close(&rig);
}
END_TEST

/* ---- responses to calls ------------------------------------------------------------------------ */

START_TEST(responses_in_any_order)
{
	static const uint64_t order[] = { 3, 1, 5, 2, 4 };
	struct hqq_message message;
	struct rig rig;
	uint64_t i;

	rig_start(&rig, _i, 64, SIZE, NULL);
	for (i = 1; i <= 5; i++)
		MUST_EQ(start_call(&rig, i % 2, 10 + i, "x", 1), i);
	for (i = 1; i <= 5; i++)
		rig_gets(&rig, i % 2, i, ADV_WHOLE | ADV_REQUEST, 10 + i, "x", 1);
	for (i = 0; i < 5; i++)
		rig_sends(&rig, order[i] % 2, order[i], ADV_RESPONSE, 20 + order[i], 30 + order[i]);
	for (i = 5; i >= 1; i--) {
		MUST_EQ(wait_call(&rig, i, &message), 0);
		MUST_EQ(message.message_id, i);
		MUST_EQ(message.status, 20 + i);
		MUST_EQ(message.payload_size, 30 + i);
		MUST_EQ(test_verify(message.payload, message.payload_size, i), -1);
		hqq_message_clear(&message);
	}
	MUST_EQ(rig_stats(&rig).responses_received, 5);
	RIG_RECEIVES_NOTHING(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(call_tells_an_error_response)
{
	struct hqq_message message;
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	/* the answer lies there already when the question is asked: its id is known */
	rig_sends(&rig, 0, 1, ADV_RESPONSE | ADV_ERROR, 77, 20);
	MUST_EQ(hqq_advanced_call(rig.handle, &rig.now, 5, "ask", 3, &message), HQQ_ERR_RESPONSE);
	MUST(hqq_message_is_error(&message));
	MUST_EQ(message.status, 77);
	MUST_EQ(message.payload_size, 20);
	MUST_EQ(test_verify(message.payload, 20, 1), -1);
	hqq_message_clear(&message);
	rig_gets(&rig, 0, 1, ADV_WHOLE | ADV_REQUEST, 5, "ask", 3);
	rig_sends(&rig, 4, 2, ADV_RESPONSE | ADV_ERROR, 78, 0);
	MUST_EQ(hqq_advanced_call_on(rig.handle, &rig.now, 4, 6, "ask", 3, &message), 0);
	MUST(hqq_message_is_error(&message));
	MUST_EQ(message.status, 78);
	hqq_message_clear(&message);
	rig_gets(&rig, 4, 2, ADV_WHOLE | ADV_REQUEST, 6, "ask", 3);
	rig_sends(&rig, 0, 3, ADV_RESPONSE, 79, 5);
	MUST_EQ(hqq_advanced_call(rig.handle, &rig.now, 7, "ask", 3, NULL), 0);
	rig_gets(&rig, 0, 3, ADV_WHOLE | ADV_REQUEST, 7, "ask", 3);
	rig_close(&rig);
}
END_TEST

/* Neither another connection's, nor another id's, nor a second one, nor one that was not asked for. */
START_TEST(stray_responses)
{
	struct hqq_message message;
	struct rig rig;

	rig_start(&rig, _i, 16, SIZE, NULL);
	MUST_EQ(start_call(&rig, 3, 5, "x", 1), 1);
	rig_gets(&rig, 3, 1, ADV_WHOLE | ADV_REQUEST, 5, "x", 1);
	rig_sends(&rig, 0, 1, ADV_RESPONSE, 11, 4);
	rig_sends(&rig, 3, 2, ADV_RESPONSE, 12, 20);
	rig_sends(&rig, 3, 1, ADV_RESPONSE, 13, 5);
	rig_sends(&rig, 3, 1, ADV_RESPONSE | ADV_ERROR, 14, 6);
	RIG_RECEIVES(&rig, 0, 1, ADV_RESPONSE, 11, 4);
	RIG_RECEIVES(&rig, 3, 2, ADV_RESPONSE, 12, 20);
	RIG_RECEIVES(&rig, 3, 1, ADV_RESPONSE | ADV_ERROR, 14, 6);
	RIG_RECEIVES_NOTHING(&rig);
	MUST_EQ(wait_call(&rig, 1, &message), 0);
	MUST_EQ(message.status, 13);
	hqq_message_clear(&message);
	MUST_EQ(rig_stats(&rig).refused, 0);
	rig_close(&rig);
}
END_TEST

START_TEST(response_to_a_cancelled_call)
{
	struct hqq_message message;
	struct rig rig;

	rig_start(&rig, _i, 16, SIZE, NULL);
	MUST_EQ(start_call(&rig, 0, 5, "x", 1), 1);
	MUST_EQ(start_call(&rig, 0, 5, "y", 1), 2);
	rig_gets(&rig, 0, 1, ADV_WHOLE | ADV_REQUEST, 5, "x", 1);
	rig_gets(&rig, 0, 2, ADV_WHOLE | ADV_REQUEST, 5, "y", 1);
	/* cancelled while the answer is half there */
	rig_sends_part(&rig, 0, 1, ADV_RESPONSE, 30, 20, 0);
	MUST_EQ(rig_pump(&rig), 1);
	MUST_EQ(hqq_advanced_call_cancel(rig.handle, 1), 0);
	MUST_EQ(hqq_advanced_call_cancel(rig.handle, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(wait_call(&rig, 1, &message), HQQ_ERR_INVALID_OP);
	rig_sends_part(&rig, 0, 1, ADV_RESPONSE, 30, 20, 1);
	RIG_RECEIVES(&rig, 0, 1, ADV_RESPONSE, 30, 20);
	/* cancelled when it is there */
	rig_sends(&rig, 0, 2, ADV_RESPONSE, 31, 20);
	MUST_EQ(rig_pump(&rig), 2);
	MUST_EQ(hqq_advanced_call_cancel(rig.handle, 2), 0);
	RIG_RECEIVES_NOTHING(&rig);
	RIG_SILENT(&rig); /* the protocol has no word for it */
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(response_after_a_call_that_timed_out)
{
	struct hqq_message message;
	struct rig rig;

	rig_start(&rig, _i, 16, SIZE, NULL);
	MUST_EQ(hqq_advanced_call(rig.handle, &rig.now, 5, "x", 1, &message), HQQ_ERR_TIMEOUT);
	rig_gets(&rig, 0, 1, ADV_WHOLE | ADV_REQUEST, 5, "x", 1);
	rig_sends(&rig, 0, 1, ADV_RESPONSE, 32, 9);
	RIG_RECEIVES(&rig, 0, 1, ADV_RESPONSE, 32, 9);
	/* a started call may be waited for once more */
	MUST_EQ(start_call(&rig, 0, 5, "y", 1), 2);
	MUST_EQ(wait_call(&rig, 2, &message), HQQ_ERR_TIMEOUT);
	rig_gets(&rig, 0, 2, ADV_WHOLE | ADV_REQUEST, 5, "y", 1);
	rig_sends(&rig, 0, 2, ADV_RESPONSE, 33, 9);
	MUST_EQ(wait_call(&rig, 2, &message), 0);
	MUST_EQ(message.status, 33);
	hqq_message_clear(&message);
	rig_close(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("advanced bytes: messages");
	TCase *cases = test_case(suite, "sent", 20);

	tcase_add_loop_test(cases, recorded_large_copy_is_sent, 0, RIG_WAYS);
	tcase_add_loop_test(cases, recorded_large_copy_is_received, 0, RIG_WAYS);
	tcase_add_loop_test(cases, frame_as_bytes, 0, RIG_WAYS);
	tcase_add_loop_test(cases, request_names_its_method_once, 0, RIG_WAYS);
	tcase_add_loop_test(cases, response_carries_the_ids_of_its_request, 0, RIG_WAYS);
	tcase_add_loop_test(cases, error_response_has_a_status, 0, RIG_WAYS);
	tcase_add_loop_test(cases, ids_count_all_that_is_not_a_response, 0, RIG_WAYS);
	tcase_add_loop_test(cases, empty_messages, 0, RIG_WAYS);

	cases = test_case(suite, "lengths", 20);
	tcase_add_loop_test(cases, every_length_is_received, 0, RIG_WAYS * KINDS);
	tcase_add_loop_test(cases, every_length_is_sent, 0, RIG_WAYS * KINDS);

	cases = test_case(suite, "chunks", 20);
	tcase_add_loop_test(cases, chunks_of_several_messages_in_turn, 0, RIG_WAYS);
	tcase_add_loop_test(cases, chunks_of_odd_sizes, 0, RIG_WAYS);
	tcase_add_loop_test(cases, other_packets_in_between, 0, RIG_WAYS);
	tcase_add_loop_test(cases, unknown_opcodes_are_skipped, 0, RIG_WAYS);
	tcase_add_loop_test(cases, upper_bits_of_the_opcode_are_masked, 0, RIG_WAYS);

	cases = test_case(suite, "responses", 20);
	tcase_add_loop_test(cases, responses_in_any_order, 0, RIG_WAYS);
	tcase_add_loop_test(cases, call_tells_an_error_response, 0, RIG_WAYS);
	tcase_add_loop_test(cases, stray_responses, 0, RIG_WAYS);
	tcase_add_loop_test(cases, response_to_a_cancelled_call, 0, RIG_WAYS);
	tcase_add_loop_test(cases, response_after_a_call_that_timed_out, 0, RIG_WAYS);
	return test_main(suite);
}
