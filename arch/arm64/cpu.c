/* SPDX-License-Identifier: MIT */
/* The machine and its processors: what hv/internal/arch.h asks for. */
#include <hv/log.h>
#include <internal/arch.h>
#include <internal/check.h>
#include <internal/host.h>
#include <internal/sched.h>
#include <string.h>

#include "cpu_find.h"
#include "el2.h"

static_assert(offsetof(struct el2_cpu, stack) == 0, "el2_entry.S");
static_assert(offsetof(struct el2_cpu, hcr) == 8, "el2_entry.S");
static_assert(offsetof(struct el2_cpu, mair) == 16, "el2_entry.S");
static_assert(offsetof(struct el2_cpu, ttbr0) == 32, "el2_entry.S");
static_assert(offsetof(struct el2_cpu, sctlr) == 48, "el2_entry.S");

/* VTCR_EL2: 4 KiB granule, walks write-back and inner shareable, begin at level 1. D19.2.162 */
#define VTCR_RES1  BIT(31)
#define VTCR_WALKS ((u64)1 << 6 | (u64)3 << 12 | (u64)1 << 8 | (u64)1 << 10)
#define VTCR_PS_36 ((u64)1 << 16)

#define TTBR1_EL2     "S3_4_C2_C0_1"
#define ID_AA64MMFR2  "S3_0_C0_C7_2"
#define OSLSR_LOCKED  BIT(1)
#define ISR_INTERRUPT (BIT(6) | BIT(7)) /* ISR_EL1: FIQ and IRQ */

/* A processor's struct el2_cpu and its stack, which is above it. */
#define CPU_PAGES 9
static_assert(sizeof(struct el2_cpu) <= PAGE_SIZE, "a page, the others are the stack");
/* How long it may take to arrive or to go. */
#define PATIENCE_SECONDS 2

bool el2_vhe;

static struct el2_cpu boot;
/* By which tables say who the boot CPU is; none before arch_check(), when there are no others. */
static u64 boot_id = UINT64_MAX;
/* Those that were started and haven't come, and may yet. */
static u64 late[CPU_MAX];
static u32 late_count;

/* ---- PSCI of the firmware, DEN0022 section 5 ---- */

#define PSCI_CPU_OFF       0x84000002u
#define PSCI_CPU_ON        0xc4000003u
#define PSCI_AFFINITY_INFO 0xc4000004u
#define PSCI_IS_OFF        1

static s64 smc(u64 function, u64 a1, u64 a2, u64 a3)
{
	register u64 x0 __asm__("x0") = function;
	register u64 x1 __asm__("x1") = a1;
	register u64 x2 __asm__("x2") = a2;
	register u64 x3 __asm__("x3") = a3;

	/* DEN0028 section 2.6: of the others, from 18 on are kept by all versions. */
	__asm__ volatile("smc #0"
			 : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
			 :
			 : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
			   "x15", "x16", "x17", "memory");
	return (s64)x0;
}

/* Waits until the processor @id is off, but not for ever. */
static bool wait_off(u64 id)
{
	u64 begin = arch_counter();

	while (smc(PSCI_AFFINITY_INFO, id, 0, 0) != PSCI_IS_OFF) {
		if (arch_counter() - begin > PATIENCE_SECONDS * arch_counter_hz())
			return false;
		cpu_relax();
	}
	return true;
}

/* ---- the machine ---- */

const char *arch_name(void)
{
	return "arm64";
}

const char *arch_backend_name(void)
{
	if (gic_host_version() == VGIC_V3)
		return el2_vhe ? "EL2 with VHE, GICv3" : "EL2, GICv3";
	return el2_vhe ? "EL2 with VHE, GICv2" : "EL2, GICv2";
}

enum hv_error arch_check(void)
{
	enum hv_error err;

	if (!check_require(((sysreg_read("CurrentEL") >> 2) & 3) == 2, "EL2",
			   "the firmware started anew at EL%llu, and it needs EL2: switch "
			   "virtualization on in the machine's setup (QEMU: -machine "
			   "virt,virtualization=on)",
			   (unsigned long long)((sysreg_read("CurrentEL") >> 2) & 3)))
		return HV_EUNSUPPORTED;
	boot_id = sysreg_read("mpidr_el1") & MPIDR_AFFINITY;
	cpu_boot()->id = boot_id;
	cpu_boot()->arch.el2 = &boot;
	boot.cpu = cpu_boot();
	boot.state = EL2_CPU_HERE;
	boot.timer.at = UINT64_MAX;
	el2_vhe = sysreg_read("hcr_el2") & HCR_E2H;
	err = stage2_check();
	if (sysreg_check())
		err = HV_EUNSUPPORTED;
	if (gic_host_check())
		err = HV_EUNSUPPORTED;
	if (!check_require(arch_counter_hz(), "a counter of known frequency",
			   "the firmware left CNTFRQ_EL0 at 0, so that nobody knows how fast time "
			   "passes: it has to be mended"))
		err = HV_EUNSUPPORTED;
	return err;
}

