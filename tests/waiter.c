/*
 * waiter.c - a thread that sits in a call which waits; see waiter.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "waiter.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int take(const void *data, size_t length, void *argument)
{
	(void)argument;
	MUST(length == WAITER_LENGTH && memcmp(data, WAITER_TEXT, WAITER_LENGTH) == 0);
	return 0;
}

static ssize_t give(void *data, size_t capacity, void *argument)
{
	(void)argument;
	MUST(capacity >= WAITER_LENGTH);
	memcpy(data, WAITER_TEXT, WAITER_LENGTH);
	return WAITER_LENGTH;
}

static ssize_t by_read(hqq_standard *handle)
{
	char buffer[64];
	ssize_t n = hqq_standard_read(handle, buffer, sizeof(buffer));

	return n < 0 ? n : (take(buffer, (size_t)n, NULL), n);
}

static ssize_t by_read_from(hqq_standard *handle)
{
	char buffer[64];
	ssize_t n = hqq_standard_read_from(handle, buffer, sizeof(buffer), NULL);

	return n < 0 ? n : (take(buffer, (size_t)n, NULL), n);
}

static ssize_t by_read_zero_copy(hqq_standard *handle)
{
	return hqq_standard_read_zero_copy(handle, take, NULL);
}

static ssize_t by_read_batch(hqq_standard *handle)
{
	char buffer[64];
	struct iovec vector = { buffer, sizeof(buffer) };
	ssize_t n = hqq_standard_read_batch(handle, &vector, 1);

	return n < 0 ? n : (take(buffer, vector.iov_len, NULL), n);
}

static ssize_t by_reserve_read(hqq_standard *handle)
{
	struct hqq_reservation reservation;
	int rc = hqq_standard_reserve_read(handle, &reservation);

	if (rc == 0) {
		take(reservation.data, reservation.size, NULL);
		rc = hqq_standard_release(&reservation);
	}
	return rc;
}

static ssize_t by_write(hqq_standard *handle)
{
	return hqq_standard_write(handle, WAITER_TEXT, WAITER_LENGTH);
}

static ssize_t by_write_to(hqq_standard *handle)
{
	return hqq_standard_write_to(handle, WAITER_TEXT, WAITER_LENGTH, NULL);
}

static ssize_t by_write_zero_copy(hqq_standard *handle)
{
	return hqq_standard_write_zero_copy(handle, give, NULL);
}

static ssize_t by_write_batch(hqq_standard *handle)
{
	struct iovec vector = { (void *)(uintptr_t)WAITER_TEXT, WAITER_LENGTH };

	return hqq_standard_write_batch(handle, &vector, 1);
}

static ssize_t by_reserve_write(hqq_standard *handle)
{
	struct hqq_reservation reservation;
	int rc = hqq_standard_reserve_write(handle, &reservation);

	if (rc == 0) {
		give(reservation.data, reservation.size, NULL);
		rc = hqq_standard_commit(&reservation, WAITER_LENGTH);
	}
	return rc;
}

static const struct {
	const char *name;
	ssize_t (*call)(hqq_standard *handle);
	ssize_t success;
} ways[WAITER_WAYS] = {
	{ "read", by_read, WAITER_LENGTH },
	{ "read_from", by_read_from, WAITER_LENGTH },
	{ "read_zero_copy", by_read_zero_copy, WAITER_LENGTH },
	{ "read_batch", by_read_batch, 1 },
	{ "reserve_read", by_reserve_read, 0 },
	{ "write", by_write, WAITER_LENGTH },
	{ "write_to", by_write_to, WAITER_LENGTH },
	{ "write_zero_copy", by_write_zero_copy, WAITER_LENGTH },
	{ "write_batch", by_write_batch, 1 },
	{ "reserve_write", by_reserve_write, 0 },
};

const char *waiter_name(int way)
{
	return ways[way].name;
}

bool waiter_writes(int way)
{
	return way >= WAITER_READS;
}

ssize_t waiter_success(int way)
{
	return ways[way].success;
}

ssize_t waiter_call(hqq_standard *handle, int way)
{
	return ways[way].call(handle);
}

static void *wait_in_call(void *argument)
{
	struct waiter *waiter = argument;

	waiter->tid = (pid_t)syscall(SYS_gettid);
	waiter->result = waiter_call(waiter->handle, waiter->way);
	waiter->ended_ns = test_now_ns();
	return NULL;
}

void waiter_start(struct waiter *waiter, hqq_standard *handle, int way)
{
	waiter->handle = handle;
	waiter->way = way;
	waiter->tid = 0;
	waiter->ended_ns = 0;
	MUST_EQ(pthread_create(&waiter->thread, NULL, wait_in_call, waiter), 0);
}

void waiter_asleep(struct waiter *waiter)
{
	while (waiter->tid == 0)
		test_sleep_ms(1);
	test_wait_asleep(getpid(), waiter->tid);
}

uint64_t waiter_count(hqq_standard *handle)
{
	struct hqq_stats stats;

	MUST_EQ(hqq_standard_stats(handle, &stats), 0);
	return stats.empty_waits + stats.full_waits;
}

void waiter_inside(hqq_standard *handle, uint64_t waits)
{
	while (waiter_count(handle) < waits)
		test_sleep_ms(1);
}

ssize_t waiter_join(struct waiter *waiter)
{
	MUST_EQ(pthread_join(waiter->thread, NULL), 0);
	return waiter->result;
}

void waiter_fill(hqq_standard *handle)
{
	ssize_t n;

	do
		n = by_write(handle);
	while (n == WAITER_LENGTH);
	MUST_EQ(n, HQQ_ERR_TIMEOUT);
}

void waiter_prompt(const struct waiter *waiter, uint64_t since_ns, const char *what)
{
	uint64_t took = waiter->ended_ns > since_ns ? waiter->ended_ns - since_ns : 0;

	fprintf(stderr, "%s ended by %s after %llu us\n", waiter_name(waiter->way), what,
	        (unsigned long long)took / 1000);
	MUST(took < TEST_WAKE_NS);
}
