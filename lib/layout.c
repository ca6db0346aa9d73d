/*
 * layout.c - sizes and offsets of layout 1.0
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "layout.h"
#include <hqq/common.h>
#include <unistd.h>

size_t hqq_page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* *offset = the next page boundary at or after *offset + bytes; false on overflow. */
static bool advance(size_t *offset, size_t bytes, size_t page_size)
{
	size_t end;

	if (__builtin_add_overflow(*offset, bytes, &end) || __builtin_add_overflow(end, page_size - 1, &end))
		return false;
	*offset = end & ~(page_size - 1);
	return true;
}

int hqq_geometry_init(struct hqq_geometry *geometry, size_t buffer_count, size_t buffer_size)
{
	struct hqq_geometry g = {
		.page_size = hqq_page_size(),
		.buffer_count = buffer_count,
		.buffer_size = buffer_size,
	};
	size_t ring_bytes, buffer_bytes, offset = g.page_size;

	if (buffer_count < 2 || (buffer_count & (buffer_count - 1)) || buffer_size < 8)
		return HQQ_ERR_INVALID_SIZE;
	if (buffer_size % 8)
		return HQQ_ERR_MEMORY_ALIGN;
	if (__builtin_mul_overflow(buffer_count, sizeof(struct hqq_element), &ring_bytes) ||
	    __builtin_add_overflow(ring_bytes, sizeof(struct hqq_ring_header) + HQQ_RING_TAIL, &ring_bytes) ||
	    __builtin_mul_overflow(buffer_count, buffer_size, &buffer_bytes))
		return HQQ_ERR_INVALID_SIZE;
	for (int i = 0; i < 2; i++) {
		g.ring_offset[i] = offset;
		if (!advance(&offset, ring_bytes, g.page_size))
			return HQQ_ERR_INVALID_SIZE;
		g.buffers_offset[i] = offset;
		if (!advance(&offset, buffer_bytes, g.page_size))
			return HQQ_ERR_INVALID_SIZE;
	}
	if (offset > PTRDIFF_MAX) /* no object can be larger */
		return HQQ_ERR_INVALID_SIZE;
	g.layout_size = offset;
	*geometry = g;
	return 0;
}
