/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libfdt.h>
#include <string.h>

#include "../../arch/arm64/gic_find.h"
#include "acpi_fakes.h"

/* Redistributors of three processors: affinities 0.0.0.0, 0.0.1.0 and 1.0.0.2, the last. */
static u8 frames[3 * 0x20000] __attribute__((aligned(8)));

#define MPIDR_RES1 BIT(31)

static void set_frames(void)
{
	static const u64 typers[] = {0, (u64)0x100 << 32, (u64)0x01000002 << 32 | BIT(4)};

	memset(frames, 0, sizeof(frames));
	for (u32 i = 0; i < 3; i++)
		memcpy(frames + i * 0x20000 + 8, &typers[i], 8);
}

static void test_acpi_gicv2(void **state)
{
	struct gic_found found;
	struct acpi a;

	(void)state;
	acpi_begin(&a);
	acpi_add_cpu(&a, 1, 1, 2, 0);
	acpi_add_cpu(&a, 0, 0x8040000, 0x8030000, 0);
	put(acpi_add(&a, 0xc, 24) + 8, 0x8000000, 8);
	assert_int_equal(gic_find(a.rsdp, NULL, MPIDR_RES1, &found), HV_OK);
	assert_int_equal(found.distributor, 0x8000000);
	assert_int_equal(found.gicc, 0x8010000);
	assert_int_equal(found.gich, 0x8030000);
	assert_int_equal(found.gicv, 0x8040000);
	assert_int_equal(found.maintenance, 24);
	assert_int_equal(found.redistributor, 0);
}

static void test_acpi_gicv3(void **state)
{
	struct gic_found found;
	struct acpi a;
	u8 *at;

	(void)state;
	set_frames();
	acpi_begin(&a);
	acpi_add_cpu(&a, 0x0100000002, 0, 0, 0);
	put(acpi_add(&a, 0xc, 24) + 8, 0x8000000, 8);
	at = acpi_add(&a, 0xe, 16);
	put(at + 4, address(frames), 8);
	put(at + 12, sizeof(frames), 4);
	/* Aff3.Aff2.Aff1.Aff0 is 1.0.0.2. */
	assert_int_equal(gic_find(a.rsdp, NULL, MPIDR_RES1 | 0x0100000002, &found), HV_OK);
	assert_int_equal(found.redistributor, address(frames) + 2 * 0x20000);
	/* A processor that no frame is for. */
	assert_int_equal(gic_find(a.rsdp, NULL, MPIDR_RES1 | 7, &found), HV_OK);
	assert_int_equal(found.redistributor, 0);

	/* What stands in the processor's own structure comes first. */
	acpi_begin(&a);
	acpi_add_cpu(&a, 0, 0, 0, 0x1234000);
	put(acpi_add(&a, 0xc, 24) + 8, 0x8000000, 8);
	assert_int_equal(gic_find(a.rsdp, NULL, MPIDR_RES1, &found), HV_OK);
	assert_int_equal(found.redistributor, 0x1234000);
}

static void test_acpi_damaged(void **state)
{
	struct gic_found found;
	struct acpi a;

	(void)state;
	assert_int_equal(gic_find(NULL, NULL, 0, &found), HV_ENOT_FOUND);
	acpi_begin(&a);
	/* No distributor. */
	assert_int_equal(gic_find(a.rsdp, NULL, 0, &found), HV_ENOT_FOUND);
	/* A structure of length 0, one that goes beyond the table. */
	acpi_add(&a, 0xc, 0);
	a.madt_length += 8;
	put(a.madt + 4, a.madt_length, 4);
	assert_int_equal(gic_find(a.rsdp, NULL, 0, &found), HV_ENOT_FOUND);
	acpi_begin(&a);
	put(acpi_add(&a, 0xc, 24) + 8, 0x8000000, 8);
	put(a.madt + 4, 44 + 20, 4);
	assert_int_equal(gic_find(a.rsdp, NULL, 0, &found), HV_ENOT_FOUND);
	a.rsdp[15] = 0;
	assert_int_equal(gic_find(a.rsdp, NULL, 0, &found), HV_ENOT_FOUND);
}

