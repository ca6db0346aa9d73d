/*
 * test_hpp.cpp - hqq.hpp: who owns what, errors as codes and as exceptions, the Standard link
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.hpp"

#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <vector>

/* ---- ownership --------------------------------------------------------------------------------- */

static_assert(!std::is_copy_constructible_v<hqq::standard> && !std::is_copy_assignable_v<hqq::standard>);
static_assert(std::is_nothrow_move_constructible_v<hqq::standard> &&
              std::is_nothrow_move_assignable_v<hqq::standard>);
static_assert(!std::is_copy_constructible_v<hqq::write_reservation>);
static_assert(!std::is_copy_constructible_v<hqq::read_reservation>);
static_assert(!std::is_convertible_v<hqq_standard *, hqq::standard>, "taking a handle over must be seen");

START_TEST(destruction_closes)
{
	const char *name = test_name("scope");

	{
		const auto link = hqq::standard::create(name, 4, 64);

		ck_assert(static_cast<bool>(link));
		ck_assert(test_name_exists(name));
		ck_assert(link.name() == name);
	}
	ck_assert(!test_name_exists(name));
}
END_TEST

START_TEST(moving_hands_the_handle_on)
{
	const char *first = test_name("first"), *second = test_name("second");
	auto a = hqq::standard::create(first, 4, 64), b = hqq::standard::create(second, 4, 64);
	hqq_standard *native = a.native();
	hqq::standard c(std::move(a));

	ck_assert(!a && !a.native());
	ck_assert(c.native() == native);
	b = std::move(c); /* closes what b had */
	ck_assert(b.native() == native && !c);
	ck_assert(!test_name_exists(second));
	ck_assert(test_name_exists(first));

	hqq::standard &same = b;
	b = std::move(same);
	ck_assert(b.native() == native);
	ck_assert_uint_eq(b.buffer_size(), 64);

	b = {};
	ck_assert(!b && !test_name_exists(first));
}
END_TEST

START_TEST(handles_are_released_and_taken_over)
{
	auto link = hqq::standard::create_fd(4, 64);
	hqq_standard *native = link.release();

	ck_assert(!link);
	ck_assert_uint_eq(hqq_standard_buffer_count(native), 4);
	hqq::standard again(native);
	again.close();
	ck_assert(!again);
	again.close(); /* of nothing, as in C */
}
END_TEST

START_TEST(an_empty_handle_is_refused)
{
	hqq::standard none;
	std::error_code error;
	char room[8];

	ck_assert_uint_eq(none.read(room, error), 0);
	ck_assert(error == hqq::errc::invalid_op);
	ck_assert(none.name().empty());
	ck_assert_uint_eq(none.buffer_size(), 0);
	ck_assert(!none.reserve_write(error));
	ck_assert(error == hqq::errc::invalid_op);
}
END_TEST

/* ---- errors ------------------------------------------------------------------------------------ */

START_TEST(codes_have_texts_and_conditions)
{
	static const struct {
		hqq::errc code;
		std::errc condition;
	} known[] = {
		{hqq::errc::memory_align, std::errc::invalid_argument},
		{hqq::errc::invalid_size, std::errc::invalid_argument},
		{hqq::errc::memory_small, std::errc::invalid_argument},
		{hqq::errc::failed_init, std::errc::timed_out},
		{hqq::errc::conn_not_found, std::errc::not_connected},
		{hqq::errc::invalid_op, std::errc::invalid_argument},
		{hqq::errc::buffer_overflow, std::errc::message_size},
		{hqq::errc::timeout, std::errc::timed_out},
		{hqq::errc::canceled, std::errc::operation_canceled},
		{hqq::errc::closed, std::errc::bad_file_descriptor},
		{hqq::errc::peer_gone, std::errc::broken_pipe},
		{hqq::errc::aborted, std::errc::connection_aborted},
		{hqq::errc::rejected, std::errc::connection_refused},
		{hqq::errc::forked, std::errc::bad_file_descriptor},
		{hqq::errc::corrupt, std::errc::bad_message},
	};

	for (const auto &one : known) {
		const std::error_code error = one.code;

		ck_assert(error == one.condition);
		ck_assert(error.category() == hqq::category());
		ck_assert(error.message() == hqq_strerror(error.value()));
		ck_assert(hqq::to_error_code(error.value()) == one.code);
	}
	ck_assert(make_error_code(hqq::errc::response).default_error_condition().category() ==
	          hqq::category());
	ck_assert_str_eq(hqq::category().name(), "hqq");
	ck_assert(!hqq::to_error_code(0) && !hqq::to_error_code(7));
	ck_assert(hqq::to_error_code(-ENOENT) == std::errc::no_such_file_or_directory);
	ck_assert(hqq::error_from_code(2) == hqq::errc::invalid_size);
	ck_assert_uint_eq(hqq::error_to_code(hqq::errc::buffer_overflow), 7);
	ck_assert_uint_eq(hqq::error_to_code(std::make_error_code(std::errc::io_error)), 6);
	ck_assert_str_eq(hqq::version_string(), hqq_version_string());
}
END_TEST

