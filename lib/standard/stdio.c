/*
 * standard/stdio.c - a link as a stdio stream
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "standard/standard.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int errno_of(ssize_t error)
{
	switch (error) {
	case HQQ_ERR_TIMEOUT:
		return ETIMEDOUT;
	case HQQ_ERR_CANCELED:
		return ECANCELED;
	case HQQ_ERR_PEER_GONE:
		return EPIPE;
	case HQQ_ERR_CLOSED:
	case HQQ_ERR_INVALID_OP:
	case HQQ_ERR_FORKED:
		return EBADF;
	default:
		return error > -4096 ? (int)-error : EIO;
	}
}

/* The handle of a stream, as it was when the stream was made. */
struct cookie {
	hqq_standard *handle;
	uint64_t generation;
	size_t buffer_size;
};

static bool is_current(const struct cookie *cookie)
{
	return atomic_load_explicit(&cookie->handle->link.seats.generation, memory_order_relaxed) ==
	       cookie->generation;
}

static ssize_t read_stream(void *argument, char *buffer, size_t length)
{
	const struct cookie *cookie = argument;
	ssize_t n = is_current(cookie) ? hqq_standard_read(cookie->handle, buffer, length) : HQQ_ERR_CLOSED;

	if (n >= 0)
		return n;
	if (n == HQQ_ERR_PEER_GONE)
		return 0; /* end of file */
	errno = errno_of(n);
	return -1;
}

/* As many messages as it takes; stdio wants 0, never a negative number, on failure. */
static ssize_t write_stream(void *argument, const char *buffer, size_t length)
{
	const struct cookie *cookie = argument;
	size_t done = 0;

	while (done < length) {
		size_t piece = length - done < cookie->buffer_size ? length - done : cookie->buffer_size;
		ssize_t n = is_current(cookie) ? hqq_standard_write(cookie->handle, buffer + done, piece)
		                               : HQQ_ERR_CLOSED;

		if (n < 0) {
			errno = errno_of(n);
			break;
		}
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int close_stream(void *argument)
{
	free(argument);
	return 0;
}

FILE *hqq_standard_stdio(hqq_standard *handle, const char *mode)
{
	const cookie_io_functions_t functions = {
		.read = read_stream,
		.write = write_stream,
		.close = close_stream,
	};
	struct hqq_seat *seat = NULL;
	struct cookie *cookie;
	FILE *stream;
	int rc = mode && strchr("rwa", mode[0]) && mode[0] ? hqq_link_enter_always(hqq_standard_link(handle), &seat)
	                                                   : -EINVAL;

	if (rc) {
		errno = errno_of(rc);
		return NULL;
	}
	cookie = malloc(sizeof(*cookie));
	if (cookie) {
		cookie->handle = handle;
		cookie->generation =
			atomic_load_explicit(&handle->link.seats.generation, memory_order_relaxed);
		cookie->buffer_size = handle->link.geometry.buffer_size;
	}
	hqq_link_leave(seat);
	stream = cookie ? fopencookie(cookie, mode, functions) : NULL;
	if (!stream)
		free(cookie);
	return stream;
}
