/*
 * fence.c - the asymmetric barrier, by membarrier(2)
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "fence.h"
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

static long membarrier(int command)
{
#ifdef SYS_membarrier
	return syscall(SYS_membarrier, command, 0, 0);
#else
	(void)command;
	return -1;
#endif
}

bool hqq_fence_register(void)
{
	return membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0;
}

bool hqq_fence_heavy(void)
{
	atomic_thread_fence(memory_order_seq_cst);
	return membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0;
}
