/* SPDX-License-Identifier: MIT */
/* Whole pages of 4 KiB, aligned to 8 bytes, without vector registers. */
#ifndef ARCH_PAGE_H
#define ARCH_PAGE_H

#include <hv/types.h>

static inline void page_copy(void *to, const void *from)
{
	u8 *end = (u8 *)to + PAGE_SIZE;

	__asm__ volatile("1:	ldp x4, x5, [%1], #64\n"
			 "	ldp x6, x7, [%1, #-48]\n"
			 "	ldp x8, x9, [%1, #-32]\n"
			 "	ldp x10, x11, [%1, #-16]\n"
			 "	stp x4, x5, [%0], #64\n"
			 "	stp x6, x7, [%0, #-48]\n"
			 "	stp x8, x9, [%0, #-32]\n"
			 "	stp x10, x11, [%0, #-16]\n"
			 "	cmp %0, %2\n"
			 "	b.ne 1b"
			 : "+r"(to), "+r"(from)
			 : "r"(end)
			 : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "cc", "memory");
}

/* Not DC ZVA: a guest's memory may be what the firmware maps as it pleases, and it can be off. */
static inline void page_zero(void *page)
{
	u8 *end = (u8 *)page + PAGE_SIZE;

	__asm__ volatile("1:	stp xzr, xzr, [%0], #64\n"
			 "	stp xzr, xzr, [%0, #-48]\n"
			 "	stp xzr, xzr, [%0, #-32]\n"
			 "	stp xzr, xzr, [%0, #-16]\n"
			 "	cmp %0, %1\n"
			 "	b.ne 1b"
			 : "+r"(page)
			 : "r"(end)
			 : "cc", "memory");
}

#endif
