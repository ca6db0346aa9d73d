/*
 * test_adv_boxes.c - frame, table, assembly and inbox, each by itself
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "advanced/assembly.h"
#include "advanced/inbox.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER 64
#define B HQQ_FLAG_BEGIN
#define E HQQ_FLAG_END
#define A HQQ_FLAG_ABORT
#define REQ HQQ_FLAG_REQUEST
#define RES HQQ_FLAG_RESPONSE
#define ERR HQQ_FLAG_ERROR

static struct hqq_frame frame_of(uint64_t message_id, uint64_t total, uint64_t offset, uint64_t size,
				 uint64_t flags)
{
	return (struct hqq_frame){.key = {0, message_id, flags & HQQ_KIND_FLAGS}, .total = total,
				  .offset = offset, .size = size, .flags = flags};
}

/* ---- frame ------------------------------------------------------------------------------------- */

START_TEST(frames_survive_the_packet)
{
	struct hqq_frame in = {{11, 12, RES}, 13, 14, 15, RES | ERR | E, 16}, out;
	struct hqq_element element;

	memset(&element, 0, sizeof(element));
	hqq_frame_write(&element, &in);
	memset(&out, 0x5a, sizeof(out));
	hqq_frame_read(&out, &element);
	MUST(hqq_key_equal(&in.key, &out.key));
	MUST_EQ(out.key.kind, RES); /* of the flags, not of the packet */
	MUST_EQ(out.total, 13);
	MUST_EQ(out.offset, 14);
	MUST_EQ(out.size, 15);
	MUST_EQ(out.flags, RES | ERR | E);
	MUST_EQ(out.number, 16);
}
END_TEST

static const struct {
	uint64_t id, total, offset, size, flags, number;
	bool sound;
} frames[] = {
	{1, 0, 0, 0, B | E, 0, true},
	{1, 0, 0, 0, B | E | REQ, 9, true},
	{1, 64, 0, 64, B | E | RES | ERR, 9, true},
	{1, 65, 0, 64, B, 9, true},
	{1, 65, 64, 1, E, 0, true},
	{1, 200, 64, 64, 0, 0, true},
	{1, UINT64_MAX, UINT64_MAX - 1, 1, E, 0, true},
	{1, 0, 0, 0, A, 0, true},
	{1, 0, 0, 0, A | REQ, 0, true},
	{0, 0, 0, 0, B | E, 0, false},               /* no id */
	{0, 0, 0, 0, A, 0, false},
	{1, 0, 0, 0, B | E | 64, 0, false},          /* flags nobody knows */
	{1, 0, 0, 0, A | UINT64_C(1) << 63, 0, false},
	{1, 0, 0, 0, B | E | REQ | RES, 0, false},   /* both kinds */
	{1, 0, 0, 0, B | E | ERR, 0, false},         /* an error of nothing */
	{1, 0, 0, 0, B | E | ERR | REQ, 0, false},
	{1, 1, 0, 0, A, 0, false},                   /* an abort with content */
	{1, 0, 1, 0, A, 0, false},
	{1, 0, 0, 1, A, 0, false},
	{1, 65, 0, 65, B | E, 0, false},             /* more than a buffer */
	{1, 64, 65, 0, 0, 0, false},                 /* beyond the end */
	{1, 64, 60, 5, E, 0, false},
	{1, 64, UINT64_MAX, 2, E, 0, false},         /* sums that wrap */
	{1, 0, 0, 0, B, 0, false},                   /* empty, and more to come */
	{1, 0, 0, 0, E, 0, false},
	{1, 0, 0, 0, 0, 0, false},
	{1, 64, 0, 0, B, 0, false},                  /* a piece of nothing */
	{1, 64, 32, 0, 0, 0, false},
	{1, 64, 0, 32, 0, 0, false},                 /* BEGIN exactly at 0 */
	{1, 64, 16, 16, B, 0, false},
	{1, 65, 64, 1, E, 9, false},                 /* a number in a later one */
	{1, 64, 0, 64, B, 0, false},                 /* END exactly at the end */
	{1, 64, 0, 32, B | E, 0, false},
	{1, 64, 16, 16, E, 0, false},
};

