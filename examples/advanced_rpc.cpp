/*
 * advanced_rpc.cpp - a server and a client in C++, by hqq.hpp
 *
 * usage: advanced_rpc server NAME | client NAME TEXT
 *
 * The server makes the link NAME, answers one client, and ends when that has left.
 *
 * SPDX-License-Identifier: MIT
 */
#include <hqq.hpp>

#include <algorithm>
#include <cctype>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

static constexpr std::uint64_t upper = 1; /* a method: text in, capitals out */

static void serve(const char *name)
{
	auto link = hqq::advanced::create(name, 16, 4096);
	const auto answer = [&link](const hqq::message_view &request) {
		std::string text(request.text());

		std::transform(text.begin(), text.end(), text.begin(),
		               [](unsigned char c) { return std::toupper(c); });
		link.respond(hqq::forever, request, 0, text);
	};

	link.wait_negotiation(hqq::forever);
	const std::error_code end = link.serve(hqq::forever, hqq::method{upper, answer});
	std::cout << "server: " << end.message() << '\n';
}

static void ask(const char *name, std::string_view text)
{
	auto link = hqq::advanced::open(name);

	link.negotiate(10s, {1, 0}, HQQ_FEATURE_REQUEST_RESPONSE);
	std::cout << link.call(10s, upper, text).text() << '\n';
}

int main(int argc, char **argv)
{
	const std::string_view role = argc > 1 ? argv[1] : "";

	try {
		if (role == "server" && argc == 3)
			serve(argv[2]);
		else if (role == "client" && argc == 4)
			ask(argv[2], argv[3]);
		else
			return std::cerr << "usage: advanced_rpc server NAME | client NAME TEXT\n", 2;
	} catch (const std::exception &e) {
		std::cerr << role << ": " << e.what() << '\n';
		return 1;
	}
	return 0;
}
