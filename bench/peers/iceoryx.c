/*
 * iceoryx.c - a publisher and a subscriber of iceoryx for each way, by its binding for C
 *
 * Its daemon is started for the first run and stopped after the last one. Publishers wait for
 * slow subscribers, so that nothing is lost; subscribers poll.
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "peers/peer.h"
#include <errno.h>
#include <grp.h>
#include <iceoryx_binding_c/log.h>
#include <iceoryx_binding_c/publisher.h>
#include <iceoryx_binding_c/runtime.h>
#include <iceoryx_binding_c/subscriber.h>
#include <iceoryx_binding_c/types.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAEMON "iox-roudi"
#define QUEUE 256 /* messages */
#define PATIENCE_MS 10000
#define LOOK_MS 10

/* Memory for what is measured here and no more. */
static const char configuration[] = "[general]\nversion = 1\n[[segment]]\n"
				    "[[segment.mempool]]\nsize = 128\ncount = 4096\n"
				    "[[segment.mempool]]\nsize = 4096\ncount = 2048\n"
				    "[[segment.mempool]]\nsize = 1048576\ncount = 64\n";

static pid_t daemon_pid;

/* ---- the daemon ------------------------------------------------------------------------------ */

static void run_daemon(int config, int output)
{
	char path[40];
	sigset_t none;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", config);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	setpgid(0, 0); /* to be told once, by the program, and not by the terminal as well */
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	execlp(DAEMON, DAEMON, "--config-file", path, "--monitoring-mode", "off", (char *)NULL);
	_exit(127);
}

/* It says so when it can be used, and ends when it cannot. */
static bool becomes_ready(int output)
{
	char text[16384];

	for (unsigned waited = 0; waited < PATIENCE_MS; waited += LOOK_MS) {
		ssize_t length = pread(output, text, sizeof(text) - 1, 0);

		text[length > 0 ? length : 0] = '\0';
		if (strstr(text, "RouDi is ready for clients"))
			return true;
		if (waitpid(daemon_pid, NULL, WNOHANG) == daemon_pid) {
			daemon_pid = 0;
			return false;
		}
		usleep(LOOK_MS * 1000);
	}
	return false;
}

/* It aborts when a process that it knows is gone, and leaves its memory and its socket behind. */
static void stop_daemon(void)
{
	const struct group *group = getgrgid(getegid());

	if (daemon_pid <= 0)
		return;
	kill(daemon_pid, SIGTERM);
	waitpid(daemon_pid, NULL, 0);
	daemon_pid = 0;
	unlink("/tmp/roudi");
	unlink("/tmp/roudi.lock");
	shm_unlink("iceoryx_mgmt");
	if (group)
		shm_unlink(group->gr_name);
}

static int start_daemon(struct peer_end *end)
{
	int config, output;
	bool ready = false;

	if (daemon_pid > 0)
		return 0;
	config = memfd_create("hqq-bench", 0);
	output = memfd_create("hqq-bench", 0);
	if (config < 0 || output < 0 || write(config, configuration, sizeof(configuration) - 1) < 0)
		return peer_fail(end, DAEMON, -errno);
	daemon_pid = fork();
	if (daemon_pid == 0)
		run_daemon(config, output);
	if (daemon_pid > 0)
		ready = becomes_ready(output);
	close(config);
	close(output);
	if (ready)
		return 0;
	stop_daemon();
	return peer_fail_text(end, DAEMON, "does not get ready");
}

static const char *no_daemon(void)
{
	return system("command -v " DAEMON " >/dev/null") == 0 ? NULL
							       : DAEMON
		       " of the package iceoryx is not there";
}

/* ---- one end --------------------------------------------------------------------------------- */

struct ends {
	iox_pub_storage_t publisher_storage;
	iox_sub_storage_t subscriber_storage;
	iox_pub_t publisher;
	iox_sub_t subscriber;
};

static const char *event_of(int way)
{
	return way ? "back" : "forth";
}

static int open_ends(struct peer_end *end)
{
	struct ends *ends = calloc(1, sizeof(*ends));
	iox_pub_options_t publishing;
	iox_sub_options_t subscribing;

	end->in = ends;
	if (!ends)
		return peer_fail(end, "calloc", -ENOMEM);
	snprintf(end->address, sizeof(end->address), "%s-%u", end->pair->segment, end->pair->side);
	iox_set_loglevel(Iceoryx_LogLevel_Off);
	iox_runtime_init(end->address);
	iox_pub_options_init(&publishing);
	publishing.subscriberTooSlowPolicy = ConsumerTooSlowPolicy_WAIT_FOR_CONSUMER;
	iox_sub_options_init(&subscribing);
	subscribing.queueFullPolicy = QueueFullPolicy_BLOCK_PRODUCER;
	subscribing.queueCapacity = QUEUE;
	ends->publisher = iox_pub_init(&ends->publisher_storage, "hqq-bench", end->pair->segment,
				       event_of(end->way), &publishing);
	ends->subscriber = iox_sub_init(&ends->subscriber_storage, "hqq-bench", end->pair->segment,
					event_of(1 - end->way), &subscribing);
	while (iox_sub_get_subscription_state(ends->subscriber) != SubscribeState_SUBSCRIBED ||
	       !iox_pub_has_subscribers(ends->publisher))
		usleep(1000);
	return 0;
}

/* What its runtime leaves behind in a process that ends by _exit(). */
static void remove_sockets(struct peer_end *end)
{
	static const char *const suffixes[] = {"", ".lock"};
	char path[128];

	for (unsigned side = 0; side < 2; side++) {
		for (unsigned i = 0; i < 2; i++) {
			snprintf(path, sizeof(path), "/tmp/%s-%u%s", end->pair->segment, side, suffixes[i]);
			unlink(path);
		}
	}
}

static void close_ends(struct peer_end *end)
{
	struct ends *ends = end->in;

	iox_pub_deinit(ends->publisher);
	iox_sub_deinit(ends->subscriber);
	iox_runtime_shutdown();
	free(ends);
}

static int send_message(struct peer_end *end, const void *message, size_t size)
{
	struct ends *ends = end->in;
	void *chunk;

	if (iox_pub_loan_chunk(ends->publisher, &chunk, (uint32_t)size) != AllocationResult_SUCCESS)
		return peer_fail_text(end, "iox_pub_loan_chunk", "no memory is left");
	memcpy(chunk, message, size);
	iox_pub_publish_chunk(ends->publisher, chunk);
	return 0;
}

static int receive_message(struct peer_end *end, void *message, size_t size)
{
	struct ends *ends = end->in;
	const void *chunk;

	for (unsigned looks = 0; iox_sub_take_chunk(ends->subscriber, &chunk) != ChunkReceiveResult_SUCCESS;)
		peer_look_again(end, &looks);
	memcpy(message, chunk, size);
	iox_sub_release_chunk(ends->subscriber, chunk);
	return 0;
}

const struct peer peer_iceoryx = {
	.name = "iceoryx",
	.can = PEER_STREAM | PEER_TRIP | PEER_LARGE,
	.largest = 1u << 20,
	.apart = "it has a daemon, and a pool of chunks as large as the message: a publisher fills one as a whole, and "
		 "hands over its address",
	.missing = no_daemon,
	.stop = stop_daemon,
	.prepare = start_daemon,
	.dispose = remove_sockets,
	.open = open_ends,
	.close = close_ends,
	.send = send_message,
	.receive = receive_message,
};
