/*
 * test_copy.c - read and write: sizes, order, short reads and the tails they leave
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "foreign.h"
#include "pair.h"
#include "support.h"

#include <hqq.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIZE 64

static const struct timespec passed = { 0, 0 };

static void expect_text(hqq_standard *handle, size_t room, const char *text)
{
	char buffer[SIZE + 8];

	memset(buffer, 0, sizeof(buffer));
	MUST_EQ(hqq_standard_read(handle, buffer, room), strlen(text));
	MUST(memcmp(buffer, text, strlen(text) + 1) == 0);
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

/* ---- whole messages ---------------------------------------------------------------------------- */

START_TEST(every_length_both_ways)
{
	unsigned char buffer[SIZE + 1];
	struct pair pair;
	size_t length;
	int side;

	pair_open(&pair, 4, SIZE);
	for (length = 1; length <= SIZE; length++) {
		for (side = 0; side < 2; side++) {
			test_fill(buffer, length, length);
			MUST_EQ(hqq_standard_write(pair.side[side], buffer, length), length);
			memset(buffer, 0x55, sizeof(buffer));
			MUST_EQ(hqq_standard_read(pair.side[1 - side], buffer, sizeof(buffer)), length);
			MUST_EQ(test_verify(buffer, length, length), -1);
			/* nothing beyond the message */
			MUST_EQ(buffer[length], 0x55);
		}
	}
	pair_close(&pair);
}
END_TEST

START_TEST(order_is_kept_over_many_laps)
{
	uint64_t sent[2] = { 0, 0 }, got[2] = { 0, 0 }, value, seed = test_seed();
	struct pair pair;
	int round;

	pair_open(&pair, 8, 8);
	for (round = 0; round < 4000; round++) {
		int side = (int)(test_random(&seed) & 1);
		unsigned int burst = 1 + (unsigned int)(test_random(&seed) % 8);

		while (burst-- > 0 && sent[side] - got[side] < 8) {
			MUST_EQ(hqq_standard_write(pair.side[side], &sent[side], 8), 8);
			sent[side]++;
		}
		MUST_EQ(hqq_standard_pending(pair.side[1 - side]), sent[side] - got[side]);
		for (burst = (unsigned int)(test_random(&seed) % 8); burst > 0 && got[side] < sent[side];
		     burst--) {
			MUST_EQ(hqq_standard_read(pair.side[1 - side], &value, 8), 8);
			MUST_EQ(value, got[side]);
			got[side]++;
		}
	}
	pair_close(&pair);
}
END_TEST

START_TEST(full_is_full)
{
	struct pair pair;
	int i;

	pair_open(&pair, 4, SIZE);
	for (i = 0; i < 4; i++)
		send_text(pair.side[0], "one");
	MUST_EQ(hqq_standard_write(pair.side[0], "two", 3), HQQ_ERR_TIMEOUT);
	/* the other direction has its own room */
	send_text(pair.side[1], "back");
	expect_text(pair.side[1], SIZE, "one");
	send_text(pair.side[0], "two");
	MUST_EQ(hqq_standard_write(pair.side[0], "x", 1), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 4);
	pair_close(&pair);
}
END_TEST

START_TEST(writes_that_send_nothing)
{
	unsigned char buffer[SIZE + 1] = { 0 };
	struct pair pair;

	pair_open(&pair, 2, SIZE);
	MUST_EQ(hqq_standard_write(pair.side[0], buffer, SIZE + 1), HQQ_ERR_BUFFER_OVERFLOW);
	MUST_EQ(hqq_standard_write(pair.side[0], buffer, SIZE_MAX), HQQ_ERR_BUFFER_OVERFLOW);
	MUST_EQ(hqq_standard_write(pair.side[0], buffer, 0), 0);
	MUST_EQ(hqq_standard_write(pair.side[0], NULL, 0), 0);
	MODEL_SAME(&pair.model, pair.raw);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 0);
	/* whether or not there is room */
	send_text(pair.side[0], "1");
	send_text(pair.side[0], "2");
	MUST_EQ(hqq_standard_write(pair.side[0], buffer, 0), 0);
	MUST_EQ(hqq_standard_write(pair.side[0], buffer, SIZE + 1), HQQ_ERR_BUFFER_OVERFLOW);
	pair_close(&pair);
}
END_TEST

/* ---- tails ------------------------------------------------------------------------------------- */

START_TEST(a_short_read_keeps_the_tail)
{
	struct pair pair;

	pair_open(&pair, 4, SIZE);
	send_text(pair.side[0], "abcdefghij");
	send_text(pair.side[0], "next");
	expect_text(pair.side[1], 3, "abc");
	expect_text(pair.side[1], 1, "d");
	/* a tail and the message behind it are not joined */
	expect_text(pair.side[1], SIZE, "efghij");
	expect_text(pair.side[1], SIZE, "next");
	expect_empty(pair.side[1]);
	pair_close(&pair);
}
END_TEST

