/* SPDX-License-Identifier: MIT */
#include "vgic_core.h"

#include <string.h>

/* Smallest binary points with 32 levels of preemption. IHI 0069, "ICC_BPR0_EL1", "ICC_BPR1_EL1". */
#define BPR0_RESET 2
#define BPR1_RESET 3

/* ---- what is derived ---- */

/* Those of the groups that the distributor forwards. */
static inline u32 forwarded(const struct vgic *gic, const struct vgic_irqs *irqs)
{
	u32 bits = 0;

	if (gic->ctlr & VGIC_CTLR_GROUP0)
		bits |= ~irqs->group1;
	if (gic->ctlr & VGIC_CTLR_GROUP1)
		bits |= irqs->group1;
	return bits;
}

/*
 * Those that another virtual CPU has in its list registers: they were routed there, and may have
 * been taken there already.
 */
static inline u32 elsewhere(struct vgic *gic, const struct vgic_cpu *vcpu, u32 word)
{
	return vgic_notes(gic, vcpu->index, word)->given & ~vcpu->given[word];
}

/* Those that @vcpu should be told of, unless they are active. */
static inline u32 due(struct vgic *gic, const struct vgic_cpu *vcpu, u32 word)
{
	const struct vgic_irqs *irqs = vgic_irqs(gic, vcpu->index, word);

	return vgic_pending_bits(irqs) & irqs->enabled & forwarded(gic, irqs) & vcpu->routed[word] &
	       ~elsewhere(gic, vcpu, word);
}

static inline void summary_set(u32 *words, u32 word, u32 bits)
{
	*words = (*words & ~((u32)1 << word)) | (u32)(bits != 0) << word;
}

/* Works out ready and busy anew, and returns which bits have come up in one of them. */
static inline u32 refresh(struct vgic *gic, struct vgic_cpu *vcpu, u32 word)
{
	u32 active = vgic_irqs(gic, vcpu->index, word)->active;
	u32 ready = due(gic, vcpu, word) & ~active;
	u32 busy = active & vcpu->held[word] & ~elsewhere(gic, vcpu, word);
	u32 risen = (ready & ~vcpu->ready[word]) | (busy & ~vcpu->busy[word]);

	vcpu->ready[word] = ready;
	vcpu->busy[word] = busy;
	summary_set(&vcpu->ready_words, word, ready);
	summary_set(&vcpu->busy_words, word, busy);
	return risen;
}

static inline void refresh_and_kick(struct vgic *gic, struct vgic_cpu *vcpu, u32 word, u32 bits)
{
	u32 risen = refresh(gic, vcpu, word);

	/* One that waits may have become more urgent than those in list registers. */
	if (risen | ((vcpu->given[word] | vcpu->ready[word]) & bits))
		gic->ops->kick(gic->ctx, vcpu->index);
}

static u32 reaching(const struct vgic *gic, u32 word)
{
	u32 bits = 0;

	if (!word)
		return UINT32_MAX;
	for (u32 i = 0; i < gic->cpu_count; i++)
		bits |= gic->cpus[i].routed[word];
	return bits;
}

static u32 lines_enabled(struct vgic *gic, u32 cpu, u32 word)
{
	const struct vgic_irqs *irqs = vgic_irqs(gic, cpu, word);

	return irqs->enabled & forwarded(gic, irqs) & reaching(gic, word);
}

static void tell(struct vgic *gic, u32 cpu, u32 word)
{
	struct vgic_notes *notes = vgic_notes(gic, cpu, word);
	u32 now = lines_enabled(gic, cpu, word);
	u32 changed = now ^ notes->told;

	/* Beforehand: a watcher may set lines, which leads back here. */
	notes->told = now;
	for (; changed; changed &= changed - 1) {
		u32 i = (u32)__builtin_ctz(changed);

		if (notes->watchers[i].fn)
			notes->watchers[i].fn(notes->watchers[i].ctx);
	}
}

void vgic_changed(struct vgic *gic, u32 cpu, u32 word, u32 bits)
{
	if (!word) {
		refresh_and_kick(gic, &gic->cpus[cpu], 0, bits);
		return;
	}
	for (u32 i = 0; i < gic->cpu_count; i++) {
		struct vgic_cpu *vcpu = &gic->cpus[i];

		/* Those that it concerns now, and those that it did. */
		if ((vcpu->routed[word] | vcpu->ready[word] | vcpu->held[word] | vcpu->busy[word] |
		     vcpu->given[word]) &
		    bits)
			refresh_and_kick(gic, vcpu, word, bits);
	}
}

void vgic_configured(struct vgic *gic, u32 cpu, u32 word, u32 bits)
{
	vgic_changed(gic, cpu, word, bits);
	tell(gic, cpu, word);
}

void vgic_configured_all(struct vgic *gic)
{
	for (u32 i = 0; i < gic->cpu_count; i++)
		vgic_configured(gic, i, 0, UINT32_MAX);
	for (u32 word = 1; word < VGIC_WORDS; word++)
		vgic_configured(gic, 0, word, UINT32_MAX);
}

