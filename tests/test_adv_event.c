/*
 * test_adv_event.c - event loops, and Standard payloads beside Advanced traffic
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define COUNT 8
#define SIZE 64

/* Ready within so many ms? */
static bool ready(int fd, int milliseconds)
{
	struct pollfd poller = {fd, POLLIN, 0};
	int n;

	do
		n = poll(&poller, 1, milliseconds);
	while (n < 0 && errno == EINTR);
	MUST(n >= 0 && (n == 0 || poller.revents == POLLIN));
	return n == 1;
}

static void must_be_ready(int fd)
{
	MUST(ready(fd, 8000 * (int)test_slowness()));
}

/* Of nothing that is there may the descriptor go on speaking; the watcher may need a moment. */
static void must_calm_down(int fd)
{
	const uint64_t end = test_now_ns() + UINT64_C(8000000000) * test_slowness();

	while (ready(fd, 0)) {
		MUST(test_now_ns() < end);
		test_sleep_ms(1);
	}
	MUST(!ready(fd, 20));
}

/* An event loop: what is there is taken by dispatch(), then without waiting by everybody. */
static void turn(hqq_advanced *handle, int fd)
{
	must_be_ready(fd);
	MUST(hqq_advanced_dispatch(handle, AT_ONCE) >= 0);
}

/* What can arrive, each with how it is taken. */
enum { DATA, REQUEST, STANDARD, ARRIVALS };

static void arrive(hqq_advanced *from, int what)
{
	uint64_t id;

	if (what == DATA)
		adv_push(from, 0, 3 * SIZE, 1);
	else if (what == REQUEST)
		MUST_EQ(hqq_advanced_call_start(from, PATIENT, 0, 1, "ask", 3, &id), 0);
	else
		MUST_EQ(hqq_advanced_write(from, PATIENT, "fill", 4), 4);
}

/* false: it is not there yet. */
static bool take(hqq_advanced *handle, int what)
{
	struct hqq_message message;
	char buffer[8];
	ssize_t rc;

	if (what == DATA || what == REQUEST)
		rc = hqq_advanced_receive(handle, AT_ONCE, &message);
	else
		rc = hqq_advanced_read(handle, AT_ONCE, buffer, sizeof(buffer));
	if (rc == HQQ_ERR_TIMEOUT)
		return false;
	MUST_EQ(rc, what == STANDARD ? 4 : 0);
	if (what == DATA || what == REQUEST) {
		MUST_EQ(hqq_message_is_request(&message), what == REQUEST);
		hqq_message_clear(&message);
	}
	return true;
}

/* _i: dispatcher * ARRIVALS + what arrives */
START_TEST(ready_for_what_arrives)
{
	const struct hqq_advanced_options options = adv_options((uint32_t)(_i / ARRIVALS), 0, 0, 0);
	const int what = _i % ARRIVALS;
	struct adv_pair pair;
	int fd, round;

	adv_pair_open(&pair, 16, SIZE, &options, NULL);
	fd = hqq_advanced_event_fd(pair.side[0]);
	MUST(fd >= 0);
	MUST_EQ(hqq_advanced_event_fd(pair.side[0]), fd);
	must_calm_down(fd);
	for (round = 0; round < 10; round++) {
		arrive(pair.side[1], what);
		turn(pair.side[0], fd);
		must_be_ready(fd); /* until the program took it */
		while (!take(pair.side[0], what))
			test_sleep_ms(1);
		must_calm_down(fd);
	}
	adv_pair_close(&pair);
}
END_TEST

/* What was there before anybody asked for the descriptor. */
START_TEST(ready_from_the_start)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);
	struct adv_pair pair;
	int fd;

	adv_pair_open(&pair, 16, SIZE, &options, NULL);
	arrive(pair.side[1], _i);
	if (_i == DATA) /* in the inbox already, not in the ring */
		MUST(hqq_advanced_dispatch(pair.side[0], AT_ONCE) > 0);
	fd = hqq_advanced_event_fd(pair.side[0]);
	turn(pair.side[0], fd);
	must_be_ready(fd);
	MUST(take(pair.side[0], _i));
	must_calm_down(fd);
	adv_pair_close(&pair);
}
END_TEST

