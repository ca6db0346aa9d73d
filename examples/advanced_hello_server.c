/*
 * advanced_hello_server.c - makes a link and answers calls, one client after the other
 *
 * SPDX-License-Identifier: MIT
 */
#include <hqq.h>

static int greet(hqq_advanced *link, const struct hqq_message *request, void *greeting)
{
	return hqq_advanced_respond(link, NULL, request, 0, greeting, 12);
}

int main(void)
{
	char greeting[] = "hello, world";
	const struct hqq_method methods[] = {{1, greet, greeting}};
	hqq_advanced *link;

	if (hqq_advanced_create(&link, "greeter", 16, 4096, 0600, NULL) < 0)
		return 1;
	while (hqq_advanced_wait_negotiation(link, NULL) == 0) /* for a client */
		hqq_advanced_serve(link, NULL, methods, 1);    /* until it is gone */
	return hqq_advanced_close(link) != 0;
}
