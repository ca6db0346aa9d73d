/*
 * ring.pml - claim, publish, release (lib/ring.h) beside each other
 *
 * Two writers and two readers on a ring of two slots. Writer 0 claims one position at a time; it
 * writes at once, or holds a reservation while it tries for another position, as between
 * hqq_standard_reserve_write() and _commit(). Writer 1 and reader 3 claim runs, as batches do.
 *
 * One statement is one access to shared memory. What stands in atomic with it, in capital letters,
 * is the model's own bookkeeping. Stores of ring.h are releases and loads are acquires, so the
 * order of the statements is the order in which others see their effects.
 *
 * Checked, by the letters of ring.h:
 *   A   a position is claimed once, in order; the messages of one writer are taken in order
 *   B   a reader finds its message whole, and no slot is written that is still to be read
 *   C   lane or tag of its owner names a position at every step from claim to finish
 * and, since nothing may end anywhere else, that all messages were sent and taken.
 *
 * Each of these breaks one thing: NO_TURN (a claim does not look at the sequence word), NO_CAS (it
 * loads and stores the cursor), RUN_UNCHECKED (it looks at the first position of a run only),
 * EARLY_PUBLISH, EARLY_RELEASE, SHORT_RELEASE (the slot comes free for the same lap),
 * LANE_AFTER_CLAIM, NO_TAG, BARE_UNTAG (a commit clears the tag while the lane names something else).
 *
 * SPDX-License-Identifier: MIT
 */
#define SLOTS 2
#define MASK (SLOTS - 1)
#ifndef MESSAGES
#define MESSAGES 4 /* two laps */
#endif
#define RUN_OF_1 (MESSAGES - 2) /* sent by writer 0; writer 1 sends two */
#define NONE 255

mtype = { READ, WRITE }; /* 2 and 1 */
/* hqq_claim_word() and hqq_claim_covers() */
#define WORD(kind, p, n) ((kind) << 5 | ((n) - 1) << 4 | (p))
#define COVERS(word, kind, p) ((word) >> 5 == (kind) && (p) >= ((word) & 15) && (p) <= ((word) & 15) + ((word) >> 4 & 1))

/* the segment */
byte write_cursor, read_cursor;
byte sequence[SLOTS];
byte first[SLOTS], last[SLOTS]; /* two words of packet and buffer */
byte tag[SLOTS];                /* word 7 of the packet */
byte lane[4];

/* bookkeeping */
byte WRITER[MESSAGES] = NONE, READER[MESSAGES] = NONE, NUMBER[MESSAGES];
byte SENT[2], TAKEN[2];
bit UNREAD[SLOTS];

/* hqq_ring_is_turn() */
#define TURN_WRITE(p) (sequence[(p) & MASK] == (p))
#define TURN_READ(p) (sequence[(p) & MASK] == (p) + 1)
#define NAMED(kind, p) (COVERS(lane[me], kind, p) || tag[(p) & MASK] == WORD(kind, p, 1))

#ifdef NO_TURN
#define LOOK(turn) true
#else
#define LOOK(turn) turn
#endif
#ifdef RUN_UNCHECKED
#define LOOK_ON(turn) true
#else
#define LOOK_ON(turn) LOOK(turn)
#endif

inline GOT_WRITE(p)
{
	assert(WRITER[p] == NONE && !UNREAD[(p) & MASK]); /* A, B */
	assert(p == 0 || WRITER[p - (p > 0)] != NONE);
	WRITER[p] = me;
	NUMBER[p] = SENT[me];
	SENT[me]++;
	assert(NAMED(WRITE, p)) /* C */
}

inline GOT_READ(p)
{
	assert(READER[p] == NONE && WRITER[p] != NONE); /* A */
	assert(NUMBER[p] == TAKEN[WRITER[p]]);
	READER[p] = me;
	TAKEN[WRITER[p]]++;
	assert(NAMED(READ, p)) /* C */
}

#ifdef LANE_AFTER_CLAIM
#define LANE_BEFORE(word) skip
#define LANE_AFTER(word) lane[me] = word
#else
#define LANE_BEFORE(word) lane[me] = word
#define LANE_AFTER(word) skip
#endif
#ifdef NO_CAS
#define CAS(cursor, p) true
#else
#define CAS(cursor, p) cursor == p
#endif

#define MOVE(cursor, kind, p, n) \
	atomic { \
		CAS(cursor, p) -> cursor = p + n; \
		GOT_##kind(p); \
		if :: n == 2 -> GOT_##kind(p + 1) :: else fi \
	}

