/* SPDX-License-Identifier: MIT */
#include <devices/vioapic.h>
#include <string.h>

/* 82093AA section 3.1; ICH9 section 13.5 for the EOI register. */
#define OFFSET_SELECT 0x00u
#define OFFSET_WINDOW 0x10u
#define OFFSET_EOI    0x40u

/* 82093AA section 3.2. */
#define REG_ID          0x00u
#define REG_VERSION     0x01u
#define REG_ARBITRATION 0x02u
#define REG_REDIRECTION 0x10u

/* Version 20h, highest entry 23. */
#define VERSION     ((VIOAPIC_PINS - 1) << 16 | 0x20u)
#define ID_WRITABLE 0x0f000000u

/* Redirection table: 82093AA section 3.2.4. */
#define ENTRY_VECTOR         0xffu
#define ENTRY_DELIVERY_SHIFT 8
#define ENTRY_LOGICAL        BIT(11)
#define ENTRY_STATUS         BIT(12)
#define ENTRY_REMOTE_IRR     BIT(14)
#define ENTRY_LEVEL          BIT(15)
#define ENTRY_MASKED         BIT(16)
#define ENTRY_DEST_SHIFT     56
#define ENTRY_WRITABLE       ((u64)0xff << ENTRY_DEST_SHIFT | 0x1afff)

#define ALL_PINS (((u32)1 << VIOAPIC_PINS) - 1)

static u8 entry_delivery(u64 entry)
{
	return (u8)(entry >> ENTRY_DELIVERY_SHIFT & 7);
}

static u32 entry_dest(u64 entry)
{
	return (u32)(entry >> ENTRY_DEST_SHIFT);
}

/* Only these two have an EOI; the others are treated as edges. 82093AA section 3.2.4. */
static bool entry_is_level(u64 entry)
{
	return (entry & ENTRY_LEVEL) && entry_delivery(entry) <= VAPIC_LOWEST;
}

static bool pin_enabled(const struct vioapic *ioapic, u32 pin)
{
	u64 entry = ioapic->redirection[pin];

	return !(entry & ENTRY_MASKED) &&
	       vapic_has_destination(ioapic->bus, entry_dest(entry), entry & ENTRY_LOGICAL,
				     entry_delivery(entry));
}

/* Sends what @pin has to send, if anything. */
static void pin_service(struct vioapic *ioapic, u32 pin)
{
	u64 *entry = &ioapic->redirection[pin];
	u32 bit = (u32)1 << pin;
	bool level = entry_is_level(*entry);

	if (*entry & ENTRY_MASKED)
		return;
	if (level ? *entry & ENTRY_REMOTE_IRR || !(ioapic->level & bit) : !(ioapic->edges & bit))
		return;
	/* Beforehand: an INIT that is delivered changes the routing and leads back here. */
	ioapic->edges &= ~bit;
	if (vapic_accept_message(ioapic->bus, entry_dest(*entry), *entry & ENTRY_LOGICAL,
				 entry_delivery(*entry), (u8)(*entry & ENTRY_VECTOR), level)) {
		if (level)
			*entry |= ENTRY_REMOTE_IRR;
	} else if (!level) {
		ioapic->edges |= bit;
	}
}

static inline void pin_watch(struct vioapic *ioapic, u32 pin, bool tell)
{
	u32 bit = (u32)1 << pin;
	bool enabled = pin_enabled(ioapic, pin);

	if (enabled == ((ioapic->enabled & bit) != 0))
		return;
	ioapic->enabled ^= bit;
	if (tell && ioapic->watchers[pin].fn)
		ioapic->watchers[pin].fn(ioapic->watchers[pin].ctx);
}

static void routing_changed(void *ctx)
{
	struct vioapic *ioapic = ctx;

	for (u32 pin = 0; pin < VIOAPIC_PINS; pin++) {
		pin_service(ioapic, pin);
		pin_watch(ioapic, pin, true);
	}
}

/* ---- lines ---- */

