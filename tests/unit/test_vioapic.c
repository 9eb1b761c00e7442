/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <devices/vioapic.h>

#define CPUS 3u

#define SELECT 0x00u
#define WINDOW 0x10u
#define EOI    0x40u

#define LOGICAL     BIT(11)
#define STATUS      BIT(12)
#define REMOTE_IRR  BIT(14)
#define LEVEL       BIT(15)
#define MASKED      BIT(16)
#define DEST(n)     ((u64)(n) << 56)
#define DELIVERY(n) ((u64)(n) << 8)

struct machine {
	struct clock clock;
	struct vapic_bus bus;
	struct vapic apics[CPUS];
	struct vioapic ioapic;
	struct irq_line lines[VIOAPIC_PINS];
	u32 inits;
	u32 nmis;
	u32 watched;
	bool watched_enabled;
};

static u64 machine_now(void *ctx)
{
	(void)ctx;
	return 0;
}

static void on_kick(void *ctx, u32 vcpu)
{
	(void)ctx;
	(void)vcpu;
}

static void on_init(void *ctx, u32 vcpu)
{
	(void)vcpu;
	((struct machine *)ctx)->inits++;
}

static void on_startup(void *ctx, u32 vcpu, u8 vector)
{
	(void)ctx;
	(void)vcpu;
	(void)vector;
}

static void on_nmi(void *ctx, u32 vcpu)
{
	(void)vcpu;
	((struct machine *)ctx)->nmis++;
}

static void on_eoi(void *ctx, u8 vector)
{
	vioapic_eoi(&((struct machine *)ctx)->ioapic, vector);
}

static u64 deadline_ns(void *ctx, u32 vcpu, u64 tsc)
{
	(void)ctx;
	(void)vcpu;
	return tsc;
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
	for (u32 i = 0; i < CPUS; i++)
		vapic_init(&m->apics[i], i, &m->bus, &m->clock, 1000000000, &ops, m);
	vioapic_init(&m->ioapic, &m->bus);
	for (u32 pin = 0; pin < VIOAPIC_PINS; pin++)
		m->lines[pin] = vioapic_line(&m->ioapic, pin);
}

static void write32(struct machine *m, u32 offset, u32 value)
{
	struct io_access access = {.offset = offset, .value = value, .size = 4, .is_write = true};

	assert_int_equal(vioapic_mmio(&m->ioapic, &access), IO_DONE);
}

static u32 read32(struct machine *m, u32 offset)
{
	struct io_access access = {.offset = offset, .size = 4};

	assert_int_equal(vioapic_mmio(&m->ioapic, &access), IO_DONE);
	return (u32)access.value;
}

static u32 reg_read(struct machine *m, u32 reg)
{
	write32(m, SELECT, reg);
	return read32(m, WINDOW);
}

static void entry_write(struct machine *m, u32 pin, u64 entry)
{
	write32(m, SELECT, 0x11 + 2 * pin);
	write32(m, WINDOW, (u32)(entry >> 32));
	write32(m, SELECT, 0x10 + 2 * pin);
	write32(m, WINDOW, (u32)entry);
}

static u64 entry_read(struct machine *m, u32 pin)
{
	return (u64)reg_read(m, 0x11 + 2 * pin) << 32 | reg_read(m, 0x10 + 2 * pin);
}

static void apic_write(struct machine *m, u32 cpu, u32 offset, u32 value)
{
	struct io_access access = {
		.offset = offset, .value = value, .vcpu = cpu, .size = 4, .is_write = true};

	assert_int_equal(vapic_mmio(&m->bus, &access), IO_DONE);
}

static void enable(struct machine *m, u32 cpu)
{
	apic_write(m, cpu, 0xf0, 0x1ff);
}

/* Takes what is pending for @cpu, and ends it if @end. -1: nothing. */
static int take(struct machine *m, u32 cpu, bool end)
{
	int vector = vapic_pending(&m->apics[cpu]);

	if (vector >= 0)
		vapic_take(&m->apics[cpu], (u8)vector);
	if (vector >= 0 && end)
		apic_write(m, cpu, 0xb0, 0);
	return vector;
}

/* ---- tests ---- */

