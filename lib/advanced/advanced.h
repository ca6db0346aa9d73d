/*
 * advanced/advanced.h - what the units of the Advanced link share
 *
 * Two kinds of state. What belongs to the dispatcher (the assembly) is touched by the one thread
 * that dispatches at a time; everything else that several threads touch lies under the lock, which
 * is held for a few instructions, never while waiting, copying payloads or in a callback.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_ADVANCED_H
#define HQQ_LIB_ADVANCED_H

#include "advanced/assembly.h"
#include "advanced/inbox.h"
#include "event.h"
#include "link.h"
#include <hqq/advanced.h>
#include <pthread.h>

#define HQQ_KNOWN_FEATURES (HQQ_FEATURE_LARGE_COPY | HQQ_FEATURE_REQUEST_RESPONSE)
#define HQQ_KNOWN_CAPABILITIES \
	(HQQ_CAPABILITY_LARGE_BUFFERS | HQQ_CAPABILITY_HIGH_THROUGHPUT | HQQ_CAPABILITY_LOW_LATENCY)
#define HQQ_PROTOCOL_VERSION UINT64_C(0x100)
#define HQQ_ENDED_IDS 16 /* connections that the peer dialled, remembered once they are no more */

/* A thread that waits for something to become true; on its stack. */
struct hqq_waiter {
	bool (*is_done)(struct hqq_advanced *a, void *argument); /* under the lock */
	void *argument;
	bool wants_room;    /* it waits for room in the outgoing ring; all others for frames */
	bool even_peerless; /* the other side may be absent */
	struct hqq_partner *partner; /* who has to answer, whom it does not outlive; or NULL */
	struct hqq_stream *stream; /* that it owns; or NULL */
	uint64_t session;   /* in which it waits */
	uint64_t joined;    /* the peer's side then: see hqq_patience */
	struct hqq_waiter *next; /* of those that sleep while somebody else dispatches */
	_Atomic uint32_t word;  /* futex: 1 = look again */
};

/* A call that waits for its response. */
struct hqq_pending {
	struct hqq_node node; /* kind RESPONSE */
	bool done;
	_Atomic bool started; /* by call_start, and neither waited for nor cancelled */
	bool on_heap; /* as all that call_start made */
	int rc;
	struct hqq_message response;
};

enum hqq_connection_state {
	HQQ_CONNECTION_DIALING,
	HQQ_CONNECTION_OPEN,
	HQQ_CONNECTION_WAITING, /* accepted on the wire, not yet by the program */
	HQQ_CONNECTION_REFUSED, /* a dial that failed with rc */
	HQQ_CONNECTION_CLOSED   /* by the peer */
};

struct hqq_connection {
	struct hqq_node node; /* connection id only */
	enum hqq_connection_state state;
	bool awaited; /* by a dial, which will hand it out or forget it; nobody else may forget it */
	int rc;
	struct hqq_connection *next_waiting;
};

/* A request that hqq_advanced_serve() handed to a handler and that is not answered yet. */
struct hqq_served {
	uint64_t connection_id;
	uint64_t message_id;
	_Atomic uint32_t answered;
	struct hqq_served *outer;
};

/* The one receive_stream at a time. */
struct hqq_stream {
	struct hqq_waiter *owner;
	pthread_t thread;
	hqq_chunk_fn *function;
	void *argument;
	bool bound; /* to the message below */
	bool done;
	int rc;
	struct hqq_message head;
	struct hqq_key key;
};

/* A packet to be sent as soon as there is room; what the dispatcher itself has to say. */
struct hqq_outgoing {
	struct hqq_outgoing *next;
	uint64_t words[HQQ_PACKET_WORDS];
};

