/*
 * hqq/error.hpp - errors and callbacks of the C++ interface; for hqq.hpp
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_ERROR_HPP
#define HQQ_ERROR_HPP

#include <hqq/common.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace hqq
{

/* ---- errors -------------------------------------------------------------------------------------- */

/* The library's own codes. What the system refused has a code of std::system_category(). */
enum class errc {
	memory_align = HQQ_ERR_MEMORY_ALIGN,
	invalid_size = HQQ_ERR_INVALID_SIZE,
	memory_small = HQQ_ERR_MEMORY_SMALL,
	failed_init = HQQ_ERR_FAILED_INIT,
	conn_not_found = HQQ_ERR_CONN_NOT_FOUND,
	invalid_op = HQQ_ERR_INVALID_OP,
	buffer_overflow = HQQ_ERR_BUFFER_OVERFLOW,
	timeout = HQQ_ERR_TIMEOUT,
	canceled = HQQ_ERR_CANCELED,
	closed = HQQ_ERR_CLOSED,
	peer_gone = HQQ_ERR_PEER_GONE,
	aborted = HQQ_ERR_ABORTED,
	response = HQQ_ERR_RESPONSE,
	rejected = HQQ_ERR_REJECTED,
	forked = HQQ_ERR_FORKED,
	corrupt = HQQ_ERR_CORRUPT
};

namespace detail
{

class HQQ_API error_category final : public std::error_category
{
public:
	const char *name() const noexcept override
	{
		return "hqq";
	}

	std::string message(int value) const override
	{
		return hqq_strerror(value);
	}

	/* So that a code compares equal to what the system has for such a thing */
	std::error_condition default_error_condition(int value) const noexcept override
	{
		switch (static_cast<errc>(value)) {
		case errc::memory_align:
		case errc::invalid_size:
		case errc::memory_small:
		case errc::invalid_op: return std::errc::invalid_argument;
		case errc::conn_not_found: return std::errc::not_connected;
		case errc::buffer_overflow: return std::errc::message_size;
		case errc::failed_init:
		case errc::timeout: return std::errc::timed_out;
		case errc::canceled: return std::errc::operation_canceled;
		case errc::closed:
		case errc::forked: return std::errc::bad_file_descriptor;
		case errc::peer_gone: return std::errc::broken_pipe;
		case errc::aborted: return std::errc::connection_aborted;
		case errc::rejected: return std::errc::connection_refused;
		case errc::corrupt: return std::errc::bad_message;
		case errc::response: break;
		}
		return {value, *this};
	}
};

} // namespace detail

HQQ_API inline const std::error_category &category() noexcept
{
	static const detail::error_category instance;

	return instance;
}

inline std::error_code make_error_code(errc code) noexcept
{
	return {static_cast<int>(code), category()};
}

/* What a function of the C interface returned: no error for 0 and above. */
inline std::error_code to_error_code(ssize_t returned) noexcept
{
	const int value = static_cast<int>(std::max<ssize_t>(returned, std::numeric_limits<int>::min()));

	if (returned >= 0)
		return {};
	return value <= HQQ_ERR_MEMORY_ALIGN ? std::error_code(value, category())
	                                     : std::error_code(-value, std::system_category());
}

/* Protocol codes, as in hqq_error_from_code() and hqq_error_to_code() */
inline std::error_code error_from_code(std::uint64_t code) noexcept
{
	return to_error_code(hqq_error_from_code(code));
}

inline std::uint64_t error_to_code(const std::error_code &error) noexcept
{
	return hqq_error_to_code(error.category() == category() ? error.value() : -error.value());
}

inline const char *version_string() noexcept
{
	return hqq_version_string();
}

/* What is thrown: code() says what went wrong, what() also which function of the C interface said so. */
class HQQ_API error : public std::system_error
{
public:
	using std::system_error::system_error;
};

/*
 * The last parameter of every function that may fail: where its error goes. A std::error_code as the
 * last argument receives it, or is cleared. Without one hqq::error is thrown; in programs that are
 * compiled without exceptions this is refused by the compiler, or else by the linker.
 */
