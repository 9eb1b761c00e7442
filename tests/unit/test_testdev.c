/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <devices/testdev.h>

#include "device_fakes.h"

struct calls {
	u32 exits;
	u32 code;
	u32 bytes;
	u8 byte;
};

static void on_exit_code(void *ctx, u32 code)
{
	struct calls *calls = ctx;

	calls->exits++;
	calls->code = code;
}

static void on_byte(void *ctx, u8 byte)
{
	struct calls *calls = ctx;

	calls->bytes++;
	calls->byte = byte;
}

static const struct testdev_ops ops = {on_exit_code, on_byte};

static u64 get(struct testdev *dev, u64 offset, u8 size)
{
	struct io_access access = {.offset = offset, .size = size};

	assert_int_equal(testdev_mmio_io(dev, &access), IO_DONE);
	return access.value;
}

static void put(struct testdev *dev, u64 offset, u8 size, u64 value)
{
	struct io_access access = {
		.offset = offset, .size = size, .value = value, .is_write = true};

	assert_int_equal(testdev_mmio_io(dev, &access), IO_DONE);
}

static void notes_every_form(void **state)
{
	static const u8 sizes[] = {1, 2, 4, 8};
	struct calls calls = {0};
	struct testdev dev;
	u64 count = 0;

	(void)state;
	testdev_init(&dev, &ops, &calls);
	put(&dev, TESTDEV_READ_VALUE, 8, 0x8877665544332211);
	assert_int_equal(get(&dev, TESTDEV_COUNT, 8), 0);
	for (u32 i = 0; i < ARRAY_COUNT(sizes); i++) {
		u64 mask = sizes[i] == 8 ? UINT64_MAX : BIT(8 * sizes[i]) - 1;

		for (u64 offset = 0; offset < 16; offset++) {
			put(&dev, offset, sizes[i], 0xfedcba9876543210);
			assert_int_equal(get(&dev, TESTDEV_COUNT, 8), ++count);
			assert_int_equal(get(&dev, TESTDEV_OFFSET, 8), offset);
			assert_int_equal(get(&dev, TESTDEV_SIZE, 8), sizes[i]);
			assert_int_equal(get(&dev, TESTDEV_IS_WRITE, 8), 1);
			assert_int_equal(get(&dev, TESTDEV_VALUE, 8), 0xfedcba9876543210 & mask);
			assert_int_equal(get(&dev, offset, sizes[i]), 0x8877665544332211 & mask);
			assert_int_equal(get(&dev, TESTDEV_COUNT, 4), ++count);
			assert_int_equal(get(&dev, TESTDEV_IS_WRITE, 1), 0);
			assert_int_equal(get(&dev, TESTDEV_VALUE, 8), 0x8877665544332211 & mask);
		}
	}
	put(&dev, TESTDEV_COUNT, 8, 0);
	assert_int_equal(get(&dev, TESTDEV_COUNT, 8), 0);
}

static void registers_by_parts(void **state)
{
	struct calls calls = {0};
	struct testdev dev;

	(void)state;
	testdev_init(&dev, &ops, &calls);
	assert_int_equal(get(&dev, TESTDEV_MAGIC, 8), TESTDEV_MAGIC_VALUE);
	for (u32 i = 0; i < 8; i++)
		assert_int_equal(get(&dev, TESTDEV_MAGIC + i, 1), "anewtest"[i]);
	assert_int_equal(get(&dev, TESTDEV_MAGIC + 4, 4), TESTDEV_MAGIC_VALUE >> 32);
	assert_int_equal(get(&dev, 0xff8, 8), 0);
	put(&dev, TESTDEV_MAGIC, 8, 0);
	assert_int_equal(get(&dev, TESTDEV_MAGIC, 8), TESTDEV_MAGIC_VALUE);
}

static void exit_and_putc(void **state)
{
	struct io_access access = {.size = 2, .value = 0x12345678, .is_write = true};
	struct calls calls = {0};
	struct testdev dev;

	(void)state;
	testdev_init(&dev, &ops, &calls);
	io_out(testdev_exit_io, &dev, 0, 3);
	assert_int_equal(calls.code, 3);
	testdev_exit_io(&dev, &access);
	assert_int_equal(calls.code, 0x5678);
	put(&dev, TESTDEV_EXIT, 4, 77);
	assert_int_equal(calls.code, 77);
	assert_int_equal(calls.exits, 3);
	io_out(testdev_putc_io, &dev, 0, 'p');
	assert_int_equal(calls.byte, 'p');
	put(&dev, TESTDEV_PUTC, 1, 'q');
	assert_int_equal(calls.byte, 'q');
	assert_int_equal(calls.bytes, 2);
	assert_int_equal(io_in(testdev_exit_io, &dev, 0), 0);
	assert_int_equal(io_in(testdev_putc_io, &dev, 0), 0);
	assert_int_equal(get(&dev, TESTDEV_EXIT, 8), 0);
	assert_int_equal(calls.exits, 3);
}

static void state_round_trip(void **state)
{
	struct calls calls = {0};
	struct testdev dev, fresh;

	(void)state;
	testdev_init(&dev, &ops, &calls);
	testdev_init(&fresh, &ops, &calls);
	put(&dev, 0x123, 4, 0xabcdef);
	assert_true(fake_same_after_load(&testdev_state, &dev, &fresh));
	assert_int_equal(get(&fresh, TESTDEV_VALUE, 8), 0xabcdef);
	testdev_reset(&fresh);
	assert_int_equal(get(&fresh, TESTDEV_VALUE, 8), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(notes_every_form),
		cmocka_unit_test(registers_by_parts),
		cmocka_unit_test(exit_and_putc),
		cmocka_unit_test(state_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
