/*
 * test_segment.c - segments with a name: making, finding and removing them
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <hqq.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT 4
#define SIZE 64

static void exchange(hqq_standard *one, hqq_standard *other)
{
	char text[SIZE];

	MUST_EQ(hqq_standard_write(one, "there", 5), 5);
	MUST_EQ(hqq_standard_read(other, text, sizeof(text)), 5);
	MUST_EQ(hqq_standard_write(other, "back", 4), 4);
	MUST_EQ(hqq_standard_read(one, text, sizeof(text)), 4);
	MUST(memcmp(text, "back", 4) == 0);
}

static void stat_name(const char *name, struct stat *status)
{
	char path[300];

	snprintf(path, sizeof(path), "/dev/shm/%s", name);
	MUST_EQ(stat(path, status), 0);
}

/* ---- named segments ---------------------------------------------------------------------------- */

START_TEST(mode_is_exact_whatever_the_umask)
{
	static const mode_t masks[] = { 0, 022, 077, 0777 };
	static const mode_t modes[] = { 0600, 0660, 0666, 0640, 0777, 0400, 0007 };
	const mode_t usual = umask(0);
	const char *name = test_name("mode");
	hqq_standard *handle;
	struct stat status;
	size_t i, j;

	for (i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		for (j = 0; j < sizeof(modes) / sizeof(modes[0]); j++) {
			umask(masks[i]);
			MUST_EQ(hqq_standard_create(&handle, name, COUNT, SIZE, modes[j], NULL), 0);
			/* and the process's own mask is as it was */
			MUST_EQ(umask(usual), masks[i]);
			stat_name(name, &status);
			MUST_EQ(status.st_mode & 07777, modes[j]);
			MUST_EQ(hqq_standard_close(handle), 0);
		}
	}
	MUST_EQ(hqq_standard_create(&handle, name, COUNT, SIZE, 04700, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_create(&handle, name, COUNT, SIZE, 01777, NULL), HQQ_ERR_INVALID_OP);
}
END_TEST

START_TEST(mode_zero_is_the_default)
{
	const mode_t usual = umask(0077);
	const char *name = test_name("default");
	hqq_standard *handle;
	struct stat status;

	MUST_EQ(hqq_standard_create(&handle, name, COUNT, SIZE, 0, NULL), 0);
	stat_name(name, &status);
	MUST_EQ(status.st_mode & 07777, 0600);
	MUST_EQ(hqq_standard_close(handle), 0);
	umask(usual);
}
END_TEST

START_TEST(file_is_exact_and_its_memory_reserved)
{
	const char *name = test_name("file");
	hqq_standard *handle;
	struct stat status;

	MUST_EQ(hqq_standard_create(&handle, name, 64, 8192, 0600, NULL), 0);
	stat_name(name, &status);
	MUST_EQ(status.st_size, hqq_standard_size(64, 8192));
	MUST(status.st_blocks * 512 >= status.st_size);
	MUST_EQ(status.st_nlink, 1);
	MUST_EQ(hqq_standard_close(handle), 0);
}
END_TEST

START_TEST(only_the_creators_close_removes_the_name)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	const char *name = test_name("close");
	hqq_standard *creator, *secondary, *primary;

	options.role = HQQ_ROLE_PRIMARY;
	MUST_EQ(hqq_standard_create(&creator, name, COUNT, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&secondary, name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_open(&primary, name, 0, 0, &options), 0);
	MUST_EQ(hqq_standard_close(primary), 0);
	MUST(test_name_exists(name));
	MUST_EQ(hqq_standard_close(secondary), 0);
	MUST(test_name_exists(name));
	MUST_EQ(hqq_standard_open(&secondary, name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_close(creator), 0);
	MUST(!test_name_exists(name));
	/* who holds it open goes on */
	MUST_EQ(hqq_standard_write(secondary, "alone", 5), 5);
	MUST_EQ(hqq_standard_close(secondary), 0);
}
END_TEST

START_TEST(unlink_takes_the_name_alone)
{
	const char *name = test_name("unlink");
	hqq_standard *first, *second, *peer;

	MUST_EQ(hqq_standard_create(&first, name, COUNT, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&peer, name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_unlink(name), 0);
	MUST(!test_name_exists(name));
	MUST_EQ(hqq_standard_unlink(name), -ENOENT);
	MUST_EQ(hqq_standard_open(&second, name, 0, 0, NULL), -ENOENT);
	exchange(first, peer);
	/* the name is free, and a successor's is not for the first creator to remove */
	MUST_EQ(hqq_standard_create(&second, name, COUNT, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_close(first), 0);
	MUST(test_name_exists(name));
	MUST_EQ(hqq_standard_close(peer), 0);
	MUST_EQ(hqq_standard_close(second), 0);
	MUST(!test_name_exists(name));
}
END_TEST

START_TEST(options_that_are_wishes)
{
	const uint64_t flags[] = {
		HQQ_HUGEPAGES, HQQ_PREFAULT, HQQ_HUGEPAGES | HQQ_PREFAULT, HQQ_REPLACE_STALE,
	};
	struct hqq_options options = HQQ_OPTIONS_INIT;
	const char *name = test_name("wish");
	hqq_standard *creator, *peer;
	size_t i;

	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		options.flags = flags[i];
		MUST_EQ(hqq_standard_create(&creator, name, 16, 4096, 0600, &options), 0);
		MUST_EQ(hqq_standard_open(&peer, name, 0, 0, &options), 0);
		exchange(creator, peer);
		MUST_EQ(hqq_standard_close(peer), 0);
		MUST_EQ(hqq_standard_close(creator), 0);
	}
}
END_TEST

START_TEST(fifty_six_endpoints_and_no_more)
{
	const char *name = test_name("users");
	hqq_standard *handles[56], *more = NULL;
	int i, descriptors;

	MUST_EQ(hqq_standard_create(&handles[0], name, COUNT, SIZE, 0600, NULL), 0);
	for (i = 1; i < 56; i++)
		MUST_EQ(hqq_standard_open(&handles[i], name, 0, 0, NULL), 0);
	descriptors = test_count_descriptors();
	MUST_EQ(hqq_standard_open(&more, name, 0, 0, NULL), -EUSERS);
	MUST_EQ(test_count_descriptors(), descriptors);
	MUST_EQ(hqq_standard_close(handles[30]), 0);
	MUST_EQ(hqq_standard_open(&handles[30], name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_open(&more, name, 0, 0, NULL), -EUSERS);
	for (i = 56; i-- > 0;)
		MUST_EQ(hqq_standard_close(handles[i]), 0);
}
END_TEST

/* ---- a name stands for a complete segment ------------------------------------------------------- */

#define SIGHTINGS 60

/* Looks at the raw file again and again: short, unready or unsized is what it may never be. */
static int raw_watcher(void *argument)
{
	const off_t length = (off_t)hqq_standard_size(256, 1024);
	unsigned int seen = 0;
	char path[300];

	snprintf(path, sizeof(path), "/dev/shm/%s", (const char *)argument);
	while (seen < SIGHTINGS) {
		int fd = open(path, O_RDWR | O_CLOEXEC);
		struct stat status;
		uint64_t words[8];

		if (fd < 0) {
			MUST_EQ(errno, ENOENT);
			continue;
		}
		MUST_EQ(fstat(fd, &status), 0);
		MUST_EQ(pread(fd, words, sizeof(words), 0), sizeof(words));
		MUST_EQ(status.st_size, length);
		MUST_EQ(status.st_mode & 07777, 0640);
		MUST_EQ(words[0], UINT64_C(0x4851515f53544c31));
		MUST_EQ(words[1], 2);
		MUST_EQ(words[7], length);
		close(fd);
		seen++;
	}
	parent_say('d');
	return 0;
}

static int library_watcher(void *argument)
{
	unsigned int seen = 0;

	while (seen < SIGHTINGS) {
		hqq_standard *handle;
		int result = hqq_standard_open(&handle, argument, 256, 1024, NULL);

		if (result != 0) {
			MUST_EQ(result, -ENOENT);
			continue;
		}
		MUST_EQ(hqq_standard_close(handle), 0);
		seen++;
	}
	parent_say('d');
	return 0;
}

static child_body *const watchers[] = { raw_watcher, library_watcher };

static bool is_done(const struct child *child)
{
	char byte;

	return recv(child->line, &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0;
}

START_TEST(a_name_appears_complete)
{
	const char *name = test_name("appears");
	struct child child;
	hqq_standard *handle;

	child_start(&child, watchers[_i], (void *)(uintptr_t)name);
	do {
		MUST_EQ(hqq_standard_create(&handle, name, 256, 1024, 0640, NULL), 0);
		MUST_EQ(hqq_standard_close(handle), 0);
	} while (!is_done(&child));
	child_join_ok(&child);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("segment");
	TCase *cases = test_case(suite, "named", 30);

	tcase_add_test(cases, mode_is_exact_whatever_the_umask);
	tcase_add_test(cases, mode_zero_is_the_default);
	tcase_add_test(cases, file_is_exact_and_its_memory_reserved);
	tcase_add_test(cases, only_the_creators_close_removes_the_name);
	tcase_add_test(cases, unlink_takes_the_name_alone);
	tcase_add_test(cases, options_that_are_wishes);
	tcase_add_test(cases, fifty_six_endpoints_and_no_more);
	tcase_add_loop_test(cases, a_name_appears_complete, 0, 2);
	return test_main(suite);
}
