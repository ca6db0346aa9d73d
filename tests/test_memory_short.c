/*
 * test_memory_short.c - no memory, no thread, no descriptor: every n-th attempt fails, for every n
 *
 * The program wraps the calls by which the library allocates memory and starts threads. A failure is
 * told by the documented error, leaves nothing behind, and the next attempt succeeds.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_pair.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define COUNT 64
#define SIZE 256
#define LARGE 3000 /* a message of many chunks */
#define MOST 400   /* failures of one scenario; more of them would mean that it never ends */

/* ---- the wrapped calls ------------------------------------------------------------------------- */

static _Atomic long until_failure; /* of allocations: this one fails, counted from 1; 0: none does */
static _Atomic long live;          /* blocks allocated and not freed */
static _Atomic bool no_threads;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *memory);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *memory);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);

static bool fails(void)
{
	long n = until_failure;

	while (n > 0) {
		if (atomic_compare_exchange_weak(&until_failure, &n, n == 1 ? -1 : n - 1)) {
			if (n > 1)
				return false;
			errno = ENOMEM;
			return true;
		}
	}
	return false;
}

/* Has the failure that fail_at() asked for happened? Takes it back if not. */
static bool has_failed(void)
{
	return atomic_exchange(&until_failure, 0) == -1;
}

static void fail_at(long n)
{
	until_failure = n;
}

static void *counted(void *memory)
{
	live += memory != NULL;
	return memory;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
	if (fails())
		return NULL;
	return memory != NULL ? __real_realloc(memory, size) : counted(__real_malloc(size));
}

/* Not counted: the memory of handles is kept for the next ones. */
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

void __wrap_free(void *memory)
{
	live -= memory != NULL;
	__real_free(memory);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
	return no_threads ? EAGAIN : __real_pthread_create(thread, attributes, run, argument);
}

/* ---- the ways to a handle ---------------------------------------------------------------------- */

/* What they open; of either kind, and ready before. */
struct place {
	const char *name, *existing;
	unsigned char *memory;
	hqq_standard *named, *anonymous;
};

#define FORMS 5
#define WAYS (2 * FORMS) /* of the Standard link, then of the Advanced one */

static const char *const forms[FORMS] = { "create", "open", "create_fd", "open_fd", "attach" };

static int make(int way, const struct place *place, hqq_standard **standard, hqq_advanced **advanced,
                uint32_t dispatcher)
{
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	const size_t length = hqq_standard_size(COUNT, SIZE);

	options.dispatcher = dispatcher;
	switch (way) {
	case 0:
		return hqq_standard_create(standard, place->name, COUNT, SIZE, 0600, NULL);
	case 1:
		return hqq_standard_open(standard, place->existing, 0, 0, NULL);
	case 2:
		return hqq_standard_create_fd(standard, COUNT, SIZE, NULL);
	case 3:
		return hqq_standard_open_fd(standard, hqq_standard_fd(place->anonymous), 0, 0, NULL);
	case 4:
		return hqq_standard_attach(standard, place->memory, length, COUNT, SIZE, NULL);
	case FORMS:
		return hqq_advanced_create(advanced, place->name, COUNT, SIZE, 0600, &options);
	case FORMS + 1:
		return hqq_advanced_open(advanced, place->existing, 0, 0, &options);
	case FORMS + 2:
		return hqq_advanced_create_fd(advanced, COUNT, SIZE, &options);
	case FORMS + 3:
		return hqq_advanced_open_fd(advanced, hqq_standard_fd(place->anonymous), 0, 0, &options);
	default:
		return hqq_advanced_attach(advanced, place->memory, length, COUNT, SIZE, &options);
	}
}

