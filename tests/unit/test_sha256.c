/* SPDX-License-Identifier: MIT */
/* The known answers of FIPS 180-4 (NIST's example values). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sha256.h"

struct answer {
	const char *text;
	u8 digest[SHA256_SIZE];
};

static const struct answer answers[] = {
	{"", {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
	      0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
	      0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}},
	{"abc", {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
		 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
		 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad}},
	{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	 {0x24, 0x8d, 0x6a, 0x61, 0xd2, 0x06, 0x38, 0xb8, 0xe5, 0xc0, 0x26,
	  0x93, 0x0c, 0x3e, 0x60, 0x39, 0xa3, 0x3c, 0xe4, 0x59, 0x64, 0xff,
	  0x21, 0x67, 0xf6, 0xec, 0xed, 0xd4, 0x19, 0xdb, 0x06, 0xc1}},
};

static void known_answers(void **test_state)
{
	(void)test_state;
	for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
		struct sha256 hash;
		u8 digest[SHA256_SIZE];

		sha256_init(&hash);
		sha256_add(&hash, answers[i].text, strlen(answers[i].text));
		sha256_end(&hash, digest);
		assert_memory_equal(digest, answers[i].digest, sizeof(digest));
	}
}

/* In pieces of every size around the block's, against the whole at once. */
static void pieces_make_the_whole(void **test_state)
{
	u8 data[300], whole[SHA256_SIZE], digest[SHA256_SIZE];
	struct sha256 hash;

	(void)test_state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i * 7);
	for (size_t length = 0; length <= sizeof(data); length++) {
		sha256_init(&hash);
		sha256_add(&hash, data, length);
		sha256_end(&hash, whole);
		for (size_t step = 1; step < 130; step += 21) {
			sha256_init(&hash);
			for (size_t at = 0; at < length; at += step)
				sha256_add(&hash, data + at, min_u64(step, length - at));
			sha256_end(&hash, digest);
			assert_memory_equal(digest, whole, sizeof(whole));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(pieces_make_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
