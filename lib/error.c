/*
 * error.c - error codes and their texts
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include <hqq/common.h>
#include <string.h>

#define PROTOCOL_CODE_BASE (-18513) /* HQQ_ERR_x = base - code */
#define PROTOCOL_CODE_FIRST 1
#define PROTOCOL_CODE_LAST 7

_Static_assert(HQQ_ERR_MEMORY_ALIGN == PROTOCOL_CODE_BASE - PROTOCOL_CODE_FIRST, "protocol codes");
_Static_assert(HQQ_ERR_BUFFER_OVERFLOW == PROTOCOL_CODE_BASE - PROTOCOL_CODE_LAST, "protocol codes");

static const char *const texts[] = {
	"Memory or size not aligned",
	"Invalid size",
	"Memory too small",
	"Segment not initialised in time",
	"Connection not found",
	"Invalid operation",
	"Buffer overflow",
	"Timed out",
	"Canceled",
	"Closed",
	"Peer is gone",
	"Aborted by the sender",
	"Error response",
	"Rejected by the peer",
	"Handle belongs to the parent process",
	"Segment is corrupt",
};

_Static_assert(sizeof(texts) / sizeof(texts[0]) == HQQ_ERR_MEMORY_ALIGN - HQQ_ERR_CORRUPT + 1, "a text per error");

const char *hqq_strerror(int error)
{
	if (error >= 0)
		return "Success";
	if (error <= HQQ_ERR_MEMORY_ALIGN && error >= HQQ_ERR_CORRUPT)
		return texts[HQQ_ERR_MEMORY_ALIGN - error];
	if (error < -4095) /* no errno reaches so far; also keeps -error from overflowing */
		return "Unknown error";
	const char *text = strerrordesc_np(-error); /* unlike strerror(): constant, any thread */
	return text ? text : "Unknown error";
}

int hqq_error_from_code(uint64_t code)
{
	if (code < PROTOCOL_CODE_FIRST || code > PROTOCOL_CODE_LAST)
		return HQQ_ERR_INVALID_OP;
	return PROTOCOL_CODE_BASE - (int)code;
}

uint64_t hqq_error_to_code(int error)
{
	if (error > HQQ_ERR_MEMORY_ALIGN || error < HQQ_ERR_BUFFER_OVERFLOW)
		error = HQQ_ERR_INVALID_OP;
	return (uint64_t)(PROTOCOL_CODE_BASE - error);
}
