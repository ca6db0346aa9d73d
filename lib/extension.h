/*
 * extension.h - bytes 64..4095 of the superblock page: what layout 1.0 has no room for
 *
 * Installed by the first libhqq endpoint that attaches, in either role; all zero but for magic and
 * version is a valid, empty block. Other implementations neither read nor write it. All words are
 * native-endian and atomic.
 *
 *   offset  what
 *     64    magic, version, repair lock, endpoints ever joined per side, slots mended, messages lost,
 *           what is being buried
 *    128    four bells: per direction one for data (readers sleep there) and one for space (writers)
 *    384    two lines unused
 *    512    56 entries, one endpoint each: identity, origin, six lanes
 *
 * Hot words of different writers lie on different cache lines: a bell is read by publishers and
 * written by sleepers, an entry is written by its endpoint alone.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_EXTENSION_H
#define HQQ_LIB_EXTENSION_H

#include "layout.h"
#include <stdbool.h>

#define HQQ_EXTENSION_MAGIC UINT64_C(0x4851515f45585431)
#define HQQ_EXTENSION_VERSION 1
#define HQQ_EXTENSION_OFFSET 64

#define HQQ_ENDPOINTS 56
#define HQQ_LANES 6

/* Where sleepers of one kind wait (wait.h). */
struct hqq_bell {
	_Atomic uint32_t rung;  /* futex word, counts the rings */
	uint32_t unused_32;
	_Atomic uint64_t marks; /* bit e: endpoint e has sleepers here */
	uint64_t unused[6];
};

enum hqq_bell_kind {
	HQQ_BELL_DATA = 0,
	HQQ_BELL_SPACE = 1
};

/*
 * One endpoint. identity: bits 0..21 process id, 22..24 state, 25..30 flags, 32..43 how often the
 * entry has changed hands, 44..63 the low bits of the inode number of its pid namespace, 0 when
 * unknown. A free entry keeps the count. origin, which tells this process from a later one with the
 * same id: bits 0..31 its start time (field 22 of /proc/PID/stat, low half), bits 32..63 the inode
 * number of its pid namespace; 0 = unknown.
 */
struct hqq_entry {
	_Atomic uint64_t identity;
	_Atomic uint64_t origin;
	_Atomic uint64_t lanes[HQQ_LANES];
};

enum hqq_entry_state {
	HQQ_ENTRY_FREE = 0,
	HQQ_ENTRY_JOINING = 1,
	HQQ_ENTRY_LIVE = 2,
	HQQ_ENTRY_LEFT = 3,      /* closed; what it held is still to be mended */
	HQQ_ENTRY_INHERITING = 4 /* joining, and what the dead predecessor held is still to be mended */
};

enum {
	HQQ_ENTRY_SECONDARY = 1,     /* serves the secondary side */
	HQQ_ENTRY_LOCKED = 2,        /* holds an OFD lock on the first byte of its entry */
	HQQ_ENTRY_SINGLE_WRITER = 4, /* HQQ_SINGLE_WRITER was asked for */
	HQQ_ENTRY_SINGLE_READER = 8,
	HQQ_ENTRY_ADVANCED = 16,     /* an Advanced link */
	HQQ_ENTRY_LANES = 32         /* what is in its lanes was claimed for the secondary side */
};

struct hqq_extension {
	_Atomic uint64_t magic;
	_Atomic uint64_t version;
	_Atomic uint64_t repair;    /* bits 0..7: entry + 1 of the endpoint that mends, 0 = nobody; 8..63: turns */
	_Atomic uint64_t joined[2]; /* by mode */
	_Atomic uint64_t mended;    /* slots of the dead that were finished, by anybody, ever */
	_Atomic uint64_t lost;      /* of these, messages that a dead reader had taken */
	_Atomic uint64_t burial;    /* the dead writer's position that is being made a tombstone (recover.c) */
	struct hqq_bell bells[2][2]; /* [direction][kind] */
	uint64_t unused_2[16];
	struct hqq_entry entries[HQQ_ENDPOINTS];
};

