/*
 * test_wait.c - sleeping: idle costs nothing, wake-ups are prompt, and none is lost
 *
 * HQQ_TEST_LONG=n in the environment makes it n million round trips.
 *
 * How a lost wake-up is told from a slow one: this program wraps the call in which the library
 * sleeps. When the kernel says that a sleep ended by time-out, although the peer's call that it
 * waited for had returned, bell and all, well before the end of that sleep, then no wake came; a
 * sleeper that was woken and only got no processor is told something else by the kernel.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "futex.h"
#include "sandbox.h"
#include "support.h"
#include "waiter.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIZE 64
#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

static const struct timespec passed = { 0, 0 };

static hqq_standard *join(const char *name, uint32_t role, uint32_t wait)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_standard *handle;

	options.role = role;
	options.wait = wait;
	MUST_EQ(hqq_standard_open(&handle, name, 0, 0, &options), 0);
	return handle;
}

/* ---- idle -------------------------------------------------------------------------------------- */

enum { WITH_PEER = 1, WRITING = 2, WATCHING = 4, BLOCKING = 8 };

struct idler {
	const char *name;
	unsigned int how;
	uint64_t milliseconds;
};

static int idle(void *argument)
{
	const struct idler *idler = argument;
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_standard *handle, *peer = NULL;
	uint64_t cpu, wall, share;
	struct timespec deadline;

	options.wait = idler->how & BLOCKING ? HQQ_WAIT_BLOCK : HQQ_WAIT_ADAPTIVE;
	MUST_EQ(hqq_standard_create(&handle, idler->name, 4, SIZE, 0600, &options), 0);
	if (idler->how & WITH_PEER)
		peer = join(idler->name, HQQ_ROLE_SECONDARY, HQQ_WAIT_ADAPTIVE);
	MUST_EQ(hqq_standard_set_deadline(handle, &passed), 0);
	if (idler->how & WRITING)
		waiter_fill(handle);
	if (idler->how & WATCHING)
		MUST(hqq_standard_event_fd(handle) >= 0);
	deadline = test_in_ms(idler->milliseconds);
	MUST_EQ(hqq_standard_set_deadline(handle, &deadline), 0);
	cpu = test_cpu_ns();
	wall = test_now_ns();
	MUST_EQ(waiter_call(handle, idler->how & WRITING ? WAITER_READS : 0), HQQ_ERR_TIMEOUT);
	cpu = test_cpu_ns() - cpu;
	wall = test_now_ns() - wall;
	share = cpu * 100000 / wall;
	fprintf(stderr, "idle for %llu ms%s%s%s%s: %llu.%03llu%% of a processor\n",
		(unsigned long long)wall / 1000000, idler->how & WITH_PEER ? ", peer there" : ", alone",
		idler->how & WRITING ? ", writing" : ", reading",
		idler->how & WATCHING ? ", event descriptor" : "",
		idler->how & BLOCKING ? ", never spinning" : "", (unsigned long long)share / 1000,
		(unsigned long long)share % 1000);
	MUST(share < 1000 * test_slowness());
	if (peer != NULL)
		MUST_EQ(hqq_standard_close(peer), 0);
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

#define IDLERS 16

START_TEST(idle_costs_less_than_a_percent)
{
	struct idler idlers[IDLERS];
	struct child children[IDLERS];
	unsigned int i;

	/* all combinations at once: together they may take 5 s as well as one */
	for (i = 0; i < IDLERS; i++) {
		idlers[i] = (struct idler){ test_name("idle"), i, 5000 };
		child_start(&children[i], idle, &idlers[i]);
	}
	for (i = 0; i < IDLERS; i++)
		child_join_ok(&children[i]);
}
END_TEST

/* ---- the wrapped sleep ------------------------------------------------------------------------- */

/* Shared by the two sides of a game; side s writes turns[s]. */
struct game {
	struct {
		_Atomic uint64_t turn;    /* calls that returned, so far */
		_Atomic uint64_t done_ns; /* when the last of them did */
		_Atomic uint64_t lost;    /* sleeps of this side that nobody ended */
		_Atomic uint64_t slow;    /* turns that took more than 40 ms */
		_Atomic uint64_t sleeps;
		uint64_t unused[3];
	} side[2];
	_Atomic uint64_t turns; /* to play; side 0 may end the game before the last of them begins */
};

/* Two threads that wait for a slot each; no game then. */
static struct waiter *two_waiters;
static _Atomic uint64_t overslept; /* sleeps of the second one that the first one should have ended */

static struct game *game;
static int own_side;
static uint64_t awaited_turn; /* of the other side, for which we wait */

void __real_hqq_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t bits, uint64_t deadline);
void __wrap_hqq_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t bits, uint64_t deadline);

