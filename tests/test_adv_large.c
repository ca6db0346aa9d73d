/*
 * test_adv_large.c - messages of all sizes, their limits, and receiving them
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNT 8
#define SIZE 64
#define MIB (UINT64_C(1) << 20)

struct push {
	hqq_advanced *handle;
	size_t length;
	unsigned times;
	_Atomic pid_t tid;
};

static void *push(void *argument)
{
	struct push *job = argument;
	unsigned i;

	for (i = 0; i < job->times; i++)
		adv_push(job->handle, i, job->length, i);
	return NULL;
}

/* From one side to the other, with a thread that sends. */
static void transfer(struct adv_pair *pair, int from, size_t length, unsigned times)
{
	struct push job = {pair->side[from], length, times, 0};
	pthread_t thread;
	unsigned i;

	MUST_EQ(pthread_create(&thread, NULL, push, &job), 0);
	for (i = 0; i < times; i++)
		adv_pull(pair->side[1 - from], i, length, i);
	MUST_EQ(pthread_join(thread, NULL), 0);
}

START_TEST(sizes_round_a_buffer)
{
	const size_t sizes[] = {0,
				1,
				SIZE - 1,
				SIZE,
				SIZE + 1,
				2 * SIZE - 1,
				2 * SIZE,
				2 * SIZE + 1,
				(COUNT - 1) * SIZE,
				COUNT * SIZE};
	struct adv_pair pair;
	size_t i;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	for (i = 0; i < 2 * sizeof(sizes) / sizeof(*sizes); i++) { /* all of these fit the ring: one thread */
		adv_push(pair.side[i % 2], i, sizes[i / 2], i);
		adv_pull(pair.side[1 - i % 2], i, sizes[i / 2], i);
	}
	adv_pair_close(&pair);
}
END_TEST

/* _i: the buffer size as 8 << _i */
START_TEST(sizes_beyond_the_ring)
{
	const size_t size = (size_t)8 << _i;
	struct adv_pair pair;
	size_t length;

	adv_pair_open(&pair, 4, size, NULL, NULL);
	for (length = 4 * size + 1; length < 100 * size; length = length * 2 - 1)
		transfer(&pair, _i % 2, length, 3);
	adv_pair_close(&pair);
}
END_TEST

START_TEST(random_sizes)
{
	uint64_t state = test_seed();
	struct adv_pair pair;
	struct test_quota quota;
	unsigned i;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	test_quota_begin(&quota, 200 / test_slowness(), 20);
	for (i = 0; test_quota_next(&quota, i, 1) > 0; i++)
		transfer(&pair, (int)i % 2, (size_t)(test_random(&state) % 10000), 1);
	adv_pair_close(&pair);
}
END_TEST

START_TEST(ids_count_from_one)
{
	struct hqq_message message;
	struct adv_pair pair;
	uint64_t i, id;
	int side;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	for (side = 0; side < 2; side++) {
		for (i = 1; i < 5; i++) {
			MUST_EQ(hqq_advanced_send_large(pair.side[side], PATIENT, 9, "abc", 3, &id), 0);
			MUST_EQ(id, i);
			MUST_EQ(hqq_advanced_receive(pair.side[1 - side], PATIENT, &message), 0);
			MUST_EQ(message.message_id, i);
			MUST_EQ(message.connection_id, 9);
			hqq_message_clear(&message);
			MUST(message.payload == NULL && message.payload_size == 0 && message.message_id == 0);
			hqq_message_clear(&message);
		}
	}
	hqq_message_clear(NULL);
	adv_pair_close(&pair);
}
END_TEST

START_TEST(order_is_kept)
{
	struct adv_pair pair;
	unsigned i;

	adv_pair_open(&pair, COUNT, SIZE, NULL, NULL);
	for (i = 0; i < COUNT; i++)
		adv_push(pair.side[0], i, i + 1, i);
	for (i = 0; i < COUNT; i++)
		adv_pull(pair.side[1], i, i + 1, i);
	MUST_EQ(hqq_advanced_receive(pair.side[1], AT_ONCE, &(struct hqq_message){.flags = 0}),
		HQQ_ERR_TIMEOUT);
	adv_pair_close(&pair);
}
END_TEST

START_TEST(what_may_not_be_sent)
{
	const struct hqq_advanced_options options = adv_options(0, 1000, 0, 0);
	static char bytes[1001];
	struct adv_pair pair;
	uint64_t id = 4711;

	adv_pair_open(&pair, 32, SIZE, &options, &options);
	MUST_EQ(hqq_advanced_send_large(pair.side[0], PATIENT, 0, NULL, 1, &id), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_send_large(pair.side[0], PATIENT, 0, bytes, 1001, &id), HQQ_ERR_BUFFER_OVERFLOW);
	MUST_EQ(hqq_advanced_send_large(pair.side[0], PATIENT, 0, bytes, SIZE_MAX, &id),
		HQQ_ERR_BUFFER_OVERFLOW);
	MUST_EQ(id, 4711);
	MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_advanced_receive(pair.side[1], AT_ONCE, &(struct hqq_message){.flags = 0}),
		HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_advanced_send_large(pair.side[0], PATIENT, 0, NULL, 0, NULL), 0);
	adv_pull(pair.side[1], 0, 0, 0);
	adv_push(pair.side[0], 0, 1000, 1);
	adv_pull(pair.side[1], 0, 1000, 1);
	adv_pair_close(&pair);
}
END_TEST

