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

#define LEFTOVER_LOOK_NS (100 * NS_PER_MS)

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

/*
 * The reason in the packet that was taken last, when that is a tombstone; else 0. *before: it was taken before
 * we came, and nothing since.
 */
static uint64_t last_reason(const struct transfer *transfer, bool *before)
{
	struct hqq_element element;
	struct ring_info ring;

	*before = false;
	if (!transfer_ring(transfer, &ring))
		return 0;
	*before = ring.read == transfer->read_before;
	if (!transfer_element(transfer, ring.read - 1, &element) ||
	    hqq_packet_opcode(&element) != HQQ_OP_STANDARD_TOMBSTONE)
		return 0;
	return hqq_packet_get(&element, HQQ_WORD_REASON);
}

/*
 * Where the senders had gone before we came the library does not say PEER_GONE. So we look ourselves, once
 * in a while: all was taken, with a mark at the end, and no other has come.
 */
static void limit_wait(struct transfer *transfer)
{
	const struct timespec deadline = timespec_of(monotonic_ns() + LEFTOVER_LOOK_NS);

	hqq_standard_set_read_deadline(transfer->link, &deadline);
}

static bool is_end_of_leftover(const struct transfer *transfer)
{
	bool before;
	uint64_t reason = last_reason(transfer, &before);

	return !before && (reason == MARK_END || reason == MARK_CUT) && transfer_peer(transfer) == PEER_LEFT;
}

/* The last sender has left: was it done? */
static int judge_end(struct transfer *transfer)
{
	struct segment_info info;
	bool promised = atomic_load(&transfer->promised), before;
	uint64_t reason = last_reason(transfer, &before);
	bool known = inspect_fd(transfer->segment_fd, &info) == 0;

	if (reason == MARK_END && !before)
		return STATUS_OK;
	if (reason == MARK_CUT)
		return transfer_failed(transfer, "receive", HQQ_ERR_PEER_GONE);
	/* of senders that have come since, the last would have sent a mark at least, if it was done */
	if (before && (reason != MARK_END || (known && info.joined[transfer->peer_mode] != transfer->joined_before)))
		return transfer_failed(transfer, "receive", HQQ_ERR_PEER_GONE);
	if (!promised && known) {
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
		if (transfer->leftover)
			limit_wait(transfer);
		rc = hqq_standard_reserve_read(transfer->link, &slot);
		if (rc == HQQ_ERR_TIMEOUT && !is_end_of_leftover(transfer))
			continue;
		if (rc == HQQ_ERR_PEER_GONE && left == transfer->limit && transfer_too_early(transfer))
			continue;
		if (rc == HQQ_ERR_PEER_GONE || rc == HQQ_ERR_TIMEOUT)
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
