/*
 * test_foreign.c - the library and another implementation on one segment
 *
 * The other implementation (foreign.h) lives in a process of its own, installs nothing, registers
 * nowhere and wakes nobody.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "foreign.h"
#include "support.h"

#include <hqq.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define MAX_SIZE 4096

static uint64_t patience(void)
{
	return 40 * SECOND * test_slowness();
}

/* ---- both directions at once ------------------------------------------------------------------- */

struct talk {
	const char *name;
	uint64_t count, size;
	struct test_quota messages[2]; /* of each direction */
	bool foreign_creates, own_geometry;
	uint32_t wait;
	hqq_standard *handle;
	struct foreign other;
	int direction; /* of the foreign side */
};

/* Message i of a direction: a length and a content that only it has. */
static size_t length_of(const struct talk *talk, uint64_t i)
{
	uint64_t state = i;

	/* every length in turn at first, then any */
	return 1 + (size_t)((i < 2 * talk->size ? i : test_random(&state)) % talk->size);
}

static uint64_t seed_of(int direction, uint64_t i)
{
	return i * 2 + (uint64_t)direction;
}

/* Is there an i-th message to write, or for index 1 to read, on the side of this direction? */
static bool goes_on(struct talk *talk, unsigned int index, int direction, uint64_t i)
{
	if (index == 0)
		return test_quota_next(&talk->messages[direction], i, 1) > 0;
	return test_quota_left(&talk->messages[1 - direction], i) > 0;
}

static void foreign_talks(void *argument, unsigned int index)
{
	struct talk *talk = argument;
	unsigned char bytes[MAX_SIZE];
	uint64_t i;

	for (i = 0; goes_on(talk, index, talk->direction, i); i++) {
		size_t length = length_of(talk, i);

		if (index == 0) {
			test_fill(bytes, length, seed_of(talk->direction, i));
			MUST_EQ(foreign_write(&talk->other, bytes, length, patience()), FOREIGN_OK);
		} else {
			MUST_EQ(foreign_read(&talk->other, bytes, sizeof(bytes), patience()), length);
			MUST_EQ(test_verify(bytes, length, seed_of(1 - talk->direction, i)), -1);
		}
	}
}

static void library_talks(void *argument, unsigned int index)
{
	struct talk *talk = argument;
	unsigned char bytes[MAX_SIZE];
	int direction = hqq_standard_mode(talk->handle);
	uint64_t i;

	for (i = 0; goes_on(talk, index, direction, i); i++) {
		size_t length = length_of(talk, i);

		if (index == 0) {
			test_fill(bytes, length, seed_of(direction, i));
			MUST_EQ(hqq_standard_write(talk->handle, bytes, length), length);
		} else {
			MUST_EQ(hqq_standard_read(talk->handle, bytes, sizeof(bytes)), length);
			MUST_EQ(test_verify(bytes, length, seed_of(1 - direction, i)), -1);
		}
	}
}

static int foreign_side(void *argument)
{
	struct talk *talk = argument;

	if (talk->foreign_creates) {
		MUST_EQ(foreign_create(&talk->other, talk->name, talk->count, talk->size, NULL), FOREIGN_OK);
		parent_say('c');
	} else {
		parent_hear('c');
		MUST_EQ(foreign_open(&talk->other, talk->name, talk->count, talk->size), FOREIGN_OK);
	}
	talk->direction = talk->other.direction;
	MUST_EQ(talk->direction, talk->foreign_creates ? FOREIGN_PRIMARY : FOREIGN_SECONDARY);
	test_run_threads(2, foreign_talks, talk);
	parent_hear('q');
	foreign_close(&talk->other);
	return 0;
}

static void open_library_side(struct talk *talk, struct child *child)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	struct timespec deadline = test_in_ms(patience() / 1000000);
	size_t count = (size_t)talk->count, size = (size_t)talk->size;

	options.wait = talk->wait;
	if (talk->foreign_creates) {
		child_hear(child, 'c');
		if (talk->own_geometry)
			count = size = 0;
		MUST_EQ(hqq_standard_open(&talk->handle, talk->name, count, size, &options), 0);
		MUST_EQ(hqq_standard_mode(talk->handle), HQQ_MODE_SECONDARY);
	} else {
		MUST_EQ(hqq_standard_create(&talk->handle, talk->name, count, size, 0600, &options), 0);
		MUST_EQ(hqq_standard_mode(talk->handle), HQQ_MODE_PRIMARY);
		child_say(child, 'c');
	}
	MUST_EQ(hqq_standard_buffer_count(talk->handle), talk->count);
	MUST_EQ(hqq_standard_buffer_size(talk->handle), talk->size);
	MUST_EQ(hqq_standard_set_deadline(talk->handle, &deadline), 0);
}

