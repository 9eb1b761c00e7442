/* SPDX-License-Identifier: MIT */
#include <devices/vapic.h>
#include <string.h>

/*
 * Registers: bits 11:4 of the offset in xAPIC mode, the distance from MSR 800h in x2APIC mode.
 * SDM table 11-1 and table 11-6; APM vol. 2 table 16-2.
 */
#define REG_ID            0x02u
#define REG_VERSION       0x03u
#define REG_TPR           0x08u
#define REG_APR           0x09u
#define REG_PPR           0x0au
#define REG_EOI           0x0bu
#define REG_RRD           0x0cu
#define REG_LDR           0x0du
#define REG_DFR           0x0eu
#define REG_SVR           0x0fu
#define REG_ISR           0x10u
#define REG_TMR           0x18u
#define REG_IRR           0x20u
#define REG_ESR           0x28u
#define REG_ICR           0x30u
#define REG_ICR_HIGH      0x31u
#define REG_LVT           0x32u
#define REG_LVT_LAST      (REG_LVT + VAPIC_LVT_COUNT - 1)
#define REG_INITIAL_COUNT 0x38u
#define REG_CURRENT_COUNT 0x39u
#define REG_DIVIDE        0x3eu
#define REG_SELF_IPI      0x3fu

/* Version 14h, highest LVT entry 5, no suppression of EOI broadcasts. SDM 11.4.8. */
#define VERSION 0x00050014u

/* IA32_APIC_BASE. SDM 11.4.4, 11.12.1. */
#define BASE_BSP      BIT(8)
#define BASE_EXTENDED BIT(10)
#define BASE_ENABLE   BIT(11)

/* SDM 11.9. */
#define SVR_ENABLE   0x100u
#define SVR_WRITABLE 0x3ffu
#define SVR_RESET    0x0ffu

/* SDM 11.6.2.2. */
#define DFR_RESET    0xffffffffu
#define DFR_MODEL    0xf0000000u
#define DFR_FLAT     0xf0000000u
#define LDR_WRITABLE 0xff000000u

/* LVT. SDM 11.5.1, figure 11-8. Status (12) and remote IRR (14) are read-only, and 0 here. */
#define LVT_MASKED        0x10000u
#define LVT_TIMER_MODE    0x60000u
#define LVT_TIMER_SHIFT   17
#define LVT_READ_ONLY     0x05000u
#define LVT_TIMER_BITS    0x700ffu
#define LVT_DELIVERY_BITS 0x107ffu
#define LVT_LINT_BITS     0x1a7ffu
#define LVT_ERROR_BITS    0x100ffu

/* SDM 11.5.4. Mode 3 is reserved: the timer stands still. */
#define TIMER_ONE_SHOT     0u
#define TIMER_PERIODIC     1u
#define TIMER_TSC_DEADLINE 2u
#define DIVIDE_WRITABLE    0x0bu

/* ICR. SDM 11.6.1, 11.12.9. The delivery status (12) is always idle. */
#define ICR_VECTOR         0x000ffu
#define ICR_DELIVERY_SHIFT 8
#define ICR_LOGICAL        0x00800u
#define ICR_STATUS         0x01000u
#define ICR_ASSERT         0x04000u
#define ICR_LEVEL          0x08000u
#define ICR_SHORTHAND      0xc0000u
#define ICR_TO_SELF        0x40000u
#define ICR_TO_ALL         0x80000u
#define ICR_TO_OTHERS      0xc0000u
#define ICR_WRITABLE       0xccfffu

/* ESR. SDM 11.5.3. */
#define ESR_SEND_VECTOR    0x20u
#define ESR_RECEIVE_VECTOR 0x40u
#define ESR_REGISTER       0x80u

#define FIRST_VECTOR 16u /* those below are reserved for exceptions. SDM 11.5.2 */

#define DEST_ALL   0xffffffffu
#define DEST_ALL_8 0xffu

/* The writable bits of the LVT entries. */
static const u32 lvt_bits[VAPIC_LVT_COUNT] = {
	[VAPIC_LVT_TIMER] = LVT_TIMER_BITS,   [VAPIC_LVT_THERMAL] = LVT_DELIVERY_BITS,
	[VAPIC_LVT_PERF] = LVT_DELIVERY_BITS, [VAPIC_LVT_LINT0] = LVT_LINT_BITS,
	[VAPIC_LVT_LINT1] = LVT_LINT_BITS,    [VAPIC_LVT_ERROR] = LVT_ERROR_BITS,
};

