/*
 * program.h - runs a program on some bytes and collects what it prints
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_PROGRAM_H
#define HQQ_TOOLS_PROGRAM_H

#include "watch.h"
#include <stddef.h>

struct bytes {
	char *data;
	size_t size, capacity;
};

struct program {
	char **arguments; /* the first is its name, looked for in PATH */
	size_t output_max;
	const struct watch *watch; /* when it stops, so does the program */

	/* how it went; kept until program_free() */
	int status;     /* the shell's: exit code, 128 + signal, 126 and 127 when it could not be run */
	bool overflown; /* it was stopped, as it printed more than output_max */
	struct bytes output, errors;
};

/*
 * Runs it with the input on its standard input. The program and what it starts are a process group
 * of their own. 0, or -errno when the attempt failed already here.
 */
int program_run(struct program *program, const void *input, size_t size);
void program_free(struct program *program);

#endif /* HQQ_TOOLS_PROGRAM_H */
