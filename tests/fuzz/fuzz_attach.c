/*
 * fuzz_attach.c - attach, open_fd, open and replace on segments that hold anything
 *
 * An input: which call, how many pages, which options, which geometry is asked for, how many calls
 * follow and which; then what the segment holds: the bytes that matter as they stand (superblock,
 * extension block and first entry, the beginnings of both rings), or changes to a good segment.
 *
 * Who meets a segment that somebody seems to initialise waits for a second. Here the clock moves when
 * the library sleeps, and nothing else waits.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "calls.h"
#include "extension.h"
#include "superblock.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES_MAX 12
#define CALLS_MAX 15

const char fuzz_name[] = "fuzz_attach";

/* ---- a clock that nobody waits for ---- */

int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_nanosleep(const struct timespec *request, struct timespec *rest);

static uint64_t slept;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	int rc = __real_clock_gettime(clock, ts);
	uint64_t now = (uint64_t)ts->tv_sec * 1000000000 + (uint64_t)ts->tv_nsec + slept;

	ts->tv_sec = (time_t)(now / 1000000000);
	ts->tv_nsec = (long)(now % 1000000000);
	return rc;
}

int __wrap_nanosleep(const struct timespec *request, struct timespec *rest)
{
	(void)rest;
	slept += (uint64_t)request->tv_sec * 1000000000 + (uint64_t)request->tv_nsec;
	return 0;
}

/* ---- the segment ---- */

enum call {
	ATTACH,
	OPEN_FD,
	OPEN,
	REPLACE,
	CALLS /* how many */
};

struct attempt {
	enum call call;
	bool advanced, good, raw, crowded;
	size_t pages, length, count, size;
	unsigned calls;
	uint8_t call_bytes[4 * CALLS_MAX];
	struct hqq_options options;
};

static void read_options(struct attempt *attempt, struct fuzz_input *input)
{
	const uint8_t bits = fuzz_byte(input);

	attempt->options = (struct hqq_options)HQQ_OPTIONS_INIT;
	attempt->options.role = (bits & 3) % 3;
	if (bits & 4)
		attempt->options.flags |= HQQ_PEER_EOF;
	if (bits & 8)
		attempt->options.flags |= HQQ_SINGLE_WRITER;
	if (bits & 16)
		attempt->options.flags |= HQQ_SINGLE_READER;
	if (bits & 32)
		attempt->options.flags |= HQQ_PREFAULT;
	attempt->options.wait = bits >> 6;
	if (attempt->options.wait == 3)
		attempt->options.struct_size = 3;
}

static void read_geometry(struct attempt *attempt, struct fuzz_input *input)
{
	static const struct {
		size_t count, size;
	} usual[] = {{4, 64}, {2, 8}, {8, 512}, {16, 64}, {64, 8}, {3, 64}, {4, 60}};
	const uint8_t which = fuzz_byte(input);

	attempt->count = attempt->size = 0;
	if (which == UINT8_MAX) {
		attempt->count = (size_t)fuzz_word(input);
		attempt->size = (size_t)fuzz_word(input);
	} else if (which < sizeof(usual) / sizeof(usual[0])) {
		attempt->count = usual[which].count;
		attempt->size = usual[which].size;
	}
}

static void read_attempt(struct attempt *attempt, struct fuzz_input *input)
{
	const uint8_t bits = fuzz_byte(input);

	memset(attempt, 0, sizeof(*attempt));
	attempt->call = (enum call)(bits % CALLS);
	attempt->advanced = bits & 4;
	attempt->raw = bits & 8;
	attempt->good = bits & 16;
	attempt->crowded = bits & 64;
	attempt->pages = fuzz_byte(input) % (PAGES_MAX + 1);
	attempt->length = attempt->pages * hqq_page_size();
	if (bits & 32 && attempt->length) /* not a whole number of pages */
		attempt->length -= 8;
	read_options(attempt, input);
	read_geometry(attempt, input);
	attempt->calls = fuzz_byte(input) % (CALLS_MAX + 1);
	fuzz_bytes(input, attempt->call_bytes, 4u * attempt->calls);
}

/* The geometry that a good segment of that many bytes may have. */
static bool fit(struct hqq_geometry *geometry, const struct attempt *attempt)
{
	if (hqq_geometry_init(geometry, attempt->count, attempt->size))
		hqq_geometry_init(geometry, 4, 64);
	return geometry->layout_size <= attempt->length;
}

/* Nobody finds a free entry: all are as the first one. */
static void fill_table(const struct fuzz_memory *memory)
{
	struct hqq_extension *extension = (void *)(memory->base + HQQ_EXTENSION_OFFSET);
	uint64_t *first = (void *)&extension->entries[0];

	if (memory->length < HQQ_EXTENSION_OFFSET + sizeof(*extension))
		return;
	FUZZ_MUST(sizeof(extension->entries[0]) == 8 * sizeof(*first));
	for (unsigned i = 1; i < HQQ_ENDPOINTS; i++)
		memcpy(first + 8 * i, first, 8 * sizeof(*first));
}

static void make_bytes(const struct attempt *attempt, struct fuzz_input *input,
                       const struct fuzz_memory *memory)
{
	struct hqq_geometry geometry;
	const bool fits = fit(&geometry, attempt);

	if (fits && attempt->good) {
		hqq_superblock_win(memory->base);
		hqq_superblock_initialise(memory->base, &geometry);
	}
	if (fits && attempt->raw) {
		fuzz_bytes(input, memory->base, 640);
		for (int direction = 0; direction < 2; direction++)
			fuzz_bytes(input, memory->base + geometry.ring_offset[direction],
			           sizeof(struct hqq_ring_header) + 4 * sizeof(struct hqq_element));
	}
	if (memory->length >= sizeof(struct hqq_superblock)) {
		while (input->left)
			fuzz_rewrite(input, memory, &geometry, false);
	}
	if (attempt->crowded)
		fill_table(memory);
}

