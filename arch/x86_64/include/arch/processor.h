/* SPDX-License-Identifier: MIT */
/* The processors of the machine: what cpus.c has for the rest of arch/x86_64. */
#ifndef ARCH_PROCESSOR_H
#define ARCH_PROCESSOR_H

#include <internal/cpu.h>

/* The one that this runs on; in any context. */
struct cpu *cpu_current(void);

/* For arch_cpu_off() of the boot CPU, the last one: undoes arch_cpus_find(). Firmware context. */
void cpu_boot_end(void);

#endif