struct hqq_negotiation {
	_Atomic uint32_t state; /* enum hqq_protocol_state; changed under the lock */
	int rc;                 /* why it failed */
	uint64_t wanted;        /* by us, as initiator */
	bool asked;             /* the peer asked, and was not answered yet */
	bool answered;          /* the peer asked while we did, and was answered */
	uint64_t asked_joined;  /* endpoints that had joined on its side then */
	uint64_t asked_features;
	uint64_t asked_capabilities;
	_Atomic uint64_t features;
	_Atomic uint64_t capabilities;
	uint64_t began;
	unsigned accepting; /* threads in wait_negotiation */
	bool has_asked;     /* we did, and of whom the last time: */
	struct hqq_partner partner;
};

enum hqq_advanced_counter {
	HQQ_ADV_NEGOTIATION_NS,
	HQQ_ADV_LARGE_SENT,
	HQQ_ADV_LARGE_SENT_BYTES,
	HQQ_ADV_LARGE_RECEIVED,
	HQQ_ADV_LARGE_RECEIVED_BYTES,
	HQQ_ADV_REQUESTS_SENT,
	HQQ_ADV_REQUESTS_RECEIVED,
	HQQ_ADV_RESPONSES_SENT,
	HQQ_ADV_RESPONSES_RECEIVED,
	HQQ_ADV_REFUSED,
	HQQ_ADV_DROPPED,
	HQQ_ADV_ABORTED,
	HQQ_ADV_COUNTERS
};

struct hqq_advanced {
	struct hqq_link link;
	uint64_t max_message_size;
	enum hqq_dispatcher dispatcher;
	_Atomic uint64_t message_ids; /* handed out so far */
	_Atomic uint64_t counters[HQQ_ADV_COUNTERS];

	struct hqq_assembly assembly; /* the dispatcher's, down to the next lock */
	uint64_t frame_session;       /* in which the frame came that is being delivered */
	_Atomic bool session_used;    /* messages came since it was negotiated */
	_Atomic uint32_t careful;     /* the dispatcher must look at each frame before it takes it */

	pthread_mutex_t lock; /* from here to the end */
	struct hqq_waiter *driver;       /* who dispatches */
	bool driver_sleeps;              /* in the kernel, or about to */
	_Atomic uint32_t alarm;          /* futex: changes when the driver shall look again */
	bool assembly_is_stale;          /* of an earlier session: the dispatcher clears it */
	bool has_discard;                /* the dispatcher swallows the rest of this message */
	struct hqq_key discard;
	struct hqq_waiter *waiters;      /* asleep */
	struct hqq_waiter *preferred;    /* the only one that may dispatch the next frame */
	bool has_bystander;              /* a dispatch() waits for the driver to stop */
	unsigned wanted;                 /* waits for frames under way */
	_Atomic uint64_t session;        /* counts the times that a peer was lost */
	bool session_lost;               /* and not negotiated anew: calls are told so */
	bool loss_is_told;               /* by hqq_advanced_dispatch() */
	_Atomic uint64_t peer_joined;    /* extension's count of the peer's side when we negotiated */
	uint64_t first_position;         /* answers that lie before it are to others, or from them */
	struct hqq_negotiation negotiation;
	struct hqq_inbox inbox;
	struct hqq_table calls;
	struct hqq_table connections;
	struct hqq_connection *waiting, **waiting_end; /* for accept, in order */
	unsigned waiting_count;
	uint64_t dialed;
	uint64_t ended[HQQ_ENDED_IDS]; /* a ring; ids of connections that are no more */
	unsigned ended_count;
	bool listening;
	struct hqq_served *_Atomic served;
	struct hqq_stream *stream;
	bool in_callback; /* a stream's function runs, in stream->thread */
	struct hqq_outgoing *outgoing, **outgoing_end;
	_Atomic uint32_t outgoing_count;

	bool has_thread;
	pthread_t thread;
	_Atomic uint32_t thread_stop;
	_Atomic uint32_t thread_word; /* futex: changes when the thread shall look again */
	hqq_event_slot event;
};

static inline void hqq_adv_count(struct hqq_advanced *a, enum hqq_advanced_counter counter, uint64_t n)
{
	atomic_fetch_add_explicit(&a->counters[counter], n, memory_order_relaxed);
}

