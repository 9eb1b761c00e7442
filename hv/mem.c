/* SPDX-License-Identifier: MIT */
/*
 * Who may write what: a page is writable when its leaf has the write bit and no table on the way
 * from the root is marked shared. A table that is reached without passing a shared entry has one
 * reference. Below a shared entry the bits say nothing about who else is there: they are set right
 * when somebody makes the table his own.
 */
#include <arch/page.h>
#include <hv/log.h>
#include <internal/mem.h>
#include <string.h>

#define ENTRIES     512u
#define TOP_LEVEL   3u
#define BLOCK_LEVEL 1u /* the level whose leaves are blocks */
#define BLOCK_PAGES 512u
#define BLOCK_SIZE  MIB(2)
#define GPA_END     BIT(48)

/* ---- pool ---- */

/* In place of the second count of a block in one piece, whose first count is for all of it. */
#define WHOLE UINT32_MAX

struct free_link {
	struct free_link *next;
};

void pool_init(struct pool *pool)
{
	*pool = (struct pool){.lock = LOCK_INIT(POOL)};
}

static void push(void **list, void *ptr)
{
	struct free_link *link = ptr;

	link->next = *list;
	*list = link;
}

static void *pop(void **list)
{
	struct free_link *link = *list;

	*list = link->next;
	return link;
}

static void put_block(struct pool *pool, void *ptr)
{
	push(&pool->block_list, ptr);
	pool->free_blocks++;
}

enum hv_error pool_add(struct pool *pool, hpa_t base, u32 blocks, u32 *refs)
{
	if (!blocks || !base.v || base.v % BLOCK_SIZE)
		return HV_EINVALID;
	if (pool->extent_count == POOL_EXTENT_MAX)
		return HV_ENO_SPACE;
	lock_take(&pool->lock);
	pool->extents[pool->extent_count++] =
		(struct pool_extent){.base = base.v, .blocks = blocks, .refs = refs};
	/* The lowest is to come out first. */
	for (u32 i = blocks; i-- > 0;)
		put_block(pool, (void *)(uintptr_t)(base.v + i * BLOCK_SIZE));
	pool->free_pages += (u64)blocks * BLOCK_PAGES;
	pool->total_pages += (u64)blocks * BLOCK_PAGES;
	lock_release(&pool->lock);
	return HV_OK;
}

/* The counts of the 2 MiB unit that @addr is in. */
static inline u32 *unit_of(const struct pool *pool, u64 addr)
{
	static u32 near; /* pages that are used together mostly are of one extent */
	u32 i = near;

	if (i >= pool->extent_count ||
	    addr - pool->extents[i].base >= pool->extents[i].blocks * BLOCK_SIZE) {
		for (i = 0; i < pool->extent_count; i++)
			if (addr - pool->extents[i].base < pool->extents[i].blocks * BLOCK_SIZE)
				break;
		if (i == pool->extent_count)
			panic("%#llx is not of the pool", (unsigned long long)addr);
		near = i;
	}
	return pool->extents[i].refs + (addr - pool->extents[i].base) / BLOCK_SIZE * BLOCK_PAGES;
}

/* The count that stands for the page at @addr: its own, or that of the block it is a part of. */
static inline u32 *count_of(const struct pool *pool, u64 addr)
{
	u32 *unit = unit_of(pool, addr);

	return unit[1] == WHOLE ? unit : unit + addr / PAGE_SIZE % BLOCK_PAGES;
}

static bool all_free(const u32 *unit)
{
	for (u32 i = 0; i < BLOCK_PAGES; i++)
		if (unit[i])
			return false;
	return true;
}

/*
 * Makes blocks of what has come back page by page. Only when there is no free block: then a unit
 * whose counts are all 0 is one of free pages.
 */
static void merge_pages(struct pool *pool)
{
	void *pages = pool->page_list;
	bool any = false;

	for (u32 i = 0; i < pool->extent_count; i++) {
		const struct pool_extent *extent = &pool->extents[i];

		for (u32 b = 0; b < extent->blocks; b++) {
			u32 *unit = extent->refs + (size_t)b * BLOCK_PAGES;

			if (all_free(unit)) {
				unit[1] = WHOLE;
				any = true;
			}
		}
	}
	if (!any)
		return;
	pool->page_list = NULL;
	while (pages) {
		void *page = pop(&pages);
		u64 addr = (u64)(uintptr_t)page;

		if (unit_of(pool, addr)[1] != WHOLE)
			push(&pool->page_list, page);
		else if (addr % BLOCK_SIZE == 0)
			put_block(pool, page);
	}
	for (struct free_link *block = pool->block_list; block; block = block->next)
		unit_of(pool, (u64)(uintptr_t)block)[1] = 0;
}

