/* SPDX-License-Identifier: MIT */
/* The host's pages, from malloc(): a sanitizer sees what is not given back. */
#ifndef TESTS_HOST_PAGES_H
#define TESTS_HOST_PAGES_H

#include <internal/host.h>
#include <stdlib.h>
#include <string.h>

bool host_context_firmware = true;

void *host_alloc_pages(u32 pages)
{
	void *ptr = aligned_alloc(PAGE_SIZE, pages * PAGE_SIZE);

	memset(ptr, 0, pages * PAGE_SIZE);
	return ptr;
}

void host_free_pages(void *ptr, u32 pages)
{
	(void)pages;
	free(ptr);
}

void host_refill_pages(void)
{
}

#endif
