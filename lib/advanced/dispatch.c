/*
 * advanced/dispatch.c - one thread at a time takes frames out of the ring
 *
 * Whoever waits for something drives: takes frames, hands them on, wakes those whose wait is over,
 * sleeps on the ring when it is empty. When its own wait is over it hands the wheel to the next
 * that waits. So a lone caller pays for no second thread and no wake-up, and many callers share
 * one dispatcher. A background thread drives always (THREAD) or when nobody else does (AUTO).
 *
 * Back-pressure: when the program does not take its messages, frames stay in the ring and the
 * sender waits; but while anybody waits for frames (a response may lie behind), they are taken in
 * up to a number of bytes, and what exceeds that is dropped and counted (inbox.h).
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/advanced.h"
#include "futex.h"
#include "thread.h"

#define FRAMES_PER_ROUND 16               /* between looks at who is done */
#define FOLLOW_SLICE_NS (50 * HQQ_NS_PER_MS)
#define BLIND_SLICE_NS (1 * HQQ_NS_PER_MS) /* without futex_waitv: see link_wait.c */
#define IDLE_SLICE_NS (5 * HQQ_NS_PER_MS)  /* how long frames may lie before the AUTO thread looks again */

/* The thread, and whoever waits in dispatch(), look again. */
static void tell_thread(struct hqq_advanced *a)
{
	atomic_fetch_add_explicit(&a->thread_word, 1, memory_order_release);
	hqq_futex_wake_private(&a->thread_word);
}

/* So does the driver. */
static void tell_driver(struct hqq_advanced *a)
{
	/* release pairs with is_alarmed() of link_wait.c */
	atomic_fetch_add_explicit(&a->alarm, 1, memory_order_release);
	if (a->driver_sleeps)
		hqq_futex_wake_private(&a->alarm);
}

static void tell_both(struct hqq_advanced *a)
{
	if (a->driver)
		tell_driver(a);
	tell_thread(a);
}

void hqq_dispatch_alarm(struct hqq_advanced *a)
{
	if (a->driver)
		tell_driver(a);
	else /* those who take turns sleep, or are about to */
		tell_thread(a);
}

void hqq_dispatch_note(struct hqq_advanced *a)
{
	uint32_t careful = a->stream || a->assembly_is_stale || a->has_discard;

	for (int kind = 0; kind < HQQ_INBOX_KINDS; kind++)
		careful |= hqq_inbox_is_full(&a->inbox, (enum hqq_inbox_kind)kind);
	atomic_store_explicit(&a->careful, careful, memory_order_relaxed);
	tell_both(a);
}

static void wake(struct hqq_waiter *waiter)
{
	atomic_store_explicit(&waiter->word, 1, memory_order_release);
	hqq_futex_wake_private(&waiter->word);
}

void hqq_dispatch_wake(struct hqq_advanced *a)
{
	if (a->driver && a->driver_sleeps && a->driver->is_done(a, a->driver->argument))
		tell_driver(a);
	for (struct hqq_waiter *waiter = a->waiters; waiter; waiter = waiter->next) {
		if (!atomic_load_explicit(&waiter->word, memory_order_relaxed) &&
		    waiter->is_done(a, waiter->argument))
			wake(waiter);
	}
}

void hqq_dispatch_nudge(void *argument)
{
	struct hqq_advanced *a = argument;

	hqq_adv_lock(a);
	hqq_dispatch_wake_all(a);
	hqq_adv_unlock(a);
}

void hqq_dispatch_wake_all(struct hqq_advanced *a)
{
	for (struct hqq_waiter *waiter = a->waiters; waiter; waiter = waiter->next)
		wake(waiter);
	tell_both(a);
}

