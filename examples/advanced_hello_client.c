/*
 * advanced_hello_client.c - opens the link of advanced_hello_server.c and calls its method
 *
 * SPDX-License-Identifier: MIT
 */
#include <hqq.h>
#include <stdio.h>

int main(void)
{
	const struct hqq_version version = {1, 0};
	struct hqq_message answer;
	hqq_advanced *link;
	int rc = hqq_advanced_open(&link, "greeter", 0, 0, NULL);

	rc = rc ? rc : hqq_advanced_negotiate(link, NULL, version, HQQ_FEATURE_REQUEST_RESPONSE);
	rc = rc ? rc : hqq_advanced_call(link, NULL, 1, NULL, 0, &answer);
	if (rc)
		return fprintf(stderr, "%s\n", hqq_strerror(rc)), 1;
	printf("%.*s\n", (int)answer.payload_size, (const char *)answer.payload);
	hqq_message_clear(&answer);
	return hqq_advanced_close(link) != 0;
}
