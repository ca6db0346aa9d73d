/*
 * event.h - a descriptor that is readable while something waits
 *
 * Messages come through memory, which no poll(2) watches. The first to ask for the descriptor gets
 * an eventfd(2) and a thread of the library that sleeps where readers sleep. Nobody who does not
 * ask has a thread.
 *
 * Promised: while something waits and no call that takes it is under way, the descriptor is
 * readable or becomes so soon. It may be readable with nothing there, after another endpoint took
 * the message or for a tombstone; the next attempt to read settles that.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_EVENT_H
#define HQQ_LIB_EVENT_H

#include "link.h"

struct hqq_event;
typedef struct hqq_event *_Atomic hqq_event_slot; /* NULL until somebody asks */

/*
 * The descriptor, made if there is none; -errno. waits says whether a read would find something;
 * it is called from the watcher, too.
 */
int hqq_event_open(hqq_event_slot *slot, struct hqq_link *link, bool (*waits)(void *), void *argument);

HQQ_COLD void hqq_event_settle(hqq_event_slot *slot);

/* Makes the descriptor tell the truth, if there is one: after something was taken or arrived. */
static inline void hqq_event_update(hqq_event_slot *slot)
{
	/* relaxed: a thread that just asked for the descriptor finds out by itself what waits */
	if (HQQ_UNLIKELY(atomic_load_explicit(slot, memory_order_relaxed) != NULL))
		hqq_event_settle(slot);
}

/*
 * In closing, once the link is drained: ends the watcher, which a call still inside would have kept arming,
 * or only just made; frees the rest.
 */
void hqq_event_stop(hqq_event_slot *slot);
void hqq_event_free(hqq_event_slot *slot);

#endif /* HQQ_LIB_EVENT_H */
