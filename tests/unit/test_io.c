/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <hv/io.h>

struct device {
	u32 calls;
	struct io_access last;
	u64 answer;
	enum io_result result;
};

static struct io_bus bus;
static struct device devices[4];

static enum io_result handle(void *ctx, struct io_access *access)
{
	struct device *device = ctx;

	device->calls++;
	device->last = *access;
	if (!access->is_write)
		access->value = device->answer;
	return device->result;
}

static int setup(void **state)
{
	(void)state;
	io_bus_init(&bus);
	for (u32 i = 0; i < 4; i++)
		devices[i] = (struct device){.answer = 0x1122334455667788};
	return 0;
}

static enum hv_error add(u32 i, enum io_space space, u64 base, u64 length)
{
	return io_register(&bus, &(struct io_region){.name = "device",
						     .space = space,
						     .base = base,
						     .length = length,
						     .handler = handle,
						     .ctx = &devices[i]});
}

static u64 in(enum io_space space, u64 addr, u8 size)
{
	struct io_access access = {.size = size, .value = 0x5555555555555555};

	assert_int_equal(io_dispatch(&bus, space, addr, &access), IO_DONE);
	return access.value;
}

static void out(enum io_space space, u64 addr, u8 size, u64 value)
{
	struct io_access access = {.size = size, .value = value, .is_write = true};

	assert_int_equal(io_dispatch(&bus, space, addr, &access), IO_DONE);
}

static void test_register_refuses(void **state)
{
	struct io_region none = {.name = "none", .base = 0, .length = 1};

	(void)state;
	assert_int_equal(add(0, IO_MMIO, 0x1000, 0), HV_EINVALID);
	assert_int_equal(add(0, IO_MMIO, UINT64_MAX, 2), HV_EINVALID);
	assert_int_equal(io_register(&bus, &none), HV_EINVALID);
	assert_int_equal(add(0, IO_MMIO, UINT64_MAX, 1), HV_OK);
	assert_int_equal(add(0, IO_MMIO, 0x1000, 0x100), HV_OK);
	assert_int_equal(add(0, IO_MMIO, 0x10ff, 1), HV_EEXISTS);
	assert_int_equal(add(0, IO_MMIO, 0xfff, 2), HV_EEXISTS);
	assert_int_equal(add(0, IO_MMIO, 0, 0x10000), HV_EEXISTS);
	assert_int_equal(add(0, IO_MMIO, 0xfff, 1), HV_OK);
	assert_int_equal(add(0, IO_MMIO, 0x1100, 1), HV_OK);
	/* Spaces have nothing to do with each other. */
	assert_int_equal(add(0, IO_PIO, 0x1000, 0x100), HV_OK);
	for (u64 i = 1; i < IO_REGION_MAX; i++)
		assert_int_equal(add(0, IO_PIO, 0x2000 - i, 1), HV_OK);
	assert_int_equal(add(0, IO_PIO, 0x3000, 1), HV_ENO_SPACE);
}

static void test_finds_the_region(void **state)
{
	(void)state;
	/* Not in their order. */
	assert_int_equal(add(2, IO_PIO, 0x3f8, 8), HV_OK);
	assert_int_equal(add(0, IO_PIO, 0x40, 4), HV_OK);
	assert_int_equal(add(1, IO_PIO, 0x70, 2), HV_OK);
	in(IO_PIO, 0x43, 1);
	assert_int_equal(devices[0].last.offset, 3);
	in(IO_PIO, 0x70, 1);
	assert_int_equal(devices[1].last.offset, 0);
	in(IO_PIO, 0x3ff, 1);
	assert_int_equal(devices[2].last.offset, 7);
	in(IO_PIO, 0x3ff, 1);
	assert_int_equal(devices[2].calls, 2);
	assert_true(io_covers(&bus, IO_PIO, 0x3ff));
	assert_false(io_covers(&bus, IO_PIO, 0x400));
	assert_false(io_covers(&bus, IO_MMIO, 0x3ff));
}

