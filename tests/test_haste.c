/*
 * test_haste.c - whether a reader should let messages gather: what it asks for, and when
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "haste.h"
#include "support.h"

#include <string.h>

#define ENOUGH 100000 /* waits */
#define WINDOW 8      /* waits before the first trial */
#define RUNS 128      /* waits that gather after a trial that succeeded */
#define WITHIN_MAX 16000 /* ns that a trial lasts */

/* Waits, each of which ends with so many messages, until it advises something else than to take; how many. */
static unsigned int waits_until_advice(struct hqq_haste *haste, uint64_t *received, unsigned int each,
                                       enum hqq_haste_advice *advice)
{
	unsigned int waits = 0;

	do {
		*received += each;
		*advice = hqq_haste_ask(haste, *received);
		waits++;
	} while (*advice == HQQ_HASTE_TAKE && waits < ENOUGH);
	return waits;
}

START_TEST(who_waits_for_each_message_takes_it)
{
	struct hqq_haste haste = { 0 };
	enum hqq_haste_advice advice;
	uint64_t received = 0;

	ck_assert_uint_eq(waits_until_advice(&haste, &received, 1, &advice), ENOUGH);
}
END_TEST

START_TEST(a_backlog_now_and_then_is_none)
{
	struct hqq_haste haste = { 0 };
	uint64_t received = 0;
	unsigned int i;

	for (i = 0; i < ENOUGH; i++) {
		received += i % 3 == 0 ? 1000 : 1;
		ck_assert_int_eq(hqq_haste_ask(&haste, received), HQQ_HASTE_TAKE);
	}
}
END_TEST

/* Each trial that shows nothing doubles what comes before the next, up to a bound. */
START_TEST(trials_in_vain_become_rare)
{
	struct hqq_haste haste = { 0 };
	enum hqq_haste_advice advice;
	uint64_t received = 0;
	unsigned int before = 0, waits, i;

	for (i = 0; i < 20; i++) {
		waits = waits_until_advice(&haste, &received, 3, &advice);
		ck_assert_int_eq(advice, HQQ_HASTE_TRY);
		ck_assert_uint_ge(waits, before);
		ck_assert_uint_ge(waits, i == 0 ? WINDOW : 2 * WINDOW);
		ck_assert_uint_le(waits, 2000);
		before = waits;
		hqq_haste_tried(&haste, false);
	}
	ck_assert_uint_ge(before, 1000);
	/* a trial that shows something makes them as frequent as in the beginning */
	waits_until_advice(&haste, &received, 3, &advice);
	hqq_haste_tried(&haste, true);
	for (i = 0; i < RUNS; i++)
		ck_assert_int_eq(hqq_haste_ask(&haste, received), HQQ_HASTE_GATHER);
	ck_assert_uint_le(waits_until_advice(&haste, &received, 3, &advice), WINDOW + 2);
	ck_assert_int_eq(advice, HQQ_HASTE_TRY);
}
END_TEST

START_TEST(rest_ends_what_was_decided)
{
	struct hqq_haste haste = { 0 };
	enum hqq_haste_advice advice;
	uint64_t received = 0;

	waits_until_advice(&haste, &received, 3, &advice);
	hqq_haste_tried(&haste, true);
	ck_assert_int_eq(hqq_haste_ask(&haste, received), HQQ_HASTE_GATHER);
	hqq_haste_rest(&haste);
	ck_assert_uint_ge(waits_until_advice(&haste, &received, 3, &advice), WINDOW);
	ck_assert_int_eq(advice, HQQ_HASTE_TRY);
}
END_TEST

/* More messages than a wait brings, in less time than they take, and never so long that it is noticed. */
START_TEST(a_trial_has_a_goal)
{
	static const unsigned int each[] = { 2, 20, 1000 };
	struct hqq_haste haste = { 0 };
	enum hqq_haste_advice advice;
	uint64_t received = 0, within, as_it_is;
	uint32_t goal;

	waits_until_advice(&haste, &received, each[_i], &advice);
	ck_assert_int_eq(advice, HQQ_HASTE_TRY);
	haste.began -= 1000; /* it took a microsecond at least */
	as_it_is = test_now_ns() - haste.began;
	goal = hqq_haste_goal(&haste, &within);
	as_it_is = as_it_is * goal / (received - each[_i]); /* the first wait began it */
	ck_assert_uint_ge(goal, 16);
	ck_assert_uint_le(goal, 256);
	if (each[_i] < 100)
		ck_assert_uint_ge(goal, each[_i]);
	ck_assert_uint_ge(within, as_it_is / 2 < WITHIN_MAX ? as_it_is / 2 : WITHIN_MAX);
	ck_assert_uint_le(within, WITHIN_MAX);
	haste.began -= 10 * UINT64_C(1000000000); /* who was away for long does not wait for long */
	hqq_haste_goal(&haste, &within);
	ck_assert_uint_eq(within, WITHIN_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("haste of a reader");
	TCase *cases = test_case(suite, "advice", 30);

	tcase_add_test(cases, who_waits_for_each_message_takes_it);
	tcase_add_test(cases, a_backlog_now_and_then_is_none);
	tcase_add_test(cases, trials_in_vain_become_rare);
	tcase_add_test(cases, rest_ends_what_was_decided);
	tcase_add_loop_test(cases, a_trial_has_a_goal, 0, 3);
	return test_main(suite);
}
