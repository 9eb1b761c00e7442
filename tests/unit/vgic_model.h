/* SPDX-License-Identifier: MIT */
/*
 * The virtual GIC in lock-step with a plain model of a GIC, which has a structure per interrupt and
 * no list registers. A source of numbers drives guests and devices; each acknowledge has to give
 * what the model gives, no more and no less, and registers have to read the same. At random moments
 * the state is saved and goes on in another GIC. What does not hold aborts with a message.
 */
#ifndef TESTS_VGIC_MODEL_H
#define TESTS_VGIC_MODEL_H

#include "vgic_machine.h"

/* Gives the next number; *@end becomes true when there are no more. */
typedef u32 (*vgic_model_source)(void *ctx, bool *end);

/* How often things happened, to see that a run was worth it. */
struct vgic_model_counts {
	u64 acks;
	u64 nested;  /* acks while another was active */
	u64 missing; /* ends of interrupts that were in no list register */
	u64 loads;
	u64 wakes; /* a CPU that waits would have been woken */
};

/* Plays at most @steps steps. @counts is added to. */
void vgic_model_run(enum vgic_version version, u32 cpu_count, u32 lr_count,
		    vgic_model_source source, void *ctx, u32 steps,
		    struct vgic_model_counts *counts);

#endif
