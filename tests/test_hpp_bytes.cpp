/*
 * test_hpp_bytes.cpp - hqq.hpp: what makes bytes, with std::span where there is one; deadlines
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.hpp"

#include <array>
#include <list>
#include <vector>
#if defined(__cpp_lib_span)
#include <span>
#endif

template <class From, class To>
constexpr bool converts = std::is_convertible_v<From, To>;

static_assert(converts<hqq::bytes, hqq::const_bytes> && !converts<hqq::const_bytes, hqq::bytes>);
static_assert(converts<char (&)[4], hqq::bytes> && converts<char (&)[4], hqq::const_bytes>);
static_assert(converts<const int (&)[4], hqq::const_bytes> && !converts<const int (&)[4], hqq::bytes>);
static_assert(!converts<const char (&)[4], hqq::const_bytes>, "a string literal says too little");
static_assert(converts<std::string_view, hqq::const_bytes> && !converts<std::string_view, hqq::bytes>);
static_assert(converts<std::string &, hqq::bytes> && !converts<const std::string &, hqq::bytes>);
static_assert(converts<std::vector<int> &, hqq::bytes> && converts<std::array<double, 2> &, hqq::bytes>);
static_assert(!converts<std::vector<std::string> &, hqq::const_bytes>, "more than its bytes");
static_assert(!converts<std::vector<const char *> &, hqq::const_bytes>, "pointers mean nothing elsewhere");
static_assert(!converts<std::list<int> &, hqq::const_bytes> && !converts<int, hqq::const_bytes>);
static_assert(!converts<std::vector<bool> &, hqq::const_bytes>);

START_TEST(bytes_are_those_of_their_owner)
{
	std::vector<std::uint32_t> numbers = {1, 2, 3};
	const std::array<std::uint16_t, 5> constant = {};
	char text[] = "text";
	std::uint64_t object = 0;
	const hqq::bytes all = numbers;
	const hqq::const_bytes view = all;

	ck_assert_ptr_eq(all.data(), numbers.data());
	ck_assert_uint_eq(all.size(), 12);
	ck_assert_ptr_eq(view.data(), all.data());
	ck_assert_int_eq(all.end() - all.begin(), 12);
	ck_assert_uint_eq(hqq::const_bytes(constant).size(), 10);
	ck_assert_uint_eq(hqq::bytes(text).size(), 5);
	ck_assert(hqq::const_bytes("text"sv).text() == "text");
	ck_assert(hqq::const_bytes("text"sv).first(2).text() == "te");
	ck_assert_uint_eq(all.first(13).size(), 12);
	ck_assert(hqq::const_bytes("text"sv).from(3).text() == "t");
	ck_assert(all.from(13).empty());
	ck_assert(hqq::bytes().empty() && !hqq::bytes().data());
	hqq::bytes_of(object).data()[0] = std::byte{1};
	ck_assert_uint_ne(object, 0);
	ck_assert_uint_eq(hqq::bytes_of(std::as_const(object)).size(), 8);
}
END_TEST

START_TEST(numbers_travel)
{
	standard_pair pair;
	const std::array<double, 3> sent = {1.5, -2.25, 1e300};
	std::array<double, 3> got = {};
	std::uint64_t count = 3;

	pair.primary.write(sent);
	ck_assert_uint_eq(pair.secondary.read(got), sizeof(got));
	ck_assert(got == sent);
	pair.primary.write(hqq::bytes_of(count));
	count = 0;
	pair.secondary.read(hqq::bytes_of(count));
	ck_assert_uint_eq(count, 3);
}
END_TEST

START_TEST(spans_both_ways)
{
#if defined(__cpp_lib_span)
	standard_pair pair;
	std::vector<int> numbers = {1, 2, 3}, got(3);
	const std::span<int> part = std::span(numbers).subspan(1);

	static_assert(converts<std::span<int>, hqq::bytes> &&
	              converts<std::span<const int>, hqq::const_bytes>);
	static_assert(!converts<std::span<const int>, hqq::bytes>);
	static_assert(converts<hqq::bytes, std::span<std::byte>> &&
	              converts<hqq::const_bytes, std::span<const std::byte>>);
	static_assert(std::ranges::borrowed_range<hqq::bytes> &&
	              std::ranges::contiguous_range<hqq::const_bytes>);
	ck_assert_uint_eq(pair.primary.write(part), 8);
	ck_assert_uint_eq(pair.secondary.read(std::span(got)), 8);
	ck_assert_int_eq(got[0], 2);
	ck_assert_int_eq(got[1], 3);
	const std::span<std::byte> seen = hqq::bytes(got);
	ck_assert_uint_eq(seen.size(), 12);
#else
	test_skip("this C++ compiler has no std::span");
#endif
}
END_TEST

/* ---- deadlines --------------------------------------------------------------------------------- */

