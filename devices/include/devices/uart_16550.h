/* SPDX-License-Identifier: MIT */
/*
 * The serial port of a PC: a 16550A with its FIFOs (TI PC16550D data sheet, section 8,
 * "Registers").
 *
 * Bytes are sent and received at once: the divisor is kept but times nothing. What the other end
 * does not take stays in the transmit FIFO, and what does not fit into the receive FIFO stays with
 * the other end, so nothing is lost in either direction. As on a PC the interrupt reaches the line
 * only while MCR.OUT2 is set and loopback is off.
 *
 * Register the handler for UART_16550_PORTS ports (or bytes of MMIO), accesses of one byte.
 */
#ifndef DEVICES_UART_16550_H
#define DEVICES_UART_16550_H

#include <hv/chardev.h>
#include <hv/clock.h>
#include <hv/io.h>
#include <hv/irq.h>
#include <hv/state.h>

#define UART_16550_PORTS 8
#define UART_16550_FIFO  16

/* All of it belongs to whoever runs the VM's virtual CPU. */
struct uart_16550 {
	u64 timeout_at;         /* ns of guest time of the receive time-out; CLOCK_NEVER: none */
	u8 rx[UART_16550_FIFO]; /* the oldest first */
	u8 tx[UART_16550_FIFO];
	u8 rx_count;
	u8 tx_count;
	u8 ier;
	u8 fcr;
	u8 lcr;
	u8 mcr;
	u8 scr;
	u8 dll;
	u8 dlm;
	u8 overrun;         /* 1: LSR.OE */
	u8 msr_delta;       /* bits 0-3 of MSR */
	u8 thre_pending;    /* 1: transmitter empty, not yet told */
	u8 timeout_pending; /* 1: bytes lie in the FIFO below its trigger level */
	u8 level;           /* of the line */
	u8 pad[2];
	struct irq_line line;
	struct chardev chardev;
	struct clock *clock;
	struct timer timeout;
};

extern const struct state_desc uart_16550_state;

/* @line and @chardev are copied; @clock must outlive the device. In its state after power-on. */
void uart_16550_init(struct uart_16550 *uart, const struct irq_line *line,
		     const struct chardev *chardev, struct clock *clock);

/* Master reset: empty FIFOs, interrupts off. The divisor and the scratch register stay. */
void uart_16550_reset(struct uart_16550 *uart);

/* io_handler of struct uart_16550. */
enum io_result uart_16550_io(void *uart, struct io_access *access);

/* Bytes wait in the chardev: takes as many as there is room for. */
void uart_16550_input(void *uart);

/* The chardev takes bytes again. */
void uart_16550_output_ready(void *uart);

#endif
