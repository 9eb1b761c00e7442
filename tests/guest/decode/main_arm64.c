/* SPDX-License-Identifier: MIT */
/*
 * Every form of instruction that anew carries out on a device: those that the hardware describes
 * (ESR_EL2.ISV is 1) and those that are decoded. Each is executed twice, with memory and with the
 * test device in the place of memory: registers must come out the same, and the device must have
 * seen the size, offset, value and number of accesses that the processor made of it in memory.
 */
#include "payload.h"

#include <devices/testdev.h>

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- the forms ---- */

/* Of struct form, as numbers, since the assembler reads them. */
#define READ    0
#define WRITE   1
#define ALIGNED 1 /* has to be, on memory as well */
#define PAIR    2

struct form {
	void (*code)(void);
	const char *text;
	uint32_t size; /* of an access, bytes */
	uint32_t is_write;
	int32_t offset; /* of the first access from the base */
	uint32_t flags;
};

/* The base is in x1 and in sp, the data in x5 and x6; x2 is INDEX, and w3 the same negative. */
#define INDEX    8
#define NEGATIVE (-8)

#define STRING(x)  STRING_(x)
#define STRING_(x) #x

/* One instruction with a label, its text, and its row of the table. */
#define FORM(text, size, access, offset, flags)                                                    \
	".pushsection .text\n1: " text "\n ret\n.popsection\n"                                     \
	".pushsection .rodata.text\n2: .asciz \"" text "\"\n.popsection\n"                         \
	".quad 1b, 2b\n.long " STRING(size) ", " STRING(access) ", " STRING(offset) ", " STRING(   \
		flags) "\n"

#define SINGLE(op, unscaled, unprivileged, reg, size, access)                                      \
	FORM(op " " reg ", [x1]", size, access, 0, 0)                                              \
	FORM(op " " reg ", [x1, #16]", size, access, 16, 0)                                        \
	FORM(op " " reg ", [x1, x2]", size, access, INDEX, 0)                                      \
	FORM(op " " reg ", [x1, w2, uxtw]", size, access, INDEX, 0)                                \
	FORM(op " " reg ", [x1, w3, sxtw]", size, access, NEGATIVE, 0)                             \
	FORM(op " " reg ", [sp, #8]", size, access, 8, 0)                                          \
	FORM(unscaled " " reg ", [x1, #-24]", size, access, -24, 0)                                \
	FORM(unprivileged " " reg ", [x1, #40]", size, access, 40, 0)                              \
	FORM(op " " reg ", [x1], #8", size, access, 0, 0)                                          \
	FORM(op " " reg ", [x1], #-256", size, access, 0, 0)                                       \
	FORM(op " " reg ", [x1, #248]!", size, access, 248, 0)                                     \
	FORM(op " " reg ", [x1, #-16]!", size, access, -16, 0)                                     \
	FORM(op " " reg ", [sp], #16", size, access, 0, 0)                                         \
	FORM(op " " reg ", [sp, #-32]!", size, access, -32, 0)

#define PAIRED(op, reg, reg2, size, access)                                                        \
	FORM(op " " reg ", " reg2 ", [x1]", size, access, 0, PAIR)                                 \
	FORM(op " " reg ", " reg2 ", [x1, #16]", size, access, 16, PAIR)                           \
	FORM(op " " reg ", " reg2 ", [x1, #-256]", size, access, -256, PAIR)                       \
	FORM(op " " reg ", " reg2 ", [sp, #8]", size, access, 8, PAIR)                             \
	FORM(op " " reg ", " reg2 ", [x1], #16", size, access, 0, PAIR)                            \
	FORM(op " " reg ", " reg2 ", [x1], #-256", size, access, 0, PAIR)                          \
	FORM(op " " reg ", " reg2 ", [x1, #248]!", size, access, 248, PAIR)                        \
	FORM(op " " reg ", " reg2 ", [x1, #-8]!", size, access, -8, PAIR)                          \
	FORM(op " " reg ", " reg2 ", [sp], #32", size, access, 0, PAIR)                            \
	FORM(op " " reg ", " reg2 ", [sp, #-16]!", size, access, -16, PAIR)

#define UNALLOCATING(op, reg, reg2, size, access)                                                  \
	FORM(op " " reg ", " reg2 ", [x1]", size, access, 0, PAIR)                                 \
	FORM(op " " reg ", " reg2 ", [sp, #-8]", size, access, -8, PAIR)

