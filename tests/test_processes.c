/*
 * test_processes.c - processes that exchange messages, and come and go, on segments of every kind
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.h"

#include <errno.h>
#include <hqq.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE 256

static struct timespec far_deadline(void)
{
	return test_in_ms(40000 * test_slowness());
}

static hqq_standard *limited(hqq_standard *handle)
{
	struct timespec deadline = far_deadline();

	MUST_EQ(hqq_standard_set_deadline(handle, &deadline), 0);
	return handle;
}

static hqq_standard *open_name(const char *name)
{
	hqq_standard *handle;

	MUST_EQ(hqq_standard_open(&handle, name, 0, 0, NULL), 0);
	return limited(handle);
}

static hqq_standard *create_name(const char *name, size_t count)
{
	hqq_standard *handle;

	MUST_EQ(hqq_standard_create(&handle, name, count, SIZE, 0600, NULL), 0);
	return limited(handle);
}

/* ---- a stream of bytes ------------------------------------------------------------------------- */

#define LEAST_BYTES 100000

/* In shared memory: the sender may end it early, for with few slots most messages cost a turn of the CPU. */
struct stream {
	const char *name;
	struct test_quota bytes;
	uint64_t seed;
};

/* Pieces of any length, sent as messages; the stream's bytes are a pattern of the seed. */
static int send_stream(void *argument)
{
	struct stream *stream = argument;
	hqq_standard *handle = open_name(stream->name);
	const size_t most = (size_t)test_quota_count(&stream->bytes);
	unsigned char *bytes = malloc(most);
	uint64_t chance = stream->seed;
	size_t done = 0, piece;

	test_fill(bytes, most, stream->seed);
	while ((piece = (size_t)test_quota_next(&stream->bytes, done, 1 + test_random(&chance) % SIZE)) > 0) {
		MUST_EQ(hqq_standard_write(handle, bytes + done, piece), piece);
		done += piece;
	}
	free(bytes);
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

START_TEST(a_stream_arrives_byte_by_byte)
{
	struct stream *stream = (struct stream *)(void *)test_map_memory(sizeof(*stream));
	const size_t most = 3000000 / test_slowness() + 12345;
	unsigned char *bytes = malloc(most);
	hqq_standard *handle;
	struct child child;
	size_t done = 0, left;
	uint64_t chance;

	stream->name = test_name("stream");
	stream->seed = test_seed();
	chance = stream->seed + 1;
	handle = create_name(stream->name, (size_t)2 << 3 * _i);
	test_quota_begin(&stream->bytes, most, LEAST_BYTES);
	child_start(&child, send_stream, stream);
	while ((left = (size_t)test_quota_left(&stream->bytes, done)) > 0) {
		size_t room = 1 + (size_t)(test_random(&chance) % (2 * SIZE));
		ssize_t n;

		room = room < left ? room : left;
		n = hqq_standard_read(handle, bytes + done, room);
		MUST(n > 0 && (size_t)n <= room);
		done += (size_t)n;
	}
	MUST_EQ(test_verify(bytes, done, stream->seed), -1);
	MUST_EQ(hqq_standard_pending(handle), 0);
	child_join_ok(&child);
	MUST_EQ(done, test_quota_count(&stream->bytes));
	free(bytes);
	MUST_EQ(hqq_standard_close(handle), 0);
	test_unmap((unsigned char *)stream, sizeof(*stream));
}
END_TEST

/* ---- questions and answers --------------------------------------------------------------------- */

#define CLIENTS 6
#define QUESTIONS 400

struct client {
	const char *name;
	unsigned int questions;
	uint64_t seed;
};

static int ask(void *argument)
{
	const struct client *client = argument;
	hqq_standard *handle = open_name(client->name);
	uint64_t chance = client->seed;
	unsigned int i;

	for (i = 0; i < client->questions; i++) {
		unsigned char question[SIZE], answer[SIZE];
		size_t length = 8 + (size_t)(test_random(&chance) % (SIZE - 8)), j;

		test_fill(question, length, chance);
		MUST_EQ(hqq_standard_write(handle, question, length), length);
		MUST_EQ(hqq_standard_read(handle, answer, sizeof(answer)), length);
		for (j = 0; j < length; j++)
			MUST_EQ(answer[j], (unsigned char)~question[j]);
	}
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

static int invert(const void *data, size_t length, void *argument)
{
	unsigned char answer[SIZE];
	size_t i;

	for (i = 0; i < length; i++)
		answer[i] = (unsigned char)~((const unsigned char *)data)[i];
	MUST_EQ(hqq_standard_write(argument, answer, length), length);
	return 0;
}

/* Once more where a signal ended it. */
static int poll_links(struct pollfd pollers[CLIENTS])
{
	int ready;

	do
		ready = poll(pollers, CLIENTS, 30000 * (int)test_slowness());
	while (ready < 0 && errno == EINTR);
	return ready;
}

START_TEST(a_server_with_a_link_per_client)
{
	struct client clients[CLIENTS];
	struct child children[CLIENTS];
	struct pollfd pollers[CLIENTS];
	hqq_standard *links[CLIENTS];
	unsigned int i, answered = 0, all = 0;
	const struct timespec passed = { 0, 0 };

	for (i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){ test_name("client"), QUESTIONS / test_slowness(), i };
		links[i] = create_name(clients[i].name, 8);
		MUST_EQ(hqq_standard_set_read_deadline(links[i], &passed), 0);
		pollers[i] = (struct pollfd){ hqq_standard_event_fd(links[i]), POLLIN, 0 };
		all += clients[i].questions;
	}
	for (i = 0; i < CLIENTS; i++)
		child_start(&children[i], ask, &clients[i]);
	while (answered < all) {
		MUST(poll_links(pollers) > 0);
		for (i = 0; i < CLIENTS; i++) {
			while (hqq_standard_read_zero_copy(links[i], invert, links[i]) > 0)
				answered++;
		}
	}
	for (i = 0; i < CLIENTS; i++) {
		child_join_ok(&children[i]);
		MUST_EQ(hqq_standard_close(links[i]), 0);
	}
}
END_TEST

/* ---- descriptors on their way ------------------------------------------------------------------ */

static void send_descriptor(int line, int fd)
{
	char byte = 'f', control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec vector = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(int));
	MUST_EQ(sendmsg(line, &message, 0), 1);
}

