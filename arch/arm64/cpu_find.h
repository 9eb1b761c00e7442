/* SPDX-License-Identifier: MIT */
/* Which processors the machine has and how they are started, by what the firmware's tables say. */
#ifndef ARM64_CPU_FIND_H
#define ARM64_CPU_FIND_H

#include <hv/types.h>

/* MPIDR_EL1: Aff0 to Aff2, and Aff3 in bits 32-39. */
#define MPIDR_AFFINITY 0xff00ffffffu

/*
 * Affinities of the processors that are in use, but for @mpidr's, into @ids, of which there are
 * @max: by ACPI's MADT (@rsdp), and where that has none, by the devicetree (@fdt); either may be
 * NULL. Returns how many there are.
 */
u32 cpu_find(const void *rsdp, const void *fdt, u64 mpidr, u64 *ids, u32 max);

/* Whether the tables say that there is PSCI, called by SMC. */
bool cpu_find_psci(const void *rsdp, const void *fdt);

#endif
