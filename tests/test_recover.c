/*
 * test_recover.c - processes that die with slots in their hands, and processes that only stop
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.h"
#include "waiter.h"

#include <errno.h>
#include <hqq.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT 8
#define SIZE 64
#define SECOND UINT64_C(1000000000)

static const struct timespec passed = { 0, 0 };

/* ---- a segment of any kind, with a survivor on each side --------------------------------------- */

enum kind { NAMED, DESCRIPTOR, MEMORY, KINDS };

struct scene {
	enum kind kind;
	const char *name;
	int fd; /* inherited by children, who may not ask the parent's handle */
	unsigned char *memory;
	hqq_standard *side[2]; /* 0 is primary */
};

static hqq_standard *join(const struct scene *scene, int side)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_standard *handle;

	options.role = side == 0 ? HQQ_ROLE_PRIMARY : HQQ_ROLE_SECONDARY;
	if (scene->kind == NAMED)
		MUST_EQ(hqq_standard_open(&handle, scene->name, 0, 0, &options), 0);
	else if (scene->kind == DESCRIPTOR)
		MUST_EQ(hqq_standard_open_fd(&handle, scene->fd, 0, 0, &options), 0);
	else
		MUST_EQ(hqq_standard_attach(&handle, scene->memory, hqq_standard_size(COUNT, SIZE), COUNT,
					    SIZE, &options),
			0);
	return handle;
}

static void scene_open(struct scene *scene, enum kind kind)
{
	int side;

	memset(scene, 0, sizeof(*scene));
	scene->kind = kind;
	scene->name = test_name("recover");
	if (kind == NAMED)
		MUST_EQ(hqq_standard_create(&scene->side[0], scene->name, COUNT, SIZE, 0600, NULL), 0);
	else if (kind == DESCRIPTOR)
		MUST_EQ(hqq_standard_create_fd(&scene->side[0], COUNT, SIZE, NULL), 0);
	else
		scene->memory = test_map_memory(hqq_standard_size(COUNT, SIZE));
	if (kind == MEMORY)
		scene->side[0] = join(scene, 0);
	scene->fd = hqq_standard_fd(scene->side[0]);
	scene->side[1] = join(scene, 1);
	for (side = 0; side < 2; side++)
		MUST_EQ(hqq_standard_set_deadline(scene->side[side], &passed), 0);
}

static void scene_close(struct scene *scene)
{
	MUST_EQ(hqq_standard_close(scene->side[1]), 0);
	MUST_EQ(hqq_standard_close(scene->side[0]), 0);
	if (scene->memory != NULL)
		test_unmap(scene->memory, hqq_standard_size(COUNT, SIZE));
}

