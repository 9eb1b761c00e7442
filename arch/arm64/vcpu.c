/* SPDX-License-Identifier: MIT */
/* A virtual CPU of arm64 and the processor it runs on: what hv/internal/arch.h asks for. */
#include <hv/state.h>
#include <internal/arch.h>
#include <internal/host.h>
#include <internal/sched.h>
#include <stdio.h>
#include <string.h>

#include "el2.h"

static_assert(offsetof(struct vcpu, last_exit) == 0x90, "el2_entry.S");
static_assert(offsetof(struct vcpu, arch.state) == 0xd8, "el2_entry.S");
static_assert(offsetof(struct arm64_state, x) == 0, "el2_entry.S");
static_assert(offsetof(struct arm64_state, pc) == 0xf8, "el2_entry.S");
static_assert(offsetof(struct arm64_state, pstate) == 0x100, "el2_entry.S");

/* FP and vector instructions work, SVE and SME trap: CPTR_EL2 in its two forms. Arm ARM D19.2.35 */
#define CPTR_GUEST     ((u64)0x33ff)
#define CPTR_GUEST_VHE ((u64)3 << 20)

/* CNTHCTL_EL2: the guest's access to the physical counter and timer traps where these are clear. */
#define CNTHCTL_EL1     (BIT(0) | BIT(1))
#define CNTHCTL_EL1_VHE (BIT(10) | BIT(11))

#define VTTBR_VMID_SHIFT 48
#define IPA_PAGE         0x0000fffffffff000u
#define INSN_LENGTH      4
static u64 guest_hcr;

static bool has_hcrx(void)
{
	return (sysreg_read("id_aa64mmfr1_el1") >> 40) & 0xf;
}

void vcpu_hcr_init(void)
{
	/*
	 * API, APK, ATA and what HCRX_EL2 allows stay clear: pointer authentication, memory tags
	 * and memory copies aren't of the baseline, and trap or are undefined.
	 */
	guest_hcr = HCR_VM | HCR_SWIO | HCR_FMO | HCR_IMO | HCR_AMO | HCR_TWI | HCR_TID3 | HCR_TSC |
		    HCR_TIDCP | HCR_TACR | HCR_RW;
	if (el2_vhe)
		guest_hcr |= HCR_E2H;
	if (stage2_has_fwb())
		guest_hcr |= HCR_FWB;
	if ((sysreg_read("id_aa64mmfr1_el1") >> 16) & 0xf) /* LO */
		guest_hcr |= HCR_TLOR;
	if ((sysreg_read("id_aa64pfr1_el1") >> 8) & 0xf) /* MTE */
		guest_hcr |= HCR_TID5;
}

/* ---- state ---- */

static enum hv_error state_check(const void *obj, const char **why)
{
	const struct arm64_state *s = obj;
	u32 el = PSTATE_EL(s->pstate);

	if ((s->pstate & PSTATE_32) || el > 1 || (el == 0 && (s->pstate & PSTATE_SP)) ||
	    (s->pstate & BIT(1)))
		*why = "the saved program state isn't one of EL0 or EL1 in AArch64";
	else if (s->midr != sysreg_read("midr_el1"))
		*why = "the guest was started on another kind of processor (MIDR_EL1)";
	else if (s->ctr != sysreg_read("ctr_el0"))
		*why = "the guest was started on a processor with other caches (CTR_EL0)";
	else if ((s->cntv_ctl | s->cntp_ctl) & ~(TIMER_ENABLE | TIMER_IMASK))
		*why = "a timer's control has bits that there aren't";
	else if (s->os_lock > 1 || s->run_state >= VCPU_RUN_STATES)
		*why = "a flag is neither 0 nor 1";
	else
		return HV_OK;
	return HV_EINVALID;
}

static void state_before_save(void *obj)
{
	struct vcpu *vcpu = container_of(obj, struct vcpu, arch.state);

	vcpu->arch.state.run_state = vcpu_save_rests(vcpu);
}

