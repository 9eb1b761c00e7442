/* SPDX-License-Identifier: MIT */
#include <internal/snapshot.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t records_size(const struct vm_record *records, u32 count)
{
	size_t size = 0;

	for (u32 i = 0; i < count; i++)
		size += sizeof(struct record_header) + state_packed_size(records[i].desc);
	return size;
}

void records_save(const struct vm_record *records, u32 count, u8 *buf)
{
	for (u32 i = 0; i < count; i++) {
		const struct state_desc *desc = records[i].desc;
		struct record_header header = {
			.instance = records[i].instance,
			.version = desc->version,
			.length = (u32)state_packed_size(desc),
		};

		memcpy(header.type, desc->name, sizeof(header.type));
		memcpy(buf, &header, sizeof(header));
		buf += sizeof(header);
		state_pack(desc, records[i].obj, buf);
		buf += header.length;
	}
}

static bool is_of(const struct vm_record *record, const struct record_header *header)
{
	return record->instance == header->instance &&
	       !__builtin_memcmp(record->desc->name, header->type, sizeof(header->type));
}

/* @likely is where it probably is. */
static u32 find(const struct vm_record *records, u32 count, const struct record_header *header,
		u32 likely)
{
	u32 i;

	if (likely < count && is_of(&records[likely], header))
		return likely;
	for (i = 0; i < count; i++)
		if (is_of(&records[i], header))
			break;
	return i;
}

/* Says what is wrong with a record, whose type may be any bytes. */
HV_PRINTF(3, 4)
static void explain(char *why, const struct record_header *header, const char *format, ...)
{
	char type[sizeof(header->type) + 1];
	va_list args;
	size_t i;
	int at;

	for (i = 0; i < sizeof(header->type) && header->type[i]; i++)
		type[i] = header->type[i] < ' ' || header->type[i] > '~' ? '?' : header->type[i];
	type[i] = 0;
	at = snprintf(why, RECORDS_WHY_MAX, "record %s.%u: ", type, header->instance);
	va_start(args, format);
	vsnprintf(why + at, RECORDS_WHY_MAX - (size_t)at, format, args);
	va_end(args);
}

enum hv_error records_next(const u8 *buf, size_t length, size_t *offset,
			   struct record_header *header, const u8 **fields, char *why)
{
	size_t left = length - *offset;

	if (left < sizeof(*header)) {
		snprintf(why, RECORDS_WHY_MAX, "the records end in the middle of a header");
		return HV_ECORRUPT;
	}
	memcpy(header, buf + *offset, sizeof(*header));
	left -= sizeof(*header);
	if (header->length > left) {
		explain(why, header, "is %u bytes, %llu are left", header->length,
			(unsigned long long)left);
		return HV_ECORRUPT;
	}
	*fields = buf + *offset + sizeof(*header);
	*offset += sizeof(*header) + header->length;
	return HV_OK;
}

/* One record; its place in @records into *@at, which says where it probably is. */
static enum hv_error parse_one(const struct vm_record *records, u32 count,
			       const struct record_header *header,
			       const struct records_index *index, u32 *at, char *why)
{
	const struct state_desc *desc;

	*at = find(records, count, header, *at);
	if (*at == count) {
		explain(why, header, "this VM has no such thing");
		return HV_ECORRUPT;
	}
	desc = records[*at].desc;
	if (index->fields[*at]) {
		explain(why, header, "there are two of it");
		return HV_ECORRUPT;
	}
	if (header->version != desc->version) {
		explain(why, header, "is of version %u, this anew reads version %u",
			header->version, desc->version);
		return HV_EUNSUPPORTED;
	}
	if (header->length != state_packed_size(desc)) {
		explain(why, header, "is %u bytes, must be %u", header->length,
			(u32)state_packed_size(desc));
		return HV_ECORRUPT;
	}
	return HV_OK;
}

enum hv_error records_parse(const struct vm_record *records, u32 count, const u8 *buf,
			    size_t length, struct records_index *index, char *why)
{
	struct record_header header;
	size_t offset = 0;
	u32 at = 0;

	memset(index, 0, sizeof(*index));
	while (offset < length) {
		const u8 *fields;
		enum hv_error err = records_next(buf, length, &offset, &header, &fields, why);

		if (!err)
			err = parse_one(records, count, &header, index, &at, why);
		if (err)
			return err;
		/* As they were saved, they are in the order of the table. */
		index->fields[at++] = fields;
	}
	for (u32 i = 0; i < count; i++) {
		if (!index->fields[i]) {
			snprintf(why, RECORDS_WHY_MAX, "record %s.%u: is missing",
				 records[i].desc->name, records[i].instance);
			return HV_ECORRUPT;
		}
	}
	return HV_OK;
}

/* @scratch has room for a copy of the object. */
static enum hv_error check_one(const struct vm_record *record, const u8 *fields, void *scratch,
			       char *why)
{
	const struct state_desc *desc = record->desc;
	const char *reason = "a value is not legal";
	enum hv_error err;

	if (!desc->check)
		return HV_OK;
	/* What is not saved stays as it is: checks may compare with it. */
	state_unpack_copy(desc, scratch, record->obj, fields);
	err = desc->check(scratch, &reason);
	if (err)
		snprintf(why, RECORDS_WHY_MAX, "record %s.%u: %s", desc->name, record->instance,
			 reason);
	return err;
}

enum hv_error records_check(const struct vm_record *records, u32 count,
			    const struct records_index *index, char *why)
{
	enum hv_error err = HV_OK;
	size_t largest = 1;
	void *scratch;

	for (u32 i = 0; i < count; i++)
		largest = max_u64(largest, records[i].desc->size);
	scratch = malloc(largest);
	if (!scratch) {
		snprintf(why, RECORDS_WHY_MAX, "no memory to check the records");
		return HV_ENO_MEMORY;
	}
	for (u32 i = 0; !err && i < count; i++)
		err = check_one(&records[i], index->fields[i], scratch, why);
	free(scratch);
	return err;
}

void records_commit(const struct vm_record *records, u32 count, const struct records_index *index)
{
	for (u32 i = 0; i < count; i++)
		state_unpack(records[i].desc, records[i].obj, index->fields[i]);
}

void records_after_load(const struct vm_record *records, u32 count)
{
	for (u32 i = 0; i < count; i++)
		if (records[i].desc->after_load)
			records[i].desc->after_load(records[i].obj);
}
