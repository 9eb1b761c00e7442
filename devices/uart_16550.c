/* SPDX-License-Identifier: MIT */
#include <devices/uart_16550.h>

#include <string.h>

/* PC16550D data sheet, table II: "Summary of Registers". */
enum {
	REG_DATA = 0, /* RBR, THR; DLL with LCR.DLAB */
	REG_IER = 1,  /* DLM with LCR.DLAB */
	REG_IIR = 2,  /* FCR when written */
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7,
};

#define IER_RDA  0x01
#define IER_THRE 0x02
#define IER_RLS  0x04
#define IER_MS   0x08
#define IER_MASK 0x0f

#define IIR_NONE    0x01
#define IIR_MS      0x00
#define IIR_THRE    0x02
#define IIR_RDA     0x04
#define IIR_RLS     0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO    0xc0

#define FCR_ENABLE   0x01
#define FCR_CLEAR_RX 0x02
#define FCR_CLEAR_TX 0x04
#define FCR_KEPT     0xc9 /* trigger level, DMA mode, enable; the rest clears itself */

#define LCR_DLAB 0x80

#define MCR_DTR  0x01
#define MCR_RTS  0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_MASK 0x1f

#define LSR_DR   0x01
#define LSR_OE   0x02
#define LSR_THRE 0x20
#define LSR_TEMT 0x40

#define MSR_DCTS 0x01
#define MSR_DDSR 0x02
#define MSR_TERI 0x04
#define MSR_DDCD 0x08
#define MSR_CTS  0x10
#define MSR_DSR  0x20
#define MSR_RI   0x40
#define MSR_DCD  0x80

/* Section 8.10: four characters without a change; here of ten bits at 115,200 bits a second. */
#define TIMEOUT_NS (4 * 10 * NS_PER_SEC / 115200)

static bool fifo_on(const struct uart_16550 *uart)
{
	return uart->fcr & FCR_ENABLE;
}

static bool loopback(const struct uart_16550 *uart)
{
	return uart->mcr & MCR_LOOP;
}

static u8 depth(const struct uart_16550 *uart)
{
	return fifo_on(uart) ? UART_16550_FIFO : 1;
}

static u8 trigger(const struct uart_16550 *uart)
{
	static const u8 levels[4] = {1, 4, 8, 14};

	return fifo_on(uart) ? levels[uart->fcr >> 6] : 1;
}

static u8 modem_lines(const struct uart_16550 *uart)
{
	u8 lines = 0;

	if (!loopback(uart))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	if (uart->mcr & MCR_RTS)
		lines |= MSR_CTS;
	if (uart->mcr & MCR_DTR)
		lines |= MSR_DSR;
	if (uart->mcr & MCR_OUT1)
		lines |= MSR_RI;
	if (uart->mcr & MCR_OUT2)
		lines |= MSR_DCD;
	return lines;
}

/* The cause with the highest priority, table IV. */
static u8 cause(const struct uart_16550 *uart)
{
	if ((uart->ier & IER_RLS) && uart->overrun)
		return IIR_RLS;
	if ((uart->ier & IER_RDA) && uart->port.rx_count >= trigger(uart))
		return IIR_RDA;
	if ((uart->ier & IER_RDA) && uart->timeout_pending)
		return IIR_TIMEOUT;
	if ((uart->ier & IER_THRE) && uart->thre_pending)
		return IIR_THRE;
	if ((uart->ier & IER_MS) && uart->msr_delta)
		return IIR_MS;
	return IIR_NONE;
}

/* OUT2, which loopback turns off, lets the interrupt through to the bus of a PC. */
static bool wanted_level(const struct uart_16550 *uart)
{
	return cause(uart) != IIR_NONE && (uart->mcr & MCR_OUT2) && !loopback(uart);
}

static void update_line(struct uart_16550 *uart)
{
	uart_port_set_level(&uart->port, wanted_level(uart));
}

/* The receive FIFO changed: its time-out starts anew, or ends when there is nothing in it. */
static void timeout_restart(struct uart_16550 *uart)
{
	bool on = fifo_on(uart) && uart->port.rx_count;

	uart->timeout_pending = 0;
	uart_port_set_timeout(&uart->port,
			      on ? clock_now(uart->port.clock) + TIMEOUT_NS : CLOCK_NEVER);
}

