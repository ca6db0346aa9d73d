/*
 * foreign.c - a second endpoint of the protocol, for tests; see foreign.h
 *
 * Offsets are written as numbers here, not taken from structs, so that this file says once more,
 * in its own way, what the tables say.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "foreign.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RING_SIZE_AT 8
#define RING_FLAGS_AT 16
#define RING_READ_AT 24
#define RING_WRITE_AT 128
#define RING_ELEMENTS_AT 256
#define ELEMENT_BYTES 72
#define SEQUENCE_AT 64
#define ONE_SECOND UINT64_C(1000000000)

/* ---- words ------------------------------------------------------------------------------------- */

static uint64_t *word_at(const void *base, uint64_t offset)
{
	return (uint64_t *)(void *)((unsigned char *)(uintptr_t)base + offset);
}

static uint64_t load(const void *base, uint64_t offset)
{
	return __atomic_load_n(word_at(base, offset), __ATOMIC_ACQUIRE);
}

static void store(void *base, uint64_t offset, uint64_t value)
{
	__atomic_store_n(word_at(base, offset), value, __ATOMIC_RELEASE);
}

static bool swap(void *base, uint64_t offset, uint64_t from, uint64_t to)
{
	return __atomic_compare_exchange_n(word_at(base, offset), &from, to, false, __ATOMIC_ACQ_REL,
	                                   __ATOMIC_RELAXED);
}

uint64_t foreign_word(const void *base, uint64_t offset)
{
	return load(base, offset);
}

/* ---- polling ----------------------------------------------------------------------------------- */

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * ONE_SECOND + (uint64_t)time.tv_nsec;
}

struct poller {
	uint64_t end;
	unsigned int looks;
};

static struct poller poll_for(uint64_t timeout_ns)
{
	struct poller poller = { 0, 0 };

	if (timeout_ns != 0)
		poller.end = now() + timeout_ns;
	return poller;
}

/* Passes a little time; false when there is none left. */
static bool poll_again(struct poller *poller)
{
	const struct timespec nap = { 0, 50000 };

	if (poller->end == 0)
		return false;
	if (poller->looks++ < 200)
		sched_yield();
	else
		nanosleep(&nap, NULL);
	return now() < poller->end;
}

/* ---- layout ------------------------------------------------------------------------------------ */

static bool round_up(uint64_t *at, uint64_t bytes, uint64_t page)
{
	uint64_t rest;

	if (bytes > UINT64_MAX - *at)
		return false;
	*at += bytes;
	rest = *at % page;
	if (rest == 0)
		return true;
	if (page - rest > UINT64_MAX - *at)
		return false;
	*at += page - rest;
	return true;
}

bool foreign_layout(struct foreign_layout *layout, uint64_t count, uint64_t size, uint64_t page)
{
	uint64_t at = page;
	int i;

	if (count < 2 || (count & (count - 1)) != 0 || size < 8 || size % 8 != 0)
		return false;
	if (count > (UINT64_MAX - 512) / ELEMENT_BYTES || count > UINT64_MAX / size)
		return false;
	layout->count = count;
	layout->size = size;
	layout->page = page;
	layout->ring_bytes = 256 + 256 + ELEMENT_BYTES * count;
	layout->buffer_bytes = count * size;
	for (i = 0; i < 2; i++) {
		layout->ring[i] = at;
		if (!round_up(&at, layout->ring_bytes, page))
			return false;
		layout->buffers[i] = at;
		if (!round_up(&at, layout->buffer_bytes, page))
			return false;
	}
	layout->total = at;
	return true;
}

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- making and opening ------------------------------------------------------------------------ */

static void initialise_ring(unsigned char *ring, uint64_t count)
{
	uint64_t i, element;
	unsigned int word;

	store(ring, RING_SIZE_AT, count);
	store(ring, RING_READ_AT, 0);
	store(ring, RING_WRITE_AT, 0);
	for (i = 0; i < count; i++) {
		element = RING_ELEMENTS_AT + i * ELEMENT_BYTES;
		for (word = 0; word < FOREIGN_WORDS; word++)
			store(ring, element + word * 8, 0);
		store(ring, element + SEQUENCE_AT, i);
	}
	store(ring, 0, FOREIGN_RING_MAGIC);
	store(ring, RING_FLAGS_AT, 2);
}

