/* SPDX-License-Identifier: MIT */
/* A virtual CPU of x86_64, whatever the vendor: what hv/internal/arch.h asks for. */
#include <arch/asm.h>
#include <arch/backend.h>
#include <arch/fetch.h>
#include <arch/policy.h>
#include <arch/processor.h>
#include <arch/startup.h>
#include <arch/strings.h>
#include <arch/tsc.h>
#include <arch/vectors.h>
#include <hv/state.h>
#include <internal/arch.h>
#include <internal/check.h>
#include <internal/host.h>
#include <internal/sched.h>
#include <stdio.h>
#include <string.h>

static const struct x86_backend *const backends[] = {&svm_backend};
const struct x86_backend *x86_backend;
static u64 tsc_hz;

/* ---- the machine ---- */

const char *arch_name(void)
{
	return "x86_64";
}

const char *arch_backend_name(void)
{
	return x86_backend ? x86_backend->name : "no virtualisation";
}

enum hv_error arch_check(void)
{
	for (u32 i = 0; i < ARRAY_COUNT(backends); i++) {
		enum hv_error err = backends[i]->probe();

		if (err == HV_ENOT_FOUND)
			continue;
		if (err)
			return err;
		x86_backend = backends[i];
		return cpuid_check();
	}
	check_require(false, "AMD SVM",
		      "this processor has no AMD SVM (CPUID 8000_0001h ECX bit 2 is clear), which "
		      "anew needs: under QEMU choose -cpu EPYC, elsewhere another machine");
	return HV_EUNSUPPORTED;
}

static enum hv_error boot_cpu_on(struct cpu *cpu)
{
	enum hv_error err;

	tsc_hz = tsc_calibrate();
	if (!tsc_hz) {
		log_error("the processor's time-stamp counter doesn't count");
		return HV_EUNSUPPORTED;
	}
	vectors_init();
	cpu->arch.pages = host_alloc_pages(CPU_PAGES);
	if (!cpu->arch.pages)
		return HV_ENO_MEMORY;
	err = x86_backend->cpu_on(cpu);
	if (err)
		host_free_pages(cpu->arch.pages, CPU_PAGES);
	return err;
}

enum hv_error arch_cpu_on(struct cpu *cpu)
{
	if (cpu == cpu_boot())
		return boot_cpu_on(cpu);
	/* Its local APIC has one, which nobody else uses. */
	cpu->timer = true;
	return x86_backend->cpu_on(cpu);
}

void arch_cpu_off(struct cpu *cpu)
{
	x86_backend->cpu_off(cpu);
	if (cpu != cpu_boot())
		return;
	cpu_boot_end();
	host_free_pages(cpu->arch.pages, CPU_PAGES);
}

u64 arch_counter(void)
{
	return rdtsc();
}

u64 arch_counter_hz(void)
{
	return tsc_hz;
}

/* ---- state ---- */

static enum hv_error state_check(const void *obj, const char **why)
{
	const struct x86_state *s = obj;

	if (s->cr4 & ~BASELINE_CR4)
		*why = "CR4 has bits that the baseline hasn't";
	else if (s->efer & ~BASELINE_EFER)
		*why = "EFER has bits that the baseline hasn't";
	else if (s->cr0 >> 32 || ((s->cr0 & CR0_NW) && !(s->cr0 & CR0_CD)))
		*why = "CR0 is not legal";
	else if ((s->cr0 & CR0_PG) && !(s->cr0 & CR0_PE))
		*why = "paging without protection";
	else if ((s->efer & EFER_LMA) && !((s->cr0 & CR0_PG) && (s->cr4 & CR4_PAE)))
		*why = "long mode without paging";
	else if (s->dr6 >> 32 || s->dr7 >> 32)
		*why = "debug registers are not legal";
	else if (s->cpl > 3 || s->interrupt_shadow > 1 || s->run_state >= VCPU_RUN_STATES ||
		 s->nmi_pending > 1 || s->nmi_masked > 1)
		*why = "a flag is neither 0 nor 1";
	else
		return HV_OK;
	return HV_EINVALID;
}

