/*
 * ends.h - handles of a named link, each opened for itself
 *
 * Their calls never wait, but where a test sets another deadline. What goes wrong fails the test.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_ENDS_H
#define HQQ_TESTS_ENDS_H

#include "support.h"

#include <hqq.h>
#include <time.h>

#define END_COUNT 8
#define END_SIZE 64

extern const struct timespec end_at_once; /* a deadline that has passed */

hqq_standard *end_create(const char *name, uint32_t role, uint64_t flags);
int end_try_open(hqq_standard **handle, const char *name, uint32_t role, uint64_t flags);
hqq_standard *end_open_as(const char *name, uint32_t role, uint64_t flags);
void end_close(hqq_standard *handle);

/* A message that is this text, without its end. */
void end_send(hqq_standard *handle, const char *text);
void end_expect(hqq_standard *handle, const char *text);

/* Reading is this error. */
void end_expect_error(hqq_standard *handle, int error);

#endif /* HQQ_TESTS_ENDS_H */
