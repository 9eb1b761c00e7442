/* SPDX-License-Identifier: MIT */
/*
 * Interrupt lines. A device gets a line when it is made and knows neither APIC nor GIC: it sets or
 * pulses the line, and may ask, and be told, whether the guest has enabled it. An interrupt
 * controller implements struct irq_chip.
 */
#ifndef HV_IRQ_H
#define HV_IRQ_H

#include <hv/types.h>

struct irq_chip {
	/* The line's level changes to @level. */
	void (*set)(void *ctx, u32 number, bool level);
	/* Whether an interrupt on the line would reach a virtual CPU now (not masked, routed). */
	bool (*enabled)(void *ctx, u32 number);
	/* Calls @fn(@fn_ctx) each time the guest changes whether the line is enabled. */
	void (*watch)(void *ctx, u32 number, void (*fn)(void *fn_ctx), void *fn_ctx);
};

struct irq_line {
	const struct irq_chip *chip; /* NULL: not connected, everything below does nothing */
	void *ctx;
	u32 number;
};

static inline void irq_set(const struct irq_line *line, bool level)
{
	if (line->chip)
		line->chip->set(line->ctx, line->number, level);
}

/* One edge: up and down again. */
static inline void irq_pulse(const struct irq_line *line)
{
	irq_set(line, true);
	irq_set(line, false);
}

static inline bool irq_enabled(const struct irq_line *line)
{
	return line->chip && line->chip->enabled(line->ctx, line->number);
}

static inline void irq_watch(const struct irq_line *line, void (*fn)(void *), void *ctx)
{
	if (line->chip)
		line->chip->watch(line->ctx, line->number, fn, ctx);
}

#endif
