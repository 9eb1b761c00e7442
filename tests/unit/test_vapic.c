/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <devices/vapic.h>

#define CPUS 20u
#define HZ   ((u64)1000000000)

/* xAPIC offsets; in x2APIC mode the MSR's offset is a sixteenth. SDM table 11-1. */
#define ID        0x020u
#define VERSION   0x030u
#define TPR       0x080u
#define PPR       0x0a0u
#define EOI       0x0b0u
#define LDR       0x0d0u
#define DFR       0x0e0u
#define SVR       0x0f0u
#define ISR       0x100u
#define TMR       0x180u
#define IRR       0x200u
#define ESR       0x280u
#define ICR       0x300u
#define ICR_HIGH  0x310u
#define LVT_TIMER 0x320u
#define LVT_LINT0 0x350u
#define LVT_ERROR 0x370u
#define INITIAL   0x380u
#define CURRENT   0x390u
#define DIVIDE    0x3e0u
#define SELF_IPI  0x3f0u

#define BASE_X2  (VAPIC_BASE | 0xc00)
#define BASE_X   (VAPIC_BASE | 0x800)
#define BASE_OFF VAPIC_BASE

struct machine {
	u64 now;
	struct clock clock;
	struct vapic_bus bus;
	struct vapic apics[CPUS];
	u32 kicks[CPUS];
	u32 inits[CPUS];
	u32 nmis[CPUS];
	u32 startups[CPUS];
	u8 startup_vector;
	u32 eois;
	u8 eoi_vector;
	u32 changes;
};

static u64 machine_now(void *ctx)
{
	return ((struct machine *)ctx)->now;
}

static void on_kick(void *ctx, u32 vcpu)
{
	((struct machine *)ctx)->kicks[vcpu]++;
}

static void on_init(void *ctx, u32 vcpu)
{
	((struct machine *)ctx)->inits[vcpu]++;
}

static void on_startup(void *ctx, u32 vcpu, u8 vector)
{
	((struct machine *)ctx)->startups[vcpu]++;
	((struct machine *)ctx)->startup_vector = vector;
}

static void on_nmi(void *ctx, u32 vcpu)
{
	((struct machine *)ctx)->nmis[vcpu]++;
}

static void on_eoi(void *ctx, u8 vector)
{
	((struct machine *)ctx)->eois++;
	((struct machine *)ctx)->eoi_vector = vector;
}

static void on_change(void *ctx)
{
	((struct machine *)ctx)->changes++;
}

/* The TSC of these machines runs at 2 GHz. */
static u64 deadline_ns(void *ctx, u32 vcpu, u64 tsc)
{
	(void)ctx;
	/* The counters of the others are ahead. */
	if (tsc == UINT64_MAX)
		return CLOCK_NEVER;
	return tsc / 2 > 100 * vcpu ? tsc / 2 - 100 * vcpu : 0;
}

static const struct vapic_ops ops = {
	.kick = on_kick,
	.init = on_init,
	.startup = on_startup,
	.nmi = on_nmi,
	.eoi = on_eoi,
	.deadline_ns = deadline_ns,
};

static void machine_init(struct machine *m)
{
	memset(m, 0, sizeof(*m));
	m->clock.now = machine_now;
	m->clock.ctx = m;
	m->bus.changed = on_change;
	m->bus.changed_ctx = m;
	for (u32 i = 0; i < CPUS; i++)
		vapic_init(&m->apics[i], i, &m->bus, &m->clock, HZ, &ops, m);
}

static void advance(struct machine *m, u64 ns)
{
	m->now += ns;
	clock_expire(&m->clock);
}

static void write32(struct machine *m, u32 cpu, u32 offset, u32 value)
{
	struct io_access access = {
		.offset = offset, .value = value, .vcpu = cpu, .size = 4, .is_write = true};

	assert_int_equal(vapic_mmio(&m->bus, &access), IO_DONE);
}

static u32 read32(struct machine *m, u32 cpu, u32 offset)
{
	struct io_access access = {.offset = offset, .vcpu = cpu, .size = 4};

	assert_int_equal(vapic_mmio(&m->bus, &access), IO_DONE);
	assert_true(access.value <= UINT32_MAX);
	return (u32)access.value;
}

static enum io_result wrmsr(struct machine *m, u32 cpu, u32 offset, u64 value)
{
	struct io_access access = {
		.offset = offset / 16, .value = value, .vcpu = cpu, .size = 8, .is_write = true};

	return vapic_msr(&m->bus, &access);
}

static enum io_result rdmsr(struct machine *m, u32 cpu, u32 offset, u64 *value)
{
	struct io_access access = {.offset = offset / 16, .vcpu = cpu, .size = 8};
	enum io_result result = vapic_msr(&m->bus, &access);

	*value = access.value;
	return result;
}

static u64 msr(struct machine *m, u32 cpu, u32 offset)
{
	u64 value;

	assert_int_equal(rdmsr(m, cpu, offset, &value), IO_DONE);
	return value;
}

static void enable(struct machine *m, u32 cpu)
{
	write32(m, cpu, SVR, 0x1ff);
}

static void enable_all(struct machine *m, bool x2apic)
{
	for (u32 i = 0; i < CPUS; i++) {
		enable(m, i);
		if (x2apic)
			assert_int_equal(vapic_write_base(&m->apics[i], BASE_X2), IO_DONE);
	}
}

