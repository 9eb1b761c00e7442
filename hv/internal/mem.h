/* SPDX-License-Identifier: MIT */
/*
 * Guest memory as layers. A VM's memory is a private layer of pages over an optional frozen image;
 * the layers are the second-stage page tables themselves: tables and pages carry reference counts,
 * and freezing or cloning shares the tree below the root, read-only, in constant time. A write
 * finds its way down, copies what is shared, and goes on.
 */
#ifndef HV_MEM_INTERNAL_H
#define HV_MEM_INTERNAL_H

#include <hv/error.h>
#include <hv/mem.h>
#include <hv/state.h>
#include <hv/types.h>
#include <internal/lock.h>

/*
 * How an architecture's second-stage entries look; data only, one walker for all. 4 KiB granule,
 * 512 entries a table; level 0 is the leaf table, each level above covers 512 times more.
 */
struct stage2_format {
	u64 address_mask;      /* of the physical address in an entry */
	u64 page_bits;         /* of a writable 4 KiB leaf */
	u64 block_bits;        /* of a writable 2 MiB leaf at level 1 */
	u64 table_bits;        /* of a pointer to a table whose leaves decide what is writable */
	u64 table_shared_bits; /* of a pointer to a shared table: everything below is read-only */
	u64 write_bit;         /* clear: read-only. In leaves */
	u64 present_bit;
	u64 leaf_bit;         /* at level 1: this is a 2 MiB leaf, not a table */
	u64 leaf_value;       /* of leaf_bit that says so */
	u64 shared_bit;       /* software: the table below is shared (kept also if not present) */
	bool shared_walkable; /* the hardware walks shared tables (false: reads fault as well) */
	/* Makes @entries changed table entries visible to the hardware walker. May be NULL. */
	void (*sync)(const void *entry, size_t bytes);
	u64 mapped_bits; /* of a writable 4 KiB leaf of a device's own (MEM_MAPPED); 0: none */
	/*
	 * Makes @bytes that were just written at @ptr what every access of a guest finds there,
	 * whatever its own mapping says about caches. May be NULL.
	 */
	void (*publish)(const void *ptr, size_t bytes);
};

/* Pages taken from the firmware in blocks of 2 MiB; each 4 KiB page has a reference count. */
struct pool_extent {
	u64 base;   /* physical = virtual, 2 MiB aligned */
	u32 blocks; /* of 2 MiB */
	u32 *refs;  /* one per 4 KiB page; a 2 MiB block in one piece counts on its first */
};

#define POOL_EXTENT_MAX 64

/* What a restore takes for tables, and then some. */
#define POOL_ZEROED 8

struct pool {
	struct pool_extent extents[POOL_EXTENT_MAX];
	u32 extent_count;
	u64 free_pages;  /* 4 KiB pages, in free blocks or single */
	u64 free_blocks; /* whole free 2 MiB blocks */
	u64 total_pages;
	void *page_list;           /* free single pages, linked through themselves */
	void *block_list;          /* free blocks, linked through themselves */
	void *zeroed[POOL_ZEROED]; /* free pages, too, with one reference each */
	u32 zeroed_count;
	/* Of all members, and of all counts: whoever changes a layer has it. */
	struct lock lock;
};

void pool_init(struct pool *pool);

/*
 * Gives the pool @blocks contiguous blocks of 2 MiB at @base; @refs is zeroed memory of
 * blocks * 512 counts, kept until the pool is gone.
 */
HV_MUST_CHECK enum hv_error pool_add(struct pool *pool, hpa_t base, u32 blocks, u32 *refs);

/* ---- with the pool's lock held, or nobody else there ---- */

/* One page (4 KiB) or block (2 MiB), not zeroed, with one reference; NULL when there is none. */
void *pool_alloc_page(struct pool *pool);
void *pool_alloc_block(struct pool *pool);
/* The same as pool_alloc_page(), zeroed. */
void *pool_alloc_zeroed(struct pool *pool);
/* Adds @count references to the page or block at @ptr. */
void pool_ref(struct pool *pool, const void *ptr, u32 count);
/* Drops one reference of a page or block; frees it with the last. */
void pool_unref(struct pool *pool, void *ptr);
u32 pool_refs(const struct pool *pool, const void *ptr);

/* ---- without ---- */

void *pool_get_page(struct pool *pool);
void pool_put_page(struct pool *pool, void *page);
/* Zeroes POOL_ZEROED pages for pool_alloc_zeroed(). To be called when nobody waits. */
void pool_prepare(struct pool *pool);

enum mem_kind {
	MEM_RAM,      /* the guest's to use */
	MEM_RESERVED, /* memory of a device or of the firmware's tables: reserved in the memory map
		       */
	MEM_MAPPED,   /* registers of the machine's own that the guest may use: no memory */
};

struct mem_slot {
	u64 base;
	u64 length; /* bytes, whole pages */
	enum mem_kind kind;
	u64 host; /* MEM_MAPPED: physical address of what is there */
};

#define MEM_SLOT_MAX 16
#define MEM_CACHE    64 /* power of two */

/*
 * What a snapshot says of where memory is, as record `layout`; mapped registers are the machine's.
 */
struct mem_layout {
	u32 count;
	u32 pad;
	struct mem_layout_slot {
		u64 base;
		u64 length; /* bytes */
		u32 kind;   /* enum mem_kind */
		u32 pad;
	} slots[MEM_SLOT_MAX];
};

