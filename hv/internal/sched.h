/* SPDX-License-Identifier: MIT */
/* One scheduler loop per processor, round robin over the virtual CPUs that can run. */
#ifndef HV_SCHED_H
#define HV_SCHED_H

#include <internal/vm.h>

/*
 * Runs the next virtual CPU until a host interrupt, a halt or a stop; sleeps until the next host
 * interrupt when there is none to run. Firmware context before and after.
 */
void sched_run_slice(void);

/* The same, but returns false at once, without sleeping, when there is none to run. */
bool sched_run_ready(void);

/*
 * The next slice is @vm's, if it can run then: somebody waits for it. Of several, it is the first
 * one's.
 */
void sched_next(struct vm *vm);

/* Host counter ticks that sched_run_slice() has slept since the start. */
u64 sched_slept(void);

/* Runs one virtual CPU from arch_vcpu_load() to arch_vcpu_put(): the exit loop (run.c). */
void vcpu_run(struct vcpu *vcpu);

/* @exit in words: a text of at most @length bytes with its end. */
void exit_describe(const struct hv_exit *exit, char *buf, size_t length);

/*
 * One access of @vcpu's to a device beside that of its exit, for an instruction that makes several:
 * like io_dispatch(), and what the access made due is done.
 */
enum io_result vcpu_access(struct vcpu *vcpu, enum io_space space, u64 address,
			   struct io_access *access);

#endif