static void state_before_save(void *obj)
{
	struct vcpu *vcpu = container_of(obj, struct vcpu, arch.state);

	startup_settle(vcpu);
	x86_backend->get_state(vcpu);
	vcpu->arch.state.run_state = vcpu_save_rests(vcpu);
}

static void state_after_load(void *obj)
{
	struct vcpu *vcpu = container_of(obj, struct vcpu, arch.state);

	vcpu->arch.nmi_leaving = vcpu->arch.init = vcpu->arch.startup = false;
	x86_backend->set_state(vcpu);
	vcpu_load_rests(vcpu, vcpu->arch.state.run_state);
	vcpu_post(vcpu, PENDING_IRQ | PENDING_FLUSH);
}

#define X86_STATE_FIELDS(SAVED, TRANSIENT)                                                         \
	SAVED(struct x86_state, gpr)                                                               \
	SAVED(struct x86_state, rip)                                                               \
	SAVED(struct x86_state, rflags)                                                            \
	SAVED(struct x86_state, cr0)                                                               \
	SAVED(struct x86_state, cr2)                                                               \
	SAVED(struct x86_state, cr3)                                                               \
	SAVED(struct x86_state, cr4)                                                               \
	SAVED(struct x86_state, dr)                                                                \
	SAVED(struct x86_state, dr6)                                                               \
	SAVED(struct x86_state, dr7)                                                               \
	SAVED(struct x86_state, efer)                                                              \
	SAVED(struct x86_state, pat)                                                               \
	SAVED(struct x86_state, star)                                                              \
	SAVED(struct x86_state, lstar)                                                             \
	SAVED(struct x86_state, cstar)                                                             \
	SAVED(struct x86_state, sfmask)                                                            \
	SAVED(struct x86_state, kernel_gs_base)                                                    \
	SAVED(struct x86_state, sysenter_cs)                                                       \
	SAVED(struct x86_state, sysenter_esp)                                                      \
	SAVED(struct x86_state, sysenter_eip)                                                      \
	SAVED(struct x86_state, es)                                                                \
	SAVED(struct x86_state, cs)                                                                \
	SAVED(struct x86_state, ss)                                                                \
	SAVED(struct x86_state, ds)                                                                \
	SAVED(struct x86_state, fs)                                                                \
	SAVED(struct x86_state, gs)                                                                \
	SAVED(struct x86_state, ldtr)                                                              \
	SAVED(struct x86_state, tr)                                                                \
	SAVED(struct x86_state, gdtr)                                                              \
	SAVED(struct x86_state, idtr)                                                              \
	SAVED(struct x86_state, tsc_adjust)                                                        \
	SAVED(struct x86_state, event)                                                             \
	SAVED(struct x86_state, event_error)                                                       \
	SAVED(struct x86_state, cpl)                                                               \
	SAVED(struct x86_state, interrupt_shadow)                                                  \
	SAVED(struct x86_state, run_state)                                                         \
	SAVED(struct x86_state, nmi_pending)                                                       \
	SAVED(struct x86_state, nmi_masked)                                                        \
	TRANSIENT(struct x86_state, pad, "padding")                                                \
	SAVED(struct x86_state, fpu)

STATE_DEFINE(x86_state_desc, "x86-cpu", 1, struct x86_state, X86_STATE_FIELDS, .check = state_check,
	     .before_save = state_before_save, .after_load = state_after_load);

enum hv_error arch_vcpu_init(struct vcpu *vcpu)
{
	return x86_backend->vcpu_init(vcpu);
}

void arch_vcpu_fini(struct vcpu *vcpu)
{
	x86_backend->vcpu_fini(vcpu);
}

/* ---- running ---- */

/* So many loops of a virtual CPU that waits, and that nobody on this processor can answer. */
#define PAUSES_MAX 32u

/* Its turn ends when it has spun for long: at once where the hardware has counted. */
static enum hv_verdict handle_pause(struct vcpu *vcpu, bool counted)
{
	if (counted || ++vcpu->arch.pauses == PAUSES_MAX)
		vcpu_post(vcpu, PENDING_LEAVE);
	return VERDICT_SKIP;
}

