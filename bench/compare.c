/*
 * compare.c - bench/compare: what else sends messages from process to process, and libhqq, at the same work
 *
 * Each peer has a file in peers/. Names: stream.PEER/SIZE (one way), trip.PEER/SIZE (there and
 * back), call.PEER/SIZE (request and response), mpmc-WxR.PEER/SIZE (W writers, R readers) and
 * large.PEER/SIZE; each is compared with libhqq's own case, and that one with its limit.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "many.h"
#include "peers/peer.h"
#include <stdlib.h>
#include <unistd.h>

#define LARGE_FROM (1u << 20)

struct candidate {
	const struct peer *peer; /* NULL when its package was not there at build time */
	const char *name;
	const char *package;
};

/* The first one that can do a thing is what the others are compared with. */
static const struct candidate candidates[] = {
	{&peer_hqq, "hqq", NULL},
	{&peer_hqq_large, "hqq", NULL},
	{&peer_hqq_call, "hqq", NULL},
	{&peer_hqq_spin, "hqq-spin", NULL},
	{&peer_hqq_single, "hqq-single", NULL},
	{&peer_hqq_block, "hqq-block", NULL},
#ifdef HAVE_PEER_CK
	{&peer_ck, "ck", NULL},
	{&peer_ck_spsc, "ck-spsc", NULL},
#else
	{NULL, "ck", "libck-dev"},
#endif
#ifdef HAVE_PEER_RTE
	{&peer_rte, "rte_ring", NULL},
	{&peer_rte_rts, "rte_ring-rts", NULL},
	{&peer_rte_spsc, "rte_ring-spsc", NULL},
#else
	{NULL, "rte_ring", "libdpdk-dev"},
#endif
#ifdef HAVE_PEER_ICEORYX
	{&peer_iceoryx, "iceoryx", NULL},
#else
	{NULL, "iceoryx", "libiceoryx-binding-c-dev"},
#endif
	{&peer_pipe, "pipe", NULL},
	{&peer_unix_stream, "unix-stream", NULL},
	{&peer_unix_seqpacket, "unix-seqpacket", NULL},
	{&peer_mq, "posix-mq", NULL},
#ifdef HAVE_PEER_ZMQ
	{&peer_zmq, "zmq", NULL},
	{&peer_zmq_call, "zmq", NULL},
#else
	{NULL, "zmq", "libzmq3-dev"},
#endif
#ifdef HAVE_PEER_NNG
	{&peer_nng, "nng", NULL},
	{&peer_nng_call, "nng", NULL},
#else
	{NULL, "nng", "libnng-dev"},
#endif
#ifdef HAVE_PEER_SDBUS
	{&peer_sdbus, "d-bus", NULL},
#else
	{NULL, "d-bus", "libsystemd-dev"},
#endif
};

#define CANDIDATES (sizeof(candidates) / sizeof(candidates[0]))

/* ---- ends ------------------------------------------------------------------------------------ */

const struct peer *peer_of(const struct peer_end *end)
{
	return end->pair->bench->peer;
}

int peer_fail_text(struct peer_end *end, const char *what, const char *why)
{
	return pair_fail(end->pair, what, why);
}

int peer_fail(struct peer_end *end, const char *what, int error)
{
	return pair_fail(end->pair, what, strerror(-error));
}

static int prepare(struct pair *pair)
{
	const struct peer *peer = pair->bench->peer;
	struct peer_end *end = malloc(sizeof(*end));

	if (!end)
		return pair_fail(pair, "malloc", "out of memory");
	*end = (struct peer_end){.pair = pair, .size = pair->bench->size, .fds = {-1, -1, -1, -1}};
	pair->prepared = end;
	return peer->prepare ? peer->prepare(end) : 0;
}

void peer_close_fds(struct peer_end *end)
{
	for (size_t i = 0; i < sizeof(end->fds) / sizeof(end->fds[0]); i++) {
		if (end->fds[i] >= 0)
			close(end->fds[i]);
	}
}

static int dispose(struct pair *pair)
{
	const struct peer *peer = pair->bench->peer;

	if (pair->prepared && peer->dispose)
		peer->dispose(pair->prepared);
	free(pair->prepared);
	pair->prepared = NULL;
	return 0;
}

