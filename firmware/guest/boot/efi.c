/* SPDX-License-Identifier: MIT */
/* Section numbers are those of the UEFI specification 2.10. */
#include <guest/acpi.h>
#include <guest/efi.h>
#include <hv/log.h>
#include <string.h>

/* 4.2.1: the header of a table. */
struct efi_header {
	u64 signature;
	u32 revision;
	u32 length;
	u32 crc32;
	u32 reserved;
};

/* 4.3.1 */
struct efi_system_table {
	struct efi_header header;
	u64 vendor; /* UCS-2 text */
	u32 firmware_revision;
	u32 pad;
	u64 consoles[6];
	u64 runtime_services;
	u64 boot_services;
	u64 table_count;
	u64 tables;
};
static_assert(sizeof(struct efi_system_table) == 120, "EFI_SYSTEM_TABLE");

#define SYSTEM_TABLE_SIGNATURE 0x5453595320494249 /* "IBI SYST" */
#define SYSTEM_TABLE_REVISION  (2u << 16 | 100)

/* 4.6 */
struct efi_configuration {
	u8 guid[16];
	u64 table;
};
static_assert(sizeof(struct efi_configuration) == 24, "EFI_CONFIGURATION_TABLE");

/* 4.6.1.1: 8868e871-e4f1-11d3-bc22-0080c73c8881, ACPI 2.0 and later. */
#define GUID_ACPI                                                                                  \
	{                                                                                          \
		0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11, 0xbc, 0x22, 0x00, 0x80, 0xc7,      \
			0x3c, 0x88, 0x81                                                           \
	}
/* 4.6.2: eb66918a-7eef-402a-842e-931d21c38ae9, which runtime services there are. */
#define GUID_RUNTIME_PROPERTIES                                                                    \
	{                                                                                          \
		0x8a, 0x91, 0x66, 0xeb, 0xef, 0x7e, 0x2a, 0x40, 0x84, 0x2e, 0x93, 0x1d, 0x21,      \
			0xc3, 0x8a, 0xe9                                                           \
	}

/* 4.6.2 */
struct efi_runtime_properties {
	u16 version;
	u16 length;
	u32 supported;
};

/* 7.2.3: the map of memory. */
struct efi_descriptor {
	u32 type;
	u32 pad;
	u64 base;
	u64 virtual;
	u64 pages; /* of 4 KiB */
	u64 attribute;
};
static_assert(sizeof(struct efi_descriptor) == 40, "EFI_MEMORY_DESCRIPTOR");

#define DESCRIPTOR_VERSION  1
#define TYPE_RESERVED       0
#define TYPE_CONVENTIONAL   7
#define TYPE_ACPI_RECLAIM   9
#define ATTRIBUTE_WB        BIT(3)
#define DESCRIPTOR_MAX      16
#define CONFIGURATION_COUNT 2

/* What is at the beginning of the area. The ACPI tables follow, from ACPI_AT on. */
struct efi_area {
	struct efi_system_table system;
	struct efi_configuration configuration[CONFIGURATION_COUNT];
	struct efi_runtime_properties properties;
	u16 vendor[8];
	struct efi_descriptor map[DESCRIPTOR_MAX];
};

#define ACPI_AT KIB(4)
static_assert(sizeof(struct efi_area) <= ACPI_AT, "EFI's tables and those of ACPI");

/* The map while it is made; sorted, and without overlaps as what it is made of has none. */
struct map {
	struct efi_descriptor *entries;
	u32 count;
	bool full;
};

static void map_add(struct map *map, u32 type, u64 start, u64 end)
{
	u32 at = map->count;

	if (start >= end)
		return;
	if (at == DESCRIPTOR_MAX) {
		map->full = true;
		return;
	}
	for (; at > 0 && map->entries[at - 1].base > start; at--)
		map->entries[at] = map->entries[at - 1];
	map->entries[at] = (struct efi_descriptor){.type = type,
						   .base = start,
						   .pages = (end - start) >> PAGE_SHIFT,
						   .attribute = ATTRIBUTE_WB};
	map->count++;
}

/* RAM, with what of it the area takes; and what the devices have. */
static void make_map(struct map *map, const struct fdt_machine *m, u64 area)
{
	for (u32 i = 0; i < m->ram_count; i++) {
		u64 start = m->ram[i].base, end = start + m->ram[i].length;

		if (area < start || area >= end) {
			map_add(map, TYPE_CONVENTIONAL, start, end);
			continue;
		}
		map_add(map, TYPE_CONVENTIONAL, start, area);
		map_add(map, TYPE_ACPI_RECLAIM, area, area + EFI_AREA);
		map_add(map, TYPE_CONVENTIONAL, area + EFI_AREA, end);
	}
	if (m->vmgenid)
		map_add(map, TYPE_RESERVED, m->vmgenid_address.v,
			m->vmgenid_address.v + FDT_DEVICE_PAGE);
	map_add(map, TYPE_RESERVED, m->vmclock.base, m->vmclock.base + m->vmclock.length);
}

/* 4.2.1: CRC-32 as of Ethernet, over the table with 0 in the checksum's place. */
static u32 crc32(const void *data, size_t length)
{
	const u8 *bytes = data;
	u32 crc = UINT32_MAX;

	for (size_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		for (u32 bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

enum hv_error efi_build(const struct fdt_machine *machine, const struct guest_mem *mem, u64 base,
			struct fdt_efi *efi)
{
	static struct efi_area area;
	struct map map = {.entries = area.map};
	u64 used;
	enum hv_error err;

	area = (struct efi_area){
		.system = {.header = {.signature = SYSTEM_TABLE_SIGNATURE,
				      .revision = SYSTEM_TABLE_REVISION,
				      .length = sizeof(struct efi_system_table)},
			   .vendor = base + offsetof(struct efi_area, vendor),
			   .table_count = CONFIGURATION_COUNT,
			   .tables = base + offsetof(struct efi_area, configuration)},
		.configuration = {{GUID_ACPI, base + ACPI_AT},
				  {GUID_RUNTIME_PROPERTIES,
				   base + offsetof(struct efi_area, properties)}},
		/* No service is. */
		.properties = {.version = 1, .length = sizeof(struct efi_runtime_properties)},
		.vendor = {'a', 'n', 'e', 'w'},
	};
	area.system.header.crc32 = crc32(&area.system, sizeof(area.system));
	make_map(&map, machine, base);
	if (map.full) {
		log_error("EFI's memory map: more than %u pieces", DESCRIPTOR_MAX);
		return HV_ENO_SPACE;
	}
	err = acpi_build_arm64(machine, mem, GPA(base + ACPI_AT), EFI_AREA - ACPI_AT, &used);
	if (err)
		return err;
	err = guest_write(mem, GPA(base), &area, sizeof(area));
	if (err) {
		log_error("EFI's tables: can't write the VM's memory at 0x%llx (%s)",
			  (unsigned long long)base, hv_error_text(err));
		return err;
	}
	guest_clean(mem, GPA(base), sizeof(area));
	*efi = (struct fdt_efi){
		.system_table = base,
		.memory_map = {base + offsetof(struct efi_area, map),
			       map.count * sizeof(struct efi_descriptor)},
		.descriptor_size = sizeof(struct efi_descriptor),
		.descriptor_version = DESCRIPTOR_VERSION,
	};
	return HV_OK;
}
