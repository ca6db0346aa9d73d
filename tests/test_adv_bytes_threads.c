/*
 * test_adv_bytes_threads.c - several threads on one Advanced link, and a peer that may be hostile
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_rig.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNT 16
#define SIZE 16
#define MS UINT64_C(1000000)

struct scene {
	struct rig rig;
	uint64_t seed;
	uint64_t until; /* the hostile part ends then */
	bool fickle;
	bool stop;
};

static bool is_over(struct scene *scene)
{
	return __atomic_load_n(&scene->stop, __ATOMIC_ACQUIRE);
}

/* Nothing that a peer does makes a call return anything else. */
static void expect_known(long long rc)
{
	MUST(rc >= 0 || rc == HQQ_ERR_TIMEOUT || rc == HQQ_ERR_CORRUPT || rc == HQQ_ERR_ABORTED ||
	     rc == HQQ_ERR_RESPONSE || rc == HQQ_ERR_CONN_NOT_FOUND || rc == HQQ_ERR_INVALID_OP ||
	     rc == HQQ_ERR_BUFFER_OVERFLOW || rc == -ENOMEM);
}

static hqq_context *soon(hqq_context *context, uint64_t nanoseconds)
{
	MUST_EQ(hqq_context_reset(context), 0);
	MUST_EQ(hqq_context_set_timeout(context, nanoseconds), 0);
	return context;
}

/* ---- a stream's function belongs to its caller ------------------------------------------------- */

struct owner {
	pthread_t thread;
	bool inside; /* a call of receive_stream is under way */
	uint64_t chunks;
};

static int check_thread(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data,
                        size_t length, void *argument)
{
	struct owner *owner = argument;

	(void)head;
	(void)offset;
	(void)data;
	MUST_EQ(length, total);
	MUST(owner->inside);
	if (!pthread_equal(owner->thread, pthread_self()))
		test_must_failed(__FILE__, __LINE__, "another thread runs the function, after %llu chunks",
		                 (unsigned long long)owner->chunks);
	owner->chunks++;
	return 0;
}

static void read_streams(struct scene *scene)
{
	struct owner owner = { .thread = pthread_self() };
	hqq_context context = HQQ_CONTEXT_INIT;
	uint64_t calls = 0;

	while (test_now_ns() < scene->until) {
		owner.inside = true;
		expect_known(hqq_advanced_receive_stream(scene->rig.handle, soon(&context, 20000), check_thread,
		                                         &owner));
		owner.inside = false;
		calls++;
	}
	fprintf(stderr, "%llu chunks in %llu calls\n", (unsigned long long)owner.chunks,
	        (unsigned long long)calls);
	__atomic_store_n(&scene->stop, true, __ATOMIC_RELEASE);
}

static void stream_scene(void *argument, unsigned int index)
{
	struct scene *scene = argument;
	hqq_context context = HQQ_CONTEXT_INIT;
	struct hqq_message message;
	char byte;

	if (index == 0)
		read_streams(scene);
	while (index == 1 && !is_over(scene)) { /* well-made messages of one chunk, as fast as it goes */
		int result = adv_send_message(&scene->rig.peer, 3, adv_next_id(&scene->rig.peer), 0, 0,
		                              "abc", 3, MS);

		MUST(result == ADV_OK || result == ADV_TIMEOUT);
	}
	while (index >= 2 && !is_over(scene)) { /* dispatches, for something that never comes */
		expect_known(hqq_advanced_read(scene->rig.handle, soon(&context, 100000), &byte, 1));
		if (hqq_advanced_receive(scene->rig.handle, soon(&context, 1), &message) == 0)
			hqq_message_clear(&message);
	}
}

START_TEST(stream_function_runs_in_its_caller)
{
	struct scene scene = { .stop = false };

	rig_start(&scene.rig, _i, COUNT, SIZE, NULL);
	scene.until = test_now_ns() + 1000 * MS;
	test_run_threads(3, stream_scene, &scene);
	rig_close(&scene.rig);
}
END_TEST

/* ---- packets that change while they are read --------------------------------------------------- */

static uint64_t nasty_word(uint64_t *state)
{
	const uint64_t dice = test_random(state);

	switch (dice % 8) {
	case 0:
		return (uint64_t)1 << (dice >> 32 & 63);
	case 1:
		return UINT64_MAX - (dice >> 32 & 31);
	case 2:
		return test_random(state);
	case 3:
	case 4:
		return (dice >> 32 & 3) * SIZE;
	default:
		return dice >> 32 & 31;
	}
}

/* Some word of some packet on its way to the library; sequence words are the ring's, not the packet's. */
static void scribble(struct scene *scene, uint64_t *state)
{
	static const uint64_t opcodes[] = { 4, 4, 4, 0xff, 0, 1, 3, 0xfe };
	const struct foreign *link = &scene->rig.peer.link;
	const uint64_t dice = test_random(state), slot = dice >> 8 & (COUNT - 1), index = dice & 7;
	unsigned char *element = link->base + link->layout.ring[link->direction] + 256 + slot * 72;
	uint64_t word = nasty_word(state);

	if (index == 0)
		word = opcodes[dice >> 16 & 7];
	else if (index == ADV_WORD_FLAGS && (dice >> 20 & 3) != 0)
		word = word & 27;
	else if (index <= 2)
		word &= 3;
	__atomic_store_n((uint64_t *)(void *)(element + index * 8), word, __ATOMIC_RELAXED);
}

