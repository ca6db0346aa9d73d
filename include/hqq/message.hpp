/*
 * hqq/message.hpp - messages and options of the Advanced link for C++; for hqq.hpp
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_MESSAGE_HPP
#define HQQ_MESSAGE_HPP

/* A struct and a function there have one name, as in C: to g++ the function then hides a constructor. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include <hqq/advanced.h>
#pragma GCC diagnostic pop

#include <hqq/common.hpp>

#include <memory>

namespace hqq
{

/* The members of struct hqq_advanced_options, to be set in a row */
class advanced_options
{
public:
	advanced_options &max_message_size(std::uint64_t size) noexcept
	{
		native_.max_message_size = size;
		return *this;
	}

	advanced_options &incoming_queue_size(std::size_t messages) noexcept
	{
		native_.incoming_queue_size = messages;
		return *this;
	}

	advanced_options &max_assembly_bytes(std::uint64_t size) noexcept
	{
		native_.max_assembly_bytes = size;
		return *this;
	}

	advanced_options &dispatcher(enum hqq_dispatcher dispatcher) noexcept
	{
		native_.dispatcher = dispatcher;
		return *this;
	}

	advanced_options &link(const options &options) noexcept
	{
		native_.link = *options.native();
		return *this;
	}

	const hqq_advanced_options *native() const noexcept
	{
		return &native_;
	}

private:
	hqq_advanced_options native_ = HQQ_ADVANCED_OPTIONS_INIT;
};

/* ---- messages ------------------------------------------------------------------------------------ */

/*
 * A look at a message that somebody else owns, and clears. It may be copied. A request that is put
 * aside like this can be answered after its owner is gone; its payload() is gone then.
 */
class message_view
{
public:
	message_view() noexcept = default;

	explicit message_view(const hqq_message &native) noexcept : native_(native)
	{
	}

	std::uint64_t connection_id() const noexcept
	{
		return native_.connection_id;
	}

	std::uint64_t message_id() const noexcept
	{
		return native_.message_id;
	}

	std::uint64_t method_id() const noexcept
	{
		return native_.method_id;
	}

	std::uint64_t status() const noexcept
	{
		return native_.status;
	}

	std::uint64_t flags() const noexcept
	{
		return native_.flags;
	}

	bool is_data() const noexcept
	{
		return hqq_message_is_data(&native_);
	}

	bool is_request() const noexcept
	{
		return hqq_message_is_request(&native_);
	}

	bool is_response() const noexcept
	{
		return hqq_message_is_response(&native_);
	}

	bool is_error() const noexcept
	{
		return hqq_message_is_error(&native_);
	}

	bool is_abort() const noexcept
	{
		return hqq_message_is_abort(&native_);
	}

	/* In memory of this process, which may be changed */
	bytes payload() const noexcept
	{
		return {native_.payload, native_.payload_size};
	}

	std::string_view text() const noexcept
	{
		return payload().text();
	}

	const hqq_message *native() const noexcept
	{
		return &native_;
	}

protected:
	hqq_message native_ = {};
};

/* The only owner of a message, or of none. It may outlive its link. */
class message : public message_view
{
public:
	message() noexcept = default;

	/* Takes a message over from the C interface. */
	explicit message(const hqq_message &native) noexcept : message_view(native)
	{
	}

	message(message &&other) noexcept : message_view(other.release())
	{
	}

	message &operator=(message &&other) noexcept
	{
		message old(std::move(other));

		std::swap(native_, old.native_);
		return *this;
	}

	~message()
	{
		clear();
	}

	void clear() noexcept
	{
		hqq_message_clear(&native_);
	}

	/* The message is the caller's to clear. */
	hqq_message release() noexcept
	{
		return std::exchange(native_, {});
	}
};

/* Thrown by advanced::call() for an error response, which it brings along */
class HQQ_API response_error : public error
{
public:
	explicit response_error(message &&response)
		: error(errc::response, "hqq_advanced_call"),
		  response_(std::make_shared<const message>(std::move(response)))
	{
	}

	const message &response() const noexcept
	{
		return *response_;
	}

private:
	std::shared_ptr<const message> response_; /* exceptions are copied */
};

} // namespace hqq

#endif /* HQQ_MESSAGE_HPP */
