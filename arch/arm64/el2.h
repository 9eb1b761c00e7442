/* SPDX-License-Identifier: MIT */
/* What the parts of arch/arm64 share. */
#ifndef ARM64_EL2_H
#define ARM64_EL2_H

#include <arch/sysreg.h>
#include <internal/cpu.h>
#include <internal/vcpu.h>
#include <internal/vm.h>

/* What a guest's physical addresses have, part of the baseline: 64 GiB, which every CPU can do. */
#define IPA_BITS 36u

/* The vector by which a guest was left. */
#define EL2_EXIT_SYNC   0
#define EL2_EXIT_IRQ    1
#define EL2_EXIT_FIQ    2
#define EL2_EXIT_SERROR 3

/* The physical interrupt of the hypervisor's timer, by architecture. Arm BSA section 3.6 */
#define INTID_HYP_TIMER 26u

/* What processor a guest sees: sysreg.c. */
#define BASELINE_NAME "anew-arm64-1"

/* VMIDs are 8 bits at least; 0 is nobody's. */
#define VMID_COUNT 256

/* Whether the firmware runs with HCR_EL2.E2H = 1, and so does anew. */
extern bool el2_vhe;

/* ---- a processor ---- */

/* How far it has come. One that comes too late is not wanted any more, and goes again. */
enum el2_cpu_state {
	EL2_CPU_STARTS,
	EL2_CPU_COMES, /* in its own code: it arrives soon */
	EL2_CPU_HERE,
	EL2_CPU_DIFFERS, /* it isn't like the boot CPU */
	EL2_CPU_LATE,
};

/*
 * All but @state is its own once it is started, and [v] of the virtual CPU that it runs. The first
 * part is what el2_cpu_entry puts in place, which has offsets into it.
 */
struct el2_cpu {
	u64 stack; /* its upper end */
	u64 hcr, mair, tcr, ttbr0, ttbr1, sctlr;
	struct cpu *cpu;
	u32 state; /* atomic: enum el2_cpu_state */
	/* As found, from arch_cpu_on() to arch_cpu_off(). */
	struct {
		u64 vttbr, vtcr, vpidr, vmpidr, hstr, sctlr_el1;
	} before;
	/* What holds while no guest is loaded: the firmware's registers on the boot CPU. */
	struct {
		u64 hcr, hcrx, vbar, tpidr, cptr, mdcr, cnthctl, mdscr, fpcr, fpsr, daif;
		u64 v[64];
	} host;
	struct vcpu *loaded;
	struct {
		u64 ctl, cval, offset; /* CNTV as the guest's is not in place */
		bool hyp;              /* CNTHP is there to be used */
		u64 tick;              /* counter when the firmware's tick is due; UINT64_MAX */
		u64 at;                /* the same of arch_cpu_timer() */
	} timer;
	struct {
		volatile u8 *private; /* frame that private interrupts are set up in */
		u32 before;           /* of those that anew uses: which were enabled */
		u32 waker;            /* GICv3: GICR_WAKER before */
		u32 target;           /* GICv2: its bit in the target list of an SGI */
	} gic;
	u8 last[VMID_COUNT]; /* the index of the virtual CPU that ran last, and 1 */
};

/* Whether @vcpu is loaded on the processor that this runs on. */
static inline bool vcpu_is_here(const struct vcpu *vcpu)
{
	return sysreg_read("tpidr_el2") == (uintptr_t)vcpu;
}

/* The processor of a virtual CPU that runs. */
static inline struct el2_cpu *el2_of(const struct vcpu *vcpu)
{
	return vcpu->cpu->arch.el2;
}

/* ---- el2_entry.S ---- */

/* Where another processor arrives, its struct el2_cpu in x0, and what comes next. */
extern const u8 el2_cpu_entry[], el2_cpu_entry_end[];
HV_NORETURN void el2_cpu_main(struct el2_cpu *el2);

/* Called there at the end of arch_vcpu_run(), @kind: EL2_EXIT_*. */
void vcpu_left(struct vcpu *vcpu, u64 kind, struct hv_exit *exit);
extern const u8 el2_vectors[];
void el2_vector_save(u64 v[64]);
void el2_vector_load(const u64 v[64]);
/* Called there for an exception of anew's own, with the vector's number of four. Panics. */
HV_NORETURN void el2_own_fault(u64 kind, u64 esr, u64 elr, u64 far);

/* ---- stage2.c ---- */

