/* SPDX-License-Identifier: MIT */
/*
 * Compares the decoder with Zydis, in both directions: what ours accepts Zydis reads in the same
 * way, and what Zydis takes for an instruction that ours should know ours accepts.
 */
#ifndef TESTS_DECODE_ORACLE_H
#define TESTS_DECODE_ORACLE_H

#include <arch/decode.h>

#include <Zydis/Zydis.h>

struct oracle {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZyanStatus status;
};

static inline void oracle_decode(struct oracle *oracle, const u8 *bytes, size_t length,
				 enum decode_mode mode)
{
	ZydisDecoder decoder;

	switch (mode) {
	case DECODE_16:
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
		break;
	case DECODE_32:
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
		break;
	case DECODE_64:
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
		break;
	}
	oracle->status =
		ZydisDecoderDecodeFull(&decoder, bytes, length, &oracle->insn, oracle->operands);
}

struct oracle_class {
	ZydisMnemonic mnemonic;
	u8 op;
	u8 alu;
	bool string;
};

static const struct oracle_class oracle_classes[] = {
	{ZYDIS_MNEMONIC_MOV, DECODE_READ, 0, false},
	{ZYDIS_MNEMONIC_MOV, DECODE_WRITE, 0, false},
	{ZYDIS_MNEMONIC_MOVNTI, DECODE_WRITE, 0, false},
	{ZYDIS_MNEMONIC_MOVZX, DECODE_READ_ZX, 0, false},
	{ZYDIS_MNEMONIC_MOVSX, DECODE_READ_SX, 0, false},
	{ZYDIS_MNEMONIC_MOVSXD, DECODE_READ_SX, 0, false},
	{ZYDIS_MNEMONIC_ADD, DECODE_MODIFY, DECODE_ADD, false},
	{ZYDIS_MNEMONIC_OR, DECODE_MODIFY, DECODE_OR, false},
	{ZYDIS_MNEMONIC_ADC, DECODE_MODIFY, DECODE_ADC, false},
	{ZYDIS_MNEMONIC_SBB, DECODE_MODIFY, DECODE_SBB, false},
	{ZYDIS_MNEMONIC_AND, DECODE_MODIFY, DECODE_AND, false},
	{ZYDIS_MNEMONIC_SUB, DECODE_MODIFY, DECODE_SUB, false},
	{ZYDIS_MNEMONIC_XOR, DECODE_MODIFY, DECODE_XOR, false},
	{ZYDIS_MNEMONIC_ADD, DECODE_COMBINE, DECODE_ADD, false},
	{ZYDIS_MNEMONIC_OR, DECODE_COMBINE, DECODE_OR, false},
	{ZYDIS_MNEMONIC_ADC, DECODE_COMBINE, DECODE_ADC, false},
	{ZYDIS_MNEMONIC_SBB, DECODE_COMBINE, DECODE_SBB, false},
	{ZYDIS_MNEMONIC_AND, DECODE_COMBINE, DECODE_AND, false},
	{ZYDIS_MNEMONIC_SUB, DECODE_COMBINE, DECODE_SUB, false},
	{ZYDIS_MNEMONIC_XOR, DECODE_COMBINE, DECODE_XOR, false},
	{ZYDIS_MNEMONIC_CMP, DECODE_TEST, DECODE_CMP, false},
	{ZYDIS_MNEMONIC_TEST, DECODE_TEST, DECODE_AND_TEST, false},
	{ZYDIS_MNEMONIC_INC, DECODE_MODIFY, DECODE_INC, false},
	{ZYDIS_MNEMONIC_DEC, DECODE_MODIFY, DECODE_DEC, false},
	{ZYDIS_MNEMONIC_NOT, DECODE_MODIFY, DECODE_NOT, false},
	{ZYDIS_MNEMONIC_NEG, DECODE_MODIFY, DECODE_NEG, false},
	{ZYDIS_MNEMONIC_BT, DECODE_TEST, DECODE_BT, false},
	{ZYDIS_MNEMONIC_BTS, DECODE_MODIFY, DECODE_BTS, false},
	{ZYDIS_MNEMONIC_BTR, DECODE_MODIFY, DECODE_BTR, false},
	{ZYDIS_MNEMONIC_BTC, DECODE_MODIFY, DECODE_BTC, false},
	{ZYDIS_MNEMONIC_XCHG, DECODE_EXCHANGE, 0, false},
	{ZYDIS_MNEMONIC_CMPXCHG, DECODE_CMPXCHG, 0, false},
	{ZYDIS_MNEMONIC_STOSB, DECODE_STOS, 0, true},
	{ZYDIS_MNEMONIC_STOSW, DECODE_STOS, 0, true},
	{ZYDIS_MNEMONIC_STOSD, DECODE_STOS, 0, true},
	{ZYDIS_MNEMONIC_STOSQ, DECODE_STOS, 0, true},
	{ZYDIS_MNEMONIC_LODSB, DECODE_LODS, 0, true},
	{ZYDIS_MNEMONIC_LODSW, DECODE_LODS, 0, true},
	{ZYDIS_MNEMONIC_LODSD, DECODE_LODS, 0, true},
	{ZYDIS_MNEMONIC_LODSQ, DECODE_LODS, 0, true},
	{ZYDIS_MNEMONIC_MOVSB, DECODE_MOVS, 0, true},
	{ZYDIS_MNEMONIC_MOVSW, DECODE_MOVS, 0, true},
	{ZYDIS_MNEMONIC_MOVSD, DECODE_MOVS, 0, true},
	{ZYDIS_MNEMONIC_MOVSQ, DECODE_MOVS, 0, true},
	{ZYDIS_MNEMONIC_INSB, DECODE_INS, 0, true},
	{ZYDIS_MNEMONIC_INSW, DECODE_INS, 0, true},
	{ZYDIS_MNEMONIC_INSD, DECODE_INS, 0, true},
	{ZYDIS_MNEMONIC_OUTSB, DECODE_OUTS, 0, true},
	{ZYDIS_MNEMONIC_OUTSW, DECODE_OUTS, 0, true},
	{ZYDIS_MNEMONIC_OUTSD, DECODE_OUTS, 0, true},
};

