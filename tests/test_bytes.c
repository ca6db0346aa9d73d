/*
 * test_bytes.c - the raw segment against the tables of the wire protocol
 *
 * Every test looks at the memory itself. Where a test repeats each operation on a model
 * (model.h), all bytes of both rings and both buffer regions are compared, so that padding,
 * unused tails, other slots and the other direction count as well.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "foreign.h"
#include "model.h"
#include "pair.h"
#include "support.h"

#include <hqq.h>
#include <string.h>
#include <unistd.h>

static bool has_small_pages(void)
{
	if (sysconf(_SC_PAGESIZE) == 4096)
		return true;
	test_skip("the recorded example needs pages of 4096 bytes, these have %ld", sysconf(_SC_PAGESIZE));
	return false;
}

static void expect_words(const unsigned char *at, const uint64_t *words, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		MUST_EQ(foreign_word(at, 8 * i), words[i]);
}

static void expect_zero(const unsigned char *at, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++)
		MUST_EQ(at[i], 0);
}

/* ---- the recorded example ---------------------------------------------------------------------- */

START_TEST(superblock_of_the_example)
{
	const uint64_t words[8] = { UINT64_C(0x4851515f53544c31), 2, 1, 0, 4096, 4, 64, 0x5000 };
	struct pair pair;

	if (!has_small_pages())
		return;
	pair_open(&pair, 4, 64);
	MUST_EQ(pair.length, 0x5000);
	expect_words(pair.raw, words, 8);
	MUST_EQ(hqq_standard_size(4, 64), 0x5000);
	pair_close(&pair);
}
END_TEST

START_TEST(rings_and_buffers_of_the_example)
{
	const uint64_t header[4] = { UINT64_C(0xc9d8c1d43f096701), 4, 2, 0 };
	const size_t rings[2] = { 0x1000, 0x3000 };
	struct pair pair;
	size_t i, slot;

	if (!has_small_pages())
		return;
	pair_open(&pair, 4, 64);
	for (i = 0; i < 2; i++) {
		const unsigned char *ring = pair.raw + rings[i];

		expect_words(ring, header, 4);
		expect_zero(ring + 32, 256 - 32); /* padding, w, padding */
		for (slot = 0; slot < 4; slot++) {
			expect_zero(ring + 256 + 72 * slot, 64);
			MUST_EQ(foreign_word(ring, 256 + 72 * slot + 64), slot);
		}
		expect_zero(ring + 256 + 72 * 4, 256); /* the tail */
		expect_zero(ring + 0x1000, 4 * 64);
	}
	pair_close(&pair);
}
END_TEST

START_TEST(packets_of_the_example)
{
	static const unsigned char hello[64] = { 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
		                                 0,    0, 0, 0, 0, 0, 0, 0, 0x12 };
	static const unsigned char aborted[64] = { 0xfe, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
		                                   1,    0, 0, 0, 0, 0, 0, 0, 6 };
	struct hqq_reservation reservation;
	struct pair pair;

	if (!has_small_pages())
		return;
	pair_open(&pair, 4, 64);
	MUST_EQ(hqq_standard_write(pair.side[0], "hello from primary", 18), 18);
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &reservation), 0);
	MUST_EQ(hqq_standard_abort(&reservation, 0), 0);

	MUST(memcmp(pair.raw + 0x1100, hello, 64) == 0);
	MUST_EQ(foreign_word(pair.raw, 0x1140), 1);
	MUST(memcmp(pair.raw + 0x1148, aborted, 64) == 0);
	MUST_EQ(foreign_word(pair.raw, 0x1188), 2);
	MUST_EQ(foreign_word(pair.raw, 0x1018), 0);
	MUST_EQ(foreign_word(pair.raw, 0x1080), 2);
	MUST(memcmp(pair.raw + 0x2000, "hello from primary", 18) == 0);
	expect_zero(pair.raw + 0x2000 + 18, 4 * 64 - 18);
	pair_close(&pair);
}
END_TEST

/* ---- initialisation ---------------------------------------------------------------------------- */

static const struct {
	size_t count, size;
} geometries[] = {
	{ 2, 8 },    { 2, 16 },   { 4, 64 },     { 4, 1024 },   { 8, 4096 },   { 16, 1000 },
	{ 64, 8 },   { 256, 24 }, { 128, 65536 }, { 1024, 128 }, { 8192, 8 },   { 2, 1048576 },
};

START_TEST(every_geometry_starts_as_the_tables_say)
{
	struct pair pair;

	pair_open(&pair, geometries[_i].count, geometries[_i].size);
	MODEL_SAME(&pair.model, pair.raw);
	MUST_EQ(hqq_standard_size(geometries[_i].count, geometries[_i].size), pair.model.at.total);
	pair_close(&pair);
}
END_TEST

