/*
 * advanced/info.c - what a handle is and what it did; its event descriptor
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/advanced.h"
#include <string.h>

/* As in standard/info.c: getters enter like any other call. */
static hqq_advanced *enter(const hqq_advanced *handle, struct hqq_seat **seat, int *rc)
{
	hqq_advanced *a = (hqq_advanced *)(uintptr_t)handle;

	*rc = hqq_link_enter_always(a ? &a->link : NULL, seat);
	return *rc ? NULL : a;
}

enum number {
	MODE,
	TYPE,
	BUFFER_SIZE,
	BUFFER_COUNT,
	DESCRIPTOR,
	STATE
};

static ssize_t number_of(const hqq_advanced *handle, enum number which)
{
	struct hqq_seat *seat = NULL;
	int rc;
	hqq_advanced *a = enter(handle, &seat, &rc);
	ssize_t number = 0;

	if (!a)
		return rc;
	switch (which) {
	case MODE:
		number = a->link.mode;
		break;
	case TYPE:
		number = a->link.type;
		break;
	case BUFFER_SIZE:
		number = (ssize_t)a->link.geometry.buffer_size;
		break;
	case BUFFER_COUNT:
		number = (ssize_t)a->link.geometry.buffer_count;
		break;
	case DESCRIPTOR:
		number = a->link.segment.fd >= 0 ? a->link.segment.fd : HQQ_ERR_INVALID_OP;
		break;
	case STATE:
		number = (ssize_t)hqq_adv_state(a);
		break;
	}
	hqq_link_leave(seat);
	return number;
}

int hqq_advanced_mode(const hqq_advanced *handle)
{
	return (int)number_of(handle, MODE);
}

int hqq_advanced_type(const hqq_advanced *handle)
{
	return (int)number_of(handle, TYPE);
}

size_t hqq_advanced_buffer_size(const hqq_advanced *handle)
{
	const ssize_t number = number_of(handle, BUFFER_SIZE);

	return number > 0 ? (size_t)number : 0;
}

size_t hqq_advanced_buffer_count(const hqq_advanced *handle)
{
	const ssize_t number = number_of(handle, BUFFER_COUNT);

	return number > 0 ? (size_t)number : 0;
}

int hqq_advanced_fd(const hqq_advanced *handle)
{
	return (int)number_of(handle, DESCRIPTOR);
}

int hqq_advanced_protocol_state(const hqq_advanced *handle)
{
	return (int)number_of(handle, STATE);
}

/* What was agreed; all zero while nothing is. */
struct agreed {
	uint64_t features, capabilities, max_message_size;
	bool negotiated;
	const char *name;
};

static struct agreed agreed_by(const hqq_advanced *handle)
{
	struct agreed agreed = {.negotiated = false};
	struct hqq_seat *seat = NULL;
	int rc;
	hqq_advanced *a = enter(handle, &seat, &rc);

	if (!a)
		return agreed;
	agreed.negotiated = hqq_adv_state(a) == HQQ_PROTOCOL_NEGOTIATED;
	agreed.features = atomic_load_explicit(&a->negotiation.features, memory_order_relaxed);
	agreed.capabilities = atomic_load_explicit(&a->negotiation.capabilities, memory_order_relaxed);
	agreed.max_message_size = a->max_message_size;
	agreed.name = a->link.segment.name[0] ? a->link.segment.name : NULL;
	hqq_link_leave(seat);
	return agreed;
}

const char *hqq_advanced_name(const hqq_advanced *handle)
{
	return agreed_by(handle).name;
}

uint64_t hqq_advanced_max_message_size(const hqq_advanced *handle)
{
	return agreed_by(handle).max_message_size;
}

struct hqq_version hqq_advanced_negotiated_version(const hqq_advanced *handle)
{
	const struct hqq_version none = {0, 0};
	const struct hqq_version ours = {HQQ_ADVANCED_VERSION_MAJOR, HQQ_ADVANCED_VERSION_MINOR};

	return agreed_by(handle).negotiated ? ours : none;
}

uint64_t hqq_advanced_negotiated_features(const hqq_advanced *handle)
{
	return agreed_by(handle).features;
}

uint64_t hqq_advanced_negotiated_capabilities(const hqq_advanced *handle)
{
	return agreed_by(handle).capabilities;
}

bool hqq_advanced_is_large_copy_enabled(const hqq_advanced *handle)
{
	return agreed_by(handle).features & HQQ_FEATURE_LARGE_COPY;
}

bool hqq_advanced_is_request_response_enabled(const hqq_advanced *handle)
{
	return agreed_by(handle).features & HQQ_FEATURE_REQUEST_RESPONSE;
}

int hqq_advanced_stats(const hqq_advanced *handle, struct hqq_advanced_stats *stats)
{
	struct hqq_seat *seat = NULL;
	int rc = HQQ_ERR_INVALID_OP;
	hqq_advanced *a = stats ? enter(handle, &seat, &rc) : NULL;
	uint64_t counts[HQQ_ADV_COUNTERS];

	if (!a)
		return rc;
	for (int i = 0; i < HQQ_ADV_COUNTERS; i++)
		counts[i] = atomic_load_explicit(&a->counters[i], memory_order_relaxed);
	memset(stats, 0, sizeof(*stats));
	stats->negotiation_ns = counts[HQQ_ADV_NEGOTIATION_NS];
	stats->large_messages_sent = counts[HQQ_ADV_LARGE_SENT];
	stats->large_bytes_sent = counts[HQQ_ADV_LARGE_SENT_BYTES];
	stats->large_messages_received = counts[HQQ_ADV_LARGE_RECEIVED];
	stats->large_bytes_received = counts[HQQ_ADV_LARGE_RECEIVED_BYTES];
	stats->requests_sent = counts[HQQ_ADV_REQUESTS_SENT];
	stats->requests_received = counts[HQQ_ADV_REQUESTS_RECEIVED];
	stats->responses_sent = counts[HQQ_ADV_RESPONSES_SENT];
	stats->responses_received = counts[HQQ_ADV_RESPONSES_RECEIVED];
	stats->refused = counts[HQQ_ADV_REFUSED];
	stats->dropped = counts[HQQ_ADV_DROPPED];
	stats->aborted = counts[HQQ_ADV_ABORTED];
	stats->recovered_slots = atomic_load_explicit(&a->link.mended, memory_order_relaxed);
	stats->lost_messages = atomic_load_explicit(&a->link.lost, memory_order_relaxed);
	hqq_link_leave(seat);
	return 0;
}

/* Something is there for receive, serve, read or accept, or a peer asks; or frames are, which may be just that. */
static bool something_waits(void *argument)
{
	hqq_advanced *a = argument;
	bool waits = false;

	hqq_adv_lock(a);
	for (int kind = 0; kind < HQQ_INBOX_KINDS; kind++)
		waits = waits || !hqq_inbox_is_empty(&a->inbox, (enum hqq_inbox_kind)kind);
	waits = waits || a->waiting || a->negotiation.asked;
	hqq_adv_unlock(a);
	return waits || hqq_ring_is_ready(hqq_link_ring(&a->link, HQQ_CLAIM_READ), HQQ_CLAIM_READ);
}

int hqq_advanced_event_fd(hqq_advanced *a)
{
	struct hqq_seat *seat = NULL;
	int rc = hqq_link_enter_always(a ? &a->link : NULL, &seat);

	if (rc)
		return rc;
	rc = hqq_event_open(&a->event, &a->link, something_waits, a);
	hqq_link_leave(seat);
	return rc;
}
