/*
 * calls.h - every call of a Standard handle, picked by the bytes of an input
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_FUZZ_CALLS_H
#define HQQ_TESTS_FUZZ_CALLS_H

#include "fuzz.h"
#include <hqq.h>

#define FUZZ_HELD 3 /* reservations at a time */

struct fuzz_user {
	hqq_standard *handle;
	size_t buffer_count, buffer_size;
	const unsigned char *base; /* of the segment, where that is known; else NULL */
	size_t length;
	FILE *stream;
	struct hqq_reservation held[FUZZ_HELD];
	bool writes[FUZZ_HELD];
	unsigned waits; /* calls that may still wait for a moment; 0 from the start: nor may threads */
};

/* For an open handle. base and length may be unknown. */
void fuzz_user_begin(struct fuzz_user *user, hqq_standard *handle, const void *base, size_t length);

/* One call. */
void fuzz_user_call(struct fuzz_user *user, struct fuzz_input *input);

/* Closes the handle, with whatever it holds, and tries to use it once more. */
void fuzz_user_end(struct fuzz_user *user);

#endif /* HQQ_TESTS_FUZZ_CALLS_H */
