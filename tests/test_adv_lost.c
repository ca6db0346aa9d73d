/*
 * test_adv_lost.c - waits that somebody has to end: what becomes true is told to whoever sleeps for it
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_sleeps.h"
#include "adv_waiter.h"

#include <string.h>

#define COUNT 8
#define SIZE 64

/* A thread that does something to the other end once the thread of the test sleeps. */
struct helper {
	struct adv_pair pair;
	int way;
	struct adv_waiter driver;
	hqq_context driver_context;
	_Atomic bool is_over; /* the call of the test has returned */
	pthread_t thread;
};

static void open_with(struct helper *helper, uint32_t dispatcher)
{
	const struct hqq_advanced_options ours = adv_options(dispatcher, 0, 0, 0);
	const struct hqq_advanced_options theirs = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);

	memset(helper, 0, sizeof(*helper));
	adv_pair_open(&helper->pair, COUNT, SIZE, &ours, &theirs);
}

/* ---- room -------------------------------------------------------------------------------------- */

static void *make_room(void *argument)
{
	struct helper *helper = argument;

	adv_sleep_await_watched();
	adv_drain(helper->pair.side[1], COUNT);
	while (!helper->is_over)
		MUST(hqq_advanced_dispatch(helper->pair.side[1], WITHIN_MS(1)) >= 0);
	return NULL;
}

/* It waits for frames all day; a sender beside it waits for room. _i: which call, from ADV_WAYS_ROOM on */
START_TEST(the_thread_looks_for_room)
{
	const int way = ADV_WAYS_ROOM + _i;
	struct adv_waiting waiting;
	struct helper helper;
	ssize_t rc;

	open_with(&helper, HQQ_DISPATCH_THREAD);
	adv_peer_prepare(helper.pair.side[1], way);
	adv_waiting_prepare(&waiting, helper.pair.side[0], way);
	adv_sleep_await_other(); /* it has looked, and found nothing to do */
	adv_sleep_watch();
	MUST_EQ(pthread_create(&helper.thread, NULL, make_room, &helper), 0);
	rc = adv_wait(&waiting, NULL);
	helper.is_over = true;
	MUST_EQ(adv_sleep_unwatch(), 0);
	MUST(rc >= 0);
	MUST_EQ(pthread_join(helper.thread, NULL), 0);
	adv_waiting_clear(&waiting);
	adv_pair_close(&helper.pair);
}
END_TEST

/*
 * A message is given up for want of room, and nobody of this side calls again: the other one hears of it
 * when it has made room. More than once, since a thread that is made for this looks round as it comes.
 * _i: the dispatcher, but for MANUAL, which promises nothing of the kind
 */
START_TEST(an_abort_goes_out)
{
	static char bytes[50 * SIZE];
	struct hqq_message message;
	struct helper helper;
	int round;

	open_with(&helper, (uint32_t)_i);
	for (round = 0; round < 3; round++) {
		if (_i == HQQ_DISPATCH_THREAD || round)
			adv_sleep_await_other();
		MUST_EQ(hqq_advanced_send_large(helper.pair.side[0], WITHIN_MS(20), 0, bytes, sizeof(bytes), NULL),
			HQQ_ERR_TIMEOUT);
		MUST_EQ(hqq_advanced_receive(helper.pair.side[1], PATIENT, &message), 0);
		MUST(hqq_message_is_abort(&message));
		hqq_message_clear(&message);
	}
	adv_pair_close(&helper.pair);
}
END_TEST

/* ---- dispatch() -------------------------------------------------------------------------------- */

static void *stop_driving(void *argument)
{
	struct helper *helper = argument;

	adv_sleep_await_watched();
	MUST_EQ(hqq_context_cancel(&helper->driver_context), 0);
	MUST_EQ(adv_waiter_join(&helper->driver), HQQ_ERR_CANCELED);
	adv_push(helper->pair.side[1], 0, 5, 1);
	return NULL;
}

/* It waits beside a call that drives; when that ends, there is nobody else to take what comes. */
START_TEST(dispatch_takes_over_from_a_driver)
{
	struct adv_waiting waiting;
	struct helper helper;

	open_with(&helper, HQQ_DISPATCH_MANUAL);
	helper.driver_context = (hqq_context)HQQ_CONTEXT_INIT;
	adv_waiting_prepare(&waiting, helper.pair.side[0], 0);
	adv_waiter_start(&helper.driver, &waiting, &helper.driver_context);
	adv_sleep_watch();
	MUST_EQ(pthread_create(&helper.thread, NULL, stop_driving, &helper), 0);
	MUST_EQ(hqq_advanced_dispatch(helper.pair.side[0], PATIENT), 1);
	MUST_EQ(adv_sleep_unwatch(), 0);
	MUST_EQ(pthread_join(helper.thread, NULL), 0);
	adv_pull(helper.pair.side[0], 0, 5, 1);
	adv_pair_close(&helper.pair);
}
END_TEST

