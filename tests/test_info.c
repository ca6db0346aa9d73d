/*
 * test_info.c - getters, addresses, the datagram-style calls, statistics
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pair.h"
#include "support.h"
#include "waiter.h"

#include <hqq.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE 64

static const struct timespec passed = { 0, 0 };

static struct hqq_stats stats_of(hqq_standard *handle)
{
	struct hqq_stats stats;

	memset(&stats, 0xff, sizeof(stats));
	MUST_EQ(hqq_standard_stats(handle, &stats), 0);
	return stats;
}

/* ---- what a handle is -------------------------------------------------------------------------- */

START_TEST(getters_of_a_named_link)
{
	const char *name = test_name("getters");
	struct stat by_fd, by_path;
	hqq_standard *side[2];
	char path[300];
	int i;

	MUST_EQ(hqq_standard_create(&side[0], name, 16, 128, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&side[1], name, 0, 0, NULL), 0);
	snprintf(path, sizeof(path), "/dev/shm/%s", name);
	MUST_EQ(stat(path, &by_path), 0);
	for (i = 0; i < 2; i++) {
		MUST_EQ(hqq_standard_mode(side[i]), i);
		MUST_EQ(hqq_standard_type(side[i]), HQQ_TYPE_STANDARD);
		MUST(strcmp(hqq_standard_name(side[i]), name) == 0);
		MUST_EQ(hqq_standard_buffer_count(side[i]), 16);
		MUST_EQ(hqq_standard_buffer_size(side[i]), 128);
		MUST_EQ(hqq_standard_large_message_threshold(side[i]), hqq_large_message_threshold(128));
		MUST(!hqq_standard_is_large_message(side[i], 128));
		MUST(hqq_standard_is_large_message(side[i], 129));
		MUST_EQ(hqq_standard_pending(side[i]), 0);
		MUST_EQ(fstat(hqq_standard_fd(side[i]), &by_fd), 0);
		MUST(by_fd.st_ino == by_path.st_ino && by_fd.st_dev == by_path.st_dev);
	}
	for (i = 1; i >= 0; i--)
		MUST_EQ(hqq_standard_close(side[i]), 0);
	MUST(!hqq_standard_is_large_message(NULL, 129));
	MUST(!hqq_standard_is_large_message(side[0], 129));
}
END_TEST

START_TEST(a_leading_slash_is_not_part_of_the_name)
{
	char name[300];
	hqq_standard *handle;

	snprintf(name, sizeof(name), "/%s", test_name("slash"));
	MUST_EQ(hqq_standard_create(&handle, name, 4, SIZE, 0600, NULL), 0);
	MUST(strcmp(hqq_standard_name(handle), name + 1) == 0);
	MUST(test_name_exists(name + 1));
	MUST_EQ(hqq_standard_close(handle), 0);
}
END_TEST

START_TEST(links_without_a_name)
{
	const size_t length = hqq_standard_size(4, SIZE);
	unsigned char *memory = test_map_memory(length);
	hqq_standard *handles[3];
	struct hqq_address address;
	int i;

	MUST_EQ(hqq_standard_create_fd(&handles[0], 4, SIZE, NULL), 0);
	MUST_EQ(hqq_standard_open_fd(&handles[1], hqq_standard_fd(handles[0]), 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_attach(&handles[2], memory, length, 4, SIZE, NULL), 0);
	MUST(hqq_standard_fd(handles[0]) >= 0);
	MUST(hqq_standard_fd(handles[1]) >= 0);
	MUST_EQ(hqq_standard_fd(handles[2]), HQQ_ERR_INVALID_OP);
	for (i = 2; i >= 0; i--) {
		MUST(hqq_standard_name(handles[i]) == NULL);
		MUST_EQ(hqq_standard_local_address(handles[i], &address), 0);
		MUST_EQ(address.name[0], '\0');
		MUST_EQ(address.mode, hqq_standard_mode(handles[i]));
		MUST_EQ(hqq_standard_close(handles[i]), 0);
	}
	test_unmap(memory, length);
}
END_TEST

START_TEST(pending_counts_messages_for_me)
{
	struct hqq_reservation reservation;
	struct pair pair;
	int i;

	pair_open(&pair, 8, SIZE);
	for (i = 0; i < 8; i++) {
		MUST_EQ(hqq_standard_pending(pair.side[1]), i);
		MUST_EQ(hqq_standard_pending(pair.side[0]), 0);
		MUST_EQ(hqq_standard_write(pair.side[0], "x", 1), 1);
	}
	MUST_EQ(hqq_standard_reserve_read(pair.side[1], &reservation), 0);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 7);
	MUST_EQ(hqq_standard_release(&reservation), 0);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 7);
	pair_close(&pair);
}
END_TEST

/* ---- addresses --------------------------------------------------------------------------------- */

