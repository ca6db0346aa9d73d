/*
 * test_pairs.c - two processes, each killed or stopped at each of its testpoints
 *
 * Two victims make one call each on the same segment. The first is brought to one of its testpoints
 * (step_points.h), the second, while the first stands there, to one of its own: what that is may depend
 * on what the first holds, so the points of the second are found anew for each point of the first. A
 * second one that has to wait for the first goes to sleep, and has a point for that. Then
 *
 *   both are killed;
 *   the first is killed, and the second goes on;
 *   the first is stopped, the second is killed; the survivors try to get on; the first goes on;
 *   both are stopped; the survivors try to get on; both go on.
 *
 * Or the first is killed before the second begins, who then may have to mend what that left, and
 *
 *   is killed over it; or is stopped, the survivors try to get on, and it goes on.
 *
 * The words of the segment have told by then what each had claimed and what it had finished. Afterwards
 * both survivors must write and read again within 100 ms; what the dead had claimed is mended, each
 * slot once, by whoever lives; their unfinished messages are tombstones, what they had claimed for
 * reading is lost and counted, and nothing else is; each other message comes once and whole; who was stopped
 * is robbed of nothing; and the segment is without a trace of either.
 *
 * `make check` tries some points of each pair in one mode; with HQQ_TEST_LONG it is all of them, in
 * three. What fails says how to try it again; HQQ_PAIRS_POINTS prints the points.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pair_play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RECOVERY_MAX_NS UINT64_C(100000000)
#define TRIES 3          /* of one case, when a recovery took longer: the machine may be busy */
#define SAMPLE_FIRST 3   /* of the first one's points, and of the cases at each, in a short run */
#define SAMPLE_SECOND 6

/* ---- the pairs --------------------------------------------------------------------------------- */

#define ANY_MODE 3 /* not alone: two of a side there are here */
static const enum step_mode modes[ANY_MODE] = { MODE_SHARED, MODE_FENCED, MODE_MEMORY };

static const struct pair pairs[] = {
	{ { "write", "write" }, { STEP_MATE, STEP_MATE }, { 0, 0 }, "empty" },
	{ { "write", "write" }, { STEP_MATE, STEP_MATE }, { 0, 3 }, "room for one" },
	{ { "read", "read" }, { STEP_MATE, STEP_MATE }, { 2, 0 }, "two messages" },
	{ { "read", "read" }, { STEP_MATE, STEP_MATE }, { 1, 0 }, "one message" },
	{ { "write", "read" }, { STEP_MATE, STEP_PEER }, { 0, 0 }, "empty" },
	{ { "read", "write" }, { STEP_PEER, STEP_MATE }, { 0, 0 }, "empty" },
	{ { "read", "write" }, { STEP_PEER, STEP_MATE }, { 0, 4 }, "full" },
	{ { "write", "read" }, { STEP_MATE, STEP_PEER }, { 0, 4 }, "full" },
	{ { "write_zero_copy", "read_zero_copy" }, { STEP_MATE, STEP_PEER }, { 0, 0 }, "empty" },
	{ { "reserve_write..commit", "reserve_write..commit" }, { STEP_MATE, STEP_MATE }, { 0, 2 }, "half full" },
	{ { "reserve_write..commit", "reserve_read..release" }, { STEP_MATE, STEP_PEER }, { 0, 0 }, "empty" },
	{ { "reserve_read..release", "reserve_read..release" }, { STEP_MATE, STEP_MATE }, { 2, 0 }, "two messages" },
	{ { "write while reserved", "read while reserved" }, { STEP_MATE, STEP_PEER }, { 0, 2 }, "half full" },
	{ { "write_batch", "write_batch" }, { STEP_MATE, STEP_MATE }, { 0, 0 }, "empty" },
	{ { "read_batch", "read_batch" }, { STEP_MATE, STEP_MATE }, { 4, 0 }, "full" },
	{ { "write_batch", "read_batch" }, { STEP_MATE, STEP_PEER }, { 0, 1 }, "one message" },
	{ { "recover", "recover" }, { STEP_MATE, STEP_MATE }, { 2, 2 }, "of one side" },
	{ { "recover", "recover" }, { STEP_MATE, STEP_PEER }, { 2, 2 }, "of both sides" },
	{ { "recover", "write" }, { STEP_PEER, STEP_MATE }, { 2, 2 }, "half full" },
	{ { "write", "recover" }, { STEP_MATE, STEP_PEER }, { 2, 2 }, "half full" },
	{ { "reserve_read..release", "recover" }, { STEP_PEER, STEP_MATE }, { 2, 2 }, "half full" },
	{ { "recover", "read" }, { STEP_MATE, STEP_PEER }, { 2, 0 }, "nothing but the dead one's" },
	{ { "open or attach", "recover" }, { STEP_MATE, STEP_PEER }, { 2, 2 }, "half full" },
	{ { "recover", "open or attach" }, { STEP_PEER, STEP_MATE }, { 2, 2 }, "half full" },
	{ { "open or attach", "open or attach" }, { STEP_MATE, STEP_MATE }, { 0, 0 }, "empty" },
	{ { "close", "write" }, { STEP_MATE, STEP_MATE }, { 0, 2 }, "half full" },
	{ { "close, slots held", "close, slots held" }, { STEP_MATE, STEP_MATE }, { 2, 0 }, "half full" },
	{ { "close, slots held", "recover" }, { STEP_MATE, STEP_PEER }, { 3, 1 }, "half full" },
	{ { "recover", "close, slots held" }, { STEP_PEER, STEP_MATE }, { 3, 1 }, "half full" },
	{ { "close, slots held", "read" }, { STEP_MATE, STEP_PEER }, { 2, 0 }, "nothing but the leaver's" },
	{ { "close", "open or attach" }, { STEP_MATE, STEP_MATE }, { 0, 0 }, "empty" },
};
#define PAIRS ((int)(sizeof(pairs) / sizeof(pairs[0])))

