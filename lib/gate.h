/*
 * gate.h - may a call go in? One word per handle, looked at by every call
 *
 * The word lies in a page of its own that the kernel wipes in a child of fork(): there it reads
 * as GATE_FORKED without a system call. Where the kernel cannot wipe, the process id is compared,
 * at the price of a system call per operation.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_GATE_H
#define HQQ_LIB_GATE_H

#include "atomics.h"
#include <stdbool.h>

enum hqq_gate_state {
	HQQ_GATE_FORKED = 0, /* must be 0: what a wiped page reads as */
	HQQ_GATE_OPEN = 1,
	HQQ_GATE_INTERRUPTED = 2,
	HQQ_GATE_CLOSING = 3,
	HQQ_GATE_CLOSED = 4
};

struct hqq_gate {
	_Atomic uint32_t *word; /* NULL until the first hqq_gate_open() */
	bool compare_pid;
	int pid;
};

/* Opens the gate for this process; -errno when there is no memory for its page. */
int hqq_gate_open(struct hqq_gate *gate);

HQQ_COLD bool hqq_gate_is_foreign(const struct hqq_gate *gate);

static inline enum hqq_gate_state hqq_gate_state(const struct hqq_gate *gate)
{
	if (HQQ_UNLIKELY(gate->compare_pid) && hqq_gate_is_foreign(gate))
		return HQQ_GATE_FORKED;
	/* acquire pairs with the release in hqq_gate_open() and hqq_gate_move() */
	return (enum hqq_gate_state)atomic_load_explicit(gate->word, memory_order_acquire);
}

/* From one state to another; false when it was not in the first. */
static inline bool hqq_gate_move(struct hqq_gate *gate, enum hqq_gate_state from, enum hqq_gate_state to)
{
	uint32_t expected = from;

	return atomic_compare_exchange_strong_explicit(gate->word, &expected, to, memory_order_seq_cst,
	                                               memory_order_relaxed);
}

/* What a call gets that finds the gate in this state; 0 when it may go in. */
int hqq_gate_error(enum hqq_gate_state state);

#endif /* HQQ_LIB_GATE_H */
