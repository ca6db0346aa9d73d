/*
 * file.h - what `hqq push` and `hqq pull` share: a file on its way, and what is said of it
 *
 * The file goes as one stream, a data message of the Advanced protocol, from the file into the
 * segment and out of it. Whoever took all of it answers with an empty data message.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_FILE_H
#define HQQ_TOOLS_FILE_H

#include "checksum.h"
#include "meet.h"

struct file_transfer {
	struct meeting meeting;
	const char *path; /* NULL: standard output */
	int fd;
	uint64_t size;
	int error; /* of the file, not of the link: an errno */
	struct checksum checksum;
};

/* One chunk more was moved. */
void file_count(struct file_transfer *transfer, const void *data, size_t size);

/* Notes that the file could not be read or written; returns the exit code. */
int file_failed(struct file_transfer *transfer);

/* Closes everything, says what there is to say; returns the final exit code. */
int file_end(struct file_transfer *transfer, int status);

#endif /* HQQ_TOOLS_FILE_H */
