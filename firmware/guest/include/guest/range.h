/* SPDX-License-Identifier: MIT */
#ifndef GUEST_RANGE_H
#define GUEST_RANGE_H

#include <hv/types.h>

/* A part of a guest's physical address space. */
struct guest_range {
	u64 base;
	u64 length; /* bytes */
};

#endif
