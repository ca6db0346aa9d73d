/*
 * findings.c - a list of what was found
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "findings.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct finding *findings_add(struct findings *findings, enum severity severity, const char *topic)
{
	struct finding *finding;

	if (findings->count == FINDINGS_MAX) { /* the last one gives way */
		findings->more = true;
		findings->count--;
	}
	finding = &findings->finding[findings->count++];
	memset(finding, 0, sizeof(*finding));
	finding->severity = severity;
	finding->topic = topic;
	finding->direction = FINDING_NONE;
	finding->entry = FINDING_NONE;
	return finding;
}

void finding_say(struct finding *finding, const char *format, ...)
{
	size_t length = strlen(finding->text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(finding->text + length, sizeof(finding->text) - length, format, arguments);
	va_end(arguments);
}

static bool is_same(const struct finding *a, const struct finding *b)
{
	return a->severity == b->severity && a->topic == b->topic && a->direction == b->direction &&
	       a->entry == b->entry && memcmp(a->key, b->key, sizeof(a->key)) == 0;
}

void findings_keep(struct findings *findings, const struct findings *earlier)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < findings->count; i++) {
		bool seen = false;

		for (unsigned j = 0; j < earlier->count && !seen; j++)
			seen = is_same(&findings->finding[i], &earlier->finding[j]);
		if (seen)
			findings->finding[kept++] = findings->finding[i];
	}
	findings->count = kept;
	findings->more = findings->more && earlier->more;
}
