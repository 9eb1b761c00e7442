/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "vgic_model.h"

#define NOWHERE 0xffu
#define DEPTH   40u

struct irq {
	bool enabled;
	bool group1;
	bool level;
	bool latched;
	bool active;
	bool edge;
	u8 priority;
	u8 sources; /* GICv2's SGIs */
	u8 active_source;
	u8 holder; /* SPI: where it is active */
	u64 route; /* SPI */
};

/* What the guest on a CPU knows it has to end. */
struct ack {
	u32 intid;
	u32 source;
	u32 running; /* the priority that it runs at */
};

struct guest {
	struct ack acks[DEPTH]; /* priority not dropped yet, the last is the innermost */
	u32 depth;
	u32 dropped[DEPTH]; /* INTIDs, in EOImode 1 */
	u32 dropped_count;
	bool asleep;
};

struct model {
	struct vgic_machine machine;
	enum vgic_version version;
	u32 cpu_count;
	vgic_model_source source;
	void *ctx;
	bool end;
	bool group0;
	bool group1;
	struct irq private[VGIC_CPU_MAX][VGIC_SPI_BASE];
	struct irq spis[VGIC_SPIS];
	struct guest guests[VGIC_CPU_MAX];
	struct vgic_model_counts *counts;
};

/* The interrupts that take part: enough to fill four list registers, too few to fill sixteen. */
static const u8 played[] = {0, 3, 15, 16, 20, VGIC_PPI_VTIMER, 32, 33, 40, 63, 64, 95};
#define FIRST_SPI 6

static u32 pick(struct model *m, u32 count)
{
	return m->source(m->ctx, &m->end) % count;
}

static struct irq *irq(struct model *m, u32 cpu, u32 intid)
{
	return intid < VGIC_SPI_BASE ? &m->private[cpu][intid] : &m->spis[intid - VGIC_SPI_BASE];
}

static bool has_source(const struct model *m, u32 intid)
{
	return m->version == VGIC_V2 && intid < VGIC_SGIS;
}

static bool is_hw(u32 intid)
{
	return intid == VGIC_PPI_VTIMER;
}

/* ---- the plain GIC ---- */

static u32 target(const struct model *m, const struct irq *spi)
{
	u32 i;

	if (m->version == VGIC_V2) {
		if (m->cpu_count == 1)
			return 0;
		for (i = 0; i < m->cpu_count; i++)
			if (spi->route >> i & 1)
				return i;
		return NOWHERE;
	}
	if (spi->route >> 31 & 1) {
		for (i = 0; i < m->cpu_count; i++)
			if (!m->guests[i].asleep)
				return i;
		return 0;
	}
	return spi->route < m->cpu_count ? (u32)spi->route : NOWHERE;
}

static bool pending(const struct model *m, u32 intid, const struct irq *it)
{
	if (has_source(m, intid))
		return it->sources;
	return it->latched || (it->level && !it->edge);
}

static bool ready(struct model *m, u32 cpu, u32 intid)
{
	const struct irq *it = irq(m, cpu, intid);

	return pending(m, intid, it) && !it->active && it->enabled &&
	       (it->group1 ? m->group1 : m->group0) &&
	       (intid < VGIC_SPI_BASE || target(m, it) == cpu);
}

/* How many low bits of its priority don't count for preemption. */
static u32 binary_point(struct model *m, u32 cpu, const struct irq *it)
{
	const struct vgic_cpu_if *cpu_if = vgic_cpu_if(m->machine.gic, cpu);

	return it->group1 && !cpu_if->cbpr ? cpu_if->bpr1 : cpu_if->bpr0 + 1u;
}

static bool preempts(struct model *m, u32 cpu, const struct irq *it)
{
	u32 cut = binary_point(m, cpu, it);

	for (u32 i = 0; i < m->guests[cpu].depth; i++)
		if ((u32)it->priority >> cut >= m->guests[cpu].acks[i].running >> cut)
			return false;
	return true;
}

