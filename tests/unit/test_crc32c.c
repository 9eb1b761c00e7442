/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arch/crc32c.h>
#include <internal/store.h>
#include <string.h>

static void test_known_answers(void **state)
{
	/* RFC 3720, appendix B.4; it shows the bytes as they are sent, the lowest first. */
	static const u8 read_pdu[48] = {[0] = 0x01,  0xc0,        [16] = 0x14, [22] = 0x04,
					[27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02};
	u8 bytes[32];

	(void)state;
	assert_int_equal(crc32c(0, "", 0), 0);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
	for (u8 i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x46dd794e);
	for (u8 i = 0; i < sizeof(bytes); i++)
		bytes[i] = (u8)(31 - i);
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x113fdb5c);
	assert_int_equal(crc32c(0, read_pdu, sizeof(read_pdu)), 0xd9963a56);
}

static u32 crc_by_bits(const u8 *p, size_t length)
{
	u32 crc = UINT32_MAX;

	for (; length; length--) {
		crc ^= *p++;
		for (u32 bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

/* At every alignment, of every length, and in two pieces. */
static void test_pieces(void **state)
{
	_Alignas(8) u8 bytes[80];

	(void)state;
	for (u32 i = 0; i < sizeof(bytes); i++)
		bytes[i] = (u8)(i * 37 + 11);
	for (u32 at = 0; at < 8; at++) {
		for (u32 length = 0; length <= 64; length++) {
			u32 crc = crc_by_bits(bytes + at, length);

			assert_int_equal(crc32c(0, bytes + at, length), crc);
			for (u32 cut = 0; cut <= length; cut++)
				assert_int_equal(crc32c(crc32c(0, bytes + at, cut),
							bytes + at + cut, length - cut),
						 crc);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_pieces),
	};

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	/* The same on a processor that has an instruction for it. */
	fake_crc32c_word = true;
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
