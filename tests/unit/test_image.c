/* SPDX-License-Identifier: MIT */
/* Kernels for arm64 made by hand: right ones, and one for every refusal. */
#include <guest/image.h>
#include <libfdt.h>

#include "boot_fakes.h"

#define RAM_BASE GIB(1)
#define RAM      MIB(64)
#define CMDLINE  "console=ttyAMA0 quiet"

#define IMAGE_SIZE MIB(20)
#define FILE_SIZE  200016

static struct guest_range ranges[2];
static struct fdt_machine machine;
static struct image_request request;
static struct image_entry entry;

static bool in_ranges(u64 base, u64 length)
{
	for (u32 i = 0; i < machine.ram_count; i++)
		if (base >= ranges[i].base && base - ranges[i].base <= ranges[i].length &&
		    length <= ranges[i].length - (base - ranges[i].base))
			return true;
	return false;
}

/* The entry of a kernel that is refused is empty. */
static enum hv_error load_image(void)
{
	enum hv_error err;

	memset(&entry, 0xaa, sizeof(entry));
	err = image_load(&request, &entry);
	if (err != HV_OK)
		assert_true(entry.pc == 0 && entry.x0 == 0);
	return err;
}

static void make_image(void)
{
	u8 *k = kernel_bytes;

	kernel.size = FILE_SIZE;
	fill(k, FILE_SIZE, 3);
	set64(k + 8, 0);
	set64(k + 16, IMAGE_SIZE);
	set64(k + 24, 0xa); /* placed anywhere, pages of 4 KiB */
	set32(k + 56, 0x644d5241);
	set32(k + 60, 0);
}

static void setup_ram(u64 base, u64 size)
{
	static const u64 mpidr = 0x80000000;

	boot_fakes_init(base, size);
	load = load_image;
	is_ram = in_ranges;
	ranges[0] = (struct guest_range){base, size};
	machine = (struct fdt_machine){
		.ram = ranges,
		.ram_count = 1,
		.mpidrs = &mpidr,
		.cpu_count = 1,
		.gic_version = 3,
		.gicd = {0x08000000, 0x10000},
		.gicr = {0x080a0000, 0x20000},
		.uart = {0x09000000, 0x1000},
		.uart_intid = 33,
		.cmdline = CMDLINE,
		.rng_seed = seed,
		.rng_seed_length = sizeof(seed),
	};
	request = (struct image_request){
		.mem = &mem,
		.kernel = &kernel,
		.initrd = &initrd,
		.machine = &machine,
		.page_sizes = KIB(4) | KIB(64),
	};
	make_image();
}

static int setup(void **state)
{
	(void)state;
	setup_ram(RAM_BASE, RAM);
	return 0;
}

static u64 chosen64(const char *name)
{
	const void *fdt = ram_at(entry.x0);
	int length;
	const void *value = fdt_getprop(fdt, fdt_path_offset(fdt, "/chosen"), name, &length);

	return value && length == 8 ? fdt64_ld(value) : 0;
}

/* Everything is where the boot protocol wants it, and nothing lies on another. */
static void check_boot(u64 kernel_at, u64 kernel_size)
{
	u64 fdt_end = entry.x0 + fdt_totalsize(ram_at(entry.x0));
	u64 initrd_at = chosen64("linux,initrd-start");
	u64 initrd_end = chosen64("linux,initrd-end");
	u64 window = ALIGN_DOWN(kernel_at, GIB(1));

	assert_int_equal(entry.pc, kernel_at);
	assert_memory_equal(ram_at(kernel_at), kernel_bytes, kernel.size);
	assert_int_equal(entry.x0 % 8, 0);
	assert_int_equal(entry.x0 / MIB(2), (fdt_end - 1) / MIB(2));
	assert_true(fdt_end <= ALIGN_UP(ram_base, MIB(2)) + MIB(512));
	assert_true(fdt_end <= kernel_at || entry.x0 >= kernel_at + kernel_size);
	assert_int_equal(fdt_check_full(ram_at(entry.x0), RAM), 0);
	if (!request.initrd) {
		assert_int_equal(initrd_at, 0);
		assert_int_equal(initrd_end, 0);
		return;
	}
	check_initrd(initrd_at, initrd_end - initrd_at);
	assert_true(initrd_at >= window && initrd_end <= window + GIB(32));
	assert_true(initrd_end <= kernel_at || initrd_at >= kernel_at + kernel_size);
	assert_true(initrd_end <= entry.x0 || initrd_at >= fdt_end);
}

