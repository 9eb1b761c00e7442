/* SPDX-License-Identifier: MIT */
/*
 * Wherever nothing is: addresses that nobody has, in every size, are external aborts; every system
 * register there could be is readable or undefined; registers of devices that aren't there, in
 * every size, are whatever the device makes of them. The guest goes on; an access that stops the VM
 * leaves the test without its result.
 */
#include "gic_arm64.h"
#include "payload.h"

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- accesses ---- */

struct access {
	uint64_t address;
	uint32_t size;
	bool is_write;
};

static void do_read(void *ctx)
{
	const struct access *access = ctx;

	if (access->size == 1)
		__asm__ volatile("ldrb w0, [%0]" : : "r"(access->address) : "x0", "memory");
	else if (access->size == 2)
		__asm__ volatile("ldrh w0, [%0]" : : "r"(access->address) : "x0", "memory");
	else if (access->size == 4)
		__asm__ volatile("ldr w0, [%0]" : : "r"(access->address) : "x0", "memory");
	else
		__asm__ volatile("ldr x0, [%0]" : : "r"(access->address) : "x0", "memory");
}

static void do_write(void *ctx)
{
	const struct access *access = ctx;

	if (access->size == 1)
		__asm__ volatile("strb wzr, [%0]" : : "r"(access->address) : "memory");
	else if (access->size == 2)
		__asm__ volatile("strh wzr, [%0]" : : "r"(access->address) : "memory");
	else if (access->size == 4)
		__asm__ volatile("str wzr, [%0]" : : "r"(access->address) : "memory");
	else
		__asm__ volatile("str xzr, [%0]" : : "r"(access->address) : "memory");
}

static int run(const struct access *access)
{
	return catch_fault(access->is_write ? do_write : do_read, (void *)access);
}

/* ---- where nothing is ---- */

/* On any machine; and between, behind and above what anew has, RAM being less than a GiB. */
static const uint64_t nowhere[] = {UNMAPPED, UNMAPPED + 0xff8};
static const uint64_t nowhere_in_anew[] = {
	0,           0x07fffff8,  0x08020000,         0x081ffff8,         0x08fffff8,
	0x09001000,  0x0900fff8,  0x09011000,         0x09fffff8,         0x10000000,
	0x3ffffff8,  0x7ffffff8,  0x80000000,         0xfffffff8,         0x100000000,
	0x7ffffff80, 0x800000000, 0xfffffff80 - 0x80, 0xffffffff8 - 0x10,
};

/* An entry of the table of level 1 that nothing else uses. */
#define ENTRY           17u
#define GIB_OF(address) ((address) & ~0x3fffffffull)

static void check_address(uint64_t physical)
{
	struct access access = {.address = ((uint64_t)ENTRY << 30) + (physical & 0x3fffffff)};
	bool ok = true;

	mmu_set(ENTRY, GIB_OF(physical) | MMU_DEVICE);
	for (access.size = 1; access.size <= 8; access.size *= 2) {
		access.is_write = false;
		ok &= fault_is_external(run(&access), EC_DABT_CURRENT, access.address, 0);
		access.is_write = true;
		ok &= fault_is_external(run(&access), EC_DABT_CURRENT, access.address, ESR_WNR);
	}
	mmu_set(ENTRY, 0);
	report(ok, "%09llx aborts, whatever the size", (unsigned long long)physical);
}

static void check_addresses(void)
{
	for (size_t i = 0; i < ARRAY_COUNT(nowhere); i++)
		check_address(nowhere[i]);
	if (!payload_testdev) {
		payload_skip("what is nowhere in anew's guests: this isn't anew");
		return;
	}
	for (size_t i = 0; i < ARRAY_COUNT(nowhere_in_anew); i++)
		check_address(nowhere_in_anew[i]);
}

/* ---- registers of devices ---- */

struct device {
	const char *name;
	uint64_t base;
	uint64_t length;
	uint64_t first_written; /* offset: nothing below it may be */
	int gic_version;        /* that has it; 0: both */
};

