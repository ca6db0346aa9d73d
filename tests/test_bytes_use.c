/*
 * test_bytes_use.c - what each way to read leaves in the segment, and what a held slot looks like
 *
 * A consumed packet and its buffer stay as the producer left them; only the cursor and the
 * sequence word move.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pair.h"
#include "support.h"

#include <hqq.h>
#include <stdio.h>
#include <string.h>

#define SIZE 64

/* ---- ways to read one message of 40 bytes from side 1 ------------------------------------------ */

static void read_whole(struct pair *pair)
{
	unsigned char got[SIZE];

	MUST_EQ(hqq_standard_read(pair->side[1], got, sizeof(got)), 40);
	MUST_EQ(test_verify(got, 40, 1), -1);
}

static void read_in_pieces(struct pair *pair)
{
	unsigned char got[SIZE];

	MUST_EQ(hqq_standard_read(pair->side[1], got, 7), 7);
	/* the slot is free at once, the tail is the handle's */
	model_read(&pair->model, 0);
	MODEL_SAME(&pair->model, pair->raw);
	MUST_EQ(hqq_standard_read(pair->side[1], got + 7, 13), 13);
	MUST_EQ(hqq_standard_read(pair->side[1], got + 20, 44), 20);
	MUST_EQ(test_verify(got, 40, 1), -1);
}

static void read_datagram(struct pair *pair)
{
	struct hqq_address from;
	unsigned char got[SIZE];

	MUST_EQ(hqq_standard_read_from(pair->side[1], got, sizeof(got), &from), 40);
	MUST_EQ(test_verify(got, 40, 1), -1);
}

static int look(const void *data, size_t length, void *argument)
{
	MUST_EQ(length, 40);
	MUST_EQ(test_verify(data, length, 1), -1);
	return *(int *)argument;
}

static void read_by_callback(struct pair *pair)
{
	int result = 0;

	MUST_EQ(hqq_standard_read_zero_copy(pair->side[1], look, &result), 40);
}

static void read_by_failing_callback(struct pair *pair)
{
	int result = -7;

	MUST_EQ(hqq_standard_read_zero_copy(pair->side[1], look, &result), -7);
}

static void read_by_reservation(struct pair *pair)
{
	struct hqq_reservation reservation;

	MUST_EQ(hqq_standard_reserve_read(pair->side[1], &reservation), 0);
	MUST_EQ(reservation.size, 40);
	MUST_EQ(test_verify(reservation.data, 40, 1), -1);
	MUST_EQ(hqq_standard_release(&reservation), 0);
}

static void read_by_batch(struct pair *pair)
{
	unsigned char got[SIZE];
	struct iovec vector = { got, sizeof(got) };

	MUST_EQ(hqq_standard_read_batch(pair->side[1], &vector, 1), 1);
	MUST_EQ(vector.iov_len, 40);
	MUST_EQ(test_verify(got, 40, 1), -1);
}

static void read_by_stdio(struct pair *pair)
{
	FILE *stream = hqq_standard_stdio(pair->side[1], "r");
	unsigned char got[SIZE];

	MUST(stream != NULL);
	MUST_EQ(fread(got, 1, 40, stream), 40);
	MUST_EQ(test_verify(got, 40, 1), -1);
	MUST_EQ(fclose(stream), 0);
}

static const struct {
	void (*read)(struct pair *pair);
	bool moved; /* the way moved the model itself */
} ways[] = {
	{ read_whole, false },       { read_in_pieces, true },           { read_datagram, false },
	{ read_by_callback, false }, { read_by_failing_callback, false }, { read_by_reservation, false },
	{ read_by_batch, false },    { read_by_stdio, false },
};

START_TEST(reading_leaves_packet_and_buffer)
{
	unsigned char sent[SIZE];
	struct pair pair;
	int lap;

	test_fill(sent, sizeof(sent), 1);
	pair_open(&pair, 2, SIZE);
	for (lap = 0; lap < 5; lap++) {
		MUST_EQ(hqq_standard_write(pair.side[0], sent, 40), 40);
		model_write(&pair.model, 0, ++pair.copy_id[0], sent, 40);
		ways[_i].read(&pair);
		if (!ways[_i].moved)
			model_read(&pair.model, 0);
		MODEL_SAME(&pair.model, pair.raw);
	}
	pair_close(&pair);
}
END_TEST

