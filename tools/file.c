/*
 * file.c - what `hqq push` and `hqq pull` share
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "file.h"
#include "truncation.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

void file_count(struct file_transfer *transfer, const void *data, size_t size)
{
	if (transfer->meeting.checksum)
		checksum_add(&transfer->checksum, data, size);
	watch_count(&transfer->meeting.watch, size);
}

int file_failed(struct file_transfer *transfer)
{
	struct meeting *meeting = &transfer->meeting;

	if (transfer->error == EFAULT) /* the kernel found what would have been SIGBUS for us */
		truncation_note();
	if (watch_stopped(&meeting->watch))
		return meet_failed(meeting, "", 0);
	if (transfer->error == EPIPE) /* as quietly as a program that SIGPIPE ends */
		return 128 + SIGPIPE;
	return meet_fail(meeting, STATUS_FAILED, "%s: %s",
	                 transfer->path ? transfer->path : "standard output", strerror(transfer->error));
}

static void print_prefix(const struct meeting *meeting)
{
	fprintf(stderr, "hqq %s: ", command_name());
	print_safely(stderr, meeting->name, 0);
	fputs(": ", stderr);
}

int file_end(struct file_transfer *transfer, int status)
{
	struct meeting *meeting = &transfer->meeting;
	const uint64_t bytes = atomic_load(&meeting->watch.bytes);
	const uint64_t first = atomic_load(&meeting->watch.first_ns);
	const double seconds = first ? (double)(monotonic_ns() - first) / (double)NS_PER_SECOND : 0;

	status = meet_end(meeting, status);
	if (meeting->verbose) {
		print_prefix(meeting);
		fprintf(stderr, "%" PRIu64 " bytes in %.6f s", bytes, seconds);
		if (seconds > 0)
			fprintf(stderr, ", %.1f MB/s", (double)bytes / seconds / 1e6);
		putc('\n', stderr);
	}
	if (status == STATUS_OK && meeting->checksum) {
		print_prefix(meeting);
		fprintf(stderr, "checksum %" PRIu32 " %" PRIu64 "\n", checksum_end(&transfer->checksum),
		        bytes);
	}
	return status;
}
