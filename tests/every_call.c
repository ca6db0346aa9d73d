/*
 * every_call.c - all calls that take a handle, in one table; see every_call.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "every_call.h"
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SIZE 64

static unsigned char scratch[SIZE];
static struct iovec scratch_vector = { scratch, SIZE };

static int take_nothing(const void *data, size_t length, void *argument)
{
	(void)data, (void)length, (void)argument;
	return 0;
}

static ssize_t give_one(void *data, size_t capacity, void *argument)
{
	(void)capacity, (void)argument;
	memset(data, 0, 1);
	return 1;
}

static long long call_read(hqq_standard *handle)
{
	return hqq_standard_read(handle, scratch, SIZE);
}

static long long call_read_nothing(hqq_standard *handle)
{
	return hqq_standard_read(handle, NULL, 0);
}

static long long call_write(hqq_standard *handle)
{
	return hqq_standard_write(handle, scratch, SIZE);
}

static long long call_write_nothing(hqq_standard *handle)
{
	return hqq_standard_write(handle, NULL, 0);
}

static long long call_read_zero_copy(hqq_standard *handle)
{
	return hqq_standard_read_zero_copy(handle, take_nothing, NULL);
}

static long long call_write_zero_copy(hqq_standard *handle)
{
	return hqq_standard_write_zero_copy(handle, give_one, NULL);
}

static long long call_reserve_write(hqq_standard *handle)
{
	struct hqq_reservation reservation;

	return hqq_standard_reserve_write(handle, &reservation);
}

static long long call_reserve_read(hqq_standard *handle)
{
	struct hqq_reservation reservation;

	return hqq_standard_reserve_read(handle, &reservation);
}

static long long call_read_batch(hqq_standard *handle)
{
	scratch_vector.iov_len = SIZE;
	return hqq_standard_read_batch(handle, &scratch_vector, 1);
}

static long long call_write_batch(hqq_standard *handle)
{
	scratch_vector.iov_len = SIZE;
	return hqq_standard_write_batch(handle, &scratch_vector, 1);
}

static long long call_set_deadline(hqq_standard *handle)
{
	return hqq_standard_set_deadline(handle, NULL);
}

static long long call_set_read_deadline(hqq_standard *handle)
{
	return hqq_standard_set_read_deadline(handle, NULL);
}

static long long call_set_write_deadline(hqq_standard *handle)
{
	return hqq_standard_set_write_deadline(handle, NULL);
}

static long long call_interrupt(hqq_standard *handle)
{
	return hqq_standard_interrupt(handle);
}

static long long call_resume(hqq_standard *handle)
{
	return hqq_standard_resume(handle);
}

static long long call_recover(hqq_standard *handle)
{
	return hqq_standard_recover(handle);
}

static long long call_read_from(hqq_standard *handle)
{
	struct hqq_address address;

	return hqq_standard_read_from(handle, scratch, SIZE, &address);
}

static long long call_write_to(hqq_standard *handle)
{
	struct hqq_address address = { .mode = HQQ_MODE_SECONDARY };

	return hqq_standard_write_to(handle, scratch, SIZE, &address);
}

static long long call_local_address(hqq_standard *handle)
{
	struct hqq_address address;

	return hqq_standard_local_address(handle, &address);
}

static long long call_remote_address(hqq_standard *handle)
{
	struct hqq_address address;

	return hqq_standard_remote_address(handle, &address);
}

static long long call_mode(hqq_standard *handle)
{
	return hqq_standard_mode(handle);
}

static long long call_type(hqq_standard *handle)
{
	return hqq_standard_type(handle);
}

static long long call_pending(hqq_standard *handle)
{
	return hqq_standard_pending(handle);
}

static long long call_stats(hqq_standard *handle)
{
	struct hqq_stats stats;

	return hqq_standard_stats(handle, &stats);
}

static long long call_event_fd(hqq_standard *handle)
{
	return hqq_standard_event_fd(handle);
}

static long long call_fd(hqq_standard *handle)
{
	return hqq_standard_fd(handle);
}

static const struct {
	const char *name;
	long long (*call)(hqq_standard *handle);
} calls[] = {
	{ "read", call_read },
	{ "read of nothing", call_read_nothing },
	{ "write", call_write },
	{ "write of nothing", call_write_nothing },
	{ "read_zero_copy", call_read_zero_copy },
	{ "write_zero_copy", call_write_zero_copy },
	{ "reserve_write", call_reserve_write },
	{ "reserve_read", call_reserve_read },
	{ "read_batch", call_read_batch },
	{ "write_batch", call_write_batch },
	{ "set_deadline", call_set_deadline },
	{ "set_read_deadline", call_set_read_deadline },
	{ "set_write_deadline", call_set_write_deadline },
	{ "interrupt", call_interrupt },
	{ "resume", call_resume },
	{ "recover", call_recover },
	{ "read_from", call_read_from },
	{ "write_to", call_write_to },
	{ "local_address", call_local_address },
	{ "remote_address", call_remote_address },
	{ "mode", call_mode },
	{ "type", call_type },
	{ "pending", call_pending },
	{ "stats", call_stats },
	{ "event_fd", call_event_fd },
	{ "fd", call_fd },
};

void every_call_gives(hqq_standard *handle, int error)
{
	bool all = true;
	size_t i;

	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		long long result = calls[i].call(handle);

		if (result == error)
			continue;
		fprintf(stderr, "%s gives %lld, not %d (%s)\n", calls[i].name, result, error,
		        hqq_strerror(error));
		all = false;
	}
	MUST(all);
}

void every_getter_is_empty(hqq_standard *handle)
{
	MUST(hqq_standard_name(handle) == NULL);
	MUST_EQ(hqq_standard_buffer_size(handle), 0);
	MUST_EQ(hqq_standard_buffer_count(handle), 0);
	MUST_EQ(hqq_standard_large_message_threshold(handle), 0);
	MUST(!hqq_standard_is_large_message(handle, 0));
	errno = 0;
	MUST(hqq_standard_stdio(handle, "r") == NULL && errno != 0);
	errno = 0;
	MUST(hqq_standard_stdio(handle, "w") == NULL && errno != 0);
}
