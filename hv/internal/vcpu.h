/* SPDX-License-Identifier: MIT */
/*
 * One virtual CPU. Members say who protects them: [c] constant after creation, [s] the scheduler's
 * lock, [l] the VM's lock, [v] the processor that runs it, or, frozen, whoever froze it.
 */
#ifndef HV_VCPU_H
#define HV_VCPU_H

#include <arch/vcpu.h>
#include <hv/types.h>
#include <internal/cpu.h>
#include <internal/exit.h>

struct vm;

/* What has to be done before the next entry; one word, looked at once per entry. */
#define PENDING_IRQ ((u32)1 << 0) /* the interrupt controller may have something to deliver */
/* LEAVE: back to the scheduler, for a timer, a pause or work that needs the firmware. */
#define PENDING_LEAVE ((u32)1 << 1)
#define PENDING_FLUSH ((u32)1 << 2) /* second-stage translations are stale */

/* X(name, text, states that may follow) */
#define VCPU_STATES(X)                                                                             \
	/* Not started: waits for another one to start it. */                                      \
	X(IDLE, "off", NEXT(RUNNABLE) | NEXT(FROZEN))                                              \
	/* Would run. */                                                                           \
	X(RUNNABLE, "runnable", NEXT(RUNNING) | NEXT(IDLE) | NEXT(FROZEN))                         \
	/* From arch_vcpu_load() to arch_vcpu_put(). */                                            \
	X(RUNNING, "running", NEXT(RUNNABLE) | NEXT(HALTED) | NEXT(IDLE) | NEXT(FROZEN))           \
	/* Waits for an interrupt. */                                                              \
	X(HALTED, "halted", NEXT(RUNNABLE) | NEXT(IDLE) | NEXT(FROZEN))                            \
	/* The VM doesn't run: state may be read and replaced. */                                  \
	X(FROZEN, "frozen", NEXT(IDLE) | NEXT(RUNNABLE) | NEXT(HALTED))

enum vcpu_state {
#define VCPU_STATE_ENUM(name, text, next) VCPU_##name,
	VCPU_STATES(VCPU_STATE_ENUM)
#undef VCPU_STATE_ENUM
};

struct vcpu {
	struct vm *vm;         /* [c] */
	u32 index;             /* [c] */
	enum vcpu_state state; /* [l] */
	/* [l] What it is as soon as it doesn't run, or isn't frozen, any more. */
	enum vcpu_state next_state;
	struct vcpu *next;            /* [s] of all of them, who ran longest ago first */
	struct cpu *cpu;              /* [s] where it runs, or ran last */
	u32 pending;                  /* atomic: PENDING_* */
	u32 in_guest;                 /* atomic: an exit is needed to have it look at `pending` */
	u64 exits[EXIT_REASON_COUNT]; /* [v] */
	/* [v] The reasons of the last eight, a byte each, the latest lowest; for a panic. */
	u64 exit_history;
	struct hv_exit last_exit; /* [v] */
	struct vcpu_arch arch;    /* [v], and [l] where others give it something to do */
};

/*
 * Gives @vcpu PENDING_* bits to look at before its next entry, and makes it exit if it is in the
 * guest. Any context, any processor.
 */
void vcpu_post(struct vcpu *vcpu, u32 bits);

static inline void vcpu_clear(struct vcpu *vcpu, u32 bits)
{
	__atomic_and_fetch(&vcpu->pending, ~bits, __ATOMIC_SEQ_CST);
}

static inline u32 vcpu_pending(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->pending, __ATOMIC_SEQ_CST);
}

/*
 * Makes @vcpu IDLE, RUNNABLE or HALTED: at once, or, where it runs, as soon as it doesn't (it is
 * told to leave), or, frozen, when the VM runs on. The VM's lock is held, or all is frozen.
 */
void vcpu_become(struct vcpu *vcpu, enum vcpu_state state);

/* Which of IDLE, RUNNABLE and HALTED @vcpu is or is about to be. The VM's lock is held. */
enum vcpu_state vcpu_rests(const struct vcpu *vcpu);

/*
 * vcpu_rests() as a snapshot has it: 0 runnable, 1 halted, 2 off, which waits for another one to
 * start it. And from there, for one that is frozen; @saved is below VCPU_RUN_STATES.
 */
#define VCPU_RUN_STATES 3
u8 vcpu_save_rests(const struct vcpu *vcpu);
void vcpu_load_rests(struct vcpu *vcpu, u8 saved);

/* No exits yet. */
void vcpu_init_exits(struct vcpu *vcpu);
/* The last eight in words, the latest, of which more is known, first. */
void vcpu_describe_exits(const struct vcpu *vcpu, char *buf, size_t length);

/* For sched.c and vm.c: the one place where a state changes. Panics where the table has none. */
void vcpu_set_state(struct vcpu *vcpu, enum vcpu_state state);

const char *vcpu_state_text(enum vcpu_state state);

#endif