void arch_vcpu_load(struct vcpu *vcpu)
{
	if (vcpu->cpu == cpu_boot())
		host_context_firmware = false;
	vcpu->arch.pauses = 0;
	x86_backend->load(vcpu, sched_sibling_waits(vcpu));
}

void arch_vcpu_put(struct vcpu *vcpu)
{
	x86_backend->put(vcpu);
	if (vcpu->cpu == cpu_boot())
		host_context_firmware = true;
}

void arch_vcpu_run(struct vcpu *vcpu, struct hv_exit *exit)
{
	x86_backend->run(vcpu, exit);
}

void arch_vcpu_flush(struct vcpu *vcpu)
{
	x86_backend->flush(vcpu);
}

/* Whether the guest is to get an NMI; true as well if it waits for nothing but an IRET. */
static bool prepare_nmi(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;

	/* Elsewhere, so the IRET has been executed. */
	if (arch->nmi_leaving && arch->rip != arch->nmi_iret) {
		arch->nmi_leaving = false;
		arch->state.nmi_masked = 0;
	}
	if (!arch->state.nmi_pending)
		return false;
	if (arch->state.nmi_masked)
		return arch->nmi_leaving;
	if (!x86_backend->inject(vcpu, EVENT_NMI | 2, 0))
		return true;
	arch->state.nmi_pending = 0;
	arch->state.nmi_masked = 1;
	return false;
}

bool arch_vcpu_prepare_irq(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;
	bool nmi_waits;
	int vector;

	startup_settle(vcpu);
	nmi_waits = prepare_nmi(vcpu);
	vector = vapic_pending(&arch->apic);

	if (vector >= 0 && x86_backend->inject(vcpu, EVENT_INTERRUPT | (u32)vector, 0)) {
		vapic_take(&arch->apic, (u8)vector);
		vector = vapic_pending(&arch->apic);
	}
	/*
	 * The window's exit sets PENDING_IRQ again: until then there is nothing to do, but for an
	 * NMI, which any exit after the IRET lets in; the window is to make one soon.
	 */
	x86_backend->request_window(vcpu, vector >= 0 || nmi_waits);
	return nmi_waits;
}

bool arch_vcpu_has_irq(const struct vcpu *vcpu)
{
	const struct vcpu_arch *arch = &vcpu->arch;

	if (arch->init || arch->startup)
		return true;
	if (arch->state.nmi_pending && !arch->state.nmi_masked)
		return true;
	return (arch->rflags & RFLAGS_IF) && vapic_pending(&arch->apic) >= 0;
}

void arch_vcpu_skip(struct vcpu *vcpu)
{
	vcpu->arch.rip += vcpu->arch.insn_length;
	vcpu->arch.shadow = false;
}

void arch_vcpu_fault(struct vcpu *vcpu, const struct hv_exit *exit)
{
	(void)exit;
	(void)x86_backend->inject(vcpu, EVENT_EXCEPTION | EVENT_ERROR | VECTOR_GP, 0);
}

/* ---- string instructions ---- */

static enum io_result string_access(void *ctx, enum io_space space, u64 address,
				    struct io_access *access)
{
	return vcpu_access(ctx, space, address, access);
}

static void inject_fault(struct vcpu *vcpu, const struct strings_fault *fault)
{
	if (fault->vector == VECTOR_PF) {
		x86_backend->get_state(vcpu);
		vcpu->arch.state.cr2 = fault->address;
		x86_backend->set_state(vcpu);
	}
	(void)x86_backend->inject(vcpu, EVENT_EXCEPTION | EVENT_ERROR | fault->vector,
				  fault->error);
}

/*
 * One step of @insn, MOVS, INS or OUTS. It goes on at the same address until it is complete. The
 * VM's lock is held.
 */
