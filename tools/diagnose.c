/*
 * diagnose.c - hqq doctor: file, header, table of endpoints and bells
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "common.h"
#include "diagnose.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_NS (20 * NS_PER_MS)
#define SLEEP_PAUSE_NS (120 * NS_PER_MS) /* longer than any sleep of the library (lib/link_wait.c) */

#define REPAIR_HOLDER UINT64_C(0xff) /* lib/extension.h */

const char topic_file[] = "file", topic_header[] = "header", topic_extension[] = "extension",
	   topic_endpoint[] = "endpoint", topic_sleep[] = "sleep", topic_stale[] = "stale";

const char *const side_names[2] = {"primary", "secondary"};

static uint64_t word(const _Atomic uint64_t *address)
{
	return atomic_load_explicit(address, memory_order_relaxed); /* of a copy that is ours alone */
}

const struct endpoint_info *endpoint_at(const struct segment_info *info, unsigned entry)
{
	for (unsigned i = 0; i < info->endpoints; i++) {
		if (info->endpoint[i].entry == entry)
			return &info->endpoint[i];
	}
	return NULL;
}

bool is_stopped(const struct endpoint_info *endpoint)
{
	return endpoint->activity == 'T' || endpoint->activity == 't';
}

bool is_stranger(const struct look *look, int pid)
{
	for (unsigned i = 0; i < look->info.endpoints; i++) {
		if (look->info.endpoint[i].pid == pid)
			return false;
	}
	return true;
}

void say_endpoint(struct finding *finding, const struct look *look, unsigned entry)
{
	const struct endpoint_info *endpoint = endpoint_at(&look->info, entry);

	finding_say(finding, "endpoint %u", entry);
	if (endpoint)
		finding_say(finding, " (pid %d, %s)", endpoint->pid, side_names[endpoint->mode]);
}

static void say_users(struct finding *finding, const struct users *users)
{
	for (unsigned i = 0; i < users->count; i++)
		finding_say(finding, "%s%d",
		            i                   ? ", "
		            : users->count == 1 ? "process "
		                                : "processes ",
		            users->pid[i]);
}

/* ---- file and header ---- */

/* A file that does not start with the magic word; it is stored last of all but for the state. */
static void check_stranger(struct look *look)
{
	const struct segment_info *info = &look->info;
	const bool in_hand = look->users.count > 0;
	struct finding *finding;

	if (!info->stat.st_size) {
		finding = findings_add(&look->findings, FAULT, topic_file);
		finding_say(finding, "it is empty, not a segment.");
		return;
	}
	if (info->magic || info->state > HQQ_STATE_INITIALISING ||
	    (uint64_t)info->stat.st_size < sizeof(struct hqq_superblock)) {
		finding = findings_add(&look->findings, FAULT, topic_file);
		finding->key[0] = info->magic;
		finding_say(finding, "it is not a segment: it does not start with the magic word of one.");
		return;
	}
	finding = findings_add(&look->findings, in_hand ? NOTE : FAULT, topic_header);
	finding->key[0] = info->state;
	finding_say(finding, info->state == HQQ_STATE_INITIALISING
	                             ? "its initialisation was begun and is not finished. "
	                             : "nobody has begun to initialise it. ");
	if (in_hand) {
		say_users(finding, &look->users);
		finding_say(finding, " may be about to.");
	} else {
		finding_say(finding,
		            "No process that can be seen from here has it mapped: whoever made it is gone, "
		            "openers will wait in vain, and 'hqq rm -f' removes it.");
	}
}