static void state_after_load(void *obj)
{
	struct vcpu *vcpu = container_of(obj, struct vcpu, arch.state);

	vcpu_load_rests(vcpu, vcpu->arch.state.run_state);
	vcpu_post(vcpu, PENDING_IRQ | PENDING_FLUSH);
	timer_after_load(vcpu);
}

#define ARM64_STATE_FIELDS(SAVED, TRANSIENT)                                                       \
	SAVED(struct arm64_state, x)                                                               \
	SAVED(struct arm64_state, pc)                                                              \
	SAVED(struct arm64_state, pstate)                                                          \
	SAVED(struct arm64_state, sp_el0)                                                          \
	SAVED(struct arm64_state, sp_el1)                                                          \
	SAVED(struct arm64_state, elr_el1)                                                         \
	SAVED(struct arm64_state, spsr_el1)                                                        \
	SAVED(struct arm64_state, esr_el1)                                                         \
	SAVED(struct arm64_state, far_el1)                                                         \
	SAVED(struct arm64_state, afsr0_el1)                                                       \
	SAVED(struct arm64_state, afsr1_el1)                                                       \
	SAVED(struct arm64_state, par_el1)                                                         \
	SAVED(struct arm64_state, sctlr_el1)                                                       \
	SAVED(struct arm64_state, cpacr_el1)                                                       \
	SAVED(struct arm64_state, ttbr0_el1)                                                       \
	SAVED(struct arm64_state, ttbr1_el1)                                                       \
	SAVED(struct arm64_state, tcr_el1)                                                         \
	SAVED(struct arm64_state, mair_el1)                                                        \
	SAVED(struct arm64_state, amair_el1)                                                       \
	SAVED(struct arm64_state, vbar_el1)                                                        \
	SAVED(struct arm64_state, contextidr_el1)                                                  \
	SAVED(struct arm64_state, csselr_el1)                                                      \
	SAVED(struct arm64_state, cntkctl_el1)                                                     \
	SAVED(struct arm64_state, mdscr_el1)                                                       \
	SAVED(struct arm64_state, tpidr_el0)                                                       \
	SAVED(struct arm64_state, tpidrro_el0)                                                     \
	SAVED(struct arm64_state, tpidr_el1)                                                       \
	SAVED(struct arm64_state, dbgbvr)                                                          \
	SAVED(struct arm64_state, dbgbcr)                                                          \
	SAVED(struct arm64_state, dbgwvr)                                                          \
	SAVED(struct arm64_state, dbgwcr)                                                          \
	SAVED(struct arm64_state, cntv_ctl)                                                        \
	SAVED(struct arm64_state, cntv_cval)                                                       \
	SAVED(struct arm64_state, cntp_ctl)                                                        \
	SAVED(struct arm64_state, cntp_cval)                                                       \
	SAVED(struct arm64_state, midr)                                                            \
	SAVED(struct arm64_state, ctr)                                                             \
	SAVED(struct arm64_state, fpsr)                                                            \
	SAVED(struct arm64_state, fpcr)                                                            \
	SAVED(struct arm64_state, os_lock)                                                         \
	SAVED(struct arm64_state, run_state)                                                       \
	TRANSIENT(struct arm64_state, pad, "padding")                                              \
	SAVED(struct arm64_state, v)

STATE_DEFINE(arm64_state_desc, "arm64-cpu", 1, struct arm64_state, ARM64_STATE_FIELDS,
	     .check = state_check, .before_save = state_before_save,
	     .after_load = state_after_load);

