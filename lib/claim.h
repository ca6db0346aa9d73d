/*
 * claim.h - who holds which positions of a ring: the words in lanes and in slots
 *
 * A lane (extension.h) names the run of positions that a thread is about to claim, or holds for
 * the time of one short call. A tag, in word 7 of a reserved slot's packet, names the endpoint
 * that holds that slot for longer. Both carry the low 52 bits of a position, which is exact as
 * long as a dead endpoint's words are looked at before 2^52 more messages have passed.
 *
 *   bits   63..62   61..52                    51..0
 *   lane   kind     count - 1                 position
 *   tag    kind     endpoint (6) | 0xa (4)    position
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_CLAIM_H
#define HQQ_LIB_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

/* Also bits of a set. */
enum hqq_claim_kind {
	HQQ_CLAIM_NONE = 0,
	HQQ_CLAIM_WRITE = 1,
	HQQ_CLAIM_READ = 2
};

#define HQQ_CLAIM_MAX 1024 /* positions in one claim */
#define HQQ_CLAIM_POSITION_BITS 52
#define HQQ_CLAIM_POSITION_MASK ((UINT64_C(1) << HQQ_CLAIM_POSITION_BITS) - 1)
#define HQQ_CLAIM_TAG_MARK UINT64_C(0xa)

static inline uint64_t hqq_claim_word(enum hqq_claim_kind kind, uint64_t position, uint32_t count)
{
	return (uint64_t)kind << 62 | (uint64_t)(count - 1) << HQQ_CLAIM_POSITION_BITS |
	       (position & HQQ_CLAIM_POSITION_MASK);
}

static inline uint64_t hqq_claim_tag(enum hqq_claim_kind kind, unsigned endpoint, uint64_t position)
{
	return (uint64_t)kind << 62 | (uint64_t)endpoint << 56 | HQQ_CLAIM_TAG_MARK << HQQ_CLAIM_POSITION_BITS |
	       (position & HQQ_CLAIM_POSITION_MASK);
}

/* Of a word that is a tag. */
static inline unsigned hqq_claim_tag_endpoint(uint64_t tag)
{
	return (unsigned)(tag >> 56 & 0x3f);
}

static inline enum hqq_claim_kind hqq_claim_kind(uint64_t word)
{
	return (enum hqq_claim_kind)(word >> 62);
}

static inline uint32_t hqq_claim_count(uint64_t word)
{
	return (uint32_t)(word >> HQQ_CLAIM_POSITION_BITS & (HQQ_CLAIM_MAX - 1)) + 1;
}

/* The lane word covers this position, for this kind of claim. */
static inline bool hqq_claim_covers(uint64_t word, enum hqq_claim_kind kind, uint64_t position)
{
	return hqq_claim_kind(word) == kind &&
	       ((position - word) & HQQ_CLAIM_POSITION_MASK) < hqq_claim_count(word);
}

/* The full position behind the 52 bits of a word: the last one before the cursor that fits. */
static inline uint64_t hqq_claim_position(uint64_t word, uint64_t cursor)
{
	return cursor - ((cursor - word) & HQQ_CLAIM_POSITION_MASK);
}

#endif /* HQQ_LIB_CLAIM_H */