void *pool_alloc_block(struct pool *pool)
{
	void *block;
	u32 *unit;

	if (!pool->block_list && pool->free_pages >= BLOCK_PAGES)
		merge_pages(pool);
	if (!pool->block_list)
		return NULL;
	block = pop(&pool->block_list);
	unit = unit_of(pool, (u64)(uintptr_t)block);
	unit[0] = 1;
	unit[1] = WHOLE;
	pool->free_blocks--;
	pool->free_pages -= BLOCK_PAGES;
	return block;
}

static void *pop_zeroed(struct pool *pool)
{
	pool->free_pages--;
	return pool->zeroed[--pool->zeroed_count];
}

void *pool_alloc_page(struct pool *pool)
{
	void *page;

	if (!pool->page_list) {
		u8 *block;

		if (!pool->block_list)
			return pool->zeroed_count ? pop_zeroed(pool) : NULL;
		block = pop(&pool->block_list);
		pool->free_blocks--;
		for (u32 i = BLOCK_PAGES; i-- > 0;)
			push(&pool->page_list, block + i * PAGE_SIZE);
	}
	page = pop(&pool->page_list);
	*count_of(pool, (u64)(uintptr_t)page) = 1;
	pool->free_pages--;
	return page;
}

void *pool_alloc_zeroed(struct pool *pool)
{
	void *page;

	if (pool->zeroed_count)
		return pop_zeroed(pool);
	page = pool_alloc_page(pool);
	if (page)
		page_zero(page);
	return page;
}

void pool_prepare(struct pool *pool)
{
	lock_take(&pool->lock);
	/* Their counts are 1 already, so that nobody takes them for parts of a free block. */
	while (pool->zeroed_count < POOL_ZEROED && (pool->page_list || pool->block_list)) {
		void *page = pool_alloc_page(pool);

		page_zero(page);
		pool->zeroed[pool->zeroed_count++] = page;
		pool->free_pages++;
	}
	lock_release(&pool->lock);
}

void pool_ref(struct pool *pool, const void *ptr, u32 count)
{
	*count_of(pool, (u64)(uintptr_t)ptr) += count;
}

void pool_unref(struct pool *pool, void *ptr)
{
	u64 addr = (u64)(uintptr_t)ptr;
	u32 *unit = unit_of(pool, addr);

	if (unit[1] == WHOLE) {
		HV_ASSERT(unit[0]);
		if (--unit[0])
			return;
		unit[1] = 0;
		put_block(pool, (void *)(uintptr_t)ALIGN_DOWN(addr, BLOCK_SIZE));
		pool->free_pages += BLOCK_PAGES;
	} else {
		u32 *count = unit + addr / PAGE_SIZE % BLOCK_PAGES;

		HV_ASSERT(*count);
		if (--*count)
			return;
		push(&pool->page_list, (void *)(uintptr_t)ALIGN_DOWN(addr, PAGE_SIZE));
		pool->free_pages++;
	}
}

u32 pool_refs(const struct pool *pool, const void *ptr)
{
	return *count_of(pool, (u64)(uintptr_t)ptr);
}

void *pool_get_page(struct pool *pool)
{
	void *page;

	lock_take(&pool->lock);
	page = pool_alloc_page(pool);
	lock_release(&pool->lock);
	return page;
}

void pool_put_page(struct pool *pool, void *page)
{
	lock_take(&pool->lock);
	pool_unref(pool, page);
	lock_release(&pool->lock);
}

/* ---- entries; one that is 0 is not there ---- */

static inline u64 entry_address(const struct stage2_format *format, u64 entry)
{
	return entry & format->address_mask;
}

static inline u64 *entry_table(const struct stage2_format *format, u64 entry)
{
	return (u64 *)(uintptr_t)entry_address(format, entry);
}

static inline bool entry_is_shared_table(const struct stage2_format *format, u64 entry)
{
	return entry & format->shared_bit;
}

static inline bool entry_is_leaf(const struct stage2_format *format, u64 entry, u32 level)
{
	return level == 0 || (level == BLOCK_LEVEL && !entry_is_shared_table(format, entry) &&
			      (entry & format->leaf_bit) == format->leaf_value);
}

