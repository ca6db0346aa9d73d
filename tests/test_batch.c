/*
 * test_batch.c - many messages in one call: counts, bad entries, cut messages, long runs
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pair.h"
#include "support.h"

#include <hqq.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define SIZE 64
#define MANY 5000

static const struct timespec passed = { 0, 0 };

static struct iovec text(const char *string)
{
	return (struct iovec){ (void *)(uintptr_t)string, strlen(string) };
}

static void expect_text(hqq_standard *handle, const char *string)
{
	char buffer[SIZE];

	MUST_EQ(hqq_standard_read(handle, buffer, sizeof(buffer)), strlen(string));
	MUST(memcmp(buffer, string, strlen(string)) == 0);
}

static void expect_empty(hqq_standard *handle)
{
	char buffer[SIZE];

	MUST_EQ(hqq_standard_read(handle, buffer, sizeof(buffer)), HQQ_ERR_TIMEOUT);
}

static void send_text(hqq_standard *handle, const char *string)
{
	MUST_EQ(hqq_standard_write(handle, string, strlen(string)), strlen(string));
}

static void send_tombstone(hqq_standard *handle)
{
	struct hqq_reservation reservation;

	MUST_EQ(hqq_standard_reserve_write(handle, &reservation), 0);
	MUST_EQ(hqq_standard_abort(&reservation, 6), 0);
}

/* Room for several messages, and vectors over it. */
struct room {
	char bytes[16][SIZE];
	struct iovec vectors[16];
};

static struct iovec *make_room(struct room *room, size_t each)
{
	size_t i;

	memset(room->bytes, 0, sizeof(room->bytes));
	for (i = 0; i < 16; i++)
		room->vectors[i] = (struct iovec){ room->bytes[i], each };
	return room->vectors;
}

static void expect_vector(const struct iovec *vector, const char *string)
{
	MUST_EQ(vector->iov_len, strlen(string));
	MUST(memcmp(vector->iov_base, string, strlen(string)) == 0);
}

/* ---- writing ----------------------------------------------------------------------------------- */

START_TEST(a_batch_is_that_many_messages)
{
	struct iovec batch[3] = { text("one"), text("second"), text("3") };
	struct pair pair;
	int lap, i;

	pair_open(&pair, 4, SIZE);
	for (lap = 0; lap < 5; lap++) {
		MUST_EQ(hqq_standard_write_batch(pair.side[0], batch, 3), 3);
		for (i = 0; i < 3; i++)
			model_write(&pair.model, 0, (uint64_t)(3 * lap + i) + 1, batch[i].iov_base,
				    batch[i].iov_len);
		MODEL_SAME(&pair.model, pair.raw);
		for (i = 0; i < 3; i++) {
			expect_text(pair.side[1], batch[i].iov_base);
			model_read(&pair.model, 0);
		}
		MODEL_SAME(&pair.model, pair.raw);
	}
	pair_close(&pair);
}
END_TEST

START_TEST(a_write_goes_as_far_as_there_is_room)
{
	struct iovec batch[6];
	struct pair pair;
	int i;

	pair_open(&pair, 4, SIZE);
	for (i = 0; i < 6; i++)
		batch[i] = text(&"12345"[i % 5]);
	MUST_EQ(hqq_standard_write_batch(pair.side[0], batch, 6), 4);
	MUST_EQ(hqq_standard_write_batch(pair.side[0], batch, 6), HQQ_ERR_TIMEOUT);
	expect_text(pair.side[1], "12345");
	expect_text(pair.side[1], "2345");
	MUST_EQ(hqq_standard_write_batch(pair.side[0], batch + 4, 2), 2);
	expect_text(pair.side[1], "345");
	expect_text(pair.side[1], "45");
	expect_text(pair.side[1], "5");
	expect_text(pair.side[1], "12345");
	expect_empty(pair.side[1]);
	pair_close(&pair);
}
END_TEST

START_TEST(a_batch_of_nothing)
{
	struct iovec vector = text("unused");
	struct pair pair;

	pair_open(&pair, 2, SIZE);
	MUST_EQ(hqq_standard_write_batch(pair.side[0], &vector, 0), 0);
	MUST_EQ(hqq_standard_write_batch(pair.side[0], NULL, 0), 0);
	MUST_EQ(hqq_standard_read_batch(pair.side[0], &vector, 0), 0);
	MUST_EQ(hqq_standard_read_batch(pair.side[0], NULL, 0), 0);
	MODEL_SAME(&pair.model, pair.raw);
	pair_close(&pair);
}
END_TEST

