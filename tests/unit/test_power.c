/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <devices/power.h>

#include "device_fakes.h"

struct calls {
	u32 offs;
	u32 resets;
};

static void power_off(void *ctx)
{
	((struct calls *)ctx)->offs++;
}

static void reset(void *ctx)
{
	((struct calls *)ctx)->resets++;
}

static const struct power_ops ops = {power_off, reset};

static void sleep_register(void **state)
{
	struct calls calls = {0};
	struct power power;

	(void)state;
	power_init(&power, &ops, &calls);
	assert_int_equal(io_in(power_sleep_io, &power, 0), 0);
	assert_int_equal(io_in(power_sleep_io, &power, 1), 0);
	for (u32 value = 0; value < 256; value++) {
		bool off = (value & 0x20) && ((value >> 2) & 7) == 5;
		u32 before = calls.offs;

		io_out(power_sleep_io, &power, 0, (u8)value);
		assert_int_equal(calls.offs - before, off);
		/* SLP_EN reads as 0. */
		assert_int_equal(io_in(power_sleep_io, &power, 0), value & 0x1c);
	}
	calls.offs = 0;
	io_out(power_sleep_io, &power, 1, 0x34);
	assert_int_equal(calls.offs, 0);
	assert_int_equal(calls.resets, 0);
	power_reset(&power);
	assert_int_equal(io_in(power_sleep_io, &power, 0), 0);
}

static void reset_registers(void **state)
{
	struct calls calls = {0};
	struct power power;

	(void)state;
	power_init(&power, &ops, &calls);
	for (u32 value = 0; value < 256; value++)
		io_out(power_reset_io, &power, 0, (u8)value);
	assert_int_equal(calls.resets, 1);
	for (u32 value = 0; value < 256; value++)
		io_out(power_keyboard_io, &power, 0, (u8)value);
	assert_int_equal(calls.resets, 2);
	assert_int_equal(calls.offs, 0);
	assert_int_equal(io_in(power_reset_io, &power, 0), 0);
	assert_int_equal(io_in(power_keyboard_io, &power, 0), 0);
}

static void state_round_trip(void **state)
{
	struct calls calls = {0};
	struct power power, fresh;
	const char *why = NULL;

	(void)state;
	power_init(&power, &ops, &calls);
	power_init(&fresh, &ops, &calls);
	io_out(power_sleep_io, &power, 0, 0x14);
	assert_true(fake_same_after_load(&power_state, &power, &fresh));
	assert_int_equal(io_in(power_sleep_io, &fresh, 0), 0x14);
	assert_int_equal(calls.offs, 0);
	fresh.control = 0x20;
	assert_int_equal(power_state.check(&fresh, &why), HV_EINVALID);
	assert_non_null(why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sleep_register),
		cmocka_unit_test(reset_registers),
		cmocka_unit_test(state_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
