/*
 * hqq/standard.h - the Standard link: messages of up to one buffer between processes
 *
 * A segment holds two rings of messages, one per direction. Any number of processes may write
 * and read either side; each message goes to exactly one reader. Every function here may be
 * called from any thread at any time, on the same handle too, unless its page says otherwise.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_STANDARD_H
#define HQQ_STANDARD_H

#include <hqq/common.h>
#include <stdio.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hqq_standard hqq_standard;

/*
 * Geometry. buffer_count is a power of two, at least 2; buffer_size is in bytes, a multiple of 8,
 * at least 8. hqq_standard_size() is the length of a segment in bytes, 0 when there is no such.
 */
HQQ_API size_t hqq_standard_size(size_t buffer_count, size_t buffer_size);
HQQ_API size_t hqq_large_message_threshold(size_t buffer_size);
HQQ_API bool hqq_is_large_message(size_t buffer_size, size_t payload_size);

/*
 * Making a handle. options may be NULL. The handle is stored on success only and is the caller's
 * to close; a creator's close removes the name. mode: permissions of the file, whatever the umask;
 * 0 means 0600.
 */
HQQ_API int hqq_standard_attach(hqq_standard **handle, void *base, size_t length, size_t buffer_count,
                                size_t buffer_size, const struct hqq_options *options);
HQQ_API int hqq_standard_create(hqq_standard **handle, const char *name, size_t buffer_count, size_t buffer_size,
                                mode_t mode, const struct hqq_options *options);
HQQ_API int hqq_standard_open(hqq_standard **handle, const char *name, size_t buffer_count, size_t buffer_size,
                              const struct hqq_options *options);
HQQ_API int hqq_standard_create_fd(hqq_standard **handle, size_t buffer_count, size_t buffer_size,
                                   const struct hqq_options *options);
HQQ_API int hqq_standard_open_fd(hqq_standard **handle, int fd, size_t buffer_count, size_t buffer_size,
                                 const struct hqq_options *options);
HQQ_API int hqq_standard_fd(const hqq_standard *handle);
HQQ_API int hqq_standard_unlink(const char *name);
HQQ_API int hqq_standard_close(hqq_standard *handle);

/* Copying. One message each, 1..buffer_size bytes; returns the bytes copied. */
HQQ_API ssize_t hqq_standard_read(hqq_standard *handle, void *buffer, size_t length);
HQQ_API ssize_t hqq_standard_write(hqq_standard *handle, const void *buffer, size_t length);

/* Zero-copy by callback: the data pointer is good until the callback returns. */
typedef int hqq_read_fn(const void *data, size_t length, void *argument);
typedef ssize_t hqq_write_fn(void *data, size_t capacity, void *argument);

HQQ_API ssize_t hqq_standard_read_zero_copy(hqq_standard *handle, hqq_read_fn *function, void *argument);
HQQ_API ssize_t hqq_standard_write_zero_copy(hqq_standard *handle, hqq_write_fn *function, void *argument);

/*
 * Zero-copy by reservation: a slot that is the caller's from reserve to commit, abort or release.
 * The caller allocates the struct and leaves the opaque words alone.
 */
struct hqq_reservation {
	void *data;   /* the payload in the segment */
	size_t size;  /* bytes: the room for a write, the message for a read */
	uint64_t slot;
	uint64_t opaque[5];
};

HQQ_API int hqq_standard_reserve_write(hqq_standard *handle, struct hqq_reservation *reservation);
HQQ_API int hqq_standard_reserve_read(hqq_standard *handle, struct hqq_reservation *reservation);
HQQ_API int hqq_standard_commit(struct hqq_reservation *reservation, size_t size);
HQQ_API int hqq_standard_abort(struct hqq_reservation *reservation, uint64_t code);
HQQ_API int hqq_standard_release(struct hqq_reservation *reservation);

/* Batches: one message per iovec; at least one is waited for, the rest taken as far as they go. */
HQQ_API ssize_t hqq_standard_write_batch(hqq_standard *handle, struct iovec *messages, size_t count);
HQQ_API ssize_t hqq_standard_read_batch(hqq_standard *handle, struct iovec *messages, size_t count);

/* Bounding the waits of a handle. NULL = no deadline. */
HQQ_API int hqq_standard_set_deadline(hqq_standard *handle, const struct timespec *monotonic);
HQQ_API int hqq_standard_set_read_deadline(hqq_standard *handle, const struct timespec *monotonic);
HQQ_API int hqq_standard_set_write_deadline(hqq_standard *handle, const struct timespec *monotonic);
HQQ_API int hqq_standard_interrupt(hqq_standard *handle);
HQQ_API int hqq_standard_resume(hqq_standard *handle);

/* Looks for endpoints that died and finishes what they left; returns the slots mended. */
HQQ_API int hqq_standard_recover(hqq_standard *handle);

/* Datagram style. */
HQQ_API ssize_t hqq_standard_read_from(hqq_standard *handle, void *buffer, size_t length, struct hqq_address *from);
HQQ_API ssize_t hqq_standard_write_to(hqq_standard *handle, const void *buffer, size_t length,
                                      const struct hqq_address *to);
HQQ_API int hqq_standard_local_address(const hqq_standard *handle, struct hqq_address *address);
HQQ_API int hqq_standard_remote_address(const hqq_standard *handle, struct hqq_address *address);

/* What a handle is. */
HQQ_API int hqq_standard_mode(const hqq_standard *handle);
HQQ_API int hqq_standard_type(const hqq_standard *handle);
HQQ_API const char *hqq_standard_name(const hqq_standard *handle);
HQQ_API size_t hqq_standard_buffer_size(const hqq_standard *handle);
HQQ_API size_t hqq_standard_buffer_count(const hqq_standard *handle);
HQQ_API size_t hqq_standard_large_message_threshold(const hqq_standard *handle);
HQQ_API bool hqq_standard_is_large_message(const hqq_standard *handle, size_t payload_size);
HQQ_API ssize_t hqq_standard_pending(const hqq_standard *handle);

/* What a handle did since it was made. */
struct hqq_stats {
	uint64_t sent_messages;
	uint64_t sent_bytes;
	uint64_t received_messages;
	uint64_t received_bytes;
	uint64_t tombstones;      /* written by this handle */
	uint64_t full_waits;      /* times a writer found no room and waited */
	uint64_t empty_waits;     /* times a reader found no message and waited */
	uint64_t sleeps;          /* times a wait went to sleep in the kernel */
	uint64_t wakes;           /* times this handle woke a sleeper */
	uint64_t recovered_slots; /* slots of the dead that this handle mended */
	uint64_t lost_messages;   /* of these, messages that a dead reader had taken */
	uint64_t refused_packets; /* malformed packets met and skipped */
	uint64_t reserved[20];
};

HQQ_API int hqq_standard_stats(const hqq_standard *handle, struct hqq_stats *stats);

/* A stdio stream over the link; fclose() flushes it and leaves the handle open. */
HQQ_API FILE *hqq_standard_stdio(hqq_standard *handle, const char *mode);

/* A descriptor that polls readable while a message waits. It belongs to the handle. */
HQQ_API int hqq_standard_event_fd(hqq_standard *handle);

#ifdef __cplusplus
}
#endif

#endif /* HQQ_STANDARD_H */
