/*
 * superblock.h - the first 64 bytes of a segment, and who initialises it
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_SUPERBLOCK_H
#define HQQ_LIB_SUPERBLOCK_H

#include "layout.h"
#include <stdbool.h>

/* How long an endpoint waits for somebody else to make a segment ready. */
#define HQQ_READY_WAIT_NS UINT64_C(1000000000)

/* Nobody has begun to initialise it. */
bool hqq_superblock_is_empty(const void *base);

/* Moves the state from empty to initialising; true for the one endpoint that shall initialise. */
bool hqq_superblock_win(void *base);

/* For the winner: initialises both rings, the buffers and the words, then says ready. */
void hqq_superblock_initialise(void *base, const struct hqq_geometry *geometry);

/* For all others: waits until ready (FAILED_INIT when the deadline passes). */
int hqq_superblock_await(const void *base, uint64_t deadline);

/* The geometry that the segment claims for itself, checked; INVALID_SIZE when it makes no sense. */
int hqq_superblock_geometry(const void *base, struct hqq_geometry *geometry);

/* Compares a ready segment with what we expect: INVALID_SIZE, or CORRUPT for broken ring headers. */
int hqq_superblock_check(const void *base, const struct hqq_geometry *geometry);

#endif /* HQQ_LIB_SUPERBLOCK_H */
