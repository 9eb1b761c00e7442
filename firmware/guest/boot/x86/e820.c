/* SPDX-License-Identifier: MIT */
#include <guest/e820.h>

static void sort(u64 *values, u32 count)
{
	for (u32 i = 1; i < count; i++) {
		u64 value = values[i];
		u32 at = i;

		for (; at > 0 && values[at - 1] > value; at--)
			values[at] = values[at - 1];
		values[at] = value;
	}
}

/* The type that holds at @address, 0 when no range covers it. */
static u32 type_at(const struct e820_entry *ranges, u32 count, u64 address)
{
	u32 type = 0;

	for (u32 i = 0; i < count; i++) {
		if (address < ranges[i].base || address - ranges[i].base >= ranges[i].length)
			continue;
		if (ranges[i].type != E820_RAM || type == 0)
			type = ranges[i].type;
	}
	return type;
}

enum hv_error e820_build(struct e820_map *map, const struct e820_entry *ranges, u32 count)
{
	u64 edges[2 * E820_MAX];
	u32 edge_count = 0;

	map->count = 0;
	if (count > E820_MAX)
		return HV_ENO_SPACE;
	for (u32 i = 0; i < count; i++) {
		if (ranges[i].length > UINT64_MAX - ranges[i].base)
			return HV_EINVALID;
		edges[edge_count++] = ranges[i].base;
		edges[edge_count++] = ranges[i].base + ranges[i].length;
	}
	sort(edges, edge_count);

	for (u32 i = 0; i + 1 < edge_count; i++) {
		u64 base = edges[i];
		u64 length = edges[i + 1] - base;
		u32 type = type_at(ranges, count, base);
		struct e820_entry *last = map->count > 0 ? &map->entries[map->count - 1] : NULL;

		if (length == 0 || type == 0)
			continue;
		if (last && last->type == type && last->base + last->length == base) {
			last->length += length;
			continue;
		}
		if (map->count == E820_MAX)
			return HV_ENO_SPACE;
		map->entries[map->count++] = (struct e820_entry){base, length, type};
	}
	return HV_OK;
}

bool e820_is_ram(const struct e820_map *map, u64 base, u64 length)
{
	for (u32 i = 0; i < map->count; i++) {
		const struct e820_entry *entry = &map->entries[i];

		if (entry->type != E820_RAM || base < entry->base ||
		    base - entry->base >= entry->length)
			continue;
		return length <= entry->length - (base - entry->base);
	}
	return false;
}
