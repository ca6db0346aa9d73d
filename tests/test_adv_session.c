/*
 * test_adv_session.c - what the end of a session means for what is under way
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_sleeps.h"
#include "adv_waiter.h"
#include "advanced/advanced.h"

#include <string.h>

#define COUNT 8
#define SIZE 64
#define DISPATCHERS 3
#define NOBODYS_ID 999 /* a connection that never was */

/* Of the ways to wait */
#define CALL 2
#define CALL_ON 3
#define CALL_WAIT 4
#define DIAL 8
#define SEND_LARGE 11
#define SEND_STREAM 12
#define WRITE 13

/* For what must come to an end by itself: less than the watchdog of the cases. */
#define SOON_MS (UINT64_C(5000) * test_slowness())
#define SOON WITHIN_MS(SOON_MS)

static uint64_t soon_ns(void)
{
	return test_now_ns() + SOON_MS * 1000000;
}

static hqq_advanced *open_silent(int fd)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);
	hqq_advanced *handle;

	MUST_EQ(hqq_advanced_open_fd(&handle, fd, COUNT, SIZE, &options), 0);
	return handle;
}

/* Its peer takes nothing out of the ring but in calls. */
static void open_pair(struct adv_pair *pair, uint32_t dispatcher)
{
	const struct hqq_advanced_options options = adv_options(dispatcher, 0, 0, 0);

	MUST_EQ(hqq_advanced_create_fd(&pair->side[0], COUNT, SIZE, &options), 0);
	pair->side[1] = open_silent(hqq_advanced_fd(pair->side[0]));
}

/* Another in place of the peer. Whoever of us enters a call now finds that the session is over. */
static void succeed(struct adv_pair *pair)
{
	MUST_EQ(hqq_advanced_close(pair->side[1]), 0);
	pair->side[1] = open_silent(hqq_advanced_fd(pair->side[0]));
}

/* All that there is passes. */
static void prove(struct adv_pair *pair)
{
	struct adv_server server;

	adv_push(pair->side[0], 0, 3 * SIZE, 1);
	adv_pull(pair->side[1], 0, 3 * SIZE, 1);
	adv_push(pair->side[1], 0, 3 * SIZE, 2);
	adv_pull(pair->side[0], 0, 3 * SIZE, 2);
	adv_server_start(&server, pair->side[0]);
	adv_echo(pair->side[1], 0, 2 * SIZE, 3);
	MUST_EQ(adv_server_stop(&server), HQQ_ERR_CANCELED);
	adv_server_start(&server, pair->side[1]);
	adv_echo(pair->side[0], 0, 2 * SIZE, 4);
	MUST_EQ(adv_server_stop(&server), HQQ_ERR_CANCELED);
}

/* ---- it ends while nobody looks ---------------------------------------------------------------- */

struct handling {
	hqq_advanced *handle;
	_Atomic bool entered, leave;
	int rc;
};

static int handle_until_told(hqq_advanced *handle, const struct hqq_message *request, void *argument)
{
	struct handling *handling = argument;
	const uint64_t end = soon_ns();

	MUST_EQ(hqq_advanced_respond(handle, PATIENT, request, 0, NULL, 0), 0);
	handling->entered = true;
	while (!handling->leave && test_now_ns() < end)
		test_sleep_ms(1);
	return 0;
}

static void *serve_until_told(void *argument)
{
	struct handling *handling = argument;
	const struct hqq_method method = {ADV_ECHO, handle_until_told, handling};

	handling->rc = hqq_advanced_serve(handling->handle, SOON, &method, 1);
	return NULL;
}

/*
 * The peer goes while a handler runs, and who finds it gone is somebody else. _i: 2 * dispatcher + whether
 * another thread waits for the next one, and dispatches
 */
