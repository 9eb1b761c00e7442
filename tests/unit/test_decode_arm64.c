/* SPDX-License-Identifier: MIT */
#include <arch/decode.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OBJDUMP "aarch64-linux-gnu-objdump"

/* ---- a few forms, so that what goes wrong is seen by its name ---- */

struct vector {
	const char *text;
	u32 word;
	struct a64_insn want;
};

#define READ(bytes, ...)                                                                           \
	{                                                                                          \
		.size = bytes, ##__VA_ARGS__                                                       \
	}
#define WRITE(bytes, ...)                                                                          \
	{                                                                                          \
		.size = bytes, .is_write = true, ##__VA_ARGS__                                     \
	}
#define X          .to_64 = true
#define SIGNED     .sign_extend = true
#define PAIR       .pair = true
#define BASE(r, o) .rn = r, .offset = o
#define PRE        .writeback = true
#define POST       .writeback = true, .post_index = true

/* Words as the assembler makes them of the text. */
static const struct vector vectors[] = {
	{"ldrb w5, [x3]", 0x39400065, READ(1, .rt = 5)},
	{"ldr xzr, [x3]", 0xf940007f, READ(8, .rt = A64_ZR, X)},
	{"str w5, [sp, #4]", 0xb90007e5, WRITE(4, .rt = 5)},
	{"ldrsb w5, [x3, #1]", 0x39c00465, READ(1, .rt = 5, SIGNED)},
	{"ldrsb x5, [x3, #1]", 0x39800465, READ(1, .rt = 5, SIGNED, X)},
	{"ldrsw x5, [x3, x4, lsl #2]", 0xb8a47865, READ(4, .rt = 5, SIGNED, X)},
	{"ldtrh w5, [x3, #-2]", 0x785fe865, READ(2, .rt = 5)},
	{"ldr x5, .-8", 0x58ffffc5, READ(8, .rt = 5, X)},
	{"stlrb wzr, [x3]", 0x089ffc7f, WRITE(1, .rt = A64_ZR)},
	{"ldar x5, [x3]", 0xc8dffc65, READ(8, .rt = 5, X)},
	{"ldr x5, [x3], #8", 0xf8408465, READ(8, .rt = 5, X, BASE(3, 8), POST)},
	{"ldr w5, [sp, #-256]!", 0xb8500fe5, READ(4, .rt = 5, BASE(A64_SP, -256), PRE)},
	{"strh w5, [x3], #255", 0x780ff465, WRITE(2, .rt = 5, BASE(3, 255), POST)},
	{"ldp w5, w6, [x3, #-4]", 0x297f9865, READ(4, .rt = 5, .rt2 = 6, PAIR, BASE(3, -4))},
	{"ldp x5, x6, [x3], #504", 0xa8df9865,
	 READ(8, .rt = 5, .rt2 = 6, X, PAIR, BASE(3, 504), POST)},
	{"stp xzr, xzr, [sp, #-512]!", 0xa9a07fff,
	 WRITE(8, .rt = A64_ZR, .rt2 = A64_ZR, X, PAIR, BASE(A64_SP, -512), PRE)},
	{"ldnp x5, x6, [x3]", 0xa8401865, READ(8, .rt = 5, .rt2 = 6, X, PAIR, BASE(3, 0))},
	{"ldpsw x5, x6, [x3, #4]", 0x69409865,
	 READ(4, .rt = 5, .rt2 = 6, SIGNED, X, PAIR, BASE(3, 4))},
};

static const char *compare(const struct a64_insn *got, const struct a64_insn *want)
{
	bool base = want->pair || want->writeback;

	if (got->size != want->size)
		return "size";
	if (got->is_write != want->is_write)
		return "is_write";
	if (got->sign_extend != want->sign_extend)
		return "sign_extend";
	if (got->to_64 != want->to_64)
		return "to_64";
	if (got->rt != want->rt)
		return "rt";
	if (got->pair != want->pair || (want->pair && got->rt2 != want->rt2))
		return "pair";
	if (got->writeback != want->writeback || got->post_index != want->post_index)
		return "writeback";
	if (base && (got->rn != want->rn || got->offset != want->offset))
		return "base";
	return NULL;
}

