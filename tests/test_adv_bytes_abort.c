/*
 * test_adv_bytes_abort.c - messages that their senders give up, packet by packet
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_rig.h"

#include <string.h>

#define COUNT 8
#define SIZE 16

static const uint64_t kinds[] = { 0, ADV_REQUEST };

static uint64_t start_call(struct rig *rig, uint64_t connection)
{
	uint64_t id = 0;

	MUST_EQ(hqq_advanced_call_start(rig->handle, &rig->now, connection, 5, "x", 1, &id), 0);
	rig_gets(rig, connection, id, ADV_WHOLE | ADV_REQUEST, 5, "x", 1);
	return id;
}

static int wait_call(struct rig *rig, uint64_t id)
{
	struct hqq_message message;
	const int rc = hqq_advanced_call_wait(rig->handle, &rig->now, id, &message);

	if (rc == 0)
		hqq_message_clear(&message);
	return rc;
}

static void expect_abort(struct rig *rig, uint64_t connection, uint64_t id, uint64_t kind)
{
	struct hqq_message message;

	MUST_EQ(hqq_advanced_receive(rig->handle, &rig->now, &message), 0);
	MUST(hqq_message_is_abort(&message));
	MUST_EQ(message.connection_id, connection);
	MUST_EQ(message.message_id, id);
	MUST_EQ(message.flags & (ADV_REQUEST | ADV_RESPONSE | ADV_ABORT), kind | ADV_ABORT);
	MUST_EQ(message.payload_size, 0);
	hqq_message_clear(&message);
}

/* ---- the peer gives up ------------------------------------------------------------------------- */