START_TEST(each_end_is_the_others_remote)
{
	struct hqq_address local, remote;
	struct pair pair;
	int side;

	pair_open(&pair, 4, SIZE);
	for (side = 0; side < 2; side++) {
		memset(&local, 0xff, sizeof(local));
		memset(&remote, 0xff, sizeof(remote));
		MUST_EQ(hqq_standard_local_address(pair.side[side], &local), 0);
		MUST_EQ(hqq_standard_remote_address(pair.side[1 - side], &remote), 0);
		MUST_EQ(local.mode, side);
		MUST_EQ(local.type, HQQ_TYPE_STANDARD);
		MUST(strcmp(local.name, hqq_standard_name(pair.side[0])) == 0);
		MUST(memcmp(&local, &remote, sizeof(local)) == 0);
	}
	pair_close(&pair);
}
END_TEST

START_TEST(a_message_tells_where_it_came_from)
{
	struct hqq_address from, remote;
	char buffer[SIZE];
	struct pair pair;

	pair_open(&pair, 4, SIZE);
	MUST_EQ(hqq_standard_remote_address(pair.side[1], &remote), 0);
	MUST_EQ(hqq_standard_write(pair.side[0], "abc", 3), 3);
	memset(&from, 0xff, sizeof(from));
	MUST_EQ(hqq_standard_read_from(pair.side[1], buffer, sizeof(buffer), &from), 3);
	MUST(memcmp(&from, &remote, sizeof(from)) == 0);
	/* and can be answered there */
	MUST_EQ(hqq_standard_write_to(pair.side[1], "answer", 6, &from), 6);
	MUST_EQ(hqq_standard_read_from(pair.side[0], buffer, sizeof(buffer), NULL), 6);
	/* untouched where there is no message */
	memset(&from, 0xee, sizeof(from));
	MUST_EQ(hqq_standard_read_from(pair.side[1], buffer, sizeof(buffer), &from), HQQ_ERR_TIMEOUT);
	MUST_EQ(from.mode, 0xeeeeeeee);
	pair_close(&pair);
}
END_TEST

START_TEST(messages_to_somewhere_else)
{
	struct hqq_address remote, other;
	struct pair pair;

	pair_open(&pair, 4, SIZE);
	MUST_EQ(hqq_standard_remote_address(pair.side[0], &remote), 0);
	other = remote;
	other.mode = HQQ_MODE_PRIMARY;
	MUST_EQ(hqq_standard_write_to(pair.side[0], "x", 1, &other), HQQ_ERR_CONN_NOT_FOUND);
	other = remote;
	strcat(other.name, "x");
	MUST_EQ(hqq_standard_write_to(pair.side[0], "x", 1, &other), HQQ_ERR_CONN_NOT_FOUND);
	memset(other.name, 'x', sizeof(other.name));
	MUST_EQ(hqq_standard_write_to(pair.side[0], "x", 1, &other), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 0);
	MUST_EQ(hqq_standard_write_to(pair.side[0], "x", 1, &remote), 1);
	MUST_EQ(hqq_standard_write_to(pair.side[0], "x", 1, NULL), 1);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 2);
	/* sizes as with write */
	MUST_EQ(hqq_standard_write_to(pair.side[0], "", 0, &remote), 0);
	MUST_EQ(hqq_standard_write_to(pair.side[0], pair.raw, SIZE + 1, &remote), HQQ_ERR_BUFFER_OVERFLOW);
	pair_close(&pair);
}
END_TEST

/* ---- statistics -------------------------------------------------------------------------------- */

START_TEST(messages_and_bytes_are_counted)
{
	struct hqq_reservation reservation;
	struct hqq_stats stats;
	struct pair pair;
	int way;

	pair_open(&pair, 16, SIZE);
	for (way = 0; way < WAITER_READS; way++)
		MUST_EQ(waiter_call(pair.side[0], WAITER_READS + way), waiter_success(WAITER_READS + way));
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &reservation), 0);
	MUST_EQ(hqq_standard_abort(&reservation, 1), 0);
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &reservation), 0);
	MUST_EQ(hqq_standard_commit(&reservation, 0), HQQ_ERR_INVALID_SIZE);
	MUST_EQ(hqq_standard_write(pair.side[0], "", 0), 0);
	stats = stats_of(pair.side[0]);
	MUST_EQ(stats.sent_messages, WAITER_READS);
	MUST_EQ(stats.sent_bytes, WAITER_READS * WAITER_LENGTH);
	MUST_EQ(stats.tombstones, 2);
	MUST_EQ(stats.received_messages, 0);
	for (way = 0; way < WAITER_READS; way++)
		MUST_EQ(waiter_call(pair.side[1], way), waiter_success(way));
	stats = stats_of(pair.side[1]);
	MUST_EQ(stats.received_messages, WAITER_READS);
	MUST_EQ(stats.received_bytes, WAITER_READS * WAITER_LENGTH);
	MUST_EQ(stats.sent_messages, 0);
	MUST_EQ(stats.tombstones, 0);
	MUST_EQ(stats.refused_packets, 0);
	MUST_EQ(stats.recovered_slots, 0);
	MUST_EQ(stats.lost_messages, 0);
	for (way = 0; way < 20; way++)
		MUST_EQ(stats.reserved[way], 0);
	pair_close(&pair);
}
END_TEST

