/*
 * hqq/common.hpp - bytes, deadlines, options and handles of the C++ interface; for hqq.hpp
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_COMMON_HPP
#define HQQ_COMMON_HPP

#include <hqq/common.h>
#include <hqq/error.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>
#if __cplusplus >= 202002L
#include <ranges>
#endif

namespace hqq
{

/* ---- bytes --------------------------------------------------------------------------------------- */

namespace detail
{

template <class Range>
using element_of = std::remove_pointer_t<decltype(std::data(std::declval<Range &>()))>;

/* Elements that are nothing but their bytes, and may be written to if Byte may. */
template <class Byte, class Element>
constexpr bool is_lent_as =
	std::is_trivially_copyable_v<Element> && !std::is_pointer_v<Element> &&
	!std::is_volatile_v<Element> && (std::is_const_v<Byte> || !std::is_const_v<Element>);

template <class Byte, class Range, class = void>
struct lends : std::false_type {
};

template <class Byte, class Range>
struct lends<Byte, Range, std::void_t<element_of<Range>, decltype(std::size(std::declval<Range &>()))>>
	: std::bool_constant<is_lent_as<Byte, element_of<Range>>> {
};

} // namespace detail

/*
 * A look at bytes that belong to somebody else, to be passed by value. Made from a pointer and a
 * size, or from anything that lies in one piece and whose elements are trivially copyable:
 * std::string_view, std::string, std::array, std::vector, std::span, a C array. Not from a string
 * literal, of which nobody can tell whether its last zero is meant: write "text"sv.
 */
template <class Byte>
class view
{
	using memory = std::conditional_t<std::is_const_v<Byte>, const void, void>;

public:
	constexpr view() noexcept = default;

	view(memory *data, std::size_t size) noexcept : data_(static_cast<Byte *>(data)), size_(size)
	{
	}

	template <class Range, std::enable_if_t<detail::lends<Byte, Range>::value &&
	                                                !std::is_same_v<std::decay_t<Range>, view>,
	                                        int> = 0>
	view(Range &&range) noexcept
		: view(static_cast<memory *>(std::data(range)), std::size(range) * sizeof(*std::data(range)))
	{
	}

	template <std::size_t N>
	view(const char (&)[N]) = delete;

	constexpr Byte *data() const noexcept
	{
		return data_;
	}

	constexpr std::size_t size() const noexcept
	{
		return size_;
	}

	constexpr bool empty() const noexcept
	{
		return size_ == 0;
	}

	constexpr Byte *begin() const noexcept
	{
		return data_;
	}

	constexpr Byte *end() const noexcept
	{
		return data_ + size_;
	}

	/* The first n of them, or all when there are fewer; and the others */
	view first(std::size_t n) const noexcept
	{
		return {data_, std::min(n, size_)};
	}

	view from(std::size_t n) const noexcept
	{
		n = std::min(n, size_);
		return {data_ + n, size_ - n};
	}

	std::string_view text() const noexcept
	{
		return {reinterpret_cast<const char *>(data_), size_};
	}

private:
	Byte *data_ = nullptr;
	std::size_t size_ = 0;
};

using bytes = view<std::byte>;
using const_bytes = view<const std::byte>;

/* The bytes of one object */
template <class Object>
auto bytes_of(Object &object) noexcept
{
	using byte = std::conditional_t<std::is_const_v<Object>, const std::byte, std::byte>;

	static_assert(detail::is_lent_as<byte, Object>, "an object that is more than its bytes");
	return view<byte>(&object, sizeof(object));
}

/* ---- deadlines ----------------------------------------------------------------------------------- */

struct forever_t {
	explicit forever_t() = default;
};

/* No deadline */
inline constexpr forever_t forever{};

/*
 * When a wait ends: a point in time of std::chrono::steady_clock (which is CLOCK_MONOTONIC), a
 * duration from now, or hqq::forever. One that has passed already still lets a call make an attempt.
 * What is too far away for the system's types, like time_point::max(), is forever.
 */
class deadline
{
	using clock = std::chrono::steady_clock;

public:
	deadline(forever_t) noexcept
	{
	}

	template <class Rep, class Period>
	deadline(std::chrono::duration<Rep, Period> timeout)
	{
		if (is_near(timeout))
			set(clock::now().time_since_epoch() +
			    std::chrono::ceil<std::chrono::nanoseconds>(std::max(timeout, timeout.zero())));
	}

	template <class Duration>
	deadline(std::chrono::time_point<clock, Duration> when)
	{
		if (is_near(when.time_since_epoch()))
			set(std::chrono::ceil<std::chrono::nanoseconds>(
				std::max(when.time_since_epoch(), Duration::zero())));
	}

