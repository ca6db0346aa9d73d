/*
 * bench_cases.c - what `hqq bench` measures between two processes
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "bench.h"
#include "common.h"
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>

#define LOOKS_BEFORE_YIELD 256 /* the other one may need this processor */
#define YIELDS_BEFORE_CHECK 1024

/* ---- the links ---- */

/* Small messages in a ring that stays in the cache; large ones in few buffers, for the same reason. */
#define STANDARD_COUNT 1024
#define CALLS_COUNT 256
#define COPIES_COUNT 16
#define COPIES_SIZE 65536
#define PATIENCE_NS (10 * NS_PER_SECOND)

int bench_make_links(struct bench_side *side)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	int rc;

	options.flags = HQQ_PEER_EOF;
	rc = hqq_standard_create_fd(&side->standard, STANDARD_COUNT, BENCH_SMALL, &options);
	if (rc == 0)
		rc = hqq_advanced_create_fd(&side->calls, CALLS_COUNT, BENCH_SMALL, NULL);
	if (rc == 0)
		rc = hqq_advanced_create_fd(&side->copies, COPIES_COUNT, COPIES_SIZE, NULL);
	if (rc == 0) {
		side->standard_fd = hqq_standard_fd(side->standard);
		side->calls_fd = hqq_advanced_fd(side->calls);
		side->copies_fd = hqq_advanced_fd(side->copies);
	}
	return rc;
}

int bench_open_links(struct bench_side *side, const struct bench_side *maker)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	int rc;

	options.flags = HQQ_PEER_EOF;
	rc = hqq_standard_open_fd(&side->standard, maker->standard_fd, 0, 0, &options);
	if (rc == 0)
		rc = hqq_advanced_open_fd(&side->calls, maker->calls_fd, 0, 0, NULL);
	if (rc == 0)
		rc = hqq_advanced_open_fd(&side->copies, maker->copies_fd, 0, 0, NULL);
	return rc;
}

static int negotiate(hqq_advanced *link, bool asks)
{
	const struct hqq_version version = {HQQ_ADVANCED_VERSION_MAJOR, HQQ_ADVANCED_VERSION_MINOR};
	const uint64_t features = HQQ_FEATURE_LARGE_COPY | HQQ_FEATURE_REQUEST_RESPONSE;
	hqq_context context = HQQ_CONTEXT_INIT;

	hqq_context_set_timeout(&context, PATIENCE_NS); /* the other one may never get there */
	return asks ? hqq_advanced_negotiate(link, &context, version, features)
	            : hqq_advanced_wait_negotiation(link, &context);
}

int bench_negotiate(struct bench_side *side)
{
	int rc = negotiate(side->calls, side->side == 0);

	return rc ? rc : negotiate(side->copies, side->side == 0);
}

void bench_close_links(struct bench_side *side)
{
	hqq_standard_close(side->standard);
	hqq_advanced_close(side->calls);
	hqq_advanced_close(side->copies);
}

/* ---- without a link ---- */

static bool is_peer_gone(const struct bench_side *side)
{
	siginfo_t ended = {.si_pid = 0};

	return side->side == 0 &&
	       (waitid(P_PID, (id_t)side->peer, &ended, WEXITED | WNOHANG | WNOWAIT) < 0 || ended.si_pid);
}

/*
 * Looks until a word has come to a value, or past it: who meets us late finds us at the next meeting already
 * when the case was ours alone. False when the other side is gone. Side 1 ends with side 0.
 */
static bool await_word(const struct bench_side *side, _Atomic uint64_t *word, uint64_t value)
{
	for (unsigned looks = 1; atomic_load_explicit(word, memory_order_acquire) < value; looks++) {
		if (looks % LOOKS_BEFORE_YIELD)
			continue;
		sched_yield();
		if (looks % (LOOKS_BEFORE_YIELD * YIELDS_BEFORE_CHECK) == 0 && is_peer_gone(side))
			return false;
	}
	return true;
}

bool bench_meet(struct bench_side *side)
{
	_Atomic uint64_t *meeting = side->area->meeting;
	const uint64_t turn = atomic_load_explicit(&meeting[side->side], memory_order_relaxed) + 1;

	atomic_store_explicit(&side->area->ball, 0, memory_order_relaxed);
	atomic_store_explicit(&meeting[side->side], turn, memory_order_release);
	return await_word(side, &meeting[1 - side->side], turn);
}

/* One line of memory goes there and back. */
static int exchange_line(struct bench_side *side, uint64_t count)
{
	_Atomic uint64_t *ball = &side->area->ball;

	for (uint64_t i = 0; i < count; i++) {
		if (side->side == 0)
			atomic_store_explicit(ball, 2 * i + 1, memory_order_release);
		if (!await_word(side, ball, 2 * i + 1 + (side->side == 0)))
			return HQQ_ERR_PEER_GONE;
		if (side->side == 1)
			atomic_store_explicit(ball, 2 * i + 2, memory_order_release);
	}
	return 0;
}

/* One process copies. */
static int copy_alone(struct bench_side *side, uint64_t count)
{
	for (uint64_t i = 0; side->side == 0 && i < count; i++) {
		memcpy(side->out, side->in, BENCH_LARGE);
		atomic_signal_fence(memory_order_seq_cst); /* each copy is to happen */
	}
	return 0;
}

/* ---- the Standard link ---- */

static int exchange_small(struct bench_side *side, uint64_t count)
{
	ssize_t n = 0;

	for (uint64_t i = 0; i < count && n >= 0; i++) {
		if (side->side == 0)
			n = hqq_standard_write(side->standard, side->out, BENCH_SMALL);
		if (n >= 0)
			n = hqq_standard_read(side->standard, side->in, BENCH_SMALL);
		if (side->side == 1 && n >= 0)
			n = hqq_standard_write(side->standard, side->in, BENCH_SMALL);
	}
	return n < 0 ? (int)n : 0;
}