static enum hv_verdict string_insn(struct vcpu *vcpu, const struct decode_insn *insn, u16 port)
{
	struct vcpu_arch *arch = &vcpu->arch;
	struct x86_mode mode;
	const struct strings_cpu cpu = {
		.mem = &vcpu->vm->mem,
		.mode = &mode,
		.segments = &arch->state.es,
		.gpr = arch->gpr,
		.access = string_access,
		.ctx = vcpu,
	};
	struct strings_fault fault;
	enum strings_result result;

	x86_backend->get_mode(vcpu, &mode);
	x86_backend->get_state(vcpu);
	result = insn->op == DECODE_MOVS ? strings_move(&cpu, insn, &fault)
					 : strings_port(&cpu, insn, port, &fault);
	arch->insn_length = result == STRINGS_DONE ? insn->length : 0;
	switch (result) {
	case STRINGS_DONE:
	case STRINGS_MORE:
		break;
	case STRINGS_FAULT:
		inject_fault(vcpu, &fault);
		break;
	case STRINGS_NO_MEMORY:
		/* The scheduler fetches more and lets the guest try again. */
		vcpu->vm->mem_wanted = true;
		vcpu_post(vcpu, PENDING_LEAVE);
		sched_call_boot();
		break;
	case STRINGS_REFUSED:
		return VERDICT_FAULT;
	}
	/* As of any access: the VM ended with it, or is only paused. */
	return vm_is_over(vcpu->vm) ? VERDICT_STOP : VERDICT_SKIP;
}

/* ---- the processor's own exits ---- */

static enum hv_verdict fault_gp(struct vcpu *vcpu)
{
	(void)x86_backend->inject(vcpu, EVENT_EXCEPTION | EVENT_ERROR | VECTOR_GP, 0);
	return VERDICT_RESUME;
}

static enum hv_verdict fault_ud(struct vcpu *vcpu)
{
	(void)x86_backend->inject(vcpu, EVENT_EXCEPTION | VECTOR_UD, 0);
	return VERDICT_RESUME;
}

/* APM vol. 2 section 3.1.1 and 14.6: what a write to CR0 may be, and the way into long mode. */
static bool write_cr0(struct x86_state *s, u64 value)
{
	const u64 defined = CR0_PE | CR0_MP | BIT(2) | BIT(3) | CR0_ET | CR0_NE | CR0_WP | BIT(18) |
			    CR0_NW | CR0_CD | CR0_PG;

	if (value >> 32 || ((value & CR0_PG) && !(value & CR0_PE)) ||
	    ((value & CR0_NW) && !(value & CR0_CD)))
		return false;
	value = (value & defined) | CR0_ET;
	if ((value & CR0_PG) && !(s->cr0 & CR0_PG) && (s->efer & EFER_LME)) {
		if (!(s->cr4 & CR4_PAE) || (s->cs.attributes & BIT(9)))
			return false;
		s->efer |= EFER_LMA;
	}
	if (!(value & CR0_PG) && (s->cr0 & CR0_PG)) {
		if (s->cs.attributes & BIT(9))
			return false;
		s->efer &= ~EFER_LMA;
	}
	s->cr0 = value;
	return true;
}

static bool write_cr4(struct x86_state *s, u64 value)
{
	if (value & ~BASELINE_CR4)
		return false;
	if ((s->efer & EFER_LMA) && !(value & CR4_PAE))
		return false;
	s->cr4 = value;
	return true;
}

