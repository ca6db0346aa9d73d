/*
 * recovery.pml - what the dead left is finished, and nothing else (lib/recover.c)
 *
 * Writer 0 reserves a slot and commits it, or closes its handle with it; writer 1 writes and leaves;
 * reader 2 reads. Endpoints 3 and 4 stand for whoever waits, and look for the dead where something is
 * stuck (mend_if_stuck() of lib/link_wait.c). Processes 5 and 6 join in a free entry or that of a dead
 * one (hqq_endpoint_join(), hqq_recover_inherited()), and write. All but 4 may be killed between any two
 * statements, CRASHES of them in one run. Who is not scheduled for a while is a stopped process.
 *
 * One statement, or atomic, is one access to shared memory; what stands with it, in capital letters, is
 * bookkeeping. Stores are releases and loads are acquires here as in the code, and nobody stores and
 * then loads, so the order of the statements is the order in which others see their effects.
 *
 * Checked: only a position whose owner is dead is finished for him; an owner finds his slot as he
 * left it; a message is read once, whole, or it is a tombstone; what was published is not buried;
 * and when nothing moves any more nothing is stuck, and the living have done what they wanted.
 *
 * What takes part: REPAIRERS adds endpoint 3, HEIRS=n the joining processes. With QUICK_READER messages
 * are read in one step by somebody who has no entry. With WRECK the run begins with what the dead left:
 * see LEFT_BEHIND. PATIENT heirs never give up; the others may at any time, which stands for the second
 * after which hqq_recover_inherited() does. Left out: the other direction, batches, tags of readers.
 *
 * Searched to the end, see check: the first three with two of them killed; two repairers with three
 * killed; one heir with one killed; two repairers and an heir behind each wreck with two killed; two
 * heirs behind each wreck with nobody killed; all but the first with QUICK_READER. Tried and too large
 * for that: two repairers beside reader 2, two heirs when one is killed.
 *
 * No heir has to give up because of another. If what an heir inherited counted as its own, two could:
 * when both predecessors named one position, each would take the other's lane for a living one's, and
 * so would all repairers. HEIRS_LIVE shows it.
 *
 * Each of these breaks one thing:
 *   LANE_AFTER_CLAIM, TAG_IGNORED
 *   BARE_UNTAG       a reservation ends with nothing in the lane
 *   ONE_LOOK         at the lanes before the tag, none behind it
 *   LIVING_IGNORED   a dead lane counts though a living one names the same position
 *   ANYBODY_DEAD     death is guessed
 *   NO_SECOND_LOOK   at the identity, after the kernel has been asked
 *   OWN_BURIAL       a closing endpoint takes the note of a burial for its own
 *   NO_BURIAL        nothing is noted; LATE_BURIAL: when the tag is gone
 *   BURIAL_LEFT      nobody looks at the note; BURIAL_LAST: only after the rings
 *   WITHOUT_LOCK, WITHOUT_TURNS
 *   FIND_BEFORE_LOCK the dead are looked for before the lock is taken
 *   UNMENDED         an heir uses its lanes at once
 *   HEIRS_LIVE       what an heir inherited counts as its own for other repairers
 *   SETTLE_LATE      an heir makes its lanes its own after it has given the lock back
 *   HEIRS_MODE       an heir's lanes are of its own side at once
 *   EARLIER_DEAD     it takes those of its last look for dead still
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
#ifndef HEIRS
#define HEIRS 0
#endif
#define POSITIONS (1 + SENDS)
#ifdef REPAIRERS
#define ENTRIES 4
#else
#define ENTRIES 3
#endif
#define NOBODY ENTRIES

/* WRECK: what the dead have left before the start; ANY of these */
#define ANY 0
#define RESERVATION 1
#define RACE 2
#define LOSER 3
#define READ_CLAIM 4
#define LEFT_BEHIND(x) (WRECK == ANY || WRECK == x)

mtype = { READ, WRITE }; /* 2 and 1 */
#define WORD(kind, p) ((kind) << 6 | (p))              /* hqq_claim_word() */
#define TAG(kind, e, p) ((kind) << 6 | (e) << 3 | (p)) /* hqq_claim_tag() */
#define TOMBSTONE 9

