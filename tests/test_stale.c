/*
 * test_stale.c - HQQ_REPLACE_STALE: a segment goes when nobody lives on it, and not before
 *
 * Names that change hands do so at two points of the library that the linker puts functions of ours
 * before (Makefile.inc).
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "endpoint.h"
#include "foreign.h"
#include "segment.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <hqq.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT 4
#define SIZE 64

static int replace(hqq_standard **handle, const char *name)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;

	options.flags = HQQ_REPLACE_STALE;
	return hqq_standard_create(handle, name, COUNT, SIZE, 0600, &options);
}

static int creator_that_stays(void *argument)
{
	hqq_standard *handle;

	MUST_EQ(hqq_standard_create(&handle, argument, COUNT, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_write(handle, "old", 3), 3);
	parent_say('c');
	pause();
	return 0;
}

static void start_creator(struct child *child, const char *name)
{
	child_start(child, creator_that_stays, (void *)(uintptr_t)name);
	child_hear(child, 'c');
}

static ino_t inode_of(const char *name)
{
	struct stat status;
	char path[300];

	snprintf(path, sizeof(path), "/dev/shm/%s", name);
	MUST_EQ(stat(path, &status), 0);
	return status.st_ino;
}

START_TEST(the_living_are_not_replaced)
{
	const char *name = test_name("living");
	hqq_standard *handle = NULL;
	struct child creator;
	ino_t inode;
	int status;

	start_creator(&creator, name);
	inode = inode_of(name);
	MUST_EQ(replace(&handle, name), -EEXIST);
	/* stopped is not dead */
	MUST_EQ(kill(creator.pid, SIGSTOP), 0);
	MUST_EQ(waitpid(creator.pid, &status, WUNTRACED), creator.pid);
	MUST(WIFSTOPPED(status));
	MUST_EQ(replace(&handle, name), -EEXIST);
	MUST_EQ(kill(creator.pid, SIGCONT), 0);
	MUST_EQ(replace(&handle, name), -EEXIST);
	MUST_EQ(inode_of(name), inode);
	MUST(handle == NULL);
	child_kill(&creator);
	MUST_EQ(hqq_standard_unlink(name), 0);
}
END_TEST

