/*
 * adv_rig.c - an Advanced link of the library with an independent peer; see adv_rig.h
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "adv_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 65536

void rig_open(struct rig *rig, int way, size_t count, size_t size, const struct hqq_advanced_options *options)
{
	struct hqq_advanced_options manual = HQQ_ADVANCED_OPTIONS_INIT;
	const struct timespec passed = { 0, 0 };
	const char *name = test_name("adv");

	memset(rig, 0, sizeof(*rig));
	rig->way = way;
	manual.dispatcher = HQQ_DISPATCH_MANUAL;
	if (options == NULL)
		options = &manual;
	if ((way & RIG_LIBRARY_SECONDARY) != 0) {
		MUST_EQ(foreign_create(&rig->peer.link, name, count, size, NULL), FOREIGN_OK);
		MUST_EQ(hqq_advanced_open(&rig->handle, name, count, size, options), 0);
		MUST_EQ(hqq_advanced_mode(rig->handle), HQQ_MODE_SECONDARY);
	} else {
		MUST_EQ(hqq_advanced_create(&rig->handle, name, count, size, 0600, options), 0);
		MUST_EQ(foreign_open(&rig->peer.link, name, count, size), FOREIGN_OK);
		MUST_EQ(hqq_advanced_mode(rig->handle), HQQ_MODE_PRIMARY);
	}
	adv_start(&rig->peer);
	MUST_EQ(hqq_context_set_deadline(&rig->now, &passed), 0);
}

void rig_negotiate(struct rig *rig, uint64_t features)
{
	const struct hqq_version version = { 1, 0 };

	if ((rig->way & RIG_LIBRARY_ACCEPTS) != 0) {
		RIG_SAYS(rig, 5, 0x100, features, 7);
		MUST_EQ(hqq_advanced_wait_negotiation(rig->handle, &rig->now), 0);
		RIG_SEES(rig, NULL, 6, 0x100, features, 7);
	} else {
		/* the answer comes early, which nobody can tell from one that comes late */
		RIG_SAYS(rig, 6, 0x100, features, 7);
		MUST_EQ(hqq_advanced_negotiate(rig->handle, &rig->now, version, features), 0);
		RIG_SEES(rig, NULL, 5, 0x100, features, 7);
	}
	MUST_EQ(hqq_advanced_protocol_state(rig->handle), HQQ_PROTOCOL_NEGOTIATED);
	MUST_EQ(hqq_advanced_negotiated_features(rig->handle), features);
}

void rig_start(struct rig *rig, int way, size_t count, size_t size, const struct hqq_advanced_options *options)
{
	rig_open(rig, way, count, size, options);
	rig_negotiate(rig, ADV_FEATURES);
}

void rig_close(struct rig *rig)
{
	RIG_SILENT(rig);
	MUST_EQ(hqq_advanced_close(rig->handle), 0);
	adv_close(&rig->peer);
}

int rig_pump(struct rig *rig)
{
	int taken = 0, more;

	do {
		more = hqq_advanced_dispatch(rig->handle, &rig->now);
		MUST(more >= 0);
		taken += more;
	} while (more > 0);
	return taken;
}

struct hqq_advanced_stats rig_stats(const struct rig *rig)
{
	struct hqq_advanced_stats stats;

	MUST_EQ(hqq_advanced_stats(rig->handle, &stats), 0);
	return stats;
}

static void show(const char *what, const uint64_t word[FOREIGN_WORDS])
{
	unsigned int i;

	fprintf(stderr, "%s", what);
	for (i = 0; i < FOREIGN_WORDS; i++)
		fprintf(stderr, " %#llx", (unsigned long long)word[i]);
	fprintf(stderr, "\n");
}

void rig_sees(struct rig *rig, void *bytes, const uint64_t word[FOREIGN_WORDS], const char *file, int line)
{
	struct adv_packet packet;

	if (adv_take(&rig->peer, &packet, 0) != ADV_OK) {
		show("wanted:", word);
		test_must_failed(file, line, "the library sent nothing");
	}
	if (memcmp(packet.word, word, sizeof(packet.word)) != 0) {
		show("wanted:", word);
		show("got:   ", packet.word);
		test_must_failed(file, line, "the library sent another packet");
	}
	if (bytes != NULL)
		memcpy(bytes, packet.buffer, (size_t)rig->peer.link.layout.size);
}

