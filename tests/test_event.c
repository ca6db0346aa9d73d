/*
 * test_event.c - the event descriptor: readable while a message waits, for poll and epoll
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pair.h"
#include "support.h"
#include "waiter.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <hqq.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define SIZE 64

static const struct timespec passed = { 0, 0 };

/* For what another thread is to do: a watchdog, since that thread may get no processor for a while. */
static int patience_ms(void)
{
	return 15000 * (int)test_slowness();
}

/* Is it readable, now or some time? Looking ahead is for what becomes true by itself. */
static bool becomes_readable(int fd)
{
	struct pollfd poller = { fd, POLLIN, 0 };

	return poll(&poller, 1, patience_ms()) == 1 && (poller.revents & POLLIN);
}

static bool is_readable(int fd)
{
	struct pollfd poller = { fd, POLLIN, 0 };

	return poll(&poller, 1, 0) == 1;
}

static void send_text(hqq_standard *handle, const char *text)
{
	MUST_EQ(hqq_standard_write(handle, text, strlen(text)), strlen(text));
}

static ssize_t read_up_to(hqq_standard *handle, size_t length)
{
	char buffer[SIZE];

	return hqq_standard_read(handle, buffer, length);
}

/* A pair, and the secondary's descriptor. */
static int pair_with_fd(struct pair *pair)
{
	int fd;

	pair_open(pair, 4, SIZE);
	fd = hqq_standard_event_fd(pair->side[1]);
	MUST(fd >= 0);
	return fd;
}

/* ---- step by step ------------------------------------------------------------------------------ */

START_TEST(readable_while_a_message_waits)
{
	struct pair pair;
	int fd = pair_with_fd(&pair), lap;

	for (lap = 0; lap < 20; lap++) {
		MUST(!is_readable(fd));
		send_text(pair.side[0], "one");
		MUST(becomes_readable(fd));
		send_text(pair.side[0], "two");
		MUST(is_readable(fd));
		MUST_EQ(read_up_to(pair.side[1], SIZE), 3);
		MUST(is_readable(fd));
		MUST_EQ(read_up_to(pair.side[1], SIZE), 3);
		MUST(!is_readable(fd));
		MUST_EQ(read_up_to(pair.side[1], SIZE), HQQ_ERR_TIMEOUT);
		MUST(!is_readable(fd));
	}
	pair_close(&pair);
}
END_TEST

START_TEST(asked_for_when_a_message_waits_already)
{
	struct pair pair;
	int fd;

	pair_open(&pair, 4, SIZE);
	send_text(pair.side[0], "early");
	fd = hqq_standard_event_fd(pair.side[1]);
	MUST(is_readable(fd));
	MUST_EQ(read_up_to(pair.side[1], SIZE), 5);
	MUST(!is_readable(fd));
	pair_close(&pair);
}
END_TEST

START_TEST(a_tail_counts)
{
	struct pair pair;
	int fd = pair_with_fd(&pair);

	send_text(pair.side[0], "abc");
	MUST(becomes_readable(fd));
	MUST_EQ(read_up_to(pair.side[1], 1), 1);
	MUST(is_readable(fd));
	MUST_EQ(read_up_to(pair.side[1], 1), 1);
	MUST(is_readable(fd));
	MUST_EQ(read_up_to(pair.side[1], 0), 0);
	MUST(is_readable(fd));
	MUST_EQ(read_up_to(pair.side[1], 1), 1);
	MUST(!is_readable(fd));
	pair_close(&pair);
}
END_TEST

START_TEST(asked_for_when_a_tail_is_there)
{
	struct pair pair;
	int fd;

	pair_open(&pair, 4, SIZE);
	send_text(pair.side[0], "ab");
	MUST_EQ(read_up_to(pair.side[1], 1), 1);
	fd = hqq_standard_event_fd(pair.side[1]);
	MUST(is_readable(fd));
	MUST_EQ(read_up_to(pair.side[1], 1), 1);
	MUST(!is_readable(fd));
	pair_close(&pair);
}
END_TEST

START_TEST(every_way_to_read_settles_it)
{
	struct pair pair;
	int fd = pair_with_fd(&pair), lap;

	for (lap = 0; lap < 5; lap++) {
		MUST(!is_readable(fd));
		send_text(pair.side[0], WAITER_TEXT);
		MUST(becomes_readable(fd));
		MUST_EQ(waiter_call(pair.side[1], _i), waiter_success(_i));
	}
	MUST(!is_readable(fd));
	pair_close(&pair);
}
END_TEST