/* Somebody else may drive now: the preferred one, the first that sleeps, or who stands by. Under the lock. */
static void hand_over(struct hqq_advanced *a)
{
	struct hqq_waiter *next = a->waiters;

	if (a->driver)
		return;
	if (a->has_bystander)
		tell_thread(a);
	a->has_bystander = false;
	if (a->dispatcher == HQQ_DISPATCH_THREAD && !a->preferred)
		return;
	while (next && a->preferred && next != a->preferred)
		next = next->next;
	if (next)
		wake(next);
	else if (a->outgoing)
		hqq_dispatch_rely_on_thread(a);
}

static bool may_drive(const struct hqq_advanced *a, const struct hqq_waiter *waiter)
{
	if (a->driver || (a->preferred && a->preferred != waiter))
		return false;
	return a->dispatcher != HQQ_DISPATCH_THREAD || !a->has_thread || (a->stream && a->stream->owner == waiter);
}

/* How things stand for a driver after a round. */
struct situation {
	enum hqq_pumped pumped;
	unsigned taken; /* frames, over all rounds */
	bool done;
	bool lost;      /* the session that it waits in is over */
	unsigned kinds; /* what it must wait for to make progress */
	uint32_t alarm;
	uint64_t joined; /* see hqq_patience */
};

static bool somebody_wants_room(const struct hqq_advanced *a, const struct hqq_waiter *self)
{
	const struct hqq_waiter *waiter = a->waiters;

	while (waiter && !waiter->wants_room)
		waiter = waiter->next;
	return waiter || self->wants_room || a->outgoing;
}

/* Takes what is there, hands it on, and looks where that leaves us. Leaves with the lock. */
static void pump_round(struct hqq_advanced *a, struct hqq_seat **seat, struct hqq_waiter *self,
                       struct situation *now)
{
	enum hqq_pumped last = HQQ_PUMP_TOOK;
	unsigned frames = 0;

	do {
		last = hqq_pump_one(a, seat, self);
		frames += last == HQQ_PUMP_TOOK;
	} while (last == HQQ_PUMP_TOOK && frames < FRAMES_PER_ROUND && hqq_pump_may_take_ahead(a));
	if (frames)
		hqq_event_update(&a->event); /* what was in the ring is in the inbox now */
	now->taken += frames;
	now->pumped = frames && last != HQQ_PUMP_FOREIGN ? HQQ_PUMP_TOOK : last;
	hqq_adv_lock(a);
	a->driver_sleeps = false;
	if (a->outgoing)
		hqq_send_flush(a, *seat);
	if (a->waiters)
		hqq_dispatch_wake(a);
	now->done = self->is_done(a, self->argument);
	now->lost = !self->even_peerless && a->session != self->session;
	now->kinds = (last == HQQ_PUMP_HELD ? 0 : HQQ_CLAIM_READ) |
	             (somebody_wants_room(a, self) ? HQQ_CLAIM_WRITE : 0);
	now->alarm = atomic_load_explicit(&a->alarm, memory_order_relaxed);
	/* until the next round; should it not sleep after all, a wake too many does no harm */
	a->driver_sleeps = !frames && last != HQQ_PUMP_FOREIGN && !now->done;
}

/* Sleeps until there is something to do for a driver; only the alarm reaches it from this process. */
static int driver_sleep(struct hqq_advanced *a, struct hqq_seat **seat, const struct situation *now,
                        struct hqq_patience *patience)
{
	patience->alarm = &a->alarm;
	patience->alarm_seen = now->alarm;
	return hqq_link_wait(&a->link, seat, now->kinds, patience);
}

