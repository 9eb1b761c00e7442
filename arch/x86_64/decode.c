/* SPDX-License-Identifier: MIT */
/* Instructions that touch devices. Encodings: AMD APM vol. 3, sections 1.2 to 1.7, appendix A. */
#include <arch/decode.h>

#include <string.h>

#define REX_B BIT(0)
#define REX_R BIT(2)
#define REX_W BIT(3)

#define MODRM_REG(b) ((unsigned int)(b) >> 3 & 7)
#define MODRM_RM(b)  ((unsigned int)(b)&7)

#define FLAG_CF          BIT(0)
#define FLAG_PF          BIT(2)
#define FLAG_AF          BIT(4)
#define FLAG_ZF          BIT(6)
#define FLAG_SF          BIT(7)
#define FLAG_DF          BIT(10)
#define FLAG_OF          BIT(11)
#define FLAGS_ARITHMETIC (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

#define GPR_RAX 0
#define GPR_RCX 1
#define GPR_RSI 6
#define GPR_RDI 7

/*
 * Bytes of ModRM, SIB and displacement by mod and rm, for addresses of 32 and 64 bits; 0 for a
 * register. A SIB byte without a base adds a displacement of 4 bytes (modrm_sib_extra()).
 */
static const u8 modrm_length[32] = {
	1, 1, 1, 1, 2, 5, 1, 1, /* no displacement */
	2, 2, 2, 2, 3, 2, 2, 2, /* 8 bits */
	5, 5, 5, 5, 6, 5, 5, 5, /* 32 bits */
};

static inline unsigned int modrm_index(u8 modrm)
{
	return (modrm >> 3 & 0x18) | MODRM_RM(modrm);
}

static inline bool modrm_has_sib(u8 modrm)
{
	return MODRM_RM(modrm) == 4 && modrm < 0xc0;
}

static inline unsigned int modrm_sib_extra(u8 modrm, u8 sib)
{
	return modrm < 0x40 && (sib & 7) == 5 ? 4 : 0;
}

#define FAST(op_, imm_, address)                                                                   \
	{                                                                                          \
		.op = (op_), .size = 4, .reg_size = 4, .has_imm = (imm_),                          \
		.address_size = (address), .segment = DECODE_SEGMENT_DEFAULT,                      \
	}

/* All that doesn't vary of what decode_fast() takes: the compiler copies them in a few moves. */
static const struct decode_insn fast_read[] = {FAST(DECODE_READ, false, 4),
					       FAST(DECODE_READ, false, 8)};
static const struct decode_insn fast_write[] = {FAST(DECODE_WRITE, false, 4),
						FAST(DECODE_WRITE, false, 8)};
static const struct decode_insn fast_imm[] = {FAST(DECODE_WRITE, true, 4),
					      FAST(DECODE_WRITE, true, 8)};

/*
 * The moves that drivers are made of: mov of 32 bits with at most a REX prefix. All bytes that an
 * instruction may have must be readable.
 */
static inline bool decode_fast(const u8 *bytes, bool long_mode, struct decode_insn *out)
{
	unsigned int opcode = bytes[0];
	unsigned int length = 1;
	unsigned int rex = 0;
	u8 modrm;

	if (long_mode && (opcode & 0xf0) == 0x40) {
		rex = opcode;
		if (rex & REX_W)
			return false;
		opcode = bytes[1];
		length = 2;
	}
	modrm = bytes[length];
	if (modrm >= 0xc0)
		return false;
	if (modrm_has_sib(modrm))
		length += modrm_sib_extra(modrm, bytes[length + 1]);
	length += modrm_length[modrm_index(modrm)];

	if (opcode == 0x8b) {
		*out = fast_read[long_mode];
	} else if (opcode == 0x89) {
		*out = fast_write[long_mode];
	} else if (opcode == 0xc7 && !MODRM_REG(modrm)) {
		s32 imm;

		memcpy(&imm, bytes + length, sizeof(imm));
		*out = fast_imm[long_mode];
		out->imm = (u64)(s64)imm;
		length += (unsigned int)sizeof(imm);
	} else {
		return false;
	}
	out->reg = (u8)(MODRM_REG(modrm) | (rex & REX_R) << 1);
	out->length = (u8)length;
	return true;
}

