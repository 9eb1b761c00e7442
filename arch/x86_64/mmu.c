/* SPDX-License-Identifier: MIT */
#include <arch/mmu.h>
#include <arch/x86.h>
#include <string.h>

/* One of the three kinds of tables: sections 5.2.3, 5.2.4 and 5.3. */
struct tables {
	u64 root;      /* guest-physical */
	u32 top;       /* lowest bit of the address that the root is indexed by */
	u32 bits;      /* of the address that a table is indexed by */
	u32 size;      /* of an entry, bytes */
	u32 large_top; /* entries of this level and below may be pages; 0: none but the last */
};

static struct tables tables_of(const struct x86_mode *mode)
{
	if (mode->efer & EFER_LMA)
		return (struct tables){
			.root = mode->cr3 & PTE_ADDRESS,
			.top = 39,
			.bits = 9,
			.size = 8,
			.large_top = 30,
		};
	if (mode->cr4 & CR4_PAE)
		return (struct tables){
			.root = mode->cr3 & 0xffffffe0u,
			.top = 30,
			.bits = 9,
			.size = 8,
			.large_top = 21,
		};
	return (struct tables){
		.root = mode->cr3 & 0xfffff000u,
		.top = 22,
		.bits = 10,
		.size = 4,
		.large_top = mode->cr4 & CR4_PSE ? 22 : 0,
	};
}

/* Reads one entry into the last of @walk's; HV_ENOT_FOUND where there is no memory. */
static enum hv_error read_entry(struct mem *mem, u64 at, u32 size, struct mmu_walk *walk)
{
	const u8 *page = mem_page(mem, GPA(at), false);
	u32 last = walk->levels;

	if (!page)
		return mem_covers(mem, GPA(at)) ? HV_ENO_MEMORY : HV_ENOT_FOUND;
	page += at % PAGE_SIZE;
	walk->at[last] = GPA(at);
	walk->entry[last] = page;
	walk->value[last] =
		size == 8 ? *(const u64 *)(const void *)page : *(const u32 *)(const void *)page;
	walk->levels++;
	return HV_OK;
}

static u64 page_address(const struct tables *tables, u64 entry, u32 shift, u64 address)
{
	u64 offset = BIT(shift) - 1;
	u64 page = entry & PTE_ADDRESS & ~offset;

	/* Bits 39:32 of a page of 4 MiB are lower down: PSE-36. */
	if (tables->size == 4 && shift == 22)
		page |= (entry >> 13 & 0xff) << 32;
	return page | (address & offset);
}

/* Section 5.6: whether the access may be made, of what all levels grant together. */
static bool allowed(const struct x86_mode *mode, enum mmu_access access, u64 rights)
{
	bool user = mode->cpl == 3;

	if (access == MMU_FETCHED)
		return true;
	if (user && !(rights & PTE_USER))
		return false;
	if (!user && (rights & PTE_USER) && (mode->cr4 & CR4_SMAP) && !(mode->rflags & RFLAGS_AC))
		return false;
	return access != MMU_WRITE || (rights & PTE_WRITE) || (!user && !(mode->cr0 & CR0_WP));
}

static bool is_reserved(const struct x86_mode *mode, const struct tables *tables, u64 entry,
			u32 shift)
{
	return (shift == 39 && (entry & PTE_LARGE)) ||
	       (tables->size == 8 && (entry & PTE_NX) && !(mode->efer & EFER_NXE));
}

/* Section 5.4.2. Another processor of the guest may change other bits meanwhile. */
static enum hv_error set_bits(struct mem *mem, const struct tables *tables, bool write,
			      const struct mmu_walk *walk)
{
	for (u32 i = 0; i < walk->levels; i++) {
		u64 bits = PTE_ACCESSED;
		u8 *page;

		/* The four entries at the top of PAE tables have none. */
		if (tables->top == 30 && i == 0)
			continue;
		if (write && i == walk->levels - 1)
			bits |= PTE_DIRTY;
		if ((walk->value[i] & bits) == bits)
			continue;
		page = mem_page(mem, walk->at[i], true);
		if (!page)
			return HV_ENO_MEMORY;
		__atomic_fetch_or((u32 *)(void *)(page + walk->at[i].v % PAGE_SIZE), (u32)bits,
				  __ATOMIC_SEQ_CST);
	}
	return HV_OK;
}

enum hv_error mmu_translate(struct mem *mem, const struct x86_mode *mode, u64 address,
			    enum mmu_access access, struct mmu_walk *walk)
{
	struct tables tables = tables_of(mode);
	u64 rights = PTE_WRITE | PTE_USER;
	u64 at = tables.root;
	u32 shift = tables.top;

	walk->levels = 0;
	walk->error = (mode->cpl == 3 ? PF_USER : 0) | (access == MMU_WRITE ? PF_WRITE : 0);
	if (!(mode->efer & EFER_LMA))
		address = (u32)address;
	if (!(mode->cr0 & CR0_PG)) {
		walk->gpa = GPA(address);
		return HV_OK;
	}
	for (;; shift -= tables.bits) {
		u64 index = address >> shift & (BIT(tables.bits) - 1);
		enum hv_error err = read_entry(mem, at + index * tables.size, tables.size, walk);
		u64 entry;

		/* Where nothing is, all bits are set, reserved ones as well. */
		if (err == HV_ENOT_FOUND)
			walk->error |= PF_PRESENT | PF_RESERVED;
		if (err)
			return err;
		entry = walk->value[walk->levels - 1];
		if (!(entry & PTE_PRESENT))
			return HV_ENOT_FOUND;
		if (is_reserved(mode, &tables, entry, shift)) {
			walk->error |= PF_PRESENT | PF_RESERVED;
			return HV_ENOT_FOUND;
		}
		if (tables.top != 30 || shift != 30)
			rights &= entry;
		if (shift == PAGE_SHIFT || (shift <= tables.large_top && (entry & PTE_LARGE))) {
			walk->gpa = GPA(page_address(&tables, entry, shift, address));
			break;
		}
		at = entry & PTE_ADDRESS;
	}
	if (!allowed(mode, access, rights)) {
		walk->error |= PF_PRESENT;
		return HV_ENOT_FOUND;
	}
	return access == MMU_FETCHED ? HV_OK : set_bits(mem, &tables, access == MMU_WRITE, walk);
}

size_t mmu_fetch(struct mem *mem, const struct x86_mode *mode, u64 address, u8 *buf, size_t length)
{
	size_t done = 0;

	while (done < length) {
		u64 at = address + done;
		size_t in_page = (size_t)min_u64(length - done, PAGE_SIZE - at % PAGE_SIZE);
		struct mmu_walk walk;
		const u8 *page;

		if (mmu_translate(mem, mode, at, MMU_FETCHED, &walk))
			break;
		page = mem_page(mem, walk.gpa, false);
		if (!page)
			break;
		memcpy(buf + done, page + walk.gpa.v % PAGE_SIZE, in_page);
		done += in_page;
	}
	return done;
}