/* Drives until the waiter is done (0), another must drive (0), or it is time to stop. Leaves with the lock. */
static int drive(struct hqq_advanced *a, struct hqq_seat **seat, hqq_context *context, struct hqq_waiter *self)
{
	struct hqq_patience patience = {
		.context = context,
		.peer_eof = !self->even_peerless,
		.joined = &self->joined,
		.partner = self->partner,
	};
	size_t late = 0; /* rounds after the deadline: what lies in the ring already still counts */

	for (;;) {
		struct situation now = {.taken = 0};
		int rc;

		pump_round(a, seat, self, &now);
		if (now.done || now.pumped == HQQ_PUMP_FOREIGN)
			return 0;
		if (now.lost)
			return HQQ_ERR_PEER_GONE;
		hqq_adv_unlock(a);
		if (now.pumped == HQQ_PUMP_TOOK) {
			rc = hqq_link_check(&a->link, &patience);
			if (rc == HQQ_ERR_TIMEOUT && ++late <= a->link.geometry.buffer_count)
				rc = 0;
		} else {
			rc = driver_sleep(a, seat, &now, &patience);
		}
		if (rc) {
			hqq_adv_lock(a);
			return rc;
		}
	}
}

static void enqueue(struct hqq_advanced *a, struct hqq_waiter *waiter)
{
	struct hqq_waiter **end = &a->waiters;

	while (*end)
		end = &(*end)->next;
	waiter->next = NULL;
	atomic_store_explicit(&waiter->word, 0, memory_order_relaxed);
	*end = waiter;
}

static void dequeue(struct hqq_advanced *a, struct hqq_waiter *waiter)
{
	struct hqq_waiter **link = &a->waiters;

	while (*link && *link != waiter)
		link = &(*link)->next;
	if (*link)
		*link = waiter->next;
}

static void sleep_as_follower(struct hqq_waiter *waiter, hqq_context *context)
{
	struct hqq_futex_word words[2] = {{&waiter->word, 0, false}, {NULL, HQQ_CONTEXT_WAITING, false}};
	const uint64_t now = hqq_clock_now();
	uint64_t until = hqq_clock_earlier(now + FOLLOW_SLICE_NS, hqq_context_deadline(context));

	if (context) {
		words[1].word = hqq_context_word(context);
		if (hqq_futex_wait_any(words, 2, until))
			return;
		until = hqq_clock_earlier(until, now + BLIND_SLICE_NS);
	}
	hqq_futex_wait_private(&waiter->word, 0, until);
}

/* Sleeps until somebody wakes us. Under the lock, which it leaves meanwhile. */
static int follow(struct hqq_advanced *a, struct hqq_seat **seat, hqq_context *context, struct hqq_waiter *waiter)
{
	const struct hqq_patience patience = {.context = context};
	struct hqq_outside outside;

	enqueue(a, waiter);
	/* the driver may have to wait for room now, or to take what it held back */
	if (waiter->wants_room || a->outgoing || atomic_load_explicit(&a->careful, memory_order_relaxed))
		hqq_dispatch_alarm(a);
	hqq_adv_unlock(a);
	hqq_seat_step_out(*seat, &outside);
	sleep_as_follower(waiter, context);
	*seat = hqq_seat_step_in(*seat, &outside);
	hqq_adv_lock(a);
	dequeue(a, waiter);
	return hqq_link_check(&a->link, &patience);
}

static bool is_own_callback(const struct hqq_advanced *a)
{
	return a->in_callback && pthread_equal(a->stream->thread, pthread_self());
}

/* The peer that it waits for is gone. For those who follow: a driver's sleep looks for its partner by itself. */
static bool has_lost(struct hqq_advanced *a, const struct hqq_waiter *waiter)
{
	if (!waiter->even_peerless)
		return a->session != waiter->session || hqq_adv_state(a) != HQQ_PROTOCOL_NEGOTIATED;
	return waiter->partner && hqq_link_has_lost(&a->link, waiter->partner) &&
	       !hqq_ring_is_ready(hqq_link_ring(&a->link, HQQ_CLAIM_READ), HQQ_CLAIM_READ); /* its answer */
}

int hqq_dispatch_wait(struct hqq_advanced *a, struct hqq_seat **seat, hqq_context *context,
                      struct hqq_waiter *waiter)
{
	const bool wants_frames = !waiter->wants_room;
	int rc = 0;