/* Interrupts of which the guest leaves the choice go to the first CPU that it has awake. */
static u32 first_awake(const struct vgic *gic)
{
	for (u32 i = 0; i < gic->cpu_count; i++)
		if (!gic->cpus[i].asleep)
			return i;
	return 0;
}

static u32 route_target(const struct vgic *gic, u64 route)
{
	if (gic->here == VGIC_V2) {
		/* GICD_ITARGETSR is RAZ/WI then. IHI 0048 section 4.3.12. */
		if (gic->cpu_count == 1)
			return 0;
		return route ? (u32)__builtin_ctzll(route) : VGIC_NOWHERE;
	}
	if (route & VGIC_ROUTE_ANY)
		return first_awake(gic);
	for (u32 i = 0; i < gic->cpu_count; i++)
		if ((route & VGIC_ROUTE_AFFINITY) == vgic_affinity(i))
			return i;
	return VGIC_NOWHERE;
}

void vgic_route(struct vgic *gic, u32 intid)
{
	u32 spi = intid - VGIC_SPI_BASE;
	u32 target = route_target(gic, gic->route[spi]);

	gic->target[spi] = (u8)target;
	for (u32 i = 0; i < gic->cpu_count; i++) {
		u32 *routed = &gic->cpus[i].routed[intid / 32];

		if (i == target)
			*routed |= vgic_bit(intid);
		else
			*routed &= ~vgic_bit(intid);
	}
}

static void hold(struct vgic *gic, u32 intid, u32 cpu)
{
	if (intid < VGIC_SPI_BASE)
		return;
	gic->cpus[gic->holder[intid - VGIC_SPI_BASE]].held[intid / 32] &= ~vgic_bit(intid);
	gic->cpus[cpu].held[intid / 32] |= vgic_bit(intid);
	gic->holder[intid - VGIC_SPI_BASE] = (u8)cpu;
}

/* Everything derived, from what is saved; nothing is given out after it. */
static void derive(struct vgic *gic)
{
	u32 usual = route_target(gic, 0);

	memset(gic->target, (u8)usual, sizeof(gic->target));
	for (u32 i = 0; i < gic->cpu_count; i++) {
		struct vgic_cpu *vcpu = &gic->cpus[i];

		memset(vcpu->routed, i == usual ? 0xff : 0, sizeof(vcpu->routed));
		memset(vcpu->held, i == 0 ? 0xff : 0, sizeof(vcpu->held));
		memset(vcpu->given, 0, sizeof(vcpu->given));
		vcpu->routed[0] = UINT32_MAX;
		vcpu->held[0] = UINT32_MAX;
		vcpu->notes.given = 0;
	}
	for (u32 word = 1; word < VGIC_WORDS; word++)
		vgic_notes(gic, 0, word)->given = 0;
	/* Few are elsewhere than after a reset. */
	for (u32 spi = 0; spi < VGIC_SPIS; spi++) {
		u32 intid = VGIC_SPI_BASE + spi, holder = gic->holder[spi];

		if (gic->route[spi])
			vgic_route(gic, intid);
		if (holder) {
			gic->cpus[0].held[intid / 32] &= ~vgic_bit(intid);
			gic->cpus[holder].held[intid / 32] |= vgic_bit(intid);
		}
	}
	for (u32 i = 0; i < gic->cpu_count; i++)
		for (u32 word = 0; word < VGIC_WORDS; word++)
			refresh(gic, &gic->cpus[i], word);
}

/* ---- changes of state ---- */

void vgic_latch(struct vgic *gic, u32 cpu, u32 word, u32 bits)
{
	vgic_irqs(gic, cpu, word)->latched |= bits;
	vgic_notes(gic, cpu, word)->latched_again |= bits;
	vgic_changed(gic, cpu, word, bits);
}

void vgic_unlatch(struct vgic *gic, u32 cpu, u32 word, u32 bits)
{
	vgic_irqs(gic, cpu, word)->latched &= ~bits;
	vgic_changed(gic, cpu, word, bits);
}

/* The one bit of an SGI stands for all its sources. */
static void sgi_sources_set(struct vgic_cpu *vcpu, u32 sgi, u32 sources)
{
	vcpu->sgi_sources[sgi] = (u8)sources;
	if (sources)
		vcpu->irqs.latched |= vgic_bit(sgi);
	else
		vcpu->irqs.latched &= ~vgic_bit(sgi);
}

void vgic_sgi_latch(struct vgic *gic, u32 cpu, u32 sgi, u8 sources)
{
	struct vgic_cpu *vcpu = &gic->cpus[cpu];

	sgi_sources_set(vcpu, sgi, vcpu->sgi_sources[sgi] | sources);
	vcpu->sgi_resent[sgi] |= sources;
	vgic_changed(gic, cpu, 0, vgic_bit(sgi));
}

void vgic_sgi_unlatch(struct vgic *gic, u32 cpu, u32 sgi, u8 sources)
{
	struct vgic_cpu *vcpu = &gic->cpus[cpu];

	sgi_sources_set(vcpu, sgi, vcpu->sgi_sources[sgi] & ~sources);
	vgic_changed(gic, cpu, 0, vgic_bit(sgi));
}

