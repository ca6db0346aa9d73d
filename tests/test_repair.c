/*
 * test_repair.c - what the dead leave at an instant that no kill hits by chance, made by hand
 *
 * The dead are entries in the state LEFT, which counts as dead, or of a child that was reaped.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "endpoint.h"
#include "ring.h"
#include "support.h"

#include <hqq.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT 8
#define SIZE 64
#define DEAD 40 /* an entry that nobody takes by himself */

static struct {
	unsigned char *memory;
	struct hqq_extension *extension;
	struct hqq_ring rings[2];
	hqq_standard *side[2];
} scene;

static hqq_standard *join(uint32_t role)
{
	const struct timespec passed = {0, 0};
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_standard *handle;

	options.role = role;
	MUST_EQ(hqq_standard_attach(&handle, scene.memory, hqq_standard_size(COUNT, SIZE), COUNT, SIZE, &options),
		0);
	MUST_EQ(hqq_standard_set_deadline(handle, &passed), 0);
	return handle;
}

static void scene_open(void)
{
	struct hqq_geometry geometry;

	scene.memory = test_map_memory(hqq_standard_size(COUNT, SIZE));
	scene.side[0] = join(HQQ_ROLE_PRIMARY);
	scene.side[1] = join(HQQ_ROLE_SECONDARY);
	scene.extension = hqq_extension_of(scene.memory);
	MUST_EQ(hqq_geometry_init(&geometry, COUNT, SIZE), 0);
	hqq_ring_init(&scene.rings[0], scene.memory, &geometry, 0);
	hqq_ring_init(&scene.rings[1], scene.memory, &geometry, 1);
}

static void send_text(hqq_standard *handle, const char *text)
{
	MUST_EQ(hqq_standard_write(handle, text, strlen(text)), strlen(text));
}

static void expect_text(hqq_standard *handle, const char *text)
{
	char buffer[SIZE];

	MUST_EQ(hqq_standard_read(handle, buffer, sizeof(buffer)), strlen(text));
	MUST(memcmp(buffer, text, strlen(text)) == 0);
}

/* More than a lap both ways, then the end. */
static void scene_close(void)
{
	int i;

	for (i = 0; i < 2 * COUNT; i++) {
		send_text(scene.side[0], "there");
		expect_text(scene.side[1], "there");
		send_text(scene.side[1], "and back");
		expect_text(scene.side[0], "and back");
	}
	MUST_EQ(hqq_standard_close(scene.side[1]), 0);
	MUST_EQ(hqq_standard_close(scene.side[0]), 0);
	test_unmap(scene.memory, hqq_standard_size(COUNT, SIZE));
}

/* A dead endpoint of that side, and what it wanted to claim. */
static void put_dead(unsigned index, int mode, uint64_t lane)
{
	struct hqq_entry *entry = &scene.extension->entries[index];

	atomic_store(&entry->lanes[1], lane);
	atomic_store(&entry->identity,
		     hqq_identity(getpid(), HQQ_ENTRY_LEFT, mode ? HQQ_ENTRY_SECONDARY | HQQ_ENTRY_LANES : 0, 1, 0));
}

/* Claimed, and no more than that. */
static uint64_t move_cursor(int direction, enum hqq_claim_kind kind)
{
	return atomic_fetch_add(hqq_ring_cursor(&scene.rings[direction], kind), 1);
}

static bool is_free(unsigned index)
{
	return hqq_identity_is_free(atomic_load(&scene.extension->entries[index].identity));
}

static void expect_mended(int slots)
{
	MUST_EQ(hqq_standard_recover(scene.side[0]), slots);
	MUST(is_free(DEAD));
	MUST_EQ(hqq_standard_recover(scene.side[1]), 0);
}

/* ---- burials ----------------------------------------------------------------------------------- */

