/* SPDX-License-Identifier: MIT */
/* What the parts of arch/arm64 share. */
#ifndef ARM64_EL2_H
#define ARM64_EL2_H

#include <arch/sysreg.h>
#include <internal/vcpu.h>
#include <internal/vm.h>

/* What a guest's physical addresses have, part of the baseline: 64 GiB, which every CPU can do. */
#define IPA_BITS 36u

/* What el2_enter() returns: the vector by which the guest was left. */
#define EL2_EXIT_SYNC   0
#define EL2_EXIT_IRQ    1
#define EL2_EXIT_FIQ    2
#define EL2_EXIT_SERROR 3

/* The physical interrupt of the hypervisor's timer, by architecture. Arm BSA section 3.6 */
#define INTID_HYP_TIMER 26u

/* What processor a guest sees: sysreg.c. */
#define BASELINE_NAME "anew-arm64-1"

/* Whether the firmware runs with HCR_EL2.E2H = 1, and so does anew. */
extern bool el2_vhe;

/* ---- el2_entry.S ---- */

u64 el2_enter(struct vcpu_arch *arch);
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
void gic_host_on(void);
void gic_host_off(void);
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
/* gic_host_fold() where there may be anything to take back. */
static inline void gic_host_fold_if_used(struct vcpu *vcpu)
{
	if (vcpu->arch.lr_count || vcpu->arch.vtimer_active)
		gic_host_fold(vcpu);
}
/* Fills the list registers anew. */
void gic_host_fill(struct vcpu *vcpu);
/* Whether the guest has ended what list register @index held. */
bool gic_host_lr_empty(u32 index);
/* Whether the hardware asks for another look at the list registers. */
bool gic_host_maintenance(void);
/* Makes the physical private interrupt @intid active, so that it isn't signalled, or not. */
void gic_host_set_active(u32 intid, bool active);

/* ---- timer.c ---- */

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

/* Into state after a reset or power-on: at @pc, with @x0, MMU off. */
void vcpu_reset_state(struct vcpu *vcpu, u64 pc, u64 x0);

#endif
