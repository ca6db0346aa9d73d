/*
 * test_close.c - closing a handle under the feet of its other threads
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pair.h"
#include "support.h"
#include "waiter.h"

#include <errno.h>
#include <hqq.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define SIZE 64

static const struct timespec passed = { 0, 0 };

/* A handle of its own on the pair's primary side, on which a call of that way has to wait. */
static hqq_standard *must_wait(struct pair *pair, int way, uint32_t wait)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_standard *handle;

	options.role = HQQ_ROLE_PRIMARY;
	options.wait = wait;
	pair_open(pair, 4, SIZE);
	if (waiter_writes(way))
		waiter_fill(pair->side[0]);
	MUST_EQ(hqq_standard_open(&handle, hqq_standard_name(pair->side[0]), 0, 0, &options), 0);
	return handle;
}

START_TEST(close_ends_the_wait)
{
	struct waiter waiter;
	struct pair pair;
	hqq_standard *handle = must_wait(&pair, _i, HQQ_WAIT_ADAPTIVE);
	uint64_t now;

	waiter_start(&waiter, handle, _i);
	waiter_asleep(&waiter);
	waiter_inside(handle, 1);
	now = test_now_ns();
	MUST_EQ(hqq_standard_close(handle), 0);
	MUST(test_now_ns() < now + TEST_WAKE_NS);
	MUST_EQ(waiter_join(&waiter), HQQ_ERR_CLOSED);
	waiter_prompt(&waiter, now, "close");
	MUST_EQ(waiter_call(handle, _i), HQQ_ERR_INVALID_OP);
	pair_close(&pair);
}
END_TEST

START_TEST(close_ends_the_wait_whatever_the_policy)
{
	struct waiter waiter;
	struct pair pair;
	int way;

	for (way = 0; way < WAITER_WAYS; way += WAITER_READS) {
		hqq_standard *handle = must_wait(&pair, way, (uint32_t)_i);

		waiter_start(&waiter, handle, way);
		waiter_inside(handle, 1);
		test_sleep_ms(10); /* it sleeps by now, mostly, or spins */
		MUST_EQ(hqq_standard_close(handle), 0);
		MUST_EQ(waiter_join(&waiter), HQQ_ERR_CLOSED);
		pair_close(&pair);
	}
}
END_TEST

#define CROWD 20

/* More threads than a handle has lanes, in all kinds of calls. */
START_TEST(close_ends_all_waits)
{
	struct waiter waiters[CROWD];
	struct pair pair;
	hqq_standard *handle = must_wait(&pair, WAITER_READS, HQQ_WAIT_ADAPTIVE);
	uint64_t now;
	int i;

	for (i = 0; i < CROWD; i++)
		waiter_start(&waiters[i], handle, i % WAITER_WAYS);
	for (i = 0; i < CROWD; i++)
		waiter_asleep(&waiters[i]);
	/* a thread that waits for its turn under valgrind looks asleep, too */
	waiter_inside(handle, CROWD);
	now = test_now_ns();
	MUST_EQ(hqq_standard_close(handle), 0);
	for (i = 0; i < CROWD; i++) {
		MUST_EQ(waiter_join(&waiters[i]), HQQ_ERR_CLOSED);
		waiter_prompt(&waiters[i], now, "close");
	}
	/* nothing is left in anybody's hands */
	for (i = 0; i < 4; i++)
		MUST_EQ(waiter_call(pair.side[1], i), waiter_success(i));
	for (i = WAITER_READS; i < WAITER_WAYS; i++) {
		MUST_EQ(waiter_call(pair.side[0], i), waiter_success(i));
		MUST_EQ(waiter_call(pair.side[1], 0), WAITER_LENGTH);
	}
	pair_close(&pair);
}
END_TEST