static inline u64 address_of(const void *ptr)
{
	return (u64)(uintptr_t)ptr;
}

static inline u64 *entry_at(u64 *table, u64 gpa, u32 level)
{
	return &table[gpa >> (PAGE_SHIFT + 9 * level) & (ENTRIES - 1)];
}

static inline void set_entry(const struct stage2_format *format, u64 *entry, u64 value)
{
	/* A table is complete before anything points to it. */
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
	if (format->sync)
		format->sync(entry, sizeof(*entry));
}

static inline void sync_table(const struct stage2_format *format, const u64 *table)
{
	if (format->sync)
		format->sync(table, PAGE_SIZE);
}

/* The bits of eight entries together. */
static inline u64 eight(const u64 *entry)
{
	return entry[0] | entry[1] | entry[2] | entry[3] | entry[4] | entry[5] | entry[6] |
	       entry[7];
}

/* Entries that are looked at together: most are absent in most tables. */
#define GROUP 16

static inline bool group_absent(const u64 *entry)
{
	return !(eight(entry) | eight(entry + 8));
}

/* @entry of @level as somebody has it who shares what is below. */
static inline u64 shared_entry(const struct stage2_format *format, u64 entry, u32 level)
{
	if (!entry)
		return 0;
	if (entry_is_leaf(format, entry, level))
		return entry & ~format->write_bit;
	return entry_address(format, entry) | format->table_shared_bits;
}

/* Takes the write bits out of a table that was shared and is not any more. */
static void unshare_entries(const struct stage2_format *format, u64 *table, u32 level)
{
	/* Each at once: the hardware may walk it, read-only, all the time. */
	for (u32 i = 0; i < ENTRIES; i++)
		__atomic_store_n(&table[i], shared_entry(format, table[i], level),
				 __ATOMIC_RELAXED);
	sync_table(format, table);
}

/* share_entries() for a @level that the compiler knows. */
__attribute__((always_inline)) static inline void share_level(const struct stage2_format *format,
							      const struct pool *pool, u64 *to,
							      const u64 *from, u32 level)
{
	/* Neighbours in a table mostly are neighbours in the pool. */
	u64 near = UINT64_MAX;
	u64 address_mask = format->address_mask;
	u64 leaf_mask = ~format->write_bit;
	u32 *unit = NULL;
	u64 mask = 0;

	for (u32 i = 0; i < ENTRIES; i += GROUP) {
		if (group_absent(from + i))
			continue;
		for (u32 j = i; j < i + GROUP; j++) {
			u64 entry = from[j];
			u64 addr = entry & address_mask;

			if (!entry)
				continue;
			to[j] = level == 0 ? entry & leaf_mask : shared_entry(format, entry, level);
			if (addr / BLOCK_SIZE != near) {
				near = addr / BLOCK_SIZE;
				unit = unit_of(pool, addr);
				mask = unit[1] == WHOLE ? 0 : BLOCK_PAGES - 1;
			}
			unit[addr / PAGE_SIZE & mask]++;
		}
	}
	sync_table(format, to);
}

/*
 * Fills @to, which is zeroed, with the entries of @from as shared ones, with a reference more to
 * all of them.
 */
static void share_entries(const struct stage2_format *format, const struct pool *pool, u64 *to,
			  const u64 *from, u32 level)
{
	/* Leaf tables are copied most, and each of their entries counts. */
	if (level == 0)
		share_level(format, pool, to, from, 0);
	else
		share_level(format, pool, to, from, level);
}

/* Drops the reference of each entry of a leaf table. */
static void unref_leaves(const struct stage2_format *format, struct pool *pool, const u64 *table)
{
	u64 near = UINT64_MAX;
	u32 *unit = NULL;
	u64 mask = 0;

	for (u32 i = 0; i < ENTRIES; i++) {
		u64 addr;

		if (i % GROUP == 0 && group_absent(table + i)) {
			i += GROUP - 1;
			continue;
		}
		if (!table[i])
			continue;
		addr = entry_address(format, table[i]);
		if (addr / BLOCK_SIZE != near) {
			near = addr / BLOCK_SIZE;
			unit = unit_of(pool, addr);
			mask = unit[1] == WHOLE ? 0 : BLOCK_PAGES - 1;
		}
		if (unit[addr / PAGE_SIZE & mask] > 1) {
			unit[addr / PAGE_SIZE & mask]--;
			continue;
		}
		/* The last one; the unit may be another kind of unit then. */
		pool_unref(pool, (void *)(uintptr_t)addr);
		near = UINT64_MAX;
	}
}

