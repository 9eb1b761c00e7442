/* SPDX-License-Identifier: MIT */
/* Where the machine's GIC is, by what the firmware's tables say. */
#ifndef ARM64_GIC_FIND_H
#define ARM64_GIC_FIND_H

#include <hv/error.h>
#include <hv/types.h>

/* Physical addresses, 0 where the tables name none. */
struct gic_found {
	u64 distributor;
	u64 redistributor; /* GICv3: of the processor that was asked for */
	u64 gicc;          /* GICv2: the processor's interface */
	u64 gich, gicv;    /* GICv2 */
	u32 maintenance;   /* INTID, 0: not said */
};

/*
 * Looks through ACPI (@rsdp) and, where that has nothing, the devicetree (@fdt); either may be
 * NULL. @mpidr: MPIDR_EL1 of the processor that is asked for. HV_ENOT_FOUND if neither has a GIC.
 */
HV_MUST_CHECK enum hv_error gic_find(const void *rsdp, const void *fdt, u64 mpidr,
				     struct gic_found *found);

#endif
