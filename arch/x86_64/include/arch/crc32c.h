/* SPDX-License-Identifier: MIT */
/*
 * SSE4.2 has an instruction for it. It is left alone: tables keep up with any disk, and emulators
 * compute it bit by bit, in four times their time.
 */
#ifndef ARCH_CRC32C_H
#define ARCH_CRC32C_H

#include <hv/types.h>

static inline bool crc32c_has_word(void)
{
	return false;
}

static inline u32 crc32c_word(u32 crc, u64 word)
{
	(void)word;
	return crc;
}

#endif
