/*
 * fuzz_tool.c - what `hqq list`, `stat` and `doctor` do with a file that holds anything
 *
 * The commands themselves run, in a directory of their own; only where they look is replaced, and
 * who has the file open (an input says it), and pread(2): between any two reads the file may change or be
 * cut, as the input says.
 *
 * An input: what the file starts as, how long it is and who looks first, what changes between reads;
 * then its bytes, or changes to a good segment.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "../../tools/common.h"
#include "../../tools/inspect.h"
#include "../../tools/users.h"
#include "fuzz.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <hqq.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGES_MAX 6
#define SCRIPT_MAX 64

const char fuzz_name[] = "fuzz_tool";

static char directory[64];
static int file_fd = -1; /* while an input runs */
static struct fuzz_input script;

/* ---- where the commands look ---- */

#if defined(_FILE_OFFSET_BITS) && _FILE_OFFSET_BITS == 64 && LONG_MAX == INT32_MAX
#define __real_pread __real_pread64 /* as the C library calls it there */
#define __wrap_pread __wrap_pread64
#endif

void __wrap_complain(const char *object, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_nanosleep(const struct timespec *request, struct timespec *rest);
DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
struct shm_path __wrap_shm_path(const char *name);
void __wrap_users_find(const struct stat *file, struct users *users);
bool __wrap_users_sleep_on(int pid, const struct stat *file, uint64_t offset);
ssize_t __real_pread(int fd, void *buffer, size_t length, off_t offset);
ssize_t __wrap_pread(int fd, void *buffer, size_t length, off_t offset);

/* Formatted, and not printed: the output is that of the fuzzer. */
void __wrap_complain(const char *object, const char *format, ...)
{
	char line[1024];
	va_list arguments;

	FUZZ_MUST(!object || *object);
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
}

int __wrap_nanosleep(const struct timespec *request, struct timespec *rest)
{
	(void)request;
	(void)rest;
	return 0;
}

DIR *__wrap_opendir(const char *path)
{
	return __real_opendir(strcmp(path, SHM_DIRECTORY) == 0 ? directory : path);
}

struct shm_path __wrap_shm_path(const char *name)
{
	struct shm_path path;

	snprintf(path.text, sizeof(path.text), "%s/%s", directory, name);
	return path;
}

void __wrap_users_find(const struct stat *file, struct users *users)
{
	(void)file;
	memset(users, 0, sizeof(*users));
	users->count = fuzz_byte(&script) % 4;
	for (unsigned i = 0; i < users->count; i++)
		users->pid[i] = (int)getpid() + (int)i;
	users->complete = fuzz_byte(&script) & 1;
}

bool __wrap_users_sleep_on(int pid, const struct stat *file, uint64_t offset)
{
	(void)pid;
	(void)file;
	return offset && fuzz_byte(&script) & 1;
}

/* What another process does to the file between two reads. */
static void change_file(void)
{
	const uint8_t what = fuzz_byte(&script), where = fuzz_byte(&script);
	const uint64_t value = fuzz_number(&script);
	int rc = 0;

	if (what & 1)
		rc = ftruncate(file_fd, (off_t)(where * hqq_page_size() / 16));
	else if (what & 2)
		rc = pwrite(file_fd, &value, sizeof(value),
		            (what & 4 ? (off_t)hqq_page_size() : 0) + 8 * where) < 0;
	FUZZ_MUST(rc == 0);
}

ssize_t __wrap_pread(int fd, void *buffer, size_t length, off_t offset)
{
	if (file_fd >= 0 && script.left) {
		const uint8_t what = *script.next;

		if (what == 0xff) {
			fuzz_byte(&script);
			errno = EINTR;
			return -1;
		}
		change_file();
		if (what & 8 && length > 8) /* less than asked for is no error */
			length /= 2;
	}
	return __real_pread(fd, buffer, length, offset);
}

/* ---- the file ---- */

static void remove_directory(void)
{
	rmdir(directory);
}

/* Once: a directory, and nobody who reads what the commands print. */
static void prepare(void)
{
	const char *where = getenv("TMPDIR");

	snprintf(directory, sizeof(directory), "%s/hqqf.XXXXXX",
	         where && strlen(where) < 40 ? where : "/tmp");
	FUZZ_MUST(mkdtemp(directory));
	atexit(remove_directory);
}

/* A good segment with messages in it, and who made it and another one still there. */
static void make_good(const struct fuzz_memory *memory, const struct hqq_geometry *geometry)
{
	static unsigned char *image; /* one serves for all inputs */
	hqq_standard *sides[2];

	if (!image) {
		image = malloc(geometry->layout_size);
		FUZZ_MUST(image);
		for (int i = 0; i < 2; i++) {
			FUZZ_MUST(hqq_standard_attach(&sides[i], memory->base, memory->length,
			                              geometry->buffer_count, geometry->buffer_size,
			                              NULL) == 0);
			FUZZ_MUST(hqq_standard_write(sides[i], "message", 7) == 7);
		}
		memcpy(image, memory->base, geometry->layout_size);
		for (int i = 0; i < 2; i++)
			FUZZ_MUST(hqq_standard_close(sides[i]) == 0);
	}
	memcpy(memory->base, image, geometry->layout_size);
}

static void fill_file(struct fuzz_input *input, uint8_t bits, size_t pages)
{
	struct fuzz_memory memory;
	struct hqq_geometry geometry;
	size_t length = pages * hqq_page_size();

	FUZZ_MUST(hqq_geometry_init(&geometry, 4, 64) == 0);
	fuzz_map(&memory, pages);
	if (bits & 1 && geometry.layout_size <= memory.length)
		make_good(&memory, &geometry);
	if (bits & 2) {
		length = fuzz_bytes(input, memory.base, memory.length);
	} else if (memory.length) {
		while (input->left)
			fuzz_rewrite(input, &memory, &geometry, false);
	}
	FUZZ_MUST(pwrite(file_fd, memory.base, length, 0) == (ssize_t)length);
	fuzz_unmap(&memory);
}

/* ---- the commands ---- */

static int run(int (*command)(int, char **), const char *option, const char *operand)
{
	char words[3][8] = {"hqq", "", ""};
	char *arguments[4] = {words[0]};
	int count = 1;

	if (option) {
		snprintf(words[count], sizeof(words[0]), "%s", option);
		arguments[count] = words[count];
		count++;
	}
	if (operand) {
		snprintf(words[count], sizeof(words[0]), "%s", operand);
		arguments[count] = words[count];
		count++;
	}
	optind = 0;
	return command(count, arguments);
}

static void look(void)
{
	struct segment_info info;
	struct ring_info ring;
	struct hqq_element element;
	int fd = inspect_open("file");

	FUZZ_MUST(fd >= 0);
	FUZZ_MUST(inspect_fd(fd, &info) == 0);
	FUZZ_MUST(info.endpoints <= HQQ_ENDPOINTS && info.alive + info.dead + info.unknown == info.endpoints);
	for (int direction = 0; direction < 2 && info.is_segment && !info.problem; direction++) {
		FUZZ_MUST(info.rings[direction].depth <= info.geometry.buffer_count);
		if (inspect_ring(fd, &info.geometry, direction, &ring))
			inspect_element(fd, &info.geometry, direction, ring.read, &element);
	}
	close(fd);
	inspect_is_stale("file");
}

static void run_doctor_on_file(bool as_json)
{
	const int status = run(run_doctor, as_json ? "-j" : NULL, "file");

	FUZZ_MUST(status == STATUS_OK || status == STATUS_FAILED);
}

/* The first ones meet the changes that the script tells. */
static void run_commands(bool doctor_first, bool as_json)
{
	FILE *visible = stdout;
	int status;

	stdout = fopen("/dev/null", "w");
	FUZZ_MUST(stdout);
	set_command("fuzz");
	if (doctor_first)
		run_doctor_on_file(as_json);
	look();
	status = run(run_stat, NULL, "file");
	FUZZ_MUST(status == STATUS_OK || status == STATUS_FAILED);
	status = run(run_stat, "-j", "file");
	FUZZ_MUST(status == STATUS_OK || status == STATUS_FAILED);
	if (!doctor_first)
		run_doctor_on_file(as_json);
	FUZZ_MUST(run(run_list, NULL, NULL) == STATUS_OK);
	FUZZ_MUST(run(run_list, "-ja", NULL) == STATUS_OK);
	fclose(stdout);
	stdout = visible;
}

void fuzz_one(struct fuzz_input *input)
{
	uint8_t bytes[SCRIPT_MAX];
	const uint8_t bits = fuzz_byte(input), pages = fuzz_byte(input);
	char path[80];

	if (!*directory)
		prepare();
	snprintf(path, sizeof(path), "%s/file", directory);
	script.next = bytes;
	script.left = fuzz_bytes(input, bytes, bits >> 2);
	file_fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FUZZ_MUST(file_fd >= 0);
	fill_file(input, bits, (pages & 0x3f) % (PAGES_MAX + 1));
	run_commands(pages & 0x80, pages & 0x40);
	close(file_fd);
	file_fd = -1;
	unlink(path);
}