bool arch_on_boot_cpu(void)
{
	return boot_id == UINT64_MAX || (sysreg_read("mpidr_el1") & MPIDR_AFFINITY) == boot_id;
}

enum hv_error arch_cpu_on(struct cpu *cpu)
{
	struct el2_cpu *el2 = cpu->arch.el2;

	if (cpu == cpu_boot()) {
		stage2_init();
		sysreg_init();
		vcpu_hcr_init();
	}
	el2->before.sctlr_el1 = el2_vhe ? sysreg_read(SCTLR_EL12) : sysreg_read("sctlr_el1");
	el2->before.vttbr = sysreg_read("vttbr_el2");
	el2->before.vtcr = sysreg_read("vtcr_el2");
	el2->before.vpidr = sysreg_read("vpidr_el2");
	el2->before.vmpidr = sysreg_read("vmpidr_el2");
	el2->before.hstr = sysreg_read("hstr_el2");
	sysreg_write("vtcr_el2", VTCR_RES1 | VTCR_WALKS | VTCR_PS_36 | (u64)(64 - IPA_BITS));
	sysreg_write("hstr_el2", 0);
	/* A firmware that has its tick there keeps it. */
	cpu->timer = !(sysreg_read("cnthp_ctl_el2") & TIMER_ENABLE);
	if (cpu == cpu_boot())
		gic_host_on(cpu);
	else
		gic_host_start(cpu);
	return HV_OK;
}

void arch_cpu_off(struct cpu *cpu)
{
	const struct el2_cpu *el2 = cpu->arch.el2;

	if (cpu == cpu_boot()) {
		/* Its memory is the firmware's again. */
		while (late_count && wait_off(late[late_count - 1]))
			late_count--;
		gic_host_return_line();
		gic_host_off(cpu);
	} else {
		gic_host_stop(cpu);
	}
	/* Nothing is left that could translate: EL1 is as it was, stage 2 off and forgotten. */
	if (el2_vhe)
		sysreg_write(SCTLR_EL12, el2->before.sctlr_el1);
	else
		sysreg_write("sctlr_el1", el2->before.sctlr_el1);
	sysreg_write("vttbr_el2", el2->before.vttbr);
	sysreg_write("vtcr_el2", el2->before.vtcr);
	sysreg_write("vpidr_el2", el2->before.vpidr);
	sysreg_write("vmpidr_el2", el2->before.vmpidr);
	sysreg_write("hstr_el2", el2->before.hstr);
	__asm__ volatile("dsb ishst; tlbi alle1is; dsb ish; isb" : : : "memory");
}

u64 arch_counter(void)
{
	isb(); /* not ahead of what came before: Arm ARM D11.2.1 */
	return sysreg_read("cntpct_el0");
}

u64 arch_counter_hz(void)
{
	return sysreg_read("cntfrq_el0") & 0xffffffffu;
}

void el2_own_fault(u64 kind, u64 esr, u64 elr, u64 far)
{
	static const char *const kinds[] = {"exception", "interrupt", "fast interrupt", "SError"};
	const struct vcpu *vcpu = (const void *)(uintptr_t)sysreg_read("tpidr_el2");
	char exit[80] = "none";

	if (vcpu)
		exit_describe(&vcpu->last_exit, exit, sizeof(exit));
	panic("%s in anew itself: ESR %llxh (class %xh) at %llxh (%llxh in anew.elf), FAR %llxh; "
	      "last exit of %s: %s",
	      kinds[kind & 3], (unsigned long long)esr, ESR_EC(esr), (unsigned long long)elr,
	      (unsigned long long)(elr - host_image_base()), (unsigned long long)far,
	      vcpu ? vcpu->vm->config.name : "no VM", exit);
}

/* ---- processors ---- */

/* What guests see of a processor, and what anew has looked at on the boot CPU alone. */
#define KIND_WORDS 12

