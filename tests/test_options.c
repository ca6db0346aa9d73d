/*
 * test_options.c - struct hqq_options: sizes older and newer than ours, unknown values, all ways in
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.h"

#include <errno.h>
#include <hqq.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 4
#define SIZE 64

/* Options of a later release: ours, and fields that we do not know. */
struct later_options {
	struct hqq_options known;
	unsigned char tail[40];
};

static unsigned char *memory;
static const char *name;
static hqq_standard *existing; /* for the two ways that open something */

static void make_segments(void)
{
	memory = test_map_memory(hqq_standard_size(COUNT, SIZE));
	name = test_name("options");
	ck_assert_int_eq(hqq_standard_create_fd(&existing, COUNT, SIZE, NULL), 0);
}

static void drop_segments(void)
{
	ck_assert_int_eq(hqq_standard_close(existing), 0);
	test_unmap(memory, hqq_standard_size(COUNT, SIZE));
}

static int by_attach(hqq_standard **handle, const struct hqq_options *options)
{
	return hqq_standard_attach(handle, memory, hqq_standard_size(COUNT, SIZE), COUNT, SIZE, options);
}

static int by_create(hqq_standard **handle, const struct hqq_options *options)
{
	return hqq_standard_create(handle, name, COUNT, SIZE, 0600, options);
}

static int by_create_fd(hqq_standard **handle, const struct hqq_options *options)
{
	return hqq_standard_create_fd(handle, COUNT, SIZE, options);
}

static int by_open(hqq_standard **handle, const struct hqq_options *options)
{
	hqq_standard *maker;
	int rc;

	MUST_EQ(hqq_standard_create(&maker, name, COUNT, SIZE, 0600, NULL), 0);
	rc = hqq_standard_open(handle, name, COUNT, SIZE, options);
	MUST_EQ(hqq_standard_close(maker), 0);
	return rc;
}

static int by_open_fd(hqq_standard **handle, const struct hqq_options *options)
{
	return hqq_standard_open_fd(handle, hqq_standard_fd(existing), COUNT, SIZE, options);
}

static int (*const ways[])(hqq_standard **, const struct hqq_options *) = {
	by_attach, by_create, by_create_fd, by_open, by_open_fd,
};

#define WAYS (int)(sizeof(ways) / sizeof(ways[0]))

/* This way in with these options gives rc; a handle exactly when that is 0. */
static void expect(int way, const void *options, int rc)
{
	hqq_standard *handle = NULL;

	MUST_EQ(ways[way](&handle, options), rc);
	MUST_EQ(handle != NULL, rc == 0);
	MUST_EQ(hqq_standard_close(handle), 0);
}

START_TEST(defaults)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;

	ck_assert_uint_eq(options.struct_size, sizeof(options));
	ck_assert_uint_eq(options.role, HQQ_ROLE_AUTO);
	ck_assert_uint_eq(options.wait, HQQ_WAIT_ADAPTIVE);
	ck_assert_uint_eq(options.flags, 0);
	expect(_i, NULL, 0);
	expect(_i, &options, 0);
}
END_TEST

START_TEST(an_older_callers_struct)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;

	/* what lies beyond its size is not looked at */
	memset(&options, 0xff, sizeof(options));
	options.struct_size = sizeof(options.struct_size);
	expect(_i, &options, 0);
	options.role = HQQ_ROLE_AUTO;
	options.struct_size = offsetof(struct hqq_options, wait);
	expect(_i, &options, 0);
	options.wait = HQQ_WAIT_BLOCK;
	options.struct_size = offsetof(struct hqq_options, flags);
	expect(_i, &options, 0);
	options.flags = HQQ_PEER_EOF;
	options.struct_size = offsetof(struct hqq_options, spin_ns);
	expect(_i, &options, 0);
}
END_TEST

START_TEST(a_later_callers_struct)
{
	struct later_options options;
	size_t i;

	memset(&options, 0, sizeof(options));
	options.known = (struct hqq_options)HQQ_OPTIONS_INIT;
	options.known.struct_size = sizeof(options);
	expect(_i, &options, 0);
	for (i = 0; i < sizeof(options.tail); i++) {
		options.tail[i] = 1;
		expect(_i, &options, -E2BIG);
		options.tail[i] = 0;
	}
	/* and not a byte beyond its size */
	options.known.struct_size = sizeof(options) - 1;
	options.tail[sizeof(options.tail) - 1] = 1;
	expect(_i, &options, 0);
}
END_TEST

START_TEST(sizes_that_nobody_sets)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	const size_t sizes[] = { 0, 1, sizeof(size_t) - 1, SIZE_MAX, SIZE_MAX / 2 };
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		options.struct_size = sizes[i];
		expect(_i, &options, HQQ_ERR_INVALID_SIZE);
	}
}
END_TEST

START_TEST(values_that_nothing_knows)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	unsigned int bit;

	options.role = HQQ_ROLE_SECONDARY + 1;
	expect(_i, &options, HQQ_ERR_INVALID_OP);
	options.role = UINT32_MAX;
	expect(_i, &options, HQQ_ERR_INVALID_OP);
	options.role = HQQ_ROLE_AUTO;
	options.wait = HQQ_WAIT_BLOCK + 1;
	expect(_i, &options, HQQ_ERR_INVALID_OP);
	options.wait = UINT32_MAX;
	expect(_i, &options, HQQ_ERR_INVALID_OP);
	options.wait = HQQ_WAIT_ADAPTIVE;
	for (bit = 6; bit < 64; bit++) {
		options.flags = UINT64_C(1) << bit;
		expect(_i, &options, HQQ_ERR_INVALID_OP);
	}
}
END_TEST

START_TEST(wishes_and_wait_policies)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;

	for (options.wait = 0; options.wait <= HQQ_WAIT_BLOCK; options.wait++)
		expect(_i, &options, 0);
	options.wait = HQQ_WAIT_ADAPTIVE;
	options.spin_ns = UINT64_MAX;
	expect(_i, &options, 0);
	options.flags = HQQ_HUGEPAGES | HQQ_PREFAULT | HQQ_REPLACE_STALE | HQQ_PEER_EOF;
	expect(_i, &options, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *cases = test_case(suite, "options", 20);

	/* inside the span of the leak guard: fixtures nest */
	tcase_add_checked_fixture(cases, make_segments, drop_segments);
	tcase_add_loop_test(cases, defaults, 0, WAYS);
	tcase_add_loop_test(cases, an_older_callers_struct, 0, WAYS);
	tcase_add_loop_test(cases, a_later_callers_struct, 0, WAYS);
	tcase_add_loop_test(cases, sizes_that_nobody_sets, 0, WAYS);
	tcase_add_loop_test(cases, values_that_nothing_knows, 0, WAYS);
	tcase_add_loop_test(cases, wishes_and_wait_policies, 0, WAYS);
	return test_main(suite);
}
