/* SPDX-License-Identifier: MIT */
/* MOVS, INS and OUTS of x86_64, with a device at one end or at both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arch/strings.h>
#include <arch/vm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 4u
#define MEMORY MIB(4)

/* The guest's tables, and what they map: two pages of memory, one of a device, one of neither. */
#define ROOT   0x1000u
#define UPPER  0x2000u
#define LOWER  0x3000u
#define LEAF   0x4000u
#define FIRST  0x10000u
#define SECOND 0x20000u
#define DEVICE 0xfe900000u
#define VIEW   0x40000000u /* linear address of the first of the four */

#define SIZE 0x1000u
#define PORT 0x1f0u

#define RCX 1
#define RSI 6
#define RDI 7

#define DATA 0xc93u

struct board {
	struct pool pool;
	struct mem mem;
	u8 *memory;
	u32 *refs;
	struct x86_mode mode;
	struct x86_segment segments[6];
	u64 gpr[16];
	struct strings_cpu cpu;
	struct strings_fault fault;
	/* The device: what was asked of it, and its next answer. */
	char log[256];
	u64 answer;
	enum io_result result;
};

static enum io_result access_device(void *ctx, enum io_space space, u64 address,
				    struct io_access *access)
{
	struct board *b = ctx;
	size_t used = strlen(b->log);

	if (access->is_write)
		snprintf(b->log + used, sizeof(b->log) - used, "%s%llx.%u=%llx ",
			 space == IO_PIO ? "p" : "", (unsigned long long)address, access->size,
			 (unsigned long long)access->value);
	else
		snprintf(b->log + used, sizeof(b->log) - used, "%s%llx.%u ",
			 space == IO_PIO ? "p" : "", (unsigned long long)address, access->size);
	if (!access->is_write) {
		access->value = b->answer & (UINT64_MAX >> (64 - 8 * access->size));
		b->answer >>= 8 * (access->size % 8);
	}
	return b->result;
}

static void put(struct board *b, u64 at, u64 value, size_t size)
{
	assert_int_equal(mem_write(&b->mem, GPA(at), &value, size), HV_OK);
}

static u64 get(struct board *b, u64 at, size_t size)
{
	u64 value = 0;

	assert_int_equal(mem_read(&b->mem, GPA(at), &value, size), HV_OK);
	return value;
}

static void map(struct board *b, u32 page, u64 entry)
{
	put(b, LEAF + 8 * page, entry, 8);
}

static int setup(void **state)
{
	struct board *b = calloc(1, sizeof(*b));
	const u64 all = PTE_PRESENT | PTE_WRITE | PTE_USER;

	b->memory = aligned_alloc(MIB(2), BLOCKS * MIB(2));
	b->refs = calloc(BLOCKS * 512, sizeof(u32));
	pool_init(&b->pool);
	assert_int_equal(pool_add(&b->pool, HPA((u64)(uintptr_t)b->memory), BLOCKS, b->refs),
			 HV_OK);
	assert_int_equal(mem_init(&b->mem, &fake_format_walkable, &b->pool), HV_OK);
	assert_int_equal(mem_add(&b->mem, GPA(0), MEMORY, MEM_RAM), HV_OK);
	b->mode = (struct x86_mode){
		.cr0 = CR0_PE | CR0_PG | CR0_WP,
		.cr3 = ROOT,
		.cr4 = CR4_PAE,
		.efer = EFER_LME | EFER_LMA,
		.cs_long = true,
	};
	put(b, ROOT, UPPER | all, 8);
	put(b, UPPER + 8 * (VIEW >> 30), LOWER | all, 8);
	put(b, LOWER, LEAF | all, 8);
	map(b, 0, FIRST | all);
	map(b, 1, SECOND | all);
	map(b, 2, DEVICE | all);
	map(b, 3, 0);
	b->cpu = (struct strings_cpu){
		.mem = &b->mem,
		.mode = &b->mode,
		.segments = b->segments,
		.gpr = b->gpr,
		.access = access_device,
		.ctx = b,
	};
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct board *b = *state;

	mem_fini(&b->mem);
	free(b->refs);
	free(b->memory);
	free(b);
	return 0;
}

/* One step of the instruction of @bytes. */
static enum strings_result play(struct board *b, const char *bytes, size_t length)
{
	u8 code[DECODE_LENGTH_MAX] = {0};
	enum decode_mode width = b->mode.cs_long    ? DECODE_64
				 : b->mode.cs_32bit ? DECODE_32
						    : DECODE_16;
	struct decode_insn insn;

