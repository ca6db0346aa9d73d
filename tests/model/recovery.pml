/*
 * recovery.pml - what the dead left is finished, and nothing else (lib/recover.c)
 *
 * Writer 0 reserves a slot and commits it, or closes its handle with it; writer 1 writes; reader 2
 * reads. Endpoints 3 and 4 stand for whoever waits, and look for the dead where something is stuck
 * (mend_if_stuck() of lib/link_wait.c). Process 5 joins in the entry of a dead one
 * (hqq_recover_inherited()). All but 4 may be killed between any two statements, CRASHES of them in
 * one run. Who is not scheduled for a while is a stopped process.
 *
 * One statement is one access to shared memory; what stands in atomic with it, in capital letters,
 * is bookkeeping. Stores are releases and loads are acquires here as in the code, and nobody stores
 * and then loads, so the order of the statements is the order in which others see their effects.
 *
 * Checked: only a position whose owner is dead is finished for him; an owner finds his slot as he
 * left it; a message is read once, whole, or it is a tombstone; what was published is not buried;
 * and when nothing moves any more nothing is stuck, and the living have done what they wanted.
 *
 * Searched to the end, see check: one process killed, and with NO_READER two. REPAIRERS adds the
 * second repairer (3), HEIR process 5: these searches find errors but are too large to be ended.
 *
 * Each of these breaks one thing: LANE_AFTER_CLAIM, TAG_IGNORED, BARE_UNTAG (a reservation ends
 * with nothing in the lane), ONE_LOOK (at the lanes before the tag, not behind it), LIVING_IGNORED
 * (a dead lane counts though a living one names the same position), ANYBODY_DEAD (death is guessed),
 * OWN_BURIAL (a closing endpoint takes the note of a burial for its own), and with REPAIRERS
 * WITHOUT_LOCK. To be tried by hand, with REPAIRERS or HEIR: WITHOUT_TURNS, NO_BURIAL, BURIAL_LEFT,
 * OTHERS_LIVE, HEIRS_MODE.
 *
 * SPDX-License-Identifier: MIT
 */
#define SLOTS 2
#define MASK (SLOTS - 1)
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef SENDS
#define SENDS 1 /* by writer 1 */
#endif
#define POSITIONS (1 + SENDS)

mtype = { READ, WRITE }; /* 2 and 1 */
#define WORD(kind, p) ((kind) << 6 | (p))              /* hqq_claim_word() */
#define TAG(kind, e, p) ((kind) << 6 | (e) << 3 | (p)) /* hqq_claim_tag() */
#define TOMBSTONE 9

/* the segment */
byte write_cursor, read_cursor;
byte sequence[SLOTS], packet[SLOTS], tag[SLOTS];
byte lane[3];       /* endpoints 3 and 4 claim nothing */
byte identity[3];   /* process + 1, 0 = free; its count makes it unique */
byte lanes_mode[3]; /* hqq_identity_lanes_mode() */
byte repair;        /* entry + 1 */
byte burial;        /* position + 1 */

/* bookkeeping */
bit DEAD[6];
bit ANSWERED[6];     /* has nothing left to do */
byte KILLS;
byte WRITER[POSITIONS], READER[POSITIONS]; /* process + 1 */
bit SENT[POSITIONS], TAKEN[POSITIONS];
byte FRESH = 255;    /* by process: something has changed since its last look for the dead */
byte TURNED;         /* by process: the lock has changed hands since it read it */

#define CHANGED FRESH = 255
#define TURN(kind, p) (sequence[(p) & MASK] == ((kind) == WRITE -> (p) : (p) + 1))
#define NEXT(kind, p) ((kind) == WRITE -> (p) + 1 : (p) + SLOTS)

/* is_ring_stuck() for the readers and for the writers */
#define STUCK ((write_cursor != read_cursor && !TURN(READ, read_cursor)) || \
	(write_cursor - read_cursor <= MASK && !TURN(WRITE, write_cursor)))

/* ---- owners */

#ifdef LANE_AFTER_CLAIM
#define BEFORE(x) skip
#define AFTER(x) atomic { x; CHANGED }
#else
#define BEFORE(x) atomic { x; CHANGED }
#define AFTER(x) skip
#endif

/* hqq_ring_claim_run(), hqq_link_wait(): p */
#define CLAIM(kind, cursor, OWNER) \
end_claim: do \
	:: atomic { TURN(kind, cursor) -> p = cursor }; \
		BEFORE(lane[me] = WORD(kind, p)); \
		if \
		:: atomic { cursor == p -> cursor = p + 1; assert(OWNER[p] == 0); OWNER[p] = me + 1; CHANGED }; \
			AFTER(lane[me] = WORD(kind, p)); \
			break \
		:: atomic { cursor != p -> p = 0 } \
		fi; \
		GIVE_UP \
	:: atomic { cursor == POSITIONS -> ENDED = 1; break } \
	od