/* the segment */
byte write_cursor, read_cursor;
byte sequence[SLOTS], packet[SLOTS], tag[SLOTS];
byte lane[ENTRIES];
byte identity[ENTRIES];   /* process + 1, 0 = free; each process joins once, so no count is needed */
bit inheriting[ENTRIES];  /* its state, HQQ_ENTRY_INHERITING */
byte lanes_mode[ENTRIES]; /* hqq_identity_lanes_mode() */
byte repair;              /* entry + 1 */
byte burial;              /* position + 1 */

/* bookkeeping */
bit DEAD[8];
bit ANSWERED[7]; /* has nothing left to do */
byte KILLS;
byte JUDGING;    /* entry + 1 of whom a repairer is about to ask the kernel about */
byte WRITER[POSITIONS], READER[POSITIONS]; /* process + 1 */
bit SENT[POSITIONS], TAKEN[POSITIONS];
byte FRESH = 255; /* by process: something has changed since its last look for the dead */
byte TURNED;      /* by process: the lock has changed hands since it read it */
chan die = [0] of { byte }; /* process */

#define CHANGED FRESH = 255
#define TURN(kind, p) (sequence[(p) & MASK] == ((kind) == WRITE -> (p) : (p) + 1))

/* is_ring_stuck() for the readers and for the writers */
#define STUCK ((write_cursor != read_cursor && !TURN(READ, read_cursor)) || \
	(write_cursor - read_cursor <= MASK && !TURN(WRITE, write_cursor)))

/* ---- the kernel */

#define LEFT 8                                /* the identity of a closed entry that is still to be mended */
#define PROCESS_DEAD(id) DEAD[((id) + 7) % 8] /* of an identity that is not 0 */
#define ENTRY_DEAD(e) (identity[e] == 0 || PROCESS_DEAD(identity[e])) /* hqq_endpoint_liveness() */
#define MAY_DIE(process) (KILLS < CRASHES && !DEAD[process] && !ANSWERED[process])
#define KILL(process) KILLS++; DEAD[process] = 1; CHANGED; die!process
/* The last statement of the killed: what they knew is forgotten, so that there are fewer states. */
#define UNLESS_KILLED(FORGET_ALL) unless { atomic { die?eval(me) -> FORGET_ALL } }

/* ---- owners */

#ifdef LANE_AFTER_CLAIM
#define BEFORE(x) skip
#define AFTER(x) atomic { x; CHANGED }
#else
#define BEFORE(x) atomic { x; CHANGED }
#define AFTER(x) skip
#endif

/* hqq_ring_claim_run(), hqq_link_wait(): p, or ENDED when no position is left */
#define CLAIM(kind, cursor, OWNER, entry) \
end_claim: do \
	:: atomic { cursor < POSITIONS && TURN(kind, cursor) -> p = cursor }; \
		BEFORE(lane[entry] = WORD(kind, p)); \
		if \
		:: atomic { \
			cursor == p -> cursor = p + 1; \
			assert(OWNER[p] == 0); \
			OWNER[p] = me + 1; \
			CHANGED \
			}; \
			AFTER(lane[entry] = WORD(kind, p)); \
			break \
		:: atomic { cursor != p -> p = 0 } \
		fi; \
		atomic { lane[entry] = 0; CHANGED } \
	:: atomic { cursor == POSITIONS -> ENDED = 1; break } \
	od

#define MINE(kind, p) assert(TURN(kind, p))

/* hqq_packet_set_standard() and hqq_ring_publish() */
inline fill_and_publish()
{
	atomic { MINE(WRITE, p); packet[p & MASK] = p + 1 };
	atomic { MINE(WRITE, p); tag[p & MASK] = 0; CHANGED };
	atomic { MINE(WRITE, p); sequence[p & MASK] = p + 1; SENT[p] = 1; CHANGED; p = 0 }
}

/* hqq_endpoint_clear() */
inline leave()
{
	atomic { lane[me] = 0; CHANGED };
	atomic { identity[me] = 0; CHANGED; ANSWERED[me] = 1 }
}

/* ---- repair */

#define REPAIR_LOCALS byte p, e, gone, holder, limit, kind, verdict, seen[ENTRIES]; \
	bit again, dead_lane, living_lane
