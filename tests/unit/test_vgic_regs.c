/* SPDX-License-Identifier: MIT */
/* What the registers of the virtual GIC are, whatever goes on. */
#include "vgic_scene.h"

/* ---- registers ---- */

/*
 * What each register reads after reset, and after all ones have been written to it alone. What is
 * in no row reads 0, and takes nothing.
 */
struct row {
	u32 offset;
	u32 length;
	u32 reset;
	u32 ones;
	u32 part;  /* bytes of the smaller access that is possible; 0: there is none */
	bool once; /* the write does something that can't be read here */
};

static const struct row dist_v3[] = {
	{0x0000, 0x004, 0x50, 0x53, 0, false},
	{0x0004, 0x004, 0x480002, 0x480002, 0, false},
	{0x0008, 0x004, 0x4100043b, 0x4100043b, 0, false},
	{0x0084, 0x008, 0, 0xffffffff, 0, false},
	{0x0104, 0x008, 0, 0xffffffff, 0, false},
	{0x0184, 0x008, 0, 0, 0, false},
	{0x0204, 0x008, 0, 0xffffffff, 0, false},
	{0x0284, 0x008, 0, 0, 0, false},
	{0x0304, 0x008, 0, 0xffffffff, 0, false},
	{0x0384, 0x008, 0, 0, 0, false},
	{0x0420, 0x040, 0, 0xf8f8f8f8, 1, false},
	{0x0c08, 0x010, 0, 0xaaaaaaaa, 0, false},
	{0xffe8, 0x004, 0x3b, 0x3b, 0, false},
};

static const struct row dist_v2[] = {
	{0x0000, 0x004, 0, 3, 0, false},
	{0x0004, 0x004, 0x42, 0x42, 0, false},
	{0x0008, 0x004, 0x4100043b, 0x4100043b, 0, false},
	{0x0080, 0x00c, 0, 0xffffffff, 0, false},
	{0x0100, 0x00c, 0, 0xffffffff, 0, false},
	{0x0180, 0x00c, 0, 0, 0, false},
	{0x0200, 0x004, 0, 0xffff0000, 0, false},
	{0x0204, 0x008, 0, 0xffffffff, 0, false},
	{0x0280, 0x00c, 0, 0, 0, false},
	{0x0300, 0x00c, 0, 0xffffffff, 0, false},
	{0x0380, 0x00c, 0, 0, 0, false},
	{0x0400, 0x060, 0, 0xf8f8f8f8, 1, false},
	{0x0800, 0x020, 0x01010101, 0x01010101, 1, false},
	{0x0820, 0x040, 0, 0x07070707, 1, false},
	{0x0c00, 0x004, 0xaaaaaaaa, 0xaaaaaaaa, 0, false},
	{0x0c04, 0x014, 0, 0xaaaaaaaa, 0, false},
	{0x0f00, 0x004, 0, 0, 0, true},
	{0x0f10, 0x010, 0, 0, 1, false},
	{0x0f20, 0x010, 0, 0x07070707, 1, false},
	{0x0fe8, 0x004, 0x2b, 0x2b, 0, false},
};

/* Of the first of three. */
static const struct row redist[] = {
	{0x00004, 0x004, 0x4100043b, 0x4100043b, 0, false},
	{0x00014, 0x004, 0, 6, 0, false},
	{0x0ffe8, 0x004, 0x3b, 0x3b, 0, false},
	{0x10080, 0x004, 0, 0xffffffff, 0, false},
	{0x10100, 0x004, 0, 0xffffffff, 0, false},
	{0x10180, 0x004, 0, 0, 0, false},
	{0x10200, 0x004, 0, 0xffffffff, 0, false},
	{0x10280, 0x004, 0, 0, 0, false},
	{0x10300, 0x004, 0, 0xffffffff, 0, false},
	{0x10380, 0x004, 0, 0, 0, false},
	{0x10400, 0x020, 0, 0xf8f8f8f8, 1, false},
	{0x10c00, 0x004, 0xaaaaaaaa, 0xaaaaaaaa, 0, false},
	{0x10c04, 0x004, 0, 0xaaaaaaaa, 0, false},
};

/* The 64-bit registers, which the tables would need twice as many members for. */
static bool is_wide(enum vgic_version version, bool of_redist, u32 offset)
{
	if (version == VGIC_V2)
		return false;
	return of_redist ? offset - 0x8 < 8 : offset - 0x6100 < 0x200;
}

typedef u64 (*reader)(struct vgic_machine *, u32, u32, u8);
typedef void (*writer)(struct vgic_machine *, u32, u32, u8, u64);

