/*
 * test_storm.c - nine processes on one segment, killed and started again without end
 *
 * Per direction two writers and two readers, and one that only comes and goes. Chance picks who dies
 * and when. The victim is stopped first, so that the words of the segment tell which slots it
 * holds; then it is killed, or, now and then, let go again. From that, what is exact:
 *
 *   published     positions that were claimed for writing, less those that a dead writer held
 *   received      published, less those that a dead reader held and had not entered yet
 *   lost          what the segment's own count of lost messages says: those that a dead reader held
 *                 (a message that it had entered, but not released, is among them)
 *   mended        those and what dead writers held
 *
 * Readers enter a message into the book before they release its slot; a message is entered once
 * or never, whole, and of each writer in order.
 *
 * What is not exact: a handle's own stats go down with its process, so their sum over the processes
 * that ended well is a lower bound. And a process that dies while it mends for others may have
 * finished slots without having counted them; where that happened the segment's counts are lower
 * bounds, too.
 *
 * HQQ_STORM_KILLS says how many die, HQQ_TEST_SEED who and when.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "standard/standard.h"
#include "support.h"

#include <errno.h>
#include <hqq.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT 16
#define SIZE 64
#define PER_SIDE 2                        /* writers, and readers */
#define PROCESSES (4 * PER_SIDE + 1)
#define PRODUCERS (2 * PER_SIDE)
#define BATCH 6
#define NUMBERS (UINT32_C(1) << 20)       /* messages of one producer in one round, at most */
#define KILLS 400
#define LONG_KILLS 10000
#define KILLS_PER_ROUND 100
#define LOOKS 25                          /* until a victim's slots are certain */

static const struct timespec moment = { 0, 200000 };

/* ---- what the processes share ------------------------------------------------------------------ */

struct storm {
	const char *name;
	_Atomic bool ending; /* writers finish */
	_Atomic bool drained; /* readers, too */
	_Atomic uint32_t completed[PRODUCERS]; /* numbers whose writing call has returned */
	_Atomic uint64_t entering[PROCESSES];  /* readers: slot + 1, producer, number; 0 outside */
	_Atomic uint64_t entered[2];           /* messages, by direction */
	_Atomic uint64_t recovered, lost;      /* by the stats of those that ended well */
	_Atomic unsigned char book[PRODUCERS][NUMBERS];
};

static uint64_t entry_of(uint64_t slot, uint32_t producer, uint32_t number)
{
	return (slot + 1) << 48 | (uint64_t)producer << 32 | number;
}

struct process {
	struct storm *storm;
	unsigned int index;
	uint64_t seed;
	hqq_standard *handle;
	int64_t last[PRODUCERS]; /* numbers that this reader has seen */
	struct child child;
};

enum work { WRITE, READ, COME_AND_GO };

static enum work work_of(unsigned int index)
{
	return index < PRODUCERS ? WRITE : index < 2 * PRODUCERS ? READ : COME_AND_GO;
}

static int side_of(const struct process *process)
{
	return (int)(process->index % 2);
}

static void join(struct process *process)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;

	options.role = side_of(process) == 0 ? HQQ_ROLE_PRIMARY : HQQ_ROLE_SECONDARY;
	options.wait = test_random(&process->seed) % 2 ? HQQ_WAIT_BLOCK : HQQ_WAIT_ADAPTIVE;
	MUST_EQ(hqq_standard_open(&process->handle, process->storm->name, 0, 0, &options), 0);
}

static void leave(struct process *process)
{
	struct hqq_stats stats;

	MUST_EQ(hqq_standard_stats(process->handle, &stats), 0);
	process->storm->recovered += stats.recovered_slots;
	process->storm->lost += stats.lost_messages;
	MUST_EQ(stats.refused_packets, 0);
	MUST_EQ(hqq_standard_close(process->handle), 0);
}