static inline bool oracle_has_alu(u8 op)
{
	return op == DECODE_MODIFY || op == DECODE_COMBINE || op == DECODE_TEST;
}

/* The memory operand that the instruction names, or has by its nature; NULL without any. */
static inline const ZydisDecodedOperand *oracle_memory(const struct oracle *oracle)
{
	for (u8 i = 0; i < oracle->insn.operand_count; i++)
		if (oracle->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    oracle->operands[i].mem.type == ZYDIS_MEMOP_TYPE_MEM)
			return &oracle->operands[i];
	return NULL;
}

/* The register or immediate beside it; NULL for instructions of one operand. */
static inline const ZydisDecodedOperand *oracle_other(const struct oracle *oracle)
{
	for (u8 i = 0; i < oracle->insn.operand_count_visible; i++)
		if (oracle->operands[i].type != ZYDIS_OPERAND_TYPE_MEMORY)
			return &oracle->operands[i];
	return NULL;
}

static inline u8 oracle_segment(ZydisRegister segment)
{
	return (u8)(segment - ZYDIS_REGISTER_ES);
}

static inline bool oracle_register_matches(const struct decode_insn *insn, ZydisRegister reg)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(reg);

	if (class == ZYDIS_REGCLASS_GPR8) {
		int index = (int)reg - ZYDIS_REGISTER_AL;

		if (insn->reg_size != 1 || insn->high_byte != (index >= 4 && index < 8))
			return false;
		return insn->reg == (index < 4 ? index : index - 4);
	}
	if (class == ZYDIS_REGCLASS_GPR16   ? insn->reg_size != 2
	    : class == ZYDIS_REGCLASS_GPR32 ? insn->reg_size != 4
					    : class != ZYDIS_REGCLASS_GPR64 || insn->reg_size != 8)
		return false;
	return !insn->high_byte && insn->reg == ZydisRegisterGetId(reg);
}

