/* SPDX-License-Identifier: MIT */
/*
 * The serial port of a PC: a 16550A with its FIFOs (TI PC16550D data sheet, section 8,
 * "Registers").
 *
 * The divisor is kept but times nothing. As on a PC the interrupt reaches the line only while
 * MCR.OUT2 is set and loopback is off.
 *
 * Register the handler for UART_16550_PORTS ports (or bytes of MMIO), accesses of one byte.
 */
#ifndef DEVICES_UART_16550_H
#define DEVICES_UART_16550_H

#include <devices/uart.h>
#include <hv/io.h>

#define UART_16550_PORTS 8
#define UART_16550_FIFO  16

/* All of it belongs to whoever runs the VM's virtual CPU. */
struct uart_16550 {
	struct uart_port port;
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
	u8 pad[5];
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