/* The registers that are in the hardware while loaded. X(member, name at EL1, name with E2H) */
#define EL1_REGISTERS(X)                                                                           \
	X(sp_el0, "sp_el0", "sp_el0")                                                              \
	X(sp_el1, "sp_el1", "sp_el1")                                                              \
	X(elr_el1, "elr_el1", ELR_EL12)                                                            \
	X(spsr_el1, "spsr_el1", SPSR_EL12)                                                         \
	X(esr_el1, "esr_el1", ESR_EL12)                                                            \
	X(far_el1, "far_el1", FAR_EL12)                                                            \
	X(afsr0_el1, "afsr0_el1", AFSR0_EL12)                                                      \
	X(afsr1_el1, "afsr1_el1", AFSR1_EL12)                                                      \
	X(par_el1, "par_el1", "par_el1")                                                           \
	X(cpacr_el1, "cpacr_el1", CPACR_EL12)                                                      \
	X(ttbr0_el1, "ttbr0_el1", TTBR0_EL12)                                                      \
	X(ttbr1_el1, "ttbr1_el1", TTBR1_EL12)                                                      \
	X(tcr_el1, "tcr_el1", TCR_EL12)                                                            \
	X(mair_el1, "mair_el1", MAIR_EL12)                                                         \
	X(amair_el1, "amair_el1", AMAIR_EL12)                                                      \
	X(vbar_el1, "vbar_el1", VBAR_EL12)                                                         \
	X(contextidr_el1, "contextidr_el1", CONTEXTIDR_EL12)                                       \
	X(csselr_el1, "csselr_el1", "csselr_el1")                                                  \
	X(cntkctl_el1, "cntkctl_el1", CNTKCTL_EL12)                                                \
	X(tpidr_el0, "tpidr_el0", "tpidr_el0")                                                     \
	X(tpidrro_el0, "tpidrro_el0", "tpidrro_el0")                                               \
	X(tpidr_el1, "tpidr_el1", "tpidr_el1")                                                     \
	X(sctlr_el1, "sctlr_el1", SCTLR_EL12)

static void el1_load(const struct arm64_state *s)
{
#define LOAD(member, name, name_vhe)     sysreg_write(name, s->member);
#define LOAD_VHE(member, name, name_vhe) sysreg_write(name_vhe, s->member);
	if (el2_vhe) {
		EL1_REGISTERS(LOAD_VHE)
	} else {
		EL1_REGISTERS(LOAD)
	}
#undef LOAD
#undef LOAD_VHE
}

static void el1_save(struct arm64_state *s)
{
#define SAVE(member, name, name_vhe)     s->member = sysreg_read(name);
#define SAVE_VHE(member, name, name_vhe) s->member = sysreg_read(name_vhe);
	if (el2_vhe) {
		EL1_REGISTERS(SAVE_VHE)
	} else {
		EL1_REGISTERS(SAVE)
	}
#undef SAVE
#undef SAVE_VHE
}

enum hv_error arch_vcpu_init(struct vcpu *vcpu)
{
	(void)vcpu;
	return HV_OK;
}

void arch_vcpu_fini(struct vcpu *vcpu)
{
	(void)vcpu;
}

void vcpu_reset_state(struct vcpu *vcpu, u64 pc, u64 x0)
{
	struct arm64_state *s = &vcpu->arch.state;

	memset(s, 0, sizeof(*s));
	s->pc = pc;
	s->x[0] = x0;
	s->pstate = PSTATE_EL1H | PSTATE_DAIF;
	/* All that is fixed at 1, MMU and caches off, little-endian. Arm ARM D19.2.122 */
	s->sctlr_el1 = 0x30d00800;
	s->os_lock = 1;
	s->midr = sysreg_read("midr_el1");
	s->ctr = sysreg_read("ctr_el0");
	timer_after_load(vcpu);
}

/* ---- running ---- */

static void vttbr_write(struct vcpu *vcpu)
{
	const struct vm *vm = vcpu->vm;

	sysreg_write("vttbr_el2", stage2_base(vm) | (u64)vm->arch.vmid << VTTBR_VMID_SHIFT);
	isb();
}

/*
 * Another virtual CPU of the VM has left translations here that have the same VMID, and of
 * address spaces to which both may give the same number. Arm ARM D8.14
 */
static void forget_sibling(struct vcpu *vcpu)
{
	u8 *last = &el2_of(vcpu)->last[vcpu->vm->arch.vmid];
	u8 own = (u8)(vcpu->index + 1);

	if (*last && *last != own)
		__asm__ volatile("tlbi vmalle1; ic iallu; dsb nsh; isb" : : : "memory");
	*last = own;
}

