/*
 * standard/deadline.c - bounding the waits of a handle, and ending them; repair on demand
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "standard/standard.h"

enum {
	READ = 1,
	WRITE = 2
};

static int set_deadline(hqq_standard *handle, const struct timespec *monotonic, int which)
{
	const uint64_t deadline = hqq_clock_valid(monotonic) ? hqq_clock_deadline(monotonic) : 0;
	struct hqq_seat *seat = NULL;
	int rc = hqq_link_enter_always(hqq_standard_link(handle), &seat);

	if (rc)
		return rc;
	if (hqq_clock_valid(monotonic)) {
		if (which & READ)
			atomic_store_explicit(&handle->read_deadline, deadline, memory_order_relaxed);
		if (which & WRITE)
			atomic_store_explicit(&handle->write_deadline, deadline, memory_order_relaxed);
		hqq_link_nudge(&handle->link); /* calls that wait now look at the new deadline */
	} else {
		rc = HQQ_ERR_INVALID_OP;
	}
	hqq_link_leave(seat);
	return rc;
}

int hqq_standard_set_deadline(hqq_standard *handle, const struct timespec *monotonic)
{
	return set_deadline(handle, monotonic, READ | WRITE);
}

int hqq_standard_set_read_deadline(hqq_standard *handle, const struct timespec *monotonic)
{
	return set_deadline(handle, monotonic, READ);
}

int hqq_standard_set_write_deadline(hqq_standard *handle, const struct timespec *monotonic)
{
	return set_deadline(handle, monotonic, WRITE);
}

int hqq_standard_interrupt(hqq_standard *handle)
{
	return hqq_link_interrupt(hqq_standard_link(handle));
}

int hqq_standard_resume(hqq_standard *handle)
{
	return hqq_link_resume(hqq_standard_link(handle));
}

int hqq_standard_recover(hqq_standard *handle)
{
	struct hqq_seat *seat = NULL;
	int rc = hqq_link_enter_always(hqq_standard_link(handle), &seat);

	if (rc)
		return rc;
	rc = (int)hqq_link_recover(&handle->link).slots;
	hqq_link_leave(seat);
	return rc;
}
