/*
 * sandbox.h - system calls that fail, or must not happen, by a seccomp filter
 *
 * A filter cannot be taken off again: use these in a child of the test.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_SANDBOX_H
#define HQQ_TESTS_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#define SANDBOX_MAX 32 /* system calls in one list */

/* From here on these calls fail with this error, as on a kernel without them. False: no seccomp here. */
bool sandbox_deny(const int *calls, size_t count, int error);

/*
 * From here on every call but these ends the process with SIGSYS. On this thread and on those that
 * it starts; other threads go on as before. False: no seccomp here.
 */
bool sandbox_allow_only(const int *calls, size_t count);

/* Seccomp works here (an emulator may say yes to a filter and run none). Tried in a child. */
bool sandbox_works(void);

#endif /* HQQ_TESTS_SANDBOX_H */
