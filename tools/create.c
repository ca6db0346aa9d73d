/*
 * create.c - hqq create: a segment for others to meet on
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "common.h"
#include "hold.h"
#include "inspect.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <hqq.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOOK_SECONDS 1 /* between looks whether the name is still there */

struct creation {
	const char *name;
	uint64_t count, size;
	mode_t mode;
	bool detach, replace;
};

static const struct option long_options[] = {
	{"count", required_argument, NULL, 'c'},
	{"size", required_argument, NULL, 's'},
	{"mode", required_argument, NULL, 'm'},
	{"detach", no_argument, NULL, 'd'},
	{"replace", no_argument, NULL, 'R'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static void print_help(void)
{
	printf("Usage: hqq create [OPTION]... NAME\n\n"
	       "Makes the segment NAME and keeps it until a signal comes or the name is removed.\n\n"
	       "  -c, --count=COUNT  COUNT buffers each way, a power of two (%d)\n"
	       "  -s, --size=BYTES   buffers of BYTES, a multiple of 8 (%d)\n"
	       "  -m, --mode=OCTAL   permissions of the segment (%04o)\n"
	       "  -d, --detach       keep it in the background; hqq rm ends that\n"
	       "  -R, --replace      replace a segment whose users are all dead\n"
	       "  -h, --help         show this help\n",
	       DEFAULT_COUNT, DEFAULT_SIZE, DEFAULT_MODE);
}

static bool set_option(struct creation *creation, int option)
{
	switch (option) {
	case 'c':
		return parse_bytes(optarg, &creation->count);
	case 's':
		return parse_bytes(optarg, &creation->size);
	case 'm':
		return parse_mode(optarg, &creation->mode);
	case 'd':
		creation->detach = true;
		return true;
	default:
		creation->replace = true;
		return true;
	}
}

/* -1 to go on, else the exit code. */
static int read_options(struct creation *creation, int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "c:s:m:dRh", long_options, NULL)) != -1) {
		if (option == '?')
			return usage_error();
		if (option == 'h') {
			print_help();
			return finish_output();
		}
		if (!set_option(creation, option)) {
			complain(NULL, "'%s' makes no sense for this option", optarg);
			return usage_error();
		}
	}
	if (argc - optind != 1) {
		complain(NULL, argc > optind ? "too many operands" : "the name is missing");
		return usage_error();
	}
	creation->name = checked_name(argv[optind]);
	return creation->name && check_geometry(creation->count, creation->size) ? -1 : usage_error();
}

/* Waits until a signal comes (its number is returned) or the file has lost its name (0). */
static int keep(int own_fd, const sigset_t *signals)
{
	const struct timespec pause = {.tv_sec = LOOK_SECONDS};
	struct stat st;
	int signal;

	while (fstat(own_fd, &st) == 0 && st.st_nlink) {
		signal = sigtimedwait(signals, NULL, &pause);
		if (signal > 0)
			return signal;
	}
	return 0;
}

/* Makes the segment and marks it as held; *own_fd is for looking after it. */
static int make(const struct creation *creation, hqq_standard **link, int *own_fd)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	const int naming = hold_naming(creation->name); /* where it cannot be had, who comes at once may be misled */
	int rc;

	options.flags = creation->replace && inspect_is_stale(creation->name) ? HQQ_REPLACE_STALE : 0;
	rc = hqq_standard_create(link, creation->name, (size_t)creation->count, (size_t)creation->size,
	                         creation->mode, &options);
	if (rc == 0) {
		*own_fd = hold_open(hqq_standard_fd(*link));
		if (*own_fd < 0 || !hold_segment(*own_fd)) {
			rc = -errno;
			hqq_standard_close(*link);
		}
	}
	if (naming >= 0)
		close(naming);
	return rc;
}

/* Leaves the terminal and its session alone; report is the pipe to the parent. */
static void go_background(int report)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char done = 0;

	if (null >= 0) {
		for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
			dup2(null, fd);
		close(null);
	}
	if (chdir("/") < 0 || write(report, &done, 1) != 1)
		_exit(STATUS_FAILED);
	close(report);
}

/* report is -1 in the foreground. */
static int create_and_keep(const struct creation *creation, int report)
{
	hqq_standard *link;
	sigset_t signals;
	int own_fd = -1, signal;
	int rc;

	/* blocked before there is something to clean up */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	rc = make(creation, &link, &own_fd);
	if (rc) {
		complain(creation->name, "%s", hqq_strerror(rc));
		return STATUS_FAILED;
	}
	if (report >= 0)
		go_background(report);
	else if (isatty(STDERR_FILENO))
		fprintf(stderr, "hqq create: %s: made; an interrupt removes it\n", creation->name);
	signal = keep(own_fd, &signals);
	hqq_standard_close(link);
	close(own_fd);
	return signal ? 128 + signal : STATUS_OK;
}

/* The child must make the segment itself: a handle does not survive fork(2). */
static int detach(const struct creation *creation)
{
	int ends[2];
	char done;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0 || (child = fork()) < 0) {
		complain(creation->name, "%s", strerror(errno));
		return STATUS_FAILED;
	}
	if (!child) {
		close(ends[0]);
		setsid();
		exit(create_and_keep(creation, ends[1]));
	}
	close(ends[1]);
	/* end of file without a byte: the child has said why it failed */
	return read(ends[0], &done, 1) == 1 ? STATUS_OK : STATUS_FAILED;
}

int run_create(int argc, char **argv)
{
	struct creation creation = {.count = DEFAULT_COUNT, .size = DEFAULT_SIZE, .mode = DEFAULT_MODE};
	int status = read_options(&creation, argc, argv);

	if (status >= 0)
		return status;
	return creation.detach ? detach(&creation) : create_and_keep(&creation, -1);
}
