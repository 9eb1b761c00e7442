/* SPDX-License-Identifier: MIT */
/*
 * The machine's GIC, as far as anew has to do with it: its virtual CPU interface, whose list
 * registers are a cache of the vGIC's state, and the private interrupts of anew's own. The
 * distributor, the CPU interface and every other interrupt are the firmware's.
 *
 * GICv3: IHI 0069, sections 4 and 12.4; GICv2: IHI 0048, section 5.
 */
#include <internal/arch.h>
#include <internal/check.h>
#include <internal/host.h>

#include "el2.h"
#include "gic_find.h"

/* The interrupt by which the virtual CPU interface asks to be seen to, unless tables say otherwise.
 */
#define INTID_MAINTENANCE_USUAL 25u

/* Registers of the distributor (GICv2) or the redistributor's second frame (GICv3). */
#define GIC_IGROUPR0   0x080u
#define GIC_ISENABLER0 0x100u
#define GIC_ICENABLER0 0x180u
#define GIC_ISACTIVER0 0x300u
#define GIC_ICACTIVER0 0x380u
#define GIC_IPRIORITYR 0x400u
#define PRIORITY       0x80u

/* GICv2's virtual interface control. */
#define GICH_HCR  0x000u
#define GICH_VTR  0x004u
#define GICH_VMCR 0x008u
#define GICH_MISR 0x010u
#define GICH_APR  0x0f0u
#define GICH_LR0  0x100u

/* The same in both versions. */
#define HCR_EN       BIT(0)
#define HCR_UIE      BIT(1)  /* a maintenance interrupt when one list register or none is in use */
#define HCR_LRENPIE  BIT(2)  /* the same when EOIcount is not 0 */
#define HCR_NPIE     BIT(3)  /* the same when none is pending and not active */
#define HCR_TDIR     BIT(14) /* GICv3: writes to ICC_DIR_EL1 trap */
#define HCR_EOICOUNT 27

static struct {
	enum vgic_version version;
	volatile u8 *private; /* frame that private interrupts are set up in */
	volatile u8 *gich;    /* GICv2 */
	hpa_t gicv;           /* GICv2 */
	u32 list_registers;
	u32 preemption_bits; /* GICv3: 5 to 7, of the active priorities */
	u32 maintenance;     /* INTID */
	u32 enabled_before;  /* bits of the private interrupts that anew uses */
	u32 used;
} host;

static u32 read32(const volatile u8 *frame, u32 offset)
{
	return *(const volatile u32 *)(const volatile void *)(frame + offset);
}

static void write32(volatile u8 *frame, u32 offset, u32 value)
{
	*(volatile u32 *)(volatile void *)(frame + offset) = value;
}

enum vgic_version gic_host_version(void)
{
	return host.version;
}

hpa_t gic_host_vcpu_interface(void)
{
	return host.gicv;
}

enum hv_error gic_host_check(void)
{
	struct gic_found found;
	enum hv_error err =
		gic_find(host_acpi_rsdp(), host_fdt(), sysreg_read("mpidr_el1"), &found);
	u32 vtr;