/* ---- everything else ---- */

struct cursor {
	const u8 *bytes;
	size_t at;
	size_t limit;
};

static void cursor_init(struct cursor *cursor, const u8 *bytes, size_t available)
{
	cursor->bytes = bytes;
	cursor->at = 0;
	cursor->limit = min_u64(available, DECODE_LENGTH_MAX);
}

/* Why there was nothing more to take. */
static enum hv_error cursor_error(const struct cursor *cursor)
{
	return cursor->limit < DECODE_LENGTH_MAX ? HV_ENO_SPACE : HV_EINVALID;
}

static bool cursor_skip(struct cursor *cursor, size_t count)
{
	if (cursor->limit - cursor->at < count)
		return false;
	cursor->at += count;
	return true;
}

static bool cursor_take(struct cursor *cursor, u8 *byte)
{
	if (cursor->at == cursor->limit)
		return false;
	*byte = cursor->bytes[cursor->at++];
	return true;
}

/* A little-endian integer of 1, 2 or 4 bytes, sign-extended. */
static bool cursor_take_signed(struct cursor *cursor, unsigned int size, u64 *value)
{
	unsigned int shift = 64 - size * 8;
	u64 raw = 0;

	if (!cursor_skip(cursor, size))
		return false;
	for (unsigned int i = size; i > 0; i--)
		raw = raw << 8 | cursor->bytes[cursor->at - size + i - 1];
	*value = (u64)((s64)(raw << shift) >> shift);
	return true;
}

struct prefixes {
	unsigned int rex;
	bool operand; /* 66 */
	bool address; /* 67 */
	bool lock;
	u8 repeat; /* f2, f3 or 0 */
	u8 segment;
};

static void prefix_segment(struct prefixes *prefixes, enum decode_mode mode,
			   enum decode_segment segment)
{
	/* In 64-bit mode the others are ignored (section 1.2.4). */
	if (mode != DECODE_64 || segment >= DECODE_FS)
		prefixes->segment = (u8)segment;
}

/* Takes the prefixes and the first byte of the opcode. */
static bool take_prefixes(struct cursor *cursor, enum decode_mode mode, struct prefixes *prefixes,
			  u8 *opcode)
{
	*prefixes = (struct prefixes){.segment = DECODE_SEGMENT_DEFAULT};
	for (;;) {
		unsigned int rex = 0;

		if (!cursor_take(cursor, opcode))
			return false;
		switch (*opcode) {
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			prefix_segment(prefixes, mode, (enum decode_segment)(*opcode >> 3 & 3));
			break;
		case 0x64:
		case 0x65:
			prefix_segment(prefixes, mode, (enum decode_segment)(*opcode & 7));
			break;
		case 0x66:
			prefixes->operand = true;
			break;
		case 0x67:
			prefixes->address = true;
			break;
		case 0xf0:
			prefixes->lock = true;
			break;
		case 0xf2:
		case 0xf3:
			prefixes->repeat = *opcode;
			break;
		default:
			if (mode != DECODE_64 || (*opcode & 0xf0) != 0x40)
				return true;
			rex = *opcode;
		}
		/* A REX prefix that isn't the last of the prefixes has no effect. */
		prefixes->rex = rex;
	}
}

static u8 operand_size(enum decode_mode mode, const struct prefixes *prefixes)
{
	if (prefixes->rex & REX_W)
		return 8;
	return (mode == DECODE_16) == prefixes->operand ? 4 : 2;
}

static u8 address_size(enum decode_mode mode, const struct prefixes *prefixes)
{
	if (mode == DECODE_64)
		return prefixes->address ? 4 : 8;
	return (mode == DECODE_16) == prefixes->address ? 4 : 2;
}

