/*
 * test_adv_connection.c - listen, dial, accept, hangup
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNT 8
#define SIZE 64

struct call {
	hqq_advanced *handle;
	uint64_t id;
	pthread_t thread;
	_Atomic pid_t tid;
	_Atomic int rc; /* 1 while it is under way */
	_Atomic bool may_end;
};

static void note_thread(struct call *call)
{
	call->tid = (pid_t)syscall(SYS_gettid);
}

/* The thread stays until it is joined, so that one may look at it meanwhile. */
static void *end_with(struct call *call, int rc)
{
	call->rc = rc;
	while (!call->may_end)
		test_sleep_ms(1);
	return NULL;
}

static void *dial(void *argument)
{
	struct call *call = argument;

	note_thread(call);
	return end_with(call, hqq_advanced_dial(call->handle, NULL, &call->id));
}

static void *call_on(void *argument)
{
	struct call *call = argument;
	struct hqq_message response;

	note_thread(call);
	return end_with(call, hqq_advanced_call_on(call->handle, NULL, call->id, ADV_UNKNOWN, "x", 1, &response));
}

static void *receive(void *argument)
{
	struct call *call = argument;
	struct hqq_message message = {.flags = 0};
	int rc;

	note_thread(call);
	rc = hqq_advanced_receive(call->handle, NULL, &message);
	hqq_message_clear(&message);
	return end_with(call, rc);
}

static void call_begin(struct call *call, hqq_advanced *handle, uint64_t id, void *(*body)(void *))
{
	call->handle = handle;
	call->id = id;
	call->tid = 0;
	call->rc = 1;
	call->may_end = false;
	MUST_EQ(pthread_create(&call->thread, NULL, body, call), 0);
}

/* It waits in the kernel; false when its call has returned. */
static bool call_sleeps(struct call *call)
{
	while (call->tid == 0)
		test_sleep_ms(1);
	test_wait_asleep(getpid(), call->tid);
	return call->rc == 1;
}

/* It waits for ever where the library forgets it; we do not. */
static int call_end(struct call *call)
{
	const uint64_t end = test_now_ns() + UINT64_C(8000000000) * test_slowness();

	while (call->rc == 1 && test_now_ns() < end)
		test_sleep_ms(1);
	MUST(call->rc != 1);
	call->may_end = true;
	MUST_EQ(pthread_join(call->thread, NULL), 0);
	return call->rc;
}

/* A stream from that side to the other, which listens. */
static uint64_t connect_from(struct adv_pair *pair, int side)
{
	uint64_t here, there = 0;

	MUST_EQ(hqq_advanced_listen(pair->side[1 - side]), 0);
	MUST_EQ(hqq_advanced_dial(pair->side[side], PATIENT, &here), 0);
	MUST_EQ(hqq_advanced_accept(pair->side[1 - side], PATIENT, &there), 0);
	MUST_EQ(here, there);
	return here;
}

/* Odd ids are the primary's, even ones the secondary's. */
START_TEST(dial_and_accept)
{
	struct adv_pair pair;
	uint64_t i, id;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	for (i = 0; i < 10; i++) {
		id = connect_from(&pair, _i);
		MUST_EQ(id, 2 * i + (_i ? 2 : 1));
		adv_push(pair.side[0], id, 3 * SIZE, i);
		adv_pull(pair.side[1], id, 3 * SIZE, i);
		adv_push(pair.side[1], id, 3 * SIZE, i);
		adv_pull(pair.side[0], id, 3 * SIZE, i);
	}
	adv_pair_close(&pair);
}
END_TEST

/* In MANUAL mode the listener answers when it dispatches; _i: in accept, else in dispatch(). */
START_TEST(no_thread_where_none_is_wanted)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);
	struct call dialing;
	struct adv_pair pair;
	uint64_t id;

	adv_pair_open(&pair, COUNT, SIZE, &options, &options);
	MUST_EQ(hqq_advanced_listen(pair.side[1]), 0);
	call_begin(&dialing, pair.side[0], 0, dial);
	if (_i == 0) {
		MUST(call_sleeps(&dialing));
		while (dialing.rc == 1)
			MUST(hqq_advanced_dispatch(pair.side[1], WITHIN_MS(10)) >= 0);
	}
	MUST_EQ(hqq_advanced_accept(pair.side[1], PATIENT, &id), 0);
	MUST_EQ(call_end(&dialing), 0);
	MUST_EQ(id, dialing.id);
	adv_pair_close(&pair);
}
END_TEST