/* Now and then somebody else's turn: slots are held a little longer, and death meets more of them. */
static void dawdle(struct process *process)
{
	if (test_random(&process->seed) % 16 == 0)
		sched_yield();
}

/* ---- messages ---------------------------------------------------------------------------------- */

struct head {
	uint32_t number;
	uint16_t producer;
	uint16_t length;
};

static uint64_t seed_of(uint32_t producer, uint32_t number)
{
	return (uint64_t)producer << 32 | number;
}

static size_t make(void *data, uint32_t producer, uint32_t number)
{
	uint64_t state = seed_of(producer, number);
	struct head head = { number, (uint16_t)producer, 0 };

	head.length = (uint16_t)(sizeof(head) + test_random(&state) % (SIZE - sizeof(head) + 1));
	memcpy(data, &head, sizeof(head));
	test_fill((unsigned char *)data + sizeof(head), head.length - sizeof(head), seed_of(producer, number));
	return head.length;
}

static struct head check(const void *data, size_t length)
{
	unsigned char want[SIZE];
	struct head head;

	MUST(length >= sizeof(head));
	memcpy(&head, data, sizeof(head));
	MUST(head.producer < PRODUCERS && head.number < NUMBERS);
	MUST_EQ(length, make(want, head.producer, head.number));
	MUST(memcmp(data, want, length) == 0);
	return head;
}

/* ---- writers ----------------------------------------------------------------------------------- */

struct filling {
	struct process *process;
	uint32_t producer, number;
};

static ssize_t fill(void *data, size_t capacity, void *argument)
{
	const struct filling *filling = argument;

	MUST_EQ(capacity, SIZE);
	dawdle(filling->process);
	return (ssize_t)make(data, filling->producer, filling->number);
}

/* One call; how many messages it sent. */
static uint32_t write_some(struct process *process, uint32_t producer, uint32_t number)
{
	const uint64_t chance = test_random(&process->seed);
	struct filling filling = { process, producer, number };
	unsigned char bytes[BATCH][SIZE];
	struct iovec vectors[BATCH];
	struct hqq_reservation reservation;
	ssize_t n;

	switch (chance % 4) {
	case 0:
		n = hqq_standard_write(process->handle, bytes, make(bytes, producer, number));
		break;
	case 1:
		n = hqq_standard_write_zero_copy(process->handle, fill, &filling);
		break;
	case 2:
		n = hqq_standard_reserve_write(process->handle, &reservation);
		MUST_EQ(n, 0);
		dawdle(process);
		n = hqq_standard_commit(&reservation, make(reservation.data, producer, number));
		MUST_EQ(n, 0);
		return 1;
	default:
		for (uint32_t i = 0; i < BATCH; i++)
			vectors[i] = (struct iovec){ bytes[i], make(bytes[i], producer, number + i) };
		n = hqq_standard_write_batch(process->handle, vectors, (size_t)(1 + chance / 4 % BATCH));
		MUST(n > 0);
		return (uint32_t)n;
	}
	MUST(n > 0);
	return 1;
}

static void write_on(struct process *process)
{
	struct storm *storm = process->storm;
	const uint32_t producer = process->index;
	uint32_t number = storm->completed[producer];

	while (!storm->ending) {
		if (number >= NUMBERS - 3 * BATCH) {
			nanosleep(&moment, NULL);
			continue;
		}
		number += write_some(process, producer, number);
		storm->completed[producer] = number;
	}
}

/* ---- readers ----------------------------------------------------------------------------------- */

static void enter(struct process *process, const void *data, size_t length)
{
	const struct hqq_ring *ring = hqq_link_ring(&process->handle->link, HQQ_CLAIM_READ);
	const uint64_t slot = (uint64_t)((const unsigned char *)data - ring->buffers) / SIZE;
	struct storm *storm = process->storm;
	struct head head = check(data, length);

	dawdle(process);
	MUST(head.producer % 2 != side_of(process));
	if (process->last[head.producer] > (int64_t)head.number)
		test_must_failed(__FILE__, __LINE__, "number %u of producer %u after %lld", head.number,
		                 head.producer, (long long)process->last[head.producer]);
	process->last[head.producer] = (int64_t)head.number;
	storm->entering[process->index] = entry_of(slot, head.producer, head.number);
	if (storm->book[head.producer][head.number]++)
		test_must_failed(__FILE__, __LINE__, "number %u of producer %u came twice", head.number,
		                 head.producer);
	dawdle(process);
}

