/*
 * test_kill.c - kill -9 at any moment: what was sent before arrives, nobody stalls
 *
 * Processes die in the middle of whatever they do, again and again, while others go on. What a
 * writer's calls had returned for must arrive, whole and in order; of the rest any number, without
 * gaps. Of what readers took, at most the messages of their last call are lost, none comes twice.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "ledger.h"
#include "support.h"

#include <hqq.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 64
#define VICTIMS 3
#define NUMBERS 8000000 /* messages of one run, at most */

static const struct timespec passed = { 0, 0 };

static unsigned int rounds(void)
{
	const char *wish = getenv("HQQ_TEST_LONG");
	unsigned int factor = wish != NULL && atoi(wish) > 0 ? 40 * (unsigned int)atoi(wish) : 1;

	return 40 * factor / test_slowness() + 3;
}

/* What victims leave behind for the parent to compare with; shared memory. */
struct record {
	_Atomic uint64_t completed[LEDGER_PRODUCERS]; /* calls of writers returned for so many messages */
	_Atomic unsigned char taken[NUMBERS];         /* by readers: times that a number was met */
	_Atomic uint64_t received;
};

struct victim {
	const char *name;
	struct ledger *ledger;
	struct record *record;
	uint32_t producer;
	uint32_t wait;
	int side;
	uint64_t seed;
};

static hqq_standard *join(const struct victim *victim)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_standard *handle;

	options.role = victim->side == 0 ? HQQ_ROLE_PRIMARY : HQQ_ROLE_SECONDARY;
	options.wait = victim->wait;
	MUST_EQ(hqq_standard_open(&handle, victim->name, 0, 0, &options), 0);
	return handle;
}

/* For one round: a long run has any number of them. */
static void patient(hqq_standard *handle)
{
	const struct timespec deadline = test_in_ms(40000 * test_slowness());

	MUST_EQ(hqq_standard_set_deadline(handle, &deadline), 0);
}

static void kill_in_the_middle(struct child *child, uint64_t *seed)
{
	struct timespec pause = { 0, (long)(test_random(seed) % 2000000) };

	nanosleep(&pause, NULL);
	child_kill(child);
}

/* ---- writers die ------------------------------------------------------------------------------- */

static int write_until_killed(void *argument)
{
	struct victim *victim = argument;
	hqq_standard *handle = join(victim);
	struct ledger_writer writer = {
		.ledger = victim->ledger,
		.producer = victim->producer,
		.size = SIZE,
		.seed = victim->seed,
	};

	parent_say('w');
	for (;;) {
		MUST(ledger_write(&writer, handle) >= 0);
		victim->record->completed[writer.producer] = writer.next;
	}
}

/* Reads what is there; the survivor's own watch over each victim's numbers. */
static uint64_t drain(hqq_standard *handle, uint64_t next[LEDGER_PRODUCERS])
{
	unsigned char bytes[SIZE];
	uint64_t count = 0;
	uint32_t producer;
	ssize_t n;

	while ((n = hqq_standard_read(handle, bytes, sizeof(bytes))) > 0) {
		uint64_t number = ledger_number(bytes, (size_t)n, SIZE, &producer);

		/* contiguous: neither lost nor doubled nor in another order */
		MUST_EQ(number, next[producer]);
		next[producer]++;
		count++;
	}
	MUST_EQ(n, HQQ_ERR_TIMEOUT);
	return count;
}