static void registers_match(enum vgic_version version, bool of_redist, const struct row *rows,
			    u32 count, u32 length)
{
	reader rd = of_redist ? vgic_redist_read : vgic_dist_read;
	writer wr = of_redist ? vgic_redist_write : vgic_dist_write;
	u8 fresh[VGIC_SAVED_MAX], saved[VGIC_SAVED_MAX];
	u32 seen = 0;

	vgic_machine_init(&m, version, CPUS, 4, false);
	vgic_machine_save(&m, fresh);
	for (u32 offset = 0; offset < length; offset += 4) {
		static const struct row none;
		const struct row *row = &none;

		if (is_wide(version, of_redist, offset))
			continue;
		for (u32 i = 0; i < count; i++)
			if (offset - rows[i].offset < rows[i].length)
				row = &rows[i];
		seen += row != &none;
		assert_int_equal(rd(&m, 0, offset, 4), row->reset);

		/* Sizes that it hasn't. */
		for (u32 size = 1; size <= 8; size *= 2) {
			if (size == 4 || size == row->part || offset % size)
				continue;
			assert_int_equal(rd(&m, 0, offset, (u8)size), 0);
			wr(&m, 0, offset, (u8)size, UINT64_MAX);
		}
		if (row->part == 1)
			for (u32 i = 0; i < 4; i++)
				assert_int_equal(rd(&m, 0, offset + i, 1),
						 row->reset >> 8 * i & 0xff);
		vgic_machine_save(&m, saved);
		assert_memory_equal(fresh, saved, vgic_machine_saved_size(&m));

		wr(&m, 0, offset, 4, UINT32_MAX);
		assert_int_equal(rd(&m, 0, offset, 4), row->ones);
		vgic_machine_save(&m, saved);
		if (row->reset == row->ones && !row->once) {
			assert_memory_equal(fresh, saved, vgic_machine_saved_size(&m));
			continue;
		}
		vgic_reset(m.gic);

		/* And by its bytes. */
		for (u32 i = 0; row->part == 1 && i < 4; i++) {
			u32 ones = row->ones & (u32)0xff << 8 * i;
			u32 rest = row->reset & ~((u32)0xff << 8 * i);

			wr(&m, 0, offset + i, 1, 0xff);
			assert_int_equal(rd(&m, 0, offset, 4), ones | rest);
			vgic_reset(m.gic);
		}
	}
	assert_int_not_equal(seen, 0);
	vgic_machine_save(&m, saved);
	assert_memory_equal(fresh, saved, vgic_machine_saved_size(&m));
}

static void test_dist_v3(void **state)
{
	(void)state;
	registers_match(VGIC_V3, false, dist_v3, ARRAY_COUNT(dist_v3), VGIC_V3_DIST_SIZE);
}

static void test_dist_v2(void **state)
{
	(void)state;
	registers_match(VGIC_V2, false, dist_v2, ARRAY_COUNT(dist_v2), VGIC_V2_DIST_SIZE);
}

static void test_redist(void **state)
{
	(void)state;
	registers_match(VGIC_V3, true, redist, ARRAY_COUNT(redist), VGIC_REDIST_SIZE);
}

static void test_wide_registers(void **state)
{
	(void)state;
	start(VGIC_V3);
	for (u32 i = 0; i < CPUS; i++) {
		u32 base = i * (u32)VGIC_REDIST_SIZE;
		u64 typer = (u64)i << 32 | i << 8 | (i == CPUS - 1 ? 0x10 : 0);

		assert_true(vgic_redist_read(&m, 0, base + 8, 8) == typer);
		assert_int_equal(vgic_redist_read(&m, 0, base + 8, 4), (u32)typer);
		assert_int_equal(vgic_redist_read(&m, 0, base + 12, 4), typer >> 32);
		assert_int_equal(vgic_redist_read(&m, 0, base + 8, 2), 0);
	}
	/* Beyond the last. */
	assert_int_equal(vgic_redist_read(&m, 0, CPUS * (u32)VGIC_REDIST_SIZE + 8, 4), 0);
	vgic_redist_write(&m, 0, CPUS * (u32)VGIC_REDIST_SIZE + 0x14, 4, 2);

	vgic_dist_write(&m, 0, 0x6100, 8, UINT64_MAX);
	assert_true(vgic_dist_read(&m, 0, 0x6100, 8) == 0x80ffffff);
	vgic_dist_write(&m, 0, 0x6104, 4, 0xffffffff);
	assert_true(vgic_dist_read(&m, 0, 0x6100, 8) == 0x80ffffff);
	vgic_dist_write(&m, 0, 0x6100, 4, 0x123456);
	assert_true(vgic_dist_read(&m, 0, 0x6100, 8) == 0x123456);
	assert_int_equal(vgic_dist_read(&m, 0, 0x6104, 4), 0);
	assert_int_equal(vgic_dist_read(&m, 0, 0x6102, 1), 0);
	/* Across two registers: nothing that the bus would let through. */
	assert_true(vgic_dist_read(&m, 0, 0x6104, 8) == UINT64_MAX);
	vgic_dist_write(&m, 0, 0x422, 4, UINT32_MAX);
	assert_int_equal(vgic_dist_read(&m, 0, 0x420, 4), 0);
	/* Of private interrupts, and beyond the last. */
	vgic_dist_write(&m, 0, 0x60f8, 8, UINT64_MAX);
	assert_int_equal(vgic_dist_read(&m, 0, 0x60f8, 8), 0);
	vgic_dist_write(&m, 0, 0x6300, 8, UINT64_MAX);
	assert_int_equal(vgic_dist_read(&m, 0, 0x6300, 8), 0);
}

