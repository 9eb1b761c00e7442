/* SPDX-License-Identifier: MIT */
/* Memory maps, and kernels of each kind made by hand: right ones, and one for every refusal. */
#include <guest/boot_x86.h>

#include "boot_fakes.h"

#define RAM       MIB(64)
#define ROM       0x9fc00 /* end of low RAM */
#define DEVICE    MIB(63) /* a page that is a device's */
#define RSDP      0xe0000
#define CMDLINE   "console=ttyS0 quiet"
#define KERNEL_AT MIB(16) /* where the test's bzImage wants to be */

static struct e820_map map;
static struct boot_x86_request request;
static struct boot_x86_entry entry;

static bool in_map(u64 base, u64 length)
{
	return e820_is_ram(&map, base, length);
}

/* The entry of a kernel that is refused is empty. */
static enum hv_error load_x86(void)
{
	struct boot_x86_entry empty;
	enum hv_error err;

	memset(&empty, 0, sizeof(empty));
	memset(&entry, 0xaa, sizeof(entry));
	err = boot_x86_load(&request, &entry);
	if (err != HV_OK)
		assert_memory_equal(&entry, &empty, sizeof(empty));
	return err;
}

static int setup(void **state)
{
	const struct e820_entry ranges[] = {
		{0, ROM, E820_RAM},
		{RSDP, 0x20000, E820_RESERVED},
		{MIB(1), RAM - MIB(1), E820_RAM},
		{DEVICE, PAGE_SIZE, E820_RESERVED},
	};

	(void)state;
	boot_fakes_init(0, RAM);
	load = load_x86;
	is_ram = in_map;
	assert_int_equal(e820_build(&map, ranges, ARRAY_COUNT(ranges)), HV_OK);
	request = (struct boot_x86_request){
		.mem = &mem,
		.low_ram_top = RAM,
		.e820 = &map,
		.rsdp = GPA(RSDP),
		.kernel = &kernel,
		.initrd = &initrd,
		.cmdline = CMDLINE,
		.rng_seed = seed,
		.rng_seed_length = sizeof(seed),
	};
	return 0;
}

static u64 check_gdt(bool is_64)
{
	u64 code = ram64(entry.gdt_base + BOOT_CODE_SELECTOR);
	u64 data = ram64(entry.gdt_base + BOOT_DATA_SELECTOR);

	assert_int_equal(entry.gdt_limit, 0x1f);
	assert_int_equal(ram64(entry.gdt_base), 0);
	assert_int_equal(code, is_64 ? 0x00af9b000000ffff : 0x00cf9b000000ffff);
	assert_int_equal(data, 0x00cf93000000ffff);
	return code;
}

/* ---- memory maps ---- */

static void test_e820(void **state)
{
	const struct e820_entry ranges[] = {
		{MIB(1), MIB(7), E820_RAM},      {MIB(4), MIB(1), E820_RESERVED},
		{0, 0xa0000, E820_RAM},          {MIB(8), MIB(8), E820_RAM},
		{MIB(4), PAGE_SIZE, E820_ACPI},  {0x9f000, 0x1000, E820_RESERVED},
		{MIB(5), 0, E820_NVS},           {MIB(4), MIB(1), E820_RAM},
		{GIB(4), MIB(1), E820_RESERVED},
	};
	const struct e820_entry want[] = {
		{0, 0x9f000, E820_RAM},
		{0x9f000, 0x1000, E820_RESERVED},
		{MIB(1), MIB(3), E820_RAM},
		{MIB(4), PAGE_SIZE, E820_ACPI},
		{MIB(4) + PAGE_SIZE, MIB(1) - PAGE_SIZE, E820_RESERVED},
		{MIB(5), MIB(11), E820_RAM},
		{GIB(4), MIB(1), E820_RESERVED},
	};
	struct e820_entry many[E820_MAX + 1];
	struct e820_map built;

	(void)state;
	assert_int_equal(e820_build(&built, ranges, ARRAY_COUNT(ranges)), HV_OK);
	assert_int_equal(built.count, ARRAY_COUNT(want));
	for (size_t i = 0; i < ARRAY_COUNT(want); i++) {
		assert_int_equal(built.entries[i].base, want[i].base);
		assert_int_equal(built.entries[i].length, want[i].length);
		assert_int_equal(built.entries[i].type, want[i].type);
	}
	assert_true(e820_is_ram(&built, 0, 0x9f000));
	assert_false(e820_is_ram(&built, 0, 0x9f001));
	assert_false(e820_is_ram(&built, MIB(4) - 1, 2));
	assert_true(e820_is_ram(&built, MIB(16) - 1, 1));
	assert_false(e820_is_ram(&built, MIB(16), 0));
	assert_false(e820_is_ram(&built, MIB(5), UINT64_MAX));

	for (u32 i = 0; i < ARRAY_COUNT(many); i++)
		many[i] = (struct e820_entry){MIB(2 * i), MIB(1), E820_RAM};
	assert_int_equal(e820_build(&built, many, E820_MAX), HV_OK);
	assert_int_equal(built.count, E820_MAX);
	assert_int_equal(e820_build(&built, many, E820_MAX + 1), HV_ENO_SPACE);
	many[0] = (struct e820_entry){0, GIB(1), E820_RAM};
	for (u32 i = 1; i < E820_MAX; i++)
		many[i].type = E820_RESERVED;
	assert_int_equal(e820_build(&built, many, E820_MAX), HV_ENO_SPACE);
	many[0] = (struct e820_entry){2, UINT64_MAX - 1, E820_RAM};
	assert_int_equal(e820_build(&built, many, 1), HV_EINVALID);
	assert_int_equal(e820_build(&built, NULL, 0), HV_OK);
	assert_int_equal(built.count, 0);
}

