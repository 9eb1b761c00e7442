/* SPDX-License-Identifier: MIT */
#include "decode_oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CF 0x001u
#define PF 0x004u
#define AF 0x010u
#define ZF 0x040u
#define SF 0x080u
#define DF 0x400u
#define OF 0x800u

#define RAX 0
#define RCX 1
#define RDX 2
#define RBX 3
#define RSI 6
#define RDI 7

static const enum decode_mode modes[] = {DECODE_16, DECODE_32, DECODE_64};

/* Bytes from hexadecimal text; the buffer has exactly their length and is the caller's. */
static u8 *bytes_of(const char *text, size_t *length)
{
	u8 *bytes = malloc(strlen(text) + 1);
	u8 *exact;
	unsigned int byte;
	int used;

	*length = 0;
	while (sscanf(text, " %2x%n", &byte, &used) == 1) {
		bytes[(*length)++] = (u8)byte;
		text += used;
	}
	exact = malloc(*length);
	memcpy(exact, bytes, *length);
	free(bytes);
	return exact;
}

static enum hv_error decode_exact(const u8 *bytes, size_t length, enum decode_mode mode,
				  struct decode_insn *out)
{
	u8 *copy = malloc(length);
	enum hv_error err;

	memcpy(copy, bytes, length);
	err = x86_decode(copy, length, mode, out);
	free(copy);
	return err;
}

static enum hv_error decode_text(const char *text, enum decode_mode mode, struct decode_insn *out)
{
	size_t length;
	u8 *bytes = bytes_of(text, &length);
	enum hv_error err = x86_decode(bytes, length, mode, out);

	free(bytes);
	return err;
}

/* ---- forms ---- */

struct vector {
	enum decode_mode mode;
	const char *text;
	bool overridden;         /* want.segment counts; otherwise none is expected */
	struct decode_insn want; /* length from the text, address_size 0: that of the mode */
};