/* The receiver takes less than the sender may send: that message is refused, the next one is not. */
START_TEST(more_than_the_receiver_takes)
{
	const struct hqq_advanced_options options = adv_options(0, 1000, 0, 0);
	struct adv_pair pair;

	adv_pair_open(&pair, 32, SIZE, NULL, &options);
	adv_push(pair.side[0], 0, 1001, 1);
	adv_push(pair.side[0], 5, 1000, 2);
	adv_pull(pair.side[1], 5, 1000, 2);
	MUST(adv_stats(pair.side[1]).refused > 0);
	MUST_EQ(adv_stats(pair.side[1]).large_messages_received, 1);
	adv_pair_close(&pair);
}
END_TEST

/* The default limit, to the byte. */
START_TEST(sixty_four_mebibytes)
{
	struct adv_pair pair;
	struct hqq_advanced_stats stats;
	void *bytes = calloc(1, 64 * MIB + 1);

	MUST(bytes != NULL);
	adv_pair_open(&pair, 16, 65536, NULL, NULL);
	MUST_EQ(hqq_advanced_max_message_size(pair.side[0]), 64 * MIB);
	MUST_EQ(hqq_advanced_send_large(pair.side[0], PATIENT, 0, bytes, 64 * MIB + 1, NULL),
		HQQ_ERR_BUFFER_OVERFLOW);
	free(bytes);
	transfer(&pair, 0, 64 * MIB, 1);
	stats = adv_stats(pair.side[0]);
	MUST_EQ(stats.large_messages_sent, 1);
	MUST_EQ(stats.large_bytes_sent, 64 * MIB);
	MUST_EQ(stats.large_messages_received, 0);
	stats = adv_stats(pair.side[1]);
	MUST_EQ(stats.large_messages_received, 1);
	MUST_EQ(stats.large_bytes_received, 64 * MIB);
	MUST_EQ(stats.large_messages_sent, 0);
	MUST_EQ(stats.dropped + stats.refused + stats.aborted, 0);
	adv_pair_close(&pair);
}
END_TEST

/* Given up in the middle: the receiver is told, and the next message is whole. */
START_TEST(a_send_that_times_out)
{
	struct hqq_message message;
	struct adv_pair pair;
	static char bytes[100 * SIZE];
	uint64_t id = 4711;
	int status;

	adv_pair_open(&pair, 4, SIZE, NULL, NULL);
	MUST_EQ(hqq_advanced_send_large(pair.side[0], WITHIN_MS(5), 3, bytes, sizeof(bytes), &id),
		HQQ_ERR_TIMEOUT);
	MUST_EQ(id, 4711);
	/*
	 * The receiver makes room for the abort. The sender's dispatcher may be quick enough for
	 * this very call to find it there; if not, it is sent before the next message.
	 */
	status = hqq_advanced_receive(pair.side[1], AT_ONCE, &message);
	MUST(status == 0 || status == HQQ_ERR_TIMEOUT);
	adv_push(pair.side[0], 0, SIZE, 7);
	if (status == HQQ_ERR_TIMEOUT)
		MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &message), 0);
	MUST(hqq_message_is_abort(&message));
	MUST(!hqq_message_is_data(&message));
	MUST_EQ(message.connection_id, 3);
	MUST_EQ(message.message_id, 1);
	MUST(message.payload == NULL && message.payload_size == 0);
	hqq_message_clear(&message);
	adv_pull(pair.side[1], 0, SIZE, 7);
	MUST_EQ(adv_stats(pair.side[1]).aborted, 1);
	MUST_EQ(adv_stats(pair.side[0]).large_messages_sent, 1);
	adv_pair_close(&pair);
}
END_TEST

/* ---- several at once --------------------------------------------------------------------------- */

#define SENDERS 4
#define EACH 50

static struct adv_pair crowd;

/* The connection tells the sender, the length the number of the message. */
static void send_many(void *argument, unsigned index)
{
	unsigned i;

	(void)argument;
	for (i = 0; i < EACH; i++)
		adv_push(crowd.side[0], index + 1, 3 * SIZE + i, i);
}

static void *run_senders(void *argument)
{
	test_run_threads(SENDERS, send_many, argument);
	return NULL;
}

