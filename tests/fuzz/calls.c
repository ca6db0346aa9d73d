/*
 * calls.c - every call of a Standard handle; see calls.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "calls.h"
#include <stdlib.h>
#include <string.h>

#define BATCH 5
#define READ_MAX 8192
#define WAITS 4

/* A result is one of those that the manual knows for a call on a handle that is open. */
static void must_be_known(ssize_t result, size_t most)
{
	if (result >= 0)
		FUZZ_MUST((size_t)result <= most);
	else
		FUZZ_MUST(result == HQQ_ERR_TIMEOUT || result == HQQ_ERR_INVALID_OP ||
		          result == HQQ_ERR_CANCELED || result == HQQ_ERR_PEER_GONE ||
		          result == HQQ_ERR_BUFFER_OVERFLOW || result == HQQ_ERR_INVALID_SIZE);
}

static void must_be_inside(const struct fuzz_user *user, const void *data, size_t size)
{
	const unsigned char *at = data;

	FUZZ_MUST(size >= 1 && size <= user->buffer_size);
	FUZZ_MUST(!user->base || (at >= user->base && size <= user->length &&
	                          (size_t)(at - user->base) <= user->length - size));
}

/* Exactly as long as asked for, so that AddressSanitizer sees what is written behind it. */
static unsigned char *bytes_of(size_t length)
{
	unsigned char *bytes = malloc(length ? length : 1);

	FUZZ_MUST(bytes);
	memset(bytes, 0x5a, length);
	return bytes;
}

/* 0..the size of a buffer and a little more, READ_MAX at most. */
static size_t some_length(const struct fuzz_user *user, struct fuzz_input *input)
{
	const size_t most = user->buffer_size < READ_MAX ? user->buffer_size : READ_MAX;
	const uint8_t byte = fuzz_byte(input);

	return byte < 0x80 ? byte % (most + 2) : most + (byte & 1);
}

static void read_or_write(struct fuzz_user *user, struct fuzz_input *input, unsigned which)
{
	const size_t length = some_length(user, input);
	unsigned char *bytes = bytes_of(length);
	struct hqq_address address;
	ssize_t n;

	switch (which) {
	case 0:
		n = hqq_standard_read(user->handle, bytes, length);
		break;
	case 1:
		n = hqq_standard_write(user->handle, bytes, length);
		break;
	case 2:
		n = hqq_standard_read_from(user->handle, bytes, length, &address);
		break;
	default:
		n = hqq_standard_write_to(user->handle, bytes, length, NULL);
	}
	must_be_known(n, length);
	free(bytes);
}

static int look(const void *data, size_t length, void *argument)
{
	must_be_inside(argument, data, length);
	return *(const unsigned char *)data == 0xee ? HQQ_ERR_CANCELED : 0;
}

static ssize_t fill(void *data, size_t capacity, void *argument)
{
	struct fuzz_user *user = argument;

	must_be_inside(user, data, capacity);
	memset(data, 0xee, capacity);
	return (ssize_t)capacity + (ssize_t)(user->waits & 1);
}

static void batch(struct fuzz_user *user, struct fuzz_input *input, bool writes)
{
	const size_t length = some_length(user, input), count = fuzz_byte(input) % (BATCH + 1);
	unsigned char *bytes[BATCH];
	struct iovec messages[BATCH];
	ssize_t n;

	for (size_t i = 0; i < BATCH; i++) {
		bytes[i] = bytes_of(length);
		messages[i] = (struct iovec){bytes[i], length};
	}
	n = writes ? hqq_standard_write_batch(user->handle, messages, count)
	           : hqq_standard_read_batch(user->handle, messages, count);
	must_be_known(n, count);
	for (ssize_t i = 0; i < n; i++)
		FUZZ_MUST(messages[i].iov_len >= 1 && messages[i].iov_len <= length);
	for (size_t i = 0; i < BATCH; i++)
		free(bytes[i]);
}

static void reserve(struct fuzz_user *user, struct fuzz_input *input, bool writes)
{
	const unsigned i = fuzz_byte(input) % FUZZ_HELD;
	struct hqq_reservation *held = &user->held[i];
	int rc;

	if (held->data)
		return;
	rc = writes ? hqq_standard_reserve_write(user->handle, held)
	            : hqq_standard_reserve_read(user->handle, held);
	must_be_known(rc, 0);
	if (rc) {
		held->data = NULL;
		return;
	}
	user->writes[i] = writes;
	must_be_inside(user, held->data, held->size);
	FUZZ_MUST(held->slot < user->buffer_count);
}

/* The slot may have been taken away by a hand that rewrites the segment: INVALID_OP then. */
static int finish_one(struct fuzz_user *user, unsigned i, uint8_t how)
{
	struct hqq_reservation *held = &user->held[i];

	if (user->writes[i] && how < 0x40)
		return hqq_standard_abort(held, how);
	if (user->writes[i])
		return hqq_standard_commit(held, how == 0xff ? held->size + 1 : how - 0x40u);
	return how & 1 ? hqq_standard_commit(held, 1) : hqq_standard_release(held);
}

