/* SPDX-License-Identifier: MIT */
#ifndef ARCH_RELAX_H
#define ARCH_RELAX_H

/* Between two looks at what another processor is about to change: it may be a thread that waits. */
void cpu_relax(void);

#endif
