/*
 * test_names.c - names of segments, and what the file system says to them
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "foreign.h"
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <hqq.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define NO_PERMISSION 77 /* exit code of a child that could not set its scene */

/* ---- which names there are --------------------------------------------------------------------- */

static void refuse_name(const char *name)
{
	hqq_standard *handle = NULL;

	MUST_EQ(hqq_standard_create(&handle, name, 4, 64, 0600, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_open(&handle, name, 0, 0, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_open(&handle, name, 4, 64, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_unlink(name), HQQ_ERR_INVALID_OP);
	MUST(handle == NULL);
}

START_TEST(what_is_no_name)
{
	static const char *const names[] = {
		"",           "/",         ".",         "..",         "/.",         "/..",
		"//",         "//a",       "a/",        "a/b",        "/a/b",       "../x",
		"../../tmp/x", "./x",      "x/..",      "/../x",      " ",          "a b",
		"a\nb",       "a\tb",      "a:b",       "a%b",        "*",          "~",
		"a\\b",       "\xc3\xa9",  "\x7f",      "a,b",        "@a",         "a+b",
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		refuse_name(names[i]);
	refuse_name(NULL);
}
END_TEST

START_TEST(every_character_is_allowed_or_not)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	const char *prefix = test_name("c");
	hqq_standard *handle;
	char name[200];
	int c;

	for (c = 1; c < 256; c++) {
		snprintf(name, sizeof(name), "%s%cx", prefix, c);
		if (strchr(allowed, c) == NULL) {
			refuse_name(name);
			continue;
		}
		MUST_EQ(hqq_standard_create(&handle, name, 2, 8, 0600, NULL), 0);
		MUST(test_name_exists(name));
		MUST_EQ(hqq_standard_close(handle), 0);
		MUST(!test_name_exists(name));
	}
}
END_TEST

START_TEST(names_have_250_bytes_at_most)
{
	char name[260];
	hqq_standard *handle, *other;
	size_t start;

	memset(name, 'n', sizeof(name));
	start = strlen(strcpy(name, test_name("long")));
	name[start] = '-';
	name[250] = '\0';
	MUST_EQ(hqq_standard_create(&handle, name, 2, 8, 0600, NULL), 0);
	MUST_EQ(strcmp(hqq_standard_name(handle), name), 0);
	MUST_EQ(hqq_standard_open(&other, name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_close(other), 0);
	MUST_EQ(hqq_standard_close(handle), 0);
	/* with the slash that does not count */
	memmove(name + 1, name, 251);
	name[0] = '/';
	MUST_EQ(hqq_standard_create(&handle, name, 2, 8, 0600, NULL), 0);
	MUST_EQ(strcmp(hqq_standard_name(handle), name + 1), 0);
	MUST_EQ(hqq_standard_close(handle), 0);
	memmove(name, name + 1, 250);
	name[250] = 'n';
	name[251] = '\0';
	refuse_name(name);
}
END_TEST

START_TEST(one_leading_slash_is_tolerated)
{
	const char *name = test_name("slash");
	hqq_standard *handle, *other;
	char slashed[200];

	snprintf(slashed, sizeof(slashed), "/%s", name);
	MUST_EQ(hqq_standard_create(&handle, slashed, 4, 64, 0600, NULL), 0);
	MUST_EQ(strcmp(hqq_standard_name(handle), name), 0);
	MUST(test_name_exists(name));
	MUST_EQ(hqq_standard_open(&other, name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_close(other), 0);
	MUST_EQ(hqq_standard_open(&other, slashed, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_close(other), 0);
	MUST_EQ(hqq_standard_unlink(slashed), 0);
	MUST(!test_name_exists(name));
	MUST_EQ(hqq_standard_close(handle), 0);
}
END_TEST

/* ---- names taken, missing, or something else ---------------------------------------------------- */

START_TEST(a_name_is_taken_once)
{
	const char *name = test_name("taken");
	hqq_standard *handle, *other = NULL;
	struct foreign creator;
	int descriptors;

	MUST_EQ(hqq_standard_create(&handle, name, 4, 64, 0600, NULL), 0);
	descriptors = test_count_descriptors();
	MUST_EQ(hqq_standard_create(&other, name, 4, 64, 0600, NULL), -EEXIST);
	MUST_EQ(hqq_standard_create(&other, name, 8, 8, 0600, NULL), -EEXIST);
	MUST_EQ(foreign_create(&creator, name, 4, 64, NULL), FOREIGN_SYSTEM);
	MUST_EQ(test_count_descriptors(), descriptors);
	MUST(other == NULL && test_name_exists(name));
	MUST_EQ(hqq_standard_close(handle), 0);
	MUST_EQ(foreign_create(&creator, name, 4, 64, NULL), FOREIGN_OK);
	MUST_EQ(hqq_standard_create(&other, name, 4, 64, 0600, NULL), -EEXIST);
	foreign_close(&creator);
}
END_TEST

START_TEST(a_missing_name)
{
	const char *name = test_name("missing");
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_standard *handle = NULL;

	MUST_EQ(hqq_standard_open(&handle, name, 4, 64, NULL), -ENOENT);
	options.role = HQQ_ROLE_PRIMARY;
	MUST_EQ(hqq_standard_open(&handle, name, 4, 64, &options), -ENOENT);
	MUST_EQ(hqq_standard_unlink(name), -ENOENT);
	MUST(handle == NULL && !test_name_exists(name));
}
END_TEST

START_TEST(a_name_that_is_no_file)
{
	const char *name = test_name("odd"), *target = test_name("target");
	hqq_standard *handle = NULL, *real;
	char path[300];

	snprintf(path, sizeof(path), "/dev/shm/%s", name);
	MUST_EQ(mkdir(path, 0700), 0);
	MUST_EQ(hqq_standard_open(&handle, name, 4, 64, NULL), -EISDIR);
	MUST_EQ(hqq_standard_create(&handle, name, 4, 64, 0600, NULL), -EEXIST);
	MUST_EQ(rmdir(path), 0);
	/* opening must not hang on it either */
	MUST_EQ(mkfifo(path, 0600), 0);
	MUST_EQ(hqq_standard_open(&handle, name, 4, 64, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(unlink(path), 0);
	/* a link could lead out of the directory */
	MUST_EQ(hqq_standard_create(&real, target, 4, 64, 0600, NULL), 0);
	MUST_EQ(symlink(target, path), 0);
	MUST_EQ(hqq_standard_open(&handle, name, 4, 64, NULL), -ELOOP);
	MUST_EQ(hqq_standard_create(&handle, name, 4, 64, 0600, NULL), -EEXIST);
	MUST_EQ(unlink(path), 0);
	MUST_EQ(hqq_standard_close(real), 0);
	MUST(handle == NULL);
}
END_TEST

/* ---- permissions ------------------------------------------------------------------------------- */

static bool become_nobody(void)
{
	if (geteuid() != 0)
		return true;
	return setgroups(0, NULL) == 0 && setresgid(65534, 65534, 65534) == 0 &&
	       setresuid(65534, 65534, 65534) == 0;
}

static int stranger(void *argument)
{
	const char *const *names = argument;
	hqq_standard *handle = NULL, *own, *peer;
	int descriptors;

	if (!become_nobody())
		return NO_PERMISSION;
	descriptors = test_count_descriptors();
	MUST_EQ(hqq_standard_open(&handle, names[0], 4, 64, NULL), -EACCES);
	MUST_EQ(hqq_standard_open(&handle, names[0], 0, 0, NULL), -EACCES);
	MUST_EQ(test_count_descriptors(), descriptors);
	MUST(handle == NULL);
	/* what is open to all, and what is its own, serve a process that gave its rights up */
	MUST_EQ(hqq_standard_open(&peer, names[1], 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_write(peer, "stranger", 8), 8);
	MUST_EQ(hqq_standard_close(peer), 0);
	MUST_EQ(hqq_standard_create(&own, names[2], 4, 64, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&peer, names[2], 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_write(own, "own", 3), 3);
	MUST_EQ(hqq_standard_close(peer), 0);
	MUST_EQ(hqq_standard_close(own), 0);
	return 0;
}

START_TEST(permissions_are_the_kernels)
{
	const char *names[3] = { test_name("closed"), test_name("open"), test_name("own") };
	hqq_standard *closed_to_all, *open_to_all;
	struct child child;
	char text[64];
	int code;

	/* read-only keeps its own maker out too, unless that is root */
	MUST_EQ(hqq_standard_create(&closed_to_all, names[0], 4, 64, 0444, NULL), 0);
	MUST_EQ(hqq_standard_create(&open_to_all, names[1], 4, 64, 0666, NULL), 0);
	child_start(&child, stranger, names);
	code = child_join(&child);
	if (code == NO_PERMISSION)
		test_skip("root here may not become another user");
	else
		MUST_EQ(code, 0);
	if (code == 0)
		MUST_EQ(hqq_standard_read(open_to_all, text, sizeof(text)), 8);
	MUST_EQ(hqq_standard_close(open_to_all), 0);
	MUST_EQ(hqq_standard_close(closed_to_all), 0);
}
END_TEST

static int remover(void *argument)
{
	if (!become_nobody())
		return NO_PERMISSION;
	MUST_EQ(hqq_standard_unlink(argument), -EPERM);
	return 0;
}

START_TEST(strangers_do_not_remove_names)
{
	const char *name = test_name("sticky");
	hqq_standard *handle;
	struct child child;
	int code;

	if (geteuid() != 0) {
		test_skip("needs root, to have a segment of one user and be another");
		return;
	}
	MUST_EQ(hqq_standard_create(&handle, name, 4, 64, 0666, NULL), 0);
	child_start(&child, remover, (void *)(uintptr_t)name);
	code = child_join(&child);
	if (code == NO_PERMISSION)
		test_skip("root here may not become another user");
	else
		MUST_EQ(code, 0);
	MUST(test_name_exists(name));
	MUST_EQ(hqq_standard_close(handle), 0);
}
END_TEST

/* ---- a full /dev/shm --------------------------------------------------------------------------- */

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done;

	if (fd < 0)
		return false;
	done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return done;
}

/* Root in a user namespace of its own. */
static bool become_local_root(void)
{
	char users[32], groups[32];

	snprintf(users, sizeof(users), "0 %u 1", getuid());
	snprintf(groups, sizeof(groups), "0 %u 1", getgid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_text("/proc/self/setgroups", "deny") &&
	       write_text("/proc/self/uid_map", users) && write_text("/proc/self/gid_map", groups);
}

/* A private /dev/shm of this size for this process. */
static bool mount_small(const char *size)
{
	return (unshare(CLONE_NEWNS) == 0 || become_local_root()) &&
	       mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", "/dev/shm", "tmpfs", 0, size) == 0;
}

static int count_names(void)
{
	DIR *directory = opendir("/dev/shm");
	struct dirent *entry;
	int count = 0;

	MUST(directory != NULL);
	while ((entry = readdir(directory)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

static int too_small_a_place(void *argument)
{
	int descriptors = test_count_descriptors();
	hqq_standard *handle = NULL;

	(void)argument;
	if (!mount_small("size=64k"))
		return NO_PERMISSION;
	MUST_EQ(hqq_standard_create(&handle, "large", 64, 4096, 0600, NULL), -ENOSPC);
	MUST_EQ(hqq_standard_create(&handle, "vast", 1 << 20, 512, 0600, NULL), -ENOSPC);
	MUST(handle == NULL);
	MUST_EQ(count_names(), 0);
	MUST_EQ(test_count_descriptors(), descriptors);
	MUST_EQ(hqq_standard_create(&handle, "small", 4, 64, 0600, NULL), 0);
	MUST_EQ(hqq_standard_close(handle), 0);
	MUST_EQ(count_names(), 0);
	return 0;
}

#define MOST_LINKS 64

/* Writes to every byte of both directions: none of it may come as a surprise to the kernel. */
static void use_all(hqq_standard *handle, const char *name)
{
	unsigned char bytes[4096];
	hqq_standard *peer;
	int i;

	memset(bytes, 0x5a, sizeof(bytes));
	MUST_EQ(hqq_standard_open(&peer, name, 0, 0, NULL), 0);
	for (i = 0; i < 4; i++) {
		MUST_EQ(hqq_standard_write(handle, bytes, sizeof(bytes)), sizeof(bytes));
		MUST_EQ(hqq_standard_write(peer, bytes, sizeof(bytes)), sizeof(bytes));
	}
	MUST_EQ(hqq_standard_close(peer), 0);
}

static int filled_up_place(void *argument)
{
	hqq_standard *handles[MOST_LINKS];
	char name[16];
	int made, i, error = 0;

	(void)argument;
	if (!mount_small("size=1m"))
		return NO_PERMISSION;
	for (made = 0; made < MOST_LINKS; made++) {
		snprintf(name, sizeof(name), "n%d", made);
		error = hqq_standard_create(&handles[made], name, 4, 4096, 0600, NULL);
		if (error != 0)
			break;
	}
	MUST_EQ(error, -ENOSPC);
	MUST(made >= 10);
	MUST_EQ(count_names(), made);
	for (i = 0; i < made; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		use_all(handles[i], name);
	}
	/* room again */
	MUST_EQ(hqq_standard_close(handles[0]), 0);
	MUST_EQ(hqq_standard_create(&handles[0], "n0", 4, 4096, 0600, NULL), 0);
	for (i = 0; i < made; i++)
		MUST_EQ(hqq_standard_close(handles[i]), 0);
	MUST_EQ(count_names(), 0);
	return 0;
}

static child_body *const full_places[] = { too_small_a_place, filled_up_place };

START_TEST(full_place_is_told_at_creation)
{
	struct child child;
	int code;

	child_start(&child, full_places[_i], NULL);
	code = child_join(&child);
	if (code == NO_PERMISSION)
		test_skip("neither root nor user namespaces here, to mount a small /dev/shm");
	else
		MUST_EQ(code, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("names");
	TCase *cases = test_case(suite, "names", 30);

	tcase_add_test(cases, what_is_no_name);
	tcase_add_test(cases, every_character_is_allowed_or_not);
	tcase_add_test(cases, names_have_250_bytes_at_most);
	tcase_add_test(cases, one_leading_slash_is_tolerated);

	cases = test_case(suite, "files", 30);
	tcase_add_test(cases, a_name_is_taken_once);
	tcase_add_test(cases, a_missing_name);
	tcase_add_test(cases, a_name_that_is_no_file);
	tcase_add_test(cases, permissions_are_the_kernels);
	tcase_add_test(cases, strangers_do_not_remove_names);
	tcase_add_loop_test(cases, full_place_is_told_at_creation, 0, 2);
	return test_main(suite);
}