START_TEST(a_held_message_does_not_wait)
{
	struct hqq_reservation reservation;
	struct pair pair;
	int fd = pair_with_fd(&pair);

	send_text(pair.side[0], "held");
	MUST(becomes_readable(fd));
	MUST_EQ(hqq_standard_reserve_read(pair.side[1], &reservation), 0);
	MUST(!is_readable(fd));
	send_text(pair.side[0], "more");
	MUST(becomes_readable(fd));
	MUST_EQ(hqq_standard_release(&reservation), 0);
	MUST(is_readable(fd));
	MUST_EQ(read_up_to(pair.side[1], SIZE), 4);
	MUST(!is_readable(fd));
	pair_close(&pair);
}
END_TEST

START_TEST(messages_behind_a_held_slot)
{
	struct hqq_reservation reservation;
	struct pair pair;
	int fd = pair_with_fd(&pair);

	MUST_EQ(hqq_standard_reserve_write(pair.side[0], &reservation), 0);
	send_text(pair.side[0], "behind");
	/* nobody can read it yet */
	MUST_EQ(read_up_to(pair.side[1], SIZE), HQQ_ERR_TIMEOUT);
	MUST(!is_readable(fd));
	MUST_EQ(hqq_standard_commit(&reservation, 1), 0);
	MUST(becomes_readable(fd));
	pair_close(&pair);
}
END_TEST

START_TEST(an_attempt_settles_a_tombstone)
{
	struct hqq_reservation reservation;
	struct pair pair;
	int fd = pair_with_fd(&pair), lap;

	for (lap = 0; lap < 5; lap++) {
		MUST_EQ(hqq_standard_reserve_write(pair.side[0], &reservation), 0);
		MUST_EQ(hqq_standard_abort(&reservation, 6), 0);
		MUST_EQ(read_up_to(pair.side[1], SIZE), HQQ_ERR_TIMEOUT);
		MUST(!is_readable(fd));
		send_text(pair.side[0], "x");
		MUST(becomes_readable(fd));
		MUST_EQ(read_up_to(pair.side[1], SIZE), 1);
		MUST(!is_readable(fd));
	}
	pair_close(&pair);
}
END_TEST

START_TEST(another_endpoint_takes_the_message)
{
	hqq_standard *second;
	struct pair pair;
	int fd = pair_with_fd(&pair), second_fd, lap;

	MUST_EQ(hqq_standard_open(&second, hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(second, &passed), 0);
	second_fd = hqq_standard_event_fd(second);
	for (lap = 0; lap < 20; lap++) {
		send_text(pair.side[0], "for one");
		MUST(becomes_readable(fd));
		MUST(becomes_readable(second_fd));
		MUST_EQ(read_up_to(second, SIZE), 7);
		MUST(!is_readable(second_fd));
		/* one attempt in vain, and it tells the truth again */
		MUST_EQ(read_up_to(pair.side[1], SIZE), HQQ_ERR_TIMEOUT);
		MUST(!is_readable(fd));
	}
	MUST_EQ(hqq_standard_close(second), 0);
	pair_close(&pair);
}
END_TEST

START_TEST(room_is_not_an_event)
{
	struct pair pair;
	int fd = pair_with_fd(&pair);

	send_text(pair.side[1], "own");
	MUST_EQ(read_up_to(pair.side[0], SIZE), 3);
	test_sleep_ms(20);
	MUST(!is_readable(fd));
	pair_close(&pair);
}
END_TEST

START_TEST(the_peers_end_is_an_event_where_it_was_asked_for)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_standard *maker, *peer;
	const char *name = test_name("eof");
	int fd;

	options.flags = _i == 0 ? 0 : HQQ_PEER_EOF;
	MUST_EQ(hqq_standard_create(&maker, name, 4, SIZE, 0600, &options), 0);
	fd = hqq_standard_event_fd(maker);
	MUST_EQ(hqq_standard_open(&peer, name, 0, 0, NULL), 0);
	MUST(!is_readable(fd));
	send_text(peer, "last");
	MUST_EQ(hqq_standard_close(peer), 0);
	MUST(becomes_readable(fd));
	MUST_EQ(read_up_to(maker, SIZE), 4);
	if (_i == 0) {
		test_sleep_ms(20);
		MUST(!is_readable(fd));
	} else {
		MUST(becomes_readable(fd));
		MUST_EQ(read_up_to(maker, SIZE), HQQ_ERR_PEER_GONE);
	}
	MUST_EQ(hqq_standard_close(maker), 0);
}
END_TEST

