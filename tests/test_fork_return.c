/*
 * test_fork_return.c - a child that is forked in a callback, and returns from it
 *
 * It comes back into a call of its parent's, with a slot, a seat and a lane that are its parent's.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "every_call.h"
#include "pair.h"
#include "support.h"
#include "waiter.h"

#include <hqq.h>
#include <pthread.h>
#include <setjmp.h>
#include <string.h>
#include <unistd.h>

#define SIZE 64

static const struct timespec passed = { 0, 0 };

#define SITTERS 4 /* as many threads as can keep a seat of a handle for themselves */

/* Each kind of callback; of a thread that keeps its seat on the handle, and of one that shares it. */
enum { CALLBACK_WRITES = 1, CALLBACK_SHARES = 2, CALLBACK_KINDS = 4 };

struct returning {
	struct pair pair;
	hqq_standard *handle; /* a second one of side 1; the call with the callback is on it */
	hqq_standard *own;    /* the child's, in the same memory */
	int kind;
	void (*in_child)(struct returning *returning);  /* in the callback */
	void (*in_parent)(struct returning *returning); /* likewise, once the child has ended */
	unsigned char before[4096 - 512];               /* the table of endpoints, when it forked */
	struct child child;
	jmp_buf back;
	bool is_child;
	pthread_t sitters[SITTERS];
	pthread_barrier_t seated, done;
};

static void *sit(void *argument)
{
	struct returning *returning = argument;

	MUST_EQ(hqq_standard_pending(returning->handle), 0);
	pthread_barrier_wait(&returning->seated);
	pthread_barrier_wait(&returning->done);
	return NULL;
}

static void returning_open(struct returning *returning, int kind)
{
	int i;

	memset(returning, 0, sizeof(*returning));
	returning->kind = kind;
	pair_open(&returning->pair, 4, SIZE);
	MUST_EQ(hqq_standard_open(&returning->handle, hqq_standard_name(returning->pair.side[0]), 0, 0, NULL), 0);
	if (kind & CALLBACK_SHARES) {
		MUST_EQ(pthread_barrier_init(&returning->seated, NULL, SITTERS + 1), 0);
		MUST_EQ(pthread_barrier_init(&returning->done, NULL, SITTERS + 1), 0);
		for (i = 0; i < SITTERS; i++)
			MUST_EQ(pthread_create(&returning->sitters[i], NULL, sit, returning), 0);
		pthread_barrier_wait(&returning->seated);
	}
	MUST_EQ(hqq_standard_set_deadline(returning->handle, &passed), 0);
}

static void returning_close(struct returning *returning)
{
	int i;

	if (returning->kind & CALLBACK_SHARES) {
		pthread_barrier_wait(&returning->done);
		for (i = 0; i < SITTERS; i++)
			MUST_EQ(pthread_join(returning->sitters[i], NULL), 0);
		MUST_EQ(pthread_barrier_destroy(&returning->seated), 0);
		MUST_EQ(pthread_barrier_destroy(&returning->done), 0);
	}
	MUST_EQ(hqq_standard_close(returning->handle), 0);
	pair_close(&returning->pair);
}

static int go_back(void *argument)
{
	longjmp(((struct returning *)argument)->back, 1);
}

/* The child comes back from here as well, and returns from the callback. */
static void fork_and_return(struct returning *returning)
{
	memcpy(returning->before, returning->pair.raw + 512, sizeof(returning->before));
	if (setjmp(returning->back) == 0) {
		child_start(&returning->child, go_back, returning);
		child_join_ok(&returning->child);
		if (returning->in_parent)
			returning->in_parent(returning);
	} else {
		returning->is_child = true;
		if (returning->in_child)
			returning->in_child(returning);
	}
}

static int fork_and_take(const void *data, size_t length, void *argument)
{
	fork_and_return(argument);
	if (!((struct returning *)argument)->is_child)
		MUST(length == WAITER_LENGTH && memcmp(data, WAITER_TEXT, WAITER_LENGTH) == 0);
	return 0;
}

static ssize_t fork_and_give(void *data, size_t capacity, void *argument)
{
	MUST_EQ(capacity, SIZE);
	fork_and_return(argument);
	if (!((struct returning *)argument)->is_child)
		memcpy(data, WAITER_TEXT, WAITER_LENGTH);
	return WAITER_LENGTH;
}

/* In both processes. */
static ssize_t call_that_forks(struct returning *returning)
{
	if (returning->kind & CALLBACK_WRITES)
		return hqq_standard_write_zero_copy(returning->handle, fork_and_give, returning);
	MUST_EQ(waiter_call(returning->pair.side[0], WAITER_READS), WAITER_LENGTH);
	return hqq_standard_read_zero_copy(returning->handle, fork_and_take, returning);
}

/* The parent's call went on as if nothing had been. */
static void parent_goes_on(struct returning *returning, ssize_t result)
{
	int i;

	MUST_EQ(result, WAITER_LENGTH);
	if (returning->kind & CALLBACK_WRITES)
		MUST_EQ(waiter_call(returning->pair.side[0], 0), WAITER_LENGTH);
	for (i = 0; i < WAITER_READS; i++) {
		MUST_EQ(waiter_call(returning->handle, WAITER_READS + i), waiter_success(WAITER_READS + i));
		MUST_EQ(waiter_call(returning->pair.side[0], i), waiter_success(i));
		MUST_EQ(waiter_call(returning->pair.side[0], WAITER_READS), WAITER_LENGTH);
		MUST_EQ(waiter_call(returning->handle, i), waiter_success(i));
	}
	returning_close(returning);
}