static void hostile_peer(struct scene *scene)
{
	struct adv_foreign *peer = &scene->rig.peer;
	uint64_t word[FOREIGN_WORDS] = { 4, 3, 1, 3, 0, 3, 3, 0 }, state = scene->seed, i;
	struct adv_packet packet;
	unsigned int burst;

	for (i = 0; !is_over(scene); i++) {
		word[1] = i & 3;
		word[2] = i >> 2 & 3;
		word[6] = (i >> 4 & 1) != 0 ? 3 : 1;
		word[3] = word[6] == 3 ? 3 : 2 * SIZE;
		word[5] = word[6] == 3 ? 3 : SIZE;
		adv_send_raw(peer, word, NULL, 0, 0);
		for (burst = 0; burst < 8; burst++)
			scribble(scene, &state);
		adv_take(peer, &packet, 0);
	}
}

/* Frames that are a response one moment and the whole of a data message the next. */
static void fickle_peer(struct scene *scene)
{
	struct adv_foreign *peer = &scene->rig.peer;
	const struct foreign_layout *at = &peer->link.layout;
	unsigned char *flags = peer->link.base + at->ring[peer->link.direction] + 256 + ADV_WORD_FLAGS * 8;
	const uint64_t word[FOREIGN_WORDS] = { 4, 3, 1, 3, 0, 3, 19, 0 };
	struct adv_packet packet;
	uint64_t i, slot;

	for (i = 0; !is_over(scene); i++) {
		for (slot = 0; slot < COUNT; slot++)
			__atomic_store_n((uint64_t *)(void *)(flags + slot * 72), (i & 1) != 0 ? 3 : 19,
			                 __ATOMIC_RELAXED);
		adv_send_raw(peer, word, NULL, 0, 0);
		adv_take(peer, &packet, 0);
	}
}

static int look(const struct hqq_message *head, uint64_t total, uint64_t offset, const void *data, size_t length,
                void *argument)
{
	struct owner *owner = argument;
	const unsigned char *at = data;
	unsigned int sum = 0;
	size_t i;

	/* the bytes lie in the segment, where a peer may change them; no more than a buffer of them */
	MUST(length <= SIZE && length <= total && offset <= total - length);
	MUST_EQ(head->flags & ADV_ABORT, 0);
	MUST(owner->inside && pthread_equal(owner->thread, pthread_self()));
	for (i = 0; i < length; i++)
		sum += at[i];
	owner->chunks += sum != 1;
	return 0;
}

static void honest_reader(struct scene *scene)
{
	struct owner owner = { .thread = pthread_self() };
	hqq_context context = HQQ_CONTEXT_INIT;

	while (test_now_ns() < scene->until) {
		owner.inside = true;
		expect_known(hqq_advanced_receive_stream(scene->rig.handle, soon(&context, 30000), look, &owner));
		owner.inside = false;
	}
	__atomic_store_n(&scene->stop, true, __ATOMIC_RELEASE);
}

static void honest_caller(struct scene *scene)
{
	hqq_advanced *handle = scene->rig.handle;
	hqq_context context = HQQ_CONTEXT_INIT;
	struct hqq_message message;
	char bytes[SIZE];
	uint64_t id;
	ssize_t rc;

	while (!is_over(scene)) {
		rc = hqq_advanced_call(handle, soon(&context, 50000), 5, "x", 1, &message);
		expect_known(rc);
		if (rc == 0 || rc == HQQ_ERR_RESPONSE)
			hqq_message_clear(&message);
		rc = hqq_advanced_receive(handle, soon(&context, 50000), &message);
		expect_known(rc);
		if (rc == 0)
			hqq_message_clear(&message);
		rc = hqq_advanced_read(handle, soon(&context, 50000), bytes, sizeof(bytes));
		expect_known(rc);
		MUST(rc <= SIZE);
		expect_known(hqq_advanced_send_large(handle, soon(&context, 50000), 0, bytes, 3, NULL));
		if (hqq_advanced_accept(handle, soon(&context, 1), &id) == 0)
			expect_known(hqq_advanced_hangup(handle, soon(&context, 1), id, 0));
	}
}

static void hostile_scene(void *argument, unsigned int index)
{
	struct scene *scene = argument;

	if (index == 0)
		honest_reader(scene);
	else if (index == 1 && scene->fickle)
		fickle_peer(scene);
	else if (index == 1)
		hostile_peer(scene);
	else
		honest_caller(scene);
}