void vgic_activate(struct vgic *gic, u32 cpu, u32 word, u32 bits)
{
	struct vgic_irqs *irqs = vgic_irqs(gic, cpu, word);

	/* Nobody has acknowledged it: it counts as active where it would have been. */
	for (u32 left = word ? bits & ~irqs->active : 0; left; left &= left - 1) {
		u32 intid = 32 * word + (u32)__builtin_ctz(left);
		u32 target = gic->target[intid - VGIC_SPI_BASE];

		hold(gic, intid, target == VGIC_NOWHERE ? 0 : target);
	}
	irqs->active |= bits;
	vgic_notes(gic, cpu, word)->active_written |= bits;
	vgic_changed(gic, cpu, word, bits);
}

static inline void set_inactive(struct vgic *gic, u32 cpu, u32 intid)
{
	vgic_irqs(gic, cpu, intid / 32)->active &= ~vgic_bit(intid);
	hold(gic, intid, 0);
	if (intid < VGIC_SGIS)
		gic->cpus[cpu].sgi_active[intid] = 0;
}

static inline void set_active(struct vgic *gic, u32 cpu, u32 intid)
{
	vgic_irqs(gic, cpu, intid / 32)->active |= vgic_bit(intid);
	hold(gic, intid, cpu);
}

static inline bool has_hw(const struct vgic *gic, u32 intid)
{
	return intid < VGIC_SPI_BASE && gic->hw & vgic_bit(intid);
}

/*
 * Whether the end of @intid, one of @irqs, is that of the physical interrupt behind it. That one is
 * active from when its line was set, over the guest's taking it, which takes the line down, to this
 * end. A guest that writes pending and active state can have an interrupt without it; with both the
 * line up and the interrupt active, the physical one is that of the line.
 */
static inline bool ends_hw(const struct vgic *gic, const struct vgic_irqs *irqs, u32 intid)
{
	return has_hw(gic, intid) && (irqs->level ^ irqs->active) & vgic_bit(intid);
}

void vgic_end(struct vgic *gic, u32 cpu, u32 word, u32 bits)
{
	const struct vgic_irqs *irqs = vgic_irqs(gic, cpu, word);
	struct vgic_notes *notes = vgic_notes(gic, cpu, word);

	for (u32 left = bits & irqs->active; left; left &= left - 1) {
		u32 intid = 32 * word + (u32)__builtin_ctz(left);

		/* Of one that is given out, the list register has to tell first. */
		if (ends_hw(gic, irqs, intid) && !(notes->given & vgic_bit(intid)))
			gic->ops->deactivate(gic->ctx, cpu, gic->hw_intid[intid]);
		set_inactive(gic, cpu, intid);
	}
	notes->active_written |= bits;
	vgic_changed(gic, cpu, word, bits);
}

void vgic_deactivate(struct vgic *gic, u32 cpu, u32 intid)
{
	if (intid < VGIC_LINES)
		vgic_end(gic, cpu, intid / 32, vgic_bit(intid));
}

/* The most urgent of @bits, if more so than @best: its priority above eight bits of INTID. */
#define NONE_URGENT UINT32_MAX

static u32 most_urgent(const struct vgic *gic, u32 cpu, u32 word, u32 bits, u32 best)
{
	const struct vgic_irqs *irqs = vgic_irqs_const(gic, cpu, word);

	for (; bits; bits &= bits - 1) {
		u32 i = (u32)__builtin_ctz(bits);
		u32 key = (u32)irqs->priority[i] << 8 | (32 * word + i);

		if (key < best)
			best = key;
	}
	return best;
}

void vgic_end_missing(struct vgic *gic, u32 cpu, u32 count)
{
	const struct vgic_cpu *vcpu = &gic->cpus[cpu];

	for (; count; count--) {
		u32 best = NONE_URGENT;

		for (u32 word = 0; word < VGIC_WORDS; word++)
			best = most_urgent(gic, cpu, word, vcpu->busy[word] & ~vcpu->given[word],
					   best);
		if (best == NONE_URGENT)
			return;
		vgic_deactivate(gic, cpu, best & 0xff);
	}
}

/* ---- list registers ---- */

/*
 * The order in which interrupts get list registers, the smallest first: 8 bits of INTID below the
 * urgency. Of one priority, the active one goes first, as it keeps the others out.
 */
#define ORDER_PENDING  ((u32)1 << 8)
#define ORDER_PRIORITY 9
#define ORDER_DISABLED ((u32)1 << 17)
#define ORDER_DROPPED  ((u32)1 << 18)

struct order {
	u32 keys[VGIC_LR_MAX];
	u32 count;
	u32 max;
	bool full;
};

static inline void order_add(struct order *order, u32 key)
{
	u32 i = order->count;

	if (i == order->max) {
		order->full = true;
		if (key >= order->keys[--i])
			return;
	} else {
		order->count++;
	}
	for (; i && order->keys[i - 1] > key; i--)
		order->keys[i] = order->keys[i - 1];
	order->keys[i] = key;
}

