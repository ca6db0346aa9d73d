/*
 * advanced.c - bench/advanced: the Advanced link at work between two processes
 *
 * Calls are compared with round trips of the Standard link over buffers of the same number and
 * size, many calls in flight with one at a time, large messages (copies.c) with copies without the
 * library; a "message" is one that nobody answers. A case waits as the library does by default,
 * unless ".spin" (HQQ_WAIT_SPIN) is in its name; ".in-flight" has 64 calls under way, all from one
 * thread, ".in-flight-N" N of them.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced.h"

#define IN_FLIGHT_MOST 64

/* ---- the link -------------------------------------------------------------------------------- */

int advanced_error(struct pair *pair, const char *what, int error)
{
	return pair_fail(pair, what, error < 0 ? hqq_strerror(error) : "not what was expected");
}

static int make_or_open(struct pair *pair, hqq_advanced **link, size_t buffer_count, size_t buffer_size)
{
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	int error;

	if (pair->bench->size > BENCH_LARGEST)
		options.max_message_size = pair->bench->size;
	options.link.wait = pair->bench->wait;
	options.link.flags = HQQ_PREFAULT;
	if (pair->side == 0)
		error = hqq_advanced_create(link, pair->segment, buffer_count, buffer_size, 0600, &options);
	else
		error = hqq_advanced_open(link, pair->segment, buffer_count, buffer_size, &options);
	return error < 0 ? advanced_error(pair, "opening", error) : 0;
}

int advanced_open(struct pair *pair, hqq_advanced **link, size_t buffer_count, size_t buffer_size)
{
	const struct hqq_version version = {HQQ_ADVANCED_VERSION_MAJOR, HQQ_ADVANCED_VERSION_MINOR};
	int error;

	if (pair->side == 0 && make_or_open(pair, link, buffer_count, buffer_size) < 0)
		return -1;
	pair_meet(pair);
	if (pair->side == 1 && make_or_open(pair, link, buffer_count, buffer_size) < 0)
		return -1;
	pair_meet(pair);
	if (pair->side == 0)
		error = hqq_advanced_negotiate(*link, NULL, version,
					       HQQ_FEATURE_LARGE_COPY | HQQ_FEATURE_REQUEST_RESPONSE);
	else
		error = hqq_advanced_wait_negotiation(*link, NULL);
	if (error < 0)
		return advanced_error(pair, "negotiation", error);
	pair_begin(pair);
	return 0;
}

int advanced_close(struct pair *pair, hqq_advanced *link)
{
	pair_end(pair);
	pair_meet(pair);
	int error = hqq_advanced_close(link);
	return error < 0 ? advanced_error(pair, "hqq_advanced_close", error) : 0;
}

/* ---- who answers ----------------------------------------------------------------------------- */

#define METHOD_ECHO 1

struct service {
	uint64_t left; /* requests to come */
	hqq_context end;
};

static int echo(hqq_advanced *link, const struct hqq_message *request, void *argument)
{
	struct service *service = argument;
	int error = hqq_advanced_respond(link, NULL, request, 0, request->payload, request->payload_size);

	if (--service->left == 0)
		hqq_context_cancel(&service->end);
	return error;
}

static int serve(struct pair *pair, hqq_advanced *link)
{
	struct service service = {.left = pair_total(pair), .end = HQQ_CONTEXT_INIT};
	const struct hqq_method method = {METHOD_ECHO, echo, &service};
	int error = hqq_advanced_serve(link, &service.end, &method, 1);

	return error == HQQ_ERR_CANCELED ? 0 : advanced_error(pair, "hqq_advanced_serve", error);
}

/* ---- who calls ------------------------------------------------------------------------------- */

static unsigned char body[BENCH_LARGEST];

static int check(struct pair *pair, const char *what, int error, struct hqq_message *message, uint64_t number)
{
	const size_t size = pair->bench->size;

	if (error < 0)
		return advanced_error(pair, what, error);
	bool good = message->payload_size == size && bench_stamped(message->payload, size, number);
	hqq_message_clear(message);
	return good ? 0 : pair_fail(pair, what, "it is not what was sent");
}

static int call_one(struct pair *pair, hqq_advanced *link, uint64_t number)
{
	struct hqq_message response;

	bench_stamp(body, pair->bench->size, number);
	int error = hqq_advanced_call(link, NULL, METHOD_ECHO, body, pair->bench->size, &response);
	return check(pair, "a response", error, &response, number);
}

static int call_one_by_one(struct pair *pair, hqq_advanced *link)
{
	struct watch watch = watch_of(pair);
	const uint64_t total = pair_total(pair);

	for (uint64_t n = 0; n < total; n++) {
		watch_tick(&watch, n);
		if (call_one(pair, link, n) < 0)
			return -1;
	}
	watch_tick(&watch, total);
	return 0;
}

