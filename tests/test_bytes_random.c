/*
 * test_bytes_random.c - random mixes of all calls on both sides, the whole segment compared with
 * its model after each
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pair.h"
#include "support.h"

#include <hqq.h>
#include <string.h>

#define SIZE 64

struct use {
	struct pair pair;
	uint64_t state;
	int side; /* of the call being made */
	unsigned char bytes[8][SIZE];
};

static uint64_t dice(struct use *use, uint64_t faces)
{
	return test_random(&use->state) % faces;
}

static hqq_standard *handle(struct use *use)
{
	return use->pair.side[use->side];
}

static uint64_t room(const struct use *use)
{
	const struct model *model = &use->pair.model;

	return model->at.count - (model->written[use->side] - model->taken[use->side]);
}

/* A message of random length in bytes[i]. */
static size_t make_message(struct use *use, int i)
{
	size_t length = 1 + (size_t)dice(use, SIZE);

	test_fill(use->bytes[i], length, test_random(&use->state));
	return length;
}

static void use_write(struct use *use)
{
	size_t length = make_message(use, 0);
	uint64_t free_slots = room(use);
	ssize_t want = free_slots != 0 ? (ssize_t)length : HQQ_ERR_TIMEOUT;
	struct hqq_address to;

	if (dice(use, 2) == 0) {
		MUST_EQ(hqq_standard_write(handle(use), use->bytes[0], length), want);
	} else {
		MUST_EQ(hqq_standard_remote_address(handle(use), &to), 0);
		MUST_EQ(hqq_standard_write_to(handle(use), use->bytes[0], length, &to), want);
	}
	if (free_slots != 0)
		model_write(&use->pair.model, use->side, ++use->pair.copy_id[use->side], use->bytes[0],
		            length);
}

static void use_write_too_long(struct use *use)
{
	size_t length = SIZE + 1 + (size_t)dice(use, 9);

	MUST_EQ(hqq_standard_write(handle(use), use, length), HQQ_ERR_BUFFER_OVERFLOW);
}

struct filling {
	const void *bytes;
	size_t length;
	ssize_t result;
};

static ssize_t fill(void *data, size_t capacity, void *argument)
{
	const struct filling *filling = argument;

	MUST_EQ(capacity, SIZE);
	memcpy(data, filling->bytes, filling->length);
	return filling->result;
}

static void use_write_callback(struct use *use)
{
	struct model *model = &use->pair.model;
	struct filling filling = { use->bytes[0], make_message(use, 0), 0 };
	bool good = dice(use, 2) == 0;
	uint64_t position;
	ssize_t want;

	filling.result = good ? (ssize_t)filling.length : SIZE + 1;
	want = good ? filling.result : HQQ_ERR_BUFFER_OVERFLOW;
	if (room(use) == 0) {
		MUST_EQ(hqq_standard_write_zero_copy(handle(use), fill, &filling), HQQ_ERR_TIMEOUT);
		return;
	}
	MUST_EQ(hqq_standard_write_zero_copy(handle(use), fill, &filling), want);
	position = model_claim(model, use->side);
	model_fill(model, use->side, position, use->bytes[0], filling.length);
	model_publish(model, use->side, position, good ? FOREIGN_COPY : FOREIGN_TOMBSTONE,
	              ++use->pair.copy_id[use->side], good ? filling.length : 7);
}

static void finish(struct use *use, struct hqq_reservation *reservation, uint64_t position, uint64_t copy_id)
{
	struct model *model = &use->pair.model;
	size_t length = make_message(use, 0);
	uint64_t opcode = FOREIGN_TOMBSTONE, number;

	MUST_EQ(reservation->size, SIZE);
	memcpy(reservation->data, use->bytes[0], length);
	switch (dice(use, 4)) {
	case 0:
		number = 1 + dice(use, 7);
		MUST_EQ(hqq_standard_abort(reservation, number), 0);
		break;
	case 1:
		number = 2;
		MUST_EQ(hqq_standard_commit(reservation, 0), HQQ_ERR_INVALID_SIZE);
		break;
	default:
		opcode = FOREIGN_COPY;
		number = length;
		MUST_EQ(hqq_standard_commit(reservation, length), 0);
		break;
	}
	model_fill(model, use->side, position, use->bytes[0], length);
	model_publish(model, use->side, position, opcode, copy_id, number);
}

/* Up to three reservations, finished in an order of their own. */
static void use_reservations(struct use *use)
{
	struct hqq_reservation held[3];
	uint64_t position[3], copy_id[3];
	unsigned int count = 0, first, i;

	while (room(use) != 0 && count < 3) {
		MUST_EQ(hqq_standard_reserve_write(handle(use), &held[count]), 0);
		position[count] = model_claim(&use->pair.model, use->side);
		copy_id[count++] = ++use->pair.copy_id[use->side];
	}
	if (count == 0)
		return;
	first = (unsigned int)dice(use, count);
	for (i = 0; i < count; i++) {
		unsigned int turn = (first + i) % count;

		finish(use, &held[turn], position[turn], copy_id[turn]);
	}
}

static void use_write_batch(struct use *use)
{
	struct iovec messages[8];
	int count = 1 + (int)dice(use, 8), i;
	ssize_t sent;

	for (i = 0; i < count; i++) {
		messages[i].iov_len = make_message(use, i);
		messages[i].iov_base = use->bytes[i];
	}
	sent = hqq_standard_write_batch(handle(use), messages, (size_t)count);
	if (room(use) == 0) {
		MUST_EQ(sent, HQQ_ERR_TIMEOUT);
		return;
	}
	MUST_EQ(sent, (uint64_t)count < room(use) ? (uint64_t)count : room(use));
	for (i = 0; i < sent; i++)
		model_write(&use->pair.model, use->side, ++use->pair.copy_id[use->side], use->bytes[i],
		            messages[i].iov_len);
}

