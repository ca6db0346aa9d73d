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
 *   all peers known wake us               80 ms
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "futex.h"
#include "link.h"
#include <sched.h>

#define LONG_SLICE_NS (80 * HQQ_NS_PER_MS) /* the death of the last peer is noticed within 100 ms */
#define FOREIGN_SLICE_MIN_NS (50 * HQQ_NS_PER_US)
#define FOREIGN_SLICE_MAX_NS (10 * HQQ_NS_PER_MS)
#define STUCK_SLICE_MIN_NS (1 * HQQ_NS_PER_MS)
#define STUCK_SLICE_MAX_NS (20 * HQQ_NS_PER_MS)
#define BLIND_SLICE_NS (1 * HQQ_NS_PER_MS) /* where only one of several words can wake us */
#define UNWOKEN_MEMORY 64                   /* messages for which one that came without a wake counts */

#define REPAIR_PAUSE_NS (1 * HQQ_NS_PER_MS) /* between looks for the dead */

#define STREAM_RUN 256 /* slots to wait for where messages come in a stream */
#define STREAM_RUN_BYTES (128 << 10) /* of their payloads at most, which are to stay in the second-level cache */
#define POLLS_BEFORE_CLOCK 64 /* polls before the time is looked at for the first time */
#define POLLS_PER_CLOCK 32    /* and between further looks */
#define POLLS_PER_PAUSE 4     /* a pause may last as long as a line takes to come */
#define SPIN_LOOK_NS (5 * HQQ_NS_PER_MS)
#define YIELD_NS (5 * HQQ_NS_PER_US)
#define VAIN_SPINS_MAX 4      /* each spin in vain, in a row, halves the next */
#define VAIN_FACTOR 10        /* a wait of this many spins could not have been spun through */

struct waiting {
	struct hqq_link *link;
	const struct hqq_patience *patience;
	unsigned kinds; /* a set of enum hqq_claim_kind */
	const _Atomic uint32_t *stop; /* for a watcher: non-zero ends the wait */
	uint64_t began;
	uint64_t stuck_from; /* since when a slot is stuck, as this wait has seen it; 0: none is */
};

static bool wants(const struct waiting *w, enum hqq_claim_kind kind)
{
	return w->kinds & kind;
}

static bool is_alarmed(const struct hqq_patience *patience)
{
	/* acquire pairs with the release of whoever gives the alarm */
	return patience->alarm &&
	       atomic_load_explicit(patience->alarm, memory_order_acquire) != patience->alarm_seen;
}

static bool has_beside(const struct hqq_patience *patience)
{
	/* acquire pairs with the release of whoever set it */
	return patience->beside && atomic_load_explicit(patience->beside, memory_order_acquire) != 0;
}

static bool is_ready(const struct waiting *w)
{
	return is_alarmed(w->patience) || has_beside(w->patience) || (wants(w, HQQ_CLAIM_READ) &&
	        hqq_ring_is_ready(hqq_link_ring(w->link, HQQ_CLAIM_READ), HQQ_CLAIM_READ)) ||
	       (wants(w, HQQ_CLAIM_WRITE) &&
	        hqq_ring_is_ready(hqq_link_ring(w->link, HQQ_CLAIM_WRITE), HQQ_CLAIM_WRITE));
}

/* The next position for that kind is claimed by somebody on the other side, who has not finished it. */
static bool is_ring_stuck(const struct hqq_ring *ring, enum hqq_claim_kind kind)
{
	uint64_t r = atomic_load_explicit(ring->read_cursor, memory_order_relaxed);
	uint64_t w = atomic_load_explicit(ring->write_cursor, memory_order_relaxed);

	if (kind == HQQ_CLAIM_READ)
		return w != r && !hqq_ring_is_turn(ring, kind, r);
	return w - r <= ring->mask && !hqq_ring_is_turn(ring, kind, w);
}

/*
 * Either direction, either kind: a reader of an empty ring may be the only one who waits at all
 * while a dead reader's slot keeps the writers out.
 */
