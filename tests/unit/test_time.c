/* SPDX-License-Identifier: MIT */
/* A guest's time and the machine's, over pauses, restores and machines: vm.c on a counter by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "host_bare.h"

#define GHZ ((u64)1000000000)
/* Some Wednesday of 2026. */
#define NOON ((u64)1789560000)

/* ---- the host's clock ---- */

static u64 wall;
static u32 wall_reads;

u64 host_wall_clock(void)
{
	wall_reads++;
	return wall;
}

void host_idle(const u32 *kicked)
{
	(void)kicked;
}

/* ---- the machine ---- */

/* Counter and clock of the machine go on. */
static void pass(u64 seconds)
{
	fake_machine.counter += seconds * fake_machine.counter_hz;
	if (wall)
		wall += seconds;
}

/* Switched on again: the counter begins anew, and what was known of the clock is too old. */
static void power_cycle(u64 off_seconds, u64 hz)
{
	wall += off_seconds;
	fake_machine.counter = 0;
	fake_machine.counter_hz = hz;
}

static const struct state_desc *time_desc;

static struct vm *make(void)
{
	struct vm *vm;

	assert_int_equal(bare_vm("one", &vm), HV_OK);
	/* Before all devices, whose timers need it. */
	time_desc = vm->records[0].desc;
	assert_string_equal(time_desc->name, "time");
	assert_ptr_equal(vm->records[0].obj, &vm->time);
	return vm;
}

static int setup(void **state)
{
	(void)state;
	fake_machine = (struct fake_machine){.counter = 1000, .counter_hz = GHZ};
	wall = NOON;
	return 0;
}

static struct vm_time save(struct vm *vm)
{
	u8 packed[sizeof(struct vm_time)];
	struct vm_time time;

	state_pack(time_desc, &vm->time, packed);
	state_unpack(time_desc, &time, packed);
	return time;
}

/* As a restore does it: the VM is paused, and runs on afterwards. */
static void load(struct vm *vm, const struct vm_time *time)
{
	const char *why = NULL;

	vm_pause(vm);
	assert_int_equal(time_desc->check(time, &why), HV_OK);
	assert_null(why);
	vm->time = *time;
	time_desc->after_load(&vm->time);
	vm_resume(vm);
}

static u64 wall_of(const struct vm *vm)
{
	return clock_wall(&vm->clock) / NS_PER_SEC;
}

/* ---- the guest's own time ---- */

static void test_deadlines(void **state)
{
	struct vm *vm = make();

	(void)state;
	assert_int_equal(vm_deadline(vm, 0), 0);
	assert_int_equal(vm_deadline(vm, 12345), 12345);
	assert_int_equal(vm_deadline(vm, UINT64_MAX), CLOCK_NEVER - 1);
	vm->time.counter_hz = 3 * GHZ;
	assert_int_equal(vm_deadline(vm, 1), 1);
	assert_int_equal(vm_deadline(vm, 3), 1);
	assert_int_equal(vm_deadline(vm, 4), 2);
	assert_int_equal(vm_deadline(vm, UINT64_MAX), UINT64_MAX / 3);
	/* More nanoseconds than fit in 64 bits are late, not early. */
	vm->time.counter_hz = 62500000;
	assert_int_equal(vm_deadline(vm, UINT64_MAX / 16), UINT64_MAX - 15);
	assert_int_equal(vm_deadline(vm, UINT64_MAX / 16 + 1), CLOCK_NEVER - 1);
	assert_int_equal(vm_deadline(vm, UINT64_MAX / 2 - 1), CLOCK_NEVER - 1);
	vm_destroy(vm);
}

/* The machine counts 300 ppm faster: what the guest's timers were computed with stays. */
static void test_another_rate(void **state)
{
	struct vm *vm = make();
	struct vm_time time;
	u64 ns;

	(void)state;
	vm_resume(vm);
	pass(1000000);
	fake_machine.counter += 7;
	ns = clock_now(&vm->clock);
	assert_int_equal(ns, 1000000 * NS_PER_SEC + 7);
	time = save(vm);
	vm_destroy(vm);

	power_cycle(1, GHZ + 300000);
	vm = make();
	load(vm, &time);
	assert_int_equal(vm->time.counter_hz, GHZ);
	assert_int_equal(clock_now(&vm->clock), ns);
	assert_int_equal(vm_deadline(vm, vm_counter(vm)), ns);
	pass(10);
	assert_int_equal(clock_now(&vm->clock), ns + 10 * (NS_PER_SEC + 300000));
	/* From there it goes on to a third machine with the rate that it began with. */
	time = save(vm);
	assert_int_equal(time.counter_hz, GHZ);
	vm_destroy(vm);
}

static void refused(u64 counter, u64 hz, enum hv_error wanted, const char *words)
{
	const struct vm_time time = {.counter = counter, .counter_hz = hz};
	const char *why = NULL;

	assert_int_equal(time_desc->check(&time, &why), wanted);
	assert_non_null(why);
	if (!strstr(why, words))
		fail_msg("why: %s, not: %s", why, words);
}

