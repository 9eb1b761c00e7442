/* SPDX-License-Identifier: MIT */
/*
 * The records of a snapshot, hostile: what is refused changes nothing, what is taken is legal and
 * comes out again as it went in.
 */
#include <internal/snapshot.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct thing {
	u64 wide;
	u16 pairs[3];
	u8 flag;
	u8 pad;
	const void *wiring;
};

static u32 loads;

static enum hv_error thing_check(const void *obj, const char **why)
{
	const struct thing *thing = obj;

	if (thing->flag <= 1)
		return HV_OK;
	*why = "flag";
	return HV_EINVALID;
}

static void thing_after_load(void *obj)
{
	(void)obj;
	loads++;
}

#define THING_FIELDS(SAVED, TRANSIENT)                                                             \
	SAVED(struct thing, wide)                                                                  \
	SAVED(struct thing, pairs)                                                                 \
	SAVED(struct thing, flag)                                                                  \
	TRANSIENT(struct thing, pad, "padding")                                                    \
	TRANSIENT(struct thing, wiring, "wiring")

STATE_DEFINE(thing_state, "thing-of-15-chr", 7, struct thing, THING_FIELDS, .check = thing_check,
	     .after_load = thing_after_load);
/* Takes whatever it is given. */
STATE_DEFINE(lax_state, "lax", 0x01020304, struct thing, THING_FIELDS);

#define COUNT 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct thing things[COUNT], before[COUNT];
	struct vm_record records[COUNT] = {
		{&thing_state, &things[0], 0},
		{&thing_state, &things[1], 1},
		{&lax_state, &things[2], 0},
		{&thing_state, &things[3], UINT32_MAX},
	};
	struct records_index index;
	char why[RECORDS_WHY_MAX] = "";
	u8 *image, *again;
	size_t length;
	enum hv_error err;

	memset(things, 0, sizeof(things));
	for (u32 i = 0; i < COUNT; i++)
		things[i].wiring = &things[i];
	memcpy(before, things, sizeof(things));

	/* The records as they are saved, with the input over them: the first byte says how. */
	length = records_size(records, COUNT);
	image = calloc(1, length + size);
	again = malloc(length);
	if (!image || !again)
		abort();
	if (size && data[0] & 1) {
		records_save(records, COUNT, image);
		for (size_t i = 1; i + 1 < size; i += 2)
			image[data[i] % length] = data[i + 1];
		if (data[0] & 2)
			length -= data[0] >> 2;
		data = image;
		size = length;
	}

	u8 *exact = malloc(size ? size : 1);

	if (!exact)
		abort();
	memcpy(exact, data, size);
	loads = 0;
	err = records_parse(records, COUNT, exact, size, &index, why);
	if (!err)
		err = records_check(records, COUNT, &index, why);
	if (memcmp(before, things, sizeof(things)) || !err != !why[0])
		abort();
	if (!err) {
		records_commit(records, COUNT, &index);
		records_after_load(records, COUNT);
		for (u32 i = 0; i < COUNT; i++)
			if (things[i].wiring != &things[i] || (i != 2 && things[i].flag > 1))
				abort();
		if (loads != COUNT - 1 || size != records_size(records, COUNT))
			abort();
		/* In the table's order it is the same; in another one it is as long. */
		records_save(records, COUNT, again);
		if (index.fields[0] < index.fields[1] && index.fields[1] < index.fields[2] &&
		    index.fields[2] < index.fields[3] && memcmp(again, exact, size))
			abort();
	}
	free(exact);
	free(again);
	free(image);
	return 0;
}