/* The repairer died after the tag was overwritten and before the tombstone was published. */
START_TEST(a_burial_is_finished)
{
	uint64_t position;

	scene_open();
	send_text(scene.side[_i], "before");
	position = move_cursor(_i, HQQ_CLAIM_WRITE);
	send_text(scene.side[_i], "after");
	hqq_packet_set_standard(hqq_ring_element(&scene.rings[_i], position), HQQ_OP_STANDARD_TOMBSTONE, 0, 0, 0);
	put_dead(DEAD, 1 - _i, 0);
	/* of the other direction: not this one */
	atomic_store(&scene.extension->burial, hqq_claim_word(HQQ_CLAIM_WRITE, position, (uint32_t)(1 - _i) + 1));
	MUST_EQ(hqq_standard_recover(scene.side[0]), 0);
	put_dead(DEAD, 1 - _i, 0);
	atomic_store(&scene.extension->burial, hqq_claim_word(HQQ_CLAIM_WRITE, position, (uint32_t)_i + 1));
	expect_mended(1);
	expect_text(scene.side[1 - _i], "before");
	expect_text(scene.side[1 - _i], "after");
	scene_close();
}
END_TEST

/* Every burial is noted before its tag goes. */
START_TEST(a_burial_is_noted)
{
	uint64_t position;

	scene_open();
	position = move_cursor(_i, HQQ_CLAIM_WRITE);
	hqq_ring_tag(&scene.rings[_i], position, hqq_claim_tag(HQQ_CLAIM_WRITE, DEAD, position));
	put_dead(DEAD, _i, 0);
	expect_mended(1);
	MUST_EQ(atomic_load(&scene.extension->burial),
		hqq_claim_word(HQQ_CLAIM_WRITE, position, (uint32_t)_i + 1));
	MUST_EQ(hqq_packet_get(hqq_ring_element(&scene.rings[_i], position), HQQ_WORD_TAG), 0);
	scene_close();
}
END_TEST

/* ---- ends of reservations ---------------------------------------------------------------------- */

static struct hqq_entry *own_entry(int side)
{
	return &scene.extension->entries[side]; /* they came in this order */
}

static bool names(int side, enum hqq_claim_kind kind, uint64_t position)
{
	bool named = false;
	int lane;

	for (lane = 0; lane < HQQ_LANES; lane++)
		named = named || hqq_claim_covers(atomic_load(&own_entry(side)->lanes[lane]), kind, position);
	return named;
}

/* After its end, the lane names the position again that was given to others in between. */
START_TEST(a_lane_names_what_a_tag_did)
{
	struct hqq_reservation first, second;

	scene_open();
	MUST_EQ(hqq_standard_reserve_write(scene.side[0], &first), 0);
	MUST_EQ(hqq_standard_reserve_write(scene.side[0], &second), 0);
	MUST(!names(0, HQQ_CLAIM_WRITE, 0));
	MUST(names(0, HQQ_CLAIM_WRITE, 1));
	memcpy(first.data, "1", 1);
	memcpy(second.data, "2", 1);
	MUST_EQ(hqq_standard_commit(&first, 1), 0);
	MUST(names(0, HQQ_CLAIM_WRITE, 0));
	MUST_EQ(hqq_standard_commit(&second, 1), 0);
	MUST_EQ(hqq_standard_reserve_read(scene.side[1], &first), 0);
	MUST_EQ(hqq_standard_reserve_read(scene.side[1], &second), 0);
	MUST(!names(1, HQQ_CLAIM_READ, 0));
	MUST_EQ(hqq_standard_release(&first), 0);
	MUST(names(1, HQQ_CLAIM_READ, 0));
	MUST_EQ(hqq_standard_release(&second), 0);
	scene_close();
}
END_TEST

/* ---- the repair lock --------------------------------------------------------------------------- */