	/* As the C interface has it: NULL for none */
	const timespec *native() const noexcept
	{
		return is_set_ ? &when_ : nullptr;
	}

private:
	/* Nanoseconds in 64 bits reach for 292 years */
	template <class Duration>
	static bool is_near(Duration duration)
	{
		return std::chrono::duration<double>(duration).count() <
		       std::min(9.0e9, static_cast<double>(std::numeric_limits<time_t>::max()));
	}

	void set(std::chrono::nanoseconds since)
	{
		const auto whole = std::chrono::floor<std::chrono::seconds>(since);

		if (!is_near(since))
			return;
		when_.tv_sec = static_cast<time_t>(whole.count());
		when_.tv_nsec = static_cast<long>((since - whole).count());
		is_set_ = true;
	}

	timespec when_ = {};
	bool is_set_ = false;
};

/*
 * What bounds calls and can cancel them, see hqq_context(3). It stays where it is and must outlive
 * the calls that use it. All of it may be called from any thread, and cancel() from a signal handler,
 * too; but reset() only while no call uses it.
 */
class context
{
public:
	context() noexcept = default;

	explicit context(const deadline &when) noexcept
	{
		set_deadline(when);
	}

	context(const context &) = delete;
	context &operator=(const context &) = delete;

	/* A duration does what hqq_context_set_timeout() does, hqq::forever takes the deadline away. */
	void set_deadline(const deadline &when) noexcept
	{
		hqq_context_set_deadline(&native_, when.native());
	}

	void cancel() noexcept
	{
		hqq_context_cancel(&native_);
	}

	void reset() noexcept
	{
		hqq_context_reset(&native_);
	}

	hqq_context *native() noexcept
	{
		return &native_;
	}

private:
	hqq_context native_ = HQQ_CONTEXT_INIT;
};

/* How a call of an Advanced link is bounded: by a context, or by anything that makes a deadline. */
class bound
{
public:
	bound(context &context) noexcept : native_(context.native())
	{
	}

	bound(const deadline &when) noexcept : own_(when), native_(when.native() ? own_.native() : nullptr)
	{
	}

	template <class When, std::enable_if_t<std::is_convertible_v<const When &, deadline>, int> = 0>
	bound(const When &when) : bound(static_cast<const deadline &>(when))
	{
	}

	bound(const bound &) = delete;
	bound &operator=(const bound &) = delete;

	/* As the C interface has it: NULL to wait for ever */
	hqq_context *native() const noexcept
	{
		return native_;
	}

private:
	context own_;
	hqq_context *native_;
};

/* ---- options ------------------------------------------------------------------------------------- */

/* The members of struct hqq_options, to be set in a row: options().role(...).flags(...) */
class options
{
public:
	options &role(enum hqq_role role) noexcept
	{
		native_.role = role;
		return *this;
	}

	options &wait(enum hqq_wait wait) noexcept
	{
		native_.wait = wait;
		return *this;
	}

	/* HQQ_REPLACE_STALE | ...: all of them at once */
	options &flags(std::uint64_t flags) noexcept
	{
		native_.flags = flags;
		return *this;
	}

	/* How long HQQ_WAIT_ADAPTIVE spins, at most; 0 = the library's choice */
	options &spin(std::chrono::nanoseconds spin) noexcept
	{
		native_.spin_ns = static_cast<std::uint64_t>(std::max(spin, spin.zero()).count());
		return *this;
	}

	const hqq_options *native() const noexcept
	{
		return &native_;
	}

private:
	hqq_options native_ = HQQ_OPTIONS_INIT;
};

/* ---- handles ------------------------------------------------------------------------------------- */

namespace detail
{

/* The only owner of a handle, or of none */
template <class Native, int (*Close)(Native *)>
class handle
{
public:
	handle() noexcept = default;

	/* Takes a handle over from the C interface. */
	explicit handle(Native *native) noexcept : native_(native)
	{
	}

	handle(handle &&other) noexcept : native_(other.release())
	{
	}

	handle &operator=(handle &&other) noexcept
	{
		handle old(std::move(other)); /* and when other is *this, it goes there and back */

		std::swap(native_, old.native_);
		return *this;
	}

	~handle()
	{
		Close(native_);
	}

	/* As the destructor does it, for those who want to know what became of it; empty afterwards */
	void close(on_error error = {})
	{
		error.check(Close(release()), "close");
	}

	explicit operator bool() const noexcept
	{
		return native_ != nullptr;
	}

	/* For the C interface: the handle stays ours, or is the caller's to close. */
	Native *native() const noexcept
	{
		return native_;
	}

	Native *release() noexcept
	{
		return std::exchange(native_, nullptr);
	}

private:
	Native *native_ = nullptr;
};

} // namespace detail

} // namespace hqq

#if defined(__cpp_lib_ranges)
/* A view outlives nothing, so std::span and the like may be made of one that is passing by. */
template <class Byte>
inline constexpr bool std::ranges::enable_borrowed_range<hqq::view<Byte>> = true;
#endif

#endif /* HQQ_COMMON_HPP */
