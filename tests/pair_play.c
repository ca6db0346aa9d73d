/*
 * pair_play.c - how two victims come to their points, and what must be found at the end; see pair_play.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pair_play.h"

#include <signal.h>
#include <stdio.h>

#define WAIT_LIMIT 9000 /* instructions: enough to fall asleep, and to have looked for the dead */
#define FEEDS 2         /* messages for a reader that waits */

/* ---- fates ------------------------------------------------------------------------------------- */

const char *const pair_fates[FATES] = {
	"both killed", "the first killed", "the first stopped, the second killed", "both stopped",
	"the first killed before, the second stopped", "the first killed before, then the second",
};

bool pair_is_early(enum fate fate)
{
	return fate >= FIRST_KILLED_EARLY;
}

bool pair_is_killed(enum fate fate, enum owner who)
{
	if (fate == BOTH_KILLED || fate == BOTH_KILLED_EARLY)
		return true;
	return who == FIRST ? fate == FIRST_KILLED || fate == FIRST_KILLED_EARLY : fate == SECOND_KILLED;
}

/* ---- who has claimed what --------------------------------------------------------------------- */

/* The stretches between two looks, in which one of them claims while the others stand still. */
static const enum owner stretches[] = { FIRST, SECOND, EARLIER, FIRST, SECOND };
#define STRETCHES (sizeof(stretches) / sizeof(stretches[0]))

_Static_assert(STRETCHES + 1 == PAIR_LOOKS, "one before each, one behind the last");

static struct unfinished unfinished_of(const struct play *play, enum owner owner)
{
	struct unfinished sum = { 0, 0 };

	for (size_t i = 0; i < STRETCHES; i++) {
		const struct step_view *from = &play->views[i], *to = &play->views[i + 1];

		for (int direction = 0; stretches[i] == owner && direction < 2; direction++) {
			sum.writing += step_unfinished(&play->stage, direction, HQQ_CLAIM_WRITE, from->written[direction],
			                               to->written[direction]);
			sum.reading += step_unfinished(&play->stage, direction, HQQ_CLAIM_READ, from->read[direction],
			                               to->read[direction]);
		}
	}
	return sum;
}

static uint64_t claimed_for_writing(const struct play *play, enum owner owner)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < STRETCHES; i++) {
		for (int direction = 0; stretches[i] == owner && direction < 2; direction++)
			sum += play->views[i + 1].written[direction] - play->views[i].written[direction];
	}
	return sum;
}

/* ---- to their points -------------------------------------------------------------------------- */

static void start(struct play *play, enum owner who)
{
	struct actor *actor = &play->actors[who];
	struct step_scene *scene = play->stage.scene;

	actor->victim = (struct step_victim){
		.scene = scene, .call = actor->call, .who = STEP_VICTIM + (unsigned int)who, .side = play->pair->sides[who]
	};
	scene->victim[who].side = actor->victim.side;
	scene->victim[who].reads = actor->call->what & READS;
	scene->victim[who].done = false;
	actor->stepper = (struct stepper){ .pid = 0 };
	child_start(&actor->child, step_be_victim, &actor->victim);
	stepper_meet(&actor->stepper, actor->child.pid);
}

/* The segment with what is in it, and both before their calls. */
static void raise_curtain(struct play *play)
{
	struct step_victim other = { .scene = play->stage.scene, .who = STEP_OTHER, .side = STEP_MATE };
	struct child child;

	step_stage_begin(&play->stage);
	for (int side = 0; side < 2; side++) {
		if (play->pair->load[side])
			step_stage_order(&play->stage, (enum step_who)side, STEP_FILL, play->pair->load[side]);
	}
	play->views[0] = step_look(&play->stage);
	start(play, FIRST);
	play->views[1] = step_look(&play->stage);
	start(play, SECOND);
	play->views[2] = step_look(&play->stage);
	if ((play->actors[FIRST].call->what | play->actors[SECOND].call->what) & MENDS) {
		child_start(&child, step_die_holding, &other);
		child_hear(&child, 'h');
		child_kill(&child);
	}
	play->views[3] = play->views[4] = play->views[5] = step_look(&play->stage);
}

/* Of all who are dead while this one makes its call. */
static struct unfinished left_to(const struct play *play, enum owner who)
{
	struct unfinished sum = unfinished_of(play, EARLIER), first = unfinished_of(play, FIRST);

	if (who == SECOND && pair_is_early(play->fate)) {
		sum.writing += first.writing;
		sum.reading += first.reading;
	}
	return sum;
}