/* An entry that cannot be sent, and what it gives when it comes first. */
static const struct {
	const char *base;
	size_t length;
	int error;
} bad_entries[] = {
	{ "", 0, HQQ_ERR_INVALID_SIZE },
	{ NULL, 0, HQQ_ERR_INVALID_SIZE },
	{ "", SIZE + 1, HQQ_ERR_BUFFER_OVERFLOW },
	{ "", SIZE_MAX, HQQ_ERR_BUFFER_OVERFLOW },
	{ NULL, 5, HQQ_ERR_INVALID_OP },
};

START_TEST(a_bad_entry_ends_the_batch_before_it)
{
	struct iovec bad = { (void *)(uintptr_t)bad_entries[_i].base, bad_entries[_i].length };
	struct iovec batch[4];
	struct pair pair;
	int at;

	for (at = 0; at < 4; at++) {
		int i;

		pair_open(&pair, 8, SIZE);
		for (i = 0; i < 4; i++)
			batch[i] = text("good");
		batch[at] = bad;
		MUST_EQ(hqq_standard_write_batch(pair.side[0], batch, 4),
			at == 0 ? bad_entries[_i].error : at);
		MUST_EQ(hqq_standard_pending(pair.side[1]), at);
		/* also where no room is left for what is good */
		for (i = at; i < 8; i++)
			send_text(pair.side[0], "fills");
		MUST_EQ(hqq_standard_write_batch(pair.side[0], batch, 4),
		        at == 0 ? bad_entries[_i].error : HQQ_ERR_TIMEOUT);
		pair_close(&pair);
	}
}
END_TEST

/* ---- reading ----------------------------------------------------------------------------------- */

START_TEST(a_read_takes_what_is_there)
{
	struct iovec *vectors;
	struct room room;
	struct pair pair;

	pair_open(&pair, 8, SIZE);
	vectors = make_room(&room, SIZE);
	MUST_EQ(hqq_standard_read_batch(pair.side[1], vectors, 5), HQQ_ERR_TIMEOUT);
	MUST_EQ(vectors[0].iov_len, SIZE);
	send_text(pair.side[0], "a");
	send_text(pair.side[0], "bb");
	send_text(pair.side[0], "ccc");
	MUST_EQ(hqq_standard_read_batch(pair.side[1], vectors, 5), 3);
	expect_vector(&vectors[0], "a");
	expect_vector(&vectors[1], "bb");
	expect_vector(&vectors[2], "ccc");
	/* vectors without a message are left as they were */
	MUST_EQ(vectors[3].iov_len, SIZE);
	send_text(pair.side[0], "dddd");
	send_text(pair.side[0], "e");
	vectors = make_room(&room, SIZE);
	MUST_EQ(hqq_standard_read_batch(pair.side[1], vectors, 1), 1);
	expect_vector(&vectors[0], "dddd");
	MUST_EQ(hqq_standard_pending(pair.side[1]), 1);
	pair_close(&pair);
}
END_TEST

START_TEST(entries_to_read_into_that_are_none)
{
	struct iovec *vectors;
	struct room room;
	struct pair pair;

	pair_open(&pair, 4, SIZE);
	send_text(pair.side[0], "stays");
	vectors = make_room(&room, SIZE);
	vectors[1].iov_base = NULL;
	MUST_EQ(hqq_standard_read_batch(pair.side[1], vectors, 2), HQQ_ERR_INVALID_OP);
	vectors = make_room(&room, SIZE);
	vectors[0].iov_len = 0;
	MUST_EQ(hqq_standard_read_batch(pair.side[1], vectors, 2), HQQ_ERR_INVALID_SIZE);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 1);
	MUST_EQ(hqq_standard_read_batch(pair.side[1], make_room(&room, SIZE), 2), 1);
	pair_close(&pair);
}
END_TEST

START_TEST(a_long_message_is_cut_and_ends_the_batch)
{
	struct iovec *vectors;
	struct room room;
	struct pair pair;

	pair_open(&pair, 8, SIZE);
	send_text(pair.side[0], "abc");
	send_text(pair.side[0], "defghij");
	send_text(pair.side[0], "klm");
	vectors = make_room(&room, 4);
	/* what fits, up to the long one; that one comes first in the next call */
	MUST_EQ(hqq_standard_read_batch(pair.side[1], vectors, 4), 1);
	expect_vector(&vectors[0], "abc");
	vectors = make_room(&room, 4);
	MUST_EQ(hqq_standard_read_batch(pair.side[1], vectors, 4), 1);
	expect_vector(&vectors[0], "defg");
	/* the tail, then the messages behind it */
	vectors = make_room(&room, 4);
	MUST_EQ(hqq_standard_read_batch(pair.side[1], vectors, 4), 2);
	expect_vector(&vectors[0], "hij");
	expect_vector(&vectors[1], "klm");
	expect_empty(pair.side[1]);
	pair_close(&pair);
}
END_TEST

