/*
 * ends.c - handles of a named link, each opened for itself
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "ends.h"

#include <string.h>

const struct timespec end_at_once = { 0, 0 };

hqq_standard *end_create(const char *name, uint32_t role, uint64_t flags)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_standard *handle;

	options.role = role;
	options.flags = flags;
	MUST_EQ(hqq_standard_create(&handle, name, END_COUNT, END_SIZE, 0600, &options), 0);
	MUST_EQ(hqq_standard_set_deadline(handle, &end_at_once), 0);
	return handle;
}

int end_try_open(hqq_standard **handle, const char *name, uint32_t role, uint64_t flags)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	int rc;

	options.role = role;
	options.flags = flags;
	rc = hqq_standard_open(handle, name, 0, 0, &options);
	if (rc == 0)
		MUST_EQ(hqq_standard_set_deadline(*handle, &end_at_once), 0);
	return rc;
}

hqq_standard *end_open_as(const char *name, uint32_t role, uint64_t flags)
{
	hqq_standard *handle;

	MUST_EQ(end_try_open(&handle, name, role, flags), 0);
	return handle;
}

void end_close(hqq_standard *handle)
{
	MUST_EQ(hqq_standard_close(handle), 0);
}

void end_send(hqq_standard *handle, const char *text)
{
	MUST_EQ(hqq_standard_write(handle, text, strlen(text)), strlen(text));
}

void end_expect(hqq_standard *handle, const char *text)
{
	char buffer[END_SIZE];

	MUST_EQ(hqq_standard_read(handle, buffer, sizeof(buffer)), strlen(text));
	MUST(memcmp(buffer, text, strlen(text)) == 0);
}

void end_expect_error(hqq_standard *handle, int error)
{
	char buffer[END_SIZE];

	MUST_EQ(hqq_standard_read(handle, buffer, sizeof(buffer)), error);
}
