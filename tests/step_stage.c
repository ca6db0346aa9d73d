/*
 * step_stage.c - what the director of a scene does and sees; see step_stage.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "step_stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening and closing ----------------------------------------------------------------------- */

void step_stage_open(struct step_stage *stage, enum step_mode mode, const char *tag)
{
	const size_t size = hqq_standard_size(STEP_COUNT, STEP_SIZE);
	struct hqq_geometry geometry;

	stage->mode = mode;
	stage->scene = (struct step_scene *)(void *)test_map_memory(sizeof(*stage->scene));
	stage->scene->mode = mode;
	if (mode == MODE_MEMORY)
		stage->scene->memory = test_map_memory(size);
	else
		stage->scene->name = test_name(tag);
	snprintf(stage->scene->context, sizeof(stage->scene->context), "beginning");
	step_survivor_start(&stage->survivors[STEP_PEER], stage->scene, STEP_PEER);
	step_survivor_start(&stage->survivors[STEP_MATE], stage->scene, STEP_MATE);
	stage->base = stage->scene->memory;
	stage->length = size;
	if (mode != MODE_MEMORY)
		stage->base = test_map_name(stage->scene->name, &stage->length);
	stage->extension = hqq_extension_of(stage->base);
	MUST_EQ(hqq_geometry_init(&geometry, STEP_COUNT, STEP_SIZE), 0);
	for (int direction = 0; direction < 2; direction++)
		hqq_ring_init(&stage->rings[direction], stage->base, &geometry, direction);
	stage->beginning = malloc(stage->length);
	MUST(stage->beginning != NULL);
	memcpy(stage->beginning, stage->base, stage->length);
}

void step_stage_close(struct step_stage *stage)
{
	step_tell(&stage->survivors[STEP_MATE], STEP_QUIT);
	step_tell(&stage->survivors[STEP_PEER], STEP_QUIT);
	test_unmap(stage->base, stage->length);
	test_unmap((unsigned char *)stage->scene, sizeof(*stage->scene));
	free(stage->beginning);
}

void step_stage_order(struct step_stage *stage, enum step_who who, char what, uint32_t count)
{
	stage->scene->count = count;
	step_do(&stage->survivors[who], what);
}

void step_stage_begin(struct step_stage *stage)
{
	struct step_scene *scene = stage->scene;

	scene->epoch++;
	scene->mendable = 0;
	memset(scene->victim, 0, sizeof(scene->victim));
	for (int i = 0; i < STEP_VICTIMS; i++)
		scene->victim[i].done = true;
	memset(scene->book, 0, sizeof(scene->book));
	for (int side = 0; side < 2; side++) {
		scene->first[side] = scene->side[side].written;
		scene->side[side].feeds = 0;
	}
}

/* ---- looking ----------------------------------------------------------------------------------- */

/* A slot keeps what was in it, position and all, until it is claimed for writing anew. */
static void look_into(const struct step_stage *stage, int direction, uint64_t slot, struct step_view *view)
{
	const struct hqq_ring *ring = &stage->rings[direction];
	const struct hqq_element *element = hqq_ring_element(ring, slot);
	const uint64_t sequence = element->sequence;

	view->slots[direction][slot].position =
		hqq_ring_slot(ring, sequence) == slot ? sequence - STEP_COUNT : sequence - 1;
	view->slots[direction][slot].who = STEP_WRITERS;
	if (hqq_packet_opcode(element) == HQQ_OP_STANDARD_COPY)
		view->slots[direction][slot].who = step_peek(hqq_ring_buffer(ring, slot),
		                                             &view->slots[direction][slot].number);
}

struct step_view step_look(const struct step_stage *stage)
{
	struct step_view view = { .mended_ever = stage->extension->mended, .lost_ever = stage->extension->lost };

	for (int i = 0; i < 2; i++) {
		view.written[i] = *stage->rings[i].write_cursor;
		view.read[i] = *stage->rings[i].read_cursor;
		for (uint64_t slot = 0; slot < STEP_COUNT; slot++)
			look_into(stage, i, slot, &view);
		view.recovered += stage->scene->side[i].recovered;
		view.lost += stage->scene->side[i].lost;
	}
	return view;
}

uint64_t step_unfinished(const struct step_stage *stage, int direction, enum hqq_claim_kind kind,
                         uint64_t from, uint64_t to)
{
	uint64_t count = 0;

	for (; from != to; from++)
		count += hqq_ring_is_turn(&stage->rings[direction], kind, from);
	return count;
}

void step_stage_had(struct step_stage *stage, enum step_who side, const struct step_view *from,
                    const struct step_view *to)
{
	const int direction = 1 - (int)side;

	for (uint64_t position = from->read[direction]; position != to->read[direction]; position++) {
		const uint64_t slot = hqq_ring_slot(&stage->rings[direction], position);
		/* what came after the first look is still there at the second */
		const struct step_view *view = from->slots[direction][slot].position == position ? from : to;

		step_equal(stage->scene, "position in a slot", view->slots[direction][slot].position, position);
		if (view->slots[direction][slot].who != STEP_WRITERS)
			step_enter(stage->scene, view->slots[direction][slot].who, view->slots[direction][slot].number);
	}
}

