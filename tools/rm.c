/*
 * rm.c - hqq rm: removes names, or the segments that the dead left behind
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "common.h"
#include "inspect.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <hqq.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct removal {
	bool stale, force, dry, verbose;
};

static const struct option long_options[] = {
	{"stale", no_argument, NULL, 's'},
	{"force", no_argument, NULL, 'f'},
	{"dry-run", no_argument, NULL, 'n'},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static void print_help(void)
{
	puts("Usage: hqq rm [OPTION]... NAME...\n"
	     "       hqq rm --stale [OPTION]... [NAME]...\n\n"
	     "Removes the names of segments; who has one open keeps it until he closes it.\n\n"
	     "  -s, --stale    only segments that were used and whose users are all dead;\n"
	     "                 without NAME look at all of them\n"
	     "  -f, --force    also a file that is no segment, and no word on a missing one;\n"
	     "                 with --stale also segments of which one cannot tell, if no\n"
	     "                 process is known to have them open\n"
	     "  -n, --dry-run  only say what would be removed\n"
	     "  -v, --verbose  say what was removed\n"
	     "  -h, --help     show this help");
}

/* -1 to go on, else the exit code. */
static int read_options(struct removal *removal, int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "sfnvh", long_options, NULL)) != -1) {
		switch (option) {
		case 's':
			removal->stale = true;
			break;
		case 'f':
			removal->force = true;
			break;
		case 'n':
			removal->dry = true;
			break;
		case 'v':
			removal->verbose = true;
			break;
		case 'h':
			print_help();
			return finish_output();
		default:
			return usage_error();
		}
	}
	if (optind == argc && !removal->stale) {
		complain(NULL, "the name is missing");
		return usage_error();
	}
	return -1;
}

static int remove_name(const struct removal *removal, const char *name)
{
	struct shm_path path = shm_path(name);

	if (!removal->dry && unlink(path.text) < 0) {
		complain(name, "%s", strerror(errno));
		return STATUS_FAILED;
	}
	if (removal->dry || removal->verbose) {
		print_safely(stdout, name, 0);
		puts(removal->dry ? ": would be removed" : ": removed");
	}
	return STATUS_OK;
}

/* The name still stands for the file that was looked at. */
static bool is_same(int fd, const char *name)
{
	struct shm_path path = shm_path(name);
	struct stat by_fd, by_name;

	return fstat(fd, &by_fd) == 0 && lstat(path.text, &by_name) == 0 && by_fd.st_dev == by_name.st_dev &&
	       by_fd.st_ino == by_name.st_ino;
}

/*
 * Looks again while nobody can join or replace the segment (endpoints of libhqq hold this lock
 * shared while they join), and removes it if it is still stale. Why it was kept, or NULL.
 */
static const char *remove_alone(const struct removal *removal, int fd, const char *name, int *status)
{
	struct segment_info info;
	const char *reason = "somebody is joining it";

	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return reason;
	reason = inspect_fd(fd, &info) ? "cannot be read" : inspect_why_kept(fd, &info, removal->force);
	if (!reason && !is_same(fd, name))
		reason = "somebody replaced it";
	if (!reason)
		*status = remove_name(removal, name);
	return reason;
}

/* named: the user asked for this one, so he is told why it stays. */
static int remove_if_stale(const struct removal *removal, const char *name, bool named)
{
	struct segment_info info;
	const char *reason;
	int fd = inspect_open(name);
	int rc = fd < 0 ? fd : inspect_fd(fd, &info);
	int status = STATUS_OK;

	if (rc) {
		if (fd >= 0)
			close(fd);
		if (!named || (removal->force && rc == -ENOENT))
			return STATUS_OK;
		complain(name, "%s", strerror(-rc));
		return STATUS_FAILED;
	}
	reason = inspect_why_kept(fd, &info, removal->force);
	if (!reason)
		reason = remove_alone(removal, fd, name, &status);
	if (reason && (named || (removal->verbose && info.is_segment)))
		complain(name, "kept: %s", reason);
	close(fd);
	return status || (reason && named) ? STATUS_FAILED : STATUS_OK;
}

static int remove_all_stale(const struct removal *removal)
{
	DIR *directory = opendir(SHM_DIRECTORY);
	struct dirent *file;
	int status = STATUS_OK;

	if (!directory) {
		complain(SHM_DIRECTORY, "%s", strerror(errno));
		return STATUS_FAILED;
	}
	while ((file = readdir(directory))) {
		if (strcmp(file->d_name, ".") && strcmp(file->d_name, "..") &&
		    remove_if_stale(removal, file->d_name, false))
			status = STATUS_FAILED;
	}
	closedir(directory);
	return status;
}

/* rm(1) would do for a file that is none of ours; we do not remove it by a slip of the finger. */
static int remove_named(const struct removal *removal, const char *name)
{
	struct segment_info info;
	int rc;

	if (removal->stale)
		return remove_if_stale(removal, name, true);
	rc = inspect_name(name, &info);
	if (rc == -ENOENT && removal->force)
		return STATUS_OK;
	if (!removal->force && (rc || !info.is_segment)) {
		complain(name, "%s", rc ? strerror(-rc) : "not a segment");
		return STATUS_FAILED;
	}
	return remove_name(removal, name);
}

int run_rm(int argc, char **argv)
{
	struct removal removal = {.stale = false};
	int status = read_options(&removal, argc, argv);

	if (status >= 0)
		return status;
	if (optind == argc)
		status = remove_all_stale(&removal);
	else
		status = STATUS_OK;
	for (int i = optind; i < argc; i++) {
		const char *name = checked_name(argv[i]);

		if (!name || remove_named(&removal, name))
			status = STATUS_FAILED;
	}
	return finish_output() ? STATUS_FAILED : status;
}