/* hqq_ring_claim_run(): p and n, which is 0 where there is nothing to be had */
#define CLAIM_RUN(cursor, kind, max, p, n) \
	p = cursor; \
	do \
	:: LOOK(TURN_##kind(p)) && p < MESSAGES -> \
		n = 1; \
		if \
		:: n < max && p + n < MESSAGES && LOOK_ON(TURN_##kind(p + n)) -> n = 2 \
		:: n == max || p + n == MESSAGES || !LOOK_ON(TURN_##kind(p + n)) -> skip \
		fi; \
		LANE_BEFORE(WORD(kind, p, n)); \
		if \
		:: MOVE(cursor, kind, p, n); \
			LANE_AFTER(WORD(kind, p, n)); \
			break \
		:: atomic { cursor != p -> p = cursor } \
		fi \
	:: !(LOOK(TURN_##kind(p)) && p < MESSAGES) -> \
		if \
		:: atomic { cursor == p -> n = 0 }; \
			lane[me] = 0; \
			break \
		:: atomic { cursor != p -> p = cursor } \
		fi \
	od

/* memcpy and hqq_packet_set_standard(), which clears the tag; hqq_ring_publish() */
inline fill_and_publish(p)
{
#ifdef EARLY_PUBLISH
	atomic { sequence[(p) & MASK] = p + 1; UNREAD[(p) & MASK] = 1 };
#endif
	first[(p) & MASK] = p + 1;
	last[(p) & MASK] = p + 1;
	atomic { tag[(p) & MASK] = 0; assert(NAMED(WRITE, p)) };
#ifndef EARLY_PUBLISH
	atomic { sequence[(p) & MASK] = p + 1; UNREAD[(p) & MASK] = 1 }
#endif
}

/* The copy; hqq_ring_release() */
inline take_and_release(p)
{
#ifdef EARLY_RELEASE
	atomic { sequence[(p) & MASK] = p + MASK + 1; UNREAD[(p) & MASK] = 0 };
#endif
	atomic { assert(first[(p) & MASK] == p + 1); assert(NAMED(READ, p)) }; /* B, C */
	assert(last[(p) & MASK] == p + 1);
#ifdef SHORT_RELEASE
	atomic { sequence[(p) & MASK] = p; UNREAD[(p) & MASK] = 0 }
#else
#ifndef EARLY_RELEASE
	atomic { sequence[(p) & MASK] = p + MASK + 1; UNREAD[(p) & MASK] = 0 }
#endif
#endif
}

/* What hqq_link_wait() waits for; the last look of a reader finds the end of the model. */
#define ROOM (TURN_WRITE(write_cursor))
#define MAIL (read_cursor == MESSAGES || TURN_READ(read_cursor))

proctype writer_0()
{
	byte me = 0, p, n, held;
	byte left = RUN_OF_1;

	do
	:: atomic { left == 0 -> break }
	:: atomic { left > 0 && ROOM };
		CLAIM_RUN(write_cursor, WRITE, 1, p, n);
		if
		:: n == 0
		:: n == 1 && left == 1 -> left--; fill_and_publish(p)
		:: n == 1 && left > 1 ->
			left--;
			/* hqq_ring_tag(); the lane is free for a second claim; hqq_standard_commit() */
#ifndef NO_TAG
			tag[p & MASK] = WORD(WRITE, p, 1);
#endif
			held = p;
			CLAIM_RUN(write_cursor, WRITE, 1, p, n);
			assert(NAMED(WRITE, held));
			if
			:: n == 0
			:: n == 1 -> left--; fill_and_publish(p)
			fi;
#ifndef BARE_UNTAG
			lane[me] = WORD(WRITE, held, 1);
#endif
			fill_and_publish(held);
			held = 0
		fi;
		p = 0
	od
}

proctype writer_1()
{
	byte me = 1, p, n;
	byte left = 2;

	do
	:: atomic { left == 0 -> break }
	:: atomic { left > 0 && ROOM };
		CLAIM_RUN(write_cursor, WRITE, left, p, n);
		left = left - n;
		if
		:: n == 0
		:: n == 1 -> fill_and_publish(p)
		:: n == 2 -> fill_and_publish(p); fill_and_publish(p + 1)
		fi;
		p = 0
	od
}

inline reader(max)
{
	do
	:: atomic { MAIL };
		CLAIM_RUN(read_cursor, READ, max, p, n);
		if
		:: n == 0 && read_cursor == MESSAGES -> break
		:: n == 0 && read_cursor < MESSAGES
		:: n == 1 -> take_and_release(p)
		:: n == 2 -> take_and_release(p); take_and_release(p + 1)
		fi;
		p = 0
	od
}

proctype reader_2()
{
	byte me = 2, p, n;

	reader(1)
}

proctype reader_3()
{
	byte me = 3, p, n;

	reader(2)
}

init
{
	atomic {
		sequence[1] = 1;
		run writer_0();
		run writer_1();
		run reader_2();
		run reader_3()
	}
}