#if ENTRIES == 4
#define FORGET_SEEN seen[0] = 0; seen[1] = 0; seen[2] = 0; seen[3] = 0
#else
#define FORGET_SEEN seen[0] = 0; seen[1] = 0; seen[2] = 0
#endif
#define FORGET p = 0; e = 0; gone = 0; holder = 0; limit = 0; kind = 0; verdict = 0; again = 0; \
	dead_lane = 0; living_lane = 0; FORGET_SEEN

#define HOLDER_GONE(entry) (holder == 0 || holder == entry + 1 || \
	(holder <= ENTRIES && ENTRY_DEAD((holder + ENTRIES - 1) % ENTRIES)))

#ifdef WITHOUT_TURNS
#define CAS_LOCK repair == holder
#else
#define CAS_LOCK repair == holder && !(TURNED >> me & 1)
#endif

/* lock_repair(): locked */
inline lock_repair(entry)
{
	atomic { holder = repair; TURNED = TURNED & ~(1 << me) };
#ifdef WITHOUT_LOCK
	locked = 1
#else
	if
	:: atomic { HOLDER_GONE(entry) -> skip };
		atomic {
			locked = (CAS_LOCK);
			if
			:: locked -> repair = entry + 1; TURNED = 255
			:: else
			fi
		}
	:: atomic { !HOLDER_GONE(entry) -> locked = 0 }
	fi
#endif
}

/* is_in_lane(), for the dead and for the living at once: a dead one's lanes do not change */
#define LOOK_AT(x) \
	if \
	:: identity[x] && lanes_mode[x] == kind && lane[x] == WORD(kind, p) -> \
		if \
		:: gone >> (x) & 1 -> dead_lane = 1 \
		:: else -> living_lane = 1 \
		fi \
	:: else \
	fi

/* Several entries in one step, where only one of them can be somebody's who writes. */
#if ENTRIES == 4
#define LOOK_AT_3 LOOK_AT(3)
#else
#define LOOK_AT_3 skip
#endif
#if HEIRS
#define BETWEEN_1_AND_2 }; atomic {
#else
#define BETWEEN_1_AND_2 ;
#endif
#if HEIRS == 2 && ENTRIES == 4
#define BETWEEN_2_AND_3 }; atomic {
#else
#define BETWEEN_2_AND_3 ;
#endif
#define LOOK_AT_REST LOOK_AT(1) BETWEEN_1_AND_2 LOOK_AT(2) BETWEEN_2_AND_3 LOOK_AT_3
#ifdef LIVING_IGNORED
#define LIVING_LANE 0
#else
#define LIVING_LANE living_lane
#endif

/* what the lanes say: 2 dead, 1 undecided, 0 unknown */
#define DECIDE verdict = (dead_lane -> (LIVING_LANE -> 1 : 2) : 0); dead_lane = 0; living_lane = 0

/* owner_of(). Readers leave no tags here, and there is one. */
inline owner_of()
{
	if
	:: atomic { kind == READ -> LOOK_AT(0); LOOK_AT(1); LOOK_AT(2); LOOK_AT_3; DECIDE }
	:: atomic { kind == WRITE -> LOOK_AT(0) };
		atomic { LOOK_AT_REST };
		if
#ifndef TAG_IGNORED
		:: atomic { tag[p & MASK] >> 6 == WRITE && (tag[p & MASK] & 7) == p ->
				verdict = (gone >> (tag[p & MASK] >> 3 & 7) & 1 -> 2 : 0);
				dead_lane = 0;
				living_lane = 0
			}
		:: atomic { !(tag[p & MASK] >> 6 == WRITE && (tag[p & MASK] & 7) == p) -> skip };
#else
		:: true ->
#endif
#ifdef ONE_LOOK
			DECIDE
#else
			atomic { LOOK_AT(0) };
			atomic { LOOK_AT_REST; DECIDE }
#endif
		fi
	fi
}

#define ONLY_DEAD(OWNER, p) assert(OWNER[p] == me + 1 || (OWNER[p] > 0 && PROCESS_DEAD(OWNER[p])))

