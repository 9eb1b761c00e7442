/* SPDX-License-Identifier: MIT */
/* Random bytes: each source alone is enough, without any there are none, none come twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <internal/host.h>

#include "uefi.h"

#define DRAWS 400
#define BYTES 16

/* ---- the sources ---- */

static enum {
	CPU_NONE,
	CPU_GOOD,
	CPU_STUCK, /* says it is well, and gives the same word for ever */
} cpu;

static enum {
	FIRMWARE_NONE,
	FIRMWARE_GOOD,
	FIRMWARE_BROKEN,
} firmware;

/* How far the counter has gone on after the @n-th interrupt. */
static u64 (*jitter)(u32 n);

static u64 counter, words;
static u32 waits, firmware_asked;

static u64 mix(u64 x)
{
	x = (x ^ x >> 31) * 0x7fb5d329728ea185;
	x = (x ^ x >> 27) * 0x81dadef4bc2dd44d;
	return x ^ x >> 33;
}

static u64 jitter_good(u32 n)
{
	return 1000000 + mix(n + 1) % 4000;
}

static u64 jitter_none(u32 n)
{
	(void)n;
	return 1000000;
}

static u64 jitter_of_few_values(u32 n)
{
	return 1000000 + mix(n + 1) % 7;
}

/* Enough values, but always in the same order. */
static u64 jitter_periodic(u32 n)
{
	return 1000000 + mix(n % 50) % 60000;
}

/* Most of them irregular. */
static u64 jitter_seldom_the_same(u32 n)
{
	return n % 5 ? jitter_good(n) : 1000000;
}

u64 cpu_counter(void)
{
	return counter;
}

void cpu_wait(const u32 *kicked)
{
	(void)kicked;
	counter += jitter(waits++);
}

bool cpu_random(u64 *value)
{
	*value = cpu == CPU_GOOD ? mix(++words) : 0x5a5a5a5a5a5a5a5a;
	return cpu != CPU_NONE;
}

static EFI_STATUS EFIAPI get_rng(EFI_RNG_PROTOCOL *self, EFI_RNG_ALGORITHM *algorithm, UINTN length,
				 UINT8 *value)
{
	(void)self;
	(void)algorithm;
	firmware_asked++;
	/* The same each time, as after the machine itself was copied. */
	memset(value, 7, length);
	return firmware == FIRMWARE_GOOD ? EFI_SUCCESS : EFI_NOT_READY;
}

void *uefi_locate(const EFI_GUID *guid)
{
	static const EFI_GUID rng_guid = EFI_RNG_PROTOCOL_GUID;
	static EFI_RNG_PROTOCOL rng = {.GetRNG = get_rng};

	assert_memory_equal(guid, &rng_guid, sizeof(rng_guid));
	return firmware == FIRMWARE_NONE ? NULL : &rng;
}

void uefi_check_context(const char *function)
{
	assert_string_equal(function, "host_entropy");
}

u64 host_wall_clock(void)
{
	return 0;
}

/* ---- the tests ---- */

static int setup(void **state)
{
	(void)state;
	cpu = CPU_NONE;
	firmware = FIRMWARE_NONE;
	jitter = jitter_none;
	return 0;
}

static void gives(void)
{
	u8 first[BYTES] = {0}, second[BYTES] = {0};

	assert_int_equal(host_entropy(first, BYTES), HV_OK);
	assert_int_equal(host_entropy(second, BYTES), HV_OK);
	assert_memory_not_equal(first, second, BYTES);
}

/* As it is, and not only the next time that all sources are asked. */
static void refuses(void)
{
	u8 bytes[BYTES], before[BYTES];

	memset(bytes, 0xee, BYTES);
	memcpy(before, bytes, BYTES);
	for (u32 i = 0; i < 3; i++) {
		assert_int_equal(host_entropy(bytes, BYTES), HV_ENO_ENTROPY);
		assert_memory_equal(bytes, before, BYTES);
	}
}

static void none(void **state)
{
	(void)state;
	refuses();
	firmware = FIRMWARE_BROKEN;
	refuses();
}

