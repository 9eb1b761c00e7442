/* SPDX-License-Identifier: MIT */
/*
 * System registers that trap: the baseline "anew-arm64-1" as a table of ID registers, the same on
 * every machine, and the few others that are emulated. What isn't here is refused: the guest gets
 * an undefined exception.
 *
 * The baseline is Armv8.0-A with AdvSIMD and CRC32, 36 bits of physical address, and pages of 4 KiB
 * and 64 KiB. Whatever has state of its own (SVE, SME, memory tags, pointer authentication) or
 * may be missing on a machine that anew should run on (cryptography, atomics) is hidden; so are
 * random number instructions, so that what a guest draws depends on its seeds and its generation id
 * alone. MIDR_EL1, which errata depend on, and CTR_EL0, which caches do, are the machine's.
 *
 * Arm ARM D19.2 (registers), D1.3.6 and D19.2.50 (traps by HCR_EL2.TID3).
 */
#include <internal/arch.h>
#include <internal/check.h>

#include "el2.h"

#define FIELD(value, shift) ((u64)(value) << (shift))

/* ID_AA64PFR0_EL1: EL0 and EL1 in AArch64 only; FP, AdvSIMD: 0, there. GIC: by machine. */
#define PFR0     (FIELD(1, 0) | FIELD(1, 4))
#define PFR0_GIC FIELD(1, 24)
/* ID_AA64DFR0_EL1: Armv8-A debug, two breakpoints, two watchpoints, no PMU. */
#define DFR0 (FIELD(6, 0) | FIELD(DEBUG_PAIRS - 1, 12) | FIELD(DEBUG_PAIRS - 1, 20))
/* ID_AA64ISAR0_EL1: CRC32. */
#define ISAR0 FIELD(1, 16)
/* ID_AA64MMFR0_EL1: 36 bits, 16 bits of ASID; TGran16: 0, not there; TGran64, TGran4: 0, there. */
#define MMFR0 (FIELD(1, 0) | FIELD(2, 4))

/* The registers of op0 3, op1 0, CRn 0, by CRm and op2; what isn't named is 0. */
#define ID(crm, op2) (((crm)-1) * 8 + (op2))

static u64 id_registers[7 * 8] = {
	[ID(4, 0)] = PFR0,
	[ID(5, 0)] = DFR0,
	[ID(6, 0)] = ISAR0,
	[ID(7, 0)] = MMFR0,
};

void sysreg_init(void)
{
	if (gic_host_version() == VGIC_V3)
		id_registers[ID(4, 0)] |= PFR0_GIC;
}

enum hv_error sysreg_check(void)
{
	u64 isar0 = sysreg_read("id_aa64isar0_el1");
	u64 mmfr0 = sysreg_read("id_aa64mmfr0_el1");
	u64 pfr0 = sysreg_read("id_aa64pfr0_el1");
	u64 dfr0 = sysreg_read("id_aa64dfr0_el1");
	const struct {
		const char *what;
		u64 reg;
		u32 shift; /* of its field, four bits */
		u32 least;
		bool inverted; /* all ones: not there */
	} requirements[] = {
		{"CRC32 instructions", isar0, 16, 1, false},
		{"address space identifiers of 16 bits", mmfr0, 4, 2, false},
		{"pages of 4 KiB", mmfr0, 28, 0, true},
		{"pages of 64 KiB", mmfr0, 24, 0, true},
		{"floating point", pfr0, 16, 0, true},
		{"vector registers (AdvSIMD)", pfr0, 20, 0, true},
		{"two breakpoints", dfr0, 12, DEBUG_PAIRS - 1, false},
		{"two watchpoints", dfr0, 20, DEBUG_PAIRS - 1, false},
	};
	enum hv_error err = HV_OK;

	for (u32 i = 0; i < ARRAY_COUNT(requirements); i++) {
		u32 field = (u32)(requirements[i].reg >> requirements[i].shift) & 0xf;

		if (!check_require(
			    requirements[i].inverted ? field != 0xf
						     : field >= requirements[i].least,
			    requirements[i].what,
			    "this processor has no %s, which the guests' baseline " BASELINE_NAME
			    " promises: anew can't run here",
			    requirements[i].what))
			err = HV_EUNSUPPORTED;
	}
	return err;
}

/* ---- debug registers ---- */

/*
 * DBGBCRn and DBGWCRn: what a guest may ask for. Not to match at EL2 (HMC, SSC), not linked to
 * contexts of a virtual machine (BT): enabled, level, address bytes, load or store, mask.
 */
