/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <devices/uart_pl011.h>

#include "device_fakes.h"

enum {
	DR = 0x000,
	RSR = 0x004,
	FR = 0x018,
	ILPR = 0x020,
	IBRD = 0x024,
	FBRD = 0x028,
	LCR_H = 0x02c,
	CR = 0x030,
	IFLS = 0x034,
	IMSC = 0x038,
	RIS = 0x03c,
	MIS = 0x040,
	ICR = 0x044,
	DMACR = 0x048,
	ID = 0xfe0,
};

#define TX 0x020
#define RX 0x010
#define RT 0x040
#define OE 0x400

#define IDLE 0x097 /* of FR: CTS, DSR, DCD, both FIFOs empty */

#define BIT_TIMES_NS(n) ((n)*NS_PER_SEC / 115200)

struct board {
	struct fake_clock clock;
	struct fake_irq irq;
	struct fake_chardev dev;
	struct uart_pl011 uart;
};

static void board_init(struct board *b)
{
	fake_clock_init(&b->clock);
	fake_irq_init(&b->irq, 33);
	fake_chardev_init(&b->dev);
	uart_pl011_init(&b->uart, &b->irq.line, &b->dev.chardev, &b->clock.clock);
}

static int setup(void **state)
{
	*state = malloc(sizeof(struct board));
	board_init(*state);
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static u32 in_size(struct board *b, u64 reg, u8 size)
{
	struct io_access access = {.offset = reg, .size = size};

	assert_int_equal(uart_pl011_io(&b->uart, &access), IO_DONE);
	return (u32)access.value;
}

static u32 in(struct board *b, u64 reg)
{
	return in_size(b, reg, 4);
}

static void out(struct board *b, u64 reg, u32 value)
{
	struct io_access access = {.offset = reg, .size = 4, .value = value, .is_write = true};

	assert_int_equal(uart_pl011_io(&b->uart, &access), IO_DONE);
}

static void type(struct board *b, const char *text)
{
	size_t length = strlen(text);

	memcpy(b->dev.in + b->dev.in_count, text, length);
	b->dev.in_count += length;
	uart_pl011_input(&b->uart);
}

static void send(struct board *b, u32 count)
{
	for (u32 i = 0; i < count; i++)
		out(b, DR, 'a' + i % 26);
}

static void fifo_on(struct board *b)
{
	out(b, LCR_H, 0x70);
}

static void after_reset(void **state)
{
	struct board *b = *state;

	assert_int_equal(in(b, FR), IDLE);
	assert_int_equal(in(b, CR), 0x301);
	assert_int_equal(in(b, IFLS), 0x12);
	assert_int_equal(in(b, LCR_H), 0);
	assert_int_equal(in(b, IMSC), 0);
	assert_int_equal(in(b, RIS), 0);
	assert_int_equal(in(b, RSR), 0);
	assert_int_equal(in(b, DR), 0);
	assert_false(b->irq.level);
}

/* Linux's AMBA bus looks at these, and its driver takes the depth of the FIFO from the revision. */
static void identity(void **state)
{
	struct board *b = *state;
	u32 part = 0, cell = 0;

	for (u32 i = 0; i < 4; i++) {
		part |= in(b, ID + 4 * i) << 8 * i;
		cell |= in(b, ID + 16 + 4 * i) << 8 * i;
	}
	assert_int_equal(part, 0x00341011);
	assert_int_equal(cell, 0xb105f00d);
	out(b, ID, 0xff);
	assert_int_equal(in(b, ID), 0x11);
}

static void registers_keep_their_bits(void **state)
{
	static const struct {
		u32 reg;
		u32 bits;
	} regs[] = {
		{ILPR, 0xff}, {IBRD, 0xffff}, {FBRD, 0x3f},  {LCR_H, 0xff},
		{CR, 0xff87}, {IFLS, 0x3f},   {IMSC, 0x7ff}, {DMACR, 0x07},
	};
	struct board *b = *state;

	for (u32 i = 0; i < ARRAY_COUNT(regs); i++) {
		out(b, regs[i].reg, 0xffffffff);
		assert_int_equal(in(b, regs[i].reg), regs[i].bits);
		out(b, regs[i].reg, 0);
		assert_int_equal(in(b, regs[i].reg), 0);
	}
	/* Not there, or not for writing. */
	out(b, 0x080, 0xffffffff);
	out(b, FR, 0xffffffff);
	out(b, MIS, 0xffffffff);
	assert_int_equal(in(b, 0x080), 0);
	assert_int_equal(in(b, MIS), 0);
	assert_int_equal(in(b, ICR), 0);
	assert_int_equal(in(b, 0xfdc), 0);
}

static void sizes_of_accesses(void **state)
{
	struct board *b = *state;

	out(b, CR, 0xff07);
	assert_int_equal(in_size(b, CR, 2), 0xff07);
	assert_int_equal(in_size(b, CR, 1), 0x07);
	/* Neither the upper bytes of a register alone, nor half of two. */
	assert_int_equal(in_size(b, CR + 1, 1), 0);
	assert_int_equal(in_size(b, CR + 2, 2), 0);
	out(b, DR + 2, 'x');
	assert_int_equal(b->dev.out_count, 0);
}

/* Linux: earlycon=pl011, before anything set the UART up. */
static void linux_earlycon(void **state)
{
	struct board *b = *state;

	for (const char *c = "hello"; *c; c++) {
		assert_int_equal(in(b, FR) & 0x20, 0);
		out(b, DR, (u32)*c);
		assert_int_equal(in(b, FR) & 0x08, 0);
	}
	assert_memory_equal(b->dev.out, "hello", 5);
	assert_false(b->irq.level);
}

/* Linux before 4.2: pl011_startup() sends a byte in a loop to have a transmit interrupt. */
static void linux_provokes_an_interrupt(void **state)
{
	struct board *b = *state;

	out(b, CR, 0x181);
	out(b, FBRD, 0);
	out(b, IBRD, 1);
	out(b, LCR_H, 0);
	out(b, DR, 0);
	assert_int_equal(in(b, FR) & 0x08, 0);
	assert_int_equal(in(b, RIS) & TX, TX);
	assert_int_equal(b->dev.out_count, 0);
	assert_int_equal(in(b, FR) & 0x10, 0x10);
}

static void transmit_interrupt(void **state)
{
	struct board *b = *state;

	/* Not before something was sent. */
	out(b, IMSC, TX);
	assert_false(b->irq.level);
	out(b, DR, 'x');
	assert_true(b->irq.level);
	assert_int_equal(in(b, MIS), TX);
	out(b, ICR, RX);
	assert_true(b->irq.level);
	out(b, ICR, TX);
	assert_false(b->irq.level);
	assert_int_equal(in(b, RIS), 0);
	/* With FIFOs no other: a guest can fill them only as far as they do not empty themselves.
	 */
	fifo_on(b);
	out(b, DR, 'y');
	assert_true(b->irq.level);
	out(b, IMSC, 0);
	assert_false(b->irq.level);
	assert_int_equal(in(b, RIS), TX);
	assert_int_equal(in(b, MIS), 0);
}

static void back_pressure(void **state)
{
	struct board *b = *state;

	fifo_on(b);
	out(b, IMSC, TX);
	b->dev.room = 1;
	send(b, 34);
	/* One went, 32 wait, one was lost as the FIFO was full. */
	assert_int_equal(b->dev.out_count, 1);
	assert_int_equal(in(b, FR) & 0xa8, 0x28);
	assert_false(b->irq.level);
	b->dev.room = 15;
	uart_pl011_output_ready(&b->uart);
	assert_int_equal(in(b, FR) & 0xa8, 0x08);
	assert_false(b->irq.level);
	b->dev.room = 1;
	uart_pl011_output_ready(&b->uart);
	assert_true(b->irq.level);
	/* Filled above its level again. */
	out(b, DR, '!');
	assert_false(b->irq.level);
	b->dev.room = 100;
	uart_pl011_output_ready(&b->uart);
	assert_true(b->irq.level);
	assert_int_equal(in(b, FR), IDLE);
	assert_int_equal(b->dev.out_count, 34);
	assert_memory_equal(b->dev.out, "abcdefghijklmnopqrstuvwxyzabcdefg!", 34);
}

static void transmit_levels(void **state)
{
	static const u8 levels[] = {4, 8, 16, 24, 28, 28};

	for (u32 i = 0; i < ARRAY_COUNT(levels); i++) {
		struct board *b = *state;

		board_init(b);
		fifo_on(b);
		out(b, IFLS, i);
		b->dev.room = 0;
		send(b, 32);
		b->dev.room = 31 - levels[i];
		uart_pl011_output_ready(&b->uart);
		assert_int_equal(in(b, RIS), 0);
		b->dev.room = 1;
		uart_pl011_output_ready(&b->uart);
		assert_int_equal(in(b, RIS), TX);
	}
}

static void disabled_transmitter_keeps_bytes(void **state)
{
	struct board *b = *state;

	fifo_on(b);
	out(b, CR, 0x100);
	send(b, 3);
	assert_int_equal(b->dev.out_count, 0);
	/* Busy whether enabled or not. */
	assert_int_equal(in(b, FR) & 0x88, 0x08);
	out(b, CR, 0x001);
	assert_int_equal(b->dev.out_count, 0);
	out(b, CR, 0x101);
	assert_int_equal(b->dev.out_count, 3);
	assert_int_equal(in(b, RIS), TX);
}

static void disabled_receiver_takes_nothing(void **state)
{
	struct board *b = *state;

	out(b, CR, 0x101);
	type(b, "ab");
	assert_int_equal(in(b, FR), IDLE);
	assert_int_equal(b->dev.in_count, 2);
	out(b, CR, 0x301);
	assert_int_equal(b->dev.in_count, 1);
	assert_int_equal(in(b, DR), 'a');
}

static void receives_without_fifo(void **state)
{
	struct board *b = *state;

	out(b, IMSC, RX);
	type(b, "ab");
	assert_int_equal(b->dev.in_count, 1);
	assert_int_equal(in(b, FR) & 0x50, 0x40);
	assert_true(b->irq.level);
	assert_int_equal(in(b, DR), 'a');
	assert_true(b->irq.level);
	assert_int_equal(in(b, DR), 'b');
	assert_false(b->irq.level);
	assert_int_equal(in(b, FR) & 0x50, 0x10);
}

static void receives_more_than_the_fifo(void **state)
{
	struct board *b = *state;
	char text[101] = "";

	for (u32 i = 0; i < 100; i++)
		text[i] = (char)('A' + i % 50);
	fifo_on(b);
	type(b, text);
	assert_int_equal(b->dev.in_count, 68);
	assert_int_equal(in(b, FR) & 0x50, 0x40);
	for (u32 i = 0; i < 100; i++) {
		assert_int_equal(in(b, FR) & 0x10, 0);
		assert_int_equal(in(b, DR), text[i]);
	}
	assert_int_equal(in(b, FR), IDLE);
	assert_int_equal(in(b, RIS), 0);
}

static void receive_levels(void **state)
{
	static const u8 levels[] = {4, 8, 16, 24, 28, 28};

	for (u32 i = 0; i < ARRAY_COUNT(levels); i++) {
		struct board *b = *state;

		board_init(b);
		fifo_on(b);
		out(b, IFLS, i << 3);
		out(b, IMSC, RX);
		for (u32 n = 1; n < levels[i]; n++) {
			type(b, "x");
			assert_false(b->irq.level);
		}
		type(b, "x");
		assert_true(b->irq.level);
		/* Below its level again. */
		in(b, DR);
		assert_false(b->irq.level);
		/* Cleared by hand, it comes back with the next byte. */
		type(b, "x");
		out(b, ICR, RX);
		assert_false(b->irq.level);
		type(b, "x");
		assert_true(b->irq.level);
	}
}

static void receive_timeout(void **state)
{
	struct board *b = *state;

	fifo_on(b);
	out(b, IMSC, RX | RT);
	type(b, "x");
	fake_clock_advance(&b->clock, BIT_TIMES_NS(31));
	type(b, "yz");
	fake_clock_advance(&b->clock, BIT_TIMES_NS(31));
	assert_false(b->irq.level);
	fake_clock_advance(&b->clock, BIT_TIMES_NS(1) + 2);
	assert_true(b->irq.level);
	assert_int_equal(in(b, MIS), RT);
	/* Until all has been read. */
	in(b, DR);
	in(b, DR);
	assert_true(b->irq.level);
	in(b, DR);
	assert_false(b->irq.level);
	fake_clock_advance(&b->clock, NS_PER_SEC);
	assert_int_equal(in(b, RIS), 0);
	/* Read in time. */
	type(b, "x");
	in(b, DR);
	assert_false(timer_armed(&b->uart.port.timeout));
	/* Cleared by hand while bytes are there: once more, so that they are not forgotten. */
	type(b, "x");
	fake_clock_advance(&b->clock, NS_PER_MS);
	out(b, ICR, RT);
	assert_false(b->irq.level);
	fake_clock_advance(&b->clock, NS_PER_MS);
	assert_true(b->irq.level);
}

static void loopback(void **state)
{
	struct board *b = *state;

	fifo_on(b);
	out(b, CR, 0x381);
	out(b, ICR, 0x00f);
	type(b, "outside");
	assert_int_equal(b->dev.in_count, 7);
	out(b, IMSC, OE);
	send(b, 32);
	assert_int_equal(b->dev.out_count, 0);
	assert_int_equal(in(b, RSR), 0);
	assert_false(b->irq.level);
	send(b, 1);
	assert_true(b->irq.level);
	assert_int_equal(in(b, RSR), 0x08);
	assert_int_equal(in(b, RIS), TX | RX | OE);
	/* The bit in DR goes when there is room again, the one in RSR when it is written. */
	assert_int_equal(in(b, DR), 0x800 | 'a');
	assert_int_equal(in(b, DR), 'b');
	out(b, RSR, 0);
	assert_int_equal(in(b, RSR), 0);
	for (u32 i = 2; i < 32; i++)
		assert_int_equal(in(b, DR), 'a' + i % 26);
	assert_int_equal(in(b, FR) & 0x10, 0x10);
	out(b, CR, 0x301);
	assert_int_equal(in(b, DR), 'o');
}

static void modem_lines(void **state)
{
	static const struct {
		u32 control;
		u32 flag;
		u32 interrupt;
	} lines[] = {
		{0x0400, 0x002, 0x008},
		{0x0800, 0x001, 0x002},
		{0x1000, 0x004, 0x004},
		{0x2000, 0x100, 0x001},
	};
	struct board *b = *state;

	out(b, CR, 0x381);
	assert_int_equal(in(b, FR), 0x090);
	assert_int_equal(in(b, RIS), 0x00e);
	out(b, ICR, 0x00f);
	out(b, IMSC, 0x00f);
	for (u32 i = 0; i < ARRAY_COUNT(lines); i++) {
		out(b, CR, 0x381 | lines[i].control);
		assert_int_equal(in(b, FR), 0x090 | lines[i].flag);
		assert_int_equal(in(b, MIS), lines[i].interrupt);
		assert_true(b->irq.level);
		out(b, ICR, lines[i].interrupt);
		assert_false(b->irq.level);
		out(b, CR, 0x381);
		assert_int_equal(in(b, MIS), lines[i].interrupt);
		out(b, ICR, lines[i].interrupt);
	}
}

static void turning_the_fifos_off_flushes_them(void **state)
{
	struct board *b = *state;

	type(b, "q");
	fifo_on(b);
	assert_int_equal(in(b, DR), 'q');
	type(b, "abc");
	b->dev.room = 0;
	send(b, 20);
	assert_int_equal(in(b, RIS), 0);
	out(b, LCR_H, 0x60);
	assert_int_equal(in(b, FR), IDLE);
	assert_int_equal(in(b, RIS), TX);
	assert_false(timer_armed(&b->uart.port.timeout));
}

static void state_round_trip(void **state)
{
	struct board *b = *state, *fresh = malloc(sizeof(*fresh));
	u8 *before, *after;

	board_init(fresh);
	fresh->dev.room = 0;
	fifo_on(b);
	out(b, IMSC, RX | RT);
	out(b, IBRD, 13);
	out(b, FBRD, 1);
	type(b, "hey");
	b->dev.room = 0;
	out(b, DR, 'q');
	before = fake_save(&uart_pl011_state, &b->uart);
	assert_true(fake_same_after_load(&uart_pl011_state, &b->uart, &fresh->uart));
	/* The loaded one goes on: its time-out comes, its byte leaves. */
	fake_clock_advance(&fresh->clock, NS_PER_MS);
	assert_true(fresh->irq.level);
	assert_int_equal(in(fresh, MIS), RT);
	fresh->dev.room = 10;
	uart_pl011_output_ready(&fresh->uart);
	assert_int_equal(fresh->dev.out[0], 'q');
	assert_int_equal(in(fresh, DR), 'h');
	after = fake_save(&uart_pl011_state, &fresh->uart);
	assert_memory_not_equal(before, after, state_packed_size(&uart_pl011_state));
	free(before);
	free(after);
	free(fresh);
}

static void loading_frees_what_was_blocked(void **state)
{
	struct board *b = *state, *fresh = malloc(sizeof(*fresh));
	struct uart_pl011 scratch;
	u8 *saved;

	board_init(fresh);
	b->dev.room = 0;
	out(b, IMSC, TX);
	out(b, DR, 'q');
	assert_false(b->irq.level);
	saved = fake_save(&uart_pl011_state, &b->uart);
	assert_int_equal(fake_load(&uart_pl011_state, &fresh->uart, &scratch, saved), HV_OK);
	assert_int_equal(fresh->dev.out_count, 1);
	assert_true(fresh->irq.level);
	free(saved);
	free(fresh);
}

#define REFUSED(good, member, value)                                                               \
	do {                                                                                       \
		struct uart_pl011 bad = *(good);                                                   \
		const char *why = NULL;                                                            \
                                                                                                   \
		assert_int_equal(uart_pl011_state.check(&bad, &why), HV_OK);                       \
		bad.member = value;                                                                \
		assert_int_equal(uart_pl011_state.check(&bad, &why), HV_EINVALID);                 \
		assert_non_null(why);                                                              \
	} while (0)

static void refuses_broken_state(void **state)
{
	struct board *b = *state;
	const struct uart_pl011 *uart = &b->uart;

	REFUSED(uart, cr, 0x08);
	REFUSED(uart, imsc, 0x800);
	REFUSED(uart, ris, 0x800);
	REFUSED(uart, rsr, 0x01);
	REFUSED(uart, fbrd, 0x40);
	REFUSED(uart, ifls, 0x40);
	REFUSED(uart, dmacr, 0x08);
	REFUSED(uart, overrun, 2);
	REFUSED(uart, port.timeout_at, 0);
	REFUSED(uart, ris, RX);
	REFUSED(uart, ris, RT);
	REFUSED(uart, port.rx_count, 2);
	REFUSED(uart, port.tx_count, 2);
	fifo_on(b);
	REFUSED(uart, port.rx_count, 33);
	REFUSED(uart, port.tx_count, 33);
}

static void reset_ends_everything(void **state)
{
	struct board *b = *state;

	fifo_on(b);
	out(b, IMSC, 0x7ff);
	out(b, DR, 'x');
	type(b, "xyz");
	b->dev.room = 0;
	send(b, 4);
	assert_true(b->irq.level);
	uart_pl011_reset(&b->uart);
	assert_false(b->irq.level);
	assert_false(timer_armed(&b->uart.port.timeout));
	after_reset(state);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(after_reset),
		T(identity),
		T(registers_keep_their_bits),
		T(sizes_of_accesses),
		T(linux_earlycon),
		T(linux_provokes_an_interrupt),
		T(transmit_interrupt),
		T(back_pressure),
		T(transmit_levels),
		T(disabled_transmitter_keeps_bytes),
		T(disabled_receiver_takes_nothing),
		T(receives_without_fifo),
		T(receives_more_than_the_fifo),
		T(receive_levels),
		T(receive_timeout),
		T(loopback),
		T(modem_lines),
		T(turning_the_fifos_off_flushes_them),
		T(state_round_trip),
		T(loading_frees_what_was_blocked),
		T(refuses_broken_state),
		T(reset_ends_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
