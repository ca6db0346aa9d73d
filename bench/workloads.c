/*
 * workloads.c - the Standard link at work between two processes
 *
 * Each workload is compared with the limit that does the same without the library. Writers stamp
 * every cache line of a payload and readers check every stamp, in the limits as well as here.
 * Names: a case waits as the library does by default, unless ".spin" (HQQ_WAIT_SPIN) or ".block"
 * (HQQ_WAIT_BLOCK) is in its name; ".single" has HQQ_SINGLE_WRITER and HQQ_SINGLE_READER.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "bench.h"
#include <hqq.h>

#define BATCH_MOST 64

/* How messages are sent and received; WAY_BATCH + n: n at a time. */
enum way { WAY_COPY, WAY_CALLBACK, WAY_RESERVE, WAY_BATCH };

/* One end of a link, with the buffers of its process. */
struct end {
	struct pair *pair;
	hqq_standard *link;
	size_t size;
	uint64_t number; /* of the message in hand */
	bool wrong;      /* a payload was not what was sent */
	size_t batch;
	struct iovec messages[BATCH_MOST];
	unsigned char *buffers;
};

static unsigned char buffers[BATCH_MOST * BENCH_LARGEST];

static int library_error(struct pair *pair, const char *what, ssize_t error)
{
	return pair_fail(pair, what, error < 0 ? hqq_strerror((int)error) : "a short count");
}

/* Makes the segment, or opens it. */
static int open_link(struct end *end, struct pair *pair, bool create)
{
	const struct bench_case *bench = pair->bench;
	const size_t slots = bench->slots ? bench->slots : bench_slots(bench->size);
	const size_t bytes = bench->buffer ? bench->buffer : bench->size;
	struct hqq_options options = HQQ_OPTIONS_INIT;
	int error;

	memset(end, 0, sizeof(*end));
	end->pair = pair;
	end->size = bench->size;
	end->batch = bench->variant > WAY_BATCH ? bench->variant - WAY_BATCH : 1;
	end->buffers = buffers;
	options.wait = bench->wait;
	options.flags = bench->flags | HQQ_PREFAULT;
	if (create)
		error = hqq_standard_create(&end->link, pair->segment, slots, bytes, 0600, &options);
	else
		error = hqq_standard_open(&end->link, pair->segment, slots, bytes, &options);
	if (error < 0)
		return library_error(pair, create ? "hqq_standard_create" : "hqq_standard_open", error);
	return 0;
}

/* Side 0 makes the segment, side 1 opens it. */
static int open_end(struct end *end, struct pair *pair)
{
	if (pair->side == 0 && open_link(end, pair, true) < 0)
		return -1;
	pair_meet(pair);
	if (pair->side == 1 && open_link(end, pair, false) < 0)
		return -1;
	pair_begin(pair);
	return 0;
}

static int close_end(struct end *end)
{
	pair_end(end->pair);
	pair_meet(end->pair);
	int error = hqq_standard_close(end->link);
	return error < 0 ? library_error(end->pair, "hqq_standard_close", error) : 0;
}

/* ---- one message ----------------------------------------------------------------------------- */

static ssize_t fill(void *data, size_t capacity, void *argument)
{
	struct end *end = argument;

	if (capacity < end->size)
		return -1;
	bench_stamp(data, end->size, end->number);
	return (ssize_t)end->size;
}

static int look(const void *data, size_t length, void *argument)
{
	struct end *end = argument;

	if (length != end->size || !bench_stamped(data, length, end->number))
		end->wrong = true;
	return 0;
}

static inline int send_copy(struct end *end)
{
	bench_stamp(end->buffers, end->size, end->number);
	ssize_t sent = hqq_standard_write(end->link, end->buffers, end->size);
	if (sent != (ssize_t)end->size)
		return library_error(end->pair, "hqq_standard_write", sent);
	return 0;
}

static inline int receive_copy(struct end *end)
{
	ssize_t received = hqq_standard_read(end->link, end->buffers, end->size);

	if (received != (ssize_t)end->size)
		return library_error(end->pair, "hqq_standard_read", received);
	if (!bench_stamped(end->buffers, end->size, end->number))
		end->wrong = true;
	return 0;
}

static inline int send_callback(struct end *end)
{
	ssize_t sent = hqq_standard_write_zero_copy(end->link, fill, end);

	return sent < 0 ? library_error(end->pair, "hqq_standard_write_zero_copy", sent) : 0;
}

static inline int receive_callback(struct end *end)
{
	ssize_t received = hqq_standard_read_zero_copy(end->link, look, end);

	return received < 0 ? library_error(end->pair, "hqq_standard_read_zero_copy", received) : 0;
}

