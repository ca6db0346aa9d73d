/*
 * test_fork.c - what fork() does to handles, beyond test_misuse.c: with threads, with helpers of
 *	the library at work, on kernels that wipe no page for the child
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "every_call.h"
#include "pair.h"
#include "sandbox.h"
#include "support.h"
#include "waiter.h"

#include <errno.h>
#include <hqq.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 64

static const struct timespec passed = { 0, 0 };

static void expect_works(hqq_standard *a, hqq_standard *b)
{
	int i;

	for (i = 0; i < 20; i++) {
		MUST_EQ(waiter_call(a, WAITER_READS + i % WAITER_READS),
			waiter_success(WAITER_READS + i % WAITER_READS));
		MUST_EQ(waiter_call(b, i % WAITER_READS), waiter_success(i % WAITER_READS));
		MUST_EQ(waiter_call(b, WAITER_READS), WAITER_LENGTH);
		MUST_EQ(waiter_call(a, 0), WAITER_LENGTH);
	}
}

/* ---- a kernel without MADV_WIPEONFORK ---------------------------------------------------------- */

static int refused_in_grandchild(void *argument)
{
	struct pair *pair = argument;
	int side;

	for (side = 0; side < 2; side++)
		every_call_gives(pair->side[side], HQQ_ERR_FORKED);
	for (side = 0; side < 2; side++) {
		MUST_EQ(hqq_standard_close(pair->side[side]), 0);
		MUST_EQ(hqq_standard_close(pair->side[side]), HQQ_ERR_INVALID_OP);
	}
	return 0;
}

static int without_wiping(void *argument)
{
	const int madvise_call = SYS_madvise;
	struct child grandchild;
	struct pair pair;

	(void)argument;
	MUST(sandbox_deny(&madvise_call, 1, EINVAL));
	pair_open(&pair, 8, SIZE);
	expect_works(pair.side[0], pair.side[1]);
	child_start(&grandchild, refused_in_grandchild, &pair);
	child_join_ok(&grandchild);
	expect_works(pair.side[0], pair.side[1]);
	pair_close(&pair);
	return 0;
}

START_TEST(where_no_page_is_wiped)
{
	struct child child;

	if (!sandbox_works()) {
		test_skip("seccomp filters do not work here");
		return;
	}
	child_start(&child, without_wiping, NULL);
	child_join_ok(&child);
}
END_TEST

/* ---- with threads inside calls ----------------------------------------------------------------- */

static int close_and_open_own(void *argument)
{
	hqq_standard **inherited = argument, *own;
	const char *name = (const char *)inherited[2];

	every_call_gives(inherited[0], HQQ_ERR_FORKED);
	MUST_EQ(hqq_standard_open(&own, name, 0, 0, NULL), 0);
	/* the threads that waited in the parent do not exist here, so nothing is waited for */
	MUST_EQ(hqq_standard_close(inherited[0]), 0);
	MUST_EQ(hqq_standard_close(inherited[1]), 0);
	MUST_EQ(hqq_standard_set_deadline(own, &passed), 0);
	MUST_EQ(hqq_standard_write(own, "child", 5), 5);
	MUST_EQ(hqq_standard_close(own), 0);
	return 0;
}

START_TEST(while_other_threads_wait)
{
	const char *name = test_name("threads");
	hqq_standard *handles[3];
	struct waiter waiters[8];
	struct child child;
	int i;

	MUST_EQ(hqq_standard_create(&handles[0], name, 16, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&handles[1], name, 0, 0, NULL), 0);
	handles[2] = (hqq_standard *)(uintptr_t)name;
	for (i = 0; i < 8; i++)
		waiter_start(&waiters[i], handles[1], i % WAITER_READS);
	for (i = 0; i < 8; i++)
		waiter_asleep(&waiters[i]);
	child_start(&child, close_and_open_own, handles);
	child_join_ok(&child);
	/* they sleep on, and wake for their messages */
	for (i = 0; i < 8; i++)
		MUST_EQ(waiter_call(handles[0], WAITER_READS), WAITER_LENGTH);
	for (i = 0; i < 8; i++)
		MUST_EQ(waiter_join(&waiters[i]), waiter_success(waiters[i].way));
	{
		char text[SIZE];

		MUST_EQ(hqq_standard_read(handles[0], text, sizeof(text)), 5);
		MUST(memcmp(text, "child", 5) == 0);
	}
	MUST_EQ(hqq_standard_close(handles[1]), 0);
	MUST_EQ(hqq_standard_close(handles[0]), 0);
}
END_TEST