void rig_silent(struct rig *rig, const char *file, int line)
{
	struct adv_packet packet;

	if (adv_take(&rig->peer, &packet, 0) == ADV_TIMEOUT)
		return;
	show("got:", packet.word);
	test_must_failed(file, line, "the library sent a packet too many");
}

void rig_says(struct rig *rig, const uint64_t word[FOREIGN_WORDS])
{
	MUST_EQ(adv_send_raw(&rig->peer, word, NULL, 0, 0), FOREIGN_OK);
}

void rig_sends_part(struct rig *rig, uint64_t connection, uint64_t id, uint64_t kind, uint64_t number,
                    uint64_t total, unsigned int index)
{
	struct adv_chunk chunk = { .connection = connection, .id = id, .total = total };
	unsigned char bytes[MESSAGE_MAX];

	MUST(total <= sizeof(bytes));
	test_fill(bytes, (size_t)total, id);
	adv_cut(&rig->peer, &chunk, kind, number, index * rig->peer.link.layout.size);
	MUST_EQ(adv_send_chunk(&rig->peer, &chunk, bytes, 0), ADV_OK);
}

void rig_sends(struct rig *rig, uint64_t connection, uint64_t id, uint64_t kind, uint64_t number,
               uint64_t total)
{
	const uint64_t size = rig->peer.link.layout.size;
	unsigned int index = 0;

	do {
		rig_sends_part(rig, connection, id, kind, number, total, index);
	} while (++index * size < total);
}

static void same(const char *what, uint64_t got, uint64_t want, const char *file, int line)
{
	if (got != want)
		test_must_failed(file, line, "%s: got %llu, wanted %llu", what, (unsigned long long)got,
		                 (unsigned long long)want);
}

void rig_receives(struct rig *rig, uint64_t connection, uint64_t id, uint64_t kind, uint64_t number,
                  uint64_t total, const char *file, int line)
{
	struct hqq_message message;
	const int rc = hqq_advanced_receive(rig->handle, &rig->now, &message);

	if (rc != 0)
		test_must_failed(file, line, "message %llu did not come: %s", (unsigned long long)id,
		                 hqq_strerror(rc));
	same("connection", message.connection_id, connection, file, line);
	same("message id", message.message_id, id, file, line);
	same("flags", message.flags, kind | ADV_WHOLE, file, line);
	same("method", message.method_id, (kind & ADV_REQUEST) != 0 ? number : 0, file, line);
	same("status", message.status, (kind & ADV_RESPONSE) != 0 ? number : 0, file, line);
	same("length", message.payload_size, total, file, line);
	same("first wrong byte", (uint64_t)test_verify(message.payload, message.payload_size, id), UINT64_MAX,
	     file, line);
	same("is data", hqq_message_is_data(&message), kind == 0, file, line);
	same("is request", hqq_message_is_request(&message), kind == ADV_REQUEST, file, line);
	same("is response", hqq_message_is_response(&message), (kind & ADV_RESPONSE) != 0, file, line);
	same("is error", hqq_message_is_error(&message), (kind & ADV_ERROR) != 0, file, line);
	same("is abort", hqq_message_is_abort(&message), false, file, line);
	hqq_message_clear(&message);
}

void rig_receives_nothing(struct rig *rig, const char *file, int line)
{
	struct hqq_message message;
	const int rc = hqq_advanced_receive(rig->handle, &rig->now, &message);

	if (rc == 0)
		test_must_failed(file, line, "message %llu on connection %llu with flags %llu came, %zu bytes",
		                 (unsigned long long)message.message_id,
		                 (unsigned long long)message.connection_id, (unsigned long long)message.flags,
		                 message.payload_size);
	same("result", (uint64_t)(int64_t)rc, (uint64_t)(int64_t)HQQ_ERR_TIMEOUT, file, line);
}

