/*
 * hqq/advanced.hpp - the Advanced link for C++: messages of any size, calls, streams; for hqq.hpp
 *
 * Every function that may wait takes a bound first: a context, a duration, a point in time, or
 * hqq::forever. As with the functions of hqq/advanced.h, everything may be called from any thread at
 * any time, on the same link too; but an object may be moved, assigned to, closed or destroyed only
 * while no other thread uses it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_ADVANCED_HPP
#define HQQ_ADVANCED_HPP

#include <hqq/message.hpp>

#include <array>

namespace hqq
{

/* A piece of a stream that is received, good while the callable runs */
struct chunk {
	message_view head; /* the ids of the message, without payload */
	std::uint64_t total;
	std::uint64_t offset;
	const_bytes data;
};

/*
 * A method of advanced::serve(): handle(const message_view &) is called for each request with this
 * id. It answers with respond(); when it does not, the caller gets an error response, for the code
 * that it returns, if any. For state that shall live on, let it capture a reference.
 */
template <class Function>
struct method {
	std::uint64_t id;
	Function handle;
};

template <class Function>
method(std::uint64_t, Function) -> method<Function>;

namespace detail
{

/* A method as the C interface has it. When one throws none is called any more, and serve ends. */
template <class Function, class Thrown = thrown_here>
class handler
{
public:
	handler(method<Function> &method, hqq_context *context, Thrown &thrown) noexcept
		: id_(method.id), context_(context), thrown_(thrown), callback_(method.handle, thrown)
	{
	}

	hqq_method native() noexcept
	{
		return {id_, handle, this};
	}

private:
	static int handle(hqq_advanced *, const hqq_message *request, void *argument) noexcept
	{
		return static_cast<handler *>(argument)->run(message_view(*request));
	}

	int run(const message_view &request) noexcept
	{
		const int rc = thrown_.any() ? HQQ_ERR_CANCELED : callback_.code(request);

		if (thrown_.any())
			hqq_context_cancel(context_);
		return rc;
	}

	std::uint64_t id_;
	hqq_context *context_;
	Thrown &thrown_;
	callback<Function, Thrown> callback_;
};

} // namespace detail

/* ---- the link ------------------------------------------------------------------------------------ */

/* One endpoint on a segment, closed when it is destroyed; or none, as when it was moved from. */
class advanced : public detail::handle<hqq_advanced, hqq_advanced_close>
{
public:
	using handle::handle;

	/* ---- opening, as for the Standard link; on failure the result is empty */

	static advanced attach(bytes memory, std::size_t buffer_count, std::size_t buffer_size,
	                       const advanced_options &options = {}, on_error error = {})
	{
		hqq_advanced *made = nullptr;

		error.check(hqq_advanced_attach(&made, memory.data(), memory.size(), buffer_count,
		                                buffer_size, options.native()),
		            "hqq_advanced_attach");
		return advanced(made);
	}

	static advanced create(const char *name, std::size_t buffer_count, std::size_t buffer_size,
	                       mode_t mode = 0600, const advanced_options &options = {}, on_error error = {})
	{
		hqq_advanced *made = nullptr;

		error.check(
			hqq_advanced_create(&made, name, buffer_count, buffer_size, mode, options.native()),
			"hqq_advanced_create");
		return advanced(made);
	}

	static advanced open(const char *name, std::size_t buffer_count = 0, std::size_t buffer_size = 0,
	                     const advanced_options &options = {}, on_error error = {})
	{
		hqq_advanced *made = nullptr;

		error.check(hqq_advanced_open(&made, name, buffer_count, buffer_size, options.native()),
		            "hqq_advanced_open");
		return advanced(made);
	}

	static advanced create_fd(std::size_t buffer_count, std::size_t buffer_size,
	                          const advanced_options &options = {}, on_error error = {})
	{
		hqq_advanced *made = nullptr;

		error.check(hqq_advanced_create_fd(&made, buffer_count, buffer_size, options.native()),
		            "hqq_advanced_create_fd");
		return advanced(made);
	}

	static advanced open_fd(int fd, std::size_t buffer_count = 0, std::size_t buffer_size = 0,
	                        const advanced_options &options = {}, on_error error = {})
	{
		hqq_advanced *made = nullptr;

		error.check(hqq_advanced_open_fd(&made, fd, buffer_count, buffer_size, options.native()),
		            "hqq_advanced_open_fd");
		return advanced(made);
	}

	/* ---- negotiation */

	void negotiate(const bound &bound, hqq_version version, std::uint64_t features, on_error error = {})
	{
		error.check(hqq_advanced_negotiate(native(), bound.native(), version, features),
		            "hqq_advanced_negotiate");
	}

	void wait_negotiation(const bound &bound, on_error error = {})
	{
		error.check(hqq_advanced_wait_negotiation(native(), bound.native()),
		            "hqq_advanced_wait_negotiation");
	}

	/* ---- messages of any size */