#if defined(NO_BURIAL) || defined(LATE_BURIAL)
#define WITH_LOCK skip
#else
#define WITH_LOCK burial = p + 1
#endif
#define WITHOUT_LOCK_BUT_LANE atomic { lane[me] = WORD(WRITE, p); CHANGED }

#ifdef LATE_BURIAL
#define NOTE_AFTER burial = p + 1
#else
#define NOTE_AFTER skip
#endif

/* finish() of a position to be written, bury(); its sequence word has been looked at */
#define BURY(NOTE) \
	NOTE; \
	atomic { ONLY_DEAD(WRITER, p); MINE(WRITE, p); packet[p & MASK] = TOMBSTONE }; \
	atomic { ONLY_DEAD(WRITER, p); MINE(WRITE, p); tag[p & MASK] = 0; CHANGED }; \
	NOTE_AFTER; \
	atomic { ONLY_DEAD(WRITER, p); MINE(WRITE, p); sequence[p & MASK] = p + 1; CHANGED; p++ }

#define FIRST (limit < SLOTS -> 0 : limit - SLOTS)

/* mend_ring(), for writing, then for reading */
#define MEND_RINGS(NOTE) \
	atomic { kind = WRITE; limit = write_cursor; p = FIRST }; \
	do \
	:: atomic { p < limit && !TURN(kind, p) -> p++ } \
	:: atomic { p < limit && TURN(kind, p) -> skip }; \
		owner_of(); \
		if \
		:: atomic { verdict < 2 -> again = again || verdict == 1; verdict = 0; p++ } \
		:: atomic { verdict == 2 && !TURN(kind, p) -> verdict = 0; p++ } \
		:: atomic { verdict == 2 && TURN(kind, p) && kind == WRITE -> verdict = 0 }; \
			BURY(NOTE) \
		:: atomic { verdict == 2 && TURN(kind, p) && kind == READ -> verdict = 0 }; \
			atomic { \
				if \
				:: TURN(READ, p) -> \
					ONLY_DEAD(READER, p); \
					sequence[p & MASK] = p + SLOTS; \
					CHANGED \
				:: else \
				fi; \
				p++ \
			} \
		fi \
	:: atomic { p == limit && kind == WRITE -> kind = READ; limit = read_cursor; p = FIRST } \
	:: atomic { p == limit && kind == READ -> kind = 0; limit = 0; p = 0; break } \
	od

/* finish_burial() */
#define FINISH_BURIAL \
	atomic { p = burial }; \
	if \
	:: atomic { p > 0 && TURN(WRITE, p - 1) -> p-- }; \
		BURY(WITH_LOCK) \
	:: atomic { !(p > 0 && TURN(WRITE, p - 1)) -> skip } \
	fi

/* mend_dead() with the lock */
inline mend_dead()
{
#if !defined(BURIAL_LEFT) && !defined(BURIAL_LAST)
	FINISH_BURIAL;
#endif
	MEND_RINGS(WITH_LOCK)
#ifdef BURIAL_LAST
	;FINISH_BURIAL
#endif
}

#ifdef NO_SECOND_LOOK
#define SAME_AS_SEEN true
#else
#define SAME_AS_SEEN identity[e] == seen[e]
#endif
#ifdef ANYBODY_DEAD
#define JUDGED_DEAD true
#else
#define JUDGED_DEAD ENTRY_DEAD(e)
#endif

/* find_dead(), others than the own entry */
inline find_dead(own)
{
	do
	:: atomic { e < ENTRIES && (e == own || identity[e % ENTRIES] == 0) -> e++ }
	:: atomic { e < ENTRIES && e != own && identity[e % ENTRIES] ->
			seen[e] = identity[e];
			JUDGING = e + 1
		};
		if
		:: atomic { JUDGED_DEAD -> JUDGING = 0 };
			atomic {
				if
				:: SAME_AS_SEEN -> gone = gone | 1 << e
				:: else -> seen[e] = 0
				fi;
				e++
			}
		:: atomic { !JUDGED_DEAD -> JUDGING = 0;
				if
#ifndef HEIRS_LIVE
				:: inheriting[e] && SAME_AS_SEEN -> gone = gone | 1 << e
#endif
				:: else
				fi;
				seen[e] = 0;
				e++
			}
		fi
	:: atomic { e == ENTRIES -> e = 0; break }
	od
}

