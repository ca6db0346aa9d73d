/*
 * test_adv_stream.c - messages that pass through without ever being whole in memory
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COUNT 4
#define SIZE 64
#define MIB (UINT64_C(1) << 20)
#define OWN_ERROR (-7000)

/* Every block of 4096 bytes of a stream has one value. */
static unsigned char value_at(uint64_t offset)
{
	uint64_t block = offset / 4096;

	return (unsigned char)(block * 37 + (block >> 8) + 1);
}

/* ---- the two ends of a stream ------------------------------------------------------------------ */

struct source {
	hqq_advanced *handle;
	uint64_t connection_id, total;
	size_t most;        /* bytes per call of the function; 0: as many as it may */
	uint64_t odd_at;    /* from this offset on, if odd is set, the function does not fill */
	enum { ODD_NOT, ODD_RETURN, ODD_PAUSE } odd;
	ssize_t odd_value;
	uint64_t patience;  /* ms; 0: PATIENT */
	_Atomic bool pauses;
	_Atomic bool go_on; /* ends a pause */
	_Atomic bool done;
	uint64_t next;
	int rc;
	pthread_t thread;
};

static ssize_t fill(uint64_t offset, void *data, size_t capacity, void *argument)
{
	struct source *source = argument;
	size_t length = source->most && source->most < capacity ? source->most : capacity;
	const size_t block = (size_t)(4096 - offset % 4096);

	MUST(offset == source->next);
	MUST(capacity > 0);
	if (source->odd == ODD_RETURN && offset >= source->odd_at)
		return source->odd_value ? source->odd_value : 0;
	while (source->odd == ODD_PAUSE && offset >= source->odd_at && !source->go_on) {
		source->pauses = true; /* all before this chunk is on its way */
		test_sleep_ms(1);
	}
	if (length > block)
		length = block;
	memset(data, value_at(offset), length);
	source->next += length;
	return (ssize_t)length;
}

static void *send_stream(void *argument)
{
	struct source *source = argument;

	source->rc = hqq_advanced_send_stream(source->handle,
					      source->patience ? WITHIN_MS(source->patience) : PATIENT,
					      source->connection_id, source->total, fill, source);
	source->done = true;
	return NULL;
}

static void source_start(struct source *source)
{
	MUST_EQ(pthread_create(&source->thread, NULL, send_stream, source), 0);
}

static int source_join(struct source *source)
{
	MUST_EQ(pthread_join(source->thread, NULL), 0);
	return source->rc;
}

struct sink {
	size_t size; /* of a buffer */
	uint64_t connection_id, total;
	uint64_t fail_at; /* from this offset on the function returns OWN_ERROR; UINT64_MAX: never */
	uint64_t next;
	_Atomic uint64_t calls;
	uint64_t message_id;
};

static int take(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
		size_t length, void *argument)
{
	struct sink *sink = argument;
	const unsigned char *bytes = data;
	size_t i;

	MUST(hqq_message_is_data(head));
	MUST(head->payload == NULL && head->payload_size == 0);
	MUST_EQ(head->connection_id, sink->connection_id);
	MUST(head->message_id > 0 && (!sink->calls || head->message_id == sink->message_id));
	sink->message_id = head->message_id;
	MUST_EQ(total, sink->total);
	MUST_EQ(offset, sink->next);
	MUST_EQ(length, total - offset < sink->size ? total - offset : sink->size);
	for (i = 0; i < length; i += (size_t)(4096 - (offset + i) % 4096)) {
		size_t rest = length - i, block = (size_t)(4096 - (offset + i) % 4096);

		if (rest > block)
			rest = block;
		MUST(bytes[i] == value_at(offset + i));
		MUST(memcmp(bytes + i, bytes + i + 1, rest - 1) == 0);
	}
	sink->next += length;
	sink->calls++;
	return offset >= sink->fail_at ? OWN_ERROR : 1; /* what is not negative means to go on */
}

static int receive_stream(hqq_advanced *handle, struct sink *sink, uint64_t patience)
{
	return hqq_advanced_receive_stream(handle, patience ? WITHIN_MS(patience) : PATIENT, take, sink);
}

static struct sink sink_of(const struct source *source, size_t size)
{
	return (struct sink){size, source->connection_id, source->total, UINT64_MAX, 0, 0, 0};
}