/* ---- the descriptor and its thread ------------------------------------------------------------- */

struct asked {
	hqq_standard *handle;
	int fd[8];
};

static void ask(void *argument, unsigned int index)
{
	struct asked *asked = argument;

	asked->fd[index] = hqq_standard_event_fd(asked->handle);
}

START_TEST(one_descriptor_whoever_asks)
{
	struct asked asked;
	struct pair pair;
	int threads, i, round;

	threads = test_count_threads();
	for (round = 0; round < 10; round++) {
		pair_open(&pair, 4, SIZE);
		asked.handle = pair.side[1];
		test_run_threads(8, ask, &asked);
		for (i = 0; i < 8; i++)
			MUST(asked.fd[i] >= 0 && asked.fd[i] == asked.fd[0]);
		test_must_have_threads(threads + 1);
		MUST(fcntl(asked.fd[0], F_GETFD) & FD_CLOEXEC);
		send_text(pair.side[0], "x");
		MUST(becomes_readable(asked.fd[0]));
		pair_close(&pair);
	}
}
END_TEST

/* All signals are for the program's own threads. */
START_TEST(the_thread_takes_no_signals)
{
	DIR *directory = opendir("/proc/self/task");
	struct dirent *entry;
	int watchers = 0;
	struct pair pair;

	(void)pair_with_fd(&pair);
	while ((entry = readdir(directory)) != NULL) {
		char path[64], line[256];
		FILE *status;
		unsigned long long blocked = 0;

		if (atoi(entry->d_name) == 0 || atoi(entry->d_name) == (int)getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%d/status", atoi(entry->d_name));
		status = fopen(path, "r");
		MUST(status != NULL);
		while (fgets(line, sizeof(line), status) != NULL) {
			if (sscanf(line, "SigBlk: %llx", &blocked) == 1)
				break;
		}
		fclose(status);
		/* SIGUSR1 and SIGTERM, for example; the C library keeps 32 and 33 for itself */
		watchers += (blocked & (1ULL << 9)) != 0 && (blocked & (1ULL << 14)) != 0;
	}
	closedir(directory);
	MUST(watchers >= 1);
	pair_close(&pair);
}
END_TEST

/* ---- loops ------------------------------------------------------------------------------------- */

#define MESSAGES 4000

struct sender {
	const char *name;
	unsigned int messages;
};

static int send_numbers(void *argument)
{
	struct sender *sender = argument;
	struct timespec deadline = test_in_ms(40000 * test_slowness());
	hqq_standard *handle;
	uint64_t i;

	MUST_EQ(hqq_standard_open(&handle, sender->name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(handle, &deadline), 0);
	for (i = 0; i < sender->messages; i++) {
		MUST_EQ(hqq_standard_write(handle, &i, sizeof(i)), sizeof(i));
		/* sometimes the loop catches up and goes to sleep */
		if (i % 64 == 0)
			test_sleep_ms(1);
	}
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

/* Once more where a stop and a continue ended it, which a handler's SA_RESTART has no say in. */
static int wait_in_loop(int loop, struct epoll_event *event, int milliseconds)
{
	int n;

	do
		n = epoll_wait(loop, event, 1, milliseconds);
	while (n < 0 && errno == EINTR);
	return n;
}

START_TEST(an_epoll_loop_gets_everything)
{
	struct epoll_event event = { .events = _i == 0 ? EPOLLIN : EPOLLIN | EPOLLET };
	struct sender sender = { test_name("loop"), MESSAGES / test_slowness() };
	uint64_t next = 0, number;
	hqq_standard *handle;
	struct child child;
	int loop = epoll_create1(EPOLL_CLOEXEC);

	MUST_EQ(hqq_standard_create(&handle, sender.name, 16, 8, 0600, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(handle, &passed), 0);
	child_start(&child, send_numbers, &sender);
	MUST_EQ(epoll_ctl(loop, EPOLL_CTL_ADD, hqq_standard_event_fd(handle), &event), 0);
	while (next < sender.messages) {
		ssize_t n;

		MUST_EQ(wait_in_loop(loop, &event, 30000 * (int)test_slowness()), 1);
		while ((n = hqq_standard_read(handle, &number, sizeof(number))) == sizeof(number)) {
			MUST_EQ(number, next);
			next++;
		}
		MUST_EQ(n, HQQ_ERR_TIMEOUT);
	}
	child_join_ok(&child);
	close(loop);
	MUST_EQ(hqq_standard_close(handle), 0);
}
END_TEST

#define LINKS 10

START_TEST(one_loop_many_links)
{
	struct pair pairs[LINKS];
	uint64_t seed = test_seed();
	int loop = epoll_create1(EPOLL_CLOEXEC), i, round;

	for (i = 0; i < LINKS; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = (uint32_t)i };
		int fd = pair_with_fd(&pairs[i]);

		MUST_EQ(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event), 0);
	}
	for (round = 0; round < 200; round++) {
		uint32_t which = (uint32_t)(test_random(&seed) % LINKS);
		struct epoll_event event;

		MUST_EQ(wait_in_loop(loop, &event, 0), 0);
		send_text(pairs[which].side[0], "here");
		MUST_EQ(wait_in_loop(loop, &event, patience_ms()), 1);
		MUST_EQ(event.data.u32, which);
		MUST_EQ(read_up_to(pairs[which].side[1], SIZE), 4);
	}
	for (i = 0; i < LINKS; i++)
		pair_close(&pairs[i]);
	close(loop);
}
END_TEST

/* A watcher takes no message: what woke it must wake a reader of another endpoint, too. */
START_TEST(a_watcher_steals_no_wake_up)
{
	const int rounds = 300 / (int)test_slowness();
	hqq_standard *reader;
	uint64_t longest = 0;
	struct pair pair;
	int fd = pair_with_fd(&pair), round;

	MUST_EQ(hqq_standard_open(&reader, hqq_standard_name(pair.side[0]), 0, 0, NULL), 0);
	for (round = 0; round < rounds; round++) {
		struct waiter waiter;
		uint64_t now;

		waiter_start(&waiter, reader, 0);
		while (waiter.tid == 0)
			test_sleep_ms(1);
		test_sleep_ms(2);
		now = test_now_ns();
		send_text(pair.side[0], WAITER_TEXT);
		MUST_EQ(waiter_join(&waiter), WAITER_LENGTH);
		longest = waiter.ended_ns - now > longest ? waiter.ended_ns - now : longest;
		/* the next round finds the watcher asleep again */
		MUST_EQ(read_up_to(pair.side[1], SIZE), HQQ_ERR_TIMEOUT);
		MUST(!is_readable(fd));
	}
	fprintf(stderr, "the longest of %d wake-ups beside a watcher took %llu us\n", rounds,
	        (unsigned long long)longest / 1000);
	MUST(longest < TEST_WAKE_NS);
	MUST_EQ(hqq_standard_close(reader), 0);
	pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("event descriptor");
	TCase *cases = test_case(suite, "step by step", 20);

	tcase_add_test(cases, readable_while_a_message_waits);
	tcase_add_test(cases, asked_for_when_a_message_waits_already);
	tcase_add_test(cases, a_tail_counts);
	tcase_add_test(cases, asked_for_when_a_tail_is_there);
	tcase_add_loop_test(cases, every_way_to_read_settles_it, 0, WAITER_READS);
	tcase_add_test(cases, a_held_message_does_not_wait);
	tcase_add_test(cases, messages_behind_a_held_slot);
	tcase_add_test(cases, an_attempt_settles_a_tombstone);
	tcase_add_test(cases, another_endpoint_takes_the_message);
	tcase_add_test(cases, room_is_not_an_event);
	tcase_add_loop_test(cases, the_peers_end_is_an_event_where_it_was_asked_for, 0, 2);

	cases = test_case(suite, "descriptor", 20);
	tcase_add_test(cases, one_descriptor_whoever_asks);
	tcase_add_test(cases, the_thread_takes_no_signals);

	cases = test_case(suite, "loops", 60);
	tcase_add_loop_test(cases, an_epoll_loop_gets_everything, 0, 2);
	tcase_add_test(cases, one_loop_many_links);
	tcase_add_test(cases, a_watcher_steals_no_wake_up);
	return test_main(suite);
}
