/*
 * test_adv_bytes.c - how two ends of an Advanced link come to terms, packet by packet
 *
 * The other end knows the wire protocol only (adv_foreign.h). Each test runs with the library on
 * either side of the segment.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_rig.h"

#include <string.h>

#define COUNT 8
#define SIZE 64
#define SIDES 2

#define NUMBER_OF(array) (int)(sizeof(array) / sizeof((array)[0]))

static const struct hqq_version version = { 1, 0 };

static int negotiate(struct rig *rig, uint64_t features)
{
	return hqq_advanced_negotiate(rig->handle, &rig->now, version, features);
}

static int await(struct rig *rig)
{
	return hqq_advanced_wait_negotiation(rig->handle, &rig->now);
}

static int state_of(const struct rig *rig)
{
	return hqq_advanced_protocol_state(rig->handle);
}

static void expect_agreed(const struct rig *rig, uint64_t features, uint64_t capabilities)
{
	MUST_EQ(state_of(rig), HQQ_PROTOCOL_NEGOTIATED);
	MUST_EQ(hqq_advanced_negotiated_version(rig->handle).major, 1);
	MUST_EQ(hqq_advanced_negotiated_version(rig->handle).minor, 0);
	MUST_EQ(hqq_advanced_negotiated_features(rig->handle), features);
	MUST_EQ(hqq_advanced_negotiated_capabilities(rig->handle), capabilities);
	MUST_EQ(hqq_advanced_is_large_copy_enabled(rig->handle), (features & 1) != 0);
	MUST_EQ(hqq_advanced_is_request_response_enabled(rig->handle), (features & 2) != 0);
}

/* Neither way to negotiate works any more, and neither says anything to the peer. */
static void expect_refused_locally(struct rig *rig)
{
	const int state = state_of(rig);

	MUST_EQ(negotiate(rig, 3), HQQ_ERR_INVALID_OP);
	MUST_EQ(await(rig), HQQ_ERR_INVALID_OP);
	MUST_EQ(state_of(rig), state);
	RIG_SILENT(rig);
}

/* ---- the library asks -------------------------------------------------------------------------- */

START_TEST(initiator_announces_what_it_wants)
{
	const uint64_t features = (uint64_t)_i / SIDES;
	struct rig rig;

	rig_open(&rig, _i % SIDES, COUNT, SIZE, NULL);
	MUST_EQ(state_of(&rig), HQQ_PROTOCOL_NONE);
	MUST_EQ(hqq_advanced_negotiated_version(rig.handle).major, 0);
	RIG_SAYS(&rig, 6, 0x100, features, 7);
	MUST_EQ(negotiate(&rig, features), 0);
	RIG_SEES(&rig, NULL, 5, 0x100, features, 7);
	expect_agreed(&rig, features, 7);
	expect_refused_locally(&rig);
	rig_close(&rig);
}
END_TEST

/* What the words look like in memory: bytes, little-endian, then the sequence word. */
START_TEST(question_and_answer_as_bytes)
{
	static const unsigned char question[64] = { [0] = 5, [9] = 1, [16] = 3, [24] = 7 };
	static const unsigned char answer[64] = { [0] = 6, [9] = 1, [16] = 2, [24] = 5 };
	const unsigned char *element;
	struct rig rig;

	rig_open(&rig, _i, COUNT, SIZE, NULL);
	RIG_SAYS(&rig, 6, 0x100, 3, 7);
	MUST_EQ(negotiate(&rig, 3), 0);
	element = rig.peer.link.base + rig.peer.link.layout.ring[1 - rig.peer.link.direction] + 256;
	MUST(memcmp(element, question, sizeof(question)) == 0);
	MUST_EQ(foreign_word(element, 64), 1);
	RIG_SEES(&rig, NULL, 5, 0x100, 3, 7);
	rig_close(&rig);

	rig_open(&rig, _i, COUNT, SIZE, NULL);
	RIG_SAYS(&rig, 5, 0x100, 2, 5);
	MUST_EQ(await(&rig), 0);
	element = rig.peer.link.base + rig.peer.link.layout.ring[1 - rig.peer.link.direction] + 256;
	MUST(memcmp(element, answer, sizeof(answer)) == 0);
	MUST_EQ(foreign_word(element, 64), 1);
	RIG_SEES(&rig, NULL, 6, 0x100, 2, 5);
	rig_close(&rig);
}
END_TEST