void arch_vcpu_load(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;
	const struct arm64_state *s = &arch->state;
	struct el2_cpu *el2 = el2_of(vcpu);
	typeof(el2->host) *host = &el2->host;

	if (vcpu->cpu == cpu_boot())
		host_context_firmware = false;
	host->daif = sysreg_read("daif");
	__asm__ volatile("msr daifset, #0xf" : : : "memory");
	host->vbar = sysreg_read("vbar_el2");
	host->tpidr = sysreg_read("tpidr_el2");
	host->cptr = sysreg_read("cptr_el2");
	host->mdcr = sysreg_read("mdcr_el2");
	host->cnthctl = sysreg_read("cnthctl_el2");
	host->mdscr = sysreg_read("mdscr_el1");
	host->hcr = sysreg_read("hcr_el2");
	if (has_hcrx()) {
		host->hcrx = sysreg_read(HCRX_EL2);
		sysreg_write(HCRX_EL2, 0);
	}
	sysreg_write("vbar_el2", (uintptr_t)el2_vectors);
	sysreg_write("tpidr_el2", (uintptr_t)vcpu);
	sysreg_write("cptr_el2", el2_vhe ? CPTR_GUEST_VHE : CPTR_GUEST);
	sysreg_write("mdcr_el2", (host->mdcr & MDCR_HPMN) | MDCR_TPM | MDCR_TPMCR | MDCR_TDA |
					 MDCR_TDOSA | MDCR_TDRA);
	sysreg_write("cnthctl_el2", host->cnthctl & ~(el2_vhe ? CNTHCTL_EL1_VHE : CNTHCTL_EL1));
	sysreg_write("vpidr_el2", s->midr);
	sysreg_write("vmpidr_el2", BIT(31) | vgic_affinity(vcpu->index));
	vttbr_write(vcpu);
	sysreg_write("hcr_el2", guest_hcr | (sched_sibling_waits(vcpu) ? HCR_TWE : 0));
	isb();
	forget_sibling(vcpu);
	host->fpcr = sysreg_read("fpcr");
	host->fpsr = sysreg_read("fpsr");
	el2_vector_save(host->v);
	el2_vector_load(s->v);
	sysreg_write("fpcr", s->fpcr);
	sysreg_write("fpsr", s->fpsr);
	el1_load(s);
	sysreg_debug_load(s);
	vm_lock(vcpu->vm);
	timer_load(vcpu);
	gic_host_load(vcpu);
	arch->loaded = true;
	el2->loaded = vcpu;
	vm_unlock(vcpu->vm);
	isb();
}

void arch_vcpu_put(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;
	struct arm64_state *s = &arch->state;
	struct el2_cpu *el2 = el2_of(vcpu);
	const typeof(el2->host) *host = &el2->host;

	vm_lock(vcpu->vm);
	gic_host_put(vcpu);
	timer_put(vcpu);
	arch->loaded = false;
	el2->loaded = NULL;
	vm_unlock(vcpu->vm);
	sysreg_debug_put(s);
	el1_save(s);
	s->fpcr = sysreg_read("fpcr");
	s->fpsr = sysreg_read("fpsr");
	el2_vector_save(s->v);
	el2_vector_load(host->v);
	sysreg_write("fpcr", host->fpcr);
	sysreg_write("fpsr", host->fpsr);
	sysreg_write("hcr_el2", host->hcr);
	if (has_hcrx())
		sysreg_write(HCRX_EL2, host->hcrx);
	sysreg_write("mdscr_el1", host->mdscr);
	sysreg_write("cnthctl_el2", host->cnthctl);
	sysreg_write("mdcr_el2", host->mdcr);
	sysreg_write("cptr_el2", host->cptr);
	sysreg_write("tpidr_el2", host->tpidr);
	sysreg_write("vbar_el2", host->vbar);
	isb();
	if (vcpu->cpu == cpu_boot())
		host_context_firmware = true;
	sysreg_write("daif", host->daif);
}