static void accepted(u64 counter, u64 hz)
{
	const struct vm_time time = {.counter = counter, .counter_hz = hz};
	const char *why = NULL;

	assert_int_equal(time_desc->check(&time, &why), HV_OK);
	assert_null(why);
}

static void test_hostile_records(void **state)
{
	const u64 years = (u64)100 * 366 * 86400;
	struct vm *vm = make();

	(void)state;
	accepted(0, GHZ);
	accepted(UINT64_MAX / 8, GHZ);
	accepted(5, GHZ + 500000);
	accepted(5, GHZ - 500000);
	refused(5, GHZ + 500001, HV_EUNSUPPORTED, "500 ppm");
	refused(5, GHZ - 500001, HV_EUNSUPPORTED,
		"the guest's counter ran at 999499 kHz, this machine's runs at 1000000 kHz");
	refused(5, 0, HV_EUNSUPPORTED, "ran at 0 kHz");
	refused(5, UINT64_MAX, HV_EUNSUPPORTED, "500 ppm");
	accepted(years * GHZ, GHZ);
	refused((years + 1) * GHZ, GHZ, HV_EINVALID, "100 years");
	refused(UINT64_MAX, GHZ, HV_EINVALID, "100 years");
	/* Where all counters are young enough, their nanoseconds fit. */
	fake_machine.counter_hz = 8 * GHZ;
	accepted(UINT64_MAX, 8 * GHZ);
	assert_true(muldiv_u64(UINT64_MAX, NS_PER_SEC, 8 * GHZ) < CLOCK_NEVER / 2);
	/* A slow counter has no 500 ppm to spare. */
	fake_machine.counter_hz = 1;
	refused(5, 0, HV_EUNSUPPORTED, "ppm");
	refused(5, 2, HV_EUNSUPPORTED, "ppm");
	accepted(5, 1);
	vm_destroy(vm);
}

/* ---- the machine's time ---- */

static void test_wall_goes_on_in_a_pause(void **state)
{
	struct vm *vm = make();

	(void)state;
	pass(5000);
	vm_resume(vm);
	assert_int_equal(wall_of(vm), NOON + 5000);
	pass(10);
	assert_int_equal(wall_of(vm), NOON + 5010);
	vm_pause(vm);
	pass(600);
	assert_int_equal(clock_now(&vm->clock), 10 * NS_PER_SEC);
	vm_resume(vm);
	assert_int_equal(clock_now(&vm->clock), 10 * NS_PER_SEC);
	assert_int_equal(wall_of(vm), NOON + 5610);
	assert_int_equal(vm_reset(vm), HV_OK);
	assert_int_equal(wall_of(vm), NOON + 5610);
	vm_destroy(vm);
}

/* The next day, on the same machine; its guest time was an hour. */
static void test_wall_after_a_restore(void **state)
{
	struct vm *vm = make();
	struct vm_time time;

	(void)state;
	pass(5000);
	vm_resume(vm);
	pass(3600);
	time = save(vm);
	/* Back to it while the machine stays on. */
	pass(1800);
	load(vm, &time);
	assert_int_equal(clock_now(&vm->clock), 3600 * NS_PER_SEC);
	assert_int_equal(wall_of(vm), NOON + 5000 + 3600 + 1800);
	vm_destroy(vm);

	power_cycle(86400, GHZ - 200000);
	vm = make();
	load(vm, &time);
	assert_int_equal(clock_now(&vm->clock), 3600 * NS_PER_SEC);
	assert_int_equal(wall_of(vm), wall);
	vm_destroy(vm);
}

/* The firmware is asked now and then only: it is slow. */
static void test_clock_is_read_seldom(void **state)
{
	struct vm *vm = make();
	u32 reads;

	(void)state;
	pass(5000);
	vm_resume(vm);
	reads = wall_reads;
	for (u32 i = 0; i < 100; i++) {
		vm_pause(vm);
		pass(1);
		vm_resume(vm);
	}
	assert_int_equal(wall_reads, reads);
	assert_int_equal(wall_of(vm), wall);
	/* Somebody sets the machine's clock. */
	wall += 7;
	vm_pause(vm);
	pass(3600);
	vm_resume(vm);
	assert_int_equal(wall_reads, reads + 1);
	assert_int_equal(wall_of(vm), wall);
	/* Without a clock, or with nonsense, it goes on from what was known. */
	for (u32 i = 0; i < 2; i++) {
		u64 known = wall_of(vm);

		wall = i ? UINT64_MAX / 3 : 0;
		vm_pause(vm);
		fake_machine.counter += 4000 * GHZ;
		vm_resume(vm);
		assert_int_equal(wall_of(vm), known + 4000);
	}
	vm_destroy(vm);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_deadlines),
		TEST(test_another_rate),
		TEST(test_hostile_records),
		TEST(test_wall_goes_on_in_a_pause),
		TEST(test_wall_after_a_restore),
		TEST(test_clock_is_read_seldom),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
