/*
 * test_step_leave.c - an endpoint leaves and another joins, at every instruction of a repair
 *
 * Who leaves while a repairer looks at its entry is not dead: the next who joins takes the entry and
 * claims a slot, and the repairer, who was slow, must not finish that for it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "stepper.h"

#include <hqq.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 64
#define WAY 120 /* instructions from where one left to where the other joins: an entry or two is looked at there */
#define STRIDE 23

static struct repairer {
	const char *name;
	hqq_standard *handle;
	int *mended; /* shared with the parent */
} repairer;

static void __attribute__((noinline)) repair(void *argument)
{
	struct repairer *r = argument;

	*r->mended = hqq_standard_recover(r->handle);
}

static int be_repairer(void *argument)
{
	struct repairer *r = argument;

	MUST_EQ(hqq_standard_open(&r->handle, r->name, 0, 0, NULL), 0);
	parent_say('j');
	stepper_await();
	repair(r);
	return 0;
}

/* Its entry is the one behind the leaver's, so that the next who joins takes the leaver's. */
static void start_repairer(struct child *child, struct stepper *stepper)
{
	memset(stepper, 0, sizeof(*stepper));
	child_start(child, be_repairer, &repairer);
	child_hear(child, 'j');
	stepper_meet(stepper, child->pid);
	stepper_begin(stepper, repair);
}

static void expect_empty(hqq_standard *peer)
{
	char text[SIZE];

	MUST_EQ(hqq_standard_recover(peer), 0);
	MUST_EQ(hqq_standard_read(peer, text, sizeof(text)), HQQ_ERR_TIMEOUT);
}

static void leave_and_join_at(hqq_standard *peer, const struct stepper_trace *trace, size_t k)
{
	struct hqq_reservation slot;
	hqq_standard *leaver, *other;
	struct stepper stepper;
	struct child child;
	char text[SIZE];

	MUST_EQ(hqq_standard_open(&leaver, repairer.name, 0, 0, NULL), 0);
	start_repairer(&child, &stepper);
	stepper_run_to(&stepper, trace, k);
	MUST_EQ(hqq_standard_close(leaver), 0);
	stepper_walk(&stepper, WAY);
	MUST_EQ(hqq_standard_open(&other, repairer.name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_reserve_write(other, &slot), 0);
	stepper_leave_stopped(&stepper);
	MUST_EQ(kill(child.pid, SIGCONT), 0);
	child_join_ok(&child);
	if (*repairer.mended != 0)
		test_must_failed(__FILE__, __LINE__, "left at instruction %zu of %zu: %d slots of the living mended", k,
		                 trace->length, *repairer.mended);
	memcpy(slot.data, "mine", 4);
	MUST_EQ(hqq_standard_commit(&slot, 4), 0);
	MUST_EQ(hqq_standard_close(other), 0);
	MUST_EQ(hqq_standard_read(peer, text, sizeof(text)), 4);
	MUST_EQ(memcmp(text, "mine", 4), 0);
	expect_empty(peer);
}

START_TEST(who_leaves_meanwhile_is_not_dead)
{
	const size_t stride = getenv("HQQ_TEST_LONG") ? 1 : STRIDE;
	const struct timespec passed = {0, 0};
	struct stepper_trace trace = {0};
	struct stepper stepper;
	struct child child;
	hqq_standard *peer, *leaver;

	if (stepper_obstacle() != NULL) {
		test_skip("%s", stepper_obstacle());
		return;
	}
	repairer.name = test_name("leave");
	repairer.mended = (int *)(void *)test_map_memory(sizeof(*repairer.mended));
	MUST_EQ(hqq_standard_create(&peer, repairer.name, 4, SIZE, 0, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(peer, &passed), 0);
	MUST_EQ(hqq_standard_open(&leaver, repairer.name, 0, 0, NULL), 0);
	start_repairer(&child, &stepper);
	stepper_record(&stepper, &trace);
	child_kill(&child);
	MUST_EQ(hqq_standard_close(leaver), 0);
	expect_empty(peer);
	for (size_t k = 0; k < trace.length; k += stride)
		leave_and_join_at(peer, &trace, k);
	stepper_forget(&trace);
	MUST_EQ(hqq_standard_close(peer), 0);
	test_unmap((unsigned char *)repairer.mended, sizeof(*repairer.mended));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("leaving while looked at");
	TCase *cases = test_case(suite, "stepped", 120);

	tcase_add_test(cases, who_leaves_meanwhile_is_not_dead);
	return test_main(suite);
}
