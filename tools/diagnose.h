/*
 * diagnose.h - what is wrong with a segment, from looks that change nothing
 *
 * Others work meanwhile, and no look is of one instant. A finding holds only if a second look, a while
 * later, draws it from the same words again; each check says why these words cannot come together
 * in a healthy segment, or, where that is so, for how short a time.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_DIAGNOSE_H
#define HQQ_TOOLS_DIAGNOSE_H

#include "findings.h"
#include "inspect.h"
#include "users.h"

/* The topics of findings; one pointer each. */
extern const char topic_file[], topic_header[], topic_extension[], topic_endpoint[], topic_claim[],
	topic_cursors[], topic_slots[], topic_sleep[], topic_stale[];

struct look {
	struct segment_info info;
	struct users users;
	bool has_extension; /* the copy below is good for something */
	struct hqq_extension extension;
	uint64_t dead, unknown, living;       /* entries, a bit each */
	struct ring_info before[2], after[2]; /* cursors around the look at the slots */
	struct findings findings;
};

/* Looks at an open segment, as often as it needs. 0 or -errno; *look is the last one. */
int diagnose(int fd, struct look *look);

/* Names an endpoint: "endpoint 2 (pid 123, secondary)". */
void say_endpoint(struct finding *finding, const struct look *look, unsigned entry);

/* The endpoint of an entry, NULL for a free one. */
const struct endpoint_info *endpoint_at(const struct segment_info *info, unsigned entry);

/* Its process was stopped by a signal, a debugger or a terminal. */
bool is_stopped(const struct endpoint_info *endpoint);

/* No endpoint of the table is of that process. */
bool is_stranger(const struct look *look, int pid);

/* Checks cursors and slots of both rings (slots.c). */
void check_rings(int fd, struct look *look);

/* By direction: the readers' side. */
extern const char *const side_names[2];

#endif /* HQQ_TOOLS_DIAGNOSE_H */
