/*
 * segment.c - the memory of a link
 *
 * A named segment is made as an anonymous file of tmpfs (O_TMPFILE), completed, then linked to its
 * name, so that nobody who opens it meets a short or half-made one. Replacing a stale one happens
 * under an exclusive flock(2) of the old file that every joining endpoint holds shared.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "clock.h"
#include "segment.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY "/dev/shm"
#define PATH_SIZE (sizeof(DIRECTORY "/") + HQQ_NAME_MAX)
#define PROC_PATH_SIZE sizeof("/proc/self/fd/-2147483648")

#define HUGE_PAGE ((size_t)2 << 20) /* where they have another size, the kernel refuses, which is no harm */

/* As in linux/mman.h since 5.14 and 6.1; our own, since older headers lack them. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define HOLD_WAIT_NS HQQ_NS_PER_SEC
#define HOLD_PAUSE_NS HQQ_NS_PER_MS

void hqq_segment_init(struct hqq_segment *segment)
{
	memset(segment, 0, sizeof(*segment));
	segment->fd = -1;
	segment->lock_fd = -1;
}

static bool is_name_character(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
	       c == '-';
}

const char *hqq_segment_name(const char *name)
{
	size_t length;

	if (!name)
		return NULL;
	if (*name == '/')
		name++;
	for (length = 0; name[length]; length++) {
		if (length == HQQ_NAME_MAX || !is_name_character(name[length]))
			return NULL;
	}
	if (length == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return NULL;
	return name;
}

static void path_of(char path[PATH_SIZE], const char *name)
{
	snprintf(path, PATH_SIZE, DIRECTORY "/%s", name);
}

static void proc_path_of(char path[PROC_PATH_SIZE], int fd)
{
	snprintf(path, PROC_PATH_SIZE, "/proc/self/fd/%d", fd);
}

/* -1 with errno: an open file description of our own for the same file. */
static int reopen(int fd)
{
	char path[PROC_PATH_SIZE];

	proc_path_of(path, fd);
	return open(path, O_RDWR | O_CLOEXEC);
}

