/*
 * test_quiet.c - a data-path call that need not wait makes no system call and no allocation
 *
 * System calls: in a child, a seccomp filter ends the process at the first one. Allocations: this
 * program has malloc() and its kin in its own hands and counts.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "sandbox.h"
#include "support.h"
#include "waiter.h"

#include <errno.h>
#include <hqq.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIZE 64
#define COUNT 16
#define ROUNDS 200
#define OTHERS 8

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif

static const struct timespec passed = { 0, 0 };

/* ---- allocations ------------------------------------------------------------------------------- */

static _Atomic unsigned long allocations;
static void *volatile something;

#define VISIBLE __attribute__((visibility("default"))) /* to the C library, too */

#ifndef SANITIZED /* these bring a malloc of their own */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

VISIBLE void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

VISIBLE void *calloc(size_t count, size_t size)
{
	allocations++;
	return __libc_calloc(count, size);
}

VISIBLE void *realloc(void *memory, size_t size)
{
	allocations++;
	return __libc_realloc(memory, size);
}

VISIBLE void *aligned_alloc(size_t alignment, size_t size)
{
	allocations++;
	return __libc_memalign(alignment, size);
}

VISIBLE int posix_memalign(void **memory, size_t alignment, size_t size)
{
	void *got = __libc_memalign(alignment, size);

	allocations++;
	if (got == NULL)
		return ENOMEM;
	*memory = got;
	return 0;
}
#endif

/* ---- every call of the data path --------------------------------------------------------------- */

/*
 * None of the library's checks here but MUST-like ones that make no system call themselves as long
 * as they hold. Returns the number of messages that went through.
 */
static unsigned long exercise(hqq_standard *a, hqq_standard *b)
{
	struct iovec out[4], in[4];
	char buffer[SIZE], batch[4][SIZE];
	struct hqq_reservation writing[2], reading[2];
	struct hqq_address address;
	struct hqq_stats stats;
	unsigned long messages = 0;
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		/* one of each, and across the seam of the ring */
		for (i = 0; i < WAITER_READS; i++) {
			MUST_EQ(waiter_call(a, WAITER_READS + i), waiter_success(WAITER_READS + i));
			MUST_EQ(waiter_call(b, (i + round) % WAITER_READS),
				waiter_success((i + round) % WAITER_READS));
			messages++;
		}
		/* a batch, cut reads and the tail */
		for (i = 0; i < 4; i++) {
			out[i] = (struct iovec){ (void *)(uintptr_t)WAITER_TEXT, WAITER_LENGTH };
			in[i] = (struct iovec){ batch[i], SIZE };
		}
		MUST_EQ(hqq_standard_write_batch(a, out, 4), 4);
		MUST_EQ(hqq_standard_read_batch(b, in, 4), 4);
		MUST_EQ(hqq_standard_write(a, WAITER_TEXT, WAITER_LENGTH), WAITER_LENGTH);
		MUST_EQ(hqq_standard_read(b, buffer, 3), 3);
		MUST_EQ(hqq_standard_read(b, buffer, SIZE), WAITER_LENGTH - 3);
		/* reservations that cross each other, one of them given up */
		MUST_EQ(hqq_standard_reserve_write(a, &writing[0]), 0);
		MUST_EQ(hqq_standard_reserve_write(a, &writing[1]), 0);
		MUST_EQ(hqq_standard_commit(&writing[1], 8), 0);
		MUST_EQ(hqq_standard_abort(&writing[0], 6), 0);
		MUST_EQ(hqq_standard_reserve_read(b, &reading[0]), 0);
		MUST_EQ(hqq_standard_release(&reading[0]), 0);
		/* what does not wait for another reason */
		MUST_EQ(hqq_standard_write(a, buffer, 0), 0);
		MUST_EQ(hqq_standard_write(a, buffer, SIZE + 1), HQQ_ERR_BUFFER_OVERFLOW);
		MUST_EQ(hqq_standard_read(b, buffer, 0), 0);
		MUST_EQ(hqq_standard_commit(&writing[0], 1), HQQ_ERR_INVALID_OP);
		MUST_EQ(hqq_standard_pending(b), 0);
		MUST_EQ(hqq_standard_stats(b, &stats), 0);
		MUST_EQ(hqq_standard_remote_address(b, &address), 0);
		MUST_EQ(hqq_standard_buffer_size(b), SIZE);
		MUST(hqq_standard_name(b) != NULL);
		MUST(hqq_strerror(HQQ_ERR_CLOSED) != NULL);
		messages += 6;
	}
	return messages;
}

struct way {
	const char *title;
	uint64_t flags;
	unsigned int others; /* threads that keep the handle's seats meanwhile */
};