/* ---- vectors and priorities ---- */

static inline void vector_set(u32 words[8], u32 *summary, u8 vector)
{
	words[vector / 32] |= (u32)1 << (vector % 32);
	*summary |= (u32)1 << (vector / 32);
}

static inline void vector_clear(u32 words[8], u32 *summary, u8 vector)
{
	words[vector / 32] &= ~((u32)1 << (vector % 32));
	if (!words[vector / 32])
		*summary &= ~((u32)1 << (vector / 32));
}

/* @summary is not 0. */
static inline u8 vector_highest(const u32 words[8], u32 summary)
{
	u32 word = 31 - (u32)__builtin_clz(summary);

	return (u8)(32 * word + 31 - (u32)__builtin_clz(words[word]));
}

/* SDM 11.8.3.1. */
static inline void ppr_update(struct vapic *apic)
{
	u32 service = 0;

	if (apic->isr_words)
		service = vector_highest(apic->isr, apic->isr_words) & 0xf0;
	apic->ppr = (apic->tpr & 0xf0) >= service ? apic->tpr : service;
}

static inline void kick_if_pending(struct vapic *apic)
{
	if (vapic_pending(apic) >= 0)
		apic->ops->kick(apic->ctx, apic->vcpu);
}

static inline bool software_enabled(const struct vapic *apic)
{
	return apic->svr & SVR_ENABLE;
}

static void routing_changed(struct vapic *apic)
{
	if (apic->bus->changed)
		apic->bus->changed(apic->bus->changed_ctx);
}

/* Takes a legal vector into the IRR. SDM 11.8.4. */
static inline void accept(struct vapic *apic, u8 vector, bool level)
{
	u32 bit = (u32)1 << (vector % 32);

	if (level)
		apic->tmr[vector / 32] |= bit;
	else
		apic->tmr[vector / 32] &= ~bit;
	if (apic->irr[vector / 32] & bit)
		return;
	vector_set(apic->irr, &apic->irr_words, vector);
	apic->ops->kick(apic->ctx, apic->vcpu);
}

static void raise_error(struct vapic *apic, u32 error);

static void local_interrupt(struct vapic *apic, enum vapic_lvt entry)
{
	u32 lvt = apic->lvt[entry];

	if (lvt & LVT_MASKED)
		return;
	if ((u8)lvt < FIRST_VECTOR)
		raise_error(apic, ESR_RECEIVE_VECTOR);
	else
		accept(apic, (u8)lvt, false);
}

/* Only a kind of error that was not pending makes an interrupt, which also ends the recursion. */
static void raise_error(struct vapic *apic, u32 error)
{
	if (apic->esr_pending & error)
		return;
	apic->esr_pending |= error;
	local_interrupt(apic, VAPIC_LVT_ERROR);
}

/* SDM 11.8.5. */
static void end_of_interrupt(struct vapic *apic)
{
	u8 vector;

	if (!apic->isr_words)
		return;
	vector = vector_highest(apic->isr, apic->isr_words);
	vector_clear(apic->isr, &apic->isr_words, vector);
	ppr_update(apic);
	if (apic->tmr[vector / 32] & (u32)1 << (vector % 32))
		apic->ops->eoi(apic->ctx, vector);
	kick_if_pending(apic);
}

static void tpr_write(struct vapic *apic, u32 tpr)
{
	apic->tpr = tpr;
	ppr_update(apic);
	kick_if_pending(apic);
}

void vapic_set_tpr(struct vapic *apic, u8 value)
{
	tpr_write(apic, (u32)(value & 15) << 4);
}

void vapic_take(struct vapic *apic, u8 vector)
{
	vector_clear(apic->irr, &apic->irr_words, vector);
	vector_set(apic->isr, &apic->isr_words, vector);
	ppr_update(apic);
}

/* ---- timer: SDM 11.5.4 ---- */

static u32 timer_mode(const struct vapic *apic)
{
	return (apic->lvt[VAPIC_LVT_TIMER] & LVT_TIMER_MODE) >> LVT_TIMER_SHIFT;
}

/* Bus clocks per count. SDM figure 11-10. */
static u32 timer_divisor(const struct vapic *apic)
{
	u32 code = (apic->divide & 3) | (apic->divide >> 1 & 4);

	return (u32)1 << ((code + 1) & 7);
}