static void test_registers(void **state)
{
	struct machine m;
	struct io_access access;

	(void)state;
	machine_init(&m);
	assert_int_equal(reg_read(&m, 1), 0x00170020);
	assert_int_equal(reg_read(&m, 0), 0);
	write32(&m, SELECT, 0);
	write32(&m, WINDOW, 0xffffffff);
	assert_int_equal(reg_read(&m, 0), 0x0f000000);
	assert_int_equal(reg_read(&m, 2), 0x0f000000);
	assert_int_equal(reg_read(&m, 3), 0);
	assert_int_equal(reg_read(&m, 0x40), 0);
	write32(&m, WINDOW, 0xffffffff);
	write32(&m, SELECT, 1);
	write32(&m, WINDOW, 0xffffffff);
	assert_int_equal(reg_read(&m, 1), 0x00170020);
	for (u32 pin = 0; pin < VIOAPIC_PINS; pin++)
		assert_true(entry_read(&m, pin) == MASKED);
	entry_write(&m, 23, UINT64_MAX);
	assert_true(entry_read(&m, 23) == (DEST(0xff) | 0x1afff));
	assert_int_equal(read32(&m, SELECT), 0x10 + 46);

	/* The index takes bytes; the window doesn't; nothing takes eight. */
	access = (struct io_access){.offset = SELECT, .size = 1, .is_write = true, .value = 1};
	vioapic_mmio(&m.ioapic, &access);
	assert_int_equal(read32(&m, WINDOW), 0x00170020);
	access = (struct io_access){.offset = WINDOW, .size = 2};
	vioapic_mmio(&m.ioapic, &access);
	assert_int_equal(access.value, 0xffff);
	access = (struct io_access){.offset = SELECT, .size = 8};
	vioapic_mmio(&m.ioapic, &access);
	assert_true(access.value == UINT64_MAX);
	assert_int_equal(read32(&m, 0x20), 0);
	assert_null(vioapic_line(&m.ioapic, VIOAPIC_PINS).chip);

	vioapic_reset(&m.ioapic);
	assert_true(entry_read(&m, 23) == MASKED);
	assert_int_equal(reg_read(&m, 0), 0);
}

static void test_edge(void **state)
{
	struct machine m;

	(void)state;
	machine_init(&m);
	enable(&m, 1);
	entry_write(&m, 4, DEST(1) | 0x44);
	irq_set(&m.lines[4], true);
	assert_int_equal(take(&m, 1, true), 0x44);
	irq_set(&m.lines[4], true);
	assert_int_equal(take(&m, 1, true), -1);
	irq_set(&m.lines[4], false);
	assert_int_equal(take(&m, 1, true), -1);
	irq_pulse(&m.lines[4]);
	assert_int_equal(take(&m, 1, true), 0x44);
	assert_false(entry_read(&m, 4) & (STATUS | REMOTE_IRR));

	/* While masked it is kept, once; and while nobody takes it. */
	entry_write(&m, 4, DEST(1) | MASKED | 0x44);
	irq_pulse(&m.lines[4]);
	irq_pulse(&m.lines[4]);
	assert_int_equal(take(&m, 1, true), -1);
	assert_true(entry_read(&m, 4) & STATUS);
	entry_write(&m, 4, DEST(1) | 0x45);
	assert_int_equal(take(&m, 1, true), 0x45);
	assert_int_equal(take(&m, 1, true), -1);

	entry_write(&m, 4, DEST(2) | 0x46);
	irq_pulse(&m.lines[4]);
	assert_true(entry_read(&m, 4) & STATUS);
	enable(&m, 2);
	assert_int_equal(take(&m, 2, true), 0x46);
	assert_false(entry_read(&m, 4) & STATUS);

	/* An edge of before the pin became level-triggered is gone. */
	entry_write(&m, 4, DEST(1) | MASKED | 0x44);
	irq_pulse(&m.lines[4]);
	entry_write(&m, 4, DEST(1) | MASKED | LEVEL | 0x44);
	entry_write(&m, 4, DEST(1) | 0x44);
	assert_int_equal(take(&m, 1, true), -1);

	/* Logical and lowest priority. */
	apic_write(&m, 1, 0xd0, 0x02000000);
	apic_write(&m, 2, 0xd0, 0x04000000);
	apic_write(&m, 1, 0x80, 0x20);
	entry_write(&m, 5, DEST(6) | LOGICAL | DELIVERY(1) | 0x55);
	irq_pulse(&m.lines[5]);
	assert_int_equal(take(&m, 1, true), -1);
	assert_int_equal(take(&m, 2, true), 0x55);
}