/* GICD_TYPER says how many there are; GICv2 with one CPU has no targets. */
static void test_cpu_counts(void **state)
{
	(void)state;
	for (u32 count = 1; count <= VGIC_CPU_MAX; count++) {
		u32 all = (1u << count) - 1;

		vgic_machine_init(&m, VGIC_V2, count, 4, false);
		assert_int_equal(vgic_dist_read(&m, 0, 4, 4), (count - 1) << 5 | 2);
		vgic_dist_write(&m, 0, 0x820, 1, 0xff);
		assert_int_equal(vgic_dist_read(&m, 0, 0x820, 1), count == 1 ? 0 : all);
		assert_int_equal(vgic_dist_read(&m, count - 1, 0x801, 1),
				 count == 1 ? 0 : 1u << (count - 1));
		vgic_machine_init(&m, VGIC_V3, count, 4, false);
		assert_int_equal(vgic_dist_read(&m, 0, 4, 4), 0x480002);
	}
	vgic_machine_init(&m, VGIC_V2, 1, 4, false);
	vgic_dist_write(&m, 0, 0, 4, 1);
	set(0, SET_ENABLE, 40);

	struct irq_line line = vgic_line(m.gic, 40);

	assert_true(irq_enabled(&line));
}

/* A byte of a register leaves the others alone. */
static void test_bytes(void **state)
{
	(void)state;
	start(VGIC_V2);
	vgic_dist_write(&m, 0, 0x424, 4, 0x10203040);
	vgic_dist_write(&m, 0, 0x425, 1, 0x88);
	assert_int_equal(vgic_dist_read(&m, 0, 0x424, 4), 0x10208840);
	assert_int_equal(vgic_dist_read(&m, 0, 0x427, 1), 0x10);
	vgic_dist_write(&m, 0, 0x824, 4, 0x01020304);
	vgic_dist_write(&m, 0, 0x826, 1, 7);
	assert_int_equal(vgic_dist_read(&m, 0, 0x824, 4), 0x01070304);
	vgic_dist_write(&m, 0, 0xf24, 4, 0x01020304);
	vgic_dist_write(&m, 0, 0xf16, 1, 7);
	assert_int_equal(vgic_dist_read(&m, 0, 0xf14, 4), 0x01000304);
}

/* GICv2's private registers are those of the CPU that asks; GICv3's those of the frame. */
static void test_banked(void **state)
{
	(void)state;
	start(VGIC_V2);
	vgic_dist_write(&m, 1, 0x100, 4, 0x10001);
	assert_int_equal(vgic_dist_read(&m, 0, 0x100, 4), 0);
	assert_int_equal(vgic_dist_read(&m, 1, 0x100, 4), 0x10001);
	vgic_dist_write(&m, 1, 0x410, 1, 0x88);
	assert_int_equal(vgic_dist_read(&m, 1, 0x410, 4), 0x88);
	assert_int_equal(vgic_dist_read(&m, 2, 0x410, 4), 0);
	vgic_dist_write(&m, 1, 0x104, 4, 1);
	assert_int_equal(vgic_dist_read(&m, 2, 0x104, 4), 1);

	start(VGIC_V3);
	vgic_redist_write(&m, 0, 0x30100, 4, 0x10001);
	assert_int_equal(vgic_redist_read(&m, 1, 0x10100, 4), 0);
	assert_int_equal(vgic_redist_read(&m, 2, 0x30100, 4), 0x10001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dist_v3),    cmocka_unit_test(test_dist_v2),
		cmocka_unit_test(test_redist),     cmocka_unit_test(test_wide_registers),
		cmocka_unit_test(test_cpu_counts), cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_banked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