static void *push(void *argument)
{
	struct helper *helper = argument;

	adv_sleep_await_watched();
	adv_push(helper->pair.side[1], 0, 5, 1);
	return NULL;
}

/* It has packets to send, which find no room, and looks for what comes all the same. */
START_TEST(dispatch_takes_frames_while_it_wants_room)
{
	struct helper helper;
	unsigned count;
	uint64_t id;

	open_with(&helper, HQQ_DISPATCH_MANUAL);
	count = adv_fill(helper.pair.side[0]);
	MUST_EQ(hqq_advanced_dial(helper.pair.side[0], AT_ONCE, &id), HQQ_ERR_TIMEOUT);
	adv_sleep_watch();
	MUST_EQ(pthread_create(&helper.thread, NULL, push, &helper), 0);
	MUST_EQ(hqq_advanced_dispatch(helper.pair.side[0], PATIENT), 1);
	MUST_EQ(adv_sleep_unwatch(), 0);
	MUST_EQ(pthread_join(helper.thread, NULL), 0);
	adv_pull(helper.pair.side[0], 0, 5, 1);
	adv_drain(helper.pair.side[1], count);
	adv_pair_close(&helper.pair);
}
END_TEST

static int dispatch_inside(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
			   size_t length, void *argument)
{
	(void)head, (void)total, (void)offset, (void)data, (void)length;
	MUST_EQ(hqq_advanced_dispatch(argument, AT_ONCE), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_dispatch(argument, NULL), HQQ_ERR_INVALID_OP); /* does not wait for itself */
	return 0;
}

/*
 * The thread that runs a chunk function drives already, and holds the frame that is next. The message
 * comes only now, so that no other thread has taken it in whole. _i: dispatcher
 */
START_TEST(dispatch_is_refused_in_a_chunk_function)
{
	struct helper helper;

	open_with(&helper, (uint32_t)_i);
	adv_sleep_watch();
	MUST_EQ(pthread_create(&helper.thread, NULL, push, &helper), 0);
	MUST_EQ(hqq_advanced_receive_stream(helper.pair.side[0], PATIENT, dispatch_inside, helper.pair.side[0]),
		0);
	MUST_EQ(adv_sleep_unwatch(), 0);
	MUST_EQ(pthread_join(helper.thread, NULL), 0);
	adv_pair_close(&helper.pair);
}
END_TEST

/* ---- threads that are late --------------------------------------------------------------------- */

struct late {
	hqq_advanced *handle;
	struct adv_waiting waiting;
	unsigned nth;
	ssize_t rc;
	_Atomic unsigned calls; /* of the chunk function */
	_Atomic bool is_over;
	pthread_t thread;
};

static void await_late(struct late *late)
{
	while (!adv_lock_is_reached() && !late->is_over)
		test_sleep_ms(1);
}

static void *call_late(void *argument)
{
	struct late *late = argument;

	adv_lock_late(late->handle, 1);
	late->rc = adv_wait(&late->waiting, PATIENT);
	late->is_over = true;
	return NULL;
}

/*
 * A call has seen that there is a session. Another thread finds that it is over, and by the time that the
 * call goes on, there is another peer, which knows nothing of it and will not answer.
 * _i: call, call_on, call_start, dial
 */
START_TEST(the_session_ends_as_a_call_begins)
{
	static const int ways[] = {2, 3, 9, 8};
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);
	struct hqq_message message;
	struct adv_pair pair;
	struct late late;

	memset(&late, 0, sizeof(late));
	adv_pair_open(&pair, COUNT, SIZE, &options, &options);
	late.handle = late.waiting.handle = pair.side[0];
	late.waiting.way = ways[_i];
	adv_lock_shut();
	MUST_EQ(pthread_create(&late.thread, NULL, call_late, &late), 0);
	await_late(&late);
	MUST(!late.is_over);
	MUST_EQ(hqq_advanced_close(pair.side[1]), 0);
	MUST_EQ(hqq_advanced_receive(pair.side[0], PATIENT, &message), HQQ_ERR_PEER_GONE);
	MUST_EQ(hqq_advanced_open_fd(&pair.side[1], hqq_advanced_fd(pair.side[0]), 0, 0, &options), 0);
	adv_lock_release();
	MUST_EQ(pthread_join(late.thread, NULL), 0);
	MUST_EQ(late.rc, HQQ_ERR_PEER_GONE);
	adv_agree(&pair, ADV_ALL); /* and the next one is not bothered by it */
	MUST_EQ(adv_stats(pair.side[1]).requests_received, 0);
	adv_pair_close(&pair);
}
END_TEST

