/* SPDX-License-Identifier: MIT */
#include <devices/pit.h>

#include <string.h>

#define PORT_CONTROL 3

/* Control word, 231164 figure 7. */
#define CONTROL_SELECT(v) ((v) >> 6)
#define CONTROL_ACCESS(v) (((v) >> 4) & 3)
#define CONTROL_MODE(v)   (((v) >> 1) & 7)
#define CONTROL_BCD       0x01
#define SELECT_READ_BACK  3

/* Read-back command, figure 10: the two latches are active when 0. */
#define READ_BACK_NO_COUNT  0x20
#define READ_BACK_NO_STATUS 0x10

#define ACCESS_LATCH 0
#define ACCESS_LOW   1
#define ACCESS_HIGH  2
#define ACCESS_BOTH  3

/* Status byte, figure 11. */
#define STATUS_OUT  0x80
#define STATUS_NULL 0x40

/* Port 0x61 of a PC/AT (Intel 82371SB, "NMI Status and Control Register"). */
#define PORT61_GATE2   0x01
#define PORT61_WRITE   0x0f
#define PORT61_REFRESH 0x10
#define PORT61_OUT2    0x20

/* Counter 1 of a PC asks for a refresh every 18 ticks; bit 4 changes each time. */
#define REFRESH_TICKS 18

#define TICKS_MAX muldiv_u64(UINT64_MAX, PIT_HZ, NS_PER_SEC)

static u64 now_ticks(const struct pit *pit)
{
	return muldiv_u64(clock_now(pit->clock), PIT_HZ, NS_PER_SEC);
}

static u64 ticks_to_ns(u64 ticks)
{
	return min_u64(muldiv_u64(ticks, NS_PER_SEC, PIT_HZ) + 1, CLOCK_NEVER - 1);
}

static u32 modulus(const struct pit_channel *ch)
{
	return ch->bcd ? 10000 : 65536;
}

static u16 to_bcd(u32 value)
{
	return (u16)(value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 |
		     value % 10);
}

static u32 from_bcd(u16 value)
{
	return (value >> 12) * 1000U + (value >> 8 & 15) * 100U + (value >> 4 & 15) * 10U +
	       (value & 15);
}

static u64 elapsed(const struct pit_channel *ch, u64 now)
{
	if (!ch->running || now < ch->start)
		return ch->counted;
	return ch->counted + (now - ch->start);
}

static void start(struct pit_channel *ch, u64 now)
{
	if (ch->next) {
		ch->reload = ch->next;
		ch->next = 0;
	}
	ch->counted = 0;
	ch->start = now;
	ch->running = ch->reload != 0;
}

/* Takes over a count that was written during a period which has ended since. */
static void catch_up(struct pit_channel *ch, u64 now)
{
	u64 past = elapsed(ch, now);

	if (!ch->next || past < ch->switch_at)
		return;
	past -= ch->switch_at;
	start(ch, now > past ? now - past : 0);
}

static u16 count(const struct pit_channel *ch, u64 now)
{
	u64 past = elapsed(ch, now);
	u32 value, half;

	if (!ch->reload)
		return 0;
	switch (ch->mode) {
	case 2:
		value = ch->reload - (u32)(past % ch->reload);
		break;
	case 3:
		/* Counts by two; with an odd count the high half is one tick longer. */
		value = (u32)(past % ch->reload);
		half = (ch->reload + 1) / 2;
		if (value >= half)
			value -= half;
		value = (ch->reload & ~1U) - 2 * value;
		break;
	default:
		value = ch->reload + modulus(ch) - (u32)(past % modulus(ch));
		break;
	}
	value %= modulus(ch);
	return ch->bcd ? to_bcd(value) : (u16)value;
}

static bool out(const struct pit_channel *ch, u64 now)
{
	u64 past = elapsed(ch, now);

	switch (ch->mode) {
	case 0:
		return ch->reload && past >= ch->reload;
	case 1:
		return !ch->running || past >= ch->reload;
	case 2:
		return !ch->running || past % ch->reload != ch->reload - 1;
	case 3:
		return !ch->running || past % ch->reload < (ch->reload + 1) / 2;
	default:
		return !ch->reload || past != ch->reload;
	}
}

static void irq_schedule(struct pit *pit, u64 due)
{
	pit->irq_due = due;
	if (due == CLOCK_NEVER)
		timer_cancel(pit->clock, &pit->timer);
	else
		timer_arm(pit->clock, &pit->timer, due);
}

