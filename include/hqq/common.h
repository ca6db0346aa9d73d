/*
 * hqq/common.h - errors, contexts, options and other things that both links share
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_COMMON_H
#define HQQ_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HQQ_API __attribute__((visibility("default")))
#define HQQ_ALIGNED_8 __attribute__((aligned(8))) /* where uint64_t alone is aligned to less */
#else
#define HQQ_API
#define HQQ_ALIGNED_8
#endif

/* The version of these headers; hqq_version_string() tells that of the library in use. */
#define HQQ_VERSION_MAJOR 1
#define HQQ_VERSION_MINOR 0
#define HQQ_VERSION_PATCH 0

/*
 * Errors. Every function returns 0 or a count on success and a negative code on failure:
 * -errno where the system refused something, else one of these. They lie below every errno.
 */
enum hqq_error {
	/* 1..7 of the protocol: HQQ_ERR_x = -18513 - code */
	HQQ_ERR_MEMORY_ALIGN = -18514,    /* an address or a size is not aligned as the layout needs it */
	HQQ_ERR_INVALID_SIZE = -18515,    /* a size or a count is out of range, or differs from the segment's */
	HQQ_ERR_MEMORY_SMALL = -18516,    /* the mapping or the file is shorter than the layout */
	HQQ_ERR_FAILED_INIT = -18517,     /* nobody made the segment ready within the time allowed */
	HQQ_ERR_CONN_NOT_FOUND = -18518,  /* no such connection, or nobody listens */
	HQQ_ERR_INVALID_OP = -18519,      /* not allowed in this state, or an argument makes no sense */
	HQQ_ERR_BUFFER_OVERFLOW = -18520, /* more bytes than a buffer or a limit holds */
	/* the library's own */
	HQQ_ERR_TIMEOUT = -18521,   /* the deadline passed */
	HQQ_ERR_CANCELED = -18522,  /* interrupted, or the context was cancelled */
	HQQ_ERR_CLOSED = -18523,    /* the handle was closed while the call waited */
	HQQ_ERR_PEER_GONE = -18524, /* the last peer closed or died */
	HQQ_ERR_ABORTED = -18525,   /* the sender gave the message up */
	HQQ_ERR_RESPONSE = -18526,  /* the peer answered with an error response */
	HQQ_ERR_REJECTED = -18527,  /* the peer refused the negotiation */
	HQQ_ERR_FORKED = -18528,    /* the handle belongs to the process that forked this one */
	HQQ_ERR_CORRUPT = -18529    /* the segment holds what no endpoint writes */
};

/* A text for any code that the library returns; never NULL, never to be freed. */
HQQ_API const char *hqq_strerror(int error);

/* Protocol codes (1..7) to errors and back; codes that the protocol does not know become INVALID_OP. */
HQQ_API int hqq_error_from_code(uint64_t code);
HQQ_API uint64_t hqq_error_to_code(int error);

/* "1.0.0" */
HQQ_API const char *hqq_version_string(void);

/*
 * A context bounds a wait: by a deadline on CLOCK_MONOTONIC, and by hqq_context_cancel() from
 * another thread or from a signal handler. The caller allocates it; it must outlive the calls
 * that use it. One context may serve many calls at once.
 */
typedef struct hqq_context {
	uint64_t opaque[8] HQQ_ALIGNED_8;
} hqq_context;

#define HQQ_CONTEXT_INIT \
	{ \
		{ 0, 0, 0, 0, 0, 0, 0, 0 } \
	}

HQQ_API int hqq_context_set_timeout(hqq_context *context, uint64_t nanoseconds);
HQQ_API int hqq_context_set_deadline(hqq_context *context, const struct timespec *monotonic);
HQQ_API int hqq_context_cancel(hqq_context *context);
HQQ_API int hqq_context_reset(hqq_context *context);

/* Which of the two sides of a segment a handle serves. */
enum hqq_mode {
	HQQ_MODE_PRIMARY = 0,  /* writes ring 0, reads ring 1 */
	HQQ_MODE_SECONDARY = 1 /* writes ring 1, reads ring 0 */
};

enum hqq_type {
	HQQ_TYPE_STANDARD = 0,
	HQQ_TYPE_ADVANCED = 1
};

enum hqq_role {
	HQQ_ROLE_AUTO = 0,  /* whoever initialises the segment is primary, everybody else secondary */
	HQQ_ROLE_PRIMARY = 1,
	HQQ_ROLE_SECONDARY = 2
};

enum hqq_wait {
	HQQ_WAIT_ADAPTIVE = 0, /* spin briefly, then sleep */
	HQQ_WAIT_SPIN = 1,     /* never sleep */
	HQQ_WAIT_BLOCK = 2     /* never spin */
};

/* Bits of hqq_options.flags */
#define HQQ_REPLACE_STALE UINT64_C(0x01) /* create: replace a segment on which no endpoint lives */
#define HQQ_PEER_EOF UINT64_C(0x02)      /* a wait ends with PEER_GONE once the last peer is gone */
#define HQQ_SINGLE_WRITER UINT64_C(0x04) /* this handle alone writes its direction, one thread at a time */
#define HQQ_SINGLE_READER UINT64_C(0x08) /* this handle alone reads its direction, one thread at a time */
#define HQQ_HUGEPAGES UINT64_C(0x10)     /* ask for huge pages; a wish, not a demand */
#define HQQ_PREFAULT UINT64_C(0x20)      /* fault every page in before the call returns */

struct hqq_options {
	size_t struct_size; /* sizeof(struct hqq_options), set by HQQ_OPTIONS_INIT */
	uint32_t role;      /* enum hqq_role */
	uint32_t wait;      /* enum hqq_wait */
	uint64_t flags;     /* HQQ_REPLACE_STALE ... */
	uint64_t spin_ns;   /* how long HQQ_WAIT_ADAPTIVE spins, at most; 0 = the library's choice */
};

#define HQQ_OPTIONS_INIT \
	{ \
		sizeof(struct hqq_options), HQQ_ROLE_AUTO, HQQ_WAIT_ADAPTIVE, 0, 0 \
	}

/* The far or the near end of a link, for the datagram-style calls. */
#define HQQ_NAME_MAX 250 /* bytes of a segment's name, without the terminating 0 */

struct hqq_address {
	char name[256]; /* the segment's name; empty for a segment without one */
	uint32_t mode;  /* enum hqq_mode of that end */
	uint32_t type;  /* enum hqq_type */
	uint64_t reserved[4];
};

#ifdef __cplusplus
}
#endif

#endif /* HQQ_COMMON_H */
