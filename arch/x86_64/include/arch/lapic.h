/* SPDX-License-Identifier: MIT */
/*
 * The machine's own local APICs, in the form that the firmware left them in: xAPIC or x2APIC. Intel
 * SDM vol. 3 chapter 11, AMD APM vol. 2 chapter 16. On the boot CPU the firmware has its APIC, and
 * anew only sends by it and ends what the firmware's handlers called it for.
 */
#ifndef ARCH_LAPIC_H
#define ARCH_LAPIC_H

#include <hv/error.h>
#include <hv/types.h>

/* Vectors on the processors that are anew's alone. */
#define LAPIC_TIMER_VECTOR    0xf0u
#define LAPIC_SPURIOUS_VECTOR 0xffu

#define LAPIC_LVT_MAX 6u

/* What lapic_begin() found. */
struct lapic_before {
	u32 tpr, svr, divide;
	u32 lvt[LAPIC_LVT_MAX];
};

/* The id of the APIC of the processor that this runs on: CPUID has it. */
u32 lapic_id(void);

/* Notes the form that the APICs are in, as the boot CPU's is. HV_EUNSUPPORTED: it is off. */
HV_MUST_CHECK enum hv_error lapic_init(void);

/*
 * Takes the APIC of this processor, whose interrupts are held back: nothing comes but NMIs, IPIs
 * and, by lapic_timer(), the timer. Returns why not, or NULL.
 */
const char *lapic_begin(struct lapic_before *before);
void lapic_end(const struct lapic_before *before);

/* An interrupt of @vector, when the time-stamp counter is @at; UINT64_MAX: none. May be early. */
void lapic_timer(u64 at);
void lapic_eoi(void);
/* Sends @vector to the APIC @id. */
void lapic_send(u32 id, u8 vector);

#endif