/* When the output of counter 0 rises next, ns of guest time. */
static u64 next_edge(const struct pit *pit, u64 now)
{
	const struct pit_channel *ch = &pit->channels[0];
	u64 past = elapsed(ch, now), edge;

	if (!ch->running)
		return CLOCK_NEVER;
	switch (ch->mode) {
	case 0:
		edge = ch->reload;
		break;
	case 2:
	case 3:
		edge = (past / ch->reload + 1) * ch->reload;
		break;
	case 4:
		edge = (u64)ch->reload + 1;
		break;
	default:
		return CLOCK_NEVER;
	}
	return edge > past ? ticks_to_ns(ch->start + (edge - ch->counted)) : CLOCK_NEVER;
}

static void timer_fn(void *ctx)
{
	struct pit *pit = ctx;
	u64 now = now_ticks(pit), due;

	irq_pulse(&pit->line0);
	catch_up(&pit->channels[0], now);
	due = next_edge(pit, now);
	if (due != CLOCK_NEVER)
		due = max_u64(due, clock_now(pit->clock) + PIT_IRQ_GAP_NS);
	irq_schedule(pit, due);
}

static void set_gate(struct pit_channel *ch, u64 now, bool gate)
{
	if (gate == ch->gate)
		return;
	catch_up(ch, now);
	ch->gate = gate;
	if (ch->mode == 0 || ch->mode == 4) {
		/* The gate holds the count. */
		ch->counted = elapsed(ch, now);
		ch->start = now;
		ch->running = gate && ch->reload;
	} else if (gate) {
		start(ch, now);
	} else if (ch->mode == 2 || ch->mode == 3) {
		ch->counted = elapsed(ch, now);
		ch->running = 0;
	}
}

static void load(struct pit_channel *ch, u64 now, u16 value)
{
	u32 wanted = ch->bcd ? from_bcd(value) % 10000 : value;

	if (!wanted)
		wanted = modulus(ch);
	if (ch->mode == 1 || ch->mode == 5) {
		/* Waits for the gate to rise. */
		ch->next = wanted;
		ch->switch_at = UINT64_MAX;
	} else if ((ch->mode == 2 || ch->mode == 3) && ch->running) {
		ch->next = wanted;
		ch->switch_at = (elapsed(ch, now) / ch->reload + 1) * ch->reload;
	} else {
		ch->next = wanted;
		start(ch, now);
		ch->running = ch->gate;
	}
}

static void write_count(struct pit *pit, u32 index, u8 value)
{
	struct pit_channel *ch = &pit->channels[index];
	u64 now = now_ticks(pit);

	catch_up(ch, now);
	switch (ch->access) {
	case ACCESS_LOW:
		load(ch, now, value);
		break;
	case ACCESS_HIGH:
		load(ch, now, (u16)(value << 8));
		break;
	default:
		if (!ch->write_half) {
			ch->write_low = value;
			ch->write_half = 1;
			/* Mode 0: the first byte stops the counting and the output goes low. */
			if (ch->mode == 0) {
				ch->reload = 0;
				ch->counted = 0;
				ch->running = 0;
			}
		} else {
			ch->write_half = 0;
			load(ch, now, (u16)(value << 8 | ch->write_low));
		}
		break;
	}
	if (index == 0)
		irq_schedule(pit, next_edge(pit, now));
}

static u8 read_count(struct pit *pit, u32 index)
{
	struct pit_channel *ch = &pit->channels[index];
	bool high = ch->access == ACCESS_HIGH;
	u64 now = now_ticks(pit);
	u16 value;

	if (ch->status_latched) {
		ch->status_latched = 0;
		return ch->status;
	}
	if (ch->latched) {
		if (ch->access == ACCESS_BOTH)
			high = ch->latched == 1;
		ch->latched--;
		value = ch->latch;
	} else {
		catch_up(ch, now);
		if (ch->access == ACCESS_BOTH) {
			high = ch->read_half;
			ch->read_half = !high;
		}
		value = count(ch, now);
	}
	return (u8)(high ? value >> 8 : value);
}

static void latch_count(struct pit_channel *ch, u64 now)
{
	/* A latch that was not read yet stays. */
	if (ch->latched)
		return;
	ch->latch = count(ch, now);
	ch->latched = ch->access == ACCESS_BOTH ? 2 : 1;
}

static void latch_status(struct pit_channel *ch, u64 now)
{
	if (ch->status_latched)
		return;
	ch->status = (u8)(ch->access << 4 | ch->mode << 1 | ch->bcd);
	if (out(ch, now))
		ch->status |= STATUS_OUT;
	if (ch->next || !ch->reload)
		ch->status |= STATUS_NULL;
	ch->status_latched = 1;
}

static void read_back(struct pit *pit, u8 value)
{
	u64 now = now_ticks(pit);

	for (u32 i = 0; i < 3; i++) {
		if (!(value & BIT(i + 1)))
			continue;
		catch_up(&pit->channels[i], now);
		if (!(value & READ_BACK_NO_COUNT))
			latch_count(&pit->channels[i], now);
		if (!(value & READ_BACK_NO_STATUS))
			latch_status(&pit->channels[i], now);
	}
}