/* Which of the first 32 CPUs have @vector in the IRR; clears it there. */
static u32 takers(struct machine *m, u8 vector)
{
	u32 cpus = 0;

	for (u32 i = 0; i < CPUS; i++) {
		struct vapic *apic = &m->apics[i];

		if (!(apic->irr[vector / 32] >> (vector % 32) & 1))
			continue;
		cpus |= (u32)1 << i;
		assert_int_equal(vapic_pending(apic), vector);
		vapic_take(apic, vector);
		if (apic->mode == VAPIC_X2APIC)
			assert_int_equal(wrmsr(m, i, EOI, 0), IO_DONE);
		else
			write32(m, i, EOI, 0);
	}
	return cpus;
}

static void message(struct machine *m, u8 vector)
{
	assert_true(vapic_accept_message(&m->bus, 0, false, VAPIC_FIXED, vector, false));
}

/* ---- tests ---- */

static void test_power_on(void **state)
{
	struct machine m;

	(void)state;
	machine_init(&m);
	assert_int_equal(vapic_read_base(&m.apics[0]), BASE_X | 0x100);
	assert_int_equal(vapic_read_base(&m.apics[3]), BASE_X);
	assert_int_equal(read32(&m, 3, ID), 3u << 24);
	assert_int_equal(read32(&m, 3, VERSION), 0x50014);
	assert_int_equal(read32(&m, 0, SVR), 0xff);
	assert_int_equal(read32(&m, 0, DFR), 0xffffffff);
	for (u32 lvt = LVT_TIMER; lvt <= LVT_ERROR; lvt += 16)
		assert_int_equal(read32(&m, 0, lvt), 0x10000);
	for (u32 i = 0; i < 8; i++)
		assert_int_equal(read32(&m, 0, ISR + 16 * i) | read32(&m, 0, TMR + 16 * i) |
					 read32(&m, 0, IRR + 16 * i),
				 0);
	assert_int_equal(vapic_pending(&m.apics[0]), -1);

	/* Disabled by software: no fixed interrupt, no LVT entry can be unmasked. */
	assert_false(vapic_accept_message(&m.bus, 0, false, VAPIC_FIXED, 0x40, false));
	assert_false(vapic_has_destination(&m.bus, 0, false, VAPIC_FIXED));
	assert_true(vapic_has_destination(&m.bus, 0, false, VAPIC_NMI));
	write32(&m, 0, LVT_TIMER, 0x40);
	assert_int_equal(read32(&m, 0, LVT_TIMER), 0x10040);
	enable(&m, 0);
	write32(&m, 0, LVT_TIMER, 0x40);
	assert_int_equal(read32(&m, 0, LVT_TIMER), 0x40);
	assert_true(vapic_has_destination(&m.bus, 0, false, VAPIC_FIXED));
	write32(&m, 0, SVR, 0xff);
	assert_int_equal(read32(&m, 0, LVT_TIMER), 0x10040);
}

static void test_mmio_access(void **state)
{
	struct machine m;
	struct io_access access = {.offset = TPR + 4, .size = 4};

	(void)state;
	machine_init(&m);
	assert_int_equal(vapic_mmio(&m.bus, &access), IO_DONE);
	assert_int_equal(access.value, 0xffffffff);
	access = (struct io_access){.offset = TPR, .size = 1};
	assert_int_equal(vapic_mmio(&m.bus, &access), IO_DONE);
	assert_int_equal(access.value, 0xff);
	access = (struct io_access){.offset = TPR, .size = 8, .is_write = true, .value = 0x50};
	assert_int_equal(vapic_mmio(&m.bus, &access), IO_DONE);
	assert_int_equal(read32(&m, 0, TPR), 0);

	/* Read-only registers drop writes, without an error. */
	write32(&m, 0, ID, 0x07000000);
	write32(&m, 0, VERSION, 0);
	write32(&m, 0, PPR, 0x30);
	write32(&m, 0, IRR, 0xffffffff);
	write32(&m, 0, CURRENT, 1);
	write32(&m, 0, ESR, 0);
	assert_int_equal(read32(&m, 0, ESR), 0);
	assert_int_equal(read32(&m, 0, ID), 0);
	assert_int_equal(read32(&m, 0, IRR), 0);
	assert_int_equal(read32(&m, 0, EOI), 0);
}

static void test_errors(void **state)
{
	struct machine m;

	(void)state;
	machine_init(&m);
	enable(&m, 0);
	write32(&m, 0, LVT_ERROR, 0xfe);
	/* A register that is reserved; only the first error interrupts until the ESR is written. */
	assert_int_equal(read32(&m, 0, 0x040), 0);
	assert_int_equal(vapic_pending(&m.apics[0]), 0xfe);
	vapic_take(&m.apics[0], 0xfe);
	write32(&m, 0, EOI, 0);
	write32(&m, 0, 0x2f0, 0);
	write32(&m, 0, SELF_IPI, 0x50);
	assert_int_equal(vapic_pending(&m.apics[0]), -1);
	assert_int_equal(read32(&m, 0, ESR), 0);
	write32(&m, 0, ESR, 0);
	assert_int_equal(read32(&m, 0, ESR), 0x80);
	write32(&m, 0, ESR, 0);
	assert_int_equal(read32(&m, 0, ESR), 0);
	read32(&m, 0, 0x3d0);
	assert_int_equal(vapic_pending(&m.apics[0]), 0xfe);
	vapic_take(&m.apics[0], 0xfe);
	write32(&m, 0, EOI, 0);

	/* Illegal vectors: sent, received, from the timer, and in the error entry itself. */
	write32(&m, 0, ESR, 0);
	write32(&m, 0, ICR, 0x4000f);
	write32(&m, 0, ESR, 0);
	assert_int_equal(read32(&m, 0, ESR), 0x20);
	assert_false(vapic_accept_message(&m.bus, 0, false, VAPIC_FIXED, 15, false));
	write32(&m, 0, ESR, 0);
	assert_int_equal(read32(&m, 0, ESR), 0x40);
	write32(&m, 0, LVT_ERROR, 0x05);
	write32(&m, 0, LVT_TIMER, 0x0f);
	write32(&m, 0, INITIAL, 10);
	advance(&m, 100);
	write32(&m, 0, ESR, 0);
	assert_int_equal(read32(&m, 0, ESR), 0x40);
}

