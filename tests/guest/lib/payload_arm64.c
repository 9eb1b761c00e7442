/* SPDX-License-Identifier: MIT */
#include "gic_arm64.h"
#include "mmu_arm64.h"
#include "payload.h"

#include <devices/testdev.h>

void payload_setup(const void *dtb);
void payload_vector(uint64_t vector, uint64_t *frame);
void payload_cpu_main(unsigned int cpu, uint64_t sctlr, uint64_t daif, uint64_t el);

bool payload_testdev;
const void *payload_dtb;
uint64_t fault_esr, fault_far;
uint64_t mmu_table[MMU_ENTRIES] __attribute__((aligned(MMU_ENTRIES * 8)));
bool payload_mmu_off __attribute__((weak));

extern char payload_header[], payload_end[];

#define UART_FR      (UART_BASE + 0x18)
#define UART_FR_RXFE 0x10u
#define UART_FR_TXFF 0x20u
#define UART_CR      (UART_BASE + 0x30)
#define UART_CR_ON   0x301u /* and receives and transmits */

void payload_putc(char c)
{
	if (payload_testdev) {
		mmio_write(TESTDEV_BASE + TESTDEV_PUTC, (uint8_t)c);
		return;
	}
	while (mmio_read(UART_FR) & UART_FR_TXFF)
		cpu_relax();
	mmio_write(UART_BASE, (uint8_t)c);
}

bool payload_typed(void)
{
	if (mmio_read(UART_FR) & UART_FR_RXFE)
		return false;
	(void)mmio_read(UART_BASE);
	return true;
}

void payload_off(int result)
{
	if (payload_testdev)
		mmio_write(TESTDEV_BASE + TESTDEV_EXIT, (uint32_t)result);
	(void)hvc(PSCI_SYSTEM_OFF);
	irq_off();
	for (;;)
		__asm__ volatile("wfi");
}

/* ---- exceptions ---- */

static void interrupted(uint64_t *frame)
{
	uint32_t ack = gic_ack_all();
	uint32_t id = ack & GIC_INTID;

	if (id >= GIC_SPURIOUS)
		return;
	if (!payload_handle(id, frame)) {
		print("ERROR: interrupt %u\n", (unsigned int)id);
		payload_exit(PAYLOAD_ERROR);
	}
	gic_eoi(ack);
}

void payload_vector(uint64_t vector, uint64_t *frame)
{
	uint64_t esr = sysreg_read("esr_el1");
	uint64_t far = sysreg_read("far_el1");
	bool serror = (vector & 3) == 3;

	/* From the level itself, with its own stack: the others are not used. */
	if (vector == 5) {
		interrupted(frame);
		return;
	}
	if ((vector == 4 || vector == 7) &&
	    payload_caught(serror ? EC_SERROR : (int)(esr >> 26 & 0x3f))) {
		fault_esr = esr;
		fault_far = far;
		frame[FRAME_PC] = (uint64_t)payload_jump;
		return;
	}
	print("ERROR: exception %d at %llx, ESR %llx, FAR %llx\n", (int)vector,
	      (unsigned long long)frame[FRAME_PC], (unsigned long long)esr,
	      (unsigned long long)far);
	payload_exit(PAYLOAD_ERROR);
}

bool fault_is_external(int class, int want, uint64_t address, uint64_t wnr)
{
	return class == want && (fault_esr & ESR_FSC) == FSC_EXTERNAL && fault_far == address &&
	       (fault_esr & ESR_WNR) == wnr;
}

/* ---- memory ---- */

void mmu_set(unsigned int index, uint64_t entry)
{
	mmu_table[index] = 0;
	__asm__ volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" : : : "memory");
	mmu_table[index] = entry;
	__asm__ volatile("dsb ishst\n isb" : : : "memory");
}

void mmu_on(void)
{
	uint64_t line = 4ull << (sysreg_read("ctr_el0") >> 16 & 0xf);

	mmu_table[0] = MMU_DEVICE;
	mmu_table[RAM_BASE >> 30] = RAM_BASE | MMU_NORMAL;
	/* What was written past the caches must not be hidden by what they have of it. */
	__asm__ volatile("dsb sy" : : : "memory");
	for (uint64_t at = (uint64_t)payload_header; at < (uint64_t)payload_end; at += line)
		__asm__ volatile("dc ivac, %0" : : "r"(at) : "memory");
	sysreg_write("mair_el1", MAIR);
	sysreg_write("tcr_el1", TCR);
	sysreg_write("ttbr0_el1", (uint64_t)mmu_table);
	__asm__ volatile("tlbi vmalle1\n ic iallu\n dsb sy\n isb" : : : "memory");
	sysreg_write("sctlr_el1", SCTLR_ON);
}

/* ---- other processors ---- */

static void (*cpu_body)(unsigned int cpu, const struct cpu_began *began);

int64_t cpu_start(unsigned int cpu, void (*body)(unsigned int cpu, const struct cpu_began *began))
{
	cpu_body = body;
	__asm__ volatile("dsb ish" : : : "memory");
	return (int64_t)hvc(PSCI_CPU_ON, cpu, (uint64_t)payload_cpu_start, cpu);
}

void payload_cpu_main(unsigned int cpu, uint64_t sctlr, uint64_t daif, uint64_t el)
{
	const struct cpu_began began = {sctlr, daif, el};

	cpu_body(cpu, &began);
	(void)hvc(PSCI_CPU_OFF);
	print("ERROR: CPU %u can't go off\n", cpu);
	payload_exit(PAYLOAD_ERROR);
}

static void find_testdev(void *found)
{
	*(bool *)found = mmio_read(TESTDEV_BASE + TESTDEV_MAGIC) == (uint32_t)TESTDEV_MAGIC_VALUE;
}

void payload_setup(const void *dtb)
{
	bool found = false;

	payload_dtb = dtb;
	sysreg_write("sctlr_el1", SCTLR_RES1);
	if (!payload_mmu_off)
		mmu_on();
	mmio_write(UART_CR, UART_CR_ON);
	(void)catch_fault(find_testdev, &found);
	payload_testdev = found;
	payload_run();
}
