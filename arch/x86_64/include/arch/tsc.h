/* SPDX-License-Identifier: MIT */
/* How fast the time-stamp counter counts, by a clock of the machine whose rate is known. */
#ifndef ARCH_TSC_H
#define ARCH_TSC_H

#include <hv/types.h>

/* Of the ACPI power management timer, Hz. ACPI 6.5 section 4.8.3.3. */
#define PM_TIMER_HZ ((u64)3579545)

struct pm_timer {
	u16 port; /* 0: the machine has none */
	u32 mask; /* of the bits that count: 24 or 32 */
};

/* Where the timer is, by the FADT of @rsdp, which may be NULL. */
struct pm_timer pm_timer_find(const void *rsdp);

/*
 * Rate of the counter in whole kHz, as Hz; 0 when it doesn't count. Takes some 50 ms, up to a
 * second where there is no timer.
 */
u64 tsc_calibrate(void);

#endif