static void timeout_fn(void *ctx)
{
	struct uart_16550 *uart = ctx;

	uart_port_set_timeout(&uart->port, CLOCK_NEVER);
	uart->timeout_pending = uart->port.rx_count != 0;
	update_line(uart);
}

/* Takes what waits in the chardev, as far as there is room. */
static void pull(struct uart_16550 *uart)
{
	if (!loopback(uart) && uart_port_pull(&uart->port, depth(uart)))
		timeout_restart(uart);
}

static void clear_rx(struct uart_16550 *uart)
{
	uart->port.rx_count = 0;
	timeout_restart(uart);
}

static void clear_tx(struct uart_16550 *uart)
{
	if (uart->port.tx_count)
		uart->thre_pending = 1;
	uart->port.tx_count = 0;
}

/* Offers what lies in the transmit FIFO to the chardev. */
static void push(struct uart_16550 *uart)
{
	if (uart_port_push(&uart->port) && !uart->port.tx_count)
		uart->thre_pending = 1;
}

static void transmit(struct uart_16550 *uart, u8 byte)
{
	uart->thre_pending = 0;
	if (loopback(uart)) {
		if (!uart_port_receive(&uart->port, byte, depth(uart)))
			uart->overrun = 1;
		timeout_restart(uart);
		uart->thre_pending = uart->port.tx_count == 0;
		return;
	}
	(void)uart_port_transmit(&uart->port, byte, depth(uart));
	push(uart);
}

static u8 receive(struct uart_16550 *uart)
{
	u8 byte;

	if (!uart->port.rx_count)
		return 0;
	byte = uart_port_take(&uart->port);
	timeout_restart(uart);
	pull(uart);
	return byte;
}

static u8 read_iir(struct uart_16550 *uart)
{
	u8 iir = cause(uart);

	/* Table IV: reading IIR resets the transmitter's interrupt if that was the cause. */
	if (iir == IIR_THRE)
		uart->thre_pending = 0;
	return fifo_on(uart) ? iir | IIR_FIFO : iir;
}

static u8 read_lsr(struct uart_16550 *uart)
{
	u8 lsr = 0;

	pull(uart);
	if (uart->port.rx_count)
		lsr |= LSR_DR;
	if (uart->overrun)
		lsr |= LSR_OE;
	if (!uart->port.tx_count)
		lsr |= LSR_THRE | LSR_TEMT;
	uart->overrun = 0;
	return lsr;
}

static u8 read_msr(struct uart_16550 *uart)
{
	u8 msr = modem_lines(uart) | uart->msr_delta;

	uart->msr_delta = 0;
	return msr;
}

static void write_ier(struct uart_16550 *uart, u8 value)
{
	u8 changed = uart->ier ^ value;

	uart->ier = value & IER_MASK;
	/* Linux tests for this: turning it on with an empty transmitter interrupts each time. */
	if (changed & IER_THRE)
		uart->thre_pending = (value & IER_THRE) && !uart->port.tx_count;
	pull(uart);
}

static void write_fcr(struct uart_16550 *uart, u8 value)
{
	bool toggled = (uart->fcr ^ value) & FCR_ENABLE;

	if (toggled || ((value & FCR_ENABLE) && (value & FCR_CLEAR_TX)))
		clear_tx(uart);
	/* Section 8.4: the other bits are not programmed unless the FIFOs are enabled. */
	uart->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
	if (toggled || ((value & FCR_ENABLE) && (value & FCR_CLEAR_RX)))
		clear_rx(uart);
}

static void write_mcr(struct uart_16550 *uart, u8 value)
{
	u8 before = modem_lines(uart), after, changed;

	uart->mcr = value & MCR_MASK;
	after = modem_lines(uart);
	changed = before ^ after;
	if (changed & MSR_CTS)
		uart->msr_delta |= MSR_DCTS;
	if (changed & MSR_DSR)
		uart->msr_delta |= MSR_DDSR;
	if (changed & before & MSR_RI)
		uart->msr_delta |= MSR_TERI;
	if (changed & MSR_DCD)
		uart->msr_delta |= MSR_DDCD;
	pull(uart);
}

static u8 read_reg(struct uart_16550 *uart, u32 reg)
{
	bool dlab = uart->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		return dlab ? uart->dll : receive(uart);
	case REG_IER:
		return dlab ? uart->dlm : uart->ier;
	case REG_IIR:
		return read_iir(uart);
	case REG_LCR:
		return uart->lcr;
	case REG_MCR:
		return uart->mcr;
	case REG_LSR:
		return read_lsr(uart);
	case REG_MSR:
		return read_msr(uart);
	default:
		return uart->scr;
	}
}