/* ---- Linux ---- */

#define SETUP_SIZE (3 * 512)
#define CODE_SIZE  200016

static void make_linux(void)
{
	u8 *k = kernel_bytes;

	kernel.size = SETUP_SIZE + CODE_SIZE;
	fill(k + SETUP_SIZE, CODE_SIZE, 3);
	memset(k, 0xee, 0x1f1); /* the boot sector's code must not get into the zero page */
	k[0x1f1] = SETUP_SIZE / 512 - 1;
	set32(k + 0x1f4, CODE_SIZE / 16);
	set16(k + 0x1fe, 0xaa55);
	k[0x200] = 0xeb;
	k[0x201] = 0x6a; /* header ends at 0x26c */
	memcpy(k + 0x202, "HdrS", 4);
	set16(k + 0x206, 0x020f);
	k[0x211] = 1;
	set32(k + 0x22c, 0x7fffffff);
	set32(k + 0x230, 0x200000);
	k[0x234] = 1;
	set16(k + 0x236, 0x3f);
	set32(k + 0x238, 2047);
	set64(k + 0x258, KERNEL_AT);
	set32(k + 0x260, MIB(20));
	memset(k + 0x26c, 0xee, 16);
}

static void check_page_tables(u64 cr3)
{
	for (u64 va = 0; va < GIB(4); va += MIB(2)) {
		u64 pdpt = ram64(cr3);
		u64 pd = ram64((pdpt & ~(u64)0xfff) + va / GIB(1) * 8);
		u64 pte = ram64((pd & ~(u64)0xfff) + va / MIB(2) % 512 * 8);

		assert_int_equal(pdpt & 0xfff, 3);
		assert_int_equal(pd & 0xfff, 3);
		assert_int_equal(pte, va | 0x83);
	}
	for (u32 i = 1; i < 512; i++)
		assert_int_equal(ram64(cr3 + 8 * i), 0);
	for (u32 i = 4; i < 512; i++)
		assert_int_equal(ram64((ram64(cr3) & ~(u64)0xfff) + 8 * i), 0);
}

static void test_linux(void **state)
{
	u64 zero_page, data;

	(void)state;
	make_linux();
	expect_boot();
	assert_string_equal(entry.protocol, "Linux");
	assert_int_equal(entry.mode, BOOT_X86_LONG64);
	assert_int_equal(entry.rip, KERNEL_AT + 0x200);
	assert_memory_equal(ram + KERNEL_AT, kernel_bytes + SETUP_SIZE, CODE_SIZE);
	check_gdt(true);
	check_page_tables(entry.cr3);

	zero_page = entry.rsi;
	for (u32 i = 0; i < 0x1f1; i++) {
		if (i < 0x70 || (i >= 0x78 && i != 0x1e8))
			assert_int_equal(ram[zero_page + i], 0);
	}
	assert_int_equal(ram64(zero_page + 0x70), RSDP);
	assert_memory_equal(ram + zero_page + 0x202, "HdrS", 4);
	assert_int_equal(ram[zero_page + 0x210], 0xff);
	assert_int_equal(ram32(zero_page + 0x230), 0x200000);
	for (u32 i = 0x26c; i < 0x2d0; i++)
		assert_int_equal(ram[zero_page + i], 0);
	assert_string_equal((char *)ram + ram32(zero_page + 0x228), CMDLINE);
	check_initrd(ram32(zero_page + 0x218), ram32(zero_page + 0x21c));
	/* The highest place is above the device's page. */
	assert_int_equal(ram32(zero_page + 0x218), ALIGN_DOWN(RAM - initrd.size, PAGE_SIZE));
	assert_int_equal(ram[zero_page + 0x1e8], map.count);
	for (u32 i = 0; i < map.count; i++) {
		assert_int_equal(ram64(zero_page + 0x2d0 + 20 * i), map.entries[i].base);
		assert_int_equal(ram64(zero_page + 0x2d8 + 20 * i), map.entries[i].length);
		assert_int_equal(ram32(zero_page + 0x2e0 + 20 * i), map.entries[i].type);
	}
	data = ram64(zero_page + 0x250);
	assert_int_equal(ram64(data), 0);
	assert_int_equal(ram32(data + 8), 9);
	assert_int_equal(ram32(data + 12), sizeof(seed));
	assert_memory_equal(ram + data + 16, seed, sizeof(seed));
	check_failures();
}

