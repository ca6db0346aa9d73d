# hqq_cxx.m4 - a C++ compiler for the tests of hqq.hpp; the library does without
#
# SPDX-License-Identifier: MIT

# Links an object of $CC into a C++ program: a cross build may have found a C++ compiler for this
# machine, and a sanitizer may be another compiler's.
AC_DEFUN([HQQ_FIND_CXX], [
	HQQ_CXX_FLAGS="-std=c++17 -Wall -Wextra -Wpedantic -Wconversion -Wshadow"
	AC_CACHE_CHECK([whether $CXX compiles C++17 and links objects of $CC], [hqq_cv_cxx], [
		hqq_cv_cxx=no
		hqq_saved_cflags=$CFLAGS
		hqq_saved_cxxflags=$CXXFLAGS
		hqq_saved_libs=$LIBS
		CFLAGS="$CFLAGS $HQQ_SAN_CFLAGS"
		CXXFLAGS="$CXXFLAGS $HQQ_SAN_CFLAGS $HQQ_CXX_FLAGS"
		LIBS="hqq_cxx.$ac_objext $LIBS"
		AC_COMPILE_IFELSE([AC_LANG_SOURCE([[int from_c(int n); int from_c(int n) { return n; }]])], [
			mv conftest.$ac_objext hqq_cxx.$ac_objext
			AC_LANG_PUSH([C++])
			AC_LINK_IFELSE([AC_LANG_PROGRAM([[
				#include <string_view>
				extern "C" int from_c(int n);
			]], [[return from_c(static_cast<int>(std::string_view().size()));]])], [hqq_cv_cxx=yes])
			AC_LANG_POP([C++])
		])
		rm -f hqq_cxx.$ac_objext
		CFLAGS=$hqq_saved_cflags
		CXXFLAGS=$hqq_saved_cxxflags
		LIBS=$hqq_saved_libs
	])
	AS_IF([test "$enable_werror" = yes], [AS_VAR_APPEND([HQQ_CXX_FLAGS], [" -Werror"])])
	AC_SUBST([HQQ_CXX_FLAGS])
	AC_SUBST([HQQ_HAVE_CXX], [$hqq_cv_cxx])
	AM_CONDITIONAL([HAVE_CXX], [test "$hqq_cv_cxx" = yes])
])
