/* SPDX-License-Identifier: MIT */
/*
 * The instruction behind an exit, where the processor says only that there was one. Drivers reach
 * their devices from few places, again and again: what was decoded is kept, with all that it came
 * from. It is used again only if all that still holds, by comparing it: the page-table entries on
 * the way as the guest has them now, and the bytes of the instruction.
 */
#ifndef ARCH_FETCH_H
#define ARCH_FETCH_H

#include <arch/decode.h>
#include <arch/mmu.h>
#include <string.h>

#define FETCH_LINES 32 /* power of two */
#define FETCH_BYTES 16 /* that are compared */

/* 64-bit code only. */
struct fetch_line {
	u64 rip, cr3;
	u64 generation; /* mem->generation, for which the pointers are good; 0: nothing is here */
	const void *entry[MMU_LEVELS];
	u64 value[MMU_LEVELS];
	const u8 *code;
	u64 bytes[FETCH_BYTES / 8];
	struct decode_insn insn;
};

/* One virtual CPU's. Begins zeroed. */
struct fetch_cache {
	struct fetch_line lines[FETCH_LINES];
	struct decode_insn other; /* that no line has */
};

/* Read once, as it is now: other processors of the guest write there. */
static inline u64 fetch_word(const void *from)
{
	u64 word;

	__builtin_memcpy(&word, from, sizeof(word));
	return word;
}

static inline size_t fetch_index(u64 rip)
{
	return rip / 4 % FETCH_LINES;
}

/* The instruction of 64-bit code at @rip, if it is one that was decoded before, else NULL. */
static inline const struct decode_insn *fetch_again(const struct fetch_cache *cache,
						    const struct mem *mem, u64 cr3, u64 rip)
{
	const struct fetch_line *line = &cache->lines[fetch_index(rip)];
	u64 differs;

	if (line->rip != rip || line->cr3 != cr3 || line->generation != mem->generation)
		return NULL;
	differs = fetch_word(line->entry[0]) ^ line->value[0];
	differs |= fetch_word(line->entry[1]) ^ line->value[1];
	differs |= fetch_word(line->entry[2]) ^ line->value[2];
	differs |= fetch_word(line->entry[3]) ^ line->value[3];
	differs |= fetch_word(line->code) ^ line->bytes[0];
	differs |= fetch_word(line->code + 8) ^ line->bytes[1];
	return differs ? NULL : &line->insn;
}

/*
 * Decodes the instruction at @rip. *@insn belongs to @cache, until the next call. Errors are those
 * of x86_decode().
 */
HV_MUST_CHECK enum hv_error fetch_decode(struct fetch_cache *cache, struct mem *mem,
					 const struct x86_mode *mode, u64 rip,
					 const struct decode_insn **insn);

/* The linear address of the instruction at @rip. */
u64 fetch_address(const struct x86_mode *mode, u64 rip);
/* The width of code in @mode. */
enum decode_mode fetch_width(const struct x86_mode *mode);

#endif