void __wrap_hqq_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t bits, uint64_t deadline)
{
	const int before = errno;

	errno = 0;
	__real_hqq_futex_wait(word, expected, bits, deadline);
	if (game != NULL && errno == ETIMEDOUT && game->side[1 - own_side].turn == awaited_turn &&
	    game->side[1 - own_side].done_ns + MS < deadline)
		game->side[own_side].lost++;
	for (int i = 0; two_waiters != NULL && errno == ETIMEDOUT && i < 2; i++) {
		if (two_waiters[i].ended_ns != 0 && two_waiters[i].ended_ns + MS < deadline)
			overslept++;
	}
	errno = before;
}

static void turn_done(void)
{
	/* the time first: whoever sees the turn sees when it was */
	game->side[own_side].done_ns = test_now_ns();
	game->side[own_side].turn++;
}

static void pin_to_one_cpu(void)
{
	cpu_set_t set, one;
	size_t cpu;

	MUST_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
	for (cpu = 0; !CPU_ISSET(cpu, &set); cpu++)
		continue;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	MUST_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
}

static bool is_long(void)
{
	const char *wish = getenv("HQQ_TEST_LONG");

	return wish != NULL && atoi(wish) > 0;
}

static uint64_t round_trips(void)
{
	if (is_long())
		return 1000000 * (uint64_t)atoi(getenv("HQQ_TEST_LONG"));
	return 100000 / (test_slowness() * test_slowness());
}

/*
 * A short game has so much time: on a processor that has others to serve as well, each sleep may cost a wait
 * for it.
 */
#define GAME_SECONDS 20

/* ---- games: two processes, each of which sleeps until the other's turn is done ----------------- */

struct player {
	const char *name;
	int side;
	bool room;         /* waits for room, else for a message */
	bool one_cpu;
	bool no_membarrier;
	uint64_t end_ns;
};

/* Histogram of turns by powers of two microseconds. */
#define BUCKETS 24

static void count_turn(uint64_t histogram[BUCKETS], uint64_t took_ns)
{
	unsigned int bucket = 0;

	while (bucket < BUCKETS - 1 && took_ns >> bucket >= 1000)
		bucket++;
	histogram[bucket]++;
	game->side[own_side].slow += took_ns > 40 * MS;
}

static void tell_turns(const struct player *player, const uint64_t histogram[BUCKETS])
{
	char line[BUCKETS * 32] = "";
	unsigned int bucket;
	size_t used = 0;

	for (bucket = 0; bucket < BUCKETS; bucket++) {
		if (histogram[bucket] != 0)
			used += (size_t)snprintf(line + used, sizeof(line) - used, " <%llu us: %llu",
						 1ULL << bucket, (unsigned long long)histogram[bucket]);
	}
	fprintf(stderr, "side %d, turns of%s\n", player->side, line);
}

/* Side 0 decides, before that turn: whatever tells the other of it tells it of the end as well. */
static void end_in_time(const struct player *player, uint64_t turn, uint64_t now)
{
	if (player->side == 0 && now > player->end_ns && turn < game->turns)
		game->turns = turn;
}

