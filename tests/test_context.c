/*
 * test_context.c - contexts: time-outs, and cancelling from threads and from signal handlers
 *
 * The waits are those of the link core, which the calls that take a context are made of. All of it
 * also runs as on kernels that lack a system call, see variants.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "sandbox.h"
#include "standard/standard.h"
#include "support.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIZE 64
#define SECOND UINT64_C(1000000000)

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* A segment whose ring 0 is full and whose ring 1 is empty, seen from its primary. */
static hqq_standard *handle, *peer;

static void open_pair(uint32_t wait)
{
	const struct timespec passed = { 0, 0 };
	struct hqq_options options = HQQ_OPTIONS_INIT;

	options.wait = wait;
	MUST_EQ(hqq_standard_create_fd(&handle, 4, SIZE, &options), 0);
	MUST_EQ(hqq_standard_open_fd(&peer, hqq_standard_fd(handle), 0, 0, &options), 0);
	MUST_EQ(hqq_standard_set_deadline(handle, &passed), 0);
	while (hqq_standard_write(handle, "full", 4) == 4)
		continue;
	MUST_EQ(hqq_standard_set_deadline(handle, NULL), 0);
}

static void close_pair(void)
{
	MUST_EQ(hqq_standard_close(peer), 0);
	MUST_EQ(hqq_standard_close(handle), 0);
}

/* Waits for a message or for room, as a call with a context does. */
static int wait_with(hqq_context *context, enum hqq_claim_kind kind)
{
	const struct hqq_patience patience = { .context = context };
	struct hqq_seat *seat = NULL;
	int rc = hqq_link_enter(&handle->link, &seat);

	if (rc)
		return rc;
	rc = hqq_link_wait(&handle->link, &seat, kind, &patience);
	hqq_link_leave(seat);
	return rc;
}

struct waiter {
	hqq_context *context;
	enum hqq_claim_kind kind;
	pthread_t thread;
	int result;
	uint64_t ended_ns;
};

static void *wait_in_thread(void *argument)
{
	struct waiter *waiter = argument;

	waiter->result = wait_with(waiter->context, waiter->kind);
	waiter->ended_ns = test_now_ns();
	return NULL;
}

static uint64_t waits_begun(void)
{
	struct hqq_stats stats;

	MUST_EQ(hqq_standard_stats(handle, &stats), 0);
	return stats.empty_waits + stats.full_waits;
}

/* It is inside its wait when this returns: close would turn away one that comes later. */
static void start_waiter(struct waiter *waiter, hqq_context *context, enum hqq_claim_kind kind)
{
	const uint64_t before = waits_begun();

	*waiter = (struct waiter){ .context = context, .kind = kind };
	MUST_EQ(pthread_create(&waiter->thread, NULL, wait_in_thread, waiter), 0);
	while (waits_begun() == before)
		test_sleep_ms(1);
	test_sleep_ms(15); /* mostly asleep by then, where it may sleep */
}

static int join_waiter(struct waiter *waiter, uint64_t since_ns, const char *what)
{
	uint64_t took;

	MUST_EQ(pthread_join(waiter->thread, NULL), 0);
	took = waiter->ended_ns - since_ns;
	fprintf(stderr, "a wait ended by %s after %llu us\n", what, (unsigned long long)took / 1000);
	MUST(took < TEST_WAKE_NS);
	return waiter->result;
}

/* ---- bodies: each runs in every variant and with every wait policy ----------------------------- */

