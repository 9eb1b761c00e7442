/* SPDX-License-Identifier: MIT */
/*
 * What payloads for arm64 have. They run under anew and, where anew's test device is missing, on
 * QEMU's machine `virt` at EL1, which has the rest at the same addresses: output then goes to the
 * PL011, and the end is PSCI's.
 *
 * Memory is mapped one to one: the first GiB as Device-nGnRE, the second, RAM, write-back.
 *
 * An interrupt's frame has x0 to x30, [FRAME_PC] and [FRAME_PSTATE]. catch_fault() returns the
 * exception class (Arm ARM, ESR_EL1.EC); SErrors have that of their own exceptions, EC_SERROR.
 */
#ifndef PAYLOAD_ARM64_H
#define PAYLOAD_ARM64_H

#include "payload.h"

#define PAYLOAD_INTERRUPTS 1020

#define UART_BASE    0x09000000u
#define TESTDEV_BASE 0x09010000u
#define RAM_BASE     0x40000000u
/* Nothing is there, neither under anew nor on QEMU's machine. */
#define UNMAPPED 0x0d000000u

#define INTID_UART   33u
#define INTID_VTIMER 27u
#define INTID_PTIMER 30u

#define FRAME_PC     31
#define FRAME_PSTATE 32

#define EC_UNKNOWN      0x00
#define EC_SYSREG       0x18
#define EC_IABT_CURRENT 0x21
#define EC_DABT_CURRENT 0x25
#define EC_SERROR       0x2f

/* ESR_EL1 of aborts. */
#define ESR_WNR        0x40u
#define ESR_FSC        0x3fu
#define FSC_EXTERNAL   0x10u
#define FSC_ON_WALK(n) (0x14u + (n)) /* external abort on a walk, at level n */

/* Whether anew is below, with its test device. */
extern bool payload_testdev;
/* Where the devicetree is. */
extern const void *payload_dtb;
/* Of the last exception that was caught. */
extern uint64_t fault_esr, fault_far;
/*
 * Whether the one just caught, of @class, is a synchronous external abort at @address that isn't on
 * a walk: EC_IABT_CURRENT, or EC_DABT_CURRENT with @wnr 0 or ESR_WNR.
 */
bool fault_is_external(int class, int want, uint64_t address, uint64_t wnr);

/* A payload that defines it as true starts with the MMU off. */
extern bool payload_mmu_off;
void mmu_on(void);
/* The table of level 1: one entry of 8 bytes for each GiB of virtual addresses. */
#define MMU_ENTRIES 64
extern uint64_t mmu_table[MMU_ENTRIES];
/* Bits of mmu_table: a block of 1 GiB, or a table of level 2. */
#define MMU_TABLE      0x003ull
#define MMU_DEVICE     0x0060000000000401ull /* never executable */
#define MMU_NORMAL     0x0000000000000705ull /* inner shareable */
#define MMU_EL0        0x0000000000000040ull /* for EL0 as well */
#define MMU_NEVER_EXEC 0x0060000000000000ull
/* Changes entry @index. */
void mmu_set(unsigned int index, uint64_t entry);

/* What a processor began with: SCTLR_EL1, PSTATE.DAIF, CurrentEL. */
struct cpu_began {
	uint64_t sctlr, daif, el;
};
/*
 * Starts processor @cpu, at most 7, which is off: runs @body on it with the MMU on and interrupts
 * off, and when that returns it is off again. Returns what PSCI does.
 */
int64_t cpu_start(unsigned int cpu, void (*body)(unsigned int cpu, const struct cpu_began *began));
/* Which one this runs on. */
static inline unsigned int cpu_index(void);
/* Where processors begin that this runtime starts. */
extern const char payload_cpu_start[];

#define sysreg_read(name)                                                                          \
	({                                                                                         \
		uint64_t value_;                                                                   \
		__asm__ volatile("mrs %0, " name : "=r"(value_) : : "memory");                     \
		value_;                                                                            \
	})
