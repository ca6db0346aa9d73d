/*
 * test_adv_hangup.c - connections that are hung up in the middle of a message
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"
#include "advanced/advanced.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNT 8
#define SIZE 64
#define DISPATCHERS 3

/* For what must come to an end by itself: less than the watchdog of the cases. */
#define SOON_MS (UINT64_C(5000) * test_slowness())
#define SOON WITHIN_MS(SOON_MS)

#define CHUNKS 2000
#define HANG_UP_AT 20 /* chunks that the receiver has seen */
#define OTHERS (2 * HQQ_ENDED_IDS)

struct hang_up {
	struct adv_pair pair;
	uint64_t id;
	int side;   /* that hangs up */
	bool large; /* send_large(), else send_stream() */
	_Atomic pid_t receiver, sender;
	_Atomic bool sent;
	int sent_rc, received_rc;
	uint64_t filled, seen;   /* bytes */
	uint64_t others[OTHERS]; /* hung up next; or 0 */
};

static ssize_t fill(uint64_t offset, void *data, size_t capacity, void *argument)
{
	((struct hang_up *)argument)->filled = offset + capacity;
	memset(data, 's', capacity);
	return (ssize_t)capacity;
}

static void *send_until_hung_up(void *argument)
{
	static const char body[CHUNKS * SIZE];
	struct hang_up *h = argument;
	hqq_advanced *handle = h->pair.side[0];

	h->sender = (pid_t)syscall(SYS_gettid);
	h->sent_rc = h->large ? hqq_advanced_send_large(handle, SOON, h->id, body, sizeof(body), NULL)
			      : hqq_advanced_send_stream(handle, SOON, h->id, sizeof(body), fill, h);
	h->sent = true;
	return NULL;
}

/* Some thread of the receiver's process hangs up on its side, or one of the sender's on that side. */
static int see(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
	       size_t length, void *argument)
{
	struct hang_up *h = argument;

	(void)data;
	MUST_EQ(head->connection_id, h->id);
	MUST_EQ(total, CHUNKS * SIZE);
	MUST_EQ(offset, h->seen);
	h->seen += length;
	if (h->seen != HANG_UP_AT * SIZE)
		return 0;
	MUST_EQ(hqq_advanced_hangup(h->pair.side[h->side], NULL, h->id, 0), 0);
	for (unsigned i = 0; i < OTHERS && h->others[i]; i++)
		MUST_EQ(hqq_advanced_hangup(h->pair.side[h->side], NULL, h->others[i], 0), 0);
	return 0;
}

static void *receive_until_hung_up(void *argument)
{
	struct hang_up *h = argument;

	h->receiver = (pid_t)syscall(SYS_gettid);
	h->received_rc = hqq_advanced_receive_stream(h->pair.side[1], SOON, see, h);
	return NULL;
}

static void connect_both(struct adv_pair *pair, uint64_t *id)
{
	uint64_t other;

	MUST_EQ(hqq_advanced_dial(pair->side[0], SOON, id), 0);
	MUST_EQ(hqq_advanced_accept(pair->side[1], SOON, &other), 0);
	MUST_EQ(other, *id);
}

/* On another connection all goes on as before. */
static void prove_another(struct adv_pair *pair)
{
	struct adv_server server;
	uint64_t id;

	connect_both(pair, &id);
	adv_push(pair->side[0], id, 3 * SIZE, 1);
	adv_pull(pair->side[1], id, 3 * SIZE, 1);
	adv_push(pair->side[1], id, 3 * SIZE, 2);
	adv_pull(pair->side[0], id, 3 * SIZE, 2);
	adv_server_start(&server, pair->side[1]);
	adv_echo(pair->side[0], id, 2 * SIZE, 3);
	MUST_EQ(adv_server_stop(&server), HQQ_ERR_CANCELED);
	MUST_EQ(hqq_advanced_hangup(pair->side[0], NULL, id, 0), 0);
}

/*
 * Whoever sends in AUTO or MANUAL hears of the other side only while it waits for room; so the receiver takes
 * no more once it has heard, until it does.
 */
static void hang_up_in_the_middle(struct hang_up *h, uint32_t dispatcher, unsigned others)
{
	const struct hqq_advanced_options ours = adv_options(dispatcher, 0, 0, 0);
	const uint64_t end = test_now_ns() + SOON_MS * 1000000;
	pthread_t receiver, sender;
	struct hqq_message message;

	/* the receiver's thread answers who dials, and takes nothing that the stream has not taken */
	adv_pair_open(&h->pair, COUNT, SIZE, &ours, NULL);
	MUST_EQ(hqq_advanced_listen(h->pair.side[1]), 0);
	connect_both(&h->pair, &h->id);
	for (unsigned i = 0; i < others; i++)
		connect_both(&h->pair, &h->others[i]);
	MUST_EQ(pthread_create(&receiver, NULL, receive_until_hung_up, h), 0);
	while (h->receiver == 0)
		test_sleep_ms(1);
	test_wait_asleep(getpid(), h->receiver);
	MUST_EQ(pthread_create(&sender, NULL, send_until_hung_up, h), 0);
	MUST_EQ(pthread_join(receiver, NULL), 0);
	MUST_EQ(h->received_rc, HQQ_ERR_CONN_NOT_FOUND);
	MUST(h->seen >= HANG_UP_AT * SIZE);
	/* what was in the ring then, and some that a thread was late with, is nobody's */
	while (!h->sent && test_now_ns() < end)
		MUST_EQ(hqq_advanced_receive(h->pair.side[1], WITHIN_MS(1), &message), HQQ_ERR_TIMEOUT);
	MUST_EQ(pthread_join(sender, NULL), 0);
	MUST_EQ(h->sent_rc, HQQ_ERR_CONN_NOT_FOUND);
	MUST(h->filled < CHUNKS * SIZE / 2);
	MUST_EQ(adv_stats(h->pair.side[0]).large_messages_sent, 0);
	MUST_EQ(hqq_advanced_send_large(h->pair.side[0], SOON, h->id, "x", 1, NULL), HQQ_ERR_CONN_NOT_FOUND);
	MUST_EQ(hqq_advanced_hangup(h->pair.side[1 - h->side], NULL, h->id, 0), 0);
	prove_another(&h->pair);
	adv_pair_close(&h->pair);
}

/* _i: 2 * (2 * dispatcher + large) + whether the sender's side hangs up */
START_TEST(hung_up_in_the_middle)
{
	struct hang_up h = {.side = _i % 2 ? 0 : 1, .large = _i / 2 % 2};

	hang_up_in_the_middle(&h, (uint32_t)_i / 4, 0);
}
END_TEST

/* More on the sender's side than it remembers one by one. _i: large */
START_TEST(hung_up_with_many_others)
{
	struct hang_up h = {.side = 0, .large = _i};

	hang_up_in_the_middle(&h, HQQ_DISPATCH_THREAD, OTHERS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: hang-ups");
	TCase *cases = test_case(suite, "in the middle", 20);

	tcase_add_loop_test(cases, hung_up_in_the_middle, 0, 4 * DISPATCHERS);
	tcase_add_loop_test(cases, hung_up_with_many_others, 0, 2);
	return test_main(suite);
}
