/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "vgic_machine.h"

/* ---- the owner's side ---- */

static void on_kick(void *ctx, u32 cpu)
{
	struct vgic_machine *m = ctx;

	VGIC_CHECK(cpu < m->gic->cpu_count);
	m->cpus[cpu].kicked = true;
	m->cpus[cpu].kicks++;
}

static void on_deactivate(void *ctx, u32 cpu, u32 hw_intid)
{
	struct vgic_machine *m = ctx;

	VGIC_CHECK(cpu < m->gic->cpu_count && hw_intid == VGIC_HW_TIMER);
	m->cpus[cpu].timer_active = false;
}

/* Also of one that runs: it has folded, and filled again. */
static void on_fold(void *ctx, u32 cpu)
{
	struct vgic_machine *m = ctx;

	VGIC_CHECK(cpu < m->gic->cpu_count);
	if (!m->folds || !m->cpus[cpu].inside)
		return;
	m->cpus[cpu].folds++;
	vgic_machine_leave(m, cpu);
	vgic_machine_enter(m, cpu);
}

static const struct vgic_ops ops = {.kick = on_kick, .deactivate = on_deactivate, .fold = on_fold};

void vgic_machine_init(struct vgic_machine *m, enum vgic_version version, u32 cpu_count,
		       u32 lr_count, bool hw_timer)
{
	memset(m, 0, sizeof(*m));
	m->gic = &m->gics[0];
	m->lr_count = lr_count;
	for (u32 i = 0; i < 2; i++) {
		vgic_init(&m->gics[i], version, cpu_count, &ops, m);
		if (hw_timer)
			vgic_set_hw(&m->gics[i], VGIC_PPI_VTIMER, VGIC_HW_TIMER);
	}
	/* The other one has a state loaded into it as it is. */
	vgic_reset(m->gic);
}

/* IHI 0069, "ICH_MISR_EL2": entry not present, end of interrupt, underflow, no pending. */
static bool maintenance(const struct vgic_machine *m, u32 cpu)
{
	const struct vgic_hw_cpu *hw = &m->cpus[cpu];
	u32 valid = 0, pending = 0;

	if (hw->eoi_count)
		return true;
	for (u32 i = 0; i < hw->count; i++) {
		const struct vgic_lr *lr = &hw->lrs[i];

		if (!lr->pending && !lr->active && lr->eoi_notify)
			return true;
		valid += lr->pending || lr->active;
		pending += lr->pending && !lr->active;
	}
	return hw->more && (hw->eoimode ? !pending : valid <= 1);
}

static void check_filled(const struct vgic_machine *m, u32 cpu)
{
	const struct vgic_hw_cpu *hw = &m->cpus[cpu];
	u32 seen[VGIC_WORDS] = {0};

	VGIC_CHECK(hw->count <= m->lr_count);
	for (u32 i = 0; i < hw->count; i++) {
		const struct vgic_lr *lr = &hw->lrs[i];
		u32 bit = (u32)1 << lr->intid % 32;

		VGIC_CHECK(lr->intid < VGIC_LINES);
		VGIC_CHECK(!(seen[lr->intid / 32] & bit));
		seen[lr->intid / 32] |= bit;
		VGIC_CHECK(lr->pending || lr->active);
		VGIC_CHECK(!(lr->priority & 7));
		VGIC_CHECK(!lr->hw_intid || (!lr->eoi_notify && !(lr->pending && lr->active)));
		VGIC_CHECK(lr->source < m->gic->cpu_count);
		if (lr->intid >= VGIC_SGIS || m->gic->version == VGIC_V3)
			VGIC_CHECK(!lr->source);
		else
			VGIC_CHECK(!(lr->pending && lr->active));
	}
	/* No SPI in the list registers of two. */
	for (u32 other = 0; other < m->gic->cpu_count; other++)
		for (u32 i = 0; other != cpu && i < m->cpus[other].count; i++) {
			u32 intid = m->cpus[other].lrs[i].intid;

			VGIC_CHECK(intid < VGIC_SPI_BASE || !(seen[intid / 32] >> intid % 32 & 1));
		}
	/* An exit at once, without an instruction of the guest, would never end. */
	VGIC_CHECK(!maintenance(m, cpu));
}

