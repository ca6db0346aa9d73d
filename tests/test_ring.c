/*
 * test_ring.c - claim, publish, release on a bare ring: laps, runs, lanes, threads
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "ring.h"
#include "superblock.h"
#include "support.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 16

static unsigned char *memory;
static struct hqq_geometry geometry;
static struct hqq_ring ring;
static _Atomic uint64_t lane, other_lane;

static void make_ring(size_t count, uint64_t start)
{
	size_t i;

	MUST_EQ(hqq_geometry_init(&geometry, count, SIZE), 0);
	memory = test_map_memory(geometry.layout_size);
	MUST(hqq_superblock_win(memory));
	hqq_superblock_initialise(memory, &geometry);
	hqq_ring_init(&ring, memory, &geometry, 1);
	/* as after start messages */
	*ring.read_cursor = start;
	*ring.write_cursor = start;
	for (i = 0; i < count; i++)
		hqq_ring_element(&ring, start + i)->sequence = start + i;
	lane = 0;
	other_lane = 0;
}

static void drop_ring(void)
{
	test_unmap(memory, geometry.layout_size);
}

static bool claim(enum hqq_claim_kind kind, uint64_t *position)
{
	return hqq_ring_claim(&ring, &lane, kind, false, position);
}

static uint32_t claim_run(enum hqq_claim_kind kind, uint32_t max, uint64_t *position)
{
	return hqq_ring_claim_run(&ring, &lane, kind, false, max, NULL, NULL, position);
}

/* Also where the 52 bits of a lane, or the cursors themselves, wrap. */
static const uint64_t starts[] = { 0, 1, 7, (UINT64_C(1) << 52) - 3, UINT64_MAX - 5 };

#define STARTS (int)(sizeof(starts) / sizeof(starts[0]))

START_TEST(a_slot_goes_round)
{
	uint64_t start = starts[_i], expected, got = 0;

	make_ring(4, start);
	for (expected = start; expected != start + 13; expected++) {
		ck_assert(hqq_ring_is_ready(&ring, HQQ_CLAIM_WRITE));
		ck_assert(!hqq_ring_is_ready(&ring, HQQ_CLAIM_READ));
		ck_assert(!claim(HQQ_CLAIM_READ, &got));
		ck_assert(claim(HQQ_CLAIM_WRITE, &got));
		ck_assert_uint_eq(got, expected);
		/* claimed is not there yet */
		ck_assert(!claim(HQQ_CLAIM_READ, &got));
		hqq_ring_publish(&ring, expected);
		ck_assert(hqq_ring_is_ready(&ring, HQQ_CLAIM_READ));
		ck_assert(claim(HQQ_CLAIM_READ, &got));
		ck_assert_uint_eq(got, expected);
		hqq_ring_release(&ring, expected);
	}
	drop_ring();
}
END_TEST

START_TEST(full_and_empty)
{
	uint64_t start = starts[_i], got = 0, i;

	make_ring(4, start);
	for (i = 0; i < 4; i++) {
		ck_assert_uint_eq(hqq_ring_depth(&ring), i);
		ck_assert(claim(HQQ_CLAIM_WRITE, &got));
		hqq_ring_publish(&ring, got);
	}
	ck_assert_uint_eq(hqq_ring_depth(&ring), 4);
	ck_assert(!claim(HQQ_CLAIM_WRITE, &got));
	ck_assert(!hqq_ring_is_ready(&ring, HQQ_CLAIM_WRITE));
	for (i = 0; i < 4; i++) {
		ck_assert(claim(HQQ_CLAIM_READ, &got));
		ck_assert_uint_eq(got, start + i);
		/* taken is not free yet */
		ck_assert_int_eq(claim(HQQ_CLAIM_WRITE, &got), false);
		hqq_ring_release(&ring, start + i);
		ck_assert(claim(HQQ_CLAIM_WRITE, &got));
		ck_assert_uint_eq(got, start + 4 + i);
		hqq_ring_publish(&ring, got);
	}
	ck_assert_uint_eq(hqq_ring_depth(&ring), 4);
	drop_ring();
}
END_TEST

