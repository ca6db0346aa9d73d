/*
 * seat.c - handing out seats
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "packet.h"
#include "seat.h"
#include <pthread.h>
#include <sched.h>
#include <string.h>

#define TRIES_BEFORE_YIELD 64
#define STEP_OUT (UINT64_C(1) << 32 | 1) /* one more outside, one more time */

_Thread_local struct hqq_seat_memory hqq_seat_memory __attribute__((tls_model("initial-exec")));

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key; /* its destructor runs when a thread ends */
static bool has_exit_key;      /* the process may have no key left */

static void give_back(struct hqq_seat_memory *memory, unsigned i)
{
	struct hqq_seats *seats = memory->kept[i].seats;
	uintptr_t owner = hqq_seat_self();

	if (seats)
		/* release pairs with the acquire in sit_on(): our use of the lane comes first */
		atomic_compare_exchange_strong_explicit(&memory->kept[i].seat->owner, &owner, 0, memory_order_release,
		                                        memory_order_relaxed);
	memory->kept[i].seats = NULL;
}

static void give_all_back(void *argument)
{
	for (unsigned i = 0; i < HQQ_SEAT_MEMORY; i++)
		give_back(argument, i);
}

static void make_exit_key(void)
{
	has_exit_key = pthread_key_create(&exit_key, give_all_back) == 0;
}

static bool sit_on(struct hqq_seat *seat)
{
	uintptr_t nobody = 0;

	if (atomic_load_explicit(&seat->owner, memory_order_relaxed))
		return false;
	/* acquire: the lane and the counters as the last owner left them */
	return atomic_compare_exchange_strong_explicit(&seat->owner, &nobody, hqq_seat_self(), memory_order_acquire,
	                                               memory_order_relaxed);
}

/* Puts a seat first in the thread's memory; false when all seats there are in use by outer calls. */
static bool remember(struct hqq_seats *seats, struct hqq_seat *seat)
{
	struct hqq_seat_memory *memory = &hqq_seat_memory;
	unsigned victim = HQQ_SEAT_MEMORY - 1;

	/* a seat that nobody would give back at the thread's end is not kept */
	pthread_once(&once, make_exit_key);
	if (!has_exit_key || pthread_setspecific(exit_key, memory))
		return false;
	while (memory->kept[victim].seats && atomic_load_explicit(&memory->kept[victim].seat->depth,
	                                                          memory_order_relaxed)) {
		if (victim-- == 0)
			return false;
	}
	give_back(memory, victim);
	for (; victim > 0; victim--)
		memory->kept[victim] = memory->kept[victim - 1];
	memory->kept[0].seats = seats;
	memory->kept[0].seat = seat;
	return true;
}

/* A seat that this thread keeps, made the first in its memory; NULL if it keeps none here. */
static struct hqq_seat *recall(struct hqq_seats *seats)
{
	struct hqq_seat_memory *memory = &hqq_seat_memory;

	for (unsigned i = 0; i < HQQ_SEAT_MEMORY; i++) {
		struct hqq_seat *seat = memory->kept[i].seat;

		if (memory->kept[i].seats != seats)
			continue;
		if (!hqq_seat_is_mine(seat)) {
			memory->kept[i].seats = NULL;
			continue;
		}
		for (; i > 0; i--)
			memory->kept[i] = memory->kept[i - 1];
		memory->kept[0].seats = seats;
		memory->kept[0].seat = seat;
		return seat;
	}
	return NULL;
}

static struct hqq_seat *wait_for_shared(struct hqq_seats *seats)
{
	for (unsigned tries = 1;; tries++) {
		for (unsigned i = HQQ_KEPT_SEATS; i < HQQ_LANES; i++) {
			if (sit_on(&seats->seat[i]))
				return &seats->seat[i];
		}
		/* the owners are threads of this process, in the middle of a short call */
		if (tries % TRIES_BEFORE_YIELD)
			hqq_pause();
		else
			sched_yield();
	}
}

struct hqq_seat *hqq_seat_find(struct hqq_seats *seats)
{
	struct hqq_seat *seat = recall(seats);

	for (unsigned i = 0; !seat && i < HQQ_KEPT_SEATS; i++) {
		if (!sit_on(&seats->seat[i]))
			continue;
		seat = &seats->seat[i];
		if (!remember(seats, seat)) {
			atomic_store_explicit(&seat->owner, 0, memory_order_release);
			seat = NULL; /* another thread may have it by now */
			break;
		}
		return seat;
	}
	return seat ? seat : wait_for_shared(seats);
}