/* What @cpu is signalled, or VGIC_SPURIOUS. */
static u32 signalled(struct model *m, u32 cpu)
{
	const struct vgic_cpu_if *cpu_if = vgic_cpu_if(m->machine.gic, cpu);
	const struct guest *guest = &m->guests[cpu];
	const struct irq *best_irq = NULL;
	u32 best = VGIC_SPURIOUS;

	if (guest->asleep)
		return VGIC_SPURIOUS;
	for (u32 intid = 0; intid < VGIC_LINES; intid++) {
		const struct irq *it = irq(m, cpu, intid);

		if (!ready(m, cpu, intid) || !(it->group1 ? cpu_if->group1 : cpu_if->group0))
			continue;
		if (!best_irq || it->priority < best_irq->priority) {
			best_irq = it;
			best = intid;
		}
	}
	if (!best_irq)
		return VGIC_SPURIOUS;
	return best_irq->priority < cpu_if->pmr && preempts(m, cpu, best_irq) ? best
									      : VGIC_SPURIOUS;
}

static bool any_ready(struct model *m, u32 cpu)
{
	for (u32 intid = 0; intid < VGIC_LINES; intid++)
		if (ready(m, cpu, intid))
			return true;
	return false;
}

static u32 lowest_source(const struct irq *it)
{
	return (u32)__builtin_ctz(it->sources);
}

static void taken(struct model *m, u32 cpu, u32 intid)
{
	struct irq *it = irq(m, cpu, intid);

	if (has_source(m, intid)) {
		it->active_source = (u8)lowest_source(it);
		it->sources &= (u8)(it->sources - 1);
	}
	it->latched = false;
	if (is_hw(intid))
		it->level = false;
	it->active = true;
	it->holder = (u8)cpu;
}

static void ended(struct model *m, u32 cpu, u32 intid)
{
	irq(m, cpu, intid)->active = false;
	irq(m, cpu, intid)->active_source = 0;
}

static void line(struct model *m, u32 cpu, u32 intid, bool level)
{
	struct irq *it = irq(m, cpu, intid);
	struct irq_line chip = intid < VGIC_SPI_BASE ? vgic_private_line(m->machine.gic, cpu, intid)
						     : vgic_line(m->machine.gic, intid);

	if (level && !it->level && it->edge)
		it->latched = true;
	it->level = level;
	irq_set(&chip, level);
}

/* ---- the guests ---- */

static void settle(struct model *m)
{
	vgic_machine_settle(&m->machine);
	for (u32 cpu = 0; cpu < m->cpu_count; cpu++) {
		if (m->machine.cpus[cpu].timer_fired)
			irq(m, cpu, VGIC_PPI_VTIMER)->level = true;
		m->machine.cpus[cpu].timer_fired = false;
	}
}

static void enter(struct model *m, u32 cpu)
{
	if (!m->machine.cpus[cpu].inside)
		vgic_machine_enter(&m->machine, cpu);
}

static void leave(struct model *m, u32 cpu)
{
	if (m->machine.cpus[cpu].inside)
		vgic_machine_leave(&m->machine, cpu);
}

static void leave_all(struct model *m)
{
	for (u32 i = 0; i < m->cpu_count; i++)
		leave(m, i);
}

static void ack(struct model *m, u32 cpu)
{
	struct guest *guest = &m->guests[cpu];
	u32 expected = signalled(m, cpu), source = 0, intid;
	struct ack *to = &guest->acks[guest->depth];

	enter(m, cpu);
	intid = vgic_machine_ack(&m->machine, cpu, &source);
	VGIC_CHECK(intid == expected);
	if (intid == VGIC_SPURIOUS)
		return;
	VGIC_CHECK(guest->depth < DEPTH);
	m->counts->acks++;
	m->counts->nested += guest->depth != 0;
	to->intid = intid;
	to->source = source;
	to->running =
		irq(m, cpu, intid)->priority & ~(u32)0 << binary_point(m, cpu, irq(m, cpu, intid));
	taken(m, cpu, intid);
	VGIC_CHECK(source == irq(m, cpu, intid)->active_source);
	guest->depth++;
}

