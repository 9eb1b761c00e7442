/* SPDX-License-Identifier: MIT */
/* The ACPI tables of a guest, read back with a walker of the test's own and with iasl. */
#include "acpi_walker.h"

static struct acpi_machine make_machine(u32 cpu_count, bool told)
{
	return (struct acpi_machine){
		.cpu_count = cpu_count,
		.lapic_base = 0xfee00000,
		.ioapic_base = 0xfec00000,
		.sleep_control_port = 0x600,
		.sleep_status_port = 0x601,
		.reset_port = 0x602,
		.reset_value = 0x42,
		.told = {.vmgenid = told,
			 .vmgenid_address = GPA(0x123456789a000),
			 .vmgenid_gsi = 23,
			 .vmclock = {0x123456788a000, told ? 0x10000 : 0},
			 .vmclock_gsi = 22},
	};
}

static void build(const struct acpi_machine *machine, u64 *end)
{
	gpa_t rsdp;
	u64 used;

	assert_int_equal(acpi_build(machine, &mem, GPA(BASE), ROOM, &rsdp, &used), HV_OK);
	assert_int_equal(rsdp.v, BASE);
	assert_true(used <= ROOM);
	for (u64 at = used; at < ROOM; at++)
		assert_int_equal(ram[at], 0);
	assert_int_equal(error_lines, 0);
	*end = BASE + used;
}

static void test_fadt(void **state)
{
	struct acpi_machine machine = make_machine(1, true);
	u64 end, fadt;
	const u8 reset[12] = {1, 8, 0, 1, 0x02, 0x06};
	const u8 control[12] = {1, 8, 0, 1, 0x00, 0x06};
	const u8 status[12] = {1, 8, 0, 1, 0x01, 0x06};

	(void)state;
	build(&machine, &end);
	fadt = find_table(find_xsdt(end), "FACP");
	check_table(fadt, "FACP", 6, end);
	assert_int_equal(at32(fadt + 4), 276);
	assert_int_equal(at8(fadt + 131), 5);
	assert_int_equal(at64(fadt + 140), at32(fadt + 40));
	check_table(at64(fadt + 140), "DSDT", 2, end);
	assert_int_equal(at32(fadt + 112) & (1 << 20 | 1 << 10), 1 << 20 | 1 << 10);
	assert_int_equal(at8(fadt + 109) | at8(fadt + 110) << 8, 4);
	assert_memory_equal(ram + (fadt + 116 - BASE), reset, 12);
	assert_int_equal(at8(fadt + 128), 0x42);
	assert_memory_equal(ram + (fadt + 244 - BASE), control, 12);
	assert_memory_equal(ram + (fadt + 256 - BASE), status, 12);
	for (u64 at = fadt + 46; at < fadt + 108; at++)
		assert_int_equal(at8(at), 0);
	for (u64 at = fadt + 148; at < fadt + 244; at++)
		assert_int_equal(at8(at), 0);
}

static void check_madt(u32 cpu_count)
{
	struct acpi_machine machine = make_machine(cpu_count, false);
	u64 end, madt, at;
	u32 lapics = 0, x2apics = 0, ioapics = 0;

	build(&machine, &end);
	assert_int_equal(find_table(find_xsdt(end), "SSDT"), 0);
	madt = find_table(find_xsdt(end), "APIC");
	check_table(madt, "APIC", 5, end);
	assert_int_equal(at32(madt + 36), 0xfee00000);
	assert_int_equal(at32(madt + 40), 0);
	for (at = madt + 44; at < madt + at32(madt + 4); at += at8(at + 1)) {
		switch (at8(at)) {
		case 0:
			assert_int_equal(at8(at + 1), 8);
			assert_int_equal(at8(at + 2), lapics);
			assert_int_equal(at8(at + 3), lapics);
			assert_int_equal(at32(at + 4), 1);
			lapics++;
			break;
		case 1:
			assert_int_equal(at8(at + 1), 12);
			assert_int_equal(at32(at + 4), 0xfec00000);
			assert_int_equal(at32(at + 8), 0);
			ioapics++;
			break;
		case 9:
			assert_int_equal(at8(at + 1), 16);
			assert_int_equal(at32(at + 4), 255 + x2apics);
			assert_int_equal(at32(at + 8), 1);
			assert_int_equal(at32(at + 12), 255 + x2apics);
			x2apics++;
			break;
		default:
			fail_msg("unknown entry %u", at8(at));
		}
	}
	assert_int_equal(at, madt + at32(madt + 4));
	assert_int_equal(lapics, cpu_count < 255 ? cpu_count : 255);
	assert_int_equal(lapics + x2apics, cpu_count);
	assert_int_equal(ioapics, 1);
}

static void test_madt(void **state)
{
	const u32 counts[] = {1, 2, 254, 255, 256, 300};

	for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
		setup(state);
		check_madt(counts[i]);
	}
}

