/*
 * test_reserve.c - reservations: held for long, finished in any order, by any thread, or not at all
 *
 * How a reservation is refused once it is finished is in test_misuse.c.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pair.h"
#include "support.h"
#include "waiter.h"

#include <hqq.h>
#include <pthread.h>
#include <string.h>

#define SIZE 64

static void expect_text(hqq_standard *handle, const char *text)
{
	char buffer[SIZE];

	MUST_EQ(hqq_standard_read(handle, buffer, sizeof(buffer)), strlen(text));
	MUST(memcmp(buffer, text, strlen(text)) == 0);
}

static void expect_empty(hqq_standard *handle)
{
	char buffer[SIZE];

	MUST_EQ(hqq_standard_read(handle, buffer, sizeof(buffer)), HQQ_ERR_TIMEOUT);
}

static void send_text(hqq_standard *handle, const char *text)
{
	MUST_EQ(hqq_standard_write(handle, text, strlen(text)), strlen(text));
}

static void commit_text(struct hqq_reservation *reservation, const char *text)
{
	memcpy(reservation->data, text, strlen(text));
	MUST_EQ(hqq_standard_commit(reservation, strlen(text)), 0);
}

static void release_text(struct hqq_reservation *reservation, const char *text)
{
	MUST_EQ(reservation->size, strlen(text));
	MUST(memcmp(reservation->data, text, strlen(text)) == 0);
	MUST_EQ(hqq_standard_release(reservation), 0);
}

/* ---- one thread -------------------------------------------------------------------------------- */

START_TEST(a_reservation_shows_the_slot)
{
	struct hqq_reservation writing, reading;
	struct pair pair;
	uint64_t lap;

	pair_open(&pair, 4, SIZE);
	for (lap = 0; lap < 10; lap++) {
		MUST_EQ(hqq_standard_reserve_write(pair.side[0], &writing), 0);
		MUST_EQ(writing.size, SIZE);
		MUST_EQ(writing.slot, lap % 4);
		commit_text(&writing, "payload");
		MUST_EQ(hqq_standard_reserve_read(pair.side[1], &reading), 0);
		MUST_EQ(reading.slot, lap % 4);
		release_text(&reading, "payload");
	}
	pair_close(&pair);
}
END_TEST

START_TEST(committed_backwards_read_forwards)
{
	struct hqq_reservation slots[4];
	const char *const texts[4] = { "zero", "one", "two", "three" };
	struct pair pair;
	int i, lap;

	pair_open(&pair, 4, SIZE);
	for (lap = 0; lap < 3; lap++) {
		for (i = 0; i < 4; i++)
			MUST_EQ(hqq_standard_reserve_write(pair.side[0], &slots[i]), 0);
		for (i = 3; i > 0; i--) {
			commit_text(&slots[i], texts[i]);
			expect_empty(pair.side[1]);
		}
		commit_text(&slots[0], texts[0]);
		for (i = 0; i < 4; i++)
			expect_text(pair.side[1], texts[i]);
	}
	pair_close(&pair);
}
END_TEST

START_TEST(released_backwards)
{
	struct hqq_reservation slots[4];
	struct pair pair;
	int i, lap;

	pair_open(&pair, 4, SIZE);
	for (lap = 0; lap < 3; lap++) {
		for (i = 0; i < 4; i++)
			send_text(pair.side[0], "message");
		for (i = 0; i < 4; i++)
			MUST_EQ(hqq_standard_reserve_read(pair.side[1], &slots[i]), 0);
		for (i = 3; i > 0; i--) {
			release_text(&slots[i], "message");
			MUST_EQ(hqq_standard_write(pair.side[0], "x", 1), HQQ_ERR_TIMEOUT);
		}
		release_text(&slots[0], "message");
	}
	send_text(pair.side[0], "room");
	expect_text(pair.side[1], "room");
	pair_close(&pair);
}
END_TEST

