/*
 * recover.h - finishing what the dead left unfinished
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_RECOVER_H
#define HQQ_LIB_RECOVER_H

#include "endpoint.h"
#include "ring.h"

struct hqq_mended {
	unsigned slots; /* positions finished */
	unsigned lost;  /* of these, messages that a dead reader had taken */
	bool unfinished; /* another is at it, or a living thread may still own something: look again */
};

/*
 * Looks for dead endpoints, finishes their positions and frees their entries. Returns at once with
 * nothing done when another living endpoint is at it. rings are by direction. One thread of an
 * endpoint at a time.
 */
struct hqq_mended hqq_recover(struct hqq_endpoint *endpoint, const struct hqq_ring rings[2]);

/*
 * For an entry that was inherited: finishes what the dead predecessor left, before its lanes are
 * used. false when another endpoint was at repair all the time allowed.
 */
bool hqq_recover_inherited(struct hqq_endpoint *endpoint, const struct hqq_ring rings[2], struct hqq_mended *mended);

/* For an endpoint that closes: finishes the reservations that it still holds. */
struct hqq_mended hqq_recover_own(struct hqq_endpoint *endpoint, const struct hqq_ring rings[2]);

#endif /* HQQ_LIB_RECOVER_H */
