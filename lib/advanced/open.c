/*
 * advanced/open.c - making and closing handles
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/advanced.h"
#include "options.h"
#include "pool.h"
#include "thread.h"
#include <errno.h>

#define DEFAULT_MAX_MESSAGE_SIZE (UINT64_C(64) << 20)
#define ASSEMBLY_MESSAGES 4 /* of the largest size: the default for all unfinished ones */

static struct hqq_pool pool = {.object_size = sizeof(struct hqq_advanced)};

static int read_options(struct hqq_advanced_options *options, const struct hqq_advanced_options *from)
{
	struct hqq_advanced_options o = HQQ_ADVANCED_OPTIONS_INIT;
	int rc = from ? hqq_options_copy(&o, sizeof(o), from) : 0;

	if (rc == 0)
		rc = hqq_options_read(&o.link, &o.link);
	if (rc)
		return rc;
	if (o.dispatcher > HQQ_DISPATCH_MANUAL || o.reserved)
		return HQQ_ERR_INVALID_OP;
	if (o.max_message_size == 0)
		o.max_message_size = DEFAULT_MAX_MESSAGE_SIZE;
	if (o.max_message_size > PTRDIFF_MAX)
		return HQQ_ERR_INVALID_SIZE;
	if (o.max_assembly_bytes == 0 &&
	    __builtin_mul_overflow(o.max_message_size, ASSEMBLY_MESSAGES, &o.max_assembly_bytes))
		o.max_assembly_bytes = UINT64_MAX;
	*options = o;
	return 0;
}

/* Before a link is made: the options, checked, and an object for it. */
static int begin(hqq_advanced **handle, const struct hqq_advanced_options *options,
                 struct hqq_advanced_options *checked, hqq_advanced **object)
{
	int rc = handle ? read_options(checked, options) : HQQ_ERR_INVALID_OP;

	if (rc)
		return rc;
	*object = hqq_pool_take(&pool);
	return *object ? 0 : -ENOMEM;
}

static void reset_negotiation(struct hqq_negotiation *n)
{
	atomic_store_explicit(&n->state, HQQ_PROTOCOL_NONE, memory_order_relaxed);
	atomic_store_explicit(&n->features, 0, memory_order_relaxed);
	atomic_store_explicit(&n->capabilities, 0, memory_order_relaxed);
	n->asked = n->answered = n->has_asked = false;
	n->accepting = 0;
	n->rc = 0;
}

static void reset(hqq_advanced *a, const struct hqq_advanced_options *o)
{
	const size_t queue = o->incoming_queue_size ? o->incoming_queue_size : a->link.geometry.buffer_count;

	a->first_position = atomic_load_explicit(hqq_link_ring(&a->link, HQQ_CLAIM_READ)->write_cursor,
	                                         memory_order_relaxed);
	a->max_message_size = o->max_message_size;
	a->dispatcher = (enum hqq_dispatcher)o->dispatcher;
	atomic_store_explicit(&a->message_ids, 0, memory_order_relaxed);
	for (int i = 0; i < HQQ_ADV_COUNTERS; i++)
		atomic_store_explicit(&a->counters[i], 0, memory_order_relaxed);
	hqq_assembly_init(&a->assembly, hqq_link_ring(&a->link, HQQ_CLAIM_READ), o->max_message_size,
	                  o->max_assembly_bytes);
	hqq_inbox_init(&a->inbox, queue, o->max_assembly_bytes);
	pthread_mutex_init(&a->lock, NULL);
	reset_negotiation(&a->negotiation);
	a->assembly_is_stale = a->has_discard = a->listening = a->in_callback = a->has_thread = false;
	a->waiters = a->preferred = a->driver = NULL;
	a->has_bystander = a->driver_sleeps = a->session_lost = a->loss_is_told = false;
	atomic_store_explicit(&a->session_used, false, memory_order_relaxed);
	a->wanted = 0;
	a->session = 0;
	a->dialed = a->ended_count = 0;
	a->calls = a->connections = (struct hqq_table){.count = 0};
	a->waiting = NULL;
	a->waiting_end = &a->waiting;
	a->waiting_count = 0;
	a->served = NULL;
	a->stream = NULL;
	atomic_store_explicit(&a->careful, 0, memory_order_relaxed);
	a->outgoing = NULL;
	a->outgoing_end = &a->outgoing;
	a->outgoing_count = 0;
	atomic_store_explicit(&a->thread_stop, 0, memory_order_relaxed);
	atomic_store_explicit(&a->event, NULL, memory_order_relaxed);
}