static void test_priorities(void **state)
{
	struct machine m;
	struct vapic *apic = &m.apics[0];

	(void)state;
	machine_init(&m);
	enable(&m, 0);
	message(&m, 0x31);
	message(&m, 0x35);
	assert_int_equal(vapic_pending(apic), 0x35);
	assert_int_equal(m.kicks[0], 2);
	message(&m, 0x35);
	assert_int_equal(m.kicks[0], 2);
	vapic_take(apic, 0x35);
	assert_int_equal(read32(&m, 0, PPR), 0x30);
	assert_int_equal(read32(&m, 0, ISR + 0x10), 1u << 0x15);
	assert_int_equal(read32(&m, 0, IRR + 0x10), 1u << 0x11);
	/* The same class doesn't interrupt, a higher one does. */
	message(&m, 0x3f);
	assert_int_equal(vapic_pending(apic), -1);
	message(&m, 0x40);
	assert_int_equal(vapic_pending(apic), 0x40);
	vapic_take(apic, 0x40);
	assert_int_equal(read32(&m, 0, PPR), 0x40);
	message(&m, 0xf1);
	vapic_take(apic, 0xf1);
	write32(&m, 0, EOI, 0);
	assert_int_equal(read32(&m, 0, PPR), 0x40);
	write32(&m, 0, EOI, 0);
	assert_int_equal(read32(&m, 0, PPR), 0x30);
	assert_int_equal(vapic_pending(apic), -1);

	u32 kicks = m.kicks[0];

	write32(&m, 0, EOI, 0);
	assert_int_equal(m.kicks[0], kicks + 1);
	assert_int_equal(vapic_pending(apic), 0x3f);
	assert_int_equal(read32(&m, 0, PPR), 0);

	/* TPR, and CR8 as the upper half of it. */
	write32(&m, 0, TPR, 0x3a);
	assert_int_equal(vapic_get_tpr(apic), 3);
	assert_int_equal(read32(&m, 0, PPR), 0x3a);
	assert_int_equal(vapic_pending(apic), -1);
	kicks = m.kicks[0];
	vapic_set_tpr(apic, 2);
	assert_int_equal(m.kicks[0], kicks + 1);
	assert_int_equal(read32(&m, 0, TPR), 0x20);
	assert_int_equal(vapic_pending(apic), 0x3f);
	vapic_take(apic, 0x3f);
	assert_int_equal(read32(&m, 0, PPR), 0x30);
	write32(&m, 0, TPR, 0xff);
	assert_int_equal(read32(&m, 0, PPR), 0xff);
	message(&m, 0xff);
	assert_int_equal(vapic_pending(apic), -1);
	write32(&m, 0, TPR, 0);
	assert_int_equal(vapic_pending(apic), 0xff);

	/* An EOI too many does nothing. */
	vapic_take(apic, 0xff);
	for (u32 i = 0; i < 5; i++)
		write32(&m, 0, EOI, 0);
	assert_int_equal(vapic_pending(apic), 0x31);
	assert_int_equal(m.eois, 0);
}

static void test_level(void **state)
{
	struct machine m;

	(void)state;
	machine_init(&m);
	enable(&m, 0);
	assert_true(vapic_accept_message(&m.bus, 0, false, VAPIC_FIXED, 0x61, true));
	assert_int_equal(read32(&m, 0, TMR + 0x30), 2);
	vapic_take(&m.apics[0], 0x61);
	assert_int_equal(m.eois, 0);
	write32(&m, 0, EOI, 0);
	assert_int_equal(m.eois, 1);
	assert_int_equal(m.eoi_vector, 0x61);
	message(&m, 0x61);
	assert_int_equal(read32(&m, 0, TMR + 0x30), 0);
	vapic_take(&m.apics[0], 0x61);
	write32(&m, 0, EOI, 0);
	assert_int_equal(m.eois, 1);
}