static void eoi(struct model *m, u32 cpu)
{
	struct guest *guest = &m->guests[cpu];
	const struct ack *last;

	if (!guest->depth)
		return;
	last = &guest->acks[--guest->depth];
	enter(m, cpu);
	vgic_machine_eoi(&m->machine, cpu, last->intid, last->source);
	if (m->machine.cpus[cpu].eoi_count) {
		/* Sixteen list registers are enough for all. */
		VGIC_CHECK(m->machine.lr_count < VGIC_LR_MAX);
		m->counts->missing++;
	}
	if (!vgic_cpu_if(m->machine.gic, cpu)->eoimode) {
		ended(m, cpu, last->intid);
		return;
	}
	VGIC_CHECK(guest->dropped_count < DEPTH);
	guest->dropped[guest->dropped_count++] = last->intid;
}

static void forget_dropped(struct guest *guest, u32 i)
{
	guest->dropped[i] = guest->dropped[--guest->dropped_count];
}

static void dir(struct model *m, u32 cpu)
{
	struct guest *guest = &m->guests[cpu];
	u32 i, intid, by;

	if (!guest->dropped_count)
		return;
	i = pick(m, guest->dropped_count);
	intid = guest->dropped[i];
	/* An SPI may be ended by another CPU than the one that took it. */
	by = intid < VGIC_SPI_BASE ? cpu : pick(m, m->cpu_count);
	if (!vgic_cpu_if(m->machine.gic, by)->eoimode)
		by = cpu;
	forget_dropped(guest, i);
	enter(m, by);
	ended(m, cpu, intid);
	vgic_machine_dir(&m->machine, by, intid);
}

/* The guest still has to end @intid itself, so that no other end of it can come in between. */
static bool is_acked(const struct model *m, u32 cpu, u32 intid)
{
	for (u32 i = 0; i < m->cpu_count; i++)
		for (u32 k = 0; (intid >= VGIC_SPI_BASE || i == cpu) && k < m->guests[i].depth; k++)
			if (m->guests[i].acks[k].intid == intid)
				return true;
	return false;
}

static void set_active(struct model *m, u32 cpu, u32 intid, bool active)
{
	struct irq *it = irq(m, cpu, intid);

	if (is_acked(m, cpu, intid))
		return;
	/*
	 * Which of two that it hasn't in list registers a guest has ended is a guess, and it goes
	 * wrong for those that nobody has acknowledged.
	 */
	if (active && m->machine.lr_count < VGIC_LR_MAX)
		return;
	if (active) {
		if (!it->active && intid >= VGIC_SPI_BASE)
			it->holder = (u8)(target(m, it) == NOWHERE ? 0 : target(m, it));
		it->active = true;
	} else {
		ended(m, cpu, intid);
		for (u32 i = 0; i < m->cpu_count; i++)
			for (u32 k = m->guests[i].dropped_count; k-- > 0;)
				if (m->guests[i].dropped[k] == intid &&
				    (intid >= VGIC_SPI_BASE || i == cpu))
					forget_dropped(&m->guests[i], k);
	}
	vgic_irq_write(&m->machine, cpu, active ? 0x300 : 0x380, 1, intid, 1, false);
}

static void set_route(struct model *m, u32 cpu, u32 intid)
{
	struct irq *it = irq(m, cpu, intid);
	/* One more than there are, so that some go nowhere. */
	u32 to = pick(m, m->cpu_count + 2);

	if (intid < VGIC_SPI_BASE)
		return;
	if (m->version == VGIC_V2) {
		it->route = m->cpu_count == 1 ? 0 : pick(m, 256) & (BIT(m->cpu_count) - 1);
		vgic_dist_write(&m->machine, cpu, 0x800 + intid, 1, it->route);
		return;
	}
	it->route = to > m->cpu_count ? BIT(31) : to;
	vgic_dist_write(&m->machine, cpu, 0x6000 + 8 * intid, 8, it->route);
}

