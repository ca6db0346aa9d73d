/*
 * test_badinput.c - each rule for geometries, memory, names, descriptors and options, with the
 * exact error for breaking it
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "foreign.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <hqq.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A handle variable that no function may touch when it fails. */
#define UNTOUCHED ((hqq_standard *)(void *)&untouched)
static char untouched;

#define REFUSED(call, error) \
	do { \
		hqq_standard *handle = UNTOUCHED; \
		int descriptors = test_count_descriptors(); \
		MUST_EQ(call, error); \
		MUST(handle == UNTOUCHED); \
		MUST_EQ(test_count_descriptors(), descriptors); \
	} while (0)

/* ---- geometry ---------------------------------------------------------------------------------- */

#define BIT(n) ((size_t)1 << (n))
#define TOP (sizeof(size_t) * 8 - 1)

static const struct {
	size_t count, size;
	int error;
} bad_geometries[] = {
	{ 0, 64, HQQ_ERR_INVALID_SIZE },
	{ 1, 64, HQQ_ERR_INVALID_SIZE },
	{ 3, 64, HQQ_ERR_INVALID_SIZE },
	{ 6, 64, HQQ_ERR_INVALID_SIZE },
	{ 1000, 64, HQQ_ERR_INVALID_SIZE },
	{ SIZE_MAX, 64, HQQ_ERR_INVALID_SIZE },
	{ BIT(TOP) + 1, 64, HQQ_ERR_INVALID_SIZE },
	{ 4, 0, HQQ_ERR_INVALID_SIZE },
	{ 4, 1, HQQ_ERR_INVALID_SIZE },
	{ 4, 4, HQQ_ERR_INVALID_SIZE },
	{ 4, 7, HQQ_ERR_INVALID_SIZE },
	{ 4, 9, HQQ_ERR_MEMORY_ALIGN },
	{ 4, 12, HQQ_ERR_MEMORY_ALIGN },
	{ 4, 63, HQQ_ERR_MEMORY_ALIGN },
	{ 4, 4097, HQQ_ERR_MEMORY_ALIGN },
	{ 4, SIZE_MAX, HQQ_ERR_MEMORY_ALIGN },
	/* more bytes than can be counted */
	{ 2, SIZE_MAX - 7, HQQ_ERR_INVALID_SIZE },
	{ 4, BIT(TOP), HQQ_ERR_INVALID_SIZE },
	{ BIT(TOP), 8, HQQ_ERR_INVALID_SIZE },
	{ BIT(TOP - 3), 8, HQQ_ERR_INVALID_SIZE },
	{ BIT(TOP - 6), 64, HQQ_ERR_INVALID_SIZE },
	{ BIT(TOP / 2 + 1), BIT(TOP / 2 + 1), HQQ_ERR_INVALID_SIZE },
};

START_TEST(bad_geometry_is_refused_everywhere)
{
	const char *name = test_name("geometry");
	const size_t count = bad_geometries[_i].count, size = bad_geometries[_i].size;
	const int error = bad_geometries[_i].error;
	unsigned char *memory = test_map_memory(65536);
	hqq_standard *good;

	MUST_EQ(hqq_standard_size(count, size), 0);
	REFUSED(hqq_standard_attach(&handle, memory, 65536, count, size, NULL), error);
	MUST_EQ(foreign_word(memory, 8), 0); /* the state was not touched */
	REFUSED(hqq_standard_create(&handle, name, count, size, 0600, NULL), error);
	MUST(!test_name_exists(name));
	REFUSED(hqq_standard_create_fd(&handle, count, size, NULL), error);
	MUST_EQ(hqq_standard_create(&good, name, 4, 64, 0600, NULL), 0);
	REFUSED(hqq_standard_open(&handle, name, count, size, NULL), error);
	MUST_EQ(hqq_standard_close(good), 0);
	MUST_EQ(hqq_standard_create_fd(&good, 4, 64, NULL), 0);
	REFUSED(hqq_standard_open_fd(&handle, hqq_standard_fd(good), count, size, NULL), error);
	MUST_EQ(hqq_standard_close(good), 0);
	test_unmap(memory, 65536);
}
END_TEST