static int enter_in_callback(const void *data, size_t length, void *argument)
{
	enter(argument, data, length);
	return 0;
}

static void read_on(struct process *process)
{
	struct storm *storm = process->storm;

	for (unsigned int i = 0; i < PRODUCERS; i++)
		process->last[i] = -1;
	while (!storm->drained) {
		const struct timespec deadline = test_in_ms(50);
		struct hqq_reservation reservation;
		ssize_t n;

		MUST_EQ(hqq_standard_set_deadline(process->handle, &deadline), 0);
		if (test_random(&process->seed) % 2) {
			n = hqq_standard_read_zero_copy(process->handle, enter_in_callback, process);
		} else {
			n = hqq_standard_reserve_read(process->handle, &reservation);
			if (n == 0) {
				enter(process, reservation.data, reservation.size);
				n = 1;
				MUST_EQ(hqq_standard_release(&reservation), 0);
			}
		}
		MUST(n > 0 || n == HQQ_ERR_TIMEOUT);
		storm->entering[process->index] = 0;
	}
}

static int work_on(void *argument)
{
	struct process *process = argument;

	do {
		join(process);
		if (work_of(process->index) == WRITE)
			write_on(process);
		else if (work_of(process->index) == READ)
			read_on(process);
		else
			hqq_standard_recover(process->handle);
		leave(process);
	} while (work_of(process->index) == COME_AND_GO && !process->storm->ending);
	return 0;
}

/* ---- what a victim holds ------------------------------------------------------------------------ */

struct ground {
	struct storm *storm;
	unsigned char *base;
	size_t length;
	struct hqq_extension *extension;
	struct hqq_ring rings[2];
};

struct holds {
	unsigned int writing, reading;
	unsigned int entered; /* of the messages that it holds for reading */
	bool mending;
};

static uint64_t holder_of_repair(const struct ground *ground)
{
	return ground->extension->repair & 0xff;
}

static bool is_named(const struct ground *ground, unsigned int by, enum hqq_claim_kind kind, uint64_t position)
{
	for (unsigned int lane = 0; lane < HQQ_LANES; lane++) {
		if (hqq_claim_covers(ground->extension->entries[by].lanes[lane], kind, position))
			return true;
	}
	return false;
}

static bool is_named_by_others(const struct ground *ground, unsigned int but, int mode, enum hqq_claim_kind kind,
                               uint64_t position)
{
	for (unsigned int i = 0; i < HQQ_ENDPOINTS; i++) {
		uint64_t identity = ground->extension->entries[i].identity;

		if (i != but && hqq_identity_state(identity) != HQQ_ENTRY_FREE &&
		    hqq_identity_lanes_mode(identity) == mode &&
		    is_named(ground, i, kind, position))
			return true;
	}
	return false;
}

enum held { NO, YES, UNCERTAIN };

/* Is that position, claimed and not finished, held by the stopped endpoint? The others run on. */
static enum held is_held(const struct ground *ground, unsigned int by, int mode, const struct hqq_ring *ring,
                         enum hqq_claim_kind kind, uint64_t position)
{
	const struct hqq_element *element = hqq_ring_element(ring, position);
	const bool named = is_named(ground, by, kind, position);
	bool others = is_named_by_others(ground, by, mode, kind, position);
	uint64_t tag = le64toh(element->packet[HQQ_WORD_TAG]);

