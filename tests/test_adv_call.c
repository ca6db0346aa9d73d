/*
 * test_adv_call.c - calls and their answers, one thread at each end
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 8
#define SIZE 64

/* A pair whose secondary serves. */
struct served {
	struct adv_pair pair;
	struct adv_server server;
	hqq_advanced *client;
};

static void served_open(struct served *served, const struct hqq_advanced_options *client,
			const struct hqq_advanced_options *server)
{
	adv_pair_open(&served->pair, COUNT, SIZE, client, server);
	served->client = served->pair.side[0];
	adv_server_start(&served->server, served->pair.side[1]);
}

/* From here on the server is idle, and what it counted fits: an answer is counted behind its way out. */
static void served_stop(struct served *served)
{
	MUST_EQ(adv_server_stop(&served->server), HQQ_ERR_CANCELED);
}

static void served_close(struct served *served)
{
	served_stop(served);
	adv_pair_close(&served->pair);
}

START_TEST(all_sizes)
{
	const size_t sizes[] = {0,     1,      SIZE - 1, SIZE, SIZE + 1, COUNT * SIZE, COUNT * SIZE + 1,
				10000, 100000};
	struct served served;
	size_t i;

	served_open(&served, NULL, NULL);
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		adv_echo(served.client, i % 3, sizes[i], i);
	served_stop(&served);
	MUST_EQ(adv_stats(served.client).requests_sent, i);
	MUST_EQ(adv_stats(served.client).responses_received, i);
	MUST_EQ(adv_stats(served.client).requests_received, 0);
	MUST_EQ(adv_stats(served.pair.side[1]).requests_received, i);
	MUST_EQ(adv_stats(served.pair.side[1]).responses_sent, i);
	MUST_EQ(adv_stats(served.pair.side[1]).large_messages_received, 0);
	adv_pair_close(&served.pair);
}
END_TEST

START_TEST(the_answer_carries_what_was_asked)
{
	struct hqq_message response, request;
	struct adv_pair pair;
	uint64_t id;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 5, UINT64_MAX, "question", 8, &id), 0);
	MUST_EQ(id, 1);
	MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &request), 0);
	MUST(hqq_message_is_request(&request));
	MUST(!hqq_message_is_data(&request) && !hqq_message_is_response(&request) &&
	     !hqq_message_is_error(&request));
	MUST(!hqq_message_is_abort(&request));
	MUST_EQ(request.connection_id, 5);
	MUST_EQ(request.message_id, 1);
	MUST(request.method_id == UINT64_MAX);
	MUST_EQ(request.flags, HQQ_FLAG_BEGIN | HQQ_FLAG_END | HQQ_FLAG_REQUEST);
	MUST_EQ(request.payload_size, 8);
	MUST(memcmp(request.payload, "question", 8) == 0);
	MUST_EQ(hqq_advanced_respond(pair.side[1], PATIENT, &request, UINT64_MAX, "answer", 6), 0);
	hqq_message_clear(&request);
	MUST_EQ(hqq_advanced_call_wait(pair.side[0], PATIENT, id, &response), 0);
	MUST_EQ(response.connection_id, 5);
	MUST_EQ(response.message_id, 1);
	MUST_EQ(response.method_id, 0);
	MUST(response.status == UINT64_MAX);
	MUST_EQ(response.flags, HQQ_FLAG_BEGIN | HQQ_FLAG_END | HQQ_FLAG_RESPONSE);
	MUST(hqq_message_is_response(&response) && !hqq_message_is_error(&response));
	MUST_EQ(response.payload_size, 6);
	MUST(memcmp(response.payload, "answer", 6) == 0);
	hqq_message_clear(&response);
	adv_pair_close(&pair);
}
END_TEST

static const struct {
	uint64_t method, status;
	const char *body;
} errors[] = {
	{ADV_ERROR, 77, "no"},
	{ADV_SILENT, 6, ""}, /* HQQ_ERR_INVALID_OP */
	{ADV_FAIL, 3, ""},   /* HQQ_ERR_MEMORY_SMALL */
	{ADV_UNKNOWN, 6, ""},
};
#define ERRORS ((int)(sizeof(errors) / sizeof(*errors)))

