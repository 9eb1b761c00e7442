/* SPDX-License-Identifier: MIT */
/*
 * What an instruction that touched a device does: from its bytes to one memory operation. Needed
 * where the processor reports the faulting guest-physical address but neither the instruction nor
 * its length. Everything here is a pure function; the encodings are those of AMD APM vol. 3,
 * chapter 1 and appendix A.
 *
 * The effective address is not computed, the hardware has it. String instructions are the
 * exception: they have implied addresses, and a second one that may be ordinary memory.
 */
#ifndef ARCH_DECODE_H
#define ARCH_DECODE_H

#include <hv/error.h>
#include <hv/types.h>

/* No instruction is longer (bytes). */
#define DECODE_LENGTH_MAX 15

/* Operation size that the code segment implies. */
enum decode_mode {
	DECODE_16 = 16,
	DECODE_32 = 32,
	DECODE_64 = 64,
};

/* "operand" is the register or the immediate. */
enum decode_op {
	DECODE_READ = 1, /* register := memory */
	DECODE_READ_ZX,  /* register := memory, zero-extended */
	DECODE_READ_SX,  /* register := memory, sign-extended */
	DECODE_WRITE,    /* memory := operand */
	DECODE_MODIFY,   /* memory := memory alu operand */
	DECODE_COMBINE,  /* register := register alu memory */
	DECODE_TEST,     /* only flags: memory alu operand, or reversed */
	DECODE_EXCHANGE, /* memory and register change places */
	DECODE_CMPXCHG,  /* compare with the accumulator; memory := register, or accumulator :=
			    memory */
	DECODE_STOS,     /* es:[rdi] := accumulator */
	DECODE_LODS,     /* accumulator := segment:[rsi] */
	DECODE_MOVS,     /* es:[rdi] := segment:[rsi] */
	DECODE_INS,      /* es:[rdi] := port */
	DECODE_OUTS,     /* port := segment:[rsi] */
};

/* The first eight in the order of their encoding. */
enum decode_alu {
	DECODE_ADD,
	DECODE_OR,
	DECODE_ADC,
	DECODE_SBB,
	DECODE_AND,
	DECODE_SUB,
	DECODE_XOR,
	DECODE_CMP,
	DECODE_AND_TEST, /* the instruction TEST */
	DECODE_INC,
	DECODE_DEC,
	DECODE_NOT,
	DECODE_NEG,
	DECODE_BT,
	DECODE_BTS,
	DECODE_BTR,
	DECODE_BTC,
};

/* In the order of their encoding. */
enum decode_segment {
	DECODE_ES,
	DECODE_CS,
	DECODE_SS,
	DECODE_DS,
	DECODE_FS,
	DECODE_GS,
	DECODE_SEGMENT_DEFAULT, /* not overridden */
};

struct decode_insn {
	u64 imm;         /* sign-extended; valid if has_imm */
	u8 length;       /* of the instruction, bytes */
	u8 op;           /* enum decode_op */
	u8 alu;          /* enum decode_alu, for MODIFY, COMBINE and TEST */
	u8 size;         /* of the memory access: 1, 2, 4 or 8 bytes */
	u8 reg;          /* 0..15, register operand; the accumulator for STOS and LODS */
	u8 reg_size;     /* bytes of the register that take part: 1, 2, 4 or 8 */
	bool high_byte;  /* bits 8-15 of reg (ah, ch, dh, bh); reg_size is 1 */
	bool has_imm;    /* the operand is imm, not reg */
	bool reversed;   /* memory is the second operand of alu, the register is the first */
	bool lock;       /* LOCK prefix, where it is legal */
	bool rep;        /* string instruction that repeats rcx times */
	u8 address_size; /* bytes: 2, 4 or 8 */
	u8 segment;      /* enum decode_segment */
};

/*
 * Decodes the instruction at @bytes, of which @available may be read. HV_ENO_SPACE: it goes on
 * beyond them. HV_EINVALID: it raises #UD, or #GP for its length. HV_EUNSUPPORTED: it isn't one
 * that is decoded here, or has no operand in memory. *@out is only valid after HV_OK.
 */
