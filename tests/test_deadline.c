/*
 * test_deadline.c - deadlines, passed, future and changed; interrupt and resume
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pair.h"
#include "support.h"
#include "waiter.h"

#include <hqq.h>
#include <string.h>

#define SIZE 64
#define SECOND UINT64_C(1000000000)

static const struct timespec passed = { 0, 0 };

/* A pair in which a call of that way on the returned handle has to wait. */
static hqq_standard *must_wait(struct pair *pair, int way)
{
	pair_open(pair, 4, SIZE);
	if (waiter_writes(way))
		waiter_fill(pair->side[0]);
	return pair->side[0];
}

/* And what ends that wait: a message, or room. */
static void let_go(struct pair *pair, int way)
{
	char buffer[SIZE];

	if (waiter_writes(way))
		MUST_EQ(hqq_standard_read(pair->side[1], buffer, SIZE), WAITER_LENGTH);
	else
		MUST_EQ(hqq_standard_write(pair->side[1], WAITER_TEXT, WAITER_LENGTH), WAITER_LENGTH);
}

static int set_for_way(hqq_standard *handle, int way, const struct timespec *when)
{
	return waiter_writes(way) ? hqq_standard_set_write_deadline(handle, when)
	                          : hqq_standard_set_read_deadline(handle, when);
}

static int set_other(hqq_standard *handle, int way, const struct timespec *when)
{
	return set_for_way(handle, waiter_writes(way) ? 0 : WAITER_READS, when);
}

/* ---- deadlines --------------------------------------------------------------------------------- */

START_TEST(a_passed_deadline_makes_one_attempt)
{
	const struct timespec times[] = { { 0, 0 }, { 0, 1 }, { 1, 0 }, { -1, 0 }, { -1000000, 999999999 } };
	struct pair pair;
	hqq_standard *handle = must_wait(&pair, _i);
	size_t i;

	for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		MUST_EQ(set_for_way(handle, _i, &times[i]), 0);
		MUST_EQ(waiter_call(handle, _i), HQQ_ERR_TIMEOUT);
		let_go(&pair, _i);
		MUST_EQ(waiter_call(handle, _i), waiter_success(_i));
		MUST_EQ(waiter_call(handle, _i), HQQ_ERR_TIMEOUT);
	}
	pair_close(&pair);
}
END_TEST

/* Not before its deadline, ever. Is it within a second of it? */
static bool times_out_soon(hqq_standard *handle, int way, uint64_t wait_ms)
{
	struct timespec deadline = test_in_ms(wait_ms);
	uint64_t end = (uint64_t)deadline.tv_sec * SECOND + (uint64_t)deadline.tv_nsec;

	MUST_EQ(set_for_way(handle, way, &deadline), 0);
	MUST_EQ(waiter_call(handle, way), HQQ_ERR_TIMEOUT);
	MUST(test_now_ns() >= end);
	return test_now_ns() < end + SECOND * test_slowness();
}

START_TEST(a_future_deadline_is_waited_for)
{
	struct pair pair;
	hqq_standard *handle = must_wait(&pair, _i);
	uint64_t wait_ms;

	/* late once or twice may be the machine */
	for (wait_ms = 1; wait_ms <= 100; wait_ms *= 10)
		MUST(times_out_soon(handle, _i, wait_ms) || times_out_soon(handle, _i, wait_ms) ||
		     times_out_soon(handle, _i, wait_ms));
	pair_close(&pair);
}
END_TEST

START_TEST(every_wait_policy_obeys_it)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	const char *name = test_name("policy");
	hqq_standard *maker, *handle;
	struct timespec deadline;
	uint64_t end;
	int way;

	options.wait = (uint32_t)_i;
	MUST_EQ(hqq_standard_create(&maker, name, 4, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&handle, name, 0, 0, &options), 0);
	MUST_EQ(hqq_standard_set_deadline(handle, &passed), 0);
	waiter_fill(handle);
	for (way = 0; way < WAITER_WAYS; way++) {
		deadline = test_in_ms(12);
		end = (uint64_t)deadline.tv_sec * SECOND + (uint64_t)deadline.tv_nsec;
		MUST_EQ(hqq_standard_set_deadline(handle, &deadline), 0);
		MUST_EQ(waiter_call(handle, way), HQQ_ERR_TIMEOUT);
		MUST(test_now_ns() >= end);
	}
	MUST_EQ(hqq_standard_close(handle), 0);
	MUST_EQ(hqq_standard_close(maker), 0);
}
END_TEST

