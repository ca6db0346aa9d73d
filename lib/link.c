/*
 * link.c - opening and closing
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "link.h"
#include "superblock.h"
#include "thread.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SPIN_NS (100 * HQQ_NS_PER_US) /* about two wake-ups between processors, see learn_spin() */
#define DRAIN_PAUSE_NS (50 * HQQ_NS_PER_US)
#define DEFAULT_FILE_MODE 0600

/*
 * Of the machine, not of this process: a process pinned to one processor may well wait for one that
 * is pinned to another, and a spin yields the processor now and then for those that share it.
 */
static bool has_single_cpu(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) == 1;
}

/* Prepares a link from the pool; what an earlier life left in it is overwritten. */
static void reset(struct hqq_link *link, enum hqq_type type, const struct hqq_options *o)
{
	atomic_store_explicit(&link->light, hqq_fence_register(), memory_order_relaxed);
	link->alone_writing = o->flags & HQQ_SINGLE_WRITER;
	link->alone_reading = o->flags & HQQ_SINGLE_READER;
	link->wait = (enum hqq_wait)o->wait;
	link->peer_eof = o->flags & HQQ_PEER_EOF;
	link->single_cpu = has_single_cpu();
	link->spin_ns = o->spin_ns ? o->spin_ns : DEFAULT_SPIN_NS;
	link->type = type;
	link->private_extension = NULL;
	atomic_store_explicit(&link->copy_ids, 0, memory_order_relaxed);
	atomic_store_explicit(&link->side, 0, memory_order_relaxed);
	atomic_store_explicit(&link->vain_spins, 0, memory_order_relaxed);
	atomic_store_explicit(&link->unwoken, 0, memory_order_relaxed);
	atomic_store_explicit(&link->repairing, 0, memory_order_relaxed);
	atomic_store_explicit(&link->stuck_since, 0, memory_order_relaxed);
	atomic_store_explicit(&link->mended, 0, memory_order_relaxed);
	atomic_store_explicit(&link->lost, 0, memory_order_relaxed);
	hqq_segment_init(&link->segment);
}

/* A block of our own where the segment's bytes are not: the link then works as one of layout 1.0. */
static int use_private_extension(struct hqq_link *link)
{
	link->private_extension = aligned_alloc(HQQ_CACHE_LINE, 4096);
	if (!link->private_extension)
		return -ENOMEM;
	memset(link->private_extension, 0, 4096);
	link->extension = hqq_extension_of(link->private_extension);
	return 0;
}

static struct hqq_ring *ring_of(struct hqq_link *link, int direction)
{
	return hqq_link_ring(link, direction == (int)link->mode ? HQQ_CLAIM_WRITE : HQQ_CLAIM_READ);
}

/* For recover.h, which has them by direction. */
static void rings_by_direction(struct hqq_link *link, struct hqq_ring rings[2])
{
	for (int direction = 0; direction < 2; direction++)
		rings[direction] = *ring_of(link, direction);
}

static int join(struct hqq_link *link)
{
	struct hqq_mended mended = {0, 0, false};
	struct hqq_ring rings[2];
	unsigned flags = 0;
	int rc;

	link->endpoint.extension = link->extension;
	link->endpoint.lock_fd = link->private_extension ? -1 : link->segment.lock_fd;
	if (link->alone_writing)
		flags |= HQQ_ENTRY_SINGLE_WRITER;
	if (link->alone_reading)
		flags |= HQQ_ENTRY_SINGLE_READER;
	if (link->type == HQQ_TYPE_ADVANCED)
		flags |= HQQ_ENTRY_ADVANCED;
	rc = hqq_endpoint_join(&link->endpoint, link->mode, flags);
	if (rc)
		return rc;
	rings_by_direction(link, rings);
	if (link->endpoint.inherited && !hqq_recover_inherited(&link->endpoint, rings, &mended)) {
		hqq_endpoint_leave(&link->endpoint, false);
		return HQQ_ERR_FAILED_INIT;
	}
	atomic_fetch_add_explicit(&link->mended, mended.slots, memory_order_relaxed);
	atomic_fetch_add_explicit(&link->lost, mended.lost, memory_order_relaxed);
	hqq_link_recover(link);
	/* the count first: whoever joins after it is met later */
	link->peers_before = hqq_endpoint_joined(&link->endpoint, hqq_link_peer_mode(link));
	link->peer_met = hqq_endpoint_has_company(&link->endpoint, hqq_link_peer_mode(link));
	return 0;
}