static int receive_descriptor(int line)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec vector = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	int fd;

	MUST_EQ(recvmsg(line, &message, MSG_CMSG_CLOEXEC), 1);
	MUST(CMSG_FIRSTHDR(&message) != NULL);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return fd;
}

static int make_and_pass(void *argument)
{
	const int *lines = argument;
	hqq_standard *handle;
	char text[SIZE];

	MUST_EQ(hqq_standard_create_fd(&handle, 8, SIZE, NULL), 0);
	send_descriptor(lines[0], hqq_standard_fd(limited(handle)));
	MUST_EQ(hqq_standard_read(handle, text, sizeof(text)), 5);
	MUST(memcmp(text, "hello", 5) == 0);
	MUST_EQ(hqq_standard_write(handle, "good bye", 8), 8);
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

static int take_and_use(void *argument)
{
	const int *lines = argument;
	hqq_standard *handle, *second;
	char text[SIZE];
	int fd = receive_descriptor(lines[1]);

	/* it stays the caller's, and serves as often as he likes */
	MUST_EQ(hqq_standard_open_fd(&handle, fd, 8, SIZE, NULL), 0);
	MUST_EQ(hqq_standard_open_fd(&second, fd, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_close(second), 0);
	MUST_EQ(close(fd), 0);
	MUST_EQ(hqq_standard_mode(handle), HQQ_MODE_SECONDARY);
	MUST_EQ(hqq_standard_write(limited(handle), "hello", 5), 5);
	MUST_EQ(hqq_standard_read(handle, text, sizeof(text)), 8);
	MUST(memcmp(text, "good bye", 8) == 0);
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

START_TEST(a_descriptor_passed_through_a_socket)
{
	struct child maker, user;
	int lines[2], round;

	for (round = 0; round < 5; round++) {
		MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lines), 0);
		child_start(&maker, make_and_pass, lines);
		child_start(&user, take_and_use, lines);
		child_join_ok(&user);
		child_join_ok(&maker);
		close(lines[0]);
		close(lines[1]);
	}
}
END_TEST

/* ---- coming and going -------------------------------------------------------------------------- */

static int send_a_few(void *argument)
{
	hqq_standard *handle = open_name(argument);
	uint64_t id = (uint64_t)getpid();
	int i;

	for (i = 0; i < 5; i++)
		MUST_EQ(hqq_standard_write(handle, &id, sizeof(id)), sizeof(id));
	/* half of them go without a word */
	if (id % 2 == 0)
		MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

#define AT_ONCE 8

START_TEST(many_come_and_go)
{
	const unsigned int generations = 20 / test_slowness() + 1;
	const char *name = test_name("coming");
	hqq_standard *handle = create_name(name, 4);
	struct child children[AT_ONCE];
	unsigned int generation, i;

	for (generation = 0; generation < generations; generation++) {
		unsigned int left[AT_ONCE], sum = 0;

		for (i = 0; i < AT_ONCE; i++) {
			child_start(&children[i], send_a_few, (void *)(uintptr_t)name);
			left[i] = 5;
		}
		for (sum = 0; sum < 5 * AT_ONCE; sum++) {
			uint64_t id = 0;

			MUST_EQ(hqq_standard_read(handle, &id, sizeof(id)), sizeof(id));
			for (i = 0; i < AT_ONCE && (uint64_t)children[i].pid != id; i++)
				continue;
			MUST(i < AT_ONCE && left[i] > 0);
			left[i]--;
		}
		for (i = 0; i < AT_ONCE; i++)
			child_join_ok(&children[i]);
	}
	MUST_EQ(hqq_standard_pending(handle), 0);
	MUST_EQ(hqq_standard_close(handle), 0);
}
END_TEST

static int send_and_leave(void *argument)
{
	hqq_standard *handle = open_name(argument);

	MUST_EQ(hqq_standard_write(handle, "for whoever comes", 17), 17);
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

static int come_later(void *argument)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	hqq_standard *handle;
	char text[SIZE];

	options.role = HQQ_ROLE_PRIMARY;
	MUST_EQ(hqq_standard_open(&handle, argument, 0, 0, &options), 0);
	MUST_EQ(hqq_standard_read(limited(handle), text, sizeof(text)), 17);
	MUST(memcmp(text, "for whoever comes", 17) == 0);
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

START_TEST(messages_outlive_their_sender)
{
	const char *name = test_name("later");
	hqq_standard *keeper = create_name(name, 4);
	struct child child;

	child_start(&child, send_and_leave, (void *)(uintptr_t)name);
	child_join_ok(&child);
	child_start(&child, come_later, (void *)(uintptr_t)name);
	child_join_ok(&child);
	MUST_EQ(hqq_standard_close(keeper), 0);
}
END_TEST

static int go_on_without_name(void *argument)
{
	hqq_standard *handle = open_name(argument);
	char text[SIZE];

	parent_say('o');
	parent_hear('n');
	/* the maker has closed and the name is gone; another old endpoint is still there */
	MUST(!test_name_exists(argument));
	MUST_EQ(hqq_standard_read(handle, text, sizeof(text)), 5);
	MUST_EQ(hqq_standard_write(handle, "there", 5), 5);
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

START_TEST(a_link_outlives_its_maker_and_its_name)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	const char *name = test_name("nameless");
	hqq_standard *maker = create_name(name, 4), *other;
	struct child child;
	char text[SIZE];

	options.role = HQQ_ROLE_PRIMARY;
	MUST_EQ(hqq_standard_open(&other, name, 0, 0, &options), 0);
	child_start(&child, go_on_without_name, (void *)(uintptr_t)name);
	child_hear(&child, 'o');
	MUST_EQ(hqq_standard_close(maker), 0);
	child_say(&child, 'n');
	MUST_EQ(hqq_standard_write(limited(other), "still", 5), 5);
	MUST_EQ(hqq_standard_read(other, text, sizeof(text)), 5);
	child_join_ok(&child);
	MUST_EQ(hqq_standard_close(other), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("processes");
	TCase *cases = test_case(suite, "traffic", 60);

	tcase_add_loop_test(cases, a_stream_arrives_byte_by_byte, 0, 3);
	tcase_add_test(cases, a_server_with_a_link_per_client);

	cases = test_case(suite, "coming and going", 60);
	tcase_add_test(cases, a_descriptor_passed_through_a_socket);
	tcase_add_test(cases, many_come_and_go);
	tcase_add_test(cases, messages_outlive_their_sender);
	tcase_add_test(cases, a_link_outlives_its_maker_and_its_name);
	return test_main(suite);
}