static void test_level(void **state)
{
	struct machine m;

	(void)state;
	machine_init(&m);
	enable(&m, 0);
	entry_write(&m, 9, LEVEL | 0x59);
	irq_set(&m.lines[9], true);
	assert_true(entry_read(&m, 9) & REMOTE_IRR);
	assert_int_equal(take(&m, 0, false), 0x59);
	irq_set(&m.lines[9], false);
	irq_set(&m.lines[9], true);
	assert_int_equal(take(&m, 0, false), -1);
	/* Still high at the EOI: again. */
	apic_write(&m, 0, 0xb0, 0);
	assert_int_equal(take(&m, 0, false), 0x59);
	irq_set(&m.lines[9], false);
	apic_write(&m, 0, 0xb0, 0);
	assert_false(entry_read(&m, 9) & REMOTE_IRR);
	assert_int_equal(take(&m, 0, false), -1);

	/* Masked: the level shows when it is unmasked, if it is there still. */
	entry_write(&m, 9, LEVEL | MASKED | 0x59);
	irq_set(&m.lines[9], true);
	irq_set(&m.lines[9], false);
	entry_write(&m, 9, LEVEL | 0x59);
	assert_int_equal(take(&m, 0, false), -1);
	entry_write(&m, 9, LEVEL | MASKED | 0x59);
	irq_set(&m.lines[9], true);
	entry_write(&m, 9, LEVEL | 0x59);
	assert_int_equal(take(&m, 0, false), 0x59);

	/* Masked in service; the EOI then brings nothing, and unmasking does. */
	entry_write(&m, 9, LEVEL | MASKED | 0x59);
	assert_true(entry_read(&m, 9) & REMOTE_IRR);
	apic_write(&m, 0, 0xb0, 0);
	assert_false(entry_read(&m, 9) & REMOTE_IRR);
	assert_int_equal(take(&m, 0, false), -1);
	entry_write(&m, 9, LEVEL | 0x59);
	assert_int_equal(take(&m, 0, false), 0x59);

	/* The EOI register, and the way of old: to edge and back. */
	write32(&m, EOI, 0x58);
	assert_true(entry_read(&m, 9) & REMOTE_IRR);
	irq_set(&m.lines[9], false);
	write32(&m, EOI, 0x59);
	assert_false(entry_read(&m, 9) & REMOTE_IRR);
	apic_write(&m, 0, 0xb0, 0);
	irq_set(&m.lines[9], true);
	assert_int_equal(take(&m, 0, true), 0x59);
	assert_true(entry_read(&m, 9) & REMOTE_IRR);
	entry_write(&m, 9, MASKED | 0x59);
	assert_false(entry_read(&m, 9) & REMOTE_IRR);
}

static void test_other_deliveries(void **state)
{
	struct machine m;

	(void)state;
	machine_init(&m);
	/* As edges even if programmed as level; an INIT doesn't lead to another. */
	entry_write(&m, 1, LEVEL | DELIVERY(VAPIC_NMI));
	irq_set(&m.lines[1], true);
	assert_int_equal(m.nmis, 1);
	assert_false(entry_read(&m, 1) & REMOTE_IRR);
	entry_write(&m, 2, LEVEL | DELIVERY(VAPIC_INIT));
	irq_set(&m.lines[2], true);
	assert_int_equal(m.inits, 1);
	/* Nobody acknowledges an external interrupt. */
	entry_write(&m, 3, DELIVERY(VAPIC_EXTINT));
	assert_false(irq_enabled(&m.lines[3]));
	irq_pulse(&m.lines[3]);
	assert_true(entry_read(&m, 3) & STATUS);
}

static void on_watch(void *ctx)
{
	struct machine *m = ctx;

	m->watched++;
	m->watched_enabled = irq_enabled(&m->lines[16]);
}

static void test_enabled(void **state)
{
	struct machine m;

	(void)state;
	machine_init(&m);
	irq_watch(&m.lines[16], on_watch, &m);
	assert_false(irq_enabled(&m.lines[16]));
	entry_write(&m, 16, DEST(1) | 0x40);
	/* Not masked, but its processor's APIC is off. */
	assert_false(irq_enabled(&m.lines[16]));
	assert_int_equal(m.watched, 0);
	enable(&m, 0);
	assert_int_equal(m.watched, 0);
	enable(&m, 1);
	assert_int_equal(m.watched, 1);
	assert_true(m.watched_enabled);
	entry_write(&m, 16, DEST(1) | 0x41);
	assert_int_equal(m.watched, 1);
	write32(&m, WINDOW, (u32)MASKED | 0x41);
	assert_int_equal(m.watched, 2);
	assert_false(m.watched_enabled);
	write32(&m, WINDOW, 0x41);
	assert_int_equal(m.watched, 3);
	assert_int_equal(vapic_write_base(&m.apics[1], VAPIC_BASE), IO_DONE);
	assert_int_equal(m.watched, 4);
	assert_int_equal(vapic_write_base(&m.apics[1], VAPIC_BASE | 0x800), IO_DONE);
	enable(&m, 1);
	assert_int_equal(m.watched, 5);
	/* Logical: needs an LDR. */
	entry_write(&m, 16, DEST(2) | LOGICAL | 0x41);
	assert_false(m.watched_enabled);
	apic_write(&m, 0, 0xd0, 0x02000000);
	assert_true(m.watched_enabled);
	vioapic_reset(&m.ioapic);
	assert_false(m.watched_enabled);
	entry_write(&m, 16, DEST(0) | 0x41);
	assert_true(m.watched_enabled);
	vapic_reset(&m.apics[0]);
	assert_false(m.watched_enabled);
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
		u32 pin = random32() % 6 * 4;
		u32 value = random32();

		switch (random32() % 8) {
		case 0:
			write32(m, SELECT, value % 0x50);
			write32(m, WINDOW, random32());
			break;
		case 1:
			entry_write(m, pin, DEST(value % 4) | (value & LEVEL) | (value >> 24));
			break;
		case 2:
			write32(m, EOI, value);
			break;
		case 3:
			apic_write(m, value % CPUS, 0xf0, value & 8 ? 0x1ff : 0xff);
			break;
		case 4:
		case 5:
			irq_set(&m->lines[pin], value & 1);
			break;
		default:
			(void)take(m, value % CPUS, true);
			break;
		}
	}
}

