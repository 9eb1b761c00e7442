/* SPDX-License-Identifier: MIT */
#ifndef ARCH_RELAX_H
#define ARCH_RELAX_H

/* Between two looks at what another processor is about to change. */
static inline void cpu_relax(void)
{
	__builtin_ia32_pause();
}

#endif
