/*
 * test_glib.c - the event descriptor in a GMainLoop, writers from a GThreadPool
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.h"

#include <glib-unix.h>
#include <glib.h>
#include <hqq.h>
#include <stdatomic.h>
#include <string.h>

#define SIZE 64

static const struct timespec passed = { 0, 0 };

/* One link in the loop: its reader's handle, and what came so far. */
struct link {
	GMainLoop *loop;
	hqq_standard *reader;
	const char *name;
	uint64_t expected, got;
	unsigned int *open_links;
};

static void link_open(struct link *link, const char *name)
{
	memset(link, 0, sizeof(*link));
	link->name = name;
	MUST_EQ(hqq_standard_create(&link->reader, name, 16, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_set_read_deadline(link->reader, &passed), 0);
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer argument)
{
	struct link *link = argument;
	uint64_t number;
	ssize_t n;

	MUST_EQ(fd, hqq_standard_event_fd(link->reader));
	MUST(condition & G_IO_IN);
	while ((n = hqq_standard_read(link->reader, &number, sizeof(number))) == sizeof(number)) {
		MUST_EQ(number, link->got);
		link->got++;
	}
	MUST_EQ(n, HQQ_ERR_TIMEOUT);
	if (link->got < link->expected)
		return G_SOURCE_CONTINUE;
	if (--*link->open_links == 0)
		g_main_loop_quit(link->loop);
	return G_SOURCE_REMOVE;
}

static gboolean give_up(gpointer argument)
{
	(void)argument;
	test_must_failed(__FILE__, __LINE__, "the loop waited in vain");
}

/* Runs the loop until all links have what they expect. */
static void run(struct link *links, unsigned int count)
{
	GMainLoop *loop = g_main_loop_new(NULL, FALSE);
	guint watchdog = g_timeout_add_seconds(40 * test_slowness(), give_up, NULL);
	unsigned int open_links = count, i;

	for (i = 0; i < count; i++) {
		links[i].loop = loop;
		links[i].open_links = &open_links;
		g_unix_fd_add(hqq_standard_event_fd(links[i].reader), G_IO_IN, on_readable, &links[i]);
	}
	g_main_loop_run(loop);
	g_source_remove(watchdog);
	g_main_loop_unref(loop);
	for (i = 0; i < count; i++)
		MUST_EQ(links[i].got, links[i].expected);
}

static int send_numbers(void *argument)
{
	const struct link *link = argument;
	hqq_standard *writer;
	uint64_t number;

	MUST_EQ(hqq_standard_open(&writer, link->name, 0, 0, NULL), 0);
	for (number = 0; number < link->expected; number++) {
		MUST_EQ(hqq_standard_write(writer, &number, sizeof(number)), sizeof(number));
		if (number % 100 == 0)
			test_sleep_ms(1);
	}
	MUST_EQ(hqq_standard_close(writer), 0);
	return 0;
}

#define LINKS 4

START_TEST(messages_from_other_processes)
{
	struct link links[LINKS];
	struct child children[LINKS];
	unsigned int i;

	for (i = 0; i < LINKS; i++) {
		link_open(&links[i], test_name("loop"));
		links[i].expected = 2000 / test_slowness();
		child_start(&children[i], send_numbers, &links[i]);
	}
	run(links, LINKS);
	for (i = 0; i < LINKS; i++) {
		child_join_ok(&children[i]);
		MUST_EQ(hqq_standard_close(links[i].reader), 0);
	}
}
END_TEST

struct sender {
	hqq_standard *writer;
	uint64_t next, end;
};

/* Idle work and the link share the loop: neither starves the other. */
static gboolean send_one(gpointer argument)
{
	struct sender *sender = argument;

	ssize_t n = hqq_standard_write(sender->writer, &sender->next, sizeof(sender->next));

	/* no room: the reader's turn, once the descriptor tells it */
	MUST(n == sizeof(sender->next) || n == HQQ_ERR_TIMEOUT);
	sender->next += n > 0;
	return sender->next < sender->end ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

START_TEST(both_ends_in_one_loop)
{
	struct sender sender = { NULL, 0, 500 };
	struct link link;

	link_open(&link, test_name("both"));
	link.expected = sender.end;
	MUST_EQ(hqq_standard_open(&sender.writer, link.name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(sender.writer, &passed), 0);
	g_idle_add(send_one, &sender);
	run(&link, 1);
	MUST_EQ(hqq_standard_close(sender.writer), 0);
	MUST_EQ(hqq_standard_close(link.reader), 0);
}
END_TEST

/* Atomic, since ThreadSanitizer does not see how GLib hands a task over. */
static hqq_standard *_Atomic pools_writer;
static _Atomic uint64_t pools_sum;

static void write_task(gpointer task, gpointer argument)
{
	uint64_t number = GPOINTER_TO_UINT(task);

	(void)argument;
	MUST_EQ(hqq_standard_write(pools_writer, &number, sizeof(number)), sizeof(number));
	atomic_fetch_add(&pools_sum, number);
}

START_TEST(writers_from_a_thread_pool)
{
	const guint tasks = 2000 / test_slowness();
	const char *name = test_name("pool");
	uint64_t sum = 0, number;
	hqq_standard *reader, *writer;
	GThreadPool *pool;
	guint i;

	MUST_EQ(hqq_standard_create(&reader, name, 16, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&writer, name, 0, 0, NULL), 0);
	atomic_store(&pools_writer, writer);
	pool = g_thread_pool_new(write_task, NULL, 8, TRUE, NULL);
	MUST(pool != NULL);
	for (i = 1; i <= tasks; i++)
		MUST(g_thread_pool_push(pool, GUINT_TO_POINTER(i), NULL));
	for (i = 1; i <= tasks; i++) {
		MUST_EQ(hqq_standard_read(reader, &number, sizeof(number)), sizeof(number));
		sum += number;
	}
	g_thread_pool_free(pool, FALSE, TRUE);
	MUST_EQ(sum, (uint64_t)tasks * (tasks + 1) / 2);
	MUST_EQ(pools_sum, sum);
	MUST_EQ(hqq_standard_close(writer), 0);
	MUST_EQ(hqq_standard_close(reader), 0);
}
END_TEST

static void do_nothing(gpointer task, gpointer argument)
{
	(void)task, (void)argument;
}

/*
 * GLib keeps a descriptor, and for pools a thread, for itself from the first use on: not ours to
 * account for.
 */
static void warm_up_loop(void)
{
	g_main_context_iteration(NULL, FALSE);
}

static void warm_up_pool(void)
{
	GThreadPool *pool = g_thread_pool_new(do_nothing, NULL, 1, TRUE, NULL);

	g_thread_pool_free(pool, FALSE, TRUE);
}

/* As test_case(), with something that comes before the leak guard takes stock. */
static TCase *warm_case(Suite *suite, const char *name, SFun warm_up)
{
	TCase *cases = tcase_create(name);

	tcase_set_timeout(cases, 60.0 * test_slowness());
	tcase_add_checked_fixture(cases, warm_up, NULL);
	tcase_add_checked_fixture(cases, test_guard_begin, test_guard_end);
	suite_add_tcase(suite, cases);
	return cases;
}

int main(void)
{
	Suite *suite = suite_create("GLib");
	TCase *cases = warm_case(suite, "main loop", warm_up_loop);

	tcase_add_test(cases, messages_from_other_processes);
	tcase_add_test(cases, both_ends_in_one_loop);

	cases = warm_case(suite, "thread pool", warm_up_pool);
	tcase_add_test(cases, writers_from_a_thread_pool);
	return test_main(suite);
}