static inline int send_reserve(struct end *end)
{
	struct hqq_reservation slot;
	int error = hqq_standard_reserve_write(end->link, &slot);

	if (error < 0)
		return library_error(end->pair, "hqq_standard_reserve_write", error);
	bench_stamp(slot.data, end->size, end->number);
	error = hqq_standard_commit(&slot, end->size);
	return error < 0 ? library_error(end->pair, "hqq_standard_commit", error) : 0;
}

static inline int receive_reserve(struct end *end)
{
	struct hqq_reservation slot;
	int error = hqq_standard_reserve_read(end->link, &slot);

	if (error < 0)
		return library_error(end->pair, "hqq_standard_reserve_read", error);
	look(slot.data, slot.size, end);
	error = hqq_standard_release(&slot);
	return error < 0 ? library_error(end->pair, "hqq_standard_release", error) : 0;
}

static inline int send_one(struct end *end, enum way way)
{
	switch (way) {
	case WAY_CALLBACK:
		return send_callback(end);
	case WAY_RESERVE:
		return send_reserve(end);
	default:
		return send_copy(end);
	}
}

static inline int receive_one(struct end *end, enum way way)
{
	int result;

	switch (way) {
	case WAY_CALLBACK:
		result = receive_callback(end);
		break;
	case WAY_RESERVE:
		result = receive_reserve(end);
		break;
	default:
		result = receive_copy(end);
	}
	if (end->wrong)
		return pair_fail(end->pair, "reading", "a payload is not what was sent");
	return result;
}

/* ---- streams --------------------------------------------------------------------------------- */

static int send_stream(struct end *end, enum way way, uint64_t total)
{
	for (end->number = 0; end->number < total; end->number++) {
		if (send_one(end, way) < 0)
			return -1;
	}
	return 0;
}

static int receive_stream(struct end *end, enum way way, uint64_t warm, uint64_t total)
{
	uint64_t start = 0;

	for (end->number = 0; end->number < total; end->number++) {
		if (receive_one(end, way) < 0)
			return -1;
		if (end->number + 1 == warm)
			start = bench_now();
	}
	pair_result(end->pair, (double)(bench_now() - start) / (double)(total - warm));
	return 0;
}

static int send_batches(struct end *end, uint64_t total)
{
	for (uint64_t sent = 0; sent < total;) {
		size_t n = total - sent < end->batch ? (size_t)(total - sent) : end->batch;

		for (size_t i = 0; i < n; i++) {
			end->messages[i].iov_base = end->buffers + i * end->size;
			end->messages[i].iov_len = end->size;
			bench_stamp(end->messages[i].iov_base, end->size, sent + i);
		}
		ssize_t done = hqq_standard_write_batch(end->link, end->messages, n);
		if (done <= 0)
			return library_error(end->pair, "hqq_standard_write_batch", done);
		sent += (uint64_t)done;
	}
	return 0;
}

static int receive_batches(struct end *end, uint64_t warm, uint64_t total)
{
	uint64_t start = 0;
	uint64_t from = 0;
	uint64_t received = 0;

	while (received < total) {
		for (size_t i = 0; i < end->batch; i++) {
			end->messages[i].iov_base = end->buffers + i * end->size;
			end->messages[i].iov_len = end->size;
		}
		ssize_t done = hqq_standard_read_batch(end->link, end->messages, end->batch);
		if (done <= 0)
			return library_error(end->pair, "hqq_standard_read_batch", done);
		for (size_t i = 0; i < (size_t)done; i++) {
			if (end->messages[i].iov_len != end->size ||
			    !bench_stamped(end->messages[i].iov_base, end->size, received + i))
				return pair_fail(end->pair, "reading", "a payload is not what was sent");
		}
		received += (uint64_t)done;
		if (!from && received >= warm) {
			start = bench_now();
			from = received;
		}
	}
	pair_result(end->pair, (double)(bench_now() - start) / (double)(total - from));
	return 0;
}

/* Side 0 sends, side 1 receives. */
static int stream(struct pair *pair)
{
	enum way way = (enum way)pair->bench->variant;
	uint64_t total = pair->warm + pair->count;
	struct end end;
	int result;

	if (open_end(&end, pair) < 0)
		return -1;
	if (pair->side == 0)
		result = way > WAY_BATCH ? send_batches(&end, total) : send_stream(&end, way, total);
	else
		result = way > WAY_BATCH ? receive_batches(&end, pair->warm, total)
					 : receive_stream(&end, way, pair->warm, total);
	return result < 0 ? result : close_end(&end);
}