/* The child forks from within a callback, with the slot in its parent's hands. */
struct nested {
	struct pair pair;
	struct child child;
};

static int in_callbacks_child(void *argument)
{
	struct nested *nested = argument;

	every_call_gives(nested->pair.side[1], HQQ_ERR_FORKED);
	MUST_EQ(hqq_standard_close(nested->pair.side[1]), 0);
	return 0;
}

static int fork_in_callback(const void *data, size_t length, void *argument)
{
	struct nested *nested = argument;

	MUST(length == 4 && memcmp(data, "held", 4) == 0);
	child_start(&nested->child, in_callbacks_child, nested);
	child_join_ok(&nested->child);
	MUST(memcmp(data, "held", 4) == 0);
	return 0;
}

START_TEST(from_within_a_callback)
{
	struct nested nested;

	pair_open(&nested.pair, 4, SIZE);
	MUST_EQ(hqq_standard_write(nested.pair.side[0], "held", 4), 4);
	MUST_EQ(hqq_standard_read_zero_copy(nested.pair.side[1], fork_in_callback, &nested), 4);
	expect_works(nested.pair.side[0], nested.pair.side[1]);
	pair_close(&nested.pair);
}
END_TEST

/* ---- what the child must not take away from its parent ----------------------------------------- */

struct robbed {
	const char *name;
	hqq_standard *parents;
	int event_fd;
};