/* Takes away all that is left of it, on either side. */
static void settle(struct rig *rig)
{
	struct hqq_message message;
	struct adv_packet packet;
	char bytes[SIZE];
	bool more;

	do {
		more = rig_pump(rig) > 0;
		while (hqq_advanced_receive(rig->handle, &rig->now, &message) == 0) {
			hqq_message_clear(&message);
			more = true;
		}
		while (hqq_advanced_read(rig->handle, &rig->now, bytes, sizeof(bytes)) > 0)
			more = true;
		while (adv_take(&rig->peer, &packet, 0) == ADV_OK)
			more = true;
	} while (more);
}

/*
 * The proof uses ids that nobody scribbled about: the library's own, too, however little the honest
 * threads came to do.
 */
static void leave_small_ids(struct rig *rig)
{
	struct adv_packet packet;
	uint64_t id;

	do {
		MUST_EQ(hqq_advanced_send_large(rig->handle, &rig->now, 0, "abc", 3, &id), 0);
		MUST_EQ(adv_take(&rig->peer, &packet, 0), ADV_OK);
	} while (id < 32);
}

START_TEST(packets_rewritten_while_they_are_read)
{
	struct hqq_advanced_options options = HQQ_ADVANCED_OPTIONS_INIT;
	struct scene scene = { .fickle = _i / RIG_WAYS != 0 };

	options.max_message_size = 256;
	options.max_assembly_bytes = 65536;
	options.dispatcher = HQQ_DISPATCH_MANUAL;
	scene.seed = test_seed();
	rig_start(&scene.rig, _i % RIG_WAYS, COUNT, SIZE, &options);
	MUST_EQ(hqq_advanced_listen(scene.rig.handle), 0);
	scene.until = test_now_ns() + 700 * MS;
	test_run_threads(3, hostile_scene, &scene);
	settle(&scene.rig);
	leave_small_ids(&scene.rig);
	rig_prove(&scene.rig);
	rig_close(&scene.rig);
}
END_TEST

/* ---- a dial that is answered just before the session ends -------------------------------------- */

struct dialling {
	struct rig rig;
	_Atomic pid_t receiver, dialler;
};

static void wait_asleep(_Atomic pid_t *thread)
{
	while (atomic_load(thread) == 0)
		sched_yield();
	test_wait_asleep(getpid(), atomic_load(thread));
}

/* One drives the link for messages that do not come, one dials, and the peer answers and starts again. */
static void dial_and_end(void *argument, unsigned int index)
{
	struct dialling *dialling = argument;
	hqq_advanced *handle = dialling->rig.handle;
	hqq_context context = HQQ_CONTEXT_INIT;
	struct hqq_message message;
	uint64_t id = 0;
	int rc;

	MUST_EQ(hqq_context_set_timeout(&context, 20000 * MS * (uint64_t)test_slowness()), 0);
	if (index == 0) {
		atomic_store(&dialling->receiver, (pid_t)syscall(SYS_gettid));
		MUST_EQ(hqq_advanced_receive(handle, &context, &message), HQQ_ERR_PEER_GONE);
	} else if (index == 1) {
		wait_asleep(&dialling->receiver);
		atomic_store(&dialling->dialler, (pid_t)syscall(SYS_gettid));
		rc = hqq_advanced_dial(handle, &context, &id);
		MUST(rc == HQQ_ERR_PEER_GONE || rc == 0);
	} else {
		struct adv_packet create;

		wait_asleep(&dialling->dialler);
		MUST_EQ(adv_take(&dialling->rig.peer, &create, 0), ADV_OK);
		MUST_EQ(create.word[0], ADV_OP_CREATE);
		RIG_SAYS(&dialling->rig, ADV_OP_ACCEPT, create.word[1]);
		RIG_SAYS(&dialling->rig, ADV_OP_NEGOTIATE, ADV_VERSION, ADV_FEATURES, ADV_CAPABILITIES);
	}
}

START_TEST(a_dial_answered_as_the_session_ends)
{
	struct dialling dialling = { .receiver = 0 };
	struct rig *rig = &dialling.rig;

	rig_start(rig, _i % RIG_WAYS, COUNT, SIZE, NULL);
	/* only a session that was used ends when the peer asks anew */
	rig_sends(rig, 0, 1, 0, 0, 8);
	RIG_RECEIVES(rig, 0, 1, 0, 0, 8);
	test_run_threads(3, dial_and_end, &dialling);
	MUST_EQ(hqq_advanced_protocol_state(rig->handle), HQQ_PROTOCOL_NONE);
	rig_close(rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("advanced bytes: threads");
	TCase *cases = test_case(suite, "streams", 60);

	tcase_add_loop_test(cases, stream_function_runs_in_its_caller, 0, RIG_WAYS);

	cases = test_case(suite, "ends", 60);
	tcase_add_loop_test(cases, a_dial_answered_as_the_session_ends, 0, 5 * RIG_WAYS);

	cases = test_case(suite, "scribbling", 60);
	tcase_add_loop_test(cases, packets_rewritten_while_they_are_read, 0, RIG_WAYS * 2);
	return test_main(suite);
}
