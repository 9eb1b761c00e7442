/* SPDX-License-Identifier: MIT */
/*
 * What becomes of an exception of anew's own between arch_vcpu_load() and arch_vcpu_put(), where
 * the firmware's handlers would find the guest's registers in place: panic(), in words. No
 * interrupt comes in between, and no NMI (the backend holds them back), so that these gates are for
 * exceptions alone. They run on the stack that is in use: another one would have to come from a
 * TSS, and the task register is the guest's until arch_vcpu_put().
 */
#ifndef ARCH_VECTORS_H
#define ARCH_VECTORS_H

#include <hv/types.h>
#include <internal/vcpu.h>

struct vectors_pointer {
	u16 limit;
	u64 base;
} __attribute__((packed));

extern struct vectors_pointer vectors_own, vectors_firmware;
extern const struct vcpu *vectors_vcpu; /* that is loaded */

/* Makes the gates; once, before the first vectors_load(). */
void vectors_init(void);

/* To anew's vectors, and back to those that were there; with interrupts held back. */
static inline void vectors_load(const struct vcpu *vcpu)
{
	vectors_vcpu = vcpu;
	__asm__ volatile("sidt %0" : "=m"(vectors_firmware));
	__asm__ volatile("lidt %0" : : "m"(vectors_own));
}

static inline void vectors_put(void)
{
	__asm__ volatile("lidt %0" : : "m"(vectors_firmware));
}

#endif