static void check_error(struct hqq_message *response, int i)
{
	MUST(hqq_message_is_error(response));
	MUST_EQ(response->flags, HQQ_FLAG_BEGIN | HQQ_FLAG_END | HQQ_FLAG_RESPONSE | HQQ_FLAG_ERROR);
	MUST_EQ(response->status, errors[i].status);
	MUST_EQ(response->payload_size, strlen(errors[i].body));
	MUST(response->payload_size == 0 ||
	     memcmp(response->payload, errors[i].body, response->payload_size) == 0);
	hqq_message_clear(response);
}

START_TEST(error_responses)
{
	struct hqq_message response;
	struct served served;
	uint64_t id;

	served_open(&served, NULL, NULL);
	MUST_EQ(hqq_advanced_call(served.client, PATIENT, errors[_i].method, "x", 1, &response),
		HQQ_ERR_RESPONSE);
	check_error(&response, _i);
	MUST_EQ(hqq_advanced_call_on(served.client, PATIENT, 3, errors[_i].method, "x", 1, &response), 0);
	check_error(&response, _i);
	MUST_EQ(hqq_advanced_call_start(served.client, PATIENT, 3, errors[_i].method, "x", 1, &id), 0);
	MUST_EQ(hqq_advanced_call_wait(served.client, PATIENT, id, &response), 0);
	check_error(&response, _i);
	MUST_EQ(hqq_advanced_call(served.client, PATIENT, errors[_i].method, "x", 1, NULL), HQQ_ERR_RESPONSE);
	MUST_EQ(hqq_advanced_call_on(served.client, PATIENT, 3, errors[_i].method, "x", 1, NULL), 0);
	adv_echo(served.client, 0, 1000, 1); /* it serves on */
	served_close(&served);
}
END_TEST

START_TEST(an_error_without_a_status)
{
	struct hqq_message response, request;
	struct adv_pair pair;
	uint64_t id;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 0, 1, NULL, 0, &id), 0);
	MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &request), 0);
	MUST_EQ(hqq_advanced_respond_error(pair.side[1], PATIENT, &request, 0, NULL, 0), 0);
	hqq_message_clear(&request);
	MUST_EQ(hqq_advanced_call_wait(pair.side[0], PATIENT, id, &response), 0);
	MUST(hqq_message_is_error(&response));
	MUST_EQ(response.status, 6);
	MUST(response.payload == NULL);
	hqq_message_clear(&response);
	adv_pair_close(&pair);
}
END_TEST

