/* SPDX-License-Identifier: MIT */
/*
 * The bus: what a guest's access to a device looks like, the same for memory-mapped I/O, port I/O
 * and registers (MSRs on x86_64, system registers on arm64).
 *
 * A device registers regions; the bus finds the region, polices size, alignment and bounds, and
 * calls the handler with an offset relative to the region. An access that no region takes is
 * answered by the bus: reads give all ones and writes are dropped for MMIO and PIO, IO_FAULT for
 * registers.
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
};

/* Handles one access. @ctx is what the region was registered with. */
typedef enum io_result (*io_handler)(void *ctx, struct io_access *access);

struct io_region {
	const char *name; /* for messages; outlives the bus */
	enum io_space space;
	u8 size_min;    /* bytes; 0 means 1 */
	u8 size_max;    /* bytes; 0 means 8. A wrong size reads as all ones, writes are dropped */
	bool unaligned; /* accesses that aren't aligned to their size are passed on too */
	u64 base;
	u64 length;
	io_handler handler;
	void *ctx;
};

#define IO_REGION_MAX 48

/* One guest's bus. [c] constant once the guest runs: regions are only added before. */
struct io_bus {
	u32 count[IO_SPACE_COUNT];
	u32 last[IO_SPACE_COUNT]; /* where the last look-up ended; only a hint */
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

/*
 * Carries out @access at address @addr of @space (access->offset is set here). The value of a read
 * comes back cut to access->size.
 */
enum io_result io_dispatch(struct io_bus *bus, enum io_space space, u64 addr,
			   struct io_access *access);

/* Whether any region of @space covers @addr. */
bool io_covers(const struct io_bus *bus, enum io_space space, u64 addr);

#endif