START_TEST(serve_ends_after_its_handler)
{
	struct handling handling = {.rc = 1};
	struct adv_waiting waiting;
	struct adv_waiter waiter;
	const uint64_t end = soon_ns();
	struct adv_pair pair;
	pthread_t thread;

	open_pair(&pair, (uint32_t)_i / 2);
	adv_agree(&pair, ADV_ALL);
	handling.handle = pair.side[0];
	MUST_EQ(pthread_create(&thread, NULL, serve_until_told, &handling), 0);
	MUST_EQ(hqq_advanced_call(pair.side[1], SOON, ADV_ECHO, "x", 1, NULL), 0);
	while (!handling.entered && test_now_ns() < end)
		test_sleep_ms(1);
	MUST_EQ(hqq_advanced_close(pair.side[1]), 0);
	pair.side[1] = NULL;
	while (hqq_advanced_protocol_state(pair.side[0]) != HQQ_PROTOCOL_NONE && test_now_ns() < end)
		hqq_advanced_dispatch(pair.side[0], WITHIN_MS(1));
	MUST_EQ(hqq_advanced_protocol_state(pair.side[0]), HQQ_PROTOCOL_NONE);
	adv_waiting_prepare(&waiting, pair.side[0], ADV_WAY_ACCEPTOR);
	if (_i % 2)
		adv_waiter_start(&waiter, &waiting, NULL);
	handling.leave = true;
	MUST_EQ(pthread_join(thread, NULL), 0);
	MUST_EQ(handling.rc, HQQ_ERR_PEER_GONE);
	if (_i % 2) {
		pair.side[1] = open_silent(hqq_advanced_fd(pair.side[0]));
		MUST_EQ(hqq_advanced_negotiate(pair.side[1], SOON, ADV_VERSION, ADV_ALL), 0);
		MUST_EQ(adv_waiter_join(&waiter), 0);
		prove(&pair);
	}
	adv_pair_close(&pair);
}
END_TEST

#define AHEAD 4 /* messages in the ring behind a queue that is full */

static void send_too_many(hqq_advanced *handle)
{
	for (unsigned i = 0; i < COUNT + AHEAD; i++)
		MUST_EQ(hqq_advanced_send_large(handle, PATIENT, 0, "x", 1, NULL), 0);
}

static void await_full_queue(hqq_advanced *handle)
{
	const uint64_t end = soon_ns();

	while (adv_stats(handle).large_messages_received < COUNT && test_now_ns() < end)
		test_sleep_ms(1);
	MUST_EQ(adv_stats(handle).large_messages_received, COUNT);
}

static int live(void *argument)
{
	hqq_advanced *handle = open_silent(*(const int *)argument);

	MUST_EQ(hqq_advanced_negotiate(handle, PATIENT, ADV_VERSION, ADV_ALL), 0);
	send_too_many(handle);
	parent_say('r');
	parent_hear('e');
	return 0;
}

static const int room_ways[] = {SEND_LARGE, SEND_STREAM, WRITE};

/* The thread may not take the next message, so it does not look whether the peer is there. _i: room_ways */
START_TEST(killed_beside_a_full_queue)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_THREAD, 0, COUNT, 0);
	struct adv_waiting waiting;
	struct adv_waiter waiter;
	hqq_advanced *handle;
	struct child child;
	int fd;

	MUST_EQ(hqq_advanced_create_fd(&handle, COUNT, SIZE, &options), 0);
	fd = hqq_advanced_fd(handle);
	child_start(&child, live, &fd);
	MUST_EQ(hqq_advanced_wait_negotiation(handle, PATIENT), 0);
	child_hear(&child, 'r');
	await_full_queue(handle);
	adv_waiting_prepare(&waiting, handle, room_ways[_i]);
	adv_waiter_start(&waiter, &waiting, NULL);
	child_kill(&child);
	MUST_EQ(adv_waiter_join(&waiter), HQQ_ERR_PEER_GONE);
	MUST_EQ(hqq_advanced_protocol_state(handle), HQQ_PROTOCOL_NONE);
	MUST_EQ(hqq_advanced_close(handle), 0);
}
END_TEST

/* The same of one that closes. */
START_TEST(closed_beside_a_full_queue)
{
	struct adv_waiting waiting;
	struct adv_waiter waiter;
	struct adv_pair pair;

	open_pair(&pair, HQQ_DISPATCH_THREAD);
	adv_agree(&pair, ADV_ALL);
	send_too_many(pair.side[1]);
	await_full_queue(pair.side[0]);
	adv_waiting_prepare(&waiting, pair.side[0], room_ways[_i]);
	adv_waiter_start(&waiter, &waiting, NULL);
	MUST_EQ(hqq_advanced_close(pair.side[1]), 0);
	pair.side[1] = NULL;
	MUST_EQ(adv_waiter_join(&waiter), HQQ_ERR_PEER_GONE);
	MUST_EQ(hqq_advanced_protocol_state(pair.side[0]), HQQ_PROTOCOL_NONE);
	adv_pair_close(&pair);
}
END_TEST