using clock_type = std::chrono::steady_clock;

static std::chrono::nanoseconds since(const hqq::deadline &when)
{
	MUST(when.native());
	return std::chrono::seconds(when.native()->tv_sec) + std::chrono::nanoseconds(when.native()->tv_nsec);
}

START_TEST(points_in_time_are_kept)
{
	const auto now = clock_type::now();
	const auto millis = std::chrono::floor<std::chrono::milliseconds>(now);

	ck_assert(since(now) == now.time_since_epoch());
	ck_assert(since(millis) == millis.time_since_epoch());
	ck_assert(since(clock_type::time_point(-5s)) == 0ns);
	ck_assert(since(clock_type::time_point::min()) == 0ns);
	ck_assert(!hqq::deadline(clock_type::time_point::max()).native());
	ck_assert(!hqq::deadline(hqq::forever).native());
}
END_TEST

START_TEST(durations_begin_now)
{
	const auto before = clock_type::now().time_since_epoch();
	const auto in_a_minute = since(1min), at_once = since(0s), past = since(-1h), half = since(500ms);
	const auto fraction = since(std::chrono::duration<double>(1.5));
	const auto after = clock_type::now().time_since_epoch();

	ck_assert(before + 1min <= in_a_minute && in_a_minute <= after + 1min);
	ck_assert(before <= at_once && at_once <= after);
	ck_assert(before <= past && past <= after);
	ck_assert(before + 500ms <= half && half <= after + 500ms);
	ck_assert(before + 1500ms <= fraction && fraction <= after + 1500ms);
	ck_assert(!hqq::deadline(std::chrono::hours::max()).native());
	ck_assert(!hqq::deadline(std::chrono::nanoseconds::max()).native());
	ck_assert(!hqq::deadline(std::chrono::duration<double>(1e30)).native());
	ck_assert(since(std::chrono::hours::min()) >= before);
}
END_TEST

START_TEST(bounds_are_contexts)
{
	hqq::context context(clock_type::now());
	const hqq::bound by_context(context), by_time(1s), never(hqq::forever),
		far(clock_type::time_point::max());

	ck_assert_ptr_eq(by_context.native(), context.native());
	ck_assert_ptr_nonnull(by_time.native());
	ck_assert_ptr_null(never.native());
	ck_assert_ptr_null(far.native());
}
END_TEST

int main()
{
	Suite *suite = suite_create("hqq.hpp, bytes");
	TCase *bytes = test_case(suite, "bytes", 20), *deadlines = test_case(suite, "deadlines", 20);

	tcase_add_test(bytes, bytes_are_those_of_their_owner);
	tcase_add_test(bytes, numbers_travel);
	tcase_add_test(bytes, spans_both_ways);
	tcase_add_test(deadlines, points_in_time_are_kept);
	tcase_add_test(deadlines, durations_begin_now);
	tcase_add_test(deadlines, bounds_are_contexts);
	return test_main(suite);
}
