/*
 * test_adv_bytes_connection.c - dialling, accepting and closing streams, packet by packet
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_rig.h"

#include <string.h>

#define COUNT 16
#define SIZE 16

static void listen_now(struct rig *rig)
{
	MUST_EQ(hqq_advanced_listen(rig->handle), 0);
}

static int accept_now(struct rig *rig, uint64_t *id)
{
	*id = 0;
	return hqq_advanced_accept(rig->handle, &rig->now, id);
}

static int dial_now(struct rig *rig, uint64_t *id)
{
	*id = 0;
	return hqq_advanced_dial(rig->handle, &rig->now, id);
}

/* The ids that the library dials: odd as primary, even as secondary. */
static uint64_t nth_id(const struct rig *rig, uint64_t n)
{
	return 2 * n - ((rig->way & RIG_LIBRARY_SECONDARY) != 0 ? 0 : 1);
}

/* A stream that the peer dialled and the program accepted. */
static void open_from_peer(struct rig *rig, uint64_t id)
{
	uint64_t got;

	RIG_SAYS(rig, 1, id, 0);
	MUST_EQ(accept_now(rig, &got), 0);
	MUST_EQ(got, id);
	RIG_SEES(rig, NULL, 2, id);
}

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

static int send_on(struct rig *rig, uint64_t connection)
{
	return hqq_advanced_send_large(rig->handle, &rig->now, connection, "on", 2, NULL);
}

/* ---- the peer dials ---------------------------------------------------------------------------- */

