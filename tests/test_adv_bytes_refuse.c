/*
 * test_adv_bytes_refuse.c - each frame that a receiver refuses, and what it costs
 *
 * A bad frame is counted and costs the message that it belongs to; messages beside it, even those
 * whose keys differ in one part only, and calls that wait for responses go on.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_rig.h"

#include <stdio.h>
#include <string.h>

#define COUNT 32
#define SIZE 16
#define TOTAL 40 /* bytes of each message: chunks of 16, 16 and 8 */
#define MOST 64  /* bytes of the longest message */

#define NUMBER_OF(array) (int)(sizeof(array) / sizeof((array)[0]))

#define HUGE_NUMBER (UINT64_C(1) << 63)

struct bad {
	const char *name;
	unsigned int good;  /* well-made chunks of the message before it */
	uint64_t total, offset, size, flags, number;
	bool no_response;   /* there is no such frame of a response: the third round is one with data again */
	bool spares;        /* it does not belong to the message */
	bool no_id;
};

/* The first so many are too long, which streams may be. */
#define TOO_LONG 3

/* clang-format off: a table */
static const struct bad bads[] = {
	{ "total > maximum", 0, MOST + 1, 0, 16, ADV_BEGIN, .number = 0 },
	{ "total 2^63", 0, HUGE_NUMBER, 0, 16, ADV_BEGIN, .number = 0 },
	{ "total 2^64 - 1", 0, UINT64_MAX, 0, 16, ADV_BEGIN, .number = 0 },
	{ "unknown flag", 0, TOTAL, 0, 16, ADV_BEGIN | 64, .number = 0 },
	{ "unknown flag, later", 1, TOTAL, 16, 16, 64, .number = 0 },
	{ "highest flag", 1, TOTAL, 16, 16, HUGE_NUMBER, .number = 0 },
	{ "unknown flag on a whole message", 0, 8, 0, 8, ADV_WHOLE | 128, .number = 0 },
	{ "REQUEST with RESPONSE", 1, TOTAL, 16, 16, ADV_REQUEST | ADV_RESPONSE, .spares = true },
	{ "REQUEST with RESPONSE, first", 0, TOTAL, 0, 16, ADV_BEGIN | ADV_REQUEST | ADV_RESPONSE, .spares = true },
	{ "ERROR without RESPONSE", 0, TOTAL, 0, 16, ADV_BEGIN | ADV_ERROR, .no_response = true },
	{ "ERROR without RESPONSE, later", 1, TOTAL, 16, 16, ADV_ERROR, .no_response = true },
	{ "ERROR without RESPONSE, whole", 0, 0, 0, 0, ADV_WHOLE | ADV_ERROR, .no_response = true },
	{ "message id 0", 1, TOTAL, 16, 16, 0, .spares = true, .no_id = true },
	{ "message id 0, whole", 0, 5, 0, 5, ADV_WHOLE, .spares = true, .no_id = true },
	{ "size > B", 0, TOTAL, 0, 17, ADV_BEGIN, .number = 0 },
	{ "size > B, later", 1, TOTAL, 16, 24, ADV_END, .number = 0 },
	{ "size > B, whole", 0, 17, 0, 17, ADV_WHOLE, .number = 0 },
	{ "size 2^32 + 16", 0, TOTAL, 0, (UINT64_C(1) << 32) + 16, ADV_BEGIN, .number = 0 },
	{ "size 2^63", 0, TOTAL, 0, HUGE_NUMBER, ADV_BEGIN, .number = 0 },
	{ "size 2^64 - 1", 1, TOTAL, 16, UINT64_MAX, 0, .number = 0 },
	{ "offset > total", 1, TOTAL, TOTAL + 1, 1, 0, .number = 0 },
	{ "offset 2^64 - 1", 1, TOTAL, UINT64_MAX, 1, ADV_END, .number = 0 },
	{ "offset + size = 2^64 + 16", 1, TOTAL, UINT64_MAX - 7, 24, 0, .number = 0 },
	{ "offset + size = 2^64 + 8", 1, TOTAL, UINT64_MAX - 7, 16, 0, .number = 0 },
	{ "offset + size > total", 2, TOTAL, 32, 9, ADV_END, .number = 0 },
	{ "empty without END", 0, 0, 0, 0, ADV_BEGIN, .number = 0 },
	{ "empty without BEGIN", 0, 0, 0, 0, ADV_END, .number = 0 },
	{ "empty without either", 0, 0, 0, 0, 0, .number = 0 },
	{ "empty without either, later", 1, 0, 0, 0, 0, .number = 0 },
	{ "empty with an offset", 0, 0, 1, 0, ADV_WHOLE, .number = 0 },
	{ "empty with a size", 0, 0, 0, 1, ADV_WHOLE, .number = 0 },
	{ "first chunk of no bytes", 0, TOTAL, 0, 0, ADV_BEGIN, .number = 0 },
	{ "chunk of no bytes", 1, TOTAL, 16, 0, 0, .number = 0 },
	{ "last chunk of no bytes", 2, TOTAL, TOTAL, 0, ADV_END, .number = 0 },
	{ "whole message of no bytes", 0, TOTAL, 0, 0, ADV_WHOLE, .number = 0 },
	{ "number on a later chunk", 1, TOTAL, 16, 16, 0, .number = 1 },
	{ "number on the last chunk", 2, TOTAL, 32, 8, ADV_END, .number = UINT64_MAX },
	{ "BEGIN in the middle", 1, TOTAL, 16, 16, ADV_BEGIN, .number = 0 },
	{ "BEGIN in the middle, first", 0, TOTAL, 16, 16, ADV_BEGIN, .number = 0 },
	{ "BEGIN at the end", 0, TOTAL, 32, 8, ADV_WHOLE, .number = 0 },
	{ "begun twice", 1, TOTAL, 0, 16, ADV_BEGIN, .number = 0 },
	{ "begun twice, later", 2, TOTAL, 0, 16, ADV_BEGIN, .number = 0 },
	{ "begun twice, whole", 1, 8, 0, 8, ADV_WHOLE, .number = 0 },
	{ "begun twice, empty", 1, 0, 0, 0, ADV_WHOLE, .number = 0 },
	{ "chunk without BEGIN", 0, TOTAL, 16, 16, 0, .number = 0 },
	{ "last chunk without BEGIN", 0, TOTAL, 32, 8, ADV_END, .number = 0 },
	{ "first chunk without BEGIN", 0, TOTAL, 0, 16, 0, .number = 0 },
	{ "only chunk without BEGIN", 0, 8, 0, 8, ADV_END, .number = 0 },
	{ "gap", 1, TOTAL, 32, 8, ADV_END, .number = 0 },
	{ "gap of one byte", 1, TOTAL, 17, 16, 0, .number = 0 },
	{ "overlap", 2, TOTAL, 16, 16, 0, .number = 0 },
	{ "overlap of one byte", 1, TOTAL, 15, 16, 0, .number = 0 },
	{ "larger total", 1, TOTAL + 1, 16, 16, 0, .number = 0 },
	{ "smaller total", 1, TOTAL - 1, 16, 16, 0, .number = 0 },
	{ "smaller total that is reached", 1, 32, 16, 16, ADV_END, .number = 0 },
	{ "END at the beginning", 0, TOTAL, 0, 16, ADV_WHOLE, .number = 0 },
	{ "END too early", 1, TOTAL, 16, 16, ADV_END, .number = 0 },
};
/* clang-format on */