START_TEST(chunks_of_several_senders_interleave)
{
	unsigned next[SENDERS] = {0}, i;
	pthread_t thread;

	adv_pair_open(&crowd, 4, SIZE, NULL, NULL);
	MUST_EQ(pthread_create(&thread, NULL, run_senders, NULL), 0);
	for (i = 0; i < SENDERS * EACH; i++) {
		struct hqq_message message;
		unsigned sender;

		MUST_EQ(hqq_advanced_receive(crowd.side[1], PATIENT, &message), 0);
		sender = (unsigned)message.connection_id - 1;
		MUST(sender < SENDERS);
		MUST_EQ(message.payload_size, 3 * SIZE + next[sender]); /* each sender's in its order */
		MUST_EQ(test_verify(message.payload, message.payload_size, next[sender]), -1);
		next[sender]++;
		hqq_message_clear(&message);
	}
	MUST_EQ(pthread_join(thread, NULL), 0);
	adv_pair_close(&crowd);
}
END_TEST

static _Atomic unsigned received;

/* Whoever takes the last message ends the waits of the others. */
static void receive_some(void *argument, unsigned index)
{
	(void)index;
	for (;;) {
		struct hqq_message message;
		int rc = hqq_advanced_receive(crowd.side[1], argument, &message);

		if (rc == HQQ_ERR_CANCELED)
			break;
		MUST_EQ(rc, 0);
		MUST_EQ(test_verify(message.payload, message.payload_size, message.payload_size - 3 * SIZE),
			-1);
		hqq_message_clear(&message);
		if (++received == SENDERS * EACH)
			MUST_EQ(hqq_context_cancel(argument), 0);
	}
}

START_TEST(several_receivers_share)
{
	pthread_t thread;

	received = 0;
	adv_pair_open(&crowd, 4, SIZE, NULL, NULL);
	MUST_EQ(pthread_create(&thread, NULL, run_senders, NULL), 0);
	test_run_threads(4, receive_some, PATIENT);
	MUST_EQ(received, SENDERS * EACH);
	MUST_EQ(pthread_join(thread, NULL), 0);
	MUST_EQ(hqq_advanced_receive(crowd.side[1], AT_ONCE, &(struct hqq_message){.flags = 0}),
		HQQ_ERR_TIMEOUT);
	adv_pair_close(&crowd);
}
END_TEST

static void *pull(void *argument)
{
	struct push *job = argument;
	unsigned i;

	job->tid = (pid_t)syscall(SYS_gettid);
	for (i = 0; i < job->times; i++)
		adv_pull(job->handle, i, job->length, i);
	return NULL;
}

/* How long it takes to send so many messages of two ringfuls each. */
static uint64_t time_sending(struct adv_pair *pair, unsigned times)
{
	const uint64_t began = test_now_ns();
	uint64_t took;

	transfer(pair, 0, 8 * SIZE, times);
	took = test_now_ns() - began;
	fprintf(stderr, "%u messages of two ringfuls took %llu us\n", times, (unsigned long long)took / 1000);
	return took;
}

/* A thread that receives must not slow down one that sends: room wakes the sender, not a timer. */
START_TEST(sending_beside_receiving)
{
	const unsigned times = 200 / test_slowness();
	struct push here = {NULL, SIZE, 1, 0};
	struct adv_pair pair;
	pthread_t thread;
	uint64_t alone, limit;

	adv_pair_open(&pair, 4, SIZE, NULL, NULL);
	alone = time_sending(&pair, times);
	here.handle = pair.side[0];
	MUST_EQ(pthread_create(&thread, NULL, pull, &here), 0); /* waits all the time */
	while (here.tid == 0)
		test_sleep_ms(1);
	test_wait_asleep(getpid(), here.tid);
	/*
	 * On a timer of even 10 ms a ringful they would take 4 s more. What the machine itself needs to
	 * wake up now one, now the other can be seconds, too, where others want the processor: two more
	 * wake-ups for each, at most. Late once or twice may be the machine, which stood still.
	 */
	limit = 4 * alone + UINT64_C(2000000000) * test_slowness();
	MUST(time_sending(&pair, times) < limit || time_sending(&pair, times) < limit ||
	     time_sending(&pair, times) < limit);
	adv_push(pair.side[1], 0, SIZE, 0);
	MUST_EQ(pthread_join(thread, NULL), 0);
	adv_pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: large messages");
	TCase *cases = test_case(suite, "sizes", 30);

	tcase_add_test(cases, sizes_round_a_buffer);
	tcase_add_loop_test(cases, sizes_beyond_the_ring, 0, 12);
	tcase_add_test(cases, random_sizes);
	tcase_add_test(cases, sixty_four_mebibytes);
	cases = test_case(suite, "one by one", 30);
	tcase_add_test(cases, ids_count_from_one);
	tcase_add_test(cases, order_is_kept);
	tcase_add_test(cases, what_may_not_be_sent);
	tcase_add_test(cases, more_than_the_receiver_takes);
	tcase_add_test(cases, a_send_that_times_out);
	cases = test_case(suite, "several at once", 30);
	tcase_add_test(cases, chunks_of_several_senders_interleave);
	tcase_add_test(cases, several_receivers_share);
	cases = test_case(suite, "both ways", 60); /* three tries */
	tcase_add_test(cases, sending_beside_receiving);
	return test_main(suite);
}
