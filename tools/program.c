/*
 * program.c - runs a program on some bytes and collects what it prints
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "program.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ERRORS_MAX 65536 /* bytes kept of standard error */
#define CHUNK 65536
#define STOP_PATIENCE_NS NS_PER_SECOND /* between asking a program to end and ending it */
#define STOP_TICK_MS 20

extern char **environ;

enum {
	STREAM_OUTPUT,
	STREAM_ERRORS,
	STREAMS
};

/* A running program, and our ends of its pipes; -1 = closed. */
struct run {
	pid_t pid;
	uint64_t asked; /* when it was asked to end, 0 = it was not */
	int input;
	int ours[STREAMS], theirs[STREAMS];
};

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_all(struct run *run)
{
	close_one(&run->input);
	for (int i = 0; i < STREAMS; i++) {
		close_one(&run->ours[i]);
		close_one(&run->theirs[i]);
	}
}

/* The input becomes a file in memory: the program may read it as it likes, or not at all. */
static int open_input(const char *data, size_t size)
{
	int fd = memfd_create("hqq-request", MFD_CLOEXEC);

	while (fd >= 0 && size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno != EINTR) {
			close_one(&fd);
		} else if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	if (fd >= 0)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

static int open_streams(struct run *run, const void *input, size_t size)
{
	run->input = open_input(input, size);
	if (run->input < 0)
		return -errno;
	for (int i = 0; i < STREAMS; i++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC) < 0)
			return -errno;
		run->ours[i] = ends[0];
		run->theirs[i] = ends[1];
	}
	return 0;
}

/* 0 or an errno of the system's. */
static int spawn(struct run *run, char **arguments)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	int rc;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE); /* which we ignore */
	sigaddset(&defaults, SIGUSR1);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, run->input, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, run->theirs[STREAM_OUTPUT], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, run->theirs[STREAM_ERRORS], STDERR_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes,
	                         POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	rc = posix_spawnp(&run->pid, arguments[0], &actions, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

/* Room for one more chunk. */
static bool grow(struct bytes *bytes)
{
	size_t capacity = bytes->capacity ? bytes->capacity * 2 : CHUNK;
	char *data;

	if (bytes->capacity - bytes->size >= CHUNK)
		return true;
	data = realloc(bytes->data, capacity);
	if (!data)
		return false;
	bytes->data = data;
	bytes->capacity = capacity;
	return bytes->capacity - bytes->size >= CHUNK || grow(bytes);
}

/* Takes what is there, and drops what is too much; false at the end of the stream. */
static bool take(int fd, struct bytes *bytes, size_t max, bool *overflown)
{
	size_t room = max - bytes->size;
	ssize_t n;

	if (!grow(bytes)) {
		*overflown = true;
		return false;
	}
	n = read(fd, bytes->data + bytes->size, CHUNK);
	if (n <= 0)
		return n < 0 && errno == EINTR;
	*overflown |= (size_t)n > room;
	bytes->size += (size_t)n < room ? (size_t)n : room;
	return true;
}

/* When it is to stop: asks its process group to end, later ends it. true when that was done. */
static bool stop(const struct program *program, struct run *run)
{
	if (!program->overflown && !watch_stopped(program->watch))
		return false;
	if (!run->asked) {
		kill(-run->pid, SIGTERM);
		run->asked = monotonic_ns();
	}
	if (monotonic_ns() - run->asked < STOP_PATIENCE_NS)
		return false;
	kill(-run->pid, SIGKILL);
	return true;
}

/* Collects what it prints, until it has closed both streams or was stopped. */
static void collect(struct program *program, struct run *run)
{
	bool cut = false; /* of its errors the first ones will do */

	while (run->ours[STREAM_OUTPUT] >= 0 || run->ours[STREAM_ERRORS] >= 0) {
		struct pollfd streams[STREAMS] = {{.fd = run->ours[STREAM_OUTPUT], .events = POLLIN},
		                                  {.fd = run->ours[STREAM_ERRORS], .events = POLLIN}};

		if (stop(program, run))
			return;
		/* a stop by the watch ends this with EINTR, again and again */
		if (poll(streams, STREAMS, run->asked ? STOP_TICK_MS : -1) <= 0)
			continue;
		if (streams[STREAM_OUTPUT].revents && !take(streams[STREAM_OUTPUT].fd, &program->output,
		                                            program->output_max, &program->overflown))
			close_one(&run->ours[STREAM_OUTPUT]);
		if (streams[STREAM_ERRORS].revents &&
		    !take(streams[STREAM_ERRORS].fd, &program->errors, ERRORS_MAX, &cut))
			close_one(&run->ours[STREAM_ERRORS]);
	}
}

/* It may go on after it has closed its streams, and after it was asked to end. */
static int wait_for(const struct program *program, struct run *run)
{
	int status = 0;

	for (;;) {
		pid_t pid;

		stop(program, run);
		pid = waitpid(run->pid, &status, run->asked ? WNOHANG : 0);
		if (pid > 0 || (pid < 0 && errno != EINTR))
			break;
		if (pid == 0)
			poll(NULL, 0, STOP_TICK_MS);
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* It could not be run: what a shell would do and say. */
static int note_failure(struct program *program, int error)
{
	char *text;
	int length = asprintf(&text, "%s: %s\n", program->arguments[0], strerror(error));

	if (length < 0)
		return -ENOMEM;
	program->errors = (struct bytes){text, (size_t)length, (size_t)length};
	program->status = error == ENOENT ? 127 : 126;
	return 0;
}

int program_run(struct program *program, const void *input, size_t size)
{
	struct run run = {.input = -1, .ours = {-1, -1}, .theirs = {-1, -1}};
	int rc = open_streams(&run, input, size), error = 0;

	program->status = 0;
	program->overflown = false;
	program->output = program->errors = (struct bytes){.size = 0};
	if (rc == 0) {
		error = spawn(&run, program->arguments);
		close_one(&run.input);
		for (int i = 0; i < STREAMS; i++)
			close_one(&run.theirs[i]);
	}
	if (rc == 0 && error)
		rc = note_failure(program, error);
	else if (rc == 0)
		collect(program, &run);
	close_all(&run);
	if (rc == 0 && !error)
		program->status = wait_for(program, &run);
	return rc;
}

void program_free(struct program *program)
{
	free(program->output.data);
	free(program->errors.data);
	program->output = program->errors = (struct bytes){.size = 0};
}