/* Calls that do not wait tell it, once. */
static void is_told_once(hqq_advanced *handle)
{
	const uint64_t end = soon_ns();
	int rc = 0;

	while (rc == 0 && test_now_ns() < end) {
		rc = hqq_advanced_dispatch(handle, AT_ONCE);
		if (rc == 0)
			test_sleep_ms(1);
	}
	MUST_EQ(rc, HQQ_ERR_PEER_GONE);
	for (unsigned i = 0; i < 5; i++)
		MUST_EQ(hqq_advanced_dispatch(handle, AT_ONCE), 0);
	MUST_EQ(hqq_advanced_dispatch(handle, WITHIN_MS(100)), 0);
	MUST_EQ(hqq_advanced_protocol_state(handle), HQQ_PROTOCOL_NONE);
}

/* _i: 2 * dispatcher + whether a call noticed it before */
START_TEST(dispatch_tells_of_a_closed_peer)
{
	struct adv_pair pair;

	open_pair(&pair, (uint32_t)_i / 2);
	adv_agree(&pair, ADV_ALL);
	MUST_EQ(hqq_advanced_dispatch(pair.side[0], AT_ONCE), 0);
	MUST_EQ(hqq_advanced_close(pair.side[1]), 0);
	pair.side[1] = NULL;
	if (_i % 2)
		MUST_EQ(hqq_advanced_receive(pair.side[0], SOON, &(struct hqq_message){.flags = 0}),
			HQQ_ERR_PEER_GONE);
	is_told_once(pair.side[0]);
	/* and of the next one once more */
	pair.side[1] = open_silent(hqq_advanced_fd(pair.side[0]));
	adv_agree(&pair, ADV_ALL);
	MUST_EQ(hqq_advanced_close(pair.side[1]), 0);
	pair.side[1] = NULL;
	is_told_once(pair.side[0]);
	adv_pair_close(&pair);
}
END_TEST

static int live_quietly(void *argument)
{
	hqq_advanced *handle = open_silent(*(const int *)argument);

	MUST_EQ(hqq_advanced_negotiate(handle, PATIENT, ADV_VERSION, ADV_ALL), 0);
	parent_say('r');
	parent_hear('e');
	return 0;
}

/* _i: dispatcher */
START_TEST(dispatch_tells_of_a_killed_peer)
{
	const struct hqq_advanced_options options = adv_options((uint32_t)_i, 0, 0, 0);
	hqq_advanced *handle;
	struct child child;
	int fd;

	MUST_EQ(hqq_advanced_create_fd(&handle, COUNT, SIZE, &options), 0);
	fd = hqq_advanced_fd(handle);
	child_start(&child, live_quietly, &fd);
	MUST_EQ(hqq_advanced_wait_negotiation(handle, PATIENT), 0);
	child_hear(&child, 'r');
	child_kill(&child);
	is_told_once(handle);
	MUST_EQ(hqq_advanced_close(handle), 0);
}
END_TEST

/* ---- a peer that does not stop ----------------------------------------------------------------- */

enum hqq_pumped __real_hqq_pump_one(struct hqq_advanced *a, struct hqq_seat **seat,
				    const struct hqq_waiter *self);
enum hqq_pumped __wrap_hqq_pump_one(struct hqq_advanced *a, struct hqq_seat **seat,
				    const struct hqq_waiter *self);

static hqq_advanced *flooder;
static unsigned flood_left;
static bool flood_of_requests;

/* Whenever somebody looks, one more has come. */
enum hqq_pumped __wrap_hqq_pump_one(struct hqq_advanced *a, struct hqq_seat **seat,
				    const struct hqq_waiter *self)
{
	hqq_advanced *peer = flooder;
	uint64_t id;

	if (peer && flood_left) {
		flooder = NULL; /* not while it sends */
		flood_left--;
		if (flood_of_requests)
			MUST_EQ(hqq_advanced_call_start(peer, AT_ONCE, 0, ADV_UNKNOWN, "x", 1, &id), 0);
		else
			MUST_EQ(hqq_advanced_write(peer, AT_ONCE, "x", 1), 1);
		flooder = peer;
	}
	return __real_hqq_pump_one(a, seat, self);
}

#define FLOOD (20 * COUNT)