	if (is_own_callback(a)) /* it holds the frame that the wait would have to get past */
		return waiter->is_done(a, waiter->argument) ? 0 : HQQ_ERR_INVALID_OP;
	waiter->session = a->session;
	waiter->joined = a->peer_joined;
	a->wanted += wants_frames;
	while (rc == 0 && !waiter->is_done(a, waiter->argument)) {
		if (has_lost(a, waiter)) {
			rc = HQQ_ERR_PEER_GONE;
		} else if (may_drive(a, waiter)) {
			a->driver = waiter;
			a->preferred = NULL;
			hqq_adv_unlock(a);
			rc = drive(a, seat, context, waiter);
			a->driver = NULL;
			if (rc == HQQ_ERR_PEER_GONE && !waiter->even_peerless && a->session == waiter->session)
				hqq_session_end(a, rc);
			if (a->preferred)
				hand_over(a);
		} else {
			rc = follow(a, seat, context, waiter);
			/* a driver that holds the next frame back does not look for the peer's end */
			if (rc == 0 && waiter->wants_room && hqq_session_is_over(a) && hqq_pump_is_held(a)) {
				rc = HQQ_ERR_PEER_GONE;
				hqq_session_end(a, rc);
			}
		}
	}
	if (rc && waiter->is_done(a, waiter->argument))
		rc = 0;
	a->wanted -= wants_frames;
	hand_over(a);
	return rc;
}

/* What the background thread waits for: nothing; it is never done. */
static bool is_never_done(struct hqq_advanced *a, void *argument)
{
	(void)a;
	(void)argument;
	return false;
}

/* One round for who does not wait for anything itself, if the wheel is free; who stands by hears when it is. */
static void take_turn(struct hqq_advanced *a, struct hqq_seat **seat, struct hqq_waiter *self, bool stands_by,
                      struct situation *now)
{
	bool free;

	hqq_adv_lock(a);
	free = !a->driver && !a->preferred;
	if (free)
		a->driver = self;
	else if (stands_by)
		a->has_bystander = true;
	hqq_adv_unlock(a);
	now->pumped = HQQ_PUMP_HELD;
	now->kinds = 0;
	if (!free)
		return;
	pump_round(a, seat, self, now);
	a->driver = NULL;
	hand_over(a);
	if (now->pumped == HQQ_PUMP_EMPTY && hqq_session_is_over(a))
		hqq_session_end(a, HQQ_ERR_PEER_GONE);
	if (atomic_load_explicit(&a->alarm, memory_order_relaxed) != now->alarm)
		now->pumped = HQQ_PUMP_TOOK; /* told after the look: look again */
	now->joined = a->peer_joined;
	hqq_adv_unlock(a);
}

static void *run_thread(void *argument)
{
	struct hqq_advanced *a = argument;
	struct hqq_seat *seat = hqq_seat_find(&a->link.seats);
	struct hqq_waiter self = {.is_done = is_never_done, .even_peerless = true};

	hqq_seat_take(seat);
	if (seat->lent) /* of a thread that ended in a function */
		hqq_seat_tag_lent(seat);
	while (!atomic_load_explicit(&a->thread_stop, memory_order_acquire)) {
		const uint32_t seen = atomic_load_explicit(&a->thread_word, memory_order_acquire);
		struct situation now = {.taken = 0};
		struct hqq_patience patience = {
			.joined = &now.joined,
			.alarm = &a->thread_word,
			.alarm_seen = seen,
		};

		take_turn(a, &seat, &self, false, &now);
		patience.peer_eof = now.pumped == HQQ_PUMP_EMPTY && hqq_adv_state(a) == HQQ_PROTOCOL_NEGOTIATED;
		if (now.pumped == HQQ_PUMP_EMPTY || (now.pumped == HQQ_PUMP_HELD && now.kinds))
			hqq_link_watch(&a->link, now.kinds, &a->thread_stop, &patience);
		else if (now.pumped != HQQ_PUMP_TOOK) /* somebody else drives, or the inbox is full */
			hqq_futex_wait_private(&a->thread_word, seen, hqq_clock_after(IDLE_SLICE_NS));
	}
	hqq_seat_leave(seat);
	return NULL;
}