static const struct {
	uint64_t asked, version, features, capabilities;
	bool good;
} answers[] = {
	{ 3, 0x100, 3, 7, true },
	{ 3, 0x100, 1, 7, true },
	{ 3, 0x100, 2, 0, true },
	{ 3, 0x100, 0, 4, true },
	{ 0, 0x100, 0, 2, true },
	{ 3, 0x200, 3, 7, false }, /* another major */
	{ 3, 0x000, 3, 7, false },
	{ 3, 0x001, 3, 7, false },
	{ 3, 0x10100, 3, 7, false },
	{ 3, UINT64_C(0x8000000000000100), 3, 7, false },
	{ 3, UINT64_MAX, 3, 7, false },
	{ 3, 0x101, 3, 7, false }, /* a larger minor */
	{ 3, 0x1ff, 3, 7, false },
	{ 1, 0x100, 3, 7, false }, /* a feature that was not asked for */
	{ 2, 0x100, 1, 7, false },
	{ 0, 0x100, 1, 7, false },
	{ 3, 0x100, 7, 7, false },
	{ 3, 0x100, UINT64_C(1) << 63 | 3, 7, false },
	{ 3, 0x100, 3, 8, false }, /* an unknown capability */
	{ 3, 0x100, 3, 15, false },
	{ 3, 0x100, 3, UINT64_C(1) << 63, false },
};

#define ANSWERS NUMBER_OF(answers)