START_TEST(primary_initialises_dirty_memory)
{
	hqq_standard *handle;
	struct model model;
	unsigned char *base;
	uint64_t i, page;

	model_init(&model, 4, 64);
	page = model.at.page;
	base = test_map_memory((size_t)model.at.total);
	memset(base, 0xa5, (size_t)model.at.total);
	memset(base + 8, 0, 8); /* the state: empty */
	MUST_EQ(hqq_standard_attach(&handle, base, (size_t)model.at.total, 4, 64, NULL), 0);
	MUST_EQ(hqq_standard_mode(handle), HQQ_MODE_PRIMARY);
	/* paddings and tails belong to nobody: the tables do not ask for zeroes there */
	for (i = page; i < model.at.total; i++) {
		uint64_t in_page = i % page;
		bool is_ring = (i / page) % 2 == 1;
		uint64_t end = is_ring ? 256 + 72 * 4 : 4 * 64;

		if (in_page >= end || (is_ring && in_page >= 32 && in_page < 128) ||
		    (is_ring && in_page >= 136 && in_page < 256))
			memcpy(base + i, model.bytes + i, 1);
	}
	MODEL_SAME(&model, base);
	MUST_EQ(hqq_standard_close(handle), 0);
	test_unmap(base, (size_t)model.at.total);
	model_free(&model);
}
END_TEST

START_TEST(more_endpoints_change_no_byte)
{
	hqq_standard *more[4];
	struct pair pair;
	struct hqq_options options = HQQ_OPTIONS_INIT;
	int i;

	pair_open(&pair, 4, 64);
	MUST_EQ(hqq_standard_write(pair.side[0], "x", 1), 1);
	model_write(&pair.model, 0, 1, "x", 1);
	options.role = HQQ_ROLE_PRIMARY;
	for (i = 0; i < 4; i++) {
		MUST_EQ(hqq_standard_open(&more[i], hqq_standard_name(pair.side[0]), 0, 0,
		                          i % 2 ? &options : NULL), 0);
		MODEL_SAME(&pair.model, pair.raw);
	}
	for (i = 0; i < 4; i++) {
		MUST_EQ(hqq_standard_close(more[i]), 0);
		MODEL_SAME(&pair.model, pair.raw);
	}
	pair_close(&pair);
}
END_TEST

START_TEST(copy_ids_count_per_handle)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_standard *twin;
	struct pair pair;

	pair_open(&pair, 8, 64);
	options.role = HQQ_ROLE_PRIMARY;
	MUST_EQ(hqq_standard_open(&twin, hqq_standard_name(pair.side[0]), 8, 64, &options), 0);
	MUST_EQ(hqq_standard_write(pair.side[0], "a", 1), 1);
	MUST_EQ(hqq_standard_write(twin, "b", 1), 1);
	MUST_EQ(hqq_standard_write(twin, "c", 1), 1);
	MUST_EQ(hqq_standard_write(pair.side[0], "d", 1), 1);
	MUST_EQ(hqq_standard_write(pair.side[1], "e", 1), 1);
	model_write(&pair.model, 0, 1, "a", 1);
	model_write(&pair.model, 0, 1, "b", 1);
	model_write(&pair.model, 0, 2, "c", 1);
	model_write(&pair.model, 0, 2, "d", 1);
	model_write(&pair.model, 1, 1, "e", 1);
	MODEL_SAME(&pair.model, pair.raw);
	MUST_EQ(hqq_standard_close(twin), 0);
	pair_close(&pair);
}
END_TEST

START_TEST(copy_ids_follow_the_claims)
{
	struct hqq_reservation first, second;
	struct pair pair;
	uint64_t a, b;

	pair_open(&pair, 4, 64);
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &first), 0);
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &second), 0);
	MUST_EQ(hqq_standard_write(pair.side[0], "third", 5), 5);
	memcpy(second.data, "second", 6);
	MUST_EQ(hqq_standard_commit(&second, 6), 0);
	memcpy(first.data, "first", 5);
	MUST_EQ(hqq_standard_commit(&first, 5), 0);

	a = model_claim(&pair.model, 0);
	b = model_claim(&pair.model, 0);
	model_write(&pair.model, 0, 3, "third", 5);
	model_fill(&pair.model, 0, b, "second", 6);
	model_publish(&pair.model, 0, b, FOREIGN_COPY, 2, 6);
	model_fill(&pair.model, 0, a, "first", 5);
	model_publish(&pair.model, 0, a, FOREIGN_COPY, 1, 5);
	MODEL_SAME(&pair.model, pair.raw);
	pair_close(&pair);
}
END_TEST

