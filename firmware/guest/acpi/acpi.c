/* SPDX-License-Identifier: MIT */
/* Section numbers are those of the ACPI specification 6.5. */
#include <guest/acpi.h>
#include <hv/log.h>
#include <string.h>

#include "dsdt_aml.h"
#include "ssdt_vmclock_aml.h"
#include "ssdt_vmgenid_aml.h"

#define PACKED __attribute__((packed))

#define TABLE_ALIGN 16

/* 5.2.3.2: generic address structure. */
struct gas {
	u8 space;
	u8 bit_width;
	u8 bit_offset;
	u8 access;
	u64 address;
} PACKED;
static_assert(sizeof(struct gas) == 12, "GAS");

#define GAS_SPACE_IO    1
#define GAS_ACCESS_BYTE 1

/* 5.2.5.3: root system description pointer. */
struct rsdp {
	char signature[8];
	u8 checksum; /* of the first 20 bytes */
	char oem_id[6];
	u8 revision;
	u32 rsdt;
	u32 length;
	u64 xsdt;
	u8 extended_checksum; /* of everything */
	u8 reserved[3];
} PACKED;
static_assert(sizeof(struct rsdp) == 36, "RSDP");

#define RSDP_OLD_LENGTH 20

/* 5.2.6: system description table header. */
struct header {
	char signature[4];
	u32 length;
	u8 revision;
	u8 checksum;
	char oem_id[6];
	char oem_table_id[8];
	u32 oem_revision;
	char creator_id[4];
	u32 creator_revision;
} PACKED;
static_assert(sizeof(struct header) == 36, "header");

/* 5.2.9: fixed ACPI description table, revision 6.5. */
struct fadt {
	struct header header;
	u32 firmware_ctrl;
	u32 dsdt;
	u8 reserved0;
	u8 pm_profile;
	u8 not_reduced_hardware[62]; /* SCI, SMI, PM1, PM2, timer, GPE, C states, clock */
	u8 century;
	u16 boot_arch;
	u8 reserved1;
	u32 flags;
	struct gas reset;
	u8 reset_value;
	u16 arm_boot_arch;
	u8 minor;
	u64 x_firmware_ctrl;
	u64 x_dsdt;
	struct gas x_not_reduced_hardware[8];
	struct gas sleep_control;
	struct gas sleep_status;
	char hypervisor[8];
} PACKED;
static_assert(sizeof(struct fadt) == 276, "FADT");
static_assert(offsetof(struct fadt, century) == 108, "FADT.CENTURY");
static_assert(offsetof(struct fadt, reset) == 116, "FADT.RESET_REG");
static_assert(offsetof(struct fadt, x_dsdt) == 140, "FADT.X_DSDT");
static_assert(offsetof(struct fadt, sleep_control) == 244, "FADT.SLEEP_CONTROL_REG");

#define FADT_REVISION 6
#define FADT_MINOR    5
#define FADT_CENTURY  0x32 /* CMOS RAM; also what Linux assumes */

/* Table 5.10: flags. */
#define FADT_WBINVD        BIT(0)
#define FADT_PROC_C1       BIT(2)
#define FADT_PWR_BUTTON    BIT(4) /* no fixed power button */
#define FADT_SLP_BUTTON    BIT(5) /* no fixed sleep button */
#define FADT_FIX_RTC       BIT(6) /* no RTC wake status in fixed registers */
#define FADT_RESET_REG_SUP BIT(10)
#define FADT_HEADLESS      BIT(12)
#define FADT_HW_REDUCED    BIT(20)
#define FADT_FLAGS                                                                                 \
	((u32)(FADT_WBINVD | FADT_PROC_C1 | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_FIX_RTC |     \
	       FADT_RESET_REG_SUP | FADT_HEADLESS | FADT_HW_REDUCED))

/*
 * Table 5.11: IAPC_BOOT_ARCH. 8042 (bit 1) clear: none; MSI not supported (bit 3) clear: it is;
 * CMOS RTC not present (bit 5) clear: there is one.
 */
#define BOOT_ARCH_NO_VGA BIT(2)

/* 5.2.12: multiple APIC description table. */
struct madt {
	struct header header;
	u32 lapic;
	u32 flags; /* PCAT_COMPAT (bit 0) clear: no 8259 */
} PACKED;
static_assert(sizeof(struct madt) == 44, "MADT");

#define MADT_REVISION 5
#define MADT_ENABLED  1

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

/* Writes one table after the other; after a failure it does nothing more. */
struct writer {
	const struct guest_mem *mem;
	u64 next; /* where the next byte goes */
	u64 end;
	u64 table; /* begun last */
	u8 sum;    /* of its bytes up to now */
	enum hv_error err;
};