static void unref_table(const struct stage2_format *format, struct pool *pool, u64 *table,
			u32 level)
{
	u32 count = pool_refs(pool, table) == 1 ? ENTRIES : 0;

	if (count && level == 0) {
		unref_leaves(format, pool, table);
		count = 0;
	}
	for (u32 i = 0; i < count; i++) {
		u64 *child;

		if (i % GROUP == 0 && group_absent(table + i)) {
			i += GROUP - 1;
			continue;
		}
		if (!table[i])
			continue;
		child = entry_table(format, table[i]);
		if (entry_is_leaf(format, table[i], level))
			pool_unref(pool, child);
		else
			unref_table(format, pool, child, level - 1);
	}
	pool_unref(pool, table);
}

/* ---- pages ---- */

/* For all that becomes a guest's: filled in, copied, or written on its behalf. */
static void publish(const struct stage2_format *format, const void *ptr, size_t bytes)
{
	if (format->publish)
		format->publish(ptr, bytes);
}

static void *alloc_zeroed_block(struct pool *pool)
{
	u8 *block = pool_alloc_block(pool);

	if (block)
		for (u32 i = 0; i < BLOCK_PAGES; i++)
			page_zero(block + i * PAGE_SIZE);
	return block;
}

static void cache_clear(struct mem *mem)
{
	mem->generation++;
	memset(mem->cache_tag, 0, sizeof(mem->cache_tag));
}

static void cache_drop(struct mem *mem, u64 gpa)
{
	u64 number = gpa >> PAGE_SHIFT;

	mem->generation++;
	if (mem->cache_tag[number % MEM_CACHE] == number + 1)
		mem->cache_tag[number % MEM_CACHE] = 0;
}

/* ---- slots ---- */

static const struct mem_slot *slot_of(const struct mem *mem, u64 gpa)
{
	for (u32 i = 0; i < mem->slot_count; i++)
		if (gpa - mem->slots[i].base < mem->slots[i].length)
			return &mem->slots[i];
	return NULL;
}

bool mem_covers(const struct mem *mem, gpa_t gpa)
{
	const struct mem_slot *slot = slot_of(mem, gpa.v);

	return slot && slot->kind != MEM_MAPPED;
}

static enum hv_error add_slot(struct mem *mem, gpa_t base, u64 length, enum mem_kind kind, u64 host)
{
	if (!length || base.v % PAGE_SIZE || length % PAGE_SIZE || base.v >= GPA_END ||
	    length > GPA_END - base.v)
		return HV_EINVALID;
	for (u32 i = 0; i < mem->slot_count; i++) {
		const struct mem_slot *slot = &mem->slots[i];

		if (slot->base < base.v + length && base.v < slot->base + slot->length)
			return HV_EEXISTS;
	}
	if (mem->slot_count == MEM_SLOT_MAX)
		return HV_ENO_SPACE;
	mem->slots[mem->slot_count++] =
		(struct mem_slot){.base = base.v, .length = length, .kind = kind, .host = host};
	return HV_OK;
}

enum hv_error mem_add(struct mem *mem, gpa_t base, u64 length, enum mem_kind kind)
{
	return add_slot(mem, base, length, kind, 0);
}

enum hv_error mem_add_mapped(struct mem *mem, gpa_t base, u64 length, hpa_t host)
{
	if (!mem->format->mapped_bits || host.v % PAGE_SIZE)
		return HV_EINVALID;
	return add_slot(mem, base, length, MEM_MAPPED, host.v);
}

/* ---- the layout, for snapshots ---- */

void mem_layout_get(const struct mem_slot *slots, u32 count, struct mem_layout *layout)
{
	*layout = (struct mem_layout){0};
	for (u32 i = 0; i < count; i++) {
		const struct mem_slot *slot = &slots[i];

		if (slot->kind != MEM_MAPPED)
			layout->slots[layout->count++] = (struct mem_layout_slot){
				.base = slot->base, .length = slot->length, .kind = slot->kind};
	}
}

static enum hv_error layout_check(const void *obj, const char **why)
{
	const struct mem_layout *layout = obj;

	if (layout->count > MEM_SLOT_MAX) {
		*why = "there are more pieces of memory than any machine has";
		return HV_EINVALID;
	}
	return HV_OK;
}

#define LAYOUT_FIELDS(SAVED, TRANSIENT)                                                            \
	SAVED(struct mem_layout, count)                                                            \
	SAVED(struct mem_layout, pad)                                                              \
	SAVED(struct mem_layout, slots)

