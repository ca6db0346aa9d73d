/*
 * test_claim.c - small boxes that recovery and the wire rest on: claim words, packets, clock,
 *	installing the extension block, the pool of handles
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "claim.h"
#include "clock.h"
#include "extension.h"
#include "packet.h"
#include "pool.h"
#include "support.h"

#include <hqq.h>
#include <string.h>

#define POSITION_MASK ((UINT64_C(1) << 52) - 1)

/* ---- claim words ------------------------------------------------------------------------------- */

static const uint64_t positions[] = {
	0, 1, 2, 63, 1023, 1024, 1 << 20, POSITION_MASK - 1, POSITION_MASK, POSITION_MASK + 1,
	POSITION_MASK + 2, UINT64_C(5) << 52, UINT64_MAX - 2000, UINT64_MAX - 1, UINT64_MAX,
};

#define POSITIONS (int)(sizeof(positions) / sizeof(positions[0]))

static const uint32_t counts[] = { 1, 2, 3, 64, 1000, 1023, 1024 };

START_TEST(a_lane_word_tells_what_went_in)
{
	size_t i;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		uint64_t writing = hqq_claim_word(HQQ_CLAIM_WRITE, positions[_i], counts[i]);
		uint64_t reading = hqq_claim_word(HQQ_CLAIM_READ, positions[_i], counts[i]);

		ck_assert_int_eq(hqq_claim_kind(writing), HQQ_CLAIM_WRITE);
		ck_assert_int_eq(hqq_claim_kind(reading), HQQ_CLAIM_READ);
		ck_assert_uint_eq(hqq_claim_count(writing), counts[i]);
		ck_assert_uint_eq(hqq_claim_count(reading), counts[i]);
		ck_assert_uint_ne(writing, reading);
		ck_assert_uint_ne(writing, 0);
	}
	ck_assert_int_eq(hqq_claim_kind(0), HQQ_CLAIM_NONE);
}
END_TEST

START_TEST(a_lane_word_covers_its_run_and_no_more)
{
	const uint64_t p = positions[_i];
	size_t i;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		uint64_t word = hqq_claim_word(HQQ_CLAIM_WRITE, p, counts[i]), n;

		for (n = 0; n < counts[i]; n++) {
			ck_assert(hqq_claim_covers(word, HQQ_CLAIM_WRITE, p + n));
			ck_assert(!hqq_claim_covers(word, HQQ_CLAIM_READ, p + n));
		}
		ck_assert(!hqq_claim_covers(word, HQQ_CLAIM_WRITE, p - 1));
		ck_assert(!hqq_claim_covers(word, HQQ_CLAIM_WRITE, p + counts[i]));
		ck_assert(!hqq_claim_covers(word, HQQ_CLAIM_WRITE, p + 100000));
	}
	ck_assert(!hqq_claim_covers(0, HQQ_CLAIM_WRITE, p));
	ck_assert(!hqq_claim_covers(0, HQQ_CLAIM_READ, p));
}
END_TEST

START_TEST(the_full_position_behind_a_word)
{
	const uint64_t p = positions[_i], behind[] = { 0, 1, 5, 1024, UINT64_C(1) << 40 };
	size_t i;

	for (i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
		uint64_t word = hqq_claim_word(HQQ_CLAIM_READ, p, 7);

		ck_assert_uint_eq(hqq_claim_position(word, p + behind[i]), p);
	}
}
END_TEST

START_TEST(tags_tell_endpoint_kind_and_position)
{
	unsigned int a, b;

	for (a = 0; a < HQQ_ENDPOINTS; a++) {
		uint64_t tag = hqq_claim_tag(HQQ_CLAIM_WRITE, a, positions[_i]);

		ck_assert_int_eq(hqq_claim_kind(tag), HQQ_CLAIM_WRITE);
		ck_assert_uint_ne(tag, hqq_claim_tag(HQQ_CLAIM_READ, a, positions[_i]));
		ck_assert_uint_ne(tag, hqq_claim_tag(HQQ_CLAIM_WRITE, a, positions[_i] + 1));
		ck_assert_uint_ne(tag, 0);
		for (b = 0; b < a; b++)
			ck_assert_uint_ne(tag, hqq_claim_tag(HQQ_CLAIM_WRITE, b, positions[_i]));
	}
}
END_TEST