#define V(bits, hex, op_, size_, reg_, reg_size_, ...)                                             \
	{                                                                                          \
		.mode = DECODE_##bits, .text = hex,                                                \
		.want = {.op = DECODE_##op_,                                                       \
			 .size = size_,                                                            \
			 .reg = reg_,                                                              \
			 .reg_size = reg_size_,                                                    \
			 ##__VA_ARGS__},                                                           \
	}
#define V_SEGMENT(bits, hex, op_, size_, reg_, reg_size_, seg, ...)                                \
	{                                                                                          \
		.mode = DECODE_##bits, .text = hex, .overridden = true,                            \
		.want = {.op = DECODE_##op_,                                                       \
			 .size = size_,                                                            \
			 .reg = reg_,                                                              \
			 .reg_size = reg_size_,                                                    \
			 .segment = DECODE_##seg,                                                  \
			 ##__VA_ARGS__},                                                           \
	}
#define ALU(x) .alu = DECODE_##x
#define IMM(x) .has_imm = true, .imm = (u64)(x)

static const struct vector vectors[] = {
	/* mov, register to memory and back; every addressing form of the three address sizes */
	V(64, "88 07", WRITE, 1, 0, 1),
	V(64, "88 27", WRITE, 1, 0, 1, .high_byte = true),
	V(64, "88 3f", WRITE, 1, 3, 1, .high_byte = true),
	V(64, "40 88 27", WRITE, 1, 4, 1),
	V(64, "44 88 3f", WRITE, 1, 15, 1),
	V(64, "89 07", WRITE, 4, 0, 4),
	V(64, "44 89 0f", WRITE, 4, 9, 4),
	V(64, "48 89 4f 10", WRITE, 8, 1, 8),
	V(64, "4c 89 bf 00 01 00 00", WRITE, 8, 15, 8),
	V(64, "66 89 07", WRITE, 2, 0, 2),
	V(64, "66 44 89 07", WRITE, 2, 8, 2),
	V(64, "66 48 89 07", WRITE, 8, 0, 8),
	V(64, "48 66 89 07", WRITE, 2, 0, 2), /* REX that isn't last has no effect */
	V(64, "8a 07", READ, 1, 0, 1),
	V(64, "8a 2f", READ, 1, 1, 1, .high_byte = true),
	V(64, "8b 07", READ, 4, 0, 4),
	V(64, "8b 04 24", READ, 4, 0, 4),
	V(64, "8b 04 25 00 00 e0 fe", READ, 4, 0, 4),
	V(64, "8b 0d 44 33 22 11", READ, 4, 1, 4),
	V(64, "8b 44 8f 10", READ, 4, 0, 4),
	V(64, "8b 84 8f 10 00 00 00", READ, 4, 0, 4),
	V(64, "8b 44 0d 00", READ, 4, 0, 4),
	V(64, "43 8b 04 2c", READ, 4, 0, 4),
	V(64, "43 8b 04 25 01 02 03 04", READ, 4, 0, 4),
	V(64, "4d 8b 7f 08", READ, 8, 15, 8),
	V(64, "67 8b 07", READ, 4, 0, 4, .address_size = 4),
	V_SEGMENT(64, "65 8b 07", READ, 4, 0, 4, GS),
	V_SEGMENT(64, "64 2e 8b 07", READ, 4, 0, 4, FS),
	V(64, "26 8b 07", READ, 4, 0, 4),
	V(32, "8b 07", READ, 4, 0, 4),
	V(32, "8b 05 00 00 e0 fe", READ, 4, 0, 4),
	V(32, "66 8b 07", READ, 2, 0, 2),
	V(32, "67 8b 07", READ, 4, 0, 4, .address_size = 2),
	V(32, "67 8b 06 34 12", READ, 4, 0, 4, .address_size = 2),
	V(32, "89 44 24 08", WRITE, 4, 0, 4),
	V_SEGMENT(32, "2e 8b 07", READ, 4, 0, 4, CS),
	V_SEGMENT(32, "36 26 8b 07", READ, 4, 0, 4, ES),
	V(16, "8b 07", READ, 2, 0, 2),
	V(16, "8b 06 34 12", READ, 2, 0, 2),
	V(16, "8b 46 34", READ, 2, 0, 2),
	V(16, "8b 86 34 12", READ, 2, 0, 2),
	V(16, "66 8b 07", READ, 4, 0, 4),
	V(16, "67 66 89 04 25 00 00 e0 fe", WRITE, 4, 0, 4, .address_size = 4),
	V_SEGMENT(16, "3e 88 07", WRITE, 1, 0, 1, DS),
	/* mov with an absolute address */
	V(64, "a0 88 77 66 55 44 33 22 11", READ, 1, 0, 1),
	V(64, "a1 88 77 66 55 44 33 22 11", READ, 4, 0, 4),
	V(64, "48 a1 88 77 66 55 44 33 22 11", READ, 8, 0, 8),
	V(64, "67 a2 44 33 22 11", WRITE, 1, 0, 1, .address_size = 4),
	V(64, "66 a3 88 77 66 55 44 33 22 11", WRITE, 2, 0, 2),
	V(32, "a1 44 33 22 11", READ, 4, 0, 4),
	V(32, "67 a3 22 11", WRITE, 4, 0, 4, .address_size = 2),
	V(16, "a0 22 11", READ, 1, 0, 1),
	V(16, "a3 22 11", WRITE, 2, 0, 2),
	/* mov of an immediate */
	V(64, "c6 07 80", WRITE, 1, 0, 1, IMM(-128)),
	V(64, "c7 07 78 56 34 12", WRITE, 4, 0, 4, IMM(0x12345678)),
	V(64, "41 c7 40 08 00 00 00 80", WRITE, 4, 0, 4, IMM(INT32_MIN)),
	V(64, "48 c7 07 ff ff ff ff", WRITE, 8, 0, 8, IMM(-1)),
	V(64, "66 c7 07 34 12", WRITE, 2, 0, 2, IMM(0x1234)),
	V(64, "c7 84 8f 10 00 00 00 01 00 00 00", WRITE, 4, 0, 4, IMM(1)),
	V(64, "c7 04 25 b0 00 e0 fe 00 00 00 00", WRITE, 4, 0, 4, IMM(0)),
	V(32, "c7 05 b0 00 e0 fe 00 00 00 00", WRITE, 4, 0, 4, IMM(0)),
	V(16, "c7 07 34 12", WRITE, 2, 0, 2, IMM(0x1234)),
	V(16, "66 c7 07 78 56 34 12", WRITE, 4, 0, 4, IMM(0x12345678)),
	/* extension */
	V(64, "0f b6 07", READ_ZX, 1, 0, 4),
	V(64, "66 0f b6 27", READ_ZX, 1, 4, 2),
	V(64, "4c 0f b6 07", READ_ZX, 1, 8, 8),
	V(64, "0f b7 07", READ_ZX, 2, 0, 4),
	V(64, "48 0f b7 07", READ_ZX, 2, 0, 8),
	V(64, "0f be 07", READ_SX, 1, 0, 4),
	V(64, "66 0f be 07", READ_SX, 1, 0, 2),
	V(64, "48 0f bf 07", READ_SX, 2, 0, 8),
	V(64, "48 63 07", READ_SX, 4, 0, 8),
	V(64, "63 07", READ_SX, 4, 0, 4),
	V(32, "0f b7 07", READ_ZX, 2, 0, 4),
	V(32, "66 0f b6 07", READ_ZX, 1, 0, 2),
	V(16, "0f b6 07", READ_ZX, 1, 0, 2),
	V(16, "66 0f bf 07", READ_SX, 2, 0, 4),
	/* arithmetic with a register */
	V(64, "00 27", MODIFY, 1, 0, 1, ALU(ADD), .high_byte = true),
	V(64, "01 07", MODIFY, 4, 0, 4, ALU(ADD)),
	V(64, "f0 48 01 07", MODIFY, 8, 0, 8, ALU(ADD), .lock = true),
	V(64, "02 07", COMBINE, 1, 0, 1, ALU(ADD), .reversed = true),
	V(64, "03 07", COMBINE, 4, 0, 4, ALU(ADD), .reversed = true),
	V(64, "09 07", MODIFY, 4, 0, 4, ALU(OR)),
	V(64, "66 0b 07", COMBINE, 2, 0, 2, ALU(OR), .reversed = true),
	V(64, "11 07", MODIFY, 4, 0, 4, ALU(ADC)),
	V(64, "19 07", MODIFY, 4, 0, 4, ALU(SBB)),
	V(64, "21 0f", MODIFY, 4, 1, 4, ALU(AND)),
	V(64, "29 0f", MODIFY, 4, 1, 4, ALU(SUB)),
	V(64, "2b 0f", COMBINE, 4, 1, 4, ALU(SUB), .reversed = true),
	V(64, "31 0f", MODIFY, 4, 1, 4, ALU(XOR)),
	V(64, "38 0f", TEST, 1, 1, 1, ALU(CMP)),
	V(64, "39 0f", TEST, 4, 1, 4, ALU(CMP)),
	V(64, "3a 0f", TEST, 1, 1, 1, ALU(CMP), .reversed = true),
	V(64, "4c 3b 0f", TEST, 8, 9, 8, ALU(CMP), .reversed = true),
	V(64, "84 0f", TEST, 1, 1, 1, ALU(AND_TEST)),
	V(64, "85 0f", TEST, 4, 1, 4, ALU(AND_TEST)),
	V(32, "f0 09 07", MODIFY, 4, 0, 4, ALU(OR), .lock = true),
	V(16, "21 07", MODIFY, 2, 0, 2, ALU(AND)),
	/* arithmetic with an immediate */
	V(64, "80 0f 80", MODIFY, 1, 0, 1, ALU(OR), IMM(-128)),
	V(64, "80 3f 01", TEST, 1, 0, 1, ALU(CMP), IMM(1)),
	V(64, "81 27 ff ff fe ff", MODIFY, 4, 0, 4, ALU(AND), IMM(-65537)),
	V(64, "66 81 0f 34 12", MODIFY, 2, 0, 2, ALU(OR), IMM(0x1234)),
	V(64, "48 81 3f 00 00 00 80", TEST, 8, 0, 8, ALU(CMP), IMM(INT32_MIN)),
	V(64, "83 0f 80", MODIFY, 4, 0, 4, ALU(OR), IMM(-128)),
	V(64, "f0 83 04 24 00", MODIFY, 4, 0, 4, ALU(ADD), IMM(0), .lock = true),
	V(32, "82 37 01", MODIFY, 1, 0, 1, ALU(XOR), IMM(1)),
	V(16, "81 0f 34 12", MODIFY, 2, 0, 2, ALU(OR), IMM(0x1234)),
	V(64, "f6 07 20", TEST, 1, 0, 1, ALU(AND_TEST), IMM(0x20)),
	V(64, "f6 0f 20", TEST, 1, 0, 1, ALU(AND_TEST), IMM(0x20)),
	V(64, "f7 07 00 10 00 00", TEST, 4, 0, 4, ALU(AND_TEST), IMM(0x1000)),
	V(64, "48 f7 07 00 00 00 80", TEST, 8, 0, 8, ALU(AND_TEST), IMM(INT32_MIN)),
	V(16, "f7 07 34 12", TEST, 2, 0, 2, ALU(AND_TEST), IMM(0x1234)),
	/* arithmetic with memory alone */
	V(64, "f6 17", MODIFY, 1, 0, 1, ALU(NOT)),
	V(64, "f7 1f", MODIFY, 4, 0, 4, ALU(NEG)),
	V(64, "fe 07", MODIFY, 1, 0, 1, ALU(INC)),
	V(64, "f0 ff 0f", MODIFY, 4, 0, 4, ALU(DEC), .lock = true),
	V(64, "48 ff 07", MODIFY, 8, 0, 8, ALU(INC)),
	/* bits */
	V(64, "0f ba 27 05", TEST, 4, 0, 4, ALU(BT), IMM(5)),
	V(64, "f0 0f ba 2f 1f", MODIFY, 4, 0, 4, ALU(BTS), IMM(31), .lock = true),
	V(64, "48 0f ba 77 08 3f", MODIFY, 8, 0, 8, ALU(BTR), IMM(63)),
	V(64, "66 0f ba 3f 01", MODIFY, 2, 0, 2, ALU(BTC), IMM(1)),
	/* exchange */
	V(64, "86 27", EXCHANGE, 1, 0, 1, .high_byte = true),
	V(64, "87 07", EXCHANGE, 4, 0, 4),
	V(64, "f0 48 87 0f", EXCHANGE, 8, 1, 8, .lock = true),
	V(64, "0f b0 0f", CMPXCHG, 1, 1, 1),
	V(64, "f0 0f b1 0f", CMPXCHG, 4, 1, 4, .lock = true),
	V(16, "87 07", EXCHANGE, 2, 0, 2),
	/* movnti */
	V(64, "0f c3 07", WRITE, 4, 0, 4),
	V(64, "48 0f c3 07", WRITE, 8, 0, 8),
	V(16, "0f c3 07", WRITE, 4, 0, 4),
	/* strings */
	V(64, "aa", STOS, 1, 0, 1),
	V(64, "f3 ab", STOS, 4, 0, 4, .rep = true),
	V(64, "f3 48 ab", STOS, 8, 0, 8, .rep = true),
	V(64, "67 f3 66 ab", STOS, 2, 0, 2, .rep = true, .address_size = 4),
	V(64, "a4", MOVS, 1, 0, 1),
	V_SEGMENT(64, "f3 64 a5", MOVS, 4, 0, 4, FS, .rep = true),
	V(64, "48 a5", MOVS, 8, 0, 8),
	V(64, "ac", LODS, 1, 0, 1),
	V(64, "f3 ad", LODS, 4, 0, 4, .rep = true),
	V_SEGMENT(32, "2e ac", LODS, 1, 0, 1, CS),
	V(32, "f3 a5", MOVS, 4, 0, 4, .rep = true),
	V(16, "f3 ab", STOS, 2, 0, 2, .rep = true),
	V(16, "66 a5", MOVS, 4, 0, 4),
	V(64, "6c", INS, 1, 0, 1),
	V(64, "f3 66 6d", INS, 2, 0, 2, .rep = true),
	V(64, "48 6d", INS, 4, 0, 4),
	V(64, "67 6e", OUTS, 1, 0, 1, .address_size = 4),
	V_SEGMENT(64, "65 f3 6f", OUTS, 4, 0, 4, GS, .rep = true),
	V(16, "6f", OUTS, 2, 0, 2),
	/* the longest there are */
	V(64, "66 66 66 66 66 66 66 66 66 66 66 66 66 89 07", WRITE, 2, 0, 2),
	V_SEGMENT(64, "65 67 f0 48 81 8c 8f 10 00 00 00 01 00 00 00", MODIFY, 8, 0, 8, GS, ALU(OR),
		  IMM(1), .lock = true, .address_size = 4),
};

static void expect_same(const char *text, const struct decode_insn *got,
			const struct decode_insn *want)
{
#define SAME(member)                                                                               \
	if ((u64)got->member != (u64)want->member)                                                 \
	fail_msg("%s: " #member " is %llx, not %llx", text, (unsigned long long)got->member,       \
		 (unsigned long long)want->member)
	SAME(length);
	SAME(op);
	SAME(alu);
	SAME(size);
	SAME(reg);
	SAME(reg_size);
	SAME(high_byte);
	SAME(has_imm);
	SAME(imm);
	SAME(reversed);
	SAME(lock);
	SAME(rep);
	SAME(address_size);
	SAME(segment);
#undef SAME
}

static void test_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
		const struct vector *vector = &vectors[i];
		struct decode_insn want = vector->want;
		struct decode_insn got;
		u8 padded[32];
		size_t length;
		u8 *bytes = bytes_of(vector->text, &length);
		const char *difference;

		want.length = (u8)length;
		if (!want.address_size)
			want.address_size = (u8)(vector->mode / 8);
		if (!vector->overridden)
			want.segment = DECODE_SEGMENT_DEFAULT;

		/* Exactly its bytes, and with others behind, which takes the fast path. */
		assert_int_equal(x86_decode(bytes, length, vector->mode, &got), HV_OK);
		expect_same(vector->text, &got, &want);
		memset(padded, 0xcc, sizeof(padded));
		memcpy(padded, bytes, length);
		assert_int_equal(x86_decode(padded, sizeof(padded), vector->mode, &got), HV_OK);
		expect_same(vector->text, &got, &want);

		for (size_t cut = 0; cut < length; cut++)
			if (decode_exact(bytes, cut, vector->mode, &got) != HV_ENO_SPACE)
				fail_msg("%s: cut to %zu bytes", vector->text, cut);
		difference = oracle_check(bytes, length, vector->mode);
		if (difference)
			fail_msg("%s: Zydis disagrees: %s", vector->text, difference);
		free(bytes);
	}
}

