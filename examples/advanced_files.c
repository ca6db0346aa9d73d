/*
 * advanced_files.c - a file from one process to another, as one stream
 *
 *	advanced_files receive NAME FILE   make the link, take one file
 *	advanced_files send NAME FILE      open it, send the file
 *
 * The file is read into the segment and written out of it; at no time is it whole in memory. At
 * the end the receiver answers with an empty message, so that the sender knows that all is there.
 * `hqq push` and `hqq pull` do the same, and may be at the other end.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <fcntl.h>
#include <hqq.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int fail(const char *what, int rc)
{
	fprintf(stderr, "advanced_files: %s: %s\n", what, hqq_strerror(rc));
	return 1;
}

/* Called for each chunk, with its place in the segment. */
static ssize_t read_chunk(uint64_t offset, void *data, size_t capacity, void *argument)
{
	const int *file = argument;
	ssize_t n = pread(*file, data, capacity, (off_t)offset);

	return n < 0 ? -errno : n; /* 0, as the file became shorter, ends the stream with an abort */
}

static int write_chunk(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
                       size_t length, void *argument)
{
	const int *file = argument;

	(void)head;
	(void)total;
	while (length) {
		ssize_t n = pwrite(*file, data, length, (off_t)offset);

		if (n < 0)
			return -errno; /* ends the reception with this error */
		data = (const char *)data + n;
		offset += (uint64_t)n;
		length -= (size_t)n;
	}
	return 0;
}

static int send_file(hqq_advanced *link, int file)
{
	const struct hqq_version version = {HQQ_ADVANCED_VERSION_MAJOR, HQQ_ADVANCED_VERSION_MINOR};
	struct hqq_message taken;
	struct stat st;
	int rc = fstat(file, &st) < 0 ? -errno : 0;

	if (rc == 0)
		rc = hqq_advanced_negotiate(link, NULL, version, HQQ_FEATURE_LARGE_COPY);
	if (rc == 0)
		rc = hqq_advanced_send_stream(link, NULL, 0, (uint64_t)st.st_size, read_chunk, &file);
	if (rc == 0)
		rc = hqq_advanced_receive(link, NULL, &taken);
	if (rc == 0)
		hqq_message_clear(&taken);
	return rc;
}

static int receive_file(hqq_advanced *link, int file)
{
	int rc = hqq_advanced_wait_negotiation(link, NULL);

	if (rc == 0)
		rc = hqq_advanced_receive_stream(link, NULL, write_chunk, &file);
	if (rc == 0)
		rc = hqq_advanced_send_large(link, NULL, 0, NULL, 0, NULL);
	return rc;
}

static int open_link(hqq_advanced **link, const char *name, bool sends)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
	int rc;

	if (!sends)
		return hqq_advanced_create(link, name, 16, 65536, 0600, NULL);
	rc = hqq_advanced_open(link, name, 0, 0, NULL);
	for (int tries = 0; rc == -ENOENT && tries < 1000; tries++) { /* the receiver may be starting */
		nanosleep(&pause, NULL);
		rc = hqq_advanced_open(link, name, 0, 0, NULL);
	}
	return rc;
}

int main(int argc, char **argv)
{
	const bool sends = argc == 4 && !strcmp(argv[1], "send");
	hqq_advanced *link;
	int file, rc;

	if (argc != 4 || (!sends && strcmp(argv[1], "receive") != 0))
		return fprintf(stderr, "usage: advanced_files send | receive NAME FILE\n"), 2;
	file = open(argv[3], sends ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC, 0666);
	if (file < 0)
		return fail(argv[3], -errno);
	rc = open_link(&link, argv[2], sends);
	if (rc)
		return fail(argv[2], rc);
	rc = sends ? send_file(link, file) : receive_file(link, file);
	hqq_advanced_close(link);
	if (close(file) < 0 && rc == 0)
		rc = -errno;
	return rc ? fail(argv[1], rc) : 0;
}
