/* SPDX-License-Identifier: MIT */
/* Nested page tables look like ordinary ones: AMD APM vol. 2 section 15.25.5. */
#include <arch/x86.h>
#include <internal/arch.h>

#define SHARED BIT(9) /* available to software */

/* All nested accesses count as user accesses. */
static const struct stage2_format format = {
	.address_mask = PTE_ADDRESS,
	.page_bits = PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED | PTE_DIRTY,
	.block_bits = PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED | PTE_DIRTY | PTE_LARGE,
	.table_bits = PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED,
	/* Without the write bit up here nothing below can be written. */
	.table_shared_bits = PTE_PRESENT | PTE_USER | PTE_ACCESSED | SHARED,
	.write_bit = PTE_WRITE,
	.present_bit = PTE_PRESENT,
	.leaf_bit = PTE_LARGE,
	.leaf_value = PTE_LARGE,
	.shared_bit = SHARED,
	.shared_walkable = true,
	/* Nothing to publish: caches are coherent for every mapping that a guest can make. */
};

const struct stage2_format *arch_stage2_format(void)
{
	return &format;
}

u64 arch_device_page(void)
{
	return PAGE_SIZE;
}
