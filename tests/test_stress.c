/*
 * test_stress.c - many writers and readers, threads and processes, every form of call mixed
 *
 * A few seconds in all; HQQ_TEST_LONG=n in the environment makes it n times as long as 10 s each.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "ledger.h"
#include "support.h"

#include <hqq.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTIES 6

/* A party is a process, or a group of threads with a handle of its own. */
struct party {
	int side;
	unsigned int writers, readers;
	uint32_t wait;
	uint64_t flags;
};

struct scenario {
	const char *name;
	bool processes;  /* else threads of this process, on one mapping */
	bool descriptor; /* an inherited memfd instead of a name */
	size_t count, size;
	struct party parties[PARTIES];
};

#define ADAPTIVE HQQ_WAIT_ADAPTIVE
#define BLOCK HQQ_WAIT_BLOCK
#define SINGLE (HQQ_SINGLE_WRITER | HQQ_SINGLE_READER)

static const struct scenario scenarios[] = {
	{ "two threads, smallest ring", false, false, 2, 32, { { 0, 1, 0, ADAPTIVE, 0 }, { 1, 0, 1, ADAPTIVE, 0 } } },
	{ "two threads, asleep", false, false, 4, 64, { { 0, 1, 0, BLOCK, 0 }, { 1, 0, 1, BLOCK, 0 } } },
	{ "both ways, alone", false, false, 16, 64, { { 0, 1, 1, ADAPTIVE, 0 }, { 1, 1, 1, BLOCK, 0 } } },
	{ "single writers and readers", false, false, 8, 64,
	  { { 0, 1, 1, ADAPTIVE, SINGLE }, { 1, 1, 1, ADAPTIVE, SINGLE } } },
	{ "more threads than lanes", false, false, 64, 128,
	  { { 0, 7, 1, ADAPTIVE, 0 }, { 1, 1, 6, ADAPTIVE, 0 } } },
	{ "several endpoints in one process", false, false, 8, 64,
	  { { 0, 2, 0, BLOCK, 0 }, { 0, 1, 1, ADAPTIVE, 0 }, { 1, 0, 2, BLOCK, 0 }, { 1, 1, 1, ADAPTIVE, 0 } } },
	{ "two processes", true, false, 64, 256, { { 0, 1, 1, ADAPTIVE, 0 }, { 1, 1, 1, ADAPTIVE, 0 } } },
	{ "two processes by descriptor", true, true, 8, 256, { { 0, 1, 1, BLOCK, 0 }, { 1, 1, 1, BLOCK, 0 } } },
	{ "many to one", true, false, 32, 64,
	  { { 0, 2, 0, ADAPTIVE, 0 }, { 0, 2, 0, BLOCK, 0 }, { 0, 1, 0, BLOCK, 0 }, { 1, 0, 1, ADAPTIVE, 0 } } },
	{ "one to many", true, true, 32, 64,
	  { { 0, 1, 0, ADAPTIVE, 0 }, { 1, 0, 2, ADAPTIVE, 0 }, { 1, 0, 1, BLOCK, 0 }, { 1, 0, 1, BLOCK, 0 } } },
	{ "many to many, smallest ring", true, false, 2, 64,
	  { { 0, 2, 1, BLOCK, 0 }, { 0, 1, 1, ADAPTIVE, 0 }, { 1, 1, 2, BLOCK, 0 }, { 1, 1, 1, ADAPTIVE, 0 } } },
	{ "many to many, large ring", true, false, 4096, 512,
	  { { 0, 2, 1, ADAPTIVE, 0 }, { 0, 1, 1, BLOCK, 0 }, { 1, 1, 2, ADAPTIVE, 0 }, { 1, 1, 1, BLOCK, 0 } } },
};

#define SCENARIOS (int)(sizeof(scenarios) / sizeof(scenarios[0]))

/* What all parties of a run know. */
struct run {
	const struct scenario *scenario;
	struct ledger *ledger;
	const char *name;
	int fd;
	unsigned char *memory;
	uint64_t duration_ns; /* for which writers write */
	uint64_t seed;
};