static void test_image(void **state)
{
	const void *fdt;
	int chosen, length;

	(void)state;
	expect_boot();
	check_boot(RAM_BASE, IMAGE_SIZE);
	assert_int_equal(ram_at(RAM_BASE + FILE_SIZE)[0], 0xcc);
	/* As high as they go. */
	assert_int_equal(chosen64("linux,initrd-start"),
			 RAM_BASE + ALIGN_DOWN(RAM - initrd.size, PAGE_SIZE));
	assert_int_equal(entry.x0, RAM_BASE + ALIGN_DOWN(RAM - initrd.size, KIB(64)) - KIB(64));
	fdt = ram_at(entry.x0);
	chosen = fdt_path_offset(fdt, "/chosen");
	assert_string_equal(fdt_getprop(fdt, chosen, "bootargs", NULL), CMDLINE);
	assert_memory_equal(fdt_getprop(fdt, chosen, "rng-seed", &length), seed, sizeof(seed));
	assert_int_equal(length, sizeof(seed));
	check_failures();
}

static void test_without(void **state)
{
	(void)state;
	request.initrd = NULL;
	machine.cmdline = NULL;
	expect_boot();
	check_boot(RAM_BASE, IMAGE_SIZE);
	assert_int_equal(entry.x0, RAM_BASE + RAM - KIB(64));
}

static void test_places(void **state)
{
	(void)state;
	/* Where the header wants it, seen from the first multiple of 2 MiB. */
	setup_ram(RAM_BASE + KIB(64), RAM);
	set64(kernel_bytes + 8, 0x80000);
	expect_boot();
	check_boot(RAM_BASE + MIB(2) + 0x80000, IMAGE_SIZE);
	/* From before 3.17: no size, and the offset is no number to rely on. */
	setup_ram(RAM_BASE, RAM);
	set64(kernel_bytes + 8, 0x0000080000000000);
	set64(kernel_bytes + 16, 0);
	expect_boot();
	check_boot(RAM_BASE + 0x80000, FILE_SIZE);
	/* The file is longer than what the kernel says it needs. */
	setup_ram(RAM_BASE, RAM);
	set64(kernel_bytes + 16, KIB(64));
	expect_boot();
	check_boot(RAM_BASE, FILE_SIZE);
	/* Nothing but the kernel, the initrd and the devicetree fits. */
	setup_ram(RAM_BASE, RAM);
	initrd.size = MIB(3);
	set64(kernel_bytes + 16, RAM - MIB(3) - KIB(64));
	expect_boot();
	check_boot(RAM_BASE, RAM - MIB(3) - KIB(64));
	/* And so do the tables of EFI, or not. */
	request.acpi = true;
	expect_refusal(HV_ENO_SPACE, "does not fit: needs 65 MiB, the VM has 64 MiB");
	set64(kernel_bytes + 16, RAM - MIB(3) - KIB(128));
	expect_boot();
	/* RAM before the first multiple of 2 MiB is for the initrd alone. */
	setup_ram(RAM_BASE + MIB(1), RAM);
	set64(kernel_bytes + 16, RAM - MIB(1) - KIB(64));
	initrd.size = MIB(1);
	expect_boot();
	check_boot(RAM_BASE + MIB(2), RAM - MIB(1) - KIB(64));
	set64(kernel_bytes + 16, RAM - MIB(1) - KIB(64) + 1);
	expect_refusal(HV_ENO_SPACE, "does not fit: needs 65 MiB, the VM has 64 MiB");
	/* Page sizes: not said, and each that the processor has. */
	setup_ram(RAM_BASE, RAM);
	set64(kernel_bytes + 24, 0x8);
	expect_boot();
	set64(kernel_bytes + 24, 0x6);
	expect_boot();
}

/* UEFI 2.10, 4.2.1: with polynomial 0x04c11db7, most significant bit first, bits turned round. */
static u32 turned(u32 value, u32 bits)
{
	u32 result = 0;

	for (u32 i = 0; i < bits; i++)
		result |= (value >> i & 1) << (bits - 1 - i);
	return result;
}

