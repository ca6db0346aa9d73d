/*
 * many.c - several writers and several readers of one queue, and the Standard link in that role
 *
 * Each writer sends the same number of messages. The last one to end puts as many end marks behind
 * them as there are readers, and each reader stops at the first that it gets.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "many.h"
#include <hqq.h>
#include <stdatomic.h>

struct head {
	uint64_t number; /* from 1, of one writer; at the start of every line, see bench_stamp() */
	uint64_t writer; /* in the first line only */
};

_Static_assert(sizeof(struct head) == MANY_LEAST, "a message has room for its head");

#define END_MARK UINT64_MAX

/* One for the messages that warm up, one for those that are timed. */
struct phase {
	_Atomic uint32_t writers_left;
	_Atomic uint64_t received, sum;    /* messages, and their numbers */
	_Atomic uint64_t start, first_end; /* of a writer: the earliest */
	_Atomic uint64_t last_end, end;    /* of a writer, of a reader: the latest */
};

static struct phase *phases_of(const struct pair *pair)
{
	return (struct phase *)(void *)(pair->area + BENCH_AREA_BYTES - MANY_STATE_BYTES);
}

_Static_assert(2 * sizeof(struct phase) <= MANY_STATE_BYTES, "the state fits");

static void raise_to(_Atomic uint64_t *word, uint64_t value)
{
	uint64_t seen = atomic_load(word);

	while (seen < value && !atomic_compare_exchange_weak(word, &seen, value))
		;
}

static void lower_to(_Atomic uint64_t *word, uint64_t value)
{
	uint64_t seen = atomic_load(word);

	while (seen > value && !atomic_compare_exchange_weak(word, &seen, value))
		;
}

static int write_share(struct pair *pair, const struct many_way *way, void *end, struct phase *phase,
		       uint64_t share)
{
	unsigned char message[BENCH_LARGEST] = {0};
	const size_t size = pair->bench->size;
	struct head head = {.writer = pair->side};

	lower_to(&phase->start, bench_now());
	for (uint64_t n = 1; n <= share; n++) {
		bench_stamp(message, size, n);
		memcpy(message + sizeof(head.number), &head.writer, sizeof(head.writer));
		if (way->send(end, message, size) < 0)
			return -1;
	}
	uint64_t now = bench_now();
	lower_to(&phase->first_end, now);
	raise_to(&phase->last_end, now);
	if (atomic_fetch_sub(&phase->writers_left, 1) > 1)
		return 0;
	head = (struct head){.number = 0, .writer = END_MARK};
	memcpy(message, &head, sizeof(head));
	for (unsigned i = 0; i < pair->bench->readers; i++) {
		if (way->send(end, message, size) < 0)
			return -1;
	}
	return 0;
}

static int read_share(struct pair *pair, const struct many_way *way, void *end, struct phase *phase)
{
	unsigned char message[BENCH_LARGEST];
	uint64_t last[BENCH_MAX_SIDES] = {0};
	uint64_t received = 0;
	uint64_t sum = 0;

	for (;;) {
		struct head head;

		if (way->receive(end, message, pair->bench->size) < 0)
			return -1;
		memcpy(&head, message, sizeof(head));
		if (head.writer == END_MARK)
			break;
		if (head.writer >= pair->bench->writers || head.number <= last[head.writer] ||
		    !bench_stamped(message, pair->bench->size, head.number))
			return pair_fail(pair, "reading", "a message is torn, twice there, or out of order");
		last[head.writer] = head.number;
		sum += head.number;
		received++;
	}
	raise_to(&phase->end, bench_now());
	atomic_fetch_add(&phase->received, received);
	atomic_fetch_add(&phase->sum, sum);
	return 0;
}

