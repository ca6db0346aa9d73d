/*
 * standard_hello_send.c - opens the link of standard_hello_recv.c and sends one message
 *
 * SPDX-License-Identifier: MIT
 */
#include <hqq.h>
#include <stdio.h>

int main(void)
{
	hqq_standard *link;
	int rc = hqq_standard_open(&link, "hello", 0, 0, NULL);
	ssize_t n = rc ? rc : hqq_standard_write(link, "hello, world", 12);

	if (n < 0)
		return fprintf(stderr, "%s\n", hqq_strerror((int)n)), 1;
	return hqq_standard_close(link) != 0;
}
