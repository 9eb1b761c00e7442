/* SPDX-License-Identifier: MIT */
/*
 * Instruction bytes from anywhere: never read past their end, and understood as Zydis does. The
 * first byte selects the mode.
 */
#include "decode_oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *difference, const char *decoder, const u8 *bytes, size_t length,
		  enum decode_mode mode)
{
	if (!difference)
		return;
	fprintf(stderr, "%s, %d-bit mode, ", decoder, (int)mode);
	for (size_t i = 0; i < length; i++)
		fprintf(stderr, "%02x ", bytes[i]);
	fprintf(stderr, "- Zydis disagrees: %s\n", difference);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum decode_mode modes[] = {DECODE_16, DECODE_32, DECODE_64};
	enum decode_mode mode;
	/* The bytes end where it ends, so that the sanitizer sees a read past them. */
	static u8 buffer[DECODE_LENGTH_MAX];
	size_t length;
	u8 *bytes;

	if (!size)
		return 0;
	mode = modes[data[0] % ARRAY_COUNT(modes)];
	length = min_u64(size - 1, DECODE_LENGTH_MAX);
	bytes = buffer + sizeof(buffer) - length;
	memcpy(bytes, data + 1, length);
	check(oracle_check(bytes, length, mode), "instruction", bytes, length, mode);
	check(oracle_check_cr(bytes, length, mode), "control register", bytes, length, mode);
	return 0;
}