static void read_kind(u64 kind[KIND_WORDS])
{
	const u64 words[KIND_WORDS] = {
		sysreg_read("midr_el1"),
		sysreg_read("ctr_el0"),
		sysreg_read("dczid_el0"),
		sysreg_read("cntfrq_el0"),
		sysreg_read("id_aa64pfr0_el1"),
		sysreg_read("id_aa64pfr1_el1"),
		sysreg_read("id_aa64dfr0_el1"),
		sysreg_read("id_aa64isar0_el1"),
		sysreg_read("id_aa64mmfr0_el1"),
		sysreg_read("id_aa64mmfr1_el1"),
		sysreg_read(ID_AA64MMFR2),
		gic_host_version() == VGIC_V3 ? sysreg_read(ICH_VTR_EL2) : 0,
	};

	memcpy(kind, words, sizeof(words));
}

static u64 boot_kind[KIND_WORDS];
/* Registers of the boot CPU that the others take over in C. */
static u64 boot_cptr, boot_cnthctl, boot_oslsr, boot_sre;

u32 arch_cpus_find(void)
{
	u64 ids[CPU_MAX - 1];
	u32 count = cpu_find(host_acpi_rsdp(), host_fdt(), boot_id, ids, CPU_MAX - 1);

	if (count && !cpu_find_psci(host_acpi_rsdp(), host_fdt())) {
		log_warn("the firmware doesn't say how processors are started (PSCI by SMC): anew "
			 "runs on one of %u",
			 count + 1);
		count = 0;
	}
	for (u32 i = 0; i < count; i++) {
		cpus[i + 1].index = i + 1;
		cpus[i + 1].id = ids[i];
	}
	if (count) {
		read_kind(boot_kind);
		boot_cptr = sysreg_read("cptr_el2");
		boot_cnthctl = sysreg_read("cnthctl_el2");
		boot_oslsr = sysreg_read("oslsr_el1");
		boot_sre = gic_host_version() == VGIC_V3 ? sysreg_read(ICC_SRE_EL2) : 0;
		if (!gic_host_take_line())
			log_debug("there is no interrupt to kick the boot CPU by: its tick has to "
				  "do");
	}
	return count + 1;
}

/* So that who has no caches on sees it. */
static void clean(const void *ptr, size_t length)
{
	u64 line = (u64)4 << ((sysreg_read("ctr_el0") >> 16) & 0xf);
	u64 end = (u64)(uintptr_t)ptr + length;

	for (u64 at = ALIGN_DOWN((u64)(uintptr_t)ptr, line); at < end; at += line)
		__asm__ volatile("dc civac, %0" : : "r"(at) : "memory");
	__asm__ volatile("dsb sy" : : : "memory");
}