static const struct {
	uint64_t count, size, messages;
} talks[] = {
	{ 2, 8, 4000 }, { 2, 1024, 4000 }, { 4, 64, 8000 }, { 64, 4096, 20000 }, { 1024, 256, 40000 },
};

#define TALKS (int)(sizeof(talks) / sizeof(talks[0]))

static void begin_talk(struct talk *talk, int kind)
{
	const uint64_t messages = talks[kind].messages / test_slowness();
	int i;

	talk->count = talks[kind].count;
	talk->size = talks[kind].size;
	for (i = 0; i < 2; i++)
		test_quota_begin(&talk->messages[i], messages, messages / 10);
}

/* _i counts through geometries, then creators and wait policies. */
START_TEST(talk_in_both_directions)
{
	int kind = _i / TALKS, direction;
	/* shared with the child, for the quotas */
	struct talk *talk = (struct talk *)(void *)test_map_memory(sizeof(*talk));
	struct hqq_stats stats;
	struct child child;

	talk->name = test_name("talk");
	talk->foreign_creates = kind % 2 == 1;
	talk->own_geometry = _i % 2 == 0;
	talk->wait = kind / 2 == 0 ? HQQ_WAIT_ADAPTIVE : HQQ_WAIT_BLOCK;
	begin_talk(talk, _i % TALKS);
	child_start(&child, foreign_side, talk);
	open_library_side(talk, &child);
	test_run_threads(2, library_talks, talk);
	direction = hqq_standard_mode(talk->handle);
	MUST_EQ(hqq_standard_stats(talk->handle, &stats), 0);
	MUST_EQ(stats.sent_messages, test_quota_count(&talk->messages[direction]));
	MUST_EQ(stats.received_messages, test_quota_count(&talk->messages[1 - direction]));
	MUST_EQ(stats.tombstones + stats.refused_packets + stats.recovered_slots + stats.lost_messages, 0);
	child_say(&child, 'q');
	child_join_ok(&child);
	MUST_EQ(hqq_standard_close(talk->handle), 0);
	test_unmap((unsigned char *)talk, sizeof(*talk));
}
END_TEST

START_TEST(foreign_primary_sees_a_library_twin)
{
	/* a second primary beside a foreign one: they share ring 0 as writers and ring 1 as readers */
	struct hqq_options options = HQQ_OPTIONS_INIT;
	const char *name = test_name("twin");
	struct foreign creator, reader;
	hqq_standard *twin;
	char text[64];

	MUST_EQ(foreign_create(&creator, name, 4, 64, NULL), FOREIGN_OK);
	MUST_EQ(foreign_open(&reader, name, 4, 64), FOREIGN_OK);
	options.role = HQQ_ROLE_PRIMARY;
	MUST_EQ(hqq_standard_open(&twin, name, 4, 64, &options), 0);
	MUST_EQ(hqq_standard_mode(twin), HQQ_MODE_PRIMARY);
	MUST_EQ(foreign_write(&creator, "one", 3, 0), FOREIGN_OK);
	MUST_EQ(hqq_standard_write(twin, "two", 3), 3);
	MUST_EQ(foreign_write(&creator, "three", 5, 0), FOREIGN_OK);
	MUST_EQ(foreign_read(&reader, text, sizeof(text), 0), 3);
	MUST(memcmp(text, "one", 3) == 0);
	MUST_EQ(foreign_read(&reader, text, sizeof(text), 0), 3);
	MUST(memcmp(text, "two", 3) == 0);
	MUST_EQ(foreign_read(&reader, text, sizeof(text), 0), 5);
	MUST_EQ(foreign_write(&reader, "four", 4, 0), FOREIGN_OK);
	MUST_EQ(hqq_standard_read(twin, text, sizeof(text)), 4);
	MUST_EQ(hqq_standard_close(twin), 0);
	foreign_close(&reader);
	foreign_close(&creator);
}
END_TEST

