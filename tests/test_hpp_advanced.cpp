/*
 * test_hpp_advanced.cpp - hqq.hpp: the Advanced link
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <vector>

static_assert(!std::is_copy_constructible_v<hqq::advanced> &&
              std::is_nothrow_move_assignable_v<hqq::advanced>);
static_assert(!std::is_copy_constructible_v<hqq::message> && std::is_nothrow_move_assignable_v<hqq::message>);
static_assert(std::is_copy_constructible_v<hqq::message_view>);
static_assert(!std::is_move_constructible_v<hqq::context> && !std::is_move_constructible_v<hqq::bound>);

enum : std::uint64_t { upper = 1, fails, silent, refuses };

/* Answers the calls of the tests until the bound ends. */
static std::error_code serve(hqq::advanced &link, const hqq::bound &bound)
{
	return link.serve(
		bound,
		hqq::method{upper,
	                    [&](const hqq::message_view &request) {
				    std::string body(request.text());

				    for (char &c : body)
					    c = static_cast<char>(std::toupper(c));
				    link.respond(patient(), request, body.size(), body);
			    }},
		hqq::method{fails,
	                    [&](const hqq::message_view &request) {
				    link.respond_error(patient(), request, 77, "no"sv);
			    }},
		hqq::method{silent, [](const hqq::message_view &) {}},
		hqq::method{refuses, [](const hqq::message_view &) { return HQQ_ERR_INVALID_SIZE; }});
}

/* A thread that does so */
class server
{
public:
	explicit server(hqq::advanced &link) : thread_([this, &link] { reason_ = serve(link, context_); })
	{
	}

	~server()
	{
		if (thread_.joinable())
			stop();
	}

	std::error_code stop()
	{
		context_.cancel();
		thread_.join();
		return reason_;
	}

private:
	hqq::context context_;
	std::error_code reason_;
	std::thread thread_;
};

/* ---- ownership --------------------------------------------------------------------------------- */

START_TEST(destruction_closes)
{
	const char *name = test_name("scope");

	{
		auto link = hqq::advanced::create(name, 4, 64);
		hqq::advanced other(std::move(link));

		ck_assert(test_name_exists(name) && !link && other.name() == name);
		hqq::advanced &same = other;
		other = std::move(same);
		ck_assert(static_cast<bool>(other));
	}
	ck_assert(!test_name_exists(name));
}
END_TEST

START_TEST(messages_are_owned_once)
{
	advanced_pair pair;
	hqq::message kept;

	for (const auto text : {"first"sv, "second"sv}) {
		ck_assert_uint_ge(pair.primary.send_large(patient(), 0, text), 1);
		kept = pair.secondary.receive(patient()); /* frees the one before */
		ck_assert(kept.text() == text && kept.is_data());
	}
	hqq::message &same = kept;
	kept = std::move(same);
	ck_assert(kept.text() == "second");
	pair.secondary.close();

	hqq::message other(std::move(kept));
	ck_assert(kept.payload().empty() && other.text() == "second");
	hqq_message native = other.release();
	ck_assert(other.payload().empty());
	hqq::message again(native);
	ck_assert_uint_eq(again.native()->payload_size, 6);
	again.clear();
	ck_assert(again.payload().empty());
}
END_TEST

START_TEST(every_way_to_open)
{
	const std::size_t length = hqq::standard::size(4, 64);
	unsigned char *memory = test_map_memory(length);
	const auto options = hqq::advanced_options()
	                             .max_message_size(1000)
	                             .incoming_queue_size(8)
	                             .max_assembly_bytes(4000)
	                             .dispatcher(HQQ_DISPATCH_MANUAL)
	                             .link(hqq::options().role(HQQ_ROLE_SECONDARY));
	const char *name = test_name("open");
	std::error_code error;

	{
		auto first = hqq::advanced::attach({memory, length}, 4, 64);
		auto second = hqq::advanced::attach({memory, length}, 4, 64);

		ck_assert(first.mode() == HQQ_MODE_PRIMARY && second.mode() == HQQ_MODE_SECONDARY);
	}
	test_unmap(memory, length);
	auto made = hqq::advanced::create(name, 4, 64, 0600, options);
	ck_assert(made.mode() == HQQ_MODE_SECONDARY && made.type() == HQQ_TYPE_ADVANCED);
	ck_assert_uint_eq(made.max_message_size(), 1000);
	ck_assert_int_eq(fcntl(made.fd(), F_GETFD), FD_CLOEXEC);
	hqq::advanced::open(name, 0, 0, options, error);
	ck_assert(error == std::errc::device_or_resource_busy);
	ck_assert(static_cast<bool>(hqq::advanced::open(
		name, 0, 0, hqq::advanced_options().link(hqq::options().role(HQQ_ROLE_PRIMARY)))));
}
END_TEST

