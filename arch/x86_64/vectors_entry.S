/* SPDX-License-Identifier: MIT */
/*
 * Entries of the exceptions, 16 bytes each: an error code of 0 where the processor pushes none
 * (AMD APM vol. 2 section 8.2), the vector, and on to C, which doesn't come back.
 */
	.text
	.globl vectors_entries
	.hidden vectors_entries
	.balign 16
vectors_entries:
	.set vector, 0
	.rept 32
	.balign 16
	.if (0x60227d00 >> vector) & 1
	.else
	pushq $0
	.endif
	pushq $vector
	jmp all
	.set vector, vector + 1
	.endr
all:
	cld
	/* Vector, error code, RIP, CS, RFLAGS, RSP, SS. */
	movq %rsp, %rdi
	andq $-16, %rsp
	call vectors_exception

/* An interrupt, from the local APIC of a processor that is anew's alone. */
	.globl vectors_interrupt_entry
	.hidden vectors_interrupt_entry
	.balign 16
vectors_interrupt_entry:
	cld
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	call lapic_eoi
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rdx
	popq %rcx
	popq %rax
	iretq

	.globl vectors_spurious_entry
	.hidden vectors_spurious_entry
	.balign 16
vectors_spurious_entry:
	iretq
	.section .note.GNU-stack, "", @progbits
