/*
 * step_scene.h - a segment, two processes that survive, and a victim or two that make one call each
 *
 * A victim is on the side of one of the survivors: the peer, who is the primary, or its mate. The
 * survivors are processes of their own that do what they are told. What anybody writes is numbered
 * without gaps, and every message is filled with a pattern made from who wrote it and its number.
 * Who reads a message enters it in the book: one that is torn, doubled or missing is found.
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
	STEP_MATE = 1,
	STEP_VICTIM = 2,
	STEP_OTHER = 3, /* the second victim, where there are two */
	STEP_WRITERS
};

#define STEP_VICTIMS (STEP_WRITERS - STEP_VICTIM)
#define STEP_NUMBERS 64 /* messages of one writer from one setting of the scene to the next */

/* Directions, for a victim on the mate's side. */
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
	char context[320];     /* what is being tried, for who fails */

	/* orders */
	_Atomic uint32_t count;      /* messages to write or read */
	_Atomic uint32_t mendable;   /* slots at most that may be mended beside one that is stopped */
	_Atomic uint32_t epoch;      /* of the victims: counts how often the scene was set */

	/* of each survivor */
	struct {
		_Atomic uint64_t written;      /* messages, as numbered */
		_Atomic uint32_t feeds;        /* messages to write for victims that wait */
		_Atomic uint64_t marks_written, marks_read;
		_Atomic uint64_t went_on_ns;   /* when it had written and read the first message of a lap */
		_Atomic uint64_t recovered, lost; /* by its stats */
		_Atomic bool joined;
		_Atomic unsigned char orders[8]; /* a queue: nothing is ordered before much was done */
		unsigned int told;
	} side[2];

	/* of each victim; one that was not killed tells what became of its call */
	struct {
		enum step_who side;
		_Atomic bool reads;
		_Atomic bool done; /* its call has returned, or it is dead, or was never there */
		_Atomic uint64_t sent;
		_Atomic uint64_t recovered, lost; /* by its stats */
	} victim[STEP_VICTIMS];

	/* the book: how often each message was taken, from the first number of each writer on */
	uint64_t first[STEP_WRITERS];
	_Atomic uint8_t book[STEP_WRITERS][STEP_NUMBERS];
};

/* Fails the test with the context unless equal. In any process. */
void step_equal(const struct step_scene *scene, const char *what, uint64_t got, uint64_t want);

/* A message: writes it, returns its length; checks it, returns its number. */
size_t step_make(void *data, enum step_who who, uint32_t epoch, uint64_t number, bool mark);

/* For a process that does without membarrier(2) in that mode; before it joins. */
void step_enter_process(const struct step_scene *scene);
hqq_standard *step_join(const struct step_scene *scene, enum step_who who, enum step_who side);

struct step_reader {
	enum step_who side;
	uint32_t epoch;
	uint64_t next[STEP_WRITERS]; /* no lower number than this may come */
};

/* Enters a message that was read in the book. true: it is marked. */
bool step_take(struct step_scene *scene, struct step_reader *reader, const void *data, size_t length);

/* Whose message this is, and which, as it lies in a buffer. */
enum step_who step_peek(const void *data, uint64_t *number);

/* The same, for what somebody had who cannot tell any more. */
void step_enter(struct step_scene *scene, enum step_who who, uint64_t number);

/* Messages of this writer that were taken. */
uint64_t step_count_taken(const struct step_scene *scene, enum step_who who);

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
	STEP_DRINK = 'w',   /* reads, and feeds, until the victims' calls have returned */
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
