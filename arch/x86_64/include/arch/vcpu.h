/* SPDX-License-Identifier: MIT */
/*
 * The x86_64 part of a virtual CPU: registers in hand while it runs, its whole architectural state
 * in canonical form while it doesn't, and one vendor's control block.
 */
#ifndef ARCH_VCPU_H
#define ARCH_VCPU_H

#include <arch/fetch.h>
#include <arch/x86.h>
#include <devices/vapic.h>
#include <hv/types.h>

/* General registers in the order of their encoding. */
enum x86_gpr {
	RAX,
	RCX,
	RDX,
	RBX,
	RSP,
	RBP,
	RSI,
	RDI,
	R8,
	R9,
	R10,
	R11,
	R12,
	R13,
	R14,
	R15,
};
#define GPR_COUNT 16

/*
 * The whole architectural state of a virtual CPU: what a snapshot saves, a reset sets and the
 * vendors translate to and from their control blocks. Holes are named, all of it is saved.
 */
struct x86_state {
	u64 gpr[GPR_COUNT];
	u64 rip, rflags;
	u64 cr0, cr2, cr3, cr4;
	u64 dr[4], dr6, dr7;
	u64 efer, pat;
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	struct x86_segment es, cs, ss, ds, fs, gs, ldtr, tr, gdtr, idtr;
	u64 tsc_adjust;
	u32 event; /* to be injected again: vector, type and valid bit as in EVENTINJ */
	u32 event_error;
	u8 cpl;
	u8 interrupt_shadow;
	u8 run_state; /* of vcpu_save_rests() */
	u8 nmi_pending;
	u8 nmi_masked;
	u8 pad[11];
	u8 fpu[512] __attribute__((aligned(16))); /* FXSAVE image */
};

extern const struct state_desc x86_state_desc;

struct cpu;
struct vmcb;

struct svm_vcpu {
	struct vmcb *vmcb;     /* one page */
	u32 clean;             /* VMCB clean bits that the next entry may claim */
	u64 asid_generation;   /* of the processor @cpu; 0: it needs a new one */
	const struct cpu *cpu; /* where it ran last */
};

struct vcpu_arch {
	/* In hand between load and put. The offsets are known to the assembler (asm_offsets). */
	u64 gpr[GPR_COUNT];
	u64 rip;
	u64 rflags;
	u64 host_rsp;
	u8 insn_length; /* of the instruction that exited; 0: not known yet */
	bool shadow;    /* interrupts are held off for one instruction (sti, mov ss) */
	bool window;    /* an exit was asked for when interrupts open */
	u32 pauses;     /* exits for PAUSE in this turn */
	/* [l] INIT came, and what came with or after it, which the next entry begins with. */
	bool init;
	bool startup; /* a start-up IPI: from page @startup_page on */
	u8 startup_page;
	/* An IRET that ends an NMI's handler is about to be executed, or has been; where it is. */
	bool nmi_leaving;
	u64 nmi_iret;
	/* Of the MMIO exit in progress: the guest's CR3, whether 64-bit code, the instruction. */
	bool code_64;
	u64 cr3;
	const struct decode_insn *insn; /* in fetch */
	struct svm_vcpu svm;
	struct vapic apic;
	struct fetch_cache fetch;
	struct x86_state state; /* valid while frozen or not loaded; fpu and dr always when put */
};

#endif
