/*
 * hold.h - locks by which programs of this command know each other on a segment
 *
 * They lie on bytes of the segment's file far behind all others, so nobody else meets them, and
 * the kernel drops them when their holder dies.
 *
 *   hold      `hqq create` keeps the segment for others: it is an endpoint, but no peer
 *   promise   an `hqq send` will end its stream with a mark (transfer.h)
 *   parts     an `hqq call` or `push` is there; an `hqq serve` or `pull` is there (meet.h)
 *
 * One more lies on the directory of all segments, on a byte for each name:
 *
 *   naming    `hqq create` makes that name just now, and its segment may not say yet who keeps it
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_HOLD_H
#define HQQ_TOOLS_HOLD_H

#include <stdbool.h>

/* An open file description of our own for the file behind a descriptor; -1 with errno. */
int hold_open(int fd);

/* Take a lock, until the description is closed. false when it cannot be had. */
bool hold_segment(int own_fd);
bool hold_promise(int own_fd);
bool hold_part(int own_fd, bool asks);

/* A descriptor that holds the lock until it is closed; -1 when it cannot be had. */
int hold_naming(const char *name);

/* Somebody else has it. */
bool is_held(int fd);
bool is_held_name(const char *name);
bool is_naming(const char *name);
bool is_promised(int fd);
bool is_part_held_name(const char *name, bool asks);

#endif /* HQQ_TOOLS_HOLD_H */