START_TEST(zero_by_zero_is_a_geometry_for_open_only)
{
	unsigned char *memory = test_map_memory(65536);
	const char *name = test_name("zero");

	MUST_EQ(hqq_standard_size(0, 0), 0);
	REFUSED(hqq_standard_attach(&handle, memory, 65536, 0, 0, NULL), HQQ_ERR_INVALID_SIZE);
	REFUSED(hqq_standard_create(&handle, name, 0, 0, 0600, NULL), HQQ_ERR_INVALID_SIZE);
	REFUSED(hqq_standard_create_fd(&handle, 0, 0, NULL), HQQ_ERR_INVALID_SIZE);
	test_unmap(memory, 65536);
}
END_TEST

START_TEST(memory_must_be_aligned_and_long_enough)
{
	const size_t need = hqq_standard_size(4, 64), page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char *memory = test_map_memory(need + page);
	const size_t off[] = { 1, 8, 64, page / 2, page - 8 };
	const size_t lengths[] = { 0, 1, 64, page, need - page, need - 8, need - 1 };
	hqq_standard *good;
	size_t i;

	for (i = 0; i < sizeof(off) / sizeof(off[0]); i++)
		REFUSED(hqq_standard_attach(&handle, memory + off[i], need, 4, 64, NULL),
		        HQQ_ERR_MEMORY_ALIGN);
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		REFUSED(hqq_standard_attach(&handle, memory, lengths[i], 4, 64, NULL), HQQ_ERR_MEMORY_SMALL);
	for (i = 0; i < need + page; i++)
		MUST_EQ(memory[i], 0);
	MUST_EQ(hqq_standard_attach(&good, memory, need, 4, 64, NULL), 0);
	MUST_EQ(hqq_standard_close(good), 0);
	test_unmap(memory, need + page);
}
END_TEST

/* ---- a segment that is not what the caller, or the tables, say ---------------------------------- */

START_TEST(other_geometry_than_the_segments)
{
	static const size_t pairs[][2] = { { 8, 64 }, { 2, 64 }, { 4, 56 }, { 4, 72 }, { 4, 128 }, { 2, 128 },
		                           { 4, 65536 }, { 1024, 8 } };
	unsigned char *memory = test_map_memory(1 << 20);
	hqq_standard *named, *anonymous, *attached;
	const char *name = test_name("other");
	size_t i;

	MUST_EQ(hqq_standard_create(&named, name, 4, 64, 0600, NULL), 0);
	MUST_EQ(hqq_standard_create_fd(&anonymous, 4, 64, NULL), 0);
	MUST_EQ(hqq_standard_attach(&attached, memory, 1 << 20, 4, 64, NULL), 0);
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		size_t count = pairs[i][0], size = pairs[i][1];

		REFUSED(hqq_standard_open(&handle, name, count, size, NULL), HQQ_ERR_INVALID_SIZE);
		REFUSED(hqq_standard_open_fd(&handle, hqq_standard_fd(anonymous), count, size, NULL),
		        HQQ_ERR_INVALID_SIZE);
		REFUSED(hqq_standard_attach(&handle, memory, 1 << 20, count, size, NULL),
		        HQQ_ERR_INVALID_SIZE);
	}
	MUST_EQ(hqq_standard_close(attached), 0);
	MUST_EQ(hqq_standard_close(anonymous), 0);
	MUST_EQ(hqq_standard_close(named), 0);
	test_unmap(memory, 1 << 20);
}
END_TEST