static void test_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
		struct a64_insn got;
		const char *difference;

		assert_int_equal(a64_decode(vectors[i].word, &got), HV_OK);
		difference = compare(&got, &vectors[i].want);
		if (difference)
			fail_msg("%s: wrong %s", vectors[i].text, difference);
	}
}

static void test_refusals(void **state)
{
	static const struct {
		const char *text;
		u32 word;
		enum hv_error err;
	} refused[] = {
		{"ldr x3, [x3], #8", 0xf8408463, HV_EINVALID},
		{"str x3, [x3, #8]!", 0xf8008c63, HV_EINVALID},
		{"ldp x5, x5, [x3]", 0xa9401465, HV_EINVALID},
		{"ldp xzr, xzr, [sp]", 0xa9407fff, HV_EINVALID},
		{"stp x5, x3, [x3], #16", 0xa8810c65, HV_EINVALID},
		{"ldxr w5, [x3]", 0x885f7c65, HV_EUNSUPPORTED},
		{"stlxr w4, w5, [x3]", 0x8804fc65, HV_EUNSUPPORTED},
		{"cas w4, w5, [x3]", 0x88a47c65, HV_EUNSUPPORTED},
		{"ldadd w4, w5, [x3]", 0xb8240065, HV_EUNSUPPORTED},
		{"swp w4, w5, [x3]", 0xb8248065, HV_EUNSUPPORTED},
		{"ldr q5, [x3]", 0x3dc00065, HV_EUNSUPPORTED},
		{"ldp d5, d6, [x3]", 0x6d401865, HV_EUNSUPPORTED},
		{"ld1 {v5.16b}, [x3]", 0x4c407065, HV_EUNSUPPORTED},
		{"stgp x5, x6, [x3]", 0x69001865, HV_EUNSUPPORTED},
		{"stg x5, [x3]", 0xd9200865, HV_EUNSUPPORTED},
		{"ldraa x5, [x3]", 0xf8200465, HV_EUNSUPPORTED},
		{"prfm pldl1keep, [x3]", 0xf9800060, HV_EUNSUPPORTED},
		{"dc zva, x3", 0xd50b7423, HV_EUNSUPPORTED},
		{"add x5, x3, #0", 0x91000065, HV_EUNSUPPORTED},
		{"udf #0", 0x00000000, HV_EUNSUPPORTED},
	};
	struct a64_insn insn;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(refused); i++)
		if (a64_decode(refused[i].word, &insn) != refused[i].err)
			fail_msg("%s is not refused as it should be", refused[i].text);
}

static void test_address(void **state)
{
	struct a64_insn insn;

	(void)state;
	assert_int_equal(a64_decode(0xf8408465, &insn), HV_OK); /* ldr x5, [x3], #8 */
	assert_int_equal(a64_address(&insn, 0x1000), 0x1000);
	assert_int_equal(a64_decode(0xb8500fe5, &insn), HV_OK); /* ldr w5, [sp, #-256]! */
	assert_int_equal(a64_address(&insn, 0x1000), 0xf00);
	assert_int_equal(a64_decode(0x297f9865, &insn), HV_OK); /* ldp w5, w6, [x3, #-4] */
	assert_int_equal(a64_address(&insn, 0), UINT64_MAX - 3);
}

static u64 read_result(u64 value, u8 size, bool sign_extend, bool to_64)
{
	struct a64_insn insn = {.size = size, .sign_extend = sign_extend, .to_64 = to_64};

	return a64_read_result(&insn, value);
}