static void order_word(struct vgic *gic, const struct vgic_cpu *vcpu, u32 word, u32 ready, u32 busy,
		       struct order *order)
{
	const struct vgic_irqs *irqs = vgic_irqs(gic, vcpu->index, word);
	const struct vgic_cpu_if *cpu_if = &vcpu->cpu_if;

	for (u32 left = ready | busy; left; left &= left - 1) {
		u32 i = (u32)__builtin_ctz(left);
		u32 key = (32 * word + i) | (u32)irqs->priority[i] << ORDER_PRIORITY;

		if (busy >> i & 1)
			key |= cpu_if->eoimode ? ORDER_DROPPED : 0;
		else if (irqs->group1 >> i & 1 ? cpu_if->group1 : cpu_if->group0)
			key |= ORDER_PENDING;
		else
			key |= ORDER_PENDING | ORDER_DISABLED;
		order_add(order, key);
	}
}

static void give(struct vgic *gic, struct vgic_cpu *vcpu, u32 intid, struct vgic_lr *lr)
{
	u32 word = intid / 32, bit = vgic_bit(intid);
	const struct vgic_irqs *irqs = vgic_irqs(gic, vcpu->index, word);
	struct vgic_notes *notes = vgic_notes(gic, vcpu->index, word);
	bool level = !(irqs->edge & bit);
	bool sourced = vgic_sgi_has_source(gic, intid);
	bool again; /* pends once more, which this list register doesn't say */

	*lr = (struct vgic_lr){
		.intid = intid,
		.hw_intid = ends_hw(gic, irqs, intid) ? gic->hw_intid[intid] : 0,
		.priority = irqs->priority[intid % 32],
		.active = (irqs->active & bit) != 0,
		.group1 = (irqs->group1 & bit) != 0,
	};
	if (lr->active) {
		bool here = !vcpu->asleep && due(gic, vcpu, word) & bit;

		/*
		 * Active and pending, it would be signalled though the level has fallen meanwhile;
		 * with a physical one this must not be (IHI 0069, "ICH_LR<n>_EL2", State); and
		 * there is no room for the source of an active SGI and that of a pending one.
		 */
		lr->pending = here && !level && !lr->hw_intid && !sourced;
		/* Also if it goes to another virtual CPU next, which has to wait for this one. */
		again = vgic_pending_bits(irqs) & bit && !lr->pending;
		if (sourced)
			lr->source = vcpu->sgi_active[intid];
	} else {
		u32 sources = sourced ? vcpu->sgi_sources[intid] : 0;

		again = sources & (sources - 1);
		lr->pending = true;
		if (sourced) {
			lr->source = (u8)__builtin_ctz(sources);
			vcpu->sgi_offered[intid] = lr->source;
		}
	}
	lr->eoi_notify = !lr->hw_intid && (level || again);

	vcpu->given[word] |= bit;
	notes->given |= bit;
	if (lr->pending)
		vcpu->offered[word] |= bit;
	else
		vcpu->offered[word] &= ~bit;
	notes->latched_again &= ~bit;
	notes->active_written &= ~bit;
	notes->raised &= ~bit;
	if (sourced)
		vcpu->sgi_resent[intid] = 0;
}

/* Apart, so that the common case, nothing to give, doesn't pay for this one's frame. */
__attribute__((noinline)) static u32 fill(struct vgic *gic, struct vgic_cpu *vcpu,
					  struct vgic_lr *lrs, u32 max, bool *more)
{
	struct order order;

	order.count = 0;
	order.max = max < VGIC_LR_MAX ? max : VGIC_LR_MAX;
	order.full = false;
	for (u32 left = vcpu->ready_words | vcpu->busy_words; left; left &= left - 1) {
		u32 word = (u32)__builtin_ctz(left);

		/* A redistributor that sleeps forwards nothing. IHI 0069, "GICR_WAKER". */
		order_word(gic, vcpu, word, vcpu->asleep ? 0 : vcpu->ready[word], vcpu->busy[word],
			   &order);
	}
	for (u32 i = 0; i < order.count; i++)
		give(gic, vcpu, order.keys[i] & 0xff, &lrs[i]);
	/* In EOImode 1 there is nothing to ask for if only active ones wait. */
	*more = order.full && (!vcpu->cpu_if.eoimode || !lrs[order.count - 1].active);
	return order.count;
}

u32 vgic_fill(struct vgic *gic, u32 cpu, struct vgic_lr *lrs, u32 max, bool *more)
{
	struct vgic_cpu *vcpu = &gic->cpus[cpu];

	*more = false;
	if (!(vcpu->ready_words | vcpu->busy_words) || !max)
		return 0;
	return fill(gic, vcpu, lrs, max, more);
}