struct refusal {
	enum decode_mode mode;
	const char *text;
	enum hv_error err;
};

static const struct refusal refusals[] = {
	/* LOCK where it isn't legal */
	{DECODE_64, "f0 89 07", HV_EINVALID},
	{DECODE_64, "f0 8b 07", HV_EINVALID},
	{DECODE_64, "f0 c7 07 00 00 00 00", HV_EINVALID},
	{DECODE_64, "f0 03 07", HV_EINVALID},
	{DECODE_64, "f0 39 07", HV_EINVALID},
	{DECODE_64, "f0 83 3f 00", HV_EINVALID},
	{DECODE_64, "f0 f6 07 01", HV_EINVALID},
	{DECODE_64, "f0 0f ba 27 01", HV_EINVALID},
	{DECODE_64, "f0 01 c0", HV_EINVALID},
	{DECODE_64, "f0 ab", HV_EINVALID},
	/* no instructions */
	{DECODE_64, "c6 0f 00", HV_EINVALID},
	{DECODE_64, "c7 0f 00 00 00 00", HV_EINVALID},
	{DECODE_64, "fe 17", HV_EINVALID},
	{DECODE_64, "ff 3f", HV_EINVALID},
	{DECODE_64, "0f ba 07 01", HV_EINVALID},
	{DECODE_64, "82 0f 01", HV_EINVALID},
	/* too long */
	{DECODE_64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 89 07", HV_EINVALID},
	{DECODE_64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 66", HV_EINVALID},
	/* registers only */
	{DECODE_64, "89 c0", HV_EUNSUPPORTED},
	{DECODE_64, "8b c0 00 00 00 00 00 00 00 00 00 00 00 00 00", HV_EUNSUPPORTED},
	{DECODE_64, "0f ba e0 01", HV_EUNSUPPORTED},
	/* others */
	{DECODE_64, "90", HV_EUNSUPPORTED},
	{DECODE_64, "0f 10 07", HV_EUNSUPPORTED},
	{DECODE_64, "66 0f 6f 07", HV_EUNSUPPORTED},
	{DECODE_64, "c5 f8 10 07", HV_EUNSUPPORTED},
	{DECODE_64, "d5 00 89 07", HV_EUNSUPPORTED},
	{DECODE_64, "0f ab 07", HV_EUNSUPPORTED},
	{DECODE_64, "f6 27", HV_EUNSUPPORTED},
	{DECODE_64, "ff 17", HV_EUNSUPPORTED},
	{DECODE_64, "8c 07", HV_EUNSUPPORTED},
	{DECODE_64, "66 63 07", HV_EUNSUPPORTED},
	{DECODE_64, "66 0f c3 07", HV_EUNSUPPORTED},
	{DECODE_64, "f2 ab", HV_EUNSUPPORTED},
	{DECODE_64, "a6", HV_EUNSUPPORTED},
	{DECODE_32, "63 07", HV_EUNSUPPORTED},
	{DECODE_32, "40 8b 07", HV_EUNSUPPORTED},
	{DECODE_16, "f2 6c", HV_EUNSUPPORTED},
};

static void test_refusals(void **state)
{
	struct decode_insn insn;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
		enum hv_error err = decode_text(refusals[i].text, refusals[i].mode, &insn);

		if (err != refusals[i].err)
			fail_msg("%s: %d", refusals[i].text, (int)err);
	}
}

/* ---- against Zydis ---- */

static u64 random_state = 0x9e3779b97f4a7c15;

static u64 random_u64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void random_bytes(u8 *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (u8)(random_u64() >> 24);
}

static void compare(const u8 *bytes, size_t length, enum decode_mode mode)
{
	const char *difference = oracle_check(bytes, length, mode);
	char text[3 * DECODE_LENGTH_MAX + 1] = "";

	if (!difference)
		return;
	for (size_t i = 0; i < length; i++)
		snprintf(text + 3 * i, 4, "%02x ", bytes[i]);
	fail_msg("%d-bit mode, %s- Zydis disagrees: %s", (int)mode, text, difference);
}

/* Every opcode of the two maps with every ModRM. */
static void test_oracle_opcodes(void **state)
{
	u8 bytes[DECODE_LENGTH_MAX];
	struct decode_insn insn;
	unsigned int accepted = 0;

	(void)state;
	for (size_t m = 0; m < ARRAY_COUNT(modes); m++)
		for (unsigned int opcode = 0; opcode < 512; opcode++)
			for (unsigned int modrm = 0; modrm < 256; modrm++) {
				size_t at = 0;

				random_bytes(bytes, sizeof(bytes));
				if (opcode & 256)
					bytes[at++] = 0x0f;
				bytes[at++] = (u8)opcode;
				bytes[at] = (u8)modrm;
				compare(bytes, sizeof(bytes), modes[m]);
				accepted += !x86_decode(bytes, sizeof(bytes), modes[m], &insn);
			}
	assert_true(accepted > 3 * 60 * 32);
}

/* What is known, with prefixes in any number and order, cut anywhere. */
static void test_oracle_prefixes(void **state)
{
	static const u8 prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67,
				      0xf0, 0xf2, 0xf3, 0x40, 0x44, 0x48, 0x4f};
	u8 bytes[DECODE_LENGTH_MAX];
	struct decode_insn insn;
	unsigned int accepted = 0;

	(void)state;
	for (unsigned int i = 0; i < 400000; i++) {
		const struct vector *vector = &vectors[random_u64() % ARRAY_COUNT(vectors)];
		enum decode_mode mode = modes[random_u64() % ARRAY_COUNT(modes)];
		size_t count = random_u64() % 5;
		size_t length = random_u64() % 4 ? sizeof(bytes) : random_u64() % sizeof(bytes);
		const char *text = vector->text;
		unsigned int byte;
		int used;

		random_bytes(bytes, sizeof(bytes));
		for (size_t p = 0; p < count; p++)
			bytes[p] = prefixes[random_u64() % ARRAY_COUNT(prefixes)];
		while (count < sizeof(bytes) && sscanf(text, " %2x%n", &byte, &used) == 1) {
			bytes[count++] = (u8)byte;
			text += used;
			/* The rest of some is left random. */
			if (random_u64() % 8 == 0)
				break;
		}
		compare(bytes, length, mode);
		accepted += !decode_exact(bytes, length, mode, &insn);
	}
	assert_true(accepted > 100000);
}