/* Sizes the file and reserves its memory now, so that a full file system is an error here and no SIGBUS later. */
static int reserve(int fd, size_t length)
{
	int rc;

	while (ftruncate(fd, (off_t)length) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	/* in pieces: older kernels undo a call at a signal, and a timer's come faster than all of it is done */
	for (size_t done = 0; done < length; done += HUGE_PAGE) {
		const size_t piece = length - done < HUGE_PAGE ? length - done : HUGE_PAGE;

		do {
			rc = posix_fallocate(fd, (off_t)done, (off_t)piece);
		} while (rc == EINTR);
		if (rc)
			return -rc;
	}
	return 0;
}

/* Maps the file at a multiple of the size of a huge page. */
static void *map_aligned(int fd, size_t length)
{
	const size_t room = length + HUGE_PAGE;
	char *start = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before;
	void *base;

	if (start == MAP_FAILED)
		return MAP_FAILED;
	before = -(uintptr_t)start & (HUGE_PAGE - 1);
	base = mmap(start + before, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	if (base == MAP_FAILED) {
		int error = errno;

		munmap(start, room);
		errno = error;
		return MAP_FAILED;
	}
	if (before)
		munmap(start, before);
	munmap(start + before + length, HUGE_PAGE - before);
	return base;
}

/* A wish: small pages serve as well. The file has its pages, so they are put together here and now. */
static void ask_for_huge_pages(void *base, size_t length)
{
	madvise(base, length, MADV_HUGEPAGE);
	madvise(base, length & ~(HUGE_PAGE - 1), MADV_COLLAPSE);
}

int hqq_segment_map(struct hqq_segment *segment, size_t length, uint64_t flags)
{
	const bool huge = (flags & HQQ_HUGEPAGES) && length >= HUGE_PAGE;
	const int prefault = (flags & HQQ_PREFAULT) ? MAP_POPULATE : 0;
	void *base = huge ? map_aligned(segment->fd, length)
	                  : mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | prefault, segment->fd, 0);

	if (base == MAP_FAILED)
		return -errno;
	if (huge) {
		ask_for_huge_pages(base, length);
		if (prefault) /* only now, or there would be small pages to begin with */
			madvise(base, length, MADV_POPULATE_WRITE);
	}
	segment->base = base;
	segment->length = length;
	segment->mapped = true;
	return 0;
}

void hqq_segment_unmap(struct hqq_segment *segment)
{
	if (segment->mapped)
		munmap(segment->base, segment->length);
	segment->base = NULL;
	segment->length = 0;
	segment->mapped = false;
}

int hqq_segment_create_anonymous(struct hqq_segment *segment, size_t length, mode_t mode, uint64_t flags)
{
	int rc;

	segment->fd = open(DIRECTORY, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (segment->fd < 0)
		return -errno;
	if (fchmod(segment->fd, mode) < 0) /* exact, whatever the umask */
		return -errno;
	rc = reserve(segment->fd, length);
	if (rc == 0)
		rc = hqq_segment_map(segment, length, flags);
	if (rc == 0)
		segment->lock_fd = reopen(segment->fd); /* where this fails, process ids serve */
	return rc;
}

static bool is_same_file(int fd, const char *path)
{
	struct stat by_fd, by_path;

	return fstat(fd, &by_fd) == 0 && lstat(path, &by_path) == 0 && by_fd.st_dev == by_path.st_dev &&
	       by_fd.st_ino == by_path.st_ino;
}

/* Removes the file at path if it is stale: 0 when the name is free now, -EEXIST when it stays. */
static int remove_stale(const char *path, bool (*is_stale)(int, void *), void *argument)
{
	int rc = -EEXIST;
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	/* exclusive against endpoints that join (hqq_segment_hold) and others that replace */
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_stale(fd, argument)) {
		/* in this order: its maker, if it just closed, removes the name before it counts as gone */
		rc = !is_same_file(fd, path) || unlink(path) == 0 || errno == ENOENT ? 0 : -errno;
	}
	flock(fd, LOCK_UN);
	close(fd);
	return rc;
}

int hqq_segment_publish(struct hqq_segment *segment, const char *name, bool (*is_stale)(int, void *), void *argument)
{
	char path[PATH_SIZE], proc_path[PROC_PATH_SIZE];

	path_of(path, name);
	proc_path_of(proc_path, segment->fd);
	while (linkat(AT_FDCWD, proc_path, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0) {
		int rc = -errno;

		if (rc == -EEXIST && is_stale)
			rc = remove_stale(path, is_stale, argument);
		if (rc)
			return rc;
	}
	snprintf(segment->name, sizeof(segment->name), "%s", name);
	segment->named = true;
	return 0;
}

int hqq_segment_create_memfd(struct hqq_segment *segment, size_t length, uint64_t flags)
{
	int rc;

	segment->fd = memfd_create("hqq", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (segment->fd < 0)
		return -errno;
	rc = reserve(segment->fd, length);
	if (rc == 0 && fcntl(segment->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		rc = -errno;
	if (rc == 0)
		rc = hqq_segment_map(segment, length, flags);
	if (rc == 0)
		segment->lock_fd = reopen(segment->fd);
	return rc;
}

int hqq_segment_open(struct hqq_segment *segment, const char *name)
{
	char path[PATH_SIZE];
	struct stat st;

	path_of(path, name);
	segment->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (segment->fd < 0)
		return -errno;
	if (fstat(segment->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return HQQ_ERR_INVALID_OP;
	segment->lock_fd = reopen(segment->fd);
	snprintf(segment->name, sizeof(segment->name), "%s", name);
	return 0;
}

int hqq_segment_open_fd(struct hqq_segment *segment, int fd)
{
	const int needed = F_SEAL_SHRINK | F_SEAL_GROW;
	int seals, access;

	access = fcntl(fd, F_GETFL);
	if (access < 0)
		return -errno;
	seals = fcntl(fd, F_GET_SEALS); /* fails on what is no memfd */
	if (seals < 0 || (seals & needed) != needed || (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return HQQ_ERR_INVALID_OP;
	if ((access & O_ACCMODE) != O_RDWR)
		return -EACCES;
	segment->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (segment->fd < 0)
		return -errno;
	segment->lock_fd = reopen(segment->fd);
	return 0;
}

int hqq_segment_file_size(const struct hqq_segment *segment, uint64_t *size)
{
	struct stat st;

	if (fstat(segment->fd, &st) < 0)
		return -errno;
	*size = st.st_size < 0 ? 0 : (uint64_t)st.st_size;
	return 0;
}

int hqq_segment_hold(const struct hqq_segment *segment, bool hold)
{
	const uint64_t deadline = hqq_clock_after(HOLD_WAIT_NS);
	const struct timespec pause = hqq_clock_timespec(HOLD_PAUSE_NS);

	if (segment->lock_fd < 0)
		return 0;
	while (flock(segment->lock_fd, hold ? LOCK_SH | LOCK_NB : LOCK_UN) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (hqq_clock_passed(deadline, hqq_clock_now()))
			return HQQ_ERR_FAILED_INIT;
		nanosleep(&pause, NULL);
	}
	return 0;
}

bool hqq_segment_is_linked(const struct hqq_segment *segment)
{
	char path[PATH_SIZE];

	path_of(path, segment->name);
	return is_same_file(segment->fd, path);
}

void hqq_segment_abandon(struct hqq_segment *segment)
{
	hqq_segment_unmap(segment);
	if (segment->lock_fd >= 0)
		close(segment->lock_fd);
	if (segment->fd >= 0)
		close(segment->fd);
	hqq_segment_init(segment);
}

void hqq_segment_remove_name(struct hqq_segment *segment)
{
	char path[PATH_SIZE];

	if (!segment->named)
		return;
	path_of(path, segment->name);
	if (is_same_file(segment->fd, path)) /* not a successor's, after a removal by hand */
		unlink(path);
	segment->named = false;
}

void hqq_segment_close(struct hqq_segment *segment)
{
	hqq_segment_remove_name(segment);
	hqq_segment_abandon(segment);
}

int hqq_segment_unlink(const char *name)
{
	char path[PATH_SIZE];

	name = hqq_segment_name(name);
	if (!name)
		return HQQ_ERR_INVALID_OP;
	path_of(path, name);
	return unlink(path) == 0 ? 0 : -errno;
}
