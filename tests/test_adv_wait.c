/*
 * test_adv_wait.c - every call that waits: its deadline, and how it is cancelled
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_waiter.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define COUNT 8
#define SIZE 64

/* Who dispatches while a call waits: it itself, a thread that waits already, or a background thread. */
enum { AS_DRIVER, AS_FOLLOWER, WITH_THREAD, MANUALLY, MANNERS };

struct scene {
	struct adv_pair pair;
	struct adv_waiting waiting, other;
	struct adv_waiter driver;
	hqq_context driver_context;
	bool has_driver;
};

static void scene_open(struct scene *scene, int way, int manner)
{
	const struct hqq_advanced_options options =
		adv_options(manner == WITH_THREAD ? HQQ_DISPATCH_THREAD
			    : manner == MANUALLY  ? HQQ_DISPATCH_MANUAL
						  : HQQ_DISPATCH_AUTO,
			    0, 0, 0);

	memset(scene, 0, sizeof(*scene));
	adv_open(&scene->pair, COUNT, SIZE, &options, NULL);
	if (way < ADV_WAYS_SESSION) {
		adv_agree(&scene->pair, ADV_ALL);
		adv_peer_prepare(scene->pair.side[1], way);
	}
	adv_waiting_prepare(&scene->waiting, scene->pair.side[0], way);
	/* before there is a session only an acceptor may wait beside others; it is its own driver then */
	scene->has_driver = manner == AS_FOLLOWER && way < ADV_WAYS_SESSION;
	if (scene->has_driver) {
		adv_waiting_prepare(&scene->other, scene->pair.side[0], 1);
		adv_waiter_start(&scene->driver, &scene->other, &scene->driver_context);
	}
}

static void scene_close(struct scene *scene)
{
	if (scene->has_driver) {
		MUST(scene->driver.ended_ns == 0); /* what ended the other wait was none of its business */
		MUST_EQ(hqq_context_cancel(&scene->driver_context), 0);
		MUST_EQ(adv_waiter_join(&scene->driver), HQQ_ERR_CANCELED);
	}
	adv_waiting_clear(&scene->waiting);
	adv_pair_close(&scene->pair);
}

/* _i: manner * ADV_WAYS + way, in all tests here */
START_TEST(deadlines)
{
	const uint64_t patience[] = {0, 1, 30};
	struct scene scene;
	unsigned i;

	for (i = 0; i < 3; i++) {
		uint64_t began, took;

		scene_open(&scene, _i % ADV_WAYS, _i / ADV_WAYS);
		began = test_now_ns();
		MUST_EQ(adv_wait(&scene.waiting, WITHIN_MS(patience[i])), HQQ_ERR_TIMEOUT);
		took = test_now_ns() - began;
		MUST(took >= patience[i] * 1000000);
		MUST(took < UINT64_C(5000000000) * test_slowness());
		scene_close(&scene);
	}
}
END_TEST

START_TEST(a_deadline_in_the_past)
{
	const struct timespec past = {0, 1};
	hqq_context context = HQQ_CONTEXT_INIT;
	struct scene scene;

	scene_open(&scene, _i % ADV_WAYS, _i / ADV_WAYS);
	MUST_EQ(hqq_context_set_deadline(&context, &past), 0);
	MUST_EQ(adv_wait(&scene.waiting, &context), HQQ_ERR_TIMEOUT);
	scene_close(&scene);
}
END_TEST

START_TEST(cancelled_by_another_thread)
{
	hqq_context context = HQQ_CONTEXT_INIT;
	struct adv_waiter waiter;
	struct scene scene;

	scene_open(&scene, _i % ADV_WAYS, _i / ADV_WAYS);
	adv_waiter_start(&waiter, &scene.waiting, &context);
	MUST_EQ(hqq_context_cancel(&context), 0);
	MUST_EQ(adv_waiter_join(&waiter), HQQ_ERR_CANCELED);
	scene_close(&scene);
}
END_TEST

/* A wait that would begin after that does not. */
START_TEST(cancelled_before)
{
	hqq_context context = HQQ_CONTEXT_INIT;
	struct scene scene;

	scene_open(&scene, _i % ADV_WAYS, _i / ADV_WAYS);
	MUST_EQ(hqq_context_cancel(&context), 0);
	MUST_EQ(adv_wait(&scene.waiting, &context), HQQ_ERR_CANCELED);
	scene_close(&scene);
}
END_TEST

static hqq_context signalled;

static void on_signal(int number)
{
	(void)number;
	hqq_context_cancel(&signalled);
}

/* The handler runs in the very thread that waits. */
START_TEST(cancelled_by_a_signal)
{
	const struct sigaction action = {.sa_handler = on_signal};
	struct sigaction before;
	struct adv_waiter waiter;
	struct scene scene;

	signalled = (hqq_context)HQQ_CONTEXT_INIT;
	MUST_EQ(sigaction(SIGUSR1, &action, &before), 0);
	scene_open(&scene, _i % ADV_WAYS, _i / ADV_WAYS);
	adv_waiter_start(&waiter, &scene.waiting, &signalled);
	MUST_EQ(pthread_kill(waiter.thread, SIGUSR1), 0);
	MUST_EQ(adv_waiter_join(&waiter), HQQ_ERR_CANCELED);
	scene_close(&scene);
	MUST_EQ(sigaction(SIGUSR1, &before, NULL), 0);
}
END_TEST

static void ignore(int number)
{
	(void)number;
}

