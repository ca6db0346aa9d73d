/*
 * liveness.c - is an endpoint's process still there?
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "extension.h"
#include "liveness.h"
#include "thread.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#if defined(__alpha__) || defined(__mips__) /* numbers of their own: as on a kernel that lacks it */
#define SYS_pidfd_open (-1)
#else
#define SYS_pidfd_open 434
#endif
#endif

#define PROC_FILE_MAX 4096
#define FIELD_START_TIME 22 /* of /proc/PID/stat, see proc(5) */

/* Reads /proc/PID/FILE as a string; false when it cannot. */
static bool read_proc(int pid, const char *file, char text[PROC_FILE_MAX])
{
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, PROC_FILE_MAX - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return true;
}

static uint32_t start_time(int pid)
{
	char text[PROC_FILE_MAX], file[64];
	char *p;

	/* of its first thread: emulators of system calls make up a process's own "stat", but not this */
	snprintf(file, sizeof(file), "task/%d/stat", pid);
	if (!read_proc(pid, file, text))
		return 0;
	p = strrchr(text, ')'); /* field 2, the command, may hold anything, a ')' too */
	for (int field = 2; p && field < FIELD_START_TIME; field++)
		p = strchr(p + 1, ' ');
	return p ? (uint32_t)strtoull(p, NULL, 10) : 0;
}

/* The kernel numbers pid namespaces by inodes that fit 32 bits. */
uint32_t hqq_process_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? (uint32_t)st.st_ino : 0;
}

uint64_t hqq_process_origin(int pid)
{
	return (uint64_t)hqq_process_namespace() << 32 | start_time(pid);
}

/* A line of /proc/PID/status holds this value; see proc(5). */
static bool has_status(const char *status, const char *name, const char *value)
{
	const char *line = strstr(status, name);

	return line && strncmp(line + strlen(name), value, strlen(value)) == 0;
}

/*
 * Still in the process table, but for good without a thread that runs: a zombie that waits for its
 * parent, unless it is a leader that left its threads behind, or a process whose memory the kernel
 * writes out.
 */
static bool is_over(int pid)
{
	char text[PROC_FILE_MAX];

	if (!read_proc(pid, "status", text))
		return false;
	return has_status(text, "\nCoreDumping:\t", "1\n") ||
	       (has_status(text, "\nState:\t", "Z") && has_status(text, "\nThreads:\t", "1\n"));
}

/* By a descriptor, which needs no /proc, where the kernel has such; otherwise only what is reaped. */
static bool has_exited(int pid)
{
	long fd = syscall(SYS_pidfd_open, pid, 0);
	struct pollfd poll_fd = {.fd = (int)fd, .events = POLLIN};
	bool exited;

	if (fd < 0)
		return kill(pid, 0) < 0 && errno == ESRCH;
	exited = poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLIN);
	close((int)fd);
	return exited;
}

static bool is_gone(int pid)
{
	return pid <= 0 || has_exited(pid) || is_over(pid);
}

/* By what the identity alone tells, of somebody who has just come. */
static bool is_known_gone(uint64_t identity)
{
	const uint32_t own = hqq_identity_namespace(hqq_identity(0, HQQ_ENTRY_JOINING, 0, 0, hqq_process_namespace()));

	return own && hqq_identity_namespace(identity) == own && is_gone(hqq_identity_pid(identity));
}

static bool is_reused(int pid, uint32_t start)
{
	uint32_t now = start_time(pid);

	return start && now && start != now;
}

static struct flock lock_of(short type, unsigned entry)
{
	struct flock lock = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)hqq_entry_offset(entry),
		.l_len = 1,
	};

	return lock;
}

bool hqq_liveness_lock(int lock_fd, unsigned entry)
{
	struct flock lock = lock_of(F_WRLCK, entry);

	return fcntl(lock_fd, F_OFD_SETLK, &lock) == 0;
}

void hqq_liveness_unlock(int lock_fd, unsigned entry)
{
	struct flock lock = lock_of(F_UNLCK, entry);

	fcntl(lock_fd, F_OFD_SETLK, &lock);
}

enum hqq_liveness hqq_liveness(uint64_t identity, uint64_t origin, unsigned entry, int lock_fd)
{
	const int pid = hqq_identity_pid(identity);
	const unsigned state = hqq_identity_state(identity);
	bool locked = false;
	HQQ_NOT_CANCELED;

	if (state == HQQ_ENTRY_FREE || state == HQQ_ENTRY_LEFT)
		return HQQ_DEAD;
	if ((hqq_identity_flags(identity) & HQQ_ENTRY_LOCKED) && lock_fd >= 0) {
		struct flock lock = lock_of(F_WRLCK, entry);

		locked = fcntl(lock_fd, F_OFD_GETLK, &lock) == 0;
		if (locked && lock.l_type == F_UNLCK)
			return HQQ_DEAD;
	}
	if (state != HQQ_ENTRY_LIVE) /* its origin may still be its predecessor's */
		return is_known_gone(identity) ? HQQ_DEAD : locked ? HQQ_ALIVE : HQQ_UNKNOWN;
	if (!(origin >> 32) || (uint32_t)(origin >> 32) != hqq_process_namespace())
		return locked ? HQQ_ALIVE : HQQ_UNKNOWN;
	if (is_gone(pid))
		return HQQ_DEAD;
	/* start times differ between time namespaces, so they never outvote a lock */
	if (!locked && is_reused(pid, (uint32_t)origin))
		return HQQ_DEAD;
	return HQQ_ALIVE;
}
