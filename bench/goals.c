/*
 * goals.c - how near to its limits the library is to be
 *
 * Set for two cores near each other. A goal whose cases are not in the list of a run is left out.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "bench.h"

#define AT_LEAST true
#define AT_MOST false

#define COPIES_TOO "the receiver's function copies what it is given, as receive() does; large.in-place only reads it"

const struct bench_goal bench_goals[] = {
	{"pingpong.copy.spin/64", "line.payload/64", 1.25, AT_MOST,
	 "the limit goes back to the same two lines; a ring takes its lines in turn, as line.in-turn/64 does, and "
	 "ring.pingpong/64 is the layout without a library"},
	{"stream.copy/64", "ring.locked/64", 1.0, AT_LEAST, NULL},
	{"stream.copy.spin/64", "ring.locked/64", 1.0, AT_LEAST, NULL},
	{"stream.single/64", "ring.plain/64", 0.9, AT_LEAST, NULL},
	{"stream.single.spin/64", "ring.plain/64", 0.9, AT_LEAST, NULL},
	{"stream.batch-16/64", "ring.plain/64", 0.9, AT_LEAST, NULL},
	{"stream.copy/4096", "memcpy/4096", 0.95, AT_LEAST, NULL},
	{"wake.block/64", "wake.futex/64", 1.1, AT_MOST, NULL},
	{"idle/64", NULL, 0.1, AT_MOST, NULL},
	{"large/1M", "copy.overlapped/1M", 0.85, AT_LEAST, NULL},
	{"large/16M", "copy.overlapped/16M", 0.85, AT_LEAST, NULL},
	{"large.stream/1M", "large/1M", 1.0, AT_LEAST, COPIES_TOO},
	{"large.stream/16M", "large/16M", 1.0, AT_LEAST, COPIES_TOO},
	{"large.in-place/1M", "large/1M", 1.0, AT_LEAST, NULL},
	{"large.in-place/16M", "large/16M", 1.0, AT_LEAST, NULL},
	{"call.spin/64", "pingpong.copy.spin/64", 2.0, AT_MOST, NULL},
	{"call.in-flight/64", NULL, 5e6, AT_LEAST, NULL},
};

const unsigned bench_goal_count = sizeof(bench_goals) / sizeof(bench_goals[0]);
