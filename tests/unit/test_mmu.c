/* SPDX-License-Identifier: MIT */
/* Page tables of a guest on x86_64, walked by software, and instructions fetched through them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arch/fetch.h>
#include <arch/vm.h>
#include <arch/x86.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 4u
#define MEMORY MIB(4)

/* Where the guest has its tables and its code. */
#define ROOT  0x1000u
#define UPPER 0x2000u
#define LOWER 0x3000u
#define LEAF  0x4000u
#define CODE  0x10000u
#define OTHER 0x11000u

#define ADDRESS 0x5678123u /* canonical in every mode */

struct board {
	struct pool pool;
	struct mem mem;
	u8 *memory;
	u32 *refs;
	struct x86_mode mode;
	struct fetch_cache cache;
};

static int setup(void **state)
{
	struct board *b = calloc(1, sizeof(*b));

	b->memory = aligned_alloc(MIB(2), BLOCKS * MIB(2));
	b->refs = calloc(BLOCKS * 512, sizeof(u32));
	pool_init(&b->pool);
	assert_int_equal(pool_add(&b->pool, HPA((u64)(uintptr_t)b->memory), BLOCKS, b->refs),
			 HV_OK);
	assert_int_equal(mem_init(&b->mem, &fake_format_walkable, &b->pool), HV_OK);
	assert_int_equal(mem_add(&b->mem, GPA(0), MEMORY, MEM_RAM), HV_OK);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct board *b = *state;

	mem_fini(&b->mem);
	free(b->refs);
	free(b->memory);
	free(b);
	return 0;
}

static void put(struct board *b, u64 at, u64 value, size_t size)
{
	assert_int_equal(mem_write(&b->mem, GPA(at), &value, size), HV_OK);
}

static u64 get(struct board *b, u64 at, size_t size)
{
	u64 value = 0;

	assert_int_equal(mem_read(&b->mem, GPA(at), &value, size), HV_OK);
	return value;
}

static u64 slot(u64 table, u64 address, u32 shift)
{
	return table + (address >> shift & 511) * 8;
}

/* Four levels down to a page of 4 KiB at CODE; tables grant all, the last entry what is asked. */
static void long_mode(struct board *b, u64 address, u64 bits)
{
	const u64 all = PTE_PRESENT | PTE_WRITE | PTE_USER;

	b->mode = (struct x86_mode){
		.cr0 = CR0_PE | CR0_PG | CR0_WP,
		.cr3 = ROOT,
		.cr4 = CR4_PAE,
		.efer = EFER_LME | EFER_LMA,
		.cs_long = true,
	};
	put(b, slot(ROOT, address, 39), UPPER | all, 8);
	put(b, slot(UPPER, address, 30), LOWER | all, 8);
	put(b, slot(LOWER, address, 21), LEAF | all, 8);
	put(b, slot(LEAF, address, 12), CODE | bits, 8);
}

static void finds(struct board *b, u64 address, u64 wanted)
{
	struct mmu_walk walk;

	assert_int_equal(mmu_translate(&b->mem, &b->mode, address, MMU_FETCHED, &walk), HV_OK);
	assert_int_equal(walk.gpa.v, wanted);
}

static void faults(struct board *b, u64 address, enum mmu_access access, u32 error)
{
	struct mmu_walk walk;

	assert_int_equal(mmu_translate(&b->mem, &b->mode, address, access, &walk), HV_ENOT_FOUND);
	assert_int_equal(walk.error, error);
}

static void test_no_paging(void **state)
{
	struct board *b = *state;

	b->mode = (struct x86_mode){.cr0 = CR0_PE};
	finds(b, ADDRESS, ADDRESS);
	/* Addresses are of 32 bits. */
	finds(b, 0x100000000u + ADDRESS, ADDRESS);
}

