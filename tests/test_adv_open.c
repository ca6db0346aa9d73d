/*
 * test_adv_open.c - making handles, their options and getters, and arguments that make no sense
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"

#include <errno.h>
#include <string.h>

#define COUNT 8
#define SIZE 64
#define MIB (UINT64_C(1) << 20)

/* The pair negotiates and talks, whichever way it was opened, and is closed. */
static void use(hqq_advanced *primary, hqq_advanced *secondary)
{
	struct adv_pair pair = {{primary, secondary}};
	int i;

	for (i = 0; i < 2; i++) {
		MUST_EQ(hqq_advanced_mode(pair.side[i]), i ? HQQ_MODE_SECONDARY : HQQ_MODE_PRIMARY);
		MUST_EQ(hqq_advanced_type(pair.side[i]), HQQ_TYPE_ADVANCED);
		MUST_EQ(hqq_advanced_buffer_size(pair.side[i]), SIZE);
		MUST_EQ(hqq_advanced_buffer_count(pair.side[i]), COUNT);
	}
	adv_agree(&pair, ADV_ALL);
	adv_push(primary, 0, 5 * SIZE, 1);
	adv_pull(secondary, 0, 5 * SIZE, 1);
	adv_push(secondary, 0, 5 * SIZE, 2);
	adv_pull(primary, 0, 5 * SIZE, 2);
	adv_pair_close(&pair);
}

/* ---- the five forms ---------------------------------------------------------------------------- */

