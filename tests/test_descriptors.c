/*
 * test_descriptors.c - segments without a name, and what descriptors and memory a handle needs
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <hqq.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT 4
#define SIZE 64

static void exchange(hqq_standard *one, hqq_standard *other)
{
	char text[SIZE];

	MUST_EQ(hqq_standard_write(one, "there", 5), 5);
	MUST_EQ(hqq_standard_read(other, text, sizeof(text)), 5);
	MUST_EQ(hqq_standard_write(other, "back", 4), 4);
	MUST_EQ(hqq_standard_read(one, text, sizeof(text)), 4);
	MUST(memcmp(text, "back", 4) == 0);
}

/* ---- memfds ------------------------------------------------------------------------------------ */

START_TEST(memfd_is_sealed)
{
	hqq_standard *handle;
	struct stat status;
	int fd, seals;

	MUST_EQ(hqq_standard_create_fd(&handle, COUNT, SIZE, NULL), 0);
	MUST_EQ(hqq_standard_mode(handle), HQQ_MODE_PRIMARY);
	MUST(hqq_standard_name(handle) == NULL);
	fd = hqq_standard_fd(handle);
	seals = fcntl(fd, F_GET_SEALS);
	MUST(seals >= 0);
	MUST((seals & F_SEAL_SHRINK) != 0 && (seals & F_SEAL_GROW) != 0);
	MUST_EQ(fstat(fd, &status), 0);
	MUST_EQ(status.st_size, hqq_standard_size(COUNT, SIZE));
	MUST(ftruncate(fd, 0) < 0 && errno == EPERM);
	MUST(ftruncate(fd, 1 << 20) < 0 && errno == EPERM);
	MUST_EQ(hqq_standard_close(handle), 0);
}
END_TEST

START_TEST(opening_a_descriptor_leaves_it_the_callers)
{
	hqq_standard *creator, *peer, *other;
	int copy;

	MUST_EQ(hqq_standard_create_fd(&creator, COUNT, SIZE, NULL), 0);
	copy = fcntl(hqq_standard_fd(creator), F_DUPFD_CLOEXEC, 0);
	MUST_EQ(hqq_standard_open_fd(&peer, copy, COUNT, SIZE, NULL), 0);
	MUST_EQ(hqq_standard_mode(peer), HQQ_MODE_SECONDARY);
	MUST(hqq_standard_fd(peer) != copy && hqq_standard_fd(peer) >= 0);
	exchange(creator, peer);
	MUST_EQ(hqq_standard_open_fd(&other, hqq_standard_fd(peer), 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_close(peer), 0);
	MUST_EQ(close(copy), 0);
	exchange(creator, other);
	MUST_EQ(hqq_standard_close(creator), 0);
	MUST_EQ(hqq_standard_write(other, "alone", 5), 5);
	MUST_EQ(hqq_standard_close(other), 0);
}
END_TEST

START_TEST(empty_memfd_is_initialised_by_the_first)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	hqq_standard *first, *second;

	MUST_EQ(ftruncate(fd, (off_t)hqq_standard_size(COUNT, SIZE)), 0);
	MUST_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	MUST_EQ(hqq_standard_open_fd(&first, fd, COUNT, SIZE, NULL), 0);
	MUST_EQ(hqq_standard_mode(first), HQQ_MODE_PRIMARY);
	MUST_EQ(hqq_standard_open_fd(&second, fd, COUNT, SIZE, NULL), 0);
	MUST_EQ(hqq_standard_mode(second), HQQ_MODE_SECONDARY);
	exchange(first, second);
	MUST_EQ(hqq_standard_close(second), 0);
	MUST_EQ(hqq_standard_close(first), 0);
	close(fd);
}
END_TEST

union control {
	struct cmsghdr header; /* for its alignment */
	char bytes[CMSG_SPACE(sizeof(int))];
};

static void send_descriptor(int line, int fd)
{
	char byte = 'f';
	struct iovec vector = { &byte, 1 };
	union control control = { .bytes = { 0 } };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes,
		                  .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	MUST_EQ(sendmsg(line, &message, 0), 1);
}

