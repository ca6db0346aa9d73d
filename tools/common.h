/*
 * common.h - what all subcommands of hqq share: messages, numbers, names, exit codes
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_COMMON_H
#define HQQ_TOOLS_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <time.h>

/* Exit codes, as hqq(1) documents them. A signal n ends a transfer with 128 + n. */
enum status {
	STATUS_OK = 0,
	STATUS_FAILED = 1,  /* the system or the library refused something */
	STATUS_USAGE = 2,   /* the command line makes no sense */
	STATUS_TIMEOUT = 3, /* --wait or --timeout ran out */
	STATUS_PEER = 4,    /* the other end went away before all was done */
	STATUS_ANSWER = 5   /* the answer to a call was an error */
};

#define SHM_DIRECTORY "/dev/shm"
#define DEFAULT_COUNT 64
#define DEFAULT_SIZE 65536
#define DEFAULT_MODE 0600

#define NS_PER_SECOND UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
};

int run_create(int argc, char **argv);
int run_send(int argc, char **argv);
int run_recv(int argc, char **argv);
int run_list(int argc, char **argv);
int run_stat(int argc, char **argv);
int run_doctor(int argc, char **argv);
int run_rm(int argc, char **argv);
int run_serve(int argc, char **argv);
int run_call(int argc, char **argv);
int run_push(int argc, char **argv);
int run_pull(int argc, char **argv);
int run_bench(int argc, char **argv);

/* Every message starts with the name of the subcommand, set once. */
void set_command(const char *name);
const char *command_name(void);

/* "hqq COMMAND: OBJECT: text" on standard error; object may be NULL. */
void complain(const char *object, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A hint at --help; returns STATUS_USAGE. */
int usage_error(void);

/* A number, decimal or after 0x hexadecimal. */
bool parse_number(const char *text, uint64_t *number);

/* A count or size in bytes: digits, then optionally K, M, G or T (powers of 1024). */
bool parse_bytes(const char *text, uint64_t *bytes);

/* Seconds with an optional fraction. */
bool parse_seconds(const char *text, uint64_t *nanoseconds);

/* Permission bits in octal. */
bool parse_mode(const char *text, mode_t *mode);

/* Whether there are such segments; says so when there are none. */
bool check_geometry(uint64_t count, uint64_t size);

/* The name without a leading '/'; NULL, after a message, when it cannot name a segment. */
const char *checked_name(const char *name);

/* "/dev/shm/NAME"; name must be a checked one. */
struct shm_path {
	char text[sizeof(SHM_DIRECTORY) + 1 + 256];
};
struct shm_path shm_path(const char *name);

/* "1.25 MiB" */
struct human {
	char text[24];
};
struct human human_bytes(uint64_t bytes);

/* Prints what may hold anything, with '?' for what would disturb a terminal. */
void print_safely(FILE *out, const char *text, int width);

/* Flushes standard output; STATUS_FAILED, after a message, when something was not written. */
int finish_output(void);

uint64_t monotonic_ns(void);
struct timespec timespec_of(uint64_t nanoseconds);
void sleep_ns(uint64_t nanoseconds);

#endif /* HQQ_TOOLS_COMMON_H */
