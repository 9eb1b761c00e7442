/* SPDX-License-Identifier: MIT */
/* The machine's pool of guest memory, filled from the firmware. Boot CPU, firmware context. */
#ifndef HV_POOL_H
#define HV_POOL_H

#include <internal/mem.h>

extern struct pool machine_pool;

/* Sees to it that @bytes more can be had, from the firmware if need be. HV_ENO_MEMORY if not. */
HV_MUST_CHECK enum hv_error pool_reserve(u64 bytes);
/* A few more MiB for VMs that have run into the bottom of the pool. */
HV_MUST_CHECK enum hv_error pool_refill(void);

/* Pages that are free now; others may take them, or give some back, at any moment. */
static inline u64 pool_free_pages(void)
{
	u64 pages;

	lock_take(&machine_pool.lock);
	pages = machine_pool.free_pages;
	lock_release(&machine_pool.lock);
	return pages;
}

/* Fills the pool up where it has fewer than @pages, for what is about to be begun. */
HV_MUST_CHECK static inline enum hv_error pool_keep(u64 pages)
{
	return pool_free_pages() < pages ? pool_refill() : HV_OK;
}

#endif
