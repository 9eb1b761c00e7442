/* SPDX-License-Identifier: MIT */
#include <hv/state.h>
#include <string.h>

/*
 * Bytes of field @*i and of all that follow it side by side in the structure, as they do when they
 * are packed; *@i is then the field after them.
 */
static size_t side_by_side(const struct state_desc *desc, u32 *i)
{
	const struct state_field *field = &desc->fields[*i];
	const struct state_field *last = &desc->fields[desc->field_count];
	u32 begin = field->offset;
	u32 end = begin;

	do
		end += field++->size;
	while (field < last && field->offset == end);
	*i = (u32)(field - desc->fields);
	return end - begin;
}

void state_pack(const struct state_desc *desc, void *obj, void *buf)
{
	u8 *to = buf;

	if (desc->before_save)
		desc->before_save(obj);
	for (u32 i = 0; i < desc->field_count;) {
		const u8 *from = (const u8 *)obj + desc->fields[i].offset;
		size_t length = side_by_side(desc, &i);

		memcpy(to, from, length);
		to += length;
	}
}

void state_unpack(const struct state_desc *desc, void *obj, const void *buf)
{
	const u8 *from = buf;

	for (u32 i = 0; i < desc->field_count;) {
		u8 *to = (u8 *)obj + desc->fields[i].offset;
		size_t length = side_by_side(desc, &i);

		memcpy(to, from, length);
		from += length;
	}
}

void state_unpack_copy(const struct state_desc *desc, void *copy, const void *obj, const void *buf)
{
	const u8 *from = buf, *old = obj;
	u8 *to = copy;
	size_t done = 0; /* bytes of @copy, up to the end of the last field so far */

	for (u32 i = 0; i < desc->field_count;) {
		size_t offset = desc->fields[i].offset;
		size_t length = side_by_side(desc, &i);

		if (offset > done)
			memcpy(to + done, old + done, offset - done);
		memcpy(to + offset, from, length);
		from += length;
		done = max_u64(done, offset + length);
	}
	memcpy(to + done, old + done, desc->size - done);
}
