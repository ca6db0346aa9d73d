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

#endif /* HQQ_LIB_THREAD_H */
