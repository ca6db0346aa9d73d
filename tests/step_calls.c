/*
 * step_calls.c - the calls that a victim makes; see step_calls.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "step_calls.h"

#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline)) /* the stepper finds the call by its function */

/* ---- the calls --------------------------------------------------------------------------------- */

static NOINLINE void do_write(void *argument)
{
	struct step_victim *v = argument;

	v->result = hqq_standard_write(v->handle, v->data[0], v->vectors[0].iov_len);
}

static ssize_t fill(void *data, size_t capacity, void *argument)
{
	struct step_victim *v = argument;

	MUST_EQ(capacity, STEP_SIZE);
	memcpy(data, v->data[0], v->vectors[0].iov_len);
	return (ssize_t)v->vectors[0].iov_len;
}

static NOINLINE void do_write_zero_copy(void *argument)
{
	struct step_victim *v = argument;

	v->result = hqq_standard_write_zero_copy(v->handle, fill, v);
}

static NOINLINE void do_reserve_write(void *argument)
{
	struct step_victim *v = argument;

	v->result = hqq_standard_reserve_write(v->handle, &v->held[0]);
	memcpy(v->held[0].data, v->data[0], v->vectors[0].iov_len);
	v->result = hqq_standard_commit(&v->held[0], v->vectors[0].iov_len);
}

/* A thread's lane names one position at a time: here it names another one when the first is finished. */
static NOINLINE void do_write_within(void *argument)
{
	struct step_victim *v = argument;

	v->result = hqq_standard_reserve_write(v->handle, &v->held[0]);
	memcpy(v->held[0].data, v->data[0], v->vectors[0].iov_len);
	v->result = hqq_standard_write(v->handle, v->data[1], v->vectors[1].iov_len);
	v->result = hqq_standard_commit(&v->held[0], v->vectors[0].iov_len);
	v->result = v->result ? v->result : 2;
}

/* The lane alone names the callback's slot, until the call within needs the lane. */
static ssize_t fill_and_write(void *data, size_t capacity, void *argument)
{
	struct step_victim *v = argument;

	v->result = hqq_standard_write(v->handle, v->data[1], v->vectors[1].iov_len);
	return fill(data, capacity, argument);
}

static NOINLINE void do_write_in_callback(void *argument)
{
	struct step_victim *v = argument;

	v->result = hqq_standard_write_zero_copy(v->handle, fill_and_write, v);
	v->result = v->result < 0 ? v->result : 2;
}

static NOINLINE void do_write_batch(void *argument)
{
	struct step_victim *v = argument;

	v->result = hqq_standard_write_batch(v->handle, v->vectors, STEP_BATCH);
}

static NOINLINE void do_read(void *argument)
{
	struct step_victim *v = argument;

	v->result = hqq_standard_read(v->handle, v->data[0], STEP_SIZE);
}

/* The first bytes, then the tail. */
static NOINLINE void do_read_short(void *argument)
{
	struct step_victim *v = argument;
	ssize_t first = hqq_standard_read(v->handle, v->data[0], 10);

	v->result = hqq_standard_read(v->handle, v->data[0] + first, STEP_SIZE - 10) + first;
}

static int copy(const void *data, size_t length, void *argument)
{
	struct step_victim *v = argument;

	memcpy(v->data[0], data, length);
	return 0;
}

static NOINLINE void do_read_zero_copy(void *argument)
{
	struct step_victim *v = argument;

	v->result = hqq_standard_read_zero_copy(v->handle, copy, v);
}

static NOINLINE void do_reserve_read(void *argument)
{
	struct step_victim *v = argument;

	v->result = hqq_standard_reserve_read(v->handle, &v->held[0]);
	memcpy(v->data[0], v->held[0].data, v->held[0].size);
	v->result = hqq_standard_release(&v->held[0]);
	v->result = v->result ? v->result : (ssize_t)v->held[0].size;
}

static NOINLINE void do_read_within(void *argument)
{
	struct step_victim *v = argument;

	v->result = hqq_standard_reserve_read(v->handle, &v->held[0]);
	v->vectors[1].iov_len = (size_t)hqq_standard_read(v->handle, v->data[1], STEP_SIZE);
	v->vectors[0].iov_len = v->held[0].size;
	memcpy(v->data[0], v->held[0].data, v->held[0].size);
	v->result = hqq_standard_release(&v->held[0]);
	v->result = v->result ? v->result : 2;
}

static int copy_and_read(const void *data, size_t length, void *argument)
{
	struct step_victim *v = argument;

	v->vectors[1].iov_len = (size_t)hqq_standard_read(v->handle, v->data[1], STEP_SIZE);
	v->vectors[0].iov_len = length;
	return copy(data, length, argument);
}

static NOINLINE void do_read_in_callback(void *argument)
{
	struct step_victim *v = argument;

	v->result = hqq_standard_read_zero_copy(v->handle, copy_and_read, v);
	v->result = v->result < 0 ? v->result : 2;
}

static NOINLINE void do_read_batch(void *argument)
{
	struct step_victim *v = argument;

	v->result = hqq_standard_read_batch(v->handle, v->vectors, STEP_BATCH);
}

static NOINLINE void do_join(void *argument)
{
	struct step_victim *v = argument;

	v->handle = step_join(v->scene, v->who, v->side);
}

static NOINLINE void do_close(void *argument)
{
	struct step_victim *v = argument;

	v->result = hqq_standard_close(v->handle);
}