START_TEST(an_interrupted_handle_closes)
{
	struct waiter waiter;
	struct pair pair;
	hqq_standard *handle = must_wait(&pair, _i, HQQ_WAIT_ADAPTIVE);

	waiter_start(&waiter, handle, _i);
	MUST_EQ(hqq_standard_interrupt(handle), 0);
	MUST_EQ(waiter_join(&waiter), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_standard_close(handle), 0);
	MUST_EQ(hqq_standard_resume(handle), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_interrupt(handle), HQQ_ERR_INVALID_OP);
	pair_close(&pair);
}
END_TEST

/* ---- callbacks --------------------------------------------------------------------------------- */

static _Atomic bool in_callback, let_callback_end, callback_ended;

static int stay(const void *data, size_t length, void *argument)
{
	(void)argument;
	in_callback = true;
	while (!let_callback_end)
		test_sleep_ms(1);
	MUST(length == WAITER_LENGTH && memcmp(data, WAITER_TEXT, WAITER_LENGTH) == 0);
	callback_ended = true;
	return 0;
}

static void *read_in_callback(void *handle)
{
	MUST_EQ(hqq_standard_read_zero_copy(handle, stay, NULL), WAITER_LENGTH);
	return NULL;
}

static void *close_it(void *handle)
{
	MUST_EQ(hqq_standard_close(handle), 0);
	/* the segment stays until the last call has left */
	MUST(callback_ended);
	return NULL;
}

START_TEST(close_waits_for_a_callback)
{
	pthread_t reader, closer;
	struct pair pair;
	hqq_standard *handle = must_wait(&pair, 0, HQQ_WAIT_ADAPTIVE);

	in_callback = let_callback_end = callback_ended = false;
	MUST_EQ(waiter_call(pair.side[1], WAITER_READS), WAITER_LENGTH);
	MUST_EQ(pthread_create(&reader, NULL, read_in_callback, handle), 0);
	while (!in_callback)
		test_sleep_ms(1);
	MUST_EQ(pthread_create(&closer, NULL, close_it, handle), 0);
	test_sleep_ms(30);
	/* the doors are shut meanwhile */
	MUST_EQ(waiter_call(handle, 0), HQQ_ERR_CLOSED);
	let_callback_end = true;
	MUST_EQ(pthread_join(reader, NULL), 0);
	MUST_EQ(pthread_join(closer, NULL), 0);
	MUST_EQ(waiter_call(handle, 0), HQQ_ERR_INVALID_OP);
	pair_close(&pair);
}
END_TEST

/* ---- races ------------------------------------------------------------------------------------- */

static hqq_standard *contested;
static _Atomic int winners;

static void close_contested(void *argument, unsigned int index)
{
	int rc = hqq_standard_close(contested);

	(void)argument, (void)index;
	MUST(rc == 0 || rc == HQQ_ERR_INVALID_OP);
	winners += rc == 0;
}

