/*
 * doctor.c - hqq doctor: what is wrong with a segment, in words
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "common.h"
#include "diagnose.h"
#include "json.h"
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const lives[] = {[HQQ_ALIVE] = "alive", [HQQ_DEAD] = "dead", [HQQ_UNKNOWN] = "unknown"};

/* Who says that an endpoint lives or is dead, see lib/liveness.h. */
enum witness { WITNESS_NONE, WITNESS_ITSELF, WITNESS_LOCK, WITNESS_PROCESS, WITNESS_BOTH };

static const char *const witnesses[] = {NULL, "itself", "lock", "process", "lock and process"};

static enum witness witness_of(const struct endpoint_info *endpoint)
{
	const bool locked = endpoint->flags & HQQ_ENTRY_LOCKED;

	if (endpoint->state == HQQ_ENTRY_LEFT)
		return WITNESS_ITSELF;
	if (endpoint->life == HQQ_UNKNOWN)
		return WITNESS_NONE;
	if (endpoint->life != endpoint->by_process)
		return WITNESS_LOCK;
	/* its process is gone: whether a copy of its descriptor keeps the lock is no matter then */
	return locked && endpoint->life == HQQ_ALIVE ? WITNESS_BOTH : WITNESS_PROCESS;
}

static const char *explain(const struct endpoint_info *endpoint)
{
	switch (witness_of(endpoint)) {
	case WITNESS_ITSELF:
		return "it closed its link";
	case WITNESS_LOCK:
		return endpoint->life == HQQ_ALIVE ? "it holds its lock" : "its lock is gone";
	case WITNESS_PROCESS:
		return endpoint->life == HQQ_ALIVE ? "its process is there, and it has no lock"
		                                   : "its process is gone";
	case WITNESS_BOTH:
		return "its process is there and holds its lock";
	case WITNESS_NONE:
		break;
	}
	return "another pid namespace, and no lock";
}

static unsigned count_faults(const struct look *look)
{
	unsigned faults = 0;

	for (unsigned i = 0; i < look->findings.count; i++)
		faults += look->findings.finding[i].severity == FAULT;
	return faults;
}

static bool is_sound(const struct look *look)
{
	return look->info.is_segment && !look->info.problem;
}

/* ---- JSON ---- */

static void json_finding(struct json *json, const struct finding *finding)
{
	static const char *const directions[] = {"primary_to_secondary", "secondary_to_primary"};

	json_open(json, NULL, '{');
	json_string(json, "severity", finding->severity == FAULT ? "fault" : "note");
	json_string(json, "topic", finding->topic);
	if (finding->direction != FINDING_NONE)
		json_string(json, "direction", directions[finding->direction]);
	if (finding->entry != FINDING_NONE)
		json_number(json, "entry", (uint64_t)finding->entry);
	json_string(json, "text", finding->text);
	json_close(json, '}');
}

static void json_endpoint(struct json *json, const struct endpoint_info *endpoint)
{
	const char activity[2] = {endpoint->activity, '\0'};

	json_open(json, NULL, '{');
	json_number(json, "entry", endpoint->entry);
	json_number(json, "pid", (uint64_t)endpoint->pid);
	json_string(json, "role", side_names[endpoint->mode]);
	json_string(json, "state", lives[endpoint->life]);
	json_string(json, "witness", witnesses[witness_of(endpoint)]);
	json_string(json, "activity", *activity ? activity : NULL);
	json_string(json, "command", *endpoint->command ? endpoint->command : NULL);
	json_close(json, '}');
}

static void json_look(struct json *json, const char *name, const struct look *look)
{
	json_open(json, NULL, '{');
	json_string(json, "name", name);
	json_bool(json, "segment", look->info.is_segment);
	json_bool(json, "healthy", !count_faults(look));
	if (is_sound(look)) {
		json_number(json, "to_secondary", look->after[0].depth);
		json_number(json, "to_primary", look->after[1].depth);
		json_bool(json, "extension", look->info.extended);
	}
	json_open(json, "endpoints", '[');
	for (unsigned i = 0; i < look->info.endpoints; i++)
		json_endpoint(json, &look->info.endpoint[i]);
	json_close(json, ']');
	json_open(json, "findings", '[');
	for (unsigned i = 0; i < look->findings.count; i++)
		json_finding(json, &look->findings.finding[i]);
	json_close(json, ']');
	json_bool(json, "more_findings", look->findings.more);
	json_close(json, '}');
}

/* ---- words ---- */

