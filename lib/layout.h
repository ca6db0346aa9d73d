/*
 * layout.h - where everything lies in a segment of layout 1.0
 *
 * Words are native-endian 64-bit, but for the eight words of a packet, which are little-endian on
 * every host (packet.h). Nothing here touches memory but the accessors of struct hqq_geometry's
 * owner; all size arithmetic is checked for overflow in hqq_geometry_init().
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_LAYOUT_H
#define HQQ_LIB_LAYOUT_H

#include "atomics.h"
#include <stddef.h>

#define HQQ_SUPERBLOCK_MAGIC UINT64_C(0x4851515f53544c31)
#define HQQ_RING_MAGIC UINT64_C(0xc9d8c1d43f096701)
#define HQQ_RING_INITIALISED UINT64_C(2)
#define HQQ_LAYOUT_MAJOR 1
#define HQQ_LAYOUT_MINOR 0

/* hqq_superblock.state */
#define HQQ_STATE_EMPTY 0
#define HQQ_STATE_INITIALISING 1
#define HQQ_STATE_READY 2

struct hqq_superblock {
	_Atomic uint64_t magic;
	_Atomic uint64_t state;
	_Atomic uint64_t major_version;
	_Atomic uint64_t minor_version;
	_Atomic uint64_t page_size;
	_Atomic uint64_t buffer_count;
	_Atomic uint64_t buffer_size;
	_Atomic uint64_t layout_size;
};

#define HQQ_PACKET_WORDS 8

/* One slot: a packet and the sequence word that says whose turn it is. */
struct hqq_element {
	_Atomic uint64_t packet[HQQ_PACKET_WORDS];
	_Atomic uint64_t sequence;
};

struct hqq_ring_header {
	_Atomic uint64_t magic;
	_Atomic uint64_t size;
	_Atomic uint64_t flags;
	_Atomic uint64_t read_cursor;
	uint64_t unused_1[12];
	_Atomic uint64_t write_cursor;
	uint64_t unused_2[15];
};

#define HQQ_RING_TAIL 256 /* unused bytes that layout 1.0 keeps behind the elements */

_Static_assert(sizeof(_Atomic uint64_t) == 8, "shared words are 8 bytes");
_Static_assert(sizeof(struct hqq_superblock) == 64, "superblock");
_Static_assert(offsetof(struct hqq_superblock, state) == 8, "superblock");
_Static_assert(offsetof(struct hqq_superblock, page_size) == 32, "superblock");
_Static_assert(offsetof(struct hqq_superblock, layout_size) == 56, "superblock");
_Static_assert(sizeof(struct hqq_element) == 72, "element");
_Static_assert(offsetof(struct hqq_element, sequence) == 64, "element");
_Static_assert(sizeof(struct hqq_ring_header) == 256, "ring header");
_Static_assert(offsetof(struct hqq_ring_header, read_cursor) == 24, "ring header");
_Static_assert(offsetof(struct hqq_ring_header, write_cursor) == 128, "ring header");

/* The two rings of a segment; the number is also the mode of the side that writes it. */
enum hqq_direction {
	HQQ_PRIMARY_TO_SECONDARY = 0,
	HQQ_SECONDARY_TO_PRIMARY = 1
};

struct hqq_geometry {
	size_t page_size;
	size_t buffer_count;
	size_t buffer_size;
	size_t ring_offset[2];
	size_t buffers_offset[2];
	size_t layout_size;
};

size_t hqq_page_size(void);

/*
 * Fills in the geometry of a segment. INVALID_SIZE, or MEMORY_ALIGN for a buffer size that is no
 * multiple of 8; *geometry is untouched then.
 */
int hqq_geometry_init(struct hqq_geometry *geometry, size_t buffer_count, size_t buffer_size);

#endif /* HQQ_LIB_LAYOUT_H */
