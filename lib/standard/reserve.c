/*
 * standard/reserve.c - slots that a caller holds for as long as it likes
 *
 * A held slot carries a tag (ring.h), so that the thread's lane is free for other calls meanwhile
 * and the slot can be finished for an owner that died.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "standard/message.h"

/* What the opaque words of a reservation hold. */
enum {
	HANDLE,
	GENERATION,
	POSITION,
	SEAL,  /* tells a live reservation from a finished one and from random bytes */
	SAVED, /* write: the copy id; read: the packet's word that the tag replaced */
	OPAQUE_WORDS
};

_Static_assert(sizeof(((struct hqq_reservation *)0)->opaque) == OPAQUE_WORDS * sizeof(uint64_t), "opaque words");

#define SEAL_BASE UINT64_C(0x4851515245534552)

static uint64_t seal(const struct hqq_reservation *reservation, enum hqq_claim_kind kind)
{
	return SEAL_BASE ^ (uint64_t)kind ^ reservation->opaque[HANDLE] ^ reservation->opaque[POSITION] << 8;
}

static void hold(hqq_standard *handle, struct hqq_reservation *reservation, enum hqq_claim_kind kind,
                 uint64_t position, size_t size)
{
	const struct hqq_ring *ring = hqq_link_ring(&handle->link, kind);

	reservation->opaque[SAVED] = kind == HQQ_CLAIM_WRITE
	                                     ? hqq_link_copy_id(&handle->link)
	                                     : hqq_packet_get(hqq_ring_element(ring, position), HQQ_WORD_TAG);
	hqq_ring_tag(ring, position, hqq_claim_tag(kind, handle->link.endpoint.index, position));
	reservation->data = hqq_ring_buffer(ring, position);
	reservation->size = size;
	reservation->slot = hqq_ring_slot(ring, position);
	reservation->opaque[HANDLE] = (uintptr_t)handle;
	reservation->opaque[GENERATION] =
		atomic_load_explicit(&handle->link.seats.generation, memory_order_relaxed);
	reservation->opaque[POSITION] = position;
	reservation->opaque[SEAL] = seal(reservation, kind);
}

static int reserve(hqq_standard *handle, struct hqq_reservation *reservation, enum hqq_claim_kind kind)
{
	struct hqq_seat *seat = NULL;
	uint64_t position = 0;
	ssize_t rc;

	if (!reservation)
		return HQQ_ERR_INVALID_OP;
	reservation->opaque[SEAL] = 0; /* if we fail, finishing it is INVALID_OP */
	rc = hqq_link_enter(hqq_standard_link(handle), &seat);
	if (rc)
		return (int)rc;
	if (kind == HQQ_CLAIM_READ)
		rc = hqq_standard_claim_message(handle, &seat, &position);
	else
		rc = hqq_standard_claim_run(handle, &seat, kind, 1, &position);
	if (rc > 0)
		hold(handle, reservation, kind, position,
		     kind == HQQ_CLAIM_READ ? (size_t)rc : handle->link.geometry.buffer_size);
	if (kind == HQQ_CLAIM_READ)
		hqq_event_update(&handle->event);
	hqq_link_leave(seat);
	return rc > 0 ? 0 : (int)rc;
}

int hqq_standard_reserve_write(hqq_standard *handle, struct hqq_reservation *reservation)
{
	return reserve(handle, reservation, HQQ_CLAIM_WRITE);
}

int hqq_standard_reserve_read(hqq_standard *handle, struct hqq_reservation *reservation)
{
	return reserve(handle, reservation, HQQ_CLAIM_READ);
}

/* Ends a reservation of that kind: from here on the slot is ours to finish. */
static bool end(hqq_standard *handle, struct hqq_seat *seat, struct hqq_reservation *reservation,
                enum hqq_claim_kind kind)
{
	const uint64_t position = reservation->opaque[POSITION];

	/* of a handle closed since, or finished through a copy of the struct */
	if (reservation->opaque[GENERATION] !=
	            atomic_load_explicit(&handle->link.seats.generation, memory_order_relaxed) ||
	    !hqq_ring_is_turn(hqq_link_ring(&handle->link, kind), kind, position))
		return false;
	reservation->opaque[SEAL] = 0;
	hqq_ring_take_over(seat->lane, kind, position);
	return true;
}

/* The same, from outside a call: enters and finds the handle. */
static int begin_finish(struct hqq_reservation *reservation, enum hqq_claim_kind kind, hqq_standard **handle,
                        struct hqq_seat **seat)
{
	int rc;

	if (!reservation || !reservation->opaque[SEAL] || reservation->opaque[SEAL] != seal(reservation, kind))
		return HQQ_ERR_INVALID_OP;
	*handle = (hqq_standard *)(uintptr_t)reservation->opaque[HANDLE];
	rc = hqq_link_enter_always(&(*handle)->link, seat);
	if (rc)
		return rc;
	if (end(*handle, *seat, reservation, kind))
		return 0;
	hqq_link_leave(*seat);
	return HQQ_ERR_INVALID_OP;
}

int hqq_standard_commit(struct hqq_reservation *reservation, size_t size)
{
	hqq_standard *handle;
	struct hqq_seat *seat = NULL;
	int rc = begin_finish(reservation, HQQ_CLAIM_WRITE, &handle, &seat);

	if (rc)
		return rc;
	rc = hqq_standard_publish_checked(handle, seat, reservation->opaque[POSITION], reservation->opaque[SAVED], size);
	hqq_link_leave(seat);
	return rc;
}

int hqq_standard_abort(struct hqq_reservation *reservation, uint64_t code)
{
	hqq_standard *handle;
	struct hqq_seat *seat = NULL;
	int rc = begin_finish(reservation, HQQ_CLAIM_WRITE, &handle, &seat);

	if (rc)
		return rc;
	hqq_standard_bury(handle, seat, reservation->opaque[POSITION], reservation->opaque[SAVED],
	                  code ? code : hqq_error_to_code(HQQ_ERR_INVALID_OP));
	hqq_link_leave(seat);
	return 0;
}

int hqq_standard_release(struct hqq_reservation *reservation)
{
	const struct hqq_ring *ring;
	hqq_standard *handle;
	struct hqq_seat *seat = NULL;
	int rc = begin_finish(reservation, HQQ_CLAIM_READ, &handle, &seat);

	if (rc)
		return rc;
	ring = hqq_link_ring(&handle->link, HQQ_CLAIM_READ);
	/* the packet as its writer left it */
	hqq_packet_set(hqq_ring_element(ring, reservation->opaque[POSITION]), HQQ_WORD_TAG,
	               reservation->opaque[SAVED]);
	hqq_ring_touch(ring, hqq_ring_buffer(ring, reservation->opaque[POSITION]), reservation->size);
	hqq_standard_finish_read(handle, seat, reservation->opaque[POSITION], reservation->size);
	hqq_link_leave(seat);
	return 0;
}