START_TEST(what_a_handle_is_and_did)
{
	advanced_pair pair;
	const hqq::advanced fresh = hqq::advanced::create_fd(4, 64);

	ck_assert_uint_eq(pair.primary.buffer_count(), 8);
	ck_assert_uint_eq(pair.primary.buffer_size(), 64);
	ck_assert(pair.primary.name().empty());
	ck_assert(pair.primary.protocol_state() == HQQ_PROTOCOL_NEGOTIATED &&
	          fresh.protocol_state() == HQQ_PROTOCOL_NONE);
	ck_assert_uint_eq(pair.secondary.negotiated_version().major, 1);
	ck_assert_uint_eq(pair.secondary.negotiated_features(),
	                  HQQ_FEATURE_LARGE_COPY | HQQ_FEATURE_REQUEST_RESPONSE);
	ck_assert(pair.secondary.negotiated_capabilities() & HQQ_CAPABILITY_LOW_LATENCY);
	ck_assert(pair.primary.is_large_copy_enabled() && !fresh.is_large_copy_enabled());
	ck_assert(pair.primary.is_request_response_enabled() && !fresh.is_request_response_enabled());
	pair.primary.send_large(patient(), 0, std::vector<char>(100));
	ck_assert_uint_eq(pair.primary.stats().large_bytes_sent, 100);
}
END_TEST

/* ---- calls ------------------------------------------------------------------------------------- */

START_TEST(calls_are_answered)
{
	advanced_pair pair;
	server server(pair.secondary);
	std::error_code error;

	const auto response = pair.primary.call(patient(), upper, "hello"sv);
	ck_assert(response.text() == "HELLO" && response.is_response() && !response.is_error());
	ck_assert_uint_eq(response.status(), 5);
	ck_assert_uint_eq(pair.primary.call_on(patient(), 0, fails, {}).status(), 77);
	ck_assert_uint_eq(pair.primary.call_on(patient(), 0, silent, {}).status(), 6);
	ck_assert_uint_eq(pair.primary.call_on(patient(), 0, refuses, {}).status(), 2);
	ck_assert(server.stop() == hqq::errc::canceled);
	pair.primary.call(1ms, upper, {}, error);
	ck_assert(error == std::errc::timed_out);
}
END_TEST

START_TEST(an_error_response_is_thrown_whole)
{
	advanced_pair pair;
	server server(pair.secondary);
	std::error_code error;
	bool thrown = false;

	try {
		pair.primary.call(patient(), fails, {});
	} catch (const hqq::error &e) {
		const hqq::response_error copy(dynamic_cast<const hqq::response_error &>(e));

		thrown = true;
		ck_assert(e.code() == hqq::errc::response);
		ck_assert(copy.response().text() == "no" && copy.response().is_error());
		ck_assert_uint_eq(copy.response().status(), 77);
	}
	ck_assert(thrown);
	const auto response = pair.primary.call(patient(), fails, {}, error);
	ck_assert(error == hqq::errc::response);
	ck_assert(response.text() == "no");
}
END_TEST

START_TEST(calls_in_two_steps)
{
	advanced_pair pair;
	std::error_code error;
	const auto first = pair.primary.call_start(patient(), 0, upper, "one"sv);
	const auto second = pair.primary.call_start(patient(), 0, upper, "two"sv);
	const auto third = pair.primary.call_start(patient(), 0, upper, "three"sv);

	pair.primary.call_wait(0s, first, error);
	ck_assert(error == hqq::errc::timeout);
	pair.primary.call_cancel(third);
	pair.primary.call_wait(patient(), third, error);
	ck_assert(error == hqq::errc::invalid_op);
	server server(pair.secondary);
	ck_assert(pair.primary.call_wait(patient(), second).text() == "TWO");
	ck_assert(pair.primary.call_wait(patient(), first).text() == "ONE");
	const auto late = pair.primary.receive(patient());
	ck_assert(late.is_response() && late.text() == "THREE");
}
END_TEST

START_TEST(requests_are_put_aside)
{
	advanced_pair pair;
	std::vector<hqq::message_view> aside;
	std::uint64_t calls[2];

	for (std::uint64_t &call : calls) {
		call = pair.primary.call_start(patient(), 0, 5, "request"sv);
		const auto request = pair.secondary.receive(patient());
		ck_assert(request.is_request());
		ck_assert_uint_eq(request.method_id(), 5);
		ck_assert_uint_eq(request.connection_id(), 0);
		ck_assert_uint_eq(request.flags() & HQQ_FLAG_REQUEST, HQQ_FLAG_REQUEST);
		aside.push_back(request);
	}
	pair.secondary.respond(patient(), aside[1], 1, "second"sv);
	pair.secondary.respond_error(patient(), aside[0], 2);
	ck_assert(pair.primary.call_wait(patient(), calls[1]).text() == "second");
	const auto response = pair.primary.call_wait(patient(), calls[0]);
	ck_assert(response.is_error() && response.payload().empty());
	ck_assert_uint_eq(response.message_id(), aside[0].message_id());
}
END_TEST