static void say_problem(struct finding *finding, const struct segment_info *info)
{
	const struct ring_info *ring = &info->rings[info->problem_ring > 0];

	finding_say(finding, "%s", info->problem);
	if ((uint64_t)info->stat.st_size < sizeof(struct hqq_superblock))
		finding_say(finding, ": the file has %" PRIu64 " bytes", (uint64_t)info->stat.st_size);
	else if (info->state != HQQ_STATE_READY)
		finding_say(finding, ", though the magic word is there: the state word is %" PRIu64,
		            info->state);
	else if (info->major != HQQ_LAYOUT_MAJOR)
		finding_say(finding, ": version %" PRIu64 ".%" PRIu64, info->major, info->minor);
	else if (info->page_size != hqq_page_size())
		finding_say(finding, ": %" PRIu64 " bytes, here they have %zu", info->page_size,
		            hqq_page_size());
	else if (info->problem_ring >= 0)
		finding_say(finding, ": the ring to the %s side", side_names[1 - info->problem_ring]);
	else
		finding_say(finding,
		            ": the header says %" PRIu64 " buffers of %" PRIu64 " bytes and %" PRIu64
		            " bytes in all, the file has %" PRIu64,
		            info->buffer_count, info->buffer_size, info->layout_size,
		            (uint64_t)info->stat.st_size);
	if (info->problem_ring >= 0 && ring->write - ring->read > INT64_MAX)
		finding_say(finding, ", %" PRIu64 " written and %" PRIu64 " read", ring->write, ring->read);
	finding_say(finding, ". Endpoints refuse to open it%s.",
	            info->problem_ring >= 0 && ring->write != ring->read ? ", or stop there" : "");
}

/* True when the rest can be looked at. */
static bool check_header(struct look *look)
{
	const struct segment_info *info = &look->info;
	struct finding *finding;

	if (info->problem) {
		finding = findings_add(&look->findings, FAULT, topic_header);
		finding->key[0] = info->state;
		finding->key[1] = info->buffer_count ^ info->major << 32;
		finding->key[2] = info->layout_size;
		finding->key[3] = (uint64_t)info->stat.st_size;
		say_problem(finding, info);
		return false;
	}
	if (info->minor != HQQ_LAYOUT_MINOR) {
		finding = findings_add(&look->findings, NOTE, topic_header);
		finding_say(finding, "layout %" PRIu64 ".%" PRIu64 " is younger than this program.",
		            info->major, info->minor);
	}
	if ((uint64_t)info->stat.st_size > info->layout_size) {
		finding = findings_add(&look->findings, NOTE, topic_file);
		finding_say(finding, "the file has %" PRIu64 " bytes more than the segment needs.",
		            (uint64_t)info->stat.st_size - info->layout_size);
	}
	return true;
}

/* ---- the table of endpoints ---- */

static bool is_blank(const struct hqq_extension *extension)
{
	static const unsigned char zeros[sizeof(struct hqq_extension)];

	return memcmp(extension, zeros, sizeof(zeros)) == 0;
}

static void check_extension(struct look *look)
{
	struct finding *finding;

	if (look->info.extended)
		return;
	finding = findings_add(&look->findings, NOTE, topic_extension);
	finding->key[0] = word(&look->extension.magic);
	if (is_blank(&look->extension))
		finding_say(finding,
		            "there is no extension block: only other implementations have used it so far.");
	else if (word(&look->extension.magic) == HQQ_EXTENSION_MAGIC)
		finding_say(finding,
		            "its extension block has version %" PRIu64 ", which this program does not know.",
		            word(&look->extension.version));
	else
		finding_say(finding, "something else lies where the extension block of libhqq would be.");
	finding_say(finding, " Who is on it and who is dead cannot be told, and nobody repairs it.");
}

static void check_entry(struct look *look, const struct endpoint_info *endpoint)
{
	const uint64_t identity = word(&look->extension.entries[endpoint->entry].identity);
	const bool is_odd = endpoint->state > HQQ_ENTRY_INHERITING || endpoint->pid <= 0;
	struct finding *finding;

	if (!is_odd && endpoint->life == HQQ_ALIVE && !is_stopped(endpoint))
		return;
	finding = findings_add(&look->findings, is_odd || endpoint->life == HQQ_DEAD ? FAULT : NOTE,
	                       topic_endpoint);
	finding->entry = (int)endpoint->entry;
	finding->key[0] = identity;
	finding->key[1] = (uint64_t)endpoint->life << 1 | (uint64_t)is_stopped(endpoint);
	say_endpoint(finding, look, endpoint->entry);
	if (is_odd)
		finding_say(finding, " has an identity word that no endpoint writes: the table is damaged.");
	else if (endpoint->state == HQQ_ENTRY_LEFT)
		finding_say(finding,
		            " closed its link while others were at repair; who waits or attaches clears it "
		            "away.");
	else if (endpoint->life == HQQ_DEAD)
		finding_say(finding, " died. %s clears it away.",
		            look->living ? "The next look for the dead" : "The next endpoint that attaches");
	else if (endpoint->life == HQQ_UNKNOWN)
		finding_say(finding,
		            " cannot be asked: it has no lock on the file, and its process is of another "
		            "pid namespace. It counts as alive.");
	else
		finding_say(finding, " is stopped. It is alive, and nothing of its is taken away.");
}