/* Messages to and fro: each side sleeps for the other's. */
static void exchange_messages(const struct player *player, hqq_standard *handle, uint64_t histogram[BUCKETS])
{
	uint64_t turn, number;

	for (turn = 1; turn <= game->turns; turn++) {
		uint64_t began = test_now_ns();

		end_in_time(player, turn, began);
		if (player->side == 0) {
			MUST_EQ(hqq_standard_write(handle, &turn, sizeof(turn)), sizeof(turn));
			turn_done();
		}
		awaited_turn = turn;
		MUST_EQ(hqq_standard_read(handle, &number, sizeof(number)), sizeof(number));
		MUST_EQ(number, turn);
		if (player->side == 1) {
			MUST_EQ(hqq_standard_write(handle, &turn, sizeof(turn)), sizeof(turn));
			turn_done();
		}
		count_turn(histogram, test_now_ns() - began);
	}
}

/* Side 0's ring is full: each of its writes sleeps until side 1 took a message, once it saw the last one
 * done. */
static void exchange_room(const struct player *player, hqq_standard *handle, uint64_t histogram[BUCKETS])
{
	uint64_t turn, number;

	for (turn = 1; turn <= game->turns; turn++) {
		uint64_t began = test_now_ns();

		end_in_time(player, turn, began);
		if (player->side == 0) {
			awaited_turn = turn;
			MUST_EQ(hqq_standard_write(handle, &turn, sizeof(turn)), sizeof(turn));
			turn_done();
		} else {
			/* the first of them are those that filled the ring */
			MUST(hqq_standard_read(handle, &number, sizeof(number)) > 0);
			turn_done();
			while (game->side[0].turn < turn)
				sched_yield();
		}
		count_turn(histogram, test_now_ns() - began);
	}
}