/* The last part of all five: the mapped, ready segment becomes an open link. */
static int complete(struct hqq_link *link, bool initialised, const struct hqq_options *o)
{
	int rc;

	link->mode = o->role == HQQ_ROLE_PRIMARY     ? HQQ_MODE_PRIMARY
	             : o->role == HQQ_ROLE_SECONDARY ? HQQ_MODE_SECONDARY
	             : initialised                   ? HQQ_MODE_PRIMARY
	                                             : HQQ_MODE_SECONDARY;
	for (int direction = 0; direction < 2; direction++)
		hqq_ring_init(ring_of(link, direction), link->segment.base, &link->geometry, direction);
	link->extension = hqq_extension_of(link->segment.base);
	if (!hqq_extension_install(link->extension)) {
		rc = use_private_extension(link);
		if (rc)
			return rc;
	}
	rc = join(link);
	if (rc == 0) {
		hqq_seats_init(&link->seats, link->extension->entries[link->endpoint.index].lanes, getpid());
		rc = hqq_gate_open(&link->gate);
		if (rc)
			hqq_endpoint_leave(&link->endpoint, true);
	}
	if (rc) {
		free(link->private_extension);
		link->private_extension = NULL;
	}
	return rc;
}

static int fail(struct hqq_link *link, int rc)
{
	if (rc)
		hqq_segment_close(&link->segment);
	return rc;
}

/* Wins and initialises, or waits until somebody did and compares. may_win: the role allows it. */
static int make_ready(struct hqq_link *link, bool may_win, uint64_t deadline, bool *initialised)
{
	void *base = link->segment.base;
	int rc;

	*initialised = may_win && hqq_superblock_win(base);
	if (*initialised)
		hqq_superblock_initialise(base, &link->geometry);
	rc = hqq_superblock_await(base, deadline);
	return rc ? rc : hqq_superblock_check(base, &link->geometry);
}

int hqq_link_attach(struct hqq_link *link, enum hqq_type type, void *base, size_t length, size_t count, size_t size,
                    const struct hqq_options *o)
{
	bool initialised;
	int rc = hqq_geometry_init(&link->geometry, count, size);
	HQQ_NOT_CANCELED;

	if (rc)
		return rc;
	if (!base)
		return HQQ_ERR_INVALID_OP;
	if ((uintptr_t)base % link->geometry.page_size)
		return HQQ_ERR_MEMORY_ALIGN;
	if (length < link->geometry.layout_size)
		return HQQ_ERR_MEMORY_SMALL;
	reset(link, type, o);
	link->segment.base = base;
	link->segment.length = length;
	rc = make_ready(link, o->role != HQQ_ROLE_SECONDARY, hqq_clock_after(HQQ_READY_WAIT_NS), &initialised);
	return rc ? rc : complete(link, initialised, o);
}

/* No endpoint lives on the segment behind fd; for hqq_segment_publish(). */
static bool is_stale(int fd, void *argument)
{
	(void)argument;
	return hqq_link_is_stale(fd);
}

int hqq_link_create(struct hqq_link *link, enum hqq_type type, const char *name, size_t count, size_t size,
                    mode_t mode, const struct hqq_options *o)
{
	int rc = hqq_geometry_init(&link->geometry, count, size);
	HQQ_NOT_CANCELED;

	if (rc)
		return rc;
	name = hqq_segment_name(name);
	if (!name || (mode & ~(mode_t)0777))
		return HQQ_ERR_INVALID_OP;
	reset(link, type, o);
	rc = hqq_segment_create_anonymous(&link->segment, link->geometry.layout_size,
	                                  mode ? mode : DEFAULT_FILE_MODE, o->flags);
	if (rc)
		return fail(link, rc);
	hqq_superblock_win(link->segment.base);
	hqq_superblock_initialise(link->segment.base, &link->geometry);
	/* joined before the name appears: an opener finds a segment that somebody lives on */
	rc = complete(link, true, o);
	if (rc)
		return fail(link, rc);
	rc = hqq_segment_publish(&link->segment, name, (o->flags & HQQ_REPLACE_STALE) ? is_stale : NULL, NULL);
	if (rc) {
		hqq_link_shut(link);
		hqq_link_finish(link);
	}
	return rc;
}

