/* SPDX-License-Identifier: MIT */
/* The arm64 part of a processor. */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

struct el2_cpu; /* el2.h */

struct cpu_arch {
	struct el2_cpu *el2; /* [c] from its start to its end */
};

#endif
