/* SPDX-License-Identifier: MIT */
#include <hv/io.h>

/* Covers nothing. */
static const struct io_region nowhere;

void io_bus_init(struct io_bus *bus)
{
	for (u32 space = 0; space < IO_SPACE_COUNT; space++) {
		bus->count[space] = 0;
		bus->last[space] = &nowhere;
		bus->nobody[space] = space == IO_REG ? IO_FAULT : IO_DONE;
	}
}

static bool takes(const struct io_region *region, u64 size)
{
	u64 max = region->size_max ? region->size_max : 8;

	return size && size >= region->size_min && size <= max && !(size & (size - 1));
}

/* Bit n: accesses of n bytes. */
#define ALL_SIZES (BIT(1) | BIT(2) | BIT(4) | BIT(8))

/* Those that a region is made up of, so that no aligned access reaches beyond its end. */
static u16 sizes_of(const struct io_region *region)
{
	u64 parts = region->base | region->length;
	u64 most = min_u64(region->size_max ? region->size_max : 8, parts & -parts);
	u32 up_to_most = ((u32)2 << most) - 1, below_least = ((u32)1 << region->size_min) - 1;

	return (u16)(ALL_SIZES & up_to_most & ~below_least);
}

bool io_acceptable_far(const struct io_region *region, u64 addr, const struct io_access *access)
{
	u64 size = access->size;

	if (!takes(region, size))
		return false;
	if (!region->unaligned && (addr & (size - 1)))
		return false;
	return region->length - access->offset >= size;
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
	/* From the end: mostly they come in order. */
	for (at = count; at && table[at - 1].base > end; at--)
		;
	if (at && table[at - 1].base + (table[at - 1].length - 1) >= region->base)
		return HV_EEXISTS;
	if (count == IO_REGION_MAX)
		return HV_ENO_SPACE;
	for (u32 i = count; i > at; i--)
		table[i] = table[i - 1];
	table[at] = *region;
	table[at].sizes = sizes_of(region);
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

/* The region of @space that covers @addr, or NULL. */
static const struct io_region *find(const struct io_bus *bus, enum io_space space, u64 addr)
{
	const struct io_region *table = bus->regions[space];
	u32 low = 0;
	u32 high = bus->count[space];

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (io_inside(&table[middle], addr))
			return &table[middle];
		if (table[middle].base > addr)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

enum io_result io_dispatch_far(struct io_bus *bus, enum io_space space, u64 addr,
			       struct io_access *access)
{
	const struct io_region *region = find(bus, space, addr);

	if (region) {
		bus->last[space] = region;
		return io_dispatch(bus, space, addr, access);
	}
	access->offset = 0;
	if (!access->is_write && bus->nobody[space] == IO_DONE)
		access->value = io_size_mask(access->size);
	return bus->nobody[space];
}

bool io_covers(const struct io_bus *bus, enum io_space space, u64 addr)
{
	return find(bus, space, addr);
}
