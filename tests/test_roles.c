/*
 * test_roles.c - who is primary, and who may be alone on a side
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "ends.h"
#include "waiter.h"

#include <errno.h>
#include <hqq.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- roles ------------------------------------------------------------------------------------- */

START_TEST(by_name)
{
	const char *name = test_name("roles");
	hqq_standard *made = end_create(name, HQQ_ROLE_AUTO, 0), *other, *third;

	MUST_EQ(hqq_standard_mode(made), HQQ_MODE_PRIMARY);
	other = end_open_as(name, HQQ_ROLE_AUTO, 0);
	MUST_EQ(hqq_standard_mode(other), HQQ_MODE_SECONDARY);
	third = end_open_as(name, HQQ_ROLE_SECONDARY, 0);
	MUST_EQ(hqq_standard_mode(third), HQQ_MODE_SECONDARY);
	end_close(third);
	third = end_open_as(name, HQQ_ROLE_PRIMARY, 0);
	MUST_EQ(hqq_standard_mode(third), HQQ_MODE_PRIMARY);
	/* both primaries feed the one secondary */
	end_send(made, "first");
	end_send(third, "second");
	end_expect(other, "first");
	end_expect(other, "second");
	/* and its message goes to one of them */
	end_send(other, "back");
	end_expect(third, "back");
	end_expect_error(made, HQQ_ERR_TIMEOUT);
	end_close(third);
	end_close(other);
	end_close(made);
}
END_TEST

START_TEST(a_creator_may_be_secondary)
{
	const char *name = test_name("swapped");
	hqq_standard *made = end_create(name, HQQ_ROLE_SECONDARY, 0);
	hqq_standard *other = end_open_as(name, HQQ_ROLE_PRIMARY, 0);

	MUST_EQ(hqq_standard_mode(made), HQQ_MODE_SECONDARY);
	MUST_EQ(hqq_standard_mode(other), HQQ_MODE_PRIMARY);
	end_send(made, "up");
	end_send(other, "down");
	end_expect(other, "up");
	end_expect(made, "down");
	end_close(other);
	end_close(made);
}
END_TEST

START_TEST(by_descriptor)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_standard *made, *other;

	MUST_EQ(hqq_standard_create_fd(&made, END_COUNT, END_SIZE, NULL), 0);
	MUST_EQ(hqq_standard_mode(made), HQQ_MODE_PRIMARY);
	MUST_EQ(hqq_standard_open_fd(&other, hqq_standard_fd(made), 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_mode(other), HQQ_MODE_SECONDARY);
	end_close(other);
	options.role = HQQ_ROLE_PRIMARY;
	MUST_EQ(hqq_standard_open_fd(&other, hqq_standard_fd(made), END_COUNT, END_SIZE, &options), 0);
	MUST_EQ(hqq_standard_mode(other), HQQ_MODE_PRIMARY);
	end_close(other);
	end_close(made);
}
END_TEST

START_TEST(by_memory)
{
	const size_t length = hqq_standard_size(END_COUNT, END_SIZE);
	unsigned char *memory = test_map_memory(length);
	const uint32_t roles[] = { HQQ_ROLE_AUTO, HQQ_ROLE_PRIMARY, HQQ_ROLE_SECONDARY, HQQ_ROLE_AUTO };
	const int modes[] = { HQQ_MODE_PRIMARY, HQQ_MODE_PRIMARY, HQQ_MODE_SECONDARY, HQQ_MODE_SECONDARY };
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_standard *handles[4];
	int i;

	/* a secondary does not initialise: it waits for somebody who does */
	options.role = HQQ_ROLE_SECONDARY;
	MUST_EQ(hqq_standard_attach(&handles[0], memory, length, END_COUNT, END_SIZE, &options), HQQ_ERR_FAILED_INIT);
	for (i = 0; i < 4; i++) {
		options.role = roles[i];
		MUST_EQ(hqq_standard_attach(&handles[i], memory, length, END_COUNT, END_SIZE, &options), 0);
		MUST_EQ(hqq_standard_mode(handles[i]), modes[i]);
		MUST_EQ(hqq_standard_set_deadline(handles[i], &end_at_once), 0);
	}
	end_send(handles[1], "from the second primary");
	end_expect(handles[3], "from the second primary");
	end_send(handles[2], "from the first secondary");
	end_expect(handles[0], "from the first secondary");
	for (i = 3; i >= 0; i--)
		end_close(handles[i]);
	test_unmap(memory, length);
}
END_TEST

