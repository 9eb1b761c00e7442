/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arch/vm.h>
#include <stdlib.h>
#include <string.h>

#include "mem_model.h"

#define BLOCKS 8u

struct board {
	struct pool pool;
	u8 *memory;
	u32 *refs;
};

static int setup(void **state)
{
	struct board *b = calloc(1, sizeof(*b));

	b->memory = aligned_alloc(MIB(2), BLOCKS * MIB(2));
	b->refs = calloc(BLOCKS * 512, sizeof(u32));
	pool_init(&b->pool);
	assert_int_equal(pool_add(&b->pool, HPA((u64)(uintptr_t)b->memory), BLOCKS, b->refs),
			 HV_OK);
	*state = b;
	return 0;
}

/* Each test gives back all that it took. */
static int teardown(void **state)
{
	struct board *b = *state;
	bool all = b->pool.free_pages == b->pool.total_pages;

	free(b->refs);
	free(b->memory);
	free(b);
	return all ? 0 : -1;
}

static void make(struct board *b, struct mem *mem, const struct stage2_format *format, u64 bytes)
{
	assert_int_equal(mem_init(mem, format, &b->pool), HV_OK);
	mem->invalidate = mem_model_invalidate;
	mem_model_invalidations = 0;
	assert_int_equal(mem_add(mem, GPA(0), bytes, MEM_RAM), HV_OK);
}

static void test_pool_add(void **state)
{
	struct board *b = *state;
	struct pool pool;
	u32 refs[512] = {0};

	pool_init(&pool);
	assert_null(pool_alloc_page(&pool));
	assert_null(pool_alloc_block(&pool));
	assert_int_equal(pool_add(&pool, HPA((u64)(uintptr_t)b->memory), 0, refs), HV_EINVALID);
	assert_int_equal(pool_add(&pool, HPA((u64)(uintptr_t)b->memory + 4096), 1, refs),
			 HV_EINVALID);
	for (u32 i = 0; i < POOL_EXTENT_MAX; i++)
		assert_int_equal(pool_add(&pool, HPA((u64)(uintptr_t)b->memory), 1, refs), HV_OK);
	assert_int_equal(pool_add(&pool, HPA((u64)(uintptr_t)b->memory), 1, refs), HV_ENO_SPACE);
}

static bool is_zeroed(const u8 *page)
{
	for (u32 i = 0; i < PAGE_SIZE; i++)
		if (page[i])
			return false;
	return true;
}

/* Takes all free pages of the pool, every other one zeroed, and soils them. */
static void take_all(struct pool *pool, void **pages)
{
	for (u64 i = 0; i < pool->total_pages; i++) {
		pages[i] = i % 2 ? pool_alloc_page(pool) : pool_alloc_zeroed(pool);
		assert_non_null(pages[i]);
		assert_true(i % 2 || is_zeroed(pages[i]));
		assert_int_equal(pool_refs(pool, pages[i]), 1);
		memset(pages[i], 0xee, PAGE_SIZE);
	}
	assert_null(pool_alloc_page(pool));
	assert_null(pool_alloc_zeroed(pool));
	assert_int_equal(pool->free_pages, 0);
}

/* They are free pages as all others, also where there are no others, but not parts of a block. */
static void test_pool_zeroed(void **state)
{
	struct board *b = *state;
	struct pool *pool = &b->pool;
	void **pages = calloc(pool->total_pages, sizeof(*pages));

	for (u32 round = 0; round < 3; round++) {
		take_all(pool, pages);
		/* There is nothing to prepare. */
		pool_prepare(pool);
		for (u64 i = 0; i < pool->total_pages; i++)
			pool_unref(pool, pages[i]);
		pool_prepare(pool);
		pool_prepare(pool);
		assert_int_equal(pool->free_pages, pool->total_pages);
	}
	for (u32 i = 0; i < BLOCKS - 1; i++) {
		pages[i] = pool_alloc_block(pool);
		assert_non_null(pages[i]);
		memset(pages[i], 0xee, MIB(2));
	}
	assert_null(pool_alloc_block(pool));
	pages[BLOCKS - 1] = pool_alloc_zeroed(pool);
	assert_true(is_zeroed(pages[BLOCKS - 1]));
	for (u32 i = 0; i < BLOCKS; i++)
		pool_unref(pool, pages[i]);
	free(pages);
}

