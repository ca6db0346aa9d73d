/*
 * standard/event.c - a descriptor that is readable while a message waits
 *
 * Messages come through memory, which no poll(2) watches. The first to ask for the descriptor gets
 * an eventfd(2) and a thread of the library that sleeps where readers sleep. The thread arms the
 * descriptor when something is there; reads disarm it when they leave nothing behind. Nobody who
 * does not ask has a thread.
 *
 * Promised: while a message waits and no call that reads is under way, the descriptor is readable
 * or becomes so soon. It may be readable with nothing there, after another endpoint took the
 * message or for a tombstone; the next read with a passed deadline settles that.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "futex.h"
#include "standard/standard.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_SIZE (64 * 1024)

struct hqq_event {
	hqq_standard *handle;
	int fd;
	pthread_t thread;
	pthread_mutex_t lock;   /* for arming and disarming */
	_Atomic uint32_t armed; /* the descriptor is readable */
	_Atomic uint32_t stop;
};

/* A read would not wait: for a message, or, with HQQ_PEER_EOF, since there will be none. */
static bool something_waits(hqq_standard *handle)
{
	return !hqq_tail_is_empty(&handle->tail) ||
	       hqq_ring_is_ready(hqq_link_ring(&handle->link, HQQ_CLAIM_READ), HQQ_CLAIM_READ) ||
	       (handle->link.peer_eof && hqq_link_is_peer_gone(&handle->link));
}

/* Looks, and makes the descriptor say so. */
static void settle(struct hqq_event *event)
{
	uint32_t waits;

	pthread_mutex_lock(&event->lock);
	waits = something_waits(event->handle);
	if (waits != atomic_load_explicit(&event->armed, memory_order_relaxed)) {
		eventfd_t count;

		if (waits)
			eventfd_write(event->fd, 1);
		else
			eventfd_read(event->fd, &count);
		/* release: the watcher that sees 0 looks at the ring after we did */
		atomic_store_explicit(&event->armed, waits, memory_order_release);
		if (!waits)
			hqq_futex_wake_private(&event->armed);
	}
	pthread_mutex_unlock(&event->lock);
}

static void *watch(void *argument)
{
	struct hqq_event *event = argument;

	while (!atomic_load_explicit(&event->stop, memory_order_acquire)) {
		if (atomic_load_explicit(&event->armed, memory_order_acquire)) {
			hqq_futex_wait_private(&event->armed, 1, HQQ_NO_DEADLINE);
		} else if (hqq_link_watch(&event->handle->link, &event->stop)) {
			settle(event);
			/* the ring of the bell came to us, who take nothing: another endpoint may sleep */
			hqq_bell_wake(hqq_link_bell(&event->handle->link, HQQ_CLAIM_READ), 1);
		}
	}
	return NULL;
}

/* Starts the watcher with all signals blocked: they are for the caller's threads. */
static int start(struct hqq_event *event)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int rc = pthread_attr_init(&attributes);

	if (rc)
		return -rc;
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&event->thread, &attributes, watch, event);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -rc;
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
	hqq_link_nudge(&event->handle->link);
	pthread_join(event->thread, NULL);
}

static int make(hqq_standard *handle, struct hqq_event **made)
{
	struct hqq_event *event = calloc(1, sizeof(*event));
	int rc;

	if (!event)
		return -ENOMEM;
	event->handle = handle;
	event->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event->fd < 0) {
		rc = -errno;
		free(event);
		return rc;
	}
	pthread_mutex_init(&event->lock, NULL);
	rc = start(event);
	if (rc)
		destroy(event);
	else
		*made = event;
	return rc;
}

int hqq_standard_event_fd(hqq_standard *handle)
{
	struct hqq_seat *seat = NULL;
	struct hqq_event *event, *other = NULL;
	int rc = hqq_link_enter_always(hqq_standard_link(handle), &seat);

	if (rc)
		return rc;
	/* acquire pairs with the release of whoever made it */
	event = atomic_load_explicit(&handle->event, memory_order_acquire);
	if (!event) {
		rc = make(handle, &event);
		if (rc == 0 && !atomic_compare_exchange_strong_explicit(&handle->event, &other, event,
		                                                        memory_order_acq_rel, memory_order_acquire)) {
			stop(event); /* another thread was faster */
			destroy(event);
			event = other;
		}
		if (rc == 0)
			settle(event);
	}
	if (rc == 0)
		rc = event->fd;
	hqq_link_leave(seat);
	return rc;
}

void hqq_event_update(hqq_standard *handle)
{
	struct hqq_event *event = atomic_load_explicit(&handle->event, memory_order_acquire);

	/* something there and armed is the common case; all else is settled under the lock */
	if (event &&
	    !(atomic_load_explicit(&event->armed, memory_order_relaxed) && something_waits(handle)))
		settle(event);
}

void hqq_event_stop(hqq_standard *handle)
{
	struct hqq_event *event = atomic_load_explicit(&handle->event, memory_order_acquire);

	if (event)
		stop(event);
}

void hqq_event_free(hqq_standard *handle)
{
	struct hqq_event *event = atomic_load_explicit(&handle->event, memory_order_acquire);

	if (event)
		destroy(event);
	atomic_store_explicit(&handle->event, NULL, memory_order_relaxed);
}