static void send_sgi(struct model *m, u32 cpu, u32 sgi)
{
	u32 mode = pick(m, 4), targets = pick(m, 256);
	bool group0_only = pick(m, 4) == 0;
	u64 value;

	if (m->version == VGIC_V2) {
		vgic_dist_write(&m->machine, cpu, 0xf00, 4, mode << 24 | targets << 16 | sgi);
		if (mode)
			targets = mode == 1 ? ~(1u << cpu) : mode == 2 ? 1u << cpu : 0;
		for (u32 i = 0; i < m->cpu_count; i++)
			if (targets >> i & 1)
				irq(m, i, sgi)->sources |= (u8)(1u << cpu);
		return;
	}
	value = (u64)sgi << 24 | targets | (u64)(mode == 1) << 40 | (u64)(mode == 2) << 16;
	if (group0_only)
		vgic_send_sgi0(m->machine.gic, cpu, value);
	else
		vgic_send_sgi1(m->machine.gic, cpu, value);
	if (mode)
		targets = mode == 1 ? ~(1u << cpu) : mode == 2 ? 0 : targets;
	for (u32 i = 0; i < m->cpu_count; i++)
		if (targets >> i & 1 && !(group0_only && irq(m, i, sgi)->group1))
			irq(m, i, sgi)->latched = true;
}

static void set_pending(struct model *m, u32 cpu, u32 intid, bool set)
{
	struct irq *it = irq(m, cpu, intid);
	u32 source = pick(m, m->cpu_count);

	/* That this one pends again is only seen when its CPU next leaves the guest. */
	if (is_hw(intid) && it->active)
		return;
	if (!has_source(m, intid)) {
		it->latched = set;
		vgic_irq_write(&m->machine, cpu, set ? 0x200 : 0x280, 1, intid, 1, false);
		return;
	}
	/* These two have no effect. */
	vgic_irq_write(&m->machine, cpu, set ? 0x200 : 0x280, 1, intid, 1, false);
	if (set)
		it->sources |= (u8)(1u << source);
	else
		it->sources &= (u8) ~(1u << source);
	vgic_dist_write(&m->machine, cpu, (set ? 0xf20 : 0xf10) + intid, 1, 1u << source);
}

static void set_config(struct model *m, u32 cpu, u32 intid)
{
	bool edge = pick(m, 2);

	if (is_hw(intid))
		return;
	if (intid >= VGIC_SGIS)
		irq(m, cpu, intid)->edge = edge;
	vgic_irq_write(&m->machine, cpu, 0xc00, 2, intid, edge ? 2 : 0, true);
}

static void set_ctlr(struct model *m, u32 cpu)
{
	u32 value = pick(m, 4) ? 3 : pick(m, 4);

	m->group0 = value & 1;
	m->group1 = value & 2;
	vgic_dist_write(&m->machine, cpu, 0, 4, value);
}

/* The CPU interface, which the hardware lets the guest change without an exit. */
static void set_cpu_if(struct model *m, u32 cpu)
{
	struct vgic_cpu_if *cpu_if = vgic_cpu_if(m->machine.gic, cpu);
	struct guest *guest = &m->guests[cpu];
	u32 value = pick(m, 256);

	switch (pick(m, 8)) {
	case 0:
		cpu_if->pmr = value & 0xf8;
		break;
	case 1:
	case 2:
	case 3:
		cpu_if->pmr = 0xf8;
		break;
	case 4:
		if (guest->depth)
			break;
		cpu_if->bpr0 = value & 8 ? 2 : value & 7;
		cpu_if->bpr1 = value & 16 ? 3 : value >> 5 & 7;
		cpu_if->cbpr = !pick(m, 4);
		break;
	case 5:
		/* Seen by the next fill: the owner is told of it, if that matters. */
		leave(m, cpu);
		cpu_if->group0 = value & 7 ? 1 : 0;
		cpu_if->group1 = value & 0x38 ? 1 : 0;
		enter(m, cpu);
		break;
	case 6:
		if (guest->depth || guest->dropped_count)
			break;
		leave(m, cpu);
		cpu_if->eoimode = value & 1;
		enter(m, cpu);
		break;
	case 7:
		if (m->version != VGIC_V3)
			break;
		leave(m, cpu);
		guest->asleep = !(value & 15);
		vgic_redist_write(&m->machine, cpu, cpu * (u32)VGIC_REDIST_SIZE + 0x14, 4,
				  guest->asleep ? 2 : 0);
		enter(m, cpu);
		break;
	}
}

