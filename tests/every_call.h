/*
 * every_call.h - all calls that take a handle, for the handles that may do nothing any more
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_EVERY_CALL_H
#define HQQ_TESTS_EVERY_CALL_H

#include <hqq.h>

/*
 * Makes every call that answers with a number, close excepted, and expects this error of each.
 * One report names all that answer otherwise.
 */
void every_call_gives(hqq_standard *handle, int error);

/* The calls that answer with something else: NULL, 0 or false. */
void every_getter_is_empty(hqq_standard *handle);

#endif /* HQQ_TESTS_EVERY_CALL_H */
