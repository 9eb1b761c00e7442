/* SPDX-License-Identifier: MIT */
/* The arm64 part of a processor. */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include <hv/types.h>

struct cpu_arch {
	u64 unused;
};

#endif
