/*
 * link_wait.c - waiting for a ring: spin, then sleep
 *
 * A wait ends when the ring is ready, at its deadline, by cancel, interrupt, close, or (if asked
 * for) when the last peer is gone. Sleeps are bounded for two reasons: endpoints of other
 * implementations wake nobody, and a slot whose owner died must be mended. How long one sleep may
 * last depends on what is known:
 *
 *   a slot is claimed and not finished    1 ms, then longer; after each, a look for the dead
 *   a peer may be of another kind         1/8 of the time waited so far, 50 us to 10 ms
 *   all peers known wake us               50 ms
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "futex.h"
#include "link.h"
#include <sched.h>

#define LONG_SLICE_NS (50 * HQQ_NS_PER_MS)
#define FOREIGN_SLICE_MIN_NS (50 * HQQ_NS_PER_US)
#define FOREIGN_SLICE_MAX_NS (10 * HQQ_NS_PER_MS)
#define STUCK_SLICE_MIN_NS (1 * HQQ_NS_PER_MS)
#define STUCK_SLICE_MAX_NS (20 * HQQ_NS_PER_MS)
#define CANCEL_SLICE_NS (1 * HQQ_NS_PER_MS) /* where a cancel cannot wake us */
#define UNWOKEN_MEMORY 64                   /* messages for which one that came without a wake counts */

#define REPAIR_PAUSE_NS (1 * HQQ_NS_PER_MS) /* between looks for the dead */

#define POLLS_BEFORE_CLOCK 32 /* polls before the time is looked at for the first time */
#define POLLS_PER_CLOCK 16    /* and between further looks */
#define SPIN_LOOK_NS (5 * HQQ_NS_PER_MS)
#define YIELD_NS (5 * HQQ_NS_PER_US)
#define MISSED_SPINS_MAX 4 /* each miss in a row halves the next spin */

struct waiting {
	struct hqq_link *link;
	const struct hqq_patience *patience;
	enum hqq_claim_kind kind;
	const _Atomic uint32_t *stop; /* for a watcher: non-zero ends the wait */
	uint64_t began;
	uint64_t repaired; /* when we last looked for the dead */
	bool exact;      /* every libhqq waker sees our mark */
};

static bool is_ready(const struct waiting *w)
{
	return hqq_ring_is_ready(hqq_link_ring(w->link, w->kind), w->kind);
}

/* The next position is claimed by somebody on the other side, who has not finished it. */
static bool is_stuck(const struct waiting *w)
{
	const struct hqq_ring *ring = hqq_link_ring(w->link, w->kind);
	uint64_t r = atomic_load_explicit(ring->read_cursor, memory_order_relaxed);
	uint64_t written = atomic_load_explicit(ring->write_cursor, memory_order_relaxed);

	return w->kind == HQQ_CLAIM_READ ? written != r : written - r <= ring->mask;
}

static uint64_t deadline_of(const struct waiting *w)
{
	uint64_t deadline = hqq_context_deadline(w->patience->context);

	if (w->patience->deadline)
		deadline = hqq_clock_earlier(
			deadline, atomic_load_explicit(w->patience->deadline, memory_order_relaxed));
	return deadline;
}

/* Why the wait must end now, or 0. The clock is asked only if there is a deadline. */
static int reason_to_stop(const struct waiting *w)
{
	uint64_t deadline;
	int rc;

	if (w->stop) /* acquire pairs with the release of whoever stops the watcher */
		return atomic_load_explicit(w->stop, memory_order_acquire) ? HQQ_ERR_CLOSED : 0;
	rc = hqq_gate_error(hqq_gate_state(&w->link->gate));
	if (rc)
		return rc;
	if (hqq_context_canceled(w->patience->context))
		return HQQ_ERR_CANCELED;
	deadline = deadline_of(w);
	return deadline != HQQ_NO_DEADLINE && hqq_clock_passed(deadline, hqq_clock_now()) ? HQQ_ERR_TIMEOUT : 0;
}

