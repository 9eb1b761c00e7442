/* SPDX-License-Identifier: MIT */
/*
 * What UARTs of every kind share: two FIFOs between the guest and a chardev, a receive time-out and
 * an interrupt line. Bytes are sent and received at once. What the other end does not take stays in
 * the transmit FIFO, and what does not fit into the receive FIFO stays with the other end, so that
 * nothing is lost in either direction.
 */
#ifndef DEVICES_UART_H
#define DEVICES_UART_H

#include <hv/chardev.h>
#include <hv/clock.h>
#include <hv/irq.h>
#include <hv/state.h>

#define UART_FIFO_MAX 32

/* All of it belongs to whoever runs the VM's virtual CPU. */
struct uart_port {
	u64 timeout_at;       /* ns of guest time of the receive time-out; CLOCK_NEVER: none */
	u8 rx[UART_FIFO_MAX]; /* the oldest first */
	u8 tx[UART_FIFO_MAX];
	u8 rx_count;
	u8 tx_count;
	u8 level; /* of the line */
	u8 pad[5];
	struct irq_line line;
	struct chardev chardev;
	struct clock *clock;
	struct timer timeout;
};

/* The part of a UART's list of fields (state.h) that is for its member @port. */
#define UART_PORT_FIELDS(SAVED, TRANSIENT, type)                                                   \
	SAVED(type, port.timeout_at)                                                               \
	SAVED(type, port.rx)                                                                       \
	SAVED(type, port.tx)                                                                       \
	SAVED(type, port.rx_count)                                                                 \
	SAVED(type, port.tx_count)                                                                 \
	TRANSIENT(type, port.level, "follows from the registers")                                  \
	TRANSIENT(type, port.pad, "padding")                                                       \
	TRANSIENT(type, port.line, "wiring")                                                       \
	TRANSIENT(type, port.chardev, "wiring")                                                    \
	TRANSIENT(type, port.clock, "wiring")                                                      \
	TRANSIENT(type, port.timeout, "armed again from timeout_at")

/*
 * Empty FIFOs. @line and @chardev are copied; @clock must outlive the port. @timeout(@ctx) is
 * called when the time-out comes; it sets another, or CLOCK_NEVER.
 */
void uart_port_init(struct uart_port *port, const struct irq_line *line,
		    const struct chardev *chardev, struct clock *clock, void (*timeout)(void *ctx),
		    void *ctx);

/* Takes what waits in the chardev, up to @depth bytes in all. Returns how many bytes came. */
u32 uart_port_pull(struct uart_port *port, u32 depth);
/* Offers what lies in the transmit FIFO to the chardev. Returns how many bytes went. */
u32 uart_port_push(struct uart_port *port);

/* A byte into the receive or transmit FIFO; false, and dropped, when @depth bytes are in it. */
bool uart_port_receive(struct uart_port *port, u8 byte, u32 depth);
bool uart_port_transmit(struct uart_port *port, u8 byte, u32 depth);
/* The oldest byte out of the receive FIFO; 0 when it is empty. */
u8 uart_port_take(struct uart_port *port);

/* Sets the time-out to @at, ns of guest time; CLOCK_NEVER turns it off. */
void uart_port_set_timeout(struct uart_port *port, u64 at);

void uart_port_set_level(struct uart_port *port, bool level);

/* After a load: arms the time-out, and sets the line whatever level it has. */
void uart_port_after_load(struct uart_port *port, bool level);

#endif
