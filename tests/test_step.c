/*
 * test_step.c - killed, or stopped, at every instruction of every call
 *
 * A victim makes one call; a tracer ends it at the k-th instruction of it, for every k. While the
 * victim stands there, the words of the segment tell what it has claimed and what it has finished.
 * From that follows, to the message, what the survivors must find after its death:
 *
 *   claimed and not finished for writing    a tombstone, which they skip
 *   published                               a message, whole, in order, once
 *   claimed and not finished for reading    mended, and one message lost: stats.lost_messages says so
 *   released                                the message is gone with the victim, who had it
 *
 * and in all cases both survivors write and read again within 100 ms, and the segment is left without
 * a trace of the dead: cursors, sequence words, table of endpoints, repair lock.
 *
 * `make check` tries some instructions of each call, others with each combination; with HQQ_STEP_STRIDE=1,
 * which `make check-long` implies, it is every instruction. Stopped instead of killed, the victim is
 * robbed of nothing, and ends its call as if nothing had been. What fails says how to try it again.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "step_calls.h"
#include "step_stage.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RECOVERY_MAX_NS UINT64_C(100000000)
#define TRIES 3 /* of one instruction, when a recovery took longer: the machine may be busy */
#define STRIDE 59
#define STOP_STRIDE (7 * STRIDE)
#define KILLS_MAX 100 /* in each combination, unless asked for */
#define LONG_STOP_STRIDE 5

/* ---- one combination of call, mode and state --------------------------------------------------- */

struct play {
	const struct step_call *call;
	enum step_mode mode;
	enum step_state state;
	struct step_stage stage;
	struct step_scene *scene;
	struct step_victim victim;
	struct child child;
	struct stepper stepper;
	struct stepper_trace trace;
	struct step_view before;
	bool other_way;
};

/* Claimed by the victim and not finished; all the others stand still. */
static uint64_t unfinished(const struct play *play, int direction, enum hqq_claim_kind kind)
{
	const uint64_t cursor = *hqq_ring_cursor(&play->stage.rings[direction], kind);

	return step_unfinished(&play->stage, direction, kind, cursor - STEP_COUNT, cursor);
}

static void order(struct play *play, enum step_who who, char what, uint32_t count)
{
	step_stage_order(&play->stage, who, what, count);
}

static void put_peer_to_sleep(struct play *play)
{
	const bool writes = play->call->what & WRITES;
	struct hqq_bell *bell = &play->stage.extension->bells[writes ? FROM_VICTIM : TO_VICTIM]
	                                               [writes ? HQQ_BELL_DATA : HQQ_BELL_SPACE];
	const struct timespec moment = { 0, 100000 };

	step_tell(&play->stage.survivors[STEP_PEER], writes ? STEP_SLEEP_READ : STEP_SLEEP_WRITE);
	while (!bell->marks)
		nanosleep(&moment, NULL);
	nanosleep(&moment, NULL);
}

static void set_scene(struct play *play)
{
	const unsigned int what = play->call->what;
	const uint32_t load = step_load(play->call, play->state);

	step_stage_begin(&play->stage);
	if (!(what & READS) && load)
		order(play, STEP_MATE, STEP_FILL, load);
	if (!(what & WRITES) && load)
		order(play, STEP_PEER, STEP_FILL, load);
	if (play->mode == MODE_ALONE)
		order(play, STEP_MATE, STEP_LEAVE, 0);
	if (play->state == ASLEEP)
		put_peer_to_sleep(play);
}

/* What the victim waits for. */
static void wake_victim(void *argument)
{
	struct play *play = argument;

	order(play, STEP_PEER, play->call->what & WRITES ? STEP_DRAIN : STEP_FILL, 1);
}

/* Up to the first instruction of its call. */
static void start_victim(struct play *play)
{
	struct step_victim other = { .scene = play->scene, .who = STEP_OTHER, .side = STEP_MATE };
	struct child child;

	play->scene->victim[0].side = STEP_MATE;
	play->scene->victim[0].reads = play->call->what & READS;
	play->scene->victim[0].done = false;
	play->before = step_look(&play->stage);
	play->victim = (struct step_victim){
		.scene = play->scene, .call = play->call, .who = STEP_VICTIM, .side = STEP_MATE
	};
	play->stepper = (struct stepper){ .asleep = play->state == WAITING ? wake_victim : NULL, .argument = play };
	child_start(&play->child, step_be_victim, &play->victim);
	stepper_meet(&play->stepper, play->child.pid);
	if (play->call->what & MENDS) {
		child_start(&child, step_die_holding, &other);
		child_hear(&child, 'h');
		child_kill(&child);
	}
	stepper_begin(&play->stepper, play->call->run);
}