static void print_endpoint(const struct endpoint_info *endpoint)
{
	printf("  endpoint %u: pid %d", endpoint->entry, endpoint->pid);
	if (*endpoint->command) {
		fputs(" (", stdout);
		print_safely(stdout, endpoint->command, 0);
		putchar(')');
	}
	printf(", %s", side_names[endpoint->mode]);
	if (endpoint->state == HQQ_ENTRY_JOINING || endpoint->state == HQQ_ENTRY_INHERITING)
		printf(", joining");
	printf(", %s: %s%s\n", lives[endpoint->life], explain(endpoint),
	       is_stopped(endpoint) ? "; stopped" : "");
}

static void print_finding(const struct finding *finding)
{
	fputs(finding->severity == FAULT ? "  FAULT: " : "  note: ", stdout);
	if (finding->direction != FINDING_NONE)
		printf("to the %s side, ", side_names[1 - finding->direction]);
	puts(finding->text);
}

static void print_look(const char *name, const struct look *look)
{
	const struct segment_info *info = &look->info;
	const unsigned faults = count_faults(look);

	print_safely(stdout, name, 0);
	if (faults)
		printf(": %u fault%s\n", faults, faults == 1 ? "" : "s");
	else
		puts(": nothing wrong");
	if (is_sound(look)) {
		printf("  %" PRIu64 " buffers of %" PRIu64 " bytes each way", info->buffer_count,
		       info->buffer_size);
		printf("; %" PRIu64 " waiting for the secondary side", look->after[0].depth);
		printf(", %" PRIu64 " for the primary\n", look->after[1].depth);
	}
	for (unsigned i = 0; i < info->endpoints; i++)
		print_endpoint(&info->endpoint[i]);
	for (unsigned i = 0; i < look->findings.count; i++)
		print_finding(&look->findings.finding[i]);
	if (look->findings.more)
		puts("  and more");
}

/* ---- the command ---- */

struct examination {
	bool as_json;
	struct json json;
	struct look look;
};

/* named: the user asked for this one, whatever it is. */
static int examine(struct examination *examination, const char *name, bool named)
{
	struct look *look = &examination->look;
	int fd = inspect_open(name);
	int rc = fd < 0 ? fd : diagnose(fd, look);

	if (fd >= 0)
		close(fd);
	if (rc) {
		if (!named)
			return STATUS_OK;
		complain(name, "%s", strerror(-rc));
		return STATUS_FAILED;
	}
	/* a file of all zeros, or one of somebody else, is named or it is none of our business */
	if (!named && !look->info.is_segment &&
	    (look->info.magic || look->info.state != HQQ_STATE_INITIALISING))
		return STATUS_OK;
	if (examination->as_json)
		json_look(&examination->json, name, look);
	else
		print_look(name, look);
	return count_faults(look) ? STATUS_FAILED : STATUS_OK;
}

static int examine_all(struct examination *examination)
{
	struct dirent **files;
	int status = STATUS_OK;
	int count = scandir(SHM_DIRECTORY, &files, NULL, alphasort);

	if (count < 0) {
		complain(SHM_DIRECTORY, "%s", strerror(errno));
		return STATUS_FAILED;
	}
	for (int i = 0; i < count; i++) {
		if (strcmp(files[i]->d_name, ".") && strcmp(files[i]->d_name, "..") &&
		    examine(examination, files[i]->d_name, false))
			status = STATUS_FAILED;
		free(files[i]);
	}
	free(files);
	return status;
}

static void print_help(void)
{
	puts("Usage: hqq doctor [OPTION]... [NAME]...\n\n"
	     "Checks the segments NAME, or all there are, and says what is wrong with them.\n"
	     "Changes nothing. Exits with 1 when there is a fault.\n\n"
	     "  -j, --json  print JSON\n"
	     "  -h, --help  show this help");
}

/* -1 to go on, else the exit code. */
static int read_options(int argc, char **argv, struct examination *examination)
{
	static const struct option long_options[] = {
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "jh", long_options, NULL)) != -1) {
		switch (option) {
		case 'j':
			examination->as_json = true;
			break;
		case 'h':
			print_help();
			return finish_output();
		default:
			return usage_error();
		}
	}
	return -1;
}

int run_doctor(int argc, char **argv)
{
	static struct examination examination; /* large */
	int status;

	examination.as_json = false;
	examination.json = (struct json){.out = stdout};
	status = read_options(argc, argv, &examination);
	if (status >= 0)
		return status;
	if (examination.as_json)
		json_open(&examination.json, NULL, '[');
	status = optind == argc ? examine_all(&examination) : STATUS_OK;
	for (int i = optind; i < argc; i++) {
		const char *name = checked_name(argv[i]);

		if (!name || examine(&examination, name, true))
			status = STATUS_FAILED;
	}
	if (examination.as_json)
		json_close(&examination.json, ']');
	return finish_output() ? STATUS_FAILED : status;
}
