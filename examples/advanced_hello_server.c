/*
 * advanced_hello_server.c - makes a link and answers calls, one client after the other
 *
 * SPDX-License-Identifier: MIT
 */
#include <hqq.h>
#include <stdio.h>

static int greet(hqq_advanced *link, const struct hqq_message *request, void *greeting)
{
	return hqq_advanced_respond(link, NULL, request, 0, greeting, 12);
}

int main(void)
{
	char greeting[] = "hello, world";
	const struct hqq_method methods[] = {{1, greet, greeting}};
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	hqq_advanced *link;
	int rc;

	options.link.flags = HQQ_REPLACE_STALE; /* what one that was killed left */
	rc = hqq_advanced_create(&link, "greeter", 16, 4096, 0600, &options);
	if (rc)
		return fprintf(stderr, "%s\n", hqq_strerror(rc)), 1;
	while (hqq_advanced_wait_negotiation(link, NULL) == 0) /* for a client */
		hqq_advanced_serve(link, NULL, methods, 1);    /* until it is gone */
	return hqq_advanced_close(link) != 0;
}