/* _i: bits: requests, which are taken many at a time; a deadline to come; a handle without any thread */
START_TEST(dispatch_returns_from_a_flood)
{
	struct adv_pair pair;
	uint64_t id;
	int taken;

	open_pair(&pair, _i & 4 ? HQQ_DISPATCH_MANUAL : HQQ_DISPATCH_AUTO);
	adv_agree(&pair, ADV_ALL);
	/* a call under way: nothing is held back */
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 0, ADV_UNKNOWN, "x", 1, &id), 0);
	flood_of_requests = _i & 1;
	flood_left = FLOOD;
	flooder = pair.side[1];
	taken = hqq_advanced_dispatch(pair.side[0], _i & 2 ? PATIENT : AT_ONCE);
	flooder = NULL;
	MUST(taken >= COUNT);
	MUST(taken < COUNT + 16); /* a lap, and what a round takes at most */
	MUST_EQ(flood_left, FLOOD - (unsigned)taken);
	adv_pair_close(&pair);
}
END_TEST

/* ---- what was the last one's ------------------------------------------------------------------- */

struct delivery {
	hqq_advanced *handle;
	int rc;
};

/*
 * Locks that a dispatch() takes up to the one under which a request of one chunk goes to its queue: one
 * on its way in, one of its turn, and that.
 */
#define LOCKS_TO_THE_QUEUE 3

static void *deliver_late(void *argument)
{
	struct delivery *delivery = argument;

	adv_lock_late(delivery->handle, LOCKS_TO_THE_QUEUE);
	delivery->rc = hqq_advanced_dispatch(delivery->handle, PATIENT);
	return NULL;
}

/*
 * A request is out of the ring and not yet in its queue when another thread finds the session over: it is
 * none of the next one's, though that one's first call has the same id. _i: taken by receive()
 */
START_TEST(request_between_two_sessions)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);
	struct delivery delivery = {.rc = -1};
	const uint64_t end = soon_ns();
	struct hqq_message request;
	struct adv_server server;
	struct adv_pair pair;
	pthread_t thread;
	uint64_t id;

	adv_pair_open(&pair, COUNT, SIZE, &options, &options);
	MUST_EQ(hqq_advanced_call_start(pair.side[1], PATIENT, 0, ADV_ERROR, "x", 1, &id), 0);
	adv_lock_shut();
	delivery.handle = pair.side[0];
	MUST_EQ(pthread_create(&thread, NULL, deliver_late, &delivery), 0);
	while (!adv_lock_is_reached() && test_now_ns() < end)
		test_sleep_ms(1);
	MUST(adv_lock_is_reached());
	MUST_EQ(adv_stats(pair.side[0]).requests_received, 0);
	succeed(&pair);
	MUST_EQ(hqq_advanced_hangup(pair.side[0], NULL, NOBODYS_ID, 0), HQQ_ERR_PEER_GONE);
	adv_lock_release();
	MUST_EQ(pthread_join(thread, NULL), 0);
	MUST_EQ(delivery.rc, 1);
	MUST_EQ(adv_stats(pair.side[0]).requests_received, 1);
	adv_agree(&pair, ADV_ALL);
	if (_i) {
		MUST_EQ(hqq_advanced_receive(pair.side[0], PATIENT, &request), 0);
		MUST_EQ(request.method_id, ADV_ERROR);
		MUST_EQ(hqq_advanced_respond(pair.side[0], PATIENT, &request, 0, "x", 1), HQQ_ERR_PEER_GONE);
		hqq_message_clear(&request);
	}
	adv_server_start(&server, pair.side[0]);
	adv_echo(pair.side[1], 0, 5, 1);
	MUST_EQ(adv_server_stop(&server), HQQ_ERR_CANCELED);
	adv_pair_close(&pair);
}
END_TEST

static uint32_t state(hqq_advanced *handle)
{
	uint32_t now;

	hqq_adv_lock(handle);
	now = hqq_adv_state(handle);
	hqq_adv_unlock(handle);
	return now;
}

static void *ask(void *argument)
{
	MUST_EQ(hqq_advanced_negotiate(argument, SOON, ADV_VERSION, ADV_ALL), 0);
	return NULL;
}

/* As adv_agree(), with one who was asked before, and answers when all questions are there. */
static void agree_at_last(struct adv_pair *pair)
{
	pthread_t thread;

	MUST_EQ(pthread_create(&thread, NULL, ask, pair->side[0]), 0);
	while (state(pair->side[0]) == HQQ_PROTOCOL_NONE)
		test_sleep_ms(1);
	MUST_EQ(hqq_advanced_wait_negotiation(pair->side[1], SOON), 0);
	MUST_EQ(pthread_join(thread, NULL), 0);
}

