/*
 * test_seat.c - threads of one handle: more of them than lanes, short-lived ones, many handles each
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pair.h"
#include "support.h"
#include "waiter.h"

#include <hqq.h>
#include <semaphore.h>
#include <string.h>

#define SIZE 64

static const struct timespec passed = { 0, 0 };

static void no_deadline(struct pair *pair)
{
	MUST_EQ(hqq_standard_set_deadline(pair->side[0], NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(pair->side[1], NULL), 0);
}

/* ---- many threads ------------------------------------------------------------------------------ */

#define THREADS 16

static struct pair shared;

static void there_and_back(void *argument, unsigned int index)
{
	const unsigned int rounds = *(const unsigned int *)argument;
	unsigned int i;

	for (i = 0; i < rounds; i++) {
		int way = (int)((index + i) % WAITER_READS);

		MUST_EQ(waiter_call(shared.side[0], WAITER_READS + way), waiter_success(WAITER_READS + way));
		MUST_EQ(waiter_call(shared.side[1], way), waiter_success(way));
		MUST_EQ(waiter_call(shared.side[1], WAITER_READS + way), waiter_success(WAITER_READS + way));
		MUST_EQ(waiter_call(shared.side[0], way), waiter_success(way));
	}
}

START_TEST(more_threads_than_lanes)
{
	unsigned int rounds = 500 / test_slowness();

	pair_open(&shared, 64, SIZE);
	no_deadline(&shared);
	test_run_threads(THREADS, there_and_back, &rounds);
	MUST_EQ(hqq_standard_pending(shared.side[0]), 0);
	MUST_EQ(hqq_standard_pending(shared.side[1]), 0);
	pair_close(&shared);
}
END_TEST

START_TEST(many_short_lived_threads)
{
	unsigned int generations = 100 / test_slowness(), rounds = 1;

	pair_open(&shared, 64, SIZE);
	no_deadline(&shared);
	while (generations-- > 0)
		test_run_threads(THREADS, there_and_back, &rounds);
	pair_close(&shared);
}
END_TEST

/* Who waits, asleep or spinning, keeps nobody else from the handle. */
START_TEST(those_who_wait_keep_nobody_out)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	const char *name = test_name("waiting");
	struct waiter waiters[THREADS];
	const int count = _i == HQQ_WAIT_SPIN ? 7 : THREADS; /* one more than lanes */
	hqq_standard *maker, *reader;
	struct hqq_stats stats;
	int i;

	if (_i == HQQ_WAIT_SPIN && test_under_valgrind()) {
		test_skip("threads that spin starve the others under valgrind");
		return;
	}
	options.wait = (uint32_t)_i;
	MUST_EQ(hqq_standard_create(&maker, name, 64, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&reader, name, 0, 0, &options), 0);
	for (i = 0; i < count; i++)
		waiter_start(&waiters[i], reader, i % WAITER_READS);
	for (i = 0; i < count; i++) {
		while (waiters[i].tid == 0)
			test_sleep_ms(1);
		if (_i != HQQ_WAIT_SPIN)
			waiter_asleep(&waiters[i]);
	}
	/* the other direction through the same two handles, and calls that wait for nothing */
	for (i = 0; i < 50; i++) {
		MUST_EQ(waiter_call(reader, WAITER_READS), WAITER_LENGTH);
		MUST_EQ(waiter_call(maker, 0), WAITER_LENGTH);
		MUST_EQ(hqq_standard_stats(reader, &stats), 0);
		MUST_EQ(hqq_standard_pending(reader), 0);
	}
	for (i = 0; i < count / 2; i++)
		MUST_EQ(waiter_call(maker, WAITER_READS), WAITER_LENGTH);
	while (hqq_standard_pending(reader) > 0)
		test_sleep_ms(1);
	/* and all of them can be reached */
	MUST_EQ(hqq_standard_interrupt(reader), 0);
	for (i = 0; i < count; i++) {
		ssize_t rc = waiter_join(&waiters[i]);

		MUST(rc == waiter_success(waiters[i].way) || rc == HQQ_ERR_CANCELED);
	}
	MUST_EQ(hqq_standard_close(reader), 0);
	MUST_EQ(hqq_standard_close(maker), 0);
}
END_TEST

/* ---- many handles ------------------------------------------------------------------------------ */

#define HANDLES 12 /* more than a thread remembers seats of */

static struct pair pairs[HANDLES];

START_TEST(one_thread_many_handles)
{
	int round, i;

	for (i = 0; i < HANDLES; i++)
		pair_open(&pairs[i], 4, SIZE);
	for (round = 0; round < 300; round++) {
		for (i = 0; i < HANDLES; i++) {
			int at = (i * 5 + round) % HANDLES, way = (i + round) % WAITER_READS;

			MUST_EQ(waiter_call(pairs[at].side[0], WAITER_READS + way),
			        waiter_success(WAITER_READS + way));
			MUST_EQ(waiter_call(pairs[at].side[1], way), waiter_success(way));
		}
	}
	for (i = 0; i < HANDLES; i++)
		pair_close(&pairs[i]);
}
END_TEST