START_TEST(one_of_many_closes)
{
	struct pair pair;
	int round;

	pair_open(&pair, 4, SIZE);
	for (round = 0; round < 30; round++) {
		winners = 0;
		MUST_EQ(hqq_standard_open(&contested, hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
		test_run_threads(6, close_contested, NULL);
		MUST_EQ(winners, 1);
	}
	pair_close(&pair);
}
END_TEST

static _Atomic bool stop_hammering;
static _Atomic unsigned int hammers;

/* Any answer but these would be wrong, whenever the close comes. */
static bool may_be(ssize_t rc, int way)
{
	if (rc == waiter_success(way) || rc == HQQ_ERR_TIMEOUT || rc == HQQ_ERR_CLOSED ||
	    rc == HQQ_ERR_INVALID_OP || rc == HQQ_ERR_CANCELED)
		return true;
	fprintf(stderr, "%s gave %zd (%s)\n", waiter_name(way), rc, hqq_strerror((int)rc));
	return false;
}

static void hammer(void *argument, unsigned int index)
{
	uint64_t seed = index;

	(void)argument;
	hammers++;
	while (!stop_hammering) {
		int way = (int)(test_random(&seed) % WAITER_WAYS);
		struct hqq_stats stats;
		ssize_t rc = waiter_call(contested, way);

		MUST(may_be(rc, way));
		rc = hqq_standard_pending(contested);
		MUST(rc >= 0 || may_be(rc, way));
		rc = hqq_standard_stats(contested, &stats);
		MUST(rc == 0 || may_be(rc, way));
		rc = hqq_standard_set_deadline(contested, &passed);
		MUST(rc == 0 || may_be(rc, way));
	}
}

/* The last thread closes and opens. The handle's memory may serve the next one: that is fine too. */
static void hammer_or_reopen(void *argument, unsigned int index)
{
	const unsigned int rounds = 200 / test_slowness();
	unsigned int round;

	if (index != 4) {
		hammer(argument, index);
		return;
	}
	while (hammers < 4)
		sched_yield();
	for (round = 0; round < rounds; round++) {
		hqq_standard *next;

		MUST_EQ(hqq_standard_close(contested), 0);
		MUST_EQ(hqq_standard_open(&next, argument, 0, 0, NULL), 0);
		MUST(next == contested);
		if (round % 8 == 0)
			test_sleep_ms(1);
	}
	stop_hammering = true;
	MUST_EQ(hqq_standard_interrupt(contested), 0);
}

START_TEST(close_beside_calls_of_all_kinds)
{
	struct pair pair;

	pair_open(&pair, 4, SIZE);
	MUST_EQ(hqq_standard_open(&contested, hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
	stop_hammering = false;
	hammers = 0;
	test_run_threads(5, hammer_or_reopen, (void *)(uintptr_t)hqq_standard_name(pair.side[0]));
	MUST_EQ(hqq_standard_close(contested), 0);
	pair_close(&pair);
}
END_TEST

#define ENOUGH_NS UINT64_C(1000000000) /* of a race that takes as long as the scheduler likes */

static _Atomic unsigned int turns;
static _Atomic bool enough;

/* Until somebody closes the handle; any other answer would be wrong. */
static void interrupt_and_resume(void)
{
	int rc;

	do {
		rc = hqq_standard_interrupt(contested);
		if (rc == 0)
			rc = hqq_standard_resume(contested);
		turns++;
	} while (rc == 0);
	MUST(rc == HQQ_ERR_CLOSED || rc == HQQ_ERR_INVALID_OP);
}

static void interrupt_or_close(void *argument, unsigned int index)
{
	const unsigned int rounds = 2000 / test_slowness();
	const uint64_t end = test_now_ns() + ENOUGH_NS;
	pthread_barrier_t *barrier = argument;
	unsigned int round;

	for (round = 0; round < rounds && !enough; round++) {
		if (index == 0) {
			turns = 0;
			MUST_EQ(hqq_standard_create_fd(&contested, 4, SIZE, NULL), 0);
		}
		pthread_barrier_wait(barrier);
		if (index == 0) {
			while (turns <= round % 8)
				sched_yield();
			MUST_EQ(hqq_standard_close(contested), 0);
			enough = test_now_ns() > end;
		} else {
			interrupt_and_resume();
		}
		pthread_barrier_wait(barrier);
	}
}

/* From the one state of the handle to the other, as often as it takes: it is closed all the same. */
START_TEST(close_beside_interrupt_and_resume)
{
	pthread_barrier_t barrier;

	enough = false;
	MUST_EQ(pthread_barrier_init(&barrier, NULL, 2), 0);
	test_run_threads(2, interrupt_or_close, &barrier);
	MUST_EQ(pthread_barrier_destroy(&barrier), 0);
}
END_TEST

/* ---- what goes with the handle ----------------------------------------------------------------- */

START_TEST(the_event_descriptor_and_its_thread_go)
{
	struct pair pair;
	int threads, descriptors, round;

	pair_open(&pair, 4, SIZE);
	threads = test_count_threads();
	descriptors = test_count_descriptors();
	for (round = 0; round < 20; round++) {
		hqq_standard *handle;
		int fd;

		MUST_EQ(hqq_standard_open(&handle, hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
		fd = hqq_standard_event_fd(handle);
		MUST(fd >= 0);
		MUST_EQ(hqq_standard_event_fd(handle), fd);
		if (round % 2 == 0)
			MUST_EQ(waiter_call(pair.side[0], WAITER_READS), WAITER_LENGTH);
		MUST_EQ(hqq_standard_close(handle), 0);
		if (round % 2 == 0)
			MUST_EQ(waiter_call(pair.side[1], 0), WAITER_LENGTH);
	}
	test_must_have_threads(threads);
	MUST_EQ(test_count_descriptors(), descriptors);
	pair_close(&pair);
}
END_TEST

START_TEST(a_stream_outlives_its_handle)
{
	struct pair pair;
	FILE *reads, *writes;
	hqq_standard *handle, *next;

	pair_open(&pair, 4, SIZE);
	MUST_EQ(hqq_standard_open(&handle, hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
	reads = hqq_standard_stdio(handle, "r");
	writes = hqq_standard_stdio(handle, "w");
	MUST(reads != NULL && writes != NULL);
	MUST_EQ(hqq_standard_close(handle), 0);
	/* the same memory, another handle: the old streams are not its */
	MUST_EQ(hqq_standard_open(&next, hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
	MUST_EQ(waiter_call(pair.side[0], WAITER_READS), WAITER_LENGTH);
	errno = 0;
	MUST_EQ(fgetc(reads), EOF);
	MUST(ferror(reads) && errno == EBADF);
	fputs("lost", writes);
	errno = 0;
	MUST_EQ(fflush(writes), EOF);
	MUST_EQ(errno, EBADF);
	fclose(writes);
	MUST_EQ(fclose(reads), 0);
	MUST_EQ(hqq_standard_pending(next), 1);
	MUST_EQ(waiter_call(pair.side[0], 0), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_close(next), 0);
	pair_close(&pair);
}
END_TEST

START_TEST(threads_that_used_a_handle_may_end_later)
{
	hqq_standard *handle;
	struct pair pair;
	int round;

	/* this thread keeps a seat of every handle it ever used */
	pair_open(&pair, 4, SIZE);
	for (round = 0; round < 200; round++) {
		MUST_EQ(hqq_standard_open(&handle, hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
		MUST_EQ(waiter_call(pair.side[0], WAITER_READS), WAITER_LENGTH);
		MUST_EQ(waiter_call(handle, 0), WAITER_LENGTH);
		MUST_EQ(waiter_call(handle, WAITER_READS), WAITER_LENGTH);
		MUST_EQ(waiter_call(pair.side[0], 0), WAITER_LENGTH);
		MUST_EQ(hqq_standard_close(handle), 0);
	}
	pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("close");
	TCase *cases = test_case(suite, "waits", 30);

	tcase_add_loop_test(cases, close_ends_the_wait, 0, WAITER_WAYS);
	tcase_add_loop_test(cases, close_ends_the_wait_whatever_the_policy, 0, HQQ_WAIT_BLOCK + 1);
	tcase_add_test(cases, close_ends_all_waits);
	tcase_add_loop_test(cases, an_interrupted_handle_closes, 0, WAITER_WAYS);
	tcase_add_test(cases, close_waits_for_a_callback);

	cases = test_case(suite, "races", 60);
	tcase_add_test(cases, one_of_many_closes);
	tcase_add_test(cases, close_beside_calls_of_all_kinds);
	tcase_add_test(cases, close_beside_interrupt_and_resume);

	cases = test_case(suite, "what goes too", 30);
	tcase_add_test(cases, the_event_descriptor_and_its_thread_go);
	tcase_add_test(cases, a_stream_outlives_its_handle);
	tcase_add_test(cases, threads_that_used_a_handle_may_end_later);
	return test_main(suite);
}
