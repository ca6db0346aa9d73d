/*
 * watch.c - a thread beside a transfer: signals, time limits and the progress line
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "common.h"
#include "truncation.h"
#include "watch.h"
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS (100 * NS_PER_MS)
#define KICK_NS (20 * NS_PER_MS)   /* between kicks, while the transfer is asked to stop */
#define CHECK_NS (500 * NS_PER_MS) /* between looks for a peer that left */

#define MAKING_NAP_NS (NS_PER_MS / 2)
#define MAKING_NAPS 2000

/* Ends blocking system calls of the transfer with EINTR, and tells the watch to quit. */
#define KICK SIGUSR1

static void kicked(int signal)
{
	(void)signal;
}

static void stop(struct watch *watch, enum stop_reason reason, int signal)
{
	hqq_standard *link;

	atomic_store(&watch->signal, signal);
	/* seq_cst pairs with watch_link(): the reason is seen there, or the link here */
	atomic_store(&watch->reason, reason);
	link = atomic_load(&watch->link);
	if (link)
		hqq_standard_interrupt(link);
	if (watch->context)
		hqq_context_cancel(watch->context);
}

void watch_link(struct watch *watch, hqq_standard *link)
{
	atomic_store(&watch->link, link);
	if (link && atomic_load(&watch->reason) != STOP_NONE)
		hqq_standard_interrupt(link);
}

static void check_peer(struct watch *watch, uint64_t now)
{
	enum peer_state peer;

	if (watch->came && now - watch->checked < CHECK_NS)
		return;
	watch->checked = now;
	peer = watch->peer(watch->argument);
	if (!watch->came && peer != PEER_NONE) {
		watch->came = true;
		watch->moved = now;
	}
	if (peer == PEER_LEFT || peer == PEER_NEVER)
		stop(watch, STOP_PEER, 0);
}

static void check_limits(struct watch *watch, uint64_t now)
{
	uint64_t beats = atomic_load_explicit(&watch->messages, memory_order_relaxed) +
	                 atomic_load_explicit(&watch->pulses, memory_order_relaxed);

	if (beats != watch->beats ||
	    atomic_load_explicit(&watch->phase, memory_order_relaxed) != PHASE_PEER) {
		watch->beats = beats;
		watch->moved = now;
	}
	if (!watch->came && watch->wait_ns && now - watch->started >= watch->wait_ns)
		stop(watch, STOP_NOBODY, 0);
	else if (watch->came && watch->timeout_ns && now - watch->moved >= watch->timeout_ns)
		stop(watch, STOP_IDLE, 0);
}

static void on_signal(struct watch *watch, int signal)
{
	if (signal == KICK)
		return;
	if (watch_stopped(watch)) {
		/* else the name would stay */
		for (int i = 0; i < MAKING_NAPS && atomic_load(&watch->making); i++)
			sleep_ns(MAKING_NAP_NS);
		watch->last_words(watch->argument);
		_exit(128 + signal);
	}
	stop(watch, STOP_SIGNAL, signal);
}

static void *run(void *argument)
{
	struct watch *watch = argument;

	while (!atomic_load(&watch->quit)) {
		bool stopped = watch_stopped(watch);
		struct timespec tick = {.tv_nsec = (long)(stopped ? KICK_NS : TICK_NS)};
		int signal = sigtimedwait(&watch->signals, NULL, &tick);

		if (signal > 0)
			on_signal(watch, signal);
		else if (stopped)
			pthread_kill(watch->transfer, KICK);
		else if (truncation_seen())
			stop(watch, STOP_PEER, 0);
		else
			check_peer(watch, monotonic_ns());
		if (!watch_stopped(watch))
			check_limits(watch, monotonic_ns());
		progress_tick(&watch->progress, atomic_load_explicit(&watch->bytes, memory_order_relaxed),
		              atomic_load_explicit(&watch->first_ns, memory_order_relaxed));
	}
	return NULL;
}

int watch_start(struct watch *watch)
{
	/* no SA_RESTART: a kick must end a read(2) or write(2) */
	struct sigaction action = {.sa_handler = kicked}, hangup;
	sigset_t kick;
	int rc;

	sigemptyset(&watch->signals);
	sigaddset(&watch->signals, SIGINT);
	sigaddset(&watch->signals, SIGTERM);
	/* what nohup(1) asked to be ignored stays ignored */
	if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
		sigaddset(&watch->signals, SIGHUP);
	sigaddset(&watch->signals, KICK);
	sigemptyset(&kick);
	sigaddset(&kick, KICK);
	signal(SIGPIPE, SIG_IGN); /* EPIPE says the same, and lets us clean up */
	sigaction(KICK, &action, NULL);
	watch->transfer = pthread_self();
	watch->started = watch->moved = monotonic_ns();
	pthread_sigmask(SIG_BLOCK, &watch->signals, &watch->previous);
	rc = pthread_create(&watch->thread, NULL, run, watch);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	return -rc;
}

void watch_stop(struct watch *watch)
{
	atomic_store(&watch->quit, true);
	pthread_kill(watch->thread, KICK);
	pthread_join(watch->thread, NULL);
}

void watch_let_signals(struct watch *watch)
{
	pthread_sigmask(SIG_SETMASK, &watch->previous, NULL);
}

static double seconds(uint64_t nanoseconds)
{
	return (double)nanoseconds / (double)NS_PER_SECOND;
}

int watch_verdict(const struct watch *watch, const char *peer, const char *what, int error, char *text,
                  size_t size)
{
	switch (atomic_load(&watch->reason)) {
	case STOP_SIGNAL:
		return 128 + atomic_load(&watch->signal);
	case STOP_NOBODY:
		snprintf(text, size, "no %s came within %g s", peer, seconds(watch->wait_ns));
		return STATUS_TIMEOUT;
	case STOP_IDLE:
		snprintf(text, size, "the %s stood still for %g s", peer, seconds(watch->timeout_ns));
		return STATUS_TIMEOUT;
	case STOP_PEER:
		error = HQQ_ERR_PEER_GONE;
		break;
	default:
		break;
	}
	if (error == HQQ_ERR_PEER_GONE) {
		snprintf(text, size, "the %s went away", peer);
		return STATUS_PEER;
	}
	snprintf(text, size, "cannot %s: %s", what, hqq_strerror(error));
	return STATUS_FAILED;
}
