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

/* The interrupt by which anew kicks processors that know no firmware. */
#define INTID_KICK 7u

/*
 * Registers of the distributor or, of private interrupts, with GICv3, of the redistributor's second
 * frame.
 */
#define GIC_IGROUPR0   0x080u
#define GIC_ISENABLER0 0x100u
#define GIC_ICENABLER0 0x180u
#define GIC_ISPENDR0   0x200u
#define GIC_ICPENDR0   0x280u
#define GIC_ISACTIVER0 0x300u
#define GIC_ICACTIVER0 0x380u
#define GIC_IPRIORITYR 0x400u
#define PRIORITY       0x80u

/* The distributor. */
#define GICD_TYPER       0x0004u
#define GICD_ITARGETSR   0x0800u /* GICv2 */
#define GICD_SGIR        0x0f00u /* GICv2 */
#define GICD_CPENDSGIR   0x0f10u /* GICv2 */
#define GICD_IROUTER     0x6000u /* GICv3 */
#define SGIR_TARGETS     16
#define TYPER_LINES(val) (32 * (((val)&0x1f) + 1))
#define LINES_MAX        1020u

/* GICv3: the redistributor's first frame, which is below the second one. */
#define GICR_WAKER   0x014u
#define WAKER_SLEEP  BIT(1)
#define WAKER_ASLEEP BIT(2)

/* GICv2: a processor's interface. */
#define GICC_CTLR   0x000u
#define GICC_PMR    0x004u
#define GICC_GROUPS 3u /* of GICC_CTLR */

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

/* Longer than a redistributor takes to wake. */
#define WAKE_SECONDS 1

static struct {
	enum vgic_version version;
	volatile u8 *distributor;
	volatile u8 *gicc; /* GICv2 */
	volatile u8 *gich; /* GICv2 */
	hpa_t gicv;        /* GICv2 */
	u32 list_registers;
	u32 preemption_bits; /* GICv3: 5 to 7, of the active priorities */
	u32 maintenance;     /* INTID */
	u32 used;            /* bits of the private interrupts that anew uses */
	bool group1;         /* the firmware has its interrupts in that one */
	u8 priority;         /* as it has one of its own */
	u32 groups;          /* GICv2: that its CPU interface takes */
	u32 line;            /* SPI by which the boot CPU is kicked; 0: none */
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

/* Of 64 KiB each, the second one: SGIs and PPIs. */
static volatile u8 *sgi_frame(const struct gic_found *found)
{
	return (volatile u8 *)(uintptr_t)(found->redistributor + KIB(64));
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
	host.distributor = (volatile u8 *)(uintptr_t)found.distributor;
	host.maintenance = found.maintenance ? found.maintenance : INTID_MAINTENANCE_USUAL;
	if ((sysreg_read("id_aa64pfr0_el1") >> 24) & 0xf) {
		host.version = VGIC_V3;
		if (!check_require(found.redistributor, "a GICv3 redistributor",
				   "the firmware's tables name no GICv3 redistributor for this "
				   "processor, which anew needs: it can't run here"))
			return HV_EUNSUPPORTED;
		cpu_boot()->arch.el2->gic.private = sgi_frame(&found);
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
		cpu_boot()->arch.el2->gic.private = host.distributor;
		host.gicc = (volatile u8 *)(uintptr_t)found.gicc;
		host.gich = (volatile u8 *)(uintptr_t)found.gich;
		host.gicv = HPA(found.gicv);
		vtr = read32(host.gich, GICH_VTR);
	}
	host.list_registers = (vtr & 0x1f) + 1;
	if (host.list_registers > LIST_REGISTERS_MAX)
		host.list_registers = LIST_REGISTERS_MAX;
	return HV_OK;
}

enum hv_error gic_host_find(struct cpu *cpu)
{
	struct gic_found found;
	enum hv_error err = gic_find(host_acpi_rsdp(), host_fdt(), cpu->id, &found);