/* ---- packets ----------------------------------------------------------------------------------- */

START_TEST(packets_are_little_endian_on_every_host)
{
	struct hqq_element element;
	const unsigned char copy[] = { 0xff, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1 };
	const unsigned char *bytes = (const unsigned char *)&element;
	unsigned int word;

	memset(&element, 0xaa, sizeof(element));
	hqq_packet_set_standard(&element, HQQ_OP_STANDARD_COPY, UINT64_C(0x0102030405060708), 3, 0x1234);
	ck_assert_mem_eq(bytes, copy, sizeof(copy));
	ck_assert_uint_eq(bytes[16], 3);
	ck_assert_uint_eq(bytes[24], 0x34);
	ck_assert_uint_eq(bytes[25], 0x12);
	for (word = 32; word < 64; word++)
		ck_assert_uint_eq(bytes[word], 0);
	/* the sequence word is not a packet's business */
	ck_assert_uint_eq(bytes[64], 0xaa);
	ck_assert_uint_eq(hqq_packet_get(&element, HQQ_WORD_COPY_ID), UINT64_C(0x0102030405060708));
	ck_assert_uint_eq(hqq_packet_get(&element, HQQ_WORD_SIZE), 0x1234);
	ck_assert_uint_eq(hqq_packet_opcode(&element), HQQ_OP_STANDARD_COPY);
	/* only the low byte of word 0 is the opcode */
	hqq_packet_set(&element, HQQ_WORD_OPCODE, UINT64_C(0xdeadbeefcafe00fe));
	ck_assert_uint_eq(hqq_packet_opcode(&element), HQQ_OP_STANDARD_TOMBSTONE);
}
END_TEST

/* ---- clock ------------------------------------------------------------------------------------- */

START_TEST(deadlines_from_timespecs)
{
	const struct timespec epoch = { 0, 0 }, before = { -1, 0 }, some = { 3, 7 };
	struct timespec far = { 0, 999999999 }, back;

	ck_assert_uint_eq(hqq_clock_deadline(NULL), HQQ_NO_DEADLINE);
	/* never "none" by accident */
	ck_assert_uint_eq(hqq_clock_deadline(&epoch), 1);
	ck_assert_uint_eq(hqq_clock_deadline(&before), 1);
	ck_assert_uint_eq(hqq_clock_deadline(&some), UINT64_C(3000000007));
	if (sizeof(far.tv_sec) == 8) {
		far.tv_sec = (time_t)INT64_MAX;
		ck_assert_uint_eq(hqq_clock_deadline(&far), UINT64_MAX);
	}
	back = hqq_clock_timespec(UINT64_C(3000000007));
	ck_assert_int_eq(back.tv_sec, 3);
	ck_assert_int_eq(back.tv_nsec, 7);
}
END_TEST

START_TEST(deadlines_pass_and_compare)
{
	const uint64_t now = hqq_clock_now();

	ck_assert(hqq_clock_passed(1, now));
	ck_assert(hqq_clock_passed(now, now));
	ck_assert(!hqq_clock_passed(now + 1, now));
	ck_assert(!hqq_clock_passed(HQQ_NO_DEADLINE, now));
	ck_assert(!hqq_clock_passed(UINT64_MAX, now));
	ck_assert_uint_eq(hqq_clock_after(UINT64_MAX), UINT64_MAX);
	ck_assert_uint_ge(hqq_clock_after(10), now + 10);
	ck_assert_uint_eq(hqq_clock_earlier(HQQ_NO_DEADLINE, 5), 5);
	ck_assert_uint_eq(hqq_clock_earlier(5, HQQ_NO_DEADLINE), 5);
	ck_assert_uint_eq(hqq_clock_earlier(HQQ_NO_DEADLINE, HQQ_NO_DEADLINE), HQQ_NO_DEADLINE);
	ck_assert_uint_eq(hqq_clock_earlier(5, 4), 4);
	ck_assert_uint_eq(hqq_clock_earlier(4, 5), 4);
}
END_TEST

