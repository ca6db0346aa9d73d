/*
 * ledger.c - traffic that accounts for itself; see ledger.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "ledger.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

struct head {
	uint64_t number;
	uint32_t producer;
	uint32_t length;
};

_Static_assert(sizeof(struct head) == LEDGER_SIZE_MIN, "the smallest message");

struct ledger *ledger_open(void)
{
	return (struct ledger *)(void *)test_map_memory(sizeof(struct ledger));
}

void ledger_close(struct ledger *ledger)
{
	test_unmap((unsigned char *)ledger, sizeof(*ledger));
}

/* ---- messages ---------------------------------------------------------------------------------- */

uint64_t ledger_hash(uint32_t producer, uint64_t number)
{
	uint64_t state = (uint64_t)producer << 48 ^ number;

	return test_random(&state);
}

static size_t length_of(uint32_t producer, uint64_t number, size_t size)
{
	return LEDGER_SIZE_MIN + (size_t)(ledger_hash(producer, number) % (size - LEDGER_SIZE_MIN + 1));
}

static size_t make(void *data, uint32_t producer, uint64_t number, size_t size)
{
	struct head head = { number, producer, (uint32_t)length_of(producer, number, size) };

	memcpy(data, &head, sizeof(head));
	test_fill((unsigned char *)data + sizeof(head), head.length - sizeof(head),
		  ledger_hash(producer, number));
	return head.length;
}

uint64_t ledger_number(const void *data, size_t length, size_t size, uint32_t *producer)
{
	struct head head;

	MUST(length >= sizeof(head));
	memcpy(&head, data, sizeof(head));
	MUST(head.producer < LEDGER_PRODUCERS);
	MUST_EQ(head.length, length);
	MUST_EQ(length, length_of(head.producer, head.number, size));
	MUST_EQ(test_verify((const unsigned char *)data + sizeof(head), length - sizeof(head),
	                    ledger_hash(head.producer, head.number)),
	        -1);
	*producer = head.producer;
	return head.number;
}

/* ---- writing ----------------------------------------------------------------------------------- */

static size_t make_next(const struct ledger_writer *writer, void *data, unsigned int ahead)
{
	return make(data, writer->producer, writer->next + ahead, writer->size);
}

static ssize_t fill_slot(void *data, size_t capacity, void *argument)
{
	const struct ledger_writer *writer = argument;

	MUST_EQ(capacity, writer->size);
	return (ssize_t)make_next(writer, data, 0);
}

static ssize_t refuse_slot(void *data, size_t capacity, void *argument)
{
	(void)argument;
	memset(data, 0xee, capacity);
	return HQQ_ERR_ABORTED;
}

static ssize_t write_reserved(const struct ledger_writer *writer, hqq_standard *handle, uint64_t chance)
{
	struct hqq_reservation reservation;
	int rc = hqq_standard_reserve_write(handle, &reservation);

	if (rc)
		return rc;
	/* others find the slot taken and not finished */
	if (chance % 8 == 0)
		sched_yield();
	if (chance % 32 == 1) {
		MUST_EQ(hqq_standard_abort(&reservation, 1 + chance % 7), 0);
		return 0;
	}
	MUST_EQ(hqq_standard_commit(&reservation, make_next(writer, reservation.data, 0)), 0);
	return 1;
}

static ssize_t write_many(const struct ledger_writer *writer, hqq_standard *handle, uint64_t chance)
{
	unsigned char bytes[LEDGER_BATCH][LEDGER_SIZE_MAX];
	struct iovec vectors[LEDGER_BATCH];
	unsigned int count = 1 + (unsigned int)(chance % LEDGER_BATCH), i;

	for (i = 0; i < count; i++)
		vectors[i] = (struct iovec){ bytes[i], make_next(writer, bytes[i], i) };
	return hqq_standard_write_batch(handle, vectors, count);
}

static ssize_t one(ssize_t rc)
{
	return rc > 0 ? 1 : rc;
}

ssize_t ledger_write(struct ledger_writer *writer, hqq_standard *handle)
{
	unsigned char bytes[LEDGER_SIZE_MAX];
	uint64_t chance = test_random(&writer->seed), choice = chance % 16;
	ssize_t n, i;

	MUST(writer->size <= LEDGER_SIZE_MAX);
	if (choice < 5)
		n = one(hqq_standard_write(handle, bytes, make_next(writer, bytes, 0)));
	else if (choice < 6)
		n = one(hqq_standard_write_to(handle, bytes, make_next(writer, bytes, 0), NULL));
	else if (choice < 9)
		n = one(hqq_standard_write_zero_copy(handle, fill_slot, writer));
	else if (choice < 12)
		n = write_reserved(writer, handle, chance >> 8);
	else if (choice < 15 || chance >> 8 & 3)
		n = write_many(writer, handle, chance >> 8);
	else
		n = hqq_standard_write_zero_copy(handle, refuse_slot, writer) == HQQ_ERR_ABORTED
			    ? 0
			    : HQQ_ERR_CANCELED;
	for (i = 0; i < n; i++)
		writer->hash += ledger_hash(writer->producer, writer->next++);
	return n;
}