static void already_over(void)
{
	hqq_context context = HQQ_CONTEXT_INIT;

	MUST_EQ(hqq_context_cancel(&context), 0);
	MUST_EQ(wait_with(&context, HQQ_CLAIM_READ), HQQ_ERR_CANCELED);
	MUST_EQ(wait_with(&context, HQQ_CLAIM_WRITE), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_context_reset(&context), 0);
	MUST_EQ(hqq_context_set_timeout(&context, 0), 0);
	MUST_EQ(wait_with(&context, HQQ_CLAIM_READ), HQQ_ERR_TIMEOUT);
	MUST_EQ(wait_with(&context, HQQ_CLAIM_WRITE), HQQ_ERR_TIMEOUT);
	/* the two are told apart: cancelled outweighs late */
	MUST_EQ(hqq_context_cancel(&context), 0);
	MUST_EQ(wait_with(&context, HQQ_CLAIM_READ), HQQ_ERR_CANCELED);
}

/* Not before its time, ever. Is it within a second of it? */
static bool times_out_soon(uint64_t ms)
{
	hqq_context context = HQQ_CONTEXT_INIT;
	struct timespec deadline;
	uint64_t end = test_now_ns() + ms * 1000000;

	MUST_EQ(hqq_context_set_timeout(&context, ms * 1000000), 0);
	MUST_EQ(wait_with(&context, HQQ_CLAIM_READ), HQQ_ERR_TIMEOUT);
	MUST(test_now_ns() >= end);
	deadline = test_in_ms(ms);
	end = (uint64_t)deadline.tv_sec * SECOND + (uint64_t)deadline.tv_nsec;
	MUST_EQ(hqq_context_set_deadline(&context, &deadline), 0);
	MUST_EQ(wait_with(&context, HQQ_CLAIM_WRITE), HQQ_ERR_TIMEOUT);
	MUST(test_now_ns() >= end);
	return test_now_ns() < end + SECOND * test_slowness();
}

static void times_out(void)
{
	/* late once or twice may be the machine */
	for (uint64_t ms = 1; ms < 100; ms *= 8)
		MUST(times_out_soon(ms) || times_out_soon(ms) || times_out_soon(ms));
}

static void cancelled_by_a_thread(void)
{
	hqq_context context = HQQ_CONTEXT_INIT;
	struct waiter waiter;
	uint64_t now;
	int round;

	for (round = 0; round < 6; round++) {
		start_waiter(&waiter, &context, round % 2 ? HQQ_CLAIM_READ : HQQ_CLAIM_WRITE);
		now = test_now_ns();
		MUST_EQ(hqq_context_cancel(&context), 0);
		MUST_EQ(join_waiter(&waiter, now, "cancel"), HQQ_ERR_CANCELED);
		MUST_EQ(hqq_context_reset(&context), 0);
	}
}

static void one_context_many_waits(void)
{
	hqq_context context = HQQ_CONTEXT_INIT;
	struct waiter waiters[8];
	uint64_t now;
	int i;

	for (i = 0; i < 8; i++)
		start_waiter(&waiters[i], &context, i % 2 ? HQQ_CLAIM_READ : HQQ_CLAIM_WRITE);
	now = test_now_ns();
	MUST_EQ(hqq_context_cancel(&context), 0);
	for (i = 0; i < 8; i++)
		MUST_EQ(join_waiter(&waiters[i], now, "cancel"), HQQ_ERR_CANCELED);
}

static hqq_context handled = HQQ_CONTEXT_INIT;

static void cancel_in_handler(int signal)
{
	const int before = errno;

	(void)signal;
	errno = EDOM;
	hqq_context_cancel(&handled);
	if (errno != EDOM)
		_exit(TEST_FAILED);
	errno = before;
}

static void cancelled_by_a_signal(void)
{
	struct sigaction action = { .sa_handler = cancel_in_handler }, before;
	struct waiter waiter;
	uint64_t now;
	int round;

	MUST_EQ(sigaction(SIGUSR1, &action, &before), 0);
	for (round = 0; round < 4; round++) {
		start_waiter(&waiter, &handled, HQQ_CLAIM_READ);
		now = test_now_ns();
		/* to the waiting thread itself: the handler runs on top of its wait */
		MUST_EQ(pthread_kill(waiter.thread, SIGUSR1), 0);
		MUST_EQ(join_waiter(&waiter, now, "cancel in a signal handler"), HQQ_ERR_CANCELED);
		MUST_EQ(hqq_context_reset(&handled), 0);
	}
	MUST_EQ(sigaction(SIGUSR1, &before, NULL), 0);
}