/* ns that @count takes; at least 1. */
static u64 timer_ns(const struct vapic *apic, u32 count)
{
	u64 clocks = (u64)count * timer_divisor(apic);

	return max_u64(muldiv_u64(clocks, NS_PER_SEC, apic->timer_hz), 1);
}

static void timer_stop(struct vapic *apic)
{
	apic->timer_deadline = CLOCK_NEVER;
	timer_cancel(apic->clock, &apic->timer);
}

static void timer_start(struct vapic *apic, u64 deadline)
{
	apic->timer_deadline = deadline;
	timer_arm(apic->clock, &apic->timer, deadline);
}

static void timer_expired(void *ctx)
{
	struct vapic *apic = ctx;

	if (timer_mode(apic) == TIMER_PERIODIC) {
		u64 period = timer_ns(apic, apic->initial_count);
		u64 now = clock_now(apic->clock);
		u64 late = now > apic->timer_deadline ? now - apic->timer_deadline : 0;

		/* Periods that nobody saw are one interrupt: the IRR can't hold more. */
		timer_start(apic, apic->timer_deadline + late - late % period + period);
	} else {
		apic->timer_deadline = CLOCK_NEVER;
		apic->tsc_deadline = 0;
	}
	local_interrupt(apic, VAPIC_LVT_TIMER);
}

static u32 timer_current(const struct vapic *apic)
{
	u64 now, left;

	if (apic->timer_deadline == CLOCK_NEVER || timer_mode(apic) == TIMER_TSC_DEADLINE)
		return 0;
	now = clock_now(apic->clock);
	if (now < apic->timer_deadline) {
		left = apic->timer_deadline - now;
	} else if (timer_mode(apic) == TIMER_PERIODIC) {
		u64 period = timer_ns(apic, apic->initial_count);

		left = period - (now - apic->timer_deadline) % period;
	} else {
		return 0;
	}
	/* Rounded up: a timer that still runs doesn't read as 0. */
	left = muldiv_u64(left, apic->timer_hz, NS_PER_SEC * timer_divisor(apic)) + 1;
	return (u32)min_u64(left, apic->initial_count);
}

static void timer_initial_write(struct vapic *apic, u32 count)
{
	if (timer_mode(apic) == TIMER_TSC_DEADLINE)
		return;
	apic->initial_count = count;
	if (count && timer_mode(apic) <= TIMER_PERIODIC)
		timer_start(apic, clock_now(apic->clock) + timer_ns(apic, count));
	else
		timer_stop(apic);
}

static void timer_divide_write(struct vapic *apic, u32 value)
{
	u32 count = timer_current(apic);

	apic->divide = value & DIVIDE_WRITABLE;
	if (count)
		timer_start(apic, clock_now(apic->clock) + timer_ns(apic, count));
}

static void timer_lvt_write(struct vapic *apic, u32 value)
{
	u32 before = timer_mode(apic);

	apic->lvt[VAPIC_LVT_TIMER] = value;
	/* To and from TSC-deadline mode the timer is disarmed. SDM 11.5.4.1. */
	if (before != timer_mode(apic) && (before | timer_mode(apic)) >= TIMER_TSC_DEADLINE) {
		timer_stop(apic);
		apic->initial_count = 0;
		apic->tsc_deadline = 0;
	}
}

u64 vapic_read_deadline(const struct vapic *apic)
{
	return apic->tsc_deadline;
}

void vapic_tsc_moved(struct vapic *apic)
{
	u64 deadline;

	if (!apic->tsc_deadline)
		return;
	deadline = apic->ops->deadline_ns(apic->ctx, apic->vcpu, apic->tsc_deadline);
	if (deadline == CLOCK_NEVER) {
		timer_stop(apic);
	} else if (deadline <= clock_now(apic->clock)) {
		timer_stop(apic);
		timer_expired(apic);
	} else {
		timer_start(apic, deadline);
	}
}

void vapic_write_deadline(struct vapic *apic, u64 guest_tsc)
{
	if (timer_mode(apic) != TIMER_TSC_DEADLINE || apic->mode == VAPIC_DISABLED)
		return;
	apic->tsc_deadline = guest_tsc;
	if (guest_tsc)
		vapic_tsc_moved(apic);
	else
		timer_stop(apic);
}

/* ---- reset and modes ---- */