/* ---- the segment afterwards -------------------------------------------------------------------- */

/* As it was at first: from here to there, in bytes. */
static void expect_same(const struct step_stage *stage, const char *what, const void *from, const void *to)
{
	const size_t start = (size_t)((const unsigned char *)from - stage->base);
	const size_t end = (size_t)((const unsigned char *)to - stage->base);

	step_equal(stage->scene, what, (uint64_t)memcmp(from, stage->beginning + start, end - start), 0);
}

static void expect_clean_ring(const struct step_stage *stage, int direction)
{
	const struct hqq_ring *ring = &stage->rings[direction];
	const struct hqq_ring_header *header = (const struct hqq_ring_header *)(const void *)ring->elements - 1;
	const uint64_t written = *ring->write_cursor;

	expect_same(stage, "constants of a ring", header, &header->read_cursor);
	expect_same(stage, "unused words of a ring", header->unused_1, &header->write_cursor);
	expect_same(stage, "unused words of a ring", header->unused_2, header + 1);
	expect_same(stage, "unused words behind a ring", ring->elements + STEP_COUNT,
	            (const char *)(ring->elements + STEP_COUNT) + HQQ_RING_TAIL);
	step_equal(stage->scene, "read cursor", *ring->read_cursor, written);
	for (uint64_t position = written; position != written + STEP_COUNT; position++) {
		const struct hqq_element *element = hqq_ring_element(ring, position);

		step_equal(stage->scene, "sequence word", element->sequence, position);
		step_equal(stage->scene, "tag", element->packet[HQQ_WORD_TAG], 0);
	}
}

/* What a bell or a lane says of those who are not in the table, and what was never used. */
static void expect_clean_extension(const struct step_stage *stage)
{
	const struct hqq_extension *extension = stage->extension;
	const struct step_scene *scene = stage->scene;
	uint64_t present = 0, joined = 0;

	expect_same(stage, "superblock and what installs the extension", stage->base, &extension->repair);
	expect_same(stage, "unused words of the extension", extension->unused_2, extension->entries);
	for (unsigned int i = 0; i < HQQ_ENDPOINTS; i++) {
		if (!hqq_identity_is_free(extension->entries[i].identity)) {
			step_equal(scene, "state of an endpoint", hqq_identity_state(extension->entries[i].identity),
			           HQQ_ENTRY_LIVE);
			present |= UINT64_C(1) << i;
			continue;
		}
		for (unsigned int lane = 0; lane < HQQ_LANES; lane++)
			step_equal(scene, "lane of nobody", extension->entries[i].lanes[lane], 0);
	}
	for (int side = 0; side < 2; side++)
		joined += scene->side[side].joined;
	step_equal(scene, "endpoints in the table", (uint64_t)__builtin_popcountll(present), joined);
	step_equal(scene, "holder of the repair lock", extension->repair & 0xff, 0);
	for (int i = 0; i < 4; i++) {
		const struct hqq_bell *bell = &extension->bells[i / 2][i % 2];

		step_equal(scene, "marks of nobody at a bell", bell->marks & ~present, 0);
		expect_same(stage, "unused words of a bell", bell->unused, bell + 1);
	}
}

/* Nothing is half buried: the position that was noted last is finished. */
static void expect_no_burial(const struct step_stage *stage)
{
	const uint64_t word = stage->extension->burial;
	const struct hqq_ring *ring = &stage->rings[(hqq_claim_count(word) - 1) & 1];
	const uint64_t position = hqq_claim_position(word, *ring->write_cursor);

	if (hqq_claim_kind(word) == HQQ_CLAIM_WRITE)
		step_equal(stage->scene, "position left half buried",
		           step_unfinished(stage, (int)((hqq_claim_count(word) - 1) & 1), HQQ_CLAIM_WRITE, position,
		                           position + 1),
		           0);
}

/* Each message of the survivors came, once. */
static void expect_full_book(const struct step_stage *stage)
{
	const struct step_scene *scene = stage->scene;

	for (int side = 0; side < 2; side++) {
		for (uint64_t i = 0; i < scene->side[side].written - scene->first[side]; i++)
			step_equal(scene, "times that a message came", scene->book[side][i], 1);
	}
}

uint64_t step_stage_go_on(struct step_stage *stage, bool peer_asleep)
{
	struct step_survivor *peer = &stage->survivors[STEP_PEER], *mate = &stage->survivors[STEP_MATE];
	uint64_t ns = 0;

	step_tell(mate, STEP_LAP);
	step_tell(peer, STEP_LAP);
	if (peer_asleep) /* woken by now */
		step_hear(peer);
	step_hear(peer);
	step_hear(mate);
	for (int side = 0; side < 2; side++) {
		if (stage->scene->side[side].went_on_ns > ns)
			ns = stage->scene->side[side].went_on_ns;
	}
	step_do(peer, STEP_RECOVER);
	step_do(mate, STEP_RECOVER);
	expect_no_burial(stage);
	for (int direction = 0; direction < 2; direction++)
		expect_clean_ring(stage, direction);
	expect_clean_extension(stage);
	expect_full_book(stage);
	return ns;
}
