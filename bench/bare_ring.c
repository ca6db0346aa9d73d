/*
 * bare_ring.c - the ring of layout 1.0 without a library
 *
 * It has the shape of the layout (cursors on lines of their own, 72-byte slots, payloads apart) and
 * nothing else: no options, no statistics, no deadlines, no waiting but by polling, nobody who may
 * die. There are four ways to claim a slot: a locked compare-and-swap per message as the layout
 * wants it, the same with the lines of later slots fetched meanwhile, one for eight messages, and
 * plain stores, which is what a sole writer and a sole reader may do.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "bench.h"
#include <stdatomic.h>

struct slot {
	uint64_t packet[8];
	_Atomic uint64_t sequence;
};

struct ring {
	uint64_t constants[3];
	_Atomic uint64_t read_cursor;
	uint64_t unused_1[12];
	_Atomic uint64_t write_cursor;
	uint64_t unused_2[15];
	struct slot slots[BENCH_SLOTS]; /* fewer are used for large payloads */
	uint64_t tail[32];
};

_Static_assert(sizeof(struct slot) == 72, "slots as in layout 1.0");
_Static_assert(offsetof(struct ring, read_cursor) == 24, "cursors as in layout 1.0");
_Static_assert(offsetof(struct ring, write_cursor) == 128, "cursors as in layout 1.0");

#define RING_BYTES ((sizeof(struct ring) + 4095) / 4096 * 4096)

_Static_assert(RING_BYTES + BENCH_RING_BYTES <= BENCH_AREA_BYTES, "a ring fits");

/* A ring as one side sees it. The number of slots is a power of two. */
struct view {
	struct ring *ring;
	unsigned char *payloads;
	uint64_t slots;
	size_t size; /* of a payload */
	bool crowded;
};

BENCH_INLINE struct slot *slot_at(const struct view *view, uint64_t position)
{
	return &view->ring->slots[position & (view->slots - 1)];
}

BENCH_INLINE unsigned char *payload_at(const struct view *view, uint64_t position)
{
	return view->payloads + (position & (view->slots - 1)) * view->size;
}

enum claim { CLAIM_LOCKED, CLAIM_EIGHT, CLAIM_PLAIN, CLAIM_AHEAD };

#define EIGHT 8

/* The x86-64 baseline cannot fetch a line for writing; where prefetchw is missing it does nothing. */
#ifdef __x86_64__
#define FETCHES_TO_WRITE __attribute__((target("prfchw")))
#else
#define FETCHES_TO_WRITE
#endif

#define AHEAD 8 /* slots that are fetched before they are needed */
#define AWAY 64 /* how far to look whether the other side is out of the way */

/*
 * Fetches the lines of a slot to come, for writing, as far as the other side is known to be far
 * from them: lines that both sides want at once move more often, not less. *known is the first
 * position of which nothing is known.
 */
BENCH_INLINE void fetch_ahead(const struct view *view, uint64_t position, uint64_t ready, uint64_t *known)
{
	uint64_t next = position + AHEAD;

	if (next >= *known) {
		uint64_t far = position + AWAY;
		_Atomic uint64_t *sequence = &slot_at(view, far)->sequence;

		if (atomic_load_explicit(sequence, memory_order_relaxed) != far + ready)
			return;
		*known = far;
	}
	__builtin_prefetch(&slot_at(view, next)->sequence, 1);
	if (ready) /* readers do not write payloads */
		__builtin_prefetch(payload_at(view, next), 0);
	else
		__builtin_prefetch(payload_at(view, next), 1);
}

/* Claims the next position, or the next eight; the last of them must be in the state awaited. */
BENCH_INLINE uint64_t claim(const struct view *view, _Atomic uint64_t *cursor, enum claim how, uint64_t ready)
{
	uint64_t width = how == CLAIM_EIGHT ? EIGHT : 1;

	for (;;) {
		uint64_t position = atomic_load_explicit(cursor, memory_order_relaxed);
		struct slot *last = slot_at(view, position + width - 1);

		/* Pairs with publish and release: what the other side did to the slot is seen. */
		if (atomic_load_explicit(&last->sequence, memory_order_acquire) !=
		    position + width - 1 + ready) {
			bench_look_again(view->crowded);
			continue;
		}
		if (how == CLAIM_PLAIN) {
			atomic_store_explicit(cursor, position + 1, memory_order_relaxed);
			return position;
		}
		if (atomic_compare_exchange_weak_explicit(cursor, &position, position + width,
							  memory_order_relaxed, memory_order_relaxed))
			return position;
	}
}