/* ---- the table --------------------------------------------------------------------------------- */

static struct board {
	struct row {
		unsigned long first_points, second_points, asleep, cases, killed, stopped, continued, slow, walked;
		uint64_t longest_ns, tombstones, lost;
	} rows[PAIRS][ANY_MODE];
	unsigned long points[STEP_CALLS]; /* of a call, at most */
} *board;

static struct row *row_of(const struct play *play)
{
	return &board->rows[play->index / ANY_MODE][play->index % ANY_MODE];
}

static void print_points(void)
{
	printf("\n%-22s %10s\n", "call", "testpoints");
	for (int i = 0; i < STEP_CALLS; i++) {
		if (board->points[i])
			printf("%-22s %10lu\n", step_calls[i].name, board->points[i]);
	}
}

static void print_table(void)
{
	print_points();
	printf("\n%-22s %-22s %-26s %-11s %11s %6s %6s %7s %9s %12s %6s %10s %5s\n", "first", "second", "", "mode",
	       "points", "cases", "killed", "stopped", "continued", "recovery max", ">100ms", "tombstones", "lost");
	for (int i = 0; i < PAIRS * ANY_MODE; i++) {
		const struct pair *pair = &pairs[i / ANY_MODE];
		const struct row *row = &board->rows[i / ANY_MODE][i % ANY_MODE];

		if (row->cases)
			printf("%-22s %-22s %-26s %-11s %3lu x %3lu %s %6lu %6lu %7lu %9lu %9.2f ms %6lu %10llu %5llu\n",
			       pair->calls[0], pair->calls[1], pair->note, step_modes[modes[i % ANY_MODE]],
			       row->first_points, row->second_points, row->asleep ? "z" : " ", row->cases, row->killed,
			       row->stopped, row->continued, (double)row->longest_ns / 1e6, row->slow,
			       (unsigned long long)row->tombstones, (unsigned long long)row->lost);
	}
	printf("%s\n", "points: of the first x most of the second; z: one waits for the other, and sleeps\n"
	               "recovery: from the last kill, or the first SIGCONT, until all who live had gone on\n"
	               "tombstones, lost: of what these two had claimed");
}

static void count_points(const struct play *play, enum owner who, unsigned long *most)
{
	const struct step_points *points = &play->actors[who].points;
	unsigned long *of_call = &board->points[play->actors[who].call - step_calls];

	if (points->count > *most)
		*most = points->count;
	if (points->count > *of_call)
		*of_call = points->count;
	row_of(play)->asleep += !points->returns;
	if (getenv("HQQ_PAIRS_POINTS") == NULL)
		return;
	printf("%s (%s, %s):", play->actors[who].call->name, who == FIRST ? "first" : play->pair->calls[FIRST],
	       play->pair->note);
	for (size_t i = 0; i < points->count; i++)
		printf(" %s;", points->point[i].after);
	printf("\n");
}

/* ---- all of them ------------------------------------------------------------------------------- */

static uint64_t play_once(struct play *play, size_t first, size_t second)
{
	struct row *row = row_of(play);
	uint64_t ns;

	play->actors[FIRST].walks = play->actors[SECOND].walks = false;
	while (!pair_play_to(play, first, second)) { /* that was no such case; it still ends well */
		row->walked++;
		pair_end(play);
	}
	ns = pair_end(play);
	row->tombstones += play->tombstones;
	row->lost += play->lost;
	return ns;
}

static void play_until_quick(struct play *play, size_t first, size_t second, enum fate fate)
{
	struct row *row = row_of(play);
	uint64_t ns = 0;

	play->fate = fate;
	for (int i = 0; i < TRIES; i++) {
		ns = play_once(play, first, second);
		if (ns <= RECOVERY_MAX_NS)
			break;
		row->slow++;
	}
	if (ns > row->longest_ns)
		row->longest_ns = ns;
	if (ns > RECOVERY_MAX_NS)
		step_equal(play->stage.scene, "milliseconds until all who live went on, again", ns / 1000000, 0);
	row->cases++;
	for (enum owner i = FIRST; i <= SECOND; i++) {
		row->killed += pair_is_killed(fate, i);
		row->continued += !pair_is_killed(fate, i);
		row->stopped += !pair_is_killed(fate, i) && fate != FIRST_KILLED;
	}
}