/* The guest has acknowledged what was offered to it as pending. */
static void taken(struct vgic *gic, struct vgic_cpu *vcpu, u32 intid)
{
	u32 bit = vgic_bit(intid);
	struct vgic_irqs *irqs = vgic_irqs(gic, vcpu->index, intid / 32);
	const struct vgic_notes *notes = vgic_notes(gic, vcpu->index, intid / 32);

	if (vgic_sgi_has_source(gic, intid)) {
		u32 source = (u32)1 << vcpu->sgi_offered[intid];

		if (!(vcpu->sgi_resent[intid] & source))
			sgi_sources_set(vcpu, intid, vcpu->sgi_sources[intid] & ~source);
		return;
	}
	if (!(notes->latched_again & bit))
		irqs->latched &= ~bit;
	if (has_hw(gic, intid) && !(notes->raised & bit))
		irqs->level &= ~bit;
}

static void fold_one(struct vgic *gic, struct vgic_cpu *vcpu, const struct vgic_lr *lr)
{
	u32 intid = lr->intid, word = intid / 32, bit = vgic_bit(intid);
	struct vgic_irqs *irqs = vgic_irqs(gic, vcpu->index, word);
	struct vgic_notes *notes = vgic_notes(gic, vcpu->index, word);
	bool offered = vcpu->offered[word] & bit;
	bool written = notes->active_written & bit;

	vcpu->given[word] &= ~bit;
	notes->given &= ~bit;
	if (offered && !lr->pending)
		taken(gic, vcpu, intid);
	if (lr->active && written && !((irqs->active | irqs->level) & bit) && has_hw(gic, intid))
		gic->ops->deactivate(gic->ctx, vcpu->index, gic->hw_intid[intid]);
	if (lr->active && (!written || irqs->active & bit)) {
		if (offered && vgic_sgi_has_source(gic, intid))
			vcpu->sgi_active[intid] = vcpu->sgi_offered[intid];
		set_active(gic, vcpu->index, intid);
	} else if (!lr->active && !written && irqs->active & bit) {
		set_inactive(gic, vcpu->index, intid);
	}
}

/* It may belong to another meanwhile, who was not to have it yet. */
static void hand_on(struct vgic *gic, const struct vgic_cpu *vcpu, u32 intid)
{
	u32 word = intid / 32, bit = vgic_bit(intid);

	if (vcpu->routed[word] & (vcpu->held[word] | ~vgic_irqs(gic, 0, word)->active) & bit)
		return;
	for (u32 i = 0; i < gic->cpu_count; i++) {
		struct vgic_cpu *other = &gic->cpus[i];

		if (other != vcpu && (other->routed[word] | other->held[word]) & bit)
			refresh_and_kick(gic, other, word, 0);
	}
}

void vgic_fold(struct vgic *gic, u32 cpu, const struct vgic_lr *lrs, u32 count)
{
	struct vgic_cpu *vcpu = &gic->cpus[cpu];
	u32 words = 0;

	for (u32 i = 0; i < count; i++) {
		u32 intid = lrs[i].intid;

		if (intid >= VGIC_LINES || !(vcpu->given[intid / 32] & vgic_bit(intid)))
			continue;
		fold_one(gic, vcpu, &lrs[i]);
		if (intid >= VGIC_SPI_BASE)
			hand_on(gic, vcpu, intid);
		words |= (u32)1 << intid / 32;
	}
	for (; words; words &= words - 1)
		refresh(gic, vcpu, (u32)__builtin_ctz(words));
}

/* ---- what is signalled ---- */

/*
 * Whether @priority is above what is active, by the bits that count for preemption. IHI 0069,
 * "Priority grouping" and "Preemption"; IHI 0048 section 3.3.3.
 */
static bool preempts(const struct vgic_cpu_if *cpu_if, u32 priority, bool group1)
{
	u32 active = cpu_if->ap0r[0] | cpu_if->ap1r[0];
	u32 shift = group1 && !cpu_if->cbpr ? cpu_if->bpr1 : cpu_if->bpr0 + 1u;

	return !active || priority >> shift < 8 * (u32)__builtin_ctz(active) >> shift;
}

bool vgic_pending(const struct vgic *gic, u32 cpu)
{
	const struct vgic_cpu *vcpu = &gic->cpus[cpu];
	const struct vgic_cpu_if *cpu_if = &vcpu->cpu_if;
	u32 best = NONE_URGENT, priority;
	bool group1;

	if (!vcpu->ready_words)
		return false;
	if (vcpu->asleep)
		return true;
	for (u32 words = vcpu->ready_words; words; words &= words - 1) {
		u32 word = (u32)__builtin_ctz(words);
		u32 bits1 = vgic_irqs_const(gic, cpu, word)->group1;
		u32 heard = (cpu_if->group0 ? ~bits1 : 0) | (cpu_if->group1 ? bits1 : 0);

		best = most_urgent(gic, cpu, word, vcpu->ready[word] & heard, best);
	}
	if (best == NONE_URGENT)
		return false;
	priority = best >> 8;
	group1 = vgic_irqs_const(gic, cpu, (best & 0xff) / 32)->group1 & vgic_bit(best & 0xff);
	return priority < cpu_if->pmr && preempts(cpu_if, priority, group1);
}

/* ---- SGIs of GICv3 ---- */

