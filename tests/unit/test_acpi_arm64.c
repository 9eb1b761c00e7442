/* SPDX-License-Identifier: MIT */
/* The ACPI tables of an arm64 guest, read back with a walker of the tests' own and with iasl. */
#include <guest/fdt.h>

#include "acpi_walker.h"

static u64 mpidrs[17];

static struct fdt_machine make_machine(u32 cpu_count, u32 gic_version)
{
	/* With bits that are no affinity: U and RES1. */
	for (u32 i = 0; i < ARRAY_COUNT(mpidrs); i++)
		mpidrs[i] = 0xc080000000 | i % 4 | (u64)(i / 4) << 8;
	return (struct fdt_machine){
		.mpidrs = mpidrs,
		.cpu_count = cpu_count,
		.gic_version = gic_version,
		.gicd = {0x08000000, 0x10000},
		.gicc = {0x08010000, 0x2000},
		.gicr = {0x080a0000, cpu_count * 0x20000},
		.uart = {0x09000000, 0x1000},
		.uart_intid = 33,
		.vmgenid = true,
		.vmgenid_address = GPA(0x0a000000),
		.vmgenid_intid = 48,
		.vmclock = {0x0a010000, 0x10000},
		.vmclock_intid = 49,
	};
}

static u64 build(const struct fdt_machine *machine, u64 *end)
{
	u64 used;

	assert_int_equal(acpi_build_arm64(machine, &mem, GPA(BASE), ROOM, &used), HV_OK);
	assert_int_equal(error_lines, 0);
	for (u64 at = used; at < ROOM; at++)
		assert_int_equal(ram[at], 0);
	*end = BASE + used;
	return find_xsdt(*end);
}

/* Hardware-reduced, PSCI by HVC, and nothing else. */
static void test_fadt(void **state)
{
	struct fdt_machine machine = make_machine(1, 3);
	u64 end, fadt = find_table(build(&machine, &end), "FACP");

	(void)state;
	check_table(fadt, "FACP", 6, end);
	assert_int_equal(at32(fadt + 4), 276);
	assert_int_equal(at8(fadt + 131), 4);
	assert_int_equal(at32(fadt + 112), 1 << 20 | 1 << 12 | 1 << 5 | 1 << 4);
	assert_int_equal(at8(fadt + 129) | at8(fadt + 130) << 8, 3);
	check_table(at64(fadt + 140), "DSDT", 2, end);
	for (u64 at = fadt + 36; at < fadt + 112; at++)
		assert_int_equal(at8(at), 0);
	for (u64 at = fadt + 148; at < fadt + 268; at++)
		assert_int_equal(at8(at), 0);
}

static void check_madt(u32 cpu_count, u32 gic_version)
{
	struct fdt_machine machine = make_machine(cpu_count, gic_version);
	u64 end, madt = find_table(build(&machine, &end), "APIC"), at;
	u32 cpus = 0, distributors = 0, redistributors = 0;

	check_table(madt, "APIC", 5, end);
	assert_int_equal(at64(madt + 36), 0);
	for (at = madt + 44; at < madt + at32(madt + 4); at += at8(at + 1)) {
		switch (at8(at)) {
		case 11:
			assert_int_equal(at8(at + 1), 80);
			assert_int_equal(at32(at + 4), cpus);
			assert_int_equal(at32(at + 8), cpus);
			assert_int_equal(at32(at + 12), 1);
			assert_int_equal(at64(at + 32), gic_version == 2 ? 0x08010000 : 0);
			assert_int_equal(at64(at + 60), 0);
			assert_true(at64(at + 68) == (mpidrs[cpus] & 0xff00ffffff));
			cpus++;
			break;
		case 12:
			assert_int_equal(at8(at + 1), 24);
			assert_int_equal(at64(at + 8), 0x08000000);
			assert_int_equal(at8(at + 20), gic_version);
			distributors++;
			break;
		case 14:
			assert_int_equal(at8(at + 1), 16);
			assert_int_equal(at64(at + 4), 0x080a0000);
			assert_int_equal(at32(at + 12), cpu_count * 0x20000);
			redistributors++;
			break;
		default:
			fail_msg("unknown entry %u", at8(at));
		}
	}
	assert_int_equal(at, madt + at32(madt + 4));
	assert_int_equal(cpus, cpu_count);
	assert_int_equal(distributors, 1);
	assert_int_equal(redistributors, gic_version == 3);
}

