/*
 * truncation.c - outliving a segment that is cut while it is mapped
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "truncation.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic bool seen; /* lock-free, so a signal handler may store it */
static uintptr_t page_size;

void truncation_note(void)
{
	atomic_store_explicit(&seen, true, memory_order_release); /* the new page first */
}

bool truncation_seen(void)
{
	return atomic_load_explicit(&seen, memory_order_acquire);
}

/* /proc/self/maps, a character at a time; only what a signal handler may do. */
struct maps {
	int fd;
	ssize_t length, next;
	char text[512];
};

static int next_character(struct maps *maps)
{
	if (maps->next == maps->length) {
		maps->next = 0;
		do {
			maps->length = read(maps->fd, maps->text, sizeof(maps->text));
		} while (maps->length < 0 && errno == EINTR);
		if (maps->length <= 0) {
			maps->length = 0;
			return -1;
		}
	}
	return maps->text[maps->next++];
}

/* A number in hexadecimal and the character behind it. */
static uintptr_t next_number(struct maps *maps, int *c)
{
	uintptr_t number = 0;

	while ((*c = next_character(maps)) >= 0) {
		if (*c >= '0' && *c <= '9')
			number = number << 4 | (uintptr_t)(*c - '0');
		else if (*c >= 'a' && *c <= 'f')
			number = number << 4 | (uintptr_t)(*c - 'a' + 10);
		else
			break;
	}
	return number;
}

/* Only segments are mapped shared and for writing here, not the program's own files. */
static bool is_in_segment(uintptr_t address)
{
	struct maps maps = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
	bool found = false;
	int c = 0;

	if (maps.fd < 0)
		return false;
	while (c >= 0 && !found) {
		const uintptr_t start = next_number(&maps, &c), end = next_number(&maps, &c);
		char rights[4];

		for (unsigned i = 0; i < sizeof(rights); i++)
			rights[i] = (char)next_character(&maps);
		found = address >= start && address < end && memcmp(rights, "rw-s", sizeof(rights)) == 0;
		while (c >= 0 && c != '\n')
			c = next_character(&maps);
	}
	close(maps.fd);
	return found;
}

/*
 * Returning does the access again: on an empty page of our own, or, where this is not ours to mend,
 * with the default action.
 */
static void on_bus_error(int signal, siginfo_t *info, void *context)
{
	const uintptr_t address = (uintptr_t)info->si_addr;
	void *page = (void *)(address & ~(page_size - 1));
	const int saved_errno = errno;

	(void)context;
	if (info->si_code == BUS_ADRERR && is_in_segment(address) &&
	    mmap(page, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	            page)
		truncation_note();
	else
		sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	errno = saved_errno;
}

void truncation_survive(void)
{
	struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};

	page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
	sigaction(SIGBUS, &action, NULL);
}
