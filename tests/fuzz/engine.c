/*
 * engine.c - hands the inputs of libFuzzer to a target
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, size};

	fuzz_one(&input);
	return 0;
}
