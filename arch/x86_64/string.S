/* SPDX-License-Identifier: MIT */
/*
 * What moves and fills memory, in the place of newlib's, which is built for size, a byte at a time,
 * where it isn't by hand. Processors know these instructions as what they are.
 */
	.text

/* void *memcpy(void *to, const void *from, size_t length)   System V: rdi, rsi, rdx */
	.globl memcpy
	.hidden memcpy
	.type memcpy, @function
memcpy:
	movq %rdi, %rax
copy_up:
	movq %rdx, %rcx
	shrq $3, %rcx
	rep movsq
	movl %edx, %ecx
	andl $7, %ecx
	rep movsb
	ret
	.size memcpy, . - memcpy

/* void *memmove(void *to, const void *from, size_t length) */
	.globl memmove
	.hidden memmove
	.type memmove, @function
memmove:
	movq %rdi, %rax
	movq %rdi, %rcx
	subq %rsi, %rcx
	cmpq %rdx, %rcx
	jae copy_up
	/* It begins inside of what is moved: from the end. */
	movq %rdx, %rcx
	leaq -1(%rdi, %rdx), %rdi
	leaq -1(%rsi, %rdx), %rsi
	std
	rep movsb
	cld
	ret
	.size memmove, . - memmove

/* void *memset(void *to, int byte, size_t length) */
	.globl memset
	.hidden memset
	.type memset, @function
memset:
	movq %rdi, %r8
	movzbl %sil, %eax
	movabsq $0x0101010101010101, %rcx
	imulq %rcx, %rax
	movq %rdx, %rcx
	shrq $3, %rcx
	rep stosq
	movl %edx, %ecx
	andl $7, %ecx
	rep stosb
	movq %r8, %rax
	ret
	.size memset, . - memset
	.section .note.GNU-stack, "", @progbits
