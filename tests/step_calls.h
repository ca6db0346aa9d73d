/*
 * step_calls.h - the calls that a victim makes, and what it does around them
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_STEP_CALLS_H
#define HQQ_TESTS_STEP_CALLS_H

#include "step_scene.h"
#include "stepper.h"

/* What a call does. */
enum {
	WRITES = 1,
	READS = 2,
	MANY = 4,   /* up to STEP_BATCH messages */
	JOINS = 8,
	HOLDS = 16, /* a slot of each kind before the call */
	MENDS = 32, /* what another left that died before */
	TWO = 64    /* messages, one while the slot of the other is held */
};

struct step_call {
	const char *name;
	stepper_function *run; /* of a struct step_victim */
	unsigned int what;
};

extern const struct step_call step_calls[];
#define STEP_CALLS 17

struct step_victim {
	struct step_scene *scene;
	const struct step_call *call;
	enum step_who who, side;
	hqq_standard *handle;
	struct step_reader reader;
	unsigned char data[STEP_BATCH][STEP_SIZE];
	struct iovec vectors[STEP_BATCH];
	struct hqq_reservation held[2];
	ssize_t result;
};

/* Of the ring that the call works on. */
enum step_state {
	LITTLE, /* empty for a writer, one message for a reader */
	HALF,
	NEARLY, /* full but for one */
	ASLEEP, /* the peer sleeps for what the call brings about: data, or room */
	WAITING, /* the victim has to wait first */
	STEP_STATES
};

extern const char *const step_states[STEP_STATES];
extern const char *const step_modes[STEP_MODES];

/* Messages in the ring before. */
uint32_t step_load(const struct step_call *call, enum step_state state);

/* The call can be made there, and it makes a difference. */
bool step_is_sensible(const struct step_call *call, enum step_mode mode, enum step_state state);

/* Joining is a call of its own, the others begin with a handle. */
bool step_is_close(const struct step_call *call);

/* The child's body; a struct step_victim with scene and call. It meets a stepper before its call. */
int step_be_victim(void *victim);

/* Another body: takes a slot of each kind, says 'h' and waits to be killed. */
int step_die_holding(void *victim);

#endif /* HQQ_TESTS_STEP_CALLS_H */
