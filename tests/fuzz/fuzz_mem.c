/* SPDX-License-Identifier: MIT */
/* Any sequence of operations on layered memory against the model in tests/unit. */
#include <arch/vm.h>

#include "mem_model.h"

struct input {
	const u8 *data;
	size_t size;
	size_t at;
};

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static u32 next(void *ctx, bool *end)
{
	struct input *input = ctx;
	u32 value = 0;

	for (u32 i = 0; i < 2; i++) {
		if (input->at == input->size)
			*end = true;
		else
			value = value << 8 | input->data[input->at++];
	}
	return value;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input input = {.data = data, .size = size, .at = 1};

	if (!size)
		return 0;
	mem_model_run(data[0] & 1 ? &fake_format_walkable : &fake_format_hidden,
		      2 + (data[0] >> 1) % (MEM_MODEL_BLOCKS - 1), next, &input, 4096);
	return 0;
}