static u32 efi_crc(const u8 *bytes, u32 length)
{
	u32 crc = UINT32_MAX;

	for (u32 i = 0; i < length; i++) {
		crc ^= turned(i >= 16 && i < 20 ? 0 : bytes[i], 8) << 24;
		for (u32 bit = 0; bit < 8; bit++)
			crc = crc << 1 ^ (crc >> 31 ? 0x04c11db7 : 0);
	}
	return ~turned(crc, 32);
}

/* The configuration table whose GUID begins with @guid. */
static u64 configuration(u64 system, u32 guid)
{
	for (u64 i = 0; i < ram64(system + 104); i++) {
		u64 at = ram64(system + 112) + 24 * i;

		if (ram32(at) == guid)
			return ram64(at + 16);
	}
	fail_msg("no configuration table %x", guid);
	return 0;
}

static u32 chosen32(const char *name)
{
	const void *fdt = ram_at(entry.x0);
	int length;
	const void *value = fdt_getprop(fdt, fdt_path_offset(fdt, "/chosen"), name, &length);

	return value && length == 4 ? fdt32_ld(value) : 0;
}

/* All RAM is in the map once, as free but for EFI's own; and what devices have is reserved. */
static void check_map(u64 area)
{
	u64 map = chosen64("linux,uefi-mmap-start"), next = 0, ram_bytes = 0;
	u32 count = chosen32("linux,uefi-mmap-size") / 40, reserved = 0;

	assert_int_equal(chosen32("linux,uefi-mmap-size") % 40, 0);
	assert_int_equal(chosen32("linux,uefi-mmap-desc-size"), 40);
	assert_int_equal(chosen32("linux,uefi-mmap-desc-ver"), 1);
	for (u32 i = 0; i < count; i++) {
		u64 at = map + 40 * i, base = ram64(at + 8), length = ram64(at + 24) * PAGE_SIZE;
		u32 type = ram32(at);

		assert_true(base >= next && length > 0);
		next = base + length;
		assert_int_equal(ram64(at + 32), 8);
		if (type == 0) {
			reserved++;
			assert_true(base == 0x0a000000 || base == 0x0a010000);
			assert_int_equal(length, 0x10000);
			continue;
		}
		assert_true(in_ranges(base, length));
		assert_int_equal(type, base == area ? 9 : 7);
		assert_true(base == area || next <= area || base >= area + KIB(64));
		ram_bytes += length;
	}
	assert_int_equal(reserved, 2);
	assert_int_equal(ram_bytes, RAM);
}

/* Told of by EFI: the devicetree has nothing but the way to it, and it is where nothing else is. */
static void test_acpi(void **state)
{
	u64 system, acpi, properties;
	const void *fdt;

	(void)state;
	request.acpi = true;
	machine.vmgenid = true;
	machine.vmgenid_address = GPA(0x0a000000);
	machine.vmgenid_intid = 48;
	machine.vmclock = (struct guest_range){0x0a010000, 0x10000};
	machine.vmclock_intid = 49;
	expect_boot();
	check_boot(RAM_BASE, IMAGE_SIZE);
	fdt = ram_at(entry.x0);
	assert_true(fdt_first_subnode(fdt, 0) == fdt_path_offset(fdt, "/chosen"));
	assert_true(fdt_next_subnode(fdt, fdt_path_offset(fdt, "/chosen")) < 0);
	assert_int_equal(chosen32("linux,uefi-secure-boot"), 2);
	system = chosen64("linux,uefi-system-table");
	assert_int_equal(system, entry.x0 + KIB(64));
	assert_int_equal(system % KIB(64), 0);
	assert_true(system + KIB(64) <= chosen64("linux,initrd-start"));
	assert_memory_equal(ram_at(system), "IBI SYST", 8);
	assert_int_equal(ram32(system + 12), 120);
	assert_int_equal(ram32(system + 16), efi_crc(ram_at(system), 120));
	/* Neither services nor consoles. */
	for (u32 at = 40; at < 104; at += 8)
		assert_int_equal(ram64(system + at), 0);
	assert_memory_equal(ram_at(ram64(system + 24)), u"anew", 10);
	acpi = configuration(system, 0x8868e871);
	assert_memory_equal(ram_at(acpi), "RSD PTR ", 8);
	assert_true(acpi >= system && acpi < system + KIB(64));
	properties = configuration(system, 0xeb66918a);
	assert_int_equal(ram32(properties), 1 | 8 << 16);
	assert_int_equal(ram32(properties + 4), 0);
	check_map(system);
	check_failures();
}

