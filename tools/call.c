/*
 * call.c - hqq call: calls a server and prints its answer
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "meet.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE 65536

static const struct meet_usage usage = {
	.options = "ncsmoMwtvh",
	.operands = "METHOD [BODY]",
	.purpose = "Calls METHOD, a number, of the server on the link NAME and prints the body of its\n"
		   "answer. BODY is what is sent; '-' reads it from standard input.",
	.operands_min = 1,
	.operands_max = 2,
};

struct request {
	uint64_t method;
	const void *body;
	size_t size;
	void *memory; /* to be freed */
};

static int too_large(const struct meeting *meeting)
{
	complain(NULL, "the body has more than %" PRIu64 " bytes", meeting->max_size);
	return STATUS_FAILED;
}

/* Standard input to its end. */
static int read_body(const struct meeting *meeting, struct request *request)
{
	size_t capacity = 0;
	ssize_t n;

	do {
		char *memory = request->memory;

		if (capacity - request->size < READ_SIZE) {
			capacity += capacity + READ_SIZE;
			memory = realloc(memory, capacity);
		}
		n = memory ? read(STDIN_FILENO, memory + request->size, READ_SIZE) : -1;
		if (n < 0 && errno != EINTR) {
			complain("standard input", "%s", strerror(errno));
			return STATUS_FAILED;
		}
		request->memory = memory;
		request->size += n > 0 ? (size_t)n : 0;
		if (request->size > meeting->max_size)
			return too_large(meeting);
	} while (n);
	request->body = request->memory;
	return STATUS_OK;
}

static int make_request(const struct meeting *meeting, struct request *request)
{
	const char *body = meeting->operand_count > 1 ? meeting->operands[1] : "";

	if (!parse_number(meeting->operands[0], &request->method)) {
		complain(NULL, "'%s' is not a number", meeting->operands[0]);
		return usage_error();
	}
	if (!strcmp(body, "-"))
		return read_body(meeting, request);
	request->body = body;
	request->size = strlen(body);
	return request->size <= meeting->max_size ? STATUS_OK : too_large(meeting);
}

/* What a server says about an error is text for somebody's eyes, but nobody knows what it holds. */
static void print_error(const struct hqq_message *response)
{
	const char *text = response->payload;
	const bool terminal = isatty(STDERR_FILENO) == 1;

	for (size_t i = 0; i < response->payload_size; i++) {
		const unsigned char c = (unsigned char)text[i];

		putc(terminal && c != '\n' && (c < 0x20 || c == 0x7f) ? '?' : c, stderr);
	}
	if (response->payload_size && text[response->payload_size - 1] != '\n')
		putc('\n', stderr);
}

static int take_answer(struct meeting *meeting, int rc, const struct hqq_message *response)
{
	if (rc == HQQ_ERR_RESPONSE) {
		complain(meeting->name, "the server answered with error %" PRIu64, response->status);
		print_error(response);
		return STATUS_ANSWER;
	}
	if (rc)
		return meet_failed(meeting, "call", rc);
	if (response->payload_size)
		if (response->payload_size > 0) /* an empty one has no payload at all */
			fwrite(response->payload, 1, response->payload_size, stdout);
	return STATUS_OK;
}

static void print_rate(const struct meeting *meeting, uint64_t calls, uint64_t elapsed)
{
	const double seconds = (double)elapsed / (double)NS_PER_SECOND;

	fflush(stdout);
	fprintf(stderr, "hqq call: ");
	print_safely(stderr, meeting->name, 0);
	fprintf(stderr, ": %" PRIu64 " calls in %.6f s", calls, seconds);
	if (elapsed)
		fprintf(stderr, ", %.0f a second, %.2f us each", (double)calls / seconds,
		        seconds * 1e6 / (double)calls);
	putc('\n', stderr);
}

/* Calls as often as asked for; the last answer is the one that is printed. */
static int call(struct meeting *meeting, const struct request *request)
{
	struct hqq_message response = {.payload = NULL};
	const uint64_t began = monotonic_ns();
	int rc, status;

	watch_phase(&meeting->watch, PHASE_PEER);
	for (uint64_t i = 1;; i++) {
		rc = hqq_advanced_call(meeting->link, &meeting->context, request->method, request->body,
		                       request->size, &response);
		watch_count(&meeting->watch, request->size);
		if (rc || i == meeting->repeat)
			break;
		hqq_message_clear(&response);
	}
	watch_phase(&meeting->watch, PHASE_FILE);
	if (rc == 0 && (meeting->repeat > 1 || meeting->verbose))
		print_rate(meeting, meeting->repeat, monotonic_ns() - began);
	status = take_answer(meeting, rc, &response);
	if (rc == 0 || rc == HQQ_ERR_RESPONSE)
		hqq_message_clear(&response);
	return status;
}

int run_call(int argc, char **argv)
{
	struct meeting meeting = {
		.asks = true, .peer = "server", .feature = HQQ_FEATURE_REQUEST_RESPONSE, .repeat = 1};
	struct request request = {.memory = NULL};
	int status = meet_options(&meeting, &usage, argc, argv);

	if (status >= 0)
		return status;
	status = make_request(&meeting, &request);
	if (status == STATUS_OK)
		status = meet_begin(&meeting);
	if (status == STATUS_OK) {
		status = meet_end(&meeting, call(&meeting, &request));
		if (finish_output() && status == STATUS_OK)
			status = STATUS_FAILED;
	}
	free(request.memory);
	return status;
}
