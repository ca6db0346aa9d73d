/*
 * waiter.h - a thread that sits in a call which waits, whichever that is
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_WAITER_H
#define HQQ_TESTS_WAITER_H

#include "support.h"

#include <hqq.h>
#include <pthread.h>

/* The ways to wait: the first half for a message, the others for room. */
#define WAITER_WAYS 10
#define WAITER_READS 5

/* The payload of every message that goes through here. */
#define WAITER_TEXT "awaited"
#define WAITER_LENGTH 7

const char *waiter_name(int way);
bool waiter_writes(int way);

/* What a call of that way returns when it got its message, or sent it. */
ssize_t waiter_success(int way);

/* The call itself, on this thread. Reservations are finished before it returns. */
ssize_t waiter_call(hqq_standard *handle, int way);

struct waiter {
	hqq_standard *handle;
	int way;
	pthread_t thread;
	_Atomic pid_t tid;
	ssize_t result;
	_Atomic uint64_t ended_ns; /* 0 while it waits */
};

/* Starts the thread; with asleep, returns once it sleeps in the kernel. */
void waiter_start(struct waiter *waiter, hqq_standard *handle, int way);
void waiter_asleep(struct waiter *waiter);

/* Waits that have begun on the handle so far, by its own count. */
uint64_t waiter_count(hqq_standard *handle);

/*
 * Returns once so many waits have begun on the handle: those threads are inside their
 * calls, whatever the wait policy, which no look at the thread from outside would tell.
 */
void waiter_inside(hqq_standard *handle, uint64_t waits);

/* What the call returned. */
ssize_t waiter_join(struct waiter *waiter);

/* Fills the handle's direction with messages until there is no room; needs a deadline in the past. */
void waiter_fill(hqq_standard *handle);

/*
 * Tells on stderr how long a wake-up took, and fails above TEST_WAKE_NS. since_ns: test_now_ns() just
 * before the wake.
 */
void waiter_prompt(const struct waiter *waiter, uint64_t since_ns, const char *what);

#endif /* HQQ_TESTS_WAITER_H */