#define ORDERED(op, reg, size, access)                                                             \
	FORM(op " " reg ", [x1]", size, access, 0, ALIGNED)                                        \
	FORM(op " " reg ", [sp]", size, access, 0, ALIGNED)

__asm__(".pushsection .rodata.forms, \"a\"\n"
	".balign 8\n"
	"forms:\n"
	/* clang-format off */
	SINGLE("ldrb", "ldurb", "ldtrb", "w5", 1, READ)
	SINGLE("ldrh", "ldurh", "ldtrh", "w5", 2, READ)
	SINGLE("ldr", "ldur", "ldtr", "w5", 4, READ)
	SINGLE("ldr", "ldur", "ldtr", "x5", 8, READ)
	SINGLE("ldr", "ldur", "ldtr", "wzr", 4, READ)
	SINGLE("ldr", "ldur", "ldtr", "xzr", 8, READ)
	SINGLE("ldrsb", "ldursb", "ldtrsb", "w5", 1, READ)
	SINGLE("ldrsb", "ldursb", "ldtrsb", "x5", 1, READ)
	SINGLE("ldrsh", "ldursh", "ldtrsh", "w5", 2, READ)
	SINGLE("ldrsh", "ldursh", "ldtrsh", "x5", 2, READ)
	SINGLE("ldrsw", "ldursw", "ldtrsw", "x5", 4, READ)
	SINGLE("strb", "sturb", "sttrb", "w5", 1, WRITE)
	SINGLE("strh", "sturh", "sttrh", "w5", 2, WRITE)
	SINGLE("str", "stur", "sttr", "w5", 4, WRITE)
	SINGLE("str", "stur", "sttr", "x5", 8, WRITE)
	SINGLE("str", "stur", "sttr", "xzr", 8, WRITE)
	FORM("ldrh w5, [x1, x2, lsl #1]", 2, READ, 16, 0)
	FORM("ldr w5, [x1, x2, lsl #2]", 4, READ, 32, 0)
	FORM("ldr x5, [x1, x2, lsl #3]", 8, READ, 64, 0)
	FORM("ldrsw x5, [x1, w3, sxtw #2]", 4, READ, -32, 0)
	FORM("str x5, [x1, w3, sxtw #3]", 8, WRITE, -64, 0)
	FORM("ldr x1, [x1]", 8, READ, 0, 0)
	FORM("ldrb w1, [x1, #1]", 1, READ, 1, 0)
	FORM("str x1, [x1]", 8, WRITE, 0, 0)
	PAIRED("ldp", "w5", "w6", 4, READ)
	PAIRED("ldp", "x5", "x6", 8, READ)
	PAIRED("ldp", "xzr", "x6", 8, READ)
	PAIRED("ldpsw", "x5", "x6", 4, READ)
	PAIRED("stp", "w5", "w6", 4, WRITE)
	PAIRED("stp", "x5", "x6", 8, WRITE)
	PAIRED("stp", "x5", "x5", 8, WRITE)
	PAIRED("stp", "xzr", "x6", 8, WRITE)
	UNALLOCATING("ldnp", "w5", "w6", 4, READ)
	UNALLOCATING("ldnp", "x5", "x6", 8, READ)
	UNALLOCATING("stnp", "w5", "w6", 4, WRITE)
	UNALLOCATING("stnp", "x5", "x6", 8, WRITE)
	FORM("ldp x1, x6, [x1]", 8, READ, 0, PAIR)
	FORM("ldp x5, x1, [x1, #8]", 8, READ, 8, PAIR)
	ORDERED("ldarb", "w5", 1, READ)
	ORDERED("ldarh", "w5", 2, READ)
	ORDERED("ldar", "w5", 4, READ)
	ORDERED("ldar", "x5", 8, READ)
	ORDERED("stlrb", "w5", 1, WRITE)
	ORDERED("stlrh", "w5", 2, WRITE)
	ORDERED("stlr", "w5", 4, WRITE)
	ORDERED("stlr", "x5", 8, WRITE)
	/* clang-format on */
	"forms_end:\n"
	".popsection\n");

extern const struct form forms[], forms_end[];

/* ---- running them ---- */

#define SP 31 /* in struct registers */

struct registers {
	uint64_t x[32];
};

/*
 * Calls @code with @registers in place and puts back into them what it left: with the stack pointer
 * of EL0, or with that of EL1. x30 is not used.
 */
void run_form_sp0(void (*code)(void), struct registers *registers);
void run_form_sp1(void (*code)(void), struct registers *registers);