START_TEST(acknowledgement_is_checked)
{
	const int which = _i / SIDES;
	struct rig rig;

	rig_open(&rig, _i % SIDES, COUNT, SIZE, NULL);
	RIG_SAYS(&rig, 6, answers[which].version, answers[which].features, answers[which].capabilities);
	MUST_EQ(negotiate(&rig, answers[which].asked), answers[which].good ? 0 : HQQ_ERR_REJECTED);
	RIG_SEES(&rig, NULL, 5, 0x100, answers[which].asked, 7);
	if (answers[which].good) {
		expect_agreed(&rig, answers[which].features, answers[which].capabilities);
	} else {
		MUST_EQ(state_of(&rig), HQQ_PROTOCOL_FAILED);
		MUST_EQ(hqq_advanced_negotiated_features(rig.handle), 0);
		MUST_EQ(hqq_advanced_send_large(rig.handle, &rig.now, 0, "x", 1, NULL), HQQ_ERR_INVALID_OP);
	}
	expect_refused_locally(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(initiator_takes_no_for_an_answer)
{
	const uint64_t codes[] = { 6, 1, 7, 0, 8, UINT64_MAX };
	struct rig rig;

	rig_open(&rig, _i % SIDES, COUNT, SIZE, NULL);
	RIG_SAYS(&rig, 0, 0, codes[_i / SIDES]);
	MUST_EQ(negotiate(&rig, 3), HQQ_ERR_REJECTED);
	RIG_SEES(&rig, NULL, 5, 0x100, 3, 7);
	MUST_EQ(state_of(&rig), HQQ_PROTOCOL_FAILED);
	expect_refused_locally(&rig);
	/* nor is a late yes of use */
	RIG_SAYS(&rig, 6, 0x100, 3, 7);
	MUST_EQ(rig_pump(&rig), 1);
	MUST_EQ(state_of(&rig), HQQ_PROTOCOL_FAILED);
	rig_close(&rig);
}
END_TEST

START_TEST(question_without_an_answer_may_be_asked_again)
{
	struct rig rig;

	rig_open(&rig, _i, COUNT, SIZE, NULL);
	MUST_EQ(negotiate(&rig, 3), HQQ_ERR_TIMEOUT);
	RIG_SEES(&rig, NULL, 5, 0x100, 3, 7);
	MUST_EQ(state_of(&rig), HQQ_PROTOCOL_NONE);
	/* the answer to it comes when nobody waits */
	RIG_SAYS(&rig, 6, 0x100, 3, 7);
	MUST_EQ(rig_pump(&rig), 1);
	MUST_EQ(state_of(&rig), HQQ_PROTOCOL_NONE);
	MUST_EQ(rig_stats(&rig).refused, 1);
	RIG_SAYS(&rig, 6, 0x100, 1, 7);
	MUST_EQ(negotiate(&rig, 1), 0);
	RIG_SEES(&rig, NULL, 5, 0x100, 1, 7);
	expect_agreed(&rig, 1, 7);
	rig_close(&rig);
}
END_TEST

START_TEST(senseless_question_is_not_asked)
{
	const struct hqq_version others[] = { { 0, 0 }, { 0, 1 }, { 2, 0 }, { 1, 1 }, { 255, 255 } };
	const uint64_t features[] = { 4, 7, UINT64_C(1) << 63 };
	struct rig rig;
	int i;

	rig_open(&rig, _i, COUNT, SIZE, NULL);
	RIG_SAYS(&rig, 6, 0x100, 3, 7);
	for (i = 0; i < NUMBER_OF(others); i++)
		MUST_EQ(hqq_advanced_negotiate(rig.handle, &rig.now, others[i], 3), HQQ_ERR_INVALID_OP);
	for (i = 0; i < NUMBER_OF(features); i++)
		MUST_EQ(negotiate(&rig, features[i]), HQQ_ERR_INVALID_OP);
	RIG_SILENT(&rig);
	MUST_EQ(state_of(&rig), HQQ_PROTOCOL_NONE);
	rig_close(&rig);
}
END_TEST

/* ---- the peer asks ----------------------------------------------------------------------------- */

static const struct {
	uint64_t version, features, capabilities;
} questions[] = {
	{ 0x100, 3, 7 },
	{ 0x100, 1, 1 },
	{ 0x100, 2, 6 },
	{ 0x100, 0, 0 },
	{ 0x101, 3, 7 }, /* larger minors */
	{ 0x1ff, 2, 7 },
	{ 0x100, 7, 15 }, /* bits that nobody knows */
	{ 0x100, UINT64_MAX, UINT64_MAX },
	{ 0x17f, UINT64_C(0xfffffffffffffffc), UINT64_C(0xfffffffffffffff8) },
};

#define QUESTIONS NUMBER_OF(questions)

START_TEST(acceptor_masks_what_it_does_not_know)
{
	const int which = _i / SIDES;
	const uint64_t features = questions[which].features & 3, capabilities = questions[which].capabilities & 7;
	struct rig rig;

	rig_open(&rig, _i % SIDES, COUNT, SIZE, NULL);
	RIG_SAYS(&rig, 5, questions[which].version, questions[which].features, questions[which].capabilities);
	MUST_EQ(await(&rig), 0);
	RIG_SEES(&rig, NULL, 6, 0x100, features, capabilities);
	expect_agreed(&rig, features, capabilities);
	expect_refused_locally(&rig);
	rig_close(&rig);
}
END_TEST

static const uint64_t other_majors[] = {
	0, 1, 0xff, 0x200, 0x2ff, 0x10100, UINT64_C(0x8000000000000100), UINT64_MAX,
};

START_TEST(acceptor_refuses_other_majors)
{
	struct rig rig;

	rig_open(&rig, _i % SIDES, COUNT, SIZE, NULL);
	RIG_SAYS(&rig, 5, other_majors[_i / SIDES], 3, 7);
	MUST_EQ(await(&rig), HQQ_ERR_REJECTED);
	RIG_SEES(&rig, NULL, 0, 0, 6);
	MUST_EQ(state_of(&rig), HQQ_PROTOCOL_FAILED);
	expect_refused_locally(&rig);
	/* a better question comes too late */
	RIG_SAYS(&rig, 5, 0x100, 3, 7);
	MUST_EQ(rig_pump(&rig), 1);
	RIG_SEES(&rig, NULL, 0, 0, 6);
	MUST_EQ(state_of(&rig), HQQ_PROTOCOL_FAILED);
	rig_close(&rig);
}
END_TEST

START_TEST(wait_without_a_question_may_be_repeated)
{
	struct rig rig;

	rig_open(&rig, _i, COUNT, SIZE, NULL);
	MUST_EQ(await(&rig), HQQ_ERR_TIMEOUT);
	MUST_EQ(state_of(&rig), HQQ_PROTOCOL_NONE);
	RIG_SILENT(&rig);
	RIG_SAYS(&rig, 5, 0x100, 3, 7);
	MUST_EQ(await(&rig), 0);
	RIG_SEES(&rig, NULL, 6, 0x100, 3, 7);
	rig_close(&rig);
}
END_TEST

/* The question is taken out of the ring before the program says what it wants. */
START_TEST(early_question_waits_for_the_program)
{
	struct rig rig;

	rig_open(&rig, _i % SIDES, COUNT, SIZE, NULL);
	RIG_SAYS(&rig, 5, 0x100, 3, 5);
	MUST_EQ(rig_pump(&rig), 1);
	RIG_SILENT(&rig);
	MUST_EQ(state_of(&rig), HQQ_PROTOCOL_NONE);
	if (_i / SIDES == 0) {
		MUST_EQ(await(&rig), 0);
		RIG_SEES(&rig, NULL, 6, 0x100, 3, 5);
		expect_agreed(&rig, 3, 5);
	} else { /* it wants to ask itself, and less: the answer to the peer says so */
		MUST_EQ(negotiate(&rig, 2), 0);
		RIG_SEES(&rig, NULL, 6, 0x100, 2, 5);
		expect_agreed(&rig, 2, 5);
	}
	rig_close(&rig);
}
END_TEST

/* Unused operands and the opcode's upper bits are nobody's business. */
START_TEST(noise_in_a_question)
{
	struct rig rig;

	rig_open(&rig, _i, COUNT, SIZE, NULL);
	RIG_SAYS(&rig, UINT64_C(0xffffffffffffff05), 0x100, 3, 7, 1, 2, 3, UINT64_MAX);
	MUST_EQ(await(&rig), 0);
	RIG_SEES(&rig, NULL, 6, 0x100, 3, 7);
	expect_agreed(&rig, 3, 7);
	rig_close(&rig);
}
END_TEST

/* ---- both ask ---------------------------------------------------------------------------------- */

/* _i: side, then the features that the library wants, then those of the peer. */
START_TEST(both_ask_at_once)
{
	const uint64_t wanted = (uint64_t)_i / SIDES % 4, asked = (uint64_t)_i / SIDES / 4;
	struct adv_packet packet;
	struct rig rig;

	rig_open(&rig, _i % SIDES, COUNT, SIZE, NULL);
	RIG_SAYS(&rig, 5, 0x100, asked, 7);
	RIG_SAYS(&rig, 6, 0x100, wanted, 7);
	MUST_EQ(negotiate(&rig, wanted), 0);
	RIG_SEES(&rig, NULL, 5, 0x100, wanted, 7);
	MUST_EQ(adv_take(&rig.peer, &packet, 0), ADV_OK);
	MUST_EQ(packet.word[0], 6);
	MUST_EQ(packet.word[1], 0x100);
	MUST_EQ(packet.word[3], 7);
	expect_agreed(&rig, wanted & asked, 7);
	/* the peer has nothing but this answer to go by */
	MUST_EQ(packet.word[2], hqq_advanced_negotiated_features(rig.handle));
	expect_refused_locally(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(both_ask_and_the_other_says_no)
{
	struct rig rig;

	rig_open(&rig, _i, COUNT, SIZE, NULL);
	RIG_SAYS(&rig, 5, 0x100, 3, 7);
	RIG_SAYS(&rig, 0, 0, 6);
	MUST_EQ(negotiate(&rig, 3), HQQ_ERR_REJECTED);
	RIG_SEES(&rig, NULL, 5, 0x100, 3, 7);
	RIG_SEES(&rig, NULL, 6, 0x100, 3, 7);
	MUST_EQ(state_of(&rig), HQQ_PROTOCOL_FAILED);
	rig_close(&rig);
}
END_TEST

START_TEST(both_ask_with_different_majors)
{
	struct rig rig;

	rig_open(&rig, _i, COUNT, SIZE, NULL);
	RIG_SAYS(&rig, 5, 0x200, 3, 7);
	MUST_EQ(negotiate(&rig, 3), HQQ_ERR_REJECTED);
	RIG_SEES(&rig, NULL, 5, 0x100, 3, 7);
	RIG_SEES(&rig, NULL, 0, 0, 6);
	MUST_EQ(state_of(&rig), HQQ_PROTOCOL_FAILED);
	rig_close(&rig);
}
END_TEST

/* ---- before and after -------------------------------------------------------------------------- */

START_TEST(frames_before_negotiation_are_refused)
{
	const uint64_t kinds[] = { 0, ADV_REQUEST, ADV_RESPONSE, ADV_RESPONSE | ADV_ERROR };
	char text[8];
	struct rig rig;
	int i;

	rig_open(&rig, _i, 16, SIZE, NULL);
	for (i = 0; i < NUMBER_OF(kinds); i++)
		rig_sends(&rig, 0, 1, kinds[i], 5, 10);
	RIG_SAYS(&rig, 1, 1, 0);  /* CONN_CREATE */
	RIG_SAYS(&rig, 2, 1);     /* CONN_ACCEPT */
	RIG_SAYS(&rig, 3, 1, 0);  /* CONN_CLOSE */
	RIG_SAYS(&rig, 0, 1, 5);  /* ERROR */
	RIG_SAYS(&rig, 0, 0, 6);
	RIG_SAYS(&rig, 6, 0x100, 3, 7); /* an answer that nobody asked for */
	RIG_SAYS(&rig, 9);
	MUST_EQ(rig_pump(&rig), 11);
	MUST_EQ(rig_stats(&rig).refused, 11);
	MUST_EQ(state_of(&rig), HQQ_PROTOCOL_NONE);
	RIG_SILENT(&rig);
	/* Standard messages need no negotiation: this one is kept */
	MUST_EQ(foreign_write(&rig.peer.link, "early", 5, 0), FOREIGN_OK);
	rig_negotiate(&rig, 3);
	MUST_EQ(hqq_advanced_read(rig.handle, &rig.now, text, sizeof(text)), 5);
	MUST(memcmp(text, "early", 5) == 0);
	MUST_EQ(rig_stats(&rig).refused, 11);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(frames_of_a_feature_not_agreed_are_refused)
{
	const uint64_t features = 1 + (uint64_t)_i / RIG_WAYS;
	const uint64_t refused = features == 1 ? 2 : 1;
	struct rig rig;
	uint64_t id;

	rig_open(&rig, _i % RIG_WAYS, COUNT, SIZE, NULL);
	rig_negotiate(&rig, features);
	rig_sends(&rig, 0, 1, 0, 0, 10);
	rig_sends(&rig, 0, 2, ADV_REQUEST, 7, 10);
	rig_sends(&rig, 0, 3, ADV_RESPONSE, 7, 10);
	MUST_EQ(rig_pump(&rig), 3);
	MUST_EQ(rig_stats(&rig).refused, refused);
	if (features == 1) {
		MUST_EQ(hqq_advanced_call_start(rig.handle, &rig.now, 0, 1, "x", 1, &id), HQQ_ERR_INVALID_OP);
		RIG_RECEIVES(&rig, 0, 1, 0, 0, 10);
	} else {
		MUST_EQ(hqq_advanced_send_large(rig.handle, &rig.now, 0, "x", 1, &id), HQQ_ERR_INVALID_OP);
		RIG_RECEIVES(&rig, 0, 2, ADV_REQUEST, 7, 10);
		RIG_RECEIVES(&rig, 0, 3, ADV_RESPONSE, 7, 10);
	}
	RIG_RECEIVES_NOTHING(&rig);
	rig_close(&rig);
}
END_TEST

START_TEST(stray_answers_do_no_harm)
{
	struct rig rig;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	RIG_SAYS(&rig, 6, 0x100, 0, 0);
	RIG_SAYS(&rig, 6, 0x200, 0, 0);
	RIG_SAYS(&rig, 0, 0, 6);
	MUST_EQ(rig_pump(&rig), 3);
	MUST_EQ(rig_stats(&rig).refused, 3);
	expect_agreed(&rig, 3, 7);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

/* The peer was started again on the same segment; what it left unfinished is void. */
START_TEST(question_of_a_peer_that_starts_again)
{
	struct hqq_message message;
	struct rig rig;
	uint64_t id;

	rig_start(&rig, _i, COUNT, SIZE, NULL);
	rig_sends_part(&rig, 0, 1, 0, 0, 2 * SIZE, 0);
	MUST_EQ(hqq_advanced_call_start(rig.handle, &rig.now, 0, 1, "x", 1, &id), 0);
	rig_gets(&rig, 0, id, ADV_WHOLE | ADV_REQUEST, 1, "x", 1);
	RIG_SAYS(&rig, 5, 0x100, 3, 7);
	MUST_EQ(rig_pump(&rig), 2);
	MUST_EQ(hqq_advanced_call_wait(rig.handle, &rig.now, id, &message), HQQ_ERR_PEER_GONE);
	MUST_EQ(state_of(&rig), HQQ_PROTOCOL_NONE);
	RIG_SILENT(&rig);
	MUST_EQ(await(&rig), 0);
	RIG_SEES(&rig, NULL, 6, 0x100, 3, 7);
	expect_agreed(&rig, 3, 7);
	/* the rest of the old message is no part of anything */
	rig_sends_part(&rig, 0, 1, 0, 0, 2 * SIZE, 1);
	MUST_EQ(rig_pump(&rig), 1);
	MUST_EQ(rig_stats(&rig).refused, 1);
	rig_prove(&rig);
	rig_close(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("advanced bytes: negotiation");
	TCase *cases = test_case(suite, "asking", 20);

	tcase_add_loop_test(cases, initiator_announces_what_it_wants, 0, SIDES * 4);
	tcase_add_loop_test(cases, question_and_answer_as_bytes, 0, SIDES);
	tcase_add_loop_test(cases, acknowledgement_is_checked, 0, SIDES * ANSWERS);
	tcase_add_loop_test(cases, initiator_takes_no_for_an_answer, 0, SIDES * 6);
	tcase_add_loop_test(cases, question_without_an_answer_may_be_asked_again, 0, SIDES);
	tcase_add_loop_test(cases, senseless_question_is_not_asked, 0, SIDES);

	cases = test_case(suite, "being asked", 20);
	tcase_add_loop_test(cases, acceptor_masks_what_it_does_not_know, 0, SIDES * QUESTIONS);
	tcase_add_loop_test(cases, acceptor_refuses_other_majors, 0, SIDES * NUMBER_OF(other_majors));
	tcase_add_loop_test(cases, wait_without_a_question_may_be_repeated, 0, SIDES);
	tcase_add_loop_test(cases, early_question_waits_for_the_program, 0, SIDES * 2);
	tcase_add_loop_test(cases, noise_in_a_question, 0, SIDES);

	cases = test_case(suite, "both at once", 20);
	tcase_add_loop_test(cases, both_ask_at_once, 0, SIDES * 16);
	tcase_add_loop_test(cases, both_ask_and_the_other_says_no, 0, SIDES);
	tcase_add_loop_test(cases, both_ask_with_different_majors, 0, SIDES);

	cases = test_case(suite, "before and after", 20);
	tcase_add_loop_test(cases, frames_before_negotiation_are_refused, 0, RIG_WAYS);
	tcase_add_loop_test(cases, frames_of_a_feature_not_agreed_are_refused, 0, RIG_WAYS * 2);
	tcase_add_loop_test(cases, stray_answers_do_no_harm, 0, RIG_WAYS);
	tcase_add_loop_test(cases, question_of_a_peer_that_starts_again, 0, RIG_WAYS);
	return test_main(suite);
}
