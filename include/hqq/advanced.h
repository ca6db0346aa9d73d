/*
 * hqq/advanced.h - the Advanced link: messages of any size, calls, streams
 *
 * Lies over the same rings and buffers as the Standard link; one endpoint serves each side. After
 * both ends have negotiated, messages larger than a buffer travel in chunks, calls are answered in
 * any order with many in flight, and data streams without ever being whole in memory.
 *
 * Every function that may wait takes a context (NULL = wait for ever) and spends its one deadline.
 * All of them may be called from any thread at any time, unless their page says otherwise.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_ADVANCED_H
#define HQQ_ADVANCED_H

#include <hqq/common.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hqq_advanced hqq_advanced;

/* Who takes frames out of the ring and hands them on. */
enum hqq_dispatcher {
	HQQ_DISPATCH_AUTO = 0,   /* whoever waits; a background thread for what nobody waits for */
	HQQ_DISPATCH_THREAD = 1, /* always a background thread */
	HQQ_DISPATCH_MANUAL = 2  /* whoever waits, else hqq_advanced_dispatch(); never a thread */
};

struct hqq_advanced_options {
	size_t struct_size;          /* sizeof(struct hqq_advanced_options) */
	uint64_t max_message_size;   /* bytes, sent or received as one message; 0 = 64 MiB */
	size_t incoming_queue_size;  /* messages kept for receive, serve and read; 0 = buffer_count */
	uint64_t max_assembly_bytes; /* bytes of all unfinished and overflowing messages; 0 = 4 x max_message_size */
	uint32_t dispatcher;         /* enum hqq_dispatcher */
	uint32_t reserved;           /* 0 */
	struct hqq_options link;     /* as for the Standard link */
};

#define HQQ_ADVANCED_OPTIONS_INIT \
	{ \
		sizeof(struct hqq_advanced_options), 0, 0, 0, HQQ_DISPATCH_AUTO, 0, HQQ_OPTIONS_INIT \
	}

struct hqq_version {
	uint8_t major, minor;
};

#define HQQ_ADVANCED_VERSION_MAJOR 1
#define HQQ_ADVANCED_VERSION_MINOR 0

#define HQQ_FEATURE_LARGE_COPY UINT64_C(1)
#define HQQ_FEATURE_REQUEST_RESPONSE UINT64_C(2)

#define HQQ_CAPABILITY_LARGE_BUFFERS UINT64_C(1)
#define HQQ_CAPABILITY_HIGH_THROUGHPUT UINT64_C(2)
#define HQQ_CAPABILITY_LOW_LATENCY UINT64_C(4)

enum hqq_protocol_state {
	HQQ_PROTOCOL_NONE = 0,
	HQQ_PROTOCOL_NEGOTIATING = 1,
	HQQ_PROTOCOL_NEGOTIATED = 2,
	HQQ_PROTOCOL_FAILED = 3
};

/* hqq_message.flags; a delivered whole message carries BEGIN and END */
#define HQQ_FLAG_BEGIN UINT64_C(1)
#define HQQ_FLAG_END UINT64_C(2)
#define HQQ_FLAG_ABORT UINT64_C(4)
#define HQQ_FLAG_REQUEST UINT64_C(8)
#define HQQ_FLAG_RESPONSE UINT64_C(16)
#define HQQ_FLAG_ERROR UINT64_C(32)

/*
 * A received message. The caller allocates the struct; the payload belongs to it and is freed by
 * hqq_message_clear().
 */
struct hqq_message {
	uint64_t connection_id; /* 0 = the link itself */
	uint64_t message_id;
	uint64_t method_id; /* of a request */
	uint64_t status;    /* of a response */
	uint64_t flags;
	void *payload;
	size_t payload_size; /* bytes */
	uint64_t opaque[3];
};

HQQ_API bool hqq_message_is_data(const struct hqq_message *message);
HQQ_API bool hqq_message_is_request(const struct hqq_message *message);
HQQ_API bool hqq_message_is_response(const struct hqq_message *message);
HQQ_API bool hqq_message_is_error(const struct hqq_message *message);
HQQ_API bool hqq_message_is_abort(const struct hqq_message *message);
HQQ_API void hqq_message_clear(struct hqq_message *message);

/* Life cycle: as the functions of the Standard link of the same names. */
HQQ_API int hqq_advanced_attach(hqq_advanced **handle, void *base, size_t length, size_t buffer_count,
                                size_t buffer_size, const struct hqq_advanced_options *options);
HQQ_API int hqq_advanced_create(hqq_advanced **handle, const char *name, size_t buffer_count, size_t buffer_size,
                                mode_t mode, const struct hqq_advanced_options *options);
HQQ_API int hqq_advanced_open(hqq_advanced **handle, const char *name, size_t buffer_count, size_t buffer_size,
                              const struct hqq_advanced_options *options);
HQQ_API int hqq_advanced_create_fd(hqq_advanced **handle, size_t buffer_count, size_t buffer_size,
                                   const struct hqq_advanced_options *options);
HQQ_API int hqq_advanced_open_fd(hqq_advanced **handle, int fd, size_t buffer_count, size_t buffer_size,
                                 const struct hqq_advanced_options *options);
HQQ_API int hqq_advanced_fd(const hqq_advanced *handle);
HQQ_API int hqq_advanced_close(hqq_advanced *handle);

/*
 * Negotiation: one side asks, the other waits to be asked; both may ask at once. PEER_GONE: a peer that may
 * have taken the question along is gone, so it may be asked again.
 */
HQQ_API int hqq_advanced_negotiate(hqq_advanced *handle, hqq_context *context, struct hqq_version version,
                                   uint64_t features);
HQQ_API int hqq_advanced_wait_negotiation(hqq_advanced *handle, hqq_context *context);