static void test_oracle_random(void **state)
{
	u8 bytes[DECODE_LENGTH_MAX];
	struct decode_insn insn;
	unsigned int accepted = 0;

	(void)state;
	for (unsigned int i = 0; i < 400000; i++) {
		enum decode_mode mode = modes[i % ARRAY_COUNT(modes)];

		random_bytes(bytes, sizeof(bytes));
		compare(bytes, sizeof(bytes), mode);
		accepted += !x86_decode(bytes, sizeof(bytes), mode, &insn);
	}
	assert_true(accepted > 20000);
}

/* ---- values ---- */

static struct decode_insn must_decode(const char *text)
{
	struct decode_insn insn;

	if (decode_text(text, DECODE_64, &insn))
		fail_msg("%s is not decoded", text);
	return insn;
}

static void test_write_value(void **state)
{
	u64 gpr[16];
	struct decode_insn insn;

	(void)state;
	for (unsigned int i = 0; i < 16; i++)
		gpr[i] = 0x8877665544332200 + i * 0x1111;
#define EXPECT_WRITE(text, value)                                                                  \
	insn = must_decode(text);                                                                  \
	assert_int_equal(x86_decode_write_value(&insn, gpr), (u64)(value))
	EXPECT_WRITE("88 0f", 0x11);
	EXPECT_WRITE("88 2f", 0x33);
	EXPECT_WRITE("66 89 0f", 0x3311);
	EXPECT_WRITE("89 0f", 0x44333311);
	EXPECT_WRITE("48 89 0f", 0x8877665544333311);
	EXPECT_WRITE("44 88 3f", 0xff);
	EXPECT_WRITE("c6 07 80", 0x80);
	EXPECT_WRITE("66 c7 07 00 80", 0x8000);
	EXPECT_WRITE("c7 07 ff ff ff ff", 0xffffffff);
	EXPECT_WRITE("48 c7 07 ff ff ff ff", UINT64_MAX);
	EXPECT_WRITE("aa", 0x00);
	EXPECT_WRITE("ab", 0x44332200);
#undef EXPECT_WRITE
}

