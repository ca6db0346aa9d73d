/*
 * gate.c - the word that every call looks at
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "gate.h"
#include "layout.h"
#include <errno.h>
#include <hqq/common.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

/*
 * Some emulators of system calls accept any advice and do nothing: one that accepts nonsense is not
 * believed.
 */
static bool wipes_on_fork(void *page)
{
	const int nonsense = -1;

	return madvise(page, hqq_page_size(), MADV_WIPEONFORK) == 0 &&
	       madvise(page, hqq_page_size(), nonsense) < 0;
}

int hqq_gate_open(struct hqq_gate *gate)
{
	if (!gate->word) {
		void *page = mmap(NULL, hqq_page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (page == MAP_FAILED)
			return -errno;
		gate->compare_pid = !wipes_on_fork(page);
		gate->word = page;
	}
	gate->pid = getpid();
	/* release: the handle is complete */
	atomic_store_explicit(gate->word, HQQ_GATE_OPEN, memory_order_release);
	return 0;
}

bool hqq_gate_is_foreign(const struct hqq_gate *gate)
{
	return getpid() != gate->pid;
}

int hqq_gate_error(enum hqq_gate_state state)
{
	switch (state) {
	case HQQ_GATE_OPEN:
		return 0;
	case HQQ_GATE_FORKED:
		return HQQ_ERR_FORKED;
	case HQQ_GATE_INTERRUPTED:
		return HQQ_ERR_CANCELED;
	case HQQ_GATE_CLOSING:
		return HQQ_ERR_CLOSED;
	case HQQ_GATE_CLOSED:
		break;
	}
	return HQQ_ERR_INVALID_OP;
}