START_TEST(reading_leaves_noise_in_operands_nobody_uses)
{
	/* an implementation may leave anything above the opcode and in operands 3..6: it stays there */
	const uint64_t packet[FOREIGN_WORDS] = {
		UINT64_C(0xabcdef01234567ff), 77, 99, 40, 3, 4, 5, UINT64_MAX,
	};
	unsigned char sent[SIZE], *modelled;
	struct foreign other;
	struct pair pair;

	test_fill(sent, sizeof(sent), 1);
	pair_open(&pair, 2, SIZE);
	MUST_EQ(foreign_open_primary(&other, hqq_standard_name(pair.side[0]), 2, SIZE), 0);
	MUST_EQ(foreign_send_packet(&other, packet, sent, 40, 0), 0);
	model_write(&pair.model, 0, 77, sent, 40);
	modelled = model_packet(&pair.model, pair.model.bytes, 0, 0);
	memcpy(modelled, model_packet(&pair.model, pair.raw, 0, 0), 64);
	MODEL_SAME(&pair.model, pair.raw);
	ways[_i].read(&pair);
	if (!ways[_i].moved)
		model_read(&pair.model, 0);
	MODEL_SAME(&pair.model, pair.raw);
	foreign_close(&other);
	pair_close(&pair);
}
END_TEST

START_TEST(stdio_writes_a_message_per_flush)
{
	struct pair pair;
	FILE *stream;

	pair_open(&pair, 4, SIZE);
	stream = hqq_standard_stdio(pair.side[1], "w");
	MUST(stream != NULL);
	MUST(fputs("by stdio", stream) >= 0);
	MODEL_SAME(&pair.model, pair.raw);
	MUST_EQ(fflush(stream), 0);
	model_write(&pair.model, 1, 1, "by stdio", 8);
	MODEL_SAME(&pair.model, pair.raw);
	MUST_EQ(fclose(stream), 0);
	MODEL_SAME(&pair.model, pair.raw);
	pair_close(&pair);
}
END_TEST

/* ---- held slots -------------------------------------------------------------------------------- */

START_TEST(held_slot_moves_the_cursor_only)
{
	struct hqq_reservation held;
	unsigned char *packet;
	struct pair pair;

	pair_open(&pair, 4, SIZE);
	MUST_EQ(hqq_standard_write(pair.side[0], "first", 5), 5);
	model_write(&pair.model, 0, 1, "first", 5);

	/* while a slot is held its packet is the holder's; sequence, cursor and all else are not */
	MUST_EQ(hqq_standard_reserve_read(pair.side[1], &held), 0);
	model_take(&pair.model, 0);
	packet = model_packet(&pair.model, pair.raw, 0, 0);
	MUST_EQ(foreign_word(packet, 64), 1);
	MUST_EQ(foreign_word(pair.raw, pair.model.at.ring[0] + 24), 1);
	MUST_EQ(hqq_standard_release(&held), 0);
	model_release(&pair.model, 0, 0);
	MODEL_SAME(&pair.model, pair.raw);

	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &held), 0);
	packet = model_packet(&pair.model, pair.raw, 0, 1);
	MUST_EQ(foreign_word(packet, 64), 1);
	MUST_EQ(foreign_word(pair.raw, pair.model.at.ring[0] + 128), 2);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 1);
	MUST_EQ(hqq_standard_read(pair.side[1], packet, 1), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_abort(&held, 5), 0);
	model_tombstone(&pair.model, 0, 2, 5);
	MODEL_SAME(&pair.model, pair.raw);
	pair_close(&pair);
}
END_TEST

START_TEST(held_read_slots_go_back_in_any_order)
{
	static const char letters[] = "abcd";
	struct hqq_reservation held[4];
	struct pair pair;
	uint64_t i;

	pair_open(&pair, 4, SIZE);
	for (i = 0; i < 4; i++) {
		MUST_EQ(hqq_standard_write(pair.side[0], &letters[i], 1), 1);
		model_write(&pair.model, 0, i + 1, &letters[i], 1);
	}
	for (i = 0; i < 4; i++) {
		MUST_EQ(hqq_standard_reserve_read(pair.side[1], &held[i]), 0);
		model_take(&pair.model, 0);
	}
	for (i = 4; i-- > 0;) {
		MUST_EQ(hqq_standard_release(&held[i]), 0);
		model_release(&pair.model, 0, i);
	}
	MODEL_SAME(&pair.model, pair.raw);
	pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bytes in use");
	TCase *cases = test_case(suite, "reading", 20);

	tcase_add_loop_test(cases, reading_leaves_packet_and_buffer, 0, sizeof(ways) / sizeof(ways[0]));
	tcase_add_loop_test(cases, reading_leaves_noise_in_operands_nobody_uses, 0,
	                    sizeof(ways) / sizeof(ways[0]));
	tcase_add_test(cases, stdio_writes_a_message_per_flush);

	cases = test_case(suite, "held slots", 20);
	tcase_add_test(cases, held_slot_moves_the_cursor_only);
	tcase_add_test(cases, held_read_slots_go_back_in_any_order);
	return test_main(suite);
}