int hqq_link_create_fd(struct hqq_link *link, enum hqq_type type, size_t count, size_t size,
                       const struct hqq_options *o)
{
	int rc = hqq_geometry_init(&link->geometry, count, size);
	HQQ_NOT_CANCELED;

	if (rc)
		return rc;
	reset(link, type, o);
	rc = hqq_segment_create_memfd(&link->segment, link->geometry.layout_size, o->flags);
	if (rc)
		return fail(link, rc);
	hqq_superblock_win(link->segment.base);
	hqq_superblock_initialise(link->segment.base, &link->geometry);
	return fail(link, complete(link, true, o));
}

/* Waits for a file of at least length bytes. */
static int await_length(const struct hqq_segment *segment, size_t length, uint64_t deadline)
{
	const struct timespec pause = hqq_clock_timespec(HQQ_NS_PER_MS);

	for (;;) {
		uint64_t size;
		int rc = hqq_segment_file_size(segment, &size);

		if (rc)
			return rc;
		if (size >= length)
			return 0;
		if (hqq_clock_passed(deadline, hqq_clock_now()))
			return HQQ_ERR_FAILED_INIT;
		nanosleep(&pause, NULL);
	}
}

/*
 * Maps an opened file: first the page that tells its geometry, then all of it. Others may still be
 * making it (some name a file before it has its length), so that is waited for. may_win: an empty
 * segment is ours to initialise with the geometry in the link.
 */
static int map_ready(struct hqq_link *link, bool own_geometry, bool may_win, uint64_t deadline, uint64_t flags,
                     bool *initialised)
{
	struct hqq_segment *segment = &link->segment;
	struct hqq_geometry found = link->geometry;
	uint64_t file_size = 0;
	int rc = await_length(segment, hqq_page_size(), deadline);

	if (rc == 0)
		rc = hqq_segment_map(segment, hqq_page_size(), 0);
	if (rc)
		return rc;
	if (!may_win || !hqq_superblock_is_empty(segment->base)) {
		rc = hqq_superblock_await(segment->base, deadline);
		if (rc == 0)
			rc = hqq_superblock_geometry(segment->base, &found);
	}
	hqq_segment_unmap(segment);
	if (rc)
		return rc;
	if (own_geometry)
		link->geometry = found;
	else if (memcmp(&found, &link->geometry, sizeof(found)) != 0)
		return HQQ_ERR_INVALID_SIZE;
	rc = hqq_segment_file_size(segment, &file_size);
	if (rc == 0 && file_size < found.layout_size)
		rc = HQQ_ERR_MEMORY_SMALL;
	if (rc == 0)
		rc = hqq_segment_map(segment, found.layout_size, flags);
	return rc ? rc : make_ready(link, may_win, deadline, initialised);
}

static int own_geometry_wanted(struct hqq_link *link, size_t count, size_t size, bool *own)
{
	*own = count == 0 && size == 0;
	memset(&link->geometry, 0, sizeof(link->geometry));
	return *own ? 0 : hqq_geometry_init(&link->geometry, count, size);
}

