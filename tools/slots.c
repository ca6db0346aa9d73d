/*
 * slots.c - hqq doctor: the rings, slot by slot
 *
 * What a sequence word may be, for the slot of positions p, p + N, ... (hqq_protocol(7)):
 *
 *   p      with r <= p < r + N    free for the writer of p, and claimed by him once w has passed p
 *   p + 1  with w - N <= p < w    published, and claimed by the reader of p once r has passed p
 *
 * Cursors and words only ever grow. The lower bounds are taken from cursors read before the slots
 * and the upper bounds from cursors read behind them, so that traffic meanwhile cannot break them.
 *
 * Who holds a claimed position is looked up as recovery does it (lib/recover.c): a lane or a tag
 * names it from before the claim until it is finished. Lanes are read before the slots, and again
 * behind a slot that nobody seems to have: a claim that an earlier look has seen is named in one of
 * them, or by its tag.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "claim.h"
#include "diagnose.h"
#include "packet.h"
#include <inttypes.h>
#include <string.h>

#define CHUNK 256 /* slots read at a time */

const char topic_claim[] = "claim", topic_cursors[] = "cursors", topic_slots[] = "slots";

/* Neighbours that are claimed in the same way by the same owner. */
struct claim {
	enum hqq_claim_kind kind; /* HQQ_CLAIM_NONE: no run is open */
	uint64_t position, count;
	bool tagged;
	bool buried;     /* a repairer has begun to make a tombstone of it */
	uint64_t owners; /* entries whose lane names it, or the one in its tag */
};

/* One ring, while its slots go by. */
struct walk {
	int fd;
	struct look *look;
	int direction;
	struct ring_info before, after;
	struct claim claim;
	uint64_t odd_count, odd_slot, odd_word;           /* impossible sequence words, the first of them */
	uint64_t bad_count, bad_slot, bad_word, bad_size; /* packets that readers refuse */
};

static bool is_between(uint64_t x, uint64_t low, uint64_t high)
{
	return x - low < high - low;
}

static uint64_t slots_of(const struct walk *walk)
{
	return walk->look->info.geometry.buffer_count;
}

/* ---- whose claim is it? ---- */

/* Entries with a lane that names the position for that side. */
static uint64_t lane_owners(const struct hqq_extension *extension, int mode, enum hqq_claim_kind kind,
                            uint64_t position)
{
	uint64_t owners = 0;

	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		const struct hqq_entry *entry = &extension->entries[index];
		const uint64_t identity = atomic_load_explicit(&entry->identity, memory_order_relaxed);

		if (hqq_identity_is_free(identity) ||
		    hqq_identity_lanes_mode(identity) != mode)
			continue;
		for (unsigned lane = 0; lane < HQQ_LANES; lane++) {
			if (hqq_claim_covers(atomic_load_explicit(&entry->lanes[lane], memory_order_relaxed),
			                     kind, position))
				owners |= UINT64_C(1) << index;
		}
	}
	return owners;
}

/* The word that a repairer leaves of the position that it makes a tombstone of, see lib/recover.c. */
static bool is_buried(const struct walk *walk, enum hqq_claim_kind kind, uint64_t position)
{
	return kind == HQQ_CLAIM_WRITE &&
	       atomic_load_explicit(&walk->look->extension.burial, memory_order_relaxed) ==
	               hqq_claim_word(kind, position, (uint32_t)walk->direction + 1);
}

static struct claim claim_of(const struct walk *walk, enum hqq_claim_kind kind, uint64_t position,
                             const struct hqq_element *element)
{
	const int mode = kind == HQQ_CLAIM_WRITE ? walk->direction : 1 - walk->direction;
	const uint64_t tag = hqq_packet_get(element, HQQ_WORD_TAG);
	const struct look *look = walk->look;
	struct claim claim = {.kind = kind, .position = position, .count = 1};
	struct hqq_extension again;

	if (!look->has_extension)
		return claim;
	for (unsigned entry = 0; entry < HQQ_ENDPOINTS; entry++) {
		if (tag == hqq_claim_tag(kind, entry, position)) {
			claim.tagged = true;
			claim.owners = UINT64_C(1) << entry;
		}
	}
	claim.buried = !claim.tagged && is_buried(walk, kind, position);
	if (!claim.tagged && !claim.buried)
		claim.owners = lane_owners(&look->extension, mode, kind, position);
	/* tagged when the lanes were read, and named by a lane, on its way out, when the tag was */
	if (!claim.tagged && !claim.buried && !claim.owners && inspect_extension(walk->fd, &again))
		claim.owners = lane_owners(&again, mode, kind, position);
	/* nobody answers for entries that are free by now */
	claim.owners &= look->dead | look->unknown | look->living;
	return claim;
}