enum form_kind {
	FORM_NONE,
	FORM_MODRM,
	FORM_OFFSET, /* accumulator and an absolute address */
	FORM_STRING,
	/* Those in which ModRM.reg says more. */
	FORM_GROUP1,
	FORM_GROUP3,
	FORM_GROUP4,
	FORM_GROUP5,
	FORM_GROUP8,
	FORM_GROUP11,
};

#define F_BYTE     0x001 /* operands of one byte, otherwise of the operand size */
#define F_IMM      0x002 /* immediate of the operand's size, at most 4 bytes */
#define F_IMM8     0x004 /* immediate of one byte */
#define F_LOCK     0x008 /* LOCK is legal */
#define F_REVERSED 0x010
#define F_MEM8     0x020 /* memory of this size whatever the register's */
#define F_MEM16    0x040
#define F_MEM32    0x080
#define F_BARE     0x100 /* 66, f2 and f3 would make it another instruction */
#define F_ONLY64   0x200 /* another instruction outside of 64-bit mode */
#define F_NOT64    0x400 /* #UD in 64-bit mode */
#define F_PORT     0x800 /* 4 bytes where others have 8 */

struct form {
	u8 kind; /* enum form_kind */
	u8 op;
	u8 alu;
	u16 flags;
};

/* The forms with ModRM of one of the eight arithmetic instructions. */
#define FORMS_ALU(alu)                                                                             \
	[(alu)*8 + 0] = {FORM_MODRM, DECODE_MODIFY, alu, F_BYTE | F_LOCK},                         \
		   [(alu)*8 + 1] = {FORM_MODRM, DECODE_MODIFY, alu, F_LOCK},                       \
		   [(alu)*8 + 2] = {FORM_MODRM, DECODE_COMBINE, alu, F_BYTE | F_REVERSED},         \
		   [(alu)*8 + 3] = {FORM_MODRM, DECODE_COMBINE, alu, F_REVERSED}

static const struct form one_byte[256] = {
	FORMS_ALU(DECODE_ADD),
	FORMS_ALU(DECODE_OR),
	FORMS_ALU(DECODE_ADC),
	FORMS_ALU(DECODE_SBB),
	FORMS_ALU(DECODE_AND),
	FORMS_ALU(DECODE_SUB),
	FORMS_ALU(DECODE_XOR),
	[0x38] = {FORM_MODRM, DECODE_TEST, DECODE_CMP, F_BYTE},
	[0x39] = {FORM_MODRM, DECODE_TEST, DECODE_CMP, 0},
	[0x3a] = {FORM_MODRM, DECODE_TEST, DECODE_CMP, F_BYTE | F_REVERSED},
	[0x3b] = {FORM_MODRM, DECODE_TEST, DECODE_CMP, F_REVERSED},
	[0x63] = {FORM_MODRM, DECODE_READ_SX, 0, F_MEM32 | F_ONLY64},
	[0x6c] = {FORM_STRING, DECODE_INS, 0, F_BYTE},
	[0x6d] = {FORM_STRING, DECODE_INS, 0, F_PORT},
	[0x6e] = {FORM_STRING, DECODE_OUTS, 0, F_BYTE},
	[0x6f] = {FORM_STRING, DECODE_OUTS, 0, F_PORT},
	[0x80] = {FORM_GROUP1, 0, 0, F_BYTE | F_IMM8},
	[0x81] = {FORM_GROUP1, 0, 0, F_IMM},
	[0x82] = {FORM_GROUP1, 0, 0, F_BYTE | F_IMM8 | F_NOT64},
	[0x83] = {FORM_GROUP1, 0, 0, F_IMM8},
	[0x84] = {FORM_MODRM, DECODE_TEST, DECODE_AND_TEST, F_BYTE},
	[0x85] = {FORM_MODRM, DECODE_TEST, DECODE_AND_TEST, 0},
	[0x86] = {FORM_MODRM, DECODE_EXCHANGE, 0, F_BYTE | F_LOCK},
	[0x87] = {FORM_MODRM, DECODE_EXCHANGE, 0, F_LOCK},
	[0x88] = {FORM_MODRM, DECODE_WRITE, 0, F_BYTE},
	[0x89] = {FORM_MODRM, DECODE_WRITE, 0, 0},
	[0x8a] = {FORM_MODRM, DECODE_READ, 0, F_BYTE},
	[0x8b] = {FORM_MODRM, DECODE_READ, 0, 0},
	[0xa0] = {FORM_OFFSET, DECODE_READ, 0, F_BYTE},
	[0xa1] = {FORM_OFFSET, DECODE_READ, 0, 0},
	[0xa2] = {FORM_OFFSET, DECODE_WRITE, 0, F_BYTE},
	[0xa3] = {FORM_OFFSET, DECODE_WRITE, 0, 0},
	[0xa4] = {FORM_STRING, DECODE_MOVS, 0, F_BYTE},
	[0xa5] = {FORM_STRING, DECODE_MOVS, 0, 0},
	[0xaa] = {FORM_STRING, DECODE_STOS, 0, F_BYTE},
	[0xab] = {FORM_STRING, DECODE_STOS, 0, 0},
	[0xac] = {FORM_STRING, DECODE_LODS, 0, F_BYTE},
	[0xad] = {FORM_STRING, DECODE_LODS, 0, 0},
	[0xc6] = {FORM_GROUP11, DECODE_WRITE, 0, F_BYTE | F_IMM},
	[0xc7] = {FORM_GROUP11, DECODE_WRITE, 0, F_IMM},
	[0xf6] = {FORM_GROUP3, 0, 0, F_BYTE},
	[0xf7] = {FORM_GROUP3, 0, 0, 0},
	[0xfe] = {FORM_GROUP4, DECODE_MODIFY, 0, F_BYTE | F_LOCK},
	[0xff] = {FORM_GROUP5, DECODE_MODIFY, 0, F_LOCK},
};