/* ICC_SGI1R_EL1. IHI 0069, "ICC_SGI1R_EL1". RS is RES0, as ICC_CTLR_EL1.RSS is 0. */
#define SGI_TARGETS(value) ((u32)((value)&0xffff))
#define SGI_INTID(value)   ((u32)((value) >> 24 & 0xf))
#define SGI_ALL            BIT(40)

/* Aff3 to Aff1 as in MPIDR_EL1. */
static u64 sgi_cluster(u64 value)
{
	return (value >> 48 & 0xff) << 32 | (value >> 32 & 0xff) << 16 | (value >> 16 & 0xff) << 8;
}

static void sgi_send(struct vgic *gic, u32 cpu, u64 value, bool group1)
{
	u32 bit = vgic_bit(SGI_INTID(value));

	for (u32 i = 0; i < gic->cpu_count; i++) {
		u64 affinity = vgic_affinity(i);

		if (value & SGI_ALL ? i == cpu
				    : (affinity & ~(u64)0xff) != sgi_cluster(value) ||
					      !(SGI_TARGETS(value) >> (affinity & 0xff) & 1))
			continue;
		if (group1 || !(gic->cpus[i].irqs.group1 & bit))
			vgic_latch(gic, i, 0, bit);
	}
}

void vgic_send_sgi1(struct vgic *gic, u32 cpu, u64 icc_sgi1r)
{
	sgi_send(gic, cpu, icc_sgi1r, true);
}

void vgic_send_sgi0(struct vgic *gic, u32 cpu, u64 icc_sgi0r)
{
	sgi_send(gic, cpu, icc_sgi0r, false);
}

/* ---- lines ---- */

static void set(struct vgic *gic, u32 cpu, u32 intid, bool level)
{
	u32 word = intid / 32, bit = vgic_bit(intid);
	struct vgic_irqs *irqs = vgic_irqs(gic, cpu, word);
	struct vgic_notes *notes = vgic_notes(gic, cpu, word);
	/* The physical one fires only when the last has ended: this is the next, in any case. */
	bool raised = level && has_hw(gic, intid);

	if (level == ((irqs->level & bit) != 0) && !raised)
		return;
	if (level)
		irqs->level |= bit;
	else
		irqs->level &= ~bit;
	if (level && irqs->edge & bit) {
		irqs->latched |= bit;
		notes->latched_again |= bit;
	}
	if (raised)
		notes->raised |= bit;
	vgic_changed(gic, cpu, word, bit);
}

static bool enabled(struct vgic *gic, u32 cpu, u32 intid)
{
	return lines_enabled(gic, cpu, intid / 32) & vgic_bit(intid);
}

static void watch(struct vgic *gic, u32 cpu, u32 intid, void (*fn)(void *), void *ctx)
{
	struct vgic_notes *notes = vgic_notes(gic, cpu, intid / 32);

	notes->watchers[intid % 32].fn = fn;
	notes->watchers[intid % 32].ctx = ctx;
}

static void spi_set(void *ctx, u32 intid, bool level)
{
	set(ctx, 0, intid, level);
}

static bool spi_enabled(void *ctx, u32 intid)
{
	return enabled(ctx, 0, intid);
}

static void spi_watch(void *ctx, u32 intid, void (*fn)(void *fn_ctx), void *fn_ctx)
{
	watch(ctx, 0, intid, fn, fn_ctx);
}

static const struct irq_chip spi_chip = {
	.set = spi_set,
	.enabled = spi_enabled,
	.watch = spi_watch,
};

static void private_set(void *ctx, u32 intid, bool level)
{
	struct vgic_cpu *vcpu = ctx;

	set(vcpu->gic, vcpu->index, intid, level);
}

static bool private_enabled(void *ctx, u32 intid)
{
	struct vgic_cpu *vcpu = ctx;

	return enabled(vcpu->gic, vcpu->index, intid);
}

static void private_watch(void *ctx, u32 intid, void (*fn)(void *fn_ctx), void *fn_ctx)
{
	struct vgic_cpu *vcpu = ctx;

	watch(vcpu->gic, vcpu->index, intid, fn, fn_ctx);
}

static const struct irq_chip private_chip = {
	.set = private_set,
	.enabled = private_enabled,
	.watch = private_watch,
};

struct irq_line vgic_line(struct vgic *gic, u32 intid)
{
	if (intid < VGIC_SPI_BASE || intid >= VGIC_LINES)
		return (struct irq_line){NULL, NULL, 0};
	return (struct irq_line){&spi_chip, gic, intid};
}

struct irq_line vgic_private_line(struct vgic *gic, u32 cpu, u32 ppi)
{
	if (cpu >= gic->cpu_count || ppi < VGIC_SGIS || ppi >= VGIC_SPI_BASE)
		return (struct irq_line){NULL, NULL, 0};
	return (struct irq_line){&private_chip, &gic->cpus[cpu], ppi};
}

