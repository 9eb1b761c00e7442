/* SPDX-License-Identifier: MIT */
/* Loads and stores that touch devices. Encodings: Arm ARM, C4.1 "Loads and Stores". */
#include <arch/decode.h>

/* The fields that all forms share. */
#define INSN_RT(insn)   ((u8)((insn)&31))
#define INSN_RN(insn)   ((u8)((insn) >> 5 & 31))
#define INSN_RT2(insn)  ((u8)((insn) >> 10 & 31))
#define INSN_OPC(insn)  ((insn) >> 22 & 3)
#define INSN_SIZE(insn) ((insn) >> 30)

static inline s64 signed_field(u32 insn, unsigned int low, unsigned int bits)
{
	return (s64)((u64)insn << (64 - low - bits)) >> (64 - bits);
}

/* The two fields that say what most forms do: bits 31:30, and 23:22 or what stands for them. */
static enum hv_error decode_size_opc(u32 size, u32 opc, struct a64_insn *out)
{
	/* Sign-extended to more than there is: prefetches, or not allocated. */
	if (opc >= 2 && size + (opc & 1) >= 3)
		return HV_EUNSUPPORTED;
	out->size = (u8)(1 << size);
	out->is_write = opc == 0;
	out->sign_extend = opc >= 2;
	out->to_64 = out->sign_extend ? opc == 2 : size == 3;
	return HV_OK;
}

static enum hv_error decode_plain(u32 insn, struct a64_insn *out)
{
	return decode_size_opc(INSN_SIZE(insn), INSN_OPC(insn), out);
}

/* LDAR, LDLAR, STLR, STLLR: bit 22 alone says which direction. */
static enum hv_error decode_ordered(u32 insn, struct a64_insn *out)
{
	return decode_size_opc(INSN_SIZE(insn), INSN_OPC(insn) & 1, out);
}

static enum hv_error decode_acquire(u32 insn, struct a64_insn *out)
{
	return decode_size_opc(INSN_SIZE(insn), 1, out);
}

static enum hv_error decode_literal(u32 insn, struct a64_insn *out)
{
	/* LDR Wt, LDR Xt, LDRSW, PRFM. */
	switch (INSN_SIZE(insn)) {
	case 0:
		return decode_size_opc(2, 1, out);
	case 1:
		return decode_size_opc(3, 1, out);
	case 2:
		return decode_size_opc(2, 2, out);
	default:
		return HV_EUNSUPPORTED;
	}
}

static bool writeback_is_predictable(const struct a64_insn *insn)
{
	return insn->rn == A64_SP ||
	       (insn->rt != insn->rn && !(insn->pair && insn->rt2 == insn->rn));
}

static enum hv_error decode_indexed(u32 insn, struct a64_insn *out)
{
	out->rn = INSN_RN(insn);
	out->offset = signed_field(insn, 12, 9);
	out->writeback = true;
	out->post_index = !(insn & BIT(11));
	/* No prefetch has writeback: what it would be isn't allocated either. */
	if (decode_plain(insn, out))
		return HV_EUNSUPPORTED;
	return writeback_is_predictable(out) ? HV_OK : HV_EINVALID;
}

static enum hv_error decode_register(u32 insn, struct a64_insn *out)
{
	/* The index is of 32 or 64 bits. */
	return insn & BIT(14) ? decode_plain(insn, out) : HV_EUNSUPPORTED;
}

static enum hv_error decode_pair(u32 insn, struct a64_insn *out)
{
	u32 index = insn >> 23 & 3; /* no allocate, post-index, offset, pre-index */
	u32 opc = INSN_SIZE(insn);
	bool is_read = insn & BIT(22);

	/* LDPSW has neither a store nor a form without allocation. */
	if (opc == 3 || (opc == 1 && (!is_read || !index)))
		return HV_EUNSUPPORTED;
	out->pair = true;
	out->size = opc == 2 ? 8 : 4;
	out->is_write = !is_read;
	out->sign_extend = opc == 1;
	out->to_64 = opc != 0;
	out->rt2 = INSN_RT2(insn);
	out->rn = INSN_RN(insn);
	out->offset = signed_field(insn, 15, 7) * out->size;
	out->writeback = index & 1;
	out->post_index = index == 1;
	if ((is_read && out->rt == out->rt2) || (out->writeback && !writeback_is_predictable(out)))
		return HV_EINVALID;
	return HV_OK;
}

static const struct {
	u32 mask, value;
	enum hv_error (*decode)(u32 insn, struct a64_insn *out);
} forms[] = {
	{0x3e000000, 0x28000000, decode_pair},     {0x3f200400, 0x38000400, decode_indexed},
	{0x3f000000, 0x39000000, decode_plain},    /* unsigned offset */
	{0x3f200400, 0x38000000, decode_plain},    /* unscaled offset; unprivileged */
	{0x3f200c00, 0x38200800, decode_register}, /* register offset */
	{0x3f000000, 0x18000000, decode_literal},  {0x3fbf7c00, 0x089f7c00, decode_ordered},
	{0x3ffffc00, 0x38bfc000, decode_acquire}, /* FEAT_LRCPC */
	{0x3f200c00, 0x19000000, decode_plain},   /* FEAT_LRCPC2 */
};

enum hv_error a64_decode(u32 insn, struct a64_insn *out)
{
	*out = (struct a64_insn){.rt = INSN_RT(insn)};
	for (size_t i = 0; i < ARRAY_COUNT(forms); i++)
		if ((insn & forms[i].mask) == forms[i].value)
			return forms[i].decode(insn, out);
	return HV_EUNSUPPORTED;
}

u64 a64_read_result(const struct a64_insn *insn, u64 value)
{
	unsigned int unused = 64 - 8u * insn->size;

	value <<= unused;
	value = insn->sign_extend ? (u64)((s64)value >> unused) : value >> unused;
	return insn->to_64 ? value : (u32)value;
}
