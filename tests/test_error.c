/*
 * test_error.c - error codes, their texts, and the codes of the protocol
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.h"

#include <errno.h>
#include <hqq.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* In the order of the numbers: -18514 and down. */
static const int own_errors[] = {
	HQQ_ERR_MEMORY_ALIGN, HQQ_ERR_INVALID_SIZE,    HQQ_ERR_MEMORY_SMALL, HQQ_ERR_FAILED_INIT,
	HQQ_ERR_CONN_NOT_FOUND, HQQ_ERR_INVALID_OP,    HQQ_ERR_BUFFER_OVERFLOW, HQQ_ERR_TIMEOUT,
	HQQ_ERR_CANCELED,     HQQ_ERR_CLOSED,          HQQ_ERR_PEER_GONE,    HQQ_ERR_ABORTED,
	HQQ_ERR_RESPONSE,     HQQ_ERR_REJECTED,        HQQ_ERR_FORKED,       HQQ_ERR_CORRUPT,
};

#define OWN_ERRORS (sizeof(own_errors) / sizeof(own_errors[0]))
#define PROTOCOL_CODES 7

START_TEST(numbers_are_the_documented_ones)
{
	size_t i;

	for (i = 0; i < OWN_ERRORS; i++)
		ck_assert_int_eq(own_errors[i], -18514 - (int)i);
}
END_TEST

START_TEST(each_error_has_a_text_of_its_own)
{
	const char *unknown = hqq_strerror(-18514 - (int)OWN_ERRORS);
	size_t i, j;

	for (i = 0; i < OWN_ERRORS; i++) {
		ck_assert_ptr_nonnull(hqq_strerror(own_errors[i]));
		ck_assert_uint_gt(strlen(hqq_strerror(own_errors[i])), 4);
		ck_assert_str_ne(hqq_strerror(own_errors[i]), unknown);
		for (j = 0; j < i; j++)
			ck_assert_str_ne(hqq_strerror(own_errors[i]), hqq_strerror(own_errors[j]));
	}
}
END_TEST

START_TEST(system_errors_have_the_systems_text)
{
	const int numbers[] = { EPERM, ENOENT, EACCES, EEXIST, ENOMEM, ENOSPC, E2BIG, EBUSY, EUSERS, EINVAL };
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		ck_assert_str_eq(hqq_strerror(-numbers[i]), strerrordesc_np(numbers[i]));
}
END_TEST

START_TEST(any_number_has_some_text)
{
	const int numbers[] = {0,      1,      INT_MAX, INT_MIN, INT_MIN + 1, -4096,
			       -10000, -18513, -18530,  -20000,  18514};
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		ck_assert_ptr_nonnull(hqq_strerror(numbers[i]));
		ck_assert_uint_gt(strlen(hqq_strerror(numbers[i])), 0);
	}
}
END_TEST

static void ask_for_texts(void *argument, unsigned int index)
{
	int round;

	(void)argument;
	for (round = 0; round < 2000; round++) {
		const int unknown = -30000 - (int)index * 10000 - round;
		size_t i = (size_t)round % OWN_ERRORS;
		const char *before = hqq_strerror(own_errors[i]);
		char copy[256];

		/* a text given out is not changed by what anybody asks for later */
		snprintf(copy, sizeof(copy), "%s", before);
		MUST(hqq_strerror(unknown) != NULL);
		MUST(hqq_strerror(-(round % 140)) != NULL);
		MUST(strcmp(before, copy) == 0);
		MUST(hqq_strerror(own_errors[i]) == before);
	}
}

START_TEST(texts_are_safe_between_threads)
{
	test_run_threads(4, ask_for_texts, NULL);
}
END_TEST

START_TEST(protocol_codes_map_to_errors)
{
	uint64_t code;

	for (code = 1; code <= PROTOCOL_CODES; code++) {
		ck_assert_int_eq(hqq_error_from_code(code), -18513 - (int)code);
		ck_assert_uint_eq(hqq_error_to_code(-18513 - (int)code), code);
	}
}
END_TEST

START_TEST(codes_that_the_protocol_does_not_know)
{
	const uint64_t codes[] = {
		0, 8, 9, 255, 256, 18514, INT_MAX, UINT32_MAX, UINT64_C(1) << 32 | 1, UINT64_MAX};
	const int errors[] = {0, 1, -1, -ENOENT, HQQ_ERR_TIMEOUT, HQQ_ERR_CORRUPT, -18513, INT_MIN, INT_MAX};
	size_t i;

	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		ck_assert_int_eq(hqq_error_from_code(codes[i]), HQQ_ERR_INVALID_OP);
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		ck_assert_uint_eq(hqq_error_to_code(errors[i]), 6);
}
END_TEST

START_TEST(version_of_library_and_headers_agree)
{
	char text[64];

	snprintf(text, sizeof(text), "%d.%d.%d", HQQ_VERSION_MAJOR, HQQ_VERSION_MINOR, HQQ_VERSION_PATCH);
	ck_assert_str_eq(hqq_version_string(), text);
	ck_assert_str_eq(hqq_version_string(), PACKAGE_VERSION);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("errors");
	TCase *cases = test_case(suite, "errors", 20);

	tcase_add_test(cases, numbers_are_the_documented_ones);
	tcase_add_test(cases, each_error_has_a_text_of_its_own);
	tcase_add_test(cases, system_errors_have_the_systems_text);
	tcase_add_test(cases, any_number_has_some_text);
	tcase_add_test(cases, texts_are_safe_between_threads);
	tcase_add_test(cases, protocol_codes_map_to_errors);
	tcase_add_test(cases, codes_that_the_protocol_does_not_know);
	tcase_add_test(cases, version_of_library_and_headers_agree);
	return test_main(suite);
}
