/*
 * test_adv_negotiate.c - agreeing on features: both roles, at once, in vain, again
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_waiter.h"

#include <string.h>

#define COUNT 8
#define SIZE 64

/* A side that asks, in a thread of its own. */
struct asker {
	hqq_advanced *handle;
	uint64_t features;
	pthread_t thread;
	int rc;
};

static void *ask(void *argument)
{
	struct asker *asker = argument;

	asker->rc = hqq_advanced_negotiate(asker->handle, PATIENT, ADV_VERSION, asker->features);
	return NULL;
}

static void asker_start(struct asker *asker, hqq_advanced *handle, uint64_t features)
{
	asker->handle = handle;
	asker->features = features;
	MUST_EQ(pthread_create(&asker->thread, NULL, ask, asker), 0);
}

static int asker_join(struct asker *asker)
{
	MUST_EQ(pthread_join(asker->thread, NULL), 0);
	return asker->rc;
}

static void check_agreed(const hqq_advanced *handle, uint64_t features)
{
	const struct hqq_version version = hqq_advanced_negotiated_version(handle);

	MUST_EQ(hqq_advanced_protocol_state(handle), HQQ_PROTOCOL_NEGOTIATED);
	MUST_EQ(hqq_advanced_negotiated_features(handle), features);
	MUST_EQ(hqq_advanced_negotiated_capabilities(handle),
		HQQ_CAPABILITY_LARGE_BUFFERS | HQQ_CAPABILITY_HIGH_THROUGHPUT | HQQ_CAPABILITY_LOW_LATENCY);
	MUST_EQ(version.major, 1);
	MUST_EQ(version.minor, 0);
	MUST_EQ(hqq_advanced_is_large_copy_enabled(handle), (features & HQQ_FEATURE_LARGE_COPY) != 0);
	MUST_EQ(hqq_advanced_is_request_response_enabled(handle),
		(features & HQQ_FEATURE_REQUEST_RESPONSE) != 0);
	MUST(adv_stats(handle).negotiation_ns > 0);
}

static void check_not_agreed(const hqq_advanced *handle, int state)
{
	const struct hqq_version version = hqq_advanced_negotiated_version(handle);

	MUST_EQ(hqq_advanced_protocol_state(handle), state);
	MUST_EQ(hqq_advanced_negotiated_features(handle), 0);
	MUST_EQ(hqq_advanced_negotiated_capabilities(handle), 0);
	MUST_EQ(version.major, 0);
	MUST_EQ(version.minor, 0);
	MUST(!hqq_advanced_is_large_copy_enabled(handle));
	MUST(!hqq_advanced_is_request_response_enabled(handle));
}

/* _i: which side asks, and which features, as 4 * side + features */
START_TEST(one_asks_the_other_waits)
{
	const uint64_t features = (uint64_t)_i % 4;
	const int side = _i / 4;
	struct adv_pair pair;
	struct asker asker;

	adv_open(&pair, COUNT, SIZE, NULL, NULL);
	check_not_agreed(pair.side[0], HQQ_PROTOCOL_NONE);
	check_not_agreed(pair.side[1], HQQ_PROTOCOL_NONE);
	asker_start(&asker, pair.side[side], features);
	MUST_EQ(hqq_advanced_wait_negotiation(pair.side[1 - side], PATIENT), 0);
	MUST_EQ(asker_join(&asker), 0);
	check_agreed(pair.side[0], features);
	check_agreed(pair.side[1], features);
	adv_pair_close(&pair);
}
END_TEST

