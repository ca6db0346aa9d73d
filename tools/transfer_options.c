/*
 * transfer_options.c - the command line of `hqq send` and `hqq recv`
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "transfer.h"
#include <getopt.h>
#include <hqq.h>
#include <string.h>

enum {
	OPTION_TOTAL = 256
};

static const struct option long_options[] = {
	{"count", required_argument, NULL, 'c'},
	{"size", required_argument, NULL, 's'},
	{"mode", required_argument, NULL, 'm'},
	{"open", no_argument, NULL, 'o'},
	{"role", required_argument, NULL, 'r'},
	{"wait", required_argument, NULL, 'w'},
	{"timeout", required_argument, NULL, 't'},
	{"bytes", required_argument, NULL, 'n'},
	{"total", required_argument, NULL, OPTION_TOTAL},
	{"progress", no_argument, NULL, 'p'},
	{"quiet", no_argument, NULL, 'q'},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static void print_help(bool receiving)
{
	printf("Usage: hqq %s [OPTION]... NAME [FILE]\n\n", command_name());
	puts(receiving ? "Writes what comes through the link NAME to FILE or standard output."
	               : "Sends FILE or standard input through the link NAME.");
	puts("Whichever of sender and receiver starts first makes the link and removes it at\n"
	     "the end; the other one opens it.\n");
	printf("  -c, --count=COUNT      make it with COUNT buffers each way (%d)\n", DEFAULT_COUNT);
	printf("  -s, --size=BYTES       make it with buffers of BYTES (%d)\n", DEFAULT_SIZE);
	printf("  -m, --mode=OCTAL       make it with these permissions (%04o)\n", DEFAULT_MODE);
	puts("  -o, --open             never make it, wait until somebody does\n"
	     "  -r, --role=ROLE        be the primary or the secondary side");
	printf("  -w, --wait=SECONDS     wait so long for a %s (for ever)\n",
	       receiving ? "sender" : "receiver");
	puts("  -t, --timeout=SECONDS  give up when the other end stands still so long (never)");
	printf("  -n, --bytes=BYTES      stop after BYTES\n"
	       "      --total=BYTES      what to expect, for the percentage\n"
	       "  -p, --progress         show the progress, also when it is no terminal\n"
	       "  -q, --quiet            show no progress\n"
	       "  -v, --verbose          say at the end what was %s\n"
	       "  -h, --help             show this help\n",
	       receiving ? "received" : "sent");
}

static bool parse_role(const char *text, uint32_t *role)
{
	if (!strcmp(text, "primary"))
		*role = HQQ_ROLE_PRIMARY;
	else if (!strcmp(text, "secondary"))
		*role = HQQ_ROLE_SECONDARY;
	else
		return false;
	return true;
}

/* false when the option's argument makes no sense. */
static bool set_option(struct transfer *transfer, enum progress_wish *wish, int option)
{
	switch (option) {
	case 'c':
		return parse_bytes(optarg, &transfer->count);
	case 's':
		return parse_bytes(optarg, &transfer->size);
	case 'm':
		return parse_mode(optarg, &transfer->mode);
	case 'o':
		transfer->open_only = true;
		return true;
	case 'r':
		return parse_role(optarg, &transfer->role);
	case 'w':
		return parse_seconds(optarg, &transfer->watch.wait_ns) && transfer->watch.wait_ns;
	case 't':
		return parse_seconds(optarg, &transfer->watch.timeout_ns) && transfer->watch.timeout_ns;
	case 'n':
		return parse_bytes(optarg, &transfer->limit);
	case OPTION_TOTAL:
		return parse_bytes(optarg, &transfer->total);
	case 'p':
		*wish = PROGRESS_ALWAYS;
		return true;
	case 'q':
		*wish = PROGRESS_NEVER;
		return true;
	default:
		transfer->verbose = true;
		return true;
	}
}

int transfer_options(struct transfer *transfer, int argc, char **argv)
{
	enum progress_wish wish = PROGRESS_AUTO;
	int option;

	transfer->count = DEFAULT_COUNT;
	transfer->size = DEFAULT_SIZE;
	transfer->mode = DEFAULT_MODE;
	transfer->role = HQQ_ROLE_AUTO;
	transfer->limit = UINT64_MAX;
	while ((option = getopt_long(argc, argv, "c:s:m:or:w:t:n:pqvh", long_options, NULL)) != -1) {
		if (option == '?')
			return usage_error();
		if (option == 'h') {
			print_help(transfer->receiving);
			return finish_output();
		}
		if (!set_option(transfer, &wish, option)) {
			complain(NULL, "'%s' makes no sense for this option", optarg);
			return usage_error();
		}
	}
	if (argc - optind < 1 || argc - optind > 2) {
		complain(NULL, argc > optind ? "too many operands" : "the name of the link is missing");
		return usage_error();
	}
	transfer->name = checked_name(argv[optind]);
	if (argc - optind == 2 && strcmp(argv[optind + 1], "-") != 0)
		transfer->file = argv[optind + 1];
	if (!transfer->name || !check_geometry(transfer->count, transfer->size))
		return usage_error();
	progress_init(&transfer->watch.progress, transfer->name, wish, transfer->total);
	return -1;
}