/* ---- the rest ---------------------------------------------------------------------------------- */

START_TEST(connections)
{
	advanced_pair pair;
	std::uint64_t accepted = 0;
	std::error_code error;

	pair.secondary.listen();
	const std::uint64_t dialled = pair.primary.dial(patient());
	accepted = pair.secondary.accept(patient());
	ck_assert_uint_eq(accepted, dialled);
	pair.primary.send_large(patient(), dialled, "on it"sv);
	ck_assert_uint_eq(pair.secondary.receive(patient()).connection_id(), dialled);
	pair.secondary.hangup(hqq::forever, accepted);
	pair.primary.call_on(patient(), dialled, 1, {}, error);
	ck_assert(error == hqq::errc::conn_not_found);
	pair.primary.hangup(hqq::forever, dialled);
}
END_TEST

START_TEST(standard_messages_and_aborts)
{
	advanced_pair pair;
	std::error_code error;
	char room[64];

	ck_assert_uint_eq(pair.primary.write(patient(), "beside"sv), 6);
	ck_assert_uint_eq(pair.secondary.read(patient(), room), 6);
	pair.secondary.read(0s, room, error);
	ck_assert(error == hqq::errc::timeout);
	pair.primary.send_stream(
		patient(), 0, 200,
		[](std::uint64_t offset, hqq::bytes place) { return offset ? 0 : place.size(); }, error);
	ck_assert(error == hqq::errc::aborted);
	ck_assert(pair.secondary.receive(patient()).is_abort());
}
END_TEST

START_TEST(event_loops)
{
	advanced_pair pair(hqq::advanced_options().dispatcher(HQQ_DISPATCH_MANUAL));
	struct pollfd poll_in = {pair.secondary.event_fd(), POLLIN, 0};

	pair.primary.send_large(patient(), 0, "event"sv);
	ck_assert_int_eq(poll(&poll_in, 1, 15000), 1);
	ck_assert_uint_eq(pair.secondary.dispatch(0s), 1);
	ck_assert_uint_eq(pair.secondary.dispatch(0s), 0);
	ck_assert(pair.secondary.receive(0s).text() == "event");
}
END_TEST

START_TEST(contexts_cancel_and_are_reset)
{
	advanced_pair pair;
	hqq::context context(1h);
	std::error_code error;

	std::thread canceler([&] { context.cancel(); });
	pair.primary.receive(context, error);
	canceler.join();
	ck_assert(error == hqq::errc::canceled);
	context.reset();
	context.set_deadline(1ms);
	pair.primary.receive(context, error);
	ck_assert(error == hqq::errc::timeout);
}
END_TEST

START_TEST(a_peer_that_leaves_ends_serving)
{
	advanced_pair pair;

	pair.primary.close();
	ck_assert(serve(pair.secondary, patient()) == std::errc::broken_pipe);
}
END_TEST

/* ---- two processes ----------------------------------------------------------------------------- */

static int serve_a_process(void *name)
{
	auto link = hqq::advanced::open(static_cast<const char *>(name));

	link.wait_negotiation(patient());
	return serve(link, patient()) == hqq::errc::peer_gone ? 0 : 1;
}

START_TEST(a_server_in_another_process)
{
	const char *name = test_name("rpc");
	auto link = hqq::advanced::create(name, 8, 64);
	struct child child;

	child_start(&child, serve_a_process, const_cast<char *>(name));
	link.negotiate(patient(), {1, 0}, HQQ_FEATURE_REQUEST_RESPONSE);
	for (std::size_t length = 0; length < 1000; length += 99)
		ck_assert(link.call(patient(), upper, std::string(length, 'a')).text() ==
		          std::string(length, 'A'));
	link.close();
	child_join_ok(&child);
}
END_TEST

int main()
{
	Suite *suite = suite_create("hqq.hpp, Advanced");
	TCase *ownership = test_case(suite, "ownership", 20), *calls = test_case(suite, "calls", 60);
	TCase *rest = test_case(suite, "the rest", 60);

	tcase_add_test(ownership, destruction_closes);
	tcase_add_test(ownership, messages_are_owned_once);
	tcase_add_test(ownership, every_way_to_open);
	tcase_add_test(ownership, what_a_handle_is_and_did);
	tcase_add_test(calls, calls_are_answered);
	tcase_add_test(calls, an_error_response_is_thrown_whole);
	tcase_add_test(calls, calls_in_two_steps);
	tcase_add_test(calls, requests_are_put_aside);
	tcase_add_test(calls, a_server_in_another_process);
	tcase_add_test(rest, connections);
	tcase_add_test(rest, standard_messages_and_aborts);
	tcase_add_test(rest, event_loops);
	tcase_add_test(rest, contexts_cancel_and_are_reset);
	tcase_add_test(rest, a_peer_that_leaves_ends_serving);
	return test_main(suite);
}
