/*
 * bench.c - hqq bench: what links do on this machine, in a few seconds
 *
 * Two processes over segments without names. All cases take turns, round after round, so that
 * what disturbs the machine meets each of them, and what they are compared with was measured in
 * the same rounds.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "bench.h"
#include "common.h"
#include "json.h"
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_SECONDS 3
#define RUN_NS (10 * NS_PER_MS) /* the length aimed at for one run */
#define ROUNDS_MIN 5
#define ROUNDS_MAX 1000
#define CASES_MAX 16

struct bench {
	/* from the command line */
	uint64_t time_ns;
	bool json;

	struct bench_side self;
	int channel; /* to the other process */
	int cpu[2];  /* -1 = not pinned */
	unsigned rounds;
	uint64_t count[CASES_MAX];        /* operations of the next run */
	double ns[CASES_MAX][ROUNDS_MAX]; /* of an operation */
};

struct order {
	uint64_t number; /* of the case */
	uint64_t count;
};

static const struct option long_options[] = {
	{"time", required_argument, NULL, 't'},
	{"json", no_argument, NULL, 'j'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static void print_help(void)
{
	printf("Usage: hqq bench [OPTION]...\n\n"
	       "Measures links between two processes on this machine, beside what its caches and\n"
	       "its memory do without them.\n\n"
	       "  -t, --time=SECONDS  take so long (%d)\n"
	       "  -j, --json          print JSON\n"
	       "  -h, --help          show this help\n",
	       DEFAULT_SECONDS);
}

/* -1 to go on, else the exit code. */
static int read_options(struct bench *bench, int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "t:jh", long_options, NULL)) != -1) {
		if (option == '?')
			return usage_error();
		if (option == 'h') {
			print_help();
			return finish_output();
		}
		if (option == 'j')
			bench->json = true;
		else if (!parse_seconds(optarg, &bench->time_ns)) {
			complain(NULL, "'%s' makes no sense for this option", optarg);
			return usage_error();
		}
	}
	if (argc == optind)
		return -1;
	complain(NULL, "too many operands");
	return usage_error();
}

/* ---- processors ---- */

/* A number from a file about a processor; -1 when there is none. */
static int topology(int cpu, const char *name)
{
	char path[128];
	FILE *file;
	int number = -1;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, name);
	file = fopen(path, "re");
	if (file) {
		if (fscanf(file, "%d", &number) != 1)
			number = -1;
		fclose(file);
	}
	return number;
}

/* Two cores of one package where there are such, else two processors, else none: all is left open. */
static void choose_processors(struct bench *bench)
{
	cpu_set_t allowed;
	int first = -1;
	bool good = false;

	bench->cpu[0] = bench->cpu[1] = -1;
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE && !good; cpu++) {
		if (!CPU_ISSET((size_t)cpu, &allowed))
			continue;
		if (first < 0) {
			first = cpu;
			continue;
		}
		good = topology(cpu, "core_id") != topology(first, "core_id") &&
		       topology(cpu, "physical_package_id") == topology(first, "physical_package_id");
		if (good || bench->cpu[1] < 0) {
			bench->cpu[0] = first;
			bench->cpu[1] = cpu;
		}
	}
}

static void pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set); /* where that is not allowed, the system chooses */
}

/* ---- the other process ---- */

static void *map_pages(size_t size)
{
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return pages == MAP_FAILED ? NULL : pages;
}

static bool make_buffers(struct bench_side *side)
{
	side->in = malloc(BENCH_LARGE);
	side->out = malloc(BENCH_LARGE);
	if (!side->in || !side->out)
		return false;
	memset(side->in, 1, BENCH_LARGE);
	memset(side->out, 2, BENCH_LARGE);
	return true;
}

/* Does what it is told until the channel is closed. */
static int run_peer(const struct bench_side *maker, int channel, int cpu)
{
	struct bench_side self = {.side = 1, .area = maker->area};
	struct order order;
	int rc = make_buffers(&self) ? bench_open_links(&self, maker) : -ENOMEM;

	pin(cpu);
	if (rc == 0)
		rc = bench_negotiate(&self);
	while (rc == 0 && read(channel, &order, sizeof(order)) == (ssize_t)sizeof(order)) {
		if (!bench_meet(&self))
			break;
		rc = bench_cases[order.number].run(&self, order.count);
	}
	return rc ? STATUS_FAILED : STATUS_OK;
}