START_TEST(timespecs_that_are_none)
{
	const struct timespec good = { 1, 999999999 }, large = { 1, 1000000000 }, negative = { 1, -1 };

	ck_assert(hqq_clock_valid(NULL));
	ck_assert(hqq_clock_valid(&good));
	ck_assert(!hqq_clock_valid(&large));
	ck_assert(!hqq_clock_valid(&negative));
}
END_TEST

/* ---- extension block --------------------------------------------------------------------------- */

static _Alignas(64) struct hqq_extension block;

START_TEST(a_blank_block_is_installed_once)
{
	memset(&block, 0, sizeof(block));
	ck_assert(hqq_extension_install(&block));
	ck_assert_uint_eq(block.magic, HQQ_EXTENSION_MAGIC);
	ck_assert_uint_eq(block.version, HQQ_EXTENSION_VERSION);
	/* in use by then */
	block.joined[0] = 1;
	block.entries[3].identity = hqq_identity(1234, HQQ_ENTRY_LIVE, HQQ_ENTRY_LOCKED, 1, 0);
	ck_assert(hqq_extension_install(&block));
	ck_assert_uint_eq(block.joined[0], 1);
}
END_TEST

START_TEST(what_is_not_ours_is_left_alone)
{
	struct hqq_extension before;
	size_t i;

	for (i = 0; i < sizeof(block); i++) {
		memset(&block, 0, sizeof(block));
		((unsigned char *)&block)[i] = 1;
		memcpy(&before, &block, sizeof(before));
		/* the version's word alone may have been stored by an installer that died just then */
		if (i / 8 == 1)
			continue;
		ck_assert_msg(!hqq_extension_install(&block), "byte %zu", i);
		ck_assert_mem_eq(&block, &before, sizeof(block));
	}
	memset(&block, 0, sizeof(block));
	block.magic = HQQ_EXTENSION_MAGIC;
	block.version = HQQ_EXTENSION_VERSION + 1;
	ck_assert(!hqq_extension_install(&block));
}
END_TEST

START_TEST(an_identity_tells_its_parts)
{
	const int pid = 4194303; /* the highest that the kernel gives */
	const uint64_t identity = hqq_identity(pid, HQQ_ENTRY_LEFT, HQQ_ENTRY_SECONDARY | HQQ_ENTRY_ADVANCED,
					       4095 + 4096, 0xf01234ab);
	const uint64_t freed = hqq_identity_freed(identity);

	ck_assert_int_eq(hqq_identity_pid(identity), pid);
	ck_assert_uint_eq(hqq_identity_state(identity), HQQ_ENTRY_LEFT);
	ck_assert_uint_eq(hqq_identity_flags(identity), HQQ_ENTRY_SECONDARY | HQQ_ENTRY_ADVANCED);
	ck_assert_int_eq(hqq_identity_mode(identity), HQQ_MODE_SECONDARY);
	ck_assert_int_eq(hqq_identity_lanes_mode(identity), HQQ_MODE_PRIMARY);
	ck_assert_uint_eq(hqq_identity_count(identity), 4095);
	ck_assert_uint_eq(hqq_identity_namespace(identity), 0x234ab);
	ck_assert_uint_eq(hqq_identity_in_state(identity, HQQ_ENTRY_LIVE),
			  hqq_identity(pid, HQQ_ENTRY_LIVE, HQQ_ENTRY_SECONDARY | HQQ_ENTRY_ADVANCED, 4095,
				       0xf01234ab));
	ck_assert_uint_eq(hqq_identity_state(freed), HQQ_ENTRY_FREE);
	ck_assert_uint_eq(hqq_identity_count(freed), 4095);
	ck_assert_uint_eq(freed & ~(HQQ_IDENTITY_COUNT_MASK << 32), 0);
	ck_assert_int_eq(hqq_identity_mode(hqq_identity(1, HQQ_ENTRY_LIVE, 0, 0, 0)), HQQ_MODE_PRIMARY);
	ck_assert_uint_eq(hqq_entry_offset(0), 512);
	ck_assert_uint_eq(hqq_entry_offset(HQQ_ENDPOINTS - 1), 4096 - 64);
}
END_TEST

