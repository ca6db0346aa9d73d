/*
 * support.c - suites, leak checks and names for every test program; see support.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#endif

#define SHM_DIRECTORY "/dev/shm"
#define NAME_PREFIX "hqqt."
#define MAX_DESCRIPTORS 4096

/*
 * Taken stock of by test_guard_begin(). owner stays the test's pid in its children, and space the namespace
 * in which it is one, where they enter another.
 */
static struct {
	pid_t owner;
	unsigned long space;
	bool open[MAX_DESCRIPTORS];
	int threads;
} stock;

/* Shared with the processes that Check forks. */
static unsigned int *skipped;

/* ---- assertions outside Check's own thread ---------------------------------------------------- */

void test_must_failed(const char *file, int line, const char *format, ...)
{
	va_list arguments;
	char text[512];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	fprintf(stderr, "%s:%d: [%ld] failed: %s\n", file, line, (long)getpid(), text);
	fflush(stderr);
	_exit(TEST_FAILED);
}

void test_must_equal(const char *file, int line, const char *what, long long got, long long want)
{
	if (got != want)
		test_must_failed(file, line, "%s is %lld, not %lld", what, got, want);
}

/* ---- suites ------------------------------------------------------------------------------------ */

bool test_under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

unsigned int test_slowness(void)
{
	const char *wish = getenv("HQQ_TEST_SLOW");

	if (wish != NULL && atoi(wish) > 0)
		return (unsigned int)atoi(wish);
	if (test_under_valgrind())
		return 10;
#if defined(UNDER_TSAN)
	return 5;
#elif defined(UNDER_ASAN)
	return 2;
#else
	return 1;
#endif
}

TCase *test_case(Suite *suite, const char *name, double watchdog_seconds)
{
	TCase *cases = tcase_create(name);

	tcase_set_timeout(cases, watchdog_seconds * test_slowness());
	tcase_add_checked_fixture(cases, test_guard_begin, test_guard_end);
	suite_add_tcase(suite, cases);
	return cases;
}

/* The number of our pid namespace: containers may share /dev/shm, and have the same pids. */
static unsigned long pid_space(void)
{
	struct stat file;

	return stat("/proc/self/ns/pid", &file) == 0 ? (unsigned long)file.st_ino : 0;
}

/*
 * Names whose test process is gone: a test that failed had no chance to remove them. Of another namespace's
 * processes we cannot tell.
 */
static void sweep_names(void)
{
	DIR *directory = opendir(SHM_DIRECTORY);
	const unsigned long own = pid_space();
	struct dirent *entry;

	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL) {
		char path[sizeof(SHM_DIRECTORY) + sizeof(entry->d_name) + 1];
		unsigned long space;
		long owner;

		if (sscanf(entry->d_name, NAME_PREFIX "n%lu.%ld.", &space, &owner) != 2 || owner <= 0)
			continue;
		if (space != own)
			continue;
		if (kill((pid_t)owner, 0) == 0 || errno != ESRCH)
			continue;
		snprintf(path, sizeof(path), "%s/%s", SHM_DIRECTORY, entry->d_name);
		unlink(path);
	}
	closedir(directory);
}

int test_main(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed, run;
	bool all_skipped;

	skipped = mmap(NULL, sizeof(*skipped), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (skipped == MAP_FAILED)
		return EXIT_FAILURE;
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	run = srunner_ntests_run(runner);
	srunner_free(runner);
	sweep_names();
	if (*skipped != 0)
		fprintf(stderr, "%u of %d tests skipped\n", *skipped, run);
	all_skipped = run > 0 && *skipped == (unsigned int)run;
	munmap(skipped, sizeof(*skipped));
	/* a suite without a test proves nothing */
	if (failed != 0 || run == 0)
		return EXIT_FAILURE;
	return all_skipped ? 77 : EXIT_SUCCESS;
}

void test_skip(const char *format, ...)
{
	va_list arguments;
	char text[512];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	fprintf(stderr, "SKIP: %s\n", text);
	if (skipped != NULL)
		__atomic_add_fetch(skipped, 1, __ATOMIC_RELAXED);
}

/* ---- leaks ------------------------------------------------------------------------------------- */

/* Marks what is open; returns how many. The descriptor of the directory itself is left out. */
static int list_descriptors(bool open_now[MAX_DESCRIPTORS])
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;
	int count = 0;

	memset(open_now, 0, MAX_DESCRIPTORS * sizeof(open_now[0]));
	if (directory == NULL)
		return -1;
	while ((entry = readdir(directory)) != NULL) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || fd == dirfd(directory) || fd < 0 || fd >= MAX_DESCRIPTORS)
			continue;
		open_now[fd] = true;
		count++;
	}
	closedir(directory);
	return count;
}

int test_count_descriptors(void)
{
	bool open_now[MAX_DESCRIPTORS];

	return list_descriptors(open_now);
}

