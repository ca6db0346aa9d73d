/*
 * test_adv_end.c - handles closed, peers closed and killed, while calls wait; and what comes after
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_waiter.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT 8
#define SIZE 64

static hqq_advanced *open_end(const char *name, bool primary, uint32_t dispatcher)
{
	const struct hqq_advanced_options options = adv_options(dispatcher, 0, 0, 0);
	hqq_advanced *handle;

	if (primary)
		MUST_EQ(hqq_advanced_create(&handle, name, COUNT, SIZE, 0600, &options), 0);
	else
		MUST_EQ(hqq_advanced_open(&handle, name, COUNT, SIZE, &options), 0);
	return handle;
}

/* ---- this handle is closed --------------------------------------------------------------------- */

/* _i: dispatcher * ADV_WAYS + way. The guard of the case sees to threads and descriptors. */
START_TEST(closed_in_a_wait)
{
	const struct hqq_advanced_options options = adv_options((uint32_t)(_i / ADV_WAYS), 0, 0, 0);
	const int way = _i % ADV_WAYS;
	struct adv_waiting waiting;
	struct adv_waiter waiter;
	struct adv_pair pair;

	adv_open(&pair, COUNT, SIZE, &options, NULL);
	if (way < ADV_WAYS_SESSION) {
		adv_agree(&pair, ADV_ALL);
		adv_peer_prepare(pair.side[1], way);
	}
	adv_waiting_prepare(&waiting, pair.side[0], way);
	adv_waiter_start(&waiter, &waiting, NULL);
	MUST_EQ(hqq_advanced_close(pair.side[0]), 0);
	MUST_EQ(adv_waiter_join(&waiter), HQQ_ERR_CLOSED);
	MUST_EQ(adv_wait(&waiting, AT_ONCE), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_close(pair.side[0]), HQQ_ERR_INVALID_OP);
	pair.side[0] = NULL;
	adv_waiting_clear(&waiting);
	adv_pair_close(&pair);
}
END_TEST

/* All of them at once, several threads each, with the event descriptor's watcher beside them. */
START_TEST(closed_in_all_waits)
{
	const struct hqq_advanced_options options = adv_options((uint32_t)_i, 0, 0, 0);
	struct adv_waiting waiting[ADV_WAYS_SESSION];
	struct adv_waiter waiters[ADV_WAYS_SESSION];
	const int threads = test_count_threads();
	const int descriptors = test_count_descriptors();
	struct adv_pair pair;
	int way;

	adv_open(&pair, 32, SIZE, &options, NULL);
	adv_agree(&pair, ADV_ALL);
	for (way = 0; way < ADV_WAYS_SESSION; way++) {
		adv_peer_prepare(pair.side[1], way);
		adv_waiting_prepare(&waiting[way], pair.side[0], way);
		if (way >= ADV_WAYS_ROOM || way < 2 || way == 5) /* what takes requests would take respond's */
			continue;
		adv_waiter_start(&waiters[way], &waiting[way], NULL);
	}
	for (way = 0; way < ADV_WAYS_SESSION; way++) {
		if (way >= ADV_WAYS_ROOM || way < 2 || way == 5)
			adv_waiter_start(&waiters[way], &waiting[way], NULL);
	}
	MUST(hqq_advanced_event_fd(pair.side[0]) >= 0);
	MUST_EQ(hqq_advanced_close(pair.side[0]), 0);
	for (way = 0; way < ADV_WAYS_SESSION; way++) {
		MUST_EQ(adv_waiter_join(&waiters[way]), HQQ_ERR_CLOSED);
		adv_waiting_clear(&waiting[way]);
	}
	pair.side[0] = NULL;
	adv_pair_close(&pair);
	test_must_have_threads(threads);
	MUST_EQ(test_count_descriptors(), descriptors);
}
END_TEST