/* After 0f. */
static struct form form_two_byte(u8 opcode)
{
	switch (opcode) {
	case 0xb0:
		return (struct form){FORM_MODRM, DECODE_CMPXCHG, 0, F_BYTE | F_LOCK};
	case 0xb1:
		return (struct form){FORM_MODRM, DECODE_CMPXCHG, 0, F_LOCK};
	case 0xb6:
		return (struct form){FORM_MODRM, DECODE_READ_ZX, 0, F_MEM8};
	case 0xb7:
		return (struct form){FORM_MODRM, DECODE_READ_ZX, 0, F_MEM16};
	case 0xba:
		return (struct form){FORM_GROUP8, DECODE_MODIFY, 0, F_IMM8};
	case 0xbe:
		return (struct form){FORM_MODRM, DECODE_READ_SX, 0, F_MEM8};
	case 0xbf:
		return (struct form){FORM_MODRM, DECODE_READ_SX, 0, F_MEM16};
	case 0xc3:
		return (struct form){FORM_MODRM, DECODE_WRITE, 0, F_BARE};
	default:
		return (struct form){FORM_NONE, 0, 0, 0};
	}
}

/* Completes @form, one of the groups, by the reg field of ModRM. */
static enum hv_error resolve_group(struct form *form, unsigned int reg)
{
	switch (form->kind) {
	case FORM_GROUP1:
		form->alu = (u8)reg;
		form->op = reg == DECODE_CMP ? DECODE_TEST : DECODE_MODIFY;
		if (reg != DECODE_CMP)
			form->flags |= F_LOCK;
		return HV_OK;
	case FORM_GROUP3:
		if (reg > 3)
			return HV_EUNSUPPORTED;
		if (reg < 2) {
			form->op = DECODE_TEST;
			form->alu = DECODE_AND_TEST;
			form->flags |= F_IMM;
		} else {
			form->op = DECODE_MODIFY;
			form->alu = reg == 2 ? DECODE_NOT : DECODE_NEG;
			form->flags |= F_LOCK;
		}
		return HV_OK;
	case FORM_GROUP4:
	case FORM_GROUP5:
		if (reg > 1)
			return form->kind == FORM_GROUP4 || reg == 7 ? HV_EINVALID
								     : HV_EUNSUPPORTED;
		form->alu = reg ? DECODE_DEC : DECODE_INC;
		return HV_OK;
	case FORM_GROUP8:
		if (reg < 4)
			return HV_EINVALID;
		form->alu = (u8)(DECODE_BT + reg - 4);
		if (form->alu == DECODE_BT)
			form->op = DECODE_TEST;
		else
			form->flags |= F_LOCK;
		return HV_OK;
	case FORM_GROUP11:
		return reg ? HV_EINVALID : HV_OK;
	default:
		return HV_OK;
	}
}

