/* SPDX-License-Identifier: MIT */
/*
 * Entry of a payload kernel: the header of a Linux Image, then EL1 with the MMU off and x0 pointing
 * to the devicetree. Zeroes .bss and goes to payload_setup().
 */
#include "mmu_arm64.h"

#define CPU_STACK_SHIFT 13
#define CPUS_MAX        8

	.section .head, "ax"
	.globl payload_header
payload_header:
	b payload_start
	.long 0
	.quad 0x200000				/* text_offset, as in payload_arm64.ld */
	.quad payload_end - payload_header	/* image_size */
	.quad 2					/* flags: little-endian, pages of 4 KiB */
	.quad 0, 0, 0
	.ascii "ARM\x64"
	.long 0

	.text
payload_start:
	msr daifset, #15
	mov x20, x0
	/* CPACR_EL1: FPEN, ZEN and SMEN, so that what traps does so to whoever is below. */
	movz x0, #0x333, lsl #16
	msr cpacr_el1, x0
	ldr x0, =payload_vectors
	msr vbar_el1, x0
	isb
	/* Loaded somewhere else, it can only end: PSCI SYSTEM_OFF. */
	adr x0, payload_start
	ldr x1, =payload_start
	cmp x0, x1
	b.eq 1f
	movz x0, #0x8400, lsl #16
	movk x0, #8
	hvc #0
	b .
1:	ldr x0, =payload_bss
	ldr x1, =payload_end
2:	stp xzr, xzr, [x0], #16
	cmp x0, x1
	b.lo 2b
	ldr x0, =stack_top
	mov sp, x0
	mov x0, x20
	bl payload_setup
	b .

/*
 * Where another processor is started, x0: its number. As little as possible before its MMU is on;
 * payload_cpu_main() is told what it began with.
 */
	.globl payload_cpu_start
payload_cpu_start:
	mrs x1, sctlr_el1
	mrs x2, daif
	mrs x3, CurrentEL
	msr daifset, #15
	movz x4, #0x333, lsl #16
	msr cpacr_el1, x4
	ldr x4, =payload_vectors
	msr vbar_el1, x4
	ldr x4, =MAIR
	msr mair_el1, x4
	ldr x4, =TCR
	msr tcr_el1, x4
	ldr x4, =mmu_table
	msr ttbr0_el1, x4
	tlbi vmalle1
	ic iallu
	dsb nsh
	isb
	ldr x4, =SCTLR_ON
	msr sctlr_el1, x4
	isb
	ldr x4, =cpu_stacks
	add x5, x0, #1
	add x4, x4, x5, lsl #CPU_STACK_SHIFT
	mov sp, x4
	bl payload_cpu_main
	b .

/* Exceptions: all registers to the stack, and on to payload_vector(). */
#define FRAME 272 /* x0-x30, ELR, SPSR, and 8 bytes for the alignment */
	.balign 2048
	.globl payload_vectors
payload_vectors:
	.set number, 0
	.rept 16
	.balign 128
	sub sp, sp, #FRAME
	stp x0, x1, [sp]
	mov x0, #number
	b common
	.set number, number + 1
	.endr
	.balign 128
common:
	stp x2, x3, [sp, #16]
	stp x4, x5, [sp, #32]
	stp x6, x7, [sp, #48]
	stp x8, x9, [sp, #64]
	stp x10, x11, [sp, #80]
	stp x12, x13, [sp, #96]
	stp x14, x15, [sp, #112]
	stp x16, x17, [sp, #128]
	stp x18, x19, [sp, #144]
	stp x20, x21, [sp, #160]
	stp x22, x23, [sp, #176]
	stp x24, x25, [sp, #192]
	stp x26, x27, [sp, #208]
	stp x28, x29, [sp, #224]
	mrs x1, elr_el1
	stp x30, x1, [sp, #240]
	mrs x1, spsr_el1
	str x1, [sp, #256]
	mov x1, sp
	bl payload_vector
	ldr x1, [sp, #256]
	msr spsr_el1, x1
	ldp x30, x1, [sp, #240]
	msr elr_el1, x1
	ldp x28, x29, [sp, #224]
	ldp x26, x27, [sp, #208]
	ldp x24, x25, [sp, #192]
	ldp x22, x23, [sp, #176]
	ldp x20, x21, [sp, #160]
	ldp x18, x19, [sp, #144]
	ldp x16, x17, [sp, #128]
	ldp x14, x15, [sp, #112]
	ldp x12, x13, [sp, #96]
	ldp x10, x11, [sp, #80]
	ldp x8, x9, [sp, #64]
	ldp x6, x7, [sp, #48]
	ldp x4, x5, [sp, #32]
	ldp x2, x3, [sp, #16]
	ldp x0, x1, [sp]
	add sp, sp, #FRAME
	eret

	.bss
	.balign 4096
	.skip 65536
stack_top:
cpu_stacks:
	.skip CPUS_MAX << CPU_STACK_SHIFT
	.section .note.GNU-stack, "", %progbits
