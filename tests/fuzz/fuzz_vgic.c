/* SPDX-License-Identifier: MIT */
/*
 * The virtual GIC. Half of the inputs drive it against the model in tests/unit, within what a guest
 * is defined to do. The others are a sequence of steps of 12 bytes: any access to any register, any
 * SGI, line or end of interrupt, any state loaded that passes the check. What must always hold of
 * list registers then still does, and what is saved passes its own check and comes back the same.
 */
#include <string.h>

#include "vgic_model.h"

struct step {
	u8 kind;
	u8 cpu;
	u16 offset;
	u64 value;
} __attribute__((packed));

struct input {
	const u8 *data;
	size_t length;
};

static struct vgic_machine m;

static u32 next(void *ctx, bool *end)
{
	struct input *input = ctx;
	u32 value = 0;

	for (u32 i = 0; i < 2; i++) {
		if (!input->length) {
			*end = true;
			break;
		}
		value = value << 8 | *input->data++;
		input->length--;
	}
	return value;
}

/* A watcher that answers with an interrupt, as VMGenID does. */
static void on_watch(void *ctx)
{
	struct irq_line line = vgic_line(m.gic, *(const u32 *)ctx);

	if (irq_enabled(&line))
		irq_pulse(&line);
}

static void watch_all(void)
{
	static u32 numbers[VGIC_LINES];

	for (u32 i = 0; i < 2; i++)
		for (u32 intid = VGIC_SPI_BASE; intid < VGIC_LINES; intid += 9) {
			struct irq_line line = vgic_line(&m.gics[i], intid);

			numbers[intid] = intid;
			irq_watch(&line, on_watch, &numbers[intid]);
		}
}

static void leave_all(void)
{
	for (u32 i = 0; i < m.gic->cpu_count; i++)
		if (m.cpus[i].inside)
			vgic_machine_leave(&m, i);
}

static void save_load_save(void)
{
	u8 saved[VGIC_SAVED_MAX], again[VGIC_SAVED_MAX];
	const struct vgic *old = m.gic;

	leave_all();
	vgic_machine_save(&m, saved);
	VGIC_CHECK(!vgic_machine_load(&m, saved));
	vgic_machine_save(&m, again);
	VGIC_CHECK(!memcmp(saved, again, vgic_machine_saved_size(&m)));
	for (u32 i = 0; i < old->cpu_count; i++) {
		const struct vgic_cpu *a = &old->cpus[i], *b = &m.gic->cpus[i];

		VGIC_CHECK(vgic_pending(old, i) == vgic_pending(m.gic, i));
		VGIC_CHECK(!memcmp(a->ready, b->ready, sizeof(a->ready)));
		VGIC_CHECK(!memcmp(a->busy, b->busy, sizeof(a->busy)));
		VGIC_CHECK(a->ready_words == b->ready_words && a->busy_words == b->busy_words);
		VGIC_CHECK(a->notes.told == b->notes.told);
	}
	VGIC_CHECK(!memcmp(old->target, m.gic->target, sizeof(old->target)));
}

/* A state that the input made up: what passes the check must be safe to run with. */
static void load_hostile(const u8 *data, size_t length)
{
	size_t size = vgic_machine_saved_size(&m);
	u8 saved[VGIC_SAVED_MAX];

	leave_all();
	vgic_machine_save(&m, saved);
	for (size_t i = 0; i + 2 < length && i < 24; i += 3)
		saved[((u32)data[i] << 8 | data[i + 1]) % size] ^= data[i + 2];
	(void)vgic_machine_load(&m, saved);
}

static void end_one(u32 cpu, u32 which)
{
	struct vgic_hw_cpu *hw = &m.cpus[cpu];
	const struct vgic_lr *lr = &hw->lrs[which % VGIC_LR_MAX];

	if (which % VGIC_LR_MAX < hw->count)
		vgic_machine_eoi(&m, cpu, lr->intid, lr->source);
	else
		vgic_machine_eoi(&m, cpu, VGIC_LINES, 0);
}

static void set_line(u32 cpu, u32 intid, bool level)
{
	struct irq_line line = intid < VGIC_SPI_BASE ? vgic_private_line(m.gic, cpu, intid)
						     : vgic_line(m.gic, intid);

	irq_set(&line, level);
}

