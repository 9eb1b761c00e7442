/* SPDX-License-Identifier: MIT */
/* Aborts where locks are taken out of their order, which needs no second thread to be found. */
#include <internal/lock.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH 8

void cpu_relax(void)
{
	sched_yield();
}

static _Thread_local const struct lock *taken[DEPTH];
static _Thread_local u32 depth;

static const char *const names[] = {
#define LOCK_TEXT(name, text) [LOCK_##name] = text,
	LOCK_ORDER(LOCK_TEXT)
#undef LOCK_TEXT
};

static void refuse(const struct lock *lock, const char *what)
{
	fprintf(stderr, "lock `%s` %s", names[lock->rank], what);
	for (u32 i = depth; i-- > 0;)
		fprintf(stderr, " `%s`", names[taken[i]->rank]);
	fprintf(stderr, "\n");
	abort();
}

void lock_check_take(const struct lock *lock)
{
	for (u32 i = 0; i < depth; i++)
		if (taken[i]->rank >= lock->rank)
			refuse(lock, "is taken with these in hand:");
	if (depth == DEPTH)
		refuse(lock, "is one too many after");
	taken[depth++] = lock;
}

void lock_check_release(const struct lock *lock)
{
	for (u32 i = depth; i-- > 0;) {
		if (taken[i] != lock)
			continue;
		for (depth--; i < depth; i++)
			taken[i] = taken[i + 1];
		return;
	}
	refuse(lock, "is not among those in hand:");
}