static void place_make(struct place *place)
{
	place->name = test_name("new");
	place->existing = test_name("existing");
	place->memory = test_map_memory(hqq_standard_size(COUNT, SIZE));
	MUST_EQ(hqq_standard_create(&place->named, place->existing, COUNT, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_create_fd(&place->anonymous, COUNT, SIZE, NULL), 0);
}

static void place_end(struct place *place)
{
	MUST_EQ(hqq_standard_close(place->named), 0);
	MUST_EQ(hqq_standard_close(place->anonymous), 0);
	test_unmap(place->memory, hqq_standard_size(COUNT, SIZE));
}

/* Both directions carry as many messages as they hold, which tells a slot or a lane that was kept. */
static void use(hqq_standard *handle, hqq_standard *peer)
{
	const struct timespec past = { 0, 0 };
	char byte;
	int i;

	MUST_EQ(hqq_standard_set_deadline(handle, &past), 0);
	MUST_EQ(hqq_standard_set_deadline(peer, &past), 0);
	for (i = 0; i < 2 * COUNT; i++) {
		hqq_standard *from = i < COUNT ? handle : peer;

		MUST_EQ(hqq_standard_write(from, "x", 1), 1);
	}
	for (i = 0; i < 2 * COUNT; i++)
		MUST_EQ(hqq_standard_read(i < COUNT ? peer : handle, &byte, 1), 1);
}

/* One attempt; whatever comes out of it is closed. */
static int attempt(int way, const struct place *place, uint32_t dispatcher)
{
	hqq_standard *standard = NULL;
	hqq_advanced *advanced = NULL;
	int rc = make(way, place, &standard, &advanced, dispatcher);

	/* whoever waits for memory may have it now */
	has_failed();
	MUST((rc == 0) == (standard != NULL || advanced != NULL));
	if (standard && way % FORMS == 1)
		use(standard, place->named);
	if (standard && way % FORMS == 3)
		use(standard, place->anonymous);
	if (standard)
		MUST_EQ(hqq_standard_close(standard), 0);
	if (advanced)
		MUST_EQ(hqq_advanced_close(advanced), 0);
	return rc;
}

START_TEST(ways_to_a_handle)
{
	struct place place;
	long blocks, n;
	int round, rc, descriptors, threads, failures = 0;

	place_make(&place);
	blocks = live;
	descriptors = test_count_descriptors();
	threads = test_count_threads();
	/* twice: the first round leaves memory for a handle behind, which the second finds */
	for (round = 0; round < 2; round++) {
		for (n = 1, rc = -ENOMEM; rc != 0; n++) {
			MUST(n < MOST);
			fail_at(n);
			rc = attempt(_i, &place, HQQ_DISPATCH_AUTO);
			MUST(rc == 0 || rc == -ENOMEM);
			failures += rc != 0;
			MUST_EQ(live, blocks);
			MUST_EQ(test_count_descriptors(), descriptors);
			test_must_have_threads(threads);
			MUST(!test_name_exists(place.name));
			/* memory that may be somebody's only place is not left half-made */
			MUST_EQ(attempt(_i, &place, HQQ_DISPATCH_AUTO), 0);
		}
	}
	fprintf(stderr, "%s_%s: %d failures\n", _i < FORMS ? "standard" : "advanced", forms[_i % FORMS], failures);
	MUST(failures > 0);
	place_end(&place);
}
END_TEST

/* ---- Standard calls that allocate -------------------------------------------------------------- */

START_TEST(event_descriptor)
{
	hqq_standard *handle, *peer;
	const char *name = test_name("event");
	int descriptors, n, rc, failures = 0;
	long blocks;
	char byte;

	MUST_EQ(hqq_standard_create(&handle, name, COUNT, SIZE, 0600, NULL), 0);
	MUST_EQ(hqq_standard_open(&peer, name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_write(peer, "k", 1), 1);
	descriptors = test_count_descriptors();
	blocks = live;
	no_threads = true;
	MUST_EQ(hqq_standard_event_fd(handle), -EAGAIN);
	no_threads = false;
	for (n = 1;; n++) {
		MUST_EQ(test_count_descriptors(), descriptors);
		MUST_EQ(live, blocks);
		MUST(n < MOST);
		fail_at(n);
		rc = hqq_standard_event_fd(handle);
		if (!has_failed())
			break;
		MUST_EQ(rc, -ENOMEM);
		failures++;
	}
	MUST(rc >= 0 && failures > 0);
	/* what waited meanwhile is there */
	MUST_EQ(hqq_standard_read(handle, &byte, 1), 1);
	MUST_EQ(byte, 'k');
	use(handle, peer);
	MUST_EQ(hqq_standard_close(peer), 0);
	MUST_EQ(hqq_standard_close(handle), 0);
}
END_TEST

START_TEST(stream)
{
	hqq_standard *handle;
	FILE *file;
	long blocks;
	int n, failures = 0;

	MUST_EQ(hqq_standard_create_fd(&handle, COUNT, SIZE, NULL), 0);
	blocks = live;
	for (n = 1;; n++) {
		MUST(n < MOST);
		fail_at(n);
		errno = 0;
		file = hqq_standard_stdio(handle, "w");
		if (!has_failed())
			break;
		MUST(file == NULL && errno == ENOMEM);
		MUST_EQ(live, blocks);
		failures++;
	}
	MUST(file != NULL && failures > 0);
	MUST_EQ(fclose(file), 0);
	MUST_EQ(live, blocks);
	MUST_EQ(hqq_standard_close(handle), 0);
}
END_TEST

/* ---- the Advanced link: a conversation in which one allocation fails --------------------------- */

/* What a call may say when memory was short on one side or the other. */
static bool is_excuse(int rc)
{
	return rc == -ENOMEM || rc == HQQ_ERR_RESPONSE || rc == HQQ_ERR_BUFFER_OVERFLOW || rc == HQQ_ERR_TIMEOUT ||
	       rc == HQQ_ERR_CONN_NOT_FOUND;
}

struct talk {
	struct adv_pair pair;
	bool short_of_memory;
	int excuses;
	int timeouts;
};

static hqq_context *patience(const struct talk *talk, hqq_context *context)
{
	return adv_within(context, talk->short_of_memory ? UINT64_C(300) * test_slowness()
	                                                 : UINT64_C(15000) * test_slowness());
}

#define ITS_PATIENCE(talk) patience(talk, &(hqq_context)HQQ_CONTEXT_INIT)

/* True: it went well. */
static bool went_well(struct talk *talk, int rc)
{
	if (rc == 0)
		return true;
	if (!talk->short_of_memory || !is_excuse(rc))
		fprintf(stderr, "%d: %s\n", rc, hqq_strerror(rc));
	MUST(talk->short_of_memory && is_excuse(rc));
	talk->excuses++;
	talk->timeouts += rc == HQQ_ERR_TIMEOUT;
	return false;
}

static void ask(struct talk *talk, uint64_t connection, size_t length)
{
	unsigned char body[LARGE];
	struct hqq_message response = { 0 };
	int rc;

	test_fill(body, length, length);
	rc = hqq_advanced_call_on(talk->pair.side[0], ITS_PATIENCE(talk), connection, ADV_ECHO, body, length,
	                          &response);
	if (went_well(talk, rc)) {
		if (hqq_message_is_error(&response)) { /* the server's excuse */
			MUST(talk->short_of_memory);
			talk->excuses++;
		} else {
			MUST_EQ(response.payload_size, length);
			MUST_EQ(test_verify(response.payload, length, length), -1);
		}
		hqq_message_clear(&response);
	}
}

/* Data messages of these sizes to the other side, which gets all but at most one. */
static void post(struct talk *talk)
{
	static const size_t sizes[] = { 1, LARGE, 200, 2000, SIZE };
	const size_t count = sizeof(sizes) / sizeof(sizes[0]);
	const uint64_t dropped = adv_stats(talk->pair.side[1]).dropped;
	struct hqq_message message;
	unsigned char body[LARGE];
	size_t i, sent = 0, received = 0, next = 0;
	int rc, looks = 0;

	for (i = 0; i < count; i++) {
		test_fill(body, sizes[i], i);
		sent += went_well(talk, hqq_advanced_send_large(talk->pair.side[0], ITS_PATIENCE(talk), 0, body,
		                                                sizes[i], NULL));
	}
	/* a dispatcher of its own may need a moment */
	while (received + adv_stats(talk->pair.side[1]).dropped - dropped < sent) {
		rc = hqq_advanced_receive(talk->pair.side[1], WITHIN_MS(20), &message);
		if (rc == HQQ_ERR_TIMEOUT) {
			MUST(looks++ < 500);
			continue;
		}
		if (!went_well(talk, rc))
			continue;
		/* whole and in order; what is missing is missing as a whole */
		while (next < count && sizes[next] != message.payload_size)
			next++;
		MUST(next < count);
		MUST_EQ(test_verify(message.payload, message.payload_size, next), -1);
		hqq_message_clear(&message);
		next++;
		received++;
	}
	if (received < sent) {
		MUST(talk->short_of_memory && sent - received == 1);
		MUST_EQ(adv_stats(talk->pair.side[1]).dropped, dropped + 1);
		talk->excuses++;
	}
}

static void converse(struct talk *talk)
{
	struct adv_server server;
	uint64_t connection = 0;

	post(talk);
	adv_server_start(&server, talk->pair.side[1]);
	ask(talk, 0, 8);
	ask(talk, 0, LARGE);
	if (went_well(talk, hqq_advanced_dial(talk->pair.side[0], ITS_PATIENCE(talk), &connection))) {
		int rc;

		ask(talk, connection, LARGE);
		rc = hqq_advanced_hangup(talk->pair.side[0], ITS_PATIENCE(talk), connection, 0);
		went_well(talk, rc);
	}
	MUST_EQ(adv_server_stop(&server), HQQ_ERR_CANCELED);
}

/* Takes the streams that were dialled and not accepted, and what answered too late. */
static void settle(struct talk *talk)
{
	struct hqq_message message;
	uint64_t connection;
	int rc;

	while ((rc = hqq_advanced_accept(talk->pair.side[1], AT_ONCE, &connection)) == 0)
		continue;
	while (hqq_advanced_receive(talk->pair.side[0], AT_ONCE, &message) == 0)
		hqq_message_clear(&message);
	while (hqq_advanced_receive(talk->pair.side[1], AT_ONCE, &message) == 0)
		hqq_message_clear(&message);
}

START_TEST(conversation)
{
	const struct hqq_advanced_options options = adv_options((uint32_t)_i, 0, 0, 0);
	struct talk talk;
	long n, blocks = live, fired = 0, timeouts = 0, excused = 0;
	bool failed = true;
	int threads = test_count_threads(), descriptors = test_count_descriptors();

	for (n = 1; failed; n++) {
		MUST(n < MOST);
		memset(&talk, 0, sizeof(talk));
		adv_pair_open(&talk.pair, COUNT, SIZE, &options, &options);
		MUST_EQ(hqq_advanced_listen(talk.pair.side[1]), 0);
		talk.short_of_memory = true;
		fail_at(n);
		converse(&talk);
		failed = has_failed();
		fired += failed;
		timeouts += talk.timeouts;
		excused += talk.excuses;
		MUST(failed || talk.excuses == 0);
		settle(&talk);
		/* as if nothing had been */
		talk.short_of_memory = false;
		converse(&talk);
		settle(&talk);
		adv_pair_close(&talk.pair);
		MUST_EQ(live, blocks);
		MUST_EQ(test_count_descriptors(), descriptors);
		test_must_have_threads(threads);
	}
	fprintf(stderr, "%ld allocations failed, %ld calls told, %ld of them by TIMEOUT\n", fired, excused,
	        timeouts);
	MUST(fired > 0);
}
END_TEST

/* ---- threads and descriptors ------------------------------------------------------------------- */

START_TEST(no_thread_to_be_had)
{
	struct place place;
	long blocks;
	int way, descriptors;

	place_make(&place);
	descriptors = test_count_descriptors();
	for (way = FORMS; way < WAYS; way++) {
		blocks = live;
		no_threads = true;
		MUST_EQ(attempt(way, &place, HQQ_DISPATCH_THREAD), -EAGAIN);
		MUST(!test_name_exists(place.name));
		MUST_EQ(live, blocks);
		MUST_EQ(test_count_descriptors(), descriptors);
		/* the other dispatchers need none to begin with */
		MUST_EQ(attempt(way, &place, HQQ_DISPATCH_MANUAL), 0);
		MUST_EQ(attempt(way, &place, HQQ_DISPATCH_AUTO), 0);
		no_threads = false;
		MUST_EQ(attempt(way, &place, HQQ_DISPATCH_THREAD), 0);
	}
	place_end(&place);
}
END_TEST

/* Not on the data path: what a handle needs of threads later is told by the call that needs it. */
START_TEST(no_thread_for_a_listener)
{
	const struct hqq_advanced_options options = adv_options(HQQ_DISPATCH_AUTO, 0, 0, 0);
	struct adv_pair pair;
	int descriptors, rc;

	adv_pair_open(&pair, COUNT, SIZE, &options, &options);
	descriptors = test_count_descriptors();
	no_threads = true;
	MUST_EQ(hqq_advanced_event_fd(pair.side[0]), -EAGAIN);
	MUST_EQ(test_count_descriptors(), descriptors);
	rc = hqq_advanced_listen(pair.side[1]);
	MUST_EQ(rc, -EAGAIN);
	adv_push(pair.side[0], 0, LARGE, 1);
	adv_pull(pair.side[1], 0, LARGE, 1);
	no_threads = false;
	MUST_EQ(hqq_advanced_listen(pair.side[1]), 0);
	MUST(hqq_advanced_event_fd(pair.side[0]) >= 0);
	adv_push(pair.side[0], 0, LARGE, 2);
	adv_pull(pair.side[1], 0, LARGE, 2);
	adv_pair_close(&pair);
}
END_TEST

/* test_descriptors has the same for the Standard link. */
static int short_of_descriptors(void *argument)
{
	const int way = *(int *)argument;
	int left, before, lowest, rc = -1, refused = 0;
	struct rlimit limit, tight;
	struct place place;

	place_make(&place);
	MUST_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	before = test_count_descriptors();
	for (left = 0; left < 10; left++) {
		lowest = dup(0);
		close(lowest);
		tight = limit;
		tight.rlim_cur = (rlim_t)(lowest + left);
		MUST_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
		rc = attempt(way, &place, HQQ_DISPATCH_THREAD);
		MUST_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
		MUST(rc == 0 || rc == -EMFILE);
		refused += rc != 0;
		MUST_EQ(test_count_descriptors(), before);
		MUST(!test_name_exists(place.name));
	}
	MUST_EQ(rc, 0);
	/* a mapping of the caller's needs none, all others do */
	MUST(way % FORMS == 4 ? refused == 0 : refused > 0);
	place_end(&place);
	return 0;
}

START_TEST(no_descriptor_to_be_had)
{
	struct child child;
	int way = _i;

	child_start(&child, short_of_descriptors, &way);
	child_join_ok(&child);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memory_short");
	TCase *cases = test_case(suite, "memory", 120);

	tcase_add_loop_test(cases, ways_to_a_handle, 0, WAYS);
	tcase_add_test(cases, event_descriptor);
	tcase_add_test(cases, stream);
	tcase_add_loop_test(cases, conversation, HQQ_DISPATCH_AUTO, HQQ_DISPATCH_MANUAL + 1);

	cases = test_case(suite, "threads and descriptors", 60);
	tcase_add_test(cases, no_thread_to_be_had);
	tcase_add_test(cases, no_thread_for_a_listener);
	tcase_add_loop_test(cases, no_descriptor_to_be_had, FORMS, WAYS);
	return test_main(suite);
}
