/*
 * recover.c - exact, restartable repair
 *
 * Promised:
 *   A. A position is finished for another only if its owner is dead by the kernel's word. A claimed
 *      position that any living lane or tag names is left alone.
 *   B. A dead writer's position becomes a tombstone, a dead reader's is released and its message
 *      counted as lost; nobody sees a half-written message.
 *   C. Dying in here at any point loses nothing: the entry of the dead stays until all of its
 *      positions are finished, every step may be done twice, and the repair lock passes to
 *      whoever finds its holder dead.
 *
 * Why the look is exact: an owner stores its lane, then moves the cursor, then publishes (or tags
 * the slot), then reuses the lane. We load the cursor, then sequence, lanes and tag, then the
 * sequence again. If the position is still unfinished at the end, its owner's lane or tag named it
 * all the while, so we have seen it. Endpoints of other implementations have no lanes; a position
 * that no dead lane or tag names is never touched.
 *
 * One repairer at a time writes (the repair lock): a tombstone is more than one word. Who joins in
 * the entry of a dead one takes the lock before it uses the lanes, so the set of the dead that a
 * repairer found under the lock stays true while it holds it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "clock.h"
#include "recover.h"
#include "wait.h"

#define INHERIT_WAIT_NS HQQ_NS_PER_SEC /* for another repairer to finish */

struct repair {
	struct hqq_endpoint *endpoint;
	const struct hqq_ring *rings;
	uint64_t dead; /* bit per entry */
	uint64_t identities[HQQ_ENDPOINTS];
	bool again;    /* a living thread may still own something: look later */
	struct hqq_mended mended;
};

static bool is_dead(const struct repair *repair, unsigned index)
{
	return repair->dead >> index & 1;
}

/* The repair lock: ours, taken from the dead, or somebody else's. */
static bool lock_repair(struct hqq_endpoint *endpoint)
{
	_Atomic uint64_t *lock = &endpoint->extension->repair;
	uint64_t mine = endpoint->index + 1;
	uint64_t holder = atomic_load_explicit(lock, memory_order_acquire);

	if (holder == mine) /* a dead predecessor in our entry held it */
		return true;
	if (holder && holder <= HQQ_ENDPOINTS && hqq_endpoint_liveness(endpoint, (unsigned)holder - 1) != HQQ_DEAD)
		return false;
	/* acquire pairs with the release in unlock_repair() */
	return atomic_compare_exchange_strong_explicit(lock, &holder, mine, memory_order_acq_rel, memory_order_relaxed);
}

static void unlock_repair(struct hqq_endpoint *endpoint)
{
	atomic_store_explicit(&endpoint->extension->repair, 0, memory_order_release);
}

/* A lane of a living (or dead) endpoint on that side names the position. */
static bool is_in_lane(const struct repair *repair, bool dead, int mode, enum hqq_claim_kind kind, uint64_t position)
{
	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		struct hqq_entry *entry = &repair->endpoint->extension->entries[index];
		uint64_t identity = atomic_load_explicit(&entry->identity, memory_order_acquire);

		if (!identity || hqq_identity_mode(identity) != mode || is_dead(repair, index) != dead)
			continue;
		for (unsigned lane = 0; lane < HQQ_LANES; lane++) {
			/* acquire pairs with the release of a lane's next use (ring.h, C) */
			uint64_t word = atomic_load_explicit(&entry->lanes[lane], memory_order_acquire);

			if (hqq_claim_covers(word, kind, position))
				return true;
		}
	}
	return false;
}

/* Whose position is this? */
enum owner {
	OWNER_UNKNOWN, /* living, or of another implementation */
	OWNER_UNDECIDED,
	OWNER_DEAD
};

static enum owner owner_of(const struct repair *repair, const struct hqq_ring *ring, int mode,
                           enum hqq_claim_kind kind, uint64_t position)
{
	struct hqq_element *element = hqq_ring_element(ring, position);
	bool dead_lane = is_in_lane(repair, true, mode, kind, position);
	bool living_lane = is_in_lane(repair, false, mode, kind, position);
	uint64_t tag = le64toh(atomic_load_explicit(&element->packet[HQQ_WORD_TAG], memory_order_acquire));

	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		if (tag == hqq_claim_tag(kind, index, position))
			return is_dead(repair, index) ? OWNER_DEAD : OWNER_UNKNOWN;
	}
	if (!dead_lane)
		return OWNER_UNKNOWN;
	return living_lane ? OWNER_UNDECIDED : OWNER_DEAD;
}