/* Each call that is answered makes room for the next one; they are awaited in the order of their start. */
static int call_in_flight(struct pair *pair, hqq_advanced *link)
{
	const uint64_t total = pair->warm + pair->count;
	const unsigned in_flight = pair->bench->variant;
	uint64_t calls[IN_FLIGHT_MOST];
	uint64_t start = 0;

	for (uint64_t n = 0; n < total + in_flight; n++) {
		uint64_t *call = &calls[n % in_flight];

		if (n >= in_flight) {
			struct hqq_message response;
			int error = hqq_advanced_call_wait(link, NULL, *call, &response);

			if (check(pair, "a response", error, &response, n - in_flight) < 0)
				return -1;
		}
		if (n == pair->warm + in_flight - 1)
			start = bench_now();
		if (n < total) {
			bench_stamp(body, pair->bench->size, n);
			int error = hqq_advanced_call_start(link, NULL, 0, METHOD_ECHO, body,
							    pair->bench->size, call);

			if (error < 0)
				return advanced_error(pair, "hqq_advanced_call_start", error);
		}
	}
	pair_result(pair, (double)(bench_now() - start) / (double)pair->count);
	return 0;
}

/* Side 0 calls, side 1 answers. */
static int calls(struct pair *pair)
{
	hqq_advanced *link;
	int result;

	if (advanced_open(pair, &link, BENCH_SLOTS, pair->bench->size) < 0)
		return -1;
	if (pair->side == 1)
		result = serve(pair, link);
	else if (pair->bench->variant > 1)
		result = call_in_flight(pair, link);
	else
		result = call_one_by_one(pair, link);
	return result < 0 ? result : advanced_close(pair, link);
}

/* ---- messages that nobody answers ------------------------------------------------------------ */

static int send_messages(struct pair *pair, hqq_advanced *link)
{
	for (uint64_t n = 0; n < pair->warm + pair->count; n++) {
		bench_stamp(body, pair->bench->size, n);
		int error = hqq_advanced_send_large(link, NULL, 0, body, pair->bench->size, NULL);

		if (error < 0)
			return advanced_error(pair, "hqq_advanced_send_large", error);
	}
	return 0;
}

static int receive_messages(struct pair *pair, hqq_advanced *link)
{
	uint64_t start = 0;

	for (uint64_t n = 0; n < pair->warm + pair->count; n++) {
		struct hqq_message message;

		if (n == pair->warm)
			start = bench_now();
		int error = hqq_advanced_receive(link, NULL, &message);
		if (check(pair, "a message", error, &message, n) < 0)
			return -1;
	}
	pair_result(pair, (double)(bench_now() - start) / (double)pair->count);
	return 0;
}

/* Side 0 sends, side 1 receives. */
static int messages(struct pair *pair)
{
	hqq_advanced *link;

	if (advanced_open(pair, &link, BENCH_SLOTS, pair->bench->size) < 0 ||
	    (pair->side == 0 ? send_messages(pair, link) : receive_messages(pair, link)) < 0)
		return -1;
	return advanced_close(pair, link);
}

/* ---- the list -------------------------------------------------------------------------------- */

static void add(struct bench_list *list, const char *name, size_t size, const char *limit, unsigned in_flight,
		uint32_t wait)
{
	struct bench_case *bench = bench_add(list, name, size, limit);

	bench->unit = in_flight == 1 ? BENCH_TIME : BENCH_RATE;
	bench->body = calls;
	bench->variant = in_flight;
	bench->wait = wait;
	bench->spins = wait == HQQ_WAIT_SPIN;
	bench->latency = in_flight == 1;
}

static void add_calls(struct bench_list *list, size_t size)
{
	bench_add_round_trips(list, size);
	add(list, "call", size, "pingpong.copy", 1, HQQ_WAIT_ADAPTIVE);
	add(list, "call.spin", size, "pingpong.copy.spin", 1, HQQ_WAIT_SPIN);
	if (size == 64) {
		add(list, "call.in-flight-2", size, "call", 2, HQQ_WAIT_ADAPTIVE);
		add(list, "call.in-flight-4", size, "call", 4, HQQ_WAIT_ADAPTIVE);
		add(list, "call.in-flight-16", size, "call", 16, HQQ_WAIT_ADAPTIVE);
	}
	add(list, "call.in-flight", size, "call", IN_FLIGHT_MOST, HQQ_WAIT_ADAPTIVE);
	add(list, "call.in-flight.spin", size, "call.spin", IN_FLIGHT_MOST, HQQ_WAIT_SPIN);
}

static void add_messages(struct bench_list *list, size_t size)
{
	struct bench_case *bench = bench_add(list, "message", size, NULL);

	bench->unit = BENCH_RATE;
	bench->body = messages;
	bench->wait = HQQ_WAIT_ADAPTIVE;
}

static void add_cases(struct bench_list *list)
{
	add_calls(list, 64);
	add_calls(list, 4096);
	add_messages(list, 64);
	add_messages(list, 4096);
	bench_add_copies(list);
}

const struct bench_program bench_program = {
	.name = "advanced",
	.title = "Advanced link",
	.add_cases = add_cases,
};
