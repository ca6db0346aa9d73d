/*
 * send.c - hqq send: a file or standard input into a link
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "packet.h"
#include "transfer.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#define CUT_PATIENCE_NS NS_PER_SECOND /* for room for the mark, once we were told to stop */
#define FIRST_NAP_NS (NS_PER_MS / 20)
#define LONGEST_NAP_NS (5 * NS_PER_MS)
#define PEER_LOOK_NS (50 * NS_PER_MS)

/* Opens the input; tells whether reads of it may block, and the total size when that is known. */
static int open_input(struct transfer *transfer, bool *blocks)
{
	struct stat st;
	off_t at;

	transfer->file_fd = transfer->file ? open(transfer->file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (transfer->file_fd < 0 || fstat(transfer->file_fd, &st) < 0 || S_ISDIR(st.st_mode)) {
		complain(transfer->file ? transfer->file : "standard input", "%s",
		         hqq_strerror(transfer->file_fd < 0 || !S_ISDIR(st.st_mode) ? -errno : -EISDIR));
		return STATUS_FAILED;
	}
	*blocks = !S_ISREG(st.st_mode);
	if (S_ISREG(st.st_mode) && !transfer->total) {
		at = lseek(transfer->file_fd, 0, SEEK_CUR);
		transfer->total = st.st_size > at && at >= 0 ? (uint64_t)(st.st_size - at) : 0;
	}
	if (transfer->total > transfer->limit)
		transfer->total = transfer->limit;
	transfer->watch.progress.total = transfer->total;
	return STATUS_OK;
}

/* A slot must not be held while a terminal or pipe has nothing: other senders would queue behind it. */
static bool await_input(struct transfer *transfer)
{
	struct pollfd input = {.fd = transfer->file_fd, .events = POLLIN};

	while (poll(&input, 1, -1) < 0) {
		if (errno != EINTR || watch_stopped(&transfer->watch))
			return false;
	}
	return true;
}

/* As much as one read(2) has, up to size bytes; -1 with errno. */
static ssize_t read_input(struct transfer *transfer, void *data, size_t size, uint64_t sent)
{
	ssize_t n;

	if (size > transfer->limit - sent)
		size = (size_t)(transfer->limit - sent);
	do {
		n = size ? read(transfer->file_fd, data, size) : 0;
	} while (n < 0 && errno == EINTR && !watch_stopped(&transfer->watch));
	return n;
}

/*
 * Sends until the end of the input. The slot that was reserved when the end came carries the mark,
 * *mark is its number.
 */
static int send_all(struct transfer *transfer, bool blocks, uint64_t *mark)
{
	struct watch *watch = &transfer->watch;
	struct hqq_reservation slot;
	uint64_t sent = 0;

	for (;;) {
		ssize_t n;
		int rc;

		watch_phase(watch, PHASE_FILE);
		if (blocks && !await_input(transfer))
			return transfer_file_failed(transfer, errno);
		watch_phase(watch, PHASE_PEER);
		rc = hqq_standard_reserve_write(transfer->link, &slot);
		if (rc == HQQ_ERR_PEER_GONE && transfer_too_early(transfer))
			continue;
		if (rc)
			return transfer_failed(transfer, "send", rc);
		watch_phase(watch, PHASE_FILE);
		n = read_input(transfer, slot.data, slot.size, sent);
		if (n <= 0) {
			int error = errno;

			*mark = slot.slot;
			rc = hqq_standard_abort(&slot, n < 0 ? MARK_CUT : MARK_END);
			if (n < 0)
				return transfer_file_failed(transfer, error);
			return rc ? transfer_failed(transfer, "send", rc) : STATUS_OK;
		}
		rc = hqq_standard_commit(&slot, (size_t)n);
		if (rc)
			return transfer_failed(transfer, "send", rc);
		sent += (uint64_t)n;
		watch_count(watch, (uint64_t)n);
	}
}

/* Tells the receiver that there is no more although the input did not end. */
static void send_cut(struct transfer *transfer)
{
	struct hqq_reservation slot;
	const struct timespec deadline = timespec_of(monotonic_ns() + CUT_PATIENCE_NS);

	hqq_standard_set_write_deadline(transfer->link, &deadline);
	hqq_standard_resume(transfer->link);
	if (hqq_standard_reserve_write(transfer->link, &slot) == 0)
		hqq_standard_abort(&slot, MARK_CUT);
}

/* The receivers have given back every slot before this position. */
static bool is_drained(const struct transfer *transfer, uint64_t position)
{
	const uint64_t count = transfer->geometry.buffer_count;
	struct hqq_element element;
	struct ring_info ring;

	if (!transfer_ring(transfer, &ring) || (int64_t)(ring.read - position) < 0)
		return false;
	for (uint64_t p = position > count ? position - count : 0; p < position; p++) {
		uint64_t sequence;

		if (!transfer_element(transfer, p, &element))
			return false;
		sequence = atomic_load_explicit(&element.sequence, memory_order_relaxed);
		if ((int64_t)(sequence - (p + count)) < 0)
			return false;
	}
	return true;
}

/* The position of our mark: the last one of its slot that was claimed. */
static bool find_mark(const struct transfer *transfer, uint64_t slot, uint64_t *position)
{
	const uint64_t mask = transfer->geometry.buffer_count - 1;
	struct ring_info ring;

	if (!transfer_ring(transfer, &ring))
		return false;
	*position = ring.write - 1 - ((ring.write - 1 - slot) & mask);
	return true;
}

/* Notes for the time limit that receivers take something; true when they did since the last call. */
static bool note_movement(struct transfer *transfer, uint64_t *last_read)
{
	struct ring_info ring;

	if (!transfer_ring(transfer, &ring) || ring.read == *last_read)
		return false;
	*last_read = ring.read;
	watch_pulse(&transfer->watch);
	return true;
}

/* Waits until every slot before the position was given back; false when that will not happen. */
static bool await_drained(struct transfer *transfer, uint64_t position)
{
	uint64_t nap = FIRST_NAP_NS, looked = monotonic_ns(), last_read = 0;

	while (!is_drained(transfer, position)) {
		enum peer_state peer = PEER_HERE;

		if (monotonic_ns() - looked >= PEER_LOOK_NS) {
			looked = monotonic_ns();
			peer = transfer_peer(transfer);
		}
		if (watch_stopped(&transfer->watch) || peer == PEER_LEFT || peer == PEER_NEVER)
			return is_drained(transfer, position); /* it may have taken all before it left */
		if (note_movement(transfer, &last_read))
			nap = FIRST_NAP_NS;
		else if (nap < LONGEST_NAP_NS)
			nap *= 2;
		sleep_ns(nap);
	}
	return true;
}

/*
 * Waits until a receiver has taken everything. With nothing sent, taking the mark is the sign that
 * there was a receiver, or else that one has come and left.
 */
static int drain(struct transfer *transfer, uint64_t mark)
{
	const bool empty = !atomic_load(&transfer->watch.bytes);
	uint64_t position;
	int reason;

	if (!find_mark(transfer, mark, &position))
		return transfer_failed(transfer, "send", HQQ_ERR_CORRUPT);
	if (await_drained(transfer, position + empty))
		return STATUS_OK;
	reason = atomic_load(&transfer->watch.reason);
	if (empty && (reason == STOP_NONE || reason == STOP_PEER) && transfer_peer(transfer) == PEER_LEFT)
		return STATUS_OK;
	return transfer_failed(transfer, "send", HQQ_ERR_PEER_GONE);
}

int run_send(int argc, char **argv)
{
	struct transfer transfer = {.receiving = false};
	uint64_t mark = 0;
	bool blocks;
	int status = transfer_options(&transfer, argc, argv);

	if (status >= 0)
		return status;
	status = open_input(&transfer, &blocks);
	if (status)
		return status;
	status = transfer_begin(&transfer);
	if (status)
		return status;
	status = send_all(&transfer, blocks, &mark);
	if (status)
		send_cut(&transfer);
	else
		status = drain(&transfer, mark);
	return transfer_end(&transfer, status);
}