START_TEST(finished_out_of_order)
{
	uint64_t position[3], got = 0;
	int i;

	make_ring(4, 0);
	for (i = 0; i < 3; i++)
		ck_assert(claim(HQQ_CLAIM_WRITE, &position[i]));
	hqq_ring_publish(&ring, position[2]);
	hqq_ring_publish(&ring, position[1]);
	ck_assert(!claim(HQQ_CLAIM_READ, &got));
	hqq_ring_publish(&ring, position[0]);
	ck_assert_uint_eq(claim_run(HQQ_CLAIM_READ, 4, &got), 3);
	hqq_ring_release(&ring, 1);
	hqq_ring_release(&ring, 2);
	ck_assert(claim(HQQ_CLAIM_WRITE, &got));
	ck_assert_uint_eq(got, 3);
	ck_assert(!claim(HQQ_CLAIM_WRITE, &got));
	hqq_ring_release(&ring, 0);
	ck_assert_uint_eq(claim_run(HQQ_CLAIM_WRITE, 8, &got), 3);
	ck_assert_uint_eq(got, 4);
	drop_ring();
}
END_TEST

START_TEST(runs_take_what_is_there)
{
	uint64_t got = 0;
	uint32_t i;

	make_ring(8, 6);
	ck_assert_uint_eq(claim_run(HQQ_CLAIM_WRITE, 3, &got), 3);
	ck_assert_uint_eq(got, 6);
	ck_assert_uint_eq(claim_run(HQQ_CLAIM_WRITE, 100, &got), 5);
	ck_assert_uint_eq(got, 9);
	ck_assert_uint_eq(claim_run(HQQ_CLAIM_WRITE, 1, &got), 0);
	ck_assert_uint_eq(claim_run(HQQ_CLAIM_READ, 8, &got), 0);
	for (i = 0; i < 8; i++) {
		if (i != 4)
			hqq_ring_publish(&ring, 6 + i);
	}
	ck_assert_uint_eq(claim_run(HQQ_CLAIM_READ, 8, &got), 4);
	ck_assert_uint_eq(got, 6);
	ck_assert_uint_eq(claim_run(HQQ_CLAIM_READ, 8, &got), 0);
	drop_ring();
}
END_TEST

struct wish {
	uint32_t limit; /* positions that may join */
	uint32_t asked; /* 1 + the last index asked for */
};

static bool fits_limit(const struct hqq_ring *asked_of, uint64_t position, uint32_t index, void *argument)
{
	struct wish *wish = argument;

	MUST(asked_of == &ring);
	MUST(hqq_ring_is_turn(asked_of, HQQ_CLAIM_WRITE, position));
	MUST_EQ(index, index == 0 ? 0 : wish->asked);
	wish->asked = index + 1;
	return index < wish->limit;
}

START_TEST(a_run_ends_where_the_caller_says)
{
	struct wish wish = { 3, 0 };
	uint64_t got = 99;

	make_ring(8, 0);
	ck_assert_uint_eq(
		hqq_ring_claim_run(&ring, &lane, HQQ_CLAIM_WRITE, false, 8, fits_limit, &wish, &got), 3);
	ck_assert_uint_eq(got, 0);
	wish.limit = 0;
	ck_assert_uint_eq(
		hqq_ring_claim_run(&ring, &lane, HQQ_CLAIM_WRITE, false, 8, fits_limit, &wish, &got), 0);
	ck_assert_uint_eq(*ring.write_cursor, 3);
	drop_ring();
}
END_TEST

START_TEST(the_lane_names_what_is_claimed)
{
	uint64_t got = 0;

	make_ring(8, 5);
	ck_assert_uint_eq(claim_run(HQQ_CLAIM_WRITE, 4, &got), 4);
	ck_assert_uint_eq(lane, hqq_claim_word(HQQ_CLAIM_WRITE, 5, 4));
	hqq_ring_publish(&ring, 5);
	ck_assert(claim(HQQ_CLAIM_READ, &got));
	ck_assert_uint_eq(lane, hqq_claim_word(HQQ_CLAIM_READ, 5, 1));
	/* who gets nothing names nothing */
	ck_assert(!claim(HQQ_CLAIM_READ, &got));
	ck_assert_uint_eq(lane, 0);
	drop_ring();
}
END_TEST

START_TEST(claims_alone_are_the_same)
{
	uint64_t got = 0;

	make_ring(4, 2);
	ck_assert_uint_eq(hqq_ring_claim_run(&ring, &lane, HQQ_CLAIM_WRITE, true, 3, NULL, NULL, &got), 3);
	ck_assert_uint_eq(got, 2);
	ck_assert_uint_eq(lane, hqq_claim_word(HQQ_CLAIM_WRITE, 2, 3));
	ck_assert_uint_eq(*ring.write_cursor, 5);
	hqq_ring_publish(&ring, 2);
	ck_assert(hqq_ring_claim(&ring, &other_lane, HQQ_CLAIM_READ, true, &got));
	ck_assert_uint_eq(got, 2);
	ck_assert_uint_eq(*ring.read_cursor, 3);
	ck_assert(!hqq_ring_claim(&ring, &other_lane, HQQ_CLAIM_READ, true, &got));
	ck_assert_uint_eq(other_lane, 0);
	drop_ring();
}
END_TEST