static void apics_copy(struct machine *to, struct machine *from)
{
	u8 buf[512];

	assert_true(state_packed_size(&vapic_state) <= sizeof(buf));
	for (u32 i = 0; i < CPUS; i++) {
		state_pack(&vapic_state, &from->apics[i], buf);
		state_unpack(&vapic_state, &to->apics[i], buf);
		vapic_state.after_load(&to->apics[i]);
	}
}

static void test_save_load(void **state)
{
	static struct machine a, b;
	u8 saved[512], again[512];
	size_t size = state_packed_size(&vioapic_state);

	(void)state;
	assert_true(size <= sizeof(saved));
	for (u32 seed = 1; seed <= 200; seed++) {
		struct vioapic scratch;
		const char *why = NULL;

		machine_init(&a);
		drive(&a, seed, 400);
		state_pack(&vioapic_state, &a.ioapic, saved);
		memset(&scratch, 0xa5, sizeof(scratch));
		state_unpack(&vioapic_state, &scratch, saved);
		assert_int_equal(vioapic_state.check(&scratch, &why), HV_OK);

		machine_init(&b);
		drive(&b, ~seed, 50);
		irq_watch(&b.lines[8], on_watch, &b);
		state_unpack(&vioapic_state, &b.ioapic, saved);
		apics_copy(&b, &a);
		/* As in a machine, when all is in place. */
		vioapic_state.after_load(&b.ioapic);
		/* Nobody is told of what the guest didn't do. */
		assert_int_equal(b.watched, 0);
		for (u32 pin = 0; pin < VIOAPIC_PINS; pin++)
			assert_int_equal(irq_enabled(&a.lines[pin]), irq_enabled(&b.lines[pin]));
		assert_int_equal(a.ioapic.enabled, b.ioapic.enabled);
		state_pack(&vioapic_state, &b.ioapic, again);
		assert_memory_equal(saved, again, size);

		drive(&a, seed + 1000, 400);
		drive(&b, seed + 1000, 400);
		state_pack(&vioapic_state, &a.ioapic, again);
		assert_memory_not_equal(saved, again, size);
		state_pack(&vioapic_state, &b.ioapic, saved);
		assert_memory_equal(saved, again, size);
	}
}

static void test_hostile_state(void **state)
{
	struct machine m;
	struct vioapic bad;
	const char *why;

	(void)state;
	machine_init(&m);
	assert_int_equal(vioapic_state.check(&m.ioapic, &why), HV_OK);
#define REFUSED(action)                                                                            \
	do {                                                                                       \
		bad = m.ioapic;                                                                    \
		why = NULL;                                                                        \
		action;                                                                            \
		assert_int_equal(vioapic_state.check(&bad, &why), HV_ECORRUPT);                    \
		assert_non_null(why);                                                              \
	} while (0)
	REFUSED(bad.level = 1u << 24);
	REFUSED(bad.edges = 1u << 31);
	REFUSED(bad.select = 0x100);
	REFUSED(bad.id = 1);
	REFUSED(bad.redirection[23] = BIT(17));
	REFUSED(bad.redirection[23] = STATUS);
	REFUSED(bad.redirection[0] = REMOTE_IRR);
	REFUSED(bad.redirection[0] = LEVEL | REMOTE_IRR | DELIVERY(VAPIC_NMI));
	REFUSED((bad.redirection[0] = LEVEL, bad.edges = 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),     cmocka_unit_test(test_edge),
		cmocka_unit_test(test_level),         cmocka_unit_test(test_other_deliveries),
		cmocka_unit_test(test_enabled),       cmocka_unit_test(test_save_load),
		cmocka_unit_test(test_hostile_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