/* ---- sizes ------------------------------------------------------------------------------------- */

static const uint64_t sizes[] = {0,         1,         SIZE - 1,         SIZE,           SIZE + 1,
				 2 * SIZE,  5 * SIZE,  5 * SIZE + 1,     6 * SIZE - 1,   4095,
				 4096,      4097,      100000};
#define SIZES ((int)(sizeof(sizes) / sizeof(*sizes)))

/* Both ways, the function filling as much as it may, a little at a time, and byte by byte. */
START_TEST(all_sizes)
{
	const size_t most[] = {0, 23, 1};
	struct adv_pair pair;
	unsigned i, from;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	for (i = 0; i < 6; i++) {
		struct source source = {.handle = pair.side[from = i % 2], .connection_id = i,
					.total = sizes[_i], .most = most[i / 2]};
		struct sink sink = sink_of(&source, SIZE);

		source_start(&source);
		MUST_EQ(receive_stream(pair.side[!from], &sink, 0), 0);
		MUST_EQ(source_join(&source), 0);
		MUST_EQ(source.next, source.total);
		MUST_EQ(sink.next, source.total);
		MUST_EQ(sink.calls, source.total ? (source.total + SIZE - 1) / SIZE : 1);
	}
	MUST_EQ(adv_stats(pair.side[0]).large_messages_sent, 3);
	MUST_EQ(adv_stats(pair.side[0]).large_bytes_sent, 3 * sizes[_i]);
	MUST_EQ(adv_stats(pair.side[1]).large_messages_received, 3);
	MUST_EQ(adv_stats(pair.side[1]).large_bytes_received, 3 * sizes[_i]);
	adv_pair_close(&pair);
}
END_TEST

/*
 * A stream at one end, an ordinary message at the other; and a message that is whole in memory before
 * anybody asks for a stream: it comes in the same chunks.
 */
START_TEST(streams_are_messages)
{
	struct source source = {.connection_id = 7, .total = sizes[_i]};
	struct sink sink = sink_of(&source, SIZE);
	struct hqq_message message;
	struct adv_pair pair;
	char buffer[4];
	uint64_t i;

	adv_pair_open(&pair, 2048, SIZE, NULL, NULL);
	source.handle = pair.side[0];
	send_stream(&source);
	MUST_EQ(source.rc, 0);
	MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &message), 0);
	MUST_EQ(message.connection_id, 7);
	MUST_EQ(message.payload_size, source.total);
	for (i = 0; i < source.total; i++)
		MUST(((unsigned char *)message.payload)[i] == value_at(i));
	MUST_EQ(hqq_advanced_send_large(pair.side[0], PATIENT, 7, message.payload, (size_t)sizes[_i], NULL), 0);
	hqq_message_clear(&message);
	MUST_EQ(hqq_advanced_write(pair.side[0], PATIENT, "over", 4), 4);
	if (sizes[_i] % 2) /* else the stream is asked for first */
		MUST_EQ(hqq_advanced_read(pair.side[1], PATIENT, buffer, 4), 4);
	MUST_EQ(receive_stream(pair.side[1], &sink, 0), 0);
	MUST_EQ(sink.next, source.total);
	MUST_EQ(sink.calls, source.total ? (source.total + SIZE - 1) / SIZE : 1);
	adv_pair_close(&pair);
}
END_TEST

static unsigned long peak_kib(void)
{
	unsigned long value = 0;
	char line[128];
	FILE *file = fopen("/proc/self/status", "r");

	MUST(file != NULL);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "VmHWM: %lu", &value);
	fclose(file);
	MUST(value > 0);
	return value;
}

/* A GiB takes its time where the processor is shared, and both ends have to wait for each other. */
#define LONG_MS (UINT64_C(50000) * test_slowness())