int hqq_dispatch_start_thread(struct hqq_advanced *a)
{
	int rc = a->has_thread ? 0 : hqq_thread_start(&a->thread, run_thread, a);

	a->has_thread = rc == 0;
	return rc;
}

void hqq_dispatch_rely_on_thread(struct hqq_advanced *a)
{
	/* should it not start, the next call sends what was posted; one that runs was told by post() */
	if (a->dispatcher == HQQ_DISPATCH_AUTO && !a->driver && !a->waiters &&
	    !atomic_load_explicit(&a->thread_stop, memory_order_relaxed))
		hqq_dispatch_start_thread(a);
}

void hqq_dispatch_stop_thread(struct hqq_advanced *a)
{
	pthread_t thread;
	bool has_thread;

	hqq_adv_lock(a);
	has_thread = a->has_thread;
	thread = a->thread;
	a->has_thread = false;
	atomic_store_explicit(&a->thread_stop, 1, memory_order_release);
	hqq_adv_unlock(a);
	if (!has_thread)
		return;
	tell_thread(a);
	hqq_link_nudge(&a->link);
	pthread_join(thread, NULL);
}

/* A session is over, since its peer is gone, no other asks for one, and no dispatch() has told so yet. */
static bool must_tell_loss(struct hqq_advanced *a)
{
	bool must;

	hqq_adv_lock(a);
	must = a->session_lost && !a->loss_is_told && !a->negotiation.asked;
	a->loss_is_told = true;
	hqq_adv_unlock(a);
	return must;
}

int hqq_advanced_dispatch(hqq_advanced *a, hqq_context *context)
{
	struct hqq_waiter self = {.is_done = is_never_done, .even_peerless = true};
	struct hqq_patience patience = {.context = context};
	struct situation now = {.taken = 0};
	struct hqq_seat *seat = NULL;
	int rc = hqq_link_enter(a ? &a->link : NULL, &seat);

	if (rc)
		return rc;
	hqq_adv_lock(a);
	if (is_own_callback(a)) /* it drives already */
		rc = HQQ_ERR_INVALID_OP;
	hqq_adv_unlock(a);
	while (rc == 0) {
		patience.alarm = &a->thread_word;
		patience.alarm_seen = atomic_load_explicit(&a->thread_word, memory_order_acquire);
		do {
			take_turn(a, &seat, &self, true, &now);
			/* a lap at most: a peer that goes on sending does not hold us here */
		} while (now.pumped == HQQ_PUMP_TOOK && now.taken < a->link.geometry.buffer_count);
		if (now.taken)
			break;
		rc = hqq_link_check(&a->link, &patience);
		now.lost = (rc == 0 || rc == HQQ_ERR_TIMEOUT) && must_tell_loss(a);
		if (rc || now.lost)
			break;
		/* held back: until somebody takes from the inbox, or stops driving */
		patience.peer_eof = now.pumped == HQQ_PUMP_EMPTY && hqq_adv_state(a) == HQQ_PROTOCOL_NEGOTIATED;
		patience.joined = &now.joined;
		rc = hqq_link_wait(&a->link, &seat, now.pumped == HQQ_PUMP_FOREIGN ? 0 : now.kinds, &patience);
		if (rc == HQQ_ERR_PEER_GONE) /* the next turn finds the session over */
			rc = 0;
	}
	hqq_event_update(&a->event);
	hqq_link_leave(seat);
	if (now.taken)
		return (int)now.taken;
	if (now.lost)
		return HQQ_ERR_PEER_GONE;
	return rc == HQQ_ERR_TIMEOUT ? 0 : rc;
}