static int receive_descriptor(int line)
{
	char byte;
	struct iovec vector = { &byte, 1 };
	union control control;
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes,
		                  .msg_controllen = sizeof(control.bytes) };
	int fd;

	MUST_EQ(recvmsg(line, &message, MSG_CMSG_CLOEXEC), 1);
	MUST(CMSG_FIRSTHDR(&message) != NULL);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

static int receiver_of_a_descriptor(void *argument)
{
	int fd = receive_descriptor(*(int *)argument);
	struct timespec deadline = test_in_ms(30000 * test_slowness());
	hqq_standard *handle;
	char text[SIZE];

	MUST_EQ(hqq_standard_open_fd(&handle, fd, 0, 0, NULL), 0);
	close(fd);
	MUST_EQ(hqq_standard_set_deadline(handle, &deadline), 0);
	MUST_EQ(hqq_standard_buffer_count(handle), COUNT);
	MUST_EQ(hqq_standard_buffer_size(handle), SIZE);
	MUST_EQ(hqq_standard_read(handle, text, sizeof(text)), 8);
	MUST_EQ(hqq_standard_write(handle, text, 8), 8);
	MUST_EQ(hqq_standard_close(handle), 0);
	return 0;
}

START_TEST(descriptor_travels_between_processes)
{
	struct timespec deadline = test_in_ms(30000 * test_slowness());
	hqq_standard *handle;
	struct child child;
	char text[SIZE];
	int lines[2];

	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lines), 0);
	/* forked before there is a segment: the descriptor is all that it gets */
	child_start(&child, receiver_of_a_descriptor, &lines[1]);
	MUST_EQ(hqq_standard_create_fd(&handle, COUNT, SIZE, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(handle, &deadline), 0);
	send_descriptor(lines[0], hqq_standard_fd(handle));
	MUST_EQ(hqq_standard_write(handle, "far away", 8), 8);
	MUST_EQ(hqq_standard_read(handle, text, sizeof(text)), 8);
	MUST(memcmp(text, "far away", 8) == 0);
	child_join_ok(&child);
	close(lines[0]);
	close(lines[1]);
	MUST_EQ(hqq_standard_close(handle), 0);
}
END_TEST

/* ---- descriptors ------------------------------------------------------------------------------- */

