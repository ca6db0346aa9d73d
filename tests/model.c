/*
 * model.c - what every byte of a segment has to be; see model.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "model.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put_native(unsigned char *at, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void put_little(unsigned char *at, uint64_t value)
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		at[i] = (unsigned char)(value >> 8 * i);
}

static unsigned char *ring_of(const struct model *model, int ring)
{
	return model->bytes + model->at.ring[ring];
}

unsigned char *model_packet(const struct model *model, unsigned char *base, int ring, uint64_t position)
{
	return base + model->at.ring[ring] + 256 + 72 * (position & (model->at.count - 1));
}

unsigned char *model_buffer(const struct model *model, unsigned char *base, int ring, uint64_t position)
{
	return base + model->at.buffers[ring] + model->at.size * (position & (model->at.count - 1));
}

void model_init(struct model *model, uint64_t count, uint64_t size)
{
	uint64_t words[8] = { 0 };
	uint64_t i;
	int ring;

	memset(model, 0, sizeof(*model));
	MUST(foreign_layout(&model->at, count, size, (uint64_t)sysconf(_SC_PAGESIZE)));
	model->bytes = calloc(1, (size_t)model->at.total);
	MUST(model->bytes != NULL);
	words[0] = UINT64_C(0x4851515f53544c31);
	words[1] = 2;
	words[2] = 1;
	words[4] = model->at.page;
	words[5] = count;
	words[6] = size;
	words[7] = model->at.total;
	for (i = 0; i < 8; i++)
		put_native(model->bytes + 8 * i, words[i]);
	for (ring = 0; ring < 2; ring++) {
		put_native(ring_of(model, ring), UINT64_C(0xc9d8c1d43f096701));
		put_native(ring_of(model, ring) + 8, count);
		put_native(ring_of(model, ring) + 16, 2);
		for (i = 0; i < count; i++)
			put_native(ring_of(model, ring) + 256 + 72 * i + 64, i);
	}
}

void model_free(struct model *model)
{
	free(model->bytes);
	memset(model, 0, sizeof(*model));
}

uint64_t model_claim(struct model *model, int ring)
{
	uint64_t position = model->written[ring]++;

	put_native(ring_of(model, ring) + 128, model->written[ring]);
	return position;
}

void model_fill(struct model *model, int ring, uint64_t position, const void *data, uint64_t length)
{
	memcpy(model_buffer(model, model->bytes, ring, position), data, (size_t)length);
}

void model_publish(struct model *model, int ring, uint64_t position, uint64_t opcode, uint64_t copy_id,
                   uint64_t number)
{
	unsigned char *packet = model_packet(model, model->bytes, ring, position);

	memset(packet, 0, 64);
	put_little(packet, opcode);
	put_little(packet + 8, copy_id);
	put_little(packet + 16, position & (model->at.count - 1));
	put_little(packet + 24, number);
	put_native(packet + 64, position + 1);
}

void model_write(struct model *model, int ring, uint64_t copy_id, const void *data, uint64_t length)
{
	uint64_t position = model_claim(model, ring);

	model_fill(model, ring, position, data, length);
	model_publish(model, ring, position, FOREIGN_COPY, copy_id, length);
}

void model_tombstone(struct model *model, int ring, uint64_t copy_id, uint64_t reason)
{
	model_publish(model, ring, model_claim(model, ring), FOREIGN_TOMBSTONE, copy_id, reason);
}

uint64_t model_take(struct model *model, int ring)
{
	uint64_t position = model->taken[ring]++;

	put_native(ring_of(model, ring) + 24, model->taken[ring]);
	return position;
}

void model_release(struct model *model, int ring, uint64_t position)
{
	put_native(model_packet(model, model->bytes, ring, position) + 64, position + model->at.count);
}

void model_read(struct model *model, int ring)
{
	model_release(model, ring, model_take(model, ring));
}

/* Which part of a segment an offset lies in, for a message that says something. */
static const char *part_of(const struct model *model, uint64_t offset)
{
	if (offset < model->at.page)
		return "superblock";
	if (offset < model->at.buffers[0])
		return "ring 0";
	if (offset < model->at.ring[1])
		return "buffers 0";
	return offset < model->at.buffers[1] ? "ring 1" : "buffers 1";
}

void model_compare(const struct model *model, const unsigned char *base, const char *file, int line)
{
	uint64_t page = model->at.page;
	uint64_t i;

	if (memcmp(base, model->bytes, 64) == 0 &&
	    memcmp(base + page, model->bytes + page, (size_t)(model->at.total - page)) == 0)
		return;
	for (i = 0; base[i] == model->bytes[i] || (i >= 64 && i < page); i++)
		continue;
	test_must_failed(file, line, "byte %#llx (%s) is %#x, not %#x", (unsigned long long)i,
	                 part_of(model, i), base[i], model->bytes[i]);
}
