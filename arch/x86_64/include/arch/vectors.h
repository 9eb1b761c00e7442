/* SPDX-License-Identifier: MIT */
/*
 * What becomes of an exception of anew's own between arch_vcpu_load() and arch_vcpu_put(), where
 * the firmware's handlers would find the guest's registers in place, and on processors that are
 * anew's alone: panic(), in words. No interrupt comes in between, and no NMI (the backend holds
 * them back), but on the latter, where it is ended at the local APIC and nothing else, whatever it
 * is: one of the firmware's timer may still be waiting when they come. All run on the stack that is
 * in use: another one would have to come from a TSS, and the task register is the guest's until
 * arch_vcpu_put().
 */
#ifndef ARCH_VECTORS_H
#define ARCH_VECTORS_H

#include <hv/types.h>
#include <internal/vcpu.h>

extern struct vectors_pointer vectors_own;

/* Makes the gates; once, before the first vectors_load(). */
void vectors_init(void);
/* Whether the gates are good on the processor that this runs on: its code segment is the same. */
bool vectors_fit(void);

/* To anew's vectors, and back to those that were there; with interrupts held back. */
static inline void vectors_load(const struct vcpu *vcpu)
{
	struct cpu_arch *cpu = &vcpu->cpu->arch;

	cpu->vcpu = vcpu;
	__asm__ volatile("sidt %0" : "=m"(cpu->vectors_before));
	__asm__ volatile("lidt %0" : : "m"(vectors_own));
}

static inline void vectors_put(const struct vcpu *vcpu)
{
	struct cpu_arch *cpu = &vcpu->cpu->arch;

	__asm__ volatile("lidt %0" : : "m"(cpu->vectors_before));
	cpu->vcpu = NULL;
}

#endif
