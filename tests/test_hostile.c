/*
 * test_hostile.c - a peer that writes anything anywhere
 *
 * It may stop or garble its own link; the library may not crash, reach outside the segment, hand
 * out more than a buffer, or fail to come back by its deadline. The segment lies between two
 * pages that nobody may touch. What a read call copies is not looked at: a peer may write that.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "foreign.h"
#include "support.h"

#include <hqq.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define COUNT 8
#define SIZE 64
#define CANARY 0xc7

struct arena {
	struct foreign_layout at;
	unsigned char *fence; /* the page before */
	unsigned char *base;
	size_t length, page;
	hqq_standard *side[2];
	uint64_t state;
	bool stop;
};

static void arena_open(struct arena *arena)
{
	int side;

	arena->stop = false;
	arena->page = (size_t)sysconf(_SC_PAGESIZE);
	MUST(foreign_layout(&arena->at, COUNT, SIZE, arena->page));
	arena->length = (size_t)arena->at.total;
	arena->fence = test_map_memory(arena->length + 2 * arena->page);
	arena->base = arena->fence + arena->page;
	MUST_EQ(mprotect(arena->fence, arena->page, PROT_NONE), 0);
	MUST_EQ(mprotect(arena->base + arena->length, arena->page, PROT_NONE), 0);
	for (side = 0; side < 2; side++)
		MUST_EQ(hqq_standard_attach(&arena->side[side], arena->base, arena->length, COUNT, SIZE,
		                            NULL), 0);
}

static void arena_close(struct arena *arena)
{
	int side;

	for (side = 0; side < 2; side++)
		MUST_EQ(hqq_standard_close(arena->side[side]), 0);
	test_unmap(arena->fence, arena->length + 2 * arena->page);
}

/* ---- the peer ---------------------------------------------------------------------------------- */

/* Words that hurt more than plain noise does. */
static uint64_t nasty_word(uint64_t *state)
{
	uint64_t dice = test_random(state);

	switch (dice % 8) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
		return dice >> 32 & 15; /* a small position */
	case 3:
		return (uint64_t)1 << (dice >> 32 & 63);
	case 4:
		return 0xff;
	case 5:
		return UINT64_MAX - (dice >> 32 & 15);
	default:
		return test_random(state);
	}
}

/* Somewhere in the superblock, the extension block or a ring, never in a buffer. */
static uint64_t nasty_place(const struct arena *arena, uint64_t *state)
{
	uint64_t dice = test_random(state), ring = arena->at.ring[dice >> 8 & 1];

	switch (dice % 4) {
	case 0:
		return 8 * (test_random(state) % 512);
	case 1:
		return ring + 24; /* r */
	case 2:
		return ring + 128; /* w */
	default:
		return ring + 8 * (test_random(state) % (arena->at.ring_bytes / 8));
	}
}

static void scribble(const struct arena *arena, uint64_t *state)
{
	uint64_t *word = (uint64_t *)(void *)(arena->base + nasty_place(arena, state));

	__atomic_store_n(word, nasty_word(state), __ATOMIC_RELAXED);
}

/* ---- the calls --------------------------------------------------------------------------------- */

/* A result is one of those that the manual knows for a call that waits. */
static void expect_known(ssize_t result, ssize_t most)
{
	if (result >= 0)
		MUST(result <= most);
	else
		MUST(result == HQQ_ERR_TIMEOUT || result == HQQ_ERR_INVALID_OP);
}

static void expect_inside(const struct arena *arena, const void *data, size_t size)
{
	const unsigned char *at = data;
	int i;

	MUST(size >= 1 && size <= SIZE);
	for (i = 0; i < 2; i++) {
		const unsigned char *buffers = arena->base + arena->at.buffers[i];

		if (at >= buffers && at + size <= buffers + arena->at.buffer_bytes)
			return;
	}
	test_must_failed(__FILE__, __LINE__, "%p lies outside the buffers", data);
}

static int look(const void *data, size_t length, void *argument)
{
	expect_inside(argument, data, length);
	return 0;
}

static ssize_t fill(void *data, size_t capacity, void *argument)
{
	expect_inside(argument, data, capacity);
	memset(data, 1, capacity);
	return (ssize_t)capacity;
}

static void make_reservations(struct arena *arena, hqq_standard *handle)
{
	struct hqq_reservation held;
	int result = hqq_standard_reserve_write(handle, &held);

	expect_known(result, 0);
	if (result == 0) {
		expect_inside(arena, held.data, held.size);
		MUST(held.slot < COUNT);
		expect_known(hqq_standard_commit(&held, 5), 0);
	}
	result = hqq_standard_reserve_read(handle, &held);
	expect_known(result, 0);
	if (result == 0) {
		expect_inside(arena, held.data, held.size);
		MUST(held.slot < COUNT);
		expect_known(hqq_standard_release(&held), 0);
	}
}

static void make_batches(hqq_standard *handle)
{
	unsigned char bytes[4][SIZE + 1];
	struct iovec messages[4];
	ssize_t count, i;

	memset(bytes, CANARY, sizeof(bytes));
	for (i = 0; i < 4; i++)
		messages[i] = (struct iovec){ bytes[i], SIZE };
	expect_known(hqq_standard_write_batch(handle, messages, 4), 4);
	count = hqq_standard_read_batch(handle, messages, 4);
	expect_known(count, 4);
	for (i = 0; i < 4; i++) {
		MUST_EQ(bytes[i][SIZE], CANARY);
		MUST(i >= count || (messages[i].iov_len >= 1 && messages[i].iov_len <= SIZE));
	}
}

