/* SPDX-License-Identifier: MIT */
/*
 * One entry and one exit. GIF is 0 all the time in between (svm.c), so nothing interrupts.
 *
 * void svm_enter(struct vcpu_arch *arch, u64 vmcb_pa)   System V: rdi, rsi
 *
 * RAX and RSP of the guest travel in the VMCB. The offsets are those of vcpu_arch.gpr, in encoding
 * order, asserted in svm.c.
 */
	.text
	.globl svm_enter
	.hidden svm_enter
	.type svm_enter, @function
svm_enter:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	pushq %rdi
	movq %rsi, %rax
	movq 0x08(%rdi), %rcx
	movq 0x10(%rdi), %rdx
	movq 0x18(%rdi), %rbx
	movq 0x28(%rdi), %rbp
	movq 0x30(%rdi), %rsi
	movq 0x40(%rdi), %r8
	movq 0x48(%rdi), %r9
	movq 0x50(%rdi), %r10
	movq 0x58(%rdi), %r11
	movq 0x60(%rdi), %r12
	movq 0x68(%rdi), %r13
	movq 0x70(%rdi), %r14
	movq 0x78(%rdi), %r15
	movq 0x38(%rdi), %rdi
	vmrun %rax
	/* RAX, RSP and RFLAGS are the host's again; every other general register is the guest's. */
	popq %rax
	movq %rcx, 0x08(%rax)
	movq %rdx, 0x10(%rax)
	movq %rbx, 0x18(%rax)
	movq %rbp, 0x28(%rax)
	movq %rsi, 0x30(%rax)
	movq %rdi, 0x38(%rax)
	movq %r8, 0x40(%rax)
	movq %r9, 0x48(%rax)
	movq %r10, 0x50(%rax)
	movq %r11, 0x58(%rax)
	movq %r12, 0x60(%rax)
	movq %r13, 0x68(%rax)
	movq %r14, 0x70(%rax)
	movq %r15, 0x78(%rax)
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	ret
	.size svm_enter, . - svm_enter
	.section .note.GNU-stack, "", @progbits