BENCH_INLINE uint64_t claim_to_write(const struct view *view, enum claim how)
{
	return claim(view, &view->ring->write_cursor, how, 0);
}

BENCH_INLINE uint64_t claim_to_read(const struct view *view, enum claim how)
{
	return claim(view, &view->ring->read_cursor, how, 1);
}

/* The work on a slot once it is claimed, the same for every way to claim. */
BENCH_INLINE void put(const struct view *view, uint64_t position, const void *message)
{
	struct slot *slot = slot_at(view, position);

	memcpy(payload_at(view, position), message, view->size);
	slot->packet[0] = 0xff;
	slot->packet[1] = position + 1;
	slot->packet[2] = position & (view->slots - 1);
	slot->packet[3] = view->size;
	for (unsigned word = 4; word < 8; word++)
		slot->packet[word] = 0;
	atomic_store_explicit(&slot->sequence, position + 1, memory_order_release); /* publish */
}

BENCH_INLINE bool take(const struct view *view, uint64_t position, void *message)
{
	struct slot *slot = slot_at(view, position);
	bool good = slot->packet[0] == 0xff && slot->packet[3] == view->size;

	memcpy(message, payload_at(view, position), view->size);
	atomic_store_explicit(&slot->sequence, position + view->slots, memory_order_release); /* release */
	return good;
}

BENCH_INLINE void ring_send(const struct view *view, uint64_t total, enum claim how)
{
	unsigned char message[BENCH_LARGEST];
	uint64_t position = 0;
	uint64_t known = 0;

	memset(message, 0, view->size);
	for (uint64_t n = 0; n < total; n++) {
		if (how == CLAIM_AHEAD)
			fetch_ahead(view, n, 0, &known);
		if (how != CLAIM_EIGHT || n % EIGHT == 0)
			position = claim_to_write(view, how);
		else
			position++;
		bench_stamp(message, view->size, n);
		put(view, position, message);
	}
}

BENCH_INLINE int ring_receive(struct pair *pair, const struct view *view, enum claim how)
{
	unsigned char message[BENCH_LARGEST];
	uint64_t start = 0;
	uint64_t position = 0;
	uint64_t known = 0;
	uint64_t total = pair->warm + pair->count;

	for (uint64_t n = 0; n < total; n++) {
		if (how == CLAIM_AHEAD)
			fetch_ahead(view, n, 1, &known);
		if (how != CLAIM_EIGHT || n % EIGHT == 0)
			position = claim_to_read(view, how);
		else
			position++;
		if (n == pair->warm)
			start = bench_now();
		if (!take(view, position, message) || !bench_stamped(message, view->size, n))
			return pair_fail(pair, "ring", "a message is not what was sent");
	}
	pair_result(pair, (double)(bench_now() - start) / (double)pair->count);
	return 0;
}

static void ring_init(struct ring *ring)
{
	memset(ring, 0, sizeof(*ring));
	for (uint64_t i = 0; i < BENCH_SLOTS; i++)
		atomic_store_explicit(&ring->slots[i].sequence, i, memory_order_relaxed);
}

/* The ring in a part of the area of a run. */
BENCH_INLINE struct view view_of(const struct pair *pair, unsigned char *memory, size_t size)
{
	return (struct view){
		.ring = (struct ring *)(void *)memory,
		.payloads = memory + RING_BYTES,
		.slots = bench_slots(size),
		.size = size,
		.crowded = pair->crowded,
	};
}

BENCH_INLINE int ring_stream_of(struct pair *pair, size_t size, enum claim how)
{
	const struct view view = view_of(pair, pair->area, size);
	int result = 0;

	if (pair->side == 0)
		ring_init(view.ring);
	pair_begin(pair);
	if (pair->side == 0)
		ring_send(&view, pair->warm + pair->count, how);
	else
		result = ring_receive(pair, &view, how);
	pair_end(pair);
	return result;
}

