/*
 * adv_foreign.h - a second endpoint of the Advanced protocol, for tests
 *
 * Written from the tables of the wire protocol alone, on top of foreign.h: it shares no line and no
 * header with the library and wakes nobody. It behaves as the implementations in other languages
 * do: it numbers its messages and the streams that it dials 1, 2, 3, ... whichever side it has, cuts
 * messages into whole buffers, and never sends CONN_CLOSE of its own accord. Raw packets let a test
 * say anything at all.
 *
 * One thread at a time may use an endpoint.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_ADV_FOREIGN_H
#define HQQ_TESTS_ADV_FOREIGN_H

#include "foreign.h"

/* Opcodes beside those of foreign.h */
enum {
	ADV_OP_ERROR = 0x00,
	ADV_OP_CREATE = 0x01,
	ADV_OP_ACCEPT = 0x02,
	ADV_OP_CLOSE = 0x03,
	ADV_OP_COPY = 0x04,
	ADV_OP_NEGOTIATE = 0x05,
	ADV_OP_ACK = 0x06
};

/* Words of a CONN_COPY packet */
enum {
	ADV_WORD_CONNECTION = 1,
	ADV_WORD_MESSAGE,
	ADV_WORD_TOTAL,
	ADV_WORD_OFFSET,
	ADV_WORD_SIZE,
	ADV_WORD_FLAGS,
	ADV_WORD_NUMBER /* method or status */
};

#define ADV_BEGIN 1u
#define ADV_END 2u
#define ADV_ABORT 4u
#define ADV_REQUEST 8u
#define ADV_RESPONSE 16u
#define ADV_ERROR 32u
#define ADV_WHOLE (ADV_BEGIN | ADV_END)

#define ADV_VERSION 0x100
#define ADV_LARGE_COPY 1u
#define ADV_REQUEST_RESPONSE 2u
#define ADV_FEATURES 3u
#define ADV_CAPABILITIES 7u

#define ADV_CONN_NOT_FOUND 5u
#define ADV_INVALID_OP 6u
#define ADV_BUFFER_OVERFLOW 7u

#define ADV_PARTIALS 32     /* messages in assembly at once */
#define ADV_BUFFER_MAX 4096 /* the largest buffer size it can take packets of */

enum adv_result {
	ADV_OK = 0,
	ADV_TIMEOUT = FOREIGN_TIMEOUT,
	ADV_BROKEN = -20,  /* the other side broke a rule; adv_foreign.why says which */
	ADV_REJECTED = -21 /* a negotiation or a dial that was refused; adv_foreign.code */
};

/* A packet as it lay in the ring, with its whole buffer. */
struct adv_packet {
	uint64_t word[FOREIGN_WORDS];
	unsigned char buffer[ADV_BUFFER_MAX];
};

struct adv_partial {
	bool used;
	uint64_t connection, id, flags, number, total, received;
	unsigned char *bytes;
};

struct adv_foreign {
	struct foreign link;
	uint64_t message_ids; /* given out so far */
	uint64_t dialled;
	bool listening;
	uint64_t features, capabilities; /* agreed; 0 before */
	uint64_t code;
	const char *why;
	struct adv_partial partials[ADV_PARTIALS];
};

enum adv_kind {
	ADV_GOT_MESSAGE,
	ADV_GOT_ABORT,    /* of a message, whether any of it had come or not */
	ADV_GOT_STANDARD,
	ADV_GOT_CREATE,   /* a stream, accepted; only while listening */
	ADV_GOT_ACCEPT,
	ADV_GOT_CLOSE,    /* number: the reason */
	ADV_GOT_ERROR,    /* number: the code */
	ADV_GOT_NEGOTIATE /* number: features */
};

/* What arrived. bytes are the caller's to free(). */
struct adv_event {
	enum adv_kind kind;
	uint64_t connection, id, flags, number;
	unsigned char *bytes;
	size_t length;
};

/* After foreign_create(), foreign_open() or foreign_attach() on peer->link. */
void adv_start(struct adv_foreign *peer);

/* Frees what is half assembled and closes the link. */
void adv_close(struct adv_foreign *peer);

/* ---- raw packets ------------------------------------------------------------------------------- */

/* Publishes these words, with so many bytes in the buffer. */
int adv_send_raw(struct adv_foreign *peer, const uint64_t word[FOREIGN_WORDS], const void *data, size_t length,
                 uint64_t timeout_ns);

/* A packet of up to three operands. */
int adv_send_control(struct adv_foreign *peer, uint64_t opcode, uint64_t op0, uint64_t op1, uint64_t op2);

/* Takes the next packet, whatever it is. */
int adv_take(struct adv_foreign *peer, struct adv_packet *packet, uint64_t timeout_ns);

/* ---- negotiation ------------------------------------------------------------------------------- */

int adv_negotiate(struct adv_foreign *peer, uint64_t features, uint64_t timeout_ns);
int adv_wait_negotiation(struct adv_foreign *peer, uint64_t timeout_ns);

/* ---- messages ---------------------------------------------------------------------------------- */

/* Sends one chunk; size 0 .. a buffer. data is that of the whole message. */
struct adv_chunk {
	uint64_t connection, id, total, offset, size, flags, number;
};
int adv_send_chunk(struct adv_foreign *peer, const struct adv_chunk *chunk, const void *data,
                   uint64_t timeout_ns);

/* Fills in the chunk of a well-made message that starts at this offset. */
void adv_cut(const struct adv_foreign *peer, struct adv_chunk *chunk, uint64_t kind, uint64_t number,
             uint64_t offset);

/* A whole message; a new id for all but responses is adv_next_id(). kind: 0 or ADV_REQUEST, ... */
uint64_t adv_next_id(struct adv_foreign *peer);
int adv_send_message(struct adv_foreign *peer, uint64_t connection, uint64_t id, uint64_t kind,
                     uint64_t number, const void *data, size_t length, uint64_t timeout_ns);
int adv_send_abort(struct adv_foreign *peer, uint64_t connection, uint64_t id, uint64_t kind);

/*
 * Takes packets until they make an event. Answers CONN_CREATE. It is as strict as the tables: what
 * they do not allow is ADV_BROKEN.
 */
int adv_receive(struct adv_foreign *peer, struct adv_event *event, uint64_t timeout_ns);

/* Dials the next stream and waits for the answer; any other event meanwhile is ADV_BROKEN. */
int adv_dial(struct adv_foreign *peer, uint64_t *connection, uint64_t timeout_ns);

#endif /* HQQ_TESTS_ADV_FOREIGN_H */
