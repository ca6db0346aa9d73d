/*
 * step_points.c - finding the testpoints of a call, and their names; see step_points.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "step_points.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ------------------------------------------------------------------------------------- */

typedef char name_text[sizeof(((struct step_points *)NULL)->point[0].after)];
#define NAME_SIZE sizeof(name_text)

static bool lies_in(uintptr_t at, const void *object, size_t size, size_t *offset)
{
	*offset = at - (uintptr_t)object;
	return *offset < size;
}

static void name_entry(name_text name, const struct hqq_entry *entry, size_t offset)
{
	static const char *const states[8] = { "free", "joining", "live", "left", "?", "?", "?", "?" };

	if (offset == offsetof(struct hqq_entry, identity))
		snprintf(name, NAME_SIZE, "entry %s", states[hqq_identity_state(entry->identity)]);
	else if (offset == offsetof(struct hqq_entry, origin))
		snprintf(name, NAME_SIZE, "origin");
	else if (entry->lanes[(offset - offsetof(struct hqq_entry, lanes)) / 8])
		snprintf(name, NAME_SIZE, "lane");
	else
		snprintf(name, NAME_SIZE, "lane cleared");
}

static void name_in_extension(name_text name, const struct hqq_extension *extension, size_t offset)
{
	static const char *const words[] = { "magic", "version", "", "joined", "joined", "mended", "lost",
		                             "burial" };
	const size_t bells = offsetof(struct hqq_extension, bells);
	const size_t entries = offsetof(struct hqq_extension, entries);

	if (offset == offsetof(struct hqq_extension, repair))
		snprintf(name, NAME_SIZE, "repair lock %s", extension->repair & 0xff ? "taken" : "free");
	else if (offset < bells)
		snprintf(name, NAME_SIZE, "%s", words[offset / 8]);
	else if (offset >= entries)
		name_entry(name, &extension->entries[(offset - entries) / sizeof(struct hqq_entry)],
		           (offset - entries) % sizeof(struct hqq_entry));
	else
		snprintf(name, NAME_SIZE, "bell %s",
		         (offset - bells) % sizeof(struct hqq_bell) == offsetof(struct hqq_bell, marks) ? "marks" : "rung");
}

static void name_in_element(name_text name, const struct hqq_element *element, size_t offset)
{
	if (offset == offsetof(struct hqq_element, sequence))
		snprintf(name, NAME_SIZE, "sequence word");
	else if (offset == HQQ_WORD_TAG * 8)
		snprintf(name, NAME_SIZE, element->packet[HQQ_WORD_TAG] ? "tag" : "tag cleared");
	else
		snprintf(name, NAME_SIZE, "packet word %zu", offset / 8);
}

static void name_word(name_text name, const struct step_stage *stage, size_t offset)
{
	const uintptr_t at = (uintptr_t)stage->base + offset;
	size_t within;

	snprintf(name, NAME_SIZE, "word at %#zx", offset);
	if (lies_in(at, stage->extension, sizeof(*stage->extension), &within))
		name_in_extension(name, stage->extension, within);
	for (int direction = 0; direction < 2; direction++) {
		const struct hqq_ring *ring = &stage->rings[direction];

		if (lies_in(at, ring->write_cursor, 8, &within))
			snprintf(name, NAME_SIZE, "write cursor");
		else if (lies_in(at, ring->read_cursor, 8, &within))
			snprintf(name, NAME_SIZE, "read cursor");
		else if (lies_in(at, ring->elements, STEP_COUNT * sizeof(struct hqq_element), &within))
			name_in_element(name, ring->elements + within / sizeof(struct hqq_element),
			                within % sizeof(struct hqq_element));
		else if (lies_in(at, ring->buffers, STEP_COUNT * STEP_SIZE, &within))
			snprintf(name, NAME_SIZE, "buffer");
	}
}

/* ---- finding ----------------------------------------------------------------------------------- */

static void add(struct step_points *points, const char *after)
{
	const size_t n = points->count;

	/* of a buffer that is being filled, the beginning and the end */
	if (n > 1 && strcmp(after, "buffer") == 0 && strcmp(points->point[n - 1].after, after) == 0 &&
	    strcmp(points->point[n - 2].after, after) == 0)
		points->count--;
	MUST(points->count < STEP_POINTS);
	points->point[points->count].at = points->steps;
	points->point[points->count].changes = points->passed;
	snprintf(points->point[points->count++].after, NAME_SIZE, "%s", after);
	if (!points->timeless && strcmp(after, "bell marks") == 0)
		points->timeless = points->count;
}

/* The first word that differs from what was seen is told, and seen now. */
static bool has_changed(struct step_points *points, size_t *offset)
{
	const struct step_stage *stage = points->stage;

	if (memcmp(points->seen, stage->base, stage->length) == 0)
		return false;
	for (*offset = 0; memcmp(points->seen + *offset, stage->base + *offset, 8) == 0; *offset += 8)
		continue;
	memcpy(points->seen, stage->base, stage->length);
	points->passed++;
	return true;
}

/* One who waits has looked for the dead in vain, and only does so again from here on. */
static bool repeats(const struct step_points *points)
{
	const size_t n = points->count;

	return points->limit && strcmp(points->point[n - 1].after, "repair lock free") == 0 &&
	       strcmp(points->point[n - 2].after, "repair lock taken") == 0;
}

static bool find(void *argument)
{
	struct step_points *points = argument;
	name_text name;
	size_t offset;

	points->steps++;
	if (has_changed(points, &offset)) {
		name_word(name, points->stage, offset);
		add(points, name);
		if (repeats(points))
			return true;
	}
	return points->steps == points->limit;
}

static bool is_there(void *argument)
{
	struct step_points *points = argument;
	size_t offset;

	has_changed(points, &offset);
	/* one that waits may see less change this time, for ever */
	return points->passed == points->wanted || (points->limit && ++points->steps > 4 * points->limit);
}

static void begin(struct step_points *points, const struct step_stage *stage)
{
	points->stage = stage;
	points->steps = points->passed = 0;
	points->seen = realloc(points->seen, stage->length);
	MUST(points->seen != NULL);
	memcpy(points->seen, stage->base, stage->length);
}

void step_points_find(struct step_points *points, const struct step_stage *stage, struct stepper *stepper,
                      size_t limit)
{
	begin(points, stage);
	points->limit = limit;
	points->count = points->timeless = 0;
	add(points, "nothing yet");
	stepper->stepped = find;
	stepper->argument = points;
	points->returns = stepper_record(stepper, &points->trace);
	add(points, points->returns ? "its return" : "falling asleep");
	stepper->stepped = NULL;
}

bool step_points_go(struct step_points *points, const struct step_stage *stage, struct stepper *stepper,
                    size_t point, bool walk)
{
	const size_t wanted = points->point[point].changes;

	if (point == 0)
		return true;
	if (point == points->count - 1 && !points->returns) {
		stepper_let_sleep(stepper);
		return true;
	}
	/* one that waits may wait for ever for a place that it passed by chance */
	if (!walk && (points->returns || point < points->timeless))
		return stepper_run_to(stepper, &points->trace, points->point[point].at);
	begin(points, stage);
	points->wanted = point == points->count - 1 ? SIZE_MAX : wanted;
	stepper->stepped = is_there;
	stepper->argument = points;
	stepper_walk(stepper, SIZE_MAX);
	stepper->stepped = NULL;
	return true;
}

void step_points_forget(struct step_points *points)
{
	free(points->seen);
	stepper_forget(&points->trace);
	memset(points, 0, sizeof(*points));
}
