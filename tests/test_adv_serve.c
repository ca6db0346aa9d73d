/*
 * test_adv_serve.c - serving: several threads, calls in both directions, answers from elsewhere, its end
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 8
#define SIZE 64

static struct adv_pair pair;

/* ---- both directions --------------------------------------------------------------------------- */

static void call_from_both(void *argument, unsigned index)
{
	unsigned i;

	(void)argument;
	for (i = 0; i < 100 / test_slowness(); i++)
		adv_echo(pair.side[index % 2], index, (index * 37 + i) % (5 * SIZE), i);
}

/* _i: threads that serve on each side */
START_TEST(calls_in_both_directions)
{
	struct adv_server servers[8];
	int i;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	for (i = 0; i < 2 * _i; i++)
		adv_server_start(&servers[i], pair.side[i % 2]);
	test_run_threads(6, call_from_both, NULL);
	for (i = 0; i < 2 * _i; i++)
		MUST_EQ(adv_server_stop(&servers[i]), HQQ_ERR_CANCELED);
	adv_pair_close(&pair);
}
END_TEST

/* The handler calls its caller, which serves, too. */
START_TEST(a_handler_calls_back)
{
	struct adv_server servers[2];
	struct hqq_message response;
	int i;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	for (i = 0; i < 2; i++)
		adv_server_start(&servers[i], pair.side[i]);
	for (i = 0; i < 20; i++) {
		MUST_EQ(hqq_advanced_call(pair.side[i % 2], PATIENT, ADV_BACK, "to and fro", 10, &response),
			0);
		MUST_EQ(response.status, 10);
		MUST_EQ(response.payload_size, 10);
		MUST(memcmp(response.payload, "to and fro", 10) == 0);
		hqq_message_clear(&response);
	}
	for (i = 0; i < 2; i++)
		MUST_EQ(adv_server_stop(&servers[i]), HQQ_ERR_CANCELED);
	adv_pair_close(&pair);
}
END_TEST

#define SLOW (ADV_UNKNOWN + 1)

static _Atomic bool may_answer;

static int answer_slowly(hqq_advanced *handle, const struct hqq_message *request, void *argument)
{
	(void)argument;
	while (!may_answer)
		test_sleep_ms(1);
	return hqq_advanced_respond(handle, PATIENT, request, 0, NULL, 0);
}

static void *serve_slowly(void *context)
{
	const struct hqq_method methods[] = {adv_methods[ADV_ECHO - 1], {SLOW, answer_slowly, NULL}};

	MUST_EQ(hqq_advanced_serve(pair.side[1], context, methods, 2), HQQ_ERR_CANCELED);
	return NULL;
}

/* One slow request does not hold up the others where several threads serve. */
START_TEST(slow_beside_fast)
{
	hqq_context context = HQQ_CONTEXT_INIT;
	struct hqq_message response;
	pthread_t servers[2];
	uint64_t id;
	int i;

	may_answer = false; /* before the fast ones have come back, however long they take */
	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	for (i = 0; i < 2; i++)
		MUST_EQ(pthread_create(&servers[i], NULL, serve_slowly, &context), 0);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 0, SLOW, NULL, 0, &id), 0);
	for (i = 0; i < 20; i++)
		adv_echo(pair.side[0], 0, 10, 1);
	MUST_EQ(hqq_advanced_call_wait(pair.side[0], AT_ONCE, id, &response), HQQ_ERR_TIMEOUT);
	may_answer = true;
	MUST_EQ(hqq_advanced_call_wait(pair.side[0], PATIENT, id, &response), 0);
	MUST(!hqq_message_is_error(&response));
	hqq_message_clear(&response);
	MUST_EQ(hqq_context_cancel(&context), 0);
	for (i = 0; i < 2; i++)
		MUST_EQ(pthread_join(servers[i], NULL), 0);
	adv_pair_close(&pair);
}
END_TEST

/* serve takes requests only; what else comes is for receive. */
START_TEST(other_messages_are_left_alone)
{
	struct adv_server server;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	adv_server_start(&server, pair.side[1]);
	adv_push(pair.side[0], 4, 100, 1);
	adv_echo(pair.side[0], 0, 10, 1);
	MUST_EQ(hqq_advanced_write(pair.side[0], PATIENT, "plain", 5), 5);
	adv_echo(pair.side[0], 0, 10, 1);
	adv_pull(pair.side[1], 4, 100, 1);
	MUST_EQ(hqq_advanced_read(pair.side[1], PATIENT, (char[8]){0}, 8), 5);
	MUST_EQ(adv_server_stop(&server), HQQ_ERR_CANCELED);
	adv_pair_close(&pair);
}
END_TEST

