/*
 * endpoint.c - joining and leaving the table of endpoints
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "endpoint.h"
#include "wait.h"
#include <errno.h>
#include <unistd.h>

/* Each of these wants its side for itself; an Advanced link is a conversation of two. */
#define ALONE_FLAGS (HQQ_ENTRY_SINGLE_WRITER | HQQ_ENTRY_SINGLE_READER | HQQ_ENTRY_ADVANCED)

static uint64_t identity_of(const struct hqq_extension *extension, unsigned index)
{
	/* acquire pairs with the release stores of joining, leaving and clearing */
	return atomic_load_explicit(&extension->entries[index].identity, memory_order_acquire);
}

enum hqq_liveness hqq_endpoint_liveness(const struct hqq_endpoint *endpoint, unsigned index)
{
	const struct hqq_entry *entry = &endpoint->extension->entries[index];
	uint64_t identity = identity_of(endpoint->extension, index);

	return hqq_liveness(identity, atomic_load_explicit(&entry->origin, memory_order_relaxed), index,
	                    endpoint->lock_fd);
}

/*
 * Makes an entry with this identity ours; the byte's lock, where there is one, settles who may. The
 * lanes of a dead one stay those of its side.
 */
static bool take_entry(struct hqq_endpoint *endpoint, unsigned index, uint64_t old, enum hqq_mode mode, unsigned flags)
{
	struct hqq_entry *entry = &endpoint->extension->entries[index];
	const bool was_free = hqq_identity_is_free(old);
	const int lanes_mode = was_free ? (int)mode : hqq_identity_lanes_mode(old), pid = getpid();
	const uint64_t identity = hqq_identity(pid, was_free ? HQQ_ENTRY_JOINING : HQQ_ENTRY_INHERITING,
	                                       flags | (lanes_mode ? HQQ_ENTRY_LANES : 0),
	                                       hqq_identity_count(old) + 1, hqq_process_namespace());

	if (endpoint->lock_fd >= 0 && !hqq_liveness_lock(endpoint->lock_fd, index))
		return false;
	if (!atomic_compare_exchange_strong_explicit(&entry->identity, &old, identity, memory_order_acq_rel,
	                                             memory_order_relaxed)) {
		if (endpoint->lock_fd >= 0)
			hqq_liveness_unlock(endpoint->lock_fd, index);
		return false;
	}
	atomic_store_explicit(&entry->origin, hqq_process_origin(pid), memory_order_relaxed);
	endpoint->index = index;
	return true;
}

static bool take_free_entry(struct hqq_endpoint *endpoint, enum hqq_mode mode, unsigned flags)
{
	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		uint64_t old = identity_of(endpoint->extension, index);

		if (hqq_identity_is_free(old) && take_entry(endpoint, index, old, mode, flags)) {
			endpoint->inherited = false;
			return true;
		}
	}
	return false;
}

static bool take_dead_entry(struct hqq_endpoint *endpoint, enum hqq_mode mode, unsigned flags)
{
	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		uint64_t old = identity_of(endpoint->extension, index);

		if (!hqq_identity_is_free(old) && hqq_endpoint_liveness(endpoint, index) == HQQ_DEAD &&
		    take_entry(endpoint, index, old, mode, flags)) {
			endpoint->inherited = true;
			return true;
		}
	}
	return false;
}

/* Somebody else lives on our side, and one of us wants to be alone there. */
static bool is_contested(const struct hqq_endpoint *endpoint, unsigned own_flags)
{
	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		unsigned flags = hqq_identity_flags(identity_of(endpoint->extension, index));

		if (index == endpoint->index || ((flags ^ own_flags) & HQQ_ENTRY_SECONDARY) ||
		    !((flags | own_flags) & ALONE_FLAGS))
			continue;
		if (hqq_endpoint_liveness(endpoint, index) != HQQ_DEAD)
			return true;
	}
	return false;
}

/* Our entry, into another state. */
static void move(struct hqq_endpoint *endpoint, enum hqq_entry_state state)
{
	atomic_store_explicit(&endpoint->extension->entries[endpoint->index].identity,
	                      hqq_identity_in_state(identity_of(endpoint->extension, endpoint->index), state),
	                      memory_order_release);
}