START_TEST(depth_is_clamped)
{
	make_ring(4, 10);
	*ring.write_cursor = 1000;
	ck_assert_uint_eq(hqq_ring_depth(&ring), 4);
	*ring.write_cursor = 9;
	ck_assert_uint_eq(hqq_ring_depth(&ring), 0);
	*ring.write_cursor = 0;
	*ring.read_cursor = UINT64_MAX;
	ck_assert_uint_eq(hqq_ring_depth(&ring), 1);
	drop_ring();
}
END_TEST

/* Whatever the words say, a claim comes back, and what it names lies inside the ring. */
START_TEST(garbage_in_the_words)
{
	uint64_t seed = test_seed(), got = 0;
	int round;

	make_ring(4, 0);
	for (round = 0; round < 20000; round++) {
		uint64_t noise = test_random(&seed);
		uint32_t count;

		*(noise & 1 ? ring.read_cursor : ring.write_cursor) = test_random(&seed);
		hqq_ring_element(&ring, noise >> 8)->sequence =
			*ring.read_cursor + (noise >> 4 & 3) + (noise & 4 ? test_random(&seed) : 0);
		count = claim_run(noise & 2 ? HQQ_CLAIM_READ : HQQ_CLAIM_WRITE, 1 + (noise >> 40 & 1023),
				  &got);
		ck_assert_uint_le(count, 4);
		ck_assert_uint_le(hqq_ring_depth(&ring), 4);
	}
	drop_ring();
}
END_TEST

/* ---- threads: each position to one writer and one reader, in order, with the writer's bytes ---- */

#define WRITERS 3
#define READERS 3
#define MAX_RUN 5

static struct {
	_Atomic uint64_t messages;          /* in all; less where the time did not do for them */
	_Atomic uint64_t written, read;
	uint64_t end_ns;
	_Atomic unsigned char taken[200000]; /* by number */
} traffic;

static void write_some(_Atomic uint64_t *own_lane, uint64_t *seed)
{
	uint32_t want = 1 + (uint32_t)(test_random(seed) % MAX_RUN), count, i;
	uint64_t position = 0;

	count = hqq_ring_claim_run(&ring, own_lane, HQQ_CLAIM_WRITE, false, want, NULL, NULL, &position);
	for (i = 0; i < count; i++) {
		uint64_t *payload = hqq_ring_buffer(&ring, position + i);

		payload[0] = position + i;
		payload[1] = ~(position + i);
		hqq_ring_publish(&ring, position + i);
	}
	if (count == 0)
		sched_yield();
	atomic_fetch_add_explicit(&traffic.written, count, memory_order_relaxed);
}

static void read_some(_Atomic uint64_t *own_lane, uint64_t *seed)
{
	uint32_t want = 1 + (uint32_t)(test_random(seed) % MAX_RUN), count, i;
	uint64_t position = 0;

	count = hqq_ring_claim_run(&ring, own_lane, HQQ_CLAIM_READ, false, want, NULL, NULL, &position);
	for (i = 0; i < count; i++) {
		const uint64_t *payload = hqq_ring_buffer(&ring, position + i);

		MUST(payload[0] == position + i && payload[1] == ~(position + i));
		if (position + i < sizeof(traffic.taken))
			MUST_EQ(atomic_fetch_add_explicit(&traffic.taken[position + i], 1,
			                                  memory_order_relaxed),
			        0);
		hqq_ring_release(&ring, position + i);
	}
	if (count == 0)
		sched_yield();
	atomic_fetch_add_explicit(&traffic.read, count, memory_order_relaxed);
}

static void move(void *argument, unsigned int index)
{
	static _Alignas(64) _Atomic uint64_t lanes[WRITERS + READERS][8];
	uint64_t seed = index, rounds;

	(void)argument;
	if (index < WRITERS) {
		while (atomic_load_explicit(&traffic.written, memory_order_relaxed) < traffic.messages)
			write_some(lanes[index], &seed);
		return;
	}
	for (rounds = 1; atomic_load_explicit(&traffic.read, memory_order_relaxed) < traffic.messages; rounds++) {
		read_some(lanes[index], &seed);
		/* a thread that yields a busy processor gets it back late */
		if (rounds % 64 == 0 && test_now_ns() > traffic.end_ns)
			traffic.messages = atomic_load_explicit(&traffic.read, memory_order_relaxed);
	}
}

