/*
 * test_zerocopy.c - callbacks over slots: what they return, and what they may call themselves
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pair.h"
#include "support.h"

#include <hqq.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>

#define SIZE 64
#define TOMBSTONE_INVALID_SIZE 2
#define TOMBSTONE_INVALID_OP 6
#define TOMBSTONE_BUFFER_OVERFLOW 7

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

/* ---- what the callbacks return ----------------------------------------------------------------- */

struct answer {
	const void *data; /* what the read callback was shown, or the write callback given */
	size_t length;
	unsigned int calls;
	ssize_t result;
};

static int read_answer(const void *data, size_t length, void *argument)
{
	struct answer *answer = argument;

	answer->data = data;
	answer->length = length;
	answer->calls++;
	return (int)answer->result;
}

static ssize_t write_answer(void *data, size_t capacity, void *argument)
{
	struct answer *answer = argument;

	answer->data = data;
	answer->length = capacity;
	answer->calls++;
	if (answer->result > 0 && (size_t)answer->result <= capacity)
		memset(data, 'z', (size_t)answer->result);
	return answer->result;
}

START_TEST(a_message_is_shown_where_it_lies)
{
	struct answer answer = { .result = 0 };
	struct pair pair;

	pair_open(&pair, 4, SIZE);
	send_text(pair.side[0], "in place");
	MUST_EQ(hqq_standard_read_zero_copy(pair.side[1], read_answer, &answer), 8);
	MUST_EQ(answer.calls, 1);
	MUST_EQ(answer.length, 8);
	MUST(memcmp(answer.data, "in place", 8) == 0);
	/* any result but a negative one is fine, and the count is returned */
	send_text(pair.side[0], "again");
	answer.result = INT_MAX;
	MUST_EQ(hqq_standard_read_zero_copy(pair.side[1], read_answer, &answer), 5);
	expect_empty(pair.side[1]);
	pair_close(&pair);
}
END_TEST

START_TEST(a_readers_error_is_returned_and_the_slot_released)
{
	struct answer answer = { .result = _i };
	struct hqq_stats stats;
	struct pair pair;
	int i;

	pair_open(&pair, 2, SIZE);
	for (i = 0; i < 5; i++) {
		send_text(pair.side[0], "refused");
		MUST_EQ(hqq_standard_read_zero_copy(pair.side[1], read_answer, &answer), _i);
	}
	/* taken, all of them */
	expect_empty(pair.side[1]);
	MUST_EQ(hqq_standard_stats(pair.side[1], &stats), 0);
	MUST_EQ(stats.received_messages, 5);
	pair_close(&pair);
}
END_TEST

START_TEST(a_message_is_filled_in_place)
{
	struct answer answer = { .result = 0 };
	struct pair pair;
	char text[SIZE];
	ssize_t length;

	pair_open(&pair, 4, SIZE);
	memset(text, 'z', sizeof(text));
	for (length = 1; length <= SIZE; length++) {
		answer.result = length;
		MUST_EQ(hqq_standard_write_zero_copy(pair.side[1], write_answer, &answer), length);
		MUST_EQ(answer.length, SIZE);
		model_write(&pair.model, 1, (uint64_t)length, text, (uint64_t)length);
		MUST_EQ(hqq_standard_read_zero_copy(pair.side[0], read_answer, &answer), length);
		model_read(&pair.model, 1);
		MODEL_SAME(&pair.model, pair.raw);
	}
	MUST_EQ(answer.calls, 2 * SIZE);
	pair_close(&pair);
}
END_TEST

/* What a write callback may answer instead of a length, the error and the tombstone's reason. */
static const struct {
	ssize_t result;
	int error;
	uint64_t reason;
} refusals[] = {
	{ 0, HQQ_ERR_INVALID_SIZE, TOMBSTONE_INVALID_SIZE },
	{ SIZE + 1, HQQ_ERR_BUFFER_OVERFLOW, TOMBSTONE_BUFFER_OVERFLOW },
	{ SSIZE_MAX, HQQ_ERR_BUFFER_OVERFLOW, TOMBSTONE_BUFFER_OVERFLOW },
	{ -1, -1, TOMBSTONE_INVALID_OP },
	{ HQQ_ERR_ABORTED, HQQ_ERR_ABORTED, TOMBSTONE_INVALID_OP },
	{ HQQ_ERR_MEMORY_SMALL, HQQ_ERR_MEMORY_SMALL, 3 },
};

START_TEST(a_writers_refusal_leaves_a_tombstone)
{
	struct answer answer = { .result = refusals[_i].result };
	struct hqq_stats stats;
	struct pair pair;

	pair_open(&pair, 4, SIZE);
	send_text(pair.side[0], "before");
	MUST_EQ(hqq_standard_write_zero_copy(pair.side[0], write_answer, &answer), refusals[_i].error);
	MUST_EQ(answer.calls, 1);
	send_text(pair.side[0], "after");
	model_write(&pair.model, 0, 1, "before", 6);
	model_tombstone(&pair.model, 0, 2, refusals[_i].reason);
	model_write(&pair.model, 0, 3, "after", 5);
	MODEL_SAME(&pair.model, pair.raw);
	expect_text(pair.side[1], "before");
	expect_text(pair.side[1], "after");
	expect_empty(pair.side[1]);
	MUST_EQ(hqq_standard_stats(pair.side[0], &stats), 0);
	MUST_EQ(stats.tombstones, 1);
	MUST_EQ(stats.sent_messages, 2);
	pair_close(&pair);
}
END_TEST