START_TEST(what_may_not_be_served)
{
	const struct hqq_method none = {1, NULL, NULL};
	struct hqq_message response;
	uint64_t id;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_serve(pair.side[1], AT_ONCE, NULL, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_serve(pair.side[1], AT_ONCE, &none, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_serve(pair.side[1], AT_ONCE, NULL, 0), HQQ_ERR_TIMEOUT);
	/* without a method it answers all the same */
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 0, 1, NULL, 0, &id), 0);
	MUST_EQ(hqq_advanced_serve(pair.side[1], WITHIN_MS(5), NULL, 0), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_call_wait(pair.side[0], PATIENT, id, &response), 0);
	MUST(hqq_message_is_error(&response));
	adv_pair_close(&pair);
}
END_TEST

/* ---- answers from elsewhere -------------------------------------------------------------------- */

#define LATER 40

static struct {
	pthread_mutex_t lock;
	struct hqq_message requests[LATER];
	unsigned count, answered;
} desk;

static void answer_some(void *argument, unsigned index)
{
	(void)argument, (void)index;
	for (;;) {
		struct hqq_message request = {.flags = 0};
		bool done;

		pthread_mutex_lock(&desk.lock);
		if (desk.count > 0 && (desk.count + desk.answered == LATER || desk.count > 10)) {
			request = desk.requests[--desk.count]; /* the last one first */
			desk.answered++;
		}
		done = desk.answered == LATER;
		pthread_mutex_unlock(&desk.lock);
		if (hqq_message_is_request(&request)) {
			MUST_EQ(hqq_advanced_respond(pair.side[1], PATIENT, &request, request.method_id,
						     request.payload, request.payload_size),
				0);
			hqq_message_clear(&request);
		} else if (done) {
			return;
		} else {
			sched_yield();
		}
	}
}

static void *take_requests(void *argument)
{
	unsigned i;

	(void)argument;
	for (i = 0; i < LATER; i++) {
		struct hqq_message request;

		MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &request), 0);
		pthread_mutex_lock(&desk.lock);
		desk.requests[desk.count++] = request;
		pthread_mutex_unlock(&desk.lock);
	}
	return NULL;
}

static void call_for_later(void *argument, unsigned index)
{
	uint64_t ids[LATER / 4], i;

	(void)argument;
	for (i = 0; i < LATER / 4; i++)
		MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, index, i, &i, sizeof(i), &ids[i]), 0);
	for (i = 0; i < LATER / 4; i++) {
		struct hqq_message response;

		MUST_EQ(hqq_advanced_call_wait(pair.side[0], PATIENT, ids[i], &response), 0);
		MUST_EQ(response.status, i);
		MUST_EQ(response.connection_id, index);
		MUST(response.payload_size == sizeof(i) && memcmp(response.payload, &i, sizeof(i)) == 0);
		hqq_message_clear(&response);
	}
}

static void everybody(void *argument, unsigned index)
{
	if (index < 4)
		call_for_later(argument, index);
	else if (index == 4)
		take_requests(argument);
	else
		answer_some(argument, index);
}

START_TEST(answered_later_by_other_threads)
{
	pthread_mutex_init(&desk.lock, NULL);
	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	test_run_threads(7, everybody, NULL);
	adv_pair_close(&pair);
	pthread_mutex_destroy(&desk.lock);
}
END_TEST

/* ---- its end ----------------------------------------------------------------------------------- */

static _Atomic int phase; /* 1: the handler runs, 2: it may end */

static int linger(hqq_advanced *handle, const struct hqq_message *request, void *argument)
{
	(void)handle, (void)request, (void)argument;
	phase = 1;
	while (phase != 2)
		test_sleep_ms(1);
	return 0;
}

static void *serve_lingering(void *argument)
{
	const struct hqq_method method = {1, linger, NULL};

	*(int *)argument = hqq_advanced_serve(pair.side[1], NULL, &method, 1);
	return NULL;
}

/*
 * Closed while a handler runs: close does not wait for it, and serve says so when it ends. _i: the
 * program has opened another link meanwhile, whose requests are none of this server's business
 */
