/* SPDX-License-Identifier: MIT */
/* Nested page tables look like ordinary ones: AMD APM vol. 2 section 15.25.5. */
#include <arch/x86.h>
#include <internal/arch.h>

#define WRITE    BIT(1)
#define USER     BIT(2) /* all nested accesses count as user accesses */
#define ACCESSED BIT(5)
#define DIRTY    BIT(6)
#define SHARED   BIT(9) /* available to software */

static const struct stage2_format format = {
	.address_mask = PTE_ADDRESS,
	.page_bits = PTE_PRESENT | WRITE | USER | ACCESSED | DIRTY,
	.block_bits = PTE_PRESENT | WRITE | USER | ACCESSED | DIRTY | PTE_LARGE,
	.table_bits = PTE_PRESENT | WRITE | USER | ACCESSED,
	/* Without the write bit up here nothing below can be written. */
	.table_shared_bits = PTE_PRESENT | USER | ACCESSED | SHARED,
	.write_bit = WRITE,
	.present_bit = PTE_PRESENT,
	.leaf_bit = PTE_LARGE,
	.leaf_value = PTE_LARGE,
	.shared_bit = SHARED,
	.shared_walkable = true,
};

const struct stage2_format *arch_stage2_format(void)
{
	return &format;
}

u64 arch_device_page(void)
{
	return PAGE_SIZE;
}

/* Caches are coherent for every mapping that the guest can make (NPT honours the guest's PAT). */
void arch_cache_clean(const void *ptr, size_t length)
{
	(void)ptr;
	(void)length;
}