	others |= is_named_by_others(ground, by, mode, kind, position);
	if (tag == hqq_claim_tag(kind, by, position))
		return YES;
	for (unsigned int i = 0; i < HQQ_ENDPOINTS; i++) {
		if (tag == hqq_claim_tag(kind, i, position))
			return NO;
	}
	if (!named || !hqq_ring_is_turn(ring, kind, position))
		return NO;
	return others ? UNCERTAIN : YES;
}

static bool look_once(const struct ground *ground, const struct process *victim, unsigned int entry,
                      enum hqq_claim_kind kind, struct holds *holds)
{
	const int mode = side_of(victim);
	const struct hqq_ring *ring = &ground->rings[kind == HQQ_CLAIM_WRITE ? mode : 1 - mode];
	const uint64_t cursor = *hqq_ring_cursor(ring, kind);
	const uint64_t note = ground->storm->entering[victim->index];

	for (uint64_t position = cursor - COUNT; position != cursor; position++) {
		enum held held = hqq_ring_is_turn(ring, kind, position)
		                         ? is_held(ground, entry, mode, ring, kind, position)
		                         : NO;

		if (held == UNCERTAIN)
			return false;
		if (held == NO)
			continue;
		if (kind == HQQ_CLAIM_WRITE)
			holds->writing++;
		else
			holds->reading++;
		if (kind == HQQ_CLAIM_READ && note >> 48 == hqq_ring_slot(ring, position) + 1 &&
		    ground->storm->book[note >> 32 & 0xffff][(uint32_t)note])
			holds->entered++;
	}
	return true;
}

/* false: it cannot be told now, since one that runs, or died, wanted the same slot. */
static bool look_at(const struct ground *ground, const struct process *victim, struct holds *holds)
{
	unsigned int entry = 0;

	for (; entry < HQQ_ENDPOINTS; entry++) {
		const uint64_t identity = ground->extension->entries[entry].identity;

		if (hqq_identity_state(identity) != HQQ_ENTRY_FREE &&
		    hqq_identity_pid(identity) == victim->child.pid)
			break;
	}
	memset(holds, 0, sizeof(*holds));
	if (entry == HQQ_ENDPOINTS) /* on its way in or out */
		return true;
	for (int i = 0; i < LOOKS; i++) {
		memset(holds, 0, sizeof(*holds));
		holds->mending = holder_of_repair(ground) == entry + 1;
		if (look_once(ground, victim, entry, HQQ_CLAIM_WRITE, holds) &&
		    look_once(ground, victim, entry, HQQ_CLAIM_READ, holds))
			return true;
		nanosleep(&moment, NULL);
	}
	return false;
}

/* ---- the storm --------------------------------------------------------------------------------- */

struct tally {
	unsigned int killed, spared, uncertain, mending;
	uint64_t writing, reading, entered; /* what the dead held */
	uint64_t published, received;
};

static void start(struct process *process, uint64_t seed)
{
	process->seed = seed;
	process->storm->entering[process->index] = 0;
	child_start(&process->child, work_on, process);
}

/* One dies, or is let go again; it is never robbed meanwhile. */
static void strike(const struct ground *ground, struct process *victim, uint64_t *seed, struct tally *tally)
{
	const bool spare = test_random(seed) % 8 == 0;
	struct holds holds, later;
	int status;

	MUST_EQ(kill(victim->child.pid, SIGSTOP), 0);
	MUST_EQ(waitpid(victim->child.pid, &status, WUNTRACED), victim->child.pid);
	if (!WIFSTOPPED(status))
		test_must_failed(__FILE__, __LINE__, "process %u ended, status %#x", victim->index,
		                 (unsigned int)status);
	if (!look_at(ground, victim, &holds)) {
		tally->uncertain++;
		MUST_EQ(kill(victim->child.pid, SIGCONT), 0);
		return;
	}
	if (spare) {
		test_sleep_ms(3);
		if (look_at(ground, victim, &later)) {
			MUST_EQ(later.writing, holds.writing);
			MUST_EQ(later.reading, holds.reading);
		}
		tally->spared++;
		MUST_EQ(kill(victim->child.pid, SIGCONT), 0);
		return;
	}
	child_kill(&victim->child);
	tally->killed++;
	tally->writing += holds.writing;
	tally->reading += holds.reading;
	tally->entered += holds.entered;
	tally->mending += holds.mending;
	/* numbers that it was about to send are not used again */
	if (work_of(victim->index) == WRITE)
		victim->storm->completed[victim->index] += BATCH;
	start(victim, test_random(seed));
}