void hqq_seat_step_out(struct hqq_seat *seat, struct hqq_outside *outside)
{
	outside->seats = seat->seats;
	outside->outer = hqq_seat_memory.outside;
	hqq_seat_memory.outside = outside;
	if (!seat->shared)
		return;
	/* the count first, so that the call is never seen as gone */
	atomic_fetch_add_explicit(&seat->seats->outside, STEP_OUT, memory_order_seq_cst);
	hqq_seat_leave(seat);
}

struct hqq_seat *hqq_seat_step_in(struct hqq_seat *seat, struct hqq_outside *outside)
{
	struct hqq_seats *seats = seat->seats;

	hqq_seat_memory.outside = outside->outer;
	if (!seat->shared)
		return seat;
	seat = wait_for_shared(seats);
	atomic_store_explicit(&seat->depth, 1, memory_order_seq_cst);
	atomic_fetch_sub_explicit(&seats->outside, 1, memory_order_seq_cst);
	return seat;
}

void hqq_seat_drop(struct hqq_seat *seat, struct hqq_outside *outside, bool reused)
{
	hqq_seat_memory.outside = outside->outer;
	if (seat->shared || reused) /* a shared one was left when stepping out */
		return;
	seat->lent = NULL;
	hqq_seat_leave(seat);
}

void hqq_seat_tag_lent(struct hqq_seat *seat)
{
	/* release: the slot is tagged before the lane moves on */
	atomic_store_explicit(&seat->lent->packet[HQQ_WORD_TAG], htole64(seat->lent_tag), memory_order_release);
	seat->lent = NULL;
}

bool hqq_seats_are_empty(struct hqq_seats *seats)
{
	uint64_t outside = atomic_load_explicit(&seats->outside, memory_order_seq_cst);

	if ((uint32_t)outside)
		return false;
	for (unsigned i = 0; i < HQQ_LANES; i++) {
		const struct hqq_seat *seat = &seats->seat[i];

		/* acquire pairs with the release in hqq_seat_leave(); a shared seat is left in two steps */
		if (atomic_load_explicit(&seat->depth, memory_order_acquire) ||
		    (seat->shared && atomic_load_explicit(&seat->owner, memory_order_acquire)))
			return false;
	}
	/* unchanged: no call stepped out of one seat and into another behind our back */
	return atomic_load_explicit(&seats->outside, memory_order_seq_cst) == outside;
}

bool hqq_seats_hold_me(struct hqq_seats *seats)
{
	/* only a callback brings a thread here from inside a call, and a callback runs outside */
	for (const struct hqq_outside *outside = hqq_seat_memory.outside; outside; outside = outside->outer) {
		if (outside->seats == seats)
			return true;
	}
	return false;
}

uint64_t hqq_seats_sum(const struct hqq_seats *seats, enum hqq_counter counter)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < HQQ_LANES; i++)
		sum += atomic_load_explicit(&seats->seat[i].counters[counter], memory_order_relaxed);
	return sum;
}

/* What never changes in the life of the memory. */
static void furnish(struct hqq_seats *seats)
{
	for (unsigned i = 0; i < HQQ_LANES; i++) {
		seats->seat[i].shared = i >= HQQ_KEPT_SEATS;
		seats->seat[i].seats = seats;
	}
}

void hqq_seats_init(struct hqq_seats *seats, _Atomic uint64_t lanes[HQQ_LANES], int pid)
{
	const bool forked = seats->pid && seats->pid != pid;

	seats->pid = pid;
	if (!seats->seat[0].seats)
		furnish(seats);
	atomic_fetch_add_explicit(&seats->generation, 1, memory_order_release);
	if (forked) {
		atomic_store_explicit(&seats->outside, 0, memory_order_relaxed);
		/* a callback in which this process was forked is inside the parent's call */
		for (struct hqq_outside *o = hqq_seat_memory.outside; o; o = o->outer) {
			if (o->seats == seats)
				o->seats = NULL;
		}
	}
	for (unsigned i = 0; i < HQQ_LANES; i++) {
		struct hqq_seat *seat = &seats->seat[i];

		if (forked) {
			if (atomic_load_explicit(&seat->owner, memory_order_relaxed) != hqq_seat_self())
				atomic_store_explicit(&seat->owner, 0, memory_order_relaxed);
			atomic_store_explicit(&seat->depth, 0, memory_order_relaxed);
		}
		seat->lane = &lanes[i];
		seat->lent = NULL;
		seat->haste = (struct hqq_haste){.runs = 0};
		memset(seat->measured, 0, sizeof(seat->measured));
		for (unsigned c = 0; c < HQQ_COUNTERS; c++)
			atomic_store_explicit(&seat->counters[c], 0, memory_order_relaxed);
	}
}
