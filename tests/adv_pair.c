/*
 * adv_pair.c - two Advanced endpoints on one segment, and a server; see adv_pair.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

hqq_context *adv_within(hqq_context *context, uint64_t milliseconds)
{
	MUST_EQ(hqq_context_set_timeout(context, milliseconds * 1000000), 0);
	return context;
}

struct hqq_advanced_options adv_options(uint32_t dispatcher, uint64_t max_message_size, size_t queue,
					uint64_t max_assembly_bytes)
{
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;

	options.dispatcher = dispatcher;
	options.max_message_size = max_message_size;
	options.incoming_queue_size = queue;
	options.max_assembly_bytes = max_assembly_bytes;
	return options;
}

void adv_open(struct adv_pair *pair, size_t count, size_t size, const struct hqq_advanced_options *primary,
	      const struct hqq_advanced_options *secondary)
{
	MUST_EQ(hqq_advanced_create_fd(&pair->side[0], count, size, primary), 0);
	MUST_EQ(hqq_advanced_open_fd(&pair->side[1], hqq_advanced_fd(pair->side[0]), count, size, secondary),
		0);
}

struct asking {
	hqq_advanced *handle;
	uint64_t features;
	int rc;
};

static void *ask(void *argument)
{
	struct asking *asking = argument;

	asking->rc = hqq_advanced_negotiate(asking->handle, PATIENT, ADV_VERSION, asking->features);
	return NULL;
}

void adv_agree(struct adv_pair *pair, uint64_t features)
{
	struct asking asking = {pair->side[0], features, 0};
	pthread_t thread;

	MUST_EQ(pthread_create(&thread, NULL, ask, &asking), 0);
	MUST_EQ(hqq_advanced_wait_negotiation(pair->side[1], PATIENT), 0);
	MUST_EQ(pthread_join(thread, NULL), 0);
	MUST_EQ(asking.rc, 0);
}

void adv_pair_open(struct adv_pair *pair, size_t count, size_t size,
		   const struct hqq_advanced_options *primary, const struct hqq_advanced_options *secondary)
{
	adv_open(pair, count, size, primary, secondary);
	adv_agree(pair, ADV_ALL);
}

void adv_pair_close(struct adv_pair *pair)
{
	int i;

	for (i = 0; i < 2; i++) {
		MUST_EQ(hqq_advanced_close(pair->side[i]), 0);
		pair->side[i] = NULL;
	}
}

unsigned adv_fill(hqq_advanced *handle)
{
	unsigned count = 0;
	ssize_t n;

	while ((n = hqq_advanced_write(handle, AT_ONCE, "fill", 4)) == 4)
		count++;
	MUST_EQ(n, HQQ_ERR_TIMEOUT);
	return count;
}

void adv_drain(hqq_advanced *handle, unsigned count)
{
	char buffer[4];

	while (count-- > 0) {
		MUST_EQ(hqq_advanced_read(handle, PATIENT, buffer, sizeof(buffer)), 4);
		MUST(memcmp(buffer, "fill", 4) == 0);
	}
}

struct hqq_advanced_stats adv_stats(const hqq_advanced *handle)
{
	struct hqq_advanced_stats stats;

	MUST_EQ(hqq_advanced_stats(handle, &stats), 0);
	return stats;
}

/* ---- a server ---------------------------------------------------------------------------------- */

static int do_echo(hqq_advanced *handle, const struct hqq_message *request, void *argument)
{
	(void)argument;
	return hqq_advanced_respond(handle, PATIENT, request, request->payload_size, request->payload,
				    request->payload_size);
}

static int do_error(hqq_advanced *handle, const struct hqq_message *request, void *argument)
{
	(void)argument;
	return hqq_advanced_respond_error(handle, PATIENT, request, 77, "no", 2);
}

static int do_nothing(hqq_advanced *handle, const struct hqq_message *request, void *argument)
{
	(void)handle, (void)request, (void)argument;
	return 0;
}

static int do_fail(hqq_advanced *handle, const struct hqq_message *request, void *argument)
{
	(void)handle, (void)request, (void)argument;
	return HQQ_ERR_MEMORY_SMALL;
}

static int do_call_back(hqq_advanced *handle, const struct hqq_message *request, void *argument)
{
	struct hqq_message response;
	int rc = hqq_advanced_call(handle, PATIENT, ADV_ECHO, request->payload, request->payload_size,
				   &response);

	(void)argument;
	if (rc < 0)
		return rc;
	rc = hqq_advanced_respond(handle, PATIENT, request, response.status, response.payload,
				  response.payload_size);
	hqq_message_clear(&response);
	return rc;
}

const struct hqq_method adv_methods[ADV_METHODS] = {
	{ADV_ECHO, do_echo, NULL}, {ADV_ERROR, do_error, NULL},    {ADV_SILENT, do_nothing, NULL},
	{ADV_FAIL, do_fail, NULL}, {ADV_BACK, do_call_back, NULL},
};

static void *serve(void *argument)
{
	struct adv_server *server = argument;

	server->tid = (pid_t)syscall(SYS_gettid);
	server->rc = hqq_advanced_serve(server->handle, &server->context, adv_methods, ADV_METHODS);
	return NULL;
}

void adv_server_start(struct adv_server *server, hqq_advanced *handle)
{
	server->handle = handle;
	server->context = (hqq_context)HQQ_CONTEXT_INIT;
	server->tid = 0;
	MUST_EQ(pthread_create(&server->thread, NULL, serve, server), 0);
}

int adv_server_stop(struct adv_server *server)
{
	MUST_EQ(hqq_context_cancel(&server->context), 0);
	MUST_EQ(pthread_join(server->thread, NULL), 0);
	return server->rc;
}

void adv_echo(hqq_advanced *handle, uint64_t connection_id, size_t length, uint64_t seed)
{
	struct hqq_message response;
	void *body = malloc(length + 1);

	MUST(body != NULL);
	test_fill(body, length, seed);
	MUST_EQ(hqq_advanced_call_on(handle, PATIENT, connection_id, ADV_ECHO, body, length, &response), 0);
	MUST(hqq_message_is_response(&response));
	MUST(!hqq_message_is_error(&response));
	MUST_EQ(response.connection_id, connection_id);
	MUST_EQ(response.status, length);
	MUST_EQ(response.payload_size, length);
	MUST_EQ(test_verify(response.payload, length, seed), -1);
	hqq_message_clear(&response);
	free(body);
}

void adv_push(hqq_advanced *handle, uint64_t connection_id, size_t length, uint64_t seed)
{
	void *body = malloc(length + 1);

	MUST(body != NULL);
	test_fill(body, length, seed);
	MUST_EQ(hqq_advanced_send_large(handle, PATIENT, connection_id, body, length, NULL), 0);
	free(body);
}

void adv_pull(hqq_advanced *handle, uint64_t connection_id, size_t length, uint64_t seed)
{
	struct hqq_message message;

	MUST_EQ(hqq_advanced_receive(handle, PATIENT, &message), 0);
	MUST(hqq_message_is_data(&message));
	MUST_EQ(message.flags, HQQ_FLAG_BEGIN | HQQ_FLAG_END);
	MUST_EQ(message.connection_id, connection_id);
	MUST_EQ(message.method_id, 0);
	MUST_EQ(message.status, 0);
	MUST_EQ(message.payload_size, length);
	MUST_EQ(test_verify(message.payload, length, seed), -1);
	hqq_message_clear(&message);
}