START_TEST(slots_wrap_and_cursors_do_not)
{
	unsigned char got[16];
	struct pair pair;
	uint64_t i;

	pair_open(&pair, 2, 16);
	for (i = 0; i < 100; i++) {
		unsigned char sent[16];
		size_t length = 1 + i % 16;
		int side = (int)(i / 10 % 2);

		test_fill(sent, length, i);
		MUST_EQ(hqq_standard_write(pair.side[side], sent, length), length);
		model_write(&pair.model, side, ++pair.copy_id[side], sent, length);
		MODEL_SAME(&pair.model, pair.raw);
		MUST_EQ(hqq_standard_read(pair.side[1 - side], got, sizeof(got)), length);
		model_read(&pair.model, side);
		MODEL_SAME(&pair.model, pair.raw);
	}
	MUST_EQ(foreign_word(pair.raw, pair.model.at.ring[0] + 128), 50);
	MUST_EQ(foreign_word(pair.raw, pair.model.at.ring[1] + 24), 50);
	pair_close(&pair);
}
END_TEST

START_TEST(extension_block_is_beside_the_superblock)
{
	struct pair pair;

	pair_open(&pair, 4, 64);
	MUST_EQ(foreign_word(pair.raw, 64), UINT64_C(0x4851515f45585431));
	pair_close(&pair);
}
END_TEST

/* ---- tombstones -------------------------------------------------------------------------------- */

struct scribble {
	const char *text; /* what the callback writes */
	ssize_t result;
};

static ssize_t scribble(void *data, size_t capacity, void *argument)
{
	const struct scribble *wish = argument;

	MUST_EQ(capacity, 64);
	memcpy(data, wish->text, strlen(wish->text));
	return wish->result;
}

static const struct {
	ssize_t result;
	ssize_t error;
	uint64_t reason;
} refused_callbacks[] = {
	{ 0, HQQ_ERR_INVALID_SIZE, 2 },
	{ 65, HQQ_ERR_BUFFER_OVERFLOW, 7 },
	{ PTRDIFF_MAX, HQQ_ERR_BUFFER_OVERFLOW, 7 },
	{ -1, -1, 6 },
	{ -5, -5, 6 },
	{ HQQ_ERR_MEMORY_SMALL, HQQ_ERR_MEMORY_SMALL, 3 },
	{ HQQ_ERR_TIMEOUT, HQQ_ERR_TIMEOUT, 6 },
};

START_TEST(refused_callback_leaves_a_tombstone)
{
	struct scribble wish = { "scribble", refused_callbacks[_i].result };
	struct pair pair;
	uint64_t position;

	pair_open(&pair, 4, 64);
	MUST_EQ(hqq_standard_write_zero_copy(pair.side[0], scribble, &wish), refused_callbacks[_i].error);
	position = model_claim(&pair.model, 0);
	model_fill(&pair.model, 0, position, "scribble", 8);
	model_publish(&pair.model, 0, position, FOREIGN_TOMBSTONE, 1, refused_callbacks[_i].reason);
	MODEL_SAME(&pair.model, pair.raw);
	/* the copy id is spent */
	MUST_EQ(hqq_standard_write(pair.side[0], "next", 4), 4);
	model_write(&pair.model, 0, 2, "next", 4);
	MODEL_SAME(&pair.model, pair.raw);
	pair_close(&pair);
}
END_TEST

static const struct {
	size_t size;
	int error;
	uint64_t reason;
} refused_commits[] = {
	{ 0, HQQ_ERR_INVALID_SIZE, 2 },
	{ 65, HQQ_ERR_BUFFER_OVERFLOW, 7 },
	{ SIZE_MAX, HQQ_ERR_BUFFER_OVERFLOW, 7 },
};

START_TEST(refused_commit_leaves_a_tombstone)
{
	struct hqq_reservation reservation;
	struct pair pair;

	pair_open(&pair, 4, 64);
	MUST_EQ(hqq_standard_reserve_write(pair.side[1], &reservation), 0);
	MUST_EQ(reservation.size, 64);
	MUST_EQ(hqq_standard_commit(&reservation, refused_commits[_i].size), refused_commits[_i].error);
	model_tombstone(&pair.model, 1, 1, refused_commits[_i].reason);
	MODEL_SAME(&pair.model, pair.raw);
	pair_close(&pair);
}
END_TEST

static const struct {
	uint64_t code, reason;
} aborts[] = { { 0, 6 }, { 1, 1 }, { 6, 6 }, { 7, 7 }, { 42, 42 }, { UINT64_MAX, UINT64_MAX } };

START_TEST(abort_leaves_a_tombstone_with_its_code)
{
	struct hqq_reservation reservation;
	struct pair pair;

	pair_open(&pair, 4, 64);
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &reservation), 0);
	MUST_EQ(hqq_standard_abort(&reservation, aborts[_i].code), 0);
	model_tombstone(&pair.model, 0, 1, aborts[_i].reason);
	MODEL_SAME(&pair.model, pair.raw);
	pair_close(&pair);
}
END_TEST

