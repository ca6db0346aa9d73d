/*
 * users.c - which processes have a file mapped
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "users.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define ADDRESSES_MAX 8 /* mappings of one file in one process that are looked at */

/*
 * Where the process has a byte of the file, up to ADDRESSES_MAX times. Returns how often it has the
 * file mapped at all, or -errno. See /proc/PID/maps in proc(5).
 */
static int find_mappings(int pid, const struct stat *file, uint64_t byte, uint64_t addresses[ADDRESSES_MAX],
                         unsigned *found)
{
	char path[64], line[512];
	int mappings = 0;
	FILE *maps;

	*found = 0;
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return -errno;
	while (fgets(line, sizeof(line), maps)) {
		uint64_t start, end, offset, inode;
		unsigned major_number, minor_number;

		/* the rest of a line that was too long for us does not look like this */
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %x:%x %" SCNu64, &start, &end,
		           &offset, &major_number, &minor_number, &inode) != 6 ||
		    inode != file->st_ino || makedev(major_number, minor_number) != file->st_dev)
			continue;
		mappings++;
		if (byte >= offset && byte - offset < end - start && *found < ADDRESSES_MAX)
			addresses[(*found)++] = start + (byte - offset);
	}
	fclose(maps);
	return mappings;
}

void users_find(const struct stat *file, struct users *users)
{
	DIR *directory = opendir("/proc");
	struct dirent *entry;

	users->count = 0;
	users->complete = directory != NULL;
	while (directory && (entry = readdir(directory))) {
		uint64_t unused[ADDRESSES_MAX];
		unsigned found;
		int pid, mappings;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		pid = atoi(entry->d_name);
		mappings = find_mappings(pid, file, 0, unused, &found);
		if (mappings == -EACCES || mappings == -EPERM || (mappings > 0 && users->count == USERS_MAX))
			users->complete = false;
		else if (mappings > 0)
			users->pid[users->count++] = pid;
	}
	if (directory)
		closedir(directory);
}

/* The first argument of the system call that a thread sleeps in; 0 when it is in none. */
static uint64_t first_argument(int pid, const char *thread)
{
	char path[300];
	uint64_t argument;
	FILE *file;
	int fields;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/syscall", pid, thread);
	file = fopen(path, "re");
	if (!file)
		return 0;
	fields = fscanf(file, "%*d 0x%" SCNx64, &argument);
	fclose(file);
	return fields == 1 ? argument : 0;
}

bool users_sleep_on(int pid, const struct stat *file, uint64_t offset)
{
	uint64_t addresses[ADDRESSES_MAX];
	struct dirent *thread;
	bool asleep = false;
	unsigned found;
	char path[64];
	DIR *threads;

	if (find_mappings(pid, file, offset, addresses, &found) <= 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	threads = opendir(path);
	if (!threads)
		return false;
	while (!asleep && (thread = readdir(threads))) {
		uint64_t argument = thread->d_name[0] == '.' ? 0 : first_argument(pid, thread->d_name);

		for (unsigned i = 0; i < found && argument; i++)
			asleep = asleep || addresses[i] == argument;
	}
	closedir(threads);
	return asleep;
}