static void write_reg(struct uart_16550 *uart, u32 reg, u8 value)
{
	bool dlab = uart->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			uart->dll = value;
		else
			transmit(uart, value);
		break;
	case REG_IER:
		if (dlab)
			uart->dlm = value;
		else
			write_ier(uart, value);
		break;
	case REG_IIR:
		write_fcr(uart, value);
		break;
	case REG_LCR:
		uart->lcr = value;
		break;
	case REG_MCR:
		write_mcr(uart, value);
		break;
	case REG_SCR:
		uart->scr = value;
		break;
	default:
		break;
	}
}

enum io_result uart_16550_io(void *ctx, struct io_access *access)
{
	struct uart_16550 *uart = ctx;
	u32 reg = access->offset & (UART_16550_PORTS - 1);

	if (access->is_write)
		write_reg(uart, reg, (u8)access->value);
	else
		access->value = read_reg(uart, reg);
	update_line(uart);
	return IO_DONE;
}

void uart_16550_input(void *ctx)
{
	struct uart_16550 *uart = ctx;

	pull(uart);
	update_line(uart);
}

void uart_16550_output_ready(void *ctx)
{
	struct uart_16550 *uart = ctx;

	push(uart);
	update_line(uart);
}

void uart_16550_reset(struct uart_16550 *uart)
{
	uart->port.rx_count = 0;
	uart->port.tx_count = 0;
	uart->ier = 0;
	uart->fcr = 0;
	uart->lcr = 0;
	uart->mcr = 0;
	uart->overrun = 0;
	uart->msr_delta = 0;
	uart->thre_pending = 0;
	timeout_restart(uart);
	update_line(uart);
}

void uart_16550_init(struct uart_16550 *uart, const struct irq_line *line,
		     const struct chardev *chardev, struct clock *clock)
{
	memset(uart, 0, sizeof(*uart));
	uart_port_init(&uart->port, line, chardev, clock, timeout_fn, uart);
	uart_16550_reset(uart);
}

static enum hv_error check(const void *obj, const char **why)
{
	const struct uart_16550 *uart = obj;

	if (uart->fcr & ~FCR_KEPT || (uart->fcr && !fifo_on(uart)) || uart->ier & ~IER_MASK ||
	    uart->mcr & ~MCR_MASK || uart->msr_delta > 0x0f) {
		*why = "a register has bits that do not exist";
		return HV_EINVALID;
	}
	if (uart->port.rx_count > depth(uart) || uart->port.tx_count > depth(uart)) {
		*why = "more bytes in a FIFO than it holds";
		return HV_EINVALID;
	}
	if (uart->overrun > 1 || uart->thre_pending > 1 || uart->timeout_pending > 1) {
		*why = "a flag is neither 0 nor 1";
		return HV_EINVALID;
	}
	return HV_OK;
}

static void after_load(void *obj)
{
	struct uart_16550 *uart = obj;

	/* What blocked the bytes when they were saved need not block them here. */
	push(uart);
	pull(uart);
	uart_port_after_load(&uart->port, wanted_level(uart));
}

#define UART_16550_FIELDS(SAVED, TRANSIENT)                                                        \
	UART_PORT_FIELDS(SAVED, TRANSIENT, struct uart_16550)                                      \
	SAVED(struct uart_16550, ier)                                                              \
	SAVED(struct uart_16550, fcr)                                                              \
	SAVED(struct uart_16550, lcr)                                                              \
	SAVED(struct uart_16550, mcr)                                                              \
	SAVED(struct uart_16550, scr)                                                              \
	SAVED(struct uart_16550, dll)                                                              \
	SAVED(struct uart_16550, dlm)                                                              \
	SAVED(struct uart_16550, overrun)                                                          \
	SAVED(struct uart_16550, msr_delta)                                                        \
	SAVED(struct uart_16550, thre_pending)                                                     \
	SAVED(struct uart_16550, timeout_pending)                                                  \
	TRANSIENT(struct uart_16550, pad, "padding")

STATE_DEFINE(uart_16550_state, "uart_16550", 2, struct uart_16550, UART_16550_FIELDS,
	     .check = check, .after_load = after_load);
