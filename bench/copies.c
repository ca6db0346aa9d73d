/*
 * copies.c - messages of 1 MiB and more: without the library, by large copy, by stream, in place
 *
 * The limit is one process that copies a message into the buffers of a ring and another one that
 * copies it out of them, both at once. A message that is received whole needs memory of its own,
 * new for each message: "copy.fresh" is the limit with that. "large" is send_large() and receive(),
 * "large.stream" the two streams, which need no such memory: the receiver copies into what it has.
 * The receiver of "large.in-place" reads each line of a chunk where it lies, and copies nothing. Each
 * message is marked at every 64 KiB, and the marks are checked.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced.h"
#include <stdatomic.h>
#include <stdlib.h>

#define MARK_EVERY (64u << 10)

/* Geometry of the rings here: pieces of a size that is cheap to hand over, few enough to stay in a cache. */
#define BUFFERS 16
#define BUFFER_BYTES (64u << 10)

#define LOOKS_BEFORE_YIELD 1000 /* longer than a piece takes */

_Static_assert(BUFFERS *(BUFFER_BYTES + BENCH_LINE) <= BENCH_AREA_BYTES, "the bare ring fits");

/*
 * malloc() gives the memory of a freed message back to the system until it has seen a few of that
 * size; then it keeps it, but for very long ones. What is measured is the time after that.
 */
#define UNTIL_SETTLED 4
#define KEPT_BYTES (32u << 20)

static const size_t sizes[] = {1u << 20, 4u << 20, 16u << 20, 64u << 20, 256u << 20};

/* ---- messages -------------------------------------------------------------------------------- */

static void mark(unsigned char *message, size_t size, uint64_t number)
{
	for (size_t at = 0; at < size; at += MARK_EVERY)
		memcpy(message + at, &number, sizeof(number));
}

static bool is_marked(const unsigned char *message, size_t size, uint64_t number)
{
	uint64_t difference = 0;

	for (size_t at = 0; at < size; at += MARK_EVERY) {
		uint64_t word;

		memcpy(&word, message + at, sizeof(word));
		difference |= word ^ number;
	}
	return difference == 0;
}

/* Memory for a message, touched, so that no page of it is missing later. */
static unsigned char *message_memory(struct pair *pair)
{
	unsigned char *memory = malloc(pair->bench->size);

	if (memory)
		memset(memory, 1 + (int)pair->side, pair->bench->size);
	else
		pair_fail(pair, "malloc", "out of memory");
	return memory;
}

/* What both sides do for each message, as side 0 and as side 1. */
struct way {
	int (*send)(struct pair *pair, void *link, const unsigned char *message);
	int (*receive)(struct pair *pair, void *link, unsigned char *message, uint64_t number);
};

static int wrong(struct pair *pair)
{
	return pair_fail(pair, "receiving", "a message is not what was sent");
}

/* Side 0 sends, side 1 receives and takes the time. */
static int transfer(struct pair *pair, const struct way *way, void *link)
{
	const uint64_t warm = pair->warm + (pair->bench->size < KEPT_BYTES ? UNTIL_SETTLED : 0);
	unsigned char *message = message_memory(pair);
	uint64_t start = 0;
	int result = message ? 0 : -1;

	pair_begin(pair);
	for (uint64_t n = 0; result == 0 && n < warm + pair->count; n++) {
		if (n == warm)
			start = bench_now();
		if (pair->side == 0) {
			mark(message, pair->bench->size, n);
			result = way->send(pair, link, message);
		} else {
			result = way->receive(pair, link, message, n);
		}
	}
	if (result == 0 && pair->side == 1)
		pair_result(pair, (double)(bench_now() - start) / (double)pair->count);
	pair_end(pair);
	free(message);
	return result;
}

/* ---- without the library --------------------------------------------------------------------- */