/* wait: the answer comes after the wait for somebody to make it right. */
static const struct {
	unsigned int word;
	uint64_t value;
	int error;
	bool wait;
} wrong_words[] = {
	{ FOREIGN_MAGIC, 0, HQQ_ERR_FAILED_INIT, true },
	{ FOREIGN_MAGIC, UINT64_C(0x314c54535f515148), HQQ_ERR_FAILED_INIT, true },
	{ FOREIGN_STATE, 0, HQQ_ERR_FAILED_INIT, true },
	{ FOREIGN_STATE, 1, HQQ_ERR_FAILED_INIT, true },
	{ FOREIGN_STATE, 3, HQQ_ERR_FAILED_INIT, true },
	{ FOREIGN_STATE, UINT64_C(0x100000002), HQQ_ERR_FAILED_INIT, true },
	{ FOREIGN_PAGE_SIZE, 0, HQQ_ERR_INVALID_SIZE, false },
	{ FOREIGN_PAGE_SIZE, 1 << 21, HQQ_ERR_INVALID_SIZE, false },
	{ FOREIGN_COUNT, 0, HQQ_ERR_INVALID_SIZE, false },
	{ FOREIGN_COUNT, 3, HQQ_ERR_INVALID_SIZE, false },
	{ FOREIGN_COUNT, 1024, HQQ_ERR_INVALID_SIZE, false },
	{ FOREIGN_COUNT, UINT64_C(0x100000004), HQQ_ERR_INVALID_SIZE, false },
	{ FOREIGN_COUNT, (uint64_t)1 << 63, HQQ_ERR_INVALID_SIZE, false },
	{ FOREIGN_SIZE, 0, HQQ_ERR_INVALID_SIZE, false },
	{ FOREIGN_SIZE, 4096, HQQ_ERR_INVALID_SIZE, false },
	{ FOREIGN_SIZE, 12, HQQ_ERR_INVALID_SIZE, false },
	{ FOREIGN_SIZE, UINT64_MAX - 7, HQQ_ERR_INVALID_SIZE, false },
	{ FOREIGN_LAYOUT_SIZE, 0, HQQ_ERR_INVALID_SIZE, false },
	{ FOREIGN_LAYOUT_SIZE, 0x5008, HQQ_ERR_INVALID_SIZE, false },
	{ FOREIGN_LAYOUT_SIZE, UINT64_MAX, HQQ_ERR_INVALID_SIZE, false },
};

START_TEST(wrong_superblock_is_refused)
{
	struct foreign_defects defects = { .wrong_words = 1u << wrong_words[_i].word };
	const int error = wrong_words[_i].error;
	const char *name = test_name("wrong");
	struct hqq_options options = HQQ_OPTIONS_INIT;
	unsigned char before[64];
	struct foreign creator;
	uint64_t start;

	defects.words[wrong_words[_i].word] = wrong_words[_i].value;
	defects.length = 1 << 20; /* room for all that the words claim */
	MUST_EQ(foreign_create(&creator, name, 4, 64, &defects), FOREIGN_OK);
	memcpy(before, creator.base, sizeof(before));
	options.role = HQQ_ROLE_SECONDARY;
	start = test_now_ns();
	REFUSED(hqq_standard_open(&handle, name, 4, 64, NULL), error);
	if (wrong_words[_i].wait)
		MUST(test_now_ns() - start > UINT64_C(900000000));
	else
		REFUSED(hqq_standard_open(&handle, name, 0, 0, NULL), error);
	/* on a mapping, without the library being the one to initialise */
	REFUSED(hqq_standard_attach(&handle, creator.base, (size_t)creator.mapped, 4, 64, &options), error);
	MUST(memcmp(before, creator.base, sizeof(before)) == 0);
	foreign_close(&creator);
}
END_TEST

START_TEST(untouched_file_is_not_initialised_by_open)
{
	const struct foreign_defects defects = { .untouched = true };
	const char *name = test_name("untouched");
	struct foreign creator;
	uint64_t i;

	MUST_EQ(foreign_create(&creator, name, 4, 64, &defects), FOREIGN_OK);
	REFUSED(hqq_standard_open(&handle, name, 4, 64, NULL), HQQ_ERR_FAILED_INIT);
	REFUSED(hqq_standard_open(&handle, name, 0, 0, NULL), HQQ_ERR_FAILED_INIT);
	for (i = 0; i < creator.mapped; i++)
		MUST_EQ(creator.base[i], 0);
	foreign_close(&creator);
}
END_TEST

struct latecomer {
	struct foreign creator;
	hqq_standard *handle;
	int result;
	_Atomic uint64_t opening_ns, ready_ns;
};

static void open_or_finish(void *argument, unsigned int index)
{
	struct latecomer *late = argument;

	if (index == 0) {
		while (late->opening_ns == 0)
			test_sleep_ms(1);
		test_sleep_ms(300);
		__atomic_store_n((uint64_t *)(void *)(late->creator.base + 8), 2, __ATOMIC_RELEASE);
		late->ready_ns = test_now_ns();
	} else {
		late->opening_ns = test_now_ns();
		late->result = hqq_standard_open(&late->handle, strrchr(late->creator.created, '/') + 1, 0, 0, NULL);
	}
}

