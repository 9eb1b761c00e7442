/* SPDX-License-Identifier: MIT */
/*
 * The guest's own page tables, walked by software: to fetch the instruction behind an exit, and to
 * reach the memory of an instruction that anew carries out. AMD APM vol. 2, chapter 5.
 */
#ifndef ARCH_MMU_H
#define ARCH_MMU_H

#include <internal/mem.h>

/* What walks, and the meaning of an instruction's bytes, depend on. */
struct x86_mode {
	u64 cr0, cr3, cr4, efer, rflags, cs_base;
	bool cs_long;  /* 64-bit code, if EFER.LMA */
	bool cs_32bit; /* default size 32 */
	u8 cpl;
};

enum mmu_access {
	MMU_FETCHED, /* by the processor, just now: nothing is checked */
	MMU_READ,
	MMU_WRITE,
};

/* Error code of a page fault: section 8.4.2. */
#define PF_PRESENT  ((u32)BIT(0))
#define PF_WRITE    ((u32)BIT(1))
#define PF_USER     ((u32)BIT(2))
#define PF_RESERVED ((u32)BIT(3))

#define MMU_LEVELS 4

struct mmu_walk {
	gpa_t gpa;
	u32 error;  /* of the page fault, if it fails */
	u32 levels; /* entries that were read */
	/* Where they are, guest-physical and as mem_page() has it, and what they held. */
	gpa_t at[MMU_LEVELS];
	const void *entry[MMU_LEVELS];
	u64 value[MMU_LEVELS];
};

/*
 * Translates guest-virtual @address. HV_ENOT_FOUND: it faults, by walk->error. HV_ENO_MEMORY:
 * the pool is empty. Checks permissions, and sets accessed and dirty bits as the processor does;
 * but for MMU_FETCHED, which changes nothing.
 */
HV_MUST_CHECK enum hv_error mmu_translate(struct mem *mem, const struct x86_mode *mode, u64 address,
					  enum mmu_access access, struct mmu_walk *walk);

/*
 * Copies up to @length bytes of code at guest-virtual @address; returns how many could be read,
 * which is fewer at a page that isn't mapped.
 */
size_t mmu_fetch(struct mem *mem, const struct x86_mode *mode, u64 address, u8 *buf, size_t length);

#endif