/* 0 or -errno, ... */
static int start_peer(struct bench *bench)
{
	struct bench_side *self = &bench->self;
	const pid_t parent = getpid();
	int ends[2];

	self->area = map_pages(sizeof(*self->area));
	if (!self->area || !make_buffers(self))
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	self->peer = fork();
	if (self->peer < 0)
		return -errno;
	if (!self->peer) {
		close(ends[0]);
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(STATUS_FAILED);
		_exit(run_peer(self, ends[1], bench->cpu[1]));
	}
	close(ends[1]);
	bench->channel = ends[0];
	pin(bench->cpu[0]);
	return 0;
}

/* ---- measuring ---- */

/* One run of one case; what it took is stored. */
static int run_once(struct bench *bench, unsigned number, double *ns)
{
	const struct order order = {number, bench->count[number]};
	uint64_t began, took;
	int rc;

	if (send(bench->channel, &order, sizeof(order), MSG_NOSIGNAL) != (ssize_t)sizeof(order) ||
	    !bench_meet(&bench->self))
		return HQQ_ERR_PEER_GONE;
	began = monotonic_ns();
	rc = bench_cases[number].run(&bench->self, order.count);
	took = monotonic_ns() - began;
	if (rc)
		return rc;
	*ns = (double)took / (double)order.count;
	/* towards the length aimed at, in steps */
	if (took < RUN_NS / 4)
		bench->count[number] = order.count * 4;
	else if (took > RUN_NS * 4 && order.count > 1)
		bench->count[number] = order.count / 2;
	return 0;
}

/* Until each case runs for about the length aimed at; that also warms everything up. */
static int calibrate(struct bench *bench)
{
	int rc = 0;

	for (unsigned i = 0; i < bench_case_count && rc == 0; i++) {
		uint64_t count = 0;

		bench->count[i] = 1;
		while (rc == 0 && bench->count[i] != count) {
			double ns;

			count = bench->count[i];
			rc = run_once(bench, i, &ns);
			if (bench->count[i] < count)
				break;
		}
	}
	return rc;
}

static int measure(struct bench *bench)
{
	const uint64_t until = monotonic_ns() + bench->time_ns;
	int rc = calibrate(bench);

	while (rc == 0 && bench->rounds < ROUNDS_MAX &&
	       (bench->rounds < ROUNDS_MIN || monotonic_ns() < until)) {
		for (unsigned i = 0; i < bench_case_count && rc == 0; i++)
			rc = run_once(bench, i, &bench->ns[i][bench->rounds]);
		bench->rounds += rc == 0;
	}
	return rc;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* part: 0.5 for the median, 0.25 and 0.75 for the quartiles */
static double quantile(const double *values, unsigned count, double part)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare);
	return sorted[(unsigned)(part * (count - 1) + 0.5)];
}

/* ---- the report ---- */

/* In the unit of the case. */
static double figure(const struct bench *bench, unsigned number, double part)
{
	const struct bench_case *bench_case = &bench_cases[number];
	/* a rate is high where the time is low */
	const double ns =
		quantile(bench->ns[number], bench->rounds, bench_case->unit == BENCH_NS ? part : 1 - part);

	switch (bench_case->unit) {
	case BENCH_NS:
		return ns;
	case BENCH_RATE:
		return (double)NS_PER_SECOND / ns;
	default:
		return (double)bench_case->bytes * (double)NS_PER_SECOND / ns;
	}
}

static double best(const struct bench *bench, unsigned number)
{
	return figure(bench, number, bench_cases[number].unit == BENCH_NS ? 0 : 1);
}

static unsigned number_of(const char *name)
{
	unsigned i = 0;

	while (strcmp(bench_cases[i].name, name) != 0)
		i++;
	return i;
}

