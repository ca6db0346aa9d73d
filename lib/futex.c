/*
 * futex.c - the futex system call, and futex_waitv(2) where the kernel has it
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "clock.h"
#include "futex.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/time_types.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* 32-bit machines have a second system call that takes 64-bit times. */
#ifdef SYS_futex_time64
#define FUTEX_CALL SYS_futex_time64
#else
#define FUTEX_CALL SYS_futex
#endif

#ifndef SYS_futex_waitv
#if defined(__alpha__) || defined(__mips__) /* numbers of their own: as on a kernel that lacks it */
#define SYS_futex_waitv (-1)
#else
#define SYS_futex_waitv 449
#endif
#endif

/* As in linux/futex.h since 5.16; our own, since older headers lack it. */
struct waiter {
	uint64_t expected;
	uint64_t address;
	uint32_t flags;
	uint32_t reserved;
};

enum {
	WAITER_32_BITS = 2,
	WAITER_PRIVATE = 128
};

static struct __kernel_timespec *timeout_of(uint64_t deadline, struct __kernel_timespec *ts)
{
	if (deadline == HQQ_NO_DEADLINE || deadline == UINT64_MAX)
		return NULL;
	ts->tv_sec = (long long)(deadline / HQQ_NS_PER_SEC);
	ts->tv_nsec = (long long)(deadline % HQQ_NS_PER_SEC);
	return ts;
}

void hqq_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t bits, uint64_t deadline)
{
	struct __kernel_timespec ts;

	/* FUTEX_WAIT_BITSET takes an absolute time, on CLOCK_MONOTONIC */
	syscall(FUTEX_CALL, word, FUTEX_WAIT_BITSET, expected, timeout_of(deadline, &ts), NULL, bits);
}

void hqq_futex_wait_private(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline)
{
	struct __kernel_timespec ts;

	syscall(FUTEX_CALL, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, timeout_of(deadline, &ts), NULL,
	        FUTEX_BITSET_MATCH_ANY);
}

bool hqq_futex_wait_any(const struct hqq_futex_word *words, unsigned count, uint64_t deadline)
{
	struct waiter waiters[HQQ_FUTEX_WORDS];
	struct __kernel_timespec ts;

	for (unsigned i = 0; i < count; i++) {
		waiters[i].expected = words[i].expected;
		waiters[i].address = (uintptr_t)words[i].word;
		waiters[i].flags = WAITER_32_BITS | (words[i].shared ? 0 : WAITER_PRIVATE);
		waiters[i].reserved = 0;
	}
	return syscall(SYS_futex_waitv, waiters, count, 0, timeout_of(deadline, &ts), CLOCK_MONOTONIC) >= 0 ||
	       (errno != ENOSYS && errno != EPERM && errno != EINVAL);
}

int hqq_futex_wake(_Atomic uint32_t *word, uint32_t bits)
{
	long woken = syscall(FUTEX_CALL, word, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL, bits);

	return woken > 0 ? (int)woken : 0;
}

int hqq_futex_wake_private(_Atomic uint32_t *word)
{
	long woken = syscall(FUTEX_CALL, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL, NULL, 0);

	return woken > 0 ? (int)woken : 0;
}