STATE_DEFINE(mem_layout_state, "layout", 1, struct mem_layout, LAYOUT_FIELDS,
	     .check = layout_check);

/* ---- layers ---- */

void mem_init_blank(struct mem *mem, const struct stage2_format *format, struct pool *pool)
{
	*mem = (struct mem){.format = format, .pool = pool, .generation = 1};
}

enum hv_error mem_init(struct mem *mem, const struct stage2_format *format, struct pool *pool)
{
	u64 *root;

	lock_take(&pool->lock);
	root = pool_alloc_zeroed(pool);
	lock_release(&pool->lock);
	if (!root)
		return HV_ENO_MEMORY;
	sync_table(format, root);
	mem_init_blank(mem, format, pool);
	mem->root = root;
	mem->table_pages = 1;
	return HV_OK;
}

enum hv_error mem_init_like(struct mem *mem, const struct mem *like)
{
	enum hv_error err = mem_init(mem, like->format, like->pool);

	if (err)
		return err;
	/* By pages: what is not written takes no memory. */
	mem->over_image = true;
	mem->slot_count = like->slot_count;
	memcpy(mem->slots, like->slots, like->slot_count * sizeof(like->slots[0]));
	return HV_OK;
}

/*
 * Takes out the leaves of mapped registers, which nobody counts. They are only ever in tables of
 * this layer's own, as they go before its tables are shared.
 */
static void unmap_registers(struct mem *mem)
{
	for (u32 i = 0; i < mem->slot_count; i++) {
		const struct mem_slot *slot = &mem->slots[i];

		if (slot->kind != MEM_MAPPED)
			continue;
		for (u64 at = slot->base; at < slot->base + slot->length; at += PAGE_SIZE) {
			u64 *table = mem->root;

			for (u32 level = TOP_LEVEL; level > 0 && table; level--) {
				const u64 *entry = entry_at(table, at, level);

				table = !*entry || entry_is_shared_table(mem->format, *entry)
						? NULL
						: entry_table(mem->format, *entry);
			}
			if (table)
				set_entry(mem->format, entry_at(table, at, 0), 0);
		}
	}
}

static void end_source(struct mem *mem)
{
	struct mem_source *source = mem->source;

	mem->source = NULL;
	if (source)
		source->end(source);
}

void mem_fini(struct mem *mem)
{
	end_source(mem);
	if (mem->root) {
		unmap_registers(mem);
		lock_take(&mem->pool->lock);
		unref_table(mem->format, mem->pool, mem->root, TOP_LEVEL);
		lock_release(&mem->pool->lock);
	}
	*mem = (struct mem){0};
}

/* A root through which everything below @from is seen as shared; NULL without memory. */
static u64 *share_root(const struct stage2_format *format, struct pool *pool, const u64 *from)
{
	u64 *root;

	lock_take(&pool->lock);
	root = pool_alloc_zeroed(pool);
	if (root)
		share_entries(format, pool, root, from, TOP_LEVEL);
	lock_release(&pool->lock);
	return root;
}

static void invalidate(struct mem *mem)
{
	if (mem->invalidate)
		mem->invalidate(mem);
}

static void begin_layer(struct mem *mem, u64 *root)
{
	mem->root = root;
	mem->over_image = true;
	end_source(mem);
	mem->private_pages = 0;
	mem->table_pages = 1;
	cache_clear(mem);
	invalidate(mem);
}

/* @image is what @mem holds, which is not its own from then on. */
static void give_to_image(const struct mem *mem, struct mem_image *image)
{
	image->format = mem->format;
	image->pool = mem->pool;
	image->root = mem->root;
	image->slot_count = mem->slot_count;
	memcpy(image->slots, mem->slots, mem->slot_count * sizeof(mem->slots[0]));
}

enum hv_error mem_freeze(struct mem *mem, struct mem_image *image)
{
	u64 *root;

	unmap_registers(mem);
	root = share_root(mem->format, mem->pool, mem->root);
	if (!root) {
		invalidate(mem);
		return HV_ENO_MEMORY;
	}
	give_to_image(mem, image);
	begin_layer(mem, root);
	return HV_OK;
}

void mem_image_fini(struct mem_image *image)
{
	if (image->root) {
		lock_take(&image->pool->lock);
		unref_table(image->format, image->pool, image->root, TOP_LEVEL);
		lock_release(&image->pool->lock);
	}
	*image = (struct mem_image){0};
}