/* Any other signal leaves the wait alone, with SA_RESTART or without. */
START_TEST(interrupted_by_a_signal)
{
	const struct sigaction action = {.sa_handler = ignore};
	hqq_context context = HQQ_CONTEXT_INIT;
	struct sigaction before;
	struct adv_waiter waiter;
	struct scene scene;
	int i;

	MUST_EQ(sigaction(SIGUSR1, &action, &before), 0);
	scene_open(&scene, _i % ADV_WAYS, _i / ADV_WAYS);
	adv_waiter_start(&waiter, &scene.waiting, &context);
	for (i = 0; i < 5; i++) {
		MUST_EQ(pthread_kill(waiter.thread, SIGUSR1), 0);
		test_sleep_ms(1);
	}
	test_wait_asleep(getpid(), waiter.tid);
	MUST(waiter.ended_ns == 0);
	MUST_EQ(hqq_context_cancel(&context), 0);
	MUST_EQ(adv_waiter_join(&waiter), HQQ_ERR_CANCELED);
	scene_close(&scene);
	MUST_EQ(sigaction(SIGUSR1, &before, NULL), 0);
}
END_TEST

/* The driver is cancelled: a thread that merely followed takes over and gets what it waits for. */
START_TEST(the_driver_leaves)
{
	struct hqq_message message;
	hqq_context context = HQQ_CONTEXT_INIT;
	struct adv_waiting reading, receiving;
	struct adv_waiter driver, follower;
	struct adv_pair pair;
	char byte = 'x';

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	adv_waiting_prepare(&reading, pair.side[0], 1);
	adv_waiting_prepare(&receiving, pair.side[0], 1);
	adv_waiter_start(&driver, &reading, &context);
	adv_waiter_start(&follower, &receiving, NULL);
	MUST_EQ(hqq_context_cancel(&context), 0);
	MUST_EQ(adv_waiter_join(&driver), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_advanced_receive(pair.side[0], AT_ONCE, &message), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_write(pair.side[1], PATIENT, &byte, 1), 1);
	MUST_EQ(adv_waiter_join(&follower), 1);
	adv_pair_close(&pair);
}
END_TEST

/* One context for many calls at once: one cancel ends them all. */
START_TEST(one_cancel_for_all)
{
	hqq_context context = HQQ_CONTEXT_INIT;
	struct adv_waiting waiting[ADV_WAYS_ROOM];
	struct adv_waiter waiters[ADV_WAYS_ROOM];
	const struct hqq_advanced_options options = adv_options((uint32_t)_i, 0, 0, 0);
	struct adv_pair pair;
	int way;

	adv_pair_open(&pair, 32, SIZE, &options, NULL);
	for (way = 0; way < ADV_WAYS_ROOM; way++) {
		adv_waiting_prepare(&waiting[way], pair.side[0], way);
		adv_waiter_start(&waiters[way], &waiting[way], &context);
	}
	MUST_EQ(hqq_context_cancel(&context), 0);
	for (way = 0; way < ADV_WAYS_ROOM; way++)
		MUST_EQ(adv_waiter_join(&waiters[way]), HQQ_ERR_CANCELED);
	adv_pair_close(&pair);
}
END_TEST

/* What begins with a cancelled context does nothing, whether or not it would have to wait. */
START_TEST(nothing_begins_cancelled)
{
	hqq_context context = HQQ_CONTEXT_INIT;
	struct hqq_message message;
	struct adv_pair pair;
	uint64_t id = 4711;
	char byte = 'x';

	adv_pair_open(&pair, 32, SIZE, NULL, NULL);
	adv_push(pair.side[1], 0, 1, 1);
	MUST_EQ(hqq_advanced_write(pair.side[1], PATIENT, &byte, 1), 1);
	MUST_EQ(hqq_context_cancel(&context), 0);
	MUST_EQ(hqq_advanced_send_large(pair.side[0], &context, 0, "x", 1, &id), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_advanced_send_stream(pair.side[0], &context, 0, 0, NULL, NULL), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_advanced_call(pair.side[0], &context, 1, NULL, 0, &message), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_advanced_call_on(pair.side[0], &context, 1, 1, NULL, 0, &message), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_advanced_call_start(pair.side[0], &context, 0, 1, NULL, 0, &id), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_advanced_write(pair.side[0], &context, &byte, 1), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_advanced_dial(pair.side[0], &context, &id), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_advanced_receive(pair.side[0], &context, &message), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_advanced_read(pair.side[0], &context, &byte, 1), HQQ_ERR_CANCELED);
	MUST_EQ(id, 4711);
	/* nothing went out, and nothing was taken */
	MUST_EQ(hqq_advanced_dispatch(pair.side[1], AT_ONCE), 0);
	adv_pull(pair.side[0], 0, 1, 1);
	MUST_EQ(hqq_advanced_read(pair.side[0], AT_ONCE, &byte, 1), 1);
	adv_pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: waits");
	TCase *cases = test_case(suite, "deadlines", 20);

	tcase_add_loop_test(cases, deadlines, 0, MANNERS * ADV_WAYS);
	tcase_add_loop_test(cases, a_deadline_in_the_past, 0, MANNERS * ADV_WAYS);
	cases = test_case(suite, "cancelled", 20);
	tcase_add_loop_test(cases, cancelled_before, 0, MANNERS * ADV_WAYS);
	tcase_add_loop_test(cases, cancelled_by_another_thread, 0, MANNERS * ADV_WAYS);
	tcase_add_loop_test(cases, cancelled_by_a_signal, 0, MANNERS * ADV_WAYS);
	tcase_add_test(cases, nothing_begins_cancelled);
	tcase_add_loop_test(cases, interrupted_by_a_signal, 0, MANNERS * ADV_WAYS);
	cases = test_case(suite, "several", 20);
	tcase_add_test(cases, the_driver_leaves);
	tcase_add_loop_test(cases, one_cancel_for_all, 0, 3);
	return test_main(suite);
}