class on_error
{
public:
#if defined(__cpp_exceptions)
	on_error() noexcept = default;
#else
#if defined(__has_cpp_attribute) && __has_cpp_attribute(gnu::error)
	[[gnu::error("without exceptions, the last argument must be a std::error_code")]]
#endif
	on_error();
#endif

	on_error(std::error_code &code) noexcept : code_(&code)
	{
	}

	/* For what the C function of that name returned */
	void check(ssize_t returned, const char *function) const
	{
		if (code_)
			*code_ = to_error_code(returned);
#if defined(__cpp_exceptions)
		else if (returned < 0)
			throw error(to_error_code(returned), function);
#else
		(void)function;
#endif
	}

	/* The same where it is a number of bytes or other things; 0 on failure */
	std::size_t count(ssize_t returned, const char *function) const
	{
		check(returned, function);
		return returned < 0 ? 0 : static_cast<std::size_t>(returned);
	}

	bool throws() const noexcept
	{
		return !code_;
	}

private:
	std::error_code *code_ = nullptr;
};

/* ---- callbacks ----------------------------------------------------------------------------------- */

namespace detail
{

/* With exceptions and without they are different classes, so that a program may have both. */
template <bool Exceptions>
class thrown;

#if defined(__cpp_exceptions)
/* An exception that a callback threw: it waits here while the frames of C return. */
template <>
class thrown<true>
{
public:
	template <class Function>
	ssize_t guard(Function &&function) noexcept
	{
		try {
			return function();
		} catch (...) {
			exception_ = std::current_exception();
			return HQQ_ERR_CANCELED;
		}
	}

	bool any() const noexcept
	{
		return exception_ != nullptr;
	}

	void rethrow() const
	{
		if (exception_)
			std::rethrow_exception(exception_);
	}

private:
	std::exception_ptr exception_;
};

using thrown_here = thrown<true>;
#else
template <>
class thrown<false>
{
public:
	template <class Function>
	ssize_t guard(Function &&function) noexcept
	{
		return function();
	}

	bool any() const noexcept
	{
		return false;
	}

	void rethrow() const noexcept
	{
	}
};

using thrown_here = thrown<false>;
#endif

/* The argument of a C callback: a callable, and where to put what it throws. Both live in the caller. */
template <class Function, class Thrown = thrown_here>
class callback
{
public:
	callback(Function &function, Thrown &thrown) noexcept : function_(function), thrown_(thrown)
	{
	}

	/* What a C callback returns: a count or a negative code; 0 when the callable returns nothing. */
	template <class... Arguments>
	ssize_t operator()(Arguments &&...arguments) noexcept
	{
		using result = std::invoke_result_t<Function &, Arguments...>;

		return thrown_.guard([&]() -> ssize_t {
			if constexpr (std::is_void_v<result>) {
				function_(std::forward<Arguments>(arguments)...);
				return 0;
			} else {
				return to_count(function_(std::forward<Arguments>(arguments)...));
			}
		});
	}

	/* The same for a callback that returns an int, of which only the sign and the code matter */
	template <class... Arguments>
	int code(Arguments &&...arguments) noexcept
	{
		const ssize_t returned = (*this)(std::forward<Arguments>(arguments)...);

		return returned < 0 ? static_cast<int>(
					      std::max<ssize_t>(returned, std::numeric_limits<int>::min()))
		                    : 0;
	}

private:
	template <class Result>
	static ssize_t to_count(Result result) noexcept
	{
		static_assert((std::is_integral_v<Result> && !std::is_same_v<Result, bool>) ||
		                      std::is_same_v<Result, errc> || std::is_same_v<Result, enum hqq_error>,
		              "a callback returns a number, an error, or nothing");
		static_assert(sizeof(Result) <= sizeof(ssize_t),
		              "a callback returns a number that is too wide");
		if constexpr (std::is_unsigned_v<Result>) {
			if (result > static_cast<std::size_t>(std::numeric_limits<ssize_t>::max()))
				return HQQ_ERR_BUFFER_OVERFLOW;
		}
		return static_cast<ssize_t>(result);
	}

	Function &function_;
	Thrown &thrown_;
};

} // namespace detail

} // namespace hqq

namespace std
{

template <>
struct is_error_code_enum<hqq::errc> : true_type {
};

} // namespace std

#endif /* HQQ_ERROR_HPP */