/* Several attach at once: one of them wins and initialises, all work. */
#define RACERS 8

struct race {
	unsigned char *memory;
	hqq_standard *handles[RACERS];
};

static void attach_one(void *argument, unsigned int index)
{
	struct race *race = argument;

	MUST_EQ(hqq_standard_attach(&race->handles[index], race->memory, hqq_standard_size(END_COUNT, END_SIZE),
				    END_COUNT, END_SIZE, NULL),
		0);
}

START_TEST(one_of_many_is_primary)
{
	const size_t length = hqq_standard_size(END_COUNT, END_SIZE);
	struct race race;
	int round, i;

	for (round = 0; round < 30; round++) {
		int primaries = 0;

		race.memory = test_map_memory(length);
		test_run_threads(RACERS, attach_one, &race);
		for (i = 0; i < RACERS; i++) {
			int mode = hqq_standard_mode(race.handles[i]);

			primaries += mode == HQQ_MODE_PRIMARY;
			end_send(race.handles[i], "works");
		}
		MUST_EQ(primaries, 1);
		for (i = 0; i < RACERS; i++)
			end_close(race.handles[i]);
		test_unmap(race.memory, length);
	}
}
END_TEST

static int server_that_dies(void *argument)
{
	hqq_standard *handle;

	MUST_EQ(hqq_standard_create(&handle, argument, END_COUNT, END_SIZE, 0600, NULL), 0);
	parent_say('r');
	pause();
	return 0;
}

START_TEST(a_restarted_server_takes_over)
{
	const char *name = test_name("restart");
	hqq_standard *client, *server;
	struct child child;

	child_start(&child, server_that_dies, (void *)(uintptr_t)name);
	child_hear(&child, 'r');
	client = end_open_as(name, HQQ_ROLE_AUTO, 0);
	end_send(client, "before it died");
	child_kill(&child);
	end_send(client, "while it was dead");
	server = end_open_as(name, HQQ_ROLE_PRIMARY, 0);
	end_expect(server, "before it died");
	end_expect(server, "while it was dead");
	end_send(server, "welcome back");
	end_expect(client, "welcome back");
	end_close(server);
	end_close(client);
	/* the name was the dead one's; nobody else removes it unasked */
	MUST(test_name_exists(name));
	MUST_EQ(hqq_standard_unlink(name), 0);
}
END_TEST

/* ---- alone on a side --------------------------------------------------------------------------- */

static const uint64_t alone[] = {HQQ_SINGLE_WRITER, HQQ_SINGLE_READER, HQQ_SINGLE_WRITER | HQQ_SINGLE_READER};

START_TEST(alone_means_alone)
{
	const char *name = test_name("alone");
	hqq_standard *first = end_create(name, HQQ_ROLE_AUTO, alone[_i]), *second, *other;

	/* whether or not the second wants to be alone as well */
	MUST_EQ(end_try_open(&second, name, HQQ_ROLE_PRIMARY, 0), -EBUSY);
	MUST_EQ(end_try_open(&second, name, HQQ_ROLE_PRIMARY, alone[_i]), -EBUSY);
	/* the other side has rules of its own */
	other = end_open_as(name, HQQ_ROLE_AUTO, 0);
	MUST_EQ(end_try_open(&second, name, HQQ_ROLE_AUTO, alone[_i]), -EBUSY);
	second = end_open_as(name, HQQ_ROLE_AUTO, 0);
	end_close(second);
	end_send(first, "alone");
	end_expect(other, "alone");
	end_send(other, "not alone");
	end_expect(first, "not alone");
	/* who was refused left nothing behind: the place is free once the first has gone */
	end_close(first);
	MUST_EQ(hqq_standard_create(&first, name, END_COUNT, END_SIZE, 0600, NULL), 0);
	end_close(first);
	end_close(other);
}
END_TEST

START_TEST(the_place_is_free_after_close)
{
	const char *name = test_name("free");
	hqq_standard *keeper = end_create(name, HQQ_ROLE_AUTO, 0), *first, *second;
	int round;

	for (round = 0; round < 3; round++) {
		first = end_open_as(name, HQQ_ROLE_AUTO, alone[_i]);
		MUST_EQ(end_try_open(&second, name, HQQ_ROLE_AUTO, 0), -EBUSY);
		end_send(first, "x");
		end_close(first);
		second = end_open_as(name, HQQ_ROLE_AUTO, 0);
		MUST_EQ(end_try_open(&first, name, HQQ_ROLE_AUTO, alone[_i]), -EBUSY);
		end_close(second);
	}
	end_close(keeper);
}
END_TEST