static void test_nobody_there(void **state)
{
	struct io_access access = {.size = 8};

	(void)state;
	assert_int_equal(in(IO_PIO, 0x80, 1), 0xff);
	assert_int_equal(in(IO_MMIO, 0x80, 4), 0xffffffff);
	assert_int_equal(in(IO_MMIO, 0x80, 8), UINT64_MAX);
	out(IO_MMIO, 0x80, 8, 1);
	assert_int_equal(io_dispatch(&bus, IO_REG, 0x80, &access), IO_FAULT);
	/* Where the machine gives a fault. */
	bus.nobody[IO_MMIO] = IO_FAULT;
	assert_int_equal(io_dispatch(&bus, IO_MMIO, 0x80, &access), IO_FAULT);
	assert_int_equal(in(IO_PIO, 0x80, 1), 0xff);
}

static void test_values_are_cut(void **state)
{
	(void)state;
	assert_int_equal(add(0, IO_MMIO, 0x1000, 0x10), HV_OK);
	assert_int_equal(in(IO_MMIO, 0x1000, 1), 0x88);
	assert_int_equal(devices[0].last.value, 0);
	assert_int_equal(in(IO_MMIO, 0x1000, 4), 0x55667788);
	assert_int_equal(in(IO_MMIO, 0x1000, 8), 0x1122334455667788);
	out(IO_MMIO, 0x1000, 2, 0xabcdef);
	assert_int_equal(devices[0].last.value, 0xcdef);
}

static void test_sizes_and_alignment(void **state)
{
	struct io_region region = {.name = "device",
				   .space = IO_MMIO,
				   .size_min = 2,
				   .size_max = 4,
				   .base = 0x1000,
				   .length = 6,
				   .handler = handle,
				   .ctx = &devices[0]};

	(void)state;
	assert_int_equal(io_register(&bus, &region), HV_OK);
	region.base = 0x2001;
	region.unaligned = true;
	region.ctx = &devices[1];
	assert_int_equal(io_register(&bus, &region), HV_OK);

	assert_int_equal(in(IO_MMIO, 0x1000, 1), 0xff);
	assert_int_equal(in(IO_MMIO, 0x1000, 8), UINT64_MAX);
	assert_int_equal(in(IO_MMIO, 0x1000, 3), 0xffffff);
	in(IO_MMIO, 0x1000, 66);
	assert_int_equal(in(IO_MMIO, 0x1002, 4), 0xffffffff);
	/* Aligned, and it begins inside, but it doesn't end there. */
	assert_int_equal(in(IO_MMIO, 0x1004, 4), 0xffffffff);
	out(IO_MMIO, 0x1001, 2, 0);
	assert_int_equal(devices[0].calls, 0);
	assert_int_equal(in(IO_MMIO, 0x1004, 2), 0x7788);
	assert_int_equal(in(IO_MMIO, 0x1000, 4), 0x55667788);
	assert_int_equal(devices[0].calls, 2);

	assert_int_equal(in(IO_MMIO, 0x2003, 4), 0x55667788);
	assert_int_equal(in(IO_MMIO, 0x2004, 4), 0xffffffff);
	assert_int_equal(devices[1].calls, 1);
}

/* A register is 8 bytes wide and takes one number. */
static void test_registers(void **state)
{
	struct io_access access = {.size = 8, .is_write = true, .value = 5};

	(void)state;
	assert_int_equal(add(0, IO_REG, 0x1b, 1), HV_OK);
	assert_int_equal(add(1, IO_REG, 0x800, 0x100), HV_OK);
	out(IO_REG, 0x1b, 8, 0xfee00000);
	assert_int_equal(devices[0].last.value, 0xfee00000);
	assert_int_equal(in(IO_REG, 0x8ff, 8), 0x1122334455667788);
	assert_int_equal(devices[1].last.offset, 0xff);
	devices[1].result = IO_FAULT;
	assert_int_equal(io_dispatch(&bus, IO_REG, 0x801, &access), IO_FAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_register_refuses, setup),
		cmocka_unit_test_setup(test_finds_the_region, setup),
		cmocka_unit_test_setup(test_nobody_there, setup),
		cmocka_unit_test_setup(test_values_are_cut, setup),
		cmocka_unit_test_setup(test_sizes_and_alignment, setup),
		cmocka_unit_test_setup(test_registers, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
