/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem_model.h"

#define BLOCK_SIZE  MIB(2)
#define BLOCK_PAGES 512u
#define VMS         4u
#define IMAGES      4u

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #cond);   \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* A guest with holes, a slot of one page, a slot off the grid of blocks, and high memory. */
static const struct mem_slot layout[] = {
	{.base = 0, .length = MIB(4) + KIB(64), .kind = MEM_RAM},
	{.base = MIB(5), .length = PAGE_SIZE, .kind = MEM_RESERVED},
	{.base = GIB(1) - MIB(1), .length = MIB(2), .kind = MEM_RAM},
	{.base = GIB(600), .length = MIB(2), .kind = MEM_RAM},
};
#define PAGES (1024u + 16u + 1u + 512u + 512u)

struct layer {
	u32 stamps[PAGES]; /* what was last written to each page; 0: nothing */
};

struct model {
	const struct stage2_format *format;
	struct pool pool;
	mem_model_source source;
	void *ctx;
	bool end;
	u32 next_stamp;
	struct mem mems[VMS];
	struct layer layers[VMS];
	struct mem_image images[IMAGES]; /* no root: not in use */
	struct layer frozen[IMAGES];
	u32 *found[2]; /* references that were found, like the extents' counts */
};

static u32 pick(struct model *m, u32 count)
{
	return m->source(m->ctx, &m->end) % count;
}

static u64 page_gpa(u32 page)
{
	for (u32 i = 0; i < ARRAY_COUNT(layout); i++) {
		u64 pages = layout[i].length / PAGE_SIZE;

		if (page < pages)
			return layout[i].base + page * PAGE_SIZE;
		page -= (u32)pages;
	}
	abort();
}

/* Mostly neighbours and few tables, so that pages meet each other again. */
static u32 pick_page(struct model *m)
{
	switch (pick(m, 4)) {
	case 0:
		return pick(m, PAGES);
	case 1:
		return PAGES - 1 - pick(m, 8);
	default:
		return pick(m, 8);
	}
}

static const u32 marks[] = {0, 8, 2040, 4088};

static void stamp(u8 *page, u32 value)
{
	for (u32 i = 0; i < ARRAY_COUNT(marks); i++) {
		u64 mark = value ? (u64)value << 32 | marks[i] : 0;

		memcpy(page + marks[i], &mark, sizeof(mark));
	}
}

static void check_stamp(const u8 *page, u32 value)
{
	for (u32 i = 0; i < ARRAY_COUNT(marks); i++) {
		u64 mark;

		memcpy(&mark, page + marks[i], sizeof(mark));
		CHECK(mark == (value ? (u64)value << 32 | marks[i] : 0));
	}
}

/* ---- the tables as the hardware and as a reader sees them ---- */

static bool is_leaf(const struct stage2_format *format, u64 entry, u32 level)
{
	if (level == 0)
		return true;
	return level == 1 && !(entry & format->shared_bit) &&
	       (entry & format->leaf_bit) == format->leaf_value;
}

static u64 *table_of(const struct stage2_format *format, u64 entry)
{
	return (u64 *)(uintptr_t)(entry & format->address_mask);
}

static u8 *walk(const struct stage2_format *format, u64 *root, u64 gpa, bool write, bool hardware)
{
	u64 *table = root;

	for (u32 level = 3;; level--) {
		/* As the hardware reads it, at any moment. */
		u64 entry =
			__atomic_load_n(&table[gpa >> (12 + 9 * level) & 511], __ATOMIC_ACQUIRE);

		if (hardware ? !(entry & format->present_bit) : !entry)
			return NULL;
		if (is_leaf(format, entry, level)) {
			if (write && !(entry & format->write_bit))
				return NULL;
			return (u8 *)table_of(format, entry) +
			       (gpa & (((u64)1 << (12 + 9 * level)) - 1));
		}
		if (write && (entry & format->shared_bit))
			return NULL;
		table = table_of(format, entry);
	}
}

u8 *mem_model_walk(const struct stage2_format *format, u64 *root, u64 gpa, bool write)
{
	return walk(format, root, gpa, write, true);
}

u64 mem_model_invalidations;

void mem_model_invalidate(struct mem *mem)
{
	(void)mem;
	mem_model_invalidations++;
}

