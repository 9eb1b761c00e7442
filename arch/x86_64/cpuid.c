/* SPDX-License-Identifier: MIT */
/*
 * CPUID: one table, one named baseline. A leaf that isn't in the table reads as zero.
 *
 * The baseline is what AMD's first Zen and Intel's Skylake share, without what has state of its own
 * (XSAVE, AVX) and without what emulators get wrong: CMPXCHG16B (QEMU 7.2 corrupts Linux with it)
 * and the frequency leaves 15h and 16h, which promise what nobody measured. RDRAND and RDSEED are
 * left out so that what a guest draws depends on its seeds and its generation id alone.
 *
 * AMD APM vol. 3 appendix E, Intel SDM vol. 2 "CPUID".
 */
#include <arch/asm.h>
#include <arch/policy.h>
#include <internal/check.h>
#include <internal/vm.h>

/* Leaf 1. */
#define ECX1_HARDWARE (BIT(0) | BIT(1) | BIT(9) | BIT(19) | BIT(20) | BIT(23) | BIT(25))
#define ECX1_EMULATED (BIT(21) | BIT(24) | BIT(31)) /* x2APIC, TSC-deadline, hypervisor */
#define EDX1_HARDWARE                                                                              \
	(BIT(0) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) |         \
	 BIT(13) | BIT(14) | BIT(15) | BIT(16) | BIT(17) | BIT(19) | BIT(23) | BIT(24) | BIT(25) | \
	 BIT(26))
#define EDX1_EMULATED BIT(9) /* APIC */
/* Leaf 7: FSGSBASE BMI1 SMEP BMI2 ADX SMAP. */
#define EBX7_HARDWARE (BIT(0) | BIT(3) | BIT(7) | BIT(8) | BIT(19) | BIT(20))
#define EBX7_EMULATED BIT(1) /* TSC_ADJUST */
/* Leaf 8000_0001h: LAHF LZCNT; SYSCALL NX LM and the copies of leaf 1. */
#define ECX81_HARDWARE (BIT(0) | BIT(5))
#define EDX81_HARDWARE (BIT(11) | BIT(20) | BIT(29))
#define EDX81_COPIED   0x0183f3ffu

#define PHYSICAL_BITS 40u
#define LINEAR_BITS   48u

#define TEXT4(a, b, c, d) ((u32)(a) | (u32)(b) << 8 | (u32)(c) << 16 | (u32)(d) << 24)

enum cpuid_special {
	SPECIAL_NONE,
	SPECIAL_APIC_ID, /* leaf 1: initial APIC id into EBX 31:24, the enabled bit */
	SPECIAL_TSC,     /* 4000_0010h: frequencies of TSC and APIC bus in kHz */
};

struct cpuid_row {
	u32 leaf;
	enum cpuid_special special;
	struct cpuid_regs regs;
};