extern const struct state_desc mem_layout_state;

/* The layout of @count @slots. */
void mem_layout_get(const struct mem_slot *slots, u32 count, struct mem_layout *layout);

/* Where pages of a layer are that didn't come yet. */
struct mem_source {
	/*
	 * Sees to it that what belongs at @gpa is in its place, if it isn't zeros, by mem_write()
	 * of the whole page; false: it can't be had now.
	 */
	bool (*bring)(struct mem_source *source, gpa_t gpa);
	/* Brings what bring() had to refuse; false: that was nothing. Firmware context. */
	bool (*serve)(struct mem_source *source);
	/* The layer is gone. Firmware context. */
	void (*end)(struct mem_source *source);
};

/*
 * One VM's memory, protected by the VM's lock. While virtual CPUs run, pages come in and are copied
 * before they are written to; all else happens with all of them frozen.
 */
struct mem {
	const struct stage2_format *format;
	struct pool *pool;
	u64 *root;                 /* table of level 3 */
	bool over_image;           /* on top of an image: fill in by 4 KiB, not 2 MiB */
	struct mem_source *source; /* NULL: all of it is here. Of this layer alone */
	/*
	 * Entries were changed or removed, or the root has another: no processor may use what it
	 * remembers of them when this returns. NULL for a layer that no guest runs on.
	 */
	void (*invalidate)(struct mem *mem);
	u32 slot_count;
	struct mem_slot slots[MEM_SLOT_MAX];
	u64 private_pages; /* 4 KiB pages that this layer filled in or copied since it was made */
	u64 table_pages;
	u64 generation; /* another whenever a page that was there may have moved; never 0 */
	/* Recent translations, so that reading guest memory needs no walk. Tag: page number + 1. */
	u64 cache_tag[MEM_CACHE];
	u8 *cache_page[MEM_CACHE];
	u8 cache_writable[MEM_CACHE];
};

/* A frozen layer. */
struct mem_image {
	const struct stage2_format *format;
	struct pool *pool;
	u64 *root;
	u32 slot_count;
	struct mem_slot slots[MEM_SLOT_MAX];
};

HV_MUST_CHECK enum hv_error mem_init(struct mem *mem, const struct stage2_format *format,
				     struct pool *pool);
/* The same without a single table, for mem_attach() to come: before it nothing may be accessed. */
void mem_init_blank(struct mem *mem, const struct stage2_format *format, struct pool *pool);
/* Gives everything back to the pool. */
void mem_fini(struct mem *mem);

/* The same with the slots of @like, to be filled page by page with mem_write() and frozen. */
HV_MUST_CHECK enum hv_error mem_init_like(struct mem *mem, const struct mem *like);

HV_MUST_CHECK enum hv_error mem_add(struct mem *mem, gpa_t base, u64 length, enum mem_kind kind);

/*
 * Lets the guest use the machine's registers at @host, @length bytes in whole pages. No snapshot
 * has them; they are there again after each restore.
 */
HV_MUST_CHECK enum hv_error mem_add_mapped(struct mem *mem, gpa_t base, u64 length, hpa_t host);

/* Whether @gpa lies in a slot, that is: is memory, not a device. */
bool mem_covers(const struct mem *mem, gpa_t gpa);

/* Whether all of @length bytes from @from are memory, and none are registers of the machine's. */
bool mem_holds(const struct mem *mem, gpa_t from, u64 length);

/*
 * Makes @gpa accessible after a second-stage fault. HV_OK: enter again. HV_ENOT_FOUND: not memory.
 * HV_ENO_MEMORY: the pool is empty, or the page has to come from mem->source first.
 */
HV_MUST_CHECK enum hv_error mem_fault(struct mem *mem, gpa_t gpa, bool is_write);

/*
 * The host address of guest page @gpa & ~4095, filled in, and copied if shared and @for_write.
 * NULL when @gpa is not memory or none is left. Valid as long as mem->generation stays.
 */
u8 *mem_page(struct mem *mem, gpa_t gpa, bool for_write);

HV_MUST_CHECK enum hv_error mem_read(struct mem *mem, gpa_t from, void *buf, size_t length);
HV_MUST_CHECK enum hv_error mem_write(struct mem *mem, gpa_t to, const void *buf, size_t length);

/*
 * Freezes @mem's layer into @image, in constant time; @mem goes on with an empty private layer on
 * top of it. The image keeps its pages until mem_image_fini().
 */
HV_MUST_CHECK enum hv_error mem_freeze(struct mem *mem, struct mem_image *image);
void mem_image_fini(struct mem_image *image);

/*
 * The first page of @image at or above *@gpa, whose address *@gpa then is; NULL when there is none.
 * What is not there is zeros.
 */
const u8 *mem_image_next(const struct mem_image *image, u64 *gpa);

/*
 * Replaces what @mem held (or nothing, after mem_init) by a new empty layer over @image, in
 * constant time. What it held is in *@old, for the caller to give back by mem_image_fini(): that
 * takes the longer the more the guest has touched, and nobody has to wait for it.
 */
HV_MUST_CHECK enum hv_error mem_attach(struct mem *mem, const struct mem_image *image,
				       struct mem_image *old);

#endif