START_TEST(both_dial_at_once)
{
	unsigned round;

	for (round = 0; round < 50 / test_slowness(); round++) {
		struct call dialing[2];
		struct adv_pair pair;
		uint64_t id;
		int i;

		adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
		for (i = 0; i < 2; i++)
			MUST_EQ(hqq_advanced_listen(pair.side[i]), 0);
		for (i = 0; i < 2; i++)
			call_begin(&dialing[i], pair.side[i], 0, dial);
		for (i = 0; i < 2; i++) {
			MUST_EQ(call_end(&dialing[i]), 0);
			MUST_EQ(dialing[i].id, (uint64_t)i + 1);
			MUST_EQ(hqq_advanced_accept(pair.side[1 - i], PATIENT, &id), 0);
			MUST_EQ(id, dialing[i].id);
		}
		adv_pair_close(&pair);
	}
}
END_TEST

START_TEST(nobody_listens)
{
	struct hqq_message message;
	struct call dialing;
	struct adv_pair pair;
	uint64_t id = 4711;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_accept(pair.side[1], AT_ONCE, &id), HQQ_ERR_INVALID_OP);
	call_begin(&dialing, pair.side[0], 4711, dial);
	while (dialing.rc == 1)
		MUST_EQ(hqq_advanced_receive(pair.side[1], WITHIN_MS(10), &message), HQQ_ERR_TIMEOUT);
	MUST_EQ(call_end(&dialing), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(dialing.id, 4711);
	MUST_EQ(id, 4711);
	/* and it may be tried again */
	MUST_EQ(hqq_advanced_listen(pair.side[1]), 0);
	MUST_EQ(hqq_advanced_dial(pair.side[0], PATIENT, &id), 0);
	MUST_EQ(hqq_advanced_accept(pair.side[1], PATIENT, &dialing.id), 0);
	MUST_EQ(id, dialing.id);
	adv_pair_close(&pair);
}
END_TEST

START_TEST(accept_waits_for_a_dial)
{
	struct adv_pair pair;
	struct call dialing;
	uint64_t id;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_listen(pair.side[1]), 0);
	MUST_EQ(hqq_advanced_accept(pair.side[1], WITHIN_MS(5), &id), HQQ_ERR_TIMEOUT);
	call_begin(&dialing, pair.side[0], 0, dial);
	MUST_EQ(hqq_advanced_accept(pair.side[1], PATIENT, &id), 0);
	MUST_EQ(call_end(&dialing), 0);
	MUST_EQ(id, dialing.id);
	adv_pair_close(&pair);
}
END_TEST

START_TEST(accepted_in_the_order_dialled)
{
	struct adv_pair pair;
	uint64_t ids[20], id;
	int i;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_listen(pair.side[1]), 0);
	for (i = 0; i < 20; i++)
		MUST_EQ(hqq_advanced_dial(pair.side[0], PATIENT, &ids[i]), 0);
	for (i = 0; i < 20; i++) {
		MUST_EQ(hqq_advanced_accept(pair.side[1], PATIENT, &id), 0);
		MUST_EQ(id, ids[i]);
	}
	adv_pair_close(&pair);
}
END_TEST

/* A dial that was given up is not there to be used; the listener may accept it and hears of its end. */
START_TEST(a_dial_given_up)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);
	struct adv_pair pair;
	uint64_t id;

	adv_pair_open(&pair, COUNT, SIZE, NULL, &options);
	MUST_EQ(hqq_advanced_listen(pair.side[1]), 0);
	MUST_EQ(hqq_advanced_dial(pair.side[0], AT_ONCE, &id), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_hangup(pair.side[0], AT_ONCE, 1, 0), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_dispatch(pair.side[1], AT_ONCE), 2);
	MUST_EQ(hqq_advanced_accept(pair.side[1], AT_ONCE, &id), HQQ_ERR_TIMEOUT);
	adv_push(pair.side[0], 0, 10, 1); /* the late acceptance troubles nobody */
	adv_pull(pair.side[1], 0, 10, 1);
	MUST_EQ(hqq_advanced_receive(pair.side[0], WITHIN_MS(5), &(struct hqq_message){.flags = 0}),
		HQQ_ERR_TIMEOUT);
	adv_pair_close(&pair);
}
END_TEST

