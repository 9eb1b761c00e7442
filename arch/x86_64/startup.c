/* SPDX-License-Identifier: MIT */
#include <arch/backend.h>
#include <arch/policy.h>
#include <arch/startup.h>
#include <string.h>

/* Segments of real mode: present, read and write or code, 64 KiB. */
#define DATA_ATTRIBUTES 0x93u
#define CODE_ATTRIBUTES 0x9bu
#define REAL_LIMIT      0xffffu

static struct x86_segment real_segment(u16 selector, u16 attributes)
{
	return (struct x86_segment){.selector = selector,
				    .attributes = attributes,
				    .limit = REAL_LIMIT,
				    .base = (u64)selector << 4};
}

/* What INIT sets. The rest stays: FPU, PAT, the MSRs, the counter. */
static void set_init(struct x86_state *s)
{
	memset(s->gpr, 0, sizeof(s->gpr));
	s->gpr[RDX] = SIGNATURE;
	s->rip = 0xfff0;
	s->rflags = RFLAGS_FIXED;
	s->cr0 = (s->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
	s->cr2 = s->cr3 = s->cr4 = 0;
	memset(s->dr, 0, sizeof(s->dr));
	s->dr6 = 0xffff0ff0;
	s->dr7 = 0x400;
	s->efer = 0;
	/* There is no ROM below 4 GiB: what would be there is what is below 1 MiB (machine.c). */
	s->cs = real_segment(0xf000, CODE_ATTRIBUTES);
	s->ds = s->es = s->ss = s->fs = s->gs = real_segment(0, DATA_ATTRIBUTES);
	s->ldtr = real_segment(0, 0x82);
	s->tr = real_segment(0, 0x8b);
	s->gdtr = s->idtr = real_segment(0, 0);
	s->event = s->event_error = 0;
	s->cpl = 0;
	s->interrupt_shadow = 0;
	s->nmi_pending = 0;
	s->nmi_masked = 0;
}

void startup_power_on(struct x86_state *s)
{
	memset(s, 0, sizeof(*s));
	set_init(s);
	s->pat = PAT_RESET;
	/* FXSAVE image: APM vol. 2 section 11.4.4; FCW and MXCSR. */
	s->fpu[0] = 0x7f;
	s->fpu[1] = 0x03;
	s->fpu[24] = 0x80;
	s->fpu[25] = 0x1f;
}

void startup_init(struct vcpu *vcpu)
{
	vcpu->arch.init = true;
	vcpu->arch.startup = false;
	/* The first one goes on from the reset vector. */
	vcpu_become(vcpu, vcpu->index ? VCPU_IDLE : VCPU_RUNNABLE);
	/* It may be told to leave no sooner than it has looked again. */
	if (!vcpu->index)
		vcpu_post(vcpu, PENDING_IRQ);
}

void startup_begin(struct vcpu *vcpu, u8 page)
{
	if (vcpu_rests(vcpu) != VCPU_IDLE)
		return;
	vcpu->arch.startup = true;
	vcpu->arch.startup_page = page;
	vcpu_become(vcpu, VCPU_RUNNABLE);
}

void startup_settle(struct vcpu *vcpu)
{
	struct vcpu_arch *arch = &vcpu->arch;

	if (!arch->init && !arch->startup)
		return;
	x86_backend->get_state(vcpu);
	if (arch->init) {
		set_init(&arch->state);
		arch->nmi_leaving = false;
	}
	if (arch->startup) {
		arch->state.cs = real_segment((u16)(arch->startup_page << 8), CODE_ATTRIBUTES);
		arch->state.rip = 0;
	}
	x86_backend->set_state(vcpu);
	/* An exit that was under way may have made it something else. */
	if (vcpu->index && !arch->startup)
		vcpu_become(vcpu, VCPU_IDLE);
	arch->init = arch->startup = false;
}