static void test_read_result(void **state)
{
	const u64 old = 0x1122334455667788;
	struct decode_insn insn;

	(void)state;
#define EXPECT_READ(text, value, result)                                                           \
	insn = must_decode(text);                                                                  \
	assert_int_equal(x86_decode_read_result(&insn, value, old), (u64)(result))
	EXPECT_READ("8a 07", 0xffffffffffffffaa, 0x11223344556677aa);
	EXPECT_READ("8a 27", 0xaa, 0x112233445566aa88);
	EXPECT_READ("66 8b 07", 0xfffff99aa, 0x11223344556699aa);
	EXPECT_READ("8b 07", 0xffffffff80000001, 0x80000001);
	EXPECT_READ("48 8b 07", 0x8000000000000001, 0x8000000000000001);
	EXPECT_READ("0f b6 07", 0x1ff, 0xff);
	EXPECT_READ("66 0f b6 07", 0xff, 0x11223344556600ff);
	EXPECT_READ("48 0f b7 07", 0x18000, 0x8000);
	EXPECT_READ("0f be 07", 0x80, 0xffffff80);
	EXPECT_READ("66 0f be 07", 0x80, 0x112233445566ff80);
	EXPECT_READ("48 0f be 07", 0x80, 0xffffffffffffff80);
	EXPECT_READ("48 0f bf 07", 0x7fff, 0x7fff);
	EXPECT_READ("48 63 07", 0x80000000, 0xffffffff80000000);
	EXPECT_READ("ac", 0xaa, 0x11223344556677aa);
#undef EXPECT_READ
}

struct arithmetic {
	const char *text; /* memory against rcx */
	u64 memory, rcx;
	u64 flags_in;
	u64 result;
	u64 flags;
};

