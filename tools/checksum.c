/*
 * checksum.c - the checksum of cksum(1)
 *
 * The CRC of POSIX, highest bit first. table[n] is what a byte does to it from n bytes further
 * off, so that eight bytes are taken at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "checksum.h"

#define POLYNOMIAL UINT32_C(0x04c11db7)

void checksum_init(struct checksum *checksum)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte << 24;

		for (int bit = 0; bit < 8; bit++)
			crc = crc << 1 ^ (crc >> 31 ? POLYNOMIAL : 0);
		checksum->table[0][byte] = crc;
	}
	for (int lane = 1; lane < CHECKSUM_LANES; lane++) {
		for (int byte = 0; byte < 256; byte++) {
			const uint32_t crc = checksum->table[lane - 1][byte];

			checksum->table[lane][byte] = crc << 8 ^ checksum->table[0][crc >> 24];
		}
	}
	checksum->crc = 0;
	checksum->size = 0;
}

static uint32_t add_byte(const struct checksum *checksum, uint32_t crc, unsigned char byte)
{
	return crc << 8 ^ checksum->table[0][(crc >> 24 ^ byte) & 0xff];
}

void checksum_add(struct checksum *checksum, const void *data, size_t size)
{
	uint32_t(*table)[256] = checksum->table;
	const unsigned char *at = data;
	uint32_t crc = checksum->crc;

	checksum->size += size;
	for (; size >= CHECKSUM_LANES; size -= CHECKSUM_LANES, at += CHECKSUM_LANES) {
		crc = table[7][(crc >> 24 ^ at[0]) & 0xff] ^ table[6][(crc >> 16 ^ at[1]) & 0xff] ^
		      table[5][(crc >> 8 ^ at[2]) & 0xff] ^ table[4][(crc ^ at[3]) & 0xff] ^ table[3][at[4]] ^
		      table[2][at[5]] ^ table[1][at[6]] ^ table[0][at[7]];
	}
	for (; size; size--)
		crc = add_byte(checksum, crc, *at++);
	checksum->crc = crc;
}

uint32_t checksum_end(struct checksum *checksum)
{
	for (uint64_t size = checksum->size; size; size >>= 8)
		checksum->crc = add_byte(checksum, checksum->crc, (unsigned char)size);
	return ~checksum->crc;
}
