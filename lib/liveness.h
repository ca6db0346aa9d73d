/*
 * liveness.h - the kernel's word on whether an endpoint lives
 *
 * Never a clock: a process that is stopped, traced or starved is alive. Two witnesses:
 *
 *   lock     an endpoint with a descriptor holds an OFD lock on a byte of the segment's file. The
 *            kernel drops it when the last copy of that description goes, across pid namespaces
 *            and whatever becomes of the pid.
 *   process  pid and start time. Sees through a forked child that keeps the lock of its dead
 *            parent, and through a long core dump; speaks only within one pid namespace.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_LIVENESS_H
#define HQQ_LIB_LIVENESS_H

#include <stdbool.h>
#include <stdint.h>

enum hqq_liveness {
	HQQ_ALIVE,
	HQQ_DEAD,
	HQQ_UNKNOWN /* another pid namespace and no lock to ask */
};

/* What entry.origin (extension.h) says of a process of our pid namespace; 0 when it cannot be had. */
uint64_t hqq_process_origin(int pid);

/* The inode number of our pid namespace, 0 when it cannot be had. */
uint32_t hqq_process_namespace(void);

/* lock_fd: the asker's own open file description of the segment, -1 if it has none. */
enum hqq_liveness hqq_liveness(uint64_t identity, uint64_t origin, unsigned entry, int lock_fd);

/* Takes, or gives back, the lock on an entry's byte; false when another description holds it. */
bool hqq_liveness_lock(int lock_fd, unsigned entry);
void hqq_liveness_unlock(int lock_fd, unsigned entry);

#endif /* HQQ_LIB_LIVENESS_H */
