/* SPDX-License-Identifier: MIT */
/*
 * Round trips, counted by the virtual counter: executed instructions where the emulator runs with
 * -icount. Runs unchanged on any hypervisor, and on none, that starts a Linux Image. Loop overhead
 * is 2 instructions.
 */
#include "gic_arm64.h"
#include "measure.h"

#define SGI 5u

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