/* Finishes a dead owner's position. false: it was finished already. */
static bool finish(const struct hqq_ring *ring, enum hqq_claim_kind kind, uint64_t position)
{
	struct hqq_element *element = hqq_ring_element(ring, position);
	uint64_t turn = hqq_ring_turn(kind, position);
	uint64_t next = kind == HQQ_CLAIM_WRITE ? position + 1 : position + ring->mask + 1;

	if (atomic_load_explicit(&element->sequence, memory_order_acquire) != turn)
		return false;
	if (kind == HQQ_CLAIM_WRITE) /* copy id 0: no endpoint counts it as its own */
		hqq_packet_set_standard(element, HQQ_OP_STANDARD_TOMBSTONE, 0, hqq_ring_slot(ring, position),
		                        hqq_error_to_code(HQQ_ERR_INVALID_OP));
	/* release: as publish and release in ring.h */
	return atomic_compare_exchange_strong_explicit(&element->sequence, &turn, next, memory_order_release,
	                                               memory_order_relaxed);
}

/* Every claimed and unfinished position of one kind in one ring: at most one lap. */
static void mend_ring(struct repair *repair, int direction, enum hqq_claim_kind kind)
{
	const struct hqq_ring *ring = &repair->rings[direction];
	int mode = kind == HQQ_CLAIM_WRITE ? direction : 1 - direction;
	/* acquire pairs with the release of the claim: the owners' lanes are visible */
	uint64_t cursor = atomic_load_explicit(hqq_ring_cursor(ring, kind), memory_order_acquire);

	for (uint64_t position = cursor - ring->mask - 1; position != cursor; position++) {
		if (!hqq_ring_is_turn(ring, kind, position))
			continue;
		switch (owner_of(repair, ring, mode, kind, position)) {
		case OWNER_DEAD:
			if (finish(ring, kind, position)) {
				repair->mended.slots++;
				if (kind == HQQ_CLAIM_READ)
					repair->mended.lost++;
			}
			break;
		case OWNER_UNDECIDED:
			repair->again = true;
			break;
		case OWNER_UNKNOWN:
			break;
		}
	}
}

static void mend_dead(struct repair *repair)
{
	struct hqq_extension *extension = repair->endpoint->extension;
	const struct hqq_mended before = repair->mended;

	for (int direction = 0; direction < 2; direction++) {
		mend_ring(repair, direction, HQQ_CLAIM_WRITE);
		mend_ring(repair, direction, HQQ_CLAIM_READ);
	}
	atomic_fetch_add_explicit(&extension->mended, repair->mended.slots - before.slots, memory_order_relaxed);
	atomic_fetch_add_explicit(&extension->lost, repair->mended.lost - before.lost, memory_order_relaxed);
}

/* The dead among the others, by entry. */
static void find_dead(struct repair *repair)
{
	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		struct hqq_entry *entry = &repair->endpoint->extension->entries[index];

		repair->identities[index] = atomic_load_explicit(&entry->identity, memory_order_acquire);
		if (repair->identities[index] && index != repair->endpoint->index &&
		    hqq_endpoint_liveness(repair->endpoint, index) == HQQ_DEAD)
			repair->dead |= UINT64_C(1) << index;
	}
}

static void free_dead(struct repair *repair)
{
	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		if (is_dead(repair, index))
			hqq_endpoint_clear(repair->endpoint->extension, index, repair->identities[index]);
	}
}

struct hqq_mended hqq_recover(struct hqq_endpoint *endpoint, const struct hqq_ring rings[2])
{
	struct repair repair = {.endpoint = endpoint, .rings = rings};

	if (!lock_repair(endpoint))
		return repair.mended;
	find_dead(&repair);
	if (repair.dead) {
		mend_dead(&repair);
		if (!repair.again)
			free_dead(&repair);
	}
	unlock_repair(endpoint);
	if (repair.dead) {
		for (unsigned i = 0; i < 4; i++)
			hqq_bell_wake_all(&endpoint->extension->bells[i / 2][i % 2]);
	}
	return repair.mended;
}

bool hqq_recover_inherited(struct hqq_endpoint *endpoint, const struct hqq_ring rings[2], struct hqq_mended *mended)
{
	struct repair repair = {.endpoint = endpoint, .rings = rings, .dead = UINT64_C(1) << endpoint->index};
	const uint64_t deadline = hqq_clock_after(INHERIT_WAIT_NS);
	const struct timespec pause = hqq_clock_timespec(HQQ_NS_PER_MS);

	do {
		if (hqq_clock_passed(deadline, hqq_clock_now()))
			return false;
		if (repair.again)
			nanosleep(&pause, NULL);
		repair.again = !lock_repair(endpoint);
		if (!repair.again) {
			mend_dead(&repair);
			unlock_repair(endpoint);
		}
	} while (repair.again); /* another repairs, or a living thread stands between two stores */
	for (unsigned lane = 0; lane < HQQ_LANES; lane++)
		atomic_store_explicit(&endpoint->extension->entries[endpoint->index].lanes[lane], 0,
		                      memory_order_release);
	*mended = repair.mended;
	return true;
}

struct hqq_mended hqq_recover_own(struct hqq_endpoint *endpoint, const struct hqq_ring rings[2])
{
	struct repair repair = {.endpoint = endpoint, .rings = rings, .dead = UINT64_C(1) << endpoint->index};

	mend_dead(&repair); /* without the lock: nobody else touches what a living endpoint holds */
	return repair.mended;
}