START_TEST(between_threads)
{
	uint64_t i;

	make_ring((size_t)2 << _i, 0);
	memset(&traffic, 0, sizeof(traffic));
	traffic.end_ns = test_now_ns() + UINT64_C(15000000000) * test_slowness();
	traffic.messages = sizeof(traffic.taken) / test_slowness() / (_i == 0 ? 4 : 1);
	test_run_threads(WRITERS + READERS, move, NULL);
	ck_assert_uint_gt(traffic.messages, 0);
	for (i = 0; i < traffic.messages; i++)
		ck_assert_uint_eq(traffic.taken[i], 1);
	drop_ring();
}
END_TEST

/* Long messages in rings that a cache keeps, those of a page in any. */
START_TEST(which_messages_are_touched)
{
	static const struct {
		size_t count, size, touched;
	} rings[] = {
		{ 2, 8, 8 },
		{ 16384, 4096, 4096 },
		{ 256, 4096, 4096 },
		{ 16, 65536, 65536 },
		{ 32, 65536, 4096 },
		{ 2, 524288, 524288 },
		{ 2, 524296, 4096 },
		{ 1024, 1024, 1024 },
	};
	size_t i;

	for (i = 0; i < sizeof(rings) / sizeof(rings[0]); i++) {
		struct hqq_geometry shape;
		struct hqq_ring made;

		ck_assert_int_eq(hqq_geometry_init(&shape, rings[i].count, rings[i].size), 0);
		hqq_ring_init(&made, (void *)(uintptr_t)4096, &shape, 0); /* which is not looked into */
		ck_assert_uint_eq(made.touched, rings[i].touched);
	}
}
END_TEST

START_TEST(long_messages_are_taken_in_pieces)
{
	static const size_t sizes[] = { 1, HQQ_TOUCH_PIECE, HQQ_TOUCH_PIECE + 1, 3 * HQQ_TOUCH_PIECE - 1, 65536 };
	const struct hqq_ring rules[] = { { .touched = 65536 }, { .touched = 4096 } };
	unsigned char *from = malloc(65536), *to = malloc(65536 + 1), *as_it_was = malloc(65536);
	size_t i, k;

	for (i = 0; i < 65536; i++)
		from[i] = as_it_was[i] = (unsigned char)(i * 31 >> 4);
	for (k = 0; k < 2; k++) {
		for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			memset(to, 0xee, 65536 + 1);
			hqq_ring_take(&rules[k], to, from, sizes[i]);
			ck_assert_mem_eq(to, as_it_was, sizes[i]);
			ck_assert_uint_eq(to[sizes[i]], 0xee);
			ck_assert_mem_eq(from, as_it_was, 65536);
		}
	}
	free(from);
	free(to);
	free(as_it_was);
}
END_TEST

/* Lines are written, but nothing changes, whatever size the packet claims. */
START_TEST(a_touched_message_is_as_it_was)
{
	static const uint64_t sizes[] = { 0, 1, SIZE - 1, SIZE, SIZE + 1, 64, 4096, 4097, UINT64_MAX };
	unsigned char before[8 * SIZE];
	size_t i;

	make_ring(8, 0);
	for (i = 0; i < sizeof(before); i++)
		before[i] = (unsigned char)(7 * i + 1);
	memcpy(hqq_ring_buffer(&ring, 0), before, sizeof(before));
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		hqq_ring_touch(&ring, hqq_ring_buffer(&ring, 0), sizes[i]);
		hqq_ring_touch(&ring, hqq_ring_buffer(&ring, 7), sizes[i]);
		ck_assert_mem_eq(hqq_ring_buffer(&ring, 0), before, sizeof(before));
	}
	drop_ring();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ring");
	TCase *cases = test_case(suite, "one thread", 20);

	tcase_add_loop_test(cases, a_slot_goes_round, 0, STARTS);
	tcase_add_loop_test(cases, full_and_empty, 0, STARTS);
	tcase_add_test(cases, finished_out_of_order);
	tcase_add_test(cases, runs_take_what_is_there);
	tcase_add_test(cases, a_run_ends_where_the_caller_says);
	tcase_add_test(cases, the_lane_names_what_is_claimed);
	tcase_add_test(cases, claims_alone_are_the_same);
	tcase_add_test(cases, depth_is_clamped);
	tcase_add_test(cases, garbage_in_the_words);
	tcase_add_test(cases, which_messages_are_touched);
	tcase_add_test(cases, long_messages_are_taken_in_pieces);
	tcase_add_test(cases, a_touched_message_is_as_it_was);

	cases = test_case(suite, "threads", 40);
	tcase_add_loop_test(cases, between_threads, 0, 3);
	return test_main(suite);
}