START_TEST(all_slots_reserved)
{
	struct hqq_reservation slots[8], one_more;
	struct pair pair;
	int i;

	pair_open(&pair, 8, SIZE);
	for (i = 0; i < 8; i++)
		MUST_EQ(hqq_standard_reserve_write(pair.side[0], &slots[i]), 0);
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &one_more), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_write(pair.side[0], "x", 1), HQQ_ERR_TIMEOUT);
	/* and a failed one is no reservation */
	MUST_EQ(hqq_standard_commit(&one_more, 1), HQQ_ERR_INVALID_OP);
	/* the other direction goes on */
	send_text(pair.side[1], "back");
	expect_text(pair.side[0], "back");
	for (i = 0; i < 8; i++)
		MUST_EQ(hqq_standard_abort(&slots[i], 1 + (uint64_t)i % 7), 0);
	expect_empty(pair.side[1]);
	send_text(pair.side[0], "room again");
	expect_text(pair.side[1], "room again");
	pair_close(&pair);
}
END_TEST

/* The lane that a reservation came through is free for other calls meanwhile. */
START_TEST(other_calls_go_on_beside_a_reservation)
{
	struct hqq_reservation writing, reading;
	struct pair pair;
	int i;

	pair_open(&pair, 16, SIZE);
	send_text(pair.side[0], "held");
	MUST_EQ(hqq_standard_reserve_read(pair.side[1], &reading), 0);
	for (i = 0; i < 5; i++) {
		send_text(pair.side[0], "passing by");
		expect_text(pair.side[1], "passing by");
	}
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &writing), 0);
	for (i = 0; i < 5; i++)
		send_text(pair.side[0], "behind");
	expect_empty(pair.side[1]);
	commit_text(&writing, "first");
	expect_text(pair.side[1], "first");
	for (i = 0; i < 5; i++)
		expect_text(pair.side[1], "behind");
	release_text(&reading, "held");
	pair_close(&pair);
}
END_TEST

START_TEST(a_read_reservation_skips_tombstones)
{
	struct hqq_reservation writing, reading;
	struct pair pair;
	int i;

	pair_open(&pair, 4, SIZE);
	for (i = 0; i < 3; i++) {
		MUST_EQ(hqq_standard_reserve_write(pair.side[0], &writing), 0);
		MUST_EQ(hqq_standard_abort(&writing, 6), 0);
	}
	MUST_EQ(hqq_standard_reserve_read(pair.side[1], &reading), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 0);
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &writing), 0);
	MUST_EQ(hqq_standard_commit(&writing, 0), HQQ_ERR_INVALID_SIZE);
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &writing), 0);
	MUST_EQ(hqq_standard_commit(&writing, SIZE + 1), HQQ_ERR_BUFFER_OVERFLOW);
	send_text(pair.side[0], "behind them");
	MUST_EQ(hqq_standard_reserve_read(pair.side[1], &reading), 0);
	release_text(&reading, "behind them");
	pair_close(&pair);
}
END_TEST

/* One attempt, as a deadline in the past allows, is one message and not so many slots. */
START_TEST(a_message_behind_a_lap_of_tombstones)
{
	struct hqq_reservation writing;
	struct pair pair;
	int i;

	pair_open(&pair, 512, SIZE);
	for (i = 0; i < 511; i++) {
		MUST_EQ(hqq_standard_reserve_write(pair.side[0], &writing), 0);
		MUST_EQ(hqq_standard_abort(&writing, 6), 0);
	}
	send_text(pair.side[0], WAITER_TEXT);
	MUST_EQ(waiter_call(pair.side[1], _i), waiter_success(_i));
	expect_empty(pair.side[1]);
	pair_close(&pair);
}
END_TEST

