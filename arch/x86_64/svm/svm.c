/* SPDX-License-Identifier: MIT */
/* AMD SVM with nested paging. AMD APM vol. 2, chapter 15, throughout. */
#include <arch/asm.h>
#include <arch/backend.h>
#include <arch/vectors.h>
#include <arch/x86.h>
#include <internal/check.h>
#include <internal/host.h>
#include <internal/vm.h>
#include <string.h>

#include "vmcb.h"

void svm_enter(struct vcpu_arch *arch, u64 vmcb_pa);

static_assert(offsetof(struct vcpu_arch, gpr) == 0, "svm_entry.S");

#define VM_CR_SVMDIS BIT(4)
#define VM_CR_LOCK   BIT(3)

/* CPUID 8000_000Ah EDX. */
#define SVM_NPT           BIT(0)
#define SVM_NRIP_SAVE     BIT(3)
#define SVM_FLUSH_BY_ASID BIT(6)
#define SVM_PAUSE_FILTER  BIT(10)
#define SVM_PAUSE_CLOSE   BIT(12)

/* PAUSEs that are one loop: so many, each at most so many cycles after the one before. 15.14.4. */
#define PAUSE_COUNT     3000u
#define PAUSE_THRESHOLD 128u

#define IOPM_PAGES  3
#define MSRPM_PAGES 2

/* What all processors share; constant once the boot CPU is on. */
static struct {
	u8 *iopm, *msrpm;
	bool nrip_save, flush_by_asid, pause_filter;
	u32 asid_count;
} shared;

static inline u64 pa(const void *ptr)
{
	return (u64)(uintptr_t)ptr;
}

/* The two pages of a processor: what VMRUN saves of the host, and what VMSAVE does. */
static inline u64 hsave_pa(const struct cpu *cpu)
{
	return pa(cpu->arch.pages);
}

static inline u64 host_vmcb_pa(const struct cpu *cpu)
{
	return pa(cpu->arch.pages + PAGE_SIZE);
}
static_assert(CPU_PAGES == 2, "hsave_pa(), host_vmcb_pa()");

static enum hv_error svm_probe(void)
{
	if (cpuid(0x80000000, 0).eax < 0x8000000a || !(cpuid(0x80000001, 0).ecx & BIT(2)))
		return HV_ENOT_FOUND;

	u64 vm_cr = rdmsr(MSR_VM_CR);
	enum hv_error err = HV_OK;

	if (!check_require(!(vm_cr & VM_CR_SVMDIS), "AMD SVM, switched on by the firmware",
			   "AMD SVM is switched off by the firmware%s: switch it on (\"SVM mode\", "
			   "\"virtualization\") in the machine's setup",
			   vm_cr & VM_CR_LOCK ? " and locked" : ""))
		err = HV_EUNSUPPORTED;
	if (!check_require(cpuid(0x8000000a, 0).edx & SVM_NPT, "nested paging (NPT)",
			   "this AMD processor has SVM but no nested paging (NPT), which anew "
			   "needs: it can't run here"))
		err = HV_EUNSUPPORTED;
	return err;
}

/* Reads and writes of @msr reach the hardware, where the VMCB keeps the guest's value. 15.11. */
static void msr_pass(u32 msr)
{
	u32 bit = msr < 0x2000 ? msr * 2 : 0x800 * 8 + (msr - 0xc0000000u) * 2;

	shared.msrpm[bit / 8] &= (u8) ~(3u << (bit % 8));
}

static void free_shared(void)
{
	host_free_pages(shared.iopm, IOPM_PAGES);
	host_free_pages(shared.msrpm, MSRPM_PAGES);
	shared.iopm = shared.msrpm = NULL;
}

static enum hv_error init_shared(void)
{
	static const u32 passed[] = {
		MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS,   MSR_STAR,         MSR_LSTAR,
		MSR_CSTAR,   MSR_SFMASK,  MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP};
	struct cpuid_regs features = cpuid(0x8000000a, 0);