static void test_linux_without(void **state)
{
	(void)state;
	make_linux();
	kernel_bytes[0x1f1] = 0; /* means 4 */
	kernel.size = 5 * 512 + CODE_SIZE;
	request.initrd = NULL;
	request.rng_seed = NULL;
	request.rng_seed_length = 0;
	request.cmdline = NULL;
	expect_boot();
	assert_memory_equal(ram + KERNEL_AT, kernel_bytes + 5 * 512, CODE_SIZE);
	assert_int_equal(ram32(entry.rsi + 0x218), 0);
	assert_int_equal(ram32(entry.rsi + 0x21c), 0);
	assert_int_equal(ram64(entry.rsi + 0x250), 0);
	assert_int_equal(ram[ram32(entry.rsi + 0x228)], 0);
}

static void test_linux_initrd_place(void **state)
{
	(void)state;
	make_linux();
	/* Must end below initrd_addr_max. */
	set32(kernel_bytes + 0x22c, MIB(50) - 1);
	expect_boot();
	check_initrd(ram32(entry.rsi + 0x218), ram32(entry.rsi + 0x21c));
	assert_int_equal(ram32(entry.rsi + 0x218), ALIGN_DOWN(MIB(50) - initrd.size, PAGE_SIZE));
	/* The kernel is in the way: below it. */
	set32(kernel_bytes + 0x22c, MIB(36) - 1);
	expect_boot();
	check_initrd(ram32(entry.rsi + 0x218), ram32(entry.rsi + 0x21c));
	assert_int_equal(ram32(entry.rsi + 0x218), ALIGN_DOWN(MIB(16) - initrd.size, PAGE_SIZE));
	/* Above the device's page there is no room for it. */
	setup(state);
	make_linux();
	initrd.size = MIB(1);
	expect_boot();
	check_initrd(ram32(entry.rsi + 0x218), ram32(entry.rsi + 0x21c));
	assert_int_equal(ram32(entry.rsi + 0x218), DEVICE - MIB(1));
}

static void test_linux_refusals(void **state)
{
	char long_cmdline[3000];

	(void)state;
	make_linux();
	set16(kernel_bytes + 0x206, 0x020b);
	expect_refusal(HV_EUNSUPPORTED, "is too old (boot protocol 2.11)");
	make_linux();
	kernel_bytes[0x211] = 0;
	expect_refusal(HV_EUNSUPPORTED, "is too old");
	make_linux();
	set16(kernel_bytes + 0x236, 0x3e);
	expect_refusal(HV_EUNSUPPORTED, "is a 32-bit kernel");
	make_linux();
	kernel.size -= 16;
	expect_refusal(HV_ECORRUPT, "is cut short");
	make_linux();
	kernel.size = SETUP_SIZE;
	expect_refusal(HV_ECORRUPT, "is cut short");
	make_linux();
	kernel.size = 0x264;
	expect_refusal(HV_ECORRUPT, "is cut short");
	make_linux();
	kernel.size = 0x263;
	expect_refusal(HV_EUNSUPPORTED, "is not a kernel");
	make_linux();
	set32(kernel_bytes + 0x1f4, 0);
	kernel.size = SETUP_SIZE + 0x200;
	expect_refusal(HV_ECORRUPT, "damaged header");
	make_linux();
	set64(kernel_bytes + 0x258, 0x10000);
	expect_refusal(HV_ECORRUPT, "damaged header");
	make_linux();
	set64(kernel_bytes + 0x258, UINT64_MAX - 100);
	expect_refusal(HV_EUNSUPPORTED, "above 4 GiB");
	make_linux();
	set64(kernel_bytes + 0x258, GIB(4));
	expect_refusal(HV_EUNSUPPORTED, "above 4 GiB");
	make_linux();
	set32(kernel_bytes + 0x260, (u32)MIB(48) + 1);
	expect_refusal(HV_ENO_SPACE, "does not fit: needs 65 MiB, the VM has 63 MiB");
	make_linux();
	set32(kernel_bytes + 0x260, (u32)MIB(48));
	expect_refusal(HV_ENO_SPACE, "not all free RAM");
	make_linux();
	set32(kernel_bytes + 0x260, 0);
	set64(kernel_bytes + 0x258, RAM - CODE_SIZE + 1);
	expect_refusal(HV_ENO_SPACE, "does not fit");
	make_linux();
	set32(kernel_bytes + 0x238, 10);
	expect_refusal(HV_ETOO_BIG, "at most 10 bytes");
	make_linux();
	memset(long_cmdline, 'x', sizeof(long_cmdline));
	long_cmdline[2048] = 0;
	request.cmdline = long_cmdline;
	expect_refusal(HV_ETOO_BIG, "at most 2047 bytes, this one has 2048");
	long_cmdline[2047] = 0;
	expect_boot();
}