static void test_vmgenid(void **state)
{
	struct acpi_machine machine = make_machine(1, true);
	const u8 low[] = {0x08, 'V', 'G', 'L', 'O', 0x0c, 0x00, 0xa0, 0x89, 0x67};
	const u8 high[] = {0x08, 'V', 'G', 'H', 'I', 0x0c, 0x45, 0x23, 0x01, 0x00};
	const u8 gsi[] = {0x08, 'G', 'I', 'R', 'Q', 0x0c, 23, 0, 0, 0};
	const char *texts[] = {"ANEW0001", "VM_Gen_Counter", "VMGENCTR", "Hyper_V_Gen_Counter_V1",
			       "ACPI0013"};
	u64 end, ssdt;

	(void)state;
	build(&machine, &end);
	ssdt = find_table_of(find_xsdt(end), "SSDT", "ANEWGEN\0");
	check_table(ssdt, "SSDT", 2, end);
	assert_true(holds(ssdt, low, sizeof(low)));
	assert_true(holds(ssdt, high, sizeof(high)));
	assert_true(holds(ssdt, gsi, sizeof(gsi)));
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
		assert_true(holds(ssdt, texts[i], strlen(texts[i]) + 1));
}

static void test_vmclock(void **state)
{
	struct acpi_machine machine = make_machine(1, true);
	const u8 low[] = {0x08, 'V', 'C', 'L', 'O', 0x0c, 0x00, 0xa0, 0x88, 0x67};
	const u8 high[] = {0x08, 'V', 'C', 'H', 'I', 0x0c, 0x45, 0x23, 0x01, 0x00};
	const u8 length[] = {0x08, 'V', 'C', 'S', 'Z', 0x0c, 0x00, 0x00, 0x01, 0x00};
	const u8 gsi[] = {0x08, 'C', 'I', 'R', 'Q', 0x0c, 22, 0, 0, 0};
	const char *texts[] = {"AMZNC10C", "VMCLOCK", "ACPI0013"};
	u64 end, ssdt;

	(void)state;
	build(&machine, &end);
	ssdt = find_table_of(find_xsdt(end), "SSDT", "ANEWCLK\0");
	check_table(ssdt, "SSDT", 2, end);
	assert_true(holds(ssdt, low, sizeof(low)));
	assert_true(holds(ssdt, high, sizeof(high)));
	assert_true(holds(ssdt, length, sizeof(length)));
	assert_true(holds(ssdt, gsi, sizeof(gsi)));
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
		assert_true(holds(ssdt, texts[i], strlen(texts[i]) + 1));
}

static void test_refusals(void **state)
{
	struct acpi_machine machine = make_machine(2, true);
	struct acpi_machine wrong;
	gpa_t rsdp;
	u64 end, used;

	build(&machine, &end);
	assert_int_equal(acpi_build(&machine, &mem, GPA(BASE), end - BASE, &rsdp, &used), HV_OK);
	for (u64 room = 0; room < end - BASE; room++) {
		setup(state);
		assert_int_equal(acpi_build(&machine, &mem, GPA(BASE), room, &rsdp, &used),
				 HV_ENO_SPACE);
		assert_int_equal(error_lines, 1);
		assert_memory_not_equal(ram, "RSD PTR ", 8);
		for (u64 at = room; at < ROOM; at++)
			assert_int_equal(ram[at], 0);
	}
	for (u64 writes = 0;; writes++) {
		enum hv_error err;

		setup(state);
		fail_after = writes;
		err = acpi_build(&machine, &mem, GPA(BASE), ROOM, &rsdp, &used);
		if (err == HV_OK)
			break;
		assert_int_equal(err, HV_ENO_MEMORY);
		assert_int_equal(error_lines, 1);
		assert_memory_not_equal(ram, "RSD PTR ", 8);
	}

	setup(state);
	assert_int_equal(acpi_build(&machine, &mem, GPA(BASE + 8), ROOM, &rsdp, &used),
			 HV_EINVALID);
	assert_int_equal(acpi_build(&machine, &mem, GPA(BASE), UINT64_MAX, &rsdp, &used),
			 HV_EINVALID);
	wrong = machine;
	wrong.cpu_count = 0;
	assert_int_equal(acpi_build(&wrong, &mem, GPA(BASE), ROOM, &rsdp, &used), HV_EINVALID);
	wrong = machine;
	wrong.cpu_count = UINT32_MAX;
	assert_int_equal(acpi_build(&wrong, &mem, GPA(BASE), ROOM, &rsdp, &used), HV_ENO_SPACE);
	wrong = machine;
	wrong.lapic_base = GIB(4);
	assert_int_equal(acpi_build(&wrong, &mem, GPA(BASE), ROOM, &rsdp, &used), HV_EINVALID);
	assert_int_equal(error_lines, 5);
}