#define RUN_FORM(name, select, deselect)                                                           \
	".pushsection .text\n" name ":\n"                                                          \
	"	stp x29, x30, [sp, #-96]!\n"                                                             \
	"	stp x19, x20, [sp, #16]\n"                                                               \
	"	stp x21, x22, [sp, #32]\n"                                                               \
	"	stp x23, x24, [sp, #48]\n"                                                               \
	"	stp x25, x26, [sp, #64]\n"                                                               \
	"	stp x27, x28, [sp, #80]\n"                                                               \
	"	adrp x2, run_form_kept\n"                                                                \
	"	add x2, x2, :lo12:run_form_kept\n"                                                       \
	"	mov x3, sp\n"                                                                            \
	"	stp x1, x3, [x2]\n"                                                                      \
	"	mov x30, x0\n"                                                                           \
	"	mov x0, x1\n" select "	ldr x2, [x0, #248]\n"                                       \
	"	mov sp, x2\n"                                                                            \
	"	.irp n, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20\n"            \
	"	ldr x\\n, [x0, #8 * \\n]\n"                                                              \
	"	.endr\n"                                                                                 \
	"	.irp n, 21, 22, 23, 24, 25, 26, 27, 28, 29\n"                                            \
	"	ldr x\\n, [x0, #8 * \\n]\n"                                                              \
	"	.endr\n"                                                                                 \
	"	ldp x0, x1, [x0]\n"                                                                      \
	"	blr x30\n"                                                                               \
	"	adrp x30, run_form_kept\n"                                                               \
	"	ldr x30, [x30, :lo12:run_form_kept]\n"                                                   \
	"	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, "          \
	"20\n"                                                                                     \
	"	str x\\n, [x30, #8 * \\n]\n"                                                             \
	"	.endr\n"                                                                                 \
	"	.irp n, 21, 22, 23, 24, 25, 26, 27, 28, 29\n"                                            \
	"	str x\\n, [x30, #8 * \\n]\n"                                                             \
	"	.endr\n"                                                                                 \
	"	mov x0, sp\n"                                                                            \
	"	str x0, [x30, #248]\n" deselect "	adrp x0, run_form_kept\n"                        \
	"	add x0, x0, :lo12:run_form_kept\n"                                                       \
	"	ldr x0, [x0, #8]\n"                                                                      \
	"	mov sp, x0\n"                                                                            \
	"	ldp x27, x28, [sp, #80]\n"                                                               \
	"	ldp x25, x26, [sp, #64]\n"                                                               \
	"	ldp x23, x24, [sp, #48]\n"                                                               \
	"	ldp x21, x22, [sp, #32]\n"                                                               \
	"	ldp x19, x20, [sp, #16]\n"                                                               \
	"	ldp x29, x30, [sp], #96\n"                                                               \
	"	ret\n"                                                                                   \
	".popsection\n"

__asm__(RUN_FORM("run_form_sp0", "	msr spsel, #0\n", "	msr spsel, #1\n")
		RUN_FORM("run_form_sp1", "", "") ".pushsection .bss\n"
						 ".balign 8\n"
						 "run_form_kept: .skip 16\n"
						 ".popsection\n");

/*
 * Memory and the device as the forms see them: EL0 may access them too (for unprivileged forms),
 * and through the last of the mappings the processor takes unaligned accesses to the device.
 */
static uint8_t ram[4096] __attribute__((aligned(4096)));

#define ENTRY_RAM       2u
#define ENTRY_DEVICE    3u
#define ENTRY_UNALIGNED 4u
#define VIEW(entry, at) (((uint64_t)(entry) << 30) + (at) % (1u << 30))
#define RAM_VIEW        VIEW(ENTRY_RAM, (uint64_t)ram)
#define DEVICE_VIEW     VIEW(ENTRY_DEVICE, TESTDEV_BASE)
#define UNALIGNED_VIEW  VIEW(ENTRY_UNALIGNED, TESTDEV_BASE)

struct values {
	uint64_t memory;
	uint64_t others; /* in the registers that don't point to it */
};

static const struct values values[] = {
	{0x8877665544332211, 0x1122334455667788},
	{UINT64_MAX, 1},
	{0, UINT64_MAX},
	{0x8000000080008080, 0x8000000080008080},
	{0x7fffffff7fff7f7f, 0xfffffffefffefefe},
	{0x00ff00ff0f0f1001, 0x5a5aa5a500ff0f0f},
};

struct run {
	const struct form *form;
	void (*call)(void (*code)(void), struct registers *registers);
	uint64_t view;  /* of the device */
	uint32_t start; /* base, from the beginning of the device */
};