/* ---- what a claim means ---- */

static void say_owners(struct finding *finding, const struct look *look, uint64_t owners)
{
	const char *separator = "";

	for (unsigned entry = 0; entry < HQQ_ENDPOINTS; entry++) {
		if (!(owners >> entry & 1))
			continue;
		finding_say(finding, "%s", separator);
		say_endpoint(finding, look, entry);
		separator = " or ";
	}
}

/* "slots 2 to 4 (from position 10 on) are claimed and not published" */
static void say_claim(struct finding *finding, const struct walk *walk, const struct claim *claim)
{
	const uint64_t slot = claim->position & (slots_of(walk) - 1);
	const bool written = claim->kind == HQQ_CLAIM_WRITE;

	if (claim->count == 1)
		finding_say(finding, "slot %" PRIu64 " (position %" PRIu64 ") is ", slot, claim->position);
	else
		finding_say(finding, "slots %" PRIu64 " to %" PRIu64 " (from position %" PRIu64 " on) are ",
		            slot, slot + claim->count - 1, claim->position);
	finding_say(finding, "%s and not %s, ", written ? "claimed for writing" : "taken by a reader",
	            written ? "published" : "released");
}

static void say_consequence(struct finding *finding, const struct walk *walk, const struct claim *claim)
{
	const uint64_t end = claim->position + claim->count;

	if (claim->kind == HQQ_CLAIM_WRITE) {
		const uint64_t behind = walk->after.write - end;

		if (behind && behind <= slots_of(walk))
			finding_say(finding, " %" PRIu64 " later message%s cannot be read before.", behind,
			            behind == 1 ? "" : "s");
	} else {
		const uint64_t room = claim->position + slots_of(walk) - walk->after.write;

		if (!room)
			finding_say(finding, " The ring is full up to it: writers wait.");
		else if (room < slots_of(walk))
			finding_say(finding, " Writers will have to wait after %" PRIu64 " more message%s.",
			            room, room == 1 ? "" : "s");
	}
}

static void say_recovery(struct finding *finding, const struct walk *walk, const struct claim *claim)
{
	finding_say(finding, " Recovery will %s",
	            claim->kind == HQQ_CLAIM_WRITE ? "make a tombstone of it, which readers skip"
	                                           : "free it, and count its message as lost");
	finding_say(finding, walk->look->living ? ", as soon as an endpoint waits or asks for it."
	                                        : ", when the next endpoint attaches.");
}

static void describe_living(struct finding *finding, const struct walk *walk, const struct claim *claim,
                            bool stopped)
{
	finding_say(finding, "%s ", claim->tagged ? "reserved by" : "in a call of");
	say_owners(finding, walk->look, claim->owners);
	if (stopped)
		finding_say(finding,
		            ", which is stopped. It is alive, so nothing is taken from it: what is behind"
		            " it waits until it is continued.");
	else
		finding_say(finding, claim->tagged ? ", which has yet to finish with it."
		                                   : ", which has been at it for longer than one look.");
	say_consequence(finding, walk, claim);
}

static void describe_nobodys(struct finding *finding, const struct walk *walk, const struct claim *claim)
{
	finding_say(finding,
	            claim->tagged
	                    ? "reserved by an endpoint that is not in the table any more. "
	                    : "and no endpoint of libhqq says that it has it: it belongs to an endpoint of "
	                      "another implementation. ");
	finding_say(finding, "If its owner is dead, nothing can free it.");
	say_consequence(finding, walk, claim);
}

static bool is_any_stopped(const struct look *look, uint64_t owners)
{
	for (unsigned i = 0; i < look->info.endpoints; i++) {
		if ((owners >> look->info.endpoint[i].entry & 1) && is_stopped(&look->info.endpoint[i]))
			return true;
	}
	return false;
}

/* A process that is not in the table has the segment mapped. */
static bool has_strangers(const struct look *look)
{
	for (unsigned i = 0; i < look->users.count; i++) {
		if (is_stranger(look, look->users.pid[i]))
			return true;
	}
	return false;
}

