/*
 * list.c - hqq list and hqq stat: what segments there are and who is on them
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "common.h"
#include "hold.h"
#include "inspect.h"
#include "json.h"
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <hqq.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What one look at one file found. */
struct finding {
	const char *name;
	int error; /* why it could not be looked at, or 0 */
	bool held;
	struct segment_info info;
};

static const char *const modes[] = {"primary", "secondary"};
static const char *const lives[] = {[HQQ_ALIVE] = "alive", [HQQ_DEAD] = "dead", [HQQ_UNKNOWN] = "unknown"};

static void look(struct finding *finding, const char *name)
{
	int fd = inspect_open(name);

	memset(finding, 0, sizeof(*finding));
	finding->name = name;
	if (fd < 0) {
		finding->error = fd;
		return;
	}
	finding->error = inspect_fd(fd, &finding->info);
	finding->held = is_held(fd);
	close(fd);
}

static const char *condition(const struct finding *finding)
{
	if (finding->error)
		return strerror(-finding->error);
	if (!finding->info.is_segment)
		return "not a segment";
	return finding->info.problem ? finding->info.problem : "ready";
}

/* The geometry can be believed, and with it the cursors. */
static bool is_sound(const struct finding *finding)
{
	return !finding->error && finding->info.is_segment && !finding->info.problem;
}

/* ---- JSON ---- */

static void json_rings(struct json *json, const struct segment_info *info)
{
	static const char *const names[] = {"primary_to_secondary", "secondary_to_primary"};

	for (int direction = 0; direction < 2; direction++) {
		const struct ring_info *ring = &info->rings[direction];

		json_open(json, names[direction], '{');
		json_number(json, "depth", ring->depth);
		json_number(json, "written", ring->write);
		json_number(json, "read", ring->read);
		json_close(json, '}');
	}
}

