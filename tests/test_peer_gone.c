/*
 * test_peer_gone.c - HQQ_PEER_EOF: what ends when the last peer closes or dies, and what does not
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "ends.h"
#include "standard/standard.h"
#include "waiter.h"

#include <hqq.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(nobody_came_yet)
{
	const char *name = test_name("nobody");
	hqq_standard *handle = end_create(name, HQQ_ROLE_AUTO, HQQ_PEER_EOF), *beside;
	struct timespec soon = test_in_ms(30);

	end_expect_error(handle, HQQ_ERR_TIMEOUT);
	/* one on our own side is no peer */
	beside = end_open_as(name, HQQ_ROLE_PRIMARY, 0);
	end_close(beside);
	MUST_EQ(hqq_standard_set_deadline(handle, &soon), 0);
	end_expect_error(handle, HQQ_ERR_TIMEOUT);
	end_close(handle);
}
END_TEST

START_TEST(what_was_sent_is_read_first)
{
	const char *name = test_name("first");
	hqq_standard *handle = end_create(name, HQQ_ROLE_AUTO, HQQ_PEER_EOF), *peer;
	char buffer[END_SIZE];
	int round;

	for (round = 0; round < 3; round++) {
		peer = end_open_as(name, HQQ_ROLE_AUTO, 0);
		end_expect_error(handle, HQQ_ERR_TIMEOUT);
		end_send(peer, "one");
		end_send(peer, "two parts");
		end_close(peer);
		MUST_EQ(hqq_standard_set_deadline(handle, NULL), 0);
		end_expect(handle, "one");
		MUST_EQ(hqq_standard_read(handle, buffer, 4), 4);
		/* a tail, too */
		end_expect(handle, "parts");
		end_expect_error(handle, HQQ_ERR_PEER_GONE);
		end_expect_error(handle, HQQ_ERR_PEER_GONE);
		MUST_EQ(hqq_standard_set_deadline(handle, &end_at_once), 0);
		end_expect_error(handle, HQQ_ERR_PEER_GONE);
		/* a new peer, and all is well again */
	}
	end_close(handle);
}
END_TEST

START_TEST(a_writer_without_readers)
{
	const char *name = test_name("unread");
	hqq_standard *handle = end_create(name, HQQ_ROLE_AUTO, HQQ_PEER_EOF);
	hqq_standard *peer = end_open_as(name, HQQ_ROLE_AUTO, 0);
	int i;

	end_close(peer);
	/* there is room, so there is no wait to end */
	for (i = 0; i < END_COUNT; i++)
		end_send(handle, "nobody reads this");
	MUST_EQ(hqq_standard_set_deadline(handle, NULL), 0);
	for (i = WAITER_READS; i < WAITER_WAYS; i++)
		MUST_EQ(waiter_call(handle, i), HQQ_ERR_PEER_GONE);
	peer = end_open_as(name, HQQ_ROLE_AUTO, 0);
	MUST_EQ(hqq_standard_set_deadline(handle, &end_at_once), 0);
	MUST_EQ(hqq_standard_write(handle, "x", 1), HQQ_ERR_TIMEOUT);
	end_expect(peer, "nobody reads this");
	end_send(handle, "x");
	end_close(peer);
	end_close(handle);
}
END_TEST

START_TEST(the_last_of_several)
{
	const char *name = test_name("several");
	hqq_standard *handle = end_create(name, HQQ_ROLE_AUTO, HQQ_PEER_EOF), *peers[3];
	int i;

	for (i = 0; i < 3; i++)
		peers[i] = end_open_as(name, HQQ_ROLE_AUTO, 0);
	for (i = 0; i < 3; i++) {
		end_expect_error(handle, HQQ_ERR_TIMEOUT);
		end_close(peers[i]);
	}
	end_expect_error(handle, HQQ_ERR_PEER_GONE);
	end_close(handle);
}
END_TEST

START_TEST(those_who_did_not_ask_wait_on)
{
	const char *name = test_name("unasked");
	hqq_standard *handle = end_create(name, HQQ_ROLE_AUTO, 0), *peer = end_open_as(name, HQQ_ROLE_AUTO, 0);
	struct timespec soon = test_in_ms(80);

	end_close(peer);
	MUST_EQ(hqq_standard_set_deadline(handle, &soon), 0);
	end_expect_error(handle, HQQ_ERR_TIMEOUT);
	end_close(handle);
}
END_TEST

/* Both directions: a wait of each way ends when the peer closes. */
START_TEST(closing_ends_the_peers_wait)
{
	const char *name = test_name("closing");
	hqq_standard *handle = end_create(name, HQQ_ROLE_AUTO, HQQ_PEER_EOF);
	hqq_standard *peer = end_open_as(name, HQQ_ROLE_AUTO, 0);
	struct waiter waiter;
	uint64_t now;

	if (waiter_writes(_i))
		waiter_fill(handle);
	MUST_EQ(hqq_standard_set_deadline(handle, NULL), 0);
	waiter_start(&waiter, handle, _i);
	waiter_asleep(&waiter);
	now = test_now_ns();
	end_close(peer);
	MUST_EQ(waiter_join(&waiter), HQQ_ERR_PEER_GONE);
	waiter_prompt(&waiter, now, "the peer's close");
	end_close(handle);
}
END_TEST