static void test_pool_block_counts_on_its_head(void **state)
{
	struct board *b = *state;
	u8 *block = pool_alloc_block(&b->pool);

	assert_int_equal(pool_refs(&b->pool, block), 1);
	pool_ref(&b->pool, block + 5 * PAGE_SIZE, 511);
	assert_int_equal(pool_refs(&b->pool, block), 512);
	assert_int_equal(pool_refs(&b->pool, block + PAGE_SIZE), 512);
	for (u32 i = 0; i < 512; i++) {
		assert_int_equal(b->pool.free_blocks, BLOCKS - 1);
		pool_unref(&b->pool, block + i * PAGE_SIZE);
	}
	assert_int_equal(b->pool.free_blocks, BLOCKS);
}

static void test_add_refuses(void **state)
{
	struct board *b = *state;
	struct mem mem;

	make(b, &mem, &fake_format_walkable, MIB(2));
	assert_int_equal(mem_add(&mem, GPA(MIB(4)), 0, MEM_RAM), HV_EINVALID);
	assert_int_equal(mem_add(&mem, GPA(MIB(4) + 1), PAGE_SIZE, MEM_RAM), HV_EINVALID);
	assert_int_equal(mem_add(&mem, GPA(MIB(4)), 100, MEM_RAM), HV_EINVALID);
	assert_int_equal(mem_add(&mem, GPA(BIT(48)), PAGE_SIZE, MEM_RAM), HV_EINVALID);
	assert_int_equal(mem_add(&mem, GPA(BIT(48) - PAGE_SIZE), 2 * PAGE_SIZE, MEM_RAM),
			 HV_EINVALID);
	assert_int_equal(mem_add(&mem, GPA(PAGE_SIZE), PAGE_SIZE, MEM_RAM), HV_EEXISTS);
	assert_int_equal(mem_add(&mem, GPA(0), MIB(4), MEM_RAM), HV_EEXISTS);
	for (u32 i = 1; i < MEM_SLOT_MAX; i++)
		assert_int_equal(mem_add(&mem, GPA(i * MIB(2)), MIB(2), MEM_RAM), HV_OK);
	assert_int_equal(mem_add(&mem, GPA(GIB(1)), PAGE_SIZE, MEM_RAM), HV_ENO_SPACE);
	mem_fini(&mem);
	/* As for a VM whose making failed early. */
	mem_fini(&mem);
}

static void test_fill_in_by_block_or_page(void **state)
{
	struct board *b = *state;
	struct mem_image image;
	struct mem mem;
	void *blocks[4];

	/* What others left behind is not seen. */
	for (u32 i = 0; i < ARRAY_COUNT(blocks); i++) {
		blocks[i] = pool_alloc_block(&b->pool);
		memset(blocks[i], 0xa5, MIB(2));
	}
	for (u32 i = 0; i < ARRAY_COUNT(blocks); i++)
		pool_unref(&b->pool, blocks[i]);
	make(b, &mem, &fake_format_walkable, MIB(6) + PAGE_SIZE);
	assert_int_equal(mem_fault(&mem, GPA(MIB(2) + 12345), false), HV_OK);
	assert_int_equal(mem.private_pages, 512);
	assert_int_equal(mem.table_pages, 3);
	for (u64 gpa = MIB(2); gpa < MIB(4); gpa += 8)
		assert_int_equal(*(u64 *)(void *)mem_model_walk(mem.format, mem.root, gpa, true),
				 0);
	/* The last page of the slot has no block to itself. */
	assert_int_equal(mem_fault(&mem, GPA(MIB(6)), true), HV_OK);
	assert_int_equal(mem.private_pages, 513);
	assert_int_equal(mem.table_pages, 4);
	/* Nor has anything that is filled in over an image. */
	assert_int_equal(mem_freeze(&mem, &image), HV_OK);
	assert_int_equal(mem_fault(&mem, GPA(0), false), HV_OK);
	assert_int_equal(mem.private_pages, 1);
	mem_fini(&mem);
	mem_image_fini(&image);
}