/* In a process of the run; all have opened their ends once the caller was at pair_begin(). */
static struct peer_end *open_end(struct pair *pair)
{
	const struct peer *peer = pair->bench->peer;
	struct peer_end *end = pair->prepared;

	end->pair = pair;
	end->way = pair->side >= pair->bench->writers;
	return peer->open && peer->open(end) < 0 ? NULL : end;
}

/* Once all are done. */
static int close_end(struct peer_end *end)
{
	const struct peer *peer = peer_of(end);

	pair_meet(end->pair);
	if (peer->close)
		peer->close(end);
	return 0;
}

/* ---- work ------------------------------------------------------------------------------------ */

static int wrong(struct pair *pair)
{
	return pair_fail(pair, "receiving", "a message is not what was sent");
}

/* Memory for a message, touched. */
static unsigned char *message_of(struct pair *pair)
{
	unsigned char *message = malloc(pair->bench->size);

	if (message)
		memset(message, 1, pair->bench->size);
	else
		pair_fail(pair, "malloc", "out of memory");
	return message;
}

static int stream_side(struct pair *pair, struct peer_end *end, unsigned char *message)
{
	const struct peer *peer = pair->bench->peer;
	const size_t size = pair->bench->size;
	const uint64_t total = pair->warm + pair->count;
	uint64_t start = 0;

	for (uint64_t n = 0; n < total; n++) {
		if (pair->side == 0) {
			bench_stamp(message, size, n);
			if (peer->send(end, message, size) < 0)
				return -1;
			continue;
		}
		if (peer->receive(end, message, size) < 0)
			return -1;
		if (!bench_stamped(message, size, n))
			return wrong(pair);
		if (n + 1 == pair->warm)
			start = bench_now();
	}
	if (pair->side == 1)
		pair_result(pair, (double)(bench_now() - start) / (double)pair->count);
	return 0;
}

static int trip_side(struct pair *pair, struct peer_end *end, unsigned char *message)
{
	const struct peer *peer = pair->bench->peer;
	const size_t size = pair->bench->size;
	const uint64_t total = pair_total(pair);
	struct watch watch = watch_of(pair);

	for (uint64_t n = 0; n < total; n++) {
		if (pair->side == 0) {
			watch_tick(&watch, n);
			bench_stamp(message, size, n);
			if (peer->send(end, message, size) < 0)
				return -1;
		}
		if (peer->receive(end, message, size) < 0)
			return -1;
		if (!bench_stamped(message, size, n))
			return wrong(pair);
		if (pair->side == 1) {
			bench_stamp(message, size, n);
			if (peer->send(end, message, size) < 0)
				return -1;
		}
	}
	if (pair->side == 0)
		watch_tick(&watch, total);
	return 0;
}

static int work(struct pair *pair, int (*side)(struct pair *, struct peer_end *, unsigned char *))
{
	unsigned char *message = message_of(pair);
	struct peer_end *end = message ? open_end(pair) : NULL;

	if (!end)
		return -1;
	pair_begin(pair);
	if (side(pair, end, message) < 0)
		return -1;
	pair_end(pair);
	free(message);
	return close_end(end);
}

static int stream(struct pair *pair)
{
	return work(pair, stream_side);
}

static int trip(struct pair *pair)
{
	return work(pair, trip_side);
}

static int send_one(void *end, const void *message, size_t size)
{
	return peer_of(end)->send(end, message, size);
}

static int receive_one(void *end, void *message, size_t size)
{
	return peer_of(end)->receive(end, message, size);
}

static int many(struct pair *pair)
{
	static const struct many_way way = {send_one, receive_one};
	struct peer_end *end = open_end(pair);

	if (!end || many_run(pair, &way, end) < 0)
		return -1;
	return close_end(end);
}

/* ---- the list -------------------------------------------------------------------------------- */

/* What a case is compared with: that of libhqq, and that one with its limit, where it is measured here. */
static const char *limit_of(char text[48], const struct peer *peer, const char *stem)
{
	snprintf(text, 48, "%s.%s", stem, peer->beside ? peer->beside->name : "hqq");
	if (strcmp(peer->name, "hqq") != 0)
		return text;
	if (strcmp(stem, "stream") == 0)
		return "ring.locked";
	return strcmp(stem, "trip") == 0 ? "line.payload" : NULL;
}