/* ---- what must hold at any time ---- */

/* The count that stands for the page at @ptr; whether it is for a block. */
static u32 *found_count(struct model *m, const void *ptr, bool *block)
{
	u64 addr = (u64)(uintptr_t)ptr;

	for (u32 i = 0; i < m->pool.extent_count; i++) {
		const struct pool_extent *extent = &m->pool.extents[i];
		u64 page = (addr - extent->base) / PAGE_SIZE;

		if (page >= extent->blocks * BLOCK_PAGES)
			continue;
		*block = extent->refs[ALIGN_DOWN(page, BLOCK_PAGES) + 1] == UINT32_MAX;
		return &m->found[i][*block ? ALIGN_DOWN(page, BLOCK_PAGES) : page];
	}
	abort();
}

static void count_table(struct model *m, u64 *table, u32 level, bool own)
{
	const struct stage2_format *format = m->format;
	bool block;
	u32 *count = found_count(m, table, &block);

	CHECK(!block);
	if (own)
		CHECK(pool_refs(&m->pool, table) == 1);
	/* Below a table that several point to everything counts once. */
	if (++*count > 1)
		return;
	for (u32 i = 0; i < 512; i++) {
		u64 entry = table[i];
		bool leaf = is_leaf(format, entry, level);

		if (!entry)
			continue;
		if (!leaf) {
			count_table(m, table_of(format, entry), level - 1,
				    own && !(entry & format->shared_bit));
			continue;
		}
		++*found_count(m, table_of(format, entry), &block);
		if (own && (entry & format->write_bit))
			CHECK(pool_refs(&m->pool, table_of(format, entry)) == 1);
	}
}

static void check_counts(struct model *m)
{
	u64 used = 0;

	for (u32 i = 0; i < m->pool.extent_count; i++)
		memset(m->found[i], 0, m->pool.extents[i].blocks * BLOCK_PAGES * sizeof(u32));
	for (u32 i = 0; i < VMS; i++)
		if (m->mems[i].root)
			count_table(m, m->mems[i].root, 3, true);
	for (u32 i = 0; i < IMAGES; i++)
		if (m->images[i].root)
			count_table(m, m->images[i].root, 3, false);
	for (u32 i = 0; i < m->pool.extent_count; i++) {
		const struct pool_extent *extent = &m->pool.extents[i];

		for (u32 page = 0; page < extent->blocks * BLOCK_PAGES; page++) {
			bool block = extent->refs[ALIGN_DOWN(page, BLOCK_PAGES) + 1] == UINT32_MAX;

			if (block && page % BLOCK_PAGES == 1)
				continue;
			CHECK(extent->refs[page] == m->found[i][page]);
			if (extent->refs[page])
				used += block ? BLOCK_PAGES : 1;
		}
	}
	CHECK(used + m->pool.free_pages == m->pool.total_pages);
}

static void check_image(struct model *m, u32 i, u32 page)
{
	const u8 *there;

	if (!m->images[i].root)
		return;
	there = walk(m->format, m->images[i].root, page_gpa(page), false, false);
	if (there)
		check_stamp(there, m->frozen[i].stamps[page]);
	else
		CHECK(!m->frozen[i].stamps[page]);
}

static void check_all(struct model *m)
{
	check_counts(m);
	for (u32 page = 0; page < PAGES; page++) {
		for (u32 i = 0; i < IMAGES; i++)
			check_image(m, i, page);
		for (u32 i = 0; i < VMS; i++) {
			const u8 *there;

			if (!m->mems[i].root)
				continue;
			there = walk(m->format, m->mems[i].root, page_gpa(page), false, false);
			if (there)
				check_stamp(there, m->layers[i].stamps[page]);
			else
				CHECK(!m->layers[i].stamps[page]);
		}
	}
}

/* ---- steps ---- */

static void begin_vm(struct model *m, u32 i)
{
	struct mem *mem = &m->mems[i];

	memset(&m->layers[i], 0, sizeof(m->layers[i]));
	if (mem_init(mem, m->format, &m->pool)) {
		CHECK(!m->pool.free_pages && !mem->root);
		return;
	}
	mem->invalidate = mem_model_invalidate;
	for (u32 s = 0; s < ARRAY_COUNT(layout); s++)
		CHECK(mem_add(mem, GPA(layout[s].base), layout[s].length, layout[s].kind) == HV_OK);
}

