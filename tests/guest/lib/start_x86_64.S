/* SPDX-License-Identifier: MIT */
/*
 * Entry of a payload kernel, in 32-bit protected mode with paging off: by multiboot 1 (EAX is
 * 2BADB002h) or by PVH (EBX points to the start information). Goes to long mode with the first
 * 4 GiB mapped one to one, and to payload_main().
 */
	.section .multiboot, "a"
	.balign 4
	.long 0x1badb002
	.long 0x00000003	/* page-aligned modules, memory information */
	.long -(0x1badb002 + 0x00000003)

	/* XEN_ELFNOTE_PHYS32_ENTRY: PVH. */
	.section .note.Xen, "a", @note
	.balign 4
	.long 4
	.long 4
	.long 18
	.asciz "Xen"
	.long payload_start

	.text
	.code32
	.globl payload_start
payload_start:
	cli
	movl $stack_top, %esp
	movl %eax, boot_eax
	movl %ebx, boot_ebx
	movl $pml4, %edi
	movl $pdpt + 7, (%edi)
	movl $pdpt, %edi
	movl $pd + 0x0007, 0(%edi)
	movl $pd + 0x1007, 8(%edi)
	movl $pd + 0x2007, 16(%edi)
	movl $pd + 0x3007, 24(%edi)
	movl $pd, %edi
	movl $0x87, %eax
	movl $2048, %ecx
1:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 1b
	movl $pml4, %eax
	movl %eax, %cr3
	movl %cr4, %eax
	orl $0x620, %eax	/* PAE, OSFXSR, OSXMMEXCPT */
	movl %eax, %cr4
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x900, %eax	/* LME, NXE */
	wrmsr
	movl %cr0, %eax
	andl $0x9ffffffb, %eax	/* caches on, no FPU emulation */
	orl $0x80010023, %eax	/* PG, WP, NE, MP, PE */
	movl %eax, %cr0
	lgdt gdt_pointer
	ljmp $8, $2f
	.code64
2:	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	call payload_setup
3:	hlt
	jmp 3b

/*
 * Interrupts and exceptions: one stub of 16 bytes for each vector. Pushes a zero where the
 * processor has pushed no error code, and the vector.
 */
	.globl payload_stubs
	.balign 16
payload_stubs:
	.set vector, 0
	.rept 256
	.balign 16
	.if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17)
	.else
	pushq $0
	.endif
	pushq $vector
	jmp common
	.set vector, vector + 1
	.endr
common:
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	movq 72(%rsp), %rdi	/* vector */
	leaq 80(%rsp), %rsi	/* error code, RIP, CS, RFLAGS, RSP, SS */
	call payload_interrupt
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rdx
	popq %rcx
	popq %rax
	addq $16, %rsp
	iretq

	.section .rodata
	.balign 8
	.globl gdt
gdt:	.quad 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
gdt_pointer:
	.word . - gdt - 1
	.long gdt

	.bss
	.balign 4096
	.globl pml4
pml4:	.skip 4096
pdpt:	.skip 4096
pd:	.skip 4 * 4096
	.skip 65536
stack_top:
	.globl boot_eax, boot_ebx
boot_eax: .skip 4
boot_ebx: .skip 4
	.section .note.GNU-stack, "", @progbits