static int play(void *argument)
{
	const struct player *player = argument;
	const int membarrier_call = SYS_membarrier;
	uint64_t histogram[BUCKETS] = { 0 };
	struct hqq_stats stats;
	hqq_standard *handle;

	if (player->one_cpu)
		pin_to_one_cpu();
	if (player->no_membarrier)
		MUST(sandbox_deny(&membarrier_call, 1, ENOSYS));
	own_side = player->side;
	handle =
		join(player->name, player->side == 0 ? HQQ_ROLE_PRIMARY : HQQ_ROLE_SECONDARY, HQQ_WAIT_BLOCK);
	parent_say('r');
	parent_hear('g');
	if (player->room)
		exchange_room(player, handle, histogram);
	else
		exchange_messages(player, handle, histogram);
	MUST_EQ(hqq_standard_stats(handle, &stats), 0);
	game->side[player->side].sleeps = stats.sleeps;
	tell_turns(player, histogram);
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

struct rules {
	const char *title;
	bool room, one_cpu;
	bool no_membarrier[2];
	unsigned int divisor; /* of the round trips */
};

static const struct rules games[] = {
	{ "messages, one processor", false, true, { false, false }, 1 },
	{ "messages, any processor", false, false, { false, false }, 5 },
	{ "room, one processor", true, true, { false, false }, 2 },
	{ "room, any processor", true, false, { false, false }, 5 },
	{ "messages, side 0 without membarrier", false, true, { true, false }, 5 },
	{ "messages, side 1 without membarrier", false, true, { false, true }, 5 },
	{ "messages, both without membarrier", false, false, { true, true }, 10 },
	{ "room, both without membarrier", true, true, { true, true }, 10 },
};

#define GAMES (int)(sizeof(games) / sizeof(games[0]))

START_TEST(no_wake_up_is_lost)
{
	const struct rules *rules = &games[_i];
	struct player players[2];
	struct child children[2];
	hqq_standard *maker;
	int side;

	if ((rules->no_membarrier[0] || rules->no_membarrier[1]) && !sandbox_works()) {
		test_skip("seccomp filters do not work here");
		return;
	}
	game = (struct game *)(void *)test_map_memory(sizeof(*game));
	for (side = 0; side < 2; side++)
		players[side] = (struct player){
			.name = test_name("game"),
			.side = side,
			.room = rules->room,
			.one_cpu = rules->one_cpu,
			.no_membarrier = rules->no_membarrier[side],
			.end_ns = is_long() ? UINT64_MAX
			                    : test_now_ns() + GAME_SECONDS * SECOND * test_slowness(),
		};
	players[1].name = players[0].name;
	game->turns = round_trips() / rules->divisor + 10;
	MUST_EQ(hqq_standard_create(&maker, players[0].name, 2, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(maker, &passed), 0);
	if (rules->room)
		waiter_fill(maker);
	for (side = 0; side < 2; side++) {
		child_start(&children[side], play, &players[side]);
		child_hear(&children[side], 'r');
	}
	for (side = 0; side < 2; side++)
		child_say(&children[side], 'g');
	for (side = 0; side < 2; side++)
		child_join_ok(&children[side]);
	for (side = 0; side < 2; side++)
		fprintf(stderr,
			"%s: side %d slept %llu times in %llu turns, %llu took over 40 ms, %llu wake-ups "
			"lost\n",
			rules->title, side, (unsigned long long)game->side[side].sleeps,
			(unsigned long long)game->turns, (unsigned long long)game->side[side].slow,
			(unsigned long long)game->side[side].lost);
	/* a game in which nobody slept shows nothing; on one processor whoever waits has to sleep */
	MUST(!rules->one_cpu || game->side[0].sleeps + game->side[1].sleeps > game->turns / 4);
	MUST_EQ(game->side[0].lost + game->side[1].lost, 0);
	MUST_EQ(hqq_standard_close(maker), 0);
	test_unmap((unsigned char *)game, sizeof(*game));
	game = NULL;
}
END_TEST

/* The check is itself checked: a sleeper that nobody wakes must show as lost. */
static int sleep_unheard(void *argument)
{
	static _Atomic uint32_t nobodys_word;

	(void)argument;
	own_side = 0;
	awaited_turn = 1;
	game->side[1].turn = 1;
	game->side[1].done_ns = test_now_ns();
	hqq_futex_wait(&nobodys_word, 0, 1, test_now_ns() + 30 * MS);
	MUST_EQ(game->side[0].lost, 1);
	/* while the turn is not done, or only just, a sleep that ends by itself is none */
	game->side[1].turn = 0;
	hqq_futex_wait(&nobodys_word, 0, 1, test_now_ns() + 5 * MS);
	game->side[1].turn = 1;
	game->side[1].done_ns = test_now_ns() + 5 * MS;
	hqq_futex_wait(&nobodys_word, 0, 1, test_now_ns() + 5 * MS);
	MUST_EQ(game->side[0].lost, 1);
	return 0;
}

START_TEST(a_lost_one_would_be_seen)
{
	struct child child;

	game = (struct game *)(void *)test_map_memory(sizeof(*game));
	child_start(&child, sleep_unheard, NULL);
	child_join_ok(&child);
	test_unmap((unsigned char *)game, sizeof(*game));
	game = NULL;
}
END_TEST

/* ---- crowds ------------------------------------------------------------------------------------ */

#define SLEEPERS 6

/* Any of several sleepers, in threads, handles and ways, gets each message at once. */
START_TEST(one_of_many_sleepers_wakes)
{
	const int rounds = 20 / (int)test_slowness() + 3;
	const char *name = test_name("crowd");
	struct waiter waiters[SLEEPERS];
	hqq_standard *handles[3], *writer;
	uint64_t longest = 0;
	int round, i;

	MUST_EQ(hqq_standard_create(&writer, name, 16, SIZE, 0600, NULL), 0);
	for (i = 0; i < 3; i++)
		handles[i] = join(name, HQQ_ROLE_SECONDARY, HQQ_WAIT_BLOCK);
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < SLEEPERS; i++)
			waiter_start(&waiters[i], handles[i % 3], (i + round) % WAITER_READS);
		for (i = 0; i < SLEEPERS; i++)
			waiter_asleep(&waiters[i]);
		for (i = 0; i < SLEEPERS; i++) {
			uint64_t now = test_now_ns(), awake = 0;
			int j;

			MUST_EQ(hqq_standard_write(writer, WAITER_TEXT, WAITER_LENGTH), WAITER_LENGTH);
			while ((int)awake < i + 1) {
				for (awake = 0, j = 0; j < SLEEPERS; j++)
					awake += waiters[j].ended_ns != 0;
				MUST(test_now_ns() - now < TEST_WAKE_NS);
				sched_yield(); /* those who were woken may need this processor */
			}
			longest = test_now_ns() - now > longest ? test_now_ns() - now : longest;
		}
		for (i = 0; i < SLEEPERS; i++)
			MUST_EQ(waiter_join(&waiters[i]), waiter_success(waiters[i].way));
	}
	fprintf(stderr, "the longest of %d wake-ups in a crowd took %llu us\n", rounds * SLEEPERS,
	        (unsigned long long)longest / 1000);
	for (i = 0; i < 3; i++)
		MUST_EQ(hqq_standard_close(handles[i]), 0);
	MUST_EQ(hqq_standard_close(writer), 0);
}
END_TEST