static NOINLINE void do_recover(void *argument)
{
	struct step_victim *v = argument;

	v->result = hqq_standard_recover(v->handle);
}

const struct step_call step_calls[] = {
	{ "write", do_write, WRITES },
	{ "write_zero_copy", do_write_zero_copy, WRITES },
	{ "reserve_write..commit", do_reserve_write, WRITES },
	{ "write while reserved", do_write_within, WRITES | MANY | TWO },
	{ "write in a callback", do_write_in_callback, WRITES | MANY | TWO },
	{ "write_batch", do_write_batch, WRITES | MANY },
	{ "read", do_read, READS },
	{ "read, short", do_read_short, READS },
	{ "read_zero_copy", do_read_zero_copy, READS },
	{ "reserve_read..release", do_reserve_read, READS },
	{ "read while reserved", do_read_within, READS | MANY | TWO },
	{ "read in a callback", do_read_in_callback, READS | MANY | TWO },
	{ "read_batch", do_read_batch, READS | MANY },
	{ "open or attach", do_join, JOINS },
	{ "close", do_close, 0 },
	{ "close, slots held", do_close, HOLDS },
	{ "recover", do_recover, MENDS },
};

_Static_assert(sizeof(step_calls) / sizeof(step_calls[0]) == STEP_CALLS, "as many as the header says");

const char *const step_modes[STEP_MODES] = { "shared", "full fences", "alone", "memory" };

const char *const step_states[STEP_STATES] = {
	"little", "half full", "nearly full", "the peer asleep", "to wait first",
};

uint32_t step_load(const struct step_call *call, enum step_state state)
{
	static const uint32_t writers[STEP_STATES] = { 0, STEP_COUNT / 2, STEP_COUNT - 1, 0, STEP_COUNT };
	static const uint32_t readers[STEP_STATES] = { 1, STEP_COUNT / 2, STEP_COUNT - 1, STEP_COUNT, 0 };

	return call->what & WRITES ? writers[state] : call->what & READS ? readers[state] : STEP_COUNT / 2;
}

bool step_is_sensible(const struct step_call *call, enum step_mode mode, enum step_state state)
{
	if (!(call->what & (WRITES | READS)) && state != HALF)
		return false;
	/* two messages, or room for two, without waiting */
	if ((call->what & TWO) && step_load(call, state) != STEP_COUNT / 2 &&
	    (step_load(call, state) < 2) != !!(call->what & WRITES))
		return false;
	return mode != MODE_ALONE || !(call->what & MENDS); /* there are two of them */
}

bool step_is_close(const struct step_call *call)
{
	return call->run == do_close;
}

/* ---- the victim -------------------------------------------------------------------------------- */

static void hold(struct step_victim *v)
{
	MUST_EQ(hqq_standard_reserve_write(v->handle, &v->held[0]), 0);
	MUST_EQ(hqq_standard_reserve_read(v->handle, &v->held[1]), 0);
	memcpy(v->data[0], v->held[1].data, v->held[1].size);
	v->vectors[0].iov_len = v->held[1].size;
}

static void prepare_data(struct step_victim *v)
{
	for (unsigned int i = 0; i < STEP_BATCH; i++) {
		v->vectors[i] = (struct iovec){ v->data[i], STEP_SIZE };
		if (v->call->what & WRITES)
			v->vectors[i].iov_len = step_make(v->data[i], v->who, v->scene->epoch, i, false);
	}
}

/* For a victim that lived to see it. */
static void tell_outcome(struct step_victim *v)
{
	const unsigned int what = v->call->what;
	const unsigned int n = what & MANY ? (unsigned int)v->result : 1;
	const unsigned int index = (unsigned int)v->who - STEP_VICTIM;
	struct hqq_stats stats = { 0 };

	MUST(v->result >= 0);
	v->reader.side = v->side;
	if (what & JOINS) { /* it is good for something */
		size_t length = step_make(v->data[0], v->who, v->scene->epoch, 0, false);

		MUST_EQ(hqq_standard_write(v->handle, v->data[0], length), length);
	}
	if (what & (WRITES | JOINS))
		v->scene->victim[index].sent = n;
	for (unsigned int i = 0; (what & READS) && i < n; i++)
		step_take(v->scene, &v->reader, v->data[i], what & MANY ? v->vectors[i].iov_len : (size_t)v->result);
	if (what & HOLDS)
		step_take(v->scene, &v->reader, v->data[0], v->vectors[0].iov_len);
	if (!step_is_close(v->call))
		MUST_EQ(hqq_standard_stats(v->handle, &stats), 0);
	v->scene->victim[index].recovered = stats.recovered_slots;
	v->scene->victim[index].lost = stats.lost_messages;
	v->scene->victim[index].done = true;
}

int step_be_victim(void *argument)
{
	struct step_victim *v = argument;

	step_enter_process(v->scene);
	prepare_data(v);
	if (!(v->call->what & JOINS))
		v->handle = step_join(v->scene, v->who, v->side);
	if (v->call->what & HOLDS)
		hold(v);
	stepper_await();
	v->call->run(v);
	tell_outcome(v);
	return 0;
}

/* Another that dies before, for the victim to mend. */
int step_die_holding(void *argument)
{
	struct step_victim *v = argument;

	v->handle = step_join(v->scene, v->who, v->side);
	hold(v);
	parent_say('h');
	pause();
	return 0;
}
