/* SPDX-License-Identifier: MIT */
/*
 * The guest's timers. Its virtual timer is the hardware's while it runs: CNTVOFF_EL2 makes the
 * guest's counter, and the physical interrupt (PPI 27) comes here. It is given on by a list
 * register that names the physical interrupt, which is made active by hand, so that it isn't
 * signalled again before the guest has ended it: IHI 0069 section 4.11 and 12.11.9 (ICH_LR.HW). The
 * physical timer is emulated, and counts the same time: a guest has one.
 *
 * The firmware's tick may be on the same virtual timer, also where it runs with E2H = 1 and has to
 * call it CNTV_*_EL02. While a guest runs its deadline stands in the hypervisor's timer (CNTHP, PPI
 * 26) instead, which brings us back in time; it must not be left on when the firmware gets the
 * processor, whose handler doesn't know it. A firmware with its tick on CNTHP, CNTHV or CNTP keeps
 * it: these go on while a guest runs. Arm ARM D11.2, D12.
 */
#include <internal/arch.h>

#include "el2.h"

static u64 cntv_ctl(void)
{
	return el2_vhe ? sysreg_read(CNTV_CTL_EL02) : sysreg_read("cntv_ctl_el0");
}

static u64 cntv_cval(void)
{
	return el2_vhe ? sysreg_read(CNTV_CVAL_EL02) : sysreg_read("cntv_cval_el0");
}

static void cntv_set(u64 ctl, u64 cval)
{
	if (el2_vhe) {
		sysreg_write(CNTV_CVAL_EL02, cval);
		sysreg_write(CNTV_CTL_EL02, ctl);
	} else {
		sysreg_write("cntv_cval_el0", cval);
		sysreg_write("cntv_ctl_el0", ctl);
	}
}

static bool asserted(u64 ctl)
{
	return (ctl & (TIMER_ENABLE | TIMER_IMASK | TIMER_ISTATUS)) ==
	       (TIMER_ENABLE | TIMER_ISTATUS);
}

static bool can_fire(u64 ctl)
{
	return (ctl & (TIMER_ENABLE | TIMER_IMASK)) == TIMER_ENABLE;
}

/* Arms @timer for when the counter reaches @cval, if @ctl lets it; whether it is due already. */
static bool arm(struct vcpu *vcpu, struct timer *timer, u64 ctl, u64 cval)
{
	struct vm *vm = vcpu->vm;

	if (can_fire(ctl) && cval > vm_counter(vm)) {
		timer_arm(&vm->clock, timer, vm_deadline(vm, cval));
		return false;
	}
	timer_cancel(&vm->clock, timer);
	return can_fire(ctl);
}

/* ---- the hypervisor's timer ---- */

void timer_start(void)
{
	/* With E2H these are CNTHP and CNTHV. */
	sysreg_write("cntp_ctl_el0", 0);
	sysreg_write("cntv_ctl_el0", 0);
	if (el2_vhe) {
		sysreg_write(CNTP_CTL_EL02, 0);
		sysreg_write(CNTV_CTL_EL02, 0);
	}
	sysreg_write("cnthp_ctl_el2", 0);
	sysreg_write("cntvoff_el2", 0);
	isb();
}

void timer_hyp_set(u64 at)
{
	if (at == UINT64_MAX) {
		sysreg_write("cnthp_ctl_el2", 0);
	} else {
		sysreg_write("cnthp_cval_el2", at);
		sysreg_write("cnthp_ctl_el2", TIMER_ENABLE);
	}
	isb();
}

bool timer_hyp_fired(const struct el2_cpu *el2)
{
	return el2->timer.hyp && asserted(sysreg_read("cnthp_ctl_el2"));
}

/* ---- the virtual timer ---- */

static const struct vgic_irqs *private_irqs(const struct vcpu *vcpu)
{
	return &vcpu->vm->arch.gic.cpus[vcpu->index].irqs;
}

/* The vCPU is not loaded, its timer would fire now. */
static void vtimer_due(void *ctx)
{
	struct vcpu *vcpu = ctx;

	irq_set(&vcpu->arch.vtimer_line, true);
}

/* What the hardware does while the vCPU is loaded, from here on by the guest's clock. */
static void vtimer_arm(struct vcpu *vcpu)
{
	const struct arm64_state *s = &vcpu->arch.state;
	bool due = arm(vcpu, &vcpu->arch.vtimer, s->cntv_ctl, s->cntv_cval);

	/* The end of an active one brings the next, if it is still due then. */
	if (!(private_irqs(vcpu)->active & BIT(VGIC_PPI_VTIMER)))
		irq_set(&vcpu->arch.vtimer_line, due);
}