/* SDM 11.4.7.1. The mode stays. */
static void registers_reset(struct vapic *apic)
{
	timer_stop(apic);
	memset(apic->irr, 0, sizeof(apic->irr));
	memset(apic->isr, 0, sizeof(apic->isr));
	memset(apic->tmr, 0, sizeof(apic->tmr));
	for (u32 i = 0; i < VAPIC_LVT_COUNT; i++)
		apic->lvt[i] = LVT_MASKED;
	apic->tpr = 0;
	apic->svr = SVR_RESET;
	apic->ldr = 0;
	apic->dfr = DFR_RESET;
	apic->esr = 0;
	apic->esr_pending = 0;
	apic->initial_count = 0;
	apic->divide = 0;
	apic->icr = 0;
	apic->tsc_deadline = 0;
	apic->irr_words = 0;
	apic->isr_words = 0;
	apic->ppr = 0;
}

void vapic_init(struct vapic *apic, u32 vcpu, struct vapic_bus *bus, struct clock *clock,
		u64 timer_hz, const struct vapic_ops *ops, void *ctx)
{
	memset(apic, 0, sizeof(*apic));
	apic->vcpu = vcpu;
	apic->bus = bus;
	apic->clock = clock;
	apic->timer_hz = timer_hz;
	apic->ops = ops;
	apic->ctx = ctx;
	timer_init(&apic->timer, timer_expired, apic);
	bus->apics[vcpu] = apic;
	bus->count = vcpu + 1;
	vapic_reset(apic);
}

void vapic_reset(struct vapic *apic)
{
	apic->mode = VAPIC_XAPIC;
	registers_reset(apic);
	routing_changed(apic);
}

u64 vapic_read_base(const struct vapic *apic)
{
	u64 base = VAPIC_BASE;

	if (apic->vcpu == 0)
		base |= BASE_BSP;
	if (apic->mode != VAPIC_DISABLED)
		base |= BASE_ENABLE;
	if (apic->mode == VAPIC_X2APIC)
		base |= BASE_EXTENDED;
	return base;
}

/* SDM 11.12.5 and figure 11-27. BSP is read-only: APM vol. 2 section 16.3.1. */
enum io_result vapic_write_base(struct vapic *apic, u64 value)
{
	u32 mode = VAPIC_DISABLED;

	if ((value & ~(BASE_BSP | BASE_EXTENDED | BASE_ENABLE)) != VAPIC_BASE)
		return IO_FAULT;
	if (value & BASE_ENABLE)
		mode = value & BASE_EXTENDED ? VAPIC_X2APIC : VAPIC_XAPIC;
	else if (value & BASE_EXTENDED)
		return IO_FAULT;
	if (mode == apic->mode)
		return IO_DONE;
	if ((apic->mode == VAPIC_DISABLED && mode == VAPIC_X2APIC) ||
	    (apic->mode == VAPIC_X2APIC && mode == VAPIC_XAPIC))
		return IO_FAULT;
	apic->mode = mode;
	if (mode == VAPIC_DISABLED)
		registers_reset(apic);
	routing_changed(apic);
	return IO_DONE;
}

/* ---- messages: SDM 11.6.2, 11.12.10 ---- */

static u32 x2apic_ldr(const struct vapic *apic)
{
	return apic->vcpu >> 4 << 16 | (u32)1 << (apic->vcpu & 15);
}

static bool matches(const struct vapic *apic, u32 dest, bool logical)
{
	u32 ldr;

	if (apic->mode == VAPIC_DISABLED)
		return false;
	if (dest == DEST_ALL)
		return true;
	if (!logical)
		return dest == apic->vcpu;
	if (apic->mode == VAPIC_X2APIC) {
		ldr = x2apic_ldr(apic);
		return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
	}
	if (dest > 0xff)
		return false;
	ldr = apic->ldr >> 24;
	if ((apic->dfr & DFR_MODEL) == DFR_FLAT)
		return dest & ldr;
	return (dest >> 4 == ldr >> 4 || dest >> 4 == 15) && (dest & ldr & 15);
}

/* An APIC that software has disabled still takes NMI, INIT and start-up. SDM 11.4.7.2. */
static bool takes(const struct vapic *apic, u8 delivery)
{
	switch (delivery) {
	case VAPIC_FIXED:
	case VAPIC_LOWEST:
		return software_enabled(apic);
	case VAPIC_NMI:
	case VAPIC_INIT:
	case VAPIC_STARTUP:
		return true;
	default:
		/* There is neither SMM nor an 8259 to acknowledge an external interrupt. */
		return false;
	}
}