static void test_one_shot(void **state)
{
	struct machine m;
	struct vapic *apic = &m.apics[0];

	(void)state;
	machine_init(&m);
	enable(&m, 0);
	write32(&m, 0, LVT_TIMER, 0xec);
	write32(&m, 0, DIVIDE, 0x3); /* 16 */
	write32(&m, 0, INITIAL, 1000);
	assert_int_equal(read32(&m, 0, CURRENT), 1000);
	assert_int_equal(clock_next(&m.clock), 16000);
	advance(&m, 8000);
	assert_in_range(read32(&m, 0, CURRENT), 500, 501);
	advance(&m, 7999);
	assert_int_equal(read32(&m, 0, CURRENT), 1);
	assert_int_equal(vapic_pending(apic), -1);
	advance(&m, 1);
	assert_int_equal(vapic_pending(apic), 0xec);
	assert_int_equal(read32(&m, 0, CURRENT), 0);
	assert_int_equal(read32(&m, 0, INITIAL), 1000);
	assert_int_equal(clock_next(&m.clock), CLOCK_NEVER);

	/* Zero stops it. */
	write32(&m, 0, INITIAL, 10);
	write32(&m, 0, INITIAL, 0);
	assert_int_equal(clock_next(&m.clock), CLOCK_NEVER);
	assert_int_equal(read32(&m, 0, CURRENT), 0);

	/* Every divisor, and a change of it on the way. */
	static const u8 codes[] = {0xb, 0, 1, 2, 3, 8, 9, 0xa};

	for (u32 i = 0; i < ARRAY_COUNT(codes); i++) {
		write32(&m, 0, DIVIDE, codes[i]);
		assert_int_equal(read32(&m, 0, DIVIDE), codes[i]);
		write32(&m, 0, INITIAL, 100);
		assert_int_equal(clock_next(&m.clock) - m.now, (u64)100 << i);
	}
	advance(&m, 64 * 100); /* of 128 * 100 */
	write32(&m, 0, DIVIDE, 0xb);
	assert_in_range(clock_next(&m.clock) - m.now, 50, 51);

	/* Masked: time passes, nothing comes. */
	vapic_take(apic, 0xec);
	write32(&m, 0, EOI, 0);
	write32(&m, 0, LVT_TIMER, 0x100ec);
	advance(&m, 100);
	assert_int_equal(vapic_pending(apic), -1);
	write32(&m, 0, INITIAL, UINT32_MAX);
	write32(&m, 0, DIVIDE, 0xa);
	assert_int_equal(read32(&m, 0, CURRENT), UINT32_MAX);
}

static void test_periodic(void **state)
{
	struct machine m;
	struct vapic *apic = &m.apics[0];

	(void)state;
	machine_init(&m);
	enable(&m, 0);
	write32(&m, 0, LVT_TIMER, 0x200ec);
	write32(&m, 0, DIVIDE, 0xb);
	write32(&m, 0, INITIAL, 1000);
	for (u32 i = 1; i < 5; i++) {
		advance(&m, 1000);
		assert_int_equal(vapic_pending(apic), 0xec);
		vapic_take(apic, 0xec);
		write32(&m, 0, EOI, 0);
		assert_int_equal(vapic_pending(apic), -1);
		assert_int_equal(clock_next(&m.clock), 1000 * (i + 1));
	}
	/* Late by many periods: one interrupt, and the phase stays. */
	m.now += 5500;
	assert_in_range(read32(&m, 0, CURRENT), 500, 501);
	advance(&m, 0);
	assert_in_range(read32(&m, 0, CURRENT), 500, 501);
	assert_int_equal(clock_next(&m.clock), 10000);
	vapic_take(apic, 0xec);
	write32(&m, 0, EOI, 0);
	advance(&m, 0);
	assert_int_equal(vapic_pending(apic), -1);

	/* To one-shot while it runs: it ends with this period. */
	write32(&m, 0, LVT_TIMER, 0xec);
	advance(&m, 500);
	assert_int_equal(vapic_pending(apic), 0xec);
	assert_int_equal(clock_next(&m.clock), CLOCK_NEVER);

	/* The shortest period ends in any case. */
	write32(&m, 0, LVT_TIMER, 0x200ec);
	write32(&m, 0, INITIAL, 1);
	advance(&m, 1000000);
	assert_int_equal(clock_next(&m.clock), m.now + 1);
}

static void test_tsc_deadline(void **state)
{
	struct machine m;
	struct vapic *apic = &m.apics[0];

	(void)state;
	machine_init(&m);
	enable(&m, 0);
	/* In another mode the MSR is dead. */
	vapic_write_deadline(apic, 5000);
	assert_int_equal(vapic_read_deadline(apic), 0);
	assert_int_equal(clock_next(&m.clock), CLOCK_NEVER);

	write32(&m, 0, INITIAL, 1000);
	write32(&m, 0, LVT_TIMER, 0x400ec);
	assert_int_equal(clock_next(&m.clock), CLOCK_NEVER);
	write32(&m, 0, INITIAL, 1000);
	assert_int_equal(read32(&m, 0, INITIAL), 0);
	assert_int_equal(read32(&m, 0, CURRENT), 0);

	vapic_write_deadline(apic, 5000);
	assert_int_equal(vapic_read_deadline(apic), 5000);
	assert_int_equal(clock_next(&m.clock), 2500);
	assert_int_equal(read32(&m, 0, CURRENT), 0);
	advance(&m, 2499);
	assert_int_equal(vapic_pending(apic), -1);
	advance(&m, 1);
	assert_int_equal(vapic_pending(apic), 0xec);
	assert_int_equal(vapic_read_deadline(apic), 0);
	vapic_take(apic, 0xec);
	write32(&m, 0, EOI, 0);

	/* In the past: at once. Zero disarms. Beyond the end of time: never. */
	vapic_write_deadline(apic, 1);
	assert_int_equal(vapic_pending(apic), 0xec);
	assert_int_equal(vapic_read_deadline(apic), 0);
	vapic_take(apic, 0xec);
	write32(&m, 0, EOI, 0);
	vapic_write_deadline(apic, 100000);
	vapic_write_deadline(apic, 0);
	assert_int_equal(clock_next(&m.clock), CLOCK_NEVER);
	vapic_write_deadline(apic, UINT64_MAX);
	assert_int_equal(vapic_read_deadline(apic), UINT64_MAX);
	assert_int_equal(clock_next(&m.clock), CLOCK_NEVER);

	vapic_write_deadline(apic, 100000);
	vapic_tsc_moved(apic);
	assert_int_equal(clock_next(&m.clock), 50000);
	/* Another one's is by that one's counter. */
	enable(&m, 1);
	write32(&m, 1, LVT_TIMER, 0x400ec);
	vapic_write_deadline(&m.apics[1], 100000);
	assert_int_equal(clock_next(&m.clock), 49900);
	vapic_write_deadline(&m.apics[1], 0);
	/* Leaving the mode disarms. */
	write32(&m, 0, LVT_TIMER, 0xec);
	assert_int_equal(vapic_read_deadline(apic), 0);
	assert_int_equal(clock_next(&m.clock), CLOCK_NEVER);
	/* The reserved mode stands still. */
	write32(&m, 0, LVT_TIMER, 0x600ec);
	write32(&m, 0, INITIAL, 1000);
	assert_int_equal(clock_next(&m.clock), CLOCK_NEVER);
}