	if (err)
		return err;
	if (host.version == VGIC_V3 && !found.redistributor)
		return HV_ENOT_FOUND;
	if (host.version == VGIC_V2 && !host.gicc)
		return HV_ENOT_FOUND;
	cpu->arch.el2->gic.private = host.version == VGIC_V3 ? sgi_frame(&found) : host.distributor;
	return HV_OK;
}

/* ---- private interrupts of anew's own ---- */

static void sync(void)
{
	__asm__ volatile("dsb sy" : : : "memory");
}

static void enable_private(volatile u8 *private, u32 bits, u32 others)
{
	u32 group1 = read32(private, GIC_IGROUPR0);

	write32(private, GIC_IGROUPR0, host.group1 ? group1 | bits : group1 & ~bits);
	for (u32 left = bits & ~others; left; left &= left - 1)
	private[GIC_IPRIORITYR + (u32)__builtin_ctz(left)] = host.priority;
	write32(private, GIC_ISENABLER0, bits);
	sync();
}

void gic_host_on(struct cpu *cpu)
{
	const u32 ours[] = {host.maintenance, INTID_HYP_TIMER, VGIC_PPI_VTIMER};
	struct el2_cpu *el2 = cpu->arch.el2;
	u32 enabled = read32(el2->gic.private, GIC_ISENABLER0);

	for (u32 i = 0; i < ARRAY_COUNT(ours); i++)
		host.used |= 1u << ours[i];
	host.priority = PRIORITY;
	host.group1 = true;
	/* As the firmware has its own, one at least: its tick. Its CPU interface takes that group.
	 */
	if (enabled) {
		u32 like = (u32)__builtin_ctz(enabled);

		host.group1 = read32(el2->gic.private, GIC_IGROUPR0) >> like & 1;
		host.priority = el2->gic.private[GIC_IPRIORITYR + like];
	}
	el2->gic.before = enabled & host.used;
	enable_private(el2->gic.private, host.used, el2->gic.before);
	if (host.version == VGIC_V2 && host.gicc)
		host.groups = read32(host.gicc, GICC_CTLR) & GICC_GROUPS;
}

void gic_host_off(struct cpu *cpu)
{
	const struct el2_cpu *el2 = cpu->arch.el2;

	write32(el2->gic.private, GIC_ICENABLER0, host.used & ~el2->gic.before);
	sync();
}

/* ---- a processor that knows no firmware ---- */

/* GICR_WAKER: to or from sleep. IHI 0069 section 12.11.42; RAZ/WI where only EL3 may. */
static void set_waker(volatile u8 *private, bool sleep)
{
	volatile u8 *frame = private - KIB(64);
	u32 waker = read32(frame, GICR_WAKER) & ~(u32)WAKER_SLEEP;
	u64 begin = arch_counter();

	write32(frame, GICR_WAKER, sleep ? waker | (u32)WAKER_SLEEP : waker);
	sync();
	while (!sleep && read32(frame, GICR_WAKER) & WAKER_ASLEEP &&
	       arch_counter() - begin < WAKE_SECONDS * arch_counter_hz())
		;
}

/* GICv2: which bit of a list of targets the processor that this runs on is. IHI 0048, 4.3.12 */
static u32 own_target(void)
{
	u32 targets = read32(host.distributor, GICD_ITARGETSR);

	return (targets | targets >> 8 | targets >> 16 | targets >> 24) & 0xff;
}

void gic_host_start(struct cpu *cpu)
{
	struct el2_cpu *el2 = cpu->arch.el2;

	if (host.version == VGIC_V3) {
		el2->gic.waker = read32(el2->gic.private - KIB(64), GICR_WAKER);
		set_waker(el2->gic.private, false);
		sysreg_write(ICC_SRE_EL1, 7);
		isb();
		sysreg_write(ICC_PMR_EL1, 0xff);
		if (host.group1)
			sysreg_write(ICC_IGRPEN1_EL1, 1);
		else
			sysreg_write(ICC_IGRPEN0_EL1, 1);
		isb();
	} else {
		el2->gic.target = own_target();
		write32(host.gicc, GICC_PMR, 0xff);
		write32(host.gicc, GICC_CTLR, host.groups);
	}
	/* Nothing that was left by somebody else. */
	write32(el2->gic.private, GIC_ICENABLER0, UINT32_MAX);
	write32(el2->gic.private, GIC_ICACTIVER0, UINT32_MAX);
	gic_host_forget_kick(cpu);
	enable_private(el2->gic.private, host.used | 1u << INTID_KICK, 0);
}

void gic_host_stop(struct cpu *cpu)
{
	const struct el2_cpu *el2 = cpu->arch.el2;

	write32(el2->gic.private, GIC_ICENABLER0, UINT32_MAX);
	sync();
	if (host.version == VGIC_V2) {
		write32(host.gicc, GICC_CTLR, 0);
		return;
	}
	if (host.group1)
		sysreg_write(ICC_IGRPEN1_EL1, 0);
	else
		sysreg_write(ICC_IGRPEN0_EL1, 0);
	isb();
	if (el2->gic.waker & WAKER_SLEEP)
		set_waker(el2->gic.private, true);
}

/* ---- kicks ---- */

/*
 * Of a line of the distributor, whether nobody uses it: it is off, its device doesn't assert it if
 * there is one, and it can be made pending by hand.
 */
static bool is_spare(u32 intid)
{
	u32 word = 4 * (intid / 32), bit = 1u << intid % 32;
	bool there;

	if ((read32(host.distributor, GIC_ISENABLER0 + word) |
	     read32(host.distributor, GIC_ISPENDR0 + word) |
	     read32(host.distributor, GIC_ISACTIVER0 + word)) &
	    bit)
		return false;
	write32(host.distributor, GIC_ISPENDR0 + word, bit);
	there = read32(host.distributor, GIC_ISPENDR0 + word) & bit;
	write32(host.distributor, GIC_ICPENDR0 + word, bit);
	return there && !(read32(host.distributor, GIC_ISPENDR0 + word) & bit);
}

/* As the firmware has its own interrupts; the routes are mostly there already. */
static void set_up_line(u32 intid)
{
	u32 word = 4 * (intid / 32), bit = 1u << intid % 32;
	u32 group1 = read32(host.distributor, GIC_IGROUPR0 + word);

	write32(host.distributor, GIC_IGROUPR0 + word, host.group1 ? group1 | bit : group1 & ~bit);
	host.distributor[GIC_IPRIORITYR + intid] = host.priority;
	if (host.version == VGIC_V2)
		host.distributor[GICD_ITARGETSR + intid] = (u8)own_target();
	else
		*(volatile u64 *)(volatile void *)(host.distributor + GICD_IROUTER + 8 * intid) =
			cpu_boot()->id;
	sync();
}

/*
 * Not by an SGI: GICv2 says with those who sent it, and edk2 takes that for a part of the number,
 * in the table of handlers too.
 */
bool gic_host_take_line(void)
{
	u32 lines = TYPER_LINES(read32(host.distributor, GICD_TYPER));

	if (lines > LINES_MAX)
		lines = LINES_MAX;
	for (u32 intid = lines; intid-- > 32;) {
		if (!is_spare(intid))
			continue;
		set_up_line(intid);
		if (!host_interrupt_take(intid))
			return false;
		host.line = intid;
		return true;
	}
	return false;
}

void gic_host_return_line(void)
{
	if (!host.line)
		return;
	host_interrupt_return(host.line);
	gic_host_forget_kick(cpu_boot());
	host.line = 0;
}

/* ICC_SGI1R_EL1 and ICC_SGI0R_EL1, for one processor. IHI 0069, "ICC_SGI1R_EL1" */
static u64 sgi_to(u64 id)
{
	return (id >> 32 & 0xff) << 48 | (id >> 16 & 0xff) << 32 | (id >> 8 & 0xff) << 16 |
	       (id >> 4 & 0xf) << 44 | (u64)INTID_KICK << 24 | BIT(id & 0xf);
}

void gic_host_kick(const struct cpu *cpu)
{
	if (cpu == cpu_boot()) {
		if (host.line)
			write32(host.distributor, GIC_ISPENDR0 + 4 * (host.line / 32),
				1u << host.line % 32);
	} else if (host.version == VGIC_V2) {
		write32(host.distributor, GICD_SGIR,
			cpu->arch.el2->gic.target << SGIR_TARGETS | INTID_KICK);
	} else {
		if (host.group1)
			sysreg_write(ICC_SGI1R_EL1, sgi_to(cpu->id));
		else
			sysreg_write(ICC_SGI0R_EL1, sgi_to(cpu->id));
		isb();
	}
}

void gic_host_forget_kick(const struct cpu *cpu)
{
	const struct el2_cpu *el2 = cpu->arch.el2;

	if (cpu == cpu_boot()) {
		if (host.line)
			write32(host.distributor, GIC_ICPENDR0 + 4 * (host.line / 32),
				1u << host.line % 32);
	} else if (host.version == VGIC_V2) {
		host.distributor[GICD_CPENDSGIR + INTID_KICK] = 0xff;
	} else {
		write32(el2->gic.private, GIC_ICPENDR0, 1u << INTID_KICK);
	}
	/* Done when something is read from there. */
	(void)read32(cpu == cpu_boot() ? host.distributor : el2->gic.private, GIC_ISPENDR0);
	sync();
}

void gic_host_set_active(const struct cpu *cpu, u32 intid, bool active)
{
	write32(cpu->arch.el2->gic.private, active ? GIC_ISACTIVER0 : GIC_ICACTIVER0, 1u << intid);
	/* Before the guest is entered, or the firmware takes interrupts. */
	sync();
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
		__atomic_store_n(&arch->folds, arch->folds + 1, __ATOMIC_RELEASE);
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