/* On failure *response is left alone. */
START_TEST(what_may_not_be_called)
{
	const struct hqq_advanced_options options = adv_options(0, 1000, 0, 0);
	struct hqq_message response, untouched;
	static char bytes[1001];
	struct served served;
	uint64_t id = 4711;

	memset(&untouched, 0x5a, sizeof(untouched));
	response = untouched;
	served_open(&served, &options, NULL);
	MUST_EQ(hqq_advanced_call(served.client, PATIENT, ADV_ECHO, NULL, 1, &response), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_call(served.client, PATIENT, ADV_ECHO, bytes, 1001, &response),
		HQQ_ERR_BUFFER_OVERFLOW);
	MUST_EQ(hqq_advanced_call_on(served.client, PATIENT, 1, ADV_ECHO, bytes, SIZE_MAX, &response),
		HQQ_ERR_BUFFER_OVERFLOW);
	MUST_EQ(hqq_advanced_call_start(served.client, PATIENT, 0, ADV_ECHO, bytes, 1001, &id),
		HQQ_ERR_BUFFER_OVERFLOW);
	MUST_EQ(hqq_advanced_call_start(served.client, PATIENT, 0, ADV_ECHO, bytes, 1, NULL),
		HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_call_wait(served.client, PATIENT, 1, &response), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_call_cancel(served.client, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(id, 4711);
	MUST(memcmp(&response, &untouched, sizeof(response)) == 0);
	adv_echo(served.client, 0, 1000, 1);
	served_close(&served);
}
END_TEST

START_TEST(only_requests_are_answered)
{
	const uint64_t kinds[] = {0, HQQ_FLAG_RESPONSE, HQQ_FLAG_RESPONSE | HQQ_FLAG_ERROR,
				  HQQ_FLAG_REQUEST | HQQ_FLAG_ABORT};
	struct adv_pair pair;
	size_t i;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		const struct hqq_message message = {.message_id = 1, .flags = kinds[i]};

		MUST_EQ(hqq_advanced_respond(pair.side[1], PATIENT, &message, 0, NULL, 0),
			HQQ_ERR_INVALID_OP);
		MUST_EQ(hqq_advanced_respond_error(pair.side[1], PATIENT, &message, 0, NULL, 0),
			HQQ_ERR_INVALID_OP);
	}
	MUST_EQ(hqq_advanced_receive(pair.side[0], AT_ONCE, &(struct hqq_message){.flags = 0}),
		HQQ_ERR_TIMEOUT);
	adv_pair_close(&pair);
}
END_TEST

/* ---- many in flight ---------------------------------------------------------------------------- */

#define FLIGHT 100

/* Answers come in any order; each finds its call, whatever the order of the waits. */
START_TEST(out_of_order)
{
	const struct hqq_advanced_options options = adv_options(0, 0, FLIGHT, 0);
	struct hqq_message requests[FLIGHT], response;
	uint64_t ids[FLIGHT], state = test_seed();
	struct adv_pair pair;
	unsigned i;

	adv_pair_open(&pair, 128, SIZE, NULL, &options);
	for (i = 0; i < FLIGHT; i++)
		MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, i % 3, i, &i, sizeof(i), &ids[i]), 0);
	for (i = 0; i < FLIGHT; i++)
		MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &requests[i]), 0);
	for (i = FLIGHT; i > 0; i--) {
		unsigned pick = (unsigned)(test_random(&state) % i);
		struct hqq_message request = requests[pick];

		requests[pick] = requests[i - 1];
		MUST_EQ(hqq_advanced_respond(pair.side[1], PATIENT, &request, request.method_id + 1000,
					     request.payload, request.payload_size),
			0);
		hqq_message_clear(&request);
	}
	for (i = FLIGHT; i > 0; i--) {
		unsigned pick = (unsigned)(test_random(&state) % i), number;

		MUST_EQ(hqq_advanced_call_wait(pair.side[0], PATIENT, ids[pick], &response), 0);
		MUST_EQ(response.payload_size, sizeof(number));
		memcpy(&number, response.payload, sizeof(number));
		MUST_EQ(response.status, number + 1000);
		MUST_EQ(response.message_id, ids[pick]);
		hqq_message_clear(&response);
		MUST_EQ(hqq_advanced_call_wait(pair.side[0], PATIENT, ids[pick], &response),
			HQQ_ERR_INVALID_OP);
		ids[pick] = ids[i - 1];
	}
	adv_pair_close(&pair);
}
END_TEST

START_TEST(a_wait_in_vain_may_be_repeated)
{
	struct hqq_message response, request;
	struct adv_pair pair;
	uint64_t id;
	int i;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 0, 1, NULL, 0, &id), 0);
	for (i = 0; i < 3; i++)
		MUST_EQ(hqq_advanced_call_wait(pair.side[0], WITHIN_MS(2), id, &response), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &request), 0);
	MUST_EQ(hqq_advanced_respond(pair.side[1], PATIENT, &request, 5, NULL, 0), 0);
	MUST_EQ(hqq_advanced_call_wait(pair.side[0], AT_ONCE, id, &response), 0);
	MUST_EQ(response.status, 5);
	adv_pair_close(&pair);
}
END_TEST

