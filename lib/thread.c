/*
 * thread.c - starting a thread of the library's own
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "thread.h"
#include <errno.h>
#include <signal.h>

#define STACK_SIZE (128 * 1024)

int hqq_thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int rc = pthread_attr_init(&attributes);

	if (rc)
		return -rc;
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(thread, &attributes, run, argument);
	if (rc == EINVAL) /* the program's thread-local variables, which lie on the stack, do not fit */
		rc = pthread_create(thread, NULL, run, argument);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -rc;
}
