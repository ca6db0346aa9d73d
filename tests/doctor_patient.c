/*
 * doctor_patient.c - a process with a segment in a certain state, for tests/tool-doctor
 *
 *	doctor_patient STATE NAME    makes the segment, prints a line, and stays until it is killed
 *
 * Which states there are is told by the table at the end.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "futex.h"
#include "standard/standard.h"
#include "superblock.h"

#include <fcntl.h>
#include <hqq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUFFERS 8
#define BYTES 64

static hqq_standard *primary, *secondary;

static void check(const char *what, ssize_t result)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, hqq_strerror((int)result));
	exit(1);
}

static void make(const char *name)
{
	check("create", hqq_standard_create(&primary, name, BUFFERS, BYTES, 0600, NULL));
	check("open", hqq_standard_open(&secondary, name, 0, 0, NULL));
}

static void write_messages(unsigned count)
{
	while (count--)
		check("write", hqq_standard_write(primary, "message", 7));
}

static void be_idle(const char *name)
{
	char text[BYTES];

	make(name);
	write_messages(3);
	for (unsigned i = 0; i < 3; i++)
		check("read", hqq_standard_read(secondary, text, sizeof(text)));
}

static void have_messages(const char *name)
{
	make(name);
	write_messages(3);
}

static void reserve_for_writing(const char *name)
{
	static struct hqq_reservation held;

	make(name);
	write_messages(1);
	check("reserve", hqq_standard_reserve_write(primary, &held));
	write_messages(2);
}

static void reserve_for_reading(const char *name)
{
	static struct hqq_reservation held;

	make(name);
	write_messages(3);
	check("reserve", hqq_standard_reserve_read(secondary, &held));
}

/* The claims of short calls, as they are in the middle of one; not from our own lane 0, which is in use. */
static void claim(hqq_standard *handle, enum hqq_claim_kind kind, unsigned positions)
{
	struct hqq_link *link = hqq_standard_link(handle);
	_Atomic uint64_t *lane = &link->extension->entries[link->endpoint.index].lanes[3];
	uint64_t position;

	if (hqq_ring_claim_run(hqq_link_ring(link, kind), lane, kind, false, positions, NULL, NULL, &position) !=
	    positions) {
		fputs("the positions cannot be claimed\n", stderr);
		exit(1);
	}
}

static void be_writing(const char *name)
{
	make(name);
	claim(primary, HQQ_CLAIM_WRITE, 2);
}

static void be_reading(const char *name)
{
	make(name);
	write_messages(BUFFERS);
	claim(secondary, HQQ_CLAIM_READ, 1);
}

/* A claim that two endpoints name, one of which goes away: the other one stands between two stores. */
static void be_writing_beside_one_that_left(const char *name)
{
	struct hqq_link *link;
	hqq_standard *gone;

	make(name);
	check("open", hqq_standard_open(&gone, name, 0, 0,
	                                &(struct hqq_options){.struct_size = sizeof(struct hqq_options),
	                                                      .role = HQQ_ROLE_PRIMARY}));
	claim(gone, HQQ_CLAIM_WRITE, 1);
	link = hqq_standard_link(primary);
	atomic_store(&link->extension->entries[link->endpoint.index].lanes[3],
	             hqq_claim_word(HQQ_CLAIM_WRITE, 0, 1));
	hqq_endpoint_leave(&hqq_standard_link(gone)->endpoint, false);
}

static void repair(const char *name)
{
	struct hqq_link *link;

	make(name);
	link = hqq_standard_link(secondary);
	atomic_store(&link->extension->repair, link->endpoint.index + 1);
}

/* Sleeps as a reader whom nobody woke. */
static void sleep_beside_a_message(const char *name)
{
	struct hqq_link *link;
	struct hqq_bell *bell;
	bool exact;

	make(name);
	write_messages(1);
	link = hqq_standard_link(secondary);
	bell = &link->extension->bells[HQQ_PRIMARY_TO_SECONDARY][HQQ_BELL_DATA];
	printf("ready\n");
	fflush(stdout);
	for (;;)
		hqq_futex_wait(&bell->rung, hqq_bell_mark(bell, link->endpoint.index, &exact),
		               hqq_bell_bits(link->endpoint.index), HQQ_NO_DEADLINE);
}

/* A segment as other implementations have it: without our block. */
static void *make_file(const char *name, struct hqq_geometry *geometry)
{
	char path[300];
	void *base;
	int fd;

	check("geometry", hqq_geometry_init(geometry, BUFFERS, BYTES));
	snprintf(path, sizeof(path), "/dev/shm/%s", name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)geometry->layout_size) < 0) {
		perror(path);
		exit(1);
	}
	base = mmap(NULL, geometry->layout_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED || !hqq_superblock_win(base)) {
		perror(path);
		exit(1);
	}
	close(fd);
	return base;
}

static void be_foreign(const char *name)
{
	struct hqq_geometry geometry;
	void *base = make_file(name, &geometry);

	hqq_superblock_initialise(base, &geometry);
}

static void be_foreign_and_writing(const char *name)
{
	struct hqq_geometry geometry;
	_Atomic uint64_t lane = 0;
	struct hqq_ring ring;
	uint64_t position;
	void *base = make_file(name, &geometry);

	hqq_superblock_initialise(base, &geometry);
	hqq_ring_init(&ring, base, &geometry, HQQ_SECONDARY_TO_PRIMARY);
	hqq_ring_claim(&ring, &lane, HQQ_CLAIM_WRITE, false, &position);
}

static void be_initialising(const char *name)
{
	struct hqq_geometry geometry;

	make_file(name, &geometry);
}

static const struct {
	const char *name;
	void (*enter)(const char *name);
} states[] = {
	{"idle", be_idle},
	{"messages", have_messages},
	{"reserve-write", reserve_for_writing},
	{"reserve-read", reserve_for_reading},
	{"write", be_writing},
	{"read", be_reading},
	{"write-beside-left", be_writing_beside_one_that_left},
	{"repair", repair},
	{"sleep", sleep_beside_a_message},
	{"foreign", be_foreign},
	{"foreign-write", be_foreign_and_writing},
	{"initialising", be_initialising},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 3 && i < sizeof(states) / sizeof(states[0]); i++) {
		if (strcmp(argv[1], states[i].name) != 0)
			continue;
		states[i].enter(argv[2]);
		printf("ready\n");
		fflush(stdout);
		for (;;)
			pause();
	}
	fputs("usage: doctor_patient STATE NAME\n", stderr);
	return 2;
}
