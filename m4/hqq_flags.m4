# hqq_flags.m4 - configure options, warnings, sanitizers and linker flags
#
# SPDX-License-Identifier: MIT

# HQQ_ENABLE(NAME, DESCRIPTION): an option --enable-NAME that is off unless asked for
AC_DEFUN([HQQ_ENABLE], [
	AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [$2])], [], [enable_$1=no])
	AS_CASE([$enable_$1], [yes|no], [], [AC_MSG_ERROR([--enable-$1 takes yes or no])])
])

# HQQ_CC_FLAG(VARIABLE, FLAG): append FLAG to VARIABLE when the compiler takes it without a word
AC_DEFUN([HQQ_CC_FLAG], [
	AS_VAR_PUSHDEF([cache], [hqq_cv_cc_flag_$2])
	AC_CACHE_CHECK([whether $CC takes $2], [cache], [
		hqq_saved_cflags=$CFLAGS
		CFLAGS="$CFLAGS -Werror $2"
		AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
			[AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
		CFLAGS=$hqq_saved_cflags
	])
	AS_VAR_IF([cache], [yes], [AS_VAR_APPEND([$1], [" $2"])])
	AS_VAR_POPDEF([cache])
])

# HQQ_LD_FLAG(VARIABLE, FLAG): the same for a flag of the link
AC_DEFUN([HQQ_LD_FLAG], [
	AS_VAR_PUSHDEF([cache], [hqq_cv_ld_flag_$2])
	AC_CACHE_CHECK([whether the linker takes $2], [cache], [
		hqq_saved_ldflags=$LDFLAGS
		LDFLAGS="$LDFLAGS $2"
		AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
			[AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
		LDFLAGS=$hqq_saved_ldflags
	])
	AS_VAR_IF([cache], [yes], [AS_VAR_APPEND([$1], [" $2"])])
	AS_VAR_POPDEF([cache])
])

AC_DEFUN([HQQ_WARNINGS], [
	HQQ_WARN_CFLAGS=
	m4_foreach_w([HQQ_FLAG], [-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes
		-Wmissing-prototypes -Wwrite-strings -Wvla -Wno-psabi],
		[HQQ_CC_FLAG([HQQ_WARN_CFLAGS], HQQ_FLAG)])
	AS_IF([test "$enable_werror" = yes], [AS_VAR_APPEND([HQQ_WARN_CFLAGS], [" -Werror"])])
	AC_SUBST([HQQ_WARN_CFLAGS])
])

# HQQ_TRY_SANITIZER(FLAGS): stop when a program cannot be linked with them
AC_DEFUN([HQQ_TRY_SANITIZER], [
	AC_MSG_CHECKING([whether $CC links with $1])
	hqq_saved_cflags=$CFLAGS
	CFLAGS="$CFLAGS $1"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
		[AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		 AC_MSG_ERROR([the sanitizer asked for is not there for $CC on $host])])
	CFLAGS=$hqq_saved_cflags
])

AC_DEFUN([HQQ_SANITIZERS], [
	HQQ_SAN_CFLAGS=
	HQQ_SANITIZER_NAMES=
	AS_IF([test "$enable_asan$enable_tsan" = yesyes],
		[AC_MSG_ERROR([--enable-asan and --enable-tsan exclude each other])])
	AS_IF([test "$enable_asan" = yes], [
		HQQ_TRY_SANITIZER([-fsanitize=address,undefined])
		HQQ_SAN_CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
		HQQ_SANITIZER_NAMES="address, undefined"
	])
	AS_IF([test "$enable_tsan" = yes], [
		HQQ_TRY_SANITIZER([-fsanitize=thread])
		HQQ_SAN_CFLAGS="-fsanitize=thread -fno-omit-frame-pointer"
		# It does not model fences, and gcc says so at each. The library's only ones order a store
		# before a load (lib/fence.h); no data is published through them.
		HQQ_CC_FLAG([HQQ_SAN_CFLAGS], [-Wno-tsan])
		HQQ_SANITIZER_NAMES=thread
	])
	AM_CONDITIONAL([SANITIZED], [test -n "$HQQ_SAN_CFLAGS"])
	AC_SUBST([HQQ_SAN_CFLAGS])
])

# The ThreadSanitizer of gcc 12 and clang 14 cannot place its shadow when the kernel draws
# addresses from more than 28 bits, as newer kernels do. There the tests run without.
AC_DEFUN([HQQ_FIND_TSAN_RUNNER], [
	HQQ_TSAN_RUNNER=
	AS_IF([test "$enable_tsan" = yes && test "$cross_compiling" = no], [
		AC_CHECK_PROGS([SETARCH], [setarch])
		AS_IF([test -n "$SETARCH" && $SETARCH -R true >/dev/null 2>&1],
			[HQQ_TSAN_RUNNER="$SETARCH -R"])
	])
	AC_SUBST([HQQ_TSAN_RUNNER])
])

# The shared library: nothing visible but what lib/libhqq.map names, no symbol left open, and
# never unloaded, as threads may hold keys and robust state of it.
AC_DEFUN([HQQ_LIBRARY_FLAGS], [
	HQQ_LIB_CFLAGS=
	HQQ_LIB_LDFLAGS=
	HQQ_CC_FLAG([HQQ_LIB_CFLAGS], [-fvisibility=hidden])
	HQQ_LD_FLAG([HQQ_LIB_LDFLAGS], [-Wl,-z,nodelete])
	# a sanitizer's run-time library is linked to the program alone
	AS_IF([test -z "$HQQ_SAN_CFLAGS"], [HQQ_LD_FLAG([HQQ_LIB_LDFLAGS], [-Wl,-z,defs])])
	AC_SUBST([HQQ_LIB_CFLAGS])
	AC_SUBST([HQQ_LIB_LDFLAGS])
])