#define BADS NUMBER_OF(bads)

static const uint64_t kinds[] = { 0, ADV_REQUEST, ADV_RESPONSE };

#define KINDS NUMBER_OF(kinds)

static void start(struct rig *rig, int way)
{
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;

	options.dispatcher = HQQ_DISPATCH_MANUAL;
	options.max_message_size = MOST;
	rig_start(rig, way, COUNT, SIZE, &options);
}

static uint64_t start_call(struct rig *rig, uint64_t connection)
{
	uint64_t id = 0;

	MUST_EQ(hqq_advanced_call_start(rig->handle, &rig->now, connection, 5, "x", 1, &id), 0);
	rig_gets(rig, connection, id, ADV_WHOLE | ADV_REQUEST, 5, "x", 1);
	return id;
}

static void pump(struct rig *rig, int packets)
{
	MUST_EQ(rig_pump(rig), packets);
}

static void say_bad(struct rig *rig, const struct bad *bad, uint64_t connection, uint64_t id, uint64_t kind)
{
	const struct adv_chunk chunk = { connection,  bad->no_id ? 0 : id, bad->total, bad->offset,
		                         bad->size, bad->flags | kind,   bad->number };

	MUST_EQ(adv_send_chunk(&rig->peer, &chunk, NULL, 0), ADV_OK);
}

