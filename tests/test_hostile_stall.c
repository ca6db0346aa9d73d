/*
 * test_hostile_stall.c - a peer that gives a call ever more to do does not keep it from its deadline
 *
 * The tombstones come each time that the library looks at its gate, since the linker puts a function of
 * ours before that look (Makefile.inc).
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "link.h"
#include "support.h"

#include <hqq.h>
#include <sys/uio.h>

#define SIZE 8
#define FLOODED 1024
#define DEADLINE_MS 100
#define MESSAGES 8

/* What no call takes that knows its deadline, and every one that does not. */
#define FAR_TOO_LONG_NS (UINT64_C(5000000000) * test_slowness())

static struct {
	unsigned char *memory;
	size_t length;
	struct hqq_ring ring; /* from the peer to us */
	hqq_standard *handle;
} scene;

static void scene_open(size_t count)
{
	struct hqq_geometry geometry;

	scene.length = hqq_standard_size(count, SIZE);
	scene.memory = test_map_memory(scene.length);
	MUST_EQ(hqq_standard_attach(&scene.handle, scene.memory, scene.length, count, SIZE, NULL), 0);
	MUST_EQ(hqq_geometry_init(&geometry, count, SIZE), 0);
	hqq_ring_init(&scene.ring, scene.memory, &geometry, 1);
}

static void scene_close(void)
{
	MUST_EQ(hqq_standard_close(scene.handle), 0);
	test_unmap(scene.memory, scene.length);
}

/* ---- tombstones without end -------------------------------------------------------------------- */

static bool floods;
static uint64_t published, flood_began;

/* Publishes a lap of them before the reader. */
static void flood(void)
{
	const uint64_t end = atomic_load(scene.ring.read_cursor) + FLOODED;

	for (; published < end; published++) {
		struct hqq_element *element = hqq_ring_element(&scene.ring, published);

		hqq_packet_set(element, HQQ_WORD_OPCODE, HQQ_OP_STANDARD_TOMBSTONE);
		atomic_store(&element->sequence, published + 1);
	}
}

int __real_hqq_link_check(struct hqq_link *link, const struct hqq_patience *patience);
int __wrap_hqq_link_check(struct hqq_link *link, const struct hqq_patience *patience);

int __wrap_hqq_link_check(struct hqq_link *link, const struct hqq_patience *patience)
{
	if (floods) {
		flood();
		MUST(test_now_ns() - flood_began < FAR_TOO_LONG_NS);
	}
	return __real_hqq_link_check(link, patience);
}

START_TEST(tombstones_without_end)
{
	const struct timespec deadline = test_in_ms(DEADLINE_MS);
	struct iovec messages[MESSAGES];
	char bytes[MESSAGES][SIZE];
	int i;

	scene_open(FLOODED);
	for (i = 0; i < MESSAGES; i++)
		messages[i] = (struct iovec){.iov_base = bytes[i], .iov_len = SIZE};
	MUST_EQ(hqq_standard_set_deadline(scene.handle, &deadline), 0);
	published = 0;
	flood_began = test_now_ns();
	flood();
	floods = true;
	if (_i)
		MUST_EQ(hqq_standard_read_batch(scene.handle, messages, MESSAGES), HQQ_ERR_TIMEOUT);
	else
		MUST_EQ(hqq_standard_read(scene.handle, bytes[0], SIZE), HQQ_ERR_TIMEOUT);
	floods = false;
	scene_close();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostile peers that stall");
	TCase *cases = test_case(suite, "deadlines", 60);

	tcase_add_loop_test(cases, tombstones_without_end, 0, 2);
	return test_main(suite);
}