/* ---- round trips ----------------------------------------------------------------------------- */

static int pingpong(struct pair *pair)
{
	enum way way = (enum way)pair->bench->variant;
	struct watch watch = watch_of(pair);
	uint64_t total = pair_total(pair);
	struct end end;

	if (open_end(&end, pair) < 0)
		return -1;
	for (end.number = 0; end.number < total; end.number++) {
		if (pair->side == 0) {
			watch_tick(&watch, end.number);
			if (send_one(&end, way) < 0)
				return -1;
		}
		if (receive_one(&end, way) < 0)
			return -1;
		if (pair->side == 1 && send_one(&end, way) < 0)
			return -1;
	}
	if (pair->side == 0)
		watch_tick(&watch, total);
	return close_end(&end);
}

/* ---- one process ----------------------------------------------------------------------------- */

/*
 * One process writes a message and reads it again by a second handle: what the calls cost when no
 * cache line moves between processors.
 */
static int alone(struct pair *pair)
{
	enum way way = (enum way)pair->bench->variant;
	struct end out;
	struct end in;
	uint64_t start = 0;
	int result = 0;

	if (pair->side == 1)
		return 0;
	if (open_link(&out, pair, true) < 0 || open_link(&in, pair, false) < 0)
		return -1;
	for (uint64_t n = 0; result == 0 && n < pair->warm + pair->count; n++) {
		if (n == pair->warm)
			start = bench_now();
		in.number = out.number = n;
		if (send_one(&out, way) < 0 || receive_one(&in, way) < 0)
			result = -1;
	}
	pair_result(pair, (double)(bench_now() - start) / (double)pair->count);
	hqq_standard_close(in.link);
	hqq_standard_close(out.link);
	return result;
}

#define IDLE_SECONDS 1 /* long enough for the spin that it begins with not to count */

/* What side 1 costs while it waits for a message that does not come, in percent of a CPU. */
static int idle(struct pair *pair)
{
	const struct timespec a_while = {.tv_sec = IDLE_SECONDS};
	struct timespec until;
	struct end end;

	if (open_end(&end, pair) < 0)
		return -1;
	if (pair->side == 0) {
		nanosleep(&a_while, NULL);
	} else {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += IDLE_SECONDS;
		hqq_standard_set_read_deadline(end.link, &until);
		ssize_t received = hqq_standard_read(end.link, end.buffers, end.size);
		if (received != HQQ_ERR_TIMEOUT)
			return library_error(pair, "hqq_standard_read", received);
		pair_end(pair);
		pair_result(pair, 100 * pair_cpu(pair));
	}
	return close_end(&end);
}

/* ---- the list -------------------------------------------------------------------------------- */

static struct bench_case *add(struct bench_list *list, const char *name, size_t size, const char *limit,
			      bench_body *body, unsigned way, uint32_t wait, uint64_t flags)
{
	struct bench_case *bench = bench_add(list, name, size, limit);

	bench->unit = body == stream ? BENCH_RATE : BENCH_TIME;
	bench->body = body;
	bench->variant = way;
	bench->wait = wait;
	bench->flags = flags;
	bench->spins = wait == HQQ_WAIT_SPIN;
	bench->latency = body == pingpong;
	return bench;
}

#define SINGLE (HQQ_SINGLE_WRITER | HQQ_SINGLE_READER)

static void add_streams(struct bench_list *list, size_t size)
{
	const unsigned batch = WAY_BATCH + 32;

	add(list, "stream.copy", size, "ring.locked", stream, WAY_COPY, HQQ_WAIT_ADAPTIVE, 0);
	add(list, "stream.copy.spin", size, "ring.locked", stream, WAY_COPY, HQQ_WAIT_SPIN, 0);
	add(list, "stream.callback", size, "ring.locked", stream, WAY_CALLBACK, HQQ_WAIT_ADAPTIVE, 0);
	add(list, "stream.reserve", size, "ring.locked", stream, WAY_RESERVE, HQQ_WAIT_ADAPTIVE, 0);
	add(list, "stream.batch", size, "ring.eight", stream, batch, HQQ_WAIT_ADAPTIVE, 0);
	add(list, "stream.batch.spin", size, "ring.eight", stream, batch, HQQ_WAIT_SPIN, 0);
	add(list, "stream.single", size, "ring.plain", stream, WAY_COPY, HQQ_WAIT_ADAPTIVE, SINGLE);
	add(list, "stream.single.batch", size, "ring.plain", stream, batch, HQQ_WAIT_ADAPTIVE, SINGLE);
}

