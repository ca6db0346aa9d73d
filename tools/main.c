/*
 * main.c - the hqq command: finds the subcommand
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "common.h"
#include "truncation.h"
#include <fcntl.h>
#include <hqq.h>
#include <string.h>
#include <unistd.h>

static const struct command commands[] = {
	{"create", run_create, "make a segment and keep it"},
	{"send", run_send, "send a file or standard input through a link"},
	{"recv", run_recv, "receive from a link to a file or standard output"},
	{"list", run_list, "list the segments of this machine"},
	{"stat", run_stat, "show a segment and who is on it"},
	{"doctor", run_doctor, "say what is wrong with a segment"},
	{"rm", run_rm, "remove segments"},
	{"serve", run_serve, "answer calls: echo them, or run a program for each"},
	{"call", run_call, "call a server and print its answer"},
	{"push", run_push, "push a file through a link as one stream"},
	{"pull", run_pull, "take the file that is pushed"},
	{"bench", run_bench, "measure what links do on this machine"},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int print_help(void)
{
	puts("Usage: hqq COMMAND [OPTION]... [OPERAND]...\n\n"
	     "Messages between the processes of one machine through shared memory.\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-8s %s\n", commands[i].name, commands[i].summary);
	puts("  help     show this help, or that of a command\n"
	     "  version  show the version\n\n"
	     "'hqq COMMAND --help' tells the options of a command, hqq(1) all the rest.");
	return finish_output();
}

static int print_version(void)
{
	printf("hqq %s (library %s)\n", PACKAGE_VERSION, hqq_version_string());
	return finish_output();
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

static int run(int argc, char **argv)
{
	/* getopt_long(3) starts its own messages with argv[0] */
	char program[32];
	const struct command *command = find_command(argv[0]);

	if (!command) {
		complain(argv[0], "no such command");
		return usage_error();
	}
	set_command(command->name);
	snprintf(program, sizeof(program), "hqq %s", command->name);
	argv[0] = program;
	return command->run(argc, argv);
}

static int run_help(int argc, char **argv)
{
	static char help[] = "--help";
	char *arguments[] = {argc > 1 ? argv[1] : NULL, help, NULL};

	return argc > 1 ? run(2, arguments) : print_help();
}

/*
 * A standard descriptor that is closed would be given to the segment's file, and what is printed
 * would go there. Opened the wrong way round it fails as a closed one does.
 */
static void guard_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			_exit(STATUS_FAILED);
	}
}

int main(int argc, char **argv)
{
	const char *first = argc > 1 ? argv[1] : NULL;

	guard_standard_descriptors();
	truncation_survive();
	if (!first) {
		complain(NULL, "the command is missing");
		return usage_error();
	}
	if (!strcmp(first, "help") || !strcmp(first, "--help") || !strcmp(first, "-h"))
		return run_help(argc - 1, argv + 1);
	if (!strcmp(first, "version") || !strcmp(first, "--version") || !strcmp(first, "-V"))
		return print_version();
	return run(argc - 1, argv + 1);
}