/* Messages of any size up to max_message_size. */
HQQ_API int hqq_advanced_send_large(hqq_advanced *handle, hqq_context *context, uint64_t connection_id,
                                    const void *data, size_t length, uint64_t *message_id);
HQQ_API int hqq_advanced_receive(hqq_advanced *handle, hqq_context *context, struct hqq_message *message);

/* Calls. */
HQQ_API int hqq_advanced_call(hqq_advanced *handle, hqq_context *context, uint64_t method_id, const void *request,
                              size_t length, struct hqq_message *response);
HQQ_API int hqq_advanced_call_on(hqq_advanced *handle, hqq_context *context, uint64_t connection_id,
                                 uint64_t method_id, const void *request, size_t length,
                                 struct hqq_message *response);
HQQ_API int hqq_advanced_call_start(hqq_advanced *handle, hqq_context *context, uint64_t connection_id,
                                    uint64_t method_id, const void *request, size_t length, uint64_t *call_id);
HQQ_API int hqq_advanced_call_wait(hqq_advanced *handle, hqq_context *context, uint64_t call_id,
                                   struct hqq_message *response);
HQQ_API int hqq_advanced_call_cancel(hqq_advanced *handle, uint64_t call_id);

/* Answers. */
HQQ_API int hqq_advanced_respond(hqq_advanced *handle, hqq_context *context, const struct hqq_message *request,
                                 uint64_t status, const void *body, size_t length);
HQQ_API int hqq_advanced_respond_error(hqq_advanced *handle, hqq_context *context,
                                       const struct hqq_message *request, uint64_t status, const void *body,
                                       size_t length);

struct hqq_method {
	uint64_t id;
	int (*handle)(hqq_advanced *handle, const struct hqq_message *request, void *argument);
	void *argument;
};

HQQ_API int hqq_advanced_serve(hqq_advanced *handle, hqq_context *context, const struct hqq_method *methods,
                               size_t count);

/* Streams of bytes, chunk by chunk in the segment, of any length. */
typedef int hqq_chunk_fn(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
                         size_t length, void *argument);
typedef ssize_t hqq_fill_fn(uint64_t offset, void *data, size_t capacity, void *argument);

HQQ_API int hqq_advanced_receive_stream(hqq_advanced *handle, hqq_context *context, hqq_chunk_fn *function,
                                        void *argument);
HQQ_API int hqq_advanced_send_stream(hqq_advanced *handle, hqq_context *context, uint64_t connection_id,
                                     uint64_t total, hqq_fill_fn *function, void *argument);

/* Connections: logical streams beside each other on one link. */
HQQ_API int hqq_advanced_listen(hqq_advanced *handle);
HQQ_API int hqq_advanced_accept(hqq_advanced *handle, hqq_context *context, uint64_t *connection_id);
HQQ_API int hqq_advanced_dial(hqq_advanced *handle, hqq_context *context, uint64_t *connection_id);
HQQ_API int hqq_advanced_hangup(hqq_advanced *handle, hqq_context *context, uint64_t connection_id,
                                uint64_t reason);

/* Standard messages beside all this. */
HQQ_API ssize_t hqq_advanced_read(hqq_advanced *handle, hqq_context *context, void *buffer, size_t length);
HQQ_API ssize_t hqq_advanced_write(hqq_advanced *handle, hqq_context *context, const void *buffer, size_t length);

/* For event loops: takes what is there and hands it on; returns the number of frames. */
HQQ_API int hqq_advanced_dispatch(hqq_advanced *handle, hqq_context *context);
HQQ_API int hqq_advanced_event_fd(hqq_advanced *handle);

/* What a handle is and did. */
HQQ_API int hqq_advanced_mode(const hqq_advanced *handle);
HQQ_API int hqq_advanced_type(const hqq_advanced *handle);
HQQ_API const char *hqq_advanced_name(const hqq_advanced *handle);
HQQ_API size_t hqq_advanced_buffer_size(const hqq_advanced *handle);
HQQ_API size_t hqq_advanced_buffer_count(const hqq_advanced *handle);
HQQ_API uint64_t hqq_advanced_max_message_size(const hqq_advanced *handle);
HQQ_API int hqq_advanced_protocol_state(const hqq_advanced *handle);
HQQ_API struct hqq_version hqq_advanced_negotiated_version(const hqq_advanced *handle);
HQQ_API uint64_t hqq_advanced_negotiated_features(const hqq_advanced *handle);
HQQ_API uint64_t hqq_advanced_negotiated_capabilities(const hqq_advanced *handle);
HQQ_API bool hqq_advanced_is_large_copy_enabled(const hqq_advanced *handle);
HQQ_API bool hqq_advanced_is_request_response_enabled(const hqq_advanced *handle);

struct hqq_advanced_stats {
	uint64_t negotiation_ns;          /* how long the last negotiation took */
	uint64_t large_messages_sent;     /* data messages, streams too */
	uint64_t large_bytes_sent;
	uint64_t large_messages_received;
	uint64_t large_bytes_received;
	uint64_t requests_sent;
	uint64_t requests_received;
	uint64_t responses_sent;
	uint64_t responses_received;
	uint64_t refused;                 /* malformed frames */
	uint64_t dropped;                 /* messages given up for want of memory or room */
	uint64_t aborted;                 /* messages that their senders gave up */
	uint64_t recovered_slots;         /* as in hqq_stats */
	uint64_t lost_messages;
	uint64_t reserved[18];
};

HQQ_API int hqq_advanced_stats(const hqq_advanced *handle, struct hqq_advanced_stats *stats);

#ifdef __cplusplus
}
#endif

#endif /* HQQ_ADVANCED_H */
