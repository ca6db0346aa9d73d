/*
 * test_adv_flood.c - more than anybody takes: back-pressure, bounds, and no deadlock
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 4
#define SIZE 64
#define LARGE (10 * SIZE)

static struct adv_pair pair;

/* ---- both ways --------------------------------------------------------------------------------- */

struct traffic {
	unsigned senders, callers, servers; /* on each side, beside one receiver */
	unsigned messages, calls;           /* of each */
	unsigned pause_ms;                  /* the receiver's, after each message */
};

static const struct traffic traffics[] = {
	{1, 0, 0, 100, 0, 0}, {1, 0, 0, 100, 0, 1}, {2, 0, 0, 50, 0, 1},  {1, 1, 1, 100, 100, 0},
	{1, 1, 1, 60, 60, 1}, {2, 2, 2, 50, 50, 0}, {0, 2, 1, 0, 100, 0},
};
#define TRAFFICS ((int)(sizeof(traffics) / sizeof(*traffics)))

#define MOST 2 /* senders, or callers, of a side */
#define LEAST 5

static const struct traffic *traffic;

/* Each sender's and each caller's, by side. */
static struct test_quota messages[2][MOST], calls[2][MOST];

/* Of what one side's senders or callers do, by what is known now. */
static uint64_t sum(const struct test_quota quotas[MOST], unsigned count)
{
	uint64_t total = 0;
	unsigned i;

	for (i = 0; i < count; i++)
		total += test_quota_count(&quotas[i]);
	return total;
}

static void send_large(hqq_advanced *handle, struct test_quota *quota)
{
	unsigned i;

	for (i = 0; test_quota_next(quota, i, 1) > 0; i++)
		adv_push(handle, 0, LARGE, 1);
}

static void receive_large(hqq_advanced *handle, const struct test_quota theirs[MOST])
{
	unsigned i;

	for (i = 0; i < sum(theirs, traffic->senders); i++) {
		struct hqq_message message;
		int rc;

		/* serve takes the requests, receive must not: leave them to it by a turn of its own */
		rc = hqq_advanced_receive(handle, PATIENT, &message);
		MUST_EQ(rc, 0);
		if (hqq_message_is_request(&message)) {
			MUST_EQ(hqq_advanced_respond(handle, PATIENT, &message, message.payload_size,
						     message.payload, message.payload_size),
				0);
			i--;
		} else {
			MUST_EQ(message.payload_size, LARGE);
			MUST_EQ(test_verify(message.payload, LARGE, 1), -1);
		}
		hqq_message_clear(&message);
		if (traffic->pause_ms)
			test_sleep_ms(traffic->pause_ms);
	}
}

static void call_large(hqq_advanced *handle, struct test_quota *quota)
{
	unsigned i;

	for (i = 0; test_quota_next(quota, i, 1) > 0; i++)
		adv_echo(handle, 0, LARGE, i);
}

/* The threads of both sides but the servers: each side's senders, callers, receiver. */
static void take_part(void *argument, unsigned index)
{
	const unsigned side = index % 2, role = index / 2;
	hqq_advanced *handle = pair.side[side];

	(void)argument;
	if (role < traffic->senders)
		send_large(handle, &messages[side][role]);
	else if (role < traffic->senders + traffic->callers)
		call_large(handle, &calls[side][role - traffic->senders]);
	else
		receive_large(handle, messages[1 - side]);
}

START_TEST(both_sides_flood)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_AUTO, 0, 2, UINT64_C(1) << 20);
	struct adv_server servers[2][2];
	unsigned i;

	traffic = &traffics[_i];
	adv_pair_open(&pair, COUNT, SIZE, &options, &options);
	for (i = 0; i < 2 * MOST; i++) {
		test_quota_begin(&messages[i % 2][i / 2], traffic->messages, LEAST);
		test_quota_begin(&calls[i % 2][i / 2], traffic->calls, LEAST);
	}
	for (i = 0; i < 2 * traffic->servers; i++)
		adv_server_start(&servers[i % 2][i / 2], pair.side[i % 2]);
	test_run_threads(2 * (traffic->senders + traffic->callers + 1), take_part, NULL);
	for (i = 0; i < 2 * traffic->servers; i++)
		MUST_EQ(adv_server_stop(&servers[i % 2][i / 2]), HQQ_ERR_CANCELED);
	for (i = 0; i < 2; i++) {
		const struct hqq_advanced_stats stats = adv_stats(pair.side[i]);

		MUST_EQ(stats.large_messages_received, sum(messages[1 - i], traffic->senders));
		MUST_EQ(stats.responses_received, sum(calls[i], traffic->callers));
		MUST_EQ(stats.requests_received, sum(calls[1 - i], traffic->callers));
		MUST_EQ(stats.dropped + stats.refused + stats.aborted, 0);
	}
	adv_pair_close(&pair);
}
END_TEST