static void make_all_calls(struct arena *arena, hqq_standard *handle)
{
	struct timespec soon = test_in_ms(2);
	unsigned char bytes[SIZE + 1];
	struct hqq_stats stats;
	uint64_t start = test_now_ns();

	memset(bytes, CANARY, sizeof(bytes));
	MUST_EQ(hqq_standard_set_deadline(handle, &soon), 0);
	expect_known(hqq_standard_write(handle, "hello", 5), 5);
	expect_known(hqq_standard_read(handle, bytes, SIZE), SIZE);
	expect_known(hqq_standard_read(handle, bytes, 3), 3);
	MUST_EQ(bytes[SIZE], CANARY);
	expect_known(hqq_standard_read_zero_copy(handle, look, arena), SIZE);
	expect_known(hqq_standard_write_zero_copy(handle, fill, arena), SIZE);
	make_reservations(arena, handle);
	make_batches(handle);
	MUST(hqq_standard_pending(handle) >= 0 && hqq_standard_pending(handle) <= COUNT);
	MUST_EQ(hqq_standard_stats(handle, &stats), 0);
	MUST(hqq_standard_recover(handle) >= 0);
	MUST_EQ(hqq_standard_buffer_count(handle), COUNT);
	MUST_EQ(hqq_standard_buffer_size(handle), SIZE);
	/* a watchdog, not a measure */
	MUST(test_now_ns() - start < UINT64_C(20000000000) * test_slowness());
}

START_TEST(scribbled_segment)
{
	struct arena arena = { .state = test_seed() };
	int round, i;

	for (round = 0; round < 200; round++) {
		arena_open(&arena);
		for (i = 0; i < 1 + round % 40; i++)
			scribble(&arena, &arena.state);
		for (i = 0; i < 2; i++)
			make_all_calls(&arena, arena.side[i]);
		arena_close(&arena);
	}
}
END_TEST

static void scribble_or_call(void *argument, unsigned int index)
{
	struct arena *arena = argument;
	uint64_t state = arena->state;
	int round;

	if (index == 2) {
		while (!__atomic_load_n(&arena->stop, __ATOMIC_ACQUIRE)) {
			for (round = 0; round < 50; round++)
				scribble(arena, &state);
			usleep(20);
		}
		return;
	}
	for (round = 0; round < 150; round++)
		make_all_calls(arena, arena->side[index]);
	if (index == 0)
		__atomic_store_n(&arena->stop, true, __ATOMIC_RELEASE);
}

START_TEST(segment_that_is_being_scribbled_on)
{
	struct arena arena = { .state = test_seed() };

	arena_open(&arena);
	test_run_threads(3, scribble_or_call, &arena);
	arena_close(&arena);
}
END_TEST

/* ---- a call that a hostile peer holds up stays interruptible ------------------------------------ */

static void wait_or_interrupt(void *argument, unsigned int index)
{
	struct arena *arena = argument;
	char byte;

	if (index == 0) {
		MUST_EQ(hqq_standard_read(arena->side[0], &byte, 1), HQQ_ERR_CANCELED);
	} else {
		test_sleep_ms(100);
		MUST_EQ(hqq_standard_interrupt(arena->side[0]), 0);
	}
}

START_TEST(stuck_call_is_interruptible)
{
	const uint64_t cursors[] = { UINT64_MAX, 1, 7, (uint64_t)1 << 63 };
	struct arena arena = { .state = 0 };
	uint64_t *word;

	arena_open(&arena);
	/* messages that are announced and never come */
	word = (uint64_t *)(void *)(arena.base + arena.at.ring[1] + 128);
	__atomic_store_n(word, cursors[_i], __ATOMIC_RELAXED);
	test_run_threads(2, wait_or_interrupt, &arena);
	arena_close(&arena);
}
END_TEST

START_TEST(open_of_a_scribbled_segment)
{
	const char *name = test_name("scribbled");
	uint64_t state = test_seed();
	struct foreign creator;
	struct arena arena = { .state = 0 };
	int round, i;

	for (round = 0; round < 100; round++) {
		hqq_standard *handle = NULL;

		MUST_EQ(foreign_create(&creator, name, COUNT, SIZE, NULL), FOREIGN_OK);
		arena.at = creator.layout;
		arena.base = creator.base;
		/* the words before the state and the state itself stay, else every round takes a second */
		for (i = 0; i < 1 + round % 100; i++) {
			uint64_t place = nasty_place(&arena, &state);

			if (place >= 16)
				*(uint64_t *)(void *)(creator.base + place) = nasty_word(&state);
		}
		/* whether it opens is the segment's affair */
		if (hqq_standard_open(&handle, name, 0, 0, NULL) == 0)
			MUST_EQ(hqq_standard_close(handle), 0);
		else
			MUST(handle == NULL);
		foreign_close(&creator);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostile");
	TCase *cases = test_case(suite, "hostile", 60);

	tcase_add_test(cases, scribbled_segment);
	tcase_add_test(cases, segment_that_is_being_scribbled_on);
	tcase_add_loop_test(cases, stuck_call_is_interruptible, 0, 4);
	tcase_add_test(cases, open_of_a_scribbled_segment);
	return test_main(suite);
}