static void write_control(struct pit *pit, u8 value)
{
	struct pit_channel *ch;
	u32 index = CONTROL_SELECT(value);
	u64 now = now_ticks(pit);

	if (index == SELECT_READ_BACK) {
		read_back(pit, value);
		return;
	}
	ch = &pit->channels[index];
	if (CONTROL_ACCESS(value) == ACCESS_LATCH) {
		catch_up(ch, now);
		latch_count(ch, now);
		return;
	}
	*ch = (struct pit_channel){
		.access = CONTROL_ACCESS(value),
		.mode = CONTROL_MODE(value),
		.bcd = value & CONTROL_BCD,
		.gate = ch->gate,
	};
	/* Modes 2 and 3 have a second code each. */
	if (ch->mode > 5)
		ch->mode = (u8)(ch->mode - 4);
	if (index == 0)
		irq_schedule(pit, CLOCK_NEVER);
}

enum io_result pit_io(void *ctx, struct io_access *access)
{
	struct pit *pit = ctx;
	u32 port = access->offset & (PIT_PORTS - 1);

	if (access->is_write) {
		if (port == PORT_CONTROL)
			write_control(pit, (u8)access->value);
		else
			write_count(pit, port, (u8)access->value);
	} else {
		access->value = port == PORT_CONTROL ? 0xff : read_count(pit, port);
	}
	return IO_DONE;
}

enum io_result pit_port61(void *ctx, struct io_access *access)
{
	struct pit *pit = ctx;
	struct pit_channel *ch = &pit->channels[2];
	u64 now = now_ticks(pit);

	if (access->is_write) {
		pit->port61 = access->value & PORT61_WRITE;
		set_gate(ch, now, pit->port61 & PORT61_GATE2);
		return IO_DONE;
	}
	catch_up(ch, now);
	access->value = pit->port61;
	if (now / REFRESH_TICKS & 1)
		access->value |= PORT61_REFRESH;
	if (out(ch, now))
		access->value |= PORT61_OUT2;
	return IO_DONE;
}

void pit_reset(struct pit *pit)
{
	for (u32 i = 0; i < 3; i++)
		pit->channels[i] = (struct pit_channel){.access = ACCESS_BOTH, .gate = i != 2};
	pit->port61 = 0;
	irq_schedule(pit, CLOCK_NEVER);
}

void pit_init(struct pit *pit, struct clock *clock, const struct irq_line *line0)
{
	memset(pit, 0, sizeof(*pit));
	pit->clock = clock;
	pit->line0 = *line0;
	timer_init(&pit->timer, timer_fn, pit);
	pit_reset(pit);
}

static enum hv_error check(const void *obj, const char **why)
{
	const struct pit *pit = obj;

	for (u32 i = 0; i < 3; i++) {
		const struct pit_channel *ch = &pit->channels[i];

		if (ch->mode > 5 || ch->access < ACCESS_LOW || ch->access > ACCESS_BOTH ||
		    ch->latched > 2 || ch->status_latched > 1 || ch->bcd > 1 || ch->gate > 1 ||
		    ch->running > 1 || ch->write_half > 1 || ch->read_half > 1) {
			*why = "a counter is in a mode that does not exist";
			return HV_EINVALID;
		}
		if (ch->reload > modulus(ch) || ch->next > modulus(ch) ||
		    (ch->running && !ch->reload)) {
			*why = "a count is out of range";
			return HV_EINVALID;
		}
		if (ch->start > TICKS_MAX) {
			*why = "a counter was started after the end of time";
			return HV_EINVALID;
		}
	}
	if (pit->port61 & ~PORT61_WRITE || pit->channels[2].gate != (pit->port61 & PORT61_GATE2)) {
		*why = "port 0x61 does not fit the gate";
		return HV_EINVALID;
	}
	return HV_OK;
}

static void after_load(void *obj)
{
	struct pit *pit = obj;

	irq_schedule(pit, pit->irq_due);
}

#define PIT_FIELDS(SAVED, TRANSIENT)                                                               \
	SAVED(struct pit, channels)                                                                \
	SAVED(struct pit, irq_due)                                                                 \
	SAVED(struct pit, port61)                                                                  \
	TRANSIENT(struct pit, pad, "padding")                                                      \
	TRANSIENT(struct pit, clock, "wiring")                                                     \
	TRANSIENT(struct pit, line0, "wiring")                                                     \
	TRANSIENT(struct pit, timer, "armed again from irq_due")

static_assert(sizeof(struct pit_channel) == 48, "a hole in a saved structure");

STATE_DEFINE(pit_state, "pit", 1, struct pit, PIT_FIELDS, .check = check, .after_load = after_load);