static bool deliver(struct vapic *apic, u8 delivery, u8 vector, bool level)
{
	if (!takes(apic, delivery))
		return false;
	switch (delivery) {
	case VAPIC_NMI:
		apic->ops->nmi(apic->ctx, apic->vcpu);
		return true;
	case VAPIC_INIT:
		registers_reset(apic);
		apic->ops->init(apic->ctx, apic->vcpu);
		routing_changed(apic);
		return true;
	case VAPIC_STARTUP:
		apic->ops->startup(apic->ctx, apic->vcpu, vector);
		return true;
	default:
		break;
	}
	if (vector < FIRST_VECTOR) {
		raise_error(apic, ESR_RECEIVE_VECTOR);
		return false;
	}
	accept(apic, vector, level);
	return true;
}

/* @except, which may be NULL, doesn't get it. */
static bool send(struct vapic_bus *bus, u32 dest, bool logical, u8 delivery, u8 vector, bool level,
		 const struct vapic *except)
{
	struct vapic *best = NULL;
	bool taken = false;

	/* The most common case; ids are indices. */
	if (!logical && dest < bus->count)
		return bus->apics[dest]->mode != VAPIC_DISABLED &&
		       deliver(bus->apics[dest], delivery, vector, level);
	for (u32 i = 0; i < bus->count; i++) {
		struct vapic *apic = bus->apics[i];

		if (apic == except || !matches(apic, dest, logical))
			continue;
		if (delivery != VAPIC_LOWEST)
			taken |= deliver(apic, delivery, vector, level);
		else if (takes(apic, delivery) && (!best || apic->ppr < best->ppr))
			best = apic;
	}
	return taken || (best && deliver(best, delivery, vector, level));
}

bool vapic_accept_message(struct vapic_bus *bus, u32 dest, bool logical, u8 delivery_mode,
			  u8 vector, bool level)
{
	if (dest == DEST_ALL_8)
		dest = DEST_ALL;
	return send(bus, dest, logical, delivery_mode, vector, level, NULL);
}

bool vapic_has_destination(const struct vapic_bus *bus, u32 dest, bool logical, u8 delivery_mode)
{
	if (dest == DEST_ALL_8)
		dest = DEST_ALL;
	for (u32 i = 0; i < bus->count; i++)
		if (matches(bus->apics[i], dest, logical) && takes(bus->apics[i], delivery_mode))
			return true;
	return false;
}

/* An IPI is edge-triggered whatever the ICR says. SDM 11.6.1. */
static void ipi_send(struct vapic *apic, u32 command, u32 dest)
{
	u8 delivery = (u8)(command >> ICR_DELIVERY_SHIFT & 7);
	u8 vector = (u8)(command & ICR_VECTOR);

	if (delivery <= VAPIC_LOWEST && vector < FIRST_VECTOR) {
		raise_error(apic, ESR_SEND_VECTOR);
		return;
	}
	/* De-assertion of INIT has had no effect since the Pentium 4. */
	if (delivery == VAPIC_INIT && (command & (ICR_LEVEL | ICR_ASSERT)) == ICR_LEVEL)
		return;
	switch (command & ICR_SHORTHAND) {
	case 0:
		send(apic->bus, dest, command & ICR_LOGICAL, delivery, vector, false, NULL);
		break;
	/* With these two shorthands only fixed delivery is valid. SDM table 11-3. */
	case ICR_TO_SELF:
		if (delivery == VAPIC_FIXED)
			deliver(apic, delivery, vector, false);
		break;
	case ICR_TO_ALL:
		if (delivery == VAPIC_FIXED)
			send(apic->bus, DEST_ALL, false, delivery, vector, false, NULL);
		break;
	case ICR_TO_OTHERS:
		send(apic->bus, DEST_ALL, false, delivery, vector, false, apic);
		break;
	}
}

static void icr_write(struct vapic *apic, u32 command)
{
	u32 dest = (u32)(apic->icr >> 56);

	apic->icr = (apic->icr & ~(u64)0xffffffff) | (command & ICR_WRITABLE);
	ipi_send(apic, command & ICR_WRITABLE, dest == DEST_ALL_8 ? DEST_ALL : dest);
}