START_TEST(every_way_to_cut_a_message)
{
	unsigned char message[SIZE], buffer[SIZE];
	struct pair pair;
	size_t room;

	pair_open(&pair, 2, SIZE);
	test_fill(message, SIZE, 5);
	for (room = 1; room <= SIZE; room++) {
		size_t done = 0;

		MUST_EQ(hqq_standard_write(pair.side[1], message, SIZE), SIZE);
		while (done < SIZE) {
			size_t expected = SIZE - done < room ? SIZE - done : room;

			MUST_EQ(hqq_standard_read(pair.side[0], buffer, room), expected);
			MUST(memcmp(buffer, message + done, expected) == 0);
			done += expected;
		}
		expect_empty(pair.side[0]);
	}
	pair_close(&pair);
}
END_TEST

START_TEST(the_slot_is_free_while_the_tail_is_kept)
{
	struct pair pair;

	pair_open(&pair, 2, SIZE);
	send_text(pair.side[0], "first message");
	send_text(pair.side[0], "second");
	MUST_EQ(hqq_standard_write(pair.side[0], "x", 1), HQQ_ERR_TIMEOUT);
	expect_text(pair.side[1], 5, "first");
	send_text(pair.side[0], "third");
	/* what is pending are messages in the ring */
	MUST_EQ(hqq_standard_pending(pair.side[1]), 2);
	expect_text(pair.side[1], SIZE, " message");
	expect_text(pair.side[1], SIZE, "second");
	expect_text(pair.side[1], SIZE, "third");
	pair_close(&pair);
}
END_TEST

START_TEST(a_read_of_nothing_takes_nothing)
{
	struct pair pair;
	char byte = 'x';

	pair_open(&pair, 4, SIZE);
	send_text(pair.side[0], "ab");
	MUST_EQ(hqq_standard_read(pair.side[1], &byte, 0), 0);
	MUST_EQ(hqq_standard_read(pair.side[1], NULL, 0), 0);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 1);
	expect_text(pair.side[1], 1, "a");
	MUST_EQ(hqq_standard_read(pair.side[1], &byte, 0), 0);
	MUST_EQ(hqq_standard_read(pair.side[1], NULL, 1), HQQ_ERR_INVALID_OP);
	expect_text(pair.side[1], 1, "b");
	/* nor does it wait */
	MUST_EQ(hqq_standard_set_deadline(pair.side[1], NULL), 0);
	MUST_EQ(hqq_standard_read(pair.side[1], &byte, 0), 0);
	MUST_EQ(byte, 'x');
	pair_close(&pair);
}
END_TEST