static void test_initrd_refusals(void **state)
{
	(void)state;
	make_linux();
	initrd.size = 0;
	expect_refusal_of("initrd 'dir/initrd.img': ", HV_ECORRUPT, "is empty");
	initrd.size = MIB(27) + 1;
	expect_refusal_of("initrd 'dir/initrd.img': ", HV_ENO_SPACE,
			  "does not fit: needs 64 MiB with its kernel, the VM has 63 MiB");
	initrd.size = UINT64_MAX;
	expect_refusal_of("initrd 'dir/initrd.img': ", HV_ENO_SPACE, "does not fit");
	initrd.size = 4096;
	set32(kernel_bytes + 0x22c, 0);
	expect_refusal_of("initrd 'dir/initrd.img': ", HV_ENO_SPACE, "does not fit");
}

static void test_request_refusals(void **state)
{
	(void)state;
	make_linux();
	request.low_ram_top = GIB(4) + 1;
	expect_refusal(HV_EINVALID, "no memory to boot in");
	request.low_ram_top = RAM;
	request.rng_seed_length = BOOT_RNG_SEED_MAX + 1;
	expect_refusal(HV_EINVALID, "no memory to boot in");
	request.rng_seed_length = sizeof(seed);
	map.count = 0;
	expect_refusal(HV_EINVALID, "no memory to boot in");
}

static void test_not_a_kernel(void **state)
{
	(void)state;
	kernel.size = 0;
	expect_refusal(HV_EUNSUPPORTED, "is not a kernel that anew knows");
	kernel.size = 1;
	expect_refusal(HV_EUNSUPPORTED, "is not a kernel that anew knows");
	fill(kernel_bytes, sizeof(kernel_bytes), 1);
	kernel.size = sizeof(kernel_bytes);
	expect_refusal(HV_EUNSUPPORTED, "is not a kernel that anew knows");
}

/* ---- ELF ---- */

#define ELF_TABLE   0x40
#define ELF_TEXT    0x1000 /* in the file */
#define ELF_TEXT_SZ 70001
#define ELF_DATA    0x20000
#define ELF_DATA_SZ 100
#define ELF_BSS_SZ  100000
#define ELF_NOTE    0x30000
#define ELF_NOTE_SZ 44
#define TEXT_AT     MIB(1)
#define DATA_AT     MIB(2)
#define ENTRY_AT    (TEXT_AT + 0x30)
#define HIGH        0xc0000000 /* virtual minus physical */

static u8 *segment_at(bool is_64, u32 index)
{
	return kernel_bytes + ELF_TABLE + index * (is_64 ? 56 : 32);
}

static void set_segment(bool is_64, u32 index, u32 type, u64 offset, u64 paddr, u64 filesz,
			u64 memsz)
{
	u8 *at = segment_at(is_64, index);

	set32(at, type);
	if (is_64) {
		set64(at + 8, offset);
		set64(at + 16, paddr + HIGH);
		set64(at + 24, paddr);
		set64(at + 32, filesz);
		set64(at + 40, memsz);
		set64(at + 48, 4);
	} else {
		set32(at + 4, (u32)offset);
		set32(at + 8, (u32)(paddr + HIGH));
		set32(at + 12, (u32)paddr);
		set32(at + 16, (u32)filesz);
		set32(at + 20, (u32)memsz);
		set32(at + 28, 4);
	}
}

