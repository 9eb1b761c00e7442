/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables of a guest. The AML in them is what iasl made of the .asl files; only integers
 * with a name are changed when a machine is built.
 */
#ifndef GUEST_ACPI_H
#define GUEST_ACPI_H

#include <guest/range.h>
#include <hv/error.h>
#include <hv/mem.h>
#include <hv/types.h>

/* SLEEP_CONTROL_REG (ACPI 6.5, 4.8.3.7); the type is the one that \_S5 names. */
#define ACPI_SLEEP_TYPE_SHIFT 2
#define ACPI_SLEEP_TYPE_MASK  0x1c
#define ACPI_SLEEP_ENABLE     0x20
#define ACPI_SLEEP_TYPE_S5    5

/* Devices in memory of their own that tell of a change by an interrupt. */
struct acpi_told {
	bool vmgenid; /* the two members below hold */
	gpa_t vmgenid_address;
	u32 vmgenid_gsi;
	struct guest_range vmclock; /* length 0: none */
	u32 vmclock_gsi;
};

/* An x86_64 machine. */
struct acpi_machine {
	u32 cpu_count;          /* local APIC ids 0 to cpu_count - 1 */
	u64 lapic_base;         /* below 4 GiB */
	u64 ioapic_base;        /* below 4 GiB; its inputs are GSI 0 and up */
	u16 sleep_control_port; /* 8 bits wide, as the two others */
	u16 sleep_status_port;
	u16 reset_port;
	u8 reset_value; /* written to reset_port: reboot */
	struct acpi_told told;
};

/*
 * Writes the tables to guest memory from @base (a multiple of 16; to be found by scanning, within
 * 0xe0000 to 0xfffff) on, at most @room bytes. *@rsdp is where the root pointer is, which is @base,
 * and *@used how many bytes were taken. HV_EINVALID, HV_ENO_SPACE or what guest_write() says; each
 * is told in a log line.
 */
HV_MUST_CHECK enum hv_error acpi_build(const struct acpi_machine *machine,
				       const struct guest_mem *mem, gpa_t base, u64 room,
				       gpa_t *rsdp, u64 *used);

struct fdt_machine;

/*
 * The same for an arm64 machine, whose tables may be anywhere; its GSIs are the INTIDs. @machine is
 * what its devicetree would be made of.
 */
HV_MUST_CHECK enum hv_error acpi_build_arm64(const struct fdt_machine *machine,
					     const struct guest_mem *mem, gpa_t base, u64 room,
					     u64 *used);

/*
 * Sets the 32-bit integer called @name (4 characters) in @aml to @value. Checksums are left as they
 * are. HV_ENOT_FOUND without such a name, HV_EEXISTS when there is more than one; nothing is
 * changed then.
 */
HV_MUST_CHECK enum hv_error acpi_patch_u32(u8 *aml, size_t length, const char *name, u32 value);

#endif