static void timer(struct model *m, u32 cpu)
{
	struct vgic_hw_cpu *hw = &m->machine.cpus[cpu];
	struct irq *it = irq(m, cpu, VGIC_PPI_VTIMER);

	hw->timer_high = !hw->timer_high;
	/* The owner may see that it fell before the guest took it, and take all of it back. */
	if (!hw->timer_high && it->level && pick(m, 2)) {
		line(m, cpu, VGIC_PPI_VTIMER, false);
		hw->timer_active = false;
	}
}

/* ---- comparison ---- */

static void compare_irq(struct model *m, u32 cpu, u32 intid)
{
	const struct irq *it = irq(m, cpu, intid);
	struct vgic_machine *machine = &m->machine;

	VGIC_CHECK(vgic_irq_read(machine, cpu, 0x080, 1, intid) == it->group1);
	VGIC_CHECK(vgic_irq_read(machine, cpu, 0x100, 1, intid) == it->enabled);
	VGIC_CHECK(vgic_irq_read(machine, cpu, 0x180, 1, intid) == it->enabled);
	VGIC_CHECK(vgic_irq_read(machine, cpu, 0x200, 1, intid) == pending(m, intid, it));
	VGIC_CHECK(vgic_irq_read(machine, cpu, 0x280, 1, intid) == pending(m, intid, it));
	VGIC_CHECK(vgic_irq_read(machine, cpu, 0x300, 1, intid) == it->active);
	VGIC_CHECK(vgic_irq_read(machine, cpu, 0x380, 1, intid) == it->active);
	VGIC_CHECK(vgic_irq_read(machine, cpu, 0x400, 8, intid) == it->priority);
	VGIC_CHECK(vgic_irq_read(machine, cpu, 0xc00, 2, intid) == (it->edge ? 2 : 0));
	if (has_source(m, intid)) {
		VGIC_CHECK(vgic_irq_read(machine, cpu, 0xf10, 8, intid) == it->sources);
		VGIC_CHECK(vgic_irq_read(machine, cpu, 0xf20, 8, intid) == it->sources);
	}
	if (intid < VGIC_SPI_BASE)
		return;
	if (m->version == VGIC_V2)
		VGIC_CHECK(vgic_irq_read(machine, cpu, 0x800, 8, intid) == it->route);
	else
		VGIC_CHECK(vgic_dist_read(machine, cpu, 0x6000 + 8 * intid, 8) == it->route);

	struct irq_line chip = vgic_line(machine->gic, intid);

	VGIC_CHECK(irq_enabled(&chip) == (it->enabled && (it->group1 ? m->group1 : m->group0) &&
					  target(m, it) != NOWHERE));
}

/* Any state is reached without interrupts given out. */
static void compare(struct model *m)
{
	leave_all(m);
	for (u32 cpu = 0; cpu < m->cpu_count; cpu++) {
		bool wakes = signalled(m, cpu) != VGIC_SPURIOUS ||
			     (m->guests[cpu].asleep && any_ready(m, cpu));

		for (u32 intid = 0; intid < VGIC_SPI_BASE; intid++)
			compare_irq(m, cpu, intid);
		VGIC_CHECK(vgic_pending(m->machine.gic, cpu) == wakes);
		m->counts->wakes += wakes;
		/* Nothing stays active that would keep the timer silent for ever. */
		if (m->machine.cpus[cpu].timer_active)
			VGIC_CHECK(irq(m, cpu, VGIC_PPI_VTIMER)->level ||
				   irq(m, cpu, VGIC_PPI_VTIMER)->active);
	}
	for (u32 intid = VGIC_SPI_BASE; intid < VGIC_LINES; intid++)
		compare_irq(m, pick(m, m->cpu_count), intid);
}

static void save_and_load(struct model *m)
{
	u8 saved[VGIC_SAVED_MAX], again[VGIC_SAVED_MAX];

	leave_all(m);
	vgic_machine_save(&m->machine, saved);
	VGIC_CHECK(!vgic_machine_load(&m->machine, saved));
	vgic_machine_save(&m->machine, again);
	VGIC_CHECK(!memcmp(saved, again, vgic_machine_saved_size(&m->machine)));
	m->counts->loads++;
}

/* ---- the run ---- */

