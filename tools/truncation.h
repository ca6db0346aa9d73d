/*
 * truncation.h - outliving a segment that is cut while it is mapped
 *
 * A named segment can be shortened by anybody who may write it, and touching what is gone is SIGBUS.
 * The library leaves signals alone; this program must clean up behind itself, so it takes the signal:
 * the missing page is replaced by an empty one, and the command ends in order.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_TRUNCATION_H
#define HQQ_TOOLS_TRUNCATION_H

#include <stdbool.h>

/* To be called once, before there are threads. */
void truncation_survive(void);

/* For who sees it in another way: a file that is too short, a system call that says EFAULT. */
void truncation_note(void);

/* A segment of this process was cut; what it seems to hold since then means nothing. */
bool truncation_seen(void);

#endif /* HQQ_TOOLS_TRUNCATION_H */
