/* SPDX-License-Identifier: MIT */
/* A virtual CPU that plays a list of exits. */
#ifndef ARCH_VCPU_H
#define ARCH_VCPU_H

#include <internal/exit.h>
#include <hv/types.h>

struct vcpu_arch {
	/* Set by the test: what happens at each entry. When all are played: host interrupts. */
	const struct hv_exit *script;
	u32 script_length;
	bool has_irq;
	bool irq_again; /* what arch_vcpu_prepare_irq() says */
	/* What was asked of the CPU. */
	u32 played;
	u32 skips;
	u32 faults;
	u32 flushes;
	u32 prepares;
	u32 completes;
	u64 completed_value; /* of the last read that was answered */
	bool loaded;
};

#endif
