/* SPDX-License-Identifier: MIT */
/* Section and table numbers, and names of interrupts, are those of Arm DDI 0183G. */
#include <devices/uart_pl011.h>

#include <string.h>

/* Table 3-1. */
enum {
	REG_DR = 0x000,
	REG_RSR = 0x004, /* ECR when written */
	REG_FR = 0x018,
	REG_ILPR = 0x020,
	REG_IBRD = 0x024,
	REG_FBRD = 0x028,
	REG_LCR_H = 0x02c,
	REG_CR = 0x030,
	REG_IFLS = 0x034,
	REG_IMSC = 0x038,
	REG_RIS = 0x03c,
	REG_MIS = 0x040,
	REG_ICR = 0x044,
	REG_DMACR = 0x048,
	REG_ID = 0xfe0,
};

#define DR_OE  0x800
#define RSR_OE 0x08

#define FR_CTS  0x001
#define FR_DSR  0x002
#define FR_DCD  0x004
#define FR_BUSY 0x008
#define FR_RXFE 0x010
#define FR_TXFF 0x020
#define FR_RXFF 0x040
#define FR_TXFE 0x080
#define FR_RI   0x100

#define LCR_H_FEN 0x10

#define CR_UARTEN 0x0001
#define CR_LBE    0x0080
#define CR_TXE    0x0100
#define CR_RXE    0x0200
#define CR_DTR    0x0400
#define CR_RTS    0x0800
#define CR_OUT1   0x1000
#define CR_OUT2   0x2000
#define CR_MASK   0xff87

/* Of IMSC, RIS, MIS and ICR. */
#define INT_RI   0x001
#define INT_CTS  0x002
#define INT_DCD  0x004
#define INT_DSR  0x008
#define INT_RX   0x010
#define INT_TX   0x020
#define INT_RT   0x040
#define INT_OE   0x400
#define INT_MASK 0x7ff

#define IFLS_RX_SHIFT 3
#define IFLS_MASK     0x3f
#define IFLS_RESET    0x12 /* both FIFOs at one half */

#define FBRD_MASK  0x3f
#define DMACR_MASK 0x07

/* UARTPeriphID0 to 3: part 0x011 of Arm, revision 3, which is r1p5; then UARTPCellID0 to 3. */
static const u8 ids[] = {0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1};

/* UARTRTINTR: no data for 32 bits; here at 115,200 bits a second. */
#define TIMEOUT_NS (32 * NS_PER_SEC / 115200)

static bool fifo_on(const struct uart_pl011 *uart)
{
	return uart->lcr_h & LCR_H_FEN;
}

static bool loopback(const struct uart_pl011 *uart)
{
	return uart->cr & CR_LBE;
}

/* Whether the UART and @part of it, CR_TXE or CR_RXE, are enabled. */
static bool enabled(const struct uart_pl011 *uart, u16 part)
{
	return (uart->cr & (CR_UARTEN | part)) == (CR_UARTEN | part);
}

static u32 depth(const struct uart_pl011 *uart)
{
	return fifo_on(uart) ? UART_PL011_FIFO : 1;
}

/* 3.3.9: a level of IFLS in bytes. Values that are reserved are taken for the highest. */
static u32 level_bytes(u8 select)
{
	static const u8 eighths[] = {1, 2, 4, 6, 7};

	return eighths[min_u64(select & 7, ARRAY_COUNT(eighths) - 1)] * (UART_PL011_FIFO / 8);
}

static u32 rx_trigger(const struct uart_pl011 *uart)
{
	return fifo_on(uart) ? level_bytes(uart->ifls >> IFLS_RX_SHIFT) : 1;
}

static u32 tx_trigger(const struct uart_pl011 *uart)
{
	return fifo_on(uart) ? level_bytes(uart->ifls) : 0;
}