/* More RAM than may hold the devicetree of an old kernel, and than an initrd may be away. */
static void test_windows(void **state)
{
	(void)state;
	setup_ram(RAM_BASE, MIB(768));
	initrd.size = MIB(1);
	expect_boot();
	check_boot(RAM_BASE, IMAGE_SIZE);
	assert_int_equal(entry.x0, RAM_BASE + MIB(512) - KIB(64));
	assert_int_equal(chosen64("linux,initrd-start"), RAM_BASE + MIB(767));
	/* The second range begins where no initrd may be. */
	setup_ram(RAM_BASE, RAM);
	ranges[1] = (struct guest_range){GIB(33), GIB(1)};
	machine.ram_count = 2;
	expect_boot();
	check_boot(RAM_BASE, IMAGE_SIZE);
	boot_fakes_fini(state);
}

static void test_header_refusals(void **state)
{
	(void)state;
	set64(kernel_bytes + 24, 0xb);
	expect_refusal(HV_EUNSUPPORTED, "is a big-endian kernel");
	set64(kernel_bytes + 24, 0xc);
	expect_refusal(HV_EUNSUPPORTED, "is built for pages of 16 KiB");
	request.page_sizes = KIB(16);
	set64(kernel_bytes + 24, 0xa);
	expect_refusal(HV_EUNSUPPORTED, "is built for pages of 4 KiB");
	set64(kernel_bytes + 24, 0xe);
	expect_refusal(HV_EUNSUPPORTED, "is built for pages of 64 KiB");
	setup(state);
	set64(kernel_bytes + 16, RAM + 1);
	expect_refusal(HV_ENO_SPACE, "does not fit: needs 65 MiB, the VM has 64 MiB");
	set64(kernel_bytes + 16, UINT64_MAX);
	expect_refusal(HV_ENO_SPACE, "does not fit");
	set64(kernel_bytes + 8, UINT64_MAX);
	expect_refusal(HV_ENO_SPACE, "does not fit");
	set64(kernel_bytes + 16, 1);
	expect_refusal(HV_ENO_SPACE, "does not fit");
	set64(kernel_bytes + 8, RAM);
	expect_refusal(HV_ENO_SPACE, "does not fit: needs 65 MiB");
}

#define PE      0x40
#define SECTION (PE + 24 + 0xa0)

static void make_pe(u32 raw_at, u32 raw_size)
{
	u8 *k = kernel_bytes;

	make_image();
	memcpy(k, "MZ", 2);
	set32(k + 60, PE);
	memcpy(k + PE, "PE\0\0", 4);
	set16(k + PE + 6, 2);
	set16(k + PE + 20, 0xa0);
	set32(k + SECTION + 16, 0x1000);
	set32(k + SECTION + 20, 0x1000);
	set32(k + SECTION + 40 + 16, raw_size);
	set32(k + SECTION + 40 + 20, raw_at);
}

/* A file that was cut short still has a good header; the one for EFI tells. */
static void test_cut_short(void **state)
{
	(void)state;
	make_pe(0x2000, FILE_SIZE - 0x2000);
	expect_boot();
	make_pe(0x2000, FILE_SIZE - 0x2000 + 1);
	expect_refusal(HV_ECORRUPT, "is cut short: has 200016 bytes, should have 200017");
	make_pe(UINT32_MAX, UINT32_MAX);
	expect_refusal(HV_ECORRUPT, "is cut short: has 200016 bytes, should have 8589934590");
	/* Headers that lie elsewhere tell nothing. */
	make_pe(UINT32_MAX, UINT32_MAX);
	set32(kernel_bytes + 60, 8192 - 23);
	expect_boot();
	set32(kernel_bytes + 60, UINT32_MAX);
	expect_boot();
	make_pe(UINT32_MAX, UINT32_MAX);
	set16(kernel_bytes + PE + 20, 8192 - PE - 24 - 39);
	expect_boot();
	kernel_bytes[0] = 0;
	expect_boot();
}

static void expect_kind(const void *begin, size_t length, const char *words)
{
	memset(kernel_bytes, 0, FILE_SIZE);
	memcpy(kernel_bytes, begin, length);
	expect_refusal(HV_EUNSUPPORTED, words);
}

