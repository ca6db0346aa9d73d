/*
 * hqq/standard.hpp - the Standard link for C++; for hqq.hpp
 *
 * As with the functions of hqq/standard.h, everything may be called from any thread at any time, on
 * the same object too; but an object may be moved, assigned to, closed or destroyed only while no
 * other thread uses it. A reservation belongs to one thread at a time.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_STANDARD_HPP
#define HQQ_STANDARD_HPP

#include <hqq/common.hpp>
#include <hqq/standard.h>

#include <cerrno>
#include <cstdio>
#include <memory>

namespace hqq
{

inline std::size_t large_message_threshold(std::size_t buffer_size) noexcept
{
	return hqq_large_message_threshold(buffer_size);
}

inline bool is_large_message(std::size_t buffer_size, std::size_t payload_size) noexcept
{
	return hqq_is_large_message(buffer_size, payload_size);
}

namespace detail
{

inline int abandon(hqq_reservation *reservation) noexcept
{
	return hqq_standard_abort(reservation, 0);
}

/* The only owner of a reservation, or of none; Finish is what its end does. */
template <class Byte, int (*Finish)(hqq_reservation *)>
class reservation
{
public:
	reservation() noexcept = default;

	reservation(reservation &&other) noexcept : native_(std::exchange(other.native_, {}))
	{
	}

	reservation &operator=(reservation &&other) noexcept
	{
		reservation old(std::move(other));

		std::swap(native_, old.native_);
		return *this;
	}

	~reservation()
	{
		Finish(&native_);
	}

	explicit operator bool() const noexcept
	{
		return native_.data != nullptr;
	}

	/* The room, or the message, in memory that the peer can change; empty when it is finished */
	view<Byte> data() const noexcept
	{
		return {native_.data, native_.size};
	}

	std::uint64_t slot() const noexcept
	{
		return native_.slot;
	}

	/* For the C interface; still ours */
	hqq_reservation *native() noexcept
	{
		return &native_;
	}

private:
	hqq_reservation native_ = {};
};

} // namespace detail

/*
 * A slot to be written in place; standard::reserve_write() makes it. Destroyed before it was
 * committed it is aborted, and readers see nothing of it. A reservation is for the lifetime of its
 * link, which finishes it when it is closed.
 */
class write_reservation : public detail::reservation<std::byte, detail::abandon>
{
public:
	/* Sends the first size bytes as one message. Whatever the outcome, the reservation is finished. */
	void commit(std::size_t size, on_error error = {})
	{
		write_reservation ended(std::move(*this));

		error.check(hqq_standard_commit(ended.native(), size), "hqq_standard_commit");
	}

	void abort(std::uint64_t code = 0, on_error error = {})
	{
		write_reservation ended(std::move(*this));

		error.check(hqq_standard_abort(ended.native(), code), "hqq_standard_abort");
	}
};

/* A message to be read in place; standard::reserve_read() makes it. Released when it is destroyed. */
class read_reservation : public detail::reservation<const std::byte, hqq_standard_release>
{
public:
	/* Gives the slot back. */
	void release(on_error error = {})
	{
		read_reservation ended(std::move(*this));

		error.check(hqq_standard_release(ended.native()), "hqq_standard_release");
	}
};

/* An element of a batch: what is to be sent, or the room for what is received */
inline iovec to_iovec(const_bytes message) noexcept
{
	return {const_cast<std::byte *>(message.data()), message.size()};
}

inline iovec to_iovec(bytes room) noexcept
{
	return {room.data(), room.size()};
}

/* A look at an array of them: std::array, std::vector, a C array, or a pointer and a count */
class batch
{
public:
	batch(iovec *messages, std::size_t count) noexcept : messages_(messages), count_(count)
	{
	}

	template <
		class Range,
		std::enable_if_t<std::is_convertible_v<decltype(std::data(std::declval<Range &>())), iovec *>,
	                         int> = 0>
	batch(Range &&messages) noexcept : batch(std::data(messages), std::size(messages))
	{
	}

	iovec *data() const noexcept
	{
		return messages_;
	}

	std::size_t size() const noexcept
	{
		return count_;
	}

private:
	iovec *messages_;
	std::size_t count_;
};

namespace detail
{

struct close_file {
	void operator()(std::FILE *stream) const noexcept
	{
		std::fclose(stream);
	}
};

} // namespace detail

/* A stdio stream, closed when it is destroyed; std::fflush() first tells whether all of it was sent. */
using file = std::unique_ptr<std::FILE, detail::close_file>;

/* One endpoint on a segment, closed when it is destroyed; or none, as when it was moved from. */
class standard : public detail::handle<hqq_standard, hqq_standard_close>
{
public:
	using handle::handle;