static void *make_fdt(const char *compatible, const u64 *reg, u32 count)
{
	static u8 fdt[4096];
	fdt64_t cells[8];

	assert_int_equal(fdt_create(fdt, sizeof(fdt)), 0);
	assert_int_equal(fdt_finish_reservemap(fdt), 0);
	assert_int_equal(fdt_begin_node(fdt, ""), 0);
	assert_int_equal(fdt_property_u32(fdt, "#address-cells", 2), 0);
	assert_int_equal(fdt_property_u32(fdt, "#size-cells", 2), 0);
	assert_int_equal(fdt_begin_node(fdt, "intc"), 0);
	assert_int_equal(fdt_property(fdt, "compatible", compatible, (int)strlen(compatible) + 1),
			 0);
	for (u32 i = 0; i < count; i++)
		cells[i] = cpu_to_fdt64(reg[i]);
	assert_int_equal(fdt_property(fdt, "reg", cells, (int)(count * sizeof(cells[0]))), 0);
	assert_int_equal(fdt_end_node(fdt), 0);
	assert_int_equal(fdt_end_node(fdt), 0);
	assert_int_equal(fdt_finish(fdt), 0);
	return fdt;
}

static void test_fdt(void **state)
{
	const u64 v2[] = {0x8000000, 0x1000, 0x8010000, 0x2000,
			  0x8030000, 0x2000, 0x8040000, 0x2000};
	const u64 v3[] = {0x8000000, 0x10000, address(frames), sizeof(frames)};
	struct gic_found found;

	(void)state;
	set_frames();
	assert_int_equal(gic_find(NULL, make_fdt("arm,gic-400", v2, 8), 0, &found), HV_OK);
	assert_int_equal(found.distributor, 0x8000000);
	assert_int_equal(found.gicc, 0x8010000);
	assert_int_equal(found.gich, 0x8030000);
	assert_int_equal(found.gicv, 0x8040000);
	/* Without the virtual interface; it is the caller who says that this won't do. */
	assert_int_equal(gic_find(NULL, make_fdt("arm,cortex-a15-gic", v2, 4), 0, &found), HV_OK);
	assert_int_equal(found.gich, 0);
	assert_int_equal(found.gicv, 0);
	assert_int_equal(gic_find(NULL, make_fdt("arm,gic-v3", v3, 4), 0x100, &found), HV_OK);
	assert_int_equal(found.distributor, 0x8000000);
	assert_int_equal(found.redistributor, address(frames) + 0x20000);
	/* Too short, and of another kind. */
	assert_int_equal(gic_find(NULL, make_fdt("arm,gic-v3", v3, 1), 0, &found), HV_ENOT_FOUND);
	assert_int_equal(gic_find(NULL, make_fdt("arm,pl390", v2, 8), 0, &found), HV_ENOT_FOUND);
	assert_int_equal(
		gic_find(NULL, "no devicetree at all, but long enough to be looked at", 0, &found),
		HV_ENOT_FOUND);
}

/* ACPI goes first, the devicetree is asked where it has nothing. */
static void test_both(void **state)
{
	const u64 v2[] = {0x9000000, 0x1000, 0x9010000, 0x2000,
			  0x9030000, 0x2000, 0x9040000, 0x2000};
	struct gic_found found;
	struct acpi a;

	(void)state;
	acpi_begin(&a);
	acpi_add_cpu(&a, 0, 1, 2, 0);
	assert_int_equal(gic_find(a.rsdp, make_fdt("arm,gic-400", v2, 8), 0, &found), HV_OK);
	assert_int_equal(found.distributor, 0x9000000);
	assert_int_equal(found.gich, 0x9030000);
	put(acpi_add(&a, 0xc, 24) + 8, 0x8000000, 8);
	assert_int_equal(gic_find(a.rsdp, make_fdt("arm,gic-400", v2, 8), 0, &found), HV_OK);
	assert_int_equal(found.distributor, 0x8000000);
	assert_int_equal(found.gich, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acpi_gicv2),   cmocka_unit_test(test_acpi_gicv3),
		cmocka_unit_test(test_acpi_damaged), cmocka_unit_test(test_fdt),
		cmocka_unit_test(test_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
