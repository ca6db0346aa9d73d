/*
 * test_adv_successor.c - a peer that goes, and another that comes in its place before anybody has looked
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_sleeps.h"
#include "adv_waiter.h"
#include "advanced/advanced.h"

#include <errno.h>
#include <string.h>

#define COUNT 8
#define SIZE 64
#define CALL 2 /* of the ways to wait */

static void open_successor(struct adv_pair *pair, uint32_t dispatcher)
{
	const struct hqq_advanced_options options = adv_options(dispatcher, 0, 0, 0);

	MUST_EQ(hqq_advanced_open_fd(&pair->side[1], hqq_advanced_fd(pair->side[0]), 0, 0, &options), 0);
}

/* ---- within one sleep -------------------------------------------------------------------------- */

/* Those that sleep while a call waits: with a background thread that drives, the call beside it, too. */
static unsigned sleepers(uint32_t dispatcher)
{
	return dispatcher == HQQ_DISPATCH_THREAD ? 2 : 1;
}

/*
 * The peer closes, and when the sleeper looks again, somebody is there: not the one that it waits for.
 * _i: dispatcher * ADV_WAYS_SESSION + way
 */
START_TEST(closed_and_opened_within_a_sleep)
{
	const uint32_t dispatcher = (uint32_t)(_i / ADV_WAYS_SESSION);
	const int way = _i % ADV_WAYS_SESSION;
	const struct hqq_advanced_options ours = adv_options(dispatcher, 0, 0, 0);
	const struct hqq_advanced_options theirs = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);
	struct adv_waiting waiting;
	struct adv_waiter waiter;
	struct adv_pair pair;

	adv_pair_open(&pair, COUNT, SIZE, &ours, &theirs);
	adv_peer_prepare(pair.side[1], way);
	adv_waiting_prepare(&waiting, pair.side[0], way);
	adv_waiter_start(&waiter, &waiting, NULL);
	adv_sleep_hold();
	adv_sleep_await_held(sleepers(dispatcher));
	MUST_EQ(hqq_advanced_close(pair.side[1]), 0);
	open_successor(&pair, HQQ_DISPATCH_MANUAL);
	adv_sleep_release();
	MUST_EQ(adv_waiter_join(&waiter), HQQ_ERR_PEER_GONE);
	MUST_EQ(hqq_advanced_protocol_state(pair.side[0]), HQQ_PROTOCOL_NONE);
	adv_waiting_clear(&waiting);
	adv_pair_close(&pair);
}
END_TEST

/* A peer in a process of its own, which asks or is asked, and waits to be killed. */
struct life {
	int fd;
	bool asks;
};

static int live(void *argument)
{
	const struct life *life = argument;
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);
	hqq_advanced *handle;

	MUST_EQ(hqq_advanced_open_fd(&handle, life->fd, COUNT, SIZE, &options), 0);
	if (life->asks)
		MUST_EQ(hqq_advanced_negotiate(handle, PATIENT, ADV_VERSION, ADV_ALL), 0);
	else
		MUST_EQ(hqq_advanced_wait_negotiation(handle, PATIENT), 0);
	parent_say('r');
	parent_hear('e');
	return 0;
}

/* A server that is killed in a call and started again at once. _i: dispatcher */
START_TEST(killed_and_opened_within_a_sleep)
{
	const struct hqq_advanced_options options = adv_options((uint32_t)_i, 0, 0, 0);
	struct life life = {.asks = false};
	struct adv_waiting waiting;
	struct adv_waiter waiter;
	struct adv_pair pair;
	struct child child;

	MUST_EQ(hqq_advanced_create_fd(&pair.side[0], COUNT, SIZE, &options), 0);
	life.fd = hqq_advanced_fd(pair.side[0]);
	child_start(&child, live, &life);
	MUST_EQ(hqq_advanced_negotiate(pair.side[0], PATIENT, ADV_VERSION, ADV_ALL), 0);
	child_hear(&child, 'r');
	adv_waiting_prepare(&waiting, pair.side[0], CALL);
	adv_waiter_start(&waiter, &waiting, NULL);
	adv_sleep_hold();
	adv_sleep_await_held(sleepers((uint32_t)_i));
	child_kill(&child);
	open_successor(&pair, HQQ_DISPATCH_MANUAL);
	adv_sleep_release();
	MUST_EQ(adv_waiter_join(&waiter), HQQ_ERR_PEER_GONE);
	adv_pair_close(&pair);
}
END_TEST