static void test_two_levels(void **state)
{
	struct board *b = *state;
	u64 upper = ROOT + (ADDRESS >> 22) * 4;

	b->mode = (struct x86_mode){.cr0 = CR0_PE | CR0_PG, .cr3 = ROOT | 0x18};
	put(b, upper, LEAF | PTE_PRESENT, 4);
	put(b, LEAF + (ADDRESS >> 12 & 0x3ff) * 4, CODE | PTE_PRESENT | PTE_LARGE, 4);
	finds(b, ADDRESS, CODE + ADDRESS % PAGE_SIZE);
	/* Without CR4.PSE there are no large pages. */
	put(b, upper, LEAF | PTE_PRESENT | PTE_LARGE, 4);
	finds(b, ADDRESS, CODE + ADDRESS % PAGE_SIZE);
	b->mode.cr4 = CR4_PSE;
	put(b, upper, 0xc00000u | 0x1a000u | PTE_PRESENT | PTE_LARGE, 4);
	finds(b, ADDRESS, 0xd00c00000u + ADDRESS % MIB(4));
}

static void test_three_levels(void **state)
{
	struct board *b = *state;
	u64 address = 0xc0000000u + ADDRESS;
	u64 top = ROOT + 0x20 + 3 * 8;

	b->mode = (struct x86_mode){.cr0 = CR0_PE | CR0_PG, .cr3 = ROOT + 0x38, .cr4 = CR4_PAE};
	put(b, top, LOWER | PTE_PRESENT, 8);
	put(b, slot(LOWER, address, 21), LEAF | PTE_PRESENT | PTE_WRITE | PTE_USER, 8);
	put(b, slot(LEAF, address, 12), CODE | PTE_PRESENT | PTE_WRITE | PTE_USER, 8);
	finds(b, address, CODE + address % PAGE_SIZE);
	put(b, slot(LOWER, address, 21), MIB(2) | PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_LARGE,
	    8);
	finds(b, address, MIB(2) + address % MIB(2));
	/* The four entries at the top have neither rights nor an accessed bit. */
	struct mmu_walk walk;

	b->mode.cpl = 3;
	assert_int_equal(mmu_translate(&b->mem, &b->mode, address, MMU_WRITE, &walk), HV_OK);
	assert_int_equal(get(b, top, 8), LOWER | PTE_PRESENT);
	assert_int_equal(get(b, slot(LOWER, address, 21), 8) & (PTE_ACCESSED | PTE_DIRTY),
			 PTE_ACCESSED | PTE_DIRTY);
}

static void test_four_levels(void **state)
{
	struct board *b = *state;
	u64 address = 0xffff888000000000u + ADDRESS;

	long_mode(b, address, PTE_PRESENT | PTE_LARGE);
	finds(b, address, CODE + address % PAGE_SIZE);
	put(b, slot(LOWER, address, 21), MIB(2) | PTE_PRESENT | PTE_LARGE, 8);
	finds(b, address, MIB(2) + address % MIB(2));
	put(b, slot(UPPER, address, 30), GIB(5) | PTE_PRESENT | PTE_LARGE, 8);
	finds(b, address, GIB(5) + address % GIB(1));
	put(b, slot(UPPER, address, 30), 0, 8);
	faults(b, address, MMU_FETCHED, 0);
}