/* For counters that only the dispatcher touches: no locked operation. */
static inline void hqq_adv_count_alone(struct hqq_advanced *a, enum hqq_advanced_counter counter, uint64_t n)
{
	const uint64_t before = atomic_load_explicit(&a->counters[counter], memory_order_relaxed);

	atomic_store_explicit(&a->counters[counter], before + n, memory_order_relaxed);
}

/* enum hqq_protocol_state. Acquire pairs with the release of whoever changes it. */
static inline uint32_t hqq_adv_state(const struct hqq_advanced *a)
{
	return atomic_load_explicit(&a->negotiation.state, memory_order_acquire);
}

static inline void hqq_adv_lock(struct hqq_advanced *a)
{
	pthread_mutex_lock(&a->lock);
}

static inline void hqq_adv_unlock(struct hqq_advanced *a)
{
	pthread_mutex_unlock(&a->lock);
}

/* session.c */

/* Goes into a call that needs a negotiated link with these features; INVALID_OP, PEER_GONE, ... */
int hqq_adv_enter(struct hqq_advanced *a, hqq_context *context, struct hqq_seat **seat, uint64_t features);

/* A session that has just begun is over: its peer is gone, and another may be there. Under the lock. */
void hqq_session_disown(struct hqq_advanced *a);

/* Ends the session: calls, dials and waits fail with error. Under the lock. */
void hqq_session_end(struct hqq_advanced *a, int error);

/* We negotiated with a libhqq endpoint, and it is gone, or another came in its place. Under the lock. */
bool hqq_session_is_over(struct hqq_advanced *a);

/* Starts a session with what was agreed. Under the lock. */
void hqq_session_begin(struct hqq_advanced *a, uint64_t features, uint64_t capabilities);

/* negotiate.c: what the dispatcher does with these packets. Under the lock. */
void hqq_negotiate_asked(struct hqq_advanced *a, uint64_t version, uint64_t features, uint64_t capabilities);
void hqq_negotiate_answered(struct hqq_advanced *a, uint64_t version, uint64_t features, uint64_t capabilities);
void hqq_negotiate_refused(struct hqq_advanced *a);

/* connection.c: likewise */
void hqq_connection_created(struct hqq_advanced *a, uint64_t id);
void hqq_connection_accepted(struct hqq_advanced *a, uint64_t id);
void hqq_connection_failed(struct hqq_advanced *a, uint64_t id, uint64_t code);
void hqq_connection_closed(struct hqq_advanced *a, uint64_t id);
/*
 * Nothing may be sent on it any more. for_answer: to a request, which a peer may send on an id that it never
 * dialled, also if we dialled it in an earlier session.
 */
bool hqq_connection_is_closed(struct hqq_advanced *a, uint64_t id, bool for_answer);
/* error: what dials under way fail with; 0: there are none, free everything */
void hqq_connections_end(struct hqq_advanced *a, int error);

/* stream.c: ends the stream that is bound to a message, on one connection or any. Under the lock. */
void hqq_stream_end(struct hqq_advanced *a, const uint64_t *connection_id, int error);

/* calls.c */
void hqq_calls_complete(struct hqq_advanced *a, struct hqq_pending *pending, int rc, struct hqq_message *response);
struct hqq_pending *hqq_calls_find(struct hqq_advanced *a, uint64_t connection_id, uint64_t message_id);
/* All of them, or those of one connection. */
void hqq_calls_fail(struct hqq_advanced *a, const uint64_t *connection_id, int error);
void hqq_calls_free(struct hqq_advanced *a);

/* deliver.c: from the dispatcher to whom it concerns */
/* The frame was read once, when it was decided that self may take it. */
void hqq_deliver_frame(struct hqq_advanced *a, struct hqq_seat **seat, uint64_t position,
                       const struct hqq_frame *frame, const struct hqq_waiter *self);