static void wait_until_drained(const struct ground *ground)
{
	const uint64_t end = test_now_ns() + 30 * UINT64_C(1000000000) * test_slowness();

	for (int direction = 0; direction < 2; direction++) {
		const struct hqq_ring *ring = &ground->rings[direction];

		while (*ring->read_cursor != *ring->write_cursor) {
			if (test_now_ns() > end)
				test_must_failed(__FILE__, __LINE__, "direction %d hangs at %llu of %llu", direction,
				                 (unsigned long long)*ring->read_cursor,
				                 (unsigned long long)*ring->write_cursor);
			nanosleep(&moment, NULL);
		}
	}
}

/* All end well, writers first. */
static void calm_down(const struct ground *ground, struct process *processes)
{
	unsigned int i;

	ground->storm->ending = true;
	for (i = 0; i < PROCESSES; i++) {
		if (work_of(i) != READ)
			child_join_ok(&processes[i].child);
	}
	wait_until_drained(ground);
	ground->storm->drained = true;
	for (i = 0; i < PROCESSES; i++) {
		if (work_of(i) == READ)
			child_join_ok(&processes[i].child);
	}
}

static void expect_clean(const struct ground *ground)
{
	unsigned int entries = 0, i;

	for (int direction = 0; direction < 2; direction++) {
		const struct hqq_ring *ring = &ground->rings[direction];
		const uint64_t cursor = *ring->write_cursor;

		MUST_EQ(*ring->read_cursor, cursor);
		for (uint64_t position = cursor; position != cursor + COUNT; position++)
			MUST_EQ(hqq_ring_element(ring, position)->sequence, position);
	}
	for (i = 0; i < HQQ_ENDPOINTS; i++)
		entries += hqq_identity_state(ground->extension->entries[i].identity) != HQQ_ENTRY_FREE;
	MUST_EQ(entries, 1);
	MUST_EQ(holder_of_repair(ground), 0);
}

/* Messages in the book, which is empty then. */
static uint64_t count_received(struct storm *storm)
{
	uint64_t received = 0;

	for (unsigned int producer = 0; producer < PRODUCERS; producer++) {
		const uint32_t end = storm->completed[producer] + BATCH;

		for (uint32_t number = 0; number < end; number++)
			received += storm->book[producer][number];
		memset((void *)(uintptr_t)storm->book[producer], 0, end);
		storm->completed[producer] = 0;
	}
	return received;
}

static void run_round(const struct ground *ground, hqq_standard *handle, unsigned int kills, uint64_t *seed,
                      struct tally *all)
{
	struct storm *storm = ground->storm;
	const struct hqq_extension *extension = ground->extension;
	const uint64_t mended = extension->mended, lost = extension->lost;
	uint64_t claimed = *ground->rings[0].write_cursor + *ground->rings[1].write_cursor;
	struct process processes[PROCESSES] = { 0 };
	struct tally tally = { 0 };
	struct hqq_stats stats;
	unsigned int i;