/* Finishes two reserved slots, the later one first, so that the first ring of the bell finds nothing to take. */
static void finish_backwards(hqq_standard *handle, bool writes)
{
	struct hqq_reservation slots[2];
	int i;

	for (i = 0; i < 2; i++) {
		MUST_EQ((writes ? hqq_standard_reserve_write : hqq_standard_reserve_read)(handle, &slots[i]), 0);
		if (writes)
			memcpy(slots[i].data, WAITER_TEXT, WAITER_LENGTH);
	}
	for (i = 1; i >= 0; i--) {
		MUST_EQ(writes ? hqq_standard_commit(&slots[i], WAITER_LENGTH) : hqq_standard_release(&slots[i]), 0);
		test_sleep_ms(1); /* who was woken sleeps again, mostly */
	}
}

/* Two sleepers in endpoints of their own: both get theirs, without either's sleep ending by itself. _i: for room */
START_TEST(slots_finished_backwards_wake_both)
{
	const int rounds = 20 / (int)test_slowness() + 3;
	const char *name = test_name("backwards");
	const int way = _i ? WAITER_READS : 0;
	hqq_standard *handles[2], *other;
	struct waiter waiters[2];
	int round, i;

	overslept = 0;
	MUST_EQ(hqq_standard_create(&other, name, 4, SIZE, 0600, NULL), 0);
	for (i = 0; i < 2; i++)
		handles[i] = join(name, HQQ_ROLE_SECONDARY, HQQ_WAIT_BLOCK);
	for (round = 0; round < rounds; round++) {
		if (_i)
			for (i = 0; i < 4; i++)
				MUST_EQ(hqq_standard_write(handles[0], WAITER_TEXT, WAITER_LENGTH), WAITER_LENGTH);
		memset(waiters, 0, sizeof(waiters));
		two_waiters = waiters;
		for (i = 0; i < 2; i++)
			waiter_start(&waiters[i], handles[i], way);
		for (i = 0; i < 2; i++)
			waiter_asleep(&waiters[i]);
		finish_backwards(other, !_i);
		for (i = 0; i < 2; i++)
			MUST_EQ(waiter_join(&waiters[i]), WAITER_LENGTH);
		two_waiters = NULL;
		if (_i)
			for (i = 0; i < 4; i++)
				MUST_EQ(waiter_call(other, 0), WAITER_LENGTH);
	}
	fprintf(stderr, "of %d pairs of slots finished backwards %llu kept a thread waiting\n", rounds,
	        (unsigned long long)overslept);
	MUST_EQ(overslept, 0);
	for (i = 0; i < 2; i++)
		MUST_EQ(hqq_standard_close(handles[i]), 0);
	MUST_EQ(hqq_standard_close(other), 0);
}
END_TEST

struct passer {
	hqq_standard *handle;
	_Atomic bool stop;
	_Atomic uint64_t got;
};