struct group {
	const struct run *run;
	unsigned int party;
	hqq_standard *handle;
};

static uint64_t duration_ms(void)
{
	const char *wish = getenv("HQQ_TEST_LONG");

	if (wish != NULL && atoi(wish) > 0)
		return 10000 * (uint64_t)atoi(wish);
	return 400;
}

static hqq_standard *join(const struct run *run, const struct party *party)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	const size_t count = run->scenario->count, size = run->scenario->size;
	hqq_standard *handle;

	options.role = party->side == 0 ? HQQ_ROLE_PRIMARY : HQQ_ROLE_SECONDARY;
	options.wait = party->wait;
	options.flags = party->flags;
	if (run->memory != NULL)
		MUST_EQ(hqq_standard_attach(&handle, run->memory, hqq_standard_size(count, size), count, size,
		                            &options),
		        0);
	else if (run->scenario->descriptor)
		MUST_EQ(hqq_standard_open_fd(&handle, run->fd, count, size, &options), 0);
	else
		MUST_EQ(hqq_standard_open(&handle, run->name, count, size, &options), 0);
	return handle;
}

static unsigned int writers_before(const struct scenario *scenario, unsigned int party)
{
	unsigned int i, count = 0;

	for (i = 0; i < party; i++)
		count += scenario->parties[i].writers;
	return count;
}

static void write_until_the_end(struct group *group, unsigned int index)
{
	struct ledger_writer writer = {
		.ledger = group->run->ledger,
		.producer = writers_before(group->run->scenario, group->party) + index,
		.size = group->run->scenario->size,
		.seed = group->run->seed + group->party * 100 + index,
	};
	const uint64_t end = test_now_ns() + group->run->duration_ns;

	do
		MUST(ledger_write(&writer, group->handle) >= 0);
	while (test_now_ns() < end);
	ledger_enter_writer(&writer);
}

static void read_until_the_end(struct group *group, unsigned int index)
{
	struct ledger_reader reader = {
		.ledger = group->run->ledger,
		.size = group->run->scenario->size,
		.seed = group->run->seed + group->party * 100 + 50 + index,
	};
	ssize_t n;

	do
		n = ledger_read(&reader, group->handle);
	while (n > 0);
	MUST_EQ(n, HQQ_ERR_CANCELED);
	ledger_enter_reader(&reader);
}

static void write_or_read(void *argument, unsigned int index)
{
	struct group *group = argument;
	const struct party *party = &group->run->scenario->parties[group->party];

	if (index < party->writers)
		write_until_the_end(group, index);
	else
		read_until_the_end(group, index);
}

static unsigned int threads_of(const struct party *party)
{
	return party->writers + party->readers;
}

struct crowd {
	struct group groups[PARTIES];
	unsigned int count;
};

/* Index 0 watches for the end; the others are the threads of all groups, one after the other. */
static void crowd_thread(void *argument, unsigned int index)
{
	struct crowd *crowd = argument;
	struct ledger *ledger = crowd->groups[0].run->ledger;
	unsigned int i;

	if (index == 0) {
		while (!ledger->all_done)
			test_sleep_ms(1);
		for (i = 0; i < crowd->count; i++)
			MUST_EQ(hqq_standard_interrupt(crowd->groups[i].handle), 0);
		return;
	}
	for (index--, i = 0; i < crowd->count; i++) {
		struct group *group = &crowd->groups[i];
		unsigned int threads = threads_of(&group->run->scenario->parties[group->party]);

		if (index < threads) {
			write_or_read(group, index);
			return;
		}
		index -= threads;
	}
}

/* Runs some parties in this process. */
static void run_parties(const struct run *run, unsigned int first, unsigned int count)
{
	struct crowd crowd = { .count = count };
	unsigned int i, threads = 1;

	for (i = 0; i < count; i++) {
		struct group *group = &crowd.groups[i];

		group->run = run;
		group->party = first + i;
		group->handle = join(run, &run->scenario->parties[first + i]);
		threads += threads_of(&run->scenario->parties[first + i]);
	}
	test_run_threads(threads, crowd_thread, &crowd);
	for (i = 0; i < count; i++)
		MUST_EQ(hqq_standard_close(crowd.groups[i].handle), 0);
}

