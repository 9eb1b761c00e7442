/* SPDX-License-Identifier: MIT */
#include <devices/uart.h>

#include <string.h>

u32 uart_port_pull(struct uart_port *port, u32 depth)
{
	size_t room, got;

	if (port->rx_count >= depth)
		return 0;
	room = depth - port->rx_count;
	got = min_u64(chardev_read(&port->chardev, port->rx + port->rx_count, room), room);
	port->rx_count = (u8)(port->rx_count + got);
	return (u32)got;
}

u32 uart_port_push(struct uart_port *port)
{
	size_t taken;

	if (!port->tx_count)
		return 0;
	taken = min_u64(chardev_write(&port->chardev, port->tx, port->tx_count), port->tx_count);
	port->tx_count = (u8)(port->tx_count - taken);
	memmove(port->tx, port->tx + taken, port->tx_count);
	return (u32)taken;
}

bool uart_port_receive(struct uart_port *port, u8 byte, u32 depth)
{
	if (port->rx_count >= depth)
		return false;
	port->rx[port->rx_count++] = byte;
	return true;
}

bool uart_port_transmit(struct uart_port *port, u8 byte, u32 depth)
{
	if (port->tx_count >= depth)
		return false;
	port->tx[port->tx_count++] = byte;
	return true;
}

u8 uart_port_take(struct uart_port *port)
{
	u8 byte = port->rx[0];

	if (!port->rx_count)
		return 0;
	port->rx_count--;
	memmove(port->rx, port->rx + 1, port->rx_count);
	return byte;
}

void uart_port_set_timeout(struct uart_port *port, u64 at)
{
	port->timeout_at = at;
	timer_arm(port->clock, &port->timeout, at);
}

void uart_port_set_level(struct uart_port *port, bool level)
{
	if (level == port->level)
		return;
	port->level = level;
	irq_set(&port->line, level);
}

void uart_port_after_load(struct uart_port *port, bool level)
{
	uart_port_set_timeout(port, port->timeout_at);
	/* Even if it is the old level: the interrupt controller may have been loaded as well. */
	port->level = level;
	irq_set(&port->line, level);
}

void uart_port_init(struct uart_port *port, const struct irq_line *line,
		    const struct chardev *chardev, struct clock *clock, void (*timeout)(void *ctx),
		    void *ctx)
{
	memset(port, 0, sizeof(*port));
	port->line = *line;
	port->chardev = *chardev;
	port->clock = clock;
	port->timeout_at = CLOCK_NEVER;
	timer_init(&port->timeout, timeout, ctx);
}
