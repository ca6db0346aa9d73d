/*
 * test_misuse.c - NULL, finished reservations, closed handles and forked ones
 *
 * None of it may crash, and each has one answer.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "every_call.h"
#include "pair.h"
#include "support.h"

#include <hqq.h>
#include <string.h>

#define SIZE 64

/* A pair with a message waiting on both sides and room for more, so that every call could succeed. */
static void busy_pair(struct pair *pair)
{
	int side;

	pair_open(pair, 4, SIZE);
	for (side = 0; side < 2; side++) {
		MUST_EQ(hqq_standard_write(pair->side[side], "waiting", 7), 7);
		model_write(&pair->model, side, 1, "waiting", 7);
	}
}

/* ---- NULL -------------------------------------------------------------------------------------- */

START_TEST(null_handles)
{
	every_call_gives(NULL, HQQ_ERR_INVALID_OP);
	every_getter_is_empty(NULL);
	MUST_EQ(hqq_standard_close(NULL), 0);
}
END_TEST

START_TEST(null_where_the_handle_goes)
{
	const size_t length = hqq_standard_size(4, SIZE);
	unsigned char *memory = test_map_memory(length);
	const char *name = test_name("null");
	hqq_standard *handle = NULL;

	MUST_EQ(hqq_standard_attach(NULL, memory, length, 4, SIZE, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(foreign_word(memory, 8), 0);
	MUST_EQ(hqq_standard_create(NULL, name, 4, SIZE, 0600, NULL), HQQ_ERR_INVALID_OP);
	MUST(!test_name_exists(name));
	MUST_EQ(hqq_standard_open(NULL, name, 4, SIZE, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_create_fd(NULL, 4, SIZE, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_open_fd(NULL, 0, 4, SIZE, NULL), HQQ_ERR_INVALID_OP);

	MUST_EQ(hqq_standard_attach(&handle, NULL, 1 << 20, 4, SIZE, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_create(&handle, NULL, 4, SIZE, 0600, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_open(&handle, NULL, 4, SIZE, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_unlink(NULL), HQQ_ERR_INVALID_OP);
	MUST(handle == NULL);
	test_unmap(memory, length);
}
END_TEST

START_TEST(null_arguments)
{
	char text[] = "text";
	struct iovec hole = { NULL, 5 }, holes[2] = { { text, 5 }, { NULL, 5 } };
	struct hqq_address address;
	hqq_standard *handle;
	struct pair pair;

	busy_pair(&pair);
	handle = pair.side[0];
	MUST_EQ(hqq_standard_read(handle, NULL, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_write(handle, NULL, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_read(handle, NULL, 0), 0);
	MUST_EQ(hqq_standard_write(handle, NULL, 0), 0);
	MUST_EQ(hqq_standard_read_zero_copy(handle, NULL, handle), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_write_zero_copy(handle, NULL, handle), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_reserve_write(handle, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_reserve_read(handle, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_read_batch(handle, NULL, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_write_batch(handle, NULL, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_write_batch(handle, &hole, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_read_batch(handle, &hole, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_remote_address(handle, &address), 0);
	MUST_EQ(hqq_standard_read_from(handle, NULL, 1, &address), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_write_to(handle, NULL, 1, &address), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_local_address(handle, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_remote_address(handle, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_stats(handle, NULL), HQQ_ERR_INVALID_OP);
	MUST(hqq_standard_stdio(handle, NULL) == NULL);
	MUST(hqq_standard_stdio(handle, "") == NULL);
	MUST(hqq_standard_stdio(handle, "x") == NULL);
	/* none of it took or sent anything */
	MODEL_SAME(&pair.model, pair.raw);
	/* a bad entry behind a good one ends the batch before it */
	MUST_EQ(hqq_standard_write_batch(handle, holes, 2), 1);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 2);
	pair_close(&pair);
}
END_TEST

START_TEST(null_contexts)
{
	const struct timespec when = { 1, 0 };

	MUST_EQ(hqq_context_set_timeout(NULL, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_context_set_deadline(NULL, &when), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_context_cancel(NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_context_reset(NULL), HQQ_ERR_INVALID_OP);
}
END_TEST

/* ---- reservations ------------------------------------------------------------------------------ */

static void expect_finished(struct hqq_reservation *reservation)
{
	MUST_EQ(hqq_standard_commit(reservation, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_commit(reservation, 0), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_abort(reservation, 6), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_release(reservation), HQQ_ERR_INVALID_OP);
}

START_TEST(reservations_that_never_were)
{
	struct hqq_reservation reservation;

	expect_finished(NULL);
	memset(&reservation, 0, sizeof(reservation));
	expect_finished(&reservation);
}
END_TEST

enum finish { COMMIT, COMMIT_NOTHING, COMMIT_TOO_MUCH, ABORT, RELEASE, FINISHES };

START_TEST(a_second_finish_is_refused)
{
	struct hqq_reservation reservation;
	struct pair pair;

	busy_pair(&pair);
	if (_i == RELEASE) {
		MUST_EQ(hqq_standard_reserve_read(pair.side[1], &reservation), 0);
		MUST_EQ(hqq_standard_release(&reservation), 0);
		model_read(&pair.model, 0);
	} else {
		MUST_EQ(hqq_standard_reserve_write(pair.side[0], &reservation), 0);
	}
	switch (_i) {
	case COMMIT:
		memcpy(reservation.data, "done", 4);
		MUST_EQ(hqq_standard_commit(&reservation, 4), 0);
		model_write(&pair.model, 0, 2, "done", 4);
		break;
	case COMMIT_NOTHING:
		MUST_EQ(hqq_standard_commit(&reservation, 0), HQQ_ERR_INVALID_SIZE);
		model_tombstone(&pair.model, 0, 2, 2);
		break;
	case COMMIT_TOO_MUCH:
		MUST_EQ(hqq_standard_commit(&reservation, SIZE + 1), HQQ_ERR_BUFFER_OVERFLOW);
		model_tombstone(&pair.model, 0, 2, 7);
		break;
	case ABORT:
		MUST_EQ(hqq_standard_abort(&reservation, 3), 0);
		model_tombstone(&pair.model, 0, 2, 3);
		break;
	default:
		break;
	}
	expect_finished(&reservation);
	MODEL_SAME(&pair.model, pair.raw);
	pair_close(&pair);
}
END_TEST

START_TEST(the_wrong_finish_changes_nothing)
{
	struct hqq_reservation reading, writing;
	struct pair pair;

	busy_pair(&pair);
	MUST_EQ(hqq_standard_reserve_read(pair.side[1], &reading), 0);
	MUST_EQ(hqq_standard_commit(&reading, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_abort(&reading, 1), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_release(&reading), 0);
	model_read(&pair.model, 0);
	MODEL_SAME(&pair.model, pair.raw);
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &writing), 0);
	MUST_EQ(hqq_standard_release(&writing), HQQ_ERR_INVALID_OP);
	memcpy(writing.data, "still", 5);
	MUST_EQ(hqq_standard_commit(&writing, 5), 0);
	model_write(&pair.model, 0, 2, "still", 5);
	MODEL_SAME(&pair.model, pair.raw);
	pair_close(&pair);
}
END_TEST

START_TEST(a_copied_reservation_finishes_once)
{
	struct hqq_reservation writing, reading, copy;
	struct pair pair;
	int lap;

	busy_pair(&pair);
	for (lap = 0; lap < 3; lap++) {
		MUST_EQ(hqq_standard_reserve_write(pair.side[0], &writing), 0);
		copy = writing;
		memcpy(writing.data, "done", 4);
		MUST_EQ(hqq_standard_commit(&writing, 4), 0);
		model_write(&pair.model, 0, (uint64_t)lap + 2, "done", 4);
		expect_finished(&copy);
		MODEL_SAME(&pair.model, pair.raw);
		MUST_EQ(hqq_standard_reserve_read(pair.side[1], &reading), 0);
		copy = reading;
		MUST_EQ(hqq_standard_release(&reading), 0);
		model_read(&pair.model, 0);
		expect_finished(&copy);
		MODEL_SAME(&pair.model, pair.raw);
	}
	pair_close(&pair);
}
END_TEST

/* ---- closed handles ---------------------------------------------------------------------------- */

START_TEST(closed_handles)
{
	struct hqq_reservation writing, reading;
	struct pair pair;

	busy_pair(&pair);
	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &writing), 0);
	MUST_EQ(hqq_standard_reserve_read(pair.side[1], &reading), 0);
	MUST_EQ(hqq_standard_close(pair.side[0]), 0);
	MUST_EQ(hqq_standard_close(pair.side[1]), 0);
	every_call_gives(pair.side[0], HQQ_ERR_INVALID_OP);
	every_call_gives(pair.side[1], HQQ_ERR_INVALID_OP);
	every_getter_is_empty(pair.side[0]);
	expect_finished(&writing);
	expect_finished(&reading);
	MUST_EQ(hqq_standard_close(pair.side[0]), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_close(pair.side[1]), HQQ_ERR_INVALID_OP);
	test_unmap(pair.raw, pair.length);
	model_free(&pair.model);
}
END_TEST

START_TEST(closing_finishes_what_was_reserved)
{
	struct hqq_reservation first, second;
	struct pair pair;
	char text[SIZE];

	busy_pair(&pair);
	/* nobody else may stall because a handle went with slots in its hands */
	MUST_EQ(hqq_standard_reserve_write(pair.side[1], &first), 0);
	MUST_EQ(hqq_standard_reserve_read(pair.side[1], &second), 0);
	MUST_EQ(hqq_standard_close(pair.side[1]), 0);
	MUST_EQ(hqq_standard_open(&pair.side[1], hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_write(pair.side[1], "after", 5), 5);
	MUST_EQ(hqq_standard_read(pair.side[0], text, sizeof(text)), 7);
	MUST_EQ(hqq_standard_read(pair.side[0], text, sizeof(text)), 5);
	MUST(memcmp(text, "after", 5) == 0);
	expect_finished(&first);
	expect_finished(&second);
	pair_close(&pair);
}
END_TEST

START_TEST(reservations_do_not_survive_into_another_life)
{
	struct hqq_reservation old[2], held[2];
	struct pair first, second;
	int side;

	/* handles use the memory of closed ones again; here even the positions are the same */
	pair_open(&first, 4, SIZE);
	for (side = 0; side < 2; side++)
		MUST_EQ(hqq_standard_reserve_write(first.side[side], &old[side]), 0);
	pair_close(&first);
	pair_open(&second, 4, SIZE);
	for (side = 0; side < 2; side++)
		MUST_EQ(hqq_standard_reserve_write(second.side[side], &held[side]), 0);
	for (side = 0; side < 2; side++)
		expect_finished(&old[side]);
	for (side = 0; side < 2; side++) {
		memcpy(held[side].data, "mine", 4);
		MUST_EQ(hqq_standard_commit(&held[side], 4), 0);
		model_write(&second.model, side, 1, "mine", 4);
	}
	MODEL_SAME(&second.model, second.raw);
	pair_close(&second);
}
END_TEST

/* ---- forked handles ---------------------------------------------------------------------------- */

struct forked {
	struct pair pair;
	struct hqq_reservation writing, reading;
};

static int child_of_fork(void *argument)
{
	struct forked *forked = argument;
	int side, before;

	for (side = 0; side < 2; side++)
		every_call_gives(forked->pair.side[side], HQQ_ERR_FORKED);
	MUST_EQ(hqq_standard_commit(&forked->writing, 1), HQQ_ERR_FORKED);
	MUST_EQ(hqq_standard_abort(&forked->writing, 1), HQQ_ERR_FORKED);
	MUST_EQ(hqq_standard_release(&forked->reading), HQQ_ERR_FORKED);
	MUST(hqq_standard_stdio(forked->pair.side[0], "r") == NULL);
	before = test_count_descriptors();
	for (side = 0; side < 2; side++) {
		MUST_EQ(hqq_standard_close(forked->pair.side[side]), 0);
		MUST_EQ(hqq_standard_close(forked->pair.side[side]), HQQ_ERR_INVALID_OP);
	}
	/* the inherited descriptors are gone */
	MUST(test_count_descriptors() < before);
	every_call_gives(forked->pair.side[0], HQQ_ERR_INVALID_OP);
	return 0;
}

START_TEST(forked_handles)
{
	struct forked forked;
	struct child child;
	char text[SIZE];

	busy_pair(&forked.pair);
	MUST_EQ(hqq_standard_reserve_write(forked.pair.side[0], &forked.writing), 0);
	MUST_EQ(hqq_standard_reserve_read(forked.pair.side[1], &forked.reading), 0);
	child_start(&child, child_of_fork, &forked);
	child_join_ok(&child);
	/* all as if there had been no child */
	MUST(test_name_exists(hqq_standard_name(forked.pair.side[0])));
	memcpy(forked.writing.data, "parent", 6);
	MUST_EQ(hqq_standard_commit(&forked.writing, 6), 0);
	MUST_EQ(hqq_standard_release(&forked.reading), 0);
	model_write(&forked.pair.model, 0, 2, "parent", 6);
	model_read(&forked.pair.model, 0);
	MODEL_SAME(&forked.pair.model, forked.pair.raw);
	MUST_EQ(hqq_standard_read(forked.pair.side[1], text, sizeof(text)), 6);
	model_read(&forked.pair.model, 0);
	MODEL_SAME(&forked.pair.model, forked.pair.raw);
	pair_close(&forked.pair);
}
END_TEST

struct own {
	const char *name;
	hqq_standard *inherited;
};

static int child_with_a_handle_of_its_own(void *argument)
{
	struct own *own = argument;
	hqq_standard *handle;

	MUST_EQ(hqq_standard_open(&handle, own->name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_write(handle, "child", 5), 5);
	MUST_EQ(hqq_standard_write(own->inherited, "child", 5), HQQ_ERR_FORKED);
	MUST_EQ(hqq_standard_close(own->inherited), 0);
	MUST_EQ(hqq_standard_write(handle, "again", 5), 5);
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

START_TEST(a_child_opens_its_own)
{
	struct own own = { test_name("own"), NULL };
	struct child child;
	char text[SIZE];

	MUST_EQ(hqq_standard_create(&own.inherited, own.name, 4, SIZE, 0600, NULL), 0);
	child_start(&child, child_with_a_handle_of_its_own, &own);
	child_join_ok(&child);
	MUST_EQ(hqq_standard_read(own.inherited, text, sizeof(text)), 5);
	MUST(memcmp(text, "child", 5) == 0);
	MUST_EQ(hqq_standard_read(own.inherited, text, sizeof(text)), 5);
	MUST(memcmp(text, "again", 5) == 0);
	MUST_EQ(hqq_standard_close(own.inherited), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("misuse");
	TCase *cases = test_case(suite, "NULL", 20);

	tcase_add_test(cases, null_handles);
	tcase_add_test(cases, null_where_the_handle_goes);
	tcase_add_test(cases, null_arguments);
	tcase_add_test(cases, null_contexts);

	cases = test_case(suite, "reservations", 20);
	tcase_add_test(cases, reservations_that_never_were);
	tcase_add_loop_test(cases, a_second_finish_is_refused, 0, FINISHES);
	tcase_add_test(cases, the_wrong_finish_changes_nothing);
	tcase_add_test(cases, a_copied_reservation_finishes_once);

	cases = test_case(suite, "handles", 20);
	tcase_add_test(cases, closed_handles);
	tcase_add_test(cases, closing_finishes_what_was_reserved);
	tcase_add_test(cases, reservations_do_not_survive_into_another_life);
	tcase_add_test(cases, forked_handles);
	tcase_add_test(cases, a_child_opens_its_own);
	return test_main(suite);
}
