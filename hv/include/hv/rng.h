/* SPDX-License-Identifier: MIT */
/* Randomness as handed to a device. Fails closed: without entropy nothing is written. */
#ifndef HV_RNG_H
#define HV_RNG_H

#include <hv/error.h>
#include <hv/types.h>

struct rng {
	enum hv_error (*fill)(void *ctx, void *buf, size_t length);
	void *ctx;
};

/* @length random bytes into @buf, or HV_ENO_ENTROPY. */
HV_MUST_CHECK static inline enum hv_error rng_fill(const struct rng *rng, void *buf, size_t length)
{
	return rng->fill(rng->ctx, buf, length);
}

#endif