/* ---- using what was accepted ---- */

static void use_standard(hqq_standard *handle, const struct attempt *attempt,
                         const struct fuzz_memory *memory)
{
	struct fuzz_input calls = {attempt->call_bytes, 4u * attempt->calls};
	struct fuzz_user user;

	fuzz_user_begin(&user, handle, memory ? memory->base : NULL, memory ? memory->length : 0);
	user.waits = 0; /* the kernel does not know our clock */
	while (calls.left)
		fuzz_user_call(&user, &calls);
	fuzz_user_end(&user);
}

static void use_advanced(hqq_advanced *handle, const struct attempt *attempt)
{
	const struct hqq_version version = {HQQ_ADVANCED_VERSION_MAJOR, HQQ_ADVANCED_VERSION_MINOR};
	hqq_context context = HQQ_CONTEXT_INIT;
	struct hqq_advanced_stats stats;
	struct hqq_message message;
	char bytes[8];

	hqq_context_set_deadline(&context, &fuzz_passed);
	for (unsigned i = 0; i < attempt->calls; i++) {
		switch (attempt->call_bytes[i] % 6) {
		case 0:
			hqq_advanced_negotiate(handle, &context, version, HQQ_FEATURE_LARGE_COPY);
			break;
		case 1:
			hqq_advanced_wait_negotiation(handle, &context);
			break;
		case 2:
			if (hqq_advanced_receive(handle, &context, &message) == 0)
				hqq_message_clear(&message);
			break;
		case 3:
			hqq_advanced_write(handle, &context, "bytes", 5);
			break;
		case 4:
			hqq_advanced_read(handle, &context, bytes, sizeof(bytes));
			break;
		default:
			FUZZ_MUST(hqq_advanced_dispatch(handle, &context) >= HQQ_ERR_CORRUPT);
		}
	}
	FUZZ_MUST(hqq_advanced_stats(handle, &stats) == 0);
	FUZZ_MUST(hqq_advanced_close(handle) == 0);
}

/* ---- the calls ---- */

static int begin(const struct attempt *attempt, const struct fuzz_memory *memory, int fd, const char *name,
                 hqq_standard **standard, hqq_advanced **advanced)
{
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	const struct hqq_options *o = &attempt->options;
	const size_t count = attempt->count, size = attempt->size;

	options.dispatcher = HQQ_DISPATCH_MANUAL;
	options.link = *o;
	switch (attempt->call) {
	case ATTACH:
		return attempt->advanced
		               ? hqq_advanced_attach(advanced, memory->base, attempt->length, count, size,
		                                     &options)
		               : hqq_standard_attach(standard, memory->base, attempt->length, count, size, o);
	case OPEN_FD:
		return attempt->advanced ? hqq_advanced_open_fd(advanced, fd, count, size, &options)
		                         : hqq_standard_open_fd(standard, fd, count, size, o);
	case OPEN:
		return attempt->advanced ? hqq_advanced_open(advanced, name, count, size, &options)
		                         : hqq_standard_open(standard, name, count, size, o);
	default:
		return attempt->advanced ? hqq_advanced_create(advanced, name, 4, 64, 0, &options)
		                         : hqq_standard_create(standard, name, 4, 64, 0, o);
	}
}

static int open_file(const struct attempt *attempt, const char *path, const struct fuzz_memory *memory)
{
	const bool named = attempt->call != OPEN_FD;
	int fd = named ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)
	               : memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	FUZZ_MUST(fd >= 0);
	FUZZ_MUST(ftruncate(fd, (off_t)attempt->length) == 0);
	FUZZ_MUST(pwrite(fd, memory->base, attempt->length, 0) == (ssize_t)attempt->length);
	FUZZ_MUST(named || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	return fd;
}

void fuzz_one(struct fuzz_input *input)
{
	static char untouched;
	hqq_standard *standard = (void *)&untouched;
	hqq_advanced *advanced = (void *)&untouched;
	struct fuzz_memory memory;
	struct attempt attempt;
	char path[64];
	int fd = -1, rc;

	read_attempt(&attempt, input);
	if (attempt.call == REPLACE)
		attempt.options.flags |= HQQ_REPLACE_STALE;
	snprintf(path, sizeof(path), "/dev/shm/hqqf.%d", (int)getpid());
	fuzz_map(&memory, attempt.pages);
	make_bytes(&attempt, input, &memory);
	if (attempt.call != ATTACH)
		fd = open_file(&attempt, path, &memory);
	rc = begin(&attempt, &memory, fd, path + sizeof("/dev/shm"), &standard, &advanced);
	FUZZ_MUST(rc <= 0);
	FUZZ_MUST(((void *)standard == &untouched) == (rc < 0 || attempt.advanced));
	FUZZ_MUST(((void *)advanced == &untouched) == (rc < 0 || !attempt.advanced));
	if (rc == 0 && attempt.advanced)
		use_advanced(advanced, &attempt);
	else if (rc == 0)
		use_standard(standard, &attempt, attempt.call == ATTACH ? &memory : NULL);
	if (fd >= 0)
		close(fd);
	if (attempt.call > OPEN_FD)
		unlink(path);
	fuzz_unmap(&memory);
}
