/* SPDX-License-Identifier: MIT */
#include <hv/state.h>
#include <string.h>

size_t state_packed_size(const struct state_desc *desc)
{
	size_t size = 0;

	for (u32 i = 0; i < desc->field_count; i++)
		size += desc->fields[i].size;
	return size;
}

void state_pack(const struct state_desc *desc, void *obj, void *buf)
{
	u8 *to = buf;

	if (desc->before_save)
		desc->before_save(obj);
	for (u32 i = 0; i < desc->field_count; i++) {
		const struct state_field *field = &desc->fields[i];

		memcpy(to, (const u8 *)obj + field->offset, field->size);
		to += field->size;
	}
}

void state_unpack(const struct state_desc *desc, void *obj, const void *buf)
{
	const u8 *from = buf;

	for (u32 i = 0; i < desc->field_count; i++) {
		const struct state_field *field = &desc->fields[i];

		memcpy((u8 *)obj + field->offset, from, field->size);
		from += field->size;
	}
}