START_TEST(writers)
{
	struct victim victim = {.name = test_name("writers"), .ledger = ledger_open(), .wait = (uint32_t)_i};
	struct record *record = (struct record *)(void *)test_map_memory(sizeof(*record));
	uint64_t seed = test_seed(), messages = 0, longest = 0;
	struct child children[VICTIMS];
	unsigned int round, i;
	hqq_standard *reader;

	victim.record = record;
	victim.side = 1;
	MUST_EQ(hqq_standard_create(&reader, victim.name, 16, SIZE, 0600, NULL), 0);
	for (round = 0; round < rounds(); round++) {
		uint64_t next[LEDGER_PRODUCERS] = { 0 }, began;

		memset(record->completed, 0, sizeof(record->completed));
		for (i = 0; i < VICTIMS; i++) {
			victim.producer = i;
			victim.seed = test_random(&seed);
			child_start(&children[i], write_until_killed, &victim);
		}
		MUST_EQ(hqq_standard_set_deadline(reader, &passed), 0);
		for (i = 0; i < VICTIMS; i++) {
			child_hear(&children[i], 'w');
			messages += drain(reader, next);
		}
		for (i = 0; i < VICTIMS; i++) {
			uint64_t end = test_now_ns() + test_random(&seed) % 1000000;

			while (test_now_ns() < end)
				messages += drain(reader, next);
			child_kill(&children[i]);
		}
		/* the first attempt may find a dead one's slot; whoever waits gets past it */
		began = test_now_ns();
		hqq_standard_recover(reader);
		messages += drain(reader, next);
		for (i = 0; i < VICTIMS; i++) {
			MUST(next[i] >= record->completed[i]);
			MUST(next[i] <= record->completed[i] + LEDGER_BATCH);
		}
		MUST_EQ(hqq_standard_pending(reader), 0);
		longest = test_now_ns() - began > longest ? test_now_ns() - began : longest;
	}
	fprintf(stderr, "%u writers killed, %llu messages arrived, mending took %llu us at most\n",
		rounds() * VICTIMS, (unsigned long long)messages, (unsigned long long)longest / 1000);
	MUST_EQ(hqq_standard_close(reader), 0);
	test_unmap((unsigned char *)record, sizeof(*record));
	ledger_close(victim.ledger);
}
END_TEST

/* ---- readers die ------------------------------------------------------------------------------- */

static void note(struct record *record, const void *data, size_t length)
{
	uint32_t producer;
	uint64_t number = ledger_number(data, length, SIZE, &producer);

	MUST(number < NUMBERS);
	MUST_EQ(record->taken[number]++, 0);
	record->received++;
}

static int note_in_callback(const void *data, size_t length, void *argument)
{
	note(argument, data, length);
	return 0;
}

/* One call of a form that chance picks. */
static ssize_t read_noted(hqq_standard *handle, struct record *record, uint64_t chance)
{
	unsigned char bytes[LEDGER_BATCH][SIZE];
	struct iovec vectors[LEDGER_BATCH];
	struct hqq_reservation reservation;
	ssize_t n, i;

	switch (chance % 4) {
	case 0:
		n = hqq_standard_read(handle, bytes[0], SIZE);
		if (n > 0)
			note(record, bytes[0], (size_t)n);
		return n;
	case 1:
		return hqq_standard_read_zero_copy(handle, note_in_callback, record);
	case 2:
		n = hqq_standard_reserve_read(handle, &reservation);
		if (n != 0)
			return n;
		note(record, reservation.data, reservation.size);
		MUST_EQ(hqq_standard_release(&reservation), 0);
		return 1;
	default:
		for (i = 0; i < LEDGER_BATCH; i++)
			vectors[i] = (struct iovec){ bytes[i], SIZE };
		n = hqq_standard_read_batch(handle, vectors, (size_t)(1 + chance / 4 % LEDGER_BATCH));
		for (i = 0; i < n; i++)
			note(record, vectors[i].iov_base, vectors[i].iov_len);
		return n;
	}
}

static int read_until_killed(void *argument)
{
	struct victim *victim = argument;
	hqq_standard *handle = join(victim);

	parent_say('r');
	for (;;)
		MUST(read_noted(handle, victim->record, test_random(&victim->seed)) > 0);
}