START_TEST(without_a_slot_there_is_no_call)
{
	struct answer answer = { .result = 1 };
	struct pair pair;

	pair_open(&pair, 2, SIZE);
	MUST_EQ(hqq_standard_read_zero_copy(pair.side[1], read_answer, &answer), HQQ_ERR_TIMEOUT);
	send_text(pair.side[0], "1");
	send_text(pair.side[0], "2");
	MUST_EQ(hqq_standard_write_zero_copy(pair.side[0], write_answer, &answer), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_interrupt(pair.side[1]), 0);
	MUST_EQ(hqq_standard_read_zero_copy(pair.side[1], read_answer, &answer), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_standard_resume(pair.side[1]), 0);
	MUST_EQ(answer.calls, 0);
	pair_close(&pair);
}
END_TEST

START_TEST(tombstones_are_not_shown)
{
	struct answer refusal = { .result = -1 }, answer = { .result = 0 };
	struct pair pair;
	int i;

	pair_open(&pair, 4, SIZE);
	for (i = 0; i < 3; i++)
		MUST_EQ(hqq_standard_write_zero_copy(pair.side[0], write_answer, &refusal), -1);
	MUST_EQ(hqq_standard_read_zero_copy(pair.side[1], read_answer, &answer), HQQ_ERR_TIMEOUT);
	for (i = 0; i < 3; i++)
		MUST_EQ(hqq_standard_write_zero_copy(pair.side[0], write_answer, &refusal), -1);
	send_text(pair.side[0], "seen");
	MUST_EQ(hqq_standard_read_zero_copy(pair.side[1], read_answer, &answer), 4);
	MUST_EQ(answer.calls, 1);
	pair_close(&pair);
}
END_TEST

/* ---- calls from inside a callback -------------------------------------------------------------- */

static struct pair nest;

/* Every call of the handle may be made from its own callbacks, but for closing it. */
static void use_both_sides(int side)
{
	struct answer answer = { .result = 1 };
	struct hqq_reservation reservation;
	struct iovec vector = { (void *)(uintptr_t)"batch", 5 };
	struct hqq_stats stats;
	hqq_standard *handle = nest.side[side], *peer = nest.side[1 - side];

	MUST_EQ(hqq_standard_close(handle), HQQ_ERR_INVALID_OP);
	send_text(handle, "copy");
	MUST_EQ(hqq_standard_write_zero_copy(handle, write_answer, &answer), 1);
	MUST_EQ(hqq_standard_reserve_write(handle, &reservation), 0);
	memcpy(reservation.data, "reserved", 8);
	MUST_EQ(hqq_standard_commit(&reservation, 8), 0);
	MUST_EQ(hqq_standard_write_batch(handle, &vector, 1), 1);
	expect_text(peer, "copy");
	MUST_EQ(hqq_standard_read_zero_copy(peer, read_answer, &answer), 1);
	MUST_EQ(hqq_standard_reserve_read(peer, &reservation), 0);
	MUST_EQ(hqq_standard_release(&reservation), 0);
	expect_text(peer, "batch");
	MUST_EQ(hqq_standard_stats(handle, &stats), 0);
	MUST_EQ(hqq_standard_mode(handle), side);
	MUST_EQ(hqq_standard_set_read_deadline(handle, NULL), 0);
	MUST_EQ(hqq_standard_interrupt(handle), 0);
	MUST_EQ(hqq_standard_resume(handle), 0);
	MUST(hqq_standard_recover(handle) >= 0);
}

static int nested_read(const void *data, size_t length, void *argument)
{
	(void)argument;
	MUST(length == 5 && memcmp(data, "outer", 5) == 0);
	use_both_sides(1);
	/* still there */
	MUST(memcmp(data, "outer", 5) == 0);
	return 0;
}

START_TEST(calls_from_callbacks)
{
	int lap;

	pair_open(&nest, 16, SIZE);
	for (lap = 0; lap < 10; lap++) {
		send_text(nest.side[0], "outer");
		MUST_EQ(hqq_standard_read_zero_copy(nest.side[1], nested_read, NULL), 5);
		expect_empty(nest.side[0]);
	}
	pair_close(&nest);
}
END_TEST

static ssize_t held_back(void *data, size_t capacity, void *argument)
{
	(void)capacity, (void)argument;
	MUST_EQ(hqq_standard_close(nest.side[0]), HQQ_ERR_INVALID_OP);
	send_text(nest.side[0], "second");
	expect_empty(nest.side[1]);
	memcpy(data, "first", 5);
	return 5;
}