/* The sizes that matter most are constants to the compiler, as they are in no library. */
BENCH_INLINE int ring_stream_sized(struct pair *pair, enum claim how)
{
	switch (pair->bench->size) {
	case 8:
		return ring_stream_of(pair, 8, how);
	case 64:
		return ring_stream_of(pair, 64, how);
	default:
		return ring_stream_of(pair, pair->bench->size, how);
	}
}

FETCHES_TO_WRITE static int ring_stream(struct pair *pair)
{
	switch (pair->bench->variant) {
	case CLAIM_LOCKED:
		return ring_stream_sized(pair, CLAIM_LOCKED);
	case CLAIM_AHEAD:
		return ring_stream_sized(pair, CLAIM_AHEAD);
	case CLAIM_EIGHT:
		return ring_stream_sized(pair, CLAIM_EIGHT);
	default:
		return ring_stream_sized(pair, CLAIM_PLAIN);
	}
}

/* Round trips by two bare rings: the exchange that the layout itself asks for. */
static int ring_pingpong(struct pair *pair)
{
	unsigned char *halves[2] = {pair->area, pair->area + BENCH_AREA_BYTES / 2};
	unsigned char message[64] = {0};
	const struct view out = view_of(pair, halves[pair->side], sizeof(message));
	const struct view in = view_of(pair, halves[1 - pair->side], sizeof(message));
	struct watch watch = watch_of(pair);
	uint64_t total = pair_total(pair);

	ring_init(out.ring);
	pair_begin(pair);
	for (uint64_t n = 0; n < total; n++) {
		if (pair->side == 0)
			watch_tick(&watch, n);
		for (unsigned turn = 0; turn < 2; turn++) {
			if (pair->side == turn) {
				bench_stamp(message, sizeof(message), n);
				put(&out, claim_to_write(&out, CLAIM_LOCKED), message);
			} else if (!take(&in, claim_to_read(&in, CLAIM_LOCKED), message) ||
				   !bench_stamped(message, sizeof(message), n)) {
				return pair_fail(pair, "ring", "a message is not what was sent");
			}
		}
	}
	if (pair->side == 0)
		watch_tick(&watch, total);
	pair_end(pair);
	return 0;
}

/* One process sends a message and receives it, with locked claims: no line moves. */
static int ring_alone(struct pair *pair)
{
	unsigned char message[64] = {0};
	const struct view view = view_of(pair, pair->area, sizeof(message));
	uint64_t start = 0;

	if (pair->side == 1)
		return 0;
	ring_init(view.ring);
	for (uint64_t n = 0; n < pair->warm + pair->count; n++) {
		if (n == pair->warm)
			start = bench_now();
		bench_stamp(message, sizeof(message), n);
		put(&view, claim_to_write(&view, CLAIM_LOCKED), message);
		if (!take(&view, claim_to_read(&view, CLAIM_LOCKED), message) ||
		    !bench_stamped(message, sizeof(message), n))
			return pair_fail(pair, "ring", "a message is not what was sent");
	}
	pair_result(pair, (double)(bench_now() - start) / (double)pair->count);
	return 0;
}

/* ---- the list -------------------------------------------------------------------------------- */

static void add(struct bench_list *list, const char *name, size_t size, enum bench_unit unit,
		bench_body *body, enum claim how)
{
	struct bench_case *bench = bench_add(list, name, size, NULL);

	bench->unit = unit;
	bench->body = body;
	bench->variant = (unsigned)how;
	bench->latency = body == ring_pingpong;
}

void bench_add_bare_rings(struct bench_list *list)
{
	add(list, "ring.pingpong", 64, BENCH_TIME, ring_pingpong, CLAIM_LOCKED);
	for (unsigned i = 0; i < bench_size_count; i++) {
		size_t size = bench_sizes[i];

		add(list, "ring.locked", size, BENCH_RATE, ring_stream, CLAIM_LOCKED);
		add(list, "ring.ahead", size, BENCH_RATE, ring_stream, CLAIM_AHEAD);
		add(list, "ring.eight", size, BENCH_RATE, ring_stream, CLAIM_EIGHT);
		add(list, "ring.plain", size, BENCH_RATE, ring_stream, CLAIM_PLAIN);
	}
	add(list, "ring.alone", 64, BENCH_TIME, ring_alone, CLAIM_LOCKED);
}