static void finish(struct fuzz_user *user, struct fuzz_input *input)
{
	const unsigned i = fuzz_byte(input) % FUZZ_HELD;

	if (!user->held[i].data)
		return;
	must_be_known(finish_one(user, i, fuzz_byte(input)), 0);
	must_be_known(hqq_standard_release(&user->held[i]), 0);
	user->held[i].data = NULL;
}

/* A call waits for no time at all or for less than a millisecond. */
static void set_deadline(struct fuzz_user *user)
{
	const bool waits = user->waits > 0;
	const struct timespec soon = fuzz_soon();

	user->waits -= waits;
	FUZZ_MUST(hqq_standard_set_deadline(user->handle, waits ? &soon : &fuzz_passed) == 0);
}

static void use_stream(struct fuzz_user *user, struct fuzz_input *input)
{
	const uint8_t how = fuzz_byte(input);
	char line[64];

	if (!user->stream)
		user->stream = hqq_standard_stdio(user->handle, "r+");
	FUZZ_MUST(user->stream);
	clearerr(user->stream);
	if (how & 1) {
		fseek(user->stream, 0, SEEK_CUR);
		fputs("line\n", user->stream);
		fflush(user->stream);
	} else if (fgets(line, sizeof(line), user->stream)) {
		FUZZ_MUST(strlen(line) < sizeof(line));
	}
}

static void ask(struct fuzz_user *user)
{
	struct hqq_stats stats;
	struct hqq_address address;
	ssize_t pending = hqq_standard_pending(user->handle);

	FUZZ_MUST(pending >= 0 && (size_t)pending <= user->buffer_count);
	FUZZ_MUST(hqq_standard_stats(user->handle, &stats) == 0);
	FUZZ_MUST(hqq_standard_local_address(user->handle, &address) == 0);
	FUZZ_MUST(hqq_standard_buffer_size(user->handle) == user->buffer_size);
	FUZZ_MUST(hqq_standard_buffer_count(user->handle) == user->buffer_count);
}

void fuzz_user_begin(struct fuzz_user *user, hqq_standard *handle, const void *base, size_t length)
{
	memset(user, 0, sizeof(*user));
	user->handle = handle;
	user->base = base;
	user->length = length;
	user->buffer_count = hqq_standard_buffer_count(handle);
	user->buffer_size = hqq_standard_buffer_size(handle);
	user->waits = WAITS;
	FUZZ_MUST(hqq_standard_set_deadline(handle, &fuzz_passed) == 0);
}

void fuzz_user_call(struct fuzz_user *user, struct fuzz_input *input)
{
	const uint8_t call = fuzz_byte(input) % 20;
	int rc;

	switch (call) {
	case 0:
	case 1:
	case 2:
	case 3:
		read_or_write(user, input, call);
		break;
	case 4:
		must_be_known(hqq_standard_read_zero_copy(user->handle, look, user), user->buffer_size);
		break;
	case 5:
		must_be_known(hqq_standard_write_zero_copy(user->handle, fill, user), user->buffer_size);
		break;
	case 6:
	case 7:
		batch(user, input, call == 6);
		break;
	case 8:
	case 9:
		reserve(user, input, call == 8);
		break;
	case 10:
	case 11:
		finish(user, input);
		break;
	case 12:
		rc = hqq_standard_recover(user->handle);
		FUZZ_MUST(rc >= 0 && (size_t)rc <= 4 * user->buffer_count);
		break;
	case 13:
		set_deadline(user);
		break;
	case 14:
		use_stream(user, input);
		break;
	case 15:
		FUZZ_MUST(hqq_standard_interrupt(user->handle) == 0);
		break;
	case 16:
		FUZZ_MUST(hqq_standard_resume(user->handle) == 0);
		break;
	case 17: /* a thread of the library watches the ring from here on; seldom, as it takes its time */
		FUZZ_MUST(!user->waits || fuzz_byte(input) % 8 || hqq_standard_event_fd(user->handle) >= 0);
		break;
	default:
		ask(user);
	}
	if (user->waits < WAITS && call != 13) /* a near deadline serves one call */
		hqq_standard_set_deadline(user->handle, &fuzz_passed);
}

void fuzz_user_end(struct fuzz_user *user)
{
	char byte;

	FUZZ_MUST(hqq_standard_close(user->handle) == 0);
	FUZZ_MUST(hqq_standard_read(user->handle, &byte, 1) == HQQ_ERR_INVALID_OP);
	FUZZ_MUST(hqq_standard_close(user->handle) == HQQ_ERR_INVALID_OP);
	for (unsigned i = 0; i < FUZZ_HELD; i++)
		FUZZ_MUST(!user->held[i].data || hqq_standard_release(&user->held[i]) == HQQ_ERR_INVALID_OP);
	if (user->stream)
		fclose(user->stream);
}