/* Whoever waits looks at a new deadline at once. */
START_TEST(a_changed_deadline_wakes_the_waiter)
{
	struct timespec far = test_in_ms(3600 * 1000), soon;
	struct waiter waiter;
	struct pair pair;
	hqq_standard *handle = must_wait(&pair, _i);
	uint64_t now;
	int variant;

	for (variant = 0; variant < 3; variant++) {
		MUST_EQ(set_for_way(handle, _i, variant == 1 ? &far : NULL), 0);
		waiter_start(&waiter, handle, _i);
		waiter_asleep(&waiter);
		now = test_now_ns();
		soon = test_in_ms(20);
		MUST_EQ(set_for_way(handle, _i, variant == 2 ? &soon : &passed), 0);
		MUST_EQ(waiter_join(&waiter), HQQ_ERR_TIMEOUT);
		waiter_prompt(&waiter, now, "a new deadline");
		MUST(variant != 2 || waiter.ended_ns >= now + 20 * 1000000);
	}
	pair_close(&pair);
}
END_TEST

static uint64_t ns_of(const struct timespec *when)
{
	return (uint64_t)when->tv_sec * SECOND + (uint64_t)when->tv_nsec;
}

START_TEST(a_later_deadline_prolongs_the_wait)
{
	struct timespec soon, far = test_in_ms(3600 * 1000);
	uint64_t patience_ms = 200 * test_slowness();
	struct waiter waiter;
	struct pair pair;
	hqq_standard *handle = must_wait(&pair, _i);

	for (;; patience_ms *= 2) {
		const uint64_t waits = waiter_count(handle);

		soon = test_in_ms(patience_ms);
		MUST_EQ(set_for_way(handle, _i, &soon), 0);
		waiter_start(&waiter, handle, _i);
		waiter_inside(handle, waits + 1);
		test_sleep_ms(20); /* mostly asleep by then */
		MUST_EQ(set_for_way(handle, _i, &far), 0);
		if (test_now_ns() < ns_of(&soon))
			break;
		/* the deadline passed before it was changed: a busy machine, and no matter for this test */
		MUST_EQ(set_for_way(handle, _i, &passed), 0);
		MUST_EQ(waiter_join(&waiter), HQQ_ERR_TIMEOUT);
	}
	while (test_now_ns() < ns_of(&soon))
		test_sleep_ms(1);
	test_sleep_ms(50);
	MUST_EQ(waiter.ended_ns, 0);
	let_go(&pair, _i);
	MUST_EQ(waiter_join(&waiter), waiter_success(_i));
	pair_close(&pair);
}
END_TEST

START_TEST(reading_and_writing_have_their_own)
{
	struct waiter waiter;
	struct pair pair;
	hqq_standard *handle = must_wait(&pair, _i);

	/* the other one's passing does not matter */
	MUST_EQ(set_for_way(handle, _i, NULL), 0);
	MUST_EQ(set_other(handle, _i, &passed), 0);
	waiter_start(&waiter, handle, _i);
	waiter_asleep(&waiter);
	MUST_EQ(set_other(handle, _i, NULL), 0);
	MUST_EQ(set_other(handle, _i, &passed), 0);
	waiter_asleep(&waiter);
	MUST_EQ(waiter.ended_ns, 0);
	/* and both are set by one call */
	MUST_EQ(hqq_standard_set_deadline(handle, &passed), 0);
	MUST_EQ(waiter_join(&waiter), HQQ_ERR_TIMEOUT);
	pair_close(&pair);
}
END_TEST

START_TEST(timespecs_that_are_none)
{
	const struct timespec bad[] = { { 1, -1 }, { 1, 1000000000 }, { 0, 2000000000 } };
	struct pair pair;
	size_t i;

	pair_open(&pair, 4, SIZE);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		MUST_EQ(hqq_standard_set_deadline(pair.side[0], &bad[i]), HQQ_ERR_INVALID_OP);
		MUST_EQ(hqq_standard_set_read_deadline(pair.side[0], &bad[i]), HQQ_ERR_INVALID_OP);
		MUST_EQ(hqq_standard_set_write_deadline(pair.side[0], &bad[i]), HQQ_ERR_INVALID_OP);
		/* the one before still holds */
		MUST_EQ(waiter_call(pair.side[0], 0), HQQ_ERR_TIMEOUT);
	}
	pair_close(&pair);
}
END_TEST

