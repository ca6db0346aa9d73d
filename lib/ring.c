/*
 * ring.c - what of the ring is not inline
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "ring.h"

void hqq_ring_take_long(const struct hqq_ring *ring, void *to, void *data, size_t size)
{
	const size_t piece = size <= ring->touched ? HQQ_TOUCH_PIECE : size;

	for (size_t done = 0, n; done < size; done += n) {
		unsigned char *from = (unsigned char *)data + done;

		n = size - done < piece ? size - done : piece;
		memcpy((unsigned char *)to + done, from, n);
		hqq_ring_touch(ring, from, n); /* while it is near */
	}
}
