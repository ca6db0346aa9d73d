/*
 * foreign.h - a second endpoint of the protocol, for tests
 *
 * Written from the tables of the wire protocol alone, with plain atomic loads and stores on raw
 * memory. It shares no line and no header with the library, puts nothing into the segment that
 * the tables do not name, and wakes nobody: it stands for the implementations in other languages.
 * It can also make segments and packets that are wrong on purpose.
 *
 * Several threads may use one endpoint at once; several endpoints may serve either side.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_FOREIGN_H
#define HQQ_TESTS_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum foreign_result {
	FOREIGN_OK = 0,
	FOREIGN_TIMEOUT = -1,
	FOREIGN_MALFORMED = -2, /* a packet that no table knows, or whose size is out of range */
	FOREIGN_LENGTH = -3,    /* a message that does not fit */
	FOREIGN_GEOMETRY = -4,  /* rules of geometry broken, or the segment says otherwise */
	FOREIGN_NOT_READY = -5, /* the state did not become 2 with the right magic in time */
	FOREIGN_SYSTEM = -6     /* errno tells */
};

enum foreign_role {
	FOREIGN_PRIMARY = 0,  /* writes ring 0 */
	FOREIGN_SECONDARY = 1 /* writes ring 1 */
};

#define FOREIGN_WORDS 8 /* of a packet, and of the superblock */

/* Words of the superblock */
enum {
	FOREIGN_MAGIC,
	FOREIGN_STATE,
	FOREIGN_MAJOR,
	FOREIGN_MINOR,
	FOREIGN_PAGE_SIZE,
	FOREIGN_COUNT,
	FOREIGN_SIZE,
	FOREIGN_LAYOUT_SIZE
};

#define FOREIGN_SUPERBLOCK_MAGIC UINT64_C(0x4851515f53544c31)
#define FOREIGN_RING_MAGIC UINT64_C(0xc9d8c1d43f096701)
#define FOREIGN_COPY 0xff
#define FOREIGN_TOMBSTONE 0xfe

/* Where the parts of a segment lie. */
struct foreign_layout {
	uint64_t count, size, page;
	uint64_t ring[2], ring_bytes;
	uint64_t buffers[2], buffer_bytes;
	uint64_t total;
};

/* False when there is no such segment: a rule broken, or more bytes than 64 bits count. */
bool foreign_layout(struct foreign_layout *layout, uint64_t count, uint64_t size, uint64_t page);

/* What a creator gets wrong, or leaves behind in places that belong to nobody. */
struct foreign_defects {
	unsigned int wrong_words;       /* bit i: word i of the superblock is words[i] instead */
	uint64_t words[FOREIGN_WORDS];
	bool stuck;                     /* stop with state 1, as if dead half-way */
	bool untouched;                 /* stop before anything is written */
	uint64_t length;                /* of the file, when not 0 */
	uint64_t garbage_seed;          /* bytes 64.. of the first page are noise, when not 0 */
};

struct foreign {
	struct foreign_layout layout;
	unsigned char *base;
	uint64_t mapped;
	int direction;       /* the ring that this side writes */
	bool owns_mapping;
	uint64_t copy_id;    /* the last one given out */
	char created[300];   /* the path to remove on close, or empty */
};

/* Creates /dev/shm/NAME exclusively and initialises it as primary. defects may be NULL. */
int foreign_create(struct foreign *endpoint, const char *name, uint64_t count, uint64_t size,
                   const struct foreign_defects *defects);

/* Opens /dev/shm/NAME as secondary: waits for it to be ready (1 s at most) and compares. */
int foreign_open(struct foreign *endpoint, const char *name, uint64_t count, uint64_t size);

/* One more endpoint on the primary's side of a segment that is ready. */
int foreign_open_primary(struct foreign *endpoint, const char *name, uint64_t count, uint64_t size);

/*
 * On a mapping of the caller: the winner of the state compare-and-swap is primary. The mapping
 * must hold the layout and outlive the endpoint.
 */
int foreign_attach(struct foreign *endpoint, void *base, uint64_t length, uint64_t count, uint64_t size);

/* Initialises raw memory with defects, without an endpoint. */
void foreign_initialise(void *base, const struct foreign_layout *layout,
                        const struct foreign_defects *defects);

void foreign_close(struct foreign *endpoint);

/* ---- messages. timeout_ns 0 makes one attempt; the waits poll. --------------------------------- */

int foreign_write(struct foreign *endpoint, const void *data, size_t length, uint64_t timeout_ns);

/* The bytes of the next message; tombstones are skipped, a malformed packet is consumed and told. */
ssize_t foreign_read(struct foreign *endpoint, void *data, size_t capacity, uint64_t timeout_ns);

/* ---- slots ------------------------------------------------------------------------------------- */

struct foreign_slot {
	uint64_t position;
	uint64_t copy_id;       /* writers only */
	unsigned char *element; /* packet, sequence word */
	unsigned char *buffer;
};

/* Claims the next slot to write or to read. */
int foreign_reserve_write(struct foreign *endpoint, struct foreign_slot *slot, uint64_t timeout_ns);
int foreign_reserve_read(struct foreign *endpoint, struct foreign_slot *slot, uint64_t timeout_ns);

/* Finishes a slot claimed for writing: as a message, as a tombstone, or with any packet at all. */
void foreign_commit(struct foreign *endpoint, const struct foreign_slot *slot, uint64_t length);
void foreign_tombstone(struct foreign *endpoint, const struct foreign_slot *slot, uint64_t reason);
void foreign_publish(const struct foreign_slot *slot, const uint64_t packet[FOREIGN_WORDS]);

/* The packet of a slot claimed for reading, in host order; then the slot goes back. */
void foreign_packet(const struct foreign_slot *slot, uint64_t packet[FOREIGN_WORDS]);
void foreign_release(struct foreign *endpoint, const struct foreign_slot *slot);

/* Claims, fills as much of the buffer as is given, publishes the packet as it is. */
int foreign_send_packet(struct foreign *endpoint, const uint64_t packet[FOREIGN_WORDS], const void *data,
                        size_t length, uint64_t timeout_ns);

/* ---- looking at raw memory --------------------------------------------------------------------- */

uint64_t foreign_word(const void *base, uint64_t offset); /* native-endian, acquire */
uint64_t foreign_cursor_read(const struct foreign *endpoint, int ring);
uint64_t foreign_cursor_write(const struct foreign *endpoint, int ring);

#endif /* HQQ_TESTS_FOREIGN_H */
