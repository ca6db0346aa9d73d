/*
 * step_scene.c - a segment, two processes that survive, and victims; see step_scene.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "sandbox.h"
#include "step_scene.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void step_equal(const struct step_scene *scene, const char *what, uint64_t got, uint64_t want)
{
	if (got != want)
		test_must_failed(__FILE__, __LINE__, "%s: %s is %lld, not %lld", scene->context, what, (long long)got,
		                 (long long)want);
}

/* ---- messages ---------------------------------------------------------------------------------- */

struct head {
	uint64_t number;
	uint32_t epoch;
	uint16_t who;
	uint8_t mark;
	uint8_t length;
};

_Static_assert(sizeof(struct head) == 16, "no padding");

static uint64_t seed_of(const struct head *head)
{
	return head->number << 24 ^ (uint64_t)head->epoch << 3 ^ (uint64_t)head->who << 1 ^ head->mark;
}

/* Not by the epoch: a victim does the same each time. */
static uint8_t length_of(const struct head *head)
{
	uint64_t state = head->number << 3 ^ (uint64_t)head->who << 1 ^ head->mark;

	return (uint8_t)(sizeof(*head) + test_random(&state) % (STEP_SIZE - sizeof(*head) + 1));
}

size_t step_make(void *data, enum step_who who, uint32_t epoch, uint64_t number, bool mark)
{
	struct head head = { .number = number, .epoch = epoch, .who = (uint16_t)who, .mark = mark };

	head.length = length_of(&head);
	memcpy(data, &head, sizeof(head));
	test_fill((unsigned char *)data + sizeof(head), head.length - sizeof(head), seed_of(&head));
	return head.length;
}

/* The head of a message that is whole. */
static struct head open_message(const struct step_scene *scene, const void *data, size_t length)
{
	struct head head;

	if (length < sizeof(head))
		step_equal(scene, "length of a message", length, sizeof(head));
	memcpy(&head, data, sizeof(head));
	step_equal(scene, "length of a message", length, head.length);
	step_equal(scene, "length in a message", head.length, length_of(&head));
	step_equal(scene, "first wrong byte of a message",
	           (uint64_t)test_verify((const unsigned char *)data + sizeof(head), length - sizeof(head),
	                                 seed_of(&head)),
	           (uint64_t)-1);
	return head;
}

/* ---- the book ---------------------------------------------------------------------------------- */

static enum step_who side_of(const struct step_scene *scene, enum step_who who)
{
	return who < STEP_VICTIM ? who : scene->victim[who - STEP_VICTIM].side;
}

void step_enter(struct step_scene *scene, enum step_who who, uint64_t number)
{
	const uint64_t index = number - scene->first[who];

	if (index >= STEP_NUMBERS)
		step_equal(scene, "number of a message, since the scene was set", index, 0);
	step_equal(scene, "times that a message had been taken before", scene->book[who][index]++, 0);
}

bool step_take(struct step_scene *scene, struct step_reader *reader, const void *data, size_t length)
{
	const struct head head = open_message(scene, data, length);

	if (head.who >= STEP_WRITERS)
		step_equal(scene, "writer of a message", head.who, STEP_WRITERS);
	step_equal(scene, "side of a message's writer", side_of(scene, head.who), 1 - reader->side);
	if (reader->epoch != scene->epoch)
		memset(&reader->next[STEP_VICTIM], 0, STEP_VICTIMS * sizeof(reader->next[0]));
	reader->epoch = scene->epoch;
	if (head.who >= STEP_VICTIM)
		step_equal(scene, "victim of a message", head.epoch, scene->epoch);
	if (head.number < reader->next[head.who])
		step_equal(scene, "number of a message", head.number, reader->next[head.who]);
	reader->next[head.who] = head.number + 1;
	step_enter(scene, head.who, head.number);
	return head.mark;
}

enum step_who step_peek(const void *data, uint64_t *number)
{
	struct head head;

	memcpy(&head, data, sizeof(head));
	*number = head.number;
	return head.who;
}

uint64_t step_count_taken(const struct step_scene *scene, enum step_who who)
{
	uint64_t count = 0;

	for (unsigned int i = 0; i < STEP_NUMBERS; i++)
		count += scene->book[who][i];
	return count;
}

/* ---- survivors --------------------------------------------------------------------------------- */

struct survivor {
	struct step_scene *scene;
	enum step_who who;
	hqq_standard *handle;
	uint64_t recovered, lost; /* by handles closed since */
	struct step_reader reader;
};