static uint64_t device_get(uint32_t reg)
{
	return mmio_read64(TESTDEV_BASE + (uint64_t)reg);
}

static void device_set(uint32_t reg, uint64_t value)
{
	mmio_write64(TESTDEV_BASE + (uint64_t)reg, value);
}

static uint64_t cut(uint64_t value, uint32_t size)
{
	return size < 8 ? value & (((uint64_t)1 << 8 * size) - 1) : value;
}

static uint64_t ram_get(uint32_t offset, uint32_t size)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < size; i++)
		value |= (uint64_t)ram[offset + i] << 8 * i;
	return value;
}

static void ram_fill(uint32_t offset, uint32_t size, uint64_t value)
{
	for (uint32_t i = 0; i < size; i++)
		ram[offset + i] = (uint8_t)(value >> 8 * i);
}

static void set_registers(struct registers *registers, uint64_t others, uint64_t base)
{
	for (int i = 0; i < 32; i++)
		registers->x[i] = others + ((uint64_t)i << 32) + (uint64_t)i;
	registers->x[1] = base;
	registers->x[2] = INDEX;
	registers->x[3] = (others & ~(uint64_t)UINT32_MAX) | (uint32_t)NEGATIVE;
	registers->x[SP] = base;
}

static bool expect(const struct form *form, const char *what, uint64_t got, uint64_t want)
{
	if (got != want)
		print("%s: %s is %llx, not %llx\n", form->text, what, (unsigned long long)got,
		      (unsigned long long)want);
	return got == want;
}

/* A register that points into @view, or into the same place of memory, counts from its beginning.
 */
static uint64_t relative(uint64_t value, uint64_t view)
{
	return value - view < 2 * sizeof(ram) ? value - view : value;
}

static bool same_registers(const struct run *run, const struct registers *device,
			   const struct registers *memory)
{
	bool ok = true;

	for (int i = 0; i < 32; i++) {
		char name[] = {'x', (char)('0' + i / 10), (char)('0' + i % 10), 0};

		if (i != 30)
			ok &= expect(run->form, i == SP ? "sp" : name,
				     relative(device->x[i], run->view),
				     relative(memory->x[i], RAM_VIEW));
	}
	return ok;
}

static bool check(const struct run *run, const struct values *value)
{
	const struct form *form = run->form;
	uint32_t first = run->start + (uint32_t)form->offset;
	uint32_t second = first + form->size;
	bool pair = form->flags & PAIR;
	/* The second access may be the first one behind the window, which isn't noted. */
	bool both = pair && second < TESTDEV_WINDOW_BYTES;
	uint32_t last = both ? second : first;
	struct registers memory, device;
	bool ok;

	ram_fill(first, form->size, value->memory);
	if (pair)
		ram_fill(second, form->size, both ? value->memory : TESTDEV_MAGIC_VALUE);
	set_registers(&memory, value->others, RAM_VIEW + run->start);
	run->call(form->code, &memory);

	device_set(TESTDEV_READ_VALUE, value->memory);
	device_set(TESTDEV_COUNT, 0);
	set_registers(&device, value->others, run->view + run->start);
	run->call(form->code, &device);

	ok = same_registers(run, &device, &memory);
	ok &= expect(form, "number of accesses", device_get(TESTDEV_COUNT), both ? 2 : 1);
	ok &= expect(form, "offset", device_get(TESTDEV_OFFSET), last);
	ok &= expect(form, "size", device_get(TESTDEV_SIZE), form->size);
	ok &= expect(form, "is a write", device_get(TESTDEV_IS_WRITE), form->is_write);
	/* What is stored may point into memory or device itself. */
	ok &= expect(form, "value", relative(device_get(TESTDEV_VALUE), run->view),
		     relative(ram_get(last, form->size), RAM_VIEW));
	if (!form->is_write)
		ok &= expect(form, "value read", device_get(TESTDEV_VALUE),
			     cut(value->memory, form->size));
	return ok;
}

static bool check_places(struct run *run, const struct values *value)
{
	const struct form *form = run->form;
	bool ok = true;

	run->view = DEVICE_VIEW;
	run->start = 0x400;
	ok &= check(run, value);
	if (form->flags & PAIR) {
		run->start = TESTDEV_WINDOW_BYTES - form->size - (uint32_t)form->offset;
		ok &= check(run, value);
	}
	if (!(form->flags & ALIGNED)) {
		run->view = UNALIGNED_VIEW;
		run->start = 0x401;
		ok &= check(run, value);
	}
	return ok;
}