static int peer_that_sleeps(void *argument)
{
	hqq_standard *handle = end_open_as(argument, HQQ_ROLE_AUTO, 0);

	MUST_EQ(hqq_standard_set_deadline(handle, NULL), 0);
	parent_say('r');
	pause();
	return 0;
}

START_TEST(death_ends_the_peers_wait)
{
	const char *name = test_name("death");
	hqq_standard *handle = end_create(name, HQQ_ROLE_AUTO, HQQ_PEER_EOF);
	struct waiter waiter;
	struct child child;
	uint64_t now;
	int status;

	if (waiter_writes(_i))
		waiter_fill(handle);
	child_start(&child, peer_that_sleeps, (void *)(uintptr_t)name);
	child_hear(&child, 'r');
	MUST_EQ(hqq_standard_set_deadline(handle, NULL), 0);
	waiter_start(&waiter, handle, _i);
	waiter_asleep(&waiter);
	/* stopped is not dead */
	MUST_EQ(kill(child.pid, SIGSTOP), 0);
	MUST_EQ(waitpid(child.pid, &status, WUNTRACED), child.pid);
	test_sleep_ms(120);
	MUST_EQ(waiter.ended_ns, 0);
	now = test_now_ns();
	child_kill(&child);
	MUST_EQ(waiter_join(&waiter), HQQ_ERR_PEER_GONE);
	waiter_prompt(&waiter, now, "the peer's death");
	end_close(handle);
}
END_TEST

/* ---- behind what a dead peer left ---------------------------------------------------------------- */

/* A slot in its hands, and a message behind that. */
static int peer_that_leaves_a_slot(void *argument)
{
	hqq_standard *handle = end_open_as(argument, HQQ_ROLE_AUTO, 0);
	struct hqq_reservation held;

	MUST_EQ(hqq_standard_reserve_write(handle, &held), 0);
	end_send(handle, "last");
	parent_say('r');
	pause();
	return 0;
}

enum { ANOTHER_ENDPOINT, ANOTHER_THREAD, REPAIRERS };

#define REPAIR_HOLDER UINT64_C(0xff) /* extension.h, repair */

/* Somebody else has begun to mend that slot, and takes his time. */
START_TEST(the_last_message_comes_first_whoever_repairs)
{
	const char *name = test_name("repairs");
	hqq_standard *handle = end_create(name, HQQ_ROLE_AUTO, HQQ_PEER_EOF);
	hqq_standard *beside = end_open_as(name, HQQ_ROLE_PRIMARY, 0);
	_Atomic uint64_t *lock;
	struct timespec soon;
	struct child child;
	unsigned char *raw;
	size_t length;

	raw = test_map_name(name, &length);
	lock = &hqq_extension_of(raw)->repair;
	child_start(&child, peer_that_leaves_a_slot, (void *)(uintptr_t)name);
	child_hear(&child, 'r');
	child_kill(&child);
	if (_i == ANOTHER_ENDPOINT)
		atomic_store(lock, (atomic_load(lock) & ~REPAIR_HOLDER) | (beside->link.endpoint.index + 1));
	else
		atomic_store(&handle->link.repairing, 1);
	end_expect_error(handle, HQQ_ERR_TIMEOUT);
	soon = test_in_ms(120);
	MUST_EQ(hqq_standard_set_deadline(handle, &soon), 0);
	end_expect_error(handle, HQQ_ERR_TIMEOUT);
	if (_i == ANOTHER_ENDPOINT)
		atomic_store(lock, atomic_load(lock) & ~REPAIR_HOLDER);
	else
		atomic_store(&handle->link.repairing, 0);
	MUST_EQ(hqq_standard_set_deadline(handle, NULL), 0);
	end_expect(handle, "last");
	end_expect_error(handle, HQQ_ERR_PEER_GONE);
	test_unmap(raw, length);
	end_close(beside);
	end_close(handle);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("peer gone");
	TCase *cases = test_case(suite, "attempts", 30);

	tcase_add_test(cases, nobody_came_yet);
	tcase_add_test(cases, what_was_sent_is_read_first);
	tcase_add_test(cases, a_writer_without_readers);
	tcase_add_test(cases, the_last_of_several);
	tcase_add_test(cases, those_who_did_not_ask_wait_on);

	cases = test_case(suite, "waits", 30);
	tcase_add_loop_test(cases, closing_ends_the_peers_wait, 0, WAITER_WAYS);
	tcase_add_loop_test(cases, death_ends_the_peers_wait, 0, WAITER_WAYS);

	cases = test_case(suite, "behind a dead peer", 30);
	tcase_add_loop_test(cases, the_last_message_comes_first_whoever_repairs, 0, REPAIRERS);
	return test_main(suite);
}