START_TEST(a_tail_longer_than_its_vector)
{
	struct iovec *vectors;
	struct room room;
	struct pair pair;

	pair_open(&pair, 8, SIZE);
	send_text(pair.side[0], "abcdefghij");
	send_text(pair.side[0], "next");
	vectors = make_room(&room, 3);
	MUST_EQ(hqq_standard_read_batch(pair.side[1], vectors, 3), 1);
	expect_vector(&vectors[0], "abc");
	vectors = make_room(&room, 3);
	MUST_EQ(hqq_standard_read_batch(pair.side[1], vectors, 3), 1);
	expect_vector(&vectors[0], "def");
	vectors = make_room(&room, SIZE);
	MUST_EQ(hqq_standard_read_batch(pair.side[1], vectors, 1), 1);
	expect_vector(&vectors[0], "ghij");
	expect_text(pair.side[1], "next");
	pair_close(&pair);
}
END_TEST

START_TEST(vectors_of_different_lengths)
{
	struct iovec vectors[3];
	struct pair pair;
	char bytes[SIZE];

	pair_open(&pair, 8, SIZE);
	send_text(pair.side[0], "12");
	send_text(pair.side[0], "1234");
	send_text(pair.side[0], "123456");
	vectors[0] = (struct iovec){ bytes, 2 };
	vectors[1] = (struct iovec){ bytes + 2, 4 };
	vectors[2] = (struct iovec){ bytes + 6, 5 };
	MUST_EQ(hqq_standard_read_batch(pair.side[1], vectors, 3), 2);
	MUST(memcmp(bytes, "121234", 6) == 0);
	MUST_EQ(vectors[2].iov_len, 5);
	expect_text(pair.side[1], "123456");
	pair_close(&pair);
}
END_TEST

START_TEST(tombstones_in_between_take_no_vector)
{
	struct iovec *vectors;
	struct room room;
	struct pair pair;

	pair_open(&pair, 16, SIZE);
	send_tombstone(pair.side[0]);
	send_text(pair.side[0], "one");
	send_tombstone(pair.side[0]);
	send_tombstone(pair.side[0]);
	send_text(pair.side[0], "two");
	send_text(pair.side[0], "three");
	send_tombstone(pair.side[0]);
	vectors = make_room(&room, SIZE);
	MUST_EQ(hqq_standard_read_batch(pair.side[1], vectors, 3), 3);
	expect_vector(&vectors[0], "one");
	expect_vector(&vectors[1], "two");
	expect_vector(&vectors[2], "three");
	expect_empty(pair.side[1]);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 0);
	/* nothing but tombstones is nothing */
	send_tombstone(pair.side[0]);
	send_tombstone(pair.side[0]);
	MUST_EQ(hqq_standard_read_batch(pair.side[1], make_room(&room, SIZE), 3), HQQ_ERR_TIMEOUT);
	pair_close(&pair);
}
END_TEST

START_TEST(held_slots_end_a_batch)
{
	struct hqq_reservation reservation;
	struct iovec *vectors;
	struct room room;
	struct pair pair;

	pair_open(&pair, 8, SIZE);
	send_text(pair.side[0], "before");
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &reservation), 0);
	send_text(pair.side[0], "after");
	vectors = make_room(&room, SIZE);
	MUST_EQ(hqq_standard_read_batch(pair.side[1], vectors, 8), 1);
	expect_vector(&vectors[0], "before");
	memcpy(reservation.data, "held", 4);
	MUST_EQ(hqq_standard_commit(&reservation, 4), 0);
	vectors = make_room(&room, SIZE);
	MUST_EQ(hqq_standard_read_batch(pair.side[1], vectors, 8), 2);
	expect_vector(&vectors[0], "held");
	expect_vector(&vectors[1], "after");
	pair_close(&pair);
}
END_TEST

