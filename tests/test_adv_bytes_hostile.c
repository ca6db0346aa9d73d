/*
 * test_adv_bytes_hostile.c - an Advanced peer that says anything, as often as it likes
 *
 * It may garble its own messages; the library may not crash, take memory without bound, hand out
 * what makes no sense, or stop to serve what is in order.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_rig.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COUNT 16
#define SIZE 16
#define MIB (UINT64_C(1) << 20)

static struct hqq_advanced_options limits(uint64_t message, uint64_t assembly)
{
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;

	options.dispatcher = HQQ_DISPATCH_MANUAL;
	options.max_message_size = message;
	options.max_assembly_bytes = assembly;
	return options;
}

/* Takes all that the library sent and throws it away. */
static unsigned int drain(struct rig *rig)
{
	struct adv_packet packet;
	unsigned int packets = 0;

	while (adv_take(&rig->peer, &packet, 0) == ADV_OK)
		packets++;
	return packets;
}

static unsigned int receive_all(struct rig *rig)
{
	struct hqq_message message;
	unsigned int messages = 0;

	while (hqq_advanced_receive(rig->handle, &rig->now, &message) == 0) {
		MUST(message.payload_size == 0 || message.payload != NULL);
		hqq_message_clear(&message);
		messages++;
	}
	return messages;
}

static void read_all(struct rig *rig)
{
	unsigned char bytes[SIZE];

	while (hqq_advanced_read(rig->handle, &rig->now, bytes, sizeof(bytes)) > 0)
		continue;
}

/* ---- any frame at all -------------------------------------------------------------------------- */

/* Words that hurt more than noise does; mostly small ones, so that some frames make sense. */
static uint64_t nasty_word(uint64_t *state)
{
	const uint64_t dice = test_random(state);

	switch (dice % 16) {
	case 0:
		return (uint64_t)1 << (dice >> 32 & 63);
	case 1:
		return UINT64_MAX - (dice >> 32 & 31);
	case 2:
		return (uint64_t)1 << 63 | (dice >> 32 & 31);
	case 3:
		return test_random(state);
	case 4:
		return (uint64_t)1 << 32 | (dice >> 32 & 31);
	case 5:
	case 6:
	case 7:
		return (dice >> 32 & 3) * SIZE;
	default:
		return dice >> 32 & 31;
	}
}

static void nasty_packet(uint64_t *state, uint64_t word[FOREIGN_WORDS])
{
	static const uint64_t opcodes[] = { 0, 1, 2, 3, 0xfe, 0xff, 7, 0x80 };
	const uint64_t dice = test_random(state);
	unsigned int i;

	/* no NEGOTIATE: a link that starts again is tested elsewhere */
	word[0] = dice % 4 != 0 ? 4 : opcodes[dice >> 8 & 7];
	for (i = 1; i < FOREIGN_WORDS; i++)
		word[i] = nasty_word(state);
	if (dice >> 16 & 1)
		word[6] &= 63;
	if (dice >> 17 & 1)
		word[1] = word[2] = dice >> 20 & 3;
}

