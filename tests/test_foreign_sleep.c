/*
 * test_foreign_sleep.c - the library asleep beside another implementation that never wakes it
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "foreign.h"
#include "support.h"

#include <hqq.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

static uint64_t patience(void)
{
	return 40 * SECOND * test_slowness();
}

/* ---- nobody wakes the library ------------------------------------------------------------------ */

struct sleeper {
	const char *name;
	uint32_t wait;
	bool writes; /* sleeps for room instead of for a message */
	bool learned; /* has met messages without a wake before */
};

#define ROUNDS 12
#define IDLE_MS 2000

static uint64_t cpu_share_per_mille(uint64_t cpu, uint64_t wall)
{
	return cpu * 1000 / wall;
}

static void sleep_once(struct sleeper *sleeper, hqq_standard *handle)
{
	char text[64];

	if (sleeper->writes)
		MUST_EQ(hqq_standard_write(handle, "awake", 5), 5);
	else
		MUST_EQ(hqq_standard_read(handle, text, sizeof(text)), 5);
}

/* The child that sleeps: rounds of short sleeps, then a long one under measure. */
static int sleeping_library(void *argument)
{
	struct sleeper *sleeper = argument;
	struct hqq_options options = HQQ_OPTIONS_INIT;
	struct timespec deadline = test_in_ms(patience() / 1000000);
	uint64_t cpu, wall, share;
	hqq_standard *handle;
	int i;

	options.wait = sleeper->wait;
	MUST_EQ(hqq_standard_open(&handle, sleeper->name, 0, 0, &options), 0);
	MUST_EQ(hqq_standard_set_deadline(handle, &deadline), 0);
	/* two slots: the third write has to wait */
	for (i = 0; sleeper->writes && i < 2; i++)
		sleep_once(sleeper, handle);
	for (i = 0; sleeper->learned && i < ROUNDS; i++) {
		parent_say('s');
		sleep_once(sleeper, handle);
	}
	/* before the other side hears of it, whose time counts from there */
	cpu = test_cpu_ns();
	wall = test_now_ns();
	parent_say('l');
	sleep_once(sleeper, handle);
	cpu = test_cpu_ns() - cpu;
	wall = test_now_ns() - wall;
	share = cpu_share_per_mille(cpu, wall);
	fprintf(stderr, "%s %s %s: %.1f s idle at %llu.%llu%% of a core\n",
	        sleeper->wait == HQQ_WAIT_BLOCK ? "block" : "adaptive", sleeper->writes ? "writer" : "reader",
	        sleeper->learned ? "beside a silent peer" : "fresh", (double)wall / 1e9,
	        (unsigned long long)(share / 10), (unsigned long long)(share % 10));
	MUST(wall >= IDLE_MS * UINT64_C(900000));
	/* an emulator's or a checker's own work is not the library's */
	if (test_slowness() == 1)
		MUST(share < 50);
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

static void move_one(const struct sleeper *sleeper, struct foreign *other)
{
	char text[64];

	if (sleeper->writes)
		MUST_EQ(foreign_read(other, text, sizeof(text), patience()), 5);
	else
		MUST_EQ(foreign_write(other, "awake", 5, patience()), FOREIGN_OK);
}

START_TEST(sleeping_library_beside_a_silent_peer)
{
	struct sleeper sleeper = { test_name("sleep"), HQQ_WAIT_BLOCK, (_i & 1) != 0, (_i & 2) != 0 };
	struct foreign other;
	struct child child;
	int i;

	if ((_i & 4) != 0)
		sleeper.wait = HQQ_WAIT_ADAPTIVE;
	MUST_EQ(foreign_create(&other, sleeper.name, 2, 64, NULL), FOREIGN_OK);
	child_start(&child, sleeping_library, &sleeper);
	for (i = 0; sleeper.learned && i < ROUNDS; i++) {
		child_hear(&child, 's');
		test_wait_asleep(child.pid, child.pid);
		test_sleep_ms((uint64_t)(i * 5));
		move_one(&sleeper, &other);
	}
	child_hear(&child, 'l');
	test_sleep_ms(IDLE_MS);
	move_one(&sleeper, &other);
	child_join_ok(&child);
	foreign_close(&other);
}
END_TEST

START_TEST(event_descriptor_beside_a_silent_peer)
{
	const char *name = test_name("event");
	struct foreign other;
	hqq_standard *handle;
	struct pollfd poller = { -1, POLLIN, 0 };
	char text[64];
	int i;

	MUST_EQ(foreign_create(&other, name, 4, 64, NULL), FOREIGN_OK);
	MUST_EQ(hqq_standard_open(&handle, name, 0, 0, NULL), 0);
	poller.fd = hqq_standard_event_fd(handle);
	MUST(poller.fd >= 0);
	for (i = 0; i < 5; i++) {
		MUST_EQ(poll(&poller, 1, 50), 0);
		MUST_EQ(foreign_write(&other, "hello", 5, 0), FOREIGN_OK);
		MUST_EQ(poll(&poller, 1, (int)(patience() / 1000000)), 1);
		MUST_EQ(hqq_standard_read(handle, text, sizeof(text)), 5);
	}
	MUST_EQ(hqq_standard_close(handle), 0);
	foreign_close(&other);
}
END_TEST

/* ---- a slot that the other holds is never taken from it ---------------------------------------- */

static int dying_library(void *argument)
{
	hqq_standard *handle;

	MUST_EQ(hqq_standard_open(&handle, argument, 0, 0, NULL), 0);
	parent_say('o');
	pause();
	return 0;
}

/* Makes an endpoint of the library die on the segment, so that there is somebody to look for. */
static void let_one_die(const char *name)
{
	struct child child;

	child_start(&child, dying_library, (void *)(uintptr_t)name);
	child_hear(&child, 'o');
	child_kill(&child);
}

START_TEST(held_foreign_slot_is_waited_for)
{
	const char *name = test_name("held");
	struct timespec soon;
	struct foreign_slot slot;
	struct foreign other;
	hqq_standard *handle;
	char text[64];
	int i;

	MUST_EQ(foreign_create(&other, name, 2, 64, NULL), FOREIGN_OK);
	MUST_EQ(hqq_standard_open(&handle, name, 0, 0, NULL), 0);
	let_one_die(name);

	/* a producer that takes its time */
	MUST_EQ(foreign_reserve_write(&other, &slot, 0), FOREIGN_OK);
	soon = test_in_ms(500);
	MUST_EQ(hqq_standard_set_deadline(handle, &soon), 0);
	MUST_EQ(hqq_standard_read(handle, text, sizeof(text)), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_recover(handle), 0);
	memcpy(slot.buffer, "late", 4);
	foreign_commit(&other, &slot, 4);
	MUST_EQ(hqq_standard_read(handle, text, sizeof(text)), 4);
	MUST(memcmp(text, "late", 4) == 0);

	/* and a consumer */
	for (i = 0; i < 2; i++)
		MUST_EQ(hqq_standard_write(handle, "room", 4), 4);
	MUST_EQ(foreign_reserve_read(&other, &slot, 0), FOREIGN_OK);
	soon = test_in_ms(500);
	MUST_EQ(hqq_standard_set_deadline(handle, &soon), 0);
	MUST_EQ(hqq_standard_write(handle, "full", 4), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_recover(handle), 0);
	MUST(memcmp(slot.buffer, "room", 4) == 0);
	foreign_release(&other, &slot);
	MUST_EQ(hqq_standard_write(handle, "goes", 4), 4);
	MUST_EQ(hqq_standard_close(handle), 0);
	foreign_close(&other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("foreign sleep");
	TCase *cases = test_case(suite, "sleep", 60);

	tcase_add_loop_test(cases, sleeping_library_beside_a_silent_peer, 0, 8);
	tcase_add_test(cases, event_descriptor_beside_a_silent_peer);
	tcase_add_test(cases, held_foreign_slot_is_waited_for);
	return test_main(suite);
}
