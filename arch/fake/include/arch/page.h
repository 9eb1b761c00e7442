/* SPDX-License-Identifier: MIT */
#ifndef ARCH_PAGE_H
#define ARCH_PAGE_H

#include <hv/types.h>
#include <string.h>

static inline void page_copy(void *to, const void *from)
{
	memcpy(to, from, PAGE_SIZE);
}

static inline void page_zero(void *page)
{
	memset(page, 0, PAGE_SIZE);
}

#endif