/* ---- a full inbox ------------------------------------------------------------------------------ */

/* Nobody waits for frames: what does not fit the inbox stays in the ring, and the sender waits. */
START_TEST(a_full_inbox_pushes_back)
{
	const struct hqq_advanced_options options = adv_options((uint32_t)_i, 0, 3, 0);
	unsigned sent, i;

	adv_pair_open(&pair, COUNT, SIZE, NULL, &options);
	for (sent = 0; sent < 3 + COUNT; sent++) {
		MUST_EQ(hqq_advanced_send_large(pair.side[0], PATIENT, 0, &sent, sizeof(sent), NULL), 0);
		/* the receiver's own program sends now and then, and so dispatches */
		MUST(hqq_advanced_dispatch(pair.side[1], AT_ONCE) >= 0);
	}
	for (i = 0; i < 3; i++) {
		MUST_EQ(hqq_advanced_send_large(pair.side[0], WITHIN_MS(20), 0, &sent, sizeof(sent), NULL),
			HQQ_ERR_TIMEOUT);
		MUST(hqq_advanced_dispatch(pair.side[1], AT_ONCE) >= 0);
	}
	for (i = 0; i < sent; i++) {
		struct hqq_message message;

		MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &message), 0);
		MUST(memcmp(message.payload, &i, sizeof(i)) == 0);
		hqq_message_clear(&message);
	}
	MUST_EQ(adv_stats(pair.side[1]).dropped, 0);
	adv_pair_close(&pair);
}
END_TEST

/* The same for Standard payloads and for requests. _i: requests */
START_TEST(each_kind_pushes_back)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_MANUAL, 0, 3, 0);
	struct hqq_message message;
	unsigned sent = 0, i;
	uint64_t id;
	int rc;

	adv_pair_open(&pair, COUNT, SIZE, NULL, &options);
	do {
		if (_i)
			rc = hqq_advanced_call_start(pair.side[0], WITHIN_MS(5), 0, sent, NULL, 0, &id);
		else
			rc = hqq_advanced_write(pair.side[0], WITHIN_MS(5), &sent, sizeof(sent)) < 0
				     ? HQQ_ERR_TIMEOUT
				     : 0;
		sent += rc == 0;
		MUST(hqq_advanced_dispatch(pair.side[1], AT_ONCE) >= 0);
	} while (rc == 0);
	MUST_EQ(rc, HQQ_ERR_TIMEOUT);
	MUST_EQ(sent, 3 + COUNT);
	for (i = 0; i < sent; i++) {
		unsigned got = 0;

		if (_i) {
			MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &message), 0);
			got = (unsigned)message.method_id;
			hqq_message_clear(&message);
		} else {
			MUST_EQ(hqq_advanced_read(pair.side[1], PATIENT, &got, sizeof(got)), sizeof(got));
		}
		MUST_EQ(got, i);
	}
	MUST_EQ(adv_stats(pair.side[1]).dropped, 0);
	adv_pair_close(&pair);
}
END_TEST

static _Atomic bool enough;
static _Atomic unsigned flooded;

static void *flood(void *argument)
{
	hqq_advanced *handle = argument;
	char bytes[SIZE] = {0};

	while (!enough) {
		int rc = hqq_advanced_send_large(handle, WITHIN_MS(10), 0, bytes, sizeof(bytes), NULL);

		MUST(rc == 0 || rc == HQQ_ERR_TIMEOUT);
		flooded += rc == 0;
	}
	return NULL;
}

