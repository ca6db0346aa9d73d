/*
 * test_peer_gone.c - HQQ_PEER_EOF: what ends when the last peer closes or dies, and what does not
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.h"
#include "waiter.h"

#include <hqq.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT 8
#define SIZE 64

static const struct timespec passed = { 0, 0 };

static hqq_standard *create(const char *name, uint32_t role, uint64_t flags)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_standard *handle;

	options.role = role;
	options.flags = flags;
	MUST_EQ(hqq_standard_create(&handle, name, COUNT, SIZE, 0600, &options), 0);
	MUST_EQ(hqq_standard_set_deadline(handle, &passed), 0);
	return handle;
}

static int try_open(hqq_standard **handle, const char *name, uint32_t role, uint64_t flags)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	int rc;

	options.role = role;
	options.flags = flags;
	rc = hqq_standard_open(handle, name, 0, 0, &options);
	if (rc == 0)
		MUST_EQ(hqq_standard_set_deadline(*handle, &passed), 0);
	return rc;
}

static hqq_standard *open_as(const char *name, uint32_t role, uint64_t flags)
{
	hqq_standard *handle;

	MUST_EQ(try_open(&handle, name, role, flags), 0);
	return handle;
}

static void shut(hqq_standard *handle)
{
	MUST_EQ(hqq_standard_close(handle), 0);
}

static void send_text(hqq_standard *handle, const char *text)
{
	MUST_EQ(hqq_standard_write(handle, text, strlen(text)), strlen(text));
}

static void expect_text(hqq_standard *handle, const char *text)
{
	char buffer[SIZE];

	MUST_EQ(hqq_standard_read(handle, buffer, sizeof(buffer)), strlen(text));
	MUST(memcmp(buffer, text, strlen(text)) == 0);
}

static void expect_error(hqq_standard *handle, int error)
{
	char buffer[SIZE];

	MUST_EQ(hqq_standard_read(handle, buffer, sizeof(buffer)), error);
}

START_TEST(nobody_came_yet)
{
	const char *name = test_name("nobody");
	hqq_standard *handle = create(name, HQQ_ROLE_AUTO, HQQ_PEER_EOF), *beside;
	struct timespec soon = test_in_ms(30);

	expect_error(handle, HQQ_ERR_TIMEOUT);
	/* one on our own side is no peer */
	beside = open_as(name, HQQ_ROLE_PRIMARY, 0);
	shut(beside);
	MUST_EQ(hqq_standard_set_deadline(handle, &soon), 0);
	expect_error(handle, HQQ_ERR_TIMEOUT);
	shut(handle);
}
END_TEST

START_TEST(what_was_sent_is_read_first)
{
	const char *name = test_name("first");
	hqq_standard *handle = create(name, HQQ_ROLE_AUTO, HQQ_PEER_EOF), *peer;
	char buffer[SIZE];
	int round;

	for (round = 0; round < 3; round++) {
		peer = open_as(name, HQQ_ROLE_AUTO, 0);
		expect_error(handle, HQQ_ERR_TIMEOUT);
		send_text(peer, "one");
		send_text(peer, "two parts");
		shut(peer);
		MUST_EQ(hqq_standard_set_deadline(handle, NULL), 0);
		expect_text(handle, "one");
		MUST_EQ(hqq_standard_read(handle, buffer, 4), 4);
		/* a tail, too */
		expect_text(handle, "parts");
		expect_error(handle, HQQ_ERR_PEER_GONE);
		expect_error(handle, HQQ_ERR_PEER_GONE);
		MUST_EQ(hqq_standard_set_deadline(handle, &passed), 0);
		expect_error(handle, HQQ_ERR_PEER_GONE);
		/* a new peer, and all is well again */
	}
	shut(handle);
}
END_TEST

START_TEST(a_writer_without_readers)
{
	const char *name = test_name("unread");
	hqq_standard *handle = create(name, HQQ_ROLE_AUTO, HQQ_PEER_EOF);
	hqq_standard *peer = open_as(name, HQQ_ROLE_AUTO, 0);
	int i;

	shut(peer);
	/* there is room, so there is no wait to end */
	for (i = 0; i < COUNT; i++)
		send_text(handle, "nobody reads this");
	MUST_EQ(hqq_standard_set_deadline(handle, NULL), 0);
	for (i = WAITER_READS; i < WAITER_WAYS; i++)
		MUST_EQ(waiter_call(handle, i), HQQ_ERR_PEER_GONE);
	peer = open_as(name, HQQ_ROLE_AUTO, 0);
	MUST_EQ(hqq_standard_set_deadline(handle, &passed), 0);
	MUST_EQ(hqq_standard_write(handle, "x", 1), HQQ_ERR_TIMEOUT);
	expect_text(peer, "nobody reads this");
	send_text(handle, "x");
	shut(peer);
	shut(handle);
}
END_TEST

START_TEST(the_last_of_several)
{
	const char *name = test_name("several");
	hqq_standard *handle = create(name, HQQ_ROLE_AUTO, HQQ_PEER_EOF), *peers[3];
	int i;

	for (i = 0; i < 3; i++)
		peers[i] = open_as(name, HQQ_ROLE_AUTO, 0);
	for (i = 0; i < 3; i++) {
		expect_error(handle, HQQ_ERR_TIMEOUT);
		shut(peers[i]);
	}
	expect_error(handle, HQQ_ERR_PEER_GONE);
	shut(handle);
}
END_TEST

START_TEST(those_who_did_not_ask_wait_on)
{
	const char *name = test_name("unasked");
	hqq_standard *handle = create(name, HQQ_ROLE_AUTO, 0), *peer = open_as(name, HQQ_ROLE_AUTO, 0);
	struct timespec soon = test_in_ms(80);

	shut(peer);
	MUST_EQ(hqq_standard_set_deadline(handle, &soon), 0);
	expect_error(handle, HQQ_ERR_TIMEOUT);
	shut(handle);
}
END_TEST

/* Both directions: a wait of each way ends when the peer closes. */
START_TEST(closing_ends_the_peers_wait)
{
	const char *name = test_name("closing");
	hqq_standard *handle = create(name, HQQ_ROLE_AUTO, HQQ_PEER_EOF);
	hqq_standard *peer = open_as(name, HQQ_ROLE_AUTO, 0);
	struct waiter waiter;
	uint64_t now;

	if (waiter_writes(_i))
		waiter_fill(handle);
	MUST_EQ(hqq_standard_set_deadline(handle, NULL), 0);
	waiter_start(&waiter, handle, _i);
	waiter_asleep(&waiter);
	now = test_now_ns();
	shut(peer);
	MUST_EQ(waiter_join(&waiter), HQQ_ERR_PEER_GONE);
	waiter_prompt(&waiter, now, "the peer's close");
	shut(handle);
}
END_TEST

static int peer_that_sleeps(void *argument)
{
	hqq_standard *handle = open_as(argument, HQQ_ROLE_AUTO, 0);

	MUST_EQ(hqq_standard_set_deadline(handle, NULL), 0);
	parent_say('r');
	pause();
	return 0;
}

START_TEST(death_ends_the_peers_wait)
{
	const char *name = test_name("death");
	hqq_standard *handle = create(name, HQQ_ROLE_AUTO, HQQ_PEER_EOF);
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
	shut(handle);
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
	return test_main(suite);
}