/* free_dead(), hqq_endpoint_clear() */
inline free_dead(own)
{
	do
	:: atomic { e < ENTRIES && (e == own || seen[e] == 0) -> e++ }
	:: atomic { e < ENTRIES && e != own && seen[e] -> lane[e] = 0; CHANGED };
		atomic {
			if
			:: identity[e] == seen[e] -> identity[e] = 0; inheriting[e] = 0
			:: else
			fi;
			seen[e] = 0;
			CHANGED;
			e++
		}
	:: atomic { e == ENTRIES -> e = 0; break }
	od
}

inline unlock_repair()
{
	atomic { repair = 0; FORGET }
}

/* Somebody else repairs, and lives. */
#define BUSY (repair != 0 && (repair > ENTRIES || !ENTRY_DEAD((repair + ENTRIES - 1) % ENTRIES)))

/* hqq_recover(), where something is stuck, and again once anything has changed */
proctype mender(byte me)
{
	REPAIR_LOCALS;
	bit locked;

	{
end:		do
		:: atomic { STUCK && (FRESH >> me & 1) && (repair == me + 1 || !BUSY) ->
				FRESH = FRESH & ~(1 << me)
			};
#ifdef FIND_BEFORE_LOCK
			find_dead(me);
#endif
			lock_repair(me);
			if
			:: atomic { locked -> locked = 0; holder = 0 };
#ifndef FIND_BEFORE_LOCK
				find_dead(me);
#endif
				if
				:: gone ->
					mend_dead();
					if
					:: !again -> free_dead(me)
					:: else
					fi
				:: else
				fi;
				unlock_repair()
			:: atomic { !locked -> FRESH = FRESH | 1 << me; FORGET }
			fi
		od
	} UNLESS_KILLED(FORGET; locked = 0; JUDGING = 0)
}

/* ---- the processes */

proctype writer_0()
{
	REPAIR_LOCALS;
	byte me = 0;
	bit ENDED;

	{
		CLAIM(WRITE, write_cursor, WRITER, me);
		if
		:: atomic { ENDED -> ENDED = 0 }
		:: atomic { !ENDED -> tag[p & MASK] = TAG(WRITE, me, p); CHANGED }; /* hqq_ring_tag() */
			atomic { lane[me] = 0; CHANGED };
			if
			:: /* hqq_ring_take_over(), hqq_standard_commit() */
#ifndef BARE_UNTAG
				atomic { lane[me] = WORD(WRITE, p); CHANGED };
#endif
				fill_and_publish()
			:: /* hqq_recover_own() */
				atomic { gone = 1; p = 0 };
#ifdef OWN_BURIAL
				FINISH_BURIAL;
#endif
				MEND_RINGS(WITHOUT_LOCK_BUT_LANE)
			fi
		fi;
		leave()
	} UNLESS_KILLED(FORGET; ENDED = 0)
}

proctype writer_1()
{
	byte me = 1, left = SENDS, p;
	bit ENDED;

	{
		do
		:: left > 0 && !ENDED ->
			CLAIM(WRITE, write_cursor, WRITER, me);
			left--;
			if
			:: ENDED
			:: else -> fill_and_publish()
			fi
		:: left == 0 || ENDED -> break
		od;
		leave()
	} UNLESS_KILLED(p = 0; left = 0; ENDED = 0)
}

#define READ_WHOLE(p) \
	assert(packet[(p) & MASK] == (SENT[p] -> (p) + 1 : TOMBSTONE)); assert(!TAKEN[p]); TAKEN[p] = 1

/* Lost the race for a position, and has not said so yet; see WRECK. */
proctype loser()
{
	byte me = 1;

	{
		atomic { lane[me] = 0; CHANGED };
		leave()
	} UNLESS_KILLED(skip)
}

