/*
 * test_event_close.c - closing a handle whose event descriptor is just being made, or armed
 *
 * Threads are held at the two points where close() could once miss them, by functions of the library
 * that the linker puts ours before (Makefile.inc).
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "event.h"
#include "futex.h"
#include "pair.h"
#include "support.h"

#include <hqq.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#define SIZE 64

/* A point that threads are held at, once it is shut. */
struct point {
	_Atomic bool shut;
	_Atomic unsigned int reached;
};

static struct point before_sleep, before_making, in_callback;

static void pass(struct point *point)
{
	point->reached++;
	while (point->shut)
		test_sleep_ms(1);
}

static void await(struct point *point)
{
	while (point->reached == 0)
		test_sleep_ms(1);
}

void __real_hqq_futex_wait_private(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline);
void __wrap_hqq_futex_wait_private(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline);

void __wrap_hqq_futex_wait_private(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline)
{
	pass(&before_sleep);
	__real_hqq_futex_wait_private(word, expected, deadline);
}

int __real_hqq_event_open(hqq_event_slot *slot, struct hqq_link *link, bool (*waits)(void *), void *argument);
int __wrap_hqq_event_open(hqq_event_slot *slot, struct hqq_link *link, bool (*waits)(void *), void *argument);

int __wrap_hqq_event_open(hqq_event_slot *slot, struct hqq_link *link, bool (*waits)(void *), void *argument)
{
	pass(&before_making);
	return __real_hqq_event_open(slot, link, waits, argument);
}

static int stay(const void *data, size_t length, void *argument)
{
	(void)data;
	(void)length;
	(void)argument;
	pass(&in_callback);
	return 0;
}

static void *read_in_place(void *handle)
{
	MUST_EQ(hqq_standard_read_zero_copy(handle, stay, NULL), 1);
	return NULL;
}

static void *ask_for_descriptor(void *handle)
{
	MUST(hqq_standard_event_fd(handle) >= 0);
	return NULL;
}

static void *close_it(void *handle)
{
	MUST_EQ(hqq_standard_close(handle), 0);
	return NULL;
}

/* A call with an invalid argument tells what state the handle is in. */
static void await_shut(hqq_standard *handle)
{
	while (hqq_standard_read_zero_copy(handle, NULL, NULL) != HQQ_ERR_CLOSED)
		test_sleep_ms(1);
}

static hqq_standard *open_second(struct pair *pair)
{
	hqq_standard *handle;

	before_sleep = before_making = in_callback = (struct point){ .shut = false };
	pair_open(pair, 4, SIZE);
	MUST_EQ(hqq_standard_open(&handle, hqq_standard_name(pair->side[0]), 0, 0, NULL), 0);
	return handle;
}

/*
 * The watcher has seen the descriptor armed, and is about to sleep for that; close() begins; a read that
 * leaves a message behind arms the descriptor once more. Nobody would have woken the watcher.
 */
START_TEST(armed_while_it_is_closed)
{
	struct pair pair;
	hqq_standard *handle = open_second(&pair);
	struct pollfd poller = { .events = POLLIN };
	pthread_t reader, closer;
	int i;

	in_callback.shut = before_sleep.shut = true;
	poller.fd = hqq_standard_event_fd(handle);
	MUST(poller.fd >= 0);
	for (i = 0; i < 2; i++)
		MUST_EQ(hqq_standard_write(pair.side[0], "x", 1), 1);
	MUST_EQ(poll(&poller, 1, -1), 1);
	await(&before_sleep);
	MUST_EQ(pthread_create(&reader, NULL, read_in_place, handle), 0);
	await(&in_callback);
	MUST_EQ(pthread_create(&closer, NULL, close_it, handle), 0);
	await_shut(handle);
	test_sleep_ms(20); /* close() stops what it stops before the calls have left */
	in_callback.shut = false;
	MUST_EQ(pthread_join(reader, NULL), 0);
	before_sleep.shut = false;
	MUST_EQ(pthread_join(closer, NULL), 0);
	pair_close(&pair);
}
END_TEST

/* The thread that makes the descriptor was inside its call when close() looked whether there is one. */
START_TEST(made_while_it_is_closed)
{
	struct pair pair;
	hqq_standard *handle = open_second(&pair);
	pthread_t maker, closer;

	before_making.shut = true;
	MUST_EQ(pthread_create(&maker, NULL, ask_for_descriptor, handle), 0);
	await(&before_making);
	MUST_EQ(pthread_create(&closer, NULL, close_it, handle), 0);
	await_shut(handle);
	test_sleep_ms(20);
	before_making.shut = false;
	MUST_EQ(pthread_join(maker, NULL), 0);
	MUST_EQ(pthread_join(closer, NULL), 0);
	pair_close(&pair); /* the guard of the test finds a thread or a descriptor that is left */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("closing beside the event descriptor");
	TCase *cases = test_case(suite, "held at a point", 20);

	tcase_add_test(cases, armed_while_it_is_closed);
	tcase_add_test(cases, made_while_it_is_closed);
	return test_main(suite);
}
