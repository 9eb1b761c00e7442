/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libfdt.h>
#include <string.h>

#include "../../arch/arm64/cpu_find.h"
#include "acpi_fakes.h"

#define MPIDR_RES1 BIT(31)

static void test_acpi(void **state)
{
	struct acpi a;
	u64 ids[4];

	(void)state;
	acpi_begin(&a);
	assert_int_equal(cpu_find(a.rsdp, NULL, 0, ids, 4), 0);
	acpi_add_cpu(&a, 0x0100000203, 0, 0, 0);
	acpi_add_cpu(&a, 0, 0, 0, 0);
	acpi_add(&a, 0xc, 24);
	acpi_add_cpu(&a, 0x100, 0, 0, 0);
	/* One that isn't enabled. */
	acpi_add_cpu(&a, 0x101, 0, 0, 0);
	put(a.madt + a.madt_length - 80 + 12, 0, 4);
	assert_int_equal(cpu_find(a.rsdp, NULL, MPIDR_RES1, ids, 4), 2);
	assert_int_equal(ids[0], 0x0100000203);
	assert_int_equal(ids[1], 0x100);
	/* The one that asks is another. */
	assert_int_equal(cpu_find(a.rsdp, NULL, MPIDR_RES1 | 0x100, ids, 4), 2);
	assert_int_equal(ids[1], 0);
	/* No more than there is room for, and nothing behind the table's end. */
	assert_int_equal(cpu_find(a.rsdp, NULL, MPIDR_RES1, ids, 1), 1);
	put(a.madt + 4, 44 + 79, 4);
	assert_int_equal(cpu_find(a.rsdp, NULL, MPIDR_RES1, ids, 4), 0);
}

static void test_acpi_psci(void **state)
{
	struct acpi a;

	(void)state;
	acpi_begin(&a);
	assert_false(cpu_find_psci(a.rsdp, NULL));
	put(a.fadt + 129, 1, 2);
	assert_true(cpu_find_psci(a.rsdp, NULL));
	/* By HVC: that isn't for who is at EL2. */
	put(a.fadt + 129, 3, 2);
	assert_false(cpu_find_psci(a.rsdp, NULL));
	/* A table of before there was such a thing. */
	put(a.fadt + 129, 1, 2);
	put(a.fadt + 4, 129, 4);
	assert_false(cpu_find_psci(a.rsdp, NULL));
}

static void add_text(void *fdt, const char *name, const char *value)
{
	if (value)
		assert_int_equal(fdt_property(fdt, name, value, (int)strlen(value) + 1), 0);
}

static void add_cpu(void *fdt, const char *name, u64 id, int cells, const char *status,
		    const char *method)
{
	fdt64_t reg = cpu_to_fdt64(id);

	assert_int_equal(fdt_begin_node(fdt, name), 0);
	add_text(fdt, "device_type", "cpu");
	assert_int_equal(fdt_property(fdt, "reg", (const u8 *)&reg + 8 - 4 * cells, 4 * cells), 0);
	add_text(fdt, "status", status);
	add_text(fdt, "enable-method", method);
	assert_int_equal(fdt_end_node(fdt), 0);
}

static void *make_fdt(const char *psci)
{
	static u8 fdt[4096];

	assert_int_equal(fdt_create(fdt, sizeof(fdt)), 0);
	assert_int_equal(fdt_finish_reservemap(fdt), 0);
	assert_int_equal(fdt_begin_node(fdt, ""), 0);
	if (psci) {
		assert_int_equal(fdt_begin_node(fdt, "psci"), 0);
		add_text(fdt, "method", psci);
		assert_int_equal(fdt_end_node(fdt), 0);
	}
	assert_int_equal(fdt_begin_node(fdt, "cpus"), 0);
	assert_int_equal(fdt_begin_node(fdt, "cpu-map"), 0);
	assert_int_equal(fdt_end_node(fdt), 0);
	add_cpu(fdt, "cpu@0", 0, 1, NULL, "psci");
	add_cpu(fdt, "cpu@1", 1, 1, "okay", "psci");
	add_cpu(fdt, "cpu@2", 2, 1, "disabled", "psci");
	add_cpu(fdt, "cpu@3", 3, 1, NULL, "spin-table");
	add_cpu(fdt, "cpu@100000000", 0x100000000, 2, NULL, "psci");
	assert_int_equal(fdt_end_node(fdt), 0);
	assert_int_equal(fdt_end_node(fdt), 0);
	assert_int_equal(fdt_finish(fdt), 0);
	return fdt;
}

static void test_fdt(void **state)
{
	u64 ids[4];

	(void)state;
	assert_int_equal(cpu_find(NULL, make_fdt("smc"), MPIDR_RES1, ids, 4), 2);
	assert_int_equal(ids[0], 1);
	assert_int_equal(ids[1], 0x100000000);
	assert_int_equal(cpu_find(NULL, make_fdt("smc"), MPIDR_RES1, ids, 1), 1);
	assert_true(cpu_find_psci(NULL, make_fdt("smc")));
	assert_false(cpu_find_psci(NULL, make_fdt("hvc")));
	assert_false(cpu_find_psci(NULL, make_fdt(NULL)));
}

static void test_neither(void **state)
{
	static const char nonsense[] = "no devicetree at all, but long enough to be looked at";
	u64 ids[1];

	(void)state;
	assert_int_equal(cpu_find(NULL, NULL, 0, ids, 1), 0);
	assert_int_equal(cpu_find(NULL, nonsense, 0, ids, 1), 0);
	assert_false(cpu_find_psci(NULL, NULL));
	assert_false(cpu_find_psci(NULL, nonsense));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acpi),
		cmocka_unit_test(test_acpi_psci),
		cmocka_unit_test(test_fdt),
		cmocka_unit_test(test_neither),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
