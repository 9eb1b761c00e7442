/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a kernel, for the loaders of x86_64 and of arm64. The first byte says which, and
 * which bytes are forced to look like a kernel, so that the parsers are reached; nothing may be
 * read or written outside of the file and the VM's RAM.
 */
#include <stdlib.h>
#include <string.h>

#include <guest/boot_x86.h>
#include <guest/image.h>
#include <hv/log.h>

#define RAM       MIB(16)
#define ARM64_RAM (GIB(1) + KIB(64)) /* where it begins */

/* Bits of the first byte. */
#define KIND     0x03
#define INITRD   0x04
#define SEED     0x08
#define ARM64    0x10
#define PAGES_16 0x20

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static u8 ram[RAM];
static u32 error_lines;

struct bytes {
	const u8 *data;
	u64 size;
};

void log_print(enum log_level level, const char *format, ...)
{
	(void)format;
	if (level == LOG_ERROR)
		error_lines++;
}

/* Of a machine: whether it has RAM there, and where RAM begins. */
struct board {
	bool (*is_ram)(const struct board *board, u64 base, u64 length);
	u64 base;
	struct e820_map map;         /* x86_64 */
	struct guest_range range[2]; /* arm64 */
};

static bool in_map(const struct board *board, u64 base, u64 length)
{
	return e820_is_ram(&board->map, base, length);
}

static bool in_ranges(const struct board *board, u64 base, u64 length)
{
	for (u32 i = 0; i < ARRAY_COUNT(board->range); i++) {
		const struct guest_range *range = &board->range[i];

		if (base >= range->base && base - range->base <= range->length &&
		    length <= range->length - (base - range->base))
			return true;
	}
	return false;
}

static enum hv_error ram_read(void *ctx, gpa_t from, void *buf, size_t length)
{
	const struct board *board = ctx;

	if (!board->is_ram(board, from.v, length))
		return HV_ENOT_FOUND;
	memcpy(buf, ram + (from.v - board->base), length);
	return HV_OK;
}

static enum hv_error ram_write(void *ctx, gpa_t to, const void *buf, size_t length)
{
	const struct board *board = ctx;

	if (!board->is_ram(board, to.v, length))
		abort();
	memcpy(ram + (to.v - board->base), buf, length);
	return HV_OK;
}

static void ram_clean(void *ctx, gpa_t from, size_t length)
{
	(void)ctx;
	(void)from;
	(void)length;
}

static enum hv_error file_read(void *ctx, u64 offset, void *buf, size_t length)
{
	const struct bytes *file = ctx;

	if (length > KIB(64) || offset > file->size || length > file->size - offset)
		abort();
	memcpy(buf, file->data + offset, length);
	return HV_OK;
}

static void force(u8 *file, size_t size, size_t at, const void *bytes, size_t length)
{
	if (size >= at + length)
		memcpy(file + at, bytes, length);
}

static void force_kind(u8 *file, size_t size, u8 kind)
{
	if (kind & ARM64) {
		if (kind & KIND)
			force(file, size, 56, "ARM\x64", 4);
		/* The headers for EFI as well. */
		if ((kind & KIND) == 2) {
			force(file, size, 0, "MZ", 2);
			force(file, size, 60, "\x40\0\0\0PE\0\0", 8);
		}
		return;
	}
	switch (kind & KIND) {
	case 1:
		force(file, size, 0x1fe, "\x55\xaa", 2);
		force(file, size, 0x202, "HdrS\x0f\x02", 6);
		break;
	case 2:
		force(file, size, 0, "\177ELF\x02\x01", 6);
		force(file, size, 16, "\x02\x00\x3e\x00", 4);
		break;
	case 3:
		/* Magic, flags 0x10003, checksum. */
		force(file, size, 4, "\x02\xb0\xad\x1b\x03\x00\x01\x00\xfb\x4f\x51\xe4", 12);
		break;
	default:
		break;
	}
}

static enum hv_error load_x86(const u8 *data, size_t size, const struct boot_file *kernel,
			      const struct boot_file *initrd)
{
	const struct e820_entry ranges[] = {
		{0, 0x9fc00, E820_RAM},
		{MIB(1), RAM - MIB(1), E820_RAM},
		{RAM - MIB(1), PAGE_SIZE, E820_RESERVED},
	};
	struct board board = {.is_ram = in_map};
	const struct guest_mem mem = {ram_read, ram_write, ram_clean, &board};
	struct boot_x86_request request = {
		.mem = &mem,
		.low_ram_top = RAM,
		.e820 = &board.map,
		.rsdp = GPA(0xe0000),
		.kernel = kernel,
		.initrd = initrd,
		.cmdline = "console=ttyS0",
	};
	struct boot_x86_entry entry;
	enum hv_error err;

	if (e820_build(&board.map, ranges, ARRAY_COUNT(ranges)) != HV_OK)
		abort();
	if (data[0] & SEED) {
		request.rng_seed = data;
		request.rng_seed_length = min_u64(size, BOOT_RNG_SEED_MAX);
	}
	err = boot_x86_load(&request, &entry);
	if (err == HV_OK && !in_map(&board, entry.rip, 1))
		abort();
	return err;
}

static enum hv_error load_arm64(const u8 *data, size_t size, const struct boot_file *kernel,
				const struct boot_file *initrd)
{
	static const u64 mpidr;
	struct board board = {
		.is_ram = in_ranges,
		.base = ARM64_RAM,
		.range = {{ARM64_RAM, RAM - MIB(2)}, {ARM64_RAM + RAM - MIB(1), MIB(1)}},
	};
	const struct guest_mem mem = {ram_read, ram_write, ram_clean, &board};
	const struct fdt_machine machine = {
		.ram = board.range,
		.ram_count = ARRAY_COUNT(board.range),
		.mpidrs = &mpidr,
		.cpu_count = 1,
		.gic_version = 3,
		.uart_intid = 33,
		.cmdline = "console=ttyAMA0",
		.rng_seed = data[0] & SEED ? data : NULL,
		.rng_seed_length = min_u64(size, 512),
	};
	const struct image_request request = {
		.mem = &mem,
		.kernel = kernel,
		.initrd = initrd,
		.machine = &machine,
		.acpi = data[0] & SEED,
		.page_sizes = data[0] & PAGES_16 ? KIB(16) : KIB(4) | KIB(64),
	};
	struct image_entry entry;
	enum hv_error err = image_load(&request, &entry);

	if (err == HV_OK &&
	    (!in_ranges(&board, entry.pc, kernel->size) || !in_ranges(&board, entry.x0, 8)))
		abort();
	return err;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct bytes bytes;
	struct boot_file kernel = {file_read, &bytes, 0, "kernel"};
	struct boot_file initrd = {file_read, &bytes, 0, "initrd"};
	enum hv_error err;
	u8 *file;

	if (size < 1)
		return 0;
	file = malloc(size);
	if (!file)
		return 0;
	memcpy(file, data + 1, size - 1);
	force_kind(file, size - 1, data[0]);
	bytes = (struct bytes){file, size - 1};
	kernel.size = bytes.size;
	initrd.size = bytes.size;
	error_lines = 0;
	err = (data[0] & ARM64 ? load_arm64 : load_x86)(data, size, &kernel,
							data[0] & INITRD ? &initrd : NULL);
	if (error_lines != (err != HV_OK))
		abort();
	free(file);
	return 0;
}
