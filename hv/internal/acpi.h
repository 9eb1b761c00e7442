/* SPDX-License-Identifier: MIT */
/* The tables of the firmware that anew stands on, as far as an architecture asks them something. */
#ifndef HV_ACPI_H
#define HV_ACPI_H

#include <hv/types.h>

#define ACPI_TABLE_HEADER 36 /* bytes; the length of all is at offset 4. ACPI 6.5 section 5.2.6 */

/*
 * The table with this @signature (4 characters) that the XSDT of @rsdp names, NULL without one.
 * ACPI 6.5, sections 5.2.5 and 5.2.8.
 */
const u8 *acpi_find_table(const void *rsdp, const char *signature);

/* @bytes little-endian bytes at @at: tables are packed, and may be at any address. */
u64 acpi_get(const u8 *at, u32 bytes);

#endif