/* The number of pieces written so far or read so far, per buffer: written is one ahead when it is full. */
struct bare_flag {
	_Atomic uint64_t written;
	_Atomic uint64_t read;
	unsigned char rest[BENCH_LINE - 2 * sizeof(uint64_t)];
};

struct bare_ring {
	struct bare_flag *flags;
	unsigned char *buffers;
	uint64_t next; /* piece, of this side */
};

/* Polls; the other side may need this processor where others use the machine, too. */
static void await(struct pair *pair, const _Atomic uint64_t *word, uint64_t value)
{
	for (unsigned looks = 0; atomic_load_explicit(word, memory_order_acquire) != value; looks++)
		bench_look_again(pair->crowded || looks > LOOKS_BEFORE_YIELD);
}

static int bare_send(struct pair *pair, void *link, const unsigned char *message)
{
	struct bare_ring *ring = link;

	for (size_t at = 0; at < pair->bench->size; at += BUFFER_BYTES, ring->next++) {
		struct bare_flag *flag = &ring->flags[ring->next % BUFFERS];
		uint64_t turn = ring->next / BUFFERS;

		await(pair, &flag->read, turn);
		memcpy(ring->buffers + ring->next % BUFFERS * BUFFER_BYTES, message + at, BUFFER_BYTES);
		atomic_store_explicit(&flag->written, turn + 1, memory_order_release);
	}
	return 0;
}

static int bare_receive(struct pair *pair, void *link, unsigned char *message, uint64_t number)
{
	struct bare_ring *ring = link;

	for (size_t at = 0; at < pair->bench->size; at += BUFFER_BYTES, ring->next++) {
		struct bare_flag *flag = &ring->flags[ring->next % BUFFERS];
		uint64_t turn = ring->next / BUFFERS;

		await(pair, &flag->written, turn + 1);
		memcpy(message + at, ring->buffers + ring->next % BUFFERS * BUFFER_BYTES, BUFFER_BYTES);
		atomic_store_explicit(&flag->read, turn + 1, memory_order_release);
	}
	return is_marked(message, pair->bench->size, number) ? 0 : wrong(pair);
}

static int bare_receive_fresh(struct pair *pair, void *link, unsigned char *message, uint64_t number)
{
	unsigned char *fresh = malloc(pair->bench->size);
	int result;

	(void)message;
	if (!fresh)
		return pair_fail(pair, "malloc", "out of memory");
	result = bare_receive(pair, link, fresh, number);
	free(fresh);
	return result;
}

enum { INTO_OLD_MEMORY, INTO_FRESH_MEMORY };

static int copy_overlapped(struct pair *pair)
{
	static const struct way ways[] = {{bare_send, bare_receive}, {bare_send, bare_receive_fresh}};
	struct bare_ring ring = {
		.flags = (struct bare_flag *)(void *)(pair->area + BUFFERS * BUFFER_BYTES),
		.buffers = pair->area,
	};

	if (pair->side == 0)
		memset(ring.flags, 0, BUFFERS * sizeof(ring.flags[0]));
	pair_meet(pair);
	return transfer(pair, &ways[pair->bench->variant], &ring);
}

/* ---- the library's --------------------------------------------------------------------------- */

static int large_send(struct pair *pair, void *link, const unsigned char *message)
{
	int error = hqq_advanced_send_large(link, NULL, 0, message, pair->bench->size, NULL);

	return error < 0 ? advanced_error(pair, "hqq_advanced_send_large", error) : 0;
}

static int large_receive(struct pair *pair, void *link, unsigned char *unused, uint64_t number)
{
	struct hqq_message message;
	int error = hqq_advanced_receive(link, NULL, &message);

	(void)unused;
	if (error < 0)
		return advanced_error(pair, "hqq_advanced_receive", error);
	bool good = message.payload_size == pair->bench->size &&
		    is_marked(message.payload, message.payload_size, number);
	hqq_message_clear(&message);
	return good ? 0 : wrong(pair);
}

