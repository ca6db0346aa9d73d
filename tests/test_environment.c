/*
 * test_environment.c - groups, pid namespaces, signals, clocks, one CPU
 *
 * Also of this kind and tested elsewhere: full file systems and strangers (test_names), umask
 * (test_segment), descriptors (test_descriptors), want of memory (test_memory_short), fork (test_fork),
 * close in a wait (test_close, test_adv_end), signals in waits of the Advanced link (test_adv_wait), cursors
 * that wrap (test_wrap).
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"
#include "support.h"
#include "waiter.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT 8
#define SIZE 64
#define NO_PERMISSION 77

static const struct timespec past = { 0, 0 };

/* ---- groups ------------------------------------------------------------------------------------ */

#define GROUP 54321

struct visitor {
	const char *name;
	gid_t group;
	int expected;
};

static int visit(void *argument)
{
	const struct visitor *visitor = argument;
	hqq_standard *handle = NULL;
	int descriptors;

	if (setgroups(0, NULL) != 0 || setresgid(visitor->group, visitor->group, visitor->group) != 0 ||
	    setresuid(65534, 65534, 65534) != 0)
		return NO_PERMISSION;
	descriptors = test_count_descriptors();
	MUST_EQ(hqq_standard_open(&handle, visitor->name, 0, 0, NULL), visitor->expected);
	if (visitor->expected) {
		MUST(handle == NULL);
		MUST_EQ(test_count_descriptors(), descriptors);
		return 0;
	}
	MUST_EQ(hqq_standard_write(handle, "member", 6), 6);
	/* a member does not remove what another user made */
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

START_TEST(a_group_shares_a_segment)
{
	static const struct {
		mode_t mode;
		gid_t group;
		int expected;
	} visits[] = {
		{ 0660, GROUP, 0 },         { 0660, GROUP + 1, -EACCES }, { 0600, GROUP, -EACCES },
		{ 0640, GROUP, -EACCES },   { 0620, GROUP, -EACCES },     { 0606, GROUP + 1, 0 },
		{ 0606, GROUP, -EACCES },
	};
	const char *name = test_name("group");
	const gid_t own = getegid();
	struct visitor visitor = { .name = name };
	hqq_standard *handle;
	struct child child;
	int code = 0;
	char text[8];
	size_t i;

	if (geteuid() != 0) {
		test_skip("only root may become two other users");
		return;
	}
	for (i = 0; i < sizeof(visits) / sizeof(visits[0]) && code == 0; i++) {
		/* in a user namespace there need not be such a group, nor such a user */
		if (setegid(GROUP) != 0) {
			code = NO_PERMISSION;
			break;
		}
		MUST_EQ(hqq_standard_create(&handle, name, COUNT, SIZE, visits[i].mode, NULL), 0);
		MUST_EQ(setegid(own), 0);
		visitor.group = visits[i].group;
		visitor.expected = visits[i].expected;
		child_start(&child, visit, &visitor);
		code = child_join(&child);
		if (code == 0) {
			MUST_EQ(hqq_standard_set_deadline(handle, &past), 0);
			MUST_EQ(hqq_standard_read(handle, text, sizeof(text)),
				visitor.expected ? HQQ_ERR_TIMEOUT : 6);
			MUST(test_name_exists(name));
		}
		MUST_EQ(hqq_standard_close(handle), 0);
	}
	if (code == NO_PERMISSION)
		test_skip("root here may not become another user of another group");
	else
		MUST_EQ(code, 0);
}
END_TEST

/* ---- pid namespaces ---------------------------------------------------------------------------- */

struct room {
	const char *name;
	hqq_standard *outside;
};

/* Process 1 of a namespace of its own. */
static int inside(void *argument)
{
	const struct room *room = argument;
	struct hqq_options options = HQQ_OPTIONS_INIT;
	struct hqq_reservation reservation;
	hqq_standard *handle;
	char byte;

	MUST_EQ(getpid(), 1);
	options.flags = HQQ_PEER_EOF;
	MUST_EQ(hqq_standard_open(&handle, room->name, 0, 0, &options), 0);
	MUST_EQ(hqq_standard_reserve_write(handle, &reservation), 0);
	parent_say('r');
	/* a wait longer than what makes a waiter look for the dead; the creator lives, but is no process here */
	MUST_EQ(hqq_standard_read(handle, &byte, 1), 1);
	MUST_EQ(hqq_standard_recover(handle), 0);
	MUST_EQ(hqq_standard_write(handle, "i", 1), 1);
	parent_say('w');
	/* dies here, with the reservation */
	MUST_EQ(hqq_standard_read(handle, &byte, 1), 1);
	return TEST_FAILED;
}

static bool enter_namespace(void)
{
	return unshare(CLONE_NEWPID) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0;
}

/*
 * A bare fork(): child_start() compares process ids, which are not the same ones there. The child has its
 * parent's line to the test, and dies with it.
 */
static pid_t start_inside(child_body *body, void *argument)
{
	pid_t pid = fork();

	MUST(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		_exit(body(argument));
	}
	return pid;
}

static int is_first(void *argument)
{
	(void)argument;
	return getpid() == 1 ? 0 : 1;
}

/* May we, and is it real? Some emulators only say yes. */
static int namespace_probe(void *argument)
{
	int status;

	(void)argument;
	if (!enter_namespace())
		return NO_PERMISSION;
	MUST(waitpid(start_inside(is_first, NULL), &status, 0) > 0);
	return status == 0 ? 0 : NO_PERMISSION;
}

static int namespace_maker(void *argument)
{
	pid_t pid;
	int status;

	MUST(enter_namespace());
	pid = start_inside(inside, argument);
	parent_hear('k');
	MUST_EQ(kill(pid, SIGKILL), 0);
	MUST_EQ(waitpid(pid, &status, 0), pid);
	MUST(WIFSIGNALED(status));
	return 0;
}

START_TEST(across_pid_namespaces)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	struct room room = { test_name("room"), NULL };
	struct timespec limit;
	struct hqq_stats stats;
	struct child child;
	char byte;

	options.flags = HQQ_PEER_EOF;
	MUST_EQ(hqq_standard_create(&room.outside, room.name, COUNT, SIZE, 0600, &options), 0);
	child_start(&child, namespace_probe, NULL);
	if (child_join(&child) == NO_PERMISSION) {
		test_skip("this system does not let the test make a pid namespace");
		MUST_EQ(hqq_standard_close(room.outside), 0);
		return;
	}
	child_start(&child, namespace_maker, &room);
	child_hear(&child, 'r');
	limit = test_in_ms(300);
	MUST_EQ(hqq_standard_set_deadline(room.outside, &limit), 0);
	/* it lives, and what it holds is its own */
	MUST_EQ(hqq_standard_read(room.outside, &byte, 1), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_recover(room.outside), 0);
	MUST_EQ(hqq_standard_set_deadline(room.outside, NULL), 0);
	MUST_EQ(hqq_standard_write(room.outside, "o", 1), 1);
	child_hear(&child, 'w');
	child_say(&child, 'k');
	child_join_ok(&child);
	/* its death is noticed, which frees the message behind the slot that it held; then comes the end */
	limit = test_in_ms(10000 * test_slowness());
	MUST_EQ(hqq_standard_set_deadline(room.outside, &limit), 0);
	MUST_EQ(hqq_standard_read(room.outside, &byte, 1), 1);
	MUST_EQ(byte, 'i');
	MUST_EQ(hqq_standard_read(room.outside, &byte, 1), HQQ_ERR_PEER_GONE);
	MUST_EQ(hqq_standard_stats(room.outside, &stats), 0);
	MUST_EQ(stats.recovered_slots, 1);
	MUST_EQ(stats.lost_messages, 0);
	MUST_EQ(hqq_standard_close(room.outside), 0);
}
END_TEST

