/* SPDX-License-Identifier: MIT */
/*
 * One scheduler loop per processor. Virtual CPUs wait in one queue; each has the processor that it
 * ran on last, and another one takes it over only when it has nothing else to do.
 */
#ifndef HV_SCHED_H
#define HV_SCHED_H

#include <internal/vm.h>

/* ---- the boot CPU; firmware context before and after ---- */

/*
 * Runs the next virtual CPU until a host interrupt, a halt or a stop; sleeps until the next host
 * interrupt when there is none to run. Before that, does what VMs need the firmware for.
 */
void sched_run_slice(void);

/* The same, but returns false at once, without sleeping, when there is none to run. */
bool sched_run_ready(void);

/*
 * The next slice is @vm's, if it can run then: somebody waits for it. Of several, it is the first
 * one's.
 */
void sched_next(struct vm *vm);

/* Host counter ticks that all processors together have slept since the start. */
u64 sched_slept(void);

/* Takes @vm's virtual CPUs into the queue, or out of it; none of them runs. */
void sched_add(struct vm *vm);
void sched_remove(struct vm *vm);

/* ---- the other ones ---- */

/* Runs virtual CPUs on @cpu until cpu->stop. Hypervisor context. */
void sched_main(struct cpu *cpu);

/* ---- all of them ---- */

/* @vcpu may have something to do: sees to it that a processor looks. The VM's lock is held. */
void sched_wake(const struct vcpu *vcpu);

/*
 * @vcpu got an interrupt. If it waits for a processor on which another virtual CPU of the same VM
 * has its turn, it gets it soon: that one mostly has sent it, and waits for an answer. The VM's
 * lock is held.
 */
void sched_yield_to(const struct vcpu *vcpu);

/*
 * Whether another virtual CPU of the VM waits for the processor of @vcpu, which may wait for it,
 * spinning. A look without the locks, as a guess will do.
 */
bool sched_sibling_waits(const struct vcpu *vcpu);

/* The first timer of @vcpu's VM is another: of the processor that runs it. Its lock is held. */
void sched_clock_changed(struct vcpu *vcpu);

/* Makes the boot CPU do soon what VMs need the firmware for. */
void sched_call_boot(void);

/* Runs one virtual CPU from arch_vcpu_load() to arch_vcpu_put(): the exit loop (run.c). */
void vcpu_run(struct vcpu *vcpu);

/*
 * One access of @vcpu's to a device beside that of its exit, for an instruction that makes several:
 * like io_dispatch(), and what the access made due is done. The VM's lock is held.
 */
enum io_result vcpu_access(struct vcpu *vcpu, enum io_space space, u64 address,
			   struct io_access *access);

#endif