#define GIVE_UP atomic { lane[me] = 0; CHANGED }

#define MINE(kind, p) assert(TURN(kind, p))

/* hqq_packet_set_standard() and hqq_ring_publish() */
inline fill_and_publish(p)
{
	atomic { MINE(WRITE, p); packet[p & MASK] = p + 1 };
	atomic { MINE(WRITE, p); tag[p & MASK] = 0; CHANGED };
	atomic { MINE(WRITE, p); sequence[p & MASK] = p + 1; SENT[p] = 1; CHANGED }
}

/* ---- repair */

#define PROCESS_DEAD(id) DEAD[((id) + 5) % 6] /* of an identity that is not 0 */
#define HOLDER_GONE(entry) (holder == 0 || holder == entry + 1 || \
	(holder > 3 -> DEAD[holder - 1] : identity[holder - 1] == 0 || PROCESS_DEAD(identity[holder - 1])))

/* lock_repair(): locked */
inline lock_repair(entry)
{
	atomic { holder = repair; TURNED = TURNED & ~(1 << me) };
#ifdef WITHOUT_LOCK
	locked = 1;
#else
	if
	:: atomic { HOLDER_GONE(entry) ->
#ifdef WITHOUT_TURNS
		if
		:: holder == entry + 1 -> locked = 1
		:: holder != entry + 1
		fi
#endif
		};
		atomic {
#ifdef WITHOUT_TURNS
			if
			:: repair == holder && !locked -> repair = entry + 1; locked = 1
			:: else
			fi
#else
			if
			:: repair == holder && !(TURNED >> me & 1) -> repair = entry + 1; TURNED = 255; locked = 1
			:: else
			fi
#endif
		}
	:: atomic { !HOLDER_GONE(entry) -> skip }
	fi;
#endif
	holder = 0
}

inline unlock_repair()
{
	atomic { repair = 0; locked = 0 }
}

/* is_in_lane(), for the dead and for the living at once: a dead one's lanes do not change */
#define LOOK_AT(e, kind, p) \
	if \
	:: identity[e] && lanes_mode[e] == kind && lane[e] == WORD(kind, p) -> \
		if \
		:: gone >> e & 1 -> dead_lane = 1 \
		:: else -> living_lane = 1 \
		fi \
	:: else \
	fi

/* owner_of(), OWNER_DEAD: verdict 2, OWNER_UNDECIDED: 1. Readers leave no tags here, and there is one. */
inline owner_of(kind, p, with_lock)
{
	if
	:: kind == READ -> atomic {
			LOOK_AT(0, kind, p);
			LOOK_AT(1, kind, p);
			LOOK_AT(2, kind, p)
		}
	:: kind == WRITE ->
		atomic { LOOK_AT(0, kind, p) };
		atomic { LOOK_AT(1, kind, p); LOOK_AT(2, kind, p) };
#ifndef TAG_IGNORED
		atomic {
			if
			:: tag[p & MASK] >> 6 == WRITE && (tag[p & MASK] & 7) == p ->
				verdict = ((gone >> (tag[p & MASK] >> 3 & 7)) & 1 -> 2 : 3)
			:: else
			fi
		};
#endif
		atomic {
#ifdef OWN_BURIAL
			verdict = (verdict == 0 && burial == p + 1 -> 2 : verdict)
#else
			verdict = (verdict == 0 && with_lock && burial == p + 1 -> 2 : verdict)
#endif
		};
#ifndef ONE_LOOK
		atomic { LOOK_AT(0, kind, p) };
		atomic { LOOK_AT(1, kind, p); LOOK_AT(2, kind, p) }
#endif
	fi;
	d_step {
#ifdef LIVING_IGNORED
		living_lane = 0;
#endif
		verdict = (verdict == 3 -> 0 : (verdict == 2 || !dead_lane -> verdict : (living_lane -> 1 : 2)));
		dead_lane = 0;
		living_lane = 0
	}
}

#define ONLY_DEAD(OWNER, p) assert(OWNER[p] == me + 1 || (OWNER[p] > 0 && PROCESS_DEAD(OWNER[p])))