static void json_endpoints(struct json *json, const struct segment_info *info)
{
	json_open(json, "endpoints", '[');
	for (unsigned i = 0; i < info->endpoints; i++) {
		const struct endpoint_info *endpoint = &info->endpoint[i];

		json_open(json, NULL, '{');
		json_number(json, "entry", endpoint->entry);
		json_number(json, "pid", (uint64_t)endpoint->pid);
		json_string(json, "role", modes[endpoint->mode]);
		json_string(json, "state", lives[endpoint->life]);
		json_string(json, "command", *endpoint->command ? endpoint->command : NULL);
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void json_finding(struct json *json, const struct finding *finding)
{
	const struct segment_info *info = &finding->info;
	char mode[8];

	json_open(json, NULL, '{');
	json_string(json, "name", finding->name);
	json_bool(json, "segment", !finding->error && info->is_segment);
	json_string(json, "condition", condition(finding));
	if (!finding->error) {
		snprintf(mode, sizeof(mode), "%04o", (unsigned)info->stat.st_mode & 07777);
		json_number(json, "file_size", (uint64_t)info->stat.st_size);
		json_string(json, "mode", mode);
		json_number(json, "uid", info->stat.st_uid);
		json_number(json, "gid", info->stat.st_gid);
	}
	if (!finding->error && info->is_segment) {
		json_number(json, "layout_major", info->major);
		json_number(json, "layout_minor", info->minor);
		json_number(json, "page_size", info->page_size);
		json_number(json, "buffer_count", info->buffer_count);
		json_number(json, "buffer_size", info->buffer_size);
		json_number(json, "layout_size", info->layout_size);
	}
	if (is_sound(finding)) {
		json_rings(json, info);
		json_bool(json, "extension", info->extended);
		json_bool(json, "held", finding->held);
		json_number(json, "slots_mended", info->mended);
		json_number(json, "messages_lost", info->lost);
		json_endpoints(json, info);
	}
	json_close(json, '}');
}

static void print_json(const struct finding *findings, size_t count)
{
	struct json json = {.out = stdout};

	json_open(&json, NULL, '[');
	for (size_t i = 0; i < count; i++)
		json_finding(&json, &findings[i]);
	json_close(&json, ']');
}

/* ---- tables ---- */

static void print_row(const struct finding *finding, int width)
{
	const struct segment_info *info = &finding->info;
	struct human size = human_bytes(info->buffer_size);

	print_safely(stdout, finding->name, width);
	if (!is_sound(finding)) {
		printf("  %s\n", condition(finding));
		return;
	}
	printf("  %7" PRIu64 "  %9s  %7" PRIu64 "  %7" PRIu64 "  %5u  %4u", info->buffer_count, size.text,
	       info->rings[0].depth, info->rings[1].depth, info->alive, info->dead);
	if (info->unknown)
		printf("  and %u unknown", info->unknown);
	if (!info->extended)
		printf("  no libhqq endpoint yet");
	putchar('\n');
}

static void print_table(const struct finding *findings, size_t count)
{
	int width = 8;

	for (size_t i = 0; i < count; i++) {
		int length = (int)strlen(findings[i].name);

		if (length > width)
			width = length;
	}
	if (count)
		printf("%-*s  %7s  %9s  %7s  %7s  %5s  %4s\n", width, "NAME", "BUFFERS", "OF", "TO SEC.",
		       "TO PRI.", "ALIVE", "DEAD");
	for (size_t i = 0; i < count; i++)
		print_row(&findings[i], width);
}

static void print_endpoints(const struct segment_info *info)
{
	if (!info->endpoints)
		return;
	printf("  %5s  %7s  %-9s  %-7s  %s\n", "ENTRY", "PID", "ROLE", "STATE", "COMMAND");
	for (unsigned i = 0; i < info->endpoints; i++) {
		const struct endpoint_info *endpoint = &info->endpoint[i];

		printf("  %5u  %7d  %-9s  %-7s  ", endpoint->entry, endpoint->pid, modes[endpoint->mode],
		       lives[endpoint->life]);
		print_safely(stdout, *endpoint->command ? endpoint->command : "-", 0);
		putchar('\n');
	}
}

static void print_file(const struct segment_info *info)
{
	uint64_t length = (uint64_t)info->stat.st_size;
	struct human human = human_bytes(length);

	printf("  file          %" PRIu64 " bytes (%s), mode %04o, owner %u:%u\n", length, human.text,
	       (unsigned)info->stat.st_mode & 07777, info->stat.st_uid, info->stat.st_gid);
}

static void print_geometry(const struct segment_info *info)
{
	printf("  layout        %" PRIu64 ".%" PRIu64 ", ", info->major, info->minor);
	printf("%" PRIu64 " bytes, pages of %" PRIu64 "\n", info->layout_size, info->page_size);
	printf("  buffers       %" PRIu64 " each way, ", info->buffer_count);
	printf("of %" PRIu64 " bytes\n", info->buffer_size);
}

static void print_rings(const struct segment_info *info)
{
	for (int direction = 0; direction < 2; direction++) {
		const struct ring_info *ring = &info->rings[direction];

		printf("  to %-9s  %" PRIu64 " waiting, ", modes[1 - direction], ring->depth);
		printf("%" PRIu64 " written, %" PRIu64 " read\n", ring->write, ring->read);
	}
}

static void print_details(const struct finding *finding)
{
	const struct segment_info *info = &finding->info;
	bool held = is_sound(finding) && finding->held;

	print_safely(stdout, finding->name, 0);
	printf(": %s%s\n", condition(finding), held ? ", held by hqq create" : "");
	if (finding->error)
		return;
	print_file(info);
	if (!info->is_segment)
		return;
	print_geometry(info);
	if (!is_sound(finding))
		return;
	print_rings(info);
	if (!info->extended) {
		puts("  endpoints     none of libhqq yet");
		return;
	}
	printf("  endpoints     %u alive, %u dead, %u unknown; ", info->alive, info->dead, info->unknown);
	printf("%" PRIu64 " slots mended, %" PRIu64 " messages lost\n", info->mended, info->lost);
	print_endpoints(info);
}

/* ---- the commands ---- */

enum {
	WANT_JSON = 1,
	WANT_ALL = 2
};

static void print_help(bool all)
{
	puts(all ? "Usage: hqq list [OPTION]...\n\nLists the segments in /dev/shm.\n"
	         : "Usage: hqq stat [OPTION]... NAME...\n\nShows the segments NAME and who is on them.\n");
	if (all)
		puts("  -a, --all   list the other files there, too");
	puts("  -j, --json  print JSON\n"
	     "  -h, --help  show this help");
}

/* -1 to go on, else the exit code. */
static int read_options(int argc, char **argv, bool all, unsigned *wants)
{
	static const struct option long_options[] = {
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{"all", no_argument, NULL, 'a'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "jha", long_options, NULL)) != -1) {
		if (option == '?')
			return usage_error();
		if (option == 'h') {
			print_help(all);
			return finish_output();
		}
		if (option == 'a' && !all) {
			complain(NULL, "no option --all here");
			return usage_error();
		}
		*wants |= option == 'j' ? WANT_JSON : WANT_ALL;
	}
	return -1;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct finding *)a)->name, ((const struct finding *)b)->name);
}

