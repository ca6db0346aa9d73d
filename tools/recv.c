/*
 * recv.c - hqq recv: what comes through a link to a file or standard output
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "packet.h"
#include "transfer.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int open_output(struct transfer *transfer)
{
	if (!transfer->file) {
		transfer->file_fd = STDOUT_FILENO;
		return STATUS_OK;
	}
	transfer->file_fd = open(transfer->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (transfer->file_fd >= 0)
		return STATUS_OK;
	complain(transfer->file, "%s", hqq_strerror(-errno));
	return STATUS_FAILED;
}

/* 0 or an errno. */
static int write_all(struct transfer *transfer, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(transfer->file_fd, data, size);

		if (n < 0 && errno == EINTR && !watch_stopped(&transfer->watch))
			continue;
		if (n < 0)
			return errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

/* The reason in the packet that was taken last since we came, when that is a tombstone; else 0. */
static uint64_t last_reason(const struct transfer *transfer)
{
	struct hqq_element element;
	struct ring_info ring;

	if (!transfer_ring(transfer, &ring) || ring.read == transfer->read_before ||
	    !transfer_element(transfer, ring.read - 1, &element) ||
	    hqq_packet_opcode(&element) != HQQ_OP_STANDARD_TOMBSTONE)
		return 0;
	return hqq_packet_get(&element, HQQ_WORD_REASON);
}

/* The last sender has left: was it done? */
static int judge_end(struct transfer *transfer)
{
	struct segment_info info;
	uint64_t reason = last_reason(transfer);
	bool promised = atomic_load(&transfer->promised);

	if (reason == MARK_END)
		return STATUS_OK;
	if (reason == MARK_CUT)
		return transfer_failed(transfer, "receive", HQQ_ERR_PEER_GONE);
	if (!promised && inspect_fd(transfer->segment_fd, &info) == 0) {
		for (unsigned i = 0; i < info.endpoints; i++)
			promised |= info.endpoint[i].mode == transfer->peer_mode &&
			            info.endpoint[i].life == HQQ_DEAD;
	}
	return promised ? transfer_failed(transfer, "receive", HQQ_ERR_PEER_GONE) : STATUS_OK;
}

static int receive_all(struct transfer *transfer)
{
	struct watch *watch = &transfer->watch;
	struct hqq_reservation slot;
	uint64_t left = transfer->limit;

	while (left) {
		size_t size;
		int rc, error;

		watch_phase(watch, PHASE_PEER);
		rc = hqq_standard_reserve_read(transfer->link, &slot);
		if (rc == HQQ_ERR_PEER_GONE && left == transfer->limit && transfer_too_early(transfer))
			continue;
		if (rc == HQQ_ERR_PEER_GONE)
			return judge_end(transfer);
		if (rc)
			return transfer_failed(transfer, "receive", rc);
		if (left == transfer->limit)
			transfer_note_promise(transfer);
		watch_phase(watch, PHASE_FILE);
		size = slot.size < left ? slot.size : (size_t)left;
		error = write_all(transfer, slot.data, size);
		hqq_standard_release(&slot);
		if (error)
			return transfer_file_failed(transfer, error);
		left -= size;
		watch_count(watch, size);
	}
	return STATUS_OK;
}

int run_recv(int argc, char **argv)
{
	struct transfer transfer = {.receiving = true};
	int status = transfer_options(&transfer, argc, argv);

	if (status < 0)
		status = open_output(&transfer);
	else
		return status;
	if (status)
		return status;
	status = transfer_begin(&transfer);
	if (status)
		return status;
	return transfer_end(&transfer, receive_all(&transfer));
}