	shared.nrip_save = features.edx & SVM_NRIP_SAVE;
	shared.flush_by_asid = features.edx & SVM_FLUSH_BY_ASID;
	/* Without the threshold, all PAUSEs of a turn were one loop. */
	shared.pause_filter = features.edx & SVM_PAUSE_FILTER && features.edx & SVM_PAUSE_CLOSE;
	shared.asid_count = features.ebx;
	shared.iopm = host_alloc_pages(IOPM_PAGES);
	shared.msrpm = host_alloc_pages(MSRPM_PAGES);
	if (!shared.iopm || !shared.msrpm) {
		free_shared();
		return HV_ENO_MEMORY;
	}
	memset(shared.iopm, 0xff, IOPM_PAGES * PAGE_SIZE);
	memset(shared.msrpm, 0xff, MSRPM_PAGES * PAGE_SIZE);
	for (u32 i = 0; i < ARRAY_COUNT(passed); i++)
		msr_pass(passed[i]);
	return HV_OK;
}

static enum hv_error svm_cpu_on(struct cpu *cpu)
{
	struct svm_cpu *svm = &cpu->arch.svm;
	enum hv_error err = cpu == cpu_boot() ? init_shared() : HV_OK;
	u64 efer;

	if (!err && (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS))
		err = HV_EUNSUPPORTED;
	if (err)
		return err;
	efer = rdmsr(MSR_EFER);
	svm->efer_svme_before = efer & EFER_SVME;
	wrmsr(MSR_EFER, efer | EFER_SVME);
	svm->hsave_before = rdmsr(MSR_VM_HSAVE_PA);
	wrmsr(MSR_VM_HSAVE_PA, hsave_pa(cpu));
	svm->asid_next = 1;
	/* Not one that another processor had here before. */
	svm->asid_generation++;
	return HV_OK;
}

static void svm_cpu_off(struct cpu *cpu)
{
	wrmsr(MSR_VM_HSAVE_PA, cpu->arch.svm.hsave_before);
	if (!cpu->arch.svm.efer_svme_before)
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
	if (cpu == cpu_boot())
		free_shared();
}

static enum hv_error svm_vcpu_init(struct vcpu *vcpu)
{
	struct vmcb *vmcb = host_alloc_pages(1);

	if (!vmcb)
		return HV_ENO_MEMORY;
	vcpu->arch.svm = (struct svm_vcpu){.vmcb = vmcb};

	/* CR8 writes are intercepted because V_TPR would bypass the virtual APIC's. */
	vmcb->intercept_cr_write = (u16)(BIT(0) | BIT(4) | BIT(8));
	vmcb->intercept_cr_read = (u16)BIT(8);
	/*
	 * #AC and #DB: a guest can make the processor deliver them without end, interrupts held
	 * off (CVE-2015-5307, CVE-2015-8104). #MC is the machine's affair.
	 */
	vmcb->intercept_exceptions = (u32)(BIT(VECTOR_DB) | BIT(VECTOR_AC) | BIT(VECTOR_MC));
	vmcb->intercept_misc1 = INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_SMI | INTERCEPT_INIT |
				INTERCEPT_RDPMC | INTERCEPT_CPUID | INTERCEPT_INVD | INTERCEPT_HLT |
				INTERCEPT_INVLPGA | INTERCEPT_IOIO | INTERCEPT_MSR |
				INTERCEPT_FERR | INTERCEPT_SHUTDOWN;
	vmcb->intercept_misc2 = INTERCEPT_SVM_INSNS | INTERCEPT_RDTSCP | INTERCEPT_WBINVD |
				INTERCEPT_MONITOR | INTERCEPT_MWAIT | INTERCEPT_XSETBV |
				INTERCEPT_RDPRU;
	vmcb->iopm_base_pa = pa(shared.iopm);
	vmcb->msrpm_base_pa = pa(shared.msrpm);
	vmcb->v_intr = V_INTR_MASKING;
	vmcb->np_enable = 1;
	return HV_OK;
}

