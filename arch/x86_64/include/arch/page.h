/* SPDX-License-Identifier: MIT */
/* Whole pages of 4 KiB, aligned to 8 bytes, without vector registers. */
#ifndef ARCH_PAGE_H
#define ARCH_PAGE_H

#include <hv/types.h>

static inline void page_copy(void *to, const void *from)
{
	u64 words = PAGE_SIZE / 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

static inline void page_zero(void *page)
{
	u64 words = PAGE_SIZE / 8;

	__asm__ volatile("rep stosq" : "+D"(page), "+c"(words) : "a"((u64)0) : "memory");
}

#endif
