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
	.section .note.GNU-stack, "", @progbits
