/*
 * rte.c - the ring of DPDK in shared memory, without the rest of DPDK; both sides poll
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "peers/peer.h"
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <rte_version.h>

static const unsigned plain_flags = 0;
static const unsigned relaxed_flags = RING_F_MP_RTS_ENQ | RING_F_MC_RTS_DEQ;
static const unsigned single_flags = RING_F_SP_ENQ | RING_F_SC_DEQ;

/* One ring for each way, in its half of the area. */
static int open_rings(struct peer_end *end)
{
	const unsigned *flags = peer_of(end)->how;
	size_t fit = PEER_AREA_BYTES / 2 / end->size;
	unsigned slots = fit < BENCH_SLOTS ? (unsigned)fit : BENCH_SLOTS;

	end->out = peer_area(end, end->way);
	end->in = peer_area(end, 1 - end->way);
	if (end->pair->side != 0)
		return 0;
	int error = rte_ring_init(end->out, "out", slots, *flags);
	if (!error)
		error = rte_ring_init(end->in, "in", slots, *flags);
	return error ? peer_fail(end, "rte_ring_init", error) : 0;
}

static int send_message(struct peer_end *end, const void *message, size_t size)
{
	for (unsigned looks = 0; rte_ring_enqueue_elem(end->out, (void *)(uintptr_t)message, (unsigned)size);)
		peer_look_again(end, &looks);
	return 0;
}

static int receive_message(struct peer_end *end, void *message, size_t size)
{
	for (unsigned looks = 0; rte_ring_dequeue_elem(end->in, message, (unsigned)size);)
		peer_look_again(end, &looks);
	return 0;
}

const struct peer peer_rte = {
	.name = "rte_ring",
	.can = PEER_STREAM | PEER_TRIP,
	.largest = 4096,
	.apart = PEER_BY_VALUE,
	.how = &plain_flags,
	.version = rte_version,
	.open = open_rings,
	.send = send_message,
	.receive = receive_message,
};

/* Its own mode for more processes than CPUs; without it, all wait for one that lost its CPU. */
const struct peer peer_rte_rts = {
	.name = "rte_ring-rts",
	.can = PEER_STREAM | PEER_TRIP | PEER_MANY,
	.largest = 4096,
	.apart = PEER_BY_VALUE,
	.how = &relaxed_flags,
	.open = open_rings,
	.send = send_message,
	.receive = receive_message,
};

const struct peer peer_rte_spsc = {
	.name = "rte_ring-spsc",
	.can = PEER_STREAM | PEER_TRIP,
	.beside = &peer_hqq_single,
	.largest = 4096,
	.apart = PEER_BY_VALUE,
	.how = &single_flags,
	.open = open_rings,
	.send = send_message,
	.receive = receive_message,
};
