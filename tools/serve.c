/*
 * serve.c - hqq serve: answers calls
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "meet.h"
#include "program.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const struct meet_usage usage = {
	.options = "ecsmoMwvh",
	.operands = "[--echo | -- PROGRAM [ARGUMENT]...]",
	.purpose = "Answers the calls that come over the link NAME: with what was sent, or by running\n"
		   "PROGRAM, with the body on its standard input. Its standard output is the answer.",
	.operands_min = 0,
	.operands_max = 1 << 20,
};

/* One line for each request, with how it was answered. */
static void tell(const struct meeting *meeting, const struct hqq_message *request, int status, size_t size)
{
	if (meeting->verbose)
		fprintf(stderr, "hqq serve: method %" PRIu64 ", %zu bytes: status %d, %zu bytes\n",
		        request->method_id, request->payload_size, status, size);
}

static int answer(struct meeting *meeting, const struct hqq_message *request, const void *body, size_t size)
{
	tell(meeting, request, 0, size);
	return hqq_advanced_respond(meeting->link, &meeting->context, request, 0, body, size);
}

static int refuse(struct meeting *meeting, const struct hqq_message *request, int status, const void *body,
                  size_t size)
{
	tell(meeting, request, status, size);
	return hqq_advanced_respond_error(meeting->link, &meeting->context, request, (uint64_t)status, body,
	                                  size);
}

static int refuse_with(struct meeting *meeting, const struct hqq_message *request, int error)
{
	const char *text = hqq_strerror(error);

	return refuse(meeting, request, (int)hqq_error_to_code(error), text, strlen(text));
}

/* Runs the program for one request. */
static int run_program(struct meeting *meeting, const struct hqq_message *request)
{
	struct program program = {.arguments = meeting->operands,
	                          .output_max = (size_t)meeting->max_size,
	                          .watch = &meeting->watch};
	char method[24];
	int rc;

	snprintf(method, sizeof(method), "%" PRIu64, request->method_id);
	rc = setenv("HQQ_METHOD", method, 1) ? -ENOMEM : 0;
	if (rc == 0)
		rc = program_run(&program, request->payload, request->payload_size);
	if (rc)
		return refuse_with(meeting, request, rc);
	if (watch_stopped(&meeting->watch)) {
		rc = HQQ_ERR_CANCELED;
	} else if (program.overflown) {
		rc = refuse_with(meeting, request, HQQ_ERR_BUFFER_OVERFLOW);
	} else if (program.status) {
		rc = refuse(meeting, request, program.status, program.errors.data, program.errors.size);
	} else {
		if (program.errors.size)
			fwrite(program.errors.data, 1, program.errors.size, stderr);
		rc = answer(meeting, request, program.output.data, program.output.size);
	}
	program_free(&program);
	return rc;
}

/* Answers one peer until it has gone, or something stops us. */
static int serve_peer(struct meeting *meeting)
{
	struct hqq_message message;
	int rc;

	for (;;) {
		rc = hqq_advanced_receive(meeting->link, &meeting->context, &message);
		if (rc)
			return rc;
		if (!hqq_message_is_request(&message) || hqq_message_is_abort(&message))
			rc = 0; /* nothing that could be answered */
		else if (meeting->echo)
			rc = answer(meeting, &message, message.payload, message.payload_size);
		else
			rc = run_program(meeting, &message);
		if (hqq_message_is_request(&message))
			watch_count(&meeting->watch, message.payload_size);
		hqq_message_clear(&message);
		if (rc && rc != HQQ_ERR_CONN_NOT_FOUND) /* that stream was closed, the others are not */
			return rc;
	}
}

static int serve(struct meeting *meeting)
{
	int status = STATUS_OK;

	while (status == STATUS_OK && !meeting->removed) {
		int rc = serve_peer(meeting);

		if (rc != HQQ_ERR_PEER_GONE || watch_stopped(&meeting->watch))
			return meet_failed(meeting, "serve", rc);
		status = meet_next(meeting);
	}
	return status;
}

int run_serve(int argc, char **argv)
{
	struct meeting meeting = {
		.asks = false, .peer = "caller", .feature = HQQ_FEATURE_REQUEST_RESPONSE, .serves = true};
	int status = meet_options(&meeting, &usage, argc, argv);

	if (status >= 0)
		return status;
	if (meeting.echo == (meeting.operand_count > 0)) {
		complain(NULL,
		         meeting.echo ? "--echo or a program, not both" : "--echo or a program is missing");
		return usage_error();
	}
	signal(SIGCHLD, SIG_DFL); /* else there would be no exit codes */
	status = meet_begin(&meeting);
	if (status == STATUS_OK)
		status = meet_end(&meeting, serve(&meeting));
	if (meeting.verbose)
		fprintf(stderr, "hqq serve: %" PRIu64 " requests\n", atomic_load(&meeting.watch.messages));
	return status;
}