/* ---- registers ---- */

static void lvt_write(struct vapic *apic, u32 entry, u32 value)
{
	value &= lvt_bits[entry];
	if (!software_enabled(apic))
		value |= LVT_MASKED;
	if (entry == VAPIC_LVT_TIMER)
		timer_lvt_write(apic, value);
	else
		apic->lvt[entry] = value;
}

static void svr_write(struct vapic *apic, u32 value)
{
	bool was_enabled = software_enabled(apic);

	apic->svr = value & SVR_WRITABLE;
	if (was_enabled == software_enabled(apic))
		return;
	/* SDM 11.4.7.2. */
	if (was_enabled)
		for (u32 i = 0; i < VAPIC_LVT_COUNT; i++)
			apic->lvt[i] |= LVT_MASKED;
	routing_changed(apic);
}

/* The registers that both modes have. False: there is none. */
static bool register_read(const struct vapic *apic, u32 reg, u32 *value)
{
	switch (reg) {
	case REG_VERSION:
		*value = VERSION;
		return true;
	case REG_TPR:
		*value = apic->tpr;
		return true;
	case REG_PPR:
		*value = apic->ppr;
		return true;
	case REG_SVR:
		*value = apic->svr;
		return true;
	case REG_ISR ... REG_ISR + 7:
		*value = apic->isr[reg - REG_ISR];
		return true;
	case REG_TMR ... REG_TMR + 7:
		*value = apic->tmr[reg - REG_TMR];
		return true;
	case REG_IRR ... REG_IRR + 7:
		*value = apic->irr[reg - REG_IRR];
		return true;
	case REG_ESR:
		*value = apic->esr;
		return true;
	case REG_LVT ... REG_LVT_LAST:
		*value = apic->lvt[reg - REG_LVT];
		return true;
	case REG_INITIAL_COUNT:
		*value = apic->initial_count;
		return true;
	case REG_CURRENT_COUNT:
		*value = timer_current(apic);
		return true;
	case REG_DIVIDE:
		*value = apic->divide;
		return true;
	default:
		return false;
	}
}

static bool register_write(struct vapic *apic, u32 reg, u32 value)
{
	switch (reg) {
	case REG_TPR:
		tpr_write(apic, value & 0xff);
		return true;
	case REG_SVR:
		svr_write(apic, value);
		return true;
	case REG_ESR:
		apic->esr = apic->esr_pending;
		apic->esr_pending = 0;
		return true;
	case REG_LVT ... REG_LVT_LAST:
		lvt_write(apic, reg - REG_LVT, value);
		return true;
	case REG_INITIAL_COUNT:
		timer_initial_write(apic, value);
		return true;
	case REG_DIVIDE:
		timer_divide_write(apic, value);
		return true;
	default:
		return false;
	}
}

/* Reads and writes of all but the EOI are not inlined: it is written most. */
__attribute__((noinline)) static u32 xapic_read(struct vapic *apic, u32 reg)
{
	u32 value = 0;

	switch (reg) {
	case REG_ID:
		return apic->vcpu << 24;
	case REG_LDR:
		return apic->ldr;
	case REG_DFR:
		return apic->dfr;
	case REG_ICR:
		return (u32)apic->icr;
	case REG_ICR_HIGH:
		return (u32)(apic->icr >> 32);
	/* Write-only, or gone since the Pentium 4, but not reserved. SDM table 11-1. */
	case REG_EOI:
	case REG_APR:
	case REG_RRD:
		return 0;
	default:
		if (!register_read(apic, reg, &value))
			raise_error(apic, ESR_REGISTER);
		return value;
	}
}

__attribute__((noinline)) static void xapic_write(struct vapic *apic, u32 reg, u32 value)
{
	u32 unused;

	switch (reg) {
	case REG_ICR:
		icr_write(apic, value);
		return;
	case REG_ICR_HIGH:
		apic->icr = (u64)(value & LDR_WRITABLE) << 32 | (u32)apic->icr;
		return;
	case REG_LDR:
		apic->ldr = value & LDR_WRITABLE;
		routing_changed(apic);
		return;
	case REG_DFR:
		apic->dfr = value | ~DFR_MODEL;
		routing_changed(apic);
		return;
	/* Whether the id can be written depends on the model (SDM 11.4.6): not in this one. */
	case REG_ID:
	case REG_APR:
	case REG_RRD:
		return;
	default:
		/* Read-only registers are there, too. */
		if (!register_write(apic, reg, value) && !register_read(apic, reg, &unused))
			raise_error(apic, ESR_REGISTER);
	}
}

