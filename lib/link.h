/*
 * link.h - the core under both kinds of link: one endpoint of one segment, in one role
 *
 * Owes its callers: between a successful hqq_link_enter() and hqq_link_leave() the segment stays
 * mapped, whatever other threads do; a position that they claimed from one of its rings is theirs
 * until they finish it; a wait ends at its deadline, by cancel, interrupt or close, and whenever the
 * ring is ready.
 *
 * Opening and closing are in link.c, waiting in link_wait.c.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_LINK_H
#define HQQ_LIB_LINK_H

#include "clock.h"
#include "context.h"
#include "endpoint.h"
#include "gate.h"
#include "recover.h"
#include "ring.h"
#include "seat.h"
#include "segment.h"
#include "wait.h"

struct hqq_link {
	/* looked at by every call, constant while the link is open */
	struct hqq_gate gate;
	_Atomic bool light; /* this process relies on the light fence (fence.h); also read of a closed handle */
	bool alone_writing;
	bool alone_reading;
	struct hqq_extension *extension; /* the segment's, or a private one where that is not ours */
	struct hqq_ring rings[2];        /* the one that we write, the one that we read */
	enum hqq_mode mode;
	_Atomic uint64_t copy_ids; /* handed out so far */
	_Atomic uint64_t side;     /* twice the number that had joined our side when it was looked at; + 1: we were alone */

	/* for waits and for the rest */
	enum hqq_wait wait;
	bool peer_eof;
	bool single_cpu; /* spinning would keep the other side from running */
	uint64_t spin_ns;
	uint64_t peers_before; /* joined on the other side when we did */
	bool peer_met;         /* one of them lived then */
	_Atomic uint32_t vain_spins;   /* in a row */
	_Atomic uint32_t unwoken;      /* messages that came without a wake, lately */
	_Atomic uint32_t repairing;    /* one thread of ours at a time */
	_Atomic uint64_t stuck_since;  /* when a slot was first seen stuck, or last looked after */
	_Atomic uint64_t mended;
	_Atomic uint64_t lost;
	enum hqq_type type;
	struct hqq_endpoint endpoint;
	struct hqq_segment segment;
	struct hqq_geometry geometry;
	void *private_extension;
	struct hqq_seats seats;
};

/* The endpoint on the other side that may be the only one to have taken what we said. */
struct hqq_partner {
	uint64_t who;    /* hqq_endpoint_find(); 0: nobody so far */
	uint64_t joined; /* endpoints of that side, ever, before it was said */
};

/* What bounds a wait: a deadline word that may change meanwhile, a context; both may be NULL. */
struct hqq_patience {
	const _Atomic uint64_t *deadline;
	hqq_context *context;
	bool peer_eof; /* it ends with PEER_GONE as hqq_link_is_peer_gone() says */
	const uint64_t *joined; /* with peer_eof: so does another count of endpoints that joined the other side; or NULL */
	struct hqq_partner *partner; /* it ends with PEER_GONE as hqq_link_has_lost() says; or NULL */
	/* a word of this process that ends the wait, as if the ring were ready, once it differs; or NULL */
	_Atomic uint32_t *alarm;
	uint32_t alarm_seen;
	/* a word that ends it in the same way while it is not 0, whoever sets it nudging the link; or NULL */
	const _Atomic size_t *beside;
};

/*
 * The five ways to a segment, into a link from a pool. count == size == 0: the segment's own; file
 * mode 0: 0600.
 */
int hqq_link_attach(struct hqq_link *link, enum hqq_type type, void *base, size_t length, size_t count, size_t size,
                    const struct hqq_options *options);
int hqq_link_create(struct hqq_link *link, enum hqq_type type, const char *name, size_t count, size_t size,
                    mode_t mode, const struct hqq_options *options);
int hqq_link_open(struct hqq_link *link, enum hqq_type type, const char *name, size_t count, size_t size,
                  const struct hqq_options *options);
int hqq_link_create_fd(struct hqq_link *link, enum hqq_type type, size_t count, size_t size,
                       const struct hqq_options *options);
int hqq_link_open_fd(struct hqq_link *link, enum hqq_type type, int fd, size_t count, size_t size,
                     const struct hqq_options *options);

/*
 * Closing, in three steps, so that the layer above can end what is its own in between: shut lets
 * nobody in any more and ends all waits; drain returns once the last call has left (nudge, if any,
 * ends waits that the layer above made its own); finish gives everything back. shut: INVALID_OP when
 * it is shut already or when the caller is inside a call.
 * In a forked child shut returns FORKED, and finish frees what the child inherited.
 */