/* Waits for @el2 to arrive; from then on one that hasn't is not wanted any more. */
static u32 wait_arrival(struct el2_cpu *el2)
{
	u64 begin = arch_counter();
	u32 state;

	do {
		state = __atomic_load_n(&el2->state, __ATOMIC_ACQUIRE);
		if (state == EL2_CPU_STARTS &&
		    arch_counter() - begin > PATIENCE_SECONDS * arch_counter_hz() &&
		    __atomic_compare_exchange_n(&el2->state, &state, EL2_CPU_LATE, false,
						__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			state = EL2_CPU_LATE;
		cpu_relax();
	} while (state == EL2_CPU_STARTS || state == EL2_CPU_COMES);
	return state;
}

/* Prepares what el2_cpu_entry puts in place on @cpu; NULL when there is no memory. */
static struct el2_cpu *prepare(struct cpu *cpu)
{
	u8 *pages = host_alloc_pages(CPU_PAGES);
	struct el2_cpu *el2 = (struct el2_cpu *)pages;

	if (!el2)
		return NULL;
	el2->stack = (u64)(uintptr_t)pages + CPU_PAGES * PAGE_SIZE;
	el2->hcr = sysreg_read("hcr_el2");
	el2->mair = sysreg_read("mair_el2");
	el2->tcr = sysreg_read("tcr_el2");
	el2->ttbr0 = sysreg_read("ttbr0_el2");
	el2->ttbr1 = el2_vhe ? sysreg_read(TTBR1_EL2) : 0;
	el2->sctlr = sysreg_read("sctlr_el2");
	el2->cpu = cpu;
	el2->state = EL2_CPU_STARTS;
	el2->timer.at = UINT64_MAX;
	cpu->arch.el2 = el2;
	return el2;
}

static enum hv_error not_started(const struct cpu *cpu, const char *why)
{
	log_error("processor %llxh %s: anew runs without it", (unsigned long long)cpu->id, why);
	return HV_EIO;
}

enum hv_error arch_cpu_start(struct cpu *cpu)
{
	struct el2_cpu *el2 = prepare(cpu);
	u32 state = EL2_CPU_STARTS;

	if (!el2)
		return not_started(cpu, "isn't started, as there is no memory for its stack");
	if (gic_host_find(cpu)) {
		host_free_pages(el2, CPU_PAGES);
		return not_started(cpu, "isn't started, as the firmware's tables name no interrupt "
					"controller for it");
	}
	clean(el2, sizeof(*el2));
	clean(el2_cpu_entry, (size_t)(el2_cpu_entry_end - el2_cpu_entry));
	if (smc(PSCI_CPU_ON, cpu->id, (uintptr_t)el2_cpu_entry, (uintptr_t)el2)) {
		host_free_pages(el2, CPU_PAGES);
		return not_started(cpu, "isn't started by the firmware (PSCI CPU_ON)");
	}
	state = wait_arrival(el2);
	if (state == EL2_CPU_HERE)
		return HV_OK;
	if (state == EL2_CPU_LATE) {
		/* What it needs to go again stays. */
		late[late_count++] = cpu->id;
		return not_started(cpu, "was started, but didn't arrive");
	}
	if (wait_off(cpu->id))
		host_free_pages(el2, CPU_PAGES);
	return not_started(cpu, "is of another kind than the one that anew was started on");
}

/* DEN0022 section 5.5: doesn't return, unless the firmware has something against it. */
HV_NORETURN static void go(void)
{
	(void)smc(PSCI_CPU_OFF, 0, 0, 0);
	for (;;)
		__asm__ volatile("wfi");
}

/* Before all else that isn't the entry's. */
static void adopt(void)
{
	sysreg_write("vbar_el2", (uintptr_t)el2_vectors);
	sysreg_write("tpidr_el2", 0);
	sysreg_write("cptr_el2", boot_cptr);
	sysreg_write("cnthctl_el2", boot_cnthctl);
	sysreg_write("mdcr_el2", sysreg_read("mdcr_el2") & MDCR_HPMN);
	sysreg_write("mdscr_el1", 0);
	/* Debug exceptions of guests want it open, as it is on the boot CPU or not. */
	sysreg_write("oslar_el1", boot_oslsr & OSLSR_LOCKED ? 1 : 0);
	if (gic_host_version() == VGIC_V3)
		sysreg_write(ICC_SRE_EL2, boot_sre);
	isb();
	timer_start();
}

void el2_cpu_main(struct el2_cpu *el2)
{
	u64 kind[KIND_WORDS];
	u32 state = EL2_CPU_STARTS, next = EL2_CPU_COMES;

	adopt();
	read_kind(kind);
	if (memcmp(kind, boot_kind, sizeof(kind)))
		next = EL2_CPU_DIFFERS;
	/* Too late, its struct cpu may be another's. */
	if (!__atomic_compare_exchange_n(&el2->state, &state, next, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE) ||
	    next == EL2_CPU_DIFFERS || arch_cpu_on(el2->cpu))
		go();
	__atomic_store_n(&el2->state, EL2_CPU_HERE, __ATOMIC_RELEASE);
	sched_main(el2->cpu);
	arch_cpu_off(el2->cpu);
	go();
}

void arch_cpu_stop(struct cpu *cpu)
{
	if (!wait_off(cpu->id)) {
		log_error(
			"processor %llxh doesn't stop: it has to be switched off with the machine",
			(unsigned long long)cpu->id);
		return;
	}
	host_free_pages(cpu->arch.el2, CPU_PAGES);
	cpu->arch.el2 = NULL;
}

void arch_cpu_kick(struct cpu *cpu)
{
	__atomic_store_n(&cpu->kicked, 1, __ATOMIC_SEQ_CST);
	/* Seen before the interrupt is. */
	__asm__ volatile("dsb ish" : : : "memory");
	gic_host_kick(cpu);
}

void arch_cpu_sleep(struct cpu *cpu, u64 until)
{
	timer_hyp_set(until);
	/* An interrupt ends WFI also while it is held back. Arm ARM D1.6.2 */
	if (!__atomic_load_n(&cpu->kicked, __ATOMIC_SEQ_CST))
		__asm__ volatile("dsb sy; wfi" : : : "memory");
	timer_hyp_set(UINT64_MAX);
	gic_host_forget_kick(cpu);
}

void arch_cpu_timer(struct cpu *cpu, u64 at)
{
	struct el2_cpu *el2 = cpu->arch.el2;

	el2->timer.at = at;
	/* Otherwise it is set when the virtual CPU is loaded. */
	if (el2->loaded)
		timer_hyp_set(min_u64(at, el2->timer.tick));
}

bool arch_host_irq(struct vcpu *vcpu)
{
	gic_host_forget_kick(vcpu->cpu);
	if (timer_hyp_fired(el2_of(vcpu)))
		return false;
	isb();
	return !(sysreg_read("isr_el1") & ISR_INTERRUPT);
}