/* Translates @far by the guest's own tables, as the hardware does: Arm ARM C5.5. */
static bool translate(u64 far, u64 *ipa)
{
	u64 saved = sysreg_read("par_el1"), par;

	__asm__ volatile("at s1e1r, %0; isb" : : "r"(far) : "memory");
	par = sysreg_read("par_el1");
	sysreg_write("par_el1", saved);
	*ipa = (par & IPA_PAGE) | (far & (PAGE_SIZE - 1));
	return !(par & 1);
}

static u64 gpr_read(const struct arm64_state *s, u64 n)
{
	return n == 31 ? 0 : s->x[n];
}

static void gpr_write(struct arm64_state *s, u64 n, u64 value)
{
	if (n != 31)
		s->x[n] = value;
}

/* What else can be said of an abort than that a translation, or an address size, was missing. */
__attribute__((noinline)) static void exit_abort_other(u64 esr, u64 far, struct hv_exit *exit)
{
	bool permission = FSC_TYPE(ESR_FSC(esr)) == FSC_PERMISSION;

	/* Neither address size, translation, access flag nor permission: no matter of memory. */
	if (ESR_FSC(esr) >= FSC_EXTERNAL)
		exit->reason = EXIT_ARCH;
	/* HPFAR isn't valid for permission faults of the access itself. */
	else if (permission && !(esr & ESR_S1PTW) && !translate(far, &exit->gpa.v))
		/* The guest has changed its mind, or its tables: it will see. */
		exit->reason = EXIT_WINDOW;
	/* A walk writes access flags, and may not; a clean reads, an invalidation is a write. */
	else if (esr & (ESR_S1PTW | ESR_CM))
		exit->is_write = permission;
}

/*
 * Arm ARM D19.2.37 (ISS of aborts; of fetches, WnR and CM are 0), D19.2.63 (HPFAR_EL2). The access
 * is what the syndrome says, if it does (ISV).
 */
static inline void exit_abort(struct vcpu *vcpu, u64 esr, struct hv_exit *exit)
{
	u64 far = sysreg_read("far_el2");

	exit->reason = EXIT_MEMORY;
	exit->gpa = GPA(sysreg_read("hpfar_el2") >> 4 << PAGE_SHIFT | (far & (PAGE_SIZE - 1)));
	exit->is_write = esr & ESR_WNR;
	exit->address = exit->gpa.v;
	exit->access.size = (u8)(1u << ESR_SAS(esr));
	exit->access.is_write = esr & ESR_WNR;
	if (esr & ESR_WNR)
		exit->access.value = gpr_read(&vcpu->arch.state, ESR_SRT(esr));
	if (esr & (FSC_OTHER | ESR_S1PTW | ESR_CM)) {
		exit_abort_other(esr, far, exit);
		exit->address = exit->gpa.v;
	}
}

static inline void exit_sync(struct vcpu *vcpu, struct hv_exit *exit)
{
	struct arm64_state *s = &vcpu->arch.state;
	u64 esr = sysreg_read("esr_el2");

	vcpu->arch.esr = esr;
	if (ESR_EC(esr) == EC_DABT_LOW) {
		exit_abort(vcpu, esr, exit);
		return;
	}
	switch (ESR_EC(esr)) {
	case EC_SMC64:
		/* A trapped SMC hasn't been executed, an HVC has. Arm ARM D1.3.5.1 */
		s->pc += INSN_LENGTH;
		exit->reason = EXIT_HYPERCALL;
		return;
	case EC_HVC64:
		exit->reason = EXIT_HYPERCALL;
		return;
	case EC_SYSREG:
		exit->reason = EXIT_REG;
		exit->address = esr & SYSREG_MASK;
		exit->access.size = 8;
		exit->access.is_write = !(esr & ESR_READ);
		if (!(esr & ESR_READ))
			exit->access.value = gpr_read(s, ESR_RT(esr));
		return;
	case EC_IABT_LOW:
		exit_abort(vcpu, esr, exit);
		return;
	case EC_WFX:
		exit->reason = esr & ESR_WFE ? EXIT_ARCH : EXIT_HALT;
		return;
	default:
		exit->reason = EXIT_ARCH;
		return;
	}
}