HV_MUST_CHECK enum hv_error x86_decode(const u8 *bytes, size_t available, enum decode_mode mode,
				       struct decode_insn *out);

/* The low @size bytes of @value; @size is 1, 2, 4 or 8. */
static inline u64 x86_decode_cut(u64 value, unsigned int size)
{
	return value & (UINT64_MAX >> (64 - 8 * size));
}

/* The register or immediate operand of @insn, with more bits than count. */
static inline u64 x86_decode_operand(const struct decode_insn *insn, const u64 gpr[16])
{
	return insn->has_imm ? insn->imm : gpr[insn->reg] >> (insn->high_byte ? 8 : 0);
}

/* What @insn, of DECODE_WRITE or DECODE_STOS, stores; cut to insn->size. */
static inline u64 x86_decode_write_value(const struct decode_insn *insn, const u64 gpr[16])
{
	return x86_decode_cut(x86_decode_operand(insn, gpr), insn->size);
}

/*
 * The register that had the value @old after @value was read into it: zero-extended to 64 bits
 * when insn->reg_size is 4, merged when it is less.
 */
u64 x86_decode_read_result(const struct decode_insn *insn, u64 value, u64 old);

/*
 * The result of insn->alu where memory holds @mem_value, cut to insn->size, and the arithmetic
 * flags in *@rflags. Flags that the manual leaves undefined: AF is cleared by logical operations,
 * bit tests change only CF. For MODIFY, COMBINE and TEST (the result of which is not stored).
 */
u64 x86_decode_alu(const struct decode_insn *insn, u64 mem_value, const u64 gpr[16], u64 *rflags);

/* Whether @insn reads memory before anything else; false for WRITE, STOS and INS only. */
static inline bool x86_decode_reads(const struct decode_insn *insn)
{
	return insn->op != DECODE_WRITE && insn->op != DECODE_STOS && insn->op != DECODE_INS;
}

/*
 * Carries out everything but the memory accesses of @insn, not a string instruction: changes @gpr
 * and *@rflags. @mem_value is what memory holds (ignored if x86_decode_reads() is false). True:
 * *@store is to be written, insn->size bytes.
 */
bool x86_decode_apply(const struct decode_insn *insn, u64 mem_value, u64 gpr[16], u64 *rflags,
		      u64 *store);

/*
 * String instructions, one step at a time. Offsets are in insn->segment (DS by default) for the
 * source and in ES for the destination.
 */
u64 x86_decode_string_source(const struct decode_insn *insn, const u64 gpr[16]);
u64 x86_decode_string_dest(const struct decode_insn *insn, const u64 gpr[16]);
/* Whether a step remains: false for a repetition that has come to its end. */
bool x86_decode_string_more(const struct decode_insn *insn, const u64 gpr[16]);
/*
 * After one step: moves the pointers by the direction flag and counts. True when the instruction
 * is complete, false when it goes on at the same address.
 */
bool x86_decode_string_step(const struct decode_insn *insn, u64 gpr[16], u64 rflags);

enum decode_cr_op {
	DECODE_CR_MOV,
	DECODE_CR_CLTS, /* clears CR0.TS */
	DECODE_CR_LMSW, /* bits 0-3 of CR0 from gpr; never clears PE */
};

struct decode_cr {
	u8 length; /* of the instruction, bytes */
	u8 op;     /* enum decode_cr_op */
	u8 cr;     /* 0, 2, 3, 4 or 8; 0 for CLTS and LMSW */
	u8 gpr;    /* 0..15 */
	bool is_write;
};

/*
 * Like x86_decode(), for moves to and from control registers, CLTS, and LMSW from a register.
 * Moves are of 8 bytes in 64-bit mode, of 4 in the others.
 */
HV_MUST_CHECK enum hv_error x86_decode_cr(const u8 *bytes, size_t available, enum decode_mode mode,
					  struct decode_cr *out);

#endif
