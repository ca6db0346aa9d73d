/*
 * hqq.h - messages between processes on one machine through shared memory
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_H
#define HQQ_H

#include <hqq/advanced.h>
#include <hqq/common.h>
#include <hqq/standard.h>

#endif /* HQQ_H */
