/*
 * segment.h - the memory of a link: named file, memfd or a caller's mapping
 *
 * Owes its callers: a descriptor and a mapping are closed exactly once; a name that we made stands
 * for a complete segment from the moment it exists; an opened file description is never shared
 * with another endpoint, so that OFD locks on it are this endpoint's alone. A child that is forked
 * at any moment shares all of them, so a lock is given up by unlocking, never by closing alone.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_SEGMENT_H
#define HQQ_LIB_SEGMENT_H

#include "layout.h"
#include <hqq/common.h>

struct hqq_segment {
	void *base;
	size_t length;
	int fd;      /* to pass on; -1 for a caller's mapping */
	int lock_fd; /* our own open file description, for locks; -1 where there is none */
	bool mapped; /* base is ours to unmap */
	bool named;  /* we made the name and remove it */
	char name[HQQ_NAME_MAX + 1]; /* empty for a segment without one */
};

/* An empty segment that hqq_segment_close() accepts. */
void hqq_segment_init(struct hqq_segment *segment);

/* Checks a caller's name and strips a leading '/'; NULL when it is not one path component. */
const char *hqq_segment_name(const char *name);

/* An anonymous file of the right length with its memory reserved, mapped. */
int hqq_segment_create_anonymous(struct hqq_segment *segment, size_t length, mode_t mode, uint64_t flags);

/* Gives the anonymous file its name: -EEXIST, unless replace says that a stale one goes. */
int hqq_segment_publish(struct hqq_segment *segment, const char *name, bool (*is_stale)(int fd, void *argument),
                        void *argument);

/* A sealed memfd, mapped. */
int hqq_segment_create_memfd(struct hqq_segment *segment, size_t length, uint64_t flags);

/* Opens a file by name; not mapped yet. */
int hqq_segment_open(struct hqq_segment *segment, const char *name);

/* Takes a caller's descriptor, which stays the caller's; it must be sealed against resizing. */
int hqq_segment_open_fd(struct hqq_segment *segment, int fd);

/* The file's length now; -errno on failure. */
int hqq_segment_file_size(const struct hqq_segment *segment, uint64_t *size);

/* Maps the first length bytes. */
int hqq_segment_map(struct hqq_segment *segment, size_t length, uint64_t flags);
void hqq_segment_unmap(struct hqq_segment *segment);

/*
 * A shared hold on a named file while an endpoint joins it, which excludes its replacement;
 * released by passing false. FAILED_INIT when somebody keeps replacing it for too long.
 */
int hqq_segment_hold(const struct hqq_segment *segment, bool hold);

/* The file still has a name (nobody replaced or removed it). */
bool hqq_segment_is_linked(const struct hqq_segment *segment);

/* For the maker of a name, which lives on the segment still: removes it if it is the same file. */
void hqq_segment_remove_name(struct hqq_segment *segment);

/* Unmaps, closes and, for the maker of a name, removes it if it is still the same file. */
void hqq_segment_close(struct hqq_segment *segment);

/* The same in a forked child: the parent's name stays. */
void hqq_segment_abandon(struct hqq_segment *segment);

int hqq_segment_unlink(const char *name);

#endif /* HQQ_LIB_SEGMENT_H */