static void check_repair(struct look *look)
{
	const uint64_t holder = word(&look->extension.repair) & REPAIR_HOLDER;
	const struct endpoint_info *endpoint;
	struct finding *finding;

	if (!holder)
		return;
	endpoint = holder <= HQQ_ENDPOINTS ? endpoint_at(&look->info, (unsigned)holder - 1) : NULL;
	finding = findings_add(&look->findings, NOTE, topic_extension);
	finding->key[0] = word(&look->extension.repair);
	finding_say(finding, "repair was begun by ");
	if (holder <= HQQ_ENDPOINTS)
		say_endpoint(finding, look, (unsigned)holder - 1);
	else
		finding_say(finding, "an entry that does not exist");
	if (!endpoint || endpoint->life == HQQ_DEAD) {
		finding_say(finding, ", which is gone; the next one to repair goes on.");
	} else if (is_stopped(endpoint)) {
		finding->severity = FAULT;
		finding_say(finding, ", which is stopped: nobody else repairs until it is continued.");
	} else {
		finding_say(finding, ", which is at it.");
	}
}

static void check_strangers(struct look *look)
{
	struct finding *finding;

	for (unsigned i = 0; i < look->users.count; i++) {
		if (!is_stranger(look, look->users.pid[i]))
			continue;
		finding = findings_add(&look->findings, NOTE, topic_endpoint);
		finding->key[0] = (uint64_t)look->users.pid[i];
		finding_say(finding,
		            "process %d has the segment mapped and no place in the table: it uses another "
		            "implementation, or was forked from a process that has one.",
		            look->users.pid[i]);
	}
}

/* ---- bells ---- */

/* What the sleepers of a bell wait for is there. */
static bool is_ready(int fd, const struct look *look, int direction, enum hqq_bell_kind kind)
{
	const struct ring_info *ring = &look->before[direction];
	const uint64_t position = kind == HQQ_BELL_DATA ? ring->read : ring->write;
	struct hqq_element element;

	return inspect_element(fd, &look->info.geometry, direction, position, &element) &&
	       word(&element.sequence) == position + (kind == HQQ_BELL_DATA);
}

/*
 * A marked endpoint that sleeps at the bell, in the kernel's word, while there is something for it. A
 * mark alone means nothing: who wakes up by himself leaves it behind. And a sleeper that is not woken
 * by another implementation is up again in no time, so this takes a third look (diagnose()).
 */
static void check_sleeper(int fd, struct look *look, int direction, enum hqq_bell_kind kind,
                          const struct endpoint_info *endpoint)
{
	const struct hqq_bell *bell = &look->extension.bells[direction][kind];
	const uint64_t marks = atomic_load_explicit(&bell->marks, memory_order_relaxed);
	const size_t offset = HQQ_EXTENSION_OFFSET + offsetof(struct hqq_extension, bells) +
	                      ((size_t)direction * 2 + kind) * sizeof(*bell) +
	                      offsetof(struct hqq_bell, rung);
	struct finding *finding;

	if (!(marks >> endpoint->entry & 1) || endpoint->life != HQQ_ALIVE || is_stopped(endpoint) ||
	    !is_ready(fd, look, direction, kind) || !users_sleep_on(endpoint->pid, &look->info.stat, offset))
		return;
	finding = findings_add(&look->findings, FAULT, topic_sleep);
	finding->direction = direction;
	finding->entry = (int)endpoint->entry;
	finding->key[0] = look->before[direction].read;
	finding->key[1] = look->before[direction].write;
	finding->key[2] = marks;
	finding->key[3] = (uint64_t)kind << 32 | atomic_load_explicit(&bell->rung, memory_order_relaxed);
	say_endpoint(finding, look, endpoint->entry);
	finding_say(finding, kind == HQQ_BELL_DATA
	                             ? " sleeps while a message waits for it: nobody has woken it."
	                             : " sleeps while there is room for its message: nobody has woken it.");
}

