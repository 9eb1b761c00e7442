/* SPDX-License-Identifier: MIT */
/* The machine's pool of guest memory, filled from the firmware. Firmware context only. */
#ifndef HV_POOL_H
#define HV_POOL_H

#include <internal/mem.h>

extern struct pool machine_pool;

/* Sees to it that @bytes more can be had, from the firmware if need be. HV_ENO_MEMORY if not. */
HV_MUST_CHECK enum hv_error pool_reserve(u64 bytes);
/* A few more MiB for VMs that have run into the bottom of the pool. */
HV_MUST_CHECK enum hv_error pool_refill(void);

/* Fills the pool up where it has fewer than @pages, for what is about to be begun. */
HV_MUST_CHECK static inline enum hv_error pool_keep(u64 pages)
{
	return machine_pool.free_pages < pages ? pool_refill() : HV_OK;
}

#endif