static ssize_t stream_fill(uint64_t offset, void *data, size_t capacity, void *argument)
{
	memcpy(data, (const unsigned char *)argument + offset, capacity);
	return (ssize_t)capacity;
}

static int stream_send(struct pair *pair, void *link, const unsigned char *message)
{
	unsigned char *source = (unsigned char *)(uintptr_t)message;
	int error = hqq_advanced_send_stream(link, NULL, 0, pair->bench->size, stream_fill, source);

	return error < 0 ? advanced_error(pair, "hqq_advanced_send_stream", error) : 0;
}

struct sink {
	unsigned char *memory;
	size_t size;
	uint64_t number; /* that it is to be marked with */
	uint64_t received;
	uint64_t sum;    /* of a word of each line */
	bool good;       /* marked so far as it is to be */
};

static int stream_take(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
		       size_t length, void *argument)
{
	struct sink *sink = argument;

	(void)head;
	if (total != sink->size || offset != sink->received)
		return -1;
	memcpy(sink->memory + offset, data, length);
	sink->received += length;
	return 0;
}

static int stream_receive(struct pair *pair, void *link, unsigned char *message, uint64_t number)
{
	struct sink sink = {.memory = message, .size = pair->bench->size};
	int error = hqq_advanced_receive_stream(link, NULL, stream_take, &sink);

	if (error < 0)
		return advanced_error(pair, "hqq_advanced_receive_stream", error);
	return sink.received == sink.size && is_marked(message, sink.size, number) ? 0 : wrong(pair);
}

static int read_in_place(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
			 size_t length, void *argument)
{
	struct sink *sink = argument;

	(void)head;
	if (total != sink->size || offset != sink->received)
		return -1;
	sink->good = (offset == 0 || sink->good) && is_marked(data, length, sink->number);
	for (size_t at = 0; at < length; at += BENCH_LINE) {
		uint64_t word;

		memcpy(&word, (const unsigned char *)data + at, sizeof(word));
		sink->sum += word;
	}
	sink->received += length;
	return 0;
}

static int in_place_receive(struct pair *pair, void *link, unsigned char *unused, uint64_t number)
{
	struct sink sink = {.size = pair->bench->size, .number = number};
	int error = hqq_advanced_receive_stream(link, NULL, read_in_place, &sink);

	(void)unused;
	if (error < 0)
		return advanced_error(pair, "hqq_advanced_receive_stream", error);
	return sink.received == sink.size && sink.good ? 0 : wrong(pair);
}

enum { BY_LARGE_COPY, BY_STREAM, IN_PLACE };

static int large(struct pair *pair)
{
	static const struct way ways[] = {
		{large_send, large_receive}, {stream_send, stream_receive}, {stream_send, in_place_receive}};
	hqq_advanced *link;

	if (advanced_open(pair, &link, BUFFERS, BUFFER_BYTES) < 0 ||
	    transfer(pair, &ways[pair->bench->variant], link) < 0)
		return -1;
	return advanced_close(pair, link);
}

/* ---- the list -------------------------------------------------------------------------------- */

static void add(struct bench_list *list, const char *name, size_t size, const char *limit, bench_body *body,
		unsigned variant)
{
	struct bench_case *bench = bench_add(list, name, size, limit);

	bench->unit = BENCH_RATE;
	bench->body = body;
	bench->variant = variant;
	bench->wait = HQQ_WAIT_ADAPTIVE;
	bench->step = 1;
}

void bench_add_copies(struct bench_list *list)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		add(list, "copy.overlapped", sizes[i], NULL, copy_overlapped, INTO_OLD_MEMORY);
		add(list, "copy.fresh", sizes[i], "copy.overlapped", copy_overlapped, INTO_FRESH_MEMORY);
		add(list, "large", sizes[i], "copy.overlapped", large, BY_LARGE_COPY);
		add(list, "large.stream", sizes[i], "copy.overlapped", large, BY_STREAM);
		add(list, "large.in-place", sizes[i], "copy.overlapped", large, IN_PLACE);
	}
}