START_TEST(readers)
{
	struct victim victim = {.name = test_name("readers"), .ledger = ledger_open(), .wait = (uint32_t)_i};
	struct record *record = (struct record *)(void *)test_map_memory(sizeof(*record));
	struct ledger_writer writer = { .ledger = victim.ledger, .size = SIZE };
	uint64_t seed = test_seed(), lost;
	struct child children[VICTIMS];
	hqq_standard *handle, *last;
	unsigned int round, i;

	writer.seed = seed;
	victim.record = record;
	victim.side = 1;
	MUST_EQ(hqq_standard_create(&handle, victim.name, 32, SIZE, 0600, NULL), 0);
	for (round = 0; round < rounds() && writer.next < NUMBERS / 2; round++) {
		uint64_t end;

		patient(handle);
		for (i = 0; i < VICTIMS; i++) {
			victim.seed = test_random(&seed);
			child_start(&children[i], read_until_killed, &victim);
			child_hear(&children[i], 'r');
		}
		/* they die one by one, the last of them while nobody else reads */
		for (i = 0; i < VICTIMS; i++) {
			end = test_now_ns() + test_random(&seed) % 1000000;
			while (test_now_ns() < end && writer.next < NUMBERS - 1000)
				MUST(ledger_write(&writer, handle) >= 0);
			child_kill(&children[i]);
		}
		victim.seed = test_random(&seed);
	}
	MUST_EQ(hqq_standard_open(&last, victim.name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(last, &passed), 0);
	hqq_standard_recover(last);
	while (read_noted(last, record, test_random(&seed)) > 0)
		continue;
	lost = writer.next - record->received;
	fprintf(stderr, "%u readers killed, %llu messages sent, %llu lost with them\n", round * VICTIMS,
	        (unsigned long long)writer.next, (unsigned long long)lost);
	MUST(record->received <= writer.next);
	MUST(lost <= (uint64_t)round * VICTIMS * LEDGER_BATCH);
	/* nothing is stuck */
	for (i = 0; i < 32; i++)
		MUST_EQ(hqq_standard_write(handle, "x", 1), 1);
	MUST_EQ(hqq_standard_pending(last), 32);
	MUST_EQ(hqq_standard_close(last), 0);
	MUST_EQ(hqq_standard_close(handle), 0);
	test_unmap((unsigned char *)record, sizeof(*record));
	ledger_close(victim.ledger);
}
END_TEST

/* ---- those who come and go --------------------------------------------------------------------- */

static int open_and_close_until_killed(void *argument)
{
	struct victim *victim = argument;

	parent_say('o');
	for (;;) {
		hqq_standard *handle = join(victim);

		MUST_EQ(hqq_standard_close(handle), 0);
	}
	return 0;
}

START_TEST(while_opening_and_closing)
{
	struct victim victim = { .name = test_name("opening") };
	uint64_t seed = test_seed();
	struct child children[VICTIMS];
	hqq_standard *side[2];
	unsigned int round, i;

	MUST_EQ(hqq_standard_create(&side[0], victim.name, 4, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&side[1], victim.name, 0, 0, NULL), 0);
	for (round = 0; round < rounds(); round++) {
		char byte;

		for (i = 0; i < 2; i++)
			patient(side[i]);
		for (i = 0; i < VICTIMS; i++) {
			victim.side = (int)i % 2;
			child_start(&children[i], open_and_close_until_killed, &victim);
			child_hear(&children[i], 'o');
		}
		for (i = 0; i < VICTIMS; i++)
			kill_in_the_middle(&children[i], &seed);
		for (i = 0; i < 10; i++) {
			MUST_EQ(hqq_standard_write(side[i % 2], "x", 1), 1);
			MUST_EQ(hqq_standard_read(side[1 - i % 2], &byte, 1), 1);
		}
		/* and no place in the table is lost for good */
		hqq_standard_recover(side[0]);
	}
	for (i = 0; i < 2; i++)
		MUST_EQ(hqq_standard_close(side[1 - i]), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kill");
	TCase *cases = test_case(suite, "kill", 60.0 + 0.5 * rounds());

	tcase_add_loop_test(cases, writers, 0, HQQ_WAIT_BLOCK + 1);
	tcase_add_loop_test(cases, readers, 0, HQQ_WAIT_BLOCK + 1);
	tcase_add_test(cases, while_opening_and_closing);
	return test_main(suite);
}
