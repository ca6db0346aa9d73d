/*
 * test_hpp_bare.cpp - hqq.hpp in a program without exceptions and run-time type information
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.hpp"

#if defined(__cpp_exceptions) || defined(__cpp_rtti)
#error "to be compiled with -fno-exceptions -fno-rtti"
#endif

#define NO_ERROR(error) MUST_EQ((error).value(), 0)

START_TEST(standard_with_codes)
{
	standard_pair pair;
	std::error_code error;
	char room[64];

	ck_assert_uint_eq(pair.primary.write("text"sv, error), 4);
	NO_ERROR(error);
	ck_assert_uint_eq(pair.secondary.read(room, error), 4);
	NO_ERROR(error);
	pair.secondary.read(room, error);
	ck_assert(error == hqq::errc::timeout && error == std::errc::timed_out);
	ck_assert(error.message() == hqq_strerror(HQQ_ERR_TIMEOUT));
	ck_assert(!hqq::standard::open(test_name("missing"), 0, 0, {}, error));
	ck_assert(error == std::errc::no_such_file_or_directory);
}
END_TEST

START_TEST(in_place_with_codes)
{
	standard_pair pair;
	std::error_code error;
	std::size_t seen = 0;

	pair.primary.write_zero_copy([](hqq::bytes room) { return room.size(); }, error);
	NO_ERROR(error);
	pair.secondary.read_zero_copy([&](hqq::const_bytes data) { seen = data.size(); }, error);
	ck_assert_uint_eq(seen, 64);
	{
		auto abandoned = pair.primary.reserve_write(error);
		auto out = pair.primary.reserve_write(error);

		out.commit(8, error);
		NO_ERROR(error);
	}
	auto in = pair.secondary.reserve_read(error);
	ck_assert_uint_eq(in.data().size(), 8);
	in.release(error);
	NO_ERROR(error);
	ck_assert_uint_eq(pair.primary.stats(error).tombstones, 1);
}
END_TEST

START_TEST(calls_with_codes)
{
	advanced_pair pair;
	hqq::context context;
	std::error_code error, reason;

	std::thread server([&] {
		reason = pair.secondary.serve(
			context,
			hqq::method{1, [&](const hqq::message_view &request) {
					    std::error_code failed;

					    if (request.payload().empty())
						    return HQQ_ERR_INVALID_SIZE;
					    pair.secondary.respond(patient(), request, 0, request.payload(),
			                                           failed);
					    NO_ERROR(failed);
					    return HQQ_ERR_INVALID_OP; /* was answered: does not matter */
				    }});
	});
	ck_assert(pair.primary.call(patient(), 1, "echo"sv, error).text() == "echo");
	NO_ERROR(error);
	ck_assert_uint_eq(pair.primary.call(patient(), 1, {}, error).status(), 2);
	ck_assert(error == hqq::errc::response);
	context.cancel();
	server.join();
	ck_assert(reason == hqq::errc::canceled);
}
END_TEST

START_TEST(streams_with_codes)
{
	advanced_pair pair;
	std::error_code sent, received;
	std::uint64_t bytes = 0;

	std::thread sender([&] {
		pair.primary.send_stream(
			patient(), 0, 5000, [](std::uint64_t, hqq::bytes place) { return place.size(); },
			sent);
	});
	pair.secondary.receive_stream(
		patient(), [&](const hqq::chunk &chunk) { bytes += chunk.data.size(); }, received);
	sender.join();
	NO_ERROR(sent);
	NO_ERROR(received);
	ck_assert_uint_eq(bytes, 5000);
}
END_TEST

int main()
{
	Suite *suite = suite_create("hqq.hpp, without exceptions");
	TCase *cases = test_case(suite, "codes", 60);

	tcase_add_test(cases, standard_with_codes);
	tcase_add_test(cases, in_place_with_codes);
	tcase_add_test(cases, calls_with_codes);
	tcase_add_test(cases, streams_with_codes);
	return test_main(suite);
}