START_TEST(a_failure_is_thrown_or_stored)
{
	const char *missing = test_name("missing");
	std::error_code error;
	bool thrown = false;

	ck_assert(!hqq::standard::open(missing, 0, 0, {}, error));
	ck_assert(error == std::errc::no_such_file_or_directory);
	try {
		hqq::standard::open(missing);
	} catch (const std::system_error &e) {
		thrown = dynamic_cast<const hqq::error *>(&e) != nullptr;
		ck_assert(e.code() == error);
		ck_assert(std::strstr(e.what(), "hqq_standard_open"));
		ck_assert(std::strstr(e.what(), error.message().c_str()));
	}
	ck_assert(thrown);
}
END_TEST

START_TEST(success_clears_the_error)
{
	standard_pair pair;
	std::error_code error = hqq::errc::corrupt;

	ck_assert_uint_eq(pair.primary.write("text"sv, error), 4);
	ck_assert(!error);
}
END_TEST

/* ---- the Standard link ------------------------------------------------------------------------- */

START_TEST(messages_are_copied)
{
	standard_pair pair;
	std::error_code error;
	char room[64];

	ck_assert_uint_eq(pair.primary.write("hello, world"sv), 12);
	ck_assert_uint_eq(pair.secondary.pending(), 1);
	ck_assert_uint_eq(pair.secondary.read(hqq::bytes(room, 7)), 7);
	ck_assert_uint_eq(pair.secondary.read(room), 5);
	ck_assert(std::string_view(room, 5) == "world");
	ck_assert_uint_eq(pair.secondary.read(room, error), 0);
	ck_assert(error == std::errc::timed_out);
	ck_assert_uint_eq(pair.primary.write(std::vector<char>(65), error), 0);
	ck_assert(error == hqq::errc::buffer_overflow);
}
END_TEST

START_TEST(every_way_to_open)
{
	const std::size_t length = hqq::standard::size(4, 64);
	unsigned char *memory = test_map_memory(length);
	const char *name = test_name("open");
	const auto secondary_only =
		hqq::options().role(HQQ_ROLE_SECONDARY).wait(HQQ_WAIT_BLOCK).spin(1us).flags(HQQ_PREFAULT);
	std::error_code error;

	{
		auto first = hqq::standard::attach({memory, length}, 4, 64);
		auto second = hqq::standard::attach({memory, length}, 4, 64);

		ck_assert(first.mode() == HQQ_MODE_PRIMARY && second.mode() == HQQ_MODE_SECONDARY);
		first.write("attached"sv);
		ck_assert_uint_eq(second.pending(), 1);
	}
	test_unmap(memory, length);

	auto made = hqq::standard::create(name, 4, 64, 0640, secondary_only);
	const auto opened = hqq::standard::open(name, 0, 0, hqq::options().role(HQQ_ROLE_PRIMARY));

	ck_assert(made.mode() == HQQ_MODE_SECONDARY && opened.mode() == HQQ_MODE_PRIMARY);
	ck_assert(made.type() == HQQ_TYPE_STANDARD);
	ck_assert_int_eq(fcntl(made.fd(), F_GETFD), FD_CLOEXEC);
	hqq::standard::unlink(name);
	ck_assert(!test_name_exists(name));
	hqq::standard::unlink(name, error);
	ck_assert(error == std::errc::no_such_file_or_directory);
	ck_assert_uint_eq(hqq::standard::size(3, 64), 0);
}
END_TEST

