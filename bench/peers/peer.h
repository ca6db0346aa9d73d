/*
 * peer.h - what other ways to send messages have in common, for bench/compare
 *
 * A peer is one way to get messages from process to process, in a file of its own. All of them do
 * the same work by the same few functions, and so does libhqq (hqq.c).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_BENCH_PEER_H
#define HQQ_BENCH_PEER_H

#include "bench.h"

/* What a peer can do, or what it is to be measured at. */
enum peer_ability {
	PEER_STREAM = 1, /* one writer, one reader, one way */
	PEER_TRIP = 2,   /* side 0 sends, side 1 answers */
	PEER_MANY = 4,   /* several writers and readers of one queue */
	PEER_LARGE = 8,  /* messages of 1 MiB and more */
	PEER_CALL = 16   /* requests and responses that belong together */
};

/* One end, in its process; what prepare() puts there is inherited by all of them. */
struct peer_end {
	struct pair *pair;
	size_t size; /* of a message */
	int way;     /* 0 for those who write first, 1 for the others */
	int fds[4];  /* for the peer, like the rest; -1 until it says otherwise */
	char address[100];
	void *in, *out;
	uint64_t number;
};

/* Functions return 0, or -1 once they have told peer_fail(). Any but send and receive may be NULL. */
struct peer {
	const char *name;
	unsigned can;    /* of enum peer_ability */
	size_t largest;  /* bytes of a message; 0 for any */
	const void *how; /* for the peer */

	/* The libhqq peer to compare it with; NULL for the first one that can do the same. */
	const struct peer *beside;

	const char *apart; /* how it works, for where it is faster than libhqq; or NULL */

	const char *(*version)(void);
	const char *(*missing)(void); /* why it cannot be used here, or NULL */
	void (*stop)(void);           /* when all is measured */

	int (*prepare)(struct peer_end *end);  /* before the processes of a run start */
	void (*dispose)(struct peer_end *end); /* after they ended */
	int (*open)(struct peer_end *end);     /* in each process; all have called it before anyone sends */
	void (*close)(struct peer_end *end);
	int (*send)(struct peer_end *end, const void *message, size_t size);
	int (*receive)(struct peer_end *end, void *message, size_t size);
};

const struct peer *peer_of(const struct peer_end *end);

/* What failed, with a negative errno or a text of the peer's own; returns -1. */
int peer_fail(struct peer_end *end, const char *what, int error);
int peer_fail_text(struct peer_end *end, const char *what, const char *why);

/* For dispose, where fds are descriptors that close(2) closes. */
void peer_close_fds(struct peer_end *end);

/* Between two looks at a ring that nobody tells about: soon others may run. */
static inline void peer_look_again(const struct peer_end *end, unsigned *looks)
{
	bench_look_again(end->pair->crowded || ++*looks > 1000);
}

/* For rings of messages by value. */
#define PEER_BY_VALUE \
	"its messages lie in the ring, without a slot beside them: 64 bytes are one line, not three; what a process " \
	"began that was killed, nobody can finish"

/* The half of the area of a run for messages from those of this way. */
#define PEER_AREA_BYTES ((size_t)2 << 20)

static inline void *peer_area(const struct peer_end *end, int way)
{
	return end->pair->area + (size_t)way * PEER_AREA_BYTES;
}

extern const struct peer peer_hqq, peer_hqq_spin, peer_hqq_single, peer_hqq_block, peer_hqq_large,
	peer_hqq_call;
extern const struct peer peer_pipe, peer_unix_stream, peer_unix_seqpacket, peer_mq;
extern const struct peer peer_zmq, peer_zmq_call, peer_nng, peer_nng_call;
extern const struct peer peer_ck, peer_ck_spsc, peer_rte, peer_rte_rts, peer_rte_spsc, peer_sdbus,
	peer_iceoryx;

#endif /* HQQ_BENCH_PEER_H */