_Static_assert(sizeof(struct hqq_bell) == HQQ_CACHE_LINE, "a line per bell");
_Static_assert(sizeof(struct hqq_entry) == HQQ_CACHE_LINE, "a line per endpoint");
_Static_assert(offsetof(struct hqq_extension, bells) == 128 - HQQ_EXTENSION_OFFSET, "bells");
_Static_assert(offsetof(struct hqq_extension, entries) == 512 - HQQ_EXTENSION_OFFSET, "entries");
_Static_assert(sizeof(struct hqq_extension) == 4096 - HQQ_EXTENSION_OFFSET, "fills the smallest page");
_Static_assert(HQQ_ENDPOINTS <= 64, "a bit per endpoint in a bell's marks");

#define HQQ_IDENTITY_COUNT_MASK UINT64_C(0xfff)

static inline int hqq_identity_pid(uint64_t identity)
{
	return (int)(identity & 0x3fffff); /* the kernel gives no higher ones */
}

static inline unsigned hqq_identity_state(uint64_t identity)
{
	return (unsigned)(identity >> 22 & 7);
}

static inline bool hqq_identity_is_free(uint64_t identity)
{
	return hqq_identity_state(identity) == HQQ_ENTRY_FREE;
}

static inline unsigned hqq_identity_flags(uint64_t identity)
{
	return (unsigned)(identity >> 25 & 0x3f);
}

static inline uint64_t hqq_identity_count(uint64_t identity)
{
	return identity >> 32 & HQQ_IDENTITY_COUNT_MASK;
}

static inline uint32_t hqq_identity_namespace(uint64_t identity)
{
	return (uint32_t)(identity >> 44);
}

/*
 * A number that stays the same for as long as an endpoint has the entry of this index, and is another one
 * for its next successors (4095 of one process) and for the endpoints of other entries; never 0.
 */
static inline uint64_t hqq_identity_who(uint64_t identity, unsigned index)
{
	return (identity & ~(UINT64_C(0x1ff) << 22)) | (uint64_t)(index + 1) << 22; /* for state and flags */
}

/* pid_namespace: the inode number, or 0. */
static inline uint64_t hqq_identity(int pid, enum hqq_entry_state state, unsigned flags, uint64_t count,
                                    uint32_t pid_namespace)
{
	return ((uint64_t)pid & 0x3fffff) | (uint64_t)state << 22 | (uint64_t)(flags & 0x3f) << 25 |
	       (count & HQQ_IDENTITY_COUNT_MASK) << 32 | (uint64_t)pid_namespace << 44;
}

static inline uint64_t hqq_identity_in_state(uint64_t identity, enum hqq_entry_state state)
{
	return (identity & ~(UINT64_C(7) << 22)) | (uint64_t)state << 22;
}

/* What a free entry keeps. */
static inline uint64_t hqq_identity_freed(uint64_t identity)
{
	return hqq_identity(0, HQQ_ENTRY_FREE, 0, hqq_identity_count(identity), 0);
}

static inline int hqq_identity_mode(uint64_t identity)
{
	return (hqq_identity_flags(identity) & HQQ_ENTRY_SECONDARY) ? 1 : 0;
}

/* The side that its lanes are of: a dead predecessor's, until what that held is mended. */
static inline int hqq_identity_lanes_mode(uint64_t identity)
{
	return (hqq_identity_flags(identity) & HQQ_ENTRY_LANES) ? 1 : 0;
}

static inline struct hqq_extension *hqq_extension_of(void *base)
{
	return (struct hqq_extension *)(void *)((char *)base + HQQ_EXTENSION_OFFSET);
}

/* Where an entry's lock byte lies in the segment's file. */
static inline uint64_t hqq_entry_offset(unsigned entry)
{
	return HQQ_EXTENSION_OFFSET + offsetof(struct hqq_extension, entries) + entry * sizeof(struct hqq_entry);
}

/*
 * Makes the block ours if nobody has: safe beside others that do the same. false when the bytes
 * hold something else (another version, or what a foreign creator left there).
 */
bool hqq_extension_install(struct hqq_extension *extension);

#endif /* HQQ_LIB_EXTENSION_H */