static void test_madt(void **state)
{
	static const u32 counts[] = {1, 4, 16};

	for (u32 i = 0; i < ARRAY_COUNT(counts); i++) {
		setup(state);
		check_madt(counts[i], 3);
		setup(state);
		check_madt(counts[i], 2);
	}
}

static void test_gtdt(void **state)
{
	static const u32 timers[] = {29, 30, 27, 26};
	struct fdt_machine machine = make_machine(1, 3);
	u64 end, gtdt = find_table(build(&machine, &end), "GTDT");

	(void)state;
	check_table(gtdt, "GTDT", 3, end);
	assert_int_equal(at32(gtdt + 4), 104);
	assert_true(at64(gtdt + 36) == UINT64_MAX && at64(gtdt + 80) == UINT64_MAX);
	for (u32 i = 0; i < ARRAY_COUNT(timers); i++) {
		assert_int_equal(at32(gtdt + 48 + 8 * i), timers[i]);
		/* Level-triggered, active high, always on. */
		assert_int_equal(at32(gtdt + 52 + 8 * i), 4);
	}
	assert_int_equal(at32(gtdt + 88), 0);
	assert_int_equal(at64(gtdt + 96), 0);
}

static void test_spcr(void **state)
{
	static const u8 uart[12] = {0, 32, 0, 3, 0, 0, 0, 9};
	struct fdt_machine machine = make_machine(1, 3);
	u64 end, spcr = find_table(build(&machine, &end), "SPCR");

	(void)state;
	check_table(spcr, "SPCR", 2, end);
	assert_int_equal(at32(spcr + 4), 80);
	assert_int_equal(at8(spcr + 36), 3);
	assert_memory_equal(ram + (spcr + 40 - BASE), uart, sizeof(uart));
	assert_int_equal(at8(spcr + 52), 8);
	assert_int_equal(at32(spcr + 54), 33);
	assert_int_equal(at32(spcr + 64), 0xffffffff);
}

static void test_aml(void **state)
{
	struct fdt_machine machine = make_machine(3, 3);
	const u8 cpus[] = {0x08, 'C', 'P', 'U', 'N', 0x0c, 3, 0, 0, 0};
	const u8 uart[] = {0x08, 'U', 'A', 'D', 'R', 0x0c, 0, 0, 0, 9};
	const u8 irq[] = {0x08, 'U', 'I', 'R', 'Q', 0x0c, 33, 0, 0, 0};
	const u8 id[] = {0x08, 'V', 'G', 'L', 'O', 0x0c, 0, 0, 0, 0x0a};
	const u8 id_gsi[] = {0x08, 'G', 'I', 'R', 'Q', 0x0c, 48, 0, 0, 0};
	const u8 clock[] = {0x08, 'V', 'C', 'L', 'O', 0x0c, 0, 0, 1, 0x0a};
	const u8 clock_gsi[] = {0x08, 'C', 'I', 'R', 'Q', 0x0c, 49, 0, 0, 0};
	u64 end, xsdt = build(&machine, &end), table;

	(void)state;
	table = at64(find_table(xsdt, "FACP") + 140);
	assert_true(holds(table, cpus, sizeof(cpus)));
	assert_true(holds(table, uart, sizeof(uart)));
	assert_true(holds(table, irq, sizeof(irq)));
	table = find_table_of(xsdt, "SSDT", "ANEWGEN\0");
	assert_true(holds(table, id, sizeof(id)) && holds(table, id_gsi, sizeof(id_gsi)));
	table = find_table_of(xsdt, "SSDT", "ANEWCLK\0");
	assert_true(holds(table, clock, sizeof(clock)));
	assert_true(holds(table, clock_gsi, sizeof(clock_gsi)));
}