static void test_block_is_copied_page_by_page(void **state)
{
	struct board *b = *state;
	struct mem_image image;
	struct mem mem;
	u64 value = 1;

	make(b, &mem, &fake_format_walkable, MIB(2));
	assert_int_equal(mem_write(&mem, GPA(0), &value, 8), HV_OK);
	assert_int_equal(mem_write(&mem, GPA(PAGE_SIZE), &value, 8), HV_OK);
	assert_int_equal(mem_freeze(&mem, &image), HV_OK);
	value = 2;
	assert_int_equal(mem_write(&mem, GPA(0), &value, 8), HV_OK);
	assert_int_equal(mem.private_pages, 1);
	/* Three tables of its own and the block in pieces, which is not copied. */
	assert_int_equal(mem.table_pages, 4);
	assert_int_equal(mem_read(&mem, GPA(PAGE_SIZE), &value, 8), HV_OK);
	assert_int_equal(value, 1);
	assert_int_equal(*mem_model_walk(mem.format, image.root, 0, false), 1);
	mem_image_fini(&image);
	assert_int_equal(mem_read(&mem, GPA(PAGE_SIZE), &value, 8), HV_OK);
	assert_int_equal(value, 1);
	mem_fini(&mem);
}

/* When the image is gone, its last user goes on with the pages that were in it. */
static void test_last_user_copies_nothing(void **state)
{
	struct board *b = *state;
	struct mem_image image;
	struct mem mem;
	u64 before;

	make(b, &mem, &fake_format_walkable, MIB(1));
	assert_non_null(mem_page(&mem, GPA(0), true));
	assert_int_equal(mem_freeze(&mem, &image), HV_OK);
	assert_null(mem_model_walk(mem.format, mem.root, 0, true));
	mem_image_fini(&image);
	before = b->pool.free_pages;
	assert_int_equal(mem_fault(&mem, GPA(0), true), HV_OK);
	assert_non_null(mem_model_walk(mem.format, mem.root, 0, true));
	assert_int_equal(b->pool.free_pages, before);
	assert_int_equal(mem.private_pages, 0);
	mem_fini(&mem);
}

static void test_hidden_tables_fault_on_reads(void **state)
{
	struct board *b = *state;
	struct mem_image image;
	struct mem mem;

	make(b, &mem, &fake_format_hidden, MIB(1));
	assert_non_null(mem_page(&mem, GPA(0), true));
	assert_int_equal(mem_freeze(&mem, &image), HV_OK);
	assert_null(mem_model_walk(mem.format, mem.root, 0, false));
	/* Anew reads without a copy of anything. */
	assert_non_null(mem_page(&mem, GPA(0), false));
	assert_int_equal(mem.table_pages, 1);
	assert_int_equal(mem_fault(&mem, GPA(0), false), HV_OK);
	assert_non_null(mem_model_walk(mem.format, mem.root, 0, false));
	assert_null(mem_model_walk(mem.format, mem.root, 0, true));
	assert_int_equal(mem.table_pages, 4);
	assert_int_equal(mem.private_pages, 0);
	mem_fini(&mem);
	mem_image_fini(&image);
}

/* A page that the guest may still see in an old translation makes the layer stale. */
static void test_host_write_makes_stale(void **state)
{
	struct board *b = *state;
	struct mem_image image;
	struct mem mem;
	u8 byte = 1;

	make(b, &mem, &fake_format_walkable, MIB(1));
	assert_int_equal(mem_write(&mem, GPA(0), &byte, 1), HV_OK);
	assert_int_equal(mem_freeze(&mem, &image), HV_OK);
	mem_model_invalidations = 0;
	assert_int_equal(mem_read(&mem, GPA(0), &byte, 1), HV_OK);
	assert_false(mem_model_invalidations);
	assert_int_equal(mem_write(&mem, GPA(0), &byte, 1), HV_OK);
	assert_true(mem_model_invalidations);
	mem_fini(&mem);
	mem_image_fini(&image);
}

/*
 * So does a table that the root points to anew, as walks may begin with it, and one that takes the
 * place of one that the hardware has walked, and no other.
 */
