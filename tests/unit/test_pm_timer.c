/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arch/tsc.h>
#include <internal/acpi.h>
#include <string.h>

/* RSDP, XSDT with one table that isn't asked for, FADT. */
static struct {
	u8 rsdp[36];
	u8 xsdt[36 + 16];
	u8 other[36];
	u8 fadt[276];
} tables;

static void put(u8 *at, u64 value, u32 bytes)
{
	memcpy(at, &value, bytes);
}

static int setup(void **state)
{
	(void)state;
	memset(&tables, 0, sizeof(tables));
	memcpy(tables.rsdp, "RSD PTR ", 8);
	tables.rsdp[15] = 2;
	put(tables.rsdp + 24, (u64)(uintptr_t)tables.xsdt, 8);
	memcpy(tables.xsdt, "XSDT", 4);
	put(tables.xsdt + 4, sizeof(tables.xsdt), 4);
	put(tables.xsdt + 36, (u64)(uintptr_t)tables.other, 8);
	put(tables.xsdt + 44, (u64)(uintptr_t)tables.fadt, 8);
	memcpy(tables.other, "APIC", 4);
	memcpy(tables.fadt, "FACP", 4);
	put(tables.fadt + 4, sizeof(tables.fadt), 4);
	put(tables.fadt + 76, 0x608, 4);
	tables.fadt[91] = 4;
	return 0;
}

static void expect(u16 port, u32 mask)
{
	struct pm_timer timer = pm_timer_find(tables.rsdp);

	assert_int_equal(timer.port, port);
	if (port)
		assert_int_equal(timer.mask, mask);
}

static void test_found(void **state)
{
	(void)state;
	expect(0x608, 0xffffff);
	put(tables.fadt + 112, BIT(8), 4);
	expect(0x608, 0xffffffff);
}

static void test_none(void **state)
{
	(void)state;
	assert_int_equal(pm_timer_find(NULL).port, 0);
	put(tables.fadt + 112, BIT(20), 4);
	expect(0, 0);
	put(tables.fadt + 112, 0, 4);
	tables.fadt[91] = 0;
	expect(0, 0);
	tables.fadt[91] = 4;
	put(tables.fadt + 76, 0xfffe, 4);
	expect(0, 0);
	put(tables.fadt + 4, 100, 4);
	expect(0, 0);
}

static void test_tables(void **state)
{
	(void)state;
	assert_ptr_equal(acpi_find_table(tables.rsdp, "APIC"), tables.other);
	assert_null(acpi_find_table(tables.rsdp, "MCFG"));
	put(tables.xsdt + 4, 44, 4);
	assert_null(acpi_find_table(tables.rsdp, "FACP"));
	tables.xsdt[0] = 'R';
	assert_null(acpi_find_table(tables.rsdp, "APIC"));
	tables.rsdp[15] = 0;
	assert_null(acpi_find_table(tables.rsdp, "APIC"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_found, setup),
		cmocka_unit_test_setup(test_none, setup),
		cmocka_unit_test_setup(test_tables, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
