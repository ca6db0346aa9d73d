/*
 * adv_pair.h - two Advanced endpoints on one segment, a server, and what the other tests of them share
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_ADV_PAIR_H
#define HQQ_TESTS_ADV_PAIR_H

#include "support.h"

#include <hqq.h>
#include <pthread.h>

#define ADV_ALL (HQQ_FEATURE_LARGE_COPY | HQQ_FEATURE_REQUEST_RESPONSE)
#define ADV_VERSION ((struct hqq_version){HQQ_ADVANCED_VERSION_MAJOR, HQQ_ADVANCED_VERSION_MINOR})

/*
 * Contexts on the spot. PATIENT is for calls that must succeed: one that hangs fails the test with
 * TIMEOUT and tells where, long before the watchdog of the case.
 */
#define WITHIN_MS(milliseconds) adv_within(&(hqq_context)HQQ_CONTEXT_INIT, (milliseconds))
#define AT_ONCE WITHIN_MS(0)
#define PATIENT WITHIN_MS(UINT64_C(15000) * test_slowness())

hqq_context *adv_within(hqq_context *context, uint64_t milliseconds);

/* Side 0 is the primary. */
struct adv_pair {
	hqq_advanced *side[2];
};

/* Options with this dispatcher and, where they are not 0, these sizes. */
struct hqq_advanced_options adv_options(uint32_t dispatcher, uint64_t max_message_size, size_t queue,
					uint64_t max_assembly_bytes);

/* Both ends of a segment without a name, in this process; options may be NULL. Not negotiated yet. */
void adv_open(struct adv_pair *pair, size_t count, size_t size, const struct hqq_advanced_options *primary,
	      const struct hqq_advanced_options *secondary);

/* The primary asks, the secondary accepts. */
void adv_agree(struct adv_pair *pair, uint64_t features);

/* Both of the above, with all features. */
void adv_pair_open(struct adv_pair *pair, size_t count, size_t size,
		   const struct hqq_advanced_options *primary, const struct hqq_advanced_options *secondary);

/* Closes what is not NULL. */
void adv_pair_close(struct adv_pair *pair);

/* Writes Standard payloads until there is no room; how many. */
unsigned adv_fill(hqq_advanced *handle);

/* Reads that many of them. */
void adv_drain(hqq_advanced *handle, unsigned count);

struct hqq_advanced_stats adv_stats(const hqq_advanced *handle);

/* ---- a server ---------------------------------------------------------------------------------- */

enum {
	ADV_ECHO = 1, /* the body back, its length as the status */
	ADV_ERROR,    /* an error response: status 77, body "no" */
	ADV_SILENT,   /* returns 0 and does not answer */
	ADV_FAIL,     /* returns HQQ_ERR_MEMORY_SMALL */
	ADV_BACK,     /* calls ADV_ECHO of its caller and passes the answer on */
	ADV_UNKNOWN   /* nobody's */
};
#define ADV_METHODS 5

extern const struct hqq_method adv_methods[ADV_METHODS];

/* A thread in hqq_advanced_serve() with adv_methods. */
struct adv_server {
	hqq_advanced *handle;
	hqq_context context;
	pthread_t thread;
	_Atomic pid_t tid;
	int rc;
};

void adv_server_start(struct adv_server *server, hqq_advanced *handle);

/* Cancels it, unless it ended by itself; what hqq_advanced_serve() returned. */
int adv_server_stop(struct adv_server *server);

/* A call of ADV_ECHO with so many bytes of a pattern, answered rightly, on this connection. */
void adv_echo(hqq_advanced *handle, uint64_t connection_id, size_t length, uint64_t seed);

/* Sends, receives and compares a data message. */
void adv_push(hqq_advanced *handle, uint64_t connection_id, size_t length, uint64_t seed);
void adv_pull(hqq_advanced *handle, uint64_t connection_id, size_t length, uint64_t seed);

#endif /* HQQ_TESTS_ADV_PAIR_H */