START_TEST(peer_dials_one_two_three)
{
	struct rig rig;
	uint64_t id, got;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	listen_now(&rig);
	for (id = 1; id <= 3; id++)
		RIG_SAYS(&rig, 1, id, 0);
	MUST_EQ(rig_pump(&rig), 3);
	for (id = 1; id <= 3; id++)
		RIG_SEES(&rig, NULL, 2, id);
	for (id = 1; id <= 3; id++) {
		MUST_EQ(accept_now(&rig, &got), 0);
		MUST_EQ(got, id);
	}
	MUST_EQ(accept_now(&rig, &got), HQQ_ERR_TIMEOUT);
	/* what travels on them says so */
	rig_sends(&rig, 2, 1, 0, 0, 38);
	RIG_RECEIVES(&rig, 2, 1, 0, 0, 38);
	MUST_EQ(send_on(&rig, 3), 0);
	rig_gets(&rig, 3, 1, ADV_WHOLE, 0, "on", 2);
	MUST_EQ(rig_stats(&rig).refused, 0);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(nobody_listens)
{
	struct rig rig;
	uint64_t id;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	RIG_SAYS(&rig, 1, 1, 0);
	MUST_EQ(rig_pump(&rig), 1);
	RIG_SEES(&rig, NULL, 0, 1, 5);
	MUST_EQ(accept_now(&rig, &id), HQQ_ERR_INVALID_OP);
	/* the next one finds a listener */
	listen_now(&rig);
	MUST_EQ(accept_now(&rig, &id), HQQ_ERR_TIMEOUT);
	open_from_peer(&rig, 2);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(id_in_use_is_refused)
{
	struct rig rig;
	uint64_t dialled, id;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	listen_now(&rig);
	open_from_peer(&rig, 6);
	RIG_SAYS(&rig, 1, 6, 0);
	MUST_EQ(rig_pump(&rig), 1);
	RIG_SEES(&rig, NULL, 0, 6, 6);
	/* so is one that waits to be accepted */
	RIG_SAYS(&rig, 1, 8, 0);
	RIG_SAYS(&rig, 1, 8, 0);
	MUST_EQ(rig_pump(&rig), 2);
	RIG_SEES(&rig, NULL, 2, 8);
	RIG_SEES(&rig, NULL, 0, 8, 6);
	MUST_EQ(accept_now(&rig, &id), 0);
	MUST_EQ(id, 8);
	MUST_EQ(accept_now(&rig, &id), HQQ_ERR_TIMEOUT);
	/* and one that the library dialled */
	RIG_SAYS(&rig, 2, nth_id(&rig, 1));
	MUST_EQ(dial_now(&rig, &dialled), 0);
	RIG_SEES(&rig, NULL, 1, dialled, 0);
	RIG_SAYS(&rig, 1, dialled, 0);
	MUST_EQ(rig_pump(&rig), 1);
	RIG_SEES(&rig, NULL, 0, dialled, 6);
	MUST_EQ(rig_stats(&rig).refused, 3);
	/* the streams themselves are as good as before */
	for (id = 6; id <= 8; id += 2) {
		MUST_EQ(send_on(&rig, id), 0);
		rig_gets(&rig, id, id / 2 - 2, ADV_WHOLE, 0, "on", 2);
	}
	MUST_EQ(send_on(&rig, dialled), 0);
	rig_gets(&rig, dialled, 3, ADV_WHOLE, 0, "on", 2);
	rig_close(&rig);
}
END_TEST

START_TEST(stream_zero_is_the_link_itself)
{
	struct rig rig;
	uint64_t id;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	listen_now(&rig);
	RIG_SAYS(&rig, 1, 0, 0);
	RIG_SAYS(&rig, 2, 0);
	RIG_SAYS(&rig, 3, 0, 0);
	MUST_EQ(rig_pump(&rig), 3);
	MUST_EQ(rig_stats(&rig).refused, 3);
	MUST_EQ(accept_now(&rig, &id), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_hangup(rig.handle, &rig.now, 0, 0), HQQ_ERR_CONN_NOT_FOUND);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* ---- the library dials ------------------------------------------------------------------------- */

START_TEST(library_dials)
{
	struct rig rig;
	uint64_t n, id;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	for (n = 1; n <= 3; n++) {
		RIG_SAYS(&rig, 2, nth_id(&rig, n));
		MUST_EQ(dial_now(&rig, &id), 0);
		MUST_EQ(id, nth_id(&rig, n));
		RIG_SEES(&rig, NULL, 1, id, 0);
	}
	MUST_EQ(send_on(&rig, id), 0);
	rig_gets(&rig, id, 1, ADV_WHOLE, 0, "on", 2);
	MUST_EQ(rig_stats(&rig).refused, 0);
	rig_close(&rig);
}
END_TEST

START_TEST(dial_is_refused)
{
	static const struct {
		uint64_t code;
		int error;
	} refusals[] = {
		{ 5, HQQ_ERR_CONN_NOT_FOUND },  { 6, HQQ_ERR_INVALID_OP },   { 7, HQQ_ERR_BUFFER_OVERFLOW },
		{ 1, HQQ_ERR_MEMORY_ALIGN },    { 0, HQQ_ERR_INVALID_OP },   { 8, HQQ_ERR_INVALID_OP },
		{ UINT64_MAX, HQQ_ERR_INVALID_OP },
	};
	struct rig rig;
	uint64_t id;
	int i;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	for (i = 0; i < 7; i++) {
		RIG_SAYS(&rig, 0, nth_id(&rig, (uint64_t)i + 1), refusals[i].code);
		MUST_EQ(dial_now(&rig, &id), refusals[i].error);
		RIG_SEES(&rig, NULL, 1, nth_id(&rig, (uint64_t)i + 1), 0);
	}
	RIG_SAYS(&rig, 2, nth_id(&rig, 8));
	MUST_EQ(dial_now(&rig, &id), 0);
	RIG_SEES(&rig, NULL, 1, id, 0);
	MUST_EQ(rig_stats(&rig).refused, 0);
	rig_close(&rig);
}
END_TEST

/* Nobody answers in time: the peer is told, and its late answer opens nothing. */
START_TEST(dial_that_times_out)
{
	struct rig rig;
	uint64_t id, first;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	first = nth_id(&rig, 1);
	MUST_EQ(dial_now(&rig, &id), HQQ_ERR_TIMEOUT);
	RIG_SEES(&rig, NULL, 1, first, 0);
	RIG_SEES(&rig, NULL, 3, first, 0);
	RIG_SAYS(&rig, 2, first);
	MUST_EQ(rig_pump(&rig), 1);
	MUST_EQ(rig_stats(&rig).refused, 1);
	RIG_SAYS(&rig, 2, nth_id(&rig, 2));
	MUST_EQ(dial_now(&rig, &id), 0);
	MUST_EQ(id, nth_id(&rig, 2));
	RIG_SEES(&rig, NULL, 1, id, 0);
	rig_close(&rig);
}
END_TEST

/* The peer's numbers run through ours, so the library leaves out those that are taken. */
START_TEST(ids_of_both_sides)
{
	struct rig rig;
	uint64_t id;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	listen_now(&rig);
	for (id = 1; id <= 4; id++)
		open_from_peer(&rig, id);
	RIG_SAYS(&rig, 2, nth_id(&rig, 3));
	MUST_EQ(dial_now(&rig, &id), 0);
	MUST_EQ(id, nth_id(&rig, 3));
	RIG_SEES(&rig, NULL, 1, id, 0);
	MUST_EQ(rig_stats(&rig).refused, 0);
	rig_close(&rig);
}
END_TEST

/* Both dial, neither has seen the other's packet; once with ids that differ and once with the same. */
START_TEST(both_dial_at_once)
{
	struct rig rig;
	uint64_t mine, other, id;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	listen_now(&rig);
	mine = nth_id(&rig, 1);
	other = 3 - mine;
	RIG_SAYS(&rig, 1, other, 0);
	RIG_SAYS(&rig, 2, mine);
	MUST_EQ(dial_now(&rig, &id), 0);
	MUST_EQ(id, mine);
	MUST_EQ(accept_now(&rig, &id), 0);
	MUST_EQ(id, other);
	RIG_SEES(&rig, NULL, 1, mine, 0);
	RIG_SEES(&rig, NULL, 2, other);
	/* an id that the library has dialled is taken: it keeps its stream, the peer dials another */
	mine = nth_id(&rig, 2);
	RIG_SAYS(&rig, 1, mine, 0);
	RIG_SAYS(&rig, 2, mine);
	MUST_EQ(dial_now(&rig, &id), 0);
	MUST_EQ(id, mine);
	RIG_SEES(&rig, NULL, 1, mine, 0);
	RIG_SEES(&rig, NULL, 0, mine, 6);
	MUST_EQ(accept_now(&rig, &id), HQQ_ERR_TIMEOUT);
	rig_close(&rig);
}
END_TEST

START_TEST(answers_to_no_dial)
{
	struct rig rig;
	uint64_t id;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	listen_now(&rig);
	open_from_peer(&rig, 2);
	RIG_SAYS(&rig, 2, 1);
	RIG_SAYS(&rig, 2, 2); /* a stream of the peer's own */
	RIG_SAYS(&rig, 0, 1, 5);
	RIG_SAYS(&rig, 0, 2, 5);
	RIG_SAYS(&rig, 3, 9, 0);
	MUST_EQ(rig_pump(&rig), 5);
	MUST_EQ(rig_stats(&rig).refused, 5);
	MUST_EQ(accept_now(&rig, &id), HQQ_ERR_TIMEOUT);
	MUST_EQ(send_on(&rig, 2), 0);
	rig_gets(&rig, 2, 1, ADV_WHOLE, 0, "on", 2);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* ---- closing ----------------------------------------------------------------------------------- */

START_TEST(peer_closes_with_calls_pending)
{
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	listen_now(&rig);
	open_from_peer(&rig, 1);
	open_from_peer(&rig, 2);
	MUST_EQ(start_call(&rig, 1), 1);
	MUST_EQ(start_call(&rig, 2), 2);
	MUST_EQ(start_call(&rig, 0), 3);
	/* messages half sent on both */
	rig_sends_part(&rig, 1, 7, 0, 0, 40, 0);
	rig_sends_part(&rig, 2, 7, 0, 0, 40, 0);
	rig_sends_part(&rig, 1, 1, ADV_RESPONSE, 0, 40, 0);
	RIG_SAYS(&rig, 3, 1, 4);
	MUST_EQ(wait_call(&rig, 1), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(send_on(&rig, 1), HQQ_ERR_CONN_NOT_FOUND);
	/* those on the other and on the link go on */
	rig_sends_part(&rig, 2, 7, 0, 0, 40, 1);
	rig_sends_part(&rig, 2, 7, 0, 0, 40, 2);
	RIG_RECEIVES(&rig, 2, 7, 0, 0, 40);
	rig_sends(&rig, 2, 2, ADV_RESPONSE, 0, 5);
	rig_sends(&rig, 0, 3, ADV_RESPONSE, 0, 5);
	MUST_EQ(wait_call(&rig, 2), 0);
	MUST_EQ(wait_call(&rig, 3), 0);
	MUST_EQ(rig_stats(&rig).refused, 0);
	/* what was half there is gone */
	rig_sends_part(&rig, 1, 7, 0, 0, 40, 1);
	MUST_EQ(rig_pump(&rig), 1);
	MUST_EQ(rig_stats(&rig).refused, 1);
	/* both know that it is over: no packet says so again */
	MUST_EQ(hqq_advanced_hangup(rig.handle, &rig.now, 1, 0), 0);
	RIG_SILENT(&rig);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(peer_closes_a_stream_not_accepted_yet)
{
	struct rig rig;
	uint64_t id;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	listen_now(&rig);
	RIG_SAYS(&rig, 1, 1, 0);
	RIG_SAYS(&rig, 1, 2, 0);
	RIG_SAYS(&rig, 3, 1, 0);
	MUST_EQ(rig_pump(&rig), 3);
	RIG_SEES(&rig, NULL, 2, 1);
	RIG_SEES(&rig, NULL, 2, 2);
	MUST_EQ(accept_now(&rig, &id), 0);
	MUST_EQ(id, 2);
	MUST_EQ(accept_now(&rig, &id), HQQ_ERR_TIMEOUT);
	rig_close(&rig);
}
END_TEST

START_TEST(closed_id_may_be_dialled_again)
{
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	listen_now(&rig);
	open_from_peer(&rig, 1);
	RIG_SAYS(&rig, 3, 1, 0);
	open_from_peer(&rig, 1);
	MUST_EQ(send_on(&rig, 1), 0);
	rig_gets(&rig, 1, 1, ADV_WHOLE, 0, "on", 2);
	MUST_EQ(rig_stats(&rig).refused, 0);
	rig_close(&rig);
}
END_TEST

static int take_chunk(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
                      size_t length, void *argument)
{
	(void)head;
	(void)total;
	(void)offset;
	(void)data;
	*(size_t *)argument += length;
	return 0;
}

/* The rest of the message will never come: whoever reads it may not wait for it. */
START_TEST(peer_closes_while_its_message_is_read_as_a_stream)
{
	struct rig rig;
	size_t bytes = 0;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	listen_now(&rig);
	open_from_peer(&rig, 1);
	rig_sends_part(&rig, 1, 7, 0, 0, 40, 0);
	RIG_SAYS(&rig, 3, 1, 0);
	MUST_EQ(hqq_advanced_receive_stream(rig.handle, &rig.now, take_chunk, &bytes), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(bytes, SIZE);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(library_hangs_up)
{
	struct rig rig;
	uint64_t id;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	listen_now(&rig);
	open_from_peer(&rig, 1);
	open_from_peer(&rig, 2);
	MUST_EQ(start_call(&rig, 1), 1);
	MUST_EQ(start_call(&rig, 2), 2);
	MUST_EQ(hqq_advanced_hangup(rig.handle, &rig.now, 1, 99), 0);
	RIG_SEES(&rig, NULL, 3, 1, 99);
	MUST_EQ(wait_call(&rig, 1), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_hangup(rig.handle, &rig.now, 1, 0), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_hangup(rig.handle, &rig.now, 3, 0), HQQ_ERR_CONN_NOT_FOUND);
	/* the answer was under way */
	rig_sends(&rig, 1, 1, ADV_RESPONSE, 5, 5);
	RIG_RECEIVES(&rig, 1, 1, ADV_RESPONSE, 5, 5);
	rig_sends(&rig, 2, 2, ADV_RESPONSE, 5, 5);
	MUST_EQ(wait_call(&rig, 2), 0);
	/* one that it dialled itself: 1 is free again, 2 is not */
	RIG_SAYS(&rig, 2, (_i & RIG_LIBRARY_SECONDARY) != 0 ? 4 : 1);
	MUST_EQ(dial_now(&rig, &id), 0);
	RIG_SEES(&rig, NULL, 1, id, 0);
	MUST_EQ(hqq_advanced_hangup(rig.handle, &rig.now, id, 0), 0);
	RIG_SEES(&rig, NULL, 3, id, 0);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(peer_closes_what_the_library_dialled)
{
	struct rig rig;
	uint64_t id;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	/* at once: the dial fails */
	RIG_SAYS(&rig, 3, nth_id(&rig, 1), 0);
	MUST_EQ(dial_now(&rig, &id), HQQ_ERR_CONN_NOT_FOUND);
	RIG_SEES(&rig, NULL, 1, nth_id(&rig, 1), 0);
	/* later: the stream is over */
	RIG_SAYS(&rig, 2, nth_id(&rig, 2));
	MUST_EQ(dial_now(&rig, &id), 0);
	RIG_SEES(&rig, NULL, 1, id, 0);
	MUST_EQ(start_call(&rig, id), 1);
	RIG_SAYS(&rig, 3, id, UINT64_MAX);
	MUST_EQ(wait_call(&rig, 1), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(rig_stats(&rig).refused, 0);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* Messages may travel on any id, dialled or not. */
START_TEST(calls_on_ids_that_nobody_dialled)
{
	struct hqq_message request;
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	MUST_EQ(start_call(&rig, UINT64_MAX), 1);
	rig_sends(&rig, UINT64_MAX, 1, ADV_RESPONSE, 5, 5);
	MUST_EQ(wait_call(&rig, 1), 0);
	rig_sends(&rig, 42, 1, ADV_REQUEST, 5, 5);
	MUST_EQ(hqq_advanced_receive(rig.handle, &rig.now, &request), 0);
	MUST_EQ(request.connection_id, 42);
	MUST_EQ(hqq_advanced_respond(rig.handle, &rig.now, &request, 0, "on", 2), 0);
	hqq_message_clear(&request);
	rig_gets(&rig, 42, 1, ADV_WHOLE | ADV_RESPONSE, 0, "on", 2);
	rig_close(&rig);
}
END_TEST

/* Another implementation that is started anew, of which nothing tells but its question. _i: RIG_WAYS */
START_TEST(peer_asks_again)
{
	uint64_t first, second, own = _i & RIG_LIBRARY_SECONDARY ? 2 : 1;
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	listen_now(&rig);
	RIG_SAYS(&rig, ADV_OP_CREATE, 5);
	MUST_EQ(rig_pump(&rig), 1);
	RIG_SEES(&rig, NULL, ADV_OP_ACCEPT, 5);
	MUST_EQ(hqq_advanced_call_start(rig.handle, &rig.now, 0, 9, "x", 1, &first), 0);
	RIG_SEES(&rig, NULL, ADV_OP_COPY, 0, first, 1, 0, 1, ADV_WHOLE | ADV_REQUEST, 9);
	MUST_EQ(hqq_advanced_call_start(rig.handle, &rig.now, 5, 9, "x", 1, &second), 0);
	RIG_SEES(&rig, NULL, ADV_OP_COPY, 5, second, 1, 0, 1, ADV_WHOLE | ADV_REQUEST, 9);

	RIG_SAYS(&rig, ADV_OP_NEGOTIATE, ADV_VERSION, ADV_FEATURES, ADV_CAPABILITIES);
	MUST_EQ(rig_pump(&rig), 1);
	RIG_SEES(&rig, NULL, ADV_OP_ACK, ADV_VERSION, ADV_FEATURES, ADV_CAPABILITIES);
	MUST_EQ(hqq_advanced_call_wait(rig.handle, &rig.now, first, NULL), HQQ_ERR_PEER_GONE);
	MUST_EQ(hqq_advanced_call_wait(rig.handle, &rig.now, second, NULL), HQQ_ERR_PEER_GONE);

	/* it dials the same ids from the beginning */
	RIG_SAYS(&rig, ADV_OP_CREATE, 5);
	MUST_EQ(rig_pump(&rig), 1);
	RIG_SEES(&rig, NULL, ADV_OP_ACCEPT, 5);
	MUST_EQ(accept_now(&rig, &first), 0);
	MUST_EQ(first, 5);
	MUST_EQ(accept_now(&rig, &first), HQQ_ERR_TIMEOUT);
	/* ours that was given up meanwhile */
	MUST_EQ(dial_now(&rig, &first), HQQ_ERR_TIMEOUT);
	RIG_SEES(&rig, NULL, ADV_OP_CREATE, own);
	RIG_SEES(&rig, NULL, ADV_OP_CLOSE, own);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("advanced bytes: streams");
	TCase *cases = test_case(suite, "the peer dials", 20);

	tcase_add_loop_test(cases, peer_dials_one_two_three, 0, RIG_WAYS);
	tcase_add_loop_test(cases, nobody_listens, 0, RIG_WAYS);
	tcase_add_loop_test(cases, id_in_use_is_refused, 0, RIG_WAYS);
	tcase_add_loop_test(cases, stream_zero_is_the_link_itself, 0, RIG_WAYS);

	cases = test_case(suite, "the library dials", 20);
	tcase_add_loop_test(cases, library_dials, 0, RIG_WAYS);
	tcase_add_loop_test(cases, dial_is_refused, 0, RIG_WAYS);
	tcase_add_loop_test(cases, dial_that_times_out, 0, RIG_WAYS);
	tcase_add_loop_test(cases, ids_of_both_sides, 0, RIG_WAYS);
	tcase_add_loop_test(cases, both_dial_at_once, 0, RIG_WAYS);
	tcase_add_loop_test(cases, answers_to_no_dial, 0, RIG_WAYS);

	cases = test_case(suite, "closing", 20);
	tcase_add_loop_test(cases, peer_closes_with_calls_pending, 0, RIG_WAYS);
	tcase_add_loop_test(cases, peer_closes_a_stream_not_accepted_yet, 0, RIG_WAYS);
	tcase_add_loop_test(cases, closed_id_may_be_dialled_again, 0, RIG_WAYS);
	tcase_add_loop_test(cases, peer_closes_while_its_message_is_read_as_a_stream, 0, RIG_WAYS);
	tcase_add_loop_test(cases, library_hangs_up, 0, RIG_WAYS);
	tcase_add_loop_test(cases, peer_closes_what_the_library_dialled, 0, RIG_WAYS);
	tcase_add_loop_test(cases, calls_on_ids_that_nobody_dialled, 0, RIG_WAYS);

	cases = test_case(suite, "another beginning", 20);
	tcase_add_loop_test(cases, peer_asks_again, 0, RIG_WAYS);
	return test_main(suite);
}
