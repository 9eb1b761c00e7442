/* SPDX-License-Identifier: MIT */
/*
 * The tables of an arm64 guest (Arm Base Boot Requirements, DEN0044, chapter 8). Section numbers
 * are those of the ACPI specification 6.4.
 */
#include <guest/fdt.h>
#include <hv/log.h>
#include <string.h>

#include "dsdt_arm64_aml.h"
#include "table.h"

#define CPU_MAX 16 /* processors in dsdt_arm64.asl */

#define FADT_MINOR 4
#define FADT_FLAGS                                                                                 \
	((u32)(ACPI_FADT_PWR_BUTTON | ACPI_FADT_SLP_BUTTON | ACPI_FADT_HEADLESS |                  \
	       ACPI_FADT_HW_REDUCED))

/* Table 5.11: ARM_BOOT_ARCH. */
#define ARM_BOOT_PSCI     BIT(0)
#define ARM_BOOT_PSCI_HVC BIT(1)

/* 5.2.12: multiple APIC description table. */
struct madt {
	struct acpi_header header;
	u32 local_address;
	u32 flags;
} PACKED;
static_assert(sizeof(struct madt) == 44, "MADT");

/* 5.2.12.14: GIC CPU interface. */
struct madt_gicc {
	u8 type;
	u8 length;
	u16 reserved0;
	u32 number;
	u32 uid;
	u32 flags;
	u32 parking_version;
	u32 performance_gsi;
	u64 parked_address;
	u64 base; /* GICv2 */
	u64 gicv;
	u64 gich;
	u32 maintenance_gsi;
	u64 gicr;
	u64 mpidr;
	u8 efficiency;
	u8 reserved1;
	u16 spe_gsi;
} PACKED;
static_assert(sizeof(struct madt_gicc) == 80, "GICC");
static_assert(offsetof(struct madt_gicc, mpidr) == 68, "GICC.MPIDR");

/* 5.2.12.15: GIC distributor. */
struct madt_gicd {
	u8 type;
	u8 length;
	u16 reserved0;
	u32 id;
	u64 base;
	u32 vector_base;
	u8 version;
	u8 reserved1[3];
} PACKED;
static_assert(sizeof(struct madt_gicd) == 24, "GICD");

/* 5.2.12.17: GIC redistributors. */
struct madt_gicr {
	u8 type;
	u8 length;
	u16 reserved;
	u64 base;
	u32 range;
} PACKED;
static_assert(sizeof(struct madt_gicr) == 16, "GICR");

#define MADT_TYPE_GICC 11
#define MADT_TYPE_GICD 12
#define MADT_TYPE_GICR 14

/* 5.2.24: generic timer description table, revision 3. */
struct timer_interrupt {
	u32 gsi;
	u32 flags;
} PACKED;

struct gtdt {
	struct acpi_header header;
	u64 control_base;
	u32 reserved;
	struct timer_interrupt secure;
	struct timer_interrupt physical;
	struct timer_interrupt virtual;
	struct timer_interrupt hypervisor;
	u64 read_base;
	u32 platform_timers;
	u32 platform_timer_offset;
	struct timer_interrupt virtual_hypervisor;
} PACKED;
static_assert(sizeof(struct gtdt) == 104, "GTDT");
static_assert(offsetof(struct gtdt, read_base) == 80, "GTDT.CntReadBase");

#define GTDT_REVISION  3
#define GTDT_NO_BASE   UINT64_MAX
#define GTDT_ALWAYS_ON BIT(2) /* bits 0 and 1 clear: level-triggered, active high */

/* Serial port console redirection table, revision 2 (Microsoft, version 1.03). */
struct spcr {
	struct acpi_header header;
	u8 interface;
	u8 reserved0[3];
	struct acpi_gas base;
	u8 interrupt_type;
	u8 irq;
	u32 gsi;
	u8 baud_rate;
	u8 parity;
	u8 stop_bits;
	u8 flow_control;
	u8 terminal;
	u8 reserved1;
	u16 pci_device;
	u16 pci_vendor;
	u8 pci_place[3];
	u32 pci_flags;
	u8 pci_segment;
	u32 reserved2;
} PACKED;
static_assert(sizeof(struct spcr) == 80, "SPCR");
static_assert(offsetof(struct spcr, pci_device) == 64, "SPCR.PciDeviceId");

#define SPCR_REVISION     2
#define SPCR_PL011        3
#define SPCR_GIC          BIT(3)
#define SPCR_BAUD_115200  7
#define SPCR_ONE_STOP_BIT 1
#define SPCR_ANSI         3
#define SPCR_NO_PCI       0xffff

static u64 put_dsdt(struct acpi_writer *w, const struct fdt_machine *m)
{
	const struct acpi_aml aml = {dsdt_arm64_aml, sizeof(dsdt_arm64_aml)};
	const struct acpi_patch patches[] = {
		{"CPUN", m->cpu_count},
		{"UADR", (u32)m->uart.base},
		{"UIRQ", m->uart_intid},
	};

	return acpi_put_aml(w, aml, patches, ARRAY_COUNT(patches));
}

