/* SPDX-License-Identifier: MIT */
/* What loading a guest's kernel needs on every architecture: see guest/boot_x86.h, guest/image.h.
 */
#ifndef GUEST_BOOT_H
#define GUEST_BOOT_H

#include <hv/error.h>
#include <hv/types.h>

struct boot_file {
	/* Reads exactly @len bytes from @offset; only called for what lies within size. */
	enum hv_error (*read)(void *ctx, u64 offset, void *buf, size_t len);
	void *ctx;
	u64 size;         /* bytes */
	const char *name; /* for messages, and for the guest */
};

#endif
