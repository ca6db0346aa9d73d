/*
 * haste.c - whether a reader should let messages gather
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "clock.h"
#include "haste.h"

#define WINDOW_MIN 8 /* waits before a trial */
#define WINDOW_MAX 1024
#define RUNS 128     /* waits that a trial decides about */
#define GOAL_MIN 16  /* messages of a trial: a batch of the writer's must not look like haste */
#define GOAL_MAX 256
#define WITHIN_MAX_NS (16 * HQQ_NS_PER_US) /* that a trial may keep the message in hand */

enum hqq_haste_advice hqq_haste_ask(struct hqq_haste *haste, uint64_t received)
{
	const bool backlog = received - haste->received > 1;

	haste->received = received;
	if (haste->runs) {
		haste->runs--;
		return HQQ_HASTE_GATHER;
	}
	if (haste->waits == 0) {
		haste->began = hqq_clock_now();
		haste->first = received;
		haste->backlogs = 0;
		haste->waits = 1;
		return HQQ_HASTE_TAKE;
	}
	haste->backlogs += backlog;
	if (haste->waits++ < haste->window || haste->waits <= WINDOW_MIN)
		return HQQ_HASTE_TAKE;
	if (haste->backlogs >= haste->waits / 2)
		return HQQ_HASTE_TRY;
	haste->waits = 0;
	return HQQ_HASTE_TAKE;
}

uint32_t hqq_haste_goal(const struct hqq_haste *haste, uint64_t *within)
{
	const uint64_t received = haste->received - haste->first, messages = received ? received : 1;
	uint64_t goal = 2 * messages / haste->waits;

	goal = goal < GOAL_MIN ? GOAL_MIN : goal > GOAL_MAX ? GOAL_MAX : goal;
	*within = (hqq_clock_now() - haste->began) * goal / messages * 3 / 4;
	if (*within > WITHIN_MAX_NS)
		*within = WITHIN_MAX_NS;
	return (uint32_t)goal;
}

void hqq_haste_tried(struct hqq_haste *haste, bool reached)
{
	haste->waits = 0;
	haste->runs = reached ? RUNS : 0;
	if (reached)
		haste->window = WINDOW_MIN;
	else if (haste->window < WINDOW_MAX)
		haste->window = haste->window ? 2 * haste->window : 2 * WINDOW_MIN;
}

void hqq_haste_rest(struct hqq_haste *haste)
{
	haste->waits = 0;
	haste->runs = 0;
}
