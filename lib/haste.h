/*
 * haste.h - whether a reader should let messages gather
 *
 * A reader that takes every message the moment it is there works on the lines that the writer is about
 * to write, and both are slower than where the reader comes for a run of messages. But where messages
 * have a pace of their own, waiting for a run only delays them. The two are told apart by a trial: the
 * reader looks at some of its waits, and if most of them end with several messages to be read, it holds
 * back once. If they come faster then, it was in the writer's way, and gathers for many waits.
 *
 * One of these per seat; not thread-safe.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_HASTE_H
#define HQQ_LIB_HASTE_H

#include <stdbool.h>
#include <stdint.h>

struct hqq_haste {
	uint64_t received; /* messages, when the thread waited last */
	uint64_t began;    /* of the waits that are looked at: when, and the messages so far */
	uint64_t first;
	uint32_t waits;    /* looked at so far */
	uint32_t backlogs; /* those of them that ended with more than one message */
	uint32_t window;   /* waits to look at before the next trial; 0: as few as can be */
	uint32_t runs;     /* waits that are to gather */
};

enum hqq_haste_advice {
	HQQ_HASTE_TAKE,  /* what is there */
	HQQ_HASTE_TRY,   /* to hold back: hqq_haste_tried() */
	HQQ_HASTE_GATHER
};

/* For a thread that has received so many messages in all and finds one more after a short wait. */
enum hqq_haste_advice hqq_haste_ask(struct hqq_haste *haste, uint64_t received);

/* What a trial is to show: that so many messages come within this time from now, in nanoseconds. */
uint32_t hqq_haste_goal(const struct hqq_haste *haste, uint64_t *within);

void hqq_haste_tried(struct hqq_haste *haste, bool reached);

/* There was nothing to read for a while, or nothing to gather. */
void hqq_haste_rest(struct hqq_haste *haste);

#endif /* HQQ_LIB_HASTE_H */