int hqq_link_shut(struct hqq_link *link);
void hqq_link_drain(struct hqq_link *link, void (*nudge)(void *), void *argument);
void hqq_link_finish(struct hqq_link *link);

int hqq_link_interrupt(struct hqq_link *link);
int hqq_link_resume(struct hqq_link *link);

/* Makes every waiting call of this link look again at its deadline and at the gate. */
void hqq_link_nudge(struct hqq_link *link);

/* Repairs now. */
struct hqq_mended hqq_link_recover(struct hqq_link *link);

/*
 * The file behind fd (an open file description of the caller's alone) is a ready segment that
 * libhqq endpoints have used, and none of them lives.
 */
bool hqq_link_is_stale(int fd);

/* A seat where this thread keeps none, or NULL and, in *rc, why it gets none. */
HQQ_COLD struct hqq_seat *hqq_link_find_seat(struct hqq_link *link, bool even_interrupted, int *rc);

/* For a thread that sat down and found the gate in this state: 0 if it may stay, or why it had to leave. */
HQQ_COLD int hqq_link_turn_away(struct hqq_seat *seat, enum hqq_gate_state state, bool even_interrupted);

static inline HQQ_HOT int hqq_link_sit_down(struct hqq_link *link, struct hqq_seat **seat, bool even_interrupted)
{
	struct hqq_seat *taken = NULL;
	enum hqq_gate_state state;
	int rc = 0;

	if (HQQ_UNLIKELY(!link || !link->gate.word))
		return HQQ_ERR_INVALID_OP;
	/* a first look: the seats of a handle that is shut are not ours to touch */
	if (HQQ_LIKELY(hqq_gate_state(&link->gate) == HQQ_GATE_OPEN))
		taken = hqq_seat_kept(&link->seats);
	if (HQQ_UNLIKELY(!taken)) {
		taken = hqq_link_find_seat(link, even_interrupted, &rc);
		if (!taken)
			return rc;
	}
	hqq_seat_take(taken);
	/* pairs with the heavy one in hqq_link_shut(): seat.h, B */
	hqq_fence_light(atomic_load_explicit(&link->light, memory_order_relaxed));
	state = hqq_gate_state(&link->gate);
	if (HQQ_UNLIKELY(state != HQQ_GATE_OPEN))
		rc = hqq_link_turn_away(taken, state, even_interrupted);
	if (HQQ_UNLIKELY(rc != 0))
		return rc;
	if (HQQ_UNLIKELY(taken->lent != NULL))
		hqq_seat_tag_lent(taken);
	*seat = taken;
	return 0;
}

/* Goes into a call: CANCELED while interrupted, INVALID_OP once closed, FORKED in a child. */
static inline HQQ_HOT int hqq_link_enter(struct hqq_link *link, struct hqq_seat **seat)
{
	return hqq_link_sit_down(link, seat, false);
}

/* The same for calls that an interrupt does not stop. */
static inline int hqq_link_enter_always(struct hqq_link *link, struct hqq_seat **seat)
{
	return hqq_link_sit_down(link, seat, true);
}

static inline void hqq_link_leave(struct hqq_seat *seat)
{
	hqq_seat_leave(seat);
}

static inline enum hqq_direction hqq_link_direction(const struct hqq_link *link, enum hqq_claim_kind kind)
{
	return (enum hqq_direction)(kind == HQQ_CLAIM_WRITE ? (int)link->mode : 1 - (int)link->mode);
}

static inline enum hqq_mode hqq_link_peer_mode(const struct hqq_link *link)
{
	return link->mode == HQQ_MODE_PRIMARY ? HQQ_MODE_SECONDARY : HQQ_MODE_PRIMARY;
}

static inline struct hqq_ring *hqq_link_ring(struct hqq_link *link, enum hqq_claim_kind kind)
{
	return &link->rings[kind == HQQ_CLAIM_READ];
}

/* Where threads sleep that want to claim: readers for data, writers for space. */
static inline struct hqq_bell *hqq_link_bell(struct hqq_link *link, enum hqq_claim_kind kind)
{
	return &link->extension->bells[hqq_link_direction(link, kind)]
	                              [kind == HQQ_CLAIM_WRITE ? HQQ_BELL_SPACE : HQQ_BELL_DATA];
}

