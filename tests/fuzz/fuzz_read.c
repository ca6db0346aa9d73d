/*
 * fuzz_read.c - a link whose memory somebody rewrites, before calls and during them
 *
 * An input: how both sides are opened; a script for the thread that rewrites (from the start, all
 * over again, as long as the calls run); then calls of either side, with changes in between. The
 * second thread leaves payload bytes alone: that they change is no defect, and a race detector would
 * take them for one.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "calls.h"
#include <pthread.h>
#include <sched.h>
#include <string.h>

#define STEPS_MAX 48
#define SCRIPT_MAX 64

const char fuzz_name[] = "fuzz_read";

struct arena {
	struct fuzz_memory memory;
	struct hqq_geometry geometry;
	struct fuzz_user users[2];
	uint8_t script[SCRIPT_MAX];
	size_t script_length;
};

static void open_sides(struct arena *arena, struct fuzz_input *input)
{
	static const struct {
		size_t count, size;
	} geometries[] = {{4, 64}, {2, 8}, {8, 512}, {16, 24}};
	const uint8_t bits = fuzz_byte(input);

	FUZZ_MUST(hqq_geometry_init(&arena->geometry, geometries[bits & 3].count,
	                            geometries[bits & 3].size) == 0);
	fuzz_map(&arena->memory, arena->geometry.layout_size / hqq_page_size());
	for (int side = 0; side < 2; side++) {
		struct hqq_options options = HQQ_OPTIONS_INIT;
		hqq_standard *handle;

		options.wait = (bits >> 2 & 3) % 3;
		options.flags = (bits >> (4 + side) & 1 ? HQQ_PEER_EOF : 0) |
		                (bits & 64 ? HQQ_SINGLE_WRITER : 0) | (bits & 128 ? HQQ_SINGLE_READER : 0);
		FUZZ_MUST(hqq_standard_attach(&handle, arena->memory.base, arena->memory.length,
		                              arena->geometry.buffer_count, arena->geometry.buffer_size,
		                              &options) == 0);
		fuzz_user_begin(&arena->users[side], handle, arena->memory.base, arena->memory.length);
	}
}

/* ---- the second thread; one serves for all inputs ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct arena *target; /* what is to be rewritten now, or NULL */
static bool busy;
static _Atomic bool stop;

static void rewrite_all(const struct arena *arena)
{
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		struct fuzz_input script = {arena->script, arena->script_length};

		while (script.left)
			fuzz_rewrite(&script, &arena->memory, &arena->geometry, true);
		sched_yield(); /* on a single processor, too, both get on */
	}
}

static void *rewrite(void *argument)
{
	(void)argument;
	pthread_mutex_lock(&lock);
	for (;;) {
		while (!target)
			pthread_cond_wait(&changed, &lock);
		busy = true;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
		rewrite_all(target);
		pthread_mutex_lock(&lock);
		target = NULL;
		busy = false;
		pthread_cond_broadcast(&changed);
	}
	return NULL;
}

static void start_rewriting(struct arena *arena)
{
	static bool running;
	pthread_t thread;

	if (!running) {
		FUZZ_MUST(pthread_create(&thread, NULL, rewrite, NULL) == 0);
		FUZZ_MUST(pthread_detach(thread) == 0);
		running = true;
	}
	pthread_mutex_lock(&lock);
	atomic_store_explicit(&stop, false, memory_order_relaxed);
	target = arena;
	pthread_cond_broadcast(&changed);
	while (!busy)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void stop_rewriting(void)
{
	atomic_store_explicit(&stop, true, memory_order_relaxed);
	pthread_mutex_lock(&lock);
	while (target)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

/* ---- the calls ---- */

/* Half of the steps are calls of the one side or the other, the rest changes. */
static void step(struct arena *arena, struct fuzz_input *input)
{
	const uint8_t what = fuzz_byte(input);

	if (what & 1)
		fuzz_user_call(&arena->users[what >> 1 & 1], input);
	else
		fuzz_rewrite(input, &arena->memory, &arena->geometry, false);
}

void fuzz_one(struct fuzz_input *input)
{
	struct arena arena;
	bool threaded;

	memset(&arena, 0, sizeof(arena));
	open_sides(&arena, input);
	arena.script_length = fuzz_bytes(input, arena.script, fuzz_byte(input) % (SCRIPT_MAX + 1));
	threaded = arena.script_length > 0;
	if (threaded)
		start_rewriting(&arena);
	for (unsigned i = 0; i < STEPS_MAX && input->left; i++) {
		if (threaded)
			fuzz_user_call(&arena.users[fuzz_byte(input) & 1], input);
		else
			step(&arena, input);
	}
	if (threaded)
		stop_rewriting();
	for (int side = 0; side < 2; side++)
		fuzz_user_end(&arena.users[side]);
	fuzz_unmap(&arena.memory);
}
