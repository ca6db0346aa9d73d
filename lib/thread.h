/*
 * thread.h - threads of the library's own, for those who asked for something that needs one
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_THREAD_H
#define HQQ_LIB_THREAD_H

#include <pthread.h>

/* Starts a thread with a small stack and all signals blocked: they are for the caller's. -errno. */
int hqq_thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

static inline int hqq_thread_keep(void)
{
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	return before;
}

static inline void hqq_thread_let(const int *before)
{
	int ignored;

	pthread_setcancelstate(*before, &ignored);
}

/*
 * From here to the end of the block this thread cannot be cancelled: one that is, in a system call, would
 * for ever hold what it holds. The waits themselves, see futex.h, are no cancellation points.
 */
#define HQQ_NOT_CANCELED __attribute__((cleanup(hqq_thread_let), unused)) const int hqq_canceled_before = hqq_thread_keep()

#endif /* HQQ_LIB_THREAD_H */
