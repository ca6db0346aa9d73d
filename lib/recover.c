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
 * Why the look is exact: an owner stores its lane, then moves the cursor, then publishes, or tags
 * the slot, then reuses the lane; a tag goes only after a lane names the position again. We load the
 * cursor, then sequence, lanes, tag, once more the lanes, then the sequence again. If the position
 * is still unfinished at the end, its owner's lane or tag named it all the while, so we have seen
 * it. Endpoints of other implementations have no lanes; a position that no dead lane or tag names is
 * never touched.
 *
 * One repairer at a time writes (the repair lock): a tombstone is more than one word. It overwrites
 * the tag, so the position that is being buried is noted before; the next repairer begins with it. Who
 * joins in the entry of a dead one inherits its lanes and says so; it takes the lock before it uses them,
 * so the set of the dead that a repairer found under the lock stays true while it holds it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "clock.h"
#include "recover.h"
#include "wait.h"

#define INHERIT_WAIT_NS HQQ_NS_PER_SEC /* for another repairer to finish */

#define LOCK_HOLDER UINT64_C(0xff) /* extension.h, repair */
#define LOCK_TURN UINT64_C(0x100)

struct repair {
	struct hqq_endpoint *endpoint;
	const struct hqq_ring *rings;
	_Atomic uint64_t *lane; /* of our own, for what we bury without the lock; NULL: with it */
	uint64_t dead;          /* bit per entry: what its lanes and tags name is to be mended */
	uint64_t vacant;        /* those of them to be freed then: no heir has them */
	uint64_t identities[HQQ_ENDPOINTS];
	bool again; /* a living thread may still own something: look later */
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
	const uint64_t mine = endpoint->index + 1;
	uint64_t word = atomic_load_explicit(lock, memory_order_acquire);
	const uint64_t holder = word & LOCK_HOLDER;

	/* mine: a dead predecessor in our entry held it */
	if (holder && holder != mine && holder <= HQQ_ENDPOINTS &&
	    hqq_endpoint_liveness(endpoint, (unsigned)holder - 1) != HQQ_DEAD)
		return false;
	/*
	 * Acquire pairs with the release in unlock_repair(). The turns make sure that the holder which
	 * we saw dead is still the same one, and not its heir.
	 */
	return atomic_compare_exchange_strong_explicit(lock, &word, (word & ~LOCK_HOLDER) + LOCK_TURN + mine,
	                                               memory_order_acq_rel, memory_order_relaxed);
}

static void unlock_repair(struct hqq_endpoint *endpoint)
{
	_Atomic uint64_t *lock = &endpoint->extension->repair;

	/* relaxed: while we hold it, nobody else changes it */
	atomic_store_explicit(lock, atomic_load_explicit(lock, memory_order_relaxed) & ~LOCK_HOLDER,
	                      memory_order_release);
}

