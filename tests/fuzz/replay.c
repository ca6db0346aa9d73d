/*
 * replay.c - runs a fuzz target over inputs that are files
 *
 *	fuzz_NAME [FILE | DIRECTORY]...    none: the corpus of the target below $srcdir
 *
 * An input that takes too long ends the program by SIGALRM. A descriptor that an input leaves behind
 * fails it, too.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "fuzz.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_SECONDS 30
#define INPUT_MAX (1 << 20)

static unsigned patience(void)
{
	const char *slow = getenv("HQQ_TEST_SLOW");
	const int factor = slow ? atoi(slow) : 1;

	return PATIENCE_SECONDS * (factor > 1 ? (unsigned)factor : 1);
}

static unsigned count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	if (!directory)
		return 0;
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* Memory of exactly the input's size, so that a tool sees who reads behind it. */
static void run(const uint8_t *bytes, size_t size, const char *path)
{
	uint8_t *copy = malloc(size ? size : 1);
	unsigned before = count_descriptors();
	struct fuzz_input input = {copy, size};

	FUZZ_MUST(copy);
	memcpy(copy, bytes, size);
	alarm(patience());
	fuzz_one(&input);
	alarm(0);
	free(copy);
	if (count_descriptors() != before) {
		fprintf(stderr, "%s: %u descriptors before, %u after\n", path, before, count_descriptors());
		abort();
	}
}

static unsigned replay_file(const char *path)
{
	static uint8_t bytes[INPUT_MAX];
	size_t size;
	FILE *file = fopen(path, "rb");

	if (!file) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	if (getenv("HQQ_FUZZ_VERBOSE"))
		fprintf(stderr, "%s\n", path);
	run(bytes, size, path);
	return 1;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static unsigned replay(const char *path)
{
	struct dirent **entries;
	struct stat st;
	unsigned inputs = 0;
	int count;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return replay_file(path);
	count = scandir(path, &entries, is_visible, alphasort);
	if (count < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	for (int i = 0; i < count; i++) {
		char name[4096];

		snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
		inputs += replay_file(name);
		free(entries[i]);
	}
	free(entries);
	return inputs;
}

int main(int argc, char **argv)
{
	const char *source = getenv("srcdir");
	unsigned inputs = 0;
	char corpus[4096];

	/* what a library makes once and keeps is made now */
	run((const uint8_t *)"", 0, "the empty input");
	for (int i = 1; i < argc; i++)
		inputs += replay(argv[i]);
	if (argc == 1) {
		snprintf(corpus, sizeof(corpus), "%s/tests/fuzz/corpus/%s", source ? source : ".", fuzz_name);
		inputs = replay(corpus);
	}
	printf("%s: %u inputs\n", fuzz_name, inputs);
	return inputs ? 0 : 1;
}