static void test_table_copy_makes_stale(void **state)
{
	static const struct stage2_format *const formats[] = {&fake_format_walkable,
							      &fake_format_hidden};
	struct board *b = *state;
	struct mem_image image;
	struct mem mem;

	for (u32 i = 0; i < ARRAY_COUNT(formats); i++) {
		make(b, &mem, formats[i], MIB(3));
		assert_int_equal(mem_fault(&mem, GPA(0), true), HV_OK);
		assert_true(mem_model_invalidations);
		mem_model_invalidations = 0;
		assert_int_equal(mem_fault(&mem, GPA(MIB(2)), true), HV_OK);
		assert_false(mem_model_invalidations);
		assert_int_equal(mem_freeze(&mem, &image), HV_OK);
		assert_true(mem_model_invalidations);
		mem_model_invalidations = 0;
		assert_int_equal(mem_fault(&mem, GPA(0), true), HV_OK);
		assert_true(mem_model_invalidations);
		mem_model_invalidations = 0;
		assert_int_equal(mem_fault(&mem, GPA(MIB(2) + PAGE_SIZE), false), HV_OK);
		assert_int_equal(mem_model_invalidations != 0, formats[i]->shared_walkable);
		mem_fini(&mem);
		mem_image_fini(&image);
	}
}

static void test_attach_refuses_what_is_foreign(void **state)
{
	struct board *b = *state;
	struct mem_image image, old;
	struct mem mem, other;

	make(b, &mem, &fake_format_walkable, MIB(1));
	make(b, &other, &fake_format_hidden, MIB(1));
	assert_int_equal(mem_freeze(&mem, &image), HV_OK);
	assert_int_equal(mem_attach(&other, &image, &old), HV_EINVALID);
	mem_fini(&mem);
	mem_fini(&other);
	mem_image_fini(&image);
}

static u64 synced_bytes;

static void count_sync(const void *entry, size_t bytes)
{
	(void)entry;
	synced_bytes += bytes;
}

struct cost {
	u64 pages;
	u64 bytes;
};

/* What attach and the first write after it take, of a guest that has touched each 2 MiB. */
static void measure(struct board *b, u64 size, struct cost *attach, struct cost *first)
{
	struct stage2_format format = fake_format_walkable;
	struct mem_image empty, image, old;
	struct mem mem, clone;
	u64 free_pages;

	format.sync = count_sync;
	make(b, &mem, &format, size);
	/* Over an image memory is filled in by the page. */
	assert_int_equal(mem_freeze(&mem, &empty), HV_OK);
	for (u64 gpa = 0; gpa < size; gpa += MIB(2))
		assert_int_equal(mem_fault(&mem, GPA(gpa), true), HV_OK);
	assert_int_equal(mem_freeze(&mem, &image), HV_OK);
	assert_int_equal(mem_init(&clone, &format, &b->pool), HV_OK);

	free_pages = b->pool.free_pages;
	synced_bytes = 0;
	assert_int_equal(mem_attach(&clone, &image, &old), HV_OK);
	mem_image_fini(&old);
	*attach = (struct cost){.pages = free_pages - b->pool.free_pages, .bytes = synced_bytes};
	free_pages = b->pool.free_pages;
	synced_bytes = 0;
	assert_int_equal(mem_fault(&clone, GPA(0), true), HV_OK);
	*first = (struct cost){.pages = free_pages - b->pool.free_pages, .bytes = synced_bytes};

	mem_fini(&clone);
	mem_fini(&mem);
	mem_image_fini(&image);
	mem_image_fini(&empty);
}

static void test_clone_costs_the_same_for_any_size(void **state)
{
	struct cost attach[2], first[2];

	measure(*state, MIB(16), &attach[0], &first[0]);
	measure(*state, GIB(1), &attach[1], &first[1]);
	assert_memory_equal(&attach[0], &attach[1], sizeof(attach[0]));
	assert_memory_equal(&first[0], &first[1], sizeof(first[0]));
	/* The new root takes the place of the one from mem_init(). */
	assert_int_equal(attach[0].pages, 0);
	assert_int_equal(attach[0].bytes, PAGE_SIZE);
	/* Three tables and the page. */
	assert_int_equal(first[0].pages, 4);
}

