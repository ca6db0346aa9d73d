/*
 * users.h - which processes have a file mapped, whatever they are
 *
 * From /proc, so it takes no lock and disturbs nobody, but sees only the processes of this pid
 * namespace that this user may look into.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_USERS_H
#define HQQ_TOOLS_USERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define USERS_MAX 64

struct users {
	int pid[USERS_MAX];
	unsigned count; /* at most USERS_MAX */
	bool complete;  /* there was no process that could not be looked into */
};

void users_find(const struct stat *file, struct users *users);

/* A thread of the process is in a system call whose first argument is the address of this byte of the file.
 */
bool users_sleep_on(int pid, const struct stat *file, uint64_t offset);

#endif /* HQQ_TOOLS_USERS_H */