/* ---- before it answered ------------------------------------------------------------------------ */

/* A peer that takes a question out of the ring, and answers nobody. */
static hqq_advanced *open_taciturn(int fd)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);
	hqq_advanced *handle;

	MUST_EQ(hqq_advanced_open_fd(&handle, fd, COUNT, SIZE, &options), 0);
	return handle;
}

static int live_taciturnly(void *argument)
{
	hqq_advanced *handle = open_taciturn(*(const int *)argument);

	parent_say('o');
	MUST_EQ(hqq_advanced_dispatch(handle, PATIENT), 1);
	parent_say('r');
	parent_hear('e');
	return 0;
}

struct asking {
	hqq_advanced *handle;
	struct adv_waiting waiting;
	struct adv_waiter waiter;
	int fd;
};

static void asking_open(struct asking *asking, uint32_t dispatcher)
{
	const struct hqq_advanced_options options = adv_options(dispatcher, 0, 0, 0);

	MUST_EQ(hqq_advanced_create_fd(&asking->handle, COUNT, SIZE, &options), 0);
	asking->fd = hqq_advanced_fd(asking->handle);
}

static void asking_start(struct asking *asking)
{
	adv_waiting_prepare(&asking->waiting, asking->handle, ADV_WAY_ASKER);
	adv_waiter_start(&asking->waiter, &asking->waiting, NULL);
}

/* It is told, and agrees with the next one. */
static void asking_is_told(struct asking *asking)
{
	struct adv_pair pair = {.side = {asking->handle, NULL}};

	MUST_EQ(adv_waiter_join(&asking->waiter), HQQ_ERR_PEER_GONE);
	MUST_EQ(hqq_advanced_protocol_state(asking->handle), HQQ_PROTOCOL_NONE);
	open_successor(&pair, HQQ_DISPATCH_MANUAL);
	adv_agree(&pair, ADV_ALL);
	adv_pair_close(&pair);
}

/* _i: 2 * dispatcher + whether the peer is there before it is asked */
START_TEST(killed_with_the_question)
{
	struct asking asking;
	struct child child;

	asking_open(&asking, (uint32_t)_i / 2);
	if (_i % 2) {
		child_start(&child, live_taciturnly, &asking.fd);
		child_hear(&child, 'o');
		asking_start(&asking);
	} else {
		asking_start(&asking);
		child_start(&child, live_taciturnly, &asking.fd);
		child_hear(&child, 'o');
	}
	child_hear(&child, 'r');
	child_kill(&child);
	asking_is_told(&asking);
}
END_TEST

/* As before, with one that closes. */
START_TEST(closed_with_the_question)
{
	hqq_advanced *peer = NULL;
	struct asking asking;

	asking_open(&asking, (uint32_t)_i / 2);
	if (_i % 2)
		peer = open_taciturn(asking.fd);
	asking_start(&asking);
	if (!peer)
		peer = open_taciturn(asking.fd);
	MUST_EQ(hqq_advanced_dispatch(peer, PATIENT), 1);
	MUST_EQ(hqq_advanced_close(peer), 0);
	asking_is_told(&asking);
}
END_TEST

/* When the sleeper looks, its successor is there. _i as before */
START_TEST(succeeded_with_the_question)
{
	hqq_advanced *peer = NULL, *successor;
	struct asking asking;

	asking_open(&asking, (uint32_t)_i / 2);
	if (_i % 2)
		peer = open_taciturn(asking.fd);
	asking_start(&asking);
	adv_sleep_hold();
	adv_sleep_await_held(sleepers((uint32_t)_i / 2));
	if (!peer)
		peer = open_taciturn(asking.fd);
	MUST_EQ(hqq_advanced_dispatch(peer, PATIENT), 1);
	MUST_EQ(hqq_advanced_close(peer), 0);
	successor = open_taciturn(asking.fd);
	adv_sleep_release();
	MUST_EQ(adv_waiter_join(&asking.waiter), HQQ_ERR_PEER_GONE);
	MUST_EQ(hqq_advanced_close(successor), 0);
	MUST_EQ(hqq_advanced_close(asking.handle), 0);
}
END_TEST

