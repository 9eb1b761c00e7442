/* SPDX-License-Identifier: MIT */
/* SHA-256, FIPS 180-4: what entropy is conditioned with. */
#ifndef FIRMWARE_HOST_SHA256_H
#define FIRMWARE_HOST_SHA256_H

#include <hv/types.h>

#define SHA256_SIZE 32

struct sha256 {
	u32 state[8];
	u64 length; /* bytes so far */
	u8 block[64];
};

void sha256_init(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *data, size_t length);
/* Writes the digest and forgets what was added. */
void sha256_end(struct sha256 *hash, u8 digest[SHA256_SIZE]);

#endif