/* 3.3.8: the modem inputs as in FR; looped back, they are the outputs. */
static u32 modem_lines(const struct uart_pl011 *uart)
{
	u32 lines = 0;

	if (!loopback(uart))
		return FR_CTS | FR_DSR | FR_DCD;
	if (uart->cr & CR_RTS)
		lines |= FR_CTS;
	if (uart->cr & CR_DTR)
		lines |= FR_DSR;
	if (uart->cr & CR_OUT1)
		lines |= FR_DCD;
	if (uart->cr & CR_OUT2)
		lines |= FR_RI;
	return lines;
}

static void raise(struct uart_pl011 *uart, u32 interrupts)
{
	uart->ris = (u16)(uart->ris | interrupts);
}

static void lower(struct uart_pl011 *uart, u32 interrupts)
{
	uart->ris = (u16)(uart->ris & ~interrupts);
}

static bool wanted_level(const struct uart_pl011 *uart)
{
	return uart->ris & uart->imsc;
}

static void update_line(struct uart_pl011 *uart)
{
	uart_port_set_level(&uart->port, wanted_level(uart));
}

static void timeout_restart(struct uart_pl011 *uart)
{
	uart_port_set_timeout(&uart->port, uart->port.rx_count
						   ? clock_now(uart->port.clock) + TIMEOUT_NS
						   : CLOCK_NEVER);
}

static void timeout_fn(void *ctx)
{
	struct uart_pl011 *uart = ctx;

	uart_port_set_timeout(&uart->port, CLOCK_NEVER);
	raise(uart, INT_RT);
	update_line(uart);
}

/* Bytes came into the receive FIFO. */
static void received(struct uart_pl011 *uart)
{
	if (uart->port.rx_count >= rx_trigger(uart))
		raise(uart, INT_RX);
	timeout_restart(uart);
}

/* Takes what waits in the chardev, as far as there is room. */
static void pull(struct uart_pl011 *uart)
{
	if (enabled(uart, CR_RXE) && !loopback(uart) && uart_port_pull(&uart->port, depth(uart)))
		received(uart);
}

/* UARTRXINTR, UARTRTINTR: what reading does to them. */
static void rx_shrunk(struct uart_pl011 *uart)
{
	if (uart->port.rx_count < rx_trigger(uart))
		lower(uart, INT_RX);
	if (!uart->port.rx_count) {
		lower(uart, INT_RT);
		timeout_restart(uart);
	}
}

static u32 read_data(struct uart_pl011 *uart)
{
	u32 value = uart_port_take(&uart->port);

	if (uart->overrun)
		value |= DR_OE;
	uart->overrun = 0;
	rx_shrunk(uart);
	pull(uart);
	return value;
}

static void loop_byte(struct uart_pl011 *uart, u8 byte)
{
	if (!enabled(uart, CR_RXE))
		return;
	if (uart_port_receive(&uart->port, byte, depth(uart))) {
		received(uart);
		return;
	}
	uart->overrun = 1;
	uart->rsr |= RSR_OE;
	raise(uart, INT_OE);
}

/*
 * Sends what lies in the transmit FIFO. UARTTXINTR comes when the FIFO falls to its trigger level,
 * not while it is below. A guest can't tell how far it had filled a FIFO that empties at once, so
 * whenever a byte left it is as if the FIFO had been above the level.
 */
static void push(struct uart_pl011 *uart)
{
	u32 sent;

	if (!enabled(uart, CR_TXE))
		return;
	if (loopback(uart)) {
		sent = uart->port.tx_count;
		for (u32 i = 0; i < sent; i++)
			loop_byte(uart, uart->port.tx[i]);
		uart->port.tx_count = 0;
	} else {
		sent = uart_port_push(&uart->port);
	}
	if (sent && uart->port.tx_count <= tx_trigger(uart))
		raise(uart, INT_TX);
}

static void write_data(struct uart_pl011 *uart, u8 byte)
{
	(void)uart_port_transmit(&uart->port, byte, depth(uart));
	if (uart->port.tx_count > tx_trigger(uart))
		lower(uart, INT_TX);
	push(uart);
}