static void make_elf(bool is_64)
{
	u8 *k = kernel_bytes;

	memset(k, 0, sizeof(kernel_bytes));
	kernel.size = 0x40000;
	memcpy(k, "\177ELF", 4);
	k[4] = is_64 ? 2 : 1;
	k[5] = 1;
	set16(k + 16, 2);
	set16(k + 18, is_64 ? 62 : 3);
	if (is_64) {
		set64(k + 24, ENTRY_AT);
		set64(k + 32, ELF_TABLE);
		set16(k + 54, 56);
		set16(k + 56, 3);
	} else {
		set32(k + 24, ENTRY_AT);
		set32(k + 28, ELF_TABLE);
		set16(k + 42, 32);
		set16(k + 44, 3);
	}
	set_segment(is_64, 0, 1, ELF_TEXT, TEXT_AT, ELF_TEXT_SZ, ELF_TEXT_SZ);
	set_segment(is_64, 1, 1, ELF_DATA, DATA_AT, ELF_DATA_SZ, ELF_DATA_SZ + ELF_BSS_SZ);
	set_segment(is_64, 2, 0, 0, 0, 0, 0);
	fill(k + ELF_TEXT, ELF_TEXT_SZ, 7);
	fill(k + ELF_DATA, ELF_DATA_SZ, 8);
}

static void add_note(bool is_64, u32 size, u64 value)
{
	u8 *note = kernel_bytes + ELF_NOTE;

	set_segment(is_64, 2, 4, ELF_NOTE, 0, ELF_NOTE_SZ, 0);
	/* One of another type comes first. */
	set32(note, 4);
	set32(note + 4, 3);
	set32(note + 8, 6);
	memcpy(note + 12, "Xen\0abc", 7);
	note += 20;
	set32(note, 4);
	set32(note + 4, size);
	set32(note + 8, 18);
	memcpy(note + 12, "Xen", 4);
	set64(note + 16, value);
}

static void check_elf_loaded(void)
{
	assert_memory_equal(ram + TEXT_AT, kernel_bytes + ELF_TEXT, ELF_TEXT_SZ);
	assert_memory_equal(ram + DATA_AT, kernel_bytes + ELF_DATA, ELF_DATA_SZ);
	for (u64 i = 0; i < ELF_BSS_SZ; i++)
		assert_int_equal(ram[DATA_AT + ELF_DATA_SZ + i], 0);
	assert_int_equal(ram[DATA_AT + ELF_DATA_SZ + ELF_BSS_SZ], 0xcc);
	assert_int_equal(ram[TEXT_AT + ELF_TEXT_SZ], 0xcc);
}

static void check_pvh(void)
{
	u64 info, list;

	assert_string_equal(entry.protocol, "PVH");
	assert_int_equal(entry.mode, BOOT_X86_PROTECTED32);
	assert_int_equal(entry.rip, ENTRY_AT + 4);
	check_gdt(false);
	check_elf_loaded();
	info = entry.rbx;
	assert_int_equal(ram32(info), 0x336ec578);
	assert_int_equal(ram32(info + 4), 1);
	assert_int_equal(ram32(info + 8), 0);
	assert_string_equal((char *)ram + ram64(info + 24), CMDLINE);
	assert_int_equal(ram64(info + 32), RSDP);
	assert_int_equal(ram32(info + 48), map.count);
	assert_int_equal(ram32(info + 52), 0);
	list = ram64(info + 40);
	for (u32 i = 0; i < map.count; i++) {
		assert_int_equal(ram64(list + 24 * i), map.entries[i].base);
		assert_int_equal(ram64(list + 24 * i + 8), map.entries[i].length);
		assert_int_equal(ram64(list + 24 * i + 16), map.entries[i].type);
	}
	if (request.initrd) {
		u64 module = ram64(info + 16);

		assert_int_equal(ram32(info + 12), 1);
		check_initrd(ram64(module), ram64(module + 8));
		assert_int_equal(ram64(module + 16), 0);
		assert_int_equal(ram64(module + 24), 0);
	} else {
		assert_int_equal(ram32(info + 12), 0);
		assert_int_equal(ram64(info + 16), 0);
	}
}

static void add_multiboot(u32 offset, u32 flags)
{
	u8 *header = kernel_bytes + offset;

	set32(header, 0x1badb002);
	set32(header + 4, flags);
	set32(header + 8, 0u - 0x1badb002 - flags);
}

static void test_pvh(void **state)
{
	(void)state;
	make_elf(true);
	add_note(true, 4, ENTRY_AT + 4);
	expect_boot();
	check_pvh();
	check_failures();

	setup(state);
	make_elf(true);
	add_note(true, 8, ENTRY_AT + 4);
	request.initrd = NULL;
	expect_boot();
	check_pvh();

	/* Both kinds in one file, 32 bits. */
	setup(state);
	make_elf(false);
	add_note(false, 4, ENTRY_AT + 4);
	add_multiboot(0x800, 0);
	expect_boot();
	check_pvh();
}

