# hqq_require.m4 - what libhqq cannot do without
#
# SPDX-License-Identifier: MIT

# Futexes, memfd, OFD locks and /proc are Linux's own.
AC_DEFUN([HQQ_REQUIRE_LINUX], [
	AS_CASE([$host_os], [linux*], [],
		[AC_MSG_ERROR([libhqq runs on Linux only; the host given is $host])])
])

AC_DEFUN([HQQ_REQUIRE_C11], [
	AS_IF([test "x$ac_cv_prog_cc_c11" = xno],
		[AC_MSG_ERROR([libhqq needs a C11 compiler; $CC is none])])
])

# The counters of a segment are 64 bits wide and shared between processes, so a lock inside a
# process (which is how libatomic helps itself out) would not protect them. Compiled and linked,
# never run, so that it works for cross builds as well.
AC_DEFUN([HQQ_REQUIRE_LOCK_FREE_64], [
	AC_CACHE_CHECK([for lock-free 64-bit atomics], [hqq_cv_lock_free_64], [
		AC_LINK_IFELSE([AC_LANG_PROGRAM([[
			#include <stdatomic.h>
			#include <stdint.h>
			#if defined(__STDC_NO_ATOMICS__) || ATOMIC_LLONG_LOCK_FREE != 2
			#error "64-bit atomics are not always lock-free"
			#endif
			static _Atomic uint64_t word;
		]], [[
			uint64_t seen = atomic_load_explicit(&word, memory_order_acquire);
			atomic_store_explicit(&word, seen + 1, memory_order_release);
			atomic_fetch_add_explicit(&word, 1, memory_order_relaxed);
			return !atomic_compare_exchange_strong(&word, &seen, seen + 2);
		]])], [hqq_cv_lock_free_64=yes], [hqq_cv_lock_free_64=no])
	])
	AS_IF([test "$hqq_cv_lock_free_64" = no], [AC_MSG_ERROR([
libhqq needs C11 atomics that are lock-free for 64-bit integers, without libatomic.
$CC for $host has none. On 32-bit x86 they need at least -march=i586; many other 32-bit
processors do not have them at all.])])
])