/* The library waits for a second. Where the one who finishes got no processor for that long, all over again. */
START_TEST(segment_that_becomes_ready_in_time_is_served)
{
	const struct foreign_defects defects = { .stuck = true };
	struct latecomer late;

	do {
		memset(&late, 0, sizeof(late));
		MUST_EQ(foreign_create(&late.creator, test_name("late"), 4, 64, &defects), FOREIGN_OK);
		test_run_threads(2, open_or_finish, &late);
		if (late.result == 0)
			MUST_EQ(hqq_standard_close(late.handle), 0);
		foreign_close(&late.creator);
	} while (late.result == HQQ_ERR_FAILED_INIT && late.ready_ns - late.opening_ns > UINT64_C(990000000));
	MUST_EQ(late.result, 0);
}
END_TEST

START_TEST(short_file_is_refused)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t need = hqq_standard_size(4, 64);
	const char *name = test_name("short");
	struct foreign creator;
	char path[512];

	MUST_EQ(foreign_create(&creator, name, 4, 64, NULL), FOREIGN_OK);
	snprintf(path, sizeof(path), "/dev/shm/%s", name);
	MUST_EQ(truncate(path, (off_t)(need - 1)), 0);
	REFUSED(hqq_standard_open(&handle, name, 4, 64, NULL), HQQ_ERR_MEMORY_SMALL);
	REFUSED(hqq_standard_open(&handle, name, 0, 0, NULL), HQQ_ERR_MEMORY_SMALL);
	MUST_EQ(truncate(path, (off_t)page), 0);
	REFUSED(hqq_standard_open(&handle, name, 4, 64, NULL), HQQ_ERR_MEMORY_SMALL);
	REFUSED(hqq_standard_open(&handle, name, 0, 0, NULL), HQQ_ERR_MEMORY_SMALL);
	/* a file without a superblock: its maker may still be at it, so this takes the full wait */
	MUST_EQ(truncate(path, 0), 0);
	REFUSED(hqq_standard_open(&handle, name, 0, 0, NULL), HQQ_ERR_FAILED_INIT);
	REFUSED(hqq_standard_open(&handle, name, 4, 64, NULL), HQQ_ERR_FAILED_INIT);
	foreign_close(&creator);
}
END_TEST