void timer_load(struct vcpu *vcpu)
{
	const struct arm64_state *s = &vcpu->arch.state;
	const struct vgic_irqs *irqs = private_irqs(vcpu);
	struct el2_cpu *el2 = el2_of(vcpu);

	timer_cancel(&vcpu->vm->clock, &vcpu->arch.vtimer);
	el2->timer.offset = sysreg_read("cntvoff_el2");
	el2->timer.ctl = cntv_ctl();
	el2->timer.cval = cntv_cval();
	el2->timer.tick = UINT64_MAX;
	el2->timer.hyp = !(sysreg_read("cnthp_ctl_el2") & TIMER_ENABLE);
	if (el2->timer.hyp) {
		if (can_fire(el2->timer.ctl))
			el2->timer.tick = el2->timer.cval + el2->timer.offset;
		timer_hyp_set(min_u64(el2->timer.tick, el2->timer.at));
	}
	sysreg_write("cntvoff_el2", 0 - vcpu->vm->counter_offset);
	vcpu->arch.vtimer_active = (irqs->level | irqs->active) & BIT(VGIC_PPI_VTIMER);
	if (vcpu->arch.vtimer_active)
		gic_host_set_active(vcpu->cpu, VGIC_PPI_VTIMER, true);
	cntv_set(s->cntv_ctl, s->cntv_cval);
}

void timer_put(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;
	struct arm64_state *s = &arch->state;
	struct el2_cpu *el2 = el2_of(vcpu);

	s->cntv_ctl = cntv_ctl() & (TIMER_ENABLE | TIMER_IMASK);
	s->cntv_cval = cntv_cval();
	/* Off before the offset changes what the value means. */
	cntv_set(0, s->cntv_cval);
	isb();
	sysreg_write("cntvoff_el2", el2->timer.offset);
	if (arch->vtimer_active) {
		/* The firmware's tick may be the same interrupt. */
		gic_host_set_active(vcpu->cpu, VGIC_PPI_VTIMER, false);
		arch->vtimer_active = false;
	}
	if (el2->timer.hyp)
		timer_hyp_set(UINT64_MAX);
	el2->timer.at = UINT64_MAX;
	cntv_set(el2->timer.ctl, el2->timer.cval);
	vtimer_arm(vcpu);
}

/* An interrupt came while the guest ran: whether it was its timer's, and not seen to yet. */
bool timer_fired(const struct vcpu *vcpu)
{
	const struct vcpu_arch *arch = &vcpu->arch;

	if (!asserted(cntv_ctl()))
		return false;
	if (!arch->vtimer_active)
		return true;
	/* The guest may have ended the one that it had, and with it the physical one. */
	for (u32 i = 0; i < arch->lr_count; i++)
		if (arch->lrs[i].hw_intid == VGIC_PPI_VTIMER)
			return gic_host_lr_empty(i);
	return false;
}

void timer_sample(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;
	bool up = asserted(cntv_ctl());

	if (up == arch->vtimer_active)
		return;
	/* The guest has it in hand, and will end it. */
	if (!up && (private_irqs(vcpu)->active & BIT(VGIC_PPI_VTIMER)))
		return;
	arch->vtimer_active = up;
	gic_host_set_active(vcpu->cpu, VGIC_PPI_VTIMER, up);
	irq_set(&arch->vtimer_line, up);
}

/* ---- the physical timer ---- */

static void ptimer_update(struct vcpu *vcpu)
{
	const struct arm64_state *s = &vcpu->arch.state;

	irq_set(&vcpu->arch.ptimer_line, arm(vcpu, &vcpu->arch.ptimer, s->cntp_ctl, s->cntp_cval));
}

static void ptimer_due(void *ctx)
{
	ptimer_update(ctx);
}

enum io_result timer_register(struct vcpu *vcpu, u32 reg, struct io_access *access)
{
	struct arm64_state *s = &vcpu->arch.state;
	u64 now = vm_counter(vcpu->vm);

	switch (reg) {
	case SYSREG(3, 3, 14, 0, 1): /* CNTPCT_EL0 */
		if (access->is_write)
			return IO_FAULT;
		access->value = now;
		return IO_DONE;
	case SYSREG(3, 3, 14, 2, 0): /* CNTP_TVAL_EL0: 32 bits, signed */
		if (access->is_write)
			s->cntp_cval = now + (u64)(s64)(s32)access->value;
		else
			access->value = (u32)(s->cntp_cval - now);
		break;
	case SYSREG(3, 3, 14, 2, 1): /* CNTP_CTL_EL0 */
		if (access->is_write)
			s->cntp_ctl = access->value & (TIMER_ENABLE | TIMER_IMASK);
		else
			access->value = s->cntp_ctl | (s->cntp_cval <= now ? TIMER_ISTATUS : 0);
		break;
	case SYSREG(3, 3, 14, 2, 2): /* CNTP_CVAL_EL0 */
		if (access->is_write)
			s->cntp_cval = access->value;
		else
			access->value = s->cntp_cval;
		break;
	default:
		return IO_FAULT;
	}
	if (access->is_write)
		ptimer_update(vcpu);
	return IO_DONE;
}

/* ---- both ---- */

void timer_init_vcpu(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;
	struct vgic *gic = &vcpu->vm->arch.gic;

	arch->vtimer_line = vgic_private_line(gic, vcpu->index, VGIC_PPI_VTIMER);
	arch->ptimer_line = vgic_private_line(gic, vcpu->index, VGIC_PPI_PTIMER);
	vgic_set_hw(gic, VGIC_PPI_VTIMER, VGIC_PPI_VTIMER);
	timer_init(&arch->vtimer, vtimer_due, vcpu);
	timer_init(&arch->ptimer, ptimer_due, vcpu);
}

void timer_after_load(struct vcpu *vcpu)
{
	vtimer_arm(vcpu);
	ptimer_update(vcpu);
}