static void line_set(void *ctx, u32 pin, bool level)
{
	struct vioapic *ioapic = ctx;
	u32 bit = (u32)1 << pin;
	bool was = ioapic->level & bit;

	if (level == was)
		return;
	ioapic->level ^= bit;
	if (!level)
		return;
	/*
	 * The datasheet ignores an edge on a masked pin. Here it is kept until it can be delivered:
	 * nobody repeats it, a guest that masks a pin only for a moment (to move the interrupt to
	 * another processor) would lose it for good, and a handler has to tolerate an interrupt too
	 * many on an edge-triggered line anyhow.
	 */
	if (!entry_is_level(ioapic->redirection[pin]))
		ioapic->edges |= bit;
	pin_service(ioapic, pin);
}

static bool line_enabled(void *ctx, u32 pin)
{
	return pin_enabled(ctx, pin);
}

static void line_watch(void *ctx, u32 pin, void (*fn)(void *fn_ctx), void *fn_ctx)
{
	struct vioapic *ioapic = ctx;

	ioapic->watchers[pin].fn = fn;
	ioapic->watchers[pin].ctx = fn_ctx;
}

static const struct irq_chip line_chip = {
	.set = line_set,
	.enabled = line_enabled,
	.watch = line_watch,
};

struct irq_line vioapic_line(struct vioapic *ioapic, u32 pin)
{
	if (pin >= VIOAPIC_PINS)
		return (struct irq_line){NULL, NULL, 0};
	return (struct irq_line){&line_chip, ioapic, pin};
}

/* ---- registers ---- */

static void entry_write(struct vioapic *ioapic, u32 pin, u64 value)
{
	u64 *entry = &ioapic->redirection[pin];

	*entry = (value & ENTRY_WRITABLE) | (*entry & ENTRY_REMOTE_IRR);
	/*
	 * What the pin had of one trigger mode means nothing in the other. Old guests rely on this
	 * to get rid of a remote IRR: they go to edge and back.
	 */
	if (entry_is_level(*entry))
		ioapic->edges &= ~((u32)1 << pin);
	else
		*entry &= ~ENTRY_REMOTE_IRR;
	pin_service(ioapic, pin);
	pin_watch(ioapic, pin, true);
}

static u32 window_read(const struct vioapic *ioapic)
{
	u32 pin = (ioapic->select - REG_REDIRECTION) / 2;
	u64 entry;

	switch (ioapic->select) {
	case REG_ID:
	/* Loaded with the id, and nothing arbitrates. 82093AA section 3.2.3. */
	case REG_ARBITRATION:
		return ioapic->id;
	case REG_VERSION:
		return VERSION;
	case REG_REDIRECTION ... REG_REDIRECTION + 2 * VIOAPIC_PINS - 1:
		entry = ioapic->redirection[pin];
		if (ioapic->edges >> pin & 1)
			entry |= ENTRY_STATUS;
		return (u32)(ioapic->select & 1 ? entry >> 32 : entry);
	default:
		return 0;
	}
}

static void window_write(struct vioapic *ioapic, u32 value)
{
	u32 pin = (ioapic->select - REG_REDIRECTION) / 2;
	u64 entry;

	switch (ioapic->select) {
	case REG_ID:
		ioapic->id = value & ID_WRITABLE;
		break;
	case REG_REDIRECTION ... REG_REDIRECTION + 2 * VIOAPIC_PINS - 1:
		entry = ioapic->redirection[pin];
		if (ioapic->select & 1)
			entry = (u64)value << 32 | (u32)entry;
		else
			entry = (entry & ~(u64)0xffffffff) | value;
		entry_write(ioapic, pin, entry);
		break;
	default:
		break;
	}
}

/* All registers are 32 bits wide, but the index, of which any access has the lowest byte. */
enum io_result vioapic_mmio(void *ctx, struct io_access *access)
{
	struct vioapic *ioapic = ctx;

