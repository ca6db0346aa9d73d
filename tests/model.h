/*
 * model.h - what every byte of a segment has to be after each operation
 *
 * A model is a plain copy of a segment on which a test repeats, from the tables of the wire
 * protocol, what it asked the library to do. model_compare() then holds the two together: all
 * bytes count, paddings and unused tails too, but for the rest of the superblock's page, which
 * layout 1.0 gives to nobody.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_MODEL_H
#define HQQ_TESTS_MODEL_H

#include "foreign.h"

struct model {
	struct foreign_layout at;
	unsigned char *bytes;
	uint64_t written[2]; /* per ring: the cursors */
	uint64_t taken[2];
};

/* A fresh segment of this geometry. */
void model_init(struct model *model, uint64_t count, uint64_t size);
void model_free(struct model *model);

/* A producer took the next position; its bytes went into the buffer; it published the packet. */
uint64_t model_claim(struct model *model, int ring);
void model_fill(struct model *model, int ring, uint64_t position, const void *data, uint64_t length);
void model_publish(struct model *model, int ring, uint64_t position, uint64_t opcode, uint64_t copy_id,
                   uint64_t number);

/* The whole of a successful write, and of one that ends as a tombstone with its buffer untouched. */
void model_write(struct model *model, int ring, uint64_t copy_id, const void *data, uint64_t length);
void model_tombstone(struct model *model, int ring, uint64_t copy_id, uint64_t reason);

/* A consumer took the next position; it gave the slot back. */
uint64_t model_take(struct model *model, int ring);
void model_release(struct model *model, int ring, uint64_t position);

/* Take and release in one. */
void model_read(struct model *model, int ring);

/* The bytes of a slot's packet and buffer inside a segment. */
unsigned char *model_packet(const struct model *model, unsigned char *base, int ring, uint64_t position);
unsigned char *model_buffer(const struct model *model, unsigned char *base, int ring, uint64_t position);

/* Ends the process with the first difference: its offset and both bytes. */
#define MODEL_SAME(model, base) model_compare(model, base, __FILE__, __LINE__)
void model_compare(const struct model *model, const unsigned char *base, const char *file, int line);

#endif /* HQQ_TESTS_MODEL_H */
