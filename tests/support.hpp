/*
 * support.hpp - support.h for the tests of hqq.hpp
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_SUPPORT_HPP
#define HQQ_TESTS_SUPPORT_HPP

#include <hqq.hpp>

#include <check.h>
#include <thread>

extern "C" {
#include "support.h"
}

using namespace std::literals;

/* For calls that must succeed: one that hangs fails its test long before the watchdog. */
inline std::chrono::seconds patient()
{
	return std::chrono::seconds(15 * test_slowness());
}

/* Both ends of a segment without a name, in this process. Every call makes one attempt. */
struct standard_pair {
	hqq::standard primary, secondary;

	explicit standard_pair(std::size_t count = 4, std::size_t size = 64)
	{
		std::error_code error;

		primary = hqq::standard::create_fd(count, size, {}, error);
		MUST_EQ(error.value(), 0);
		secondary = hqq::standard::open_fd(primary.fd(error), count, size, {}, error);
		MUST_EQ(error.value(), 0);
		primary.set_deadline(0s, error);
		MUST_EQ(error.value(), 0);
		secondary.set_deadline(0s, error);
		MUST_EQ(error.value(), 0);
	}
};

/* The same of an Advanced link, with a session. */
struct advanced_pair {
	hqq::advanced primary, secondary;

	explicit advanced_pair(const hqq::advanced_options &options = {}, std::size_t count = 8,
	                       std::size_t size = 64)
	{
		std::error_code error, accepted;

		primary = hqq::advanced::create_fd(count, size, options, error);
		MUST_EQ(error.value(), 0);
		secondary = hqq::advanced::open_fd(primary.fd(error), count, size, options, error);
		MUST_EQ(error.value(), 0);
		std::thread other([&] { secondary.wait_negotiation(patient(), accepted); });
		primary.negotiate(patient(), {1, 0}, HQQ_FEATURE_LARGE_COPY | HQQ_FEATURE_REQUEST_RESPONSE,
		                  error);
		other.join();
		MUST_EQ(error.value(), 0);
		MUST_EQ(accepted.value(), 0);
	}
};

#endif /* HQQ_TESTS_SUPPORT_HPP */
