/* SPDX-License-Identifier: MIT */
/* Section numbers are those of the ACPI specification 6.5. */
#include "table.h"
#include <hv/log.h>
#include <string.h>

#include "ssdt_vmclock_aml.h"
#include "ssdt_vmgenid_aml.h"

#define RSDP_OLD_LENGTH 20

static u8 sum_bytes(const void *data, size_t length)
{
	const u8 *bytes = data;
	u8 sum = 0;

	for (size_t i = 0; i < length; i++)
		sum = (u8)(sum + bytes[i]);
	return sum;
}

static void write_at(struct acpi_writer *w, u64 at, const void *data, size_t length)
{
	if (w->err != HV_OK)
		return;
	w->err = guest_write(w->mem, GPA(at), data, length);
	if (w->err == HV_OK)
		guest_clean(w->mem, GPA(at), length);
}

void acpi_put(struct acpi_writer *w, const void *data, size_t length)
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

u64 acpi_begin(struct acpi_writer *w)
{
	u64 table = ALIGN_UP(w->next, (u64)ACPI_TABLE_ALIGN);

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
void acpi_finish(struct acpi_writer *w)
{
	u8 checksum = (u8)-w->sum;

	write_at(w, w->table + offsetof(struct acpi_header, checksum), &checksum, 1);
}

struct acpi_header acpi_header(const char *signature, u8 revision, size_t length)
{
	struct acpi_header header = {
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

u64 acpi_put_table(struct acpi_writer *w, const void *table, size_t length)
{
	u64 at = acpi_begin(w);

	acpi_put(w, table, length);
	acpi_finish(w);
	return at;
}

u64 acpi_put_aml(struct acpi_writer *w, struct acpi_aml aml, const struct acpi_patch *patches,
		 size_t count)
{
	u8 bytes[ACPI_AML_MAX];

	if (w->err == HV_OK && aml.length > sizeof(bytes))
		w->err = HV_ENO_SPACE;
	if (w->err != HV_OK)
		return 0;
	memcpy(bytes, aml.bytes, aml.length);
	/* The sum is another when integers were patched. */
	bytes[offsetof(struct acpi_header, checksum)] = 0;
	for (size_t i = 0; i < count && w->err == HV_OK; i++)
		w->err = acpi_patch_u32(bytes, aml.length, patches[i].name, patches[i].value);
	return acpi_put_table(w, bytes, aml.length);
}

static u64 put_ssdt_vmgenid(struct acpi_writer *w, const struct acpi_told *told)
{
	const struct acpi_aml aml = {ssdt_vmgenid_aml, sizeof(ssdt_vmgenid_aml)};
	const struct acpi_patch patches[] = {
		{"VGLO", (u32)told->vmgenid_address.v},
		{"VGHI", (u32)(told->vmgenid_address.v >> 32)},
		{"GIRQ", told->vmgenid_gsi},
	};

	return acpi_put_aml(w, aml, patches, ARRAY_COUNT(patches));
}

static u64 put_ssdt_vmclock(struct acpi_writer *w, const struct acpi_told *told)
{
	const struct acpi_aml aml = {ssdt_vmclock_aml, sizeof(ssdt_vmclock_aml)};
	const struct acpi_patch patches[] = {
		{"VCLO", (u32)told->vmclock.base},
		{"VCHI", (u32)(told->vmclock.base >> 32)},
		{"VCSZ", (u32)told->vmclock.length},
		{"CIRQ", told->vmclock_gsi},
	};

	return acpi_put_aml(w, aml, patches, ARRAY_COUNT(patches));
}

void acpi_put_told(struct acpi_writer *w, const struct acpi_told *told, u64 *tables, u32 *count)
{
	if (told->vmgenid)
		tables[(*count)++] = put_ssdt_vmgenid(w, told);
	if (told->vmclock.length)
		tables[(*count)++] = put_ssdt_vmclock(w, told);
}

/* 5.2.8 */
static u64 put_xsdt(struct acpi_writer *w, const u64 *tables, size_t count)
{
	struct acpi_header header =
		acpi_header("XSDT", 1, sizeof(header) + count * sizeof(*tables));
	u64 table = acpi_begin(w);

	acpi_put(w, &header, sizeof(header));
	acpi_put(w, tables, count * sizeof(*tables));
	acpi_finish(w);
	return table;
}

static void write_rsdp(struct acpi_writer *w, u64 at, u64 xsdt)
{
	struct acpi_rsdp rsdp = {
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

enum hv_error acpi_open(struct acpi_writer *w, const struct guest_mem *mem, gpa_t base, u64 room)
{
	*w = (struct acpi_writer){.mem = mem};
	if (base.v % ACPI_TABLE_ALIGN != 0 || room > UINT64_MAX - base.v) {
		log_error("ACPI tables: they can't be at 0x%llx", (unsigned long long)base.v);
		return HV_EINVALID;
	}
	if (room < sizeof(struct acpi_rsdp)) {
		log_error("ACPI tables: %llu bytes of room are too few", (unsigned long long)room);
		return HV_ENO_SPACE;
	}
	w->end = base.v + room;
	w->next = base.v + sizeof(struct acpi_rsdp);
	return HV_OK;
}

enum hv_error acpi_close(struct acpi_writer *w, gpa_t base, const u64 *tables, u32 count,
			 u32 cpu_count, u64 *used)
{
	/* The pointer comes last, so that there is none to tables that are not complete. */
	write_rsdp(w, base.v, put_xsdt(w, tables, count));
	if (w->err != HV_OK) {
		log_error("ACPI tables: can't write them: %s (%llu bytes of room, %u CPUs)",
			  hv_error_text(w->err), (unsigned long long)(w->end - base.v), cpu_count);
		return w->err;
	}
	*used = w->next - base.v;
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