START_TEST(foreign_attach_on_one_mapping)
{
	/* the caller's own memory: whoever comes first is primary, the library or the other one */
	unsigned char *base = test_map_memory(hqq_standard_size(4, 64));
	struct foreign other;
	hqq_standard *handle;
	char text[64];

	if (_i == 0) {
		MUST_EQ(foreign_attach(&other, base, hqq_standard_size(4, 64), 4, 64), FOREIGN_OK);
		MUST_EQ(hqq_standard_attach(&handle, base, hqq_standard_size(4, 64), 4, 64, NULL), 0);
	} else {
		MUST_EQ(hqq_standard_attach(&handle, base, hqq_standard_size(4, 64), 4, 64, NULL), 0);
		MUST_EQ(foreign_attach(&other, base, hqq_standard_size(4, 64), 4, 64), FOREIGN_OK);
	}
	MUST_EQ(other.direction, _i == 0 ? FOREIGN_PRIMARY : FOREIGN_SECONDARY);
	MUST_EQ(hqq_standard_mode(handle), _i == 0 ? HQQ_MODE_SECONDARY : HQQ_MODE_PRIMARY);
	MUST_EQ(hqq_standard_write(handle, "there", 5), 5);
	MUST_EQ(foreign_read(&other, text, sizeof(text), 0), 5);
	MUST_EQ(foreign_write(&other, "back", 4, 0), FOREIGN_OK);
	MUST_EQ(hqq_standard_read(handle, text, sizeof(text)), 4);
	MUST(memcmp(text, "back", 4) == 0);
	MUST_EQ(hqq_standard_close(handle), 0);
	foreign_close(&other);
	test_unmap(base, hqq_standard_size(4, 64));
}
END_TEST

/* Threads 0 and 1 are the library's writer and reader, 2 and 3 the other's. */
static void both_talk(void *argument, unsigned int index)
{
	if (index < 2)
		library_talks(argument, index);
	else
		foreign_talks(argument, index - 2);
}

START_TEST(talk_on_one_mapping)
{
	/* all in one process and one mapping, where a race detector sees both sides */
	const size_t count = (size_t)talks[_i / 2].count, size = (size_t)talks[_i / 2].size;
	const size_t length = hqq_standard_size(count, size);
	struct timespec deadline = test_in_ms(patience() / 1000000);
	unsigned char *base = test_map_memory(length);
	struct talk talk = { 0 };

	begin_talk(&talk, _i / 2);
	if (_i % 2 == 0)
		MUST_EQ(foreign_attach(&talk.other, base, length, talk.count, talk.size), FOREIGN_OK);
	MUST_EQ(hqq_standard_attach(&talk.handle, base, length, count, size, NULL), 0);
	if (_i % 2 == 1)
		MUST_EQ(foreign_attach(&talk.other, base, length, talk.count, talk.size), FOREIGN_OK);
	talk.direction = talk.other.direction;
	MUST_EQ(hqq_standard_set_deadline(talk.handle, &deadline), 0);
	test_run_threads(4, both_talk, &talk);
	MUST_EQ(hqq_standard_close(talk.handle), 0);
	foreign_close(&talk.other);
	test_unmap(base, length);
}
END_TEST

/* ---- many of both kinds ------------------------------------------------------------------------ */

#define WRITERS 4
#define READERS 4
#define MOST_MESSAGES 6000
#define POISON UINT32_MAX

struct ledger {
	struct test_quota written[WRITERS];
	unsigned char seen[WRITERS][MOST_MESSAGES];
};

struct entry {
	uint32_t writer, number;
	unsigned char noise[24];
};

struct worker {
	const char *name;
	struct ledger *ledger;
	uint32_t index;
	uint32_t messages;
	bool foreign;
};

