/*
 * standard/address.c - datagram style: messages with the address of the end they come from
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "standard/standard.h"
#include <stdio.h>
#include <string.h>

static void fill_in(const hqq_standard *handle, struct hqq_address *address, enum hqq_mode mode)
{
	memset(address, 0, sizeof(*address));
	snprintf(address->name, sizeof(address->name), "%s", handle->link.segment.name);
	address->mode = mode;
	address->type = handle->link.type;
}

static int address_of(const hqq_standard *handle, struct hqq_address *address, bool local)
{
	hqq_standard *h = (hqq_standard *)(uintptr_t)handle;
	struct hqq_seat *seat = NULL;
	int rc = address ? hqq_link_enter_always(hqq_standard_link(h), &seat) : HQQ_ERR_INVALID_OP;

	if (rc)
		return rc;
	fill_in(h, address, local ? h->link.mode : hqq_link_peer_mode(&h->link));
	hqq_link_leave(seat);
	return 0;
}

int hqq_standard_local_address(const hqq_standard *handle, struct hqq_address *address)
{
	return address_of(handle, address, true);
}

int hqq_standard_remote_address(const hqq_standard *handle, struct hqq_address *address)
{
	return address_of(handle, address, false);
}

ssize_t hqq_standard_read_from(hqq_standard *handle, void *buffer, size_t length, struct hqq_address *from)
{
	struct hqq_address remote;
	ssize_t n = hqq_standard_remote_address(handle, &remote);

	if (n == 0)
		n = hqq_standard_read(handle, buffer, length);
	if (n >= 0 && from)
		*from = remote;
	return n;
}

ssize_t hqq_standard_write_to(hqq_standard *handle, const void *buffer, size_t length, const struct hqq_address *to)
{
	struct hqq_address remote;
	ssize_t n = hqq_standard_remote_address(handle, &remote);

	if (n < 0)
		return n;
	if (to && (to->mode != remote.mode || strncmp(to->name, remote.name, sizeof(remote.name)) != 0))
		return HQQ_ERR_CONN_NOT_FOUND;
	return hqq_standard_write(handle, buffer, length);
}