static bool check_form(const struct form *form)
{
	struct run run = {.form = form};
	bool ok = true;

	for (size_t v = 0; v < ARRAY_COUNT(values) && ok; v++) {
		run.call = run_form_sp0;
		ok &= check_places(&run, &values[v]);
		run.call = run_form_sp1;
		ok &= check_places(&run, &values[v]);
	}
	return ok;
}

/* ---- relative to the instruction ---- */

/*
 * Such a load reaches 1 MiB. At one address there is a page of code, one of the device, and one of
 * memory, in this order.
 */
#define ENTRY_LITERAL 5u
#define LITERAL_VIEW  VIEW(ENTRY_LITERAL, 0)
#define PAGE_ENTRY    2u /* added to an entry of mmu_table: a page, in a table of level 3 */
#define INSN_RET      0xd65f03c0u

static const struct form literals[] = {
	{NULL, "ldr w5, LABEL", 4, READ, 0, 0x18000005},
	{NULL, "ldr x5, LABEL", 8, READ, 0, 0x58000005},
	{NULL, "ldrsw x5, LABEL", 4, READ, 0, 0x98000005},
};

static uint32_t code_page[1024] __attribute__((aligned(4096)));
static uint64_t level2[512] __attribute__((aligned(4096)));
static uint64_t level3[512] __attribute__((aligned(4096)));

static void set_literal_code(uint32_t word, uint32_t offset)
{
	/* imm19, in words, is bits 23 to 5. */
	code_page[0] = word | offset / 4 << 5;
	code_page[1] = INSN_RET;
	__asm__ volatile("dc cvau, %0\n dsb ish\n ic iallu\n dsb ish\n isb"
			 :
			 : "r"(code_page)
			 : "memory");
}

static bool check_literal(const struct form *form, const struct values *value)
{
	void (*code)(void) = (void (*)(void))LITERAL_VIEW;
	struct registers memory, device;
	struct run run = {.form = form, .view = DEVICE_VIEW};
	bool ok;

	ram_fill(0, 8, value->memory);
	set_registers(&memory, value->others, 0);
	set_literal_code(form->flags, 2 * 4096);
	run_form_sp1(code, &memory);

	device_set(TESTDEV_READ_VALUE, value->memory);
	device_set(TESTDEV_COUNT, 0);
	set_registers(&device, value->others, 0);
	set_literal_code(form->flags, 4096);
	run_form_sp1(code, &device);

	ok = same_registers(&run, &device, &memory);
	ok &= expect(form, "number of accesses", device_get(TESTDEV_COUNT), 1);
	ok &= expect(form, "offset", device_get(TESTDEV_OFFSET), 0);
	ok &= expect(form, "size", device_get(TESTDEV_SIZE), form->size);
	ok &= expect(form, "is a write", device_get(TESTDEV_IS_WRITE), 0);
	return ok;
}

static void check_literals(void)
{
	level3[0] = (uint64_t)code_page | MMU_NORMAL | PAGE_ENTRY;
	level3[1] = TESTDEV_BASE | MMU_DEVICE | PAGE_ENTRY;
	level3[2] = (uint64_t)ram | MMU_NORMAL | PAGE_ENTRY;
	level2[0] = (uint64_t)level3 | MMU_TABLE;
	mmu_set(ENTRY_LITERAL, (uint64_t)level2 | MMU_TABLE);
	for (size_t i = 0; i < ARRAY_COUNT(literals); i++) {
		bool ok = true;

		for (size_t v = 0; v < ARRAY_COUNT(values); v++)
			ok &= check_literal(&literals[i], &values[v]);
		report(ok, "%s", literals[i].text);
	}
}

void payload_main(void)
{
	size_t count = 0;

	if (!payload_testdev) {
		payload_skip("there is no test device");
		return;
	}
	report(device_get(TESTDEV_MAGIC) == TESTDEV_MAGIC_VALUE, "the test device answers");
	mmu_set(ENTRY_RAM, RAM_BASE | MMU_NORMAL | MMU_EL0 | MMU_NEVER_EXEC);
	mmu_set(ENTRY_DEVICE, MMU_DEVICE | MMU_EL0);
	mmu_set(ENTRY_UNALIGNED, MMU_NORMAL | MMU_EL0 | MMU_NEVER_EXEC);
	for (const struct form *form = forms; form < forms_end; form++, count++)
		report(check_form(form), "%s", form->text);
	check_literals();
	report(count > 200, "these were %u forms", (unsigned int)count);
}
