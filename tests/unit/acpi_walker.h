/* SPDX-License-Identifier: MIT */
/* Guest memory for ACPI tables, and a walker that reads them back the way a guest does. */
#ifndef TESTS_ACPI_WALKER_H
#define TESTS_ACPI_WALKER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <guest/acpi.h>

#include "log_fake.h"

#define BASE 0xe0000
#define ROOM 0x20000

static u8 ram[ROOM];
static u64 fail_after; /* writes that still succeed */

static inline enum hv_error ram_read(void *ctx, gpa_t from, void *buf, size_t length)
{
	(void)ctx;
	if (from.v < BASE || from.v - BASE > ROOM || length > ROOM - (from.v - BASE))
		return HV_ENOT_FOUND;
	memcpy(buf, ram + (from.v - BASE), length);
	return HV_OK;
}

static inline enum hv_error ram_write(void *ctx, gpa_t to, const void *buf, size_t length)
{
	(void)ctx;
	if (fail_after-- == 0)
		return HV_ENO_MEMORY;
	if (to.v < BASE || to.v - BASE > ROOM || length > ROOM - (to.v - BASE))
		return HV_ENOT_FOUND;
	memcpy(ram + (to.v - BASE), buf, length);
	return HV_OK;
}

static inline void ram_clean(void *ctx, gpa_t from, size_t length)
{
	(void)ctx;
	(void)from;
	(void)length;
}

static const struct guest_mem mem HV_UNUSED = {ram_read, ram_write, ram_clean, NULL};

static inline int setup(void **state)
{
	(void)state;
	memset(ram, 0, sizeof(ram));
	error_lines = 0;
	fail_after = UINT64_MAX;
	return 0;
}

static inline u32 at32(u64 at)
{
	u32 value;

	assert_true(at >= BASE && at + sizeof(value) <= BASE + ROOM);
	memcpy(&value, ram + (at - BASE), sizeof(value));
	return value;
}

static inline u64 at64(u64 at)
{
	return at32(at) | (u64)at32(at + 4) << 32;
}

static inline u8 at8(u64 at)
{
	assert_true(at >= BASE && at < BASE + ROOM);
	return ram[at - BASE];
}

static inline bool adds_up(u64 at, u32 length)
{
	u8 sum = 0;

	for (u32 i = 0; i < length; i++)
		sum = (u8)(sum + at8(at + i));
	return sum == 0;
}

static inline void check_table(u64 table, const char *signature, u8 revision, u64 end)
{
	assert_int_equal(table % 16, 0);
	assert_memory_equal(ram + (table - BASE), signature, 4);
	assert_true(table + at32(table + 4) <= end);
	assert_int_equal(at8(table + 8), revision);
	assert_true(adds_up(table, at32(table + 4)));
}

/* Finds the tables the way a guest does; the XSDT's address. */
static inline u64 find_xsdt(u64 end)
{
	for (u64 at = BASE; at < BASE + ROOM; at += 16) {
		if (memcmp(ram + (at - BASE), "RSD PTR ", 8) != 0 || !adds_up(at, 20))
			continue;
		assert_int_equal(at, BASE);
		assert_int_equal(at8(at + 15), 2);
		assert_int_equal(at32(at + 20), 36);
		assert_true(adds_up(at, 36));
		check_table(at64(at + 24), "XSDT", 1, end);
		return at64(at + 24);
	}
	fail_msg("no root pointer found");
	return 0;
}

/* The table of @signature and, unless that is NULL, @oem_table_id. */
static inline u64 find_table_of(u64 xsdt, const char *signature, const char *oem_table_id)
{
	u32 count = (at32(xsdt + 4) - 36) / 8;

	for (u32 i = 0; i < count; i++) {
		u64 table = at64(xsdt + 36 + 8 * i);

		if (memcmp(ram + (table - BASE), signature, 4) == 0 &&
		    (!oem_table_id || memcmp(ram + (table + 16 - BASE), oem_table_id, 8) == 0))
			return table;
	}
	return 0;
}

static inline u64 find_table(u64 xsdt, const char *signature)
{
	return find_table_of(xsdt, signature, NULL);
}

static inline bool holds(u64 table, const void *bytes, size_t length)
{
	for (u64 at = table; at + length <= table + at32(table + 4); at++) {
		if (memcmp(ram + (at - BASE), bytes, length) == 0)
			return true;
	}
	return false;
}

static inline void write_file(const char *dir, const char *name, u64 table)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.dat", dir, name);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(ram + (table - BASE), at32(table + 4), 1, file), 1);
	assert_int_equal(fclose(file), 0);
}

/* Whether the output of @command holds @text. */
static inline bool says(const char *command, const char *text)
{
	FILE *pipe = popen(command, "r");
	char line[512];
	bool found = false;

	assert_non_null(pipe);
	while (fgets(line, sizeof(line), pipe)) {
		if (strstr(line, text))
			found = true;
	}
	pclose(pipe);
	return found;
}

/* iasl takes the table @name of @dir apart without a complaint. */
static inline void judged_by_iasl(const char *dir, const char *name)
{
	char command[1024];

	snprintf(command, sizeof(command),
		 "cd %s && iasl -d %s.dat >out 2>&1 && test -s %s.dsl && ! grep -i -E "
		 "'error|warning|invalid|incorrect' out %s.dsl",
		 dir, name, name, name);
	assert_int_equal(system(command), 0);
}

#endif