/* Takes what follows @modrm up to the immediate. */
static bool skip_address(struct cursor *cursor, u8 modrm, u8 size)
{
	unsigned int length;
	u8 sib = 0;

	if (size == 2) {
		if (modrm >= 0x40)
			return cursor_skip(cursor, modrm >> 6);
		return MODRM_RM(modrm) != 6 || cursor_skip(cursor, 2);
	}
	length = modrm_length[modrm_index(modrm)] - 1;
	if (modrm_has_sib(modrm)) {
		if (!cursor_take(cursor, &sib))
			return false;
		length += modrm_sib_extra(modrm, sib) - 1;
	}
	return cursor_skip(cursor, length);
}

static u8 memory_size(const struct form *form, u8 reg_size)
{
	if (form->flags & F_MEM8)
		return 1;
	if (form->flags & F_MEM16)
		return 2;
	return form->flags & F_MEM32 ? 4 : reg_size;
}

static void set_register(struct decode_insn *out, unsigned int reg, unsigned int rex)
{
	/* Without REX the encodings 4 to 7 of a byte register are ah, ch, dh, bh. */
	out->high_byte = out->reg_size == 1 && reg >= 4 && !rex;
	out->reg = (u8)(out->high_byte ? reg - 4 : reg | (rex & REX_R) << 1);
}

static enum hv_error decode_form(struct cursor *cursor, const struct prefixes *prefixes,
				 struct form form, struct decode_insn *out)
{
	enum hv_error err;
	u8 modrm = 0;

	if (form.kind != FORM_OFFSET && form.kind != FORM_STRING) {
		if (!cursor_take(cursor, &modrm))
			return cursor_error(cursor);
		err = resolve_group(&form, MODRM_REG(modrm));
		if (err)
			return err;
	}
	if (prefixes->lock && !(form.flags & F_LOCK))
		return HV_EINVALID;
	if (modrm >= 0xc0)
		return prefixes->lock ? HV_EINVALID : HV_EUNSUPPORTED;

	out->op = form.op;
	out->alu = form.alu;
	out->reversed = form.flags & F_REVERSED;
	out->lock = prefixes->lock;
	out->has_imm = form.flags & (F_IMM | F_IMM8);
	if (form.flags & F_BYTE)
		out->reg_size = 1;
	else if (form.flags & F_PORT)
		out->reg_size = (u8)min_u64(out->reg_size, 4);
	out->size = memory_size(&form, out->reg_size);

	if (form.kind == FORM_OFFSET) {
		if (!cursor_skip(cursor, out->address_size))
			return cursor_error(cursor);
	} else if (form.kind == FORM_STRING) {
		/* f2 is not defined for those that don't compare (section 1.2.6). */
		if (prefixes->repeat == 0xf2)
			return HV_EUNSUPPORTED;
		out->rep = prefixes->repeat;
	} else {
		/* What ModRM.reg selects in a group is no register. */
		if (form.kind == FORM_MODRM)
			set_register(out, MODRM_REG(modrm), prefixes->rex);
		if (!skip_address(cursor, modrm, out->address_size))
			return cursor_error(cursor);
	}
	if (out->has_imm) {
		unsigned int size = form.flags & F_IMM8 ? 1 : (unsigned int)min_u64(out->size, 4);

		if (!cursor_take_signed(cursor, size, &out->imm))
			return cursor_error(cursor);
	}
	out->length = (u8)cursor->at;
	return HV_OK;
}