static void svm_vcpu_fini(struct vcpu *vcpu)
{
	host_free_pages(vcpu->arch.svm.vmcb, 1);
	vcpu->arch.svm.vmcb = NULL;
}

static void svm_flush(struct vcpu *vcpu)
{
	if (shared.flush_by_asid && vcpu->arch.svm.asid_generation)
		vcpu->arch.svm.vmcb->tlb_control = TLB_CONTROL_FLUSH_ASID;
	else
		vcpu->arch.svm.asid_generation = 0;
}

/* A new ASID stands for a flush where the hardware can't flush a single one. 15.16.1. */
static void assign_asid(struct svm_cpu *cpu, struct svm_vcpu *svm)
{
	svm->vmcb->tlb_control = TLB_CONTROL_NONE;
	if (cpu->asid_next >= shared.asid_count) {
		cpu->asid_generation++;
		cpu->asid_next = 1;
		svm->vmcb->tlb_control = TLB_CONTROL_FLUSH_ALL;
	}
	svm->vmcb->guest_asid = cpu->asid_next++;
	svm->asid_generation = cpu->asid_generation;
	svm->clean &= ~CLEAN_ASID;
}

#define READ_DR(n)                                                                                 \
	({                                                                                         \
		u64 value_;                                                                        \
		__asm__ volatile("mov %%dr" #n ", %0" : "=r"(value_));                             \
		value_;                                                                            \
	})
#define WRITE_DR(n, value) __asm__ volatile("mov %0, %%dr" #n : : "r"((u64)(value)))

static void svm_load(struct vcpu *vcpu, bool pauses)
{
	struct vcpu_arch *arch = &vcpu->arch;
	struct vmcb *vmcb = arch->svm.vmcb;
	struct svm_cpu *cpu = &vcpu->cpu->arch.svm;

	/*
	 * From here to svm_put() no interrupt of any kind is taken: GIF, section 15.17. One that
	 * comes while the guest runs ends that by the interrupt flag that is set here: 15.21.1.
	 */
	__asm__ volatile("clgi; pushfq; popq %0; sti" : "=r"(cpu->rflags) : : "memory");
	vectors_load(vcpu);
	__asm__ volatile("fxsave64 %0" : "=m"(cpu->fpu));
	__asm__ volatile("fxrstor64 %0" : : "m"(arch->state.fpu));
	cpu->dr[0] = READ_DR(0);
	cpu->dr[1] = READ_DR(1);
	cpu->dr[2] = READ_DR(2);
	cpu->dr[3] = READ_DR(3);
	cpu->dr6 = READ_DR(6);
	cpu->dr7 = READ_DR(7);
	WRITE_DR(7, 0x400);
	WRITE_DR(0, arch->state.dr[0]);
	WRITE_DR(1, arch->state.dr[1]);
	WRITE_DR(2, arch->state.dr[2]);
	WRITE_DR(3, arch->state.dr[3]);
	__asm__ volatile("vmsave %0" : : "a"(host_vmcb_pa(vcpu->cpu)) : "memory");
	__asm__ volatile("vmload %0" : : "a"(pa(vmcb)) : "memory");
	vmcb->n_cr3 = pa(vcpu->vm->mem.root);
	vmcb->tsc_offset = vcpu->vm->counter_offset + arch->state.tsc_adjust;
	vmcb->pause_count = shared.pause_filter ? PAUSE_COUNT : 0;
	vmcb->pause_threshold = shared.pause_filter ? PAUSE_THRESHOLD : 0;
	if (pauses)
		vmcb->intercept_misc1 |= INTERCEPT_PAUSE;
	else
		vmcb->intercept_misc1 &= ~INTERCEPT_PAUSE;
	/* What another processor holds of the control block may be older: claim nothing clean. */
	arch->svm.clean = 0;
	/* The ASID that it had may be somebody else's on this processor, or by now (15.16.1). */
	if (arch->svm.cpu != vcpu->cpu || arch->svm.asid_generation != cpu->asid_generation) {
		arch->svm.cpu = vcpu->cpu;
		arch->svm.asid_generation = 0;
	}
}

static void svm_put(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;
	const struct svm_cpu *cpu = &vcpu->cpu->arch.svm;

	__asm__ volatile("vmsave %0" : : "a"(pa(arch->svm.vmcb)) : "memory");
	__asm__ volatile("vmload %0" : : "a"(host_vmcb_pa(vcpu->cpu)) : "memory");
	arch->state.dr[0] = READ_DR(0);
	arch->state.dr[1] = READ_DR(1);
	arch->state.dr[2] = READ_DR(2);
	arch->state.dr[3] = READ_DR(3);
	WRITE_DR(0, cpu->dr[0]);
	WRITE_DR(1, cpu->dr[1]);
	WRITE_DR(2, cpu->dr[2]);
	WRITE_DR(3, cpu->dr[3]);
	WRITE_DR(6, cpu->dr6);
	WRITE_DR(7, cpu->dr7);
	__asm__ volatile("fxsave64 %0" : "=m"(arch->state.fpu));
	__asm__ volatile("fxrstor64 %0" : : "m"(cpu->fpu));
	vectors_put(vcpu);
	__asm__ volatile("pushq %0; popfq; stgi" : : "r"(cpu->rflags) : "memory", "cc");
}

/* A cause in words for what VMRUN refuses: the checks of section 15.5.1 that anew could break. */
static const char *invalid_cause(const struct vmcb *vmcb)
{
	if (!(vmcb->efer & EFER_SVME))
		return "VMRUN refused the state: EFER.SVME is clear";
	if (!(vmcb->cr0 & CR0_CD) && (vmcb->cr0 & CR0_NW))
		return "VMRUN refused the state: CR0.NW set with CR0.CD clear";
	if (vmcb->cr0 >> 32)
		return "VMRUN refused the state: upper half of CR0 is not zero";
	if ((vmcb->efer & EFER_LME) && (vmcb->cr0 & CR0_PG) && !(vmcb->cr4 & CR4_PAE))
		return "VMRUN refused the state: long mode without CR4.PAE";
	if ((vmcb->efer & EFER_LME) && (vmcb->cr0 & CR0_PG) && !(vmcb->cr0 & CR0_PE))
		return "VMRUN refused the state: long mode without CR0.PE";
	return "VMRUN refused the state";
}

static void exit_pio(const struct vmcb *vmcb, struct hv_exit *exit)
{
	u64 info = vmcb->exit_info1; /* 15.10.2 */

	exit->reason = EXIT_PIO;
	exit->address = (info >> 16) & 0xffff;
	exit->access.size = (u8)((info >> 4) & 7);
	exit->access.is_write = !(info & BIT(0));
	exit->access.value = vmcb->rax & (info & BIT(6)   ? 0xffffffffu
					  : info & BIT(5) ? 0xffffu
							  : 0xffu);
	if (info & BIT(2)) {
		exit->reason = EXIT_ARCH;
		exit->code = X86_EXIT_STRING_PIO;
	}
}

static void intercept_iret(struct svm_vcpu *svm, bool on)
{
	if (on)
		svm->vmcb->intercept_misc1 |= INTERCEPT_IRET;
	else
		svm->vmcb->intercept_misc1 &= ~INTERCEPT_IRET;
	svm->clean &= ~CLEAN_INTERCEPTS;
}

/*
 * The length of the instruction that exited. Without NRIP save (emulators, the first SVM
 * processors) @plain, without redundant prefixes, which no compiler emits.
 */
static inline u8 length_of(const struct vmcb *vmcb, u8 plain)
{
	return shared.nrip_save ? (u8)(vmcb->next_rip - vmcb->rip) : plain;
}

static void svm_run(struct vcpu *vcpu, struct hv_exit *exit)
{
	struct vcpu_arch *arch = &vcpu->arch;
	struct vmcb *vmcb = arch->svm.vmcb;

	if (!arch->svm.asid_generation)
		assign_asid(&vcpu->cpu->arch.svm, &arch->svm);
	vmcb->rax = arch->gpr[RAX];
	vmcb->rsp = arch->gpr[RSP];
	vmcb->rip = arch->rip;
	vmcb->rflags = arch->rflags;
	vmcb->interrupt_shadow = arch->shadow;
	vmcb->clean = arch->svm.clean;

	svm_enter(arch, pa(vmcb));

	arch->svm.clean = CLEAN_ALL;
	arch->gpr[RAX] = vmcb->rax;
	arch->gpr[RSP] = vmcb->rsp;
	arch->rip = vmcb->rip;
	arch->rflags = vmcb->rflags;
	arch->shadow = vmcb->interrupt_shadow & 1;
	vmcb->tlb_control = TLB_CONTROL_NONE;
	vmcb->event_inject = 0;
	/*
	 * An event was being delivered when the exit came: it has to be injected again, but for a
	 * software interrupt, whose instruction will be executed again (15.7.2).
	 */
	if (vmcb->exit_int_info & EVENT_VALID && EVENT_TYPE(vmcb->exit_int_info) != EVENT_SOFTWARE)
		vmcb->event_inject = vmcb->exit_int_info & ~(u64)0x7ffff000u;

	u64 code = vmcb->exit_code;

	switch ((u32)code) {
	case VMEXIT_VMMCALL:
		exit->reason = EXIT_HYPERCALL;
		arch->insn_length = length_of(vmcb, 3);
		return;
	case VMEXIT_CPUID:
		exit->reason = EXIT_ARCH;
		exit->code = X86_EXIT_CPUID;
		arch->insn_length = length_of(vmcb, 2);
		return;
	case VMEXIT_NPF:
		exit->reason = EXIT_MEMORY;
		exit->gpa = GPA(vmcb->exit_info2);
		/* A fault on the guest's own page-table walk counts as a write: A and D bits. */
		exit->is_write = vmcb->exit_info1 & (BIT(1) | BIT(33));
		arch->cr3 = vmcb->cr3;
		arch->code_64 = (vmcb->efer & EFER_LMA) && (vmcb->cs.attributes & BIT(9));
		return;
	case VMEXIT_INTR:
	case VMEXIT_NMI:
	case VMEXIT_SMI:
	case VMEXIT_INIT:
		exit->reason = EXIT_HOST_IRQ;
		return;
	case VMEXIT_MSR:
		exit->reason = EXIT_REG;
		exit->address = (u32)arch->gpr[RCX];
		exit->access.size = 8;
		exit->access.is_write = vmcb->exit_info1 & 1;
		exit->access.value = (u32)arch->gpr[RAX] | arch->gpr[RDX] << 32;
		arch->insn_length = length_of(vmcb, 2);
		return;
	case VMEXIT_IOIO:
		exit_pio(vmcb, exit);
		arch->insn_length = (u8)(vmcb->exit_info2 - vmcb->rip);
		return;
	case VMEXIT_HLT:
		exit->reason = EXIT_HALT;
		arch->insn_length = length_of(vmcb, 1);
		return;
	case VMEXIT_PAUSE:
		exit->reason = EXIT_ARCH;
		exit->code = X86_EXIT_PAUSE;
		exit->address = shared.pause_filter;
		arch->insn_length = length_of(vmcb, 2);
		return;
	case VMEXIT_VINTR:
		exit->reason = EXIT_WINDOW;
		return;
	case VMEXIT_SHUTDOWN:
		exit->reason = EXIT_SHUTDOWN;
		exit->cause = "triple fault";
		return;
	case VMEXIT_IRET:
		intercept_iret(&arch->svm, false);
		exit->reason = EXIT_ARCH;
		exit->code = X86_EXIT_IRET;
		return;
	case VMEXIT_WBINVD:
	case VMEXIT_INVD:
		exit->reason = EXIT_ARCH;
		exit->code = X86_EXIT_WBINVD;
		arch->insn_length = length_of(vmcb, 2);
		return;
	case VMEXIT_RDPMC:
	case VMEXIT_INVLPGA:
	case VMEXIT_VMRUN:
	case VMEXIT_VMLOAD ... VMEXIT_RDTSCP:
	case VMEXIT_MONITOR ... VMEXIT_RDPRU:
		exit->reason = EXIT_ARCH;
		exit->code = X86_EXIT_UD;
		return;
	case VMEXIT_INVALID:
		exit->reason = EXIT_FAILED_ENTRY;
		exit->cause = invalid_cause(vmcb);
		return;
	case VMEXIT_CR0_READ ... VMEXIT_CR15_WRITE:
		exit->reason = EXIT_ARCH;
		exit->code = X86_EXIT_CR;
		return;
	case VMEXIT_EXCEPTION + VECTOR_DB:
	case VMEXIT_EXCEPTION + VECTOR_AC:
		exit->reason = EXIT_ARCH;
		exit->code = X86_EXIT_EXCEPTION;
		exit->address = code - VMEXIT_EXCEPTION;
		return;
	case VMEXIT_EXCEPTION + VECTOR_MC:
		exit->reason = EXIT_UNKNOWN;
		exit->cause = "machine check while the guest ran";
		return;
	case VMEXIT_FERR:
		exit->reason = EXIT_UNKNOWN;
		exit->cause = "legacy floating-point error reporting";
		return;
	default:
		exit->reason = EXIT_UNKNOWN;
		exit->cause = "an exit that anew didn't ask for";
		exit->code = code;
		return;
	}
}

static bool svm_inject(struct vcpu *vcpu, u32 event, u32 error_code)
{
	struct vcpu_arch *arch = &vcpu->arch;
	struct vmcb *vmcb = arch->svm.vmcb;

	if (vmcb->event_inject & EVENT_VALID)
		return false;
	if (EVENT_TYPE(event) == EVENT_INTERRUPT && (!(arch->rflags & RFLAGS_IF) || arch->shadow))
		return false;
	vmcb->event_inject = (event | EVENT_VALID) | (u64)error_code << 32;
	if (EVENT_TYPE(event) == EVENT_NMI)
		intercept_iret(&arch->svm, true);
	return true;
}

/* What comes in here is taken by anew's own vectors, with the guest's registers in place. */
static void svm_take_interrupts(void)
{
	__asm__ volatile("stgi; nop; clgi" : : : "memory");
}

static void svm_request_window(struct vcpu *vcpu, bool on)
{
	struct vcpu_arch *arch = &vcpu->arch;
	struct vmcb *vmcb = arch->svm.vmcb;

	if (arch->window == on)
		return;
	arch->window = on;
	/* A virtual interrupt that is never delivered: VINTR exits when it could be. 15.21.4. */
	if (on) {
		vmcb->intercept_misc1 |= INTERCEPT_VINTR;
		vmcb->v_intr |= V_IRQ | V_IGN_TPR;
	} else {
		vmcb->intercept_misc1 &= ~INTERCEPT_VINTR;
		vmcb->v_intr &= ~(V_IRQ | V_IGN_TPR);
	}
	arch->svm.clean &= ~(CLEAN_INTERCEPTS | CLEAN_TPR);
}

static void svm_get_state(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;
	struct x86_state *s = &arch->state;
	const struct vmcb *m = arch->svm.vmcb;

	memcpy(s->gpr, arch->gpr, sizeof(s->gpr));
	s->rip = arch->rip;
	s->rflags = arch->rflags;
	s->cr0 = m->cr0;
	s->cr2 = m->cr2;
	s->cr3 = m->cr3;
	s->cr4 = m->cr4;
	s->dr6 = m->dr6;
	s->dr7 = m->dr7;
	s->efer = m->efer & ~EFER_SVME;
	s->pat = m->g_pat;
	s->star = m->star;
	s->lstar = m->lstar;
	s->cstar = m->cstar;
	s->sfmask = m->sfmask;
	s->kernel_gs_base = m->kernel_gs_base;
	s->sysenter_cs = m->sysenter_cs;
	s->sysenter_esp = m->sysenter_esp;
	s->sysenter_eip = m->sysenter_eip;
	s->es = m->es;
	s->cs = m->cs;
	s->ss = m->ss;
	s->ds = m->ds;
	s->fs = m->fs;
	s->gs = m->gs;
	s->ldtr = m->ldtr;
	s->tr = m->tr;
	s->gdtr = m->gdtr;
	s->idtr = m->idtr;
	s->cpl = m->cpl;
	s->interrupt_shadow = arch->shadow;
	s->event = (u32)m->event_inject;
	s->event_error = (u32)(m->event_inject >> 32);
}

static void svm_set_state(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;
	const struct x86_state *s = &arch->state;
	struct vmcb *m = arch->svm.vmcb;
	/* What the guest's own translations come from; a flush for all else is the guest's affair.
	 */
	bool remapped = m->cr0 != s->cr0 || m->cr3 != s->cr3 || m->cr4 != s->cr4 ||
			((m->efer ^ s->efer) & ~(EFER_SVME | EFER_SCE));

	memcpy(arch->gpr, s->gpr, sizeof(s->gpr));
	arch->rip = s->rip;
	arch->rflags = s->rflags;
	arch->shadow = s->interrupt_shadow;
	m->cr0 = s->cr0;
	m->cr2 = s->cr2;
	m->cr3 = s->cr3;
	m->cr4 = s->cr4;
	m->dr6 = s->dr6;
	m->dr7 = s->dr7;
	m->efer = s->efer | EFER_SVME;
	m->g_pat = s->pat;
	m->star = s->star;
	m->lstar = s->lstar;
	m->cstar = s->cstar;
	m->sfmask = s->sfmask;
	m->kernel_gs_base = s->kernel_gs_base;
	m->sysenter_cs = s->sysenter_cs;
	m->sysenter_esp = s->sysenter_esp;
	m->sysenter_eip = s->sysenter_eip;
	m->es = s->es;
	m->cs = s->cs;
	m->ss = s->ss;
	m->ds = s->ds;
	m->fs = s->fs;
	m->gs = s->gs;
	m->ldtr = s->ldtr;
	m->tr = s->tr;
	m->gdtr = s->gdtr;
	m->idtr = s->idtr;
	m->cpl = s->cpl;
	m->event_inject = s->event | (u64)s->event_error << 32;
	m->tsc_offset = vcpu->vm->counter_offset + s->tsc_adjust;
	svm_request_window(vcpu, false);
	vcpu_post(vcpu, PENDING_IRQ);
	intercept_iret(&arch->svm, s->nmi_masked);
	arch->svm.clean = 0;
	if (remapped)
		svm_flush(vcpu);
}

static void svm_get_mode(const struct vcpu *vcpu, struct x86_mode *mode)
{
	const struct vmcb *m = vcpu->arch.svm.vmcb;

	mode->cr0 = m->cr0;
	mode->cr3 = m->cr3;
	mode->cr4 = m->cr4;
	mode->efer = m->efer;
	mode->rflags = vcpu->arch.rflags;
	mode->cs_base = m->cs.base;
	mode->cs_long = m->cs.attributes & BIT(9);
	mode->cs_32bit = m->cs.attributes & BIT(10);
	mode->cpl = m->cpl;
}

const struct x86_backend svm_backend = {
	.name = "AMD SVM",
	.probe = svm_probe,
	.cpu_on = svm_cpu_on,
	.cpu_off = svm_cpu_off,
	.vcpu_init = svm_vcpu_init,
	.vcpu_fini = svm_vcpu_fini,
	.load = svm_load,
	.put = svm_put,
	.run = svm_run,
	.get_state = svm_get_state,
	.set_state = svm_set_state,
	.inject = svm_inject,
	.take_interrupts = svm_take_interrupts,
	.request_window = svm_request_window,
	.flush = svm_flush,
	.get_mode = svm_get_mode,
};