/* Batches of several sizes, with nothing promised about who else reads and writes. */
static void add_batches(struct bench_list *list)
{
	static const unsigned batches[] = {1, 2, 4, 8, 16, 64};

	for (unsigned i = 0; i < sizeof(batches) / sizeof(batches[0]); i++) {
		char name[40];

		snprintf(name, sizeof(name), "stream.batch-%u", batches[i]);
		add(list, name, 64, "ring.plain", stream, WAY_BATCH + batches[i], HQQ_WAIT_ADAPTIVE, 0);
	}
	add(list, "stream.single.spin", 64, "ring.plain", stream, WAY_COPY, HQQ_WAIT_SPIN, SINGLE);
}

/* Rings of several sizes. */
static void add_rings(struct bench_list *list)
{
	for (unsigned slots = 2; slots <= 65536; slots *= slots < 4 ? 2 : 4) {
		char name[40];

		snprintf(name, sizeof(name), "stream.slots-%u", slots);
		add(list, name, 64, "ring.locked", stream, WAY_COPY, HQQ_WAIT_ADAPTIVE, 0)->slots = slots;
	}
}

#define BUFFERS_BYTES (16u << 20) /* of one direction at most */

/* Small messages in buffers of several sizes; few slots where they are large. */
static void add_buffers(struct bench_list *list)
{
	for (size_t bytes = 64; bytes <= 1u << 20; bytes *= 4) {
		struct bench_case *bench;
		char name[40];

		snprintf(name, sizeof(name), "stream.buffer-%zu", bytes);
		bench = add(list, name, 64, "ring.locked", stream, WAY_COPY, HQQ_WAIT_ADAPTIVE, 0);
		bench->buffer = bytes;
		bench->slots = bytes * BENCH_SLOTS > BUFFERS_BYTES ? BUFFERS_BYTES / bytes : BENCH_SLOTS;
	}
}

void bench_add_round_trips(struct bench_list *list, size_t size)
{
	add(list, "pingpong.copy", size, NULL, pingpong, WAY_COPY, HQQ_WAIT_ADAPTIVE, 0);
	add(list, "pingpong.copy.spin", size, NULL, pingpong, WAY_COPY, HQQ_WAIT_SPIN, 0);
}

static void add_pingpongs(struct bench_list *list, size_t size)
{
	static const char limit[] = "line.payload";

	add(list, "pingpong.copy", size, limit, pingpong, WAY_COPY, HQQ_WAIT_ADAPTIVE, 0);
	add(list, "pingpong.copy.spin", size, limit, pingpong, WAY_COPY, HQQ_WAIT_SPIN, 0);
	if (size != 64)
		return;
	add(list, "pingpong.callback", size, limit, pingpong, WAY_CALLBACK, HQQ_WAIT_ADAPTIVE, 0);
	add(list, "pingpong.reserve", size, limit, pingpong, WAY_RESERVE, HQQ_WAIT_ADAPTIVE, 0);
	add(list, "pingpong.single", size, limit, pingpong, WAY_COPY, HQQ_WAIT_ADAPTIVE, SINGLE);
	add(list, "pingpong.single.spin", size, limit, pingpong, WAY_COPY, HQQ_WAIT_SPIN, SINGLE);
}

void bench_add_workloads(struct bench_list *list)
{
	for (unsigned i = 0; i < bench_size_count; i++) {
		add_pingpongs(list, bench_sizes[i]);
		add_streams(list, bench_sizes[i]);
	}
	add_batches(list);
	add_rings(list);
	add_buffers(list);
	add(list, "alone.copy", 64, "ring.alone", alone, WAY_COPY, HQQ_WAIT_ADAPTIVE, 0);
	add(list, "alone.reserve", 64, "ring.alone", alone, WAY_RESERVE, HQQ_WAIT_ADAPTIVE, 0);
	add(list, "alone.single", 64, "ring.alone", alone, WAY_COPY, HQQ_WAIT_ADAPTIVE, SINGLE);
	add(list, "wake.block", 64, "wake.futex", pingpong, WAY_COPY, HQQ_WAIT_BLOCK, 0);
	add(list, "wake.adaptive", 64, "wake.futex", pingpong, WAY_COPY, HQQ_WAIT_ADAPTIVE, 0);

	struct bench_case *bench = add(list, "idle", 64, NULL, idle, WAY_COPY, HQQ_WAIT_ADAPTIVE, 0);
	bench->unit = BENCH_IDLE;
	bench->step = bench->most = 1;
}