static int write_for_the_ledger(void *argument)
{
	struct worker *worker = argument;
	struct hqq_options options = HQQ_OPTIONS_INIT;
	struct timespec deadline = test_in_ms(patience() / 1000000);
	struct test_quota *quota = &worker->ledger->written[worker->index];
	struct foreign other;
	hqq_standard *handle = NULL;
	struct entry entry;

	options.role = HQQ_ROLE_PRIMARY;
	if (worker->foreign) {
		MUST_EQ(foreign_open_primary(&other, worker->name, 8, sizeof(entry)), FOREIGN_OK);
	} else {
		MUST_EQ(hqq_standard_open(&handle, worker->name, 0, 0, &options), 0);
		MUST_EQ(hqq_standard_set_deadline(handle, &deadline), 0);
	}
	entry.writer = worker->index;
	for (entry.number = 0; test_quota_next(quota, entry.number, 1) > 0; entry.number++) {
		test_fill(entry.noise, sizeof(entry.noise), entry.writer * 100000 + entry.number);
		if (worker->foreign)
			MUST_EQ(foreign_write(&other, &entry, sizeof(entry), patience()), FOREIGN_OK);
		else
			MUST_EQ(hqq_standard_write(handle, &entry, sizeof(entry)), sizeof(entry));
	}
	if (worker->foreign)
		foreign_close(&other);
	else
		MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

static void book(struct worker *worker, const struct entry *entry, int64_t last[WRITERS])
{
	MUST(entry->writer < WRITERS && entry->number < worker->messages);
	MUST_EQ(test_verify(entry->noise, sizeof(entry->noise), entry->writer * 100000 + entry->number), -1);
	MUST(entry->number > last[entry->writer]);
	last[entry->writer] = entry->number;
	__atomic_add_fetch(&worker->ledger->seen[entry->writer][entry->number], 1, __ATOMIC_RELAXED);
}

static int read_for_the_ledger(void *argument)
{
	struct worker *worker = argument;
	struct timespec deadline = test_in_ms(patience() / 1000000);
	int64_t last[WRITERS] = { -1, -1, -1, -1 };
	struct foreign other;
	hqq_standard *handle = NULL;
	struct entry entry;

	if (worker->foreign) {
		MUST_EQ(foreign_open(&other, worker->name, 8, sizeof(entry)), FOREIGN_OK);
	} else {
		MUST_EQ(hqq_standard_open(&handle, worker->name, 0, 0, NULL), 0);
		MUST_EQ(hqq_standard_set_deadline(handle, &deadline), 0);
	}
	for (;;) {
		if (worker->foreign)
			MUST_EQ(foreign_read(&other, &entry, sizeof(entry), patience()), sizeof(entry));
		else
			MUST_EQ(hqq_standard_read(handle, &entry, sizeof(entry)), sizeof(entry));
		if (entry.writer == POISON)
			break;
		book(worker, &entry, last);
	}
	if (worker->foreign)
		foreign_close(&other);
	else
		MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

START_TEST(ledger_of_a_mixed_crowd)
{
	uint32_t messages = MOST_MESSAGES / test_slowness(), i, number;
	struct child writers[WRITERS], readers[READERS];
	struct worker workers[WRITERS + READERS];
	struct entry poison = { POISON, 0, { 0 } };
	const char *name = test_name("crowd");
	struct ledger *ledger;
	struct foreign creator;
	hqq_standard *library = NULL;

	ledger = (struct ledger *)(void *)test_map_memory(sizeof(*ledger));
	/* created by either kind */
	if (_i == 0)
		MUST_EQ(foreign_create(&creator, name, 8, sizeof(struct entry), NULL), FOREIGN_OK);
	else
		MUST_EQ(hqq_standard_create(&library, name, 8, sizeof(struct entry), 0600, NULL), 0);
	for (i = 0; i < WRITERS; i++) {
		workers[i] = (struct worker){ name, ledger, i, messages, i % 2 == 0 };
		test_quota_begin(&ledger->written[i], messages, messages / 10);
		child_start(&writers[i], write_for_the_ledger, &workers[i]);
	}
	for (i = 0; i < READERS; i++) {
		workers[WRITERS + i] = (struct worker){ name, ledger, i, messages, i % 2 == 0 };
		child_start(&readers[i], read_for_the_ledger, &workers[WRITERS + i]);
	}
	for (i = 0; i < WRITERS; i++)
		child_join_ok(&writers[i]);
	for (i = 0; i < READERS; i++) {
		if (_i == 0)
			MUST_EQ(foreign_write(&creator, &poison, sizeof(poison), patience()), FOREIGN_OK);
		else
			MUST_EQ(hqq_standard_write(library, &poison, sizeof(poison)), sizeof(poison));
	}
	for (i = 0; i < READERS; i++)
		child_join_ok(&readers[i]);
	for (i = 0; i < WRITERS; i++) {
		for (number = 0; number < messages; number++)
			MUST_EQ(ledger->seen[i][number], number < test_quota_count(&ledger->written[i]));
	}
	if (_i == 0)
		foreign_close(&creator);
	else
		MUST_EQ(hqq_standard_close(library), 0);
	test_unmap((unsigned char *)ledger, sizeof(*ledger));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("foreign");
	TCase *cases = test_case(suite, "talk", 60);

	tcase_add_loop_test(cases, talk_in_both_directions, 0, 4 * TALKS);
	tcase_add_test(cases, foreign_primary_sees_a_library_twin);
	tcase_add_loop_test(cases, foreign_attach_on_one_mapping, 0, 2);
	tcase_add_loop_test(cases, talk_on_one_mapping, 0, 2 * TALKS);

	cases = test_case(suite, "crowd", 60);
	tcase_add_loop_test(cases, ledger_of_a_mixed_crowd, 0, 2);
	return test_main(suite);
}
