/* SPDX-License-Identifier: MIT */
/*
 * NMIs come whatever the interrupt flag says, one at a time: another waits until the handler's IRET
 * has been executed, and of several that wait one is left.
 */
#include "payload.h"

#define APIC       0xfee00000u
#define ICR        0x300
#define ICR_HIGH   0x310
#define ICR_NMI    0x4400u /* to a physical destination, asserted */
#define VECTOR_NMI 2
#define VECTOR_IPI 0x40

static volatile int nmis, depth, deepest, ipis, ipis_inside;
static volatile int again; /* how many the handler sends, the first time */

static void send_nmi(void)
{
	mmio_write(APIC + ICR_HIGH, 0);
	mmio_write(APIC + ICR, ICR_NMI);
}

/* Leaves the guest, and comes back. */
static void exit_once(void)
{
	uint32_t a = 0, c = 0;

	__asm__ volatile("cpuid" : "+a"(a), "+c"(c) : : "ebx", "edx", "memory");
}

static void nmi(uint64_t vector, uint64_t *frame)
{
	(void)vector;
	(void)frame;
	nmis++;
	if (++depth > deepest)
		deepest = depth;
	for (; again; again--) {
		send_nmi();
		exit_once();
	}
	ipis_inside += ipis;
	exit_once();
	depth--;
}

static void ipi(uint64_t vector, uint64_t *frame)
{
	(void)vector;
	(void)frame;
	ipis++;
	mmio_write(APIC + 0xb0, 0);
}

static void begin(int more)
{
	nmis = depth = deepest = ipis = ipis_inside = 0;
	again = more;
}

void payload_main(void)
{
	mmio_write(APIC + 0xf0, 0x1ff);
	on_interrupt(VECTOR_NMI, nmi);
	on_interrupt(VECTOR_IPI, ipi);

	begin(0);
	send_nmi();
	report(nmis == 1, "an NMI comes while interrupts are off (%d)", nmis);
	begin(0);
	for (int i = 0; i < 1000; i++)
		send_nmi();
	report(nmis == 1000, "and each time (%d)", nmis);

	begin(1);
	send_nmi();
	exit_once();
	exit_once();
	report(nmis == 2 && deepest == 1, "one sent by the handler comes after it (%d, %d deep)",
	       nmis, deepest);
	begin(3);
	send_nmi();
	exit_once();
	exit_once();
	report(nmis == 2 && deepest == 1, "three are one (%d, %d deep)", nmis, deepest);

	/* With interrupts on there is no need for an exit by itself. */
	begin(1);
	__asm__ volatile("sti");
	send_nmi();
	for (volatile int i = 0; i < 1000 && nmis < 2; i++)
		;
	__asm__ volatile("cli");
	report(nmis == 2 && deepest == 1, "it comes at once where interrupts are on (%d)", nmis);

	begin(1);
	mmio_write(APIC + ICR, 0x4000 | VECTOR_IPI);
	send_nmi();
	exit_once();
	report(nmis == 2 && !ipis, "an interrupt waits for its flag all the same (%d)", ipis);
	__asm__ volatile("sti; nop; nop; cli");
	report(ipis == 1 && !ipis_inside, "and comes then (%d)", ipis);
	begin(0);
	__asm__ volatile("sti");
	for (int i = 0; i < 1000; i++) {
		mmio_write(APIC + ICR, 0x4000 | VECTOR_IPI);
		send_nmi();
	}
	__asm__ volatile("cli");
	report(nmis == 1000 && ipis >= 1000, "both, a thousand times (%d, %d)", nmis, ipis);
}