/* To the ends of both calls, or of what can be done of them, to find the points; killed there. */
static void find_points(struct play *play, size_t first, bool early)
{
	play->fate = early ? BOTH_KILLED_EARLY : BOTH_KILLED;
	play_once(play, first, first == TO_THE_LAST ? 0 : TO_THE_LAST);
}

static bool is_long(void)
{
	return getenv("HQQ_TEST_LONG") != NULL && atoi(getenv("HQQ_TEST_LONG")) > 0;
}

/* With the first at its point all along, or killed there before the second begins. */
static void play_second(struct play *play, size_t first, bool early)
{
	const size_t from = early ? FIRST_KILLED_EARLY : BOTH_KILLED;
	const size_t kinds = (early ? FATES : FIRST_KILLED_EARLY) - from;
	size_t cases, stride;

	find_points(play, first, early);
	count_points(play, SECOND, &row_of(play)->second_points);
	cases = play->actors[SECOND].points.count * kinds;
	stride = is_long() || cases <= SAMPLE_SECOND ? 1 : cases / SAMPLE_SECOND | 1;
	/* an odd stride, and another beginning each time: all fates come, and all points */
	for (size_t i = is_long() ? 0 : first * 5 % stride; i < cases; i += stride)
		play_until_quick(play, first, i / kinds, (enum fate)(from + i % kinds));
}

static void play_all(struct play *play)
{
	const size_t count = play->actors[FIRST].points.count;
	const size_t stride = is_long() || count <= SAMPLE_FIRST ? 1 : (count - 1) / (SAMPLE_FIRST - 1);

	for (size_t first = is_long() ? 0 : (size_t)play->index % stride; first < count; first += stride) {
		const bool odd = first / stride % 2;

		if (is_long() || !odd)
			play_second(play, first, false);
		if (is_long() || odd)
			play_second(play, first, true);
	}
}

/* HQQ_PAIRS_CASE: the points and the fate of one case; -1: found on the way. */
static void play_wish(struct play *play, const char *wish)
{
	long first = 0, second = 0;
	int fate = 0;

	MUST_EQ(sscanf(wish, "%ld,%ld,%d", &first, &second, &fate), 3);
	if (first >= 0) {
		find_points(play, (size_t)first, pair_is_early((enum fate)fate));
		if (second >= 0)
			play_until_quick(play, (size_t)first, (size_t)second, (enum fate)fate);
	}
}

static const struct step_call *call_named(const char *name)
{
	for (int i = 0; i < STEP_CALLS; i++) {
		if (strcmp(step_calls[i].name, name) == 0)
			return &step_calls[i];
	}
	test_must_failed(__FILE__, __LINE__, "no call %s", name);
}

static const char *obstacle;

START_TEST(at_every_pair_of_points)
{
	struct play play = { .index = _i, .pair = &pairs[_i / ANY_MODE] };

	if (obstacle != NULL) {
		test_skip("%s", obstacle);
		return;
	}
	/* in a short run each pair has one mode */
	if (!is_long() && getenv("HQQ_PAIRS_ONLY") == NULL && _i % ANY_MODE != _i / ANY_MODE % ANY_MODE)
		return;
	for (int i = 0; i < 2; i++)
		play.actors[i].call = call_named(play.pair->calls[i]);
	step_stage_open(&play.stage, modes[_i % ANY_MODE], "pairs");
	/* the first is to be found with the second at its first point, before its call */
	find_points(&play, TO_THE_LAST, false);
	count_points(&play, FIRST, &row_of(&play)->first_points);
	if (getenv("HQQ_PAIRS_CASE") != NULL)
		play_wish(&play, getenv("HQQ_PAIRS_CASE"));
	else
		play_all(&play);
	step_stage_close(&play.stage);
	for (int i = 0; i < 2; i++)
		step_points_forget(&play.actors[i].points);
}
END_TEST

int main(void)
{
	const char *only = getenv("HQQ_PAIRS_ONLY");
	const int first = only != NULL ? atoi(only) : 0;
	Suite *suite = suite_create("pairs");
	TCase *cases = test_case(suite, "killed and stopped", is_long() || only != NULL ? 1800 : 120);
	int rc;

	/* shared with the processes that run the tests */
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(board != MAP_FAILED);
	obstacle = stepper_obstacle();
	tcase_add_loop_test(cases, at_every_pair_of_points, first,
	                    obstacle != NULL || only != NULL ? first + 1 : PAIRS * ANY_MODE);
	rc = test_main(suite);
	if (obstacle == NULL)
		print_table();
	munmap(board, sizeof(*board));
	return rc;
}
