/*
 * test_foreign_packets.c - packets and segments that no well-behaved peer makes
 *
 * Readers skip a packet that they cannot use, count it, and give its slot back; the link goes on.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "foreign.h"
#include "support.h"

#include <hqq.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COUNT 4
#define SIZE 64

struct link {
	struct foreign other; /* primary */
	hqq_standard *handle; /* secondary */
};

static void link_create(struct link *link, const struct foreign_defects *defects)
{
	MUST_EQ(foreign_create(&link->other, test_name("packets"), COUNT, SIZE, defects), FOREIGN_OK);
}

static void link_join(struct link *link)
{
	const struct timespec passed = { 0, 0 };

	MUST_EQ(hqq_standard_open(&link->handle, strrchr(link->other.created, '/') + 1, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(link->handle, &passed), 0);
}

static void link_open(struct link *link, const struct foreign_defects *defects)
{
	link_create(link, defects);
	link_join(link);
}

static void link_close(struct link *link)
{
	MUST_EQ(hqq_standard_close(link->handle), 0);
	foreign_close(&link->other);
}

/* ---- ways to read one message ------------------------------------------------------------------ */

static ssize_t read_plain(hqq_standard *handle, unsigned char *got)
{
	return hqq_standard_read(handle, got, SIZE);
}

static int copy_out(const void *data, size_t length, void *argument)
{
	MUST(length <= SIZE);
	memcpy(argument, data, length);
	return 0;
}

static ssize_t read_callback(hqq_standard *handle, unsigned char *got)
{
	return hqq_standard_read_zero_copy(handle, copy_out, got);
}

static ssize_t read_reserved(hqq_standard *handle, unsigned char *got)
{
	struct hqq_reservation held;
	int result = hqq_standard_reserve_read(handle, &held);

	if (result < 0)
		return result;
	MUST(held.size <= SIZE);
	memcpy(got, held.data, held.size);
	MUST_EQ(hqq_standard_release(&held), 0);
	return (ssize_t)held.size;
}

static ssize_t read_batched(hqq_standard *handle, unsigned char *got)
{
	struct iovec vector = { got, SIZE };
	ssize_t count = hqq_standard_read_batch(handle, &vector, 1);

	return count < 0 ? count : (ssize_t)vector.iov_len;
}

typedef ssize_t reading(hqq_standard *handle, unsigned char *got);

static reading *const readings[] = { read_plain, read_callback, read_reserved, read_batched };

#define READINGS (int)(sizeof(readings) / sizeof(readings[0]))

/* ---- packets ----------------------------------------------------------------------------------- */

static const struct {
	uint64_t packet[FOREIGN_WORDS];
	bool counted; /* as refused; a tombstone is just skipped */
} useless[] = {
	{ { 0xff, 1, 0, 0 }, true },
	{ { 0xff, 1, 0, SIZE + 1 }, true },
	{ { 0xff, 1, 0, UINT32_MAX }, true },
	{ { 0xff, 1, 0, (uint64_t)1 << 32 | 5 }, true },
	{ { 0xff, 1, 0, (uint64_t)1 << 63 }, true },
	{ { 0xff, 1, 0, UINT64_MAX }, true },
	{ { 0x06, 0x100, 0, 0 }, true },
	{ { 0x07, 1, 0, 5 }, true },
	{ { 0x7f, 1, 0, 5 }, true },
	{ { 0xfd, 1, 0, 5 }, true },
	{ { 0xfe, 1, 0, 6 }, false },
	{ { 0xfe, 1, 0, UINT64_MAX, 1, 2, 3, 4 }, false },
	{ { UINT64_C(0xffffffffffffff00) | 0xfe, 1, 9, 6 }, false },
};

#define USELESS (int)(sizeof(useless) / sizeof(useless[0]))

/* Sends enough of it to go round the ring twice, with a good message behind each. */
START_TEST(useless_packet_is_skipped)
{
	reading *read_one = readings[_i % READINGS];
	const int kind = _i / READINGS;
	unsigned char sent[SIZE], got[SIZE];
	struct hqq_stats stats;
	struct link link;
	size_t i;

	link_open(&link, NULL);
	for (i = 0; i < 2 * COUNT; i++) {
		test_fill(sent, sizeof(sent), i);
		MUST_EQ(foreign_send_packet(&link.other, useless[kind].packet, sent, 7, 0), FOREIGN_OK);
		MUST_EQ(foreign_write(&link.other, sent, 10 + i, 0), FOREIGN_OK);
		MUST_EQ(read_one(link.handle, got), 10 + i);
		MUST_EQ(test_verify(got, 10 + i, i), -1);
	}
	MUST_EQ(foreign_send_packet(&link.other, useless[kind].packet, NULL, 0, 0), FOREIGN_OK);
	MUST_EQ(read_one(link.handle, got), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_stats(link.handle, &stats), 0);
	MUST_EQ(stats.refused_packets, useless[kind].counted ? 2 * COUNT + 1 : 0);
	MUST_EQ(stats.received_messages, 2 * COUNT);
	MUST_EQ(foreign_cursor_read(&link.other, 0), 4 * COUNT + 1);
	link_close(&link);
}
END_TEST

/* Odd, but the receiver has no reason to look: all of these carry a message. */
static const uint64_t usable[][FOREIGN_WORDS] = {
	{ 0xff, 0, 0, 40 },
	{ 0xff, UINT64_MAX, 0, 40 },
	{ 0xff, 1, 3, 40 },
	{ 0xff, 1, UINT64_MAX, 40 },
	{ UINT64_C(0xffffffffffffff00) | 0xff, 1, 0, 40 },
	{ UINT64_C(0x8000000000000000) | 0x1ff, 1, 0, 40 },
	{ 0xff, 1, 0, 40, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX },
};

#define USABLE (int)(sizeof(usable) / sizeof(usable[0]))

START_TEST(odd_packet_is_delivered)
{
	reading *read_one = readings[_i % READINGS];
	const int kind = _i / READINGS;
	unsigned char sent[SIZE], got[SIZE];
	struct hqq_stats stats;
	struct link link;
	uint64_t i;

	link_open(&link, NULL);
	for (i = 0; i < 2 * COUNT; i++) {
		test_fill(sent, sizeof(sent), i);
		MUST_EQ(foreign_send_packet(&link.other, usable[kind], sent, 40, 0), FOREIGN_OK);
		MUST_EQ(read_one(link.handle, got), 40);
		MUST_EQ(test_verify(got, 40, i), -1);
	}
	MUST_EQ(hqq_standard_stats(link.handle, &stats), 0);
	MUST_EQ(stats.refused_packets, 0);
	MUST_EQ(stats.received_messages, 2 * COUNT);
	link_close(&link);
}
END_TEST

START_TEST(advanced_packets_are_no_messages)
{
	unsigned char got[SIZE];
	struct hqq_stats stats;
	struct link link;
	uint64_t opcode;

	link_open(&link, NULL);
	for (opcode = 0; opcode <= 6; opcode++) {
		uint64_t packet[FOREIGN_WORDS] = { opcode, 1, 1, 5, 0, 5, 3, 0 };

		MUST_EQ(foreign_send_packet(&link.other, packet, "hello", 5, 0), FOREIGN_OK);
		MUST_EQ(hqq_standard_read(link.handle, got, sizeof(got)), HQQ_ERR_TIMEOUT);
	}
	MUST_EQ(hqq_standard_stats(link.handle, &stats), 0);
	MUST_EQ(stats.refused_packets, 7);
	link_close(&link);
}
END_TEST

START_TEST(library_tombstones_are_skipped_by_the_other)
{
	struct hqq_reservation held;
	unsigned char got[SIZE];
	struct link link;
	int i;

	link_open(&link, NULL);
	for (i = 0; i < 20; i++) {
		MUST_EQ(hqq_standard_reserve_write(link.handle, &held), 0);
		MUST_EQ(hqq_standard_abort(&held, (uint64_t)i), 0);
		MUST_EQ(hqq_standard_reserve_write(link.handle, &held), 0);
		MUST_EQ(hqq_standard_commit(&held, 0), HQQ_ERR_INVALID_SIZE);
		MUST_EQ(hqq_standard_write(link.handle, "good", 4), 4);
		MUST_EQ(foreign_read(&link.other, got, sizeof(got), 0), 4);
		MUST(memcmp(got, "good", 4) == 0);
	}
	link_close(&link);
}
END_TEST

/* ---- what lies in the rest of the superblock's page --------------------------------------------- */

static void exchange(struct link *link)
{
	unsigned char sent[SIZE], got[SIZE];
	uint64_t i;

	for (i = 0; i < 3 * COUNT; i++) {
		test_fill(sent, sizeof(sent), i);
		MUST_EQ(hqq_standard_write(link->handle, sent, 33), 33);
		MUST_EQ(foreign_read(&link->other, got, sizeof(got), 0), 33);
		MUST_EQ(test_verify(got, 33, i), -1);
		MUST_EQ(foreign_write(&link->other, sent, 44, 0), FOREIGN_OK);
		MUST_EQ(hqq_standard_read(link->handle, got, sizeof(got)), 44);
		MUST_EQ(test_verify(got, 44, i), -1);
	}
}

static void wait_a_little(struct link *link)
{
	struct timespec soon = test_in_ms(100);
	unsigned char byte;

	MUST_EQ(hqq_standard_set_deadline(link->handle, &soon), 0);
	MUST_EQ(hqq_standard_read(link->handle, &byte, 1), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_recover(link->handle), 0);
}

/* Bits of _i: what is zero after all. The last eight bytes stay noise. */
enum { NO_MAGIC = 1, NO_VERSION = 2, NO_REST = 4, NOISES = 8 };

static void thin_out(unsigned char *page, size_t length, int kind)
{
	if ((kind & NO_MAGIC) != 0)
		memset(page + 64, 0, 8);
	if ((kind & NO_VERSION) != 0)
		memset(page + 72, 0, 8);
	if ((kind & NO_REST) != 0)
		memset(page + 80, 0, length - 80 - 8);
}

START_TEST(noise_beside_the_superblock_is_left_alone)
{
	const struct foreign_defects noise = { .garbage_seed = (uint64_t)_i + 1 };
	const struct timespec passed = { 0, 0 };
	unsigned char before[65536], got[SIZE];
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_standard *more;
	struct link link;
	size_t page;

	link_create(&link, &noise);
	page = (size_t)link.other.layout.page;
	MUST(page <= sizeof(before));
	/* the block would take 4096 bytes, whatever the size of a page */
	thin_out(link.other.base, 4096, _i);
	memcpy(before, link.other.base, page);
	link_join(&link);
	exchange(&link);
	wait_a_little(&link);
	MUST_EQ(hqq_standard_set_deadline(link.handle, &passed), 0);
	exchange(&link);
	/* the block that is missing is what lets two handles know of each other: still both serve */
	options.role = HQQ_ROLE_PRIMARY;
	MUST_EQ(hqq_standard_open(&more, strrchr(link.other.created, '/') + 1, COUNT, SIZE, &options), 0);
	MUST_EQ(hqq_standard_write(more, "more", 4), 4);
	MUST_EQ(hqq_standard_read(link.handle, got, sizeof(got)), 4);
	MUST(memcmp(got, "more", 4) == 0);
	MUST_EQ(hqq_standard_close(more), 0);
	MUST(memcmp(before, link.other.base, page) == 0);
	link_close(&link);
}
END_TEST

/* A block of another version, or ours with nonsense in it: the link may not suffer. */
START_TEST(odd_extension_block)
{
	const uint64_t versions[] = { 0, 2, UINT64_MAX };
	unsigned char before[4096 - 64];
	struct link link;
	uint64_t *words;

	link_create(&link, NULL);
	words = (uint64_t *)(void *)(link.other.base + 64);
	words[0] = UINT64_C(0x4851515f45585431);
	words[1] = versions[_i];
	memcpy(before, words, sizeof(before));
	link_join(&link);
	exchange(&link);
	wait_a_little(&link);
	MUST(memcmp(before, words, sizeof(before)) == 0);
	link_close(&link);
}
END_TEST

START_TEST(other_major_and_minor_are_served)
{
	struct foreign_defects defects = { .wrong_words = 1u << FOREIGN_MAJOR | 1u << FOREIGN_MINOR };
	struct link link;

	defects.words[FOREIGN_MAJOR] = 7;
	defects.words[FOREIGN_MINOR] = 9;
	link_open(&link, &defects);
	exchange(&link);
	link_close(&link);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("foreign packets");
	TCase *cases = test_case(suite, "packets", 20);

	tcase_add_loop_test(cases, useless_packet_is_skipped, 0, USELESS * READINGS);
	tcase_add_loop_test(cases, odd_packet_is_delivered, 0, USABLE * READINGS);
	tcase_add_test(cases, advanced_packets_are_no_messages);
	tcase_add_test(cases, library_tombstones_are_skipped_by_the_other);

	cases = test_case(suite, "first page", 20);
	tcase_add_loop_test(cases, noise_beside_the_superblock_is_left_alone, 0, NOISES);
	tcase_add_loop_test(cases, odd_extension_block, 0, 3);
	tcase_add_test(cases, other_major_and_minor_are_served);
	return test_main(suite);
}