/* ---- signals ----------------------------------------------------------------------------------- */

static void do_nothing(int number)
{
	(void)number;
}

/* Every way to wait, by every policy: a handler's return is nobody's business. */
START_TEST(signals_do_not_end_a_wait)
{
	static const uint32_t policies[] = { HQQ_WAIT_ADAPTIVE, HQQ_WAIT_BLOCK, HQQ_WAIT_SPIN };
	struct hqq_options options = HQQ_OPTIONS_INIT;
	const struct sigaction action = { .sa_handler = do_nothing }; /* no SA_RESTART */
	const char *name = test_name("signals");
	const int way = _i / 3;
	struct sigaction before;
	hqq_standard *handle, *peer;
	struct waiter waiter;
	char byte[WAITER_LENGTH];
	int i;

	options.wait = policies[_i % 3];
	MUST_EQ(sigaction(SIGUSR1, &action, &before), 0);
	MUST_EQ(hqq_standard_create(&handle, name, COUNT, SIZE, 0600, &options), 0);
	MUST_EQ(hqq_standard_open(&peer, name, 0, 0, NULL), 0);
	if (waiter_writes(way)) {
		MUST_EQ(hqq_standard_set_deadline(handle, &past), 0);
		waiter_fill(handle);
		MUST_EQ(hqq_standard_set_deadline(handle, NULL), 0);
	}
	waiter_start(&waiter, handle, way);
	if (options.wait != HQQ_WAIT_SPIN)
		waiter_asleep(&waiter);
	for (i = 0; i < 8; i++) {
		MUST_EQ(pthread_kill(waiter.thread, SIGUSR1), 0);
		test_sleep_ms(1);
	}
	MUST(waiter.ended_ns == 0);
	if (waiter_writes(way))
		MUST(hqq_standard_read(peer, byte, sizeof(byte)) > 0);
	else
		MUST_EQ(hqq_standard_write(peer, WAITER_TEXT, WAITER_LENGTH), WAITER_LENGTH);
	MUST_EQ(waiter_join(&waiter), waiter_success(way));
	MUST_EQ(hqq_standard_close(peer), 0);
	MUST_EQ(hqq_standard_close(handle), 0);
	MUST_EQ(sigaction(SIGUSR1, &before, NULL), 0);
}
END_TEST

