/*
 * support_run.c - children, threads, time and bytes for every test program; see support.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_THREADS 16
#define WATCHDOG_SECONDS 60
#define QUOTA_SECONDS 8

static int parent_line = -1;

/* ---- children ---------------------------------------------------------------------------------- */

void child_start(struct child *child, child_body *body, void *argument)
{
	pid_t parent = getpid();
	int line[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) == 0);
	fflush(stdout);
	fflush(stderr);
	child->pid = fork();
	MUST(child->pid >= 0);
	if (child->pid == 0) {
		int code;

		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		if (getppid() != parent)
			_exit(TEST_FAILED);
		close(line[0]);
		if (parent_line >= 0)
			close(parent_line);
		parent_line = line[1];
		code = body(argument);
		fflush(stdout);
		fflush(stderr);
		_exit(code);
	}
	close(line[1]);
	child->line = line[0];
}

static uint64_t watchdog_end(void)
{
	return test_now_ns() + UINT64_C(1000000000) * WATCHDOG_SECONDS * test_slowness();
}

static int reap(struct child *child, int status)
{
	close(child->line);
	child->line = -1;
	child->pid = -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int child_join(struct child *child)
{
	uint64_t end = watchdog_end();
	int status;

	for (;;) {
		pid_t done = waitpid(child->pid, &status, WNOHANG);

		MUST(done >= 0);
		if (done == child->pid)
			return reap(child, status);
		if (test_now_ns() > end)
			break;
		test_sleep_ms(1);
	}
	fprintf(stderr, "child %ld is still there: killed\n", (long)child->pid);
	kill(child->pid, SIGKILL);
	waitpid(child->pid, &status, 0);
	test_must_failed(__FILE__, __LINE__, "the watchdog ended a child");
}

void child_join_ok(struct child *child)
{
	MUST_EQ(child_join(child), 0);
}

void child_kill(struct child *child)
{
	int status;

	MUST(kill(child->pid, SIGKILL) == 0);
	MUST(waitpid(child->pid, &status, 0) == child->pid);
	reap(child, status);
}

static void say(int line, char byte)
{
	MUST(send(line, &byte, 1, MSG_NOSIGNAL) == 1);
}

static void hear(int line, char byte)
{
	struct pollfd poller = { line, POLLIN, 0 };
	uint64_t end = watchdog_end();
	char got = 0;
	int ready;

	do {
		ready = poll(&poller, 1, 100);
		MUST(ready >= 0 || errno == EINTR);
	} while (ready <= 0 && test_now_ns() < end);
	MUST(ready == 1);
	if (recv(line, &got, 1, 0) != 1)
		test_must_failed(__FILE__, __LINE__, "waited for '%c', the other side ended", byte);
	if (got != byte)
		test_must_failed(__FILE__, __LINE__, "waited for '%c', heard '%c'", byte, got);
}

void child_say(struct child *child, char byte)
{
	say(child->line, byte);
}

void child_hear(struct child *child, char byte)
{
	hear(child->line, byte);
}

void parent_say(char byte)
{
	say(parent_line, byte);
}

void parent_hear(char byte)
{
	hear(parent_line, byte);
}

/* ---- threads, time, bytes ---------------------------------------------------------------------- */

struct thread_call {
	thread_body *body;
	void *argument;
	unsigned int index;
};

static void *run_thread(void *argument)
{
	struct thread_call *call = argument;

	call->body(call->argument, call->index);
	return NULL;
}

void test_run_threads(unsigned int count, thread_body *body, void *argument)
{
	struct thread_call calls[MAX_THREADS];
	pthread_t threads[MAX_THREADS];
	unsigned int i;

	MUST(count <= MAX_THREADS);
	for (i = 0; i < count; i++) {
		calls[i] = (struct thread_call){ body, argument, i };
		MUST_EQ(pthread_create(&threads[i], NULL, run_thread, &calls[i]), 0);
	}
	for (i = 0; i < count; i++)
		MUST_EQ(pthread_join(threads[i], NULL), 0);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t test_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t test_cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

struct timespec test_in_ms(uint64_t milliseconds)
{
	uint64_t then = test_now_ns() + milliseconds * 1000000;
	struct timespec when;

	when.tv_sec = (time_t)(then / 1000000000);
	when.tv_nsec = (long)(then % 1000000000);
	return when;
}

void test_sleep_ms(uint64_t milliseconds)
{
	struct timespec when = test_in_ms(milliseconds);

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
		continue;
}

void test_quota_begin(struct test_quota *quota, uint64_t most, uint64_t least)
{
	quota->count = most;
	quota->least = least;
	quota->end_ns = test_now_ns() + UINT64_C(1000000000) * QUOTA_SECONDS * test_slowness();
}

uint64_t test_quota_next(struct test_quota *quota, uint64_t done, uint64_t wanted)
{
	const uint64_t left = test_quota_left(quota, done);

	if (wanted >= left)
		return left;
	if (done + wanted < quota->least || test_now_ns() < quota->end_ns)
		return wanted;
	fprintf(stderr, "ended in time, after %llu of %llu\n", (unsigned long long)(done + wanted),
		(unsigned long long)test_quota_count(quota));
	/* relaxed: whatever brings the last piece tells of this as well */
	__atomic_store_n(&quota->count, done + wanted, __ATOMIC_RELAXED);
	return wanted;
}

uint64_t test_quota_left(const struct test_quota *quota, uint64_t done)
{
	const uint64_t count = test_quota_count(quota);

	return done < count ? count - done : 0;
}

uint64_t test_quota_count(const struct test_quota *quota)
{
	return __atomic_load_n(&quota->count, __ATOMIC_RELAXED);
}

static char thread_state(pid_t pid, pid_t tid)
{
	char path[64], text[512];
	const char *end;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/task/%ld/stat", (long)pid, (long)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return '?';
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[length < 0 ? 0 : length] = '\0';
	/* the command's name may hold anything, so look behind its last bracket */
	end = strrchr(text, ')');
	return end != NULL && end[1] == ' ' ? end[2] : '?';
}

void test_wait_asleep(pid_t pid, pid_t tid)
{
	uint64_t end = watchdog_end();
	int in_a_row = 0;

	while (in_a_row < 10) {
		in_a_row = thread_state(pid, tid) == 'S' ? in_a_row + 1 : 0;
		MUST(test_now_ns() < end);
		test_sleep_ms(1);
	}
}

uint64_t test_random(uint64_t *state)
{
	uint64_t mixed;

	/* a Weyl sequence through a multiply-and-fold mixer */
	*state += UINT64_C(0x9e3779b97f4a7c15);
	mixed = *state;
	mixed = (mixed ^ (mixed >> 32)) * UINT64_C(0xd6e8feb86659fd93);
	mixed = (mixed ^ (mixed >> 32)) * UINT64_C(0xd6e8feb86659fd93);
	return mixed ^ (mixed >> 32);
}

uint64_t test_seed(void)
{
	const char *wish = getenv("HQQ_TEST_SEED");
	uint64_t seed = wish != NULL ? strtoull(wish, NULL, 0) : test_now_ns();

	fprintf(stderr, "HQQ_TEST_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

static unsigned char pattern(uint64_t seed, size_t index)
{
	uint64_t mixed = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);

	mixed += (uint64_t)index * UINT64_C(0xd6e8feb86659fd93);
	return (unsigned char)(mixed >> 56 ^ mixed >> 29);
}

void test_fill(void *bytes, size_t length, uint64_t seed)
{
	unsigned char *at = bytes;
	size_t i;

	for (i = 0; i < length; i++)
		at[i] = pattern(seed, i);
}

ssize_t test_verify(const void *bytes, size_t length, uint64_t seed)
{
	const unsigned char *at = bytes;
	size_t i;

	for (i = 0; i < length; i++) {
		if (at[i] != pattern(seed, i))
			return (ssize_t)i;
	}
	return -1;
}