/* Everything that a handle may hold when it is closed, for the leak checkers. */
START_TEST(closed_with_much_inside)
{
	struct adv_pair pair;
	uint64_t id;
	static char bytes[20 * SIZE];

	adv_pair_open(&pair, 64, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_listen(pair.side[1]), 0);
	MUST_EQ(hqq_advanced_dial(pair.side[0], PATIENT, &id), 0);
	MUST_EQ(hqq_advanced_send_large(pair.side[0], PATIENT, 0, bytes, sizeof(bytes), NULL), 0);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 0, 1, bytes, sizeof(bytes), &id), 0);
	MUST_EQ(hqq_advanced_write(pair.side[0], PATIENT, bytes, SIZE), SIZE);
	MUST_EQ(hqq_advanced_dispatch(pair.side[1], AT_ONCE) >= 0, 1);
	MUST_EQ(hqq_advanced_send_large(pair.side[0], WITHIN_MS(20), 0, bytes, sizeof(bytes), NULL), 0);
	adv_pair_close(&pair);
}
END_TEST

/* ---- the peer is gone -------------------------------------------------------------------------- */

struct remote {
	const char *name;
	int way;
	bool close; /* when told 'e'; else it waits to be killed */
};

/* The secondary, in a process of its own. */
static int peer(void *argument)
{
	const struct remote *remote = argument;
	hqq_advanced *handle = open_end(remote->name, false, HQQ_DISPATCH_AUTO);

	MUST_EQ(hqq_advanced_wait_negotiation(handle, PATIENT), 0);
	adv_peer_prepare(handle, remote->way);
	parent_say('r');
	parent_hear('e');
	if (remote->close)
		MUST_EQ(hqq_advanced_close(handle), 0);
	return 0;
}

static void tell(const char *way, const char *how, uint64_t since, uint64_t ended)
{
	fprintf(stderr, "%s: %s, known after %llu us\n", way, how,
		(unsigned long long)(ended > since ? (ended - since) / 1000 : 0));
}

/* _i: closed, else killed * ADV_WAYS_SESSION + way */
START_TEST(the_peer_goes)
{
	const char *name = test_name("gone");
	struct remote remote = {name, _i % ADV_WAYS_SESSION, _i >= ADV_WAYS_SESSION};
	hqq_advanced *handle = open_end(name, true, HQQ_DISPATCH_AUTO);
	struct adv_waiting waiting;
	struct adv_waiter waiter;
	struct child child;
	uint64_t since;

	child_start(&child, peer, &remote);
	MUST_EQ(hqq_advanced_negotiate(handle, PATIENT, ADV_VERSION, ADV_ALL), 0);
	child_hear(&child, 'r');
	adv_waiting_prepare(&waiting, handle, remote.way);
	adv_waiter_start(&waiter, &waiting, NULL);
	since = test_now_ns();
	if (remote.close) {
		child_say(&child, 'e');
		child_join_ok(&child);
	} else {
		child_kill(&child);
	}
	MUST_EQ(adv_waiter_join(&waiter), HQQ_ERR_PEER_GONE);
	tell(adv_way_name(remote.way), remote.close ? "closed" : "killed", since, waiter.ended_ns);
	MUST_EQ(hqq_advanced_protocol_state(handle), HQQ_PROTOCOL_NONE);
	MUST_EQ(hqq_advanced_negotiated_features(handle), 0);
	MUST_EQ(hqq_advanced_write(handle, AT_ONCE, "x", 1), HQQ_ERR_PEER_GONE);
	adv_waiting_clear(&waiting);
	MUST_EQ(hqq_advanced_close(handle), 0);
}
END_TEST

static void *dispatch_for_ever(void *handle)
{
	return (void *)(intptr_t)hqq_advanced_dispatch(handle, NULL);
}

