/*
 * test_litmus.c - the two patterns of memory order that the library stands on, in small rounds
 *
 *   message passing   store data; publish  |  claim; load data      a claimed message is whole
 *   store buffering   publish; light fence; load marks  |  mark; heavy fence; look
 *                                                                   one of the two sees the other
 *
 * Two processes meet at a start line, are delayed a little differently each time and play one round
 * with the library's own functions; outcomes that its guarantees forbid are counted and must be 0.
 * Each pattern has a broken twin, made of relaxed operations: what it shows tells whether this machine
 * could have failed the test. On x86 the broken message passing cannot, so its count is only printed.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "fence.h"
#include "layout.h"
#include "ring.h"
#include "support.h"
#include "wait.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define COUNT 2
#define SIZE 64
#define WORDS (SIZE / sizeof(uint64_t))

/* A short game has so much time: on one processor that has others to serve, each meeting waits for it. */
#define GAME_NS UINT64_C(10000000000)

static unsigned int wish(void)
{
	const char *text = getenv("HQQ_TEST_LONG");

	return text && atoi(text) > 0 ? (unsigned int)atoi(text) : 0;
}

static uint64_t rounds(void)
{
	uint64_t n = 100000 / (test_slowness() * test_slowness());

	return wish() ? 20 * n * wish() : n;
}

/* ---- two that meet ----------------------------------------------------------------------------- */

/* Shared; words of different writers lie apart, as they do in a segment. */
struct table {
	_Alignas(128) _Atomic uint64_t arrived[2]; /* the round that each is in */
	_Alignas(128) _Atomic uint64_t x;          /* for the broken twins */
	_Alignas(128) _Atomic uint64_t y;
	_Alignas(128) _Atomic uint64_t seen[2];    /* what each loaded */
	_Alignas(128) struct hqq_bell bell;
	_Alignas(128) _Atomic uint64_t lanes[2];
	_Atomic uint64_t light;                    /* the publisher is registered for the asymmetric fence */
	_Atomic uint64_t not_exact;                /* rounds whose sleeper was told to sleep shortly */
	_Atomic uint64_t rounds;                   /* to play; player 0 may end the game, before the last of them */
};

struct game {
	struct table *table;
	unsigned char *segment;
	struct hqq_ring ring;
	void (*prepare)(struct game *game, unsigned int who); /* before each round; may be NULL */
	void (*play)(struct game *game, unsigned int who, uint64_t round);
	bool (*is_forbidden)(const struct game *game);
	uint64_t forbidden; /* counted by player 0 */
	uint64_t random[2];
};

static void meet(struct table *table, unsigned int who, uint64_t number)
{
	unsigned int looks = 0;

	atomic_store_explicit(&table->arrived[who], number, memory_order_seq_cst);
	while (atomic_load_explicit(&table->arrived[!who], memory_order_seq_cst) < number) {
		hqq_pause();
		/* on one processor, and under a checker that runs one thread at a time */
		if (++looks % 256 == 0)
			sched_yield();
	}
}

/* None to a few hundred cycles, so that each meets each step of the other. */
static void linger(struct game *game, unsigned int who)
{
	uint64_t n = test_random(&game->random[who]) % 64;

	while (n-- > 0)
		atomic_signal_fence(memory_order_seq_cst);
}

static int play_all(struct game *game, unsigned int who)
{
	const uint64_t end = wish() ? UINT64_MAX : test_now_ns() + GAME_NS * test_slowness();
	_Atomic uint64_t *all = &game->table->rounds;
	uint64_t round;

	game->random[who] = who + 1;
	for (round = 1; round <= *all; round++) {
		/* the other one looks again behind the meetings of this round */
		if (who == 0 && round % 64 == 0 && test_now_ns() > end)
			*all = round;
		if (game->prepare)
			game->prepare(game, who);
		meet(game->table, who, 2 * round - 1);
		linger(game, who);
		game->play(game, who, round);
		meet(game->table, who, 2 * round);
		if (who == 0)
			game->forbidden += game->is_forbidden(game);
	}
	return 0;
}

static int second_player(void *argument)
{
	return play_all(argument, 1);
}

static void game_play(struct game *game)
{
	struct child child;

	child_start(&child, second_player, game);
	play_all(game, 0);
	child_join_ok(&child);
}

