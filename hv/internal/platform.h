/* SPDX-License-Identifier: MIT */
/*
 * What the machines of all architectures are made of in the same way: the resource allocator, the
 * files of the configuration, VMGenID, VMClock, the test device. Firmware context only.
 */
#ifndef HV_PLATFORM_H
#define HV_PLATFORM_H

#include <guest/boot.h>
#include <internal/vm.h>

struct testdev;
struct vmclock;

/* What the resource allocator may give out: constant, one for each architecture. */
struct platform_map {
	u64 memory_base, memory_end; /* guest-physical, in units of arch_device_page() */
	u32 line_base, line_end;     /* interrupt lines, for devices that have an edge to tell */
	struct irq_line (*line)(struct vm *vm, u32 number);
};

/* Makes vm->resources give out what is in @map, which is kept. */
void platform_init(struct vm *vm, const struct platform_map *map);

/*
 * Opens the file @path of the volume that anew came from; @what names the key of anew.conf that it
 * stands behind. @path is kept in @file. HV_ENOT_FOUND, HV_EIO after a log line.
 */
HV_MUST_CHECK enum hv_error platform_open_file(const struct vm *vm, const char *what, char *path,
					       struct boot_file *file);

/* Makes @dev the VM's VMGenID, with memory and line of the allocator. After a log line if not. */
HV_MUST_CHECK enum hv_error platform_add_genid(struct vm *vm, struct vmgenid *dev);
/* The same for its VMClock. */
HV_MUST_CHECK enum hv_error platform_add_clock(struct vm *vm, struct vmclock *dev);

/* Makes @dev the VM's test device, with its window at @base. */
HV_MUST_CHECK enum hv_error platform_add_testdev(struct vm *vm, struct testdev *dev, u64 base);

#endif