static bool is_stuck(const struct hqq_link *link)
{
	for (unsigned i = 0; i < 2; i++) {
		if (is_ring_stuck(&link->rings[i], HQQ_CLAIM_READ) ||
		    is_ring_stuck(&link->rings[i], HQQ_CLAIM_WRITE))
			return true;
	}
	return false;
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

bool hqq_link_is_peer_gone(struct hqq_link *link)
{
	const enum hqq_mode peer = hqq_link_peer_mode(link);

	return (link->peer_met || hqq_endpoint_joined(&link->endpoint, peer) != link->peers_before) &&
	       !hqq_endpoint_has_company(&link->endpoint, peer);
}

/* Another has come to the other side: the one that we wait for is gone. */
static bool has_peer_changed(const struct waiting *w)
{
	const uint64_t *joined = w->patience->joined;

	return joined && hqq_endpoint_joined(&w->link->endpoint, hqq_link_peer_mode(w->link)) != *joined;
}

void hqq_link_meet(const struct hqq_link *link, struct hqq_partner *partner)
{
	const enum hqq_mode peer = hqq_link_peer_mode(link);

	/*
	 * In this order: one who comes meanwhile and is not found counts as one who is still to come. (Not an
	 * heir of a dead entry, which is counted before it can be found: there are none while entries are free.)
	 */
	partner->joined = hqq_endpoint_joined(&link->endpoint, peer);
	partner->who = hqq_endpoint_find(&link->endpoint, peer);
}

bool hqq_link_has_lost(const struct hqq_link *link, struct hqq_partner *partner)
{
	const struct hqq_endpoint *endpoint = &link->endpoint;
	const enum hqq_mode peer = hqq_link_peer_mode(link);
	const uint64_t newcomers = hqq_endpoint_joined(endpoint, peer) - partner->joined;

	/* one more may have joined than was counted: the partner, found or still to be */
	if (newcomers > 1 || (partner->who && !hqq_endpoint_is_there(endpoint, partner->who)) ||
	    (!partner->who && newcomers && !hqq_endpoint_has_company(endpoint, peer)))
		return true;
	if (!partner->who)
		partner->who = hqq_endpoint_find(endpoint, peer);
	return false;
}

/* PEER_GONE if that is to end this wait, else 0. */
static int peer_gone(const struct waiting *w)
{
	const struct hqq_patience *patience = w->patience;
	const bool gone = patience->peer_eof && (hqq_link_is_peer_gone(w->link) || has_peer_changed(w));

	if (!gone && (!patience->partner || !hqq_link_has_lost(w->link, patience->partner)))
		return 0;
	/* its last messages may have come just before it left, and lie behind what it left unfinished */
	if (!is_ready(w) && hqq_link_recover(w->link).unfinished && is_stuck(w->link))
		return 0; /* others are at that: the next look tells */
	return is_ready(w) ? 0 : HQQ_ERR_PEER_GONE;
}

/*
 * Looks for the dead where something is stuck, at most once in a while per link: for waits that
 * last, and for callers who never wait but ask again and again.
 */
static void mend_if_stuck(struct hqq_link *link, uint64_t now)
{
	uint64_t since = atomic_load_explicit(&link->stuck_since, memory_order_relaxed);

	if (!is_stuck(link)) {
		if (since)
			atomic_store_explicit(&link->stuck_since, 0, memory_order_relaxed);
		return;
	}
	if (since && now - since >= REPAIR_PAUSE_NS)
		hqq_link_recover(link);
	if (!since || now - since >= REPAIR_PAUSE_NS)
		atomic_store_explicit(&link->stuck_since, now, memory_order_relaxed);
}

/* The slow looks: repair, and who is left. */
static int look_around(struct waiting *w, uint64_t now)
{
	mend_if_stuck(w->link, now);
	return peer_gone(w);
}

static uint64_t spin_budget(struct hqq_link *link)
{
	if (link->wait == HQQ_WAIT_SPIN)
		return UINT64_MAX;
	if (link->wait == HQQ_WAIT_BLOCK || link->single_cpu)
		return 0;
	return link->spin_ns >> atomic_load_explicit(&link->vain_spins, memory_order_relaxed);
}

/* Polls the ring a number of times. */
static bool poll_ring(const struct waiting *w, unsigned polls)
{
	for (; polls; polls--) {
		if (is_ready(w))
			return true;
		if (polls % POLLS_PER_PAUSE == 0)
			hqq_pause();
	}
	return false;
}

/* Polls for a while. 1: ready, 0: not so far, < 0: stop. */
static int spin(struct waiting *w, uint64_t budget)
{
	uint64_t now = w->began, yielded = w->began, looked = w->began;

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
	return 0;
}

/*
 * Learns from a wait that ended in a sleep how long to spin next time. A wait not much longer than
 * the spin asks for the full spin: its length is mostly the two wake-ups that a longer spin of
 * either side would have saved.
 */
static void learn_spin(struct hqq_link *link, uint64_t waited)
{
	uint32_t vain = atomic_load_explicit(&link->vain_spins, memory_order_relaxed);

	if (waited / VAIN_FACTOR < link->spin_ns)
		vain = 0;
	else if (vain < VAIN_SPINS_MAX)
		vain++;
	atomic_store_explicit(&link->vain_spins, vain, memory_order_relaxed);
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
	return value < low ? low : value > high ? high : value;
}

static uint64_t slice(struct waiting *w, bool exact, uint64_t now)
{
	struct hqq_link *link = w->link;
	const uint64_t waited = now - w->began;

	if (!exact || atomic_load_explicit(&link->unwoken, memory_order_relaxed) ||
	    !hqq_endpoint_joined(&link->endpoint, hqq_link_peer_mode(link)))
		return clamp(waited / 8, FOREIGN_SLICE_MIN_NS, FOREIGN_SLICE_MAX_NS);
	if (!is_stuck(link)) {
		w->stuck_from = 0;
		return LONG_SLICE_NS;
	}
	if (!w->stuck_from)
		w->stuck_from = now;
	return clamp((now - w->stuck_from) / 2, STUCK_SLICE_MIN_NS, STUCK_SLICE_MAX_NS);
}

/* The words that end a sleep: one bell or two, and the context's. */
struct sleep_words {
	struct hqq_futex_word word[HQQ_FUTEX_WORDS];
	unsigned count;
	bool exact; /* every libhqq waker sees our marks */
};

static void add_word(struct sleep_words *words, _Atomic uint32_t *word, uint32_t expected, bool shared)
{
	words->word[words->count++] = (struct hqq_futex_word){word, expected, shared};
}

/* Marks the bells of what we wait for; from here on the look at the rings is the decisive one. */
static void mark_bells(const struct waiting *w, struct sleep_words *words)
{
	words->exact = true;
	for (enum hqq_claim_kind kind = HQQ_CLAIM_WRITE; kind <= HQQ_CLAIM_READ; kind++) {
		struct hqq_bell *bell = hqq_link_bell(w->link, kind);
		bool exact;

		if (!wants(w, kind))
			continue;
		add_word(words, &bell->rung, hqq_bell_mark(bell, w->link->endpoint.index, &exact), true);
		words->exact = words->exact && exact;
	}
}

static bool was_rung(const struct sleep_words *words)
{
	for (unsigned i = 0; i < words->count; i++) {
		/* relaxed: a hint; readiness is looked at with acquire */
		if (words->word[i].shared &&
		    atomic_load_explicit(words->word[i].word, memory_order_relaxed) != words->word[i].expected)
			return true;
	}
	return false;
}

static void sleep_on(struct waiting *w, struct sleep_words *words)
{
	const uint64_t now = hqq_clock_now();
	const uint32_t bits = hqq_bell_bits(w->link->endpoint.index);
	uint64_t until = hqq_clock_earlier(now + slice(w, words->exact, now), deadline_of(w));

	if (w->patience->context)
		add_word(words, hqq_context_word(w->patience->context), HQQ_CONTEXT_WAITING, false);
	if (w->patience->alarm)
		add_word(words, w->patience->alarm, w->patience->alarm_seen, false);
	if (words->count > 1) {
		if (hqq_futex_wait_any(words->word, words->count, until))
			return;
		until = hqq_clock_earlier(until, now + BLIND_SLICE_NS);
	}
	if (words->word[0].shared)
		hqq_futex_wait(words->word[0].word, words->word[0].expected, bits, until);
	else
		hqq_futex_wait_private(words->word[0].word, words->word[0].expected, until);
}

/* Remembers whether what we slept for came with a wake. */
static void learn_wake(struct hqq_link *link, bool woken)
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
	struct sleep_words words = {.count = 0};
	struct hqq_outside outside;
	int rc;

	mark_bells(w, &words);
	if (is_ready(w)) /* the look behind the mark: see wait.h */
		return 1;
	rc = reason_to_stop(w);
	if (rc == 0)
		rc = peer_gone(w);
	if (rc)
		return rc;
	if (seat) {
		hqq_count(&(*seat)->counters[HQQ_COUNT_SLEEPS], 1);
		hqq_seat_step_out(*seat, &outside);
	}
	sleep_on(w, &words);
	if (seat)
		*seat = hqq_seat_step_in(*seat, &outside);
	if (is_ready(w)) {
		if (!is_alarmed(w->patience) && !has_beside(w->patience))
			learn_wake(w->link, was_rung(&words));
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

bool hqq_link_watch(struct hqq_link *link, unsigned kinds, const _Atomic uint32_t *stop,
                    const struct hqq_patience *patience)
{
	struct waiting w = {.link = link,
	                    .patience = patience,
	                    .kinds = kinds,
	                    .stop = stop,
	                    .began = hqq_clock_now()};
	int rc = 0;

	while (rc == 0)
		rc = sleep_once(&w, NULL);
	return rc > 0 || rc == HQQ_ERR_PEER_GONE;
}

void hqq_link_pass_on(struct hqq_link *link, enum hqq_claim_kind kind, unsigned taken)
{
	const struct hqq_ring *ring = hqq_link_ring(link, kind);
	const _Atomic uint64_t *cursor = hqq_ring_cursor(ring, kind);

	if (hqq_ring_is_ready(ring, kind) &&
	    hqq_ring_is_turn(ring, kind, atomic_load_explicit(cursor, memory_order_relaxed) + taken))
		hqq_bell_wake(hqq_link_bell(link, kind), 1);
}

static void pass_on(const struct waiting *w, unsigned taken)
{
	for (enum hqq_claim_kind kind = HQQ_CLAIM_WRITE; kind <= HQQ_CLAIM_READ; kind++) {
		if (wants(w, kind))
			hqq_link_pass_on(w->link, kind, taken);
	}
}

/* For who waits for both: there is room, and nothing to be read. */
static bool has_only_room(const struct waiting *w)
{
	return hqq_ring_is_ready(hqq_link_ring(w->link, HQQ_CLAIM_WRITE), HQQ_CLAIM_WRITE) &&
	       !hqq_ring_is_ready(hqq_link_ring(w->link, HQQ_CLAIM_READ), HQQ_CLAIM_READ);
}

/*
 * The kind of claim that this thread makes a stream of: no message in the other direction since it waited
 * last, or, while it waits for room and would take in what comes, none there. If the wait was short, a run
 * is worth more than the first slot at once.
 */
static enum hqq_claim_kind stream_of(const struct waiting *w, struct hqq_seat *seat)
{
	const bool reads = wants(w, HQQ_CLAIM_READ);
	const uint64_t answers = atomic_load_explicit(
		&seat->counters[reads ? HQQ_COUNT_SENT_MESSAGES : HQQ_COUNT_RECEIVED_MESSAGES], memory_order_relaxed);
	const bool same = answers == seat->answers[reads];

	seat->answers[reads] = answers;
	if (reads && wants(w, HQQ_CLAIM_WRITE))
		return has_only_room(w) ? HQQ_CLAIM_WRITE : HQQ_CLAIM_NONE;
	return same ? (enum hqq_claim_kind)w->kinds : HQQ_CLAIM_NONE;
}

/* Holds a reader back until a number of messages more is there, or not longer than that takes as it is. */
static bool comes_faster(const struct hqq_ring *ring, const struct hqq_haste *haste)
{
	const uint64_t position = atomic_load_explicit(ring->read_cursor, memory_order_relaxed), began = hqq_clock_now();
	uint64_t within;
	const uint64_t goal = hqq_haste_goal(haste, &within);

	if (goal > ring->mask)
		return false;
	do {
		if (hqq_ring_is_turn(ring, HQQ_CLAIM_READ, position + goal))
			return true;
		hqq_pause();
	} while (hqq_clock_now() - began < within);
	return false;
}

/*
 * Slots that a run may have: of messages as long as those that this thread has counted since the last time;
 * where it counts none, as on an Advanced link, of full buffers.
 */
static uint32_t run_of(const struct hqq_ring *ring, struct hqq_seat *seat, enum hqq_claim_kind kind)
{
	const bool reads = kind == HQQ_CLAIM_READ;
	const uint64_t all = atomic_load_explicit(
		&seat->counters[reads ? HQQ_COUNT_RECEIVED_MESSAGES : HQQ_COUNT_SENT_MESSAGES], memory_order_relaxed);
	const uint64_t all_bytes = atomic_load_explicit(
		&seat->counters[reads ? HQQ_COUNT_RECEIVED_BYTES : HQQ_COUNT_SENT_BYTES], memory_order_relaxed);
	const uint64_t messages = all - seat->measured[reads].messages;
	const uint64_t bytes = messages ? (all_bytes - seat->measured[reads].bytes) / messages : ring->buffer_size;

	seat->measured[reads].messages = all;
	seat->measured[reads].bytes = all_bytes;
	return bytes * STREAM_RUN < STREAM_RUN_BYTES ? STREAM_RUN : (uint32_t)(STREAM_RUN_BYTES / bytes);
}

/* For a thread that had to wait, and finds a slot now: lets a run of them form where that helps. */
static void gather(const struct waiting *w, struct hqq_seat *seat)
{
	const enum hqq_claim_kind kind = stream_of(w, seat);
	const struct hqq_ring *ring;
	uint32_t run;

	if (kind == HQQ_CLAIM_NONE)
		return;
	ring = hqq_link_ring(w->link, kind);
	run = run_of(ring, seat, kind);
	if (kind == HQQ_CLAIM_WRITE) { /* a ring ahead of the readers: nobody waits for what we write */
		hqq_ring_gather(ring, kind, run,
		                wants(w, HQQ_CLAIM_READ) ? hqq_link_ring(w->link, HQQ_CLAIM_READ) : NULL);
		return;
	}
	switch (hqq_haste_ask(&seat->haste, atomic_load_explicit(&seat->counters[HQQ_COUNT_RECEIVED_MESSAGES],
	                                                         memory_order_relaxed))) {
	case HQQ_HASTE_TAKE:
		break;
	case HQQ_HASTE_TRY:
		hqq_haste_tried(&seat->haste, comes_faster(ring, &seat->haste));
		break;
	case HQQ_HASTE_GATHER:
		if (!hqq_ring_gather(ring, kind, run, NULL))
			hqq_haste_rest(&seat->haste);
		break;
	}
}

int hqq_link_wait(struct hqq_link *link, struct hqq_seat **seat, unsigned kinds, const struct hqq_patience *patience)
{
	struct waiting w = {.link = link, .patience = patience, .kinds = kinds};
	const uint64_t budget = spin_budget(link);
	int rc = reason_to_stop(&w);

	hqq_count(&(*seat)->counters[kinds & HQQ_CLAIM_WRITE ? HQQ_COUNT_FULL_WAITS : HQQ_COUNT_EMPTY_WAITS], 1);
	if (rc == 0 && budget && poll_ring(&w, POLLS_BEFORE_CLOCK)) {
		gather(&w, *seat);
		return 0;
	}
	hqq_haste_rest(&(*seat)->haste);
	w.began = rc ? 0 : hqq_clock_now();
	if (rc == 0) { /* a shared seat is for others meanwhile: a spin may last */
		struct hqq_outside outside;

		hqq_seat_step_out(*seat, &outside);
		rc = spin(&w, budget);
		*seat = hqq_seat_step_in(*seat, &outside);
	}
	while (rc == 0) {
		rc = sleep_once(&w, seat);
		if (rc > 0) {
			learn_spin(link, hqq_clock_now() - w.began);
			pass_on(&w, 1);
		}
	}
	if (rc == HQQ_ERR_TIMEOUT) { /* for callers who never wait for long */
		mend_if_stuck(link, hqq_clock_now());
		rc = peer_gone(&w) ? HQQ_ERR_PEER_GONE : rc;
	}
	if (rc < 0)
		pass_on(&w, 0);
	return rc < 0 ? rc : 0;
}
