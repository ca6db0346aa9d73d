/*
 * advanced/session.c - from one negotiation to the loss of the peer
 *
 * One endpoint serves each side. When the other side's is gone, or another has come in its place,
 * everything that was agreed with it is void: calls, dials and waits fail with PEER_GONE, and both
 * sides negotiate anew on the same segment. Messages that arrived whole stay to be received.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/advanced.h"

static uint64_t peer_joined(const struct hqq_advanced *a)
{
	return hqq_endpoint_joined(&a->link.endpoint, hqq_link_peer_mode(&a->link));
}

bool hqq_session_is_over(struct hqq_advanced *a)
{
	if (hqq_adv_state(a) != HQQ_PROTOCOL_NEGOTIATED)
		return false;
	return a->peer_joined != peer_joined(a) || hqq_link_is_peer_gone(&a->link);
}

void hqq_session_begin(struct hqq_advanced *a, uint64_t features, uint64_t capabilities)
{
	struct hqq_negotiation *n = &a->negotiation;
	uint64_t took = hqq_clock_now() - n->began;

	a->peer_joined = peer_joined(a);
	a->ended_count = 0;
	n->asked = false;
	atomic_store_explicit(&a->session_used, false, memory_order_relaxed);
	a->session_lost = false;
	atomic_store_explicit(&n->features, features, memory_order_relaxed);
	atomic_store_explicit(&n->capabilities, capabilities, memory_order_relaxed);
	atomic_store_explicit(&a->counters[HQQ_ADV_NEGOTIATION_NS], took, memory_order_relaxed);
	/* release: whoever sees the state sees what was agreed */
	atomic_store_explicit(&n->state, HQQ_PROTOCOL_NEGOTIATED, memory_order_release);
	hqq_dispatch_note(a); /* from here on the thread looks out for the peer's end, too */
}

void hqq_session_disown(struct hqq_advanced *a)
{
	a->peer_joined--; /* whoever compares it finds that another has come */
	hqq_dispatch_note(a);
}

void hqq_session_end(struct hqq_advanced *a, int error)
{
	a->session++;
	a->assembly_is_stale = true;
	hqq_dispatch_note(a);
	hqq_calls_fail(a, NULL, error);
	hqq_connections_end(a, error);
	hqq_stream_end(a, NULL, error);
	if (hqq_adv_state(a) == HQQ_PROTOCOL_NEGOTIATED) {
		hqq_send_free(a); /* what found no room yet was for the peer that is gone */
		a->negotiation.answered = false;
		a->session_lost = error == HQQ_ERR_PEER_GONE;
		a->loss_is_told = false;
		atomic_store_explicit(&a->negotiation.features, 0, memory_order_relaxed);
		atomic_store_explicit(&a->negotiation.capabilities, 0, memory_order_relaxed);
		atomic_store_explicit(&a->negotiation.state, HQQ_PROTOCOL_NONE, memory_order_release);
	}
	hqq_dispatch_wake_all(a);
}

int hqq_adv_enter(struct hqq_advanced *a, hqq_context *context, struct hqq_seat **seat, uint64_t features)
{
	int rc = hqq_link_enter(a ? &a->link : NULL, seat);

	if (rc)
		return rc;
	if (hqq_context_canceled(context)) {
		rc = HQQ_ERR_CANCELED;
	} else if (HQQ_UNLIKELY(hqq_adv_state(a) == HQQ_PROTOCOL_NEGOTIATED &&
	                        atomic_load_explicit(&a->peer_joined, memory_order_relaxed) != peer_joined(a))) {
		hqq_adv_lock(a);
		if (hqq_session_is_over(a)) {
			hqq_session_end(a, HQQ_ERR_PEER_GONE);
			rc = HQQ_ERR_PEER_GONE;
		}
		hqq_adv_unlock(a);
	} else if (hqq_adv_state(a) != HQQ_PROTOCOL_NEGOTIATED) {
		hqq_adv_lock(a);
		rc = a->session_lost ? HQQ_ERR_PEER_GONE : HQQ_ERR_INVALID_OP;
		hqq_adv_unlock(a);
	} else if ((atomic_load_explicit(&a->negotiation.features, memory_order_relaxed) & features) != features) {
		rc = HQQ_ERR_INVALID_OP;
	}
	if (rc) {
		hqq_link_leave(*seat);
		*seat = NULL;
	}
	return rc;
}