/* Nobody waits for these any more; their answers are stray ones. _i: cancelled, else timed out */
START_TEST(an_answer_nobody_waits_for)
{
	struct hqq_message response, request;
	struct adv_pair pair;
	uint64_t id;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	if (_i) {
		MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 7, 1, NULL, 0, &id), 0);
		MUST_EQ(hqq_advanced_call_cancel(pair.side[0], id), 0);
		MUST_EQ(hqq_advanced_call_cancel(pair.side[0], id), HQQ_ERR_INVALID_OP);
		MUST_EQ(hqq_advanced_call_wait(pair.side[0], AT_ONCE, id, &response), HQQ_ERR_INVALID_OP);
	} else {
		MUST_EQ(hqq_advanced_call_on(pair.side[0], WITHIN_MS(2), 7, 1, NULL, 0, &response),
			HQQ_ERR_TIMEOUT);
	}
	MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &request), 0);
	MUST_EQ(hqq_advanced_respond(pair.side[1], PATIENT, &request, 5, "late", 4), 0);
	MUST_EQ(hqq_advanced_receive(pair.side[0], PATIENT, &response), 0);
	MUST(hqq_message_is_response(&response));
	MUST_EQ(response.connection_id, 7);
	MUST_EQ(response.message_id, request.message_id);
	MUST_EQ(response.status, 5);
	MUST_EQ(response.payload_size, 4);
	hqq_message_clear(&response);
	adv_pair_close(&pair);
}
END_TEST

/* A cancelled call whose answer is there already: both are forgotten. */
START_TEST(cancelled_with_the_answer_there)
{
	struct hqq_message request;
	struct adv_pair pair;
	uint64_t id;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 0, 1, NULL, 0, &id), 0);
	MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &request), 0);
	MUST_EQ(hqq_advanced_respond(pair.side[1], PATIENT, &request, 5, "there", 5), 0);
	MUST_EQ(hqq_advanced_receive(pair.side[0], AT_ONCE, &request), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_call_cancel(pair.side[0], id), 0);
	MUST_EQ(hqq_advanced_receive(pair.side[0], AT_ONCE, &request), HQQ_ERR_TIMEOUT);
	/* and one that is never asked for */
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 0, 1, NULL, 0, &id), 0);
	MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &request), 0);
	MUST_EQ(hqq_advanced_respond(pair.side[1], PATIENT, &request, 5, "there", 5), 0);
	MUST_EQ(hqq_advanced_receive(pair.side[0], AT_ONCE, &request), HQQ_ERR_TIMEOUT);
	adv_pair_close(&pair);
}
END_TEST

/* ---- what the other side will not take --------------------------------------------------------- */

/*
 * A request of many chunks that the server must refuse: one error response, no strays. _i: larger
 * than its messages may be, or than all its unfinished ones
 */
START_TEST(a_request_too_large)
{
	const struct hqq_advanced_options options =
		_i ? adv_options(0, 0, 0, 5000) : adv_options(0, 5000, 0, 0);
	struct hqq_message response;
	struct served served;
	void *body = calloc(1, 50000);

	MUST(body != NULL);
	served_open(&served, NULL, &options);
	MUST_EQ(hqq_advanced_call(served.client, PATIENT, ADV_ECHO, body, 50000, &response),
		HQQ_ERR_RESPONSE);
	MUST(hqq_message_is_error(&response));
	MUST_EQ(response.payload_size, 0);
	hqq_message_clear(&response);
	adv_echo(served.client, 0, 5000, 1);
	MUST_EQ(hqq_advanced_receive(served.client, WITHIN_MS(20), &response), HQQ_ERR_TIMEOUT);
	served_stop(&served);
	MUST_EQ(adv_stats(served.pair.side[1]).responses_sent, 1); /* the library's own are not counted */
	free(body);
	adv_pair_close(&served.pair);
}
END_TEST

/* An answer that the caller must refuse fails that call. */
START_TEST(an_answer_too_large)
{
	const struct hqq_advanced_options options =
		_i ? adv_options(0, 0, 0, 5000) : adv_options(0, 5000, 0, 0);
	struct hqq_message response, request;
	struct adv_pair pair;
	void *body = calloc(1, 50000);
	uint64_t id;

	MUST(body != NULL);
	adv_pair_open(&pair, 1024, SIZE, &options, NULL);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 0, ADV_ECHO, NULL, 0, &id), 0);
	MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &request), 0);
	MUST_EQ(hqq_advanced_respond(pair.side[1], PATIENT, &request, 0, body, 50000), 0);
	MUST_EQ(hqq_advanced_call_wait(pair.side[0], PATIENT, id, &response), _i ? -12 : HQQ_ERR_CORRUPT);
	MUST_EQ(hqq_advanced_receive(pair.side[0], WITHIN_MS(20), &response), HQQ_ERR_TIMEOUT);
	MUST_EQ(_i ? adv_stats(pair.side[0]).dropped : 1, 1);
	free(body);
	adv_push(pair.side[1], 0, 5000, 3);
	adv_pull(pair.side[0], 0, 5000, 3);
	adv_pair_close(&pair);
}
END_TEST

