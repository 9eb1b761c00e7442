/* SPDX-License-Identifier: MIT */
#include <arch/fetch.h>
#include <arch/x86.h>

enum decode_mode fetch_width(const struct x86_mode *mode)
{
	if ((mode->efer & EFER_LMA) && mode->cs_long)
		return DECODE_64;
	return mode->cs_32bit && (mode->cr0 & CR0_PE) ? DECODE_32 : DECODE_16;
}

u64 fetch_address(const struct x86_mode *mode, u64 rip)
{
	return fetch_width(mode) == DECODE_64 ? rip : (u32)(rip + mode->cs_base);
}

/* Keeps @insn, decoded from @bytes, and what it came from, if that can be compared later. */
static void keep(struct fetch_cache *cache, struct mem *mem, const struct x86_mode *mode, u64 rip,
		 const u8 *bytes, const struct decode_insn *insn)
{
	struct fetch_line *line = &cache->lines[fetch_index(rip)];
	struct mmu_walk walk;
	const u8 *page;

	if (fetch_width(mode) != DECODE_64 || rip % PAGE_SIZE > PAGE_SIZE - FETCH_BYTES)
		return;
	line->generation = 0;
	if (mmu_translate(mem, mode, rip, MMU_FETCHED, &walk))
		return;
	page = mem_page(mem, walk.gpa, false);
	if (!page)
		return;
	*line = (struct fetch_line){
		.rip = rip,
		.cr3 = mode->cr3,
		.code = page + rip % PAGE_SIZE,
		.insn = *insn,
	};
	/* Of a large page there are fewer: the last then stands for what isn't there. */
	for (u32 i = 0; i < MMU_LEVELS; i++) {
		u32 level = i < walk.levels ? i : walk.levels - 1;

		line->entry[i] = walk.entry[level];
		line->value[i] = walk.value[level];
	}
	for (u32 i = 0; i < FETCH_BYTES / 8; i++)
		line->bytes[i] = fetch_word(line->code + 8 * i);
	/* Another processor of the guest may have changed them since. */
	if (!memcmp(line->bytes, bytes, insn->length))
		line->generation = mem->generation;
}

enum hv_error fetch_decode(struct fetch_cache *cache, struct mem *mem, const struct x86_mode *mode,
			   u64 rip, const struct decode_insn **insn)
{
	u8 bytes[DECODE_LENGTH_MAX];
	size_t length = mmu_fetch(mem, mode, fetch_address(mode, rip), bytes, sizeof(bytes));
	enum hv_error err = x86_decode(bytes, length, fetch_width(mode), &cache->other);

	*insn = &cache->other;
	if (!err)
		keep(cache, mem, mode, rip, bytes, &cache->other);
	return err;
}
