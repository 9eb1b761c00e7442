/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <devices/rtc_cmos.h>

#include "device_fakes.h"

/* 2024-02-29 23:59:58 UTC, a Thursday. */
#define LEAP_EVE 1709251198

struct board {
	struct fake_clock clock;
	struct rtc_cmos rtc;
};

static void board_init(struct board *b, u64 wall)
{
	fake_clock_init(&b->clock);
	b->clock.clock.wall = (s64)(wall * NS_PER_SEC);
	rtc_cmos_init(&b->rtc, &b->clock.clock);
}

static u8 get(struct board *b, u8 index)
{
	io_out(rtc_cmos_io, &b->rtc, 0, index);
	return io_in(rtc_cmos_io, &b->rtc, 1);
}

static void put(struct board *b, u8 index, u8 value)
{
	io_out(rtc_cmos_io, &b->rtc, 0, index);
	io_out(rtc_cmos_io, &b->rtc, 1, value);
}

static void assert_time(struct board *b, u16 year, u8 month, u8 day, u8 hour, u8 minute, u8 second)
{
	assert_int_equal(get(b, 0x32) << 8 | get(b, 0x09), year);
	assert_int_equal(get(b, 0x08), month);
	assert_int_equal(get(b, 0x07), day);
	assert_int_equal(get(b, 0x04), hour);
	assert_int_equal(get(b, 0x02), minute);
	assert_int_equal(get(b, 0x00), second);
}

static void time_of_day(void **state)
{
	struct board b;

	(void)state;
	board_init(&b, LEAP_EVE);
	assert_time(&b, 0x2024, 0x02, 0x29, 0x23, 0x59, 0x58);
	assert_int_equal(get(&b, 0x06), 5);
	fake_clock_advance(&b.clock, 2 * NS_PER_SEC);
	assert_time(&b, 0x2024, 0x03, 0x01, 0x00, 0x00, 0x00);
	assert_int_equal(get(&b, 0x06), 6);
	fake_clock_advance(&b.clock, 305 * 86400 * NS_PER_SEC + 86399 * NS_PER_SEC);
	assert_time(&b, 0x2024, 0x12, 0x31, 0x23, 0x59, 0x59);
	fake_clock_advance(&b.clock, NS_PER_SEC);
	assert_time(&b, 0x2025, 0x01, 0x01, 0x00, 0x00, 0x00);
	board_init(&b, 0);
	assert_time(&b, 0x1970, 0x01, 0x01, 0x00, 0x00, 0x00);
	assert_int_equal(get(&b, 0x06), 5);
	board_init(&b, 951782400);
	assert_time(&b, 0x2000, 0x02, 0x29, 0x00, 0x00, 0x00);
	board_init(&b, 4107542399);
	assert_time(&b, 0x2100, 0x02, 0x28, 0x23, 0x59, 0x59);
	fake_clock_advance(&b.clock, NS_PER_SEC);
	assert_time(&b, 0x2100, 0x03, 0x01, 0x00, 0x00, 0x00);
}

static void registers(void **state)
{
	struct board b;

	(void)state;
	board_init(&b, LEAP_EVE);
	assert_int_equal(get(&b, 0x0a), 0x26);
	assert_int_equal(get(&b, 0x0b), 0x02);
	assert_int_equal(get(&b, 0x0c), 0x00);
	assert_int_equal(get(&b, 0x0d), 0x80);
	put(&b, 0x0c, 0xff);
	put(&b, 0x0d, 0x00);
	assert_int_equal(get(&b, 0x0c), 0x00);
	assert_int_equal(get(&b, 0x0d), 0x80);
	put(&b, 0x0b, 0x72);
	rtc_cmos_reset(&b.rtc);
	assert_int_equal(get(&b, 0x0b), 0x02);
	put(&b, 0x80 | 0x0f, 0x5a);
	assert_int_equal(get(&b, 0x0f), 0x5a);
	put(&b, 0x7f, 0xa5);
	assert_int_equal(get(&b, 0x7f), 0xa5);
}

static void update_in_progress(void **state)
{
	struct board b;

	(void)state;
	board_init(&b, LEAP_EVE);
	fake_clock_advance(&b.clock, NS_PER_SEC - 244001);
	assert_int_equal(get(&b, 0x0a), 0x26);
	fake_clock_advance(&b.clock, 1);
	assert_int_equal(get(&b, 0x0a), 0xa6);
	assert_int_equal(get(&b, 0x00), 0x58);
	fake_clock_advance(&b.clock, 244000);
	assert_int_equal(get(&b, 0x0a), 0x26);
	assert_int_equal(get(&b, 0x00), 0x59);
}

static void binary_and_twelve_hours(void **state)
{
	struct board b;

	(void)state;
	board_init(&b, LEAP_EVE);
	put(&b, 0x0b, 0x06);
	assert_int_equal(get(&b, 0x04), 23);
	assert_int_equal(get(&b, 0x09), 24);
	assert_int_equal(get(&b, 0x32), 20);
	put(&b, 0x0b, 0x00);
	assert_int_equal(get(&b, 0x04), 0x91);
	fake_clock_advance(&b.clock, 2 * NS_PER_SEC);
	assert_int_equal(get(&b, 0x04), 0x12);
	fake_clock_advance(&b.clock, 12 * 3600 * NS_PER_SEC);
	assert_int_equal(get(&b, 0x04), 0x92);
	put(&b, 0x04, 0x83);
	put(&b, 0x0b, 0x02);
	assert_int_equal(get(&b, 0x04), 0x15);
}