static void do_nothing(int signal)
{
	(void)signal;
}

/* Any other signal does not end a wait. */
static void other_signals_do_not_matter(void)
{
	struct sigaction action = { .sa_handler = do_nothing }, before;
	hqq_context context = HQQ_CONTEXT_INIT;
	struct waiter waiter;
	uint64_t now;
	int i;

	MUST_EQ(sigaction(SIGUSR2, &action, &before), 0);
	start_waiter(&waiter, &context, HQQ_CLAIM_READ);
	for (i = 0; i < 20; i++) {
		MUST_EQ(pthread_kill(waiter.thread, SIGUSR2), 0);
		test_sleep_ms(1);
	}
	now = test_now_ns();
	MUST_EQ(hqq_standard_write(peer, "x", 1), 1);
	MUST_EQ(join_waiter(&waiter, now, "a message"), 0);
	MUST_EQ(hqq_standard_read(handle, &i, 1), 1);
	MUST_EQ(sigaction(SIGUSR2, &before, NULL), 0);
}

static void other_ends(void)
{
	hqq_context context = HQQ_CONTEXT_INIT;
	struct waiter waiter;
	char byte[SIZE];
	uint64_t now;

	start_waiter(&waiter, &context, HQQ_CLAIM_READ);
	now = test_now_ns();
	MUST_EQ(hqq_standard_write(peer, "x", 1), 1);
	MUST_EQ(join_waiter(&waiter, now, "a message"), 0);
	MUST_EQ(hqq_standard_read(handle, byte, 1), 1);
	start_waiter(&waiter, &context, HQQ_CLAIM_WRITE);
	now = test_now_ns();
	MUST_EQ(hqq_standard_read(peer, byte, SIZE), 4);
	MUST_EQ(join_waiter(&waiter, now, "room"), 0);
	MUST_EQ(hqq_standard_write(handle, "full", 4), 4);
	start_waiter(&waiter, &context, HQQ_CLAIM_WRITE);
	now = test_now_ns();
	MUST_EQ(hqq_standard_interrupt(handle), 0);
	MUST_EQ(join_waiter(&waiter, now, "interrupt"), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_standard_resume(handle), 0);
	start_waiter(&waiter, &context, HQQ_CLAIM_READ);
	now = test_now_ns();
	MUST_EQ(hqq_standard_close(handle), 0);
	MUST_EQ(join_waiter(&waiter, now, "close"), HQQ_ERR_CLOSED);
	MUST_EQ(hqq_standard_close(peer), 0);
	open_pair(HQQ_WAIT_ADAPTIVE);
}

/* Cancels that come just as the wait begins: none may be lost. */
static void cancel_races_with_the_wait(void)
{
	const int rounds = 2000 / (int)test_slowness();
	/* fewer where each thread waits long for a processor: three policies have one watchdog */
	const uint64_t end = test_now_ns() + 8 * SECOND * test_slowness();
	hqq_context context = HQQ_CONTEXT_INIT;
	struct waiter waiter;
	uint64_t seed = 1;
	int round;

	for (round = 0; round < rounds && test_now_ns() < end; round++) {
		uint64_t until;

		waiter = (struct waiter){ .context = &context, .kind = HQQ_CLAIM_READ };
		MUST_EQ(pthread_create(&waiter.thread, NULL, wait_in_thread, &waiter), 0);
		until = test_now_ns() + test_random(&seed) % 200000;
		while (test_now_ns() < until)
			continue;
		MUST_EQ(hqq_context_cancel(&context), 0);
		MUST_EQ(pthread_join(waiter.thread, NULL), 0);
		MUST_EQ(waiter.result, HQQ_ERR_CANCELED);
		MUST_EQ(hqq_context_reset(&context), 0);
	}
}