START_TEST(sound_frames)
{
	unsigned i;

	for (i = 0; i < sizeof(frames) / sizeof(*frames); i++) {
		struct hqq_frame frame = frame_of(frames[i].id, frames[i].total, frames[i].offset,
						  frames[i].size, frames[i].flags);

		frame.number = frames[i].number;
		if (hqq_frame_is_sound(&frame, BUFFER) != frames[i].sound)
			test_must_failed(__FILE__, __LINE__, "frame %u is judged wrongly", i);
	}
	MUST(hqq_frame_is_whole(&(struct hqq_frame){.flags = B | E | REQ}));
	MUST(!hqq_frame_is_whole(&(struct hqq_frame){.flags = B}));
	MUST(!hqq_frame_is_whole(&(struct hqq_frame){.flags = B | E | A}));
}
END_TEST

/* ---- table ------------------------------------------------------------------------------------- */

#define NODES 5000

static struct hqq_key key_of(unsigned i)
{
	return (struct hqq_key){i % 7 * UINT64_C(0x100000001), i / 21, i / 7 % 3 * REQ};
}

/* Many more things than buckets; in, found, out in another order. */
START_TEST(tables)
{
	struct hqq_node *nodes = calloc(NODES, sizeof(*nodes));
	struct hqq_table table = {.count = 0};
	unsigned i, index, seen = 0;

	MUST(nodes != NULL);
	for (i = 0; i < NODES; i++) {
		nodes[i].key = key_of(i);
		MUST(hqq_table_find(&table, &nodes[i].key) == NULL);
		hqq_table_insert(&table, &nodes[i]);
	}
	MUST_EQ(table.count, NODES);
	for (i = 0; i < NODES; i++) {
		const struct hqq_key key = key_of(i);

		MUST(hqq_table_find(&table, &key) == &nodes[i]);
	}
	for (i = 0; i < NODES; i += 2)
		hqq_table_remove(&table, &nodes[i]);
	for (i = 0; i < NODES; i++)
		MUST(hqq_table_find(&table, &nodes[i].key) == (i % 2 ? &nodes[i] : NULL));
	for (index = 0; hqq_table_first(&table, &index) != NULL; seen++)
		hqq_table_remove(&table, hqq_table_first(&table, &index));
	MUST_EQ(seen, NODES / 2);
	MUST_EQ(table.count, 0);
	free(nodes);
}
END_TEST

/* Ids one after another, as calls have them, do not share few buckets. */
START_TEST(tables_spread)
{
	struct hqq_table table = {.count = 0};
	struct hqq_node nodes[HQQ_TABLE_BUCKETS];
	unsigned i, used = 0;

	for (i = 0; i < HQQ_TABLE_BUCKETS; i++) {
		nodes[i].key = (struct hqq_key){0, i + 1, RES};
		hqq_table_insert(&table, &nodes[i]);
	}
	for (i = 0; i < HQQ_TABLE_BUCKETS; i++)
		used += table.buckets[i] != NULL;
	MUST(used > HQQ_TABLE_BUCKETS / 2);
}
END_TEST

/* ---- assembly ---------------------------------------------------------------------------------- */

static unsigned char bytes[1024];

static enum hqq_assembled add(struct hqq_assembly *assembly, struct hqq_frame frame,
			      struct hqq_partial **partial)
{
	return hqq_assembly_add(assembly, &frame, bytes + frame.offset, false, partial);
}

/* For its rule about which lines are touched: short ones here. */
static const struct hqq_ring ring = {.touched = 64};

/* From pieces of each size; two messages and a request of the same id in turn. */
START_TEST(messages_from_pieces)
{
	const uint64_t kinds[] = {0, REQ, RES}, total = sizeof(bytes), size = (uint64_t)_i;
	struct hqq_assembly assembly;
	struct hqq_partial *partial;
	uint64_t offset;
	unsigned k;

	test_fill(bytes, sizeof(bytes), 1);
	hqq_assembly_init(&assembly, &ring, total, 3 * total);
	for (offset = 0; offset < total; offset += size) {
		const uint64_t piece = total - offset < size ? total - offset : size;

		for (k = 0; k < 3; k++) {
			const uint64_t flags = kinds[k] | (offset == 0 ? B : 0) |
					       (offset + piece == total ? E : 0);
			enum hqq_assembled got =
				add(&assembly, frame_of(5, total, offset, piece, flags), &partial);

			if (offset + piece < total) {
				MUST_EQ(got, HQQ_ASSEMBLED_PART);
				/* what a message claims costs nothing before it comes */
				MUST(partial->capacity <= 2 * (offset + piece));
				continue;
			}
			MUST_EQ(got, HQQ_ASSEMBLED_WHOLE);
			MUST_EQ(partial->received, total);
			MUST_EQ(test_verify(partial->bytes, total, 1), -1);
			hqq_partial_free(partial);
		}
	}
	MUST_EQ(assembly.table.count, 0);
	MUST_EQ(assembly.bytes, 0);
}
END_TEST

