/*
 * sleep.pml - bells: no sleeper misses what it waits for (lib/wait.h, lib/fence.h)
 *
 * Two writers and two readers on a ring of two slots, each an endpoint of its own. Everybody
 * sleeps without a bound: what lib/link_wait.c does about endpoints that wake nobody, or die, is
 * left out, so a lost wake-up stays lost. Reader 3 may also give up, as at a deadline.
 *
 * Stores of sequence words go through a store buffer per process, first in, first out; a process
 * sees its own. Locked operations wait until the buffer of their process is empty. membarrier(2) is
 * that for every process, one after the other.
 *
 * Checked: when nothing moves any more, no reader sleeps while a message lies in the ring, and no
 * writer sleeps while there is room.
 *
 * FULL_FENCE is the other way to be right: without membarrier, with a fence on the publisher's side.
 * Each of these breaks one thing: NO_FENCE (neither), LIGHT_SLEEPER (a full fence in the sleeper,
 * none in the publisher), HEAVY_BEFORE_MARK, NO_LOOK (no look at the ring behind the mark),
 * LATE_RUNG (the bell's count is taken after the look), RUNG_UNCHANGED (a wake does not count it
 * up), RING_BEFORE_PUBLISH, STALE_CURSOR (a sleeper's look loads the cursor and does not look
 * at it again when the sequence word says no).
 *
 * SPDX-License-Identifier: MIT
 */
#define SLOTS 2
#define MASK (SLOTS - 1)
#ifndef MESSAGES
#define MESSAGES 2
#endif
#define SPACE 0 /* bells: writers, endpoints 0 and 1, sleep at this one */
#define DATA 1  /* readers, endpoints 2 and 3, at that one */

/* the segment */
byte write_cursor, read_cursor;
byte sequence[SLOTS];
byte rung[2];
bit mark[4]; /* the bell of its kind */

/* the machine: store buffers, and threads that are in the kernel */
byte older[4], newer[4]; /* 0, or what is to be stored; the slot follows from the value and who stores */
bit asleep[4];

#define IS_WRITER(e) ((e) < 2)
/* a publish of p stores p + 1, a release stores p + 2 */
#define SLOT_OF(e, value) ((IS_WRITER(e) -> (value) + 1 : (value)) & MASK)

#define EMPTY(e) (older[e] == 0)
#define LOCKED EMPTY(me)

/* What a process reads where. */
#define SEEN(s) ( \
	newer[me] && SLOT_OF(me, newer[me]) == (s) -> newer[me] : ( \
	older[me] && SLOT_OF(me, older[me]) == (s) -> older[me] : sequence[s]))

inline store(value)
{
	atomic {
		newer[me] == 0;
		if
		:: older[me] -> newer[me] = value
		:: else -> older[me] = value
		fi
	}
}

#define DRAIN(e) atomic { \
		older[e] -> sequence[SLOT_OF(e, older[e])] = older[e]; \
		older[e] = newer[e]; \
		newer[e] = 0 \
	}

active proctype buffers()
{
end:	do
	:: DRAIN(0)
	:: DRAIN(1)
	:: DRAIN(2)
	:: DRAIN(3)
	od
}

/* hqq_ring_is_turn() */
#define TURN_WRITE(p) (SEEN((p) & MASK) == (p))
#define TURN_READ(p) (SEEN((p) & MASK) == (p) + 1)

inline fence_light()
{
#ifdef FULL_FENCE
	LOCKED
#else
	skip
#endif
}

inline fence_heavy()
{
	LOCKED;
#if !defined(NO_FENCE) && !defined(FULL_FENCE) && !defined(LIGHT_SLEEPER)
	EMPTY(0);
	EMPTY(1);
	EMPTY(2);
	EMPTY(3)
#endif
}

/* hqq_bell_wake(): as many looks as there may be marks */
#define BELL_WAKE(bell, count) \
	do \
	:: atomic { looks == 2 || woken >= count -> break } \
	:: atomic { looks < 2 && woken < count && !mark[2 * bell] && !mark[2 * bell + 1] -> break } \
	:: atomic { \
		looks < 2 && woken < count && (mark[2 * bell] || mark[2 * bell + 1]) -> \
		e = (mark[2 * bell] -> 2 * bell : 2 * bell + 1); \
		looks++ \
		}; \
		if \
		:: atomic { LOCKED && !mark[e] -> skip } \
		:: atomic { LOCKED && mark[e] -> mark[e] = 0 }; \
			COUNT_UP(bell); \
			atomic { \
				woken = woken + WOKEN(e); \
				asleep[e] = 0 \
			} \
		fi \
	od; \
	atomic { woken = 0; looks = 0; e = 0 }

#define WOKEN(e) asleep[e]
#ifdef RUNG_UNCHANGED
#define COUNT_UP(bell) skip
#else
#define COUNT_UP(bell) atomic { LOCKED -> rung[bell]++ }
#endif

/* hqq_bell_ring() */
#define BELL_RING(bell, count) \
	fence_light(); \
	if \
	:: atomic { !mark[2 * bell] && !mark[2 * bell + 1] } \
	:: atomic { mark[2 * bell] || mark[2 * bell + 1] }; \
		BELL_WAKE(bell, count) \
	fi