static void *checked_memory(void *memory)
{
	if (memory)
		return memory;
	complain(NULL, "%s", strerror(ENOMEM));
	exit(STATUS_FAILED);
}

/* All files of the directory; the caller frees names and findings. */
static struct finding *look_everywhere(DIR *directory, bool all, size_t *count)
{
	struct finding *findings = NULL;
	struct dirent *file;
	size_t room = 0;

	*count = 0;
	while ((file = readdir(directory))) {
		if (!strcmp(file->d_name, ".") || !strcmp(file->d_name, ".."))
			continue;
		if (*count == room) {
			room = room ? room * 2 : 16;
			findings = checked_memory(reallocarray(findings, room, sizeof(*findings)));
		}
		look(&findings[*count], file->d_name);
		if (findings[*count].error == -ENOENT) /* gone meanwhile */
			continue;
		if (!all && (findings[*count].error || !findings[*count].info.is_segment))
			continue;
		findings[*count].name = checked_memory(strdup(file->d_name));
		++*count;
	}
	if (*count)
		qsort(findings, *count, sizeof(*findings), by_name);
	return findings;
}

int run_list(int argc, char **argv)
{
	struct finding *findings;
	unsigned wants = 0;
	size_t count;
	DIR *directory;
	int status = read_options(argc, argv, true, &wants);

	if (status >= 0)
		return status;
	if (optind < argc) {
		complain(argv[optind], "list takes no operand; see hqq stat");
		return usage_error();
	}
	directory = opendir(SHM_DIRECTORY);
	if (!directory) {
		complain(SHM_DIRECTORY, "%s", strerror(errno));
		return STATUS_FAILED;
	}
	findings = look_everywhere(directory, wants & WANT_ALL, &count);
	closedir(directory);
	if (wants & WANT_JSON)
		print_json(findings, count);
	else
		print_table(findings, count);
	for (size_t i = 0; i < count; i++)
		free((char *)findings[i].name);
	free(findings);
	return finish_output();
}

int run_stat(int argc, char **argv)
{
	struct finding *findings;
	unsigned wants = 0;
	size_t count = 0;
	int status = read_options(argc, argv, false, &wants);

	if (status >= 0)
		return status;
	if (optind == argc) {
		complain(NULL, "the name is missing");
		return usage_error();
	}
	status = STATUS_OK;
	findings = checked_memory(calloc((size_t)(argc - optind), sizeof(*findings)));
	for (int i = optind; i < argc; i++) {
		struct finding *finding = &findings[count];
		const char *name = checked_name(argv[i]);

		if (name)
			look(finding, name);
		if (!name || finding->error || !finding->info.is_segment)
			status = STATUS_FAILED;
		if (name && (finding->error || !finding->info.is_segment))
			complain(name, "%s", condition(finding));
		else if (name)
			count++;
	}
	if (wants & WANT_JSON)
		print_json(findings, count);
	for (size_t i = 0; i < count && !(wants & WANT_JSON); i++)
		print_details(&findings[i]);
	free(findings);
	return finish_output() ? STATUS_FAILED : status;
}
