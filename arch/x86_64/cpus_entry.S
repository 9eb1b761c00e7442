/* SPDX-License-Identifier: MIT */
	.text

/*
 * Calls @function with @ctx on the stack that ends at @top.
 *
 * void cpu_on_stack(void (*function)(void *ctx), void *ctx, void *top)   System V: rdi, rsi, rdx
 */
	.globl cpu_on_stack
	.hidden cpu_on_stack
	.type cpu_on_stack, @function
cpu_on_stack:
	pushq %rbp
	movq %rsp, %rbp
	movq %rdx, %rsp
	movq %rdi, %rax
	movq %rsi, %rdi
	call *%rax
	movq %rbp, %rsp
	popq %rbp
	ret
	.size cpu_on_stack, . - cpu_on_stack
	.section .note.GNU-stack, "", @progbits