/* ---- clocks ------------------------------------------------------------------------------------ */

static _Atomic unsigned long other_clocks; /* asked for */

int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);

/* Every clock but the monotonic one jumps years to and fro. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	int rc = __real_clock_gettime(clock, ts);

	if (clock == CLOCK_REALTIME && rc == 0)
		ts->tv_sec += other_clocks++ % 2 ? 100000000 : -100000000;
	return rc;
}

START_TEST(the_time_of_day_does_not_matter)
{
	hqq_context context = HQQ_CONTEXT_INIT;
	struct adv_pair pair;
	hqq_standard *handle;
	struct timespec limit;
	uint64_t began;
	char byte;

	other_clocks = 0;
	MUST_EQ(hqq_standard_create_fd(&handle, COUNT, SIZE, NULL), 0);
	began = test_now_ns();
	limit = test_in_ms(50); /* not before that: what passes in between is not waited for */
	MUST_EQ(hqq_standard_set_deadline(handle, &limit), 0);
	MUST_EQ(hqq_standard_read(handle, &byte, 1), HQQ_ERR_TIMEOUT);
	MUST(test_now_ns() - began >= UINT64_C(49000000));
	MUST(hqq_standard_event_fd(handle) >= 0);
	MUST_EQ(hqq_standard_close(handle), 0);

	adv_pair_open(&pair, 64, SIZE, NULL, NULL);
	adv_push(pair.side[0], 0, 1000, 1);
	adv_pull(pair.side[1], 0, 1000, 1);
	began = test_now_ns();
	MUST_EQ(hqq_context_set_timeout(&context, 50000000), 0);
	MUST_EQ(hqq_advanced_call(pair.side[0], &context, ADV_ECHO, "x", 1, NULL), HQQ_ERR_TIMEOUT);
	MUST(test_now_ns() - began >= UINT64_C(49000000));
	adv_pair_close(&pair);
	/* not merely harmless: nobody asks */
	MUST_EQ(other_clocks, 0);
}
END_TEST

/* ---- one CPU ----------------------------------------------------------------------------------- */

struct pinned {
	const char *name;
	bool one_cpu;
	uint64_t turns; /* at most */
	_Atomic uint64_t played; /* that is all the time there was for; set before the last of them is asked */
};

