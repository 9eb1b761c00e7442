/* SPDX-License-Identifier: MIT */
/* Tables of a firmware for Arm, as tests want them. */
#ifndef ACPI_FAKES_H
#define ACPI_FAKES_H

#include <hv/types.h>
#include <string.h>

static inline u64 address(const void *ptr)
{
	return (u64)(uintptr_t)ptr;
}

static inline void put(u8 *at, u64 value, u32 bytes)
{
	memcpy(at, &value, bytes);
}

/* ACPI as firmware lays it out: RSDP, XSDT with two tables, FADT and MADT. */
struct acpi {
	u8 rsdp[36];
	u8 xsdt[36 + 16];
	u8 fadt[276];
	u8 madt[512];
	u32 madt_length;
};

static inline void acpi_begin(struct acpi *a)
{
	memset(a, 0, sizeof(*a));
	memcpy(a->rsdp, "RSD PTR ", 8);
	a->rsdp[15] = 2;
	put(a->rsdp + 24, address(a->xsdt), 8);
	memcpy(a->xsdt, "XSDT", 4);
	put(a->xsdt + 4, sizeof(a->xsdt), 4);
	put(a->xsdt + 36, address(a->fadt), 8);
	put(a->xsdt + 44, address(a->madt), 8);
	memcpy(a->fadt, "FACP", 4);
	put(a->fadt + 4, sizeof(a->fadt), 4);
	memcpy(a->madt, "APIC", 4);
	a->madt_length = 44;
	put(a->madt + 4, 44, 4);
}

static inline u8 *acpi_add(struct acpi *a, u8 type, u8 length)
{
	u8 *at = a->madt + a->madt_length;

	at[0] = type;
	at[1] = length;
	a->madt_length += length;
	put(a->madt + 4, a->madt_length, 4);
	return at;
}

static inline void acpi_add_cpu(struct acpi *a, u64 mpidr, u64 gicv, u64 gich, u64 gicr)
{
	u8 *at = acpi_add(a, 0xb, 80);

	put(at + 12, 1, 4); /* enabled */
	put(at + 32, 0x8010000, 8);
	put(at + 40, gicv, 8);
	put(at + 48, gich, 8);
	put(at + 56, 24, 4);
	put(at + 60, gicr, 8);
	put(at + 68, mpidr, 8);
}

#endif
