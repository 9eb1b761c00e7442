/* SPDX-License-Identifier: MIT */
/* Devicetrees, read back by libfdt: every property that is meant to be there, and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <guest/fdt.h>
#include <libfdt.h>

#include "log_fake.h"

#define ROOM KIB(64)

struct property {
	const char *node;
	const char *name;
	const char *bytes; /* or, if NULL, cells */
	u32 length;
	u32 cells[16];
};

#define CELLS(node, name, ...)                                                                     \
	{                                                                                          \
		node, name, NULL, sizeof((const u32[]){__VA_ARGS__}),                              \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define TEXT(node, name, text)                                                                     \
	{                                                                                          \
		node, name, text, sizeof(text),                                                    \
		{                                                                                  \
			0                                                                          \
		}                                                                                  \
	}
#define EMPTY(node, name)                                                                          \
	{                                                                                          \
		node, name, "", 0,                                                                 \
		{                                                                                  \
			0                                                                          \
		}                                                                                  \
	}

/* What all machines here have. */
static const struct property common[] = {
	CELLS("/", "#address-cells", 2),
	CELLS("/", "#size-cells", 2),
	TEXT("/", "model", "anew"),
	TEXT("/", "compatible", "linux,dummy-virt"),
	CELLS("/", "interrupt-parent", 1),
	TEXT("/chosen", "stdout-path", "/serial@9000000"),
	CELLS("/cpus", "#address-cells", 2),
	CELLS("/cpus", "#size-cells", 0),
	TEXT("/cpus/cpu@0", "device_type", "cpu"),
	TEXT("/cpus/cpu@0", "compatible", "arm,armv8"),
	CELLS("/cpus/cpu@0", "reg", 0, 0),
	TEXT("/cpus/cpu@0", "enable-method", "psci"),
	TEXT("/psci", "compatible", "arm,psci-1.0\0arm,psci-0.2"),
	TEXT("/psci", "method", "hvc"),
	TEXT("/memory@40000000", "device_type", "memory"),
	CELLS("/memory@40000000", "reg", 0, 0x40000000, 0, 0x20000000),
	EMPTY("/interrupt-controller@8000000", "interrupt-controller"),
	CELLS("/interrupt-controller@8000000", "#interrupt-cells", 3),
	CELLS("/interrupt-controller@8000000", "#address-cells", 0),
	CELLS("/interrupt-controller@8000000", "phandle", 1),
	TEXT("/timer", "compatible", "arm,armv8-timer"),
	EMPTY("/timer", "always-on"),
	TEXT("/clock", "compatible", "fixed-clock"),
	CELLS("/clock", "#clock-cells", 0),
	CELLS("/clock", "clock-frequency", 24000000),
	CELLS("/clock", "phandle", 2),
	TEXT("/serial@9000000", "compatible", "arm,pl011\0arm,primecell"),
	CELLS("/serial@9000000", "reg", 0, 0x09000000, 0, 0x1000),
	CELLS("/serial@9000000", "interrupts", 0, 1, 4),
	CELLS("/serial@9000000", "clocks", 2, 2),
	TEXT("/serial@9000000", "clock-names", "uartclk\0apb_pclk"),
};

/* A GICv3 machine with everything. */
static const struct property full[] = {
	TEXT("/chosen", "bootargs", "console=ttyAMA0 quiet"),
	CELLS("/chosen", "linux,initrd-start", 0, 0x5f000000),
	CELLS("/chosen", "linux,initrd-end", 0, 0x5ffffff1),
	TEXT("/chosen", "rng-seed", "fifteen bytes.."),
	TEXT("/cpus/cpu@100", "device_type", "cpu"),
	TEXT("/cpus/cpu@100", "compatible", "arm,armv8"),
	CELLS("/cpus/cpu@100", "reg", 0, 0x100),
	TEXT("/cpus/cpu@100", "enable-method", "psci"),
	TEXT("/cpus/cpu@ff00020301", "device_type", "cpu"),
	TEXT("/cpus/cpu@ff00020301", "compatible", "arm,armv8"),
	CELLS("/cpus/cpu@ff00020301", "reg", 0xff, 0x00020301),
	TEXT("/cpus/cpu@ff00020301", "enable-method", "psci"),
	TEXT("/memory@1000000000", "device_type", "memory"),
	CELLS("/memory@1000000000", "reg", 0x10, 0, 1, 0),
	TEXT("/interrupt-controller@8000000", "compatible", "arm,gic-v3"),
	CELLS("/interrupt-controller@8000000", "reg", 0, 0x08000000, 0, 0x10000, 0, 0x080a0000, 0,
	      0x60000),
	CELLS("/timer", "interrupts", 1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4),
	TEXT("/test@9010000", "compatible", "anew,testdev"),
	CELLS("/test@9010000", "reg", 0, 0x09010000, 0, 0x100),
	CELLS("/reserved-memory", "#address-cells", 2),
	CELLS("/reserved-memory", "#size-cells", 2),
	EMPTY("/reserved-memory", "ranges"),
	CELLS("/reserved-memory/memory@a000000", "reg", 0, 0x0a000000, 0, 0x10000),
	EMPTY("/reserved-memory/memory@a000000", "no-map"),
	TEXT("/rng@a000000", "compatible", "microsoft,vmgenid"),
	CELLS("/rng@a000000", "reg", 0, 0x0a000000, 0, 16),
	CELLS("/rng@a000000", "interrupts", 0, 16, 1),
	CELLS("/reserved-memory/memory@a010000", "reg", 0, 0x0a010000, 0, 0x20000),
	EMPTY("/reserved-memory/memory@a010000", "no-map"),
	TEXT("/ptp@a010000", "compatible", "amazon,vmclock"),
	CELLS("/ptp@a010000", "reg", 0, 0x0a010000, 0, 0x20000),
	CELLS("/ptp@a010000", "interrupts", 0, 17, 1),
};

/* A GICv2 machine with nothing that may be left out. */
static const struct property small[] = {
	TEXT("/chosen", "bootargs", ""),
	TEXT("/cpus/cpu@1", "device_type", "cpu"),
	TEXT("/cpus/cpu@1", "compatible", "arm,armv8"),
	CELLS("/cpus/cpu@1", "reg", 0, 1),
	TEXT("/cpus/cpu@1", "enable-method", "psci"),
	TEXT("/interrupt-controller@8000000", "compatible", "arm,gic-400"),
	CELLS("/interrupt-controller@8000000", "reg", 0, 0x08000000, 0, 0x1000, 0, 0x08010000, 0,
	      0x2000),
	CELLS("/timer", "interrupts", 1, 13, 0x304, 1, 14, 0x304, 1, 11, 0x304, 1, 10, 0x304),
};

static const struct guest_range ram[] = {
	{GIB(1), MIB(512)},
	{GIB(64), GIB(4)},
};
/* With bits that are no affinity: U and RES1. */
static const u64 mpidrs[] = {0x80000000, 0x80000100, 0xffc0020301};
static const u64 mpidrs_v2[] = {0x80000000, 0x80000001};

static const struct fdt_machine full_machine = {
	.ram = ram,
	.ram_count = 2,
	.mpidrs = mpidrs,
	.cpu_count = 3,
	.gic_version = 3,
	.gicd = {0x08000000, 0x10000},
	.gicc = {0x08010000, 0x2000},
	.gicr = {0x080a0000, 0x60000},
	.uart = {0x09000000, 0x1000},
	.uart_intid = 33,
	.testdev = {0x09010000, 0x100},
	.vmgenid = true,
	.vmgenid_address = {0x0a000000},
	.vmgenid_intid = 48,
	.vmclock = {0x0a010000, 0x20000},
	.vmclock_intid = 49,
	.cmdline = "console=ttyAMA0 quiet",
	.rng_seed = (const u8 *)"fifteen bytes..",
	.rng_seed_length = 16,
	.initrd = {0x5f000000, 0xfffff1},
};

static const struct fdt_machine small_machine = {
	.ram = ram,
	.ram_count = 1,
	.mpidrs = mpidrs_v2,
	.cpu_count = 2,
	.gic_version = 2,
	.gicd = {0x08000000, 0x1000},
	.gicc = {0x08010000, 0x2000},
	.gicr = {0x080a0000, 0x60000},
	.uart = {0x09000000, 0x1000},
	.uart_intid = 33,
};

static void *build(const struct fdt_machine *machine, size_t *used)
{
	void *fdt = malloc(ROOM);

	error_lines = 0;
	assert_int_equal(fdt_build(machine, fdt, ROOM, used), HV_OK);
	assert_int_equal(error_lines, 0);
	assert_int_equal(*used, fdt_totalsize(fdt));
	assert_int_equal(fdt_check_full(fdt, *used), 0);
	return fdt;
}

static void check_property(const void *fdt, const struct property *want)
{
	int node = fdt_path_offset(fdt, want->node), length;
	const void *got = fdt_getprop(fdt, node, want->name, &length);
	fdt32_t cells[16];

	if (!got || length != (int)want->length)
		fail_msg("%s:%s has %d bytes instead of %u", want->node, want->name, length,
			 want->length);
	for (u32 i = 0; i < 16; i++)
		cells[i] = cpu_to_fdt32(want->cells[i]);
	if (memcmp(got, want->bytes ? (const void *)want->bytes : cells, want->length))
		fail_msg("%s:%s has another value", want->node, want->name);
}

static u32 count_properties(const void *fdt)
{
	u32 count = 0;
	int node, property;

	for (node = 0; node >= 0; node = fdt_next_node(fdt, node, NULL))
		fdt_for_each_property_offset(property, fdt, node) count++;
	return count;
}

static void check_tree(const void *fdt, const struct property *own, u32 own_count)
{
	for (u32 i = 0; i < ARRAY_COUNT(common); i++)
		check_property(fdt, &common[i]);
	for (u32 i = 0; i < own_count; i++)
		check_property(fdt, &own[i]);
	assert_int_equal(count_properties(fdt), ARRAY_COUNT(common) + own_count);
	assert_int_equal(fdt_num_mem_rsv(fdt), 0);
}

static void test_full(void **state)
{
	size_t used;
	void *fdt = build(&full_machine, &used);

	(void)state;
	check_tree(fdt, full, ARRAY_COUNT(full));
	free(fdt);
}

static void test_small(void **state)
{
	size_t used;
	void *fdt = build(&small_machine, &used);

	(void)state;
	check_tree(fdt, small, ARRAY_COUNT(small));
	free(fdt);
}

/* However little room there is, nothing is written beyond it. */
static void test_room(void **state)
{
	size_t used, again;
	void *fdt = build(&full_machine, &used), *same = NULL;
	enum hv_error err = HV_ENO_SPACE;

	(void)state;
	for (size_t room = 0; err != HV_OK; room++) {
		free(same);
		same = malloc(room);
		error_lines = 0;
		err = fdt_build(&full_machine, same, room, &again);
		assert_int_equal(err, err == HV_OK ? HV_OK : HV_ENO_SPACE);
		assert_int_equal(error_lines, err == HV_OK ? 0 : 1);
		assert_true(room < ROOM);
	}
	assert_int_equal(again, used);
	assert_memory_equal(same, fdt, used);
	free(same);
	free(fdt);
}

static void refused(const struct fdt_machine *machine)
{
	static u8 buf[ROOM] __attribute__((aligned(8)));
	size_t used;

	error_lines = 0;
	assert_int_equal(fdt_build(machine, buf, sizeof(buf), &used), HV_EINVALID);
	assert_int_equal(error_lines, 1);
	assert_non_null(strstr(last_error, "devicetree: "));
}

#define REFUSED(good, member, value)                                                               \
	do {                                                                                       \
		struct fdt_machine bad = good;                                                     \
                                                                                                   \
		bad.member = value;                                                                \
		refused(&bad);                                                                     \
	} while (0)

static void test_refusals(void **state)
{
	(void)state;
	REFUSED(full_machine, ram_count, 0);
	REFUSED(full_machine, cpu_count, 0);
	REFUSED(full_machine, gic_version, 4);
	REFUSED(full_machine, uart_intid, 31);
	REFUSED(full_machine, vmgenid_intid, 31);
	REFUSED(full_machine, vmgenid_address, GPA(0x0a001000));
	REFUSED(full_machine, vmgenid_address, GPA(GIB(1)));
	REFUSED(full_machine, vmgenid_address, GPA(GIB(68) - KIB(64)));
	REFUSED(full_machine, vmclock_intid, 31);
	REFUSED(full_machine, vmclock.base, 0x0a011000);
	REFUSED(full_machine, vmclock.length, 0x1000);
	REFUSED(full_machine, vmclock.base, GIB(68) - KIB(64));
	REFUSED(small_machine, cpu_count, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