static enum hv_verdict handle_cr(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;
	struct x86_mode mode;
	struct decode_cr insn;
	u8 bytes[DECODE_LENGTH_MAX];
	size_t length;

	x86_backend->get_mode(vcpu, &mode);
	length = mmu_fetch(&vcpu->vm->mem, &mode, fetch_address(&mode, arch->rip), bytes,
			   sizeof(bytes));
	if (x86_decode_cr(bytes, length, fetch_width(&mode), &insn)) {
		vm_fail(vcpu->vm, "an access to a control register at %llxh that anew can't decode",
			(unsigned long long)arch->rip);
		return VERDICT_STOP;
	}
	arch->insn_length = insn.length;
	if (insn.cr == 8) {
		if (!insn.is_write) {
			arch->gpr[insn.gpr] = vapic_get_tpr(&arch->apic);
			return VERDICT_SKIP;
		}
		if (arch->gpr[insn.gpr] > 15)
			return fault_gp(vcpu);
		vapic_set_tpr(&arch->apic, (u8)arch->gpr[insn.gpr]);
		vcpu_post(vcpu, PENDING_IRQ);
		return VERDICT_SKIP;
	}

	u64 value = insn.op == DECODE_CR_MOV ? arch->gpr[insn.gpr] : 0;
	bool good;

	x86_backend->get_state(vcpu);
	if (insn.op == DECODE_CR_CLTS)
		value = arch->state.cr0 & ~BIT(3);
	else if (insn.op == DECODE_CR_LMSW) /* can set PE, not clear it */
		value = (arch->state.cr0 & ~(u64)0xe) | (arch->gpr[insn.gpr] & 0xf);
	if (fetch_width(&mode) != DECODE_64)
		value = (u32)value;
	good = insn.cr == 0 ? write_cr0(&arch->state, value) : write_cr4(&arch->state, value);
	if (!good)
		return fault_gp(vcpu);
	x86_backend->set_state(vcpu);
	vcpu_post(vcpu, PENDING_IRQ);
	return VERDICT_SKIP;
}

static enum hv_verdict handle_string_pio(struct vcpu *vcpu, u16 port)
{
	struct vcpu_arch *arch = &vcpu->arch;
	const struct decode_insn *insn;
	struct x86_mode mode;

	x86_backend->get_mode(vcpu, &mode);
	if (fetch_decode(&arch->fetch, &vcpu->vm->mem, &mode, arch->rip, &insn) ||
	    (insn->op != DECODE_INS && insn->op != DECODE_OUTS)) {
		vm_fail(vcpu->vm, "string port I/O at %llxh that anew can't decode",
			(unsigned long long)arch->rip);
		return VERDICT_STOP;
	}
	return string_insn(vcpu, insn, port);
}

/* Hypercalls: RAX 0 asks for the version of this interface; everything else is refused with -1. */
static enum hv_verdict handle_hypercall(struct vcpu *vcpu)
{
	vcpu->arch.gpr[RAX] = vcpu->arch.gpr[RAX] ? UINT64_MAX : 1;
	return VERDICT_SKIP;
}

static enum hv_verdict handle_cpuid(struct vcpu *vcpu)
{
	u64 *gpr = vcpu->arch.gpr;
	struct cpuid_regs r = cpuid_guest(vcpu, (u32)gpr[RAX], (u32)gpr[RCX]);

	gpr[RAX] = r.eax;
	gpr[RBX] = r.ebx;
	gpr[RCX] = r.ecx;
	gpr[RDX] = r.edx;
	return VERDICT_SKIP;
}

/* Those that touch more than the virtual CPU's registers; the VM's lock is held. */
static enum hv_verdict handle_locked(struct vcpu *vcpu, const struct hv_exit *exit)
{
	struct vcpu_arch *arch = &vcpu->arch;

	switch ((enum x86_exit)exit->code) {
	case X86_EXIT_CPUID:
	case X86_EXIT_PAUSE:
		break;
	case X86_EXIT_CR:
		return handle_cr(vcpu);
	case X86_EXIT_UD:
		return fault_ud(vcpu);
	case X86_EXIT_WBINVD:
		return VERDICT_SKIP;
	case X86_EXIT_STRING_PIO:
		return handle_string_pio(vcpu, (u16)exit->address);
	case X86_EXIT_EXCEPTION:
		(void)x86_backend->inject(vcpu,
					  EVENT_EXCEPTION | (u32)exit->address |
						  (exit->address == VECTOR_AC ? EVENT_ERROR : 0),
					  0);
		return VERDICT_RESUME;
	case X86_EXIT_IRET:
		/* In its shadow no interrupt, and no exit for a window, comes before it is done. */
		arch->shadow = true;
		arch->nmi_leaving = true;
		arch->nmi_iret = arch->rip;
		vcpu_post(vcpu, PENDING_IRQ);
		return VERDICT_RESUME;
	}
	vm_fail(vcpu->vm, "an exit of the processor's own that anew doesn't know");
	return VERDICT_STOP;
}