static void test_rights(void **state)
{
	static const struct {
		u64 bits; /* of the last entry */
		u8 cpl;
		u64 cr0, cr4, rflags;
		enum mmu_access access;
		s32 error; /* -1: none */
	} rows[] = {
		{0, 0, CR0_WP, 0, 0, MMU_READ, 0},
		{0, 3, CR0_WP, 0, 0, MMU_WRITE, (s32)(PF_USER | PF_WRITE)},
		{PTE_PRESENT, 0, CR0_WP, 0, 0, MMU_READ, -1},
		{PTE_PRESENT, 0, CR0_WP, 0, 0, MMU_WRITE, (s32)(PF_PRESENT | PF_WRITE)},
		{PTE_PRESENT, 0, 0, 0, 0, MMU_WRITE, -1},
		{PTE_PRESENT | PTE_WRITE, 0, CR0_WP, 0, 0, MMU_WRITE, -1},
		{PTE_PRESENT | PTE_WRITE, 3, 0, 0, 0, MMU_READ, (s32)(PF_PRESENT | PF_USER)},
		{PTE_PRESENT | PTE_WRITE, 2, CR0_WP, 0, 0, MMU_WRITE, -1},
		{PTE_PRESENT | PTE_USER, 3, 0, 0, 0, MMU_READ, -1},
		{PTE_PRESENT | PTE_USER, 3, 0, 0, 0, MMU_WRITE,
		 (s32)(PF_PRESENT | PF_USER | PF_WRITE)},
		{PTE_PRESENT | PTE_USER, 0, 0, CR4_SMAP, 0, MMU_READ, (s32)PF_PRESENT},
		{PTE_PRESENT | PTE_USER, 0, 0, CR4_SMAP, RFLAGS_AC, MMU_READ, -1},
		{PTE_PRESENT | PTE_USER, 3, 0, CR4_SMAP, 0, MMU_READ, -1},
		{PTE_PRESENT | PTE_NX, 0, 0, 0, 0, MMU_READ, (s32)(PF_PRESENT | PF_RESERVED)},
	};
	struct board *b = *state;
	struct mmu_walk walk;

	for (u32 i = 0; i < ARRAY_COUNT(rows); i++) {
		u64 leaf = slot(LEAF, ADDRESS, 12);
		u64 set = PTE_ACCESSED | (rows[i].access == MMU_WRITE ? PTE_DIRTY : 0);

		long_mode(b, ADDRESS, rows[i].bits);
		b->mode.cr0 = CR0_PE | CR0_PG | rows[i].cr0;
		b->mode.cr4 |= rows[i].cr4;
		b->mode.rflags = rows[i].rflags;
		b->mode.cpl = rows[i].cpl;
		if (rows[i].error >= 0) {
			faults(b, ADDRESS, rows[i].access, (u32)rows[i].error);
			set = 0;
		} else {
			assert_int_equal(
				mmu_translate(&b->mem, &b->mode, ADDRESS, rows[i].access, &walk),
				HV_OK);
			assert_int_equal(walk.gpa.v, CODE + ADDRESS % PAGE_SIZE);
		}
		/* Bits are set by what succeeds, dirty only at the end of the way. */
		assert_int_equal(get(b, leaf, 8), CODE | rows[i].bits | set);
		assert_int_equal(get(b, slot(ROOT, ADDRESS, 39), 8) & (PTE_ACCESSED | PTE_DIRTY),
				 set & PTE_ACCESSED);
	}
	long_mode(b, ADDRESS, PTE_PRESENT | PTE_NX);
	b->mode.efer |= EFER_NXE;
	finds(b, ADDRESS, CODE + ADDRESS % PAGE_SIZE);
	assert_int_equal(get(b, slot(ROOT, ADDRESS, 39), 8) & PTE_ACCESSED, 0);
	put(b, slot(ROOT, ADDRESS, 39), UPPER | PTE_PRESENT | PTE_LARGE, 8);
	faults(b, ADDRESS, MMU_READ, PF_PRESENT | PF_RESERVED);
}

static void test_tables_that_are_not_there(void **state)
{
	struct board *b = *state;
	struct mmu_walk walk;

	long_mode(b, ADDRESS, PTE_PRESENT);
	put(b, slot(LOWER, ADDRESS, 21), MEMORY | PTE_PRESENT, 8);
	faults(b, ADDRESS, MMU_READ, PF_PRESENT | PF_RESERVED);
	/* It is memory, but none is left to fill it in. */
	put(b, slot(LOWER, ADDRESS, 21), MIB(2) | PTE_PRESENT, 8);
	while (pool_alloc_page(&b->pool))
		;
	assert_int_equal(mmu_translate(&b->mem, &b->mode, ADDRESS, MMU_READ, &walk), HV_ENO_MEMORY);
}

/* ---- fetching ---- */

static const u8 load[] = {0x8b, 0x07};                                /* mov (%rdi), %eax */
static const u8 store[] = {0xc7, 0x47, 0x10, 0x44, 0x33, 0x22, 0x11}; /* movl $…, 0x10(%rdi) */

static void code(struct board *b, u64 at, const u8 *bytes, size_t length)
{
	assert_int_equal(mem_write(&b->mem, GPA(at), bytes, length), HV_OK);
}

static const struct decode_insn *again(const struct board *b, u64 rip)
{
	return fetch_again(&b->cache, &b->mem, b->mode.cr3, rip);
}

/* Decodes anew, and finds the same then without. */
static void learn(struct board *b, u64 rip, u8 op)
{
	const struct decode_insn *insn;

	assert_null(again(b, rip));
	assert_int_equal(fetch_decode(&b->cache, &b->mem, &b->mode, rip, &insn), HV_OK);
	assert_int_equal(insn->op, op);
	assert_non_null(again(b, rip));
	assert_memory_equal(again(b, rip), insn, sizeof(*insn));
}