START_TEST(the_reason_of_an_abort_is_kept)
{
	const uint64_t codes[][2] = { { 0, 6 }, { 1, 1 }, { 6, 6 }, { 7, 7 }, { 12345, 12345 } };
	struct hqq_reservation writing;
	struct pair pair;
	size_t i;

	pair_open(&pair, 8, SIZE);
	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		MUST_EQ(hqq_standard_reserve_write(pair.side[0], &writing), 0);
		/* 0 stands for the code of INVALID_OP */
		MUST_EQ(hqq_standard_abort(&writing, codes[i][0]), 0);
		model_tombstone(&pair.model, 0, i + 1, codes[i][1]);
		MODEL_SAME(&pair.model, pair.raw);
	}
	expect_empty(pair.side[1]);
	pair_close(&pair);
}
END_TEST

START_TEST(finishing_goes_on_while_interrupted)
{
	struct hqq_reservation writing[2], reading, refused;
	struct pair pair;
	int side;

	pair_open(&pair, 4, SIZE);
	send_text(pair.side[0], "taken before");
	MUST_EQ(hqq_standard_reserve_read(pair.side[1], &reading), 0);
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &writing[0]), 0);
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &writing[1]), 0);
	for (side = 0; side < 2; side++) {
		MUST_EQ(hqq_standard_interrupt(pair.side[side]), 0);
		MUST_EQ(hqq_standard_reserve_write(pair.side[side], &refused), HQQ_ERR_CANCELED);
		MUST_EQ(hqq_standard_reserve_read(pair.side[side], &refused), HQQ_ERR_CANCELED);
	}
	release_text(&reading, "taken before");
	commit_text(&writing[0], "committed meanwhile");
	MUST_EQ(hqq_standard_abort(&writing[1], 6), 0);
	for (side = 0; side < 2; side++)
		MUST_EQ(hqq_standard_resume(pair.side[side]), 0);
	expect_text(pair.side[1], "committed meanwhile");
	expect_empty(pair.side[1]);
	pair_close(&pair);
}
END_TEST

