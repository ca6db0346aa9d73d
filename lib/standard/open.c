/*
 * standard/open.c - making and closing handles, and sizes
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "options.h"
#include "pool.h"
#include "standard/standard.h"
#include "thread.h"
#include <errno.h>

static struct hqq_pool pool = {.object_size = sizeof(struct hqq_standard)};

size_t hqq_standard_size(size_t buffer_count, size_t buffer_size)
{
	struct hqq_geometry geometry;

	return hqq_geometry_init(&geometry, buffer_count, buffer_size) ? 0 : geometry.layout_size;
}

size_t hqq_large_message_threshold(size_t buffer_size)
{
	return buffer_size >= 8 && buffer_size % 8 == 0 ? buffer_size : 0;
}

bool hqq_is_large_message(size_t buffer_size, size_t payload_size)
{
	return payload_size > hqq_large_message_threshold(buffer_size);
}

/* Before a link is made: the options, checked, and an object for it. */
static int begin(hqq_standard **handle, const struct hqq_options *options, struct hqq_options *checked,
                 hqq_standard **object)
{
	int rc = handle ? hqq_options_read(checked, options) : HQQ_ERR_INVALID_OP;

	if (rc)
		return rc;
	*object = hqq_pool_take(&pool);
	return *object ? 0 : -ENOMEM;
}

/* After it: the parts that the Standard link adds. rc: what making the link returned. */
static int complete(hqq_standard **handle, hqq_standard *object, int rc)
{
	if (rc == 0) {
		atomic_store_explicit(&object->read_deadline, HQQ_NO_DEADLINE, memory_order_relaxed);
		atomic_store_explicit(&object->write_deadline, HQQ_NO_DEADLINE, memory_order_relaxed);
		atomic_store_explicit(&object->event, NULL, memory_order_relaxed);
		rc = hqq_tail_init(&object->tail, object->link.geometry.buffer_size);
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

int hqq_standard_attach(hqq_standard **handle, void *base, size_t length, size_t buffer_count, size_t buffer_size,
                        const struct hqq_options *options)
{
	struct hqq_options o;
	hqq_standard *object;
	int rc = begin(handle, options, &o, &object);

	return rc ? rc
	          : complete(handle, object,
	                     hqq_link_attach(&object->link, HQQ_TYPE_STANDARD, base, length, buffer_count, buffer_size,
	                                     &o));
}

int hqq_standard_create(hqq_standard **handle, const char *name, size_t buffer_count, size_t buffer_size, mode_t mode,
                        const struct hqq_options *options)
{
	struct hqq_options o;
	hqq_standard *object;
	int rc = begin(handle, options, &o, &object);

	return rc ? rc
	          : complete(handle, object,
	                     hqq_link_create(&object->link, HQQ_TYPE_STANDARD, name, buffer_count, buffer_size, mode,
	                                     &o));
}

int hqq_standard_open(hqq_standard **handle, const char *name, size_t buffer_count, size_t buffer_size,
                      const struct hqq_options *options)
{
	struct hqq_options o;
	hqq_standard *object;
	int rc = begin(handle, options, &o, &object);

	return rc ? rc
	          : complete(handle, object,
	                     hqq_link_open(&object->link, HQQ_TYPE_STANDARD, name, buffer_count, buffer_size, &o));
}

int hqq_standard_create_fd(hqq_standard **handle, size_t buffer_count, size_t buffer_size,
                           const struct hqq_options *options)
{
	struct hqq_options o;
	hqq_standard *object;
	int rc = begin(handle, options, &o, &object);

	return rc ? rc
	          : complete(handle, object,
	                     hqq_link_create_fd(&object->link, HQQ_TYPE_STANDARD, buffer_count, buffer_size, &o));
}

int hqq_standard_open_fd(hqq_standard **handle, int fd, size_t buffer_count, size_t buffer_size,
                         const struct hqq_options *options)
{
	struct hqq_options o;
	hqq_standard *object;
	int rc = begin(handle, options, &o, &object);

	return rc ? rc
	          : complete(handle, object,
	                     hqq_link_open_fd(&object->link, HQQ_TYPE_STANDARD, fd, buffer_count, buffer_size, &o));
}

int hqq_standard_unlink(const char *name)
{
	return hqq_segment_unlink(name);
}

int hqq_standard_close(hqq_standard *handle)
{
	HQQ_NOT_CANCELED;
	int rc;

	if (!handle)
		return 0;
	rc = hqq_link_shut(&handle->link);
	if (rc && rc != HQQ_ERR_FORKED)
		return rc;
	if (rc == 0) { /* in a forked child there is neither watcher nor call */
		hqq_link_drain(&handle->link, NULL, NULL);
		hqq_event_stop(&handle->event);
	}
	hqq_event_free(&handle->event);
	hqq_tail_destroy(&handle->tail);
	hqq_link_finish(&handle->link);
	hqq_pool_give(handle);
	return 0;
}