void step_enter_process(const struct step_scene *scene)
{
	const int call = SYS_membarrier;

	if (scene->mode == MODE_FENCED)
		MUST(sandbox_deny(&call, 1, ENOSYS));
}

static int try_join(const struct step_scene *scene, enum step_who who, enum step_who side,
                    hqq_standard **handle)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;

	options.role = side == STEP_PEER ? HQQ_ROLE_PRIMARY : HQQ_ROLE_SECONDARY;
	options.wait = HQQ_WAIT_BLOCK;
	if (scene->mode == MODE_ALONE)
		options.flags = HQQ_SINGLE_WRITER | HQQ_SINGLE_READER;
	if (scene->memory)
		return hqq_standard_attach(handle, scene->memory, hqq_standard_size(STEP_COUNT, STEP_SIZE),
		                           STEP_COUNT, STEP_SIZE, &options);
	if (who == STEP_PEER)
		return hqq_standard_create(handle, scene->name, STEP_COUNT, STEP_SIZE, 0600, &options);
	return hqq_standard_open(handle, scene->name, 0, 0, &options);
}

hqq_standard *step_join(const struct step_scene *scene, enum step_who who, enum step_who side)
{
	hqq_standard *handle = NULL;

	step_equal(scene, "joining", (uint64_t)try_join(scene, who, side, &handle), 0);
	return handle;
}

/* Each order has time enough for everything but a hang. */
static void be_patient(struct survivor *self, uint64_t milliseconds)
{
	const struct timespec deadline = test_in_ms(milliseconds);

	MUST_EQ(hqq_standard_set_deadline(self->handle, &deadline), 0);
}

static void join(struct survivor *self)
{
	if (self->handle)
		return;
	self->handle = step_join(self->scene, self->who, self->who);
	self->scene->side[self->who].joined = true;
	be_patient(self, 20000 * test_slowness());
}

static void tell_stats(struct survivor *self)
{
	struct hqq_stats stats = { 0 };

	if (self->handle)
		MUST_EQ(hqq_standard_stats(self->handle, &stats), 0);
	self->scene->side[self->who].recovered = self->recovered + stats.recovered_slots;
	self->scene->side[self->who].lost = self->lost + stats.lost_messages;
}

static void leave(struct survivor *self)
{
	struct hqq_stats stats;

	if (!self->handle)
		return;
	MUST_EQ(hqq_standard_stats(self->handle, &stats), 0);
	self->recovered += stats.recovered_slots;
	self->lost += stats.lost_messages;
	MUST_EQ(hqq_standard_close(self->handle), 0);
	self->handle = NULL;
	self->scene->side[self->who].joined = false;
	tell_stats(self);
}

/* TIMEOUT or the bytes written. */
static ssize_t write_one(struct survivor *self, bool mark)
{
	unsigned char data[STEP_SIZE];
	_Atomic uint64_t *written = &self->scene->side[self->who].written;
	const size_t length = step_make(data, self->who, 0, *written, mark);
	const ssize_t n = hqq_standard_write(self->handle, data, length);

	if (n == HQQ_ERR_TIMEOUT)
		return n;
	step_equal(self->scene, "what a survivor's write returned", (uint64_t)n, length);
	++*written;
	if (mark)
		self->scene->side[self->who].marks_written++;
	return n;
}

static ssize_t read_one(struct survivor *self)
{
	unsigned char data[STEP_SIZE];
	const ssize_t n = hqq_standard_read(self->handle, data, sizeof(data));

	if (n == HQQ_ERR_TIMEOUT)
		return n;
	if (n <= 0)
		step_equal(self->scene, "what a survivor's read returned", (uint64_t)n, 1);
	if (step_take(self->scene, &self->reader, data, (size_t)n))
		self->scene->side[self->who].marks_read++;
	return n;
}

static void must_write(struct survivor *self, bool mark)
{
	if (write_one(self, mark) < 0)
		step_equal(self->scene, "a write that ended in a timeout", 1, 0);
}

static void must_read(struct survivor *self)
{
	if (read_one(self) < 0)
		step_equal(self->scene, "a read that ended in a timeout", 1, 0);
}

/* As the other survivor does the same, one message goes each way at a time. */
static void lap(struct survivor *self)
{
	for (int i = 0; i <= STEP_COUNT; i++) {
		must_write(self, true);
		while (self->scene->side[self->who].marks_read < self->scene->side[self->who].marks_written)
			must_read(self);
		if (i == 0)
			self->scene->side[self->who].went_on_ns = test_now_ns();
	}
}

