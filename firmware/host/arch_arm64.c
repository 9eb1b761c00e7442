/* SPDX-License-Identifier: MIT */
/* The instructions that the host layer needs of an arm64 processor. */
#include "uefi.h"

#include <arch/sysreg.h>

/* ID_AA64ISAR0_EL1.RNDR; registers RNDRRS (reseeded) and RNDR. Arm ARM D19.2.118, D19.2.119 */
#define ISAR0_RNDR_SHIFT 60
#define RNDR             "S3_3_C2_C4_0"
#define RNDRRS           "S3_3_C2_C4_1"

/* They may have nothing to give for a while. */
#define RANDOM_TRIES 128

u64 cpu_counter(void)
{
	isb();
	return sysreg_read("cntpct_el0");
}

/* The flags say whether there was a number: Z is set when there was none. */
#define READ_RANDOM(reg, value, ok)                                                                \
	__asm__ volatile("mrs %0, " reg "\n\tcset %w1, ne" : "=r"(value), "=r"(ok) : : "cc")

bool cpu_random(u64 *value)
{
	u32 ok;

	if (!(sysreg_read("id_aa64isar0_el1") >> ISAR0_RNDR_SHIFT & 0xf))
		return false;
	for (u32 i = 0; i < RANDOM_TRIES; i++) {
		READ_RANDOM(RNDRRS, *value, ok);
		if (!ok)
			READ_RANDOM(RNDR, *value, ok);
		if (ok && *value && *value != UINT64_MAX)
			return true;
	}
	return false;
}

void cpu_wait(const u32 *kicked)
{
	__asm__ volatile("msr daifset, #3" : : : "memory");
	/* An interrupt ends WFI also while it is held back. Arm ARM D1.6.2 */
	if (!kicked || !__atomic_load_n(kicked, __ATOMIC_SEQ_CST))
		__asm__ volatile("dsb sy; wfi" : : : "memory");
	__asm__ volatile("msr daifclr, #3; isb" : : : "memory");
}