/* is_ready() of link_wait.c: "no" holds for a cursor that has not moved meanwhile */
#ifdef STALE_CURSOR
#define IF_READY(kind, cursor) \
	p = cursor; \
	if \
	:: TURN_##kind(p)
#else
#define IF_READY(kind, cursor) \
	if \
	:: TURN_##kind(cursor)
#endif

#ifdef LATE_RUNG
#define RUNG_BEFORE(bell) skip
#define RUNG_AFTER(bell) expected = rung[bell]
#else
#define RUNG_BEFORE(bell) expected = rung[bell]
#define RUNG_AFTER(bell) skip
#endif

/* hqq_bell_mark() */
inline bell_mark(bell)
{
	RUNG_BEFORE(bell);
#ifdef HEAVY_BEFORE_MARK
	fence_heavy();
	atomic { LOCKED -> mark[me] = 1 }
#else
	atomic { LOCKED -> mark[me] = 1 };
	fence_heavy()
#endif
}

#define MAY_GIVE_UP (me == 3)

#ifdef NO_LOOK
#define BREAK_IF_READY(kind, cursor) skip
#else
#define BREAK_IF_READY(kind, cursor) IF_READY(kind, cursor) -> break :: else fi
#endif

/* sleep_once() until there is a reason to return; gave_up: reason_to_stop() has one, and pass_on() follows */
#define WAIT(kind, cursor, bell) \
	do \
	:: bell_mark(bell); \
		BREAK_IF_READY(kind, cursor); \
		if \
		:: MAY_GIVE_UP -> gave_up = 1; break \
		:: skip \
		fi; \
		RUNG_AFTER(bell); \
		atomic { \
			/* the futex compares and queues in one step */ \
			asleep[me] = (rung[bell] == expected); \
			expected = 0 \
		}; \
end_asleep:	if \
		:: atomic { !asleep[me] -> skip } \
		:: atomic { MAY_GIVE_UP && asleep[me] -> asleep[me] = 0; gave_up = 1 } \
		fi; \
		IF_READY(kind, cursor) -> gave_up = 0; break \
		:: else -> if :: gave_up -> break :: else fi \
		fi \
	od; \
	if \
	:: gave_up -> PASS_ON(kind, cursor, bell) \
	:: else \
	fi

#define PASS_ON(kind, cursor, bell) IF_READY(kind, cursor) -> BELL_WAKE(bell, 1) :: else fi

/* hqq_ring_claim_run(), then hqq_link_wait() where it found nothing. Leaves p and n, or gave_up. */
#define CLAIM(kind, cursor, bell, max) \
	do \
	:: p = cursor; \
		if \
		:: TURN_##kind(p) -> \
			n = 1; \
			if \
			:: max > 1 && TURN_##kind(p + 1) -> n = 2 \
			:: else \
			fi; \
			atomic { \
				LOCKED -> \
				if \
				:: cursor == p -> cursor = p + n; break \
				:: else \
				fi \
			} \
		:: else -> \
			if \
			:: cursor == p -> \
				WAIT(kind, cursor, bell); \
				if \
				:: gave_up -> break \
				:: else \
				fi \
			:: cursor != p \
			fi \
		fi \
	od

/* hqq_standard_write(), or a batch of two: fill, publish, ring once */
inline writer(count, max)
{
	byte p, n, e, looks, woken, expected, left = count;
	bit gave_up;

	do
	:: left == 0 -> break
	:: left > 0 ->
		CLAIM(WRITE, write_cursor, SPACE, (max < left -> max : left));
		left = left - n;
#ifdef RING_BEFORE_PUBLISH
		BELL_RING(DATA, n);
		store(p + 1);
		if :: n == 2 -> store(p + 2) :: else fi;
#else
		store(p + 1);
		if :: n == 2 -> store(p + 2) :: else fi;
		BELL_RING(DATA, n);
#endif
		p = 0
	od
}

proctype writer_0()
{
	byte me = 0;

	writer(MESSAGES - 2, 1)
}

proctype writer_1()
{
	byte me = 1;

	writer(2, 2)
}

/* hqq_standard_read(): copy, release, ring */
inline read_one()
{
	CLAIM(READ, read_cursor, DATA, 1);
	if
	:: gave_up
	:: else ->
		store(p + SLOTS);
		BELL_RING(SPACE, 1)
	fi;
	p = 0
}

/* reads for ever */
proctype reader_2()
{
	byte me = 2, p, n, e, looks, woken, expected;
	bit gave_up;

end:	do
	:: read_one()
	od
}

/* reads once, or gives up */
proctype reader_3()
{
	byte me = 3, p, n, e, looks, woken, expected;
	bit gave_up;

	read_one()
}

/* When nothing moves any more */
active proctype rest()
{
end:	do
	:: timeout ->
		assert(!((asleep[2] || asleep[3]) && sequence[read_cursor & MASK] == read_cursor + 1));
		assert(!((asleep[0] || asleep[1]) && sequence[write_cursor & MASK] == write_cursor));
		assert(write_cursor == MESSAGES && read_cursor == MESSAGES);
		break
	od
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