/* Waits shortly, over and over: time and again a wake-up comes to it just as it leaves. */
static void *wait_shortly(void *argument)
{
	struct passer *passer = argument;
	char buffer[SIZE];
	uint64_t seed = 1;

	while (!passer->stop) {
		struct timespec soon = test_in_ms(0);
		ssize_t n;

		soon.tv_nsec += (long)(test_random(&seed) % 300000);
		soon.tv_sec += soon.tv_nsec / 1000000000;
		soon.tv_nsec %= 1000000000;
		MUST_EQ(hqq_standard_set_read_deadline(passer->handle, &soon), 0);
		n = hqq_standard_read(passer->handle, buffer, sizeof(buffer));
		MUST(n == WAITER_LENGTH || n == HQQ_ERR_TIMEOUT);
		passer->got += n == WAITER_LENGTH;
	}
	return NULL;
}

START_TEST(who_leaves_passes_the_wake_up_on)
{
	const int rounds = 400 / (int)test_slowness();
	const char *name = test_name("passing");
	struct passer passer = { .stop = false };
	hqq_standard *writer, *sleeper;
	const uint64_t end = test_now_ns() + GAME_SECONDS * SECOND * test_slowness();
	uint64_t longest = 0, passed_on = 0;
	pthread_t thread;
	int round;

	MUST_EQ(hqq_standard_create(&writer, name, 16, SIZE, 0600, NULL), 0);
	passer.handle = join(name, HQQ_ROLE_SECONDARY, HQQ_WAIT_BLOCK);
	sleeper = join(name, HQQ_ROLE_SECONDARY, HQQ_WAIT_BLOCK);
	MUST_EQ(pthread_create(&thread, NULL, wait_shortly, &passer), 0);
	for (round = 0; round < rounds && test_now_ns() < end; round++) {
		uint64_t before = passer.got, now;
		struct waiter waiter;

		waiter_start(&waiter, sleeper, 0);
		while (waiter.tid == 0)
			sched_yield();
		test_sleep_ms(1);
		now = test_now_ns();
		MUST_EQ(hqq_standard_write(writer, WAITER_TEXT, WAITER_LENGTH), WAITER_LENGTH);
		while (waiter.ended_ns == 0 && passer.got == before) {
			MUST(test_now_ns() - now < TEST_WAKE_NS);
			sched_yield();
		}
		longest = test_now_ns() - now > longest ? test_now_ns() - now : longest;
		/* not by the waiter's end, which it may reach later: one message, and one of the two has it */
		if (passer.got != before) {
			MUST_EQ(hqq_standard_interrupt(sleeper), 0);
			MUST_EQ(waiter_join(&waiter), HQQ_ERR_CANCELED);
			MUST_EQ(hqq_standard_resume(sleeper), 0);
		} else {
			MUST_EQ(waiter_join(&waiter), WAITER_LENGTH);
			passed_on++;
		}
	}
	passer.stop = true;
	MUST_EQ(pthread_join(thread, NULL), 0);
	fprintf(stderr, "of %d messages %llu went to the sleeper, the longest took %llu us\n", round,
	        (unsigned long long)passed_on, (unsigned long long)longest / 1000);
	MUST_EQ(hqq_standard_close(sleeper), 0);
	MUST_EQ(hqq_standard_close(passer.handle), 0);
	MUST_EQ(hqq_standard_close(writer), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("waiting");
	TCase *cases = test_case(suite, "idle", 60);

	tcase_add_test(cases, idle_costs_less_than_a_percent);

	cases = test_case(suite, "lost wake-ups", 60 + 100e-6 * (double)round_trips());
	tcase_add_test(cases, a_lost_one_would_be_seen);
	tcase_add_loop_test(cases, no_wake_up_is_lost, 0, GAMES);

	cases = test_case(suite, "crowds", 60);
	tcase_add_test(cases, one_of_many_sleepers_wakes);
	tcase_add_test(cases, who_leaves_passes_the_wake_up_on);
	tcase_add_loop_test(cases, slots_finished_backwards_wake_both, 0, 2);
	return test_main(suite);
}
