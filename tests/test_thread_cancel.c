/*
 * test_thread_cancel.c - pthread_cancel(): no call is a cancellation point
 *
 * The threads here are cancelled while they are in calls, and come out of them. They have no cancellation point
 * of their own, so they end as they would without.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.h"

#include <hqq.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#define COUNT 4
#define SIZE 64
#define LOOKS_MS 300 /* in which a call that waits looks several times whether its peer lives */

static struct scene {
	hqq_standard *reader, *writer;
	_Atomic bool over; /* the threads shall end */
} scene;

static void scene_open(uint64_t flags)
{
	const char *name = test_name("cancel");
	struct hqq_options options = HQQ_OPTIONS_INIT;

	options.flags = flags;
	scene.over = false;
	MUST_EQ(hqq_standard_create(&scene.reader, name, COUNT, SIZE, 0600, &options), 0);
	MUST_EQ(hqq_standard_open(&scene.writer, name, 0, 0, NULL), 0);
}

static void scene_close(void)
{
	MUST_EQ(hqq_standard_close(scene.reader), 0);
	MUST_EQ(hqq_standard_close(scene.writer), 0);
}

static void must_come_out(pthread_t thread)
{
	void *result;

	MUST_EQ(pthread_join(thread, &result), 0);
	MUST(result == &scene);
}

static void *read_one(void *argument)
{
	char bytes[SIZE];

	(void)argument;
	MUST_EQ(hqq_standard_read(scene.reader, bytes, sizeof(bytes)), 1);
	return &scene;
}

/* It waits, and looks for its peer meanwhile. */
START_TEST(a_reader_that_waits)
{
	pthread_t thread;

	scene_open(HQQ_PEER_EOF);
	MUST_EQ(pthread_create(&thread, NULL, read_one, NULL), 0);
	test_sleep_ms(LOOKS_MS / 3); /* whether it is inside by then changes nothing but what is tested */
	MUST_EQ(pthread_cancel(thread), 0);
	test_sleep_ms(LOOKS_MS);
	MUST_EQ(hqq_standard_write(scene.writer, "x", 1), 1);
	must_come_out(thread);
	scene_close();
}
END_TEST

static void *read_on(void *argument)
{
	char bytes[SIZE];

	(void)argument;
	while (!scene.over) {
		const ssize_t n = hqq_standard_read(scene.reader, bytes, sizeof(bytes));

		MUST(n == 1 || n == HQQ_ERR_TIMEOUT);
	}
	return &scene;
}

/* Whoever reads settles the event descriptor. */
START_TEST(readers_beside_an_event_descriptor)
{
	const struct timespec passed = {0, 0};
	char bytes[SIZE];
	pthread_t thread;
	int round, i;

	scene_open(0);
	MUST_EQ(hqq_standard_set_deadline(scene.reader, &passed), 0);
	MUST_EQ(hqq_standard_set_deadline(scene.writer, &passed), 0);
	MUST(hqq_standard_event_fd(scene.reader) >= 0);
	for (round = 0; round < 20; round++) {
		scene.over = false;
		MUST_EQ(pthread_create(&thread, NULL, read_on, NULL), 0);
		MUST_EQ(pthread_cancel(thread), 0);
		for (i = 0; i < 100; i++) {
			hqq_standard_write(scene.writer, "x", 1);
			sched_yield();
		}
		scene.over = true;
		must_come_out(thread);
		while (hqq_standard_read(scene.reader, bytes, sizeof(bytes)) == 1)
			;
	}
	scene_close();
}
END_TEST

static void *open_and_close(void *argument)
{
	while (!scene.over) {
		hqq_standard *handle;

		MUST_EQ(hqq_standard_open(&handle, argument, 0, 0, NULL), 0);
		MUST(hqq_standard_event_fd(handle) >= 0);
		MUST_EQ(hqq_standard_close(handle), 0);
	}
	return &scene;
}

/* Nothing is left behind: the guard round each test counts descriptors, and the table its entries. */
START_TEST(who_opens_and_closes)
{
	const char *name = test_name("opens");
	hqq_standard *maker;
	int round;

	MUST_EQ(hqq_standard_create(&maker, name, COUNT, SIZE, 0600, NULL), 0);
	for (round = 0; round < 100; round++) {
		pthread_t thread;

		scene.over = false;
		MUST_EQ(pthread_create(&thread, NULL, open_and_close, (void *)(uintptr_t)name), 0);
		usleep((useconds_t)(round * 10));
		MUST_EQ(pthread_cancel(thread), 0);
		usleep(1000);
		scene.over = true;
		must_come_out(thread);
	}
	MUST_EQ(hqq_standard_close(maker), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("threads that are cancelled");
	TCase *cases = test_case(suite, "pthread_cancel", 30);

	tcase_add_test(cases, a_reader_that_waits);
	tcase_add_test(cases, readers_beside_an_event_descriptor);
	tcase_add_test(cases, who_opens_and_closes);
	return test_main(suite);
}