/* What is still held when its handle closes ends as a tombstone, or counts as taken; nobody stalls. */
START_TEST(closing_with_all_slots_held)
{
	struct hqq_reservation slots[4];
	hqq_standard *second;
	struct pair pair;
	int i;

	pair_open(&pair, 4, SIZE);
	MUST_EQ(hqq_standard_open(&second, hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
	for (i = 0; i < 4; i++)
		MUST_EQ(hqq_standard_reserve_write(second, &slots[i]), 0);
	MUST_EQ(hqq_standard_write(pair.side[1], "x", 1), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_close(second), 0);
	for (i = 0; i < 4; i++)
		MUST_EQ(hqq_standard_commit(&slots[i], 1), HQQ_ERR_INVALID_OP);
	expect_empty(pair.side[0]);
	send_text(pair.side[1], "goes on");
	expect_text(pair.side[0], "goes on");

	MUST_EQ(hqq_standard_open(&second, hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
	for (i = 0; i < 4; i++)
		send_text(pair.side[0], "taken");
	for (i = 0; i < 4; i++)
		MUST_EQ(hqq_standard_reserve_read(second, &slots[i]), 0);
	MUST_EQ(hqq_standard_write(pair.side[0], "x", 1), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_close(second), 0);
	for (i = 0; i < 4; i++)
		MUST_EQ(hqq_standard_release(&slots[i]), HQQ_ERR_INVALID_OP);
	send_text(pair.side[0], "goes on");
	expect_text(pair.side[1], "goes on");
	pair_close(&pair);
}
END_TEST

/* A handle opened in the memory of a closed one must not be reached by the old one's reservations. */
START_TEST(a_reservation_of_an_earlier_handle)
{
	struct hqq_reservation old_write, old_read, new_write, new_read;
	const char *name = test_name("reused");
	hqq_standard *keeper, *first, *second;
	int lap;

	MUST_EQ(hqq_standard_create(&keeper, name, 4, SIZE, 0600, NULL), 0);
	for (lap = 0; lap < 3; lap++) {
		MUST_EQ(hqq_standard_open(&first, name, 0, 0, NULL), 0);
		send_text(keeper, "old");
		MUST_EQ(hqq_standard_reserve_write(first, &old_write), 0);
		MUST_EQ(hqq_standard_reserve_read(first, &old_read), 0);
		MUST_EQ(hqq_standard_close(first), 0);
		MUST_EQ(hqq_standard_open(&second, name, 0, 0, NULL), 0);
		send_text(keeper, "new");
		MUST_EQ(hqq_standard_reserve_write(second, &new_write), 0);
		MUST_EQ(hqq_standard_reserve_read(second, &new_read), 0);
		MUST_EQ(hqq_standard_commit(&old_write, 1), HQQ_ERR_INVALID_OP);
		MUST_EQ(hqq_standard_release(&old_read), HQQ_ERR_INVALID_OP);
		release_text(&new_read, "new");
		commit_text(&new_write, "back");
		expect_text(keeper, "back");
		MUST_EQ(hqq_standard_close(second), 0);
	}
	MUST_EQ(hqq_standard_close(keeper), 0);
}
END_TEST

/* ---- threads ----------------------------------------------------------------------------------- */

static void *finish_write(void *argument)
{
	commit_text(argument, "by another thread");
	return NULL;
}

static void *finish_read(void *argument)
{
	release_text(argument, "by another thread");
	return NULL;
}

START_TEST(finished_by_another_thread)
{
	struct hqq_reservation reservation;
	pthread_t thread;
	struct pair pair;
	int lap;

	pair_open(&pair, 2, SIZE);
	for (lap = 0; lap < 20; lap++) {
		MUST_EQ(hqq_standard_reserve_write(pair.side[0], &reservation), 0);
		MUST_EQ(pthread_create(&thread, NULL, finish_write, &reservation), 0);
		MUST_EQ(pthread_join(thread, NULL), 0);
		MUST_EQ(hqq_standard_commit(&reservation, 1), HQQ_ERR_INVALID_OP);
		MUST_EQ(hqq_standard_reserve_read(pair.side[1], &reservation), 0);
		MUST_EQ(pthread_create(&thread, NULL, finish_read, &reservation), 0);
		MUST_EQ(pthread_join(thread, NULL), 0);
		MUST_EQ(hqq_standard_release(&reservation), HQQ_ERR_INVALID_OP);
	}
	pair_close(&pair);
}
END_TEST

static void *reserve_and_end(void *argument)
{
	struct hqq_reservation *reservation = argument;
	hqq_standard *handle = (hqq_standard *)reservation->data;

	MUST_EQ(hqq_standard_reserve_write(handle, reservation), 0);
	return NULL;
}

START_TEST(a_reservation_outlives_its_thread)
{
	struct hqq_reservation reservations[4];
	pthread_t thread;
	struct pair pair;
	int i;

	pair_open(&pair, 4, SIZE);
	for (i = 0; i < 4; i++) {
		reservations[i].data = pair.side[0];
		MUST_EQ(pthread_create(&thread, NULL, reserve_and_end, &reservations[i]), 0);
		MUST_EQ(pthread_join(thread, NULL), 0);
	}
	for (i = 3; i >= 0; i--)
		commit_text(&reservations[i], "orphan");
	for (i = 0; i < 4; i++)
		expect_text(pair.side[1], "orphan");
	pair_close(&pair);
}
END_TEST

#define THREADS 4
#define ROUNDS 10000

static struct pair shared;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static _Atomic unsigned int writing;   /* writers that have not ended */
static _Atomic uint64_t sent, received; /* messages */

/* The last writer or the last reader, whoever comes later, lets the readers go. */
static void end_if_all_came(void)
{
	if (writing == 0 && received == sent)
		MUST_EQ(hqq_standard_interrupt(shared.side[1]), 0);
}

static void reserve_and_commit(unsigned int index)
{
	/* on a busy processor the work is cut short: who waits for a slot may wait for it as well */
	const uint64_t end = test_now_ns() + UINT64_C(8000000000) * test_slowness();
	const unsigned int rounds = ROUNDS / test_slowness();
	struct hqq_reservation a, b;
	unsigned int i;

	for (i = 0; i < rounds && test_now_ns() < end; i++) {
		uint64_t number = (uint64_t)index << 32 | i;

		/* waiting for a slot with one in hand takes room that nobody else waits for like that */
		pthread_mutex_lock(&one_at_a_time);
		MUST_EQ(hqq_standard_reserve_write(shared.side[0], &a), 0);
		MUST_EQ(hqq_standard_reserve_write(shared.side[0], &b), 0);
		pthread_mutex_unlock(&one_at_a_time);
		memcpy(b.data, &number, sizeof(number));
		MUST_EQ(hqq_standard_commit(&b, sizeof(number)), 0);
		sent++;
		if (i % 3 == 0) {
			MUST_EQ(hqq_standard_abort(&a, 6), 0);
			continue;
		}
		memset(a.data, 0xff, sizeof(number));
		MUST_EQ(hqq_standard_commit(&a, sizeof(number)), 0);
		sent++;
	}
	writing--;
	end_if_all_came();
}

static void reserve_and_release(void)
{
	struct hqq_reservation reservation;
	int rc;

	while ((rc = hqq_standard_reserve_read(shared.side[1], &reservation)) == 0) {
		MUST_EQ(reservation.size, sizeof(uint64_t));
		MUST_EQ(hqq_standard_release(&reservation), 0);
		received++;
		end_if_all_came();
	}
	MUST_EQ(rc, HQQ_ERR_CANCELED);
}

static void reserve_and_finish(void *argument, unsigned int index)
{
	(void)argument;
	if (index < THREADS / 2)
		reserve_and_commit(index);
	else
		reserve_and_release();
}

START_TEST(reservations_in_many_threads)
{
	struct timespec deadline = test_in_ms(25000 * test_slowness()), passed = { 0, 0 };
	int i;

	pair_open(&shared, 8, SIZE);
	for (i = 0; i < 2; i++)
		MUST_EQ(hqq_standard_set_deadline(shared.side[i], &deadline), 0);
	writing = THREADS / 2;
	sent = received = 0;
	test_run_threads(THREADS, reserve_and_finish, NULL);
	MUST_EQ(received, sent);
	MUST_EQ(hqq_standard_resume(shared.side[1]), 0);
	MUST_EQ(hqq_standard_set_deadline(shared.side[1], &passed), 0);
	expect_empty(shared.side[1]);
	pair_close(&shared);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reservations");
	TCase *cases = test_case(suite, "one thread", 20);

	tcase_add_test(cases, a_reservation_shows_the_slot);
	tcase_add_test(cases, committed_backwards_read_forwards);
	tcase_add_test(cases, released_backwards);
	tcase_add_test(cases, all_slots_reserved);
	tcase_add_test(cases, other_calls_go_on_beside_a_reservation);
	tcase_add_test(cases, a_read_reservation_skips_tombstones);
	tcase_add_loop_test(cases, a_message_behind_a_lap_of_tombstones, 0, WAITER_READS);
	tcase_add_test(cases, the_reason_of_an_abort_is_kept);
	tcase_add_test(cases, finishing_goes_on_while_interrupted);
	tcase_add_test(cases, closing_with_all_slots_held);
	tcase_add_test(cases, a_reservation_of_an_earlier_handle);

	cases = test_case(suite, "threads", 40);
	tcase_add_test(cases, finished_by_another_thread);
	tcase_add_test(cases, a_reservation_outlives_its_thread);
	tcase_add_test(cases, reservations_in_many_threads);
	return test_main(suite);
}
