/* SPDX-License-Identifier: MIT */
/*
 * The arm64 part of a virtual CPU. Its general registers are in `state` also while it runs (the
 * entry code loads and stores them there); its system and vector registers are in the hardware
 * between load and put, and in `state` otherwise.
 */
#ifndef ARCH_VCPU_H
#define ARCH_VCPU_H

#include <arch/decode.h>
#include <devices/vgic.h>
#include <hv/clock.h>
#include <hv/types.h>

#define DEBUG_PAIRS 2 /* breakpoints, and watchpoints, of the baseline */

/*
 * The whole architectural state of a virtual CPU, but for its interrupt controller: what a snapshot
 * saves and a reset sets. Holes are named, all of it is saved.
 */
struct arm64_state {
	u64 x[31];
	u64 pc;
	u64 pstate;
	u64 sp_el0, sp_el1;
	u64 elr_el1, spsr_el1, esr_el1, far_el1, afsr0_el1, afsr1_el1, par_el1;
	u64 sctlr_el1, cpacr_el1, ttbr0_el1, ttbr1_el1, tcr_el1, mair_el1, amair_el1;
	u64 vbar_el1, contextidr_el1, csselr_el1, cntkctl_el1, mdscr_el1;
	u64 tpidr_el0, tpidrro_el0, tpidr_el1;
	u64 dbgbvr[DEBUG_PAIRS], dbgbcr[DEBUG_PAIRS], dbgwvr[DEBUG_PAIRS], dbgwcr[DEBUG_PAIRS];
	u64 cntv_ctl, cntv_cval; /* in guest counter ticks */
	u64 cntp_ctl, cntp_cval;
	u64 midr, ctr; /* of the machine that it was started on: what errata and caches depend on */
	u64 fpsr, fpcr;
	u8 os_lock;
	u8 run_state; /* of vcpu_save_rests() */
	u8 pad[6];
	u64 v[64]; /* V0-V31, the low half first */
};

extern const struct state_desc arm64_state_desc;

/* As many list registers as any GIC has. */
#define LIST_REGISTERS_MAX 16

struct vcpu_arch {
	struct arm64_state state; /* first: the entry code has offsets into it */
	u64 esr;                  /* of the last exit */
	bool loaded;
	struct a64_insn insn; /* of the MMIO access in progress */
	/* What is in the hardware's list registers now, and how often it was taken back. */
	u32 lr_count;
	u32 folds;
	bool lr_more;       /* others wait for one */
	bool vtimer_active; /* the physical interrupt of the virtual timer is active for this one */
	struct vgic_lr lrs[LIST_REGISTERS_MAX];
	struct irq_line vtimer_line, ptimer_line;
	struct timer vtimer; /* wakes a halted vCPU when CNTV would fire */
	struct timer ptimer; /* the physical timer, which is emulated */
};

#endif