START_TEST(refused_writes_leave_nothing)
{
	struct hqq_reservation reservation;
	unsigned char bytes[65] = { 0 };
	struct pair pair;

	pair_open(&pair, 2, 64);
	MUST_EQ(hqq_standard_write(pair.side[0], bytes, 65), HQQ_ERR_BUFFER_OVERFLOW);
	MUST_EQ(hqq_standard_write(pair.side[0], bytes, 0), 0);
	MUST_EQ(hqq_standard_write(pair.side[0], NULL, 5), HQQ_ERR_INVALID_OP);
	MODEL_SAME(&pair.model, pair.raw);
	for (pair.copy_id[0] = 1; pair.copy_id[0] <= 2; pair.copy_id[0]++) {
		MUST_EQ(hqq_standard_write(pair.side[0], "ab", 2), 2);
		model_write(&pair.model, 0, pair.copy_id[0], "ab", 2);
	}
	MUST_EQ(hqq_standard_write(pair.side[0], "cd", 2), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &reservation), HQQ_ERR_TIMEOUT);
	MODEL_SAME(&pair.model, pair.raw);
	pair_close(&pair);
}
END_TEST

/* ---- sizes ------------------------------------------------------------------------------------- */

static void compare_size(uint64_t count, uint64_t size)
{
	struct foreign_layout layout;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t want = 0;

	if (count > SIZE_MAX || size > SIZE_MAX)
		return;
	/* what is longer than any object can be has no size either */
	if (foreign_layout(&layout, count, size, page) && layout.total <= PTRDIFF_MAX)
		want = layout.total;
	if (hqq_standard_size((size_t)count, (size_t)size) != want)
		test_must_failed(__FILE__, __LINE__, "hqq_standard_size(%#llx, %#llx) is %#zx, not %#llx",
		                 (unsigned long long)count, (unsigned long long)size,
		                 hqq_standard_size((size_t)count, (size_t)size), (unsigned long long)want);
}

START_TEST(size_at_the_edges)
{
	uint64_t near[68] = { 0, SIZE_MAX / 72, SIZE_MAX - 511, 3 };
	const size_t n = sizeof(near) / sizeof(near[0]);
	size_t i, j;
	int64_t shift;

	for (i = 0; i < 64; i++)
		near[4 + i] = (uint64_t)1 << i;

	for (i = 0; i < n; i++) {
		for (j = 0; j < n; j++) {
			for (shift = -16; shift <= 16; shift += 8)
				compare_size(near[i], near[j] + (uint64_t)shift);
		}
	}
}
END_TEST

START_TEST(size_of_random_geometries)
{
	uint64_t state = test_seed();
	unsigned int i, mended;

	for (i = 0; i < 200000 / test_slowness(); i++) {
		uint64_t count = test_random(&state) >> test_random(&state) % 64;
		uint64_t size = test_random(&state) >> test_random(&state) % 64;

		/* mostly sound numbers, else every answer were 0 */
		mended = (unsigned int)(test_random(&state) % 8);
		if (mended != 0)
			count = (uint64_t)1 << test_random(&state) % 64;
		if (mended > 1)
			size &= ~(uint64_t)7;
		compare_size(count, size);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bytes");
	TCase *cases = test_case(suite, "example", 20);

	tcase_add_test(cases, superblock_of_the_example);
	tcase_add_test(cases, rings_and_buffers_of_the_example);
	tcase_add_test(cases, packets_of_the_example);

	cases = test_case(suite, "segment", 30);
	tcase_add_loop_test(cases, every_geometry_starts_as_the_tables_say, 0,
	                    sizeof(geometries) / sizeof(geometries[0]));
	tcase_add_test(cases, primary_initialises_dirty_memory);
	tcase_add_test(cases, more_endpoints_change_no_byte);
	tcase_add_test(cases, copy_ids_count_per_handle);
	tcase_add_test(cases, copy_ids_follow_the_claims);
	tcase_add_test(cases, slots_wrap_and_cursors_do_not);
	tcase_add_test(cases, extension_block_is_beside_the_superblock);

	cases = test_case(suite, "tombstones", 20);
	tcase_add_loop_test(cases, refused_callback_leaves_a_tombstone, 0,
	                    sizeof(refused_callbacks) / sizeof(refused_callbacks[0]));
	tcase_add_loop_test(cases, refused_commit_leaves_a_tombstone, 0,
	                    sizeof(refused_commits) / sizeof(refused_commits[0]));
	tcase_add_loop_test(cases, abort_leaves_a_tombstone_with_its_code, 0,
	                    sizeof(aborts) / sizeof(aborts[0]));
	tcase_add_test(cases, refused_writes_leave_nothing);

	cases = test_case(suite, "sizes", 30);
	tcase_add_test(cases, size_at_the_edges);
	tcase_add_test(cases, size_of_random_geometries);
	return test_main(suite);
}