static void *shared_memory(size_t length)
{
	void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	MUST(memory != MAP_FAILED);
	return memory;
}

static struct hqq_geometry geometry;

static void game_make(struct game *game)
{
	uint64_t i;

	memset(game, 0, sizeof(*game));
	MUST_EQ(hqq_geometry_init(&geometry, COUNT, SIZE), 0);
	game->table = shared_memory(sizeof(*game->table));
	game->table->rounds = rounds();
	game->segment = shared_memory(geometry.layout_size);
	hqq_ring_init(&game->ring, game->segment, &geometry, 0);
	for (i = 0; i < COUNT; i++)
		game->ring.elements[i].sequence = i;
}

static void game_end(struct game *game, const char *title)
{
	fprintf(stderr, "%s: %llu of %llu rounds gave what must not be, %llu of them bounded sleeps\n", title,
	        (unsigned long long)game->forbidden, (unsigned long long)game->table->rounds,
	        (unsigned long long)game->table->not_exact);
	munmap(game->table, sizeof(*game->table));
	munmap(game->segment, geometry.layout_size);
}

/* ---- message passing --------------------------------------------------------------------------- */

/* The words of a message, stored and loaded one by one: relaxed, in no order of their own. */
static _Atomic uint64_t *words_of(const struct game *game, uint64_t position)
{
	return hqq_ring_buffer(&game->ring, position);
}

static void fill(_Atomic uint64_t *words, uint64_t value)
{
	size_t i;

	for (i = 0; i < WORDS; i++)
		atomic_store_explicit(&words[i], value, memory_order_relaxed);
}

/* How many of the words are not of this message. Last word first: the one stored last. */
static uint64_t strangers(_Atomic uint64_t *words, uint64_t value)
{
	uint64_t count = 0;
	size_t i;

	for (i = WORDS; i-- > 0;)
		count += atomic_load_explicit(&words[i], memory_order_relaxed) != value;
	return count;
}

static void claim(struct game *game, unsigned int who, enum hqq_claim_kind kind, uint64_t *position)
{
	unsigned int looks = 0;

	while (!hqq_ring_claim(&game->ring, &game->table->lanes[who], kind, false, position)) {
		hqq_pause();
		if (++looks % 256 == 0)
			sched_yield();
	}
}

/* Three messages through two slots: the third overwrites what the reader released. */
static void pass_messages(struct game *game, unsigned int who, uint64_t round)
{
	uint64_t position, i, bad = 0;

	for (i = 0; i < 3; i++) {
		claim(game, who, who == 0 ? HQQ_CLAIM_WRITE : HQQ_CLAIM_READ, &position);
		if (who == 0) {
			fill(words_of(game, position), 3 * round + i);
			hqq_ring_publish(&game->ring, position);
		} else {
			bad += strangers(words_of(game, position), 3 * round + i);
			hqq_ring_release(&game->ring, position);
		}
	}
	if (who == 1)
		atomic_store_explicit(&game->table->seen[1], bad, memory_order_relaxed);
}

/* The same with a flag that promises nothing. */
static void pass_without_order(struct game *game, unsigned int who, uint64_t round)
{
	_Atomic uint64_t *words = words_of(game, 0);
	unsigned int looks = 0;

	if (who == 0) {
		fill(words, round);
		atomic_store_explicit(&game->table->x, round, memory_order_relaxed);
		return;
	}
	while (atomic_load_explicit(&game->table->x, memory_order_relaxed) != round) {
		if (++looks % 256 == 0)
			sched_yield();
	}
	atomic_store_explicit(&game->table->seen[1], strangers(words, round), memory_order_relaxed);
}

static bool is_torn(const struct game *game)
{
	return atomic_load_explicit(&game->table->seen[1], memory_order_relaxed) != 0;
}

START_TEST(message_passing)
{
	struct game game;

	game_make(&game);
	game.play = pass_messages;
	game.is_forbidden = is_torn;
	game_play(&game);
	game_end(&game, "publish and claim");
	MUST_EQ(game.forbidden, 0);
}
END_TEST

START_TEST(message_passing_broken)
{
	struct game game;

	game_make(&game);
	game.play = pass_without_order;
	game.is_forbidden = is_torn;
	game_play(&game);
	game_end(&game, "publish and claim, broken");
}
END_TEST