static void start_victim_to(struct play *play, size_t k)
{
	snprintf(play->scene->context, sizeof(play->scene->context),
	         "%s, %s, %s, instruction %zu of %zu (HQQ_STEP_ONLY=%d HQQ_STEP_FROM=%zu)", play->call->name,
	         step_modes[play->mode], step_states[play->state], k, play->trace.length,
	         (int)(play->call - step_calls) * STEP_MODES * STEP_STATES + (int)play->mode * STEP_STATES + (int)play->state, k);
	set_scene(play);
	start_victim(play);
	play->other_way = play->other_way ? !stepper_walk(&play->stepper, k)
	                                  : !stepper_run_to(&play->stepper, &play->trace, k);
}

static uint64_t go_on(struct play *play)
{
	return step_stage_go_on(&play->stage, play->state == ASLEEP);
}

/* ---- the table --------------------------------------------------------------------------------- */

static struct row {
	unsigned long instructions, tried, stopped, slow, retried, other_way;
	uint64_t longest_ns, tombstones, lost, lost_by_stats;
} (*table)[STEP_MODES];

static void print_table(void)
{
	printf("\n%-22s %-11s %12s %8s %8s %12s %6s %10s %6s %9s\n", "call", "mode", "instructions", "killed at",
	       "stopped", "recovery max", ">100ms", "tombstones", "lost", "by stats");
	for (size_t call = 0; call < STEP_CALLS; call++) {
		for (int mode = 0; mode < STEP_MODES; mode++) {
			const struct row *row = &table[call][mode];

			if (row->tried || row->stopped)
				printf("%-22s %-11s %12lu %8lu %8lu %9.2f ms %6lu %10llu %6llu %9llu\n", step_calls[call].name,
				       step_modes[mode], row->instructions, row->tried, row->stopped,
				       (double)row->longest_ns / 1e6, row->slow, (unsigned long long)row->tombstones,
				       (unsigned long long)row->lost, (unsigned long long)row->lost_by_stats);
		}
	}
	printf("%s\n", "recovery: from the kill until both survivors had written and read; slower than 100 ms: tried again");
}

static struct row *row_of(const struct play *play)
{
	return &table[play->call - step_calls][play->mode];
}

/* ---- killed ------------------------------------------------------------------------------------ */

/* Kills at instruction k; the time until the survivors went on. */
static uint64_t kill_at(struct play *play, size_t k)
{
	const unsigned int what = play->call->what;
	struct step_scene *scene = play->scene;
	struct step_view dying, after;
	uint64_t killed_ns, went_on_ns, writing, reading;

	start_victim_to(play, k);
	dying = step_look(&play->stage);
	writing = unfinished(play, FROM_VICTIM, HQQ_CLAIM_WRITE);
	reading = unfinished(play, TO_VICTIM, HQQ_CLAIM_READ);
	step_stage_had(&play->stage, STEP_MATE, &play->before, &dying);
	killed_ns = test_now_ns();
	child_kill(&play->child);
	scene->victim[0].done = true;
	went_on_ns = go_on(play);
	after = step_look(&play->stage);
	if (what & WRITES)
		step_equal(scene, "messages of the victim that arrived", step_count_taken(scene, STEP_VICTIM),
		           dying.written[FROM_VICTIM] - play->before.written[FROM_VICTIM] - writing);
	else
		step_equal(scene, "messages of the victim that arrived", step_count_taken(scene, STEP_VICTIM), 0);
	step_equal(scene, "recovered slots by the survivors' stats", after.recovered - play->before.recovered,
	           writing + reading);
	step_equal(scene, "lost messages by the survivors' stats", after.lost - play->before.lost, reading);
	if (!(what & (HOLDS | MENDS))) { /* where the victim itself mends, it may die before it counts */
		step_equal(scene, "mended slots by the segment", after.mended_ever - play->before.mended_ever,
		           writing + reading);
		step_equal(scene, "lost messages by the segment", after.lost_ever - play->before.lost_ever,
		           reading);
	}
	row_of(play)->tombstones += writing;
	row_of(play)->lost += reading;
	row_of(play)->lost_by_stats += after.lost - play->before.lost;
	return went_on_ns - killed_ns;
}

static void kill_until_quick(struct play *play, size_t k)
{
	struct row *row = row_of(play);
	uint64_t ns = 0;

	for (int i = 0; i < TRIES; i++) {
		play->other_way = false;
		ns = kill_at(play, k);
		if (play->other_way) { /* the clock made a difference: count the steps instead */
			row->other_way++;
			ns = kill_at(play, k);
		}
		if (ns <= RECOVERY_MAX_NS)
			break;
		row->slow++;
	}
	if (ns > row->longest_ns)
		row->longest_ns = ns;
	if (ns > RECOVERY_MAX_NS)
		step_equal(play->scene, "milliseconds until the survivors went on, again", ns / 1000000, 0);
	row->tried++;
}

