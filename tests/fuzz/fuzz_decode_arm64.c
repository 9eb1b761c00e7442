/* SPDX-License-Identifier: MIT */
/* Instruction words from anywhere: what is accepted is one or two plain accesses, and no more. */
#include <arch/decode.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_result(const struct a64_insn *insn, u64 value)
{
	u64 result = a64_read_result(insn, value);
	unsigned int bits = 8u * insn->size;

	must(bits == 64 || !((result ^ value) & (BIT(bits) - 1)));
	must(insn->to_64 || result <= UINT32_MAX);
	must(insn->sign_extend || bits == 64 || result < BIT(bits));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct a64_insn insn;
	u64 value;
	u32 word;

	if (size < sizeof(word) + sizeof(value))
		return 0;
	memcpy(&word, data, sizeof(word));
	memcpy(&value, data + sizeof(word), sizeof(value));
	if (a64_decode(word, &insn))
		return 0;
	must(insn.size == 1 || insn.size == 2 || insn.size == 4 || insn.size == 8);
	must(insn.rt < 32 && insn.rt2 < 32 && insn.rn < 32);
	must(!insn.is_write || !insn.sign_extend);
	must(!insn.post_index || insn.writeback);
	must(insn.offset >= -512 && insn.offset < 512);
	must(!insn.pair || insn.is_write || insn.rt != insn.rt2);
	if (!insn.is_write)
		check_result(&insn, value);
	return 0;
}
