/* SPDX-License-Identifier: MIT */
#include <internal/acpi.h>
#include <libfdt.h>
#include <string.h>

#include "cpu_find.h"
#include "gic_find.h"

/* GICR_TYPER. IHI 0069 section 12.11.35 */
#define GICR_TYPER       8
#define GICR_TYPER_VLPIS BIT(1)
#define GICR_TYPER_LAST  BIT(4)

static u64 mpidr_of_typer(u64 typer)
{
	u64 affinity = typer >> 32;

	return (affinity & 0xffffff) | (affinity >> 24) << 32;
}

/* The frames of @length bytes at @base are one processor's after the other. */
static u64 find_redistributor(u64 base, u64 length, u64 mpidr)
{
	u64 at = base;

	while (at - base + KIB(128) <= length) {
		u64 typer = *(const volatile u64 *)(uintptr_t)(at + GICR_TYPER);

		if (mpidr_of_typer(typer) == (mpidr & MPIDR_AFFINITY))
			return at;
		if (typer & GICR_TYPER_LAST)
			break;
		at += typer & GICR_TYPER_VLPIS ? KIB(256) : KIB(128);
	}
	return 0;
}

/* ---- ACPI 6.5, section 5.2.12 (MADT) ---- */

#define MADT_STRUCTURES 44

#define MADT_GICC 0xb
#define MADT_GICD 0xc
#define MADT_GICR 0xe

static void from_gicc(const u8 *entry, u32 length, u64 mpidr, struct gic_found *found)
{
	if (length < 76 || acpi_get(entry + 68, 8) != (mpidr & MPIDR_AFFINITY))
		return;
	found->gicc = acpi_get(entry + 32, 8);
	found->gicv = acpi_get(entry + 40, 8);
	found->gich = acpi_get(entry + 48, 8);
	found->maintenance = (u32)acpi_get(entry + 56, 4);
	if (acpi_get(entry + 60, 8))
		found->redistributor = acpi_get(entry + 60, 8);
}

static bool from_acpi(const u8 *rsdp, u64 mpidr, struct gic_found *found)
{
	const u8 *madt = acpi_find_table(rsdp, "APIC");
	u64 length;

	if (!madt)
		return false;
	length = acpi_get(madt + 4, 4);
	for (u64 at = MADT_STRUCTURES; at + 2 <= length && madt[at + 1] >= 2; at += madt[at + 1]) {
		const u8 *entry = madt + at;

		if (at + entry[1] > length)
			break;
		if (entry[0] == MADT_GICC)
			from_gicc(entry, entry[1], mpidr, found);
		else if (entry[0] == MADT_GICD && entry[1] >= 16)
			found->distributor = acpi_get(entry + 8, 8);
		else if (entry[0] == MADT_GICR && entry[1] >= 16 && !found->redistributor)
			found->redistributor = find_redistributor(acpi_get(entry + 4, 8),
								  acpi_get(entry + 12, 4), mpidr);
	}
	return found->distributor;
}

/* ---- devicetree ---- */

/* Address and length of entry @index of the node's `reg`; false where there is none. */
static bool get_reg(const void *fdt, int node, int index, u64 *base, u64 *length)
{
	int parent = fdt_parent_offset(fdt, node);
	int address_cells = fdt_address_cells(fdt, parent);
	int size_cells = fdt_size_cells(fdt, parent);
	int size, at = index * (address_cells + size_cells);
	const fdt32_t *reg = fdt_getprop(fdt, node, "reg", &size);

	if (!reg || address_cells < 1 || address_cells > 2 || size_cells < 1 || size_cells > 2 ||
	    (at + address_cells + size_cells) * 4 > size)
		return false;
	*base = 0;
	*length = 0;
	for (int i = 0; i < address_cells; i++)
		*base = *base << 32 | fdt32_to_cpu(reg[at + i]);
	for (int i = 0; i < size_cells; i++)
		*length = *length << 32 | fdt32_to_cpu(reg[at + address_cells + i]);
	return true;
}

static bool from_fdt(const void *fdt, u64 mpidr, struct gic_found *found)
{
	static const char *const v2[] = {"arm,gic-400", "arm,cortex-a15-gic"};
	u64 length;
	int node;

	if (fdt_check_header(fdt))
		return false;
	node = fdt_node_offset_by_compatible(fdt, -1, "arm,gic-v3");
	if (node >= 0) {
		u64 base;

		if (!get_reg(fdt, node, 0, &found->distributor, &length))
			return false;
		for (int i = 1; !found->redistributor && get_reg(fdt, node, i, &base, &length); i++)
			found->redistributor = find_redistributor(base, length, mpidr);
		return true;
	}
	for (u32 i = 0; i < ARRAY_COUNT(v2); i++) {
		node = fdt_node_offset_by_compatible(fdt, -1, v2[i]);
		if (node < 0)
			continue;
		if (!get_reg(fdt, node, 1, &found->gicc, &length) ||
		    !get_reg(fdt, node, 2, &found->gich, &length) ||
		    !get_reg(fdt, node, 3, &found->gicv, &length))
			found->gicc = found->gich = found->gicv = 0;
		return get_reg(fdt, node, 0, &found->distributor, &length);
	}
	return false;
}

enum hv_error gic_find(const void *rsdp, const void *fdt, u64 mpidr, struct gic_found *found)
{
	*found = (struct gic_found){0};
	if (rsdp && from_acpi(rsdp, mpidr, found))
		return HV_OK;
	*found = (struct gic_found){0};
	if (fdt && from_fdt(fdt, mpidr, found))
		return HV_OK;
	return HV_ENOT_FOUND;
}