static _Atomic bool handled; /* a handler came to its end */

static int too_much(hqq_advanced *handle, const struct hqq_message *request, void *argument)
{
	static char bytes[2000];

	MUST_EQ(hqq_advanced_respond(handle, PATIENT, request, 0, bytes, sizeof(bytes)),
		HQQ_ERR_BUFFER_OVERFLOW);
	MUST_EQ(hqq_advanced_respond(handle, PATIENT, request, 0, NULL, 1), HQQ_ERR_INVALID_OP);
	atomic_store((_Atomic bool *)argument, true);
	return 0;
}

static int in_vain(hqq_advanced *handle, const struct hqq_message *request, void *argument)
{
	int rc;

	adv_fill(handle);
	rc = hqq_advanced_respond(handle, WITHIN_MS(5), request, 0, NULL, 0);
	MUST_EQ(rc, HQQ_ERR_TIMEOUT);
	atomic_store((_Atomic bool *)argument, true);
	return rc;
}

static void *serve_one(void *argument)
{
	struct served *served = argument;
	const struct hqq_method methods[] = {{1, too_much, &handled}, {2, in_vain, &handled}};

	MUST_EQ(hqq_advanced_serve(served->pair.side[1], &served->server.context, methods, 2),
		HQQ_ERR_CANCELED);
	return NULL;
}

/* An answer that could not be sent leaves the request unanswered: the caller hears of it. */
START_TEST(a_handler_that_cannot_answer)
{
	const struct hqq_advanced_options options = adv_options(0, 1000, 0, 0);
	struct hqq_message response;
	struct served served;
	pthread_t thread;
	uint64_t id;

	adv_pair_open(&served.pair, COUNT, SIZE, NULL, &options);
	served.server.context = (hqq_context)HQQ_CONTEXT_INIT;
	MUST_EQ(hqq_advanced_call_start(served.pair.side[0], PATIENT, 0, (uint64_t)_i, NULL, 0, &id), 0);
	atomic_store(&handled, false);
	MUST_EQ(pthread_create(&thread, NULL, serve_one, &served), 0);
	while (!atomic_load(&handled)) /* nobody makes room for its answer before */
		test_sleep_ms(1);
	MUST_EQ(hqq_advanced_call_wait(served.pair.side[0], PATIENT, id, &response), 0);
	MUST(hqq_message_is_error(&response));
	hqq_message_clear(&response);
	MUST_EQ(hqq_context_cancel(&served.server.context), 0);
	MUST_EQ(pthread_join(thread, NULL), 0);
	adv_pair_close(&served.pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: calls");
	TCase *cases = test_case(suite, "one by one", 30);

	tcase_add_test(cases, all_sizes);
	tcase_add_test(cases, the_answer_carries_what_was_asked);
	tcase_add_loop_test(cases, error_responses, 0, ERRORS);
	tcase_add_test(cases, an_error_without_a_status);
	tcase_add_test(cases, what_may_not_be_called);
	tcase_add_test(cases, only_requests_are_answered);
	cases = test_case(suite, "in flight", 30);
	tcase_add_test(cases, out_of_order);
	tcase_add_test(cases, a_wait_in_vain_may_be_repeated);
	tcase_add_loop_test(cases, an_answer_nobody_waits_for, 0, 2);
	tcase_add_test(cases, cancelled_with_the_answer_there);
	cases = test_case(suite, "refused", 30);
	tcase_add_loop_test(cases, a_request_too_large, 0, 2);
	tcase_add_loop_test(cases, an_answer_too_large, 0, 2);
	tcase_add_loop_test(cases, a_handler_that_cannot_answer, 1, 3);
	return test_main(suite);
}
