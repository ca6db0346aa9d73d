/*
 * meet_options.c - the command lines of `hqq serve`, `call`, `push` and `pull`
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "meet.h"
#include <getopt.h>
#include <string.h>

#define DEFAULT_MAX_SIZE (UINT64_C(64) << 20)

/* All that there are; a subcommand has those whose letters it names. */
static const struct meet_option {
	int letter;
	const char *name, *argument, *help;
} all_options[] = {
	{'e', "echo", NULL, "answer with what was sent"},
	{'n', "repeat", "COUNT", "call COUNT times, and tell how long that took"},
	{'c', "count", "COUNT", "make it with COUNT buffers each way (64)"},
	{'s', "size", "BYTES", "make it with buffers of BYTES (64K)"},
	{'m', "mode", "OCTAL", "make it with these permissions (0600)"},
	{'o', "open", NULL, "never make it, wait until somebody does"},
	{'M', "max", "BYTES", "the largest body of a call or an answer (64M)"},
	{'w', "wait", "SECONDS", "wait so long for the other end (for ever)"},
	{'t', "timeout", "SECONDS", "give up when the other end stands still so long (never)"},
	{'k', "checksum", NULL, "print the checksum and the size, as cksum(1) does"},
	{'p', "progress", NULL, "show the progress, also when it is no terminal"},
	{'q', "quiet", NULL, "show no progress"},
	{'v', "verbose", NULL, "say what was done"},
	{'h', "help", NULL, "show this help"},
};

#define OPTIONS (sizeof(all_options) / sizeof(all_options[0]))

/* What getopt_long(3) wants. */
struct accepted {
	char letters[2 * OPTIONS + 1];
	struct option options[OPTIONS + 1];
};

static void accept_options(struct accepted *accepted, const char *letters)
{
	size_t count = 0, length = 0;

	memset(accepted, 0, sizeof(*accepted));
	for (size_t i = 0; i < OPTIONS; i++) {
		const struct meet_option *option = &all_options[i];

		if (!strchr(letters, option->letter))
			continue;
		accepted->letters[length++] = (char)option->letter;
		if (option->argument)
			accepted->letters[length++] = ':';
		accepted->options[count++] =
			(struct option){option->name, option->argument ? required_argument : no_argument,
		                        NULL, option->letter};
	}
}

static void print_help(const struct meet_usage *usage)
{
	printf("Usage: hqq %s [OPTION]... NAME%s%s\n\n%s\n\n", command_name(), *usage->operands ? " " : "",
	       usage->operands, usage->purpose);
	puts("Whichever end starts first makes the link and removes it at the end; the other one\n"
	     "opens it.\n");
	for (size_t i = 0; i < OPTIONS; i++) {
		const struct meet_option *option = &all_options[i];
		char text[32];

		if (!strchr(usage->options, option->letter))
			continue;
		snprintf(text, sizeof(text), "--%s%s%s", option->name, option->argument ? "=" : "",
		         option->argument ? option->argument : "");
		printf("  -%c, %-17s  %s\n", option->letter, text, option->help);
	}
}

/* false when the option's argument makes no sense. */
static bool set_option(struct meeting *meeting, enum progress_wish *wish, int option)
{
	switch (option) {
	case 'c':
		return parse_bytes(optarg, &meeting->count);
	case 's':
		return parse_bytes(optarg, &meeting->size);
	case 'm':
		return parse_mode(optarg, &meeting->mode);
	case 'M':
		return parse_bytes(optarg, &meeting->max_size) && meeting->max_size &&
		       meeting->max_size <= PTRDIFF_MAX;
	case 'n':
		return parse_number(optarg, &meeting->repeat) && meeting->repeat;
	case 'w':
		return parse_seconds(optarg, &meeting->watch.wait_ns) && meeting->watch.wait_ns;
	case 't':
		return parse_seconds(optarg, &meeting->watch.timeout_ns) && meeting->watch.timeout_ns;
	case 'p':
		*wish = PROGRESS_ALWAYS;
		return true;
	case 'q':
		*wish = PROGRESS_NEVER;
		return true;
	default:
		meeting->open_only |= option == 'o';
		meeting->verbose |= option == 'v';
		meeting->echo |= option == 'e';
		meeting->checksum |= option == 'k';
		return true;
	}
}

/* What stands behind the options: -1 to go on, else the exit code. */
static int read_operands(struct meeting *meeting, const struct meet_usage *usage, int count, char **operands)
{
	const char *problem = NULL;

	if (count < 1)
		problem = "the name of the link is missing";
	else if (count < 1 + usage->operands_min)
		problem = "an operand is missing";
	else if (count > 1 + usage->operands_max)
		problem = "too many operands";
	if (problem) {
		complain(NULL, "%s", problem);
		return usage_error();
	}
	meeting->name = checked_name(operands[0]);
	meeting->operands = operands + 1;
	meeting->operand_count = count - 1;
	return meeting->name && check_geometry(meeting->count, meeting->size) ? -1 : usage_error();
}

int meet_options(struct meeting *meeting, const struct meet_usage *usage, int argc, char **argv)
{
	const bool moves_bytes = strchr(usage->options, 'p');
	enum progress_wish wish = moves_bytes ? PROGRESS_AUTO : PROGRESS_NEVER;
	struct accepted accepted;
	int option, status;

	meeting->count = DEFAULT_COUNT;
	meeting->size = DEFAULT_SIZE;
	meeting->mode = DEFAULT_MODE;
	meeting->max_size = DEFAULT_MAX_SIZE;
	accept_options(&accepted, usage->options);
	while ((option = getopt_long(argc, argv, accepted.letters, accepted.options, NULL)) != -1) {
		if (option == '?')
			return usage_error();
		if (option == 'h') {
			print_help(usage);
			return finish_output();
		}
		if (!set_option(meeting, &wish, option)) {
			complain(NULL, "'%s' makes no sense for this option", optarg);
			return usage_error();
		}
	}
	status = read_operands(meeting, usage, argc - optind, argv + optind);
	if (status < 0)
		progress_init(&meeting->watch.progress, meeting->name, wish, 0);
	return status;
}