/* What a layer held before it was put back is whole until it is given back. */
static void test_old_layer_is_given_back_later(void **state)
{
	struct board *b = *state;
	struct mem_image image, old;
	struct mem mem;
	u64 value = 1, free_pages;

	make(b, &mem, &fake_format_walkable, MIB(8));
	assert_int_equal(mem_write(&mem, GPA(0x1000), &value, sizeof(value)), HV_OK);
	assert_int_equal(mem_freeze(&mem, &image), HV_OK);
	value = 2;
	for (u64 gpa = 0x1000; gpa < MIB(8); gpa += KIB(64))
		assert_int_equal(mem_write(&mem, GPA(gpa), &value, sizeof(value)), HV_OK);
	free_pages = b->pool.free_pages;
	assert_int_equal(mem_attach(&mem, &image, &old), HV_OK);
	/* Nothing but the new root was taken, and nothing came back yet. */
	assert_int_equal(b->pool.free_pages, free_pages - 1);
	assert_int_equal(mem_read(&mem, GPA(0x1000), &value, sizeof(value)), HV_OK);
	assert_int_equal(value, 1);
	value = 3;
	assert_int_equal(mem_write(&mem, GPA(0x1000), &value, sizeof(value)), HV_OK);
	free_pages = b->pool.free_pages;
	mem_image_fini(&old);
	/* 128 pages at least, and the tables above them. */
	assert_true(b->pool.free_pages >= free_pages + 128);
	assert_int_equal(mem_read(&mem, GPA(0x1000), &value, sizeof(value)), HV_OK);
	assert_int_equal(value, 3);
	mem_image_fini(&image);
	mem_fini(&mem);
}

/* Registers of the machine are used where they are, and belong to no image. */
static void test_mapped_registers(void **state)
{
	const struct stage2_format *format = &fake_format_hidden;
	static u8 registers[2 * PAGE_SIZE] __attribute__((aligned(4096)));
	struct board *b = *state;
	struct mem_image image, old;
	struct mem mem;
	u8 byte = 1;

	make(b, &mem, &fake_format_walkable, MIB(2));
	assert_int_equal(mem_add_mapped(&mem, GPA(MIB(4)), PAGE_SIZE, HPA(0)), HV_EINVALID);
	mem_fini(&mem);
	make(b, &mem, format, MIB(2));
	assert_int_equal(mem_add_mapped(&mem, GPA(MIB(4)), sizeof(registers), HPA(1)), HV_EINVALID);
	assert_int_equal(mem_add_mapped(&mem, GPA(MIB(4)), sizeof(registers),
					HPA((u64)(uintptr_t)registers)),
			 HV_OK);
	assert_false(mem_covers(&mem, GPA(MIB(4))));
	assert_null(mem_page(&mem, GPA(MIB(4)), false));
	assert_int_equal(mem_read(&mem, GPA(MIB(4)), &byte, 1), HV_ENOT_FOUND);
	assert_int_equal(mem_write(&mem, GPA(MIB(4)), &byte, 1), HV_ENOT_FOUND);

	for (u32 round = 0; round < 3; round++) {
		for (u64 at = 0; at < sizeof(registers); at += PAGE_SIZE) {
			u64 gpa = MIB(4) + at + 8;

			assert_int_equal(mem_fault(&mem, GPA(gpa), round & 1), HV_OK);
			assert_ptr_equal(mem_model_walk(format, mem.root, gpa, true),
					 registers + at + 8);
		}
		mem_model_invalidations = 0;
		if (round == 1) {
			assert_int_equal(mem_attach(&mem, &image, &old), HV_OK);
			mem_image_fini(&old);
		} else {
			if (round)
				mem_image_fini(&image);
			assert_int_equal(mem_freeze(&mem, &image), HV_OK);
		}
		assert_null(mem_model_walk(format, mem.root, MIB(4), false));
		assert_true(mem_model_invalidations);
	}
	mem_image_fini(&image);
	mem_fini(&mem);
}

static struct {
	const void *ptr;
	size_t bytes;
	u32 count;
} published;

