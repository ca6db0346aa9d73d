/*
 * test_prefault.c - no page fault after set-up, and huge pages where the kernel has them
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.h"

#include <fcntl.h>
#include <hqq.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define COUNT 1024
#define SIZE 4096

static unsigned char data[SIZE];

static void open_both(hqq_standard *side[2], const char *name, uint64_t flags)
{
	const struct timespec passed = {0, 0};
	struct hqq_options options = HQQ_OPTIONS_INIT;

	options.flags = flags;
	MUST_EQ(hqq_standard_create(&side[0], name, COUNT, SIZE, 0600, &options), 0);
	MUST_EQ(hqq_standard_open(&side[1], name, 0, 0, &options), 0);
	for (int i = 0; i < 2; i++)
		MUST_EQ(hqq_standard_set_deadline(side[i], &passed), 0);
}

static void close_both(hqq_standard *side[2])
{
	MUST_EQ(hqq_standard_close(side[1]), 0);
	MUST_EQ(hqq_standard_close(side[0]), 0);
}

/* Every slot of both rings, in every way. */
static void use_all(hqq_standard *side[2], unsigned int laps)
{
	struct hqq_reservation slot;

	for (unsigned int i = 0; i < laps * COUNT; i++) {
		hqq_standard *from = side[i / COUNT % 2], *to = side[1 - i / COUNT % 2];

		if (i % 3) {
			MUST_EQ(hqq_standard_write(from, data, SIZE), SIZE);
		} else {
			MUST_EQ(hqq_standard_reserve_write(from, &slot), 0);
			memset(slot.data, (int)i, SIZE);
			MUST_EQ(hqq_standard_commit(&slot, SIZE), 0);
		}
		MUST_EQ(hqq_standard_read(to, data, SIZE), SIZE);
	}
}

static long faults(void)
{
	struct rusage usage;

	MUST_EQ(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_minflt + usage.ru_majflt;
}

/* The last is the control: there the faults come with the messages. */
static const uint64_t wishes[] = {HQQ_PREFAULT, HQQ_PREFAULT | HQQ_HUGEPAGES, 0};

/* The pages of this program and of the library come with the first messages, on another segment. */
START_TEST(no_fault_after_set_up)
{
	const char *name = test_name("prefault");
	hqq_standard *side[2];
	long before, after;

	if (test_slowness() > 1) {
		test_skip("the tool that this runs under has page faults of its own");
		return;
	}
	open_both(side, name, 0);
	use_all(side, 2);
	close_both(side);
	open_both(side, name, wishes[_i]);
	before = faults();
	use_all(side, 8);
	after = faults();
	if (wishes[_i])
		MUST_EQ(after - before, 0);
	else
		MUST(after - before > 0);
	close_both(side);
}
END_TEST

/* KiB of the segment that are mapped by huge pages. */
static long huge_kib(const char *name)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	bool here = false;
	char line[512];
	long sum = 0, n;

	MUST(maps != NULL);
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (strchr(line, '-') && !strstr(line, "kB"))
			here = strstr(line, name) != NULL;
		if (here && sscanf(line, "ShmemPmdMapped: %ld kB", &n) == 1)
			sum += n;
	}
	fclose(maps);
	return sum;
}

/* Can this kernel put the pages of a file together? */
static bool kernel_collapses(void)
{
	const size_t huge = (size_t)2 << 20;
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	bool can = false;
	char *base;

	if (fd < 0)
		return false;
	if (posix_fallocate(fd, 0, (off_t)(2 * huge)) != 0) {
		close(fd);
		return false;
	}
	base = mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(base != MAP_FAILED);
	/* any two MiB of it that lie at a multiple both of memory and of the file; else it says so itself */
	if ((uintptr_t)base % huge == 0)
		can = madvise(base, huge, 25 /* MADV_COLLAPSE */) == 0;
	munmap(base, 2 * huge);
	close(fd);
	return can;
}

START_TEST(huge_pages_where_there_are_some)
{
	const char *name = test_name("huge");
	hqq_standard *side[2];

	open_both(side, name, HQQ_HUGEPAGES);
	use_all(side, 2);
	if (huge_kib(name) == 0 && !kernel_collapses())
		test_skip("this kernel has no huge pages for files in memory");
	else /* both mappings */
		MUST(huge_kib(name) >= 2 * 2048L * (COUNT * SIZE / (2 << 20)));
	close_both(side);
	open_both(side, name, 0);
	MUST_EQ(huge_kib(name), 0);
	close_both(side);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pages");
	TCase *cases = test_case(suite, "prefault", 60);

	tcase_add_loop_test(cases, no_fault_after_set_up, 0, 3);
	tcase_add_test(cases, huge_pages_where_there_are_some);
	return test_main(suite);
}