START_TEST(order_is_that_of_the_claims)
{
	pair_open(&nest, 4, SIZE);
	MUST_EQ(hqq_standard_write_zero_copy(nest.side[0], held_back, NULL), 5);
	expect_text(nest.side[1], "first");
	expect_text(nest.side[1], "second");
	pair_close(&nest);
}
END_TEST

struct depth {
	unsigned int left;
	unsigned int reached;
};

static int deeper_read(const void *data, size_t length, void *argument)
{
	struct depth *depth = argument;

	(void)data, (void)length;
	depth->reached++;
	if (--depth->left > 0)
		MUST_EQ(hqq_standard_read_zero_copy(nest.side[1], deeper_read, depth), 1);
	MUST_EQ(hqq_standard_close(nest.side[1]), HQQ_ERR_INVALID_OP);
	return 0;
}

static ssize_t deeper_write(void *data, size_t capacity, void *argument)
{
	struct depth *depth = argument;

	(void)capacity;
	depth->reached++;
	memset(data, 'd', 1);
	if (--depth->left > 0)
		MUST_EQ(hqq_standard_write_zero_copy(nest.side[0], deeper_write, depth), 1);
	return 1;
}

START_TEST(as_deep_as_the_ring)
{
	struct depth depth = { 16, 0 };

	pair_open(&nest, 16, SIZE);
	MUST_EQ(hqq_standard_write_zero_copy(nest.side[0], deeper_write, &depth), 1);
	MUST_EQ(depth.reached, 16);
	depth = (struct depth){ 16, 0 };
	MUST_EQ(hqq_standard_read_zero_copy(nest.side[1], deeper_read, &depth), 1);
	MUST_EQ(depth.reached, 16);
	/* one more finds nothing */
	expect_empty(nest.side[1]);
	pair_close(&nest);
}
END_TEST

static ssize_t full_inside(void *data, size_t capacity, void *argument)
{
	(void)capacity, (void)argument;
	/* the slots are all in use, one of them by this very call */
	MUST_EQ(hqq_standard_write(nest.side[0], "x", 1), 1);
	MUST_EQ(hqq_standard_write(nest.side[0], "x", 1), HQQ_ERR_TIMEOUT);
	memset(data, 'f', 1);
	return 1;
}

START_TEST(waits_inside_a_callback_obey_deadlines)
{
	pair_open(&nest, 2, SIZE);
	MUST_EQ(hqq_standard_write_zero_copy(nest.side[0], full_inside, NULL), 1);
	expect_text(nest.side[1], "f");
	expect_text(nest.side[1], "x");
	pair_close(&nest);
}
END_TEST

/* Many threads inside callbacks of one handle at once: more than it has lanes. */
#define THREADS 12

static _Atomic unsigned int inside, most_inside;

static int stay_inside(const void *data, size_t length, void *argument)
{
	uint64_t end = test_now_ns() + UINT64_C(10000000000) * test_slowness();
	unsigned int now = ++inside, most = most_inside;

	(void)data, (void)length, (void)argument;
	while (now > most && !atomic_compare_exchange_weak(&most_inside, &most, now))
		continue;
	while (most_inside < THREADS && test_now_ns() < end)
		test_sleep_ms(1);
	inside--;
	return 0;
}

static void read_one_slowly(void *argument, unsigned int index)
{
	(void)argument, (void)index;
	MUST_EQ(hqq_standard_read_zero_copy(nest.side[1], stay_inside, NULL), 1);
}

START_TEST(callbacks_do_not_exclude_each_other)
{
	int i;

	pair_open(&nest, 16, SIZE);
	for (i = 0; i < THREADS; i++)
		send_text(nest.side[0], "x");
	inside = most_inside = 0;
	test_run_threads(THREADS, read_one_slowly, NULL);
	MUST_EQ(most_inside, THREADS);
	expect_empty(nest.side[1]);
	pair_close(&nest);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("zero-copy callbacks");
	TCase *cases = test_case(suite, "results", 20);

	tcase_add_test(cases, a_message_is_shown_where_it_lies);
	tcase_add_loop_test(cases, a_readers_error_is_returned_and_the_slot_released, -2, 0);
	tcase_add_loop_test(cases, a_readers_error_is_returned_and_the_slot_released, HQQ_ERR_CORRUPT,
	                    HQQ_ERR_CORRUPT + 2);
	tcase_add_test(cases, a_message_is_filled_in_place);
	tcase_add_loop_test(cases, a_writers_refusal_leaves_a_tombstone, 0,
	                    sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(cases, without_a_slot_there_is_no_call);
	tcase_add_test(cases, tombstones_are_not_shown);

	cases = test_case(suite, "nesting", 30);
	tcase_add_test(cases, calls_from_callbacks);
	tcase_add_test(cases, order_is_that_of_the_claims);
	tcase_add_test(cases, as_deep_as_the_ring);
	tcase_add_test(cases, waits_inside_a_callback_obey_deadlines);
	tcase_add_test(cases, callbacks_do_not_exclude_each_other);
	return test_main(suite);
}