/* Not inlined: what it saves and restores would burden the fast path. */
__attribute__((noinline)) static enum hv_error
decode_any(const u8 *bytes, size_t available, enum decode_mode mode, struct decode_insn *out)
{
	struct cursor cursor;
	struct prefixes prefixes;
	struct form form;
	u8 opcode;

	cursor_init(&cursor, bytes, available);
	if (!take_prefixes(&cursor, mode, &prefixes, &opcode))
		return cursor_error(&cursor);
	if (opcode == 0x0f) {
		if (!cursor_take(&cursor, &opcode))
			return cursor_error(&cursor);
		form = form_two_byte(opcode);
	} else {
		form = one_byte[opcode];
	}

	*out = (struct decode_insn){
		.reg_size = operand_size(mode, &prefixes),
		.address_size = address_size(mode, &prefixes),
		.segment = prefixes.segment,
	};
	if (form.kind == FORM_NONE)
		return HV_EUNSUPPORTED;
	if (form.flags & F_NOT64 && mode == DECODE_64)
		return HV_EINVALID;
	/* Vendors don't agree what movsxd does with operands of 16 bits. */
	if (form.flags & F_ONLY64 && (mode != DECODE_64 || out->reg_size == 2))
		return HV_EUNSUPPORTED;
	if (form.flags & F_BARE) {
		if (prefixes.operand || prefixes.repeat)
			return HV_EUNSUPPORTED;
		/* MOVNTI has no form of 16 bits: in 16-bit mode, too, it stores 32. */
		if (out->reg_size == 2)
			out->reg_size = 4;
	}
	return decode_form(&cursor, &prefixes, form, out);
}

enum hv_error x86_decode(const u8 *bytes, size_t available, enum decode_mode mode,
			 struct decode_insn *out)
{
	if (available >= DECODE_LENGTH_MAX && mode != DECODE_16 &&
	    decode_fast(bytes, mode == DECODE_64, out))
		return HV_OK;
	return decode_any(bytes, available, mode, out);
}

/* ---- carrying it out ---- */

static u64 register_value(const struct decode_insn *insn, const u64 gpr[16])
{
	return x86_decode_cut(gpr[insn->reg] >> (insn->high_byte ? 8 : 0), insn->reg_size);
}

u64 x86_decode_read_result(const struct decode_insn *insn, u64 value, u64 old)
{
	value = x86_decode_cut(value, insn->size);
	if (insn->op == DECODE_READ_SX) {
		unsigned int shift = 64 - insn->size * 8u;

		value = (u64)((s64)(value << shift) >> shift);
	}
	switch (insn->reg_size) {
	case 8:
		return value;
	case 4:
		return (u32)value;
	case 2:
		return (old & ~(u64)0xffff) | (u16)value;
	default:
		if (insn->high_byte)
			return (old & ~(u64)0xff00) | (u64)(u8)value << 8;
		return (old & ~(u64)0xff) | (u8)value;
	}
}

/* @result, cut to @size, with SF, ZF and PF of it and @flags in *@rflags. */
static u64 set_flags(u64 result, unsigned int size, u64 flags, u64 *rflags)
{
	result = x86_decode_cut(result, size);
	if (!result)
		flags |= FLAG_ZF;
	if (result >> (size * 8 - 1))
		flags |= FLAG_SF;
	if (!__builtin_parity((u8)result))
		flags |= FLAG_PF;
	*rflags = (*rflags & ~FLAGS_ARITHMETIC) | flags;
	return result;
}

/*
 * CF, AF and OF of an addition or subtraction: @carries are the carries or borrows out of each bit,
 * @size the operands' in bytes.
 */
static u64 carry_flags(u64 carries, unsigned int size)
{
	u64 top = carries >> (size * 8 - 1) & 1;
	u64 below = carries >> (size * 8 - 2) & 1;
	u64 flags = top ? FLAG_CF : 0;

	if (carries & BIT(3))
		flags |= FLAG_AF;
	if (top != below)
		flags |= FLAG_OF;
	return flags;
}

static u64 alu_add(u64 a, u64 b, u64 carry, unsigned int size, u64 *rflags)
{
	u64 result = a + b + carry;

	return set_flags(result, size, carry_flags((a & b) | ((a | b) & ~result), size), rflags);
}