/* Says what is missing for second-stage translation; HV_EUNSUPPORTED then. */
HV_MUST_CHECK enum hv_error stage2_check(void);
void stage2_init(void);
bool stage2_has_fwb(void);
/* Physical address of the table that walks begin with. */
u64 stage2_base(const struct vm *vm);

/* ---- gic_host.c: the machine's GIC ---- */

/* Finds it; says what is missing. */
HV_MUST_CHECK enum hv_error gic_host_check(void);
/* Finds what is @cpu's alone of it; HV_ENOT_FOUND. Boot CPU, firmware context. */
HV_MUST_CHECK enum hv_error gic_host_find(struct cpu *cpu);
/* On the boot CPU, as the firmware has it set up; and on another one, which has nothing yet. */
void gic_host_on(struct cpu *cpu);
void gic_host_off(struct cpu *cpu);
void gic_host_start(struct cpu *cpu);
void gic_host_stop(struct cpu *cpu);
/*
 * Chooses the interrupt by which others kick the boot CPU: one that no device seems to have. False:
 * there is none. And gives it back.
 */
HV_MUST_CHECK bool gic_host_take_line(void);
void gic_host_return_line(void);
void gic_host_kick(const struct cpu *cpu);
/* Nobody has kicked @cpu, which this runs on. */
void gic_host_forget_kick(const struct cpu *cpu);
enum vgic_version gic_host_version(void);
/* GICv2: physical address of the virtual CPU interface, 8 KiB, that the guest is given. */
hpa_t gic_host_vcpu_interface(void);
/* The guest's CPU interface into the hardware, and back with all list registers. */
void gic_host_load(struct vcpu *vcpu);
void gic_host_put(struct vcpu *vcpu);
/*
 * Takes the list registers back, so that the software's state is whole, and brings the virtual
 * timer's line up to date. The list registers are filled again before the next entry.
 */
void gic_host_fold(struct vcpu *vcpu);
/* Fills the list registers anew. */
void gic_host_fill(struct vcpu *vcpu);
/* Whether the guest has ended what list register @index held. */
bool gic_host_lr_empty(u32 index);
/* Whether the hardware asks for another look at the list registers. */
bool gic_host_maintenance(void);
/*
 * Makes the physical private interrupt @intid of @cpu active, so that it isn't signalled, or not.
 * With GICv2 @cpu is the one that this runs on.
 */
void gic_host_set_active(const struct cpu *cpu, u32 intid, bool active);

/* ---- timer.c ---- */

/* None of the processor's timers, which is anew's alone, is on. */
void timer_start(void);
/* The hypervisor's timer is for when the counter is @at; UINT64_MAX: never. */
void timer_hyp_set(u64 at);
/* Whether that has come on @el2, where this runs. */
bool timer_hyp_fired(const struct el2_cpu *el2);
void timer_init_vcpu(struct vcpu *vcpu);
void timer_load(struct vcpu *vcpu);
void timer_put(struct vcpu *vcpu);
/* Brings the virtual timer's line up to date; loaded, with nothing in the list registers. */
void timer_sample(struct vcpu *vcpu);
/* After an interrupt: whether it was the virtual timer's, and nobody has seen to it. */
bool timer_fired(const struct vcpu *vcpu);
/* After time or the registers were replaced, by a reset's or a snapshot's. */
void timer_after_load(struct vcpu *vcpu);
/* Registers of the physical timer, which is emulated: CNTP_*. */
enum io_result timer_register(struct vcpu *vcpu, u32 reg, struct io_access *access);

/* ---- sysreg.c ---- */

/* Whether the machine has what the baseline promises; each lack is one log line. */
HV_MUST_CHECK enum hv_error sysreg_check(void);
/* What of the baseline depends on the machine's kind, once that is known. */
void sysreg_init(void);
HV_MUST_CHECK enum hv_error sysreg_register(struct vm *vm);
/* Breakpoints and watchpoints of the guest into the hardware, and out of it. */
void sysreg_debug_load(const struct arm64_state *state);
void sysreg_debug_put(const struct arm64_state *state);

/* ---- psci.c ---- */

/* A call by HVC or SMC: SMCCC and PSCI. */
enum hv_verdict psci_call(struct vcpu *vcpu);

/* ---- vcpu.c ---- */

/* What HCR_EL2 is while a guest runs; once it is known what the machine has. */
void vcpu_hcr_init(void);

/* Into state after a reset or power-on: at @pc, with @x0, MMU off. */
void vcpu_reset_state(struct vcpu *vcpu, u64 pc, u64 x0);

#endif
