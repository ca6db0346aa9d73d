/*
 * transfer.c - what `hqq send` and `hqq recv` share: joining a link, the peer, the end
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "hold.h"
#include "transfer.h"
#include "truncation.h"
#include <errno.h>
#include <fcntl.h>
#include <hqq.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define RETRY_NS (20 * NS_PER_MS)
#define EARLY_NAP_NS (10 * NS_PER_MS)
#define NAMING_NAP_NS NS_PER_MS
#define NAMING_PATIENCE_NS NS_PER_SECOND

static int fail(struct transfer *transfer, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct transfer *transfer, int status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(transfer->message, sizeof(transfer->message), format, arguments);
	va_end(arguments);
	return status;
}

static const char *peer_name(const struct transfer *transfer)
{
	return transfer->receiving ? "sender" : "receiver";
}

int transfer_failed(struct transfer *transfer, const char *what, int error)
{
	return watch_verdict(&transfer->watch, peer_name(transfer), what, error, transfer->message,
	                     sizeof(transfer->message));
}

int transfer_file_failed(struct transfer *transfer, int error)
{
	const char *file = transfer->file;

	if (error == EFAULT) /* the kernel found what would have been SIGBUS for us */
		truncation_note();
	if (watch_stopped(&transfer->watch))
		return transfer_failed(transfer, "", 0);
	if (error == EPIPE) /* as quietly as a program that SIGPIPE ends */
		return 128 + SIGPIPE;
	if (!file)
		file = transfer->receiving ? "standard output" : "standard input";
	return fail(transfer, STATUS_FAILED, "%s: %s", file, strerror(error));
}

bool transfer_ring(const struct transfer *transfer, struct ring_info *ring)
{
	return inspect_ring(transfer->segment_fd, &transfer->geometry, transfer->direction, ring);
}

bool transfer_element(const struct transfer *transfer, uint64_t position, struct hqq_element *element)
{
	return inspect_element(transfer->segment_fd, &transfer->geometry, transfer->direction, position,
	                       element);
}

enum peer_state transfer_peer(const struct transfer *transfer)
{
	struct segment_info info;
	const struct ring_info *ring = &info.rings[transfer->direction];
	unsigned living;

	if (inspect_fd(transfer->segment_fd, &info))
		return PEER_HERE;
	if ((uint64_t)info.stat.st_size < transfer->geometry.layout_size) {
		truncation_note();
		return PEER_NEVER;
	}
	if (info.problem)
		return PEER_HERE; /* damaged by somebody; the library will tell */
	living = inspect_living(&info, transfer->peer_mode);
	if (living && transfer->peer_mode == HQQ_MODE_PRIMARY && is_held(transfer->segment_fd))
		living--;
	if (living)
		return PEER_HERE;
	if (transfer->receiving && ring->depth)
		return PEER_HERE; /* or was, but there is something left to read */
	if (transfer->peer_before || info.joined[transfer->peer_mode] != transfer->joined_before)
		return PEER_LEFT;
	if ((transfer->receiving ? ring->write : ring->read) != transfer->cursor_before)
		return PEER_HERE; /* somebody who is not in the table */
	return info.stat.st_nlink ? PEER_NONE : PEER_NEVER; /* without a name nobody will come */
}

void transfer_note_promise(struct transfer *transfer)
{
	if (!atomic_load(&transfer->promised) && is_promised(transfer->segment_fd))
		atomic_store(&transfer->promised, true);
}

bool transfer_too_early(const struct transfer *transfer)
{
	enum peer_state state = transfer_peer(transfer);

	if (state == PEER_LEFT || state == PEER_NEVER)
		return false;
	sleep_ns(EARLY_NAP_NS);
	return true;
}

/*
 * For the watch, which stops us when the peer has left: a receiver ends by itself, in order, when
 * the library says PEER_GONE; a sender has lost nothing as long as nothing waits in the ring.
 */
