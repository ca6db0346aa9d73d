/*
 * standard/info.c - what a handle is and what it did
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "standard/standard.h"
#include <string.h>

/*
 * Getters enter the call as any other does, so that they are safe beside a close; entering changes
 * a seat, never what the caller sees as the handle.
 */
static hqq_standard *enter(const hqq_standard *handle, struct hqq_seat **seat, int *rc)
{
	hqq_standard *h = (hqq_standard *)(uintptr_t)handle;

	*rc = hqq_link_enter_always(hqq_standard_link(h), seat);
	return *rc ? NULL : h;
}

enum number {
	MODE,
	TYPE,
	BUFFER_SIZE,
	BUFFER_COUNT,
	PENDING,
	DESCRIPTOR
};

/* One of the numbers of a handle, or an error. */
static ssize_t number_of(const hqq_standard *handle, enum number which)
{
	struct hqq_seat *seat = NULL;
	int rc;
	hqq_standard *h = enter(handle, &seat, &rc);
	ssize_t number = 0;

	if (!h)
		return rc;
	switch (which) {
	case MODE:
		number = h->link.mode;
		break;
	case TYPE:
		number = h->link.type;
		break;
	case BUFFER_SIZE:
		number = (ssize_t)h->link.geometry.buffer_size;
		break;
	case BUFFER_COUNT:
		number = (ssize_t)h->link.geometry.buffer_count;
		break;
	case PENDING:
		number = (ssize_t)hqq_ring_depth(hqq_link_ring(&h->link, HQQ_CLAIM_READ));
		break;
	case DESCRIPTOR:
		number = h->link.segment.fd >= 0 ? h->link.segment.fd : HQQ_ERR_INVALID_OP;
		break;
	}
	hqq_link_leave(seat);
	return number;
}

static size_t size_or_zero(ssize_t number)
{
	return number > 0 ? (size_t)number : 0;
}

int hqq_standard_mode(const hqq_standard *handle)
{
	return (int)number_of(handle, MODE);
}

int hqq_standard_type(const hqq_standard *handle)
{
	return (int)number_of(handle, TYPE);
}

size_t hqq_standard_buffer_size(const hqq_standard *handle)
{
	return size_or_zero(number_of(handle, BUFFER_SIZE));
}

size_t hqq_standard_buffer_count(const hqq_standard *handle)
{
	return size_or_zero(number_of(handle, BUFFER_COUNT));
}

ssize_t hqq_standard_pending(const hqq_standard *handle)
{
	return number_of(handle, PENDING);
}

int hqq_standard_fd(const hqq_standard *handle)
{
	return (int)number_of(handle, DESCRIPTOR);
}

const char *hqq_standard_name(const hqq_standard *handle)
{
	struct hqq_seat *seat = NULL;
	int rc;
	hqq_standard *h = enter(handle, &seat, &rc);
	const char *name;

	if (!h)
		return NULL;
	name = h->link.segment.name[0] ? h->link.segment.name : NULL;
	hqq_link_leave(seat);
	return name;
}

size_t hqq_standard_large_message_threshold(const hqq_standard *handle)
{
	return hqq_large_message_threshold(hqq_standard_buffer_size(handle));
}

bool hqq_standard_is_large_message(const hqq_standard *handle, size_t payload_size)
{
	const size_t buffer_size = hqq_standard_buffer_size(handle);

	return buffer_size && hqq_is_large_message(buffer_size, payload_size);
}

int hqq_standard_stats(const hqq_standard *handle, struct hqq_stats *stats)
{
	struct hqq_seat *seat = NULL;
	int rc;
	hqq_standard *h = stats ? enter(handle, &seat, &rc) : NULL;
	const struct hqq_seats *seats;

	if (!h)
		return stats ? rc : HQQ_ERR_INVALID_OP;
	seats = &h->link.seats;
	memset(stats, 0, sizeof(*stats));
	stats->sent_messages = hqq_seats_sum(seats, HQQ_COUNT_SENT_MESSAGES);
	stats->sent_bytes = hqq_seats_sum(seats, HQQ_COUNT_SENT_BYTES);
	stats->received_messages = hqq_seats_sum(seats, HQQ_COUNT_RECEIVED_MESSAGES);
	stats->received_bytes = hqq_seats_sum(seats, HQQ_COUNT_RECEIVED_BYTES);
	stats->tombstones = hqq_seats_sum(seats, HQQ_COUNT_TOMBSTONES);
	stats->full_waits = hqq_seats_sum(seats, HQQ_COUNT_FULL_WAITS);
	stats->empty_waits = hqq_seats_sum(seats, HQQ_COUNT_EMPTY_WAITS);
	stats->sleeps = hqq_seats_sum(seats, HQQ_COUNT_SLEEPS);
	stats->wakes = hqq_seats_sum(seats, HQQ_COUNT_WAKES);
	stats->refused_packets = hqq_seats_sum(seats, HQQ_COUNT_REFUSED);
	stats->recovered_slots = atomic_load_explicit(&h->link.mended, memory_order_relaxed);
	stats->lost_messages = atomic_load_explicit(&h->link.lost, memory_order_relaxed);
	hqq_link_leave(seat);
	return 0;
}
