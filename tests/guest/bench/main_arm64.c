/* SPDX-License-Identifier: MIT */
/*
 * Round trips, in executed instructions where the emulator runs with -icount shift=0, by which an
 * instruction takes a nanosecond: the virtual counter, which ticks once in 16 of them at 62.5 MHz,
 * is turned into nanoseconds by its frequency. Loops of 10,000, the least of three, so that a tick
 * is 0.002 instructions; loop overhead included, which is the figure `loop`. Runs unchanged on any
 * hypervisor, and on none, that starts a Linux Image.
 */
#include "gic_arm64.h"
#include "payload.h"

#define LOOPS 10000
#define SGI   5u

static volatile uint64_t ipis;

static void do_nothing(void)
{
	__asm__ volatile("");
}

static void do_hypercall(void)
{
	(void)hvc(SMCCC_VERSION);
}

static void do_register(void)
{
	(void)sysreg_read("id_aa64isar0_el1");
}

static void do_mmio(void)
{
	(void)mmio_read(GICD_BASE + GICD_TYPER);
}

/* Of nothing: the least that the end of an interrupt costs. */
static void do_eoi(void)
{
	gic_eoi(1023);
}

static void ipi_handler(uint64_t id, uint64_t *frame)
{
	(void)id;
	(void)frame;
	ipis++;
}

/* From the SGI to behind its end. */
static void do_self_ipi(void)
{
	gic_send_self(SGI);
}

#define MEASURE(name, body)                                                                        \
	do {                                                                                       \
		uint64_t best = UINT64_MAX;                                                        \
		for (int round = 0; round < 3; round++) {                                          \
			uint64_t start = counter();                                                \
			for (int i = 0; i < LOOPS; i++)                                            \
				body();                                                            \
			uint64_t took = counter() - start;                                         \
			if (took < best)                                                           \
				best = took;                                                       \
		}                                                                                  \
		print("bench: %s %llu\n", name,                                                    \
		      (unsigned long long)(best * 1000000000 / sysreg_read("cntfrq_el0") /         \
					   LOOPS));                                                \
	} while (0)

void payload_main(void)
{
	gic_init();
	MEASURE("loop", do_nothing);
	MEASURE("hypercall", do_hypercall);
	MEASURE("register", do_register);
	MEASURE("mmio", do_mmio);
	MEASURE("eoi", do_eoi);
	on_interrupt(SGI, ipi_handler);
	gic_enable(SGI);
	irq_on();
	MEASURE("self-ipi", do_self_ipi);
	irq_off();
	report(ipis == 3 * LOOPS, "every self-IPI arrived (%llu)", (unsigned long long)ipis);
}