static void test_pvh_refusals(void **state)
{
	(void)state;
	make_elf(true);
	add_note(true, 4, TEXT_AT - 1);
	expect_refusal(HV_ECORRUPT, "PVH entry at 0xfffff");
	add_note(true, 8, BIT(32) | ENTRY_AT);
	expect_refusal(HV_ECORRUPT, "PVH entry at 0x1001");
	add_note(true, 3, ENTRY_AT);
	expect_refusal(HV_EUNSUPPORTED, "without a PVH note");
	add_note(true, 64, ENTRY_AT); /* goes past the end of the notes */
	expect_refusal(HV_EUNSUPPORTED, "without a PVH note");
	add_note(true, UINT32_MAX, ENTRY_AT);
	expect_refusal(HV_EUNSUPPORTED, "without a PVH note");
	add_note(true, 4, ENTRY_AT);
	set32(kernel_bytes + ELF_NOTE, UINT32_MAX);
	expect_refusal(HV_EUNSUPPORTED, "without a PVH note");
	add_note(true, 4, ENTRY_AT);
	set64(segment_at(true, 2) + 8, kernel.size - 10);
	expect_refusal(HV_ECORRUPT, "is cut short or damaged");
	set64(segment_at(true, 2) + 8, UINT64_MAX);
	expect_refusal(HV_ECORRUPT, "is cut short or damaged");
	set64(segment_at(true, 2) + 32, 11);
	set64(segment_at(true, 2) + 8, ELF_NOTE);
	expect_refusal(HV_EUNSUPPORTED, "without a PVH note");
}

static void test_elf_refusals(void **state)
{
	const bool sizes[] = {true, false};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		bool is_64 = sizes[i];

		make_elf(is_64);
		expect_refusal(HV_EUNSUPPORTED, "without a PVH note and without a multiboot");
		add_note(is_64, 4, ENTRY_AT);
		kernel_bytes[4] = 3;
		expect_refusal(HV_ECORRUPT, "is a damaged ELF file");
		kernel_bytes[4] = is_64 ? 2 : 1;
		kernel_bytes[5] = 2;
		expect_refusal(HV_ECORRUPT, "is a damaged ELF file");
		kernel_bytes[5] = 1;
		set16(kernel_bytes + 18, 183);
		expect_refusal(HV_EUNSUPPORTED, "not a program for x86 (machine 183, type 2)");
		set16(kernel_bytes + 18, 62);
		set16(kernel_bytes + 16, 1);
		expect_refusal(HV_EUNSUPPORTED, "not a program for x86 (machine 62, type 1)");
		set16(kernel_bytes + 16, 2);

		set16(kernel_bytes + (is_64 ? 56 : 44), 0);
		expect_refusal(HV_ECORRUPT, "has 0 program headers");
		set16(kernel_bytes + (is_64 ? 56 : 44), 65);
		expect_refusal(HV_ECORRUPT, "has 65 program headers");
		set16(kernel_bytes + (is_64 ? 56 : 44), 3);
		set16(kernel_bytes + (is_64 ? 54 : 42), 31);
		expect_refusal(HV_ECORRUPT, "of 31 bytes");
		set16(kernel_bytes + (is_64 ? 54 : 42), is_64 ? 56 : 32);
		if (is_64)
			set64(kernel_bytes + 32, UINT64_MAX - 56);
		else
			set32(kernel_bytes + 28, UINT32_MAX);
		expect_refusal(HV_ECORRUPT, "is cut short or damaged");

		make_elf(is_64);
		add_note(is_64, 4, ENTRY_AT);
		set_segment(is_64, 0, 1, ELF_TEXT, TEXT_AT, 11, 10);
		expect_refusal(HV_ECORRUPT, "is cut short or damaged (program header 0)");
		set_segment(is_64, 0, 1, kernel.size - 10, TEXT_AT, 11, 11);
		expect_refusal(HV_ECORRUPT, "is cut short or damaged (program header 0)");
		set_segment(is_64, 0, 1, kernel.size + 1, TEXT_AT, 0, 1);
		expect_refusal(HV_ECORRUPT, "is cut short or damaged (program header 0)");
		set_segment(is_64, 0, 1, ELF_TEXT, TEXT_AT, 10, RAM);
		expect_refusal(HV_ENO_SPACE, "does not fit: needs 65 MiB, the VM has 63 MiB");
		set_segment(is_64, 0, 1, ELF_TEXT, RSDP, 10, 10);
		expect_refusal(HV_ENO_SPACE, "wants to be loaded at 0xe0000 to 0xe000a");
		set_segment(is_64, 0, 1, ELF_TEXT, DEVICE - 5, 10, 10);
		expect_refusal(HV_ENO_SPACE, "not all free RAM");
		set_segment(is_64, 0, 1, ELF_TEXT, BOOT_AREA_END - 1, 10, 10);
		expect_refusal(HV_ENO_SPACE, "not all free RAM");
		set_segment(is_64, 0, 1, ELF_TEXT, BOOT_AREA_BASE - 9, 10, 10);
		expect_refusal(HV_ENO_SPACE, "not all free RAM");
		set_segment(is_64, 0, 1, ELF_TEXT, DATA_AT + ELF_DATA_SZ + ELF_BSS_SZ - 1, 9, 9);
		expect_refusal(HV_ECORRUPT, "program headers 0 and 1 overlap");
		set_segment(is_64, 0, 1, ELF_TEXT, 0xfffffff0, 0x11, 0x11);
		expect_refusal(HV_EUNSUPPORTED, "above 4 GiB");
		set_segment(is_64, 0, 0, 0, 0, 0, 0);
		set_segment(is_64, 1, 0, 0, 0, 0, 0);
		expect_refusal(HV_ECORRUPT, "has nothing to load");
	}
	make_elf(true);
	add_note(true, 4, ENTRY_AT);
	set_segment(true, 0, 1, UINT64_MAX, TEXT_AT, 2, 2);
	expect_refusal(HV_ECORRUPT, "is cut short or damaged (program header 0)");
	set_segment(true, 0, 1, ELF_TEXT, UINT64_MAX, 2, 2);
	expect_refusal(HV_EUNSUPPORTED, "above 4 GiB");
	kernel.size = 60;
	expect_refusal(HV_ECORRUPT, "is a damaged ELF file");
}