/* _i: the features of both, as 4 * ours + theirs */
START_TEST(both_ask_at_once)
{
	const uint64_t common = (uint64_t)(_i / 4) & (uint64_t)(_i % 4);
	unsigned round;

	for (round = 0; round < 100 / test_slowness(); round++) {
		struct asker askers[2];
		struct adv_pair pair;

		adv_open(&pair, COUNT, SIZE, NULL, NULL);
		asker_start(&askers[round % 2], pair.side[round % 2], (uint64_t)_i / 4);
		asker_start(&askers[1 - round % 2], pair.side[1 - round % 2], (uint64_t)_i % 4);
		MUST_EQ(asker_join(&askers[0]), 0);
		MUST_EQ(asker_join(&askers[1]), 0);
		check_agreed(pair.side[0], common);
		check_agreed(pair.side[1], common);
		/* and nothing of it is left in the rings to trouble the session */
		if (common & HQQ_FEATURE_LARGE_COPY) {
			adv_push(pair.side[0], 0, 3 * SIZE, round);
			adv_pull(pair.side[1], 0, 3 * SIZE, round);
			adv_push(pair.side[1], 0, 3 * SIZE, round);
			adv_pull(pair.side[0], 0, 3 * SIZE, round);
		}
		MUST_EQ(hqq_advanced_write(pair.side[0], AT_ONCE, "x", 1), 1);
		adv_pair_close(&pair);
	}
}
END_TEST

/* With threads that dispatch, the question may be there before this side asks. */
START_TEST(both_ask_with_threads)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_THREAD, 0, 0, 0);
	unsigned round;

	for (round = 0; round < 50 / test_slowness(); round++) {
		struct asker askers[2];
		struct adv_pair pair;

		adv_open(&pair, COUNT, SIZE, &options, &options);
		asker_start(&askers[0], pair.side[0], ADV_ALL);
		if (round % 2) /* asked and taken in before we ask */
			test_sleep_ms(2);
		asker_start(&askers[1], pair.side[1], HQQ_FEATURE_LARGE_COPY);
		MUST_EQ(asker_join(&askers[0]), 0);
		MUST_EQ(asker_join(&askers[1]), 0);
		check_agreed(pair.side[0], HQQ_FEATURE_LARGE_COPY);
		check_agreed(pair.side[1], HQQ_FEATURE_LARGE_COPY);
		adv_push(pair.side[round % 2], 0, 3 * SIZE, round);
		adv_pull(pair.side[1 - round % 2], 0, 3 * SIZE, round);
		adv_pair_close(&pair);
	}
}
END_TEST

START_TEST(not_twice)
{
	struct adv_pair pair;
	int i;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	for (i = 0; i < 2; i++) {
		MUST_EQ(hqq_advanced_negotiate(pair.side[i], AT_ONCE, ADV_VERSION, ADV_ALL),
			HQQ_ERR_INVALID_OP);
		MUST_EQ(hqq_advanced_wait_negotiation(pair.side[i], AT_ONCE), HQQ_ERR_INVALID_OP);
		check_agreed(pair.side[i], ADV_ALL);
	}
	adv_push(pair.side[0], 0, 3 * SIZE, 1);
	adv_pull(pair.side[1], 0, 3 * SIZE, 1);
	adv_pair_close(&pair);
}
END_TEST