static u64 put_fadt(struct acpi_writer *w, u64 dsdt)
{
	const struct acpi_fadt fadt = {
		.header = acpi_header("FACP", ACPI_FADT_REVISION, sizeof(fadt)),
		.flags = FADT_FLAGS,
		.arm_boot_arch = ARM_BOOT_PSCI | ARM_BOOT_PSCI_HVC,
		.minor = FADT_MINOR,
		.x_dsdt = dsdt,
		.hypervisor = "ANEW",
	};

	return acpi_put_table(w, &fadt, sizeof(fadt));
}

static void put_gicc(struct acpi_writer *w, const struct fdt_machine *m, u32 number)
{
	const struct madt_gicc gicc = {
		.type = MADT_TYPE_GICC,
		.length = sizeof(gicc),
		.number = number,
		.uid = number,
		.flags = ACPI_MADT_ENABLED,
		.base = m->gic_version == 2 ? m->gicc.base : 0,
		.mpidr = m->mpidrs[number] & FDT_MPIDR_AFFINITY,
	};

	acpi_put(w, &gicc, sizeof(gicc));
}

static u64 put_madt(struct acpi_writer *w, const struct fdt_machine *m)
{
	const struct madt_gicd gicd = {
		.type = MADT_TYPE_GICD,
		.length = sizeof(gicd),
		.base = m->gicd.base,
		.version = (u8)m->gic_version,
	};
	const struct madt_gicr gicr = {
		.type = MADT_TYPE_GICR,
		.length = sizeof(gicr),
		.base = m->gicr.base,
		.range = (u32)m->gicr.length,
	};
	size_t redistributors = m->gic_version == 3 ? sizeof(gicr) : 0;
	const struct madt madt = {
		.header = acpi_header("APIC", ACPI_MADT_REVISION,
				      sizeof(madt) + m->cpu_count * sizeof(struct madt_gicc) +
					      sizeof(gicd) + redistributors),
	};
	u64 table = acpi_begin(w);

	acpi_put(w, &madt, sizeof(madt));
	for (u32 i = 0; i < m->cpu_count; i++)
		put_gicc(w, m, i);
	acpi_put(w, &gicd, sizeof(gicd));
	acpi_put(w, &gicr, redistributors);
	acpi_finish(w);
	return table;
}

static struct timer_interrupt timer(u32 intid)
{
	return (struct timer_interrupt){intid, GTDT_ALWAYS_ON};
}

static u64 put_gtdt(struct acpi_writer *w)
{
	const struct gtdt gtdt = {
		.header = acpi_header("GTDT", GTDT_REVISION, sizeof(gtdt)),
		.control_base = GTDT_NO_BASE,
		.secure = timer(FDT_INTID_TIMER_SECURE),
		.physical = timer(FDT_INTID_TIMER_PHYS),
		.virtual = timer(FDT_INTID_TIMER_VIRT),
		.hypervisor = timer(FDT_INTID_TIMER_HYP),
		.read_base = GTDT_NO_BASE,
	};

	return acpi_put_table(w, &gtdt, sizeof(gtdt));
}

static u64 put_spcr(struct acpi_writer *w, const struct fdt_machine *m)
{
	const struct spcr spcr = {
		.header = acpi_header("SPCR", SPCR_REVISION, sizeof(spcr)),
		.interface = SPCR_PL011,
		.base = {.space = ACPI_SPACE_MEMORY,
			 .bit_width = 32,
			 .access = ACPI_ACCESS_DWORD,
			 .address = m->uart.base},
		.interrupt_type = SPCR_GIC,
		.gsi = m->uart_intid,
		.baud_rate = SPCR_BAUD_115200,
		.stop_bits = SPCR_ONE_STOP_BIT,
		.terminal = SPCR_ANSI,
		.pci_device = SPCR_NO_PCI,
		.pci_vendor = SPCR_NO_PCI,
	};

	return acpi_put_table(w, &spcr, sizeof(spcr));
}

enum hv_error acpi_build_arm64(const struct fdt_machine *machine, const struct guest_mem *mem,
			       gpa_t base, u64 room, u64 *used)
{
	const struct acpi_told told = {.vmgenid = machine->vmgenid,
				       .vmgenid_address = machine->vmgenid_address,
				       .vmgenid_gsi = machine->vmgenid_intid,
				       .vmclock = machine->vmclock,
				       .vmclock_gsi = machine->vmclock_intid};
	struct acpi_writer w;
	u64 tables[4 + ACPI_TOLD_TABLES];
	u32 count = 0;
	enum hv_error err;

	if (machine->cpu_count == 0 || machine->cpu_count > CPU_MAX ||
	    machine->uart.base > UINT32_MAX || machine->gicr.length > UINT32_MAX ||
	    (machine->gic_version != 2 && machine->gic_version != 3)) {
		log_error("ACPI tables: an address or a count of the machine can't be described "
			  "(%u CPUs, at most %u)",
			  machine->cpu_count, CPU_MAX);
		return HV_EINVALID;
	}
	err = acpi_open(&w, mem, base, room);
	if (err)
		return err;
	tables[count++] = put_fadt(&w, put_dsdt(&w, machine));
	tables[count++] = put_madt(&w, machine);
	tables[count++] = put_gtdt(&w);
	tables[count++] = put_spcr(&w, machine);
	acpi_put_told(&w, &told, tables, &count);
	return acpi_close(&w, base, tables, count, machine->cpu_count, used);
}