static inline const char *oracle_compare_actions(const struct decode_insn *insn,
						 const ZydisDecodedOperand *memory)
{
	bool reads = memory->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
	bool writes = memory->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	bool want_write = insn->op == DECODE_WRITE || insn->op == DECODE_MODIFY ||
			  insn->op == DECODE_EXCHANGE || insn->op == DECODE_CMPXCHG ||
			  insn->op == DECODE_STOS || insn->op == DECODE_MOVS ||
			  insn->op == DECODE_INS;

	/* The first memory operand of MOVS is its destination. */
	if (reads != (x86_decode_reads(insn) && insn->op != DECODE_MOVS))
		return "reads memory or not";
	return writes == want_write ? NULL : "writes memory or not";
}

static inline const char *oracle_compare_string(const struct decode_insn *insn,
						const struct oracle *oracle)
{
	u8 segment = insn->segment == DECODE_SEGMENT_DEFAULT ? DECODE_DS : insn->segment;

	if (insn->rep != !!(oracle->insn.attributes & ZYDIS_ATTRIB_HAS_REP))
		return "rep";
	if (insn->op == DECODE_STOS || insn->op == DECODE_INS)
		return NULL;
	for (u8 i = 0; i < oracle->insn.operand_count; i++) {
		const ZydisDecodedOperand *operand = &oracle->operands[i];

		if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    operand->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
			return oracle_segment(operand->mem.segment) == segment ? NULL
									       : "source segment";
	}
	return "no source";
}

