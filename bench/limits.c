/*
 * limits.c - what this machine allows: the same work without a library
 *
 * Exchanges of cache lines, copies, and a wake-up by futex; the bare ring is in bare_ring.c.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "bench.h"
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

const size_t bench_sizes[] = {8, 64, 256, 1024, 4096, 16384, 65536};
const unsigned bench_size_count = sizeof(bench_sizes) / sizeof(bench_sizes[0]);

/* ---- exchanges ------------------------------------------------------------------------------- */

struct line {
	_Atomic uint64_t word;
	unsigned char rest[BENCH_LINE - sizeof(uint64_t)];
};

/* A flag on a line of its own and a payload behind it, one of these per direction. */
struct mailbox {
	struct line flag;
	unsigned char payload[];
};

/*
 * How long a line takes depends on where it lies: its address decides which part of the shared
 * cache looks after it. So exchanges stay at one place for a while only, then go to the next.
 */
#define PLACE_TURNS 256

struct places {
	unsigned char *area;
	size_t bytes; /* of one: a mailbox for each way, in whole pages unless each turn has its own */
	size_t count;
	uint64_t turns; /* that an exchange stays */
};

enum { EXCHANGE_ONE_LINE, EXCHANGE_TWO_LINES, EXCHANGE_PAYLOAD, EXCHANGE_IN_TURN };

static size_t mailbox_bytes(const struct pair *pair)
{
	return (sizeof(struct line) + pair->bench->size + BENCH_LINE - 1) / BENCH_LINE * BENCH_LINE;
}

/* Nobody may take what an earlier run left for an answer; numbers sent are never 0. */
static struct places clear_places(struct pair *pair)
{
	size_t bytes = (2 * mailbox_bytes(pair) + 4095) / 4096 * 4096 + 4096; /* not all on even pages */
	struct places places = {pair->area, bytes, BENCH_AREA_BYTES / bytes, PLACE_TURNS};

	if (pair->bench->variant == EXCHANGE_IN_TURN)
		places = (struct places){pair->area, 2 * mailbox_bytes(pair), bench_slots(pair->bench->size), 1};
	if (pair->side == 0)
		memset(pair->area, 0, places.count * places.bytes);
	pair_begin(pair);
	return places;
}

BENCH_INLINE void *place_at(const struct places *places, uint64_t turn)
{
	return places->area + turn / places->turns % places->count * places->bytes;
}

/* Round trips of a number: on one line written by both, or on one line for each way. */
static int exchange_lines(struct pair *pair)
{
	size_t ping_line = 0;
	size_t pong_line = pair->bench->variant == EXCHANGE_TWO_LINES ? 8 : 0;
	struct places places = clear_places(pair);
	struct watch watch = watch_of(pair);
	uint64_t total = pair_total(pair);

	for (uint64_t n = 0; n < total; n++) {
		struct line *lines = place_at(&places, n);
		_Atomic uint64_t *ping = &lines[ping_line].word;
		_Atomic uint64_t *pong = &lines[pong_line].word;

		if (pair->side == 0) {
			watch_tick(&watch, n);
			atomic_store_explicit(ping, 2 * n + 1, memory_order_release);
			while (atomic_load_explicit(pong, memory_order_acquire) != 2 * n + 2)
				bench_look_again(pair->crowded);
		} else {
			while (atomic_load_explicit(ping, memory_order_acquire) != 2 * n + 1)
				bench_look_again(pair->crowded);
			atomic_store_explicit(pong, 2 * n + 2, memory_order_release);
		}
	}
	if (pair->side == 0)
		watch_tick(&watch, total);
	pair_end(pair);
	return 0;
}

BENCH_INLINE int exchange_payload_of(struct pair *pair, size_t size)
{
	struct places places = clear_places(pair);
	struct watch watch = watch_of(pair);
	uint64_t total = pair_total(pair);
	size_t other = mailbox_bytes(pair);

	for (uint64_t n = 0; n < total; n++) {
		unsigned char *place = place_at(&places, n);
		struct mailbox *to = (struct mailbox *)(void *)(place + pair->side * other);
		struct mailbox *from = (struct mailbox *)(void *)(place + (1 - pair->side) * other);

		if (pair->side == 0) {
			watch_tick(&watch, n);
			bench_stamp(to->payload, size, n + 1);
			atomic_store_explicit(&to->flag.word, n + 1, memory_order_release);
		}
		while (atomic_load_explicit(&from->flag.word, memory_order_acquire) != n + 1)
			bench_look_again(pair->crowded);
		if (!bench_stamped(from->payload, size, n + 1))
			return pair_fail(pair, "exchange",
					 "a payload is not the one that its flag announced");
		if (pair->side == 1) {
			bench_stamp(to->payload, size, n + 1);
			atomic_store_explicit(&to->flag.word, n + 1, memory_order_release);
		}
	}
	if (pair->side == 0)
		watch_tick(&watch, total);
	pair_end(pair);
	return 0;
}

