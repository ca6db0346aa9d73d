/*
 * pair_play.h - two victims of step_scene.h that make one call each, brought to a point of it, and their ends
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_PAIR_PLAY_H
#define HQQ_TESTS_PAIR_PLAY_H

#include "step_calls.h"
#include "step_points.h"

/* Two calls, by name, and their sides. Ring 0 is read on the mate's side, ring 1 written there. */
struct pair {
	const char *calls[2];
	enum step_who sides[2];
	uint32_t load[2]; /* messages in each ring before */
	const char *note;
};

enum owner {
	FIRST,
	SECOND,
	EARLIER, /* who died before, for a recovery to have something to do */
	OWNERS
};

/* What becomes of the first and the second. */
enum fate {
	BOTH_KILLED,
	FIRST_KILLED,
	SECOND_KILLED,
	NONE_KILLED,
	FIRST_KILLED_EARLY, /* before the second begins */
	BOTH_KILLED_EARLY,
	FATES
};

extern const char *const pair_fates[FATES];

bool pair_is_early(enum fate fate);
bool pair_is_killed(enum fate fate, enum owner who);

#define TO_THE_LAST SIZE_MAX /* as a point: the last, and all on the way are found */
#define PAIR_LOOKS 6

struct unfinished {
	uint64_t writing, reading;
};

struct actor {
	const struct step_call *call;
	struct step_victim victim;
	struct child child;
	struct stepper stepper;
	struct step_points points;
	bool walks, lives;
	struct unfinished left;     /* of what it claimed, where it stands or was killed */
	struct unfinished finished; /* of what the dead left, by it so far */
};

struct play {
	int index; /* for who repeats it */
	const struct pair *pair;
	struct step_stage stage;
	struct actor actors[2];
	enum fate fate;
	struct step_view views[PAIR_LOOKS]; /* before and after each stretch, in which one of them claims */
	uint64_t tombstones, lost;          /* due to those who were killed */
};

/* Both to their points; false: one of them took another way, and is to walk the next time. */
bool pair_play_to(struct play *play, size_t first, size_t second);

/*
 * From where both stand to their fated ends, and all that is to be found afterwards. The time until all
 * could go on who live.
 */
uint64_t pair_end(struct play *play);

#endif /* HQQ_TESTS_PAIR_PLAY_H */