static int start(hqq_advanced *a)
{
	int rc = 0;

	if (a->dispatcher == HQQ_DISPATCH_THREAD) {
		hqq_adv_lock(a);
		rc = hqq_dispatch_start_thread(a);
		hqq_adv_unlock(a);
	}
	return rc;
}

/* After it: what the Advanced link adds. rc: what making the link returned. */
static int complete(hqq_advanced **handle, hqq_advanced *object, const struct hqq_advanced_options *o, int rc)
{
	if (rc == 0) {
		reset(object, o);
		rc = start(object);
		if (rc) {
			hqq_link_shut(&object->link);
			hqq_link_finish(&object->link);
		}
	}
	if (rc)
		hqq_pool_give(object);
	else
		*handle = object;
	return rc;
}

int hqq_advanced_attach(hqq_advanced **handle, void *base, size_t length, size_t buffer_count, size_t buffer_size,
                        const struct hqq_advanced_options *options)
{
	struct hqq_advanced_options o;
	hqq_advanced *object;
	int rc = begin(handle, options, &o, &object);

	return rc ? rc
	          : complete(handle, object, &o,
	                     hqq_link_attach(&object->link, HQQ_TYPE_ADVANCED, base, length, buffer_count, buffer_size,
	                                     &o.link));
}

int hqq_advanced_create(hqq_advanced **handle, const char *name, size_t buffer_count, size_t buffer_size, mode_t mode,
                        const struct hqq_advanced_options *options)
{
	struct hqq_advanced_options o;
	hqq_advanced *object;
	int rc = begin(handle, options, &o, &object);

	return rc ? rc
	          : complete(handle, object, &o,
	                     hqq_link_create(&object->link, HQQ_TYPE_ADVANCED, name, buffer_count, buffer_size, mode,
	                                     &o.link));
}

int hqq_advanced_open(hqq_advanced **handle, const char *name, size_t buffer_count, size_t buffer_size,
                      const struct hqq_advanced_options *options)
{
	struct hqq_advanced_options o;
	hqq_advanced *object;
	int rc = begin(handle, options, &o, &object);

	return rc ? rc
	          : complete(handle, object, &o,
	                     hqq_link_open(&object->link, HQQ_TYPE_ADVANCED, name, buffer_count, buffer_size, &o.link));
}

int hqq_advanced_create_fd(hqq_advanced **handle, size_t buffer_count, size_t buffer_size,
                           const struct hqq_advanced_options *options)
{
	struct hqq_advanced_options o;
	hqq_advanced *object;
	int rc = begin(handle, options, &o, &object);

	return rc ? rc
	          : complete(handle, object, &o,
	                     hqq_link_create_fd(&object->link, HQQ_TYPE_ADVANCED, buffer_count, buffer_size, &o.link));
}

int hqq_advanced_open_fd(hqq_advanced **handle, int fd, size_t buffer_count, size_t buffer_size,
                         const struct hqq_advanced_options *options)
{
	struct hqq_advanced_options o;
	hqq_advanced *object;
	int rc = begin(handle, options, &o, &object);

	return rc ? rc
	          : complete(handle, object, &o,
	                     hqq_link_open_fd(&object->link, HQQ_TYPE_ADVANCED, fd, buffer_count, buffer_size,
	                                      &o.link));
}

/* Nobody is inside a call any more. */
static void free_all(hqq_advanced *a)
{
	hqq_calls_free(a);
	hqq_connections_end(a, 0);
	hqq_inbox_clear(&a->inbox);
	hqq_assembly_clear(&a->assembly);
	hqq_send_free(a);
	pthread_mutex_destroy(&a->lock);
}

int hqq_advanced_close(hqq_advanced *a)
{
	HQQ_NOT_CANCELED;
	int rc;

	if (!a)
		return 0;
	rc = hqq_link_shut(&a->link);
	if (rc && rc != HQQ_ERR_FORKED)
		return rc;
	if (rc == 0) { /* in a forked child there is neither thread nor call */
		hqq_dispatch_stop_thread(a);
		hqq_link_drain(&a->link, hqq_dispatch_nudge, a);
		/* once more: a call that was inside when the link was shut may have started it */
		hqq_dispatch_stop_thread(a);
		hqq_event_stop(&a->event);
	}
	hqq_event_free(&a->event);
	free_all(a);
	hqq_link_finish(&a->link);
	hqq_pool_give(a);
	return 0;
}
