/*
 * advanced_client.c - calls the methods of advanced_server.c, one at a time and many at once
 *
 *	advanced_client NAME [COUNT]
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <hqq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IN_FLIGHT 32
#define PATIENCE_NS (10 * UINT64_C(1000000000))

enum {
	METHOD_UPPER = 1,
	METHOD_SUM = 2
};

static int fail(const char *what, int rc)
{
	fprintf(stderr, "advanced_client: %s: %s\n", what, hqq_strerror(rc));
	return 1;
}

/* The server may be starting, and may have another client, for which we wait. */
static int connect_to(hqq_advanced **link, const char *name, hqq_context *context)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
	const struct hqq_version version = {HQQ_ADVANCED_VERSION_MAJOR, HQQ_ADVANCED_VERSION_MINOR};
	int rc;

	for (int tries = 0; tries < 1000; tries++) {
		rc = hqq_advanced_open(link, name, 0, 0, NULL);
		if (rc != -ENOENT && rc != -EBUSY)
			break;
		nanosleep(&pause, NULL);
	}
	if (rc)
		return rc;
	rc = hqq_advanced_negotiate(*link, context, version, HQQ_FEATURE_REQUEST_RESPONSE);
	if (rc)
		hqq_advanced_close(*link);
	return rc;
}

/* A call that succeeds. What it brings is ours, to be cleared. */
static int call_upper(hqq_advanced *link, hqq_context *context)
{
	static const char text[] = "hello, world";
	struct hqq_message answer;
	int rc = hqq_advanced_call(link, context, METHOD_UPPER, text, strlen(text), &answer);

	if (rc)
		return fail("upper", rc);
	printf("upper: %.*s\n", (int)answer.payload_size, (const char *)answer.payload);
	hqq_message_clear(&answer);
	return 0;
}

/* One that the server refuses: the answer says why, and is to be cleared as well. */
static int call_wrongly(hqq_advanced *link, hqq_context *context)
{
	struct hqq_message answer;
	int rc = hqq_advanced_call(link, context, METHOD_SUM, "123", 3, &answer);

	if (rc != HQQ_ERR_RESPONSE)
		return fail("a call that is wrong", rc);
	printf("refused with %llu: %.*s\n", (unsigned long long)answer.status, (int)answer.payload_size,
	       (const char *)answer.payload);
	hqq_message_clear(&answer);
	return 0;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Many at once: start some, then wait for each. They may be answered in any order. */
static int call_many(hqq_advanced *link, hqq_context *context, uint64_t count)
{
	const double began = now();
	uint64_t ids[IN_FLIGHT];

	for (uint64_t done = 0; done < count; done += IN_FLIGHT) {
		for (uint64_t i = 0; i < IN_FLIGHT; i++) {
			const uint64_t numbers[] = {done, i, 1};
			int rc = hqq_advanced_call_start(link, context, 0, METHOD_SUM, numbers,
			                                 sizeof(numbers), &ids[i]);

			if (rc)
				return fail("start", rc);
		}
		for (uint64_t i = 0; i < IN_FLIGHT; i++) {
			struct hqq_message answer;
			uint64_t sum = 0;
			int rc = hqq_advanced_call_wait(link, context, ids[i], &answer);

			if (rc)
				return fail("wait", rc);
			if (answer.payload_size == sizeof(sum))
				memcpy(&sum, answer.payload, sizeof(sum));
			hqq_message_clear(&answer);
			if (sum != done + i + 1)
				return fprintf(stderr, "advanced_client: a sum is wrong\n"), 1;
		}
	}
	printf("%llu sums, %d at a time, all right: %.0f a second\n", (unsigned long long)count, IN_FLIGHT,
	       (double)count / (now() - began));
	return 0;
}

int main(int argc, char **argv)
{
	const uint64_t count = argc == 3 ? strtoull(argv[2], NULL, 10) / IN_FLIGHT * IN_FLIGHT : 320;
	hqq_context context = HQQ_CONTEXT_INIT;
	hqq_advanced *link;
	int rc;

	if (argc != 2 && argc != 3)
		return fprintf(stderr, "usage: advanced_client NAME [COUNT]\n"), 2;
	hqq_context_set_timeout(&context, PATIENCE_NS); /* for all that follows */
	rc = connect_to(&link, argv[1], &context);
	if (rc)
		return fail(argv[1], rc);
	rc = call_upper(link, &context);
	if (rc == 0)
		rc = call_wrongly(link, &context);
	if (rc == 0)
		rc = call_many(link, &context, count);
	hqq_advanced_close(link);
	return rc;
}
