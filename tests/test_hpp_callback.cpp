/*
 * test_hpp_callback.cpp - hqq.hpp: callables as callbacks, and exceptions that pass by C
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.hpp"

#include <atomic>
#include <cstring>
#include <memory>
#include <vector>

struct thrown_by_test {
	int value;
};

/* ---- one message in place ---------------------------------------------------------------------- */

static std::size_t fill_four(hqq::bytes room)
{
	std::memset(room.data(), '4', 4);
	return 4;
}

START_TEST(callables_of_all_kinds)
{
	standard_pair pair;
	const auto owner = std::make_unique<char>('x');
	std::string seen;
	int calls = 0;
	auto counting = [calls](hqq::const_bytes) mutable { return ++calls; };

	ck_assert_uint_eq(pair.primary.write_zero_copy(fill_four), 4);
	ck_assert_uint_eq(pair.primary.write_zero_copy([&owner](hqq::bytes room) {
		std::memset(room.data(), *owner, room.size());
		return static_cast<int>(room.size());
	}),
	                  64);
	ck_assert_uint_eq(pair.secondary.read_zero_copy([&](hqq::const_bytes data) { seen = data.text(); }),
	                  4);
	ck_assert(seen == "4444");
	ck_assert_uint_eq(pair.secondary.read_zero_copy(counting), 64);
	pair.primary.write("."sv);
	pair.secondary.read_zero_copy(counting);
	pair.primary.write("."sv);
	pair.secondary.read_zero_copy([&](hqq::const_bytes data) { calls = counting(data); });
	ck_assert_int_eq(calls, 3);
}
END_TEST

START_TEST(what_a_callable_returns_is_the_error)
{
	standard_pair pair(8);
	std::error_code error;

	ck_assert_uint_eq(pair.primary.write_zero_copy([](hqq::bytes) { return -EIO; }, error), 0);
	ck_assert(error == std::errc::io_error);
	pair.primary.write_zero_copy([](hqq::bytes room) { return room.size() + 1; }, error);
	ck_assert(error == hqq::errc::buffer_overflow);
	pair.primary.write_zero_copy([](hqq::bytes) { return SIZE_MAX; }, error);
	ck_assert(error == hqq::errc::buffer_overflow);
	pair.primary.write_zero_copy([](hqq::bytes) { return 0; }, error);
	ck_assert(error == hqq::errc::invalid_size);
	pair.primary.write_zero_copy([](hqq::bytes) {}, error);
	ck_assert(error == hqq::errc::invalid_size);
	pair.primary.write_zero_copy([](hqq::bytes) { return std::numeric_limits<ssize_t>::min(); }, error);
	ck_assert_msg(static_cast<bool>(error), "a large negative number became a success");
	pair.primary.write("text"sv);
	pair.secondary.read_zero_copy([](hqq::const_bytes) { return std::numeric_limits<ssize_t>::min(); },
	                              error);
	ck_assert_msg(static_cast<bool>(error), "a large negative number became a success");
	ck_assert_uint_eq(pair.secondary.pending(), 0);
}
END_TEST

START_TEST(an_exception_while_reading)
{
	standard_pair pair(2, 64);
	std::error_code error;
	int caught = 0;
	char room[64];

	for (int i = 0; i < 4; i++) { /* twice round the ring: no slot stays claimed */
		pair.primary.write("lost"sv);
		try {
			if (i % 2)
				pair.secondary.read_zero_copy(
					[i](hqq::const_bytes) { throw thrown_by_test{i}; });
			else
				pair.secondary.read_zero_copy(
					[i](hqq::const_bytes) { throw thrown_by_test{i}; }, error);
		} catch (const thrown_by_test &e) {
			ck_assert_int_eq(e.value, i);
			caught++;
		}
	}
	ck_assert_int_eq(caught, 4);
	pair.primary.write("next"sv);
	ck_assert_uint_eq(pair.secondary.read(room), 4);
}
END_TEST

START_TEST(an_exception_while_writing)
{
	standard_pair pair(2, 64);
	int caught = 0;
	char room[64];

	for (int i = 0; i < 4; i++) {
		try {
			pair.primary.write_zero_copy([](hqq::bytes room_to_fill) -> std::size_t {
				std::memset(room_to_fill.data(), 1, 8);
				throw std::string("unfinished");
			});
		} catch (const std::string &e) {
			ck_assert(e == "unfinished");
			caught++;
		}
		std::error_code error;
		pair.secondary.read(room, error);
		ck_assert(error == hqq::errc::timeout);
	}
	ck_assert_int_eq(caught, 4);
	ck_assert_uint_eq(pair.primary.stats().tombstones, 4);
}
END_TEST

/* ---- streams ----------------------------------------------------------------------------------- */

static unsigned char byte_at(std::uint64_t offset)
{
	return static_cast<unsigned char>(offset * 7 + offset / 251);
}

static std::size_t fill_pattern(std::uint64_t offset, hqq::bytes place)
{
	for (std::byte &byte : place)
		byte = std::byte{byte_at(offset++)};
	return place.size();
}