/* finish() and bury() */
inline finish(kind, p, with_lock)
{
	if
	:: TURN(kind, p) ->
		if
		:: kind == WRITE ->
			if
			:: with_lock ->
#ifndef NO_BURIAL
				burial = p + 1
#endif
			:: !with_lock -> atomic { lane[me] = WORD(WRITE, p); CHANGED }
			fi;
			atomic { ONLY_DEAD(WRITER, p); MINE(WRITE, p); packet[p & MASK] = TOMBSTONE };
			atomic { ONLY_DEAD(WRITER, p); MINE(WRITE, p); tag[p & MASK] = 0; CHANGED };
			atomic { ONLY_DEAD(WRITER, p); sequence[p & MASK] = p + 1; CHANGED }
		:: kind == READ ->
			atomic {
				if
				:: TURN(READ, p) -> ONLY_DEAD(READER, p); sequence[p & MASK] = p + SLOTS; CHANGED
				:: else
				fi
			}
		fi
	:: else
	fi
}

/* mend_ring() */
inline mend_ring(kind, cursor, with_lock)
{
	d_step { limit = cursor; p = (limit < SLOTS -> 0 : limit - SLOTS) };
	do
	:: atomic { p < limit && TURN(kind, p) -> skip };
		owner_of(kind, p, with_lock);
		if
		:: verdict == 2 -> verdict = 0; finish(kind, p, with_lock)
		:: else -> d_step { again = again || verdict == 1; verdict = 0 }
		fi;
		p++
	:: d_step { p < limit && !TURN(kind, p) -> p++ }
	:: atomic { p >= limit -> p = 0; limit = 0; break }
	od
}

inline mend_dead(with_lock)
{
	mend_ring(WRITE, write_cursor, with_lock);
	mend_ring(READ, read_cursor, with_lock)
}

/* With the lock: what a dead repairer was burying comes first, for there is one note. */
inline end_burial()
{
	skip;
#if !defined(BURIAL_LEFT) && !defined(NO_BURIAL)
	p = burial;
	if
	:: p > 0 && TURN(WRITE, p - 1) -> p--; finish(WRITE, p, 1)
	:: else
	fi;
	p = 0;
#endif
	skip
}

/* find_dead(), others than the own entry */
#ifdef ANYBODY_DEAD
#define JUDGED_DEAD(e) true
#else
#define JUDGED_DEAD(e) PROCESS_DEAD(identity[e])
#endif
#define FIND(e, own) \
	if \
	:: identity[e] && e != own && JUDGED_DEAD(e) -> gone = gone | 1 << e; seen[e] = identity[e] \
	:: else \
	fi

inline find_dead(own)
{
	atomic { FIND(0, own); FIND(1, own); FIND(2, own) }
}

/* free_dead(), hqq_endpoint_clear() */
#define FREE(e, own) \
	if \
	:: e != own && (gone >> e & 1) -> \
		atomic { lane[e] = 0; CHANGED }; \
		atomic { identity[e] = (identity[e] == seen[e] -> 0 : identity[e]); CHANGED } \
	:: else \
	fi

inline free_dead(own)
{
	FREE(0, own);
	FREE(1, own);
	FREE(2, own)
}

#define REPAIR_LOCALS byte p, gone, holder, limit, verdict, seen[3]; bit locked, again, dead_lane, living_lane
#define FORGET d_step { gone = 0; again = 0; seen[0] = 0; seen[1] = 0; seen[2] = 0 }

/* Somebody else repairs, and lives. */
#define BUSY (repair != 0 && repair != me + 1 && \
	(repair > 3 -> !DEAD[repair - 1] : \
	identity[(repair - 1) % 3] != 0 && !PROCESS_DEAD(identity[(repair - 1) % 3])))

/* hqq_recover(), where something is stuck, and again once anything has changed */
proctype mender(byte me)
{
	REPAIR_LOCALS;

	{
		skip;
end:		do
		:: atomic { STUCK && (FRESH >> me & 1) && !BUSY -> FRESH = FRESH & ~(1 << me) };
			lock_repair(me);
			if
			:: locked ->
				end_burial();
				find_dead(me);
				if
				:: gone ->
					mend_dead(1);
					if
					:: !again -> free_dead(me)
					:: else
					fi
				:: else
				fi;
				unlock_repair()
			:: else -> FRESH = FRESH | 1 << me
			fi;
			FORGET
		od
	} unless { DEAD[me] }
}

/* ---- the processes */

proctype writer_0()
{
	REPAIR_LOCALS;
	byte me = 0;
	bit ENDED;

	{
		CLAIM(WRITE, write_cursor, WRITER);
		if
		:: ENDED
		:: else ->
			/* hqq_ring_tag(); the lane serves other calls */
			atomic { tag[p & MASK] = TAG(WRITE, me, p); CHANGED };
			atomic { lane[me] = 0; CHANGED };
			if
			:: /* hqq_ring_take_over(), hqq_standard_commit() */
#ifndef BARE_UNTAG
				atomic { lane[me] = WORD(WRITE, p); CHANGED };
#endif
				fill_and_publish(p)
			:: /* hqq_recover_own() */
				p = 0;
				gone = 1;
				mend_dead(0)
			fi
		fi;
		ANSWERED[me] = 1
	} unless { DEAD[me] }
}