static void scatter_garbage(unsigned char *base, uint64_t page, uint64_t seed)
{
	uint64_t i;

	for (i = 64; i < page; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		base[i] = (unsigned char)(seed >> 33);
	}
}

/* The primary's work after it won the state. */
static void fill_segment(unsigned char *base, const struct foreign_layout *layout,
                         const struct foreign_defects *defects)
{
	uint64_t words[FOREIGN_WORDS] = { FOREIGN_SUPERBLOCK_MAGIC, 2, 1, 0, layout->page,
		                          layout->count, layout->size, layout->total };
	unsigned int i;

	if (defects != NULL && defects->garbage_seed != 0)
		scatter_garbage(base, layout->page, defects->garbage_seed);
	for (i = 0; i < 2; i++) {
		initialise_ring(base + layout->ring[i], layout->count);
		memset(base + layout->buffers[i], 0, (size_t)layout->buffer_bytes);
	}
	for (i = 0; i < FOREIGN_WORDS; i++) {
		if (defects != NULL && (defects->wrong_words >> i & 1) != 0)
			words[i] = defects->words[i];
	}
	for (i = FOREIGN_MAJOR; i < FOREIGN_WORDS; i++)
		store(base, i * 8, words[i]);
	store(base, FOREIGN_MAGIC * 8, words[FOREIGN_MAGIC]);
	if (defects == NULL || !defects->stuck)
		store(base, FOREIGN_STATE * 8, words[FOREIGN_STATE]);
}

void foreign_initialise(void *base, const struct foreign_layout *layout,
                        const struct foreign_defects *defects)
{
	if (defects != NULL && defects->untouched)
		return;
	if (swap(base, FOREIGN_STATE * 8, 0, 1))
		fill_segment(base, layout, defects);
}

/* The secondary's wait and its comparisons. */
static int meet_segment(const unsigned char *base, const struct foreign_layout *layout)
{
	struct poller poller = poll_for(ONE_SECOND);

	while (load(base, FOREIGN_STATE * 8) != 2 ||
	       load(base, FOREIGN_MAGIC * 8) != FOREIGN_SUPERBLOCK_MAGIC) {
		if (!poll_again(&poller))
			return FOREIGN_NOT_READY;
	}
	if (load(base, FOREIGN_COUNT * 8) != layout->count || load(base, FOREIGN_SIZE * 8) != layout->size ||
	    load(base, FOREIGN_LAYOUT_SIZE * 8) != layout->total ||
	    load(base, FOREIGN_PAGE_SIZE * 8) != layout->page)
		return FOREIGN_GEOMETRY;
	return FOREIGN_OK;
}

static int start(struct foreign *endpoint, uint64_t count, uint64_t size)
{
	memset(endpoint, 0, sizeof(*endpoint));
	return foreign_layout(&endpoint->layout, count, size, page_size()) ? FOREIGN_OK : FOREIGN_GEOMETRY;
}

