/*
 * standard_request.c - requests and answers over a Standard link, each checked
 *
 *	standard_request server NAME           make the link, answer until the client has left
 *	standard_request client NAME [COUNT]   open it, send COUNT requests, wait for each answer
 *
 * A request is a number and some text; the answer has the same number and the text in capitals.
 * Each is at most one buffer, so a message is a request: the link keeps the boundaries.
 *
 * SPDX-License-Identifier: MIT
 */
#include <ctype.h>
#include <errno.h>
#include <hqq.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BUFFER_COUNT 64
#define BUFFER_SIZE 128
#define OPEN_TRIES 500 /* of 10 ms each, for the server to make the link */

struct message {
	uint64_t number;
	char text[48];
};

static int fail(const char *what, ssize_t error)
{
	fprintf(stderr, "standard_request: %s: %s\n", what, hqq_strerror((int)error));
	return EXIT_FAILURE;
}

/* PEER_EOF: a read ends with PEER_GONE once the client has left, instead of waiting for ever. */
static int serve(const char *name)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	struct message message;
	uint64_t answered = 0;
	hqq_standard *link;
	ssize_t n;
	int rc;

	options.flags = HQQ_PEER_EOF;
	rc = hqq_standard_create(&link, name, BUFFER_COUNT, BUFFER_SIZE, 0600, &options);
	if (rc)
		return fail(name, rc);
	while ((n = hqq_standard_read(link, &message, sizeof(message))) == (ssize_t)sizeof(message)) {
		for (size_t i = 0; i < sizeof(message.text); i++)
			message.text[i] = (char)toupper((unsigned char)message.text[i]);
		n = hqq_standard_write(link, &message, sizeof(message));
		if (n < 0)
			break;
		answered++;
	}
	hqq_standard_close(link);
	if (n != HQQ_ERR_PEER_GONE)
		return n < 0 ? fail("serving", n) : fail("a request", HQQ_ERR_INVALID_SIZE);
	printf("server: %llu requests answered\n", (unsigned long long)answered);
	return EXIT_SUCCESS;
}

static int open_link(hqq_standard **link, const char *name)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
	struct hqq_options options = HQQ_OPTIONS_INIT;
	int rc;

	options.flags = HQQ_PEER_EOF;
	rc = hqq_standard_open(link, name, 0, 0, &options);
	for (int i = 0; rc == -ENOENT && i < OPEN_TRIES; i++) {
		nanosleep(&pause, NULL);
		rc = hqq_standard_open(link, name, 0, 0, &options);
	}
	return rc;
}

static int ask(hqq_standard *link, uint64_t number)
{
	struct message request = {.number = number}, answer;
	char expected[sizeof(request.text)];
	ssize_t n;

	snprintf(request.text, sizeof(request.text), "request %llu, please", (unsigned long long)number);
	snprintf(expected, sizeof(expected), "REQUEST %llu, PLEASE", (unsigned long long)number);
	n = hqq_standard_write(link, &request, sizeof(request));
	if (n >= 0)
		n = hqq_standard_read(link, &answer, sizeof(answer));
	if (n < 0)
		return fail("asking", n);
	if (n != (ssize_t)sizeof(answer) || answer.number != number || strcmp(answer.text, expected)) {
		fprintf(stderr, "standard_request: the answer to request %llu is wrong\n",
		        (unsigned long long)number);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int be_client(const char *name, uint64_t count)
{
	hqq_standard *link;
	double start, seconds;
	int rc = open_link(&link, name);

	if (rc)
		return fail(name, rc);
	start = now();
	for (uint64_t number = 1; number <= count && rc == EXIT_SUCCESS; number++)
		rc = ask(link, number);
	seconds = now() - start;
	hqq_standard_close(link);
	if (rc == EXIT_SUCCESS)
		printf("client: %llu requests, all answers right: %.3f s, %.0f round trips/s, %.2f us each\n",
		       (unsigned long long)count, seconds, (double)count / seconds,
		       count ? seconds / (double)count * 1e6 : 0.0);
	return rc;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "server"))
		return serve(argv[2]);
	if ((argc == 3 || argc == 4) && !strcmp(argv[1], "client"))
		return be_client(argv[2], argc == 4 ? strtoull(argv[3], NULL, 10) : 100000);
	fprintf(stderr, "usage: standard_request server NAME | client NAME [COUNT]\n");
	return EXIT_FAILURE;
}