START_TEST(longer_file_is_served)
{
	const struct foreign_defects defects = { .length = (uint64_t)hqq_standard_size(4, 64) + 12345 };
	const char *name = test_name("long");
	struct foreign creator;
	hqq_standard *handle;

	MUST_EQ(foreign_create(&creator, name, 4, 64, &defects), FOREIGN_OK);
	MUST_EQ(hqq_standard_open(&handle, name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_close(handle), 0);
	foreign_close(&creator);
}
END_TEST

START_TEST(broken_ring_header_is_corrupt)
{
	static const struct {
		uint64_t offset, value;
	} broken[] = { { 0, 0 }, { 0, 1 }, { 8, 8 }, { 8, 0 }, { 16, 0 }, { 16, 4 } };
	const char *name = test_name("rings");
	struct foreign creator;
	int ring;

	for (ring = 0; ring < 2; ring++) {
		MUST_EQ(foreign_create(&creator, name, 4, 64, NULL), FOREIGN_OK);
		memcpy(creator.base + creator.layout.ring[ring] + broken[_i].offset, &broken[_i].value, 8);
		REFUSED(hqq_standard_open(&handle, name, 0, 0, NULL), HQQ_ERR_CORRUPT);
		foreign_close(&creator);
	}
}
END_TEST

/* ---- descriptors ------------------------------------------------------------------------------- */

static int sealed_file(size_t length, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	MUST(fd >= 0);
	MUST_EQ(ftruncate(fd, (off_t)length), 0);
	MUST_EQ(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

START_TEST(what_is_no_descriptor)
{
	int fd = dup(0);

	REFUSED(hqq_standard_open_fd(&handle, -1, 4, 64, NULL), -EBADF);
	REFUSED(hqq_standard_open_fd(&handle, -1000, 0, 0, NULL), -EBADF);
	REFUSED(hqq_standard_open_fd(&handle, INT32_MAX, 4, 64, NULL), -EBADF);
	if (fd >= 0)
		close(fd);
	REFUSED(hqq_standard_open_fd(&handle, fd, 4, 64, NULL), -EBADF);
}
END_TEST

START_TEST(descriptors_without_the_seals)
{
	const size_t need = hqq_standard_size(4, 64);
	const int seals[] = { 0, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL };
	hqq_standard *named;
	int lines[2];
	size_t i;
	int fd;

	for (i = 0; i < sizeof(seals) / sizeof(seals[0]); i++) {
		fd = sealed_file(need, seals[i]);
		REFUSED(hqq_standard_open_fd(&handle, fd, 4, 64, NULL), HQQ_ERR_INVALID_OP);
		REFUSED(hqq_standard_open_fd(&handle, fd, 0, 0, NULL), HQQ_ERR_INVALID_OP);
		close(fd);
	}
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	REFUSED(hqq_standard_open_fd(&handle, fd, 4, 64, NULL), HQQ_ERR_INVALID_OP);
	close(fd);
	MUST_EQ(pipe2(lines, O_CLOEXEC), 0);
	REFUSED(hqq_standard_open_fd(&handle, lines[0], 4, 64, NULL), HQQ_ERR_INVALID_OP);
	REFUSED(hqq_standard_open_fd(&handle, lines[1], 4, 64, NULL), HQQ_ERR_INVALID_OP);
	close(lines[0]);
	close(lines[1]);
	/* a named segment's file cannot be sealed, so its descriptor is no way in */
	MUST_EQ(hqq_standard_create(&named, test_name("named"), 4, 64, 0600, NULL), 0);
	REFUSED(hqq_standard_open_fd(&handle, hqq_standard_fd(named), 4, 64, NULL), HQQ_ERR_INVALID_OP);
	MUST_EQ(hqq_standard_close(named), 0);
}
END_TEST

START_TEST(sealed_descriptors_that_do_not_serve)
{
	const size_t need = hqq_standard_size(4, 64);
	hqq_standard *owner;
	char path[64];
	int fd;

	fd = sealed_file(need - 1, F_SEAL_SHRINK | F_SEAL_GROW);
	REFUSED(hqq_standard_open_fd(&handle, fd, 4, 64, NULL), HQQ_ERR_MEMORY_SMALL);
	close(fd);
	/* nobody initialised it, and without a geometry we cannot either */
	fd = sealed_file(need, F_SEAL_SHRINK | F_SEAL_GROW);
	REFUSED(hqq_standard_open_fd(&handle, fd, 0, 0, NULL), HQQ_ERR_FAILED_INIT);
	close(fd);
	MUST_EQ(hqq_standard_create_fd(&owner, 4, 64, NULL), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", hqq_standard_fd(owner));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	REFUSED(hqq_standard_open_fd(&handle, fd, 4, 64, NULL), -EACCES);
	close(fd);
	MUST_EQ(hqq_standard_close(owner), 0);
}
END_TEST

/* ---- options ----------------------------------------------------------------------------------- */

struct wide_options {
	struct hqq_options known;
	unsigned char more[40];
};

#define REFUSED_EVERYWHERE(options, error) \
	do { \
		REFUSED(hqq_standard_attach(&handle, memory, need, 4, 64, options), error); \
		REFUSED(hqq_standard_create(&handle, test_name("refused"), 4, 64, 0600, options), error); \
		REFUSED(hqq_standard_open(&handle, hqq_standard_name(named), 4, 64, options), error); \
		REFUSED(hqq_standard_create_fd(&handle, 4, 64, options), error); \
		REFUSED(hqq_standard_open_fd(&handle, hqq_standard_fd(anonymous), 4, 64, options), error); \
	} while (0)

START_TEST(odd_options_are_refused)
{
	const size_t need = hqq_standard_size(4, 64);
	unsigned char *memory = test_map_memory(need);
	struct hqq_options options;
	const struct hqq_options fresh = HQQ_OPTIONS_INIT;
	hqq_standard *named, *anonymous;
	unsigned int bit;

	MUST_EQ(hqq_standard_create(&named, test_name("options"), 4, 64, 0600, NULL), 0);
	MUST_EQ(hqq_standard_create_fd(&anonymous, 4, 64, NULL), 0);
	for (options = fresh, options.role = 3; options.role != 0; options.role <<= 1)
		REFUSED_EVERYWHERE(&options, HQQ_ERR_INVALID_OP);
	for (options = fresh, options.wait = 3; options.wait != 0; options.wait <<= 1)
		REFUSED_EVERYWHERE(&options, HQQ_ERR_INVALID_OP);
	for (options = fresh, bit = 6; bit < 64; bit++) {
		options.flags = (uint64_t)1 << bit;
		REFUSED_EVERYWHERE(&options, HQQ_ERR_INVALID_OP);
	}
	for (options = fresh, bit = 0; bit < sizeof(size_t); bit++) {
		options.struct_size = bit; /* less than the size itself takes */
		REFUSED_EVERYWHERE(&options, HQQ_ERR_INVALID_SIZE);
	}
	MUST_EQ(hqq_standard_close(anonymous), 0);
	MUST_EQ(hqq_standard_close(named), 0);
	test_unmap(memory, need);
}
END_TEST

START_TEST(options_of_another_age)
{
	const size_t need = hqq_standard_size(4, 64);
	unsigned char *memory = test_map_memory(need);
	struct wide_options wide = { HQQ_OPTIONS_INIT, { 0 } };
	hqq_standard *named, *anonymous, *made;
	size_t i;

	MUST_EQ(hqq_standard_create(&named, test_name("ages"), 4, 64, 0600, NULL), 0);
	MUST_EQ(hqq_standard_create_fd(&anonymous, 4, 64, NULL), 0);
	/* newer and larger: fine while all that we do not know is zero */
	wide.known.struct_size = sizeof(wide);
	for (i = 0; i < sizeof(wide.more); i += 13) {
		wide.more[i] = 1;
		REFUSED_EVERYWHERE(&wide.known, -E2BIG);
		wide.more[i] = 0;
	}
	MUST_EQ(hqq_standard_attach(&made, memory, need, 4, 64, &wide.known), 0);
	MUST_EQ(hqq_standard_close(made), 0);
	/* older and smaller: what it lacks has its default, whatever lies behind */
	memset(wide.more, 0xff, sizeof(wide.more));
	wide.known.struct_size = offsetof(struct hqq_options, flags);
	wide.known.flags = UINT64_MAX;
	wide.known.role = HQQ_ROLE_PRIMARY;
	MUST_EQ(hqq_standard_attach(&made, memory, need, 4, 64, &wide.known), 0);
	MUST_EQ(hqq_standard_mode(made), HQQ_MODE_PRIMARY);
	MUST_EQ(hqq_standard_close(made), 0);
	MUST_EQ(hqq_standard_close(anonymous), 0);
	MUST_EQ(hqq_standard_close(named), 0);
	test_unmap(memory, need);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bad input");
	TCase *cases = test_case(suite, "geometry", 30);

	tcase_add_loop_test(cases, bad_geometry_is_refused_everywhere, 0,
	                    sizeof(bad_geometries) / sizeof(bad_geometries[0]));
	tcase_add_test(cases, zero_by_zero_is_a_geometry_for_open_only);
	tcase_add_test(cases, memory_must_be_aligned_and_long_enough);

	cases = test_case(suite, "segments of others", 30);
	tcase_add_test(cases, other_geometry_than_the_segments);
	tcase_add_loop_test(cases, wrong_superblock_is_refused, 0,
	                    sizeof(wrong_words) / sizeof(wrong_words[0]));
	tcase_add_test(cases, untouched_file_is_not_initialised_by_open);
	tcase_add_test(cases, segment_that_becomes_ready_in_time_is_served);
	tcase_add_test(cases, short_file_is_refused);
	tcase_add_test(cases, longer_file_is_served);
	tcase_add_loop_test(cases, broken_ring_header_is_corrupt, 0, 6);

	cases = test_case(suite, "descriptors", 30);
	tcase_add_test(cases, what_is_no_descriptor);
	tcase_add_test(cases, descriptors_without_the_seals);
	tcase_add_test(cases, sealed_descriptors_that_do_not_serve);

	cases = test_case(suite, "options", 60);
	tcase_add_test(cases, odd_options_are_refused);
	tcase_add_test(cases, options_of_another_age);
	return test_main(suite);
}