static u32 read_flags(struct uart_pl011 *uart)
{
	u32 flags = modem_lines(uart);

	/* 3.3.3: busy also while the UART is disabled. */
	if (uart->port.tx_count)
		flags |= FR_BUSY;
	else
		flags |= FR_TXFE;
	if (uart->port.tx_count >= depth(uart))
		flags |= FR_TXFF;
	if (!uart->port.rx_count)
		flags |= FR_RXFE;
	if (uart->port.rx_count >= depth(uart))
		flags |= FR_RXFF;
	return flags;
}

/* 3.3.7: FIFOs are registers for one byte while FEN is 0; clearing it flushes them. */
static void write_lcr_h(struct uart_pl011 *uart, u8 value)
{
	bool off = fifo_on(uart) && !(value & LCR_H_FEN);

	uart->lcr_h = value;
	if (off) {
		if (uart->port.tx_count)
			raise(uart, INT_TX);
		uart->port.tx_count = 0;
		uart->port.rx_count = 0;
		rx_shrunk(uart);
	}
	pull(uart);
}

static void write_cr(struct uart_pl011 *uart, u16 value)
{
	static const struct {
		u32 line;
		u32 interrupt;
	} changes[] = {
		{FR_RI, INT_RI},
		{FR_CTS, INT_CTS},
		{FR_DCD, INT_DCD},
		{FR_DSR, INT_DSR},
	};
	u32 changed = modem_lines(uart);

	uart->cr = value & CR_MASK;
	changed ^= modem_lines(uart);
	for (u32 i = 0; i < ARRAY_COUNT(changes); i++)
		if (changed & changes[i].line)
			raise(uart, changes[i].interrupt);
	push(uart);
	pull(uart);
}

static void write_icr(struct uart_pl011 *uart, u32 value)
{
	lower(uart, value);
	/* Bytes that were not read must not lie there untold. */
	if (value & INT_RT)
		timeout_restart(uart);
}

static u32 read_reg(struct uart_pl011 *uart, u32 reg)
{
	switch (reg) {
	case REG_DR:
		return read_data(uart);
	case REG_RSR:
		return uart->rsr;
	case REG_FR:
		return read_flags(uart);
	case REG_ILPR:
		return uart->ilpr;
	case REG_IBRD:
		return uart->ibrd;
	case REG_FBRD:
		return uart->fbrd;
	case REG_LCR_H:
		return uart->lcr_h;
	case REG_CR:
		return uart->cr;
	case REG_IFLS:
		return uart->ifls;
	case REG_IMSC:
		return uart->imsc;
	case REG_RIS:
		return uart->ris;
	case REG_MIS:
		return uart->ris & uart->imsc;
	case REG_DMACR:
		return uart->dmacr;
	default:
		return reg >= REG_ID ? ids[(reg - REG_ID) / 4] : 0;
	}
}

static void write_reg(struct uart_pl011 *uart, u32 reg, u32 value)
{
	switch (reg) {
	case REG_DR:
		write_data(uart, (u8)value);
		break;
	case REG_RSR:
		uart->rsr = 0;
		break;
	case REG_ILPR:
		uart->ilpr = (u8)value;
		break;
	case REG_IBRD:
		uart->ibrd = (u16)value;
		break;
	case REG_FBRD:
		uart->fbrd = (u8)(value & FBRD_MASK);
		break;
	case REG_LCR_H:
		write_lcr_h(uart, (u8)value);
		break;
	case REG_CR:
		write_cr(uart, (u16)value);
		break;
	case REG_IFLS:
		uart->ifls = (u8)(value & IFLS_MASK);
		break;
	case REG_IMSC:
		uart->imsc = (u16)(value & INT_MASK);
		break;
	case REG_ICR:
		write_icr(uart, value);
		break;
	case REG_DMACR:
		uart->dmacr = (u8)(value & DMACR_MASK);
		break;
	default:
		break;
	}
}

enum io_result uart_pl011_io(void *ctx, struct io_access *access)
{
	struct uart_pl011 *uart = ctx;
	u32 reg = access->offset & (UART_PL011_BYTES - 1);