static u64 alu_sub(u64 a, u64 b, u64 borrow, unsigned int size, u64 *rflags)
{
	u64 result = a - b - borrow;

	return set_flags(result, size, carry_flags((~a & b) | ((~a | b) & result), size), rflags);
}

static u64 alu_bit(enum decode_alu alu, u64 value, u64 bit, u64 *rflags)
{
	*rflags = (*rflags & ~FLAG_CF) | (value & bit ? FLAG_CF : 0);
	switch (alu) {
	case DECODE_BTS:
		return value | bit;
	case DECODE_BTR:
		return value & ~bit;
	case DECODE_BTC:
		return value ^ bit;
	default:
		return value;
	}
}

u64 x86_decode_alu(const struct decode_insn *insn, u64 mem_value, const u64 gpr[16], u64 *rflags)
{
	unsigned int size = insn->size;
	u64 a = x86_decode_cut(mem_value, size);
	u64 b = x86_decode_write_value(insn, gpr);
	u64 carry = *rflags & FLAG_CF;
	u64 result;

	if (insn->reversed) {
		u64 memory = a;

		a = b;
		b = memory;
	}
	switch ((enum decode_alu)insn->alu) {
	case DECODE_ADD:
		return alu_add(a, b, 0, size, rflags);
	case DECODE_ADC:
		return alu_add(a, b, carry, size, rflags);
	case DECODE_SUB:
	case DECODE_CMP:
		return alu_sub(a, b, 0, size, rflags);
	case DECODE_SBB:
		return alu_sub(a, b, carry, size, rflags);
	case DECODE_NEG:
		return alu_sub(0, a, 0, size, rflags);
	case DECODE_OR:
		return set_flags(a | b, size, 0, rflags);
	case DECODE_AND:
	case DECODE_AND_TEST:
		return set_flags(a & b, size, 0, rflags);
	case DECODE_XOR:
		return set_flags(a ^ b, size, 0, rflags);
	case DECODE_INC:
	case DECODE_DEC:
		result = insn->alu == DECODE_INC ? alu_add(a, 1, 0, size, rflags)
						 : alu_sub(a, 1, 0, size, rflags);
		*rflags = (*rflags & ~FLAG_CF) | carry;
		return result;
	case DECODE_NOT:
		return x86_decode_cut(~a, size);
	case DECODE_BT:
	case DECODE_BTS:
	case DECODE_BTR:
	case DECODE_BTC:
		return alu_bit((enum decode_alu)insn->alu, a, BIT(b & (size * 8 - 1)), rflags);
	}
	return a;
}

bool x86_decode_apply(const struct decode_insn *insn, u64 mem_value, u64 gpr[16], u64 *rflags,
		      u64 *store)
{
	u64 *reg = &gpr[insn->reg];
	u64 result;

	switch ((enum decode_op)insn->op) {
	case DECODE_READ:
	case DECODE_READ_ZX:
	case DECODE_READ_SX:
		*reg = x86_decode_read_result(insn, mem_value, *reg);
		return false;
	case DECODE_WRITE:
		*store = x86_decode_write_value(insn, gpr);
		return true;
	case DECODE_MODIFY:
		*store = x86_decode_alu(insn, mem_value, gpr, rflags);
		return true;
	case DECODE_COMBINE:
		result = x86_decode_alu(insn, mem_value, gpr, rflags);
		*reg = x86_decode_read_result(insn, result, *reg);
		return false;
	case DECODE_TEST:
		x86_decode_alu(insn, mem_value, gpr, rflags);
		return false;
	case DECODE_EXCHANGE:
		*store = register_value(insn, gpr);
		*reg = x86_decode_read_result(insn, mem_value, *reg);
		return true;
	case DECODE_CMPXCHG: {
		/* The accumulator is never a high byte, whatever the register operand is. */
		struct decode_insn accumulator = *insn;

		accumulator.high_byte = false;
		if (!alu_sub(x86_decode_cut(gpr[GPR_RAX], insn->size),
			     x86_decode_cut(mem_value, insn->size), 0, insn->size, rflags)) {
			*store = register_value(insn, gpr);
		} else {
			*store = x86_decode_cut(mem_value, insn->size);
			gpr[GPR_RAX] =
				x86_decode_read_result(&accumulator, mem_value, gpr[GPR_RAX]);
		}
		/* Memory is written in both cases, as the processor does. */
		return true;
	}
	case DECODE_STOS:
	case DECODE_LODS:
	case DECODE_MOVS:
	case DECODE_INS:
	case DECODE_OUTS:
		break;
	}
	return false;
}