/* Taken from the dead, left to the living, never twice with the same word. */
START_TEST(the_lock_changes_hands)
{
	_Atomic uint64_t *lock;
	uint64_t position;

	scene_open();
	lock = &scene.extension->repair;
	position = move_cursor(0, HQQ_CLAIM_WRITE);
	put_dead(DEAD, 0, hqq_claim_word(HQQ_CLAIM_WRITE, position, 1));
	atomic_store(lock, 7 << 8 | (1 + 1)); /* the secondary's, which lives */
	MUST_EQ(hqq_standard_recover(scene.side[0]), 0);
	MUST_EQ(atomic_load(lock), 7 << 8 | (1 + 1));
	atomic_store(lock, 7 << 8 | (DEAD + 1));
	expect_mended(1);
	MUST(atomic_load(lock) >= 8 << 8);
	MUST_EQ(atomic_load(lock) & 0xff, 0);
	scene_close();
}
END_TEST

/* ---- heirs ------------------------------------------------------------------------------------- */

/* All entries but the two of the scene belong to the living; this one is dead. */
static void fill_table(int dead_mode, uint64_t dead_lane)
{
	const uint64_t origin = hqq_process_origin(getpid());
	unsigned index;

	for (index = 2; index < HQQ_ENDPOINTS; index++) {
		atomic_store(&scene.extension->entries[index].origin, origin);
		atomic_store(&scene.extension->entries[index].identity,
			     hqq_identity(getpid(), HQQ_ENTRY_LIVE, 0, 1, hqq_process_namespace()));
	}
	put_dead(DEAD, dead_mode, dead_lane);
}

static void empty_table(void)
{
	unsigned index;

	for (index = 2; index < HQQ_ENDPOINTS; index++)
		atomic_store(&scene.extension->entries[index].identity, 0);
}

/* _i: side of the dead * 2 + side of its heir. What the dead held is found, whichever side the heir is of. */
START_TEST(an_heir_of_another_side)
{
	const int direction = _i / 2;
	hqq_standard *heir;
	uint64_t position, identity;

	scene_open();
	send_text(scene.side[direction], "before");
	position = move_cursor(direction, HQQ_CLAIM_WRITE);
	send_text(scene.side[direction], "after");
	fill_table(direction, hqq_claim_word(HQQ_CLAIM_WRITE, position, 1));
	heir = join(_i % 2 ? HQQ_ROLE_SECONDARY : HQQ_ROLE_PRIMARY);
	identity = atomic_load(&scene.extension->entries[DEAD].identity);
	MUST_EQ(hqq_identity_state(identity), HQQ_ENTRY_LIVE);
	MUST_EQ(hqq_identity_mode(identity), _i % 2);
	MUST_EQ(hqq_identity_lanes_mode(identity), _i % 2);
	MUST_EQ(hqq_identity_count(identity), 2);
	expect_text(scene.side[1 - direction], "before");
	expect_text(scene.side[1 - direction], "after");
	MUST_EQ(hqq_standard_close(heir), 0);
	empty_table();
	scene_close();
}
END_TEST

/* More dead than one name the position: none of them keeps the heir from it. */
START_TEST(an_heir_among_the_dead)
{
	hqq_standard *heir;
	uint64_t position, lane;

	scene_open();
	position = move_cursor(0, HQQ_CLAIM_WRITE);
	lane = hqq_claim_word(HQQ_CLAIM_WRITE, position, 1);
	fill_table(0, lane);
	put_dead(DEAD + 1, 0, lane); /* lost the race for it */
	heir = join(HQQ_ROLE_PRIMARY);
	MUST(is_free(DEAD + 1));
	MUST_EQ(hqq_standard_close(heir), 0);
	empty_table();
	scene_close();
}
END_TEST

/*
 * _i: the heir has mended already. Until it has, and be it stopped, what it inherited is the dead one's
 * for everybody; from then on its lanes are its own.
 */
