/* SPDX-License-Identifier: MIT */
/*
 * What the ACPI tables of every architecture are made of. Section numbers are those of the ACPI
 * specification 6.5.
 */
#ifndef ACPI_TABLE_H
#define ACPI_TABLE_H

#include <guest/acpi.h>

#define PACKED __attribute__((packed))

#define ACPI_TABLE_ALIGN 16

/* 5.2.3.2: generic address structure. */
struct acpi_gas {
	u8 space;
	u8 bit_width;
	u8 bit_offset;
	u8 access;
	u64 address;
} PACKED;
static_assert(sizeof(struct acpi_gas) == 12, "GAS");

#define ACPI_SPACE_MEMORY 0
#define ACPI_SPACE_IO     1
#define ACPI_ACCESS_BYTE  1
#define ACPI_ACCESS_DWORD 3

/* 5.2.5.3: root system description pointer. */
struct acpi_rsdp {
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
static_assert(sizeof(struct acpi_rsdp) == 36, "RSDP");

/* 5.2.6: system description table header. */
struct acpi_header {
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
static_assert(sizeof(struct acpi_header) == 36, "header");

/* 5.2.9: fixed ACPI description table, revision 6. */
struct acpi_fadt {
	struct acpi_header header;
	u32 firmware_ctrl;
	u32 dsdt;
	u8 reserved0;
	u8 pm_profile;
	u8 not_reduced_hardware[62]; /* SCI, SMI, PM1, PM2, timer, GPE, C states, clock */
	u8 century;
	u16 boot_arch;
	u8 reserved1;
	u32 flags;
	struct acpi_gas reset;
	u8 reset_value;
	u16 arm_boot_arch;
	u8 minor;
	u64 x_firmware_ctrl;
	u64 x_dsdt;
	struct acpi_gas x_not_reduced_hardware[8];
	struct acpi_gas sleep_control;
	struct acpi_gas sleep_status;
	char hypervisor[8];
} PACKED;
static_assert(sizeof(struct acpi_fadt) == 276, "FADT");
static_assert(offsetof(struct acpi_fadt, century) == 108, "FADT.CENTURY");
static_assert(offsetof(struct acpi_fadt, reset) == 116, "FADT.RESET_REG");
static_assert(offsetof(struct acpi_fadt, x_dsdt) == 140, "FADT.X_DSDT");
static_assert(offsetof(struct acpi_fadt, sleep_control) == 244, "FADT.SLEEP_CONTROL_REG");

#define ACPI_FADT_REVISION 6

/* Table 5.10: flags. */
#define ACPI_FADT_PWR_BUTTON BIT(4) /* no fixed power button */
#define ACPI_FADT_SLP_BUTTON BIT(5) /* no fixed sleep button */
#define ACPI_FADT_HEADLESS   BIT(12)
#define ACPI_FADT_HW_REDUCED BIT(20)

#define ACPI_MADT_REVISION 5
#define ACPI_MADT_ENABLED  1

/* Writes one table after the other; after a failure it does nothing more. */
struct acpi_writer {
	const struct guest_mem *mem;
	u64 next; /* where the next byte goes */
	u64 end;
	u64 table; /* begun last */
	u8 sum;    /* of its bytes up to now */
	enum hv_error err;
};

/* Bytes of the table begun last. */
void acpi_put(struct acpi_writer *w, const void *data, size_t length);
/* A table begins; its address. */
u64 acpi_begin(struct acpi_writer *w);
/* All bytes of the table begun last were put, with a checksum of 0. */
void acpi_finish(struct acpi_writer *w);
/* The header of a table of @length bytes in all. */
struct acpi_header acpi_header(const char *signature, u8 revision, size_t length);
/* A whole table of bytes that begin with an acpi_header(); its address. */
u64 acpi_put_table(struct acpi_writer *w, const void *table, size_t length);

/* A table as iasl made it, at most ACPI_AML_MAX bytes. */
#define ACPI_AML_MAX 2048
struct acpi_aml {
	const u8 *bytes;
	size_t length;
};

/* An integer of a table that the machine gives. */
struct acpi_patch {
	const char *name; /* 4 characters */
	u32 value;
};

/* @aml with the integers that are named in @patches set; the table's address. */
u64 acpi_put_aml(struct acpi_writer *w, struct acpi_aml aml, const struct acpi_patch *patches,
		 size_t count);

/* The tables of the devices that tell of a change by an event; adds their addresses to @tables. */
#define ACPI_TOLD_TABLES 2
void acpi_put_told(struct acpi_writer *w, const struct acpi_told *told, u64 *tables, u32 *count);

/*
 * Begins, with room for the root pointer at @base. acpi_close() writes it, to @tables, when all is
 * there; @used is how many bytes that is. Both say in a log line what was wrong.
 */
HV_MUST_CHECK enum hv_error acpi_open(struct acpi_writer *w, const struct guest_mem *mem,
				      gpa_t base, u64 room);
HV_MUST_CHECK enum hv_error acpi_close(struct acpi_writer *w, gpa_t base, const u64 *tables,
				       u32 count, u32 cpu_count, u64 *used);

#endif