/* @old with its low bits, as many as an address has, replaced; 32 bits clear the upper half. */
static u64 set_address(const struct decode_insn *insn, u64 old, u64 value)
{
	if (insn->address_size == 2)
		return (old & ~(u64)0xffff) | (u16)value;
	return x86_decode_cut(value, insn->address_size);
}

u64 x86_decode_string_source(const struct decode_insn *insn, const u64 gpr[16])
{
	return x86_decode_cut(gpr[GPR_RSI], insn->address_size);
}

u64 x86_decode_string_dest(const struct decode_insn *insn, const u64 gpr[16])
{
	return x86_decode_cut(gpr[GPR_RDI], insn->address_size);
}

bool x86_decode_string_more(const struct decode_insn *insn, const u64 gpr[16])
{
	return !insn->rep || x86_decode_cut(gpr[GPR_RCX], insn->address_size);
}

bool x86_decode_string_step(const struct decode_insn *insn, u64 gpr[16], u64 rflags)
{
	u64 delta = rflags & FLAG_DF ? -(u64)insn->size : insn->size;

	if (insn->op != DECODE_STOS && insn->op != DECODE_INS)
		gpr[GPR_RSI] = set_address(insn, gpr[GPR_RSI], gpr[GPR_RSI] + delta);
	if (insn->op != DECODE_LODS && insn->op != DECODE_OUTS)
		gpr[GPR_RDI] = set_address(insn, gpr[GPR_RDI], gpr[GPR_RDI] + delta);
	if (!insn->rep)
		return true;
	gpr[GPR_RCX] = set_address(insn, gpr[GPR_RCX], gpr[GPR_RCX] - 1);
	return !x86_decode_string_more(insn, gpr);
}

/* ---- control registers ---- */

enum hv_error x86_decode_cr(const u8 *bytes, size_t available, enum decode_mode mode,
			    struct decode_cr *out)
{
	struct cursor cursor;
	struct prefixes prefixes;
	unsigned int reg;
	u8 opcode, modrm;

	cursor_init(&cursor, bytes, available);
	if (!take_prefixes(&cursor, mode, &prefixes, &opcode))
		return cursor_error(&cursor);
	if (opcode != 0x0f)
		return HV_EUNSUPPORTED;
	if (!cursor_take(&cursor, &opcode))
		return cursor_error(&cursor);
	if (opcode != 0x01 && opcode != 0x06 && opcode != 0x20 && opcode != 0x22)
		return HV_EUNSUPPORTED;
	if (prefixes.lock)
		return HV_EINVALID;

	*out = (struct decode_cr){.op = DECODE_CR_CLTS, .is_write = true};
	if (opcode != 0x06) {
		if (!cursor_take(&cursor, &modrm))
			return cursor_error(&cursor);
		reg = MODRM_REG(modrm);
		out->gpr = (u8)(MODRM_RM(modrm) | (prefixes.rex & REX_B) << 3);
		if (opcode == 0x01) {
			if (reg != 6 || modrm < 0xc0)
				return HV_EUNSUPPORTED;
			out->op = DECODE_CR_LMSW;
		} else {
			/* The mod field is ignored: the operand is a register always. */
			reg |= (unsigned int)(prefixes.rex & REX_R) << 1;
			if (reg != 0 && reg != 2 && reg != 3 && reg != 4 && reg != 8)
				return HV_EINVALID;
			out->op = DECODE_CR_MOV;
			out->cr = (u8)reg;
			out->is_write = opcode == 0x22;
		}
	}
	out->length = (u8)cursor.at;
	return HV_OK;
}
