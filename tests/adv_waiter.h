/*
 * adv_waiter.h - a thread that sits in a call of the Advanced link which waits, whichever that is
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_ADV_WAITER_H
#define HQQ_TESTS_ADV_WAITER_H

#include "adv_pair.h"

/* The ways to wait: the first ones for the peer, then those for room, then those for a session. */
#define ADV_WAYS 16
#define ADV_WAYS_ROOM 9
#define ADV_WAYS_SESSION 14
#define ADV_WAY_ASKER 14    /* the one in hqq_advanced_negotiate() */
#define ADV_WAY_ACCEPTOR 15 /* the one in hqq_advanced_wait_negotiation() */

const char *adv_way_name(int way);

/* Both handles made ready so that a call of that way on side 0 has to wait. */
struct adv_waiting {
	hqq_advanced *handle;
	int way;
	uint64_t id;                /* of a call under way */
	struct hqq_message request; /* to be answered */
};

/* The peer needs this done first: nothing, or for some ways a request. */
void adv_peer_prepare(hqq_advanced *peer, int way);
void adv_waiting_prepare(struct adv_waiting *waiting, hqq_advanced *handle, int way);
ssize_t adv_wait(struct adv_waiting *waiting, hqq_context *context);
void adv_waiting_clear(struct adv_waiting *waiting);

struct adv_waiter {
	struct adv_waiting *waiting;
	hqq_context *context;
	pthread_t thread;
	_Atomic pid_t tid;
	_Atomic uint64_t ended_ns; /* 0 while it waits */
	ssize_t result;
};

/* Starts the thread and returns once it sleeps in the kernel. */
void adv_waiter_start(struct adv_waiter *waiter, struct adv_waiting *waiting, hqq_context *context);

/* What the call returned. Fails where it takes longer than the tests' patience. */
ssize_t adv_waiter_join(struct adv_waiter *waiter);

#endif /* HQQ_TESTS_ADV_WAITER_H */