/*
 * Round trips of a payload, announced by a flag on another line. In turn: by as many pairs of lines as
 * a ring has slots, since a ring does not come back to a line until it has been around.
 */
static int exchange_payload(struct pair *pair)
{
	switch (pair->bench->size) {
	case 8:
		return exchange_payload_of(pair, 8);
	case 64:
		return exchange_payload_of(pair, 64);
	case 1024:
		return exchange_payload_of(pair, 1024);
	default:
		return exchange_payload_of(pair, pair->bench->size);
	}
}

/* ---- copies ---------------------------------------------------------------------------------- */

/* One process copies a message into the slots of a ring, one after the other, and out again. */
static int copy_alone(struct pair *pair)
{
	static unsigned char in[BENCH_LARGEST];
	static unsigned char out[BENCH_LARGEST];
	size_t size = pair->bench->size;
	size_t slots = bench_slots(size);
	uint64_t start = 0;

	pair_begin(pair);
	for (uint64_t n = 0; pair->side == 0 && n < pair->warm + pair->count; n++) {
		unsigned char *slot = pair->area + (n % slots) * size;

		if (n == pair->warm)
			start = bench_now();
		bench_stamp(in, size, n);
		memcpy(slot, in, size);
		atomic_signal_fence(memory_order_seq_cst); /* both copies are to happen */
		memcpy(out, slot, size);
		if (!bench_stamped(out, size, n))
			return pair_fail(pair, "copy", "the copy differs");
	}
	if (pair->side == 0)
		pair_result(pair, (double)(bench_now() - start) / (double)pair->count);
	pair_end(pair);
	return 0;
}

/* ---- sleeping -------------------------------------------------------------------------------- */

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Round trips of a payload with one futex for each way; both sides are asleep while they wait. */
static int wake_futex(struct pair *pair)
{
	size_t other = mailbox_bytes(pair);
	struct mailbox *to = (struct mailbox *)(void *)(pair->area + pair->side * other);
	struct mailbox *from = (struct mailbox *)(void *)(pair->area + (1 - pair->side) * other);
	_Atomic uint32_t *out = (_Atomic uint32_t *)(void *)&to->flag;
	_Atomic uint32_t *in = (_Atomic uint32_t *)(void *)&from->flag;
	struct watch watch = watch_of(pair);
	uint32_t total = (uint32_t)pair_total(pair);

	atomic_store_explicit(out, 0, memory_order_relaxed);
	pair_begin(pair);
	for (uint32_t n = 1; n <= total; n++) {
		uint32_t seen;

		if (pair->side == 0) {
			watch_tick(&watch, n - 1);
			bench_stamp(to->payload, pair->bench->size, n);
			atomic_store_explicit(out, n, memory_order_release);
			futex_wake(out);
		}
		while ((seen = atomic_load_explicit(in, memory_order_acquire)) != n)
			futex_wait(in, seen);
		if (!bench_stamped(from->payload, pair->bench->size, n))
			return pair_fail(pair, "futex", "a payload is not the one that was announced");
		if (pair->side == 1) {
			bench_stamp(to->payload, pair->bench->size, n);
			atomic_store_explicit(out, n, memory_order_release);
			futex_wake(out);
		}
	}
	if (pair->side == 0)
		watch_tick(&watch, total);
	pair_end(pair);
	return 0;
}

/* ---- the list -------------------------------------------------------------------------------- */

static void add(struct bench_list *list, const char *name, size_t size, enum bench_unit unit,
		bench_body *body, unsigned variant)
{
	struct bench_case *bench = bench_add(list, name, size, NULL);

	bench->unit = unit;
	bench->body = body;
	bench->variant = variant;
	bench->latency = unit == BENCH_TIME;
}

void bench_add_limits(struct bench_list *list)
{
	add(list, "line.shared", 0, BENCH_TIME, exchange_lines, EXCHANGE_ONE_LINE);
	add(list, "line.each-way", 0, BENCH_TIME, exchange_lines, EXCHANGE_TWO_LINES);
	for (unsigned i = 0; i < bench_size_count; i++)
		add(list, "line.payload", bench_sizes[i], BENCH_TIME, exchange_payload, EXCHANGE_PAYLOAD);
	add(list, "line.in-turn", 64, BENCH_TIME, exchange_payload, EXCHANGE_IN_TURN);
	for (unsigned i = 0; i < bench_size_count; i++)
		add(list, "memcpy", bench_sizes[i], BENCH_RATE, copy_alone, 0);
	add(list, "wake.futex", 64, BENCH_TIME, wake_futex, 0);
}