START_TEST(any_frame_at_all)
{
	const struct hqq_advanced_options options = limits(256, 4096);
	uint64_t word[FOREIGN_WORDS], state = test_seed(), id;
	struct rig rig;
	unsigned int i;

	rig_start(&rig, _i, COUNT, SIZE, &options);
	MUST_EQ(hqq_advanced_listen(rig.handle), 0);
	for (i = 0; i < 60000 / test_slowness(); i++) {
		nasty_packet(&state, word);
		rig_says(&rig, word);
		rig_pump(&rig);
		if (i % 64 == 0) { /* calls for the nasty responses to meet */
			if (hqq_advanced_call_start(rig.handle, &rig.now, 0, 5, "x", 1, &id) == 0 && i % 128 == 0)
				MUST_EQ(hqq_advanced_call_cancel(rig.handle, id), 0);
		}
		drain(&rig);
		if (i % 8 == 0) {
			receive_all(&rig);
			read_all(&rig);
		}
	}
	receive_all(&rig);
	read_all(&rig);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------------ */

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

/* What the heap holds for the program now; 0 where nobody can tell. */
static uint64_t heap(void)
{
	struct mallinfo2 info;

	if (__sanitizer_get_current_allocated_bytes != NULL)
		return __sanitizer_get_current_allocated_bytes();
	if (test_under_valgrind()) {
		fprintf(stderr, "the heap is not measured under valgrind\n");
		return 0;
	}
	info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

#define FLOOD 20000u
#define BIG 4096u

/* A message begins and its rest never comes, thousands of times. _i: way, then kind. */
START_TEST(beginnings_without_end)
{
	const uint64_t kinds[] = { 0, ADV_REQUEST, ADV_RESPONSE };
	const struct hqq_advanced_options options = limits(MIB, MIB);
	unsigned char bytes[BIG];
	struct adv_chunk chunk = { .total = MIB, .size = BIG, .flags = ADV_BEGIN };
	uint64_t before, most = 0;
	struct rig rig;

	memset(bytes, 1, sizeof(bytes));
	rig_start(&rig, _i % RIG_WAYS, COUNT, BIG, &options);
	before = heap();
	chunk.flags |= kinds[_i / RIG_WAYS];
	for (chunk.id = 1000; chunk.id < 1000 + FLOOD; chunk.id++) {
		MUST_EQ(adv_send_chunk(&rig.peer, &chunk, bytes, 0), ADV_OK);
		rig_pump(&rig);
		drain(&rig);
		if (chunk.id % 500 == 0 && heap() - before > most)
			most = heap() - before;
	}
	fprintf(stderr, "%llu bytes of %u messages\n", (unsigned long long)most, FLOOD);
	/* the payloads, and what it takes to remember which they are */
	MUST(most <= MIB + MIB / 2);
	MUST(rig_stats(&rig).dropped > 0);
	RIG_RECEIVES_NOTHING(&rig);
	rig_prove(&rig); /* one-chunk messages need no assembly */
	rig_close(&rig);
}
END_TEST

/* 16 bytes each, whatever they announce: the limit counts what came. */
START_TEST(announcements_take_no_memory)
{
	const uint64_t totals[] = { 64 * MIB, MIB, 300000 };
	const struct hqq_advanced_options options = limits(64 * MIB, 4 * MIB);
	struct adv_chunk chunk = { .total = totals[_i / RIG_WAYS], .size = SIZE, .flags = ADV_BEGIN };
	unsigned char bytes[SIZE] = { 1 };
	struct rig rig;
	uint64_t before;

	rig_start(&rig, _i % RIG_WAYS, COUNT, SIZE, &options);
	before = heap();
	for (chunk.id = 1000; chunk.id < 1000 + 200; chunk.id++) {
		MUST_EQ(adv_send_chunk(&rig.peer, &chunk, bytes, 0), ADV_OK);
		rig_pump(&rig);
	}
	fprintf(stderr, "%llu bytes\n", (unsigned long long)(heap() - before));
	MUST(heap() - before < MIB);
	MUST_EQ(rig_stats(&rig).dropped, 0);
	rig_close(&rig);
}
END_TEST

/* What has no room is a request like any other to the peer: it is told that there was no room. */
START_TEST(request_without_room_is_answered_once)
{
	const struct hqq_advanced_options options = limits(4096, 64);
	struct rig rig;
	unsigned int chunk;

	rig_start(&rig, _i, COUNT, SIZE, &options);
	for (chunk = 0; chunk < 8; chunk++)
		rig_sends_part(&rig, 0, 9, ADV_REQUEST, 5, 8 * SIZE, chunk);
	MUST_EQ(rig_pump(&rig), 8);
	RIG_SEES(&rig, NULL, 4, 0, 9, 0, 0, 0, 51, ADV_BUFFER_OVERFLOW);
	MUST_EQ(drain(&rig), 0);
	MUST_EQ(rig_stats(&rig).dropped, 1);
	MUST_EQ(rig_stats(&rig).refused, 0);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* Messages that nobody receives, while a call keeps the frames coming. */
START_TEST(inbox_is_bounded)
{
	const struct hqq_advanced_options options = limits(MIB, MIB);
	unsigned char bytes[BIG];
	uint64_t before, id, i;
	struct rig rig;

	memset(bytes, 1, sizeof(bytes));
	rig_start(&rig, _i % RIG_WAYS, COUNT, BIG, &options);
	MUST_EQ(hqq_advanced_call_start(rig.handle, &rig.now, 0, 5, "x", 1, &id), 0);
	drain(&rig);
	before = heap();
	for (i = 0; i < 3000; i++) {
		if (_i / RIG_WAYS == 0)
			MUST_EQ(adv_send_message(&rig.peer, 0, 100 + i, 0, 0, bytes, BIG, 0), ADV_OK);
		else if (_i / RIG_WAYS == 1)
			MUST_EQ(adv_send_message(&rig.peer, 0, 100 + i, ADV_REQUEST, 0, NULL, 0, 0), ADV_OK);
		else
			MUST_EQ(foreign_write(&rig.peer.link, bytes, BIG, 0), FOREIGN_OK);
		rig_pump(&rig);
		drain(&rig);
	}
	fprintf(stderr, "%llu bytes\n", (unsigned long long)(heap() - before));
	MUST(heap() - before <= MIB + COUNT * BIG + MIB / 2);
	MUST(_i / RIG_WAYS == 1 || rig_stats(&rig).dropped > 0);
	rig_sends(&rig, 0, id, ADV_RESPONSE, 0, 0);
	MUST_EQ(hqq_advanced_call_wait(rig.handle, &rig.now, id, NULL), 0);
	receive_all(&rig);
	if (_i / RIG_WAYS == 2) {
		while (hqq_advanced_read(rig.handle, &rig.now, bytes, sizeof(bytes)) > 0)
			continue;
	}
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* A peer that asks and never reads an answer fills its own ring, not our memory. */
START_TEST(answers_that_nobody_takes)
{
	struct rig rig;
	uint64_t before, i;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	before = heap();
	for (i = 0; i < 20000; i++) {
		RIG_SAYS(&rig, 1, 100 + i, 0);
		rig_pump(&rig);
	}
	fprintf(stderr, "%llu bytes\n", (unsigned long long)(heap() - before));
	MUST(heap() - before < 2 * MIB);
	do {
		rig_pump(&rig);
	} while (drain(&rig) != 0);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* More streams than anybody needs. */
START_TEST(streams_without_end)
{
	struct rig rig;
	uint64_t before, id, began = test_now_ns();

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	MUST_EQ(hqq_advanced_listen(rig.handle), 0);
	before = heap();
	for (id = 1; id <= 70000 / test_slowness(); id++) {
		RIG_SAYS(&rig, 1, id, 0);
		MUST_EQ(rig_pump(&rig), 1);
		MUST_EQ(drain(&rig), 1);
	}
	fprintf(stderr, "%llu bytes, %llu ms\n", (unsigned long long)(heap() - before),
	        (unsigned long long)((test_now_ns() - began) / 1000000));
	MUST(heap() - before < 16 * MIB);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/*
 * Messages of two chunks of which the last breaks the protocol. Each is refused, and done with: as many
 * as the library keeps in mind at once do not cost the one that is in order.
 */
START_TEST(unsound_ends)
{
	const struct hqq_advanced_options options = limits(MIB, MIB);
	struct adv_chunk chunk = { .total = 2 * SIZE };
	unsigned char bytes[2 * SIZE] = { 1 };
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, &options);
	for (chunk.id = 1000; chunk.id < 1000 + FLOOD; chunk.id++) {
		adv_cut(&rig.peer, &chunk, 0, 0, 0);
		MUST_EQ(adv_send_chunk(&rig.peer, &chunk, bytes, 0), ADV_OK);
		adv_cut(&rig.peer, &chunk, 0, 0, SIZE);
		chunk.size++; /* beyond the total, and the buffer */
		RIG_SAYS(&rig, ADV_OP_COPY, 0, chunk.id, chunk.total, chunk.offset, chunk.size, chunk.flags);
		MUST_EQ(rig_pump(&rig), 2);
	}
	MUST_EQ(rig_stats(&rig).refused, FLOOD);
	MUST_EQ(rig_stats(&rig).dropped, 0);
	rig_sends(&rig, 0, 1, 0, 0, 2 * SIZE);
	RIG_RECEIVES(&rig, 0, 1, 0, 0, 2 * SIZE);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("advanced bytes: hostile peers");
	TCase *cases = test_case(suite, "frames", 60);

	tcase_add_loop_test(cases, any_frame_at_all, 0, RIG_WAYS);

	cases = test_case(suite, "memory", 60);
	tcase_add_loop_test(cases, beginnings_without_end, 0, RIG_WAYS * 3);
	tcase_add_loop_test(cases, announcements_take_no_memory, 0, RIG_WAYS * 3);
	tcase_add_loop_test(cases, request_without_room_is_answered_once, 0, RIG_WAYS);
	tcase_add_loop_test(cases, inbox_is_bounded, 0, RIG_WAYS * 3);
	tcase_add_loop_test(cases, answers_that_nobody_takes, 0, RIG_WAYS);
	tcase_add_loop_test(cases, streams_without_end, 0, 1);
	tcase_add_loop_test(cases, unsound_ends, 0, RIG_WAYS);
	return test_main(suite);
}
