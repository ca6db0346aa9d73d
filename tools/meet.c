/*
 * meet.c - how `hqq call` and `serve`, `push` and `pull` find each other on an Advanced link
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "hold.h"
#include "inspect.h"
#include "meet.h"
#include "truncation.h"
#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#define RETRY_NS (20 * NS_PER_MS)
#define AGAIN (-1) /* this segment does not lead to a peer: try another one */
#define HELD "'hqq create' keeps it, and has one of its sides"

int meet_fail(struct meeting *meeting, int status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(meeting->message, sizeof(meeting->message), format, arguments);
	va_end(arguments);
	return status;
}

int meet_failed(struct meeting *meeting, const char *what, int error)
{
	if (meeting->removed)
		return meeting->serves ? STATUS_OK
		                       : meet_fail(meeting, STATUS_FAILED, "the segment was removed");
	return watch_verdict(&meeting->watch, meeting->peer, what, error, meeting->message,
	                     sizeof(meeting->message));
}

/* For the watch, while we wait for a peer; it must not happen on a segment where none can come. */
static enum peer_state look_for_peer(void *argument)
{
	struct meeting *meeting = argument;
	struct segment_info info;
	enum peer_state state;

	pthread_mutex_lock(&meeting->lock);
	if (meeting->looking && !meeting->lost && inspect_fd(meeting->segment_fd, &info) == 0) {
		if (meeting->created)
			meeting->removed = !info.stat.st_nlink;
		else
			meeting->lost = !info.stat.st_nlink || !inspect_may_have_peer(&info, meeting->peer_mode);
		if (meeting->lost)
			hqq_context_cancel(&meeting->context);
	}
	state = meeting->removed ? PEER_NEVER : meeting->met ? PEER_HERE : PEER_NONE;
	pthread_mutex_unlock(&meeting->lock);
	return state;
}

/* The user insists: we go at once, but not without removing our name. */
static void last_words(void *argument)
{
	const struct meeting *meeting = argument;

	if (meeting->created)
		hqq_standard_unlink(meeting->name);
}

static void leave(struct meeting *meeting)
{
	hqq_advanced *link = meeting->link;

	meeting->link = NULL;
	if (link)
		hqq_advanced_close(link);
	meeting->created = false;
	if (meeting->segment_fd >= 0)
		close(meeting->segment_fd);
	meeting->segment_fd = -1;
}

static int create(struct meeting *meeting, const struct hqq_advanced_options *options)
{
	return hqq_advanced_create(&meeting->link, meeting->name, (size_t)meeting->count,
	                           (size_t)meeting->size, meeting->mode, options);
}

static int create_or_open(struct meeting *meeting)
{
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	int rc = meeting->open_only ? -EEXIST : 0;

	options.max_message_size = meeting->max_size;
	atomic_store(&meeting->watch.making, true);
	if (rc == 0)
		rc = create(meeting, &options);
	if (rc == -EEXIST && !meeting->open_only && inspect_is_stale(meeting->name)) {
		options.link.flags = HQQ_REPLACE_STALE;
		rc = create(meeting, &options);
	}
	meeting->created = rc == 0;
	atomic_store(&meeting->watch.making, false);
	options.link.flags = 0;
	return rc == -EEXIST ? hqq_advanced_open(&meeting->link, meeting->name, 0, 0, &options) : rc;
}

/* We are on a segment: is it one on which we can meet somebody? */
static int take_part(struct meeting *meeting)
{
	struct segment_info info;
	int rc;

	meeting->segment_fd = hold_open(hqq_advanced_fd(meeting->link));
	rc = meeting->segment_fd < 0 ? -errno : inspect_fd(meeting->segment_fd, &info);
	if (rc)
		return meet_fail(meeting, STATUS_FAILED, "cannot look at the segment: %s", hqq_strerror(rc));
	meeting->peer_mode = 1 - hqq_advanced_mode(meeting->link);
	if (is_held(meeting->segment_fd)) /* since we looked at the name */
		return meet_fail(meeting, STATUS_FAILED, HELD);
	if (!hold_part(meeting->segment_fd, meeting->asks))
		return AGAIN;
	if (!meeting->created && (!info.stat.st_nlink || !inspect_may_have_peer(&info, meeting->peer_mode)))
		return AGAIN;
	return STATUS_OK;
}

