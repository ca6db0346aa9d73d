/*
 * support.h - what every test program shares: names, children, leak checks, time, skips
 *
 * A test program is a Check suite whose main() is one line:
 *
 *	int main(void)
 *	{
 *		Suite *suite = suite_create("reading");
 *		TCase *cases = test_case(suite, "short reads", 20);
 *
 *		tcase_add_test(cases, short_read_keeps_tail);
 *		return test_main(suite);
 *	}
 *
 * Every test of a case made by test_case() runs between test_guard_begin() and test_guard_end():
 * it fails when it leaves a descriptor, a thread, a child or a name in /dev/shm behind.
 *
 * Rules for tests
 * - ck_assert*() only on the thread and in the process that Check started. Everywhere else - in a
 *   forked child, in a thread - use MUST() or MUST_EQ(): they print and end the process with
 *   TEST_FAILED, which the parent sees through child_join() and Check sees as an early exit.
 * - Segment names come from test_name() (unique per process and call).
 * - Children come from child_start(); no bare fork(). Waits have a watchdog inside.
 * - A test that cannot run here calls test_skip("what is missing") and returns.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_SUPPORT_H
#define HQQ_TESTS_SUPPORT_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* The exit code of a process in which a MUST() failed. */
#define TEST_FAILED 99

/* Assertions for threads and children; also fine on Check's own thread. */
#define MUST(condition) \
	((condition) ? (void)0 : test_must_failed(__FILE__, __LINE__, "%s", #condition))
#define MUST_EQ(got, want) test_must_equal(__FILE__, __LINE__, #got, (long long)(got), (long long)(want))

void test_must_failed(const char *file, int line, const char *format, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
void test_must_equal(const char *file, int line, const char *what, long long got, long long want);

/* ---- suites ---------------------------------------------------------------------------------- */

/*
 * A case of the suite with the leak guard round each test and a watchdog of so many seconds,
 * stretched by test_slowness().
 */
TCase *test_case(Suite *suite, const char *name, double watchdog_seconds);

/*
 * Runs the suite; returns the exit code for main(): 0, 1, or 77 when every test was skipped.
 * CK_FORK=no in the environment runs every test in one process (for valgrind and sanitizers).
 */
int test_main(Suite *suite);

/* Says on stderr that this test did not run and why. The caller returns from the test next. */
void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * How much slower than usual things go: 1, or more under valgrind, a sanitizer or what
 * HQQ_TEST_SLOW says. Multiply watchdogs by it and divide amounts of work by it.
 */
unsigned int test_slowness(void);

/*
 * What no working wake-up takes, in nanoseconds. A machine can stand still for seconds, and a wait that
 * nobody ends goes on for ever. Where promptness itself is tested, try again, three times at most.
 */
#define TEST_WAKE_NS (UINT64_C(8000000000) * test_slowness())

/* True under valgrind, where a thread that spins may keep all others from running. */
bool test_under_valgrind(void);

/* ---- leaks ----------------------------------------------------------------------------------- */

/*
 * Begin takes stock, end compares and fails the test (ck_abort_msg) on what is left over.
 * test_case() installs both; call them by hand only for a part of a test. They do not nest.
 */
void test_guard_begin(void);
void test_guard_end(void);

/* Open descriptors of this process and its threads, right now. */
int test_count_descriptors(void);
int test_count_threads(void);

/* Must have so many threads; a joined one may be on its way out of the kernel for a moment. */
void test_must_have_threads(int count);

/* ---- segments -------------------------------------------------------------------------------- */

/*
 * A name nobody else uses, for example "hqqt.n4026531836.1234.1234.7.short": of the pid namespace, the test,
 * the process, its names so far, the tag. At most 125 bytes or so. The string lives until the process ends or
 * 64 more names were made. A child of the test shares the prefix of its parent, in whatever namespace.
 */
const char *test_name(const char *tag);

/* Is there /dev/shm/NAME? Its length, or -1. */
bool test_name_exists(const char *name);
off_t test_name_length(const char *name);

/* Maps a whole segment, read and write, as plain memory; aborts the test when it cannot. */
unsigned char *test_map_name(const char *name, size_t *length);
unsigned char *test_map_fd(int fd, size_t *length);
void test_unmap(unsigned char *base, size_t length);

/* Private, page-aligned, zeroed memory of whole pages for hqq_standard_attach(); same unmap. */
unsigned char *test_map_memory(size_t length);

/* ---- children -------------------------------------------------------------------------------- */

struct child {
	pid_t pid;
	int line; /* a socket to the child, for child_say() and child_hear() */
};

/*
 * Forks; the child runs body(argument), and its return value is the child's exit code (0..98).
 * It dies with the thread that called this, and does not run the parent's atexit functions.
 */
typedef int child_body(void *argument);
void child_start(struct child *child, child_body *body, void *argument);

/*
 * Waits for the end of the child: its exit code, or minus the signal that killed it. A child
 * that takes longer than the watchdog (60 s times slowness) is killed and fails the test.
 */
int child_join(struct child *child);

/* child_join() that must give 0. */
void child_join_ok(struct child *child);

/* kill -9, then reaps it. */
void child_kill(struct child *child);

/* One byte to the child, and the next byte from it, which must be this one. */
void child_say(struct child *child, char byte);
void child_hear(struct child *child, char byte);

/* The same, seen from the child. */
void parent_say(char byte);
void parent_hear(char byte);

/* ---- threads, time, bytes -------------------------------------------------------------------- */

/* Runs body(argument, index) on so many threads (16 at most) and waits for all of them. */
typedef void thread_body(void *argument, unsigned int index);
void test_run_threads(unsigned int count, thread_body *body, void *argument);

uint64_t test_now_ns(void);                      /* CLOCK_MONOTONIC */
uint64_t test_cpu_ns(void);                      /* CPU time of this process so far */
struct timespec test_in_ms(uint64_t milliseconds); /* absolute, monotonic, for deadlines */
void test_sleep_ms(uint64_t milliseconds);

/*
 * Work by count that ends in time: so much, or - where a busy machine takes longer for it than eight
 * seconds, stretched by test_slowness() - what is done by then, but never less than the least. The
 * sender goes by test_quota_next(), which announces the end before the last piece; a receiver goes by
 * test_quota_left() and so never waits for what does not come. One of each, in threads or, where the
 * struct lies in shared memory, in processes. What was sent is checked as ever.
 */
struct test_quota {
	uint64_t count; /* all there will be; it only shrinks */
	uint64_t least, end_ns;
};

void test_quota_begin(struct test_quota *quota, uint64_t most, uint64_t least);

/* How many of the wanted next ones to send after so many done; 0: that was all. */
uint64_t test_quota_next(struct test_quota *quota, uint64_t done, uint64_t wanted);

/* How many there are to come after so many, by what is known now. */
uint64_t test_quota_left(const struct test_quota *quota, uint64_t done);

/* What it came to in the end. */
uint64_t test_quota_count(const struct test_quota *quota);

/* Waits until that thread sleeps in the kernel (state S in /proc, several looks in a row). */
void test_wait_asleep(pid_t pid, pid_t tid);

/* A reproducible 64-bit sequence. The seed is told on stderr; HQQ_TEST_SEED brings one back. */
uint64_t test_random(uint64_t *state);
uint64_t test_seed(void);

/* Fills with a pattern of the seed; the check returns the first wrong index, or -1. */
void test_fill(void *bytes, size_t length, uint64_t seed);
ssize_t test_verify(const void *bytes, size_t length, uint64_t seed);

#endif /* HQQ_TESTS_SUPPORT_H */