/* Leaves with subleaves: only subleaf 0 has a value. Sorted by leaf. */
static const struct cpuid_row rows[] = {
	{0x0,
	 SPECIAL_NONE,
	 {0x7, TEXT4('A', 'u', 't', 'h'), TEXT4('c', 'A', 'M', 'D'), TEXT4('e', 'n', 't', 'i')}},
	{0x1,
	 SPECIAL_APIC_ID,
	 {SIGNATURE, 0x00010800, (u32)(ECX1_HARDWARE | ECX1_EMULATED),
	  (u32)(EDX1_HARDWARE | EDX1_EMULATED)}},
	{0x7, SPECIAL_NONE, {0, (u32)(EBX7_HARDWARE | EBX7_EMULATED), 0, 0}},
	{0x40000000,
	 SPECIAL_NONE,
	 {0x40000010, TEXT4('a', 'n', 'e', 'w'), TEXT4('a', 'n', 'e', 'w'),
	  TEXT4('a', 'n', 'e', 'w')}},
	{0x40000001, SPECIAL_NONE, {1, 0, 0, 0}}, /* version of this interface */
	{0x40000010, SPECIAL_TSC, {0, 0, 0, 0}},
	/* The paravirtual clock and nothing else of that interface: pvclock.c. */
	{0x40000100,
	 SPECIAL_NONE,
	 {0x40000101, TEXT4('K', 'V', 'M', 'K'), TEXT4('V', 'M', 'K', 'V'), TEXT4('M', 0, 0, 0)}},
	{0x40000101, SPECIAL_NONE, {BIT(3) | BIT(24), 0, 0, 0}},
	{0x80000000,
	 SPECIAL_NONE,
	 {0x80000008, TEXT4('A', 'u', 't', 'h'), TEXT4('c', 'A', 'M', 'D'),
	  TEXT4('e', 'n', 't', 'i')}},
	{0x80000001,
	 SPECIAL_NONE,
	 {SIGNATURE, 0, (u32)ECX81_HARDWARE,
	  (u32)(EDX81_HARDWARE | ((EDX1_HARDWARE | EDX1_EMULATED) & EDX81_COPIED))}},
	{0x80000002,
	 SPECIAL_NONE,
	 {TEXT4('a', 'n', 'e', 'w'), TEXT4(' ', 'b', 'a', 's'), TEXT4('e', 'l', 'i', 'n'),
	  TEXT4('e', ' ', 'p', 'r')}},
	{0x80000003,
	 SPECIAL_NONE,
	 {TEXT4('o', 'c', 'e', 's'), TEXT4('s', 'o', 'r', ' '), TEXT4('x', '8', '6', '-'),
	  TEXT4('1', 0, 0, 0)}},
	{0x80000004, SPECIAL_NONE, {0, 0, 0, 0}},
	/* Caches of an ordinary processor: 32 KiB L1, 512 KiB L2. */
	{0x80000005, SPECIAL_NONE, {0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140}},
	{0x80000006, SPECIAL_NONE, {0x26006400, 0x66006400, 0x02006140, 0x00000000}},
	{0x80000007, SPECIAL_NONE, {0, 0, 0, BIT(8)}}, /* invariant TSC */
	{0x80000008, SPECIAL_NONE, {LINEAR_BITS << 8 | PHYSICAL_BITS, 0, 0, 0}},
};

/* What of the table has to be there in hardware. */
static const struct {
	u32 leaf;
	u8 reg; /* 0 EAX .. 3 EDX */
	u64 bits;
} required[] = {
	{0x1, 2, ECX1_HARDWARE},         {0x1, 3, EDX1_HARDWARE},         {0x7, 1, EBX7_HARDWARE},
	{0x80000001, 2, ECX81_HARDWARE}, {0x80000001, 3, EDX81_HARDWARE},
};

#define BASELINE "the guests' baseline " BASELINE_NAME

enum hv_error cpuid_check(void)
{
	enum hv_error err = HV_OK;

	for (u32 i = 0; i < ARRAY_COUNT(required); i++) {
		struct cpuid_regs have = cpuid(required[i].leaf, 0);
		const u32 regs[4] = {have.eax, have.ebx, have.ecx, have.edx};
		u32 missing = (u32)required[i].bits & ~regs[required[i].reg];

		if (!missing)
			continue;
		check_require(false, BASELINE,
			      "this processor is too old for " BASELINE
			      ": CPUID leaf %xh, E%cX lacks bits %08xh",
			      required[i].leaf, "ABCD"[required[i].reg], missing);
		err = HV_EUNSUPPORTED;
	}
	if (!err)
		check_require(true, BASELINE, "%s", "");
	return err;
}

static const struct cpuid_row *row_find(u32 leaf)
{
	u32 low = 0, high = ARRAY_COUNT(rows);

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (rows[middle].leaf == leaf)
			return &rows[middle];
		if (rows[middle].leaf < leaf)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct cpuid_regs cpuid_guest(const struct vcpu *vcpu, u32 leaf, u32 subleaf)
{
	const struct cpuid_row *row = row_find(leaf);
	struct cpuid_regs regs = {0, 0, 0, 0};

	if (!row || (leaf == 0x7 && subleaf))
		return regs;
	regs = row->regs;
	switch (row->special) {
	case SPECIAL_NONE:
		break;
	case SPECIAL_APIC_ID:
		regs.ebx |= vcpu->index << 24;
		break;
	case SPECIAL_TSC:
		regs.eax = (u32)(vcpu->vm->time.counter_hz / 1000);
		regs.ebx = (u32)(APIC_BUS_HZ / 1000);
		break;
	}
	return regs;
}