	memcpy(code, bytes, length);
	assert_int_equal(x86_decode(code, sizeof(code), width, &insn), HV_OK);
	assert_int_equal(insn.length, length);
	b->log[0] = 0;
	if (insn.op == DECODE_MOVS)
		return strings_move(&b->cpu, &insn, &b->fault);
	return strings_port(&b->cpu, &insn, PORT, &b->fault);
}
#define PLAY(b, bytes) play(b, bytes, sizeof(bytes) - 1)

static void test_move(void **state)
{
	struct board *b = *state;

	/* From the device, backwards. */
	b->answer = 0x8877665544332211;
	b->gpr[RSI] = VIEW + 2 * SIZE + 8;
	b->gpr[RDI] = VIEW + 0x10;
	b->mode.rflags = BIT(10);
	assert_int_equal(PLAY(b, "\xa5"), STRINGS_DONE);
	assert_string_equal(b->log, "fe900008.4 ");
	assert_int_equal(get(b, FIRST + 0x10, 8), 0x44332211);
	assert_int_equal(b->gpr[RSI], VIEW + 2 * SIZE + 4);
	assert_int_equal(b->gpr[RDI], VIEW + 0xc);
	b->mode.rflags = 0;

	/* To the device, three times. */
	put(b, FIRST + 0x20, 0x1122334455667788, 8);
	b->gpr[RSI] = VIEW + 0x20;
	b->gpr[RDI] = VIEW + 2 * SIZE;
	b->gpr[RCX] = 3;
	assert_int_equal(PLAY(b, "\xf3\x66\xa5"), STRINGS_MORE);
	assert_string_equal(b->log, "fe900000.2=7788 ");
	assert_int_equal(PLAY(b, "\xf3\x66\xa5"), STRINGS_MORE);
	assert_int_equal(PLAY(b, "\xf3\x66\xa5"), STRINGS_DONE);
	assert_string_equal(b->log, "fe900004.2=3344 ");
	assert_int_equal(b->gpr[RCX], 0);
	assert_int_equal(b->gpr[RSI], VIEW + 0x26);
	/* And not a fourth time. */
	assert_int_equal(PLAY(b, "\xf3\x66\xa5"), STRINGS_DONE);
	assert_string_equal(b->log, "");

	/* From device to device. */
	b->answer = 0x55;
	b->gpr[RSI] = VIEW + 2 * SIZE + 1;
	b->gpr[RDI] = VIEW + 2 * SIZE + 2;
	assert_int_equal(PLAY(b, "\xa4"), STRINGS_DONE);
	assert_string_equal(b->log, "fe900001.1 fe900002.1=55 ");
}

static void test_over_two_pages(void **state)
{
	struct board *b = *state;

	put(b, FIRST + SIZE - 3, 0x332211, 3);
	put(b, SECOND, 0x8877665544, 5);
	b->gpr[RSI] = VIEW + SIZE - 3;
	b->gpr[RDI] = VIEW + 2 * SIZE;
	assert_int_equal(PLAY(b, "\x48\xa5"), STRINGS_DONE);
	assert_string_equal(b->log, "fe900000.8=8877665544332211 ");

	b->answer = 0xa8a7a6a5a4a3a2a1;
	b->gpr[RSI] = VIEW + 2 * SIZE;
	b->gpr[RDI] = VIEW + SIZE - 3;
	assert_int_equal(PLAY(b, "\x48\xa5"), STRINGS_DONE);
	assert_int_equal(get(b, FIRST + SIZE - 3, 3), 0xa3a2a1);
	assert_int_equal(get(b, SECOND, 5), 0xa8a7a6a5a4);

	/* Out of memory into the device: three bytes of it are no size that there is. */
	b->gpr[RSI] = VIEW;
	put(b, FIRST, 0x8877665544332211, 8);
	b->gpr[RDI] = VIEW + 2 * SIZE - 5;
	assert_int_equal(PLAY(b, "\x48\xa5"), STRINGS_DONE);
	assert_int_equal(get(b, SECOND + SIZE - 5, 5), 0x5544332211);
	assert_string_equal(b->log, "fe900000.1=66 fe900001.1=77 fe900002.1=88 ");
}

static void faults_at(struct board *b, u8 vector, u32 error, u64 address)
{
	assert_int_equal(b->fault.vector, vector);
	assert_int_equal(b->fault.error, error);
	assert_int_equal(b->fault.address, address);
	/* Nothing was done. */
	assert_string_equal(b->log, "");
}

