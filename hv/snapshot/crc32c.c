/* SPDX-License-Identifier: MIT */
/* CRC-32C, eight bytes a step: by the processor's instruction, or without one by eight tables. */
#include <arch/crc32c.h>
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

/* The bytes of @p, which is aligned to 8, as a number whose lowest bits come first. */
static u64 load_word(const u8 *p)
{
	u64 word;

	__builtin_memcpy(&word, __builtin_assume_aligned(p, 8), sizeof(word));
	return word;
}

static u32 add_word(u32 crc, u64 word)
{
	word ^= crc;
	return table[7][(u8)word] ^ table[6][(u8)(word >> 8)] ^ table[5][(u8)(word >> 16)] ^
	       table[4][(u8)(word >> 24)] ^ table[3][(u8)(word >> 32)] ^
	       table[2][(u8)(word >> 40)] ^ table[1][(u8)(word >> 48)] ^ table[0][word >> 56];
}

/* @length is a multiple of 8, @p aligned to it. */
static u32 add_words(u32 crc, const u8 *p, size_t length)
{
	if (crc32c_has_word())
		for (const u8 *end = p + length; p < end; p += 8)
			crc = crc32c_word(crc, load_word(p));
	else
		for (const u8 *end = p + length; p < end; p += 8)
			crc = add_word(crc, load_word(p));
	return crc;
}

u32 crc32c(u32 crc, const void *buf, size_t length)
{
	const u8 *p = buf;
	size_t words;

	if (!made)
		make_table();
	crc = ~crc;
	for (; length && (uintptr_t)p % 8; length--)
		crc = add_byte(crc, *p++);
	words = length & ~(size_t)7;
	crc = add_words(crc, p, words);
	for (p += words; length > words; length--)
		crc = add_byte(crc, *p++);
	return ~crc;
}
