/* SPDX-License-Identifier: MIT */
#ifndef ARCH_RELAX_H
#define ARCH_RELAX_H

#include <sched.h>

/* Between two looks at what another processor is about to change. */
static inline void cpu_relax(void)
{
	sched_yield();
}

#endif