static void test_again_only_what_is_the_same(void **state)
{
	struct board *b = *state;
	u64 rip = ADDRESS;

	long_mode(b, rip, PTE_PRESENT);
	code(b, CODE + rip % PAGE_SIZE, load, sizeof(load));
	code(b, OTHER + rip % PAGE_SIZE, store, sizeof(store));
	assert_null(again(b, 0));
	learn(b, rip, DECODE_READ);

	/* Other code at the same place. */
	code(b, CODE + rip % PAGE_SIZE, store, sizeof(store));
	learn(b, rip, DECODE_WRITE);
	assert_int_equal(again(b, rip)->imm, 0x11223344);
	code(b, CODE + rip % PAGE_SIZE, load, sizeof(load));
	learn(b, rip, DECODE_READ);

	/* Another page at the same address, by a change at each level. */
	put(b, slot(LEAF, rip, 12), OTHER | PTE_PRESENT, 8);
	learn(b, rip, DECODE_WRITE);
	put(b, slot(LEAF, rip, 12), CODE | PTE_PRESENT, 8);
	learn(b, rip, DECODE_READ);
	put(b, slot(LOWER, rip, 21), 0, 8);
	assert_null(again(b, rip));
	put(b, slot(LOWER, rip, 21), LEAF | PTE_PRESENT, 8);
	learn(b, rip, DECODE_READ);
	put(b, slot(UPPER, rip, 30), 0, 8);
	assert_null(again(b, rip));
	put(b, slot(UPPER, rip, 30), LOWER | PTE_PRESENT, 8);
	learn(b, rip, DECODE_READ);
	put(b, slot(ROOT, rip, 39), 0, 8);
	assert_null(again(b, rip));
	long_mode(b, rip, PTE_PRESENT);
	learn(b, rip, DECODE_READ);

	/* Other tables. */
	b->mode.cr3 = UPPER;
	assert_null(again(b, rip));
	b->mode.cr3 = ROOT;
	assert_non_null(again(b, rip));

	/* Only the last byte of a long one: movl $…, 0x100(%rdi). */
	u8 longer[] = {0xc7, 0x87, 0x00, 0x01, 0x00, 0x00, 0x44, 0x33, 0x22, 0x11};

	code(b, CODE + rip % PAGE_SIZE, longer, sizeof(longer));
	learn(b, rip, DECODE_WRITE);
	longer[9] = 0x10;
	code(b, CODE + rip % PAGE_SIZE, longer, sizeof(longer));
	learn(b, rip, DECODE_WRITE);
	assert_int_equal(again(b, rip)->imm, 0x10223344);

	/* Another instruction in the same line. */
	assert_null(again(b, rip + 4 * FETCH_LINES));
}

static void test_again_over_layers(void **state)
{
	struct board *b = *state;
	struct mem_image image, old;
	u64 rip = ADDRESS;

	long_mode(b, rip, PTE_PRESENT);
	code(b, CODE + rip % PAGE_SIZE, load, sizeof(load));
	learn(b, rip, DECODE_READ);
	assert_int_equal(mem_freeze(&b->mem, &image), HV_OK);
	learn(b, rip, DECODE_READ);
	/* The write copies the page: where it was, the old code still is. */
	code(b, CODE + rip % PAGE_SIZE, store, sizeof(store));
	learn(b, rip, DECODE_WRITE);
	put(b, slot(LEAF, rip, 12), OTHER | PTE_PRESENT, 8);
	assert_null(again(b, rip));
	assert_int_equal(mem_attach(&b->mem, &image, &old), HV_OK);
	mem_image_fini(&old);
	learn(b, rip, DECODE_READ);
	mem_image_fini(&image);
}

static void test_again_with_large_pages(void **state)
{
	struct board *b = *state;
	u64 rip = ADDRESS;

	long_mode(b, rip, PTE_PRESENT);
	put(b, slot(LOWER, rip, 21), MIB(2) | PTE_PRESENT | PTE_LARGE, 8);
	code(b, MIB(2) + rip % MIB(2), load, sizeof(load));
	learn(b, rip, DECODE_READ);
	put(b, slot(LOWER, rip, 21), PTE_PRESENT | PTE_LARGE, 8);
	assert_null(again(b, rip));
}