/* One way; the last message comes back. */
static int send_messages(struct bench_side *side, uint64_t count)
{
	ssize_t n = 0;

	for (uint64_t i = 0; i < count && n >= 0; i++)
		n = side->side == 0 ? hqq_standard_write(side->standard, side->out, BENCH_SMALL)
		                    : hqq_standard_read(side->standard, side->in, BENCH_SMALL);
	if (n >= 0)
		n = side->side == 0 ? hqq_standard_read(side->standard, side->in, BENCH_SMALL)
		                    : hqq_standard_write(side->standard, side->in, BENCH_SMALL);
	return n < 0 ? (int)n : 0;
}

/* ---- the Advanced link ---- */

static int serve_calls(struct bench_side *side, uint64_t count)
{
	int rc = 0;

	for (uint64_t i = 0; i < count && rc == 0; i++) {
		struct hqq_message request;

		rc = hqq_advanced_receive(side->calls, NULL, &request);
		if (rc == 0) {
			rc = hqq_advanced_respond(side->calls, NULL, &request, 0, request.payload,
			                          request.payload_size);
			hqq_message_clear(&request);
		}
	}
	return rc;
}

static int call_and_wait(struct bench_side *side, uint64_t count)
{
	int rc = 0;

	if (side->side == 1)
		return serve_calls(side, count);
	for (uint64_t i = 0; i < count && rc == 0; i++)
		rc = hqq_advanced_call(side->calls, NULL, 1, side->out, BENCH_SMALL, NULL);
	return rc;
}

static int call_many(struct bench_side *side, uint64_t count)
{
	uint64_t ids[BENCH_IN_FLIGHT];
	int rc = 0;

	if (side->side == 1)
		return serve_calls(side, count);
	for (uint64_t done = 0; done < count && rc == 0;) {
		const unsigned batch =
			count - done < BENCH_IN_FLIGHT ? (unsigned)(count - done) : BENCH_IN_FLIGHT;

		for (unsigned i = 0; i < batch && rc == 0; i++)
			rc = hqq_advanced_call_start(side->calls, NULL, 0, 1, side->out, BENCH_SMALL,
			                             &ids[i]);
		for (unsigned i = 0; i < batch && rc == 0; i++)
			rc = hqq_advanced_call_wait(side->calls, NULL, ids[i], NULL);
		done += batch;
	}
	return rc;
}

/* The receiver has all: an empty message goes back. */
static int finish_copies(struct bench_side *side)
{
	struct hqq_message message;
	int rc;

	if (side->side == 1)
		return hqq_advanced_send_large(side->copies, NULL, 0, NULL, 0, NULL);
	rc = hqq_advanced_receive(side->copies, NULL, &message);
	if (rc == 0)
		hqq_message_clear(&message);
	return rc;
}

static int copy_large(struct bench_side *side, uint64_t count)
{
	int rc = 0;

	for (uint64_t i = 0; i < count && rc == 0; i++) {
		struct hqq_message message;

		if (side->side == 0) {
			rc = hqq_advanced_send_large(side->copies, NULL, 0, side->out, BENCH_LARGE, NULL);
			continue;
		}
		rc = hqq_advanced_receive(side->copies, NULL, &message);
		if (rc == 0)
			hqq_message_clear(&message);
	}
	return rc ? rc : finish_copies(side);
}

static ssize_t fill_chunk(uint64_t offset, void *data, size_t capacity, void *argument)
{
	const struct bench_side *side = argument;

	memcpy(data, side->out + offset % BENCH_LARGE, capacity);
	return (ssize_t)capacity;
}

static int take_chunk(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
                      size_t size, void *argument)
{
	struct bench_side *side = argument;

	(void)head;
	(void)total;
	memcpy(side->in + offset % BENCH_LARGE, data, size);
	return 0;
}

_Static_assert(BENCH_LARGE % COPIES_SIZE == 0, "a chunk of a stream does not reach over the end");

static int stream_bytes(struct bench_side *side, uint64_t count)
{
	int rc;

	if (side->side == 0)
		rc = hqq_advanced_send_stream(side->copies, NULL, 0, count * BENCH_LARGE, fill_chunk, side);
	else
		rc = hqq_advanced_receive_stream(side->copies, NULL, take_chunk, side);
	return rc ? rc : finish_copies(side);
}

/* ---- the list ---- */

const struct bench_case bench_cases[] = {
	{"line", "a cache line, there and back", BENCH_NS, 0, NULL, exchange_line},
	{"standard_round_trip", "Standard, 64 B there and back", BENCH_NS, BENCH_SMALL, "line", exchange_small},
	{"call", "call, 64 B and 64 B back", BENCH_NS, BENCH_SMALL, "line", call_and_wait},
	{"standard_rate", "Standard, 64 B one way", BENCH_RATE, BENCH_SMALL, NULL, send_messages},
	{"calls_in_flight", "calls, 64 at a time", BENCH_RATE, BENCH_SMALL, NULL, call_many},
	{"memcpy", "memcpy of 1 MiB, one process", BENCH_BYTES, BENCH_LARGE, NULL, copy_alone},
	{"large_copy", "large copy, messages of 1 MiB", BENCH_BYTES, BENCH_LARGE, "memcpy", copy_large},
	{"stream", "stream, in and out by memcpy", BENCH_BYTES, BENCH_LARGE, "memcpy", stream_bytes},
};

const unsigned bench_case_count = sizeof(bench_cases) / sizeof(bench_cases[0]);