/* Linux sets the time with updates held off. */
static void setting_the_time(void **state)
{
	struct board b;

	(void)state;
	board_init(&b, LEAP_EVE);
	fake_clock_advance(&b.clock, 100 * NS_PER_SEC);
	put(&b, 0x0b, 0x82);
	put(&b, 0x09, 0x99);
	put(&b, 0x32, 0x19);
	put(&b, 0x08, 0x12);
	put(&b, 0x07, 0x31);
	put(&b, 0x04, 0x23);
	put(&b, 0x02, 0x59);
	put(&b, 0x00, 0x50);
	fake_clock_advance(&b.clock, 30 * NS_PER_SEC);
	assert_time(&b, 0x1999, 0x12, 0x31, 0x23, 0x59, 0x50);
	put(&b, 0x0b, 0x02);
	assert_time(&b, 0x1999, 0x12, 0x31, 0x23, 0x59, 0x50);
	fake_clock_advance(&b.clock, 10 * NS_PER_SEC);
	assert_time(&b, 0x2000, 0x01, 0x01, 0x00, 0x00, 0x00);
	/* Without holding them off, one register at a time. */
	put(&b, 0x02, 0x30);
	assert_time(&b, 0x2000, 0x01, 0x01, 0x00, 0x30, 0x00);
}

static void nonsense_is_cut_down(void **state)
{
	struct board b;

	(void)state;
	board_init(&b, LEAP_EVE);
	put(&b, 0x0b, 0x82);
	for (u8 i = 0; i < 10; i++)
		put(&b, i, 0xff);
	put(&b, 0x32, 0xff);
	put(&b, 0x0b, 0x02);
	assert_time(&b, 0x9999, 0x12, 0x31, 0x23, 0x59, 0x59);
	put(&b, 0x0b, 0x82);
	for (u8 i = 0; i < 10; i++)
		put(&b, i, 0);
	put(&b, 0x32, 0);
	put(&b, 0x0b, 0x02);
	assert_time(&b, 0x0000, 0x01, 0x01, 0x00, 0x00, 0x00);
	put(&b, 0x08, 0x02);
	put(&b, 0x07, 0x31);
	assert_time(&b, 0x0000, 0x02, 0x29, 0x00, 0x00, 0x00);
}

static void state_round_trip(void **state)
{
	struct board b, fresh;
	struct rtc_cmos bad;
	const char *why = NULL;

	(void)state;
	board_init(&b, LEAP_EVE);
	board_init(&fresh, LEAP_EVE);
	put(&b, 0x40, 0x11);
	put(&b, 0x02, 0x12);
	assert_true(fake_same_after_load(&rtc_cmos_state, &b.rtc, &fresh.rtc));
	assert_time(&fresh, 0x2024, 0x02, 0x29, 0x23, 0x12, 0x58);
	assert_int_equal(get(&fresh, 0x40), 0x11);
	bad = b.rtc;
	bad.index = 0x80;
	assert_int_equal(rtc_cmos_state.check(&bad, &why), HV_EINVALID);
	assert_non_null(why);
	bad = b.rtc;
	bad.offset = INT64_MAX;
	assert_int_equal(rtc_cmos_state.check(&bad, &why), HV_EINVALID);
	bad.offset = INT64_MIN;
	assert_int_equal(rtc_cmos_state.check(&bad, &why), HV_EINVALID);
}

/* A day later, and the guest's own time went on from where it was. */
static void restored_later(void **state)
{
	struct board b, fresh;

	(void)state;
	board_init(&b, LEAP_EVE);
	fake_clock_advance(&b.clock, 3600 * NS_PER_SEC);
	assert_time(&b, 0x2024, 0x03, 0x01, 0x00, 0x59, 0x58);
	board_init(&fresh, LEAP_EVE + 86400);
	fresh.clock.ns = b.clock.ns;
	fresh.clock.clock.wall -= (s64)b.clock.ns;
	assert_true(fake_same_after_load(&rtc_cmos_state, &b.rtc, &fresh.rtc));
	assert_time(&fresh, 0x2024, 0x03, 0x01, 0x23, 0x59, 0x58);
	/* Where the guest keeps it two hours ahead it stays so. */
	put(&b, 0x04, 0x02);
	assert_true(fake_same_after_load(&rtc_cmos_state, &b.rtc, &fresh.rtc));
	assert_time(&fresh, 0x2024, 0x03, 0x02, 0x01, 0x59, 0x58);
	/* Before 1970 there is no time for a machine. */
	board_init(&b, 0);
	b.clock.clock.wall = -(s64)(5 * NS_PER_SEC);
	assert_time(&b, 0x1970, 0x01, 0x01, 0x00, 0x00, 0x00);
	assert_int_equal(get(&b, 0x0a), 0x26);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_of_day),        cmocka_unit_test(registers),
		cmocka_unit_test(update_in_progress), cmocka_unit_test(binary_and_twelve_hours),
		cmocka_unit_test(setting_the_time),   cmocka_unit_test(nonsense_is_cut_down),
		cmocka_unit_test(state_round_trip),   cmocka_unit_test(restored_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
