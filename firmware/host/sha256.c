/* SPDX-License-Identifier: MIT */
#include "sha256.h"

#include <string.h>

/* FIPS 180-4, section 4.2.2. */
static const u32 round_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

/* FIPS 180-4, section 5.3.3. */
static const u32 initial_state[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static u32 rotate(u32 x, u32 by)
{
	return x >> by | x << (32 - by);
}

static u32 load_big_endian(const u8 *from)
{
	return (u32)from[0] << 24 | (u32)from[1] << 16 | (u32)from[2] << 8 | from[3];
}

static void store_big_endian(u8 *to, u32 value)
{
	for (u32 i = 0; i < 4; i++)
		to[i] = (u8)(value >> (24 - 8 * i));
}

/* FIPS 180-4, section 6.2.2. */
static void compress(struct sha256 *hash)
{
	u32 w[64], v[8];

	for (u32 i = 0; i < 16; i++)
		w[i] = load_big_endian(hash->block + (size_t)4 * i);
	for (u32 i = 16; i < 64; i++) {
		u32 a = w[i - 15], b = w[i - 2];

		w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
		       (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
	}
	memcpy(v, hash->state, sizeof(v));
	for (u32 i = 0; i < 64; i++) {
		u32 a = v[0], e = v[4];
		u32 t1 = v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
			 ((e & v[5]) ^ (~e & v[6])) + round_constants[i] + w[i];
		u32 t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
			 ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (u32 i = 0; i < 8; i++)
		hash->state[i] += v[i];
}

void sha256_init(struct sha256 *hash)
{
	memcpy(hash->state, initial_state, sizeof(hash->state));
	hash->length = 0;
}

void sha256_add(struct sha256 *hash, const void *data, size_t length)
{
	const u8 *from = data;

	while (length) {
		size_t used = hash->length % sizeof(hash->block);
		size_t count = min_u64(length, sizeof(hash->block) - used);

		memcpy(hash->block + used, from, count);
		hash->length += count;
		from += count;
		length -= count;
		if (used + count == sizeof(hash->block))
			compress(hash);
	}
}

void sha256_end(struct sha256 *hash, u8 digest[SHA256_SIZE])
{
	static const u8 padding[64] = {0x80};
	u64 bits = hash->length * 8;
	size_t used = hash->length % 64;
	u8 tail[8];

	store_big_endian(tail, (u32)(bits >> 32));
	store_big_endian(tail + 4, (u32)bits);
	sha256_add(hash, padding, used < 56 ? 56 - used : 120 - used);
	sha256_add(hash, tail, sizeof(tail));
	for (u32 i = 0; i < 8; i++)
		store_big_endian(digest + (size_t)4 * i, hash->state[i]);
	memset(hash, 0, sizeof(*hash));
}
