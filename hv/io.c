/* SPDX-License-Identifier: MIT */
#include <hv/io.h>

void io_bus_init(struct io_bus *bus)
{
	for (u32 space = 0; space < IO_SPACE_COUNT; space++) {
		bus->count[space] = 0;
		bus->last[space] = 0;
	}
}

enum hv_error io_register(struct io_bus *bus, const struct io_region *region)
{
	struct io_region *table;
	u64 end = region->base + (region->length - 1); /* inclusive */
	u32 count, at;

	if (!region->length || end < region->base || !region->handler ||
	    (u32)region->space >= IO_SPACE_COUNT)
		return HV_EINVALID;
	table = bus->regions[region->space];
	count = bus->count[region->space];
	for (at = 0; at < count && table[at].base <= end; at++)
		if (table[at].base + (table[at].length - 1) >= region->base)
			return HV_EEXISTS;
	if (count == IO_REGION_MAX)
		return HV_ENO_SPACE;
	for (u32 i = count; i > at; i--)
		table[i] = table[i - 1];
	table[at] = *region;
	if (!table[at].size_min)
		table[at].size_min = 1;
	if (!table[at].size_max)
		table[at].size_max = 8;
	bus->count[region->space] = count + 1;
	return HV_OK;
}

enum hv_error io_register_all(struct io_bus *bus, const struct io_region *regions, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		enum hv_error err = io_register(bus, &regions[i]);

		if (err)
			return err;
	}
	return HV_OK;
}

static bool inside(const struct io_region *region, u64 addr)
{
	return addr - region->base < region->length;
}

/* Index of the region of @space that covers @addr, or IO_REGION_MAX. */
static u32 find(const struct io_bus *bus, enum io_space space, u64 addr)
{
	const struct io_region *table = bus->regions[space];
	u32 low = 0;
	u32 high = bus->count[space];

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (inside(&table[middle], addr))
			return middle;
		if (table[middle].base > addr)
			high = middle;
		else
			low = middle + 1;
	}
	return IO_REGION_MAX;
}

static u64 size_mask(u8 size)
{
	return size >= 8 ? UINT64_MAX : ((u64)1 << size * 8) - 1;
}

static bool acceptable(const struct io_region *region, u64 addr, const struct io_access *access)
{
	u8 size = access->size;

	if (size < region->size_min || size > region->size_max || (size & (size - 1)))
		return false;
	if (!region->unaligned && (addr & (size - 1u)))
		return false;
	return region->length - access->offset >= size;
}

enum io_result io_dispatch(struct io_bus *bus, enum io_space space, u64 addr,
			   struct io_access *access)
{
	const struct io_region *region;
	u64 mask = size_mask(access->size);
	u32 at = bus->last[space];
	enum io_result result;

	if (at >= bus->count[space] || !inside(&bus->regions[space][at], addr)) {
		at = find(bus, space, addr);
		if (at == IO_REGION_MAX) {
			access->offset = 0;
			if (space == IO_REG)
				return IO_FAULT;
			if (!access->is_write)
				access->value = mask;
			return IO_DONE;
		}
		bus->last[space] = at;
	}
	region = &bus->regions[space][at];
	access->offset = addr - region->base;
	/* Each number of a register space is a whole register, so length and alignment are moot. */
	if (space != IO_REG && !acceptable(region, addr, access)) {
		if (!access->is_write)
			access->value = mask;
		return IO_DONE;
	}
	access->value = access->is_write ? access->value & mask : 0;
	result = region->handler(region->ctx, access);
	if (!access->is_write)
		access->value &= mask;
	return result;
}

bool io_covers(const struct io_bus *bus, enum io_space space, u64 addr)
{
	return find(bus, space, addr) != IO_REGION_MAX;
}