#define MASK_ALL (((u32)1 << CPUS) - 1)

static void test_shorthands(void **state)
{
	struct machine m;

	(void)state;
	machine_init(&m);
	enable_all(&m, false);
	write32(&m, 2, ICR, 0x40071);
	assert_int_equal(takers(&m, 0x71), 1u << 2);
	write32(&m, 2, ICR, 0x80072);
	assert_int_equal(takers(&m, 0x72), MASK_ALL);
	write32(&m, 2, ICR, 0xc0073);
	assert_int_equal(takers(&m, 0x73), MASK_ALL & ~(1u << 2));
	assert_int_equal(read32(&m, 2, ICR), 0xc0073);

	/* INIT, start-up and NMI to the others. */
	write32(&m, 0, ICR, 0xc4500);
	write32(&m, 0, ICR, 0xc8500); /* de-assertion: nothing */
	write32(&m, 0, ICR, 0xc4609);
	assert_int_equal(m.startup_vector, 9);
	write32(&m, 0, ICR, 0xc4400);
	for (u32 i = 0; i < CPUS; i++) {
		assert_int_equal(m.inits[i], i != 0);
		assert_int_equal(m.startups[i], i != 0);
		assert_int_equal(m.nmis[i], i != 0);
		assert_int_equal(read32(&m, i, SVR), i ? 0xff : 0x1ff);
	}
	/* Not valid: NMI to self, lowest priority to all, SMI. */
	write32(&m, 0, ICR, 0x44400);
	write32(&m, 0, ICR, 0x84171);
	write32(&m, 0, ICR, 0x04200);
	assert_int_equal(m.nmis[0], 0);
	assert_int_equal(takers(&m, 0x71), 0);
	write32(&m, 0, ICR_HIGH, 0x03ffffff);
	assert_int_equal(read32(&m, 0, ICR_HIGH), 0x03000000);
	write32(&m, 0, ICR, 0x04400);
	assert_int_equal(m.nmis[3], 2);
}

static void test_destinations(void **state)
{
	struct machine m;

	(void)state;
	machine_init(&m);
	enable_all(&m, false);
	/* Physical. */
	write32(&m, 0, ICR_HIGH, 5u << 24);
	write32(&m, 0, ICR, 0x4050);
	assert_int_equal(takers(&m, 0x50), 1u << 5);
	write32(&m, 0, ICR_HIGH, 0xffu << 24);
	write32(&m, 0, ICR, 0x4050);
	assert_int_equal(takers(&m, 0x50), MASK_ALL);
	write32(&m, 0, ICR_HIGH, 99u << 24);
	write32(&m, 0, ICR, 0x4050);
	assert_int_equal(takers(&m, 0x50), 0);

	/* Flat: CPUs 0 to 7 have a bit each, the others none. */
	for (u32 i = 0; i < 8; i++)
		write32(&m, i, LDR, 1u << (24 + i) | 0x1234);
	assert_int_equal(read32(&m, 1, LDR), 0x02000000);
	write32(&m, 0, ICR_HIGH, 0x8cu << 24);
	write32(&m, 0, ICR, 0x4851);
	assert_int_equal(takers(&m, 0x51), 0x8c);
	assert_true(vapic_accept_message(&m.bus, 0x41, true, VAPIC_FIXED, 0x52, false));
	assert_int_equal(takers(&m, 0x52), 0x41);
	assert_true(vapic_accept_message(&m.bus, 0xff, true, VAPIC_FIXED, 0x52, false));
	assert_int_equal(takers(&m, 0x52), MASK_ALL);

	/* Cluster: four CPUs each. */
	for (u32 i = 0; i < CPUS; i++) {
		write32(&m, i, DFR, 0x0fffffff);
		write32(&m, i, LDR, (i / 4) << 28 | 1u << (24 + i % 4));
	}
	assert_true(vapic_accept_message(&m.bus, 0x26, true, VAPIC_FIXED, 0x53, false));
	assert_int_equal(takers(&m, 0x53), 0x600);
	assert_true(vapic_accept_message(&m.bus, 0xf1, true, VAPIC_FIXED, 0x53, false));
	assert_int_equal(takers(&m, 0x53), 0x11111);
	assert_false(vapic_accept_message(&m.bus, 0x71, true, VAPIC_FIXED, 0x53, false));
	assert_false(vapic_has_destination(&m.bus, 0x71, true, VAPIC_FIXED));
	assert_true(vapic_has_destination(&m.bus, 0x41, true, VAPIC_FIXED));
	assert_true(m.changes > 0);
	/* A message without a processor that could take it. */
	assert_false(vapic_accept_message(&m.bus, 0, false, VAPIC_EXTINT, 0, false));
	assert_false(vapic_accept_message(&m.bus, 0, false, VAPIC_SMI, 0, false));
}