#define sysreg_write(name, value)                                                                  \
	__asm__ volatile("msr " name ", %0\n isb" : : "r"((uint64_t)(value)) : "memory")

static inline unsigned int cpu_index(void)
{
	return (unsigned int)(sysreg_read("mpidr_el1") & 0xff);
}

static inline void mmio_write(uint64_t address, uint32_t value)
{
	__asm__ volatile("str %w0, [%1]" : : "r"(value), "r"(address) : "memory");
}

static inline uint32_t mmio_read(uint64_t address)
{
	uint32_t value;

	__asm__ volatile("ldr %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
	return value;
}

static inline void mmio_write8(uint64_t address, uint8_t value)
{
	__asm__ volatile("strb %w0, [%1]" : : "r"(value), "r"(address) : "memory");
}

static inline uint8_t mmio_read8(uint64_t address)
{
	uint32_t value;

	__asm__ volatile("ldrb %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
	return (uint8_t)value;
}

static inline void mmio_write64(uint64_t address, uint64_t value)
{
	__asm__ volatile("str %0, [%1]" : : "r"(value), "r"(address) : "memory");
}

static inline uint64_t mmio_read64(uint64_t address)
{
	uint64_t value;

	__asm__ volatile("ldr %0, [%1]" : "=r"(value) : "r"(address) : "memory");
	return value;
}

static inline void cpu_relax(void)
{
	__asm__ volatile("yield" : : : "memory");
}

static inline void irq_on(void)
{
	__asm__ volatile("msr daifclr, #2\n isb" : : : "memory");
}

static inline void irq_off(void)
{
	__asm__ volatile("msr daifset, #2\n isb" : : : "memory");
}

/* Lets in what is pending. */
static inline void irq_window(void)
{
	irq_on();
	irq_off();
}

/* The virtual counter, which ticks once in 16 instructions at 62.5 MHz. */
static inline uint64_t instructions(void)
{
	uint64_t hz = sysreg_read("cntfrq_el0");
	uint64_t ticks = sysreg_read("cntvct_el0");

	return ticks / hz * 1000000000 + ticks % hz * 1000000000 / hz;
}

/* Calls by HVC and by SMC: SMCCC, Arm DEN 0028. */
#define SMCCC_CALL(instruction, function, arg1, arg2, arg3)                                        \
	({                                                                                         \
		register uint64_t x0_ __asm__("x0") = (function);                                  \
		register uint64_t x1_ __asm__("x1") = (arg1);                                      \
		register uint64_t x2_ __asm__("x2") = (arg2);                                      \
		register uint64_t x3_ __asm__("x3") = (arg3);                                      \
		__asm__ volatile(instruction " #0"                                                 \
				 : "+r"(x0_), "+r"(x1_), "+r"(x2_), "+r"(x3_)                      \
				 :                                                                 \
				 : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", \
				   "x14", "x15", "x16", "x17", "memory");                          \
		x0_;                                                                               \
	})
#define hvc(function, ...)                    hvc_(function, ##__VA_ARGS__, 0, 0, 0)
#define hvc_(function, arg1, arg2, arg3, ...) SMCCC_CALL("hvc", function, arg1, arg2, arg3)

#define PSCI_VERSION       0x84000000u
#define PSCI_CPU_SUSPEND   0xc4000001u
#define PSCI_CPU_OFF       0x84000002u
#define PSCI_SYSTEM_OFF    0x84000008u
#define PSCI_FEATURES      0x8400000au
#define PSCI_CPU_ON        0xc4000003u
#define PSCI_AFFINITY_INFO 0xc4000004u
#define SMCCC_VERSION      0x80000000u

#define PSCI_NOT_SUPPORTED  (-1)
#define PSCI_INVALID_PARAMS (-2)
#define PSCI_DENIED         (-3)
#define PSCI_ALREADY_ON     (-4)
#define PSCI_INVALID_ADDR   (-9)

#endif