enum hv_verdict arch_vcpu_handle(struct vcpu *vcpu, struct hv_exit *exit)
{
	enum hv_verdict verdict;

	if (exit->reason == EXIT_HYPERCALL)
		return handle_hypercall(vcpu);
	if (exit->code == X86_EXIT_CPUID)
		return handle_cpuid(vcpu);
	if (exit->code == X86_EXIT_PAUSE)
		return handle_pause(vcpu, exit->address);
	vm_lock(vcpu->vm);
	verdict = handle_locked(vcpu, exit);
	vm_unlock(vcpu->vm);
	return verdict;
}

/* ---- MMIO ---- */

static enum hv_verdict refuse(struct vcpu *vcpu, const struct hv_exit *exit, const char *why)
{
	struct x86_mode mode;
	char text[3 * 8 + 1] = "";
	u8 bytes[8];
	size_t length;

	x86_backend->get_mode(vcpu, &mode);
	length = mmu_fetch(&vcpu->vm->mem, &mode, fetch_address(&mode, vcpu->arch.rip), bytes,
			   sizeof(bytes));
	for (size_t i = 0; i < length; i++)
		snprintf(text + 3 * i, 4, " %02x", bytes[i]);
	vm_fail(vcpu->vm, "%s at %llxh, for a device at %llxh: instruction%s", why,
		(unsigned long long)vcpu->arch.rip, (unsigned long long)exit->gpa.v, text);
	return VERDICT_STOP;
}

/* One step of a string instruction per exit: a repetition goes on at the same address. */
static void string_step(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;

	if (!x86_decode_string_step(arch->insn, arch->gpr, arch->rflags))
		arch->insn_length = 0;
}

/* Those that are not a plain load or store. */
__attribute__((noinline)) static enum hv_verdict decode_other(struct vcpu *vcpu,
							      struct hv_exit *exit)
{
	struct vcpu_arch *arch = &vcpu->arch;
	const struct decode_insn *insn = arch->insn;

	switch ((enum decode_op)insn->op) {
	case DECODE_READ:
	case DECODE_READ_ZX:
	case DECODE_READ_SX:
	case DECODE_COMBINE:
	case DECODE_TEST:
	case DECODE_LODS:
		return VERDICT_RESUME;
	case DECODE_WRITE:
	case DECODE_STOS:
		exit->access.is_write = true;
		exit->access.value = x86_decode_write_value(insn, arch->gpr);
		if (insn->op == DECODE_STOS)
			string_step(vcpu);
		return VERDICT_RESUME;
	case DECODE_MODIFY:
	case DECODE_EXCHANGE:
	case DECODE_CMPXCHG: {
		struct io_access read = exit->access;

		if (vcpu_access(vcpu, IO_MMIO, exit->address, &read) == IO_FAULT)
			return VERDICT_FAULT;
		exit->access.is_write = true;
		return x86_decode_apply(insn, read.value, arch->gpr, &arch->rflags,
					&exit->access.value)
			       ? VERDICT_RESUME
			       : VERDICT_SKIP;
	}
	case DECODE_MOVS:
		return string_insn(vcpu, insn, 0);
	case DECODE_INS:
	case DECODE_OUTS:
		/* They exit for their port, and what they do to memory is done then. */
		break;
	}
	return refuse(vcpu, exit, "an access that anew didn't expect");
}

static inline enum hv_verdict begin_access(struct vcpu *vcpu, struct hv_exit *exit,
					   const struct decode_insn *insn)
{
	struct vcpu_arch *arch = &vcpu->arch;

	arch->insn = insn;
	arch->insn_length = insn->length;
	exit->address = exit->gpa.v;
	exit->access.size = insn->size;
	exit->access.is_write = insn->op == DECODE_WRITE;
	if (insn->op == DECODE_WRITE) {
		/* The bus cuts it. */
		exit->access.value = x86_decode_operand(insn, arch->gpr);
		return VERDICT_RESUME;
	}
	return insn->op == DECODE_READ ? VERDICT_RESUME : decode_other(vcpu, exit);
}