enum hv_error mem_attach(struct mem *mem, const struct mem_image *image, struct mem_image *old)
{
	u64 *root;

	if (mem->format != image->format || mem->pool != image->pool)
		return HV_EINVALID;
	root = share_root(image->format, image->pool, image->root);
	if (!root)
		return HV_ENO_MEMORY;
	unmap_registers(mem);
	give_to_image(mem, old);
	begin_layer(mem, root);
	mem->slot_count = image->slot_count;
	memcpy(mem->slots, image->slots, image->slot_count * sizeof(mem->slots[0]));
	return HV_OK;
}

/* ---- the way down ---- */

/* The leaf of @gpa as it is, whoever shares it; its page in *@page. 0 when it is not there. */
static u64 look_up(const struct mem *mem, u64 gpa, u8 **page, bool *writable)
{
	const struct stage2_format *format = mem->format;
	u64 *table = mem->root;
	u64 entry;
	bool shared = false;
	u32 level = TOP_LEVEL;

	for (;;) {
		entry = *entry_at(table, gpa, level);
		if (!entry)
			return 0;
		if (entry_is_leaf(format, entry, level))
			break;
		shared |= entry_is_shared_table(format, entry);
		table = entry_table(format, entry);
		level--;
	}
	*writable = !shared && (entry & format->write_bit);
	*page = (u8 *)(uintptr_t)entry_address(format, entry);
	if (level == BLOCK_LEVEL)
		*page += ALIGN_DOWN(gpa & (BLOCK_SIZE - 1), PAGE_SIZE);
	return entry;
}

const u8 *mem_image_next(const struct mem_image *image, u64 *gpa)
{
	const struct stage2_format *format = image->format;
	u64 at = *gpa;

	while (at < GPA_END) {
		u64 *table = image->root;
		u32 level = TOP_LEVEL;
		u64 entry = *entry_at(table, at, level);

		while (entry && !entry_is_leaf(format, entry, level)) {
			table = entry_table(format, entry);
			entry = *entry_at(table, at, --level);
		}
		if (entry) {
			u64 offset = level ? at & (BLOCK_SIZE - 1) : 0;

			*gpa = ALIGN_DOWN(at, PAGE_SIZE);
			return (const u8 *)(uintptr_t)(entry_address(format, entry) +
						       ALIGN_DOWN(offset, PAGE_SIZE));
		}
		/* Over all that the missing entry stands for. */
		at = ALIGN_DOWN(at, BIT(PAGE_SHIFT + 9 * level)) + BIT(PAGE_SHIFT + 9 * level);
	}
	return NULL;
}

/*
 * Gives an entry that may be in use another table or page: first it is gone for every processor,
 * then the new one is there. Arm ARM D8.14.1, "break-before-make"; elsewhere too no two processors
 * may see two pages in one place.
 */
static void replace_entry(struct mem *mem, u64 *entry, u64 value)
{
	set_entry(mem->format, entry, 0);
	invalidate(mem);
	set_entry(mem->format, entry, value);
}

/* Makes the shared table of @level that @entry points to this layer's own. */
static enum hv_error own_table(struct mem *mem, u64 *entry, u32 level)
{
	const struct stage2_format *format = mem->format;
	u64 *old = entry_table(format, *entry);
	u64 *table = old;
	u64 value;

	if (pool_refs(mem->pool, old) == 1) {
		/* The others are gone. What is below may still be shared. */
		unshare_entries(format, old, level);
	} else {
		table = pool_alloc_zeroed(mem->pool);
		if (!table)
			return HV_ENO_MEMORY;
		share_entries(format, mem->pool, table, old, level);
		mem->table_pages++;
	}
	value = address_of(table) | format->table_bits;
	if (level == TOP_LEVEL - 1) {
		/* Walks may begin below the root: with what is there when it was invalidated. */
		set_entry(format, entry, value);
		invalidate(mem);
	} else if (*entry & format->present_bit) {
		replace_entry(mem, entry, value);
	} else {
		/* What it could not walk, the hardware has not cached. */
		set_entry(format, entry, value);
	}
	if (table != old)
		pool_unref(mem->pool, old);
	return HV_OK;
}

/* Replaces the read-only block that @entry maps by a table of its pages. */
static enum hv_error split_block(struct mem *mem, u64 *entry)
{
	const struct stage2_format *format = mem->format;
	u64 block = entry_address(format, *entry);
	u64 *table = pool_alloc_page(mem->pool);