/* Far more than either end would take as one message, and no more memory than before. */
START_TEST(memory_stays_bounded)
{
	const struct hqq_advanced_options options = adv_options(0, 1000, 0, 0);
	struct source source = {.total = 1024 * MIB / test_slowness() + 1, .patience = LONG_MS};
	struct sink sink = sink_of(&source, 65536);
	struct adv_pair pair;
	unsigned long before;
	FILE *file = fopen("/proc/self/clear_refs", "w");

	if (file) { /* forgets the peaks of earlier tests, where they ran in this process */
		fputs("5", file);
		fclose(file);
	}
	adv_pair_open(&pair, 8, 65536, &options, &options);
	before = peak_kib();
	source.handle = pair.side[0];
	source_start(&source);
	MUST_EQ(receive_stream(pair.side[1], &sink, LONG_MS), 0);
	MUST_EQ(source_join(&source), 0);
	MUST(sink.next == source.total);
	fprintf(stderr, "%llu MiB grew the process from %lu to %lu KiB\n",
		(unsigned long long)(source.total / MIB), before, peak_kib());
	MUST(peak_kib() - before < 8192 * (test_slowness() > 1 ? 4UL : 1UL));
	adv_pair_close(&pair);
}
END_TEST

/* ---- given up ---------------------------------------------------------------------------------- */

/* After anything that went wrong: an ordinary message and a stream both go through. */
static void still_works(struct adv_pair *pair)
{
	struct source source = {.handle = pair->side[0], .total = 10 * SIZE + 1};
	struct sink sink = sink_of(&source, SIZE);

	source_start(&source);
	MUST_EQ(receive_stream(pair->side[1], &sink, 0), 0);
	MUST_EQ(source_join(&source), 0);
	adv_push(pair->side[0], 2, 2 * SIZE, 9);
	adv_pull(pair->side[1], 2, 2 * SIZE, 9);
}

/* Takes what is left of a stream that nobody wants, as long as it may come; none of it is a message. */
static void swallow(hqq_advanced *handle, struct source *source)
{
	struct hqq_message message;
	bool done;

	do {
		done = source->done; /* then all of it is in the ring: one more look takes it */
		MUST_EQ(hqq_advanced_receive(handle, WITHIN_MS(5), &message), HQQ_ERR_TIMEOUT);
	} while (!done);
	MUST_EQ(source_join(source), 0);
}

/* The receiver's function fails at chunk _i: the rest is swallowed, the sender notices nothing. */
START_TEST(the_receiver_gives_up)
{
	struct source source = {.connection_id = 1, .total = 10 * SIZE};
	struct sink sink = sink_of(&source, SIZE);
	struct adv_pair pair;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	source.handle = pair.side[0];
	sink.fail_at = (uint64_t)_i * SIZE;
	source_start(&source);
	MUST_EQ(receive_stream(pair.side[1], &sink, 0), OWN_ERROR);
	MUST_EQ(sink.calls, _i + 1);
	swallow(pair.side[1], &source);
	still_works(&pair);
	adv_pair_close(&pair);
}
END_TEST

static const struct {
	ssize_t value;
	int rc;
} odd_values[] = {{0, HQQ_ERR_ABORTED}, {OWN_ERROR, OWN_ERROR}, {SIZE + 1, HQQ_ERR_BUFFER_OVERFLOW}};

/*
 * The sender's function fails in chunk _i / 3; nothing was begun when that is the first. The ring has
 * room for the word of it.
 */
START_TEST(the_sender_gives_up)
{
	const unsigned chunk = (unsigned)_i / 3;
	struct source source = {.connection_id = 1, .total = 10 * SIZE, .odd = ODD_RETURN};
	struct sink sink = sink_of(&source, SIZE);
	struct adv_pair pair;

	adv_pair_open(&pair, 16, SIZE, NULL, NULL);
	source.handle = pair.side[0];
	source.odd_at = chunk * SIZE;
	source.odd_value = odd_values[_i % 3].value;
	source_start(&source);
	if (chunk == 0)
		MUST_EQ(receive_stream(pair.side[1], &sink, 20), HQQ_ERR_TIMEOUT);
	else
		MUST_EQ(receive_stream(pair.side[1], &sink, 0), HQQ_ERR_ABORTED);
	MUST_EQ(sink.calls, chunk);
	MUST_EQ(source_join(&source), odd_values[_i % 3].rc);
	MUST_EQ(adv_stats(pair.side[0]).large_messages_sent, 0);
	MUST_EQ(adv_stats(pair.side[1]).large_messages_received, 0);
	MUST_EQ(adv_stats(pair.side[1]).aborted, chunk > 0);
	still_works(&pair);
	adv_pair_close(&pair);
}
END_TEST

/*
 * Nobody takes the chunks. The receiver then finds what was sent, and that it was given up: that word
 * goes out when there is room, though the sender makes no other call.
 */
