/* SPDX-License-Identifier: MIT */
#include <internal/snapshot.h>
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

		memcpy(header.type, desc->name, strlen(desc->name));
		memcpy(buf, &header, sizeof(header));
		buf += sizeof(header);
		state_pack(desc, records[i].obj, buf);
		buf += header.length;
	}
}

/* The type as text that can be shown, whatever the bytes are. */
static void type_text(const struct record_header *header, char text[sizeof(header->type) + 1])
{
	size_t i;

	for (i = 0; i < sizeof(header->type) && header->type[i]; i++)
		text[i] = header->type[i] < ' ' || header->type[i] > '~' ? '?' : header->type[i];
	text[i] = 0;
}

static bool is_type(const struct record_header *header, const char *name)
{
	char padded[sizeof(header->type)] = {0};

	memcpy(padded, name, strlen(name));
	return !memcmp(padded, header->type, sizeof(padded));
}

static u32 find(const struct vm_record *records, u32 count, const struct record_header *header)
{
	u32 i;

	for (i = 0; i < count; i++)
		if (records[i].instance == header->instance &&
		    is_type(header, records[i].desc->name))
			break;
	return i;
}

/* One record of which @left bytes follow the header; its place in @records into *@at. */
static enum hv_error parse_one(const struct vm_record *records, u32 count,
			       const struct record_header *header, size_t left,
			       const struct records_index *index, u32 *at, char *why)
{
	char type[sizeof(header->type) + 1];
	const struct state_desc *desc;

	type_text(header, type);
	*at = find(records, count, header);
	if (*at == count) {
		snprintf(why, RECORDS_WHY_MAX, "record %s.%u: this VM has no such thing", type,
			 header->instance);
		return HV_ECORRUPT;
	}
	desc = records[*at].desc;
	if (index->fields[*at]) {
		snprintf(why, RECORDS_WHY_MAX, "record %s.%u: there are two of it", type,
			 header->instance);
		return HV_ECORRUPT;
	}
	if (header->version != desc->version) {
		snprintf(why, RECORDS_WHY_MAX,
			 "record %s.%u: is of version %u, this anew reads version %u", type,
			 header->instance, header->version, desc->version);
		return HV_EUNSUPPORTED;
	}
	if (header->length != state_packed_size(desc) || header->length > left) {
		snprintf(why, RECORDS_WHY_MAX,
			 "record %s.%u: is %u bytes, must be %u, %llu are left", type,
			 header->instance, header->length, (u32)state_packed_size(desc),
			 (unsigned long long)left);
		return HV_ECORRUPT;
	}
	return HV_OK;
}

enum hv_error records_parse(const struct vm_record *records, u32 count, const u8 *buf,
			    size_t length, struct records_index *index, char *why)
{
	struct record_header header;
	size_t offset = 0;

	memset(index, 0, sizeof(*index));
	while (offset < length) {
		enum hv_error err;
		u32 at;

		if (length - offset < sizeof(header)) {
			snprintf(why, RECORDS_WHY_MAX, "the records end in the middle of a header");
			return HV_ECORRUPT;
		}
		memcpy(&header, buf + offset, sizeof(header));
		offset += sizeof(header);
		err = parse_one(records, count, &header, length - offset, index, &at, why);
		if (err)
			return err;
		index->fields[at] = buf + offset;
		offset += header.length;
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

static enum hv_error check_one(const struct vm_record *record, const u8 *fields, char *why)
{
	const struct state_desc *desc = record->desc;
	const char *reason = "a value is not legal";
	enum hv_error err;
	void *scratch;

	if (!desc->check)
		return HV_OK;
	scratch = malloc(desc->size);
	if (!scratch) {
		snprintf(why, RECORDS_WHY_MAX, "record %s.%u: no memory to check it", desc->name,
			 record->instance);
		return HV_ENO_MEMORY;
	}
	/* What is not saved stays as it is: checks may compare with it. */
	memcpy(scratch, record->obj, desc->size);
	state_unpack(desc, scratch, fields);
	err = desc->check(scratch, &reason);
	free(scratch);
	if (err)
		snprintf(why, RECORDS_WHY_MAX, "record %s.%u: %s", desc->name, record->instance,
			 reason);
	return err;
}

enum hv_error records_check(const struct vm_record *records, u32 count,
			    const struct records_index *index, char *why)
{
	for (u32 i = 0; i < count; i++) {
		enum hv_error err = check_one(&records[i], index->fields[i], why);

		if (err)
			return err;
	}
	return HV_OK;
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