/* The set of one CPU, the first allowed one; or how many are allowed. */
static int allowed_cpus(cpu_set_t *one)
{
	cpu_set_t all;
	size_t cpu;

	MUST_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
	for (cpu = 0; !CPU_ISSET(cpu, &all); cpu++)
		continue;
	CPU_ZERO(one);
	CPU_SET(cpu, one);
	return CPU_COUNT(&all);
}

static void pin(const struct pinned *pinned)
{
	cpu_set_t one;

	allowed_cpus(&one);
	if (pinned->one_cpu)
		MUST_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
}

static int answer(void *argument)
{
	const struct pinned *pinned = argument;
	hqq_standard *handle;
	uint64_t turn, number;

	pin(pinned);
	MUST_EQ(hqq_standard_open(&handle, pinned->name, 0, 0, NULL), 0);
	for (turn = 0; turn < pinned->played; turn++) {
		MUST_EQ(hqq_standard_read(handle, &number, sizeof(number)), sizeof(number));
		MUST_EQ(number, turn);
		MUST_EQ(hqq_standard_write(handle, &turn, sizeof(turn)), sizeof(turn));
	}
	/* then a stream */
	for (turn = 0; turn < pinned->played; turn++) {
		MUST_EQ(hqq_standard_read(handle, &number, sizeof(number)), sizeof(number));
		MUST_EQ(number, turn);
	}
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

/*
 * Asks in a process of its own, so that the test's own affinity stays. For some seconds at most: who shares
 * the processor with others as well may wait for it in every turn.
 */
static int ask(void *argument)
{
	const uint64_t end = test_now_ns() + UINT64_C(5000000000) * test_slowness();
	struct pinned *pinned = argument;
	hqq_standard *handle;
	struct child child;
	uint64_t turn, number;

	pin(pinned);
	MUST_EQ(hqq_standard_create(&handle, pinned->name, COUNT, SIZE, 0600, NULL), 0);
	pinned->played = pinned->turns;
	child_start(&child, answer, argument);
	for (turn = 0; turn < pinned->played; turn++) {
		if (test_now_ns() > end)
			pinned->played = turn + 1;
		MUST_EQ(hqq_standard_write(handle, &turn, sizeof(turn)), sizeof(turn));
		MUST_EQ(hqq_standard_read(handle, &number, sizeof(number)), sizeof(number));
		MUST_EQ(number, turn);
	}
	for (turn = 0; turn < pinned->played; turn++)
		MUST_EQ(hqq_standard_write(handle, &turn, sizeof(turn)), sizeof(turn));
	child_join_ok(&child);
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

START_TEST(one_cpu_for_both)
{
	const uint64_t turns = 20000 / (test_slowness() * test_slowness());
	struct pinned *pinned = (struct pinned *)(void *)test_map_memory(sizeof(*pinned));
	uint64_t each[2]; /* nanoseconds per turn */
	struct child child;
	cpu_set_t one;
	int i;

	for (i = 0; i < 2; i++) {
		uint64_t began = test_now_ns();

		pinned->name = test_name("cpu");
		pinned->one_cpu = i == 1;
		pinned->turns = turns;
		child_start(&child, ask, pinned);
		child_join_ok(&child);
		MUST(pinned->played > 0);
		each[i] = (test_now_ns() - began) / pinned->played;
	}
	fprintf(stderr, "a round trip and a message: %.1f us on %d CPUs, %.1f us on one, ratio %.2f\n",
	        (double)each[0] / 1e3, allowed_cpus(&one), (double)each[1] / 1e3, (double)each[1] / (double)each[0]);
	test_unmap((unsigned char *)pinned, sizeof(*pinned));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("environment");
	TCase *cases = test_case(suite, "who", 60);

	tcase_add_test(cases, a_group_shares_a_segment);
	tcase_add_test(cases, across_pid_namespaces);

	cases = test_case(suite, "when", 60);
	tcase_add_loop_test(cases, signals_do_not_end_a_wait, 0, 3 * WAITER_WAYS);
	tcase_add_test(cases, the_time_of_day_does_not_matter);
	tcase_add_test(cases, one_cpu_for_both);
	return test_main(suite);
}
