/* SPDX-License-Identifier: MIT */
/*
 * The I/O APIC: 24 pins as an interrupt chip, registers of the Intel 82093AA (datasheet 290566)
 * with the EOI register of version 20h (as in Intel's ICH9 datasheet, section 13.5).
 *
 * A line is high while it is asserted, whatever polarity the guest has programmed: who drives it
 * doesn't know about polarity.
 */
#ifndef DEVICES_VIOAPIC_H
#define DEVICES_VIOAPIC_H

#include <devices/vapic.h>
#include <hv/io.h>
#include <hv/irq.h>
#include <hv/state.h>
#include <hv/types.h>

#define VIOAPIC_BASE ((u64)0xfec00000)
#define VIOAPIC_SIZE ((u64)0x1000)
#define VIOAPIC_PINS 24

struct vioapic {
	u64 redirection[VIOAPIC_PINS]; /* with remote IRR, without delivery status */
	u32 level;                     /* bit per pin: the line is high */
	u32 edges;                     /* bit per pin: an edge that no APIC has taken yet */
	u32 select;
	u32 id;
	u32 enabled; /* bit per pin: as last told to the watcher */
	u32 pad;
	struct vapic_bus *bus;
	struct {
		void (*fn)(void *ctx);
		void *ctx;
	} watchers[VIOAPIC_PINS];
};

extern const struct state_desc vioapic_state;

/*
 * Makes @ioapic the I/O APIC in front of @bus, which is kept and told of it; its state is that
 * after power-on.
 */
void vioapic_init(struct vioapic *ioapic, struct vapic_bus *bus);

/* Power-on state of the registers; lines and watchers stay, watchers are told. */
void vioapic_reset(struct vioapic *ioapic);

/* io_handler for VIOAPIC_BASE; @ctx is the struct vioapic. */
enum io_result vioapic_mmio(void *ctx, struct io_access *access);

/* An APIC has ended the level-triggered interrupt @vector: vapic_ops.eoi. */
void vioapic_eoi(struct vioapic *ioapic, u8 vector);

/*
 * The line to @pin, not connected if there is no such pin. It can be watched by one: the last who
 * asked.
 */
struct irq_line vioapic_line(struct vioapic *ioapic, u32 pin);

#endif
