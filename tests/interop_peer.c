/*
 * interop_peer.c - one of two processes that share a named segment, each perhaps built for another
 * processor (tests/interop-arch runs them)
 *
 *	interop_peer create NAME    makes the segment; the primary
 *	interop_peer open NAME      waits for it, takes its geometry; the secondary
 *	interop_peer refuse NAME    waits until it is made, in the other byte order, and must be refused
 *
 * In turn, each side asks and the other answers, then each side streams and the other adds up. The
 * bytes of a message are worked out from its number, one by one, so that no byte order comes into it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "layout.h"

#include <errno.h>
#include <fcntl.h>
#include <hqq.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFERS 16
#define BYTES 64
#define QUESTIONS 2000
#define STREAM 20000
#define BATCH 5
#define WATCHDOG_SECONDS 120
#define REFUSE_SECONDS 45

static const char *side;

static void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "%s (%zu-bit): ", side, sizeof(void *) * 8);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

static size_t length_of(unsigned int number)
{
	return 1 + number % BYTES;
}

static void fill(unsigned char *bytes, unsigned int number, unsigned int salt)
{
	for (size_t i = 0; i < length_of(number); i++)
		bytes[i] = (unsigned char)(number + number / 256 + 7 * i + salt);
}

static void expect(const unsigned char *bytes, ssize_t length, unsigned int number, unsigned int salt)
{
	unsigned char wanted[BYTES];

	if (length < 0)
		die("message %u: %s", number, hqq_strerror((int)length));
	fill(wanted, number, salt);
	if ((size_t)length != length_of(number) || memcmp(bytes, wanted, (size_t)length) != 0)
		die("message %u arrived wrong, %zd bytes for %zu", number, length, length_of(number));
}

static void send_one(hqq_standard *link, unsigned int number, unsigned int salt)
{
	unsigned char bytes[BYTES];
	ssize_t sent;

	fill(bytes, number, salt);
	sent = hqq_standard_write(link, bytes, length_of(number));
	if (sent != (ssize_t)length_of(number))
		die("writing message %u: %s", number, hqq_strerror((int)sent));
}

static void receive_one(hqq_standard *link, unsigned int number, unsigned int salt)
{
	unsigned char bytes[BYTES];
	ssize_t length = hqq_standard_read(link, bytes, sizeof(bytes));

	expect(bytes, length, number, salt);
}

static void ask(hqq_standard *link)
{
	for (unsigned int i = 0; i < QUESTIONS; i++) {
		send_one(link, i, 'q');
		receive_one(link, i, 'a');
	}
}

static void answer(hqq_standard *link)
{
	for (unsigned int i = 0; i < QUESTIONS; i++) {
		receive_one(link, i, 'q');
		send_one(link, i, 'a');
	}
}

/* In batches, through reservations and by plain writes, in turn. */
static void stream_out(hqq_standard *link)
{
	unsigned char bytes[BATCH][BYTES];
	struct hqq_reservation reservation;
	struct iovec messages[BATCH];
	unsigned int next = 0;
	ssize_t sent;

	while (next < STREAM) {
		for (unsigned int i = 0; i < BATCH; i++) {
			fill(bytes[i], next + i, 's');
			messages[i].iov_base = bytes[i];
			messages[i].iov_len = length_of(next + i);
		}
		sent = hqq_standard_write_batch(link, messages, next + BATCH <= STREAM ? BATCH : STREAM - next);
		if (sent <= 0)
			die("batch at %u: %s", next, hqq_strerror((int)sent));
		next += (unsigned int)sent;
		if (next < STREAM && hqq_standard_reserve_write(link, &reservation) == 0) {
			fill(reservation.data, next, 's');
			if (hqq_standard_commit(&reservation, length_of(next)) != 0)
				die("commit of %u failed", next);
			next++;
		}
		if (next < STREAM)
			send_one(link, next++, 's');
	}
}

static void stream_in(hqq_standard *link)
{
	unsigned char bytes[BATCH][BYTES];
	struct iovec messages[BATCH];
	unsigned int next = 0;
	ssize_t got;

	while (next < STREAM) {
		for (unsigned int i = 0; i < BATCH; i++) {
			messages[i].iov_base = bytes[i];
			messages[i].iov_len = BYTES;
		}
		got = hqq_standard_read_batch(link, messages, BATCH);
		if (got <= 0)
			die("batch at %u: %s", next, hqq_strerror((int)got));
		for (ssize_t i = 0; i < got; i++)
			expect(bytes[i], (ssize_t)messages[i].iov_len, next++, 's');
	}
}

