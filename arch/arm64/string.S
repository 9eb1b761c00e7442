/* SPDX-License-Identifier: MIT */
/*
 * What moves, fills and compares memory, in the place of newlib's, which is built for size, a byte at a time.
 * For memory of the type Normal: accesses need not be aligned, as the firmware has SCTLR_EL2.A
 * clear (UEFI specification, section 2.3.6). General registers only: a guest's vectors may be in
 * place.
 */
	.text

/* void *memcpy(void *to, const void *from, size_t length)   x0, x1, x2 */
	.globl memcpy
	.hidden memcpy
	.type memcpy, %function
memcpy:
	mov x3, x0
copy_up:
	subs x2, x2, #64
	b.lo 2f
1:	ldp x4, x5, [x1], #64
	ldp x6, x7, [x1, #-48]
	ldp x8, x9, [x1, #-32]
	ldp x10, x11, [x1, #-16]
	stp x4, x5, [x3], #64
	stp x6, x7, [x3, #-48]
	stp x8, x9, [x3, #-32]
	stp x10, x11, [x3, #-16]
	subs x2, x2, #64
	b.hs 1b
	/* 64 too few: the lower bits are those of what is left. */
2:	tbz x2, #5, 3f
	ldp x4, x5, [x1], #32
	ldp x6, x7, [x1, #-16]
	stp x4, x5, [x3], #32
	stp x6, x7, [x3, #-16]
3:	tbz x2, #4, 4f
	ldp x4, x5, [x1], #16
	stp x4, x5, [x3], #16
4:	tbz x2, #3, 5f
	ldr x4, [x1], #8
	str x4, [x3], #8
5:	tbz x2, #2, 6f
	ldr w4, [x1], #4
	str w4, [x3], #4
6:	tbz x2, #1, 7f
	ldrh w4, [x1], #2
	strh w4, [x3], #2
7:	tbz x2, #0, 8f
	ldrb w4, [x1]
	strb w4, [x3]
8:	ret
	.size memcpy, . - memcpy

/* void *memmove(void *to, const void *from, size_t length) */
	.globl memmove
	.hidden memmove
	.type memmove, %function
memmove:
	mov x3, x0
	sub x4, x0, x1
	cmp x4, x2
	b.hs copy_up
	/* It begins inside of what is moved: from the end. */
	add x1, x1, x2
	add x3, x3, x2
	subs x2, x2, #16
	b.lo 2f
1:	ldp x4, x5, [x1, #-16]!
	stp x4, x5, [x3, #-16]!
	subs x2, x2, #16
	b.hs 1b
2:	tbz x2, #3, 3f
	ldr x4, [x1, #-8]!
	str x4, [x3, #-8]!
3:	tbz x2, #2, 4f
	ldr w4, [x1, #-4]!
	str w4, [x3, #-4]!
4:	tbz x2, #1, 5f
	ldrh w4, [x1, #-2]!
	strh w4, [x3, #-2]!
5:	tbz x2, #0, 6f
	ldrb w4, [x1, #-1]
	strb w4, [x3, #-1]
6:	ret
	.size memmove, . - memmove

/* void *memset(void *to, int byte, size_t length) */
	.globl memset
	.hidden memset
	.type memset, %function
memset:
	and x1, x1, #0xff
	mov x4, #0x0101010101010101
	mul x1, x1, x4
	mov x3, x0
	subs x2, x2, #64
	b.lo 2f
1:	stp x1, x1, [x3], #64
	stp x1, x1, [x3, #-48]
	stp x1, x1, [x3, #-32]
	stp x1, x1, [x3, #-16]
	subs x2, x2, #64
	b.hs 1b
2:	tbz x2, #5, 3f
	stp x1, x1, [x3], #32
	stp x1, x1, [x3, #-16]
3:	tbz x2, #4, 4f
	stp x1, x1, [x3], #16
4:	tbz x2, #3, 5f
	str x1, [x3], #8
5:	tbz x2, #2, 6f
	str w1, [x3], #4
6:	tbz x2, #1, 7f
	strh w1, [x3], #2
7:	tbz x2, #0, 8f
	strb w1, [x3]
8:	ret
	.size memset, . - memset

/* int memcmp(const void *a, const void *b, size_t length) */
	.globl memcmp
	.hidden memcmp
	.type memcmp, %function
memcmp:
	subs x2, x2, #8
	b.lo 2f
1:	ldr x3, [x0], #8
	ldr x4, [x1], #8
	cmp x3, x4
	b.ne 5f
	subs x2, x2, #8
	b.hs 1b
2:	adds x2, x2, #8
	b.eq 4f
3:	ldrb w3, [x0], #1
	ldrb w4, [x1], #1
	cmp w3, w4
	b.ne 6f
	subs x2, x2, #1
	b.ne 3b
4:	mov w0, #0
	ret
	/* The first byte that differs decides. */
5:	rev x3, x3
	rev x4, x4
	cmp x3, x4
6:	mov w0, #1
	cneg w0, w0, lo
	ret
	.size memcmp, . - memcmp
	.section .note.GNU-stack, "", @progbits
