/* SPDX-License-Identifier: MIT */
#include <internal/acpi.h>
#include <string.h>

u64 acpi_get(const u8 *at, u32 bytes)
{
	u64 value = 0;

	memcpy(&value, at, bytes);
	return value;
}

const u8 *acpi_find_table(const void *root, const char *signature)
{
	const u8 *rsdp = root, *xsdt;
	u64 length;

	if (memcmp(rsdp, "RSD PTR ", 8) || rsdp[15] < 2)
		return NULL;
	xsdt = (const u8 *)(uintptr_t)acpi_get(rsdp + 24, 8);
	if (!xsdt || memcmp(xsdt, "XSDT", 4))
		return NULL;
	length = acpi_get(xsdt + 4, 4);
	for (u64 at = ACPI_TABLE_HEADER; at + 8 <= length; at += 8) {
		const u8 *table = (const u8 *)(uintptr_t)acpi_get(xsdt + at, 8);

		if (table && !memcmp(table, signature, 4))
			return table;
	}
	return NULL;
}