static void test_read_result(void **state)
{
	static const u64 values[] = {0,
				     1,
				     0x7f,
				     0x80,
				     0x7fff,
				     0x8000,
				     0x7fffffff,
				     0x80000000,
				     0x8877665544332211,
				     0x1122334455667788,
				     INT64_MAX,
				     UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
		u64 v = values[i];

		assert_int_equal(read_result(v, 1, false, false), (u8)v);
		assert_int_equal(read_result(v, 1, false, true), (u8)v);
		assert_int_equal(read_result(v, 1, true, false), (u32)(int8_t)v);
		assert_int_equal(read_result(v, 1, true, true), (u64)(int8_t)v);
		assert_int_equal(read_result(v, 2, false, false), (uint16_t)v);
		assert_int_equal(read_result(v, 2, true, false), (u32)(int16_t)v);
		assert_int_equal(read_result(v, 2, true, true), (u64)(int16_t)v);
		assert_int_equal(read_result(v, 4, false, false), (u32)v);
		assert_int_equal(read_result(v, 4, false, true), (u32)v);
		assert_int_equal(read_result(v, 4, true, true), (u64)(s32)v);
		assert_int_equal(read_result(v, 8, false, true), v);
		assert_int_equal(read_result(v, 8, true, true), v);
	}
}

/* ---- against the disassembler ---- */

/* The mnemonics that are plain accesses: a beginning, and how much is read or written. */
static const struct {
	const char *text;
	bool is_write;
	bool pair;
} beginnings[] = {
	{"ldr", false, false},    {"ldur", false, false},  {"ldtr", false, false},
	{"ldar", false, false},   {"ldlar", false, false}, {"ldapr", false, false},
	{"ldapur", false, false}, {"ldp", false, true},    {"ldnp", false, true},
	{"str", true, false},     {"stur", true, false},   {"sttr", true, false},
	{"stlr", true, false},    {"stllr", true, false},  {"stlur", true, false},
	{"stp", true, true},      {"stnp", true, true},
};

static const struct {
	const char *text;
	u8 size; /* 0: the register's */
	bool sign_extend;
} endings[] = {
	{"", 0, false},  {"b", 1, false}, {"h", 2, false},
	{"sb", 1, true}, {"sh", 2, true}, {"sw", 4, true},
};

/* The number of a general-purpose register, or -1; moves *@text past it and what follows it. */
static int take_register(const char **text, char *kind)
{
	const char *p = *text;
	int number = -1;

	if (!strncmp(p, "sp", 2)) {
		*kind = 'x';
		number = A64_SP;
		p += 2;
	} else if (*p == 'x' || *p == 'w') {
		*kind = *p++;
		if (!strncmp(p, "zr", 2)) {
			number = A64_ZR;
			p += 2;
		} else {
			char *end;

			number = (int)strtol(p, &end, 10);
			p = end;
		}
	}
	p += strspn(p, ", ");
	*text = p;
	return number;
}

/*
 * What @mnemonic and @operands, as the disassembler writes them, do. False: no plain load or
 * store of general-purpose registers.
 */
static bool parse(const char *mnemonic, const char *operands, struct a64_insn *want)
{
	const char *ending = NULL;
	char kind, base_kind;
	int reg;

	*want = (struct a64_insn){0};
	for (size_t i = 0; i < ARRAY_COUNT(beginnings) && !ending; i++) {
		size_t length = strlen(beginnings[i].text);

		if (strncmp(mnemonic, beginnings[i].text, length))
			continue;
		for (size_t j = 0; j < ARRAY_COUNT(endings); j++) {
			if (strcmp(mnemonic + length, endings[j].text))
				continue;
			ending = endings[j].text;
			want->is_write = beginnings[i].is_write;
			want->pair = beginnings[i].pair;
			want->size = endings[j].size;
			want->sign_extend = endings[j].sign_extend;
			break;
		}
	}
	if (!ending)
		return false;
	reg = take_register(&operands, &kind);
	if (reg < 0)
		return false;
	want->rt = (u8)reg;
	want->to_64 = kind == 'x';
	if (!want->size)
		want->size = kind == 'x' ? 8 : 4;
	if (want->pair)
		want->rt2 = (u8)take_register(&operands, &kind);
	if (*operands != '[')
		return true;
	operands++;
	want->rn = (u8)take_register(&operands, &base_kind);
	if (*operands == ']') {
		want->post_index = want->writeback = operands[1] == ',';
		operands += strspn(operands, "], ");
	}
	if (*operands == '#') {
		want->offset = strtoll(operands + 1, NULL, 0);
		want->writeback |= !!strchr(operands, '!');
	}
	return true;
}

