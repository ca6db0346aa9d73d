/*
 * pull.c - hqq pull: takes the file that is pushed
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const struct meet_usage usage = {
	.options = "csmowtkpqvh",
	.operands = "[FILE]",
	.purpose = "Takes the file that is pushed through the link NAME to FILE or standard output.",
	.operands_min = 0,
	.operands_max = 1,
};

static int open_file(struct file_transfer *transfer)
{
	if (!transfer->path) {
		transfer->fd = STDOUT_FILENO;
		return STATUS_OK;
	}
	transfer->fd = open(transfer->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (transfer->fd >= 0)
		return STATUS_OK;
	complain(transfer->path, "%s", hqq_strerror(-errno));
	return STATUS_FAILED;
}

static bool write_all(struct file_transfer *transfer, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(transfer->fd, data, size);

		if (n < 0 && (errno != EINTR || watch_stopped(&transfer->meeting.watch))) {
			transfer->error = errno;
			return false;
		}
		data += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

/* Writes what lies in the segment to the file. */
static int take(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
                size_t size, void *argument)
{
	struct file_transfer *transfer = argument;
	struct watch *watch = &transfer->meeting.watch;

	(void)head;
	if (offset == 0)
		watch->progress.total = total;
	watch_phase(watch, PHASE_FILE);
	if (!write_all(transfer, data, size))
		return -transfer->error;
	file_count(transfer, data, size);
	watch_phase(watch, PHASE_PEER);
	return 0;
}

static int pull(struct file_transfer *transfer)
{
	struct meeting *meeting = &transfer->meeting;
	int rc;

	watch_phase(&meeting->watch, PHASE_PEER);
	rc = hqq_advanced_receive_stream(meeting->link, &meeting->context, take, transfer);
	if (rc == 0 && close(transfer->fd) < 0)
		transfer->error = errno;
	if (transfer->error)
		return file_failed(transfer);
	if (rc == HQQ_ERR_ABORTED)
		return meet_fail(meeting, STATUS_PEER, "the sender gave up");
	if (rc == 0) /* only now: it is where it belongs */
		rc = hqq_advanced_send_large(meeting->link, &meeting->context, 0, NULL, 0, NULL);
	return rc ? meet_failed(meeting, "pull", rc) : STATUS_OK;
}

int run_pull(int argc, char **argv)
{
	struct file_transfer transfer = {
		.meeting = {.asks = false, .peer = "sender", .feature = HQQ_FEATURE_LARGE_COPY}};
	struct meeting *meeting = &transfer.meeting;
	int status = meet_options(meeting, &usage, argc, argv);

	if (status >= 0)
		return status;
	if (meeting->operand_count && strcmp(meeting->operands[0], "-") != 0)
		transfer.path = meeting->operands[0];
	status = open_file(&transfer);
	if (status)
		return status;
	checksum_init(&transfer.checksum);
	status = meet_begin(meeting);
	if (status == STATUS_OK)
		status = file_end(&transfer, pull(&transfer));
	return status;
}
