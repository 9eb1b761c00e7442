/* SPDX-License-Identifier: MIT */
/*
 * Round trips, counted in the guest's own time-stamp counter: executed instructions where the
 * emulator runs with -icount. Runs unchanged on any hypervisor that starts PVH or multiboot
 * kernels. Loop overhead is 3 to 5 instructions.
 */
#include "measure.h"

#define APIC 0xfee00000u

static uint64_t hypercall_number;
static volatile uint64_t ipis;

static void do_nothing(void)
{
	__asm__ volatile("");
}

static void do_cpuid(void)
{
	__asm__ volatile("cpuid" : : "a"(0x40000000), "c"(0) : "ebx", "edx", "memory");
}

static void do_hypercall(void)
{
	__asm__ volatile("vmmcall" : : "a"(hypercall_number) : "memory");
}

static void do_port(void)
{
	(void)inb(0x61);
}

static void do_unclaimed_port(void)
{
	(void)inb(0x1234 & 0xfff);
}

static void do_mmio(void)
{
	(void)mmio_read(APIC + 0x20);
}

static void do_eoi(void)
{
	mmio_write(APIC + 0xb0, 0);
}

static void do_msr(void)
{
	(void)rdmsr(0x1b);
}

static void ipi_handler(uint64_t vector, uint64_t *frame)
{
	(void)vector;
	(void)frame;
	ipis++;
	mmio_write(APIC + 0xb0, 0);
}

static void do_self_ipi(void)
{
	mmio_write(APIC + 0x300, 0x00040000 | 0x40);
}

void payload_main(void)
{
	/* Of the firmware, where plain QEMU starts this as a kernel. */
	print("bench: before %llu\n", (unsigned long long)rdtsc());
	MEASURE("loop", do_nothing);
	MEASURE("cpuid", do_cpuid);
	MEASURE("hypercall", do_hypercall);
	MEASURE("port", do_port);
	MEASURE("unclaimed-port", do_unclaimed_port);
	MEASURE("msr", do_msr);
	MEASURE("mmio", do_mmio);
	mmio_write(APIC + 0xf0, 0x1ff);
	MEASURE("eoi", do_eoi);
	on_interrupt(0x40, ipi_handler);
	__asm__ volatile("sti");
	MEASURE("self-ipi", do_self_ipi);
	__asm__ volatile("cli");
	/*
	 * Not fewer. Under -icount QEMU 7.2 delivers an event twice now and then, to guests of KVM
	 * as well; without -icount the count is exact.
	 */
	report(ipis >= 3 * LOOPS, "every self-IPI arrived (%llu)", (unsigned long long)ipis);
}
