/*
 * stepper.h - runs a child up to one instruction of one function, to end or stop it there
 *
 * The child calls stepper_await() and then, at once, the function. The parent, its tracer, has it
 * run to the function's first instruction, records once which instructions the function executes,
 * and has later children, in which the same function does the same, run to the k-th of them. That
 * goes by a breakpoint at an instruction shortly before it that had not been executed often until
 * then, and single steps from there; so it takes little more time than the function itself.
 *
 * A system call is one instruction, and so is a call of the kernel's vdso. One that sleeps is told to
 * the parent, who may end the sleep.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_STEPPER_H
#define HQQ_TESTS_STEPPER_H

#include "support.h"

typedef void stepper_function(void *argument);

struct stepper {
	pid_t pid;
	uintptr_t function;
	uintptr_t end, stack; /* where the function returns to */
	/* called once when the child sleeps in a system call, or should by now; may be NULL */
	void (*asleep)(void *argument);
	/* called after each single instruction; true: stop here; may be NULL */
	bool (*stepped)(void *argument);
	void *argument;
	size_t steps;
};

struct stepper_trace {
	struct stepper_instruction {
		uintptr_t address;
		size_t times; /* that it was executed up to here, this one included */
	} *at;
	size_t length, room;
};

/* Why no process can be single-stepped here; NULL: it can. */
const char *stepper_obstacle(void);

/* In the child: stops until the parent has begun. */
void stepper_await(void);

/* Waits until the child has come to stepper_await(), and no further. */
void stepper_meet(struct stepper *stepper, pid_t pid);

/* From there to the first instruction of the function. */
void stepper_begin(struct stepper *stepper, stepper_function *function);

/* Steps through the function and notes every instruction. false: told to stop before it returned. */
bool stepper_record(struct stepper *stepper, struct stepper_trace *trace);
void stepper_forget(struct stepper_trace *trace);

/*
 * Stops before instruction k, or behind the function when k is the number of instructions. false:
 * this child took another way and stands behind the function.
 */
bool stepper_run_to(struct stepper *stepper, const struct stepper_trace *trace, size_t k);

/* So many single steps, whichever way it takes; false as above. */
bool stepper_walk(struct stepper *stepper, size_t k);

/* Goes on until it sleeps in a system call, and stands there. */
void stepper_let_sleep(struct stepper *stepper);

/* No longer traced, but stopped by SIGSTOP, until the caller sends SIGCONT. */
void stepper_leave_stopped(struct stepper *stepper);

#endif /* HQQ_TESTS_STEPPER_H */