/* With what the bus passes on. */
static void access_io(const struct step *step, u32 cpu, io_handler handler, u64 offset, u8 size)
{
	struct io_access access = {
		.offset = ALIGN_DOWN(offset, size),
		.value = step->kind & 0x80 ? step->value & io_size_mask(size) : 0,
		.vcpu = cpu,
		.size = size,
		.is_write = step->kind & 0x80,
	};

	VGIC_CHECK(handler(m.gic, &access) == IO_DONE);
}

static void set_cpu_if(u32 cpu, u64 value)
{
	struct vgic_cpu_if *cpu_if = vgic_cpu_if(m.gic, cpu);

	cpu_if->pmr = value & 0xff;
	cpu_if->bpr0 = value >> 8 & 7;
	cpu_if->bpr1 = value >> 12 & 7;
	cpu_if->group0 = value >> 16 & 1;
	cpu_if->group1 = value >> 17 & 1;
	cpu_if->cbpr = value >> 18 & 1;
	cpu_if->eoimode = value >> 19 & 1;
}

static void play(const struct step *step, const u8 *rest, size_t rest_length)
{
	u32 cpu = step->cpu % m.gic->cpu_count, source;
	u8 size = (u8)(1u << (step->cpu >> 4 & 3));

	switch (step->kind & 15) {
	case 0:
	case 1:
		access_io(step, cpu, vgic_dist_io, step->offset & 0xffc, 4);
		break;
	case 2:
		access_io(step, cpu, vgic_dist_io, step->offset, size);
		break;
	case 3:
		if (m.gic->version == VGIC_V3)
			access_io(step, cpu, vgic_redist_io,
				  cpu * VGIC_REDIST_SIZE + 0x10000 + (step->offset & 0xffc), 4);
		break;
	case 4:
		if (m.gic->version == VGIC_V3)
			access_io(step, cpu, vgic_redist_io,
				  step->offset | (u64)(step->kind >> 4 & 7) << 16, size);
		break;
	case 5:
		set_line(cpu, step->offset % (VGIC_LINES + 8), step->value & 1);
		break;
	case 6:
		if (m.gic->version == VGIC_V3)
			vgic_send_sgi1(m.gic, cpu, step->value);
		break;
	case 7:
		if (m.gic->version == VGIC_V3)
			vgic_send_sgi0(m.gic, cpu, step->value);
		break;
	case 8:
		if (m.cpus[cpu].inside)
			(void)vgic_machine_ack(&m, cpu, &source);
		break;
	case 9:
		if (m.cpus[cpu].inside)
			end_one(cpu, step->offset);
		break;
	case 10:
		if (m.cpus[cpu].inside)
			vgic_machine_leave(&m, cpu);
		else
			vgic_machine_enter(&m, cpu);
		break;
	case 11:
		vgic_deactivate(m.gic, cpu, step->offset % 1024);
		break;
	case 12:
		set_cpu_if(cpu, step->value);
		break;
	case 13:
		m.cpus[cpu].timer_high = step->value & 1;
		vgic_machine_settle(&m);
		break;
	case 14:
		if (step->kind & 0x80)
			vgic_reset(m.gic);
		else
			save_load_save();
		break;
	case 15:
		load_hostile(rest, rest_length);
		break;
	}
}

static void play_all(enum vgic_version version, u32 cpu_count, u32 lr_count, struct input *input)
{
	struct step step;

	vgic_machine_init(&m, version, cpu_count, lr_count, true);
	watch_all();
	for (u32 n = 0; n < 4096 && input->length >= sizeof(step); n++) {
		memcpy(&step, input->data, sizeof(step));
		input->data += sizeof(step);
		input->length -= sizeof(step);
		play(&step, input->data, input->length);
	}
	save_load_save();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t length);

int LLVMFuzzerTestOneInput(const u8 *data, size_t length)
{
	struct vgic_model_counts counts = {0};
	struct input input = {data, length};
	enum vgic_version version;
	u32 cpu_count, lr_count;
	bool modelled;

	if (length < 2)
		return 0;
	version = data[0] & 1 ? VGIC_V3 : VGIC_V2;
	modelled = data[0] & 2;
	cpu_count = 1 + (data[0] >> 2) % VGIC_CPU_MAX;
	lr_count = 2 + data[1] % (VGIC_LR_MAX - 1);
	input.data += 2;
	input.length -= 2;
	if (modelled)
		vgic_model_run(version, cpu_count, lr_count, next, &input, 4096, &counts);
	else
		play_all(version, cpu_count, lr_count, &input);
	return 0;
}