static int alone_that_dies(void *argument)
{
	hqq_standard *handle = end_open_as(argument, HQQ_ROLE_AUTO, HQQ_SINGLE_WRITER | HQQ_SINGLE_READER);

	end_send(handle, "sent before");
	parent_say('r');
	pause();
	return 0;
}

START_TEST(the_place_is_free_after_death)
{
	const char *name = test_name("killed");
	hqq_standard *keeper = end_create(name, HQQ_ROLE_AUTO, 0), *next;
	struct child child;
	int status;

	child_start(&child, alone_that_dies, (void *)(uintptr_t)name);
	child_hear(&child, 'r');
	MUST_EQ(end_try_open(&next, name, HQQ_ROLE_AUTO, 0), -EBUSY);
	/* stopped is not dead */
	MUST_EQ(kill(child.pid, SIGSTOP), 0);
	MUST_EQ(waitpid(child.pid, &status, WUNTRACED), child.pid);
	MUST_EQ(end_try_open(&next, name, HQQ_ROLE_AUTO, HQQ_SINGLE_READER), -EBUSY);
	child_kill(&child);
	next = end_open_as(name, HQQ_ROLE_AUTO, HQQ_SINGLE_WRITER | HQQ_SINGLE_READER);
	end_expect(keeper, "sent before");
	end_send(next, "and after");
	end_expect(keeper, "and after");
	end_close(next);
	end_close(keeper);
}
END_TEST

struct contest {
	const char *name;
	_Atomic int winners;
	hqq_standard *handles[RACERS];
};

static void contend(void *argument, unsigned int index)
{
	struct contest *contest = argument;
	int rc = end_try_open(&contest->handles[index], contest->name, HQQ_ROLE_AUTO, HQQ_SINGLE_WRITER);

	MUST(rc == 0 || rc == -EBUSY);
	contest->winners += rc == 0;
	if (rc != 0)
		contest->handles[index] = NULL;
}

START_TEST(never_two_alone)
{
	struct contest contest = { .name = test_name("contest") };
	hqq_standard *keeper = end_create(contest.name, HQQ_ROLE_AUTO, 0);
	int round, i;

	for (round = 0; round < 50; round++) {
		contest.winners = 0;
		test_run_threads(RACERS, contend, &contest);
		/* each may have seen another one ask, so none is possible; two are not */
		MUST(contest.winners <= 1);
		for (i = 0; i < RACERS; i++)
			end_close(contest.handles[i]);
	}
	end_close(keeper);
}
END_TEST

START_TEST(alone_through_many_laps)
{
	const char *name = test_name("laps");
	hqq_standard *writer = end_create(name, HQQ_ROLE_AUTO, HQQ_SINGLE_WRITER | HQQ_SINGLE_READER);
	hqq_standard *reader = end_open_as(name, HQQ_ROLE_AUTO, HQQ_SINGLE_READER | HQQ_SINGLE_WRITER);
	int i;

	for (i = 0; i < 2000; i++) {
		int way = i % WAITER_READS;

		MUST_EQ(waiter_call(writer, WAITER_READS + way), waiter_success(WAITER_READS + way));
		MUST_EQ(waiter_call(reader, (way + i / 7) % WAITER_READS),
		        waiter_success((way + i / 7) % WAITER_READS));
		MUST_EQ(waiter_call(reader, WAITER_READS + way), waiter_success(WAITER_READS + way));
		MUST_EQ(waiter_call(writer, way), waiter_success(way));
	}
	end_close(reader);
	end_close(writer);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("roles");
	TCase *cases = test_case(suite, "roles", 30);

	tcase_add_test(cases, by_name);
	tcase_add_test(cases, a_creator_may_be_secondary);
	tcase_add_test(cases, by_descriptor);
	tcase_add_test(cases, by_memory);
	tcase_add_test(cases, one_of_many_is_primary);
	tcase_add_test(cases, a_restarted_server_takes_over);

	cases = test_case(suite, "alone", 30);
	tcase_add_loop_test(cases, alone_means_alone, 0, 3);
	tcase_add_loop_test(cases, the_place_is_free_after_close, 0, 3);
	tcase_add_test(cases, the_place_is_free_after_death);
	tcase_add_test(cases, never_two_alone);
	tcase_add_test(cases, alone_through_many_laps);
	return test_main(suite);
}