static void refused(const struct fdt_machine *machine)
{
	u64 used;

	setup(NULL);
	assert_int_equal(acpi_build_arm64(machine, &mem, GPA(BASE), ROOM, &used), HV_EINVALID);
	assert_int_equal(error_lines, 1);
}

static void test_refusals(void **state)
{
	struct fdt_machine machine = make_machine(2, 3);
	struct fdt_machine none = make_machine(0, 3), many = make_machine(17, 3);
	struct fdt_machine far = machine, other = machine;
	u64 end, used;

	(void)state;
	far.uart.base = GIB(4);
	other.gic_version = 4;
	refused(&none);
	refused(&many);
	refused(&far);
	refused(&other);
	setup(state);
	build(&machine, &end);
	for (u64 room = 0; room < end - BASE; room++) {
		setup(state);
		assert_int_equal(acpi_build_arm64(&machine, &mem, GPA(BASE), room, &used),
				 HV_ENO_SPACE);
		assert_int_equal(error_lines, 1);
		assert_memory_not_equal(ram, "RSD PTR ", 8);
		for (u64 at = room; at < ROOM; at++)
			assert_int_equal(ram[at], 0);
	}
}

/* The tables as the reference implementation sees them. */
static void test_tools(void **state)
{
	static const char *const names[] = {"FACP", "APIC", "GTDT", "SPCR", "DSDT"};
	char dir[] = "/tmp/test_acpi_XXXXXX";
	char command[1024];

	(void)state;
	if (system("iasl -v >/dev/null 2>&1") != 0)
		skip();
	assert_non_null(mkdtemp(dir));
	for (u32 version = 2; version <= 3; version++) {
		struct fdt_machine machine = make_machine(3, version);
		u64 end, xsdt;

		setup(state);
		xsdt = build(&machine, &end);
		for (u32 i = 0; i < ARRAY_COUNT(names); i++) {
			u64 fadt = find_table(xsdt, "FACP");
			bool dsdt = !strcmp(names[i], "DSDT");

			write_file(dir, names[i],
				   dsdt ? at64(fadt + 140) : find_table(xsdt, names[i]));
			judged_by_iasl(dir, names[i]);
		}
	}
	if (system("acpiexec -v >/dev/null 2>&1") == 0) {
		static const char *const calls[][2] = {
			{"\\_SB.CP20._STA", "[Integer] = 000000000000000F"},
			{"\\_SB.CP30._STA", "[Integer] = 0000000000000000"},
			/* 6.4.3.4 and 6.4.3.6: base, length; level, active high, exclusive. */
			{"\\_SB.COM0._CRS", "86 09 00 01 00 00 00 09 00 10 00 00 89 06 00 01"},
			{"\\_SB.COM0._CRS", "01 21 00 00 00 79 00"},
		};

		for (u32 i = 0; i < ARRAY_COUNT(calls); i++) {
			snprintf(command, sizeof(command),
				 "cd %s && acpiexec -b 'evaluate %s' DSDT.dat 2>&1", dir,
				 calls[i][0]);
			if (!says(command, calls[i][1]))
				fail_msg("%s has not %s", calls[i][0], calls[i][1]);
		}
	}
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_fadt, setup),
		cmocka_unit_test_setup(test_madt, setup),
		cmocka_unit_test_setup(test_gtdt, setup),
		cmocka_unit_test_setup(test_spcr, setup),
		cmocka_unit_test_setup(test_aml, setup),
		cmocka_unit_test_setup(test_refusals, setup),
		cmocka_unit_test_setup(test_tools, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