static void describe_dead(struct finding *finding, const struct walk *walk, const struct claim *claim)
{
	const struct look *look = walk->look;
	const uint64_t living = claim->owners & (look->living | look->unknown);

	finding_say(finding, claim->tagged ? "reserved by " : "in a call of ");
	say_owners(finding, look, claim->owners & look->dead);
	finding_say(finding, ", which is dead.");
	say_consequence(finding, walk, claim);
	if (!living) {
		say_recovery(finding, walk, claim);
		return;
	}
	finding_say(finding, " But it may be that of ");
	say_owners(finding, look, living);
	finding_say(finding, "%s, and recovery waits for that one to go on.",
	            is_any_stopped(look, living) ? ", which is stopped" : "");
}

static void describe(struct finding *finding, const struct walk *walk, const struct claim *claim)
{
	const struct look *look = walk->look;

	if (claim->buried) {
		finding_say(finding,
		            "and its writer is dead: a repairer has begun to make a tombstone of it.");
		say_consequence(finding, walk, claim);
		say_recovery(finding, walk, claim);
	} else if (!claim->owners) {
		describe_nobodys(finding, walk, claim);
	} else if (claim->owners & look->dead) {
		describe_dead(finding, walk, claim);
	} else if (claim->owners & look->living) {
		describe_living(finding, walk, claim, is_any_stopped(look, claim->owners));
	} else {
		finding_say(finding, claim->tagged ? "reserved by " : "in a call of ");
		say_owners(finding, look, claim->owners);
		finding_say(finding, ", of which one cannot tell from here whether it lives.");
		say_consequence(finding, walk, claim);
	}
}

/* Whoever holds it lives, by all that can be known, and will go on by himself. */
static bool is_in_order(const struct look *look, const struct claim *claim)
{
	if (claim->buried)
		return false;
	if (!claim->owners)
		return has_strangers(look);
	return !(claim->owners & look->dead) && !is_any_stopped(look, claim->owners);
}

static void close_claim(struct walk *walk)
{
	const struct claim *claim = &walk->claim;
	struct look *look = walk->look;
	struct finding *finding;

	if (claim->kind == HQQ_CLAIM_NONE)
		return;
	finding = findings_add(&look->findings, is_in_order(look, claim) ? NOTE : FAULT, topic_claim);
	finding->direction = walk->direction;
	finding->key[0] = claim->position;
	finding->key[1] = claim->count << 4 | (claim->buried ? 8u : 0) | (claim->tagged ? 4u : 0) |
	                  (uint64_t)claim->kind;
	finding->key[2] = claim->owners;
	finding->key[3] = claim->owners & look->dead;
	say_claim(finding, walk, claim);
	describe(finding, walk, claim);
	walk->claim.kind = HQQ_CLAIM_NONE;
}

/* ---- the slots ---- */

static void meet_claim(struct walk *walk, const struct claim *claim)
{
	struct claim *run = &walk->claim;

	if (run->kind == claim->kind && run->tagged == claim->tagged && run->buried == claim->buried &&
	    run->owners == claim->owners && run->position + run->count == claim->position) {
		run->count++;
		return;
	}
	close_claim(walk);
	*run = *claim;
}

static void meet_packet(struct walk *walk, uint64_t slot, const struct hqq_element *element)
{
	const unsigned opcode = hqq_packet_opcode(element);
	const uint64_t size = hqq_packet_get(element, HQQ_WORD_SIZE);

	if (opcode <= HQQ_OP_PROTO_ACK || opcode == HQQ_OP_STANDARD_TOMBSTONE ||
	    (opcode == HQQ_OP_STANDARD_COPY && size && size <= walk->look->info.geometry.buffer_size))
		return;
	if (walk->bad_count++ == 0) {
		walk->bad_slot = slot;
		walk->bad_word = opcode;
		walk->bad_size = size;
	}
}