START_TEST(what_a_handle_is_and_did)
{
	standard_pair pair;
	char room[64];
	hqq_address from = {};

	ck_assert_uint_eq(pair.primary.buffer_count(), 4);
	ck_assert_uint_eq(pair.primary.large_message_threshold(), hqq::large_message_threshold(64));
	ck_assert(pair.primary.is_large_message(65) && !pair.primary.is_large_message(64));
	ck_assert(hqq::is_large_message(64, 65));
	ck_assert_uint_eq(pair.primary.local_address().mode, HQQ_MODE_PRIMARY);
	ck_assert_uint_eq(pair.primary.write_to("datagram"sv, pair.primary.remote_address()), 8);
	ck_assert_uint_eq(pair.secondary.read_from(room, from), 8);
	ck_assert_uint_eq(from.mode, HQQ_MODE_PRIMARY);
	ck_assert_uint_eq(pair.secondary.recover(), 0);
	ck_assert_uint_eq(pair.primary.stats().sent_bytes, 8);
	ck_assert_uint_eq(pair.secondary.stats().received_messages, 1);
}
END_TEST

START_TEST(batches)
{
	standard_pair pair;
	char rooms[4][16];
	std::vector<iovec> out = {hqq::to_iovec("one"sv), hqq::to_iovec("three"sv)};
	iovec in[4];

	for (std::size_t i = 0; i < 4; i++)
		in[i] = hqq::to_iovec(hqq::bytes(rooms[i]));
	ck_assert_uint_eq(pair.primary.write_batch(out), 2);
	ck_assert_uint_eq(pair.primary.write_batch({out.data(), 1}), 1);
	ck_assert_uint_eq(pair.secondary.read_batch(in), 3);
	ck_assert_uint_eq(in[1].iov_len, 5);
	ck_assert(std::string_view(rooms[1], 5) == "three");
}
END_TEST

START_TEST(waits_are_bounded_and_interrupted)
{
	standard_pair pair(2, 8);
	std::error_code error;
	char room[8];

	pair.secondary.set_read_deadline(std::chrono::steady_clock::now() + 1ms);
	pair.secondary.read(room, error);
	ck_assert(error == hqq::errc::timeout);
	pair.primary.set_write_deadline(1ms);
	pair.primary.write("a"sv);
	pair.primary.write("b"sv);
	pair.primary.write("c"sv, error);
	ck_assert(error == hqq::errc::timeout);

	pair.secondary.set_deadline(hqq::forever);
	pair.secondary.interrupt();
	pair.secondary.read(room, error);
	ck_assert(error == std::errc::operation_canceled);
	pair.secondary.resume();
	ck_assert_uint_eq(pair.secondary.read(room), 1);
}
END_TEST

START_TEST(streams_and_descriptors)
{
	standard_pair pair;
	struct pollfd poll_in = {pair.secondary.event_fd(), POLLIN, 0};
	std::error_code error;
	char line[16];

	{
		const hqq::file out = pair.primary.stdio("w");

		ck_assert_int_gt(std::fputs("a line\n", out.get()), 0);
	}
	ck_assert_int_eq(poll(&poll_in, 1, 15000), 1);
	const hqq::file in = pair.secondary.stdio("r");
	ck_assert_str_eq(std::fgets(line, sizeof(line), in.get()), "a line\n");
	ck_assert(!pair.secondary.stdio("sideways", error));
	ck_assert(error == std::errc::invalid_argument);
}
END_TEST

/* ---- reservations ------------------------------------------------------------------------------ */

START_TEST(reservations_are_committed_and_released)
{
	standard_pair pair;
	std::error_code error;

	for (int lap = 0; lap < 6; lap++) {
		auto out = pair.primary.reserve_write();

		ck_assert_uint_eq(out.data().size(), 64);
		std::memcpy(out.data().data(), "in place", 8);
		out.commit(8);
		ck_assert(!out && out.data().empty());
		const auto in = pair.secondary.reserve_read();

		ck_assert(in.data().text() == "in place");
		ck_assert_uint_eq(in.slot(), static_cast<unsigned>(lap) % 4);
	}
	auto out = pair.primary.reserve_write();
	out.commit(65, error);
	ck_assert(error == hqq::errc::buffer_overflow && !out);
	out.commit(1, error);
	ck_assert(error == hqq::errc::invalid_op);
	out = pair.primary.reserve_write();
	out.abort(3);
	out.abort(3, error);
	ck_assert(error == hqq::errc::invalid_op);
	ck_assert_uint_eq(pair.primary.stats().tombstones, 2);
	pair.primary.write("x"sv);
	auto in = pair.secondary.reserve_read();
	in.release();
	in.release(error);
	ck_assert(error == hqq::errc::invalid_op);
	ck_assert_uint_eq(pair.secondary.pending(), 0);
}
END_TEST

