/* SPDX-License-Identifier: MIT */
/*
 * MSRs: a table of what the baseline has. What isn't in it, and isn't the APIC's, is refused with
 * #GP. FS, GS, SYSCALL and SYSENTER MSRs never come here: they are the hardware's (svm.c).
 */
#include <arch/backend.h>
#include <arch/policy.h>
#include <internal/vm.h>

enum msr_kind {
	MSR_CONSTANT,  /* reads the value; a write is dropped */
	MSR_READ_ONLY, /* reads the value; a write is refused */
	MSR_IS_TSC,
	MSR_IS_TSC_ADJUST,
	MSR_IS_EFER,
	MSR_IS_PAT,
	MSR_IS_APIC_BASE,
	MSR_IS_DEADLINE,
};

struct msr_row {
	u32 msr;
	enum msr_kind kind;
	u64 value;
	const char *name;
};

static const struct msr_row rows[] = {
	{0x00, MSR_CONSTANT, 0, "P5_MC_ADDR"},
	{0x01, MSR_CONSTANT, 0, "P5_MC_TYPE"},
	{MSR_TSC, MSR_IS_TSC, 0, "TSC"},
	{0x17, MSR_READ_ONLY, 0, "PLATFORM_ID"},
	{MSR_APIC_BASE, MSR_IS_APIC_BASE, 0, "APIC_BASE"},
	{MSR_TSC_ADJUST, MSR_IS_TSC_ADJUST, 0, "TSC_ADJUST"},
	{0x8b, MSR_CONSTANT, 0x08001250, "PATCH_LEVEL"},
	{0x179, MSR_READ_ONLY, 0, "MCG_CAP"},
	{0x17a, MSR_CONSTANT, 0, "MCG_STATUS"},
	{0x1d9, MSR_CONSTANT, 0, "DEBUGCTL"},
	{MSR_PAT, MSR_IS_PAT, 0, "PAT"},
	{MSR_TSC_DEADLINE, MSR_IS_DEADLINE, 0, "TSC_DEADLINE"},
	{MSR_EFER, MSR_IS_EFER, 0, "EFER"},
	{0xc0010010, MSR_CONSTANT, 0, "SYSCFG"},
	{0xc0010015, MSR_CONSTANT, BIT(24), "HWCR"}, /* TSC counts at the P0 frequency */
	{0xc001001a, MSR_CONSTANT, 0, "TOP_MEM"},
	{0xc001001d, MSR_CONSTANT, 0, "TOP_MEM2"},
	{0xc001001f, MSR_CONSTANT, 0, "NB_CFG"},
	{0xc0010055, MSR_CONSTANT, 0, "INT_PENDING_MSG"},
	{0xc0011029, MSR_CONSTANT, BIT(1), "DE_CFG"}, /* LFENCE is serialising */
	{0xc0011022, MSR_CONSTANT, 0, "DC_CFG"},
	{0xc0011023, MSR_CONSTANT, 0, "BU_CFG2"},
};

static enum io_result efer_write(struct vcpu *vcpu, u64 value)
{
	struct x86_mode mode;

	x86_backend->get_mode(vcpu, &mode);
	if (value & ~BASELINE_EFER)
		return IO_FAULT;
	/* LME can't change while paging is on (APM vol. 2 section 14.6.1); LMA is read-only. */
	if ((mode.cr0 & CR0_PG) && ((value ^ mode.efer) & EFER_LME))
		return IO_FAULT;
	x86_backend->get_state(vcpu);
	vcpu->arch.state.efer = (value & ~EFER_LMA) | (vcpu->arch.state.efer & EFER_LMA);
	x86_backend->set_state(vcpu);
	return IO_DONE;
}

