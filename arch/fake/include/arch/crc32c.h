/* SPDX-License-Identifier: MIT */
#ifndef ARCH_CRC32C_H
#define ARCH_CRC32C_H

#include <hv/types.h>

extern bool fake_crc32c_word;

static inline bool crc32c_has_word(void)
{
	return fake_crc32c_word;
}

static inline u32 crc32c_word(u32 crc, u64 word)
{
	word ^= crc;
	for (u32 bit = 0; bit < 64; bit++)
		word = word >> 1 ^ (word & 1 ? 0x82f63b78 : 0);
	return (u32)word;
}

#endif