/* Apart, so that the others need no stack frame. */
__attribute__((noinline)) static void exit_other(struct vcpu *vcpu, u64 kind, struct hv_exit *exit)
{
	if (kind == EL2_EXIT_IRQ && (timer_fired(vcpu) || gic_host_maintenance())) {
		/* Not the firmware's but ours: the interrupt controller has something to do. */
		exit->reason = EXIT_WINDOW;
	} else if (kind == EL2_EXIT_SERROR) {
		exit->reason = EXIT_UNKNOWN;
		exit->cause = "an SError (asynchronous external abort) while the guest ran";
	} else {
		exit->reason = EXIT_HOST_IRQ;
	}
}

void vcpu_left(struct vcpu *vcpu, u64 kind, struct hv_exit *exit)
{
	if (kind == EL2_EXIT_SYNC)
		exit_sync(vcpu, exit);
	else
		exit_other(vcpu, kind, exit);
}

void arch_vcpu_flush(struct vcpu *vcpu)
{
	vttbr_write(vcpu);
	/* Stage 2 alone would do, but combined entries hold it as well. Arm ARM D8.14 */
	__asm__ volatile("dsb ishst; tlbi vmalls12e1is; dsb ish; isb" : : : "memory");
}

bool arch_vcpu_prepare_irq(struct vcpu *vcpu)
{
	gic_host_fold(vcpu);
	gic_host_fill(vcpu);
	/* What became of the fold is filled in; nobody else's kick gets in between, with this lock.
	 */
	vcpu_clear(vcpu, PENDING_IRQ);
	return false;
}

bool arch_vcpu_has_irq(const struct vcpu *vcpu)
{
	return vgic_pending(&vcpu->vm->arch.gic, vcpu->index);
}

void arch_vcpu_skip(struct vcpu *vcpu)
{
	struct arm64_state *s = &vcpu->arch.state;

	s->pc += INSN_LENGTH;
	/* What a single step stands before is behind it now. */
	s->pstate &= ~PSTATE_SS;
}

/* ---- exceptions for the guest ---- */

/* An exception of class @ec for the guest's EL1. */
static void inject(struct vcpu *vcpu, u32 ec, u32 iss, u64 far)
{
	struct arm64_state *s = &vcpu->arch.state;
	u64 vbar = el2_vhe ? sysreg_read(VBAR_EL12) : sysreg_read("vbar_el1");
	u64 esr = (u64)ec << ESR_EC_SHIFT | ESR_IL | iss;
	u64 offset;

	/* Arm ARM D1.3.1.5: from EL1 with SP_EL0, with SP_EL1, from EL0. */
	if (s->pstate & PSTATE_32)
		offset = 0x600;
	else if (PSTATE_EL(s->pstate) == 0)
		offset = 0x400;
	else
		offset = s->pstate & PSTATE_SP ? 0x200 : 0;
	if (el2_vhe) {
		sysreg_write(ELR_EL12, s->pc);
		sysreg_write(SPSR_EL12, s->pstate);
		sysreg_write(ESR_EL12, esr);
		sysreg_write(FAR_EL12, far);
	} else {
		sysreg_write("elr_el1", s->pc);
		sysreg_write("spsr_el1", s->pstate);
		sysreg_write("esr_el1", esr);
		sysreg_write("far_el1", far);
	}
	s->pc = vbar + offset;
	s->pstate = PSTATE_EL1H | PSTATE_DAIF | (s->pstate & ((u64)0xf << 28));
}

static void inject_undefined(struct vcpu *vcpu)
{
	inject(vcpu, EC_UNKNOWN, 0, 0);
}

/* A synchronous external abort, as a bus gives it where nothing answers. */
static void inject_external_abort(struct vcpu *vcpu)
{
	u64 esr = vcpu->arch.esr;
	bool from_el0 = PSTATE_EL(vcpu->arch.state.pstate) == 0;
	bool fetch = ESR_EC(esr) == EC_IABT_LOW;
	u32 ec = fetch ? EC_IABT_LOW : EC_DABT_LOW;
	u32 iss = FSC_EXTERNAL;

	if (esr & ESR_S1PTW) /* on a walk; the level is that of the walk's step */
		iss = FSC_EXTERNAL_L0 | (ESR_FSC(esr) & 3);
	if (!fetch)
		iss |= (u32)(esr & (ESR_WNR | ESR_CM));
	/* The class one up is the same from the guest's own level. */
	inject(vcpu, from_el0 ? ec : ec + 1, iss, sysreg_read("far_el2"));
}

