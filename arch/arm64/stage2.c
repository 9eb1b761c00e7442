/* SPDX-License-Identifier: MIT */
/*
 * Second-stage tables: VMSAv8-64 with 4 KiB granule (Arm ARM D8.3), and what makes written memory
 * visible to a guest, whatever its own mapping says about caches.
 */
#include <internal/arch.h>
#include <internal/check.h>
#include <string.h>

#include "el2.h"

#define VALID    BIT(0)
#define PAGE     BIT(1)          /* in the last level; a table in the others, and clear: a block */
#define WB       ((u64)0xf << 2) /* MemAttr: normal memory, write-back */
#define WB_FWB   ((u64)0x6 << 2) /* the same where stage 2 overrides stage 1 (FEAT_S2FWB) */
#define DEVICE   ((u64)0x1 << 2) /* MemAttr: Device-nGnRE */
#define READ     BIT(6)
#define WRITE    BIT(7)
#define INNER    ((u64)3 << 8) /* shareability */
#define ACCESSED BIT(10)
#define SHARED   BIT(55) /* for software */
#define ADDRESS  0x0000fffffffff000u

#define LEAF_BITS (VALID | READ | WRITE | INNER | ACCESSED)

/* Walks are cacheable and shareable; only their order matters. */
static void sync(const void *entry, size_t bytes)
{
	(void)entry;
	(void)bytes;
	__asm__ volatile("dsb ishst" : : : "memory");
}

bool stage2_has_fwb(void)
{
	return (sysreg_read("S3_0_C0_C7_2") >> 40) & 0xf; /* ID_AA64MMFR2_EL1.FWB */
}

/*
 * To the point of coherency. A guest may see a page first with its MMU or caches off, or through a
 * Device or non-cacheable mapping, and then reads what memory holds, not what the cache does; and
 * it may fetch instructions from it, which go through another cache (Arm ARM B2.4.4, D7.5.9). Where
 * stage 2 forces write-back (FEAT_S2FWB), and data caches need no cleaning for instruction fetches
 * (CTR_EL0.IDC, .DIC), there is nothing to do. This is the one place: mem.c calls it for all that
 * it fills, copies and writes. Emulators have no caches and forgive its absence.
 */
static void publish(const void *ptr, size_t length)
{
	u64 ctr = sysreg_read("ctr_el0");
	u64 line = (u64)4 << ((ctr >> 16) & 0xf);
	u64 at = ALIGN_DOWN((u64)(uintptr_t)ptr, line);
	u64 end = (u64)(uintptr_t)ptr + length;

	if (!stage2_has_fwb()) {
		/* Four at a time: for whole pages mostly, and lines are 16 bytes at least. */
		for (; at + 3 * line < end; at += 4 * line)
			__asm__ volatile("dc civac, %0\n\tdc civac, %1\n\tdc civac, %2\n\t"
					 "dc civac, %3"
					 :
					 : "r"(at), "r"(at + line), "r"(at + 2 * line),
					   "r"(at + 3 * line)
					 : "memory");
		for (; at < end; at += line)
			__asm__ volatile("dc civac, %0" : : "r"(at) : "memory");
	} else if (!(ctr & BIT(28))) { /* IDC */
		for (; at < end; at += line)
			__asm__ volatile("dc cvau, %0" : : "r"(at) : "memory");
	}
	dsb_ish();
	if (!(ctr & BIT(29))) { /* DIC */
		__asm__ volatile("ic ialluis" : : : "memory");
		dsb_ish();
	}
	isb();
}

static struct stage2_format format = {
	.address_mask = ADDRESS,
	.page_bits = LEAF_BITS | PAGE | WB,
	.block_bits = LEAF_BITS | WB,
	.table_bits = VALID | PAGE,
	/* Tables carry no permissions in stage 2: a shared one is not there for the hardware. */
	.table_shared_bits = PAGE | SHARED,
	.write_bit = WRITE,
	.present_bit = VALID,
	.leaf_bit = PAGE,
	.leaf_value = 0,
	.shared_bit = SHARED,
	.shared_walkable = false,
	.sync = sync,
	/* The guest's own mapping may make it stricter, not more lenient: Arm ARM D8.6.3 */
	.mapped_bits = VALID | PAGE | READ | WRITE | ACCESSED | DEVICE,
	.publish = publish,
};

const struct stage2_format *arch_stage2_format(void)
{
	return &format;
}

u64 arch_device_page(void)
{
	return DEVICE_PAGE;
}

enum hv_error stage2_check(void)
{
	static const u8 bits[] = {32, 36, 40, 42, 44, 48, 52};
	u64 mmfr0 = sysreg_read("id_aa64mmfr0_el1");
	u32 range = mmfr0 & 0xf;
	u32 granule = (mmfr0 >> 40) & 0xf; /* TGran4_2, 0: as TGran4 says */
	enum hv_error err = HV_OK;

	if (range >= ARRAY_COUNT(bits))
		range = ARRAY_COUNT(bits) - 1;
	if (!check_require(bits[range] >= IPA_BITS, "enough bits of physical address",
			   "this processor has %u bits of physical address, anew needs %u for its "
			   "guests: it can't run here",
			   bits[range], IPA_BITS))
		err = HV_EUNSUPPORTED;
	if (!check_require(granule != 1 && (granule || ((mmfr0 >> 28) & 0xf) != 0xf),
			   "second-stage translation by pages of 4 KiB",
			   "this processor has no second-stage translation by pages of 4 KiB, "
			   "which anew needs: it can't run here"))
		err = HV_EUNSUPPORTED;
	return err;
}

void stage2_init(void)
{
	u64 attributes = stage2_has_fwb() ? WB_FWB : WB;

	format.page_bits = LEAF_BITS | PAGE | attributes;
	format.block_bits = LEAF_BITS | attributes;
}

/* Entry 0 of the root covers the first 512 GiB: its table is where walks of IPA_BITS begin. */
u64 stage2_base(const struct vm *vm)
{
	static const u8 nothing[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	u64 entry = vm->mem.root[0];

	return entry & VALID ? entry & ADDRESS : (u64)(uintptr_t)nothing;
}