static void meet_slot(struct walk *walk, uint64_t slot, const struct hqq_element *element)
{
	const uint64_t sequence = atomic_load_explicit(&element->sequence, memory_order_relaxed);
	const uint64_t count = slots_of(walk), taken = sequence - 1;
	const struct ring_info *before = &walk->before, *after = &walk->after;
	struct claim claim;

	if ((sequence & (count - 1)) == slot && is_between(sequence, before->read, after->read + count)) {
		if (!is_between(sequence, before->read, before->write))
			return; /* free */
		claim = claim_of(walk, HQQ_CLAIM_WRITE, sequence, element);
	} else if ((taken & (count - 1)) == slot && is_between(taken, before->write - count, after->write)) {
		if (is_between(taken, before->read, after->write)) {
			meet_packet(walk, slot, element);
			return;
		}
		claim = claim_of(walk, HQQ_CLAIM_READ, taken, element);
	} else {
		if (walk->odd_count++ == 0) {
			walk->odd_slot = slot;
			walk->odd_word = sequence;
		}
		return;
	}
	meet_claim(walk, &claim);
}

static void tell_oddities(struct walk *walk)
{
	struct finding *finding;

	if (walk->odd_count) {
		finding = findings_add(&walk->look->findings, FAULT, topic_slots);
		finding->direction = walk->direction;
		finding->key[0] = walk->odd_count;
		finding->key[1] = walk->odd_slot;
		finding->key[2] = walk->odd_word;
		finding_say(finding,
		            "%" PRIu64 " slot%s no position that lies between the cursors; the first is slot "
		            "%" PRIu64 ", whose sequence word is %" PRIu64
		            ". The ring is damaged and stops there.",
		            walk->odd_count, walk->odd_count == 1 ? " stands for" : "s stand for",
		            walk->odd_slot, walk->odd_word);
	}
	if (walk->bad_count) {
		finding = findings_add(&walk->look->findings, FAULT, topic_slots);
		finding->direction = walk->direction;
		finding->key[0] = walk->bad_count;
		finding->key[1] = walk->bad_slot;
		finding->key[2] = walk->bad_word;
		finding->key[3] = walk->bad_size;
		finding_say(finding,
		            "%" PRIu64
		            " waiting message%s of a kind or size that readers refuse; the first is in slot "
		            "%" PRIu64 ": opcode 0x%02" PRIx64 ", size %" PRIu64
		            ". Readers will skip and count it.",
		            walk->bad_count, walk->bad_count == 1 ? " is" : "s are", walk->bad_slot,
		            walk->bad_word, walk->bad_size);
	}
}

/* More written than there is room for: the slots mean nothing then. (The other way round is told by the
 * header.) */
static bool check_cursors(struct look *look, int direction)
{
	const struct ring_info *ring = &look->before[direction];
	const uint64_t count = look->info.geometry.buffer_count;
	struct finding *finding;

	/* inspect_ring() has tried several times to get two that go together */
	if (ring->write - ring->read <= count)
		return true;
	finding = findings_add(&look->findings, FAULT, topic_cursors);
	finding->direction = direction;
	finding->key[0] = ring->read;
	finding->key[1] = ring->write;
	finding_say(finding,
	            "the write cursor (%" PRIu64 ") is %" PRIu64 " ahead of the read cursor (%" PRIu64
	            "), and there are %" PRIu64 " slots: the ring is damaged.",
	            ring->write, ring->write - ring->read, ring->read, count);
	return false;
}

/* The slots of one ring; false when they could not be read, as the file was cut meanwhile. */
static bool walk_slots(struct walk *walk)
{
	const struct hqq_geometry *geometry = &walk->look->info.geometry;
	const uint64_t count = geometry->buffer_count;
	struct hqq_element elements[CHUNK];

	for (uint64_t slot = 0; slot < count; slot += CHUNK) {
		const size_t chunk = count - slot < CHUNK ? (size_t)(count - slot) : CHUNK;

		if (!inspect_elements(walk->fd, geometry, walk->direction, slot, elements, chunk) ||
		    !inspect_ring(walk->fd, geometry, walk->direction, &walk->after))
			return false;
		for (size_t i = 0; i < chunk; i++)
			meet_slot(walk, slot + i, &elements[i]);
	}
	close_claim(walk);
	return true;
}

void check_rings(int fd, struct look *look)
{
	for (int direction = 0; direction < 2; direction++) {
		struct walk walk = {
			.fd = fd, .look = look, .direction = direction, .before = look->before[direction]};

		if (check_cursors(look, direction) && walk_slots(&walk)) {
			look->after[direction] = walk.after;
			tell_oddities(&walk);
		}
	}
}
