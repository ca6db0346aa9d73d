/*
 * cost.c - bench/cost: one process that does the work of both sides, for tools that count
 *
 * What has to be counted happens in measured(), between two system calls getppid() that stand in a
 * trace as marks; bench/measure-cost knows. Nobody ever waits: each message is there when it is
 * asked for.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include <hqq.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS 1024
#define LARGEST 4096
#define BATCH 16
#define WARM 2048 /* operations; all slots have been in use then, and all that is lazy is done */

struct bench {
	hqq_standard *out, *in;
	hqq_advanced *caller, *server;
	size_t size;
	unsigned char *message;
	struct iovec messages[BATCH];
};

struct workload {
	const char *name;
	uint64_t flags; /* of a Standard link */
	bool advanced;
	void (*work)(struct bench *bench, unsigned long count);
};

static void need(bool condition, const char *what, int error)
{
	if (condition)
		return;
	fprintf(stderr, "cost: %s: %s\n", what, hqq_strerror(error));
	exit(1);
}

/* ---- work ------------------------------------------------------------------------------------ */

/*
 * In runs, as a process has them that only sends or only receives: one that goes to and fro between
 * handles pays for that, too.
 */
#define RUN 64

static void send_and_receive(struct bench *bench, unsigned long count)
{
	for (unsigned long n = 0; n < count; n += RUN) {
		for (unsigned i = 0; i < RUN; i++) {
			ssize_t sent = hqq_standard_write(bench->out, bench->message, bench->size);

			need(sent == (ssize_t)bench->size, "writing", (int)sent);
		}
		for (unsigned i = 0; i < RUN; i++) {
			ssize_t received = hqq_standard_read(bench->in, bench->message, bench->size);

			need(received == (ssize_t)bench->size, "reading", (int)received);
		}
	}
}

static ssize_t fill(void *data, size_t capacity, void *argument)
{
	(void)data;
	(void)argument;
	return (ssize_t)capacity;
}

static int look(const void *data, size_t length, void *argument)
{
	(void)data;
	(void)length;
	(void)argument;
	return 0;
}

static void by_callback(struct bench *bench, unsigned long count)
{
	for (unsigned long n = 0; n < count; n += RUN) {
		for (unsigned i = 0; i < RUN; i++) {
			ssize_t sent = hqq_standard_write_zero_copy(bench->out, fill, NULL);

			need(sent == (ssize_t)bench->size, "writing in place", (int)sent);
		}
		for (unsigned i = 0; i < RUN; i++) {
			ssize_t received = hqq_standard_read_zero_copy(bench->in, look, NULL);

			need(received >= 0, "reading in place", (int)received);
		}
	}
}

static void by_reservation(struct bench *bench, unsigned long count)
{
	struct hqq_reservation slot;

	for (unsigned long n = 0; n < count; n += RUN) {
		for (unsigned i = 0; i < RUN; i++) {
			int error = hqq_standard_reserve_write(bench->out, &slot);

			if (!error)
				error = hqq_standard_commit(&slot, bench->size);
			need(error == 0, "reserving", error);
		}
		for (unsigned i = 0; i < RUN; i++) {
			int error = hqq_standard_reserve_read(bench->in, &slot);

			if (!error)
				error = hqq_standard_release(&slot);
			need(error == 0, "reserving", error);
		}
	}
}

static void by_batch(struct bench *bench, unsigned long count)
{
	for (unsigned long n = 0; n < count; n += RUN) {
		for (unsigned i = 0; i < BATCH; i++)
			bench->messages[i] = (struct iovec){bench->message, bench->size};
		for (unsigned i = 0; i < RUN; i += BATCH) {
			ssize_t sent = hqq_standard_write_batch(bench->out, bench->messages, BATCH);

			need(sent == BATCH, "writing a batch", (int)sent);
		}
		for (unsigned i = 0; i < RUN; i += BATCH) {
			ssize_t received = hqq_standard_read_batch(bench->in, bench->messages, BATCH);

			need(received == BATCH, "reading a batch", (int)received);
		}
	}
}

static void answer_one(struct bench *bench)
{
	struct hqq_message request;
	int error = hqq_advanced_receive(bench->server, NULL, &request);

	need(error == 0, "a request", error);
	error = hqq_advanced_respond(bench->server, NULL, &request, 0, request.payload, request.payload_size);
	need(error == 0, "responding", error);
	hqq_message_clear(&request);
}