START_TEST(only_what_we_know)
{
	const struct hqq_version wrong[] = {{0, 0}, {1, 1}, {2, 0}, {255, 255}};
	struct adv_pair pair;
	size_t i;

	adv_open(&pair, COUNT, SIZE, NULL, NULL);
	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		MUST_EQ(hqq_advanced_negotiate(pair.side[0], AT_ONCE, wrong[i], ADV_ALL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_negotiate(pair.side[0], AT_ONCE, ADV_VERSION, 4), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_negotiate(pair.side[0], AT_ONCE, ADV_VERSION, UINT64_MAX), HQQ_ERR_INVALID_OP);
	check_not_agreed(pair.side[0], HQQ_PROTOCOL_NONE);
	/* nothing was sent */
	MUST_EQ(hqq_advanced_wait_negotiation(pair.side[1], WITHIN_MS(1)), HQQ_ERR_TIMEOUT);
	adv_agree(&pair, ADV_ALL);
	adv_pair_close(&pair);
}
END_TEST

START_TEST(a_wait_in_vain_may_be_repeated)
{
	struct adv_pair pair;
	int i;

	adv_open(&pair, COUNT, SIZE, NULL, NULL);
	for (i = 0; i < 3; i++) {
		MUST_EQ(hqq_advanced_wait_negotiation(pair.side[1], WITHIN_MS(5)), HQQ_ERR_TIMEOUT);
		check_not_agreed(pair.side[1], HQQ_PROTOCOL_NONE);
	}
	adv_agree(&pair, ADV_ALL);
	adv_pair_close(&pair);
}
END_TEST

/* The usual way to start: ask until the other side is up. What it missed is no new session. */
START_TEST(a_question_in_vain_may_be_repeated)
{
	struct adv_pair pair;
	int i;

	adv_open(&pair, COUNT, SIZE, NULL, NULL);
	for (i = 0; i < _i; i++) {
		MUST_EQ(hqq_advanced_negotiate(pair.side[0], WITHIN_MS(5), ADV_VERSION, ADV_ALL),
			HQQ_ERR_TIMEOUT);
		check_not_agreed(pair.side[0], HQQ_PROTOCOL_NONE);
	}
	adv_agree(&pair, ADV_ALL);
	for (i = 0; i < 4; i++) {
		adv_push(pair.side[i % 2], 0, 3 * SIZE, 1);
		adv_pull(pair.side[1 - i % 2], 0, 3 * SIZE, 1);
	}
	check_agreed(pair.side[0], ADV_ALL);
	check_agreed(pair.side[1], ADV_ALL);
	adv_pair_close(&pair);
}
END_TEST

/* What a program does that lost its session: agrees anew, then goes on. */
static void *receive_in_any_session(void *handle)
{
	struct hqq_message message;
	int rc;

	while ((rc = hqq_advanced_receive(handle, PATIENT, &message)) == HQQ_ERR_PEER_GONE)
		MUST_EQ(hqq_advanced_wait_negotiation(handle, PATIENT), 0);
	MUST_EQ(rc, 0);
	MUST_EQ(message.payload_size, 3 * SIZE);
	hqq_message_clear(&message);
	return NULL;
}

/* The other side believes in a session that this side gave up. Asked anew, it comes along. */
START_TEST(answered_too_late)
{
	struct adv_pair pair;
	pthread_t thread;

	adv_open(&pair, COUNT, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_negotiate(pair.side[0], AT_ONCE, ADV_VERSION, ADV_ALL), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_wait_negotiation(pair.side[1], PATIENT), 0); /* it cannot know */
	MUST_EQ(hqq_advanced_wait_negotiation(pair.side[0], WITHIN_MS(5)), HQQ_ERR_TIMEOUT);
	check_not_agreed(pair.side[0], HQQ_PROTOCOL_NONE);
	MUST_EQ(pthread_create(&thread, NULL, receive_in_any_session, pair.side[1]), 0);
	MUST_EQ(hqq_advanced_negotiate(pair.side[0], PATIENT, ADV_VERSION, ADV_ALL), 0);
	adv_push(pair.side[0], 0, 3 * SIZE, 1);
	MUST_EQ(pthread_join(thread, NULL), 0);
	check_agreed(pair.side[1], ADV_ALL);
	adv_pair_close(&pair);
}
END_TEST

/* One thread's wait that ends in vain must not undo what another thread is about. */
START_TEST(one_thread_waits_another_asks)
{
	struct adv_pair pair;
	struct asker asker;
	unsigned i;

	adv_open(&pair, COUNT, SIZE, NULL, NULL);
	asker_start(&asker, pair.side[0], ADV_ALL);
	while (hqq_advanced_protocol_state(pair.side[0]) != HQQ_PROTOCOL_NEGOTIATING)
		test_sleep_ms(1);
	/* meanwhile a second thread may not join in */
	for (i = 0; i < 3; i++) {
		MUST_EQ(hqq_advanced_wait_negotiation(pair.side[0], WITHIN_MS(1)), HQQ_ERR_INVALID_OP);
		MUST_EQ(hqq_advanced_negotiate(pair.side[0], WITHIN_MS(1), ADV_VERSION, ADV_ALL),
			HQQ_ERR_INVALID_OP);
		MUST_EQ(hqq_advanced_protocol_state(pair.side[0]), HQQ_PROTOCOL_NEGOTIATING);
	}
	MUST_EQ(hqq_advanced_wait_negotiation(pair.side[1], PATIENT), 0);
	MUST_EQ(asker_join(&asker), 0);
	adv_pair_close(&pair);
}
END_TEST

START_TEST(a_wait_that_ends_leaves_the_asker_alone)
{
	hqq_context context = HQQ_CONTEXT_INIT;
	struct adv_waiting waiting;
	struct adv_waiter waiter;
	struct adv_pair pair;
	struct asker asker;

	adv_open(&pair, COUNT, SIZE, NULL, NULL);
	adv_waiting_prepare(&waiting, pair.side[0], ADV_WAY_ACCEPTOR);
	adv_waiter_start(&waiter, &waiting, &context); /* beside one that asks it could not begin */
	asker_start(&asker, pair.side[0], ADV_ALL);
	while (hqq_advanced_protocol_state(pair.side[0]) != HQQ_PROTOCOL_NEGOTIATING)
		test_sleep_ms(1);
	MUST_EQ(hqq_context_cancel(&context), 0);
	MUST_EQ(adv_waiter_join(&waiter), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_advanced_wait_negotiation(pair.side[1], PATIENT), 0);
	MUST_EQ(asker_join(&asker), 0);
	check_agreed(pair.side[0], ADV_ALL);
	adv_pair_close(&pair);
}
END_TEST

/* All are told of the one session; who comes when it has begun is refused, so all sleep before it does. */
START_TEST(several_threads_wait)
{
	struct adv_waiting waiting;
	struct adv_waiter waiters[4];
	struct adv_pair pair;
	int i;

	adv_open(&pair, COUNT, SIZE, NULL, NULL);
	adv_waiting_prepare(&waiting, pair.side[1], ADV_WAY_ACCEPTOR);
	for (i = 0; i < 4; i++)
		adv_waiter_start(&waiters[i], &waiting, NULL);
	MUST_EQ(hqq_advanced_negotiate(pair.side[0], PATIENT, ADV_VERSION, ADV_ALL), 0);
	for (i = 0; i < 4; i++)
		MUST_EQ(adv_waiter_join(&waiters[i]), 0);
	adv_pair_close(&pair);
}
END_TEST

static int no_chunk(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
		    size_t length, void *argument)
{
	(void)head, (void)total, (void)offset, (void)data, (void)length, (void)argument;
	return 0;
}

static ssize_t no_fill(uint64_t offset, void *data, size_t capacity, void *argument)
{
	(void)offset, (void)argument;
	memset(data, 0, capacity);
	return (ssize_t)capacity;
}

/* What each call of a feature says, in the state that the pair is in. */
static void check_calls(hqq_advanced *a, int plain, int large, int calls)
{
	const struct hqq_message request = {.message_id = 1, .flags = HQQ_FLAG_REQUEST};
	struct hqq_message message;
	char buffer[8];
	uint64_t id;

	MUST_EQ(hqq_advanced_receive(a, AT_ONCE, &message), plain);
	MUST_EQ(hqq_advanced_read(a, AT_ONCE, buffer, sizeof(buffer)), plain);
	MUST_EQ(hqq_advanced_dial(a, AT_ONCE, &id), plain);
	if (plain != HQQ_ERR_TIMEOUT) {
		MUST_EQ(hqq_advanced_write(a, AT_ONCE, "x", 1), plain);
		MUST_EQ(hqq_advanced_listen(a), plain);
	}
	MUST_EQ(hqq_advanced_accept(a, AT_ONCE, &id), HQQ_ERR_INVALID_OP); /* nobody listens */
	MUST_EQ(hqq_advanced_hangup(a, AT_ONCE, 7, 0),
		plain == HQQ_ERR_TIMEOUT ? HQQ_ERR_CONN_NOT_FOUND : HQQ_ERR_INVALID_OP);
	if (large == HQQ_ERR_INVALID_OP) {
		MUST_EQ(hqq_advanced_send_large(a, AT_ONCE, 0, "x", 1, NULL), large);
		MUST_EQ(hqq_advanced_send_stream(a, AT_ONCE, 0, 1, no_fill, NULL), large);
	}
	MUST_EQ(hqq_advanced_receive_stream(a, AT_ONCE, no_chunk, NULL), large);
	MUST_EQ(hqq_advanced_call(a, AT_ONCE, ADV_ECHO, "x", 1, &message), calls);
	MUST_EQ(hqq_advanced_call_on(a, AT_ONCE, 3, ADV_ECHO, "x", 1, &message), calls);
	MUST_EQ(hqq_advanced_serve(a, AT_ONCE, adv_methods, ADV_METHODS), calls);
	if (calls == HQQ_ERR_INVALID_OP) {
		MUST_EQ(hqq_advanced_call_start(a, AT_ONCE, 0, ADV_ECHO, "x", 1, &id), calls);
		MUST_EQ(hqq_advanced_respond(a, AT_ONCE, &request, 0, "x", 1), calls);
		MUST_EQ(hqq_advanced_respond_error(a, AT_ONCE, &request, 0, "x", 1), calls);
	}
	MUST_EQ(hqq_advanced_call_wait(a, AT_ONCE, 1, &message), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_call_cancel(a, 1), HQQ_ERR_INVALID_OP);
}

START_TEST(nothing_before_negotiation)
{
	struct adv_pair pair;
	int i;

	adv_open(&pair, COUNT, SIZE, NULL, NULL);
	for (i = 0; i < 2; i++) {
		check_calls(pair.side[i], HQQ_ERR_INVALID_OP, HQQ_ERR_INVALID_OP, HQQ_ERR_INVALID_OP);
		MUST_EQ(hqq_advanced_dispatch(pair.side[i], AT_ONCE), 0);
	}
	adv_pair_close(&pair);
}
END_TEST

/* _i: 4 * side + features */
START_TEST(nothing_that_was_not_agreed)
{
	const uint64_t features = (uint64_t)_i % 4;
	struct adv_pair pair;

	adv_open(&pair, 32, SIZE, NULL, NULL);
	adv_agree(&pair, features);
	check_calls(pair.side[_i / 4], HQQ_ERR_TIMEOUT,
		    features & HQQ_FEATURE_LARGE_COPY ? HQQ_ERR_TIMEOUT : HQQ_ERR_INVALID_OP,
		    features & HQQ_FEATURE_REQUEST_RESPONSE ? HQQ_ERR_TIMEOUT : HQQ_ERR_INVALID_OP);
	adv_pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: negotiation");
	TCase *cases = test_case(suite, "agreeing", 30);

	tcase_add_loop_test(cases, one_asks_the_other_waits, 0, 8);
	tcase_add_loop_test(cases, both_ask_at_once, 0, 16);
	tcase_add_test(cases, both_ask_with_threads);
	tcase_add_test(cases, several_threads_wait);
	cases = test_case(suite, "not agreeing", 30);
	tcase_add_test(cases, not_twice);
	tcase_add_test(cases, only_what_we_know);
	tcase_add_test(cases, a_wait_in_vain_may_be_repeated);
	tcase_add_loop_test(cases, a_question_in_vain_may_be_repeated, 0, 4);
	tcase_add_test(cases, answered_too_late);
	tcase_add_test(cases, one_thread_waits_another_asks);
	tcase_add_test(cases, a_wait_that_ends_leaves_the_asker_alone);
	cases = test_case(suite, "not agreed", 30);
	tcase_add_test(cases, nothing_before_negotiation);
	tcase_add_loop_test(cases, nothing_that_was_not_agreed, 0, 8);
	return test_main(suite);
}
