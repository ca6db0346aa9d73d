/*
 * options.c - sized option structs
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "options.h"
#include <errno.h>
#include <string.h>

#define KNOWN_FLAGS \
	(HQQ_REPLACE_STALE | HQQ_PEER_EOF | HQQ_SINGLE_WRITER | HQQ_SINGLE_READER | HQQ_HUGEPAGES | HQQ_PREFAULT)

#define LARGEST_STRUCT 4096 /* a struct_size above this was never set */

int hqq_options_copy(void *to, size_t to_size, const void *from)
{
	size_t size;

	memcpy(&size, from, sizeof(size));
	if (size < sizeof(size) || size > LARGEST_STRUCT)
		return HQQ_ERR_INVALID_SIZE;
	for (size_t i = to_size; i < size; i++) {
		if (((const unsigned char *)from)[i])
			return -E2BIG;
	}
	memcpy(to, from, size < to_size ? size : to_size);
	memcpy(to, &to_size, sizeof(to_size));
	return 0;
}

int hqq_options_read(struct hqq_options *options, const struct hqq_options *from)
{
	struct hqq_options o = HQQ_OPTIONS_INIT;
	int rc = from ? hqq_options_copy(&o, sizeof(o), from) : 0;

	if (rc)
		return rc;
	if (o.role > HQQ_ROLE_SECONDARY || o.wait > HQQ_WAIT_BLOCK || (o.flags & ~KNOWN_FLAGS))
		return HQQ_ERR_INVALID_OP;
	*options = o;
	return 0;
}