/* There were peers, and none of them lives. */
static bool is_peer_gone(const struct waiting *w)
{
	enum hqq_mode peer = w->link->mode == HQQ_MODE_PRIMARY ? HQQ_MODE_SECONDARY : HQQ_MODE_PRIMARY;

	return hqq_endpoint_ever_joined(&w->link->endpoint, peer) &&
	       !hqq_endpoint_has_company(&w->link->endpoint, peer);
}

/* The slow looks: repair, and who is left. */
static int look_around(struct waiting *w, uint64_t now)
{
	if (now - w->repaired >= REPAIR_PAUSE_NS && is_stuck(w)) {
		hqq_link_recover(w->link);
		w->repaired = now;
	}
	/* a last message may have come just before its sender left: look at the ring once more */
	return w->link->peer_eof && is_peer_gone(w) && !is_ready(w) ? HQQ_ERR_PEER_GONE : 0;
}

static uint64_t spin_budget(struct hqq_link *link)
{
	if (link->wait == HQQ_WAIT_SPIN)
		return UINT64_MAX;
	if (link->wait == HQQ_WAIT_BLOCK || link->single_cpu)
		return 0;
	return link->spin_ns >> atomic_load_explicit(&link->missed_spins, memory_order_relaxed);
}

/* Polls the ring a number of times. */
static bool poll_ring(const struct waiting *w, unsigned polls)
{
	for (; polls; polls--) {
		if (is_ready(w)) {
			atomic_store_explicit(&w->link->missed_spins, 0, memory_order_relaxed);
			return true;
		}
		hqq_pause();
	}
	return false;
}

/* Polls for a while. 1: ready, 0: not so far, < 0: stop. */
static int spin(struct waiting *w, uint64_t budget)
{
	struct hqq_link *link = w->link;
	uint64_t now = w->began, yielded = w->began, looked = w->began;
	uint32_t missed;

	while (now - w->began < budget) {
		int rc;

		if (poll_ring(w, POLLS_PER_CLOCK))
			return 1;
		now = hqq_clock_now();
		rc = reason_to_stop(w);
		if (rc == 0 && now - looked > SPIN_LOOK_NS) {
			rc = look_around(w, now);
			looked = now;
		}
		if (rc)
			return rc;
		if (now - yielded > YIELD_NS) { /* the one we wait for may need this processor */
			sched_yield();
			yielded = now;
		}
	}
	missed = atomic_load_explicit(&link->missed_spins, memory_order_relaxed);
	if (budget && missed < MISSED_SPINS_MAX)
		atomic_store_explicit(&link->missed_spins, missed + 1, memory_order_relaxed);
	return 0;
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
	return value < low ? low : value > high ? high : value;
}

static uint64_t slice(const struct waiting *w, uint64_t now)
{
	struct hqq_link *link = w->link;
	enum hqq_mode peer = link->mode == HQQ_MODE_PRIMARY ? HQQ_MODE_SECONDARY : HQQ_MODE_PRIMARY;
	const uint64_t waited = now - w->began;

	if (!w->exact || atomic_load_explicit(&link->unwoken, memory_order_relaxed) ||
	    !hqq_endpoint_ever_joined(&link->endpoint, peer))
		return clamp(waited / 8, FOREIGN_SLICE_MIN_NS, FOREIGN_SLICE_MAX_NS);
	if (is_stuck(w))
		return clamp(waited / 2, STUCK_SLICE_MIN_NS, STUCK_SLICE_MAX_NS);
	return LONG_SLICE_NS;
}