START_TEST(a_tail_belongs_to_its_handle)
{
	hqq_standard *second;
	struct pair pair;

	pair_open(&pair, 4, SIZE);
	MUST_EQ(hqq_standard_open(&second, hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(second, &passed), 0);
	send_text(pair.side[0], "tail here");
	send_text(pair.side[0], "tail there");
	expect_text(pair.side[1], 5, "tail ");
	expect_text(second, 5, "tail ");
	expect_text(second, SIZE, "there");
	expect_empty(second);
	expect_text(pair.side[1], SIZE, "here");
	MUST_EQ(hqq_standard_close(second), 0);
	pair_close(&pair);
}
END_TEST

START_TEST(a_tail_goes_with_its_handle)
{
	const char *name = test_name("tail");
	hqq_standard *writer, *reader;
	int round;

	MUST_EQ(hqq_standard_create(&writer, name, 4, SIZE, 0600, NULL), 0);
	for (round = 0; round < 3; round++) {
		/* the memory of the handle is used again: its tail must not be */
		MUST_EQ(hqq_standard_open(&reader, name, 0, 0, NULL), 0);
		MUST_EQ(hqq_standard_set_deadline(reader, &passed), 0);
		expect_empty(reader);
		send_text(writer, "never read to its end");
		expect_text(reader, 5, "never");
		MUST_EQ(hqq_standard_close(reader), 0);
	}
	MUST_EQ(hqq_standard_close(writer), 0);
}
END_TEST

START_TEST(a_tail_is_there_at_once)
{
	struct pair pair;

	/* a read of a tail neither waits nor minds the deadline */
	pair_open(&pair, 4, SIZE);
	send_text(pair.side[0], "ab");
	expect_text(pair.side[1], 1, "a");
	expect_text(pair.side[1], 1, "b");
	expect_empty(pair.side[1]);
	pair_close(&pair);
}
END_TEST

START_TEST(tails_beside_the_other_ways_to_read)
{
	struct hqq_reservation reservation;
	struct iovec vector;
	char buffer[SIZE];
	struct pair pair;

	pair_open(&pair, 8, SIZE);
	send_text(pair.side[0], "one two three");
	send_text(pair.side[0], "reserved");
	send_text(pair.side[0], "last");
	expect_text(pair.side[1], 4, "one ");
	/* a reservation takes the next whole message and leaves the tail alone */
	MUST_EQ(hqq_standard_reserve_read(pair.side[1], &reservation), 0);
	MUST_EQ(reservation.size, 8);
	MUST(memcmp(reservation.data, "reserved", 8) == 0);
	expect_text(pair.side[1], 4, "two ");
	MUST_EQ(hqq_standard_release(&reservation), 0);
	/* the others go on with the tail */
	MUST_EQ(hqq_standard_read_from(pair.side[1], buffer, 2, NULL), 2);
	MUST(memcmp(buffer, "th", 2) == 0);
	vector = (struct iovec){ buffer, sizeof(buffer) };
	MUST(hqq_standard_read_batch(pair.side[1], &vector, 1) == 1);
	MUST_EQ(vector.iov_len, 3);
	MUST(memcmp(buffer, "ree", 3) == 0);
	expect_text(pair.side[1], SIZE, "last");
	expect_empty(pair.side[1]);
	pair_close(&pair);
}
END_TEST

START_TEST(an_interrupt_holds_for_tails_too)
{
	struct pair pair;
	char buffer[SIZE];

	pair_open(&pair, 4, SIZE);
	send_text(pair.side[0], "ab");
	expect_text(pair.side[1], 1, "a");
	MUST_EQ(hqq_standard_interrupt(pair.side[1]), 0);
	MUST_EQ(hqq_standard_read(pair.side[1], buffer, SIZE), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_standard_resume(pair.side[1]), 0);
	expect_text(pair.side[1], SIZE, "b");
	pair_close(&pair);
}
END_TEST

/* ---- a tail that a sleeping reader must hear of ------------------------------------------------ */

struct sleeper {
	struct pair *pair;
	_Atomic pid_t tid;
	ssize_t n; /* bytes that it read */
};

/* Reads once; when that is a whole message, sends another one for whoever wanted the first. */
static void *read_once(void *argument)
{
	struct sleeper *sleeper = argument;
	char buffer[SIZE];

	sleeper->tid = (pid_t)syscall(SYS_gettid);
	sleeper->n = hqq_standard_read(sleeper->pair->side[1], buffer, sizeof(buffer));
	MUST(sleeper->n == 1 || sleeper->n == 2);
	MUST(buffer[sleeper->n - 1] == 'b');
	if (sleeper->n == 2)
		send_text(sleeper->pair->side[0], "ab");
	return NULL;
}

/*
 * Message and tail go to two threads: each gets the one or the other. The message comes from one that wakes
 * nobody (foreign.h), so that it is left to us, who cut it, unless we do so very late: the sleeper has to hear
 * of the tail. That it slept through a message makes it sleep shortly for a while: each try has a new link.
 */
START_TEST(a_tail_wakes_a_reader)
{
	unsigned int tails = 0, tries;

	for (tries = 0; tails < 5; tries++) {
		const struct timespec deadline = test_in_ms(15000 * test_slowness());
		struct sleeper sleeper = { .tid = 0 };
		struct foreign silent;
		struct pair pair;
		pthread_t thread;
		char byte;

		MUST(tries < 100);
		pair_open(&pair, 4, SIZE);
		MUST_EQ(foreign_open_primary(&silent, hqq_standard_name(pair.side[0]), 4, SIZE), FOREIGN_OK);
		MUST_EQ(hqq_standard_set_deadline(pair.side[1], &deadline), 0);
		sleeper.pair = &pair;
		MUST_EQ(pthread_create(&thread, NULL, read_once, &sleeper), 0);
		while (sleeper.tid == 0)
			test_sleep_ms(1);
		test_wait_asleep(getpid(), sleeper.tid);
		MUST_EQ(foreign_write(&silent, "ab", 2, 0), FOREIGN_OK);
		MUST_EQ(hqq_standard_read(pair.side[1], &byte, 1), 1);
		MUST_EQ(byte, 'a');
		MUST_EQ(pthread_join(thread, NULL), 0);
		if (sleeper.n == 1)
			tails++; /* we were faster */
		else
			expect_text(pair.side[1], SIZE, "b");
		foreign_close(&silent);
		pair_close(&pair);
	}
	fprintf(stderr, "%u of %u tails went to the sleeper\n", tails, tries);
}
END_TEST

/* ---- short reads by several threads at once ---------------------------------------------------- */

#define WORDS (SIZE / 8)
#define THREADS 4
#define MESSAGES 3000

/* Every 8-byte word of the stream is numbered; each must arrive once, in an unbroken piece. */
static struct {
	hqq_standard *writer, *readers[2];
	uint64_t messages;
	_Atomic unsigned char seen[MESSAGES * WORDS];
	_Atomic uint64_t words;
} cut;

static void write_numbers(void)
{
	uint64_t number = 0, message[WORDS], seed = 1;
	unsigned int i;

	while (number < cut.messages * WORDS) {
		unsigned int length = 1 + (unsigned int)(test_random(&seed) % WORDS);

		for (i = 0; i < length && number < cut.messages * WORDS; i++)
			message[i] = number++;
		MUST_EQ(hqq_standard_write(cut.writer, message, i * 8), i * 8);
	}
}

static void see(const uint64_t *words, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		MUST(words[i] < cut.messages * WORDS);
		MUST_EQ(words[i], words[0] + i);
		MUST_EQ(atomic_fetch_add(&cut.seen[words[i]], 1), 0);
	}
	if (atomic_fetch_add(&cut.words, count) + count != cut.messages * WORDS)
		return;
	for (i = 0; i < 2; i++)
		MUST_EQ(hqq_standard_interrupt(cut.readers[i]), 0);
}