START_TEST(unwinding_aborts_a_reservation)
{
	standard_pair pair(2, 64);
	std::error_code error;
	char room[64];

	for (int lap = 0; lap < 5; lap++) {
		try {
			const auto out = pair.primary.reserve_write();

			std::memcpy(out.data().data(), "unfinished", 10);
			throw lap;
		} catch (int caught) {
			ck_assert_int_eq(caught, lap);
		}
		pair.secondary.read(room, error);
		ck_assert(error == hqq::errc::timeout);
	}
	ck_assert_uint_eq(pair.primary.stats().tombstones, 5);
	pair.primary.write("whole"sv);
	ck_assert_uint_eq(pair.secondary.read(room), 5);
}
END_TEST

START_TEST(a_moved_reservation_is_finished_once)
{
	standard_pair pair;
	auto first = pair.primary.reserve_write(), second = pair.primary.reserve_write();
	char room[64];

	std::memcpy(second.data().data(), "2", 1);
	first = std::move(second); /* aborts what it held */
	ck_assert(!second);
	ck_assert_uint_eq(pair.primary.stats().tombstones, 1);
	hqq::write_reservation &same = first;
	first = std::move(same);
	hqq::write_reservation third(std::move(first));
	third.commit(1);
	ck_assert_uint_eq(pair.secondary.read(room), 1);
	ck_assert_int_eq(room[0], '2');
	ck_assert_uint_eq(pair.primary.stats().tombstones, 1);
}
END_TEST

START_TEST(a_reservation_may_outlive_its_link)
{
	standard_pair pair;
	const auto out = pair.primary.reserve_write();

	pair.primary.close();
}
END_TEST

/* ---- two processes ----------------------------------------------------------------------------- */

static int reverse(void *name)
{
	auto link = hqq::standard::open(static_cast<const char *>(name));
	std::array<char, 64> room;

	link.set_deadline(patient());
	for (int i = 0; i < 100; i++) {
		const std::size_t length = link.read(room);

		std::reverse(room.begin(), room.begin() + static_cast<std::ptrdiff_t>(length));
		MUST_EQ(link.write(hqq::const_bytes(room).first(length)), length);
	}
	return 0;
}

START_TEST(two_processes_over_a_name)
{
	const char *name = test_name("processes");
	auto link = hqq::standard::create(name, 4, 64);
	struct child child;
	std::array<char, 64> room;

	child_start(&child, reverse, const_cast<char *>(name));
	link.set_deadline(patient());
	for (int i = 0; i < 100; i++) {
		const std::string sent = "message " + std::to_string(i);

		link.write(sent);
		const std::size_t length = link.read(room);
		ck_assert(std::equal(sent.rbegin(), sent.rend(), room.begin(),
		                     room.begin() + static_cast<std::ptrdiff_t>(length)));
	}
	child_join_ok(&child);
}
END_TEST

int main()
{
	Suite *suite = suite_create("hqq.hpp");
	TCase *ownership = test_case(suite, "ownership", 20), *errors = test_case(suite, "errors", 20);
	TCase *standard = test_case(suite, "standard", 60),
	      *reservations = test_case(suite, "reservations", 20);

	tcase_add_test(ownership, destruction_closes);
	tcase_add_test(ownership, moving_hands_the_handle_on);
	tcase_add_test(ownership, handles_are_released_and_taken_over);
	tcase_add_test(ownership, an_empty_handle_is_refused);
	tcase_add_test(errors, codes_have_texts_and_conditions);
	tcase_add_test(errors, a_failure_is_thrown_or_stored);
	tcase_add_test(errors, success_clears_the_error);
	tcase_add_test(standard, messages_are_copied);
	tcase_add_test(standard, every_way_to_open);
	tcase_add_test(standard, what_a_handle_is_and_did);
	tcase_add_test(standard, batches);
	tcase_add_test(standard, waits_are_bounded_and_interrupted);
	tcase_add_test(standard, streams_and_descriptors);
	tcase_add_test(standard, two_processes_over_a_name);
	tcase_add_test(reservations, reservations_are_committed_and_released);
	tcase_add_test(reservations, unwinding_aborts_a_reservation);
	tcase_add_test(reservations, a_moved_reservation_is_finished_once);
	tcase_add_test(reservations, a_reservation_may_outlive_its_link);
	return test_main(suite);
}