	if (!check_require(!err, "a GICv2 or GICv3 that the firmware describes",
			   "neither ACPI nor a devicetree of the firmware says where the interrupt "
			   "controller (GICv2 or GICv3) is: anew can't run here"))
		return err;
	host.maintenance = found.maintenance ? found.maintenance : INTID_MAINTENANCE_USUAL;
	if ((sysreg_read("id_aa64pfr0_el1") >> 24) & 0xf) {
		host.version = VGIC_V3;
		if (!check_require(found.redistributor, "a GICv3 redistributor",
				   "the firmware's tables name no GICv3 redistributor for this "
				   "processor, which anew needs: it can't run here"))
			return HV_EUNSUPPORTED;
		/* The second frame of 64 KiB: SGIs and PPIs. */
		host.private = (volatile u8 *)(uintptr_t)(found.redistributor + KIB(64));
		if (!check_require(sysreg_read(ICC_SRE_EL2) & BIT(0), "GICv3's system registers",
				   "the firmware uses this GICv3 by memory, not by system "
				   "registers (ICC_SRE_EL2.SRE is 0), which anew can't: it can't "
				   "run here"))
			return HV_EUNSUPPORTED;
		vtr = (u32)sysreg_read(ICH_VTR_EL2);
		host.preemption_bits = ((vtr >> 26) & 7) + 1;
	} else {
		host.version = VGIC_V2;
		if (!check_require(found.distributor && found.gich && found.gicv,
				   "GICv2's virtual CPU interface",
				   "this machine's GICv2 has no virtual CPU interface (GICH, "
				   "GICV), which anew needs: it can't run here"))
			return HV_EUNSUPPORTED;
		host.private = (volatile u8 *)(uintptr_t)found.distributor;
		host.gich = (volatile u8 *)(uintptr_t)found.gich;
		host.gicv = HPA(found.gicv);
		vtr = read32(host.gich, GICH_VTR);
	}
	host.list_registers = (vtr & 0x1f) + 1;
	if (host.list_registers > LIST_REGISTERS_MAX)
		host.list_registers = LIST_REGISTERS_MAX;
	return HV_OK;
}

void gic_host_on(void)
{
	const u32 ours[] = {host.maintenance, INTID_HYP_TIMER, VGIC_PPI_VTIMER};
	u32 enabled = read32(host.private, GIC_ISENABLER0);
	u32 group1 = read32(host.private, GIC_IGROUPR0);
	u8 priority = PRIORITY;

	for (u32 i = 0; i < ARRAY_COUNT(ours); i++)
		host.used |= 1u << ours[i];
	host.enabled_before = enabled & host.used;
	/* As the firmware has its own, one at least: its tick. Its CPU interface takes that group.
	 */
	if (enabled) {
		u32 like = (u32)__builtin_ctz(enabled);

		group1 = group1 >> like & 1 ? group1 | host.used : group1 & ~host.used;
		priority = host.private[GIC_IPRIORITYR + like];
	} else {
		group1 |= host.used;
	}
	write32(host.private, GIC_IGROUPR0, group1);
	for (u32 i = 0; i < ARRAY_COUNT(ours); i++)
		if (!(host.enabled_before >> ours[i] & 1))
			host.private[GIC_IPRIORITYR + ours[i]] = priority;
	write32(host.private, GIC_ISENABLER0, host.used);
	__asm__ volatile("dsb sy" : : : "memory");
}

void gic_host_off(void)
{
	write32(host.private, GIC_ICENABLER0, host.used & ~host.enabled_before);
	__asm__ volatile("dsb sy" : : : "memory");
}

void gic_host_set_active(u32 intid, bool active)
{
	write32(host.private, active ? GIC_ISACTIVER0 : GIC_ICACTIVER0, 1u << intid);
	/* Before the guest is entered, or the firmware takes interrupts. */
	__asm__ volatile("dsb sy" : : : "memory");
}

/* ---- list registers ---- */

/* Each of a numbered family: the number is part of the instruction. X(number, CRm, op2) */
#define LIST_REGISTERS(X)                                                                          \
	X(0, 12, 0)                                                                                \
	X(1, 12, 1)                                                                                \
	X(2, 12, 2)                                                                                \
	X(3, 12, 3)                                                                                \
	X(4, 12, 4)                                                                                \
	X(5, 12, 5)                                                                                \
	X(6, 12, 6)                                                                                \
	X(7, 12, 7)                                                                                \
	X(8, 13, 0)                                                                                \
	X(9, 13, 1)                                                                                \
	X(10, 13, 2)                                                                               \
	X(11, 13, 3)                                                                               \
	X(12, 13, 4)                                                                               \
	X(13, 13, 5)                                                                               \
	X(14, 13, 6)                                                                               \
	X(15, 13, 7)

