/* SPDX-License-Identifier: MIT */
/*
 * The timer of a PC: an 8254 (Intel 231164, "8254 Programmable Interval Timer") and the part of
 * port 0x61 that belongs to it.
 *
 * Everything is derived from guest time when software looks; only counter 0 needs a timer, for its
 * interrupt, which is one edge each time its output rises in modes 0, 2, 3 and 4. Interrupts that
 * were due while the guest did not run come as one, and no more often than PIT_IRQ_GAP_NS.
 * Not modelled: the one clock pulse between writing a count and its being loaded, and in mode 3
 * that a new count is taken over in the middle of a period rather than at its end.
 *
 * Register pit_io for PIT_PORTS ports at 0x40 and pit_port61 for port 0x61, accesses of one byte.
 */
#ifndef DEVICES_PIT_H
#define DEVICES_PIT_H

#include <hv/clock.h>
#include <hv/io.h>
#include <hv/irq.h>
#include <hv/state.h>

#define PIT_PORTS      4
#define PIT_HZ         ((u64)1193182)
#define PIT_IRQ_GAP_NS ((u64)50000)

struct pit_channel {
	u64 start;     /* tick (of 1 / PIT_HZ since guest time 0) at which it began to run */
	u64 counted;   /* ticks counted before @start */
	u64 switch_at; /* ticks counted when @next replaces @reload */
	u32 reload;    /* 1 to 65536; 0: no count yet */
	u32 next;      /* 0: none */
	u16 latch;
	u8 latched; /* bytes of @latch still to be read */
	u8 status;
	u8 status_latched;
	u8 mode;   /* 0 to 5 */
	u8 access; /* as in the control word: 1 low byte, 2 high byte, 3 low then high */
	u8 bcd;
	u8 gate;
	u8 running;
	u8 write_low;  /* low byte of a count whose high byte is to come */
	u8 write_half; /* 1: @write_low holds one */
	u8 read_half;  /* 1: the high byte is read next */
	u8 pad[3];
};

/* All of it belongs to whoever runs the VM's virtual CPU. */
struct pit {
	struct pit_channel channels[3];
	u64 irq_due; /* ns of guest time; CLOCK_NEVER: none */
	u8 port61;   /* bits 0-3 as written */
	u8 pad[7];
	struct clock *clock;
	struct irq_line line0;
	struct timer timer;
};

extern const struct state_desc pit_state;

/* @line0, which counter 0 drives, is copied and may be unconnected; @clock outlives the device. */
void pit_init(struct pit *pit, struct clock *clock, const struct irq_line *line0);

/* No counter has a count, gate 2 is low. */
void pit_reset(struct pit *pit);

/* io_handlers of struct pit: ports 0x40 to 0x43, and port 0x61. */
enum io_result pit_io(void *pit, struct io_access *access);
enum io_result pit_port61(void *pit, struct io_access *access);

#endif