START_TEST(an_interrupt_holds_for_batches_too)
{
	struct iovec vector = text("refused");
	struct pair pair;

	pair_open(&pair, 4, SIZE);
	send_text(pair.side[0], "waits");
	MUST_EQ(hqq_standard_interrupt(pair.side[0]), 0);
	MUST_EQ(hqq_standard_interrupt(pair.side[1]), 0);
	MUST_EQ(hqq_standard_write_batch(pair.side[0], &vector, 1), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_standard_read_batch(pair.side[1], &vector, 1), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_standard_resume(pair.side[0]), 0);
	MUST_EQ(hqq_standard_resume(pair.side[1]), 0);
	expect_text(pair.side[1], "waits");
	pair_close(&pair);
}
END_TEST

/* ---- runs longer than a ring, and than one claim can name -------------------------------------- */

static uint64_t numbers[MANY], arrived[MANY];
static struct iovec out[MANY], in[MANY];

static void make_many(void)
{
	size_t i;

	memset(arrived, 0xff, sizeof(arrived));
	for (i = 0; i < MANY; i++) {
		numbers[i] = i;
		out[i] = (struct iovec){ &numbers[i], sizeof(numbers[i]) };
		in[i] = (struct iovec){ &arrived[i], sizeof(arrived[i]) };
	}
}

START_TEST(more_than_a_claim_holds)
{
	struct pair pair;
	size_t i;

	make_many();
	pair_open(&pair, 4096, 8);
	MUST_EQ(hqq_standard_write_batch(pair.side[0], out, MANY), 4096);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 4096);
	MUST_EQ(hqq_standard_read_batch(pair.side[1], in, 2500), 2500);
	MUST_EQ(hqq_standard_write_batch(pair.side[0], out + 4096, MANY - 4096), MANY - 4096);
	MUST_EQ(hqq_standard_read_batch(pair.side[1], in + 2500, MANY - 2500), MANY - 2500);
	for (i = 0; i < MANY; i++)
		MUST_EQ(arrived[i], i);
	expect_empty(pair.side[1]);
	pair_close(&pair);
}
END_TEST

START_TEST(more_than_the_ring_holds)
{
	size_t written = 0, read = 0, i;
	struct pair pair;

	make_many();
	pair_open(&pair, 64, 8);
	while (read < MANY) {
		ssize_t n = written < MANY
				    ? hqq_standard_write_batch(pair.side[0], out + written, MANY - written)
				    : 0;

		MUST_EQ(n, MANY - written < 64 ? MANY - written : 64);
		written += (size_t)n;
		n = hqq_standard_read_batch(pair.side[1], in + read, MANY - read);
		MUST_EQ(n, written - read);
		read += (size_t)n;
	}
	for (i = 0; i < MANY; i++)
		MUST_EQ(arrived[i], i);
	pair_close(&pair);
}
END_TEST

/* Short ones, longer ones and those of which one fills a part that is published on its own. */
static size_t mixed_length(size_t i)
{
	static const size_t lengths[] = { 1, 64, 4096, 16384, 20000, 3, 16383, 1 };

	return lengths[i % (sizeof(lengths) / sizeof(lengths[0]))];
}

START_TEST(long_and_short_in_one_batch)
{
	enum { COUNT = 100, LARGEST = 20000 };
	unsigned char *bytes = malloc((size_t)2 * COUNT * LARGEST);
	struct iovec to[COUNT], from[COUNT];
	struct pair pair;
	size_t done = 0, i;

	MUST(bytes != NULL);
	pair_open(&pair, 128, LARGEST);
	for (i = 0; i < COUNT; i++) {
		from[i] = (struct iovec){ bytes + i * LARGEST, mixed_length(i) };
		to[i] = (struct iovec){ bytes + (COUNT + i) * LARGEST, LARGEST };
		memset(from[i].iov_base, (int)i + 1, from[i].iov_len);
	}
	MUST_EQ(hqq_standard_write_batch(pair.side[0], from, COUNT), COUNT);
	MUST_EQ(hqq_standard_pending(pair.side[1]), COUNT);
	while (done < COUNT) {
		ssize_t n = hqq_standard_read_batch(pair.side[1], to + done, COUNT - done);

		MUST(n > 0);
		done += (size_t)n;
	}
	for (i = 0; i < COUNT; i++) {
		MUST_EQ(to[i].iov_len, from[i].iov_len);
		MUST(memcmp(to[i].iov_base, from[i].iov_base, from[i].iov_len) == 0);
	}
	expect_empty(pair.side[1]);
	pair_close(&pair);
	free(bytes);
}
END_TEST

