/*
 * common.c - what all subcommands of hqq share
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "common.h"
#include <ctype.h>
#include <errno.h>
#include <hqq.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *current_command;

void set_command(const char *name)
{
	current_command = name;
}

const char *command_name(void)
{
	return current_command ? current_command : "";
}

void complain(const char *object, const char *format, ...)
{
	char line[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	fflush(stdout);
	flockfile(stderr);
	fputs("hqq", stderr);
	if (current_command)
		fprintf(stderr, " %s", current_command);
	fputs(": ", stderr);
	if (object) {
		print_safely(stderr, object, 0);
		fputs(": ", stderr);
	}
	fprintf(stderr, "%s\n", line);
	funlockfile(stderr);
}

int usage_error(void)
{
	fprintf(stderr, "Try 'hqq%s%s --help'.\n", current_command ? " " : "", command_name());
	return STATUS_USAGE;
}

bool parse_number(const char *text, uint64_t *number)
{
	const bool is_hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	char *end;

	if (is_hex ? !isxdigit((unsigned char)text[2]) : !isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*number = strtoumax(text, &end, is_hex ? 16 : 10);
	return !errno && !*end;
}

/* The power of two behind a unit letter, -1 for no unit. */
static int unit_shift(const char *text)
{
	static const char letters[] = "KMGT";
	const char *letter;

	if (!*text)
		return 0;
	letter = strchr(letters, toupper((unsigned char)*text));
	if (!letter || (text[1] && strcmp(text + 1, "iB") != 0))
		return -1;
	return 10 * (int)(letter - letters + 1);
}

bool parse_bytes(const char *text, uint64_t *bytes)
{
	char *end;
	uint64_t value;
	int shift;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	value = strtoumax(text, &end, 10);
	shift = unit_shift(end);
	if (errno || shift < 0 || value > UINT64_MAX >> shift)
		return false;
	*bytes = value << shift;
	return true;
}

bool parse_seconds(const char *text, uint64_t *nanoseconds)
{
	uint64_t value = 0, scale = NS_PER_SECOND;

	if (!isdigit((unsigned char)*text))
		return false;
	for (; isdigit((unsigned char)*text); text++) {
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > 1000 * 1000 * 1000)
			return false;
	}
	value *= NS_PER_SECOND;
	if (*text == '.') {
		while (isdigit((unsigned char)*++text)) {
			scale /= 10;
			value += scale * (uint64_t)(*text - '0');
		}
	}
	*nanoseconds = value;
	return !*text;
}

bool parse_mode(const char *text, mode_t *mode)
{
	char *end;
	unsigned long value;

	if (!isdigit((unsigned char)*text))
		return false;
	value = strtoul(text, &end, 8);
	if (*end || value > 0777)
		return false;
	*mode = (mode_t)value;
	return true;
}

bool check_geometry(uint64_t count, uint64_t size)
{
	if (count <= SIZE_MAX && size <= SIZE_MAX && hqq_standard_size((size_t)count, (size_t)size))
		return true;
	complain(NULL, "the count must be a power of two from 2 on, the size a multiple of 8");
	return false;
}

const char *checked_name(const char *name)
{
	const char *bare = *name == '/' ? name + 1 : name;
	size_t length = strlen(bare);

	if (!length || length > 255 || strchr(bare, '/') || !strcmp(bare, ".") || !strcmp(bare, "..")) {
		complain(name, "not the name of a segment");
		return NULL;
	}
	return bare;
}

struct shm_path shm_path(const char *name)
{
	struct shm_path path;

	snprintf(path.text, sizeof(path.text), "%s/%s", SHM_DIRECTORY, name);
	return path;
}

struct human human_bytes(uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	struct human human;
	double value = (double)bytes;
	size_t unit = 0;
	int digits = 0;

	/* 1023.5 would be printed as 1024, so it goes to the next unit */
	for (; value >= 1023.5 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		value /= 1024;
	/* three digits, but none behind a whole number */
	if (unit && bytes % (UINT64_C(1) << 10 * unit))
		digits = value < 10 ? 2 : value < 100;
	snprintf(human.text, sizeof(human.text), "%.*f %s", digits, value, units[unit]);
	return human;
}

void print_safely(FILE *out, const char *text, int width)
{
	int printed = 0;

	for (; *text; text++, printed++) {
		unsigned char c = (unsigned char)*text;

		putc(c < 0x20 || c >= 0x7f ? '?' : c, out);
	}
	for (; printed < width; printed++)
		putc(' ', out);
}

int finish_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return STATUS_OK;
	complain("standard output", "%s", strerror(errno));
	return STATUS_FAILED;
}

uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

struct timespec timespec_of(uint64_t nanoseconds)
{
	return (struct timespec){
		.tv_sec = (time_t)(nanoseconds / NS_PER_SECOND),
		.tv_nsec = (long)(nanoseconds % NS_PER_SECOND),
	};
}

void sleep_ns(uint64_t nanoseconds)
{
	const struct timespec time = timespec_of(nanoseconds);

	nanosleep(&time, NULL);
}