START_TEST(the_sender_times_out)
{
	struct source source = {.total = 10 * SIZE, .patience = 5};
	struct sink sink = sink_of(&source, SIZE);
	struct adv_pair pair;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	source.handle = pair.side[0];
	source_start(&source);
	MUST_EQ(source_join(&source), HQQ_ERR_TIMEOUT);
	MUST_EQ(source.next, COUNT * SIZE);
	MUST_EQ(receive_stream(pair.side[1], &sink, 0), HQQ_ERR_ABORTED);
	MUST_EQ(sink.calls, COUNT);
	still_works(&pair);
	adv_pair_close(&pair);
}
END_TEST

struct canceller {
	hqq_context context;
	struct sink *sink;
};

/* When two chunks were taken. */
static void *cancel_later(void *argument)
{
	struct canceller *canceller = argument;

	while (canceller->sink->calls < 2)
		test_sleep_ms(1);
	MUST_EQ(hqq_context_cancel(&canceller->context), 0);
	return NULL;
}

/* The receiver's wait ends between two chunks, by its deadline or cancelled; the rest is swallowed. */
START_TEST(the_receiver_times_out)
{
	struct source source = {.total = 10 * SIZE, .odd = ODD_PAUSE, .odd_at = 2 * SIZE};
	struct sink sink = sink_of(&source, SIZE);
	struct canceller canceller = {HQQ_CONTEXT_INIT, &sink};
	struct adv_pair pair;
	pthread_t thread;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	source.handle = pair.side[0];
	source_start(&source);
	/* what lies in the ring is taken even by a wait that is late */
	while (!source.pauses)
		test_sleep_ms(1);
	if (_i) {
		MUST_EQ(pthread_create(&thread, NULL, cancel_later, &canceller), 0);
		MUST_EQ(hqq_advanced_receive_stream(pair.side[1], &canceller.context, take, &sink),
			HQQ_ERR_CANCELED);
		MUST_EQ(pthread_join(thread, NULL), 0);
	} else {
		MUST_EQ(receive_stream(pair.side[1], &sink, 50), HQQ_ERR_TIMEOUT);
	}
	MUST_EQ(sink.calls, 2);
	source.go_on = true;
	swallow(pair.side[1], &source);
	still_works(&pair);
	adv_pair_close(&pair);
}
END_TEST

/* ---- what may not be ---------------------------------------------------------------------------- */

static int wait_inside(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
		       size_t length, void *argument)
{
	hqq_advanced *handle = argument;
	struct hqq_message message;

	(void)head, (void)total, (void)offset, (void)data, (void)length;
	MUST_EQ(hqq_advanced_receive(handle, PATIENT, &message), HQQ_ERR_INVALID_OP);
	return OWN_ERROR;
}

static void *send_one(void *argument)
{
	adv_push(argument, 0, 3 * SIZE, 1);
	return NULL;
}

