/* SPDX-License-Identifier: MIT */
/* What a loader of kernels is given in tests: RAM, files, and ways for both to fail. */
#ifndef TESTS_BOOT_FAKES_H
#define TESTS_BOOT_FAKES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <guest/boot.h>
#include <hv/mem.h>

#include "log_fake.h"

#define FILE_MAX MIB(3)
#define READ_MAX KIB(64)

static u8 *ram;
static u64 ram_base; /* guest-physical */
static u64 ram_size;
static u8 kernel_bytes[FILE_MAX];
static u8 initrd_bytes[FILE_MAX];
static u8 seed[32];
static u64 not_clean; /* bytes written and not yet made visible */
static u64 writes_left;
static u64 reads_left;

static struct boot_file kernel;
static struct boot_file initrd;

/* Set by the test: loads as its request says; and whether the guest has RAM there. */
static enum hv_error (*load)(void);
static bool (*is_ram)(u64 base, u64 length);

/* What is at @at in the guest's RAM. */
static inline u8 *ram_at(u64 at)
{
	return ram + (at - ram_base);
}

static inline enum hv_error ram_read(void *ctx, gpa_t from, void *buf, size_t length)
{
	(void)ctx;
	if (!is_ram(from.v, length))
		return HV_ENOT_FOUND;
	memcpy(buf, ram_at(from.v), length);
	return HV_OK;
}

static inline enum hv_error ram_write(void *ctx, gpa_t to, const void *buf, size_t length)
{
	(void)ctx;
	assert_true(is_ram(to.v, length));
	if (writes_left-- == 0)
		return HV_ENO_MEMORY;
	memcpy(ram_at(to.v), buf, length);
	not_clean += length;
	return HV_OK;
}

static inline void ram_clean(void *ctx, gpa_t from, size_t length)
{
	(void)ctx;
	(void)from;
	not_clean -= length;
}

static const struct guest_mem mem HV_UNUSED = {ram_read, ram_write, ram_clean, NULL};

static inline enum hv_error file_read(void *ctx, u64 offset, void *buf, size_t length)
{
	const u8 *bytes = ctx;
	const struct boot_file *file = bytes == kernel_bytes ? &kernel : &initrd;

	assert_true(length <= READ_MAX);
	assert_true(offset <= file->size && length <= file->size - offset);
	if (reads_left-- == 0)
		return HV_EIO;
	memcpy(buf, bytes + offset, length);
	return HV_OK;
}

static inline void set16(u8 *at, u16 value)
{
	memcpy(at, &value, sizeof(value));
}

static inline void set32(u8 *at, u32 value)
{
	memcpy(at, &value, sizeof(value));
}

static inline void set64(u8 *at, u64 value)
{
	memcpy(at, &value, sizeof(value));
}

static inline u32 ram32(u64 at)
{
	u32 value;

	memcpy(&value, ram_at(at), sizeof(value));
	return value;
}

static inline u64 ram64(u64 at)
{
	return ram32(at) | (u64)ram32(at + 4) << 32;
}

/* Bytes that tell where in a file they were. */
static inline void fill(u8 *bytes, size_t length, u32 start)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (u8)((start + i) * 7 + (start + i) / 251);
}

/* A kernel of zeros that has no bytes yet, an initrd, and RAM that nobody wrote to. */
static inline void boot_fakes_init(u64 base, u64 size)
{
	if (ram_size != size)
		ram = realloc(ram, size);
	assert_non_null(ram);
	ram_base = base;
	ram_size = size;
	memset(ram, 0xcc, size);
	memset(kernel_bytes, 0, sizeof(kernel_bytes));
	fill(initrd_bytes, sizeof(initrd_bytes), 5);
	fill(seed, sizeof(seed), 9);
	error_lines = 0;
	last_error[0] = 0;
	not_clean = 0;
	writes_left = UINT64_MAX;
	reads_left = UINT64_MAX;
	kernel = (struct boot_file){file_read, kernel_bytes, 0, "dir/vmlinuz"};
	initrd = (struct boot_file){file_read, initrd_bytes, 200001, "dir/initrd.img"};
}

static inline int boot_fakes_fini(void **state)
{
	(void)state;
	free(ram);
	ram = NULL;
	ram_size = 0;
	return 0;
}

static inline void expect_boot(void)
{
	enum hv_error err;

	error_lines = 0;
	err = load();
	if (err != HV_OK)
		print_message("%s\n", last_error);
	assert_int_equal(err, HV_OK);
	assert_int_equal(error_lines, 0);
	assert_int_equal(not_clean, 0);
}

/* One line, about the file @what, with @words in it. */
static inline void expect_refusal_of(const char *what, enum hv_error err, const char *words)
{
	error_lines = 0;
	assert_int_equal(load(), err);
	assert_int_equal(error_lines, 1);
	if (!strstr(last_error, words) || strncmp(last_error, what, strlen(what)) != 0)
		fail_msg("'%s' instead of '%s ... %s'", last_error, what, words);
}

static inline void expect_refusal(enum hv_error err, const char *words)
{
	expect_refusal_of("kernel 'dir/vmlinuz': ", err, words);
}

/* Every read and every write may fail; each failure is one line and nothing breaks. */
static inline void check_failures(void)
{
	for (u64 n = 0;; n++) {
		reads_left = n;
		error_lines = 0;
		if (load() == HV_OK)
			break;
		assert_int_equal(error_lines, 1);
		assert_non_null(strstr(last_error, "can't be read"));
	}
	reads_left = UINT64_MAX;
	for (u64 n = 0;; n++) {
		writes_left = n;
		error_lines = 0;
		if (load() == HV_OK)
			break;
		assert_int_equal(error_lines, 1);
		assert_non_null(strstr(last_error, "can't write"));
	}
	writes_left = UINT64_MAX;
	error_lines = 0;
}

static inline void check_initrd(u64 at, u64 size)
{
	assert_int_equal(size, initrd.size);
	assert_int_equal(at % PAGE_SIZE, 0);
	assert_memory_equal(ram_at(at), initrd_bytes, initrd.size);
}

#endif