	storm->ending = storm->drained = false;
	storm->recovered = storm->lost = 0;
	for (i = 0; i < PROCESSES; i++) {
		processes[i].storm = storm;
		processes[i].index = i;
		start(&processes[i], test_random(seed));
	}
	while (tally.killed < kills) {
		struct timespec pause = { 0, (long)(test_random(seed) % 1500000) };

		nanosleep(&pause, NULL);
		strike(ground, &processes[test_random(seed) % PROCESSES], seed, &tally);
	}
	calm_down(ground, processes);
	MUST(hqq_standard_recover(handle) >= 0);
	expect_clean(ground);
	claimed = *ground->rings[0].write_cursor + *ground->rings[1].write_cursor - claimed;
	tally.published = claimed - tally.writing;
	tally.received = count_received(storm);
	MUST_EQ(tally.received, tally.published - (tally.reading - tally.entered));
	/* the segment's own counts; short only of what somebody had mended and not counted yet */
	MUST(extension->mended - mended <= tally.writing + tally.reading);
	MUST(extension->lost - lost <= tally.reading);
	if (!tally.mending) {
		MUST_EQ(extension->mended - mended, tally.writing + tally.reading);
		MUST_EQ(extension->lost - lost, tally.reading);
	}
	MUST_EQ(hqq_standard_stats(handle, &stats), 0);
	MUST(storm->recovered <= tally.writing + tally.reading);
	MUST(storm->lost <= tally.reading);
	all->killed += tally.killed;
	all->spared += tally.spared;
	all->uncertain += tally.uncertain;
	all->mending += tally.mending;
	all->writing += tally.writing;
	all->reading += tally.reading;
	all->entered += tally.entered;
	all->published += tally.published;
	all->received += tally.received;
}

static unsigned int wished_kills(void)
{
	const char *wish = getenv("HQQ_STORM_KILLS"), *is_long = getenv("HQQ_TEST_LONG");

	if (wish != NULL && atoi(wish) > 0)
		return (unsigned int)atoi(wish);
	return is_long != NULL && atoi(is_long) > 0 ? LONG_KILLS : KILLS / test_slowness();
}

START_TEST(kill_storm)
{
	const unsigned int kills = wished_kills();
	uint64_t seed = test_seed();
	const uint64_t began = test_now_ns();
	struct ground ground = { .storm = (struct storm *)(void *)test_map_memory(sizeof(struct storm)) };
	struct hqq_geometry geometry;
	struct tally all = { 0 };
	hqq_standard *handle;

	ground.storm->name = test_name("storm");
	MUST_EQ(hqq_standard_create(&handle, ground.storm->name, COUNT, SIZE, 0600, NULL), 0);
	ground.base = test_map_name(ground.storm->name, &ground.length);
	ground.extension = hqq_extension_of(ground.base);
	MUST_EQ(hqq_geometry_init(&geometry, COUNT, SIZE), 0);
	for (int direction = 0; direction < 2; direction++)
		hqq_ring_init(&ground.rings[direction], ground.base, &geometry, direction);
	while (all.killed < kills)
		run_round(&ground, handle, kills - all.killed < KILLS_PER_ROUND ? kills - all.killed : KILLS_PER_ROUND,
		          &seed, &all);
	fprintf(stderr,
	        "%u killed, %u stopped and let go in %.1f s; %llu messages published, %llu received; the dead held "
	        "%llu for writing and %llu for reading (%llu of these entered before); the segment counts %llu "
	        "mended, %llu lost; %u died mending, %u could not be judged\n",
	        all.killed, all.spared, (double)(test_now_ns() - began) / 1e9, (unsigned long long)all.published,
	        (unsigned long long)all.received, (unsigned long long)all.writing, (unsigned long long)all.reading,
	        (unsigned long long)all.entered, (unsigned long long)ground.extension->mended,
	        (unsigned long long)ground.extension->lost, all.mending, all.uncertain);
	MUST_EQ(hqq_standard_close(handle), 0);
	test_unmap(ground.base, ground.length);
	test_unmap((unsigned char *)ground.storm, sizeof(struct storm));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("storm");
	TCase *cases = test_case(suite, "kill storm", 60.0 + 0.2 * wished_kills());

	tcase_add_test(cases, kill_storm);
	return test_main(suite);
}
