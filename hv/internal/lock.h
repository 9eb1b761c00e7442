/* SPDX-License-Identifier: MIT */
/*
 * Spinning locks, for the few instructions that a processor needs what others have too. Nobody
 * sleeps, calls the firmware or enters a guest with one in hand, but for a VM's: the boot CPU may
 * fetch pages of a VM from its volume with that one held.
 *
 * The one order: whoever has several took them from the first of these to the last. Builds with
 * LOCK_CHECK (the unit tests) abort at the first one that is out of order.
 */
#ifndef HV_LOCK_H
#define HV_LOCK_H

#include <arch/relax.h>
#include <hv/types.h>

#define LOCK_ORDER(X)                                                                              \
	X(SCHED, "scheduler") /* whose turn it is */                                               \
	X(VM, "VM")           /* one VM's devices, memory, time and the states of its vCPUs */     \
	X(POOL, "pool")       /* free pages and reference counts of all layers */                  \
	X(LOG, "log")         /* the ring of log lines */

enum lock_rank {
#define LOCK_RANK(name, text) LOCK_##name,
	LOCK_ORDER(LOCK_RANK)
#undef LOCK_RANK
};

struct lock {
	u32 held;
	u32 rank; /* enum lock_rank; constant */
};

#define LOCK_INIT(name)                                                                            \
	{                                                                                          \
		.rank = LOCK_##name                                                                \
	}

#ifdef LOCK_CHECK
void lock_check_take(const struct lock *lock);
void lock_check_release(const struct lock *lock);
#else
static inline void lock_check_take(const struct lock *lock)
{
	(void)lock;
}

static inline void lock_check_release(const struct lock *lock)
{
	(void)lock;
}
#endif

static inline void lock_take(struct lock *lock)
{
	lock_check_take(lock);
	while (__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&lock->held, __ATOMIC_RELAXED))
			cpu_relax();
}

static inline void lock_release(struct lock *lock)
{
	lock_check_release(lock);
	__atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

#endif