	/* The length of a segment in bytes, 0 when there is no such */
	static std::size_t size(std::size_t buffer_count, std::size_t buffer_size) noexcept
	{
		return hqq_standard_size(buffer_count, buffer_size);
	}

	/* ---- opening; on failure the result is empty */

	/* The memory stays the caller's and must outlive the link. */
	static standard attach(bytes memory, std::size_t buffer_count, std::size_t buffer_size,
	                       const options &options = {}, on_error error = {})
	{
		hqq_standard *made = nullptr;

		error.check(hqq_standard_attach(&made, memory.data(), memory.size(), buffer_count,
		                                buffer_size, options.native()),
		            "hqq_standard_attach");
		return standard(made);
	}

	static standard create(const char *name, std::size_t buffer_count, std::size_t buffer_size,
	                       mode_t mode = 0600, const options &options = {}, on_error error = {})
	{
		hqq_standard *made = nullptr;

		error.check(
			hqq_standard_create(&made, name, buffer_count, buffer_size, mode, options.native()),
			"hqq_standard_create");
		return standard(made);
	}

	static standard open(const char *name, std::size_t buffer_count = 0, std::size_t buffer_size = 0,
	                     const options &options = {}, on_error error = {})
	{
		hqq_standard *made = nullptr;

		error.check(hqq_standard_open(&made, name, buffer_count, buffer_size, options.native()),
		            "hqq_standard_open");
		return standard(made);
	}

	static standard create_fd(std::size_t buffer_count, std::size_t buffer_size,
	                          const options &options = {}, on_error error = {})
	{
		hqq_standard *made = nullptr;

		error.check(hqq_standard_create_fd(&made, buffer_count, buffer_size, options.native()),
		            "hqq_standard_create_fd");
		return standard(made);
	}

	/* The descriptor stays the caller's. */
	static standard open_fd(int fd, std::size_t buffer_count = 0, std::size_t buffer_size = 0,
	                        const options &options = {}, on_error error = {})
	{
		hqq_standard *made = nullptr;

		error.check(hqq_standard_open_fd(&made, fd, buffer_count, buffer_size, options.native()),
		            "hqq_standard_open_fd");
		return standard(made);
	}

	static void unlink(const char *name, on_error error = {})
	{
		error.check(hqq_standard_unlink(name), "hqq_standard_unlink");
	}

	/* ---- copying; both return the bytes copied */

	std::size_t read(bytes room, on_error error = {})
	{
		return error.count(hqq_standard_read(native(), room.data(), room.size()),
		                   "hqq_standard_read");
	}

	std::size_t write(const_bytes message, on_error error = {})
	{
		return error.count(hqq_standard_write(native(), message.data(), message.size()),
		                   "hqq_standard_write");
	}

	/*
	 * ---- in place, in a callable. What it throws is thrown again when the slot is finished, whatever
	 * was said about errors.
	 */

	/* function(const_bytes): a negative number that it returns is the error. Returns the bytes read. */
	template <class Function>
	std::size_t read_zero_copy(Function &&function, on_error error = {})
	{
		detail::thrown_here thrown;
		detail::callback<std::remove_reference_t<Function>> callback(function, thrown);
		const ssize_t rc = hqq_standard_read_zero_copy(
			native(),
			[](const void *data, std::size_t length, void *argument) {
				return static_cast<decltype(callback) *>(argument)->code(
					const_bytes(data, length));
			},
			&callback);

		thrown.rethrow();
		return error.count(rc, "hqq_standard_read_zero_copy");
	}

	/* function(bytes): returns how many of them to send; anything but 1 to size() sends nothing. */
	template <class Function>
	std::size_t write_zero_copy(Function &&function, on_error error = {})
	{
		detail::thrown_here thrown;
		detail::callback<std::remove_reference_t<Function>> callback(function, thrown);
		const ssize_t rc = hqq_standard_write_zero_copy(
			native(),
			[](void *data, std::size_t capacity, void *argument) {
				return (*static_cast<decltype(callback) *>(argument))(bytes(data, capacity));
			},
			&callback);

		thrown.rethrow();
		return error.count(rc, "hqq_standard_write_zero_copy");
	}

	/* ---- in place, with a slot held for longer; on failure the result is empty */

	write_reservation reserve_write(on_error error = {})
	{
		write_reservation reservation;
		const int rc = hqq_standard_reserve_write(native(), reservation.native());

		error.check(rc, "hqq_standard_reserve_write");
		return reservation;
	}

	read_reservation reserve_read(on_error error = {})
	{
		read_reservation reservation;
		const int rc = hqq_standard_reserve_read(native(), reservation.native());

		error.check(rc, "hqq_standard_reserve_read");
		return reservation;
	}