/* The median of the ratios of each round; of times, or of rates. */
static double ratio(const struct bench *bench, unsigned number)
{
	const struct bench_case *bench_case = &bench_cases[number];
	const double *mine = bench->ns[number], *other = bench->ns[number_of(bench_case->beside)];
	double ratios[ROUNDS_MAX];

	for (unsigned i = 0; i < bench->rounds; i++)
		ratios[i] = bench_case->unit == BENCH_NS ? mine[i] / other[i] : other[i] / mine[i];
	return quantile(ratios, bench->rounds, 0.5);
}

static void print_figure(double value, enum bench_unit unit)
{
	if (unit == BENCH_NS)
		printf("%10.0f ns  ", value);
	else if (unit == BENCH_RATE)
		printf("%10.2f M/s ", value / 1e6);
	else
		printf("%10.2f GB/s", value / 1e9);
}

static void print_table(const struct bench *bench)
{
	printf("%-32s %15s %15s\n", "", "median", "best");
	for (unsigned i = 0; i < bench_case_count; i++) {
		const struct bench_case *bench_case = &bench_cases[i];

		printf("%-32s ", bench_case->title);
		print_figure(figure(bench, i, 0.5), bench_case->unit);
		putchar(' ');
		print_figure(best(bench, i), bench_case->unit);
		if (bench_case->beside)
			printf("  %.2f x %s", ratio(bench, i), bench_case->beside);
		putchar('\n');
	}
	printf("\n%u rounds; processors ", bench->rounds);
	if (bench->cpu[0] < 0)
		printf("as the system chose\n");
	else
		printf("%d and %d\n", bench->cpu[0], bench->cpu[1]);
}

static void print_json(const struct bench *bench)
{
	static const char *const units[] = {"ns", "1/s", "B/s"};
	struct json json = {.out = stdout};

	json_open(&json, NULL, '{');
	json_string(&json, "version", hqq_version_string());
	json_number(&json, "rounds", bench->rounds);
	json_open(&json, "processors", '[');
	for (int i = 0; i < 2 && bench->cpu[i] >= 0; i++)
		json_number(&json, NULL, (uint64_t)bench->cpu[i]);
	json_close(&json, ']');
	json_open(&json, "results", '[');
	for (unsigned i = 0; i < bench_case_count; i++) {
		const struct bench_case *bench_case = &bench_cases[i];

		json_open(&json, NULL, '{');
		json_string(&json, "name", bench_case->name);
		json_string(&json, "unit", units[bench_case->unit]);
		json_number(&json, "bytes", bench_case->bytes);
		json_real(&json, "median", figure(bench, i, 0.5));
		json_real(&json, "low_quartile", figure(bench, i, 0.25));
		json_real(&json, "high_quartile", figure(bench, i, 0.75));
		json_real(&json, "best", best(bench, i));
		json_string(&json, "beside", bench_case->beside);
		if (bench_case->beside)
			json_real(&json, "ratio", ratio(bench, i));
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_close(&json, '}');
}

static int run_all(struct bench *bench)
{
	int rc;

	choose_processors(bench);
	rc = bench_make_links(&bench->self);
	if (rc == 0)
		rc = start_peer(bench);
	if (rc == 0)
		rc = bench_negotiate(&bench->self);
	if (rc == 0)
		rc = measure(bench);
	if (bench->channel >= 0)
		close(bench->channel);
	if (bench->self.peer > 0) {
		if (rc) /* it may wait for us in the middle of a run */
			kill(bench->self.peer, SIGKILL);
		waitpid(bench->self.peer, NULL, 0);
	}
	bench_close_links(&bench->self);
	free(bench->self.in);
	free(bench->self.out);
	return rc;
}

int run_bench(int argc, char **argv)
{
	static struct bench bench = {.time_ns = DEFAULT_SECONDS * NS_PER_SECOND, .channel = -1};
	int status = read_options(&bench, argc, argv), rc;

	if (status >= 0)
		return status;
	signal(SIGCHLD, SIG_DFL);
	rc = run_all(&bench);
	if (rc) {
		complain(NULL, "cannot measure: %s", hqq_strerror(rc));
		return STATUS_FAILED;
	}
	if (bench.json)
		print_json(&bench);
	else
		print_table(&bench);
	return finish_output();
}