static void test_faults_do_nothing(void **state)
{
	struct board *b = *state;
	u64 before[16];

	b->gpr[RSI] = VIEW + 2 * SIZE;
	b->gpr[RDI] = VIEW + 3 * SIZE + 4;
	b->gpr[RCX] = 5;
	memcpy(before, b->gpr, sizeof(before));
	assert_int_equal(PLAY(b, "\xf3\xa5"), STRINGS_FAULT);
	faults_at(b, VECTOR_PF, PF_WRITE, VIEW + 3 * SIZE + 4);
	b->mode.cpl = 3;
	assert_int_equal(PLAY(b, "\xf3\xa5"), STRINGS_FAULT);
	faults_at(b, VECTOR_PF, PF_WRITE | PF_USER, VIEW + 3 * SIZE + 4);
	/* The page that is there, but not to be written; and a part that isn't there. */
	map(b, 3, SECOND | PTE_PRESENT | PTE_USER);
	assert_int_equal(PLAY(b, "\xf3\xa5"), STRINGS_FAULT);
	faults_at(b, VECTOR_PF, PF_PRESENT | PF_WRITE | PF_USER, VIEW + 3 * SIZE + 4);
	assert_memory_equal(before, b->gpr, sizeof(before));
	map(b, 2, 0);
	map(b, 3, DEVICE | PTE_PRESENT | PTE_USER | PTE_WRITE);
	b->mode.cpl = 0;
	b->gpr[RDI] = VIEW + 3 * SIZE;
	b->gpr[RSI] = VIEW + 2 * SIZE - 1;
	assert_int_equal(PLAY(b, "\xa5"), STRINGS_FAULT);
	faults_at(b, VECTOR_PF, 0, VIEW + 2 * SIZE);
	/* Not canonical. */
	b->gpr[RSI] = 0x800000000000;
	assert_int_equal(PLAY(b, "\xa5"), STRINGS_FAULT);
	faults_at(b, VECTOR_GP, 0, 0);
	b->gpr[RSI] = 0x7ffffffffffe;
	assert_int_equal(PLAY(b, "\xa5"), STRINGS_FAULT);
	faults_at(b, VECTOR_GP, 0, 0);
	/* The accessed bit of a destination that nothing was written to. */
	assert_int_equal(get(b, LEAF + 8, 8) & PTE_DIRTY, 0);
}

static void test_no_memory_is_left(void **state)
{
	struct board *b = *state;

	map(b, 1, MIB(2) | PTE_PRESENT | PTE_WRITE);
	b->gpr[RSI] = VIEW + 2 * SIZE;
	b->gpr[RDI] = VIEW + SIZE;
	while (pool_alloc_page(&b->pool))
		;
	assert_int_equal(PLAY(b, "\xa5"), STRINGS_NO_MEMORY);
	assert_string_equal(b->log, "");
}

static void test_device_refuses(void **state)
{
	struct board *b = *state;

	b->result = IO_FAULT;
	b->gpr[RSI] = VIEW;
	b->gpr[RDI] = VIEW + 2 * SIZE;
	assert_int_equal(PLAY(b, "\xa5"), STRINGS_REFUSED);
	assert_int_equal(PLAY(b, "\x6c"), STRINGS_REFUSED);
}

static void test_ports(void **state)
{
	struct board *b = *state;

	/* Into memory, over two pages. */
	b->answer = 0x44332211;
	b->gpr[RDI] = VIEW + SIZE - 2;
	b->gpr[RCX] = 2;
	assert_int_equal(PLAY(b, "\xf3\x6d"), STRINGS_MORE);
	assert_string_equal(b->log, "p1f0.4 ");
	assert_int_equal(get(b, FIRST + SIZE - 2, 2), 0x2211);
	assert_int_equal(get(b, SECOND, 2), 0x4433);
	assert_int_equal(b->gpr[RDI], VIEW + SIZE + 2);
	assert_int_equal(b->gpr[RCX], 1);
	assert_int_equal(b->gpr[RSI], 0);
	/* A repetition of nothing. */
	b->gpr[RCX] = 0;
	assert_int_equal(PLAY(b, "\xf3\x6d"), STRINGS_DONE);
	assert_string_equal(b->log, "");
	/* Out of memory, through a segment with a base. */
	put(b, FIRST + 0x48, 0x1234, 2);
	b->segments[DECODE_GS].base = VIEW + 0x40;
	b->gpr[RSI] = 8;
	assert_int_equal(PLAY(b, "\x65\x66\x6f"), STRINGS_DONE);
	assert_string_equal(b->log, "p1f0.2=1234 ");
	assert_int_equal(b->gpr[RSI], 10);
	/* Into a device, out of one. */
	b->answer = 0x77;
	b->gpr[RDI] = VIEW + 2 * SIZE + 9;
	assert_int_equal(PLAY(b, "\x6c"), STRINGS_DONE);
	assert_string_equal(b->log, "p1f0.1 fe900009.1=77 ");
	b->answer = 0x66;
	b->gpr[RSI] = VIEW + 2 * SIZE + 9;
	assert_int_equal(PLAY(b, "\x6e"), STRINGS_DONE);
	assert_string_equal(b->log, "fe900009.1 p1f0.1=66 ");
	/* The port is not read when what it says has nowhere to go. */
	b->gpr[RDI] = VIEW + 3 * SIZE;
	assert_int_equal(PLAY(b, "\x6c"), STRINGS_FAULT);
	faults_at(b, VECTOR_PF, PF_WRITE, VIEW + 3 * SIZE);
}

