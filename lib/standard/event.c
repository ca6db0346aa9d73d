/*
 * standard/event.c - the descriptor that is readable while a message waits
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "standard/standard.h"

static bool message_waits(void *argument)
{
	hqq_standard *handle = argument;

	return !hqq_tail_is_empty(&handle->tail) ||
	       hqq_ring_is_ready(hqq_link_ring(&handle->link, HQQ_CLAIM_READ), HQQ_CLAIM_READ);
}

int hqq_standard_event_fd(hqq_standard *handle)
{
	struct hqq_seat *seat = NULL;
	int rc = hqq_link_enter_always(hqq_standard_link(handle), &seat);

	if (rc)
		return rc;
	rc = hqq_event_open(&handle->event, &handle->link, message_waits, handle);
	hqq_link_leave(seat);
	return rc;
}
