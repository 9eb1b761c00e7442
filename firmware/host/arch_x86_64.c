/* SPDX-License-Identifier: MIT */
/* The instructions that the host layer needs of an x86_64 processor. */
#include "uefi.h"

#include <arch/asm.h>

/* AMD APM vol. 3, appendix E: CPUID function 1 ECX, function 7 EBX. */
#define CPUID_1_ECX_RDRAND BIT(30)
#define CPUID_7_EBX_RDSEED BIT(18)

/* RDSEED may be empty for a while when it is asked often. */
#define RANDOM_TRIES 128

u64 cpu_counter(void)
{
	return rdtsc();
}

static bool rdseed(u64 *value)
{
	bool ok;

	__asm__ volatile("rdseed %0" : "=r"(*value), "=@ccc"(ok));
	return ok;
}

static bool rdrand(u64 *value)
{
	bool ok;

	__asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(ok));
	return ok;
}

static bool try_random(bool (*step)(u64 *value), u64 *value)
{
	for (u32 i = 0; i < RANDOM_TRIES; i++) {
		/* Processors are known that report success and give all ones for ever. */
		if (step(value) && *value && *value != UINT64_MAX)
			return true;
		__asm__ volatile("pause");
	}
	return false;
}

bool cpu_random(u64 *value)
{
	if (cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & CPUID_7_EBX_RDSEED) &&
	    try_random(rdseed, value))
		return true;
	return (cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND) && try_random(rdrand, value);
}

void cpu_wait(const u32 *kicked)
{
	__asm__ volatile("cli" ::: "memory");
	/* What comes in from here on is taken after HLT has begun: APM vol. 3, STI. */
	if (kicked && __atomic_load_n(kicked, __ATOMIC_SEQ_CST))
		__asm__ volatile("sti" ::: "memory");
	else
		__asm__ volatile("sti; hlt" ::: "memory");
}