START_TEST(no_descriptor_survives_exec)
{
	hqq_standard *named, *opened, *anonymous, *passed;
	const char *name = test_name("exec");
	bool before[256];
	int fd, new_ones = 0;

	for (fd = 0; fd < 256; fd++)
		before[fd] = fcntl(fd, F_GETFD) >= 0;
	MUST_EQ(hqq_standard_create(&named, name, COUNT, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&opened, name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_create_fd(&anonymous, COUNT, SIZE, NULL), 0);
	MUST_EQ(hqq_standard_open_fd(&passed, hqq_standard_fd(anonymous), 0, 0, NULL), 0);
	MUST(hqq_standard_event_fd(opened) >= 0);
	for (fd = 0; fd < 256; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (before[fd] || flags < 0)
			continue;
		new_ones++;
		MUST_EQ(flags & FD_CLOEXEC, FD_CLOEXEC);
	}
	MUST(new_ones >= 5);
	MUST_EQ(hqq_standard_close(passed), 0);
	MUST_EQ(hqq_standard_close(anonymous), 0);
	MUST_EQ(hqq_standard_close(opened), 0);
	MUST_EQ(hqq_standard_close(named), 0);
}
END_TEST

/* The five ways to a handle, with so many descriptors left; whatever comes out of it is closed. */
static int make_handle(int way, const char *name, const char *existing, int fd, unsigned char *memory)
{
	hqq_standard *handle = NULL;
	int result;

	switch (way) {
	case 0:
		result = hqq_standard_create(&handle, name, COUNT, SIZE, 0600, NULL);
		break;
	case 1:
		result = hqq_standard_open(&handle, existing, 0, 0, NULL);
		break;
	case 2:
		result = hqq_standard_create_fd(&handle, COUNT, SIZE, NULL);
		break;
	case 3:
		result = hqq_standard_open_fd(&handle, fd, 0, 0, NULL);
		break;
	default:
		result = hqq_standard_attach(&handle, memory, hqq_standard_size(COUNT, SIZE), COUNT, SIZE,
		                             NULL);
		break;
	}
	MUST((result == 0) == (handle != NULL));
	if (result == 0) {
		int event = hqq_standard_event_fd(handle);

		MUST(event >= 0 || event == -EMFILE);
		MUST_EQ(hqq_standard_close(handle), 0);
	}
	return result;
}

static int short_of_descriptors(void *argument)
{
	unsigned char *memory = test_map_memory(hqq_standard_size(COUNT, SIZE));
	const char *existing = test_name("existing"), *name = test_name("new");
	hqq_standard *named, *anonymous;
	struct rlimit limit, tight;
	int way = *(int *)argument, left, before, result = -1, refused = 0;

	MUST_EQ(hqq_standard_create(&named, existing, COUNT, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_create_fd(&anonymous, COUNT, SIZE, NULL), 0);
	MUST_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	before = test_count_descriptors();
	for (left = 0; left < 10; left++) {
		int lowest = dup(0);

		close(lowest);
		tight = limit;
		tight.rlim_cur = (rlim_t)(lowest + left);
		MUST_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
		result = make_handle(way, name, existing, hqq_standard_fd(anonymous), memory);
		MUST_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
		MUST(result == 0 || result == -EMFILE);
		refused += result != 0;
		MUST_EQ(test_count_descriptors(), before);
		MUST(!test_name_exists(name));
	}
	MUST_EQ(result, 0);
	/* a mapping of the caller's needs none, all others do */
	MUST(way == 4 ? refused == 0 : refused > 0);
	MUST_EQ(hqq_standard_close(anonymous), 0);
	MUST_EQ(hqq_standard_close(named), 0);
	return 0;
}

START_TEST(short_of_descriptors_nothing_leaks)
{
	struct child child;
	int way = _i;

	child_start(&child, short_of_descriptors, &way);
	child_join_ok(&child);
}
END_TEST

static int short_of_memory(void *argument)
{
	const char *name = test_name("memory");
	struct rlimit limit = { 0, 0 };
	hqq_standard *handle = NULL;
	int before = test_count_descriptors(), error;

	(void)argument;
	MUST_EQ(getrlimit(RLIMIT_AS, &limit), 0);
	limit.rlim_cur = 64 << 20;
	MUST_EQ(setrlimit(RLIMIT_AS, &limit), 0);
	/* a small /dev/shm, as containers have it, has no room for it anyway; without a name there is room */
	error = hqq_standard_create(&handle, name, 8192, 8192, 0600, NULL);
	MUST(error == -ENOMEM || error == -ENOSPC);
	MUST_EQ(hqq_standard_create_fd(&handle, 8192, 8192, NULL), -ENOMEM);
	MUST(handle == NULL && !test_name_exists(name));
	MUST_EQ(test_count_descriptors(), before);
	return 0;
}

START_TEST(short_of_memory_nothing_leaks)
{
	struct child child;

	if (test_slowness() > 1) {
		test_skip("checkers and emulators need more address space than this test leaves");
		return;
	}
	child_start(&child, short_of_memory, NULL);
	child_join_ok(&child);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("descriptors");
	TCase *cases = test_case(suite, "memfd", 30);

	tcase_add_test(cases, memfd_is_sealed);
	tcase_add_test(cases, opening_a_descriptor_leaves_it_the_callers);
	tcase_add_test(cases, empty_memfd_is_initialised_by_the_first);
	tcase_add_test(cases, descriptor_travels_between_processes);

	cases = test_case(suite, "resources", 30);
	tcase_add_test(cases, no_descriptor_survives_exec);
	tcase_add_loop_test(cases, short_of_descriptors_nothing_leaks, 0, 5);
	tcase_add_test(cases, short_of_memory_nothing_leaks);
	return test_main(suite);
}
