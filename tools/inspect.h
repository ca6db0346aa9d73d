/*
 * inspect.h - a read-only look at a segment from outside
 *
 * Everything is copied out with bounded pread(2) calls, never mapped: a file may hold anything,
 * and may be truncated while it is looked at.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_INSPECT_H
#define HQQ_TOOLS_INSPECT_H

#include "extension.h"
#include "layout.h"
#include "liveness.h"
#include <sys/stat.h>

struct endpoint_info {
	unsigned entry;
	int pid;
	int mode; /* 0 primary, 1 secondary */
	unsigned state, flags;
	enum hqq_liveness life;
	enum hqq_liveness by_process; /* the word of its process alone, without its lock */
	char activity;                /* of a living process, as in /proc/PID/stat; 0 when unknown */
	char command[16];             /* empty when unknown */
};

struct ring_info {
	uint64_t read, write; /* cursors */
	uint64_t depth;       /* messages claimed by writers and not yet by readers */
};

struct segment_info {
	struct stat stat;
	bool is_segment;     /* it starts with the magic word; nothing below means anything else */
	const char *problem; /* what is wrong with it, NULL when it is sound */
	int problem_ring;    /* the ring that has the problem, or -1 */
	uint64_t magic;      /* this and state also of what is no segment */
	uint64_t state, major, minor, page_size, buffer_count, buffer_size, layout_size;
	struct hqq_geometry geometry; /* all zero unless the numbers above make sense */
	struct ring_info rings[2];
	bool extended; /* it has an extension block that we know */
	uint64_t joined[2], mended, lost;
	unsigned endpoints, alive, dead, unknown;
	struct endpoint_info endpoint[HQQ_ENDPOINTS];
};

/* Opens a name in /dev/shm read-only, regular files only; -errno on failure. */
int inspect_open(const char *name);

/* 0, or -errno when the file cannot be read. A file that is no segment is no error. */
int inspect_fd(int fd, struct segment_info *info);
int inspect_name(const char *name, struct segment_info *info);

/* Reads two cursors again; false when they cannot be had. */
bool inspect_ring(int fd, const struct hqq_geometry *geometry, int direction, struct ring_info *ring);

/* Copies elements out, from a slot on; false when they cannot be had. */
bool inspect_elements(int fd, const struct hqq_geometry *geometry, int direction, uint64_t slot,
                      struct hqq_element *elements, size_t count);

/* The same for the one of a position. */
bool inspect_element(int fd, const struct hqq_geometry *geometry, int direction, uint64_t position,
                     struct hqq_element *element);

/* Copies the bytes behind the superblock out, whatever they hold; false when they cannot be had. */
bool inspect_extension(int fd, struct hqq_extension *extension);

/* Endpoints of one side that are not dead. */
unsigned inspect_living(const struct segment_info *info, int mode);

/* A peer of that side is there or may come, as far as one can see: endpoints of other makes are in no table. */
bool inspect_may_have_peer(const struct segment_info *info, int peer_mode);

/*
 * Why a segment is not stale, NULL when it is: libhqq has used it and, by its table, no endpoint lives
 * on it. (Whoever ends in order takes his entry away and, if he made the segment, its name.)
 */
const char *inspect_why_used(const struct segment_info *info);

/*
 * The same, asking the kernel, too, whether a process has the file open. force: it stays only for what
 * is known to live, and doubts do not count.
 */
const char *inspect_why_kept(int fd, const struct segment_info *info, bool force);

/* For who would replace it, as HQQ_REPLACE_STALE does. */
bool inspect_is_stale(const char *name);

#endif /* HQQ_TOOLS_INSPECT_H */