#define DBGBCR_GUEST (BIT(0) | FIELD(3, 1) | FIELD(0xf, 5))
#define DBGWCR_GUEST (BIT(0) | FIELD(3, 1) | FIELD(3, 3) | FIELD(0xff, 5) | FIELD(0x1f, 24))
/* MDSCR_EL1: SS, KDE, MDE; the others are for external debuggers, or RES0. */
#define MDSCR_GUEST (BIT(0) | BIT(13) | BIT(15))

#define WRITE_PAIR(n)                                                                              \
	do {                                                                                       \
		sysreg_write("dbgbvr" #n "_el1", s->dbgbvr[n]);                                    \
		sysreg_write("dbgbcr" #n "_el1", s->dbgbcr[n]);                                    \
		sysreg_write("dbgwvr" #n "_el1", s->dbgwvr[n]);                                    \
		sysreg_write("dbgwcr" #n "_el1", s->dbgwcr[n]);                                    \
	} while (0)

static bool debug_used(const struct arm64_state *s)
{
	return ((s->dbgbcr[0] | s->dbgbcr[1] | s->dbgwcr[0] | s->dbgwcr[1]) & 1) != 0;
}

void sysreg_debug_load(const struct arm64_state *s)
{
	sysreg_write("mdscr_el1", s->mdscr_el1);
	if (!debug_used(s))
		return;
	WRITE_PAIR(0);
	WRITE_PAIR(1);
}

void sysreg_debug_put(const struct arm64_state *s)
{
	if (!debug_used(s))
		return;
	sysreg_write("dbgbcr0_el1", 0);
	sysreg_write("dbgbcr1_el1", 0);
	sysreg_write("dbgwcr0_el1", 0);
	sysreg_write("dbgwcr1_el1", 0);
}

/* DBGBVRn, DBGBCRn, DBGWVRn, DBGWCRn: op0 2, op1 0, CRn 0, CRm n, op2 4 to 7. */
static enum io_result debug_pair(struct arm64_state *s, u32 n, u32 op2, struct io_access *access)
{
	static const u64 masks[] = {UINT64_MAX, DBGBCR_GUEST, UINT64_MAX, DBGWCR_GUEST};
	u64 *const values[] = {&s->dbgbvr[n], &s->dbgbcr[n], &s->dbgwvr[n], &s->dbgwcr[n]};

	if (!access->is_write) {
		access->value = *values[op2 - 4];
		return IO_DONE;
	}
	sysreg_debug_put(s);
	*values[op2 - 4] = access->value & masks[op2 - 4];
	sysreg_debug_load(s);
	return IO_DONE;
}

/* ---- the others ---- */

enum kind {
	ZERO, /* reads 0, a write is dropped */
	MDSCR,
	OSLAR,
	OSLSR,
	TIMER,
	SGI1,
	SGI0,
	DIR,
};

struct row {
	u32 reg;
	enum kind kind;
};

/* The most frequent first. */
static const struct row rows[] = {
	{SYSREG(3, 0, 12, 11, 5), SGI1}, /* ICC_SGI1R_EL1 */
	{SYSREG(3, 0, 12, 11, 6), SGI0}, /* ICC_ASGI1R_EL1 */
	{SYSREG(3, 0, 12, 11, 7), SGI0}, /* ICC_SGI0R_EL1 */
	{SYSREG(3, 0, 12, 11, 1), DIR},  /* ICC_DIR_EL1 */
	{SYSREG(3, 3, 14, 0, 1), TIMER}, /* CNTPCT_EL0 */
	{SYSREG(3, 3, 14, 2, 0), TIMER}, /* CNTP_TVAL_EL0 */
	{SYSREG(3, 3, 14, 2, 1), TIMER}, /* CNTP_CTL_EL0 */
	{SYSREG(3, 3, 14, 2, 2), TIMER}, /* CNTP_CVAL_EL0 */
	{SYSREG(2, 0, 0, 2, 2), MDSCR},  /* MDSCR_EL1 */
	{SYSREG(2, 0, 1, 0, 4), OSLAR},  /* OSLAR_EL1 */
	{SYSREG(2, 0, 1, 1, 4), OSLSR},  /* OSLSR_EL1 */
	{SYSREG(2, 0, 1, 3, 4), ZERO},   /* OSDLR_EL1 */
	{SYSREG(2, 0, 1, 4, 4), ZERO},   /* DBGPRCR_EL1 */
	{SYSREG(2, 0, 0, 2, 0), ZERO},   /* MDCCINT_EL1 */
	{SYSREG(2, 3, 0, 1, 0), ZERO},   /* MDCCSR_EL0 */
	{SYSREG(2, 3, 0, 5, 0), ZERO},   /* DBGDTRRX_EL0, DBGDTRTX_EL0 */
	{SYSREG(2, 3, 0, 4, 0), ZERO},   /* DBGDTR_EL0 */
	{SYSREG(2, 0, 0, 0, 2), ZERO},   /* OSDTRRX_EL1 */
	{SYSREG(2, 0, 0, 3, 2), ZERO},   /* OSDTRTX_EL1 */
	{SYSREG(2, 0, 0, 6, 2), ZERO},   /* OSECCR_EL1 */
	{SYSREG(2, 0, 7, 8, 6), ZERO},   /* DBGCLAIMSET_EL1 */
	{SYSREG(2, 0, 7, 9, 6), ZERO},   /* DBGCLAIMCLR_EL1 */
	{SYSREG(2, 0, 7, 14, 6), ZERO},  /* DBGAUTHSTATUS_EL1 */
	{SYSREG(2, 0, 1, 0, 0), ZERO},   /* MDRAR_EL1 */
	{SYSREG(3, 0, 1, 0, 1), ZERO},   /* ACTLR_EL1 */
};

static enum io_result emulate(struct vcpu *vcpu, const struct row *row, struct io_access *access)
{
	struct arm64_state *s = &vcpu->arch.state;
	struct vgic *gic = &vcpu->vm->arch.gic;

	switch (row->kind) {
	case ZERO:
		return IO_DONE;
	case MDSCR:
		if (access->is_write) {
			s->mdscr_el1 = access->value & MDSCR_GUEST;
			sysreg_write("mdscr_el1", s->mdscr_el1);
		} else {
			access->value = s->mdscr_el1;
		}
		return IO_DONE;
	case OSLAR:
		if (!access->is_write)
			return IO_FAULT;
		s->os_lock = access->value & 1;
		return IO_DONE;
	case OSLSR: /* the lock is implemented (OSLM bit 3), and locked or not (bit 1) */
		if (access->is_write)
			return IO_FAULT;
		access->value = BIT(3) | (u64)s->os_lock << 1;
		return IO_DONE;
	case TIMER:
		return timer_register(vcpu, row->reg, access);
	case SGI1:
	case SGI0:
	case DIR:
		if (!access->is_write || gic_host_version() != VGIC_V3)
			return IO_FAULT;
		gic_host_fold(vcpu);
		if (row->kind == SGI1)
			vgic_send_sgi1(gic, vcpu->index, access->value);
		else if (row->kind == SGI0)
			vgic_send_sgi0(gic, vcpu->index, access->value);
		else
			vgic_deactivate(gic, vcpu->index, (u32)access->value & 0xffffff);
		return IO_DONE;
	}
	return IO_FAULT;
}

/*
 * Op0 3, Op1 0, CRn 0, CRm 1 to 7: the AArch32 ones and those without a name read as zero. They can
 * only be read: writes are undefined before they could trap, and here would change nothing.
 */
static enum io_result id_register(u32 reg, struct io_access *access)
{
	access->value = id_registers[ID(SYSREG_CRM(reg), SYSREG_OP2(reg))];
	return IO_DONE;
}

/* Kept apart, so that the reads of ID registers need no stack frame. */
__attribute__((noinline)) static enum io_result other_register(struct vm *vm, u32 reg,
							       struct io_access *access)
{
	struct vcpu *vcpu = &vm->vcpus[access->vcpu];

	for (u32 i = 0; i < ARRAY_COUNT(rows); i++)
		if (rows[i].reg == reg)
			return emulate(vcpu, &rows[i], access);
	if (SYSREG_GROUP(reg) == SYSREG(2, 0, 0, 0, 0) && SYSREG_OP2(reg) >= 4 &&
	    SYSREG_CRM(reg) < DEBUG_PAIRS)
		return debug_pair(&vcpu->arch.state, SYSREG_CRM(reg), SYSREG_OP2(reg), access);
	log_limited(&vm->log_limit, LOG_DEBUG,
		    "%s: %s of unknown system register S%u_%u_C%u_C%u_%u refused", vm->config.name,
		    access->is_write ? "write" : "read", SYSREG_OP0(reg), SYSREG_OP1(reg),
		    SYSREG_CRN(reg), SYSREG_CRM(reg), SYSREG_OP2(reg));
	return IO_FAULT;
}

static enum io_result sysreg_io(void *ctx, struct io_access *access)
{
	u32 reg = (u32)access->offset;

	if (SYSREG_GROUP(reg) == SYSREG(3, 0, 0, 0, 0) && SYSREG_CRM(reg) - 1 < 7)
		return id_register(reg, access);
	return other_register(ctx, reg, access);
}

enum hv_error sysreg_register(struct vm *vm)
{
	const struct io_region region = {.name = "system registers",
					 .space = IO_REG,
					 .base = 0,
					 .length = SYSREG_END,
					 .handler = sysreg_io,
					 .ctx = vm};

	return io_register(&vm->io, &region);
}