START_TEST(hung_up_here)
{
	struct hqq_message response;
	struct adv_pair pair;
	uint64_t id, call;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_hangup(pair.side[0], PATIENT, 0, 0), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_hangup(pair.side[0], PATIENT, 1, 0), HQQ_ERR_CONN_NOT_FOUND);
	id = connect_from(&pair, _i);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, id, 1, NULL, 0, &call), 0);
	MUST_EQ(hqq_advanced_hangup(pair.side[0], PATIENT, id, 3), 0);
	MUST_EQ(hqq_advanced_call_wait(pair.side[0], AT_ONCE, call, &response), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_hangup(pair.side[0], PATIENT, id, 3), HQQ_ERR_CONN_NOT_FOUND);
	/* nor is anything sent on it, whoever dialled it */
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, id, 1, NULL, 0, &call), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_send_large(pair.side[0], PATIENT, id, "x", 1, NULL), HQQ_ERR_CONN_NOT_FOUND);
	/* the link itself goes on */
	adv_push(pair.side[0], 0, 100, 1);
	MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &response), 0);
	MUST(hqq_message_is_request(&response)); /* it came before the end */
	hqq_message_clear(&response);
	adv_pull(pair.side[1], 0, 100, 1);
	adv_pair_close(&pair);
}
END_TEST

/* A peer that hangs up before the program has accepted: the request that came is answered in vain. */
START_TEST(hung_up_before_it_was_accepted)
{
	struct hqq_message request;
	struct adv_pair pair;
	uint64_t id, call;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_listen(pair.side[1]), 0);
	MUST_EQ(hqq_advanced_dial(pair.side[0], PATIENT, &id), 0);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, id, 1, NULL, 0, &call), 0);
	MUST_EQ(hqq_advanced_hangup(pair.side[0], PATIENT, id, 0), 0);
	adv_push(pair.side[0], 0, 1, 1);
	MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &request), 0);
	adv_pull(pair.side[1], 0, 1, 1); /* behind the end of the connection */
	MUST_EQ(hqq_advanced_respond(pair.side[1], PATIENT, &request, 0, NULL, 0), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_call_start(pair.side[1], PATIENT, id, 1, NULL, 0, &call), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_send_large(pair.side[1], PATIENT, id, "x", 1, NULL), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_accept(pair.side[1], AT_ONCE, &id), HQQ_ERR_TIMEOUT);
	hqq_message_clear(&request);
	adv_pair_close(&pair);
}
END_TEST

/* Calls pending on it fail, and new ones, whatever their kind. */
START_TEST(hung_up_there)
{
	struct hqq_message message = {.message_id = 1, .flags = HQQ_FLAG_REQUEST};
	struct adv_pair pair;
	uint64_t id, call, other;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	id = connect_from(&pair, _i);
	message.connection_id = id;
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, id, 1, NULL, 0, &call), 0);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, id + 100, 1, NULL, 0, &other), 0);
	MUST_EQ(hqq_advanced_hangup(pair.side[1], PATIENT, id, 0), 0);
	MUST_EQ(hqq_advanced_call_wait(pair.side[0], PATIENT, call, NULL), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_call_wait(pair.side[0], WITHIN_MS(5), other, NULL), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_call_on(pair.side[0], PATIENT, id, 1, NULL, 0, NULL), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, id, 1, NULL, 0, &call),
		HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_send_large(pair.side[0], PATIENT, id, "x", 1, NULL), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_send_stream(pair.side[0], PATIENT, id, 0, NULL, NULL), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_respond(pair.side[0], PATIENT, &message, 0, NULL, 0), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_respond_error(pair.side[0], PATIENT, &message, 0, NULL, 0),
		HQQ_ERR_CONN_NOT_FOUND);
	/* told once, it is forgotten */
	MUST_EQ(hqq_advanced_hangup(pair.side[0], PATIENT, id, 0), 0);
	MUST_EQ(hqq_advanced_hangup(pair.side[0], PATIENT, id, 0), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_call_cancel(pair.side[0], other), 0);
	adv_pair_close(&pair);
}
END_TEST