static void note_published(const void *ptr, size_t bytes)
{
	published.ptr = ptr;
	published.bytes = bytes;
	published.count++;
}

/* Whatever becomes the guest's is made visible past the caches, once. */
static void test_publishes_what_it_writes(void **state)
{
	struct stage2_format format = fake_format_hidden;
	struct board *b = *state;
	struct mem_image image;
	struct mem mem;
	u8 *page;

	format.publish = note_published;
	published.count = 0;
	make(b, &mem, &format, MIB(3));
	assert_int_equal(mem_fault(&mem, GPA(0), false), HV_OK);
	assert_int_equal(published.count, 1);
	assert_int_equal(published.bytes, MIB(2));
	assert_int_equal(mem_fault(&mem, GPA(MIB(2)), false), HV_OK);
	assert_int_equal(published.count, 2);
	assert_int_equal(published.bytes, PAGE_SIZE);
	assert_int_equal(mem_write(&mem, GPA(MIB(2) - 2), "four", 4), HV_OK);
	assert_int_equal(published.count, 4);
	assert_int_equal(published.bytes, 2);

	assert_int_equal(mem_freeze(&mem, &image), HV_OK);
	assert_int_equal(mem_fault(&mem, GPA(0), false), HV_OK);
	assert_int_equal(published.count, 4);
	assert_int_equal(mem_fault(&mem, GPA(0), true), HV_OK);
	assert_int_equal(published.count, 5);
	page = mem_page(&mem, GPA(0), false);
	assert_ptr_equal(published.ptr, page);
	assert_int_equal(published.bytes, PAGE_SIZE);
	mem_image_fini(&image);
	mem_fini(&mem);
}

static void test_out_of_memory(void **state)
{
	struct board *b = *state;
	struct mem_image image;
	struct mem mem;
	u64 gpa;

	make(b, &mem, &fake_format_walkable, MIB(64));
	for (gpa = 0; !mem_fault(&mem, GPA(gpa), true); gpa += PAGE_SIZE)
		;
	assert_int_equal(mem_fault(&mem, GPA(gpa), true), HV_ENO_MEMORY);
	assert_int_equal(b->pool.free_pages, 0);
	assert_null(mem_page(&mem, GPA(gpa), false));
	assert_int_equal(mem_freeze(&mem, &image), HV_ENO_MEMORY);
	assert_non_null(mem_model_walk(mem.format, mem.root, 0, true));
	mem_fini(&mem);
}

static u32 next_random(void *ctx, bool *end)
{
	u64 *seed = ctx;

	(void)end;
	/* Knuth's constants for a 64-bit linear congruential generator; the upper bits are good. */
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (u32)(*seed >> 33);
}

static void run_model(const struct stage2_format *format)
{
	static const u32 sizes[] = {2, 3, 6, MEM_MODEL_BLOCKS};

	for (u64 round = 0; round < 8; round++) {
		u64 seed = round + 1;

		mem_model_run(format, sizes[round % ARRAY_COUNT(sizes)], next_random, &seed, 6000);
	}
}

static void test_model_walkable(void **state)
{
	(void)state;
	run_model(&fake_format_walkable);
}

static void test_model_hidden(void **state)
{
	(void)state;
	run_model(&fake_format_hidden);
}

/* ---- what an image has ---- */

/* The addresses of the pages of @image that are not zeros, as bits of 4 KiB below 256 KiB. */
static u64 pages_with_bytes(const struct mem_image *image, u32 *seen)
{
	const u8 *page;
	u64 bits = 0, last = 0;

	*seen = 0;
	for (u64 at = 0; (page = mem_image_next(image, &at)); at += PAGE_SIZE) {
		assert_true(at >= last);
		last = at + PAGE_SIZE;
		++*seen;
		if (page[17])
			bits |= BIT(at / PAGE_SIZE % 64);
	}
	return bits;
}