enum io_result vapic_mmio(void *ctx, struct io_access *access)
{
	struct vapic_bus *bus = ctx;
	struct vapic *apic = bus->apics[access->vcpu];
	u32 reg = (u32)(access->offset >> 4);

	/* SDM 11.4.1. */
	if (apic->mode != VAPIC_XAPIC || access->size != 4 || access->offset & 15) {
		if (!access->is_write)
			access->value = UINT64_MAX >> (64 - 8 * access->size);
		return IO_DONE;
	}
	if (!access->is_write)
		access->value = xapic_read(apic, reg);
	else if (reg == REG_EOI)
		end_of_interrupt(apic);
	else
		xapic_write(apic, reg, (u32)access->value);
	return IO_DONE;
}

static enum io_result x2apic_read(struct vapic *apic, u32 reg, u64 *value)
{
	u32 low = 0;

	switch (reg) {
	case REG_ID:
		low = apic->vcpu;
		break;
	case REG_LDR:
		low = x2apic_ldr(apic);
		break;
	case REG_ICR:
		*value = apic->icr;
		return IO_DONE;
	default:
		if (!register_read(apic, reg, &low))
			return IO_FAULT;
	}
	*value = low;
	return IO_DONE;
}

/* The bits that may be set in a write to one of the registers that both modes have. */
static u32 x2apic_allowed(u32 reg)
{
	switch (reg) {
	case REG_TPR:
		return 0xff;
	case REG_SVR:
		return SVR_WRITABLE;
	case REG_LVT ... REG_LVT_LAST:
		return lvt_bits[reg - REG_LVT] | LVT_READ_ONLY;
	case REG_INITIAL_COUNT:
		return 0xffffffff;
	case REG_DIVIDE:
		return DIVIDE_WRITABLE;
	default:
		return 0;
	}
}

/* SDM 11.12.1.2, 11.12.1.3. */
static enum io_result x2apic_write(struct vapic *apic, u32 reg, u64 value)
{
	switch (reg) {
	case REG_EOI:
		if (value)
			return IO_FAULT;
		end_of_interrupt(apic);
		return IO_DONE;
	case REG_ICR:
		/* The delivery status is no longer there, but tolerated. */
		if ((u32)value & ~(ICR_WRITABLE | ICR_STATUS))
			return IO_FAULT;
		apic->icr = value & ~(u64)ICR_STATUS;
		ipi_send(apic, (u32)apic->icr, (u32)(value >> 32));
		return IO_DONE;
	case REG_SELF_IPI:
		if (value > 0xff)
			return IO_FAULT;
		ipi_send(apic, (u32)value | ICR_TO_SELF, 0);
		return IO_DONE;
	default:
		if (value & ~(u64)x2apic_allowed(reg))
			return IO_FAULT;
		return register_write(apic, reg, (u32)value) ? IO_DONE : IO_FAULT;
	}
}

enum io_result vapic_msr(void *ctx, struct io_access *access)
{
	struct vapic_bus *bus = ctx;
	struct vapic *apic = bus->apics[access->vcpu];

	if (apic->mode != VAPIC_X2APIC)
		return IO_FAULT;
	if (access->is_write)
		return x2apic_write(apic, (u32)access->offset, access->value);
	return x2apic_read(apic, (u32)access->offset, &access->value);
}

/* ---- state ---- */

