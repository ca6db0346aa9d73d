/*
 * standard_hello_recv.c - makes a link, waits for one message, prints it
 *
 * SPDX-License-Identifier: MIT
 */
#include <hqq.h>
#include <stdio.h>

int main(void)
{
	char text[256];
	hqq_standard *link;
	int rc = hqq_standard_create(&link, "hello", 8, sizeof(text), 0600, NULL);
	ssize_t n = rc ? rc : hqq_standard_read(link, text, sizeof(text));

	if (n < 0)
		return fprintf(stderr, "%s\n", hqq_strerror((int)n)), 1;
	printf("%.*s\n", (int)n, text);
	return hqq_standard_close(link) != 0;
}