START_TEST(a_stream_in_place)
{
	const std::uint64_t total = 100000; /* more than one message may have */
	advanced_pair pair(hqq::advanced_options().max_message_size(5000));
	std::uint64_t received = 0, wrong = 0;

	std::thread sender([&] { pair.primary.send_stream(patient(), 0, total, fill_pattern); });
	pair.secondary.receive_stream(patient(), [&](const hqq::chunk &chunk) {
		wrong += chunk.offset != received || chunk.total != total || !chunk.head.is_data();
		for (std::byte byte : chunk.data)
			wrong += byte != std::byte{byte_at(received++)};
	});
	sender.join();
	ck_assert_uint_eq(received, total);
	ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(streams_that_are_given_up)
{
	advanced_pair pair;
	std::error_code error;
	int caught = 0;

	try {
		pair.primary.send_stream(patient(), 0, 1000, [](std::uint64_t offset, hqq::bytes place) {
			return offset >= 100 ? throw thrown_by_test{1} : place.size();
		});
	} catch (const thrown_by_test &) {
		caught++;
	}
	pair.primary.send_stream(
		patient(), 0, 1000, [](std::uint64_t, hqq::bytes) { return -ENODATA; }, error);
	ck_assert_int_eq(error.value(), ENODATA);
	pair.primary.send_stream(
		patient(), 0, 1000, [](std::uint64_t, hqq::bytes) { return 0; }, error);
	ck_assert(error == hqq::errc::aborted);

	pair.primary.send_large(patient(), 0, "thrown away"sv);
	try {
		pair.secondary.receive_stream(patient(), [](const hqq::chunk &) { throw thrown_by_test{2}; });
	} catch (const thrown_by_test &e) {
		caught += e.value;
	}
	ck_assert_int_eq(caught, 3);
	pair.primary.send_large(patient(), 0, "refused"sv);
	pair.secondary.receive_stream(
		patient(), [](const hqq::chunk &) { return hqq::errc::invalid_size; }, error);
	ck_assert(error == hqq::errc::invalid_size);
}
END_TEST

/* ---- handlers ---------------------------------------------------------------------------------- */

START_TEST(an_exception_ends_serving)
{
	advanced_pair pair;
	std::error_code error;
	std::string caught;
	hqq::context context;
	int calls = 0;
	const auto handler = [&](const hqq::message_view &) {
		calls++;
		throw std::string("from the handler");
	};
	const auto serve = [&](const hqq::bound &bound) {
		try {
			pair.secondary.serve(bound, hqq::method{9, [](const hqq::message_view &) {}},
			                     hqq::method{1, handler});
		} catch (const std::string &e) {
			caught += e;
		}
	};

	for (int i = 0; i < 3; i++) {
		caught.clear();
		std::thread server([&] {
			if (i == 0)
				serve(hqq::forever);
			else if (i == 1)
				serve(patient());
			else
				serve(context);
		});

		const auto response = pair.primary.call_on(patient(), 0, 1, {});
		server.join();
		ck_assert(response.is_error());
		ck_assert(caught == "from the handler");
	}
	ck_assert_int_eq(calls, 3);
	/* the context was cancelled with it */
	ck_assert(pair.secondary.serve(context, hqq::method{1, handler}) == hqq::errc::canceled);
}
END_TEST

START_TEST(requests_behind_the_exception_are_answered)
{
	advanced_pair pair;
	std::uint64_t calls[3];
	std::atomic<int> handled = 0;
	bool caught = false;

	for (std::uint64_t &call : calls)
		call = pair.primary.call_start(patient(), 0, 1, {});
	std::thread server([&] {
		try {
			pair.secondary.serve(patient(), hqq::method{1, [&](const hqq::message_view &) {
									    handled++;
									    throw thrown_by_test{0};
								    }});
		} catch (const thrown_by_test &) {
			caught = true;
		}
		/* those that serve left in the queue are for the next one */
		const auto answer = [&](const hqq::message_view &request) {
			pair.secondary.respond_error(patient(), request, 5);
		};
		pair.secondary.serve(100ms, hqq::method{1, answer});
	});
	for (const std::uint64_t call : calls)
		ck_assert(pair.primary.call_wait(patient(), call).is_error());
	server.join();
	ck_assert(caught);
	ck_assert_int_eq(handled, 1);
}
END_TEST

int main()
{
	Suite *suite = suite_create("hqq.hpp, callbacks");
	TCase *standard = test_case(suite, "standard", 20), *advanced = test_case(suite, "advanced", 60);

	tcase_add_test(standard, callables_of_all_kinds);
	tcase_add_test(standard, what_a_callable_returns_is_the_error);
	tcase_add_test(standard, an_exception_while_reading);
	tcase_add_test(standard, an_exception_while_writing);
	tcase_add_test(advanced, a_stream_in_place);
	tcase_add_test(advanced, streams_that_are_given_up);
	tcase_add_test(advanced, an_exception_ends_serving);
	tcase_add_test(advanced, requests_behind_the_exception_are_answered);
	return test_main(suite);
}