/* Arm ARM, C6.2: the conditions under "CONSTRAINED UNPREDICTABLE" of each instruction. */
static bool is_unpredictable(const struct a64_insn *insn)
{
	if (insn->pair && !insn->is_write && insn->rt == insn->rt2)
		return true;
	return insn->writeback && insn->rn != A64_SP &&
	       (insn->rt == insn->rn || (insn->pair && insn->rt2 == insn->rn));
}

/* What is wrong with what the decoder made of @word; NULL if nothing. */
static const char *check(u32 word, const char *mnemonic, const char *operands, unsigned int *seen)
{
	struct a64_insn want, got;
	enum hv_error err = a64_decode(word, &got);

	if (!parse(mnemonic, operands, &want))
		return err ? NULL : "accepted";
	/* The disassembler doesn't look at the bits of ordered accesses that should be one. */
	if ((word & 0x3fa00000) == 0x08800000 && (~word & 0x001f7c00))
		return err == HV_EUNSUPPORTED ? NULL : "accepted";
	if (is_unpredictable(&want))
		return err == HV_EINVALID ? NULL : "not refused as unpredictable";
	if (err)
		return "refused";
	++*seen;
	return compare(&got, &want);
}

static u32 next_random(void)
{
	static u64 state = 0x2545f4914f6cdd1d;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (u32)(state >> 32);
}

/*
 * Every value of bits 31 to 10 among the loads and stores (bit 27 set and bit 25 clear, C4.1), with
 * registers that vary, through the disassembler of the binutils.
 */
static void test_oracle(void **state)
{
	static u32 words[1 << 20];
	char path[] = "/tmp/decode-arm64-XXXXXX";
	char command[128], line[256];
	unsigned int seen = 0;
	size_t count = 0, at = 0;
	FILE *file;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	for (u64 bits = 0; bits < BIT(32); bits += 0x400)
		if ((bits & 0x0a000000) == 0x08000000)
			words[count++] = (u32)bits | (next_random() & 0x3ff);
	assert_int_equal(count, ARRAY_COUNT(words));
	file = fdopen(fd, "wb");
	assert_int_equal(fwrite(words, sizeof(words[0]), count, file), count);
	fclose(file);
	snprintf(command, sizeof(command), OBJDUMP " -D -z -b binary -m aarch64 %s", path);
	file = popen(command, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		char *save, *address = strtok_r(line, ":", &save);
		char *hex = strtok_r(NULL, "\t ", &save);
		char *mnemonic = strtok_r(NULL, "\t\n", &save);
		char *operands = strtok_r(NULL, "\t\n", &save);
		const char *wrong;

		/* The first lines are headings. */
		if (!operands || address[0] != ' ')
			continue;
		assert_true(at < count);
		assert_int_equal(strtoul(hex, NULL, 16), words[at]);
		wrong = check(words[at], mnemonic, operands, &seen);
		if (wrong)
			fail_msg("%08x %s %s: %s", words[at], mnemonic, operands, wrong);
		at++;
	}
	pclose(file);
	unlink(path);
	if (!at)
		fail_msg(OBJDUMP " is missing; get it with 'make deps'");
	assert_int_equal(at, count);
	assert_true(seen > 100000);
}

/* Outside of the loads and stores nothing is accepted. */
static void test_other_instructions(void **state)
{
	struct a64_insn insn;

	(void)state;
	for (u64 bits = 0; bits < BIT(32); bits += 0x400)
		if ((bits & 0x0a000000) != 0x08000000)
			assert_int_equal(a64_decode((u32)bits | (next_random() & 0x3ff), &insn),
					 HV_EUNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),   cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_address), cmocka_unit_test(test_read_result),
		cmocka_unit_test(test_oracle),  cmocka_unit_test(test_other_instructions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