/*
 * It answered before it went, and when the sleeper looks another is there: one with which there is no
 * session. _i: dispatcher
 */
START_TEST(answered_and_succeeded)
{
	hqq_advanced *peer, *successor;
	struct asking asking;

	asking_open(&asking, (uint32_t)_i);
	peer = open_taciturn(asking.fd);
	asking_start(&asking);
	adv_sleep_hold();
	adv_sleep_await_held(sleepers((uint32_t)_i));
	MUST_EQ(hqq_advanced_wait_negotiation(peer, PATIENT), 0);
	MUST_EQ(hqq_advanced_close(peer), 0);
	successor = open_taciturn(asking.fd);
	adv_sleep_release();
	MUST_EQ(adv_waiter_join(&asking.waiter), 0);
	MUST_EQ(hqq_advanced_call(asking.handle, PATIENT, ADV_ECHO, "x", 1, NULL), HQQ_ERR_PEER_GONE);
	MUST_EQ(hqq_advanced_protocol_state(asking.handle), HQQ_PROTOCOL_NONE);
	MUST_EQ(hqq_advanced_close(successor), 0);
	MUST_EQ(hqq_advanced_close(asking.handle), 0);
}
END_TEST

/*
 * Neither those that were there before it asked, nor those that were turned away since, are the one that is
 * to answer. _i: dispatcher
 */
START_TEST(others_come_and_go)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);
	hqq_advanced *peer, *other;
	struct asking asking;

	asking_open(&asking, (uint32_t)_i);
	for (unsigned i = 0; i < 3; i++)
		MUST_EQ(hqq_advanced_close(open_taciturn(asking.fd)), 0);
	asking_start(&asking);
	test_sleep_ms(200); /* two looks and more */
	MUST(asking.waiter.ended_ns == 0);
	peer = open_taciturn(asking.fd);
	for (unsigned i = 0; i < 200; i++) {
		MUST_EQ(hqq_advanced_open_fd(&other, asking.fd, COUNT, SIZE, &options), -EBUSY);
		test_sleep_ms(1);
	}
	MUST(asking.waiter.ended_ns == 0);
	MUST_EQ(hqq_advanced_wait_negotiation(peer, PATIENT), 0);
	MUST_EQ(adv_waiter_join(&asking.waiter), 0);
	MUST_EQ(hqq_advanced_close(peer), 0);
	MUST_EQ(hqq_advanced_close(asking.handle), 0);
}
END_TEST

/* ---- before its first message ------------------------------------------------------------------ */

static bool is_asked(hqq_advanced *handle)
{
	bool asked;

	hqq_adv_lock(handle);
	asked = handle->negotiation.asked;
	hqq_adv_unlock(handle);
	return asked;
}

/*
 * The thread took the peer's question, and sleeps. There was no session then that a peer could be lost
 * to; there is one since the program answered, and it ends before the thread has heard anything more.
 */
START_TEST(killed_before_its_first_message)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_THREAD, 0, 0, 0);
	struct life life = {.asks = true};
	struct adv_waiting waiting;
	struct adv_waiter waiter;
	hqq_advanced *handle;
	struct child child;

	MUST_EQ(hqq_advanced_create_fd(&handle, COUNT, SIZE, &options), 0);
	life.fd = hqq_advanced_fd(handle);
	child_start(&child, live, &life);
	while (!is_asked(handle))
		test_sleep_ms(1);
	adv_sleep_await_other();
	MUST_EQ(hqq_advanced_wait_negotiation(handle, PATIENT), 0);
	child_hear(&child, 'r');
	adv_waiting_prepare(&waiting, handle, CALL);
	adv_waiter_start(&waiter, &waiting, NULL);
	child_kill(&child);
	MUST_EQ(adv_waiter_join(&waiter), HQQ_ERR_PEER_GONE);
	MUST_EQ(hqq_advanced_close(handle), 0);
}
END_TEST

