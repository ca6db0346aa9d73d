/*
 * adv_rig.h - an Advanced link of the library with an independent peer at the other end
 *
 * The peer (adv_foreign.h) works on the raw segment. Both ends live in this process and on one
 * thread: the library's calls get a deadline that has passed, so that each takes what lies in the
 * ring, makes one attempt and comes back.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_ADV_RIG_H
#define HQQ_TESTS_ADV_RIG_H

#include "adv_foreign.h"
#include "support.h"

#include <hqq.h>

/* The ways to set up a link, for loop tests: bits of _i. */
#define RIG_WAYS 4
#define RIG_LIBRARY_SECONDARY 1 /* else the library creates the segment */
#define RIG_LIBRARY_ACCEPTS 2   /* the peer asks for the negotiation; else the library does */

struct rig {
	hqq_advanced *handle;
	struct adv_foreign peer;
	int way;
	hqq_context now; /* a deadline that has passed */
};

/* A link that is not negotiated. options may be NULL: then no thread is ever made. */
void rig_open(struct rig *rig, int way, size_t count, size_t size, const struct hqq_advanced_options *options);
void rig_negotiate(struct rig *rig, uint64_t features);

/* Both of that, with all features. */
void rig_start(struct rig *rig, int way, size_t count, size_t size, const struct hqq_advanced_options *options);

/* The peer's ring must be empty: a test looks at all that the library sends. */
void rig_close(struct rig *rig);

/* Lets the library take all that lies in its ring; how many packets that were. */
int rig_pump(struct rig *rig);

struct hqq_advanced_stats rig_stats(const struct rig *rig);

/* The next packet that the library sent has these eight words; its buffer goes to bytes, if not NULL. */
#define RIG_SEES(rig, bytes, ...) \
	rig_sees(rig, bytes, (const uint64_t[FOREIGN_WORDS]){ __VA_ARGS__ }, __FILE__, __LINE__)
void rig_sees(struct rig *rig, void *bytes, const uint64_t word[FOREIGN_WORDS], const char *file, int line);

/* The library has sent nothing more. */
#define RIG_SILENT(rig) rig_silent(rig, __FILE__, __LINE__)
void rig_silent(struct rig *rig, const char *file, int line);

/* The peer says something, which there must be room for. */
#define RIG_SAYS(rig, ...) rig_says(rig, (const uint64_t[FOREIGN_WORDS]){ __VA_ARGS__ })
void rig_says(struct rig *rig, const uint64_t word[FOREIGN_WORDS]);

/* The peer sends chunk number index of this message, with the pattern of the message id. */
void rig_sends_part(struct rig *rig, uint64_t connection, uint64_t id, uint64_t kind, uint64_t number,
                    uint64_t total, unsigned int index);

/* All of it. There must be room. */
void rig_sends(struct rig *rig, uint64_t connection, uint64_t id, uint64_t kind, uint64_t number,
               uint64_t total);

/* The library hands over this message next, whole and with the pattern of its id. */
#define RIG_RECEIVES(rig, connection, id, kind, number, total) \
	rig_receives(rig, connection, id, kind, number, total, __FILE__, __LINE__)
void rig_receives(struct rig *rig, uint64_t connection, uint64_t id, uint64_t kind, uint64_t number,
                  uint64_t total, const char *file, int line);

/* It has nothing more to hand over. */
#define RIG_RECEIVES_NOTHING(rig) rig_receives_nothing(rig, __FILE__, __LINE__)
void rig_receives_nothing(struct rig *rig, const char *file, int line);

/* The peer's next event is this message with these bytes. */
void rig_gets(struct rig *rig, uint64_t connection, uint64_t id, uint64_t flags, uint64_t number,
              const void *bytes, size_t length);

/* Data, a call and a Standard message pass in both directions: the link is in order. */
void rig_prove(struct rig *rig);

#endif /* HQQ_TESTS_ADV_RIG_H */
