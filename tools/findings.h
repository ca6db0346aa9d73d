/*
 * findings.h - what hqq doctor has to say of a segment
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_FINDINGS_H
#define HQQ_TOOLS_FINDINGS_H

#include <stdbool.h>
#include <stdint.h>

#define FINDINGS_MAX 96
#define FINDING_KEYS 4
#define FINDING_NONE (-1)

enum severity {
	NOTE, /* worth knowing */
	FAULT /* something is wrong */
};

struct finding {
	enum severity severity;
	const char *topic;          /* one of a few words, told apart by address */
	int direction, entry;       /* what it is about, or FINDING_NONE */
	uint64_t key[FINDING_KEYS]; /* the words of the segment that it was drawn from */
	char text[640];
};

struct findings {
	unsigned count;
	bool more; /* than there was room for */
	struct finding finding[FINDINGS_MAX];
};

/* A new one without text, to be completed by the caller; never NULL. */
struct finding *findings_add(struct findings *findings, enum severity severity, const char *topic);

/* Appends to its text. */
void finding_say(struct finding *finding, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops those that an earlier look did not have, or drew from other words. */
void findings_keep(struct findings *findings, const struct findings *earlier);

#endif /* HQQ_TOOLS_FINDINGS_H */