static u8 sum_bytes(const void *data, size_t length)
{
	const u8 *bytes = data;
	u8 sum = 0;

	for (size_t i = 0; i < length; i++)
		sum = (u8)(sum + bytes[i]);
	return sum;
}

static void write_at(struct writer *w, u64 at, const void *data, size_t length)
{
	if (w->err != HV_OK)
		return;
	w->err = guest_write(w->mem, GPA(at), data, length);
	if (w->err == HV_OK)
		guest_clean(w->mem, GPA(at), length);
}

static void put(struct writer *w, const void *data, size_t length)
{
	if (w->err != HV_OK)
		return;
	if (length > w->end - w->next) {
		w->err = HV_ENO_SPACE;
		return;
	}
	write_at(w, w->next, data, length);
	w->sum = (u8)(w->sum + sum_bytes(data, length));
	w->next += length;
}

static u64 begin(struct writer *w)
{
	u64 table = ALIGN_UP(w->next, (u64)TABLE_ALIGN);

	if (w->err == HV_OK && table > w->end)
		w->err = HV_ENO_SPACE;
	if (w->err == HV_OK) {
		w->next = table;
		w->table = table;
		w->sum = 0;
	}
	return table;
}

/* All bytes of the table begun last were put, with a checksum of 0. */
static void finish(struct writer *w)
{
	u8 checksum = (u8)-w->sum;

	write_at(w, w->table + offsetof(struct header, checksum), &checksum, 1);
}

static struct header make_header(const char *signature, u8 revision, size_t length)
{
	struct header header = {
		.length = (u32)length,
		.revision = revision,
		.oem_id = "ANEW",
		.oem_table_id = "ANEW",
		.oem_revision = 1,
		.creator_id = {'A', 'N', 'E', 'W'},
		.creator_revision = 1,
	};

	memcpy(header.signature, signature, sizeof(header.signature));
	return header;
}

static struct gas io_byte(u16 port)
{
	return (struct gas){
		.space = GAS_SPACE_IO,
		.bit_width = 8,
		.access = GAS_ACCESS_BYTE,
		.address = port,
	};
}

/* A table as iasl made it, but for integers that may have been patched since. */
static u64 put_aml(struct writer *w, u8 *aml, size_t length)
{
	u64 table = begin(w);

	aml[offsetof(struct header, checksum)] = 0;
	put(w, aml, length);
	finish(w);
	return table;
}

static u64 put_dsdt(struct writer *w)
{
	u8 aml[sizeof(dsdt_aml)];

	memcpy(aml, dsdt_aml, sizeof(aml));
	return put_aml(w, aml, sizeof(aml));
}

/* An integer of a table that the machine gives. */
struct patch {
	const char *name;
	u32 value;
};

/* The same with the integers that are named in @patches set. */
static u64 put_patched(struct writer *w, u8 *aml, size_t length, const struct patch *patches,
		       size_t count)
{
	for (size_t i = 0; i < count && w->err == HV_OK; i++)
		w->err = acpi_patch_u32(aml, length, patches[i].name, patches[i].value);
	return put_aml(w, aml, length);
}

static u64 put_ssdt_vmgenid(struct writer *w, const struct acpi_machine *machine)
{
	u8 aml[sizeof(ssdt_vmgenid_aml)];
	const struct patch patches[] = {
		{"VGLO", (u32)machine->vmgenid_address.v},
		{"VGHI", (u32)(machine->vmgenid_address.v >> 32)},
		{"GIRQ", machine->vmgenid_gsi},
	};

	memcpy(aml, ssdt_vmgenid_aml, sizeof(aml));
	return put_patched(w, aml, sizeof(aml), patches, ARRAY_COUNT(patches));
}

static u64 put_ssdt_vmclock(struct writer *w, const struct acpi_machine *machine)
{
	u8 aml[sizeof(ssdt_vmclock_aml)];
	const struct patch patches[] = {
		{"VCLO", (u32)machine->vmclock.base},
		{"VCHI", (u32)(machine->vmclock.base >> 32)},
		{"VCSZ", (u32)machine->vmclock.length},
		{"CIRQ", machine->vmclock_gsi},
	};

	memcpy(aml, ssdt_vmclock_aml, sizeof(aml));
	return put_patched(w, aml, sizeof(aml), patches, ARRAY_COUNT(patches));
}