START_TEST(what_breaks_a_message)
{
	const struct hqq_frame wrong[] = {
		frame_of(1, 100, 20, 10, 0), /* a gap */
		frame_of(1, 100, 5, 10, 0),  /* once more */
		frame_of(1, 101, 10, 10, 0), /* of another length */
		frame_of(1, 100, 0, 10, B),  /* begins again */
	};
	struct hqq_assembly assembly;
	struct hqq_partial *partial;

	hqq_assembly_init(&assembly, &ring, 1000, 1000);
	MUST_EQ(add(&assembly, frame_of(1, 100, 0, 10, B), &partial), HQQ_ASSEMBLED_PART);
	MUST_EQ(add(&assembly, frame_of(2, 20, 0, 10, B), &partial), HQQ_ASSEMBLED_PART);
	MUST_EQ(add(&assembly, wrong[_i], &partial), HQQ_ASSEMBLED_REFUSED);
	/* said once; the rest is swallowed up to its end */
	MUST_EQ(add(&assembly, frame_of(1, 100, 10, 10, 0), &partial), HQQ_ASSEMBLED_PART);
	MUST_EQ(assembly.table.count, 2);
	MUST_EQ(add(&assembly, frame_of(1, 100, 90, 10, E), &partial), HQQ_ASSEMBLED_PART);
	MUST_EQ(assembly.table.count, 1);
	MUST_EQ(add(&assembly, frame_of(2, 20, 10, 10, E), &partial), HQQ_ASSEMBLED_WHOLE);
	hqq_partial_free(partial);
	MUST_EQ(add(&assembly, frame_of(1, 10, 0, 10, B | E), &partial), HQQ_ASSEMBLED_WHOLE);
	hqq_partial_free(partial);
	MUST_EQ(assembly.bytes, 0);
}
END_TEST

START_TEST(messages_that_never_began)
{
	struct hqq_assembly assembly;
	struct hqq_partial *partial;

	hqq_assembly_init(&assembly, &ring, 1000, 1000);
	MUST_EQ(add(&assembly, frame_of(1, 100, 10, 10, 0), &partial), HQQ_ASSEMBLED_REFUSED);
	MUST_EQ(add(&assembly, frame_of(1, 100, 20, 10, 0), &partial), HQQ_ASSEMBLED_PART);
	/* a new BEGIN tells that the rest of the old one is not to come */
	MUST_EQ(add(&assembly, frame_of(1, 20, 0, 10, B), &partial), HQQ_ASSEMBLED_PART);
	MUST_EQ(add(&assembly, frame_of(1, 20, 10, 10, E), &partial), HQQ_ASSEMBLED_WHOLE);
	hqq_partial_free(partial);
	MUST_EQ(add(&assembly, frame_of(1, 0, 0, 0, A), &partial), HQQ_ASSEMBLED_STRAY);
	MUST(partial == NULL);
	MUST_EQ(add(&assembly, frame_of(1, 20, 0, 10, B), &partial), HQQ_ASSEMBLED_PART);
	MUST_EQ(add(&assembly, frame_of(1, 0, 0, 0, A | REQ), &partial), HQQ_ASSEMBLED_STRAY);
	MUST_EQ(add(&assembly, frame_of(1, 0, 0, 0, A), &partial), HQQ_ASSEMBLED_ABORTED);
	hqq_partial_free(partial);
	MUST_EQ(assembly.table.count, 0);
}
END_TEST

