/* SPDX-License-Identifier: MIT */
/*
 * Local APICs and I/O APIC together: the input is a sequence of steps of 12 bytes, each an access,
 * a change of a line or of time, or an acknowledgement. At the end, and at steps that ask for it,
 * the state is saved, must pass its own check, and must come back the same from a second machine.
 */
#include <devices/vapic.h>
#include <devices/vioapic.h>
#include <stdlib.h>
#include <string.h>

#define CPUS 3u

struct machine {
	u64 now;
	struct clock clock;
	struct vapic_bus bus;
	struct vapic apics[CPUS];
	struct vioapic ioapic;
};

struct step {
	u8 kind;
	u8 vcpu;
	u16 offset;
	u64 value;
} __attribute__((packed));

static u64 machine_now(void *ctx)
{
	return ((struct machine *)ctx)->now;
}

static void on_event(void *ctx, u32 vcpu)
{
	(void)ctx;
	if (vcpu >= CPUS)
		abort();
}

static void on_startup(void *ctx, u32 vcpu, u8 vector)
{
	(void)vector;
	on_event(ctx, vcpu);
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
	.kick = on_event,
	.init = on_event,
	.startup = on_startup,
	.nmi = on_event,
	.eoi = on_eoi,
	.deadline_ns = deadline_ns,
};

/* A watcher that answers with an interrupt, as VMGenID does. */
static void on_watch(void *ctx)
{
	struct machine *m = ctx;
	struct irq_line line = vioapic_line(&m->ioapic, 16);

	if (irq_enabled(&line))
		irq_pulse(&line);
}

static void machine_init(struct machine *m)
{
	struct irq_line line;

	memset(m, 0, sizeof(*m));
	m->clock.now = machine_now;
	m->clock.ctx = m;
	for (u32 i = 0; i < CPUS; i++)
		vapic_init(&m->apics[i], i, &m->bus, &m->clock, 1000000000, &ops, m);
	vioapic_init(&m->ioapic, &m->bus);
	line = vioapic_line(&m->ioapic, 16);
	irq_watch(&line, on_watch, m);
}

static void save_load_save(const struct state_desc *desc, void *from, void *to)
{
	u8 saved[512], again[512];
	size_t size = state_packed_size(desc);
	const char *why = NULL;

	if (size > sizeof(saved))
		abort();
	state_pack(desc, from, saved);
	if (desc->check(from, &why))
		abort();
	state_unpack(desc, to, saved);
	desc->after_load(to);
	state_pack(desc, to, again);
	if (memcmp(saved, again, size))
		abort();
}

static void machine_compare(struct machine *m)
{
	static struct machine copy;

	machine_init(&copy);
	copy.now = m->now;
	for (u32 i = 0; i < CPUS; i++)
		save_load_save(&vapic_state, &m->apics[i], &copy.apics[i]);
	save_load_save(&vioapic_state, &m->ioapic, &copy.ioapic);
	for (u32 i = 0; i < CPUS; i++)
		if (vapic_pending(&m->apics[i]) != vapic_pending(&copy.apics[i]))
			abort();
	if (clock_next(&m->clock) != clock_next(&copy.clock) ||
	    m->ioapic.enabled != copy.ioapic.enabled)
		abort();
}

/* A state that the input made up: what passes the check must be safe to run with. */
static void load_hostile(struct machine *m, u32 cpu, const u8 *data, size_t length)
{
	size_t size = state_packed_size(&vapic_state);
	u8 packed[512];
	struct vapic scratch = m->apics[cpu];
	const char *why = NULL;

	state_pack(&vapic_state, &m->apics[cpu], packed);
	for (size_t i = 0; i + 1 < length && i < 16; i += 2)
		packed[data[i] % size] ^= data[i + 1];
	state_unpack(&vapic_state, &scratch, packed);
	if (vapic_state.check(&scratch, &why)) {
		if (!why)
			abort();
		return;
	}
	state_unpack(&vapic_state, &m->apics[cpu], packed);
	vapic_state.after_load(&m->apics[cpu]);
	/* It is never loaded alone, and the I/O APIC comes after it. */
	vioapic_state.after_load(&m->ioapic);
}

static void play(struct machine *m, const struct step *step, const u8 *rest, size_t rest_length)
{
	u32 cpu = step->vcpu % CPUS;
	struct vapic *apic = &m->apics[cpu];
	struct irq_line line = vioapic_line(&m->ioapic, step->offset % (VIOAPIC_PINS + 1));
	struct io_access access = {
		.offset = step->offset & 0xff0,
		.value = step->value,
		.vcpu = cpu,
		.size = 4,
		.is_write = step->kind & 0x80,
	};
	int vector;

	switch (step->kind & 15) {
	case 0:
	case 1:
		vapic_mmio(&m->bus, &access);
		break;
	case 2:
		access.offset = step->offset & 0xfff;
		access.size = (u8)(1u << (step->vcpu >> 2 & 3));
		vapic_mmio(&m->bus, &access);
		break;
	case 3:
	case 4:
		access.offset = step->offset & 0xff;
		access.size = 8;
		vapic_msr(&m->bus, &access);
		break;
	case 5:
		(void)vapic_write_base(apic, VAPIC_BASE | (step->value & 0xc00));
		break;
	case 6:
		vapic_write_deadline(apic, step->value);
		vapic_tsc_moved(apic);
		break;
	case 7:
		vapic_set_tpr(apic, (u8)step->value);
		break;
	case 8:
	case 9:
		vector = vapic_pending(apic);
		if (vector >= 0)
			vapic_take(apic, (u8)vector);
		break;
	case 10:
		/* Up to an hour, so that guest time doesn't wrap. */
		m->now += step->value % (3600 * NS_PER_SEC);
		clock_expire(&m->clock);
		break;
	case 11:
		irq_set(&line, step->value & 1);
		break;
	case 12:
		access.offset = step->offset & 0x50;
		access.size = (u8)(1u << (step->vcpu >> 2 & 3));
		vioapic_mmio(&m->ioapic, &access);
		break;
	case 13:
		/* A whole half of an entry at once, which two accesses rarely hit. */
		access.offset = 0;
		access.is_write = true;
		access.value = 0x10 + step->offset % (2 * VIOAPIC_PINS);
		vioapic_mmio(&m->ioapic, &access);
		access.offset = 0x10;
		access.value = step->value;
		vioapic_mmio(&m->ioapic, &access);
		break;
	case 14:
		machine_compare(m);
		break;
	case 15:
		if (step->kind & 0x80)
			load_hostile(m, cpu, rest, rest_length);
		else
			vapic_accept_message(&m->bus, (u32)(step->value >> 32), step->offset & 8,
					     step->offset & 7, (u8)step->value,
					     step->value & 0x100);
		break;
	}
	for (u32 i = 0; i < CPUS; i++) {
		vector = vapic_pending(&m->apics[i]);
		if (vector >= 0 && vector < 16)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t length);

int LLVMFuzzerTestOneInput(const u8 *data, size_t length)
{
	static struct machine m;
	struct step step;

	machine_init(&m);
	for (u32 n = 0; n < 4096 && length >= sizeof(step); n++) {
		memcpy(&step, data, sizeof(step));
		data += sizeof(step);
		length -= sizeof(step);
		play(&m, &step, data, length);
	}
	machine_compare(&m);
	return 0;
}