/* ---- sleep and wake ---------------------------------------------------------------------------- */

/*
 * Player 0 publishes and rings the bell, player 1 marks it and looks for the message, as hqq_bell_ring()
 * and the wait of a link do. Forbidden: no ring and no message, where the mark said that this is exact.
 */
static void ring_and_mark(struct game *game, unsigned int who, uint64_t round)
{
	struct table *table = game->table;
	bool exact = false, seen;

	(void)round;
	if (who == 0) {
		uint64_t position;

		claim(game, 0, HQQ_CLAIM_WRITE, &position);
		hqq_ring_publish(&game->ring, position);
		/* of hqq_bell_ring(): all that is before the system call */
		hqq_fence_light(table->light != 0);
		seen = atomic_load_explicit(&table->bell.marks, memory_order_relaxed) != 0;
		atomic_store_explicit(&table->seen[0], seen, memory_order_relaxed);
		return;
	}
	hqq_bell_mark(&table->bell, 0, &exact);
	seen = hqq_ring_is_ready(&game->ring, HQQ_CLAIM_READ);
	if (!exact)
		table->not_exact++;
	atomic_store_explicit(&table->seen[1], seen || (!exact && table->light != 0), memory_order_relaxed);
}

/*
 * Each takes back what the other stored. So the word that a player will store lies in the other's cache
 * and the one that it will load in its own: the load is done long before the store is seen.
 */
static void take_back(struct game *game, unsigned int who)
{
	uint64_t position;

	if (who == 0) {
		hqq_bell_unmark(&game->table->bell, 0);
		atomic_store_explicit(&game->table->y, 0, memory_order_relaxed);
		return;
	}
	if (hqq_ring_claim(&game->ring, &game->table->lanes[1], HQQ_CLAIM_READ, false, &position))
		hqq_ring_release(&game->ring, position);
	atomic_store_explicit(&game->table->x, 0, memory_order_relaxed);
}

static bool is_missed(const struct game *game)
{
	return !atomic_load_explicit(&game->table->seen[0], memory_order_relaxed) &&
	       !atomic_load_explicit(&game->table->seen[1], memory_order_relaxed);
}

/* The same without a barrier between store and load, on either side. */
static void mark_without_fence(struct game *game, unsigned int who, uint64_t round)
{
	struct table *table = game->table;
	_Atomic uint64_t *own = who == 0 ? &table->x : &table->y, *other = who == 0 ? &table->y : &table->x;
	uint64_t seen;

	(void)round;
	atomic_store_explicit(own, 1, memory_order_relaxed);
	seen = atomic_load_explicit(other, memory_order_relaxed);
	atomic_store_explicit(&table->seen[who], seen, memory_order_relaxed);
}

/* Without and with membarrier(2): the light fence is then a full one. */
START_TEST(sleep_and_wake)
{
	struct game game;

	game_make(&game);
	game.table->light = _i == 0 ? 0 : hqq_fence_register();
	if (_i == 1 && !game.table->light) {
		test_skip("no membarrier(2) here");
	} else {
		if (_i == 1) /* an interrupt per round */
			game.table->rounds = rounds() / 10;
		game.prepare = take_back;
		game.play = ring_and_mark;
		game.is_forbidden = is_missed;
		game_play(&game);
		MUST_EQ(game.forbidden, 0);
	}
	game_end(&game, _i == 0 ? "sleep and wake, full fences" : "sleep and wake, asymmetric fence");
}
END_TEST

START_TEST(sleep_and_wake_broken)
{
	struct game game;

	game_make(&game);
	game.prepare = take_back;
	game.play = mark_without_fence;
	game.is_forbidden = is_missed;
	game_play(&game);
	if (game.forbidden == 0)
		fprintf(stderr, "this machine, or its one processor, does not show a missing fence here\n");
	game_end(&game, "sleep and wake, broken");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("litmus");
	TCase *cases = test_case(suite, "litmus", 60);

	tcase_add_test(cases, message_passing);
	tcase_add_test(cases, message_passing_broken);
	tcase_add_loop_test(cases, sleep_and_wake, 0, 2);
	tcase_add_test(cases, sleep_and_wake_broken);
	return test_main(suite);
}
