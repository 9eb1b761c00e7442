/* SPDX-License-Identifier: MIT */
/* The tables of an x86_64 guest. Section numbers are those of the ACPI specification 6.5. */
#include <hv/log.h>
#include <string.h>

#include "dsdt_x86_aml.h"
#include "table.h"

#define FADT_MINOR   5
#define FADT_CENTURY 0x32 /* CMOS RAM; also what Linux assumes */

/* Table 5.10: flags. */
#define FADT_WBINVD        BIT(0)
#define FADT_PROC_C1       BIT(2)
#define FADT_FIX_RTC       BIT(6) /* no RTC wake status in fixed registers */
#define FADT_RESET_REG_SUP BIT(10)
#define FADT_FLAGS                                                                                 \
	((u32)(FADT_WBINVD | FADT_PROC_C1 | ACPI_FADT_PWR_BUTTON | ACPI_FADT_SLP_BUTTON |          \
	       FADT_FIX_RTC | FADT_RESET_REG_SUP | ACPI_FADT_HEADLESS | ACPI_FADT_HW_REDUCED))

/*
 * Table 5.11: IAPC_BOOT_ARCH. 8042 (bit 1) clear: none; MSI not supported (bit 3) clear: it is;
 * CMOS RTC not present (bit 5) clear: there is one.
 */
#define BOOT_ARCH_NO_VGA BIT(2)

/* 5.2.12: multiple APIC description table. */
struct madt {
	struct acpi_header header;
	u32 lapic;
	u32 flags; /* PCAT_COMPAT (bit 0) clear: no 8259 */
} PACKED;
static_assert(sizeof(struct madt) == 44, "MADT");

/* 5.2.12.2 */
struct madt_lapic {
	u8 type;
	u8 length;
	u8 uid;
	u8 id;
	u32 flags;
} PACKED;
static_assert(sizeof(struct madt_lapic) == 8, "local APIC");

/* 5.2.12.3 */
struct madt_ioapic {
	u8 type;
	u8 length;
	u8 id;
	u8 reserved;
	u32 address;
	u32 gsi_base;
} PACKED;
static_assert(sizeof(struct madt_ioapic) == 12, "I/O APIC");

/* 5.2.12.12 */
struct madt_x2apic {
	u8 type;
	u8 length;
	u16 reserved;
	u32 id;
	u32 flags;
	u32 uid;
} PACKED;
static_assert(sizeof(struct madt_x2apic) == 16, "local x2APIC");

#define MADT_TYPE_LAPIC  0
#define MADT_TYPE_IOAPIC 1
#define MADT_TYPE_X2APIC 9
#define LAPIC_ID_COUNT   255 /* id 255 is the broadcast of xAPIC */

static struct acpi_gas io_byte(u16 port)
{
	return (struct acpi_gas){
		.space = ACPI_SPACE_IO,
		.bit_width = 8,
		.access = ACPI_ACCESS_BYTE,
		.address = port,
	};
}

static u64 put_fadt(struct acpi_writer *w, const struct acpi_machine *machine, u64 dsdt)
{
	struct acpi_fadt fadt = {
		.header = acpi_header("FACP", ACPI_FADT_REVISION, sizeof(fadt)),
		.dsdt = dsdt <= UINT32_MAX ? (u32)dsdt : 0,
		.century = FADT_CENTURY,
		.boot_arch = BOOT_ARCH_NO_VGA,
		.flags = FADT_FLAGS,
		.reset = io_byte(machine->reset_port),
		.reset_value = machine->reset_value,
		.minor = FADT_MINOR,
		.x_dsdt = dsdt,
		.sleep_control = io_byte(machine->sleep_control_port),
		.sleep_status = io_byte(machine->sleep_status_port),
		.hypervisor = "ANEW",
	};
	u64 table = acpi_begin(w);

	acpi_put(w, &fadt, sizeof(fadt));
	acpi_finish(w);
	return table;
}

static u64 put_madt(struct acpi_writer *w, const struct acpi_machine *machine)
{
	u32 lapics = (u32)min_u64(machine->cpu_count, LAPIC_ID_COUNT);
	u64 length = sizeof(struct madt) + sizeof(struct madt_ioapic) +
		     lapics * sizeof(struct madt_lapic) +
		     (u64)(machine->cpu_count - lapics) * sizeof(struct madt_x2apic);
	struct madt madt = {
		.header = acpi_header("APIC", ACPI_MADT_REVISION, length),
		.lapic = (u32)machine->lapic_base,
	};
	struct madt_ioapic ioapic = {
		.type = MADT_TYPE_IOAPIC,
		.length = sizeof(ioapic),
		.address = (u32)machine->ioapic_base,
	};
	u64 table = acpi_begin(w);

	if (w->err == HV_OK && length > w->end - w->next)
		w->err = HV_ENO_SPACE;
	acpi_put(w, &madt, sizeof(madt));
	for (u32 id = 0; id < machine->cpu_count && w->err == HV_OK; id++) {
		struct madt_lapic lapic = {
			.type = MADT_TYPE_LAPIC,
			.length = sizeof(lapic),
			.uid = (u8)id,
			.id = (u8)id,
			.flags = ACPI_MADT_ENABLED,
		};
		struct madt_x2apic x2apic = {
			.type = MADT_TYPE_X2APIC,
			.length = sizeof(x2apic),
			.id = id,
			.flags = ACPI_MADT_ENABLED,
			.uid = id,
		};

		if (id < lapics)
			acpi_put(w, &lapic, sizeof(lapic));
		else
			acpi_put(w, &x2apic, sizeof(x2apic));
	}
	acpi_put(w, &ioapic, sizeof(ioapic));
	acpi_finish(w);
	return table;
}

enum hv_error acpi_build(const struct acpi_machine *machine, const struct guest_mem *mem,
			 gpa_t base, u64 room, gpa_t *rsdp, u64 *used)
{
	const struct acpi_aml dsdt = {dsdt_x86_aml, sizeof(dsdt_x86_aml)};
	struct acpi_writer w;
	u64 tables[2 + ACPI_TOLD_TABLES];
	u32 count = 0;
	enum hv_error err;

	if (machine->cpu_count == 0 || machine->lapic_base > UINT32_MAX ||
	    machine->ioapic_base > UINT32_MAX) {
		log_error("ACPI tables: an address or a count of the machine can't be described");
		return HV_EINVALID;
	}
	err = acpi_open(&w, mem, base, room);
	if (err)
		return err;
	tables[count++] = put_fadt(&w, machine, acpi_put_aml(&w, dsdt, NULL, 0));
	tables[count++] = put_madt(&w, machine);
	acpi_put_told(&w, &machine->told, tables, &count);
	err = acpi_close(&w, base, tables, count, machine->cpu_count, used);
	if (!err)
		*rsdp = base;
	return err;
}
