/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a kernel. The first byte says which bytes are forced to look like a kernel, so that
 * the parsers are reached; nothing may be read or written outside of the file and the VM's RAM.
 */
#include <stdlib.h>
#include <string.h>

#include <guest/boot_x86.h>
#include <hv/log.h>

#define RAM MIB(16)

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

static enum hv_error ram_read(void *ctx, gpa_t from, void *buf, size_t length)
{
	(void)ctx;
	if (from.v > RAM || length > RAM - from.v)
		return HV_ENOT_FOUND;
	memcpy(buf, ram + from.v, length);
	return HV_OK;
}

static enum hv_error ram_write(void *ctx, gpa_t to, const void *buf, size_t length)
{
	if (!e820_is_ram(ctx, to.v, length))
		abort();
	memcpy(ram + to.v, buf, length);
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
	switch (kind & 3) {
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

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	const struct e820_entry ranges[] = {
		{0, 0x9fc00, E820_RAM},
		{MIB(1), RAM - MIB(1), E820_RAM},
		{RAM - MIB(1), PAGE_SIZE, E820_RESERVED},
	};
	struct e820_map map;
	const struct guest_mem mem = {ram_read, ram_write, ram_clean, &map};
	struct bytes kernel_bytes, initrd_bytes;
	struct boot_file kernel = {file_read, &kernel_bytes, 0, "kernel"};
	struct boot_file initrd = {file_read, &initrd_bytes, 0, "initrd"};
	struct boot_x86_request request = {
		.mem = &mem,
		.low_ram_top = RAM,
		.e820 = &map,
		.rsdp = GPA(0xe0000),
		.kernel = &kernel,
		.cmdline = "console=ttyS0",
	};
	struct boot_x86_entry entry;
	enum hv_error err;
	u8 *file;

	if (size < 1)
		return 0;
	if (e820_build(&map, ranges, ARRAY_COUNT(ranges)) != HV_OK)
		abort();
	file = malloc(size);
	if (!file)
		return 0;
	memcpy(file, data + 1, size - 1);
	force_kind(file, size - 1, data[0]);
	kernel_bytes = (struct bytes){file, size - 1};
	initrd_bytes = kernel_bytes;
	kernel.size = kernel_bytes.size;
	initrd.size = initrd_bytes.size;
	if (data[0] & 4)
		request.initrd = &initrd;
	if (data[0] & 8) {
		request.rng_seed = data;
		request.rng_seed_length = min_u64(size, BOOT_RNG_SEED_MAX);
	}
	error_lines = 0;
	err = boot_x86_load(&request, &entry);
	if (err == HV_OK ? error_lines != 0 || !e820_is_ram(&map, entry.rip, 1) : error_lines != 1)
		abort();
	free(file);
	return 0;
}