/* ---- stopped ----------------------------------------------------------------------------------- */

static void stop_at(struct play *play, size_t k)
{
	const unsigned int what = play->call->what;
	struct step_scene *scene = play->scene;
	struct step_view after;

	play->other_way = false;
	start_victim_to(play, k);
	stepper_leave_stopped(&play->stepper);
	if (play->mode != MODE_ALONE || !((what & JOINS) || step_is_close(play->call)))
		step_do(&play->stage.survivors[STEP_MATE], STEP_TRY);
	if (play->state != ASLEEP)
		step_do(&play->stage.survivors[STEP_PEER], STEP_TRY);
	MUST_EQ(kill(play->child.pid, SIGCONT), 0);
	if (play->state != ASLEEP)
		step_tell(&play->stage.survivors[STEP_PEER], STEP_DRINK);
	child_join_ok(&play->child);
	if (play->state != ASLEEP)
		step_hear(&play->stage.survivors[STEP_PEER]);
	go_on(play);
	after = step_look(&play->stage);
	step_equal(scene, "messages of the victim that arrived", step_count_taken(scene, STEP_VICTIM),
	           scene->victim[0].sent);
	step_equal(scene, "slots that the survivors mended", after.recovered - play->before.recovered, 0);
	step_equal(scene, "messages lost", after.lost - play->before.lost, 0);
	row_of(play)->stopped++;
}

/* ---- all of them ------------------------------------------------------------------------------- */

static size_t wish(const char *name, size_t usual)
{
	const char *text = getenv(name);

	return text != NULL && atoi(text) > 0 ? (size_t)atoi(text) : usual;
}

static void record(struct play *play)
{
	struct step_view behind;

	set_scene(play);
	start_victim(play);
	stepper_record(&play->stepper, &play->trace);
	behind = step_look(&play->stage);
	step_stage_had(&play->stage, STEP_MATE, &play->before, &behind);
	child_kill(&play->child);
	play->scene->victim[0].done = true;
	go_on(play);
	row_of(play)->instructions += play->trace.length + 1;
}

/* From one instruction that is tried to the next; some builds need more instructions than others. */
static size_t stride_through(size_t length)
{
	if (wish("HQQ_TEST_LONG", 0) > 0)
		return wish("HQQ_STEP_STRIDE", 1);
	return wish("HQQ_STEP_STRIDE", length / KILLS_MAX > STRIDE ? length / KILLS_MAX : STRIDE);
}

static const char *obstacle;

START_TEST(at_every_instruction)
{
	const bool is_long = wish("HQQ_TEST_LONG", 0) > 0;
	const size_t stop_stride = wish("HQQ_STEP_STOP_STRIDE", is_long ? LONG_STOP_STRIDE : STOP_STRIDE);
	struct play play = { .call = &step_calls[(unsigned int)_i / (STEP_MODES * STEP_STATES)],
		             .mode = (enum step_mode)((unsigned int)_i / STEP_STATES % STEP_MODES),
		             .state = (enum step_state)((unsigned int)_i % STEP_STATES) };
	size_t stride, k;

	if (obstacle != NULL) {
		test_skip("%s", obstacle);
		return;
	}
	if (!step_is_sensible(play.call, play.mode, play.state))
		return;
	step_stage_open(&play.stage, play.mode, "step");
	play.scene = play.stage.scene;
	record(&play);
	stride = stride_through(play.trace.length);
	/* the end, where all is done, and from another beginning in each combination */
	kill_until_quick(&play, play.trace.length);
	for (k = wish("HQQ_STEP_FROM", (size_t)_i % stride); k < play.trace.length; k += stride)
		kill_until_quick(&play, k);
	for (k = (size_t)_i % stop_stride; !(play.call->what & MENDS) && k < play.trace.length; k += stop_stride)
		stop_at(&play, k);
	step_stage_close(&play.stage);
	stepper_forget(&play.trace);
}
END_TEST

int main(void)
{
	const bool is_long = wish("HQQ_TEST_LONG", 0) > 0;
	const char *only = getenv("HQQ_STEP_ONLY");
	const int first = only != NULL ? atoi(only) : 0;
	Suite *suite = suite_create("step");
	TCase *cases = test_case(suite, "killed and stopped", is_long || getenv("HQQ_STEP_STRIDE") ? 1800 : 120);
	const size_t size = STEP_CALLS * sizeof(*table);
	int rc;

	/* shared with the processes that run the tests */
	table = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(table != MAP_FAILED);
	obstacle = stepper_obstacle();
	tcase_add_loop_test(cases, at_every_instruction, first,
	                    obstacle != NULL || only != NULL ? first + 1 : STEP_CALLS * STEP_MODES * STEP_STATES);
	rc = test_main(suite);
	if (obstacle == NULL)
		print_table();
	munmap(table, size);
	return rc;
}
