/* SPDX-License-Identifier: MIT */
/* The guest's memory map in the form of ACPI 6.5, 15.1 (INT 15h, E820h): what is RAM, what not. */
#ifndef GUEST_E820_H
#define GUEST_E820_H

#include <hv/error.h>
#include <hv/types.h>

/* ACPI 6.5, table 15.6. */
#define E820_RAM      1
#define E820_RESERVED 2
#define E820_ACPI     3
#define E820_NVS      4

#define E820_MAX 32

struct e820_entry {
	u64 base;
	u64 length; /* bytes */
	u32 type;
};

/* Sorted, without overlaps; neighbours of the same type are one entry. */
struct e820_map {
	struct e820_entry entries[E820_MAX];
	u32 count;
};

/*
 * Makes @map from @count ranges in any order. Where ranges overlap, whatever is not RAM takes the
 * place of RAM, and else the later one of the list holds. HV_EINVALID when a range goes past 2^64,
 * HV_ENO_SPACE when there are more than E820_MAX ranges or entries.
 */
HV_MUST_CHECK enum hv_error e820_build(struct e820_map *map, const struct e820_entry *ranges,
				       u32 count);

/* Whether all @length bytes at @base are RAM. */
bool e820_is_ram(const struct e820_map *map, u64 base, u64 length);

#endif