/* ---- reading: what is next is taken from the model --------------------------------------------- */

static bool next_is_tombstone(const struct use *use)
{
	const struct model *model = &use->pair.model;
	int ring = 1 - use->side;

	return model->taken[ring] != model->written[ring] &&
	       model_packet(model, model->bytes, ring, model->taken[ring])[0] == FOREIGN_TOMBSTONE;
}

/* Skips tombstones on the model as a reader does; the length of the next message, 0 if there is none. */
static size_t next_message(struct use *use, const unsigned char **bytes)
{
	struct model *model = &use->pair.model;
	int ring = 1 - use->side;

	while (next_is_tombstone(use))
		model_read(model, ring);
	if (model->taken[ring] == model->written[ring])
		return 0;
	*bytes = model_buffer(model, model->bytes, ring, model->taken[ring]);
	return model_packet(model, model->bytes, ring, model->taken[ring])[24];
}

static void use_read(struct use *use)
{
	const unsigned char *want;
	unsigned char got[SIZE + 8];
	size_t length = next_message(use, &want);
	size_t piece = dice(use, 2) == 0 ? sizeof(got) : 1 + (size_t)dice(use, SIZE);
	struct hqq_address from;

	if (length == 0) {
		MUST_EQ(hqq_standard_read(handle(use), got, sizeof(got)), HQQ_ERR_TIMEOUT);
		return;
	}
	if (piece >= length) {
		MUST_EQ(hqq_standard_read(handle(use), got, piece), length);
	} else {
		MUST_EQ(hqq_standard_read(handle(use), got, piece), piece);
		MUST_EQ(hqq_standard_read_from(handle(use), got + piece, sizeof(got) - piece, &from),
		        length - piece);
	}
	MUST(memcmp(got, want, length) == 0);
	model_read(&use->pair.model, 1 - use->side);
}

struct wanted {
	const unsigned char *bytes;
	size_t length;
	int result;
};

static int compare(const void *data, size_t length, void *argument)
{
	const struct wanted *wanted = argument;

	MUST_EQ(length, wanted->length);
	MUST(memcmp(data, wanted->bytes, length) == 0);
	return wanted->result;
}

static void use_read_callback(struct use *use)
{
	struct wanted wanted = { NULL, 0, dice(use, 2) == 0 ? 0 : -3 };

	wanted.length = next_message(use, &wanted.bytes);
	if (wanted.length == 0) {
		MUST_EQ(hqq_standard_read_zero_copy(handle(use), compare, &wanted), HQQ_ERR_TIMEOUT);
		return;
	}
	MUST_EQ(hqq_standard_read_zero_copy(handle(use), compare, &wanted),
	        wanted.result < 0 ? wanted.result : (ssize_t)wanted.length);
	model_read(&use->pair.model, 1 - use->side);
}

static void use_read_reservation(struct use *use)
{
	struct hqq_reservation held;
	const unsigned char *want;
	size_t length = next_message(use, &want);

	if (length == 0) {
		MUST_EQ(hqq_standard_reserve_read(handle(use), &held), HQQ_ERR_TIMEOUT);
		return;
	}
	MUST_EQ(hqq_standard_reserve_read(handle(use), &held), 0);
	MUST_EQ(held.size, length);
	MUST(memcmp(held.data, want, length) == 0);
	MUST_EQ(hqq_standard_release(&held), 0);
	model_read(&use->pair.model, 1 - use->side);
}

static void use_read_batch(struct use *use)
{
	struct iovec messages[8];
	size_t count = 1 + (size_t)dice(use, 8), i;
	int ring = 1 - use->side;
	const unsigned char *want;
	ssize_t taken;

	for (i = 0; i < count; i++) {
		messages[i].iov_base = use->bytes[i];
		messages[i].iov_len = SIZE;
	}
	taken = hqq_standard_read_batch(handle(use), messages, count);
	if (next_message(use, &want) == 0) {
		MUST_EQ(taken, HQQ_ERR_TIMEOUT);
		return;
	}
	MUST(taken >= 1 && (size_t)taken <= count);
	for (i = 0; i < (size_t)taken; i++) {
		MUST_EQ(messages[i].iov_len, next_message(use, &want));
		MUST(memcmp(use->bytes[i], want, messages[i].iov_len) == 0);
		model_read(&use->pair.model, ring);
	}
	/* a batch may or may not have taken tombstones behind its last message */
	while (next_is_tombstone(use) &&
	       foreign_word(use->pair.raw, use->pair.model.at.ring[ring] + 24) > use->pair.model.taken[ring])
		model_read(&use->pair.model, ring);
}

static void (*const uses[])(struct use *use) = {
	use_write,     use_write_too_long, use_write_callback,   use_reservations, use_write_batch,
	use_read,      use_read,           use_read_callback,    use_read_reservation, use_read_batch,
};

START_TEST(any_mix_of_calls)
{
	const size_t counts[] = { 2, 4, 16 };
	struct use use;
	unsigned int i;

	use.state = test_seed();
	pair_open(&use.pair, counts[_i], SIZE);
	for (i = 0; i < 20000 / test_slowness(); i++) {
		use.side = (int)dice(&use, 2);
		uses[dice(&use, sizeof(uses) / sizeof(uses[0]))](&use);
		MODEL_SAME(&use.pair.model, use.pair.raw);
	}
	/* a run that never got round the rings showed little */
	MUST(use.pair.model.taken[0] > 100 && use.pair.model.taken[1] > 100);
	pair_close(&use.pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bytes at random");

	tcase_add_loop_test(test_case(suite, "random", 60), any_mix_of_calls, 0, 3);
	return test_main(suite);
}