START_TEST(closed_while_a_handler_runs)
{
	struct adv_pair another = {{NULL, NULL}};
	hqq_advanced *closed;
	pthread_t thread;
	uint64_t id;
	int rc = 1;

	phase = 0;
	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	closed = pair.side[1];
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 0, 1, NULL, 0, &id), 0);
	MUST_EQ(pthread_create(&thread, NULL, serve_lingering, &rc), 0);
	while (phase != 1)
		test_sleep_ms(1);
	MUST_EQ(hqq_advanced_close(closed), 0);
	pair.side[1] = NULL;
	if (_i)
		adv_pair_open(&another, COUNT, SIZE, NULL, NULL);
	phase = 2;
	test_sleep_ms(UINT64_C(50) * test_slowness());
	if (_i) { /* requests to either end of the new link: for receive alone */
		struct hqq_message request;
		int i;

		for (i = 0; i < 2; i++) {
			MUST_EQ(hqq_advanced_call_start(another.side[i], PATIENT, 0, 2, NULL, 0, &id), 0);
			test_sleep_ms(UINT64_C(20) * test_slowness());
			MUST_EQ(hqq_advanced_receive(another.side[1 - i], PATIENT, &request), 0);
			MUST(hqq_message_is_request(&request));
			hqq_message_clear(&request);
		}
		adv_pair_close(&another);
	}
	MUST_EQ(pthread_join(thread, NULL), 0);
	MUST_EQ(rc, HQQ_ERR_CLOSED);
	adv_pair_close(&pair);
}
END_TEST

static int close_it(hqq_advanced *handle, const struct hqq_message *request, void *argument)
{
	(void)request, (void)argument;
	MUST_EQ(hqq_advanced_respond(handle, PATIENT, request, 0, NULL, 0), 0);
	MUST_EQ(hqq_advanced_close(handle), 0);
	return 0;
}

START_TEST(closed_by_its_handler)
{
	const struct hqq_method method = {1, close_it, NULL};
	uint64_t id;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 0, 1, NULL, 0, &id), 0);
	MUST_EQ(hqq_advanced_serve(pair.side[1], PATIENT, &method, 1), HQQ_ERR_CLOSED);
	pair.side[1] = NULL;
	MUST_EQ(hqq_advanced_call_wait(pair.side[0], PATIENT, id, NULL), 0);
	adv_pair_close(&pair);
}
END_TEST

START_TEST(the_caller_closes)
{
	struct adv_server server;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	adv_server_start(&server, pair.side[1]);
	adv_echo(pair.side[0], 0, 10, 1);
	MUST_EQ(hqq_advanced_close(pair.side[0]), 0);
	pair.side[0] = NULL;
	MUST_EQ(pthread_join(server.thread, NULL), 0);
	MUST_EQ(server.rc, HQQ_ERR_PEER_GONE);
	adv_pair_close(&pair);
}
END_TEST

/* The one whose stream ended while its request was handled is none the wiser; the others go on. */
START_TEST(a_caller_hangs_up)
{
	const unsigned char nap = 50;
	struct adv_server server;
	uint64_t id, call;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_listen(pair.side[1]), 0);
	adv_server_start(&server, pair.side[1]);
	MUST_EQ(hqq_advanced_dial(pair.side[0], PATIENT, &id), 0);
	MUST_EQ(hqq_advanced_accept(pair.side[1], PATIENT, &id), 0);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, id, ADV_SILENT, &nap, 1, &call), 0);
	MUST_EQ(hqq_advanced_hangup(pair.side[0], PATIENT, id, 0), 0);
	adv_echo(pair.side[0], 0, 10, 1);
	MUST_EQ(hqq_advanced_call_cancel(pair.side[0], call), 0);
	MUST_EQ(adv_server_stop(&server), HQQ_ERR_CANCELED);
	adv_pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: serving");
	TCase *cases = test_case(suite, "both directions", 30);

	tcase_add_loop_test(cases, calls_in_both_directions, 1, 5);
	tcase_add_test(cases, a_handler_calls_back);
	tcase_add_test(cases, slow_beside_fast);
	tcase_add_test(cases, other_messages_are_left_alone);
	tcase_add_test(cases, what_may_not_be_served);
	cases = test_case(suite, "answers from elsewhere", 30);
	tcase_add_test(cases, answered_later_by_other_threads);
	cases = test_case(suite, "its end", 30);
	tcase_add_loop_test(cases, closed_while_a_handler_runs, 0, 2);
	tcase_add_test(cases, closed_by_its_handler);
	tcase_add_test(cases, the_caller_closes);
	tcase_add_test(cases, a_caller_hangs_up);
	return test_main(suite);
}