static void guest_access(struct model *m, u32 i, u32 page, bool write)
{
	struct mem *mem = &m->mems[i];
	u64 gpa = page_gpa(page);
	u8 *there = mem_model_walk(m->format, mem->root, gpa, write);
	/* The hardware has cached what it could walk. */
	const u8 *cached = mem_model_walk(m->format, mem->root, gpa, false);

	mem_model_invalidations = 0;
	if (!there) {
		enum hv_error err = mem_fault(mem, GPA(gpa + pick(m, 4096)), write);

		if (err) {
			CHECK(err == HV_ENO_MEMORY && !m->pool.free_pages);
			return;
		}
		there = mem_model_walk(m->format, mem->root, gpa, write);
		CHECK(there);
		if (cached)
			CHECK(mem_model_invalidations);
	}
	check_stamp(there, m->layers[i].stamps[page]);
	if (write)
		stamp(there, m->layers[i].stamps[page] = ++m->next_stamp);
}

static void host_access(struct model *m, u32 i, u32 page, bool write)
{
	u8 *there = mem_page(&m->mems[i], GPA(page_gpa(page) + pick(m, 4096)), write);

	if (!there) {
		CHECK(!m->pool.free_pages);
		return;
	}
	check_stamp(there, m->layers[i].stamps[page]);
	if (write)
		stamp(there, m->layers[i].stamps[page] = ++m->next_stamp);
}

/* Two pages at once where they are neighbours. */
static void copy_access(struct model *m, u32 i, u32 page, bool write)
{
	struct mem *mem = &m->mems[i];
	u32 count = page + 1 < PAGES && page_gpa(page + 1) == page_gpa(page) + PAGE_SIZE ? 2 : 1;
	static u8 buf[2 * PAGE_SIZE + 1];
	size_t length = (size_t)(count * PAGE_SIZE);
	enum hv_error err = mem_read(mem, GPA(page_gpa(page)), buf, length);

	if (err) {
		CHECK(err == HV_ENO_MEMORY && !m->pool.free_pages);
		return;
	}
	for (u32 p = 0; p < count; p++)
		check_stamp(buf + p * PAGE_SIZE, m->layers[i].stamps[page + p]);
	if (!write)
		return;
	for (u32 p = 0; p < count; p++)
		stamp(buf + p * PAGE_SIZE, m->next_stamp + 1 + p);
	err = mem_write(mem, GPA(page_gpa(page)), buf, length);
	for (u32 p = 0; p < count; p++) {
		u8 *there = walk(m->format, mem->root, page_gpa(page + p), false, false);
		u64 first;

		/* Out of memory in the middle: what was before that is written. */
		CHECK(there);
		memcpy(&first, there, sizeof(first));
		if (!err || first >> 32 == m->next_stamp + 1 + p)
			m->layers[i].stamps[page + p] = m->next_stamp + 1 + p;
	}
	m->next_stamp += count;
}

static void check_outside(struct model *m, u32 i)
{
	static const u64 holes[] = {MIB(4) + KIB(64), MIB(5) - 1,   MIB(5) + PAGE_SIZE,
				    GIB(1) + MIB(1),  GIB(600) - 1, UINT64_MAX};
	u64 hole = holes[pick(m, ARRAY_COUNT(holes))];
	u8 byte[2] = {0};

	CHECK(!mem_covers(&m->mems[i], GPA(hole)));
	CHECK(mem_fault(&m->mems[i], GPA(hole), true) == HV_ENOT_FOUND);
	CHECK(!mem_page(&m->mems[i], GPA(hole), false));
	CHECK(mem_read(&m->mems[i], GPA(hole - 1), byte, 2) == HV_ENOT_FOUND);
	CHECK(mem_write(&m->mems[i], GPA(hole - 1), byte, 2) == HV_ENOT_FOUND);
}

static void freeze(struct model *m, u32 i, u32 image)
{
	u64 before = m->pool.free_pages;

	if (m->images[image].root)
		return;
	mem_model_invalidations = 0;
	if (mem_freeze(&m->mems[i], &m->images[image])) {
		CHECK(!before && !m->images[image].root);
		return;
	}
	CHECK(m->pool.free_pages == before - 1);
	CHECK(mem_model_invalidations && !m->mems[i].private_pages);
	m->frozen[image] = m->layers[i];
}