START_TEST(create_and_open)
{
	const char *name = test_name("five");
	hqq_advanced *primary, *secondary;

	MUST_EQ(hqq_advanced_open(&secondary, name, COUNT, SIZE, NULL), -ENOENT);
	MUST_EQ(hqq_advanced_create(&primary, name, COUNT, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_advanced_create(&secondary, name, COUNT, SIZE, 0600, NULL), -EEXIST);
	MUST_EQ(hqq_advanced_open(&secondary, name, COUNT, SIZE, NULL), 0);
	MUST(strcmp(hqq_advanced_name(primary), name) == 0);
	MUST(strcmp(hqq_advanced_name(secondary), name) == 0);
	use(primary, secondary);
	MUST(!test_name_exists(name));
}
END_TEST

START_TEST(create_fd_and_open_fd)
{
	hqq_advanced *primary, *secondary;

	MUST_EQ(hqq_advanced_create_fd(&primary, COUNT, SIZE, NULL), 0);
	MUST(hqq_advanced_fd(primary) >= 0);
	MUST_EQ(hqq_advanced_open_fd(&secondary, hqq_advanced_fd(primary), COUNT, SIZE, NULL), 0);
	MUST(hqq_advanced_fd(secondary) >= 0 && hqq_advanced_fd(secondary) != hqq_advanced_fd(primary));
	MUST(hqq_advanced_name(primary) == NULL && hqq_advanced_name(secondary) == NULL);
	use(primary, secondary);
}
END_TEST

START_TEST(attach)
{
	const size_t length = MIB;
	unsigned char *memory = test_map_memory(length);
	hqq_advanced *primary, *secondary;

	MUST_EQ(hqq_advanced_attach(&primary, memory, length, COUNT, SIZE, NULL), 0);
	MUST_EQ(hqq_advanced_attach(&secondary, memory, length, COUNT, SIZE, NULL), 0);
	MUST(hqq_advanced_name(primary) == NULL);
	MUST_EQ(hqq_advanced_fd(primary), HQQ_ERR_INVALID_OP);
	use(primary, secondary);
	test_unmap(memory, length);
}
END_TEST

/* Refused arguments leave nothing behind, and the handle's variable alone. */
START_TEST(forms_refused)
{
	const char *name = test_name("refused");
	hqq_advanced *handle = (hqq_advanced *)(uintptr_t)0x11, *const before = handle;
	unsigned char *memory = test_map_memory(4096);

	MUST_EQ(hqq_advanced_create(NULL, name, COUNT, SIZE, 0600, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_open(NULL, name, COUNT, SIZE, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_create_fd(NULL, COUNT, SIZE, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_open_fd(NULL, 0, COUNT, SIZE, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_attach(NULL, memory, 4096, COUNT, SIZE, NULL), HQQ_ERR_INVALID_OP);
	MUST(hqq_advanced_create(&handle, NULL, COUNT, SIZE, 0600, NULL) < 0);
	MUST(hqq_advanced_open(&handle, NULL, COUNT, SIZE, NULL) < 0);
	MUST(hqq_advanced_attach(&handle, NULL, 4096, COUNT, SIZE, NULL) < 0);
	MUST_EQ(hqq_advanced_attach(&handle, memory, 4096, COUNT, SIZE, NULL), HQQ_ERR_MEMORY_SMALL);
	MUST_EQ(hqq_advanced_open_fd(&handle, -1, COUNT, SIZE, NULL), -EBADF);
	MUST_EQ(hqq_advanced_create(&handle, name, 0, SIZE, 0600, NULL), HQQ_ERR_INVALID_SIZE);
	MUST_EQ(hqq_advanced_create(&handle, name, COUNT, 0, 0600, NULL), HQQ_ERR_INVALID_SIZE);
	MUST_EQ(hqq_advanced_create_fd(&handle, 0, SIZE, NULL), HQQ_ERR_INVALID_SIZE);
	MUST(!test_name_exists(name));
	MUST(handle == before);
	test_unmap(memory, 4096);
}
END_TEST

/* ---- one endpoint for each side ---------------------------------------------------------------- */

/* _i: which side is taken */
START_TEST(a_side_is_taken)
{
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	hqq_advanced *another = NULL;
	hqq_standard *standard = NULL;
	struct adv_pair pair;
	int fd;

	options.link.role = _i ? HQQ_ROLE_SECONDARY : HQQ_ROLE_PRIMARY;
	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	fd = hqq_advanced_fd(pair.side[0]);
	MUST_EQ(hqq_advanced_open_fd(&another, fd, COUNT, SIZE, &options), -EBUSY);
	MUST_EQ(hqq_standard_open_fd(&standard, fd, COUNT, SIZE, &options.link), -EBUSY);
	MUST(another == NULL && standard == NULL);
	adv_push(pair.side[0], 0, 5 * SIZE, 1);
	adv_pull(pair.side[1], 0, 5 * SIZE, 1);
	/* once it is free another may take it, and both agree anew */
	MUST_EQ(hqq_advanced_close(pair.side[_i]), 0);
	fd = hqq_advanced_fd(pair.side[!_i]);
	MUST_EQ(hqq_advanced_open_fd(&pair.side[_i], fd, COUNT, SIZE, &options), 0);
	use(pair.side[0], pair.side[1]);
}
END_TEST

/* Nor may it join Standard endpoints on its side. */
START_TEST(a_side_is_in_use)
{
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	hqq_advanced *advanced = NULL;
	hqq_standard *standard;

	MUST_EQ(hqq_standard_create_fd(&standard, COUNT, SIZE, NULL), 0);
	options.link.role = HQQ_ROLE_PRIMARY;
	MUST_EQ(hqq_advanced_open_fd(&advanced, hqq_standard_fd(standard), COUNT, SIZE, &options), -EBUSY);
	MUST(advanced == NULL);
	MUST_EQ(hqq_standard_close(standard), 0);
}
END_TEST

/* ---- options ----------------------------------------------------------------------------------- */

START_TEST(defaults)
{
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	hqq_advanced *handle;

	MUST_EQ(options.struct_size, sizeof(options));
	MUST_EQ(hqq_advanced_create_fd(&handle, COUNT, SIZE, _i ? &options : NULL), 0);
	MUST_EQ(hqq_advanced_max_message_size(handle), 64 * MIB);
	MUST_EQ(hqq_advanced_protocol_state(handle), HQQ_PROTOCOL_NONE);
	MUST_EQ(hqq_advanced_close(handle), 0);
}
END_TEST

START_TEST(options_refused)
{
	const struct hqq_advanced_options fine = HQQ_ADVANCED_OPTIONS_INIT;
	struct hqq_advanced_options options[6] = {fine, fine, fine, fine, fine, fine};
	hqq_advanced *handle = NULL;
	int i;

	options[0].dispatcher = HQQ_DISPATCH_MANUAL + 1;
	options[1].reserved = 1;
	options[2].link.role = HQQ_ROLE_SECONDARY + 1;
	options[3].link.wait = HQQ_WAIT_BLOCK + 1;
	options[4].link.flags = UINT64_C(1) << 63;
	options[5].max_message_size = UINT64_MAX;
	for (i = 0; i < 6; i++) {
		MUST_EQ(hqq_advanced_create_fd(&handle, COUNT, SIZE, &options[i]),
			i < 5 ? HQQ_ERR_INVALID_OP : HQQ_ERR_INVALID_SIZE);
		MUST(handle == NULL);
	}
}
END_TEST

/* A program built for a shorter or a longer struct; what this library does not know must be 0. */
START_TEST(structs_of_other_sizes)
{
	struct {
		struct hqq_advanced_options options;
		unsigned char more[16];
	} longer;
	hqq_advanced *handle = NULL;

	memset(&longer, 0, sizeof(longer));
	longer.options = (struct hqq_advanced_options)HQQ_ADVANCED_OPTIONS_INIT;
	longer.options.max_message_size = 4711;
	longer.options.struct_size = offsetof(struct hqq_advanced_options, link);
	longer.options.link.role = 99; /* not looked at */
	MUST_EQ(hqq_advanced_create_fd(&handle, COUNT, SIZE, &longer.options), 0);
	MUST_EQ(hqq_advanced_max_message_size(handle), 4711);
	MUST_EQ(hqq_advanced_close(handle), 0);
	longer.options.link = (struct hqq_options)HQQ_OPTIONS_INIT;
	longer.options.struct_size = sizeof(longer);
	MUST_EQ(hqq_advanced_create_fd(&handle, COUNT, SIZE, &longer.options), 0);
	MUST_EQ(hqq_advanced_max_message_size(handle), 4711);
	MUST_EQ(hqq_advanced_close(handle), 0);
	longer.more[15] = 1;
	MUST(hqq_advanced_create_fd(&handle, COUNT, SIZE, &longer.options) < 0);
	longer.options.struct_size = 0;
	MUST(hqq_advanced_create_fd(&handle, COUNT, SIZE, &longer.options) < 0);
}
END_TEST

/* A thread only where it was asked for: by THREAD, by listening in AUTO; never in MANUAL. */
START_TEST(threads)
{
	const struct hqq_advanced_options options = adv_options((uint32_t)_i, 0, 0, 0);
	const int before = test_count_threads(), at_open = _i == HQQ_DISPATCH_THREAD ? 2 : 0;
	struct adv_pair pair;
	int i;

	adv_open(&pair, COUNT, SIZE, &options, &options);
	test_must_have_threads(before + at_open);
	adv_agree(&pair, ADV_ALL);
	for (i = 0; i < 10; i++) {
		adv_push(pair.side[0], 0, 5 * SIZE, 1);
		adv_pull(pair.side[1], 0, 5 * SIZE, 1);
	}
	test_must_have_threads(before + at_open);
	MUST_EQ(hqq_advanced_listen(pair.side[0]), 0);
	test_must_have_threads(before + at_open + (_i == HQQ_DISPATCH_AUTO));
	adv_pair_close(&pair);
	test_must_have_threads(before);
}
END_TEST

/* ---- getters ----------------------------------------------------------------------------------- */

/* _i: the features that are agreed */
START_TEST(what_was_agreed)
{
	const uint64_t features = (uint64_t)_i;
	struct hqq_advanced_stats stats;
	struct adv_pair pair;
	int i;

	adv_open(&pair, COUNT, SIZE, NULL, NULL);
	for (i = 0; i < 2; i++) {
		MUST_EQ(hqq_advanced_negotiated_version(pair.side[i]).major, 0);
		MUST_EQ(hqq_advanced_negotiated_features(pair.side[i]), 0);
		MUST_EQ(hqq_advanced_negotiated_capabilities(pair.side[i]), 0);
		MUST(!hqq_advanced_is_large_copy_enabled(pair.side[i]));
		MUST(!hqq_advanced_is_request_response_enabled(pair.side[i]));
		memset(&stats, 0x5a, sizeof(stats));
		MUST_EQ(hqq_advanced_stats(pair.side[i], &stats), 0);
		MUST(memcmp(&stats, &(struct hqq_advanced_stats){.refused = 0}, sizeof(stats)) == 0);
	}
	adv_agree(&pair, features);
	for (i = 0; i < 2; i++) {
		MUST_EQ(hqq_advanced_protocol_state(pair.side[i]), HQQ_PROTOCOL_NEGOTIATED);
		MUST_EQ(hqq_advanced_negotiated_version(pair.side[i]).major, HQQ_ADVANCED_VERSION_MAJOR);
		MUST_EQ(hqq_advanced_negotiated_version(pair.side[i]).minor, HQQ_ADVANCED_VERSION_MINOR);
		MUST_EQ(hqq_advanced_negotiated_features(pair.side[i]), features);
		MUST_EQ(hqq_advanced_is_large_copy_enabled(pair.side[i]),
			(features & HQQ_FEATURE_LARGE_COPY) != 0);
		MUST_EQ(hqq_advanced_is_request_response_enabled(pair.side[i]),
			(features & HQQ_FEATURE_REQUEST_RESPONSE) != 0);
	}
	MUST(adv_stats(pair.side[0]).negotiation_ns > 0);
	MUST_EQ(hqq_advanced_negotiated_capabilities(pair.side[0]),
		hqq_advanced_negotiated_capabilities(pair.side[1]));
	adv_pair_close(&pair);
}
END_TEST

/* ---- no handle, or one that is closed ---------------------------------------------------------- */

static int no_chunk(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
		    size_t length, void *argument)
{
	(void)head, (void)total, (void)offset, (void)data, (void)length, (void)argument;
	return 0;
}

static ssize_t no_fill(uint64_t offset, void *data, size_t capacity, void *argument)
{
	(void)offset, (void)data, (void)argument;
	return (ssize_t)capacity;
}

static void every_call_is_invalid(hqq_advanced *a)
{
	const struct hqq_message request = {.message_id = 1, .flags = HQQ_FLAG_REQUEST};
	struct hqq_advanced_stats stats;
	struct hqq_message message;
	char buffer[8];
	uint64_t id;
	const long long got[] = {
		hqq_advanced_fd(a),
		hqq_advanced_negotiate(a, NULL, ADV_VERSION, ADV_ALL),
		hqq_advanced_wait_negotiation(a, NULL),
		hqq_advanced_send_large(a, NULL, 0, "x", 1, &id),
		hqq_advanced_receive(a, NULL, &message),
		hqq_advanced_call(a, NULL, 1, "x", 1, &message),
		hqq_advanced_call_on(a, NULL, 0, 1, "x", 1, &message),
		hqq_advanced_call_start(a, NULL, 0, 1, "x", 1, &id),
		hqq_advanced_call_wait(a, NULL, 1, &message),
		hqq_advanced_call_cancel(a, 1),
		hqq_advanced_respond(a, NULL, &request, 0, "x", 1),
		hqq_advanced_respond_error(a, NULL, &request, 0, "x", 1),
		hqq_advanced_serve(a, NULL, adv_methods, ADV_METHODS),
		hqq_advanced_receive_stream(a, NULL, no_chunk, NULL),
		hqq_advanced_send_stream(a, NULL, 0, 1, no_fill, NULL),
		hqq_advanced_listen(a),
		hqq_advanced_accept(a, NULL, &id),
		hqq_advanced_dial(a, NULL, &id),
		hqq_advanced_hangup(a, NULL, 1, 0),
		hqq_advanced_read(a, NULL, buffer, sizeof(buffer)),
		hqq_advanced_write(a, NULL, "x", 1),
		hqq_advanced_dispatch(a, NULL),
		hqq_advanced_event_fd(a),
		hqq_advanced_mode(a),
		hqq_advanced_type(a),
		hqq_advanced_protocol_state(a),
		hqq_advanced_stats(a, &stats),
	};
	unsigned i;

	for (i = 0; i < sizeof(got) / sizeof(*got); i++) {
		if (got[i] != HQQ_ERR_INVALID_OP)
			test_must_failed(__FILE__, __LINE__, "call %u gives %lld", i, got[i]);
	}
	MUST(hqq_advanced_name(a) == NULL);
	MUST_EQ(hqq_advanced_buffer_size(a), 0);
	MUST_EQ(hqq_advanced_buffer_count(a), 0);
	MUST_EQ(hqq_advanced_max_message_size(a), 0);
	MUST_EQ(hqq_advanced_negotiated_version(a).major, 0);
	MUST_EQ(hqq_advanced_negotiated_features(a), 0);
	MUST_EQ(hqq_advanced_negotiated_capabilities(a), 0);
	MUST(!hqq_advanced_is_large_copy_enabled(a));
	MUST(!hqq_advanced_is_request_response_enabled(a));
}

START_TEST(no_handle)
{
	struct adv_pair pair;
	hqq_advanced *closed;

	MUST_EQ(hqq_advanced_close(NULL), 0);
	every_call_is_invalid(NULL);
	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	closed = pair.side[0];
	adv_pair_close(&pair);
	every_call_is_invalid(closed);
	MUST_EQ(hqq_advanced_close(closed), HQQ_ERR_INVALID_OP);
}
END_TEST

/* Every other pointer that must not be NULL; none of these waits. */
START_TEST(null_arguments)
{
	struct hqq_message message;
	struct adv_pair pair;
	uint64_t id;
	char byte;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_send_large(pair.side[0], NULL, 0, NULL, 1, &id), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_receive(pair.side[0], NULL, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_call(pair.side[0], NULL, 1, NULL, 1, &message), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_call_on(pair.side[0], NULL, 0, 1, NULL, 1, &message), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], NULL, 0, 1, NULL, 1, &id), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], NULL, 0, 1, "x", 1, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_respond(pair.side[0], NULL, NULL, 0, "x", 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_respond_error(pair.side[0], NULL, NULL, 0, "x", 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_serve(pair.side[0], NULL, NULL, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_serve(pair.side[0], AT_ONCE, NULL, 0), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_receive_stream(pair.side[0], NULL, NULL, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_send_stream(pair.side[0], NULL, 0, 1, NULL, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_listen(pair.side[0]), 0);
	MUST_EQ(hqq_advanced_accept(pair.side[0], NULL, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_dial(pair.side[0], NULL, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_read(pair.side[0], NULL, NULL, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_read(pair.side[0], NULL, &byte, 0), 0);
	MUST_EQ(hqq_advanced_write(pair.side[0], NULL, NULL, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_write(pair.side[0], NULL, NULL, 0), 0);
	MUST_EQ(hqq_advanced_stats(pair.side[0], NULL), HQQ_ERR_INVALID_OP);
	MUST(!hqq_message_is_data(NULL) && !hqq_message_is_request(NULL) && !hqq_message_is_response(NULL));
	MUST(!hqq_message_is_error(NULL) && !hqq_message_is_abort(NULL));
	hqq_message_clear(NULL);
	MUST_EQ(hqq_advanced_receive(pair.side[1], AT_ONCE, &message), HQQ_ERR_TIMEOUT); /* nothing was sent */
	adv_pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: handles");
	TCase *cases = test_case(suite, "forms", 20);

	tcase_add_test(cases, create_and_open);
	tcase_add_test(cases, create_fd_and_open_fd);
	tcase_add_test(cases, attach);
	tcase_add_test(cases, forms_refused);
	tcase_add_loop_test(cases, a_side_is_taken, 0, 2);
	tcase_add_test(cases, a_side_is_in_use);
	cases = test_case(suite, "options", 20);
	tcase_add_loop_test(cases, defaults, 0, 2);
	tcase_add_test(cases, options_refused);
	tcase_add_test(cases, structs_of_other_sizes);
	tcase_add_loop_test(cases, threads, 0, 3);
	cases = test_case(suite, "arguments", 20);
	tcase_add_loop_test(cases, what_was_agreed, 0, 4);
	tcase_add_test(cases, no_handle);
	tcase_add_test(cases, null_arguments);
	return test_main(suite);
}