static void test_lowest_priority(void **state)
{
	struct machine m;

	(void)state;
	machine_init(&m);
	enable_all(&m, false);
	for (u32 i = 0; i < CPUS; i++)
		write32(&m, i, TPR, 0x40);
	write32(&m, 6, TPR, 0x10);
	write32(&m, 7, TPR, 0);
	write32(&m, 7, SVR, 0xff);
	assert_true(vapic_accept_message(&m.bus, 0xff, false, VAPIC_LOWEST, 0x54, false));
	assert_int_equal(takers(&m, 0x54), 1u << 6);
	write32(&m, 6, ICR, 0xc0955);
	assert_int_equal(takers(&m, 0x55), 1);
	for (u32 i = 0; i < CPUS; i++)
		write32(&m, i, SVR, 0xff);
	assert_false(vapic_accept_message(&m.bus, 0xff, false, VAPIC_LOWEST, 0x54, false));
}

static void test_base(void **state)
{
	struct machine m;
	struct vapic *apic = &m.apics[0];
	u64 value;

	(void)state;
	machine_init(&m);
	enable(&m, 0);
	assert_int_equal(vapic_write_base(apic, 0xfed00800), IO_FAULT);
	assert_int_equal(vapic_write_base(apic, BASE_X | 1), IO_FAULT);
	assert_int_equal(vapic_write_base(apic, BASE_X | BIT(40)), IO_FAULT);
	assert_int_equal(vapic_write_base(apic, VAPIC_BASE | 0x400), IO_FAULT);
	assert_int_equal(vapic_write_base(apic, BASE_X), IO_DONE);
	assert_int_equal(rdmsr(&m, 0, ID, &value), IO_FAULT);

	message(&m, 0x66);
	assert_int_equal(vapic_write_base(apic, BASE_X2 | 0x100), IO_DONE);
	assert_int_equal(vapic_read_base(apic), BASE_X2 | 0x100);
	assert_int_equal(vapic_pending(apic), 0x66);
	assert_int_equal(msr(&m, 0, SVR), 0x1ff);
	assert_int_equal(read32(&m, 0, SVR), 0xffffffff);
	write32(&m, 0, SVR, 0);
	assert_int_equal(msr(&m, 0, SVR), 0x1ff);
	assert_int_equal(vapic_write_base(apic, BASE_X), IO_FAULT);
	/* INIT leaves the mode. */
	assert_true(vapic_accept_message(&m.bus, 0, false, VAPIC_INIT, 0, false));
	assert_int_equal(vapic_read_base(apic), BASE_X2 | 0x100);
	assert_int_equal(vapic_pending(apic), -1);

	assert_int_equal(wrmsr(&m, 0, SVR, 0x1ff), IO_DONE);
	assert_int_equal(wrmsr(&m, 0, INITIAL, 1000), IO_DONE);
	message(&m, 0x66);
	assert_int_equal(vapic_write_base(apic, BASE_OFF), IO_DONE);
	assert_int_equal(vapic_pending(apic), -1);
	assert_int_equal(clock_next(&m.clock), CLOCK_NEVER);
	assert_int_equal(rdmsr(&m, 0, ID, &value), IO_FAULT);
	assert_int_equal(read32(&m, 0, ID), 0xffffffff);
	assert_false(vapic_accept_message(&m.bus, 0, false, VAPIC_NMI, 0, false));
	assert_false(vapic_accept_message(&m.bus, 0xff, false, VAPIC_FIXED, 0x66, false));
	assert_int_equal(vapic_write_base(apic, BASE_X2), IO_FAULT);
	assert_int_equal(vapic_write_base(apic, BASE_X), IO_DONE);
	assert_int_equal(read32(&m, 0, SVR), 0xff);
}