/* The UART's data register would print, and the test device's are beyond its window. */
static const struct device devices[] = {
	{"the distributor", GICD_BASE, 0x1000, 0, 0},
	{"the rest of the distributor", GICD_BASE + 0x1000, 0xf000, 0, 3},
	{"the redistributor", GICR_BASE, 0x20000, 0, 3},
	{"the CPU interface", GICC_BASE, 0x2000, 0, 2},
	{"the UART", UART_BASE, 0x1000, 4, 0},
};

static void check_device(const struct device *device)
{
	struct access access;
	unsigned int done = 0, aborted = 0, wrong = 0;

	for (uint64_t at = 0; at < device->length; at += 4) {
		for (access.size = 1; access.size <= 8; access.size *= 2) {
			/* All sizes where most registers begin, the usual one everywhere. */
			if (access.size != 4 && at % 16)
				continue;
			access.address = device->base + at;
			for (int write = 0; write <= (at >= device->first_written); write++) {
				int class;

				access.is_write = write;
				class = run(&access);
				done++;
				aborted += class != -1;
				wrong += class != -1 &&
					 !fault_is_external(class, EC_DABT_CURRENT, access.address,
							    write ? ESR_WNR : 0);
			}
		}
	}
	report(!wrong, "%s: %u accesses, %u of them aborted", device->name, done, aborted);
}

static void check_devices(void)
{
	for (size_t i = 0; i < ARRAY_COUNT(devices); i++)
		if (!devices[i].gic_version || devices[i].gic_version == gic_version)
			check_device(&devices[i]);
	gic_init();
	gic_enable(1);
	gic_send_self(1);
	report(gic_ack() == 1, "the interrupt controller works after that");
	gic_eoi(1);
	gic_disable(1);
}

/* ---- system registers ---- */

#define INSN_MRS 0xd5300000u /* to x0, without the register */
#define INSN_MSR 0xd5100000u
#define INSN_RET 0xd65f03c0u

static uint32_t code[2] __attribute__((aligned(64)));

static void do_code(void *ctx)
{
	(void)ctx;
	__asm__ volatile("mov x0, xzr\n blr %0" : : "r"(code) : "x0", "x30", "memory");
}

static int run_code(uint32_t word)
{
	code[0] = word;
	code[1] = INSN_RET;
	__asm__ volatile("dc cvau, %0\n dsb ish\n ic ivau, %0\n dsb ish\n isb"
			 :
			 : "r"(code)
			 : "memory");
	return catch_fault(do_code, NULL);
}

/* FEAT_IDST: what is undefined among the ID registers is reported as a register that traps. */
static bool is_undefined(int class)
{
	return class == EC_UNKNOWN || class == EC_SYSREG;
}

/* What can't be read is written as well: it may be for writing alone, or undefined. */
static void check_registers(uint32_t op0)
{
	unsigned int known = 0, written = 0, wrong = 0;

	/* op1, CRn, CRm and op2 are bits 18 to 5 of the instruction, the lower bit of op0 is 19. */
	for (uint32_t reg = 0; reg < 1u << 14; reg++) {
		uint32_t fields = (op0 & 1) << 19 | reg << 5;
		int class = run_code(INSN_MRS | fields);

		if (class == -1) {
			known++;
			continue;
		}
		if (is_undefined(class))
			class = run_code(INSN_MSR | fields);
		written += class == -1;
		if (class == -1 || is_undefined(class))
			continue;
		wrong++;
		print("S%u_%u_C%u_C%u_%u raises class %02x\n", (unsigned int)op0,
		      (unsigned int)reg >> 11, (unsigned int)reg >> 7 & 15,
		      (unsigned int)reg >> 3 & 15, (unsigned int)reg & 7, (unsigned int)class);
	}
	report(!wrong,
	       "op0 %u: %u registers can be read, %u only written, all others are undefined",
	       (unsigned int)op0, known, written);
}

void payload_main(void)
{
	gic_init();
	check_addresses();
	check_devices();
	check_registers(2);
	check_registers(3);
}
