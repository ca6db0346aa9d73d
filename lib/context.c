/*
 * context.c - deadlines and cancelling
 *
 * Cancelling is async-signal-safe: one atomic store and one futex call. A waiter sleeps on its own
 * condition and on the context's word together (futex_waitv), so a cancel between its last look
 * and its sleep is not lost; where the kernel lacks that call it sleeps in short slices (wait.c).
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "clock.h"
#include "context.h"
#include "futex.h"
#include <errno.h>

#define CANCELED 1

/* What the opaque words hold; all zero is a valid context. */
struct context_words {
	_Atomic uint64_t deadline;
	_Atomic uint32_t state;
	uint32_t unused_32;
	uint64_t unused[6];
};

_Static_assert(sizeof(struct context_words) == sizeof(hqq_context), "the public struct has the room");
_Static_assert(_Alignof(struct context_words) <= 8, "the public struct has the alignment");

static struct context_words *words_of(hqq_context *context)
{
	return (struct context_words *)(void *)context;
}

static const struct context_words *const_words_of(const hqq_context *context)
{
	return (const struct context_words *)(const void *)context;
}

uint64_t hqq_context_deadline(const hqq_context *context)
{
	if (!context)
		return HQQ_NO_DEADLINE;
	return atomic_load_explicit(&const_words_of(context)->deadline, memory_order_relaxed);
}

bool hqq_context_canceled(const hqq_context *context)
{
	/* acquire pairs with the release in hqq_context_cancel(): the waiter sees what led to it */
	return context && atomic_load_explicit(&const_words_of(context)->state, memory_order_acquire) == CANCELED;
}

_Atomic uint32_t *hqq_context_word(hqq_context *context)
{
	return &words_of(context)->state;
}

int hqq_context_set_timeout(hqq_context *context, uint64_t nanoseconds)
{
	if (!context)
		return HQQ_ERR_INVALID_OP;
	atomic_store_explicit(&words_of(context)->deadline, hqq_clock_after(nanoseconds), memory_order_relaxed);
	return 0;
}

int hqq_context_set_deadline(hqq_context *context, const struct timespec *monotonic)
{
	if (!context || !hqq_clock_valid(monotonic))
		return HQQ_ERR_INVALID_OP;
	atomic_store_explicit(&words_of(context)->deadline, hqq_clock_deadline(monotonic), memory_order_relaxed);
	return 0;
}

int hqq_context_cancel(hqq_context *context)
{
	int saved = errno;

	if (!context)
		return HQQ_ERR_INVALID_OP;
	atomic_store_explicit(&words_of(context)->state, CANCELED, memory_order_release);
	hqq_futex_wake_private(&words_of(context)->state);
	errno = saved;
	return 0;
}

int hqq_context_reset(hqq_context *context)
{
	if (!context)
		return HQQ_ERR_INVALID_OP;
	atomic_store_explicit(&words_of(context)->deadline, HQQ_NO_DEADLINE, memory_order_relaxed);
	atomic_store_explicit(&words_of(context)->state, HQQ_CONTEXT_WAITING, memory_order_release);
	return 0;
}