START_TEST(an_heir_that_is_slow)
{
	struct hqq_entry *entry;
	uint64_t position, identity;

	scene_open();
	entry = &scene.extension->entries[DEAD];
	send_text(scene.side[0], "before");
	position = move_cursor(0, HQQ_CLAIM_WRITE);
	send_text(scene.side[0], "after");
	identity = hqq_identity(getpid(), _i ? HQQ_ENTRY_LIVE : HQQ_ENTRY_INHERITING, 0, 2, hqq_process_namespace());
	atomic_store(&entry->origin, hqq_process_origin(getpid()));
	atomic_store(&entry->lanes[0], hqq_claim_word(HQQ_CLAIM_WRITE, position, 1));
	atomic_store(&entry->identity, identity);
	MUST_EQ(hqq_standard_recover(scene.side[1]), !_i);
	MUST_EQ(atomic_load(&entry->identity), identity);
	expect_text(scene.side[1], "before");
	if (_i) { /* nothing more, until it has gone too */
		char buffer[SIZE];

		MUST_EQ(hqq_standard_read(scene.side[1], buffer, sizeof(buffer)), HQQ_ERR_TIMEOUT);
		atomic_store(&entry->identity, hqq_identity_in_state(identity, HQQ_ENTRY_LEFT));
		expect_mended(1);
	}
	expect_text(scene.side[1], "after");
	atomic_store(&entry->lanes[0], 0);
	atomic_store(&entry->identity, 0);
	scene_close();
}
END_TEST

/* Whoever cleans up takes nobody for the dead one that he saw. */
START_TEST(an_heir_is_another_one)
{
	const uint64_t seen = hqq_identity(getpid(), HQQ_ENTRY_LIVE, 0, 1, 0);
	const uint64_t heir = hqq_identity(getpid(), HQQ_ENTRY_LIVE, 0, 2, 0);

	scene_open();
	atomic_store(&scene.extension->entries[DEAD].identity, heir);
	hqq_endpoint_clear(scene.extension, DEAD, seen);
	MUST_EQ(atomic_load(&scene.extension->entries[DEAD].identity), heir);
	hqq_endpoint_clear(scene.extension, DEAD, heir);
	MUST(is_free(DEAD));
	scene_close();
}
END_TEST

/* ---- joining ----------------------------------------------------------------------------------- */

static int stay_joining(void *argument)
{
	(void)argument;
	atomic_store(&scene.extension->entries[DEAD].identity,
		     hqq_identity(getpid(), HQQ_ENTRY_JOINING, 0, 1, hqq_process_namespace()));
	return 0;
}

/* Died between its two words, without a lock to tell it by. */
START_TEST(who_died_while_it_joined)
{
	struct child child;
	uint64_t identity;

	scene_open();
	child_start(&child, stay_joining, NULL);
	child_join_ok(&child);
	identity = atomic_load(&scene.extension->entries[DEAD].identity);
	MUST_EQ(hqq_identity_state(identity), HQQ_ENTRY_JOINING);
	expect_mended(0);
	/* of another namespace, or one that nobody knows: not known to be dead */
	for (int unknown = 0; unknown < 2; unknown++) {
		identity = hqq_identity(hqq_identity_pid(identity), HQQ_ENTRY_JOINING, 0, 1,
					unknown ? 0 : hqq_process_namespace() + 1);
		atomic_store(&scene.extension->entries[DEAD].identity, identity);
		MUST_EQ(hqq_standard_recover(scene.side[0]), 0);
		MUST_EQ(atomic_load(&scene.extension->entries[DEAD].identity), identity);
	}
	atomic_store(&scene.extension->entries[DEAD].identity, 0);
	scene_close();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("repair");
	TCase *cases = test_case(suite, "burials", 20);

	tcase_add_loop_test(cases, a_burial_is_finished, 0, 2);
	tcase_add_loop_test(cases, a_burial_is_noted, 0, 2);
	cases = test_case(suite, "reservations", 20);
	tcase_add_test(cases, a_lane_names_what_a_tag_did);
	cases = test_case(suite, "the lock", 20);
	tcase_add_test(cases, the_lock_changes_hands);
	cases = test_case(suite, "heirs", 20);
	tcase_add_loop_test(cases, an_heir_of_another_side, 0, 4);
	tcase_add_test(cases, an_heir_among_the_dead);
	tcase_add_loop_test(cases, an_heir_that_is_slow, 0, 2);
	tcase_add_test(cases, an_heir_is_another_one);
	cases = test_case(suite, "joining", 20);
	tcase_add_test(cases, who_died_while_it_joined);
	return test_main(suite);
}
