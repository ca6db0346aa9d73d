/*
 * fuzz.c - what the fuzz targets share; see fuzz.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "extension.h"
#include "fuzz.h"
#include "ring.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SOON_NS 200000

const struct timespec fuzz_passed = {0, 0};

void fuzz_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

/* ---- the input ---- */

size_t fuzz_bytes(struct fuzz_input *input, void *bytes, size_t length)
{
	if (length > input->left)
		length = input->left;
	if (length)
		memcpy(bytes, input->next, length);
	input->next += length;
	input->left -= length;
	return length;
}

uint8_t fuzz_byte(struct fuzz_input *input)
{
	uint8_t byte = 0;

	fuzz_bytes(input, &byte, 1);
	return byte;
}

uint64_t fuzz_word(struct fuzz_input *input)
{
	uint64_t word = 0;

	fuzz_bytes(input, &word, sizeof(word));
	return le64toh(word);
}

uint64_t fuzz_number(struct fuzz_input *input)
{
	static const uint64_t nasty[] = {
		UINT64_MAX, UINT64_MAX - 1,           UINT64_MAX - 7,    INT64_MAX, (uint64_t)INT64_MAX + 1,
		UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_C(1) << 52,
	};
	const uint8_t byte = fuzz_byte(input);

	if (byte == FUZZ_NUMBER_WORD)
		return fuzz_word(input);
	if (byte >= 0xf0 && byte < 0xf8)
		return nasty[byte - 0xf0];
	return byte;
}

/* ---- memory ---- */

void fuzz_map(struct fuzz_memory *memory, size_t pages)
{
	const size_t page = hqq_page_size(), length = pages * page;
	unsigned char *fence = mmap(NULL, length + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	FUZZ_MUST(fence != MAP_FAILED);
	FUZZ_MUST(pages == 0 || mprotect(fence + page, length, PROT_READ | PROT_WRITE) == 0);
	memory->base = fence + page;
	memory->length = length;
}

void fuzz_unmap(struct fuzz_memory *memory)
{
	const size_t page = hqq_page_size();

	FUZZ_MUST(munmap(memory->base - page, memory->length + 2 * page) == 0);
}

struct timespec fuzz_soon(void)
{
	struct timespec soon;

	clock_gettime(CLOCK_MONOTONIC, &soon);
	soon.tv_nsec += SOON_NS;
	if (soon.tv_nsec >= 1000000000) {
		soon.tv_nsec -= 1000000000;
		soon.tv_sec++;
	}
	return soon;
}

_Atomic uint64_t *fuzz_place(const struct fuzz_memory *memory, uint64_t number)
{
	_Atomic uint64_t *words = (_Atomic uint64_t *)(void *)memory->base;

	return &words[number % (memory->length / sizeof(*words))];
}

/* ---- rewriting ---- */

/* Bytes from the start of the segment to a word of a ring: a cursor, or one of an element. */
static uint64_t ring_place(const struct hqq_geometry *geometry, unsigned direction, uint8_t index)
{
	const uint64_t ring = geometry->ring_offset[direction];
	const uint64_t slot = index % geometry->buffer_count;

	if (index >= 0xf0)
		return ring + (index & 1 ? offsetof(struct hqq_ring_header, read_cursor)
		                         : offsetof(struct hqq_ring_header, write_cursor));
	if (index >= 0xe0)
		return ring + 8 * (index & 15);
	/* the high bits of an index tell the word of the element, most often the sequence */
	return ring + sizeof(struct hqq_ring_header) + slot * sizeof(struct hqq_element) +
	       (index & 0x80 ? 8u * (index >> 4 & 7) : offsetof(struct hqq_element, sequence));
}

static bool is_payload(const struct hqq_geometry *geometry, uint64_t place)
{
	for (int direction = 0; direction < 2; direction++) {
		const uint64_t start = geometry->buffers_offset[direction];

		if (place >= start && place - start < geometry->buffer_count * geometry->buffer_size)
			return true;
	}
	return false;
}

void fuzz_rewrite(struct fuzz_input *input, const struct fuzz_memory *memory,
                  const struct hqq_geometry *geometry, bool only_words)
{
	const uint8_t kind = fuzz_byte(input), index = fuzz_byte(input);
	const uint64_t value = fuzz_number(input);
	uint64_t place;

	switch (kind % 8) {
	case 0: /* the superblock */
		place = 8u * (index % 8);
		break;
	case 1: /* the words in front of the extension block, the bells */
		place = HQQ_EXTENSION_OFFSET + 8u * (index % 48);
		break;
	case 2: /* the first entries */
		place = HQQ_EXTENSION_OFFSET + offsetof(struct hqq_extension, entries) + 8u * (index % 32);
		break;
	case 3: /* anywhere in the first page */
		place = 8u * (((uint64_t)kind >> 3) << 8 | index);
		break;
	case 4:
	case 5:
		place = ring_place(geometry, kind & 1, index);
		break;
	case 6: /* anywhere */
		place = 8u * (((uint64_t)kind >> 3) << 8 | index);
		break;
	default: /* a position that fits the cursor, so that the change is believed */
		place = ring_place(geometry, kind >> 3 & 1, 0xf0 | (kind >> 4 & 1));
		if (place + 8 > memory->length)
			return;
		atomic_fetch_add_explicit(fuzz_place(memory, place / 8), value, memory_order_relaxed);
		return;
	}
	if (place + 8 > memory->length || (only_words && is_payload(geometry, place)))
		return;
	atomic_store_explicit(fuzz_place(memory, place / 8), value, memory_order_relaxed);
}