static int map(struct foreign *endpoint, int fd, uint64_t length)
{
	void *base = mmap(NULL, (size_t)length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int error = errno;

	close(fd);
	if (base == MAP_FAILED) {
		errno = error;
		return FOREIGN_SYSTEM;
	}
	endpoint->base = base;
	endpoint->mapped = length;
	endpoint->owns_mapping = true;
	return FOREIGN_OK;
}

static void path_of(char path[300], const char *name)
{
	snprintf(path, 300, "/dev/shm/%s", name);
}

int foreign_create(struct foreign *endpoint, const char *name, uint64_t count, uint64_t size,
                   const struct foreign_defects *defects)
{
	int result = start(endpoint, count, size);
	uint64_t length = endpoint->layout.total;
	int fd;

	if (result != FOREIGN_OK)
		return result;
	if (defects != NULL && defects->length != 0)
		length = defects->length;
	path_of(endpoint->created, name);
	fd = open(endpoint->created, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		endpoint->created[0] = '\0';
		return FOREIGN_SYSTEM;
	}
	if (ftruncate(fd, (off_t)length) != 0) {
		close(fd);
		foreign_close(endpoint);
		return FOREIGN_SYSTEM;
	}
	result = map(endpoint, fd, length);
	if (result != FOREIGN_OK) {
		foreign_close(endpoint);
		return result;
	}
	endpoint->direction = FOREIGN_PRIMARY;
	/* a file that is too short has no room for the rings: it keeps its zeroes */
	if (length >= endpoint->layout.total)
		foreign_initialise(endpoint->base, &endpoint->layout, defects);
	return FOREIGN_OK;
}

static int open_side(struct foreign *endpoint, const char *name, uint64_t count, uint64_t size, int direction)
{
	int result = start(endpoint, count, size);
	char path[300];
	struct stat status;
	int fd;

	if (result != FOREIGN_OK)
		return result;
	path_of(path, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return FOREIGN_SYSTEM;
	if (fstat(fd, &status) != 0 || (uint64_t)status.st_size < endpoint->layout.total) {
		close(fd);
		return FOREIGN_GEOMETRY;
	}
	result = map(endpoint, fd, endpoint->layout.total);
	if (result == FOREIGN_OK)
		result = meet_segment(endpoint->base, &endpoint->layout);
	endpoint->direction = direction;
	if (result != FOREIGN_OK)
		foreign_close(endpoint);
	return result;
}

int foreign_open(struct foreign *endpoint, const char *name, uint64_t count, uint64_t size)
{
	return open_side(endpoint, name, count, size, FOREIGN_SECONDARY);
}

int foreign_open_primary(struct foreign *endpoint, const char *name, uint64_t count, uint64_t size)
{
	return open_side(endpoint, name, count, size, FOREIGN_PRIMARY);
}

int foreign_attach(struct foreign *endpoint, void *base, uint64_t length, uint64_t count, uint64_t size)
{
	int result = start(endpoint, count, size);

	if (result != FOREIGN_OK)
		return result;
	if ((uintptr_t)base % endpoint->layout.page != 0 || length < endpoint->layout.total)
		return FOREIGN_GEOMETRY;
	endpoint->base = base;
	endpoint->mapped = length;
	if (swap(base, FOREIGN_STATE * 8, 0, 1)) {
		endpoint->direction = FOREIGN_PRIMARY;
		fill_segment(base, &endpoint->layout, NULL);
		return FOREIGN_OK;
	}
	endpoint->direction = FOREIGN_SECONDARY;
	return meet_segment(base, &endpoint->layout);
}

void foreign_close(struct foreign *endpoint)
{
	int error = errno;

	if (endpoint->owns_mapping)
		munmap(endpoint->base, (size_t)endpoint->mapped);
	if (endpoint->created[0] != '\0')
		unlink(endpoint->created);
	memset(endpoint, 0, sizeof(*endpoint));
	errno = error;
}

/* ---- slots ------------------------------------------------------------------------------------- */

static unsigned char *ring_of(const struct foreign *endpoint, int ring)
{
	return endpoint->base + endpoint->layout.ring[ring];
}

uint64_t foreign_cursor_read(const struct foreign *endpoint, int ring)
{
	return load(ring_of(endpoint, ring), RING_READ_AT);
}

uint64_t foreign_cursor_write(const struct foreign *endpoint, int ring)
{
	return load(ring_of(endpoint, ring), RING_WRITE_AT);
}

/* One attempt: ready_at is what the sequence word has to be beyond the position. */
static bool claim(struct foreign *endpoint, int ring, uint64_t cursor_at, uint64_t ready_at,
                  struct foreign_slot *slot)
{
	unsigned char *buffers = endpoint->base + endpoint->layout.buffers[ring];
	unsigned char *at = ring_of(endpoint, ring);
	uint64_t position, index;

	for (;;) {
		position = load(at, cursor_at);
		index = position & (endpoint->layout.count - 1);
		slot->element = at + RING_ELEMENTS_AT + index * ELEMENT_BYTES;
		slot->buffer = buffers + index * endpoint->layout.size;
		slot->position = position;
		if (load(slot->element, SEQUENCE_AT) != position + ready_at) {
			if (load(at, cursor_at) == position)
				return false;
			continue;
		}
		if (swap(at, cursor_at, position, position + 1))
			return true;
	}
}

int foreign_reserve_write(struct foreign *endpoint, struct foreign_slot *slot, uint64_t timeout_ns)
{
	struct poller poller = poll_for(timeout_ns);

	while (!claim(endpoint, endpoint->direction, RING_WRITE_AT, 0, slot)) {
		if (!poll_again(&poller))
			return FOREIGN_TIMEOUT;
	}
	slot->copy_id = __atomic_add_fetch(&endpoint->copy_id, 1, __ATOMIC_RELAXED);
	return FOREIGN_OK;
}

int foreign_reserve_read(struct foreign *endpoint, struct foreign_slot *slot, uint64_t timeout_ns)
{
	struct poller poller = poll_for(timeout_ns);

	while (!claim(endpoint, 1 - endpoint->direction, RING_READ_AT, 1, slot)) {
		if (!poll_again(&poller))
			return FOREIGN_TIMEOUT;
	}
	slot->copy_id = 0;
	return FOREIGN_OK;
}

void foreign_publish(const struct foreign_slot *slot, const uint64_t packet[FOREIGN_WORDS])
{
	unsigned int i;

	for (i = 0; i < FOREIGN_WORDS; i++)
		__atomic_store_n(word_at(slot->element, i * 8), htole64(packet[i]), __ATOMIC_RELAXED);
	store(slot->element, SEQUENCE_AT, slot->position + 1);
}

static void publish(struct foreign *endpoint, const struct foreign_slot *slot, uint64_t opcode,
                    uint64_t number)
{
	uint64_t index = slot->position & (endpoint->layout.count - 1);
	uint64_t packet[FOREIGN_WORDS] = { opcode, slot->copy_id, index, number, 0, 0, 0, 0 };

	foreign_publish(slot, packet);
}

void foreign_commit(struct foreign *endpoint, const struct foreign_slot *slot, uint64_t length)
{
	publish(endpoint, slot, FOREIGN_COPY, length);
}

void foreign_tombstone(struct foreign *endpoint, const struct foreign_slot *slot, uint64_t reason)
{
	publish(endpoint, slot, FOREIGN_TOMBSTONE, reason);
}

void foreign_packet(const struct foreign_slot *slot, uint64_t packet[FOREIGN_WORDS])
{
	unsigned int i;

	for (i = 0; i < FOREIGN_WORDS; i++)
		packet[i] = le64toh(__atomic_load_n(word_at(slot->element, i * 8), __ATOMIC_RELAXED));
}

void foreign_release(struct foreign *endpoint, const struct foreign_slot *slot)
{
	store(slot->element, SEQUENCE_AT, slot->position + endpoint->layout.count);
}

/* ---- messages ---------------------------------------------------------------------------------- */

int foreign_write(struct foreign *endpoint, const void *data, size_t length, uint64_t timeout_ns)
{
	struct foreign_slot slot;
	int result;

	if (length == 0 || length > endpoint->layout.size)
		return FOREIGN_LENGTH;
	result = foreign_reserve_write(endpoint, &slot, timeout_ns);
	if (result != FOREIGN_OK)
		return result;
	memcpy(slot.buffer, data, length);
	foreign_commit(endpoint, &slot, length);
	return FOREIGN_OK;
}

int foreign_send_packet(struct foreign *endpoint, const uint64_t packet[FOREIGN_WORDS], const void *data,
                        size_t length, uint64_t timeout_ns)
{
	struct foreign_slot slot;
	int result;

	if (length > endpoint->layout.size)
		return FOREIGN_LENGTH;
	result = foreign_reserve_write(endpoint, &slot, timeout_ns);
	if (result != FOREIGN_OK)
		return result;
	if (length != 0)
		memcpy(slot.buffer, data, length);
	foreign_publish(&slot, packet);
	return FOREIGN_OK;
}

/* The bytes, 0 for a tombstone, or what is wrong; nothing is copied when it does not fit. */
static ssize_t take_message(struct foreign *endpoint, const struct foreign_slot *slot, void *data,
                            size_t capacity)
{
	uint64_t packet[FOREIGN_WORDS], length;

	foreign_packet(slot, packet);
	length = packet[3];
	switch (packet[0] & 0xff) {
	case FOREIGN_TOMBSTONE:
		return 0;
	case FOREIGN_COPY:
		if (length == 0 || length > endpoint->layout.size)
			return FOREIGN_MALFORMED;
		if (length > capacity)
			return FOREIGN_LENGTH;
		memcpy(data, slot->buffer, (size_t)length);
		return (ssize_t)length;
	default:
		return FOREIGN_MALFORMED;
	}
}

ssize_t foreign_read(struct foreign *endpoint, void *data, size_t capacity, uint64_t timeout_ns)
{
	struct foreign_slot slot;
	ssize_t result;

	do {
		result = foreign_reserve_read(endpoint, &slot, timeout_ns);
		if (result != FOREIGN_OK)
			return result;
		result = take_message(endpoint, &slot, data, capacity);
		foreign_release(endpoint, &slot);
	} while (result == 0);
	return result;
}