proctype writer_1()
{
	REPAIR_LOCALS;
	byte me = 1, left = SENDS;
	bit ENDED;

	{
		do
		:: left > 0 && !ENDED ->
			CLAIM(WRITE, write_cursor, WRITER);
			if
			:: ENDED
			:: else -> fill_and_publish(p)
			fi;
			p = 0;
			left--
		:: left == 0 || ENDED -> break
		od;
		ANSWERED[me] = 1
	} unless { DEAD[me] }
}

proctype reader_2()
{
	byte me = 2, p;
	bit ENDED;

	{
		do
		:: !ENDED ->
			CLAIM(READ, read_cursor, READER);
			if
			:: ENDED
			:: else ->
				atomic {
					MINE(READ, p);
					assert(packet[p & MASK] == (SENT[p] -> p + 1 : TOMBSTONE));
					assert(!TAKEN[p]);
					TAKEN[p] = 1
				};
				atomic { MINE(READ, p); sequence[p & MASK] = p + SLOTS; CHANGED }
			fi;
			p = 0
		:: ENDED -> break
		od;
		ANSWERED[me] = 1
	} unless { DEAD[me] }
}

/* hqq_endpoint_join() in the entry of a dead one, as a writer; hqq_recover_inherited() */
proctype heir()
{
	REPAIR_LOCALS;
	byte me = 5, own = 3, old;

	{
		skip;
end:		if
		:: atomic { identity[0] && PROCESS_DEAD(identity[0]) -> own = 0; old = identity[0] }
		:: atomic { identity[1] && PROCESS_DEAD(identity[1]) -> own = 1; old = identity[1] }
		:: atomic { identity[2] && PROCESS_DEAD(identity[2]) -> own = 2; old = identity[2] }
		fi;
		atomic {
			if
			:: identity[own] == old -> identity[own] = me + 1; CHANGED;
#ifdef HEIRS_MODE
				lanes_mode[own] = WRITE
#endif
			:: else -> own = 3
			fi;
			old = 0
		};
		if
		:: own < 3 ->
			again = 1;
			do
			:: atomic { again && (FRESH >> me & 1) && (repair == own + 1 || !BUSY) -> FRESH = FRESH & ~(1 << me) };
				lock_repair(own);
				if
				:: locked ->
					gone = 1 << own;
					again = 0;
					end_burial();
#ifndef OTHERS_LIVE
					find_dead(own);
#endif
					mend_dead(1);
					if
					:: !again -> free_dead(own)
					:: else
					fi;
					unlock_repair()
				:: else -> FRESH = FRESH | 1 << me
				fi
			:: !again -> break
			od;
			/* hqq_endpoint_clear_lanes() */
			atomic { lane[own] = 0; CHANGED };
			atomic { lanes_mode[own] = WRITE; CHANGED }
		:: else
		fi;
		FORGET;
		ANSWERED[me] = 1
	} unless { DEAD[me] }
}

/* Before anybody asks, a dead process is no different from a stopped one. */
#define KILL(process) atomic { (STUCK || repair) && KILLS < CRASHES && !DEAD[process] && !ANSWERED[process] -> DEAD[process] = 1; KILLS++; CHANGED }

active proctype death()
{
end:	do
	:: KILL(0)
	:: KILL(1)
#ifndef NO_READER
	:: KILL(2)
#endif
#ifdef REPAIRERS
	:: KILL(3)
#endif
#ifdef HEIR
	:: KILL(5)
#endif
	od
}

/* When nothing moves any more */
active proctype rest()
{
end:	do
	:: timeout ->
		assert(!STUCK);
		#ifndef NO_READER
		assert(DEAD[2] || read_cursor == write_cursor);
#endif
		break
	od
}

init
{
	atomic {
		sequence[1] = 1;
		identity[0] = 1;
		identity[1] = 2;
		identity[2] = 3;
		lanes_mode[0] = WRITE;
		lanes_mode[1] = WRITE;
		lanes_mode[2] = READ;
		run writer_0();
		run writer_1();
#ifndef NO_READER
		run reader_2();
#endif
#ifdef REPAIRERS
		run mender(3);
#endif
		run mender(4);
#ifdef HEIR
		run heir()
#endif
	}
}