static const struct arithmetic arithmetics[] = {
	{"00 0f", 0xff, 0x01, 0, 0x00, CF | PF | AF | ZF},
	{"00 0f", 0x7f, 0x01, 0, 0x80, OF | SF | AF},
	{"00 0f", 0x80, 0x80, 0, 0x00, OF | CF | ZF | PF},
	{"66 01 0f", 0x7fff, 1, CF, 0x8000, OF | SF | AF | PF},
	{"01 0f", 0xffffffff, 0xffffffff00000002, 0, 1, CF | AF},
	{"48 01 0f", UINT64_MAX, 1, 0, 0, CF | PF | AF | ZF},
	{"48 01 0f", INT64_MAX, 1, 0, BIT(63), OF | SF | AF | PF},
	{"48 11 0f", UINT64_MAX, UINT64_MAX, CF, UINT64_MAX, CF | SF | AF | PF},
	{"11 0f", 0xfffffffe, 1, CF, 0, CF | PF | AF | ZF},
	{"28 0f", 0x00, 0x01, 0, 0xff, CF | SF | AF | PF},
	{"28 0f", 0x80, 0x01, 0, 0x7f, OF | AF},
	{"29 0f", 5, 5, CF, 0, ZF | PF},
	{"48 29 0f", BIT(63), 1, 0, INT64_MAX, OF | AF | PF},
	{"18 0f", 0x10, 0x0f, CF, 0x00, AF | ZF | PF},
	{"48 19 0f", 0, UINT64_MAX, CF, 0, CF | AF | ZF | PF},
	{"2b 0f", 3, 5, 0, 2, 0},
	{"09 0f", 0x80000000, 1, CF | OF | AF, 0x80000001, SF},
	{"21 0f", 0xf0, 0x0f, CF | OF, 0, ZF | PF},
	{"31 0f", 0xff, 0x0f, 0, 0xf0, PF},
	{"39 0f", 1, 2, 0, 0xffffffff, CF | SF | AF | PF},
	{"3b 0f", 1, 2, 0, 1, 0},
	{"85 0f", 0x80000000, 0xffffffff, CF, 0x80000000, SF | PF},
	{"f7 07 01 00 00 00", 2, 0, CF, 0, ZF | PF},
	{"80 0f 80", 0x01, 0, 0, 0x81, SF | PF},
	{"48 83 27 f0", UINT64_MAX, 0, 0, 0xfffffffffffffff0, SF | PF},
	{"ff 07", 0xffffffff, 0, CF, 0, CF | ZF | AF | PF},
	{"ff 07", 0x7fffffff, 0, 0, 0x80000000, OF | SF | AF | PF},
	{"fe 0f", 0x80, 0, 0, 0x7f, OF | AF},
	{"fe 0f", 0x00, 0, 0, 0xff, SF | AF | PF},
	{"f7 17", 0x0000ffff, 0, CF | ZF, 0xffff0000, CF | ZF},
	{"f6 1f", 0x80, 0, 0, 0x80, CF | OF | SF},
	{"f6 1f", 0x00, 0, CF, 0x00, ZF | PF},
	{"f6 1f", 0x01, 0, 0, 0xff, CF | SF | AF | PF},
	{"0f ba 27 21", 2, 0, 0, 2, CF},
	{"0f ba 2f 1f", 0, 0, CF | ZF, 0x80000000, ZF},
	{"48 0f ba 37 3f", UINT64_MAX, 0, 0, INT64_MAX, CF},
	{"66 0f ba 3f 1f", 0x8000, 0, 0, 0, CF},
};

static void test_alu(void **state)
{
	const u64 others = DF | BIT(9) | BIT(1);

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(arithmetics); i++) {
		const struct arithmetic *a = &arithmetics[i];
		struct decode_insn insn = must_decode(a->text);
		u64 gpr[16] = {[RCX] = a->rcx};
		u64 rflags = a->flags_in | others;
		/* Bits of memory beyond the operand don't count. */
		u64 memory = insn.size == 8 ? a->memory : a->memory | BIT(insn.size * 8);
		u64 result = x86_decode_alu(&insn, memory, gpr, &rflags);

		if (result != a->result || rflags != (a->flags | others))
			fail_msg("%s, %zu: %llx, flags %llx", a->text, i,
				 (unsigned long long)result, (unsigned long long)rflags);
	}
}

/* Sums and differences against arithmetic that is wide enough not to wrap. */
static void test_alu_wide(void **state)
{
	static const u8 sizes[] = {1, 2, 4, 8};

	(void)state;
	for (unsigned int i = 0; i < 200000; i++) {
		u8 size = sizes[i % 4];
		unsigned int bits = size * 8;
		bool subtract = i & 4;
		bool with_carry = i & 8;
		struct decode_insn insn = {
			.op = DECODE_MODIFY,
			.alu = subtract ? (with_carry ? DECODE_SBB : DECODE_SUB)
					: (with_carry ? DECODE_ADC : DECODE_ADD),
			.size = size,
			.reg = RCX,
			.reg_size = size,
		};
		u64 mask = UINT64_MAX >> (64 - bits);
		/* Few distinct bytes, so that borders are met often. */
		u64 a = (random_u64() & random_u64() & random_u64()) * (i & 16 ? 1 : UINT64_MAX) &
			mask;
		u64 b = (random_u64() | random_u64() | random_u64()) * (i & 32 ? 1 : UINT64_MAX) &
			mask;
		u64 gpr[16] = {[RCX] = b};
		u64 flags = i & 64 ? CF : 0;
		int carry = with_carry && flags;
		__int128 sign = (__int128)1 << (bits - 1);
		__int128 signed_a = (__int128)(a ^ (u64)sign) - sign;
		__int128 signed_b = (__int128)(b ^ (u64)sign) - sign;
		__int128 whole = subtract ? (__int128)a - b - carry : (__int128)a + b + carry;
		__int128 exact =
			subtract ? signed_a - signed_b - carry : signed_a + signed_b + carry;
		int nibble = subtract ? (int)(a & 15) - (int)(b & 15) - carry
				      : (int)(a & 15) + (int)(b & 15) + carry;
		u64 result = (u64)whole & mask;
		u64 want = 0;

		if (whole < 0 || whole > (__int128)mask)
			want |= CF;
		if (exact < -sign || exact >= sign)
			want |= OF;
		if (nibble < 0 || nibble > 15)
			want |= AF;
		if (!result)
			want |= ZF;
		if (result & (u64)sign)
			want |= SF;
		if (__builtin_popcountll(result & 0xff) % 2 == 0)
			want |= PF;
		assert_int_equal(x86_decode_alu(&insn, a, gpr, &flags), result);
		assert_int_equal(flags, want);
	}
}