/* A whole program made of one loop: it negotiates, serves and answers, with no thread but the watcher. */
START_TEST(a_loop_that_serves)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);
	const unsigned calls = 50;
	struct hqq_message request, response;
	struct adv_pair pair;
	uint64_t ids[4];
	unsigned i, k;
	int fd;

	adv_pair_open(&pair, 16, SIZE, &options, &options);
	fd = hqq_advanced_event_fd(pair.side[0]);
	for (i = 0; i < calls; i++) {
		for (k = 0; k < 4; k++)
			MUST_EQ(hqq_advanced_call_start(pair.side[1], PATIENT, k, k, "question", 8, &ids[k]),
				0);
		for (k = 0; k < 4; k++) {
			must_be_ready(fd);
			MUST_EQ(hqq_advanced_receive(pair.side[0], AT_ONCE, &request), 0);
			MUST_EQ(hqq_advanced_respond(pair.side[0], AT_ONCE, &request, k, "answer", 6), 0);
			hqq_message_clear(&request);
		}
		must_calm_down(fd);
		for (k = 0; k < 4; k++) {
			MUST_EQ(hqq_advanced_call_wait(pair.side[1], AT_ONCE, ids[k], &response), 0);
			MUST_EQ(response.status, k);
			hqq_message_clear(&response);
		}
	}
	adv_pair_close(&pair);
}
END_TEST

/* Answers to calls that nobody waits for now make the descriptor ready, and dispatch() settles it. */
START_TEST(an_answer_in_a_loop)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);
	struct hqq_message request, response;
	struct adv_pair pair;
	uint64_t id;
	int fd;

	adv_pair_open(&pair, 16, SIZE, &options, NULL);
	fd = hqq_advanced_event_fd(pair.side[0]);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 0, 1, "question", 8, &id), 0);
	must_calm_down(fd);
	MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &request), 0);
	MUST_EQ(hqq_advanced_respond(pair.side[1], PATIENT, &request, 9, NULL, 0), 0);
	hqq_message_clear(&request);
	turn(pair.side[0], fd);
	must_calm_down(fd);
	MUST_EQ(hqq_advanced_call_wait(pair.side[0], AT_ONCE, id, &response), 0);
	MUST_EQ(response.status, 9);
	adv_pair_close(&pair);
}
END_TEST

START_TEST(dispatch_counts)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);
	hqq_context cancelled = HQQ_CONTEXT_INIT;
	struct adv_pair pair;

	adv_pair_open(&pair, 16, SIZE, &options, &options);
	MUST_EQ(hqq_advanced_dispatch(pair.side[0], AT_ONCE), 0);
	adv_push(pair.side[1], 0, 3 * SIZE, 1);
	MUST_EQ(hqq_advanced_write(pair.side[1], PATIENT, "fill", 4), 4);
	MUST_EQ(hqq_advanced_dispatch(pair.side[0], PATIENT), 4);
	MUST_EQ(hqq_advanced_dispatch(pair.side[0], WITHIN_MS(5)), 0);
	MUST_EQ(hqq_context_cancel(&cancelled), 0);
	MUST_EQ(hqq_advanced_dispatch(pair.side[0], &cancelled), HQQ_ERR_CANCELED);
	adv_drain(pair.side[0], 1);
	adv_pull(pair.side[0], 0, 3 * SIZE, 1);
	adv_pair_close(&pair);
}
END_TEST

/* ---- Standard payloads ------------------------------------------------------------------------- */

START_TEST(payloads_of_all_sizes)
{
	unsigned char in[SIZE], out[SIZE];
	struct adv_pair pair;
	size_t length;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	for (length = 1; length <= SIZE; length++) {
		test_fill(in, length, length);
		MUST_EQ(hqq_advanced_write(pair.side[0], PATIENT, in, length), (ssize_t)length);
		MUST_EQ(hqq_advanced_read(pair.side[1], PATIENT, out, sizeof(out)), (ssize_t)length);
		MUST_EQ(test_verify(out, length, length), -1);
		/* in two reads, the tail first kept */
		MUST_EQ(hqq_advanced_write(pair.side[1], PATIENT, in, length), (ssize_t)length);
		MUST_EQ(hqq_advanced_read(pair.side[0], PATIENT, out, 1), 1);
		if (length > 1)
			MUST_EQ(hqq_advanced_read(pair.side[0], AT_ONCE, out + 1, SIZE - 1),
				(ssize_t)length - 1);
		MUST_EQ(test_verify(out, length, length), -1);
	}
	MUST_EQ(hqq_advanced_write(pair.side[0], PATIENT, in, SIZE + 1), HQQ_ERR_BUFFER_OVERFLOW);
	MUST_EQ(hqq_advanced_read(pair.side[1], AT_ONCE, out, SIZE), HQQ_ERR_TIMEOUT);
	adv_pair_close(&pair);
}
END_TEST