/* STATUS_OK, an exit code, or AGAIN. */
static int try_to_join(struct meeting *meeting)
{
	const char *name = meeting->name;
	int rc;

	if (is_held_name(name))
		return meet_fail(meeting, STATUS_FAILED, HELD);
	if (is_part_held_name(name, meeting->asks)) {
		if (meeting->asks)
			return AGAIN;
		return meet_fail(meeting, STATUS_FAILED, "an 'hqq serve' or 'hqq pull' is there already");
	}
	rc = create_or_open(meeting);
	if (rc == 0)
		return take_part(meeting);
	if (rc == -ENOENT || rc == -EBUSY) /* it was removed meanwhile; both sides are taken */
		return AGAIN;
	return meet_failed(meeting, meeting->open_only ? "open" : "make or open", rc);
}

static int join(struct meeting *meeting)
{
	for (;;) {
		int status = try_to_join(meeting);

		if (watch_stopped(&meeting->watch))
			return meet_failed(meeting, "", 0);
		if (status != AGAIN)
			return status;
		leave(meeting);
		sleep_ns(RETRY_NS);
	}
}

/* While somebody looks for a peer, its segment_fd stays as it is. */
static bool look(struct meeting *meeting, bool looking)
{
	bool lost;

	pthread_mutex_lock(&meeting->lock);
	meeting->looking = looking;
	lost = meeting->lost;
	meeting->lost = false;
	pthread_mutex_unlock(&meeting->lock);
	return lost;
}

/* STATUS_OK, an exit code, or AGAIN. */
static int negotiate(struct meeting *meeting)
{
	const struct hqq_version version = {HQQ_ADVANCED_VERSION_MAJOR, HQQ_ADVANCED_VERSION_MINOR};
	int rc;

	look(meeting, true);
	rc = meeting->asks
	             ? hqq_advanced_negotiate(meeting->link, &meeting->context, version, meeting->feature)
	             : hqq_advanced_wait_negotiation(meeting->link, &meeting->context);
	if (look(meeting, false)) {
		hqq_context_reset(&meeting->context);
		/* seq_cst pairs with the watch: a stop cancelled after the reset, or is seen here */
		if (!watch_stopped(&meeting->watch))
			return AGAIN;
	}
	if (watch_stopped(&meeting->watch))
		return meet_failed(meeting, "", 0);
	if (rc == 0 && hqq_advanced_negotiated_features(meeting->link) & meeting->feature)
		return STATUS_OK;
	if (rc == HQQ_ERR_PEER_GONE || (meeting->serves && (rc == 0 || rc == HQQ_ERR_REJECTED)))
		return AGAIN; /* gone, or not for us; the next one may be */
	if (rc == 0)
		return meet_fail(meeting, STATUS_FAILED, "the program at the other end is no %s",
		                 meeting->peer);
	return meet_failed(meeting, "negotiate", rc);
}

int meet_next(struct meeting *meeting)
{
	int status;

	if (!meeting->created)
		leave(meeting);
	for (;;) {
		status = meeting->link ? STATUS_OK : join(meeting);
		if (status == STATUS_OK)
			status = negotiate(meeting);
		if (status != AGAIN)
			break;
		leave(meeting);
	}
	if (status == STATUS_OK) {
		pthread_mutex_lock(&meeting->lock);
		meeting->met = true;
		pthread_mutex_unlock(&meeting->lock);
	}
	return status;
}

int meet_begin(struct meeting *meeting)
{
	int rc, status;

	meeting->segment_fd = -1;
	pthread_mutex_init(&meeting->lock, NULL);
	meeting->watch.argument = meeting;
	meeting->watch.peer = look_for_peer;
	meeting->watch.last_words = last_words;
	meeting->watch.context = &meeting->context;
	rc = watch_start(&meeting->watch);
	if (rc) {
		complain(meeting->name, "cannot start a thread: %s", hqq_strerror(rc));
		return STATUS_FAILED;
	}
	status = meet_next(meeting);
	return status ? meet_end(meeting, status) : STATUS_OK;
}

int meet_end(struct meeting *meeting, int status)
{
	struct watch *watch = &meeting->watch;
	uint64_t first = atomic_load(&watch->first_ns);
	uint64_t elapsed = first ? monotonic_ns() - first : 0;

	watch_stop(watch);
	if (truncation_seen() && status < 128)
		status = meet_fail(meeting, STATUS_FAILED, "the segment was truncated");
	leave(meeting);
	watch_let_signals(watch);
	progress_finish(&watch->progress, atomic_load(&watch->bytes), elapsed);
	if (*meeting->message)
		complain(meeting->name, "%s", meeting->message);
	pthread_mutex_destroy(&meeting->lock);
	return status;
}
