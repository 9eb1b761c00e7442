/* SPDX-License-Identifier: MIT */
/* CRC-32C, eight bytes a step by eight tables. */
#include <internal/store.h>

/* 1EDC6F41h (RFC 3720, section 12.1) with its bits in the order in which they come. */
#define POLYNOMIAL 0x82f63b78u

/* [n][b]: what the byte b does to the CRC when n more bytes follow it. Made, to keep them out of
 * the image. */
static u32 table[8][256];
static bool made;

static void make_table(void)
{
	for (u32 byte = 0; byte < 256; byte++) {
		u32 crc = byte;

		for (u32 bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
		table[0][byte] = crc;
	}
	for (u32 n = 1; n < 8; n++)
		for (u32 byte = 0; byte < 256; byte++) {
			u32 crc = table[n - 1][byte];

			table[n][byte] = crc >> 8 ^ table[0][(u8)crc];
		}
	made = true;
}

static u32 add_byte(u32 crc, u8 byte)
{
	return crc >> 8 ^ table[0][(u8)crc ^ byte];
}

/* @p is aligned to 8. */
static u32 add_word(u32 crc, const u8 *p)
{
	u64 word;

	__builtin_memcpy(&word, __builtin_assume_aligned(p, 8), sizeof(word));
	word ^= crc;
	return table[7][(u8)word] ^ table[6][(u8)(word >> 8)] ^ table[5][(u8)(word >> 16)] ^
	       table[4][(u8)(word >> 24)] ^ table[3][(u8)(word >> 32)] ^
	       table[2][(u8)(word >> 40)] ^ table[1][(u8)(word >> 48)] ^ table[0][word >> 56];
}

u32 crc32c(u32 crc, const void *buf, size_t length)
{
	const u8 *p = buf;

	if (!made)
		make_table();
	crc = ~crc;
	for (; length && (uintptr_t)p % 8; length--)
		crc = add_byte(crc, *p++);
	for (; length >= 8; length -= 8, p += 8)
		crc = add_word(crc, p);
	for (; length; length--)
		crc = add_byte(crc, *p++);
	return ~crc;
}