/* ---- pool -------------------------------------------------------------------------------------- */

#define OBJECT_SIZE 100

static struct hqq_pool pool = { .object_size = OBJECT_SIZE };

START_TEST(a_pool_gives_each_object_once)
{
	unsigned char *first = hqq_pool_take(&pool), *second = hqq_pool_take(&pool), *again;
	size_t i;

	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_nonnull(second);
	ck_assert_ptr_ne(first, second);
	for (i = 0; i < OBJECT_SIZE; i++)
		ck_assert_uint_eq(first[i], 0);
	memset(first, 1, OBJECT_SIZE);
	memset(second, 2, OBJECT_SIZE);
	ck_assert_uint_eq(first[OBJECT_SIZE - 1], 1);
	hqq_pool_give(first);
	again = hqq_pool_take(&pool);
	ck_assert_ptr_eq(again, first);
	/* as it was left: that is what makes a stale handle safe to ask */
	ck_assert_uint_eq(again[0], 1);
	hqq_pool_give(again);
	hqq_pool_give(second);
}
END_TEST

static void take_and_give(void *argument, unsigned int index)
{
	int round;

	(void)argument;
	for (round = 0; round < 5000; round++) {
		_Atomic uint64_t *word = hqq_pool_take(&pool);

		MUST(word != NULL);
		MUST_EQ(atomic_load_explicit(word, memory_order_relaxed), 0);
		atomic_store_explicit(word, index + 1, memory_order_relaxed);
		MUST_EQ(atomic_load_explicit(word, memory_order_relaxed), index + 1);
		atomic_store_explicit(word, 0, memory_order_relaxed);
		hqq_pool_give((void *)(uintptr_t)word);
	}
}

START_TEST(a_pool_between_threads)
{
	struct hqq_pool fresh = { .object_size = OBJECT_SIZE };

	pool = fresh;
	test_run_threads(4, take_and_give, NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("claim");
	TCase *cases = test_case(suite, "claim words", 20);

	tcase_add_loop_test(cases, a_lane_word_tells_what_went_in, 0, POSITIONS);
	tcase_add_loop_test(cases, a_lane_word_covers_its_run_and_no_more, 0, POSITIONS);
	tcase_add_loop_test(cases, the_full_position_behind_a_word, 0, POSITIONS);
	tcase_add_loop_test(cases, tags_tell_endpoint_kind_and_position, 0, POSITIONS);

	cases = test_case(suite, "small boxes", 20);
	tcase_add_test(cases, packets_are_little_endian_on_every_host);
	tcase_add_test(cases, deadlines_from_timespecs);
	tcase_add_test(cases, deadlines_pass_and_compare);
	tcase_add_test(cases, timespecs_that_are_none);
	tcase_add_test(cases, a_blank_block_is_installed_once);
	tcase_add_test(cases, what_is_not_ours_is_left_alone);
	tcase_add_test(cases, an_identity_tells_its_parts);
	tcase_add_test(cases, a_pool_gives_each_object_once);
	tcase_add_test(cases, a_pool_between_threads);
	return test_main(suite);
}