	if (!table)
		return HV_ENO_MEMORY;
	for (u32 i = 0; i < ENTRIES; i++)
		table[i] = (block + i * PAGE_SIZE) | (format->page_bits & ~format->write_bit);
	sync_table(format, table);
	/* The block's one reference becomes one for each of its pages. */
	*count_of(mem->pool, block) += BLOCK_PAGES - 1;
	mem->table_pages++;
	replace_entry(mem, entry, address_of(table) | format->table_bits);
	return HV_OK;
}

/* Maps a new table, or a new block where one fits, at the empty @entry of @level. */
static enum hv_error fill_table(struct mem *mem, u64 *entry, u32 level, u64 gpa)
{
	const struct stage2_format *format = mem->format;
	u64 base = ALIGN_DOWN(gpa, BLOCK_SIZE);
	void *ptr;

	if (level == BLOCK_LEVEL && !mem->over_image) {
		const struct mem_slot *slot = slot_of(mem, gpa);

		if (base >= slot->base && slot->base + slot->length - base >= BLOCK_SIZE) {
			ptr = alloc_zeroed_block(mem->pool);
			if (ptr) {
				publish(format, ptr, BLOCK_SIZE);
				mem->private_pages += BLOCK_PAGES;
				set_entry(format, entry, address_of(ptr) | format->block_bits);
				return HV_OK;
			}
		}
	}
	ptr = pool_alloc_zeroed(mem->pool);
	if (!ptr)
		return HV_ENO_MEMORY;
	sync_table(format, ptr);
	mem->table_pages++;
	set_entry(format, entry, address_of(ptr) | format->table_bits);
	/* As in own_table(). */
	if (level == TOP_LEVEL)
		invalidate(mem);
	return HV_OK;
}

/* Maps what belongs at @gpa at the empty leaf @entry. */
static enum hv_error fill_leaf(struct mem *mem, u64 *entry, u64 gpa)
{
	const struct stage2_format *format = mem->format;
	const struct mem_slot *slot = slot_of(mem, gpa);
	void *page;

	if (slot->kind == MEM_MAPPED) {
		u64 offset = ALIGN_DOWN(gpa - slot->base, PAGE_SIZE);

		set_entry(format, entry, (slot->host + offset) | format->mapped_bits);
		return HV_OK;
	}
	page = pool_alloc_zeroed(mem->pool);
	if (!page)
		return HV_ENO_MEMORY;
	publish(format, page, PAGE_SIZE);
	mem->private_pages++;
	set_entry(format, entry, address_of(page) | format->page_bits);
	return HV_OK;
}

/* The leaf of @level, page or block, is there and not writable, and nobody else has it. */
static void make_writable(struct mem *mem, u64 *entry)
{
	set_entry(mem->format, entry, *entry | mem->format->write_bit);
	invalidate(mem);
}

/* The page comes by mem_write(), and from a volume, for which nobody else has to wait. */
static bool bring(struct mem *mem, u64 gpa)
{
	bool there;

	lock_release(&mem->pool->lock);
	there = mem->source->bring(mem->source, GPA(gpa));
	lock_take(&mem->pool->lock);
	return there;
}

/*
 * Makes every table on the way to @gpa this layer's own and fills in what is not there, or, if
 * @write, copies what is shared. @gpa lies in a slot.
 */
static enum hv_error own_page_locked(struct mem *mem, u64 gpa, bool write)
{
	const struct stage2_format *format = mem->format;
	struct pool *pool = mem->pool;
	u64 *table = mem->root;
	u64 *entry;
	void *page, *old;

	for (u32 level = TOP_LEVEL; level > 0; level--) {
		enum hv_error err = HV_OK;

		entry = entry_at(table, gpa, level);
		if (!*entry)
			err = fill_table(mem, entry, level, gpa);
		else if (entry_is_shared_table(format, *entry))
			err = own_table(mem, entry, level - 1);
		if (err)
			return err;
		if (entry_is_leaf(format, *entry, level)) {
			if (!write || (*entry & format->write_bit))
				return HV_OK;
			if (*count_of(pool, entry_address(format, *entry)) == 1) {
				make_writable(mem, entry);
				return HV_OK;
			}
			err = split_block(mem, entry);
			if (err)
				return err;
		}
		table = entry_table(format, *entry);
	}