static void sleep_on(const struct waiting *w, struct hqq_bell *bell, uint32_t rung, uint64_t now)
{
	const uint64_t until = hqq_clock_earlier(now + slice(w, now), deadline_of(w));
	hqq_context *context = w->patience->context;

	if (context) {
		if (hqq_futex_wait_either(&bell->rung, rung, hqq_context_word(context), HQQ_CONTEXT_WAITING, until))
			return;
		hqq_futex_wait(&bell->rung, rung, hqq_bell_bits(w->link->endpoint.index),
		               hqq_clock_earlier(until, now + CANCEL_SLICE_NS));
		return;
	}
	hqq_futex_wait(&bell->rung, rung, hqq_bell_bits(w->link->endpoint.index), until);
}

/* Remembers whether what we slept for came with a wake. */
static void learn(struct hqq_link *link, bool woken)
{
	uint32_t unwoken = atomic_load_explicit(&link->unwoken, memory_order_relaxed);

	if (!woken)
		atomic_store_explicit(&link->unwoken, UNWOKEN_MEMORY, memory_order_relaxed);
	else if (unwoken)
		atomic_store_explicit(&link->unwoken, unwoken - 1, memory_order_relaxed);
}

/* One sleep; seat is NULL for a watcher. 1: ready, 0: not yet, < 0: stop. */
static int sleep_once(struct waiting *w, struct hqq_seat **seat)
{
	struct hqq_link *link = w->link;
	struct hqq_bell *bell = hqq_link_bell(link, w->kind);
	uint32_t rung = hqq_bell_mark(bell, link->endpoint.index, &w->exact);
	struct hqq_outside outside;
	bool woken;
	int rc;

	if (is_ready(w)) /* the look behind the mark: see wait.h */
		return 1;
	rc = reason_to_stop(w);
	if (rc)
		return rc;
	if (seat) {
		hqq_count(&(*seat)->counters[HQQ_COUNT_SLEEPS], 1);
		hqq_seat_step_out(*seat, &outside);
	}
	sleep_on(w, bell, rung, hqq_clock_now());
	if (seat)
		*seat = hqq_seat_step_in(*seat, &outside);
	/* relaxed: a hint; readiness is looked at with acquire */
	woken = atomic_load_explicit(&bell->rung, memory_order_relaxed) != rung;
	if (is_ready(w)) {
		learn(link, woken);
		return 1;
	}
	rc = reason_to_stop(w);
	return rc ? rc : look_around(w, hqq_clock_now());
}

int hqq_link_check(struct hqq_link *link, const struct hqq_patience *patience)
{
	const struct waiting w = {.link = link, .patience = patience};

	return reason_to_stop(&w);
}

bool hqq_link_watch(struct hqq_link *link, enum hqq_claim_kind kind, const _Atomic uint32_t *stop)
{
	const struct hqq_patience for_ever = {NULL, NULL};
	struct waiting w = {.link = link, .patience = &for_ever, .kind = kind, .stop = stop, .began = hqq_clock_now()};
	int rc = 0;

	while (rc == 0 || rc == HQQ_ERR_PEER_GONE)
		rc = sleep_once(&w, NULL);
	return rc > 0;
}

int hqq_link_wait(struct hqq_link *link, struct hqq_seat **seat, enum hqq_claim_kind kind,
                  const struct hqq_patience *patience)
{
	struct waiting w = {.link = link, .patience = patience, .kind = kind};
	const uint64_t budget = spin_budget(link);
	int rc = reason_to_stop(&w);

	hqq_count(&(*seat)->counters[kind == HQQ_CLAIM_WRITE ? HQQ_COUNT_FULL_WAITS : HQQ_COUNT_EMPTY_WAITS], 1);
	if (rc == 0 && budget && poll_ring(&w, POLLS_BEFORE_CLOCK))
		return 0;
	w.began = rc ? 0 : hqq_clock_now();
	if (rc == 0)
		rc = spin(&w, budget);
	while (rc == 0)
		rc = sleep_once(&w, seat);
	/* a ring of the bell may have come to us: whoever leaves without taking anything passes it on */
	if (rc < 0 && is_ready(&w))
		hqq_bell_wake(hqq_link_bell(link, kind), 1);
	return rc < 0 ? rc : 0;
}
