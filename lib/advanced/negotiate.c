/*
 * advanced/negotiate.c - agreeing on version, features and capabilities
 *
 * The initiator asks (PROTO_NEGOTIATE) and waits for PROTO_ACK or ERROR; the acceptor waits to be
 * asked. When both ask at once, each answers the other, and the link has what both wanted.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/advanced.h"
#include <errno.h>

#define MAJOR_OF(version) ((version) >> 8)
#define MINOR_OF(version) ((version)&0xff)

static void set_state(struct hqq_advanced *a, enum hqq_protocol_state state)
{
	atomic_store_explicit(&a->negotiation.state, state, memory_order_release);
}

static void fail(struct hqq_advanced *a, int rc)
{
	a->negotiation.rc = rc;
	a->negotiation.asked = false;
	set_state(a, HQQ_PROTOCOL_FAILED);
}

static uint64_t peers_joined(const struct hqq_advanced *a)
{
	return hqq_endpoint_joined(&a->link.endpoint, hqq_link_peer_mode(&a->link));
}

static void answer(struct hqq_advanced *a, uint64_t features, uint64_t capabilities)
{
	hqq_send_post(a, HQQ_OP_PROTO_ACK, HQQ_PROTOCOL_VERSION, features, capabilities);
}

/* Says yes to a peer that asked; wanted limits it to what we want ourselves, if we do. */
static void accept_asked(struct hqq_advanced *a, uint64_t wanted)
{
	struct hqq_negotiation *n = &a->negotiation;
	const uint64_t features = n->asked_features & HQQ_KNOWN_FEATURES & wanted;
	const uint64_t capabilities = n->asked_capabilities & HQQ_KNOWN_CAPABILITIES;

	answer(a, features, capabilities);
	hqq_session_begin(a, features, capabilities);
}

void hqq_negotiate_asked(struct hqq_advanced *a, uint64_t version, uint64_t features, uint64_t capabilities)
{
	struct hqq_negotiation *n = &a->negotiation;

	if (MAJOR_OF(version) != HQQ_ADVANCED_VERSION_MAJOR || hqq_adv_state(a) == HQQ_PROTOCOL_FAILED) {
		hqq_send_post(a, HQQ_OP_ERROR, 0, hqq_error_to_code(HQQ_ERR_INVALID_OP), 0);
		if (hqq_adv_state(a) == HQQ_PROTOCOL_NEGOTIATING || n->accepting)
			fail(a, HQQ_ERR_REJECTED);
		return;
	}
	n->asked_joined = peers_joined(a);
	n->asked_features = features;
	n->asked_capabilities = capabilities;
	switch (hqq_adv_state(a)) {
	case HQQ_PROTOCOL_NEGOTIATING: /* both ask at once: the peer may have only this answer to go by */
		n->answered = true;
		answer(a, features & n->wanted, capabilities & HQQ_KNOWN_CAPABILITIES);
		break;
	case HQQ_PROTOCOL_NEGOTIATED:
		if (!atomic_load_explicit(&a->session_used, memory_order_relaxed) && !hqq_session_is_over(a)) {
			/* It gave up waiting for our answer, and dropped what followed; or it came after who asked. */
			hqq_calls_fail(a, NULL, HQQ_ERR_PEER_GONE);
			hqq_connections_end(a, HQQ_ERR_PEER_GONE);
			accept_asked(a, HQQ_KNOWN_FEATURES);
			hqq_dispatch_wake(a);
			break;
		}
		hqq_session_end(a, HQQ_ERR_PEER_GONE); /* it has started again: so do we, when the program says so */
		n->asked = true;
		break;
	default:
		n->asked = true; /* answered by the program, see is_asked() */
	}
}

void hqq_negotiate_answered(struct hqq_advanced *a, uint64_t version, uint64_t features, uint64_t capabilities)
{
	struct hqq_negotiation *n = &a->negotiation;

	if (hqq_adv_state(a) != HQQ_PROTOCOL_NEGOTIATING) { /* we gave up meanwhile, or it is not for us */
		hqq_adv_count(a, HQQ_ADV_REFUSED, 1);
		return;
	}
	if (MAJOR_OF(version) != HQQ_ADVANCED_VERSION_MAJOR || MINOR_OF(version) > HQQ_ADVANCED_VERSION_MINOR ||
	    (features & ~n->wanted) || (capabilities & ~HQQ_KNOWN_CAPABILITIES)) {
		hqq_adv_count(a, HQQ_ADV_REFUSED, 1);
		fail(a, HQQ_ERR_REJECTED);
		return;
	}
	if (n->answered)
		features &= n->asked_features;
	hqq_session_begin(a, features, capabilities);
}

void hqq_negotiate_refused(struct hqq_advanced *a)
{
	if (hqq_adv_state(a) == HQQ_PROTOCOL_NEGOTIATING)
		fail(a, HQQ_ERR_REJECTED);
	else
		hqq_adv_count(a, HQQ_ADV_REFUSED, 1);
}

static bool is_settled(struct hqq_advanced *a, void *argument)
{
	(void)argument;
	return hqq_adv_state(a) == HQQ_PROTOCOL_NEGOTIATED || hqq_adv_state(a) == HQQ_PROTOCOL_FAILED;
}

/*
 * Asked, and nothing more lies in the ring: of several questions, of endpoints that came and went,
 * the last is of the one that is there.
 */