static void check_bells(int fd, struct look *look)
{
	for (unsigned i = 0; i < look->info.endpoints; i++) {
		for (int bell = 0; bell < 4; bell++)
			check_sleeper(fd, look, bell / 2, (enum hqq_bell_kind)(bell % 2),
			              &look->info.endpoint[i]);
	}
}

/* ---- the name ---- */

static void check_stale(struct look *look)
{
	const struct segment_info *info = &look->info;
	const bool is_private = !(info->stat.st_mode & 077) && info->stat.st_uid == geteuid();
	const bool is_sure = look->users.complete || is_private;
	const char *reason = inspect_why_used(info);
	struct finding *finding;

	if (info->alive || info->unknown || look->users.count)
		return;
	/* what libhqq knows is enough; of other implementations there is but /proc to ask */
	finding = findings_add(&look->findings, is_sure || !reason ? FAULT : NOTE, topic_stale);
	finding->key[0] = info->dead;
	if (reason)
		finding_say(finding,
		            "nobody is left: %s, and no process that can be seen from here has it mapped. "
		            "'hqq rm --stale' keeps it, as it cannot know; with --force it removes it.",
		            reason);
	else
		finding_say(finding, "the name is stale: nobody lives on it. 'hqq rm --stale' removes it%s.",
		            is_sure ? "" : ", if no process of another user has it open");
}

/* ---- looks ---- */

static void count_life(struct look *look)
{
	for (unsigned i = 0; i < look->info.endpoints; i++) {
		const uint64_t bit = UINT64_C(1) << look->info.endpoint[i].entry;

		switch (look->info.endpoint[i].life) {
		case HQQ_ALIVE:
			look->living |= bit;
			break;
		case HQQ_DEAD:
			look->dead |= bit;
			break;
		case HQQ_UNKNOWN:
			look->unknown |= bit;
			break;
		}
	}
}

static int take_look(int fd, struct look *look)
{
	int rc;

	memset(look, 0, sizeof(*look));
	rc = inspect_fd(fd, &look->info);
	if (rc)
		return rc;
	users_find(&look->info.stat, &look->users);
	if (!look->info.is_segment) {
		check_stranger(look);
		return 0;
	}
	if (!check_header(look))
		return 0;
	count_life(look);
	/* cursors, then lanes, then slots: see slots.c. A file that was cut since is told by the next look.
	 */
	for (int direction = 0; direction < 2; direction++) {
		if (!inspect_ring(fd, &look->info.geometry, direction, &look->before[direction]))
			return 0;
		look->after[direction] = look->before[direction];
	}
	if (!inspect_extension(fd, &look->extension))
		return 0;
	look->has_extension = look->info.extended;
	check_extension(look);
	for (unsigned i = 0; look->has_extension && i < look->info.endpoints; i++)
		check_entry(look, &look->info.endpoint[i]);
	check_strangers(look);
	if (look->has_extension) {
		check_repair(look);
		check_bells(fd, look);
	}
	check_rings(fd, look);
	check_stale(look);
	return 0;
}

static bool has_sleepers(const struct look *look)
{
	for (unsigned i = 0; i < look->findings.count; i++) {
		if (look->findings.finding[i].topic == topic_sleep)
			return true;
	}
	return false;
}

int diagnose(int fd, struct look *look)
{
	struct look *earlier = malloc(sizeof(*earlier));
	int rc;

	if (!earlier)
		return -ENOMEM;
	rc = take_look(fd, look);
	for (unsigned looks = 1; rc == 0 && look->findings.count && looks < 3; looks++) {
		if (looks == 2 && !has_sleepers(look))
			break;
		*earlier = *look;
		sleep_ns(looks == 1 ? PAUSE_NS : SLEEP_PAUSE_NS);
		rc = take_look(fd, look);
		findings_keep(&look->findings, &earlier->findings);
	}
	free(earlier);
	return rc;
}
