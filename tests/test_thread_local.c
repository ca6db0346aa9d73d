/*
 * test_thread_local.c - the library's threads in a program with much thread-local data
 *
 * Such data lies on each thread's stack, beside what the thread itself needs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"
#include "pair.h"
#include "support.h"
#include "waiter.h"

#include <hqq.h>
#include <poll.h>

#define SIZE 64
#define MUCH (200 * 1024) /* more than the whole stack of a thread of the library */

static _Thread_local volatile char data[MUCH];

/* Without it the linker could do without the data. */
static void touch_data(void)
{
	data[0] = data[MUCH - 1] = 1;
}

START_TEST(an_event_descriptor)
{
	struct pollfd poller = { .events = POLLIN };
	struct pair pair;

	touch_data();
	pair_open(&pair, 4, SIZE);
	poller.fd = hqq_standard_event_fd(pair.side[1]);
	MUST(poller.fd >= 0);
	MUST_EQ(waiter_call(pair.side[0], WAITER_READS), WAITER_LENGTH);
	MUST_EQ(poll(&poller, 1, 15000 * (int)test_slowness()), 1);
	MUST_EQ(waiter_call(pair.side[1], 0), WAITER_LENGTH);
	pair_close(&pair);
}
END_TEST

START_TEST(a_dispatcher)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_THREAD, 0, 0, 0);
	struct adv_pair pair;

	touch_data();
	adv_pair_open(&pair, 8, SIZE, &options, &options);
	adv_pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("thread-local data");
	TCase *cases = test_case(suite, "threads of the library", 20);

	tcase_add_test(cases, an_event_descriptor);
	tcase_add_test(cases, a_dispatcher);
	return test_main(suite);
}