/*
 * Waits until a claim of that kind may succeed, or of either kind (HQQ_CLAIM_READ |
 * HQQ_CLAIM_WRITE; 0: for the alarm alone): 0, or TIMEOUT, CANCELED, CLOSED, PEER_GONE. The seat may change.
 */
HQQ_COLD int hqq_link_wait(struct hqq_link *link, struct hqq_seat **seat, unsigned kinds,
                           const struct hqq_patience *patience);

/*
 * A ring of the bell may have come to us for more than we take: slots are not always finished in order, and
 * the rings for those behind the first one find nothing to be claimed yet. If more are ready than so many,
 * another endpoint is woken.
 */
void hqq_link_pass_on(struct hqq_link *link, enum hqq_claim_kind kind, unsigned taken);

/* Why a wait with this patience would end at once: as hqq_link_wait(), 0 for no reason. */
int hqq_link_check(struct hqq_link *link, const struct hqq_patience *patience);

/* Since this handle was made there were endpoints on the other side, and none of them lives. */
bool hqq_link_is_peer_gone(struct hqq_link *link);

/* Before something is said to the other side: who is there to take it? */
void hqq_link_meet(const struct hqq_link *link, struct hqq_partner *partner);

/* An endpoint that may have taken it is gone. Until one has come: false, and one that is found is noted. */
bool hqq_link_has_lost(const struct hqq_link *link, struct hqq_partner *partner);

/*
 * For a thread of the library's own that watches the rings: sleeps until a claim of one of these kinds may
 * succeed, or the patience has another reason to end a wait or would report the peer gone (true), or until
 * *stop is set and the link nudged (false). Neither the gate nor a deadline or context matters to it.
 */
bool hqq_link_watch(struct hqq_link *link, unsigned kinds, const _Atomic uint32_t *stop,
                    const struct hqq_patience *patience);

/* The first of the next count copy ids of this endpoint, 1, 2, 3, ... */
static inline uint64_t hqq_link_copy_ids(struct hqq_link *link, uint32_t count)
{
	if (link->alone_writing) { /* one thread at a time, by the caller's word */
		uint64_t last = atomic_load_explicit(&link->copy_ids, memory_order_relaxed);

		atomic_store_explicit(&link->copy_ids, last + count, memory_order_relaxed);
		return last + 1;
	}
	return atomic_fetch_add_explicit(&link->copy_ids, count, memory_order_relaxed) + 1;
}

static inline uint64_t hqq_link_copy_id(struct hqq_link *link)
{
	return hqq_link_copy_ids(link, 1);
}

/* Fetches a later slot while the one at position is dealt with (ring.h). */
static inline HQQ_HOT void hqq_link_fetch_ahead(struct hqq_link *link, struct hqq_seat *seat,
                                                enum hqq_claim_kind kind, uint64_t position, uint32_t ahead,
                                                size_t size)
{
	hqq_ring_fetch_ahead(hqq_link_ring(link, kind), kind, position, ahead, size,
	                     &seat->clear[kind == HQQ_CLAIM_READ]);
}

/* Wakes those who wait for what a publish (WRITE) or release (READ) of count slots brought. */
static inline void hqq_link_ring_bell(struct hqq_link *link, struct hqq_seat *seat, enum hqq_claim_kind kind,
                                      uint32_t count)
{
	enum hqq_bell_kind bell = kind == HQQ_CLAIM_WRITE ? HQQ_BELL_DATA : HQQ_BELL_SPACE;
	unsigned woken =
		hqq_bell_ring(&link->extension->bells[hqq_link_direction(link, kind)][bell],
		              atomic_load_explicit(&link->light, memory_order_relaxed), count);

	if (HQQ_UNLIKELY(woken != 0))
		hqq_count(&seat->counters[HQQ_COUNT_WAKES], woken);
}

/* Finishes a claimed position: publish for a writer, release for a reader. */
static inline void hqq_link_finish_slot(struct hqq_link *link, struct hqq_seat *seat, enum hqq_claim_kind kind,
                                        uint64_t position)
{
	if (kind == HQQ_CLAIM_WRITE)
		hqq_ring_publish(hqq_link_ring(link, kind), position);
	else
		hqq_ring_release(hqq_link_ring(link, kind), position);
	hqq_link_ring_bell(link, seat, kind, 1);
}

#endif /* HQQ_LIB_LINK_H */
