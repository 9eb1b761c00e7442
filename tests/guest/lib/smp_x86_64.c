/* SPDX-License-Identifier: MIT */
#include "smp_x86_64.h"
#include <string.h>

#define MSR_APIC_BASE 0x1bu
#define MSR_X2APIC    0x800u
#define BASE_EXTENDED 0x400u

extern char ap_begin[], ap_end[];
void ap_main(uint32_t id);

static void (*bodies[SMP_MAX])(uint32_t id);
static volatile uint32_t begun[SMP_MAX];

void smp_prepare(void)
{
	for (uint64_t page = SMP_PAGE; page <= SMP_PAGE + 1; page++)
		memcpy((void *)(page << 12), ap_begin, (size_t)(ap_end - ap_begin));
}

void smp_body(uint32_t id, void (*body)(uint32_t id))
{
	bodies[id] = body;
}

uint32_t smp_begun(uint32_t id)
{
	return begun[id];
}

uint32_t smp_id(void)
{
	uint32_t a = 1, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return b >> 24;
}

/* On a stack of its own, with the interrupts of payload_setup(). */
void ap_main(uint32_t id)
{
	begun[id]++;
	if (bodies[id])
		bodies[id](id);
	for (;;)
		__asm__ volatile("cli; hlt");
}

static int is_x2apic(void)
{
	return (rdmsr(MSR_APIC_BASE) & BASE_EXTENDED) != 0;
}

void apic_x2apic(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BASE_EXTENDED);
}

void apic_write(uint32_t reg, uint32_t value)
{
	if (is_x2apic())
		wrmsr(MSR_X2APIC + reg / 16, value);
	else
		mmio_write(APIC_BASE + reg, value);
}

uint32_t apic_read(uint32_t reg)
{
	if (is_x2apic())
		return (uint32_t)rdmsr(MSR_X2APIC + reg / 16);
	return mmio_read(APIC_BASE + reg);
}

void apic_send(uint32_t dest, uint32_t command)
{
	if (is_x2apic()) {
		wrmsr(MSR_X2APIC + APIC_ICR / 16, (uint64_t)dest << 32 | command);
	} else {
		mmio_write(APIC_BASE + APIC_ICR_HIGH, dest << 24);
		mmio_write(APIC_BASE + APIC_ICR, command);
	}
}