static void check_geometry(hqq_standard *link, int mode)
{
	struct stat file;

	if (hqq_standard_mode(link) != mode)
		die("serves side %d", hqq_standard_mode(link));
	if (hqq_standard_buffer_count(link) != BUFFERS || hqq_standard_buffer_size(link) != BYTES)
		die("sees %zu buffers of %zu bytes", hqq_standard_buffer_count(link), hqq_standard_buffer_size(link));
	if (fstat(hqq_standard_fd(link), &file) != 0 || (size_t)file.st_size != hqq_standard_size(BUFFERS, BYTES))
		die("the segment has not the size that this side works out");
}

/* The other process may not have made the segment yet. */
static int open_patiently(hqq_standard **link, const char *name)
{
	int error = -ENOENT;

	for (int tries = 0; error == -ENOENT && tries < WATCHDOG_SECONDS * 100; tries++) {
		error = hqq_standard_open(link, name, 0, 0, NULL);
		if (error == -ENOENT)
			usleep(10000);
	}
	return error;
}

/* ---- a segment in the other byte order --------------------------------------------------------- */

static bool is_whole(int file)
{
	struct stat status;

	return fstat(file, &status) == 0 && (size_t)status.st_size == hqq_standard_size(BUFFERS, BYTES);
}

/* Full size, and a superblock that is right in every word but for the order of their bytes. */
static bool is_made_in_the_other_order(const char *name)
{
	const uint64_t right[] = {
		HQQ_SUPERBLOCK_MAGIC, HQQ_STATE_READY, HQQ_LAYOUT_MAJOR, HQQ_LAYOUT_MINOR,
		(uint64_t)sysconf(_SC_PAGESIZE), BUFFERS, BYTES, hqq_standard_size(BUFFERS, BYTES),
	};
	uint64_t found[sizeof(right) / sizeof(right[0])];
	char path[300];
	bool made;
	int file;

	snprintf(path, sizeof(path), "/dev/shm/%s", name);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return false;
	made = is_whole(file) && pread(file, found, sizeof(found), 0) == (ssize_t)sizeof(found);
	close(file);
	for (size_t i = 0; made && i < sizeof(right) / sizeof(right[0]); i++)
		made = found[i] == __builtin_bswap64(right[i]);
	return made;
}

/*
 * Any file that is no segment is refused. This one must be one for its maker, before and after; here no word
 * of it says that it is ready, however long one waits.
 */
static void must_be_refused(const char *name)
{
	hqq_standard *link = NULL;
	int error;

	for (int tries = 0; !is_made_in_the_other_order(name); tries++) {
		if (tries > REFUSE_SECONDS * 100)
			die("%s is no segment in the other byte order", name);
		usleep(10000);
	}
	error = hqq_standard_open(&link, name, 0, 0, NULL);
	if (error != HQQ_ERR_FAILED_INIT)
		die("opening gave %d, it should have been refused as never ready", error);
	if (!is_made_in_the_other_order(name))
		die("%s changed while it was refused", name);
	printf("refused: %s\n", hqq_strerror(error));
}

int main(int count, char **words)
{
	hqq_standard *link = NULL;
	struct timespec watchdog;
	int error;

	side = count == 3 ? words[1] : "";
	clock_gettime(CLOCK_MONOTONIC, &watchdog);
	watchdog.tv_sec += WATCHDOG_SECONDS;

	if (strcmp(side, "refuse") == 0) {
		must_be_refused(words[2]);
		return 0;
	}
	if (strcmp(side, "create") == 0) {
		error = hqq_standard_create(&link, words[2], BUFFERS, BYTES, 0600, NULL);
	} else if (strcmp(side, "open") == 0) {
		error = open_patiently(&link, words[2]);
	} else {
		fprintf(stderr, "usage: interop_peer create|open|refuse NAME\n");
		return 2;
	}
	if (error != 0)
		die("%s: %s", words[2], hqq_strerror(error));
	hqq_standard_set_deadline(link, &watchdog);

	if (strcmp(side, "create") == 0) {
		check_geometry(link, HQQ_MODE_PRIMARY);
		ask(link);
		answer(link);
		stream_out(link);
		stream_in(link);
	} else {
		check_geometry(link, HQQ_MODE_SECONDARY);
		answer(link);
		ask(link);
		stream_in(link);
		stream_out(link);
	}
	error = hqq_standard_close(link);
	if (error != 0)
		die("close: %s", hqq_strerror(error));
	return 0;
}
