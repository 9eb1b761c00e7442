/* SPDX-License-Identifier: MIT */
/*
 * The bus: what a guest's access to a device looks like, the same for memory-mapped I/O, port I/O
 * and registers (MSRs on x86_64, system registers on arm64).
 *
 * A device registers regions; the bus finds the region, polices size, alignment and bounds, and
 * calls the handler with an offset relative to the region. An access that no region takes is
 * answered by the bus, as its `nobody` says for each space: with a fault, or reads give all ones
 * and writes are dropped.
 */
#ifndef HV_IO_H
#define HV_IO_H

#include <hv/error.h>
#include <hv/types.h>

enum io_space {
	IO_MMIO,
	IO_PIO,
	IO_REG,
};
#define IO_SPACE_COUNT 3

struct io_access {
	u64 offset;    /* relative to the region's base */
	u64 value;     /* in: what is written; out: what was read (upper bits beyond size are 0) */
	u32 vcpu;      /* index of the virtual CPU that makes the access */
	u8 size;       /* bytes: 1, 2, 4 or 8 */
	bool is_write; /* false: read */
};

enum io_result {
	IO_DONE,  /* handled */
	IO_FAULT, /* the guest gets a fault: #GP, external abort or undefined exception */
	IO_AGAIN, /* it needs guest memory that has to be fetched: the guest tries again then */
};

/*
 * Handles one access. @ctx is what the region was registered with. The value of a read is 0
 * beforehand, and of what it is afterwards the bus takes access->size bytes.
 */
typedef enum io_result (*io_handler)(void *ctx, struct io_access *access);

struct io_region {
	const char *name; /* for messages; outlives the bus */
	enum io_space space;
	u8 size_min;    /* bytes; 0 means 1 */
	u8 size_max;    /* bytes; 0 means 8. A wrong size reads as all ones, writes are dropped */
	bool unaligned; /* accesses that aren't aligned to their size are passed on too */
	/* Set by io_register(): bit n, any aligned access of n bytes is passed on. */
	u16 sizes;
	u64 base;
	u64 length;
	io_handler handler;
	void *ctx;
};

#define IO_REGION_MAX 48

/* One guest's bus. [c] constant once the guest runs: regions are only added before. */
struct io_bus {
	u32 count[IO_SPACE_COUNT];
	/* The answer where no region is; IO_DONE but for registers, until the machine says else. */
	enum io_result nobody[IO_SPACE_COUNT];
	/* Whose the last access of the space was: mostly the next one's, too. */
	const struct io_region *last[IO_SPACE_COUNT];
	struct io_region regions[IO_SPACE_COUNT][IO_REGION_MAX]; /* sorted by base */
};

void io_bus_init(struct io_bus *bus);

/*
 * Adds a copy of @region. HV_EINVALID for an empty or wrapping region, HV_EEXISTS when it overlaps
 * another of the same space, HV_ENO_SPACE when the table is full.
 */
HV_MUST_CHECK enum hv_error io_register(struct io_bus *bus, const struct io_region *region);

/* io_register() for @count of them, up to the first that fails. */
HV_MUST_CHECK enum hv_error io_register_all(struct io_bus *bus, const struct io_region *regions,
					    u32 count);

static inline bool io_inside(const struct io_region *region, u64 addr)
{
	return addr - region->base < region->length;
}

/* The bits of an access of @size bytes, 1 to 8. */
static inline u64 io_size_mask(u8 size)
{
	return UINT64_MAX >> (-8u * size % 64);
}

/* io_acceptable() of what is not aligned, or of a size that a region may not be made up of. */
bool io_acceptable_far(const struct io_region *region, u64 addr, const struct io_access *access);

static inline bool io_acceptable(const struct io_region *region, u64 addr,
				 const struct io_access *access)
{
	u64 size = access->size;

	if (size <= 8 && region->sizes >> size & 1 && !(addr & (size - 1)))
		return true;
	return io_acceptable_far(region, addr, access);
}

/* io_dispatch() where the region is another than last time, or none. */
enum io_result io_dispatch_far(struct io_bus *bus, enum io_space space, u64 addr,
			       struct io_access *access);

/*
 * Carries out @access at address @addr of @space (access->offset is set here). The value of a read
 * comes back cut to access->size.
 */
static inline enum io_result io_dispatch(struct io_bus *bus, enum io_space space, u64 addr,
					 struct io_access *access)
{
	const struct io_region *region = bus->last[space];
	enum io_result result;

	if (!io_inside(region, addr))
		return io_dispatch_far(bus, space, addr, access);
	access->offset = addr - region->base;
	/* Each number of a register space is a whole register, so length and alignment are moot. */
	if (space != IO_REG && !io_acceptable(region, addr, access)) {
		if (!access->is_write)
			access->value = io_size_mask(access->size);
		return IO_DONE;
	}
	if (access->is_write) {
		access->value &= io_size_mask(access->size);
		return region->handler(region->ctx, access);
	}
	access->value = 0;
	result = region->handler(region->ctx, access);
	access->value &= io_size_mask(access->size);
	return result;
}

/* Whether the region that the last access of @space went to covers @addr: a short question. */
static inline bool io_covers_again(const struct io_bus *bus, enum io_space space, u64 addr)
{
	return io_inside(bus->last[space], addr);
}

/* Whether any region of @space covers @addr. */
bool io_covers(const struct io_bus *bus, enum io_space space, u64 addr);

#endif
