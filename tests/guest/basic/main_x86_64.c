/* SPDX-License-Identifier: MIT */
/* The machine as a small kernel sees it: CPUID, MSRs, unmapped addresses, interrupts, timer. */
#include "payload.h"

#define APIC 0xfee00000u

static volatile int arrived;

static void count(uint64_t vector, uint64_t *frame)
{
	(void)vector;
	(void)frame;
	arrived++;
	mmio_write(APIC + 0xb0, 0);
}

static void read_msr(void *msr)
{
	(void)rdmsr((uint32_t)(uintptr_t)msr);
}

static void write_msr(void *msr)
{
	wrmsr((uint32_t)(uintptr_t)msr, ~0ull);
}

static void bad_cr4(void *ctx)
{
	(void)ctx;
	__asm__ volatile("mov %%cr4, %%rax; bts $18, %%rax; mov %%rax, %%cr4" : : : "rax");
}

static void do_rdtscp(void *ctx)
{
	(void)ctx;
	__asm__ volatile("rdtscp" : : : "rax", "rcx", "rdx");
}

static void check_cpuid(void)
{
	uint32_t a, b, c, d;

	__asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0x40000000), "c"(0));
	report(b == 0x77656e61, "the hypervisor leaf says anew");
	__asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(1), "c"(0));
	report(c >> 31, "the hypervisor bit is set");
	report(!(c & 1u << 13), "CMPXCHG16B is hidden");
	report(!(c & 1u << 26), "XSAVE is hidden");
	__asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0x15), "c"(0));
	report(!(a | b | c | d), "leaf 15h is hidden");
}

static void check_faults(void)
{
	report(catch_fault(read_msr, (void *)0x12345) == 13, "an unknown MSR can't be read: #GP");
	report(catch_fault(write_msr, (void *)0xc0011fff) == 13, "nor written: #GP");
	report(catch_fault(write_msr, (void *)0xc0000080) == 13, "nor EFER's reserved bits: #GP");
	report(catch_fault(read_msr, (void *)0x802) == 13, "x2APIC MSRs need x2APIC mode: #GP");
	report(catch_fault(bad_cr4, NULL) == 13, "CR4.OSXSAVE can't be set: #GP");
	if (catch_fault(do_rdtscp, NULL) == 6)
		report(true, "RDTSCP is hidden: #UD");
	else
		payload_skip("RDTSCP is hidden: QEMU 7.2 ignores the intercept of RDTSCP");
}

static void check_unmapped(void)
{
	report(mmio_read(0xd0000000) == 0xffffffff, "an unmapped address reads as all ones");
	mmio_write(0xd0000000, 1);
	report(inl(0x5678) == 0xffffffff, "so does a port that nobody has");
	outb(0x5678, 1);
	report(true, "writes there are dropped");
}

static void check_interrupts(void)
{
	on_interrupt(0x40, count);
	mmio_write(APIC + 0xf0, 0x1ff);
	mmio_write(APIC + 0x300, 0x00040040);
	report(arrived == 0, "an IPI waits while interrupts are off");
	__asm__ volatile("sti; nop; nop; cli");
	report(arrived == 1, "and arrives when they are on");
	mmio_write(APIC + 0x80, 0x50);
	mmio_write(APIC + 0x300, 0x00040040);
	__asm__ volatile("sti; nop; nop; cli");
	report(arrived == 1, "the task priority holds it back");
	__asm__ volatile("xor %%eax, %%eax; mov %%rax, %%cr8; sti; nop; nop; cli" : : : "rax");
	report(arrived == 2, "and CR8 lets it in");
}

static void check_timer(void)
{
	uint64_t start;

	arrived = 0;
	mmio_write(APIC + 0x3e0, 0xb); /* divide by 1 */
	mmio_write(APIC + 0x320, 0x40);
	start = rdtsc();
	mmio_write(APIC + 0x380, 5000000);
	while (!arrived)
		__asm__ volatile("sti; hlt; cli");
	report(arrived == 1 && rdtsc() > start, "the timer fires once in one-shot mode");
	mmio_write(APIC + 0x320, 0x20040);
	mmio_write(APIC + 0x380, 2000000);
	while (arrived < 6)
		__asm__ volatile("sti; hlt; cli");
	report(true, "and again and again in periodic mode");
	mmio_write(APIC + 0x320, 0x10040);
	__asm__ volatile("sti; nop; nop; cli");
	mmio_write(APIC + 0x320, 0x40040);
	arrived = 0;
	wrmsr(0x6e0, rdtsc() + 3000000);
	while (!arrived)
		__asm__ volatile("sti; hlt; cli");
	report(rdmsr(0x6e0) == 0, "and at its deadline in TSC-deadline mode");
	mmio_write(APIC + 0x320, 0x10040);
}

void payload_main(void)
{
	check_cpuid();
	check_faults();
	check_unmapped();
	check_interrupts();
	check_timer();
}
