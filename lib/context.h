/*
 * context.h - the inside of the public hqq_context
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_CONTEXT_H
#define HQQ_LIB_CONTEXT_H

#include "atomics.h"
#include <hqq/common.h>

/* NULL contexts are fine everywhere here: no deadline, never cancelled. */

uint64_t hqq_context_deadline(const hqq_context *context);
bool hqq_context_canceled(const hqq_context *context);

/*
 * The word that hqq_context_cancel() changes and wakes: HQQ_CONTEXT_WAITING while the context is
 * not cancelled.
 */
#define HQQ_CONTEXT_WAITING 0
_Atomic uint32_t *hqq_context_word(hqq_context *context);

#endif /* HQQ_LIB_CONTEXT_H */
