/*
 * advanced/message.c - what a received message is
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include <hqq/advanced.h>
#include <stdlib.h>
#include <string.h>

static bool has(const struct hqq_message *message, uint64_t flag)
{
	return message && (message->flags & flag);
}

bool hqq_message_is_data(const struct hqq_message *message)
{
	return message && !(message->flags & (HQQ_FLAG_REQUEST | HQQ_FLAG_RESPONSE | HQQ_FLAG_ABORT));
}

bool hqq_message_is_request(const struct hqq_message *message)
{
	return has(message, HQQ_FLAG_REQUEST) && !has(message, HQQ_FLAG_ABORT);
}

bool hqq_message_is_response(const struct hqq_message *message)
{
	return has(message, HQQ_FLAG_RESPONSE) && !has(message, HQQ_FLAG_ABORT);
}

bool hqq_message_is_error(const struct hqq_message *message)
{
	return hqq_message_is_response(message) && has(message, HQQ_FLAG_ERROR);
}

bool hqq_message_is_abort(const struct hqq_message *message)
{
	return has(message, HQQ_FLAG_ABORT);
}

void hqq_message_clear(struct hqq_message *message)
{
	if (!message)
		return;
	free(message->payload);
	memset(message, 0, sizeof(*message));
}
