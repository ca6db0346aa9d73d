/*
 * inspect.c - a read-only look at a segment from outside
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "common.h"
#include "inspect.h"
#include <errno.h>
#include <fcntl.h>
#include <hqq.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CURSOR_TRIES 8
#define LEASE_TRIES 5
#define PATIENT_TRIES 100 /* longer than `hqq doctor` has it open */
#define LEASE_NAP_NS (2 * NS_PER_MS)
#define LOOKS 6
#define LOOK_NAP_NS ((LEASE_TRIES + 1) * LEASE_NAP_NS) /* longer than a look lasts */

/* Exactly length bytes, or not: short files are what we must expect. */
static bool read_at(int fd, void *buffer, size_t length, uint64_t offset)
{
	char *next = buffer;

	if (offset > (uint64_t)INT64_MAX - length)
		return false;
	while (length) {
		ssize_t n = pread(fd, next, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		next += n;
		length -= (size_t)n;
		offset += (size_t)n;
	}
	return true;
}

/* The copies are nobody else's, so any order would do; the type of the words is the library's. */
static uint64_t word(const _Atomic uint64_t *address)
{
	return atomic_load_explicit(address, memory_order_relaxed);
}

int inspect_open(const char *name)
{
	struct shm_path path = shm_path(name);
	struct stat st;
	int fd, rc;

	for (int i = 0;; i++) {
		/* O_NONBLOCK: a FIFO must not hold us, nor an opener be held by a lease of somebody else */
		fd = open(path.text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		rc = -errno;
		if (fd >= 0)
			break;
		/* leased: find_openers() of another process has it, for less than a nap if it is not stopped */
		if (rc != -EWOULDBLOCK || i == LEASE_TRIES)
			return rc;
		sleep_ns(LEASE_NAP_NS);
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return -EINVAL;
}

static void read_superblock(const struct hqq_superblock *super, struct segment_info *info)
{
	info->magic = word(&super->magic);
	info->state = word(&super->state);
	info->major = word(&super->major_version);
	info->minor = word(&super->minor_version);
	info->page_size = word(&super->page_size);
	info->buffer_count = word(&super->buffer_count);
	info->buffer_size = word(&super->buffer_size);
	info->layout_size = word(&super->layout_size);
}

/* What the superblock alone gives away; fills in the geometry when that can be trusted. */
static const char *check_superblock(struct segment_info *info)
{
	struct hqq_geometry geometry;

	if (info->state != HQQ_STATE_READY)
		return info->state == HQQ_STATE_INITIALISING ? "being initialised" : "not initialised";
	if (info->major != HQQ_LAYOUT_MAJOR)
		return "a layout that this program does not know";
	if (info->page_size != hqq_page_size())
		return "made for another page size";
	if (info->buffer_count > SIZE_MAX || info->buffer_size > SIZE_MAX ||
	    hqq_geometry_init(&geometry, (size_t)info->buffer_count, (size_t)info->buffer_size) ||
	    geometry.layout_size != info->layout_size)
		return "impossible geometry";
	if (info->stat.st_size < 0 || (uint64_t)info->stat.st_size < info->layout_size)
		return "truncated";
	info->geometry = geometry;
	return NULL;
}

static const char *check_ring(int fd, const struct hqq_geometry *geometry, int direction,
                              struct ring_info *ring)
{
	struct hqq_ring_header header;

	if (!read_at(fd, &header, sizeof(header), geometry->ring_offset[direction]))
		return "truncated";
	if (word(&header.magic) != HQQ_RING_MAGIC || word(&header.size) != geometry->buffer_count ||
	    !(word(&header.flags) & HQQ_RING_INITIALISED))
		return "damaged ring header";
	if (!inspect_ring(fd, geometry, direction, ring))
		return "cursors out of range";
	return NULL;
}

bool inspect_ring(int fd, const struct hqq_geometry *geometry, int direction, struct ring_info *ring)
{
	struct hqq_ring_header header;

	/* the two cursors are not read at one instant, so a busy ring may look wrong for once */
	for (int i = 0; i < CURSOR_TRIES; i++) {
		if (!read_at(fd, &header, sizeof(header), geometry->ring_offset[direction]))
			return false;
		ring->read = word(&header.read_cursor);
		ring->write = word(&header.write_cursor);
		ring->depth = ring->write - ring->read;
		if (ring->depth <= geometry->buffer_count)
			return true;
	}
	/* still ahead in the right order: the readers outran us each time */
	if (ring->depth > INT64_MAX)
		return false;
	ring->depth = geometry->buffer_count;
	return true;
}

bool inspect_elements(int fd, const struct hqq_geometry *geometry, int direction, uint64_t slot,
                      struct hqq_element *elements, size_t count)
{
	uint64_t offset = geometry->ring_offset[direction] + sizeof(struct hqq_ring_header);

	return read_at(fd, elements, count * sizeof(*elements), offset + slot * sizeof(*elements));
}

bool inspect_element(int fd, const struct hqq_geometry *geometry, int direction, uint64_t position,
                     struct hqq_element *element)
{
	return inspect_elements(fd, geometry, direction, position & (geometry->buffer_count - 1), element, 1);
}

bool inspect_extension(int fd, struct hqq_extension *extension)
{
	return read_at(fd, extension, sizeof(*extension), HQQ_EXTENSION_OFFSET);
}

/* Name and state of a process as the kernel shows them, when its pid means the same to us. */
static void read_process(struct endpoint_info *endpoint, uint64_t origin)
{
	char path[64], line[512];
	struct stat own;
	FILE *file;

	if (endpoint->life != HQQ_ALIVE || stat("/proc/self/ns/pid", &own) < 0 || origin >> 32 != own.st_ino)
		return;
	snprintf(path, sizeof(path), "/proc/%d/stat", endpoint->pid);
	file = fopen(path, "re");
	if (!file)
		return;
	if (fgets(line, sizeof(line), file)) {
		/* the name stands in parentheses and may hold some of its own */
		char *name = strchr(line, '('), *end = strrchr(line, ')');

		if (name && end && end > name && end[1] == ' ') {
			*end = '\0';
			snprintf(endpoint->command, sizeof(endpoint->command), "%s", name + 1);
			endpoint->activity = end[2];
		}
	}
	fclose(file);
}

static void read_entry(int fd, const struct hqq_entry *entry, unsigned number, struct segment_info *info)
{
	struct endpoint_info *endpoint = &info->endpoint[info->endpoints];
	uint64_t identity = word(&entry->identity), origin = word(&entry->origin);

	if (hqq_identity_is_free(identity))
		return;
	endpoint->entry = number;
	endpoint->pid = hqq_identity_pid(identity);
	endpoint->mode = hqq_identity_mode(identity);
	endpoint->state = hqq_identity_state(identity);
	endpoint->flags = hqq_identity_flags(identity);
	endpoint->life = hqq_liveness(identity, origin, number, fd);
	endpoint->by_process = hqq_liveness(identity, origin, number, -1);
	read_process(endpoint, origin);
	info->endpoints++;
	if (endpoint->life == HQQ_ALIVE)
		info->alive++;
	else if (endpoint->life == HQQ_DEAD)
		info->dead++;
	else
		info->unknown++;
}

static void read_extension(int fd, const struct hqq_extension *extension, struct segment_info *info)
{
	if (word(&extension->magic) != HQQ_EXTENSION_MAGIC ||
	    word(&extension->version) != HQQ_EXTENSION_VERSION)
		return;
	info->extended = true;
	info->joined[0] = word(&extension->joined[0]);
	info->joined[1] = word(&extension->joined[1]);
	info->mended = word(&extension->mended);
	info->lost = word(&extension->lost);
	for (unsigned i = 0; i < HQQ_ENDPOINTS; i++)
		read_entry(fd, &extension->entries[i], i, info);
}

int inspect_fd(int fd, struct segment_info *info)
{
	struct {
		struct hqq_superblock super;
		struct hqq_extension extension;
	} page;

	memset(info, 0, sizeof(*info));
	memset(&page, 0, sizeof(page));
	info->problem_ring = -1;
	if (fstat(fd, &info->stat) < 0)
		return -errno;
	if (!read_at(fd, &page.super, sizeof(page.super.magic), 0))
		return 0;
	info->is_segment = word(&page.super.magic) == HQQ_SUPERBLOCK_MAGIC;
	if (read_at(fd, &page.super, sizeof(page.super), 0)) {
		read_superblock(&page.super, info);
		info->problem = check_superblock(info);
	} else {
		info->problem = "truncated";
	}
	if (!info->is_segment) {
		info->problem = NULL;
		return 0;
	}
	for (int direction = 0; direction < 2 && !info->problem; direction++) {
		info->problem = check_ring(fd, &info->geometry, direction, &info->rings[direction]);
		if (info->problem)
			info->problem_ring = direction;
	}
	if (!info->problem && inspect_extension(fd, &page.extension))
		read_extension(fd, &page.extension, info);
	return 0;
}

int inspect_name(const char *name, struct segment_info *info)
{
	int fd = inspect_open(name);
	int rc;

	if (fd < 0)
		return fd;
	rc = inspect_fd(fd, info);
	close(fd);
	return rc;
}

unsigned inspect_living(const struct segment_info *info, int mode)
{
	unsigned living = 0;

	for (unsigned i = 0; i < info->endpoints; i++)
		living += info->endpoint[i].mode == mode && info->endpoint[i].life != HQQ_DEAD;
	return living;
}

bool inspect_may_have_peer(const struct segment_info *info, int peer_mode)
{
	return !info->extended || !info->joined[peer_mode] || inspect_living(info, peer_mode);
}

enum openers {
	OPEN_NOWHERE,
	OPEN_SOMEWHERE,
	OPEN_UNKNOWN
};

/*
 * The kernel grants a write lease only while nobody else has the file open or mapped, which tells
 * of endpoints of other implementations too.
 */
static enum openers find_openers(int fd, int tries)
{
	/* whoever opens the file in between makes the kernel send a signal; this one is ignored */
	if (fcntl(fd, F_SETSIG, SIGURG) < 0)
		return OPEN_UNKNOWN;
	for (int i = 0; i < tries; i++) {
		if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0) {
			fcntl(fd, F_SETLEASE, F_UNLCK);
			return OPEN_NOWHERE;
		}
		if (errno != EAGAIN)
			return OPEN_UNKNOWN;
		sleep_ns(LEASE_NAP_NS); /* somebody may only be looking, as we do */
	}
	return OPEN_SOMEWHERE;
}

const char *inspect_why_used(const struct segment_info *info)
{
	if (!info->is_segment)
		return "not a segment";
	if (info->problem)
		return info->problem;
	if (!info->joined[0] && !info->joined[1])
		return "no endpoint of libhqq ever used it";
	if (info->alive)
		return "in use";
	if (info->unknown)
		return "has endpoints that cannot be asked";
	return NULL;
}

const char *inspect_why_kept(int fd, const struct segment_info *info, bool force)
{
	const char *reason = inspect_why_used(info);

	if (reason && (!force || !info->is_segment || info->alive))
		return reason;
	switch (find_openers(fd, PATIENT_TRIES)) {
	case OPEN_SOMEWHERE:
		return "still open in a process";
	case OPEN_UNKNOWN:
		return force ? NULL : "the kernel does not tell whether a process has it open";
	case OPEN_NOWHERE:
		break;
	}
	return NULL;
}

bool inspect_is_stale(const char *name)
{
	unsigned number = (unsigned)getpid();

	for (unsigned i = 0; i < LOOKS; i++) {
		struct segment_info info;
		bool is_unused, is_open;
		int fd;

		/*
		 * Two who look at the same time each see that the other has it open, for as long as both
		 * look. So they stay away meanwhile, each as long as the next digit of its number says.
		 */
		if (i > 0) {
			sleep_ns((1 + number % LOOKS) * LOOK_NAP_NS);
			number /= LOOKS;
		}
		fd = inspect_open(name);
		if (fd < 0)
			return false;
		is_unused = inspect_fd(fd, &info) == 0 && !inspect_why_used(&info);
		/* where the kernel does not tell who has it open, the table has to do */
		is_open = is_unused && find_openers(fd, LEASE_TRIES) == OPEN_SOMEWHERE;
		close(fd);
		if (!is_open)
			return is_unused;
	}
	return false;
}
