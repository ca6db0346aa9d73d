/*
 * fuzz.h - what the fuzz targets share: the input as a stream of numbers, memory between guard pages
 *
 * A target is a file fuzz_NAME.c with a function fuzz_one() and a name. Built with libFuzzer it is
 * run by `make fuzz`; built with replay.c it is a test that reads the inputs in corpus/NAME again, with
 * any compiler and under any tool.
 *
 * Whatever a target does must end soon: deadlines have passed already or lie less than a
 * millisecond ahead. What must hold is said with FUZZ_MUST(), the rest is left to the sanitizers.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_FUZZ_H
#define HQQ_TESTS_FUZZ_H

#include "layout.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define FUZZ_MUST(condition) ((condition) ? (void)0 : fuzz_failed(__FILE__, __LINE__, #condition))

void fuzz_failed(const char *file, int line, const char *what) __attribute__((noreturn));

/* What has not been read yet of an input. An exhausted one gives zeros. */
struct fuzz_input {
	const uint8_t *next;
	size_t left;
};

/* Of the target: its name, and one input. */
extern const char fuzz_name[];
void fuzz_one(struct fuzz_input *input);

uint8_t fuzz_byte(struct fuzz_input *input);
uint64_t fuzz_word(struct fuzz_input *input); /* 8 bytes, little-endian */

/* A byte for itself, or for a number that hurts, or for a word that follows. */
uint64_t fuzz_number(struct fuzz_input *input);
#define FUZZ_NUMBER_WORD 0xff /* the byte that announces a word */

/* As many bytes as there are, at most length; returns how many. */
size_t fuzz_bytes(struct fuzz_input *input, void *bytes, size_t length);

/* Memory of whole pages, zeroed, between two pages that nobody may touch. */
struct fuzz_memory {
	unsigned char *base;
	size_t length;
};

void fuzz_map(struct fuzz_memory *memory, size_t pages);
void fuzz_unmap(struct fuzz_memory *memory);

/* A deadline that has passed, and one that is near. */
extern const struct timespec fuzz_passed;
struct timespec fuzz_soon(void);

/* The word at a place that the number picks, anywhere in the memory. */
_Atomic uint64_t *fuzz_place(const struct fuzz_memory *memory, uint64_t number);

/*
 * One change of a segment as an input tells it: where (two bytes: a word of the segment; some name
 * those that matter most) and what. Payload bytes are left alone when only_words.
 */
void fuzz_rewrite(struct fuzz_input *input, const struct fuzz_memory *memory,
                  const struct hqq_geometry *geometry, bool only_words);

#endif /* HQQ_TESTS_FUZZ_H */
