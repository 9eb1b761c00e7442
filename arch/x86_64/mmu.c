/* SPDX-License-Identifier: MIT */
#include <arch/mmu.h>
#include <arch/x86.h>
#include <internal/vm.h>
#include <string.h>

static bool entry_read(struct vm *vm, u64 table, u64 index, u32 size, u64 *entry)
{
	const u8 *page = mem_page(&vm->mem, GPA(table), false);

	if (!page)
		return false;
	if (size == 8)
		*entry = ((const u64 *)(const void *)page)[index];
	else
		*entry = ((const u32 *)(const void *)page)[index];
	return *entry & PTE_PRESENT;
}

/* APM vol. 2 section 5.3: four levels of nine bits. */
static enum hv_error walk_long(struct vm *vm, u64 table, u64 address, gpa_t *gpa)
{
	for (u32 shift = 39;; shift -= 9) {
		u64 entry;

		if (!entry_read(vm, table, (address >> shift) & 0x1ff, 8, &entry))
			return HV_ENOT_FOUND;
		table = entry & PTE_ADDRESS;
		if (shift == 12 || (shift <= 30 && (entry & PTE_LARGE))) {
			u64 offset = address & (BIT(shift) - 1);

			*gpa = GPA((table & ~(BIT(shift) - 1)) | offset);
			return HV_OK;
		}
	}
}

/* Section 5.2.4: PAE, four pointers at CR3, then two levels of nine bits. */
static enum hv_error walk_pae(struct vm *vm, u64 cr3, u64 address, gpa_t *gpa)
{
	u64 entry;
	u64 first = (cr3 & 0xfe0u) / 8 + ((address >> 30) & 3);

	if (!entry_read(vm, cr3 & 0xfffff000u, first, 8, &entry))
		return HV_ENOT_FOUND;
	if (!entry_read(vm, entry & PTE_ADDRESS, (address >> 21) & 0x1ff, 8, &entry))
		return HV_ENOT_FOUND;
	if (entry & PTE_LARGE) {
		*gpa = GPA((entry & PTE_ADDRESS & ~(MIB(2) - 1)) | (address & (MIB(2) - 1)));
		return HV_OK;
	}
	if (!entry_read(vm, entry & PTE_ADDRESS, (address >> 12) & 0x1ff, 8, &entry))
		return HV_ENOT_FOUND;
	*gpa = GPA((entry & PTE_ADDRESS) | (address & 0xfff));
	return HV_OK;
}

/* Section 5.2.3: two levels of ten bits; 4 MiB pages with CR4.PSE (bit 4). */
static enum hv_error walk_32(struct vm *vm, const struct x86_mode *mode, u64 address, gpa_t *gpa)
{
	u64 entry;

	if (!entry_read(vm, mode->cr3 & 0xfffff000u, (address >> 22) & 0x3ff, 4, &entry))
		return HV_ENOT_FOUND;
	if ((entry & PTE_LARGE) && (mode->cr4 & BIT(4))) {
		u64 high = (entry >> 13) & 0xff; /* bits 39:32 of the page: PSE-36 */

		*gpa = GPA(high << 32 | (entry & 0xffc00000u) | (address & 0x3fffff));
		return HV_OK;
	}
	if (!entry_read(vm, entry & 0xfffff000u, (address >> 12) & 0x3ff, 4, &entry))
		return HV_ENOT_FOUND;
	*gpa = GPA((entry & 0xfffff000u) | (address & 0xfff));
	return HV_OK;
}

enum hv_error mmu_translate(struct vm *vm, const struct x86_mode *mode, u64 address, gpa_t *gpa)
{
	if (!(mode->cr0 & CR0_PG)) {
		*gpa = GPA(address & 0xffffffffu);
		return HV_OK;
	}
	if (mode->efer & EFER_LMA)
		return walk_long(vm, mode->cr3 & PTE_ADDRESS, address, gpa);
	address &= 0xffffffffu;
	if (mode->cr4 & CR4_PAE)
		return walk_pae(vm, mode->cr3, address, gpa);
	return walk_32(vm, mode, address, gpa);
}

size_t mmu_read(struct vm *vm, const struct x86_mode *mode, u64 address, u8 *buf, size_t length)
{
	size_t done = 0;

	while (done < length) {
		u64 at = address + done;
		size_t in_page = (size_t)min_u64(length - done, PAGE_SIZE - at % PAGE_SIZE);
		const u8 *page;
		gpa_t gpa;

		if (mmu_translate(vm, mode, at, &gpa))
			break;
		page = mem_page(&vm->mem, gpa, false);
		if (!page)
			break;
		memcpy(buf + done, page + gpa.v % PAGE_SIZE, in_page);
		done += in_page;
	}
	return done;
}
