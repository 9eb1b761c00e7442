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

/* Both architectures are little-endian. */
static inline u32 load_big_endian(const u8 *from)
{
	u32 value;

	__builtin_memcpy(&value, from, sizeof(value));
	return __builtin_bswap32(value);
}

static void store_big_endian(u8 *to, u32 value)
{
	for (u32 i = 0; i < 4; i++)
		to[i] = (u8)(value >> (24 - 8 * i));
}

/* The sums of three rotations, by 2, 13 and 22 and by 6, 11 and 25, each on from the last. */
static inline u32 sum_0(u32 x)
{
	return rotate(rotate(rotate(x, 9) ^ x, 11) ^ x, 2);
}

static inline u32 sum_1(u32 x)
{
	return rotate(rotate(rotate(x, 14) ^ x, 5) ^ x, 6);
}

/* One round. Which variable is a to h changes from one to the next, so that none is moved. */
static inline void step(u32 a, u32 b, u32 c, u32 *d, u32 e, u32 f, u32 g, u32 *h, u32 word)
{
	u32 t1 = *h + sum_1(e) + (g ^ (e & (f ^ g))) + word;
	u32 t2 = sum_0(a) + ((a & b) | (c & (a | b)));

	*d += t1;
	*h = t1 + t2;
}

/* FIPS 180-4, section 6.2.2. */
static void compress(struct sha256 *hash)
{
	u32 *v = hash->state;
	u32 a = v[0], b = v[1], c = v[2], d = v[3], e = v[4], f = v[5], g = v[6], h = v[7];
	u32 w[64];

	for (u32 i = 0; i < 16; i++)
		w[i] = load_big_endian(hash->block + (size_t)4 * i);
	for (u32 i = 16; i < 64; i++) {
		u32 x = w[i - 15], y = w[i - 2];

		w[i] = w[i - 16] + (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) + w[i - 7] +
		       (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10);
	}
	for (u32 i = 0; i < 64; i += 8) {
		step(a, b, c, &d, e, f, g, &h, round_constants[i] + w[i]);
		step(h, a, b, &c, d, e, f, &g, round_constants[i + 1] + w[i + 1]);
		step(g, h, a, &b, c, d, e, &f, round_constants[i + 2] + w[i + 2]);
		step(f, g, h, &a, b, c, d, &e, round_constants[i + 3] + w[i + 3]);
		step(e, f, g, &h, a, b, c, &d, round_constants[i + 4] + w[i + 4]);
		step(d, e, f, &g, h, a, b, &c, round_constants[i + 5] + w[i + 5]);
		step(c, d, e, &f, g, h, a, &b, round_constants[i + 6] + w[i + 6]);
		step(b, c, d, &e, f, g, h, &a, round_constants[i + 7] + w[i + 7]);
	}
	v[0] += a;
	v[1] += b;
	v[2] += c;
	v[3] += d;
	v[4] += e;
	v[5] += f;
	v[6] += g;
	v[7] += h;
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
