/*
 * stepper.c - runs a child up to one instruction of one function; see stepper.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "stepper.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif

#define STEPS_MAX 2000000
#define ASLEEP_AFTER_NS 2000000 /* without a stop: time to look whether it sleeps */
#define STEPS_BEFORE_SLEEP 4000 /* by then a child that waits has come to where it would sleep */

#if defined(__x86_64__)
#define PC_OFFSET offsetof(struct user, regs.rip)
#define SP_OFFSET offsetof(struct user, regs.rsp)
#elif defined(__i386__)
#define PC_OFFSET offsetof(struct user, regs.eip)
#define SP_OFFSET offsetof(struct user, regs.esp)
#else
#define PC_OFFSET 0
#define SP_OFFSET 0
#define UNKNOWN_PROCESSOR 1
#endif

#define STOP_COST 4 /* of a breakpoint, in single steps */
#define BREAKPOINT 0xcc /* one byte; the child stops behind it */

/* ---- ptrace(2) --------------------------------------------------------------------------------- */

static void failed(const struct stepper *stepper, const char *what)
{
	test_must_failed(__FILE__, __LINE__, "%s of process %ld: %s", what, (long)stepper->pid, strerror(errno));
}

static uintptr_t read_register(const struct stepper *stepper, size_t offset)
{
	long value;

	errno = 0;
	value = ptrace(PTRACE_PEEKUSER, stepper->pid, (void *)offset, NULL);
	if (errno)
		failed(stepper, "registers");
	return (uintptr_t)value;
}

static uintptr_t read_word(const struct stepper *stepper, uintptr_t address)
{
	long value;

	errno = 0;
	value = ptrace(PTRACE_PEEKDATA, stepper->pid, (void *)address, NULL);
	if (errno)
		failed(stepper, "memory");
	return (uintptr_t)value;
}

static void write_word(const struct stepper *stepper, uintptr_t address, uintptr_t value)
{
	if (ptrace(PTRACE_POKEDATA, stepper->pid, (void *)address, (void *)value) < 0)
		failed(stepper, "memory");
}

static bool sleeps(pid_t pid)
{
	char path[64], text[512];
	const char *end;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[length < 0 ? 0 : length] = '\0';
	end = strrchr(text, ')');
	return end != NULL && strncmp(end, ") S", 3) == 0;
}

static void tell(struct stepper *stepper)
{
	void (*asleep)(void *argument) = stepper->asleep;

	stepper->asleep = NULL;
	asleep(stepper->argument);
}

/* The next stop; it is by this signal, or the test fails. */
static void await_stop(struct stepper *stepper, int signal_wanted)
{
	const uint64_t began = stepper->asleep ? test_now_ns() : 0;
	int status;
	pid_t pid;

	while ((pid = waitpid(stepper->pid, &status, stepper->asleep ? WNOHANG : 0)) == 0) {
		if (test_now_ns() - began > ASLEEP_AFTER_NS && sleeps(stepper->pid))
			tell(stepper);
		sched_yield();
	}
	if (pid != stepper->pid)
		failed(stepper, "waiting");
	if (!WIFSTOPPED(status))
		test_must_failed(__FILE__, __LINE__, "the child ended by itself, status %#x", (unsigned int)status);
	if (WSTOPSIG(status) != signal_wanted)
		test_must_failed(__FILE__, __LINE__, "the child met signal %d", WSTOPSIG(status));
}

static void go(struct stepper *stepper, enum __ptrace_request how)
{
	if (ptrace(how, stepper->pid, NULL, NULL) < 0)
		failed(stepper, "tracing");
	await_stop(stepper, SIGTRAP);
}

static bool is_at_end(const struct stepper *stepper, uintptr_t pc)
{
	return pc == stepper->end && read_register(stepper, SP_OFFSET) > stepper->stack;
}

static uintptr_t set_breakpoint(const struct stepper *stepper, uintptr_t address)
{
	const uintptr_t word = read_word(stepper, address);

	write_word(stepper, address, (word & ~(uintptr_t)0xff) | BREAKPOINT);
	return word;
}