/* There is a stream, and the frame is for it. Under the lock. */
bool hqq_deliver_is_for_stream(const struct hqq_advanced *a, const struct hqq_frame *frame);
void hqq_deliver_standard(struct hqq_advanced *a, void *data, uint64_t size);

/* pump.c */
enum hqq_pumped {
	HQQ_PUMP_EMPTY,   /* nothing to take */
	HQQ_PUMP_TOOK,    /* a frame was handed on */
	HQQ_PUMP_HELD,    /* the next frame must stay where it is for now */
	HQQ_PUMP_FOREIGN  /* the next frame is for the stream of another thread */
};

/* Takes the next frame, if any, and hands it on. For the driver. */
enum hqq_pumped hqq_pump_one(struct hqq_advanced *a, struct hqq_seat **seat, const struct hqq_waiter *self);

/*
 * The next frame is for somebody whether or not the waiter is done: a call, or a request within the
 * limit of its queue. Others stay in the ring until somebody wants them.
 */
bool hqq_pump_may_take_ahead(struct hqq_advanced *a);

/* There is a next frame, and it stays where it is. For those who do not drive; under the lock. */
bool hqq_pump_is_held(struct hqq_advanced *a);

/* receive.c: inside a call */
int hqq_receive_request(struct hqq_advanced *a, struct hqq_seat **seat, hqq_context *context,
                        struct hqq_message *message);

/* dispatch.c */

/*
 * Waits until the waiter is done, dispatching meanwhile or while somebody else does. Under the lock, which
 * it leaves while it waits: what the waiter waited for is so when it returns 0.
 */
int hqq_dispatch_wait(struct hqq_advanced *a, struct hqq_seat **seat, hqq_context *context,
                      struct hqq_waiter *waiter);
void hqq_dispatch_alarm(struct hqq_advanced *a);    /* makes the driver look again; under the lock */
void hqq_dispatch_note(struct hqq_advanced *a);     /* stream, inbox or assembly changed; under the lock */
void hqq_dispatch_wake(struct hqq_advanced *a);     /* those whose wait is over; under the lock */
void hqq_dispatch_wake_all(struct hqq_advanced *a); /* to look at gate and session; under the lock */
void hqq_dispatch_nudge(void *a);                   /* the same, taking the lock */
int hqq_dispatch_start_thread(struct hqq_advanced *a);    /* if there is none; under the lock */
void hqq_dispatch_rely_on_thread(struct hqq_advanced *a); /* AUTO, and nobody drives; under the lock */
void hqq_dispatch_stop_thread(struct hqq_advanced *a);

/* send.c */
static inline uint64_t hqq_adv_message_id(struct hqq_advanced *a)
{
	return atomic_fetch_add_explicit(&a->message_ids, 1, memory_order_relaxed) + 1;
}

/* 0 or CONN_NOT_FOUND: see hqq_connection_is_closed() */
int hqq_send_check_connection(struct hqq_advanced *a, uint64_t connection_id, bool for_answer);
/* Nothing goes out once the session is another one: the ids would be somebody else's. */
void hqq_send_abort(struct hqq_advanced *a, struct hqq_seat *seat, const struct hqq_key *key, uint64_t session);
int hqq_send_message(struct hqq_advanced *a, struct hqq_seat **seat, hqq_context *context, struct hqq_frame *frame,
                     const void *data, uint64_t session);
int hqq_send_claim(struct hqq_advanced *a, struct hqq_seat **seat, hqq_context *context, uint32_t max,
                   uint64_t *position);
bool hqq_send_post(struct hqq_advanced *a, enum hqq_opcode opcode, uint64_t word_1, uint64_t word_2,
                   uint64_t word_3); /* under the lock */
void hqq_send_post_frame(struct hqq_advanced *a, const struct hqq_frame *frame); /* under the lock */
bool hqq_send_flush(struct hqq_advanced *a, struct hqq_seat *seat); /* under the lock; true when nothing is left */
void hqq_send_free(struct hqq_advanced *a);

#endif /* HQQ_LIB_ADVANCED_H */
