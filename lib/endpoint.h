/*
 * endpoint.h - this handle's place in the table of endpoints
 *
 * Owes its callers: an entry belongs to one endpoint at a time; it is given to another only after
 * its owner left or was found dead (liveness.h) and what it held has been mended (recover.h).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_ENDPOINT_H
#define HQQ_LIB_ENDPOINT_H

#include "extension.h"
#include "liveness.h"
#include <hqq/common.h>

struct hqq_endpoint {
	struct hqq_extension *extension;
	unsigned index; /* of our entry */
	int lock_fd;    /* our own open file description of the segment, or -1 */
	bool inherited; /* the entry was a dead endpoint's and still holds its lanes */
};

/*
 * Takes an entry for a mode, with HQQ_ENTRY_* flags. -EUSERS when the table is full of the living;
 * -EBUSY when somebody lives on the same side and either of us asked to be alone.
 */
int hqq_endpoint_join(struct hqq_endpoint *endpoint, enum hqq_mode mode, unsigned flags);

/*
 * Gives the entry up. clean: nothing is claimed in its name any more, so it is free at once; else
 * it waits, as a dead one, for somebody to mend what it holds.
 */
void hqq_endpoint_leave(struct hqq_endpoint *endpoint, bool clean);

/* What the kernel says of an entry. A free one is dead. */
enum hqq_liveness hqq_endpoint_liveness(const struct hqq_endpoint *endpoint, unsigned index);

/* Some other endpoint serves that mode and is not known to be dead. */
bool hqq_endpoint_has_company(const struct hqq_endpoint *endpoint, enum hqq_mode mode);

/* Who that is, once it has joined for good: hqq_identity_who(), or 0. */
uint64_t hqq_endpoint_find(const struct hqq_endpoint *endpoint, enum hqq_mode mode);

/* The endpoint that was found is not known to be dead, and has not left. */
bool hqq_endpoint_is_there(const struct hqq_endpoint *endpoint, uint64_t who);

/* No other entry, be its endpoint alive or dead, has lanes of that side. */
bool hqq_endpoint_is_lone(const struct hqq_endpoint *endpoint, enum hqq_mode mode);

/* How many endpoints of that mode have joined since the segment was made. */
uint64_t hqq_endpoint_joined(const struct hqq_endpoint *endpoint, enum hqq_mode mode);

/*
 * What a predecessor held is mended: from now on our lanes are ours. Under the repair lock, since a
 * repairer takes what an heir inherited for the dead's.
 */
void hqq_endpoint_settle(struct hqq_endpoint *endpoint);

/* Clears an entry: its lanes, its marks, then its identity if that is still the one given. */
void hqq_endpoint_clear(struct hqq_extension *extension, unsigned index, uint64_t identity);

#endif /* HQQ_LIB_ENDPOINT_H */
