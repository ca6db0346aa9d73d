/*
 * futex.h - the futex system call, for words shared between processes
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_FUTEX_H
#define HQQ_LIB_FUTEX_H

#include "atomics.h"
#include <stdbool.h>

/*
 * Sleeps while *word == expected, until a wake whose bits meet ours or until the deadline
 * (CLOCK_MONOTONIC nanoseconds, 0 = none). May return early for any reason; the caller looks at
 * its condition again.
 */
void hqq_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t bits, uint64_t deadline);

/* A word to sleep on beside others. */
struct hqq_futex_word {
	_Atomic uint32_t *word;
	uint32_t expected;
	bool shared; /* between processes; a private word is woken with hqq_futex_wake_private() */
};

/*
 * The same on several words at once; any wake on any of them ends it. false where the kernel
 * cannot (before 5.16): nothing was waited for then.
 */
bool hqq_futex_wait_any(const struct hqq_futex_word *words, unsigned count, uint64_t deadline);

#define HQQ_FUTEX_WORDS 4 /* at most, in one hqq_futex_wait_any() */

/* Wakes all sleepers whose bits meet ours; returns how many. Async-signal-safe but for errno. */
int hqq_futex_wake(_Atomic uint32_t *word, uint32_t bits);

/* The same for sleepers of this process on a private word. */
int hqq_futex_wake_private(_Atomic uint32_t *word);

/* Sleeps on a private word, as hqq_futex_wait(). */
void hqq_futex_wait_private(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline);

#endif /* HQQ_LIB_FUTEX_H */