#define VAPIC_FIELDS(SAVED, TRANSIENT)                                                             \
	SAVED(struct vapic, mode)                                                                  \
	SAVED(struct vapic, tpr)                                                                   \
	SAVED(struct vapic, irr)                                                                   \
	SAVED(struct vapic, isr)                                                                   \
	SAVED(struct vapic, tmr)                                                                   \
	SAVED(struct vapic, lvt)                                                                   \
	SAVED(struct vapic, svr)                                                                   \
	SAVED(struct vapic, ldr)                                                                   \
	SAVED(struct vapic, dfr)                                                                   \
	SAVED(struct vapic, esr)                                                                   \
	SAVED(struct vapic, esr_pending)                                                           \
	SAVED(struct vapic, initial_count)                                                         \
	SAVED(struct vapic, divide)                                                                \
	TRANSIENT(struct vapic, pad, "padding")                                                    \
	SAVED(struct vapic, icr)                                                                   \
	SAVED(struct vapic, timer_deadline)                                                        \
	SAVED(struct vapic, tsc_deadline)                                                          \
	TRANSIENT(struct vapic, irr_words, "derived from irr")                                     \
	TRANSIENT(struct vapic, isr_words, "derived from isr")                                     \
	TRANSIENT(struct vapic, ppr, "derived from isr and tpr")                                   \
	TRANSIENT(struct vapic, vcpu, "wiring")                                                    \
	TRANSIENT(struct vapic, timer_hz, "wiring")                                                \
	TRANSIENT(struct vapic, bus, "wiring")                                                     \
	TRANSIENT(struct vapic, clock, "wiring")                                                   \
	TRANSIENT(struct vapic, ops, "wiring")                                                     \
	TRANSIENT(struct vapic, ctx, "wiring")                                                     \
	TRANSIENT(struct vapic, timer, "armed again from timer_deadline")

static u32 words_summary(const u32 words[8])
{
	u32 summary = 0;

	for (u32 i = 0; i < 8; i++)
		summary |= (u32)(words[i] != 0) << i;
	return summary;
}

static const char *timer_wrong(const struct vapic *apic)
{
	u32 mode = timer_mode(apic);
	bool running = apic->timer_deadline != CLOCK_NEVER;

	if (apic->divide & ~DIVIDE_WRITABLE)
		return "timer divisor";
	if (apic->tsc_deadline && mode != TIMER_TSC_DEADLINE)
		return "TSC deadline in another timer mode";
	if (apic->initial_count && mode == TIMER_TSC_DEADLINE)
		return "count in TSC-deadline mode";
	if (running && mode == TIMER_TSC_DEADLINE && !apic->tsc_deadline)
		return "timer runs without a TSC deadline";
	if (running && mode <= TIMER_PERIODIC && !apic->initial_count)
		return "timer runs without a count";
	if (running && mode > TIMER_TSC_DEADLINE)
		return "timer runs in a reserved mode";
	return NULL;
}

static const char *registers_wrong(const struct vapic *apic)
{
	if (apic->mode > VAPIC_X2APIC)
		return "APIC mode";
	if ((apic->irr[0] | apic->isr[0] | apic->tmr[0]) & 0xffff)
		return "vector below 16";
	if (apic->tpr > 0xff)
		return "task priority";
	if (apic->svr & ~SVR_WRITABLE)
		return "spurious vector register";
	if (apic->ldr & ~LDR_WRITABLE)
		return "logical destination";
	if (~apic->dfr & ~DFR_MODEL)
		return "destination format";
	if ((apic->esr | apic->esr_pending) & ~0xffu)
		return "error status";
	if ((u32)apic->icr & ~ICR_WRITABLE ||
	    (apic->mode != VAPIC_X2APIC && apic->icr >> 32 & ~LDR_WRITABLE))
		return "interrupt command";
	for (u32 i = 0; i < VAPIC_LVT_COUNT; i++) {
		if (apic->lvt[i] & ~lvt_bits[i])
			return "local vector table";
		if (!software_enabled(apic) && !(apic->lvt[i] & LVT_MASKED))
			return "local interrupt not masked in a disabled APIC";
	}
	if (apic->mode == VAPIC_DISABLED &&
	    (words_summary(apic->irr) || words_summary(apic->isr) || software_enabled(apic) ||
	     apic->timer_deadline != CLOCK_NEVER))
		return "disabled APIC at work";
	return NULL;
}

static enum hv_error state_check(const void *obj, const char **why)
{
	const char *wrong = registers_wrong(obj);

	if (!wrong)
		wrong = timer_wrong(obj);
	if (!wrong)
		return HV_OK;
	*why = wrong;
	return HV_ECORRUPT;
}

static void state_loaded(void *obj)
{
	struct vapic *apic = obj;

	apic->irr_words = words_summary(apic->irr);
	apic->isr_words = words_summary(apic->isr);
	ppr_update(apic);
	timer_cancel(apic->clock, &apic->timer);
	if (apic->timer_deadline != CLOCK_NEVER)
		timer_arm(apic->clock, &apic->timer, apic->timer_deadline);
}

STATE_DEFINE(vapic_state, "vapic", 1, struct vapic, VAPIC_FIELDS, .check = state_check,
	     .after_load = state_loaded);