	/* Registers are words; there is nothing in their upper bytes that could be had alone. */
	if (reg % 4) {
		access->value = 0;
		return IO_DONE;
	}
	if (access->is_write)
		write_reg(uart, reg, (u32)access->value);
	else
		access->value = read_reg(uart, reg) & (BIT(8 * access->size) - 1);
	update_line(uart);
	return IO_DONE;
}

void uart_pl011_input(void *ctx)
{
	struct uart_pl011 *uart = ctx;

	pull(uart);
	update_line(uart);
}

void uart_pl011_output_ready(void *ctx)
{
	struct uart_pl011 *uart = ctx;

	push(uart);
	update_line(uart);
}

void uart_pl011_reset(struct uart_pl011 *uart)
{
	uart->port.rx_count = 0;
	uart->port.tx_count = 0;
	uart_port_set_timeout(&uart->port, CLOCK_NEVER);
	uart->cr = CR_UARTEN | CR_TXE | CR_RXE;
	uart->ibrd = 0;
	uart->imsc = 0;
	uart->ris = 0;
	uart->rsr = 0;
	uart->ilpr = 0;
	uart->fbrd = 0;
	uart->lcr_h = 0;
	uart->ifls = IFLS_RESET;
	uart->dmacr = 0;
	uart->overrun = 0;
	update_line(uart);
}

void uart_pl011_init(struct uart_pl011 *uart, const struct irq_line *line,
		     const struct chardev *chardev, struct clock *clock)
{
	memset(uart, 0, sizeof(*uart));
	uart_port_init(&uart->port, line, chardev, clock, timeout_fn, uart);
	uart_pl011_reset(uart);
}

static enum hv_error check(const void *obj, const char **why)
{
	const struct uart_pl011 *uart = obj;

	if (uart->cr & ~CR_MASK || uart->imsc & ~INT_MASK || uart->ris & ~INT_MASK ||
	    uart->rsr & ~RSR_OE || uart->fbrd & ~FBRD_MASK || uart->ifls & ~IFLS_MASK ||
	    uart->dmacr & ~DMACR_MASK) {
		*why = "a register has bits that do not exist";
		return HV_EINVALID;
	}
	if (uart->port.rx_count > depth(uart) || uart->port.tx_count > depth(uart)) {
		*why = "more bytes in a FIFO than it holds";
		return HV_EINVALID;
	}
	if (!uart->port.rx_count &&
	    (uart->ris & (INT_RX | INT_RT) || uart->port.timeout_at != CLOCK_NEVER)) {
		*why = "an interrupt tells of bytes that are not there";
		return HV_EINVALID;
	}
	if (uart->overrun > 1) {
		*why = "a flag is neither 0 nor 1";
		return HV_EINVALID;
	}
	return HV_OK;
}

static void after_load(void *obj)
{
	struct uart_pl011 *uart = obj;

	/* What blocked the bytes when they were saved need not block them here. */
	push(uart);
	pull(uart);
	uart_port_after_load(&uart->port, wanted_level(uart));
}

#define UART_PL011_FIELDS(SAVED, TRANSIENT)                                                        \
	UART_PORT_FIELDS(SAVED, TRANSIENT, struct uart_pl011)                                      \
	SAVED(struct uart_pl011, cr)                                                               \
	SAVED(struct uart_pl011, ibrd)                                                             \
	SAVED(struct uart_pl011, imsc)                                                             \
	SAVED(struct uart_pl011, ris)                                                              \
	SAVED(struct uart_pl011, rsr)                                                              \
	SAVED(struct uart_pl011, ilpr)                                                             \
	SAVED(struct uart_pl011, fbrd)                                                             \
	SAVED(struct uart_pl011, lcr_h)                                                            \
	SAVED(struct uart_pl011, ifls)                                                             \
	SAVED(struct uart_pl011, dmacr)                                                            \
	SAVED(struct uart_pl011, overrun)                                                          \
	TRANSIENT(struct uart_pl011, pad, "padding")

STATE_DEFINE(uart_pl011_state, "pl011", 1, struct uart_pl011, UART_PL011_FIELDS, .check = check,
	     .after_load = after_load);
