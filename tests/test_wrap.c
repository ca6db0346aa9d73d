/*
 * test_wrap.c - traffic, sleep, tags and recovery where the cursors wrap
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"
#include "layout.h"
#include "ring.h"
#include "support.h"

#include <string.h>
#include <unistd.h>

#define COUNT 8
#define SIZE 64

/* Both rings of an empty segment stand at this position from now on. Unmaps it. */
static void wind(unsigned char *raw, size_t length, uint64_t start)
{
	struct hqq_geometry geometry;
	struct hqq_ring ring;
	uint64_t p;
	int direction;

	MUST_EQ(hqq_geometry_init(&geometry, COUNT, SIZE), 0);
	MUST_EQ(length, geometry.layout_size);
	for (direction = 0; direction < 2; direction++) {
		hqq_ring_init(&ring, raw, &geometry, direction);
		atomic_store_explicit(ring.read_cursor, start, memory_order_relaxed);
		atomic_store_explicit(ring.write_cursor, start, memory_order_relaxed);
		for (p = start; p != start + COUNT; p++)
			atomic_store_explicit(&hqq_ring_element(&ring, p)->sequence, p, memory_order_relaxed);
	}
	test_unmap(raw, length);
}

static void wind_name(const char *name, uint64_t start)
{
	size_t length;
	unsigned char *raw = test_map_name(name, &length);

	wind(raw, length, start);
}

/* A little before the cursors' end, and before that of the 52 bits that a lane holds. */
static const uint64_t starts[] = { UINT64_MAX - 2 * COUNT - 1, (UINT64_C(1) << 52) - 2 * COUNT - 1 };

#define HELD 3 /* slots that the dead one held */

static int echo_all(void *argument)
{
	const uint64_t turns = 4 * COUNT;
	struct hqq_reservation reservation;
	hqq_standard *handle;
	uint64_t turn, number;

	MUST_EQ(hqq_standard_open(&handle, argument, 0, 0, NULL), 0);
	for (turn = 0; turn < turns; turn++) {
		/* mostly asleep by now: the other lets it wait */
		MUST_EQ(hqq_standard_read(handle, &number, sizeof(number)), sizeof(number));
		MUST_EQ(number, turn);
		/* tags */
		MUST_EQ(hqq_standard_reserve_write(handle, &reservation), 0);
		memcpy(reservation.data, &turn, sizeof(turn));
		MUST_EQ(hqq_standard_commit(&reservation, sizeof(turn)), 0);
	}
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

/* Holds a message and two slots for more, and never comes back. */
static int hold(void *argument)
{
	struct hqq_reservation reservations[HELD];
	hqq_standard *handle;

	MUST_EQ(hqq_standard_open(&handle, argument, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_reserve_read(handle, &reservations[0]), 0);
	MUST_EQ(hqq_standard_reserve_write(handle, &reservations[1]), 0);
	MUST_EQ(hqq_standard_reserve_write(handle, &reservations[2]), 0);
	parent_say('h');
	parent_hear('n');
	return TEST_FAILED;
}

START_TEST(standard_traffic_where_cursors_wrap)
{
	const char *name = test_name("wrap");
	struct timespec limit;
	struct hqq_stats stats;
	struct child child;
	hqq_standard *handle, *peer;
	uint64_t turn, number, i;

	MUST_EQ(hqq_standard_create(&handle, name, COUNT, SIZE, 0600, NULL), 0);
	wind_name(name, starts[_i]);
	child_start(&child, echo_all, (void *)(uintptr_t)name);
	for (turn = 0; turn < 4 * COUNT; turn++) {
		test_sleep_ms(2);
		MUST_EQ(hqq_standard_write(handle, &turn, sizeof(turn)), sizeof(turn));
		MUST_EQ(hqq_standard_read(handle, &number, sizeof(number)), sizeof(number));
		MUST_EQ(number, turn);
	}
	child_join_ok(&child);
	MUST_EQ(hqq_standard_close(handle), 0);

	/* deaths, the wrap at each distance from them; the writer sleeps for room */
	MUST_EQ(hqq_standard_create(&handle, name, COUNT, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&peer, name, 0, 0, NULL), 0);
	for (i = 0; i < 4; i++) {
		wind_name(name, starts[_i] + 2 * COUNT - i);
		MUST_EQ(hqq_standard_write(handle, "lost", 4), 4);
		child_start(&child, hold, (void *)(uintptr_t)name);
		child_hear(&child, 'h');
		child_kill(&child);
		limit = test_in_ms(10000 * test_slowness());
		MUST_EQ(hqq_standard_set_deadline(handle, &limit), 0);
		MUST_EQ(hqq_standard_set_deadline(peer, &limit), 0);
		for (turn = 0; turn < COUNT; turn++)
			MUST_EQ(hqq_standard_write(handle, &turn, sizeof(turn)), sizeof(turn));
		for (turn = 0; turn < COUNT; turn++) {
			MUST_EQ(hqq_standard_read(peer, &number, sizeof(number)), sizeof(number));
			MUST_EQ(number, turn);
		}
		MUST_EQ(hqq_standard_write(peer, "x", 1), 1);
		MUST_EQ(hqq_standard_read(handle, &number, sizeof(number)), 1);
	}
	MUST_EQ(hqq_standard_stats(handle, &stats), 0);
	i = stats.recovered_slots;
	number = stats.lost_messages;
	MUST_EQ(hqq_standard_stats(peer, &stats), 0);
	MUST_EQ(i + stats.recovered_slots, UINT64_C(4) * HELD);
	MUST_EQ(number + stats.lost_messages, 4);
	MUST_EQ(hqq_standard_close(peer), 0);
	MUST_EQ(hqq_standard_close(handle), 0);
}
END_TEST

START_TEST(advanced_traffic_where_cursors_wrap)
{
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	struct adv_server server;
	struct adv_pair pair;
	hqq_standard *maker;
	unsigned char *raw;
	size_t length;
	int i, fd;

	/* an endpoint remembers where it came in: wound before that */
	MUST_EQ(hqq_standard_create_fd(&maker, COUNT, SIZE, NULL), 0);
	fd = dup(hqq_standard_fd(maker));
	MUST(fd >= 0);
	MUST_EQ(hqq_standard_close(maker), 0);
	raw = test_map_fd(fd, &length);
	wind(raw, length, starts[_i]);
	for (i = 0; i < 2; i++) {
		options.link.role = i == 0 ? HQQ_ROLE_PRIMARY : HQQ_ROLE_SECONDARY;
		MUST_EQ(hqq_advanced_open_fd(&pair.side[i], fd, 0, 0, &options), 0);
	}
	MUST_EQ(close(fd), 0);
	adv_agree(&pair, ADV_ALL);
	adv_server_start(&server, pair.side[1]);
	for (i = 0; i < 8; i++)
		adv_echo(pair.side[0], 0, 500, (uint64_t)i);
	MUST_EQ(adv_server_stop(&server), HQQ_ERR_CANCELED);
	adv_pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wrap");
	TCase *cases = test_case(suite, "wrap", 60);

	tcase_add_loop_test(cases, standard_traffic_where_cursors_wrap, 0, 2);
	tcase_add_loop_test(cases, advanced_traffic_where_cursors_wrap, 0, 2);
	return test_main(suite);
}