static void test_never_again(void **state)
{
	struct board *b = *state;
	const struct decode_insn *insn;
	u64 rip = 0x1ff5;

	/* So near to the end of a page that bytes of the next one would be compared. */
	long_mode(b, rip, PTE_PRESENT);
	put(b, slot(LEAF, rip + PAGE_SIZE, 12), OTHER | PTE_PRESENT, 8);
	code(b, CODE + rip % PAGE_SIZE, store, sizeof(store));
	assert_int_equal(fetch_decode(&b->cache, &b->mem, &b->mode, rip, &insn), HV_OK);
	assert_int_equal(insn->op, DECODE_WRITE);
	assert_null(again(b, rip));
	/* Over two pages; and cut off where the second isn't there. */
	code(b, CODE + PAGE_SIZE - 4, store, 4);
	code(b, OTHER, store + 4, sizeof(store) - 4);
	rip = 0x1ffc;
	assert_int_equal(fetch_decode(&b->cache, &b->mem, &b->mode, rip, &insn), HV_OK);
	assert_int_equal(insn->imm, 0x11223344);
	put(b, slot(LEAF, rip + PAGE_SIZE, 12), 0, 8);
	assert_int_equal(fetch_decode(&b->cache, &b->mem, &b->mode, rip, &insn), HV_ENO_SPACE);
	/* Code of 32 bits. */
	b->mode =
		(struct x86_mode){.cr0 = CR0_PE, .cs_32bit = true, .cs_base = 0x100000000u + CODE};
	code(b, CODE + 0x20, load, sizeof(load));
	assert_int_equal(fetch_decode(&b->cache, &b->mem, &b->mode, 0x20, &insn), HV_OK);
	assert_int_equal(insn->address_size, 4);
	assert_null(again(b, 0x20));
}

static u32 next(u32 *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Whatever the guest changes, what is found again is what decoding it anew gives. */
static void test_again_is_what_anew_gives(void **state)
{
	static const u64 rips[] = {ADDRESS, ADDRESS + 4 * FETCH_LINES, ADDRESS + 0x40, 0x1000};
	struct board *b = *state;
	struct mem_image image = {0}, old;
	u32 seed = 1, hits = 0;

	for (u32 i = 0; i < ARRAY_COUNT(rips); i++)
		long_mode(b, rips[i], PTE_PRESENT);
	for (u32 step = 0; step < 20000; step++) {
		u64 rip = rips[next(&seed) % ARRAY_COUNT(rips)];
		u64 page = next(&seed) % 2 ? CODE : OTHER;
		static struct fetch_cache fresh;
		const struct decode_insn *insn, *found;
		enum hv_error err;

		switch (next(&seed) % 16) {
		case 0:
			put(b, slot(LEAF, rip, 12), page | PTE_PRESENT, 8);
			break;
		case 1:
			code(b, page + rip % PAGE_SIZE, load, sizeof(load));
			break;
		case 2:
			code(b, page + rip % PAGE_SIZE, store, sizeof(store));
			break;
		case 3:
			put(b, slot(LOWER, rip, 21),
			    next(&seed) % 4 ? LEAF | PTE_PRESENT : PTE_PRESENT | PTE_LARGE, 8);
			break;
		case 4:
			if (next(&seed) % 8)
				break;
			if (image.root) {
				assert_int_equal(mem_attach(&b->mem, &image, &old), HV_OK);
				mem_image_fini(&old);
			} else {
				assert_int_equal(mem_freeze(&b->mem, &image), HV_OK);
			}
			break;
		default:
			break;
		}
		memset(&fresh, 0, sizeof(fresh));
		err = fetch_decode(&fresh, &b->mem, &b->mode, rip, &insn);
		found = again(b, rip);
		if (found) {
			assert_int_equal(err, HV_OK);
			assert_memory_equal(found, insn, sizeof(*insn));
			hits++;
		} else if (fetch_decode(&b->cache, &b->mem, &b->mode, rip, &insn) == HV_OK) {
			assert_non_null(again(b, rip));
		}
	}
	assert_true(hits > 5000);
	mem_image_fini(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_paging, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_three_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_four_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rights, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tables_that_are_not_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again_only_what_is_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again_over_layers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again_with_large_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again_is_what_anew_gives, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