/* _i: way, then kind */
START_TEST(abort_of_a_message_in_assembly)
{
	const uint64_t kind = kinds[_i / RIG_WAYS];
	struct rig rig;

	rig_start(&rig, _i % RIG_WAYS, 16, SIZE, NULL);
	rig_sends_part(&rig, 3, 9, kind, 0, 40, 0);
	rig_sends_part(&rig, 4, 9, kind, 0, 40, 0); /* beside it */
	rig_sends_part(&rig, 3, 9, kind, 0, 40, 1);
	MUST_EQ(adv_send_abort(&rig.peer, 3, 9, kind), ADV_OK);
	expect_abort(&rig, 3, 9, kind);
	MUST_EQ(rig_stats(&rig).aborted, 1);
	MUST_EQ(rig_stats(&rig).refused, 0);
	/* its key is free, its memory too */
	rig_sends(&rig, 3, 9, kind, 0, 40);
	RIG_RECEIVES(&rig, 3, 9, kind, 0, 40);
	rig_sends_part(&rig, 4, 9, kind, 0, 40, 1);
	rig_sends_part(&rig, 4, 9, kind, 0, 40, 2);
	RIG_RECEIVES(&rig, 4, 9, kind, 0, 40);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(abort_of_a_response_in_assembly)
{
	struct rig rig;

	rig_start(&rig, _i, 16, SIZE, NULL);
	start_call(&rig, 3);
	start_call(&rig, 3);
	rig_sends_part(&rig, 3, 1, ADV_RESPONSE, 0, 40, 0);
	rig_sends_part(&rig, 3, 2, ADV_RESPONSE, 0, 20, 0);
	MUST_EQ(adv_send_abort(&rig.peer, 3, 1, ADV_RESPONSE), ADV_OK);
	MUST_EQ(wait_call(&rig, 1), HQQ_ERR_ABORTED);
	rig_sends_part(&rig, 3, 2, ADV_RESPONSE, 0, 20, 1);
	MUST_EQ(wait_call(&rig, 2), 0);
	MUST_EQ(rig_stats(&rig).refused, 0);
	RIG_RECEIVES_NOTHING(&rig);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* A sender may give up before its first chunk: for a call that is an answer like any other. */
START_TEST(abort_of_a_response_not_begun)
{
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	start_call(&rig, 0);
	MUST_EQ(adv_send_abort(&rig.peer, 0, 1, ADV_RESPONSE), ADV_OK);
	MUST_EQ(wait_call(&rig, 1), HQQ_ERR_ABORTED);
	RIG_RECEIVES_NOTHING(&rig);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* Of a message that is unknown or over: nothing to drop, nothing to hand over, nothing to answer. */
START_TEST(abort_of_nothing)
{
	const uint64_t kind = kinds[_i / RIG_WAYS];
	struct rig rig;

	rig_start(&rig, _i % RIG_WAYS, COUNT, SIZE, NULL);
	MUST_EQ(adv_send_abort(&rig.peer, 3, 9, kind), ADV_OK);
	rig_sends(&rig, 3, 10, kind, 0, 20);
	MUST_EQ(adv_send_abort(&rig.peer, 3, 10, kind), ADV_OK);
	MUST_EQ(adv_send_abort(&rig.peer, 3, 11, ADV_RESPONSE), ADV_OK);
	RIG_RECEIVES(&rig, 3, 10, kind, 0, 20);
	RIG_RECEIVES_NOTHING(&rig);
	RIG_SILENT(&rig);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* ABORT beside BEGIN and END is an abort all the same, and no empty message. */
START_TEST(abort_flag_wins)
{
	const uint64_t kind = kinds[_i / RIG_WAYS];
	const uint64_t beside[] = { ADV_BEGIN, ADV_END, ADV_WHOLE };
	struct rig rig;
	int i;

	rig_start(&rig, _i % RIG_WAYS, COUNT, SIZE, NULL);
	for (i = 0; i < 3; i++) {
		MUST_EQ(adv_send_abort(&rig.peer, 3, 9, kind | beside[i]), ADV_OK);
		RIG_RECEIVES_NOTHING(&rig);
	}
	rig_sends_part(&rig, 3, 9, kind, 0, 40, 0);
	MUST_EQ(adv_send_abort(&rig.peer, 3, 9, kind | ADV_WHOLE), ADV_OK);
	expect_abort(&rig, 3, 9, kind);
	RIG_RECEIVES_NOTHING(&rig);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

static int count_bytes(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
                       size_t length, void *argument)
{
	(void)head;
	(void)total;
	(void)offset;
	(void)data;
	*(size_t *)argument += length;
	return 0;
}

START_TEST(abort_of_a_message_read_as_a_stream)
{
	struct rig rig;
	size_t bytes = 0;

	rig_start(&rig, _i, 16, SIZE, NULL);
	rig_sends_part(&rig, 3, 9, 0, 0, 40, 0);
	MUST_EQ(adv_send_abort(&rig.peer, 3, 9, 0), ADV_OK);
	rig_sends(&rig, 3, 10, 0, 0, 40);
	MUST_EQ(hqq_advanced_receive_stream(rig.handle, &rig.now, count_bytes, &bytes), HQQ_ERR_ABORTED);
	MUST_EQ(bytes, SIZE);
	MUST_EQ(hqq_advanced_receive_stream(rig.handle, &rig.now, count_bytes, &bytes), 0);
	MUST_EQ(bytes, SIZE + 40);
	RIG_RECEIVES_NOTHING(&rig);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* ---- the library gives up ---------------------------------------------------------------------- */

#define LONG_MESSAGE (20 * SIZE)

/* The ring is full, the deadline passed: what went out is taken back as soon as there is room. */
static void expect_given_up(struct rig *rig, uint64_t connection, uint64_t id, uint64_t kind, uint64_t number,
                            const unsigned char *data)
{
	unsigned char got[SIZE];
	unsigned int chunk;

	for (chunk = 0; chunk < COUNT; chunk++) {
		RIG_SEES(rig, got, 4, connection, id, LONG_MESSAGE, chunk * SIZE, SIZE,
		         kind | (chunk == 0 ? ADV_BEGIN : 0), chunk == 0 ? number : 0);
		MUST(memcmp(got, data + chunk * SIZE, SIZE) == 0);
	}
	rig_pump(rig);
	RIG_SEES(rig, NULL, 4, connection, id, 0, 0, 0, kind | ADV_ABORT, 0);
	RIG_SILENT(rig);
}

START_TEST(data_that_is_given_up)
{
	unsigned char data[LONG_MESSAGE];
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	test_fill(data, sizeof(data), 1);
	MUST_EQ(hqq_advanced_send_large(rig.handle, &rig.now, 3, data, sizeof(data), NULL), HQQ_ERR_TIMEOUT);
	expect_given_up(&rig, 3, 1, 0, 0, data);
	MUST_EQ(rig_stats(&rig).large_messages_sent, 0);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(request_that_is_given_up)
{
	unsigned char data[LONG_MESSAGE];
	struct rig rig;
	uint64_t id;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	test_fill(data, sizeof(data), 1);
	MUST_EQ(hqq_advanced_call_start(rig.handle, &rig.now, 3, 77, data, sizeof(data), &id), HQQ_ERR_TIMEOUT);
	expect_given_up(&rig, 3, 1, ADV_REQUEST, 77, data);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(response_that_is_given_up)
{
	unsigned char data[LONG_MESSAGE];
	struct hqq_message request;
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	test_fill(data, sizeof(data), 1);
	rig_sends(&rig, 3, 555, ADV_REQUEST, 5, 1);
	MUST_EQ(hqq_advanced_receive(rig.handle, &rig.now, &request), 0);
	MUST_EQ(hqq_advanced_respond(rig.handle, &rig.now, &request, 78, data, sizeof(data)), HQQ_ERR_TIMEOUT);
	expect_given_up(&rig, 3, 555, ADV_RESPONSE, 78, data);
	hqq_message_clear(&request);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* Nothing of it went out, so there is nothing to take back. */
START_TEST(message_that_never_began)
{
	unsigned char data[LONG_MESSAGE];
	struct rig rig;
	unsigned int i;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	test_fill(data, sizeof(data), 1);
	for (i = 0; i < COUNT; i++)
		MUST_EQ(hqq_advanced_write(rig.handle, &rig.now, "w", 1), 1);
	MUST_EQ(hqq_advanced_send_large(rig.handle, &rig.now, 3, data, sizeof(data), NULL), HQQ_ERR_TIMEOUT);
	for (i = 0; i < COUNT; i++)
		RIG_SEES(&rig, NULL, 0xff, i + 1, (i + 1) % COUNT, 1);
	rig_pump(&rig);
	RIG_SILENT(&rig);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

struct source {
	uint64_t limit; /* no more after so many bytes */
	ssize_t end;    /* what it says then */
	size_t step;    /* bytes at a time */
};

static ssize_t fill(uint64_t offset, void *data, size_t capacity, void *argument)
{
	const struct source *source = argument;
	unsigned char bytes[LONG_MESSAGE];

	if (offset >= source->limit)
		return source->end;
	if (capacity > source->step)
		capacity = source->step;
	MUST(offset + capacity <= sizeof(bytes));
	test_fill(bytes, sizeof(bytes), 6);
	memcpy(data, bytes + offset, capacity);
	return (ssize_t)capacity;
}

START_TEST(stream_is_sent_in_whole_buffers)
{
	struct source source = { .limit = LONG_MESSAGE, .step = 5 };
	unsigned char got[SIZE], bytes[38];
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	test_fill(bytes, sizeof(bytes), 6);
	MUST_EQ(hqq_advanced_send_stream(rig.handle, &rig.now, 5, 38, fill, &source), 0);
	RIG_SEES(&rig, got, 4, 5, 1, 38, 0, 16, 1, 0);
	RIG_SEES(&rig, got, 4, 5, 1, 38, 16, 16, 0, 0);
	RIG_SEES(&rig, got, 4, 5, 1, 38, 32, 6, 2, 0);
	MUST_EQ(hqq_advanced_send_stream(rig.handle, &rig.now, 5, 0, fill, &source), 0);
	RIG_SEES(&rig, NULL, 4, 5, 2, 0, 0, 0, 3, 0);
	rig_close(&rig);
}
END_TEST

/* Its source dries up in the third chunk, whose slot is given back as a tombstone. */
START_TEST(stream_that_is_given_up)
{
	struct source source = { .limit = 40, .end = (_i & 4) != 0 ? -5 : 0, .step = 16 };
	struct adv_packet packet;
	struct rig rig;

	rig_start(&rig, _i % RIG_WAYS, COUNT, SIZE, NULL);
	source.step = 8;
	MUST_EQ(hqq_advanced_send_stream(rig.handle, &rig.now, 5, 100, fill, &source),
	        source.end != 0 ? source.end : HQQ_ERR_ABORTED);
	RIG_SEES(&rig, NULL, 4, 5, 1, 100, 0, 16, 1, 0);
	RIG_SEES(&rig, NULL, 4, 5, 1, 100, 16, 16, 0, 0);
	MUST_EQ(adv_take(&rig.peer, &packet, 0), ADV_OK);
	MUST_EQ(packet.word[0], 0xfe);
	MUST_EQ(packet.word[1], 1);
	MUST_EQ(packet.word[2], 3);
	MUST(packet.word[3] >= 1 && packet.word[3] <= 7);
	RIG_SEES(&rig, NULL, 4, 5, 1, 0, 0, 0, 4, 0);
	/* one whose source gives nothing at all never began */
	source.limit = 0;
	MUST(hqq_advanced_send_stream(rig.handle, &rig.now, 5, 100, fill, &source) < 0);
	MUST_EQ(adv_take(&rig.peer, &packet, 0), ADV_OK);
	MUST_EQ(packet.word[0], 0xfe);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("advanced bytes: aborts");
	TCase *cases = test_case(suite, "received", 20);

	tcase_add_loop_test(cases, abort_of_a_message_in_assembly, 0, RIG_WAYS * 2);
	tcase_add_loop_test(cases, abort_of_a_response_in_assembly, 0, RIG_WAYS);
	tcase_add_loop_test(cases, abort_of_a_response_not_begun, 0, RIG_WAYS);
	tcase_add_loop_test(cases, abort_of_nothing, 0, RIG_WAYS * 2);
	tcase_add_loop_test(cases, abort_flag_wins, 0, RIG_WAYS * 2);
	tcase_add_loop_test(cases, abort_of_a_message_read_as_a_stream, 0, RIG_WAYS);

	cases = test_case(suite, "sent", 20);
	tcase_add_loop_test(cases, data_that_is_given_up, 0, RIG_WAYS);
	tcase_add_loop_test(cases, request_that_is_given_up, 0, RIG_WAYS);
	tcase_add_loop_test(cases, response_that_is_given_up, 0, RIG_WAYS);
	tcase_add_loop_test(cases, message_that_never_began, 0, RIG_WAYS);
	tcase_add_loop_test(cases, stream_is_sent_in_whole_buffers, 0, RIG_WAYS);
	tcase_add_loop_test(cases, stream_that_is_given_up, 0, RIG_WAYS * 2);
	return test_main(suite);
}
