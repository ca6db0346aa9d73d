/*
 * hold.c - locks by which programs of this command know each other on a segment
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "common.h"
#include "hold.h"
#include "inspect.h"
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define HOLD_BYTE INT64_C(0x4000000000000000)
#define PROMISE_BYTE (HOLD_BYTE + 1)
#define PART_BYTES (HOLD_BYTE + 2) /* of who answers, then of who asks */

static struct flock lock_of(short type, int64_t byte)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};

	return lock;
}

static bool take(int fd, short type, int64_t byte)
{
	struct flock lock = lock_of(type, byte);

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static bool is_taken(int fd, int64_t byte)
{
	struct flock lock = lock_of(F_WRLCK, byte);

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int hold_open(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDWR | O_CLOEXEC);
}

bool hold_segment(int own_fd)
{
	return take(own_fd, F_WRLCK, HOLD_BYTE);
}

bool hold_promise(int own_fd)
{
	return take(own_fd, F_RDLCK, PROMISE_BYTE);
}

bool hold_part(int own_fd, bool asks)
{
	return take(own_fd, F_WRLCK, PART_BYTES + asks);
}

/* By the 64-bit FNV-1a hash: names that have the same one are taken for each other. */
static int64_t naming_byte(const char *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
	return (int64_t)(hash >> 2);
}

static int open_directory(void)
{
	return open(SHM_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int hold_naming(const char *name)
{
	int fd = open_directory();

	/* shared, which is all that a directory's descriptor may have: of several makers one gets the name */
	if (fd >= 0 && !take(fd, F_RDLCK, naming_byte(name))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

bool is_naming(const char *name)
{
	int fd = open_directory();
	bool taken = fd >= 0 && is_taken(fd, naming_byte(name));

	if (fd >= 0)
		close(fd);
	return taken;
}

bool is_held(int fd)
{
	return is_taken(fd, HOLD_BYTE);
}

static bool is_taken_name(const char *name, int64_t byte)
{
	int fd = inspect_open(name);
	bool taken;

	if (fd < 0)
		return false;
	taken = is_taken(fd, byte);
	close(fd);
	return taken;
}

bool is_held_name(const char *name)
{
	return is_taken_name(name, HOLD_BYTE);
}

bool is_part_held_name(const char *name, bool asks)
{
	return is_taken_name(name, PART_BYTES + asks);
}

bool is_promised(int fd)
{
	return is_taken(fd, PROMISE_BYTE);
}
