/*
 * atomics.h - C11 atomics, and the two things that C11 has no name for
 *
 * Every operation in the library names its order; there is no volatile and no assembly on the
 * data path but for hints to the processor. Words of shared memory are declared _Atomic even where
 * a plain load would do, so that the compiler reads each of them exactly once and ThreadSanitizer
 * sees them all.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_ATOMICS_H
#define HQQ_LIB_ATOMICS_H

#include <stdatomic.h>
#include <stdint.h>

#if ATOMIC_LLONG_LOCK_FREE != 2
#error "libhqq needs lock-free 64-bit atomics: they are shared between processes"
#endif

#define HQQ_CACHE_LINE 64

#define HQQ_LIKELY(x) __builtin_expect(!!(x), 1)
#define HQQ_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define HQQ_COLD __attribute__((cold, noinline))
#define HQQ_NOINLINE __attribute__((noinline))
#define HQQ_HOT __attribute__((always_inline)) /* behind "static inline": what each message goes through */

/* Adds to a counter that only one thread writes: no locked operation. Readers may run beside it. */
static inline void hqq_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/* Begins to fetch a line that will be written. */
static inline void hqq_fetch_to_write(const void *line)
{
#ifdef __x86_64__
	/* not in the compiler's baseline; a processor without it does nothing */
	__asm__ __volatile__("prefetchw %0" : : "m"(*(const char *)line));
#else
	__builtin_prefetch(line, 1);
#endif
}

/* Tells the processor that this is a polling loop. */
static inline void hqq_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__ARM_ARCH_7A__)
	__asm__ __volatile__("yield");
#else
	atomic_signal_fence(memory_order_seq_cst);
#endif
}

#endif /* HQQ_LIB_ATOMICS_H */