void vgic_set_hw(struct vgic *gic, u32 ppi, u32 hw_intid)
{
	if (hw_intid)
		gic->hw |= vgic_bit(ppi);
	else
		gic->hw &= ~vgic_bit(ppi);
	gic->hw_intid[ppi] = (u16)hw_intid;
}

/* ---- start ---- */

static void irqs_reset(struct vgic_irqs *irqs)
{
	*irqs = (struct vgic_irqs){.level = irqs->level};
}

void vgic_reset_cpu_if(struct vgic *gic, u32 cpu)
{
	gic->cpus[cpu].cpu_if = (struct vgic_cpu_if){.bpr0 = BPR0_RESET, .bpr1 = BPR1_RESET};
}

void vgic_reset(struct vgic *gic)
{
	for (u32 i = 0; i < gic->cpu_count; i++) {
		struct vgic_cpu *vcpu = &gic->cpus[i];

		irqs_reset(&vcpu->irqs);
		vcpu->irqs.edge = VGIC_SGI_BITS;
		vgic_reset_cpu_if(gic, i);
		vcpu->asleep = 0;
		memset(vcpu->sgi_sources, 0, sizeof(vcpu->sgi_sources));
		memset(vcpu->sgi_active, 0, sizeof(vcpu->sgi_active));
	}
	for (u32 i = 0; i < ARRAY_COUNT(gic->spis); i++)
		irqs_reset(&gic->spis[i]);
	memset(gic->route, 0, sizeof(gic->route));
	memset(gic->holder, 0, sizeof(gic->holder));
	gic->ctlr = 0;
	derive(gic);
	vgic_configured_all(gic);
}

void vgic_init(struct vgic *gic, enum vgic_version version, u32 cpu_count,
	       const struct vgic_ops *ops, void *ctx)
{
	/* Those that are not there are not looked at. */
	memset(gic, 0, offsetof(struct vgic, cpus[cpu_count]));
	gic->version = version;
	gic->here = version;
	gic->cpu_count = cpu_count;
	gic->dist = version == VGIC_V3 ? &vgic_dist_v3 : &vgic_dist_v2;
	gic->ops = ops;
	gic->ctx = ctx;
	for (u32 i = 0; i < cpu_count; i++) {
		gic->cpus[i].index = i;
		gic->cpus[i].gic = gic;
	}
}

/* ---- state ---- */

#define VGIC_DIST_FIELDS(SAVED, TRANSIENT)                                                         \
	SAVED(struct vgic, spis)                                                                   \
	SAVED(struct vgic, route)                                                                  \
	SAVED(struct vgic, holder)                                                                 \
	SAVED(struct vgic, ctlr)                                                                   \
	SAVED(struct vgic, version)                                                                \
	TRANSIENT(struct vgic, here, "wiring, to check version against")                           \
	TRANSIENT(struct vgic, cpu_count, "wiring")                                                \
	TRANSIENT(struct vgic, target, "derived from route")                                       \
	TRANSIENT(struct vgic, notes, "wiring, and what is given out: nothing after loading")      \
	TRANSIENT(struct vgic, hw, "wiring")                                                       \
	TRANSIENT(struct vgic, pad, "padding")                                                     \
	TRANSIENT(struct vgic, hw_intid, "wiring")                                                 \
	TRANSIENT(struct vgic, dist, "wiring")                                                     \
	TRANSIENT(struct vgic, ops, "wiring")                                                      \
	TRANSIENT(struct vgic, ctx, "wiring")                                                      \
	TRANSIENT(struct vgic, cpus, "a record of its own for each")

#define VGIC_CPU_FIELDS(SAVED, TRANSIENT)                                                          \
	SAVED(struct vgic_cpu, irqs)                                                               \
	SAVED(struct vgic_cpu, cpu_if)                                                             \
	SAVED(struct vgic_cpu, asleep)                                                             \
	SAVED(struct vgic_cpu, sgi_sources)                                                        \
	SAVED(struct vgic_cpu, sgi_active)                                                         \
	TRANSIENT(struct vgic_cpu, routed, "derived from the SPIs' route")                         \
	TRANSIENT(struct vgic_cpu, held, "derived from the SPIs' holder")                          \
	TRANSIENT(struct vgic_cpu, ready, "derived")                                               \
	TRANSIENT(struct vgic_cpu, busy, "derived")                                                \
	TRANSIENT(struct vgic_cpu, ready_words, "derived from ready")                              \
	TRANSIENT(struct vgic_cpu, busy_words, "derived from busy")                                \
	TRANSIENT(struct vgic_cpu, given, "nothing is given out after loading")                    \
	TRANSIENT(struct vgic_cpu, offered, "as given")                                            \
	TRANSIENT(struct vgic_cpu, sgi_offered, "as given")                                        \
	TRANSIENT(struct vgic_cpu, sgi_resent, "as given")                                         \
	TRANSIENT(struct vgic_cpu, notes, "wiring, and as given")                                  \
	TRANSIENT(struct vgic_cpu, index, "wiring")                                                \
	TRANSIENT(struct vgic_cpu, pad, "padding")                                                 \
	TRANSIENT(struct vgic_cpu, gic, "wiring")