static void test_x2apic(void **state)
{
	struct machine m;
	u64 value;

	(void)state;
	machine_init(&m);
	enable_all(&m, true);
	assert_int_equal(msr(&m, 18, ID), 18);
	assert_int_equal(msr(&m, 18, LDR), 0x10004);
	assert_int_equal(msr(&m, 18, VERSION), 0x50014);

	/* Every register that isn't one, read and written. */
	for (u32 offset = 0; offset < 0x1000; offset += 16) {
		bool readable = offset == ID || offset == VERSION || offset == TPR ||
				offset == PPR || offset == LDR || offset == SVR ||
				(offset >= ISR && offset <= ESR) || offset == ICR ||
				(offset >= LVT_TIMER && offset <= CURRENT) || offset == DIVIDE;
		bool writable = offset == TPR || offset == EOI || offset == SVR || offset == ESR ||
				(offset >= LVT_TIMER && offset <= INITIAL) || offset == DIVIDE;

		assert_int_equal(rdmsr(&m, 0, offset, &value), readable ? IO_DONE : IO_FAULT);
		if (offset != ICR && offset != SELF_IPI)
			assert_int_equal(wrmsr(&m, 0, offset, 0), writable ? IO_DONE : IO_FAULT);
	}
	assert_int_equal(wrmsr(&m, 0, SVR, 0x1ff), IO_DONE);

	/* Reserved bits. */
	static const struct {
		u32 offset;
		u64 good, bad;
	} values[] = {
		{TPR, 0, 0x100},
		{EOI, 0, 1},
		{ESR, 0, 1},
		{SVR, 0x1ff, 0x1000},
		{LVT_TIMER, 0x710ff, 0x100},
		{LVT_TIMER + 0x10, 0x107ff, 0x2000},
		{LVT_LINT0, 0x1e7ff, 0x20000},
		{LVT_ERROR, 0x100ff, 0x100},
		{INITIAL, 0, BIT(32)},
		{DIVIDE, 0xb, 4},
		{ICR, 0x41040, 0x42040},
		{ICR, 0x40040, BIT(20)},
		{ICR, 0x40040, BIT(16)},
		{SELF_IPI, 0xff, 0x100},
	};

	for (u32 i = 0; i < ARRAY_COUNT(values); i++) {
		assert_int_equal(wrmsr(&m, 0, values[i].offset, values[i].bad), IO_FAULT);
		assert_int_equal(wrmsr(&m, 0, values[i].offset, values[i].good), IO_DONE);
		assert_int_equal(wrmsr(&m, 0, values[i].offset, BIT(63) | values[i].good),
				 values[i].offset == ICR ? IO_DONE : IO_FAULT);
	}
	assert_int_equal(takers(&m, 0xff), 1);
	assert_int_equal(takers(&m, 0x40), 1);
	assert_int_equal(vapic_pending(&m.apics[0]), -1);
	assert_int_equal(wrmsr(&m, 4, SELF_IPI, 0x45), IO_DONE);
	assert_int_equal(takers(&m, 0x45), 1u << 4);
	assert_int_equal(wrmsr(&m, 0, SELF_IPI, 0x0f), IO_DONE);
	assert_int_equal(wrmsr(&m, 0, ESR, 0), IO_DONE);
	assert_int_equal(msr(&m, 0, ESR), 0x20);

	/* Destinations: physical, logical (cluster 1, CPUs 17 and 18), everyone. */
	assert_int_equal(wrmsr(&m, 0, ICR, (u64)17 << 32 | 0x46), IO_DONE);
	assert_int_equal(msr(&m, 0, ICR), (u64)17 << 32 | 0x46);
	assert_int_equal(takers(&m, 0x46), 1u << 17);
	assert_int_equal(wrmsr(&m, 0, ICR, (u64)0x10006 << 32 | 0x846), IO_DONE);
	assert_int_equal(takers(&m, 0x46), 3u << 17);
	assert_int_equal(wrmsr(&m, 0, ICR, (u64)0xffffffff << 32 | 0x46), IO_DONE);
	assert_int_equal(takers(&m, 0x46), MASK_ALL);
	assert_int_equal(wrmsr(&m, 0, ICR, (u64)0xff << 32 | 0x46), IO_DONE);
	assert_int_equal(takers(&m, 0x46), 0);
	/* From outside, eight bits: cluster 0, and everyone. */
	assert_true(vapic_accept_message(&m.bus, 0x81, true, VAPIC_FIXED, 0x47, false));
	assert_int_equal(takers(&m, 0x47), 0x81);
	assert_true(vapic_accept_message(&m.bus, 0xff, false, VAPIC_FIXED, 0x47, false));
	assert_int_equal(takers(&m, 0x47), MASK_ALL);
}

/* ---- state ---- */

static u32 random_seed;

static u32 random32(void)
{
	random_seed ^= random_seed << 13;
	random_seed ^= random_seed >> 17;
	random_seed ^= random_seed << 5;
	return random_seed;
}

static void drive(struct machine *m, u32 seed, u32 steps)
{
	random_seed = seed;
	for (u32 i = 0; i < steps; i++) {
		u32 cpu = random32() % 3;
		u32 offset = random32() % 0x42 * 16;
		u32 value = random32() & (random32() % 2 ? 0x7ffff : 0xffffffff);
		struct vapic *apic = &m->apics[cpu];
		u64 ignored;

		switch (random32() % 10) {
		case 0:
		case 1:
			write32(m, cpu, offset, value);
			(void)wrmsr(m, cpu, offset, value);
			break;
		case 2:
			read32(m, cpu, offset);
			(void)rdmsr(m, cpu, offset, &ignored);
			break;
		case 3:
			write32(m, cpu, SVR, value | 0x100);
			(void)wrmsr(m, cpu, SVR, (value & 0xff) | 0x100);
			break;
		case 4:
			if (apic->mode == VAPIC_DISABLED)
				(void)vapic_write_base(apic, BASE_X);
			else if (value % 8 == 0)
				(void)vapic_write_base(apic, VAPIC_BASE | (value & 0xc00));
			break;
		case 5:
			if (vapic_pending(apic) >= 0)
				vapic_take(apic, (u8)vapic_pending(apic));
			break;
		case 6:
			write32(m, cpu, EOI, 0);
			(void)wrmsr(m, cpu, EOI, 0);
			break;
		case 7:
			vapic_write_deadline(apic, 2 * m->now + value % 65536);
			break;
		case 8:
			vapic_accept_message(&m->bus, value % 4 ? cpu : 0xff, value & 16, 0,
					     (u8)(value >> 8), value & 32);
			break;
		case 9:
			advance(m, value % 100000);
			break;
		}
	}
}