void vgic_machine_enter(struct vgic_machine *m, u32 cpu)
{
	struct vgic_hw_cpu *hw = &m->cpus[cpu];

	VGIC_CHECK(!hw->inside);
	hw->kicked = false;
	hw->count = vgic_fill(m->gic, cpu, hw->lrs, m->lr_count, &hw->more);
	hw->eoimode = vgic_cpu_if(m->gic, cpu)->eoimode;
	hw->inside = true;
	check_filled(m, cpu);
}

void vgic_machine_leave(struct vgic_machine *m, u32 cpu)
{
	struct vgic_hw_cpu *hw = &m->cpus[cpu];

	VGIC_CHECK(hw->inside);
	hw->inside = false;
	vgic_end_missing(m->gic, cpu, hw->eoi_count);
	hw->eoi_count = 0;
	vgic_fold(m->gic, cpu, hw->lrs, hw->count);
	hw->count = 0;
}

bool vgic_machine_called(const struct vgic_machine *m, u32 cpu)
{
	const struct vgic_hw_cpu *hw = &m->cpus[cpu];

	return hw->inside && (hw->kicked || maintenance(m, cpu));
}

void vgic_machine_timers(struct vgic_machine *m)
{
	if (!m->gic->hw)
		return;
	for (u32 cpu = 0; cpu < m->gic->cpu_count; cpu++) {
		struct vgic_hw_cpu *hw = &m->cpus[cpu];
		struct irq_line line = vgic_private_line(m->gic, cpu, VGIC_PPI_VTIMER);

		if (!hw->timer_high || hw->timer_active)
			continue;
		hw->timer_active = true;
		hw->timer_fired = true;
		irq_set(&line, true);
	}
}

void vgic_machine_settle(struct vgic_machine *m)
{
	bool again = true;

	for (u32 round = 0; again; round++) {
		VGIC_CHECK(round < 100);
		again = false;
		vgic_machine_timers(m);
		for (u32 cpu = 0; cpu < m->gic->cpu_count; cpu++) {
			if (!vgic_machine_called(m, cpu))
				continue;
			vgic_machine_leave(m, cpu);
			vgic_machine_enter(m, cpu);
			again = true;
		}
	}
}

/* ---- the guest's side ---- */

/* The bits of a priority that count for preemption by @lr. */
static u32 preemption_mask(const struct vgic_cpu_if *cpu_if, const struct vgic_lr *lr)
{
	/* Binary point b leaves bits 7:b+1 of Group 0, and bits 7:b of Group 1. */
	return 0xffu << (!lr->group1 || cpu_if->cbpr ? cpu_if->bpr0 + 1 : cpu_if->bpr1);
}

static u32 lowest_bit(u32 value)
{
	return value ? (u32)__builtin_ctz(value) : 32;
}

u32 vgic_machine_ack(struct vgic_machine *m, u32 cpu, u32 *source)
{
	struct vgic_hw_cpu *hw = &m->cpus[cpu];
	struct vgic_cpu_if *cpu_if = vgic_cpu_if(m->gic, cpu);
	struct vgic_lr *best = NULL;
	u32 running = lowest_bit(cpu_if->ap0r[0] | cpu_if->ap1r[0]);
	u32 mask, level;

	VGIC_CHECK(hw->inside);
	for (u32 i = 0; i < hw->count; i++) {
		struct vgic_lr *lr = &hw->lrs[i];

		if (!lr->pending || lr->active || !(lr->group1 ? cpu_if->group1 : cpu_if->group0))
			continue;
		if (!best || lr->priority < best->priority ||
		    (lr->priority == best->priority && lr->intid < best->intid))
			best = lr;
	}
	if (!best || best->priority >= cpu_if->pmr)
		return VGIC_SPURIOUS;
	mask = preemption_mask(cpu_if, best);
	if (running < 32 && (best->priority & mask) >= (8 * running & mask))
		return VGIC_SPURIOUS;
	level = (best->priority & mask) >> 3;
	if (best->group1 && m->gic->version == VGIC_V3)
		cpu_if->ap1r[0] |= (u32)1 << level;
	else
		cpu_if->ap0r[0] |= (u32)1 << level;
	best->pending = false;
	best->active = true;
	*source = best->source;
	return best->intid;
}