/* A callback that reads from the next link, whose callback reads from the next, ... */
static int read_next(const void *data, size_t length, void *argument)
{
	struct pair *next = (struct pair *)argument + 1;

	(void)data;
	MUST_EQ(length, WAITER_LENGTH);
	if (next < pairs + HANDLES) {
		MUST_EQ(waiter_call(next->side[0], WAITER_READS), WAITER_LENGTH);
		MUST_EQ(hqq_standard_read_zero_copy(next->side[1], read_next, next), WAITER_LENGTH);
	}
	/* the outermost is in use all the while */
	MUST_EQ(hqq_standard_close(pairs[0].side[1]), HQQ_ERR_INVALID_OP);
	MUST_EQ(waiter_call(pairs[0].side[1], WAITER_READS), WAITER_LENGTH);
	MUST_EQ(waiter_call(pairs[0].side[0], 0), WAITER_LENGTH);
	return 0;
}

static void nest_all(void *argument, unsigned int index)
{
	(void)argument, (void)index;
	MUST_EQ(waiter_call(pairs[0].side[0], WAITER_READS), WAITER_LENGTH);
	MUST_EQ(hqq_standard_read_zero_copy(pairs[0].side[1], read_next, &pairs[0]), WAITER_LENGTH);
}

START_TEST(nested_through_many_handles)
{
	int i, round;

	for (i = 0; i < HANDLES; i++) {
		pair_open(&pairs[i], 64, SIZE);
		no_deadline(&pairs[i]);
	}
	for (round = 0; round < 10; round++)
		nest_all(NULL, 0);
	test_run_threads(8, nest_all, NULL);
	for (i = 0; i < HANDLES; i++)
		pair_close(&pairs[i]);
}
END_TEST

/* ---- threads that outlive handles -------------------------------------------------------------- */

static sem_t used, go;

static void *use_then_end_later(void *handle)
{
	MUST_EQ(waiter_call(handle, WAITER_READS), WAITER_LENGTH);
	sem_post(&used);
	sem_wait(&go);
	return NULL;
}

START_TEST(a_seat_of_a_closed_handle_is_not_given_back_twice)
{
	const char *name = test_name("outlive");
	hqq_standard *keeper, *handle, *again;
	pthread_t threads[4];
	unsigned int rounds = 200 / test_slowness();
	struct pair pair = { .side = { NULL, NULL } };
	int i;

	sem_init(&used, 0, 0);
	sem_init(&go, 0, 0);
	MUST_EQ(hqq_standard_create(&keeper, name, 64, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&handle, name, 0, 0, NULL), 0);
	/* threads that keep the seats of the first handle... */
	for (i = 0; i < 4; i++) {
		MUST_EQ(pthread_create(&threads[i], NULL, use_then_end_later, handle), 0);
		sem_wait(&used);
	}
	MUST_EQ(hqq_standard_close(handle), 0);
	for (i = 0; i < 4; i++)
		MUST_EQ(waiter_call(keeper, 0), WAITER_LENGTH);
	/* ... end while others use the next handle in the same memory */
	MUST_EQ(hqq_standard_open(&again, name, 0, 0, NULL), 0);
	MUST(again == handle);
	pair.side[0] = keeper;
	pair.side[1] = again;
	shared = pair;
	for (i = 0; i < 4; i++)
		sem_post(&go);
	test_run_threads(THREADS, there_and_back, &rounds);
	for (i = 0; i < 4; i++)
		MUST_EQ(pthread_join(threads[i], NULL), 0);
	test_run_threads(THREADS, there_and_back, &rounds);
	MUST_EQ(hqq_standard_close(again), 0);
	MUST_EQ(hqq_standard_close(keeper), 0);
	sem_destroy(&used);
	sem_destroy(&go);
}
END_TEST

static void open_use_close(void *argument, unsigned int index)
{
	const unsigned int rounds = 100 / test_slowness();
	unsigned int i;

	for (i = 0; i < rounds; i++) {
		hqq_standard *handle;

		MUST_EQ(hqq_standard_open(&handle, argument, 0, 0, NULL), 0);
		MUST_EQ(hqq_standard_set_deadline(handle, &passed), 0);
		MUST_EQ(hqq_standard_read_zero_copy(handle, read_next, NULL), HQQ_ERR_TIMEOUT);
		MUST_EQ(waiter_call(handle, WAITER_READS + (int)(index + i) % WAITER_READS),
		        waiter_success(WAITER_READS + (int)(index + i) % WAITER_READS));
		MUST_EQ(hqq_standard_close(handle), 0);
	}
}

START_TEST(handles_of_many_threads_come_and_go)
{
	const char *name = test_name("coming");
	const unsigned int messages = 8 * (100 / test_slowness());
	hqq_standard *keeper;
	struct timespec deadline = test_in_ms(20000 * test_slowness());
	unsigned int i;

	MUST_EQ(hqq_standard_create(&keeper, name, 1024, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(keeper, &deadline), 0);
	test_run_threads(8, open_use_close, (void *)(uintptr_t)name);
	for (i = 0; i < messages; i++)
		MUST_EQ(waiter_call(keeper, 0), WAITER_LENGTH);
	MUST_EQ(hqq_standard_pending(keeper), 0);
	MUST_EQ(hqq_standard_close(keeper), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("threads of a handle");
	TCase *cases = test_case(suite, "threads", 40);

	tcase_add_test(cases, more_threads_than_lanes);
	tcase_add_test(cases, many_short_lived_threads);
	tcase_add_loop_test(cases, those_who_wait_keep_nobody_out, 0, HQQ_WAIT_BLOCK + 1);

	cases = test_case(suite, "handles", 40);
	tcase_add_test(cases, one_thread_many_handles);
	tcase_add_test(cases, nested_through_many_handles);
	tcase_add_test(cases, a_seat_of_a_closed_handle_is_not_given_back_twice);
	tcase_add_test(cases, handles_of_many_threads_come_and_go);
	return test_main(suite);
}
