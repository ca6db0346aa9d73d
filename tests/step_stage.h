/*
 * step_stage.h - the segment and the two survivors of step_scene.h, as the test that directs them sees them
 *
 * The director looks at the words of the segment while everybody stands still. From them follows what
 * each victim has claimed and what it has finished, to the message.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_STEP_STAGE_H
#define HQQ_TESTS_STEP_STAGE_H

#include "step_scene.h"

struct step_stage {
	enum step_mode mode;
	struct step_scene *scene;
	struct step_survivor survivors[2];
	unsigned char *base, *beginning; /* the segment, and a copy of what it was at first */
	size_t length;
	struct hqq_extension *extension;
	struct hqq_ring rings[2];
};

/* Words of the segment at one moment. */
struct step_view {
	uint64_t written[2], read[2]; /* cursors, by direction */
	uint64_t recovered, lost;     /* by the survivors' stats */
	uint64_t mended_ever, lost_ever;
	struct {
		uint64_t position;
		enum step_who who; /* STEP_WRITERS: no message */
		uint64_t number;
	} slots[2][STEP_COUNT];
};

void step_stage_open(struct step_stage *stage, enum step_mode mode, const char *tag);
void step_stage_close(struct step_stage *stage);

/* The survivor does this with so many messages. */
void step_stage_order(struct step_stage *stage, enum step_who who, char what, uint32_t count);

/* From a segment in which nothing is on its way: the book is empty, and no victim there. */
void step_stage_begin(struct step_stage *stage);

struct step_view step_look(const struct step_stage *stage);

/* Claimed in that direction from one position to before another, and not finished so far. */
uint64_t step_unfinished(const struct step_stage *stage, int direction, enum hqq_claim_kind kind,
                         uint64_t from, uint64_t to);

/*
 * What somebody on that side claimed for reading between two looks will not be read any more, or was
 * without being told. Nobody else read there meanwhile.
 */
void step_stage_had(struct step_stage *stage, enum step_who side, const struct step_view *from,
                    const struct step_view *to);

/*
 * Both survivors write and read again, find nothing more to mend, and have every message in the
 * book, once; the segment is left without a trace of anybody else. Returns when both had written and read.
 * peer_asleep: it has still to say that it is done with what it was told before.
 */
uint64_t step_stage_go_on(struct step_stage *stage, bool peer_asleep);

#endif /* HQQ_TESTS_STEP_STAGE_H */