static int look_at_parent(void *argument)
{
	struct robbed *robbed = argument;
	hqq_standard *own;

	/* with the inherited descriptors gone, the parent still lives and keeps what it holds */
	MUST_EQ(hqq_standard_close(robbed->parents), 0);
	MUST_EQ(hqq_standard_open(&own, robbed->name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(own, &passed), 0);
	MUST_EQ(hqq_standard_recover(own), 0);
	MUST_EQ(waiter_call(own, 0), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_recover(own), 0);
	MUST_EQ(hqq_standard_close(own), 0);
	MUST(test_name_exists(robbed->name));
	return 0;
}

START_TEST(a_parents_life_and_reservations)
{
	struct robbed robbed = { .name = test_name("life") };
	struct hqq_reservation reservation;
	hqq_standard *peer;
	struct child child;
	int round;

	MUST_EQ(hqq_standard_create(&robbed.parents, robbed.name, 4, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&peer, robbed.name, 0, 0, NULL), 0);
	for (round = 0; round < 3; round++) {
		MUST_EQ(hqq_standard_reserve_write(robbed.parents, &reservation), 0);
		child_start(&child, look_at_parent, &robbed);
		child_join_ok(&child);
		MUST_EQ(hqq_standard_recover(peer), 0);
		memcpy(reservation.data, WAITER_TEXT, WAITER_LENGTH);
		MUST_EQ(hqq_standard_commit(&reservation, WAITER_LENGTH), 0);
		MUST_EQ(waiter_call(peer, 0), WAITER_LENGTH);
	}
	MUST_EQ(hqq_standard_close(peer), 0);
	MUST_EQ(hqq_standard_close(robbed.parents), 0);
}
END_TEST

static bool becomes_readable(int fd)
{
	struct pollfd poller = { fd, POLLIN, 0 };

	return poll(&poller, 1, 20000 * (int)test_slowness()) == 1;
}

static int drop_event(void *argument)
{
	struct robbed *robbed = argument;

	MUST_EQ(hqq_standard_event_fd(robbed->parents), HQQ_ERR_FORKED);
	MUST_EQ(hqq_standard_close(robbed->parents), 0);
	/* closed with the handle, in this process */
	errno = 0;
	MUST(write(robbed->event_fd, "12345678", 8) < 0 && errno == EBADF);
	return 0;
}

START_TEST(a_parents_event_descriptor)
{
	struct robbed robbed = { .name = test_name("event") };
	hqq_standard *peer;
	struct child child;
	int round;

	MUST_EQ(hqq_standard_create(&robbed.parents, robbed.name, 4, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&peer, robbed.name, 0, 0, NULL), 0);
	robbed.event_fd = hqq_standard_event_fd(robbed.parents);
	for (round = 0; round < 3; round++) {
		child_start(&child, drop_event, &robbed);
		child_join_ok(&child);
		MUST_EQ(waiter_call(peer, WAITER_READS), WAITER_LENGTH);
		MUST(becomes_readable(robbed.event_fd));
		MUST_EQ(waiter_call(robbed.parents, 0), WAITER_LENGTH);
	}
	MUST_EQ(hqq_standard_close(peer), 0);
	MUST_EQ(hqq_standard_close(robbed.parents), 0);
}
END_TEST

struct streams {
	hqq_standard *handle;
	FILE *in, *out;
};

static int use_streams(void *argument)
{
	struct streams *streams = argument;

	errno = 0;
	MUST_EQ(fgetc(streams->in), EOF);
	MUST(ferror(streams->in) && errno == EBADF);
	fputs("not sent", streams->out);
	errno = 0;
	MUST_EQ(fflush(streams->out), EOF);
	MUST_EQ(errno, EBADF);
	fclose(streams->out);
	fclose(streams->in);
	MUST_EQ(hqq_standard_close(streams->handle), 0);
	return 0;
}

START_TEST(streams_of_a_parent)
{
	struct streams streams;
	struct child child;
	struct pair pair;

	pair_open(&pair, 4, SIZE);
	streams.handle = pair.side[0];
	streams.in = hqq_standard_stdio(pair.side[0], "r");
	streams.out = hqq_standard_stdio(pair.side[0], "w");
	child_start(&child, use_streams, &streams);
	child_join_ok(&child);
	fputs("sent", streams.out);
	MUST_EQ(fclose(streams.out), 0);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 1);
	fclose(streams.in);
	pair_close(&pair);
}
END_TEST

/* ---- generations ------------------------------------------------------------------------------- */

struct line_of_descent {
	hqq_standard *handles[4];
	const char *name;
	int generation;
};

static int descend(void *argument)
{
	struct line_of_descent *line = argument;
	struct child child;
	int i;

	for (i = 0; i < line->generation; i++)
		MUST_EQ(hqq_standard_pending(line->handles[i]), HQQ_ERR_FORKED);
	MUST_EQ(hqq_standard_open(&line->handles[line->generation], line->name, 0, 0, NULL), 0);
	MUST_EQ(waiter_call(line->handles[line->generation], WAITER_READS), WAITER_LENGTH);
	if (line->generation < 3) {
		line->generation++;
		child_start(&child, descend, line);
		child_join_ok(&child);
		line->generation--;
	}
	MUST_EQ(waiter_call(line->handles[line->generation], WAITER_READS), WAITER_LENGTH);
	for (i = 0; i <= line->generation; i++)
		MUST_EQ(hqq_standard_close(line->handles[i]), 0);
	return 0;
}