static void test_other_kinds(void **state)
{
	static const struct {
		const char *begin;
		const char *words;
	} packed[] = {
		{"\x1f\x8b\x08\x01", "is packed with gzip; unpack it"},
		{"\xfd\x37zXZ", "is packed with xz"},
		{"\x28\xb5\x2f\xfd", "is packed with zstd"},
		{"\x02\x21\x4c\x18", "is packed with lz4"},
		{"BZh9", "is packed with bzip2"},
		{"\x5d\0\0\x80", "is packed with lzma"},
		{"\x89LZO", "is packed with lzop"},
	};
	u8 zboot[64] = "MZ\0\0zimg";

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(packed); i++)
		expect_kind(packed[i].begin, 5, packed[i].words);
	expect_kind("\177ELF\2\1\1", 7, "is an ELF file; use the kernel's raw Image");

	set32(zboot + 8, 0x3000);
	set32(zboot + 12, 123456);
	memcpy(zboot + 24, "zstd22", 7);
	set32(zboot + 56, 0x818223cd);
	expect_kind(zboot, sizeof(zboot),
		    "unpack (zstd22) its 123456 bytes from byte 12288 on, which are the Image");
	memset(zboot + 24, 'x', 32);
	zboot[26] = '\n';
	expect_kind(zboot, sizeof(zboot), "unpack (xx) its");
	zboot[26] = 'y';
	expect_kind(zboot, sizeof(zboot), "unpack (xxyxxxxxxxxxxxxxxxxxxxxxxxxxxxxx) its");
	kernel.size = 55;
	expect_kind(zboot, 55, "is not a kernel that anew knows; use a raw Linux Image for arm64");

	make_image();
	kernel.size = 63;
	expect_refusal(HV_EUNSUPPORTED, "is not a kernel");
	kernel.size = 1;
	expect_refusal(HV_EUNSUPPORTED, "is not a kernel");
	kernel.size = 0;
	expect_refusal(HV_EUNSUPPORTED, "is not a kernel");
	make_image();
	kernel.size = 64;
	expect_boot();
}

static void test_other_refusals(void **state)
{
	char cmdline[2049];

	(void)state;
	memset(cmdline, 'x', sizeof(cmdline));
	cmdline[2048] = 0;
	machine.cmdline = cmdline;
	expect_refusal(HV_ETOO_BIG, "at most 2047 bytes, this one has 2048");
	cmdline[2047] = 0;
	expect_boot();

	setup(state);
	initrd.size = 0;
	expect_refusal_of("initrd 'dir/initrd.img': ", HV_ECORRUPT, "is empty");
	initrd.size = RAM - IMAGE_SIZE + 1;
	expect_refusal_of("initrd 'dir/initrd.img': ", HV_ENO_SPACE,
			  "does not fit: needs 65 MiB with its kernel, the VM has 64 MiB");
	initrd.size = UINT64_MAX;
	expect_refusal_of("initrd 'dir/initrd.img': ", HV_ENO_SPACE, "does not fit");

	setup(state);
	machine.ram_count = 0;
	expect_refusal(HV_EINVALID, "no memory to boot in");
	machine.ram_count = 1;
	ranges[0].length = 0;
	expect_refusal(HV_EINVALID, "no memory to boot in");
	setup(state);
	machine.gic_version = 1;
	expect_refusal_of("devicetree: ", HV_EINVALID, "can't be described");
	setup(state);
	request.acpi = true;
	machine.cpu_count = 17;
	expect_refusal_of("ACPI tables: ", HV_EINVALID, "(17 CPUs, at most 16)");
	setup(state);
	machine.rng_seed_length = KIB(64);
	machine.rng_seed = kernel_bytes;
	expect_refusal_of("devicetree: ", HV_ENO_SPACE, "FDT_ERR_NOSPACE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_image, setup),
		cmocka_unit_test_setup(test_without, setup),
		cmocka_unit_test_setup(test_acpi, setup),
		cmocka_unit_test_setup(test_places, setup),
		cmocka_unit_test_setup(test_windows, setup),
		cmocka_unit_test_setup(test_header_refusals, setup),
		cmocka_unit_test_setup(test_cut_short, setup),
		cmocka_unit_test_setup(test_other_kinds, setup),
		cmocka_unit_test_setup(test_other_refusals, setup),
	};

	return cmocka_run_group_tests(tests, NULL, boot_fakes_fini);
}
