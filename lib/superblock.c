/*
 * superblock.c - the handshake that makes a segment ready
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "clock.h"
#include "extension.h"
#include "superblock.h"
#include <hqq/common.h>
#include <string.h>

static struct hqq_ring_header *ring_of(void *base, const struct hqq_geometry *g, int direction)
{
	return (struct hqq_ring_header *)(void *)((char *)base + g->ring_offset[direction]);
}

static uint64_t word(const _Atomic uint64_t *address)
{
	/* acquire: what was stored before state became ready is seen after it */
	return atomic_load_explicit(address, memory_order_acquire);
}

static void set_word(_Atomic uint64_t *address, uint64_t value)
{
	atomic_store_explicit(address, value, memory_order_relaxed);
}

bool hqq_superblock_is_empty(const void *base)
{
	const struct hqq_superblock *super = base;

	return word(&super->state) == HQQ_STATE_EMPTY;
}

bool hqq_superblock_win(void *base)
{
	struct hqq_superblock *super = base;
	uint64_t empty = HQQ_STATE_EMPTY;

	return atomic_compare_exchange_strong_explicit(&super->state, &empty, HQQ_STATE_INITIALISING,
	                                               memory_order_acq_rel, memory_order_relaxed);
}

static void initialise_ring(void *base, const struct hqq_geometry *g, int direction)
{
	struct hqq_ring_header *ring = ring_of(base, g, direction);
	struct hqq_element *elements = (struct hqq_element *)(void *)(ring + 1);

	memset(ring, 0, sizeof(*ring) + g->buffer_count * sizeof(*elements) + HQQ_RING_TAIL);
	set_word(&ring->size, g->buffer_count);
	for (size_t i = 0; i < g->buffer_count; i++)
		set_word(&elements[i].sequence, i);
	memset((char *)base + g->buffers_offset[direction], 0, g->buffer_count * g->buffer_size);
	set_word(&ring->flags, HQQ_RING_INITIALISED);
	set_word(&ring->magic, HQQ_RING_MAGIC);
}

void hqq_superblock_initialise(void *base, const struct hqq_geometry *geometry)
{
	struct hqq_superblock *super = base;

	/* nobody else registers before the segment is ready, so the extension block is ours to clear */
	memset(hqq_extension_of(base), 0, sizeof(struct hqq_extension));
	for (int direction = 0; direction < 2; direction++)
		initialise_ring(base, geometry, direction);
	set_word(&super->major_version, HQQ_LAYOUT_MAJOR);
	set_word(&super->minor_version, HQQ_LAYOUT_MINOR);
	set_word(&super->page_size, geometry->page_size);
	set_word(&super->buffer_count, geometry->buffer_count);
	set_word(&super->buffer_size, geometry->buffer_size);
	set_word(&super->layout_size, geometry->layout_size);
	set_word(&super->magic, HQQ_SUPERBLOCK_MAGIC);
	/* release pairs with the acquire load in hqq_superblock_await(): everything above comes first */
	atomic_store_explicit(&super->state, HQQ_STATE_READY, memory_order_release);
}

int hqq_superblock_await(const void *base, uint64_t deadline)
{
	const struct hqq_superblock *super = base;
	uint64_t pause_ns = 10 * HQQ_NS_PER_US;

	while (word(&super->state) != HQQ_STATE_READY || word(&super->magic) != HQQ_SUPERBLOCK_MAGIC) {
		struct timespec ts = hqq_clock_timespec(pause_ns);

		if (hqq_clock_passed(deadline, hqq_clock_now()))
			return HQQ_ERR_FAILED_INIT;
		nanosleep(&ts, NULL);
		if (pause_ns < HQQ_NS_PER_MS)
			pause_ns *= 2;
	}
	return 0;
}

int hqq_superblock_geometry(const void *base, struct hqq_geometry *geometry)
{
	const struct hqq_superblock *super = base;
	uint64_t count = word(&super->buffer_count), size = word(&super->buffer_size);
	struct hqq_geometry g;

	if (count > SIZE_MAX || size > SIZE_MAX || hqq_geometry_init(&g, (size_t)count, (size_t)size))
		return HQQ_ERR_INVALID_SIZE;
	*geometry = g;
	return 0;
}

int hqq_superblock_check(const void *base, const struct hqq_geometry *g)
{
	const struct hqq_superblock *super = base;

	if (word(&super->buffer_count) != g->buffer_count || word(&super->buffer_size) != g->buffer_size ||
	    word(&super->layout_size) != g->layout_size || word(&super->page_size) != g->page_size)
		return HQQ_ERR_INVALID_SIZE;
	for (int direction = 0; direction < 2; direction++) {
		const struct hqq_ring_header *ring =
			(const void *)((const char *)base + g->ring_offset[direction]);

		if (word(&ring->magic) != HQQ_RING_MAGIC || word(&ring->size) != g->buffer_count ||
		    !(word(&ring->flags) & HQQ_RING_INITIALISED))
			return HQQ_ERR_CORRUPT;
	}
	return 0;
}