void arch_vcpu_fault(struct vcpu *vcpu, const struct hv_exit *exit)
{
	if (exit->reason == EXIT_MEMORY)
		inject_external_abort(vcpu);
	else
		inject_undefined(vcpu);
}

enum hv_verdict arch_vcpu_handle(struct vcpu *vcpu, struct hv_exit *exit)
{
	if (exit->reason == EXIT_HYPERCALL)
		return psci_call(vcpu);
	switch (ESR_EC(vcpu->arch.esr)) {
	case EC_DABT_LOW:
	case EC_IABT_LOW:
		/* External aborts, parity: the guest learns of it as of any bus error. */
		inject_external_abort(vcpu);
		return VERDICT_RESUME;
	case EC_WFX:
		/* It waits for an event, and who could send it for this processor. */
		vcpu_post(vcpu, PENDING_LEAVE);
		return VERDICT_SKIP;
	default:
		/* Whatever else traps is not of the baseline. */
		inject_undefined(vcpu);
		return VERDICT_RESUME;
	}
}

/* ---- MMIO ---- */

/* The instruction at the guest's pc. False: it can't be read just now, the guest tries again. */
static bool fetch(struct vcpu *vcpu, u32 *word)
{
	const u8 *page;
	u64 ipa;

	if (!translate(vcpu->arch.state.pc, &ipa))
		return false;
	page = mem_page(&vcpu->vm->mem, GPA(ipa), false);
	if (page)
		memcpy(word, page + (ipa & 0xffc), sizeof(*word));
	return page;
}

/* The stack pointer is the one that the guest's level and PSTATE.SP choose. */
static void stack_add(const struct vcpu *vcpu, s64 offset)
{
	if (vcpu->arch.state.pstate & PSTATE_SP)
		sysreg_write("sp_el1", sysreg_read("sp_el1") + (u64)offset);
	else
		sysreg_write("sp_el0", sysreg_read("sp_el0") + (u64)offset);
}

/* Fills vcpu->arch.insn as well. */
static enum hv_verdict decode_instruction(struct vcpu *vcpu, struct hv_exit *exit)
{
	struct arm64_state *s = &vcpu->arch.state;
	struct a64_insn *insn = &vcpu->arch.insn;
	u32 word;

	if (!fetch(vcpu, &word)) {
		/* The guest tries again: what is skipped is the instruction before. */
		s->pc -= INSN_LENGTH;
		return VERDICT_SKIP;
	}
	/* Another processor may have changed it since: then it isn't what faulted. */
	if (a64_decode(word, insn) || insn->is_write != !!(vcpu->arch.esr & ESR_WNR)) {
		vm_fail(vcpu->vm,
			"an access that anew can't decode at %llxh, for a device at %llxh: "
			"instruction %08x",
			(unsigned long long)s->pc, (unsigned long long)exit->gpa.v, word);
		return VERDICT_STOP;
	}
	exit->access.size = insn->size;
	exit->access.is_write = insn->is_write;
	exit->access.value = gpr_read(s, insn->rt);
	if (insn->pair) {
		/* The first of the two here, the second as any other. */
		if (vcpu_access(vcpu, IO_MMIO, exit->address, &exit->access) == IO_FAULT)
			return VERDICT_FAULT;
		if (!insn->is_write)
			gpr_write(s, insn->rt, a64_read_result(insn, exit->access.value));
		exit->address += insn->size;
		exit->access.value = gpr_read(s, insn->rt2);
	}
	if (insn->writeback && insn->rn == A64_SP)
		stack_add(vcpu, insn->offset);
	else if (insn->writeback)
		s->x[insn->rn] += (u64)insn->offset;
	return VERDICT_RESUME;
}