/* A victim on its side is to read what there is. */
static bool is_to_leave_messages(const struct survivor *self)
{
	for (int i = 0; i < STEP_VICTIMS; i++) {
		if (self->scene->victim[i].side == self->who && self->scene->victim[i].reads &&
		    !self->scene->victim[i].done)
			return true;
	}
	return false;
}

static void try_beside_the_stopped(struct survivor *self)
{
	struct step_scene *scene = self->scene;
	int mended = 0;

	if (!self->handle) { /* the place is taken */
		hqq_standard *handle;

		step_equal(scene, "joining beside the one that is alone",
		           (uint64_t)try_join(scene, self->who, self->who, &handle), (uint64_t)-EBUSY);
		return;
	}
	for (int i = 0; i < 3; i++) {
		be_patient(self, 1);
		if (!is_to_leave_messages(self))
			read_one(self);
		be_patient(self, 1);
		if (i == 0) /* not so many that the victim waits for those who wait for it */
			write_one(self, false);
		mended += hqq_standard_recover(self->handle);
	}
	if (mended < 0 || (uint32_t)mended > scene->mendable)
		step_equal(scene, "slots taken from the living", (uint64_t)mended, scene->mendable);
	be_patient(self, 20000 * test_slowness());
}

static bool is_somebody_busy(const struct step_scene *scene)
{
	for (int i = 0; i < STEP_VICTIMS; i++) {
		if (!scene->victim[i].done)
			return true;
	}
	return false;
}

static void drink(struct survivor *self)
{
	struct step_scene *scene = self->scene;
	uint32_t fed = 0;

	while (is_somebody_busy(scene)) {
		be_patient(self, 1);
		if (fed < scene->side[self->who].feeds && write_one(self, false) > 0)
			fed++;
		be_patient(self, 1);
		if (is_to_leave_messages(self))
			test_sleep_ms(1);
		else
			read_one(self);
	}
}

static void obey(struct survivor *self, unsigned char order)
{
	unsigned int i;

	if (order == STEP_LAP || order == STEP_FILL)
		join(self);
	if (self->handle)
		be_patient(self, 20000 * test_slowness());
	switch (order) {
	case STEP_FILL:
	case STEP_SLEEP_WRITE:
		for (i = 0; i < (order == STEP_FILL ? self->scene->count : 1); i++)
			must_write(self, false);
		break;
	case STEP_DRAIN:
	case STEP_SLEEP_READ:
		for (i = 0; i < (order == STEP_DRAIN ? self->scene->count : 1); i++)
			must_read(self);
		break;
	case STEP_LAP:
		lap(self);
		tell_stats(self);
		break;
	case STEP_RECOVER:
		if (self->handle)
			step_equal(self->scene, "slots that were left unmended",
			           (uint64_t)hqq_standard_recover(self->handle), 0);
		tell_stats(self);
		break;
	case STEP_TRY:
		try_beside_the_stopped(self);
		break;
	case STEP_DRINK:
		drink(self);
		break;
	case STEP_LEAVE:
		leave(self);
		break;
	default:
		MUST(order == STEP_QUIT);
		leave(self);
		break;
	}
}

static int survive(void *argument)
{
	const struct step_survivor *survivor = argument;
	struct step_scene *scene = survivor->scene;
	struct survivor self = { .scene = scene, .who = survivor->who, .reader.side = survivor->who };
	unsigned char order;

	step_enter_process(scene);
	join(&self);
	parent_say(STEP_DONE);
	for (unsigned int i = 0;; i++) {
		parent_hear('o');
		order = scene->side[self.who].orders[i % sizeof(scene->side[0].orders)];
		obey(&self, order);
		if (order == STEP_QUIT)
			return 0;
		parent_say(STEP_DONE);
	}
}

void step_survivor_start(struct step_survivor *survivor, struct step_scene *scene, enum step_who who)
{
	survivor->scene = scene;
	survivor->who = who;
	child_start(&survivor->child, survive, survivor);
	step_hear(survivor);
}

void step_tell(struct step_survivor *survivor, char order)
{
	struct step_scene *scene = survivor->scene;
	const unsigned int i = scene->side[survivor->who].told++;

	scene->side[survivor->who].orders[i % sizeof(scene->side[0].orders)] = (unsigned char)order;
	child_say(&survivor->child, 'o');
	if (order == STEP_QUIT)
		child_join_ok(&survivor->child);
}

void step_hear(struct step_survivor *survivor)
{
	child_hear(&survivor->child, STEP_DONE);
}

void step_do(struct step_survivor *survivor, char order)
{
	step_tell(survivor, order);
	step_hear(survivor);
}
