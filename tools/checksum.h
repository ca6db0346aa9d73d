/*
 * checksum.h - the checksum of cksum(1): a CRC of the bytes, then of their number
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_CHECKSUM_H
#define HQQ_TOOLS_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define CHECKSUM_LANES 8

struct checksum {
	uint32_t table[CHECKSUM_LANES][256];
	uint32_t crc;
	uint64_t size;
};

void checksum_init(struct checksum *checksum);
void checksum_add(struct checksum *checksum, const void *data, size_t size);
uint32_t checksum_end(struct checksum *checksum);

#endif /* HQQ_TOOLS_CHECKSUM_H */
