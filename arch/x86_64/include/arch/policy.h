/* SPDX-License-Identifier: MIT */
/*
 * What processor a guest sees: the baseline "anew-x86-1", the same on every machine, so that a
 * snapshot taken on one loads on another. See cpuid.c and msr.c.
 */
#ifndef ARCH_POLICY_H
#define ARCH_POLICY_H

#include <arch/x86.h>
#include <hv/io.h>
#include <internal/vcpu.h>

#define BASELINE_NAME "anew-x86-1"

/* AMD family 17h model 1 stepping 2, the first Zen: the least that has it all. */
#define SIGNATURE 0x00800f12u

/* CR4 bits that the baseline has. */
#define BASELINE_CR4                                                                               \
	(BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | CR4_PAE | BIT(6) | CR4_PGE | BIT(8) |        \
	 CR4_OSFXSR | CR4_OSXMM | BIT(11) | CR4_FSGSBASE | CR4_SMEP | CR4_SMAP)
#define BASELINE_EFER (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

/* Whether the machine has what the baseline promises; each lack is one log line. */
HV_MUST_CHECK enum hv_error cpuid_check(void);
/* The guest's view of one leaf. */
struct cpuid_regs cpuid_guest(const struct vcpu *vcpu, u32 leaf, u32 subleaf);

/* Registers the policy's MSRs on the VM's bus. */
HV_MUST_CHECK enum hv_error msr_register(struct vm *vm);

#define PVCLOCK_MSR_BASE 0x4b564d00u
/* The same for those of the paravirtual clock (pvclock.c). */
HV_MUST_CHECK enum hv_error pvclock_register(struct vm *vm);

#endif