static enum peer_state watch_peer(void *argument)
{
	struct transfer *transfer = argument;
	enum peer_state state;
	struct ring_info ring;

	if (!atomic_load(&transfer->watch.link))
		return PEER_NONE;
	transfer_note_promise(transfer);
	state = transfer_peer(transfer);
	if (state != PEER_LEFT)
		return state;
	return !transfer->receiving && transfer_ring(transfer, &ring) && ring.depth ? PEER_LEFT : PEER_HERE;
}

/* The user insists: we go at once, but not without removing our name. */
static void last_words(void *argument)
{
	struct transfer *transfer = argument;

	if (transfer->created)
		hqq_standard_unlink(transfer->name);
}

static int create_link(struct transfer *transfer)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	int rc;

	options.flags = HQQ_PEER_EOF;
	atomic_store(&transfer->watch.making, true);
	rc = hqq_standard_create(&transfer->link, transfer->name, (size_t)transfer->count,
	                         (size_t)transfer->size, transfer->mode, &options);
	if (rc == -EEXIST && inspect_is_stale(transfer->name)) {
		options.flags |= HQQ_REPLACE_STALE;
		rc = hqq_standard_create(&transfer->link, transfer->name, (size_t)transfer->count,
		                         (size_t)transfer->size, transfer->mode, &options);
	}
	transfer->created = rc == 0;
	atomic_store(&transfer->watch.making, false);
	return rc;
}

/* `hqq create` keeps it. One that is about to say so is waited for, but not for long: it may have been stopped. */
static bool is_kept(struct transfer *transfer, int fd)
{
	const uint64_t until = monotonic_ns() + NAMING_PATIENCE_NS;

	for (; !is_held(fd); sleep_ns(NAMING_NAP_NS)) {
		if (!is_naming(transfer->name) || monotonic_ns() > until || watch_stopped(&transfer->watch))
			return is_held(fd); /* it may have come to it between these looks */
	}
	return true;
}

/* A segment that somebody else made: its creator is the peer, unless that is `hqq create`. */
static int open_link(struct transfer *transfer)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;

	options.flags = HQQ_PEER_EOF;
	options.role = transfer->role;
	if (options.role == HQQ_ROLE_AUTO && transfer->receiving) {
		const int fd = inspect_open(transfer->name);

		/* opened blindly it might be one that `hqq create` has just made */
		if (fd < 0)
			return fd == -EWOULDBLOCK ? -ENOENT : fd;
		if (is_kept(transfer, fd))
			options.role = HQQ_ROLE_PRIMARY;
		close(fd);
	}
	return hqq_standard_open(&transfer->link, transfer->name, 0, 0, &options);
}

/*
 * Nobody will come to this segment, which another made: it lost its name before we came, or its primary is
 * gone, so that whoever comes joins us on our own side. (A primary may wait: secondaries come and go.)
 */
static bool is_orphaned(const struct transfer *transfer, const struct segment_info *info)
{
	return !transfer->created && !transfer->peer_before &&
	       (!info->stat.st_nlink || (transfer->peer_mode == HQQ_MODE_PRIMARY &&
	                                 !inspect_may_have_peer(info, HQQ_MODE_PRIMARY)));
}

/* Notes how things stand. STATUS_OK, or an exit code. */
static int take_bearings(struct transfer *transfer, bool *orphaned)
{
	struct segment_info info;
	const struct ring_info *ring;
	int mode = hqq_standard_mode(transfer->link);
	int rc;

	transfer->segment_fd = hold_open(hqq_standard_fd(transfer->link));
	rc = transfer->segment_fd < 0 ? -errno : inspect_fd(transfer->segment_fd, &info);
	if (rc)
		return fail(transfer, STATUS_FAILED, "cannot look at the segment: %s", hqq_strerror(rc));
	if (info.problem)
		return fail(transfer, STATUS_FAILED, "the segment is unusable: %s", info.problem);
	transfer->peer_mode = 1 - mode;
	transfer->direction = transfer->receiving ? transfer->peer_mode : mode;
	transfer->geometry = info.geometry;
	transfer->joined_before = info.joined[transfer->peer_mode];
	ring = &info.rings[transfer->direction];
	transfer->cursor_before = transfer->receiving ? ring->write : ring->read;
	transfer->read_before = ring->read;
	if (!transfer->receiving)
		hold_promise(transfer->segment_fd);
	transfer->peer_before = transfer_peer(transfer) == PEER_HERE;
	transfer->leftover = transfer->peer_before && !inspect_living(&info, transfer->peer_mode);
	*orphaned = is_orphaned(transfer, &info);
	return STATUS_OK;
}

