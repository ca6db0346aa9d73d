/*
 * event.c - an eventfd and the thread that arms it
 *
 * The watcher arms the descriptor when something is there; reads disarm it when they leave nothing
 * behind.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "event.h"
#include "futex.h"
#include "thread.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct hqq_event {
	struct hqq_link *link;
	bool (*waits)(void *);
	void *argument;
	int fd;
	pthread_t thread;
	pthread_mutex_t lock;   /* for arming and disarming */
	_Atomic uint32_t armed; /* the descriptor is readable */
	_Atomic uint32_t stop;
};

/* A read would not wait: for a message, or, with HQQ_PEER_EOF, since there will be none. */
static bool something_waits(struct hqq_event *event)
{
	return event->waits(event->argument) || (event->link->peer_eof && hqq_link_is_peer_gone(event->link));
}

static void arm(struct hqq_event *event)
{
	eventfd_write(event->fd, 1);
	/* release: the watcher that sees 0 looks at the ring after we did */
	atomic_store_explicit(&event->armed, 1, memory_order_release);
}

static void disarm(struct hqq_event *event)
{
	eventfd_t count;

	eventfd_read(event->fd, &count);
	atomic_store_explicit(&event->armed, 0, memory_order_release);
	hqq_futex_wake_private(&event->armed);
	/* with the fence of hqq_event_settle(): either we see what it brought, or it sees us disarmed */
	atomic_thread_fence(memory_order_seq_cst);
}

/* Looks, and makes the descriptor say so. */
static void settle(struct hqq_event *event)
{
	HQQ_NOT_CANCELED;

	pthread_mutex_lock(&event->lock);
	for (;;) {
		const uint32_t waits = something_waits(event);

		if (waits == atomic_load_explicit(&event->armed, memory_order_relaxed))
			break;
		if (waits) {
			arm(event);
			break;
		}
		disarm(event);
	}
	pthread_mutex_unlock(&event->lock);
}

static void *watch(void *argument)
{
	struct hqq_event *event = argument;
	const struct hqq_patience patience = {.peer_eof = event->link->peer_eof};

	while (!atomic_load_explicit(&event->stop, memory_order_acquire)) {
		if (atomic_load_explicit(&event->armed, memory_order_acquire)) {
			hqq_futex_wait_private(&event->armed, 1, HQQ_NO_DEADLINE);
		} else if (hqq_link_watch(event->link, HQQ_CLAIM_READ, &event->stop, &patience)) {
			settle(event);
			/* the ring of the bell came to us, who take nothing: another endpoint may sleep */
			hqq_link_pass_on(event->link, HQQ_CLAIM_READ, 0);
		}
	}
	return NULL;
}

static void destroy(struct hqq_event *event)
{
	pthread_mutex_destroy(&event->lock);
	close(event->fd);
	free(event);
}

/* Ends the watcher; the descriptor and the lock stay. */
static void stop(struct hqq_event *event)
{
	pthread_mutex_lock(&event->lock);
	atomic_store_explicit(&event->stop, 1, memory_order_release);
	/* armed or not, the watcher sleeps on a word that changes now */
	atomic_store_explicit(&event->armed, 0, memory_order_release);
	hqq_futex_wake_private(&event->armed);
	pthread_mutex_unlock(&event->lock);
	hqq_link_nudge(event->link);
	pthread_join(event->thread, NULL);
}

static int make(struct hqq_event **made, struct hqq_link *link, bool (*waits)(void *), void *argument)
{
	struct hqq_event *event = calloc(1, sizeof(*event));
	int rc;

	if (!event)
		return -ENOMEM;
	event->link = link;
	event->waits = waits;
	event->argument = argument;
	event->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event->fd < 0) {
		rc = -errno;
		free(event);
		return rc;
	}
	pthread_mutex_init(&event->lock, NULL);
	rc = hqq_thread_start(&event->thread, watch, event);
	if (rc)
		destroy(event);
	else
		*made = event;
	return rc;
}

int hqq_event_open(hqq_event_slot *slot, struct hqq_link *link, bool (*waits)(void *), void *argument)
{
	/* acquire pairs with the release of whoever made it */
	struct hqq_event *event = atomic_load_explicit(slot, memory_order_acquire), *other = NULL;
	HQQ_NOT_CANCELED;
	int rc;

	if (event)
		return event->fd;
	rc = make(&event, link, waits, argument);
	if (rc)
		return rc;
	if (!atomic_compare_exchange_strong_explicit(slot, &other, event, memory_order_acq_rel,
	                                             memory_order_acquire)) {
		stop(event); /* another thread was faster */
		destroy(event);
		event = other;
	}
	settle(event);
	return event->fd;
}

void hqq_event_settle(hqq_event_slot *slot)
{
	struct hqq_event *event = atomic_load_explicit(slot, memory_order_acquire);

	if (!event)
		return;
	/* something there and armed is the common case; all else is settled under the lock */
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(&event->armed, memory_order_relaxed) || !event->waits(event->argument))
		settle(event);
}

void hqq_event_stop(hqq_event_slot *slot)
{
	struct hqq_event *event = atomic_load_explicit(slot, memory_order_acquire);

	if (event)
		stop(event);
}

void hqq_event_free(hqq_event_slot *slot)
{
	struct hqq_event *event = atomic_load_explicit(slot, memory_order_acquire);

	if (event)
		destroy(event);
	atomic_store_explicit(slot, NULL, memory_order_relaxed);
}