START_TEST(what_may_not_be)
{
	struct source source = {.total = SIZE};
	struct sink sink = sink_of(&source, SIZE);
	struct adv_pair pair;
	pthread_t thread;

	adv_open(&pair, COUNT, SIZE, NULL, NULL);
	MUST_EQ(receive_stream(pair.side[1], &sink, 0), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_send_stream(pair.side[0], AT_ONCE, 0, 1, fill, &source), HQQ_ERR_INVALID_OP);
	adv_agree(&pair, ADV_ALL);
	MUST_EQ(hqq_advanced_receive_stream(pair.side[1], AT_ONCE, NULL, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_send_stream(pair.side[0], AT_ONCE, 0, 1, NULL, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_send_stream(pair.side[0], PATIENT, 0, 0, NULL, NULL), 0);
	adv_pull(pair.side[1], 0, 0, 0);
	/* a function that waits on its own handle */
	MUST_EQ(pthread_create(&thread, NULL, send_one, pair.side[0]), 0);
	MUST_EQ(hqq_advanced_receive_stream(pair.side[1], PATIENT, wait_inside, pair.side[1]), OWN_ERROR);
	MUST_EQ(pthread_join(thread, NULL), 0);
	still_works(&pair);
	adv_pair_close(&pair);
}
END_TEST

struct busy {
	hqq_advanced *handle;
	struct sink sink;
};

static void *receive_one(void *argument)
{
	struct busy *busy = argument;

	MUST_EQ(receive_stream(busy->handle, &busy->sink, 0), 0);
	return NULL;
}

START_TEST(one_at_a_time)
{
	struct source source = {.total = 10 * SIZE, .odd = ODD_PAUSE, .odd_at = 3 * SIZE};
	struct busy busy = {.sink = sink_of(&source, SIZE)};
	struct sink other = sink_of(&source, SIZE);
	struct adv_pair pair;
	pthread_t thread;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	source.handle = pair.side[0];
	busy.handle = pair.side[1];
	MUST_EQ(pthread_create(&thread, NULL, receive_one, &busy), 0);
	source_start(&source);
	while (busy.sink.calls == 0) /* the one that comes second is refused, whichever that is */
		test_sleep_ms(1);
	MUST_EQ(receive_stream(pair.side[1], &other, 0), -EBUSY);
	source.go_on = true;
	MUST_EQ(pthread_join(thread, NULL), 0);
	MUST_EQ(source_join(&source), 0);
	still_works(&pair);
	adv_pair_close(&pair);
}
END_TEST

/* ---- beside calls ------------------------------------------------------------------------------ */

static hqq_advanced *caller;
static _Atomic bool over;
static _Atomic unsigned calls;

static void call_on(void *argument, unsigned index)
{
	(void)argument;
	while (!over) {
		adv_echo(caller, index, 100 + index, calls);
		calls++;
	}
}

static void *run_callers(void *argument)
{
	test_run_threads(3, call_on, argument);
	return NULL;
}

/* A stream each way, while threads of one side call and the other side serves. */
START_TEST(beside_calls)
{
	const struct hqq_advanced_options options = adv_options((uint32_t)_i, 0, 0, 0);
	/* some hundred ringfuls, each a wake-up or more, which may have to wait for the processor */
	struct source there = {.total = MIB / 8 / test_slowness()};
	struct source back = {.connection_id = 9, .total = there.total};
	struct busy busy = {.sink = sink_of(&back, SIZE)};
	struct sink sink = sink_of(&there, SIZE);
	struct adv_server server;
	struct adv_pair pair;
	pthread_t callers, thread;

	over = false;
	calls = 0;
	adv_pair_open(&pair, 16, SIZE, &options, &options);
	there.handle = busy.handle = caller = pair.side[0];
	back.handle = pair.side[1];
	adv_server_start(&server, pair.side[1]);
	MUST_EQ(pthread_create(&callers, NULL, run_callers, NULL), 0);
	while (calls == 0)
		test_sleep_ms(1);
	MUST_EQ(pthread_create(&thread, NULL, receive_one, &busy), 0);
	source_start(&there);
	test_sleep_ms(20); /* so that the other receives the stream, not a whole message */
	source_start(&back);
	MUST_EQ(receive_stream(pair.side[1], &sink, 0), 0);
	MUST_EQ(source_join(&there), 0);
	MUST_EQ(source_join(&back), 0);
	MUST_EQ(pthread_join(thread, NULL), 0);
	MUST_EQ(sink.next, there.total);
	MUST_EQ(busy.sink.next, back.total);
	over = true;
	MUST_EQ(pthread_join(callers, NULL), 0);
	MUST_EQ(adv_server_stop(&server), HQQ_ERR_CANCELED);
	adv_pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: streams");
	TCase *cases = test_case(suite, "sizes", 30);

	tcase_add_loop_test(cases, all_sizes, 0, SIZES);
	tcase_add_loop_test(cases, streams_are_messages, 0, SIZES);
	cases = test_case(suite, "memory", 60);
	tcase_add_test(cases, memory_stays_bounded);
	cases = test_case(suite, "given up", 20);
	tcase_add_loop_test(cases, the_receiver_gives_up, 0, 10);
	tcase_add_loop_test(cases, the_sender_gives_up, 0, 30);
	tcase_add_test(cases, the_sender_times_out);
	tcase_add_loop_test(cases, the_receiver_times_out, 0, 2);
	cases = test_case(suite, "rules", 20);
	tcase_add_test(cases, what_may_not_be);
	tcase_add_test(cases, one_at_a_time);
	cases = test_case(suite, "beside calls", 40);
	tcase_add_loop_test(cases, beside_calls, 0, 3);
	return test_main(suite);
}