static int answer_once(void *argument)
{
	hqq_advanced *handle = open_silent(*(const int *)argument);

	MUST_EQ(hqq_advanced_wait_negotiation(handle, PATIENT), 0);
	parent_say('r');
	parent_hear('e');
	return 0;
}

/*
 * Who is asked twice, and answers the first time only, since it goes: the next one has agreed to nothing yet.
 * _i: 2 * (AUTO or MANUAL) + killed
 */
START_TEST(answer_of_the_last_one)
{
	const struct hqq_advanced_options options =
		adv_options(_i / 2 ? HQQ_DISPATCH_MANUAL : HQQ_DISPATCH_AUTO, 0, 0, 0);
	hqq_advanced *peer;
	struct adv_pair pair;
	struct child child;
	int fd;

	MUST_EQ(hqq_advanced_create_fd(&pair.side[0], COUNT, SIZE, &options), 0);
	fd = hqq_advanced_fd(pair.side[0]);
	MUST_EQ(hqq_advanced_negotiate(pair.side[0], AT_ONCE, ADV_VERSION, ADV_ALL), HQQ_ERR_TIMEOUT);
	if (_i % 2) {
		child_start(&child, answer_once, &fd);
		child_hear(&child, 'r');
		child_kill(&child);
	} else {
		peer = open_silent(fd);
		MUST_EQ(hqq_advanced_wait_negotiation(peer, PATIENT), 0);
		MUST_EQ(hqq_advanced_close(peer), 0);
	}
	pair.side[1] = open_silent(fd);
	MUST_EQ(hqq_advanced_negotiate(pair.side[0], AT_ONCE, ADV_VERSION, ADV_ALL), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_protocol_state(pair.side[0]), HQQ_PROTOCOL_NONE);
	agree_at_last(&pair);
	prove(&pair);
	adv_pair_close(&pair);
}
END_TEST

static bool is_asked(hqq_advanced *handle)
{
	bool asked;

	hqq_adv_lock(handle);
	asked = handle->negotiation.asked;
	hqq_adv_unlock(handle);
	return asked;
}

/* A peer that asked, and is gone; its question was heard. Another is there, and has not asked. */
static void hear_and_lose(struct adv_pair *pair, uint32_t dispatcher)
{
	const uint64_t end = soon_ns();

	open_pair(pair, dispatcher);
	MUST_EQ(hqq_advanced_negotiate(pair->side[1], AT_ONCE, ADV_VERSION, ADV_ALL), HQQ_ERR_TIMEOUT);
	while (!is_asked(pair->side[0]) && test_now_ns() < end)
		MUST(hqq_advanced_dispatch(pair->side[0], AT_ONCE) >= 0);
	MUST(is_asked(pair->side[0]));
	succeed(pair);
}

/* Asking the next one is no answer to the last one. _i: dispatcher */
START_TEST(question_of_the_last_one)
{
	struct adv_pair pair;

	hear_and_lose(&pair, (uint32_t)_i);
	MUST_EQ(hqq_advanced_negotiate(pair.side[0], AT_ONCE, ADV_VERSION, ADV_ALL), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_protocol_state(pair.side[0]), HQQ_PROTOCOL_NONE);
	agree_at_last(&pair);
	prove(&pair);
	adv_pair_close(&pair);
}
END_TEST

/* Nor is waiting to be asked. _i: dispatcher */
START_TEST(question_of_the_last_one_is_not_awaited)
{
	struct adv_pair pair;

	hear_and_lose(&pair, (uint32_t)_i);
	MUST_EQ(hqq_advanced_wait_negotiation(pair.side[0], AT_ONCE), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_protocol_state(pair.side[0]), HQQ_PROTOCOL_NONE);
	adv_agree(&pair, ADV_ALL);
	prove(&pair);
	adv_pair_close(&pair);
}
END_TEST

static int echo(hqq_advanced *handle, uint64_t id, size_t length)
{
	unsigned char body[4 * SIZE];
	struct hqq_message response;
	int rc;

	test_fill(body, length, id);
	rc = hqq_advanced_call_on(handle, SOON, id, ADV_ECHO, body, length, &response);
	if (rc)
		return rc;
	MUST_EQ(response.payload_size, length);
	MUST_EQ(test_verify(response.payload, length, id), -1);
	hqq_message_clear(&response);
	return 0;
}