static void drop(struct vgic_cpu_if *cpu_if)
{
	u32 level = lowest_bit(cpu_if->ap0r[0] | cpu_if->ap1r[0]);

	if (level == 32)
		return;
	cpu_if->ap0r[0] &= ~((u32)1 << level);
	cpu_if->ap1r[0] &= ~((u32)1 << level);
}

void vgic_machine_eoi(struct vgic_machine *m, u32 cpu, u32 intid, u32 source)
{
	struct vgic_hw_cpu *hw = &m->cpus[cpu];
	struct vgic_cpu_if *cpu_if = vgic_cpu_if(m->gic, cpu);

	VGIC_CHECK(hw->inside);
	drop(cpu_if);
	if (cpu_if->eoimode)
		return;
	for (u32 i = 0; i < hw->count; i++) {
		struct vgic_lr *lr = &hw->lrs[i];

		if (lr->intid != intid || !lr->active)
			continue;
		/* GICv2 wants to be told which of the SGIs it was. IHI 0048 section 4.4.5. */
		VGIC_CHECK(lr->source == source);
		lr->active = false;
		if (lr->hw_intid)
			hw->timer_active = false;
		return;
	}
	hw->eoi_count++;
}

void vgic_machine_dir(struct vgic_machine *m, u32 cpu, u32 intid)
{
	VGIC_CHECK(vgic_cpu_if(m->gic, cpu)->eoimode);
	vgic_machine_leave(m, cpu);
	vgic_deactivate(m->gic, cpu, intid);
	vgic_machine_enter(m, cpu);
}

/* ---- registers ---- */

/* Over a bus, which says what size and alignment may be; the handler says how far it goes. */
static u64 access_io(io_handler handler, void *ctx, u32 cpu, u32 offset, u8 size, bool is_write,
		     u64 value)
{
	const struct io_region region = {
		.space = IO_MMIO, .length = MIB(2), .handler = handler, .ctx = ctx};
	struct io_access access = {
		.value = value,
		.vcpu = cpu,
		.size = size,
		.is_write = is_write,
	};
	static struct io_bus bus;

	io_bus_init(&bus);
	VGIC_CHECK(!io_register(&bus, &region));
	VGIC_CHECK(io_dispatch(&bus, IO_MMIO, offset, &access) == IO_DONE);
	return access.value;
}

u64 vgic_dist_read(struct vgic_machine *m, u32 cpu, u32 offset, u8 size)
{
	return access_io(vgic_dist_io, m->gic, cpu, offset, size, false, 0);
}

void vgic_dist_write(struct vgic_machine *m, u32 cpu, u32 offset, u8 size, u64 value)
{
	access_io(vgic_dist_io, m->gic, cpu, offset, size, true, value);
}

u64 vgic_redist_read(struct vgic_machine *m, u32 cpu, u32 offset, u8 size)
{
	return access_io(vgic_redist_io, m->gic, cpu, offset, size, false, 0);
}

void vgic_redist_write(struct vgic_machine *m, u32 cpu, u32 offset, u8 size, u64 value)
{
	access_io(vgic_redist_io, m->gic, cpu, offset, size, true, value);
}

static bool in_redist(const struct vgic_machine *m, u32 intid)
{
	return m->gic->version == VGIC_V3 && intid < VGIC_SPI_BASE;
}

