/* SPDX-License-Identifier: MIT */
/* A processor that is a thread of the test, or the test itself. */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include <hv/types.h>

struct cpu_arch {
	u64 timer; /* of arch_cpu_timer() */
};

#endif