static u64 ich_lr_read(u32 i)
{
	switch (i) {
#define READ(n, crm, op2)                                                                          \
	case n:                                                                                    \
		return sysreg_read("S3_4_C12_C" #crm "_" #op2);
		LIST_REGISTERS(READ)
#undef READ
	}
	return 0;
}

static void ich_lr_write(u32 i, u64 value)
{
	switch (i) {
#define WRITE(n, crm, op2)                                                                         \
	case n:                                                                                    \
		sysreg_write("S3_4_C12_C" #crm "_" #op2, value);                                   \
		return;
		LIST_REGISTERS(WRITE)
#undef WRITE
	}
}

/* Where the members of struct vgic_lr are in a list register of each version. */
#define LR3_STATE  62
#define LR3_HW     61
#define LR3_GROUP  60
#define LR3_PRIO   48
#define LR3_EOI    41
#define LR3_PINTID 32
#define LR2_HW     31
#define LR2_GROUP  30
#define LR2_STATE  28
#define LR2_PRIO   23
#define LR2_EOI    19
#define LR2_SOURCE 10
#define LR2_PINTID 10

static void lr_write(u32 i, const struct vgic_lr *lr)
{
	u64 state = (u64)lr->pending | (u64)lr->active << 1;
	u64 value;

	if (host.version == VGIC_V3) {
		value = state << LR3_STATE | (u64)lr->group1 << LR3_GROUP |
			(u64)lr->priority << LR3_PRIO | lr->intid;
		if (lr->hw_intid)
			value |= BIT(LR3_HW) | (u64)lr->hw_intid << LR3_PINTID;
		else
			value |= (u64)lr->eoi_notify << LR3_EOI;
		ich_lr_write(i, value);
		return;
	}
	value = state << LR2_STATE | (u64)lr->group1 << LR2_GROUP |
		(u64)(lr->priority >> 3) << LR2_PRIO | lr->intid;
	if (lr->hw_intid)
		value |= BIT(LR2_HW) | (u64)lr->hw_intid << LR2_PINTID;
	else
		value |= (u64)lr->eoi_notify << LR2_EOI | (u64)lr->source << LR2_SOURCE;
	write32(host.gich, GICH_LR0 + 4 * i, (u32)value);
}

static void lr_read_state(u32 i, struct vgic_lr *lr)
{
	u64 state = host.version == VGIC_V3 ? ich_lr_read(i) >> LR3_STATE
					    : read32(host.gich, GICH_LR0 + 4 * i) >> LR2_STATE;

	lr->pending = state & 1;
	lr->active = state & 2;
}

static void lr_clear(u32 i)
{
	if (host.version == VGIC_V3)
		ich_lr_write(i, 0);
	else
		write32(host.gich, GICH_LR0 + 4 * i, 0);
}

static void hcr_write(u64 value)
{
	if (host.version == VGIC_V3)
		sysreg_write(ICH_HCR_EL2, value);
	else
		write32(host.gich, GICH_HCR, (u32)value);
}

static u64 hcr_read(void)
{
	return host.version == VGIC_V3 ? sysreg_read(ICH_HCR_EL2) : read32(host.gich, GICH_HCR);
}

bool gic_host_lr_empty(u32 index)
{
	struct vgic_lr lr;

	lr_read_state(index, &lr);
	return !lr.pending && !lr.active;
}

bool gic_host_maintenance(void)
{
	if (host.version == VGIC_V3)
		return sysreg_read(ICH_MISR_EL2);
	return read32(host.gich, GICH_MISR);
}

/* ---- the guest's CPU interface: VMCR and active priorities ---- */

/* The same places in both versions, but for the mask's width. */
#define VMCR_GROUP0  BIT(0)
#define VMCR_GROUP1  BIT(1)
#define VMCR_ACKCTL  BIT(2)
#define VMCR_FIQEN   BIT(3)
#define VMCR_CBPR    BIT(4)
#define VMCR_EOIMODE BIT(9)
#define VMCR_BPR1    18
#define VMCR_BPR0    21
#define VMCR_PMR     24

static u64 vmcr_pack(const struct vgic_cpu_if *cpu)
{
	return (cpu->group0 ? VMCR_GROUP0 : 0) | (cpu->group1 ? VMCR_GROUP1 : 0) |
	       (cpu->ackctl ? VMCR_ACKCTL : 0) | (cpu->fiqen ? VMCR_FIQEN : 0) |
	       (cpu->cbpr ? VMCR_CBPR : 0) | (cpu->eoimode ? VMCR_EOIMODE : 0) |
	       (u64)cpu->bpr1 << VMCR_BPR1 | (u64)cpu->bpr0 << VMCR_BPR0 |
	       (u64)cpu->pmr << VMCR_PMR;
}

static void vmcr_unpack(struct vgic_cpu_if *cpu, u64 vmcr)
{
	cpu->group0 = (vmcr & VMCR_GROUP0) != 0;
	cpu->group1 = (vmcr & VMCR_GROUP1) != 0;
	cpu->ackctl = (vmcr & VMCR_ACKCTL) != 0;
	cpu->fiqen = (vmcr & VMCR_FIQEN) != 0;
	cpu->cbpr = (vmcr & VMCR_CBPR) != 0;
	cpu->eoimode = (vmcr & VMCR_EOIMODE) != 0;
	cpu->bpr1 = (vmcr >> VMCR_BPR1) & 7;
	cpu->bpr0 = (vmcr >> VMCR_BPR0) & 7;
	cpu->pmr = (vmcr >> VMCR_PMR) & 0xff;
}

/* What the guest has made of it since; nothing traps. */
static void vmcr_update(struct vcpu *vcpu)
{
	vmcr_unpack(vgic_cpu_if(&vcpu->vm->arch.gic, vcpu->index),
		    host.version == VGIC_V3 ? sysreg_read(ICH_VMCR_EL2)
					    : read32(host.gich, GICH_VMCR));
}

/*
 * Active priorities as the vGIC has them, a bit for each of 32: of hardware with more bits of
 * preemption every second or fourth, as guests have five bits of priority.
 */
#define AP_READ(group)                                                                             \
	({                                                                                         \
		u32 words_[4] = {(u32)sysreg_read("S3_4_C12_C" #group "_0")};                      \
		if (host.preemption_bits > 5)                                                      \
			words_[1] = (u32)sysreg_read("S3_4_C12_C" #group "_1");                    \
		if (host.preemption_bits > 6) {                                                    \
			words_[2] = (u32)sysreg_read("S3_4_C12_C" #group "_2");                    \
			words_[3] = (u32)sysreg_read("S3_4_C12_C" #group "_3");                    \
		}                                                                                  \
		ap_narrow(words_);                                                                 \
	})
#define AP_WRITE(group, value)                                                                     \
	do {                                                                                       \
		u32 words_[4];                                                                     \
		ap_widen(words_, value);                                                           \
		sysreg_write("S3_4_C12_C" #group "_0", words_[0]);                                 \
		if (host.preemption_bits > 5)                                                      \
			sysreg_write("S3_4_C12_C" #group "_1", words_[1]);                         \
		if (host.preemption_bits > 6) {                                                    \
			sysreg_write("S3_4_C12_C" #group "_2", words_[2]);                         \
			sysreg_write("S3_4_C12_C" #group "_3", words_[3]);                         \
		}                                                                                  \
	} while (0)

static u32 ap_narrow(const u32 words[4])
{
	u32 shift = host.preemption_bits - 5;
	u32 value = 0;

	if (!shift)
		return words[0];
	for (u32 n = 0; n < 32; n++)
		value |= (words[(n << shift) / 32] >> (n << shift) % 32 & 1) << n;
	return value;
}

static void ap_widen(u32 words[4], u32 value)
{
	u32 shift = host.preemption_bits - 5;

	words[0] = shift ? 0 : value;
	words[1] = words[2] = words[3] = 0;
	for (u32 n = 0; shift && n < 32; n++)
		words[(n << shift) / 32] |= (value >> n & 1) << (n << shift) % 32;
}

static void end_missing(struct vcpu *vcpu)
{
	u32 missing = (u32)(hcr_read() >> HCR_EOICOUNT) & 0x1f;

	if (!missing)
		return;
	vmcr_update(vcpu);
	/*
	 * Only the end of interrupt in EOImode 0 deactivates; writes to DIR trap. IHI 0069,
	 * "ICH_HCR_EL2", EOIcount; QEMU counts in EOImode 1 as well.
	 */
	if (!vgic_cpu_if(&vcpu->vm->arch.gic, vcpu->index)->eoimode)
		vgic_end_missing(&vcpu->vm->arch.gic, vcpu->index, missing);
}

void gic_host_fold(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;

	if (arch->lr_count) {
		if (arch->lr_more)
			end_missing(vcpu);
		for (u32 i = 0; i < arch->lr_count; i++) {
			struct vgic_lr *lr = &arch->lrs[i];

			lr_read_state(i, lr);
			lr_clear(i);
			/* The end of it in the guest has ended the physical one as well. */
			if (lr->hw_intid && !lr->pending && !lr->active)
				arch->vtimer_active = false;
		}
		vgic_fold(&vcpu->vm->arch.gic, vcpu->index, arch->lrs, arch->lr_count);
		arch->lr_count = 0;
		vcpu_post(vcpu, PENDING_IRQ);
	}
	timer_sample(vcpu);
}

void gic_host_fill(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;
	u64 more = 0;

	vmcr_update(vcpu);
	arch->lr_count = vgic_fill(&vcpu->vm->arch.gic, vcpu->index, arch->lrs, host.list_registers,
				   &arch->lr_more);
	for (u32 i = 0; i < arch->lr_count; i++)
		lr_write(i, &arch->lrs[i]);
	if (arch->lr_more)
		more = vgic_cpu_if(&vcpu->vm->arch.gic, vcpu->index)->eoimode
			       ? HCR_NPIE
			       : HCR_UIE | HCR_LRENPIE;
	hcr_write(HCR_EN | more | (host.version == VGIC_V3 ? HCR_TDIR : 0));
}

void gic_host_load(struct vcpu *vcpu)
{
	const struct vgic_cpu_if *cpu = vgic_cpu_if(&vcpu->vm->arch.gic, vcpu->index);

	vcpu->arch.lr_count = 0;
	for (u32 i = 0; i < host.list_registers; i++)
		lr_clear(i);
	if (host.version == VGIC_V3) {
		/* A guest of anew has system registers for its GIC and nothing else. */
		sysreg_write(ICC_SRE_EL1, 7);
		isb();
		sysreg_write(ICH_VMCR_EL2, vmcr_pack(cpu));
		AP_WRITE(8, cpu->ap0r[0]);
		AP_WRITE(9, cpu->ap1r[0]);
	} else {
		write32(host.gich, GICH_VMCR, (u32)vmcr_pack(cpu));
		write32(host.gich, GICH_APR, cpu->ap0r[0]);
	}
}

void gic_host_put(struct vcpu *vcpu)
{
	struct vgic_cpu_if *cpu = vgic_cpu_if(&vcpu->vm->arch.gic, vcpu->index);

	gic_host_fold(vcpu);
	/* No maintenance interrupt may be left for the firmware to wonder at. */
	hcr_write(0);
	vmcr_update(vcpu);
	if (host.version == VGIC_V3) {
		cpu->ap0r[0] = AP_READ(8);
		cpu->ap1r[0] = AP_READ(9);
	} else {
		cpu->ap0r[0] = read32(host.gich, GICH_APR);
	}
}