int hqq_link_open(struct hqq_link *link, enum hqq_type type, const char *name, size_t count, size_t size,
                  const struct hqq_options *o)
{
	const uint64_t deadline = hqq_clock_after(HQQ_READY_WAIT_NS);
	bool own, initialised;
	int rc = own_geometry_wanted(link, count, size, &own);
	HQQ_NOT_CANCELED;

	if (rc)
		return rc;
	name = hqq_segment_name(name);
	if (!name)
		return HQQ_ERR_INVALID_OP;
	do {
		reset(link, type, o);
		rc = hqq_segment_open(&link->segment, name);
		if (rc == 0) /* from here to the end of complete() nobody replaces the file as a stale one */
			rc = hqq_segment_hold(&link->segment, true);
		if (rc)
			return fail(link, rc);
		if (hqq_segment_is_linked(&link->segment))
			break;
		hqq_segment_close(&link->segment); /* replaced between open and hold: take the new one */
		rc = HQQ_ERR_FAILED_INIT;
	} while (!hqq_clock_passed(deadline, hqq_clock_now()));
	if (rc)
		return rc;
	/* its maker initialises a named segment; we do so only when asked to be the primary */
	rc = map_ready(link, own, o->role == HQQ_ROLE_PRIMARY && !own, deadline, o->flags, &initialised);
	if (rc == 0)
		rc = complete(link, initialised, o);
	hqq_segment_hold(&link->segment, false);
	return fail(link, rc);
}

int hqq_link_open_fd(struct hqq_link *link, enum hqq_type type, int fd, size_t count, size_t size,
                     const struct hqq_options *o)
{
	bool own, initialised;
	int rc = own_geometry_wanted(link, count, size, &own);
	HQQ_NOT_CANCELED;

	if (rc)
		return rc;
	reset(link, type, o);
	rc = hqq_segment_open_fd(&link->segment, fd);
	if (rc == 0)
		rc = map_ready(link, own, o->role != HQQ_ROLE_SECONDARY && !own, hqq_clock_after(HQQ_READY_WAIT_NS),
		               o->flags, &initialised);
	if (rc == 0)
		rc = complete(link, initialised, o);
	return fail(link, rc);
}

bool hqq_link_is_stale(int fd)
{
	struct hqq_segment segment;
	struct hqq_geometry geometry;
	struct hqq_endpoint endpoint = {.index = HQQ_ENDPOINTS, .lock_fd = fd};
	uint64_t file_size;
	bool stale = false;

	hqq_segment_init(&segment);
	segment.fd = fd; /* the caller's; never closed here */
	if (hqq_segment_file_size(&segment, &file_size) || file_size < hqq_page_size() ||
	    hqq_segment_map(&segment, hqq_page_size(), 0))
		return false;
	endpoint.extension = hqq_extension_of(segment.base);
	/* a segment that no libhqq endpoint ever joined tells nothing about who lives on it */
	if (hqq_superblock_await(segment.base, 1) == 0 &&
	    hqq_superblock_geometry(segment.base, &geometry) == 0 &&
	    atomic_load_explicit(&endpoint.extension->magic, memory_order_acquire) == HQQ_EXTENSION_MAGIC &&
	    (hqq_endpoint_joined(&endpoint, HQQ_MODE_PRIMARY) ||
	     hqq_endpoint_joined(&endpoint, HQQ_MODE_SECONDARY)))
		stale = !hqq_endpoint_has_company(&endpoint, HQQ_MODE_PRIMARY) &&
		        !hqq_endpoint_has_company(&endpoint, HQQ_MODE_SECONDARY);
	hqq_segment_unmap(&segment);
	return stale;
}

/* Why a gate in this state admits nobody, or 0. */
static int refusal(enum hqq_gate_state state, bool even_interrupted)
{
	return even_interrupted && state == HQQ_GATE_INTERRUPTED ? 0 : hqq_gate_error(state);
}

struct hqq_seat *hqq_link_find_seat(struct hqq_link *link, bool even_interrupted, int *rc)
{
	/* before the search: in a child of fork() nobody would ever give a seat back */
	*rc = refusal(hqq_gate_state(&link->gate), even_interrupted);
	return *rc ? NULL : hqq_seat_find(&link->seats);
}

int hqq_link_turn_away(struct hqq_seat *seat, enum hqq_gate_state state, bool even_interrupted)
{
	const int rc = refusal(state, even_interrupted);

	if (rc)
		hqq_seat_leave(seat);
	return rc;
}