static void (*const bodies[])(void) = {
	already_over,          times_out, cancelled_by_a_thread, one_context_many_waits,
	cancelled_by_a_signal, other_signals_do_not_matter, other_ends, cancel_races_with_the_wait,
};

#define BODIES (int)(sizeof(bodies) / sizeof(bodies[0]))

/* ---- variants: a kernel without futex_waitv (before 5.16), without membarrier, without both ---- */

struct trial {
	void (*body)(void);
	int variant;
};

static int try_in_child(void *argument)
{
	const int calls[] = { SYS_futex_waitv, SYS_membarrier };
	const struct trial *trial = argument;

	MUST(sandbox_deny(calls + (trial->variant == 2), trial->variant == 3 ? 2 : 1, ENOSYS));
	open_pair(HQQ_WAIT_ADAPTIVE);
	trial->body();
	close_pair();
	return 0;
}

START_TEST(on_this_kernel)
{
	uint32_t wait;

	for (wait = 0; wait <= HQQ_WAIT_BLOCK; wait++) {
		open_pair(wait);
		bodies[_i]();
		close_pair();
	}
}
END_TEST

START_TEST(on_a_lesser_kernel)
{
	struct trial trial = { bodies[_i / 3], 1 + _i % 3 };
	struct child child;

	if (!sandbox_works()) {
		test_skip("seccomp filters do not work here");
		return;
	}
	child_start(&child, try_in_child, &trial);
	child_join_ok(&child);
}
END_TEST

/* ---- the struct alone -------------------------------------------------------------------------- */

START_TEST(arguments)
{
	const struct timespec bad[] = { { 1, -1 }, { 1, 1000000000 } };
	hqq_context context = HQQ_CONTEXT_INIT;

	ck_assert_int_eq(hqq_context_set_deadline(&context, &bad[0]), HQQ_ERR_INVALID_OP);
	ck_assert_int_eq(hqq_context_set_deadline(&context, &bad[1]), HQQ_ERR_INVALID_OP);
	ck_assert_uint_eq(hqq_context_deadline(&context), HQQ_NO_DEADLINE);
	ck_assert_int_eq(hqq_context_set_timeout(&context, UINT64_MAX), 0);
	ck_assert_uint_eq(hqq_context_deadline(&context), UINT64_MAX);
	/* NULL takes the deadline away */
	ck_assert_int_eq(hqq_context_set_deadline(&context, NULL), 0);
	ck_assert_uint_eq(hqq_context_deadline(&context), HQQ_NO_DEADLINE);
	ck_assert(!hqq_context_canceled(&context));
	ck_assert_int_eq(hqq_context_cancel(&context), 0);
	ck_assert_int_eq(hqq_context_cancel(&context), 0);
	ck_assert(hqq_context_canceled(&context));
	/* a new time-out does not undo a cancel, only a reset does */
	ck_assert_int_eq(hqq_context_set_timeout(&context, 5), 0);
	ck_assert(hqq_context_canceled(&context));
	ck_assert_int_eq(hqq_context_reset(&context), 0);
	ck_assert(!hqq_context_canceled(&context));
	ck_assert_uint_eq(hqq_context_deadline(&context), HQQ_NO_DEADLINE);
	ck_assert(!hqq_context_canceled(NULL));
	ck_assert_uint_eq(hqq_context_deadline(NULL), HQQ_NO_DEADLINE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("contexts");
	TCase *cases = test_case(suite, "struct", 10);

	tcase_add_test(cases, arguments);
	cases = test_case(suite, "waits", 40);
	tcase_add_loop_test(cases, on_this_kernel, 0, BODIES);
	tcase_add_loop_test(cases, on_a_lesser_kernel, 0, 3 * BODIES);
	return test_main(suite);
}
