/*
 * installed.c - a program as a user writes it, against the installed library, in the words that C11
 * and C++17 share
 *
 * A child and its parent answer each other through a segment without a name. Prints one line.
 *
 * SPDX-License-Identifier: MIT
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime(), with a compiler that is strict about C11 */

#include <hqq.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUFFERS 8
#define BYTES 64
#define ROUNDS 1000

static int failed(const char *what, long code)
{
	fprintf(stderr, "%s: %s (%ld)\n", what, hqq_strerror((int)code), code);
	return 1;
}

static int deadline(hqq_standard *link)
{
	struct timespec when;

	clock_gettime(CLOCK_MONOTONIC, &when);
	when.tv_sec += 50;
	return hqq_standard_set_deadline(link, &when);
}

/* Gives every message back in capitals. */
static int serve(int fd)
{
	hqq_standard *link = NULL;
	char text[BYTES];
	ssize_t length;
	int error = hqq_standard_open_fd(&link, fd, BUFFERS, BYTES, NULL);

	if (error != 0)
		return failed("open_fd", error);
	if (hqq_standard_mode(link) != HQQ_MODE_SECONDARY)
		return failed("mode", hqq_standard_mode(link));
	deadline(link);
	for (int i = 0; i < ROUNDS; i++) {
		length = hqq_standard_read(link, text, sizeof(text));
		if (length < 0)
			return failed("read in the child", length);
		for (ssize_t at = 0; at < length; at++)
			if (text[at] >= 'a' && text[at] <= 'z')
				text[at] = (char)(text[at] - 'a' + 'A');
		length = hqq_standard_write(link, text, (size_t)length);
		if (length < 0)
			return failed("write in the child", length);
	}
	error = hqq_standard_close(link);
	return error == 0 ? 0 : failed("close in the child", error);
}

static int ask(hqq_standard *link)
{
	char question[BYTES], answer[BYTES], expected[BYTES];
	int length;
	ssize_t got;

	for (int i = 0; i < ROUNDS; i++) {
		length = snprintf(question, sizeof(question), "message %d", i);
		snprintf(expected, sizeof(expected), "MESSAGE %d", i);
		got = hqq_standard_write(link, question, (size_t)length);
		if (got != length)
			return failed("write", got);
		got = hqq_standard_read(link, answer, sizeof(answer));
		if (got != length || memcmp(answer, expected, (size_t)length) != 0)
			return failed("read", got);
	}
	return 0;
}

int main(void)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_context context = HQQ_CONTEXT_INIT;
	hqq_standard *link = NULL;
	char version[32];
	pid_t child;
	int error, fd, status = -1;

	snprintf(version, sizeof(version), "%d.%d.%d", HQQ_VERSION_MAJOR, HQQ_VERSION_MINOR, HQQ_VERSION_PATCH);
	if (strcmp(version, hqq_version_string()) != 0)
		return failed("the version of the headers and that of the library", 0);
	if (hqq_context_set_timeout(&context, 1) != 0)
		return failed("context", 0);
	options.role = HQQ_ROLE_PRIMARY;
	error = hqq_standard_create_fd(&link, BUFFERS, BYTES, &options);
	if (error != 0)
		return failed("create_fd", error);

	fd = hqq_standard_fd(link); /* the handle is of no use to the child, the descriptor is */
	child = fork();
	if (child < 0)
		return failed("fork", 0);
	if (child == 0)
		_exit(serve(fd));
	deadline(link);
	if (ask(link) != 0)
		return 1;
	if (waitpid(child, &status, 0) != child || status != 0)
		return failed("the child", status);
	error = hqq_standard_close(link);
	if (error != 0)
		return failed("close", error);
	printf("hqq %s: %d questions and answers between two processes\n", version, ROUNDS);
	return 0;
}