void rig_gets(struct rig *rig, uint64_t connection, uint64_t id, uint64_t flags, uint64_t number,
              const void *bytes, size_t length)
{
	struct adv_event event;
	const int result = adv_receive(&rig->peer, &event, 0);

	if (result == ADV_BROKEN)
		test_must_failed(__FILE__, __LINE__, "the library broke a rule: %s", rig->peer.why);
	MUST_EQ(result, ADV_OK);
	MUST_EQ(event.kind, ADV_GOT_MESSAGE);
	MUST_EQ(event.connection, connection);
	MUST_EQ(event.id, id);
	MUST_EQ(event.flags, flags);
	MUST_EQ(event.number, number);
	MUST_EQ(event.length, length);
	MUST(length == 0 || memcmp(event.bytes, bytes, length) == 0);
	free(event.bytes);
}

/* ---- proof that the link works ------------------------------------------------------------------- */

#define PROOF_LENGTH 3
#define PROOF_CONNECTION 77
#define PROOF_IDS 1000003 /* an unfinished message of the same id costs both: far from those of hostile tests */

static void prove_messages(struct rig *rig, const unsigned char *bytes)
{
	const uint64_t mine = adv_next_id(&rig->peer);
	unsigned char got[PROOF_LENGTH + 1];
	uint64_t id;

	rig_sends(rig, PROOF_CONNECTION, mine, 0, 0, PROOF_LENGTH);
	RIG_RECEIVES(rig, PROOF_CONNECTION, mine, 0, 0, PROOF_LENGTH);
	MUST_EQ(hqq_advanced_send_large(rig->handle, &rig->now, PROOF_CONNECTION, bytes, PROOF_LENGTH, &id), 0);
	rig_gets(rig, PROOF_CONNECTION, id, ADV_WHOLE, 0, bytes, PROOF_LENGTH);
	MUST_EQ(foreign_write(&rig->peer.link, bytes, PROOF_LENGTH, 0), FOREIGN_OK);
	MUST_EQ(hqq_advanced_read(rig->handle, &rig->now, got, sizeof(got)), PROOF_LENGTH);
	MUST(memcmp(got, bytes, PROOF_LENGTH) == 0);
	MUST_EQ(hqq_advanced_write(rig->handle, &rig->now, bytes, PROOF_LENGTH), PROOF_LENGTH);
	MUST_EQ(foreign_read(&rig->peer.link, got, sizeof(got), 0), PROOF_LENGTH);
	MUST(memcmp(got, bytes, PROOF_LENGTH) == 0);
}

static void prove_calls(struct rig *rig, const unsigned char *bytes)
{
	const uint64_t mine = adv_next_id(&rig->peer);
	struct hqq_message message;
	uint64_t id;

	MUST_EQ(hqq_advanced_call_start(rig->handle, &rig->now, 0, 99, bytes, PROOF_LENGTH, &id), 0);
	rig_gets(rig, 0, id, ADV_WHOLE | ADV_REQUEST, 99, bytes, PROOF_LENGTH);
	rig_sends(rig, 0, id, ADV_RESPONSE, 44, PROOF_LENGTH);
	MUST_EQ(hqq_advanced_call_wait(rig->handle, &rig->now, id, &message), 0);
	MUST_EQ(message.status, 44);
	MUST_EQ(message.payload_size, PROOF_LENGTH);
	hqq_message_clear(&message);
	rig_sends(rig, 0, mine, ADV_REQUEST, 98, PROOF_LENGTH);
	MUST_EQ(hqq_advanced_receive(rig->handle, &rig->now, &message), 0);
	MUST(hqq_message_is_request(&message));
	MUST_EQ(message.method_id, 98);
	MUST_EQ(hqq_advanced_respond(rig->handle, &rig->now, &message, 43, bytes, PROOF_LENGTH), 0);
	hqq_message_clear(&message);
	rig_gets(rig, 0, mine, ADV_WHOLE | ADV_RESPONSE, 43, bytes, PROOF_LENGTH);
}

void rig_prove(struct rig *rig)
{
	unsigned char bytes[PROOF_LENGTH];

	RIG_SILENT(rig);
	rig->peer.message_ids += PROOF_IDS;
	test_fill(bytes, sizeof(bytes), 12345);
	prove_messages(rig, bytes);
	prove_calls(rig, bytes);
	RIG_RECEIVES_NOTHING(rig);
}
