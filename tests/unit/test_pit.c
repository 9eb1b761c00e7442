/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <devices/pit.h>

#include "device_fakes.h"

struct board {
	struct fake_clock clock;
	struct fake_irq irq;
	struct pit pit;
};

static void board_init(struct board *b)
{
	fake_clock_init(&b->clock);
	fake_irq_init(&b->irq, 2);
	pit_init(&b->pit, &b->clock.clock, &b->irq.line);
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

static u8 in(struct board *b, u64 port)
{
	return io_in(port == 0x61 ? pit_port61 : pit_io, &b->pit, port == 0x61 ? 0 : port - 0x40);
}

static void out(struct board *b, u64 port, u8 value)
{
	io_out(port == 0x61 ? pit_port61 : pit_io, &b->pit, port == 0x61 ? 0 : port - 0x40, value);
}

/* Moves the time on to the start of the tick @ticks after the present one. */
static void tick(struct board *b, u64 ticks)
{
	u64 at = muldiv_u64(b->clock.ns, PIT_HZ, NS_PER_SEC) + ticks;
	u64 ns = muldiv_u64(at, NS_PER_SEC, PIT_HZ);

	while (muldiv_u64(ns, PIT_HZ, NS_PER_SEC) < at)
		ns++;
	if (ns > b->clock.ns)
		fake_clock_advance(&b->clock, ns - b->clock.ns);
}

static void set(struct board *b, u32 index, u32 mode, u32 count)
{
	out(b, 0x43, (u8)(index << 6 | 0x30 | mode << 1));
	out(b, 0x40 + index, (u8)count);
	out(b, 0x40 + index, (u8)(count >> 8));
}

static u16 get(struct board *b, u32 index)
{
	u8 low;

	out(b, 0x43, (u8)(index << 6));
	low = in(b, 0x40 + index);
	return (u16)(in(b, 0x40 + index) << 8 | low);
}

static bool out2(struct board *b)
{
	return in(b, 0x61) & 0x20;
}

/* Linux quick_pit_calibrate(): mode 0 with 0xffff, the high byte goes down every 256 ticks. */
static void linux_quick_calibrate(void **state)
{
	struct board *b = *state;
	u8 msb = 0xff;
	u64 ticks = 0;

	out(b, 0x61, (u8)((in(b, 0x61) & ~0x02) | 0x01));
	out(b, 0x43, 0xb0);
	out(b, 0x42, 0xff);
	out(b, 0x42, 0xff);
	in(b, 0x42);
	assert_int_equal(in(b, 0x42), 0xff);
	for (u32 i = 0; i < 40000; i++) {
		u8 now;

		in(b, 0x42);
		now = in(b, 0x42);
		assert_true(now == msb || now == (u8)(msb - 1));
		assert_int_equal(now, (0xffff - ticks) >> 8);
		msb = now;
		tick(b, 1);
		ticks++;
	}
}

/* The same with the counter set to its high byte only. */
static void high_byte_only(void **state)
{
	struct board *b = *state;

	out(b, 0x61, 0x01);
	out(b, 0x43, 0xa0);
	out(b, 0x42, 0x80);
	assert_int_equal(in(b, 0x42), 0x80);
	tick(b, 1);
	assert_int_equal(in(b, 0x42), 0x7f);
	assert_int_equal(in(b, 0x42), 0x7f);
	tick(b, 255);
	assert_int_equal(in(b, 0x42), 0x7f);
	tick(b, 1);
	assert_int_equal(in(b, 0x42), 0x7e);
}

/* Linux pit_calibrate_tsc(): waits for the output of counter 2 after 10 ms. */
static void linux_calibrate_tsc(void **state)
{
	struct board *b = *state;
	u16 latch = (u16)(PIT_HZ / 100);
	u64 start;

	out(b, 0x61, (u8)((in(b, 0x61) & ~0x02) | 0x01));
	out(b, 0x43, 0xb0);
	out(b, 0x42, (u8)latch);
	out(b, 0x42, (u8)(latch >> 8));
	start = b->clock.ns;
	while (!out2(b))
		fake_clock_advance(&b->clock, 1000);
	assert_in_range(b->clock.ns - start, 9990000, 10010000);
	/* A second run starts over. */
	out(b, 0x43, 0xb0);
	assert_false(out2(b));
	out(b, 0x42, (u8)latch);
	out(b, 0x42, (u8)(latch >> 8));
	assert_false(out2(b));
	tick(b, latch);
	assert_true(out2(b));
}

static void gate_holds_mode_0(void **state)
{
	struct board *b = *state;

	set(b, 2, 0, 100);
	tick(b, 50);
	assert_int_equal(get(b, 2), 100);
	out(b, 0x61, 0x01);
	tick(b, 30);
	assert_int_equal(get(b, 2), 70);
	out(b, 0x61, 0x00);
	tick(b, 30);
	assert_int_equal(get(b, 2), 70);
	out(b, 0x61, 0x01);
	tick(b, 69);
	assert_false(out2(b));
	tick(b, 1);
	assert_true(out2(b));
	tick(b, 1);
	assert_int_equal(get(b, 2), 0xffff);
	assert_true(out2(b));
}

static void mode_2(void **state)
{
	struct board *b = *state;

	out(b, 0x61, 0x01);
	set(b, 2, 2, 5);
	for (u32 i = 0; i < 20; i++) {
		assert_int_equal(get(b, 2), 5 - i % 5);
		assert_int_equal(out2(b), i % 5 != 4);
		tick(b, 1);
	}
	/* The gate puts the output up and starts the period again. */
	tick(b, 4);
	assert_false(out2(b));
	out(b, 0x61, 0x00);
	assert_true(out2(b));
	tick(b, 3);
	out(b, 0x61, 0x01);
	assert_int_equal(get(b, 2), 5);
	/* A new count waits for the end of the period. */
	tick(b, 2);
	out(b, 0x42, 9);
	out(b, 0x42, 0);
	assert_int_equal(get(b, 2), 3);
	tick(b, 2);
	assert_int_equal(get(b, 2), 1);
	tick(b, 1);
	assert_int_equal(get(b, 2), 9);
}

static void mode_3(void **state)
{
	static const u8 even[] = {6, 4, 2, 6, 4, 2};
	static const u8 odd[] = {6, 4, 2, 0, 6, 4, 2};
	struct board *b = *state;

	out(b, 0x61, 0x01);
	set(b, 2, 3, 6);
	for (u32 i = 0; i < 12; i++) {
		assert_int_equal(get(b, 2), even[i % 6]);
		assert_int_equal(out2(b), i % 6 < 3);
		tick(b, 1);
	}
	set(b, 2, 3, 7);
	for (u32 i = 0; i < 14; i++) {
		assert_int_equal(get(b, 2), odd[i % 7]);
		assert_int_equal(out2(b), i % 7 < 4);
		tick(b, 1);
	}
}

static void mode_4(void **state)
{
	struct board *b = *state;

	out(b, 0x61, 0x01);
	set(b, 2, 4, 10);
	tick(b, 9);
	assert_true(out2(b));
	tick(b, 1);
	assert_false(out2(b));
	tick(b, 1);
	assert_true(out2(b));
	assert_int_equal(get(b, 2), 0xffff);
}

static void mode_1(void **state)
{
	struct board *b = *state;

	set(b, 2, 1, 10);
	assert_true(out2(b));
	out(b, 0x61, 0x01);
	assert_false(out2(b));
	out(b, 0x61, 0x00);
	tick(b, 9);
	assert_false(out2(b));
	tick(b, 1);
	assert_true(out2(b));
}

static void zero_is_the_longest(void **state)
{
	struct board *b = *state;

	set(b, 0, 2, 0);
	assert_int_equal(get(b, 0), 0);
	tick(b, 1);
	assert_int_equal(get(b, 0), 0xffff);
}

static void bcd(void **state)
{
	struct board *b = *state;

	out(b, 0x43, 0x35);
	out(b, 0x40, 0x00);
	out(b, 0x40, 0x10);
	assert_int_equal(get(b, 0), 0x1000);
	tick(b, 1);
	assert_int_equal(get(b, 0), 0x0999);
	tick(b, 999);
	assert_int_equal(get(b, 0), 0x1000);
}

static void latch_and_read_back(void **state)
{
	struct board *b = *state;

	set(b, 0, 2, 1000);
	tick(b, 10);
	/* Count and status of counter 0: the status comes first. */
	out(b, 0x43, 0xc2);
	tick(b, 10);
	out(b, 0x43, 0x00);
	assert_int_equal(in(b, 0x40), 0x80 | 0x30 | 2 << 1);
	assert_int_equal(in(b, 0x40), 990 & 0xff);
	assert_int_equal(in(b, 0x40), 990 >> 8);
	assert_int_equal(in(b, 0x40), 980 & 0xff);
	assert_int_equal(in(b, 0x40), 980 >> 8);
	/* No count yet: null count. */
	out(b, 0x43, 0x34);
	out(b, 0x43, 0xe2);
	assert_int_equal(in(b, 0x40), 0x40 | 0x80 | 0x30 | 2 << 1);
	/* Counters 1 and 2 at once. */
	set(b, 1, 2, 18);
	set(b, 2, 3, 7);
	out(b, 0x43, 0xec);
	assert_int_equal(in(b, 0x41), 0x80 | 0x30 | 2 << 1);
	assert_int_equal(in(b, 0x42), 0x80 | 0x30 | 3 << 1);
}

static void refresh_bit_toggles(void **state)
{
	struct board *b = *state;
	u32 changes = 0;
	u8 last = in(b, 0x61) & 0x10;

	for (u32 i = 0; i < 1800; i++) {
		u8 bit;

		tick(b, 1);
		bit = in(b, 0x61) & 0x10;
		changes += bit != last;
		last = bit;
	}
	assert_int_equal(changes, 100);
	out(b, 0x61, 0xff);
	assert_int_equal(in(b, 0x61) & 0xcf, 0x0f);
}

static void interrupts(void **state)
{
	struct board *b = *state;

	/* 100 Hz for a second. */
	set(b, 0, 2, 11932);
	fake_clock_advance(&b->clock, NS_PER_SEC + NS_PER_MS);
	assert_int_equal(b->irq.rises, 100);
	/* A control word ends it. */
	out(b, 0x43, 0x30);
	fake_clock_advance(&b->clock, NS_PER_SEC);
	assert_int_equal(b->irq.rises, 100);
	/* Once in modes 0 and 4. */
	set(b, 0, 0, 1000);
	fake_clock_advance(&b->clock, NS_PER_SEC);
	assert_int_equal(b->irq.rises, 101);
	set(b, 0, 4, 1000);
	fake_clock_advance(&b->clock, NS_PER_SEC);
	assert_int_equal(b->irq.rises, 102);
	set(b, 0, 3, 11932);
	fake_clock_advance(&b->clock, NS_PER_SEC + NS_PER_MS);
	assert_int_equal(b->irq.rises, 202);
}

static void interrupts_have_a_limit(void **state)
{
	struct board *b = *state;

	set(b, 0, 2, 2);
	fake_clock_advance(&b->clock, NS_PER_SEC / 10);
	assert_in_range(b->irq.rises, 1000, NS_PER_SEC / 10 / PIT_IRQ_GAP_NS + 1);
	/* What was missed comes as one. */
	set(b, 0, 2, 1000);
	b->irq.rises = 0;
	b->clock.ns += NS_PER_SEC;
	clock_expire(&b->clock.clock);
	assert_int_equal(b->irq.rises, 1);
}

static void state_round_trip(void **state)
{
	struct board *b = *state, *fresh = malloc(sizeof(*fresh));

	board_init(fresh);
	tick(b, 12345);
	set(b, 0, 2, 11932);
	out(b, 0x61, 0x01);
	set(b, 2, 0, 5000);
	tick(b, 100);
	out(b, 0x43, 0x80);
	in(b, 0x42);
	assert_true(fake_same_after_load(&pit_state, &b->pit, &fresh->pit));
	fresh->clock.ns = b->clock.ns;
	assert_int_equal(in(fresh, 0x42), in(b, 0x42));
	assert_int_equal(get(fresh, 2), get(b, 2));
	fake_clock_advance(&fresh->clock, NS_PER_SEC);
	fake_clock_advance(&b->clock, NS_PER_SEC);
	assert_int_equal(fresh->irq.rises, b->irq.rises);
	assert_int_equal(fresh->irq.rises, 100);
	free(fresh);
}

static void refuses_broken_state(void **state)
{
	struct board *b = *state;
	struct pit bad = b->pit;
	const char *why = NULL;

	assert_int_equal(pit_state.check(&bad, &why), HV_OK);
	bad.channels[1].mode = 6;
	assert_int_equal(pit_state.check(&bad, &why), HV_EINVALID);
	assert_non_null(why);
	bad = b->pit;
	bad.channels[0].running = 1;
	assert_int_equal(pit_state.check(&bad, &why), HV_EINVALID);
	bad = b->pit;
	bad.channels[2].reload = 65537;
	assert_int_equal(pit_state.check(&bad, &why), HV_EINVALID);
	bad = b->pit;
	bad.channels[2].start = UINT64_MAX;
	assert_int_equal(pit_state.check(&bad, &why), HV_EINVALID);
	bad = b->pit;
	bad.port61 = 1;
	assert_int_equal(pit_state.check(&bad, &why), HV_EINVALID);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(linux_quick_calibrate),
		T(high_byte_only),
		T(linux_calibrate_tsc),
		T(gate_holds_mode_0),
		T(mode_1),
		T(mode_2),
		T(mode_3),
		T(mode_4),
		T(zero_is_the_longest),
		T(bcd),
		T(latch_and_read_back),
		T(refresh_bit_toggles),
		T(interrupts),
		T(interrupts_have_a_limit),
		T(state_round_trip),
		T(refuses_broken_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