static struct bench_case *add(struct bench_list *list, const struct peer *peer, const char *stem, size_t size,
			      bench_body *body)
{
	char name[40];
	char limit[48];

	snprintf(name, sizeof(name), "%s.%s", stem, peer->name);
	struct bench_case *bench = bench_add(list, name, size, limit_of(limit, peer, stem));
	bench->unit = body == trip ? BENCH_TIME : BENCH_RATE;
	bench->latency = body == trip;
	bench->body = body;
	bench->prepare = prepare;
	bench->dispose = dispose;
	bench->peer = peer;
	bench->apart = peer->apart;
	bench->spins = peer == &peer_hqq_spin;
	if (size >= LARGE_FROM)
		bench->step = 1;
	return bench;
}

static bool fits(const struct peer *peer, size_t size)
{
	return !peer->largest || size <= peer->largest;
}

static void add_many(struct bench_list *list, const struct peer *peer, unsigned writers, unsigned readers)
{
	char stem[40];

	many_name(stem, writers, readers, NULL);
	struct bench_case *bench = add(list, peer, stem, 64, many);
	bench->writers = writers;
	bench->readers = readers;
}

static void add_peer(struct bench_list *list, const struct peer *peer)
{
	static const size_t small[] = {64, 4096};
	static const size_t large[] = {1u << 20, 16u << 20};

	for (unsigned i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
		if (peer->can & PEER_STREAM && fits(peer, small[i]))
			add(list, peer, "stream", small[i], stream);
	}
	if (peer->can & PEER_TRIP)
		add(list, peer, "trip", 64, trip);
	if (peer->can & PEER_CALL)
		add(list, peer, "call", 64, trip);
	if (peer->can & PEER_MANY) {
		add_many(list, peer, 2, 2);
		add_many(list, peer, 4, 4);
	}
	for (unsigned i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
		if (peer->can & PEER_LARGE && fits(peer, large[i]))
			add(list, peer, "large", large[i], stream);
	}
}

/* Of what the others measure in full, the limits of what is measured here. */
static void add_limits(struct bench_list *list)
{
	static const char *const wanted[] = {"line.payload/64", "ring.locked/64", "ring.locked/4096",
					     "wake.futex/64"};
	unsigned count = 0;

	bench_add_limits(list);
	bench_add_bare_rings(list);
	for (unsigned i = 0; i < list->count; i++) {
		for (unsigned j = 0; j < sizeof(wanted) / sizeof(wanted[0]); j++) {
			if (strcmp(list->series[i].bench.name, wanted[j]) == 0)
				list->series[count++] = list->series[i];
		}
	}
	list->count = count;
}

/* Which of them are here; the others with a word. */
static void add_cases(struct bench_list *list)
{
	add_limits(list);
	for (unsigned i = 0; i < CANDIDATES; i++) {
		const struct candidate *candidate = &candidates[i];
		const char *missing = NULL;

		if (candidate->peer && candidate->peer->missing)
			missing = candidate->peer->missing();
		if (!candidate->peer)
			fprintf(stderr, "compare: %s left out, it was built without %s\n", candidate->name,
				candidate->package);
		else if (missing)
			fprintf(stderr, "compare: %s left out, %s\n", candidate->name, missing);
		else
			add_peer(list, candidate->peer);
	}
}

static void versions(FILE *out)
{
	const char *separator = "";

	for (unsigned i = 0; i < CANDIDATES; i++) {
		const struct peer *peer = candidates[i].peer;

		if (!peer || !peer->version)
			continue;
		fprintf(out, "%s\"%s\": \"%s\"", separator, peer->name, peer->version());
		separator = ", ";
	}
}

static void stop(void)
{
	for (unsigned i = 0; i < CANDIDATES; i++) {
		if (candidates[i].peer && candidates[i].peer->stop)
			candidates[i].peer->stop();
	}
}

const struct bench_program bench_program = {
	.name = "compare",
	.title = "other ways beside libhqq",
	.add_cases = add_cases,
	.versions = versions,
	.end = stop,
};
