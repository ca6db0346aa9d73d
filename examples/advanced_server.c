/*
 * advanced_server.c - a server with two methods; advanced_client.c calls it
 *
 *	advanced_server NAME
 *
 * Serves one client after the other until it is told to end by SIGINT or SIGTERM.
 *
 * SPDX-License-Identifier: MIT
 */
#include <ctype.h>
#include <hqq.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
	METHOD_UPPER = 1, /* a text: the same in capitals */
	METHOD_SUM = 2    /* 64-bit numbers: their sum */
};

static hqq_context running = HQQ_CONTEXT_INIT;

/* Cancelling a context is one of the few things that a signal handler may do. */
static void on_signal(int signal)
{
	(void)signal;
	hqq_context_cancel(&running);
}

/* The payload is ours until we return, so it may be changed in place. */
static int upper(hqq_advanced *link, const struct hqq_message *request, void *argument)
{
	unsigned char *text = request->payload;

	(void)argument;
	for (size_t i = 0; i < request->payload_size; i++)
		text[i] = (unsigned char)toupper(text[i]);
	return hqq_advanced_respond(link, &running, request, 0, text, request->payload_size);
}

static int sum(hqq_advanced *link, const struct hqq_message *request, void *argument)
{
	static const char complaint[] = "these are not whole numbers of 64 bits";
	const uint64_t *numbers = request->payload; /* malloc(3) aligned it */
	uint64_t *served = argument, result = 0;

	++*served;
	if (request->payload_size % sizeof(uint64_t))
		return hqq_advanced_respond_error(link, &running, request, 1, complaint, strlen(complaint));
	for (size_t i = 0; i < request->payload_size / sizeof(uint64_t); i++)
		result += numbers[i];
	return hqq_advanced_respond(link, &running, request, 0, &result, sizeof(result));
}

int main(int argc, char **argv)
{
	uint64_t sums = 0;
	const struct hqq_method methods[] = {{METHOD_UPPER, upper, NULL}, {METHOD_SUM, sum, &sums}};
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	struct sigaction action = {.sa_handler = on_signal};
	hqq_advanced *link;
	int rc;

	if (argc != 2)
		return fprintf(stderr, "usage: advanced_server NAME\n"), 2;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	options.link.flags = HQQ_REPLACE_STALE; /* what a server that was killed left behind */
	rc = hqq_advanced_create(&link, argv[1], 64, 4096, 0600, &options);
	if (rc)
		return fprintf(stderr, "%s: %s\n", argv[1], hqq_strerror(rc)), 1;
	do {
		rc = hqq_advanced_wait_negotiation(link, &running); /* a client has come */
		if (rc == 0)
			rc = hqq_advanced_serve(link, &running, methods, 2); /* until it has gone */
	} while (rc == HQQ_ERR_PEER_GONE);
	printf("served %llu sums, then: %s\n", (unsigned long long)sums, hqq_strerror(rc));
	hqq_advanced_close(link); /* takes the name away */
	return rc != HQQ_ERR_CANCELED;
}