static void image_is_walked(struct board *b, const struct stage2_format *format)
{
	struct mem mem, copy;
	struct mem_image first, second, third;
	u8 byte = 1;
	u32 seen;

	assert_int_equal(mem_init(&mem, format, &b->pool), HV_OK);
	assert_int_equal(mem_add(&mem, GPA(0), 16 * PAGE_SIZE, MEM_RAM), HV_OK);
	assert_int_equal(mem_add(&mem, GPA(GIB(600)), MIB(2), MEM_RAM), HV_OK);
	assert_int_equal(mem_write(&mem, GPA(3 * PAGE_SIZE + 17), &byte, 1), HV_OK);
	assert_int_equal(mem_write(&mem, GPA(15 * PAGE_SIZE + 17), &byte, 1), HV_OK);
	/* This one is a block. */
	assert_int_equal(mem_write(&mem, GPA(GIB(600) + 40 * PAGE_SIZE + 17), &byte, 1), HV_OK);
	assert_int_equal(mem_freeze(&mem, &first), HV_OK);
	assert_int_equal(pages_with_bytes(&first, &seen), BIT(3) | BIT(15) | BIT(40));
	assert_int_equal(seen, 2 + 512);

	/* A layer over it: one page copied, one filled in, one of the block replaced. */
	assert_int_equal(mem_write(&mem, GPA(3 * PAGE_SIZE + 17), &(u8){0}, 1), HV_OK);
	assert_int_equal(mem_write(&mem, GPA(7 * PAGE_SIZE + 17), &byte, 1), HV_OK);
	assert_int_equal(mem_write(&mem, GPA(GIB(600) + 41 * PAGE_SIZE + 17), &byte, 1), HV_OK);
	assert_int_equal(mem_freeze(&mem, &second), HV_OK);
	assert_int_equal(pages_with_bytes(&second, &seen), BIT(7) | BIT(15) | BIT(40) | BIT(41));
	assert_int_equal(seen, 3 + 512);
	assert_int_equal(pages_with_bytes(&first, &seen), BIT(3) | BIT(15) | BIT(40));

	/* Made again of its pages, only of those that are written. */
	assert_int_equal(mem_init_like(&copy, &mem), HV_OK);
	assert_int_equal(mem_write(&copy, GPA(GIB(600) + 40 * PAGE_SIZE + 17), &byte, 1), HV_OK);
	assert_int_equal(mem_write(&copy, GPA(MIB(8)), &byte, 1), HV_ENOT_FOUND);
	assert_int_equal(mem_freeze(&copy, &third), HV_OK);
	mem_fini(&copy);
	assert_int_equal(pages_with_bytes(&third, &seen), BIT(40));
	assert_int_equal(seen, 1);
	mem_image_fini(&third);
	mem_image_fini(&second);
	mem_image_fini(&first);
	mem_fini(&mem);
}

static void test_image_is_walked(void **state)
{
	image_is_walked(*state, &fake_format_walkable);
	image_is_walked(*state, &fake_format_hidden);
}

static void test_layout(void **state)
{
	const struct mem_slot slots[] = {
		{.base = 0, .length = MIB(4), .kind = MEM_RAM},
		{.base = MIB(16), .length = PAGE_SIZE, .kind = MEM_MAPPED, .host = 0x1000},
		{.base = MIB(32), .length = KIB(64), .kind = MEM_RESERVED},
	};
	struct mem_layout layout;
	const char *why = NULL;

	(void)state;
	mem_layout_get(slots, ARRAY_COUNT(slots), &layout);
	assert_int_equal(layout.count, 2);
	assert_int_equal(layout.slots[1].base, MIB(32));
	assert_int_equal(layout.slots[1].kind, MEM_RESERVED);
	assert_int_equal(mem_layout_state.check(&layout, &why), HV_OK);
	layout.count = MEM_SLOT_MAX + 1;
	assert_int_equal(mem_layout_state.check(&layout, &why), HV_EINVALID);
	assert_non_null(why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pool_add, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pool_zeroed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pool_block_counts_on_its_head, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_add_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fill_in_by_block_or_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_block_is_copied_page_by_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_user_copies_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hidden_tables_fault_on_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_host_write_makes_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(test_table_copy_makes_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(test_attach_refuses_what_is_foreign, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_clone_costs_the_same_for_any_size, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_old_layer_is_given_back_later, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_mapped_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_publishes_what_it_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_image_is_walked, setup, teardown),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_model_walkable),
		cmocka_unit_test(test_model_hidden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