/* A thread that waits for an answer on the stream is told when another one hangs up. _i: dispatcher */
START_TEST(hung_up_by_another_thread)
{
	const struct hqq_advanced_options options = adv_options((uint32_t)_i, 0, 0, 0);
	struct adv_pair pair;
	struct call waiting;
	uint64_t id;

	adv_pair_open(&pair, COUNT, SIZE, &options, NULL);
	id = connect_from(&pair, 0);
	call_begin(&waiting, pair.side[0], id, call_on);
	/* on a stream that was hung up before, and so forgotten, the call would wait as on any other id */
	while (adv_stats(pair.side[0]).requests_sent == 0)
		test_sleep_ms(1);
	MUST(call_sleeps(&waiting));
	MUST_EQ(hqq_advanced_hangup(pair.side[0], PATIENT, id, 0), 0);
	MUST_EQ(call_end(&waiting), HQQ_ERR_CONN_NOT_FOUND);
	adv_pair_close(&pair);
}
END_TEST

/* ---- a full ring ------------------------------------------------------------------------------- */

/*
 * What cannot be sent at once goes out with the next room, whoever dispatches meanwhile. _i: with
 * another thread of the dialler asleep in receive()
 */
START_TEST(dial_through_a_full_ring)
{
	struct adv_pair pair;
	struct call receiving, dialing;
	unsigned filled;
	uint64_t id;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	filled = adv_fill(pair.side[0]);
	if (_i) {
		call_begin(&receiving, pair.side[0], 0, receive);
		MUST(call_sleeps(&receiving));
	}
	call_begin(&dialing, pair.side[0], 0, dial);
	MUST(call_sleeps(&dialing));
	MUST_EQ(hqq_advanced_listen(pair.side[1]), 0);
	adv_drain(pair.side[1], filled);
	MUST_EQ(hqq_advanced_accept(pair.side[1], PATIENT, &id), 0);
	MUST_EQ(call_end(&dialing), 0);
	if (_i) {
		adv_push(pair.side[1], 0, 1, 1);
		MUST_EQ(call_end(&receiving), 0);
	}
	adv_pair_close(&pair);
}
END_TEST

/*
 * _i: with AUTO the word goes out by itself as soon as there is room; with MANUAL by the next call. Unless the
 * other side's thread made room before: then it went out at once.
 */
START_TEST(hangup_through_a_full_ring)
{
	const struct hqq_advanced_options options =
		adv_options(_i ? HQQ_DISPATCH_MANUAL : HQQ_DISPATCH_AUTO, 0, 0, 0);
	struct adv_pair pair;
	struct call calling;
	unsigned filled;
	uint64_t id;

	adv_pair_open(&pair, COUNT, SIZE, &options, NULL);
	id = connect_from(&pair, 0);
	filled = adv_fill(pair.side[0]);
	MUST_EQ(hqq_advanced_hangup(pair.side[0], PATIENT, id, 0), 0);
	adv_drain(pair.side[1], filled);
	call_begin(&calling, pair.side[1], id, call_on);
	if (_i && call_sleeps(&calling))
		MUST_EQ(hqq_advanced_write(pair.side[0], PATIENT, "x", 1), 1);
	MUST_EQ(call_end(&calling), HQQ_ERR_CONN_NOT_FOUND);
	adv_pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: streams of messages");
	TCase *cases = test_case(suite, "dialling", 30);

	tcase_add_loop_test(cases, dial_and_accept, 0, 2);
	tcase_add_loop_test(cases, no_thread_where_none_is_wanted, 0, 2);
	tcase_add_test(cases, both_dial_at_once);
	tcase_add_test(cases, nobody_listens);
	tcase_add_test(cases, accept_waits_for_a_dial);
	tcase_add_test(cases, accepted_in_the_order_dialled);
	tcase_add_test(cases, a_dial_given_up);
	cases = test_case(suite, "hanging up", 30);
	tcase_add_loop_test(cases, hung_up_here, 0, 2);
	tcase_add_test(cases, hung_up_before_it_was_accepted);
	tcase_add_loop_test(cases, hung_up_there, 0, 2);
	tcase_add_loop_test(cases, hung_up_by_another_thread, 0, 3);
	cases = test_case(suite, "full", 30);
	tcase_add_loop_test(cases, dial_through_a_full_ring, 0, 2);
	tcase_add_loop_test(cases, hangup_through_a_full_ring, 0, 2);
	return test_main(suite);
}