static void processor_alone(void **state)
{
	(void)state;
	cpu = CPU_GOOD;
	gives();
	/* It fails in between. */
	cpu = CPU_NONE;
	refuses();
	cpu = CPU_GOOD;
	gives();
}

static void processor_stuck(void **state)
{
	(void)state;
	cpu = CPU_STUCK;
	refuses();
	firmware = FIRMWARE_GOOD;
	gives();
	firmware = FIRMWARE_NONE;
	refuses();
}

static void firmware_alone(void **state)
{
	(void)state;
	firmware = FIRMWARE_GOOD;
	gives();
	firmware = FIRMWARE_BROKEN;
	refuses();
}

static void jitter_alone(void **state)
{
	(void)state;
	jitter = jitter_good;
	gives();
}

static void jitter_refused(void **state)
{
	static u64 (*const bad[])(u32 n) = {jitter_none, jitter_of_few_values, jitter_periodic,
					    jitter_seldom_the_same};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(bad); i++) {
		jitter = bad[i];
		refuses();
	}
}

/* All sources every 64 calls; each time where the processor has no generator. */
static void who_is_asked_when(void **state)
{
	u8 bytes[BYTES];

	(void)state;
	cpu = CPU_GOOD;
	firmware = FIRMWARE_GOOD;
	firmware_asked = 0;
	for (u32 i = 0; i < 640; i++)
		assert_int_equal(host_entropy(bytes, BYTES), HV_OK);
	assert_int_equal(firmware_asked, 10);
	cpu = CPU_NONE;
	firmware_asked = 0;
	for (u32 i = 0; i < 10; i++)
		assert_int_equal(host_entropy(bytes, BYTES), HV_OK);
	assert_int_equal(firmware_asked, 10);
	/* The jitter takes long: only where there is nothing else. */
	waits = 0;
	cpu = CPU_GOOD;
	gives();
	assert_int_equal(waits, 0);
}

static void differ(u8 (*outputs)[BYTES], u32 count)
{
	for (u32 i = 0; i < count; i++)
		for (u32 j = 0; j < i; j++)
			assert_memory_not_equal(outputs[i], outputs[j], BYTES);
}

static void none_comes_twice(void **state)
{
	static u8 outputs[2 * DRAWS][BYTES];

	(void)state;
	cpu = CPU_GOOD;
	for (u32 i = 0; i < DRAWS; i++)
		assert_int_equal(host_entropy(outputs[i], BYTES), HV_OK);
	/* The same of the firmware each time, and a counter that stands still. */
	cpu = CPU_NONE;
	firmware = FIRMWARE_GOOD;
	for (u32 i = DRAWS; i < 2 * DRAWS; i++)
		assert_int_equal(host_entropy(outputs[i], BYTES), HV_OK);
	differ(outputs, 2 * DRAWS);
}

/* Not a byte more than was asked for, and no part of a long one is as another. */
static void lengths(void **state)
{
	static u8 outputs[64][BYTES];
	u8 bytes[100];

	(void)state;
	cpu = CPU_GOOD;
	for (size_t length = 0; length < sizeof(bytes); length++) {
		memset(bytes, 0, sizeof(bytes));
		assert_int_equal(host_entropy(bytes, length), HV_OK);
		for (size_t i = length; i < sizeof(bytes); i++)
			assert_int_equal(bytes[i], 0);
		/* All of 8 bytes are zeros once in 2^64 times. */
		for (size_t i = 0; i + 8 <= length; i += 8)
			assert_memory_not_equal(bytes + i, "\0\0\0\0\0\0\0", 8);
	}
	assert_int_equal(host_entropy(outputs, sizeof(outputs)), HV_OK);
	differ(outputs, ARRAY_COUNT(outputs));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(none),
		TEST(processor_alone),
		TEST(processor_stuck),
		TEST(firmware_alone),
		TEST(jitter_alone),
		TEST(jitter_refused),
		TEST(who_is_asked_when),
		TEST(none_comes_twice),
		TEST(lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