static int see_all(const void *data, size_t length, void *argument)
{
	(void)argument;
	see(data, length / 8);
	return 0;
}

/* Of the readers of a handle one takes no messages but by read, so that somebody wants the tails. */
static void cut_or_write(void *argument, unsigned int index)
{
	hqq_standard *reader = cut.readers[index % 2];
	uint64_t buffer[WORDS], seed = index;
	ssize_t n;

	(void)argument;
	if (index == 0) {
		write_numbers();
		return;
	}
	for (;;) {
		uint64_t choice = test_random(&seed);

		if (index > 2 && choice % 5 == 0) {
			n = hqq_standard_read_zero_copy(reader, see_all, NULL);
		} else {
			n = hqq_standard_read(reader, buffer, 8 * (size_t)(1 + choice / 8 % WORDS));
			if (n > 0)
				see(buffer, (size_t)n / 8);
		}
		if (n == HQQ_ERR_CANCELED)
			return;
		MUST(n > 0 && n % 8 == 0);
	}
}

/* _i: the readers share one handle, or each two of them have one */
START_TEST(threads_that_cut_messages)
{
	struct timespec deadline = test_in_ms(25000 * test_slowness());
	hqq_standard *second = NULL;
	struct pair pair;
	uint64_t i;

	pair_open(&pair, 8, SIZE);
	if (_i)
		MUST_EQ(hqq_standard_open(&second, hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
	memset(&cut, 0, sizeof(cut));
	cut.writer = pair.side[0];
	cut.readers[0] = pair.side[1];
	cut.readers[1] = _i ? second : pair.side[1];
	cut.messages = MESSAGES / test_slowness();
	MUST_EQ(hqq_standard_set_deadline(cut.writer, &deadline), 0);
	for (i = 0; i < 2; i++)
		MUST_EQ(hqq_standard_set_deadline(cut.readers[i], &deadline), 0);
	test_run_threads(1 + THREADS, cut_or_write, NULL);
	for (i = 0; i < cut.messages * WORDS; i++)
		MUST_EQ(cut.seen[i], 1);
	for (i = 0; i < 2; i++) {
		MUST_EQ(hqq_standard_resume(cut.readers[i]), 0);
		MUST_EQ(hqq_standard_set_deadline(cut.readers[i], &passed), 0);
		expect_empty(cut.readers[i]);
	}
	if (_i)
		MUST_EQ(hqq_standard_close(second), 0);
	pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("copy");
	TCase *cases = test_case(suite, "messages", 20);

	tcase_add_test(cases, every_length_both_ways);
	tcase_add_test(cases, order_is_kept_over_many_laps);
	tcase_add_test(cases, full_is_full);
	tcase_add_test(cases, writes_that_send_nothing);

	cases = test_case(suite, "tails", 20);
	tcase_add_test(cases, a_short_read_keeps_the_tail);
	tcase_add_test(cases, every_way_to_cut_a_message);
	tcase_add_test(cases, the_slot_is_free_while_the_tail_is_kept);
	tcase_add_test(cases, a_read_of_nothing_takes_nothing);
	tcase_add_test(cases, a_tail_belongs_to_its_handle);
	tcase_add_test(cases, a_tail_goes_with_its_handle);
	tcase_add_test(cases, a_tail_is_there_at_once);
	tcase_add_test(cases, tails_beside_the_other_ways_to_read);
	tcase_add_test(cases, an_interrupt_holds_for_tails_too);

	cases = test_case(suite, "threads", 40);
	tcase_add_test(cases, a_tail_wakes_a_reader);
	tcase_add_loop_test(cases, threads_that_cut_messages, 0, 2);
	return test_main(suite);
}