/* An access that the syndrome doesn't describe. */
__attribute__((noinline)) static enum hv_verdict decode_other(struct vcpu *vcpu,
							      struct hv_exit *exit)
{
	u64 esr = vcpu->arch.esr;

	if (ESR_EC(esr) == EC_IABT_LOW || (esr & ESR_S1PTW))
		return VERDICT_FAULT;
	/* No cache holds anything of a device. */
	if (esr & ESR_CM)
		return VERDICT_SKIP;
	/* Before the instruction has any effect. */
	if (!io_covers(&vcpu->vm->io, IO_MMIO, exit->gpa.v))
		return VERDICT_FAULT;
	exit->address = exit->gpa.v;
	return decode_instruction(vcpu, exit);
}

enum hv_verdict arch_vcpu_decode(struct vcpu *vcpu, struct hv_exit *exit)
{
	/* Only of loads and stores, not of walks or the care of caches. Arm ARM D19.2.37, ISV */
	return vcpu->arch.esr & ESR_ISV ? VERDICT_RESUME : decode_other(vcpu, exit);
}

/* A value that is sign-extended, or of an instruction that was decoded. */
__attribute__((noinline)) static void complete_load(struct vcpu *vcpu, const struct hv_exit *exit)
{
	struct arm64_state *s = &vcpu->arch.state;
	const struct a64_insn *insn = &vcpu->arch.insn;
	u64 esr = vcpu->arch.esr;

	if (esr & ESR_ISV) {
		const struct a64_insn load = {
			.size = exit->access.size, .sign_extend = true, .to_64 = esr & ESR_SF};

		gpr_write(s, ESR_SRT(esr), a64_read_result(&load, exit->access.value));
	} else {
		gpr_write(s, insn->pair ? insn->rt2 : insn->rt,
			  a64_read_result(insn, exit->access.value));
	}
}

void arch_vcpu_complete(struct vcpu *vcpu, const struct hv_exit *exit)
{
	struct arm64_state *s = &vcpu->arch.state;
	u64 esr = vcpu->arch.esr;
	u64 rt = ESR_RT(esr);

	/* Where ISV is, a register's access has 0. */
	if (esr & ESR_ISV) {
		if (esr & ESR_SSE) {
			complete_load(vcpu, exit);
			return;
		}
		rt = ESR_SRT(esr);
	} else if (exit->reason != EXIT_REG) {
		complete_load(vcpu, exit);
		return;
	}
	gpr_write(s, rt, exit->access.value);
}

size_t arch_vcpu_describe(struct vcpu *vcpu, char *buf, size_t length)
{
	const struct arm64_state *s = &vcpu->arch.state;
	size_t used = 0;
	int n;

	for (u32 i = 0; i < ARRAY_COUNT(s->x) && used < length; i++) {
		n = snprintf(buf + used, length - used, "x%-2u %016llx%s", i,
			     (unsigned long long)s->x[i], i % 3 == 2 ? "\n" : "  ");
		if (n < 0)
			return 0;
		used += (size_t)n;
	}
	if (used >= length)
		return length ? length - 1 : 0;
	n = snprintf(buf + used, length - used,
		     "\npc  %016llx  pstate %08llx  sp_el0 %016llx  sp_el1 %016llx\n"
		     "elr %016llx  esr %08llx  far %016llx  vbar %016llx\n"
		     "sctlr %08llx  ttbr0 %016llx  ttbr1 %016llx  tcr %016llx\n",
		     (unsigned long long)s->pc, (unsigned long long)s->pstate,
		     (unsigned long long)s->sp_el0, (unsigned long long)s->sp_el1,
		     (unsigned long long)s->elr_el1, (unsigned long long)s->esr_el1,
		     (unsigned long long)s->far_el1, (unsigned long long)s->vbar_el1,
		     (unsigned long long)s->sctlr_el1, (unsigned long long)s->ttbr0_el1,
		     (unsigned long long)s->ttbr1_el1, (unsigned long long)s->tcr_el1);
	return n < 0 ? 0 : (size_t)min_u64(used + (u64)n, length - 1);
}