	/* Returns the message's id. */
	std::uint64_t send_large(const bound &bound, std::uint64_t connection_id, const_bytes data,
	                         on_error error = {})
	{
		std::uint64_t message_id = 0;

		error.check(hqq_advanced_send_large(native(), bound.native(), connection_id, data.data(),
		                                    data.size(), &message_id),
		            "hqq_advanced_send_large");
		return message_id;
	}

	message receive(const bound &bound, on_error error = {})
	{
		hqq_message got = {};

		error.check(hqq_advanced_receive(native(), bound.native(), &got), "hqq_advanced_receive");
		return message(got);
	}

	/* ---- calls */

	/* An error response is an error: thrown as response_error, or returned with errc::response. */
	message call(const bound &bound, std::uint64_t method_id, const_bytes request, on_error error = {})
	{
		hqq_message got = {};
		const int rc = hqq_advanced_call(native(), bound.native(), method_id, request.data(),
		                                 request.size(), &got);
		message response(got);

#if defined(__cpp_exceptions)
		if (rc == HQQ_ERR_RESPONSE && error.throws())
			throw response_error(std::move(response));
#endif
		error.check(rc, "hqq_advanced_call");
		return response;
	}

	/* Here an error response is returned like any other: ask is_error(). */
	message call_on(const bound &bound, std::uint64_t connection_id, std::uint64_t method_id,
	                const_bytes request, on_error error = {})
	{
		hqq_message got = {};

		error.check(hqq_advanced_call_on(native(), bound.native(), connection_id, method_id,
		                                 request.data(), request.size(), &got),
		            "hqq_advanced_call_on");
		return message(got);
	}

	/* The same in two steps. Returns the call's id, to be waited for or cancelled. */
	std::uint64_t call_start(const bound &bound, std::uint64_t connection_id, std::uint64_t method_id,
	                         const_bytes request, on_error error = {})
	{
		std::uint64_t call_id = 0;

		error.check(hqq_advanced_call_start(native(), bound.native(), connection_id, method_id,
		                                    request.data(), request.size(), &call_id),
		            "hqq_advanced_call_start");
		return call_id;
	}

	message call_wait(const bound &bound, std::uint64_t call_id, on_error error = {})
	{
		hqq_message got = {};

		error.check(hqq_advanced_call_wait(native(), bound.native(), call_id, &got),
		            "hqq_advanced_call_wait");
		return message(got);
	}

	void call_cancel(std::uint64_t call_id, on_error error = {})
	{
		error.check(hqq_advanced_call_cancel(native(), call_id), "hqq_advanced_call_cancel");
	}

	/* ---- answers */

	void respond(const bound &bound, const message_view &request, std::uint64_t status, const_bytes body,
	             on_error error = {})
	{
		error.check(hqq_advanced_respond(native(), bound.native(), request.native(), status,
		                                 body.data(), body.size()),
		            "hqq_advanced_respond");
	}

	void respond_error(const bound &bound, const message_view &request, std::uint64_t status,
	                   const_bytes body = {}, on_error error = {})
	{
		error.check(hqq_advanced_respond_error(native(), bound.native(), request.native(), status,
		                                       body.data(), body.size()),
		            "hqq_advanced_respond_error");
	}

	/*
	 * Answers requests, until the bound or the session ends: returns why, and throws nothing of its
	 * own. What a handler throws ends it, too, and is thrown again: its caller gets an error
	 * response, and the context that was given as bound is cancelled.
	 */
	template <class... Functions>
	std::error_code serve(const bound &bound, method<Functions>... methods)
	{
		hqq_context own = HQQ_CONTEXT_INIT;
		hqq_context *context = bound.native() ? bound.native() : &own;
		detail::thrown_here thrown;
		const int rc = serve_all(context, detail::handler<Functions>(methods, context, thrown)...);

		thrown.rethrow();
		return to_error_code(rc);
	}

	/* ---- streams; what a callable throws is thrown again, whatever was said about errors */

	/* function(const chunk &): a negative number that it returns is the error. */
	template <class Function>
	void receive_stream(const bound &bound, Function &&function, on_error error = {})
	{
		detail::thrown_here thrown;
		detail::callback<std::remove_reference_t<Function>> callback(function, thrown);
		const int rc = hqq_advanced_receive_stream(
			native(), bound.native(),
			[](const hqq_message *head, std::uint64_t total, std::uint64_t offset,
		           const void *data, std::size_t length, void *argument) {
				const chunk piece = {message_view(*head), total, offset, {data, length}};

				return static_cast<decltype(callback) *>(argument)->code(piece);
			},
			&callback);

		thrown.rethrow();
		error.check(rc, "hqq_advanced_receive_stream");
	}