static void patient(struct scene *scene)
{
	struct timespec deadline = test_in_ms(20000 * test_slowness());
	int side;

	for (side = 0; side < 2; side++)
		MUST_EQ(hqq_standard_set_deadline(scene->side[side], &deadline), 0);
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

/* Both directions work, through more than a lap. */
static void expect_works(struct scene *scene)
{
	int i;

	for (i = 0; i < 3 * COUNT; i++) {
		send_text(scene->side[0], "there");
		send_text(scene->side[1], "and back");
		expect_text(scene->side[1], "there");
		expect_text(scene->side[0], "and back");
	}
}

/* ---- the victim: joins the primary's side, takes slots, tells so, and waits for its end -------- */

struct victim {
	const struct scene *scene;
	unsigned int writes, reads; /* slots to hold */
	int way;                    /* then a call of this way to sleep in, or -1 */
};

static int be_victim(void *argument)
{
	const struct victim *victim = argument;
	hqq_standard *handle = join(victim->scene, 0);
	struct hqq_reservation reservation;
	unsigned int i;

	for (i = 0; i < victim->writes; i++) {
		MUST_EQ(hqq_standard_reserve_write(handle, &reservation), 0);
		memset(reservation.data, 'v', reservation.size);
	}
	for (i = 0; i < victim->reads; i++)
		MUST_EQ(hqq_standard_reserve_read(handle, &reservation), 0);
	parent_say('h');
	if (victim->way >= 0)
		waiter_call(handle, victim->way);
	else
		pause();
	return 0;
}

static void start_victim(struct child *child, struct victim *victim)
{
	child_start(child, be_victim, victim);
	child_hear(child, 'h');
	if (victim->way >= 0)
		test_wait_asleep(child->pid, child->pid);
}

START_TEST(held_writes_become_tombstones)
{
	struct scene scene;
	struct victim victim = { &scene, 0, 0, -1 };
	struct hqq_stats stats;
	struct child child;

	scene_open(&scene, (enum kind)_i);
	for (victim.writes = 1; victim.writes <= COUNT; victim.writes++) {
		unsigned int i;

		start_victim(&child, &victim);
		for (i = victim.writes; i < COUNT; i++)
			send_text(scene.side[0], "behind them");
		expect_error(scene.side[1], HQQ_ERR_TIMEOUT);
		MUST_EQ(hqq_standard_write(scene.side[0], "x", 1), HQQ_ERR_TIMEOUT);
		MUST_EQ(hqq_standard_recover(scene.side[1]), 0);
		child_kill(&child);
		/* exactly what it held, once */
		MUST_EQ(hqq_standard_recover(scene.side[1]), victim.writes);
		MUST_EQ(hqq_standard_recover(scene.side[1]), 0);
		MUST_EQ(hqq_standard_recover(scene.side[0]), 0);
		for (i = victim.writes; i < COUNT; i++)
			expect_text(scene.side[1], "behind them");
		expect_error(scene.side[1], HQQ_ERR_TIMEOUT);
		expect_works(&scene);
	}
	MUST_EQ(hqq_standard_stats(scene.side[1], &stats), 0);
	MUST_EQ(stats.recovered_slots, COUNT * (COUNT + 1) / 2);
	MUST_EQ(stats.lost_messages, 0);
	scene_close(&scene);
}
END_TEST

START_TEST(held_reads_are_released_and_lost)
{
	struct scene scene;
	struct victim victim = { &scene, 0, 0, -1 };
	struct hqq_stats stats;
	struct child child;

	scene_open(&scene, (enum kind)_i);
	for (victim.reads = 1; victim.reads <= COUNT; victim.reads++) {
		unsigned int i;

		for (i = 0; i < COUNT; i++)
			send_text(scene.side[1], i < victim.reads ? "lost" : "kept");
		start_victim(&child, &victim);
		for (i = victim.reads; i < COUNT; i++)
			expect_text(scene.side[0], "kept");
		MUST_EQ(hqq_standard_write(scene.side[1], "x", 1), HQQ_ERR_TIMEOUT);
		child_kill(&child);
		MUST_EQ(hqq_standard_recover(scene.side[1]), victim.reads);
		MUST_EQ(hqq_standard_recover(scene.side[1]), 0);
		expect_error(scene.side[0], HQQ_ERR_TIMEOUT);
		expect_works(&scene);
	}
	MUST_EQ(hqq_standard_stats(scene.side[1], &stats), 0);
	MUST_EQ(stats.recovered_slots, COUNT * (COUNT + 1) / 2);
	MUST_EQ(stats.lost_messages, COUNT * (COUNT + 1) / 2);
	scene_close(&scene);
}
END_TEST

START_TEST(both_at_once)
{
	struct scene scene;
	struct victim victim = { &scene, 3, 2, -1 };
	struct child child;

	scene_open(&scene, (enum kind)_i);
	send_text(scene.side[1], "lost");
	send_text(scene.side[1], "lost too");
	send_text(scene.side[1], "kept");
	start_victim(&child, &victim);
	child_kill(&child);
	MUST_EQ(hqq_standard_recover(scene.side[0]), 5);
	expect_text(scene.side[0], "kept");
	expect_works(&scene);
	scene_close(&scene);
}
END_TEST

/* Nobody calls recover: those who wait find out by themselves. */
START_TEST(whoever_waits_mends)
{
	struct scene scene;
	struct victim victim = { &scene, 2, 0, -1 };
	struct waiter waiter;
	struct child child;
	uint64_t now;
	int i;

	scene_open(&scene, (enum kind)_i);
	start_victim(&child, &victim);
	patient(&scene);
	waiter_start(&waiter, scene.side[1], 0);
	waiter_asleep(&waiter);
	send_text(scene.side[0], WAITER_TEXT);
	now = test_now_ns();
	child_kill(&child);
	MUST_EQ(waiter_join(&waiter), WAITER_LENGTH);
	waiter_prompt(&waiter, now, "mending after a writer's death");

	victim = (struct victim){ &scene, 0, COUNT, -1 };
	for (i = 0; i < COUNT; i++)
		send_text(scene.side[1], "lost");
	start_victim(&child, &victim);
	waiter_start(&waiter, scene.side[1], WAITER_READS);
	waiter_asleep(&waiter);
	now = test_now_ns();
	child_kill(&child);
	MUST_EQ(waiter_join(&waiter), WAITER_LENGTH);
	waiter_prompt(&waiter, now, "mending after a reader's death");
	expect_text(scene.side[0], WAITER_TEXT);
	expect_works(&scene);
	scene_close(&scene);
}
END_TEST

/* Also those who only ever make attempts. */
START_TEST(whoever_asks_again_and_again_mends)
{
	struct scene scene;
	struct victim victim = { &scene, 1, 0, -1 };
	uint64_t end;
	struct child child;
	char buffer[SIZE];

	scene_open(&scene, (enum kind)_i);
	start_victim(&child, &victim);
	send_text(scene.side[0], "behind");
	child_kill(&child);
	end = test_now_ns() + 10 * SECOND * test_slowness();
	while (hqq_standard_read(scene.side[1], buffer, sizeof(buffer)) != 6)
		MUST(test_now_ns() < end);
	expect_works(&scene);
	scene_close(&scene);
}
END_TEST

START_TEST(asleep_in_a_call)
{
	struct scene scene;
	struct victim victim = { &scene, 0, 0, _i };
	struct child child;
	int lap;

	scene_open(&scene, NAMED);
	for (lap = 0; lap < 3; lap++) {
		int i;

		if (waiter_writes(_i))
			waiter_fill(scene.side[0]);
		start_victim(&child, &victim);
		child_kill(&child);
		MUST_EQ(hqq_standard_recover(scene.side[0]), 0);
		for (i = 0; waiter_writes(_i) && i < COUNT; i++)
			expect_text(scene.side[1], WAITER_TEXT);
		expect_works(&scene);
	}
	scene_close(&scene);
}
END_TEST

/*
 * The lane of a thread names the slot of its callback until the thread calls something else, which
 * gives the slot a tag.
 */
enum inside {
	INSIDE_WRITE,
	INSIDE_READ,
	INSIDE_WRITE_AND_WRITE, /* another message, from the callback */
	INSIDE_READ_AND_WRITE,
	INSIDE_WRITE_AND_LEAVE, /* the thread ends in the callback, and a later one has its lane */
	INSIDE_READ_AND_LEAVE,
	INSIDES
};

struct callback_victim {
	const struct scene *scene;
	enum inside inside;
	hqq_standard *handle;
};

static void die_inside(struct callback_victim *victim)
{
	if (victim->inside == INSIDE_WRITE_AND_LEAVE || victim->inside == INSIDE_READ_AND_LEAVE)
		pthread_exit(NULL);
	if (victim->inside == INSIDE_WRITE_AND_WRITE || victim->inside == INSIDE_READ_AND_WRITE)
		send_text(victim->handle, "from inside");
	parent_say('h');
	pause();
}

static int die_over(const void *data, size_t length, void *victim)
{
	(void)data, (void)length;
	die_inside(victim);
	return 0;
}

static ssize_t die_half_way(void *data, size_t capacity, void *victim)
{
	memset(data, 'h', capacity / 2);
	die_inside(victim);
	return 1;
}

static void *call_back(void *argument)
{
	struct callback_victim *victim = argument;

	if (victim->inside == INSIDE_WRITE || victim->inside == INSIDE_WRITE_AND_WRITE ||
	    victim->inside == INSIDE_WRITE_AND_LEAVE)
		hqq_standard_write_zero_copy(victim->handle, die_half_way, victim);
	else
		hqq_standard_read_zero_copy(victim->handle, die_over, victim);
	return NULL;
}

static void *call_later(void *argument)
{
	const struct callback_victim *victim = argument;

	send_text(victim->handle, "from inside");
	return NULL;
}

static int be_callback_victim(void *argument)
{
	struct callback_victim *victim = argument;
	pthread_t thread;

	victim->handle = join(victim->scene, 0);
	if (victim->inside < INSIDE_WRITE_AND_LEAVE) {
		call_back(victim);
		return 0;
	}
	MUST_EQ(pthread_create(&thread, NULL, call_back, victim), 0);
	MUST_EQ(pthread_join(thread, NULL), 0);
	MUST_EQ(pthread_create(&thread, NULL, call_later, victim), 0);
	MUST_EQ(pthread_join(thread, NULL), 0);
	parent_say('h');
	pause();
	return 0;
}

/* The second half of the loop: with nobody beside the victim on its side. */
START_TEST(inside_a_callback)
{
	const enum inside inside = (enum inside)(_i % INSIDES);
	const bool lone = _i >= INSIDES;
	struct scene scene;
	struct callback_victim victim = { &scene, inside, NULL };
	struct child child;

	scene_open(&scene, lone ? MEMORY : NAMED);
	send_text(scene.side[1], "taken");
	if (lone)
		MUST_EQ(hqq_standard_close(scene.side[0]), 0);
	child_start(&child, be_callback_victim, &victim);
	child_hear(&child, 'h');
	child_kill(&child);
	MUST_EQ(hqq_standard_recover(scene.side[1]), 1);
	if (lone) {
		scene.side[0] = join(&scene, 0);
		MUST_EQ(hqq_standard_set_deadline(scene.side[0], &(struct timespec){ .tv_nsec = 1 }), 0);
	}
	if (inside % 2 == 0)
		expect_text(scene.side[0], "taken");
	if (inside >= INSIDE_WRITE_AND_WRITE)
		expect_text(scene.side[1], "from inside");
	expect_error(scene.side[0], HQQ_ERR_TIMEOUT);
	expect_error(scene.side[1], HQQ_ERR_TIMEOUT);
	expect_works(&scene);
	scene_close(&scene);
}
END_TEST

/* ---- dead in other ways ------------------------------------------------------------------------ */

START_TEST(a_zombie_is_dead)
{
	struct scene scene;
	struct victim victim = { &scene, 1, 0, -1 };
	struct child child;
	siginfo_t info;

	scene_open(&scene, (enum kind)_i);
	start_victim(&child, &victim);
	MUST_EQ(kill(child.pid, SIGKILL), 0);
	MUST_EQ(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0);
	MUST_EQ(hqq_standard_recover(scene.side[0]), 1);
	child_join(&child);
	expect_works(&scene);
	scene_close(&scene);
}
END_TEST

static int be_parent_of_a_survivor(void *argument)
{
	pid_t survivor = fork();

	if (survivor == 0) {
		/* holds every descriptor, hence the lock's description, of its dead parent */
		pause();
		_exit(0);
	}
	MUST(write(*(int *)argument, &survivor, sizeof(survivor)) == sizeof(survivor));
	parent_say('f');
	pause();
	return 0;
}

struct forking_victim {
	struct victim victim;
	int pipe;
};

static int be_forking_victim(void *argument)
{
	struct forking_victim *forking = argument;
	hqq_standard *handle = join(forking->victim.scene, 0);
	struct hqq_reservation reservation;

	MUST_EQ(hqq_standard_reserve_write(handle, &reservation), 0);
	return be_parent_of_a_survivor(&forking->pipe);
}

START_TEST(a_forked_child_keeps_no_dead_parent_alive)
{
	struct scene scene;
	struct forking_victim victim = { { &scene, 1, 0, -1 }, -1 };
	struct child child;
	int line[2];
	pid_t survivor;

	scene_open(&scene, (enum kind)_i);
	MUST_EQ(pipe(line), 0);
	victim.pipe = line[1];
	child_start(&child, be_forking_victim, &victim);
	child_hear(&child, 'f');
	MUST_EQ(read(line[0], &survivor, sizeof(survivor)), sizeof(survivor));
	child_kill(&child);
	MUST_EQ(kill(survivor, 0), 0);
	MUST_EQ(hqq_standard_recover(scene.side[1]), 1);
	expect_works(&scene);
	MUST_EQ(kill(survivor, SIGKILL), 0);
	/* an orphan comes to us, but for where an emulator does not know of that */
	MUST(waitpid(survivor, NULL, 0) == survivor || errno == ECHILD);
	close(line[0]);
	close(line[1]);
	scene_close(&scene);
}
END_TEST

static int exit_without_close(void *argument)
{
	struct victim *victim = argument;
	struct hqq_reservation reservation;
	hqq_standard *handle = join(victim->scene, 0);

	MUST_EQ(hqq_standard_reserve_write(handle, &reservation), 0);
	exit(0);
}

START_TEST(exit_without_close_is_death)
{
	struct scene scene;
	struct victim victim = { &scene, 1, 0, -1 };
	struct child child;

	scene_open(&scene, (enum kind)_i);
	child_start(&child, exit_without_close, &victim);
	child_join_ok(&child);
	MUST_EQ(hqq_standard_recover(scene.side[1]), 1);
	expect_works(&scene);
	scene_close(&scene);
}
END_TEST

/* ---- not dead ---------------------------------------------------------------------------------- */

static int stop_and_go_on(void *argument)
{
	const struct victim *victim = argument;
	hqq_standard *handle = join(victim->scene, 0);
	struct hqq_reservation writing, reading;

	MUST_EQ(hqq_standard_reserve_write(handle, &writing), 0);
	MUST_EQ(hqq_standard_reserve_read(handle, &reading), 0);
	parent_say('h');
	raise(SIGSTOP);
	MUST(reading.size == 4 && memcmp(reading.data, "mine", 4) == 0);
	MUST_EQ(hqq_standard_release(&reading), 0);
	memcpy(writing.data, "late, not lost", 14);
	MUST_EQ(hqq_standard_commit(&writing, 14), 0);
	return 0;
}

START_TEST(who_is_stopped_is_not_robbed)
{
	struct scene scene;
	struct victim victim = { &scene, 1, 1, -1 };
	struct timespec soon;
	struct child child;
	int status, i;

	scene_open(&scene, (enum kind)_i);
	send_text(scene.side[1], "mine");
	child_start(&child, stop_and_go_on, &victim);
	child_hear(&child, 'h');
	MUST_EQ(waitpid(child.pid, &status, WUNTRACED), child.pid);
	MUST(WIFSTOPPED(status));
	for (i = 1; i < COUNT; i++) {
		send_text(scene.side[0], "behind it");
		send_text(scene.side[1], "behind it");
	}
	soon = test_in_ms(300);
	MUST_EQ(hqq_standard_set_deadline(scene.side[1], &soon), 0);
	expect_error(scene.side[1], HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_write(scene.side[1], "x", 1), HQQ_ERR_TIMEOUT);
	for (i = 0; i < 20; i++) {
		MUST_EQ(hqq_standard_recover(scene.side[0]), 0);
		MUST_EQ(hqq_standard_recover(scene.side[1]), 0);
	}
	MUST_EQ(kill(child.pid, SIGCONT), 0);
	child_join_ok(&child);
	expect_text(scene.side[1], "late, not lost");
	for (i = 1; i < COUNT; i++) {
		expect_text(scene.side[1], "behind it");
		expect_text(scene.side[0], "behind it");
	}
	expect_works(&scene);
	scene_close(&scene);
}
END_TEST

START_TEST(nothing_to_mend)
{
	struct hqq_reservation writing, reading;
	struct scene scene;

	scene_open(&scene, (enum kind)_i);
	MUST_EQ(hqq_standard_recover(scene.side[0]), 0);
	send_text(scene.side[0], "mine");
	MUST_EQ(hqq_standard_reserve_write(scene.side[0], &writing), 0);
	MUST_EQ(hqq_standard_reserve_read(scene.side[1], &reading), 0);
	/* what the living hold, and we ourselves */
	MUST_EQ(hqq_standard_recover(scene.side[0]), 0);
	MUST_EQ(hqq_standard_recover(scene.side[1]), 0);
	memcpy(writing.data, "held", 4);
	MUST_EQ(hqq_standard_commit(&writing, 4), 0);
	MUST_EQ(hqq_standard_release(&reading), 0);
	expect_text(scene.side[1], "held");
	expect_works(&scene);
	scene_close(&scene);
}
END_TEST

/* ---- places in the table ----------------------------------------------------------------------- */

static void expect_empty_soon(hqq_standard *handle)
{
	MUST(hqq_standard_recover(handle) <= 1);
	expect_error(handle, HQQ_ERR_TIMEOUT);
	MUST_EQ(hqq_standard_pending(handle), 0);
}

START_TEST(places_of_the_dead_are_used_again)
{
	const unsigned int victims = 200 / test_slowness();
	struct scene scene;
	struct victim victim = { &scene, 1, 0, -1 };
	struct child child;
	unsigned int i;

	/* more of them than there are places, each with a slot in its hands; nobody calls recover */
	scene_open(&scene, (enum kind)_i);
	for (i = 0; i < victims; i++) {
		start_victim(&child, &victim);
		child_kill(&child);
		/* tombstones take room until somebody reads past them */
		if (i % COUNT == COUNT - 1)
			expect_empty_soon(scene.side[1]);
	}
	patient(&scene);
	send_text(scene.side[0], "after all of them");
	expect_text(scene.side[1], "after all of them");
	scene_close(&scene);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("recovery");
	TCase *cases = test_case(suite, "held", 30);

	tcase_add_loop_test(cases, held_writes_become_tombstones, 0, KINDS);
	tcase_add_loop_test(cases, held_reads_are_released_and_lost, 0, KINDS);
	tcase_add_loop_test(cases, both_at_once, 0, KINDS);
	tcase_add_loop_test(cases, whoever_waits_mends, 0, KINDS);
	tcase_add_loop_test(cases, whoever_asks_again_and_again_mends, 0, KINDS);
	tcase_add_loop_test(cases, asleep_in_a_call, 0, WAITER_WAYS);
	tcase_add_loop_test(cases, inside_a_callback, 0, 2 * INSIDES);

	cases = test_case(suite, "kinds of death", 30);
	tcase_add_loop_test(cases, a_zombie_is_dead, 0, KINDS);
	tcase_add_loop_test(cases, a_forked_child_keeps_no_dead_parent_alive, 0, KINDS);
	tcase_add_loop_test(cases, exit_without_close_is_death, 0, KINDS);

	cases = test_case(suite, "alive", 30);
	tcase_add_loop_test(cases, who_is_stopped_is_not_robbed, 0, KINDS);
	tcase_add_loop_test(cases, nothing_to_mend, 0, KINDS);
	tcase_add_loop_test(cases, places_of_the_dead_are_used_again, 0, KINDS);
	return test_main(suite);
}