int hqq_link_shut(struct hqq_link *link)
{
	if (!link || !link->gate.word)
		return HQQ_ERR_INVALID_OP;
	if (hqq_gate_state(&link->gate) == HQQ_GATE_FORKED) {
		if (!hqq_gate_move(&link->gate, (enum hqq_gate_state)atomic_load(link->gate.word), HQQ_GATE_CLOSING))
			return HQQ_ERR_INVALID_OP;
		/* the parent's, even if it has the same number in another pid namespace */
		link->gate.pid = 0;
		link->seats.pid = -1;
		return HQQ_ERR_FORKED;
	}
	if (hqq_seats_hold_me(&link->seats))
		return HQQ_ERR_INVALID_OP;
	/* again when an interrupt or a resume came in between */
	for (;;) {
		const enum hqq_gate_state state = hqq_gate_state(&link->gate);

		if (state != HQQ_GATE_OPEN && state != HQQ_GATE_INTERRUPTED)
			return HQQ_ERR_INVALID_OP;
		if (hqq_gate_move(&link->gate, state, HQQ_GATE_CLOSING))
			break;
	}
	hqq_fence_heavy(); /* seat.h, B */
	hqq_link_nudge(link);
	return 0;
}

void hqq_link_drain(struct hqq_link *link, void (*nudge)(void *), void *argument)
{
	const struct timespec pause = hqq_clock_timespec(DRAIN_PAUSE_NS);

	while (!hqq_seats_are_empty(&link->seats)) {
		hqq_link_nudge(link);
		if (nudge)
			nudge(argument);
		nanosleep(&pause, NULL); /* the other threads' callbacks may take their time */
	}
}

void hqq_link_finish(struct hqq_link *link)
{
	struct hqq_ring rings[2];

	if (link->gate.pid == getpid()) {
		rings_by_direction(link, rings);
		hqq_recover_own(&link->endpoint, rings);
		/* while we live here: who replaces a stale segment leaves this one alone, and we its successor */
		hqq_segment_remove_name(&link->segment);
		hqq_endpoint_leave(&link->endpoint, true);
		for (unsigned i = 0; i < 4; i++) /* whoever waits with HQQ_PEER_EOF looks who is left */
			hqq_bell_wake_all(&link->extension->bells[i / 2][i % 2]);
		hqq_segment_close(&link->segment);
	} else {
		hqq_segment_abandon(&link->segment);
	}
	free(link->private_extension);
	link->private_extension = NULL;
	link->gate.pid = getpid();
	hqq_gate_move(&link->gate, HQQ_GATE_CLOSING, HQQ_GATE_CLOSED);
}

void hqq_link_nudge(struct hqq_link *link)
{
	hqq_bell_wake_endpoint(hqq_link_bell(link, HQQ_CLAIM_WRITE), link->endpoint.index);
	hqq_bell_wake_endpoint(hqq_link_bell(link, HQQ_CLAIM_READ), link->endpoint.index);
}

int hqq_link_interrupt(struct hqq_link *link)
{
	struct hqq_seat *seat = NULL;
	int rc = hqq_link_enter_always(link, &seat);

	if (rc)
		return rc;
	hqq_gate_move(&link->gate, HQQ_GATE_OPEN, HQQ_GATE_INTERRUPTED);
	hqq_link_nudge(link);
	hqq_link_leave(seat);
	return 0;
}

int hqq_link_resume(struct hqq_link *link)
{
	struct hqq_seat *seat = NULL;
	int rc = hqq_link_enter_always(link, &seat);

	if (rc)
		return rc;
	hqq_gate_move(&link->gate, HQQ_GATE_INTERRUPTED, HQQ_GATE_OPEN);
	hqq_link_leave(seat);
	return 0;
}

struct hqq_mended hqq_link_recover(struct hqq_link *link)
{
	struct hqq_mended mended = {0, 0, false};
	struct hqq_ring rings[2];

	if (link->private_extension)
		return mended;
	/* acquire/release: one of our threads at a time */
	if (atomic_exchange_explicit(&link->repairing, 1, memory_order_acquire)) {
		mended.unfinished = true;
		return mended;
	}
	rings_by_direction(link, rings);
	mended = hqq_recover(&link->endpoint, rings);
	atomic_store_explicit(&link->repairing, 0, memory_order_release);
	atomic_fetch_add_explicit(&link->mended, mended.slots, memory_order_relaxed);
	atomic_fetch_add_explicit(&link->lost, mended.lost, memory_order_relaxed);
	return mended;
}