static u64 put_fadt(struct writer *w, const struct acpi_machine *machine, u64 dsdt)
{
	struct fadt fadt = {
		.header = make_header("FACP", FADT_REVISION, sizeof(fadt)),
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
	u64 table = begin(w);

	put(w, &fadt, sizeof(fadt));
	finish(w);
	return table;
}

static u64 put_madt(struct writer *w, const struct acpi_machine *machine)
{
	u32 lapics = (u32)min_u64(machine->cpu_count, LAPIC_ID_COUNT);
	u64 length = sizeof(struct madt) + sizeof(struct madt_ioapic) +
		     lapics * sizeof(struct madt_lapic) +
		     (u64)(machine->cpu_count - lapics) * sizeof(struct madt_x2apic);
	struct madt madt = {
		.header = make_header("APIC", MADT_REVISION, length),
		.lapic = (u32)machine->lapic_base,
	};
	struct madt_ioapic ioapic = {
		.type = MADT_TYPE_IOAPIC,
		.length = sizeof(ioapic),
		.address = (u32)machine->ioapic_base,
	};
	u64 table = begin(w);

	if (w->err == HV_OK && length > w->end - w->next)
		w->err = HV_ENO_SPACE;
	put(w, &madt, sizeof(madt));
	for (u32 id = 0; id < machine->cpu_count && w->err == HV_OK; id++) {
		struct madt_lapic lapic = {
			.type = MADT_TYPE_LAPIC,
			.length = sizeof(lapic),
			.uid = (u8)id,
			.id = (u8)id,
			.flags = MADT_ENABLED,
		};
		struct madt_x2apic x2apic = {
			.type = MADT_TYPE_X2APIC,
			.length = sizeof(x2apic),
			.id = id,
			.flags = MADT_ENABLED,
			.uid = id,
		};

		if (id < lapics)
			put(w, &lapic, sizeof(lapic));
		else
			put(w, &x2apic, sizeof(x2apic));
	}
	put(w, &ioapic, sizeof(ioapic));
	finish(w);
	return table;
}

/* 5.2.8 */
static u64 put_xsdt(struct writer *w, const u64 *tables, size_t count)
{
	struct header header = make_header("XSDT", 1, sizeof(header) + count * sizeof(*tables));
	u64 table = begin(w);

	put(w, &header, sizeof(header));
	put(w, tables, count * sizeof(*tables));
	finish(w);
	return table;
}

static void write_rsdp(struct writer *w, u64 at, u64 xsdt)
{
	struct rsdp rsdp = {
		.signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '},
		.oem_id = "ANEW",
		.revision = 2,
		.length = sizeof(rsdp),
		.xsdt = xsdt,
	};

	rsdp.checksum = (u8)-sum_bytes(&rsdp, RSDP_OLD_LENGTH);
	rsdp.extended_checksum = (u8)-sum_bytes(&rsdp, sizeof(rsdp));
	write_at(w, at, &rsdp, sizeof(rsdp));
}

enum hv_error acpi_build(const struct acpi_machine *machine, const struct guest_mem *mem,
			 gpa_t base, u64 room, gpa_t *rsdp, u64 *used)
{
	struct writer w = {.mem = mem};
	u64 tables[4];
	size_t count = 0;

	if (base.v % TABLE_ALIGN != 0 || room > UINT64_MAX - base.v || machine->cpu_count == 0 ||
	    machine->lapic_base > UINT32_MAX || machine->ioapic_base > UINT32_MAX) {
		log_error("ACPI tables: an address or a count of the machine can't be described");
		return HV_EINVALID;
	}
	if (room < sizeof(struct rsdp)) {
		log_error("ACPI tables: %llu bytes of room are too few", (unsigned long long)room);
		return HV_ENO_SPACE;
	}
	w.end = base.v + room;
	w.next = base.v + sizeof(struct rsdp);
	tables[count++] = put_fadt(&w, machine, put_dsdt(&w));
	tables[count++] = put_madt(&w, machine);
	if (machine->vmgenid)
		tables[count++] = put_ssdt_vmgenid(&w, machine);
	if (machine->vmclock.length)
		tables[count++] = put_ssdt_vmclock(&w, machine);
	/* The pointer comes last, so that there is none to tables that are not complete. */
	write_rsdp(&w, base.v, put_xsdt(&w, tables, count));
	if (w.err != HV_OK) {
		log_error("ACPI tables: %s (%llu bytes of room, %u CPUs)", hv_error_text(w.err),
			  (unsigned long long)room, machine->cpu_count);
		return w.err;
	}
	*rsdp = base;
	*used = w.next - base.v;
	return HV_OK;
}

enum hv_error acpi_patch_u32(u8 *aml, size_t length, const char *name, u32 value)
{
	/* 20.2.2, 20.2.3: NameOp, the name, DWordPrefix. */
	const u8 pattern[] = {0x08, (u8)name[0], (u8)name[1], (u8)name[2], (u8)name[3], 0x0c};
	u8 *place = NULL;

	for (size_t at = 0; at + sizeof(pattern) + sizeof(value) <= length; at++) {
		if (memcmp(&aml[at], pattern, sizeof(pattern)) != 0)
			continue;
		if (place)
			return HV_EEXISTS;
		place = &aml[at + sizeof(pattern)];
	}
	if (!place)
		return HV_ENOT_FOUND;
	memcpy(place, &value, sizeof(value));
	return HV_OK;
}
