/*
 * ck.c - the ring of Concurrency Kit in shared memory, with messages by value; both sides poll
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "peers/peer.h"
#include <ck_md.h>
#include <ck_ring.h>

struct small {
	unsigned char bytes[64];
};

struct page {
	unsigned char bytes[4096];
};

CK_RING_PROTOTYPE(small, small)
CK_RING_PROTOTYPE(page, page)

/* One for each way, in its half of the area. */
struct shared {
	ck_ring_t ring;
	_Alignas(BENCH_LINE) unsigned char slots[];
};

#define SLOTS(type) \
	(PEER_AREA_BYTES / 2 / sizeof(type) < BENCH_SLOTS ? PEER_AREA_BYTES / 2 / sizeof(type) : BENCH_SLOTS)

static int open_rings(struct peer_end *end)
{
	struct shared *own = peer_area(end, end->way);
	struct shared *other = peer_area(end, 1 - end->way);

	if (end->pair->side == 0) {
		size_t slots = end->size == sizeof(struct small) ? SLOTS(struct small) : SLOTS(struct page);

		ck_ring_init(&own->ring, (unsigned)slots);
		ck_ring_init(&other->ring, (unsigned)slots);
	}
	end->out = own;
	end->in = other;
	return 0;
}

static bool put(struct shared *to, void *message, size_t size, bool single)
{
	void *slots = to->slots;

	if (size == sizeof(struct small))
		return single ? ck_ring_enqueue_spsc_small(&to->ring, slots, message)
			      : ck_ring_enqueue_mpmc_small(&to->ring, slots, message);
	return single ? ck_ring_enqueue_spsc_page(&to->ring, slots, message)
		      : ck_ring_enqueue_mpmc_page(&to->ring, slots, message);
}

static bool take(struct shared *from, void *message, size_t size, bool single)
{
	void *slots = from->slots;

	if (size == sizeof(struct small))
		return single ? ck_ring_dequeue_spsc_small(&from->ring, slots, message)
			      : ck_ring_dequeue_mpmc_small(&from->ring, slots, message);
	return single ? ck_ring_dequeue_spsc_page(&from->ring, slots, message)
		      : ck_ring_dequeue_mpmc_page(&from->ring, slots, message);
}

static int send_many(struct peer_end *end, const void *message, size_t size)
{
	for (unsigned looks = 0; !put(end->out, (void *)(uintptr_t)message, size, false);)
		peer_look_again(end, &looks);
	return 0;
}

static int receive_many(struct peer_end *end, void *message, size_t size)
{
	for (unsigned looks = 0; !take(end->in, message, size, false);)
		peer_look_again(end, &looks);
	return 0;
}

static int send_single(struct peer_end *end, const void *message, size_t size)
{
	for (unsigned looks = 0; !put(end->out, (void *)(uintptr_t)message, size, true);)
		peer_look_again(end, &looks);
	return 0;
}

static int receive_single(struct peer_end *end, void *message, size_t size)
{
	for (unsigned looks = 0; !take(end->in, message, size, true);)
		peer_look_again(end, &looks);
	return 0;
}

static const char *version(void)
{
	return CK_VERSION;
}

const struct peer peer_ck = {
	.name = "ck",
	.can = PEER_STREAM | PEER_TRIP | PEER_MANY,
	.largest = sizeof(struct page),
	.apart = PEER_BY_VALUE,
	.version = version,
	.open = open_rings,
	.send = send_many,
	.receive = receive_many,
};

const struct peer peer_ck_spsc = {
	.name = "ck-spsc",
	.can = PEER_STREAM | PEER_TRIP,
	.beside = &peer_hqq_single,
	.largest = sizeof(struct page),
	.apart = PEER_BY_VALUE,
	.open = open_rings,
	.send = send_single,
	.receive = receive_single,
};