static u32 irq_offset(const struct vgic_machine *m, u32 cpu, u32 bank, u32 bits, u32 intid)
{
	u32 offset = bank + intid * bits / 32 * 4;

	return in_redist(m, intid) ? cpu * (u32)VGIC_REDIST_SIZE + 0x10000 + offset : offset;
}

static u32 irq_read_whole(struct vgic_machine *m, u32 cpu, u32 bank, u32 bits, u32 intid)
{
	u32 offset = irq_offset(m, cpu, bank, bits, intid);

	return (u32)(in_redist(m, intid) ? vgic_redist_read(m, cpu, offset, 4)
					 : vgic_dist_read(m, cpu, offset, 4));
}

static u32 irq_shift(u32 bits, u32 intid)
{
	return intid * bits % 32;
}

u32 vgic_irq_read(struct vgic_machine *m, u32 cpu, u32 bank, u32 bits, u32 intid)
{
	return irq_read_whole(m, cpu, bank, bits, intid) >> irq_shift(bits, intid) &
	       (((u32)1 << bits) - 1);
}

void vgic_irq_write(struct vgic_machine *m, u32 cpu, u32 bank, u32 bits, u32 intid, u32 value,
		    bool keep)
{
	u32 offset = irq_offset(m, cpu, bank, bits, intid), shift = irq_shift(bits, intid);
	u32 whole = keep ? irq_read_whole(m, cpu, bank, bits, intid) : 0;

	whole = (whole & ~((((u32)1 << bits) - 1) << shift)) | value << shift;
	if (in_redist(m, intid))
		vgic_redist_write(m, cpu, offset, 4, whole);
	else
		vgic_dist_write(m, cpu, offset, 4, whole);
}

/* ---- state ---- */

size_t vgic_machine_saved_size(const struct vgic_machine *m)
{
	return state_packed_size(&vgic_dist_state) +
	       m->gic->cpu_count * state_packed_size(&vgic_cpu_state);
}

void vgic_machine_save(struct vgic_machine *m, u8 *buf)
{
	VGIC_CHECK(vgic_machine_saved_size(m) <= VGIC_SAVED_MAX);
	state_pack(&vgic_dist_state, m->gic, buf);
	buf += state_packed_size(&vgic_dist_state);
	for (u32 i = 0; i < m->gic->cpu_count; i++) {
		state_pack(&vgic_cpu_state, &m->gic->cpus[i], buf);
		buf += state_packed_size(&vgic_cpu_state);
	}
}

static const char *refused(const struct state_desc *desc, const void *obj, const u8 *buf)
{
	const char *why = NULL;
	void *scratch = malloc(desc->size);
	enum hv_error err;

	VGIC_CHECK(scratch);
	memcpy(scratch, obj, desc->size);
	state_unpack(desc, scratch, buf);
	err = desc->check(scratch, &why);
	free(scratch);
	VGIC_CHECK(err == HV_OK || (err == HV_ECORRUPT && why));
	return err ? why : NULL;
}

const char *vgic_machine_load(struct vgic_machine *m, const u8 *buf)
{
	struct vgic *to = m->gic == &m->gics[0] ? &m->gics[1] : &m->gics[0];
	const u8 *cpus = buf + state_packed_size(&vgic_dist_state);
	size_t step = state_packed_size(&vgic_cpu_state);
	const char *why = refused(&vgic_dist_state, to, buf);

	for (u32 i = 0; !why && i < to->cpu_count; i++)
		why = refused(&vgic_cpu_state, &to->cpus[i], cpus + i * step);
	if (why)
		return why;
	state_unpack(&vgic_dist_state, to, buf);
	for (u32 i = 0; i < to->cpu_count; i++)
		state_unpack(&vgic_cpu_state, &to->cpus[i], cpus + i * step);
	vgic_dist_state.after_load(to);
	m->gic = to;
	return NULL;
}
