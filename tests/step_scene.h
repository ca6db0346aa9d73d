/*
 * step_scene.h - a segment, two processes that survive, and a victim that makes one call
 *
 * The victim is on the secondary's side, together with a survivor of its kind; the other survivor,
 * the peer, is the primary. The survivors are processes of their own that do what they are told.
 * What they write is numbered without gaps, and every message is filled with a pattern made from
 * who wrote it and its number: they find a message that is torn, doubled or missing.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_STEP_SCENE_H
#define HQQ_TESTS_STEP_SCENE_H

#include "support.h"

#include "extension.h"
#include "ring.h"
#include <hqq.h>

#define STEP_COUNT 4
#define STEP_SIZE 64
#define STEP_BATCH 3

/* Who wrote a message. The first two are also the survivors and their sides. */
enum step_who {
	STEP_PEER = 0, /* primary */
	STEP_MATE = 1, /* of the victim */
	STEP_VICTIM = 2
};

/* Directions. */
#define TO_VICTIM HQQ_MODE_PRIMARY
#define FROM_VICTIM HQQ_MODE_SECONDARY

enum step_mode {
	MODE_SHARED,
	MODE_FENCED, /* without membarrier(2), so with full fences */
	MODE_ALONE,  /* HQQ_SINGLE_WRITER and _READER; the mate joins only once the victim is dead */
	MODE_MEMORY, /* a mapping without a descriptor: liveness by process ids alone */
	STEP_MODES
};

/* Lies in shared memory. */
struct step_scene {
	enum step_mode mode;
	const char *name;      /* of the segment, or NULL */
	unsigned char *memory; /* or its memory */
	char context[160];     /* what is being tried, for who fails */

	/* orders */
	_Atomic uint32_t count;      /* messages to write or read */
	_Atomic uint32_t epoch;      /* of the victim: counts the victims */
	_Atomic bool victim_done;    /* its call has returned */

	/* of each survivor */
	struct {
		_Atomic uint64_t written;      /* messages, as numbered */
		_Atomic uint64_t expected;     /* number of the other survivor's next message */
		_Atomic uint64_t marks_written, marks_read;
		_Atomic uint64_t went_on_ns;   /* when it had written and read the first message of a lap */
		_Atomic uint64_t recovered, lost; /* by its stats */
		_Atomic bool joined;
		_Atomic unsigned char orders[8]; /* a queue: nothing is ordered before much was done */
		unsigned int told;
	} side[2];
	_Atomic uint64_t victim_received, victim_next; /* messages of this victim, by the peer */

	/* of the victim that was not killed */
	_Atomic uint64_t victim_sent, victim_taken;
};

/* Fails the test with the context unless equal. In any process. */
void step_equal(const struct step_scene *scene, const char *what, uint64_t got, uint64_t want);

/* A message: writes it, returns its length; checks it, returns its number. */
size_t step_make(void *data, enum step_who who, uint32_t epoch, uint64_t number, bool mark);

/* For a process that does without membarrier(2) in that mode; before it joins. */
void step_enter_process(const struct step_scene *scene);
hqq_standard *step_join(const struct step_scene *scene, enum step_who who);

/* Takes a message that the victim read and counts it. */
void step_victim_takes(struct step_scene *scene, const void *data, size_t length);

/* ---- survivors: told by one byte, they answer STEP_DONE when it is done ------------------------- */

enum {
	STEP_DONE = 'k',
	STEP_FILL = 'f',    /* writes count messages */
	STEP_DRAIN = 'd',   /* reads count messages */
	STEP_SLEEP_READ = 's',
	STEP_SLEEP_WRITE = 'S',
	STEP_LAP = 'x',     /* writes and reads a message, more than once round the ring; joins if need be */
	STEP_RECOVER = 'r', /* finds nothing to mend */
	STEP_TRY = 'y',     /* tries to get on beside one that is stopped */
	STEP_DRINK = 'w',   /* reads until the victim's call has returned */
	STEP_LEAVE = 'l',
	STEP_QUIT = 'q'
};

struct step_survivor {
	struct step_scene *scene;
	enum step_who who;
	struct child child;
};

void step_survivor_start(struct step_survivor *survivor, struct step_scene *scene, enum step_who who);
void step_tell(struct step_survivor *survivor, char order); /* and does not wait */
void step_hear(struct step_survivor *survivor);
void step_do(struct step_survivor *survivor, char order);

#endif /* HQQ_TESTS_STEP_SCENE_H */