/* false: it took another way. */
static bool advance(struct play *play, enum owner who, size_t point)
{
	struct actor *actor = &play->actors[who];
	const struct unfinished before = left_to(play, who);
	struct unfinished after;
	bool there = true;

	stepper_begin(&actor->stepper, actor->call->run);
	if (point == TO_THE_LAST)
		step_points_find(&actor->points, &play->stage, &actor->stepper,
		                 actor->call->what & (WRITES | READS) ? WAIT_LIMIT : 0);
	else
		there = step_points_go(&actor->points, &play->stage, &actor->stepper, point, actor->walks);
	after = left_to(play, who);
	actor->finished = (struct unfinished){ before.writing - after.writing, before.reading - after.reading };
	actor->walks |= !there;
	return there;
}

static void kill_actor(struct play *play, enum owner who)
{
	child_kill(&play->actors[who].child);
	play->stage.scene->victim[who].done = true;
}

static void tell_point(char *text, size_t size, const struct actor *actor, size_t point)
{
	if (point == TO_THE_LAST)
		snprintf(text, size, "at its last point");
	else if (point == 0)
		snprintf(text, size, "before it");
	else
		snprintf(text, size, "%zu of %zu, after %s", point, actor->points.count - 1,
		         actor->points.point[point].after);
}

static void tell_context(struct play *play, size_t first, size_t second)
{
	struct step_scene *scene = play->stage.scene;
	char text[2][96];

	tell_point(text[0], sizeof(text[0]), &play->actors[FIRST], first);
	tell_point(text[1], sizeof(text[1]), &play->actors[SECOND], second);
	snprintf(scene->context, sizeof(scene->context),
	         "%s (%s) + %s (%s), %s, %s, %s (HQQ_PAIRS_ONLY=%d HQQ_PAIRS_CASE=%zd,%zd,%d)",
	         play->actors[FIRST].call->name, text[0], play->actors[SECOND].call->name, text[1], play->pair->note,
	         step_modes[play->stage.mode], pair_fates[play->fate], play->index, (ssize_t)first, (ssize_t)second,
	         (int)play->fate);
}

bool pair_play_to(struct play *play, size_t first, size_t second)
{
	bool there;

	tell_context(play, first, second);
	raise_curtain(play);
	play->actors[SECOND].finished = (struct unfinished){ 0, 0 };
	there = advance(play, FIRST, first);
	play->views[4] = play->views[5] = step_look(&play->stage);
	play->actors[FIRST].left = unfinished_of(play, FIRST);
	if (pair_is_early(play->fate))
		kill_actor(play, FIRST);
	if (there) {
		there = advance(play, SECOND, second);
		play->views[5] = step_look(&play->stage);
	}
	play->actors[SECOND].left = unfinished_of(play, SECOND);
	return there;
}

/* ---- what becomes of them ---------------------------------------------------------------------- */

static void survivors_do(struct play *play, char what)
{
	step_tell(&play->stage.survivors[STEP_PEER], what);
	step_tell(&play->stage.survivors[STEP_MATE], what);
	step_hear(&play->stage.survivors[STEP_PEER]);
	step_hear(&play->stage.survivors[STEP_MATE]);
}

/* What those will not tell any more who are dead now. */
static void enter_for_the_dead(struct play *play)
{
	for (size_t i = 0; i < STRETCHES; i++) {
		const enum owner who = stretches[i];

		if (who == EARLIER || !play->actors[who].lives)
			step_stage_had(&play->stage, who == EARLIER ? STEP_MATE : play->pair->sides[who],
			               &play->views[i], &play->views[i + 1]);
	}
}

/* Messages of each that must arrive. */
static uint64_t published_by(const struct play *play, enum owner who)
{
	if (!(play->actors[who].call->what & WRITES))
		return 0;
	return claimed_for_writing(play, who) - play->actors[who].left.writing;
}

/* One who waits for a message gets some, unless the other will write it: its room is not for others. */
static void feed_readers(struct play *play)
{
	const struct actor *actors = play->actors;

	for (int i = 0; i < 2; i++) {
		const int other = 1 - i;

		if (actors[i].lives && (actors[i].call->what & READS) &&
		    !(actors[other].lives && (actors[other].call->what & WRITES) &&
		      play->pair->sides[other] != play->pair->sides[i]))
			play->stage.scene->side[1 - play->pair->sides[i]].feeds = FEEDS;
	}
}