static const char *irqs_wrong(const struct vgic_irqs *irqs)
{
	u32 bits = 0;

	for (u32 i = 0; i < 32; i++)
		bits |= irqs->priority[i];
	return bits & ~VGIC_PRIORITY ? "priority of more than five bits" : NULL;
}

static const char *dist_wrong(const struct vgic *gic)
{
	u64 route = gic->here == VGIC_V2 ? (gic->cpu_count > 1 ? BIT(gic->cpu_count) - 1 : 0)
					 : VGIC_ROUTE_ANY | VGIC_ROUTE_AFFINITY;
	u64 routes = 0;
	u32 holders = 0;

	if (gic->version != gic->here)
		return "the interrupt controller is of another version in this machine";
	if (gic->ctlr & ~(VGIC_CTLR_GROUP0 | VGIC_CTLR_GROUP1))
		return "reserved bit in GICD_CTLR";
	for (u32 i = 0; i < VGIC_SPIS; i++) {
		routes |= gic->route[i];
		holders |= gic->holder[i];
	}
	if (routes & ~route)
		return "reserved bit in the route of an SPI";
	for (u32 i = 0; holders && i < VGIC_SPIS; i++) {
		if (gic->holder[i] >= gic->cpu_count)
			return "SPI active on a virtual CPU that is not there";
		if (gic->holder[i] && !(gic->spis[i / 32].active >> (i % 32) & 1))
			return "SPI held by a virtual CPU on which it is not active";
	}
	for (u32 i = 0; i < ARRAY_COUNT(gic->spis); i++)
		if (irqs_wrong(&gic->spis[i]))
			return irqs_wrong(&gic->spis[i]);
	return NULL;
}

static const char *sgis_wrong(const struct vgic_cpu *vcpu)
{
	const struct vgic *gic = vcpu->gic;

	if ((vcpu->irqs.edge & VGIC_SGI_BITS) != VGIC_SGI_BITS || vcpu->irqs.level & VGIC_SGI_BITS)
		return "SGI that is not edge-triggered, or has a line";
	for (u32 i = 0; i < VGIC_SGIS; i++) {
		u32 sources = vcpu->sgi_sources[i], source = vcpu->sgi_active[i];

		if (gic->here != VGIC_V2 ? sources || source
					 : sources >> gic->cpu_count || source >= gic->cpu_count)
			return "SGI of a virtual CPU that is not there";
		if (gic->here == VGIC_V2 && (sources != 0) != (vcpu->irqs.latched >> i & 1))
			return "SGI that pends without a source, or the other way round";
		if (source && !(vcpu->irqs.active >> i & 1))
			return "source of an SGI that is not active";
	}
	return NULL;
}

static const char *cpu_if_wrong(const struct vgic_cpu_if *cpu_if)
{
	if (cpu_if->pmr > 0xff || cpu_if->bpr0 > 7 || cpu_if->bpr1 > 7)
		return "priority mask or binary point";
	if ((cpu_if->group0 | cpu_if->group1 | cpu_if->cbpr | cpu_if->eoimode | cpu_if->fiqen |
	     cpu_if->ackctl) > 1)
		return "control of the CPU interface";
	for (u32 i = 1; i < ARRAY_COUNT(cpu_if->ap0r); i++)
		if (cpu_if->ap0r[i] | cpu_if->ap1r[i])
			return "active priority that there is not";
	return NULL;
}

static const char *cpu_wrong(const struct vgic_cpu *vcpu)
{
	const char *wrong = irqs_wrong(&vcpu->irqs);

	if (!wrong)
		wrong = sgis_wrong(vcpu);
	if (!wrong)
		wrong = cpu_if_wrong(&vcpu->cpu_if);
	if (!wrong && vcpu->asleep > (vcpu->gic->here == VGIC_V3))
		wrong = "sleep of a redistributor";
	return wrong;
}

static enum hv_error verdict(const char *wrong, const char **why)
{
	if (!wrong)
		return HV_OK;
	*why = wrong;
	return HV_ECORRUPT;
}

static enum hv_error dist_check(const void *obj, const char **why)
{
	return verdict(dist_wrong(obj), why);
}

static enum hv_error cpu_check(const void *obj, const char **why)
{
	return verdict(cpu_wrong(obj), why);
}

/* The CPUs' fields are in place as well. Nobody is told: the guest has changed nothing. */
static void loaded(void *obj)
{
	struct vgic *gic = obj;

	derive(gic);
	for (u32 i = 0; i < gic->cpu_count; i++)
		gic->cpus[i].notes.told = lines_enabled(gic, i, 0);
	for (u32 word = 1; word < VGIC_WORDS; word++)
		vgic_notes(gic, 0, word)->told = lines_enabled(gic, 0, word);
}

STATE_DEFINE(vgic_dist_state, "vgic", 1, struct vgic, VGIC_DIST_FIELDS, .check = dist_check,
	     .after_load = loaded);
STATE_DEFINE(vgic_cpu_state, "vgic-cpu", 1, struct vgic_cpu, VGIC_CPU_FIELDS, .check = cpu_check);