START_TEST(waits_sleeps_and_wakes_are_counted)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	const char *name = test_name("stats");
	hqq_standard *reader, *writer;
	struct waiter waiter;

	options.wait = HQQ_WAIT_BLOCK;
	MUST_EQ(hqq_standard_create(&reader, name, 4, SIZE, 0600, &options), 0);
	MUST_EQ(hqq_standard_open(&writer, name, 0, 0, &options), 0);
	MUST_EQ(stats_of(reader).empty_waits, 0);
	waiter_start(&waiter, reader, 0);
	waiter_asleep(&waiter);
	MUST_EQ(waiter_call(writer, WAITER_READS), WAITER_LENGTH);
	MUST_EQ(waiter_join(&waiter), WAITER_LENGTH);
	MUST_EQ(stats_of(reader).empty_waits, 1);
	MUST(stats_of(reader).sleeps >= 1);
	MUST_EQ(stats_of(reader).full_waits, 0);
	MUST_EQ(stats_of(writer).sleeps, 0);
	MUST(stats_of(writer).wakes <= 1);

	MUST_EQ(hqq_standard_set_deadline(writer, &passed), 0);
	waiter_fill(writer);
	MUST_EQ(stats_of(writer).full_waits, 1);
	MUST_EQ(hqq_standard_set_deadline(writer, NULL), 0);
	waiter_start(&waiter, writer, WAITER_READS);
	waiter_asleep(&waiter);
	MUST_EQ(waiter_call(reader, 0), WAITER_LENGTH);
	MUST_EQ(waiter_join(&waiter), WAITER_LENGTH);
	MUST_EQ(stats_of(writer).full_waits, 2);
	MUST(stats_of(writer).sleeps >= 1);
	MUST_EQ(hqq_standard_close(writer), 0);
	MUST_EQ(hqq_standard_close(reader), 0);
}
END_TEST

START_TEST(each_handle_counts_its_own)
{
	hqq_standard *second;
	struct pair pair;
	int round;

	pair_open(&pair, 4, SIZE);
	for (round = 0; round < 3; round++) {
		MUST_EQ(hqq_standard_open(&second, hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
		/* also in memory that served an earlier handle */
		MUST_EQ(stats_of(second).sent_messages, 0);
		MUST_EQ(waiter_call(second, WAITER_READS), WAITER_LENGTH);
		MUST_EQ(waiter_call(pair.side[0], 0), WAITER_LENGTH);
		MUST_EQ(stats_of(second).sent_messages, 1);
		MUST_EQ(stats_of(pair.side[1]).sent_messages, 0);
		MUST_EQ(hqq_standard_close(second), 0);
	}
	MUST_EQ(stats_of(pair.side[0]).received_messages, 3);
	pair_close(&pair);
}
END_TEST

static struct pair shared;

static void send_many(void *argument, unsigned int index)
{
	int i;

	(void)argument, (void)index;
	for (i = 0; i < 100; i++) {
		MUST_EQ(waiter_call(shared.side[0], WAITER_READS), WAITER_LENGTH);
		MUST_EQ(waiter_call(shared.side[1], 0), WAITER_LENGTH);
	}
}

START_TEST(threads_that_ended_count_too)
{
	pair_open(&shared, 64, SIZE);
	/* a message may wait behind one that another thread is just writing */
	MUST_EQ(hqq_standard_set_deadline(shared.side[0], NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(shared.side[1], NULL), 0);
	test_run_threads(12, send_many, NULL);
	test_run_threads(12, send_many, NULL);
	MUST_EQ(stats_of(shared.side[0]).sent_messages, 2400);
	MUST_EQ(stats_of(shared.side[1]).received_messages, 2400);
	MUST_EQ(stats_of(shared.side[1]).received_bytes, 2400 * WAITER_LENGTH);
	pair_close(&shared);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("information");
	TCase *cases = test_case(suite, "getters", 20);

	tcase_add_test(cases, getters_of_a_named_link);
	tcase_add_test(cases, a_leading_slash_is_not_part_of_the_name);
	tcase_add_test(cases, links_without_a_name);
	tcase_add_test(cases, pending_counts_messages_for_me);

	cases = test_case(suite, "addresses", 20);
	tcase_add_test(cases, each_end_is_the_others_remote);
	tcase_add_test(cases, a_message_tells_where_it_came_from);
	tcase_add_test(cases, messages_to_somewhere_else);

	cases = test_case(suite, "statistics", 20);
	tcase_add_test(cases, messages_and_bytes_are_counted);
	tcase_add_test(cases, waits_sleeps_and_wakes_are_counted);
	tcase_add_test(cases, each_handle_counts_its_own);
	tcase_add_test(cases, threads_that_ended_count_too);
	return test_main(suite);
}