	if (access->offset == OFFSET_SELECT && access->size <= 4) {
		if (access->is_write)
			ioapic->select = access->value & 0xff;
		else
			access->value = ioapic->select;
		return IO_DONE;
	}
	if (access->size != 4) {
		if (!access->is_write)
			access->value = UINT64_MAX >> (64 - 8 * access->size);
		return IO_DONE;
	}
	if (access->offset == OFFSET_WINDOW && access->is_write)
		window_write(ioapic, (u32)access->value);
	else if (access->offset == OFFSET_WINDOW)
		access->value = window_read(ioapic);
	else if (!access->is_write)
		access->value = 0;
	else if (access->offset == OFFSET_EOI)
		vioapic_eoi(ioapic, (u8)access->value);
	return IO_DONE;
}

void vioapic_eoi(struct vioapic *ioapic, u8 vector)
{
	for (u32 pin = 0; pin < VIOAPIC_PINS; pin++) {
		u64 *entry = &ioapic->redirection[pin];

		if (!(*entry & ENTRY_REMOTE_IRR) || (*entry & ENTRY_VECTOR) != vector)
			continue;
		*entry &= ~ENTRY_REMOTE_IRR;
		pin_service(ioapic, pin);
	}
}

static void registers_reset(struct vioapic *ioapic)
{
	for (u32 pin = 0; pin < VIOAPIC_PINS; pin++)
		ioapic->redirection[pin] = ENTRY_MASKED;
	ioapic->edges = 0;
	ioapic->select = 0;
	ioapic->id = 0;
}

void vioapic_reset(struct vioapic *ioapic)
{
	registers_reset(ioapic);
	for (u32 pin = 0; pin < VIOAPIC_PINS; pin++)
		pin_watch(ioapic, pin, true);
}

void vioapic_init(struct vioapic *ioapic, struct vapic_bus *bus)
{
	memset(ioapic, 0, sizeof(*ioapic));
	ioapic->bus = bus;
	bus->changed = routing_changed;
	bus->changed_ctx = ioapic;
	/* Nobody watches yet. */
	registers_reset(ioapic);
}

/* ---- state ---- */

#define VIOAPIC_FIELDS(SAVED, TRANSIENT)                                                           \
	SAVED(struct vioapic, redirection)                                                         \
	SAVED(struct vioapic, level)                                                               \
	SAVED(struct vioapic, edges)                                                               \
	SAVED(struct vioapic, select)                                                              \
	SAVED(struct vioapic, id)                                                                  \
	TRANSIENT(struct vioapic, enabled, "derived from the redirection table and the APICs")     \
	TRANSIENT(struct vioapic, pad, "padding")                                                  \
	TRANSIENT(struct vioapic, bus, "wiring")                                                   \
	TRANSIENT(struct vioapic, watchers, "wiring")

static enum hv_error state_check(const void *obj, const char **why)
{
	const struct vioapic *ioapic = obj;

	*why = "pin beyond the last";
	if ((ioapic->level | ioapic->edges) & ~ALL_PINS)
		return HV_ECORRUPT;
	*why = "register index or id";
	if (ioapic->select > 0xff || ioapic->id & ~ID_WRITABLE)
		return HV_ECORRUPT;
	for (u32 pin = 0; pin < VIOAPIC_PINS; pin++) {
		u64 entry = ioapic->redirection[pin];
		bool level = entry_is_level(entry);

		*why = "reserved bit in the redirection table";
		if (entry & ~(ENTRY_WRITABLE | ENTRY_REMOTE_IRR))
			return HV_ECORRUPT;
		*why = "pending interrupt of the other trigger mode";
		if (level ? ioapic->edges >> pin & 1 : (entry & ENTRY_REMOTE_IRR) != 0)
			return HV_ECORRUPT;
	}
	*why = NULL;
	return HV_OK;
}

static void state_loaded(void *obj)
{
	struct vioapic *ioapic = obj;

	for (u32 pin = 0; pin < VIOAPIC_PINS; pin++)
		pin_watch(ioapic, pin, false);
}

STATE_DEFINE(vioapic_state, "vioapic", 1, struct vioapic, VIOAPIC_FIELDS, .check = state_check,
	     .after_load = state_loaded);