/* ---- multiboot ---- */

static void check_multiboot(u64 rip)
{
	u64 info = entry.rbx, at, end;
	u32 i = 0;

	assert_string_equal(entry.protocol, "multiboot");
	assert_int_equal(entry.mode, BOOT_X86_PROTECTED32);
	assert_int_equal(entry.rax, 0x2badb002);
	assert_int_equal(entry.rip, rip);
	check_gdt(false);
	assert_int_equal(ram32(info), request.initrd ? 0x24d : 0x245);
	assert_int_equal(ram32(info + 4), ROM / 1024);
	assert_int_equal(ram32(info + 8), (DEVICE - MIB(1)) / 1024);
	assert_string_equal((char *)ram + ram32(info + 16), CMDLINE);
	assert_string_equal((char *)ram + ram32(info + 64), "anew");
	end = ram32(info + 48) + ram32(info + 44);
	for (at = ram32(info + 48); at < end; at += ram32(at) + 4, i++) {
		assert_int_equal(ram64(at + 4), map.entries[i].base);
		assert_int_equal(ram64(at + 12), map.entries[i].length);
		assert_int_equal(ram32(at + 20), map.entries[i].type);
	}
	assert_int_equal(i, map.count);
	if (request.initrd) {
		u64 module = ram32(info + 24);

		assert_int_equal(ram32(info + 20), 1);
		check_initrd(ram32(module), ram32(module + 4) - ram32(module));
		assert_string_equal((char *)ram + ram32(module + 8), "initrd.img");
		assert_int_equal(ram32(module + 12), 0);
	}
}

static void test_multiboot_elf(void **state)
{
	(void)state;
	make_elf(false);
	add_multiboot(8192 - 12, 3);
	expect_boot();
	check_multiboot(ENTRY_AT);
	check_elf_loaded();
	check_failures();

	/* 64-bit file; entry given as a virtual address; video wanted; no module. */
	setup(state);
	make_elf(true);
	set64(kernel_bytes + 24, HIGH + ENTRY_AT);
	add_multiboot(0x204, 7);
	request.initrd = NULL;
	expect_boot();
	check_multiboot(ENTRY_AT);
	check_elf_loaded();
}

#define FLAT_HEADER 0x100
#define FLAT_AT     (MIB(1) + 0x40)

/* Skips 0x40 bytes of the file. */
static void make_flat(u32 load_length, u32 bss_length)
{
	u8 *header = kernel_bytes + FLAT_HEADER;

	kernel.size = 100000;
	fill(kernel_bytes, kernel.size, 11);
	add_multiboot(FLAT_HEADER, 1 << 16 | 3);
	set32(header + 12, FLAT_AT + FLAT_HEADER - 0x40);
	set32(header + 16, FLAT_AT);
	set32(header + 20, load_length ? (u32)FLAT_AT + load_length : 0);
	set32(header + 24, bss_length ? (u32)FLAT_AT + load_length + bss_length : 0);
	set32(header + 28, FLAT_AT + 0x10);
}

