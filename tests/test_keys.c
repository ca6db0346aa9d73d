/*
 * test_keys.c - a process whose thread-specific keys were used up before the library needed one
 *
 * A program of its own: the library asks for its key once in a process.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "standard/standard.h"
#include "support.h"
#include "waiter.h"

#include <hqq.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

#define SIZE 64

static pthread_key_t *keys;
static size_t key_count;

static void take_all_keys(void (*destructor)(void *))
{
	/* where there are more of them than anybody can take, nothing runs out */
	const size_t most = 1 << 16;

	keys = calloc(most, sizeof(*keys));
	MUST(keys != NULL);
	for (key_count = 0; key_count < most; key_count++) {
		if (pthread_key_create(&keys[key_count], destructor))
			break;
	}
	MUST(key_count < most);
}

static void give_all_keys_back(void)
{
	while (key_count > 0)
		MUST_EQ(pthread_key_delete(keys[--key_count]), 0);
	free(keys);
}

static void use(hqq_standard *handle)
{
	MUST_EQ(waiter_call(handle, WAITER_READS), WAITER_LENGTH);
	MUST_EQ(hqq_standard_pending(handle), 0);
}

/* ---- the application's keys -------------------------------------------------------------------- */

static char values[PTHREAD_KEYS_MAX];
static _Atomic unsigned int destroyed;

static void expect_own_value(void *value)
{
	MUST((char *)value >= values && (char *)value < values + sizeof(values));
	destroyed++;
}

static void *set_use_and_look(void *handle)
{
	size_t i;

	for (i = 0; i < key_count; i++)
		MUST_EQ(pthread_setspecific(keys[i], &values[i % sizeof(values)]), 0);
	use(handle);
	for (i = 0; i < key_count; i++)
		MUST(pthread_getspecific(keys[i]) == &values[i % sizeof(values)]);
	return NULL;
}

/* Number 0, which a key has that was never made, is one of them in most processes. */
START_TEST(the_applications_keys_are_its_own)
{
	hqq_standard *handle;
	pthread_t thread;

	destroyed = 0;
	take_all_keys(expect_own_value);
	MUST_EQ(hqq_standard_create_fd(&handle, 8, SIZE, NULL), 0);
	MUST_EQ(pthread_create(&thread, NULL, set_use_and_look, handle), 0);
	MUST_EQ(pthread_join(thread, NULL), 0);
	MUST_EQ(destroyed, key_count);
	MUST_EQ(hqq_standard_close(handle), 0);
	give_all_keys_back();
}
END_TEST

/* ---- seats ------------------------------------------------------------------------------------- */

static void *use_it(void *handle)
{
	use(handle);
	return NULL;
}

/* The library would not hear of the thread's end, so the thread has kept nothing. */
START_TEST(a_thread_that_ends_keeps_no_seat)
{
	hqq_standard *handle;
	pthread_t thread;
	int i;

	take_all_keys(NULL);
	MUST_EQ(hqq_standard_create_fd(&handle, 8, SIZE, NULL), 0);
	for (i = 0; i < 8; i++) {
		MUST_EQ(pthread_create(&thread, NULL, use_it, handle), 0);
		MUST_EQ(pthread_join(thread, NULL), 0);
	}
	for (i = 0; i < HQQ_LANES; i++)
		MUST_EQ(atomic_load(&handle->link.seats.seat[i].owner), 0);
	MUST_EQ(hqq_standard_close(handle), 0);
	give_all_keys_back();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("no thread-specific key left");
	TCase *cases = test_case(suite, "keys", 20);

	tcase_add_test(cases, the_applications_keys_are_its_own);
	tcase_add_test(cases, a_thread_that_ends_keeps_no_seat);
	return test_main(suite);
}
