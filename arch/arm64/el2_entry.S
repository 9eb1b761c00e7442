/* SPDX-License-Identifier: MIT */
/*
 * One entry and one exit, and the vectors of hypervisor context. PSTATE.DAIF is set all the time in
 * between (vcpu.c), so nothing interrupts; TPIDR_EL2 holds the vcpu while one is loaded.
 *
 * The offsets are those of struct vcpu and arm64_state, asserted in vcpu.c.
 */
#define EXIT    0x90
#define GPRS    0xd8
#define PC      (GPRS + 0xf8)

	.text
	.globl arch_vcpu_run
	.hidden arch_vcpu_run
	.type arch_vcpu_run, %function
/* void arch_vcpu_run(struct vcpu *vcpu, struct hv_exit *exit), which is &vcpu->last_exit. */
arch_vcpu_run:
	stp x29, x30, [sp, #-96]!
	stp x19, x20, [sp, #16]
	stp x21, x22, [sp, #32]
	stp x23, x24, [sp, #48]
	stp x25, x26, [sp, #64]
	stp x27, x28, [sp, #80]
	ldp x2, x3, [x0, #PC]
	msr elr_el2, x2
	msr spsr_el2, x3
	ldp x2, x3, [x0, #GPRS + 16]
	ldp x4, x5, [x0, #GPRS + 32]
	ldp x6, x7, [x0, #GPRS + 48]
	ldp x8, x9, [x0, #GPRS + 64]
	ldp x10, x11, [x0, #GPRS + 80]
	ldp x12, x13, [x0, #GPRS + 96]
	ldp x14, x15, [x0, #GPRS + 112]
	ldp x16, x17, [x0, #GPRS + 128]
	ldp x18, x19, [x0, #GPRS + 144]
	ldp x20, x21, [x0, #GPRS + 160]
	ldp x22, x23, [x0, #GPRS + 176]
	ldp x24, x25, [x0, #GPRS + 192]
	ldp x26, x27, [x0, #GPRS + 208]
	ldp x28, x29, [x0, #GPRS + 224]
	ldr x30, [x0, #GPRS + 240]
	ldp x0, x1, [x0, #GPRS]
	eret
	/* Nothing may be executed behind an ERET, not even by speculation. */
	dsb nsh
	isb

/* From the guest, with two of its registers on the stack. @kind: EL2_EXIT_*. */
	.macro guest_vector kind
	.balign 128
	stp x0, x1, [sp, #-16]!
	mov x1, #\kind
	b leave_guest
	.endm

/* An exception of anew itself: el2_own_fault(kind, esr, elr, far) doesn't return. */
	.macro own_vector kind
	.balign 128
	mov x0, #\kind
	mrs x1, esr_el2
	mrs x2, elr_el2
	mrs x3, far_el2
	b el2_own_fault
	.endm

/* Arm ARM D1.3.1.5: from this level with SP_EL0, with SP_ELx, from below in AArch64, AArch32. */
	.balign 2048
	.globl el2_vectors
	.hidden el2_vectors
el2_vectors:
	own_vector 0
	own_vector 1
	own_vector 2
	own_vector 3
	own_vector 0
	own_vector 1
	own_vector 2
	own_vector 3
	guest_vector 0
	guest_vector 1
	guest_vector 2
	guest_vector 3
	guest_vector 0
	guest_vector 1
	guest_vector 2
	guest_vector 3

	.balign 128
/* vcpu_left(vcpu, kind, &vcpu->last_exit) returns to where arch_vcpu_run() was called. */
leave_guest:
	mrs x0, tpidr_el2
	stp x2, x3, [x0, #GPRS + 16]
	stp x4, x5, [x0, #GPRS + 32]
	stp x6, x7, [x0, #GPRS + 48]
	stp x8, x9, [x0, #GPRS + 64]
	stp x10, x11, [x0, #GPRS + 80]
	stp x12, x13, [x0, #GPRS + 96]
	stp x14, x15, [x0, #GPRS + 112]
	stp x16, x17, [x0, #GPRS + 128]
	stp x18, x19, [x0, #GPRS + 144]
	stp x20, x21, [x0, #GPRS + 160]
	stp x22, x23, [x0, #GPRS + 176]
	stp x24, x25, [x0, #GPRS + 192]
	stp x26, x27, [x0, #GPRS + 208]
	stp x28, x29, [x0, #GPRS + 224]
	str x30, [x0, #GPRS + 240]
	ldp x2, x3, [sp], #16
	stp x2, x3, [x0, #GPRS]
	mrs x2, elr_el2
	mrs x3, spsr_el2
	stp x2, x3, [x0, #PC]
	add x2, x0, #EXIT
	ldp x19, x20, [sp, #16]
	ldp x21, x22, [sp, #32]
	ldp x23, x24, [sp, #48]
	ldp x25, x26, [sp, #64]
	ldp x27, x28, [sp, #80]
	ldp x29, x30, [sp], #96
	b vcpu_left
	.size arch_vcpu_run, . - arch_vcpu_run

/*
 * Another processor, started by PSCI CPU_ON: at this level, MMU and caches off, x0: its struct
 * el2_cpu, which was cleaned to memory as this was. HCR_EL2 goes first, since E2H says how the
 * others look; then it has the boot CPU's translation. DEN0022 section 6.4.
 */
#define CPU_STACK   0
#define CPU_HCR     8
#define CPU_MAIR    16
#define CPU_TTBR0   32
#define CPU_SCTLR   48
#define HCR_E2H_BIT 34

	.balign 64
	.globl el2_cpu_entry
	.hidden el2_cpu_entry
	.type el2_cpu_entry, %function
el2_cpu_entry:
	msr daifset, #0xf
	msr spsel, #1
	ldr x1, [x0, #CPU_HCR]
	msr hcr_el2, x1
	isb
	ic iallu
	tlbi alle2
	tlbi alle1
	dsb nsh
	isb
	ldp x2, x3, [x0, #CPU_MAIR]
	msr mair_el2, x2
	msr tcr_el2, x3
	ldp x2, x3, [x0, #CPU_TTBR0]
	msr ttbr0_el2, x2
	tbz x1, #HCR_E2H_BIT, 1f
	msr S3_4_C2_C0_1, x3		/* TTBR1_EL2, which is there with VHE alone */
1:	isb
	ldr x2, [x0, #CPU_SCTLR]
	msr sctlr_el2, x2
	isb
	ldr x1, [x0, #CPU_STACK]
	mov sp, x1
	mov x29, xzr
	b el2_cpu_main
	.globl el2_cpu_entry_end
	.hidden el2_cpu_entry_end
el2_cpu_entry_end:
	.size el2_cpu_entry, . - el2_cpu_entry

/* Vector registers V0-V31 and their control: to and from memory. x0: u64 v[64]. */
	.macro each_pair op
	\op q0, q1, [x0, #0]
	\op q2, q3, [x0, #32]
	\op q4, q5, [x0, #64]
	\op q6, q7, [x0, #96]
	\op q8, q9, [x0, #128]
	\op q10, q11, [x0, #160]
	\op q12, q13, [x0, #192]
	\op q14, q15, [x0, #224]
	\op q16, q17, [x0, #256]
	\op q18, q19, [x0, #288]
	\op q20, q21, [x0, #320]
	\op q22, q23, [x0, #352]
	\op q24, q25, [x0, #384]
	\op q26, q27, [x0, #416]
	\op q28, q29, [x0, #448]
	\op q30, q31, [x0, #480]
	.endm

	.globl el2_vector_save
	.hidden el2_vector_save
	.type el2_vector_save, %function
el2_vector_save:
	each_pair stp
	ret
	.size el2_vector_save, . - el2_vector_save

	.globl el2_vector_load
	.hidden el2_vector_load
	.type el2_vector_load, %function
el2_vector_load:
	each_pair ldp
	ret
	.size el2_vector_load, . - el2_vector_load
	.section .note.GNU-stack, "", %progbits