static void test_apply(void **state)
{
	struct decode_insn insn;
	u64 gpr[16] = {0};
	u64 rflags = 0;
	u64 store = 0;

	(void)state;
	gpr[RCX] = UINT64_MAX;
	insn = must_decode("8b 0f");
	assert_true(x86_decode_reads(&insn));
	assert_false(x86_decode_apply(&insn, 0x12345678, gpr, &rflags, &store));
	assert_int_equal(gpr[RCX], 0x12345678);

	insn = must_decode("66 89 0f");
	assert_false(x86_decode_reads(&insn));
	assert_true(x86_decode_apply(&insn, 0, gpr, &rflags, &store));
	assert_int_equal(store, 0x5678);

	gpr[RCX] = 0xffffffff00000001;
	insn = must_decode("03 0f");
	assert_false(x86_decode_apply(&insn, UINT32_MAX, gpr, &rflags, &store));
	assert_int_equal(gpr[RCX], 0);
	assert_int_equal(rflags, CF | PF | AF | ZF);

	gpr[RCX] = 0xffffffff00001122;
	insn = must_decode("86 2f");
	assert_true(x86_decode_apply(&insn, 0x33, gpr, &rflags, &store));
	assert_int_equal(store, 0x11);
	assert_int_equal(gpr[RCX], 0xffffffff00003322);

	insn = must_decode("87 0f");
	assert_true(x86_decode_apply(&insn, 0x80000000, gpr, &rflags, &store));
	assert_int_equal(store, 0x3322);
	assert_int_equal(gpr[RCX], 0x80000000);

	gpr[RCX] = 5;
	insn = must_decode("39 0f");
	assert_false(x86_decode_apply(&insn, 5, gpr, &rflags, &store));
	assert_int_equal(rflags, ZF | PF);
	assert_int_equal(gpr[RCX], 5);

	/* Equal: the register is stored, and the accumulator kept whole. */
	insn = must_decode("f0 0f b1 0f");
	gpr[RAX] = 0xffffffff00000007;
	gpr[RCX] = 9;
	assert_true(x86_decode_apply(&insn, 7, gpr, &rflags, &store));
	assert_int_equal(store, 9);
	assert_int_equal(gpr[RAX], 0xffffffff00000007);
	assert_int_equal(rflags & ZF, ZF);
	/* Not equal: memory is stored back, and read into the accumulator. */
	assert_true(x86_decode_apply(&insn, 8, gpr, &rflags, &store));
	assert_int_equal(store, 8);
	assert_int_equal(gpr[RAX], 8);
	assert_int_equal(gpr[RCX], 9);
	assert_int_equal(rflags & ZF, 0);
	/* The register may be a high byte, the accumulator is not. */
	insn = must_decode("0f b0 2f");
	gpr[RAX] = 0x1234;
	gpr[RCX] = 0x5678;
	assert_true(x86_decode_apply(&insn, 0x34, gpr, &rflags, &store));
	assert_int_equal(store, 0x56);
	assert_true(x86_decode_apply(&insn, 0x99, gpr, &rflags, &store));
	assert_int_equal(gpr[RAX], 0x1299);
}

static void test_strings(void **state)
{
	struct decode_insn insn;
	u64 gpr[16] = {[RSI] = 0x1000, [RDI] = 0x2000, [RCX] = 2};

	(void)state;
	insn = must_decode("f3 a5");
	assert_true(x86_decode_string_more(&insn, gpr));
	assert_int_equal(x86_decode_string_source(&insn, gpr), 0x1000);
	assert_int_equal(x86_decode_string_dest(&insn, gpr), 0x2000);
	assert_false(x86_decode_string_step(&insn, gpr, 0));
	assert_int_equal(gpr[RSI], 0x1004);
	assert_int_equal(gpr[RDI], 0x2004);
	assert_int_equal(gpr[RCX], 1);
	assert_true(x86_decode_string_step(&insn, gpr, DF));
	assert_int_equal(gpr[RSI], 0x1000);
	assert_int_equal(gpr[RDI], 0x2000);
	assert_int_equal(gpr[RCX], 0);
	assert_false(x86_decode_string_more(&insn, gpr));

	/* Without a repetition rcx plays no part; stos has no source, lods no destination. */
	insn = must_decode("48 ab");
	assert_true(x86_decode_string_more(&insn, gpr));
	assert_true(x86_decode_string_step(&insn, gpr, 0));
	assert_int_equal(gpr[RSI], 0x1000);
	assert_int_equal(gpr[RDI], 0x2008);
	assert_int_equal(gpr[RCX], 0);
	insn = must_decode("ac");
	assert_true(x86_decode_string_step(&insn, gpr, DF));
	assert_int_equal(gpr[RSI], 0xfff);
	assert_int_equal(gpr[RDI], 0x2008);

	insn = must_decode("6f");
	assert_true(x86_decode_string_step(&insn, gpr, 0));
	assert_int_equal(gpr[RSI], 0x1003);
	assert_int_equal(gpr[RDI], 0x2008);
	insn = must_decode("6c");
	assert_true(x86_decode_string_step(&insn, gpr, DF));
	assert_int_equal(gpr[RSI], 0x1003);
	assert_int_equal(gpr[RDI], 0x2007);

	/* Addresses of 32 bits wrap there and clear the upper half, those of 16 keep the rest. */
	insn = must_decode("67 f3 aa");
	gpr[RDI] = 0x1ffffffff;
	gpr[RCX] = 0x100000001;
	assert_int_equal(x86_decode_string_dest(&insn, gpr), 0xffffffff);
	assert_true(x86_decode_string_step(&insn, gpr, 0));
	assert_int_equal(gpr[RDI], 0);
	assert_int_equal(gpr[RCX], 0);
	gpr[RDI] = 0x5ffff;
	gpr[RCX] = 0x70002;
	assert_int_equal(decode_text("f3 aa", DECODE_16, &insn), HV_OK);
	assert_int_equal(x86_decode_string_dest(&insn, gpr), 0xffff);
	assert_false(x86_decode_string_step(&insn, gpr, 0));
	assert_int_equal(gpr[RDI], 0x50000);
	assert_int_equal(gpr[RCX], 0x70001);
}