/* What the guest on @cpu does by an exit, or devices do. */
static void change(struct model *m, u32 cpu)
{
	u32 intid = played[pick(m, ARRAY_COUNT(played))];
	/* GICv2's private interrupts are the accessing CPU's own. */
	u32 of = m->version == VGIC_V2 ? cpu : pick(m, m->cpu_count);
	struct irq *it = irq(m, of, intid);
	u32 priority = pick(m, 32) * 8;

	switch (pick(m, 24)) {
	default:
		if (intid >= VGIC_SGIS && !is_hw(intid))
			line(m, of, intid, !it->level);
		break;
	case 0:
	case 1:
	case 2:
		send_sgi(m, cpu, played[pick(m, 3)]);
		break;
	case 3:
	case 4:
		timer(m, of);
		break;
	case 5:
	case 6:
	case 7:
		it->enabled = true;
		vgic_irq_write(&m->machine, of, 0x100, 1, intid, 1, false);
		break;
	case 8:
		it->enabled = false;
		vgic_irq_write(&m->machine, of, 0x180, 1, intid, 1, false);
		break;
	case 9:
		set_pending(m, of, intid, pick(m, 2));
		break;
	case 10:
		set_active(m, of, intid, pick(m, 4) == 0);
		break;
	case 11:
		/* What it means to change that of an active one is left to the implementation. */
		if (it->active)
			break;
		it->priority = (u8)priority;
		vgic_irq_write(&m->machine, of, 0x400, 8, intid, priority | 5, true);
		break;
	case 12:
		it->group1 = pick(m, 2);
		vgic_irq_write(&m->machine, of, 0x080, 1, intid, it->group1, true);
		break;
	case 13:
		set_config(m, of, intid);
		break;
	case 14:
		set_route(m, cpu, intid);
		break;
	case 15:
		if (!pick(m, 8))
			set_ctlr(m, cpu);
		break;
	}
}

static void step(struct model *m)
{
	u32 cpu = pick(m, m->cpu_count), what = pick(m, 128);

	if (what < 36) {
		ack(m, cpu);
	} else if (what < 58) {
		eoi(m, cpu);
	} else if (what < 76) {
		dir(m, cpu);
	} else if (what < 120) {
		leave(m, cpu);
		change(m, cpu);
		settle(m);
		enter(m, cpu);
	} else if (what < 125) {
		set_cpu_if(m, cpu);
	} else if (what < 127) {
		compare(m);
	} else {
		save_and_load(m);
	}
	settle(m);
}

static void start(struct model *m)
{
	for (u32 cpu = 0; cpu < m->cpu_count; cpu++) {
		struct vgic_cpu_if *cpu_if = vgic_cpu_if(m->machine.gic, cpu);

		for (u32 i = 0; i < VGIC_SGIS; i++)
			m->private[cpu][i].edge = true;
		cpu_if->pmr = 0xf8;
		cpu_if->group0 = 1;
		cpu_if->group1 = 1;
	}
	for (u32 i = 0; i < ARRAY_COUNT(played); i++)
		for (u32 cpu = 0; cpu < m->cpu_count; cpu++) {
			irq(m, cpu, played[i])->enabled = true;
			vgic_irq_write(&m->machine, cpu, 0x100, 1, played[i], 1, false);
		}
	for (u32 i = FIRST_SPI; i < ARRAY_COUNT(played); i++)
		set_route(m, 0, played[i]);
	m->group0 = true;
	m->group1 = true;
	vgic_dist_write(&m->machine, 0, 0, 4, 3);
}

void vgic_model_run(enum vgic_version version, u32 cpu_count, u32 lr_count,
		    vgic_model_source source, void *ctx, u32 steps,
		    struct vgic_model_counts *counts)
{
	static struct model m;

	memset(&m, 0, sizeof(m));
	m.version = version;
	m.cpu_count = cpu_count;
	m.source = source;
	m.ctx = ctx;
	m.counts = counts;
	vgic_machine_init(&m.machine, version, cpu_count, lr_count, true);
	start(&m);
	while (steps-- && !m.end)
		step(&m);
	compare(&m);
	save_and_load(&m);
}