START_TEST(a_deadline_at_the_end_of_time)
{
	struct timespec end = { 0, 999999999 };
	struct waiter waiter;
	struct pair pair;
	hqq_standard *handle = must_wait(&pair, _i);

	end.tv_sec = sizeof(end.tv_sec) == 8 ? (time_t)INT64_MAX : (time_t)INT32_MAX;
	MUST_EQ(set_for_way(handle, _i, &end), 0);
	waiter_start(&waiter, handle, _i);
	waiter_asleep(&waiter);
	let_go(&pair, _i);
	MUST_EQ(waiter_join(&waiter), waiter_success(_i));
	pair_close(&pair);
}
END_TEST

START_TEST(the_deadline_of_one_handle_is_not_anothers)
{
	struct waiter waiter;
	hqq_standard *second;
	struct pair pair;

	pair_open(&pair, 4, SIZE);
	MUST_EQ(hqq_standard_open(&second, hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
	waiter_start(&waiter, second, 0);
	waiter_asleep(&waiter);
	MUST_EQ(waiter_call(pair.side[1], 0), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_set_deadline(pair.side[1], NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(pair.side[1], &passed), 0);
	waiter_asleep(&waiter);
	MUST_EQ(waiter.ended_ns, 0);
	MUST_EQ(hqq_standard_set_deadline(second, &passed), 0);
	MUST_EQ(waiter_join(&waiter), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_close(second), 0);
	pair_close(&pair);
}
END_TEST

/* ---- interrupt and resume ---------------------------------------------------------------------- */

START_TEST(an_interrupt_ends_the_wait)
{
	struct waiter waiter;
	struct pair pair;
	hqq_standard *handle = must_wait(&pair, _i);
	uint64_t now;

	MUST_EQ(hqq_standard_set_deadline(handle, NULL), 0);
	waiter_start(&waiter, handle, _i);
	waiter_asleep(&waiter);
	now = test_now_ns();
	MUST_EQ(hqq_standard_interrupt(handle), 0);
	MUST_EQ(waiter_join(&waiter), HQQ_ERR_CANCELED);
	waiter_prompt(&waiter, now, "interrupt");
	/* later calls too, wait or not */
	MUST_EQ(waiter_call(handle, _i), HQQ_ERR_CANCELED);
	let_go(&pair, _i);
	MUST_EQ(waiter_call(handle, _i), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_standard_resume(handle), 0);
	MUST_EQ(waiter_call(handle, _i), waiter_success(_i));
	pair_close(&pair);
}
END_TEST

START_TEST(an_interrupt_beforehand)
{
	struct pair pair;
	hqq_standard *handle = must_wait(&pair, _i);

	MUST_EQ(hqq_standard_set_deadline(handle, NULL), 0);
	MUST_EQ(hqq_standard_interrupt(handle), 0);
	MUST_EQ(hqq_standard_interrupt(handle), 0);
	MUST_EQ(waiter_call(handle, _i), HQQ_ERR_CANCELED);
	/* the other handle goes on */
	let_go(&pair, _i);
	/* one resume is enough for any number of interrupts, and one too many does no harm */
	MUST_EQ(hqq_standard_resume(handle), 0);
	MUST_EQ(waiter_call(handle, _i), waiter_success(_i));
	MUST_EQ(hqq_standard_resume(handle), 0);
	let_go(&pair, _i);
	MUST_EQ(waiter_call(handle, _i), waiter_success(_i));
	pair_close(&pair);
}
END_TEST

START_TEST(an_interrupt_wins_over_a_passed_deadline)
{
	struct pair pair;
	hqq_standard *handle = must_wait(&pair, _i);

	MUST_EQ(waiter_call(handle, _i), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_interrupt(handle), 0);
	MUST_EQ(waiter_call(handle, _i), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_standard_resume(handle), 0);
	MUST_EQ(waiter_call(handle, _i), HQQ_ERR_TIMEOUT);
	pair_close(&pair);
}
END_TEST

#define CROWD 12

START_TEST(an_interrupt_ends_all_waits_of_the_handle)
{
	struct waiter waiters[CROWD], other;
	hqq_standard *second;
	struct pair pair;
	uint64_t now;
	int i;

	pair_open(&pair, 4, SIZE);
	MUST_EQ(hqq_standard_open(&second, hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(second, &passed), 0);
	waiter_fill(second);
	MUST_EQ(hqq_standard_set_deadline(second, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(pair.side[1], NULL), 0);
	waiter_start(&other, pair.side[1], 0);
	for (i = 0; i < CROWD; i++)
		waiter_start(&waiters[i], second, i % WAITER_WAYS);
	for (i = 0; i < CROWD; i++)
		waiter_asleep(&waiters[i]);
	waiter_asleep(&other);
	now = test_now_ns();
	MUST_EQ(hqq_standard_interrupt(second), 0);
	for (i = 0; i < CROWD; i++) {
		MUST_EQ(waiter_join(&waiters[i]), HQQ_ERR_CANCELED);
		waiter_prompt(&waiters[i], now, "interrupt");
	}
	/* a neighbour on the same side sleeps on */
	waiter_asleep(&other);
	MUST_EQ(other.ended_ns, 0);
	MUST_EQ(hqq_standard_write(pair.side[0], WAITER_TEXT, WAITER_LENGTH), WAITER_LENGTH);
	MUST_EQ(waiter_join(&other), WAITER_LENGTH);
	MUST_EQ(hqq_standard_close(second), 0);
	MUST_EQ(hqq_standard_set_deadline(pair.side[1], &passed), 0);
	pair_close(&pair);
}
END_TEST

/* Getters, deadlines, stats and the rest do not wait, so an interrupt does not stop them. */
START_TEST(what_an_interrupt_does_not_stop)
{
	struct hqq_address address;
	struct hqq_stats stats;
	struct pair pair;

	pair_open(&pair, 4, SIZE);
	MUST_EQ(hqq_standard_write(pair.side[1], "x", 1), 1);
	MUST_EQ(hqq_standard_interrupt(pair.side[0]), 0);
	MUST_EQ(hqq_standard_mode(pair.side[0]), HQQ_MODE_PRIMARY);
	MUST_EQ(hqq_standard_pending(pair.side[0]), 1);
	MUST_EQ(hqq_standard_stats(pair.side[0], &stats), 0);
	MUST_EQ(hqq_standard_local_address(pair.side[0], &address), 0);
	MUST_EQ(hqq_standard_set_deadline(pair.side[0], &passed), 0);
	MUST_EQ(hqq_standard_recover(pair.side[0]), 0);
	MUST(hqq_standard_event_fd(pair.side[0]) >= 0);
	MUST(hqq_standard_fd(pair.side[0]) >= 0);
	/* closing neither */
	pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("deadlines and interrupts");
	TCase *cases = test_case(suite, "deadlines", 30);

	tcase_add_loop_test(cases, a_passed_deadline_makes_one_attempt, 0, WAITER_WAYS);
	tcase_add_loop_test(cases, a_future_deadline_is_waited_for, 0, WAITER_WAYS);
	tcase_add_loop_test(cases, every_wait_policy_obeys_it, 0, HQQ_WAIT_BLOCK + 1);
	tcase_add_loop_test(cases, a_changed_deadline_wakes_the_waiter, 0, WAITER_WAYS);
	tcase_add_loop_test(cases, a_later_deadline_prolongs_the_wait, 0, WAITER_WAYS);
	tcase_add_loop_test(cases, reading_and_writing_have_their_own, 0, WAITER_WAYS);
	tcase_add_test(cases, timespecs_that_are_none);
	tcase_add_loop_test(cases, a_deadline_at_the_end_of_time, 0, WAITER_WAYS);
	tcase_add_test(cases, the_deadline_of_one_handle_is_not_anothers);

	cases = test_case(suite, "interrupts", 30);
	tcase_add_loop_test(cases, an_interrupt_ends_the_wait, 0, WAITER_WAYS);
	tcase_add_loop_test(cases, an_interrupt_beforehand, 0, WAITER_WAYS);
	tcase_add_loop_test(cases, an_interrupt_wins_over_a_passed_deadline, 0, WAITER_WAYS);
	tcase_add_test(cases, an_interrupt_ends_all_waits_of_the_handle);
	tcase_add_test(cases, what_an_interrupt_does_not_stop);
	return test_main(suite);
}
