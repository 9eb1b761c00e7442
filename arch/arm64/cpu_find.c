/* SPDX-License-Identifier: MIT */
#include <internal/acpi.h>
#include <libfdt.h>
#include <string.h>

#include "cpu_find.h"

/* ---- ACPI 6.5, sections 5.2.9 (FADT) and 5.2.12.14 (GICC) ---- */

#define MADT_STRUCTURES 44
#define MADT_GICC       0xb
#define GICC_ENABLED    BIT(0)

#define FADT_ARM_BOOT      129 /* ARM_BOOT_ARCH, two bytes */
#define FADT_ARM_BOOT_PSCI BIT(0)
#define FADT_ARM_BOOT_HVC  BIT(1)

static u32 from_acpi(const u8 *madt, u64 mpidr, u64 *ids, u32 max)
{
	u64 length = acpi_get(madt + 4, 4);
	u32 count = 0;

	for (u64 at = MADT_STRUCTURES; at + 2 <= length && madt[at + 1] >= 2; at += madt[at + 1]) {
		const u8 *entry = madt + at;
		u64 id;

		if (at + entry[1] > length || count == max)
			break;
		if (entry[0] != MADT_GICC || entry[1] < 76 ||
		    !(acpi_get(entry + 12, 4) & GICC_ENABLED))
			continue;
		id = acpi_get(entry + 68, 8) & MPIDR_AFFINITY;
		if (id != mpidr)
			ids[count++] = id;
	}
	return count;
}

/* ---- devicetree specification 0.4, section 3.8; Linux' bindings cpus.yaml and psci.yaml ---- */

static bool is_text(const void *fdt, int node, const char *property, const char *text)
{
	const char *value = fdt_getprop(fdt, node, property, NULL);

	return value && !strcmp(value, text);
}

static u32 from_fdt(const void *fdt, u64 mpidr, u64 *ids, u32 max)
{
	int cpus = fdt_path_offset(fdt, "/cpus"), node;
	u32 count = 0;

	if (cpus < 0)
		return 0;
	fdt_for_each_subnode(node, fdt, cpus)
	{
		int size;
		const fdt32_t *reg = fdt_getprop(fdt, node, "reg", &size);
		u64 id = 0;

		if (!is_text(fdt, node, "device_type", "cpu") || !reg || (size != 4 && size != 8) ||
		    is_text(fdt, node, "status", "disabled") ||
		    !is_text(fdt, node, "enable-method", "psci"))
			continue;
		for (int i = 0; i < size / 4; i++)
			id = id << 32 | fdt32_to_cpu(reg[i]);
		if (id != mpidr && count < max)
			ids[count++] = id;
	}
	return count;
}

/* ---- either ---- */

u32 cpu_find(const void *rsdp, const void *fdt, u64 mpidr, u64 *ids, u32 max)
{
	const u8 *madt = rsdp ? acpi_find_table(rsdp, "APIC") : NULL;

	mpidr &= MPIDR_AFFINITY;
	if (madt)
		return from_acpi(madt, mpidr, ids, max);
	return fdt && !fdt_check_header(fdt) ? from_fdt(fdt, mpidr, ids, max) : 0;
}

bool cpu_find_psci(const void *rsdp, const void *fdt)
{
	const u8 *fadt = rsdp ? acpi_find_table(rsdp, "FACP") : NULL;
	int node;

	if (fadt)
		return acpi_get(fadt + 4, 4) >= FADT_ARM_BOOT + 2 &&
		       (acpi_get(fadt + FADT_ARM_BOOT, 2) &
			(FADT_ARM_BOOT_PSCI | FADT_ARM_BOOT_HVC)) == FADT_ARM_BOOT_PSCI;
	if (!fdt || fdt_check_header(fdt))
		return false;
	node = fdt_path_offset(fdt, "/psci");
	return node >= 0 && is_text(fdt, node, "method", "smc");
}