/* Has those who live go on to the end of their calls. */
static void let_go_on(struct play *play)
{
	feed_readers(play);
	for (int i = 0; i < 2; i++) {
		if (play->actors[i].lives)
			MUST_EQ(kill(play->actors[i].child.pid, SIGCONT), 0);
	}
	step_tell(&play->stage.survivors[STEP_PEER], STEP_DRINK);
	step_tell(&play->stage.survivors[STEP_MATE], STEP_DRINK);
	for (int i = 0; i < 2; i++) {
		if (play->actors[i].lives)
			child_join_ok(&play->actors[i].child);
	}
	step_hear(&play->stage.survivors[STEP_PEER]);
	step_hear(&play->stage.survivors[STEP_MATE]);
}

/* What those who live must mend, by their stats, and how many messages that costs. */
struct due {
	uint64_t mended, lost;
};

/* Who is to live stands stopped by a signal then, the others are dead. */
static struct due deal_fates(struct play *play)
{
	struct unfinished rest = unfinished_of(play, EARLIER);
	struct due due = { 0, 0 };

	play->tombstones = play->lost = 0;
	for (enum owner i = FIRST; i <= SECOND; i++) {
		struct actor *actor = &play->actors[i];
		const struct unfinished own = unfinished_of(play, i);

		actor->lives = !pair_is_killed(play->fate, i);
		if (actor->lives) {
			stepper_leave_stopped(&actor->stepper);
			due.mended += actor->finished.writing + actor->finished.reading;
			due.lost += actor->finished.reading;
		} else {
			play->tombstones += actor->left.writing;
			play->lost += actor->left.reading;
			rest.writing += own.writing;
			rest.reading += own.reading;
		}
	}
	due.mended += rest.writing + rest.reading;
	due.lost += rest.reading;
	enter_for_the_dead(play);
	for (enum owner i = FIRST; i <= SECOND; i++) {
		if (!play->actors[i].lives && !(i == FIRST && pair_is_early(play->fate)))
			kill_actor(play, i);
	}
	return due;
}

static void expect_due(const struct play *play, struct due due)
{
	const struct step_scene *scene = play->stage.scene;
	const struct step_view *before = &play->views[0], after = step_look(&play->stage);
	const unsigned int what = play->actors[FIRST].call->what | play->actors[SECOND].call->what;
	uint64_t mended = after.recovered - before->recovered, lost = after.lost - before->lost;

	for (enum owner i = FIRST; i <= SECOND; i++) {
		mended += scene->victim[i].recovered;
		lost += scene->victim[i].lost;
		step_equal(scene, i == FIRST ? "messages of the first that arrived" : "messages of the second that arrived",
		           step_count_taken(scene, STEP_VICTIM + (unsigned int)i),
		           play->actors[i].lives ? scene->victim[i].sent : published_by(play, i));
	}
	step_equal(scene, "recovered slots by the stats of who lives", mended, due.mended);
	step_equal(scene, "lost messages by the stats of who lives", lost, due.lost);
	/* where a victim itself mends, it may die before it counts */
	if (!(what & (HOLDS | MENDS)) && play->fate != BOTH_KILLED_EARLY) {
		step_equal(scene, "mended slots by the segment", after.mended_ever - before->mended_ever, due.mended);
		step_equal(scene, "lost messages by the segment", after.lost_ever - before->lost_ever, due.lost);
	}
}

/* One who is stopped holds the repair lock: nobody mends anything meanwhile. */
static bool is_lock_held_by_the_living(const struct play *play)
{
	const uint64_t holder = play->stage.extension->repair & 0xff;

	for (int i = 0; holder && i < 2; i++) {
		if (play->actors[i].lives &&
		    hqq_identity_pid(play->stage.extension->entries[holder - 1].identity) == play->actors[i].child.pid)
			return true;
	}
	return false;
}

uint64_t pair_end(struct play *play)
{
	const struct due due = deal_fates(play);
	uint64_t began, went_on;

	play->stage.scene->mendable = is_lock_held_by_the_living(play) ? 0 : (uint32_t)due.mended;
	/* who is stopped alone, or with the other, is not robbed; where the other is killed it is not waited for */
	if (play->actors[FIRST].lives || play->fate == FIRST_KILLED_EARLY)
		survivors_do(play, STEP_TRY);
	began = test_now_ns();
	if (play->actors[FIRST].lives || play->actors[SECOND].lives)
		let_go_on(play);
	went_on = step_stage_go_on(&play->stage, false);
	expect_due(play, due);
	return went_on - began;
}
