/*
 * sandbox.c - seccomp filters for tests; see sandbox.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "sandbox.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Installs: listed calls get one verdict, the others another. */
static bool install(const int *calls, size_t count, unsigned int listed, unsigned int others)
{
	struct sock_filter filter[2 * SANDBOX_MAX + 2];
	struct sock_fprog program = { .filter = filter };
	size_t i, n = 0;

	if (count > SANDBOX_MAX)
		return false;
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0); /* seccomp_data.nr */
	for (i = 0; i < count; i++) {
		filter[n++] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)calls[i], 0, 1);
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, listed);
	}
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, others);
	program.len = (unsigned short)n;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

bool sandbox_deny(const int *calls, size_t count, int error)
{
	return install(calls, count, SECCOMP_RET_ERRNO | ((unsigned int)error & SECCOMP_RET_DATA),
		       SECCOMP_RET_ALLOW);
}

bool sandbox_allow_only(const int *calls, size_t count)
{
	return install(calls, count, SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS);
}

bool sandbox_works(void)
{
	const int getppid_call = SYS_getppid;
	pid_t child = fork();
	int status;

	if (child == 0) {
		if (!sandbox_deny(&getppid_call, 1, ENOSYS))
			_exit(1);
		errno = 0;
		_exit(syscall(SYS_getppid) == -1 && errno == ENOSYS ? 0 : 1);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}