/* What we dialled in an earlier session is nobody's in this one, and may be used by who never dialled it. */
START_TEST(id_of_an_earlier_session)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_AUTO, 0, 0, 0);
	struct adv_server server;
	struct adv_pair pair;
	uint64_t id, other;

	adv_pair_open(&pair, COUNT, SIZE, &options, &options);
	MUST_EQ(hqq_advanced_listen(pair.side[1]), 0);
	for (unsigned i = 0; i < 3; i++) {
		MUST_EQ(hqq_advanced_dial(pair.side[0], PATIENT, &id), 0);
		MUST_EQ(hqq_advanced_accept(pair.side[1], PATIENT, &other), 0);
	}
	succeed(&pair);
	MUST_EQ(hqq_advanced_hangup(pair.side[0], NULL, NOBODYS_ID, 0), HQQ_ERR_PEER_GONE);
	adv_agree(&pair, ADV_ALL);
	adv_server_start(&server, pair.side[0]);
	MUST_EQ(echo(pair.side[1], id, 5), 0);
	MUST_EQ(echo(pair.side[1], id, 4 * SIZE), 0);
	MUST_EQ(echo(pair.side[1], 1, 5), 0);
	MUST_EQ(adv_server_stop(&server), HQQ_ERR_CANCELED);
	adv_pair_close(&pair);
}
END_TEST

/* ---- a peer that asks again -------------------------------------------------------------------- */

static const int asking_ways[] = {CALL, CALL_ON, CALL_WAIT, DIAL};
#define ASKING_WAYS 4

/*
 * The one that asks gives up before it is answered, and drops what it is sent, since it knows of no session;
 * then it asks again. _i: ASKING_WAYS * dispatcher + way
 */
START_TEST(asked_again_before_any_use)
{
	struct adv_waiting waiting;
	struct adv_waiter waiter;
	struct adv_pair pair;

	open_pair(&pair, (uint32_t)(_i / ASKING_WAYS));
	MUST_EQ(hqq_advanced_negotiate(pair.side[1], AT_ONCE, ADV_VERSION, ADV_ALL), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_wait_negotiation(pair.side[0], PATIENT), 0);
	adv_waiting_prepare(&waiting, pair.side[0], asking_ways[_i % ASKING_WAYS]);
	adv_waiter_start(&waiter, &waiting, NULL);
	while (hqq_advanced_dispatch(pair.side[1], AT_ONCE) > 0)
		continue;
	MUST_EQ(hqq_advanced_negotiate(pair.side[1], SOON, ADV_VERSION, ADV_ALL), 0);
	MUST_EQ(adv_waiter_join(&waiter), HQQ_ERR_PEER_GONE);
	MUST_EQ(hqq_advanced_protocol_state(pair.side[0]), HQQ_PROTOCOL_NEGOTIATED);
	prove(&pair);
	adv_pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: the end of a session");
	TCase *cases = test_case(suite, "unseen", 20);

	tcase_add_loop_test(cases, serve_ends_after_its_handler, 0, 2 * DISPATCHERS);
	tcase_add_loop_test(cases, killed_beside_a_full_queue, 0, 3);
	tcase_add_loop_test(cases, closed_beside_a_full_queue, 0, 3);
	tcase_add_loop_test(cases, dispatch_tells_of_a_closed_peer, 0, 2 * DISPATCHERS);
	tcase_add_loop_test(cases, dispatch_tells_of_a_killed_peer, 0, DISPATCHERS);
	tcase_add_loop_test(cases, dispatch_returns_from_a_flood, 0, 8);
	cases = test_case(suite, "the last one's", 20);
	tcase_add_loop_test(cases, request_between_two_sessions, 0, 2);
	tcase_add_loop_test(cases, answer_of_the_last_one, 0, 4);
	tcase_add_loop_test(cases, question_of_the_last_one, 0, DISPATCHERS);
	tcase_add_loop_test(cases, question_of_the_last_one_is_not_awaited, 0, DISPATCHERS);
	tcase_add_test(cases, id_of_an_earlier_session);
	cases = test_case(suite, "asked again", 20);
	tcase_add_loop_test(cases, asked_again_before_any_use, 0, DISPATCHERS * ASKING_WAYS);
	return test_main(suite);
}