/* A response behind a flood that nobody takes reaches its caller; what exceeds the bounds is dropped. */
START_TEST(a_full_inbox_keeps_no_response)
{
	const struct hqq_advanced_options options = adv_options((uint32_t)_i, 0, 3, 10000);
	struct hqq_advanced_stats stats;
	struct adv_server server;
	struct hqq_message message;
	unsigned kept = 0;
	pthread_t thread;
	int i;

	enough = false;
	flooded = 0;
	adv_pair_open(&pair, COUNT, SIZE, &options, NULL);
	adv_server_start(&server, pair.side[1]);
	MUST_EQ(pthread_create(&thread, NULL, flood, pair.side[1]), 0);
	for (i = 0; i < 200; i++)
		adv_echo(pair.side[0], 0, 3 * SIZE, 1);
	enough = true;
	MUST_EQ(pthread_join(thread, NULL), 0);
	MUST_EQ(adv_server_stop(&server), HQQ_ERR_CANCELED);
	do { /* until all is there: a thread of the library takes its time, and counts last */
		if (hqq_advanced_receive(pair.side[0], WITHIN_MS(5), &message) == 0) {
			kept++;
			hqq_message_clear(&message);
		}
		stats = adv_stats(pair.side[0]);
	} while (kept + stats.dropped < flooded || stats.large_messages_received < kept);
	MUST_EQ(hqq_advanced_receive(pair.side[0], WITHIN_MS(20), &message), HQQ_ERR_TIMEOUT);
	fprintf(stderr, "%u flooded, %u kept, %llu dropped\n", flooded, kept,
		(unsigned long long)stats.dropped);
	MUST_EQ(kept, stats.large_messages_received);
	MUST_EQ(kept + stats.dropped, flooded);
	MUST(kept <= 3 + 10000 / SIZE + COUNT);
	MUST_EQ(stats.refused, 0);
	adv_pair_close(&pair);
}
END_TEST

/* A dropped request is answered with an error, as is every one of a flood. */
START_TEST(dropped_requests_are_answered)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_AUTO, 0, 2, 1000);
	struct hqq_message response, request;
	uint64_t ids[64];
	unsigned i, served = 0, refused = 0;

	adv_pair_open(&pair, 64, SIZE, NULL, &options);
	for (i = 0; i < 60; i++)
		MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 0, 1, "x", 1, &ids[i]), 0);
	/* somebody waits for frames: for a Standard payload, behind the requests */
	MUST_EQ(hqq_advanced_write(pair.side[0], PATIENT, "behind", 6), 6);
	MUST_EQ(hqq_advanced_read(pair.side[1], PATIENT, (char[8]){0}, 8), 6);
	while (hqq_advanced_receive(pair.side[1], AT_ONCE, &request) == 0) {
		MUST_EQ(hqq_advanced_respond(pair.side[1], PATIENT, &request, 0, NULL, 0), 0);
		hqq_message_clear(&request);
		served++;
	}
	for (i = 0; i < 60; i++) {
		MUST_EQ(hqq_advanced_call_wait(pair.side[0], PATIENT, ids[i], &response), 0);
		if (hqq_message_is_error(&response)) {
			MUST_EQ(response.status, hqq_error_to_code(HQQ_ERR_BUFFER_OVERFLOW));
			refused++;
		}
		hqq_message_clear(&response);
	}
	MUST_EQ(served + refused, 60);
	MUST(served >= 2 && refused > 0);
	MUST_EQ(adv_stats(pair.side[1]).dropped, refused);
	adv_pair_close(&pair);
}
END_TEST

/* dispatch() has nothing to do while the inbox is full: it waits, and costs nothing. */
START_TEST(dispatch_with_a_full_inbox_sleeps)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_MANUAL, 0, 1, 0);
	uint64_t began;

	adv_pair_open(&pair, COUNT, SIZE, NULL, &options);
	adv_push(pair.side[0], 0, 1, 1);
	adv_push(pair.side[0], 0, 2, 2);
	MUST_EQ(hqq_advanced_dispatch(pair.side[1], PATIENT), 1);
	began = test_cpu_ns();
	MUST_EQ(hqq_advanced_dispatch(pair.side[1], WITHIN_MS(500)), 0);
	began = test_cpu_ns() - began;
	fprintf(stderr, "500 ms of waiting took %llu us of CPU time\n", (unsigned long long)began / 1000);
	MUST(began < UINT64_C(100000000)); /* a fifth: spinning takes all of it */
	adv_pull(pair.side[1], 0, 1, 1);
	adv_pull(pair.side[1], 0, 2, 2);
	adv_pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: floods");
	TCase *cases = test_case(suite, "both ways", 40);

	tcase_add_loop_test(cases, both_sides_flood, 0, TRAFFICS);
	cases = test_case(suite, "full", 30);
	tcase_add_loop_test(cases, a_full_inbox_pushes_back, HQQ_DISPATCH_AUTO, HQQ_DISPATCH_MANUAL + 1);
	tcase_add_loop_test(cases, each_kind_pushes_back, 0, 2);
	tcase_add_loop_test(cases, a_full_inbox_keeps_no_response, HQQ_DISPATCH_AUTO,
			    HQQ_DISPATCH_MANUAL + 1);
	tcase_add_test(cases, dropped_requests_are_answered);
	tcase_add_test(cases, dispatch_with_a_full_inbox_sleeps);
	return test_main(suite);
}