static size_t machine_save(struct machine *m, u8 *buf)
{
	size_t size = state_packed_size(&vapic_state);

	for (u32 i = 0; i < CPUS; i++)
		state_pack(&vapic_state, &m->apics[i], buf + i * size);
	return size * CPUS;
}

static void machine_load(struct machine *m, u64 now, const u8 *buf)
{
	size_t size = state_packed_size(&vapic_state);
	const char *why = NULL;

	m->now = now;
	for (u32 i = 0; i < CPUS; i++) {
		struct vapic scratch;

		memset(&scratch, 0xa5, sizeof(scratch));
		state_unpack(&vapic_state, &scratch, buf + i * size);
		assert_int_equal(vapic_state.check(&scratch, &why), HV_OK);
		state_unpack(&vapic_state, &m->apics[i], buf + i * size);
		vapic_state.after_load(&m->apics[i]);
	}
}

static void test_save_load(void **state)
{
	static struct machine a, b;
	static u8 saved[CPUS * 512], again[CPUS * 512];
	size_t size;

	(void)state;
	for (u32 seed = 1; seed <= 200; seed++) {
		machine_init(&a);
		drive(&a, seed, 400);
		size = machine_save(&a, saved);
		assert_true(size <= sizeof(saved));
		machine_init(&b);
		drive(&b, ~seed, 50);
		machine_load(&b, a.now, saved);
		machine_save(&b, again);
		assert_memory_equal(saved, again, size);
		for (u32 i = 0; i < CPUS; i++)
			assert_int_equal(vapic_pending(&a.apics[i]), vapic_pending(&b.apics[i]));
		assert_int_equal(clock_next(&a.clock), clock_next(&b.clock));

		/* Both go on alike, and not as they were. */
		drive(&a, seed + 1000, 400);
		drive(&b, seed + 1000, 400);
		machine_save(&a, again);
		assert_memory_not_equal(saved, again, size);
		machine_save(&b, saved);
		assert_memory_equal(saved, again, size);
	}
}

static void refused(void (*spoil)(struct vapic *))
{
	static struct machine m;
	const char *why = NULL;

	machine_init(&m);
	enable(&m, 0);
	assert_int_equal(vapic_state.check(&m.apics[0], &why), HV_OK);
	spoil(&m.apics[0]);
	assert_int_equal(vapic_state.check(&m.apics[0], &why), HV_ECORRUPT);
	assert_non_null(why);
}

#define SPOILERS(X)                                                                                \
	X(mode, apic->mode = 3)                                                                    \
	X(off, apic->mode = VAPIC_DISABLED)                                                        \
	X(irr, apic->irr[0] = 1u << 15)                                                            \
	X(isr, apic->isr[0] = 1)                                                                   \
	X(tmr, apic->tmr[0] = 2)                                                                   \
	X(tpr, apic->tpr = 0x100)                                                                  \
	X(svr, apic->svr = 0x1000)                                                                 \
	X(ldr, apic->ldr = 1)                                                                      \
	X(dfr, apic->dfr = 0)                                                                      \
	X(esr, apic->esr = 0x100)                                                                  \
	X(icr, apic->icr = 0x1000)                                                                 \
	X(icr_high, apic->icr = BIT(32))                                                           \
	X(lvt, apic->lvt[VAPIC_LVT_ERROR] = 0x700)                                                 \
	X(lvt_masked, (apic->svr = 0xff, apic->lvt[0] = 0x40))                                     \
	X(divide, apic->divide = 4)                                                                \
	X(running, apic->timer_deadline = 5)                                                       \
	X(deadline, apic->tsc_deadline = 5)                                                        \
	X(running_tsc, (apic->lvt[0] = 0x50040, apic->timer_deadline = 5))                         \
	X(count_tsc, (apic->lvt[0] = 0x50040, apic->initial_count = 5))                            \
	X(running_reserved, (apic->lvt[0] = 0x70040, apic->timer_deadline = 5))

#define SPOILER(name, action)                                                                      \
	static void spoil_##name(struct vapic *apic)                                               \
	{                                                                                          \
		action;                                                                            \
	}
SPOILERS(SPOILER)

static void test_hostile_state(void **state)
{
	(void)state;
#define REFUSED(name, action) refused(spoil_##name);
	SPOILERS(REFUSED)
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_on),        cmocka_unit_test(test_mmio_access),
		cmocka_unit_test(test_errors),          cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_level),           cmocka_unit_test(test_one_shot),
		cmocka_unit_test(test_periodic),        cmocka_unit_test(test_tsc_deadline),
		cmocka_unit_test(test_shorthands),      cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_lowest_priority), cmocka_unit_test(test_base),
		cmocka_unit_test(test_x2apic),          cmocka_unit_test(test_save_load),
		cmocka_unit_test(test_hostile_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
