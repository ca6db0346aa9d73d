/*
 * test_touch.c - which pages of a message a reader writes back to (lib/ring.h), way by way
 *
 * The buffer of the slot is write-protected in the reader's mapping, and the faults are counted.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"
#include "support.h"

#include <hqq.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LONG 65536
#define SMALL_RING 16 /* slots of that size: 1 MiB */
#define LARGE_RING 32

/* ---- protected pages --------------------------------------------------------------------------- */

static unsigned char *volatile first, *volatile end; /* what is watched */
static size_t page;
static volatile sig_atomic_t written;

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
	unsigned char *at = (unsigned char *)((uintptr_t)info->si_addr / page * page);

	(void)context;
	if (at < first || at >= end || mprotect(at, page, PROT_READ | PROT_WRITE) != 0)
		signal(signal_number, SIG_DFL); /* a defect: comes again, and is the end */
	written++;
}

static void setup(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = on_fault;
	action.sa_flags = SA_SIGINFO;
	page = (size_t)sysconf(_SC_PAGESIZE);
	ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
}

static void teardown(void)
{
	signal(SIGSEGV, SIG_DFL);
}

/* Watches the pages that lie within these bytes as a whole; how many. */
static size_t watch(const void *data, size_t length)
{
	first = (unsigned char *)(((uintptr_t)data + page - 1) / page * page);
	end = (unsigned char *)(((uintptr_t)data + length) / page * page);
	written = 0;
	MUST(end > first && mprotect(first, (size_t)(end - first), PROT_READ) == 0);
	return (size_t)(end - first) / page;
}

static size_t pages_written(void)
{
	MUST(mprotect(first, (size_t)(end - first), PROT_READ | PROT_WRITE) == 0);
	return (size_t)written;
}

/* ---- the Standard link ------------------------------------------------------------------------- */

static unsigned char message[LONG], into[LONG];

struct link {
	hqq_standard *writer, *reader;
	size_t count;
	unsigned char *slots; /* of the ring that is read, as the reader sees it */
	size_t sent;
};

static int remember(const void *data, size_t length, void *argument)
{
	MUST_EQ(length, LONG);
	memcpy(argument, &data, sizeof(data));
	return 0;
}

static void link_send(struct link *link, size_t length)
{
	MUST_EQ(hqq_standard_write(link->writer, message, length), length);
	link->sent++;
}

static void link_open(struct link *link, size_t count)
{
	const char *name = test_name("touch");

	*link = (struct link){ .count = count };
	MUST_EQ(hqq_standard_create(&link->writer, name, count, LONG, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&link->reader, name, count, LONG, NULL), 0);
	link_send(link, LONG);
	MUST_EQ(hqq_standard_read_zero_copy(link->reader, remember, &link->slots), LONG);
}

static void link_close(struct link *link)
{
	MUST_EQ(hqq_standard_close(link->reader), 0);
	MUST_EQ(hqq_standard_close(link->writer), 0);
}

static int do_nothing(const void *data, size_t length, void *argument)
{
	(void)data;
	(void)length;
	(void)argument;
	return 0;
}

enum way { READ, SHORT_READS, ZERO_COPY, RESERVE, BATCH, WAYS };

static void take(hqq_standard *reader, enum way way, size_t length)
{
	struct hqq_reservation reservation;
	struct iovec vector = { into, sizeof(into) };
	size_t done;

	switch (way) {
	case READ:
		MUST_EQ(hqq_standard_read(reader, into, sizeof(into)), length);
		break;
	case SHORT_READS:
		for (done = 0; done < length; done += 512)
			MUST_EQ(hqq_standard_read(reader, into + done, 512), 512);
		break;
	case ZERO_COPY:
		MUST_EQ(hqq_standard_read_zero_copy(reader, do_nothing, NULL), length);
		return;
	case RESERVE:
		MUST_EQ(hqq_standard_reserve_read(reader, &reservation), 0);
		MUST_EQ(hqq_standard_release(&reservation), 0);
		return;
	default:
		MUST_EQ(hqq_standard_read_batch(reader, &vector, 1), 1);
		MUST_EQ(vector.iov_len, length);
	}
	MUST(memcmp(into, message, length) == 0);
}

/* A message of so many bytes, read in this way: pages that were written, of how many. */
static size_t pages_touched(struct link *link, enum way way, size_t length, size_t *of)
{
	unsigned char *data = link->slots + link->sent % link->count * LONG;

	test_fill(message, length, (uint64_t)link->sent);
	memset(into, 0, sizeof(into));
	link_send(link, length);
	*of = watch(data, length);
	take(link->reader, way, length);
	return pages_written();
}

START_TEST(in_a_small_ring)
{
	struct link link;
	size_t of;

	link_open(&link, SMALL_RING);
	ck_assert_uint_eq(pages_touched(&link, (enum way)_i, LONG, &of), of);
	ck_assert_uint_gt(of, 8);
	ck_assert_uint_eq(pages_touched(&link, (enum way)_i, LONG / 2, &of), of);
	link_close(&link);
}
END_TEST

START_TEST(in_a_large_ring)
{
	struct link link;
	size_t of;

	link_open(&link, LARGE_RING);
	ck_assert_uint_eq(pages_touched(&link, (enum way)_i, LONG, &of), 0);
	ck_assert_uint_eq(pages_touched(&link, (enum way)_i, LONG / 2, &of), 0);
	link_close(&link);
}
END_TEST

/* ---- the Advanced link ------------------------------------------------------------------------- */

static const void *last_chunk;

static int watch_chunk(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
                       size_t length, void *argument)
{
	(void)head;
	(void)total;
	if (offset == 0) /* of the first chunk alone, whose slot is released before the second one's turn */
		*(size_t *)argument = watch(data, length);
	last_chunk = data;
	return 0;
}

START_TEST(chunks)
{
	struct adv_pair pair;
	struct hqq_message received;
	const size_t total = 2 * LONG;
	unsigned char *bytes = calloc(1, total);
	size_t of = 0;

	ck_assert_ptr_nonnull(bytes);
	adv_pair_open(&pair, SMALL_RING, LONG, NULL, NULL);
	MUST_EQ(hqq_advanced_send_large(pair.side[0], PATIENT, 0, bytes, total, NULL), 0);
	MUST_EQ(hqq_advanced_receive_stream(pair.side[1], PATIENT, watch_chunk, &of), 0);
	ck_assert_uint_eq(pages_written(), of);
	ck_assert_uint_gt(of, 8);

	/* put together: its chunk lies in the slot after the last one, which is not the ring's last */
	MUST_EQ(hqq_advanced_send_large(pair.side[0], PATIENT, 0, bytes, total, NULL), 0);
	of = watch((const unsigned char *)last_chunk + LONG, LONG);
	MUST_EQ(hqq_advanced_receive(pair.side[1], PATIENT, &received), 0);
	ck_assert_uint_eq(received.payload_size, total);
	ck_assert_uint_eq(pages_written(), of);
	hqq_message_clear(&received);
	adv_pair_close(&pair);
	free(bytes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("touch");
	TCase *cases = test_case(suite, "Standard link", 20);

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_loop_test(cases, in_a_small_ring, 0, WAYS);
	tcase_add_loop_test(cases, in_a_large_ring, 0, WAYS);

	cases = test_case(suite, "Advanced link", 20);
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, chunks);
	return test_main(suite);
}