START_TEST(limits_of_the_assembly)
{
	struct hqq_assembly assembly;
	struct hqq_partial *partial;
	unsigned i;

	hqq_assembly_init(&assembly, &ring, 100, 150);
	MUST_EQ(add(&assembly, frame_of(1, 101, 0, 10, B), &partial), HQQ_ASSEMBLED_REFUSED);
	MUST_EQ(add(&assembly, frame_of(2, 100, 0, 100, B | E), &partial), HQQ_ASSEMBLED_WHOLE);
	hqq_partial_free(partial);
	MUST_EQ(add(&assembly, frame_of(3, 100, 0, 80, B), &partial), HQQ_ASSEMBLED_PART);
	MUST_EQ(add(&assembly, frame_of(4, 100, 0, 71, B), &partial), HQQ_ASSEMBLED_DROPPED);
	MUST_EQ(add(&assembly, frame_of(5, 100, 0, 70, B), &partial), HQQ_ASSEMBLED_PART);
	MUST_EQ(assembly.bytes, 150);
	MUST_EQ(add(&assembly, frame_of(5, 100, 70, 1, 0), &partial), HQQ_ASSEMBLED_DROPPED);
	MUST_EQ(add(&assembly, frame_of(3, 100, 80, 20, E), &partial), HQQ_ASSEMBLED_WHOLE);
	hqq_partial_free(partial);
	hqq_assembly_clear(&assembly);
	MUST_EQ(assembly.bytes, 0);
	MUST_EQ(assembly.table.count, 0);
	hqq_assembly_init(&assembly, &ring, 100, 100 * HQQ_PARTIALS_MAX);
	for (i = 0; i < HQQ_PARTIALS_MAX; i++)
		MUST_EQ(add(&assembly, frame_of(i + 1, 2, 0, 1, B), &partial), HQQ_ASSEMBLED_PART);
	MUST_EQ(add(&assembly, frame_of(i + 1, 2, 0, 1, B), &partial), HQQ_ASSEMBLED_DROPPED);
	MUST(partial == NULL);
	hqq_assembly_clear(&assembly);
}
END_TEST

START_TEST(streams_and_connections)
{
	struct hqq_assembly assembly;
	struct hqq_partial *partial;
	struct hqq_frame frame = frame_of(1, 1000, 0, 10, B);

	hqq_assembly_init(&assembly, &ring, 100, 100);
	MUST_EQ(hqq_assembly_add(&assembly, &frame, bytes, true, &partial), HQQ_ASSEMBLED_STREAM);
	MUST(partial == hqq_assembly_find(&assembly, &frame.key) && partial->bytes == NULL);
	MUST(!hqq_assembly_advance(partial, &frame));
	frame = frame_of(1, 1000, 10, 990, E);
	MUST_EQ(add(&assembly, frame, &partial), HQQ_ASSEMBLED_STREAM);
	MUST(hqq_assembly_advance(partial, &frame));
	hqq_assembly_discard(&assembly, partial);
	MUST_EQ(add(&assembly, frame, &partial), HQQ_ASSEMBLED_PART);
	frame = frame_of(1, 50, 0, 10, B);
	for (frame.key.connection_id = 1; frame.key.connection_id <= 3; frame.key.connection_id++)
		MUST_EQ(add(&assembly, frame, &partial), HQQ_ASSEMBLED_PART);
	hqq_assembly_drop_connection(&assembly, 2);
	MUST_EQ(assembly.table.count, 2);
	frame.key.connection_id = 2;
	MUST(hqq_assembly_find(&assembly, &frame.key) == NULL);
	MUST_EQ(assembly.bytes, 20);
	hqq_assembly_clear(&assembly);
}
END_TEST

/* ---- inbox ------------------------------------------------------------------------------------- */

static struct hqq_message message_of(uint64_t id, uint64_t kind, size_t size)
{
	struct hqq_message message = {.message_id = id, .flags = B | E | kind, .payload_size = size};

	message.payload = size ? malloc(size) : NULL;
	MUST(!size || message.payload != NULL);
	if (size)
		test_fill(message.payload, size, id);
	return message;
}

static void put(struct hqq_inbox *inbox, enum hqq_inbox_kind kind, struct hqq_message message, bool fits)
{
	MUST_EQ(hqq_inbox_put(inbox, kind, &message), fits);
	if (!fits)
		hqq_message_clear(&message);
}

START_TEST(the_order_of_the_inbox)
{
	struct hqq_message message;
	struct hqq_inbox inbox;
	uint64_t i;

	hqq_inbox_init(&inbox, 10, 0);
	MUST(!hqq_inbox_take_any(&inbox, &message));
	MUST(!hqq_inbox_take_data(&inbox, &message) && !hqq_inbox_has_data(&inbox));
	for (i = 1; i <= 9; i++) /* requests, late responses and data in turn */
		put(&inbox, i % 3 == 1 ? HQQ_INBOX_REQUESTS : HQQ_INBOX_MESSAGES,
		    message_of(i, i % 3 == 1 ? REQ : i % 3 == 2 ? RES : 0, 8), true);
	MUST(hqq_inbox_has_data(&inbox) && hqq_inbox_take_data(&inbox, &message));
	MUST_EQ(message.message_id, 3);
	hqq_message_clear(&message);
	MUST(hqq_inbox_take(&inbox, HQQ_INBOX_REQUESTS, &message));
	MUST_EQ(message.message_id, 1);
	hqq_message_clear(&message);
	for (i = 2; i <= 9; i += i == 2 ? 2 : 1) {
		MUST(hqq_inbox_take_any(&inbox, &message));
		MUST_EQ(message.message_id, i);
		MUST_EQ(test_verify(message.payload, 8, i), -1);
		hqq_message_clear(&message);
	}
	MUST(!hqq_inbox_take_any(&inbox, &message));
	/* the last one taken from behind others: the queue's end is found again */
	put(&inbox, HQQ_INBOX_MESSAGES, message_of(1, RES, 0), true);
	put(&inbox, HQQ_INBOX_MESSAGES, message_of(2, 0, 0), true);
	MUST(hqq_inbox_take_data(&inbox, &message));
	put(&inbox, HQQ_INBOX_MESSAGES, message_of(3, 0, 0), true);
	MUST(hqq_inbox_take_any(&inbox, &message) && message.message_id == 1);
	MUST(hqq_inbox_take_any(&inbox, &message) && message.message_id == 3);
	hqq_inbox_clear(&inbox);
}
END_TEST