/* Full speed to an address, or to where the function returns if that comes first (false). */
static bool run_until(struct stepper *stepper, uintptr_t address)
{
	/* the second before the first is taken away again, for where the two words overlap */
	const uintptr_t word = set_breakpoint(stepper, address);
	const uintptr_t end_word = stepper->end ? set_breakpoint(stepper, stepper->end) : 0;
	uintptr_t pc;

	go(stepper, PTRACE_CONT);
	if (stepper->end)
		write_word(stepper, stepper->end, end_word);
	write_word(stepper, address, word);
	pc = read_register(stepper, PC_OFFSET) - 1;
	MUST(pc == address || pc == stepper->end);
	if (ptrace(PTRACE_POKEUSER, stepper->pid, (void *)(size_t)PC_OFFSET, (void *)pc) < 0)
		failed(stepper, "registers");
	return pc == address;
}

/* In the code that the kernel lends to every process, at one address in all of a family. */
static bool is_in_vdso(uintptr_t pc)
{
	const uintptr_t base = (uintptr_t)getauxval(AT_SYSINFO_EHDR);
	const ElfW(Ehdr) *header = (const void *)base;
	const ElfW(Phdr) *part;

	if (pc < base || base == 0)
		return false;
	part = (const void *)(base + header->e_phoff);
	for (unsigned int i = 0; i < header->e_phnum; i++) {
		if (part[i].p_type == PT_LOAD && pc - base < part[i].p_memsz)
			return true;
	}
	return false;
}

/*
 * One instruction, or a call of the vdso: its clock begins anew as long as the kernel sets the time
 * meanwhile, which for somebody who steps may be for ever.
 */
static void step(struct stepper *stepper)
{
	/* stepped, a child may be too slow to sleep: its time is over when it comes there */
	if (stepper->asleep && ++stepper->steps == STEPS_BEFORE_SLEEP)
		tell(stepper);
	go(stepper, PTRACE_SINGLESTEP);
	if (is_in_vdso(read_register(stepper, PC_OFFSET)))
		run_until(stepper, read_word(stepper, read_register(stepper, SP_OFFSET)));
}

/* ---- can it be done ---------------------------------------------------------------------------- */

#if !defined(UNKNOWN_PROCESSOR) && !defined(SANITIZED)
static const char *try_a_step(void)
{
	const char *obstacle = "ptrace(2) is not permitted here";
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(1);
		raise(SIGSTOP);
		_exit(0);
	}
	if (pid < 0)
		return "no process for a trial";
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return obstacle;
	if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0 && waitpid(pid, &status, 0) == pid &&
	    WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP)
		obstacle = NULL;
	else
		obstacle = "ptrace(2) does not single-step here";
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return obstacle;
}
#endif

const char *stepper_obstacle(void)
{
#if defined(UNKNOWN_PROCESSOR)
	return "single-stepping is written for x86 only";
#elif defined(SANITIZED)
	return "single-stepping through a sanitizer's code takes too long";
#else
	if (test_under_valgrind())
		return "valgrind's processor does not single-step";
	return try_a_step();
#endif
}

/* ---- the way there ----------------------------------------------------------------------------- */

void stepper_await(void)
{
	MUST(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
	raise(SIGSTOP);
}

void stepper_meet(struct stepper *stepper, pid_t pid)
{
	stepper->pid = pid;
	await_stop(stepper, SIGSTOP);
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(uintptr_t)PTRACE_O_EXITKILL) < 0)
		failed(stepper, "tracing");
}

void stepper_begin(struct stepper *stepper, stepper_function *function)
{
	stepper->function = (uintptr_t)function;
	stepper->end = 0;
	run_until(stepper, stepper->function);
	stepper->stack = read_register(stepper, SP_OFFSET);
	stepper->end = read_word(stepper, stepper->stack);
}

static void note(struct stepper_trace *trace, uintptr_t pc)
{
	if (trace->length == trace->room) {
		trace->room = trace->room ? 2 * trace->room : 1024;
		trace->at = realloc(trace->at, trace->room * sizeof(trace->at[0]));
		MUST(trace->at != NULL);
	}
	trace->at[trace->length++] = (struct stepper_instruction){ pc, 0 };
}