enum { LONG = 65536 };

/* Dies while it copies the second message, whose bytes cannot be read. */
static int write_short_and_die(void *name)
{
	const struct rlimit no_core = { 0, 0 };
	void *unreadable = mmap(NULL, LONG, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec both[2] = { text("short"), { unreadable, LONG } };
	hqq_standard *handle;

	MUST(unreadable != MAP_FAILED);
	MUST(setrlimit(RLIMIT_CORE, &no_core) == 0);
	MUST(signal(SIGSEGV, SIG_DFL) != SIG_ERR);
	MUST_EQ(hqq_standard_open(&handle, name, 4, LONG, NULL), 0);
	hqq_standard_write_batch(handle, both, 2);
	return 0;
}

START_TEST(a_short_message_does_not_wait_for_a_long_one)
{
	const char *name = test_name("late");
	hqq_standard *handle;
	struct child child;

	MUST_EQ(hqq_standard_create(&handle, name, 4, LONG, 0600, NULL), 0);
	child_start(&child, write_short_and_die, (void *)(uintptr_t)name);
	ck_assert_int_eq(child_join(&child), -SIGSEGV);
	MUST_EQ(hqq_standard_set_deadline(handle, &passed), 0);
	expect_text(handle, "short");
	MUST_EQ(hqq_standard_close(handle), 0);
}
END_TEST

/* ---- waiting: for the first only, in another thread -------------------------------------------- */

static struct pair shared;
static struct test_quota quota;

/* Index 0 writes. How many next? */
static size_t wanted(unsigned int index, size_t done)
{
	uint64_t left = index == 0 ? test_quota_next(&quota, done, 100) : test_quota_left(&quota, done);

	return (size_t)(left < 100 ? left : 100);
}

static void write_or_read_all(void *argument, unsigned int index)
{
	size_t done = 0, want;

	(void)argument;
	while ((want = wanted(index, done)) > 0) {
		ssize_t n = index == 0 ? hqq_standard_write_batch(shared.side[0], out + done, want)
		                       : hqq_standard_read_batch(shared.side[1], in + done, want);

		MUST(n > 0 && (size_t)n <= want);
		done += (size_t)n;
	}
}

START_TEST(batches_between_threads)
{
	struct timespec deadline = test_in_ms(25000 * test_slowness());
	size_t i;

	make_many();
	pair_open(&shared, (size_t)2 << _i, 8);
	MUST_EQ(hqq_standard_set_deadline(shared.side[0], &deadline), 0);
	MUST_EQ(hqq_standard_set_deadline(shared.side[1], &deadline), 0);
	test_quota_begin(&quota, MANY, MANY / 10);
	test_run_threads(2, write_or_read_all, NULL);
	for (i = 0; i < test_quota_count(&quota); i++)
		MUST_EQ(arrived[i], i);
	MUST_EQ(hqq_standard_set_deadline(shared.side[1], &passed), 0);
	expect_empty(shared.side[1]);
	pair_close(&shared);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("batches");
	TCase *cases = test_case(suite, "writing", 20);

	tcase_add_test(cases, a_batch_is_that_many_messages);
	tcase_add_test(cases, a_write_goes_as_far_as_there_is_room);
	tcase_add_test(cases, a_batch_of_nothing);
	tcase_add_loop_test(cases, a_bad_entry_ends_the_batch_before_it, 0,
	                    sizeof(bad_entries) / sizeof(bad_entries[0]));

	cases = test_case(suite, "reading", 20);
	tcase_add_test(cases, a_read_takes_what_is_there);
	tcase_add_test(cases, entries_to_read_into_that_are_none);
	tcase_add_test(cases, a_long_message_is_cut_and_ends_the_batch);
	tcase_add_test(cases, a_tail_longer_than_its_vector);
	tcase_add_test(cases, vectors_of_different_lengths);
	tcase_add_test(cases, tombstones_in_between_take_no_vector);
	tcase_add_test(cases, held_slots_end_a_batch);
	tcase_add_test(cases, an_interrupt_holds_for_batches_too);

	cases = test_case(suite, "long runs", 40);
	tcase_add_test(cases, more_than_a_claim_holds);
	tcase_add_test(cases, more_than_the_ring_holds);
	tcase_add_test(cases, long_and_short_in_one_batch);
	tcase_add_test(cases, a_short_message_does_not_wait_for_a_long_one);
	tcase_add_loop_test(cases, batches_between_threads, 0, 6);
	return test_main(suite);
}