static void test_segments(void **state)
{
	static const struct {
		u16 attributes;
		u32 limit;
		u64 offset;
		bool write;
		bool good;
	} rows[] = {
		{DATA, 0xfff, 0xffc, false, true},
		{DATA, 0xfff, 0xffd, false, false},
		{DATA, 0xfff, 0xffffffff, false, false},
		{DATA, 0xffffffff, 0xff0, true, true},
		{DATA & ~0x80u, 0xfff, 0, false, false}, /* not present */
		{0xc91, 0xfff, 0, true, false},          /* read-only */
		{0xc91, 0xfff, 0, false, true},
		{0xc9b, 0xfff, 0, false, true}, /* code, readable */
		{0xc9b, 0xfff, 0, true, false},
		{0xc99, 0xfff, 0, false, false},   /* code, not readable */
		{0xc97, 0xff, 0xff, false, false}, /* grows down */
		{0xc97, 0xff, 0x100, false, true},
		{0x897, 0xff, 0xfffd, false, false},
		{0x897, 0xff, 0xf00, true, true},
	};
	struct board *b = *state;

	/* Without paging: linear addresses are of 32 bits, and the guest's memory. */
	b->mode = (struct x86_mode){.cr0 = CR0_PE, .cs_32bit = true};
	for (u32 i = 0; i < ARRAY_COUNT(rows); i++) {
		const struct x86_segment segment = {
			.attributes = rows[i].attributes, .limit = rows[i].limit, .base = FIRST};
		enum strings_result wanted = rows[i].good ? STRINGS_DONE : STRINGS_FAULT;

		b->segments[DECODE_ES] = segment;
		b->segments[DECODE_SS] = segment;
		b->gpr[rows[i].write ? RDI : RSI] = rows[i].offset;
		if (rows[i].write)
			assert_int_equal(PLAY(b, "\x6d"), wanted);
		else
			assert_int_equal(PLAY(b, "\x36\x6f"), wanted);
		if (!rows[i].good)
			faults_at(b, rows[i].write ? VECTOR_GP : VECTOR_SS, 0, 0);
	}
	/* In real mode only limits count; addresses are of 16 bits. */
	b->mode = (struct x86_mode){0};
	b->segments[DECODE_DS] = (struct x86_segment){.limit = 0xffff, .base = FIRST};
	put(b, FIRST + 0xfffe, 0xabcd, 2);
	b->gpr[RSI] = 0x1fffe;
	assert_int_equal(PLAY(b, "\x6f"), STRINGS_DONE);
	assert_string_equal(b->log, "p1f0.2=abcd ");
	assert_int_equal(b->gpr[RSI], 0x10000);
	b->gpr[RSI] = 0xffff;
	assert_int_equal(PLAY(b, "\x6f"), STRINGS_FAULT);
	faults_at(b, VECTOR_GP, 0, 0);
	/* A page wraps around at 4 GiB. */
	b->mode = (struct x86_mode){.cr0 = CR0_PE, .cs_32bit = true};
	b->segments[DECODE_DS] =
		(struct x86_segment){.attributes = DATA, .limit = 0xffffffff, .base = 0xfffffffe};
	b->answer = 0xbbaa;
	put(b, 0, 0xddcc, 2);
	b->gpr[RSI] = 0;
	assert_int_equal(PLAY(b, "\x6f"), STRINGS_DONE);
	assert_string_equal(b->log, "fffffffe.2 p1f0.4=ddccbbaa ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_move, setup, teardown),
		cmocka_unit_test_setup_teardown(test_over_two_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults_do_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory_is_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_segments, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