static void by_call(struct bench *bench, unsigned long count)
{
	uint64_t calls[RUN];

	for (unsigned long n = 0; n < count; n += RUN) {
		for (unsigned i = 0; i < RUN; i++) {
			int error = hqq_advanced_call_start(bench->caller, NULL, 0, 1, bench->message,
							    bench->size, &calls[i]);

			need(error == 0, "calling", error);
		}
		for (unsigned i = 0; i < RUN; i++)
			answer_one(bench);
		for (unsigned i = 0; i < RUN; i++) {
			struct hqq_message response;
			int error = hqq_advanced_call_wait(bench->caller, NULL, calls[i], &response);

			need(error == 0, "a response", error);
			hqq_message_clear(&response);
		}
	}
}

static const struct workload workloads[] = {
	{"write+read", 0, false, send_and_receive},
	{"write+read-single", HQQ_SINGLE_WRITER | HQQ_SINGLE_READER, false, send_and_receive},
	{"zero-copy", 0, false, by_callback},
	{"reserve+commit", 0, false, by_reservation},
	{"batch-16", 0, false, by_batch},
	{"call", 0, true, by_call},
};

#define WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

/* ---- links ----------------------------------------------------------------------------------- */

static void open_standard(struct bench *bench, uint64_t flags)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	int error;

	options.flags = flags;
	error = hqq_standard_create_fd(&bench->out, SLOTS, bench->size, &options);
	if (!error)
		error = hqq_standard_open_fd(&bench->in, hqq_standard_fd(bench->out), 0, 0, &options);
	need(error == 0, "opening", error);
}

static void *answer(void *server)
{
	int error = hqq_advanced_wait_negotiation(server, NULL);

	need(error == 0, "negotiation", error);
	return NULL;
}

/* Only the negotiation takes two threads. */
static void open_advanced(struct bench *bench)
{
	const struct hqq_version version = {HQQ_ADVANCED_VERSION_MAJOR, HQQ_ADVANCED_VERSION_MINOR};
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	pthread_t thread;
	int error;

	options.dispatcher = HQQ_DISPATCH_MANUAL;
	error = hqq_advanced_create_fd(&bench->caller, SLOTS, bench->size, &options);
	if (!error)
		error = hqq_advanced_open_fd(&bench->server, hqq_advanced_fd(bench->caller), 0, 0, &options);
	need(error == 0, "opening", error);
	error = pthread_create(&thread, NULL, answer, bench->server);
	need(error == 0, "pthread_create", -error);
	error = hqq_advanced_negotiate(bench->caller, NULL, version, HQQ_FEATURE_REQUEST_RESPONSE);
	need(error == 0, "negotiation", error);
	pthread_join(thread, NULL);
}

/* Found by its name, so it has to remain a function, of external linkage. */
void measured(const struct workload *workload, struct bench *bench, unsigned long count);

__attribute__((noinline)) void measured(const struct workload *workload, struct bench *bench,
					unsigned long count)
{
	getppid();
	workload->work(bench, count);
	getppid();
}

static int usage(void)
{
	fputs("usage: cost WORKLOAD SIZE COUNT\nworkloads:", stderr);
	for (unsigned i = 0; i < WORKLOADS; i++)
		fprintf(stderr, " %s", workloads[i].name);
	fprintf(stderr, "\nSIZE up to %d bytes, COUNT a multiple of %d\n", LARGEST, RUN);
	return 2;
}

int main(int argc, char **argv)
{
	static unsigned char message[LARGEST];
	struct bench bench = {.message = message};

	for (unsigned i = 0; argc == 4 && i < WORKLOADS; i++) {
		const struct workload *workload = &workloads[i];
		unsigned long count = strtoul(argv[3], NULL, 10);

		bench.size = strtoul(argv[2], NULL, 10);
		if (strcmp(workload->name, argv[1]) != 0 || !bench.size || bench.size > LARGEST || !count ||
		    count % RUN)
			continue;
		if (workload->advanced)
			open_advanced(&bench);
		else
			open_standard(&bench, workload->flags);
		workload->work(&bench, WARM);
		measured(workload, &bench, count);
		hqq_standard_close(bench.in);
		hqq_standard_close(bench.out);
		hqq_advanced_close(bench.server);
		hqq_advanced_close(bench.caller);
		return 0;
	}
	return usage();
}