void ledger_enter_writer(const struct ledger_writer *writer)
{
	writer->ledger->producers[writer->producer].sent += writer->next;
	writer->ledger->producers[writer->producer].sent_hash += writer->hash;
	writer->ledger->writers_ended++;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static int enter(const void *data, size_t length, void *argument)
{
	struct ledger_reader *reader = argument;
	uint32_t producer;
	uint64_t number = ledger_number(data, length, reader->size, &producer);

	if (number < reader->next[producer])
		test_must_failed(__FILE__, __LINE__, "number %llu of producer %u after %llu",
		                 (unsigned long long)number, (unsigned int)producer,
		                 (unsigned long long)reader->next[producer] - 1);
	reader->next[producer] = number + 1;
	reader->count[producer]++;
	reader->hash[producer] += ledger_hash(producer, number);
	return 0;
}

static ssize_t read_reserved(struct ledger_reader *reader, hqq_standard *handle, uint64_t chance)
{
	struct hqq_reservation reservation;
	int rc = hqq_standard_reserve_read(handle, &reservation);

	if (rc)
		return rc;
	if (chance % 8 == 0)
		sched_yield();
	enter(reservation.data, reservation.size, reader);
	MUST_EQ(hqq_standard_release(&reservation), 0);
	return 1;
}

static ssize_t read_many(struct ledger_reader *reader, hqq_standard *handle, uint64_t chance)
{
	unsigned char bytes[LEDGER_BATCH][LEDGER_SIZE_MAX];
	struct iovec vectors[LEDGER_BATCH];
	unsigned int count = 1 + (unsigned int)(chance % LEDGER_BATCH), i;
	ssize_t n;

	for (i = 0; i < count; i++)
		vectors[i] = (struct iovec){ bytes[i], reader->size };
	n = hqq_standard_read_batch(handle, vectors, count);
	for (i = 0; n > 0 && i < (unsigned int)n; i++)
		enter(vectors[i].iov_base, vectors[i].iov_len, reader);
	return n;
}

ssize_t ledger_read(struct ledger_reader *reader, hqq_standard *handle)
{
	unsigned char bytes[LEDGER_SIZE_MAX];
	uint64_t chance = test_random(&reader->seed), choice = chance % 16;
	ssize_t n;

	if (choice < 6) {
		n = choice < 5 ? hqq_standard_read(handle, bytes, sizeof(bytes))
		               : hqq_standard_read_from(handle, bytes, sizeof(bytes), NULL);
		if (n > 0)
			enter(bytes, (size_t)n, reader);
		n = one(n);
	} else if (choice < 9) {
		n = one(hqq_standard_read_zero_copy(handle, enter, reader));
	} else if (choice < 12) {
		n = read_reserved(reader, handle, chance >> 8);
	} else {
		n = read_many(reader, handle, chance >> 8);
	}
	MUST(n != 0);
	if (n > 0)
		reader->ledger->received += (uint64_t)n;
	return n;
}

void ledger_enter_reader(const struct ledger_reader *reader)
{
	unsigned int i;

	for (i = 0; i < LEDGER_PRODUCERS; i++) {
		reader->ledger->producers[i].received += reader->count[i];
		reader->ledger->producers[i].received_hash += reader->hash[i];
	}
}

uint64_t ledger_check(const struct ledger *ledger)
{
	uint64_t all = 0;
	unsigned int i;

	for (i = 0; i < LEDGER_PRODUCERS; i++) {
		uint64_t sent = ledger->producers[i].sent, received = ledger->producers[i].received;

		if (sent != received)
			test_must_failed(__FILE__, __LINE__, "producer %u sent %llu, received were %llu", i,
			                 (unsigned long long)sent, (unsigned long long)received);
		if (ledger->producers[i].sent_hash != ledger->producers[i].received_hash)
			test_must_failed(__FILE__, __LINE__,
					 "producer %u: the right number of wrong messages", i);
		all += sent;
	}
	return all;
}