struct seat {
	const struct run *run;
	unsigned int party;
};

static int party_process(void *argument)
{
	const struct seat *seat = argument;

	run_parties(seat->run, seat->party, 1);
	return 0;
}

static unsigned int parties_of(const struct scenario *scenario)
{
	unsigned int count = 0;

	while (count < PARTIES && threads_of(&scenario->parties[count]) > 0)
		count++;
	return count;
}

/* Waits for the writers' books, then for as many messages at the readers, then lets these go. */
static void watch(const struct run *run)
{
	const unsigned int writers = writers_before(run->scenario, parties_of(run->scenario));
	uint64_t sent = 0, end;
	struct ledger *ledger = run->ledger;
	unsigned int i;

	end = test_now_ns() + run->duration_ns + UINT64_C(30000000000) * test_slowness();
	while (ledger->writers_ended < writers && test_now_ns() < end)
		test_sleep_ms(2);
	MUST_EQ(ledger->writers_ended, writers);
	for (i = 0; i < LEDGER_PRODUCERS; i++)
		sent += ledger->producers[i].sent;
	while (ledger->received < sent && test_now_ns() < end)
		test_sleep_ms(1);
	MUST_EQ(ledger->received, sent);
	ledger->all_done = true;
}

static void *all_parties(void *argument)
{
	const struct run *run = argument;

	run_parties(run, 0, parties_of(run->scenario));
	return NULL;
}

static void run_in_threads(struct run *run)
{
	const struct scenario *scenario = run->scenario;
	const size_t length = hqq_standard_size(scenario->count, scenario->size);
	pthread_t thread;

	run->memory = test_map_memory(length);
	MUST_EQ(pthread_create(&thread, NULL, all_parties, run), 0);
	watch(run);
	MUST_EQ(pthread_join(thread, NULL), 0);
	test_unmap(run->memory, length);
}

static void run_in_processes(struct run *run)
{
	const struct scenario *scenario = run->scenario;
	struct child children[PARTIES];
	struct seat seats[PARTIES];
	hqq_standard *maker;
	unsigned int i;

	if (scenario->descriptor)
		MUST_EQ(hqq_standard_create_fd(&maker, scenario->count, scenario->size, NULL), 0);
	else
		MUST_EQ(hqq_standard_create(&maker, run->name, scenario->count, scenario->size, 0600, NULL),
			0);
	run->fd = hqq_standard_fd(maker);
	for (i = 0; i < parties_of(scenario); i++) {
		seats[i] = (struct seat){ run, i };
		child_start(&children[i], party_process, &seats[i]);
	}
	watch(run);
	for (i = 0; i < parties_of(scenario); i++)
		child_join_ok(&children[i]);
	MUST_EQ(hqq_standard_pending(maker), 0);
	MUST_EQ(hqq_standard_close(maker), 0);
}

START_TEST(nothing_lost_nothing_doubled)
{
	struct run run = {
		.scenario = &scenarios[_i],
		.ledger = ledger_open(),
		.name = test_name("stress"),
		.fd = -1,
		.seed = test_seed(),
	};
	uint64_t messages;

	run.duration_ns = duration_ms() * 1000000;
	if (run.scenario->processes)
		run_in_processes(&run);
	else
		run_in_threads(&run);
	messages = ledger_check(run.ledger);
	fprintf(stderr, "%s: %llu messages in %llu ms\n", run.scenario->name, (unsigned long long)messages,
	        (unsigned long long)duration_ms());
	MUST(messages > 0);
	ledger_close(run.ledger);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stress");
	TCase *cases = test_case(suite, "ledger", 60.0 + (double)duration_ms() / 1000);

	tcase_add_loop_test(cases, nothing_lost_nothing_doubled, 0, SCENARIOS);
	return test_main(suite);
}