START_TEST(the_limits_of_the_inbox)
{
	const size_t cost = 100 + sizeof(struct hqq_inbox_item);
	struct hqq_message message;
	struct hqq_inbox inbox;
	int kind;

	hqq_inbox_init(&inbox, 2, 2 * cost);
	for (kind = 0; kind < HQQ_INBOX_KINDS; kind++) { /* each its own number, all one of bytes */
		MUST(!hqq_inbox_is_full(&inbox, (enum hqq_inbox_kind)kind));
		put(&inbox, (enum hqq_inbox_kind)kind, message_of(1, 0, 100000), true);
		put(&inbox, (enum hqq_inbox_kind)kind, message_of(2, 0, 100), true);
		MUST(hqq_inbox_is_full(&inbox, (enum hqq_inbox_kind)kind));
		put(&inbox, (enum hqq_inbox_kind)kind, message_of(3, 0, 100), kind < 2);
	}
	MUST_EQ(inbox.bytes, 2 * cost);
	put(&inbox, HQQ_INBOX_REQUESTS, message_of(4, 0, 0), false);
	MUST(hqq_inbox_take(&inbox, HQQ_INBOX_REQUESTS, &message));
	hqq_message_clear(&message);
	MUST_EQ(inbox.bytes, 2 * cost); /* that one was not over the limit */
	MUST(hqq_inbox_is_full(&inbox, HQQ_INBOX_REQUESTS));
	hqq_inbox_clear(&inbox);
	MUST_EQ(inbox.bytes, 0);
}
END_TEST

START_TEST(standard_payloads_in_pieces)
{
	struct hqq_inbox inbox;
	unsigned char buffer[100];

	hqq_inbox_init(&inbox, 2, 0);
	MUST_EQ(hqq_inbox_read(&inbox, buffer, 100), 0);
	put(&inbox, HQQ_INBOX_STANDARD, message_of(1, 0, 10), true);
	put(&inbox, HQQ_INBOX_STANDARD, message_of(2, 0, 20), true);
	MUST_EQ(hqq_inbox_read(&inbox, buffer, 3), 3);
	MUST_EQ(hqq_inbox_read(&inbox, buffer + 3, 97), 7); /* never over the end of one */
	MUST_EQ(test_verify(buffer, 10, 1), -1);
	MUST_EQ(hqq_inbox_read(&inbox, buffer, 100), 20);
	MUST_EQ(test_verify(buffer, 20, 2), -1);
	MUST(hqq_inbox_is_empty(&inbox, HQQ_INBOX_STANDARD));
	hqq_inbox_clear(&inbox);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("Advanced: frame, table, assembly, inbox");
	TCase *cases = test_case(suite, "frame", 10);

	tcase_add_test(cases, frames_survive_the_packet);
	tcase_add_test(cases, sound_frames);
	cases = test_case(suite, "table", 10);
	tcase_add_test(cases, tables);
	tcase_add_test(cases, tables_spread);
	cases = test_case(suite, "assembly", 10);
	tcase_add_loop_test(cases, messages_from_pieces, 1, 130);
	tcase_add_loop_test(cases, what_breaks_a_message, 0, 4);
	tcase_add_test(cases, messages_that_never_began);
	tcase_add_test(cases, limits_of_the_assembly);
	tcase_add_test(cases, streams_and_connections);
	cases = test_case(suite, "inbox", 10);
	tcase_add_test(cases, the_order_of_the_inbox);
	tcase_add_test(cases, the_limits_of_the_inbox);
	tcase_add_test(cases, standard_payloads_in_pieces);
	return test_main(suite);
}