	entry = entry_at(table, gpa, 0);
	if (!*entry && mem->source && !bring(mem, gpa))
		return HV_ENO_MEMORY;
	if (!*entry)
		return fill_leaf(mem, entry, gpa);
	if (!write || (*entry & format->write_bit))
		return HV_OK;
	old = entry_table(format, *entry);
	if (pool_refs(pool, old) == 1) {
		make_writable(mem, entry);
		return HV_OK;
	}
	page = pool_alloc_page(pool);
	if (!page)
		return HV_ENO_MEMORY;
	page_copy(page, old);
	publish(format, page, PAGE_SIZE);
	mem->private_pages++;
	replace_entry(mem, entry, address_of(page) | format->page_bits);
	pool_unref(pool, old);
	cache_drop(mem, gpa);
	return HV_OK;
}

static enum hv_error own_page(struct mem *mem, u64 gpa, bool write)
{
	enum hv_error err;

	lock_take(&mem->pool->lock);
	err = own_page_locked(mem, gpa, write);
	lock_release(&mem->pool->lock);
	return err;
}

enum hv_error mem_fault(struct mem *mem, gpa_t gpa, bool is_write)
{
	u8 *page;
	bool writable;

	if (!slot_of(mem, gpa.v))
		return HV_ENOT_FOUND;
	if (!is_write && mem->format->shared_walkable && look_up(mem, gpa.v, &page, &writable))
		return HV_OK;
	return own_page(mem, gpa.v, is_write);
}

/* What mem_page() does when the cache has no answer. */
static u8 *find_page(struct mem *mem, u64 gpa, bool for_write)
{
	u64 number = gpa >> PAGE_SHIFT;
	u64 at = number % MEM_CACHE;
	u8 *page = NULL;
	bool writable = false;

	if (!mem_covers(mem, GPA(gpa)))
		return NULL;
	if (!look_up(mem, gpa, &page, &writable) || (for_write && !writable)) {
		if (own_page(mem, gpa, for_write))
			return NULL;
		if (!look_up(mem, gpa, &page, &writable))
			return NULL;
	}
	mem->cache_tag[at] = number + 1;
	mem->cache_page[at] = page;
	mem->cache_writable[at] = writable;
	return page;
}

u8 *mem_page(struct mem *mem, gpa_t gpa, bool for_write)
{
	u64 number = gpa.v >> PAGE_SHIFT;
	u64 at = number % MEM_CACHE;

	if (mem->cache_tag[at] == number + 1 && (!for_write || mem->cache_writable[at]))
		return mem->cache_page[at];
	return find_page(mem, gpa.v, for_write);
}

/* Between guest memory and a buffer, within a page; a whole one where both are aligned. */
static void copy_part(void *to, const void *from, size_t part)
{
	if (part == PAGE_SIZE && !(((uintptr_t)to | (uintptr_t)from) % sizeof(u64)))
		page_copy(to, from);
	else
		memcpy(to, from, part);
}

bool mem_holds(const struct mem *mem, gpa_t from, u64 length)
{
	while (length) {
		const struct mem_slot *slot = slot_of(mem, from.v);
		u64 in_slot;

		if (!slot || slot->kind == MEM_MAPPED)
			return false;
		in_slot = min_u64(length, slot->base + slot->length - from.v);
		from.v += in_slot;
		length -= in_slot;
	}
	return true;
}

enum hv_error mem_read(struct mem *mem, gpa_t from, void *buf, size_t length)
{
	u8 *to = buf;

	if (!mem_holds(mem, from, length))
		return HV_ENOT_FOUND;
	while (length) {
		u64 offset = from.v % PAGE_SIZE;
		size_t part = (size_t)min_u64(length, PAGE_SIZE - offset);
		const u8 *page = mem_page(mem, from, false);

		if (!page)
			return HV_ENO_MEMORY;
		copy_part(to, page + offset, part);
		to += part;
		from.v += part;
		length -= part;
	}
	return HV_OK;
}

enum hv_error mem_write(struct mem *mem, gpa_t to, const void *buf, size_t length)
{
	const u8 *from = buf;

	if (!mem_holds(mem, to, length))
		return HV_ENOT_FOUND;
	while (length) {
		u64 offset = to.v % PAGE_SIZE;
		size_t part = (size_t)min_u64(length, PAGE_SIZE - offset);
		u8 *page = mem_page(mem, to, true);

		if (!page)
			return HV_ENO_MEMORY;
		copy_part(page + offset, from, part);
		publish(mem->format, page + offset, part);
		from += part;
		to.v += part;
		length -= part;
	}
	return HV_OK;
}
