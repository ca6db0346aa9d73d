/*
 * standard/reserve.c - slots that a caller holds for as long as it likes, and callbacks over them
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

static int reserve_seated(hqq_standard *handle, struct hqq_seat **seat, struct hqq_reservation *reservation,
                          enum hqq_claim_kind kind)
{
	uint64_t position = 0;
	ssize_t rc;

	if (kind == HQQ_CLAIM_READ)
		rc = hqq_standard_claim_message(handle, seat, &position);
	else
		rc = hqq_standard_claim_run(handle, seat, kind, 1, &position);
	if (rc < 0)
		return (int)rc;
	hold(handle, reservation, kind, position,
	     kind == HQQ_CLAIM_READ ? (size_t)rc : handle->link.geometry.buffer_size);
	return 0;
}

static int reserve(hqq_standard *handle, struct hqq_reservation *reservation, enum hqq_claim_kind kind)
{
	struct hqq_seat *seat = NULL;
	int rc;

	if (!reservation)
		return HQQ_ERR_INVALID_OP;
	reservation->opaque[SEAL] = 0; /* if we fail, finishing it is INVALID_OP */
	rc = hqq_link_enter(hqq_standard_link(handle), &seat);
	if (rc)
		return rc;
	rc = reserve_seated(handle, &seat, reservation, kind);
	if (kind == HQQ_CLAIM_READ)
		hqq_event_update(&handle->event);
	hqq_link_leave(seat);
	return rc;
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

/* Publishes a written slot of 1..buffer_size bytes; anything else leaves a tombstone and is an error. */
static int commit_seated(hqq_standard *handle, struct hqq_seat *seat, const struct hqq_reservation *reservation,
                         size_t size)
{
	const uint64_t position = reservation->opaque[POSITION], copy_id = reservation->opaque[SAVED];
	const int rc = size == 0                                      ? HQQ_ERR_INVALID_SIZE
	               : size > handle->link.geometry.buffer_size ? HQQ_ERR_BUFFER_OVERFLOW
	                                                              : 0;

	if (rc)
		hqq_standard_bury(handle, seat, position, copy_id, hqq_error_to_code(rc));
	else
		hqq_standard_publish(handle, seat, position, copy_id, size);
	return rc;
}

static void release_seated(hqq_standard *handle, struct hqq_seat *seat, const struct hqq_reservation *reservation)
{
	const uint64_t position = reservation->opaque[POSITION];

	/* the packet as its writer left it */
	hqq_packet_set(hqq_ring_element(hqq_link_ring(&handle->link, HQQ_CLAIM_READ), position), HQQ_WORD_TAG,
	               reservation->opaque[SAVED]);
	hqq_standard_finish_read(handle, seat, position, reservation->size);
}

int hqq_standard_commit(struct hqq_reservation *reservation, size_t size)
{
	hqq_standard *handle;
	struct hqq_seat *seat = NULL;
	int rc = begin_finish(reservation, HQQ_CLAIM_WRITE, &handle, &seat);

	if (rc)
		return rc;
	rc = commit_seated(handle, seat, reservation, size);
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
	hqq_standard *handle;
	struct hqq_seat *seat = NULL;
	int rc = begin_finish(reservation, HQQ_CLAIM_READ, &handle, &seat);

	if (rc)
		return rc;
	release_seated(handle, seat, reservation);
	hqq_link_leave(seat);
	return 0;
}

/* A callback came back in a child of fork(): the slot is the parent's, the handle maybe gone. */
static bool is_forked(const hqq_standard *handle, const struct hqq_reservation *reservation, struct hqq_seat *seat,
                      struct hqq_outside *outside)
{
	const enum hqq_gate_state state = hqq_gate_state(&handle->link.gate);
	const bool reused = reservation->opaque[GENERATION] !=
	                    atomic_load_explicit(&handle->link.seats.generation, memory_order_relaxed);

	if (HQQ_LIKELY(!reused && state != HQQ_GATE_FORKED && state != HQQ_GATE_CLOSED))
		return false; /* in the process of the call, nobody gets through with closing it meanwhile */
	hqq_seat_drop(seat, outside, reused);
	return true;
}

ssize_t hqq_standard_read_zero_copy(hqq_standard *handle, hqq_read_fn *function, void *argument)
{
	struct hqq_reservation reservation;
	struct hqq_outside outside;
	struct hqq_seat *seat = NULL;
	ssize_t rc = hqq_link_enter(hqq_standard_link(handle), &seat);

	if (rc)
		return rc;
	rc = function ? reserve_seated(handle, &seat, &reservation, HQQ_CLAIM_READ) : HQQ_ERR_INVALID_OP;
	if (rc == 0) {
		hqq_seat_step_out(seat, &outside);
		rc = function(reservation.data, reservation.size, argument);
		if (HQQ_UNLIKELY(is_forked(handle, &reservation, seat, &outside)))
			return HQQ_ERR_FORKED;
		seat = hqq_seat_step_in(seat, &outside);
		hqq_ring_take_over(seat->lane, HQQ_CLAIM_READ, reservation.opaque[POSITION]);
		release_seated(handle, seat, &reservation);
		if (rc >= 0)
			rc = (ssize_t)reservation.size;
	}
	hqq_event_update(&handle->event);
	hqq_link_leave(seat);
	return rc;
}

ssize_t hqq_standard_write_zero_copy(hqq_standard *handle, hqq_write_fn *function, void *argument)
{
	struct hqq_reservation reservation;
	struct hqq_outside outside;
	struct hqq_seat *seat = NULL;
	ssize_t rc = hqq_link_enter(hqq_standard_link(handle), &seat);

	if (rc)
		return rc;
	rc = function ? reserve_seated(handle, &seat, &reservation, HQQ_CLAIM_WRITE) : HQQ_ERR_INVALID_OP;
	if (rc == 0) {
		hqq_seat_step_out(seat, &outside);
		rc = function(reservation.data, reservation.size, argument);
		if (HQQ_UNLIKELY(is_forked(handle, &reservation, seat, &outside)))
			return HQQ_ERR_FORKED;
		seat = hqq_seat_step_in(seat, &outside);
		hqq_ring_take_over(seat->lane, HQQ_CLAIM_WRITE, reservation.opaque[POSITION]);
		if (rc < 0) {
			hqq_standard_bury(handle, seat, reservation.opaque[POSITION], reservation.opaque[SAVED],
			                  hqq_error_to_code(rc > INT32_MIN ? (int)rc : HQQ_ERR_INVALID_OP));
		} else {
			int committed = commit_seated(handle, seat, &reservation, (size_t)rc);

			rc = committed ? committed : rc;
		}
	}
	hqq_link_leave(seat);
	return rc;
}
