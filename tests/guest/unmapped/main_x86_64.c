/* SPDX-License-Identifier: MIT */
/*
 * Wherever nothing is: addresses, ports and MSRs that nobody has, in every size. Reads give all
 * ones, writes are dropped, MSRs raise #GP, and the guest goes on; an access that stops the VM
 * leaves the test without its result.
 */
#include "payload.h"

#define VECTOR_GP 13

/* Between RAM (32 MiB) and devices, and on either side of these; 4 GiB are mapped. */
static const uint32_t nowhere[] = {0x02000000, 0x40000000, 0x7ffffff8, 0xd0000000,
				   0xfec01000, 0xfedffff8, 0xfee01000, 0xfffffff8};
static const uint16_t no_ports[] = {0x1234, 0x5678, 0xfffc, 0xc000};

static struct {
	uint32_t number;
	uint64_t value;
} msr;

#define READS_ONES(type, address) (*(volatile type *)(uintptr_t)(address) == (type) ~(type)0)

static bool reads_ones(uint32_t address)
{
	return READS_ONES(uint8_t, address) && READS_ONES(uint16_t, address) &&
	       READS_ONES(uint32_t, address) && READS_ONES(uint64_t, address) &&
	       READS_ONES(uint8_t, address + 7);
}

static void write_all_sizes(uint32_t address)
{
	*(volatile uint8_t *)(uintptr_t)address = 0;
	*(volatile uint16_t *)(uintptr_t)address = 0;
	*(volatile uint32_t *)(uintptr_t)address = 0;
	*(volatile uint64_t *)(uintptr_t)address = 0;
}

static void check_addresses(void)
{
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		bool before = reads_ones(nowhere[i]);

		write_all_sizes(nowhere[i]);
		report(before && reads_ones(nowhere[i]),
		       "%08x reads as all ones, before and after writes", (unsigned)nowhere[i]);
	}
}

static void check_ports(void)
{
	for (size_t i = 0; i < sizeof(no_ports) / sizeof(no_ports[0]); i++) {
		uint16_t port = no_ports[i], word;
		bool ones;

		outb(port, 0);
		__asm__ volatile("outw %w0, %1" : : "a"(0), "Nd"(port));
		__asm__ volatile("outl %0, %1" : : "a"(0), "Nd"(port));
		__asm__ volatile("inw %1, %0" : "=a"(word) : "Nd"(port));
		ones = inb(port) == 0xff && word == 0xffff && inl(port) == 0xffffffff;
		report(ones, "port %04x reads as all ones after writes", (unsigned)port);
	}
}

static void read_it(void *ctx)
{
	(void)ctx;
	msr.value = rdmsr(msr.number);
}

static void write_it(void *ctx)
{
	(void)ctx;
	wrmsr(msr.number, msr.value);
}

/* Every MSR of a range is either there or refused; what can't be read can't be written either. */
static void check_msrs(uint32_t first, uint32_t count)
{
	unsigned known = 0, wrong = 0;

	for (uint32_t i = 0; i < count; i++) {
		int vector;

		msr.number = first + i;
		vector = catch_fault(read_it, NULL);
		if (vector == -1) {
			known++;
			continue;
		}
		msr.value = 0;
		/* The x2APIC's and the paravirtual clock's are not all for reading. */
		if (vector != VECTOR_GP)
			wrong++;
		else if (catch_fault(write_it, NULL) != VECTOR_GP)
			wrong++;
	}
	report(!wrong, "MSRs %x to %x: %u known, all others raise #GP (%u don't)", (unsigned)first,
	       (unsigned)(first + count - 1), known, wrong);
}

void payload_main(void)
{
	check_addresses();
	check_ports();
	check_msrs(0, 0x2000);
	check_msrs(0x40000000, 0x200);
	check_msrs(0x4b564d00, 0x10);
	check_msrs(0xc0000000, 0x2000);
	check_msrs(0xc0010000, 0x2000);
	check_msrs(0xfffffff0, 0x10);
}