int test_count_threads(void)
{
	DIR *directory = opendir("/proc/self/task");
	struct dirent *entry;
	int count = 0;

	if (directory == NULL)
		return -1;
	while ((entry = readdir(directory)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

/* How many there are, once there are so many or two seconds have passed. */
static int settled_threads(int wanted)
{
	int tries = 0;

	while (test_count_threads() != wanted && tries++ < 2000)
		test_sleep_ms(1);
	return test_count_threads();
}

void test_must_have_threads(int count)
{
	MUST_EQ(settled_threads(count), count);
}

#if defined(UNDER_TSAN)
static void do_nothing(void *argument, unsigned int index)
{
	(void)argument, (void)index;
}
#endif

/* ThreadSanitizer starts threads of its own with the first of ours: have that behind us. */
static void settle_threads(void)
{
#if defined(UNDER_TSAN)
	int before = test_count_threads(), same = 0;

	test_run_threads(1, do_nothing, NULL);
	while (same < 20) {
		int now = test_count_threads();

		same = now == before ? same + 1 : 0;
		before = now;
		test_sleep_ms(1);
	}
#endif
}

void test_guard_begin(void)
{
	stock.owner = getpid();
	stock.space = pid_space();
	settle_threads();
	/* orphans of the test's children come to us instead of getting lost */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	list_descriptors(stock.open);
	stock.threads = test_count_threads();
}

static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void append(char *text, size_t size, const char *format, ...)
{
	size_t used = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + used, size - used, format, arguments);
	va_end(arguments);
}

static void find_open_descriptors(char *report, size_t size)
{
	bool open_now[MAX_DESCRIPTORS];
	int fd;

	list_descriptors(open_now);
	for (fd = 0; fd < MAX_DESCRIPTORS; fd++) {
		char path[64], target[256];
		ssize_t length;

		if (open_now[fd] == stock.open[fd])
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, target, sizeof(target) - 1);
		target[length < 0 ? 0 : length] = '\0';
		append(report, size, " descriptor %d %s (%s);", fd, open_now[fd] ? "left open" : "was closed",
		       target);
	}
}

static void find_names(char *report, size_t size)
{
	DIR *directory = opendir(SHM_DIRECTORY);
	struct dirent *entry;
	char prefix[64];

	if (directory == NULL)
		return;
	snprintf(prefix, sizeof(prefix), "%sn%lu.%ld.", NAME_PREFIX, stock.space, (long)stock.owner);
	while ((entry = readdir(directory)) != NULL) {
		char path[sizeof(SHM_DIRECTORY) + sizeof(entry->d_name) + 1];

		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
			continue;
		append(report, size, " name %s;", entry->d_name);
		snprintf(path, sizeof(path), "%s/%s", SHM_DIRECTORY, entry->d_name);
		unlink(path);
	}
	closedir(directory);
}

void test_guard_end(void)
{
	char report[2048] = "";
	const int threads = settled_threads(stock.threads);
	int status;
	pid_t child;

	if (threads > stock.threads)
		append(report, sizeof(report), " %d threads;", threads - stock.threads);
	child = waitpid(-1, &status, WNOHANG);
	if (child > 0)
		append(report, sizeof(report), " child %ld not waited for;", (long)child);
	else if (child == 0)
		append(report, sizeof(report), " a running child;");
	find_open_descriptors(report, sizeof(report));
	find_names(report, sizeof(report));
	if (report[0] != '\0')
		ck_abort_msg("left behind:%s", report);
}

/* ---- segments ---------------------------------------------------------------------------------- */

const char *test_name(const char *tag)
{
	static char names[64][160];
	static unsigned int count;
	unsigned int mine = __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
	char *name = names[mine % 64];
	long owner = (long)(stock.owner != 0 ? stock.owner : getpid());
	unsigned long space = stock.owner != 0 ? stock.space : pid_space();

	snprintf(name, sizeof(names[0]), "%sn%lu.%ld.%ld.%u.%.60s", NAME_PREFIX, space, owner, (long)getpid(),
	         mine, tag);
	return name;
}

off_t test_name_length(const char *name)
{
	char path[512];
	struct stat status;

	snprintf(path, sizeof(path), "%s/%s", SHM_DIRECTORY, name);
	return stat(path, &status) == 0 ? status.st_size : -1;
}

bool test_name_exists(const char *name)
{
	return test_name_length(name) >= 0;
}

unsigned char *test_map_fd(int fd, size_t *length)
{
	struct stat status;
	void *base;

	MUST(fstat(fd, &status) == 0);
	*length = (size_t)status.st_size;
	base = mmap(NULL, *length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(base != MAP_FAILED);
	return base;
}

unsigned char *test_map_name(const char *name, size_t *length)
{
	unsigned char *base;
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", SHM_DIRECTORY, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		test_must_failed(__FILE__, __LINE__, "open %s: %s", path, strerror(errno));
	base = test_map_fd(fd, length);
	close(fd);
	return base;
}

unsigned char *test_map_memory(size_t length)
{
	void *base = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	MUST(base != MAP_FAILED);
	return base;
}

void test_unmap(unsigned char *base, size_t length)
{
	MUST(munmap(base, length) == 0);
}
