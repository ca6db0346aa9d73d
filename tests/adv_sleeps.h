/*
 * adv_sleeps.h - the sleeps and the lock of the Advanced link, in the hands of a test
 *
 * A wake-up that nobody gives shows only as a wait that is late, since every sleep of the library ends
 * by itself before long; and what two threads do to each other shows once in a million times. A program
 * that the linker puts adv_sleeps.c into, before the functions of the library (Makefile.inc), can have
 * sleeps last until somebody ends them, and can stop a thread at the moment that matters.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TESTS_ADV_SLEEPS_H
#define HQQ_TESTS_ADV_SLEEPS_H

#include "adv_pair.h"

/* ---- sleeps that are watched ------------------------------------------------------------------- */

/*
 * From here on sleeps of this thread last until somebody ends them, or as long as the patience of the
 * tests. Not where the kernel can wait for one word only (before 5.16, emulators): the library looks
 * for the others once in a while then, and has to.
 */
void adv_sleep_watch(void);

/* No longer. How many of them ended by themselves. */
unsigned adv_sleep_unwatch(void);

/* Waits until the watched thread sleeps, or is about to: what it looked at before, it has looked at. */
void adv_sleep_await_watched(void);

/*
 * Waits until a thread that is not watched goes to sleep once more, as one that sleeps already does after
 * a while: there is to be only one, mostly the background thread.
 */
void adv_sleep_await_other(void);

/* ---- sleeps that are held ---------------------------------------------------------------------- */

/*
 * Sleeps of all threads but this one that begin from here on last until the release, whatever happens
 * meanwhile.
 */
void adv_sleep_hold(void);
void adv_sleep_await_held(unsigned threads);
void adv_sleep_release(void);

/* ---- a thread that is late --------------------------------------------------------------------- */

/* Before the thread that is to be late is started. */
void adv_lock_shut(void);

/* This thread stops before it takes the lock of the handle for the nth time from now on. */
void adv_lock_late(hqq_advanced *handle, unsigned nth);

/* It has come there. */
bool adv_lock_is_reached(void);

/* It goes on; also if it never got there. */
void adv_lock_release(void);

#endif /* HQQ_TESTS_ADV_SLEEPS_H */