static int run_phase(struct pair *pair, const struct many_way *way, void *end, struct phase *phase,
		     uint64_t count)
{
	const uint64_t writers = pair->bench->writers;
	const uint64_t share = count / writers;
	int result;

	pair_meet(pair);
	if (pair->side < writers)
		result = write_share(pair, way, end, phase, share);
	else
		result = read_share(pair, way, end, phase);
	if (result < 0)
		return -1;
	pair_meet(pair);
	if (pair->side != 0)
		return 0;
	if (atomic_load(&phase->received) != share * writers ||
	    atomic_load(&phase->sum) != writers * (share * (share + 1) / 2))
		return pair_fail(pair, "reading", "not all messages came, or some of them twice");
	double start = (double)atomic_load(&phase->start);
	pair_result(pair, ((double)atomic_load(&phase->end) - start) / (double)(share * writers));
	pair_fairness(pair, ((double)atomic_load(&phase->first_end) - start) /
				    ((double)atomic_load(&phase->last_end) - start));
	return 0;
}

int many_run(struct pair *pair, const struct many_way *way, void *end)
{
	struct phase *phases = phases_of(pair);

	if (pair->side == 0) {
		memset(phases, 0, 2 * sizeof(*phases));
		for (unsigned i = 0; i < 2; i++) {
			atomic_store(&phases[i].writers_left, pair->bench->writers);
			atomic_store(&phases[i].start, UINT64_MAX);
			atomic_store(&phases[i].first_end, UINT64_MAX);
		}
	}
	pair_begin(pair);
	if (run_phase(pair, way, end, &phases[0], pair->warm) < 0 ||
	    run_phase(pair, way, end, &phases[1], pair->count) < 0)
		return -1;
	pair_end(pair);
	return 0;
}

void many_name(char name[40], unsigned writers, unsigned readers, const char *suffix)
{
	snprintf(name, 40, "mpmc-%ux%u%s%s", writers, readers, suffix ? "." : "", suffix ? suffix : "");
}

/* ---- the Standard link ----------------------------------------------------------------------- */

struct end {
	struct pair *pair;
	hqq_standard *link;
};

static int failed(struct pair *pair, const char *what, ssize_t error)
{
	return pair_fail(pair, what, error < 0 ? hqq_strerror((int)error) : "a short count");
}

static int send_message(void *argument, const void *message, size_t size)
{
	struct end *end = argument;
	ssize_t sent = hqq_standard_write(end->link, message, size);

	return sent == (ssize_t)size ? 0 : failed(end->pair, "hqq_standard_write", sent);
}

static int receive_message(void *argument, void *message, size_t size)
{
	struct end *end = argument;
	ssize_t received = hqq_standard_read(end->link, message, size);

	return received == (ssize_t)size ? 0 : failed(end->pair, "hqq_standard_read", received);
}

/* Writers share the part of the primary, readers that of the secondary. */
static int many(struct pair *pair)
{
	static const struct many_way way = {send_message, receive_message};
	const struct bench_case *bench = pair->bench;
	struct hqq_options options = HQQ_OPTIONS_INIT;
	struct end end = {.pair = pair};
	int error = 0;

	options.wait = bench->wait;
	options.flags = HQQ_PREFAULT;
	options.role = pair->side < bench->writers ? HQQ_ROLE_PRIMARY : HQQ_ROLE_SECONDARY;
	if (pair->side == 0)
		error = hqq_standard_create(&end.link, pair->segment, BENCH_SLOTS, bench->size, 0600,
					    &options);
	if (error < 0)
		return failed(pair, "hqq_standard_create", error);
	pair_meet(pair);
	if (pair->side != 0)
		error = hqq_standard_open(&end.link, pair->segment, BENCH_SLOTS, bench->size, &options);
	if (error < 0)
		return failed(pair, "hqq_standard_open", error);
	if (many_run(pair, &way, &end) < 0)
		return -1;
	pair_meet(pair);
	error = hqq_standard_close(end.link);
	return error < 0 ? failed(pair, "hqq_standard_close", error) : 0;
}

void bench_add_many(struct bench_list *list)
{
	for (unsigned writers = 1; writers <= 4; writers++) {
		for (unsigned readers = 1; readers <= 4; readers++) {
			char name[40];

			many_name(name, writers, readers, NULL);
			struct bench_case *bench = bench_add(list, name, 64, "ring.locked");
			bench->unit = BENCH_RATE;
			bench->body = many;
			bench->wait = HQQ_WAIT_ADAPTIVE;
			bench->writers = writers;
			bench->readers = readers;
		}
	}
}
