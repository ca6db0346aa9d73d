# hqq_peers.m4 - other ways to send messages, for `make bench-peers` alone
#
# SPDX-License-Identifier: MIT

# HQQ_PEER(NAME, HEADER, EXPRESSION): whether it can be used as PEER_NAME_CFLAGS and PEER_NAME_LIBS say.
# What pkg-config knows may be there for another processor only.
AC_DEFUN([HQQ_PEER], [
	AC_MSG_CHECKING([for a use of $2])
	hqq_saved_cppflags=$CPPFLAGS
	hqq_saved_libs=$LIBS
	CPPFLAGS="$CPPFLAGS $PEER_$1_CFLAGS"
	LIBS="$PEER_$1_LIBS $LIBS"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([[
		#include <stdbool.h>
		#include <stdint.h>
		#include <stdio.h>
		#include <$2>
	]], [[return (int)(uintptr_t)($3);]])], [have_peer=yes], [have_peer=no])
	CPPFLAGS=$hqq_saved_cppflags
	LIBS=$hqq_saved_libs
	AC_MSG_RESULT([$have_peer])
	AM_CONDITIONAL([HAVE_PEER_$1], [test "$have_peer" = yes])
	AS_IF([test "$have_peer" = yes], [
		AC_DEFINE([HAVE_PEER_$1], [1], [Define to 1 for the benchmarks to measure $1 as well.])
		AS_VAR_APPEND([hqq_peers], [" m4_tolower([$1])"])
	])
])

# HQQ_PEER_MODULE(NAME, MODULE, HEADER, EXPRESSION): what pkg-config knows
AC_DEFUN([HQQ_PEER_MODULE], [
	PKG_CHECK_MODULES([PEER_$1], [$2], [], [:])
	HQQ_PEER([$1], [$3], [$4])
])

AC_DEFUN([HQQ_BENCH_PEERS], [
	hqq_peers="pipe unix mq"
	HQQ_PEER_MODULE([CK], [ck], [ck_ring.h], [sizeof(ck_ring_t)])
	HQQ_PEER_MODULE([RTE], [libdpdk], [rte_ring.h], [(rte_ring_init)])
	HQQ_PEER_MODULE([SDBUS], [libsystemd], [systemd/sd-bus.h], [(sd_bus_process)])
	HQQ_PEER_MODULE([ZMQ], [libzmq], [zmq.h], [(zmq_send)])

	AC_SUBST([PEER_NNG_CFLAGS])
	AC_SUBST([PEER_NNG_LIBS], [-lnng])
	HQQ_PEER([NNG], [nng/nng.h], [(nng_version)])

	# its headers are in a directory of their version
	AC_SUBST([PEER_ICEORYX_CFLAGS])
	for hqq_directory in /usr/include/iceoryx/v*; do
		AS_IF([test -d "$hqq_directory"], [PEER_ICEORYX_CFLAGS="-I$hqq_directory"])
	done
	AC_SUBST([PEER_ICEORYX_LIBS], [-liceoryx_binding_c])
	HQQ_PEER([ICEORYX], [iceoryx_binding_c/runtime.h], [(iox_runtime_init)])
])