static const struct way ways[] = {
	{ "shared", 0, 0 },
	{ "alone", HQQ_SINGLE_WRITER | HQQ_SINGLE_READER, 0 },
	{ "peer end asked for", HQQ_PEER_EOF, 0 },
	{ "beside another thread", 0, 1 },
	{ "beside more threads than have seats", 0, OTHERS },
};

#define WAYS (int)(sizeof(ways) / sizeof(ways[0]))

static void open_way(const struct way *way, hqq_standard *side[2])
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	const char *name = test_name("quiet");
	int i;

	options.flags = way->flags;
	MUST_EQ(hqq_standard_create(&side[0], name, COUNT, SIZE, 0600, &options), 0);
	MUST_EQ(hqq_standard_open(&side[1], name, 0, 0, &options), 0);
	/* nothing of it stays, even when the process is ended by force */
	MUST_EQ(hqq_standard_unlink(name), 0);
	for (i = 0; i < 2; i++)
		MUST_EQ(hqq_standard_set_deadline(side[i], &passed), 0);
}

/* The other threads: each has used the handles and lives on. */
static struct {
	pthread_t threads[OTHERS];
	hqq_standard **side;
	sem_t used, end;
} others;

static void *use_and_stay(void *argument)
{
	(void)argument;
	exercise(others.side[0], others.side[1]);
	sem_post(&others.used);
	while (sem_wait(&others.end) != 0)
		continue;
	return NULL;
}

static void start_others(const struct way *way, hqq_standard *side[2])
{
	unsigned int i;

	others.side = side;
	sem_init(&others.used, 0, 0);
	sem_init(&others.end, 0, 0);
	for (i = 0; i < way->others; i++) {
		MUST_EQ(pthread_create(&others.threads[i], NULL, use_and_stay, NULL), 0);
		sem_wait(&others.used);
	}
}

static void end_others(const struct way *way)
{
	unsigned int i;

	for (i = 0; i < way->others; i++)
		sem_post(&others.end);
	for (i = 0; i < way->others; i++)
		MUST_EQ(pthread_join(others.threads[i], NULL), 0);
}

static void close_way(hqq_standard *side[2])
{
	MUST_EQ(hqq_standard_close(side[1]), 0);
	MUST_EQ(hqq_standard_close(side[0]), 0);
}

static bool cannot_tell(void)
{
#ifdef SANITIZED
	test_skip("a sanitizer makes system calls and allocations of its own");
	return true;
#else
	if (test_under_valgrind()) {
		test_skip("valgrind makes system calls and allocations of its own");
		return true;
	}
	return false;
#endif
}

START_TEST(no_allocation)
{
	hqq_standard *side[2];
	unsigned long before, messages;

	if (cannot_tell())
		return;
	open_way(&ways[_i], side);
	start_others(&ways[_i], side);
	before = allocations;
	/* from the very first call of this thread on */
	messages = exercise(side[0], side[1]);
	MUST_EQ(allocations, before);
	fprintf(stderr, "%s: %lu messages, no allocation\n", ways[_i].title, messages);
	/* and the count counts */
	something = malloc(100);
	MUST(something != NULL && allocations > before);
	free(something);
	end_others(&ways[_i]);
	close_way(side);
}
END_TEST

/* ---- system calls ------------------------------------------------------------------------------ */

struct quiet {
	const struct way *way;
	hqq_standard *side[2];
	bool noisy; /* makes one system call after all, to show that it would be caught */
};

static int exercise_in_silence(void *argument)
{
	const int allowed[] = { SYS_write, SYS_exit_group };
	struct quiet *quiet = argument;
	unsigned long messages;

	open_way(quiet->way, quiet->side);
	/* this thread makes its first call on the handles under the filter */
	start_others(quiet->way, quiet->side);
	MUST(sandbox_allow_only(allowed, 2));
	messages = exercise(quiet->side[0], quiet->side[1]);
	if (quiet->noisy)
		syscall(SYS_getppid);
	_exit(messages == ROUNDS * (WAITER_READS + 6) ? 0 : TEST_FAILED);
}

START_TEST(no_system_call)
{
	struct quiet quiet = { .way = &ways[_i / 2], .noisy = _i % 2 };
	struct child child;
	int end;

	if (cannot_tell())
		return;
	if (!sandbox_works()) {
		test_skip("seccomp filters do not work here");
		return;
	}
	child_start(&child, exercise_in_silence, &quiet);
	end = child_join(&child);
	/* under a filter that kills, a forbidden call is a death by SIGSYS */
	MUST_EQ(end, quiet.noisy ? -SIGSYS : 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("quiet");
	TCase *cases = test_case(suite, "quiet", 30);

	tcase_add_loop_test(cases, no_allocation, 0, WAYS);
	tcase_add_loop_test(cases, no_system_call, 0, 2 * WAYS);
	return test_main(suite);
}