/* An event loop without a deadline is told, once. _i: dispatcher, + 3: the peer is gone before it asks */
START_TEST(a_dispatcher_is_told)
{
	const struct hqq_advanced_options options = adv_options((uint32_t)_i % 3, 0, 0, 0);
	struct adv_pair pair;
	pthread_t thread;
	void *rc;

	adv_pair_open(&pair, COUNT, SIZE, &options, NULL);
	if (_i >= 3) {
		MUST_EQ(hqq_advanced_close(pair.side[1]), 0);
		test_sleep_ms(UINT64_C(10) * test_slowness()); /* a thread of the library finds out */
	}
	MUST_EQ(pthread_create(&thread, NULL, dispatch_for_ever, pair.side[0]), 0);
	if (_i < 3) {
		test_sleep_ms(5);
		MUST_EQ(hqq_advanced_close(pair.side[1]), 0);
	}
	pair.side[1] = NULL;
	MUST_EQ(pthread_join(thread, &rc), 0);
	MUST_EQ((intptr_t)rc, HQQ_ERR_PEER_GONE);
	MUST_EQ(hqq_advanced_dispatch(pair.side[0], WITHIN_MS(1)), 0);
	adv_pair_close(&pair);
}
END_TEST

/* ---- and comes back ---------------------------------------------------------------------------- */

struct life {
	int fd; /* of the segment */
	bool primary;
	bool kill;
};

/* One life of the other side, whichever that is: negotiates, echoes until it is told to end. */
static int live(void *argument)
{
	const struct life *life = argument;
	struct adv_server server;
	hqq_advanced *handle;
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;

	options.link.role = life->primary ? HQQ_ROLE_PRIMARY : HQQ_ROLE_SECONDARY;
	MUST_EQ(hqq_advanced_open_fd(&handle, life->fd, COUNT, SIZE, &options), 0);
	MUST_EQ(hqq_advanced_mode(handle), life->primary ? HQQ_MODE_PRIMARY : HQQ_MODE_SECONDARY);
	MUST_EQ(hqq_advanced_wait_negotiation(handle, PATIENT), 0);
	adv_server_start(&server, handle);
	parent_say('r');
	parent_hear('e');
	MUST_EQ(adv_server_stop(&server), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_advanced_close(handle), 0);
	return 0;
}

/*
 * The other side ends, by itself or killed in the middle of its traffic, and comes again, five times
 * over on one segment. _i: 2 * (it is the primary) + (killed)
 */
START_TEST(the_other_side_restarts)
{
	struct life life = {-1, _i / 2, _i % 2};
	const int ours = life.primary, theirs = !ours;
	struct hqq_message message;
	hqq_advanced *handle;
	struct adv_pair pair;
	struct child child;
	unsigned round;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	handle = pair.side[ours];
	life.fd = hqq_advanced_fd(handle);
	MUST_EQ(hqq_advanced_close(pair.side[theirs]), 0);
	MUST_EQ(hqq_advanced_receive(handle, PATIENT, &message), HQQ_ERR_PEER_GONE);
	for (round = 0; round < 5; round++) {
		child_start(&child, live, &life);
		MUST_EQ(hqq_advanced_negotiate(handle, PATIENT, ADV_VERSION, ADV_ALL), 0);
		child_hear(&child, 'r');
		adv_echo(handle, 0, 10 * COUNT * SIZE, round);
		if (life.kill) {
			static char bytes[3 * SIZE];

			MUST_EQ(hqq_advanced_send_large(handle, PATIENT, 0, bytes, sizeof(bytes), NULL), 0);
			child_kill(&child);
		} else {
			child_say(&child, 'e');
			child_join_ok(&child);
		}
		MUST_EQ(hqq_advanced_receive(handle, PATIENT, &message), HQQ_ERR_PEER_GONE);
		MUST_EQ(hqq_advanced_protocol_state(handle), HQQ_PROTOCOL_NONE);
	}
	MUST_EQ(hqq_advanced_close(handle), 0);
}
END_TEST