static int compare(const void *a, const void *b)
{
	const struct stepper_instruction *const *one = a, *const *other = b;

	if ((*one)->address != (*other)->address)
		return (*one)->address < (*other)->address ? -1 : 1;
	return *one < *other ? -1 : *one > *other;
}

static void count_times(struct stepper_trace *trace)
{
	struct stepper_instruction **sorted = malloc((trace->length + 1) * sizeof(*sorted));

	MUST(sorted != NULL);
	for (size_t i = 0; i < trace->length; i++)
		sorted[i] = &trace->at[i];
	qsort(sorted, trace->length, sizeof(*sorted), compare);
	for (size_t i = 0; i < trace->length; i++)
		sorted[i]->times = 1 + (i > 0 && sorted[i]->address == sorted[i - 1]->address ? sorted[i - 1]->times : 0);
	free(sorted);
}

/* One instruction; true: told to stop there. */
static bool step_and_tell(struct stepper *stepper)
{
	step(stepper);
	return stepper->stepped && stepper->stepped(stepper->argument);
}

bool stepper_record(struct stepper *stepper, struct stepper_trace *trace)
{
	uintptr_t pc = stepper->function;
	bool told = false;

	trace->length = 0;
	while (!told && !is_at_end(stepper, pc)) {
		note(trace, pc);
		MUST(trace->length < STEPS_MAX);
		told = step_and_tell(stepper);
		pc = read_register(stepper, PC_OFFSET);
	}
	count_times(trace);
	return is_at_end(stepper, pc);
}

void stepper_forget(struct stepper_trace *trace)
{
	free(trace->at);
	memset(trace, 0, sizeof(*trace));
}

bool stepper_walk(struct stepper *stepper, size_t k)
{
	uintptr_t pc = read_register(stepper, PC_OFFSET);

	for (; k > 0 && !is_at_end(stepper, pc); k--) {
		if (step_and_tell(stepper))
			return true;
		pc = read_register(stepper, PC_OFFSET);
	}
	return k == 0;
}

/* The cheapest place before k to run to: times that its breakpoint is met, and steps from there. */
static size_t place_before(const struct stepper_trace *trace, size_t k)
{
	size_t best = k, best_cost = SIZE_MAX;

	for (size_t place = k; k - place < best_cost; place--) {
		size_t cost = STOP_COST * trace->at[place].times + (k - place);

		if (place == 0)
			cost = k;
		if (cost < best_cost) {
			best = place;
			best_cost = cost;
		}
		if (place == 0)
			break;
	}
	return best;
}

bool stepper_run_to(struct stepper *stepper, const struct stepper_trace *trace, size_t k)
{
	size_t place, times;

	if (k == trace->length)
		return run_until(stepper, stepper->end);
	place = place_before(trace, k);
	for (times = place ? trace->at[place].times : 0; times > 0; times--) {
		if (!run_until(stepper, trace->at[place].address))
			return false;
		if (times > 1)
			step(stepper); /* off the place of the breakpoint */
	}
	return stepper_walk(stepper, k - place) && read_register(stepper, PC_OFFSET) == trace->at[k].address;
}

void stepper_let_sleep(struct stepper *stepper)
{
	const struct timespec moment = { 0, 50000 };
	siginfo_t end = { .si_pid = 0 };

	if (ptrace(PTRACE_CONT, stepper->pid, NULL, NULL) < 0)
		failed(stepper, "tracing");
	while (!sleeps(stepper->pid)) {
		MUST_EQ(waitid(P_PID, (id_t)stepper->pid, &end, WEXITED | WSTOPPED | WNOHANG | WNOWAIT), 0);
		if (end.si_pid)
			test_must_failed(__FILE__, __LINE__, "the child, which was to sleep, stopped or ended");
		nanosleep(&moment, NULL);
	}
	MUST_EQ(kill(stepper->pid, SIGSTOP), 0);
	await_stop(stepper, SIGSTOP);
}

void stepper_leave_stopped(struct stepper *stepper)
{
	int status;

	if (ptrace(PTRACE_DETACH, stepper->pid, NULL, (void *)(uintptr_t)SIGSTOP) < 0)
		failed(stepper, "tracing");
	MUST(waitpid(stepper->pid, &status, WUNTRACED) == stepper->pid);
	MUST(WIFSTOPPED(status));
}