static struct adv_pair crowd;

#define EACH (2000 / test_slowness())

/* One kind of traffic for each thread; all of them pass one another. */
static void traffic(void *argument, unsigned index)
{
	unsigned i;

	(void)argument;
	for (i = 0; i < EACH; i++) {
		char text[SIZE];

		if (index == 0) {
			MUST_EQ(hqq_advanced_write(crowd.side[0], PATIENT, &i, sizeof(i)), sizeof(i));
		} else if (index == 1) {
			MUST_EQ(hqq_advanced_read(crowd.side[1], PATIENT, text, sizeof(text)), sizeof(i));
			MUST(memcmp(text, &i, sizeof(i)) == 0);
		} else if (index == 2 && i % 4 == 0) {
			adv_push(crowd.side[0], 1, 2 * SIZE, i);
		} else if (index == 3 && i % 4 == 0) {
			adv_pull(crowd.side[1], 1, 2 * SIZE, i);
		} else if (index == 4 && i % 4 == 0) {
			adv_echo(crowd.side[1], 2, 2 * SIZE, i);
		}
	}
}

/* _i: dispatcher */
START_TEST(payloads_beside_everything)
{
	const struct hqq_advanced_options options = adv_options((uint32_t)_i, 0, 0, 0);
	struct adv_server server;

	adv_pair_open(&crowd, COUNT, SIZE, &options, &options);
	adv_server_start(&server, crowd.side[0]);
	test_run_threads(5, traffic, NULL);
	MUST_EQ(adv_server_stop(&server), HQQ_ERR_CANCELED);
	MUST_EQ(adv_stats(crowd.side[0]).dropped + adv_stats(crowd.side[1]).dropped, 0);
	MUST_EQ(adv_stats(crowd.side[0]).refused + adv_stats(crowd.side[1]).refused, 0);
	adv_pair_close(&crowd);
}
END_TEST

/* A peer that asks to negotiate waits for the program, also once its question was taken out of the ring. */
START_TEST(ready_while_a_peer_asks)
{
	const struct hqq_advanced_options manual = adv_options(HQQ_DISPATCH_MANUAL, 0, 0, 0);
	struct adv_pair pair;
	int fd;

	adv_open(&pair, COUNT, SIZE, &manual, &manual);
	fd = hqq_advanced_event_fd(pair.side[0]);
	MUST(fd >= 0);
	MUST_EQ(hqq_advanced_negotiate(pair.side[1], AT_ONCE, ADV_VERSION, ADV_ALL), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_dispatch(pair.side[0], AT_ONCE), 1);
	must_be_ready(fd);
	MUST_EQ(hqq_advanced_wait_negotiation(pair.side[0], AT_ONCE), 0);
	must_calm_down(fd);
	adv_pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: event loops");
	TCase *cases = test_case(suite, "event_fd", 20);

	tcase_add_loop_test(cases, ready_for_what_arrives, 0, 3 * ARRIVALS);
	tcase_add_loop_test(cases, ready_from_the_start, DATA, STANDARD + 1);
	tcase_add_test(cases, ready_while_a_peer_asks);
	tcase_add_test(cases, a_loop_that_serves);
	tcase_add_test(cases, an_answer_in_a_loop);
	tcase_add_test(cases, dispatch_counts);
	cases = test_case(suite, "Standard payloads", 30);
	tcase_add_test(cases, payloads_of_all_sizes);
	tcase_add_loop_test(cases, payloads_beside_everything, 0, 3);
	return test_main(suite);
}
