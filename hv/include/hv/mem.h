/* SPDX-License-Identifier: MIT */
/*
 * Guest memory as a device sees it: copied in and out by guest-physical address, never mapped.
 * And the VM's resource allocator, which gives a device memory of its own and an interrupt line.
 */
#ifndef HV_MEM_H
#define HV_MEM_H

#include <hv/error.h>
#include <hv/irq.h>
#include <hv/types.h>

struct guest_mem {
	enum hv_error (*read)(void *ctx, gpa_t from, void *buf, size_t length);
	enum hv_error (*write)(void *ctx, gpa_t to, const void *buf, size_t length);
	/*
	 * Makes what was written visible to a guest that reads with caches off or through a
	 * Device mapping (arm64: clean to the point of coherency); nothing on x86_64.
	 */
	void (*clean)(void *ctx, gpa_t from, size_t length);
	void *ctx;
};

/* HV_ENOT_FOUND when any byte is not the guest's memory, HV_ENO_MEMORY when none is left. */
HV_MUST_CHECK static inline enum hv_error guest_read(const struct guest_mem *mem, gpa_t from,
						     void *buf, size_t length)
{
	return mem->read(mem->ctx, from, buf, length);
}

HV_MUST_CHECK static inline enum hv_error guest_write(const struct guest_mem *mem, gpa_t to,
						      const void *buf, size_t length)
{
	return mem->write(mem->ctx, to, buf, length);
}

static inline void guest_clean(const struct guest_mem *mem, gpa_t from, size_t length)
{
	mem->clean(mem->ctx, from, length);
}

struct resources {
	/*
	 * Memory for one device alone: reserved in the guest's memory map, zeroed, in whole units
	 * of the architecture (4 KiB on x86_64, 64 KiB on arm64) and aligned to them.
	 */
	enum hv_error (*alloc_memory)(void *ctx, u64 bytes, gpa_t *base);
	/* A free interrupt line for an edge. Its number is line->number. */
	enum hv_error (*alloc_line)(void *ctx, struct irq_line *line);
	/* The line @number, for a device that is told which it has. */
	enum hv_error (*get_line)(void *ctx, u32 number, struct irq_line *line);
	void *ctx;
};

#endif