/* What @oracle says differently of @insn, which the decoder accepted; NULL when they agree. */
static inline const char *oracle_compare(const struct decode_insn *insn,
					 const struct oracle *oracle)
{
	const ZydisDecodedOperand *memory = oracle_memory(oracle);
	const ZydisDecodedOperand *other = oracle_other(oracle);
	const struct oracle_class *class = NULL;
	const char *difference;

	if (!ZYAN_SUCCESS(oracle->status))
		return "is no instruction";
	if (insn->length != oracle->insn.length)
		return "length";
	for (size_t i = 0; i < ARRAY_COUNT(oracle_classes); i++)
		if (oracle_classes[i].mnemonic == oracle->insn.mnemonic &&
		    oracle_classes[i].op == insn->op &&
		    (!oracle_has_alu(insn->op) || oracle_classes[i].alu == insn->alu))
			class = &oracle_classes[i];
	if (!class)
		return "operation";
	if (!memory)
		return "no memory operand";
	if (memory->size != insn->size * 8)
		return "size of memory";
	if (oracle->insn.address_width != insn->address_size * 8)
		return "address size";
	if (insn->lock != !!(oracle->insn.attributes & ZYDIS_ATTRIB_HAS_LOCK))
		return "lock";
	difference = oracle_compare_actions(insn, memory);
	if (difference)
		return difference;
	if (class->string)
		return oracle_compare_string(insn, oracle);
	if (insn->segment != DECODE_SEGMENT_DEFAULT &&
	    insn->segment != oracle_segment(memory->mem.segment))
		return "segment";
	if (insn->rep)
		return "rep";

	if (insn->has_imm) {
		u64 mask = insn->size == 8 ? UINT64_MAX : BIT(insn->size * 8) - 1;

		/* Bit numbers are bytes, of which at most the low 6 bits count. */
		if (insn->alu >= DECODE_BT)
			mask = 0xff;
		if (!other || other->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
			return "no immediate";
		return (insn->imm & mask) == (other->imm.value.u & mask) ? NULL : "immediate";
	}
	if (!other)
		return insn->op == DECODE_MODIFY && insn->alu >= DECODE_INC &&
				       insn->alu <= DECODE_NEG
			       ? NULL
			       : "no operand beside memory";
	if (other->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return "operand is no register";
	if (insn->reversed != (memory != &oracle->operands[0]) && oracle_has_alu(insn->op) &&
	    insn->alu != DECODE_AND_TEST)
		return "order of operands";
	return oracle_register_matches(insn, other->reg.value) ? NULL : "register";
}

/* Whether @oracle found an instruction that the decoder has to accept. */
static inline bool oracle_wants(const struct oracle *oracle)
{
	const ZydisDecodedInstruction *insn = &oracle->insn;
	const ZydisDecodedOperand *memory = oracle_memory(oracle);
	const ZydisDecodedOperand *other = oracle_other(oracle);
	bool is_string = insn->meta.category == ZYDIS_CATEGORY_STRINGOP ||
			 insn->meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
	bool known = false;

	if (!ZYAN_SUCCESS(oracle->status) || !memory ||
	    insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return false;
	for (size_t i = 0; i < ARRAY_COUNT(oracle_classes); i++)
		if (oracle_classes[i].mnemonic == insn->mnemonic)
			known = oracle_classes[i].string == is_string;
	if (!known)
		return false;
	if (is_string) {
		for (u8 i = 0; i < insn->raw.prefix_count; i++)
			if (insn->raw.prefixes[i].value == 0xf2)
				return false;
		return true;
	}
	if (other && other->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		ZydisRegisterClass class = ZydisRegisterGetClass(other->reg.value);

		if (class != ZYDIS_REGCLASS_GPR8 && class != ZYDIS_REGCLASS_GPR16 &&
		    class != ZYDIS_REGCLASS_GPR32 && class != ZYDIS_REGCLASS_GPR64)
			return false;
	}
	/* Bit strings reach beyond the operand; only forms with an immediate are decoded. */
	if (insn->mnemonic >= ZYDIS_MNEMONIC_BT && insn->mnemonic <= ZYDIS_MNEMONIC_BTS &&
	    insn->opcode != 0xba)
		return false;
	if (insn->mnemonic == ZYDIS_MNEMONIC_MOVSXD && insn->operand_width == 16)
		return false;
	if (insn->mnemonic == ZYDIS_MNEMONIC_MOVNTI)
		for (u8 i = 0; i < insn->raw.prefix_count; i++)
			if (insn->raw.prefixes[i].value == 0x66 ||
			    insn->raw.prefixes[i].value == 0xf2 ||
			    insn->raw.prefixes[i].value == 0xf3)
				return false;
	return true;
}

/* One sequence through both decoders; NULL when they agree, else in what they don't. */
static inline const char *oracle_check(const u8 *bytes, size_t length, enum decode_mode mode)
{
	struct decode_insn insn;
	struct oracle oracle;
	enum hv_error err = x86_decode(bytes, length, mode, &insn);

	oracle_decode(&oracle, bytes, length, mode);
	switch (err) {
	case HV_OK:
		return oracle_compare(&insn, &oracle);
	case HV_ENO_SPACE:
		return ZYAN_SUCCESS(oracle.status) ? "wanted more bytes" : NULL;
	default:
		return oracle_wants(&oracle) ? "refused" : NULL;
	}
}

/* The same for control registers. */
static inline const char *oracle_check_cr(const u8 *bytes, size_t length, enum decode_mode mode)
{
	struct decode_cr cr;
	struct oracle oracle;
	enum hv_error err = x86_decode_cr(bytes, length, mode, &cr);
	const ZydisDecodedOperand *operands = oracle.operands;

	oracle_decode(&oracle, bytes, length, mode);
	if (err == HV_ENO_SPACE)
		return ZYAN_SUCCESS(oracle.status) ? "wanted more bytes" : NULL;
	if (err)
		return NULL;
	if (!ZYAN_SUCCESS(oracle.status))
		return "is no instruction";
	if (cr.length != oracle.insn.length)
		return "length";
	switch ((enum decode_cr_op)cr.op) {
	case DECODE_CR_CLTS:
		return oracle.insn.mnemonic == ZYDIS_MNEMONIC_CLTS ? NULL : "operation";
	case DECODE_CR_LMSW:
		if (oracle.insn.mnemonic != ZYDIS_MNEMONIC_LMSW)
			return "operation";
		return ZydisRegisterGetId(operands[0].reg.value) == cr.gpr ? NULL : "register";
	case DECODE_CR_MOV:
		break;
	}
	if (oracle.insn.mnemonic != ZYDIS_MNEMONIC_MOV)
		return "operation";
	if (ZydisRegisterGetId(operands[cr.is_write ? 0 : 1].reg.value) != cr.cr ||
	    ZydisRegisterGetClass(operands[cr.is_write ? 0 : 1].reg.value) !=
		    ZYDIS_REGCLASS_CONTROL)
		return "control register";
	return ZydisRegisterGetId(operands[cr.is_write ? 1 : 0].reg.value) == cr.gpr ? NULL
										     : "register";
}

#endif
