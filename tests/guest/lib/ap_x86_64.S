/* SPDX-License-Identifier: MIT */
/*
 * Where processors begin that a start-up IPI has started: copied below 1 MiB, in real mode, and from
 * there at once into long mode with the tables of start_x86_64.S.
 */
	.section .text.ap, "ax"
	.code16
	.globl ap_begin, ap_end
ap_begin:
	cli
	movw %cs, %ax
	movw %ax, %ds
	lgdtl ap_gdt - ap_begin
	movl $0x620, %eax	/* PAE, OSFXSR, OSXMMEXCPT */
	movl %eax, %cr4
	movl $pml4, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	movl $0x900, %eax	/* LME, NXE */
	xorl %edx, %edx
	wrmsr
	movl $0x80010033, %eax	/* PG, WP, NE, ET, MP, PE */
	movl %eax, %cr0
	ljmpl $8, $ap_long
ap_gdt:
	.word 23
	.long gdt
ap_end:
	.code64
ap_long:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $1, %eax
	cpuid
	shrl $24, %ebx
	movl %ebx, %edi
	incl %ebx
	shll $14, %ebx
	leaq stacks(%rbx), %rsp
	lidt payload_idt
	call ap_main

	.bss
	.balign 16
stacks:	.skip 8 * 16384
	.section .note.GNU-stack, "", @progbits
