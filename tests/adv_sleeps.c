/*
 * adv_sleeps.c - the sleeps and the lock of the Advanced link, in the hands of a test; see adv_sleeps.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_sleeps.h"
#include "advanced/advanced.h"
#include "futex.h"

#include <errno.h>
#include <stdatomic.h>

#define LONG_SLEEP_NS (UINT64_C(6000000000) * test_slowness())

static _Thread_local bool is_watched, is_free;
static _Thread_local bool is_blind; /* the kernel cannot wait for several words */
static _Thread_local unsigned unended;
static _Atomic unsigned watched_sleeps, other_sleeps, held;
static _Atomic bool holds;

/* What a sleep begins with. false: there is none, the thread was held instead. */
static bool fall_asleep(void)
{
	if (is_watched)
		watched_sleeps++;
	else
		other_sleeps++;
	if (is_free || !holds)
		return true;
	held++;
	while (holds)
		test_sleep_ms(1);
	held--;
	return false;
}

static uint64_t until(uint64_t deadline)
{
	return is_watched && !is_blind ? test_now_ns() + LONG_SLEEP_NS : deadline;
}

/* What it ends with; errno says how, and is the caller's again. */
static void wake_up(int before)
{
	unended += is_watched && !is_blind && errno == ETIMEDOUT;
	errno = before;
}

void __real_hqq_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t bits, uint64_t deadline);
void __wrap_hqq_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t bits, uint64_t deadline);

void __wrap_hqq_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t bits, uint64_t deadline)
{
	const int before = errno;

	if (!fall_asleep())
		return;
	errno = 0;
	__real_hqq_futex_wait(word, expected, bits, until(deadline));
	wake_up(before);
}

void __real_hqq_futex_wait_private(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline);
void __wrap_hqq_futex_wait_private(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline);

void __wrap_hqq_futex_wait_private(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline)
{
	const int before = errno;

	if (!fall_asleep())
		return;
	errno = 0;
	__real_hqq_futex_wait_private(word, expected, until(deadline));
	wake_up(before);
}

bool __real_hqq_futex_wait_any(const struct hqq_futex_word *words, unsigned count, uint64_t deadline);
bool __wrap_hqq_futex_wait_any(const struct hqq_futex_word *words, unsigned count, uint64_t deadline);

bool __wrap_hqq_futex_wait_any(const struct hqq_futex_word *words, unsigned count, uint64_t deadline)
{
	const int before = errno;
	bool can;

	if (!fall_asleep())
		return true;
	errno = 0;
	can = __real_hqq_futex_wait_any(words, count, until(deadline));
	if (!can) /* the sleep that follows is on one of the words: what the others tell is not heard */
		is_blind = true;
	wake_up(before);
	return can;
}

void adv_sleep_watch(void)
{
	watched_sleeps = 0;
	unended = 0;
	is_blind = false;
	is_watched = true;
}

unsigned adv_sleep_unwatch(void)
{
	is_watched = false;
	return unended;
}

void adv_sleep_await_watched(void)
{
	while (watched_sleeps == 0)
		test_sleep_ms(1);
}

void adv_sleep_await_other(void)
{
	const unsigned before = other_sleeps;

	while (other_sleeps == before)
		test_sleep_ms(1);
}

void adv_sleep_hold(void)
{
	is_free = true;
	holds = true;
}

void adv_sleep_await_held(unsigned threads)
{
	while (held < threads)
		test_sleep_ms(1);
}

void adv_sleep_release(void)
{
	holds = false;
}

/* ---- the lock ---------------------------------------------------------------------------------- */

static _Thread_local pthread_mutex_t *late_for;
static _Thread_local unsigned locks_left;
static _Atomic bool reached, released;

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	if (mutex == late_for && --locks_left == 0) {
		late_for = NULL;
		reached = true;
		while (!released)
			test_sleep_ms(1);
	}
	return __real_pthread_mutex_lock(mutex);
}

void adv_lock_shut(void)
{
	released = reached = false;
}

void adv_lock_late(hqq_advanced *handle, unsigned nth)
{
	locks_left = nth;
	late_for = &handle->lock;
}

bool adv_lock_is_reached(void)
{
	return reached;
}

void adv_lock_release(void)
{
	released = true;
}