/* ---- control registers ---- */

struct cr_vector {
	enum decode_mode mode;
	const char *text;
	enum hv_error err;
	struct decode_cr want;
};

static const struct cr_vector cr_vectors[] = {
	{DECODE_64, "0f 20 c0", HV_OK, {3, DECODE_CR_MOV, 0, 0, false}},
	{DECODE_64, "0f 22 d9", HV_OK, {3, DECODE_CR_MOV, 3, 1, true}},
	{DECODE_64, "41 0f 20 e7", HV_OK, {4, DECODE_CR_MOV, 4, 15, false}},
	{DECODE_64, "44 0f 22 c0", HV_OK, {4, DECODE_CR_MOV, 8, 0, true}},
	{DECODE_64, "0f 20 10", HV_OK, {3, DECODE_CR_MOV, 2, 0, false}},
	{DECODE_32, "0f 22 c0", HV_OK, {3, DECODE_CR_MOV, 0, 0, true}},
	{DECODE_16, "66 0f 22 c0", HV_OK, {4, DECODE_CR_MOV, 0, 0, true}},
	{DECODE_16, "0f 06", HV_OK, {2, DECODE_CR_CLTS, 0, 0, true}},
	{DECODE_16, "0f 01 f3", HV_OK, {3, DECODE_CR_LMSW, 0, 3, true}},
	{DECODE_64, "41 0f 01 f0", HV_OK, {4, DECODE_CR_LMSW, 0, 8, true}},
	{DECODE_64, "0f 22 c8", HV_EINVALID, {0}},
	{DECODE_64, "44 0f 22 c8", HV_EINVALID, {0}},
	{DECODE_64, "f0 0f 22 c0", HV_EINVALID, {0}},
	{DECODE_64, "0f 01 37", HV_EUNSUPPORTED, {0}},
	{DECODE_64, "0f 01 e0", HV_EUNSUPPORTED, {0}},
	{DECODE_64, "0f 21 c0", HV_EUNSUPPORTED, {0}},
	{DECODE_64, "8b 07", HV_EUNSUPPORTED, {0}},
};

static void test_cr(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cr_vectors); i++) {
		const struct cr_vector *vector = &cr_vectors[i];
		struct decode_cr got;
		size_t length;
		u8 *bytes = bytes_of(vector->text, &length);
		const char *difference;

		assert_int_equal(x86_decode_cr(bytes, length, vector->mode, &got), vector->err);
		if (!vector->err) {
			assert_int_equal(got.length, vector->want.length);
			assert_int_equal(got.op, vector->want.op);
			assert_int_equal(got.cr, vector->want.cr);
			assert_int_equal(got.gpr, vector->want.gpr);
			assert_int_equal(got.is_write, vector->want.is_write);
		}
		for (size_t cut = 0; !vector->err && cut < length; cut++) {
			u8 *copy = malloc(cut);

			memcpy(copy, bytes, cut);
			assert_int_equal(x86_decode_cr(copy, cut, vector->mode, &got),
					 HV_ENO_SPACE);
			free(copy);
		}
		difference = oracle_check_cr(bytes, length, vector->mode);
		if (difference)
			fail_msg("%s: Zydis disagrees: %s", vector->text, difference);
		free(bytes);
	}
}

static void test_cr_oracle(void **state)
{
	static const u8 opcodes[] = {0x01, 0x06, 0x20, 0x22};
	static const u8 prefixes[] = {0x26, 0x64, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x40, 0x44, 0x4d};
	u8 bytes[DECODE_LENGTH_MAX];
	struct decode_cr cr;
	unsigned int accepted = 0;

	(void)state;
	for (unsigned int i = 0; i < 100000; i++) {
		enum decode_mode mode = modes[i % ARRAY_COUNT(modes)];
		size_t at = random_u64() % 4;
		const char *difference;

		random_bytes(bytes, sizeof(bytes));
		for (size_t p = 0; p < at; p++)
			bytes[p] = prefixes[random_u64() % ARRAY_COUNT(prefixes)];
		bytes[at] = 0x0f;
		bytes[at + 1] = opcodes[random_u64() % ARRAY_COUNT(opcodes)];
		difference = oracle_check_cr(bytes, sizeof(bytes), mode);
		if (difference)
			fail_msg("%d-bit mode, %02x %02x %02x %02x %02x %02x: %s", (int)mode,
				 bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5],
				 difference);
		accepted += !x86_decode_cr(bytes, sizeof(bytes), mode, &cr);
	}
	assert_true(accepted > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),          cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_oracle_opcodes), cmocka_unit_test(test_oracle_prefixes),
		cmocka_unit_test(test_oracle_random),  cmocka_unit_test(test_write_value),
		cmocka_unit_test(test_read_result),    cmocka_unit_test(test_alu),
		cmocka_unit_test(test_alu_wide),       cmocka_unit_test(test_apply),
		cmocka_unit_test(test_strings),        cmocka_unit_test(test_cr),
		cmocka_unit_test(test_cr_oracle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