static void leave(struct transfer *transfer)
{
	if (transfer->link)
		hqq_standard_close(transfer->link);
	transfer->link = NULL;
	if (transfer->segment_fd >= 0)
		close(transfer->segment_fd);
	transfer->segment_fd = -1;
}

static int join(struct transfer *transfer)
{
	/* to be the secondary somebody else must be the primary */
	const bool may_create = !transfer->open_only && transfer->role != HQQ_ROLE_SECONDARY;
	bool orphaned;
	int status;

	for (;; sleep_ns(RETRY_NS)) {
		int rc = may_create ? create_link(transfer) : -EEXIST;

		if (watch_stopped(&transfer->watch))
			return transfer_failed(transfer, "", 0);
		if (rc == -EEXIST) {
			rc = open_link(transfer);
			if (rc == -ENOENT)
				continue;
			if (rc)
				return transfer_failed(transfer, "open", rc);
		} else if (rc) {
			return transfer_failed(transfer, "create", rc);
		}
		status = take_bearings(transfer, &orphaned);
		if (status || !orphaned)
			return status;
		leave(transfer); /* once all have left it is stale, and can be made anew */
	}
}

int transfer_begin(struct transfer *transfer)
{
	int rc, status;

	transfer->segment_fd = -1;
	transfer->watch.argument = transfer;
	transfer->watch.peer = watch_peer;
	transfer->watch.last_words = last_words;
	rc = watch_start(&transfer->watch);
	if (rc) {
		complain(transfer->name, "cannot start a thread: %s", hqq_strerror(rc));
		return STATUS_FAILED;
	}
	status = join(transfer);
	if (status == STATUS_OK) {
		watch_link(&transfer->watch, transfer->link);
		return STATUS_OK;
	}
	return transfer_end(transfer, status);
}

static void print_summary(const struct transfer *transfer, uint64_t bytes, uint64_t elapsed)
{
	double seconds = (double)elapsed / (double)NS_PER_SECOND;

	fprintf(stderr, "hqq %s: ", command_name());
	print_safely(stderr, transfer->name, 0);
	fprintf(stderr, ": %" PRIu64 " bytes in %" PRIu64 " messages, %.6f s", bytes,
	        atomic_load(&transfer->watch.messages), seconds);
	if (elapsed)
		fprintf(stderr, ", %.1f MB/s", (double)bytes / seconds / 1e6);
	putc('\n', stderr);
}

int transfer_end(struct transfer *transfer, int status)
{
	struct watch *watch = &transfer->watch;
	uint64_t first = atomic_load(&watch->first_ns);
	uint64_t elapsed = first ? monotonic_ns() - first : 0;
	uint64_t bytes = atomic_load(&watch->bytes);

	watch_stop(watch);
	if (truncation_seen() && status < 128)
		status = fail(transfer, STATUS_FAILED, "the segment was truncated");
	leave(transfer);
	watch_let_signals(watch);
	progress_finish(&watch->progress, bytes, elapsed);
	if (status == STATUS_OK && transfer->receiving && close(transfer->file_fd) < 0)
		status = transfer_file_failed(transfer, errno);
	if (*transfer->message)
		complain(transfer->name, "%s", transfer->message);
	if (transfer->verbose)
		print_summary(transfer, bytes, elapsed);
	return status;
}
