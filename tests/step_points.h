/*
 * step_points.h - the testpoints of a call: behind each instruction that changed a word of the segment
 *
 * They are found, not listed: while the call is recorded, the segment is compared after each
 * instruction. Everything that another process can see of a call has its point, then, and one is added
 * where the call begins, one where it has returned or, if it does not, where it sleeps.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_STEP_POINTS_H
#define HQQ_TESTS_STEP_POINTS_H

#include "step_stage.h"
#include "stepper.h"

#define STEP_POINTS 128

struct step_points {
	const struct step_stage *stage;
	unsigned char *seen; /* the segment after the last instruction */
	size_t steps, limit;
	size_t passed, wanted; /* while it is walked: changes */
	struct {
		size_t at;      /* instructions before it */
		size_t changes; /* words that had changed by then, one after the other */
		char after[48];
	} point[STEP_POINTS];
	size_t count;
	size_t timeless; /* so many do not depend on how long the call slept before */
	bool returns;
	struct stepper_trace trace;
};

/*
 * Finds the points of the call that the stepper has begun: it stands behind the last then. A call that
 * may wait is followed for so many instructions, or until it does the same again; 0: to its end.
 */
void step_points_find(struct step_points *points, const struct step_stage *stage, struct stepper *stepper,
                      size_t limit);

/*
 * Brings another such call to a point. false: this child took another way; begin anew, and have it
 * walk, instruction by instruction, until as much has changed.
 */
bool step_points_go(struct step_points *points, const struct step_stage *stage, struct stepper *stepper,
                    size_t point, bool walk);

void step_points_forget(struct step_points *points);

#endif /* HQQ_TESTS_STEP_POINTS_H */