static void test_multiboot_flat(void **state)
{
	(void)state;
	make_flat(90000, 5000);
	expect_boot();
	check_multiboot(FLAT_AT + 0x10);
	assert_memory_equal(ram + FLAT_AT, kernel_bytes + 0x40, 90000);
	for (u64 i = 0; i < 5000; i++)
		assert_int_equal(ram[FLAT_AT + 90000 + i], 0);
	assert_int_equal(ram[FLAT_AT + 95000], 0xcc);
	check_failures();

	setup(state);
	make_flat(0, 0);
	expect_boot();
	check_multiboot(FLAT_AT + 0x10);
	assert_memory_equal(ram + FLAT_AT, kernel_bytes + 0x40, 100000 - 0x40);
	assert_int_equal(ram[FLAT_AT + 100000 - 0x40], 0xcc);
}

static void test_multiboot_refusals(void **state)
{
	u8 *header = kernel_bytes + FLAT_HEADER;

	(void)state;
	make_elf(false);
	add_multiboot(8192 - 8, 3); /* not all in the first 8 KiB */
	expect_refusal(HV_EUNSUPPORTED, "without a multiboot header");
	make_elf(false);
	add_multiboot(0x802, 3); /* not aligned */
	expect_refusal(HV_EUNSUPPORTED, "without a multiboot header");
	make_elf(false);
	add_multiboot(0x800, 3);
	kernel_bytes[0x808]++;
	expect_refusal(HV_EUNSUPPORTED, "without a multiboot header");
	add_multiboot(0x800, 0x8003);
	expect_refusal(HV_EUNSUPPORTED, "flags 0x8003");
	add_multiboot(0x800, 3);
	set32(kernel_bytes + 24, TEXT_AT - 1);
	expect_refusal(HV_ECORRUPT, "has its entry at 0xfffff");

	make_flat(0, 0);
	add_multiboot(FLAT_HEADER, 3);
	expect_refusal(HV_EUNSUPPORTED, "not an ELF file");
	make_flat(0, 0);
	set32(header + 16, FLAT_AT + FLAT_HEADER);
	expect_refusal(HV_ECORRUPT, "damaged multiboot header");
	set32(header + 16, FLAT_AT - 0x41);
	expect_refusal(HV_ECORRUPT, "damaged multiboot header");
	make_flat(90000, 0);
	set32(header + 20, FLAT_AT - 1);
	expect_refusal(HV_ECORRUPT, "damaged multiboot header");
	make_flat(90000, 1);
	set32(header + 24, FLAT_AT + 89999);
	expect_refusal(HV_ECORRUPT, "damaged multiboot header");
	make_flat(100000, 0);
	expect_refusal(HV_ECORRUPT, "is cut short: has 100000 bytes, should have 100064");
	make_flat(90000, (u32)RAM);
	expect_refusal(HV_ENO_SPACE, "does not fit");
	make_flat(90000, 0);
	set32(header + 28, FLAT_AT + 90000);
	expect_refusal(HV_ECORRUPT, "has its entry at");
	/* The addresses would be past the end of the file, or of the first 8 KiB. */
	make_flat(90000, 0);
	kernel.size = FLAT_HEADER + 31;
	expect_refusal(HV_ECORRUPT, "cut short");
	memset(kernel_bytes, 0, sizeof(kernel_bytes));
	kernel.size = 100000;
	add_multiboot(8192 - 12, 1 << 16);
	expect_refusal(HV_ECORRUPT, "cut short");
	make_flat(0, 0);
	request.initrd = &initrd;
	initrd.size = RAM;
	expect_refusal_of("initrd 'dir/initrd.img': ", HV_ENO_SPACE, "does not fit");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_e820, setup),
		cmocka_unit_test_setup(test_linux, setup),
		cmocka_unit_test_setup(test_linux_without, setup),
		cmocka_unit_test_setup(test_linux_initrd_place, setup),
		cmocka_unit_test_setup(test_linux_refusals, setup),
		cmocka_unit_test_setup(test_initrd_refusals, setup),
		cmocka_unit_test_setup(test_request_refusals, setup),
		cmocka_unit_test_setup(test_not_a_kernel, setup),
		cmocka_unit_test_setup(test_pvh, setup),
		cmocka_unit_test_setup(test_pvh_refusals, setup),
		cmocka_unit_test_setup(test_elf_refusals, setup),
		cmocka_unit_test_setup(test_multiboot_elf, setup),
		cmocka_unit_test_setup(test_multiboot_flat, setup),
		cmocka_unit_test_setup(test_multiboot_refusals, setup),
	};

	return cmocka_run_group_tests(tests, NULL, boot_fakes_fini);
}