/* A lane of a living (or dead) endpoint on that side names the position. */
static bool is_in_lane(const struct repair *repair, bool dead, int mode, enum hqq_claim_kind kind, uint64_t position)
{
	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		struct hqq_entry *entry = &repair->endpoint->extension->entries[index];
		uint64_t identity = atomic_load_explicit(&entry->identity, memory_order_acquire);

		if (hqq_identity_is_free(identity) || hqq_identity_lanes_mode(identity) != mode ||
		    is_dead(repair, index) != dead)
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

/* The word names an endpoint as the one that holds this position. */
static bool is_tag(uint64_t word, enum hqq_claim_kind kind, uint64_t position)
{
	const unsigned index = hqq_claim_tag_endpoint(word);

	return index < HQQ_ENDPOINTS && word == hqq_claim_tag(kind, index, position);
}

static enum owner owner_of(const struct repair *repair, int direction, int mode, enum hqq_claim_kind kind,
                           uint64_t position)
{
	struct hqq_element *element = hqq_ring_element(&repair->rings[direction], position);
	bool dead_lane = is_in_lane(repair, true, mode, kind, position);
	bool living_lane = is_in_lane(repair, false, mode, kind, position);
	/* acquire, here and below: a tag that is gone shows what named the position before it went */
	uint64_t tag = le64toh(atomic_load_explicit(&element->packet[HQQ_WORD_TAG], memory_order_acquire));

	if (is_tag(tag, kind, position))
		return is_dead(repair, hqq_claim_tag_endpoint(tag)) ? OWNER_DEAD : OWNER_UNKNOWN;
	dead_lane = dead_lane || is_in_lane(repair, true, mode, kind, position);
	living_lane = living_lane || is_in_lane(repair, false, mode, kind, position);
	if (!dead_lane)
		return OWNER_UNKNOWN;
	return living_lane ? OWNER_UNDECIDED : OWNER_DEAD;
}

/* A dead writer's slot becomes a tombstone; published later. */
static void bury(const struct repair *repair, int direction, uint64_t position)
{
	const struct hqq_ring *ring = &repair->rings[direction];

	if (repair->lane) {
		hqq_ring_take_over(repair->lane, HQQ_CLAIM_WRITE, position);
	} else { /* as in a lane, but that its count tells the direction */
		atomic_store_explicit(&repair->endpoint->extension->burial,
		                      hqq_claim_word(HQQ_CLAIM_WRITE, position, (uint32_t)direction + 1),
		                      memory_order_release);
		atomic_thread_fence(memory_order_release); /* before the tag goes */
	}
	/* copy id 0: no endpoint counts it as its own */
	hqq_packet_set_standard(hqq_ring_element(ring, position), HQQ_OP_STANDARD_TOMBSTONE, 0,
	                        hqq_ring_slot(ring, position), hqq_error_to_code(HQQ_ERR_INVALID_OP));
}

/* Finishes a dead owner's position. false: it was finished already. */
static bool finish(const struct repair *repair, int direction, enum hqq_claim_kind kind, uint64_t position)
{
	const struct hqq_ring *ring = &repair->rings[direction];
	struct hqq_element *element = hqq_ring_element(ring, position);
	uint64_t turn = hqq_ring_turn(kind, position);
	uint64_t next = kind == HQQ_CLAIM_WRITE ? position + 1 : position + ring->mask + 1;

	if (atomic_load_explicit(&element->sequence, memory_order_acquire) != turn)
		return false;
	if (kind == HQQ_CLAIM_WRITE)
		bury(repair, direction, position);
	/* release: as publish and release in ring.h */
	return atomic_compare_exchange_strong_explicit(&element->sequence, &turn, next, memory_order_release,
	                                               memory_order_relaxed);
}

static void mend_position(struct repair *repair, int direction, enum hqq_claim_kind kind, uint64_t position)
{
	const int mode = kind == HQQ_CLAIM_WRITE ? direction : 1 - direction;

	if (!hqq_ring_is_turn(&repair->rings[direction], kind, position)) /* finished */
		return;
	switch (owner_of(repair, direction, mode, kind, position)) {
	case OWNER_DEAD:
		if (finish(repair, direction, kind, position)) {
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

/* What a lane of the dead names, as far as it is claimed, and not longer than a lap ago. */
static void mend_lane(struct repair *repair, int direction, enum hqq_claim_kind kind, uint64_t word, uint64_t cursor)
{
	uint64_t position = hqq_claim_position(word, cursor);

	if (hqq_claim_kind(word) != kind)
		return;
	for (uint32_t n = hqq_claim_count(word); n > 0; n--, position++) {
		if (cursor - position - 1 <= repair->rings[direction].mask)
			mend_position(repair, direction, kind, position);
	}
}

/*
 * Every position of one kind in one ring that a lane or a tag of the dead names: at most one lap. The other
 * claimed ones are not asked for their owner, which takes its time: a hostile peer makes a whole ring look so.
 */
static void mend_ring(struct repair *repair, int direction, enum hqq_claim_kind kind)
{
	const struct hqq_ring *ring = &repair->rings[direction];
	/* acquire pairs with the release of the claim: the owners' lanes are visible */
	const uint64_t cursor = atomic_load_explicit(hqq_ring_cursor(ring, kind), memory_order_acquire);

	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		struct hqq_entry *entry = &repair->endpoint->extension->entries[index];

		for (unsigned lane = 0; is_dead(repair, index) && lane < HQQ_LANES; lane++)
			mend_lane(repair, direction, kind,
			          atomic_load_explicit(&entry->lanes[lane], memory_order_acquire), cursor);
	}
	for (uint64_t position = cursor - ring->mask - 1; position != cursor; position++) {
		const uint64_t word = hqq_packet_get(hqq_ring_element(ring, position), HQQ_WORD_TAG);

		if (is_tag(word, kind, position) && is_dead(repair, hqq_claim_tag_endpoint(word)))
			mend_position(repair, direction, kind, position);
	}
}

/* What an earlier repairer began and died over: nothing else names that position. Needs the lock. */
static void finish_burial(struct repair *repair)
{
	const uint64_t word = atomic_load_explicit(&repair->endpoint->extension->burial, memory_order_acquire);
	const uint32_t direction = hqq_claim_count(word) - 1;
	const struct hqq_ring *ring = &repair->rings[direction & 1];
	const uint64_t cursor = atomic_load_explicit(ring->write_cursor, memory_order_acquire);
	const uint64_t position = hqq_claim_position(word, cursor);

	if (hqq_claim_kind(word) == HQQ_CLAIM_WRITE && direction <= 1 && cursor - position - 1 <= ring->mask &&
	    finish(repair, (int)direction, HQQ_CLAIM_WRITE, position))
		repair->mended.slots++;
}

static void mend_dead(struct repair *repair)
{
	struct hqq_extension *extension = repair->endpoint->extension;
	const struct hqq_mended before = repair->mended;

	if (!repair->lane)
		finish_burial(repair);
	for (int direction = 0; direction < 2; direction++) {
		mend_ring(repair, direction, HQQ_CLAIM_WRITE);
		mend_ring(repair, direction, HQQ_CLAIM_READ);
	}
	atomic_fetch_add_explicit(&extension->mended, repair->mended.slots - before.slots, memory_order_relaxed);
	atomic_fetch_add_explicit(&extension->lost, repair->mended.lost - before.lost, memory_order_relaxed);
}

/* The dead among the others, by entry, besides those that are known; also those who have an heir by now. */
static void find_dead(struct repair *repair)
{
	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		struct hqq_entry *entry = &repair->endpoint->extension->entries[index];
		const uint64_t identity = atomic_load_explicit(&entry->identity, memory_order_acquire);
		bool is_vacant;

		if (hqq_identity_is_free(identity) || index == repair->endpoint->index)
			continue;
		is_vacant = hqq_endpoint_liveness(repair->endpoint, index) == HQQ_DEAD;
		if (!is_vacant && hqq_identity_state(identity) != HQQ_ENTRY_INHERITING)
			continue;
		/* once more: the verdict may be on one who left meanwhile, and the entry another's by now */
		if (atomic_load_explicit(&entry->identity, memory_order_acquire) != identity)
			continue;
		repair->identities[index] = identity;
		repair->dead |= UINT64_C(1) << index;
		if (is_vacant)
			repair->vacant |= UINT64_C(1) << index;
	}
}

static void free_dead(struct repair *repair)
{
	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		if (repair->vacant >> index & 1)
			hqq_endpoint_clear(repair->endpoint->extension, index, repair->identities[index]);
	}
}

struct hqq_mended hqq_recover(struct hqq_endpoint *endpoint, const struct hqq_ring rings[2])
{
	struct repair repair = {.endpoint = endpoint, .rings = rings};

	if (!lock_repair(endpoint)) {
		repair.mended.unfinished = true;
		return repair.mended;
	}
	find_dead(&repair);
	if (repair.dead) {
		mend_dead(&repair);
		if (!repair.again)
			free_dead(&repair);
		repair.mended.unfinished = repair.again;
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
			/* others of an earlier round may live again */
			repair.dead = UINT64_C(1) << endpoint->index;
			repair.vacant = 0;
			find_dead(&repair); /* what others of them left could look like a living one's */
			mend_dead(&repair);
			if (!repair.again) {
				free_dead(&repair);
				hqq_endpoint_settle(endpoint);
			}
			unlock_repair(endpoint);
		}
	} while (repair.again); /* another repairs, or a living thread stands between two stores */
	*mended = repair.mended;
	return true;
}

struct hqq_mended hqq_recover_own(struct hqq_endpoint *endpoint, const struct hqq_ring rings[2])
{
	struct repair repair = {.endpoint = endpoint,
	                        .rings = rings,
	                        .lane = &endpoint->extension->entries[endpoint->index].lanes[0],
	                        .dead = UINT64_C(1) << endpoint->index};

	mend_dead(&repair); /* without the lock: nobody else touches what a living endpoint holds */
	return repair.mended;
}