#ifdef QUICK_READER
active proctype reader()
{
end:	do
	:: atomic { read_cursor < POSITIONS && TURN(READ, read_cursor) ->
			READ_WHOLE(read_cursor);
			sequence[read_cursor & MASK] = read_cursor + SLOTS;
			read_cursor++;
			CHANGED
		}
	od
}
#else
proctype reader_2()
{
	byte me = 2, p;
	bit ENDED;

	{
		do
		:: !ENDED ->
			CLAIM(READ, read_cursor, READER, me);
			if
			:: ENDED
			:: else ->
				atomic { MINE(READ, p); READ_WHOLE(p) };
				atomic { MINE(READ, p); sequence[p & MASK] = p + SLOTS; p = 0; CHANGED }
			fi
		:: ENDED -> break
		od;
		ANSWERED[me] = 1
	} UNLESS_KILLED(p = 0; ENDED = 0)
}
#endif

#if HEIRS
#define INHERIT(x) \
	:: atomic { identity[x] && PROCESS_DEAD(identity[x]) -> own = x; old = identity[x]; break } \
	:: atomic { identity[x] == x + 1 && MAY_DIE(x) -> own = x; old = identity[x]; KILL(x) }; break
#define MOVE_IN(x) :: atomic { identity[x] == 0 -> own = x; old = 0; break }

/* hqq_endpoint_settle() */
#ifdef SETTLE_LATE
#define SETTLE skip
#define RELEASE skip
#else
#define SETTLE \
	atomic { lane[own] = 0; CHANGED }; \
	atomic { lanes_mode[own] = WRITE; inheriting[own] = 0; CHANGED }
#define RELEASE repair = 0
#endif
#ifdef EARLIER_DEAD
#define EARLIER gone
#define FORGET_BUT_EARLIER skip
#else
#define EARLIER 0
#define FORGET_BUT_EARLIER FORGET
#endif

/* hqq_endpoint_join() as a writer, in a free entry or that of a dead one; hqq_recover_inherited() */
proctype heir(byte me)
{
	REPAIR_LOCALS;
	byte own = NOBODY, old;
	bit ENDED, locked;

	{
end:		do
		INHERIT(0)
		INHERIT(1)
		INHERIT(2)
		MOVE_IN(0)
		MOVE_IN(1)
		MOVE_IN(2)
#ifdef REPAIRERS
		INHERIT(3)
		MOVE_IN(3)
#endif
		od;
		/* take_entry(): the lanes of a dead one stay those of its side */
		if
		:: atomic { identity[own] == old ->
				identity[own] = me + 1;
				CHANGED;
				if
#ifdef HEIRS_MODE
				:: true
#else
				:: old == 0
#endif
					-> lanes_mode[own] = WRITE
				:: else
				fi;
				again = old != 0;
				inheriting[own] = again;
				old = 0
			};
#ifdef UNMENDED
			atomic { lane[own] = 0; CHANGED };
			atomic { lanes_mode[own] = WRITE; inheriting[own] = 0; again = 0; CHANGED };
#else
			do
			:: atomic { again && (FRESH >> me & 1) && (repair == own + 1 || !BUSY) ->
					FRESH = FRESH & ~(1 << me)
				};
				lock_repair(own);
				if
				:: atomic { locked ->
						locked = 0;
						holder = 0;
						again = 0;
						gone = EARLIER | 1 << own
					};
					find_dead(own);
					mend_dead();
					if
					:: !again -> free_dead(own);
						SETTLE
					:: else
					fi;
#ifdef SETTLE_LATE
					atomic { repair = 0; CHANGED };
					if
					:: !again -> atomic { lane[own] = 0; CHANGED };
						atomic { lanes_mode[own] = WRITE; inheriting[own] = 0; CHANGED }
					:: else
					fi;
#endif
					atomic {
						RELEASE;
						old = again;
						FORGET_BUT_EARLIER;
						again = old;
						old = 0
					}
				:: atomic { !locked -> FRESH = FRESH | 1 << me; holder = 0 }
				fi
#ifndef PATIENT
			:: atomic { again -> identity[own] = LEFT; inheriting[own] = 0; CHANGED; break }
#endif
			:: !again -> break
			od;
#endif
			if
			:: again
			:: !again ->
				CLAIM(WRITE, write_cursor, WRITER, own);
				if
				:: ENDED
				:: else -> fill_and_publish()
				fi
			fi
		:: atomic { identity[own] != old -> skip }
		fi;
		atomic { FORGET; own = NOBODY; old = 0; ENDED = 0; ANSWERED[me] = 1 }
	} UNLESS_KILLED(FORGET; own = NOBODY; old = 0; ENDED = 0; locked = 0; JUDGING = 0)
}
#endif

