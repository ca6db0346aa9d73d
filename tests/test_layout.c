/*
 * test_layout.c - geometry: the size function, where things lie, large messages
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "layout.h"
#include "support.h"

#include <hqq.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t up(uint64_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

/* The table of the protocol, with plain arithmetic; 0 for what no object of this machine can hold. */
static uint64_t size_by_table(uint64_t count, uint64_t size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t buffers_0 = up(page + 512 + 72 * count);
	uint64_t ring_1 = up(buffers_0 + count * size);
	uint64_t buffers_1 = up(ring_1 + 512 + 72 * count);
	uint64_t end = up(buffers_1 + count * size);

	return end <= PTRDIFF_MAX ? end : 0;
}

START_TEST(sizes_of_the_table)
{
	size_t count, size;

	for (count = 2; count <= 65536; count *= 2) {
		for (size = 8; size <= 65536; size = size < 512 ? size + 8 : size * 2 + 8)
			ck_assert_uint_eq(hqq_standard_size(count, size), size_by_table(count, size));
	}
	if (sysconf(_SC_PAGESIZE) == 4096)
		ck_assert_uint_eq(hqq_standard_size(4, 64), 0x5000);
}
END_TEST

START_TEST(offsets_of_the_table)
{
	struct hqq_geometry geometry;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t count, size = 24;

	for (count = 2; count <= 4096; count *= 2, size += 1000) {
		ck_assert_int_eq(hqq_geometry_init(&geometry, count, size), 0);
		ck_assert_uint_eq(geometry.page_size, page);
		ck_assert_uint_eq(geometry.buffer_count, count);
		ck_assert_uint_eq(geometry.buffer_size, size);
		ck_assert_uint_eq(geometry.ring_offset[0], page);
		ck_assert_uint_eq(geometry.buffers_offset[0], up(page + 512 + 72 * count));
		ck_assert_uint_eq(geometry.ring_offset[1], up(geometry.buffers_offset[0] + count * size));
		ck_assert_uint_eq(geometry.buffers_offset[1], up(geometry.ring_offset[1] + 512 + 72 * count));
		ck_assert_uint_eq(geometry.layout_size, size_by_table(count, size));
	}
}
END_TEST

START_TEST(geometry_that_there_is_none_of)
{
	const struct {
		size_t count, size;
		int error;
	} bad[] = {
		{ 0, 64, HQQ_ERR_INVALID_SIZE },   { 1, 64, HQQ_ERR_INVALID_SIZE },
		{ 3, 64, HQQ_ERR_INVALID_SIZE },   { 6, 64, HQQ_ERR_INVALID_SIZE },
		{ 1000, 64, HQQ_ERR_INVALID_SIZE }, { SIZE_MAX, 64, HQQ_ERR_INVALID_SIZE },
		{ 4, 0, HQQ_ERR_INVALID_SIZE },    { 4, 1, HQQ_ERR_INVALID_SIZE },
		{ 4, 7, HQQ_ERR_INVALID_SIZE },    { 4, 9, HQQ_ERR_MEMORY_ALIGN },
		{ 4, 12, HQQ_ERR_MEMORY_ALIGN },   { 4, SIZE_MAX, HQQ_ERR_MEMORY_ALIGN },
	};
	struct hqq_geometry geometry = { .page_size = 1 };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_uint_eq(hqq_standard_size(bad[i].count, bad[i].size), 0);
		ck_assert_int_eq(hqq_geometry_init(&geometry, bad[i].count, bad[i].size), bad[i].error);
	}
	ck_assert_uint_eq(geometry.page_size, 1);
}
END_TEST

/* Every pair of powers of two: either the exact size, or 0 where it cannot be counted. */
START_TEST(overflow_gives_zero)
{
	const unsigned int bits = sizeof(size_t) * 8;
	unsigned int count_bit, size_bit;

	for (count_bit = 1; count_bit < bits; count_bit++) {
		for (size_bit = 3; size_bit < bits; size_bit++) {
			size_t count = (size_t)1 << count_bit, size = (size_t)1 << size_bit;
			size_t result = hqq_standard_size(count, size);

			if (count_bit + size_bit + 1 >= bits - 1 || count_bit + 7 + 1 >= bits)
				ck_assert_uint_eq(result, 0);
			else if (count_bit + size_bit + 2 < bits - 1 && count_bit + 7 + 2 < bits - 1)
				ck_assert_uint_eq(result, size_by_table(count, size));
		}
	}
	ck_assert_uint_eq(hqq_standard_size(2, SIZE_MAX - 7), 0);
	ck_assert_uint_eq(hqq_standard_size(2, SIZE_MAX / 4 + 1), 0);
	ck_assert_uint_eq(hqq_standard_size((size_t)1 << (bits - 1), 8), 0);
}
END_TEST

START_TEST(large_is_what_does_not_fit_a_buffer)
{
	size_t size;

	for (size = 8; size < 10000; size += 8) {
		ck_assert_uint_eq(hqq_large_message_threshold(size), size);
		ck_assert(!hqq_is_large_message(size, 0));
		ck_assert(!hqq_is_large_message(size, size - 1));
		ck_assert(!hqq_is_large_message(size, size));
		ck_assert(hqq_is_large_message(size, size + 1));
		ck_assert(hqq_is_large_message(size, SIZE_MAX));
	}
	ck_assert_uint_eq(hqq_large_message_threshold(0), 0);
	ck_assert_uint_eq(hqq_large_message_threshold(7), 0);
	ck_assert_uint_eq(hqq_large_message_threshold(9), 0);
	ck_assert_uint_eq(hqq_large_message_threshold(SIZE_MAX), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("layout");
	TCase *cases = test_case(suite, "layout", 20);

	tcase_add_test(cases, sizes_of_the_table);
	tcase_add_test(cases, offsets_of_the_table);
	tcase_add_test(cases, geometry_that_there_is_none_of);
	tcase_add_test(cases, overflow_gives_zero);
	tcase_add_test(cases, large_is_what_does_not_fit_a_buffer);
	return test_main(suite);
}