	/* ---- batches; both return how many messages, and reading changes the iov_len of as many */

	std::size_t write_batch(batch messages, on_error error = {})
	{
		return error.count(hqq_standard_write_batch(native(), messages.data(), messages.size()),
		                   "hqq_standard_write_batch");
	}

	std::size_t read_batch(batch messages, on_error error = {})
	{
		return error.count(hqq_standard_read_batch(native(), messages.data(), messages.size()),
		                   "hqq_standard_read_batch");
	}

	/* ---- bounding the waits of the handle */

	void set_deadline(const deadline &when, on_error error = {})
	{
		error.check(hqq_standard_set_deadline(native(), when.native()), "hqq_standard_set_deadline");
	}

	void set_read_deadline(const deadline &when, on_error error = {})
	{
		error.check(hqq_standard_set_read_deadline(native(), when.native()),
		            "hqq_standard_set_read_deadline");
	}

	void set_write_deadline(const deadline &when, on_error error = {})
	{
		error.check(hqq_standard_set_write_deadline(native(), when.native()),
		            "hqq_standard_set_write_deadline");
	}

	void interrupt(on_error error = {})
	{
		error.check(hqq_standard_interrupt(native()), "hqq_standard_interrupt");
	}

	void resume(on_error error = {})
	{
		error.check(hqq_standard_resume(native()), "hqq_standard_resume");
	}

	/* Looks for endpoints that died; returns the slots mended. */
	std::size_t recover(on_error error = {})
	{
		return error.count(hqq_standard_recover(native()), "hqq_standard_recover");
	}

	/* ---- datagram style */

	std::size_t read_from(bytes room, hqq_address &from, on_error error = {})
	{
		return error.count(hqq_standard_read_from(native(), room.data(), room.size(), &from),
		                   "hqq_standard_read_from");
	}

	std::size_t write_to(const_bytes message, const hqq_address &to, on_error error = {})
	{
		return error.count(hqq_standard_write_to(native(), message.data(), message.size(), &to),
		                   "hqq_standard_write_to");
	}

	hqq_address local_address(on_error error = {}) const
	{
		hqq_address address = {};

		error.check(hqq_standard_local_address(native(), &address), "hqq_standard_local_address");
		return address;
	}

	hqq_address remote_address(on_error error = {}) const
	{
		hqq_address address = {};

		error.check(hqq_standard_remote_address(native(), &address), "hqq_standard_remote_address");
		return address;
	}

	/* ---- what the handle is and did */

	/* These descriptors belong to the handle. */
	int fd(on_error error = {}) const
	{
		const int rc = hqq_standard_fd(native());

		error.check(rc, "hqq_standard_fd");
		return rc;
	}

	int event_fd(on_error error = {})
	{
		const int rc = hqq_standard_event_fd(native());

		error.check(rc, "hqq_standard_event_fd");
		return rc;
	}

	/* A stream over the link, to be destroyed before it */
	file stdio(const char *mode, on_error error = {})
	{
		file stream(hqq_standard_stdio(native(), mode));

		error.check(stream ? 0 : -errno, "hqq_standard_stdio");
		return stream;
	}

	enum hqq_mode mode(on_error error = {}) const
	{
		return static_cast<enum hqq_mode>(
			error.count(hqq_standard_mode(native()), "hqq_standard_mode"));
	}

	enum hqq_type type(on_error error = {}) const
	{
		return static_cast<enum hqq_type>(
			error.count(hqq_standard_type(native()), "hqq_standard_type"));
	}

	/* Good until the link is closed; empty for a segment without one */
	std::string_view name() const noexcept
	{
		const char *name = hqq_standard_name(native());

		return name ? name : "";
	}

	std::size_t buffer_size() const noexcept
	{
		return hqq_standard_buffer_size(native());
	}

	std::size_t buffer_count() const noexcept
	{
		return hqq_standard_buffer_count(native());
	}

	std::size_t large_message_threshold() const noexcept
	{
		return hqq_standard_large_message_threshold(native());
	}

	bool is_large_message(std::size_t payload_size) const noexcept
	{
		return hqq_standard_is_large_message(native(), payload_size);
	}

	std::size_t pending(on_error error = {}) const
	{
		return error.count(hqq_standard_pending(native()), "hqq_standard_pending");
	}

	hqq_stats stats(on_error error = {}) const
	{
		hqq_stats stats = {};

		error.check(hqq_standard_stats(native(), &stats), "hqq_standard_stats");
		return stats;
	}
};

} // namespace hqq

#endif /* HQQ_STANDARD_HPP */
