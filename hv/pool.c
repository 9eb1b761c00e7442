/* SPDX-License-Identifier: MIT */
#include <hv/log.h>
#include <internal/host.h>
#include <internal/pool.h>
#include <internal/snapshot.h>

#define BLOCK_PAGES   512u
#define REFILL_BLOCKS 16u

struct pool machine_pool = {.lock = LOCK_INIT(POOL)};

/* Pages for the reference counts of @blocks. */
static u32 count_pages(u32 blocks)
{
	return (u32)pages_of(blocks * BLOCK_PAGES * sizeof(u32));
}

/* Takes @blocks from the firmware, in as few pieces as it has; returns how many it got. */
static u32 take(u32 blocks)
{
	u32 got = 0;
	u32 piece = blocks;

	while (got < blocks && piece && machine_pool.extent_count < POOL_EXTENT_MAX) {
		hpa_t base;
		u32 *refs;

		piece = (u32)min_u64(piece, blocks - got);
		refs = host_alloc_pages(count_pages(piece));
		if (!refs)
			break;
		if (host_alloc_blocks(piece, &base)) {
			host_free_pages(refs, count_pages(piece));
			piece /= 2;
			continue;
		}
		/* There is room in the table, and the firmware gives no memory twice. */
		enum hv_error err = pool_add(&machine_pool, base, piece, refs);

		HV_ASSERT(!err);
		got += piece;
	}
	return got;
}

static enum hv_error reserve(u64 wanted)
{
	u64 free = pool_free_pages(), blocks;

	if (free >= wanted)
		return HV_OK;
	/* Nothing is taken for what can't be had anyway. */
	if ((wanted - free) * PAGE_SIZE > host_memory_free())
		return HV_ENO_MEMORY;
	blocks = (wanted - free + BLOCK_PAGES - 1) / BLOCK_PAGES;

	return take((u32)blocks) == blocks ? HV_OK : HV_ENO_MEMORY;
}

enum hv_error pool_reserve(u64 bytes)
{
	/* Page tables come out of the pool as well: one page for each 2 MiB, and a few. */
	u64 pages = pages_of(bytes);
	u64 wanted = pages + pages / BLOCK_PAGES + 16;
	enum hv_error err = reserve(wanted);

	while (err && snapshot_drop_image())
		err = reserve(wanted);
	return err;
}

enum hv_error pool_refill(void)
{
	u64 before = pool_free_pages();

	if (take(REFILL_BLOCKS))
		return HV_OK;
	/* What only waits to be restored is on the volume as well. */
	while (pool_free_pages() <= before)
		if (!snapshot_drop_image())
			return HV_ENO_MEMORY;
	return HV_OK;
}
