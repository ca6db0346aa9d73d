/*
 * packet.h - the 64-byte packets in the slots of a ring
 *
 * A packet is eight little-endian words: the opcode in the low byte of word 0, operands in words
 * 1..7. Packets are written by the owner of a claimed slot and read after its sequence word said
 * so; a word is read once into a local, checked, then used, since the peer may scribble at any
 * time. All accesses are relaxed: the sequence word orders them (ring.h).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_PACKET_H
#define HQQ_LIB_PACKET_H

#include "layout.h"
#include <endian.h>

enum hqq_opcode {
	HQQ_OP_ERROR = 0x00,
	HQQ_OP_CONN_CREATE = 0x01,
	HQQ_OP_CONN_ACCEPT = 0x02,
	HQQ_OP_CONN_CLOSE = 0x03,
	HQQ_OP_CONN_COPY = 0x04,
	HQQ_OP_PROTO_NEGOTIATE = 0x05,
	HQQ_OP_PROTO_ACK = 0x06,
	HQQ_OP_STANDARD_TOMBSTONE = 0xfe,
	HQQ_OP_STANDARD_COPY = 0xff
};

/* Word of each field: operand i of the protocol is word i + 1. */
enum {
	HQQ_WORD_OPCODE = 0,
	HQQ_WORD_COPY_ID = 1,
	HQQ_WORD_SLOT = 2,
	HQQ_WORD_SIZE = 3,   /* STANDARD_COPY */
	HQQ_WORD_REASON = 3, /* STANDARD_TOMBSTONE */
	HQQ_WORD_TAG = 7     /* while a slot is reserved: who holds it (claim.h) */
};

static inline uint64_t hqq_packet_get(const struct hqq_element *element, unsigned word)
{
	return le64toh(atomic_load_explicit(&element->packet[word], memory_order_relaxed));
}

static inline void hqq_packet_set(struct hqq_element *element, unsigned word, uint64_t value)
{
	atomic_store_explicit(&element->packet[word], htole64(value), memory_order_relaxed);
}

static inline unsigned hqq_packet_opcode(const struct hqq_element *element)
{
	return (unsigned)(hqq_packet_get(element, HQQ_WORD_OPCODE) & 0xff);
}

/* Standard packets share one shape: opcode, copy id, slot and one number. */
static inline void hqq_packet_set_standard(struct hqq_element *element, enum hqq_opcode opcode, uint64_t copy_id,
                                           uint64_t slot, uint64_t number)
{
	hqq_packet_set(element, HQQ_WORD_OPCODE, opcode);
	hqq_packet_set(element, HQQ_WORD_COPY_ID, copy_id);
	hqq_packet_set(element, HQQ_WORD_SLOT, slot);
	hqq_packet_set(element, HQQ_WORD_SIZE, number);
	hqq_packet_set(element, 4, 0); /* written out: compilers leave a loop of atomic stores a loop */
	hqq_packet_set(element, 5, 0);
	hqq_packet_set(element, 6, 0);
	hqq_packet_set(element, 7, 0);
}

#endif /* HQQ_LIB_PACKET_H */