static void test_patch(void **state)
{
	u8 aml[] = {1,   2,   0x08, 'G',  'I',  'R', 'Q', 0x0c, 1,    1,    1,   1,   0x08, 'T',
		    'W', 'O', 'X',  0x0c, 0,    0,   0,   0,    0x08, 'T',  'W', 'O', 'X',  0x0c,
		    0,   0,   0,    0,    0x08, 'E', 'N', 'D',  '_',  0x0c, 0,   0,   0};
	u8 before[sizeof(aml)];
	const u8 want[] = {0x0c, 0x78, 0x56, 0x34, 0x12, 0x08};

	(void)state;
	memcpy(before, aml, sizeof(aml));
	assert_int_equal(acpi_patch_u32(aml, sizeof(aml), "TWOX", 5), HV_EEXISTS);
	assert_int_equal(acpi_patch_u32(aml, sizeof(aml), "NONE", 5), HV_ENOT_FOUND);
	assert_int_equal(acpi_patch_u32(aml, sizeof(aml), "END_", 5), HV_ENOT_FOUND);
	assert_int_equal(acpi_patch_u32(aml, 0, "GIRQ", 5), HV_ENOT_FOUND);
	assert_memory_equal(aml, before, sizeof(aml));
	assert_int_equal(acpi_patch_u32(aml, sizeof(aml), "GIRQ", 0x12345678), HV_OK);
	assert_memory_equal(aml + 7, want, sizeof(want));
}

/* The tables as the reference implementation sees them. */
static void test_tools(void **state)
{
	struct acpi_machine machine = make_machine(300, true);
	const char *names[] = {"XSDT", "FACP", "APIC", "DSDT", "GEN", "CLK"};
	char dir[] = "/tmp/test_acpi_XXXXXX";
	char command[1024];
	u64 end, xsdt;

	(void)state;
	if (system("iasl -v >/dev/null 2>&1") != 0)
		skip();
	build(&machine, &end);
	xsdt = find_xsdt(end);
	assert_non_null(mkdtemp(dir));
	write_file(dir, "XSDT", xsdt);
	write_file(dir, "FACP", find_table(xsdt, "FACP"));
	write_file(dir, "APIC", find_table(xsdt, "APIC"));
	write_file(dir, "GEN", find_table_of(xsdt, "SSDT", "ANEWGEN\0"));
	write_file(dir, "CLK", find_table_of(xsdt, "SSDT", "ANEWCLK\0"));
	write_file(dir, "DSDT", at64(find_table(xsdt, "FACP") + 140));
	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		judged_by_iasl(dir, names[i]);
	if (system("acpiexec -v >/dev/null 2>&1") == 0) {
		snprintf(command, sizeof(command),
			 "cd %s && acpiexec -b 'evaluate \\_SB.VGEN.ADDR' DSDT.dat GEN.dat CLK.dat "
			 "2>&1",
			 dir);
		assert_true(says(command, "[Integer] = 000000006789A000"));
		assert_true(says(command, "[Integer] = 0000000000012345"));
		snprintf(command, sizeof(command),
			 "cd %s && acpiexec -b 'evaluate \\_SB.GED._CRS' DSDT.dat GEN.dat CLK.dat "
			 "2>&1",
			 dir);
		/* ACPI 6.5, 6.4.3.6: consumer, edge, active high, exclusive; one interrupt. */
		assert_true(says(command, "89 06 00 03 01 17 00 00 00 79 00"));
		snprintf(command, sizeof(command),
			 "cd %s && acpiexec -b 'evaluate \\_SB.GEDC._CRS' DSDT.dat GEN.dat CLK.dat "
			 "2>&1",
			 dir);
		assert_true(says(command, "89 06 00 03 01 16 00 00 00 79 00"));
		snprintf(command, sizeof(command),
			 "cd %s && acpiexec -b 'evaluate \\_SB.VCLK._CRS' DSDT.dat GEN.dat CLK.dat "
			 "2>&1",
			 dir);
		/* 6.4.3.5.1: memory, consumer, fixed, cacheable, read-only; from, to, length. */
		assert_true(says(command, "8A 2B 00 00 0D 02 00 00 00 00 00 00 00 00 00 A0"));
		assert_true(says(command, "88 67 45 23 01 00 FF 9F 89 67 45 23 01 00 00 00"));
		assert_true(says(command, "00 00 00 00 00 00 00 00 01 00 00 00 00 00 79 00"));
	}
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_fadt, setup),
		cmocka_unit_test_setup(test_madt, setup),
		cmocka_unit_test_setup(test_vmgenid, setup),
		cmocka_unit_test_setup(test_vmclock, setup),
		cmocka_unit_test_setup(test_refusals, setup),
		cmocka_unit_test_setup(test_patch, setup),
		cmocka_unit_test_setup(test_tools, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