	/* function(offset, bytes): fills in 1 to size() bytes and returns their number. */
	template <class Function>
	void send_stream(const bound &bound, std::uint64_t connection_id, std::uint64_t total,
	                 Function &&function, on_error error = {})
	{
		detail::thrown_here thrown;
		detail::callback<std::remove_reference_t<Function>> callback(function, thrown);
		const int rc = hqq_advanced_send_stream(
			native(), bound.native(), connection_id, total,
			[](std::uint64_t offset, void *data, std::size_t capacity, void *argument) {
				return (*static_cast<decltype(callback) *>(argument))(offset,
			                                                              bytes(data, capacity));
			},
			&callback);

		thrown.rethrow();
		error.check(rc, "hqq_advanced_send_stream");
	}

	/* ---- connections */

	void listen(on_error error = {})
	{
		error.check(hqq_advanced_listen(native()), "hqq_advanced_listen");
	}

	std::uint64_t accept(const bound &bound, on_error error = {})
	{
		std::uint64_t connection_id = 0;

		error.check(hqq_advanced_accept(native(), bound.native(), &connection_id),
		            "hqq_advanced_accept");
		return connection_id;
	}

	std::uint64_t dial(const bound &bound, on_error error = {})
	{
		std::uint64_t connection_id = 0;

		error.check(hqq_advanced_dial(native(), bound.native(), &connection_id), "hqq_advanced_dial");
		return connection_id;
	}

	void hangup(const bound &bound, std::uint64_t connection_id, std::uint64_t reason = 0,
	            on_error error = {})
	{
		error.check(hqq_advanced_hangup(native(), bound.native(), connection_id, reason),
		            "hqq_advanced_hangup");
	}

	/* ---- Standard messages; both return a number of bytes */

	std::size_t read(const bound &bound, bytes room, on_error error = {})
	{
		return error.count(hqq_advanced_read(native(), bound.native(), room.data(), room.size()),
		                   "hqq_advanced_read");
	}

	std::size_t write(const bound &bound, const_bytes message, on_error error = {})
	{
		return error.count(
			hqq_advanced_write(native(), bound.native(), message.data(), message.size()),
			"hqq_advanced_write");
	}

	/* ---- event loops */

	/* Returns the number of frames taken. */
	std::size_t dispatch(const bound &bound, on_error error = {})
	{
		return error.count(hqq_advanced_dispatch(native(), bound.native()), "hqq_advanced_dispatch");
	}

	/* These descriptors belong to the handle. */
	int event_fd(on_error error = {})
	{
		const int rc = hqq_advanced_event_fd(native());

		error.check(rc, "hqq_advanced_event_fd");
		return rc;
	}

	int fd(on_error error = {}) const
	{
		const int rc = hqq_advanced_fd(native());

		error.check(rc, "hqq_advanced_fd");
		return rc;
	}

	/* ---- what the handle is and did */

	enum hqq_mode mode(on_error error = {}) const
	{
		return static_cast<enum hqq_mode>(
			error.count(hqq_advanced_mode(native()), "hqq_advanced_mode"));
	}

	enum hqq_type type(on_error error = {}) const
	{
		return static_cast<enum hqq_type>(
			error.count(hqq_advanced_type(native()), "hqq_advanced_type"));
	}

	/* Good until the link is closed; empty for a segment without one */
	std::string_view name() const noexcept
	{
		const char *name = hqq_advanced_name(native());

		return name ? name : "";
	}

	std::size_t buffer_size() const noexcept
	{
		return hqq_advanced_buffer_size(native());
	}

	std::size_t buffer_count() const noexcept
	{
		return hqq_advanced_buffer_count(native());
	}

	std::uint64_t max_message_size() const noexcept
	{
		return hqq_advanced_max_message_size(native());
	}

	enum hqq_protocol_state protocol_state(on_error error = {}) const
	{
		return static_cast<enum hqq_protocol_state>(
			error.count(hqq_advanced_protocol_state(native()), "hqq_advanced_protocol_state"));
	}

	hqq_version negotiated_version() const noexcept
	{
		return hqq_advanced_negotiated_version(native());
	}

	std::uint64_t negotiated_features() const noexcept
	{
		return hqq_advanced_negotiated_features(native());
	}

	std::uint64_t negotiated_capabilities() const noexcept
	{
		return hqq_advanced_negotiated_capabilities(native());
	}

	bool is_large_copy_enabled() const noexcept
	{
		return hqq_advanced_is_large_copy_enabled(native());
	}

	bool is_request_response_enabled() const noexcept
	{
		return hqq_advanced_is_request_response_enabled(native());
	}

	struct hqq_advanced_stats stats(on_error error = {}) const
	{
		struct hqq_advanced_stats stats = {};

		error.check(hqq_advanced_stats(native(), &stats), "hqq_advanced_stats");
		return stats;
	}

private:
	template <class... Handlers>
	int serve_all(hqq_context *context, Handlers &&...handlers)
	{
		const std::array<hqq_method, sizeof...(handlers)> table = {handlers.native()...};

		return hqq_advanced_serve(native(), context, table.data(), table.size());
	}
};

} // namespace hqq

#endif /* HQQ_ADVANCED_HPP */
