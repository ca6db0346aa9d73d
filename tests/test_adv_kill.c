/*
 * test_adv_kill.c - kill -9 of a server at any moment, another one at once: its client never waits for ever
 *
 * The client asks for a session without any deadline that matters, and calls. Whatever it waits for when
 * the server dies, the answer to its question or to a call, ends with PEER_GONE, and the next server
 * answers. Every answer that comes is the right one. How often which happens is chance: the single cases
 * are in test_adv_successor and test_adv_end.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define COUNT 8
#define SIZE 256
#define DISPATCHERS 3

static const char *const dispatcher_names[DISPATCHERS] = {"AUTO", "THREAD", "MANUAL"};

static unsigned kills(void)
{
	const char *wish = getenv("HQQ_TEST_LONG");
	const unsigned factor = wish && atoi(wish) > 0 ? 40 * (unsigned)atoi(wish) : 1;

	return 60 * factor / test_slowness() + 3;
}

static void sleep_us(uint64_t us)
{
	const struct timespec time = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};

	nanosleep(&time, NULL);
}

/* What the processes tell each other; shared memory. */
struct board {
	_Atomic uint64_t calls;     /* answered */
	_Atomic uint64_t lost[2];   /* PEER_GONE in a call, in a negotiation */
	_Atomic uint64_t ended;     /* no server is killed any more */
};

struct life {
	const char *name;
	struct board *board;
	uint32_t dispatcher;
	uint64_t delay_us; /* between opening and the first wait */
};

/* ---- the two sides --------------------------------------------------------------------------- */

static int serve(void *argument)
{
	const struct life *life = argument;
	const struct hqq_advanced_options options = adv_options(life->dispatcher, 0, 0, 0);
	hqq_advanced *handle;
	int rc;

	while ((rc = hqq_advanced_open(&handle, life->name, COUNT, SIZE, &options)) == -ENOENT)
		sleep_us(100);
	MUST_EQ(rc, 0);
	sleep_us(life->delay_us);
	while (hqq_advanced_wait_negotiation(handle, NULL) == 0)
		hqq_advanced_serve(handle, NULL, adv_methods, ADV_METHODS);
	return 1; /* nobody ends it but by a kill */
}

/* Calls until the server is gone, or, once nobody is killed any more, a few calls were answered. */
static bool call_on(hqq_advanced *handle, struct board *board)
{
	for (unsigned after = 0; after < 10; after += board->ended != 0) {
		const uint64_t number = board->calls;
		struct hqq_message answer;
		const int rc = hqq_advanced_call(handle, PATIENT, ADV_ECHO, &number, sizeof(number), &answer);

		if (rc == HQQ_ERR_PEER_GONE) {
			board->lost[0]++;
			return true;
		}
		MUST_EQ(rc, 0);
		MUST_EQ(answer.payload_size, sizeof(number));
		MUST(memcmp(answer.payload, &number, sizeof(number)) == 0);
		hqq_message_clear(&answer);
		board->calls++;
	}
	return false;
}

static int be_client(void *argument)
{
	const struct life *life = argument;
	const struct hqq_advanced_options options = adv_options(life->dispatcher, 0, 0, 0);
	hqq_advanced *handle;
	bool lost = true;

	MUST_EQ(hqq_advanced_create(&handle, life->name, COUNT, SIZE, 0600, &options), 0);
	while (lost) {
		const int rc = hqq_advanced_negotiate(handle, PATIENT, ADV_VERSION, ADV_ALL);

		if (rc == HQQ_ERR_PEER_GONE) {
			life->board->lost[1]++;
			continue;
		}
		MUST_EQ(rc, 0);
		lost = call_on(handle, life->board);
	}
	MUST_EQ(hqq_advanced_close(handle), 0);
	return 0;
}

/* ---- the killer ------------------------------------------------------------------------------ */

/* _i: DISPATCHERS * the client's dispatcher + the servers' */
START_TEST(servers_are_killed)
{
	struct board *board =
		mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct life client = {.board = board, .dispatcher = (uint32_t)_i / DISPATCHERS};
	struct life server = {.board = board, .dispatcher = (uint32_t)_i % DISPATCHERS};
	const unsigned rounds = kills();
	/* at most; a client whose thread has to look for the dead takes its time */
	const uint64_t life_us = (client.dispatcher == HQQ_DISPATCH_THREAD ? 15000 : 3000) * test_slowness();
	uint64_t seed = test_seed();
	struct child caller, victim;

	MUST(board != MAP_FAILED);
	client.name = server.name = test_name("killed");
	child_start(&caller, be_client, &client);
	for (unsigned i = 0; i < rounds; i++) {
		/* half of them take their time before they listen, and may not come to that */
		server.delay_us = test_random(&seed) % 2 ? test_random(&seed) % life_us : 0;
		child_start(&victim, serve, &server);
		sleep_us(test_random(&seed) % life_us);
		child_kill(&victim);
	}
	board->ended = 1;
	server.delay_us = 0;
	child_start(&victim, serve, &server);
	child_join_ok(&caller);
	child_kill(&victim);
	MUST(!test_name_exists(client.name));
	printf("%s client, %s servers, %u killed: %lu calls answered; gone in %lu calls, %lu negotiations\n",
	       dispatcher_names[client.dispatcher], dispatcher_names[server.dispatcher], rounds,
	       (unsigned long)board->calls, (unsigned long)board->lost[0], (unsigned long)board->lost[1]);
	MUST_EQ(munmap(board, sizeof(*board)), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: kill");
	TCase *cases = test_case(suite, "servers", 60 + 0.1 * kills());

	tcase_add_loop_test(cases, servers_are_killed, 0, DISPATCHERS * DISPATCHERS);
	return test_main(suite);
}