START_TEST(a_child_that_returns_from_a_callback)
{
	struct returning returning;
	ssize_t result;

	returning_open(&returning, _i);
	result = call_that_forks(&returning);
	if (returning.is_child) {
		MUST_EQ(result, HQQ_ERR_FORKED);
		every_call_gives(returning.handle, HQQ_ERR_FORKED);
		MUST_EQ(hqq_standard_close(returning.handle), 0);
		MUST_EQ(hqq_standard_close(returning.handle), HQQ_ERR_INVALID_OP);
		_exit(0);
	}
	parent_goes_on(&returning, result);
}
END_TEST

static void expect_slot_is_held(struct returning *returning)
{
	int i;

	MUST(memcmp(returning->before, returning->pair.raw + 512, sizeof(returning->before)) == 0);
	if (returning->kind & CALLBACK_WRITES) {
		MUST_EQ(waiter_call(returning->pair.side[0], 0), HQQ_ERR_TIMEOUT);
		return;
	}
	for (i = 0; i < 3; i++)
		MUST_EQ(waiter_call(returning->pair.side[0], WAITER_READS), WAITER_LENGTH);
	MUST_EQ(waiter_call(returning->pair.side[0], WAITER_READS), HQQ_ERR_TIMEOUT);
	for (i = 0; i < 3; i++)
		MUST_EQ(waiter_call(returning->pair.side[1], 0), WAITER_LENGTH);
}

START_TEST(a_parents_slot_in_a_callback)
{
	struct returning returning;
	ssize_t result;

	returning_open(&returning, _i);
	returning.in_parent = expect_slot_is_held;
	result = call_that_forks(&returning);
	if (returning.is_child)
		_exit(0); /* whatever it was told */
	parent_goes_on(&returning, result);
}
END_TEST

static void close_inherited(struct returning *returning)
{
	MUST_EQ(hqq_standard_close(returning->handle), 0);
}

START_TEST(closed_in_a_callback_by_a_child)
{
	struct returning returning;
	ssize_t result;

	returning_open(&returning, _i);
	returning.in_child = close_inherited;
	result = call_that_forks(&returning);
	if (returning.is_child) {
		MUST_EQ(result, HQQ_ERR_FORKED);
		MUST_EQ(hqq_standard_close(returning.handle), HQQ_ERR_INVALID_OP);
		_exit(0);
	}
	parent_goes_on(&returning, result);
}
END_TEST

static void open_own(struct returning *returning)
{
	close_inherited(returning);
	MUST_EQ(hqq_standard_create_fd(&returning->own, 4, SIZE, NULL), 0);
	MUST(returning->own == returning->handle);
	MUST_EQ(waiter_call(returning->own, WAITER_READS), WAITER_LENGTH);
}

static void open_and_close_own(struct returning *returning)
{
	open_own(returning);
	/* not inside a call of its own handle, whatever that memory was before */
	MUST_EQ(hqq_standard_close(returning->own), 0);
}

START_TEST(a_childs_own_handle_in_a_callback)
{
	struct returning returning;
	ssize_t result;

	returning_open(&returning, _i);
	returning.in_child = open_and_close_own;
	result = call_that_forks(&returning);
	if (returning.is_child) {
		MUST_EQ(result, HQQ_ERR_FORKED);
		_exit(0);
	}
	parent_goes_on(&returning, result);
}
END_TEST

START_TEST(a_childs_own_handle_after_a_callback)
{
	struct returning returning;
	struct hqq_stats stats;
	ssize_t result;

	returning_open(&returning, _i);
	returning.in_child = open_own;
	result = call_that_forks(&returning);
	if (returning.is_child) {
		MUST_EQ(result, HQQ_ERR_FORKED);
		MUST_EQ(waiter_call(returning.own, WAITER_READS), WAITER_LENGTH);
		MUST_EQ(hqq_standard_stats(returning.own, &stats), 0);
		MUST_EQ(stats.sent_messages, 2);
		MUST_EQ(hqq_standard_close(returning.own), 0);
		_exit(0);
	}
	parent_goes_on(&returning, result);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("returning from a callback after fork");
	TCase *cases = test_case(suite, "fork in a callback", 30);

	tcase_add_loop_test(cases, a_child_that_returns_from_a_callback, 0, CALLBACK_KINDS);
	tcase_add_loop_test(cases, a_parents_slot_in_a_callback, 0, CALLBACK_KINDS);
	tcase_add_loop_test(cases, closed_in_a_callback_by_a_child, 0, CALLBACK_KINDS);
	tcase_add_loop_test(cases, a_childs_own_handle_in_a_callback, 0, CALLBACK_KINDS);
	tcase_add_loop_test(cases, a_childs_own_handle_after_a_callback, 0, CALLBACK_KINDS);
	return test_main(suite);
}
