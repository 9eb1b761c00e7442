/* SPDX-License-Identifier: MIT */
/*
 * The devicetree of a guest, as a flattened one (Devicetree Specification 0.4, chapter 5). What a
 * node says is what its binding in Linux's Documentation/devicetree/bindings asks for.
 */
#ifndef GUEST_FDT_H
#define GUEST_FDT_H

#include <guest/range.h>
#include <hv/error.h>

/* Memory that is one device's alone: no page of any size that a guest may use holds more. */
#define FDT_DEVICE_PAGE KIB(64)

/* Arm ARM, MPIDR_EL1: the affinity fields. */
#define FDT_MPIDR_AFFINITY 0xff00ffffffULL

/* The architected timers: Arm Base System Architecture (DEN0094), PPI assignments. */
#define FDT_INTID_TIMER_HYP    26
#define FDT_INTID_TIMER_VIRT   27
#define FDT_INTID_TIMER_SECURE 29
#define FDT_INTID_TIMER_PHYS   30

/* Where EFI's tables are, which have the rest: see guest/efi.h. */
struct fdt_efi {
	u64 system_table;
	struct guest_range memory_map;
	u32 descriptor_size;
	u32 descriptor_version;
};

/* Interrupts are given by INTID: 32 and up are shared ones (SPI). */
struct fdt_machine {
	const struct guest_range *ram; /* sorted; kernels are loaded into the first */
	u32 ram_count;
	const u64 *mpidrs; /* of each CPU; only the affinity fields are used */
	u32 cpu_count;
	u32 gic_version; /* 2 or 3 */
	struct guest_range gicd;
	struct guest_range gicc; /* version 2 */
	struct guest_range gicr; /* version 3: the redistributors of all CPUs */
	struct guest_range uart; /* a PL011 */
	u32 uart_intid;
	struct guest_range testdev; /* length 0: none */
	bool vmgenid;               /* the members below hold */
	gpa_t vmgenid_address;      /* in memory of its own, VMGENID's 64 KiB, not part of RAM */
	u32 vmgenid_intid;
	struct guest_range vmclock; /* likewise; length 0: none */
	u32 vmclock_intid;
	const char *cmdline; /* NULL: empty */
	const u8 *rng_seed;  /* drawn anew for every boot; NULL: none */
	size_t rng_seed_length;
	struct guest_range initrd; /* length 0: none */
	const struct fdt_efi *efi; /* nothing but this, and how to boot, is described; NULL: all */
};

/*
 * Writes the devicetree of @machine to @buf, which has @room bytes; *@used is how many it takes.
 * HV_EINVALID when the machine can't be described, HV_ENO_SPACE when the room is too small; each is
 * told in a log line.
 */
HV_MUST_CHECK enum hv_error fdt_build(const struct fdt_machine *machine, void *buf, size_t room,
				      size_t *used);

#endif