static void expect_response(struct rig *rig, uint64_t id, uint64_t status)
{
	struct hqq_message message;

	MUST_EQ(hqq_advanced_call_wait(rig->handle, &rig->now, id, &message), 0);
	MUST_EQ(message.status, status);
	MUST_EQ(message.payload_size, TOTAL);
	MUST_EQ(test_verify(message.payload, TOTAL, id), -1);
	hqq_message_clear(&message);
}

/* ---- one bad frame ------------------------------------------------------------------------------- */

#define CONNECTION 7
#define OTHER_CONNECTION 8

/* The messages beside the bad one have the call's id, too: other kinds of it, and another connection. */
static void begin_beside(struct rig *rig, uint64_t id, uint64_t kind)
{
	int i;

	for (i = 0; i < KINDS; i++) {
		if (kinds[i] != kind)
			rig_sends_part(rig, CONNECTION, id, kinds[i], 60, TOTAL, 0);
	}
	rig_sends_part(rig, OTHER_CONNECTION, id, kind, 61, TOTAL, 0);
}

static void finish_one(struct rig *rig, uint64_t connection, uint64_t id, uint64_t kind, unsigned int from)
{
	for (; from < 3; from++)
		rig_sends_part(rig, connection, id, kind, 60, TOTAL, from);
}

static void finish_beside(struct rig *rig, uint64_t id, uint64_t kind)
{
	int i;

	for (i = 0; i < KINDS; i++) {
		if (kinds[i] == kind)
			continue;
		finish_one(rig, CONNECTION, id, kinds[i], 1);
		if (kinds[i] == ADV_RESPONSE)
			expect_response(rig, id, 60);
		else
			RIG_RECEIVES(rig, CONNECTION, id, kinds[i], kinds[i] == 0 ? 0 : 60, TOTAL);
	}
	finish_one(rig, OTHER_CONNECTION, id, kind, 1);
	RIG_RECEIVES(rig, OTHER_CONNECTION, id, kind, kind == 0 ? 0 : 61, TOTAL);
}

/* The message itself: it is dropped, its key free for another, and whoever waits for it knows. */
static void expect_dropped(struct rig *rig, uint64_t id, uint64_t kind)
{
	struct hqq_message message;

	RIG_RECEIVES_NOTHING(rig);
	if (kind == ADV_RESPONSE)
		MUST_EQ(hqq_advanced_call_wait(rig->handle, &rig->now, id, &message), HQQ_ERR_CORRUPT);
	finish_one(rig, CONNECTION, id, kind, 0);
	RIG_RECEIVES(rig, CONNECTION, id, kind, kind == 0 ? 0 : 60, TOTAL);
}

static void expect_spared(struct rig *rig, uint64_t id, uint64_t kind, unsigned int good)
{
	finish_one(rig, CONNECTION, id, kind, good);
	if (kind == ADV_RESPONSE)
		expect_response(rig, id, 60);
	else
		RIG_RECEIVES(rig, CONNECTION, id, kind, kind == 0 ? 0 : 60, TOTAL);
}