/* Not inlined, for the sake of the short way below. */
__attribute__((noinline)) static enum hv_verdict decode_anew(struct vcpu *vcpu,
							     struct hv_exit *exit)
{
	struct vcpu_arch *arch = &vcpu->arch;
	const struct decode_insn *insn;
	struct x86_mode mode;

	x86_backend->get_mode(vcpu, &mode);
	if (fetch_decode(&arch->fetch, &vcpu->vm->mem, &mode, arch->rip, &insn))
		return refuse(vcpu, exit, "an access that anew can't decode");
	return begin_access(vcpu, exit, insn);
}

enum hv_verdict arch_vcpu_decode(struct vcpu *vcpu, struct hv_exit *exit)
{
	struct vcpu_arch *arch = &vcpu->arch;
	const struct decode_insn *insn = NULL;

	if (arch->code_64)
		insn = fetch_again(&arch->fetch, &vcpu->vm->mem, arch->cr3, arch->rip);
	return insn ? begin_access(vcpu, exit, insn) : decode_anew(vcpu, exit);
}

void arch_vcpu_complete(struct vcpu *vcpu, const struct hv_exit *exit)
{
	struct vcpu_arch *arch = &vcpu->arch;
	u64 value = exit->access.value;

	switch (exit->reason) {
	case EXIT_REG:
		arch->gpr[RAX] = (u32)value;
		arch->gpr[RDX] = value >> 32;
		return;
	case EXIT_PIO:
		if (exit->access.size == 4)
			arch->gpr[RAX] = (u32)value;
		else if (exit->access.size == 2)
			arch->gpr[RAX] = (arch->gpr[RAX] & ~(u64)0xffff) | (u16)value;
		else
			arch->gpr[RAX] = (arch->gpr[RAX] & ~(u64)0xff) | (u8)value;
		return;
	default:
		break;
	}
	if (arch->insn->op == DECODE_READ) {
		u64 *reg = &arch->gpr[arch->insn->reg];

		*reg = x86_decode_read_result(arch->insn, value, *reg);
		return;
	}
	if (arch->insn->op == DECODE_LODS) {
		arch->gpr[RAX] = x86_decode_read_result(arch->insn, value, arch->gpr[RAX]);
		string_step(vcpu);
		return;
	}

	u64 none;

	(void)x86_decode_apply(arch->insn, value, arch->gpr, &arch->rflags, &none);
}

size_t arch_vcpu_describe(struct vcpu *vcpu, char *buf, size_t length)
{
	const struct x86_state *s = &vcpu->arch.state;
	int n;

	x86_backend->get_state(vcpu);
	n = snprintf(buf, length,
		     "rip %016llx  rsp %016llx  rflags %08llx\n"
		     "rax %016llx  rbx %016llx  rcx %016llx\n"
		     "rdx %016llx  rsi %016llx  rdi %016llx\n"
		     "cr0 %08llx  cr2 %016llx  cr3 %012llx  cr4 %06llx  efer %04llx  cpl %u\n",
		     (unsigned long long)s->rip, (unsigned long long)s->gpr[RSP],
		     (unsigned long long)s->rflags, (unsigned long long)s->gpr[RAX],
		     (unsigned long long)s->gpr[RBX], (unsigned long long)s->gpr[RCX],
		     (unsigned long long)s->gpr[RDX], (unsigned long long)s->gpr[RSI],
		     (unsigned long long)s->gpr[RDI], (unsigned long long)s->cr0,
		     (unsigned long long)s->cr2, (unsigned long long)s->cr3,
		     (unsigned long long)s->cr4, (unsigned long long)s->efer, s->cpl);
	return n < 0 ? 0 : (size_t)min_u64((u64)n, length ? length - 1 : 0);
}