/*
 * A dead process is no different from a stopped one before somebody asks the kernel: when a look is
 * about to begin, at the question itself, and, of who holds the lock, at any time. ANY_TIME kills
 * between all statements instead, once anything is claimed.
 */
#ifdef ANY_TIME
#define ASKED(x) (write_cursor > 0)
#else
#define ASKED(x) ((repair == 0 && STUCK) || JUDGING == x + 1)
#endif

#define IN(entry, process) \
	(entry > 0 && entry <= ENTRIES && identity[(entry + ENTRIES - 1) % ENTRIES] == process + 1)
#define KILL_HEIR(x) \
	:: atomic { MAY_DIE(x) && (ASKED(NOBODY) || IN(JUDGING, x) || IN(repair, x)) -> KILL(x) }

active proctype death()
{
end:	do
	:: atomic { MAY_DIE(0) && ASKED(0) -> KILL(0) }
	:: atomic { MAY_DIE(1) && ASKED(1) -> KILL(1) }
#ifndef QUICK_READER
	:: atomic { MAY_DIE(2) && ASKED(2) -> KILL(2) }
#endif
#ifdef REPAIRERS
	:: atomic { MAY_DIE(3) && (ASKED(3) || repair == 4) -> KILL(3) }
#endif
#if HEIRS
	KILL_HEIR(5)
#if HEIRS == 2
	KILL_HEIR(6)
#endif
#endif
	od
}

/* When nothing moves any more */
active proctype rest()
{
end:	do
	:: timeout ->
		assert(!STUCK);
#ifdef QUICK_READER
		assert(read_cursor == write_cursor);
#else
		assert(DEAD[2] || read_cursor == write_cursor);
#endif
		break
	od
}

init
{
	atomic {
		sequence[1] = 1;
		DEAD[LEFT - 1] = 1;
		identity[0] = 1;
		identity[1] = 2;
		lanes_mode[0] = WRITE;
		lanes_mode[1] = WRITE;
		lanes_mode[2] = READ;
#ifdef WRECK
		DEAD[0] = 1;
		if
		:: LEFT_BEHIND(RESERVATION) -> /* one had a reservation, the other had just claimed */
			DEAD[1] = 1;
			write_cursor = 2;
			WRITER[0] = 1;
			WRITER[1] = 2;
			tag[0] = TAG(WRITE, 0, 0);
			lane[1] = WORD(WRITE, 1)
		:: LEFT_BEHIND(RACE) -> /* both tried for one position */
			DEAD[1] = 1;
			write_cursor = 1;
			WRITER[0] = 1;
			lane[0] = WORD(WRITE, 0);
			lane[1] = WORD(WRITE, 0)
		:: LEFT_BEHIND(LOSER) -> /* the same, but the loser lives; a third has left nothing */
			write_cursor = 1;
			WRITER[0] = 1;
			lane[0] = WORD(WRITE, 0);
			lane[1] = WORD(WRITE, 0);
			identity[2] = 3;
			lanes_mode[2] = WRITE;
			DEAD[2] = 1;
			run loser()
		:: LEFT_BEHIND(READ_CLAIM) -> /* a reader had taken one of two messages */
			write_cursor = 2;
			read_cursor = 1;
			identity[0] = 0;
			identity[1] = 0;
			identity[2] = 3;
			DEAD[1] = 1;
			DEAD[2] = 1;
			WRITER[0] = 1;
			WRITER[1] = 2;
			READER[0] = 3;
			SENT[0] = 1;
			SENT[1] = 1;
			packet[0] = 1;
			packet[1] = 2;
			sequence[0] = 1;
			sequence[1] = 2;
			lane[2] = WORD(READ, 0)
		fi;
#else
		run writer_0();
		run writer_1();
#ifndef QUICK_READER
		identity[2] = 3;
		run reader_2();
#endif
#endif
#ifdef REPAIRERS
		identity[3] = 4;
		lanes_mode[3] = WRITE;
		run mender(3);
#endif
		run mender(4);
#if HEIRS
		run heir(5);
#if HEIRS == 2
		run heir(6)
#endif
#endif
	}
}