START_TEST(bad_frame_costs_its_message)
{
	const struct bad *bad = &bads[_i / KINDS];
	const uint64_t kind = bad->no_response && kinds[_i % KINDS] == ADV_RESPONSE ? 0 : kinds[_i % KINDS];
	struct rig rig;
	unsigned int chunk;
	uint64_t id, other;

	fprintf(stderr, "%s, kind %d\n", bad->name, (int)kind);
	start(&rig, _i % RIG_WAYS);
	id = start_call(&rig, CONNECTION);
	other = start_call(&rig, 0);
	begin_beside(&rig, id, kind);
	for (chunk = 0; chunk < bad->good; chunk++)
		rig_sends_part(&rig, CONNECTION, id, kind, kind == 0 ? 0 : 60, TOTAL, chunk);
	MUST_EQ(rig_pump(&rig), 3 + bad->good);
	MUST_EQ(rig_stats(&rig).refused, 0);
	say_bad(&rig, bad, CONNECTION, id, kind);
	pump(&rig, 1);
	MUST_EQ(rig_stats(&rig).refused, 1);
	/* a request that will not be served is answered */
	if (kind == ADV_REQUEST && !bad->spares)
		RIG_SEES(&rig, NULL, 4, CONNECTION, id, 0, 0, 0, 51, 6);
	RIG_SILENT(&rig);
	finish_beside(&rig, id, kind);
	if (bad->spares)
		expect_spared(&rig, id, kind, bad->good);
	else
		expect_dropped(&rig, id, kind);
	rig_sends(&rig, 0, other, ADV_RESPONSE, 62, TOTAL);
	expect_response(&rig, other, 62);
	MUST_EQ(rig_stats(&rig).refused, 1);
	MUST_EQ(rig_stats(&rig).dropped, 0);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* ---- streams ------------------------------------------------------------------------------------- */

struct reading {
	unsigned char bytes[TOTAL];
	uint64_t received, id;
};

static int take_chunk(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
                      size_t length, void *argument)
{
	struct reading *reading = argument;

	MUST(total <= sizeof(reading->bytes));
	MUST_EQ(offset, reading->received);
	MUST(length <= total - offset);
	memcpy(reading->bytes + offset, data, length);
	reading->received += length;
	reading->id = head->message_id;
	return 0;
}

static int read_stream(struct rig *rig, struct reading *reading)
{
	reading->received = 0;
	return hqq_advanced_receive_stream(rig->handle, &rig->now, take_chunk, reading);
}

/* The same of a message that is read as a stream: reading ends, and the next one is in order. */
START_TEST(bad_frame_ends_its_stream)
{
	const struct bad *bad = &bads[_i];
	struct reading reading;
	struct rig rig;
	unsigned int chunk;

	fprintf(stderr, "%s\n", bad->name);
	start(&rig, _i % RIG_WAYS);
	for (chunk = 0; chunk < bad->good; chunk++)
		rig_sends_part(&rig, 7, 1, 0, 0, TOTAL, chunk);
	say_bad(&rig, bad, 7, 1, 0);
	if (bad->spares)
		finish_one(&rig, 7, 1, 0, bad->good);
	rig_sends(&rig, 8, 2, 0, 0, TOTAL);
	if (bad->spares) {
		MUST_EQ(read_stream(&rig, &reading), 0);
		MUST_EQ(reading.id, 1);
		MUST_EQ(test_verify(reading.bytes, TOTAL, 1), -1);
	} else if (bad->good != 0) {
		MUST_EQ(read_stream(&rig, &reading), HQQ_ERR_CORRUPT);
		MUST_EQ(reading.received, bad->good * SIZE);
		MUST_EQ(reading.id, 1);
		MUST_EQ(test_verify(reading.bytes, (size_t)reading.received, 1), -1);
	}
	MUST_EQ(read_stream(&rig, &reading), 0);
	MUST_EQ(reading.received, TOTAL);
	MUST_EQ(reading.id, 2);
	MUST_EQ(test_verify(reading.bytes, TOTAL, 2), -1);
	MUST_EQ(rig_stats(&rig).refused, 1);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* ---- what comes after the bad frame -------------------------------------------------------------- */

static unsigned int count_answers(struct rig *rig)
{
	struct adv_packet packet;
	unsigned int answers = 0;

	while (adv_take(&rig->peer, &packet, 0) == ADV_OK) {
		MUST_EQ(packet.word[0], 4);
		MUST_EQ(packet.word[1], CONNECTION);
		MUST_EQ(packet.word[2], 1);
		MUST_EQ(packet.word[6], 51);
		answers++;
	}
	return answers;
}

/* One request, one answer: whoever sends a long one does not know yet that it was refused. */
START_TEST(refused_request_is_answered_once)
{
	struct bad gap = { "gap", 1, TOTAL, 17, 16, 0, .number = 0 };
	struct rig rig;

	start(&rig, _i);
	rig_sends_part(&rig, CONNECTION, 1, ADV_REQUEST, 5, TOTAL, 0);
	say_bad(&rig, &gap, CONNECTION, 1, ADV_REQUEST);
	rig_sends_part(&rig, CONNECTION, 1, ADV_REQUEST, 5, TOTAL, 1);
	rig_sends_part(&rig, CONNECTION, 1, ADV_REQUEST, 5, TOTAL, 2);
	pump(&rig, 4);
	MUST_EQ(count_answers(&rig), 1);
	RIG_RECEIVES_NOTHING(&rig);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(request_that_is_too_long_is_answered_once)
{
	struct rig rig;

	start(&rig, _i);
	rig_sends(&rig, CONNECTION, 1, ADV_REQUEST, 5, 10 * SIZE);
	pump(&rig, 10);
	MUST_EQ(count_answers(&rig), 1);
	RIG_RECEIVES_NOTHING(&rig);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(call_fails_when_its_response_is_too_long)
{
	struct hqq_message message;
	struct rig rig;

	start(&rig, _i);
	start_call(&rig, 0);
	rig_sends(&rig, 0, 1, ADV_RESPONSE, 5, 10 * SIZE);
	MUST_EQ(hqq_advanced_call_wait(rig.handle, &rig.now, 1, &message), HQQ_ERR_CORRUPT);
	rig_pump(&rig);
	RIG_RECEIVES_NOTHING(&rig);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(longest_message_passes)
{
	struct rig rig;

	start(&rig, _i);
	rig_sends(&rig, 0, 1, 0, 0, MOST);
	RIG_RECEIVES(&rig, 0, 1, 0, 0, MOST);
	rig_sends(&rig, 0, 1, ADV_REQUEST, 3, MOST);
	RIG_RECEIVES(&rig, 0, 1, ADV_REQUEST, 3, MOST);
	MUST_EQ(rig_stats(&rig).refused, 0);
	rig_close(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("advanced bytes: refusals");
	TCase *cases = test_case(suite, "bad frames", 20);

	tcase_add_loop_test(cases, bad_frame_costs_its_message, 0, BADS * KINDS);
	tcase_add_loop_test(cases, bad_frame_ends_its_stream, TOO_LONG, BADS);

	cases = test_case(suite, "aftermath", 20);
	tcase_add_loop_test(cases, refused_request_is_answered_once, 0, RIG_WAYS);
	tcase_add_loop_test(cases, request_that_is_too_long_is_answered_once, 0, RIG_WAYS);
	tcase_add_loop_test(cases, call_fails_when_its_response_is_too_long, 0, RIG_WAYS);
	tcase_add_loop_test(cases, longest_message_passes, 0, RIG_WAYS);
	return test_main(suite);
}