static void attach(struct model *m, u32 i, u32 image)
{
	struct mem_image old;

	if (!m->images[image].root)
		return;
	mem_model_invalidations = 0;
	if (mem_attach(&m->mems[i], &m->images[image], &old)) {
		CHECK(!m->pool.free_pages);
		return;
	}
	mem_image_fini(&old);
	CHECK(mem_model_invalidations && !m->mems[i].private_pages);
	m->layers[i] = m->frozen[image];
}

static void step(struct model *m)
{
	u32 what = pick(m, 64);
	u32 i = pick(m, VMS);

	if (!m->mems[i].root) {
		begin_vm(m, i);
		return;
	}
	if (what < 20)
		guest_access(m, i, pick_page(m), true);
	else if (what < 32)
		guest_access(m, i, pick_page(m), false);
	else if (what < 40)
		host_access(m, i, pick_page(m), true);
	else if (what < 46)
		host_access(m, i, pick_page(m), false);
	else if (what < 52)
		copy_access(m, i, pick_page(m), what & 1);
	else if (what < 53)
		check_outside(m, i);
	else if (what < 56)
		freeze(m, i, pick(m, IMAGES));
	else if (what < 60)
		attach(m, i, pick(m, IMAGES));
	else if (what < 63)
		mem_image_fini(&m->images[pick(m, IMAGES)]);
	else
		mem_fini(&m->mems[i]);
}

void mem_model_run(const struct stage2_format *format, u32 blocks, mem_model_source source,
		   void *ctx, u32 steps)
{
	/* Not all of it new to each run: what is allocated isn't zeroed. */
	static u8 *memory;
	struct model *m = calloc(1, sizeof(*m));
	u32 sizes[2] = {1, blocks - 1};
	u32 *refs[2];
	void *all[MEM_MODEL_BLOCKS];

	CHECK(m && blocks >= 2 && blocks <= MEM_MODEL_BLOCKS);
	if (!memory)
		memory = aligned_alloc(BLOCK_SIZE, MEM_MODEL_BLOCKS * BLOCK_SIZE);
	CHECK(memory);
	m->format = format;
	m->source = source;
	m->ctx = ctx;
	pool_init(&m->pool);
	for (u32 i = 0; i < 2; i++) {
		refs[i] = calloc(sizes[i] * BLOCK_PAGES, sizeof(u32));
		m->found[i] = calloc(sizes[i] * BLOCK_PAGES, sizeof(u32));
		CHECK(refs[i] && m->found[i]);
		CHECK(pool_add(&m->pool, HPA((u64)(uintptr_t)memory + i * BLOCK_SIZE), sizes[i],
			       refs[i]) == HV_OK);
	}
	CHECK(m->pool.free_pages == blocks * BLOCK_PAGES && m->pool.free_blocks == blocks);

	for (u32 n = 0; n < steps && !m->end; n++) {
		step(m);
		if (n % 512 == 511)
			check_all(m);
	}
	check_all(m);

	for (u32 i = 0; i < VMS; i++)
		mem_fini(&m->mems[i]);
	for (u32 i = 0; i < IMAGES; i++)
		mem_image_fini(&m->images[i]);
	CHECK(m->pool.free_pages == m->pool.total_pages);
	/* What was handed out by the page comes back whole. */
	for (u32 i = 0; i < blocks; i++) {
		all[i] = pool_alloc_block(&m->pool);
		CHECK(all[i]);
	}
	CHECK(!pool_alloc_block(&m->pool) && !pool_alloc_page(&m->pool) && !m->pool.free_pages);
	for (u32 i = 0; i < blocks; i++)
		pool_unref(&m->pool, all[i]);
	CHECK(m->pool.free_pages == m->pool.total_pages && m->pool.free_blocks == blocks);
	for (u32 i = 0; i < 2; i++) {
		for (u32 page = 0; page < sizes[i] * BLOCK_PAGES; page++)
			CHECK(!refs[i][page]);
		free(refs[i]);
		free(m->found[i]);
	}
	free(m);
}