static bool is_asked(struct hqq_advanced *a, void *argument)
{
	return is_settled(a, argument) ||
	       (a->negotiation.asked &&
	        !hqq_ring_is_ready(hqq_link_ring(&a->link, HQQ_CLAIM_READ), HQQ_CLAIM_READ));
}

/* A question whose asker is gone, and has a successor, is nobody's. Under the lock. */
static void forget_the_gone(struct hqq_advanced *a)
{
	if (a->negotiation.asked_joined != peers_joined(a))
		a->negotiation.asked = false;
}

/* After the wait, however it ended. Under the lock. */
static int outcome(struct hqq_advanced *a, int rc, bool asked)
{
	if (hqq_adv_state(a) == HQQ_PROTOCOL_NEGOTIATED)
		return 0;
	if (hqq_adv_state(a) == HQQ_PROTOCOL_FAILED)
		return a->negotiation.rc;
	if (asked)
		set_state(a, HQQ_PROTOCOL_NONE); /* it may be tried again */
	return rc;
}

/* The initiator's first step: 0 when it is to wait for the answer, 1 when all is settled already. */
static int begin(struct hqq_advanced *a, uint64_t features, const struct hqq_partner *partner)
{
	struct hqq_negotiation *n = &a->negotiation;

	if (hqq_session_is_over(a))
		hqq_session_end(a, HQQ_ERR_PEER_GONE);
	if (hqq_adv_state(a) != HQQ_PROTOCOL_NONE)
		return HQQ_ERR_INVALID_OP;
	n->began = hqq_clock_now();
	forget_the_gone(a);
	if (n->asked) { /* it asked first */
		accept_asked(a, features);
		return 1;
	}
	/* what lies there may answer our last question, and be from one who is gone */
	if (n->has_asked && hqq_link_has_lost(&a->link, &n->partner))
		a->first_position = atomic_load_explicit(hqq_link_ring(&a->link, HQQ_CLAIM_READ)->write_cursor,
		                                         memory_order_relaxed);
	n->has_asked = true;
	n->partner = *partner;
	n->wanted = features;
	n->answered = false;
	if (!hqq_send_post(a, HQQ_OP_PROTO_NEGOTIATE, HQQ_PROTOCOL_VERSION, features, HQQ_KNOWN_CAPABILITIES))
		return -ENOMEM;
	set_state(a, HQQ_PROTOCOL_NEGOTIATING);
	return 0;
}

int hqq_advanced_negotiate(hqq_advanced *a, hqq_context *context, struct hqq_version version, uint64_t features)
{
	struct hqq_partner partner;
	struct hqq_waiter waiter = {.is_done = is_settled, .even_peerless = true, .partner = &partner};
	struct hqq_seat *seat = NULL;
	int rc = hqq_link_enter(a ? &a->link : NULL, &seat);

	if (rc)
		return rc;
	hqq_link_meet(&a->link, &partner);
	hqq_adv_lock(a);
	if (version.major != HQQ_ADVANCED_VERSION_MAJOR || version.minor != HQQ_ADVANCED_VERSION_MINOR ||
	    (features & ~HQQ_KNOWN_FEATURES))
		rc = HQQ_ERR_INVALID_OP;
	else
		rc = hqq_context_canceled(context) ? HQQ_ERR_CANCELED : begin(a, features, &partner);
	if (rc >= 0)
		hqq_send_flush(a, seat);
	if (rc == 0) {
		rc = hqq_dispatch_wait(a, &seat, context, &waiter);
		rc = outcome(a, rc, true);
		if (rc == 0 && hqq_link_has_lost(&a->link, &partner)) /* who answered: the next call tells */
			hqq_session_disown(a);
	}
	hqq_adv_unlock(a);
	hqq_event_update(&a->event);
	hqq_link_leave(seat);
	return rc > 0 ? 0 : rc;
}

int hqq_advanced_wait_negotiation(hqq_advanced *a, hqq_context *context)
{
	struct hqq_waiter waiter = {.is_done = is_asked, .even_peerless = true};
	struct hqq_seat *seat = NULL;
	int rc = hqq_link_enter(a ? &a->link : NULL, &seat);

	if (rc)
		return rc;
	hqq_adv_lock(a);
	if (hqq_session_is_over(a))
		hqq_session_end(a, HQQ_ERR_PEER_GONE);
	if (hqq_adv_state(a) != HQQ_PROTOCOL_NONE)
		rc = HQQ_ERR_INVALID_OP;
	else if (hqq_context_canceled(context))
		rc = HQQ_ERR_CANCELED;
	if (rc == 0) {
		forget_the_gone(a);
		a->negotiation.accepting++;
		rc = hqq_dispatch_wait(a, &seat, context, &waiter);
		a->negotiation.accepting--;
		if (hqq_adv_state(a) == HQQ_PROTOCOL_NONE && a->negotiation.asked) {
			a->negotiation.began = hqq_clock_now();
			accept_asked(a, HQQ_KNOWN_FEATURES);
			hqq_send_flush(a, seat);
			hqq_dispatch_wake(a);
		}
		rc = outcome(a, rc, false);
	}
	hqq_adv_unlock(a);
	hqq_event_update(&a->event);
	hqq_link_leave(seat);
	return rc;
}
