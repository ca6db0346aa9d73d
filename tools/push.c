/*
 * push.c - hqq push: a file through a link as one stream
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "file.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct meet_usage usage = {
	.options = "csmowtkpqvh",
	.operands = "FILE",
	.purpose = "Pushes FILE through the link NAME to whoever pulls it.",
	.operands_min = 1,
	.operands_max = 1,
};

/* The size of what can be read, or of a block device; -1 with errno. */
static off_t size_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	if (S_ISREG(st.st_mode))
		return st.st_size;
	if (S_ISBLK(st.st_mode))
		return lseek(fd, 0, SEEK_END);
	errno = S_ISDIR(st.st_mode) ? EISDIR : ESPIPE; /* a stream says how long it is before it begins */
	return -1;
}

static int open_file(struct file_transfer *transfer)
{
	off_t size = -1;

	transfer->fd = open(transfer->path, O_RDONLY | O_CLOEXEC);
	if (transfer->fd >= 0)
		size = size_of(transfer->fd);
	if (size < 0) {
		complain(transfer->path, "%s",
		         errno == ESPIPE ? "its size is not known; see 'hqq send'" : hqq_strerror(-errno));
		return STATUS_FAILED;
	}
	transfer->size = (uint64_t)size;
	transfer->meeting.watch.progress.total = transfer->size;
	return STATUS_OK;
}

/* Reads the next part of the file into the segment. */
static ssize_t fill(uint64_t offset, void *data, size_t capacity, void *argument)
{
	struct file_transfer *transfer = argument;
	struct watch *watch = &transfer->meeting.watch;
	ssize_t n;

	watch_phase(watch, PHASE_FILE);
	do {
		n = pread(transfer->fd, data, capacity, (off_t)offset);
	} while (n < 0 && errno == EINTR && !watch_stopped(watch));
	if (n > 0) {
		file_count(transfer, data, (size_t)n);
		watch_phase(watch, PHASE_PEER);
		return n;
	}
	transfer->error = n < 0 ? errno : ENODATA;
	return 0;
}

/* Waits for the answer of who took the file. */
static int await_taken(struct meeting *meeting)
{
	struct hqq_message message;
	bool taken;
	int rc;

	do {
		rc = hqq_advanced_receive(meeting->link, &meeting->context, &message);
		if (rc)
			return meet_failed(meeting, "push", rc);
		taken = hqq_message_is_data(&message) && !message.payload_size;
		hqq_message_clear(&message);
	} while (!taken);
	return STATUS_OK;
}

static int push(struct file_transfer *transfer)
{
	struct meeting *meeting = &transfer->meeting;
	int rc;

	watch_phase(&meeting->watch, PHASE_PEER);
	rc = hqq_advanced_send_stream(meeting->link, &meeting->context, 0, transfer->size, fill, transfer);
	watch_phase(&meeting->watch, PHASE_PEER);
	if (transfer->error == ENODATA)
		return meet_fail(meeting, STATUS_FAILED, "%s: became shorter meanwhile", transfer->path);
	if (transfer->error)
		return file_failed(transfer);
	return rc ? meet_failed(meeting, "push", rc) : await_taken(meeting);
}

int run_push(int argc, char **argv)
{
	struct file_transfer transfer = {
		.meeting = {.asks = true, .peer = "receiver", .feature = HQQ_FEATURE_LARGE_COPY}};
	int status = meet_options(&transfer.meeting, &usage, argc, argv);

	if (status >= 0)
		return status;
	transfer.path = transfer.meeting.operands[0];
	status = open_file(&transfer);
	if (status)
		return status;
	checksum_init(&transfer.checksum);
	status = meet_begin(&transfer.meeting);
	if (status == STATUS_OK)
		status = file_end(&transfer, push(&transfer));
	close(transfer.fd);
	return status;
}
