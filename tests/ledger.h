/*
 * ledger.h - traffic that accounts for itself: nothing lost, nothing doubled, order kept
 *
 * A message is made of its producer and its number alone: length, bytes and all. Writers send
 * their numbers 0, 1, 2, ... through every form of call; readers check each message, see that a
 * producer's numbers only ever rise, and enter it into their own book. In the end the books of all
 * readers together must say the same of every producer as the producer's: how many messages, and
 * the sum of a hash of each of them, which a lost, doubled or invented message changes.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_LEDGER_H
#define HQQ_TESTS_LEDGER_H

#include "support.h"

#include <hqq.h>

#define LEDGER_PRODUCERS 32
#define LEDGER_BATCH 40      /* messages in one call, at most */
#define LEDGER_SIZE_MAX 512  /* of a buffer */
#define LEDGER_SIZE_MIN 16

/* Lies in memory that all processes of a test share. */
struct ledger {
	struct {
		_Atomic uint64_t sent, sent_hash, received, received_hash;
	} producers[LEDGER_PRODUCERS];
	_Atomic uint64_t received; /* by all, so far: tells when everything is there */
	_Atomic unsigned int writers_ended; /* and have entered their books */
	_Atomic bool all_done;
};

struct ledger *ledger_open(void);
void ledger_close(struct ledger *ledger);

/* A thread that writes. */
struct ledger_writer {
	struct ledger *ledger;
	uint32_t producer;
	size_t size;    /* of a buffer */
	uint64_t seed;
	uint64_t next, hash;
};

/* A thread that reads. */
struct ledger_reader {
	struct ledger *ledger;
	size_t size;
	uint64_t seed;
	uint64_t next[LEDGER_PRODUCERS]; /* 1 + the last number seen */
	uint64_t count[LEDGER_PRODUCERS], hash[LEDGER_PRODUCERS];
};

/*
 * One call of a form that chance picks, batches and refused or aborted messages among them. How
 * many messages went through, or its error. MUST() holds every message to the rules.
 */
ssize_t ledger_write(struct ledger_writer *writer, hqq_standard *handle);
ssize_t ledger_read(struct ledger_reader *reader, hqq_standard *handle);

/* Enters a thread's own book into the ledger; once, at its end. */
void ledger_enter_writer(const struct ledger_writer *writer);
void ledger_enter_reader(const struct ledger_reader *reader);

/* Both sides of every producer's account agree; returns the messages in all. */
uint64_t ledger_check(const struct ledger *ledger);

/* Hash of one message, for tests that keep books of their own. */
uint64_t ledger_hash(uint32_t producer, uint64_t number);

/* Takes a message apart and checks it; its number. */
uint64_t ledger_number(const void *data, size_t length, size_t size, uint32_t *producer);

#endif /* HQQ_TESTS_LEDGER_H */