/* A child of ours may do nothing with the handle but close it, and that harms nobody. */
static int forked(void *argument)
{
	struct adv_pair *pair = argument;
	const int threads = test_count_threads(); /* ours, and maybe one of an emulator */
	struct hqq_message message;
	struct hqq_advanced_stats stats;

	MUST_EQ(hqq_advanced_receive(pair->side[0], AT_ONCE, &message), HQQ_ERR_FORKED);
	MUST_EQ(hqq_advanced_write(pair->side[0], AT_ONCE, "x", 1), HQQ_ERR_FORKED);
	MUST_EQ(hqq_advanced_call(pair->side[0], AT_ONCE, 1, "x", 1, &message), HQQ_ERR_FORKED);
	MUST_EQ(hqq_advanced_dispatch(pair->side[0], AT_ONCE), HQQ_ERR_FORKED);
	MUST_EQ(hqq_advanced_stats(pair->side[0], &stats), HQQ_ERR_FORKED);
	MUST_EQ(hqq_advanced_protocol_state(pair->side[0]), HQQ_ERR_FORKED);
	MUST_EQ(hqq_advanced_event_fd(pair->side[0]), HQQ_ERR_FORKED);
	adv_pair_close(pair);
	test_must_have_threads(threads);
	return 0;
}

/* What a thread holds that runs is lost to a forked child, which memcheck tells. */
static void wait_others_asleep(void)
{
	DIR *directory = opendir("/proc/self/task");
	struct dirent *entry;

	MUST(directory != NULL);
	while ((entry = readdir(directory)) != NULL) {
		const pid_t tid = (pid_t)atol(entry->d_name);

		if (tid > 0 && tid != getpid())
			test_wait_asleep(getpid(), tid);
	}
	closedir(directory);
}

/* _i: dispatcher; a thread of the parent waits in a call meanwhile */
START_TEST(a_forked_child)
{
	const struct hqq_advanced_options options = adv_options((uint32_t)_i, 0, 0, 0);
	hqq_context context = HQQ_CONTEXT_INIT;
	struct adv_server server;
	struct adv_waiting waiting;
	struct adv_waiter waiter;
	struct adv_pair pair;
	struct child child;
	uint64_t id;

	adv_pair_open(&pair, COUNT, SIZE, &options, &options);
	MUST(hqq_advanced_event_fd(pair.side[1]) >= 0);
	adv_waiting_prepare(&waiting, pair.side[0], 1);
	adv_waiter_start(&waiter, &waiting, &context);
	adv_server_start(&server, pair.side[1]);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], PATIENT, 0, ADV_ECHO, "x", 1, &id), 0);
	if (test_under_valgrind()) {
		while (adv_stats(pair.side[0]).responses_received == 0)
			test_sleep_ms(1);
		wait_others_asleep();
	}
	child_start(&child, forked, &pair);
	child_join_ok(&child);
	adv_echo(pair.side[0], 0, 10 * SIZE, 1);
	MUST(waiter.ended_ns == 0);
	MUST_EQ(hqq_context_cancel(&context), 0);
	MUST_EQ(adv_waiter_join(&waiter), HQQ_ERR_CANCELED);
	MUST_EQ(adv_server_stop(&server), HQQ_ERR_CANCELED);
	adv_pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: ends");
	TCase *cases = test_case(suite, "closed", 20);

	tcase_add_loop_test(cases, closed_in_a_wait, 0, 3 * ADV_WAYS);
	tcase_add_loop_test(cases, closed_in_all_waits, 0, 3);
	tcase_add_test(cases, closed_with_much_inside);
	cases = test_case(suite, "peer gone", 30);
	tcase_add_loop_test(cases, the_peer_goes, 0, 2 * ADV_WAYS_SESSION);
	tcase_add_loop_test(cases, a_dispatcher_is_told, 0, 6);
	cases = test_case(suite, "again", 30);
	tcase_add_loop_test(cases, the_other_side_restarts, 0, 4);
	tcase_add_loop_test(cases, a_forked_child, 0, 3);
	return test_main(suite);
}