static int count_call(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
		      size_t length, void *argument)
{
	struct late *late = argument;

	(void)head, (void)total, (void)offset, (void)data, (void)length;
	late->calls++;
	return 0;
}

static void *stream_late(void *argument)
{
	struct late *late = argument;

	adv_lock_late(late->handle, late->nth);
	late->rc = hqq_advanced_receive_stream(late->handle, PATIENT, count_call, late);
	late->is_over = true;
	return NULL;
}

/*
 * A whole message waits to be taken, and receive_stream() comes for it, but another thread takes it first:
 * wherever that happens, the call is over only when it has had a message.
 * _i: the lock that it is late for, less one; there are no more than these
 */
START_TEST(a_stream_is_outrun)
{
	struct hqq_message message;
	struct helper helper;
	struct late late;
	int rc;

	memset(&late, 0, sizeof(late));
	open_with(&helper, HQQ_DISPATCH_MANUAL);
	late.handle = helper.pair.side[0];
	late.nth = (unsigned)_i + 1;
	adv_push(helper.pair.side[1], 0, 5, 1);
	MUST_EQ(hqq_advanced_dispatch(late.handle, PATIENT), 1);
	adv_lock_shut();
	MUST_EQ(pthread_create(&late.thread, NULL, stream_late, &late), 0);
	await_late(&late);
	rc = hqq_advanced_receive(late.handle, AT_ONCE, &message);
	if (rc == 0)
		hqq_message_clear(&message);
	else
		MUST_EQ(rc, HQQ_ERR_TIMEOUT); /* the stream was first */
	adv_lock_release();
	if (rc == 0)
		adv_push(helper.pair.side[1], 0, 5, 2);
	MUST_EQ(pthread_join(late.thread, NULL), 0);
	MUST_EQ(late.rc, 0);
	MUST_EQ(late.calls, 1);
	adv_pair_close(&helper.pair);
}
END_TEST

/*
 * Ids are handed out in order, so that a program may guess the one of a call that another thread is about
 * to start: that is still the other thread's.
 */
START_TEST(a_call_that_is_not_started_yet)
{
	struct adv_waiting waiting;
	struct adv_waiter waiter;
	struct helper helper;
	uint64_t id;

	open_with(&helper, HQQ_DISPATCH_MANUAL);
	MUST_EQ(hqq_advanced_send_large(helper.pair.side[0], PATIENT, 0, "x", 1, &id), 0);
	adv_waiting_prepare(&waiting, helper.pair.side[0], 9);
	adv_waiter_start(&waiter, &waiting, NULL); /* it waits for room */
	MUST_EQ(hqq_advanced_call_wait(helper.pair.side[0], AT_ONCE, id + 1, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_call_cancel(helper.pair.side[0], id + 1), HQQ_ERR_INVALID_OP);
	adv_drain(helper.pair.side[1], 1);
	MUST_EQ(adv_waiter_join(&waiter), 0);
	MUST_EQ(hqq_advanced_call_wait(helper.pair.side[0], AT_ONCE, id + 1, NULL), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_call_cancel(helper.pair.side[0], id + 1), 0);
	adv_pair_close(&helper.pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: waits that somebody ends");
	TCase *cases = test_case(suite, "room", 60);

	tcase_add_loop_test(cases, the_thread_looks_for_room, 0, ADV_WAYS_SESSION - ADV_WAYS_ROOM);
	tcase_add_loop_test(cases, an_abort_goes_out, HQQ_DISPATCH_AUTO, HQQ_DISPATCH_MANUAL);
	cases = test_case(suite, "dispatch", 30);
	tcase_add_test(cases, dispatch_takes_over_from_a_driver);
	tcase_add_test(cases, dispatch_takes_frames_while_it_wants_room);
	tcase_add_loop_test(cases, dispatch_is_refused_in_a_chunk_function, 0, 3);
	cases = test_case(suite, "late", 30);
	tcase_add_loop_test(cases, the_session_ends_as_a_call_begins, 0, 4);
	tcase_add_loop_test(cases, a_stream_is_outrun, 0, 5);
	tcase_add_test(cases, a_call_that_is_not_started_yet);
	return test_main(suite);
}