START_TEST(the_dead_are_replaced_on_demand)
{
	const char *name = test_name("dead");
	const struct timespec passed = { 0, 0 };
	hqq_standard *handle = NULL, *peer;
	struct child creator;
	char text[SIZE];
	ino_t inode;

	start_creator(&creator, name);
	child_kill(&creator);
	inode = inode_of(name);
	MUST_EQ(hqq_standard_create(&handle, name, COUNT, SIZE, 0600, NULL), -EEXIST);
	MUST_EQ(inode_of(name), inode);
	MUST_EQ(replace(&handle, name), 0);
	/* a new segment, with nothing of the old one in it */
	MUST_EQ(hqq_standard_open(&peer, name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(peer, &passed), 0);
	MUST_EQ(hqq_standard_read(peer, text, sizeof(text)), HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_write(handle, "new", 3), 3);
	MUST_EQ(hqq_standard_read(peer, text, sizeof(text)), 3);
	MUST(memcmp(text, "new", 3) == 0);
	MUST_EQ(hqq_standard_close(peer), 0);
	MUST_EQ(hqq_standard_close(handle), 0);
	MUST(!test_name_exists(name));
}
END_TEST

START_TEST(a_living_peer_keeps_a_dead_creators_segment)
{
	const char *name = test_name("peer");
	hqq_standard *handle = NULL, *peer;
	struct child creator;

	start_creator(&creator, name);
	MUST_EQ(hqq_standard_open(&peer, name, 0, 0, NULL), 0);
	child_kill(&creator);
	MUST_EQ(replace(&handle, name), -EEXIST);
	MUST_EQ(hqq_standard_close(peer), 0);
	MUST_EQ(replace(&handle, name), 0);
	MUST_EQ(hqq_standard_close(handle), 0);
}
END_TEST

START_TEST(what_tells_nothing_is_not_replaced)
{
	const struct foreign_defects stuck = { .stuck = true };
	const char *name = test_name("unknown");
	hqq_standard *handle = NULL;
	struct foreign creator;
	char path[300];
	int fd;

	/* another implementation leaves no word on whether it lives */
	MUST_EQ(foreign_create(&creator, name, COUNT, SIZE, NULL), FOREIGN_OK);
	MUST_EQ(replace(&handle, name), -EEXIST);
	foreign_close(&creator);
	MUST_EQ(foreign_create(&creator, name, COUNT, SIZE, &stuck), FOREIGN_OK);
	MUST_EQ(replace(&handle, name), -EEXIST);
	foreign_close(&creator);
	/* and what is no segment at all is somebody's file */
	snprintf(path, sizeof(path), "/dev/shm/%s", name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	MUST_EQ(replace(&handle, name), -EEXIST);
	MUST_EQ(ftruncate(fd, 1 << 16), 0);
	MUST_EQ(replace(&handle, name), -EEXIST);
	close(fd);
	MUST_EQ(unlink(path), 0);
	MUST(handle == NULL);
}
END_TEST

#define RACERS 4

static int racer(void *argument)
{
	hqq_standard *handle;
	int result;

	parent_say('r');
	parent_hear('g');
	result = replace(&handle, argument);
	MUST(result == 0 || result == -EEXIST);
	parent_say(result == 0 ? 'w' : 'l');
	parent_hear('q');
	/* gone without a word: the next round finds it stale */
	return result == 0;
}

START_TEST(one_of_many_replaces)
{
	const char *name = test_name("race");
	struct child children[RACERS];
	int round, i;

	for (round = 0; round < 10; round++) {
		int winners = 0;

		for (i = 0; i < RACERS; i++) {
			child_start(&children[i], racer, (void *)(uintptr_t)name);
			child_hear(&children[i], 'r');
		}
		for (i = 0; i < RACERS; i++)
			child_say(&children[i], 'g');
		for (i = 0; i < RACERS; i++) {
			char byte = 0;

			MUST_EQ(read(children[i].line, &byte, 1), 1);
			winners += byte == 'w';
		}
		MUST_EQ(winners, 1);
		for (i = 0; i < RACERS; i++) {
			child_say(&children[i], 'q');
			MUST(child_join(&children[i]) <= 1);
		}
	}
	MUST_EQ(hqq_standard_unlink(name), 0);
}
END_TEST

/* ---- names that change hands ------------------------------------------------------------------- */

static const char *leavers_name;     /* of the maker that closes; NULL: nobody looks */
static void (*before_verdict)(void); /* as who replaces begins to look whether anybody lives there */

void __real_hqq_endpoint_leave(struct hqq_endpoint *endpoint, bool clean);
void __wrap_hqq_endpoint_leave(struct hqq_endpoint *endpoint, bool clean);

void __wrap_hqq_endpoint_leave(struct hqq_endpoint *endpoint, bool clean)
{
	if (leavers_name)
		MUST(!test_name_exists(leavers_name));
	__real_hqq_endpoint_leave(endpoint, clean);
}

int __real_hqq_segment_file_size(const struct hqq_segment *segment, uint64_t *size);
int __wrap_hqq_segment_file_size(const struct hqq_segment *segment, uint64_t *size);

int __wrap_hqq_segment_file_size(const struct hqq_segment *segment, uint64_t *size)
{
	if (before_verdict)
		before_verdict();
	return __real_hqq_segment_file_size(segment, size);
}

/* Afterwards anybody may replace the segment, and what has the name then is not the maker's to remove. */
START_TEST(a_maker_removes_its_name_while_it_lives)
{
	const char *name = test_name("leaver");
	hqq_standard *handle;

	MUST_EQ(replace(&handle, name), 0);
	leavers_name = name;
	MUST_EQ(hqq_standard_close(handle), 0);
	leavers_name = NULL;
}
END_TEST

static hqq_standard *first, *second;
static const char *handed_on;

static void hand_on(void)
{
	before_verdict = NULL;
	MUST_EQ(hqq_standard_close(first), 0);
	MUST_EQ(replace(&second, handed_on), 0);
}

/* Who found the first one's name, and finds it stale by the time it looks, leaves the second one's alone. */
START_TEST(a_successors_name_is_left_alone)
{
	hqq_standard *third = NULL;

	handed_on = test_name("successor");
	MUST_EQ(replace(&first, handed_on), 0);
	before_verdict = hand_on;
	MUST_EQ(replace(&third, handed_on), -EEXIST);
	MUST(before_verdict == NULL && third == NULL);
	MUST(test_name_exists(handed_on));
	MUST_EQ(hqq_standard_close(second), 0);
	MUST(!test_name_exists(handed_on));
}
END_TEST

static struct child bystander;

static int stay(void *argument)
{
	(void)argument;
	parent_hear('q');
	return 0;
}

static void fork_bystander(void)
{
	before_verdict = NULL;
	child_start(&bystander, stay, NULL);
}

static bool can_lock(const char *name)
{
	char path[300];
	int fd;
	bool can;

	snprintf(path, sizeof(path), "/dev/shm/%s", name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	MUST(fd >= 0);
	can = flock(fd, LOCK_EX | LOCK_NB) == 0;
	MUST_EQ(close(fd), 0);
	return can;
}

/* A child that is forked while its parent replaces a name in vain, or opens one, keeps nobody away from it. */
START_TEST(a_child_keeps_no_lock)
{
	const char *name = test_name("forked");
	hqq_standard *maker, *other = NULL;

	MUST_EQ(replace(&maker, name), 0);
	before_verdict = fork_bystander;
	if (_i)
		MUST_EQ(hqq_standard_open(&other, name, 2 * COUNT, SIZE, NULL), HQQ_ERR_INVALID_SIZE);
	else
		MUST_EQ(replace(&other, name), -EEXIST);
	MUST(before_verdict == NULL && other == NULL);
	MUST(can_lock(name));
	MUST_EQ(hqq_standard_open(&other, name, 0, 0, NULL), 0);
	child_say(&bystander, 'q');
	child_join_ok(&bystander);
	MUST_EQ(hqq_standard_close(other), 0);
	MUST_EQ(hqq_standard_close(maker), 0);
}
END_TEST

/* Makes a segment whenever it can; while it lives there, the name is its own. */
static int come_and_go(void *argument)
{
	unsigned int attempts = 2000 / test_slowness();

	parent_say('r');
	parent_hear('g');
	while (attempts-- > 0) {
		hqq_standard *handle;
		struct stat status;
		int looks, result = replace(&handle, argument);

		MUST(result == 0 || result == -EEXIST);
		if (result)
			continue;
		MUST_EQ(fstat(hqq_standard_fd(handle), &status), 0);
		for (looks = 0; looks < 50; looks++)
			MUST(inode_of(argument) == status.st_ino);
		MUST_EQ(hqq_standard_close(handle), 0);
	}
	return 0;
}

START_TEST(makers_that_come_and_go)
{
	const char *name = test_name("coming");
	struct child children[2];
	int i;

	for (i = 0; i < 2; i++) {
		child_start(&children[i], come_and_go, (void *)(uintptr_t)name);
		child_hear(&children[i], 'r');
	}
	for (i = 0; i < 2; i++)
		child_say(&children[i], 'g');
	for (i = 0; i < 2; i++)
		child_join_ok(&children[i]);
	MUST(!test_name_exists(name));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stale segments");
	TCase *cases = test_case(suite, "stale", 40);

	tcase_add_test(cases, the_living_are_not_replaced);
	tcase_add_test(cases, the_dead_are_replaced_on_demand);
	tcase_add_test(cases, a_living_peer_keeps_a_dead_creators_segment);
	tcase_add_test(cases, what_tells_nothing_is_not_replaced);
	tcase_add_test(cases, one_of_many_replaces);

	cases = test_case(suite, "names that change hands", 40);
	tcase_add_test(cases, a_maker_removes_its_name_while_it_lives);
	tcase_add_test(cases, a_successors_name_is_left_alone);
	tcase_add_loop_test(cases, a_child_keeps_no_lock, 0, 2);
	tcase_add_test(cases, makers_that_come_and_go);
	return test_main(suite);
}
