/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <devices/uart_16550.h>

#include "device_fakes.h"

enum {
	DATA,
	IER,
	IIR,
	LCR,
	MCR,
	LSR,
	MSR,
	SCR
};

struct board {
	struct fake_clock clock;
	struct fake_irq irq;
	struct fake_chardev dev;
	struct uart_16550 uart;
};

static void board_init(struct board *b)
{
	fake_clock_init(&b->clock);
	fake_irq_init(&b->irq, 4);
	fake_chardev_init(&b->dev);
	uart_16550_init(&b->uart, &b->irq.line, &b->dev.chardev, &b->clock.clock);
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

static u8 in(struct board *b, u64 reg)
{
	return io_in(uart_16550_io, &b->uart, reg);
}

static void out(struct board *b, u64 reg, u8 value)
{
	io_out(uart_16550_io, &b->uart, reg, value);
}

static void type(struct board *b, const char *text)
{
	size_t length = strlen(text);

	memcpy(b->dev.in + b->dev.in_count, text, length);
	b->dev.in_count += length;
	uart_16550_input(&b->uart);
}

static void power_on(void **state)
{
	struct board *b = *state;

	assert_int_equal(in(b, LSR), 0x60);
	assert_int_equal(in(b, IIR), 0x01);
	assert_int_equal(in(b, MSR), 0xb0);
	assert_int_equal(in(b, IER), 0);
	assert_int_equal(in(b, DATA), 0);
	assert_false(b->irq.level);
}

static void divisor_and_scratch(void **state)
{
	struct board *b = *state;

	out(b, LCR, 0x83);
	out(b, DATA, 0x01);
	out(b, IER, 0x02);
	assert_int_equal(in(b, DATA), 0x01);
	assert_int_equal(in(b, IER), 0x02);
	out(b, LCR, 0x03);
	assert_int_equal(in(b, IER), 0);
	assert_int_equal(b->dev.out_count, 0);
	out(b, SCR, 0xa5);
	assert_int_equal(in(b, SCR), 0xa5);
	out(b, IER, 0xff);
	assert_int_equal(in(b, IER), 0x0f);
}

static void sends_at_once(void **state)
{
	struct board *b = *state;

	for (const char *c = "hello"; *c; c++) {
		assert_int_equal(in(b, LSR) & 0x60, 0x60);
		out(b, DATA, (u8)*c);
	}
	assert_memory_equal(b->dev.out, "hello", 5);
}

/* Linux 8250: autoconfig() finds a 16550A, and nothing better. */
static void linux_autoconfig(void **state)
{
	struct board *b = *state;

	out(b, IER, 0);
	assert_int_equal(in(b, IER), 0);
	out(b, IER, 0x0f);
	assert_int_equal(in(b, IER), 0x0f);
	out(b, IER, 0);
	out(b, MCR, 0x1a);
	assert_int_equal(in(b, MSR) & 0xf0, 0x90);
	out(b, MCR, 0);
	out(b, IIR, 0x01);
	assert_int_equal(in(b, IIR) >> 6, 3);
	/* No enhanced features register, no 64-byte FIFO, no UUE bit. */
	out(b, LCR, 0x80);
	assert_int_not_equal(in(b, IIR), 0);
	out(b, IIR, 0x21);
	assert_int_equal(in(b, IIR) >> 5, 6);
	out(b, LCR, 0xbf);
	assert_int_not_equal(in(b, IIR), 0);
	out(b, LCR, 0);
	out(b, IER, 0x40);
	assert_int_equal(in(b, IER) & 0x40, 0);
}

/* Linux 8250: the tests for a transmitter interrupt that does not come back. */
static void linux_thre_tests(void **state)
{
	struct board *b = *state;

	out(b, MCR, 0x08);
	out(b, IER, 0x02);
	assert_true(b->irq.level);
	assert_int_equal(in(b, IIR), 0x02);
	assert_false(b->irq.level);
	out(b, IER, 0);
	out(b, IER, 0x02);
	assert_int_equal(in(b, IIR), 0x02);
	assert_int_equal(in(b, IIR), 0x01);
	/* Still on: no interrupt again without something sent. */
	out(b, IER, 0x03);
	assert_int_equal(in(b, IIR), 0x01);
	out(b, DATA, 'x');
	assert_int_equal(in(b, IIR), 0x02);
}

/* Linux 8250: autoconfig_irq() listens with everything on and one byte sent. */
static void linux_irq_probe(void **state)
{
	struct board *b = *state;

	out(b, MCR, 0);
	out(b, IER, 0x0f);
	assert_int_equal(b->irq.rises, 0);
	out(b, MCR, 0x0b);
	in(b, LSR);
	in(b, DATA);
	in(b, IIR);
	in(b, MSR);
	out(b, DATA, 0xff);
	assert_true(b->irq.rises >= 1);
	in(b, LSR);
	in(b, DATA);
	in(b, IIR);
	in(b, MSR);
	assert_false(b->irq.level);
}

static void receives_without_fifo(void **state)
{
	struct board *b = *state;

	out(b, MCR, 0x08);
	out(b, IER, 0x01);
	type(b, "ab");
	assert_int_equal(b->dev.in_count, 1);
	assert_int_equal(in(b, LSR), 0x61);
	assert_int_equal(in(b, IIR), 0x04);
	assert_true(b->irq.level);
	assert_int_equal(in(b, DATA), 'a');
	assert_true(b->irq.level);
	assert_int_equal(in(b, DATA), 'b');
	assert_false(b->irq.level);
	assert_int_equal(in(b, LSR), 0x60);
}

static void receives_more_than_the_fifo(void **state)
{
	struct board *b = *state;
	char text[101] = "";

	for (u32 i = 0; i < 100; i++)
		text[i] = (char)('A' + i % 50);
	out(b, IIR, 0x01);
	type(b, text);
	assert_int_equal(b->dev.in_count, 84);
	for (u32 i = 0; i < 100; i++) {
		assert_int_equal(in(b, LSR) & 1, 1);
		assert_int_equal(in(b, DATA), text[i]);
	}
	assert_int_equal(in(b, LSR), 0x60);
}

static void trigger_levels(void **state)
{
	static const u8 levels[] = {1, 4, 8, 14};

	for (u8 i = 0; i < 4; i++) {
		struct board *b = *state;

		board_init(b);
		out(b, MCR, 0x08);
		out(b, IER, 0x01);
		out(b, IIR, (u8)(i << 6 | 0x07));
		for (u32 n = 1; n < levels[i]; n++) {
			type(b, "x");
			assert_false(b->irq.level);
		}
		type(b, "x");
		assert_true(b->irq.level);
		assert_int_equal(in(b, IIR), 0xc4);
	}
}

static void receive_timeout(void **state)
{
	struct board *b = *state;

	out(b, MCR, 0x08);
	out(b, IER, 0x01);
	out(b, IIR, 0xc1);
	type(b, "xy");
	fake_clock_advance(&b->clock, 340000);
	assert_false(b->irq.level);
	type(b, "z");
	fake_clock_advance(&b->clock, 340000);
	assert_false(b->irq.level);
	fake_clock_advance(&b->clock, 10000);
	assert_true(b->irq.level);
	assert_int_equal(in(b, IIR), 0xcc);
	/* Reading IIR does not end it, reading data does, and starts the time again. */
	assert_int_equal(in(b, IIR), 0xcc);
	assert_int_equal(in(b, DATA), 'x');
	assert_false(b->irq.level);
	fake_clock_advance(&b->clock, 350000);
	assert_int_equal(in(b, IIR), 0xcc);
	in(b, DATA);
	in(b, DATA);
	assert_false(b->irq.level);
	fake_clock_advance(&b->clock, NS_PER_SEC);
	assert_int_equal(in(b, IIR), 0xc1);
}

static void back_pressure(void **state)
{
	struct board *b = *state;

	out(b, MCR, 0x08);
	out(b, IIR, 0x01);
	out(b, IER, 0x02);
	in(b, IIR);
	b->dev.room = 1;
	for (u32 i = 0; i < 18; i++)
		out(b, DATA, (u8)('a' + i));
	/* One went, sixteen wait, one was lost as the FIFO was full. */
	assert_int_equal(b->dev.out_count, 1);
	assert_int_equal(in(b, LSR) & 0x60, 0);
	assert_false(b->irq.level);
	b->dev.room = 5;
	uart_16550_output_ready(&b->uart);
	assert_int_equal(in(b, LSR) & 0x60, 0);
	assert_false(b->irq.level);
	b->dev.room = 100;
	uart_16550_output_ready(&b->uart);
	assert_int_equal(in(b, LSR) & 0x60, 0x60);
	assert_true(b->irq.level);
	assert_int_equal(in(b, IIR), 0xc2);
	assert_int_equal(b->dev.out_count, 17);
	assert_memory_equal(b->dev.out, "abcdefghijklmnopq", 17);
}

static void enabling_while_blocked_is_quiet(void **state)
{
	struct board *b = *state;

	out(b, MCR, 0x08);
	b->dev.room = 0;
	out(b, DATA, 'x');
	out(b, IER, 0x02);
	assert_false(b->irq.level);
	b->dev.room = 1;
	uart_16550_output_ready(&b->uart);
	assert_true(b->irq.level);
}

static void loopback(void **state)
{
	struct board *b = *state;

	out(b, IIR, 0x01);
	out(b, IER, 0x0f);
	out(b, MCR, 0x18);
	type(b, "outside");
	assert_int_equal(b->dev.in_count, 7);
	assert_int_equal(in(b, LSR), 0x60);
	for (u32 i = 0; i < 17; i++)
		out(b, DATA, (u8)i);
	assert_int_equal(b->dev.out_count, 0);
	assert_int_equal(in(b, IIR), 0xc6);
	assert_int_equal(in(b, LSR), 0x63);
	assert_int_equal(in(b, LSR), 0x61);
	for (u32 i = 0; i < 16; i++)
		assert_int_equal(in(b, DATA), i);
	assert_int_equal(in(b, LSR), 0x60);
	assert_int_equal(b->irq.rises, 0);
	out(b, MCR, 0);
	assert_int_equal(in(b, DATA), 'o');
}

static void modem_status(void **state)
{
	struct board *b = *state;

	out(b, MCR, 0x10);
	assert_int_equal(in(b, MSR), 0x0b);
	out(b, MCR, 0x14);
	assert_int_equal(in(b, MSR), 0x40);
	out(b, MCR, 0x10);
	assert_int_equal(in(b, MSR), 0x04);
	out(b, MCR, 0x08);
	assert_true(in(b, MSR) & 0x0f);
	out(b, IER, 0x08);
	out(b, MCR, 0x18);
	assert_int_equal(in(b, IIR), 0x00);
	in(b, MSR);
	assert_int_equal(in(b, IIR), 0x01);
}

static void clearing_the_fifos(void **state)
{
	struct board *b = *state;

	out(b, IIR, 0x01);
	type(b, "abc");
	b->dev.room = 0;
	out(b, DATA, 'x');
	out(b, IIR, 0x07);
	assert_int_equal(in(b, LSR), 0x60);
	/* Without the enable bit nothing else counts. */
	out(b, IIR, 0xc0);
	assert_int_equal(in(b, IIR), 0x01);
}

static void state_round_trip(void **state)
{
	struct board *b = *state, *fresh = malloc(sizeof(*fresh));

	board_init(fresh);
	fresh->dev.room = 0;
	out(b, MCR, 0x08);
	out(b, IIR, 0xc1);
	out(b, IER, 0x03);
	in(b, IIR);
	type(b, "hey");
	b->dev.room = 0;
	out(b, DATA, 'q');
	assert_true(fake_same_after_load(&uart_16550_state, &b->uart, &fresh->uart));
	/* The loaded one goes on: its time-out comes, its byte leaves. */
	fake_clock_advance(&fresh->clock, NS_PER_MS);
	assert_true(fresh->irq.level);
	assert_int_equal(in(fresh, IIR), 0xcc);
	fresh->dev.room = 10;
	uart_16550_output_ready(&fresh->uart);
	assert_int_equal(fresh->dev.out[0], 'q');
	assert_int_equal(in(fresh, DATA), 'h');
	free(fresh);
}

static void loading_frees_what_was_blocked(void **state)
{
	struct board *b = *state, *fresh = malloc(sizeof(*fresh));
	struct uart_16550 scratch;
	u8 *saved;

	board_init(fresh);
	out(b, MCR, 0x08);
	b->dev.room = 0;
	out(b, IER, 0x02);
	in(b, IIR);
	out(b, DATA, 'q');
	saved = fake_save(&uart_16550_state, &b->uart);
	assert_int_equal(fake_load(&uart_16550_state, &fresh->uart, &scratch, saved), HV_OK);
	assert_int_equal(fresh->dev.out_count, 1);
	assert_true(fresh->irq.level);
	free(saved);
	free(fresh);
}

static void refuses_broken_state(void **state)
{
	struct board *b = *state;
	struct uart_16550 bad = b->uart;
	const char *why = NULL;

	assert_int_equal(uart_16550_state.check(&bad, &why), HV_OK);
	bad.port.rx_count = 2;
	assert_int_equal(uart_16550_state.check(&bad, &why), HV_EINVALID);
	assert_non_null(why);
	bad.fcr = 0x01;
	assert_int_equal(uart_16550_state.check(&bad, &why), HV_OK);
	bad.port.tx_count = 17;
	assert_int_equal(uart_16550_state.check(&bad, &why), HV_EINVALID);
	bad.port.tx_count = 0;
	bad.mcr = 0x20;
	assert_int_equal(uart_16550_state.check(&bad, &why), HV_EINVALID);
	bad.mcr = 0;
	bad.thre_pending = 2;
	assert_int_equal(uart_16550_state.check(&bad, &why), HV_EINVALID);
}

static void reset_ends_everything(void **state)
{
	struct board *b = *state;

	out(b, SCR, 7);
	out(b, MCR, 0x08);
	out(b, IIR, 0xc1);
	out(b, IER, 0x0f);
	type(b, "xyz");
	assert_true(b->irq.level);
	uart_16550_reset(&b->uart);
	assert_false(b->irq.level);
	assert_false(timer_armed(&b->uart.port.timeout));
	assert_int_equal(in(b, LSR), 0x60);
	assert_int_equal(in(b, SCR), 7);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(power_on),
		T(divisor_and_scratch),
		T(sends_at_once),
		T(linux_autoconfig),
		T(linux_thre_tests),
		T(linux_irq_probe),
		T(receives_without_fifo),
		T(receives_more_than_the_fifo),
		T(trigger_levels),
		T(receive_timeout),
		T(back_pressure),
		T(enabling_while_blocked_is_quiet),
		T(loopback),
		T(modem_status),
		T(clearing_the_fifos),
		T(state_round_trip),
		T(loading_frees_what_was_blocked),
		T(refuses_broken_state),
		T(reset_ends_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