/* ---- what it leaves ---------------------------------------------------------------------------- */


/* All that a peer sent before it closed is there, whoever came after it. _i: AUTO or MANUAL */
START_TEST(its_messages_are_received)
{
	const struct hqq_advanced_options options =
		adv_options(_i ? HQQ_DISPATCH_MANUAL : HQQ_DISPATCH_AUTO, 0, 0, 0);
	struct hqq_message message;
	struct adv_pair pair;
	char buffer[8];
	uint64_t i;

	adv_pair_open(&pair, 2 * COUNT, SIZE, &options, NULL);
	for (i = 0; i < 3; i++)
		adv_push(pair.side[1], 0, 2 * SIZE, i);
	MUST_EQ(hqq_advanced_write(pair.side[1], PATIENT, "last", 4), 4);
	MUST_EQ(hqq_advanced_close(pair.side[1]), 0);
	open_successor(&pair, HQQ_DISPATCH_MANUAL);
	for (i = 0; i < 3; i++)
		adv_pull(pair.side[0], 0, 2 * SIZE, i);
	MUST_EQ(hqq_advanced_read(pair.side[0], PATIENT, buffer, sizeof(buffer)), 4);
	MUST(memcmp(buffer, "last", 4) == 0);
	MUST_EQ(hqq_advanced_receive(pair.side[0], PATIENT, &message), HQQ_ERR_PEER_GONE);
	adv_agree(&pair, ADV_ALL);
	adv_push(pair.side[1], 0, 5, 7);
	adv_pull(pair.side[0], 0, 5, 7);
	adv_pair_close(&pair);
}
END_TEST

/* Packets for the one that is gone found no room in its time; its successor would not know what of. */
START_TEST(what_it_was_not_told)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);
	struct hqq_message message;
	struct adv_pair pair;
	unsigned count;
	uint64_t id;

	adv_pair_open(&pair, COUNT, SIZE, &options, &options);
	count = adv_fill(pair.side[0]);
	MUST_EQ(hqq_advanced_dial(pair.side[0], AT_ONCE, &id), HQQ_ERR_TIMEOUT); /* CREATE and CLOSE */
	MUST_EQ(hqq_advanced_close(pair.side[1]), 0);
	open_successor(&pair, HQQ_DISPATCH_MANUAL);
	MUST_EQ(hqq_advanced_receive(pair.side[0], PATIENT, &message), HQQ_ERR_PEER_GONE);
	adv_agree(&pair, ADV_ALL);
	MUST_EQ(hqq_advanced_listen(pair.side[1]), 0);
	MUST_EQ(hqq_advanced_accept(pair.side[1], AT_ONCE, &id), HQQ_ERR_TIMEOUT);
	MUST_EQ(adv_stats(pair.side[1]).refused, 0);
	adv_drain(pair.side[1], count); /* these were in the ring */
	adv_pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: peers that go, and those that come");
	TCase *cases = test_case(suite, "within a sleep", 30);

	tcase_add_loop_test(cases, closed_and_opened_within_a_sleep, 0, 3 * ADV_WAYS_SESSION);
	tcase_add_loop_test(cases, killed_and_opened_within_a_sleep, 0, 3);
	cases = test_case(suite, "asked", 30);
	tcase_add_loop_test(cases, killed_with_the_question, 0, 6);
	tcase_add_loop_test(cases, closed_with_the_question, 0, 6);
	tcase_add_loop_test(cases, succeeded_with_the_question, 0, 6);
	tcase_add_loop_test(cases, answered_and_succeeded, 0, 3);
	tcase_add_loop_test(cases, others_come_and_go, 0, 3);
	cases = test_case(suite, "left", 30);
	tcase_add_test(cases, killed_before_its_first_message);
	tcase_add_loop_test(cases, its_messages_are_received, 0, 2);
	tcase_add_test(cases, what_it_was_not_told);
	return test_main(suite);
}