int hqq_endpoint_join(struct hqq_endpoint *endpoint, enum hqq_mode mode, unsigned flags)
{
	struct hqq_extension *extension = endpoint->extension;

	if (mode == HQQ_MODE_SECONDARY)
		flags |= HQQ_ENTRY_SECONDARY;
	if (endpoint->lock_fd >= 0)
		flags |= HQQ_ENTRY_LOCKED;
	if (!take_free_entry(endpoint, mode, flags) && !take_dead_entry(endpoint, mode, flags))
		return -EUSERS;
	/*
	 * Announced, now look: of two that want the side for themselves each sees the other, or one
	 * does, never none. Pairs with the same fence in the other's join.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	if (is_contested(endpoint, flags)) {
		hqq_endpoint_leave(endpoint, !endpoint->inherited);
		return -EBUSY;
	}
	if (!endpoint->inherited) /* an heir mends first: hqq_endpoint_settle() */
		move(endpoint, HQQ_ENTRY_LIVE);
	/* release: who reads the count finds the entry */
	atomic_fetch_add_explicit(&extension->joined[mode], 1, memory_order_release);
	return 0;
}

void hqq_endpoint_settle(struct hqq_endpoint *endpoint)
{
	struct hqq_entry *entry = &endpoint->extension->entries[endpoint->index];
	const uint64_t identity =
		hqq_identity_in_state(identity_of(endpoint->extension, endpoint->index), HQQ_ENTRY_LIVE);
	const uint64_t lanes = hqq_identity(0, HQQ_ENTRY_FREE, HQQ_ENTRY_LANES, 0, 0);

	for (unsigned lane = 0; lane < HQQ_LANES; lane++)
		atomic_store_explicit(&entry->lanes[lane], 0, memory_order_release);
	/* release: the lanes are clear before they are those of our side */
	atomic_store_explicit(&entry->identity, hqq_identity_mode(identity) ? identity | lanes : identity & ~lanes,
	                      memory_order_release);
}

void hqq_endpoint_clear(struct hqq_extension *extension, unsigned index, uint64_t identity)
{
	struct hqq_entry *entry = &extension->entries[index];

	for (unsigned lane = 0; lane < HQQ_LANES; lane++)
		atomic_store_explicit(&entry->lanes[lane], 0, memory_order_relaxed);
	for (unsigned i = 0; i < 4; i++)
		hqq_bell_unmark(&extension->bells[i / 2][i % 2], index);
	/* release: whoever takes the free entry finds it clean */
	atomic_compare_exchange_strong_explicit(&entry->identity, &identity, hqq_identity_freed(identity),
	                                        memory_order_release, memory_order_relaxed);
}

void hqq_endpoint_leave(struct hqq_endpoint *endpoint, bool clean)
{
	if (clean)
		hqq_endpoint_clear(endpoint->extension, endpoint->index,
		                   identity_of(endpoint->extension, endpoint->index));
	else
		move(endpoint, HQQ_ENTRY_LEFT);
	if (endpoint->lock_fd >= 0)
		hqq_liveness_unlock(endpoint->lock_fd, endpoint->index);
}

/* The entry is that of another endpoint that serves the mode, and is not known to be dead. */
static bool is_company(const struct hqq_endpoint *endpoint, unsigned index, uint64_t identity, enum hqq_mode mode)
{
	return !hqq_identity_is_free(identity) && index != endpoint->index && hqq_identity_mode(identity) == (int)mode &&
	       hqq_endpoint_liveness(endpoint, index) != HQQ_DEAD;
}

bool hqq_endpoint_has_company(const struct hqq_endpoint *endpoint, enum hqq_mode mode)
{
	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		if (is_company(endpoint, index, identity_of(endpoint->extension, index), mode))
			return true;
	}
	return false;
}

uint64_t hqq_endpoint_find(const struct hqq_endpoint *endpoint, enum hqq_mode mode)
{
	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		const uint64_t identity = identity_of(endpoint->extension, index);

		/* whoever has not come so far may be turned away yet */
		if (hqq_identity_state(identity) == HQQ_ENTRY_LIVE && is_company(endpoint, index, identity, mode))
			return hqq_identity_who(identity, index);
	}
	return 0;
}

bool hqq_endpoint_is_there(const struct hqq_endpoint *endpoint, uint64_t who)
{
	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		if (hqq_identity_who(identity_of(endpoint->extension, index), index) == who)
			return hqq_endpoint_liveness(endpoint, index) != HQQ_DEAD;
	}
	return false;
}

bool hqq_endpoint_is_lone(const struct hqq_endpoint *endpoint, enum hqq_mode mode)
{
	for (unsigned index = 0; index < HQQ_ENDPOINTS; index++) {
		const uint64_t identity = identity_of(endpoint->extension, index);

		if (!hqq_identity_is_free(identity) && index != endpoint->index &&
		    (hqq_identity_mode(identity) == (int)mode || hqq_identity_lanes_mode(identity) == (int)mode))
			return false;
	}
	return true;
}

uint64_t hqq_endpoint_joined(const struct hqq_endpoint *endpoint, enum hqq_mode mode)
{
	return atomic_load_explicit(&endpoint->extension->joined[mode], memory_order_acquire);
}
