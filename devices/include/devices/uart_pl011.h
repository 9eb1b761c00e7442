/* SPDX-License-Identifier: MIT */
/*
 * The serial port of Arm's machines: a PrimeCell UART PL011, revision r1p5, with FIFOs of 32 bytes
 * (Arm DDI 0183G, chapter 3, "Programmers Model").
 *
 * The divisors are kept but time nothing; there are no infrared mode, no DMA requests and no test
 * registers. After a reset the UART is enabled, as a firmware leaves the console that it used:
 * early consoles expect that. The interrupt is UARTINTR, all sources ORed, level-sensitive.
 *
 * Register the handler for UART_PL011_BYTES of MMIO, accesses of up to 4 bytes.
 */
#ifndef DEVICES_UART_PL011_H
#define DEVICES_UART_PL011_H

#include <devices/uart.h>
#include <hv/io.h>

#define UART_PL011_BYTES 0x1000
#define UART_PL011_FIFO  32

/* All of it belongs to whoever runs the VM's virtual CPU. Members are called as the registers. */
struct uart_pl011 {
	struct uart_port port;
	u16 cr;
	u16 ibrd;
	u16 imsc;
	u16 ris;
	u8 rsr;
	u8 ilpr;
	u8 fbrd;
	u8 lcr_h;
	u8 ifls;
	u8 dmacr;
	u8 overrun; /* 1: bytes were dropped after those in the receive FIFO */
	u8 pad;
};

extern const struct state_desc uart_pl011_state;

/* @line and @chardev are copied; @clock must outlive the device. In its state after a reset. */
void uart_pl011_init(struct uart_pl011 *uart, const struct irq_line *line,
		     const struct chardev *chardev, struct clock *clock);

void uart_pl011_reset(struct uart_pl011 *uart);

/* io_handler of struct uart_pl011. */
enum io_result uart_pl011_io(void *uart, struct io_access *access);

/* Bytes wait in the chardev: takes as many as there is room for. */
void uart_pl011_input(void *uart);

/* The chardev takes bytes again. */
void uart_pl011_output_ready(void *uart);

#endif
