/*
 * adv_waiter.c - a thread that sits in a call of the Advanced link which waits; see adv_waiter.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_waiter.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static ssize_t by_receive(struct adv_waiting *w, hqq_context *context)
{
	return hqq_advanced_receive(w->handle, context, &(struct hqq_message){.flags = 0});
}

static ssize_t by_read(struct adv_waiting *w, hqq_context *context)
{
	char buffer[8];

	return hqq_advanced_read(w->handle, context, buffer, sizeof(buffer));
}

static ssize_t by_call(struct adv_waiting *w, hqq_context *context)
{
	return hqq_advanced_call(w->handle, context, ADV_UNKNOWN, "x", 1, NULL);
}

static ssize_t by_call_on(struct adv_waiting *w, hqq_context *context)
{
	return hqq_advanced_call_on(w->handle, context, 8, ADV_UNKNOWN, "x", 1, NULL);
}

static ssize_t by_call_wait(struct adv_waiting *w, hqq_context *context)
{
	return hqq_advanced_call_wait(w->handle, context, w->id, NULL);
}

static ssize_t by_serve(struct adv_waiting *w, hqq_context *context)
{
	return hqq_advanced_serve(w->handle, context, adv_methods, ADV_METHODS);
}

static int take(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
		size_t length, void *argument)
{
	(void)head, (void)total, (void)offset, (void)data, (void)length, (void)argument;
	return 0;
}

static ssize_t fill(uint64_t offset, void *data, size_t capacity, void *argument)
{
	(void)offset, (void)argument;
	memset(data, 0, capacity);
	return (ssize_t)capacity;
}

static ssize_t by_receive_stream(struct adv_waiting *w, hqq_context *context)
{
	return hqq_advanced_receive_stream(w->handle, context, take, NULL);
}

static ssize_t by_accept(struct adv_waiting *w, hqq_context *context)
{
	uint64_t id;

	return hqq_advanced_accept(w->handle, context, &id);
}

static ssize_t by_dial(struct adv_waiting *w, hqq_context *context)
{
	uint64_t id;

	return hqq_advanced_dial(w->handle, context, &id);
}

static ssize_t by_call_start(struct adv_waiting *w, hqq_context *context)
{
	uint64_t id;

	return hqq_advanced_call_start(w->handle, context, 0, ADV_UNKNOWN, "x", 1, &id);
}

static ssize_t by_respond(struct adv_waiting *w, hqq_context *context)
{
	return hqq_advanced_respond(w->handle, context, &w->request, 0, "x", 1);
}

static ssize_t by_send_large(struct adv_waiting *w, hqq_context *context)
{
	return hqq_advanced_send_large(w->handle, context, 0, "x", 1, NULL);
}

static ssize_t by_send_stream(struct adv_waiting *w, hqq_context *context)
{
	return hqq_advanced_send_stream(w->handle, context, 0, 1000, fill, NULL);
}

static ssize_t by_write(struct adv_waiting *w, hqq_context *context)
{
	return hqq_advanced_write(w->handle, context, "x", 1);
}

static ssize_t by_negotiate(struct adv_waiting *w, hqq_context *context)
{
	return hqq_advanced_negotiate(w->handle, context, ADV_VERSION, ADV_ALL);
}

static ssize_t by_wait_negotiation(struct adv_waiting *w, hqq_context *context)
{
	return hqq_advanced_wait_negotiation(w->handle, context);
}

static const struct {
	const char *name;
	ssize_t (*call)(struct adv_waiting *waiting, hqq_context *context);
} ways[ADV_WAYS] = {
	{"receive", by_receive},
	{"read", by_read},
	{"call", by_call},
	{"call_on", by_call_on},
	{"call_wait", by_call_wait},
	{"serve", by_serve},
	{"receive_stream", by_receive_stream},
	{"accept", by_accept},
	{"dial", by_dial},
	{"call_start", by_call_start},
	{"respond", by_respond},
	{"send_large", by_send_large},
	{"send_stream", by_send_stream},
	{"write", by_write},
	{"negotiate", by_negotiate},
	{"wait_negotiation", by_wait_negotiation},
};

const char *adv_way_name(int way)
{
	return ways[way].name;
}

void adv_peer_prepare(hqq_advanced *peer, int way)
{
	uint64_t id;

	if (ways[way].call == by_respond)
		MUST_EQ(hqq_advanced_call_start(peer, PATIENT, 0, ADV_UNKNOWN, "x", 1, &id), 0);
}

void adv_waiting_prepare(struct adv_waiting *waiting, hqq_advanced *handle, int way)
{
	*waiting = (struct adv_waiting){.handle = handle, .way = way};
	if (ways[way].call == by_respond)
		MUST_EQ(hqq_advanced_receive(handle, PATIENT, &waiting->request), 0);
	if (ways[way].call == by_call_wait)
		MUST_EQ(hqq_advanced_call_start(handle, PATIENT, 0, ADV_UNKNOWN, "x", 1, &waiting->id), 0);
	if (ways[way].call == by_accept)
		MUST_EQ(hqq_advanced_listen(handle), 0);
	if (way >= ADV_WAYS_ROOM && way < ADV_WAYS_SESSION)
		adv_fill(handle);
}

void adv_waiting_clear(struct adv_waiting *waiting)
{
	hqq_message_clear(&waiting->request);
}

ssize_t adv_wait(struct adv_waiting *waiting, hqq_context *context)
{
	return ways[waiting->way].call(waiting, context);
}

static void *wait_in_call(void *argument)
{
	struct adv_waiter *waiter = argument;

	waiter->tid = (pid_t)syscall(SYS_gettid);
	waiter->result = adv_wait(waiter->waiting, waiter->context);
	waiter->ended_ns = test_now_ns();
	return NULL;
}

void adv_waiter_start(struct adv_waiter *waiter, struct adv_waiting *waiting, hqq_context *context)
{
	waiter->waiting = waiting;
	waiter->context = context;
	waiter->tid = 0;
	waiter->ended_ns = 0;
	MUST_EQ(pthread_create(&waiter->thread, NULL, wait_in_call, waiter), 0);
	while (waiter->tid == 0)
		test_sleep_ms(1);
	test_wait_asleep(getpid(), waiter->tid);
	MUST(waiter->ended_ns == 0);
}

ssize_t adv_waiter_join(struct adv_waiter *waiter)
{
	const uint64_t end = test_now_ns() + TEST_WAKE_NS;

	while (waiter->ended_ns == 0 && test_now_ns() < end)
		test_sleep_ms(1);
	if (waiter->ended_ns == 0)
		test_must_failed(__FILE__, __LINE__, "%s goes on waiting", adv_way_name(waiter->waiting->way));
	MUST_EQ(pthread_join(waiter->thread, NULL), 0);
	return waiter->result;
}