/* Each byte a memory type: 0, 1, 4, 5, 6 or 7. APM vol. 2 section 7.8.1. */
static bool pat_valid(u64 value)
{
	for (u32 i = 0; i < 8; i++) {
		u32 type = (u32)(value >> (8 * i)) & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

static enum io_result pat_write(struct vcpu *vcpu, u64 value)
{
	if (!pat_valid(value))
		return IO_FAULT;
	x86_backend->get_state(vcpu);
	vcpu->arch.state.pat = value;
	x86_backend->set_state(vcpu);
	return IO_DONE;
}

/* The TSC moves for one vCPU alone: what was added to it is its TSC_ADJUST. SDM 18.17.3. */
static void tsc_shift(struct vcpu *vcpu, u64 by)
{
	vcpu->arch.state.tsc_adjust += by;
	x86_backend->get_state(vcpu);
	x86_backend->set_state(vcpu);
	vapic_tsc_moved(&vcpu->arch.apic);
}

static enum io_result msr_read(struct vcpu *vcpu, const struct msr_row *row, u64 *value)
{
	struct vcpu_arch *arch = &vcpu->arch;

	switch (row->kind) {
	case MSR_CONSTANT:
	case MSR_READ_ONLY:
		*value = row->value;
		return IO_DONE;
	case MSR_IS_TSC:
		*value = vm_counter(vcpu->vm) + arch->state.tsc_adjust;
		return IO_DONE;
	case MSR_IS_TSC_ADJUST:
		*value = arch->state.tsc_adjust;
		return IO_DONE;
	case MSR_IS_EFER:
		x86_backend->get_state(vcpu);
		*value = arch->state.efer;
		return IO_DONE;
	case MSR_IS_PAT:
		x86_backend->get_state(vcpu);
		*value = arch->state.pat;
		return IO_DONE;
	case MSR_IS_APIC_BASE:
		*value = vapic_read_base(&arch->apic);
		return IO_DONE;
	case MSR_IS_DEADLINE:
		*value = vapic_read_deadline(&arch->apic);
		return IO_DONE;
	}
	return IO_FAULT;
}

static enum io_result msr_write(struct vcpu *vcpu, const struct msr_row *row, u64 value)
{
	struct vcpu_arch *arch = &vcpu->arch;

	switch (row->kind) {
	case MSR_CONSTANT:
		return IO_DONE;
	case MSR_READ_ONLY:
		return IO_FAULT;
	case MSR_IS_TSC:
		tsc_shift(vcpu, value - (vm_counter(vcpu->vm) + arch->state.tsc_adjust));
		return IO_DONE;
	case MSR_IS_TSC_ADJUST:
		tsc_shift(vcpu, value - arch->state.tsc_adjust);
		return IO_DONE;
	case MSR_IS_EFER:
		return efer_write(vcpu, value);
	case MSR_IS_PAT:
		return pat_write(vcpu, value);
	case MSR_IS_APIC_BASE:
		return vapic_write_base(&arch->apic, value);
	case MSR_IS_DEADLINE:
		vapic_write_deadline(&arch->apic, value);
		return IO_DONE;
	}
	return IO_FAULT;
}

static enum io_result msr_access(struct vm *vm, u32 msr, struct io_access *access)
{
	struct vcpu *vcpu = &vm->vcpus[access->vcpu];

	for (u32 i = 0; i < ARRAY_COUNT(rows); i++) {
		if (rows[i].msr != msr)
			continue;
		return access->is_write ? msr_write(vcpu, &rows[i], access->value)
					: msr_read(vcpu, &rows[i], &access->value);
	}
	log_limited(&vm->log_limit, LOG_DEBUG, "%s: %s of unknown MSR %xh refused", vm->config.name,
		    access->is_write ? "write" : "read", msr);
	return IO_FAULT;
}

/* The ranges of MSRs that processors have; the bus refuses what lies outside. */
#define RANGE_LOW   0x0u
#define RANGE_HIGH  0xc0000000u
#define RANGE_AMD   0xc0010000u
#define RANGE_COUNT 0x2000u

static enum io_result msr_low(void *ctx, struct io_access *access)
{
	return msr_access(ctx, RANGE_LOW + (u32)access->offset, access);
}

static enum io_result msr_high(void *ctx, struct io_access *access)
{
	return msr_access(ctx, RANGE_HIGH + (u32)access->offset, access);
}

static enum io_result msr_amd(void *ctx, struct io_access *access)
{
	return msr_access(ctx, RANGE_AMD + (u32)access->offset, access);
}

enum hv_error msr_register(struct vm *vm)
{
	const struct io_region regions[] = {
		/* Below the x2APIC's, which the machine registers itself. */
		{.name = "MSRs",
		 .space = IO_REG,
		 .base = RANGE_LOW,
		 .length = MSR_X2APIC,
		 .handler = msr_low,
		 .ctx = vm},
		{.name = "MSRs c000",
		 .space = IO_REG,
		 .base = RANGE_HIGH,
		 .length = RANGE_COUNT,
		 .handler = msr_high,
		 .ctx = vm},
		{.name = "MSRs c001",
		 .space = IO_REG,
		 .base = RANGE_AMD,
		 .length = RANGE_COUNT,
		 .handler = msr_amd,
		 .ctx = vm},
	};

	return io_register_all(&vm->io, regions, ARRAY_COUNT(regions));
}