START_TEST(children_of_children)
{
	struct line_of_descent line = { .name = test_name("descent"), .generation = 1 };
	struct child child;
	int i;

	MUST_EQ(hqq_standard_create(&line.handles[0], line.name, 8, SIZE, 0600, NULL), 0);
	child_start(&child, descend, &line);
	child_join_ok(&child);
	for (i = 0; i < 6; i++)
		MUST_EQ(waiter_call(line.handles[0], 0), WAITER_LENGTH);
	MUST_EQ(hqq_standard_pending(line.handles[0]), 0);
	MUST_EQ(hqq_standard_close(line.handles[0]), 0);
}
END_TEST

/* ---- a handle that another thread of the child opens ------------------------------------------- */

#define MANY 32000

static hqq_standard *inherited, *own;

static void send_many(void)
{
	char message[SIZE] = "x";
	int i;

	for (i = 0; i < MANY; i++)
		MUST_EQ(hqq_standard_write(own, message, sizeof(message)), SIZE);
}

/* In the memory of the handle that the forking thread has used. */
static void *open_own_and_send(void *argument)
{
	pthread_barrier_t *opened = argument;

	MUST_EQ(hqq_standard_close(inherited), 0);
	MUST_EQ(hqq_standard_create_fd(&own, 65536, SIZE, NULL), 0);
	pthread_barrier_wait(opened);
	send_many();
	return NULL;
}

static int send_from_two_threads(void *argument)
{
	pthread_barrier_t opened;
	struct hqq_stats stats;
	pthread_t thread;

	(void)argument;
	MUST_EQ(pthread_barrier_init(&opened, NULL, 2), 0);
	MUST_EQ(pthread_create(&thread, NULL, open_own_and_send, &opened), 0);
	pthread_barrier_wait(&opened);
	send_many();
	MUST_EQ(pthread_join(thread, NULL), 0);
	MUST_EQ(pthread_barrier_destroy(&opened), 0);
	/* each counts for itself, or some would be lost */
	MUST_EQ(hqq_standard_stats(own, &stats), 0);
	MUST_EQ(stats.sent_messages, 2 * MANY);
	MUST_EQ(hqq_standard_close(own), 0);
	return 0;
}

START_TEST(another_thread_opens_a_handle)
{
	char message[SIZE] = "x";
	struct child child;

	MUST_EQ(hqq_standard_create_fd(&inherited, 4, SIZE, NULL), 0);
	MUST_EQ(hqq_standard_write(inherited, message, sizeof(message)), SIZE);
	child_start(&child, send_from_two_threads, NULL);
	child_join_ok(&child);
	MUST_EQ(hqq_standard_close(inherited), 0);
}
END_TEST

static int list_descriptors(void *argument)
{
	(void)argument;
	execl("/bin/sh", "sh", "-c", "ls -l /proc/self/fd | grep -c -e /dev/shm -e memfd -e eventfd",
	      (char *)NULL);
	return TEST_FAILED;
}

/* Nothing of the library's goes through exec. */
START_TEST(no_descriptor_goes_through_exec)
{
	struct child child;
	hqq_standard *by_fd;
	struct pair pair;

	pair_open(&pair, 4, SIZE);
	MUST_EQ(hqq_standard_create_fd(&by_fd, 4, SIZE, NULL), 0);
	MUST(hqq_standard_event_fd(by_fd) >= 0);
	child_start(&child, list_descriptors, NULL);
	/* grep finds no line: 1 */
	MUST_EQ(child_join(&child), 1);
	MUST_EQ(hqq_standard_close(by_fd), 0);
	pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fork");
	TCase *cases = test_case(suite, "fork", 30);

	tcase_add_test(cases, where_no_page_is_wiped);
	tcase_add_test(cases, while_other_threads_wait);
	tcase_add_test(cases, from_within_a_callback);
	tcase_add_test(cases, a_parents_life_and_reservations);
	tcase_add_test(cases, a_parents_event_descriptor);
	tcase_add_test(cases, streams_of_a_parent);
	tcase_add_test(cases, children_of_children);
	tcase_add_test(cases, another_thread_opens_a_handle);
	tcase_add_test(cases, no_descriptor_goes_through_exec);
	return test_main(suite);
}
